import dataclasses
import json
import os
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt.errors import CorruptPackError
from distributed_prompt.store import codec
from distributed_prompt.store.base import Table
from distributed_prompt.store.documents import BLOCK_DOCUMENTS, Document, read_documents, write_documents
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
NAMES = st.one_of(
    st.binary(max_size=12).map(os.fsdecode),  # with lone surrogates, as Linux allows
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
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
)


def numbered(count: int) -> list[Document]:
    return [dataclasses.replace(ONE, name=f"{n}.txt", start=12 * n, stop=12 * n + 12) for n in range(count)]


def written(documents: list[Document]) -> MemoryStore:
    store = MemoryStore("pack")
    write_documents(store, documents)
    return store


def read(store: MemoryStore, count: int) -> list[Document]:
    return list(read_documents(store, count))


def change(store: MemoryStore, edit: Callable[[dict[str, list[object]]], object]) -> None:
    """Edit the columns of block 0 and seal them again."""
    columns = json.loads(codec.decompress(codec.unseal(0, store.get(Table.DOCUMENTS, 0) or b""), 2**20))
    edit(columns)
    store.put(Table.DOCUMENTS, 0, codec.seal(0, codec.compress(json.dumps(columns).encode(), 3)))


@given(DOCUMENTS)
def test_documents_come_back_as_they_were_written(documents: list[Document]) -> None:
    assert read(written(documents), len(documents)) == documents


@pytest.mark.parametrize(
    ("count", "blocks"),
    [(0, 0), (1, 1), (BLOCK_DOCUMENTS - 1, 1), (BLOCK_DOCUMENTS, 1), (BLOCK_DOCUMENTS + 1, 2), (1_000, 4)],
)
def test_a_block_holds_256_documents(count: int, blocks: int) -> None:
    store = written(numbered(count))
    assert list(store.keys(Table.DOCUMENTS)) == list(range(blocks))
    assert read(store, count) == numbered(count)


def test_a_block_is_a_sealed_frame_of_json() -> None:
    row = written([ONE]).get(Table.DOCUMENTS, 0)
    assert row is not None
    columns = json.loads(codec.decompress(codec.unseal(0, row), 2**20))
    assert columns == {name: [value] for name, value in dataclasses.asdict(ONE).items()}


def test_blocks_are_read_when_they_are_needed() -> None:
    store = written(numbered(BLOCK_DOCUMENTS + 1))
    del store._tables[Table.DOCUMENTS][1]
    documents = read_documents(store, BLOCK_DOCUMENTS + 1)
    assert [next(documents) for _ in range(BLOCK_DOCUMENTS)] == numbered(BLOCK_DOCUMENTS)
    with pytest.raises(CorruptPackError, match="pack: documents: block 1: missing"):
        next(documents)


@pytest.mark.parametrize("count", [1, 3, 2 * BLOCK_DOCUMENTS])
def test_a_number_of_documents_that_is_not_promised_is_damage(count: int) -> None:
    with pytest.raises(CorruptPackError, match=r"pack: documents: block (0: 2 documents|0: 256|1: missing)"):
        read(written(numbered(2)), count)


def test_swapped_blocks_are_found() -> None:
    store = written(numbered(2 * BLOCK_DOCUMENTS))
    rows = store._tables[Table.DOCUMENTS]
    rows[0], rows[1] = rows[1], rows[0]
    with pytest.raises(CorruptPackError, match="pack: documents: block 0: checksum"):
        read(store, 2 * BLOCK_DOCUMENTS)


def test_every_flipped_bit_is_found() -> None:
    store = written([ONE])
    sealed = store.get(Table.DOCUMENTS, 0) or b""
    for bit in range(8 * len(sealed)):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        store.put(Table.DOCUMENTS, 0, bytes(damaged))
        with pytest.raises(CorruptPackError, match="pack: documents: block 0: checksum"):
            read(store, 1)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Document)])
def test_a_missing_column_is_damage(name: str) -> None:
    store = written([ONE])
    change(store, lambda columns: columns.pop(name))
    with pytest.raises(CorruptPackError, match=re.escape("pack: documents: block 0")):
        read(store, 1)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Document)])
def test_columns_of_different_lengths_are_damage(name: str) -> None:
    store = written(numbered(2))
    change(store, lambda columns: columns[name].pop())
    with pytest.raises(CorruptPackError, match=re.escape("pack: documents: block 0")):
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
def test_what_is_no_block_is_damage_even_under_a_right_checksum(data: bytes) -> None:
    store = MemoryStore("pack")
    for row in (data, codec.compress(data, 3)):
        store.put(Table.DOCUMENTS, 0, codec.seal(0, row))
        with pytest.raises(CorruptPackError, match=re.escape("pack: documents: block 0")):
            read(store, 1)


def test_columns_of_another_version_that_are_not_known_are_ignored() -> None:
    store = written([ONE])
    change(store, lambda columns: columns.update(colour=["blue"]))
    assert read(store, 1) == [ONE]
