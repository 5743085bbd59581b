"""The worker threads that decode and encode shards: one pool for the process, made at first use.

zstd and the checksums release the GIL, so threads use all cores. A forked child makes its own pool.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


WORKERS = min(8, _available_cores())


_AHEAD = 2 * WORKERS


class _Pool:
    """The pool of this process."""

    def __init__(self) -> None:
        self.reset()
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        self._lock = Lock()
        self._executor: ThreadPoolExecutor | None = None

    def executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="dprompt")
            return self._executor


_pool = _Pool()


def map_ahead(function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """Results in the order of the tasks, computed on the workers a few tasks ahead of their use.

    A task is taken only when there is room for it, so memory is bounded by twice as many tasks and
    results as there are workers. Closing the iterator cancels what has not begun and waits for what has.
    """
    executor = _pool.executor()
    pending: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            pending.append(executor.submit(function, task))
            if len(pending) > _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
