"""Packs that grow while they are read, while they are written to by others, and while their writer is killed."""

import copy
import json
import os
import pickle
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

import distributed_prompt as dp
from distributed_prompt.errors import OutputError, PackChangedError
from distributed_prompt.store.engines import ENGINES

pytestmark = pytest.mark.thorough
KILLS = int(os.environ.get("DPROMPT_KILLS", "12"))
KILLED_BYTES = 4_000_000 if KILLS <= 12 else 30_000_000  # appending takes 0.1 s, or 0.6 s
VERSIONS = 25
each_engine = pytest.mark.parametrize("engine", ENGINES)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def written(path: Path, data: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def documents(pack: Path) -> list[str]:
    with dp.open(pack) as prompt:
        return list(prompt.documents)


def noise(count: int, seed: int) -> bytes:
    """Text that does not compress to less than half, in lines."""
    digits = random.Random(seed).randbytes(count // 2).hex()  # noqa: S311  # no secret
    return "".join(f"{digits[at : at + 99]}\n" for at in range(0, len(digits), 99)).encode()


class Growing(NamedTuple):
    """A pack with its first document, the documents to come, and what its text is with so many of them."""

    pack: Path
    inputs: list[Path]
    texts: list[str]

    @property
    def lengths(self) -> dict[int, int]:
        """How many documents a text of a length is of."""
        return {len(text): count for count, text in enumerate(self.texts, 1)}


@pytest.fixture
def growing(tmp_path: Path, engine: str) -> Growing:
    contents = [noise(20_000 if number else 300_000, number) for number in range(VERSIONS)]
    inputs = [written(tmp_path / "in" / f"{number:03}", content) for number, content in enumerate(contents)]
    (tmp_path / "pack").mkdir()
    pack = tmp_path / "pack" / "pack.dprompt"
    dp.pack(inputs[0], pack, store=engine, shard_size=1_000)
    texts = [b"".join(contents[: count + 1]).decode() for count in range(VERSIONS)]
    return Growing(pack, inputs, texts)


def assert_is(prompt: dp.DistributedPrompt, text: str, count: int) -> None:
    """The prompt is this text, whole, however it is read."""
    assert len(prompt) == len(text)
    assert str(prompt) == text
    assert prompt.count("\n") == text.count("\n")
    at = random.randrange(len(text))  # noqa: S311  # no secret
    assert prompt[at : at + 1_500] == text[at : at + 1_500]
    assert prompt.rfind(text[at : at + 30]) == text.rfind(text[at : at + 30])
    assert list(prompt.documents) == [f"{number:03}" for number in range(count)]


# readers


@each_engine
def test_each_open_prompt_keeps_its_version_and_who_opens_later_sees_the_new_one(growing: Growing) -> None:
    with ExitStack() as stack:
        prompts = [stack.enter_context(dp.open(growing.pack))]
        for path in growing.inputs[1:]:
            dp.append(growing.pack, path)
            prompts.append(stack.enter_context(dp.open(growing.pack)))
        for count, (prompt, text) in enumerate(zip(prompts, growing.texts, strict=True), 1):
            assert_is(prompt, text, count)
    assert names(growing.pack.parent) == ["pack.dprompt"]


@each_engine
def test_a_pass_that_was_begun_goes_on_with_its_version(growing: Growing) -> None:
    with dp.open(growing.pack, cache_bytes=1) as prompt:
        characters, lines, chunks = iter(prompt), iter(prompt.lines), iter(prompt.chunks(1_000))
        view = prompt.view(1_000, 250_000)
        begun = [next(characters)], [str(next(lines))], [str(next(chunks))]
        for path in growing.inputs[1:4]:
            dp.append(growing.pack, path)
        text = growing.texts[0]
        assert "".join([*begun[0], *characters]) == text
        assert [*begun[1], *map(str, lines)] == text.splitlines()
        assert "".join([*begun[2], *map(str, chunks)]) == text
        assert str(view) == text[1_000:250_000]
        assert str(prompt.documents["000"]) == text
        assert list(dp.verify(growing.pack)) == []


@each_engine
def test_a_backend_that_was_opened_before_the_pack_grew_verifies_and_unpacks_what_it_opened(
    growing: Growing, tmp_path: Path, engine: str
) -> None:
    with dp.FileBackend(growing.pack) as backend:
        for path in growing.inputs[1:4]:
            dp.append(growing.pack, path)
        assert list(dp.verify(backend)) == []
        dp.unpack(backend, tmp_path / "unpacked")
        dp.convert(backend, tmp_path / "converted", store=engine)
    assert (tmp_path / "unpacked").read_text() == growing.texts[0]
    with dp.open(tmp_path / "converted") as prompt:
        assert_is(prompt, growing.texts[0], 1)
    with dp.FileBackend(growing.pack) as backend:
        assert len(backend.pack.documents) == 4


@each_engine
def test_threads_read_whole_versions_while_the_pack_grows(growing: Growing) -> None:
    done = threading.Event()
    seen: Counter[int] = Counter()

    def read(kept: dp.DistributedPrompt) -> None:
        while not done.is_set():
            assert_is(kept, growing.texts[0], 1)
            with dp.open(growing.pack) as prompt:
                count = growing.lengths[len(prompt)]
                assert_is(prompt, growing.texts[count - 1], count)
            seen[count] += 1

    with dp.open(growing.pack) as kept, ThreadPoolExecutor(3) as pool:
        # The three share one prompt, whose shards do not all fit into its cache.
        futures = [pool.submit(read, kept) for _ in range(3)]
        try:
            for path in growing.inputs[1:]:
                dp.append(growing.pack, path)
                time.sleep(0.01)
        finally:
            done.set()
        for future in futures:
            future.result(60)
    assert len(seen) > 1
    with dp.open(growing.pack) as prompt:
        assert_is(prompt, growing.texts[-1], VERSIONS)


READER = """
import json
import sys
import time
from pathlib import Path
import distributed_prompt as dp

pack, stop, whole, lengths = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]).read_text(), json.loads(sys.argv[4])
versions = {length: count for count, length in enumerate(lengths, 1)}
reads, problems, seen = 0, [], set()

def check(prompt, length):
    text = whole[:length]
    if not (str(prompt) == text and len(prompt) == length and prompt.count("0") == text.count("0")):
        problems.append(f"text of {length}")
    if prompt[length - 700 : length] != text[-700:] or prompt.rfind(text[-40:]) != length - 40:
        problems.append(f"end of {length}")
    if len(prompt.documents) != versions[length] or len(list(prompt.documents)) != versions[length]:
        problems.append(f"documents of {length}")

with dp.open(pack) as kept:
    first = len(kept)
    print("ready", flush=True)
    while not stop.exists():
        try:
            check(kept, first)
            with dp.open(pack) as prompt:
                if len(prompt) not in versions:
                    problems.append(f"length {len(prompt)}")
                else:
                    check(prompt, len(prompt))
                seen.add(versions.get(len(prompt)))
        except Exception as error:
            problems.append(repr(error))
        reads += 1
print(json.dumps([reads, problems, sorted(seen)]))
"""


@each_engine
def test_other_processes_read_whole_versions_while_the_pack_grows(growing: Growing, tmp_path: Path) -> None:
    whole = written(tmp_path / "whole", growing.texts[-1].encode())
    lengths = json.dumps([len(text) for text in growing.texts])
    command = [sys.executable, "-c", READER, str(growing.pack), str(tmp_path / "stop"), str(whole), lengths]
    with ExitStack() as stack:
        readers = [
            stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
            for _ in range(2)
        ]
        try:
            for reader in readers:
                assert reader.stdout
                assert reader.stdout.readline() == "ready\n"
            for path in growing.inputs[1:]:
                dp.append(growing.pack, path)
                time.sleep(0.02)
        finally:
            (tmp_path / "stop").touch()
        for reader in readers:
            out, err = reader.communicate(timeout=60)
            assert err == ""
            reads, problems, seen = json.loads(out)
            assert problems == []
            assert reads >= len(seen) > 1
    assert names(growing.pack.parent) == ["pack.dprompt"]


MOMENTS = {
    "before its first bytes are read": ("distributed_prompt.backends.file_backend", "open_store", False),
    "after its first bytes were read": ("distributed_prompt.store.engines", "is_sqlite", False),
    "after its header was read": ("distributed_prompt.store.sqlite_origin", "check_file", True),
    "after its meta pages were read": ("distributed_prompt.store.lmdb_store", "read_meta", True),
    "before its metadata are read": ("distributed_prompt.store.pack", "parse_metadata", False),
    "before its directory is read": ("distributed_prompt.store.pack", "Directory", False),
}


@each_engine
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_pack_that_grows_while_it_is_opened_is_opened_whole(
    growing: Growing, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    module, name, behind = MOMENTS[moment]
    real: Callable[..., object] = getattr(sys.modules[module], name)
    steps = iter(growing.inputs[1:2])

    def grow() -> None:
        for path in steps:
            monkeypatch.setattr(f"{module}.{name}", real)
            dp.append(growing.pack, path)

    def growing_meanwhile(*arguments: object) -> object:
        if not behind:
            grow()
        result = real(*arguments)
        if behind:
            grow()
        return result

    monkeypatch.setattr(f"{module}.{name}", growing_meanwhile)
    with dp.open(growing.pack) as prompt:
        count = growing.lengths[len(prompt)]
        assert_is(prompt, growing.texts[count - 1], count)
    monkeypatch.undo()
    for path in steps:  # of the other engine's moments, which have not come
        dp.append(growing.pack, path)
    with dp.open(growing.pack) as prompt:
        assert_is(prompt, growing.texts[1], 2)


@each_engine
def test_a_prompt_that_was_pickled_before_the_pack_grew_is_not_taken_for_the_new_one(growing: Growing) -> None:
    with dp.open(growing.pack) as prompt:
        sent = [pickle.dumps(prompt), pickle.dumps(prompt.view(10, 1_000)), pickle.dumps(prompt.documents)]
        dp.append(growing.pack, growing.inputs[1])
        sent += [pickle.dumps(prompt), pickle.dumps(prompt.lines)]
        for data in sent:
            with pytest.raises(PackChangedError):
                pickle.loads(data)  # noqa: S301  # our own
        assert_is(prompt, growing.texts[0], 1)
        assert_is(copy.deepcopy(prompt), growing.texts[0], 1)
    with dp.open(growing.pack) as prompt, pickle.loads(pickle.dumps(prompt)) as again:  # noqa: S301  # as above
        assert_is(again, growing.texts[1], 2)


@each_engine
def test_a_prompt_that_was_pickled_is_not_taken_for_one_with_more_documents(growing: Growing, tmp_path: Path) -> None:
    with dp.open(growing.pack) as prompt:
        sent = pickle.dumps(prompt)
        dp.append(growing.pack, written(tmp_path / "in" / "empty", b""))
        assert list(prompt.documents) == ["000"]
        with pytest.raises(PackChangedError):
            pickle.loads(sent)  # noqa: S301  # our own


FORKED = """
import os
import sys
import distributed_prompt as dp
from distributed_prompt.errors import PackChangedError

pack, source, when = sys.argv[1:]
prompt = dp.open(pack, cache_bytes=1)
text = str(prompt)
reader, writer = os.pipe()
if when == "forked after":
    dp.append(pack, source)
child = os.fork()
if not child:
    code = 9
    try:
        os.read(reader, 1)
        try:
            code = 0 if str(prompt) == text and prompt[-5:] == text[-5:] and prompt.count("0") == text.count("0") else 1
        except PackChangedError:
            code = 2
        with dp.open(pack) as new:
            if not (len(new) > len(text) and str(new).startswith(text)):
                code = 3
    finally:
        os._exit(code)
if when == "forked before":
    dp.append(pack, source)
os.write(writer, b"x")
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), str(prompt) == text)
"""


@each_engine
@pytest.mark.parametrize("when", ["forked before", "forked after"])
def test_a_forked_child_never_mixes_versions(growing: Growing, engine: str, when: str) -> None:
    # From 3.12 on Python warns of every fork beside threads, which is what is tried here.
    command = [
        sys.executable,
        "-W",
        "ignore::DeprecationWarning",
        "-c",
        FORKED,
        str(growing.pack),
        str(growing.inputs[1]),
        when,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    # A child has the open file of LMDB; of SQLite it needs a connection of its own, and the old file has no name.
    assert done.stdout == f"{2 if engine == 'sqlite' else 0} True\n"


# killed writers

APPENDER = """
import sys
import distributed_prompt as dp
import distributed_prompt.appending
import lmdb, numpy

print("begin", flush=True)
dp.append(sys.argv[1], sys.argv[2])
print("end", flush=True)
sys.stdin.read()
"""


class Killing(NamedTuple):
    """A pack, what is appended when the writer is killed, what afterwards, and the four packs that can come of it."""

    pack: Path
    first: Path
    second: Path
    old: bytes
    new: bytes
    old_grown: bytes
    new_grown: bytes

    def check(self) -> str:
        """Whether the pack is the old or the new one; the next append works and leaves nothing."""
        left = set(names(self.pack.parent)) - {"pack.dprompt", ".pack.dprompt.partial"}
        assert not left
        found = {self.old: "old", self.new: "new"}.get(self.pack.read_bytes())
        assert found, f"neither the old nor the new pack: {list(dp.verify(self.pack))}"
        dp.append(self.pack, self.second)
        assert names(self.pack.parent) == ["pack.dprompt"]
        assert self.pack.read_bytes() == (self.old_grown if found == "old" else self.new_grown)
        self.pack.write_bytes(self.old)
        return found


@pytest.fixture(scope="module")
def killings(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Killing]:
    """Makes what is to be killed; all that can come of it was verified."""

    def make(engine: str, count_bytes: int) -> Killing:
        folder = tmp_path_factory.mktemp("killing")
        base = written(folder / "in" / "base", noise(count_bytes, 1))
        first = written(folder / "in" / "first", noise(count_bytes // 5, 2))
        second = written(folder / "in" / "second", b"and more\n")
        (folder / "pack").mkdir()
        pack = folder / "pack" / "pack.dprompt"
        dp.pack(base, pack, store=engine, shard_size=500)
        found = {"old": pack.read_bytes()}
        for name, start, path in (
            ("new", "old", first),
            ("new_grown", "new", second),
            ("old_grown", "old", second),
        ):
            pack.write_bytes(found[start])
            dp.append(pack, path)
            assert list(dp.verify(pack)) == []
            found[name] = pack.read_bytes()
        assert len(set(found.values())) == 4
        pack.write_bytes(found["old"])
        return Killing(pack, first, second, **found)

    return make


def run_until(killing: Killing, seconds: float | None) -> tuple[float, bool]:
    """Append in another process and kill that after some seconds; how long it took, and whether it was done."""
    command = [sys.executable, "-c", APPENDER, str(killing.pack), str(killing.first)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"begin\n"
        begin = time.perf_counter()
        if seconds is not None:
            time.sleep(seconds)
            process.kill()
        done = process.stdout.readline() == b"end\n"
        took = time.perf_counter() - begin
        process.kill()
    return took, done


@each_engine
def test_a_pack_whose_writer_is_killed_at_any_moment_is_the_old_or_the_new_one(
    killings: Callable[[str, int], Killing], engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    killing = killings(engine, KILLED_BYTES)
    took = []
    for _ in range(3):
        seconds, done = run_until(killing, None)
        assert done
        assert killing.check() == "new"
        took.append(seconds)
    duration = statistics.median(took)
    chooser = random.Random()  # noqa: S311  # other moments each time
    outcomes: Counter[str] = Counter()
    for _ in range(KILLS):
        _, done = run_until(killing, chooser.uniform(0, 1.1 * duration))  # its end is not to be missed
        begun = (killing.pack.parent / ".pack.dprompt.partial").exists()
        found = killing.check()
        assert found == "new" or not done
        outcomes[f"{found}, {'told' if done else 'a partial file left' if begun else 'nothing left'}"] += 1
    with capsys.disabled():
        print(f"\n{engine}: {KILLS} kills of appends that take {duration:.2f} s: {dict(sorted(outcomes.items()))}")  # noqa: T201  # figures
    assert outcomes["old, a partial file left"], "no moment was in the middle of writing"


KILLED_AT = """
import os
import pathlib
import signal
import sys
import distributed_prompt as dp
from distributed_prompt import appending, packing
from distributed_prompt.backends import output
from distributed_prompt.store import pack_writer

step = sys.argv[3]
calls = 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def dying(real, *, before=True, count=1):
    def call(*arguments, **options):
        global calls
        calls += 1
        if before and calls == count:
            die()
        result = real(*arguments, **options)
        if calls == count:
            die()
        return result
    return call

if step == "before the lock":
    output.OutputFile._take = dying(output.OutputFile._take)
elif step == "behind the lock":
    output.OutputFile._take = dying(output.OutputFile._take, before=False)
elif step == "before a shard is copied":
    pack_writer.PackWriter.add = dying(pack_writer.PackWriter.add)
elif step == "behind some shards":
    pack_writer.PackWriter.add = dying(pack_writer.PackWriter.add, before=False, count=300)
elif step == "before the new documents":
    appending.write_inputs = dying(appending.write_inputs)
elif step == "behind the new documents":
    appending.write_inputs = dying(appending.write_inputs, before=False)
elif step == "behind the last row":
    pack_writer.PackWriter.finish = dying(pack_writer.PackWriter.finish, before=False)
elif step == "before it is synced":
    os.fsync = dying(os.fsync)
elif step == "behind its sync":
    os.fsync = dying(os.fsync, before=False)
elif step == "before it is renamed":
    pathlib.Path.replace = dying(pathlib.Path.replace)
elif step == "behind its renaming":
    pathlib.Path.replace = dying(pathlib.Path.replace, before=False)
elif step == "before its folder is synced":
    os.fsync = dying(os.fsync, count=2)
dp.append(sys.argv[1], sys.argv[2])
print("not killed")
"""
STEPS = {
    "before the lock": "old",
    "behind the lock": "old",
    "before a shard is copied": "old",
    "behind some shards": "old",
    "before the new documents": "old",
    "behind the new documents": "old",
    "behind the last row": "old",
    "before it is synced": "old",
    "behind its sync": "old",
    "before it is renamed": "old",
    "behind its renaming": "new",
    "before its folder is synced": "new",
}


@each_engine
def test_a_pack_whose_writer_is_killed_at_each_step_is_the_old_or_the_new_one(
    killings: Callable[[str, int], Killing], engine: str
) -> None:
    killing = killings(engine, 300_000)
    for step, expected in STEPS.items():
        command = [sys.executable, "-c", KILLED_AT, str(killing.pack), str(killing.first), step]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (-9, "", ""), step
        assert killing.check() == expected, step


@each_engine
def test_what_a_killed_writer_left_is_cleared_by_the_next_even_if_that_fails(
    killings: Callable[[str, int], Killing], engine: str
) -> None:
    killing = killings(engine, 300_000)
    for left in (b"", b"x" * 10_000, killing.new):
        written(killing.pack.parent / ".pack.dprompt.partial", left)
        with pytest.raises(OSError, match="no such file"):
            dp.append(killing.pack, killing.first.parent / "missing")
        with pytest.raises(UnicodeError):
            dp.append(killing.pack, written(killing.first.parent / "bad", b"\xff"))
        assert names(killing.pack.parent) == ["pack.dprompt"]
        assert killing.check() == "old"


# two writers

WRITER = """
import sys
import time
import distributed_prompt as dp
import distributed_prompt.appending
from distributed_prompt.errors import OutputError
import lmdb, numpy

pack, patient, *sources = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
for source in sources:
    while True:
        try:
            dp.append(pack, source)
        except OutputError as error:
            assert "another process is writing it now" in str(error), error
            if patient == "patient":
                time.sleep(0.003)
                continue
            print("refused", source)
        else:
            print("appended", source)
        break
"""


def appended_at_once(pack: Path, patient: str, lots: list[list[Path]]) -> list[tuple[str, str]]:
    """What each of several processes that begin at once says of each of its documents."""
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WRITER, str(pack), patient, *map(str, lot)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for lot in lots
        ]
        for writer in writers:
            assert writer.stdout
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin
            writer.stdin.write("go\n")
            writer.stdin.flush()
        said = []
        for writer in writers:
            out, err = writer.communicate(timeout=60)
            assert (writer.returncode, err) == (0, "")
            said += [(line.split()[0], Path(line.split()[1]).name) for line in out.splitlines()]
    return said


@each_engine
def test_of_two_that_append_at_once_each_gets_in_or_is_turned_away_and_nothing_is_lost(
    tmp_path: Path, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pack").mkdir()
    pack = tmp_path / "pack" / "pack"
    base = written(tmp_path / "in" / "base", noise(2_000_000, 1))
    dp.pack(base, pack, store=engine, shard_size=500)
    outcomes: Counter[str] = Counter()
    there = ["base"]
    for turn in range(5):
        lots = [[written(tmp_path / "in" / f"{turn}-{which}", noise(5_000, turn))] for which in range(2)]
        said = appended_at_once(pack, "impatient", lots)
        got_in = [name for what, name in said if what == "appended"]
        assert len(said) == 2
        assert got_in
        outcomes[f"{len(got_in)} of 2 got in"] += 1
        found = documents(pack)
        assert found[: len(there)] == there
        assert sorted(found[len(there) :]) == got_in
        there = found
        assert names(pack.parent) == ["pack"]
    assert list(dp.verify(pack)) == []
    with dp.open(pack) as prompt:
        assert str(prompt) == "".join((tmp_path / "in" / name).read_text() for name in there)
    with capsys.disabled():
        print(f"\n{engine}: two at once: {dict(outcomes)}")  # noqa: T201  # figures


@each_engine
def test_writers_that_try_again_all_get_in(tmp_path: Path, engine: str) -> None:
    (tmp_path / "pack").mkdir()
    pack = tmp_path / "pack" / "pack"
    dp.pack(written(tmp_path / "in" / "base", noise(100_000, 1)), pack, store=engine, shard_size=500)
    lots = [
        [written(tmp_path / "in" / f"{which}-{number}", noise(2_000, number)) for number in range(8)]
        for which in range(3)
    ]
    said = appended_at_once(pack, "patient", lots)
    assert sorted(said) == sorted(("appended", path.name) for lot in lots for path in lot)
    there = documents(pack)
    assert there[0] == "base"
    assert sorted(there[1:]) == sorted(path.name for lot in lots for path in lot)
    for which in range(3):  # each has seen its own in order
        own = [name for name in there if name.startswith(f"{which}-")]
        assert own == sorted(own)
    with dp.open(pack) as prompt:
        assert str(prompt) == "".join((tmp_path / "in" / name).read_text() for name in there)
    assert list(dp.verify(pack)) == []
    assert names(pack.parent) == ["pack"]


@each_engine
def test_a_second_writer_is_turned_away_while_the_first_writes(growing: Growing, tmp_path: Path) -> None:
    pack = growing.pack
    (tmp_path / "link").symlink_to(pack)
    refused: list[str] = []
    others = (
        partial(dp.append, pack, growing.inputs[2]),
        partial(dp.append, tmp_path / "link", growing.inputs[2]),
        partial(dp.pack, growing.inputs[2], pack, overwrite=True),
        partial(dp.ingest_string, "other", pack),
        partial(dp.convert, written(tmp_path / "in" / "copy", pack.read_bytes()), pack, overwrite=True),
    )

    def disturb(*_: object) -> None:
        if not refused:
            for other in others:
                with pytest.raises(OutputError, match="another process is writing it now") as caught:
                    other()
                refused.append(str(caught.value))

    dp.append(pack, growing.inputs[1], progress=disturb)
    assert len(refused) == len(others)
    with dp.open(pack) as prompt:
        assert_is(prompt, growing.texts[1], 2)
    dp.append(pack, growing.inputs[2])
    with dp.open(pack) as prompt:
        assert_is(prompt, growing.texts[2], 3)
    assert names(pack.parent) == ["pack.dprompt"]


@pytest.fixture
def replaced_meanwhile(growing: Growing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Growing]:
    """What another has appended between the look at the path and the lock."""
    from distributed_prompt.backends import output  # noqa: PLC0415  # patched here alone

    real = output.OutputFile.__enter__
    (tmp_path / "other").mkdir()
    other = Path(shutil.copyfile(growing.pack, tmp_path / "other" / "pack"))
    dp.append(other, growing.inputs[1])

    def enter(file: output.OutputFile) -> output.OutputFile:
        if file.path == growing.pack and other.exists():
            other.replace(growing.pack)
        return real(file)

    monkeypatch.setattr(output.OutputFile, "__enter__", enter)
    yield growing
    assert not other.exists()


@each_engine
def test_what_another_has_appended_just_before_the_lock_is_kept(replaced_meanwhile: Growing) -> None:
    dp.append(replaced_meanwhile.pack, replaced_meanwhile.inputs[2])
    with dp.open(replaced_meanwhile.pack) as prompt:
        assert_is(prompt, replaced_meanwhile.texts[2], 3)
