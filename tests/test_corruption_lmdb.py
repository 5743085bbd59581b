"""Damaged packs in LMDB: the right text or an error of ours, and ``verify`` says what any read would."""

import random
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import lmdb
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
    problems,
    renew,
    sound_documents,
    sound_text,
)

SHARD_SIZE = 6_000  # of which some blobs fit into a leaf and some do not
META_BYTES = 152
BRANCH, LEAF, OVERFLOW = 1, 2, 4
BIG, TREE = 1, 2
FREE_ROOT, MAIN_ROOT, TRANSACTION = 80, 128, 144


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> SoundText:
    return sound_text(tmp_path_factory.mktemp("sound"), "lmdb", SHARD_SIZE)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> SoundDocuments:
    return sound_documents(tmp_path_factory.mktemp("many"), "lmdb")


@contextmanager
def edited(path: Path) -> Iterator[tuple[lmdb.Environment, lmdb.Transaction]]:
    """A file to be changed by LMDB itself."""
    with lmdb.open(str(path), subdir=False, lock=False, max_dbs=9, map_size=2**26, lib_version=0) as environment:
        with environment.begin(write=True) as transaction:
            yield environment, transaction
        size = (environment.info()["last_pgno"] + 1) * PAGE
    with path.open("r+b") as file:
        file.truncate(size)


def rows_of(path: Path, table: str) -> dict[bytes, bytes]:
    with (
        lmdb.open(str(path), subdir=False, lock=False, readonly=True, max_dbs=9, lib_version=0) as environment,
        environment.begin() as transaction,
    ):
        database = environment.open_db(table.encode(), txn=transaction, create=False)
        return {bytes(key): bytes(value) for key, value in transaction.cursor(database)}


class Node(NamedTuple):
    """A row or a child: where it begins in the file, and what it says."""

    at: int
    flags: int
    key: bytes
    size: int

    @property
    def value_at(self) -> int:
        return self.at + 8 + len(self.key)


class LmdbPage(NamedTuple):
    """A page that something lies in; ``pages`` is how many it takes."""

    number: int
    kind: int
    pages: int
    nodes: list[Node]


def walk(data: bytes) -> Iterator[LmdbPage]:
    """All pages of all trees of a sound file, by LMDB's documentation and not by the code under test."""
    current = max((0, 1), key=lambda page: struct.unpack_from("<Q", data, page * PAGE + TRANSACTION))
    roots = [struct.unpack_from("<Q", data, current * PAGE + at)[0] for at in (FREE_ROOT, MAIN_ROOT)]
    pending = [root for root in roots if root != 2**64 - 1]
    while pending:
        number = pending.pop()
        start = number * PAGE
        kind, lower = struct.unpack_from("<HH", data, start + 10)
        if kind == OVERFLOW:
            yield LmdbPage(number, kind, struct.unpack_from("<I", data, start + 12)[0], [])
            continue
        nodes = []
        for place in struct.unpack_from(f"<{(lower - 16) // 2}H", data, start + 16):
            at = start + place
            low, high, flags, key_bytes = struct.unpack_from("<4H", data, at)
            node = Node(at, flags, data[at + 8 : at + 8 + key_bytes], low | high << 16)
            nodes.append(node)
            if kind == BRANCH:
                pending.append(low | high << 16 | flags << 32)
            elif flags == BIG:
                pending += struct.unpack_from("<Q", data, node.value_at)
            elif flags == TREE:
                pending += [r for r in struct.unpack_from("<Q", data, node.value_at + 40) if r != 2**64 - 1]
        yield LmdbPage(number, kind, 1, nodes)


class TestDamagedLmdbPacks(DamageContract):
    engine = "lmdb"

    def rows(self, path: Path, table: str) -> dict[int, bytes]:
        return {int.from_bytes(key, "big"): value for key, value in rows_of(path, table).items()}

    def change_rows(self, path: Path, table: str, changes: Changes) -> None:
        with edited(path) as (environment, transaction):
            database = environment.open_db(table.encode(), txn=transaction)
            for key, value in changes.items():
                if value is None:
                    transaction.delete(key.to_bytes(8, "big"), db=database)
                else:
                    transaction.put(key.to_bytes(8, "big"), value, db=database)

    def metadata(self, path: Path) -> dict[str, str]:
        return {key.decode(): value.decode() for key, value in rows_of(path, "metadata").items()}

    def write_metadata(self, path: Path, rows: Mapping[str, str]) -> None:
        with edited(path) as (environment, transaction):
            database = environment.open_db(b"metadata", txn=transaction)
            transaction.drop(database, delete=False)
            for name, value in rows.items():
                transaction.put(name.encode(), value.encode(), db=database)

    def structural_bytes(self, data: bytes) -> list[int]:
        """Both meta pages' records, page headers, row pointers, rows' heads, keys, and numbers of overflow pages."""
        found = {page * PAGE + byte for page in (0, 1) for byte in range(META_BYTES)}
        for page in walk(data):
            start = page.number * PAGE
            found.update(range(start, start + 16 + 2 * len(page.nodes)))
            for node in page.nodes:
                more = {BIG: 8, TREE: 48}.get(node.flags, 0) if page.kind == LEAF else 0
                found.update(range(node.at, node.value_at + more))
        return sorted(found)

    def used_pages(self, data: bytes) -> list[int]:
        return sorted({0, 1} | {page.number + more for page in walk(data) for more in range(page.pages)})

    def test_the_sound_pack_has_pages_of_every_kind(self, sound: SoundText) -> None:
        kinds = [page.kind for page in walk(sound.data)]
        assert set(kinds) == {BRANCH, LEAF, OVERFLOW}
        assert min(kinds.count(LEAF), kinds.count(OVERFLOW)) > 5
        assert len(self.used_pages(sound.data)) > len(sound.data) // PAGE - 6

    @pytest.mark.parametrize("table", TABLES)
    @pytest.mark.parametrize("key", [b"\x00", b"\x00" * 7, b"\x00" * 9, b"\xff" * 8, b"k" * 511])
    def test_a_row_of_an_unusual_key_is_reported(self, sound: SoundText, copy: Path, table: str, key: bytes) -> None:
        with edited(copy) as (environment, transaction):
            transaction.put(key, b"value", db=environment.open_db(table.encode(), txn=transaction))
        check_noticed(sound, copy, table)

    @pytest.mark.parametrize(("name", "value"), [(b"length", b"\xff"), (b"\xff", b"1"), (b"length", b"\xed\xa0\x80")])
    def test_metadata_that_is_no_text_is_refused(self, sound: SoundText, copy: Path, name: bytes, value: bytes) -> None:
        with edited(copy) as (environment, transaction):
            transaction.put(name, value, db=environment.open_db(b"metadata", txn=transaction))
        report = check(sound, copy)
        assert isinstance(report.refused, CorruptPackError)
        assert "metadata" in str(report.refused)

    @pytest.mark.parametrize("table", ["shards", "directory", "documents", "metadata"])
    def test_a_table_that_is_gone_is_refused_or_reported(self, sound: SoundText, copy: Path, table: str) -> None:
        with edited(copy) as (environment, transaction):
            transaction.drop(environment.open_db(table.encode(), txn=transaction))
        report = check(sound, copy)
        if table == "documents":
            assert any("documents: batch 0: missing" in line for line in report.problems)
        else:
            expected = NotAPackError if table == "metadata" else CorruptPackError
            assert isinstance(report.refused, expected)

    def test_a_table_that_comes_with_a_feature_of_the_future_is_no_damage(self, copy: Path) -> None:
        with edited(copy) as (environment, transaction):
            environment.open_db(b"images", txn=transaction)
        with pytest.raises(CorruptPackError, match="table 'images'"):
            dp.open(copy)
        self.rewrite_metadata(copy, features="documents images")
        with pytest.raises(UnsupportedPackError, match="feature 'images'"):
            dp.open(copy)

    @pytest.mark.parametrize("change", ["nothing", "empty", "plain rows", "named", "named with duplicates", "mixed"])
    def test_an_lmdb_file_of_another_program_is_no_pack(self, sound: SoundText, tmp_path: Path, change: str) -> None:
        path = tmp_path / "environment"
        with edited(path) as (environment, transaction):
            if change in {"plain rows", "mixed"}:
                transaction.put(b"key", b"value")
            if change in {"named", "mixed"}:
                transaction.put(b"key", b"value", db=environment.open_db(b"table", txn=transaction))
            if change == "named with duplicates":
                transaction.put(b"key", b"value", db=environment.open_db(b"table", txn=transaction, dupsort=True))
            if change == "empty":
                transaction.put(b"key", b"value")
                transaction.delete(b"key")
        assert isinstance(check(sound, path).refused, NotAPackError)

    def test_noise_under_right_meta_pages_is_refused(self, sound: SoundText, tmp_path: Path) -> None:
        path = tmp_path / "noise.dprompt"
        for seed in range(20):
            noise = random.Random(seed).randbytes(len(sound.data) - 2 * PAGE)  # noqa: S311  # the same every time
            renew(path, sound.data[: 2 * PAGE] + noise)
            assert isinstance(check(sound, path).refused, CorruptPackError)

    def test_noise_under_right_page_headers_never_gives_wrong_text(self, sound: SoundText, tmp_path: Path) -> None:
        path = tmp_path / "noise.dprompt"
        pages = list(walk(sound.data))
        for seed in range(60):
            chance = random.Random(SEED + seed)  # noqa: S311  # the same every time
            data = bytearray(sound.data)
            page = pages[seed % len(pages)]
            start = page.number * PAGE + 16 + (2 * len(page.nodes) if seed % 2 else 0)
            data[start : (page.number + 1) * PAGE] = chance.randbytes((page.number + 1) * PAGE - start)
            renew(path, bytes(data))
            report = check(sound, path)
            assert report.refused or report.problems, f"seed {seed}, page {page.number}"

    def test_every_node_that_leads_elsewhere_never_gives_wrong_text(self, sound: SoundText, tmp_path: Path) -> None:
        """Each child and each overflow page, led to another page of the same file, in turn."""
        path = tmp_path / "led.dprompt"
        used = self.used_pages(sound.data)
        chance = random.Random(SEED)  # noqa: S311  # the same every time
        for page in walk(sound.data):
            for node in page.nodes:
                number = chance.choice([0, 1, len(sound.data) // PAGE, 2**32 - 1, page.number, *chance.sample(used, 5)])
                data = bytearray(sound.data)
                if page.kind == BRANCH:
                    struct.pack_into("<I", data, node.at, number)
                elif node.flags in {BIG, TREE}:
                    struct.pack_into("<Q", data, node.value_at + (40 if node.flags == TREE else 0), number)
                else:
                    continue
                renew(path, bytes(data))
                report = check(sound, path)
                changed = bytes(data) != sound.data
                assert bool(report.refused or report.problems) == changed, f"page {page.number}, {node}, to {number}"

    @pytest.mark.parametrize("depth", [0, 1, 2, 3, 31, 32, 33, 65_535])
    @pytest.mark.parametrize("table", ["main", *TABLES, "metadata"])
    def test_a_depth_that_lies_never_gives_wrong_text(
        self, sound: SoundText, tmp_path: Path, table: str, depth: int
    ) -> None:
        records = {
            node.key.decode(): node.value_at for page in walk(sound.data) for node in page.nodes if node.flags == TREE
        }
        current = max((0, 1), key=lambda page: struct.unpack_from("<Q", sound.data, page * PAGE + TRANSACTION))
        at = 6 + (current * PAGE + MAIN_ROOT - 40 if table == "main" else records[table])
        data = bytearray(sound.data)
        (found,) = struct.unpack_from("<H", data, at)
        struct.pack_into("<H", data, at, depth)
        renew(tmp_path / "depth.dprompt", bytes(data))
        report = check(sound, tmp_path / "depth.dprompt")
        assert report.is_clean == (found == depth)

    def test_the_older_meta_page_never_gives_another_text(self, sound: SoundText, tmp_path: Path) -> None:
        """Whatever transaction it claims: it is from before the rows were written."""
        path = tmp_path / "older.dprompt"
        older = min((0, 1), key=lambda page: struct.unpack_from("<Q", sound.data, page * PAGE + TRANSACTION))
        for transaction in (6, 7, 2**32, 2**64 - 1):
            data = bytearray(sound.data)
            struct.pack_into("<Q", data, older * PAGE + TRANSACTION, transaction)
            renew(path, bytes(data))
            assert check(sound, path).refused, transaction

    def test_swapped_meta_pages_are_refused(self, sound: SoundText, copy: Path) -> None:
        renew(copy, sound.data[PAGE : 2 * PAGE] + sound.data[:PAGE] + sound.data[2 * PAGE :])
        assert isinstance(check(sound, copy).refused, CorruptPackError)

    @pytest.mark.timeout(5)
    def test_pages_that_lead_twice_to_the_next_end_in_time(self, sound: SoundText, copy: Path) -> None:
        """Thirty of them: a billion ways to one leaf. Forgery, but whoever opens the file must not wait for ever."""
        record = next(n.value_at for p in walk(sound.data) for n in p.nodes if n.key == b"documents")
        data, first, depth = bytearray(sound.data), len(sound.data) // PAGE, 31
        for number in range(first, first + depth - 1):
            data += branch(number, [number + 1, number + 1])
        data += sound.data[leaf_of(sound.data, record) :][:PAGE]
        struct.pack_into("<Q", data, len(data) - PAGE, first + depth - 1)
        struct.pack_into("<H", data, record + 6, depth)
        struct.pack_into("<Q", data, record + 40, first)
        for page in (0, 1):
            struct.pack_into("<Q", data, page * PAGE + TRANSACTION - 8, first + depth - 1)
        renew(copy, bytes(data))
        assert problems(copy)

    @pytest.mark.timeout(20)
    def test_trees_within_trees_end_in_errors_of_ours(self, sound: SoundText, copy: Path) -> None:
        """Two thousand of them. LMDB makes no such file, and its check recurses."""
        record = next(n.value_at for p in walk(sound.data) for n in p.nodes if n.key == b"documents")
        data, first, count = bytearray(sound.data), len(sound.data) // PAGE, 2_000
        for number in range(first, first + count):
            child = struct.pack("<IHHQQQQQ", 0, 0, 1, 0, 1, 0, 1, min(number + 1, first + count - 1))
            data += leaf(number, [(bytes(8), TREE, child)])
        struct.pack_into("<H", data, record + 6, 1)
        struct.pack_into("<Q", data, record + 40, first)
        for page in (0, 1):
            struct.pack_into("<Q", data, page * PAGE + TRANSACTION - 8, first + count - 1)
        renew(copy, bytes(data))
        report = check(sound, copy)
        assert report.problems
        assert report.read_errors


def leaf_of(data: bytes, record: int) -> int:
    """Where a tree's root begins, given its record."""
    return int(struct.unpack_from("<Q", data, record + 40)[0]) * PAGE


def branch(number: int, children: list[int]) -> bytes:
    nodes = [
        struct.pack("<HHHH", child & 0xFFFF, child >> 16, 0, 8 * bool(index)) + bytes(8) * bool(index)
        for index, child in enumerate(children)
    ]
    return page(number, BRANCH, nodes)


def leaf(number: int, rows: list[tuple[bytes, int, bytes]]) -> bytes:
    nodes = [
        struct.pack("<HHHH", len(value) & 0xFFFF, len(value) >> 16, flags, len(key)) + key + value
        for key, flags, value in rows
    ]
    return page(number, LEAF, nodes)


def page(number: int, kind: int, nodes: list[bytes]) -> bytes:
    """A page of nodes, laid out as LMDB does: pointers from the front, nodes from the back."""
    lower, upper, pointers, body = 16 + 2 * len(nodes), PAGE, b"", b""
    for node in nodes:
        body = node + bytes(len(node) % 2) + body
        upper = PAGE - len(body)
        pointers += struct.pack("<H", upper)
    head = struct.pack("<QHHHH", number, 0, kind, lower, upper) + pointers
    return head + bytes(upper - lower) + body
