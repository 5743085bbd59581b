"""Bytes that are read at any place, by any thread: what a pack's engine reads, wherever it is."""

from abc import ABC, abstractmethod
from collections.abc import Iterable


class ByteSource(ABC):
    """Some bytes that never change. Safe to use from any thread.

    Attributes:
        name: what errors call it.
        size_bytes: how many there are.
    """

    name: str
    size_bytes: int

    @abstractmethod
    def read(self, offset: int, size: int) -> bytes:
        """Some bytes; fewer where they end.

        Raises:
            ClosedError: it was closed.
            PackReadError: the system could not read.
            RemoteError: the server cannot be reached, or fails.
            AccessError: the server refuses.
            PackChangedError: it is another one now.
        """

    def prefetch(self, ranges: Iterable[range]) -> None:  # noqa: B027  # may be ignored
        """Take note that some ranges are asked for soon."""

    def forget(self) -> bool:
        """Drop what was kept of it; whether it is read anew then, from where it may have been spoiled on the way."""
        return False

    @abstractmethod
    def check_open(self) -> object:
        """For what may be answered from memory.

        Raises:
            ClosedError: it was closed.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of it. Closing twice is harmless."""
