"""Tables of SQLite as they are written here, read by the standard library's SQLite."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt.store import sqlite_tree
from distributed_prompt.store.base import Table
from distributed_prompt.store.sqlite_tree import PageFile, TableWriter, local_bytes, varint
from distributed_prompt.store.sqlite_writer import SqliteWriter
from tests.strategies import examples

PAGE = 4_096
TABLES = (Table.SHARDS, Table.DIRECTORY, Table.NGRAMS, Table.MAPS)
SIZES = st.one_of(st.integers(0, 30), st.integers(400, 600), st.integers(3_900, 4_300), st.integers(7_000, 30_000))


def read(path: Path) -> tuple[dict[str, dict[int, bytes]], dict[str, str]]:
    """All rows and the metadata; the file is sound."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema") if name != "metadata"]
        rows = {name: dict(connection.execute(f"SELECT key, value FROM {name}").fetchall()) for name in names}  # noqa: S608
        for name, found in rows.items():
            for key, value in list(found.items())[::7]:
                query = f"SELECT value FROM {name} WHERE key=?"  # noqa: S608  # names of our own
                assert connection.execute(query, (key,)).fetchone() == (value,)
        return rows, dict(connection.execute("SELECT name, value FROM metadata").fetchall())


@examples(100)
@given(
    puts=st.lists(st.tuples(st.sampled_from(TABLES), st.integers(1, 2**40), SIZES), max_size=120),
    header=st.integers(0, 20_000),
)
def test_whatever_is_put_is_what_sqlite_reads(
    tmp_path_factory: pytest.TempPathFactory, puts: list[tuple[Table, int, int]], header: int
) -> None:
    path = tmp_path_factory.mktemp("tree") / "pack"
    writer = SqliteWriter(str(path), "pack")
    expected: dict[str, dict[int, bytes]] = {str(table): {} for table in ("shards", "directory", "documents")}
    last = dict.fromkeys(TABLES, -1)
    for table, step, size in puts:
        last[table] += step
        value = bytes((size + at) % 251 for at in range(size))
        writer.put(table, last[table], value)
        expected.setdefault(str(table), {})[last[table]] = value
    metadata = {"header": "h" * header, "name": "value", "other": ""}
    writer.put_metadata(metadata)
    writer.finish()
    assert read(path) == (expected, metadata)


@pytest.mark.thorough
@pytest.mark.parametrize("count", [1, 2, 450, 451, 900, 901, 902, 100_000, 210_000])
def test_trees_of_any_height_are_sound(tmp_path: Path, count: int) -> None:
    writer = SqliteWriter(str(tmp_path / "pack"), "pack")
    value = bytes(3_900)  # a leaf for each row
    for key in range(count if count < 1_000 else count // 100):
        writer.put(Table.SHARDS, key, value)
    for key in range(count):
        writer.put(Table.DIRECTORY, key << 20, b"")
    writer.finish()
    rows, _ = read(tmp_path / "pack")
    assert len(rows["directory"]) == count


def test_a_page_that_is_to_be_left_alone_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    blob = bytes(at % 253 for at in range(20_000))
    for lock_page in range(1, 9):
        monkeypatch.setattr(sqlite_tree, "_LOCK_PAGE", lock_page)
        data = bytearray()
        file = PageFile(data.extend)
        table = TableWriter(file)
        table.put(7, blob)
        ((key, place),) = table.places()
        assert len(data) == file.count * PAGE
        assert not any(data[(lock_page - 1) * PAGE : lock_page * PAGE])
        content = b"".join(chain(bytes(data), place.overflow))
        local = local_bytes(len(blob) + 4 + 1, PAGE - 35) - 5
        assert (key, content[: len(blob) - local]) == (7, blob[local:])


def chain(data: bytes, number: int) -> Iterator[bytes]:
    while number:
        page = data[(number - 1) * PAGE : number * PAGE]
        yield page[4:]
        number = int.from_bytes(page[:4], "big")


@given(number=st.integers(0, 2**63 - 1))
def test_numbers_take_as_many_bytes_as_sqlite_gives_them(number: int) -> None:
    encoded = varint(number)
    assert len(encoded) == min(9, max(1, -(-number.bit_length() // 7)))
    decoded = 0
    for byte in encoded[:8]:
        decoded = decoded << 7 | byte & 127
    assert (decoded << 8 | encoded[8] if len(encoded) == 9 else decoded) == number


def test_appending_changes_no_page_that_was_written(tmp_path: Path) -> None:
    images = []
    for count in (5_000, 5_100):
        writer = SqliteWriter(str(tmp_path / "pack"), "pack")
        for key in range(count):
            writer.put(Table.SHARDS, key, bytes([key % 256]) * 2_000)
        writer.finish()
        images.append((tmp_path / "pack").read_bytes())
    old, new = images
    differing = [at // PAGE for at in range(0, len(old), PAGE) if old[at : at + PAGE] != new[at : at + PAGE]]
    # But for the first two, all are at the end.
    assert differing[:2] == [0, differing[1]]
    assert len(old) // PAGE - min(page for page in differing if page > 1) < 12
