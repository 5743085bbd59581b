import dataclasses
import hashlib
import json
import os
import re
from array import array
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt.errors import CorruptPackError
from distributed_prompt.store import codec
from distributed_prompt.store.base import Table
from distributed_prompt.store.document_table import DocumentTable
from distributed_prompt.store.documents import (
    BATCH_DOCUMENTS,
    Bounds,
    Document,
    DocumentsWriter,
    RowKind,
    create_batch,
    create_name_rows,
    name_entry,
    name_row,
    name_rows,
    parse_batch,
    parse_names,
)
from distributed_prompt.store.memory_store import MemoryStore

ONE = Document(
    name="folder/file.txt",
    start=0,
    stop=12,
    encoding="utf-8",
    errors="strict",
    newlines="keep",
    source_bytes=13,
    sha256="ab" * 32,
    exact=True,
)
FIELDS = [field.name for field in dataclasses.fields(Document)]
NAMES = st.one_of(
    st.binary(max_size=12).map(os.fsdecode),  # with lone surrogates, as Linux allows
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)


def in_order(documents: list[Document]) -> list[Document]:
    """The documents with their edges one behind the other."""
    edges = sorted(edge for document in documents for edge in (document.start, document.stop))
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [
        dataclasses.replace(document, start=start, stop=stop)
        for document, (start, stop) in zip(documents, pairs, strict=True)
    ]


DOCUMENTS = st.lists(
    st.builds(
        Document,
        name=NAMES,
        start=st.integers(0, 2**60),
        stop=st.integers(0, 2**60),
        encoding=st.sampled_from(["utf-8", "latin-1", "shift_jis"]),
        errors=st.sampled_from(["strict", "surrogateescape"]),
        newlines=st.sampled_from(["keep", "universal"]),
        source_bytes=st.integers(0, 2**60),
        sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
        exact=st.booleans(),
    ),
    max_size=10,
).map(in_order)


class Ordered(MemoryStore):
    """Remembers in which order the rows came."""

    def __init__(self) -> None:
        super().__init__("pack")
        self.order: list[int] = []

    def put(self, table: Table, key: int, value: bytes) -> None:
        assert table == Table.DOCUMENTS
        self.order.append(key)
        super().put(table, key, value)


def numbered(count: int) -> list[Document]:
    return [dataclasses.replace(ONE, name=f"{n}.txt", start=12 * n, stop=12 * n + 12) for n in range(count)]


def written(documents: list[Document]) -> MemoryStore:
    store = MemoryStore("pack")
    writer = DocumentsWriter(store)
    for document in documents:
        writer.add(document)
    assert writer.count == len(documents)
    writer.finish()
    return store


def read(store: MemoryStore, count: int) -> list[Document]:
    return list(DocumentTable(store, count))


def rows(store: MemoryStore) -> dict[int, bytes]:
    return dict(store.get_range(Table.DOCUMENTS, 0, 2**40))


def change(store: MemoryStore, edit: Callable[[dict[str, list[object]]], object]) -> None:
    """Edit the columns of batch 0 and seal them again."""
    columns = json.loads(codec.decompress(codec.unseal(0, store.get(Table.DOCUMENTS, 0) or b""), 2**20))
    edit(columns)
    store.put(Table.DOCUMENTS, 0, codec.seal(0, codec.compress(json.dumps(columns).encode(), 3)))


@given(DOCUMENTS)
def test_documents_come_back_as_they_were_written(documents: list[Document]) -> None:
    assert read(written(documents), len(documents)) == documents


@given(DOCUMENTS.filter(bool), st.integers(0, 2**32 - 1))
def test_a_batch_is_parsed_as_it_was_created(documents: list[Document], number: int) -> None:
    batch = parse_batch(number, create_batch(number, documents))
    assert list(batch) == documents
    assert [batch.document(index) for index in range(len(batch))] == documents
    assert (batch.names, batch.starts, batch.stops) == (
        [document.name for document in documents],
        [document.start for document in documents],
        [document.stop for document in documents],
    )


@pytest.mark.parametrize(
    ("count", "batches"),
    [(0, 0), (1, 1), (BATCH_DOCUMENTS - 1, 1), (BATCH_DOCUMENTS, 1), (BATCH_DOCUMENTS + 1, 2), (1_000, 4)],
)
def test_a_batch_holds_256_documents_and_more_than_one_have_names_and_bounds(count: int, batches: int) -> None:
    store = written(numbered(count))
    index = [2**32, 2 * 2**32] if batches > 1 else []
    assert list(store.keys(Table.DOCUMENTS)) == [*range(batches), *index]
    assert read(store, count) == numbered(count)


@pytest.mark.parametrize(
    ("count", "expected"), [(257, 1), (2_048, 1), (2_049, 2), (4_096, 2), (4_097, 4), (10_000, 8), (2**20, 512)]
)
def test_names_take_a_power_of_two_of_rows(count: int, expected: int) -> None:
    assert name_rows(count) == expected


@pytest.mark.parametrize("count", [257, 5_000])
def test_the_rows_of_names_hold_each_name_once_in_order_and_in_its_row(count: int) -> None:
    store, number_of_rows = written(numbered(count)), name_rows(count)
    entries: list[int] = []
    for number in range(number_of_rows):
        key = RowKind.NAMES.key(number)
        row = list(parse_names(codec.unseal(key, store.get(Table.DOCUMENTS, key) or b"")))
        assert all(name_row(entry, number_of_rows) == number for entry in row)
        entries += row
    assert entries == sorted(name_entry(document.name, n) for n, document in enumerate(numbered(count)))


@pytest.mark.parametrize("held", [[], [0], [7 << 61], [0, 1, 1 << 62, (1 << 64) - 1]])
def test_every_row_of_names_is_made_empty_ones_too(held: list[int]) -> None:
    made = list(create_name_rows(array("Q", sorted(held, reverse=True)), 4))
    assert [number for number, _ in made] == [0, 1, 2, 3]
    assert [list(parse_names(row)) for _, row in made] == [
        sorted(entry for entry in held if entry >> 62 == number) for number in range(4)
    ]


def test_the_row_of_bounds_has_where_each_batch_begins_and_ends() -> None:
    store = written(numbered(600))
    key = RowKind.BOUNDS.key(0)
    bounds = Bounds.parse(codec.unseal(key, store.get(Table.DOCUMENTS, key) or b""))
    assert bounds == Bounds([0, 12 * 256, 12 * 512], [12 * 256, 12 * 512, 12 * 600])
    assert Bounds.parse(bounds.create()) == bounds


def test_a_batch_is_a_sealed_frame_of_json() -> None:
    row = written([ONE]).get(Table.DOCUMENTS, 0)
    assert row is not None
    columns = json.loads(codec.decompress(codec.unseal(0, row), 2**20))
    assert columns == {name: [value] for name, value in dataclasses.asdict(ONE).items()}


@pytest.mark.parametrize("count", [0, 1, 256, 257, 5_000])
def test_the_digest_is_that_of_the_rows_of_the_batches(count: int) -> None:
    store = MemoryStore("pack")
    writer = DocumentsWriter(store)
    for document in numbered(count):
        writer.add(document)
    digest = writer.finish()
    batches = [row for key, row in sorted(rows(store).items()) if key < 2**32]
    assert digest == hashlib.sha256(b"".join(batches)).hexdigest()


def test_a_group_is_written_with_the_first_shard_behind_its_last_document() -> None:
    store = Ordered()
    writer = DocumentsWriter(store)
    documents = numbered(16 * BATCH_DOCUMENTS + 1)
    for document in documents[:-1]:
        writer.add(document)
        writer.flush(document.stop)
    assert store.order == []
    writer.add(documents[-1])
    writer.flush(documents[-1].start)
    assert store.order == []
    writer.flush(documents[-1].start + 1)
    assert store.order == list(range(16))
    writer.finish()
    assert store.order == [*range(17), *(RowKind.NAMES.key(number) for number in range(4)), RowKind.BOUNDS.key(0)]


@given(st.lists(st.tuples(st.integers(1, 3_000), st.integers(0, 60_000)), max_size=4))
def test_whenever_it_is_flushed_the_table_is_the_same_and_its_keys_ascend(steps: list[tuple[int, int]]) -> None:
    documents = numbered(5_000)
    store = Ordered()
    writer = DocumentsWriter(store)
    done = 0
    for count, length in steps:
        for document in documents[done : done + count]:
            writer.add(document)
        done = min(len(documents), done + count)
        writer.flush(min(length, 12 * done))
    for document in documents[done:]:
        writer.add(document)
    writer.finish()
    assert rows(store) == rows(FIVE_THOUSAND)
    assert store.order == sorted(store.order)


FIVE_THOUSAND = written(numbered(5_000))


def test_full_batches_of_another_pack_make_the_same_table_as_their_documents() -> None:
    old = DocumentTable(written(numbered(700)), 700)
    store = MemoryStore("pack")
    writer = DocumentsWriter(store)
    for number in range(2):
        writer.add_batch(old._batch(number), old.row(number) or b"")
    assert writer.count == 512
    for document in numbered(900)[512:]:
        writer.add(document)
    writer.finish()
    assert rows(store) == rows(written(numbered(900)))


def test_batches_are_read_when_they_are_needed() -> None:
    store = written(numbered(BATCH_DOCUMENTS + 1))
    del store._tables[Table.DOCUMENTS][1]
    documents = iter(DocumentTable(store, BATCH_DOCUMENTS + 1))
    assert [next(documents) for _ in range(BATCH_DOCUMENTS)] == numbered(BATCH_DOCUMENTS)
    with pytest.raises(CorruptPackError, match="pack: documents: batch 1: missing"):
        next(documents)


@pytest.mark.parametrize("count", [1, 3, 2 * BATCH_DOCUMENTS])
def test_a_number_of_documents_that_is_not_promised_is_damage(count: int) -> None:
    with pytest.raises(CorruptPackError, match=r"pack: documents: batch (0: 2 documents|0: 256|1: missing)"):
        read(written(numbered(2)), count)


def test_swapped_batches_are_found() -> None:
    store = written(numbered(2 * BATCH_DOCUMENTS))
    stored = store._tables[Table.DOCUMENTS]
    stored[0], stored[1] = stored[1], stored[0]
    with pytest.raises(CorruptPackError, match="pack: documents: batch 0: checksum"):
        read(store, 2 * BATCH_DOCUMENTS)


def test_every_flipped_bit_is_found() -> None:
    store = written([ONE])
    sealed = store.get(Table.DOCUMENTS, 0) or b""
    for bit in range(8 * len(sealed)):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        store.put(Table.DOCUMENTS, 0, bytes(damaged))
        with pytest.raises(CorruptPackError, match="pack: documents: batch 0: checksum"):
            read(store, 1)


@pytest.mark.parametrize("name", FIELDS)
def test_a_missing_column_is_damage(name: str) -> None:
    store = written([ONE])
    change(store, lambda columns: columns.pop(name))
    with pytest.raises(CorruptPackError, match=re.escape("pack: documents: batch 0")):
        read(store, 1)


@pytest.mark.parametrize("name", FIELDS)
def test_columns_of_different_lengths_are_damage(name: str) -> None:
    store = written(numbered(2))
    change(store, lambda columns: columns[name].pop())
    with pytest.raises(CorruptPackError, match=re.escape("pack: documents: batch 0")):
        read(store, 2)


@pytest.mark.parametrize("value", [None, 3.5, [], {}, "3", 3, True])
@pytest.mark.parametrize("name", FIELDS)
def test_a_value_of_another_type_is_damage_that_names_its_field(name: str, value: object) -> None:
    store = written(numbered(2))
    change(store, lambda columns: columns.update({name: [columns[name][0], value]}))
    if type(value) is type(getattr(ONE, name)) and name not in {"start", "stop"}:
        assert getattr(read(store, 2)[1], name) == value
        return
    with pytest.raises(CorruptPackError, match=f"^pack: documents: batch 0: ({name} |documents overlap)"):
        read(store, 2)


@pytest.mark.parametrize(("start", "stop"), [(3, 24), (12, 3), (12, 11), (-1, 24)])
def test_documents_that_overlap_or_end_before_they_begin_are_damage(start: int, stop: int) -> None:
    store = written(numbered(2))
    change(store, lambda columns: columns.update(start=[0, start], stop=[12, stop]))
    with pytest.raises(CorruptPackError, match=r"^pack: documents: batch 0: documents overlap"):
        read(store, 2)


@pytest.mark.parametrize("column", [None, "ab", 3, {"a": 1, "b": 2}])
@pytest.mark.parametrize("name", FIELDS)
def test_a_column_that_is_no_list_is_damage(name: str, column: object) -> None:
    store = written(numbered(2))
    change(store, lambda columns: columns.update({name: column}))  # type: ignore[dict-item]  # the point
    with pytest.raises(CorruptPackError, match=re.escape("pack: documents: batch 0")):
        read(store, 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"null",
        b"[]",
        b"3",
        b'"text"',
        b'{"name": 3}',
        b"\xff\xfe",
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"9" * 5_000, id="long"),
    ],
)
def test_what_is_no_batch_is_damage_even_under_a_right_checksum(data: bytes) -> None:
    store = MemoryStore("pack")
    for row in (data, codec.compress(data, 3)):
        store.put(Table.DOCUMENTS, 0, codec.seal(0, row))
        with pytest.raises(CorruptPackError, match=re.escape("pack: documents: batch 0")):
            read(store, 1)


def test_columns_of_another_version_that_are_not_known_are_ignored() -> None:
    store = written([ONE])
    change(store, lambda columns: columns.update(colour=["blue"]))
    assert read(store, 1) == [ONE]
