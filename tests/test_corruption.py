"""Damaged packs: the right text or an error of ours, and ``verify`` says what any read would."""

import hashlib
import io
import os
import random
import re
import shutil
import sqlite3
import struct
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

import distributed_prompt as dp
from distributed_prompt.errors import CorruptPackError, DPromptError, NotAPackError, UnsupportedPackError
from distributed_prompt.store.base import Table

MODULES = ("argparse.py", "heapq.py", "textwrap.py", "json/decoder.py", "csv.py", "zipfile.py", "statistics.py")
SHARD_SIZE = 8_192
CHARACTERS = 250_000
PAGE = 4_096
SEED = 20_240_229
FLIPS = 500
STRUCTURAL_FLIPS = 500
PLACE = re.compile(
    r"\b(shard \d|directory|documents?|metadata|shards|header|table '|tree \d|page \d|row \d|freelist|rootpage)",
    re.IGNORECASE,
)


@dataclass
class Report:
    """What became of reading one damaged pack."""

    wrong: list[str] = field(default_factory=list)
    read_errors: list[DPromptError] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    refused: DPromptError | None = None

    @property
    def names_a_place(self) -> bool:
        """Whether what verify says, if anything, tells where the damage is."""
        return not self.problems or any(PLACE.search(problem.partition(": ")[2]) for problem in self.problems)


@dataclass(frozen=True)
class Sound:
    """The pack that copies are damaged of, and its text."""

    path: Path
    data: bytes
    text: str

    @property
    def shards(self) -> int:
        return -(-len(self.text) // SHARD_SIZE)

    def rows(self) -> Iterator[tuple[str, bytes]]:
        """All rows of all tables of blobs. SQLite leaves stale copies of some in pages' slack."""
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(self.data)
            for table in ("shards", "directory", "documents"):
                for key, value in connection.execute(f"SELECT key, value FROM {table}"):  # noqa: S608  # ours
                    yield f"{table} row {key}", value

    def reads(self) -> Iterator[tuple[str, Callable[[dp.DistributedPrompt], object], object]]:
        """Ways to read a prompt, with what each must give."""
        text, length = self.text, len(self.text)
        lines = text.split("\n")
        lines = lines if lines[-1] else lines[:-1]
        for start in range(0, length, SHARD_SIZE):
            part = text[start : start + SHARD_SIZE]
            yield f"slice {start}", lambda p, start=start: p[start : start + SHARD_SIZE], part  # type: ignore[misc]
        yield "len", len, length
        yield "str", str, text
        for at in (0, SHARD_SIZE - 9, length // 2, length - 20):
            needle = text[at : at + 20]
            yield f"find {at}", lambda p, needle=needle: p.find(needle), text.find(needle)  # type: ignore[misc]
            yield f"rfind {at}", lambda p, needle=needle: p.rfind(needle), text.rfind(needle)  # type: ignore[misc]
        yield "find nothing", lambda p: p.find("\x01\x02"), -1
        yield "count", lambda p: p.count("self"), text.count("self")
        yield "lines", lambda p: list(p.lines), lines
        yield "len lines", lambda p: len(p.lines), len(lines)
        for index in (0, len(lines) // 3, len(lines) - 1):
            yield f"line {index}", lambda p, index=index: p.lines[index], lines[index]  # type: ignore[misc]
        for offset in (0, length // 2, length):
            number = text.count("\n", 0, offset)
            yield f"line_at {offset}", lambda p, offset=offset: p.line_at(offset), number  # type: ignore[misc]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    folder = tmp_path_factory.mktemp("sound")
    library = Path(sysconfig.get_path("stdlib"))
    texts = [library.joinpath(module).read_text(encoding="utf-8") for module in MODULES if (library / module).exists()]
    text = "".join(texts)[: CHARACTERS - 60] + "\né 日本語 😀 the last line has no newline at its end"
    (folder / "in.txt").write_bytes(text.encode())
    pack = Path(dp.pack(folder / "in.txt", folder / "sound.dprompt", shard_size=SHARD_SIZE).path)
    return Sound(pack, pack.read_bytes(), text)


@pytest.fixture
def copy(sound: Sound, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(sound.path, tmp_path / "copy.dprompt"))


def inspect(sound: Sound, path: Path) -> Report:
    """Read all of a damaged pack in every way. Exceptions that are not ours go through."""
    report = Report()
    try:
        backend = dp.FileBackend(path)
    except DPromptError as error:
        report.refused = error
        return report
    with dp.DistributedPrompt(backend) as prompt:
        unpack = ("unpack", lambda _: _unpacked(backend), sound.text.encode())
        for name, read, expected in (*sound.reads(), unpack):
            try:
                found = read(prompt)
            except DPromptError as error:
                report.read_errors.append(error)
            else:
                if found != expected:
                    report.wrong.append(name)
        report.problems = list(dp.verify(backend))
    return report


def _unpacked(backend: dp.FileBackend) -> bytes:
    output = io.BytesIO()
    dp.unpack(backend, output)
    return output.getvalue()


def check(sound: Sound, path: Path) -> Report:
    """The promises that hold whatever was damaged."""
    report = inspect(sound, path)
    assert not report.wrong, f"wrong text: {report.wrong}"
    assert all(str(path) in str(error) for error in report.read_errors), report.read_errors
    if report.refused:
        assert str(path) in str(report.refused)
    if report.read_errors:
        assert report.problems, f"verify finds nothing, but reading says: {report.read_errors[0]!r}"
    assert all(problem.startswith(f"{path}: ") for problem in report.problems), report.problems
    return report


def problems(path: Path) -> list[str]:
    with dp.FileBackend(path) as backend:
        return list(dp.verify(backend))


def check_noticed(sound: Sound, path: Path, message: str) -> Report:
    """As :func:`check`, and either opening or verifying says so in these words."""
    report = check(sound, path)
    said = [str(report.refused)] if report.refused else report.problems
    assert any(re.search(message, line) for line in said), said
    assert report.names_a_place
    return report


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def rewrite_metadata(path: Path, **changes: str | None) -> None:
    """Change or remove rows, and make the checksum right again, by the format's documentation."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rows = dict(connection.execute("SELECT name, value FROM metadata").fetchall()) | changes
        rows = {name: value for name, value in rows.items() if value is not None and name != "checksum"}
        data = b"".join(
            struct.pack("<QQ", len(name), len(rows[name].encode())) + f"{name}{rows[name]}".encode()
            for name in sorted(rows)
        )
        rows["checksum"] = hashlib.sha256(data).hexdigest()
        connection.execute("DELETE FROM metadata")
        connection.executemany("INSERT INTO metadata VALUES(?, ?)", rows.items())


def renew(path: Path, data: bytes) -> None:
    """A new file of that name: workers may still read the old one, which must not be cut short under them."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def flip(data: bytes, bit: int) -> bytes:
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


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


def structural_bytes(data: bytes) -> list[int]:
    """Offsets of what holds the trees together: file header, page headers, cell pointers, heads of cells."""
    found = set(range(100))
    for start, head in b_tree_pages(data):
        size = 12 if data[head] in {2, 5} else 8
        (cells,) = struct.unpack_from(">H", data, head + 3)
        found.update(range(head, head + size + 2 * cells))
        for cell in struct.unpack_from(f">{cells}H", data, head + size):
            found.update(range(start + cell, start + cell + 12))
    return sorted(found)


def damage_bits(
    sound: Sound, tmp_path: Path, bits: list[int], what: str, capsys: pytest.CaptureFixture[str]
) -> Counter[str]:
    """Flip each bit alone; count what came of it and print the counts."""
    counts: Counter[str] = Counter()
    path = tmp_path / "flipped.dprompt"
    failures, placeless = [], []
    for bit in bits:
        where = f"seed {SEED}, byte {bit // 8} bit {bit % 8}"
        renew(path, flip(sound.data, bit))
        try:
            report = check(sound, path)
        except Exception as error:  # noqa: BLE001  # all of them are listed, with what makes them again
            failures.append(f"{where}: {type(error).__name__}: {error}")
            continue
        kind = "refused" if report.refused else "read errors" if report.read_errors else "right"
        counts[f"{kind}, {'reported' if report.problems or report.refused else 'unnoticed'}"] += 1
        if not report.names_a_place:
            placeless.append(f"{where}: {set(report.problems)}")
    with capsys.disabled():
        print(f"\n{what}: {len(bits)} flips of {len(sound.data):,} bytes: {dict(counts)}")  # noqa: T201  # the figure
    assert not failures, f"{len(failures)} of {len(bits)}:\n" + "\n".join(failures[:20])
    assert not placeless, f"{len(placeless)} of {len(bits)} without a place:\n" + "\n".join(placeless[:20])
    return counts


def test_the_sound_pack_is_read_right_in_every_way(sound: Sound, copy: Path) -> None:
    report = check(sound, copy)
    assert (report.refused, report.read_errors, report.problems) == (None, [], [])


@pytest.mark.timeout(100)
def test_no_flipped_bit_gives_wrong_text(sound: Sound, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bits = random.Random(SEED).sample(range(8 * len(sound.data)), FLIPS)  # noqa: S311  # the same every time
    counts = damage_bits(sound, tmp_path, bits, "anywhere", capsys)
    assert counts["read errors, reported"] > FLIPS // 3


@pytest.mark.timeout(100)
def test_no_flipped_bit_of_the_trees_gives_wrong_text(
    sound: Sound, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every = [8 * byte + bit for byte in structural_bytes(sound.data) for bit in range(8)]
    bits = random.Random(SEED).sample(every, STRUCTURAL_FLIPS)  # noqa: S311  # the same every time
    damage_bits(sound, tmp_path, bits, "structure", capsys)


def test_no_flipped_bit_that_makes_a_blob_text_gives_another_error(sound: Sound, tmp_path: Path) -> None:
    """The lowest bit of a record's type is what tells a blob from a text."""
    failures = []
    for name, row in sound.rows():
        at = sound.data.index(row[:40])
        record = sound.data[at - 1 : at + 40]
        renew(tmp_path / "text.dprompt", sound.data.replace(record, flip(record, 0)))
        try:
            check(sound, tmp_path / "text.dprompt")
        except Exception as error:  # noqa: BLE001  # all of them are listed
            failures.append(f"{name}: {type(error).__name__}: {error}")
    assert not failures, "\n".join(failures)


def test_verify_notices_a_flipped_bit_in_every_row(sound: Sound, tmp_path: Path) -> None:
    unnoticed = []
    for name, row in sound.rows():
        head = row[:64]
        renew(tmp_path / "row.dprompt", sound.data.replace(head, flip(head, 8 * len(head) // 2)))
        if not check(sound, tmp_path / "row.dprompt").problems:
            unnoticed.append(name)
    assert unnoticed == []


@pytest.mark.timeout(60)
def test_a_truncated_pack_is_refused(sound: Sound, tmp_path: Path) -> None:
    path = tmp_path / "short.dprompt"
    sizes = {len(sound.data) * percent // 100 for percent in range(100)}
    for size in sorted(sizes | {1, 15, 16, 99, 100, 101, PAGE, len(sound.data) - PAGE, len(sound.data) - 1}):
        renew(path, sound.data[:size])
        report = check(sound, path)
        assert isinstance(report.refused, NotAPackError | CorruptPackError), size


def test_a_pack_with_something_behind_it_is_refused(sound: Sound, tmp_path: Path) -> None:
    path = tmp_path / "long.dprompt"
    for more in (b"\n", bytes(PAGE), sound.data):
        renew(path, sound.data + more)
        assert isinstance(check(sound, path).refused, CorruptPackError)


@pytest.mark.parametrize("fill", [b"\x00", b"\xff", b"SQLite format 3\x00"])
def test_a_page_that_was_overwritten_never_gives_wrong_text(sound: Sound, tmp_path: Path, fill: bytes) -> None:
    path = tmp_path / "page.dprompt"
    for start in range(0, len(sound.data), PAGE):
        page = (fill * PAGE)[:PAGE]
        renew(path, sound.data[:start] + page + sound.data[start + PAGE :])
        report = check(sound, path)
        assert report.refused or report.problems, f"page {start // PAGE + 1}"
        assert report.names_a_place, f"page {start // PAGE + 1}: {set(report.problems)}"


def test_two_pages_that_were_swapped_never_give_wrong_text(sound: Sound, tmp_path: Path) -> None:
    path = tmp_path / "pages.dprompt"
    pages = [sound.data[at : at + PAGE] for at in range(0, len(sound.data), PAGE)]
    chance = random.Random(SEED)  # noqa: S311  # the same every time
    for _ in range(60):
        first, second = chance.sample(range(len(pages)), 2)
        swapped = list(pages)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        renew(path, b"".join(swapped))
        report = check(sound, path)
        assert report.refused or report.problems, f"seed {SEED}, pages {first + 1} and {second + 1}"


def test_two_shards_that_were_swapped_are_both_reported(sound: Sound, copy: Path) -> None:
    execute(
        copy,
        "UPDATE shards SET key=-1 WHERE key=3",
        "UPDATE shards SET key=3 WHERE key=7",
        "UPDATE shards SET key=7 WHERE key=-1",
    )
    report = check(sound, copy)
    assert [line for line in report.problems if "shard 3: checksum" in line]
    assert [line for line in report.problems if "shard 7: checksum" in line]
    assert report.read_errors


@pytest.mark.parametrize("key", [0, 5, "last"])
def test_a_shard_that_was_deleted_is_reported(sound: Sound, copy: Path, key: int | str) -> None:
    shard = sound.shards - 1 if key == "last" else key
    execute(copy, f"DELETE FROM shards WHERE key={shard}")  # noqa: S608  # ours
    check_noticed(sound, copy, f"shard {shard}: missing")


def test_a_shard_that_stands_in_for_another_is_reported(sound: Sound, copy: Path) -> None:
    execute(copy, "UPDATE shards SET value=(SELECT value FROM shards WHERE key=2) WHERE key=4")
    check_noticed(sound, copy, "shard 4: checksum")


@pytest.mark.parametrize("key", [-1, 10_000, 2**62])
@pytest.mark.parametrize("table", ["shards", "directory", "documents"])
def test_a_row_too_many_is_reported(sound: Sound, copy: Path, table: str, key: int) -> None:
    execute(copy, f"INSERT INTO {table} SELECT {key}, value FROM {table} LIMIT 1")  # noqa: S608  # ours
    report = check_noticed(sound, copy, f"{table}: row {key} ")
    assert report.read_errors == []


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("CAST(value AS TEXT)", id="text"),
        pytest.param("'text'", id="ascii"),
        pytest.param("12", id="integer"),
        pytest.param("1.5", id="real"),
        pytest.param("x''", id="empty"),
        pytest.param("zeroblob(100)", id="zeros"),
        pytest.param("CAST(value || x'00' AS BLOB)", id="longer"),
        pytest.param("substr(value, 1, length(value) - 1)", id="shorter"),
    ],
)
@pytest.mark.parametrize("table", ["shards", "directory", "documents"])
def test_a_row_of_another_kind_is_reported(sound: Sound, copy: Path, table: str, value: str) -> None:
    execute(copy, f"UPDATE {table} SET value={value} WHERE key=(SELECT max(key) FROM {table})")  # noqa: S608  # ours
    report = check(sound, copy)
    assert report.problems
    assert report.read_errors


@pytest.mark.parametrize("column", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("what", ["missing", "text", "flipped"])
def test_a_damaged_row_of_the_directory_is_reported(sound: Sound, copy: Path, column: int, what: str) -> None:
    key = column << 32
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        (row,) = connection.execute("SELECT value FROM directory WHERE key=?", (key,)).fetchone()
        values = {"text": "CAST(value AS TEXT)", "flipped": f"x'{flip(row, 3).hex()}'"}
        connection.execute(
            f"DELETE FROM directory WHERE key={key}"  # noqa: S608  # ours
            if what == "missing"
            else f"UPDATE directory SET value={values[what]} WHERE key={key}"  # noqa: S608  # as above
        )
    check_noticed(sound, copy, "directory")


def test_rows_of_the_directory_that_were_swapped_are_reported(sound: Sound, copy: Path) -> None:
    execute(
        copy,
        "UPDATE directory SET key=-1 WHERE key=2 << 32",
        "UPDATE directory SET key=2 << 32 WHERE key=3 << 32",
        "UPDATE directory SET key=3 << 32 WHERE key=-1",
    )
    check_noticed(sound, copy, "directory: (sizes|checksums) of segment 0: checksum")


def test_missing_documents_are_reported(sound: Sound, copy: Path) -> None:
    execute(copy, "DELETE FROM documents")
    check_noticed(sound, copy, "documents: block 0: missing")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM metadata",
        "DELETE FROM metadata WHERE name='checksum'",
        "DELETE FROM metadata WHERE name='length'",
        "INSERT INTO metadata VALUES('extra', 'row')",
        "UPDATE metadata SET name='lenght' WHERE name='length'",
        "UPDATE metadata SET value=upper(value) WHERE name='checksum'",
        "UPDATE metadata SET value=x'00' WHERE name='length'",
        "UPDATE metadata SET value=CAST(x'ff' AS TEXT) WHERE name='length'",
        "UPDATE metadata SET value=value || ' ' WHERE name='root_digest'",
        *(
            f"UPDATE metadata SET value=value + 1 WHERE name='{name}'"  # noqa: S608  # ours
            for name in ("length", "shards", "lines", "level")
        ),
    ],
)
def test_metadata_that_was_changed_is_refused(sound: Sound, copy: Path, statement: str) -> None:
    execute(copy, statement)
    report = check(sound, copy)
    assert isinstance(report.refused, CorruptPackError)
    assert "metadata" in str(report.refused)


@pytest.mark.parametrize(
    "name", ["utf8_bytes", "newlines", "lines", "width", "documents", "root_digest", "length", "shard_size"]
)
def test_metadata_that_lies_under_a_right_checksum_is_reported(copy: Path, name: str) -> None:
    """Not damage but forgery, so reading may be wrong; verifying must not be."""
    lies = {"width": "0", "documents": "0", "root_digest": "00" * 32, "shard_size": str(SHARD_SIZE - 1)}
    with closing(sqlite3.connect(copy)) as connection:
        (value,) = connection.execute("SELECT value FROM metadata WHERE name=?", (name,)).fetchone()
    rewrite_metadata(copy, **{name: lies.get(name) or str(int(value) - 1)})
    assert problems(copy)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("length", [2**40, 2**63 - 1, 2**63, 10**30])
def test_a_length_that_lies_beyond_all_measure_is_an_error_of_ours(copy: Path, length: int) -> None:
    rewrite_metadata(copy, length=str(length), shards=str(-(-length // SHARD_SIZE)))
    try:
        with dp.FileBackend(copy) as backend:
            prompt = dp.DistributedPrompt(backend)
            assert len(prompt) == length
            with pytest.raises(DPromptError, match=re.escape(str(copy))):
                prompt[length - 1]
            with pytest.raises(DPromptError, match=re.escape(str(copy))):
                prompt.find("\x01\x02")
    except CorruptPackError as error:
        assert str(copy) in str(error)  # noqa: PT017  # refusing it when opening is as good


def test_verify_reports_a_length_that_lies_before_it_counts_to_it(copy: Path) -> None:
    rewrite_metadata(copy, length=str(2**40), shards=str(2**40 // SHARD_SIZE))
    with dp.FileBackend(copy) as backend:
        assert next(iter(dp.verify(backend))).startswith(str(copy))


def test_a_newer_format_is_refused(sound: Sound, copy: Path) -> None:
    rewrite_metadata(copy, format_version="2")
    assert isinstance(check_noticed(sound, copy, "format 2.*newer dprompt").refused, UnsupportedPackError)
    execute(copy, "PRAGMA user_version=3")
    assert isinstance(check_noticed(sound, copy, "format 3.*newer dprompt").refused, UnsupportedPackError)


def test_an_unknown_feature_is_refused(sound: Sound, copy: Path) -> None:
    rewrite_metadata(copy, features="documents teleportation")
    assert isinstance(check_noticed(sound, copy, "feature 'teleportation'").refused, UnsupportedPackError)


def test_an_unknown_row_of_metadata_is_ignored(sound: Sound, copy: Path) -> None:
    rewrite_metadata(copy, colour="blue")
    report = check(sound, copy)
    assert (report.refused, report.read_errors, report.problems) == (None, [], [])


@pytest.mark.parametrize("what", ["other", "empty-database", "another-application"])
def test_a_database_that_is_no_pack_is_refused(sound: Sound, tmp_path: Path, what: str) -> None:
    path = tmp_path / "database"
    execute(path, "CREATE TABLE shards(key INTEGER PRIMARY KEY, value BLOB NOT NULL)")
    if what == "empty-database":
        execute(path, "DROP TABLE shards")
    if what == "another-application":
        execute(path, "PRAGMA application_id=1", "PRAGMA user_version=1")
    assert isinstance(check(sound, path).refused, NotAPackError)


def test_an_empty_database_that_says_it_is_a_pack_is_refused(sound: Sound, tmp_path: Path) -> None:
    execute(tmp_path / "database", f"PRAGMA application_id={0x64507270}", "PRAGMA user_version=1")
    assert isinstance(check(sound, tmp_path / "database").refused, CorruptPackError)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 4_096, 100_000])
def test_random_bytes_are_no_pack(sound: Sound, tmp_path: Path, size: int) -> None:
    data = random.Random(SEED).randbytes(size)  # noqa: S311  # the same every time
    (tmp_path / "noise").write_bytes(data)
    assert isinstance(check(sound, tmp_path / "noise").refused, NotAPackError)
    renew(tmp_path / "noise", (sound.data[:100] + data)[:size])
    assert isinstance(check(sound, tmp_path / "noise").refused, NotAPackError | CorruptPackError)


def test_noise_under_a_right_header_is_refused(sound: Sound, tmp_path: Path) -> None:
    path = tmp_path / "noise.dprompt"
    for seed in range(20):
        noise = random.Random(seed).randbytes(len(sound.data) - 100)  # noqa: S311  # the same every time
        renew(path, sound.data[:100] + noise)
        assert isinstance(check(sound, path).refused, CorruptPackError)


def test_the_rows_of_another_pack_are_noticed(sound: Sound, copy: Path, tmp_path: Path) -> None:
    """Two halves of different packs, each of which is sound."""
    (tmp_path / "other.txt").write_bytes(sound.text.swapcase().encode())
    other = dp.pack(tmp_path / "other.txt", tmp_path / "other.dprompt", shard_size=SHARD_SIZE).path
    for table in (Table.SHARDS, Table.DIRECTORY, Table.DOCUMENTS):
        mixed = Path(shutil.copyfile(copy, tmp_path / f"{table}.dprompt"))
        copy_rows = f"INSERT INTO {table} SELECT * FROM o.{table}"  # noqa: S608  # names from the enum
        execute(mixed, f"ATTACH '{other}' AS o", f"DELETE FROM {table}", copy_rows)  # noqa: S608  # as above
        assert problems(mixed), table


def test_a_damaged_shard_is_named_by_file_and_number(sound: Sound, copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        (blob,) = connection.execute("SELECT value FROM shards WHERE key=5").fetchone()
    renew(copy, flip(sound.data, 8 * (sound.data.index(blob[:60]) + 50)))
    with dp.open(copy) as prompt:
        for read in (partial(prompt.find, "\x01\x02"), partial(prompt.count, "self"), partial(str, prompt)):
            with pytest.raises(
                CorruptPackError, match=rf"{re.escape(str(copy))}: shard 5: checksum [0-9a-f]+, expected"
            ):
                read()
        assert prompt[: 5 * SHARD_SIZE] == sound.text[: 5 * SHARD_SIZE]
        assert prompt[6 * SHARD_SIZE :] == sound.text[6 * SHARD_SIZE :]


def test_a_table_that_comes_with_a_feature_of_the_future_is_no_damage(copy: Path) -> None:
    execute(copy, "CREATE TABLE images(key INTEGER PRIMARY KEY, value BLOB NOT NULL)")
    rewrite_metadata(copy, features="documents images")
    with pytest.raises(UnsupportedPackError, match="feature 'images'"):
        dp.open(copy)


def test_a_pipe_is_no_pack(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotAPackError, match="is a device"):
        dp.open(tmp_path / "pipe")
