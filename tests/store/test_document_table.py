import dataclasses
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt.errors import CorruptPackError
from distributed_prompt.store import codec
from distributed_prompt.store.base import Table
from distributed_prompt.store.document_table import DocumentTable
from distributed_prompt.store.documents import (
    Document,
    DocumentsWriter,
    RowKind,
    create_batch,
    name_row,
    name_rows,
)
from distributed_prompt.store.memory_store import MemoryStore

ONE = Document("", 0, 0, "utf-8", "strict", "keep", 0, "", exact=True)
COUNTS = (0, 1, 2, 255, 256, 257, 511, 512, 513, 600, 2_048, 2_049, 5_000)
NAMES_KEY, BOUNDS_KEY = RowKind.NAMES.key(0), RowKind.BOUNDS.key(0)

layouts = st.lists(st.tuples(st.sampled_from([0, 0, 1, 3]), st.sampled_from([0, 0, 1, 2, 5])), max_size=14)
name_lists = st.lists(st.one_of(st.binary(max_size=4).map(os.fsdecode), st.text(max_size=4)), max_size=14, unique=True)


class Counting(MemoryStore):
    """Remembers which rows were read."""

    def __init__(self) -> None:
        super().__init__("pack")
        self.reads: list[int] = []

    def get(self, table: Table, key: int) -> bytes | None:
        self.reads.append(key)
        return super().get(table, key)


@contextmanager
def small_batches() -> Iterator[None]:
    """Batches of 3 documents and rows of about 4 names: a few documents then have many of both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distributed_prompt.store.documents.BATCH_DOCUMENTS", 3)
        patch.setattr("distributed_prompt.store.document_table.BATCH_DOCUMENTS", 3)
        patch.setattr("distributed_prompt.store.documents._ROW_NAMES", 4)
        yield


def laid_out(layout: list[tuple[int, int]], names: list[str] | None = None) -> list[Document]:
    """Documents with a gap before each, and of some length each."""
    found, end = [], 0
    for number, (gap, length) in enumerate(layout):
        name = names[number] if names else f"folder/{number}.txt"
        found.append(dataclasses.replace(ONE, name=name, start=end + gap, stop=end + gap + length))
        end += gap + length
    return found


def scattered(count: int, *, headers: bool = True) -> list[Document]:
    """A layout with gaps, or without, and many empty documents."""
    generator = random.Random(count)  # noqa: S311  # any layout does
    gaps = (0, 0, 1, 40) if headers else (0,)
    return laid_out([(generator.choice(gaps), generator.choice((0, 0, 1, 9, 300))) for _ in range(count)])


def table_of(documents: list[Document]) -> tuple[DocumentTable, Counting]:
    store = Counting()
    writer = DocumentsWriter(store)
    for document in documents:
        writer.add(document)
    writer.finish()
    return DocumentTable(store, len(documents)), store


def put(store: MemoryStore, key: int, row: bytes) -> None:
    store.put(Table.DOCUMENTS, key, row)


def model_at(documents: list[Document], offset: int) -> Document | None:
    return next((document for document in documents if document.start <= offset < document.stop), None)


def model_ended_before(documents: list[Document], offset: int) -> int:
    return sum(document.stop <= offset and document.start < offset for document in documents)


def model_starting_before(documents: list[Document], offset: int) -> int:
    return sum(document.start < offset for document in documents)


def check_offsets(documents: list[Document], table: DocumentTable, offsets: list[int]) -> None:
    for offset in offsets:
        assert table.at(offset) == model_at(documents, offset)
        assert table.ended_before(offset) == model_ended_before(documents, offset)
        assert table.starting_before(offset) == model_starting_before(documents, offset)


@pytest.mark.parametrize("count", COUNTS)
def test_every_document_is_found_by_number_and_by_name(count: int) -> None:
    documents = scattered(count)
    table, _ = table_of(documents)
    assert len(table) == count
    assert list(table) == documents
    for number in {0, 1, 254, 255, 256, 257, 511, 512, 599, count // 2, count - 2, count - 1} & set(range(count)):
        assert table.document(number) == documents[number]
    assert [table.find(document.name) for document in documents] == list(range(count))
    for missing in ("", "folder", "folder/", f"folder/{count}.txt", "folder/0.txt ", "\udc80", "\0"):
        assert table.find(missing) is None


@pytest.mark.parametrize("headers", [False, True])
@pytest.mark.parametrize("count", [count for count in COUNTS if count < 2_000])
def test_offsets_around_the_ends_of_batches_are_placed_as_a_plain_list_places_them(
    count: int, *, headers: bool
) -> None:
    documents = scattered(count, headers=headers)
    table, _ = table_of(documents)
    near = {0, 1, 2, 254, 255, 256, 257, 258, 510, 511, 512, 513, count - 2, count - 1} & set(range(count))
    ends = {end for number in near for end in (documents[number].start, documents[number].stop)}
    end = documents[-1].stop if documents else 0
    check_offsets(documents, table, sorted({end + by for end in {*ends, end} for by in (-1, 0, 1) if end + by >= 0}))


@given(layouts)
def test_every_offset_is_placed_as_a_plain_list_places_it(layout: list[tuple[int, int]]) -> None:
    documents = laid_out(layout)
    with small_batches():
        table, _ = table_of(documents)
        check_offsets(documents, table, list(range((documents[-1].stop if documents else 0) + 3)))
        assert list(table) == documents


@given(layouts)
def test_in_a_single_batch_every_offset_is_placed_as_well(layout: list[tuple[int, int]]) -> None:
    documents = laid_out(layout)
    table, store = table_of(documents)
    check_offsets(documents, table, list(range((documents[-1].stop if documents else 0) + 3)))
    assert set(store.reads) <= {0}


@pytest.mark.parametrize("count", [1, 256, 257, 600])
def test_where_all_documents_are_empty_none_has_a_character(count: int) -> None:
    documents = laid_out([(0, 0)] * count)
    table, _ = table_of(documents)
    assert table.at(0) is None
    assert (table.ended_before(0), table.ended_before(1)) == (0, count)
    assert (table.starting_before(0), table.starting_before(1)) == (0, count)


@given(name_lists, st.integers(1, 3), st.lists(st.text(max_size=4), max_size=5))
def test_any_names_are_found_whatever_their_hashes(names: list[str], hashes: int, others: list[str]) -> None:
    documents = laid_out([(0, 1)] * len(names), names)
    with small_batches(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "name_hash", lambda name: (len(name) % hashes) * (2**32 - 1) // hashes)
        table, _ = table_of(documents)
        assert [table.find(name) for name in names] == list(range(len(names)))
        for other in others:
            assert table.find(other) == (names.index(other) if other in names else None)


@given(name_lists)
def test_any_names_are_found_by_their_own_hashes(names: list[str]) -> None:
    with small_batches():
        table, _ = table_of(laid_out([(0, 1)] * len(names), names))
        assert [table.find(name) for name in names] == list(range(len(names)))


@pytest.mark.parametrize("value", [0, 1, 2**31, 2**32 - 1])
def test_a_thousand_names_of_one_hash_are_found(monkeypatch: pytest.MonkeyPatch, value: int) -> None:
    monkeypatch.setattr(codec, "name_hash", lambda _: value)
    documents = scattered(1_000)
    table, _ = table_of(documents)
    assert [table.find(document.name) for document in documents[::37]] == list(range(0, 1_000, 37))
    assert table.find("another") is None


@pytest.mark.parametrize("value", [0, 2**32 - 1])
def test_rows_of_names_that_are_empty_are_stored_and_hold_no_name(monkeypatch: pytest.MonkeyPatch, value: int) -> None:
    monkeypatch.setattr(codec, "name_hash", lambda name: value if name.startswith("folder/") else 2**32 - 1 - value)
    table, store = table_of(scattered(5_000))
    stored = [key - NAMES_KEY for key in store.keys(Table.DOCUMENTS) if NAMES_KEY <= key < BOUNDS_KEY]
    assert stored == list(range(name_rows(5_000))) == [0, 1, 2, 3]
    full = name_row(value << 32, name_rows(5_000))
    assert [len(table.names(number)) for number in stored] == [5_000 if row == full else 0 for row in stored]
    assert table.find("folder/4999.txt") == 4_999
    assert table.find("another") is None


@pytest.mark.parametrize("missing", range(4))
def test_a_missing_row_of_names_is_an_error_that_names_it(missing: int) -> None:
    documents = scattered(5_000)
    table, store = table_of(documents)
    del store._tables[Table.DOCUMENTS][RowKind.NAMES.key(missing)]
    message = f"^pack: documents: names, row {missing}: missing$"
    for name in [*(document.name for document in documents[::50]), "another", "\udc80"]:
        if name_row(codec.name_hash(name) << 32, 4) == missing:
            with pytest.raises(CorruptPackError, match=message):
                table.find(name)
        else:
            assert table.find(name) == (int(name[7:-4]) if name.startswith("folder/") else None)
    with pytest.raises(CorruptPackError, match=message):
        table.names(missing)


def test_names_with_lone_surrogates_are_told_apart() -> None:
    names = [f"{number}" for number in range(300)] + ["\udc80", "\udcff", "\ud800", "\udc80\udc80", "\ufffd"]
    table, _ = table_of(laid_out([(0, 1)] * len(names), names))
    assert [table.find(name) for name in names] == list(range(len(names)))
    assert table.find("\udc81") is None


def test_of_two_documents_of_one_name_the_first_is_found() -> None:
    for count in (10, 300):
        names = [*map(str, range(count)), "same", "other", "same"]
        table, _ = table_of(laid_out([(0, 1)] * len(names), names))
        assert table.find("same") == count


def test_nothing_is_read_before_it_is_asked_for() -> None:
    table, store = table_of(scattered(5_000))
    assert len(table) == 5_000
    assert store.reads == []


def test_a_lookup_reads_one_batch_and_one_row_of_names() -> None:
    documents = scattered(5_000)
    table, store = table_of(documents)
    assert table.find(documents[3_000].name) == 3_000
    batches = [key for key in store.reads if key < NAMES_KEY]
    names = [key for key in store.reads if NAMES_KEY <= key < BOUNDS_KEY]
    assert (len(names), len(store.reads)) == (1, len(batches) + 1)
    assert 3_000 // 256 in batches
    assert len(batches) <= 2  # another name may have the same hash
    store.reads.clear()
    assert table.document(3_000) == documents[3_000]
    assert table.find(documents[3_000].name) == 3_000
    assert store.reads == []


def test_an_offset_reads_the_bounds_once_and_one_batch() -> None:
    documents = laid_out([(1, 1)] * 5_000)
    table, store = table_of(documents)
    assert table.at(2 * 3_000 + 1) == documents[3_000]
    assert store.reads == [BOUNDS_KEY, 3_000 // 256]
    assert table.at(1) == documents[0]
    assert store.reads == [BOUNDS_KEY, 3_000 // 256, 0]
    assert (table.starting_before(1), table.ended_before(3)) == (0, 1)
    assert store.reads == [BOUNDS_KEY, 3_000 // 256, 0]
    assert table.at(10_000) is None
    assert store.reads == [BOUNDS_KEY, 3_000 // 256, 0]


def test_a_pass_over_all_documents_reads_each_batch_once() -> None:
    table, store = table_of(scattered(5_000))
    assert sum(1 for _ in table) == 5_000
    assert store.reads == list(range(20))


@pytest.mark.parametrize("count", [1, 256, 600])
def test_a_damaged_batch_is_an_error_that_names_it(count: int) -> None:
    documents = laid_out([(0, 1)] * count)
    table, store = table_of(documents)
    last = (count - 1) // 256
    row = store.get(Table.DOCUMENTS, last) or b""
    for damaged in (b"", row[:-1], row[1:], bytes([row[0] ^ 1]) + row[1:]):
        put(store, last, damaged)
        for use in (
            lambda: table.document(count - 1),
            lambda: table.find(documents[-1].name),
            lambda: table.at(count - 1),
            lambda: list(table),
            lambda: table._batch(last),
        ):
            with pytest.raises(CorruptPackError, match=f"^pack: documents: batch {last}: checksum"):
                use()
    put(store, last, row)
    assert table.find(documents[-1].name) == count - 1


@pytest.mark.parametrize("length", [0, 255, 257, 87, 89])
def test_a_batch_of_another_number_of_documents_is_an_error_that_names_it(length: int) -> None:
    documents = laid_out([(0, 1)] * 600)
    table, store = table_of(documents)
    for number, expected in ((1, 256), (2, 88)):
        if length:
            put(store, number, create_batch(number, documents[:length]))
            with pytest.raises(CorruptPackError, match=f"batch {number}: {length} documents, expected {expected}$"):
                table._batch(number)
    del store._tables[Table.DOCUMENTS][1]
    with pytest.raises(CorruptPackError, match=r"^pack: documents: batch 1: missing$"):
        table._batch(1)


def test_damaged_names_are_an_error_that_names_their_row() -> None:
    documents = scattered(5_000)
    table, store = table_of(documents)
    name = next(d.name for d in documents if name_row(codec.name_hash(d.name) << 32, 4) == 2)
    key = RowKind.NAMES.key(2)
    row = store.get(Table.DOCUMENTS, key) or b""
    other = store.get(Table.DOCUMENTS, RowKind.NAMES.key(1)) or b""
    for damaged, what in (
        (b"", "checksum"),
        (row[:-1], "checksum"),
        (bytes([row[0] ^ 1]) + row[1:], "checksum"),
        (other, "checksum"),
        (codec.seal(key, row[:12]), "12 bytes are no number of entries"),
    ):
        put(store, key, damaged)
        with pytest.raises(CorruptPackError, match=f"^pack: documents: names, row 2: {what}"):
            table.find(name)
    put(store, key, row)
    assert table.find(name) is not None


def test_a_row_of_names_that_names_no_document_finds_none() -> None:
    table, store = table_of(scattered(300))
    wrong = (codec.name_hash("folder/7.txt") << 32 | 300).to_bytes(8, "little")
    put(store, NAMES_KEY, codec.seal(NAMES_KEY, wrong))
    assert table.find("folder/7.txt") is None


def test_damaged_bounds_are_an_error_that_names_them() -> None:
    documents = laid_out([(0, 1)] * 600)
    _, store = table_of(documents)
    row = store.get(Table.DOCUMENTS, BOUNDS_KEY) or b""
    names = store.get(Table.DOCUMENTS, NAMES_KEY) or b""
    for damaged, what in (
        (b"", "checksum"),
        (row[:-1], "checksum"),
        (row[1:], "checksum"),
        (names, "checksum"),
        (codec.seal(BOUNDS_KEY, row[:32]), "32 bytes, expected 16 for each of 3 batches"),
        (codec.seal(BOUNDS_KEY, row[:-8] + bytes(16)), "64 bytes, expected"),
        (codec.seal(BOUNDS_KEY, b""), "0 bytes, expected"),
    ):
        put(store, BOUNDS_KEY, damaged)
        table = DocumentTable(store, 600)
        for use in (table.at, table.ended_before, table.starting_before):
            with pytest.raises(CorruptPackError, match=f"^pack: documents: bounds: {what}"):
                use(3)
        assert table.find("folder/3.txt") == 3
    del store._tables[Table.DOCUMENTS][BOUNDS_KEY]
    table = DocumentTable(store, 600)
    with pytest.raises(CorruptPackError, match=r"^pack: documents: bounds: missing$"):
        table.at(3)
    put(store, BOUNDS_KEY, row)
    assert table.at(3) == documents[3]


def test_many_threads_use_the_same_table() -> None:
    documents = scattered(5_000)
    table, _ = table_of(documents)
    numbers = random.Random(1).choices(range(5_000), k=2_000)  # noqa: S311  # any numbers do

    def look(number: int) -> bool:
        document = documents[number]
        at = table.at(document.start)
        return (
            table.document(number) == document
            and table.find(document.name) == number
            and (document.start == document.stop or at == document)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(look, numbers))
