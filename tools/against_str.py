"""Pack large corpora and compare the prompts with the ordinary strings: minutes, and memory for the whole text.

python -m tools.against_str cjk one-line
"""

import argparse
import filecmp
import random
import sys
import time
from collections.abc import Iterator

import distributed_prompt as dp
from tools.make_corpus import MAKERS, make

TRIALS = 300


def comparisons(prompt: dp.DistributedPrompt, text: str, chance: random.Random) -> Iterator[tuple[str, object, object]]:
    """What was asked, what the prompt says, what the string says."""
    length = len(text)
    yield "len", len(prompt), length
    yield "lines", len(prompt.lines), text.count("\n") + (not text.endswith("\n"))
    yield "prompt == text", prompt == text, True
    yield "text == prompt", text == prompt, True
    for needle in ("\n", text[length // 2 : length // 2 + 3], "no such text in any kernel", "\U0001fa61", "aa"):
        yield f"count {needle!r}", prompt.count(needle), text.count(needle)
        yield f"find {needle!r}", prompt.find(needle), text.find(needle)
        yield f"rfind {needle!r}", prompt.rfind(needle), text.rfind(needle)
    for _ in range(TRIALS):
        start = chance.randrange(length)
        stop = start + chance.choice((1, 100, 10_000, 1_000_000))
        yield f"[{start}:{stop}]", prompt[start:stop], text[start:stop]
        yield f"[{start}]", prompt[start], text[start]
        needle = text[start : start + chance.choice((1, 2, 7, 30, 500))]
        low = chance.randrange(length)
        yield f"find {needle!r} from {low}", prompt.find(needle, low), text.find(needle, low)
        yield f"rfind {needle!r} to {start}", prompt.rfind(needle, 0, start), text.rfind(needle, 0, start)
        high = min(length, low + 3_000_000)
        yield f"count {needle!r} in [{low}:{high}]", prompt.count(needle, low, high), text.count(needle, low, high)
    for _ in range(10):
        start = chance.randrange(length)
        line = prompt.line_at(start)
        begin = text.rfind("\n", 0, start) + 1
        end = text.find("\n", start)
        yield f"line_at {start}", line, text.count("\n", 0, start)
        yield f"lines[{line}]", prompt.lines[line], text[begin : length if end < 0 else end]


def compare(name: str) -> int:
    """The number of differences in one corpus."""
    source = make(name)
    pack, copy = source.with_suffix(".dprompt"), source.with_suffix(".copy")
    start = time.perf_counter()
    dp.pack(source, pack, overwrite=True)
    print(f"{name}: packed in {time.perf_counter() - start:.1f} s, {pack.stat().st_size:,} bytes", flush=True)
    with dp.FileBackend(pack) as backend:
        problems = list(dp.verify(backend))
        dp.unpack(backend, copy, overwrite=True)
    same = filecmp.cmp(source, copy, shallow=False)
    copy.unlink()
    text = source.open(encoding="utf-8", newline="").read()
    done = differences = 0
    with dp.open(pack) as prompt:
        for what, found, expected in comparisons(prompt, text, random.Random(1)):  # noqa: S311  # repeatable
            done += 1
            # A line or slice beyond the threshold is a view; it compares as a string does.
            if found != expected:
                differences += 1
                print(f"  {what}: {found!r:.100}, str says {expected!r:.100}")
    print(f"{name}: {done} comparisons, {differences} differences; verify: {len(problems)} problems; unpacked ", end="")
    print("identical" if same else "DIFFERENT", flush=True)
    return differences + len(problems) + (not same)


def main() -> None:
    """Compare each corpus that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=sorted(MAKERS))
    sys.exit(min(1, sum(compare(name) for name in parser.parse_args().names)))


if __name__ == "__main__":
    main()
