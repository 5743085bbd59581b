"""Packs in LMDB, read page by page. Written by :mod:`distributed_prompt.store.lmdb_writer`.

The file is an ordinary environment in one file, in the data format of LMDB 0.9, with a named database for each table:
``metadata`` with text under text, both UTF-8; all others with blobs under keys of eight bytes, big-endian. It is read
by position and not through LMDB's own mapping, under which a damaged or shortened file would kill the process; nothing
is locked, any number of readers in any process may have it open, and each keeps the file it opened whatever is renamed
over it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from distributed_prompt.errors import CorruptPackError, NotAPackError, PackReadError, UnsupportedPackError
from distributed_prompt.fork_gate import importing
from distributed_prompt.store.base import Store, Table
from distributed_prompt.store.byte_source import ByteSource
from distributed_prompt.store.lmdb_pages import Tree, TreeReader, read_meta
from distributed_prompt.store.metadata import MOST_BYTES, MOST_ROWS, parse_metadata
from distributed_prompt.store.open_file import OpenFile

METADATA = b"metadata"
KEY_BYTES = 8
_EMPTY = Tree(0, 0)
_KEYS = range(2**63)


class LmdbStore(Store):
    """A pack file, open for reading. Safe in any thread and after a fork."""

    engine = "lmdb"
    has_pages = False

    def __init__(self, place: str | ByteSource) -> None:
        """Open the pack at an absolute path, or in some bytes.

        Raises:
            NotAPackError: it is LMDB's, but no pack.
            UnsupportedPackError: LMDB's data format is another one, or the pack's is newer.
            CorruptPackError: it is truncated or damaged.
            PackReadError: the system could not read it.
        """
        self._file = place if isinstance(place, ByteSource) else OpenFile(place)
        self.name = self._file.name
        try:
            with self._located("header"):
                self._reader = TreeReader(self._file.read, read_meta(self._file.read, self._file.size_bytes))
                is_pack = METADATA in self._reader.names()
                # One more tells that there are too many.
                self._trees = dict(islice(self._reader.trees(), MOST_ROWS + 1)) if is_pack else {}
            self._check_tables()
        except BaseException:
            self.close()
            raise

    def _check_tables(self) -> None:
        if not self._trees:
            message = f"{self.name}: an LMDB file, but not a pack; dprompt pack makes one from text"
            raise NotAPackError(message)
        names = {str(table).encode() for table in Table}
        unknown = sorted(self._trees.keys() - names - {METADATA})
        missing = sorted({str(Table.SHARDS).encode(), str(Table.DIRECTORY).encode()} - self._trees.keys())
        if unknown and not missing:
            # Tables of other names come with features of other names, or with a newer format.
            parse_metadata(self.metadata(), self.name)
        if unknown or missing:
            name = (unknown + missing)[0].decode("utf-8", "backslashreplace")
            message = f"{self.name}: table {name!r} is not as in a pack"
            raise CorruptPackError(message)

    @contextmanager
    def _located(self, where: str) -> Iterator[None]:
        """Say in which pack, and where in it, an error arose."""
        try:
            yield
        except (CorruptPackError, UnsupportedPackError) as error:
            message = f"{self.name}: {where}: {error}"
            raise type(error)(message) from error

    def metadata(self) -> dict[str, str]:
        """See the contract."""
        self._file.check_open()
        with self._located("metadata"):
            found: dict[str, str] = {}
            for key, value in self._reader.rows(self._trees[METADATA], b"", None, MOST_BYTES):
                try:
                    found[key.decode()] = value.decode()
                except UnicodeDecodeError as error:
                    message = "a value that is no text"
                    raise CorruptPackError(message) from error
                if len(found) > MOST_ROWS:
                    message = "more rows than a pack has"
                    raise CorruptPackError(message)
            return found

    def get(self, table: Table, key: int) -> bytes | None:
        """See the contract."""
        self._file.check_open()
        if key not in _KEYS:
            return None
        try:
            return self._reader.get(self._tree(table), key.to_bytes(KEY_BYTES))
        except CorruptPackError as error:
            message = f"{self.name}: {table}: row {key}: {error}"
            raise CorruptPackError(message) from error

    def get_range(self, table: Table, start: int, stop: int) -> list[tuple[int, bytes]]:
        """See the contract."""
        self._file.check_open()
        start, stop = max(start, _KEYS.start), min(stop, _KEYS.stop)
        if stop <= start:
            return []
        with self._located(f"{table}: rows {start} to {stop - 1}"):
            rows = self._reader.rows(self._tree(table), start.to_bytes(KEY_BYTES), stop.to_bytes(KEY_BYTES))
            return [(_number(key), value) for key, value in rows]

    def forget(self) -> bool:
        """See the contract."""
        return self._file.forget()

    def keys(self, table: Table) -> Iterator[int]:
        """See the contract."""
        self._file.check_open()
        with self._located(str(table)):
            yield from map(_number, self._reader.keys(self._tree(table)))

    def _tree(self, table: Table) -> Tree:
        return self._trees.get(str(table).encode(), _EMPTY)

    def problems(self) -> Iterator[str]:
        """What LMDB's own offline check reports: every page, and that each belongs to one thing.

        It wants a file. Of a pack elsewhere all rows are read instead, which finds what is wrong with their pages.
        """
        if not isinstance(self._file, OpenFile):
            yield from self._problems_of_rows()
            return
        descriptor = self._file.check_open()
        # Only this needs LMDB, and its checker.
        with importing:
            from lmdb.verify import VerifyError, verify  # noqa: PLC0415

        try:
            # The very file that is open, whatever has its path now.
            yield from (f"{self.name}: {line}" for line in verify(f"/dev/fd/{descriptor.number}", subdir=False))  # type: ignore[no-untyped-call]
        except (VerifyError, RecursionError) as error:
            yield f"{self.name}: {error}"
        except OSError as error:
            message = f"{self.name}: {error.strerror}"
            raise PackReadError(message) from error

    def _problems_of_rows(self) -> Iterator[str]:
        for table in Table:
            try:
                for key in self.keys(table):
                    self.get(table, key)
            except CorruptPackError as error:
                yield str(error)

    def size_bytes(self) -> int:
        """Bytes of the file."""
        return self._file.size_bytes

    def close(self) -> None:
        """See the contract."""
        self._file.close()


def _number(key: bytes) -> int:
    if len(key) != KEY_BYTES:
        message = f"a key of {len(key)} bytes"
        raise CorruptPackError(message)
    return int.from_bytes(key)
