"""Attacks on the n-gram index: small segments, damage to its rows, packs that grow, threads and forks."""

import os
import pickle
import random
import re
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import lmdb
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt import runs as runs_module
from distributed_prompt import shards as shards_module
from distributed_prompt import verification
from distributed_prompt.errors import ClosedError, CorruptPackError, DPromptError, OutputError, OutputExistsError
from distributed_prompt.store import codec
from distributed_prompt.store import metadata as stored_metadata
from distributed_prompt.store import ngrams as stored
from distributed_prompt.store.base import Table
from distributed_prompt.text.literal import Literal
from tests.inside import Indexed, set_segments, shards_of
from tests.strategies import examples

pytestmark = pytest.mark.thorough
SEGMENT = 16
LEAST = 3
ENGINES = ("sqlite", "lmdb")
SIZES = (4, 5, 7, 9, 16, 31)
LETTERS = (
    "ab",
    "abc-",
    "aAkK\u212a",
    "iI\u0130\u0131\u0307",
    "sS\u017f\u00df",
    "\u03c3\u03a3\u03c2aA",
    "\u65e5\u672ca",
    "\U0001f600ab",
    "\ud800\udfffab",
    "\0a",
)
Changes = Mapping[int, bytes | None]


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of so few shards that small texts have several, the last one perhaps without an index."""
    set_segments(monkeypatch, SEGMENT, LEAST)
    # Short texts, too, are searched on the worker threads, in runs of several lengths.
    monkeypatch.setattr(runs_module, "_NEAR_BYTES", 0)
    monkeypatch.setattr(shards_module, "_RUN_BYTES", 100)


def prompt_of(text: str, shard_size: int) -> dp.DistributedPrompt:
    prompt = dp.DistributedPrompt(Indexed(text, shard_size))
    prompt.view_threshold = 10
    return prompt


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, int, str, random.Random]:
    """A text, a shard size, and something to look for that lies anywhere, or nowhere."""
    dice = random.Random(draw(st.integers(0, 2**40)))  # noqa: S311  # no secret
    letters, size = draw(st.sampled_from(LETTERS)), draw(st.sampled_from(SIZES))
    length = draw(st.integers(0, 4 * SEGMENT)) * size + draw(st.integers(0, size))
    if draw(st.booleans()):
        text = "".join(dice.choices(letters, k=length))
    else:
        word = "".join(dice.choices(letters, k=dice.randint(1, size + 1)))
        at = dice.choice(
            [dice.randint(0, length), min(length, dice.randint(1, 4) * SEGMENT * size - dice.randint(0, 4))]
        )
        text = ("-" * at + word + "-" * length)[:length]
    count = dice.choice([1, 3, 4, 5, 6, size - 1, size, size + 1])
    start = dice.randrange(length) if length else 0
    needle = text[start : start + max(1, count)] or "absent"
    change = dice.randrange(5)
    needle = needle.swapcase() if change == 0 else needle.lower() if change == 1 else needle
    needle = "".join(dice.choices(letters, k=max(1, count))) if change == 2 else needle
    return text, size, needle, dice


def bounds(dice: random.Random, length: int) -> tuple[int | None, int | None]:
    first, last = (dice.choice([None, dice.randint(-length - 2, length + 2)]) for _ in range(2))
    return first, last


def assert_searches_agree(prompt: Any, text: str, needle: str, dice: random.Random) -> None:
    start, stop = bounds(dice, len(text))
    for method in ("find", "rfind", "count"):
        assert getattr(prompt, method)(needle, start, stop) == getattr(text, method)(needle, start, stop), method
    assert (needle in prompt) == (needle in text)
    if isinstance(prompt, str):
        return
    first, last, _ = slice(start, stop).indices(len(text))
    for flags in (0, re.IGNORECASE):
        found = list(prompt.find_all(needle, start, stop, ignore_case=bool(flags)))
        assert found == [match.start() for match in re.compile(re.escape(needle), flags).finditer(text, first, last)]
    many = [needle, text[3:9], text[-6:], "nowhere"]
    assert prompt.find_many(many, start, stop) == {each: text.find(each, start, stop) for each in many}


@examples(80)
@given(cases())
def test_views_sums_and_lowered_texts_are_searched_as_str_is(case: tuple[str, int, str, random.Random]) -> None:
    text, size, needle, dice = case
    prompt = prompt_of(text, size)
    (a, b), (c, d) = bounds(dice, len(text)), bounds(dice, len(text))
    for made, real in (
        (prompt, text),
        (prompt.view(a, b).view(c, d), text[a:b][c:d]),
        (prompt + prompt.view(a, b), text + text[a:b]),
        (prompt.view(a, b) * 3, text[a:b] * 3),
        (prompt.lower(), text.lower()),
        (prompt.view(a, b).lower(), text[a:b].lower()),
        (prompt.lower().lower(), text.lower()),
    ):
        assert_searches_agree(made, real, needle, dice)
        assert_searches_agree(made, real, needle.lower(), dice)


@examples(60)
@given(cases(), st.sampled_from([-1, 0, 1, 2]), st.sampled_from(["", "x", "<>", "longer", "i\u0307"]))
def test_what_is_cut_and_replaced_is_what_str_makes(
    case: tuple[str, int, str, random.Random], count: int, new: str
) -> None:
    text, size, needle, dice = case
    a, b = bounds(dice, len(text))
    prompt, part = prompt_of(text, size).view(a, b), text[a:b]
    for method in ("split", "rsplit"):
        fields, expected = getattr(prompt, method)(needle, count), getattr(part, method)(needle, count)
        number = dice.randrange(len(expected))
        assert str(fields[number]) == expected[number]
        assert len(fields) == len(expected)
        assert [str(field) for field in fields] == expected
    replaced, real = prompt.replace(needle, new, count), part.replace(needle, new, count)
    if real:
        number = dice.randrange(len(real))
        assert replaced[number] == real[number]
    assert_searches_agree(replaced, real, needle, dice)
    assert str(replaced) == real
    both, real = prompt.lower().replace(needle.lower(), new, count), part.lower().replace(needle.lower(), new, count)
    assert len(both) == len(real)
    assert str(both) == real


def test_no_more_is_decoded_than_an_occurrence_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(stored, "LEAST_SIZE", 1)
    size, word = 300, "needlexyz"  # more characters than the index looks back
    border = 4096 * size
    text = "".join(f"{number:08d}" for number in range((border + 100 * size) // 8))
    for at in (len(text) - len(word), border - 4, border, 123_456):
        changed = text[:at] + word + text[at + len(word) :]
        prompt = prompt_of(changed, size)
        assert prompt[0] == changed[0]
        searches: tuple[Callable[[dp.DistributedPrompt], object], ...] = (
            lambda p: p.find(word),
            lambda p: p.rfind(word),
            lambda p: next(p.find_all(word.upper(), ignore_case=True)),
            lambda p: p.find_many([word, "nowhere"])[word],
            lambda p: p.lower().find(word),
        )
        for search in searches:
            before = prompt.stats.decoded_shards
            assert search(prompt) == at
            assert prompt.stats.decoded_shards - before <= 4
        before = prompt.stats.decoded_shards
        assert prompt.count(word) == 1
        assert len(prompt.split(word)) == 2
        assert prompt.stats.decoded_shards - before <= 8


def all_rows(path: Path) -> tuple[object, ...]:
    with dp.FileBackend(path) as backend:
        store = backend.pack.store
        tables = (Table.NGRAMS, Table.SHARDS, Table.DIRECTORY, Table.DOCUMENTS)
        return backend.pack.metadata, *(list(store.get_range(table, 0, 2**62)) for table in tables)


@pytest.mark.parametrize("engine", ENGINES)
def test_however_a_pack_grows_it_is_the_pack_of_everything(tmp_path: Path, engine: str) -> None:
    dice = random.Random(7)  # noqa: S311  # no secret
    size, other = 6, next(each for each in ENGINES if each != engine)
    segment = SEGMENT * size
    cuts = (1, LEAST * size - 1, LEAST * size, segment - 1, segment, segment + 1, segment + LEAST * size, 2 * segment)
    for cut in cuts:
        lengths = [cut, dice.choice([0, 1, size, segment, 3 * segment + 2]), dice.randint(1, 2 * segment)]
        files = []
        for number, length in enumerate(lengths):
            files.append(tmp_path / f"{number}")
            files[-1].write_text("".join(dice.choices("abK\u212a\u65e5\n", k=length)), newline="")
        whole, grown, later, turned = (tmp_path / name for name in ("whole", "grown", "later", "turned"))
        dp.pack(files, whole, shard_size=size, store=engine, overwrite=True)
        dp.pack(files[0], grown, shard_size=size, store=engine, overwrite=True)
        dp.pack(files[0], later, shard_size=size, store=engine, index=False, overwrite=True)
        for file in files[1:]:
            dp.append(grown, file)
            dp.append(later, file)
        dp.convert(grown, turned, store=other, overwrite=True)
        dp.convert(turned, tmp_path / "back", store=engine, overwrite=True)
        assert dp.add_index(later)
        assert all_rows(grown) == all_rows(later) == all_rows(tmp_path / "back") == all_rows(whole)
        assert list(dp.verify(grown)) == []


def write_rows(path: Path, engine: str, changes: Changes) -> None:
    """Change rows of the index as they are stored."""
    if engine == "sqlite":
        connection = sqlite3.connect(path)
        for key, row in changes.items():
            if row is None:
                connection.execute("DELETE FROM ngrams WHERE key = ?", (key,))
            else:
                connection.execute("INSERT OR REPLACE INTO ngrams VALUES (?, ?)", (key, row))
        connection.commit()
        connection.close()
        return
    environment = lmdb.open(str(path), subdir=False, max_dbs=8, map_size=2**26, lock=False)
    with environment.begin(write=True, db=environment.open_db(b"ngrams", create=False)) as transaction:
        for key, row in changes.items():
            stored_key = struct.pack(">Q", key)
            _ = transaction.delete(stored_key) if row is None else transaction.put(stored_key, row)
    environment.close()


def index_rows(path: Path) -> dict[int, bytes]:
    with dp.FileBackend(path) as backend:
        return dict(backend.pack.store.get_range(Table.NGRAMS, 0, 2**62))


def damage(rows: dict[int, bytes], others: dict[int, bytes], dice: random.Random) -> Iterator[tuple[str, Changes]]:
    """Ways to damage an index that searches notice as well, and last those that only :func:`dp.verify` can."""
    keys = sorted(rows)
    counts = [key for key in keys if key % 2**32 == 0]
    for key in (*counts, *dice.sample(keys, 2)):
        row, other = rows[key], dice.choice([each for each in keys if rows[each] != rows[key]])
        at = dice.randrange(len(row))
        yield "flipped", {key: row[:at] + bytes([row[at] ^ 1 << dice.randrange(8)]) + row[at + 1 :]}
        yield "missing", {key: None}
        yield "swapped", {key: rows[other], other: row}
        yield "cut short", {key: row[:at]}
        yield "longer", {key: row + b"\0"}
        yield "empty", {key: b""}
        yield "a bomb", {key: codec.seal(key, zstandard.ZstdCompressor(level=1).compress(bytes(2**24)))}
    yield "one too many", {keys[-1] + 1: rows[keys[-1]]}
    yield "far away", {2**40: b"row"}
    yield "of another pack", {key: others[key] for key in keys}
    yield "made up", {keys[5]: codec.seal(keys[5], codec.compress(dice.randbytes(128), 1))}


def searched(path: Path, text: str, needles: list[str]) -> list[DPromptError]:
    """Errors; what is found is right."""
    errors = []
    with dp.open(path) as prompt:
        prompt.view_threshold = 10
        for needle in needles:
            calls: tuple[tuple[Callable[[str], object], object], ...] = (
                (prompt.find, text.find(needle)),
                (prompt.rfind, text.rfind(needle)),
                (prompt.count, text.count(needle)),
                (lambda sep: len(prompt.split(sep)), len(text.split(needle))),
                (lambda old: len(prompt.replace(old, "")), len(text.replace(needle, ""))),
                (lambda sub: prompt.lower().find(sub.lower()), text.lower().find(needle.lower())),
            )
            for call, expected in calls:
                try:
                    assert call(needle) == expected
                except DPromptError as error:
                    errors.append(error)
    return errors


@pytest.fixture
def words() -> str:
    dice = random.Random(3)  # noqa: S311  # no secret
    return "".join(
        dice.choice(["kernel ", "panic", "Kelvin\u212a ", "\u65e5\u672c\u8a9e", "x1y2\n"]) for _ in range(400)
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_damage_to_the_index_is_an_error_and_never_a_wrong_answer(tmp_path: Path, words: str, engine: str) -> None:
    dice = random.Random(4)  # noqa: S311  # no secret
    sound, damaged = tmp_path / "sound", tmp_path / "damaged"
    (tmp_path / "a").write_text(words)
    (tmp_path / "b").write_text(words[::-1])
    dp.pack(tmp_path / "a", sound, shard_size=50, store=engine)
    dp.pack(tmp_path / "b", tmp_path / "other", shard_size=50, store=engine)
    needles = ["absent!", "kernel panic", words[1000:1007]]
    noticed = 0
    for what, changes in damage(index_rows(sound), index_rows(tmp_path / "other"), dice):
        shutil.copy(sound, damaged)
        write_rows(damaged, engine, changes)
        if what not in {"of another pack", "made up"}:
            errors = searched(damaged, words, needles)
            assert all(isinstance(error, CorruptPackError) for error in errors)
            assert all(re.search(r"n-gram index: row \d+ of segment \d+: ", str(error)) for error in errors)
            noticed += bool(errors)
        problems = list(dp.verify(damaged))
        assert problems, what
        assert all(re.search(r"n-gram index: row \d+ of segment|ngrams: row \d+ belongs", each) for each in problems)
    assert noticed > 15


@pytest.mark.parametrize("engine", ENGINES)
def test_flipped_bits_anywhere_never_make_a_wrong_answer(tmp_path: Path, words: str, engine: str) -> None:
    dice = random.Random(5)  # noqa: S311  # no secret
    sound, damaged = tmp_path / "sound", tmp_path / "damaged"
    (tmp_path / "a").write_text(words)
    dp.pack(tmp_path / "a", sound, shard_size=50, store=engine)
    data, rows = sound.read_bytes(), index_rows(sound)
    for _ in range(40):
        changed = bytearray(data)
        for _ in range(dice.choice([1, 3, 20])):
            changed[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        damaged.write_bytes(changed)
        try:
            searched(damaged, words, ["absent!", words[1000:1007]])
            is_changed = index_rows(damaged) != rows
        except DPromptError:
            continue
        if is_changed:
            assert list(dp.verify(damaged))


ADD = """
import sys
import distributed_prompt as dp
from distributed_prompt.errors import OutputError
try:
    dp.add_index(sys.argv[1])
except OutputError as error:
    print(error)
else:
    print("added")
"""


def limit_files(limit: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Packs without an index that are large enough for one, by engine."""
    monkeypatch.undo()
    dice = random.Random(6)  # noqa: S311  # no secret
    (tmp_path / "text").write_text(dice.randbytes(1_300_000).hex())
    found = {engine: tmp_path / f"{engine}.dprompt" for engine in ENGINES}
    for engine, path in found.items():
        dp.pack(tmp_path / "text", path, shard_size=2**15, store=engine, index=False)
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_an_index_for_which_there_is_no_room_leaves_the_pack(large: dict[str, Path], engine: str) -> None:
    path = large[engine]
    before, names = path.read_bytes(), sorted(path.parent.iterdir())
    for limit in (0, 4096, 500_000, len(before), len(before) + 4096):
        done = subprocess.run(
            [sys.executable, "-B", "-c", ADD, str(path)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            preexec_fn=partial(limit_files, limit),
        )
        assert done.stderr == ""
        assert done.stdout.startswith(f"{path}: ")
        assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == names


@pytest.mark.parametrize("engine", ENGINES)
def test_who_adds_an_index_and_is_killed_leaves_the_pack(large: dict[str, Path], engine: str) -> None:
    path = large[engine]
    before = path.read_bytes()
    for wait in (0.15, 0.25, 0.35):
        with subprocess.Popen([sys.executable, "-B", "-c", ADD, str(path)], stdout=subprocess.DEVNULL) as process:
            time.sleep(wait)
            process.kill()
        with dp.open(path) as prompt:
            assert prompt.count("0123") == dp.open(path).count("0123")
        if path.read_bytes() != before:
            break
    dp.add_index(path)
    assert list(dp.verify(path)) == []


def test_an_index_goes_over_a_file_only_if_asked_and_readers_keep_what_they_read(large: dict[str, Path]) -> None:
    path, output = large["sqlite"], large["lmdb"]
    before = output.read_bytes()
    with pytest.raises(OutputExistsError):
        dp.add_index(path, output)
    assert output.read_bytes() == before
    with dp.open(path) as prompt, dp.open(output) as other:
        expected = prompt.count("abcd")
        assert dp.add_index(path, output, overwrite=True)
        assert dp.add_index(path)
        assert prompt.count("abcd") == other.count("abcd") == expected
        with dp.open(path) as new, dp.open(output) as copied:
            assert shards_of(new).pack.ngrams.exists
            assert new.count("abcd") == copied.count("abcd") == expected
    assert path.read_bytes() == output.read_bytes()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_damaged_pack_gets_no_index_and_stays(large: dict[str, Path], engine: str) -> None:
    path = large[engine]
    with dp.FileBackend(path) as backend:
        blob = backend.pack.blob(40)
    assert blob
    data = path.read_bytes()
    at = data.index(blob[100:150])
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    before = path.read_bytes()
    with pytest.raises(CorruptPackError, match="shard 40"):
        dp.add_index(path)
    assert path.read_bytes() == before
    with pytest.raises(OutputError):
        dp.add_index(path, path.parent / "no" / "folder")


def search_often(prompt: dp.DistributedPrompt, text: str, seed: int, wrong: list[object]) -> None:
    dice = random.Random(seed)  # noqa: S311  # no secret
    for _ in range(8):
        at = dice.randrange(len(text) - 40)
        needle, start = text[at : at + dice.randint(4, 30)], dice.randrange(len(text))
        for found, expected in (
            (prompt.find(needle), text.find(needle)),
            (prompt.rfind(needle, 0, start), text.rfind(needle, 0, start)),
            (prompt.count(needle), text.count(needle)),
            (prompt.lower().find(needle.lower(), start), text.lower().find(needle.lower(), start)),
        ):
            if found != expected:
                wrong.append((needle, start, found, expected))


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_forked_children_and_copies_find_the_same(tmp_path: Path, words: str, engine: str) -> None:
    text = words * 5
    (tmp_path / "a").write_text(text)
    dp.pack(tmp_path / "a", tmp_path / "pack", shard_size=64, store=engine)
    wrong: list[object] = []
    with dp.open(tmp_path / "pack") as prompt:
        threads = [threading.Thread(target=search_often, args=(prompt, text, seed, wrong)) for seed in range(8)]
        for thread in threads:
            thread.start()
        children = []
        for seed in range(4):
            child = os.fork()
            if not child:
                search_often(prompt, text, 100 + seed, wrong)
                os._exit(len(wrong) > 0)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0, 0]
        for thread in threads:
            thread.join()
        copied = pickle.loads(pickle.dumps(prompt.view(5)))  # noqa: S301  # our own
        search_often(copied, text[5:], 1, wrong)
    assert wrong == []


def test_a_long_needle_in_any_case_takes_little_memory() -> None:
    dice = random.Random(8)  # noqa: S311  # no secret
    needle = dice.randbytes(250).hex()
    tracemalloc.start()
    try:
        Literal(needle, ignore_case=True).may_end_in(b"a" * 2**15)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


CLOSED: dict[str, tuple[Callable[[dp.DistributedPrompt], Any], Callable[[Any], object]]] = {
    "find_many": (lambda prompt: prompt, lambda prompt: prompt.find_many(["absent!"])),
    "find_all": (lambda prompt: prompt.find_all("absent!"), list),
    "split": (lambda prompt: prompt.split("absent!"), len),
    "replace": (lambda prompt: prompt.replace("absent!", "x"), len),
}


@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_prompt_does_not_answer_from_the_index(words: str, name: str) -> None:
    make, use = CLOSED[name]
    prompt = prompt_of(words, 64)
    assert prompt.count("absent!") == 0
    made = make(prompt)
    prompt.close()
    with pytest.raises(ClosedError):
        use(made)


@pytest.mark.parametrize(("field", "value"), [("root_digest", "0" * 64), ("newlines", "91"), ("width", "4")])
def test_an_index_does_not_make_wrong_metadata_right(tmp_path: Path, words: str, field: str, value: str) -> None:
    (tmp_path / "a").write_text(words)
    pack = tmp_path / "pack"
    dp.pack(tmp_path / "a", pack, shard_size=64, index=False)
    connection = sqlite3.connect(pack)
    rows = dict(connection.execute("SELECT name, value FROM metadata")) | {field: value}
    rows["checksum"] = stored_metadata._checksum(rows)
    connection.executemany("UPDATE metadata SET value = ? WHERE name = ?", [(rows[each], each) for each in rows])
    connection.commit()
    connection.close()
    before = pack.read_bytes()
    assert list(dp.verify(pack))
    with pytest.raises(CorruptPackError):
        dp.add_index(pack)
    assert pack.read_bytes() == before


def test_a_damaged_shard_is_no_reason_to_blame_the_next_segments_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "_RUN_CHARACTERS", 64 * (SEGMENT + 6))
    (tmp_path / "a").write_text("".join(f"{number:06d}" for number in range(2000)))
    pack = tmp_path / "pack"
    dp.pack(tmp_path / "a", pack, shard_size=64)
    connection = sqlite3.connect(pack)
    connection.execute("UPDATE shards SET value = x'00' WHERE key = ?", (SEGMENT - 1,))
    connection.commit()
    connection.close()
    problems = list(dp.verify(pack))
    assert any(f"shard {SEGMENT - 1}: " in problem for problem in problems)
    assert not [problem for problem in problems if "n-gram" in problem]
