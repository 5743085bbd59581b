import hashlib
import random
import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt.errors import CorruptPackError
from distributed_prompt.store import codec
from distributed_prompt.store.base import Place, Table
from distributed_prompt.store.directory import (
    Column,
    Directory,
    DirectoryWriter,
    RootEntry,
    ShardRecord,
    Sizes,
    create_sizes,
    parse_sizes,
)
from distributed_prompt.store.memory_store import MemoryStore
from distributed_prompt.store.metadata import Metadata
from distributed_prompt.store.places import create_places, parse_places

COUNTS = [0, 1, 2, 4_095, 4_096, 4_097, 8_192, 8_193]
SEGMENT = 4_096
DOUBTFUL_SIZES = (0, 1, 2**16, 2**26, 2**32 - 1)


class PagedStore(MemoryStore):
    """A store in memory that pretends to have pages."""

    has_pages = True

    def __init__(self, places: list[Place]) -> None:
        super().__init__("pack")
        self._places = places

    def places(self, table: Table) -> Iterator[tuple[int, Place]]:
        return iter(enumerate(self._places) if table is Table.SHARDS else ())


def records(count: int, newlines: Mapping[int, int] | None = None) -> list[ShardRecord]:
    chance = random.Random(count)  # noqa: S311  # the same every time
    return [
        ShardRecord(
            digest=chance.randbytes(32),
            checksum=chance.getrandbits(64),
            utf8_bytes=chance.choice(DOUBTFUL_SIZES),
            blob_bytes=chance.choice(DOUBTFUL_SIZES),
            newlines=chance.randrange(5) if newlines is None else newlines.get(shard, 0),
            width=chance.choice([0, 1, 2, 4]),
        )
        for shard in range(count)
    ]


def places(count: int) -> list[Place]:
    chance = random.Random(count)  # noqa: S311  # the same every time
    numbers = (0, 1, 2, 1_000, 2**31, 2**32 - 1)
    return [Place(*(chance.choice(numbers) for _ in range(3))) for _ in range(count)]


def metadata(shards: int) -> Metadata:
    return Metadata(
        features=(),
        length=shards,
        shard_size=1,
        shards=shards,
        utf8_bytes=shards,
        newlines=0,
        lines=0,
        width=0,
        level=3,
        documents=0,
        documents_digest="",
        root_digest="",
    )


def write(store: MemoryStore, shards: list[ShardRecord]) -> str:
    writer = DirectoryWriter()
    for record in shards:
        writer.add(record)
    return writer.finish(store, len(shards), 1)


def written(shards: list[ShardRecord]) -> Directory:
    store = MemoryStore("pack")
    write(store, shards)
    return Directory(store, metadata(len(shards)))


@pytest.mark.parametrize("count", COUNTS)
def test_records_come_back_as_they_were_added(count: int) -> None:
    expected = records(count)
    directory = written(expected)
    assert [directory.record(shard) for shard in range(count)] == expected
    assert [directory.checksum(shard) for shard in range(count)] == [record.checksum for record in expected]


@pytest.mark.parametrize("count", COUNTS)
def test_sizes_and_root_are_those_of_the_segments(count: int) -> None:
    expected = records(count)
    directory = written(expected)
    root = directory.root()
    assert len(root) == -(-count // SEGMENT)
    for segment, entry in enumerate(root):
        part = expected[segment * SEGMENT : (segment + 1) * SEGMENT]
        assert list(zip(*directory.sizes(segment), strict=True)) == [record[2:] for record in part]
        digest = hashlib.sha256(b"".join(record.digest for record in part)).digest()
        utf8_bytes = sum(record.utf8_bytes for record in part)
        assert entry == RootEntry(utf8_bytes, sum(record.newlines for record in part), digest)


@pytest.mark.parametrize("count", COUNTS)
def test_places_come_back_where_there_are_pages(count: int) -> None:
    expected = places(count)
    store = PagedStore(expected)
    write(store, records(count))
    directory = Directory(store, metadata(count))
    segments = range(-(-count // SEGMENT))
    assert [place for segment in segments for place in directory.places(segment)] == expected


def test_a_store_without_pages_has_no_places() -> None:
    directory = written(records(3))
    assert directory.places(0) == []


@pytest.mark.parametrize("count", COUNTS)
def test_the_root_digest_is_what_the_format_says(count: int) -> None:
    shards = records(count)
    segments = b"".join(
        hashlib.sha256(b"".join(record.digest for record in shards[at : at + SEGMENT])).digest()
        for at in range(0, count, SEGMENT)
    )
    expected = hashlib.sha256(struct.pack("<QQ", count, 1) + segments).hexdigest()
    assert write(MemoryStore(), shards) == expected


def test_the_rows_are_what_the_format_says() -> None:
    first, second = shards = [
        ShardRecord(digest=b"\x01" * 32, checksum=2**64 - 2, utf8_bytes=5, blob_bytes=6, newlines=7, width=4),
        ShardRecord(digest=b"\x02" * 32, checksum=3, utf8_bytes=8, blob_bytes=9, newlines=1, width=0),
    ]
    store = PagedStore([Place(2, 3, 9), Place(2, 4, 0)])
    write(store, shards)
    rows = {
        1 << 32: first.digest + second.digest,
        2 << 32: struct.pack("<2I2I2I2B", 5, 8, 6, 9, 7, 1, 4, 0),
        3 << 32: struct.pack("<2Q", 2**64 - 2, 3),
        4 << 32: codec.compress(struct.pack("<2I2I2I", 2, 0, 3, 1, 9, 2**32 - 9), 9),
        5 << 32: struct.pack("<QQ32s", 13, 8, hashlib.sha256(first.digest + second.digest).digest()),
    }
    found = dict(store.get_range(Table.DIRECTORY, 1 << 32, (1 << 32) + 1)) | {
        key: store.get(Table.DIRECTORY, key) for key in store.keys(Table.DIRECTORY)
    }
    assert found == {key: row + struct.pack(">Q", xxhash.xxh3_64_intdigest(row, key)) for key, row in rows.items()}


def test_rows_are_written_in_the_order_of_their_keys() -> None:
    class Recorder(PagedStore):
        def put(self, table: Table, key: int, value: bytes) -> None:
            assert key > max(self.keys(table), default=-1)
            super().put(table, key, value)

    write(Recorder(places(4_097)), records(4_097))


newline_counts = st.tuples(
    st.sampled_from([1, 2, 7, 4_095, 4_096, 4_097, 8_192, 8_195]),
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 8_194), st.sampled_from([0, 1, 4_094, 4_095, 4_096, 4_097, 8_191, 8_192, 8_194])),
            st.integers(1, 4),
        ),
        max_size=8,
    ),
).map(lambda drawn: (drawn[0], {shard % drawn[0]: count for shard, count in drawn[1]}))


@given(newline_counts)
def test_newlines_are_found_where_counting_finds_them(drawn: tuple[int, dict[int, int]]) -> None:
    count, newlines = drawn
    directory = written(records(count, newlines))
    expected = [(shard, number) for shard in sorted(newlines) for number in range(newlines[shard])]
    assert [directory.find_newline(ordinal) for ordinal in range(len(expected))] == expected
    around = {0, count, *range(4_094, 4_099), *range(8_190, 8_196), *newlines, *(shard + 1 for shard in newlines)}
    for shard in sorted(shard for shard in around if shard <= count):
        assert directory.newlines_before(shard) == sum(n for at, n in newlines.items() if at < shard)


def test_no_shard_has_no_newline_before_it() -> None:
    assert written([]).newlines_before(0) == 0


def test_only_the_rows_that_an_answer_needs_are_read() -> None:
    asked: list[int] = []

    class Recorder(MemoryStore):
        def get(self, table: Table, key: int) -> bytes | None:
            asked.append(key)
            return super().get(table, key)

    store = Recorder("pack")
    write(store, records(4_097))
    directory = Directory(store, metadata(4_097))
    assert asked == []
    directory.checksum(4_096)
    directory.checksum(4_096)
    assert asked == [Column.CHECKSUMS.key(1)]
    asked.clear()
    directory.find_newline(0)
    directory.newlines_before(17)
    assert asked == [Column.ROOT.key(0), Column.SIZES.key(0)]


def damage(store: MemoryStore, key: int, value: bytes | None) -> None:
    rows = store._tables[Table.DIRECTORY]
    if value is None:
        del rows[key]
    else:
        rows[key] = value


def uses(directory: Directory) -> dict[Column, list[object]]:
    """What each column is read by, run to its end or its error."""
    calls: dict[Column, list[Callable[[], object]]] = {
        Column.DIGESTS: [lambda: directory.record(0)],
        Column.SIZES: [lambda: directory.sizes(0), lambda: directory.record(0), lambda: directory.newlines_before(1)],
        Column.CHECKSUMS: [lambda: directory.checksum(0), lambda: directory.record(0)],
        Column.ROOT: [directory.root, lambda: directory.newlines_before(0), lambda: directory.find_newline(0)],
    }
    return {column: [_outcome(call) for call in column_calls] for column, column_calls in calls.items()}


def _outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except CorruptPackError as error:
        return error


READ_COLUMNS = [column for column in Column if column != Column.PLACES]


@pytest.mark.parametrize("column", READ_COLUMNS)
@pytest.mark.parametrize("what", ["missing", "empty", "short", "long", "flipped", "of-another-segment"])
def test_a_damaged_row_is_an_error_that_names_it(column: Column, what: str) -> None:
    store = MemoryStore("pack")
    write(store, records(4_097))
    key = column.key(0)
    row = store.get(Table.DIRECTORY, key) or b""
    damaged = {
        "missing": None,
        "empty": b"",
        "short": row[1:],
        "long": row + b"\x00",
        "flipped": bytes([row[0] ^ 4]) + row[1:],
        "of-another-segment": store.get(Table.DIRECTORY, column.key(1)) or codec.seal(column.key(1), row[:-8]),
    }
    damage(store, key, damaged[what])
    outcomes = uses(Directory(store, metadata(4_097)))[column]
    assert all(isinstance(outcome, CorruptPackError) for outcome in outcomes)
    assert all(
        str(outcome).startswith(f"pack: directory: {column.name.lower()} of segment 0: ") for outcome in outcomes
    )


@pytest.mark.parametrize("column", READ_COLUMNS)
@pytest.mark.parametrize("change", [-1, 1, -13, 13, -(10**9)])
def test_a_row_of_another_length_is_an_error_even_under_a_right_checksum(column: Column, change: int) -> None:
    store = MemoryStore("pack")
    write(store, records(5))
    key = column.key(0)
    row = (store.get(Table.DIRECTORY, key) or b"")[:-8]
    row = row + bytes(change) if change > 0 else row[: max(0, len(row) + change)]
    damage(store, key, codec.seal(key, row))
    directory = Directory(store, metadata(5))
    readers: dict[Column, Callable[[], object]] = {
        Column.DIGESTS: lambda: [directory.record(shard) for shard in range(5)],
        Column.SIZES: lambda: directory.sizes(0),
        Column.CHECKSUMS: lambda: [directory.checksum(shard) for shard in range(5)],
        Column.ROOT: directory.root,
    }
    with pytest.raises(CorruptPackError, match="pack: directory: "):
        readers[column]()


@pytest.mark.parametrize("column", READ_COLUMNS)
def test_swapped_rows_are_found(column: Column) -> None:
    store = MemoryStore("pack")
    write(store, records(8_192))
    other = Column.SIZES.key(0) if column == Column.ROOT else column.key(1)
    rows = store._tables[Table.DIRECTORY]
    rows[column.key(0)], rows[other] = rows[other], rows[column.key(0)]
    outcomes = uses(Directory(store, metadata(8_192)))[column]
    assert all("checksum" in str(outcome) for outcome in outcomes if isinstance(outcome, CorruptPackError))
    assert all(isinstance(outcome, CorruptPackError) for outcome in outcomes)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(None, id="missing"),
        pytest.param(b"", id="empty"),
        pytest.param(b"not sealed", id="not-sealed"),
        pytest.param(codec.seal(5 << 32, codec.compress(bytes(12 * 3), 3)), id="sealed-to-another-key"),
        pytest.param(codec.seal(4 << 32, b""), id="nothing-sealed"),
        pytest.param(codec.seal(4 << 32, b"no frame"), id="no-frame"),
        pytest.param(codec.seal(4 << 32, codec.compress(b"seven b", 3)), id="a-part-of-a-place"),
        pytest.param(codec.seal(4 << 32, codec.compress(bytes(12 * 4_097), 3)), id="too-many"),
        pytest.param(codec.seal(4 << 32, create_places(places(2))), id="one-too-few"),
        pytest.param(codec.seal(4 << 32, create_places(places(4))), id="one-too-many"),
    ],
)
def test_places_that_are_damaged_are_an_error_that_names_them(row: bytes | None) -> None:
    store = PagedStore(places(3))
    write(store, records(3))
    damage(store, Column.PLACES.key(0), row)
    with pytest.raises(CorruptPackError, match="pack: directory: places of segment 0: "):
        Directory(store, metadata(3)).places(0)


def test_a_damaged_row_does_not_hide_the_others() -> None:
    store = MemoryStore("pack")
    expected = records(4_097)
    write(store, expected)
    damage(store, Column.CHECKSUMS.key(0), None)
    directory = Directory(store, metadata(4_097))
    with pytest.raises(CorruptPackError):
        directory.checksum(0)
    assert directory.checksum(4_096) == expected[4_096].checksum


def test_a_row_that_is_restored_is_read_again_after_its_error() -> None:
    store = MemoryStore("pack")
    expected = records(3)
    write(store, expected)
    key = Column.CHECKSUMS.key(0)
    row = store.get(Table.DIRECTORY, key)
    damage(store, key, b"")
    directory = Directory(store, metadata(3))
    with pytest.raises(CorruptPackError):
        directory.checksum(0)
    damage(store, key, row)
    assert directory.checksum(0) == expected[0].checksum


def test_many_threads_read_the_same_directory() -> None:
    expected = records(8_193)
    directory = written(expected)

    def read(seed: int) -> bool:
        order = random.Random(seed).sample(range(8_193), 200)  # noqa: S311  # any order will do
        return all(directory.record(shard) == expected[shard] for shard in order)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(32)))


@given(st.lists(st.tuples(*(st.integers(0, 2**32 - 1) for _ in range(3))).map(lambda n: Place(*n)), max_size=50))
def test_any_places_come_back(any_places: list[Place]) -> None:
    assert parse_places(create_places(any_places)) == any_places


@pytest.mark.parametrize("count", [0, 1, 2, 4_096])
def test_any_sizes_come_back(count: int) -> None:
    rows = [record[2:] for record in records(count)]
    sizes = Sizes(*zip(*rows, strict=True)) if rows else Sizes((), (), (), ())
    assert len(create_sizes(sizes)) == 13 * count
    assert parse_sizes(create_sizes(sizes)) == sizes
