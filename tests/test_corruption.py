"""Damaged packs in SQLite: the right text or an error of ours, and ``verify`` says what any read would."""

import os
import random
import sqlite3
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

import distributed_prompt as dp
from distributed_prompt.errors import CorruptPackError, NotAPackError, UnsupportedPackError
from tests.damage import (
    PAGE,
    SEED,
    TABLES,
    Changes,
    DamageContract,
    SoundDocuments,
    SoundText,
    check,
    check_noticed,
    flip,
    renew,
    sound_documents,
    sound_text,
)

SHARD_SIZE = 8_192


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> SoundText:
    return sound_text(tmp_path_factory.mktemp("sound"), "sqlite", SHARD_SIZE)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> SoundDocuments:
    return sound_documents(tmp_path_factory.mktemp("many"), "sqlite")


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def b_tree_pages(data: bytes) -> Iterator[tuple[int, int]]:
    """Where each b-tree page begins and where its header does, by following every tree from the schema."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(data)
        roots = [root for (root,) in connection.execute("SELECT rootpage FROM sqlite_schema")]
    pending = [1, *roots]
    while pending:
        start = (pending.pop() - 1) * PAGE
        head = start + (100 if start == 0 else 0)
        yield start, head
        if data[head] in {2, 5}:
            (cells,) = struct.unpack_from(">H", data, head + 3)
            pending += struct.unpack_from(">I", data, head + 8)
            for cell in struct.unpack_from(f">{cells}H", data, head + 12):
                pending += struct.unpack_from(">I", data, start + cell)


class TestDamagedSqlitePacks(DamageContract):
    engine = "sqlite"

    def rows(self, path: Path, table: str) -> dict[int, bytes]:
        with closing(sqlite3.connect(path)) as connection:
            return dict(connection.execute(f"SELECT key, value FROM {table} ORDER BY key"))  # noqa: S608  # ours

    def change_rows(self, path: Path, table: str, changes: Changes) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            for key, value in changes.items():
                if value is None:
                    connection.execute(f"DELETE FROM {table} WHERE key=?", (key,))  # noqa: S608  # ours
                else:
                    connection.execute(f"REPLACE INTO {table} VALUES(?, ?)", (key, value))  # as above

    def metadata(self, path: Path) -> dict[str, str]:
        with closing(sqlite3.connect(path)) as connection:
            return dict(connection.execute("SELECT name, value FROM metadata"))

    def write_metadata(self, path: Path, rows: Mapping[str, str]) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM metadata")
            connection.executemany("INSERT INTO metadata VALUES(?, ?)", rows.items())

    def structural_bytes(self, data: bytes) -> list[int]:
        """File header, page headers, cell pointers, heads of cells."""
        found = set(range(100))
        for start, head in b_tree_pages(data):
            size = 12 if data[head] in {2, 5} else 8
            (cells,) = struct.unpack_from(">H", data, head + 3)
            found.update(range(head, head + size + 2 * cells))
            for cell in struct.unpack_from(f">{cells}H", data, head + size):
                found.update(range(start + cell, min(start + cell + 12, len(data))))
        return sorted(found)

    def used_pages(self, data: bytes) -> list[int]:
        return list(range(len(data) // PAGE))

    def test_no_flipped_bit_that_makes_a_blob_text_gives_another_error(self, sound: SoundText, tmp_path: Path) -> None:
        """The lowest bit of a record's type is what tells a blob from a text."""
        failures = []
        for table in TABLES:
            for key, row in self.rows(sound.path, table).items():
                at = sound.data.index(row[:40])
                record = sound.data[at - 1 : at + 40]
                renew(tmp_path / "text.dprompt", sound.data.replace(record, flip(record, 0)))
                try:
                    check(sound, tmp_path / "text.dprompt")
                except Exception as error:  # noqa: BLE001  # all of them are listed
                    failures.append(f"{table} row {key}: {type(error).__name__}: {error}")
        assert not failures, "\n".join(failures)

    @pytest.mark.parametrize("table", TABLES)
    def test_a_row_of_a_negative_key_is_reported(self, sound: SoundText, copy: Path, table: str) -> None:
        execute(copy, f"INSERT INTO {table} SELECT -1, value FROM {table} LIMIT 1")  # noqa: S608  # ours
        assert check_noticed(sound, copy, f"{table}: row -1 ").read_errors == []

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param("CAST(value AS TEXT)", id="text"),
            pytest.param("'text'", id="ascii"),
            pytest.param("12", id="integer"),
            pytest.param("1.5", id="real"),
        ],
    )
    @pytest.mark.parametrize("table", TABLES)
    def test_a_row_of_another_kind_is_reported(self, sound: SoundText, copy: Path, table: str, value: str) -> None:
        execute(copy, f"UPDATE {table} SET value={value} WHERE key=(SELECT max(key) FROM {table})")  # noqa: S608  # ours
        report = check(sound, copy)
        assert report.problems
        assert report.read_errors

    @pytest.mark.parametrize("column", [1, 2, 3, 4, 5])
    def test_a_row_of_the_directory_that_is_text_is_reported(self, sound: SoundText, copy: Path, column: int) -> None:
        execute(copy, f"UPDATE directory SET value=CAST(value AS TEXT) WHERE key={column << 32}")  # noqa: S608  # ours
        check_noticed(sound, copy, "directory")

    @pytest.mark.parametrize("value", ["x'00'", "CAST(x'ff' AS TEXT)"])
    def test_metadata_that_is_no_text_is_refused(self, sound: SoundText, copy: Path, value: str) -> None:
        execute(copy, f"UPDATE metadata SET value={value} WHERE name='length'")  # noqa: S608  # ours
        report = check(sound, copy)
        assert isinstance(report.refused, CorruptPackError)
        assert "metadata" in str(report.refused)

    def test_a_newer_version_in_the_header_is_refused(self, sound: SoundText, copy: Path) -> None:
        execute(copy, "PRAGMA user_version=3")
        assert isinstance(check_noticed(sound, copy, "format 3.*newer dprompt").refused, UnsupportedPackError)

    @pytest.mark.parametrize("what", ["other", "empty-database", "another-application"])
    def test_a_database_that_is_no_pack_is_refused(self, sound: SoundText, tmp_path: Path, what: str) -> None:
        path = tmp_path / "database"
        execute(path, "CREATE TABLE shards(key INTEGER PRIMARY KEY, value BLOB NOT NULL)")
        if what == "empty-database":
            execute(path, "DROP TABLE shards")
        if what == "another-application":
            execute(path, "PRAGMA application_id=1", "PRAGMA user_version=1")
        assert isinstance(check(sound, path).refused, NotAPackError)

    def test_an_empty_database_that_says_it_is_a_pack_is_refused(self, sound: SoundText, tmp_path: Path) -> None:
        execute(tmp_path / "database", f"PRAGMA application_id={0x64507270}", "PRAGMA user_version=1")
        assert isinstance(check(sound, tmp_path / "database").refused, CorruptPackError)

    def test_noise_under_a_right_header_is_refused(self, sound: SoundText, tmp_path: Path) -> None:
        path = tmp_path / "noise.dprompt"
        for seed in range(20):
            noise = random.Random(SEED + seed).randbytes(len(sound.data) - 100)  # noqa: S311  # the same every time
            renew(path, sound.data[:100] + noise)
            assert isinstance(check(sound, path).refused, CorruptPackError)

    def test_a_table_that_comes_with_a_feature_of_the_future_is_no_damage(self, copy: Path) -> None:
        execute(copy, "CREATE TABLE images(key INTEGER PRIMARY KEY, value BLOB NOT NULL)")
        self.rewrite_metadata(copy, features="documents images")
        with pytest.raises(UnsupportedPackError, match="feature 'images'"):
            dp.open(copy)


def test_a_pipe_is_no_pack(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotAPackError, match="is a device"):
        dp.open(tmp_path / "pipe")
