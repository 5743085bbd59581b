"""Opening and slicing, inside one process: prints medians as JSON. The peers are written out below.

python bench/latency.py corpus.dprompt
"""

import json
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable

import zstandard

import distributed_prompt as dp

ROUNDS = 400
SLICE = 1000


def timed(call: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def per_call(call: Callable[[], object], repeats: int) -> float:
    """Seconds of a call that is too short to be timed alone: the best of five loops."""
    loops = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        loops.append((time.perf_counter() - start) / repeats)
    return min(loops)


class Bare:
    """The least that a reader must do: one row of the store, zstd, UTF-8."""

    def __init__(self, path: str) -> None:
        """Open the file with apsw, as our own store does."""
        import apsw  # noqa: PLC0415  # the peer's own tool

        self.connection = apsw.Connection(
            f"file:{path}?immutable=1&mode=ro",
            flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
        )
        self.connection.pragma("mmap_size", 1 << 40)
        self.decompressor = zstandard.ZstdDecompressor()

    def read(self, shard: int) -> str:
        """The text of one shard."""
        blob = self.connection.execute("SELECT value FROM shards WHERE key=?", (shard,)).get
        return self.decompressor.decompress(blob).decode()


def main() -> None:
    """Measure."""
    path = sys.argv[1]
    dp.open(path).close()
    opens = [timed(lambda: len(dp.open(path))) for _ in range(50)]
    prompt = dp.open(path, cache_bytes=1)
    bare = Bare(path)
    size = int(sqlite3.connect(path).execute("SELECT value FROM metadata WHERE name='shard_size'").fetchone()[0])
    chance = random.Random(1)  # noqa: S311  # the same every time
    inside = max(1, min(size, len(prompt)) - SLICE)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        shard = chance.randrange(max(1, len(prompt) // size))
        offset = shard * size + chance.randrange(inside)
        # Touched first, so that neither side pays for the page cache.
        bare.read(shard)
        prompt[(offset + len(prompt) // 2) % len(prompt)]
        theirs.append(timed(lambda shard=shard: bare.read(shard)))  # type: ignore[misc]
        ours.append(timed(lambda offset=offset: prompt[offset : offset + SLICE]))  # type: ignore[misc]
    middle = (len(prompt) // 2) // size * size
    text = prompt[middle : middle + size]
    warm = per_call(lambda: prompt[middle + 5 : middle + 5 + SLICE], 20_000)
    plain = per_call(lambda: text[5 : 5 + SLICE], 20_000)
    print(
        json.dumps(
            {
                "open_ms": statistics.median(opens) * 1e3,
                "cold_us": statistics.median(ours) * 1e6,
                "bare_us": statistics.median(theirs) * 1e6,
                "cold_ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
                "warm_us": warm * 1e6,
                "str_us": plain * 1e6,
            },
        ),
    )


if __name__ == "__main__":
    main()
