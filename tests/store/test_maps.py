"""Hints of where rows lie, against what SQLite really reads, and with maps that are damaged or not there."""

import random
import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt.backends.base import Backend
from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.store import codec
from distributed_prompt.store.base import Place, Table
from distributed_prompt.store.byte_source import ByteSource
from distributed_prompt.store.maps import Maps, map_problems
from distributed_prompt.store.pack import Pack
from distributed_prompt.store.places import byte_ranges, create_places, leaf_ranges, parse_places
from distributed_prompt.store.sqlite_store import SqliteStore
from distributed_prompt.store.sqlite_writer import SqliteWriter
from tests.strategies import examples

PAGE = 4_096
INTERIOR, LEAF = 5, 13
LARGEST, SMALLEST = PAGE - 35, (PAGE - 12) * 32 // 255 - 23
SPARE_PAGES = 4
MAPPED = (Table.DIRECTORY, Table.DOCUMENTS, Table.NGRAMS)


class Watched(ByteSource):
    """A file in memory that notes which pages are read, and which were said to be."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._data = path.read_bytes()
        self.size_bytes = len(self._data)
        self.read_pages: set[int] = set()
        self.hinted_pages: set[int] = set()
        self.hinted_bytes = 0

    def read(self, offset: int, size: int) -> bytes:
        self.read_pages |= pages_of([range(offset, offset + size)])
        return self._data[offset : offset + size]

    def prefetch(self, ranges: Iterable[range]) -> None:
        found = [each for each in ranges if each]
        self.hinted_pages |= pages_of(found)
        self.hinted_bytes += sum(map(len, found))

    def check_open(self) -> object:
        return None

    def close(self) -> None:
        """Nothing to let go of."""

    def forget_what_was(self) -> None:
        self.read_pages, self.hinted_pages, self.hinted_bytes = set(), set(), 0

    def not_told_of(self) -> set[int]:
        """The pages that were read without a hint, but for those that only lead to others."""
        return {page for page in self.read_pages - self.hinted_pages if not self._leads(page)}

    def _leads(self, page: int) -> bool:
        return page == 1 or self._data[(page - 1) * PAGE] == INTERIOR


class FarBackend(Backend):
    """A pack that is read as one on a server is."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self.pack = Pack(SqliteStore(Watched(path)))

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        return type(self), (Path(self.address),)


class Sample(NamedTuple):
    """A pack, and its text."""

    path: Path
    text: str


def pages_of(ranges: Iterable[range]) -> set[int]:
    return {page + 1 for each in ranges for page in range(each.start // PAGE, -(-each.stop // PAGE))}


def chains(path: Path, table: str) -> dict[int, set[int]]:
    """For each row of a table the pages that its bytes are on, found without the code under test."""
    data = path.read_bytes()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name=?", (table,)).fetchone()
    return dict(rows(data, row[0])) if row else {}


def rows(data: bytes, number: int) -> Iterator[tuple[int, set[int]]]:
    page = data[(number - 1) * PAGE : number * PAGE]
    (cells,) = struct.unpack_from(">H", page, 3)
    if page[0] == INTERIOR:
        for (cell,) in struct.iter_unpack(">H", page[12 : 12 + 2 * cells]):
            yield from rows(data, struct.unpack_from(">I", page, cell)[0])
        yield from rows(data, struct.unpack_from(">I", page, 8)[0])
        return
    assert page[0] == LEAF
    for (cell,) in struct.iter_unpack(">H", page[8 : 8 + 2 * cells]):
        payload, at = varint(page, cell)
        key, at = varint(page, at)
        yield key, {number} | chain(data, page, payload, at)


def chain(data: bytes, page: bytes, payload: int, at: int) -> set[int]:
    if payload <= LARGEST:
        return set()
    local = SMALLEST + (payload - SMALLEST) % (PAGE - 4)
    (number,) = struct.unpack_from(">I", page, at + (local if local <= LARGEST else SMALLEST))
    found = set()
    while number:
        found.add(number)
        (number,) = struct.unpack_from(">I", data, (number - 1) * PAGE)
    return found


def varint(page: bytes, at: int) -> tuple[int, int]:
    number = 0
    while True:
        byte = page[at]
        number, at = number << 7 | byte & 127, at + 1
        if byte < 128:
            return number, at


def noise(characters: int, seed: int) -> str:
    return random.Random(seed).randbytes(characters // 2 + 1).hex()[:characters]  # noqa: S311  # the same every time


def even_text() -> str:
    return "".join(f"{noise(99, line)}\n" for line in range(6_000))


def uneven_text() -> str:
    """Shards that are nothing when compressed, next to some that are large, one of them the last."""
    return "".join("a" * 2**17 if number % 50 else noise(2**17, number) for number in range(101))


def many_shards_text() -> str:
    return noise(4_500 * 64, 7)


SAMPLES: dict[str, tuple[Callable[[], str], int]] = {
    "even": (even_text, 2**14),
    "uneven": (uneven_text, 2**17),
    "two segments": (many_shards_text, 64),
    "one shard": (lambda: noise(50_000, 3), 2**17),
    "empty": (str, 2**14),
}


def make(folder: Path, text: str, shard_size: int, documents: int = 1) -> Sample:
    """A pack of the text, cut into some documents of equal length."""
    source = folder / "source"
    source.mkdir()
    step = -(-len(text) // documents) or 1
    for number in range(documents):
        (source / f"{number:05}.txt").write_bytes(text[number * step : (number + 1) * step].encode())
    dp.pack(sorted(source.iterdir()), folder / "pack", shard_size=shard_size)
    return Sample(folder / "pack", text)


@pytest.fixture(scope="module", params=SAMPLES)
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    text, shard_size = SAMPLES[request.param]
    return make(tmp_path_factory.mktemp("maps"), text(), shard_size)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Ten thousand documents, and an index."""
    return make(tmp_path_factory.mktemp("documents"), even_text() * 4, 2**15, documents=10_000)


@pytest.fixture
def copy(documents: Sample, tmp_path: Path) -> Sample:
    """A pack that the test may damage."""
    path = tmp_path / "copy"
    path.write_bytes(documents.path.read_bytes())
    return Sample(path, documents.text)


def test_the_ranges_of_a_shard_hold_all_of_its_pages(sample: Sample) -> None:
    real = chains(sample.path, "shards")
    with SqliteStore(str(sample.path)) as store:
        pack = Pack(store)
        places = [pack.directory.places(segment) for segment in range(-(-pack.metadata.shards // 4_096))]
    told = {key: pages_of(byte_ranges(places[key // 4_096], [key % 4_096])) for key in real}
    assert not {key: sorted(pages - told[key]) for key, pages in real.items() if pages - told[key]}


@pytest.mark.parametrize("table", MAPPED)
def test_the_ranges_of_a_mapped_row_hold_all_of_its_pages(sample: Sample, documents: Sample, table: Table) -> None:
    for path in (sample.path, documents.path):
        real = chains(path, table)
        with SqliteStore(str(path)) as store:
            maps = Maps(store)
            lacking = {key: sorted(pages - pages_of(maps.ranges(table, [key]))) for key, pages in real.items()}
        assert not {key: pages for key, pages in lacking.items() if pages}


@pytest.mark.parametrize("table", MAPPED)
def test_the_ranges_of_a_mapped_row_are_not_much_more_than_its_pages(documents: Sample, table: Table) -> None:
    real = chains(documents.path, table)
    assert real
    with SqliteStore(str(documents.path)) as store:
        maps = Maps(store)
        told = sum(len(pages_of(maps.ranges(table, [key]))) for key in real)
    assert told <= 2 * sum(map(len, real.values())) + SPARE_PAGES * len(real)


def test_rows_that_are_not_there_have_no_ranges(documents: Sample) -> None:
    with SqliteStore(str(documents.path)) as store:
        maps = Maps(store)
        for table in MAPPED:
            assert maps.ranges(table, [-1, 2**32 - 1, 2**40, 2**62]) == []


def test_sqlite_reads_nothing_of_a_shard_that_was_not_told_of(sample: Sample) -> None:
    with SqliteStore(source := Watched(sample.path)) as store:
        pack = Pack(store)
        for shard in range(pack.metadata.shards):
            if shard % max(1, pack.metadata.shards // 50) and shard + 1 != pack.metadata.shards:
                continue
            store.forget()
            pack.directory.checksum(shard)
            pack.directory.places(shard // 4_096)
            source.forget_what_was()
            pack.utf8(shard)
            assert not source.not_told_of(), shard


def test_sqlite_reads_nothing_of_a_run_that_was_not_told_of(sample: Sample) -> None:
    with SqliteStore(source := Watched(sample.path)) as store:
        pack = Pack(store)
        last = pack.metadata.shards - 1
        for first, stop in {(0, last // 2), (last // 3, last // 3 + 5), (max(0, last - 7), last)}:
            if not 0 <= first <= stop <= last:
                continue
            pack.directory.checksum(first)
            pack.directory.places(first // 4_096)
            source.forget_what_was()
            assert len(pack.blobs(first, stop)) == stop - first + 1
            assert not source.not_told_of()


def test_a_name_is_found_by_reading_what_was_told_of(documents: Sample) -> None:
    with SqliteStore(source := Watched(documents.path)) as store:
        pack = Pack(store)
        pack.documents.at(0)
        pack.documents.document(0)
        source.forget_what_was()
        assert pack.documents.document(7_777).name.endswith("07777.txt")
        assert pack.documents.find(pack.documents.name(9_999)) == 9_999
        assert len(source.not_told_of()) <= 1  # the map itself


@given(st.lists(st.integers(0, 40) | st.integers(3_900, 4_400) | st.integers(0, 90_000), max_size=40))
@examples(40)
def test_ranges_hold_all_pages_of_rows_of_any_sizes(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    path = tmp_path_factory.mktemp("rows") / "pack"
    writer = SqliteWriter(str(path), "pack")
    for key, size in enumerate(sizes):
        writer.put(Table.SHARDS, key, bytes(size))
    places = [place for _, place in writer.places(Table.SHARDS)]
    writer.put(Table.DIRECTORY, 0, bytes(10_000))
    writer.put_metadata({"name": "value"})
    writer.finish()
    for key, pages in chains(path, "shards").items():
        assert pages <= pages_of(byte_ranges(places, [key])), (key, sizes)


PLACES = st.builds(Place, *[st.integers(0, 2**32 - 1)] * 3)


@given(st.lists(PLACES, max_size=50))
def test_places_come_back_from_their_row(places: list[Place]) -> None:
    assert parse_places(create_places(places)) == places


@given(st.lists(PLACES, min_size=1, max_size=50), st.data())
def test_any_places_give_ranges_of_bytes(places: list[Place], data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.integers(0, len(places) - 1)))
    for each in [*byte_ranges(places, numbers), *leaf_ranges(places)]:
        assert 0 <= each.start < each.stop
        assert not each.start % PAGE


def answers(prompt: DistributedPrompt) -> list[object]:
    """What reading finds, whatever the maps say."""
    length = len(prompt)
    return [
        [prompt[at : at + 50] for at in range(0, length, length // 20 or 1)],
        prompt.find("0123456"),
        prompt.count("abcd"),
        prompt.find("nowhere to be found"),
        prompt.lines[len(prompt.lines) // 2],
        prompt.document_at(length // 3),
        len(prompt.documents),
    ]


def answers_from_afar(path: Path) -> list[object]:
    with DistributedPrompt(FarBackend(path)) as prompt:
        return answers(prompt)


def expected(sample: Sample) -> list[object]:
    with dp.open(sample.path) as prompt:
        found = answers(prompt)
    assert found[1:3] == [sample.text.find("0123456"), sample.text.count("abcd")]
    return found


def change(path: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement, bindings in statements:
            connection.execute(statement, bindings)


def row_of_map(path: Path, key: int) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        found: bytes = connection.execute("SELECT value FROM maps WHERE key=?", (key,)).fetchone()[0]
    return found


def sealed(key: int, keys: bytes, places: list[Place]) -> bytes:
    """A row of a map, as the format has it."""
    row = codec.compress(keys, 3)
    return codec.seal(key, len(row).to_bytes(4, "little") + row + create_places(places))


DOCUMENTS_KEY = 1 << 32
NGRAMS_KEY = 2 << 32
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a bit": lambda row: bytes([row[0] ^ 1]) + row[1:],
    "its end": lambda row: row[:-1] + bytes([row[-1] ^ 1]),
    "cut short": lambda row: row[:7],
    "empty": lambda _: b"",
    "zeros": lambda row: bytes(len(row)),
    "a frame that is longer than the row": lambda _: codec.seal(DOCUMENTS_KEY, b"\xff\xff\xff\xff"),
    "no keys": lambda _: sealed(DOCUMENTS_KEY, b"", []),
    "half a key": lambda _: sealed(DOCUMENTS_KEY, b"1234", []),
    "fewer places than keys": lambda _: sealed(DOCUMENTS_KEY, bytes(16), [Place(0, 1, 1)]),
    "places beyond the file": lambda _: sealed(DOCUMENTS_KEY, bytes(8), [Place(2**31, 2**32 - 1, 2**32 - 1)]),
    "places of other rows": lambda _: sealed(DOCUMENTS_KEY, bytes(8), [Place(1, 1, 1)]),
    "no places of any": lambda _: sealed(DOCUMENTS_KEY, bytes(8), [Place(0, 0, 0)]),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_map_costs_time_but_no_answer(copy: Sample, documents: Sample, name: str) -> None:
    for key in (0, DOCUMENTS_KEY, NGRAMS_KEY):
        damaged = DAMAGES[name](row_of_map(copy.path, key))
        change(copy.path, ("UPDATE maps SET value=? WHERE key=?", (damaged, key)))
    assert answers_from_afar(copy.path) == expected(documents)


def test_missing_rows_of_maps_cost_time_but_no_answer(copy: Sample, documents: Sample) -> None:
    change(copy.path, ("DELETE FROM maps", ()))
    assert answers_from_afar(copy.path) == expected(documents)


def test_a_map_that_is_no_blob_costs_time_but_no_answer(copy: Sample, documents: Sample) -> None:
    change(copy.path, ("UPDATE maps SET value='text'", ()))
    assert answers_from_afar(copy.path) == expected(documents)


def test_a_pack_without_maps_is_read_from_afar(copy: Sample, documents: Sample) -> None:
    change(copy.path, ("DROP TABLE maps", ()))
    assert answers_from_afar(copy.path) == expected(documents)
    assert list(dp.verify(copy.path)) == []


def test_places_of_shards_that_are_damaged_cost_time_but_no_answer(copy: Sample, documents: Sample) -> None:
    change(copy.path, ("UPDATE directory SET value=zeroblob(100) WHERE key>>32=4", ()))
    assert answers_from_afar(copy.path) == expected(documents)


@pytest.mark.parametrize("path", sorted(Path("tests/golden").glob("*.dprompt")), ids=lambda path: path.stem)
def test_packs_from_before_maps_are_read_from_afar(path: Path) -> None:
    with dp.open(path) as near:
        text = str(near)
    with SqliteStore(Watched(path.absolute())) as store:
        pack = Pack(store)
        assert "".join(pack.utf8(n).decode("utf-8", "surrogatepass") for n in range(pack.metadata.shards)) == text


@pytest.mark.thorough
def test_sound_maps_have_no_problems(sample: Sample, documents: Sample) -> None:
    for path in (sample.path, documents.path):
        with SqliteStore(str(path)) as store:
            assert list(map_problems(store, Pack(store).ngrams.covers)) == []
        assert list(dp.verify(path)) == []


def test_verify_tells_of_maps_that_are_damaged_or_belong_to_nothing(copy: Sample) -> None:
    change(
        copy.path,
        ("UPDATE maps SET value=zeroblob(50) WHERE key=?", (DOCUMENTS_KEY,)),
        ("INSERT INTO maps VALUES(?, x'00')", (3 << 32,)),
        ("INSERT INTO maps VALUES(?, x'00')", (DOCUMENTS_KEY + 1,)),
    )
    problems = [problem.partition(": ")[2] for problem in dp.verify(copy.path)]
    assert len(problems) == 3
    assert all(problem.startswith("maps: row ") for problem in problems)
    assert sum(problem.endswith("belongs to nothing") for problem in problems) == 2


def test_an_equal_pack_has_equal_maps(documents: Sample, tmp_path: Path) -> None:
    again = make(tmp_path, documents.text, 2**15, documents=10_000)
    assert again.path.read_bytes() == documents.path.read_bytes()
