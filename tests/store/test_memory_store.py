from distributed_prompt.store.base import Store, StoreWriter, Table
from distributed_prompt.store.memory_store import MemoryStore
from tests.contracts.store_contract import METADATA, StoreContract


class TestMemoryStore(StoreContract):
    store: MemoryStore

    def create(self) -> StoreWriter:
        self.store = MemoryStore()
        return self.store

    def open(self) -> Store:
        return self.store

    def raw_get(self, table: Table, key: int) -> bytes | None:
        return self.store._tables[table].get(key)

    def raw_put(self, table: Table, key: int, value: bytes) -> None:
        self.store._tables[table][key] = value

    def raw_metadata(self) -> dict[str, str]:
        return dict(self.store._metadata)

    def raw_image(self) -> bytes:
        return repr((self.store._tables, sorted(self.store._metadata.items()))).encode()

    def test_it_has_no_pages(self) -> None:
        writer = self.create()
        writer.put(Table.SHARDS, 0, b"zero")
        assert list(writer.places(Table.SHARDS)) == []

    def test_its_name_is_that_of_no_file(self) -> None:
        assert MemoryStore().name == "<memory>"
        assert MemoryStore("other").name == "other"

    def test_its_size_is_that_of_its_blobs(self) -> None:
        with self.filled({Table.SHARDS: {0: b"four"}, Table.DIRECTORY: {0: b"sixsix"}}, METADATA) as store:
            assert store.size_bytes() == 10
