"""A pack on an S3 server of this machine, through a proxy that makes every answer late: prints tables.

    python -m bench.far                                     reading and moving, with 0 and 25 ms a round trip
    python -m bench.far --copies 12 --only reading          sixteen gigabytes
    python -m bench.far --quick                             on the standard library, in a minute

Round trips: the longest chain of requests of which each began after the one before had ended. Every answer
is compared with that of the pack on disk. Moving is compared with boto3's ``upload_file``, each going first as often.
"""

import argparse
import filecmp
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import distributed_prompt as dp
from bench.search import child
from distributed_prompt import re
from distributed_prompt.backends.sync import PullResult, PushResult
from tests.s3.fault_proxy import FaultProxy, bytes_moved, round_trips
from tools.make_corpus import make
from tools.s3_server import BUCKET, available, start_ceph, start_ministack

SLICE = 1000
SLICES = 12
_LATENCIES = (0.0, 0.025)
_SEED = 5
_NEEDLES = 20
_ADDED = 0.01
_CLOSING_SECONDS = 2.0
_MILLI = 1e3
_MOVED = "moved.dprompt"
Question = Callable[[Any], Any]


def questions(length: int, needles: dict[str, list[str]]) -> dict[str, list[Question]]:
    """What is asked of a prompt that was just opened, by name; each several times, of other places."""
    chance = random.Random(_SEED)  # noqa: S311  # places
    offsets = [chance.randrange(length - SLICE) for _ in range(SLICES)]

    def sliced(offset: int) -> Question:
        return lambda prompt: prompt[offset : offset + SLICE]

    def all_sliced(prompt: Any) -> list[str]:
        with ThreadPoolExecutor(SLICES) as pool:
            return list(pool.map(lambda offset: prompt[offset : offset + SLICE], offsets))

    def line(number: int) -> Question:
        return lambda prompt: prompt.lines[number]

    def document(offset: int) -> Question:
        return lambda prompt: prompt.document_at(offset).name

    def found(needle: str) -> Question:
        return lambda prompt: prompt.find(needle)

    def matches(needle: str) -> Question:
        pattern = re.escape(needle) + r"\w*"
        return lambda prompt: [match.span() for match in re.finditer(pattern, prompt)]

    return {
        "open, `len`, `repr`": [len],
        f"a slice of {SLICE:,}": [sliced(offset) for offset in offsets],
        f"{SLICES} slices from threads": [all_sliced],
        "`lines[n]`": [line(length // 50 // part) for part in (2, 3, 5)],
        "`document_at`": [document(offset) for offset in offsets[:3]],
        "`find`, rare": [found(needle) for needle in needles["rare"]],
        "`find`, absent": [found(needle) for needle in needles["absent"]],
        "`re.finditer`, rare": [matches(needle) for needle in needles["rare"]],
    }


def reading(pack: Path, address: str, proxy: FaultProxy, latency_seconds: float) -> None:
    """Ask every question of prompts that have just been opened."""
    proxy.latency_seconds = latency_seconds
    print(f"\nReading, {latency_seconds * _MILLI:.0f} ms a round trip: medians, and the worst\n")
    print("| asked | round trips, opening included | requests | bytes received | time |")
    print("|---|---|---|---|---|")
    drawn = child("needles", str(pack), "words", str(_NEEDLES))["needles"]
    needles = {kind: [needle for needle, _ in drawn[kind]][:_NEEDLES] for kind in ("rare", "absent")}
    with dp.open(pack) as local:
        for name, asked in questions(len(local), needles).items():
            if not asked:  # a text that repeats itself has no rare words
                continue
            figures = [_asked(question, address, local, proxy) for question in asked]
            trips, requests, moved, seconds = (sorted(column) for column in zip(*figures, strict=True))
            print(
                f"| {name} | {_shown(trips)} | {_shown(requests)} | {_shown(moved)} | "
                f"{statistics.median(seconds) * _MILLI:,.0f} ms, {seconds[-1] * _MILLI:,.0f} ms |",
                flush=True,
            )
    proxy.latency_seconds = 0.0


def _asked(question: Question, address: str, local: dp.DistributedPrompt, proxy: FaultProxy) -> tuple[float, ...]:
    proxy.reset()
    start = time.perf_counter()
    with dp.open(address) as prompt:
        repr(prompt)
        got = question(prompt)
        seconds = time.perf_counter() - start
        # Pages that were asked for ahead count as well.
        time.sleep(2 * proxy.latency_seconds)
        requests = list(proxy.requests)
    if got != question(local):
        message = f"{address} answers otherwise than {local!r}"
        raise AssertionError(message)
    return round_trips(requests), len(requests), bytes_moved(requests), seconds


def _shown(column: Sequence[float]) -> str:
    return f"{statistics.median(column):,.0f}, {column[-1]:,.0f}"


def moving(pack: Path, text: Path, folder: Path, client: Any, repeats: int) -> None:
    """Push, push again, push and pull what has grown by a hundredth."""
    address = f"s3://{BUCKET}/{_MOVED}"
    print(f"\nMoving {pack.stat().st_size:,} bytes, straight to the server\n")
    print("| what | time | |")
    print("|---|---|---|")

    def emptied() -> None:
        for key in (_MOVED, f"{_MOVED}.blocks.json"):
            client.delete_object(Bucket=BUCKET, Key=key)
        # Ceph takes its time to let go of what was deleted.
        time.sleep(_CLOSING_SECONDS)

    ratios = []
    for number in range(repeats):
        seconds = {}
        for what in ("push", "upload_file") if number % 2 else ("upload_file", "push"):
            emptied()
            start = time.perf_counter()
            if what == "push":
                dp.push(pack, address)
            else:
                client.upload_file(str(pack), BUCKET, _MOVED)
            seconds[what] = time.perf_counter() - start
        ratios.append(seconds["upload_file"] / seconds["push"])
    emptied()
    dp.push(pack, address)
    print(f"| first push | | {statistics.median(ratios):.2f} × the speed of `upload_file` (worst {min(ratios):.2f}) |")
    _moved("nothing to push", partial(dp.push, pack, address))
    extra, grown, anew, mine = (folder / name for name in ("zz.txt", "grown", "anew", "mine"))
    with text.open("rb") as source:
        source.seek(text.stat().st_size // 3)
        extra.write_bytes(source.read(int(text.stat().st_size * _ADDED)).decode("utf-8", "ignore").encode())
    for copy in (grown, mine):
        shutil.copy(pack, copy)
    dp.append(grown, [extra])
    dp.pack([text, extra], anew)
    same = filecmp.cmp(grown, anew, shallow=False)
    print(f"| packed anew, with {_ADDED:.0%} more behind the rest | | the bytes that appending gives: {same} |")
    _moved("push of that", partial(dp.push, anew, address))
    _moved("pull of that over the old one", partial(dp.pull, address, mine, overwrite=True))
    print(f"| the pulled file has the same bytes | | {filecmp.cmp(anew, mine, shallow=False)} |")


def _moved(what: str, move: Callable[[], PushResult | PullResult]) -> None:
    start = time.perf_counter()
    result = move()
    print(f"| {what} | {time.perf_counter() - start:.2f} s | {result} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="linux", help="a corpus of tools/make_corpus.py")
    parser.add_argument("--copies", type=int, default=1, help="how many times the corpus follows itself")
    parser.add_argument("--store", choices=("sqlite", "lmdb"), default="sqlite", help="the engine of the packs")
    parser.add_argument("--only", choices=("reading", "moving"), help="one part only")
    parser.add_argument("--repeats", type=int, default=3, help="first pushes")
    parser.add_argument("--quick", action="store_true", help="on the standard library, once")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.corpus, arguments.repeats = "stdlib", 1
    text = make(arguments.corpus, arguments.copies)
    start = start_ceph if "ceph" in available() else start_ministack
    with tempfile.TemporaryDirectory(dir=text.parent) as name, start(Path(name) / "server") as server:
        folder = Path(name)
        pack = folder / "corpus.dprompt"
        info = dp.pack([text], pack, store=arguments.store)
        os.environ.update(server.environment())
        print(f"{info.length:,} characters, a pack of {info.pack_bytes:,} bytes ({arguments.store}), {server.name}")
        server.client().create_bucket(Bucket=BUCKET)
        if arguments.only != "reading":
            moving(pack, text, folder, server.client(), arguments.repeats)
        if arguments.only != "moving":
            dp.push(pack, f"s3://{BUCKET}/corpus.dprompt")
            with FaultProxy(server.endpoint_url) as proxy:
                os.environ["AWS_ENDPOINT_URL"] = proxy.url
                for latency in _LATENCIES:
                    reading(pack, f"s3://{BUCKET}/corpus.dprompt", proxy, latency)


if __name__ == "__main__":
    main()
