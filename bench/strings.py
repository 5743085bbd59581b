"""What real strings cost: `as_str()` against an ordinary string, and the methods that make texts against str's own.

    python -m bench.strings --corpus linux
    python -m bench.strings --corpus linux --only lazy

Each measurement is a process of its own. The linux corpus as an ordinary string takes 5.2 GB of memory, str's own
methods that make texts of it up to 16 GB. Writes tables to standard output.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import distributed_prompt as dp
from bench.run import ROOT
from bench.string_operation import METHODS, OPERATIONS
from tools.make_corpus import make

DATA_LIMIT = 300_000_000
# In memory by the time that the call returns, or on the disk: the system lets so much of the memory be dirty.
SHARES = {1: "the whole text", 4: "a quarter of it"}


def child(*arguments: str | Path | int, data_limit: int = 0) -> dict[str, Any]:
    """What a process of its own has measured; an `error` if it ended otherwise."""
    command = [sys.executable, "-m", "bench.string_operation", *map(str, arguments)]
    # The same hashes in all of them, so that results can be compared.
    environment = os.environ | {"PYTHONHASHSEED": "0", "DATA_LIMIT": str(data_limit)}
    ran = subprocess.run(command, check=False, stdout=subprocess.PIPE, cwd=ROOT, env=environment)
    if ran.returncode < 0:
        # The system ran out of memory, most likely.
        return {"error": f"killed by signal {-ran.returncode}"}
    ran.check_returncode()
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def images(pack: Path, repeats: int) -> None:
    """How fast an image is written, in turn with as many bytes from nowhere."""
    settings = {
        name: Path(f"/proc/sys/vm/{name}").read_text().strip() for name in ("dirty_background_ratio", "dirty_ratio")
    }
    available = next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if "Available" in line)
    print(
        f"\nThe pack is in the page cache, nothing else is waiting to be written; {int(available) / 1e6:.0f} GB "
        f"of memory available; dirty pages: {settings}\n"
    )
    print("| image of | bytes | seconds | GB/s (to reach: ≥ 0.5) | `pwrite` of as many bytes | ratio | peak RssAnon |")
    print("|---|---|---|---|---|---|---|")
    for share, name in SHARES.items():
        pairs = []
        for _ in range(repeats):
            os.sync()
            ours = child("image", pack, share)
            os.sync()
            pairs.append((ours, child("write", ours["folder"], ours["bytes"])["seconds"]))
        seconds = statistics.median(ours["seconds"] for ours, _ in pairs)
        peer = statistics.median(theirs for _, theirs in pairs)
        ratio = statistics.median(ours["seconds"] / theirs for ours, theirs in pairs)
        size, peak = pairs[0][0]["bytes"], max(ours["peak_bytes"] for ours, _ in pairs)
        print(
            f"| {name} | {size:,} | {seconds:.2f} ({_spread(ours['seconds'] for ours, _ in pairs)}) "
            f"| {size / seconds / 1e9:.2f} | {peer:.2f} s ({_spread(theirs for _, theirs in pairs)}) "
            f"| {ratio:.2f} | {peak / 1e6:.0f} MB |",
            flush=True,
        )


def _spread(values: Any) -> str:
    ordered = sorted(values)
    return f"{ordered[0]:.2f} to {ordered[-1]:.2f}"


def strings(pack: Path, text: Path, repeats: int) -> None:
    """The mapped string against the ordinary one.

    Times are those of pairs: both strings in one process, each operation on one and then on the other, results
    compared there. Memory is that of a process that has the mapped string alone.
    """
    processes = [child("both", pack, text, repeat) for repeat in range(repeats)]
    alone, limited = child("mapped", pack), child("mapped", pack, data_limit=DATA_LIMIT)
    print("\n| with the string `s` | mapped | ordinary | ratio (to reach: 0.98 to 1.06) | peak RssAnon, mapped alone |")
    print("|---|---|---|---|---|")
    print(f"| making it | {alone['as_str()']['seconds']:.2f} s | | | {alone['as_str()']['peak_bytes'] / 1e6:.0f} MB |")
    for name in OPERATIONS:
        pairs = [pair for process in processes for pair in process[name]]
        mapped, ordinary = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(first / second for first, second in pairs)
        print(
            f"| {name} | {mapped:.3f} s | {ordinary:.3f} s | {ratio:.2f} | {alone[name]['peak_bytes'] / 1e6:.0f} MB |",
            flush=True,
        )
    same = all(limited[name]["result"] == alone[name]["result"] for name in OPERATIONS)
    peak = max(found["peak_bytes"] for found in limited.values())
    refused = child("ordinary", text, data_limit=DATA_LIMIT)
    print(f"\nUnder a limit of {DATA_LIMIT:,} bytes of data (ulimit -d):")
    print(f"mapped string: {'all results the same' if same else 'RESULTS DIFFER'}, peak RssAnon {peak / 1e6:.0f} MB")
    print(f"ordinary string: {refused.get('error', 'it is there, so the text is too short to tell')}", flush=True)
    if not same:
        sys.exit("strings: WRONG results under the limit")


def lazy(pack: Path, text: Path, repeats: int) -> None:
    """The methods that make texts, against those of the string in memory."""
    print("\n| method | prompt | peak RssAnon | `str` | peak RssAnon, with the text | ratio of seconds |")
    print("|---|---|---|---|---|---|")
    wrong = []
    for name in METHODS:
        pairs = [(child("lazy", pack, name), child("eager", text, name)) for _ in range(repeats)]
        cells = [_cells([pair[side] for pair in pairs]) for side in (0, 1)]
        whole = [(ours, theirs) for ours, theirs in pairs if "error" not in ours and "error" not in theirs]
        ratio = f"{statistics.median(o['seconds'] / t['seconds'] for o, t in whole):.2f}" if whole else ""
        print(f"| `{name}` | {cells[0]} | {cells[1]} | {ratio} |", flush=True)
        wrong += [name for ours, theirs in whole if ours["result"] != theirs["result"]]
    if wrong:
        sys.exit(f"strings: WRONG results of {', '.join(wrong)}")


def _cells(found: list[dict[str, Any]]) -> str:
    errors = [each["error"] for each in found if "error" in each]
    if errors:
        return f"{errors[0]} | "
    seconds = statistics.median(each["seconds"] for each in found)
    return f"{seconds:.2f} s | {max(each['peak_bytes'] for each in found) / 1e6:,.0f} MB"


def main() -> None:
    """Parse the command line, make corpus and pack, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="linux", help="a corpus of tools/make_corpus.py")
    parser.add_argument("--repeats", type=int, default=3, help="processes a measurement")
    parser.add_argument("--lazy-repeats", type=int, default=1, help="processes a row of the methods that make texts")
    parser.add_argument("--only", choices=("images", "strings", "lazy"), help="one table only")
    arguments = parser.parse_args()
    text = make(arguments.corpus)
    pack = text.with_suffix(".dprompt")
    if not pack.is_file():
        dp.pack(text, pack)
    print(f"{text.name}: {text.stat().st_size:,} bytes; Python {platform.python_version()}, {os.cpu_count()} cores")
    tables: dict[str, Callable[[], None]] = {
        "images": lambda: images(pack, arguments.repeats),
        "strings": lambda: strings(pack, text, arguments.repeats),
        "lazy": lambda: lazy(pack, text, arguments.lazy_repeats),
    }
    for table in [arguments.only] if arguments.only else tables:
        tables[table]()


if __name__ == "__main__":
    main()
