"""Packs in LMDB, written. With the check of :mod:`distributed_prompt.store.lmdb_store` the only use of lmdb."""

import errno
import os
from collections.abc import Iterator, Mapping

import lmdb

from distributed_prompt.errors import OutputError
from distributed_prompt.store.base import Place, StoreWriter, Table
from distributed_prompt.store.lmdb_store import KEY_BYTES, METADATA
from distributed_prompt.text.pieces import encode

_COMMIT_BYTES = 2**24
_ROW_BYTES = 2**13  # what a row may take beside its value: the pages that are made anew for it
_SPARE_MAP_BYTES = 2**25
_LMDB_0_9 = 0
_FEW_BLOCKS = 16


class LmdbWriter(StoreWriter):
    """A new pack file. What was put is committed now and then, always at the same places, so memory stays small.

    Keys ascend, so LMDB fills its pages in order and leaves next to nothing free: a compacting copy would write all
    of it twice to gain a few pages.
    """

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
        self._map_bytes = 2 * _SPARE_MAP_BYTES
        self._pending_bytes = self._bytes = 0
        try:
            self._environment = lmdb.open(
                os.fsencode(path),
                subdir=False,
                lock=False,
                sync=False,
                metasync=False,
                map_size=self._map_bytes,
                max_dbs=len(Table) + 1,
                lib_version=_LMDB_0_9,
            )
            self._metadata = self._environment.open_db(METADATA)
            self._tables = {
                table: self._environment.open_db(str(table).encode())
                for table in (Table.SHARDS, Table.DIRECTORY, Table.DOCUMENTS)
            }
            self._transaction = self._environment.begin(write=True)
        except lmdb.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: lmdb.Error) -> OutputError:
        if error.code == errno.ENOSPC or (error.code == errno.EIO and self._disk_is_full()):
            return OutputError(f"{self._name}: the disk is full")
        return OutputError(f"{self._name}: cannot be written ({error})")

    def _disk_is_full(self) -> bool:
        """LMDB calls it an input/output error when the last pages that there was room for were written."""
        return os.statvfs(self._path).f_bavail < _FEW_BLOCKS

    def put(self, table: Table, key: int, value: bytes) -> None:
        """See the contract."""
        try:
            self._make_room(len(value))
            if table not in self._tables:
                self._tables[table] = self._environment.open_db(str(table).encode(), txn=self._transaction)
            self._append(key.to_bytes(KEY_BYTES), value, self._tables[table])
        except lmdb.Error as error:
            raise self._failure(error) from error

    def _append(self, key: bytes, value: bytes, table: "lmdb._Database") -> None:
        if not self._transaction.put(key, value, append=True, db=table):
            message = f"{self._name}: key {key.hex()} does not come after the one before"
            raise OutputError(message)

    def _make_room(self, value_bytes: int) -> None:
        """Commit when enough is pending, and let the mapping be large enough for what comes."""
        row_bytes = value_bytes + _ROW_BYTES
        self._bytes += row_bytes
        grows = self._bytes + _SPARE_MAP_BYTES > self._map_bytes
        if grows or self._pending_bytes > _COMMIT_BYTES:
            self._transaction.commit()
            if grows:
                self._map_bytes = 2 * (self._bytes + _SPARE_MAP_BYTES)
                self._environment.set_mapsize(self._map_bytes)
            self._pending_bytes = 0
            self._transaction = self._environment.begin(write=True)
        self._pending_bytes += row_bytes

    def put_metadata(self, values: Mapping[str, str]) -> None:
        """See the contract."""
        try:
            for name, value in sorted((encode(name), encode(value)) for name, value in values.items()):
                self._make_room(len(value))
                self._append(name, value, self._metadata)
        except lmdb.Error as error:
            raise self._failure(error) from error

    def places(self, table: Table) -> Iterator[tuple[int, Place]]:
        """Nothing: the places are for pages of SQLite."""
        del table
        return iter(())

    def finish(self) -> None:
        """See the contract."""
        try:
            self._transaction.commit()
            information = self._environment.info()
            page_bytes = self._environment.stat()["psize"]
            self._environment.close()
            # Pages that a transaction took and gave back at the end of the file are never written.
            os.truncate(self._path, (information["last_pgno"] + 1) * page_bytes)
        except lmdb.Error as error:
            raise self._failure(error) from error
        except OSError as error:
            message = f"{self._name}: {error.strerror}"
            raise OutputError(message) from error

    def abort(self) -> None:
        """See the contract."""
        self._transaction.abort()
        self._environment.close()
