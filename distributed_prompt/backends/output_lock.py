"""The lock on an output that is being written. A forked child does not take it along.

It belongs to the open file, so whoever inherits that holds it, too: a child that outlives a killed writer would turn
away every other one.
"""

import fcntl
import os
import weakref
from contextlib import suppress
from pathlib import Path

from distributed_prompt.locks import Lock


class OutputLock:
    """An open file or folder, locked until it is closed; in a forked child, closed.

    Attributes:
        descriptor: the open file's number; -1 for none.
    """

    def __init__(self) -> None:
        """Nothing is open."""
        self.descriptor = -1
        _instances.add(self)

    def open(self, path: Path, flags: int) -> None:
        """Open a file, not locked yet."""
        with _changing:
            self.descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)

    def take(self) -> None:
        """Lock it.

        Raises:
            BlockingIOError: another has.
        """
        fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Let go of it. Closing twice is harmless."""
        if self.descriptor >= 0:
            # Not by closing alone: a child forked just now may not have closed its own yet.
            with suppress(OSError):
                fcntl.flock(self.descriptor, fcntl.LOCK_UN)
            self.leave()

    def leave(self) -> None:
        """Close it, and leave the lock to who else has it open."""
        with _changing:
            descriptor, self.descriptor = self.descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)


_instances: "weakref.WeakSet[OutputLock]" = weakref.WeakSet()
# Held by whoever forks, so that no child finds a number here without its file, or a file without its number.
_changing = Lock()


def _after_fork() -> None:
    for lock in _instances:
        lock.leave()


os.register_at_fork(before=_changing.acquire, after_in_parent=_changing.release, after_in_child=_after_fork)
