"""The benchmark: each figure as a ratio against a named peer, both taken in turn in one run; medians.

    python -m bench.run --corpus linux --copies 1 --repeats 5

Needs zstd and ripgrep on the PATH for the rows that name them; those rows are left out where they are missing.
Writes a table to standard output.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.make_corpus import make

ROOT = Path(__file__).resolve().parent.parent
ABSENT = "no such text in any kernel"
Timer = Callable[[], float]


def python(script: str, *arguments: str | Path) -> dict[str, Any]:
    """The JSON that a script of this folder prints."""
    command = [sys.executable, str(ROOT / "bench" / script), *map(str, arguments)]
    result: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return result


def shell(command: str) -> float:
    """Seconds that a shell command takes."""
    start = time.perf_counter()
    subprocess.run(command, shell=True, check=False, stdout=subprocess.DEVNULL)  # noqa: S602  # the peers are pipelines
    return time.perf_counter() - start


def paired(ours: Timer, theirs: Timer, repeats: int) -> tuple[float, float, float]:
    """Medians of both, taken in turn, and of their ratios."""
    pairs = []
    for repeat in range(repeats):
        # Each goes first in half of the pairs.
        if repeat % 2:
            second, first = theirs(), ours()
        else:
            first, second = ours(), theirs()
        pairs.append((first, second))
    return (
        statistics.median(pair[0] for pair in pairs),
        statistics.median(pair[1] for pair in pairs),
        statistics.median(pair[0] / pair[1] for pair in pairs),
    )


class Table:
    """Rows of the report, printed as they come."""

    def __init__(self) -> None:
        """Print the head."""
        print("| work | ours | peer | ratio | to reach |")
        print("|---|---|---|---|---|")

    def row(self, work: str, ours: str, peer: str, ratio: str, target: str) -> None:
        """Print one row."""
        print(f"| {work} | {ours} | {peer} | {ratio} | {target} |", flush=True)


def bench(text: Path, repeats: int) -> None:
    """Measure everything on one text."""
    pack, compressed = text.with_suffix(".dprompt"), text.with_suffix(".zst")

    def seconds(name: str, *arguments: str | Path) -> float:
        return float(python("operation.py", "time", name, *arguments)["seconds"])

    table = Table()
    has_zstd, has_rg = shutil.which("zstd"), shutil.which("rg")
    if has_zstd:
        ours, theirs, ratio = paired(
            lambda: seconds("pack", text, pack),
            lambda: shell(f"zstd -3 -T2 -q -f {text} -o {compressed}"),
            repeats,
        )
        table.row("pack", f"{ours:.2f} s", f"zstd -3 -T2: {theirs:.2f} s", f"{ratio:.2f}", "≤ 1.5")
        shell(f"zstd -3 -q -f {text} -o {compressed}")
        sizes = pack.stat().st_size, compressed.stat().st_size
        table.row("size", f"{sizes[0]:,}", f"zstd -3: {sizes[1]:,}", f"{sizes[0] / sizes[1]:.3f}", "≤ 1.25")
        lmdb = text.with_suffix(".lmdb")
        ours, theirs, ratio = paired(
            lambda: seconds("pack", text, lmdb, "lmdb"),
            lambda: shell(f"zstd -3 -T2 -q -f {text} -o {compressed}"),
            repeats,
        )
        table.row("pack, LMDB", f"{ours:.2f} s", f"zstd -3 -T2: {theirs:.2f} s", f"{ratio:.2f}", "≤ 1.5")
        shell(f"zstd -3 -q -f {text} -o {compressed}")
        sizes = lmdb.stat().st_size, compressed.stat().st_size
        table.row("size, LMDB", f"{sizes[0]:,}", f"zstd -3: {sizes[1]:,}", f"{sizes[0] / sizes[1]:.3f}", "≤ 1.3")
    else:
        seconds("pack", text, pack)
    latency = python("latency.py", pack)
    table.row("open + len", f"{latency['open_ms']:.2f} ms", "", "", "≤ 5 ms")
    cold = f"{latency['cold_us']:.0f} µs", f"row + zstd + UTF-8: {latency['bare_us']:.0f} µs"
    table.row("cold slice of 1,000", *cold, f"{latency['cold_ratio']:.2f}", "≤ 1.3")
    warm = f"{latency['warm_us']:.2f} µs", f"str: {latency['str_us']:.2f} µs"
    table.row("warm slice of 1,000", *warm, "", "≤ 2.5 µs")
    if has_zstd and has_rg:
        ours, theirs, ratio = paired(
            lambda: seconds("find", pack, ABSENT),
            lambda: shell(f"zstd -dc {compressed} | rg -F -c '{ABSENT}'"),
            repeats,
        )
        faster = f"{1 / ratio:.2f} × faster"
        table.row("absent literal", f"{ours:.2f} s", f"zstd -dc, rg -F -c: {theirs:.2f} s", faster, "≥ 1.4 × faster")
    operations: list[tuple[str, tuple[str | Path, ...]]] = [
        ("pack", (text, pack)),
        ("open", (pack,)),
        ("slices", (pack,)),
        ("find", (pack, ABSENT)),
        ("rfind", (pack, ABSENT)),
        ("count", (pack, ABSENT)),
        ("line", (pack,)),
        ("lines", (pack,)),
        ("chunks", (pack,)),
        ("unpack", (pack,)),
        ("verify", (pack,)),
    ]
    print("\n| operation | seconds | peak RssAnon (to reach: ≤ 150 MB) |\n|---|---|---|")
    for name, arguments in operations:
        peak = python("operation.py", "memory", name, *arguments)["peak_bytes"]
        print(f"| {name} | {seconds(name, *arguments):.3f} | {peak / 1e6:.0f} MB |", flush=True)
    compressed.unlink(missing_ok=True)


def main() -> None:
    """Parse the command line, make the corpus, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="stdlib", help="a corpus of tools/make_corpus.py")
    parser.add_argument("--copies", type=int, default=1, help="how many times the corpus follows itself")
    parser.add_argument("--repeats", type=int, default=5, help="pairs a row")
    arguments = parser.parse_args()
    text = make(arguments.corpus, arguments.copies)
    print(f"{text.name}: {text.stat().st_size:,} bytes; Python {platform.python_version()}, {os.cpu_count()} cores\n")
    bench(text, arguments.repeats)


if __name__ == "__main__":
    main()
