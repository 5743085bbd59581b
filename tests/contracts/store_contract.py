"""What every engine must do, with raw access that bypasses the code under test."""

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest

from distributed_prompt.errors import ClosedError
from distributed_prompt.store.base import Store, StoreWriter, Table

Rows = Mapping[Table, Mapping[int, bytes]]
METADATA = {"length": "12", "name": "日本語 😀 é", "empty": "", "lines": "a\nb=c\n", "nul": "a\x00b"}
BLOB_SIZES = (0, 1, 100, 4_000, 4_096, 4_097, 70_000, 2**20)
LARGE_KEYS = (0, 1, 127, 128, 2**31, 2**32 - 1, 2**32, 5 << 32, 2**40 + 1, 2**62)
THREADS = 8

USES: Mapping[str, Callable[[Store], object]] = {
    "metadata": lambda store: store.metadata(),
    "get": lambda store: store.get(Table.SHARDS, 0),
    "get_range": lambda store: store.get_range(Table.SHARDS, 0, 2),
    "keys": lambda store: list(store.keys(Table.SHARDS)),
    "problems": lambda store: list(store.problems()),
}


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311  # the same bytes every time


class StoreContract(ABC):
    """Inherit it as ``TestSomething``. Each test has its own folder, and one pack in it."""

    folder: Path

    @pytest.fixture(autouse=True)
    def _own_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    @abstractmethod
    def create(self) -> StoreWriter:
        """Begin the pack, anew if there was one."""

    @abstractmethod
    def open(self) -> Store:
        """Open the pack that was created last and finished."""

    @abstractmethod
    def raw_get(self, table: Table, key: int) -> bytes | None:
        """The row, read without the code under test."""

    @abstractmethod
    def raw_put(self, table: Table, key: int, value: bytes) -> None:
        """Write a row into the finished pack, which nobody has open, without the code under test."""

    @abstractmethod
    def raw_metadata(self) -> dict[str, str]:
        """The metadata table, read without the code under test."""

    @abstractmethod
    def raw_image(self) -> bytes:
        """All that the pack is made of; equal for equal packs."""

    def write(self, rows: Rows, metadata: Mapping[str, str] | None = None) -> None:
        writer = self.create()
        for table, values in rows.items():
            for key, value in values.items():
                writer.put(table, key, value)
        writer.put_metadata(METADATA if metadata is None else metadata)
        writer.finish()

    def filled(self, rows: Rows, metadata: Mapping[str, str] | None = None) -> Store:
        self.write(rows, metadata)
        return self.open()

    @pytest.mark.parametrize("table", Table)
    def test_a_row_of_any_size_comes_back_as_it_was_put(self, table: Table) -> None:
        rows = {key: noise(size, seed=key) for key, size in enumerate(BLOB_SIZES)}
        with self.filled({table: rows}) as store:
            assert {key: store.get(table, key) for key in rows} == rows

    @pytest.mark.parametrize("table", Table)
    def test_what_was_put_is_what_lies_in_the_pack(self, table: Table) -> None:
        rows = {key: noise(size, seed=key) for key, size in enumerate(BLOB_SIZES)}
        self.write({table: rows})
        assert {key: self.raw_get(table, key) for key in rows} == rows
        assert self.raw_get(table, len(rows)) is None

    @pytest.mark.parametrize("size", BLOB_SIZES)
    def test_what_lies_in_the_pack_is_what_is_read(self, size: int) -> None:
        self.write({Table.SHARDS: {0: b"zero"}})
        self.raw_put(Table.SHARDS, 1, noise(size))
        with self.open() as store:
            assert store.get(Table.SHARDS, 1) == noise(size)
            assert store.get_range(Table.SHARDS, 0, 9) == [(0, b"zero"), (1, noise(size))]

    def test_a_blob_is_bytes(self) -> None:
        with self.filled({Table.SHARDS: {0: b"abc"}}) as store:
            assert type(store.get(Table.SHARDS, 0)) is bytes
            assert [type(value) for _, value in store.get_range(Table.SHARDS, 0, 1)] == [bytes]

    @pytest.mark.parametrize("table", Table)
    def test_a_missing_key_is_none_and_not_an_error(self, table: Table) -> None:
        with self.filled({Table.SHARDS: {0: b"", 2: b"two"}}) as store:
            assert store.get(table, 1) is None
            assert store.get(table, 2**40) is None

    @pytest.mark.parametrize("table", Table)
    def test_a_table_without_rows_has_no_keys_and_no_ranges(self, table: Table) -> None:
        with self.filled({}) as store:
            assert list(store.keys(table)) == []
            assert store.get_range(table, 0, 100) == []

    def test_an_empty_blob_is_not_a_missing_one(self) -> None:
        with self.filled({Table.SHARDS: {0: b""}}) as store:
            assert store.get(Table.SHARDS, 0) == b""
            assert store.get_range(Table.SHARDS, 0, 2) == [(0, b"")]

    def test_tables_do_not_mix(self) -> None:
        rows = {table: {7: str(table).encode()} for table in (Table.SHARDS, Table.DIRECTORY, Table.DOCUMENTS)}
        with self.filled(rows) as store:
            assert {table: {7: store.get(table, 7)} for table in rows} == rows

    def test_large_keys_keep_their_order(self) -> None:
        rows = {key: str(key).encode() for key in LARGE_KEYS}
        with self.filled({Table.DIRECTORY: rows}) as store:
            assert list(store.keys(Table.DIRECTORY)) == list(LARGE_KEYS)
            assert {key: store.get(Table.DIRECTORY, key) for key in LARGE_KEYS} == rows

    @pytest.mark.parametrize(
        ("start", "stop", "keys"),
        [
            (0, 10, [1, 2, 5, 9]),
            (1, 9, [1, 2, 5]),
            (2, 3, [2]),
            (3, 5, []),
            (5, 6, [5]),
            (9, 10, [9]),
            (10, 99, []),
            (5, 5, []),
            (6, 2, []),
        ],
    )
    def test_a_range_has_the_rows_from_its_start_to_before_its_stop(
        self, start: int, stop: int, keys: list[int]
    ) -> None:
        rows = {key: noise(key * 1000, seed=key) for key in (1, 2, 5, 9)}
        with self.filled({Table.SHARDS: rows}) as store:
            assert store.get_range(Table.SHARDS, start, stop) == [(key, rows[key]) for key in keys]

    @pytest.mark.timeout(5)
    def test_a_range_costs_its_rows_and_not_its_width(self) -> None:
        rows = {key: str(key).encode() for key in LARGE_KEYS}
        with self.filled({Table.DIRECTORY: rows}) as store:
            assert store.get_range(Table.DIRECTORY, 0, 2**60) == list(rows.items())[:-1]
            assert store.get_range(Table.DIRECTORY, 2**32, 6 << 32) == [(key, rows[key]) for key in (2**32, 5 << 32)]

    def test_many_rows_of_all_sizes_are_what_a_dictionary_holds(self) -> None:
        chance = random.Random(7)  # noqa: S311  # the same rows every time
        model: dict[Table, dict[int, bytes]] = {}
        for table in (Table.SHARDS, Table.DIRECTORY, Table.DOCUMENTS):
            keys = sorted(chance.sample(range(3_000), 400))
            model[table] = {key: chance.randbytes(int(chance.expovariate(1 / 600))) for key in keys}
        with self.filled(model) as store:
            for table, rows in model.items():
                assert list(store.keys(table)) == list(rows)
                assert store.get_range(table, 0, 3_000) == list(rows.items())
                assert all(store.get(table, key) == rows.get(key) for key in range(3_000))

    def test_the_metadata_comes_back_as_it_was_put(self) -> None:
        with self.filled({}) as store:
            assert store.metadata() == METADATA
        assert self.raw_metadata() == METADATA

    def test_a_pack_without_metadata_has_an_empty_table(self) -> None:
        with self.filled({}, metadata={}) as store:
            assert store.metadata() == {}

    def test_changing_the_metadata_that_was_read_changes_nothing(self) -> None:
        with self.filled({}) as store:
            store.metadata()["length"] = "13"
            assert store.metadata() == METADATA

    def test_a_whole_pack_has_no_problems(self) -> None:
        with self.filled({Table.SHARDS: {key: noise(9_000, seed=key) for key in range(50)}}) as store:
            assert list(store.problems()) == []

    def test_the_size_is_at_least_that_of_the_blobs(self) -> None:
        with self.filled({Table.SHARDS: {0: noise(50_000)}}) as store:
            assert 50_000 <= store.size_bytes() <= 100_000

    def test_equal_calls_make_equal_packs(self) -> None:
        rows = {
            Table.SHARDS: {key: noise(key * 300, seed=key) for key in range(40)},
            Table.DIRECTORY: {key << 32: noise(500, seed=key) for key in range(5)},
        }
        self.write(rows, METADATA)
        first = self.raw_image()
        self.write(rows, dict(reversed(METADATA.items())))
        assert self.raw_image() == first

    def test_places_are_one_for_each_shard_or_none_at_all(self) -> None:
        writer = self.create()
        writer.put(Table.DIRECTORY, 0, b"no shard")
        for key in range(300):
            writer.put(Table.SHARDS, key, noise(key * 10, seed=key))
        places = list(writer.places(Table.SHARDS))
        writer.put_metadata(METADATA)
        writer.finish()
        assert len(places) in {0, 300}

    def test_rows_may_follow_the_places(self) -> None:
        writer = self.create()
        shards = {key: noise(key * 100, seed=key) for key in range(100)}
        for key, value in shards.items():
            writer.put(Table.SHARDS, key, value)
        assert len(list(writer.places(Table.SHARDS))) in {0, 100}
        writer.put(Table.DIRECTORY, 1, b"behind")
        writer.put_metadata(METADATA)
        writer.finish()
        with self.open() as store:
            assert store.get_range(Table.SHARDS, 0, 100) == list(shards.items())
            assert store.get(Table.DIRECTORY, 1) == b"behind"
            assert store.metadata() == METADATA

    def test_a_pack_without_shards_has_no_places(self) -> None:
        writer = self.create()
        assert list(writer.places(Table.SHARDS)) == []
        writer.finish()

    def test_a_writer_that_aborts_says_nothing(self) -> None:
        writer = self.create()
        writer.put(Table.SHARDS, 0, noise(10_000))
        writer.abort()

    @pytest.mark.parametrize("use", USES)
    def test_a_closed_store_says_so(self, use: str) -> None:
        store = self.filled({Table.SHARDS: {0: b"zero", 1: b"one"}})
        store.close()
        with pytest.raises(ClosedError, match="closed") as caught:
            USES[use](store)
        assert store.name in str(caught.value)

    def test_a_store_is_closed_at_the_end_of_its_block(self) -> None:
        with self.filled({Table.SHARDS: {0: b"zero"}}) as store:
            assert store.get(Table.SHARDS, 0) == b"zero"
        with pytest.raises(ClosedError):
            store.get(Table.SHARDS, 0)

    def test_closing_twice_is_harmless(self) -> None:
        store = self.filled({})
        store.close()
        store.close()

    def test_rows_can_be_read_while_the_keys_are_counted(self) -> None:
        rows = {key: noise(500, seed=key) for key in range(100)}
        with self.filled({Table.SHARDS: rows}) as store:
            assert {key: store.get(Table.SHARDS, key) for key in store.keys(Table.SHARDS)} == rows
            pairs = zip(store.keys(Table.SHARDS), store.keys(Table.SHARDS), strict=True)
            assert list(pairs) == [(key, key) for key in rows]

    def test_keys_that_nobody_wants_to_the_end_hold_nothing_up(self) -> None:
        rows = {key: noise(500, seed=key) for key in range(1_000)}
        store = self.filled({Table.SHARDS: rows})
        keys = store.keys(Table.SHARDS)
        assert list(islice(keys, 3)) == [0, 1, 2]
        assert store.get(Table.SHARDS, 999) == rows[999]
        del keys
        assert list(store.keys(Table.SHARDS)) == list(rows)
        store.close()

    def test_a_store_can_be_closed_while_its_keys_are_read(self) -> None:
        store = self.filled({Table.SHARDS: {key: noise(500, seed=key) for key in range(1_000)}})
        keys = store.keys(Table.SHARDS)
        assert next(keys) == 0
        store.close()
        with pytest.raises(ClosedError):
            store.get(Table.SHARDS, 0)

    def test_many_threads_read_the_right_rows_at_once(self) -> None:
        rows = {key: noise(key * 50, seed=key) for key in range(200)}
        with self.filled({Table.SHARDS: rows}) as store, ThreadPoolExecutor(THREADS) as pool:
            assert all(pool.map(lambda seed: _reads_right(store, rows, seed), range(4 * THREADS)))

    def test_a_store_that_is_closed_under_its_readers_gives_right_rows_or_says_so(self) -> None:
        rows = {key: noise(5_000, seed=key) for key in range(20)}
        for _ in range(10):
            store = self.filled({Table.SHARDS: rows})
            begun = threading.Barrier(THREADS + 1)
            with ThreadPoolExecutor(THREADS) as pool:
                readers = [pool.submit(_read_until_closed, store, rows, begun) for _ in range(THREADS)]
                begun.wait()
                store.close()
                assert all(reader.result() for reader in readers)


def _reads_right(store: Store, rows: Mapping[int, bytes], seed: int) -> bool:
    chance = random.Random(seed)  # noqa: S311  # any order will do
    order: Iterable[int] = chance.sample(sorted(rows), 50)
    right = all(store.get(Table.SHARDS, key) == rows[key] for key in order)
    start = chance.randrange(len(rows))
    part = list(rows.items())[start : start + 20]
    return right and store.get_range(Table.SHARDS, start, start + 20) == part


def _read_until_closed(store: Store, rows: Mapping[int, bytes], begun: threading.Barrier) -> bool:
    begun.wait()
    try:
        while True:
            for key, value in rows.items():
                if store.get(Table.SHARDS, key) != value:
                    return False
    except ClosedError:
        return True
