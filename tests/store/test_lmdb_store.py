import os
import re
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest
from lmdb.verify import verify

import distributed_prompt as dp
from distributed_prompt.errors import (
    ClosedError,
    CorruptPackError,
    DPromptError,
    NotAPackError,
    OutputError,
    PackReadError,
    UnsupportedPackError,
)
from distributed_prompt.store.base import Store, StoreWriter, Table
from distributed_prompt.store.engines import open_store
from distributed_prompt.store.lmdb_pages import is_lmdb
from distributed_prompt.store.lmdb_store import LmdbStore
from distributed_prompt.store.lmdb_writer import LmdbWriter
from tests.contracts.store_contract import METADATA, USES, StoreContract, noise

PAGE = 4_096
SHARDS = {key: noise(key * 100, seed=key) for key in range(60)}
SECOND_SHARDS = {key: noise(key * 100, seed=1_000 + key) for key in range(60)}


class TestLmdbStore(StoreContract):
    @property
    def path(self) -> Path:
        return self.folder / "pack.dprompt"

    def create(self) -> StoreWriter:
        self.path.unlink(missing_ok=True)
        self.path.touch()
        return LmdbWriter(str(self.path), str(self.path))

    def open(self) -> Store:
        return LmdbStore(str(self.path))

    def raw_get(self, table: Table, key: int) -> bytes | None:
        with environment(self.path) as opened, opened.begin() as transaction:
            try:
                database = opened.open_db(str(table).encode(), txn=transaction, create=False)
            except lmdb.NotFoundError:
                return None
            return transaction.get(key.to_bytes(8, "big"), db=database)

    def raw_put(self, table: Table, key: int, value: bytes) -> None:
        with environment(self.path, readonly=False) as opened, opened.begin(write=True) as transaction:
            database = opened.open_db(str(table).encode(), txn=transaction)
            transaction.put(key.to_bytes(8, "big"), value, db=database)

    def raw_metadata(self) -> dict[str, str]:
        with environment(self.path) as opened, opened.begin() as transaction:
            database = opened.open_db(b"metadata", txn=transaction, create=False)
            return {bytes(key).decode(): bytes(value).decode() for key, value in transaction.cursor(database)}

    def raw_image(self) -> bytes:
        return self.path.read_bytes()


def environment(path: Path, *, readonly: bool = True) -> lmdb.Environment:
    """The file as LMDB itself sees it."""
    return lmdb.open(str(path), subdir=False, lock=False, readonly=readonly, max_dbs=8, map_size=2**26, lib_version=0)


@contextmanager
def edited(path: Path) -> Iterator[tuple[lmdb.Environment, lmdb.Transaction]]:
    """The file, to be changed by LMDB itself."""
    with environment(path, readonly=False) as opened:
        with opened.begin(write=True) as transaction:
            yield opened, transaction
        size = (opened.info()["last_pgno"] + 1) * PAGE
    os.truncate(path, size)


def write(path: Path, shards: dict[int, bytes] | None = None) -> Path:
    writer = LmdbWriter(str(path), path.name)
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


def patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def rows_of(path: Path) -> dict[int, bytes]:
    with LmdbStore(str(path)) as store:
        return dict(store.get_range(Table.SHARDS, 0, 2**40))


def names(folder: Path) -> list[str]:
    """All of them, hidden ones too."""
    return sorted(os.listdir(folder))  # noqa: PTH208  # names alone


def open_files(path: Path) -> int:
    """How many descriptors of this process name a file."""
    links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]  # noqa: PTH208  # names alone
    return sum(link.is_symlink() and str(path) in str(link.readlink()) for link in links)


def root_of(path: Path, table: str) -> int:
    """The first page of a table's tree, from its record behind its name."""
    data = path.read_bytes()
    names_at = data.rindex(table.encode() + bytes(4))
    return int(struct.unpack_from("<Q", data, names_at + len(table) + 40)[0])


def test_the_file_says_what_the_format_says(pack: Path) -> None:
    data = pack.read_bytes()
    assert is_lmdb(data[:100])
    for meta in (0, PAGE):
        assert struct.unpack_from("<QHH", data, meta) == (meta // PAGE, 0, 8)
        assert struct.unpack_from("<II", data, meta + 16) == (0xBEEFC0DE, 1)
        assert struct.unpack_from("<I", data, meta + 40) == (PAGE,)
    last_page = max(struct.unpack_from("<QQ", data, meta + 136)[::-1] for meta in (0, PAGE))[1]
    assert len(data) == (last_page + 1) * PAGE


def test_lmdb_reads_a_pack_and_finds_it_sound(pack: Path) -> None:
    assert verify(str(pack), subdir=False) == []  # type: ignore[no-untyped-call]
    with environment(pack) as opened, opened.begin() as transaction:
        assert [bytes(name) for name in transaction.cursor().iternext(values=False)] == [
            b"directory",
            b"documents",
            b"metadata",
            b"shards",
        ]
        database = opened.open_db(b"shards", txn=transaction, create=False)
        rows = {bytes(key): bytes(value) for key, value in transaction.cursor(database)}
    assert rows == {key.to_bytes(8, "big"): value for key, value in SHARDS.items()}


def test_a_pack_without_rows_is_sound(tmp_path: Path) -> None:
    writer = LmdbWriter(str(tmp_path / "pack"), "pack")
    writer.put_metadata(METADATA)
    writer.finish()
    assert verify(str(tmp_path / "pack"), subdir=False) == []  # type: ignore[no-untyped-call]
    with LmdbStore(str(tmp_path / "pack")) as store:
        assert store.metadata() == METADATA
        assert list(store.problems()) == []
        assert list(store.keys(Table.SHARDS)) == []


def test_writing_leaves_one_file_and_nothing_beside_it(pack: Path) -> None:
    assert names(pack.parent) == [pack.name]


def test_reading_leaves_no_trace(pack: Path) -> None:
    before, status = pack.read_bytes(), pack.stat()
    with LmdbStore(str(pack)) as store:
        assert list(store.problems()) == []
        assert list(store.keys(Table.SHARDS)) == list(SHARDS)
        assert names(pack.parent) == [pack.name]
    assert names(pack.parent) == [pack.name]
    assert pack.read_bytes() == before
    assert pack.stat().st_mtime_ns == status.st_mtime_ns


def test_a_pack_is_read_where_nothing_can_be_written(pack: Path) -> None:
    pack.chmod(0o444)
    pack.parent.chmod(0o555)
    try:
        assert rows_of(pack) == SHARDS
    finally:
        pack.parent.chmod(0o755)


def test_a_pack_that_lmdb_compacted_has_the_same_rows(pack: Path) -> None:
    with environment(pack) as opened:
        opened.copy(str(pack.with_name("compact")), compact=True)
    assert rows_of(pack.with_name("compact")) == SHARDS


def test_a_pack_that_lmdb_changed_has_the_changed_rows(pack: Path) -> None:
    with edited(pack) as (opened, transaction):
        database = opened.open_db(b"shards", txn=transaction)
        for key in range(0, 60, 2):
            transaction.delete(key.to_bytes(8, "big"), db=database)
        transaction.put((7).to_bytes(8, "big"), b"seven", db=database)
    expected = {key: value for key, value in SHARDS.items() if key % 2} | {7: b"seven"}
    assert rows_of(pack) == expected


@pytest.mark.parametrize(
    "name", ["with space", "50%25 off?", "a#b&c=d;e", "quote'\"quote", "日本語 é 😀", "new\nline", "back\\slash", "~"]
)
def test_a_pack_may_have_any_name(tmp_path: Path, name: str) -> None:
    assert rows_of(write(tmp_path / name)) == SHARDS
    with LmdbStore(str(tmp_path / name)) as store:
        assert list(store.problems()) == []


def test_a_pack_may_have_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    assert rows_of(write(tmp_path / os.fsdecode(b"latin-\xe9.dprompt"))) == SHARDS


def test_the_name_in_errors_is_the_path(pack: Path) -> None:
    with LmdbStore(str(pack)) as store:
        assert store.name == str(pack)
        assert store.size_bytes() == pack.stat().st_size


@pytest.mark.parametrize("name", ["a.sqlite", "a.dprompt", "a.txt", "noext"])
@pytest.mark.parametrize("engine", ["lmdb", "sqlite"])
def test_the_engine_is_known_by_its_first_bytes_and_not_by_the_name(tmp_path: Path, name: str, engine: str) -> None:
    (tmp_path / "in").write_text("to be or not to be")
    dp.pack(tmp_path / "in", tmp_path / name, store=engine)
    with dp.FileBackend(tmp_path / name) as backend:
        assert backend.pack.store.engine == engine
        assert str(dp.DistributedPrompt(backend)) == "to be or not to be"


@pytest.mark.parametrize("rows", ["none", "plain", "named", "duplicates"])
def test_an_lmdb_file_of_another_program_is_no_pack(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "file"
    with edited(path) as (opened, transaction):
        if rows == "plain":
            transaction.put(b"key", b"value")
        if rows == "named":
            transaction.put(b"key", b"value", db=opened.open_db(b"shards", txn=transaction))
        if rows == "duplicates":
            transaction.put(b"key", b"value", db=opened.open_db(b"names", txn=transaction, dupsort=True))
    for use in (LmdbStore, open_store, dp.open):
        with pytest.raises(NotAPackError, match=re.escape(str(path))):
            use(str(path))


def test_a_file_of_lmdb_1_0_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with (
        lmdb.open(str(path), subdir=False, lock=False, lib_version=1) as opened,
        opened.begin(write=True) as transaction,
    ):
        transaction.put(b"key", b"value")
    with pytest.raises(UnsupportedPackError, match=re.escape(str(path))):
        dp.open(path)


@pytest.mark.parametrize("change", [-PAGE, -1, 1, PAGE])
def test_a_pack_of_another_size_than_its_header_says_is_refused(pack: Path, change: int) -> None:
    os.truncate(pack, pack.stat().st_size + change)
    with pytest.raises(CorruptPackError, match=rf"{re.escape(str(pack))}.*truncated"):
        LmdbStore(str(pack))


def test_a_file_that_is_not_there_or_is_a_folder_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(PackReadError, match=re.escape(str(path))):
            LmdbStore(str(path))


@pytest.mark.parametrize("table", ["extra", "shard", "SHARDS", "日本語", "x" * 500])
def test_a_pack_with_an_unknown_table_is_refused(tmp_path: Path, table: str) -> None:
    (tmp_path / "in.txt").write_text("to be or not to be")
    pack = tmp_path / "real.dprompt"
    dp.pack(tmp_path / "in.txt", pack, store="lmdb")
    with edited(pack) as (opened, transaction):
        opened.open_db(table.encode(), txn=transaction)
    with pytest.raises(CorruptPackError, match=f"{re.escape(str(pack))}: table '{table}'"):
        LmdbStore(str(pack))


def test_a_pack_with_a_table_whose_name_is_no_text_is_refused(pack: Path) -> None:
    with edited(pack) as (opened, transaction):
        opened.open_db(b"\xff\xfe", txn=transaction)
    with pytest.raises(CorruptPackError, match=re.escape(str(pack))):
        LmdbStore(str(pack))


@pytest.mark.parametrize("table", ["shards", "directory"])
def test_a_pack_without_a_table_is_refused(pack: Path, table: str) -> None:
    with edited(pack) as (opened, transaction):
        transaction.drop(opened.open_db(table.encode(), txn=transaction))
    with pytest.raises(CorruptPackError, match=f"{re.escape(str(pack))}: table '{table}'"):
        LmdbStore(str(pack))


@pytest.mark.parametrize("table", ["documents", "ngrams"])
def test_a_table_that_may_be_missing_has_no_rows(pack: Path, table: str) -> None:
    with edited(pack) as (opened, transaction):
        transaction.drop(opened.open_db(table.encode(), txn=transaction))
    with LmdbStore(str(pack)) as store:
        assert list(store.keys(Table(table))) == []
        assert store.get(Table(table), 0) is None
        assert store.get_range(Table(table), 0, 9) == []


def test_a_plain_row_among_the_tables_is_damage(pack: Path) -> None:
    with edited(pack) as (_, transaction):
        transaction.put(b"key", b"value")
    with pytest.raises(CorruptPackError, match=re.escape(str(pack))):
        LmdbStore(str(pack))


@pytest.mark.parametrize("flags", [{"dupsort": True}, {"reverse_key": True}, {"integerkey": True}])
def test_a_table_of_other_flags_is_refused(pack: Path, flags: dict[str, bool]) -> None:
    with edited(pack) as (opened, transaction):
        transaction.drop(opened.open_db(b"shards", txn=transaction))
    with edited(pack) as (opened, transaction):
        database = opened.open_db(b"shards", txn=transaction, **flags)
        for key in range(5):
            transaction.put(key.to_bytes(8, "big"), b"value", db=database)
    with pytest.raises(CorruptPackError, match=rf"{re.escape(str(pack))}.*flags"):
        LmdbStore(str(pack))


@pytest.mark.parametrize("key", [b"\x00", bytes(7), bytes(9), b"k" * 511])
def test_a_key_of_another_length_is_damage(pack: Path, key: bytes) -> None:
    with edited(pack) as (opened, transaction):
        transaction.put(key, b"value", db=opened.open_db(b"directory", txn=transaction))
    with LmdbStore(str(pack)) as store:
        with pytest.raises(CorruptPackError, match=f"{re.escape(str(pack))}: directory: a key of {len(key)} bytes"):
            list(store.keys(Table.DIRECTORY))
        assert store.get(Table.DIRECTORY, 5 << 32) == b"root"
        assert store.get_range(Table.DIRECTORY, 5 << 32, 6 << 32) == [(5 << 32, b"root")]
        assert dict(store.get_range(Table.SHARDS, 0, 60)) == SHARDS


@pytest.mark.parametrize(("name", "value"), [(b"length", b"\xff"), (b"length", b"\xed\xa0\x80"), (b"\xff", b"1")])
def test_metadata_that_is_no_text_is_damage(pack: Path, name: bytes, value: bytes) -> None:
    with edited(pack) as (opened, transaction):
        transaction.put(name, value, db=opened.open_db(b"metadata", txn=transaction))
    with LmdbStore(str(pack)) as store, pytest.raises(CorruptPackError, match=f"{re.escape(str(pack))}: metadata"):
        store.metadata()


def test_a_damaged_tree_is_reported_and_its_rows_are_errors(pack: Path) -> None:
    patch(pack, root_of(pack, "shards") * PAGE, bytes(PAGE))
    with LmdbStore(str(pack)) as store:
        assert any("page" in problem for problem in store.problems())
        assert all(problem.startswith(f"{pack}: ") for problem in store.problems())
        with pytest.raises(CorruptPackError, match=f"{re.escape(str(pack))}: shards: row 0: page"):
            store.get(Table.SHARDS, 0)
        with pytest.raises(CorruptPackError, match=f"{re.escape(str(pack))}: shards: rows 0 to 8: page"):
            store.get_range(Table.SHARDS, 0, 9)
        with pytest.raises(CorruptPackError, match=f"{re.escape(str(pack))}: shards: page"):
            list(store.keys(Table.SHARDS))
        assert store.metadata() == METADATA


@pytest.mark.parametrize("key", [-1, 2**63 - 1, -(2**63)])
def test_keys_at_the_ends_of_the_range_are_missing(pack: Path, key: int) -> None:
    with LmdbStore(str(pack)) as store:
        assert store.get(Table.SHARDS, key) is None


def test_ranges_may_begin_and_end_beyond_all_keys(pack: Path) -> None:
    with LmdbStore(str(pack)) as store:
        for start, stop in ((-1, 60), (-(2**63), 2**63 - 1), (0, 2**63)):
            assert dict(store.get_range(Table.SHARDS, start, stop)) == SHARDS


def test_an_open_pack_outlives_its_name(pack: Path) -> None:
    with LmdbStore(str(pack)) as store:
        pack.unlink()
        assert dict(store.get_range(Table.SHARDS, 0, 60)) == SHARDS
        assert list(store.problems()) == []


def test_an_open_pack_that_was_replaced_is_still_the_old_one(pack: Path) -> None:
    with LmdbStore(str(pack)) as store:
        write(pack.with_name("new"), SECOND_SHARDS).replace(pack)
        assert dict(store.get_range(Table.SHARDS, 0, 60)) == SHARDS
        patch(pack, root_of(pack, "shards") * PAGE, bytes(PAGE))
        assert list(store.problems()) == []
        with LmdbStore(str(pack)) as other:
            assert list(other.problems())


def test_a_pack_is_opened_many_times_at_once(pack: Path) -> None:
    stores = [LmdbStore(str(pack)) for _ in range(100)]
    assert open_files(pack) == 100
    for store in stores[::2]:
        store.close()
    assert all(dict(store.get_range(Table.SHARDS, 0, 60)) == SHARDS for store in stores[1::2])
    with ThreadPoolExecutor(8) as pool:
        assert all(rows == SHARDS for rows in pool.map(lambda _: rows_of(pack), range(200)))
        assert all(found == [] for found in pool.map(lambda store: list(store.problems()), stores[1:17:2]))
    for store in stores:
        store.close()
    assert open_files(pack) == 0


def test_threads_that_read_while_the_pack_is_replaced_all_go_on_with_the_old_one(pack: Path) -> None:
    wrong: list[object] = []
    with LmdbStore(str(pack)) as store:
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
import os, sys, threading
from distributed_prompt.store.base import Table
from distributed_prompt.store.lmdb_store import LmdbStore

def rows(store):
    return store.get_range(Table.SHARDS, 0, 60)

with LmdbStore(sys.argv[1]) as store:
    expected = rows(store)
    os.replace(sys.argv[2], sys.argv[1])
    unread = LmdbStore(sys.argv[1])
    children = []
    for number in range(4):
        child = os.fork()
        if not child:
            status = 1
            try:
                right = all(rows(store) == expected for _ in range(20)) and not list(store.problems())
                right = right and rows(unread) != expected and len(rows(unread)) == len(expected)
                if number % 2:
                    store.close()
                    unread.close()
                status = 0 if right else 2
            finally:
                os._exit(status)
        children.append(child)
        assert rows(store) == expected
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert rows(store) == expected
    assert len(rows(unread)) == len(expected)
    assert list(store.problems()) == []
print("right")
"""


def test_a_forked_child_and_its_parent_both_read_the_old_pack_on(pack: Path) -> None:
    new = write(pack.with_name("new"), SECOND_SHARDS)
    command = [sys.executable, "-c", _FORKED, str(pack), str(new)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "right\n", "")


def test_a_store_keeps_no_file_open_after_it_is_closed(pack: Path) -> None:
    store = LmdbStore(str(pack))
    keys = store.keys(Table.SHARDS)
    next(keys)
    store.get(Table.SHARDS, 0)
    assert open_files(pack) == 1
    store.close()
    assert open_files(pack) == 0
    del keys


def test_opening_and_closing_a_thousand_times_leaves_no_file_open(pack: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # a count
    for _ in range(1_000):
        store = LmdbStore(str(pack))
        store.get(Table.SHARDS, 1)
        store.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  # as above


def test_a_store_that_is_forgotten_leaves_no_file_open(pack: Path) -> None:
    store = LmdbStore(str(pack))
    store.get(Table.SHARDS, 1)
    del store
    assert open_files(pack) == 0


@pytest.mark.parametrize("use", USES)
def test_a_store_that_was_used_and_closed_says_so(pack: Path, use: str) -> None:
    """Whatever of it is still in memory."""
    store = LmdbStore(str(pack))
    USES[use](store)
    store.close()
    with pytest.raises(ClosedError, match=re.escape(str(pack))):
        USES[use](store)


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(lambda pack: patch(pack, 16, bytes(4)), id="magic"),
        pytest.param(lambda pack: patch(pack, 20, b"\x02"), id="version"),
        pytest.param(lambda pack: patch(pack, PAGE, bytes(PAGE)), id="second-meta-page"),
        pytest.param(lambda pack: patch(pack, 2 * PAGE, bytes(pack.stat().st_size - 2 * PAGE)), id="all-pages"),
        pytest.param(lambda pack: os.truncate(pack, 100), id="truncated"),
        pytest.param(lambda pack: os.truncate(pack, 0), id="empty"),
    ],
)
def test_a_pack_that_is_refused_is_not_held_open(pack: Path, refused: Callable[[Path], None]) -> None:
    refused(pack)
    with pytest.raises(DPromptError, match=re.escape(str(pack))):
        LmdbStore(str(pack))
    assert open_files(pack) == 0


@pytest.mark.parametrize("pages", [0, 1, 2, 3, 10])
def test_a_pack_that_is_cut_short_while_it_is_open_gives_right_rows_or_errors_of_ours(pack: Path, pages: int) -> None:
    with LmdbStore(str(pack)) as store:
        os.truncate(pack, pages * PAGE + 50)
        errors = 0
        for key, value in SHARDS.items():
            try:
                assert store.get(Table.SHARDS, key) == value
            except CorruptPackError as error:
                assert str(pack) in str(error)  # noqa: PT017  # either is right
                errors += 1
        assert errors > 30
        with pytest.raises(CorruptPackError, match=re.escape(str(pack))):
            store.get_range(Table.SHARDS, 0, 60)
        assert list(store.problems())
        assert all(problem.startswith(f"{pack}: ") for problem in store.problems())


def test_readers_of_a_pack_that_is_cut_short_under_them_live_on(tmp_path: Path) -> None:
    """LMDB's own mapping would end the process here."""
    (tmp_path / "in.txt").write_text(noise(400_000).hex(), encoding="ascii")
    dp.pack(tmp_path / "in.txt", tmp_path / "pack", store="lmdb", shard_size=1_000)
    with dp.FileBackend(tmp_path / "pack") as backend, dp.DistributedPrompt(backend, cache_bytes=1) as prompt:
        size = (tmp_path / "pack").stat().st_size
        errors = 0
        for percent in range(99, 0, -7):
            os.truncate(tmp_path / "pack", size * percent // 100)
            try:
                assert prompt.find("nothing at all") == -1
            except CorruptPackError as error:
                assert str(tmp_path / "pack") in str(error)  # noqa: PT017  # either is right
                errors += 1
            assert list(dp.verify(backend))
        assert errors > 10


def test_a_copy_of_a_pack_is_a_pack(pack: Path) -> None:
    assert rows_of(Path(shutil.copyfile(pack, pack.with_name("copy")))) == SHARDS


def test_a_pack_cannot_be_written_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=re.escape(str(tmp_path / "no"))):
        LmdbWriter(str(tmp_path / "no" / "pack"), str(tmp_path / "no" / "pack"))


@pytest.mark.parametrize("key", [5, 4, 0])
def test_a_key_that_does_not_ascend_is_an_error(tmp_path: Path, key: int) -> None:
    """LMDB says so in what it returns; a row that is left out in silence would be lost."""
    writer = LmdbWriter(str(tmp_path / "pack"), "called so")
    writer.put(Table.SHARDS, 0, b"")
    writer.put(Table.SHARDS, 5, b"five")
    with pytest.raises(OutputError, match="called so"):
        writer.put(Table.SHARDS, key, b"again")
    writer.abort()


@pytest.mark.parametrize("rows", [0, 3, 40])
def test_a_writer_that_aborts_leaves_no_file_open(tmp_path: Path, rows: int) -> None:
    writer = LmdbWriter(str(tmp_path / "pack"), "pack")
    for key in range(rows):
        writer.put(Table.SHARDS, key, noise(2**20, seed=key))
    writer.abort()
    assert open_files(tmp_path / "pack") == 0
    assert names(tmp_path) == ["pack"]


def test_a_pack_of_many_commits_and_a_mapping_that_grew_is_sound(tmp_path: Path) -> None:
    rows = {key: noise(2**19 + key, seed=key) for key in range(140)}
    path = write(tmp_path / "pack", rows)
    size = path.stat().st_size
    assert sum(map(len, rows.values())) < size < 1.02 * sum(map(len, rows.values())) + 20 * PAGE
    assert size % PAGE == 0
    assert verify(str(path), subdir=False) == []  # type: ignore[no-untyped-call]
    with environment(path) as opened:
        assert size == (opened.info()["last_pgno"] + 1) * opened.stat()["psize"]
        assert opened.info()["last_txnid"] > 6
    with LmdbStore(str(path)) as store:
        assert all(store.get(Table.SHARDS, key) == value for key, value in rows.items())


def test_a_pack_of_many_small_rows_is_sound(tmp_path: Path) -> None:
    rows = {key: noise(key % 70, seed=key) for key in range(20_000)}
    path = write(tmp_path / "pack", rows)
    assert verify(str(path), subdir=False) == []  # type: ignore[no-untyped-call]
    assert rows_of(path) == rows


_WRITES = """
import sys
from pathlib import Path
junk = [bytes([number % 256]) * (number * 37 % 9_000) for number in range(int(sys.argv[2]))]
del junk[::2]
from tests.store.test_lmdb_store import write
from tests.contracts.store_contract import noise
write(Path(sys.argv[1]), {key: noise(key * 311 % 9_000, seed=key) for key in range(700)})
"""


def test_equal_calls_in_other_processes_make_equal_files(tmp_path: Path) -> None:
    """Nothing of a process's memory, its addresses or its past is in the file."""
    images = []
    for number, junk in enumerate((0, 3_000, 20_000)):
        path = tmp_path / str(number) / "pack"
        path.parent.mkdir()
        subprocess.run([sys.executable, "-c", _WRITES, str(path), str(junk)], check=True, timeout=60)
        images.append(path.read_bytes())
        assert names(path.parent) == ["pack"]
    assert images[0] == images[1] == images[2]


def test_packing_twice_makes_equal_files_and_leaves_nothing_beside_them(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("".join(f"line {number}\n" for number in range(50_000)))
    for name in ("a", "b"):
        dp.pack(tmp_path / "in.txt", tmp_path / name, store="lmdb", shard_size=3_000)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert names(tmp_path) == ["a", "b", "in.txt"]
    with environment(tmp_path / "a") as opened:
        assert (tmp_path / "a").stat().st_size == (opened.info()["last_pgno"] + 1) * opened.stat()["psize"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or umount is None:
        pytest.skip("only root can mount a small disk")
    command = [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mount: {done.stderr.strip()}")
    yield folder
    subprocess.run([umount, str(folder)], check=True)


@pytest.mark.parametrize("size", [1_000, 30_000, 2**20])
def test_a_full_disk_is_a_clear_error(small_disk: Path, size: int) -> None:
    writer = LmdbWriter(str(small_disk / "pack"), "called so")

    def fill() -> None:
        for key in range(40 * 2**20 // size):
            writer.put(Table.SHARDS, key, noise(size))
        writer.put_metadata(METADATA)
        writer.finish()

    with pytest.raises(OutputError, match="called so: the disk is full"):
        fill()
    writer.abort()
    assert names(small_disk) == ["pack"]
    assert open_files(small_disk / "pack") == 0


def test_a_disk_that_is_full_at_the_end_is_a_clear_error(small_disk: Path) -> None:
    writer = LmdbWriter(str(small_disk / "pack"), "called so")
    for key in range(3):
        writer.put(Table.SHARDS, key, noise(2**20))
    with pytest.raises(OutputError, match="called so: the disk is full"):
        writer.finish()
    writer.abort()
    assert open_files(small_disk / "pack") == 0


@pytest.mark.parametrize("megabytes", [8, 40])
def test_packing_onto_a_full_disk_leaves_nothing_behind(tmp_path: Path, small_disk: Path, megabytes: int) -> None:
    (tmp_path / "in.txt").write_text(noise(megabytes * 2**19).hex(), encoding="ascii")
    with pytest.raises(OutputError, match=rf"{re.escape(str(small_disk / 'out'))}.*: the disk is full"):
        dp.pack(tmp_path / "in.txt", small_disk / "out", store="lmdb")
    assert names(small_disk) == []
    dp.pack(tmp_path / "in.txt", tmp_path / "out", store="lmdb")
    assert list(dp.verify(tmp_path / "out")) == []


def test_a_disk_that_is_full_from_the_beginning_is_a_clear_error(small_disk: Path) -> None:
    (small_disk / "pack").touch()
    with (small_disk / "filler").open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, os.statvfs(small_disk).f_bavail * PAGE)
    with pytest.raises(OutputError, match="called so: the disk is full"):
        LmdbWriter(str(small_disk / "pack"), "called so")
    assert open_files(small_disk / "pack") == 0
