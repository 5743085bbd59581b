import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt.backends.memory_backend import MemoryBackend
from distributed_prompt.errors import (
    ArgumentError,
    ClosedError,
    CorruptPackError,
    DPromptError,
    NotAPackError,
    OutputError,
    OutputExistsError,
    PackNotFoundError,
)
from distributed_prompt.store.documents import Document
from distributed_prompt.store.engines import ENGINES, create_store
from distributed_prompt.store.metadata import Metadata, create_metadata
from distributed_prompt.store.pack_writer import write_text
from distributed_prompt.store.sqlite_header import is_sqlite
from tests.strategies import texts

GOLDEN = Path(__file__).parent / "golden"
WAYS = [(engine, other) for engine in ENGINES for other in ENGINES]
FEWER = settings(max_examples=settings().max_examples // 3)
each_engine = pytest.mark.parametrize("engine", ENGINES)
each_way = pytest.mark.parametrize(("engine", "other"), WAYS, ids=["-to-".join(way) for way in WAYS])


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def create(pack: Path, contents: dict[str, bytes], engine: str, **options: int | str | None) -> Path:
    folder = pack.with_name(f"{pack.name}.in")
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    dp.pack([folder / name for name in contents], pack, store=engine, **options)  # type: ignore[arg-type]  # for brevity
    shutil.rmtree(folder)
    return pack


def noise(count: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(count // 2).hex().encode()  # noqa: S311  # no secret


def facts(pack: Path) -> tuple[Metadata, list[Document], str]:
    with dp.FileBackend(pack) as backend:
        found = backend.pack.metadata, list(backend.pack.documents)
    with dp.open(pack) as prompt:
        return *found, str(prompt)


def engine_of(pack: Path) -> str:
    with dp.FileBackend(pack) as backend:
        return backend.pack.store.engine


def assert_same(pack: Path, other: Path) -> None:
    assert facts(pack) == facts(other)
    assert list(dp.verify(other)) == []


@pytest.fixture
def pack(tmp_path: Path, engine: str) -> Path:
    """A pack of several shards and of more documents than a batch holds."""
    contents = {f"{number:03}": noise(100, number) + b"\n" for number in range(300)}
    return create(tmp_path / "pack.dprompt", contents, engine, shard_size=1_000, header="{name}")


# the same on the other engine


@each_way
@FEWER
@given(
    contents=st.lists(texts, min_size=1, max_size=5),
    shard_size=st.sampled_from([1, 2, 7, 131_072]),
    level=st.sampled_from([1, 3, 19]),
    header=st.sampled_from([None, "", "# {name}"]),
)
def test_a_pack_is_the_same_with_each_engine_and_the_same_file_after_the_way_back(
    scratch: Path, engine: str, other: str, contents: list[str], shard_size: int, level: int, header: str | None
) -> None:
    folder = scratch / "folder"
    folder.mkdir()
    for number, text in enumerate(contents):
        (folder / f"{number}").write_bytes(text.encode("utf-8", "surrogatepass"))
    paths = [folder / f"{number}" for number in range(len(contents))]
    packed, converted, back, direct = (folder / name for name in ("packed", "converted", "back", "direct"))
    pack_with = partial(
        dp.pack, paths, errors="surrogatepass", shard_size=shard_size, level=level, header=header, overwrite=True
    )
    info = pack_with(packed, store=engine)
    assert dp.convert(packed, converted, store=other) == info.root_digest
    assert engine_of(converted) == other
    assert_same(packed, converted)
    pack_with(direct, store=other)
    assert converted.read_bytes() == direct.read_bytes()
    assert dp.convert(converted, back, store=engine) == info.root_digest
    assert back.read_bytes() == packed.read_bytes()
    shutil.rmtree(folder)


@pytest.mark.thorough
@each_way
@pytest.mark.parametrize("count", [1, 255, 256, 257, 600, 4_200])
def test_documents_of_any_number_are_converted(tmp_path: Path, engine: str, other: str, count: int) -> None:
    contents = {f"{number:05}": f"{number} é\n".encode() * (number % 3) for number in range(count)}
    create(tmp_path / "pack", contents, engine, shard_size=100)
    dp.convert(tmp_path / "pack", tmp_path / "converted", store=other)
    assert_same(tmp_path / "pack", tmp_path / "converted")
    assert dict(iterate(tmp_path / "converted")) == {name: content.decode() for name, content in contents.items()}
    dp.unpack(tmp_path / "converted", tmp_path / "unpacked/")
    if count > 1:
        assert {path.name: path.read_bytes() for path in (tmp_path / "unpacked").iterdir()} == contents
    dp.convert(tmp_path / "converted", tmp_path / "back", store=engine)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "pack").read_bytes()


def iterate(pack: Path) -> list[tuple[str, str]]:
    with dp.open(pack) as prompt:
        return [(name, str(text)) for name, text in prompt.documents.items()]


@each_way
def test_a_large_pack_is_converted(tmp_path: Path, engine: str, other: str) -> None:
    create(tmp_path / "pack", {"a": noise(6_000_000, 1), "b": noise(3_000_000, 2)}, engine, shard_size=10_000)
    calls: list[tuple[int, int | None]] = []
    dp.convert(
        tmp_path / "pack", tmp_path / "converted", store=other, progress=lambda done, total: calls.append((done, total))
    )
    assert_same(tmp_path / "pack", tmp_path / "converted")
    assert len(calls) > 1
    assert calls == sorted(calls)
    assert {total for _, total in calls} == {(tmp_path / "pack").stat().st_size}
    with dp.FileBackend(tmp_path / "pack") as backend:
        blobs = backend.pack.blobs(0, backend.pack.metadata.shards - 1)
    assert calls[-1][0] == sum(map(len, blobs.values()))


@each_way
@pytest.mark.parametrize("text", ["", "one \ud800 text\n of several shards"])
def test_packs_without_documents_are_converted(tmp_path: Path, engine: str, other: str, text: str) -> None:
    (tmp_path / "pack").touch()
    write_text(create_store(engine, str(tmp_path / "pack"), "pack"), text, 7, 3)
    dp.convert(tmp_path / "pack", tmp_path / "converted", store=other)
    assert_same(tmp_path / "pack", tmp_path / "converted")
    assert facts(tmp_path / "converted")[1:] == ([], text)


@each_way
def test_the_pack_of_an_empty_file_is_converted(tmp_path: Path, engine: str, other: str) -> None:
    create(tmp_path / "pack", {"empty": b""}, engine)
    dp.convert(tmp_path / "pack", tmp_path / "converted", store=other)
    assert_same(tmp_path / "pack", tmp_path / "converted")
    metadata, (document,), text = facts(tmp_path / "converted")
    assert (metadata.length, metadata.shards, document.name, text) == (0, 0, "empty", "")


@each_way
def test_a_pack_that_was_appended_to_is_converted(tmp_path: Path, engine: str, other: str) -> None:
    create(tmp_path / "pack", {"a": b"old text" * 100}, engine, shard_size=17, header="{name}")
    (tmp_path / "b").write_bytes(b"new text" * 50)
    (tmp_path / "c").write_bytes(b"newer text")
    dp.convert(tmp_path / "pack", tmp_path / "converted", store=other)
    for pack in (tmp_path / "pack", tmp_path / "converted"):
        dp.append(pack, tmp_path / "b")
    assert_same(tmp_path / "pack", tmp_path / "converted")
    dp.convert(tmp_path / "converted", tmp_path / "back", store=engine)
    dp.append(tmp_path / "pack", tmp_path / "c")
    dp.append(tmp_path / "back", tmp_path / "c")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "pack").read_bytes()


@each_engine
@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.dprompt")))
def test_golden_packs_are_converted(tmp_path: Path, engine: str, name: str) -> None:
    dp.convert(GOLDEN / f"{name}.dprompt", tmp_path / "converted", store=engine)
    assert_same(GOLDEN / f"{name}.dprompt", tmp_path / "converted")


@each_way
@pytest.mark.parametrize("count", [1, 300])
def test_packs_whose_documents_another_zstd_has_compressed_are_converted(
    tmp_path: Path, engine: str, other: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {f"{number:03}": f"document {number}".encode() for number in range(count)}
    with monkeypatch.context() as patch:
        # As different bytes of the same meaning as another version of zstd may give.
        patch.setattr("distributed_prompt.store.documents._LEVEL", 1)
        create(tmp_path / "pack", contents, engine)
    assert list(dp.verify(tmp_path / "pack")) == []
    dp.convert(tmp_path / "pack", tmp_path / "converted", store=other)
    assert facts(tmp_path / "converted")[1:] == facts(tmp_path / "pack")[1:]
    assert list(dp.verify(tmp_path / "converted")) == []


def test_a_text_in_memory_is_converted_to_a_file(tmp_path: Path) -> None:
    with MemoryBackend("some text of several shards", 5) as backend:
        digest = dp.convert(backend, tmp_path / "pack", store="lmdb")
        assert backend.pack.metadata.root_digest == digest
    assert facts(tmp_path / "pack")[1:] == ([], "some text of several shards")
    assert list(dp.verify(tmp_path / "pack")) == []


@each_way
def test_a_backend_is_converted_as_it_was_opened_and_stays_open(pack: Path, tmp_path: Path, other: str) -> None:
    expected = facts(pack)
    with dp.FileBackend(pack) as backend:
        (tmp_path / "new").write_bytes(b"new")
        dp.append(pack, tmp_path / "new")
        assert dp.convert(backend, tmp_path / "converted", store=other) == expected[0].root_digest
        assert backend.pack.utf8(0)
    assert facts(tmp_path / "converted") == expected
    with pytest.raises(ClosedError):
        dp.convert(backend, tmp_path / "again", store=other)
    assert names(tmp_path) == ["converted", "new", "pack.dprompt"]


@each_way
def test_a_folder_stands_for_the_pack_in_it(tmp_path: Path, engine: str, other: str) -> None:
    (tmp_path / "folder").mkdir()
    create(tmp_path / "folder" / "prompt.dprompt", {"a": b"text"}, engine)
    dp.convert(tmp_path / "folder", tmp_path / "converted", store=other)
    assert_same(tmp_path / "folder" / "prompt.dprompt", tmp_path / "converted")


def test_sqlite_is_what_is_made_unless_asked_otherwise(tmp_path: Path) -> None:
    create(tmp_path / "pack", {"a": b"text"}, "lmdb")
    dp.convert(tmp_path / "pack", tmp_path / "converted")
    assert engine_of(tmp_path / "converted") == "sqlite"


@each_way
@pytest.mark.parametrize("name", ["caf\udce9 \udcff", "a?b#c%20&d;e=f", "line\nbreak", "x" * 255])
def test_outputs_may_be_called_by_any_bytes(tmp_path: Path, engine: str, other: str, name: str) -> None:
    create(tmp_path / "pack", {"a": b"text"}, engine)
    dp.convert(tmp_path / "pack", tmp_path / name, store=other)
    dp.convert(tmp_path / name, tmp_path / "back", store=engine)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "pack").read_bytes()
    assert names(tmp_path) == sorted(["pack", "back", name])


# what is refused leaves nothing


def assert_refused(pack: Path, error: type[Exception], message: str, call: Callable[[], object]) -> None:
    before, there = pack.read_bytes(), names(pack.parent)
    with pytest.raises(error, match=message):
        call()
    assert pack.read_bytes() == before
    assert names(pack.parent) == there


@each_way
def test_an_output_that_exists_is_kept_unless_it_is_to_be_overwritten(pack: Path, tmp_path: Path, other: str) -> None:
    output = tmp_path / "output"
    output.write_bytes(b"kept")
    output.chmod(0o600)
    assert_refused(pack, OutputExistsError, "output: exists", partial(dp.convert, pack, output, store=other))
    assert output.read_bytes() == b"kept"
    dp.convert(pack, output, store=other, overwrite=True)
    assert_same(pack, output)
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


@each_way
@pytest.mark.parametrize("overwrite", [False, True])
def test_the_output_cannot_be_the_pack_itself(pack: Path, tmp_path: Path, other: str, *, overwrite: bool) -> None:
    (tmp_path / "link").symlink_to(pack)
    for source, output in ((pack, pack), (pack, tmp_path / "link"), (tmp_path / "link", pack)):
        call = partial(dp.convert, source, output, store=other, overwrite=overwrite)
        assert_refused(pack, ArgumentError, "is the pack itself", call)
    with dp.FileBackend(pack) as backend:
        call = partial(dp.convert, backend, tmp_path / "link", store=other, overwrite=overwrite)
        assert_refused(pack, ArgumentError, "is the pack itself", call)


@each_engine
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_output_that_cannot_be_a_file_is_refused(pack: Path, tmp_path: Path, *, overwrite: bool) -> None:
    (tmp_path / "folder").mkdir()
    for output, error, message in (
        ("folder", ArgumentError, "is a folder"),
        ("missing/output", OutputError, "its folder does not exist"),
        ("pack.dprompt/output", OutputError, "Not a directory"),
        ("nul\0", ArgumentError, "no file can have this name"),
    ):
        assert_refused(pack, error, message, partial(dp.convert, pack, f"{tmp_path}/{output}", overwrite=overwrite))
    assert names(tmp_path / "folder") == []


@each_engine
@pytest.mark.parametrize("store", ["", "SQLite", "leveldb", "memory", "lmdb "])
def test_an_engine_that_is_unknown_is_refused(pack: Path, tmp_path: Path, store: str) -> None:
    call = partial(dp.convert, pack, tmp_path / "output", store=store)
    assert_refused(pack, ArgumentError, f"store '{store}': must be one of sqlite, lmdb", call)


@each_engine
def test_what_is_no_pack_is_refused(tmp_path: Path, engine: str) -> None:
    (tmp_path / "text").write_bytes(b"no pack")
    call = partial(dp.convert, tmp_path / "text", tmp_path / "output", store=engine)
    assert_refused(tmp_path / "text", NotAPackError, "not a pack", call)
    with pytest.raises(PackNotFoundError):
        dp.convert(tmp_path / "missing", tmp_path / "output", store=engine)
    assert names(tmp_path) == ["text"]


def damaged(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :]


@each_way
def test_every_damaged_shard_is_refused(tmp_path: Path, engine: str, other: str) -> None:
    pack = create(tmp_path / "pack", {"a": noise(10_000, 1)}, engine, shard_size=3_000)
    sound = pack.read_bytes()
    with dp.FileBackend(pack) as backend:
        blobs = [backend.pack.blob(shard) or b"" for shard in range(backend.pack.metadata.shards)]
    assert len(blobs) == 4
    for shard, blob in enumerate(blobs):
        for at in (0, 100, 299):
            pack.write_bytes(sound.replace(blob[:300], damaged(blob[:300], at)))
            call = partial(dp.convert, pack, tmp_path / "output", store=other)
            assert_refused(pack, CorruptPackError, f"pack: shard {shard}: checksum", call)


@each_way
@pytest.mark.parametrize(
    "changes", [{"newlines": 99, "lines": 99}, {"root_digest": "0" * 64}, {"documents_digest": "0" * 64}]
)
def test_a_pack_whose_metadata_belong_to_another_is_refused(
    tmp_path: Path, engine: str, other: str, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        # Sealed like true ones.
        patch.setattr(
            "distributed_prompt.store.pack_writer.create_metadata",
            lambda metadata: create_metadata(replace(metadata, **changes)),
        )
        pack = create(tmp_path / "pack", {"a": b"text\n" * 100}, engine, shard_size=17)
    assert list(dp.verify(pack)) != []
    call = partial(dp.convert, pack, tmp_path / "output", store=other)
    assert_refused(pack, CorruptPackError, "pack: ", call)


@pytest.mark.thorough
@each_way
def test_a_pack_that_is_damaged_anywhere_is_refused_or_converted_as_if_it_were_not(
    pack: Path, tmp_path: Path, other: str
) -> None:
    sound, output, refused = pack.read_bytes(), tmp_path / "output", 0
    dp.convert(pack, output, store=other)
    expected = output.read_bytes()
    output.unlink()
    chooser = random.Random(6)  # noqa: S311  # no secret
    for position in [*range(0, 120, 5), *chooser.sample(range(len(sound)), 100)]:
        pack.write_bytes(damaged(sound, position))
        try:
            dp.convert(pack, output, store=other)
        except DPromptError:
            refused += 1
        else:
            assert output.read_bytes() == expected, position
            output.unlink()
        assert names(tmp_path) == ["pack.dprompt"]
    assert refused > 30


@each_way
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("exists", [True, False])
def test_a_conversion_that_is_interrupted_leaves_nothing(
    pack: Path, tmp_path: Path, other: str, error: type[BaseException], *, exists: bool
) -> None:
    def interrupt(*_: object) -> None:
        assert ".output.partial" in names(tmp_path)
        raise error

    if exists:
        (tmp_path / "output").write_bytes(b"kept")
    with pytest.raises(error):
        dp.convert(pack, tmp_path / "output", store=other, overwrite=exists, progress=interrupt)
    assert names(tmp_path) == ["output"] * exists + ["pack.dprompt"]
    assert not exists or (tmp_path / "output").read_bytes() == b"kept"


LIMITED = """
import sys
import distributed_prompt as dp
from distributed_prompt.errors import OutputError
try:
    dp.convert(sys.argv[1], sys.argv[2], store=sys.argv[3])
except OutputError as error:
    print(error)
else:
    print("converted")
"""


def limit_files(limit: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


@pytest.mark.thorough
@each_way
def test_a_conversion_that_finds_no_room_leaves_nothing(tmp_path: Path, engine: str, other: str) -> None:
    pack = create(tmp_path / "pack", {"a": noise(1_000_000, 1)}, engine, shard_size=10_000)
    output = tmp_path / "output"
    for limit in (0, 4096, 100_000, 500_000, 2_000_000):
        done = subprocess.run(
            [sys.executable, "-B", "-c", LIMITED, str(pack), str(output), other],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            preexec_fn=partial(limit_files, limit),
        )
        assert done.stderr == ""
        assert done.stdout.count("\n") == 1
        if limit == 2_000_000:
            assert done.stdout == "converted\n"
            assert_same(pack, output)
        else:
            assert done.stdout.startswith(f"{output}: ")
            assert names(tmp_path) == ["pack"]


@each_way
def test_a_pack_may_be_replaced_by_one_of_another_engine_while_it_is_read(
    pack: Path, tmp_path: Path, other: str
) -> None:
    expected = facts(pack)
    with dp.open(pack, cache_bytes=1) as prompt:
        begun = iter(prompt)
        head = next(begun)
        dp.convert(pack, tmp_path / "converted", store=other)
        os.replace(tmp_path / "converted", pack)  # noqa: PTH105  # as any other program would
        assert head + "".join(begun) == str(prompt) == expected[2]
        with dp.open(pack) as new:
            assert new == prompt
            assert str(new) == expected[2]
    assert engine_of(pack) == other


@each_way
def test_a_pack_that_another_engine_replaces_while_it_is_opened_is_opened(
    pack: Path, tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = facts(pack)
    dp.convert(pack, tmp_path / "converted", store=other)

    def replaced_meanwhile(head: bytes) -> bool:
        if (tmp_path / "converted").exists():
            (tmp_path / "converted").replace(pack)
        return is_sqlite(head)

    monkeypatch.setattr("distributed_prompt.store.engines.is_sqlite", replaced_meanwhile)
    with dp.open(pack) as prompt:
        assert str(prompt) == expected[2]
    assert names(tmp_path) == ["pack.dprompt"]
