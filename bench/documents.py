"""Many documents against one joined file, and packs that grow: prints tables.

    python -m bench.documents linux-tree
    python -m bench.documents million

Everything is done with both engines. Peak memory is that of the process's own (RssAnon).
"""

import argparse
import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path

import distributed_prompt as dp
from bench.run import python
from tools.make_corpus import CORPORA, TREES, make_tree

ENGINES = ("sqlite", "lmdb")
LOOKUPS = 2_000
PAGE = 4096


def timed(call: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def lookups(call: Callable[[int], object]) -> str:
    """Median and 99th percentile of many calls."""
    times = sorted(timed(lambda n=n: call(n)) * 1e3 for n in range(LOOKUPS))  # type: ignore[misc]
    return f"{statistics.median(times):.3f} ms median, {times[LOOKUPS * 99 // 100]:.3f} ms at the 99th percentile"


def join(pack: Path, text: Path) -> None:
    """The documents of a pack as one file, as they are in the prompt."""
    with dp.open(pack) as prompt, text.open("wb") as file:
        for chunk in prompt.chunks(2**20):
            file.write(str(chunk).encode("utf-8", "surrogatepass"))


def changed_pages(before: Path, after: Path) -> tuple[int, int]:
    """How many pages of the first file are not at their place in the second, and how many there are."""
    with before.open("rb") as old, after.open("rb") as new:

        def pages(file: object) -> Iterator[bytes]:
            return iter(lambda: file.read(PAGE), b"")  # type: ignore[attr-defined]

        pairs = list(zip_longest(map(hash, pages(old)), map(hash, pages(new))))
    total = before.stat().st_size // PAGE
    return sum(1 for first, second in pairs[:total] if first != second), total


def bench(name: str) -> None:
    """Measure one tree."""
    tree, text = make_tree(name), CORPORA / f"{name}.joined"
    for engine in ENGINES:
        pack, joined = (CORPORA / f"{name}.{kind}.{engine}.dprompt" for kind in ("tree", "joined"))
        measured = python("operation.py", "memory", "pack_folder", tree, pack, engine)
        seconds = python("operation.py", "time", "pack_folder", tree, pack, engine)["seconds"]
        join(pack, text)
        joined_seconds = python("operation.py", "time", "pack", text, joined, engine)["seconds"]
        with dp.open(pack) as prompt:
            count, length = len(prompt.documents), len(prompt)
        more = (pack.stat().st_size - joined.stat().st_size) / count
        print(f"\n{name}, {engine}: {count:,} documents, {length:,} characters, {pack.stat().st_size:,} bytes")
        print(
            f"pack: {seconds:.1f} s, peak RssAnon {measured['peak_bytes'] / 1e6:.0f} MB; joined: {joined_seconds:.1f} s"
        )
        print(f"bytes a document more than joined: {more:.1f}")
        opened = [timed(lambda pack=pack: len(dp.open(pack))) * 1e3 for _ in range(200)]  # type: ignore[misc]
        print(f"open and len: {statistics.median(opened):.3f} ms")
        chance = random.Random(5)  # noqa: S311  # the same every time
        with dp.open(pack) as prompt:
            offsets = chance.choices(range(len(prompt)), k=LOOKUPS)
            names = [document.name for document in map(prompt.document_at, offsets) if document]
            print(f"document_at: {lookups(lambda n: prompt.document_at(offsets[n]))}")  # noqa: B023  # used at once
            print(f"documents[name]: {lookups(lambda n: prompt.documents[names[n % len(names)]])}")  # noqa: B023
        grow(pack, text, CORPORA / f"{name}.grown.{engine}.dprompt")
        for operation, arguments in (("verify", (pack,)), ("unpack_folder", (pack, CORPORA / f"{name}.unpacked"))):
            shutil.rmtree(CORPORA / f"{name}.unpacked", ignore_errors=True)
            found = python("operation.py", "memory", operation, *arguments)
            print(f"{operation}: {found['seconds']:.1f} s, peak RssAnon {found['peak_bytes'] / 1e6:.0f} MB")
        shutil.rmtree(CORPORA / f"{name}.unpacked", ignore_errors=True)


def grow(pack: Path, text: Path, grown: Path) -> None:
    """Append one per cent, from the middle of the text itself."""
    more = CORPORA / "zz-more.txt"
    with text.open("rb") as file:
        size = text.stat().st_size
        file.seek(size // 2)
        file.readline()
        more.write_bytes(file.read(size // 100).decode(errors="ignore").encode())
    shutil.copyfile(pack, grown)
    found = python("operation.py", "memory", "append", grown, more)
    changed, total = changed_pages(pack, grown)
    print(
        f"append 1 %: {found['seconds']:.2f} s, peak RssAnon {found['peak_bytes'] / 1e6:.0f} MB; "
        f"{changed:,} of {total:,} old pages changed ({changed / total:.2%}), "
        f"{grown.stat().st_size - total * PAGE:,} bytes more"
    )


def main() -> None:
    """Measure the trees that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=sorted(TREES))
    for name in parser.parse_args().names:
        bench(name)


if __name__ == "__main__":
    main()
