"""The threads that fetch: for waiting, not for work, so they are many, and nothing waits for them at the end.

The executors of the standard library join their threads at the interpreter's exit, which a server that stalls would
hold up for as long as there is patience for it. These are daemons; they end when there was nothing to do for a while.
"""

import os
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread

from distributed_prompt.locks import Lock

THREADS = 32
_IDLE_SECONDS = 10

Task = Callable[[], object]


class _Fetchers:
    """The threads of this process."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = Lock()
        self._tasks: SimpleQueue[Task] = SimpleQueue()
        self._threads = self._busy = 0

    def submit(self, task: Task) -> None:
        with self._lock:
            self._busy += 1
            is_short = self._busy > self._threads and self._threads < THREADS
            self._threads += is_short
        if is_short:
            try:
                Thread(target=self._work, args=(self._tasks,), name="dprompt-fetch", daemon=True).start()
            except BaseException as error:
                with self._lock:
                    self._threads -= 1
                    has_threads = self._threads > 0
                    self._busy -= not has_threads
                if not isinstance(error, RuntimeError):
                    raise
                if not has_threads:
                    # At the interpreter's exit no thread starts any more.
                    task()
                    return
        self._tasks.put(task)

    def _work(self, tasks: SimpleQueue[Task]) -> None:
        while True:
            try:
                task = tasks.get(timeout=_IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if tasks.empty():
                        self._threads -= 1
                        return
                continue
            try:
                task()
            finally:
                del task
                with self._lock:
                    self._busy -= 1


_fetchers = _Fetchers()


def submit(task: Task) -> None:
    """Have a task done soon. It tells by itself what became of it, and raises nothing.

    At the interpreter's exit, when no thread starts any more, it is done at once.
    """
    _fetchers.submit(task)
