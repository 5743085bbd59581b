"""What the tests of damaged packs share, whatever the engine: sound packs, damage, and what must hold of it."""

import hashlib
import io
import os
import random
import re
import shutil
import struct
import sysconfig
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import accumulate, combinations
from pathlib import Path

import pytest
from xxhash import xxh3_64_digest

import distributed_prompt as dp
from distributed_prompt.errors import CorruptPackError, DPromptError, NotAPackError, UnsupportedPackError

MODULES = ("argparse.py", "heapq.py", "textwrap.py", "json/decoder.py", "csv.py", "zipfile.py", "statistics.py")
CHARACTERS = 250_000
PAGE = 4_096
SEED = 20_240_229
# The fault campaign flips bits of thousands of packs.
MORE = 5 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 1
FLIPS = 200 * MORE
STRUCTURAL_FLIPS = 200 * MORE
TRIPLE_FLIPS = 100 * MORE
DOCUMENT_FLIPS = 50 * MORE
PLACE = re.compile(
    r"\b(shard \d|directory|documents?|metadata|shards|header|table '|"
    r"tree \d|page \d|row \d|freelist|rootpage|\w+ ?DB\b)",
    re.IGNORECASE,
)
TABLES = ("shards", "directory", "documents")
Changes = Mapping[int, bytes | None]
Read = tuple[str, Callable[[dp.DistributedPrompt], object], object]


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

    @property
    def is_clean(self) -> bool:
        """Whether nothing at all is the matter."""
        return not (self.wrong or self.read_errors or self.problems or self.refused)


class Sound(ABC):
    """The pack that copies are damaged of, and what reading it must give."""

    path: Path

    @cached_property
    def data(self) -> bytes:
        return self.path.read_bytes()

    @abstractmethod
    def reads(self) -> Iterator[Read]:
        """Ways to read a prompt, with what each must give."""

    def unpacked(self, backend: dp.FileBackend) -> object:
        """What unpacking gives, to be compared with :meth:`original`; by default nothing is unpacked."""
        return backend.address

    def original(self, backend: dp.FileBackend) -> object:
        return backend.address


@dataclass(frozen=True)
class SoundText(Sound):
    """A pack of one document."""

    path: Path
    text: str
    shard_size: int

    @property
    def shards(self) -> int:
        return -(-len(self.text) // self.shard_size)

    def reads(self) -> Iterator[Read]:
        text, length, size = self.text, len(self.text), self.shard_size
        lines = text.split("\n")
        lines = lines if lines[-1] else lines[:-1]
        for start in range(0, length, size):
            part = text[start : start + size]
            yield f"slice {start}", lambda p, start=start: p[start : start + size], part  # type: ignore[misc]
        yield "len", len, length
        yield "str", str, text
        for at in (0, size - 9, length // 2, length - 20):
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
        yield "documents", lambda p: list(p.documents), ["in.txt"]
        yield "document", lambda p: str(p.documents["in.txt"]), text

    def unpacked(self, backend: dp.FileBackend) -> object:
        output = io.BytesIO()
        dp.unpack(backend, output)
        return output.getvalue()

    def original(self, backend: dp.FileBackend) -> object:  # noqa: ARG002  # others need it
        return self.text.encode()


@dataclass(frozen=True)
class SoundDocuments(Sound):
    """A pack of many small documents, some of them empty."""

    path: Path
    texts: Mapping[str, str]
    unpacks: bool = True

    @cached_property
    def starts(self) -> list[int]:
        return [0, *accumulate(map(len, self.texts.values()))]

    @property
    def length(self) -> int:
        return self.starts[-1]

    def place(self, number: int) -> tuple[str, int, int]:
        return list(self.texts)[number], self.starts[number], self.starts[number + 1]

    def name_at(self, offset: int) -> str | None:
        places = map(self.place, range(len(self.texts)))
        return next((name for name, start, stop in places if start <= offset < stop), None)

    def names_in(self, start: int, stop: int) -> list[str]:
        """Those that share a character with a range, and empty ones inside."""
        places = map(self.place, range(len(self.texts)))
        return [n for n, first, last in places if first < stop and (last > start or first == last >= start)]

    def reads(self) -> Iterator[Read]:
        names, length = list(self.texts), self.length
        yield "len", lambda p: len(p.documents), len(names)
        yield "names", lambda p: list(p.documents), names
        yield "texts", lambda p: list(map(str, p.documents.values())), list(self.texts.values())
        yield "items", lambda p: [(n, str(t)) for n, t in p.documents.items()], list(self.texts.items())
        places = [self.place(number) for number in range(len(names))]
        yield "records", lambda p: [(d.name, d.start, d.stop) for d in p.documents.records()], places
        for number in (0, 1, 255, 256, 300, 511, 512, len(names) - 1):
            name = names[number]
            yield f"document {name}", lambda p, name=name: str(p.documents[name]), self.texts[name]  # type: ignore[misc]
            yield f"has {name}", lambda p, name=name: name in p.documents, True  # type: ignore[misc]
        yield "has another", lambda p: "no such document" in p.documents, False
        for offset in (0, length // 5, length // 2, length - 1, length):
            expected = self.name_at(offset)
            yield f"document_at {offset}", lambda p, offset=offset: _name_at(p, offset), expected  # type: ignore[misc]
        for start, stop in ((0, length // 3), (length // 3, length // 2), (length // 2, length), (7, 9)):
            inside = self.names_in(start, stop)
            yield f"view {start}", lambda p, cut=(start, stop): list(p.view(*cut).documents), inside  # type: ignore[misc]

    def unpacked(self, backend: dp.FileBackend) -> object:
        if not self.unpacks:
            return self.texts
        folder = Path(backend.address).with_suffix(".unpacked")
        try:
            dp.unpack(backend, folder)
            return {name: (folder / name).read_text(encoding="utf-8") for name in self.texts}
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def original(self, backend: dp.FileBackend) -> object:  # noqa: ARG002  # as above
        return self.texts


def _name_at(prompt: dp.DistributedPrompt, offset: int) -> str | None:
    document = prompt.document_at(offset)
    return document.name if document else None


def sound_text(folder: Path, engine: str, shard_size: int) -> SoundText:
    """A pack of ordinary source code with some characters of every width behind it."""
    library = Path(sysconfig.get_path("stdlib"))
    texts = [library.joinpath(module).read_text(encoding="utf-8") for module in MODULES if (library / module).exists()]
    text = "".join(texts)[: CHARACTERS - 60] + "\né 日本語 😀 the last line has no newline at its end"
    (folder / "in.txt").write_bytes(text.encode())
    pack = dp.pack(folder / "in.txt", folder / "sound.dprompt", shard_size=shard_size, store=engine)
    return SoundText(Path(pack.path), text, shard_size)


def sound_documents(folder: Path, engine: str, *, seed: int = SEED) -> SoundDocuments:
    """A pack of 600 documents: three batches, a row of names, and bounds."""
    chance = random.Random(seed)  # noqa: S311  # the same every time
    source = folder / "many"
    source.mkdir()
    texts = {}
    for number in range(600):
        text = "" if number % 50 == 7 else f"{number}: " + "é\nab日c"[: chance.randrange(1, 6)] * chance.randrange(1, 9)
        texts[f"many/{number:03}.txt"] = text
        (folder / f"many/{number:03}.txt").write_bytes(text.encode())
    pack = dp.pack(source, folder / "many.dprompt", shard_size=1_000, store=engine)
    return SoundDocuments(Path(pack.path), texts)


def inspect(sound: Sound, path: Path) -> Report:
    """Read all of a damaged pack in every way. Exceptions that are not ours go through."""
    report = Report()
    try:
        backend = dp.FileBackend(path)
    except DPromptError as error:
        report.refused = error
        return report
    with dp.DistributedPrompt(backend) as prompt:
        unpack = ("unpack", lambda _: sound.unpacked(backend), sound.original(backend))
        for name, read, expected in (*sound.reads(), unpack):
            try:
                found = read(prompt)
            except DPromptError as error:
                report.read_errors.append(error)
            except Exception as error:
                error.add_note(f"from: {name}")
                raise
            else:
                if found != expected:
                    report.wrong.append(name)
        report.problems = list(dp.verify(backend))
    return report


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


def check_noticed(sound: Sound, path: Path, message: str) -> Report:
    """As :func:`check`, and either opening or verifying says so in these words."""
    report = check(sound, path)
    said = [str(report.refused)] if report.refused else report.problems
    assert any(re.search(message, line) for line in said), said
    assert report.names_a_place
    return report


def problems(path: Path) -> list[str]:
    with dp.FileBackend(path) as backend:
        return list(dp.verify(backend))


def renew(path: Path, data: bytes) -> None:
    """A new file of that name: workers may still read the old one, which must not be cut short under them."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def flip(data: bytes, *bits: int) -> bytes:
    damaged = bytearray(data)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def damage_bits(
    sound: Sound, tmp_path: Path, trials: Iterable[tuple[int, ...]], what: str, capsys: pytest.CaptureFixture[str]
) -> Counter[str]:
    """Flip the bits of each trial together; count what came of it and print the counts."""
    counts: Counter[str] = Counter()
    path = tmp_path / "flipped.dprompt"
    failures, placeless = [], []
    for bits in trials:
        where = f"seed {SEED}, " + ", ".join(f"byte {bit // 8} bit {bit % 8}" for bit in bits)
        renew(path, flip(sound.data, *bits))
        try:
            report = check(sound, path)
        except Exception as error:  # noqa: BLE001  # all of them are listed, with what makes them again
            counts["failed"] += 1
            failures.append(f"{where}: {type(error).__name__}: {error}")
            continue
        kind = "refused" if report.refused else "read errors" if report.read_errors else "right"
        counts[f"{kind}, {'reported' if report.problems or report.refused else 'unnoticed'}"] += 1
        if not report.names_a_place:
            placeless.append(f"{where}: {set(report.problems)}")
    with capsys.disabled():
        print(f"\n{what}: {counts.total()} trials on {len(sound.data):,} bytes: {dict(counts)}")  # noqa: T201  # the figure
    assert not failures, f"{len(failures)} of {counts.total()}:\n" + "\n".join(failures[:20])
    assert not placeless, f"{len(placeless)} of {counts.total()} without a place:\n" + "\n".join(placeless[:20])
    return counts


def metadata_checksum(rows: Mapping[str, str]) -> str:
    """By the format's documentation."""
    data = b"".join(
        struct.pack("<QQ", len(name.encode()), len(value.encode())) + f"{name}{value}".encode()
        for name, value in sorted(rows.items())
        if name != "checksum"
    )
    return hashlib.sha256(data).hexdigest()


def _only(rows: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in rows.items() if name not in names}


METADATA_CHANGES: Mapping[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "empty": lambda _: {},
    "no checksum": lambda rows: _only(rows, "checksum"),
    "no length": lambda rows: _only(rows, "length"),
    "one too many": lambda rows: rows | {"extra": "row"},
    "misspelt": lambda rows: _only(rows, "length") | {"lenght": rows["length"]},
    "checksum in capitals": lambda rows: rows | {"checksum": rows["checksum"].upper()},
    "a space behind": lambda rows: rows | {"root_digest": rows["root_digest"] + " "},
    **{
        f"{name} + 1": lambda rows, name=name: rows | {name: str(int(rows[name]) + 1)}  # type: ignore[misc]
        for name in ("length", "shards", "lines", "level")
    },
}
ROW_CHANGES: Mapping[str, Callable[[bytes], bytes]] = {
    "ascii": lambda _: b"text",
    "empty": lambda _: b"",
    "zeros": lambda _: bytes(100),
    "longer": lambda row: row + b"\x00",
    "shorter": lambda row: row[:-1],
    "a page longer": lambda row: row + bytes(PAGE),
}


class DamageContract(ABC):
    """What no damage may do to any engine's packs. Inherit it beside a fixture ``sound`` and one ``many``."""

    engine: str

    @abstractmethod
    def rows(self, path: Path, table: str) -> dict[int, bytes]:
        """All rows of a table of blobs, read without the code under test."""

    @abstractmethod
    def change_rows(self, path: Path, table: str, changes: Changes) -> None:
        """Put rows, or delete those that are None, without the code under test."""

    @abstractmethod
    def metadata(self, path: Path) -> dict[str, str]:
        """The metadata table, read without the code under test."""

    @abstractmethod
    def write_metadata(self, path: Path, rows: Mapping[str, str]) -> None:
        """Replace the metadata table, without the code under test."""

    @abstractmethod
    def structural_bytes(self, data: bytes) -> list[int]:
        """Offsets of what holds the trees together."""

    @abstractmethod
    def used_pages(self, data: bytes) -> list[int]:
        """The numbers, from 0, of the pages that anything of the pack lies in."""

    def rewrite_metadata(self, path: Path, **changes: str | None) -> None:
        """Change or remove rows, and make the checksum right again, by the format's documentation."""
        rows = {name: value for name, value in (self.metadata(path) | changes).items() if value is not None}
        self.write_metadata(path, rows | {"checksum": metadata_checksum(rows)})

    @pytest.fixture
    def copy(self, sound: SoundText, tmp_path: Path) -> Path:
        return Path(shutil.copyfile(sound.path, tmp_path / "copy.dprompt"))

    def test_the_sound_pack_is_read_right_in_every_way(self, sound: SoundText, copy: Path) -> None:
        assert check(sound, copy).is_clean
        with dp.FileBackend(copy) as backend:
            assert backend.pack.store.engine == self.engine

    @pytest.mark.thorough
    @pytest.mark.timeout(300)
    def test_no_flipped_bit_gives_wrong_text(
        self, sound: SoundText, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bits = random.Random(SEED).sample(range(8 * len(sound.data)), FLIPS)  # noqa: S311  # the same every time
        counts = damage_bits(sound, tmp_path, ((bit,) for bit in bits), f"{self.engine}, anywhere", capsys)
        assert counts["read errors, reported"] > FLIPS // 3

    @pytest.mark.thorough
    @pytest.mark.timeout(300)
    def test_no_flipped_bit_of_the_trees_gives_wrong_text(
        self, sound: SoundText, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        every = [8 * byte + bit for byte in self.structural_bytes(sound.data) for bit in range(8)]
        bits = random.Random(SEED).sample(every, STRUCTURAL_FLIPS)  # noqa: S311  # the same every time
        counts = damage_bits(sound, tmp_path, ((bit,) for bit in bits), f"{self.engine}, structure", capsys)
        assert counts["read errors, reported"] > STRUCTURAL_FLIPS // 4

    @pytest.mark.thorough
    @pytest.mark.timeout(300)
    def test_no_three_flipped_bits_give_wrong_text(
        self, sound: SoundText, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        chance = random.Random(SEED)  # noqa: S311  # the same every time
        structure, size = self.structural_bytes(sound.data), len(sound.data)
        trials = []
        for _ in range(TRIPLE_FLIPS):
            places = (*chance.sample(structure, 2), chance.randrange(size))
            trials.append(tuple(8 * byte + chance.randrange(8) for byte in places))
        counts = damage_bits(sound, tmp_path, trials, f"{self.engine}, three at once", capsys)
        assert counts["read errors, reported"] > TRIPLE_FLIPS // 4

    @pytest.mark.thorough
    def test_verify_notices_a_flipped_bit_in_every_row(self, sound: SoundText, tmp_path: Path) -> None:
        unnoticed = []
        for table in TABLES:
            for key, row in self.rows(sound.path, table).items():
                head = row[:64]
                renew(tmp_path / "row.dprompt", sound.data.replace(head, flip(head, 8 * len(head) // 2)))
                if not check(sound, tmp_path / "row.dprompt").problems:
                    unnoticed.append((table, key))
        assert unnoticed == []

    @pytest.mark.timeout(60)
    def test_a_truncated_pack_is_refused(self, sound: SoundText, tmp_path: Path) -> None:
        path, size = tmp_path / "short.dprompt", len(sound.data)
        sizes = {size * percent // 100 for percent in range(100)} | {1, 15, 16, 27, 28, 99, 100, 101, 167, 168}
        sizes |= {page * PAGE + more for page in (1, 2, size // PAGE - 1, size // PAGE) for more in (-1, 0, 1)}
        for shorter in sorted(sizes - {size, size + 1}):
            renew(path, sound.data[:shorter])
            report = check(sound, path)
            assert isinstance(report.refused, NotAPackError | CorruptPackError), shorter

    def test_a_pack_with_something_behind_it_is_refused(self, sound: SoundText, tmp_path: Path) -> None:
        path = tmp_path / "long.dprompt"
        for more in (b"\n", bytes(PAGE), sound.data):
            renew(path, sound.data + more)
            assert isinstance(check(sound, path).refused, CorruptPackError)

    @pytest.mark.thorough
    @pytest.mark.parametrize("fill", ["zeros", "ones", "first bytes of the pack"])
    def test_a_page_that_was_overwritten_never_gives_wrong_text(
        self, sound: SoundText, tmp_path: Path, fill: str
    ) -> None:
        path = tmp_path / "page.dprompt"
        for number in self.used_pages(sound.data):
            filler = {"zeros": b"\x00", "ones": b"\xff"}.get(fill, sound.data[:32])
            start, page = number * PAGE, (filler * PAGE)[:PAGE]
            renew(path, sound.data[:start] + page + sound.data[start + PAGE :])
            report = check(sound, path)
            assert report.refused or report.problems, f"page {number}"
            assert report.names_a_place, f"page {number}: {set(report.problems)}"

    @pytest.mark.thorough
    def test_two_pages_that_were_swapped_never_give_wrong_text(self, sound: SoundText, tmp_path: Path) -> None:
        path = tmp_path / "pages.dprompt"
        pages = [sound.data[at : at + PAGE] for at in range(0, len(sound.data), PAGE)]
        chance = random.Random(SEED)  # noqa: S311  # the same every time
        for _ in range(60):
            first, second = chance.sample(self.used_pages(sound.data), 2)
            swapped = list(pages)
            swapped[first], swapped[second] = swapped[second], swapped[first]
            renew(path, b"".join(swapped))
            report = check(sound, path)
            assert report.refused or report.problems, f"seed {SEED}, pages {first} and {second}"

    @pytest.mark.thorough
    def test_a_page_that_is_a_copy_of_another_never_gives_wrong_text(self, sound: SoundText, tmp_path: Path) -> None:
        path = tmp_path / "pages.dprompt"
        pages = [sound.data[at : at + PAGE] for at in range(0, len(sound.data), PAGE)]
        chance = random.Random(SEED)  # noqa: S311  # the same every time
        for _ in range(60):
            first, second = chance.sample(self.used_pages(sound.data), 2)
            renew(path, b"".join([*pages[:first], pages[second], *pages[first + 1 :]]))
            report = check(sound, path)
            assert report.refused or report.problems, f"seed {SEED}, pages {first} and {second}"

    def test_two_shards_that_were_swapped_are_both_reported(self, sound: SoundText, copy: Path) -> None:
        rows = self.rows(copy, "shards")
        self.change_rows(copy, "shards", {3: rows[7], 7: rows[3]})
        report = check(sound, copy)
        assert [line for line in report.problems if "shard 3: checksum" in line]
        assert [line for line in report.problems if "shard 7: checksum" in line]
        assert report.read_errors

    @pytest.mark.parametrize("key", [0, 5, "last"])
    def test_a_shard_that_was_deleted_is_reported(self, sound: SoundText, copy: Path, key: int | str) -> None:
        shard = sound.shards - 1 if isinstance(key, str) else key
        self.change_rows(copy, "shards", {shard: None})
        check_noticed(sound, copy, f"shard {shard}: missing")

    def test_a_shard_that_stands_in_for_another_is_reported(self, sound: SoundText, copy: Path) -> None:
        self.change_rows(copy, "shards", {4: self.rows(copy, "shards")[2]})
        check_noticed(sound, copy, "shard 4: checksum")

    @pytest.mark.parametrize("key", [10_000, 2**62])
    @pytest.mark.parametrize("table", TABLES)
    def test_a_row_too_many_is_reported(self, sound: SoundText, copy: Path, table: str, key: int) -> None:
        self.change_rows(copy, table, {key: next(iter(self.rows(copy, table).values()))})
        report = check_noticed(sound, copy, f"{table}: row {key} ")
        assert report.read_errors == []

    @pytest.mark.parametrize("change", ROW_CHANGES)
    @pytest.mark.parametrize("table", TABLES)
    def test_a_row_that_was_changed_is_reported(self, sound: SoundText, copy: Path, table: str, change: str) -> None:
        key, row = max(self.rows(copy, table).items())
        self.change_rows(copy, table, {key: ROW_CHANGES[change](row)})
        report = check(sound, copy)
        assert report.problems
        assert report.read_errors

    @pytest.mark.parametrize("table", TABLES)
    def test_a_table_without_rows_is_reported(self, sound: SoundText, copy: Path, table: str) -> None:
        self.change_rows(copy, table, dict.fromkeys(self.rows(copy, table)))
        what = {"shards": "shard 0: missing", "documents": "documents: batch 0: missing"}.get(table, "directory")
        assert check_noticed(sound, copy, what).read_errors

    @pytest.mark.parametrize("what", ["missing", "flipped"])
    def test_a_damaged_row_of_the_directory_is_reported(self, sound: SoundText, copy: Path, what: str) -> None:
        for key, row in self.rows(sound.path, "directory").items():
            renew(copy, sound.data)
            self.change_rows(copy, "directory", {key: None if what == "missing" else flip(row, 3)})
            check_noticed(sound, copy, "directory")

    def test_rows_of_the_directory_that_were_swapped_are_reported(self, sound: SoundText, copy: Path) -> None:
        rows = self.rows(copy, "directory")
        self.change_rows(copy, "directory", {2 << 32: rows[3 << 32], 3 << 32: rows[2 << 32]})
        check_noticed(sound, copy, "directory: (sizes|checksums) of segment 0: checksum")

    @pytest.mark.parametrize("change", METADATA_CHANGES)
    def test_metadata_that_was_changed_is_refused(self, sound: SoundText, copy: Path, change: str) -> None:
        self.write_metadata(copy, METADATA_CHANGES[change](self.metadata(copy)))
        report = check(sound, copy)
        assert isinstance(report.refused, CorruptPackError)
        assert "metadata" in str(report.refused)

    @pytest.mark.parametrize(
        "name", ["utf8_bytes", "newlines", "lines", "width", "documents", "root_digest", "length", "shard_size"]
    )
    def test_metadata_that_lies_under_a_right_checksum_is_reported(
        self, sound: SoundText, copy: Path, name: str
    ) -> None:
        """Not damage but forgery, so reading may be wrong; verifying must not be."""
        lies = {"width": "0", "documents": "0", "root_digest": "00" * 32, "shard_size": str(sound.shard_size - 1)}
        self.rewrite_metadata(copy, **{name: lies.get(name) or str(int(self.metadata(copy)[name]) - 1)})
        try:
            assert problems(copy)
        except CorruptPackError as error:
            assert f"{copy}: metadata: lines " in str(error)  # noqa: PT017  # what cannot be is refused

    @pytest.mark.timeout(10)
    @pytest.mark.parametrize("length", [2**40, 2**63 - 1, 2**63, 10**30])
    def test_a_length_that_lies_beyond_all_measure_is_an_error_of_ours(
        self, sound: SoundText, copy: Path, length: int
    ) -> None:
        shards = str(-(-length // sound.shard_size))
        self.rewrite_metadata(copy, length=str(length), shards=shards, utf8_bytes=str(length))
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

    def test_a_length_that_the_file_has_no_room_for_is_refused(self, sound: SoundText, copy: Path) -> None:
        shards = str(-(-(2**40) // sound.shard_size))
        self.rewrite_metadata(copy, length=str(2**40), shards=shards, utf8_bytes=str(2**40))
        with pytest.raises(CorruptPackError, match=f"^{copy}: metadata: .* are more than .* bytes can hold"):
            dp.FileBackend(copy)

    def test_a_newer_format_is_refused(self, sound: SoundText, copy: Path) -> None:
        self.rewrite_metadata(copy, format_version="2")
        assert isinstance(check_noticed(sound, copy, "format 2.*newer dprompt").refused, UnsupportedPackError)

    def test_an_unknown_feature_is_refused(self, sound: SoundText, copy: Path) -> None:
        self.rewrite_metadata(copy, features="documents teleportation")
        assert isinstance(check_noticed(sound, copy, "feature 'teleportation'").refused, UnsupportedPackError)

    def test_an_unknown_row_of_metadata_is_ignored(self, sound: SoundText, copy: Path) -> None:
        self.rewrite_metadata(copy, colour="blue")
        assert check(sound, copy).is_clean

    @pytest.mark.parametrize("size", [0, 1, 27, 28, 99, 100, 4_096, 8_192, 100_000])
    def test_random_bytes_are_no_pack(self, sound: SoundText, tmp_path: Path, size: int) -> None:
        data = random.Random(SEED).randbytes(size)  # noqa: S311  # the same every time
        (tmp_path / "noise").write_bytes(data)
        assert isinstance(check(sound, tmp_path / "noise").refused, NotAPackError)
        renew(tmp_path / "noise", (sound.data[:100] + data)[:size])
        assert isinstance(check(sound, tmp_path / "noise").refused, NotAPackError | CorruptPackError)

    def test_the_rows_of_another_pack_are_noticed(self, sound: SoundText, copy: Path, tmp_path: Path) -> None:
        """Two halves of different packs, each of which is sound."""
        (tmp_path / "other.txt").write_bytes(sound.text.swapcase().encode())
        output = tmp_path / "other.dprompt"
        dp.pack(tmp_path / "other.txt", output, shard_size=sound.shard_size, store=self.engine)
        for table in TABLES:
            renew(copy, sound.data)
            self.change_rows(copy, table, dict.fromkeys(self.rows(copy, table)) | self.rows(output, table))
            assert problems(copy), table

    def test_a_damaged_shard_is_named_by_file_and_number(self, sound: SoundText, copy: Path) -> None:
        blob = self.rows(copy, "shards")[5]
        renew(copy, flip(sound.data, 8 * (sound.data.index(blob[:60]) + 50)))
        size = sound.shard_size
        with dp.open(copy) as prompt:
            for read in (partial(prompt.find, "\x01\x02"), partial(prompt.count, "self"), partial(str, prompt)):
                with pytest.raises(
                    CorruptPackError, match=rf"{re.escape(str(copy))}: shard 5: checksum [0-9a-f]+, expected"
                ):
                    read()
            assert prompt[: 5 * size] == sound.text[: 5 * size]
            assert prompt[6 * size :] == sound.text[6 * size :]

    @pytest.fixture
    def many_copy(self, many: SoundDocuments, tmp_path: Path) -> Path:
        return Path(shutil.copyfile(many.path, tmp_path / "copy.dprompt"))

    def test_a_sound_pack_of_many_documents_is_read_right_in_every_way(
        self, many: SoundDocuments, many_copy: Path
    ) -> None:
        assert check(many, many_copy).is_clean
        assert list(self.rows(many_copy, "documents")) == [0, 1, 2, 1 << 32, 2 << 32]

    @pytest.mark.thorough
    @pytest.mark.parametrize("what", ["missing", "flipped", *ROW_CHANGES])
    @pytest.mark.parametrize(
        "key", [0, 1, 2, 1 << 32, 2 << 32], ids=["batch 0", "batch 1", "batch 2", "names", "bounds"]
    )
    def test_a_damaged_row_of_documents_gives_right_answers_or_errors_and_is_reported(
        self, many: SoundDocuments, many_copy: Path, key: int, what: str
    ) -> None:
        row = self.rows(many_copy, "documents")[key]
        changes: dict[str, bytes | None] = {"missing": None, "flipped": flip(row, 4 * len(row))}
        self.change_rows(many_copy, "documents", {key: changes[what] if what in changes else ROW_CHANGES[what](row)})
        report = check_noticed(many, many_copy, "documents: (batch|names|bounds)")
        assert report.read_errors

    def test_rows_of_documents_that_were_swapped_are_reported(self, many: SoundDocuments, many_copy: Path) -> None:
        rows = self.rows(many_copy, "documents")
        for first, second in combinations(rows, 2):
            renew(many_copy, many.data)
            self.change_rows(many_copy, "documents", {first: rows[second], second: rows[first]})
            assert check_noticed(many, many_copy, "documents: (batch|names|bounds)").read_errors

    @pytest.mark.thorough
    def test_no_flipped_bit_of_any_row_of_documents_gives_a_wrong_answer(
        self, many: SoundDocuments, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        chance = random.Random(SEED)  # noqa: S311  # the same every time
        trials = []
        for row in self.rows(many.path, "documents").values():
            head = row[:400]
            # SQLite leaves stale copies of some in pages' slack.
            places = [found.start() for found in re.finditer(re.escape(head), many.data)]
            trials += [tuple(8 * at + bit for at in places) for bit in chance.sample(range(8 * len(head)), 6)]
        counts = damage_bits(replace(many, unpacks=False), tmp_path, trials, f"{self.engine}, documents", capsys)
        assert counts == {"read errors, reported": len(trials)}

    @pytest.mark.thorough
    def test_no_flipped_bit_of_the_trees_gives_a_wrong_document(
        self, many: SoundDocuments, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        every = [8 * byte + bit for byte in self.structural_bytes(many.data) for bit in range(8)]
        bits = random.Random(SEED).sample(every, DOCUMENT_FLIPS)  # noqa: S311  # the same every time
        counts = damage_bits(
            replace(many, unpacks=False), tmp_path, ((bit,) for bit in bits), f"{self.engine}, documents' trees", capsys
        )
        assert counts["read errors, reported"] > DOCUMENT_FLIPS // 5

    def test_a_row_too_many_of_documents_is_reported(self, many: SoundDocuments, many_copy: Path) -> None:
        for key in (3, 1 << 32 | 1, 2 << 32 | 1, 3 << 32):
            renew(many_copy, many.data)
            self.change_rows(many_copy, "documents", {key: b"more"})
            assert check_noticed(many, many_copy, f"documents: row {key} ").read_errors == []

    def test_the_documents_of_another_pack_are_noticed_and_never_another_exception(
        self, many: SoundDocuments, many_copy: Path, tmp_path: Path
    ) -> None:
        """Each row is sound by itself, so an answer may be wrong; what is raised is ours, and verify notices."""
        other = self.rows(sound_documents(tmp_path, self.engine, seed=1).path, "documents")
        for key, row in other.items():
            renew(many_copy, many.data)
            if row == self.rows(many_copy, "documents")[key]:
                continue  # the names are the same
            self.change_rows(many_copy, "documents", {key: row})
            assert inspect(many, many_copy).problems, key

    def test_bounds_that_lie_never_give_another_exception(self, many: SoundDocuments, many_copy: Path) -> None:
        """Forgery: sealed as the format says."""
        for bounds in ((0, 0) * 3, (0, 2**64 - 1) * 3, (2**64 - 1, 0) * 3, (9, 5_000, 1, 2, 0, 2**63)):
            renew(many_copy, many.data)
            self.change_rows(many_copy, "documents", {2 << 32: sealed(2 << 32, struct.pack("<6Q", *bounds))})
            assert inspect(many, many_copy).problems, bounds

    def test_names_that_lie_never_give_another_exception(self, many: SoundDocuments, many_copy: Path) -> None:
        """As above."""
        row = self.rows(many_copy, "documents")[1 << 32][:-8]
        entries = struct.unpack(f"<{len(row) // 8}Q", row)
        lies = {
            "none": [],
            "descending": entries[::-1],
            "numbers beyond": [entry | 2**32 - 1 for entry in entries],
            "numbers of others": [entry ^ 1 for entry in entries],
            "half": entries[::2],
        }
        for name, lie in lies.items():
            renew(many_copy, many.data)
            data = struct.pack(f"<{len(lie)}Q", *lie)
            self.change_rows(many_copy, "documents", {1 << 32: sealed(1 << 32, data)})
            with dp.FileBackend(many_copy) as backend:
                for document in many.texts:
                    assert isinstance(document in dp.DistributedPrompt(backend).documents, bool)
                assert list(dp.verify(backend)), name


def sealed(key: int, row: bytes) -> bytes:
    """A row of the documents with its checksum, by the format's documentation."""
    return row + xxh3_64_digest(row, key)
