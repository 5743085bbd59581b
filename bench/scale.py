"""Many packs as one text, and Dask's workers: prints tables, measurements beside what the model of docs/scale.md says.

    python -m bench.scale                   1, 4 and 16 GB in parts of 1 GB; 12 GB of memory, 30 of disk
    python -m bench.scale --quick           the same on parts of 4 MB

The model's rates are measured on one part; what it says of more parts is computed. The parts are equal texts: each is
packed, and searched, by itself all the same. All runs are on this machine, whose cores the workers share with scheduler
and client.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import distributed_prompt as dp
from bench.operation import anonymous_bytes
from tools.make_corpus import make
from tools.s3_server import BUCKET, available, start_ceph, start_ministack

_ROOT = Path(__file__).parent.parent
_PARTS = (1, 4, 16)
_PART_BYTES = 10**9
_QUICK_BYTES = 4 * 10**6
_OPENS = 50
_SLICES = 2000
_SLICE = 1000
_WORDS = ("probe", "reset", "irq_of", "xfer", "clk", "suspend", "parse", "dma_map", "lookup", "teardown")
_FREQUENT, _ABSENT = "static int", "no such text in any kernel"
# In the first part alone.
_LONE = [f"{word}_9f3ac1{number}" for number, word in enumerate(_WORDS)]
_REPEATS = 3
_MICRO, _MILLI, _MEGA = 1e6, 1e3, 1e6
# Examples, of a large provider in 2024; those of others go into docs/scale.md's formulas as well.
_DOLLARS_A_GET, _DOLLARS_A_PUT, _DOLLARS_A_GB_MONTH = 0.4e-6, 5e-6, 0.023


class Rates(NamedTuple):
    """What one part has shown.

    Attributes:
        part_bytes: of its text.
        pack_bytes: of its pack.
        pack_seconds: to pack it.
        scan_seconds: for one worker to count what is everywhere in it.
        rare_seconds: to count a needle that is in one of its shards, through the index.
        absent_seconds: to find out by the index that there is none.
        far_requests: of a server, to count a needle that is not there, opening included.
        far_bytes: likewise.
    """

    part_bytes: int
    pack_bytes: int
    pack_seconds: float
    scan_seconds: float
    rare_seconds: float
    absent_seconds: float
    far_requests: int
    far_bytes: int


def operation(name: str, address: str, needle: str) -> Any:
    """One operation in this process."""
    start = time.perf_counter()
    prompt = dp.open(address)
    length = len(prompt)
    repr(prompt)
    opened = time.perf_counter() - start
    found: dict[str, Any] = {"open_seconds": opened, "length": length}
    if name == "slices":
        chance = random.Random(1)  # noqa: S311  # places
        for _ in range(_SLICES):
            offset = chance.randrange(length - _SLICE)
            prompt[offset : offset + _SLICE]
    else:
        needles = needle.split("|")
        found["first_seconds"] = _timed(lambda: prompt.count(needles[0]))
        times = [_timed(partial(prompt.count, each)) for each in needles[1:] or needles]
        found |= {"seconds": statistics.median(times), "counts": [prompt.count(each) for each in needles]}
    stats = prompt.stats
    found |= {"anonymous_bytes": anonymous_bytes(), "requests": stats.requests, "received_bytes": stats.received_bytes}
    return found


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def together(addresses: list[str]) -> list[list[float]]:
    """Seconds to open each, of a cold slice and of a warm one: medians, taken in turn, for machines are not steady."""
    chance = random.Random(1)  # noqa: S311  # places
    times: list[tuple[list[float], list[float], list[float]]] = [([], [], []) for _ in addresses]
    for _ in range(_OPENS):
        for address, (opens, _, _) in zip(addresses, times, strict=True):
            opens.append(_timed(partial(_opened, address)))
    prompts = [dp.open(address) for address in addresses]
    for _ in range(_SLICES):
        for prompt, (_, colds, warms) in zip(prompts, times, strict=True):
            offset = chance.randrange(len(prompt) - _SLICE)
            for kept in (colds, warms):
                begin = time.perf_counter()
                prompt[offset : offset + _SLICE]
                kept.append(time.perf_counter() - begin)
    return [[statistics.median(each) for each in row] for row in times]


def _opened(address: str) -> str:
    return repr(dp.open(address))


def child(name: str, *addresses: str | Path, needle: str = "") -> Any:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "bench.scale", "--operation", name, "--needle", needle, "--address"]
    done = subprocess.run([*command, *map(str, addresses)], check=True, stdout=subprocess.PIPE, cwd=_ROOT)
    return json.loads(done.stdout)


def inputs(folder: Path, part_bytes: int, parts: int, *, corpus: str) -> list[Path]:
    """Files of so many bytes, of whole lines; one file under many names, and a short one that goes with the first."""
    text = folder / "text.txt"
    with make(corpus, 1).open("rb") as source:
        text.write_bytes(source.read(part_bytes).rpartition(b"\n")[0] + b"\n")
    names = [folder / "in" / f"text-{number:02}.txt" for number in range(parts)]
    names[0].parent.mkdir()
    for name in names:
        os.link(text, name)
    lone = folder / "in" / "text-00-and-more.txt"
    lone.write_text("".join(f"{needle}\n" for needle in _LONE), encoding="utf-8")
    return [names[0], lone, *names[1:]]


@contextmanager
def workers(count: int) -> Iterator[Executor]:
    """A Dask client of so many worker processes of one thread each."""
    distributed: Any = import_module("distributed")

    with (
        distributed.LocalCluster(
            n_workers=count, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def local(folder: Path, files: list[Path], part_bytes: int) -> Rates:
    """Packs on this disk: one of everything against parts, opened, sliced, searched."""
    text_bytes = files[0].stat().st_size
    one = folder / "one.dprompt"
    seconds = _timed(lambda: dp.pack(files[0], folder / "first.dprompt"))
    part_bytes += files[1].stat().st_size
    with workers(2) as client:
        dp.pack(files[:3], f"{folder}/warm/", part_bytes=part_bytes, executor=client)
        start = time.perf_counter()
        info = dp.pack(files, f"{folder}/out/", part_bytes=part_bytes, executor=client)
        packed = time.perf_counter() - start
        again = _timed(lambda: dp.pack(files, f"{folder}/out/", part_bytes=part_bytes, executor=client, overwrite=True))
    whole = _timed(lambda: dp.pack(files, one))
    packs = sorted((folder / "out").glob("*.dprompt"))
    print(f"\n{max(_PARTS)} parts of {text_bytes:,} bytes; {info.pack_bytes:,} bytes in {info.packs} packs\n")
    print("| packing | time | the model |\n|---|---|---|")
    print(f"| one part, this process | {seconds:.1f} s | |")
    print(f"| all, one pack, this process | {whole:.1f} s | {_beside(whole, seconds * max(_PARTS))} |")
    print(f"| all, in parts, 2 workers | {packed:.1f} s | {_beside(packed, seconds * max(_PARTS))} |")
    print(f"| the same again | {again:.2f} s | |", flush=True)
    places = {"one part, by its name": packs[0]}
    for parts in _PARTS:
        places[f"{parts} parts"] = folder / f"{parts}.json"
        dp.collect(packs[:parts], folder / f"{parts}.json")
    places["one pack of all"] = one
    print("\n| text | open, `len`, `repr` | cold slice | warm slice | RssAnon |", end="")
    print(" needle in one part: first | others | the model |\n|---|---|---|---|---|---|---|---|")
    lone = "|".join(_LONE)
    rare, absent = (child("count", pack, needle=lone)["seconds"] for pack in packs[:2])
    for (name, place), (opened, cold, warm) in zip(places.items(), child("together", *places.values()), strict=True):
        found = child("count", place, needle=lone)
        if set(found["counts"]) != {1}:
            sys.exit(f"{name}: found {found['counts']}, expected 1 of each")
        anonymous_mb = child("slices", place)["anonymous_bytes"] / _MEGA
        asked = int(name.split()[0]) if name.endswith("parts") else 1
        print(
            f"| {name} | {opened * _MILLI:.2f} ms | {cold * _MICRO:.0f} µs | {warm * _MICRO:.1f} µs | "
            f"{anonymous_mb:.0f} MB | {found['first_seconds'] * _MILLI:.1f} ms | {found['seconds'] * _MILLI:.2f} ms | "
            f"{_beside(found['seconds'] * _MILLI, (rare + (asked - 1) * absent) * _MILLI)} |",
            flush=True,
        )
    return Rates(text_bytes, packs[0].stat().st_size, seconds, 0.0, rare, absent, 0, 0)


def scans(folder: Path, rates: Rates) -> Rates:
    """A word that is everywhere, counted by one worker and by two."""
    print(f"\n| `count({_FREQUENT!r})` | 1 worker | the model | 2 workers | the model | 2 against 1 |")
    print("|---|---|---|---|---|---|")
    seconds: dict[tuple[int, int], float] = {}
    for count in (1, 2):
        with workers(count) as client:
            for parts in _PARTS:
                with dp.open(folder / f"{parts}.json") as prompt:
                    prompt.count(_FREQUENT, executor=client)
                    times = [_timed(lambda: prompt.count(_FREQUENT, executor=client)) for _ in range(_REPEATS)]
                    seconds[parts, count] = statistics.median(times)
    rates = rates._replace(scan_seconds=seconds[1, 1])
    for parts in _PARTS:
        single, double = seconds[parts, 1], seconds[parts, 2]
        expected = rates.scan_seconds * parts
        print(
            f"| {parts} parts | {single:.2f} s | {_beside(single, expected)} | {double:.2f} s | "
            f"{_beside(double, expected / 2)} | {single / double:.2f} × |",
            flush=True,
        )
    return rates


def far(folder: Path, rates: Rates) -> Rates:
    """The parts on an S3 server: what opening and an absent needle ask of it."""
    start = start_ceph if "ceph" in available() else start_ministack
    with start(folder / "server") as server:
        os.environ.update(server.environment())
        server.client().create_bucket(Bucket=BUCKET)
        packs = sorted((folder / "out").glob("*.dprompt"))
        for pack in packs:
            dp.push(pack, f"s3://{BUCKET}/{pack.name}")
        print(f"\n| {server.name} | open | absent: time, first | requests | the model | bytes | the model |")
        print("|---|---|---|---|---|---|---|")
        for parts in _PARTS:
            address = f"s3://{BUCKET}/{parts}.json"
            dp.collect([f"s3://{BUCKET}/{pack.name}" for pack in packs[:parts]], address)
            found = child("count", address, needle=_ABSENT)
            if parts == 1:
                rates = rates._replace(far_requests=found["requests"], far_bytes=found["received_bytes"])
            print(
                f"| {parts} parts | {found['open_seconds'] * _MILLI:.0f} ms | "
                f"{found['first_seconds'] * _MILLI:.0f} ms | "
                f"{found['requests']:,} | {_beside(found['requests'], rates.far_requests * parts)} | "
                f"{found['received_bytes'] / _MEGA:.1f} MB | "
                f"{_beside(found['received_bytes'] / _MEGA, rates.far_bytes * parts / _MEGA)} |",
                flush=True,
            )
    return rates


def outlook(rates: Rates) -> None:
    """What the model says of sizes that nobody has here."""
    print(
        "\n| text | parts of 1 GB | packs | packing, 100 workers | full scan, 100 workers | rare: requests | dollars |"
    )
    print("|---|---|---|---|---|---|---|")
    for text_bytes in (10**12, 10**14):
        parts = text_bytes // 10**9
        scale = text_bytes / rates.part_bytes
        stored = rates.pack_bytes * scale
        requests = rates.far_requests * scale
        print(
            f"| {text_bytes / 1e12:.0f} TB | {parts:,} | {stored / 1e12:.2f} TB | "
            f"{rates.pack_seconds * scale / 100 / 60:.0f} min | {rates.scan_seconds * scale / 100 / 60:.1f} min | "
            f"{requests:,.0f} | {stored / 1e9 * _DOLLARS_A_GB_MONTH:,.0f} a month, "
            f"{requests * _DOLLARS_A_GET:.2f} a rare search, {parts * 30 * _DOLLARS_A_PUT:.2f} to put |"
        )


def _beside(found: float, expected: float) -> str:
    return f"{expected:,.2f} ({(found / expected - 1) * 100:+.0f} %)"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small parts")
    parser.add_argument("--operation", choices=("slices", "count", "together"), help=argparse.SUPPRESS)
    parser.add_argument("--address", nargs="+", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--needle", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.operation:
        is_one = arguments.operation != "together"
        addresses = arguments.address
        found = operation(arguments.operation, addresses[0], arguments.needle) if is_one else together(addresses)
        print(json.dumps(found))
        return
    corpus, part_bytes = ("stdlib", _QUICK_BYTES) if arguments.quick else ("linux", _PART_BYTES)
    place = make(corpus, 1).parent
    with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        files = inputs(folder, part_bytes, max(_PARTS), corpus=corpus)
        rates = local(folder, files, part_bytes)
        (folder / "one.dprompt").unlink()
        shutil.rmtree(folder / "warm")
        rates = scans(folder, rates)
        rates = far(folder, rates)
        outlook(rates)


if __name__ == "__main__":
    main()
