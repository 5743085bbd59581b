r"""What language models write against ``context`` in a REPL, as they write it, on a prompt of hundreds of millions.

Each cell runs in a process of its own, by ``exec`` as REPLs do it, and leaves an ``answer``; what it is to be comes
from ``str`` and ``re`` on the parts that the text was built of. The peak of private memory is measured.

Where a cell of models' is not here as they write it, its result or C code itself takes the whole text in memory,
whatever the prompt does: ``io.StringIO(context)``, ``print(context)`` to a text file or a captured standard output
(they copy or encode the one string that they get), ``f"...{context}..."``, ``re.split`` and ``re.sub`` of everything,
and a list of all chunks that are short enough to be strings. They are here on slices, or as loops.
"""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest

import distributed_prompt as dp
from tests.model_text import HEAD, LONG_LINE, QUERY, TAIL, ModelText

ROOT = Path(__file__).resolve().parent.parent
CHARACTERS = 160_000_000  # more than the limit in bytes
LIMIT_MB = 150
TIMEOUT_S = 240

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(sys.platform != "linux", reason="strings are mapped on Linux only"),
]

RUN = """
import json, sys
import distributed_prompt as dp
from bench.watching import Watched

class Sink:  # a file that keeps nothing
    def __init__(self):
        self.characters, self.end = 0, ""
    def write(self, text):
        self.characters, self.end = self.characters + len(text), text[-20:] if len(text) > 1 else self.end
    def flush(self):
        pass

namespace = {"__name__": "__main__", "context": dp.open(sys.argv[1]), "sink": Sink()}
with Watched() as watched:
    exec(sys.stdin.read(), namespace)
print(json.dumps({"answer": namespace["answer"], "peak_mb": watched.peak_bytes / 1e6}))
"""


class Cell(NamedTuple):
    """What a model writes, and what ``answer`` is then."""

    code: str
    expected: Callable[[ModelText], object]


def windows(text: ModelText, terms: list[str]) -> list[object]:
    """Where terms are, and what is around them."""
    found = [text.find(term) for term in terms]
    return [[at, text.slice(max(0, at - 300), at + 700) if at >= 0 else ""] for at in found]


def matches(text: ModelText, pattern: str, flags: int = 0) -> list[list[object]]:
    """Where a pattern matches that does so within a line, and what."""
    found: list[list[object]] = []
    before = 0
    for part in text.parts():
        found += [[before + match.start(), match[0]] for match in re.finditer(pattern, part, flags)]
        before += len(part)
    return found


def numbered_lines(text: ModelText, *words: str) -> list[list[object]]:
    """The lines that have one of some words."""
    return [[number, line] for number, line in enumerate(text.lines()) if any(word in line for word in words)]


MIDDLE = 123_456_789
LATE = 130_000_000
PEOPLE = ".{0,200}(grew up|born|childhood|hometown|raised).{0,200}"
TERMS = ["Transcript", "entry_00007", "magic number", "nowhere at all"]
CASED = ["TRANSCRIPT", "Artificial General", "\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3"]

CELLS = {
    "first look": Cell(
        "print(type(context)); print(len(context)); print(context[:4000])\n"
        "answer = [len(context), context[:4000], type(context[:4000]).__name__]",
        lambda text: [text.length, text.slice(0, 4000), "str"],
    ),
    "isinstance": Cell(
        "text = context if isinstance(context, str) else str(context)\n"
        "answer = [len(text), type(text).__name__, text[-100:]]",
        lambda text: [text.length, "str", text.end(100)],
    ),
    "hasattr": Cell(
        "answer = [hasattr(context, name) for name in ('__len__', '__getitem__', '__iter__', 'split', 'find', 'keys')]",
        lambda _: [True, True, True, True, True, False],
    ),
    "alias": Cell(
        "text = context\nanswer = [text is context, len(text), text[1000:1100]]",
        lambda text: [True, text.length, text.slice(1000, 1100)],
    ),
    "slice from": Cell(
        f"rest = context[{LATE}:]\nanswer = [len(rest), rest[:500], rest.find('key-8')]",
        lambda text: [text.length - LATE, text.slice(LATE, LATE + 500), text.find("key-8") - LATE],
    ),
    "slice between": Cell(
        f"part = context[{MIDDLE}:{MIDDLE + 1_000_000}]\nanswer = [type(part).__name__, len(part), part[-300:]]",
        lambda text: ["str", 1_000_000, text.slice(MIDDLE + 999_700, MIDDLE + 1_000_000)],
    ),
    "slice of the end": Cell(
        "answer = [context[-500:], context[-1], context[0]]",
        lambda text: [text.end(500), TAIL[-1], HEAD[0]],
    ),
    "slice of a slice": Cell(
        f"answer = context[:{LATE}][1_000_000:-1_000_000][:1000]",
        lambda text: text.slice(1_000_000, 1_001_000),
    ),
    "find in a loop": Cell(
        f"answer = []\n"
        f"for term in {TERMS}:\n"
        "    idx = context.find(term)\n"
        "    answer.append([idx, context[max(0, idx-300): idx+700] if idx >= 0 else ''])",
        lambda text: windows(text, TERMS),
    ),
    "find all": Cell(
        "answer, start = [], 0\n"
        "while True:\n"
        "    idx = context.find('### Section', start)\n"
        "    if idx == -1:\n"
        "        break\n"
        "    answer.append([idx, context[idx:idx + 11]])\n"
        "    start = idx + 1",
        lambda text: matches(text, "### Section"),
    ),
    "rfind": Cell(
        "answer = [context.rfind('Transcript:'), context.rfind('nowhere at all')]",
        lambda text: [text.find("Transcript:"), -1],
    ),
    "in": Cell(
        "answer = ['magic number' in context, 'nowhere at all' in context, 'Transcript:' in context]",
        lambda _: [True, False, True],
    ),
    "count": Cell(
        "answer = [context.count('static'), context.count('\\n'), context.count('\U0001f389')]",
        lambda text: [text.count("static"), text.count("\n"), text.count("\U0001f389")],
    ),
    "line number": Cell(
        "idx = context.find('entry_00100')\nanswer = context.count('\\n', 0, idx) + 1",
        lambda text: next(number for number, line in enumerate(text.lines(), 1) if "entry_00100" in line),
    ),
    "startswith": Cell(
        "answer = [context.startswith('\\n  {'), context.startswith(('a', 'b')), context.endswith('\\n \\n')]",
        lambda _: [True, False, True],
    ),
    "re.findall": Cell(
        r"import re" + "\n" + r"answer = re.findall(r'static int (\w+)\(', context.as_str())",
        lambda text: [match[1] for part in text.parts() for match in re.finditer(r"static int (\w+)\(", part)],
    ),
    "re.finditer": Cell(
        "import re\ntext = str(context)\nagi = re.finditer('AGI|Artificial General Intelligence', text)\n"
        "answer = [[m.start(), m.group(0)] for m in agi]",
        lambda text: matches(text, "AGI|Artificial General Intelligence"),
    ),
    "re.search over lines": Cell(
        "import re\n"
        "m = re.search(r'key-8.*?special magic number.*?(\\d+)', context.as_str(), re.DOTALL)\n"
        "answer = [m.start(), m.end(), m.group(1)]",
        lambda text: [text.find("key-8"), text.find("4711 and no other") + 4, "4711"],
    ),
    "re.IGNORECASE": Cell(
        "import re\nanswer = [[m.start(), m.group(0)] for m in re.finditer('transcript: so|grew up in', "
        "context.as_str(), re.IGNORECASE)]",
        lambda text: matches(text, "transcript: so|grew up in", re.IGNORECASE),
    ),
    "re.MULTILINE": Cell(
        "import re\nheads = re.compile(r'^### (.+)$', re.MULTILINE)\nanswer = heads.findall(context.as_str())",
        lambda text: [line[4:] for line in text.lines() if line.startswith("### ")],
    ),
    "re of a slice": Cell(
        f"import re\nanswer = re.findall({PEOPLE!r}, context[-300:], re.IGNORECASE)",
        lambda text: re.findall(PEOPLE, text.end(300), re.IGNORECASE),
    ),
    "re.split of a slice": Cell(
        "import re\nparts = re.split(r'### (.+)', context[:4_000_000])\n"
        "answer = [parts[1::2], [len(part) for part in parts]]",
        lambda text: [
            (split := re.split(r"### (.+)", text.slice(0, 4_000_000)))[1::2],
            [len(part) for part in split],
        ],
    ),
    "str(context)": Cell(
        "text = str(context)\n"
        "answer = [type(text) is str, len(text), text[:500], str(context)[-50:]]\n"
        "answer += [text == context, text.count('static')]",
        lambda text: [
            True,
            text.length,
            text.slice(0, 500),
            text.end(50),
            True,
            text.count("static"),
        ],
    ),
    "print(context)": Cell(
        "print(context, file=sink)\nprint(context[:2000])\nanswer = [sink.characters, sink.end]",
        lambda text: [text.length + 1, text.end(20)],
    ),
    "f-string": Cell(
        "answer = [len(f'{context}'), len(f'Summarize: {context[:100_000]}'), repr(context)[:25]]",
        lambda text: [text.length, 100_011, "DistributedPrompt(length="],
    ),
    "split by newline, index": Cell(
        "lines = context.split('\\n')\n"
        "answer = [lines[0], lines[1], lines[1000], lines[1_000_000], lines[-3], lines[-1]]",
        lambda text: [
            *(line for number, line in enumerate(text.lines()) if number in {0, 1, 1000, 1_000_000}),
            TAIL.split("\n")[-3],
            "",
        ],
    ),
    "split by newline, len": Cell(
        "answer = len(context.split('\\n'))",
        lambda text: text.count("\n") + 1,
    ),
    "split by newline, iterate": Cell(
        "answer = []\n"
        "for i, line in enumerate(context.split('\\n')):\n"
        "    if 'entry_000' in line or 'magic' in line:\n"
        "        answer.append([i, str(line)])",
        lambda text: numbered_lines(text, "entry_000", "magic"),
    ),
    "split by newline, comprehension": Cell(
        "lines = context.split('\\n')\nanswer = [line for line in lines if line.startswith('### ')]",
        lambda text: [line for line in text.lines() if line.startswith("### ")],
    ),
    "split by newline, slice and join": Cell(
        "lines = context.split('\\n')\nanswer = '\\n'.join(lines[1_000_000:1_000_010])",
        lambda text: "\n".join(islice(text.lines(), 1_000_000, 1_000_010)),
    ),
    "split by newline, the longest": Cell(
        "answer = len(max(context.split('\\n'), key=len))",
        lambda _: len(LONG_LINE) - 1,
    ),
    "split by a heading": Cell(
        "transcript = context.split('Transcript:')[1] if 'Transcript:' in context else context\n"
        "answer = [len(transcript), transcript[:100]]",
        lambda text: [
            text.length - (start := text.find("Transcript:") + len("Transcript:")),
            text.slice(start, start + 100),
        ],
    ),
    "split into sections": Cell(
        "sections = context.split('### ')\n"
        "answer = [len(sections), [s[:13] for s in sections[1:5]], sum(len(s) for s in sections)]",
        lambda text: [
            (count := text.count("### ")) + 1,
            [f"Section {number:05d}" for number in range(4)],
            text.length - 4 * count,
        ],
    ),
    "split into paragraphs": Cell(
        "answer = [p[-30:] for p in context.split('\\n\\n')][:50]",
        lambda text: [p[-30:] for p in text.slice(0, 60_000_000).split("\n\n")][:50],
    ),
    "split into words": Cell(
        "words = context[:20_000_000].split()\nanswer = [len(words), list(words[:5]), words[1_000_000]]",
        lambda text: [
            len(words := text.slice(0, 20_000_000).split()),
            words[:5],
            words[1_000_000],
        ],
    ),
    "splitlines": Cell(
        "lines = context.splitlines()\nanswer = [len(lines), lines[2], lines[-1]]",
        lambda text: [text.sum(lambda part: len(part.splitlines())), HEAD.splitlines()[2], " "],
    ),
    "splitlines, iterate": Cell(
        "answer = sum(len(line) for line in context.splitlines())",
        lambda text: text.sum(lambda part: sum(map(len, part.splitlines()))),
    ),
    "strip and split": Cell(
        "lines = context.strip().split('\\n')\nanswer = [len(lines), lines[0], lines[-1]]",
        lambda text: [text.count("\n") - 2, QUERY, TAIL.strip().split("\n")[-1]],
    ),
    "partition": Cell(
        "head, sep, rest = context.partition('Transcript:')\nanswer = [head, sep, len(rest), rest[:50]]",
        lambda text: [
            *HEAD.partition("Transcript:")[:2],
            text.length - (start := HEAD.find("Transcript:") + len("Transcript:")),
            text.slice(start, start + 50),
        ],
    ),
    "lower": Cell(
        "low = context.lower()\nanswer = [len(low), low[:300], low.count('strasse'), low[-200:]]",
        lambda text: [
            text.sum(lambda part: len(part.lower())),
            text.slice(0, 1000).lower()[:300],
            text.sum(lambda part: part.lower().count("strasse")),
            text.end(1000).lower()[-200:],
        ],
    ),
    "in lower": Cell(
        "answer = [t.lower() in context.lower() for t in ['Magic Number', 'ISTANBUL', 'Nowhere At All']]",
        lambda _: [True, False, False],
    ),
    "find in lower": Cell(
        f"answer = []\nfor t in {CASED}:\n    answer.append([t, context.lower().find(t.lower())])",
        lambda text: [[term, text.find(term.lower(), str.lower)] for term in CASED],
    ),
    "upper": Cell(
        "answer = [context.upper().count('STATIC INT'), len(context.upper())]",
        lambda text: [
            text.sum(lambda part: part.upper().count("STATIC INT")),
            text.sum(lambda part: len(part.upper())),
        ],
    ),
    "replace": Cell(
        "clean = context.replace('static', 'dynamic').replace('\\r\\n', '\\n')\n"
        "answer = [len(clean), clean.count('dynamic'), 'static' in clean, clean[-100:]]",
        lambda text: [
            text.sum(lambda part: len(_cleaned(part))),
            text.sum(lambda part: _cleaned(part).count("dynamic")),
            False,
            _cleaned(text.end(200))[-100:],
        ],
    ),
    "concatenate": Cell(
        "more = context + '\\n\\nQuestion: who?'\nanswer = [len(more), more[-30:], more.find('Question:')]",
        lambda text: [
            text.length + 16,
            (text.end(30) + "\n\nQuestion: who?")[-30:],
            text.length + 2,
        ],
    ),
    "enumerate": Cell(
        "from itertools import islice\n"
        "answer = [i for i, ch in islice(enumerate(context), 1_000_000) if ch == '#' or ch == '\U0001f389']",
        lambda text: [at for at, each in enumerate(text.slice(0, 1_000_000)) if each in "#\U0001f389"],
    ),
    "chunk loop": Cell(
        "k, answer = 500_000, []\n"
        "for i in range(0, len(context), k):\n"
        "    chunk = context[i:i+k]\n"
        "    answer.append(chunk.count('static'))\n"
        "answer = [len(answer), len(chunk), chunk[-50:], sum(answer[:20])]",
        lambda text: [
            -(-text.length // 500_000),
            text.length % 500_000 or 500_000,
            text.end(50),
            sum(text.slice(at, at + 500_000).count("static") for at in range(0, 10_000_000, 500_000)),
        ],
    ),
    "list of large chunks": Cell(
        "k = 10_000_000\nchunks = [context[i:i+k] for i in range(0, len(context), k)]\n"
        "answer = [len(chunks), sum(len(c) for c in chunks), chunks[7][:100]]",
        lambda text: [-(-text.length // 10_000_000), text.length, text.slice(70_000_000, 70_000_100)],
    ),
    "chunks in threads": Cell(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def llm_query(i):\n"
        "    return [context[i:i+20], context[i:i+100_000].count('static')]\n"
        "with ThreadPoolExecutor(max_workers=4) as pool:\n"
        f"    answer = list(pool.map(llm_query, range(0, {LATE}, {LATE // 10})))",
        lambda text: [
            [text.slice(at, at + 20), text.slice(at, at + 100_000).count("static")] for at in range(0, LATE, LATE // 10)
        ],
    ),
    "json.loads of a slice": Cell(
        "import json\nstart = context.find('{')\nend = context.find('}', start) + 1\n"
        "answer = json.loads(context[start:end])",
        lambda _: json.loads(QUERY),
    ),
    "io.StringIO of a slice": Cell(
        "import io\nanswer = [len(line) for line in io.StringIO(str(context[:5_000_000]))][-100:]",
        lambda text: [len(line) for line in io.StringIO(text.slice(0, 5_000_000))][-100:],
    ),
}


def _cleaned(part: str) -> str:
    return part.replace("static", "dynamic").replace("\r\n", "\n")


@pytest.fixture(scope="module")
def text() -> ModelText:
    return ModelText(CHARACTERS)


@pytest.fixture(scope="module")
def pack(text: ModelText, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    source, packed = folder / "context.txt", folder / "context.dprompt"
    with source.open("w", encoding="utf-8", newline="") as file:
        file.writelines(text.parts())
    assert dp.pack(source, packed).length == text.length
    source.unlink()
    return packed


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_gives_what_str_gives_in_little_memory(name: str, pack: Path, text: ModelText) -> None:
    cell = CELLS[name]
    ran = subprocess.run(
        [sys.executable, "-c", RUN, str(pack)],
        input=cell.code,
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        cwd=ROOT,
        env=os.environ | {"PYTHONUTF8": "1"},
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.split("\n")[-2])
    assert found["answer"] == cell.expected(text)
    assert found["peak_mb"] < LIMIT_MB
