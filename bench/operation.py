"""One operation in a process of its own: prints its time, or its peak of private memory, as JSON.

python bench/operation.py time find corpus.dprompt needle
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import distributed_prompt as dp
from distributed_prompt.backends.file_backend import FileBackend

STATUS = Path("/proc/self/status")
SAMPLE_SECONDS = 0.002


def anonymous_bytes() -> int:
    """RssAnon: the memory that is this process's own, the page cache apart."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


class Peak(threading.Thread):
    """Samples RssAnon until it is stopped."""

    def __init__(self) -> None:
        """Do not outlive the process."""
        super().__init__(daemon=True)
        self.peak = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        """Sample."""
        while not self.stopped.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, anonymous_bytes())


def pack(source: str, output: str, store: str = "sqlite") -> int:
    """Characters packed."""
    return dp.pack(source, output, store=store, overwrite=True).length


def pack_folder(source: str, output: str, store: str) -> int:
    """Documents packed."""
    return dp.pack(source, output, store=store, overwrite=True).documents


def unpack(path: str) -> int:
    """Bytes unpacked, written nowhere."""
    with Path("/dev/null").open("wb") as nowhere, FileBackend(path) as backend:
        return dp.unpack(backend, nowhere)


def verify(path: str) -> int:
    """Problems found."""
    with FileBackend(path) as backend:
        return sum(1 for _ in dp.verify(backend))


def slices(path: str) -> int:
    """Characters in 1,000 slices spread over the text."""
    prompt = dp.open(path)
    step = max(1, len(prompt) // 1000)
    return sum(len(prompt[at : at + 1000]) for at in range(0, len(prompt), step))


OPERATIONS: dict[str, Callable[..., int]] = {
    "pack": pack,
    "pack_folder": pack_folder,
    "append": lambda path, source: dp.append(path, source).documents,
    "unpack_folder": dp.unpack,
    "unpack": unpack,
    "verify": verify,
    "slices": slices,
    "open": lambda path: len(dp.open(path)),
    "find": lambda path, needle: dp.open(path).find(needle),
    "rfind": lambda path, needle: dp.open(path).rfind(needle),
    "count": lambda path, needle: dp.open(path).count(needle),
    "lines": lambda path: sum(1 for _ in dp.open(path).lines),
    "line": lambda path: len(dp.open(path).lines[1000]),
    "chunks": lambda path: sum(1 for _ in dp.open(path).chunks(500_000, overlap=200)),
}


def main() -> None:
    """Run the operation that the command line names."""
    what, name, *arguments = sys.argv[1:]
    peak = Peak()
    if what == "memory":
        peak.start()
    start = time.perf_counter()
    result = OPERATIONS[name](*arguments)
    seconds = time.perf_counter() - start
    peak.stopped.set()
    print(json.dumps({"seconds": seconds, "result": result, "peak_bytes": max(peak.peak, anonymous_bytes())}))


if __name__ == "__main__":
    main()
