import io
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import NamedTuple, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt.errors import (
    ArgumentError,
    CorruptPackError,
    DPromptError,
    NotAPackError,
    OutputError,
    PackNotFoundError,
    PackReadError,
    UndecodableError,
)
from distributed_prompt.store.documents import Document
from distributed_prompt.store.engines import ENGINES, create_store
from distributed_prompt.store.pack_writer import write_text
from tests.strategies import texts

GOLDEN = Path(__file__).parent / "golden"
SHARD_SIZES = (1, 2, 3, 7, 17, 131_072)
PAGE_BYTES = 4096
MANY = 4_300
FEWER = settings(max_examples=settings().max_examples // 2)
each_engine = pytest.mark.parametrize("engine", ENGINES)


class Codec(NamedTuple):
    """How documents are written, and read again."""

    encoding: str
    writing: str
    reading: str


CODECS = (
    Codec("utf-8", "surrogatepass", "surrogatepass"),
    Codec("utf-8", "surrogatepass", "surrogateescape"),
    Codec("utf-8", "ignore", "strict"),
    Codec("utf-8-sig", "ignore", "strict"),
    Codec("utf-16", "surrogatepass", "surrogatepass"),
    Codec("utf-16-be", "surrogatepass", "surrogatepass"),
    Codec("utf-32", "ignore", "strict"),
    Codec("shift_jis", "ignore", "strict"),
    Codec("iso2022_jp", "ignore", "strict"),
    Codec("latin-1", "ignore", "strict"),
)
HEADERS = (None, None, "", "== {name} ==", "one\ntwo", "{name}\n", "日本 {name} {other}\r")


class Input(NamedTuple):
    """A document to be."""

    name: str
    data: bytes


file_names = st.text("ab0\n \x7f\u00e9\u65e5\U0001f600\udc80~", min_size=1, max_size=5)


@st.composite
def batches(draw: st.DrawFn, codec: Codec) -> list[list[Input]]:
    """Documents in two to four lots, none of them empty, ascending by name over all of them."""
    names = sorted(draw(st.sets(file_names, min_size=2, max_size=7)))
    contents = [draw(st.one_of(texts, st.just(""))).encode(codec.encoding, codec.writing) for _ in names]
    inputs = [Input(name, data) for name, data in zip(names, contents, strict=True)]
    cuts = sorted(draw(st.sets(st.integers(1, len(names) - 1), min_size=1, max_size=3)))
    return [inputs[start:stop] for start, stop in pairwise([0, *cuts, len(names)])]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def written(folder: Path, inputs: list[Input]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, data in inputs:
        (folder / name).write_bytes(data)
    return [folder / name for name, _ in inputs]


def decoded(data: bytes, encoding: str, errors: str, newlines: str = "keep") -> str:
    newline = "" if newlines == "keep" else None
    return io.TextIOWrapper(io.BytesIO(data), encoding=encoding, errors=errors, newline=newline).read()


def printable(name: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def joined(contents: list[tuple[str, str]], header: str | None) -> tuple[str, list[tuple[str, int, int]]]:
    """What the prompt must be, worked out with plain strings: its text, and where its documents are."""
    text, places = "", []
    for name, content in contents:
        if header is not None:
            text += "\n" * (text != "" and not text.endswith("\n"))
            text += header.replace("{name}", printable(name)) + "\n"
        places.append((name, len(text), len(text) + len(content)))
        text += content
    return text, places


def assert_is(pack: Path, contents: list[tuple[str, str]], header: str | None = None) -> None:
    """The pack's text, documents and lines are those of the model, and it is sound."""
    text, places = joined(contents, header)
    with dp.open(pack) as prompt:
        assert len(prompt) == len(text)
        assert str(prompt) == text
        assert len(prompt.lines) == text.count("\n") + (text != "" and not text.endswith("\n"))
        assert [(record.name, record.start, record.stop) for record in prompt.documents.records()] == places
        assert list(prompt.documents) == [name for name, _ in contents]
        for name, content in contents[:5] + contents[-5:]:
            assert prompt.documents[name] == content
    assert list(dp.verify(pack)) == []


def assert_unpacks(pack: Path, inputs: list[Input]) -> None:
    folder = Path(tempfile.mkdtemp(dir=pack.parent))
    dp.unpack(pack, f"{folder}/out/")
    assert {path.name: path.read_bytes() for path in (folder / "out").iterdir()} == dict(inputs)
    shutil.rmtree(folder)


def records(pack: Path) -> list[Document]:
    with dp.FileBackend(pack) as backend:
        return list(backend.pack.documents)


def text_of(pack: Path) -> str:
    with dp.open(pack) as prompt:
        return str(prompt)


def grow(pack: Path, inputs: list[Input]) -> dp.PackInfo:
    """Append documents, whose files lie in a folder of their own for that time."""
    folder = Path(tempfile.mkdtemp())
    try:
        return dp.append(pack, written(folder, inputs))
    finally:
        shutil.rmtree(folder)


def create(pack: Path, inputs: list[Input], engine: str = ENGINES[0], **options: int | str | None) -> Path:
    """Pack documents, whose files lie in a folder of their own for that time."""
    folder = Path(tempfile.mkdtemp())
    try:
        dp.pack(written(folder, inputs), pack, store=engine, **options)  # type: ignore[arg-type]  # for brevity
    finally:
        shutil.rmtree(folder)
    return pack


# a pack that grew is the one that packing everything makes


@each_engine
@FEWER
@given(data=st.data())
def test_a_pack_that_grew_is_the_pack_that_packing_everything_makes(
    scratch: Path, engine: str, data: st.DataObject
) -> None:
    codec = data.draw(st.sampled_from(CODECS))
    lots = data.draw(batches(codec))
    shard_size = data.draw(st.sampled_from(SHARD_SIZES))
    header = data.draw(st.sampled_from(HEADERS))
    newlines = data.draw(st.sampled_from(["keep", "keep", "universal"]))
    level = data.draw(st.sampled_from([1, 3, 19]))
    folder = Path(tempfile.mkdtemp(dir=scratch))
    paths = [written(folder / "in", lot) for lot in lots]
    whole, grown = folder / "whole.dprompt", folder / "grown.dprompt"
    reading = {"encoding": codec.encoding, "errors": codec.reading, "newlines": newlines}
    making = {"store": engine, "shard_size": shard_size, "level": level, "header": header}
    expected = dp.pack([path for lot in paths for path in lot], whole, **making, **reading)  # type: ignore[arg-type]  # strings and numbers
    dp.pack(paths[0], grown, **making, **reading)  # type: ignore[arg-type]
    for at, lot in enumerate(paths[1:], 1):
        info = dp.append(grown, lot, **reading)  # type: ignore[arg-type]
        assert info.documents == len(lot)
        assert info.source_bytes == sum(len(each.data) for each in lots[at])
        assert info.pack_bytes == grown.stat().st_size
        contents = [
            (name, decoded(content, codec.encoding, codec.reading, newlines))
            for name, content in chain(*lots[: at + 1])
        ]
        assert info.length == len(joined(contents, header)[0])
        assert (info.root_digest == expected.root_digest) >= (at == len(paths) - 1)
        assert_is(grown, contents, header)
    assert records(grown) == records(whole)
    assert grown.read_bytes() == whole.read_bytes()
    assert names(folder) == ["grown.dprompt", "in", "whole.dprompt"]
    if all(record.exact for record in records(grown)):
        assert expected.exact
        assert_unpacks(grown, list(chain(*lots)))
    else:
        assert not expected.exact
    shutil.rmtree(folder)


@each_engine
@pytest.mark.parametrize("header", [None, "", "# {name}"])
@pytest.mark.parametrize("ending", ["x", "\n", "\U0001f600"])
@pytest.mark.parametrize("shard_size", [1, 7, 1000])
def test_a_text_that_ends_at_or_beside_a_shard_border_grows(
    tmp_path: Path, engine: str, header: str | None, ending: str, shard_size: int
) -> None:
    before = len(header.replace("{name}", "a")) + 1 if header is not None else 0
    for length in (2 * shard_size - 1, 2 * shard_size, 2 * shard_size + 1):
        first = ("x" * 2 * length)[: max(0, length - before - len(ending))] + ending
        contents = [("a", first), ("b", ""), ("c", "new"), ("d", "")]
        inputs = [Input(name, content.encode()) for name, content in contents]
        whole, grown = tmp_path / f"whole-{length}", tmp_path / f"grown-{length}"
        create(whole, inputs, engine, shard_size=shard_size, header=header)
        create(grown, inputs[:1], engine, shard_size=shard_size, header=header)
        for each in inputs[1:]:
            grow(grown, [each])
        assert grown.read_bytes() == whole.read_bytes()
        assert_is(grown, contents, header)


@each_engine
@pytest.mark.parametrize("shard_size", [1, 7, 131_072])
def test_a_pack_of_nothing_grows(tmp_path: Path, engine: str, shard_size: int) -> None:
    inputs = [Input(f"{number:03}", b"") for number in range(300)] + [Input("300", b"text\n"), Input("301", b"")]
    create(tmp_path / "whole", inputs, engine, shard_size=shard_size)
    create(tmp_path / "grown", inputs[:1], engine, shard_size=shard_size)
    for start, stop in pairwise([1, 2, 255, 256, 257, 300, 301, 302]):
        grow(tmp_path / "grown", inputs[start:stop])
        assert_is(tmp_path / "grown", [(name, data.decode()) for name, data in inputs[:stop]])
    assert (tmp_path / "grown").read_bytes() == (tmp_path / "whole").read_bytes()


@each_engine
@pytest.mark.parametrize("text", ["", "old", "old text of several shards\n"])
def test_a_pack_without_documents_grows(tmp_path: Path, engine: str, text: str) -> None:
    pack = tmp_path / "pack.dprompt"
    pack.touch()
    write_text(create_store(engine, str(pack), "pack"), text, 7, 3)
    info = grow(pack, [Input("new", b"new text")])
    assert info.documents == 1
    assert text_of(pack) == text + "new text"
    assert [(record.name, record.start, record.stop) for record in records(pack)] == [("new", len(text), len(text) + 8)]
    assert list(dp.verify(pack)) == []


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Very many small documents, some of them empty, also where batches and groups of batches end."""
    folder = tmp_path_factory.mktemp("many")
    empty = {255, 256, 4_094, 4_095, 4_096, 4_199, *range(250, MANY, 11), *range(1_000, 1_300)}
    return written(
        folder, [Input(f"{n:05}", b"" if n in empty else f"{n} é\n".encode() * (1 + n % 3)) for n in range(MANY)]
    )


WAYS = (
    (1, 255),
    (1, 256),
    (255, 256),
    (255, 257),
    (256, 257),
    (256, 600),
    (257, 512),
    (1, 255, 256, 257, 600, 601),
    (600, 4_096),
    (600, 4_200),
    (4_095, 4_096),
    (4_095, 4_097),
    (4_096, 4_200),
    (4_097, 4_200),
    (4_200, 4_300),
    (3_840, 3_841, 4_096, 4_097),
    (1, 255, 256, 257, 600, 4_095, 4_096, 4_200),
)


@pytest.mark.thorough
@each_engine
@pytest.mark.parametrize("shard_size", [70, 131_072])
def test_packs_of_very_many_documents_grow_to_the_pack_that_packing_everything_makes(
    many: list[Path], tmp_path: Path, engine: str, shard_size: int
) -> None:
    packs: dict[int, Path] = {}
    for count in sorted({count for way in WAYS for count in way}):
        packs[count] = tmp_path / f"{count}.dprompt"
        dp.pack(many[:count], packs[count], store=engine, shard_size=shard_size)
        assert list(dp.verify(packs[count])) == []
    for way in WAYS:
        grown = Path(shutil.copyfile(packs[way[0]], tmp_path / "grown.dprompt"))
        for start, stop in pairwise(way):
            dp.append(grown, many[start:stop])
            assert grown.read_bytes() == packs[stop].read_bytes(), (start, stop)


@pytest.mark.thorough
@each_engine
@pytest.mark.parametrize("empty", [0, 300])
@pytest.mark.parametrize(("width", "shard_size"), [(10, 10_240), (9, 8_000)])
def test_groups_of_batches_that_end_inside_a_shard_or_with_it_lie_where_packing_everything_puts_them(
    tmp_path: Path, engine: str, width: int, shard_size: int, empty: int
) -> None:
    """4,096 documents are a group: here their last batch ends with a shard, or begins and ends inside of one."""
    data = noise(5_496 * width + 1, 3)
    full = [data[number * width : (number + 1) * width] for number in range(5_496)]
    contents = full[:4_096] + [b""] * empty + full[4_096:]
    paths = written(tmp_path / "in", [Input(f"{number:05}", content) for number, content in enumerate(contents)])
    whole, grown = tmp_path / "whole", tmp_path / "grown"
    dp.pack(paths, whole, store=engine, shard_size=shard_size)
    for cut in (4_096, len(paths) - 50):
        dp.pack(paths[:cut], grown, store=engine, shard_size=shard_size, overwrite=True)
        dp.append(grown, paths[cut:])
        assert grown.read_bytes() == whole.read_bytes(), cut


@pytest.mark.thorough
@each_engine
def test_very_many_documents_that_were_appended_are_what_was_appended(
    many: list[Path], tmp_path: Path, engine: str
) -> None:
    dp.pack(many[:600], tmp_path / "pack", store=engine, shard_size=100, header="{name}")
    for start, stop in pairwise([600, 601, 4_096, 4_200]):
        dp.append(tmp_path / "pack", many[start:stop])
    assert_is(tmp_path / "pack", [(path.name, path.read_text()) for path in many[:4_200]], "{name}")
    assert_unpacks(tmp_path / "pack", [Input(path.name, path.read_bytes()) for path in many[:4_200]])


@pytest.mark.thorough
@each_engine
@settings(max_examples=max(8, FEWER.max_examples // 4))
@given(data=st.data())
def test_many_documents_grow_in_any_steps(many: list[Path], scratch: Path, engine: str, data: st.DataObject) -> None:
    shard_size = data.draw(st.sampled_from([5, 1000]))
    around = st.one_of(st.integers(1, 1100), st.sampled_from([255, 256, 257, 511, 512, 513, 1023, 1024]))
    counts = sorted(data.draw(st.sets(around, min_size=2, max_size=5)))
    folder = Path(tempfile.mkdtemp(dir=scratch))
    dp.pack(many[: counts[-1]], folder / "whole", store=engine, shard_size=shard_size)
    dp.pack(many[: counts[0]], folder / "grown", store=engine, shard_size=shard_size)
    for start, stop in pairwise(counts):
        dp.append(folder / "grown", many[start:stop])
    assert (folder / "grown").read_bytes() == (folder / "whole").read_bytes()
    shutil.rmtree(folder)


@each_engine
def test_what_is_appended_comes_last_whatever_its_name(tmp_path: Path, engine: str) -> None:
    pack = create(tmp_path / "pack", [Input("m", b"middle\n"), Input("z", b"last\n")], engine, shard_size=3)
    grow(pack, [Input("b", b"two"), Input("a", b"one")])
    grow(pack, [Input("A", b"three")])
    assert_is(pack, [("m", "middle\n"), ("z", "last\n"), ("a", "one"), ("b", "two"), ("A", "three")])


@each_engine
@FEWER
@example(lots=[("é\n", 4), ("", 4), ("日", 7), ("\ud800", 0), ("", 8)], shard_size=1)
@given(
    lots=st.lists(st.tuples(texts, st.integers(0, len(CODECS) - 1)), min_size=2, max_size=6),
    shard_size=st.sampled_from(SHARD_SIZES),
)
def test_each_append_may_have_its_own_encoding(
    scratch: Path, engine: str, lots: list[tuple[str, int]], shard_size: int
) -> None:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    contents, inputs = [], []
    for number, (text, chosen) in enumerate(lots):
        codec = CODECS[chosen]
        each = Input(f"{number}", text.encode(codec.encoding, codec.writing))
        inputs.append(each)
        contents.append((each.name, decoded(each.data, codec.encoding, codec.reading)))
        reading = {"encoding": codec.encoding, "errors": codec.reading}
        paths = written(folder / "in", [each])
        if number:
            dp.append(folder / "pack", paths, **reading)  # type: ignore[arg-type]  # strings
        else:
            dp.pack(paths, folder / "pack", store=engine, shard_size=shard_size, **reading)  # type: ignore[arg-type]
    assert_is(folder / "pack", contents)
    found = records(folder / "pack")
    assert [(each.encoding, each.errors) for each in found] == [
        (CODECS[chosen].encoding, CODECS[chosen].reading) for _, chosen in lots
    ]
    if all(each.exact for each in found):
        assert_unpacks(folder / "pack", inputs)
    shutil.rmtree(folder)


@each_engine
def test_folders_are_appended_as_they_are_packed(tmp_path: Path, engine: str) -> None:
    (tmp_path / "a").mkdir()
    written(tmp_path / "a", [Input("1", b"one"), Input("2", b"two")])
    (tmp_path / "b" / "deep").mkdir(parents=True)
    written(tmp_path / "b", [Input("3.md", b"three"), Input("no.txt", b"no"), Input("bad.md", b"\xff")])
    written(tmp_path / "b" / "deep", [Input("4.md", b"four"), Input("5.md", b"five")])
    (tmp_path / "b" / "link.md").symlink_to("3.md")
    whole, grown = tmp_path / "whole", tmp_path / "grown"
    dp.pack([tmp_path / "a", tmp_path / "b"], whole, store=engine, exclude=["5.md", "no.txt"])
    dp.pack(tmp_path / "a", grown, store=engine)
    info = dp.append(grown, tmp_path / "b", include=["*.md"], exclude=["5.md"])
    assert grown.read_bytes() == whole.read_bytes()
    assert [(each.name, each.reason) for each in info.left_out] == [
        ("b/bad.md", "not utf-8"),
        ("b/link.md", "symbolic link"),
    ]
    assert (info.documents, info.source_bytes, info.exact, info.path) == (2, 9, True, str(grown))
    kept = dp.append(grown, tmp_path / "b", include=["bad.md"], keep_undecodable=True)
    assert (kept.documents, kept.left_out) == (1, ())
    assert text_of(grown).endswith("four\udcff")


@each_engine
def test_standard_input_can_be_appended(tmp_path: Path, engine: str) -> None:
    pack = create(tmp_path / "pack", [Input("a", b"old")], engine)
    script = "import sys, distributed_prompt as dp; print(dp.append(sys.argv[1], '-').documents)"
    done = subprocess.run(
        [sys.executable, "-c", script, str(pack)], input=b" new", capture_output=True, check=True, timeout=60
    )
    assert done.stdout == b"1\n"
    assert_is(pack, [("a", "old"), ("stdin", " new")])


def test_progress_tells_what_was_read_of_the_new_bytes(tmp_path: Path) -> None:
    pack = create(tmp_path / "pack", [Input("a", b"old" * 1000)], shard_size=100)
    calls: list[tuple[int, int | None]] = []
    paths = written(tmp_path / "in", [Input("b", b"n" * 3_000_000)])
    dp.append(pack, paths, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (3_000_000, 3_000_000)
    assert calls == sorted(calls)


# most pages stay where they are


@pytest.fixture(scope="module")
def sources() -> tuple[list[Path], list[Path]]:
    """Modules of the standard library: some 20 MB, and 1 % more that are not among them."""
    folder = Path(os.__file__).parent
    seen: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.py")):
        if "site-packages" not in path.parts and path.read_bytes():
            try:
                path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
            seen.setdefault(path.name, path)
    chosen = list(seen.values())
    random.Random(1).shuffle(chosen)  # noqa: S311  # no secret
    sizes = list(accumulate(path.stat().st_size for path in chosen))
    limit = min(20_000_000, sizes[-1] * 98 // 100)
    old = [path for path, size in zip(chosen, sizes, strict=True) if size <= limit]
    new = [path for path, size in zip(chosen, sizes, strict=True) if limit < size <= limit * 101 // 100]
    return old, new


def pages(pack: Path) -> list[bytes]:
    data = pack.read_bytes()
    return [data[at : at + PAGE_BYTES] for at in range(0, len(data), PAGE_BYTES)]


def shard_pages(pack: Path) -> int:
    """How many pages there are before the one in which the last full shard begins to end."""
    data = pack.read_bytes()
    with dp.FileBackend(pack) as backend:
        metadata = backend.pack.metadata
        blob = backend.pack.blob(metadata.length // metadata.shard_size - 1) or b""
    found = max(data.find(blob[at : at + 40]) for at in range(0, len(blob) - 40, 100))
    assert found > 0
    return found // PAGE_BYTES


@pytest.mark.thorough
@each_engine
@pytest.mark.parametrize("shard_size", [131_072, 4_096])
def test_most_pages_of_a_pack_that_grows_stay_what_and_where_they_are(
    sources: tuple[list[Path], list[Path]],
    tmp_path: Path,
    engine: str,
    shard_size: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old, new = sources
    pack = tmp_path / "pack"
    # The index of the last segment changes whole; that of those before it stays: test_ngrams.py.
    packed = dp.pack(old, pack, store=engine, shard_size=shard_size, index=False)
    before, border = pages(pack), shard_pages(pack)
    info = dp.append(pack, new)
    after = pages(pack)
    assert 0 < info.source_bytes <= packed.source_bytes // 60
    changed = [at for at, page in enumerate(before) if at >= len(after) or after[at] != page]
    among_shards = [at for at in changed if at < border]
    with capsys.disabled():
        print(  # noqa: T201  # a figure to be looked at
            f"\n{engine}, shards of {shard_size:,}: {packed.source_bytes:,} bytes and {info.source_bytes:,} more; of "
            f"{len(before):,} pages {len(changed):,} changed, {len(among_shards):,} of these among the first {border:,}"
        )
    assert changed
    assert len(among_shards) < 0.02 * border
    # What lies behind: the last shards, the directory, the documents and the metadata.
    assert len(changed) < 0.06 * len(before)


# whatever goes wrong, the old pack stays


@pytest.fixture
def old(tmp_path: Path, engine: str) -> Path:
    inputs = [Input(f"{number:03}", f"document {number}\n".encode()) for number in range(300)]
    return create(tmp_path / "old.dprompt", inputs, engine, shard_size=100)


def assert_refused(
    pack: Path, error: type[Exception], message: str, call: Callable[[], object], others: tuple[str, ...] = ()
) -> None:
    """It is refused with this message; the pack is as it was, and nothing else has appeared."""
    before = (pack.read_bytes(), pack.stat().st_ino, pack.stat().st_mtime_ns)
    with pytest.raises(error, match=message):
        call()
    assert (pack.read_bytes(), pack.stat().st_ino, pack.stat().st_mtime_ns) == before
    assert names(pack.parent) == sorted([pack.name, *others])


@each_engine
@pytest.mark.parametrize("name", ["000", "001", "254", "255", "256", "299"])
def test_a_name_that_the_pack_has_is_refused(old: Path, name: str) -> None:
    for inputs in ([Input(name, b"x")], [Input("a", b"new"), Input(name, b"x"), Input("zz", b"new")]):
        assert_refused(old, ArgumentError, f"has a document '{name}' already", partial(grow, old, inputs))


@each_engine
@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 4_097])
def test_a_name_is_refused_in_packs_of_any_number_of_documents(
    many: list[Path], tmp_path: Path, engine: str, count: int
) -> None:
    dp.pack(many[:count], tmp_path / "pack", store=engine)
    for number in {0, count // 2, count - 1}:
        call = partial(dp.append, tmp_path / "pack", many[number])
        assert_refused(tmp_path / "pack", ArgumentError, "already", call)
    dp.append(tmp_path / "pack", many[count])
    assert_refused(tmp_path / "pack", ArgumentError, "already", partial(dp.append, tmp_path / "pack", many[count]))


@each_engine
def test_two_new_inputs_of_one_name_are_refused(old: Path, tmp_path: Path) -> None:
    paths = written(tmp_path / "in", [Input("same", b"1")]) + written(tmp_path / "in2", [Input("same", b"2")])
    call = partial(dp.append, old, paths)
    assert_refused(old, ArgumentError, "document 'same': .* would be called so", call, others=("in", "in2"))


@each_engine
def test_names_whose_hashes_are_the_same_are_told_apart(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distributed_prompt.store.codec.name_hash", lambda _: 2**31)
    inputs = [Input(f"{number:03}", b"x") for number in range(600)]
    pack = create(tmp_path / "pack", inputs[:300], engine)
    grow(pack, inputs[300:])
    assert_is(pack, [(name, "x") for name, _ in inputs])
    for name in ("000", "299", "300", "599"):
        assert_refused(pack, ArgumentError, "already", partial(grow, pack, [Input(name, b"y")]))


@each_engine
def test_bytes_that_are_no_text_are_refused(old: Path) -> None:
    inputs = [Input("a", b"new\n" * 100_000), Input("b", b"text\xff"), Input("c", b"new")]
    assert_refused(old, UndecodableError, "b: byte 4: 0xff is not utf-8", partial(grow, old, inputs))


@each_engine
def test_inputs_that_are_missing_are_refused(old: Path, tmp_path: Path) -> None:
    call = partial(dp.append, old, [tmp_path / "missing"])
    assert_refused(old, PackNotFoundError, "missing: no such file", call)


@pytest.mark.thorough
@each_engine
def test_an_input_that_vanishes_meanwhile_is_refused(old: Path, tmp_path: Path) -> None:
    paths = written(tmp_path / "in", [Input("a", b"n" * 5_000_000), Input("b", b"new")])
    call = partial(dp.append, old, paths, progress=lambda *_: paths[1].unlink(missing_ok=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distributed_prompt.packing._TASK_SHARDS", 1)
        assert_refused(old, PackReadError, "b: No such file", call, others=("in",))


@each_engine
@pytest.mark.parametrize("options", [{"include": ["*.md"]}, {"exclude": ["new"]}])
def test_nothing_to_append_is_refused(old: Path, tmp_path: Path, options: dict[str, list[str]]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "new").write_bytes(b"new")
    call = partial(dp.append, old, tmp_path / "in" / "new", **options)  # type: ignore[arg-type]  # lists of patterns
    assert_refused(old, ArgumentError, "no document found in the input", call, others=("in",))
    assert_refused(old, ArgumentError, "no input", partial(dp.append, old, []), others=("in",))
    (tmp_path / "in" / "new").write_bytes(b"\xff")
    call = partial(dp.append, old, tmp_path / "in")
    assert_refused(old, ArgumentError, "no document found in the input; 1 were left out", call, others=("in",))


@each_engine
@pytest.mark.parametrize(
    "options", [{"encoding": "rot13"}, {"encoding": "no such"}, {"errors": "lenient"}, {"newlines": "windows"}]
)
def test_arguments_that_cannot_be_are_refused(old: Path, options: dict[str, str]) -> None:
    call = partial(dp.append, old, old.parent, **options)  # type: ignore[arg-type]  # strings
    assert_refused(old, ArgumentError, next(iter(options)), call)


@each_engine
def test_the_pack_is_no_input_of_itself(old: Path, tmp_path: Path) -> None:
    assert_refused(old, ArgumentError, "is the pack itself", partial(dp.append, old, [old]))
    (tmp_path / "link").symlink_to(old)
    for pack, source in ((old, tmp_path / "link"), (tmp_path / "link", old), (tmp_path / "link", tmp_path / "link")):
        call = partial(dp.append, pack, source)
        assert_refused(old, ArgumentError, "is the pack itself", call, others=("link",))
    (tmp_path / "hard").hardlink_to(old)
    call = partial(dp.append, old, tmp_path / "hard")
    assert_refused(old, ArgumentError, "is the pack itself", call, others=("hard", "link"))


@each_engine
def test_of_a_folder_that_holds_the_pack_it_is_left_out(tmp_path: Path, engine: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    pack = create(folder / "pack", [Input("a", b"old\n")], engine)
    (folder / "hard").hardlink_to(pack)
    (folder / "new").write_bytes(b"new\n")
    info = dp.append(pack, folder)
    assert (info.documents, info.left_out) == (1, ())
    assert_is(pack, [("a", "old\n"), ("folder/new", "new\n")])
    assert names(folder) == ["hard", "new", "pack"]
    assert text_of(folder / "hard") == "old\n"


@pytest.mark.thorough
@each_engine
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_append_that_is_interrupted_leaves_the_old_pack(
    old: Path, error: type[BaseException], tmp_path: Path
) -> None:
    def interrupt(*_: object) -> None:
        assert ".old.dprompt.partial" in names(tmp_path)
        raise error

    before = old.read_bytes()
    paths = written(tmp_path / "in", [Input("new", b"new\n" * 100_000)])
    with pytest.raises(error):
        dp.append(old, paths, progress=interrupt)
    assert old.read_bytes() == before
    assert names(tmp_path) == ["in", "old.dprompt"]
    dp.append(old, paths)
    assert list(dp.verify(old)) == []


@each_engine
@pytest.mark.parametrize("what", ["os.fsync", "pathlib.Path.replace"])
def test_a_system_that_refuses_to_publish_leaves_the_old_pack(
    old: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(what, refuse)
    assert_refused(old, OutputError, "Input/output error", partial(grow, old, [Input("new", b"new")]))


LIMITED = """
import sys
import distributed_prompt as dp
from distributed_prompt.errors import OutputError
try:
    dp.append(sys.argv[1], sys.argv[2])
except OutputError as error:
    print(error)
else:
    print("appended")
"""


def appended_with_limit(pack: Path, source: Path, limit: int) -> subprocess.CompletedProcess[str]:
    """Append where files can grow to ``limit`` bytes only."""

    def limit_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-B", "-c", LIMITED, str(pack), str(source)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        preexec_fn=limit_files,  # the child only makes two calls
    )


def noise(count: int, seed: int) -> bytes:
    """Text that does not compress to less than half."""
    return random.Random(seed).randbytes(count // 2).hex().encode()  # noqa: S311  # no secret


@pytest.mark.thorough
@each_engine
def test_an_append_that_finds_no_room_leaves_the_old_pack(tmp_path: Path, engine: str) -> None:
    pack = create(tmp_path / "pack", [Input("a", noise(2_000_000, 1))], engine, shard_size=10_000)
    before = pack.read_bytes()
    (tmp_path / "new").write_bytes(noise(400_000, 2))
    for limit in (0, 1, 4096, 20_000, 300_000, len(before) - 1, len(before), len(before) + 100_000):
        done = appended_with_limit(pack, tmp_path / "new", limit)
        assert done.stderr == ""
        assert done.stdout.startswith(f"{pack}: ")
        assert done.stdout.count("\n") == 1
        assert pack.read_bytes() == before
        assert names(tmp_path) == ["new", "pack"]
    assert appended_with_limit(pack, tmp_path / "new", 2 * len(before)).stdout == "appended\n"
    assert list(dp.verify(pack)) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or umount is None:
        pytest.skip("only root can mount a small disk")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mount: {done.stderr.strip()}")
    yield folder
    subprocess.run([umount, str(folder)], check=True)


@each_engine
def test_a_full_disk_is_a_clear_error_that_leaves_the_old_pack(small_disk: Path, engine: str) -> None:
    pack = create(small_disk / "pack", [Input("a", noise(2_200_000, 1))], engine)
    call = partial(grow, pack, [Input("b", b"new")])
    assert_refused(pack, OutputError, r"pack: .*(full|space)", call)


@each_engine
def test_what_is_no_pack_is_refused(tmp_path: Path, engine: str) -> None:
    (tmp_path / "in").write_bytes(b"new")
    (tmp_path / "text").write_bytes(b"no pack")
    call = partial(dp.append, tmp_path / "text", tmp_path / "in")
    assert_refused(tmp_path / "text", NotAPackError, "not a pack", call, others=("in",))
    with pytest.raises(PackNotFoundError):
        dp.append(tmp_path / "missing", tmp_path / "in")
    with pytest.raises(DPromptError, match="folder without"):
        dp.append(tmp_path, tmp_path / "in")
    pack = create(tmp_path / "pack", [Input("a", b"old" * 10_000)], engine)
    data = pack.read_bytes()
    for size in (0, 50, 4096, len(data) // 2, len(data) - 4096, len(data) - 1):
        pack.write_bytes(data[:size])
        call = partial(dp.append, pack, tmp_path / "in")
        assert_refused(pack, DPromptError, "pack: ", call, others=("in", "text"))


def damaged(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :]


@each_engine
def test_every_damaged_shard_is_refused(tmp_path: Path, engine: str) -> None:
    pack = create(tmp_path / "pack", [Input("a", noise(10_000, 1))], engine, shard_size=3_000)
    sound = pack.read_bytes()
    with dp.FileBackend(pack) as backend:
        blobs = [backend.pack.blob(shard) or b"" for shard in range(backend.pack.metadata.shards)]
    assert len(blobs) == 4
    for shard, blob in enumerate(blobs):
        for at in (0, 100, 299):
            # Also where pages still hold it that hold nothing any more.
            pack.write_bytes(sound.replace(blob[:300], damaged(blob[:300], at)))
            assert pack.read_bytes() != sound
            call = partial(grow, pack, [Input("b", b"new")])
            assert_refused(pack, CorruptPackError, f"pack: shard {shard}: ", call)


@pytest.mark.thorough
@each_engine
def test_a_pack_that_is_damaged_anywhere_is_refused_or_grows_as_if_it_were_not(tmp_path: Path, engine: str) -> None:
    inputs = [Input(f"{number:03}", noise(100, number)) for number in range(301)]
    pack = create(tmp_path / "pack", inputs[:300], engine, shard_size=1_000)
    sound = pack.read_bytes()
    (tmp_path / "300").write_bytes(inputs[300].data)
    dp.append(pack, tmp_path / "300")
    expected = pack.read_bytes()
    chooser, refused = random.Random(5), 0  # noqa: S311  # no secret
    for position in [*range(0, 120, 5), *chooser.sample(range(len(sound)), 200)]:
        data = damaged(sound, position)
        pack.write_bytes(data)
        try:
            dp.append(pack, tmp_path / "300")
        except DPromptError:
            refused += 1
            assert pack.read_bytes() == data
        else:
            assert pack.read_bytes() == expected, position
        assert names(tmp_path) == ["300", "pack"]
    assert refused > 50


# where packs are


@each_engine
def test_a_pack_made_of_a_string_grows(tmp_path: Path, engine: str) -> None:
    dp.ingest_string("old \ud83d\ude00 text", tmp_path / "string.dprompt", shard_size=3)
    pack = tmp_path / "pack.dprompt"
    dp.convert(tmp_path / "string.dprompt", pack, store=engine)
    grow(pack, [Input("new", b" and new")])
    assert_is(pack, [("string", "old \ud83d\ude00 text"), ("new", " and new")])


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.dprompt")))
def test_golden_packs_grow(tmp_path: Path, name: str) -> None:
    pack = Path(shutil.copyfile(GOLDEN / f"{name}.dprompt", tmp_path / "pack"))
    before, (document,) = text_of(pack), records(pack)
    with dp.FileBackend(pack) as backend:
        kept = backend.pack.metadata.shard_size, backend.pack.metadata.level
    grow(pack, [Input("new", "é new\n".encode() * 100), Input("newer", b"")])
    assert text_of(pack) == before + "é new\n" * 100
    assert records(pack)[0] == document
    assert [each.name for each in records(pack)] == [document.name, "new", "newer"]
    assert list(dp.verify(pack)) == []
    with dp.FileBackend(pack) as backend:
        assert (backend.pack.metadata.shard_size, backend.pack.metadata.level) == kept


@each_engine
def test_a_link_to_a_pack_stays_a_link(tmp_path: Path, engine: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    pack = create(tmp_path / "real" / "pack", [Input("a", b"old ")], engine)
    (tmp_path / "links" / "link").symlink_to("../real/pack")
    info = grow(tmp_path / "links" / "link", [Input("b", b"new")])
    assert info.path == str(pack)
    assert (tmp_path / "links" / "link").readlink() == Path("../real/pack")
    assert_is(pack, [("a", "old "), ("b", "new")])
    assert (names(tmp_path / "real"), names(tmp_path / "links")) == (["pack"], ["link"])


@each_engine
def test_a_folder_with_a_pack_stands_for_it(tmp_path: Path, engine: str) -> None:
    pack = create(tmp_path / "prompt.dprompt", [Input("a", b"old ")], engine)
    info = grow(tmp_path, [Input("b", b"new")])
    assert info.path == str(pack)
    assert_is(pack, [("a", "old "), ("b", "new")])
    assert names(tmp_path) == ["prompt.dprompt"]


@each_engine
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o400])
def test_a_pack_that_grows_keeps_its_mode(tmp_path: Path, engine: str, mode: int) -> None:
    pack = create(tmp_path / "pack", [Input("a", b"old ")], engine)
    pack.chmod(mode)
    modes: list[int] = []
    paths = written(tmp_path / "in", [Input("b", b"new")])
    partly = tmp_path / ".pack.partial"
    dp.append(pack, paths, progress=lambda *_: modes.append(stat.S_IMODE(partly.stat().st_mode)))
    assert stat.S_IMODE(pack.stat().st_mode) == mode
    assert set(modes) == {mode}
    assert_is(pack, [("a", "old "), ("b", "new")])


@each_engine
@pytest.mark.parametrize("name", ["caf\udce9 \udcff", "a?b#c%20&d;e=f", "line\nbreak", "é" * 127, "x" * 255])
def test_paths_may_be_made_of_any_bytes(tmp_path: Path, engine: str, name: str) -> None:
    pack = tmp_path / name
    create(tmp_path / "elsewhere", [Input("a", b"old ")], engine).replace(pack)
    grow(pack, [Input("b\udcff", b"new"), Input("b\n", b"")])
    grow(pack, [Input("c", b"er")])
    assert_is(pack, [("a", "old "), ("b\n", ""), ("b\udcff", "new"), ("c", "er")])
    assert names(tmp_path) == [name]


@each_engine
def test_folders_may_be_called_by_any_bytes(tmp_path: Path, engine: str) -> None:
    folder = tmp_path / "caf\udce9" / "a?b#c%20"
    folder.mkdir(parents=True)
    pack = create(tmp_path / "elsewhere", [Input("a", b"old ")], engine).replace(folder / "pack")
    grow(pack, [Input("b", b"new")])
    assert_is(pack, [("a", "old "), ("b", "new")])
    assert names(folder) == ["pack"]


@each_engine
def test_relative_paths_are_those_of_the_moment_of_the_call(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = create(tmp_path / "pack", [Input("a", b"old ")], engine)
    monkeypatch.chdir(tmp_path)
    Path("new").write_bytes(b"new")
    (tmp_path / "else").mkdir()
    dp.append("pack", "new", progress=lambda *_: os.chdir("/"))
    assert_is(pack, [("a", "old "), ("new", "new")])


READ_ONLY = """
import os
import sys
import distributed_prompt as dp
import distributed_prompt.appending
from distributed_prompt.errors import DPromptError
if os.geteuid() == 0:  # permissions do not bind root
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    dp.append(sys.argv[1], sys.argv[2])
except DPromptError as error:
    print(type(error).__name__, error)
"""


@each_engine
@pytest.mark.parametrize(
    ("folder_mode", "pack_mode", "error"), [(0o555, 0o644, "OutputError"), (0o777, 0o000, "PackReadError")]
)
def test_what_may_not_be_written_or_read_stays(engine: str, folder_mode: int, pack_mode: int, error: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="dprompt-test-"))  # one that any user can reach
    try:
        pack = create(folder / "pack", [Input("a", b"old ")], engine)
        (folder / "new").write_bytes(b"new")
        (folder / "new").chmod(0o644)
        before = pack.read_bytes()
        pack.chmod(pack_mode)
        folder.chmod(folder_mode)
        command = [sys.executable, "-c", READ_ONLY, str(pack), str(folder / "new")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.stderr == ""
        assert done.stdout == f"{error} {pack}: Permission denied\n"
        pack.chmod(0o644)
        assert pack.read_bytes() == before
        assert names(folder) == ["new", "pack"]
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_an_append_by_a_backend_or_a_prompt_is_a_type_error(tmp_path: Path) -> None:
    pack = create(tmp_path / "pack", [Input("a", b"old ")])
    with dp.open(pack) as prompt, pytest.raises(TypeError):
        dp.append(cast("str", prompt), pack)
    assert_is(pack, [("a", "old ")])
