"""A lock that a forked child may take, whatever the parent's other threads were doing at that moment."""

import os
import weakref
from threading import RLock
from types import TracebackType


class Lock:
    """Reentrant: the garbage collector may run code that takes it on the thread that holds it."""

    def __init__(self) -> None:
        """An open lock."""
        self.renew()
        _instances.add(self)

    def renew(self) -> None:
        """In a forked child: another thread may have held it at the moment of the fork."""
        self._lock = RLock()

    def __enter__(self) -> None:
        """Take it."""
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Give it back."""
        self._lock.release()


_instances: "weakref.WeakSet[Lock]" = weakref.WeakSet()


def _after_fork() -> None:
    for lock in _instances:
        lock.renew()


os.register_at_fork(after_in_child=_after_fork)
