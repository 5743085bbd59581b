"""The contract in a dictionary: the store of texts that never see a file."""

from collections.abc import Iterator, Mapping

from distributed_prompt.errors import ClosedError
from distributed_prompt.store.base import Place, Store, StoreWriter, Table


class MemoryStore(Store, StoreWriter):
    """Writer and reader in one. Closing a reader drops nothing: there is no file to let go of."""

    engine = "memory"
    has_pages = False

    def __init__(self, name: str = "<memory>") -> None:
        """Make an empty store."""
        self.name = name
        self._tables: dict[Table, dict[int, bytes]] = {table: {} for table in Table}
        self._metadata: dict[str, str] = {}
        self._closed = False

    def put(self, table: Table, key: int, value: bytes) -> None:
        """See the contract."""
        self._tables[table][key] = value

    def put_metadata(self, values: Mapping[str, str]) -> None:
        """See the contract."""
        self._metadata = dict(values)

    def places(self, table: Table) -> Iterator[tuple[int, Place]]:
        """Nothing: blobs in memory have no pages."""
        del table
        return iter(())

    def finish(self) -> None:
        """Nothing to write out; the writer goes on as the reader."""

    def abort(self) -> None:
        """Nothing to take back."""

    def metadata(self) -> dict[str, str]:
        """See the contract."""
        self._check_open()
        return dict(self._metadata)

    def get(self, table: Table, key: int) -> bytes | None:
        """See the contract."""
        self._check_open()
        return self._tables[table].get(key)

    def get_range(self, table: Table, start: int, stop: int) -> list[tuple[int, bytes]]:
        """See the contract."""
        self._check_open()
        rows = self._tables[table]
        keys = range(start, stop) if stop - start < len(rows) else sorted(rows)
        return [(key, rows[key]) for key in keys if start <= key < stop and key in rows]

    def keys(self, table: Table) -> Iterator[int]:
        """See the contract."""
        self._check_open()
        return iter(sorted(self._tables[table]))

    def problems(self) -> Iterator[str]:
        """Nothing: a dictionary has no structure of its own to break."""
        self._check_open()
        return iter(())

    def size_bytes(self) -> int:
        """Bytes of all blobs."""
        return sum(len(value) for table in self._tables.values() for value in table.values())

    def _check_open(self) -> None:
        if self._closed:
            message = f"{self.name} is closed"
            raise ClosedError(message)

    def close(self) -> None:
        """See the contract."""
        self._closed = True
