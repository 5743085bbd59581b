"""The threads that fetch: for waiting, not for work, so they are many, and nothing waits for them at the end.

The executors of the standard library join their threads at the interpreter's exit, which a server that stalls would
hold up for as long as there is patience for it. These are daemons; they end when there was nothing to do for a while.
"""

import os
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread

from distributed_prompt.locks import Lock
from distributed_prompt.workers import uses_threads

THREADS = 32
_IDLE_SECONDS = 10

Job = Callable[[], object]


class _Fetchers:
    """The threads of this process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._threads = self._busy = 0

    def submit(self, job: Job) -> None:
        with self._lock:
            # Under the lock, or an idle thread that gives up at this moment would leave it behind.
            self._jobs.put(job)
            self._busy += 1
            if self._busy <= self._threads or self._threads == THREADS:
                return
            self._threads += 1
        try:
            Thread(target=self._work, args=(self._jobs,), name="dprompt-fetch", daemon=True).start()
        except RuntimeError:
            # At the interpreter's exit no thread starts any more.
            self._work(self._jobs, 0)
        except BaseException:
            with self._lock:
                self._threads -= 1
            raise

    def _work(self, jobs: SimpleQueue[Job], patience_seconds: float = _IDLE_SECONDS) -> None:
        while True:
            try:
                job = jobs.get(patience_seconds > 0, patience_seconds)
            except Empty:
                with self._lock:
                    if jobs.empty():
                        self._threads -= 1
                        return
                continue
            try:
                job()
            finally:
                del job
                with self._lock:
                    self._busy -= 1


_fetchers = _Fetchers()


def submit(job: Job) -> None:
    """Have a job done soon. It tells by itself what became of it, and raises nothing.

    At the interpreter's exit, when no thread starts any more, it is done at once; so it is where no thread may start.
    """
    if uses_threads():
        _fetchers.submit(job)
    else:
        job()
