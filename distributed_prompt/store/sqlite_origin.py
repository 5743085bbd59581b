"""Where connections of SQLite to one pack come from: a file by its path, or any source of bytes."""

import os
from abc import ABC, abstractmethod
from itertools import count
from threading import local
from typing import Any
from urllib.parse import quote
from weakref import WeakValueDictionary

import apsw

from distributed_prompt.errors import DPromptError, PackChangedError
from distributed_prompt.store.byte_source import ByteSource
from distributed_prompt.store.open_file import OpenFile
from distributed_prompt.store.sqlite_header import HEAD_BYTES, PAGE_BYTES, check_file, check_header, identify

_CACHE_KIB = 512
_FLAGS = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
_VFS_NAME = "dprompt-source"
# SQLite leaves room for what its journal is called, whether it has one or not.
_LONGEST_PATH_BYTES = min(int(vfs["mxPathname"]) for vfs in apsw.vfs_details()) - len("-journal")


class Origin(ABC):
    """What makes connections to one pack.

    Attributes:
        name: what errors call the pack.
        size_bytes: its size.
    """

    name: str
    size_bytes: int

    @abstractmethod
    def connect(self) -> apsw.Connection:
        """A new connection.

        Raises:
            PackChangedError: another pack is there now.
        """

    def failure(self) -> DPromptError | None:
        """Why the last read on this thread failed, if SQLite does not know."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Let go of what connections read from. Closing twice is harmless."""


class FileOrigin(Origin):
    """A file, as long as its path still names the one that was looked at first.

    It is read, not mapped: a mapping would end the process with SIGBUS if somebody cut the file short.
    """

    def __init__(self, path: str) -> None:
        """Look at the file at an absolute path; the errors are those of ``SqliteStore``."""
        self.name = path
        self._identity = check_file(path)
        self.size_bytes = self._identity.size

    def connect(self) -> apsw.Connection:
        """As the base class says."""
        self._check_identity()
        connection = _connection(f"{uri(self.name)}?immutable=1&mode=ro")
        try:
            self._check_identity()
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_identity(self) -> None:
        if identify(self.name) != self._identity:
            message = f"{self.name}: another file lies here than the one that was opened; open it again"
            raise PackChangedError(message)

    def close(self) -> None:
        """Nothing to let go of."""


def file_origin(path: str) -> Origin:
    """What makes connections to the file at an absolute path; the errors are those of ``SqliteStore``.

    Systems take longer paths than SQLite, which then reads the file through ours.
    """
    return FileOrigin(path) if len(os.fsencode(path)) <= _LONGEST_PATH_BYTES else SourceOrigin(OpenFile(path))


class SourceOrigin(Origin):
    """A source of bytes. SQLite reads it page by page."""

    def __init__(self, source: ByteSource) -> None:
        """Look at the first bytes of a source; the errors are those of ``SqliteStore``, and of the source."""
        self.name = source.name
        self.size_bytes = source.size_bytes
        check_header(source.name, source.read(0, HEAD_BYTES), source.size_bytes)
        self._source = source
        self._failures = local()
        self._number = _sources.add(self)

    def connect(self) -> apsw.Connection:
        """As the base class says."""
        self._source.check_open()
        return _connection(f"file:{self._number}?immutable=1&mode=ro&vfs={_VFS_NAME}")

    def read(self, size: int, offset: int) -> bytes:
        """What SQLite asks for."""
        try:
            return self._source.read(offset, size)
        except DPromptError as error:
            self._failures.error = error
            message = "the source cannot be read"
            raise apsw.IOError(message) from error

    def failure(self) -> DPromptError | None:
        """As the base class says."""
        error: DPromptError | None = getattr(self._failures, "error", None)
        self._failures.error = None
        return error

    def close(self) -> None:
        """As the base class says."""
        self._source.close()


def uri(path: str) -> str:
    """An absolute path as SQLite's URI, whatever bytes it is made of."""
    return f"file://{quote(os.fsencode(path))}"


def _connection(address: str) -> apsw.Connection:
    connection = apsw.Connection(address, flags=_FLAGS, statementcachesize=8)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.pragma("mmap_size", 0)
    connection.pragma("cache_size", -_CACHE_KIB)
    connection.pragma("cell_size_check", 1)
    return connection


class _Sources:
    """The sources that SQLite can read, by number, and its way to them."""

    def __init__(self) -> None:
        self._numbers = count(1)
        # A store has its origin, and an open connection, too.
        self._origins: WeakValueDictionary[str, SourceOrigin] = WeakValueDictionary()
        self._vfs: _Vfs | None = None

    def add(self, origin: SourceOrigin) -> str:
        if self._vfs is None:
            self._vfs = _Vfs(self._origins)
        number = str(next(self._numbers))
        self._origins[number] = origin
        return number


class _Vfs(apsw.VFS):
    """Files that are sources; there are no others, and none is written."""

    def __init__(self, origins: WeakValueDictionary[str, SourceOrigin]) -> None:
        self._origins = origins
        super().__init__(_VFS_NAME, "")

    def xFullPathname(self, name: str) -> str:  # noqa: N802  # SQLite's names, here and below
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        del pathname, flags
        return False

    def xOpen(self, name: object, flags: list[int]) -> Any:  # noqa: N802  # apsw takes anything with these methods
        del flags
        number = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        origin = self._origins.get(number)
        if origin is None:
            raise apsw.CantOpenError
        return _File(origin)


class _File:
    """An open source."""

    def __init__(self, origin: SourceOrigin) -> None:
        self._origin = origin

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return self._origin.read(amount, offset)

    def xFileSize(self) -> int:  # noqa: N802
        return self._origin.size_bytes

    def xSectorSize(self) -> int:  # noqa: N802
        return PAGE_BYTES

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return apsw.SQLITE_IOCAP_IMMUTABLE

    def xFileControl(self, op: int, pointer: int) -> bool:  # noqa: N802
        del op, pointer
        return False

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xLock(self, level: int) -> None:  # noqa: N802
        """Nobody writes."""

    def xUnlock(self, level: int) -> None:  # noqa: N802
        """As above."""

    def xClose(self) -> None:  # noqa: N802
        """The origin stays open."""


_sources = _Sources()
