"""The peak of a process's private memory, seen by another one.

A thread of its own sees nothing while one call in C keeps the GIL, and that is when strings are made.

    python -S bench/watching.py PID         prints the peak of RssAnon in bytes when its standard input ends
"""

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import IO, Self

SAMPLE_SECONDS = 0.002


class Watched:
    """Watches a process while a block runs, this one if no other is named.

    Attributes:
        peak_bytes: the most that there was; known when the block has ended.
    """

    peak_bytes = 0

    def __init__(self, pid: int | None = None) -> None:
        """Name the process."""
        self._pid = os.getpid() if pid is None else pid

    def __enter__(self) -> Self:
        """Start the other process, and wait until it looks."""
        command = [sys.executable, "-S", str(Path(__file__).resolve()), str(self._pid)]
        self._watcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._output().readline()
        return self

    def __exit__(self, *exception: object) -> None:
        """Take its result."""
        self.peak_bytes = int(self._watcher.communicate()[0])

    def _output(self) -> IO[str]:
        if self._watcher.stdout is None:
            message = "it has a pipe"
            raise AssertionError(message)
        return self._watcher.stdout


def main() -> None:
    """Watch until standard input ends."""
    peak = 0
    with Path("/proc", sys.argv[1], "status").open("rb", buffering=0) as status:
        print("watching", flush=True)
        done = False
        while not done:
            # Once more after the end, so that what is there then is seen.
            done = bool(select.select([sys.stdin], [], [], SAMPLE_SECONDS)[0])
            status.seek(0)
            try:
                fields = status.read().split()
            except ProcessLookupError:
                break
            if b"RssAnon:" not in fields:
                # It has ended, and nobody has asked how.
                break
            peak = max(peak, int(fields[fields.index(b"RssAnon:") + 1]) * 1024)
    print(peak)


if __name__ == "__main__":
    main()
