"""Keeps a fork out of the middle of what a child could never go on with.

Modules that are being imported are locked, and SQLite has mutexes of its own. A child that is forked while another
thread holds one would wait for it for ever, so a fork waits until no thread is inside, and meanwhile none goes in.
"""

import os
from threading import Condition

_PATIENCE_SECONDS = 10


class ForkGate:
    """Counts the threads that are inside; ``shut`` waits for the last to leave."""

    def __init__(self) -> None:
        """Nobody is inside."""
        self.reset()

    def reset(self) -> None:
        """Begin anew: in a forked child, which no other thread has come along to."""
        self._condition = Condition()
        self._inside = 0
        self._forks = 0

    def enter(self) -> None:
        """Go in, after a fork under way."""
        with self._condition:
            while self._forks:
                self._condition.wait(_PATIENCE_SECONDS)
            self._inside += 1

    def leave(self) -> None:
        """Go out."""
        with self._condition:
            self._inside -= 1
            if not self._inside:
                self._condition.notify_all()

    def shut(self) -> None:
        """Wait until everybody is out, for some seconds at most, and let nobody in."""
        with self._condition:
            self._forks += 1
            self._condition.wait_for(lambda: not self._inside, _PATIENCE_SECONDS)

    def open(self) -> None:
        """Let everybody in again, unless another fork is under way."""
        with self._condition:
            self._forks -= 1
            self._condition.notify_all()

    def __enter__(self) -> None:
        """Go in."""
        self.enter()

    def __exit__(self, *exception: object) -> None:
        """Go out."""
        self.leave()


importing = ForkGate()
"""A context for every import at first use: worker threads do some of them, of which who forks cannot know."""
os.register_at_fork(before=importing.shut, after_in_parent=importing.open, after_in_child=importing.reset)
