"""Packs in SQLite: the default engine. With sqlite_origin.py, whose connections it uses, the only importer of apsw.

The file is an ordinary database of one page size, never in WAL mode, without triggers, views or indexes:
``metadata(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID`` and, for every other table,
``(key INTEGER PRIMARY KEY, value BLOB NOT NULL)``. ``application_id`` is the magic, ``user_version`` the
format version. Readers open it immutable, since no pack is ever changed in place.
"""

import os
import weakref
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from typing import Any, cast

import apsw

from distributed_prompt.errors import ClosedError, CorruptPackError, DPromptError, PackChangedError, PackReadError
from distributed_prompt.fork_gate import ForkGate
from distributed_prompt.store.base import Store, Table
from distributed_prompt.store.byte_source import ByteSource
from distributed_prompt.store.maps import Maps
from distributed_prompt.store.metadata import MOST_BYTES, MOST_ROWS, parse_features
from distributed_prompt.store.sqlite_origin import Origin, SourceOrigin, file_origin

_WAIT_SECONDS = 0.05
SCHEMA = {"metadata": "CREATE TABLE metadata(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"} | {
    str(table): f"CREATE TABLE {table}(key INTEGER PRIMARY KEY, value BLOB NOT NULL)" for table in Table
}
_METADATA = "SELECT name, value FROM metadata"
_GET = {table: f"SELECT value FROM {table} WHERE key=?" for table in Table}  # noqa: S608  # names from the enum
_GET_RANGE = {
    table: f"SELECT key, value FROM {table} WHERE key>=? AND key<? ORDER BY key"  # noqa: S608  # as above
    for table in Table
}
_KEYS = {table: f"SELECT key FROM {table} ORDER BY key" for table in Table}  # noqa: S608  # as above


class SqliteStore(Store):
    """A pack, open for reading.

    Threads share a few connections, so that each uses one at a time. A connection to a file is made only while the
    path still names the file that was opened first; when another was renamed over it, threads wait for
    the connections there are, which go on with the old one.
    """

    engine = "sqlite"
    has_pages = True

    def __init__(self, place: str | ByteSource) -> None:
        """Open the pack at an absolute path, or in some bytes.

        Raises:
            NotAPackError: it is no pack.
            UnsupportedPackError: its format is newer.
            CorruptPackError: it is truncated or its schema is not a pack's.
            PackReadError: the system could not read it.
        """
        self._origin: Origin = SourceOrigin(place) if isinstance(place, ByteSource) else file_origin(place)
        self.name = self._origin.name
        self._source = place if isinstance(place, ByteSource) else None
        self.is_far = self._source is not None
        self._maps = Maps(self)
        self._idle: SimpleQueue[apsw.Connection] = SimpleQueue()
        self._tables: frozenset[str] = frozenset()
        self._closed = False
        self._inherited = False
        _gate.enter()
        try:
            self._idle.put(self._connect())
        finally:
            _gate.leave()
        try:
            self._check_schema()
        except BaseException:
            self.close()
            raise
        _stores.add(self)

    def _connect(self) -> apsw.Connection:
        try:
            return self._origin.connect()
        except apsw.Error as error:
            raise self._failure(error) from error

    def _lease(self) -> apsw.Connection:
        _gate.enter()
        try:
            return self._take()
        except BaseException:
            _gate.leave()
            raise

    def _take(self) -> apsw.Connection:
        wait = 0.0
        while True:
            try:
                return self._idle.get(block=wait > 0, timeout=wait)
            except Empty:
                if self._closed:
                    message = f"{self.name} is closed"
                    raise ClosedError(message) from None
            try:
                connection = self._connect()
            except PackChangedError:
                if self._inherited:
                    raise
                wait = _WAIT_SECONDS
            else:
                self._inherited = False
                return connection

    def _release(self, connection: apsw.Connection) -> None:
        self._idle.put(connection)
        _gate.leave()
        if self._closed:
            self.close()

    def _check_schema(self) -> None:
        rows = self._query("schema", "SELECT type, name, tbl_name, sql FROM sqlite_schema")
        found = {name: sql for kind, name, table, sql in rows if (kind, table) == ("table", name)}
        needed = dict.fromkeys(("metadata", Table.SHARDS, Table.DIRECTORY))
        wrong = [name for name in found | needed if found.get(name) != SCHEMA.get(name)]
        if wrong and not set(wrong) & set(SCHEMA):
            # Tables of other names come with features of other names, and those with a newer version.
            parse_features(self.metadata(), self.name)
        if wrong or len(found) != len(rows):
            message = f"{self.name}: {f'table {wrong[0]!r}' if wrong else 'its schema'} is not as in a pack"
            raise CorruptPackError(message)
        self._tables = frozenset(found)

    def _query(self, where: str, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a few tables with few. The connection goes back even when the query fails."""
        connection = self._lease()
        try:
            rows: list[tuple[Any, ...]] = []
            left = min(self._origin.size_bytes, MOST_BYTES)
            for row in connection.execute(sql):
                left -= _characters(row)
                if len(rows) == MOST_ROWS or left < 0:
                    raise self._too_much(where)
                rows.append(row)
        except (apsw.Error, UnicodeDecodeError) as error:
            raise self._failure(error, where) from error
        finally:
            self._release(connection)
        return rows

    def _ascending(self, where: str, sql: str, bindings: tuple[int, ...] = ()) -> Generator[tuple[Any, ...]]:
        """Rows whose keys ascend: pages that lead to the same ones again and again would give rows without end."""
        connection = self._lease()
        last: int | None = None
        try:
            for row in connection.execute(sql, bindings):
                if last is not None and row[0] <= last:
                    message = f"{self.name}: {where}: keys do not ascend"
                    raise CorruptPackError(message)
                last = row[0]
                yield cast("tuple[Any, ...]", row)
        except (apsw.Error, UnicodeDecodeError) as error:
            raise self._failure(error, where) from error
        finally:
            self._release(connection)

    def _too_much(self, where: str) -> CorruptPackError:
        """The error for rows that are together more than a pack has, or than the file: all may lead to one value."""
        return CorruptPackError(f"{self.name}: {where}: more than a pack has")

    def _failure(self, error: Exception, where: str = "opening") -> DPromptError:
        cause = self._origin.failure()
        if cause:
            return cause
        if isinstance(error, apsw.IOError | apsw.CantOpenError | apsw.NoMemError):
            return PackReadError(f"{self.name}: {where}: {error}")
        if isinstance(error, UnicodeDecodeError):
            return CorruptPackError(f"{self.name}: {where}: is no blob, and no text either")
        return CorruptPackError(f"{self.name}: {where}: damaged ({error})")

    def metadata(self) -> dict[str, str]:
        """See the contract."""
        rows = self._query("metadata", _METADATA)
        if not all(isinstance(name, str) and isinstance(value, str) for name, value in rows):
            message = f"{self.name}: metadata: a value that is no text"
            raise CorruptPackError(message)
        return dict(rows)

    def get(self, table: Table, key: int) -> bytes | None:
        """See the contract."""
        if table not in self._tables:
            return None
        if table is not Table.SHARDS:
            self.expect(table, (key,))
        connection = self._lease()
        try:
            value = connection.execute(_GET[table], (key,)).get
        except (apsw.Error, UnicodeDecodeError) as error:
            where = f"{table}: row {key}"
            raise self._failure(error, where) from error
        finally:
            self._release(connection)
        if isinstance(value, bytes | None):
            return value
        message = f"{self.name}: {table}: row {key} is no blob"
        raise CorruptPackError(message)

    def get_range(self, table: Table, start: int, stop: int) -> list[tuple[int, bytes]]:
        """See the contract."""
        if table not in self._tables:
            return []
        where, left = f"{table}: rows {start} to {stop - 1}", self._origin.size_bytes
        found: list[tuple[int, bytes]] = []
        with closing(self._ascending(where, _GET_RANGE[table], (start, stop))) as rows:
            for key, value in rows:
                if not isinstance(value, bytes):
                    message = f"{self.name}: {table}: row {key} is no blob"
                    raise CorruptPackError(message)
                left -= len(value)
                if left < 0:
                    raise self._too_much(where)
                found.append((key, value))
        return found

    def expect(self, table: Table, keys: Iterable[int]) -> None:
        """See the contract."""
        if self._source and table is not Table.MAPS:
            self._source.prefetch(self._maps.ranges(table, keys))

    def expect_bytes(self, ranges: Iterable[range]) -> None:
        """See the contract."""
        if self._source:
            self._source.prefetch(ranges)

    def forget(self) -> bool:
        """See the contract. Connections in use by other threads keep the little that they have."""
        if not (self._source and self._source.forget()):
            return False
        self._close_idle()
        return True

    def keys(self, table: Table) -> Iterator[int]:
        """See the contract."""
        return iter([key for (key,) in self._ascending(table, _KEYS[table])] if table in self._tables else [])

    def problems(self) -> Iterator[str]:
        """What ``PRAGMA integrity_check`` reports."""
        lines: list[str] = []
        connection = self._lease()
        try:
            for (report,) in connection.execute("PRAGMA integrity_check"):
                lines += str(report).splitlines()
        except apsw.Error as error:
            lines = lines or [f"integrity check: {error}"]
        finally:
            self._release(connection)
        yield from (f"{self.name}: {line}" for line in lines if line != "ok" and not line.startswith("***"))

    def size_bytes(self) -> int:
        """Bytes of the file."""
        return self._origin.size_bytes

    def close(self) -> None:
        """See the contract. Connections in use by other threads close when they are let go."""
        self._closed = True
        self._close_idle()
        self._origin.close()

    def _close_idle(self) -> None:
        with suppress(Empty):
            while True:
                self._idle.get_nowait().close()

    def _forget(self) -> None:
        """In a forked child: leave the parent's connections alone, neither using nor closing them."""
        _left_alone.append(self._idle)
        self._idle = SimpleQueue()
        self._inherited = True


_stores: "weakref.WeakSet[SqliteStore]" = weakref.WeakSet()
_left_alone: list[object] = []


def _after_fork() -> None:
    _gate.reset()
    for store in _stores:
        store._forget()  # noqa: SLF001  # the module's own class


_gate = ForkGate()
os.register_at_fork(before=_gate.shut, after_in_parent=_gate.open, after_in_child=_after_fork)


def _characters(row: tuple[Any, ...]) -> int:
    return sum(len(value) for value in row if isinstance(value, str | bytes))
