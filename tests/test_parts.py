"""Packing into many packs: the text of one pack of the same inputs, whatever happens in between."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt.cli import main
from distributed_prompt.errors import ArgumentError, NoDocumentError, OutputExistsError, UndecodableError
from tests.strategies import examples

FILES = {
    "a.md": b"# first\r\nline without an end",
    "b/c.txt": "\u00e9\U0001f600\n".encode() * 30,
    "b/d.bin": b"\xff\xfe\x00\x80",
    "b/empty": b"",
    "b0.txt": b"between\n",
    "c/deep/x.txt": b"x" * 500,
    "d.txt": b"\xef\xbb\xbfmark\n\n",
    "e.txt": b"",
    "f.txt": b"needle",
    "y.bin": b"\xc3",
    "z.txt": b"the end",
}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write(tmp_path / "corpus", FILES)


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.glob("*.dprompt"))
    }


def assert_same(sources: Any, tmp_path: Path, **options: Any) -> Any:
    """One pack and many have the same text, documents and facts."""
    one, many = tmp_path / "one.dprompt", tmp_path / "many"
    part_bytes, executor = options.pop("part_bytes", 100), options.pop("executor", None)
    single = dp.pack(sources, one, overwrite=True, **options)
    parts = dp.pack(sources, f"{many}/", overwrite=True, part_bytes=part_bytes, executor=executor, **options)
    with dp.open(one) as prompt, dp.open(many) as collected:
        assert str(collected) == str(prompt)
        records = list(collected.documents.records())
        assert records == list(prompt.documents.records())
        assert [str(text) for text in collected.documents.values()] == [str(t) for t in prompt.documents.values()]
        for record in records[::3]:
            assert collected.documents.record(record.name) == record
        assert len(collected) == parts.length == single.length
        assert parts.packs <= len(list(many.glob("*.dprompt")))
    for name in ("documents", "source_bytes", "exact", "shard_size"):
        assert getattr(parts, name) == getattr(single, name), name
    assert [(each.name, each.reason) for each in parts.left_out] == [
        (each.name, each.reason) for each in single.left_out
    ]
    assert parts.path == str(many / "manifest.json")
    assert list(dp.verify(many)) == []
    return parts


@pytest.mark.parametrize("part_bytes", [1, 20, 100, 400, 10**9])
@pytest.mark.parametrize("header", [None, "==== {name} ====", ""])
def test_many_packs_have_the_text_of_one(corpus: Path, tmp_path: Path, part_bytes: int, header: str | None) -> None:
    parts = assert_same(corpus, tmp_path, part_bytes=part_bytes, header=header, shard_size=16)
    assert parts.packs == (1 if part_bytes > 1000 else parts.packs)
    assert part_bytes > 1 or parts.packs >= 6


@pytest.mark.parametrize(
    "options",
    [
        {"include": ["*.txt"]},
        {"exclude": ["c", "*.md"], "header": "{name}"},
        {"keep_undecodable": True, "header": "-- {name}"},
        {"encoding": "latin-1"},
        {"errors": "replace"},
        {"newlines": "universal", "header": "h"},
        {"store": "lmdb"},
        {"index": False, "level": 1},
    ],
)
def test_options_mean_the_same_for_many_packs(corpus: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    assert_same(corpus, tmp_path, part_bytes=30, **options)


def test_with_headers_a_pack_ends_its_last_line_even_if_what_follows_is_no_text(tmp_path: Path) -> None:
    corpus = write(tmp_path / "corpus", {"a.txt": b"no end", "b.bin": b"\xff", "c.bin": b"\xfe"})
    dp.pack(corpus, f"{tmp_path}/many/", part_bytes=1, header="{name}")
    assert dp.open(f"{tmp_path}/many/") == "corpus/a.txt\nno end\n"


def test_parts_that_are_no_text_are_no_packs(tmp_path: Path) -> None:
    files = {"a.bin": b"\xff", "b.txt": b"b", "c.bin": b"\xff", "d.txt": b"d", "e": b"\xff"}
    corpus = write(tmp_path / "corpus", files)
    assert assert_same(corpus, tmp_path, part_bytes=1).packs == 2


@examples(15)
@given(st.integers(0, 2**40))
def test_any_files_in_any_parts_are_the_text_of_one_pack(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311  # no secret
    tmp_path = tmp_path_factory.mktemp("any")
    pieces = (b"", b"a", b"line\n", b"\r\n", "\u00e9".encode(), "\U0001f600".encode(), b"\xff", b"\xef\xbb\xbf")
    files = {
        dice.choice(["", "a/", "a/b/", "b/"]) + f"{number}{dice.choice(['', '.txt', '-x'])}": b"".join(
            dice.choices(pieces, dice.choices([9, 9, 9, 9, 3, 3, 1, 1])[0:1] * 8, k=dice.randint(0, 6))
        )
        for number in range(dice.randint(1, 9))
    } | {"text": b"text"}
    corpus = write(tmp_path / "corpus", files)
    options = {"header": dice.choice([None, "{name}", "== {name} =="]), "shard_size": dice.choice([1, 3, 64])}
    options["keep_undecodable"] = dice.choice([True, False])
    assert_same(corpus, tmp_path, part_bytes=dice.choice([1, 3, 5, 10, 1000]), **options)


def test_a_document_larger_than_a_part_is_a_part_by_itself(tmp_path: Path) -> None:
    corpus = write(tmp_path / "corpus", {"a": b"a", "b": b"b" * 5000, "c": b"c", "d": b"d"})
    parts = assert_same(corpus, tmp_path, part_bytes=100)
    assert parts.packs == 3


def test_named_files_and_folders_are_packed_together(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "aa.txt").write_text("named")
    assert_same([corpus, tmp_path / "aa.txt"], tmp_path, part_bytes=50)
    assert_same(str(tmp_path / "aa.txt"), tmp_path, part_bytes=50)
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    with pytest.raises(UndecodableError, match="bad"):
        dp.pack([corpus, tmp_path / "bad.txt"], f"{tmp_path}/new/", part_bytes=10)
    assert not (tmp_path / "new" / "manifest.json").exists()


def test_a_second_run_makes_nothing_again(corpus: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    first = dp.pack(corpus, f"{many}/", part_bytes=100, header="{name}")
    before = state(many)
    with pytest.raises(OutputExistsError):
        dp.pack(corpus, f"{many}/", part_bytes=100, header="{name}")
    manifest = (many / "manifest.json").read_bytes()
    again = dp.pack(corpus, f"{many}/", part_bytes=100, header="{name}", overwrite=True)
    assert again == first
    assert state(many) == before
    assert (many / "manifest.json").read_bytes() == manifest


def test_an_interrupted_run_goes_on(corpus: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    first = dp.pack(corpus, f"{many}/", part_bytes=100)
    before, manifest = state(many), (many / "manifest.json").read_bytes()
    (many / "manifest.json").unlink()
    gone = sorted(before)[1]
    (many / gone).unlink()
    assert dp.pack(corpus, f"{many}/", part_bytes=100) == first
    after = state(many)
    assert {name: kept for name, kept in after.items() if name != gone} == {
        name: kept for name, kept in before.items() if name != gone
    }
    assert after[gone][2] == before[gone][2]
    assert (many / "manifest.json").read_bytes() == manifest


def test_other_options_make_other_packs(corpus: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    digests = set()
    options: list[dict[str, Any]] = [{}, {"header": "{name}"}, {"shard_size": 7}, {"newlines": "universal"}]
    for option in options:
        digests.add(dp.pack(corpus, f"{many}/", part_bytes=100, overwrite=True, **option).root_digest)
        dp.pack(corpus, tmp_path / "one.dprompt", overwrite=True, **option)
        with dp.open(many) as prompt, dp.open(tmp_path / "one.dprompt") as one:
            assert prompt == one
    assert len(digests) == 4


def test_inputs_that_changed_in_between_are_packed_as_they_are(corpus: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    dp.pack(corpus, f"{many}/", part_bytes=100)
    before = state(many)
    (corpus / "f.txt").write_bytes(b"NEEDLE")
    os.utime(corpus / "f.txt", ns=(1, 1))
    dp.pack(corpus, f"{many}/", part_bytes=100, overwrite=True)
    with dp.open(many) as prompt:
        assert prompt.documents["corpus/f.txt"] == "NEEDLE"
        assert "needle" not in prompt
    kept = [name for name, each in before.items() if state(many).get(name) == each]
    assert len(kept) >= len(before) - 1
    (corpus / "0new.txt").write_bytes(b"new")
    (corpus / "b0.txt").unlink()
    dp.pack(corpus, f"{many}/", part_bytes=100, overwrite=True)
    with dp.open(many) as prompt:
        assert prompt[:3] == "new"
        assert "corpus/b0.txt" not in prompt.documents
    assert list(dp.verify(many)) == []


def test_the_output_may_lie_in_the_input(corpus: Path) -> None:
    many = corpus / "c" / "many"
    with_nothing = dp.pack(corpus, f"{many}/", part_bytes=100)
    again = dp.pack(corpus, f"{many}/", part_bytes=100, overwrite=True, keep_undecodable=False)
    assert again == with_nothing
    with dp.open(many) as prompt:
        assert not [name for name in prompt.documents if "many" in name]


def test_the_output_may_lie_in_the_input_by_another_path(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(corpus, target_is_directory=True)
    for sources, output in (
        (tmp_path / "link", corpus / "many"),
        (corpus, tmp_path / "link" / "many"),
    ):
        for _ in range(2):
            dp.pack(sources, f"{output}/", part_bytes=100, overwrite=True)
        with dp.open(output) as prompt:
            assert not [name for name in prompt.documents if "many" in name], (sources, output)


def test_a_file_that_is_named_is_packed_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = write(tmp_path / "many", {"notes.txt": b"notes"})
    dp.pack([many / "notes.txt"], f"{many}/")
    with dp.open(many) as prompt:
        assert prompt == "notes"
    monkeypatch.chdir(tmp_path)
    dp.pack(["many/notes.txt"], "many/", overwrite=True)
    with dp.open(many) as prompt:
        assert prompt == "notes"


def test_standard_input_is_refused(tmp_path: Path) -> None:
    inputs: list[str | list[str]] = ["-", ["-"], [str(tmp_path), "-"]]
    for sources in inputs:
        with pytest.raises(ArgumentError, match="name a file"):
            dp.pack(sources, f"{tmp_path}/many/")
    assert not (tmp_path / "many" / "manifest.json").exists()


def test_what_can_be_read_but_once_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArgumentError, match="name a file"):
        dp.pack(tmp_path / "pipe", f"{tmp_path}/many/")


@pytest.mark.parametrize("part_bytes", [0, -1, -(10**30)])
def test_sizes_that_cannot_be_are_refused(corpus: Path, tmp_path: Path, part_bytes: int) -> None:
    with pytest.raises(ArgumentError, match="part_bytes"):
        dp.pack(corpus, f"{tmp_path}/many/", part_bytes=part_bytes)


def test_one_pack_takes_no_parts(corpus: Path, tmp_path: Path) -> None:
    options: list[dict[str, Any]] = [{"part_bytes": 5}, {"executor": ThreadPoolExecutor(1)}]
    for option in options:
        with pytest.raises(ArgumentError, match="slash"):
            dp.pack(corpus, tmp_path / "one.dprompt", **option)


def test_inputs_without_text_make_nothing(tmp_path: Path) -> None:
    corpus = write(tmp_path / "corpus", {"a": b"\xff", "b": b"\xfe"})
    with pytest.raises(NoDocumentError):
        dp.pack(corpus, f"{tmp_path}/many/", part_bytes=1)
    assert not (tmp_path / "many" / "manifest.json").exists()
    with pytest.raises(ArgumentError):
        dp.pack([], f"{tmp_path}/many/")


@pytest.fixture(scope="module", params=["threads", "processes"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "threads":
        pool: Executor = ThreadPoolExecutor(2)
    else:
        pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    with pool:
        yield pool


def test_executors_make_the_same_packs(corpus: Path, tmp_path: Path, executor: Executor) -> None:
    here = tmp_path / "here"
    dp.pack(corpus, f"{here}/", part_bytes=60, header="{name}")
    assert_same(corpus, tmp_path, part_bytes=60, header="{name}", executor=executor)
    assert {name: each[2] for name, each in state(here).items()} == {
        name: each[2] for name, each in state(tmp_path / "many").items()
    }
    assert (here / "manifest.json").read_bytes() == (tmp_path / "many" / "manifest.json").read_bytes()


def test_errors_of_executors_reach_the_caller(tmp_path: Path, executor: Executor) -> None:
    files = [tmp_path / f"{number}.txt" for number in range(5)]
    for number, file in enumerate(files):
        file.write_bytes(b"\xff" if number == 3 else b"text")
    with pytest.raises(UndecodableError, match=r"3\.txt"):
        dp.pack(files, f"{tmp_path}/many/", part_bytes=1, executor=executor)
    assert not (tmp_path / "many" / "manifest.json").exists()
    files[3].write_bytes(b"text")
    assert dp.pack(files, f"{tmp_path}/many/", part_bytes=1, executor=executor).packs == 5


def test_progress_is_told_until_all_is_done(corpus: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    dp.pack(corpus, f"{tmp_path}/many/", part_bytes=50, progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == sum(map(len, FILES.values()))


def test_unpacking_gives_every_byte_back(corpus: Path, tmp_path: Path) -> None:
    dp.pack(corpus, f"{tmp_path}/many/", part_bytes=40, header="== {name}", keep_undecodable=True)
    written = dp.unpack(tmp_path / "many", tmp_path / "out")
    assert written == sum(map(len, FILES.values()))
    for name, data in FILES.items():
        assert (tmp_path / "out" / "corpus" / name).read_bytes() == data
    with pytest.raises(OutputExistsError):
        dp.unpack(tmp_path / "many", tmp_path / "out")


def test_unpacking_one_document_of_many_packs_makes_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    dp.pack(tmp_path / "a.txt", f"{tmp_path}/many/")
    dp.unpack(tmp_path / "many", tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").read_text() == "a"


KILLED = """
import sys, distributed_prompt as dp
dp.pack(sys.argv[1], sys.argv[2], part_bytes=20_000, shard_size=1000, level=19)
"""


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    dice = random.Random(3)  # noqa: S311  # no secret
    corpus = write(
        tmp_path / "corpus", {f"{number:03}.txt": bytes(dice.choices(b"abcdef\n", k=20_000)) for number in range(40)}
    )
    many = tmp_path / "many"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(corpus), f"{many}/"])
    end = time.monotonic() + 20
    while len(list(many.glob("*.dprompt")) if many.exists() else []) < 3 and time.monotonic() < end:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (many / "manifest.json").exists(), "it was too quick to be killed"
    before = state(many)
    assert len(before) >= 3
    info = dp.pack(corpus, f"{many}/", part_bytes=20_000, shard_size=1000, level=19)
    after = state(many)
    assert info.packs == 40 == len(after)
    assert all(after[name] == each for name, each in before.items())
    assert sorted(path.name for path in many.iterdir()) == sorted([*after, "manifest.json"])
    with dp.open(many) as prompt:
        assert prompt == "".join((corpus / f"{number:03}.txt").read_text() for number in range(40))


def test_a_part_that_is_damaged_is_named(corpus: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    dp.pack(corpus, f"{many}/", part_bytes=100)
    first = min(many.glob("*.dprompt"))
    first.write_bytes(first.read_bytes()[:1000])
    with pytest.raises(dp.DPromptError, match=first.name):
        dp.pack(corpus, f"{many}/", part_bytes=100, overwrite=True)


def test_the_command_line_makes_parts(corpus: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    many = f"{tmp_path}/many/"
    arguments = ["pack", str(corpus), "-o", many, "--part-bytes", "1_00", "--header", "{name}"]
    result = runner.invoke(main, arguments)
    assert result.exit_code == 0, result.output
    again = runner.invoke(main, arguments)
    assert again.exit_code == 1
    assert "exists" in again.output
    assert runner.invoke(main, [*arguments, "--force"]).exit_code == 0
    with dp.open(many) as prompt:
        assert runner.invoke(main, ["cat", many]).stdout_bytes.decode() == str(prompt)
    for wrong in (
        ["pack", "-", "-o", f"{tmp_path}/x/"],
        ["pack", str(corpus), "-o", f"{tmp_path}/x/", "--part-bytes", "0"],
        ["pack", str(corpus), "-o", f"{tmp_path}/x.dprompt", "--part-bytes", "5"],
        ["pack", f"{tmp_path}/gone", "-o", f"{tmp_path}/x/"],
        ["pack", str(corpus), "-o", f"{corpus}/a.md/"],
    ):
        result = runner.invoke(main, wrong)
        assert (result.exit_code, isinstance(result.exception, SystemExit)) == (1, True), (wrong, result.exception)
        assert result.output.startswith("dprompt: "), result.output
