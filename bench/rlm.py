"""A recursive language model over a text larger than memory, lazily and as an ordinary string: prints a table.

    python -m bench.rlm                                 the released rlms and dspy, on linux-ascii
    python -m bench.rlm --s3                            from an object on an S3 server of this machine, too
    python -m bench.rlm --part-characters 100000000     how much of linux the ordinary string gets

The model is scripted, and its cells are those of bench/rlm_cells.py. What they print is compared with what they print
on an ordinary string without any RLM. That takes ten times the memory of the string, so the large corpus is ASCII.
An RLM with an ordinary string keeps three copies of it, and writes it to its log twice a cell: so it gets a part of
another corpus only, which has characters of four bytes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import distributed_prompt as dp
from bench.rlm_cells import SHOWN
from bench.run import ROOT
from tools.make_corpus import make
from tools.s3_server import BUCKET, available, start_ceph, start_ministack

_PART_CHARACTERS = 100_000_000
_MEGA = 1e6


def child(*arguments: str | Path, environment: Mapping[str, str] = {}) -> dict[str, Any]:  # not changed
    """What a process of its own answers."""
    command = [sys.executable, "-m", "bench.rlm_operation", *map(str, arguments)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT, env=os.environ | environment).stdout
    answer: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return answer


def row(name: str, length: int, got: dict[str, Any], expected: dict[str, Any] | None) -> str:
    """A row of the table."""
    interpreter = got.get("interpreter_peak_bytes")
    peak = f"{got['peak_bytes'] / _MEGA:,.0f} MB" + (f", {interpreter / _MEGA:,.0f} MB" if interpreter else "")
    log = f"{got['log_bytes']:,}" if "log_bytes" in got else "-"
    moved = f"{got['received_bytes'] / _MEGA:,.0f} MB, {got['requests']:,}" if got.get("requests") else "-"
    right = "-" if expected is None else verdict(got, expected)
    return f"| {name} | {length:,} | {right} | {got['seconds']:.1f} s | {peak} | {log} | {moved} |"


def verdict(got: dict[str, Any], expected: dict[str, Any]) -> str:
    """How many cells printed what they print on an ordinary string, and whether the answer is the same."""
    compared = [name for name in expected["outputs"] if name in got["outputs"]]
    equal = [name for name in compared if got["outputs"][name].strip() == expected["outputs"][name].strip()]
    wrong = [name for name in compared if name not in equal]
    answer = "right" if got["answer"] == expected["answer"] else "WRONG"
    return f"{answer}; {len(equal)} of {len(compared)} cells" + (f", not {', '.join(wrong)}" if wrong else "")


@contextmanager
def served(pack: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A pack on an S3 server of this machine: its address, and what reaches it."""
    start = start_ceph if "ceph" in available() else start_ministack
    with tempfile.TemporaryDirectory() as folder, start(Path(folder) / "server") as server:
        os.environ.update(server.environment())
        server.client().create_bucket(Bucket=BUCKET)
        address = f"s3://{BUCKET}/corpus.dprompt"
        dp.push(pack, address)
        yield address, server.environment()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="linux-ascii", help="a corpus of tools/make_corpus.py")
    parser.add_argument("--part-of", default="linux", metavar="CORPUS", help="what the ordinary string is a part of")
    parser.add_argument("--part-characters", type=int, default=_PART_CHARACTERS, metavar="N", help="of how much")
    parser.add_argument("--s3", action="store_true", help="from an object, too")
    arguments = parser.parse_args()
    text = make(arguments.corpus)
    expected = child("expected", text)
    print("| context | characters | cells as on `str` | time | peak RssAnon | log, bytes | received, requests |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=text.parent) as folder:
        pack = Path(folder) / "corpus.dprompt"
        length = dp.pack([text], pack).length
        print(row("rlms, lazy", length, child("rlms", pack), expected), flush=True)
        print(row("dspy, lazy", length, child("dspy", pack), expected), flush=True)
        if arguments.s3:
            with served(pack) as (address, environment):
                got = child("rlms", address, environment=environment)
                print(row("rlms, lazy, from S3", length, got, expected), flush=True)
        part = Path(folder) / "part.txt"
        with make(arguments.part_of).open(encoding="utf-8", newline="") as file:
            part.write_text(file.read(arguments.part_characters), encoding="utf-8", newline="")
        part_pack = Path(folder) / "part.dprompt"
        shown = dp.pack([part], part_pack).length
        part_expected = child("expected", part)
        print(row("rlms, lazy", shown, child("rlms", part_pack), part_expected), flush=True)
        print(row("rlms, an ordinary string", shown, child("rlms", part), None))
    print(f"\nNot compared, for a lazy text shows a notice there: {', '.join(SHOWN)}.")


if __name__ == "__main__":
    main()
