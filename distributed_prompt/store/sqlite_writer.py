"""New packs in SQLite, as :mod:`distributed_prompt.store.sqlite_store` reads them."""

import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import apsw

from distributed_prompt.errors import OutputError
from distributed_prompt.store.base import Place, StoreWriter, Table
from distributed_prompt.store.metadata import FORMAT_VERSION
from distributed_prompt.store.sqlite_header import APPLICATION_ID, PAGE_BYTES
from distributed_prompt.store.sqlite_origin import uri
from distributed_prompt.store.sqlite_pages import table_places
from distributed_prompt.store.sqlite_store import SCHEMA

_WRITE_CACHE_KIB = 8192


class SqliteWriter(StoreWriter):
    """A new pack file. No journal: the file has no name that anyone reads before it is finished."""

    def __init__(self, path: str, name: str) -> None:
        """Begin a pack in an empty file.

        Args:
            path: the file.
            name: what errors call it.

        Raises:
            OutputError: the file cannot be written.
        """
        self._path = path
        self._name = name
        try:
            flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
            self._connection = apsw.Connection(uri(path), flags=flags)
            for pragma, value in (
                ("page_size", PAGE_BYTES),
                ("journal_mode", "OFF"),
                ("synchronous", "OFF"),
                ("locking_mode", "EXCLUSIVE"),
                ("cache_size", -_WRITE_CACHE_KIB),
                ("application_id", APPLICATION_ID),
                ("user_version", FORMAT_VERSION),
            ):
                self._connection.pragma(pragma, value)
            self._connection.execute("BEGIN EXCLUSIVE")
            self._connection.execute(SCHEMA["metadata"])
            self._put: dict[Table, str] = {}
            for table in (Table.SHARDS, Table.DIRECTORY, Table.DOCUMENTS):
                self._create(table)
        except apsw.Error as error:
            raise self._failure(error) from error

    def _create(self, table: Table) -> None:
        self._connection.execute(SCHEMA[table])
        self._put[table] = f"INSERT INTO {table} VALUES(?,?)"

    def _failure(self, error: apsw.Error) -> OutputError:
        if isinstance(error, apsw.FullError):
            return OutputError(f"{self._name}: the disk is full")
        return OutputError(f"{self._name}: cannot be written ({error})")

    def put(self, table: Table, key: int, value: bytes) -> None:
        """See the contract."""
        try:
            if table not in self._put:
                self._create(table)
            self._connection.execute(self._put[table], (key, value))
        except apsw.Error as error:
            raise self._failure(error) from error

    def put_metadata(self, values: Mapping[str, str]) -> None:
        """See the contract."""
        try:
            self._connection.executemany("INSERT INTO metadata VALUES(?,?)", sorted(values.items()))
        except apsw.Error as error:
            raise self._failure(error) from error

    def places(self, table: Table) -> Iterator[tuple[int, Place]]:
        """See the contract."""
        try:
            self._connection.execute("COMMIT")
            query = "SELECT rootpage FROM sqlite_schema WHERE name=?"
            root = cast("int | None", self._connection.execute(query, (str(table),)).get)
            self._connection.execute("BEGIN EXCLUSIVE")
        except apsw.Error as error:
            raise self._failure(error) from error
        if root is None:
            return
        try:
            with Path(self._path).open("rb", buffering=0) as file:
                yield from table_places(lambda page: _read_page(file.fileno(), page), PAGE_BYTES, root)
        except (OSError, IndexError, struct.error) as error:
            message = f"{self._name}: cannot be read back ({error})"
            raise OutputError(message) from error

    def finish(self) -> None:
        """See the contract."""
        try:
            self._connection.execute("COMMIT")
            self._connection.close()
        except apsw.Error as error:
            raise self._failure(error) from error

    def abort(self) -> None:
        """See the contract."""
        self._connection.close(force=True)


def _read_page(descriptor: int, page: int) -> bytes:
    return os.pread(descriptor, PAGE_BYTES, (page - 1) * PAGE_BYTES)
