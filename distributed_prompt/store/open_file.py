"""A file that is read at any place, by any thread, and may be closed at any moment."""

import os

from distributed_prompt.errors import ClosedError, PackReadError
from distributed_prompt.store.byte_source import ByteSource


class OpenFile(ByteSource):
    """A file, open for reading by position. Reads under way when it is closed end well.

    The descriptor is closed when nobody uses it any more, so its number cannot become another file's under a
    reader. A fork shares it, which does no harm: reading by position moves nothing.

    Attributes:
        name: the path.
        size_bytes: its size when it was opened.
    """

    def __init__(self, path: str) -> None:
        """Open the file at an absolute path.

        Raises:
            PackReadError: the system could not.
        """
        self.name = path
        try:
            self._descriptor: Descriptor | None = Descriptor(os.open(path, os.O_RDONLY))
            self.size_bytes = os.fstat(self._descriptor.number).st_size
        except OSError as error:
            message = f"{path}: {error.strerror}"
            raise PackReadError(message) from error

    def read(self, offset: int, size: int) -> bytes:
        """Some bytes; fewer where the file ends.

        Raises:
            ClosedError: it was closed.
            PackReadError: the system could not read.
        """
        descriptor = self.check_open()
        try:
            return os.pread(descriptor.number, size, offset)
        except OSError as error:
            message = f"{self.name}: byte {offset}: {error.strerror}"
            raise PackReadError(message) from error

    def check_open(self) -> "Descriptor":
        """For what may be answered from memory.

        Raises:
            ClosedError: it was closed.
        """
        descriptor = self._descriptor
        if descriptor is None:
            message = f"{self.name} is closed"
            raise ClosedError(message)
        return descriptor

    def close(self) -> None:
        """Let go of it, once the reads under way are done. Closing twice is harmless."""
        self._descriptor = None


class Descriptor:
    """An open file's number, closed with its last user: never under one that is still at it on another thread.

    Attributes:
        number: what the system calls the file.
    """

    def __init__(self, number: int) -> None:
        """Own the number."""
        self.number = number

    def __del__(self) -> None:
        """Close it."""
        os.close(self.number)
