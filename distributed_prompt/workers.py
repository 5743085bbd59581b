"""The worker threads that decode and encode shards: one pool for the process, made at first use.

zstd and the checksums release the GIL, so threads use all cores. A forked child makes its own pool.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

from distributed_prompt.dask_tasks import Submit, Submitted, submitter
from distributed_prompt.locks import Lock

Item = TypeVar("Item")
Result = TypeVar("Result")

Progress = Callable[[int, int | None], None]
"""What long work calls: how much is done, and how much there is in all, where that is known."""


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


WORKERS = min(8, _available_cores())


class _Pool:
    """The pool of this process."""

    is_used = True
    ahead = 2 * WORKERS

    def __init__(self) -> None:
        self._lock = Lock()
        self._executor: ThreadPoolExecutor | None = None
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """In a forked child, which has none of the threads."""
        self._executor = None

    def __call__(self, function: Callable[[Item], Result], task: Item, /) -> Future[Result]:
        with self._lock:
            executor = self._executor = self._executor or ThreadPoolExecutor(WORKERS, thread_name_prefix="dprompt")
        try:
            return executor.submit(function, task)
        except BaseException:
            # An interrupt while a thread starts leaves one that its executor does not know of, so never tells to end,
            # and the interpreter's exit would wait for it for ever. All threads of an executor that is shut down end.
            with self._lock:
                executor.shutdown(wait=False)
                if self._executor is executor:
                    self._executor = None
            raise


_pool = _Pool()


def use_no_threads() -> None:
    """From now on do all work on the threads that ask for it: for processes whose owner allows no others."""
    _pool.is_used = False


def uses_threads() -> bool:
    """Whether there may be threads of ours."""
    return _pool.is_used


def map_ahead(
    function: Callable[[Item], Result], tasks: Iterable[Item], executor: Executor | None = None
) -> Generator[Result]:
    """Results in the order of the tasks, computed on the workers, or by an executor, a few tasks ahead of their use.

    A task is taken only when there is room for it, so memory is bounded by twice as many tasks and results as there are
    workers; of an executor, 16 at least. Closing the iterator cancels what has not begun; it waits for nothing, since
    the garbage collector may do it on any thread, whatever locks that holds.
    """
    if executor or _pool.is_used:
        return _ahead(function, tasks, executor)
    return _one_by_one(function, tasks)


def _one_by_one(function: Callable[[Item], Result], tasks: Iterable[Item]) -> Generator[Result]:
    for task in tasks:
        yield function(task)


def _ahead(function: Callable[[Item], Result], tasks: Iterable[Item], executor: Executor | None) -> Generator[Result]:
    pending: deque[tuple[Item, Submitted[Result], int]] = deque()
    submit: Submit = submitter(executor) if executor else _pool

    def first() -> Result:
        task, future, process = pending.popleft()
        # The threads stay behind in a fork, so a child does by itself what its parent had begun.
        return future.result() if os.getpid() == process else function(task)

    try:
        for task in tasks:
            try:
                pending.append((task, submit(function, task), os.getpid()))
            except RuntimeError:
                if executor:
                    raise
                # At the interpreter's exit no thread starts any more.
                while pending:
                    yield first()
                yield function(task)
            if len(pending) >= submit.ahead:
                yield first()
        while pending:
            yield first()
    finally:
        for _, future, process in pending:
            if os.getpid() == process:
                future.cancel()
