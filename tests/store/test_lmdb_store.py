from pathlib import Path

import lmdb

from distributed_prompt.store.base import Store, StoreWriter, Table
from distributed_prompt.store.lmdb_store import LmdbStore
from distributed_prompt.store.lmdb_writer import LmdbWriter
from tests.contracts.store_contract import StoreContract


class TestLmdbStore(StoreContract):
    @property
    def path(self) -> Path:
        return self.folder / "pack.dprompt"

    def create(self) -> StoreWriter:
        self.path.unlink(missing_ok=True)
        self.path.touch()
        return LmdbWriter(str(self.path), str(self.path))

    def open(self) -> Store:
        return LmdbStore(str(self.path))

    def raw_get(self, table: Table, key: int) -> bytes | None:
        with environment(self.path) as opened, opened.begin() as transaction:
            try:
                database = opened.open_db(str(table).encode(), txn=transaction, create=False)
            except lmdb.NotFoundError:
                return None
            return transaction.get(key.to_bytes(8, "big"), db=database)

    def raw_put(self, table: Table, key: int, value: bytes) -> None:
        with environment(self.path, readonly=False) as opened, opened.begin(write=True) as transaction:
            database = opened.open_db(str(table).encode(), txn=transaction)
            transaction.put(key.to_bytes(8, "big"), value, db=database)

    def raw_metadata(self) -> dict[str, str]:
        with environment(self.path) as opened, opened.begin() as transaction:
            database = opened.open_db(b"metadata", txn=transaction, create=False)
            return {bytes(key).decode(): bytes(value).decode() for key, value in transaction.cursor(database)}

    def raw_image(self) -> bytes:
        return self.path.read_bytes()


def environment(path: Path, *, readonly: bool = True) -> lmdb.Environment:
    """The file as LMDB itself sees it."""
    return lmdb.open(str(path), subdir=False, lock=False, readonly=readonly, max_dbs=8, map_size=2**26, lib_version=0)
