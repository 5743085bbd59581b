"""Cells as models write them for a context, by what they do; with what a model in a recursive call writes.

The first are to print the same over any kind of ``context``; those of SHOWN show a long context whole, or hand it to
code in C, where a lazy one shows a notice.
"""

CELLS = {
    "probing": """
print(isinstance(context, str), hasattr(context, "__len__"), hasattr(context, "keys"), len(context))
print(context[:2000] if isinstance(context, str) else context)
""",
    "slices": """
print(context[1_000_000:1_000_300])
print(context[-500:])
print(context[5_000_000:][:200])
for start in range(0, len(context), len(context) // 20):
    print(start, repr(context[start : start + 60]))
""",
    "find and a window": """
text = context if isinstance(context, str) else str(context)
for name in ("irq_bypass_unregister", "static int __init acpi_", "no such text in any kernel"):
    idx = text.find(name)
    print(name, idx, text[max(0, idx - 300) : idx + 700][:300] if idx >= 0 else "")
""",
    "a loop of finds": """
hits, start = [], 0
while len(hits) < 200:
    start = context.find("error(", start)
    if start < 0:
        break
    hits.append(start)
    start += 1
print(len(hits), hits[:5], context[hits[-1] - 20 : hits[-1] + 60])
print(context.rfind("error("))
""",
    "keywords": """
terms = ["Kernel Panic", "deadlock", "use after free", "no such text in any kernel"]
for t in terms:
    print(t, context.lower().find(t.lower()), t in context, context.count(t))
print([t for t in terms if t.lower() in context.lower()])
""",
    "regex": r"""
import re
found = re.findall("(kernel panic|use after free|null pointer).{0,60}", context, re.IGNORECASE)
print(len(found), found[:10])
# On all of a string, this one takes a quarter of an hour.
found = re.findall(".{0,60}(kernel panic|use after free).{0,60}", context[: len(context) // 20], re.IGNORECASE)
print(len(found), found[:10])
spans = [(m.start(), m.end(), m.group()) for m in re.finditer("AGPGART|Accelerated Graphics", context, re.IGNORECASE)]
print(len(spans), spans[:3], spans[-1:])
""",
    "compiled and with flags": r"""
import re
from collections import Counter
licence = re.compile(r'^\s*MODULE_LICENSE\("(.+?)"\)', re.MULTILINE)
print(Counter(licence.findall(context)).most_common(5))
m = re.search(r"irq_bypass_register_producer\(.*?return (\w+);", context, re.DOTALL)
print((m.start(), m.group(1), m.group(0)[:100]) if m else None)
print(re.search(r"key-8.*?special magic number.*?(\d+)", context, re.DOTALL))
""",
    "split": r"""
lines = context.split("\n")
print(len(lines), lines[0], lines[12345], lines[len(lines) // 2], lines[-2])
print(context.split("EXPORT_SYMBOL_GPL(")[1][:50] if "EXPORT_SYMBOL_GPL(" in context else context[:10])
print(context.strip().split("\n")[-1])
del lines
""",
    "edges": r"""
print(context.startswith("# SPDX"), context.endswith("\n"), context.partition("\n")[0], context.isascii())
print(context.lstrip("# ")[:30], context.rstrip()[-20:])
head, _, rest = context.partition("MODULE_LICENSE")
print(len(head), len(rest), rest[:40])
del head, rest
""",
    "new texts": """
text = context.replace("kmalloc", "KMALLOC")
print(len(text), text.find("KMALLOC"), text[:80])
text = "Context: " + context + " [end]"
print(len(text), text[:30], text[-10:])
for i, character in enumerate(context):
    if i > 5:
        break
    print(i, character)
del text
""",
    "parts": r"""
import io, json, re
from collections import Counter
print(re.split(r"MODULE_(.+)", context[2_000_000:4_000_000])[1:4])
print(Counter(context[:2_000_000].split()).most_common(5))
print(io.StringIO(context[:100_000]).readline(), len(json.dumps(context[:100_000])))
try:
    json.loads(context[:1000])
except ValueError as error:
    print(type(error).__name__, error)
""",
    "chunks": """
from concurrent.futures import ThreadPoolExecutor
size = len(context) // 10 + 1
chunks = [context[i : i + size] for i in range(0, len(context), size)]
print([len(c) for c in chunks])
with ThreadPoolExecutor(4) as pool:
    print(list(pool.map(lambda c: c.count("struct "), chunks)))
print(llm_query_batched([f"Summarise this: {c[:20_000]}" for c in chunks]))
print(llm_query(f"What is this about? {context[:50_000]}"))
del chunks
""",
}

RECURSIVE = {
    "children": """
print(rlm_query(context[3_000_000:3_020_000]))
print(rlm_query(context))
print(rlm_query_batched([context[:20_000], context[20_000:40_000]]))
print(rlm_query(f"How many structs are in this? {context}"))
""",
}

SHOWN = {
    "shown whole": """
s = str(context)
print(len(s), s[:100])
print(context)
print(f"{context}"[:80])
print(llm_query(f"What is in this? {context}"))
context = "overwritten"
""",
}

FINAL = """
print(SHOW_VARS())
answer["content"] = f"{len(context)} characters, {context.count('EXPORT_SYMBOL_GPL')} symbols"
answer["ready"] = True
"""

CHILD = """
import re
m = re.search(r"struct (\\w+)", context)
answer["content"] = f"{len(context)}: {context.count('struct ')} structs, the first is {m.group(1) if m else None}"
answer["ready"] = True
"""
