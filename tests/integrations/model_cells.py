r"""Cells of Python as language models write them in a REPL over ``context``, and a text to run them over.

They go from the first look to the answer: types are probed, beginnings printed, keywords looked for in loops, windows
shown around hits, lines and sections and chunks made, sub-calls given slices. Each prints something; variables and
functions stay for the cells that follow. Now and then a model does what cannot work over a lazy text (``io.StringIO``
of all of it, a list method of its lines), so that is here as well.

The text has the log, Markdown, questions, JSON lines and CSV that real ones have, and what code stumbles over: line
ends of Windows, emoji, Chinese, characters whose case is longer, a line of more than 20,000 characters.
"""

import json
import random
import re
from collections.abc import Iterable
from hashlib import sha256

LONG_LINE_CHARACTERS = 25_000
_SECTIONS = 90
_TOPICS = ("Harbour", "Caf\u00e9 \u2615", "\u4e2d\u6587\u8d44\u6599", "Weather", "Rockets \U0001f680", "Accounts")
_NAMES = ("Maria Silva", "Zo\u00eb M\u00fcller", "John Smith", "\u738b\u5c0f\u660e", "Ana Lima", "Omar Haddad")
_TOWNS = ("Lisbon", "K\u00f6ln", "\u5317\u4eac", "Oslo", "\u0130zmir")
_LEVELS = ("INFO", "INFO", "DEBUG", "WARNING", "ERROR", "INFO")
_SERVICES = ("gateway", "auth", "billing", "search")
_MIXED = (
    "the of and to in a is that it was for on are with as at be this from had not but by what all were when we there "
    "can an your which their said if do will each about how up out them then she many some so these would other into "
    "has more her two like him see time could no make than first been its who now people my made over did down only "
    "way find use may water long little very after words called just where most know needle signal budget report "
    "na\u00efve r\u00e9sum\u00e9 co\u00f6perate \u4e2d\u6587 \U0001f389 don't well-known e.g. 3.14 STRASSE stra\u00dfe"
)
_WORDS = _MIXED.split()
_SPECIAL = {
    20: "\u0130stanbul, \u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3 and STRASSE \ufb01nd no stra\u00dfe here.\n",
    30: "two lines for splitlines:\u2028one for split\x0band a page\x0cbreak\n",
    31: "\tindented\twith\ttabs  \n    and with spaces\t\n\n\n",
    33: "Contact: maria.silva@example.com, ops+night@example.org, https://example.com/a?b=c#d (see [docs](docs.md)).\n",
    45: "BEGIN REPORT\nRevenue: $1,234.50\nCosts:   $987.65\nEND REPORT\n",
}
_HEAD = (
    "Title: The Caf\u00e9 Logbook \u2615\r\nAuthor: Zo\u00eb M\u00fcller\r\nDate: 2024-03-01\r\n\r\n"
    "Transcript: so it begins.\n\n"
)
_TAIL = (
    "\u7b2c\u4e94\u7ae0 Somebody Grew Up in \u0130zmir, long before Artificial General Intelligence \U0001f916.\r\n"
    "key-8: after some pages\nof text, the special magic number is 4711 and no other.\n"
    "The End \U0001f50d.\n \n"
)


def text() -> str:
    """About 300,000 characters, the same every time."""
    chance = random.Random(7)  # noqa: S311  # to be the same every time, not to be secret
    return _HEAD + "".join(_section(chance, number) for number in range(_SECTIONS)) + _TAIL


def _section(chance: random.Random, number: int) -> str:
    parts = [f"### Section {number:03d}: {_TOPICS[number % len(_TOPICS)]}\n", _prose(chance), "\n"]
    parts += [_log_line(chance, number, line) for line in range(20)]
    parts += ["\n", *(_question(chance, number, place) for place in range(3))]
    parts += [f"{json.dumps(_record(chance, number, line), ensure_ascii=line % 2 == 0)}\n" for line in range(6)]
    parts += ["\nid,name,score,note\n", *(_row(chance, number, line) for line in range(6)), "\n"]
    parts += [f"def handle_{number}(request):\n    return request.get('id', {number})\n\n", _SPECIAL.get(number, "")]
    if number == 40:
        parts.append(f"{'one line, very long, ' * (LONG_LINE_CHARACTERS // 21)}needle at its end\n")
    return "".join(parts)


def _prose(chance: random.Random) -> str:
    person, town = chance.choice(_NAMES), chance.choice(_TOWNS)
    sentences = [" ".join(chance.choices(_WORDS, k=12)).capitalize() + "." for _ in range(7)]
    sentences.insert(chance.randrange(7), f"{person} {chance.choice(('grew up', 'was born'))} in {town}.")
    return f"{' '.join(sentences[:4])}\n{' '.join(sentences[4:])}\n"


def _log_line(chance: random.Random, number: int, line: int) -> str:
    when = f"2024-03-{number % 28 + 1:02d} {line:02d}:{chance.randrange(60):02d}:{chance.randrange(60):02d}"
    what = f"request {chance.randrange(10_000)} from 10.0.{chance.randrange(8)}.{chance.randrange(256)}"
    end = "\r\n" if line % 7 == 6 else "\n"
    return f"{when} [{chance.choice(_LEVELS)}] {chance.choice(_SERVICES)}: {what} took {chance.randrange(900)} ms{end}"


def _question(chance: random.Random, number: int, place: int) -> str:
    who, town = chance.choice(_NAMES), chance.choice(_TOWNS)
    return f"Q: Who lived in {town} in {1900 + number + place}?\nA: It was {who},\nas far as anybody knows.\n\n"


def _record(chance: random.Random, number: int, line: int) -> dict[str, object]:
    score, tags = round(chance.uniform(0, 10), 1), chance.sample(_WORDS, 2)
    return {"id": number * 10 + line, "user": chance.choice(_NAMES), "score": score, "tags": tags, "ok": line > 1}


def _row(chance: random.Random, number: int, line: int) -> str:
    return f'{number * 10 + line},{chance.choice(_NAMES)},{chance.randrange(100)},"late, or ""lost"""\n'


def llm_query(prompt: str) -> str:
    """Answer with what arrives of a prompt that is sent as JSON."""
    sent = json.dumps(prompt)
    return f"answer {sha256(sent.encode()).hexdigest()[:8]} to {len(json.loads(sent))} characters"


def llm_query_batched(prompts: Iterable[str]) -> list[str]:
    """Answer them all."""
    return [llm_query(prompt) for prompt in prompts]


_FIRST_LOOKS = r"""
# %% type, length and beginning
print(type(context))
print(len(context))
print(context[:2000])

# %% type and length in a line
print(f"Context type: {type(context).__name__}, length: {len(context):,}")

# %% a str or made one
text = context if isinstance(context, str) else str(context)
print(len(text), text[:300])

# %% what it has
print({name: hasattr(context, name) for name in ("keys", "items", "read", "shape", "split", "__len__", "__iter__")})

# %% which collection
if isinstance(context, dict):
    print("dict with keys", list(context.keys())[:10])
elif isinstance(context, (list, tuple)):
    print("list of", len(context), "items, first:", context[0])
else:
    print("string of", len(context), "characters")

# %% which collection, by match
match context:
    case {"query": query}:
        print("query:", query)
    case [first, *_]:
        print("sequence:", first)
    case str():
        print("str:", context[:40])

# %% str of it, cut
print(str(context)[:500])
print("...")
print(str(context)[-200:])

# %% is it JSON
import json
try:
    data = json.loads(context)
    print("JSON:", type(data))
except json.JSONDecodeError as e:
    print("Not JSON:", type(e).__name__)

# %% is it JSON, and why not
try:
    data = json.loads(context)
except Exception as e:
    print("Not JSON:", e)

# %% does it begin as JSON does
print(context.strip()[:1] in "{[", context.lstrip().startswith(("{", "[")))

# %% an item by its name
try:
    print(context["question"])
except (TypeError, KeyError) as e:
    print(type(e).__name__, e)

# %% a method of dict
try:
    print(context.get("documents"))
except AttributeError as e:
    print("AttributeError:", e)

# %% beginning, middle and end
n = len(context)
for name, part in [("BEGIN", context[:200]), ("MIDDLE", context[n // 2:n // 2 + 200]), ("END", context[-200:])]:
    print(f"=== {name} ===\n{part}")

# %% print everything
print(context)

# %% print much
print(context[:50_000])

# %% print what is formatted
print(f"{context}")

# %% repr of it
print(repr(context)[:200])

# %% repr of the beginning
print(repr(context[:200]))
print(f"{context[-100:]!r}")

# %% rough numbers
print(f"{len(context):,} chars, ~{len(context) // 4:,} tokens, {len(context.split()):,} words")
print("lines:", context.count("\n"), "blank:", context.count("\n\n"), "CRLF:", context.count("\r\n"))

# %% size in memory
import sys
print("holds the text:", sys.getsizeof(context) > len(context))

# %% alias
ctx = context
text = ctx
print(text is context, text == context, bool(text), not text, text != "", len(text))

# %% which characters
print(context.isascii(), any(ord(ch) > 127 for ch in context[:100]), sum(ord(ch) > 127 for ch in context))
print(sorted({ch for ch in context if ord(ch) > 0x2000})[:20])
"""

_SLICES = r"""
# %% slicing loop
for i in range(0, len(context), 40_000):
    print(i, repr(context[i:i + 60]))

# %% large steps
chunk_size = 60_000
for start in range(0, len(context), chunk_size):
    chunk = context[start:start + chunk_size]
    print(start, len(chunk), chunk.count("ERROR"), chunk[:30].replace("\n", "\\n"))

# %% the middle of a tail
print(context[len(context) // 2:][:150])
print(context[1000:][-50:])

# %% slices of slices
part = context[10_000:200_000]
inner = part[5_000:150_000][1_000:-1_000]
print(len(part), len(inner), inner[:80], inner[-80:])
print(inner == context[16_000:159_000])

# %% negative slices
print(repr(context[-1]), repr(context[-300:-200]), repr(context[-5:]), repr(context[50:10]))

# %% steps
print(context[::10_000])
print(context[5:20_000:997], context[::-1][:40], context[-1:-200:-7])

# %% every third
third = context[::3]
print(len(third), third[:50], third.find("e e"), third.count("ee"))

# %% backwards
backwards = context[::-1]
print(len(backwards), backwards[:30], len(context) - backwards.find("eldeen") - len("needle"), context.rfind("needle"))

# %% single characters
print([context[i] for i in (0, 1, 7, 1000, -1, len(context) - 1)], context[True])

# %% beyond the end
print(repr(context[len(context):]), repr(context[10**9:]), len(context[:10**9]), repr(context[len(context) - 3:10**9]))

# %% an index beyond the end
print(context[10**9])

# %% slice objects
window = slice(1_000, 1_100)
print(context[window], context[slice(None, 20)], len(context[slice(1_000, None)]))

# %% chunks by a comprehension
chunks = [context[i:i + 10_000] for i in range(0, len(context), 10_000)]
print(len(chunks), [len(c) for c in chunks][-2:], "".join(chunks) == context)

# %% chunks with overlap
size, overlap = 8_000, 500
overlapping = [context[max(0, i - overlap):i + size] for i in range(0, len(context), size)]
print(len(overlapping), overlapping[1][:overlap] == overlapping[0][-overlap:], overlapping[-1][-30:])

# %% a function that chunks
def chunk_text(text: str, size: int = 10_000, overlap: int = 200) -> list[str]:
    '''Split text into overlapping chunks.'''
    out, start = [], 0
    while start < len(text):
        out.append(text[start:start + size])
        start += size - overlap
    return out

pieces = chunk_text(context, 15_000, 1_000)
print(len(pieces), sum(map(len, pieces)), pieces[3][:50])

# %% chunks that end with a line
def chunk_lines(text, limit):
    start = 0
    while start < len(text):
        end = min(start + limit, len(text))
        if end < len(text):
            newline = text.rfind("\n", start, end)
            end = newline + 1 if newline > start else end
        yield text[start:end]
        start = end

by_line = list(chunk_lines(context, 12_000))
print(len(by_line), min(map(len, by_line)), by_line[2][-40:], "".join(by_line) == context)

# %% large chunks
large = [context[i:i + 100_000] for i in range(0, len(context), 100_000)]
print([len(c) for c in large], [c.count("### ") for c in large], [c.lower().find("maria") for c in large])

# %% chunk sizes in a table
for i, c in enumerate(chunks[:5]):
    print(f"chunk {i:>3} | {len(c):>8,} | {c[:20]!r:<30} | {c.count('[ERROR]')}")

# %% words of a slice
words = context[2_000:12_000].split()
print(len(words), words[:8], words[-3:])

# %% characters of a slice
for i, ch in enumerate(context[:40]):
    if not ch.isalnum():
        print(i, repr(ch), end=" ")
print()

# %% a list of characters
print(list(context[:15]), *context[15:25], len(list(context)))

# %% enumerated
for i, section in enumerate(context):
    if i >= 3:
        break
    print(i, section)
sys.stdout.write(context[:20] + "\n")

# %% thirds
a, b = len(context) // 3, 2 * len(context) // 3
first, second, third = context[:a], context[a:b], context[b:]
print(len(first), len(second), len(third), first + second + third == context)
"""

_SEARCHES = r"""
# %% keyword loop
terms = ["Transcript", "Magic Number", "grew up", "REPORT", "\u0130zmir", "\u4e2d\u6587", "nowhere at all"]
for t in terms:
    print(t, ctx.lower().find(t.lower()))

# %% windows around hits
for name in ["Maria Silva", "magic number", "END REPORT"]:
    idx = text.find(name)
    print(name, idx)
    if idx != -1:
        print(text[max(0, idx - 100): idx + 200])

# %% in
for t in terms:
    print(t, t in context, t.lower() in context.lower(), t in context[:5_000])

# %% counts
print({t: context.count(t) for t in terms})
print({t: context.lower().count(t.lower()) for t in terms})

# %% all occurrences in a while loop
def find_all(text, sub):
    '''All start offsets of sub.'''
    positions, start = [], 0
    while True:
        idx = text.find(sub, start)
        if idx == -1:
            return positions
        positions.append(idx)
        start = idx + len(sub)

hits = find_all(context, "needle")
print(len(hits), hits[:5], hits[-1], len(hits) == context.count("needle"))

# %% all occurrences with a walrus
i, found = -1, []
while (i := context.find("Omar", i + 1)) != -1 and len(found) < 12:
    found.append(i)
print(found)

# %% earliest of many
positions = {t: context.find(t) for t in terms}
print(sorted((p, t) for t, p in positions.items() if p >= 0))
print(min((p for p in positions.values() if p >= 0), default=-1), max(positions, key=positions.get))

# %% last of many
for t in ("ERROR", "Q: ", "\r\n", "nope"):
    print(repr(t), context.rfind(t), context.rfind(t, 0, 100_000), context.find(t, 100_000, 150_000))

# %% index
print(context.index("Transcript:"), context.rindex("###"))
try:
    context.index("nowhere at all")
except ValueError as e:
    print("ValueError:", e)

# %% index that raises
position = context.index("nowhere at all")

# %% between two markers
start = context.find("BEGIN REPORT")
end = context.find("END REPORT", start)
report = context[start:end]
print(report, len(report))

# %% line number of a hit
offset = context.find("handle_45")
print(context.count("\n", 0, offset) + 1, context[context.rfind("\n", 0, offset) + 1:context.find("\n", offset)])

# %% helpers for windows
def window(text, needle, before=60, after=60, ignore_case=False):
    haystack = text.lower() if ignore_case else text
    idx = haystack.find(needle.lower() if ignore_case else needle)
    return None if idx < 0 else text[max(0, idx - before):idx + after]

print(window(context, "Artificial General"))
print(window(context, "BEGIN report", ignore_case=True))
print(window(context, "nowhere at all"))

# %% lower once
low = context.lower()
print(len(low), low[:60], low.find("grew up in"), low.count("strasse"), low == context.lower())

# %% other cases
print(len(context.upper()), context.upper().count("STRASSE"), context.casefold().count("strasse"))
print(context.title()[:80], context.swapcase()[-60:], context.capitalize()[:30])

# %% beginnings and ends
print(context.startswith("Title:"), context.startswith(("#", "{")), context.endswith("\n \n"), context.endswith("End"))
print(context.startswith("Author", context.find("Author")), context.removeprefix("Title: ")[:20])

# %% strip
stripped = context.strip()
print(len(context) - len(stripped), repr(stripped[-20:]), len(context.rstrip()), repr(context.strip("T\n ")[:10]))

# %% partition
head, sep, rest = context.partition("Transcript:")
print(repr(head), sep, len(rest), rest[:50])
print([len(part) for part in context.rpartition("### ")], context.partition("nowhere")[1:])

# %% halves by bisection
low_end, high_end = 0, len(context)
while high_end - low_end > 1_000:
    mid = (low_end + high_end) // 2
    low_end, high_end = (low_end, mid) if "BEGIN REPORT" in context[low_end:mid + 20] else (mid, high_end)
print(low_end <= context.find("BEGIN REPORT") <= high_end, high_end - low_end)

# %% scores of chunks
question = "Who grew up in Lisbon near the harbour?"
keys = [w.strip("?").lower() for w in question.split() if len(w) > 3]
scores = [(sum(c.lower().count(k) for k in keys), n) for n, c in enumerate(chunks)]
for score, n in sorted(scores, reverse=True)[:3]:
    print(score, n, chunks[n][:60].replace("\n", " "))

# %% both and either
print("ERROR" in context and "FATAL" in context, any(t in context for t in terms), all(t in context for t in terms))
print("x" not in context, "" in context, context.count(""), context.find(""))
"""

_REGEX = r"""
# %% findall
import re
print(re.findall(r"static|needle|signal", context)[:10], len(re.findall("needle", context)))
print(re.findall("special magic number is (\\d+)", context))

# %% people in windows
hits = re.findall(".{0,200}(grew up|born|childhood|hometown|raised).{0,200}", context, re.IGNORECASE)
print(len(hits), hits[:5])

# %% finditer with offsets
for m in re.finditer("AGI|Artificial General Intelligence", text, re.IGNORECASE):
    print(m.start(), m.end(), m.group(), text[max(0, m.start() - 40):m.end() + 40])

# %% search over lines
m = re.search(r"key-8.*?special magic number.*?(\d+)", context, re.DOTALL)
print(m.group(1) if m else None, m.span(), m.start(1))

# %% headings
headings = re.findall(r"^### (.+)$", context, re.MULTILINE)
print(len(headings), headings[:3], headings[-1])

# %% definitions
print(re.findall(r"^\s*def (\w+)\(", context, re.MULTILINE)[:5])
print([m.group(1) for m in re.compile(r"return request\.get\('(\w+)'", re.M).finditer(context)][:3])

# %% a compiled pattern
pattern = re.compile(r"(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2}) \[(\w+)\] (\w+): (.*)")
rows = pattern.findall(context)
print(len(rows), rows[0], rows[-1])

# %% what a pattern is
print(pattern.pattern, pattern.groups, pattern.flags, isinstance(pattern, re.Pattern))

# %% print a pattern
print(pattern)

# %% print a match
m = re.search(r"request (\d+)", context)
print(m)

# %% a match and a slice
m = re.search(r"request (\d+)", context)
print(m[0], m[1], m.groups(), m.start(), m.end(), m.re.pattern, m.lastindex)
print(re.search(r"request (\d+)", context[:5_000]).group(1), isinstance(m, re.Match))

# %% named groups
record = re.compile(r"took (?P<ms>\d+) (?P<unit>ms)")
times = [int(m.group("ms")) for m in record.finditer(context)]
print(len(times), max(times), sum(times) / len(times), record.search(context).groupdict())

# %% no match
m = re.search(r"password: (\w+)", context)
print(m)
print(m.group(1) if m else "none")

# %% no match, and a group
print(re.search(r"password: (\w+)", context).group(1))

# %% questions and answers
qa = re.findall(r"Q: (.*?)\nA: (.*?)\n\n", context, re.DOTALL)
print(len(qa), qa[0], qa[-1])

# %% addresses
print(re.findall(r"[\w.+-]+@[\w-]+\.[\w.]+", context), re.findall(r"https?://[^\s)]+", context))
print(sorted(set(re.findall(r"\b10\.0\.7\.\d{1,3}\b", context)))[:5])

# %% words that are written large
from collections import Counter
print(Counter(re.findall(r"\b[A-Z][a-z]+ [A-Z][a-z]+\b", context)).most_common(5))

# %% scripts
print(Counter(re.findall(r"[\u4e00-\u9fff]+", context)).most_common(4))
print(Counter(re.findall(r"[\U0001F300-\U0001FAFF]", context)).most_common(4))

# %% flags inside
print(len(re.findall(r"(?i)\bstra(?:ss|\u00df)e\b", context)), len(re.findall(r"(?im)^q: who", context)))
print(re.findall(r"(?s)BEGIN REPORT(.*?)END REPORT", context))

# %% verbose
money = re.compile(r'''
    \$              # dollars
    ([\d,]+)        # whole
    \.(\d{2})       # cents
''', re.VERBOSE)
print(money.findall(context), [m.span() for m in money.finditer(context)])

# %% lookaround
print(re.findall(r"(?<=Revenue: \$)[\d,.]+(?=\n)", context), len(re.findall(r"\n(?!\n)", context)))
print([m.start() for m in re.finditer(r"(?=needle at)", context)])

# %% repeated words
print([m.group(1) for m in re.finditer(r"\b(\w{3,}) \1\b", context)][:8])

# %% match at the beginning
print(re.match(r"Title:\s*(.+)", context).group(1), re.match("Author", context))
print(re.fullmatch(r"[\s\S]*", context) is not None, re.fullmatch(r"Title", context))

# %% names out of re
from re import IGNORECASE, findall, sub as replaced
print(len(findall("NEEDLE", context, IGNORECASE)), replaced("needle", "pin", context).count("pin"))

# %% from an offset
pattern = re.compile("Omar Haddad")
m = pattern.search(context, 100_000)
print(m.start(), m.group(), pattern.search(context, len(context)), pattern.match(context, m.start()).span())

# %% greedy over everything
m = re.search(r"Transcript:.*End", context, re.DOTALL)
print(m.start(), m.end(), len(m.group()))

# %% blank lines and line ends
print(len(re.findall(r"^\s*$", context, re.MULTILINE)), len(re.findall(r"\r\n", context)))
print(re.search(r"\s*\Z", context).span(), len(re.findall(r"^", context, re.M)), len(re.findall(r"$", context, re.M)))

# %% numbers
numbers = [float(n) for n in re.findall(r'"score": ([\d.]+)', context)]
print(len(numbers), sum(numbers), max(numbers), min(numbers), sorted(numbers)[len(numbers) // 2])

# %% escaped terms
term = "e.g. (see"
print(re.findall(re.escape("[docs](docs.md)"), context), re.search(re.escape(term), context), re.escape(term))

# %% an error in a pattern
try:
    re.findall(r"(unclosed", context)
except re.error as e:
    print("re.error:", e)

# %% patterns in a loop
patterns = {
    "dates": r"\d{4}-\d{2}-\d{2}",
    "errors": r"\[ERROR\].*",
    "json": r"^\{.*\}$",
    "csv": r"^\d+,[^,\n]+,\d+,.*$",
    "bold": r"\*\*(.+?)\*\*",
}
for name, p in patterns.items():
    found = re.findall(p, context, re.MULTILINE)
    print(f"{name}: {len(found)} {found[:1]}")

# %% re.split
parts = re.split(r"### (.+)", context)
print(len(parts), parts[1], parts[3], [len(p) for p in parts[::2]][:4])

# %% re.split before headings
sections = re.split(r"\n(?=### )", context)
print(len(sections), sections[1][:40], sections[-1][-40:], [len(s) for s in sections][-2:])

# %% re.split into sentences
sentences = re.split(r"(?<=[.!?])\s+", context[:8_000])
print(len(sentences), sentences[5], max(len(s) for s in sentences))
print(len(re.split(r"\W+", context)), re.split(r"\s+", context, maxsplit=3)[:3], len(re.split(r"[,;]\s*", context)))

# %% re.sub of a slice
print(re.sub(r"\s+", " ", context[:600]))
print(re.sub(r"\d", "#", context[-200:]))

# %% re.sub of everything
clean = re.sub(r"\s+", " ", context)
print(len(clean), clean[:200], clean[-60:], clean.count(" "), "\n" in clean)

# %% re.sub by a function
doubled = re.sub(r"took (\d+) ms", lambda m: f"took {int(m.group(1)) * 2} ms", context)
print(len(doubled) - len(context), re.findall(r"took \d+ ms", doubled)[:4])

# %% re.sub with groups
swapped = re.sub(r"(\d{4})-(\d{2})-(\d{2})", r"\3/\2/\1", context)
print(swapped[:60].splitlines(), swapped.count("/03/2024"), re.subn(r"ERROR|WARNING", "!", context)[1])

# %% patterns over what was made of it
rest = context[60_000:]
print(re.findall(r"grew up in (\w+)", low)[:5], re.search(r"revenue: \$([\d,]+)", low).group(1))
print([m.start() for m in re.finditer("Costs", rest)], len(re.findall(r"\w+", rest)))
print(len(re.sub("took", "took about", rest)), re.split("### ", clean)[4][:20])

# %% offsets by group
spans = [(m.start(1), m.end(1), m.group(1)) for m in re.finditer(r"Section (\d+):", context)]
print(spans[:2], spans[-1], all(context[a:b] == g for a, b, g in spans))

# %% context around matches
def grep_context(pattern, text, width=40, limit=5, flags=re.IGNORECASE):
    out = []
    for m in re.finditer(pattern, text, flags):
        out.append(text[max(0, m.start() - width):m.end() + width].replace("\n", " "))
        if len(out) >= limit:
            break
    return out

for hit in grep_context(r"magic|revenue|\bAGI\b", context):
    print("-", hit)
print(m.string[m.start():m.start() + 20])
"""

_LINES = r"""
# %% lines
lines = context.split("\n")
print(len(lines), lines[0], lines[1000], lines[-3])
print(lines[:5])

# %% what lines are
print(type(lines), isinstance(lines, list))

# %% print lines
print(lines)

# %% lines in a loop
for i, line in enumerate(lines):
    if "ERROR" in line and "billing" in line and "took 8" in line:
        print(i, line)

# %% lines of what is lower
for i, line in enumerate(context.lower().split("\n")):
    if "artificial" in line or line.startswith("revenue"):
        print(i, line)

# %% lines by comprehension
errors = [line for line in lines if "[ERROR]" in line]
print(len(errors), errors[0], type(errors).__name__)

# %% lines cut out
print("\n".join(lines[100:110]))
print(lines[-4:], lines[5:2:-1], lines[4:6] == ["Transcript: so it begins.", ""], lines[10:10])
part = lines[1_000:3_000]
print(len(part), part[-1], part[0] == lines[1_000], sum("ERROR" in line for line in part))

# %% lines of lines cut out
print(lines[1_000:3_000][5:7])

# %% lines backwards
print(lines[::-1][:6][1])
for line in lines[::-1][2:5]:
    print(line)

# %% lines but the first
for row in lines[1:][:3]:
    print(row.strip())

# %% lines in the loop of split
total = 0
for line in context.split("\n"):
    line = line.strip()
    if not line or line.startswith("#"):
        continue
    total += len(line)
print(total)

# %% stripped and split
lines2 = context.strip().split("\n")
print(len(lines2), lines2[0], lines2[-1], lines2[-1] == lines[-3])

# %% longest and shortest
print(len(max(lines, key=len)), max(lines, key=len)[:50], repr(min(lines, key=len)), sum(map(len, lines)) / len(lines))

# %% lines sorted
ordered = sorted(lines)
print(len(ordered), ordered[-1][:40], [line[:30] for line in sorted(set(lines), key=len)[-3:]])

# %% lines counted
print(Counter(line[:5] for line in lines).most_common(5), lines.count("id,name,score,note"))
print(lines.index("BEGIN REPORT"), "END REPORT" in lines, "nowhere" in lines, lines == context.split("\n"), bool(lines))

# %% lines numbered
numbered = {i: line for i, line in enumerate(lines, 1) if line.startswith("### ")}
print(len(numbered), list(numbered.items())[:2])

# %% neighbours
for before, after in list(zip(lines, lines[1:]))[:4]:
    print(repr(before), "->", repr(after))
pairs = [(a, b) for a, b in zip(lines, lines[1:]) if a.startswith("Q:") and b.startswith("A:")]
print(len(pairs), pairs[-1])

# %% unpacked lines
first, second, *others = lines
print(first, second, len(others), type(others).__name__)

# %% lines joined again
print("\n".join(lines) == context)

# %% lines up to the long one joined again
place = max(range(len(lines)), key=lambda i: len(lines[i]))
head = "\n".join(lines[:place])
print(place, len(head), context.startswith(head))

# %% functions over lines
import fnmatch
print(sum(map(len, map(str.strip, lines))), fnmatch.filter(lines, "*ERROR*billing*took 8*")[:2])

# %% a list of lines
listed = list(lines)
listed.append("one more")
listed.sort(key=len, reverse=True)
print(len(listed), type(listed).__name__, listed[1][:60], listed[-1] == "")

# %% append to lines
try:
    lines = context.split("\n")
    lines.append("one more")
    print(len(lines))
except TypeError as e:
    print("TypeError:", e)

# %% sort lines
lines.sort()
print("sorted")

# %% lines and a list
print(len(lines + ["one more"]))

# %% lines in JSON
print(len(json.dumps(lines)))

# %% a line beyond the end
print(context.split("\n")[10**6])

# %% splitlines
lines = context.splitlines()
print(len(lines), lines[0], lines[3], lines[-1], len(context.splitlines(keepends=True)[0]))
print("".join(context[:5_000].splitlines(True)) == context[:5_000], [repr(x) for x in lines if "splitlines" in x])

# %% splitlines in a loop
for number, line in enumerate(context.splitlines(), start=1):
    if line.startswith("Revenue") or "magic" in line:
        print(number, line)

# %% words
words = context.split()
print(len(words), words[:6], words[-4:], Counter(w.lower().strip(".,") for w in words).most_common(5))

# %% words of everything
freq = Counter(re.findall(r"\w+", context.lower()))
print(len(freq), freq.most_common(8), freq["needle"], sum(freq.values()))

# %% words of slices
for start in (0, 100_000, 200_000):
    print(start, Counter(context[start:start + 5_000].lower().split()).most_common(3))

# %% characters
print(Counter(context).most_common(5), Counter(zip(context, context[1:])).most_common(2), min(context), max(context))
print(sum(ch.isdigit() for ch in context), sum(map(str.isupper, context)), len(set(context)))

# %% split by a heading
transcript = context.split("Transcript:")[1] if "Transcript:" in context else context
print(len(transcript), transcript[:60])

# %% split with a limit
title, author, rest = context.split("\r\n", 2)
print(title, author, len(rest), context.rsplit("\n", 3)[1:], context.split("### ", 1)[1][:30])

# %% sections
sections = {}
for block in context.split("### ")[1:]:
    name, _, body = block.partition("\n")
    sections[name.strip()] = body
print(len(sections), list(sections)[:3], {k: len(v) for k, v in list(sections.items())[38:42]})

# %% a section
body = sections["Section 045: Weather"] if "Section 045: Weather" in sections else list(sections.values())[45]
print(body[:200], body.count("\n"), "BEGIN REPORT" in body)

# %% paragraphs
paragraphs = [p for p in context.split("\n\n") if p.strip()]
print(len(paragraphs), paragraphs[1][:60], sum(len(p) > 500 for p in paragraphs))

# %% groups of lines
k = 500
for i in range(0, len(lines), k * 3):
    block = "\n".join(lines[i:i + 3])
    print(i, len(block), block[:40])

# %% the official prompt
chunk_size = len(context) // 20
for i in range(3):
    chunk_str = "\n".join(context[i * chunk_size:(i + 1) * chunk_size].split("\n")[:2])
    print(i, llm_query(f"Find the magic number. Documents: {chunk_str}"))

# %% a report in JSON
print(json.dumps({"length": len(context), "first": lines[:2], "last": context[-20:]}, indent=2, ensure_ascii=False))

# %% sampled lines
import random
random.seed(0)
for i in random.sample(range(len(lines)), 3):
    print(i, lines[i])
print(random.choice(lines), random.sample(lines, 2))
"""

_FORMATS = r"""
# %% JSON lines
records = [json.loads(line) for line in context.split("\n") if line.startswith("{")]
print(len(records), records[0], sum(r["score"] for r in records), {r["user"] for r in records if r["score"] > 9.8})

# %% JSON in a slice
start = context.find("{")
end = context.find("}", start) + 1
print(json.loads(context[start:end]), json.dumps({"text": context[:50]}))

# %% JSON from an offset
decoder = json.JSONDecoder()
obj, end = decoder.raw_decode(context[context.find('{"id": 100'):][:500])
print(obj, end)

# %% JSON from an offset of everything
try:
    print(decoder.raw_decode(context, context.find('{"id": 100')))
except ValueError as e:
    print(type(e).__name__)

# %% CSV in a slice
import csv
import io
start = context.find("id,name,score")
table = list(csv.DictReader(io.StringIO(context[start:context.find("\n\n", start)])))
print(len(table), table[0], [row["note"] for row in table][:2])

# %% CSV of lines
rows = [row for row in csv.reader(context.split("\n")) if len(row) == 4 and row[0].isdigit()]
print(len(rows), rows[0], sum(int(row[2]) for row in rows))

# %% lines of a buffer
buffer = io.StringIO(context[:3_000])
print(next(buffer), len(buffer.readlines()))

# %% a buffer of everything
buffer = io.StringIO(context)
print(len(buffer.read()))

# %% log lines into a dict
from collections import defaultdict
per_service = defaultdict(list)
for line in context.splitlines():
    if m := re.match(r"(\S+ \S+) \[(\w+)\] (\w+): request \d+ from \S+ took (\d+) ms", line):
        per_service[m.group(3)].append(int(m.group(4)))
print({name: (len(ms), max(ms), round(sum(ms) / len(ms), 2)) for name, ms in sorted(per_service.items())})

# %% dates
from datetime import datetime
stamps = [datetime.strptime(s, "%Y-%m-%d %H:%M:%S") for s in re.findall(r"^\d{4}-\d\d-\d\d [\d:]{8}", context, re.M)]
print(len(stamps), min(stamps), max(stamps), max(stamps) - min(stamps))

# %% wrapped
import textwrap
print(textwrap.fill(context[300:900], width=60))
print(textwrap.shorten(context[:2_000], 100), textwrap.indent(context[:100], "> "), len(textwrap.wrap(context[:9_000])))

# %% everything wrapped
print(textwrap.shorten(context, 60))
print(textwrap.wrap(context, 60)[2])

# %% dedented
print(textwrap.dedent(context[context.find("    and with"):][:60]), context.find("\tindented"))

# %% encoded
import hashlib
data = context.encode("utf-8")
print(len(data), data[:30], hashlib.md5(data).hexdigest(), hashlib.sha256(context[:9].encode()).hexdigest()[:8])

# %% normalised
import unicodedata
print(unicodedata.normalize("NFKD", context[:60]), len(unicodedata.normalize("NFKD", context)))

# %% templates
print("{} of {}".format(context[:20], len(context)), "%s|%d" % (context[-20:], len(context)), f"{context[:5]:>10}|")
print(f"{context:.60}", "{:.20}".format(context), f"{context!s:.10}")

# %% templates of everything
message = "Text: {}".format(context)
print(len(message))

# %% quoted
import html
import urllib.parse
print(html.escape(context[:80]), urllib.parse.quote(context[:40]), context[:40].encode("ascii", "ignore"))

# %% written and read
import os
import tempfile
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "part.txt")
    with open(path, "w", encoding="utf-8", newline="") as f:
        print(f.write(context[:5_000]))
    with open(path, encoding="utf-8", newline="") as f:
        print(f.read() == context[:5_000])

# %% everything written and read
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "all.txt")
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(context)
    with open(path, encoding="utf-8", newline="") as f:
        again = f.read()
print(len(again), again == context, again[:30])

# %% everything written, lines read
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "all.txt")
    with open(path, "w", encoding="utf-8") as f:
        f.write(context.replace("\r", ""))
    with open(path, encoding="utf-8") as f:
        print(f.readline(), sum(1 for line in f))

# %% everything written, read as text
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "all.txt")
    with open(path, "w", encoding="utf-8") as f:
        f.write(context)
    with open(path, encoding="utf-8") as f:
        again = f.read()
print(len(again), "\r\n" in again, again.count("\n"))

# %% everything written, read twice
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "all.txt")
    with open(path, "w", encoding="utf-8") as f:
        f.write(context)
    with open(path, encoding="utf-8") as f:
        print(f.readline().strip(), f.read(8))
        f.seek(0)
        print(f.readline().strip())

# %% everything written and read as a path
from pathlib import Path
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "all.txt")
    path.write_text(context, encoding="utf-8", newline="")
    print(len(path.read_bytes()), path.read_text(encoding="utf-8")[:20])
"""

_SUB_CALLS = r"""
# %% a slice for a sub-call
print(llm_query(f"Summarize this:\n{context[:10_000]}"))
print(llm_query("What is the title? " + context[:200]))

# %% everything for a sub-call
answer = llm_query(f"Summarize this:\n{context}")
print(answer)

# %% context itself for a sub-call
print(llm_query(context))

# %% a sum for a sub-call
prompt_text = "Summarize this:\n" + context
print(len(prompt_text), prompt_text[:40], prompt_text[-20:], prompt_text.count("ERROR"))

# %% sub-calls in a loop
answers = []
for i, chunk in enumerate(chunks[:5]):
    answers.append(llm_query(f"Chunk {i + 1}/{len(chunks)}: who grew up where?\n\n{chunk}"))
print("\n".join(answers))

# %% batched sub-calls
prompts = [f"Extract names from: {c}" for c in chunks[5:9]]
print(llm_query_batched(prompts))

# %% sub-calls over large chunks
print(llm_query_batched([f"Summarize: {c}" for c in large]))

# %% sub-calls in threads
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(max_workers=4) as pool:
    results = list(pool.map(lambda i: llm_query(context[i:i + 2_000]), range(0, len(context), 50_000)))
for r in results:
    print(r)

# %% searches in threads
def probe(term):
    return term, context.count(term), context.lower().find(term.lower()), len(re.findall(re.escape(term), context))

with ThreadPoolExecutor(8) as pool:
    print(list(pool.map(probe, terms)))

# %% sub-calls of asyncio
import asyncio

async def ask(n):
    return await asyncio.to_thread(llm_query, f"{n}: {context[n * 1_000:n * 1_000 + 500]}")

async def ask_all():
    return await asyncio.gather(*(ask(n) for n in range(3)))

print(asyncio.run(ask_all()))

# %% a sub-call for each section
summaries = {name: llm_query(body[:1_500]) for name, body in list(sections.items())[::20]}
for name, summary in summaries.items():
    print(f"{name}: {summary}")

# %% found lines for a sub-call
relevant = [line for line in context.split("\n") if re.search(r"grew up|was born", line, re.IGNORECASE)]
print(len(relevant), llm_query("Who grew up where?\n" + "\n".join(relevant)))

# %% map and reduce
partial = [llm_query(f"Count the errors:\n{c}") for c in chunk_text(context, 19_000, 0)]
print(len(partial), llm_query("Combine:\n" + "\n---\n".join(partial)))
"""

_MAKING = r"""
# %% replace
print(context.replace("\r\n", "\n")[:100], context.replace("Section", "Part")[30:80])
no_errors = context.replace("ERROR", "error").replace("needle", "")
print(len(no_errors), "ERROR" in no_errors, no_errors.count("error"), len(context.replace("a", "b", 3)))

# %% twice
double = context * 2
print(len(double), double.count("magic number"), double.find("Title:", 10), double[len(context) - 5:len(context) + 5])

# %% added
more = context + "\n\nQuestion: who?" + " \u2753"
print(len(more), more[-20:], more.find("Question:"), "=" * 20 + context[:10])

# %% added to itself
grown = context
grown += " and so on"
print(len(grown) - len(context), grown.endswith("and so on"), (context + context) == context * 2)

# %% joined
print(len("\n".join([context, "more"])))

# %% joined slices
print(len(" ... ".join([context[:5_000], context[-5_000:]])), len(" ... ".join([context[:30_000], context[-30_000:]])))

# %% joined chunks
print(len("\n---\n".join(chunks)), "|".join(context[:10]), len("-".join(context)))

# %% letters only
letters = "".join(ch for ch in context if ch.isalpha())
print(len(letters), letters[:40])

# %% translated
import string
table = str.maketrans("", "", string.punctuation)
print(context.translate(table)[:120], len(context.translate(table)))
print(context[:60].translate(str.maketrans("aeiou", "12345")))

# %% white space
flat = " ".join(context.split())
print(len(flat), flat[:80], context.expandtabs(4).count("\t"))

# %% compared
print(context < "U", context > "Title", context == "", context != context[:-1], context == context[:], context >= "Tit")
print(context[:100] == text[:100], context in [context], "Title" < context < "Titlf")

# %% as a key
cache = {context: "all", context[:10]: "beginning"}
print(cache[context], cache["Title: The"], hash(context) == hash(context[:]), len({context, context[:]}))

# %% copied
import copy
print(copy.copy(context) == context, copy.deepcopy({"text": context})["text"][:10])

# %% cached helper
from functools import lru_cache

@lru_cache(maxsize=None)
def occurrences(term, lowered=False):
    return (context.lower() if lowered else context).count(term)

print([occurrences(t) for t in ("needle", "error", "needle")], occurrences("error", True), occurrences.cache_info())

# %% a class over it
class Document:
    def __init__(self, text):
        self.text = text
        self.length = len(text)

    def peek(self, start, size=50):
        return self.text[start:start + size]

    def __contains__(self, term):
        return term.lower() in self.text.lower()

doc = Document(context)
print(doc.length, doc.peek(1_000), "BEGIN report" in doc, "nowhere at all" in doc)

# %% line starts and bisection
from bisect import bisect_right
starts = [0] + [m.end() for m in re.finditer("\n", context)]
at = context.find("magic number")
row = bisect_right(starts, at)
print(len(starts), row, at - starts[row - 1], context.count("\n", 0, at) + 1)

# %% largest and smallest
import heapq
import itertools
print([line[:40] for line in heapq.nlargest(3, context.split("\n"), key=len)], heapq.nsmallest(2, words))
print(list(itertools.islice(context, 5)), [(k, len(list(g))) for k, g in itertools.groupby(context[:60], str.isalpha)])

# %% similar headings
import difflib
print(difflib.get_close_matches("Section 010: Rocket", headings, n=2))
print(round(difflib.SequenceMatcher(None, context[:300], context[300:600]).ratio(), 4))

# %% built from a loop
summary = ""
for i in range(0, len(context), 75_000):
    summary += f"[{i}] " + context[i:i + 25] + "\n"
print(summary)

# %% code in a string
print(eval("context[:20] + '...'"))
exec("found_by_exec = context.find('Transcript')")
print(found_by_exec)

# %% an assertion
assert "Transcript:" in context, "no transcript"
assert len(context) < 1_000, f"too long: {len(context)} characters"

# %% no such name
print(contxt[:10])

# %% a wrong operand
print(context + 5)

# %% a wrong argument
try:
    context.find(5)
except TypeError as e:
    print("TypeError:", e)
print(context.count(None))

# %% an item set
try:
    context[0] = "x"
except TypeError as e:
    print(e)

# %% overwritten
context = context.replace("\r\n", "\n").strip()
print(len(context), "\r" in context, context[:30], context[-10:], context.count("\n"))

# %% the overwritten one
print(context.find("Transcript:"), re.search("magic number is (\\d+)", context).group(1), len(context.split("\n")))
print([m.start() for m in re.finditer("Revenue", context)], context[100_000:100_060], "\u0130zmir" in context)

# %% overwritten by a part
context = context.lower()[50_000:250_000]
lines = context.split("\n")
print(len(context), len(lines), lines[1], sum("[error]" in line for line in lines), context.find("### section"))

# %% the answer
final_answer = re.search(r"special magic number is (\d+)", text).group(1)
print(f"FINAL({final_answer})")
"""

_GROUPS = (_FIRST_LOOKS, _SLICES, _SEARCHES, _REGEX, _LINES, _FORMATS, _SUB_CALLS, _MAKING)


def _named(source: str) -> list[tuple[str, str]]:
    _, *named = re.split(r"^# %% (.+)\n", source, flags=re.MULTILINE)
    return [(name, cell.strip() + "\n") for name, cell in zip(named[::2], named[1::2], strict=True)]


CELLS = tuple(cell for group in _GROUPS for cell in _named(group))
"""Names and sources, in the order in which they are to be run in one namespace."""
