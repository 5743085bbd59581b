"""Packs made to harm who reads them, every checksum and digest right: an error of ours or right behaviour, soon."""

import fcntl
import hashlib
import json
import os
import pty
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import termios
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import lmdb
import pytest
import zstandard

import distributed_prompt as dp
from distributed_prompt import re as prompt_re
from distributed_prompt.errors import CorruptPackError, DPromptError, NotAPackError, OutputError
from distributed_prompt.store import codec
from distributed_prompt.store.base import Place, StoreWriter, Table
from distributed_prompt.store.documents import Document
from distributed_prompt.store.engines import ENGINES, create_store
from distributed_prompt.store.ngrams import GROUPS
from distributed_prompt.store.pack_writer import EncodedShard, PackWriter, describe_shard, encode_shard
from distributed_prompt.store.places import create_places
from distributed_prompt.store.sqlite_tree import varint
from distributed_prompt.text import grams
from tests.damage import PAGE, metadata_checksum

SIZE = 100
TEXT = "".join(f"{number:04} a line of text\n" for number in range(12))
MAGIC = b"\x28\xb5\x2f\xfd"
ROOT = Path(__file__).parent.parent
Rows = Mapping[tuple[Table, int], bytes]


class Forger(StoreWriter):
    """Writes what it is told instead of some rows and metadata, whose checksum it makes right again."""

    def __init__(self, inner: StoreWriter, metadata: Mapping[str, str], rows: Rows) -> None:
        self._inner = inner
        self._metadata = metadata
        self._rows = rows

    def put(self, table: Table, key: int, value: bytes) -> None:
        self._inner.put(table, key, self._rows.get((table, key), value))

    def put_metadata(self, values: Mapping[str, str]) -> None:
        rows = {**values, **self._metadata}
        self._inner.put_metadata(rows | {"checksum": metadata_checksum(rows)})

    def places(self, table: Table) -> Iterator[tuple[int, Place]]:
        return self._inner.places(table)

    def finish(self) -> None:
        self._inner.finish()

    def abort(self) -> None:
        self._inner.abort()


def document(name: str, start: int, stop: int, text: str = TEXT) -> Document:
    data = text[start:stop].encode() if 0 <= start <= stop else b""
    digest = hashlib.sha256(data).hexdigest()
    return Document(name, start, stop, "utf-8", "strict", "keep", len(data), digest, exact=True)


def forged(
    path: Path,
    *,
    engine: str = "sqlite",
    text: str = TEXT,
    documents: Iterable[Document] = (),
    blobs: Mapping[int, bytes] | None = None,
    metadata: Mapping[str, str] | None = None,
    rows: Rows | None = None,
) -> Path:
    """A pack as an attacker makes it: he has our source, so all sums are those of what he put in."""
    path.touch()
    store = Forger(create_store(engine, str(path), str(path)), metadata or {}, rows or {})
    writer = PackWriter(store, SIZE, 3)
    for each in documents:
        writer.documents.add(each)
    for shard, start in enumerate(range(0, len(text), SIZE)):
        part = text[start : start + SIZE]
        encoded = encode_shard(shard, len(part), part.encode(), 3)
        if blobs and shard in blobs:
            record = describe_shard(shard, len(part), part.encode(), blobs[shard])
            encoded = EncodedShard(len(part), blobs[shard], record, encoded.ends_line)
        writer.add(encoded)
    writer.finish()
    return path


def in_little(code: str, *arguments: object, megabytes: int = 300, seconds: float = 20) -> str:
    """What a process of its own prints, which may take so much memory and time beside what it maps."""
    lines = [
        "import resource, sys",
        f"resource.setrlimit(resource.RLIMIT_DATA, ({megabytes} << 20, {megabytes} << 20))",
        "import distributed_prompt as dp",
        "from distributed_prompt.errors import DPromptError",
        "from itertools import islice",
        textwrap.dedent(code),
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout


# What is read in every way; an error of ours is an answer, too.
READ = """
def told(path, read):
    try:
        return repr(read())[:100]
    except DPromptError as error:
        line = str(error)
        assert "\\n" not in line and line.startswith(path), line
        return "error: " + line

def reads(prompt, path):
    yield from (
        lambda: prompt[0], lambda: prompt[130:140], lambda: prompt[-1], lambda: prompt[95:105], lambda: len(prompt) > 0,
        lambda: prompt.find("no such text"), lambda: prompt.rfind("0003"), lambda: prompt.count("line"),
        lambda: prompt.line_at(50), lambda: prompt.documents.record("a"), lambda: list(islice(prompt.documents, 3)),
        lambda: prompt.document_at(3), lambda: list(islice(dp.verify(path), 20)),
    )

for path in sys.argv[1:]:
    try:
        prompt = dp.open(path)
    except DPromptError as error:
        print("refused:", error)
    else:
        with prompt:
            print(*(told(path, read) for read in reads(prompt, path)), sep=" | ")
"""


def read_all(paths: Iterable[Path], *, megabytes: int = 150, seconds: float = 30) -> dict[str, str]:
    """What reading each of some packs says, in one process, by the packs' names: a line each."""
    found = list(paths)
    said = in_little(READ, *found, megabytes=megabytes, seconds=seconds).splitlines()
    return {path.stem: line for path, line in zip(found, said, strict=True)}


def raw_frame(descriptor: int, header: bytes, blocks: Iterable[tuple[int, int, bytes]]) -> bytes:
    """A zstd frame by the format's documentation; blocks are of a kind, a size, and what they hold."""
    data = [MAGIC, bytes((descriptor,)), header]
    found = list(blocks)
    for number, (kind, size, held) in enumerate(found):
        is_last = number == len(found) - 1
        data += (struct.pack("<I", is_last | kind << 1 | size << 3)[:3], held)
    return b"".join(data)


RLE = 1
SOUND = codec.compress(TEXT[SIZE : 2 * SIZE].encode(), 3)
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
FRAMES = {
    "bomb that says so": raw_frame(0xE0, struct.pack("<Q", 2**30), [(RLE, 2**17, b"x")] * 2**13),
    "bomb that says it is small": raw_frame(0x20, bytes((SIZE,)), [(RLE, 2**17, b"x")] * 2**13),
    "claims all there is": raw_frame(0xE0, struct.pack("<Q", 2**64 - 3), [(RLE, 10, b"x")]),
    "claims petabytes": raw_frame(0xE0, struct.pack("<Q", 2**50), [(RLE, 10, b"x")]),
    "no size": zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * SIZE),
    "large window": raw_frame(0x00, bytes((0xA8,)), [(RLE, 10, b"x")]),
    "one byte too long for any text": codec.compress(b"x" * (4 * SIZE + 1), 3),
    "many frames": SOUND * 100,
    "two halves": codec.compress(b"x" * 50, 3) * 2,
    "skippable alone": SKIPPABLE,
    "skippable before": SKIPPABLE + SOUND,
    "skippable behind": SOUND + SKIPPABLE,
    "dictionary": raw_frame(0x21, b"\x07" + bytes((SIZE,)), [(RLE, SIZE, b"x")]),
    "reserved bit": raw_frame(0x28, bytes((SIZE,)), [(RLE, SIZE, b"x")]),
    "reserved block": raw_frame(0x20, bytes((SIZE,)), [(3, 5, b"xxxxx")]),
    "nothing": b"",
    "magic": MAGIC,
    "no zstd": b"\x1f\x8b" + bytes(100),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_no_frame_takes_more_memory_than_its_shard_may_have(tmp_path: Path, engine: str) -> None:
    for name, blob in FRAMES.items():
        path = forged(tmp_path / f"{name}.dprompt", engine=engine, blobs={1: blob}, documents=[document("a", 0, 50)])
        with dp.FileBackend(path) as backend, dp.DistributedPrompt(backend) as prompt:
            # One of nothing is found to be short only where it becomes characters.
            is_empty = name in {"skippable alone", "skippable before"}
            passes: list[Callable[[dp.DistributedPrompt], object]] = [
                lambda p: p[130:140],
                lambda p: p[95:105],
                *([] if is_empty else [lambda p: p.find("no such text"), lambda p: p.count("line")]),
            ]
            for read in passes:
                with pytest.raises(CorruptPackError, match=re.escape(f"{path}: shard 1: ")) as raised:
                    read(prompt)
                assert "\n" not in str(raised.value), name
            assert prompt[:SIZE] == TEXT[:SIZE]
            assert prompt[2 * SIZE :] == TEXT[2 * SIZE :]
            assert any(problem.startswith(f"{path}: shard 1: ") for problem in dp.verify(backend)), name


def test_bombs_take_neither_memory_nor_time(tmp_path: Path) -> None:
    names = ("bomb that says so", "bomb that says it is small", "claims all there is", "large window")
    blobs = {name: dict.fromkeys(range(3), FRAMES[name]) for name in names}
    paths = [forged(tmp_path / f"{name}.dprompt", blobs=blobs[name]) for name in names]
    for name, said in read_all(paths, megabytes=120).items():
        assert said.count("error: ") >= 6, (name, said)


COUNTS = ("documents", "lines", "newlines", "utf8_bytes", "level")
FEATURES = {"features": "document-index documents ngrams"}


@pytest.mark.parametrize("engine", ENGINES)
def test_counts_beyond_all_measure_are_answered_or_refused_in_little_memory(tmp_path: Path, engine: str) -> None:
    lies = [
        *({name: str(2**63 - 1)} for name in COUNTS),
        {"documents": str(2**63 - 1), "features": "document-index documents"},
        {name: str(2**63 - 1) for name in COUNTS},
        dict.fromkeys(COUNTS, "0"),
    ]
    paths = [
        forged(tmp_path / f"{number}.dprompt", engine=engine, metadata=lie, documents=[document("a", 0, 50)])
        for number, lie in enumerate(lies)
    ]
    for name, said in read_all(paths).items():
        assert repr(TEXT[130:140]) in said or said.startswith("refused: "), (lies[int(name)], said)


@pytest.mark.parametrize(
    "lies",
    [
        *({name: str(value)} for name in (*COUNTS, "length", "shards", "shard_size") for value in (2**63, 10**30, -1)),
        {"shard_size": "0"},
        {"shard_size": str(2**24 + 1)},
        {"shard_size": str(2**40), "shards": "1"},
        {"shards": str(2**63 - 1)},
        {"shards": "0"},
        {"length": str(2**63 - 1)},
        {"width": "3"},
        {"width": "-0"},
        {"length": "٣"},
        {"length": "1e3"},
        {"length": " 12"},
        {"utf8_bytes": "0"},
        {"utf8_bytes": str(len(TEXT) - 1)},
        {"utf8_bytes": str(4 * len(TEXT) + 1)},
        {"newlines": str(len(TEXT) + 1)},
        {"newlines": str(2**40), "lines": str(2**40)},
        {"lines": str(2**40)},
        {"lines": "0"},
        {"header": "[" * 100_000},
        {"header": "1" * 5_000},
        {"header": '{"name": 1}'},
    ],
    ids=lambda lies: ascii(lies)[:60],
)
def test_metadata_that_cannot_be_are_refused_under_a_right_checksum(tmp_path: Path, lies: dict[str, str]) -> None:
    path = forged(tmp_path / "lies.dprompt", metadata=lies)
    with pytest.raises(CorruptPackError, match=f"^{re.escape(str(path))}: metadata: .* cannot be$") as raised:
        dp.open(path)
    assert len(str(raised.value)) < len(str(path)) + 200


def test_shards_of_another_size_than_they_have_are_an_error(tmp_path: Path) -> None:
    lies = {size: {"shard_size": str(size), "shards": str(-(-len(TEXT) // size))} for size in (1, 2**24)}
    paths = [forged(tmp_path / f"{size}.dprompt", metadata=lie) for size, lie in lies.items()]
    for size, said in read_all(paths).items():
        assert said.startswith("refused: ") or said.count("error: ") > 5, (size, said)


# The schema of SQLite

COPY = "INSERT INTO {0} SELECT key, value FROM old_{0}"
SCHEMAS: Mapping[str, tuple[str, ...]] = {
    "view": ("CREATE VIEW shards(key, value) AS SELECT key, value FROM old_shards",),
    "endless view": (
        "CREATE VIEW shards AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT i, x'00' FROM n",
    ),
    "generated": (
        "CREATE TABLE shards(key INTEGER PRIMARY KEY, other BLOB, value BLOB AS (zeroblob(900000000)))",
        "INSERT INTO shards(key) SELECT key FROM old_shards",
    ),
    "virtual": ("CREATE VIRTUAL TABLE shards USING fts5(key, value)",),
    "without rowid": ("CREATE TABLE shards(key INTEGER PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID", COPY),
    "strict": ("CREATE TABLE shards(key INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT", COPY),
    "extra column": ("CREATE TABLE shards(key INTEGER PRIMARY KEY, value BLOB NOT NULL, more TEXT)",),
    "default": ("CREATE TABLE shards(key INTEGER PRIMARY KEY, value BLOB NOT NULL DEFAULT (randomblob(99)))",),
    "check": ("CREATE TABLE shards(key INTEGER PRIMARY KEY, value BLOB NOT NULL CHECK (abs(key) >= 0))", COPY),
    "collation": ("CREATE TABLE shards(key INTEGER PRIMARY KEY, value BLOB NOT NULL COLLATE nocase)", COPY),
    "other case": ("CREATE TABLE Shards(key INTEGER PRIMARY KEY, value BLOB NOT NULL)", COPY),
    "other columns": ("CREATE TABLE shards(value INTEGER PRIMARY KEY, key BLOB NOT NULL)",),
}
ADDITIONS: Mapping[str, tuple[str, ...]] = {
    "trigger": ("CREATE TRIGGER t AFTER INSERT ON shards BEGIN SELECT load_extension('evil'); END",),
    "index": ("CREATE INDEX i ON shards(value)",),
    "index of a function": ("CREATE INDEX i ON shards(abs(key))",),
    "view beside": ("CREATE VIEW more AS SELECT load_extension('evil')",),
    "statistics": ("CREATE TABLE t(a)", "CREATE INDEX i ON t(a)", "INSERT INTO t VALUES(1)", "ANALYZE", "DROP TABLE t"),
    "sequence": ("CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT)", "DROP TABLE t"),
    "shadow": ("CREATE VIRTUAL TABLE more USING fts5(a)",),
    "unknown module": (
        "PRAGMA writable_schema=ON",
        "INSERT INTO sqlite_schema VALUES('table','more','more',0,'CREATE VIRTUAL TABLE more USING evil(a)')",
    ),
    "no sql": ("PRAGMA writable_schema=ON", "UPDATE sqlite_schema SET sql=NULL WHERE name='shards'"),
    "half a statement": (
        "PRAGMA writable_schema=ON",
        "UPDATE sqlite_schema SET sql='CREATE TABLE' WHERE name='shards'",
    ),
    "two statements": (
        "PRAGMA writable_schema=ON",
        "UPDATE sqlite_schema SET sql=sql || '; CREATE TABLE x(a)' WHERE name='shards'",
    ),
    "null byte": ("PRAGMA writable_schema=ON", "UPDATE sqlite_schema SET sql=sql || char(0) WHERE name='shards'"),
    "a view that calls itself a table": ("PRAGMA writable_schema=ON", "UPDATE sqlite_schema SET type='view'"),
    "of another table": ("PRAGMA writable_schema=ON", "UPDATE sqlite_schema SET tbl_name='directory'"),
    "sql that is a blob": ("PRAGMA writable_schema=ON", "UPDATE sqlite_schema SET sql=CAST(sql AS BLOB)"),
    "page of the schema": ("PRAGMA writable_schema=ON", "UPDATE sqlite_schema SET rootpage=1 WHERE name='metadata'"),
    "page beyond the end": ("PRAGMA writable_schema=ON", "UPDATE sqlite_schema SET rootpage=9e9 WHERE name='metadata'"),
    "page below zero": ("PRAGMA writable_schema=ON", "UPDATE sqlite_schema SET rootpage=-7 WHERE name='metadata'"),
    "page of text": ("PRAGMA writable_schema=ON", "UPDATE sqlite_schema SET rootpage='x' WHERE name='metadata'"),
    "metadata of a table of blobs": (
        "PRAGMA writable_schema=ON",
        "UPDATE sqlite_schema SET rootpage=4 WHERE name='metadata'",
    ),
    "long": ("PRAGMA writable_schema=ON", "UPDATE sqlite_schema SET sql=sql || hex(zeroblob(999999))"),
}


def changed(path: Path, statements: Iterable[str]) -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=OFF")
        for statement in statements:
            connection.execute(statement.format("shards"))
    return path


def test_what_stands_in_the_place_of_a_table_or_beside_it_is_refused(tmp_path: Path) -> None:
    rename = "ALTER TABLE shards RENAME TO old_shards"
    many = ["BEGIN", *(f"CREATE TABLE t{number}(a)" for number in range(2_000)), "COMMIT"]
    changes = {name: [rename, *statements] for name, statements in SCHEMAS.items()} | {**ADDITIONS, "many": many}
    paths = [changed(forged(tmp_path / f"{name}.dprompt"), statements) for name, statements in changes.items()]
    for name, said in read_all(paths, megabytes=300).items():
        assert said.startswith(f"refused: {tmp_path / name}.dprompt: "), (name, said)


# Pages


def sqlite_root(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT rootpage FROM sqlite_schema WHERE name=?", (table,)).fetchone()[0])


def interior(children: list[int], kind: int = 5) -> bytes:
    """A page above others, by SQLite's documentation; all keys are 0."""
    cells = [struct.pack(">I", child) + varint(0) for child in children[:-1]]
    head = struct.pack(">BHHHBI", kind, 0, len(cells), PAGE - 5 * len(cells), 0, children[-1])
    pointers = b"".join(struct.pack(">H", PAGE - 5 * (number + 1)) for number in range(len(cells)))
    return (head + pointers).ljust(PAGE - 5 * len(cells), b"\0") + b"".join(reversed(cells))


@pytest.mark.parametrize("table", ["shards", "directory", "documents"])
def test_a_tree_of_sqlite_that_leads_to_itself_ends_in_errors(tmp_path: Path, table: str) -> None:
    path = forged(tmp_path / "circle.dprompt", documents=[document("a", 0, 50)])
    root, data = sqlite_root(path, table), path.read_bytes()
    paths = []
    for number, children in enumerate(([root], [root, root], [root] * 500, [root, 2], [1, root], [2**32 - 1], [0])):
        paths.append(tmp_path / f"{number}.dprompt")
        paths[-1].write_bytes(data[: (root - 1) * PAGE] + interior(children) + data[root * PAGE :])
    for name, said in read_all(paths).items():
        assert "error: " in said or said.startswith("refused: "), (name, said)


@pytest.mark.parametrize("table", ["shards", "directory", "documents"])
def test_a_chain_of_sqlite_that_leads_to_itself_ends_in_errors(tmp_path: Path, table: str) -> None:
    """A row that says it has as much as the largest row may, on pages that follow each other in a circle."""
    path = forged(tmp_path / "chain.dprompt", documents=[document("a", 0, 50)])
    root, data = sqlite_root(path, table), bytearray(path.read_bytes())
    last, paths = len(data) // PAGE + 1, []
    for size in (5_000, len(data), 10**6, 10**9, 2**31 - 1, 2**62):
        value = 2 * (size - 8) + 12
        head = varint(1 + 1 + len(varint(value)))[:1] + b"\0" + varint(value)
        # 489 bytes or more of it are on the page; the rest is whatever there is.
        cell = varint(size) + varint(0 if table != "directory" else 1 << 32) + head
        local = 489 + (size - 489) % (PAGE - 4)
        local = local if local <= PAGE - 35 else 489
        cell += bytes(local - len(head)) + struct.pack(">I", last)
        at = PAGE - len(cell)
        leaf = struct.pack(">BHHHBH", 13, 0, 1, at, 0, at).ljust(at, b"\0") + cell
        changed_data = (
            data[: (root - 1) * PAGE] + leaf + data[root * PAGE :] + struct.pack(">I", last).ljust(PAGE, b"x")
        )
        struct.pack_into(">I", changed_data, 28, last)
        paths.append(tmp_path / f"{size}.dprompt")
        paths[-1].write_bytes(changed_data)
    for name, said in read_all(paths).items():
        assert "error: " in said or said.startswith("refused: "), (name, said)


def sharing(path: Path, table: str, heads: Iterable[bytes], size: int) -> Path:
    """Rows of so many bytes, each of which begins as it is told and goes on with the same pages as all others."""
    data, root = bytearray(path.read_bytes()), sqlite_root(path, table)
    chain, local = len(data) // PAGE + 1, 489
    # By SQLite's documentation: so much of a row lies in its leaf if the rest fills its pages.
    pages = (size - local) // (PAGE - 4)
    assert size == local + pages * (PAGE - 4)
    cells = [varint(size) + head.ljust(local, b" ") + struct.pack(">I", chain) for head in heads]
    if table != "metadata":
        cells = [varint(size) + varint(n) + cell[len(varint(size)) :] for n, cell in enumerate(cells)]
    places = [PAGE - sum(map(len, cells[: n + 1])) for n in range(len(cells))]
    head = struct.pack(">BHHHB", 10 if table == "metadata" else 13, 0, len(cells), places[-1], 0)
    leaf = (head + struct.pack(f">{len(places)}H", *places)).ljust(places[-1], b"\0") + b"".join(reversed(cells))
    for number in range(1, pages + 1):
        data += struct.pack(">I", chain + number if number < pages else 0).ljust(PAGE, b" ")
    data[(root - 1) * PAGE : root * PAGE] = leaf
    struct.pack_into(">I", data, 28, len(data) // PAGE)
    path.write_bytes(data)
    return path


def test_rows_of_sqlite_that_share_their_pages_are_refused_before_they_are_more_than_the_file(tmp_path: Path) -> None:
    size = 489 + 250 * (PAGE - 4)
    path = sharing(forged(tmp_path / "shards.dprompt"), "shards", [blob_head(size)] * 3, size)
    with dp.FileBackend(path) as backend:
        assert len(backend.pack.store.get_range(Table.SHARDS, 1, 2)[0][1]) == size - len(blob_head(size))
        with pytest.raises(CorruptPackError, match="shards: rows 0 to 2: more than a pack has"):
            backend.pack.store.get_range(Table.SHARDS, 0, 3)
    heads = [b"\x05\x0f" + varint(2 * (size - 6) + 13) + bytes((number,)) for number in range(1, 5)]
    path = sharing(forged(tmp_path / "metadata.dprompt"), "metadata", heads, size)
    with pytest.raises(CorruptPackError, match="metadata: more than a pack has"):
        dp.open(path)


def blob_head(size: int) -> bytes:
    """The beginning of a row of a null and a blob, which are so many bytes with it."""
    return b"\x05\0" + varint(2 * (size - 5) + 12)


def test_rows_of_lmdb_that_share_their_pages_are_refused_before_they_are_more_than_the_file(tmp_path: Path) -> None:
    names, size = [f"x{number:02}" for number in range(50)], 5_000_000
    path = forged(tmp_path / "a.dprompt", engine="lmdb", metadata=dict.fromkeys(names, " " * 3_000) | {"y": " " * size})
    data = path.read_bytes()
    at = data.index(struct.pack("<HHHH", size & 0xFFFF, size >> 16, 1, 1) + b"y")
    shared = data[at + 9 : at + 17]
    for name in names:
        at = data.index(struct.pack("<HHHH", 3_000, 0, 1, 3) + name.encode())
        node = struct.pack("<HHHH", size & 0xFFFF, size >> 16, 1, 3) + name.encode() + shared
        data = data[:at] + node + data[at + len(node) :]
    path.write_bytes(data)
    said = read_all([path])["a"]
    assert re.fullmatch(rf"refused: {re.escape(str(path))}: metadata: page \d+: rows of more bytes than .*", said), said


@pytest.mark.parametrize("flag", ["dupsort", "integerkey", "reverse_key", "dupfixed"])
def test_a_database_of_lmdb_of_another_kind_is_refused(tmp_path: Path, flag: str) -> None:
    path = forged(tmp_path / "kind.dprompt", engine="lmdb")
    flags: dict[str, Any] = {flag: True} | ({"dupsort": True} if flag == "dupfixed" else {})
    with lmdb.open(str(path), subdir=False, lock=False, max_dbs=9, map_size=2**26, lib_version=0) as environment:
        database = environment.open_db(b"documents")
        with environment.begin(write=True) as transaction:
            transaction.drop(database)
        database = environment.open_db(b"documents", **flags)
        with environment.begin(write=True) as transaction:
            for value in (b"one", b"two"):
                transaction.put(bytes(8), value, db=database)
        size = (environment.info()["last_pgno"] + 1) * PAGE
    os.truncate(path, size)
    with pytest.raises(CorruptPackError, match=r"header: page \d+: b'documents': a tree with flags"):
        dp.open(path)


# Documents that lie about themselves

PLACES: Mapping[str, list[tuple[int, int]]] = {
    "overlap": [(0, 200), (100, 250)],
    "beyond the end": [(0, 100), (100, 10**6)],
    "far beyond": [(2**62, 2**63 - 1)],
    "farther": [(2**70, 2**71)],
    "before the beginning": [(-50, 100), (100, 150)],
    "below zero": [(-(2**70), -(2**69))],
    "backwards": [(200, 30), (20, 10)],
    "descending": [(150, 250), (50, 100), (0, 50)],
    "all the same": [(0, 10)] * 300,
    "empty": [(5, 5)] * 300,
}


@pytest.mark.parametrize("name", PLACES)
def test_documents_that_lie_about_where_they_are_give_errors_or_parts_of_the_text(tmp_path: Path, name: str) -> None:
    documents = [document(f"d{number}", *place) for number, place in enumerate(PLACES[name])]
    path = forged(tmp_path / "lies.dprompt", documents=documents)
    is_sound = name == "empty"
    with dp.FileBackend(path) as backend, dp.DistributedPrompt(backend) as prompt:
        for part in (prompt, prompt.view(20, 180), prompt.view(len(TEXT), len(TEXT))):
            with suppress(DPromptError):
                assert all(str(text) in TEXT for text in part.documents.values())
            with suppress(DPromptError):
                assert all(name.startswith("d") for name in part.documents)
            for offset in range(0, len(part), 20):
                with suppress(DPromptError):
                    part.document_at(offset)
        assert prompt == TEXT
        assert bool(list(dp.verify(backend))) != is_sound
        if not is_sound:
            with pytest.raises(CorruptPackError, match="document"):
                dp.unpack(backend, tmp_path / "out")
            assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["punycode", "idna", "unicode_escape", "zlib", "rot13", "mbcs", "x" * 9_999, "\0", ""])
def test_a_document_in_an_encoding_that_nothing_is_packed_in_is_refused_by_name(tmp_path: Path, name: str) -> None:
    documents = [document("a", 0, 50), replace(document("b", 50, len(TEXT)), encoding=name)]
    path = forged(tmp_path / "encodings.dprompt", documents=documents)
    said = re.compile(rf"{re.escape(str(path))}: document b: encoding {re.escape(repr(name[:80]))}[^\n]{{,60}}")
    with pytest.raises(CorruptPackError) as raised:
        dp.unpack(path, tmp_path / "out")
    assert said.fullmatch(str(raised.value))
    assert any(said.fullmatch(problem) for problem in dp.verify(path))
    assert [file.name for file in tmp_path.iterdir()] == ["encodings.dprompt"]


# Names of files

DECOMPOSED = unicodedata.normalize("NFD", "é")
ODD_NAMES = [
    "a\\..\\..\\b",
    "C:\\windows",
    "C:x",
    "CON",
    "nul.txt",
    "dev/null",
    "proc/self/mem",
    "readme",
    "README",
    "é",
    DECOMPOSED,
    "...",
    ".. /x",
    "~/x",
    "$HOME",
    "-rf",
    "a b\n\x1b[2J\x07\x7f\x9b",
    "\u202egpj.exe",
    " ",
    "\udcff",
    "name:stream",
]


def test_names_that_mean_something_elsewhere_are_names_of_files_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "jail").mkdir()
    documents = [document(name, number, number + 1) for number, name in enumerate(ODD_NAMES)]
    path = forged(tmp_path / "jail" / "odd.dprompt", documents=documents)
    dp.unpack(path, tmp_path / "jail" / "out")
    found = {
        os.fsdecode(file.relative_to(tmp_path / "jail" / "out")): file.read_text()
        for file in (tmp_path / "jail" / "out").rglob("*")
        if file.is_file()
    }
    assert found == {name: TEXT[number] for number, name in enumerate(ODD_NAMES)}
    assert {file.name for file in (tmp_path / "jail").iterdir()} == {"odd.dprompt", "out"}
    assert [file.name for file in tmp_path.iterdir()] == ["jail"]


@pytest.mark.parametrize(
    "names", [["a", "a/b"], ["a/b", "a"], ["a/b/c", "a/b"], ["x", "x"], ["a" * 256], ["../x"], ["/x"]]
)
def test_names_that_stand_in_each_others_way_leave_nothing(tmp_path: Path, names: list[str]) -> None:
    documents = [document(name, number, number + 1) for number, name in enumerate(["fine", *names])]
    path = forged(tmp_path / "clash.dprompt", documents=documents)
    with pytest.raises(OutputError) as raised:
        dp.unpack(path, tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert [file.name for file in tmp_path.iterdir()] == ["clash.dprompt"]


def test_links_that_were_laid_in_the_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "victim")
    path = forged(tmp_path / "links.dprompt", documents=[document("a/x", 0, 5), document("b", 5, 9)])
    with pytest.raises(FileExistsError):
        dp.unpack(path, tmp_path / "out")
    with pytest.raises(DPromptError):
        dp.unpack(path, tmp_path / "out", overwrite=True)
    assert list((tmp_path / "victim").iterdir()) == []


# Terminals

EVIL = "\x7f\x1b[2J\x1b]0;title\x07\x9b31m\u202e\x08\r\x00\ufffe\u200b"
EVIL_TEXT = "".join(f"{number} needle {EVIL} \x85 more\n" for number in range(9))
SHOWN = re.compile(r"[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\ufffe]*")


# One process for all commands: each would import everything anew.
RUN = """
import json, sys
from distributed_prompt.cli import main
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments, prog_name="dprompt")
    except SystemExit:
        pass
    sys.stderr.flush()
    print("the next one", flush=True)
"""


def on_terminal(commands: list[list[str]], folder: Path) -> list[str]:
    """What each of some commands prints on a terminal, errors and progress included, as the terminal gets it."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 500, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, json.dumps(commands)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "TERM": "dumb", "NO_COLOR": "1"},
    )
    os.close(slave)
    parts = []
    with suppress(OSError):
        while part := os.read(master, 2**16):
            parts.append(part)
    os.close(master)
    assert process.wait(20) == 0
    said = b"".join(parts).decode("utf-8", "replace").split("the next one\r\n")
    assert said.pop() == ""
    assert len(said) == len(commands)
    return said


def printed_lines(said: str) -> list[str]:
    """Lines, without the bars of progress, whose words are ours."""
    return re.sub(r"\r(?:(?:verify|unpack): [0-9][^\r\n]*| *)(?=\r)|\r(?=[^\r\n])", "", said).split("\r\n")


def evil_pack(path: Path) -> Path:
    middle = len(EVIL_TEXT) // 2
    documents = [
        document(f"one{EVIL}", 0, middle, EVIL_TEXT),
        document(f"two\n{EVIL}/x", middle, len(EVIL_TEXT), EVIL_TEXT),
    ]
    return forged(path, text=EVIL_TEXT, documents=documents)


COMMANDS = {
    "info": ["info"],
    "ls": ["ls"],
    "ls --long": ["ls", "--long"],
    "ls --json": ["ls", "--json"],
    "find": ["find", "PACK", "needle"],
    "grep": ["grep", "need.e", "PACK"],
    "grep -o": ["grep", "-o", "needle .*", "PACK"],
    "grep -c": ["grep", "-c", "needle", "PACK"],
    "grep --json": ["grep", "--json", "needle", "PACK"],
    "grep context": ["grep", "-C", "2", "5 needle", "PACK"],
    "verify": ["verify"],
    "unpack": ["unpack", "PACK", "-o", "out"],
    "unpack a folder there": ["unpack", "PACK", "-o", "."],
    "cat no document": ["cat", "PACK", "--document", EVIL.replace("\0", "")],
    "info --json": ["info", "--json"],
}


def test_nothing_but_cat_sends_anything_but_printable_characters_to_a_terminal(tmp_path: Path) -> None:
    pack = evil_pack(tmp_path / f"pack{EVIL.replace(chr(0), '')}.dprompt").name
    commands = [
        [pack if part == "PACK" else part for part in [*command, *([] if "PACK" in command else ["PACK"])]]
        for command in COMMANDS.values()
    ]
    for name, said in zip(COMMANDS, on_terminal(commands, tmp_path), strict=True):
        # Of a tab grep sends itself, for it only moves the cursor.
        text = said.replace("\t", "") if name.startswith("grep") else said
        assert [line for line in printed_lines(text) if not SHOWN.fullmatch(line)] == [], name
        assert said, name


def test_errors_about_a_damaged_pack_send_printable_characters_to_a_terminal(tmp_path: Path) -> None:
    documents = [document(f"one{EVIL}", 0, 50), document(f"two{EVIL}", 30, 60)]
    pack = f"pack{EVIL.replace(chr(0), '')}.dprompt"
    forged(tmp_path / pack, documents=documents, blobs={1: b"no frame"})
    forged(tmp_path / "clash", documents=[document(f"../{EVIL}", 0, 50), document("x", 50, 60)])
    commands = [
        ["verify", pack],
        ["find", pack, "no such text"],
        ["grep", "no such text", pack],
        ["unpack", pack, "-o", "out"],
        ["unpack", "clash", "-o", "out"],
        ["cat", "clash", "--document", EVIL.replace("\0", "")],
    ]
    for command, said in zip(commands, on_terminal(commands, tmp_path), strict=True):
        assert [line for line in printed_lines(said) if not SHOWN.fullmatch(line)] == [], command
        assert "dprompt: " in said


def test_cat_gives_the_text_as_it_is(tmp_path: Path) -> None:
    pack = evil_pack(tmp_path / "pack.dprompt")
    command = [sys.executable, "-m", "distributed_prompt", "cat", str(pack)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    assert done.stdout == EVIL_TEXT.encode()


# Hints


class Served(ThreadingHTTPServer):
    """Serves ranges of some bytes, and notes them."""

    daemon_threads = True

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), RangeHandler)
        self.data = data
        self.asked: list[range] = []
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/pack"

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self.server_close()


class RangeHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # its name in the base class
        pass

    def do_GET(self) -> None:
        assert isinstance(self.server, Served)
        data = self.server.data
        found = re.fullmatch(r"bytes=(\d*)-(\d+)", self.headers["Range"])
        assert found
        first = int(found[1]) if found[1] else max(0, len(data) - int(found[2]))
        stop = min(int(found[2]) + 1, len(data)) if found[1] else len(data)
        self.server.asked.append(range(first, stop))
        self.send_response(206)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Range", f"bytes {first}-{stop - 1}/{len(data)}")
        self.send_header("Content-Length", str(stop - first))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(data[first:stop])


LONG_TEXT = "".join(hashlib.sha256(b"%d" % number).hexdigest() + "\n" for number in range(40_000))
HINTS: Mapping[str, Callable[[int, int], list[Place]]] = {
    "nowhere": lambda count, _: [Place(0, 0, 0)] * count,
    "all on one page": lambda count, _: [Place(1, 1, 1)] * count,
    "beyond the end": lambda count, _: [Place(2**32 - 1, 2**32 - 2, 2**32 - 3)] * count,
    "far apart": lambda count, pages: [Place(1, pages, 2)] * count,
    "backwards": lambda count, pages: [
        Place(pages - n % pages, pages - n % pages, n % pages + 1) for n in range(count)
    ],
    "from the beginning to beyond the end": lambda count, _: [Place(1, 2**32 - 1, 2)] * count,
}


@pytest.fixture(scope="module")
def long_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    (folder / "text.txt").write_text(LONG_TEXT)
    dp.pack(folder / "text.txt", folder / "text.dprompt", shard_size=5_000, level=1)
    return folder / "text.dprompt"


@pytest.mark.parametrize("name", HINTS)
def test_places_and_maps_that_point_anywhere_cost_requests_but_never_truth(
    long_pack: Path, tmp_path: Path, name: str
) -> None:
    path = Path(shutil.copyfile(long_pack, tmp_path / "hints.dprompt"))
    pages, shards = path.stat().st_size // PAGE, -(-len(LONG_TEXT) // 5_000)
    with closing(sqlite3.connect(path)) as connection, connection:
        row = create_places(HINTS[name](shards, pages))
        connection.execute("UPDATE directory SET value=? WHERE key=?", (codec.seal(4 << 32, row), 4 << 32))
        for key, old in connection.execute("SELECT key, value FROM maps").fetchall():
            split = 4 + int.from_bytes(old[:4], "little")
            count = len(codec.decompress(old[4:split], 2**20)) // 8
            row = codec.seal(key, old[:split] + create_places(HINTS[name](count, pages)))
            connection.execute("UPDATE maps SET value=? WHERE key=?", (row, key))
    with Served(path.read_bytes()) as server, dp.HttpBackend(server.url) as backend:
        prompt = dp.DistributedPrompt(backend)
        assert prompt[1_000_000:1_000_100] == LONG_TEXT[1_000_000:1_000_100]
        assert prompt.find("no such text") == -1
        assert prompt.documents.record("text.txt")
        assert [m.start() for m in prompt_re.finditer("(?m)^ffff", prompt)][:3] == [
            m.start() for m in re.finditer("(?m)^ffff", LONG_TEXT)
        ][:3]
        assert len(server.asked) < 300
        assert sum(map(len, server.asked)) < 4 * path.stat().st_size


# The n-gram index


def test_an_index_of_another_text_can_hide_matches_but_nothing_else(tmp_path: Path) -> None:
    """Sealed anew with the digest of these shards: then it is the attacker's text and index. Verifying notices."""
    size, shards = 2**15, 70
    texts = ["".join(f"{word}{number} " for number in range(300_000))[: size * shards] for word in ("word", "other")]
    paths = [tmp_path / "a.dprompt", tmp_path / "b.dprompt"]
    rows: list[list[tuple[int, bytes]]] = []
    for path, text in zip(paths, texts, strict=True):
        path.touch()
        writer = PackWriter(create_store("sqlite", str(path), str(path)), size, 1, index=True)
        before = b""
        for shard, start in enumerate(range(0, len(text), size)):
            data = text[start : start + size].encode()
            writer.add(encode_shard(shard, len(data), data, 1, before))
            before = grams.last_bytes(before, data)
        writer.finish()
        with dp.FileBackend(path) as backend:
            digest = backend.pack.directory.root()[0].digest
            found = backend.pack.store.get_range(Table.NGRAMS, 0, GROUPS + 1)
            rows.append([(key, codec.unseal(key, row, digest)) for key, row in found])
    with dp.FileBackend(paths[0]) as backend:
        digest = backend.pack.directory.root()[0].digest
    with closing(sqlite3.connect(paths[0])) as connection, connection:
        sealed = ((codec.seal(key, row, digest), key) for key, row in rows[1])
        connection.executemany("UPDATE ngrams SET value=? WHERE key=?", sealed)
    with dp.FileBackend(paths[0]) as backend, dp.DistributedPrompt(backend) as prompt:
        for needle in ("word200000 ", "other200000 ", "no such text", "rd9"):
            real = [match.start() for match in re.finditer(re.escape(needle), texts[0])]
            assert set(prompt.find_all(needle)) <= set(real)
            assert prompt.count(needle) <= len(real)
            assert prompt.find(needle) in {-1, *real}
            assert {m.start() for m in prompt_re.finditer(re.escape(needle), prompt)} <= set(real)
        assert str(prompt[size : 2 * size]) == texts[0][size : 2 * size]
        assert any("n-gram index: row" in problem for problem in dp.verify(backend))


def test_a_file_that_only_begins_as_a_pack_is_refused_in_a_line(tmp_path: Path) -> None:
    sound = forged(tmp_path / "sound.dprompt").read_bytes()
    for size in (0, 1, 16, 99, 100, 101, 4_095, 4_096, len(sound) - 1):
        (tmp_path / "cut").write_bytes(sound[:size])
        with pytest.raises((NotAPackError, CorruptPackError)) as raised:
            dp.open(tmp_path / "cut")
        assert "\n" not in str(raised.value)


def test_an_error_of_a_hostile_pack_is_json_safe(tmp_path: Path) -> None:
    documents = [document(f"x{EVIL}", 0, 50), document("y", 40, 60)]
    with dp.FileBackend(forged(tmp_path / "p.dprompt", documents=documents)) as backend:
        problems = list(dp.verify(backend))
    assert json.loads(json.dumps(problems)) == problems
