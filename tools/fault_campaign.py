"""Damage thousands of packs and see what reading them gives: right answers, typed errors, or a failure.

python -m tools.fault_campaign --engine both --trials 3000 --seed 1
python -m tools.fault_campaign --replay 1:lmdb:42
"""

import argparse
import codecs
import faulthandler
import hashlib
import io
import itertools
import json
import os
import platform
import random
import re
import resource
import select
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import IO, Any, Self
from unittest.mock import patch

import lmdb
import zstandard
from xxhash import xxh3_64_digest, xxh3_64_intdigest

import distributed_prompt as dp
from distributed_prompt.backends.base import Backend
from distributed_prompt.errors import ClosedError
from distributed_prompt.store import ngrams
from distributed_prompt.store.byte_source import ByteSource
from distributed_prompt.store.engines import create_store, open_source
from distributed_prompt.store.pack import Pack
from distributed_prompt.store.pack_writer import write_text

PAGE = 4_096
SECTOR = 512
TRIALS = 3_000
SECONDS = 10.0
START_SECONDS = 60.0
POLL_SECONDS = 0.2
MEGABYTE = 2**20
MEMORY_BYTES = 400 * MEGABYTE
# What a process cannot get at all: a little more, so that what goes beyond is seen where no exception says so.
LIMIT_BYTES = MEMORY_BYTES * 5 // 4
DISK_BYTES = 256 * MEGABYTE
MANY_SHARDS = 1_000
MOST_PROBLEMS = 1_000
MOST_DETAIL = 600
NOTE_BYTES = 80
BATCHES, NAMES, BOUNDS = 0, 1, 2
DIGESTS, SIZES, CHECKSUMS, PLACES, ROOT = 1, 2, 3, 4, 5
TABLES = ("shards", "directory", "documents", "ngrams", "maps")
ENGINES = ("sqlite", "lmdb")
# From the best to the worst; what becomes of a trial is the worst that any of its reads gave.
OUTCOMES = ("right", "typed error", "wrong", "untyped", "crash", "hang", "memory")
FAILURES = frozenset(OUTCOMES[2:])
RARE = "xyzzy"
Value = str | bytes | int | float | None
Rows = dict[str, dict[int, bytes]]
Read = tuple[str, Callable[[Any], object], object]


def key_of(part: int, number: int = 0) -> int:
    """The key of a row: what kind it is of, and its number."""
    return part << 32 | number


def sealed(key: int, row: bytes, bound: bytes = b"") -> bytes:
    """A row with its checksum, by the format's documentation."""
    return row + xxh3_64_digest(row + bound, key)


@dataclass(frozen=True)
class Variant:
    """What kind of pack is damaged.

    Attributes:
        name: what it is called.
        shard_size: characters a shard.
        length: characters, roughly.
        words: what the text is made of.
        documents: how many it has.
        index: whether it has an n-gram index.
    """

    name: str
    shard_size: int
    length: int
    words: tuple[str, ...]
    documents: int
    index: bool = False


ASCII = ("kernel", "panic", "a", "\n", " ", "the end", "self.x = 1\n")
LATIN = (*ASCII, "é", "été\n", "ÿ")
CJK = ("中文", "日本語", "。", "文", "x")
MIXED = (*LATIN, *CJK, "😀", "İ", "😀😀\n")
VARIANTS = (
    Variant("bare-7", 7, 600, MIXED, 0),
    Variant("indexed-7", 7, 900, ASCII, 1, index=True),
    Variant("segments-7", 7, 29_400, LATIN, 1),
    Variant("many-64", 64, 12_000, MIXED, 700),
    Variant("indexed-64", 64, 6_000, MIXED, 1, index=True),
    Variant("one-1000", 1_000, 50_000, LATIN, 1),
    Variant("cjk-1000", 1_000, 9_000, CJK, 1),
    Variant("indexed-1000", 1_000, 70_000, MIXED, 300, index=True),
)


@dataclass(frozen=True)
class Sound:
    """A pack that copies are damaged of, and what reading it must give.

    Attributes:
        name: that of its variant.
        engine: that of the pack.
        path: where it is.
        twin: where a sound pack of another text is, cut in the same way.
        shard_size: characters a shard.
        names: those of the documents.
        texts: theirs; one without a name where there are no documents.
    """

    name: str
    engine: str
    path: str
    twin: str
    shard_size: int
    names: list[str]
    texts: list[str]

    @cached_property
    def data(self) -> bytes:
        """The file."""
        return Path(self.path).read_bytes()

    @cached_property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.texts)

    @cached_property
    def starts(self) -> list[int]:
        """Where each document begins, and where the last one ends."""
        return [0, *itertools.accumulate(map(len, self.texts))]

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-len(self.text) // self.shard_size)

    @cached_property
    def rows(self) -> Rows:
        """Those of all tables but the metadata."""
        with edited(self.engine, Path(self.path), write=False) as editor:
            return {table: rows for table in TABLES if (rows := editor.rows(table))}

    @cached_property
    def twin_rows(self) -> Rows:
        """Those of the other pack."""
        with edited(self.engine, Path(self.twin), write=False) as editor:
            return {table: rows for table in TABLES if (rows := editor.rows(table))}

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The metadata table."""
        with edited(self.engine, Path(self.path), write=False) as editor:
            return editor.metadata()


class Editor(ABC):
    """Changes rows of a pack in such a way that the file stays one that its engine calls whole."""

    @abstractmethod
    def rows(self, table: str) -> dict[int, bytes]:
        """All rows of a table; none if there is no such table."""

    @abstractmethod
    def put(self, table: str, key: int, value: Value) -> None:
        """Put a row, or delete it if the value is None."""

    @abstractmethod
    def metadata(self) -> dict[str, str]:
        """The metadata table."""

    @abstractmethod
    def put_metadata(self, name: str, value: Value) -> None:
        """Put a value under a name, or delete it if it is None."""


class SqliteEditor(Editor):
    """Through SQLite."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Take the open file."""
        self.connection = connection
        self._tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}

    def rows(self, table: str) -> dict[int, bytes]:
        """As the base class says."""
        if table not in self._tables:
            return {}
        return dict(self.connection.execute(f"SELECT key, value FROM {table} ORDER BY key"))  # noqa: S608  # ours

    def put(self, table: str, key: int, value: Value) -> None:
        """As the base class says."""
        if value is None:
            self.connection.execute(f"DELETE FROM {table} WHERE key=?", (key,))  # noqa: S608  # ours
        else:
            self.connection.execute(f"REPLACE INTO {table} VALUES(?, ?)", (key, value))

    def metadata(self) -> dict[str, str]:
        """As the base class says."""
        return dict(self.connection.execute("SELECT name, value FROM metadata"))

    def put_metadata(self, name: str, value: Value) -> None:
        """As the base class says."""
        if value is None:
            self.connection.execute("DELETE FROM metadata WHERE name=?", (name,))
        else:
            self.connection.execute("REPLACE INTO metadata VALUES(?, ?)", (name, value))


class LmdbEditor(Editor):
    """Through LMDB."""

    def __init__(self, environment: lmdb.Environment, transaction: lmdb.Transaction) -> None:
        """Take the open file."""
        self.environment = environment
        self.transaction = transaction

    def table(self, name: str) -> Any:
        """A named database, which is made if need be."""
        return self.environment.open_db(name.encode(), txn=self.transaction, create=True)

    def rows(self, table: str) -> dict[int, bytes]:
        """As the base class says."""
        return {int.from_bytes(key, "big"): value for key, value in self._rows(table)}

    def _rows(self, table: str) -> list[tuple[bytes, bytes]]:
        if self.transaction.get(table.encode()) is None:
            return []
        database = self.environment.open_db(table.encode(), txn=self.transaction, create=False)
        return [(bytes(key), bytes(value)) for key, value in self.transaction.cursor(database)]

    def put(self, table: str, key: int, value: Value) -> None:
        """As the base class says."""
        name = (key % 2**64).to_bytes(8, "big")
        if value is None:
            self.transaction.delete(name, db=self.table(table))
        else:
            self.transaction.put(name, _as_bytes(value), db=self.table(table))

    def metadata(self) -> dict[str, str]:
        """As the base class says."""
        return {key.decode(): value.decode() for key, value in self._rows("metadata")}

    def put_metadata(self, name: str, value: Value) -> None:
        """As the base class says."""
        if value is None:
            self.transaction.delete(name.encode(), db=self.table("metadata"))
        else:
            self.transaction.put(name.encode(), _as_bytes(value), db=self.table("metadata"))


def _as_bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@contextmanager
def edited(engine: str, path: Path, *, write: bool = True) -> Iterator[Editor]:
    """A file to be changed by its engine itself, or only read."""
    if engine == "sqlite":
        with closing(sqlite3.connect(path)) as connection, connection:
            # A copy that a crash leaves half changed is of no use anyway.
            connection.execute("PRAGMA journal_mode=OFF")
            connection.execute("PRAGMA synchronous=OFF")
            yield SqliteEditor(connection)
        return
    with lmdb.open(
        str(path),
        subdir=False,
        lock=False,
        max_dbs=16,
        map_size=2**27,
        lib_version=0,
        readonly=not write,
        sync=False,
    ) as environment:
        with environment.begin(write=write) as transaction:
            yield LmdbEditor(environment, transaction)
        size = (environment.info()["last_pgno"] + 1) * PAGE
    if write:
        os.truncate(path, size)


def make_sounds(folder: Path, engines: Sequence[str] = ENGINES) -> list[Sound]:
    """The packs that are damaged, always the same, and their twins."""
    sounds = []
    for variant in VARIANTS:
        texts = _texts(variant)
        twins = [codecs.encode(text, "rot13") for text in texts]
        base = folder / variant.name
        names = _write_sources(base / "in", texts, variant.documents)
        _write_sources(base / "twin", twins, variant.documents)
        for engine in engines:
            paths = [base / f"{name}.{engine}" for name in ("sound", "twin")]
            for path, source, contents in zip(paths, ("in", "twin"), (texts, twins), strict=True):
                if not variant.documents:
                    write_text(create_store(engine, str(path), str(path)), contents[0], variant.shard_size, 3)
                    continue
                sources = [base / source / name for name in sorted({name.split("/")[0] for name in names})]
                # Such small shards are not worth an index, but their rows are those of any other.
                with patch.object(ngrams, "LEAST_SIZE", 1):
                    dp.pack(sources, path, shard_size=variant.shard_size, store=engine, index=variant.index)
            sound, twin = map(str, paths)
            sounds.append(Sound(variant.name, engine, sound, twin, variant.shard_size, names, texts))
    return sounds


def _texts(variant: Variant) -> list[str]:
    chance = random.Random(variant.name)  # noqa: S311  # the same every time
    # Words have at least a character.
    words = [
        f"{RARE}{chance.randrange(100)} " if not chance.randrange(150) else chance.choice(variant.words)
        for _ in range(variant.length)
    ]
    text = "".join(words)[: variant.length]
    count = max(1, variant.documents)
    # Two equal borders make an empty document.
    borders = sorted(chance.randrange(len(text) + 1) for _ in range(count - 1))
    return [text[start:stop] for start, stop in itertools.pairwise((0, *borders, len(text)))]


def _write_sources(folder: Path, texts: list[str], documents: int) -> list[str]:
    folder.mkdir(parents=True)
    if documents == 1:
        folder.joinpath("in.txt").write_bytes(texts[0].encode())
        return ["in.txt"]
    names = [f"many/{number % 7}/{number:03}.txt" for number in range(documents)]
    # Documents lie in the order of their names.
    names.sort()
    for name, text in zip(names, texts, strict=False):
        folder.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        folder.joinpath(name).write_bytes(text.encode())
    return names


class Trial:
    """One copy to be damaged, and the chance that says how.

    Attributes:
        chance: it alone decides, so that a trial can be done again.
        serial: how many trials of the same kind came before.
        path: where the copy lies.
        sound: of which pack it is one.
    """

    def __init__(self, sounds: Sequence[Sound], path: Path, chance: random.Random, serial: int) -> None:
        """Take what to choose from, and begin with a sound copy of some pack."""
        self._sounds = sounds
        self.path = path
        self.chance = chance
        self.serial = serial
        self.choose(lambda _: True)

    def choose(self, suits: Callable[[Sound], object]) -> None:
        """Take a pack that suits, each in its turn."""
        suitable = [sound for sound in self._sounds if suits(sound)]
        self.sound = suitable[self.serial % len(suitable)]
        if self.sound.shards > MANY_SHARDS and self.chance.randrange(6):
            # Reading it takes ten times as long as reading others.
            self.sound = self.chance.choice(suitable)
        self.renew(self.sound.data)

    def choose_with(self, table: str) -> None:
        """Take a pack that has rows in a table."""
        self.choose(lambda sound: table in sound.rows)

    def renew(self, data: bytes) -> None:
        """Make the copy of these bytes, in a new file."""
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(data)

    def edit(self) -> Any:
        """The copy, to be changed validly."""
        return edited(self.sound.engine, self.path)

    def table(self) -> str:
        """Some table that has rows."""
        return self.chance.choice(sorted(self.sound.rows))

    def key(self, table: str) -> int:
        """The key of some row."""
        return self.chance.choice(list(self.sound.rows[table]))

    def row_place(self, table: str) -> tuple[int, int]:
        """The key of some row, and where in the file some bytes of it lie."""
        key = self.key(table)
        row = self.sound.rows[table][key]
        start = self.chance.randrange(max(1, len(row) - 16))
        return key, max(0, self.sound.data.find(row[start : start + 16]))

    def number(self) -> int:
        """A number that somebody might write to see what happens."""
        near = self.chance.choice((2**7, 2**8, 2**16, 2**24, 2**31, 2**32, 2**40, 2**53, 2**62, 2**63, 2**64))
        return self.chance.choice((0, 1, 2, 255, near, near - 1, near + 1, self.chance.randrange(near)))

    def rewrite_metadata(self, editor: Editor, changes: Mapping[str, Value]) -> None:
        """Change the metadata and make its checksum right, by the format's documentation."""
        rows: dict[str, Value] = {**editor.metadata(), **changes}
        state = hashlib.sha256()
        for name in sorted(rows):
            if name != "checksum" and rows[name] is not None:
                key, value = _as_bytes(name), _as_bytes(rows[name])
                state.update(struct.pack("<QQ", len(key), len(value)) + key + value)
        for name, changed in {"checksum": state.hexdigest(), **changes}.items():
            editor.put_metadata(name, changed)


Damage = Callable[[Trial], Iterator[str]]


@dataclass(frozen=True)
class Kind:
    """A kind of damage.

    Attributes:
        name: what it is called.
        damage: damages the copy, and yields what it did; each time, the copy is to be read.
        forged: whether it takes somebody who makes checksums right, or has another pack at hand.
        weight: how often it comes.
        engine: the only one whose packs can be damaged so.
    """

    name: str
    damage: Damage
    forged: bool = False
    weight: int = 1
    engine: str | None = None


def flip_anywhere(count: int, trial: Trial) -> Iterator[str]:
    """Some bits, wherever they are."""
    yield _flip(trial, [trial.chance.randrange(len(trial.sound.data)) for _ in range(count)])


def _flip(trial: Trial, places: Sequence[int]) -> str:
    data, done = bytearray(trial.sound.data), []
    for place in places:
        bit = trial.chance.randrange(8)
        at = min(place, len(data) - 1)
        data[at] ^= 1 << bit
        done.append(f"{at}.{bit}")
    trial.renew(bytes(data))
    return f"bits {', '.join(done[:5])}{' …' if len(done) > 5 else ''} flipped"  # noqa: PLR2004  # enough to see


def flip_header(trial: Trial) -> Iterator[str]:
    """A few bits of what says how the file is organised."""
    places = range(100) if trial.sound.engine == "sqlite" else [*range(152), *range(PAGE, PAGE + 152)]
    yield _flip(trial, trial.chance.choices(places, k=trial.chance.choice((1, 1, 2, 3))))


def flip_pages(trial: Trial) -> Iterator[str]:
    """A few bits where pages begin: their kind, how many rows they have and where, or which page follows."""
    pages = len(trial.sound.data) // PAGE
    count = trial.chance.choice((1, 1, 2, 3, 30))
    near = (16, 16, 40, 200)
    places = [
        trial.chance.randrange(pages) * PAGE + trial.chance.randrange(trial.chance.choice(near)) for _ in range(count)
    ]
    yield _flip(trial, places)


def flip_heads(trial: Trial) -> Iterator[str]:
    """A few bits before rows: their keys, lengths and types."""
    places = []
    for _ in range(trial.chance.choice((1, 1, 2, 3))):
        table = trial.table()
        row = trial.sound.rows[table][trial.key(table)]
        places.append(max(0, trial.sound.data.find(row[:40]) - trial.chance.randrange(1, 17)))
    yield _flip(trial, places)


def flip_row(table: str, trial: Trial) -> Iterator[str]:
    """A few bits of one table's rows."""
    trial.choose_with(table)
    places = [trial.row_place(table) for _ in range(trial.chance.choice((1, 1, 1, 3)))]
    did = _flip(trial, [at + trial.chance.randrange(16) for _, at in places])
    yield f"{table} {[key for key, _ in places]}: {did}"


def flip_metadata(trial: Trial) -> Iterator[str]:
    """A few bits of names or values."""
    name, value = trial.chance.choice(sorted(trial.sound.metadata.items()))
    row = name + value if name + value and (name + value).encode() in trial.sound.data else value or name
    at = max(0, trial.sound.data.find(row.encode()))
    count = trial.chance.choice((1, 1, 2))
    yield f"metadata {name}: {_flip(trial, [at + trial.chance.randrange(len(row)) for _ in range(count)])}"


def cut_at_pages(trial: Trial) -> Iterator[str]:
    """At all borders of pages in turn."""
    data = trial.sound.data
    for size in range(len(data) - PAGE, -1, -PAGE):
        trial.renew(data[:size])
        yield f"cut to {size} bytes"


def cut_inside_pages(trial: Trial) -> Iterator[str]:
    """Anywhere else, and around a border."""
    data = trial.sound.data
    borders = range(0, len(data) + 1, PAGE)
    size = trial.chance.choice(
        (trial.chance.randrange(len(data)), trial.chance.choice(borders) + trial.chance.choice((-1, 1, 16, 100, 512)))
    )
    size = min(max(size, 0), len(data) - 1)
    trial.renew(data[:size])
    yield f"cut to {size} bytes"


def grow(trial: Trial) -> Iterator[str]:
    """By noise, zeros, or what the file has itself."""
    size = trial.chance.choice(
        (1, 15, SECTOR, PAGE - 1, PAGE, PAGE + 1, 5 * PAGE, trial.chance.randrange(9 * PAGE) + 1)
    )
    more = trial.chance.choice((trial.chance.randbytes(size), bytes(size), trial.sound.data[:size]))
    trial.renew(trial.sound.data + more)
    yield f"{len(more)} bytes more"


def _write_over(trial: Trial, at: int, data: bytes) -> None:
    found = trial.path.read_bytes()
    trial.renew((found[:at] + data + found[at + len(data) :])[: len(found)])


def zero_pages(trial: Trial) -> Iterator[str]:
    """Some pages, or sectors of 512 bytes."""
    unit = trial.chance.choice((PAGE, PAGE, SECTOR))
    units = len(trial.sound.data) // unit
    count = min(units, trial.chance.choice((1, 1, 2, 5)))
    places = [trial.chance.randrange(units) * unit for _ in range(count)]
    for at in places:
        _write_over(trial, at, trial.chance.choice((b"\0", b"\0", b"\xff")) * unit)
    yield f"{unit} bytes at {places} wiped"


def copy_pages(trial: Trial) -> Iterator[str]:
    """Pages or sectors over others."""
    unit = trial.chance.choice((PAGE, PAGE, PAGE, SECTOR))
    units = len(trial.sound.data) // unit
    done = []
    for _ in range(trial.chance.choice((1, 1, 2, 4))):
        source, target = (trial.chance.randrange(units) * unit for _ in range(2))
        _write_over(trial, target, trial.sound.data[source : source + unit])
        done.append(f"{source} over {target}")
    yield f"{unit} bytes at {', '.join(done)}"


def swap_pages(trial: Trial) -> Iterator[str]:
    """Two pages."""
    first, second = trial.chance.sample(range(len(trial.sound.data) // PAGE), 2)
    for source, target in ((first, second), (second, first)):
        _write_over(trial, target * PAGE, trial.sound.data[source * PAGE :][:PAGE])
    yield f"pages {first} and {second} swapped"


def write_noise(trial: Trial) -> Iterator[str]:
    """A burst of it."""
    size = trial.chance.choice((2, 4, 8, 100, SECTOR, PAGE, 3 * PAGE))
    at = trial.chance.randrange(len(trial.sound.data))
    _write_over(trial, at, trial.chance.randbytes(size))
    yield f"{size} bytes at {at} are noise"


def swap_rows(trial: Trial) -> Iterator[str]:
    """Two rows, of one table or of two."""
    table = trial.table()
    other = table if trial.chance.randrange(3) else trial.table()
    first, second = trial.key(table), trial.key(other)
    with trial.edit() as editor:
        editor.put(table, first, trial.sound.rows[other][second])
        editor.put(other, second, trial.sound.rows[table][first])
    yield f"{table} {first} and {other} {second} swapped"


def duplicate_rows(trial: Trial) -> Iterator[str]:
    """One over another, or under a key that there should not be."""
    table = trial.table()
    source = trial.key(table)
    more = [max(trial.sound.rows[table]) + 1, source + 2**32, source ^ 2**62, 2**63 - 1]
    targets = [trial.chance.choice((trial.key(table), trial.chance.choice(more))) for _ in range(3)]
    with trial.edit() as editor:
        for target in targets:
            editor.put(table, target, trial.sound.rows[table][source])
    yield f"{table} {source} again as {targets}"


def drop_rows(trial: Trial) -> Iterator[str]:
    """One, some, or all of a table."""
    table = trial.table()
    keys = list(trial.sound.rows[table])
    gone = trial.chance.sample(keys, min(len(keys), trial.chance.choice((1, 1, 3, len(keys)))))
    with trial.edit() as editor:
        for key in gone:
            editor.put(table, key, None)
    yield f"{table}: {len(gone)} rows from {gone[0]} gone"


def change_rows(trial: Trial) -> Iterator[str]:
    """Their length, their bytes, or their type."""
    table = trial.table()
    key = trial.key(table)
    row = trial.sound.rows[table][key]
    cut = trial.chance.randrange(len(row)) if row else 0
    noise = trial.chance.randbytes(trial.chance.choice((1, 8, 100, 5_000)))
    flipped = bytearray(row or b"\0")
    flipped[cut] ^= 1 << trial.chance.randrange(8)
    changes: tuple[Value, ...] = (b"", row[:cut], row + noise, noise, bytes(len(row)), row * 2, row[::-1])
    value = trial.chance.choice((*changes, bytes(flipped), "text", 7, 1.5))
    with trial.edit() as editor:
        editor.put(table, key, value)
    yield f"{table} {key}: {len(row)} bytes now {value!r:.40}"


METADATA_LIES: tuple[Value, ...] = (
    *("", " ", "0", "-1", "1.5", "1e9", "0x10", "٣", "nothing", "1 ", "01", "9" * 18, "9" * 19, "9" * 5_000),
    *("zstd", "documents", "ngrams", "document-index documents ngrams", "teleportation", "00" * 32, "zz" * 32),
    *("[" * 100_000, '"{name}"', '{"a": 1}', "null", '"\\ud800"', str(2**63 - 1), str(2**63), str(2**62), str(2**40)),
    *(b"", b"\xff\xfe", b"1", 1, 1.5, 2**62, None),
)


def _lie(trial: Trial, name: str) -> Value:
    value = trial.sound.metadata.get(name, "0")
    if value.isdecimal() and trial.chance.randrange(2):
        return str(max(0, int(value) + trial.chance.choice((-1, 1, -int(value) // 2, 255, 4_096, trial.number()))))
    return trial.chance.choice(METADATA_LIES)


def change_metadata(trial: Trial) -> Iterator[str]:
    """Wrong values, validly written, under the old checksum."""
    names = [*trial.sound.metadata, "header", "more"]
    changes = {name: _lie(trial, name) for name in trial.chance.sample(names, trial.chance.choice((1, 1, 2)))}
    with trial.edit() as editor:
        for name, value in changes.items():
            editor.put_metadata(name, value)
    yield f"metadata {changes!r:.200}"


SCHEMA_CHANGES = (
    "CREATE TABLE more(key INTEGER PRIMARY KEY, value BLOB NOT NULL)",
    "CREATE INDEX more ON shards(value)",
    "CREATE VIEW more AS SELECT * FROM shards",
    "CREATE TRIGGER more AFTER DELETE ON shards BEGIN DELETE FROM directory; END",
    "DROP TABLE shards",
    "DROP TABLE directory",
    "DROP TABLE metadata",
    "DROP TABLE IF EXISTS documents",
    "DROP TABLE IF EXISTS maps",
    "ALTER TABLE shards RENAME TO pieces",
    "ALTER TABLE shards ADD COLUMN more",
    "PRAGMA user_version=7",
    "PRAGMA user_version=-1",
    "PRAGMA application_id=1",
    "PRAGMA encoding='UTF-16'",
    (
        "DROP TABLE shards; CREATE VIEW shards AS WITH RECURSIVE n(key, value) AS "
        "(SELECT 0, x'00' UNION ALL SELECT key + 1, value FROM n) SELECT * FROM n"
    ),
)


def change_container(trial: Trial) -> Iterator[str]:
    """Tables that are not a pack's, or led to the rows of others."""
    with trial.edit() as editor:
        if isinstance(editor, SqliteEditor):
            did = _change_schema(trial, editor.connection)
        else:
            did = _change_databases(trial, editor)
    yield did


def _change_schema(trial: Trial, connection: sqlite3.Connection) -> str:
    if trial.chance.randrange(2):
        statement = trial.chance.choice(SCHEMA_CHANGES)
        connection.commit()
        connection.executescript(statement)
        if "ADD COLUMN" not in statement and trial.chance.randrange(2):
            connection.commit()
            connection.execute("VACUUM")
        return statement
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")]
    first, second = trial.chance.sample(names, 2)
    connection.execute("PRAGMA writable_schema=ON")
    roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema"))
    pages = len(trial.sound.data) // PAGE
    target = trial.chance.choice((roots[second], trial.chance.randrange(pages + 2), 0, 2**31))
    connection.execute("UPDATE sqlite_schema SET rootpage=? WHERE name=?", (target, first))
    if trial.chance.randrange(2):
        connection.execute("UPDATE sqlite_schema SET rootpage=? WHERE name=?", (roots[first], second))
    return f"rootpage of {first} {target}"


def _change_databases(trial: Trial, editor: LmdbEditor) -> str:
    name = trial.chance.choice([*trial.sound.rows, "metadata"])
    other = trial.chance.choice([*trial.sound.rows, "metadata"])
    transaction, kind = editor.transaction, trial.chance.randrange(6)
    if kind == 0:
        transaction.drop(editor.table(name))
        return f"database {name} gone"
    if kind == 1:
        transaction.put(b"more", b"value", db=editor.table("more"))
        return "a database more"
    if kind == 2:  # noqa: PLR2004  # one of those that are drawn
        key = trial.chance.choice((b"\0", bytes(7), bytes(9), b"\xff" * 8, b"k" * 511))
        transaction.put(key, b"value", db=editor.table(name))
        return f"{name}: a row under {key!r:.20}"
    if kind == 3:  # noqa: PLR2004  # as above
        flags = {"dupsort": True, "integerkey": bool(trial.chance.randrange(2)), "dupfixed": True}
        transaction.drop(editor.table(name))
        database = editor.environment.open_db(b"again", txn=transaction, **flags)
        transaction.put(bytes(8), b"value", db=database)
        transaction.put(bytes(8), b"other", db=database)
        return f"{name} gone, a database of duplicates more"
    if kind == 4:  # noqa: PLR2004  # as above
        transaction.put(b"plain", b"value")
        return "a row beside the databases"
    rows = editor._rows(other)  # noqa: SLF001  # the module's own class
    transaction.drop(editor.table(name), delete=False)
    for key, value in rows:
        transaction.put(key, value, db=editor.table(name))
    return f"{name} has the rows of {other}"


def put_beside(trial: Trial) -> Iterator[str]:
    """A journal or a log of SQLite's that has other pages: none of a reader's business."""
    pages = len(trial.sound.data) // PAGE
    page = trial.chance.randrange(pages)
    noise = trial.chance.randbytes(PAGE)
    journal = bytes.fromhex("d9d505f920a163d7") + struct.pack(">5I", 1, 7, pages, SECTOR, PAGE)
    # Every 200th byte from the end on is added up.
    total = (7 + sum(noise[PAGE - 200 :: -200])) % 2**32
    journal = journal.ljust(SECTOR, b"\0") + struct.pack(">I", page + 1) + noise + struct.pack(">I", total)
    suffix, data = trial.chance.choice((("-journal", journal), ("-wal", noise), ("-shm", noise), ("-journal", noise)))
    trial.path.with_name(trial.path.name + suffix).write_bytes(data)
    if suffix == "-wal":
        _write_over(trial, 18, b"\2\2")
    yield f"{suffix} of {len(data)} bytes, with page {page + 1}"
    trial.path.with_name(trial.path.name + suffix).unlink()


def forge_metadata(trial: Trial) -> Iterator[str]:
    """Values that lie, their checksum right."""
    names = [*trial.sound.metadata, "header", "more"]
    names.remove("checksum")
    changes = {name: _lie(trial, name) for name in trial.chance.sample(names, trial.chance.choice((1, 1, 2)))}
    with trial.edit() as editor:
        trial.rewrite_metadata(editor, changes)
    yield f"metadata {changes!r:.200}"


def forge_length(trial: Trial) -> Iterator[str]:
    """A length, shard size or number of documents that lies, and all that follows from it right."""
    rows = trial.sound.metadata
    length, size, documents = (int(rows[name]) for name in ("length", "shard_size", "documents"))
    features = set(rows["features"].split())
    what = trial.chance.randrange(4)
    if what == 0:
        length = trial.chance.choice((length + 1, length - 1, length // 2, trial.number() % 2**63))
    elif what == 1:
        size = trial.chance.choice((1, size - 1, size + 1, 2**24, trial.number() % 2**24 or 1))
    elif what == 2:  # noqa: PLR2004  # one of those that are drawn
        documents = trial.chance.choice((0, documents + 1, 255, 257, 4_097, trial.number() % 2**63))
        if trial.chance.randrange(2):
            features = {"documents" * (documents > 0), "document-index" * (documents > 256)} | features & {"ngrams"}  # noqa: PLR2004  # a batch
    else:
        features ^= {trial.chance.choice(("documents", "document-index", "ngrams"))}
        length = trial.chance.choice((length, length, trial.number() % 2**63))
    changes: dict[str, Value] = {
        "length": str(length),
        "shard_size": str(size),
        "shards": str(-(-length // size)),
        "documents": str(documents),
        "features": " ".join(sorted(features - {""})),
    }
    with trial.edit() as editor:
        trial.rewrite_metadata(editor, changes)
    yield f"metadata {changes!r:.250}"


def _bend(trial: Trial, row: bytes) -> bytes:
    """A row with some of its numbers changed, or of another length."""
    data = bytearray(row)
    how = trial.chance.randrange(6)
    if how == 0:
        return bytes(data[: trial.chance.randrange(len(data) + 1)])
    if how == 1:
        return bytes(data) + trial.chance.randbytes(trial.chance.choice((1, 8, 13, 48, 4_096)))
    if how == 2:  # noqa: PLR2004  # one of those that are drawn
        return trial.chance.choice((b"\0", b"\xff", b"\x01", b"\x7f")) * len(data)
    for _ in range(trial.chance.choice((1, 3, len(data) // 8))):
        form = trial.chance.choice(("<B", "<I", "<Q"))
        width = struct.calcsize(form)
        if len(data) >= width:
            at = trial.chance.randrange(len(data) - width + 1)
            struct.pack_into(form, data, at, trial.number() % 2 ** (8 * width))
    return bytes(data)


def forge_directory(trial: Trial) -> Iterator[str]:
    """Rows that lie, their checksums right."""
    columns = [DIGESTS, SIZES, SIZES, CHECKSUMS, ROOT, ROOT]
    keys = [key for key in trial.sound.rows["directory"] if key >> 32 in columns]
    chosen = trial.chance.sample(keys, trial.chance.choice((1, 1, 2)))
    with trial.edit() as editor:
        for key in chosen:
            row = _bend(trial, trial.sound.rows["directory"][key][:-8])
            editor.put("directory", key, sealed(key, row))
    yield f"directory {chosen} forged"


def _compress(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(data)


@cache
def _bomb(unit: bytes, size: int) -> bytes:
    """A small frame of many bytes."""
    return _compress((unit * (size // len(unit) + 1))[:size])


def _frame(trial: Trial, data: bytes, most: int) -> bytes:
    """A zstd frame, or what looks like one: of these bytes bent, of far more, or with a head that lies."""
    frame = _compress(data)
    streamed = zstandard.ZstdCompressor(write_content_size=False).compress(data)
    window = struct.pack("<I", 0xFD2FB528) + b"\x80\xf8" + struct.pack("<I", len(data)) + b"\x01\0\0"
    huge = struct.pack("<I", 0xFD2FB528) + b"\xe0" + struct.pack("<Q", trial.number() % 2**64) + b"\x01\0\0"
    skipped = struct.pack("<II", 0x184D2A50, 4) + b"skip"
    choices: tuple[Callable[[], bytes], ...] = (
        lambda: _compress(_bend(trial, data)),
        lambda: _compress(_bend(trial, data)),
        lambda: _bend(trial, frame),
        lambda: _bomb(b"\0", trial.chance.choice((most, most + 1, 2 * most + 1))),
        lambda: streamed,
        lambda: window,
        lambda: huge,
        lambda: skipped + frame,
        lambda: frame + skipped,
        lambda: frame + frame,
        lambda: b"",
    )
    return trial.chance.choice(choices)()


def forge_shards(trial: Trial) -> Iterator[str]:
    """Blobs that are no text, or of another length, with the checksums that the directory should have."""
    sound, size = trial.sound, trial.sound.shard_size
    shard = trial.chance.randrange(sound.shards)
    part = sound.text[shard * size : (shard + 1) * size]
    texts = (
        *(b"\xff" * 9, part.encode()[:-1], b"\xed\xa0\x80" * len(part), b"\n" * len(part), part.encode() + b"x"),
        *(b"\xf4\x90\x80\x80" * len(part), "😀".encode() * len(part), b"", part.encode()[1:], b"\0" * len(part)),
    )
    data = trial.chance.choice(texts)
    blob = _frame(trial, data, 4 * len(part)) if trial.chance.randrange(3) == 0 else _compress(data)
    segment, index = divmod(shard, 4_096)
    key = key_of(CHECKSUMS, segment)
    row = bytearray(sound.rows["directory"][key][:-8])
    struct.pack_into("<Q", row, 8 * index, xxh3_64_intdigest(blob, shard << 25 | len(part)))
    with trial.edit() as editor:
        editor.put("shards", shard, blob)
        editor.put("directory", key, sealed(key, bytes(row)))
    yield f"shard {shard} is {data!r:.30} in {blob!r:.30}"


NAME_LIES: tuple[object, ...] = (
    "",
    "../up",
    "/root",
    "a/../../b",
    "a\0b",
    "\ud800",
    "\udcff",
    "n" * 5_000,
    ".",
    "many/0",
)
FIELD_LIES: Mapping[str, tuple[object, ...]] = {
    "name": NAME_LIES,
    "start": (-1, 0, 2**31, 2**63, 2**64, 10**400, True, 1.0, None, "0"),
    "stop": (-1, 0, 2**31, 2**63, 2**64, 10**400, False, 1.0, None, "0"),
    "encoding": (
        *("latin-1", "utf-16", "utf-7", "rot13", "zlib", "hex", "base64", "idna", "punycode", "undefined", "no\0ne"),
        *("unicode_escape", "raw_unicode_escape", "mbcs", "nothing", "", "\ud800", "x" * 5_000, "cp037", "uu", None),
    ),
    "errors": ("replace", "surrogateescape", "xmlcharrefreplace", "nothing", "", "\0", "\ud800", None),
    "newlines": ("universal", "nothing", "", None),
    "source_bytes": (0, -1, 1, 2**63, 10**400, None),
    "sha256": ("", "00" * 32, "\ud800", None),
    "exact": (False, 0, None, "no"),
}


def forge_documents(trial: Trial) -> Iterator[str]:
    """A batch of documents that lies, its checksum and the digest of all right."""
    trial.choose_with("documents")
    rows = {key: row for key, row in trial.sound.rows["documents"].items() if key >> 32 == BATCHES}
    number = trial.chance.choice(list(rows))
    columns = json.loads(zstandard.ZstdDecompressor().decompress(rows[number][:-8]))
    did: list[str] = []
    for _ in range(trial.chance.choice((1, 1, 1, 2, 4))):
        name = trial.chance.choice(list(FIELD_LIES))
        at = trial.chance.randrange(len(columns[name]))
        lie = trial.chance.choice(FIELD_LIES[name])
        if name in {"start", "stop"} and trial.chance.randrange(2):
            lie = max(0, int(columns[name][at] or 0) + trial.chance.choice((-1, 1, 7, 1_000, trial.number())))
        everywhere = not trial.chance.randrange(4)
        columns[name] = [lie if index == at or everywhere else old for index, old in enumerate(columns[name])]
        did.append(f"{name} of {at}: {lie!r:.40}")
    rows[number] = sealed(number, _compress(json.dumps(columns).encode()))
    with trial.edit() as editor:
        editor.put("documents", number, rows[number])
        _rewrite_documents_digest(trial, editor, rows)
    yield f"batch {number}: {'; '.join(did)}"


def _rewrite_documents_digest(trial: Trial, editor: Editor, rows: Mapping[int, bytes]) -> None:
    digest = hashlib.sha256(b"".join(row for _, row in sorted(rows.items()))).hexdigest()
    trial.rewrite_metadata(editor, {"documents_digest": digest})


def forge_batches(trial: Trial) -> Iterator[str]:
    """A batch that is something else: other JSON, deep, long, or no frame."""
    trial.choose_with("documents")
    rows = {key: row for key, row in trial.sound.rows["documents"].items() if key >> 32 == BATCHES}
    number = trial.chance.choice(list(rows))
    data = zstandard.ZstdDecompressor().decompress(rows[number][:-8])
    columns = json.loads(data)
    names, most = list(columns), 2**26
    choices: tuple[Callable[[], bytes], ...] = (
        lambda: _frame(trial, data, most),
        lambda: _compress(b"[" * 100_000),
        lambda: _compress(b'{"a":' * 50_000),
        lambda: _compress(json.dumps({name: columns[name][:-1] for name in names}).encode()),
        lambda: _compress(json.dumps({name: columns[name] * 2 for name in names}).encode()),
        lambda: _compress(json.dumps({name: columns[name] for name in names[1:]}).encode()),
        lambda: _compress(json.dumps({name: [] for name in names}).encode()),
        lambda: _compress(json.dumps({name: {"a": 1} for name in names}).encode()),
        lambda: _compress(json.dumps(dict.fromkeys(names, "text")).encode()),
        lambda: _compress(json.dumps(dict.fromkeys(names)).encode()),
        lambda: _compress(b'{"start":[' + b"9" * 100_000 + b"]}"),
        lambda: _compress(b'{"start":[1e999,NaN,-Infinity]}'),
        lambda: _compress(data.decode().replace("{", '{"more":[1],', 1).encode()),
        lambda: _compress(b"\xff" + data),
        lambda: _bomb(b" ", most),
        lambda: _bomb(b"[],", most - 3),
    )
    how = trial.chance.randrange(len(choices))
    rows[number] = sealed(number, choices[how]())
    with trial.edit() as editor:
        editor.put("documents", number, rows[number])
        if trial.chance.randrange(2):
            _rewrite_documents_digest(trial, editor, rows)
    yield f"batch {number} is of form {how}, {len(rows[number])} bytes"


def plant_bombs(trial: Trial) -> Iterator[str]:
    """A row that is short in the file and long in memory: a batch of documents, or a map."""
    trial.choose_with("documents")
    if "maps" in trial.sound.rows and trial.chance.randrange(2):
        numbers = _bomb(trial.chance.choice((b"\0", bytes(range(256)))), trial.chance.choice((2**24, 2**26, 2**28)))
        places = _bomb(b"\0", trial.chance.choice((12, 12 * 2**21)))
        row = sealed(0, struct.pack("<I", len(numbers)) + numbers + places)
        with trial.edit() as editor:
            editor.put("maps", 0, row)
        yield f"map 0 is a bomb of {len(row)} bytes"
        return
    unit = trial.chance.choice((b"[],", b"{},", b"0,", b'"ab",', b"1.5,", b'{"a":[]},'))
    size = 2**26 - 100
    body = (unit * (size // len(unit)))[:-1]
    rows = {key: row for key, row in trial.sound.rows["documents"].items() if key >> 32 == BATCHES}
    rows[0] = sealed(0, _compress(b'{"name":[' + body + b"]}"))
    with trial.edit() as editor:
        editor.put("documents", 0, rows[0])
        _rewrite_documents_digest(trial, editor, rows)
    yield f"batch 0 is {size} bytes of {unit!r} in {len(rows[0])}"


def forge_names(trial: Trial) -> Iterator[str]:
    """The index of the documents' names, or their bounds, that lie under right checksums."""
    trial.choose(lambda sound: key_of(NAMES) in sound.rows.get("documents", {}))
    key = trial.chance.choice([key for key in trial.sound.rows["documents"] if key >> 32 in {NAMES, BOUNDS}])
    row = trial.sound.rows["documents"][key][:-8]
    numbers = list(struct.unpack(f"<{len(row) // 8}Q", row))
    lies: tuple[list[int], ...] = (
        *(numbers[::-1], numbers[::2], [], numbers * 2, [number | 2**32 - 1 for number in numbers]),
        *([number ^ 1 for number in numbers], [2**64 - 1] * len(numbers), [0] * len(numbers)),
    )
    lie = trial.chance.choice(lies)
    row = _bend(trial, row) if trial.chance.randrange(2) else struct.pack(f"<{len(lie)}Q", *lie)
    with trial.edit() as editor:
        editor.put("documents", key, sealed(key, row))
    yield f"documents {key} forged, {len(row)} bytes"


def forge_ngrams(trial: Trial) -> Iterator[str]:
    """Rows of the index that lie under right checksums."""
    trial.choose_with("ngrams")
    with trial.edit() as editor:
        keys = trial.chance.sample(list(trial.sound.rows["ngrams"]), trial.chance.choice((1, 50, 900)))
        for key in {*keys, 0} if trial.chance.randrange(3) == 0 else keys:
            root = trial.sound.rows["directory"][key_of(ROOT)]
            digest = root[48 * (key >> 32) + 16 : 48 * (key >> 32) + 48]
            data = zstandard.ZstdDecompressor().decompress(trial.sound.rows["ngrams"][key][:-8])
            editor.put("ngrams", key, sealed(key, _frame(trial, data, len(data)), digest))
    yield f"{len(keys)} rows of the index from {keys[0]} forged"


def forge_hints(trial: Trial) -> Iterator[str]:
    """Where rows lie, as the directory and the maps say it, under right checksums."""
    keys = [("maps", key) for key in trial.sound.rows.get("maps", {})]
    keys += [("directory", key) for key in trial.sound.rows["directory"] if key >> 32 == PLACES]
    # An engine without pages has no such rows; one is put there, which nobody asked for.
    table, key = trial.chance.choice(keys or [("directory", key_of(PLACES)), ("maps", 0)])
    places = _frame(trial, trial.chance.randbytes(120), 12 * 4_096)
    numbers = _frame(trial, trial.chance.randbytes(80), 2**28 if not trial.chance.randrange(20) else 2**16)
    length = trial.chance.choice((len(numbers), len(numbers), 0, 2**32 - 1, trial.number() % 2**32))
    row = places if table == "directory" else struct.pack("<I", length) + numbers + places
    with trial.edit() as editor:
        editor.put(table, key, sealed(key, row))
    yield f"{table} {key} forged, {len(row)} bytes"


def take_rows(trial: Trial) -> Iterator[str]:
    """Rows of another text's pack of equal shape, each of which is sound."""
    table = trial.table()
    rows, others = trial.sound.rows[table], trial.sound.twin_rows[table]
    keys = [key for key in others if rows.get(key) != others[key]] or list(others)
    chosen = trial.chance.sample(keys, min(len(keys), trial.chance.choice((1, 2, len(keys)))))
    with trial.edit() as editor:
        for key in chosen:
            editor.put(table, key, others[key])
        if trial.chance.randrange(3) == 0:
            for name, row in trial.sound.twin_rows["directory"].items():
                editor.put("directory", name, row)
        if trial.chance.randrange(3) == 0:
            with edited(trial.sound.engine, Path(trial.sound.twin), write=False) as twin:
                metadata = twin.metadata()
            for field_name, value in metadata.items():
                editor.put_metadata(field_name, value)
    yield f"{table}: {len(chosen)} rows from {chosen[0]} are another pack's"


def take_pages(trial: Trial) -> Iterator[str]:
    """Pages of another text's pack of equal shape: what a copy that was interrupted leaves."""
    twin = Path(trial.sound.twin).read_bytes()
    pages = min(len(twin), len(trial.sound.data)) // PAGE
    first = trial.chance.randrange(pages)
    last = trial.chance.choice((first + 1, pages, trial.chance.randrange(first, pages) + 1))
    _write_over(trial, first * PAGE, twin[first * PAGE : last * PAGE])
    yield f"pages {first} to {last - 1} are another pack's"


KINDS = (
    Kind("1 bit anywhere", partial(flip_anywhere, 1), weight=3),
    Kind("3 bits anywhere", partial(flip_anywhere, 3), weight=2),
    Kind("30 bits anywhere", partial(flip_anywhere, 30), weight=2),
    Kind("bits: file header", flip_header, weight=2),
    Kind("bits: heads of pages", flip_pages, weight=3),
    Kind("bits: heads of rows", flip_heads, weight=3),
    *(Kind(f"bits: {table} rows", partial(flip_row, table)) for table in TABLES[:-1]),
    Kind("bits: maps rows", partial(flip_row, "maps"), engine="sqlite"),
    Kind("bits: metadata", flip_metadata),
    Kind("cut at page borders", cut_at_pages),
    Kind("cut inside pages", cut_inside_pages),
    Kind("grown by garbage", grow),
    Kind("pages wiped", zero_pages, weight=2),
    Kind("pages over pages", copy_pages, weight=2),
    Kind("pages swapped", swap_pages, weight=2),
    Kind("bursts of noise", write_noise, weight=2),
    Kind("rows swapped", swap_rows, weight=2),
    Kind("rows duplicated", duplicate_rows, weight=2),
    Kind("rows missing", drop_rows, weight=2),
    Kind("rows changed", change_rows, weight=2),
    Kind("metadata changed", change_metadata, weight=2),
    Kind("tables changed", change_container, weight=2),
    Kind("files beside", put_beside, engine="sqlite"),
    Kind("forged: metadata", forge_metadata, forged=True, weight=2),
    Kind("forged: lengths", forge_length, forged=True, weight=2),
    Kind("forged: directory", forge_directory, forged=True, weight=2),
    Kind("forged: shards", forge_shards, forged=True, weight=2),
    Kind("forged: documents", forge_documents, forged=True, weight=3),
    Kind("forged: batches", forge_batches, forged=True),
    Kind("forged: bombs", plant_bombs, forged=True),
    Kind("forged: names, bounds", forge_names, forged=True),
    Kind("forged: n-gram index", forge_ngrams, forged=True),
    Kind("forged: hints", forge_hints, forged=True),
    Kind("forged: another's rows", take_rows, forged=True, weight=2),
    Kind("forged: another's pages", take_pages, forged=True, weight=2),
)
# Each kind once before any comes again.
_WHEELS = {
    engine: tuple(
        kind
        for turn in range(max(kind.weight for kind in KINDS))
        for kind in KINDS
        if kind.weight > turn and kind.engine in {None, engine}
    )
    for engine in ENGINES
}


def kind_of(engine: str, trial: int) -> Kind:
    """What kind of damage a trial does."""
    return _WHEELS[engine][trial % len(_WHEELS[engine])]


@dataclass
class Verdict:
    """What became of reading one damaged copy.

    Attributes:
        outcome: the worst of all reads.
        findings: what was not right: outcome, operation and detail of each.
    """

    outcome: str = "right"
    findings: list[list[str]] = field(default_factory=list)

    def add(self, outcome: str, operation: str, detail: str) -> None:
        """Take what one read gave."""
        self.findings.append([outcome, operation, detail[:MOST_DETAIL]])
        self.outcome = max(self.outcome, outcome, key=OUTCOMES.index)


def reads(sound: Sound, chance: random.Random) -> Iterator[Read]:
    """What is asked of a pack, and what it must say."""
    text, length = sound.text, len(sound.text)
    yield "len", len, length
    for _ in range(4):
        start = chance.randrange(length)
        stop = start + chance.choice((1, sound.shard_size, 3 * sound.shard_size + 1, length))
        yield f"[{start}:{stop}]", lambda p, cut=slice(start, stop): str(p[cut]), text[start:stop]  # type: ignore[misc]
        yield f"[{start}]", lambda p, at=start: p[at] if at < len(p) else "", text[start]  # type: ignore[misc]
    yield "[-9:]", lambda p: p[-9:], text[-9:]
    yield "[:9]", lambda p: p[:9], text[:9]
    yield "[-1]", lambda p: p[-1] if len(p) else "", text[-1]
    yield "[::-97]", lambda p: str(p[::-97]), text[::-97]
    at = chance.randrange(length)
    needles = (text[at : at + 5], text[at : at + 40], RARE, "panickernel", "no such thing", "文文", "\0\0\0\0", "é")
    for needle in needles:
        low = chance.choice((0, chance.randrange(length)))
        yield f"find {needle!r} {low}", lambda p, n=needle, low=low: p.find(n, low), text.find(needle, low)  # type: ignore[misc]
        yield f"rfind {needle!r}", lambda p, n=needle: p.rfind(n), text.rfind(needle)  # type: ignore[misc]
        yield f"count {needle!r}", lambda p, n=needle: p.count(n), text.count(needle)  # type: ignore[misc]
        yield f"{needle!r} in", lambda p, n=needle: n in p, needle in text  # type: ignore[misc]
    hits = [match.start() for match in re.finditer(RARE, text)]
    yield "find_all", lambda p: list(p.find_all(RARE)), hits
    pattern = rf"{RARE}\d+ "
    yield "re.findall", lambda p: dp.re.findall(pattern, p), re.findall(pattern, text)
    yield "lower().find", lambda p: p.lower().find(RARE), text.lower().find(RARE)
    yield "split", lambda p: [str(part) for part in p.split(RARE)], text.split(RARE)
    lines = text.split("\n")
    lines = lines if lines[-1] else lines[:-1]
    yield "len lines", lambda p: len(p.lines), len(lines)
    for number in {0, chance.randrange(len(lines)), len(lines) - 1}:
        yield f"line {number}", lambda p, n=number: str(p.lines[n]) if n < len(p.lines) else "", lines[number]  # type: ignore[misc]
    yield "lines", lambda p: list(map(str, p.lines)), lines
    at = chance.randrange(length)
    yield f"line_at {at}", lambda p, at=at: p.line_at(min(at, len(p))), text.count("\n", 0, at)  # type: ignore[misc]
    yield from _document_reads(sound, chance)
    yield "str", str, text
    yield "iteration", "".join, text


def _document_reads(sound: Sound, chance: random.Random) -> Iterator[Read]:
    names, length = sound.names, len(sound.text)
    yield "len documents", lambda p: len(p.documents), len(names)
    yield "names", lambda p: list(p.documents), names
    yield "no such name", lambda p: "no such name" in p.documents, False
    for name in dict.fromkeys(chance.choices(names, k=3)) if names else ():
        text = sound.texts[names.index(name)]
        yield (
            f"document {name}",
            lambda p, n=name: str(p.documents[n]) if n in p.documents else None,  # type: ignore[misc]
            text,
        )
    for at in (0, chance.randrange(length), length - 1):
        inside = zip(names, itertools.pairwise(sound.starts), strict=False)
        expected = next((name for name, (start, stop) in inside if start <= at < stop), None)
        yield f"document_at {at}", lambda p, at=at: _name_at(p, at), expected  # type: ignore[misc]
    first, last = length // 3, length // 2
    places = zip(names, itertools.pairwise(sound.starts), strict=False)
    within = [n for n, (start, stop) in places if start < last and (stop > first or start == stop >= first)]
    yield "view", lambda p: list(p.view(first, last).documents) if len(p) >= last else None, within


def _name_at(prompt: dp.DistributedPrompt, offset: int) -> str | None:
    document = prompt.document_at(min(offset, len(prompt)))
    return document.name if document else None


def unpacked(backend: Backend, sound: Sound, folder: Path) -> object:
    """What unpacking gives: bytes, or those of each file."""
    if len(sound.names) <= 1:
        output = io.BytesIO()
        dp.unpack(backend, output)
        return output.getvalue()
    # A pack that claims to have one document makes a file there.
    folder.unlink(missing_ok=True)
    try:
        dp.unpack(backend, folder)
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    finally:
        if folder.is_dir():
            shutil.rmtree(folder)


def original(sound: Sound) -> object:
    """What unpacking must give."""
    if len(sound.names) <= 1:
        return sound.text.encode()
    return {name: text.encode() for name, text in zip(sound.names, sound.texts, strict=True)}


@cache
def _representation(sound_path: str) -> str:
    with dp.open(sound_path) as prompt:
        return repr(prompt).replace(sound_path, "…")


class FarSource(ByteSource):
    """A file that is read as if it were on a server: by position, and with hints of what will be asked for."""

    def __init__(self, path: Path) -> None:
        """Open it."""
        self.name = str(path)
        self._data: bytes | None = path.read_bytes()
        self.size_bytes = len(self._data)

    def read(self, offset: int, size: int) -> bytes:
        """As the base class says."""
        return self.check_open()[offset : offset + size]

    def prefetch(self, ranges: Iterable[range]) -> None:
        """Take all ranges, as whoever fetches them would."""
        for _ in ranges:
            pass

    def check_open(self) -> bytes:
        """As the base class says."""
        if self._data is None:
            message = f"{self.name} is closed"
            raise ClosedError(message)
        return self._data

    def close(self) -> None:
        """As the base class says."""
        self._data = None


class FarBackend(Backend):
    """A pack in such a file."""

    def __init__(self, path: Path) -> None:
        """Open it."""
        self.address = str(path)
        self.pack = Pack(open_source(FarSource(path)))

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        """As the base class says."""
        return type(self), (Path(self.address),)


class Reading:
    """Reads one copy in every way.

    Attributes:
        verdict: what came of it so far.
    """

    def __init__(self, path: Path, note: Callable[[str], object]) -> None:
        """Take the copy, and what is told of each operation before it is tried."""
        self.verdict = Verdict()
        self._path = path
        self._note = note

    def attempt(self, name: str, read: Callable[[], object], expected: object = ...) -> object:
        """Try one operation, and compare what it gives unless anything may come."""
        self._note(name)
        try:
            found = read()
        except dp.DPromptError as error:
            self.verdict.add("typed error", name, f"{type(error).__name__}: {error}")
        except MemoryError as error:
            self.verdict.add("memory", name, _where(error))
        except Exception as error:  # noqa: BLE001  # what it is for
            self.verdict.add("untyped", name, _where(error))
        else:
            if expected is not ... and found != expected:
                self.verdict.add("wrong", name, f"{found!r:.200}, expected {expected!r:.200}")
            return found
        return None

    def read(self, sound: Sound, folder: Path, seed: str, *, far: bool) -> None:
        """Everything but verifying."""
        backend = self.attempt("open", partial(FarBackend if far else dp.FileBackend, self._path))
        if not isinstance(backend, Backend):
            return
        with dp.DistributedPrompt(backend) as prompt:
            self.attempt("repr", lambda: repr(prompt).replace(str(self._path), "…"), _representation(sound.path))
            for name, read, expected in reads(sound, random.Random(seed)):  # noqa: S311  # the same every time
                self.attempt(name, partial(read, prompt), expected)
                if self.verdict.outcome == "memory":
                    # The other reads would take as long, and say nothing more.
                    return
            self.attempt("unpack", partial(unpacked, backend, sound, folder), original(sound))
            self._verify(backend)

    def _verify(self, backend: Backend) -> None:
        problems = self.attempt("verify", lambda: list(itertools.islice(dp.verify(backend), MOST_PROBLEMS)))
        if problems:
            self.verdict.add("typed error", "verify", str(problems)[2:])
        elif problems is not None and self.verdict.findings:
            self.verdict.add("wrong", "verify", f"finds nothing, but {self.verdict.findings[0][1:]}")


def judge(
    sound: Sound, path: Path, folder: Path, seed: str, note: Callable[[str], object] = str, *, far: bool = False
) -> Verdict:
    """Read a copy in every way.

    Args:
        sound: what it is a copy of.
        path: where it lies.
        folder: one that does not exist, to unpack into.
        seed: what decides which parts of it are asked for.
        note: is told of each operation before it is tried.
        far: whether to read it as from a server.
    """
    reading = Reading(path, note)
    reading.read(sound, folder, seed, far=far)
    return reading.verdict


def _where(error: BaseException) -> str:
    """An exception, and the last few places in the package that it went through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f"{Path(frame.filename).name}:{frame.name}" for frame in frames if "distributed_prompt" in frame.filename]
    return f"{type(error).__name__} in {' > '.join(ours[-3:])}: {error!s:.200}"


def _high_water_bytes() -> int:
    """The most memory that this process had since it was last asked to forget."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1_024


def work() -> None:
    """Judge copies, as lines of JSON from the standard input say which; a worker process does this."""
    sounds: dict[str, Sound] = {}
    with Path(sys.argv[1]).open("r+b", buffering=0) as notes:
        reserved = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_DATA, (_data_bytes() + LIMIT_BYTES, reserved))
        resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_BYTES, resource.RLIM_INFINITY))
        faulthandler.enable()
        for line in sys.stdin:
            job = json.loads(line)
            if job["sound"]["path"] not in sounds:
                sounds[job["sound"]["path"]] = Sound(**job["sound"])
            # Writing this makes the high-water mark begin anew.
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            before = _high_water_bytes()
            note = partial(_note, notes.fileno(), 0.9 * job["seconds"])
            sound = sounds[job["sound"]["path"]]
            verdict = judge(sound, Path(job["path"]), Path(job["folder"]), job["seed"], note, far=job["far"])
            if (grown := _high_water_bytes() - before) > MEMORY_BYTES:
                verdict.add("memory", "all", f"{grown // MEGABYTE} MB more than before")
            faulthandler.cancel_dump_traceback_later()
            print(json.dumps(asdict(verdict)), flush=True)


def _note(descriptor: int, seconds: float, name: str) -> None:
    """Write down what is tried now, and have it said where that is if it takes too long."""
    faulthandler.dump_traceback_later(seconds)
    os.pwrite(descriptor, f"{time.monotonic()} {name}".encode()[:NOTE_BYTES].ljust(NOTE_BYTES), 0)


def _data_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmData:")[2].split()[0]) * 1_024


class Worker:
    """A process that judges copies, watched: it may crash, hang and eat memory without harm to this one."""

    def __init__(self, folder: Path, seconds: float, setup: str = "") -> None:
        """Take a folder for what it needs, the seconds that an operation may take, and what the process runs first."""
        self._folder = folder
        self._seconds = seconds
        self._setup = setup
        self._process: subprocess.Popen[bytes] | None = None
        self._hangs: set[str] = set()
        self._notes = folder / "note"
        self._errors = folder / "stderr"

    def judge(self, sound: Sound, path: Path, seed: str, *, far: bool) -> Verdict:
        """What reading a copy gives. The first hang of a kind is tried again: other programs may be at work."""
        job = {
            "path": str(path),
            "folder": str(self._folder / "unpacked"),
            "seed": seed,
            "far": far,
            "seconds": self._seconds,
            "sound": {name: getattr(sound, name) for name in Sound.__dataclass_fields__},
        }
        verdict = self._ask(job)
        if verdict.outcome == "hang" and (operation := verdict.findings[0][1].partition(" ")[0]) not in self._hangs:
            verdict = self._ask(job)
            self._hangs |= {operation} if verdict.outcome == "hang" else set()
        return verdict

    def _ask(self, job: Mapping[str, object]) -> Verdict:
        process = self._process or self._start()
        assert process.stdin is not None  # noqa: S101  # pipes were asked for
        assert process.stdout is not None  # noqa: S101  # as above
        try:
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()
            if not self._answers(process.stdout):
                return self._ended("hang", f"not done within {self._seconds:g} s")
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if answer.endswith(b"\n"):
            return Verdict(**json.loads(answer))
        code = process.wait()
        return self._ended("crash", signal.Signals(-code).name if code < 0 else f"exit code {code}")

    def _answers(self, pipe: IO[bytes]) -> bool:
        """Wait for an answer, or for a single operation that takes too long."""
        note, since = b"", time.monotonic()
        while not select.select([pipe], [], [], POLL_SECONDS)[0]:
            before, note = note, self._notes.read_bytes()
            if note != before:
                since = time.monotonic()
            elif time.monotonic() - since > (self._seconds if note else START_SECONDS):
                return False
        return True

    def _start(self) -> subprocess.Popen[bytes]:
        script = f"{self._setup}\nfrom tools.fault_campaign import work\nwork()"
        self._notes.write_bytes(b"")
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", script, str(self._notes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=Path(__file__).parent.parent,
            )
        return self._process

    def _ended(self, outcome: str, detail: str) -> Verdict:
        self.close()
        said, note = (path.read_text(encoding="utf-8", errors="replace") for path in (self._errors, self._notes))
        verdict = Verdict()
        verdict.add(outcome, note.partition(" ")[2].strip(), f"{detail}\n{said.strip()}")
        return verdict

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None


@dataclass(frozen=True)
class Failure:
    """A copy that was read wrongly.

    Attributes:
        replay: what does it again.
        kind: of damage.
        what: what was damaged.
        outcome: what came of it.
        findings: the reads that gave it.
    """

    replay: str
    kind: str
    what: str
    outcome: str
    findings: list[list[str]]


class Campaign:
    """Many trials, counted.

    Attributes:
        counts: for each engine and kind of damage, how often each outcome came.
        failures: all of them.
    """

    def __init__(self, folder: Path, sounds: Sequence[Sound], seconds: float = SECONDS, setup: str = "") -> None:
        """Begin.

        Args:
            folder: for the copies.
            sounds: the packs that are damaged.
            seconds: how long one operation may take.
            setup: statements that worker processes begin with.
        """
        self.counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.failures: list[Failure] = []
        self._engines = tuple(dict.fromkeys(sound.engine for sound in sounds))
        self._folder = folder
        self._sounds = sounds
        self._worker = Worker(folder, seconds, setup)

    def check_sound(self) -> None:
        """Read the packs as they are; where that fails, damage says nothing.

        Raises:
            AssertionError: one is not read right.
        """
        for sound, far in itertools.product(self._sounds, (False, True)):
            verdict = self._worker.judge(sound, Path(sound.path), "0", far=far and sound.shards < MANY_SHARDS)
            if verdict.outcome != "right":
                message = f"{sound.engine} {sound.name}: undamaged, but {verdict.findings}"
                raise AssertionError(message)

    def run(self, seed: int, trials: int, minutes: float = float("inf"), *, forged: bool | None = None) -> None:
        """Do trials, of each engine in turn, until there were enough or the time is up.

        Args:
            seed: of the campaign.
            trials: how many, for each engine.
            minutes: when to stop.
            forged: whether to do only those that take a forger, or only the others; all if not given.
        """
        stop = time.monotonic() + 60 * minutes
        for trial in range(trials):
            for engine in self._engines:
                if time.monotonic() > stop:
                    return
                if forged in {None, kind_of(engine, trial).forged}:
                    self.trial(seed, engine, trial)

    def trial(self, seed: int, engine: str, number: int) -> list[tuple[str, Verdict]]:
        """Do one trial: what was damaged, and what came of it, each time."""
        replay = f"{seed}:{engine}:{number}"
        wheel = _WHEELS[engine]
        turn, place = divmod(number, len(wheel))
        kind = wheel[place]
        serial = turn * kind.weight + sum(other is kind for other in wheel[:place])
        sounds = [sound for sound in self._sounds if sound.engine == engine]
        chance = random.Random(replay)  # noqa: S311  # the same every time
        far = not chance.randrange(3)
        trial = Trial(sounds, self._folder / f"copy.{engine}", chance, serial)
        found = []
        for what in kind.damage(trial):
            # From afar, a pack of thousands of tiny shards takes longer than one that hangs may.
            far = far and trial.sound.shards < MANY_SHARDS
            verdict = self._worker.judge(trial.sound, trial.path, replay, far=far)
            found.append((f"{trial.sound.name}{', from afar' if far else ''}: {what}", verdict))
            self.counts[engine, kind.name][verdict.outcome] += 1
            allowed = {"wrong"} if kind.forged else set()
            if verdict.outcome in FAILURES - allowed:
                worst = [finding for finding in verdict.findings if finding[0] in FAILURES - allowed]
                self.failures.append(Failure(replay, kind.name, found[-1][0], verdict.outcome, worst))
        return found

    def table(self) -> Iterator[str]:
        """The counts, as lines of a Markdown table. What is in parentheses is no failure."""
        yield f"| engine | damage | trials | {' | '.join(OUTCOMES)} |"
        yield f"|---|---|{'---:|' * (len(OUTCOMES) + 1)}"
        for engine in self._engines:
            total: Counter[str] = Counter()
            for kind in KINDS:
                counts = self.counts[engine, kind.name]
                if counts:
                    yield _row(engine, kind.name, counts, forged=kind.forged)
                    total.update({"(wrong)" if kind.forged and o == "wrong" else o: n for o, n in counts.items()})
            yield _row(engine, "**all**", total, forged=False)

    def close(self) -> None:
        """End the worker process."""
        self._worker.close()


def _row(engine: str, name: str, counts: Counter[str], *, forged: bool) -> str:
    cells = [f"{counts[outcome]:,}" for outcome in OUTCOMES]
    allowed = counts["wrong"] if forged else counts["(wrong)"]
    wrong = 0 if forged else counts["wrong"]
    if allowed:
        cells[OUTCOMES.index("wrong")] = f"{wrong:,} ({allowed:,})" if wrong or not forged else f"({allowed:,})"
    return f"| {engine} | {name} | {counts.total():,} | {' | '.join(cells)} |"


def _show(failures: Sequence[Failure]) -> None:
    """All failures, those together that came about in the same place."""
    groups: dict[str, list[Failure]] = defaultdict(list)
    for failure in failures:
        outcome, operation, detail = failure.findings[0]
        place = detail.partition(":")[0] if outcome == "untyped" else operation.split()[0]
        groups[f"{outcome}: {place}"].append(failure)
    for name, group in sorted(groups.items()):
        print(f"\n{name} ({len(group)})")
        print(f"  {group[0].kind}, {group[0].what}\n  {group[0].findings[0]}")
        print("".join(f"  --replay {failure.replay}\n" for failure in group), end="")


def main() -> None:
    """Run a campaign, or one trial of it again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=(*ENGINES, "both"), default="both")
    parser.add_argument("--trials", type=int, default=TRIALS, help="for each engine")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that one operation may take")
    parser.add_argument("--replay", metavar="SEED:ENGINE:TRIAL", help="do one trial again, and keep the damaged copy")
    arguments = parser.parse_args()
    if arguments.replay:
        seed, engine, number = arguments.replay.split(":")
        failed = _replay(int(seed), engine, int(number), arguments.seconds)
    else:
        engines = ENGINES if arguments.engine == "both" else (arguments.engine,)
        failed = _run(engines, arguments.seed, arguments.trials, arguments.minutes, arguments.seconds)
    sys.exit(failed)


def _run(engines: Sequence[str], seed: int, trials: int, minutes: float, seconds: float) -> bool:
    """Run a campaign; whether there were failures."""
    with tempfile.TemporaryDirectory(prefix="fault-") as name:
        folder = Path(name)
        with closing(Campaign(folder, make_sounds(folder / "sound", engines), seconds)) as campaign:
            campaign.check_sound()
            start = time.monotonic()
            # What was found until somebody had enough is worth as much.
            with suppress(KeyboardInterrupt):
                campaign.run(seed, trials, minutes)
            print("\n".join(campaign.table()))
            print(f"\nSeed {seed}, Python {platform.python_version()}, {time.monotonic() - start:,.0f} s.")
            _show(campaign.failures)
            return bool(campaign.failures)


def _replay(seed: int, engine: str, number: int, seconds: float) -> bool:
    """Do one trial again; whether it fails."""
    folder = Path(tempfile.mkdtemp(prefix="fault-"))
    with closing(Campaign(folder, make_sounds(folder / "sound", (engine,)), seconds)) as campaign:
        for what, verdict in campaign.trial(seed, engine, number):
            print(f"{what}: {verdict.outcome}")
            print("".join(f"  {' | '.join(finding)}\n" for finding in verdict.findings), end="")
        print(f"The last copy is in {folder}.")
        return bool(campaign.failures)


if __name__ == "__main__":
    main()
