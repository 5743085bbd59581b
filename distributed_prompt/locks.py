"""A lock that a forked child may take, whatever the parent's other threads were doing at that moment."""

import os
import threading
import weakref
from types import TracebackType


class Lock:
    """A lock that is open in a forked child.

    Reentrant unless asked otherwise: the garbage collector may run code that takes it on the thread that holds it.
    """

    def __init__(self, *, reentrant: bool = True) -> None:
        """An open lock."""
        self._make = threading.RLock if reentrant else threading.Lock
        self._lock = self._make()
        _instances.add(self)

    def renew(self) -> None:
        """In a forked child: have another one, if a thread held it that has not come along."""
        if self.acquire(blocking=False):
            self.release()
        else:
            self._lock = self._make()

    def acquire(self, *, blocking: bool = True) -> bool:
        """Take it; whether that is done, for who does not want to wait."""
        return self._lock.acquire(blocking)

    def release(self) -> None:
        """Give it back."""
        self._lock.release()

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
