import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from distributed_prompt.errors import (
    CorruptPackError,
    DPromptError,
    NotAPackError,
    OutputError,
    PackReadError,
    UnsupportedPackError,
)
from distributed_prompt.store.base import Store, StoreWriter, Table
from distributed_prompt.store.sqlite_header import is_sqlite
from distributed_prompt.store.sqlite_store import SqliteStore
from distributed_prompt.store.sqlite_writer import SqliteWriter
from tests.contracts.store_contract import METADATA, StoreContract, noise

# The format, from its documentation and not from the code: these must never change.
APPLICATION_ID = 0x64507270
FORMAT_VERSION = 1
PAGE_BYTES = 4096
SCHEMA = {
    "metadata": "CREATE TABLE metadata(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "shards": "CREATE TABLE shards(key INTEGER PRIMARY KEY, value BLOB NOT NULL)",
    "directory": "CREATE TABLE directory(key INTEGER PRIMARY KEY, value BLOB NOT NULL)",
    "documents": "CREATE TABLE documents(key INTEGER PRIMARY KEY, value BLOB NOT NULL)",
}
SHARDS = {key: noise(key * 100, seed=key) for key in range(60)}
SECOND_SHARDS = {key: noise(key * 100, seed=1_000 + key) for key in range(60)}


class TestSqliteStore(StoreContract):
    @property
    def path(self) -> Path:
        return self.folder / "pack.dprompt"

    @property
    def raw_path(self) -> Path:
        """For SQLite itself."""
        return self.path

    def create(self) -> StoreWriter:
        self.path.unlink(missing_ok=True)
        return SqliteWriter(str(self.path), str(self.path))

    def open(self) -> Store:
        return SqliteStore(str(self.path))

    def raw_get(self, table: Table, key: int) -> bytes | None:
        with closing(sqlite3.connect(f"file:{self.raw_path}?mode=ro", uri=True)) as connection:
            row: tuple[bytes] | None = connection.execute(
                f"SELECT value FROM {table} WHERE key=?",  # noqa: S608  # names from the enum
                (key,),
            ).fetchone()
        return row[0] if row else None

    def raw_put(self, table: Table, key: int, value: bytes) -> None:
        with closing(sqlite3.connect(self.raw_path)) as connection, connection:
            connection.execute(f"INSERT INTO {table} VALUES(?, ?)", (key, value))  # as above

    def raw_metadata(self) -> dict[str, str]:
        with closing(sqlite3.connect(f"file:{self.raw_path}?mode=ro", uri=True)) as connection:
            return dict(connection.execute("SELECT name, value FROM metadata").fetchall())

    def raw_image(self) -> bytes:
        return self.path.read_bytes()


class TestSqliteStoreAtALongPath(TestSqliteStore):
    """Longer than SQLite takes it, though the system does."""

    @property
    def path(self) -> Path:
        folder = self.folder / ("d" * 200) / ("e" * 200) / ("f" * 200)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / "pack.dprompt"

    @property
    def raw_path(self) -> Path:
        other = self.folder / "other"
        other.unlink(missing_ok=True)
        os.link(self.path, other)
        return other


def write(path: Path, shards: dict[int, bytes] | None = None) -> Path:
    writer = SqliteWriter(str(path), path.name)
    for key, value in (SHARDS if shards is None else shards).items():
        writer.put(Table.SHARDS, key, value)
    writer.put(Table.DIRECTORY, 5 << 32, b"root")
    writer.put(Table.DOCUMENTS, 0, b"documents")
    writer.put_metadata(METADATA)
    writer.finish()
    return path


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write(tmp_path / "pack.dprompt")


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def rows_of(path: Path) -> dict[int, bytes]:
    with SqliteStore(str(path)) as store:
        return dict(store.get_range(Table.SHARDS, 0, 2**40))


def test_the_header_says_what_the_format_says(pack: Path) -> None:
    head = pack.read_bytes()[:100]
    assert is_sqlite(head)
    assert struct.unpack_from(">H", head, 16) == (PAGE_BYTES,)
    assert head[18:20] == b"\x01\x01"  # no WAL
    assert head[20] == 0  # nothing reserved on a page
    assert struct.unpack_from(">I", head, 28) == (pack.stat().st_size // PAGE_BYTES,)
    assert struct.unpack_from(">I", head, 36) == (0,)  # no free pages
    assert struct.unpack_from(">I", head, 56) == (1,)  # UTF-8
    assert struct.unpack_from(">I", head, 60) == (FORMAT_VERSION,)
    assert struct.unpack_from(">I", head, 68) == (APPLICATION_ID,)


def test_any_sqlite_reads_a_pack_and_finds_it_sound(pack: Path) -> None:
    with closing(sqlite3.connect(pack)) as connection:

        def pragma(name: str) -> object:
            return connection.execute(f"PRAGMA {name}").fetchall()

        assert pragma("application_id") == [(APPLICATION_ID,)]
        assert pragma("user_version") == [(FORMAT_VERSION,)]
        assert pragma("page_size") == [(PAGE_BYTES,)]
        assert pragma("journal_mode") == [("delete",)]
        assert pragma("freelist_count") == [(0,)]
        assert pragma("encoding") == [("UTF-8",)]
        assert pragma("integrity_check") == [("ok",)]
        assert dict(connection.execute("SELECT name, sql FROM sqlite_schema").fetchall()) == SCHEMA
        assert dict(connection.execute("SELECT key, value FROM shards").fetchall()) == SHARDS


def test_a_pack_without_rows_has_the_tables_of_every_pack_and_none_of_another_kind(tmp_path: Path) -> None:
    writer = SqliteWriter(str(tmp_path / "pack"), "pack")
    writer.put_metadata(METADATA)
    writer.finish()
    with closing(sqlite3.connect(tmp_path / "pack")) as connection:
        schema = dict(connection.execute("SELECT name, sql FROM sqlite_schema").fetchall())
    assert {"metadata", "shards", "directory"} <= set(schema)
    assert schema.items() <= SCHEMA.items()


def test_writing_leaves_one_file_and_nothing_beside_it(pack: Path) -> None:
    assert os.listdir(pack.parent) == [pack.name]  # noqa: PTH208  # hidden ones too


def test_reading_leaves_no_trace(pack: Path) -> None:
    before, status = pack.read_bytes(), pack.stat()
    with SqliteStore(str(pack)) as store:
        assert list(store.problems()) == []
        assert list(store.keys(Table.SHARDS)) == list(SHARDS)
        assert os.listdir(pack.parent) == [pack.name]  # noqa: PTH208  # while it is open
    assert os.listdir(pack.parent) == [pack.name]  # noqa: PTH208  # and after
    assert pack.read_bytes() == before
    assert pack.stat().st_mtime_ns == status.st_mtime_ns


def test_a_pack_is_read_where_nothing_can_be_written(pack: Path) -> None:
    pack.chmod(0o444)
    pack.parent.chmod(0o555)
    try:
        assert rows_of(pack) == SHARDS
    finally:
        pack.parent.chmod(0o755)


def test_a_pack_that_sqlite_vacuumed_has_the_same_rows(pack: Path) -> None:
    execute(pack, "VACUUM")
    assert rows_of(pack) == SHARDS


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "50%25 off?",
        "a#b&c=d;e",
        "quote'\"quote",
        "日本語 é 😀",
        "new\nline",
        "back\\slash",
        ":memory:",
        "~",
    ],
)
def test_a_pack_may_have_any_name(tmp_path: Path, name: str) -> None:
    assert rows_of(write(tmp_path / name)) == SHARDS


@pytest.mark.parametrize("length", [*range(500, 516), 4_095])
def test_a_path_may_be_as_long_as_the_system_takes_it(tmp_path: Path, length: int) -> None:
    folder = tmp_path
    while len(str(folder)) < length - 250:
        folder /= "d" * min(250, length - 250 - len(str(folder)))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "n".ljust(length - len(str(folder)) - 1, "n")
    shutil.copyfile(write(tmp_path / "short"), path)
    assert len(str(path)) == length
    assert rows_of(path) == SHARDS
    with SqliteStore(str(path)) as store:
        assert list(store.problems()) == []
        assert not store.is_far
        path.unlink()
        assert store.name == str(path)
        assert store.get(Table.SHARDS, 5) == SHARDS[5]


def test_a_pack_may_have_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    assert rows_of(write(tmp_path / os.fsdecode(b"latin-\xe9.dprompt"))) == SHARDS


def test_a_path_may_begin_with_two_slashes(pack: Path) -> None:
    with SqliteStore(f"/{pack}") as store:
        assert store.get(Table.SHARDS, 1) == SHARDS[1]


def test_the_name_in_errors_is_the_path(pack: Path) -> None:
    with SqliteStore(str(pack)) as store:
        assert store.name == str(pack)
        assert store.size_bytes() == pack.stat().st_size


@pytest.mark.parametrize(
    "content",
    [b"", b"SQLite format 3", b"SQLite format 3\x00", b"SQLite format 3\x00" + bytes(83), b"text\n" * 100, bytes(8192)],
)
def test_what_is_no_sqlite_file_is_no_pack(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(NotAPackError, match=re.escape(str(tmp_path / "file"))):
        SqliteStore(str(tmp_path / "file"))


def test_a_sqlite_file_of_another_program_is_no_pack(tmp_path: Path) -> None:
    execute(tmp_path / "file", "CREATE TABLE shards(key INTEGER PRIMARY KEY, value BLOB NOT NULL)")
    with pytest.raises(NotAPackError, match="not a pack"):
        SqliteStore(str(tmp_path / "file"))


def test_a_pack_of_a_newer_format_is_refused_with_its_version(pack: Path) -> None:
    execute(pack, f"PRAGMA user_version={FORMAT_VERSION + 6}")
    with pytest.raises(UnsupportedPackError, match="format 7"):
        SqliteStore(str(pack))


@pytest.mark.parametrize("version", [0, -1])
def test_a_pack_of_no_format_is_refused(pack: Path, version: int) -> None:
    execute(pack, f"PRAGMA user_version={version}")
    with pytest.raises(DPromptError, match=re.escape(str(pack))):
        SqliteStore(str(pack))


def test_a_pack_of_another_page_size_is_refused(pack: Path) -> None:
    execute(pack, "PRAGMA page_size=8192", "VACUUM")
    with pytest.raises(UnsupportedPackError, match=re.escape(str(pack))):
        SqliteStore(str(pack))


@pytest.mark.parametrize("change", [-PAGE_BYTES, -1, 1, PAGE_BYTES])
def test_a_pack_of_another_size_than_its_header_says_is_refused(pack: Path, change: int) -> None:
    os.truncate(pack, pack.stat().st_size + change)
    with pytest.raises(CorruptPackError, match="truncated"):
        SqliteStore(str(pack))


def test_a_file_that_is_not_there_or_is_a_folder_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(PackReadError, match=re.escape(str(path))):
            SqliteStore(str(path))


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(["CREATE VIEW extra AS SELECT 1"], id="view"),
        pytest.param(["CREATE INDEX extra ON shards(value)"], id="index"),
        pytest.param(["CREATE TABLE extra(a)"], id="table"),
        pytest.param(["CREATE VIRTUAL TABLE extra USING fts5(a)"], id="virtual-table"),
        pytest.param(["ANALYZE"], id="statistics"),
        pytest.param(["CREATE TRIGGER extra AFTER INSERT ON shards BEGIN SELECT 1; END"], id="trigger"),
        pytest.param(
            [
                "CREATE TRIGGER documents AFTER INSERT ON shards BEGIN SELECT 1; END",
                "DROP TABLE documents",
                SCHEMA["documents"],
            ],
            id="trigger-named-as-a-table",
        ),
        pytest.param(["ALTER TABLE shards RENAME TO shard"], id="renamed"),
        pytest.param(["ALTER TABLE shards RENAME COLUMN value TO blob"], id="renamed-column"),
        pytest.param(["ALTER TABLE shards ADD COLUMN more"], id="more-columns"),
        pytest.param(["DROP TABLE shards"], id="no-shards"),
        pytest.param(["DROP TABLE directory"], id="no-directory"),
        pytest.param(["DROP TABLE metadata"], id="no-metadata"),
        pytest.param(
            [
                "ALTER TABLE shards RENAME TO hidden",
                "CREATE VIEW shards AS SELECT key, x'00' AS value FROM hidden",
            ],
            id="view-for-a-table",
        ),
        pytest.param(
            ["DROP TABLE shards", "CREATE TABLE shards(key INTEGER PRIMARY KEY, value TEXT NOT NULL)"], id="text-column"
        ),
        pytest.param(
            ["DROP TABLE metadata", "CREATE TABLE metadata(name TEXT PRIMARY KEY, value TEXT NOT NULL)"], id="rowid"
        ),
        pytest.param(
            ["DROP TABLE shards", "CREATE TABLE shards(key INTEGER PRIMARY KEY, value BLOB AS (x'00') NOT NULL)"],
            id="generated-column",
        ),
    ],
)
def test_a_pack_of_another_schema_is_refused(pack: Path, statements: list[str]) -> None:
    execute(pack, *statements)
    with pytest.raises(CorruptPackError, match=re.escape(str(pack))):
        SqliteStore(str(pack))


def test_the_documents_table_may_be_missing(pack: Path) -> None:
    execute(pack, "DROP TABLE documents")
    with SqliteStore(str(pack)) as store:
        assert list(store.keys(Table.DOCUMENTS)) == []
        assert store.get(Table.DOCUMENTS, 0) is None


@pytest.mark.parametrize(
    "value", ["'text'", "''", "12", "1.5", "CAST(x'28b52ffd' AS TEXT)", "CAST(x'ff00' AS TEXT)", "zeroblob(0) || ''"]
)
def test_a_row_that_is_no_blob_is_damage(pack: Path, value: str) -> None:
    execute(pack, f"UPDATE shards SET value={value} WHERE key=3")  # noqa: S608  # ours
    with SqliteStore(str(pack)) as store:
        with pytest.raises(CorruptPackError, match=re.escape(str(pack))):
            store.get(Table.SHARDS, 3)
        with pytest.raises(CorruptPackError, match=re.escape(str(pack))):
            store.get_range(Table.SHARDS, 0, 9)
        assert store.get(Table.SHARDS, 4) == SHARDS[4]


@pytest.mark.parametrize("value", ["x'00'", "CAST(x'ff' AS TEXT)", "CAST(x'ed' AS TEXT)"])
def test_metadata_that_is_no_text_is_damage(pack: Path, value: str) -> None:
    execute(pack, f"UPDATE metadata SET value={value} WHERE name='length'")  # noqa: S608  # ours
    with SqliteStore(str(pack)) as store, pytest.raises(CorruptPackError, match=re.escape(str(pack))):
        store.metadata()


def test_a_damaged_tree_is_reported_and_its_rows_are_errors(pack: Path) -> None:
    with closing(sqlite3.connect(pack)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name='shards'").fetchone()
    patch(pack, (root - 1) * PAGE_BYTES, bytes(PAGE_BYTES))
    with SqliteStore(str(pack)) as store:
        assert any("page" in problem for problem in store.problems())
        with pytest.raises(CorruptPackError, match=re.escape(str(pack))):
            store.get(Table.SHARDS, 0)
        with pytest.raises(CorruptPackError, match=re.escape(str(pack))):
            list(store.keys(Table.SHARDS))
        assert store.metadata() == METADATA


@pytest.mark.parametrize("key", [-1, 2**63 - 1, -(2**63)])
def test_keys_at_the_ends_of_the_range_are_missing(pack: Path, key: int) -> None:
    with SqliteStore(str(pack)) as store:
        assert store.get(Table.SHARDS, key) is None


def test_an_open_pack_outlives_its_name(pack: Path) -> None:
    with SqliteStore(str(pack)) as store:
        pack.unlink()
        assert dict(store.get_range(Table.SHARDS, 0, 60)) == SHARDS


def test_an_open_pack_that_was_replaced_is_still_the_old_one(pack: Path) -> None:
    with SqliteStore(str(pack)) as store:
        write(pack.with_name("new")).replace(pack)
        assert dict(store.get_range(Table.SHARDS, 0, 60)) == SHARDS


def test_threads_that_read_while_the_pack_is_replaced_all_go_on_with_the_old_one(pack: Path) -> None:
    wrong: list[object] = []
    with SqliteStore(str(pack)) as store:
        begun = threading.Barrier(5)

        def read() -> None:
            begun.wait()
            for _ in range(30):
                try:
                    if dict(store.get_range(Table.SHARDS, 0, 60)) != SHARDS:
                        wrong.append("other rows")
                except Exception as error:  # noqa: BLE001  # reported below
                    wrong.append(error)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        begun.wait()
        for number in range(20):
            write(pack.with_name(f"new-{number}"), SECOND_SHARDS).replace(pack)
        for thread in threads:
            thread.join()
    assert wrong == []


_FORKED = """
import os, sys
from distributed_prompt.store.base import Table
from distributed_prompt.store.sqlite_store import SqliteStore

def rows(store):
    return [value for _, value in store.get_range(Table.SHARDS, 0, 60)]

with SqliteStore(sys.argv[1]) as store:
    expected = rows(store)
    closed = SqliteStore(sys.argv[1])
    closed.close()
    children = []
    for number in range(4):
        child = os.fork()
        if not child:
            status = 1
            try:
                right = rows(store) == expected and all(rows(store) == expected for _ in range(20))
                if number % 2:
                    store.close()
                status = 0 if right else 2
            finally:
                os._exit(status)
        children.append(child)
        assert rows(store) == expected
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert rows(store) == expected
    assert list(store.problems()) == []
print("right")
"""


def test_a_forked_child_and_its_parent_both_read_on(pack: Path) -> None:
    command = [sys.executable, "-c", _FORKED, str(pack)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "right\n", "")


_FORKED_AND_REPLACED = """
import os, sys
from distributed_prompt.errors import PackChangedError
from distributed_prompt.store.base import Table
from distributed_prompt.store.sqlite_store import SqliteStore

with SqliteStore(sys.argv[1]) as store:
    expected = store.get_range(Table.SHARDS, 0, 60)
    os.replace(sys.argv[2], sys.argv[1])
    child = os.fork()
    if not child:
        status = 1
        try:
            store.get(Table.SHARDS, 5)
        except PackChangedError as error:
            status = 0 if sys.argv[1] in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert store.get_range(Table.SHARDS, 0, 60) == expected
print("right")
"""


def test_a_forked_child_never_reads_another_pack_than_its_parent(pack: Path) -> None:
    new = write(pack.with_name("new"), SECOND_SHARDS)
    command = [sys.executable, "-c", _FORKED_AND_REPLACED, str(pack), str(new)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "right\n", "")


def test_a_store_keeps_no_file_open_after_it_is_closed(pack: Path) -> None:
    def opened() -> list[str]:
        links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]  # noqa: PTH208  # names alone
        return [str(link.readlink()) for link in links if link.is_symlink() and str(pack) in str(link.readlink())]

    store = SqliteStore(str(pack))
    keys = store.keys(Table.SHARDS)
    next(keys)
    store.get(Table.SHARDS, 0)
    assert opened()
    store.close()
    del keys
    assert opened() == []


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(lambda pack: patch(pack, 68, bytes(4)), id="application"),
        pytest.param(lambda pack: execute(pack, "CREATE VIEW v AS SELECT 1"), id="schema"),
        pytest.param(lambda pack: patch(pack, 100, bytes(8)), id="page"),
        pytest.param(lambda pack: patch(pack, 19, b"\x09"), id="read-version"),
    ],
)
def test_a_pack_that_is_refused_is_not_held_open(pack: Path, refused: Callable[[Path], None]) -> None:
    refused(pack)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # a count
    with pytest.raises(DPromptError):
        SqliteStore(str(pack))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  # as above


def test_a_copy_of_a_pack_is_a_pack(pack: Path) -> None:
    copy = shutil.copyfile(pack, pack.with_name("copy"))
    assert rows_of(copy) == SHARDS


def test_a_pack_cannot_be_written_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=re.escape(str(tmp_path / "no"))):
        SqliteWriter(str(tmp_path / "no" / "pack"), str(tmp_path / "no" / "pack"))


def test_a_key_that_was_put_already_is_an_error(tmp_path: Path) -> None:
    writer = SqliteWriter(str(tmp_path / "pack"), "called so")
    writer.put(Table.SHARDS, 0, b"")
    with pytest.raises(OutputError, match="called so"):
        writer.put(Table.SHARDS, 0, b"")
    writer.abort()
