"""New packs in SQLite, as :mod:`distributed_prompt.store.sqlite_store` reads them.

They are written without SQLite, page after page (:mod:`distributed_prompt.store.sqlite_tree`): so a pack that grows
keeps its pages, a row is written in a fifth of the time, and equal input gives an equal file whatever its version.
"""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from distributed_prompt.errors import OutputError
from distributed_prompt.store.base import Place, StoreWriter, Table
from distributed_prompt.store.sqlite_header import PAGE_BYTES, create_header
from distributed_prompt.store.sqlite_store import SCHEMA
from distributed_prompt.store.sqlite_tree import PageFile, TableWriter, first_page, index_leaf

_BUFFER_BYTES = 2**20
_METADATA = "metadata"
_METADATA_PAGE = 2
_ALWAYS = (Table.SHARDS, Table.DIRECTORY, Table.DOCUMENTS)


class SqliteWriter(StoreWriter):
    """A new pack file. It has no name that anyone reads before it is finished."""

    def __init__(self, path: str, name: str) -> None:
        """Begin a pack in an empty file.

        Args:
            path: the file.
            name: what errors call it.

        Raises:
            OutputError: the file cannot be written.
        """
        self._name = name
        self._metadata: list[tuple[str, str]] = []
        with self._writing():
            self._file = Path(path).open("wb", buffering=_BUFFER_BYTES)  # noqa: SIM115  # finish and abort close it
            self._pages = PageFile(self._file.write)
            # What they say is known at the end.
            for _ in range(_METADATA_PAGE):
                self._pages.add(bytes(PAGE_BYTES))
        self._tables = {table: TableWriter(self._pages) for table in _ALWAYS}
        self._last = self._tables[Table.SHARDS]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENOSPC:
                message = f"{self._name}: the disk is full"
            else:
                message = f"{self._name}: cannot be written ({error.strerror})"
            raise OutputError(message) from error

    def put(self, table: Table, key: int, value: bytes) -> None:
        """See the contract."""
        rows = self._tables.get(table)
        if rows is None:
            rows = self._tables[table] = TableWriter(self._pages)
        try:
            if rows is not self._last:
                self._last.flush()
                self._last = rows
            rows.put(key, value)
        except OSError:
            with self._writing():
                raise
        except ValueError as error:
            message = f"{self._name}: {table}: {error}"
            raise OutputError(message) from error

    def put_metadata(self, values: Mapping[str, str]) -> None:
        """See the contract."""
        self._metadata = sorted(values.items())

    def places(self, table: Table) -> Iterator[tuple[int, Place]]:
        """See the contract; no row may follow in the same table."""
        rows = self._tables.get(table)
        if rows:
            with self._writing():
                self._last.flush()
                rows.seal()
            yield from rows.places()

    def finish(self) -> None:
        """See the contract."""
        with self._writing():
            metadata = index_leaf(self._pages, self._metadata)
            roots = {_METADATA: _METADATA_PAGE} | {str(table): rows.seal() for table, rows in self._tables.items()}
            schema: list[tuple[str | int, ...]] = [
                ("table", name, name, root, SCHEMA[name]) for name, root in roots.items()
            ]
            first = first_page(create_header(self._pages.count), [*schema])
            self._file.seek(0)
            self._file.write(first + metadata)
            self._file.close()

    def abort(self) -> None:
        """See the contract."""
        with suppress(OSError):
            self._file.close()
