import hashlib
import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt.errors import (
    AddressError,
    ArgumentError,
    InexactError,
    OutputError,
    OutputExistsError,
    PackNotFoundError,
    PackReadError,
    UndecodableError,
)
from distributed_prompt.packing import PackInfo, ingest_output
from distributed_prompt.store.documents import Document
from tests.strategies import examples

READ_SIZES = (1, 2, 3, 7, 2**18)
CODECS = (
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "utf-32-le",
    "utf-32-be",
    "utf-7",
    "gb18030",
    "latin-1",
    "cp1252",
    "shift_jis",
    "iso2022_jp",
    "hz",
)

texts = st.text(
    st.one_of(st.sampled_from("\r\n\r\nab\0é日😀\ufeff\u2028~+"), st.characters(exclude_categories=["Cs"])),
    max_size=30,
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


def packed_text(pack: Path) -> str:
    """All shards in order, read past the prompt, their lengths compared."""
    with dp.FileBackend(pack) as backend:
        metadata = backend.pack.metadata
        shards = [backend.pack.utf8(shard).decode("utf-8", "surrogatepass") for shard in range(metadata.shards)]
    assert all(len(shard) == metadata.shard_size for shard in shards[:-1])
    assert sum(map(len, shards)) == metadata.length
    return "".join(shards)


def only_document(pack: Path) -> Document:
    with dp.FileBackend(pack) as backend:
        (document,) = backend.pack.documents
    return document


def unpacked(pack: Path, *, lossy: bool = False) -> bytes:
    output = io.BytesIO()
    with dp.FileBackend(pack) as backend:
        dp.unpack(backend, output, lossy=lossy)
    return output.getvalue()


def problems(pack: Path) -> list[str]:
    with dp.FileBackend(pack) as backend:
        return list(dp.verify(backend))


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def assert_text(pack: Path, text: str) -> None:
    assert packed_text(pack) == text
    with dp.open(pack) as prompt:
        assert prompt == text
        assert len(prompt) == len(text)


@examples(60)
@given(texts, st.sampled_from(CODECS), st.sampled_from(READ_SIZES), st.sampled_from([1, 2, 5, 1000]))
@example("日本語テキスト", "utf-7", 2**18, 2)
@example("日本語", "utf-7", 1, 1000)
@example("日本語abc日本語", "iso2022_jp", 3, 2)
@example("日本語abc日本語", "hz", 2**18, 5)
@example("a\r\nb", "utf-16", 1, 2)
def test_what_open_reads_is_packed_and_every_byte_comes_back_where_the_pack_says_so(
    scratch: Path, text: str, encoding: str, read_bytes: int, shard_size: int
) -> None:
    data = text.encode(encoding, "ignore")
    source, pack = written(scratch / "source", data), scratch / "out.dprompt"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distributed_prompt.sources._READ_BYTES", read_bytes)
        info = dp.pack(source, pack, encoding=encoding, shard_size=shard_size, overwrite=True)
    with source.open(encoding=encoding, newline="") as file:
        expected = file.read()
    assert_text(pack, expected)
    assert (info.length, info.source_bytes) == (len(expected), len(data))
    assert problems(pack) == []
    assert only_document(pack).exact == info.exact
    if info.exact:
        assert unpacked(pack) == data
    else:
        with pytest.raises(InexactError):
            unpacked(pack)
        assert unpacked(pack, lossy=True) == expected.encode()


@examples(40)
@given(
    st.one_of(st.binary(max_size=20), texts.map(str.encode)),
    st.sampled_from(["utf-8", "utf-16", "utf-16-le", "shift_jis", "ascii", "cp1252"]),
    st.sampled_from(["surrogateescape", "surrogatepass", "replace", "ignore"]),
    st.sampled_from(["keep", "universal"]),
    st.sampled_from(READ_SIZES),
)
@example(b"\xe6\x97\r", "utf-8", "surrogateescape", "keep", 1)
@example(b"\xed\xb2\x80\x80", "utf-8", "surrogateescape", "keep", 1)
@example(b"ab", "utf-8", "replace", "universal", 1)
def test_exact_is_said_of_exactly_what_comes_back(
    scratch: Path, data: bytes, encoding: str, errors: str, newlines: str, read_bytes: int
) -> None:
    source, pack = written(scratch / "source", data), scratch / "out.dprompt"
    try:
        newline = "" if newlines == "keep" else None
        expected = io.TextIOWrapper(io.BytesIO(data), encoding=encoding, errors=errors, newline=newline).read()
    except UnicodeError:  # UTF-16 without a mark is a bare one
        with pytest.raises(UndecodableError):
            dp.pack(source, scratch / "refused.dprompt", encoding=encoding, errors=errors, newlines=newlines)
        assert not list(scratch.glob("*refused*"))
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distributed_prompt.sources._READ_BYTES", read_bytes)
        info = dp.pack(source, pack, encoding=encoding, errors=errors, newlines=newlines, shard_size=3, overwrite=True)
    assert packed_text(pack) == expected
    assert problems(pack) == []
    document = only_document(pack)
    assert document.exact == info.exact
    assert document.sha256 == hashlib.sha256(data).hexdigest()
    assert (document.start, document.stop, document.source_bytes) == (0, len(expected), len(data))
    assert (document.name, document.encoding, document.errors) == ("source", encoding, errors)
    try:
        again = expected.encode(encoding, errors if errors.startswith("surrogate") else "strict")
    except UnicodeEncodeError:
        again = None
    assert info.exact == (again == data or not data)  # no bytes come back as none, even from UTF-16
    if info.exact:
        assert unpacked(pack) == data
    else:
        with pytest.raises(InexactError):
            unpacked(pack)
        assert unpacked(pack, lossy=True) == expected.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("data", "options", "exact"),
    [
        (b"a\r\nb", {}, True),
        (b"a\r\nb", {"newlines": "universal"}, False),
        (b"a\nb", {"newlines": "universal"}, True),
        (b"a\xff", {"errors": "surrogateescape"}, True),
        (b"a\xff", {"errors": "replace"}, False),
        (b"a\xff", {"errors": "ignore"}, False),
        (b"a", {"errors": "ignore"}, True),
        (b"\xed\xa0\x80", {"errors": "surrogatepass"}, True),
        (b"\xef\xbb\xbfa", {}, True),
        (b"\xef\xbb\xbfa", {"encoding": "utf-8-sig"}, True),
        (b"a", {"encoding": "utf-8-sig"}, False),
        ("a".encode("utf-16"), {"encoding": "utf-16"}, True),
        (b"\xfe\xff\x00a", {"encoding": "utf-16"}, sys.byteorder == "big"),
        (b"\xff\xfe", {"encoding": "utf-16-le"}, True),
        (b"\xe9", {"encoding": "latin-1"}, True),
        (b"\x93\xfa", {"encoding": "shift_jis"}, True),
        (b"\xfa\x54", {"encoding": "cp932"}, False),
        (b"+AGE-", {"encoding": "utf-7"}, False),
    ],
)
def test_the_record_of_exactness_is_right(tmp_path: Path, data: bytes, options: dict[str, str], *, exact: bool) -> None:
    pack = tmp_path / "out.dprompt"
    info = dp.pack(written(tmp_path / "in", data), pack, overwrite=False, progress=None, **options)  # type: ignore[arg-type]
    assert info.exact == only_document(pack).exact == exact
    if exact:
        assert unpacked(pack) == data


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "iso2022_jp", "hz", "gb18030"])
def test_codecs_with_a_state_come_back_across_shards_and_reads(tmp_path: Path, encoding: str) -> None:
    data = ("日本語" * 50_000 + "abc" + "中文" * 50_000).encode(encoding, "ignore")
    pack = tmp_path / "out.dprompt"
    info = dp.pack(written(tmp_path / "in", data), pack, encoding=encoding, shard_size=7_001)
    assert info.exact
    assert unpacked(pack) == data
    assert problems(pack) == []


def test_a_codec_that_depends_on_where_the_text_is_cut_is_found_to_be_inexact(tmp_path: Path) -> None:
    data = ("日本語" * 50_000).encode("utf-7")
    pack = tmp_path / "out.dprompt"
    assert not dp.pack(written(tmp_path / "in", data), pack, encoding="utf-7", shard_size=7_001).exact
    assert dp.open(pack) == data.decode("utf-7")
    assert problems(pack) == []


@pytest.mark.parametrize(
    ("data", "offset", "encoding"),
    [
        (b"a" * 300_000 + b"\xff", 300_000, "utf-8"),
        (b"a" * 262_143 + "日".encode() + b"\x80", 262_146, "utf-8"),
        (b"a" * 262_142 + "日".encode()[:2], 262_142, "utf-8"),
        (("é" * 140_000).encode("utf-16") + b"x", 280_002, "utf-16"),
        (("日" * 150_000).encode("shift_jis") + b"\x93", 300_000, "shift_jis"),
    ],
)
@pytest.mark.parametrize("existing", [None, b"kept"])
def test_a_bad_byte_leaves_nothing_behind(
    tmp_path: Path, data: bytes, offset: int, encoding: str, existing: bytes | None
) -> None:
    source, folder = written(tmp_path / "in", data), tmp_path / "out"
    folder.mkdir()
    output = folder / "out.dprompt"
    if existing is not None:
        output.write_bytes(existing)
    with pytest.raises(UndecodableError, match=f"^{source}: byte {offset}: "):
        dp.pack(source, output, encoding=encoding, shard_size=100, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == (
        {"out.dprompt": existing} if existing else {}
    )


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"encoding": "no-such"}, "encoding 'no-such'"),
        ({"errors": "no-such"}, "errors 'no-such'"),
        ({"newlines": "no-such"}, "newlines 'no-such'"),
        ({"store": "no-such"}, "store 'no-such'"),
        ({"level": 0}, "level 0"),
        ({"level": 23}, "level 23"),
        ({"level": -5}, "level -5"),
        ({"shard_size": 0}, "shard size 0"),
        ({"shard_size": -1}, "shard size -1"),
        ({"shard_size": 2**24 + 1}, "shard size 16777217"),
    ],
)
def test_an_argument_outside_its_range_is_named_and_leaves_nothing_behind(
    tmp_path: Path, options: dict[str, object], name: str
) -> None:
    source = written(tmp_path / "in", b"text")
    with pytest.raises(ArgumentError, match=f"^{name}: "):
        dp.pack(source, tmp_path / "out.dprompt", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("shard_size", [1, 2**24])
@pytest.mark.parametrize("level", [1, 22])
def test_the_ends_of_the_ranges_are_allowed(tmp_path: Path, shard_size: int, level: int) -> None:
    pack = tmp_path / "out.dprompt"
    info = dp.pack(written(tmp_path / "in", "日b\n".encode()), pack, shard_size=shard_size, level=level)
    assert info.shard_size == shard_size
    assert_text(pack, "日b\n")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "latin-1", "utf-16-le", "gb18030", "utf-7", "utf-16", "utf-32", "utf-8-sig"]
)
def test_an_empty_file_packs_opens_verifies_and_unpacks(tmp_path: Path, encoding: str) -> None:
    pack = tmp_path / "out.dprompt"
    info = dp.pack(written(tmp_path / "in", b""), pack, encoding=encoding)
    assert (info.length, info.shards, info.source_bytes) == (0, 0, 0)
    assert_text(pack, "")
    assert problems(pack) == []
    assert unpacked(pack) == b""


def test_equal_input_gives_an_equal_file(tmp_path: Path) -> None:
    source = written(tmp_path / "in", "日本\r\n".encode() * 9_000)
    first = dp.pack(source, tmp_path / "a.dprompt", shard_size=10)
    second = dp.pack(source, tmp_path / "b.dprompt", shard_size=10)
    assert first.root_digest == second.root_digest
    assert (tmp_path / "a.dprompt").read_bytes() == (tmp_path / "b.dprompt").read_bytes()


@pytest.mark.parametrize("shard_size", [1, 3, 64, 10**6])
def test_the_information_is_that_of_the_pack(tmp_path: Path, shard_size: int) -> None:
    text = "日本\r\nabc\n" * 10
    pack = tmp_path / "out.dprompt"
    info = dp.pack(written(tmp_path / "in", text.encode()), pack, shard_size=shard_size)
    with dp.FileBackend(pack) as backend:
        metadata = backend.pack.metadata
    assert info == PackInfo(
        path=str(pack),
        length=len(text),
        shards=-(-len(text) // shard_size),
        shard_size=shard_size,
        documents=1,
        source_bytes=len(text.encode()),
        pack_bytes=pack.stat().st_size,
        exact=True,
        left_out=(),
        root_digest=metadata.root_digest,
    )
    assert (metadata.lines, metadata.newlines, metadata.width) == (20, 20, 2)
    assert metadata.utf8_bytes == len(text.encode())


def test_more_than_one_segment_of_shards_is_packed(tmp_path: Path) -> None:
    text = "aé日😀\r\n" * 2_000
    pack = tmp_path / "out.dprompt"
    assert dp.pack(written(tmp_path / "in", text.encode()), pack, shard_size=1).shards == 12_000
    assert packed_text(pack) == text
    assert problems(pack) == []
    assert unpacked(pack) == text.encode()


@pytest.mark.parametrize(
    ("data", "shard_size"), [(b"a" * 1_000_000, 1_000), ("日".encode() * 400_000, 131_072), (b"a", 131_072)]
)
def test_progress_grows_up_to_the_total(tmp_path: Path, data: bytes, shard_size: int) -> None:
    calls: list[tuple[int, int | None]] = []
    source = written(tmp_path / "in", data)
    dp.pack(source, tmp_path / "o", shard_size=shard_size, progress=lambda *call: calls.append(call))
    assert {total for _, total in calls} == {len(data)}
    done = [number for number, _ in calls]
    assert done == sorted(done)
    assert done[0] > 0
    assert done[-1] == len(data)


def test_progress_that_raises_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        raise RuntimeError(done, total)

    source = written(tmp_path / "in", b"text")
    with pytest.raises(RuntimeError):
        dp.pack(source, tmp_path / "out.dprompt", progress=stop)
    assert list(tmp_path.iterdir()) == [source]


def test_an_existing_output_is_kept(tmp_path: Path) -> None:
    source, output = written(tmp_path / "in", b"new"), written(tmp_path / "out.dprompt", b"old")
    with pytest.raises(OutputExistsError, match=r"exists; .*--force"):
        dp.pack(source, output)
    assert output.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.dprompt"]


def test_an_existing_output_is_replaced_when_asked(tmp_path: Path) -> None:
    source, output = written(tmp_path / "in", b"new"), written(tmp_path / "out.dprompt", b"old")
    dp.pack(source, output, overwrite=True)
    assert_text(output, "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.dprompt"]


def test_a_reader_keeps_the_pack_it_has_opened(tmp_path: Path) -> None:
    output = tmp_path / "out.dprompt"
    dp.pack(written(tmp_path / "old", b"old" * 400_000), output, shard_size=100)
    with dp.open(output) as prompt:
        dp.pack(written(tmp_path / "new", b"new" * 5000), output, shard_size=10, overwrite=True)
        assert prompt.count("old") == 400_000
        assert str(prompt) == "old" * 400_000


@pytest.mark.parametrize("kind", ["same", "symlink", "hard link", "other spelling"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_the_input_is_never_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, *, overwrite: bool
) -> None:
    source = written(tmp_path / "in.txt", b"precious")
    output = tmp_path / "other"
    if kind == "symlink":
        output.symlink_to(source)
    elif kind == "hard link":
        output.hardlink_to(source)
    else:
        monkeypatch.chdir(tmp_path)
        output = source if kind == "same" else Path("../" + tmp_path.name + "/in.txt")
    with pytest.raises(ArgumentError, match="is the input"):
        dp.pack(source, output, overwrite=overwrite)
    assert source.read_bytes() == b"precious"


def test_ingest_never_replaces_its_input(tmp_path: Path) -> None:
    source = written(tmp_path / "notes.dprompt", b"precious")
    with pytest.raises(ArgumentError, match="is the input"):
        dp.ingest_file(source, source)
    assert source.read_bytes() == b"precious"


def test_ingest_never_replaces_its_input_in_a_folder(tmp_path: Path) -> None:
    source = written(tmp_path / "prompt.dprompt", b"precious")
    with pytest.raises(ArgumentError, match="is the input"):
        dp.ingest_file(source, tmp_path)
    assert source.read_bytes() == b"precious"


def test_a_shard_of_the_input_is_never_the_output(tmp_path: Path) -> None:
    folder = write_shard_folder(tmp_path / "shards", [b"precious"])
    with pytest.raises(ArgumentError, match="is the input"):
        dp.pack(folder, folder / "0000.txt", overwrite=True)
    assert (folder / "0000.txt").read_bytes() == b"precious"


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="is a folder"):
        dp.pack(written(tmp_path / "in", b"text"), tmp_path, overwrite=True)


def test_the_output_needs_its_folder(tmp_path: Path) -> None:
    source = written(tmp_path / "in", b"text")
    with pytest.raises(OutputError, match="its folder does not exist"):
        dp.pack(source, tmp_path / "missing" / "out.dprompt")
    assert list(tmp_path.iterdir()) == [source]


def test_the_output_is_no_part_of_a_file(tmp_path: Path) -> None:
    source = written(tmp_path / "in", b"text")
    with pytest.raises(OutputError):
        dp.pack(source, source / "out.dprompt")


def test_an_output_name_too_long_for_the_system_is_an_output_error(tmp_path: Path) -> None:
    source = written(tmp_path / "in", b"text")
    with pytest.raises(OutputError):
        dp.pack(source, tmp_path / ("x" * 300))


def test_no_source_is_not_found_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(PackNotFoundError):
        dp.pack(tmp_path / "missing", tmp_path / "out.dprompt")
    assert list(tmp_path.iterdir()) == []


def test_names_of_any_bytes_are_packed(tmp_path: Path) -> None:
    source = written(tmp_path / "caf\udce9 日\n", b"text")
    info = dp.pack(source, tmp_path / "o\udce9?#%41.dprompt")
    assert_text(Path(info.path), "text")
    assert only_document(Path(info.path)).name == source.name


@examples(40)
@given(st.text(max_size=30), st.sampled_from([1, 2, 5, 1000]))
@example("\ud800\udc00\udc80", 1)
@example("", 1)
def test_any_string_is_ingested_and_comes_back(scratch: Path, text: str, shard_size: int) -> None:
    pack = scratch / "string.dprompt"
    info = dp.ingest_string(text, pack, shard_size)
    assert info.exact
    assert_text(pack, text)
    assert problems(pack) == []
    assert unpacked(pack) == text.encode("utf-8", "surrogatepass")


def test_a_string_and_its_file_make_equal_digests(tmp_path: Path) -> None:
    text = "日本\r\n" * 100_000
    from_file = dp.ingest_file(written(tmp_path / "in", text.encode()), tmp_path / "a.dprompt", 1_000)
    from_string = dp.ingest_string(text, tmp_path / "b.dprompt", 1_000)
    assert from_file.root_digest == from_string.root_digest


@pytest.mark.parametrize(
    ("output", "made"),
    [
        ("shards", "shards/prompt.dprompt"),
        ("shards/", "shards/prompt.dprompt"),
        ("a/b/c", "a/b/c/prompt.dprompt"),
        ("there", "there/prompt.dprompt"),
        ("there.dprompt", "there.dprompt/prompt.dprompt"),
        ("pack.dprompt", "pack.dprompt"),
        ("there/pack.dprompt", "there/pack.dprompt"),
        ("v1.2", "v1.2/prompt.dprompt"),
    ],
)
def test_ingest_makes_a_pack_or_a_folder_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, made: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there.dprompt").mkdir()
    source = written(tmp_path / "in", b"text")
    for text in ("first", "second"):
        source.write_text(text)
        info = dp.ingest_file("in", output)
        assert info.path == str(tmp_path / made)
        assert_text(tmp_path / made, text)
        with dp.open(output) as prompt:
            assert str(prompt) == text
        dp.ingest_string(text.upper(), output)
        assert_text(tmp_path / made, text.upper())


def test_a_file_is_no_folder_to_ingest_into(tmp_path: Path) -> None:
    source, other = written(tmp_path / "in", b"text"), written(tmp_path / "other", b"kept")
    with pytest.raises(OutputError, match="other"):
        dp.ingest_file(source, other)
    assert other.read_bytes() == b"kept"


def test_a_failed_ingest_leaves_no_folder_behind(tmp_path: Path) -> None:
    source = written(tmp_path / "in", b"\xff")
    with pytest.raises(UndecodableError):
        dp.ingest_file(source, tmp_path / "new")
    assert list(tmp_path.iterdir()) == [source]


def test_ingest_checks_the_shard_size(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="shard size 0"):
        dp.ingest_string("text", tmp_path / "a.dprompt", 0)
    with pytest.raises(ArgumentError, match="shard size 0"):
        dp.ingest_file(written(tmp_path / "in", b"text"), tmp_path / "a.dprompt", 0)


def test_the_name_of_an_ingested_folder_is_a_path(tmp_path: Path) -> None:
    assert ingest_output(tmp_path / "x") == tmp_path / "x" / "prompt.dprompt"


def write_shard_folder(folder: Path, parts: list[bytes]) -> Path:
    """A shard folder: its files, and how many there are."""
    folder.mkdir()
    (folder / "meta.json").write_text(f'{{"num_shards": {len(parts)}, "total_chars": 0}}')
    for number, part in enumerate(parts):
        (folder / f"{number:04d}.txt").write_bytes(part)
    return folder


def test_a_folder_of_the_first_version_packs_as_its_one_text(tmp_path: Path) -> None:
    data = "a日\r\n😀z".encode()
    folder = write_shard_folder(tmp_path / "shards", [data[:2], data[2:5], data[5:]])
    pack = tmp_path / "out.dprompt"
    calls: list[tuple[int, int | None]] = []
    info = dp.pack(folder, pack, shard_size=2, progress=lambda *call: calls.append(call))
    assert_text(pack, data.decode())
    assert unpacked(pack) == data
    assert info.source_bytes == len(data)
    assert calls[-1] == (len(data), len(data))
    assert only_document(pack).name == "shards"


def test_a_folder_of_the_first_version_lacks_no_shard(tmp_path: Path) -> None:
    folder = write_shard_folder(tmp_path / "shards", [b"a", b"b"])
    (folder / "0001.txt").unlink()
    with pytest.raises(PackReadError, match=r"0001\.txt is missing"):
        dp.pack(folder, tmp_path / "out.dprompt")
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_of_the_first_version_is_no_pack_and_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    folder = write_shard_folder(tmp_path / "shards", [b"a"])
    with pytest.raises(AddressError, match="dprompt pack ") as raised:
        dp.FileBackend(folder)
    assert str(folder) in str(raised.value)
    with pytest.raises(AddressError, match="dprompt pack "):
        dp.open(folder)


def test_a_folder_of_the_first_version_can_hold_its_own_pack(tmp_path: Path) -> None:
    folder = write_shard_folder(tmp_path / "shards", [b"a", b"b"])
    dp.ingest_file(folder, folder)
    with dp.open(folder) as prompt:
        assert str(prompt) == "ab"


@pytest.mark.parametrize("data", [b"", "日本\r\n".encode(), b"a" * 1_000_000])
def test_standard_input_is_packed(tmp_path: Path, data: bytes) -> None:
    script = (
        "import sys, distributed_prompt as dp\n"
        "calls = []\n"
        "info = dp.pack('-', 'out.dprompt', shard_size=1000, progress=lambda *call: calls.append(call))\n"
        "assert all(total is None for _, total in calls)\n"
        "print(info.source_bytes)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=data, capture_output=True, cwd=tmp_path, check=True, timeout=60
    )
    assert int(done.stdout) == len(data)
    assert_text(tmp_path / "out.dprompt", data.decode())
    assert only_document(tmp_path / "out.dprompt").name == "stdin"


MEASURE = """
import sys, distributed_prompt as dp

def anonymous_kib():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))

peak = 0
def progress(done, total):
    global peak
    peak = max(peak, anonymous_kib())

info = dp.pack("big.txt", "big.dprompt", progress=progress, newlines=sys.argv[1], shard_size=int(sys.argv[2]))
print(info.source_bytes, max(peak, anonymous_kib()))
"""


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("big") / "big.txt"
    lines = "".join(
        f"{number:08d} the quick brown 日本 {number * 7919 % 10007}\r\n" for number in range(25_000)
    ).encode()
    with path.open("wb") as file:
        while file.tell() < 150_000_000:
            file.write(lines)
    return path


@pytest.mark.thorough
@pytest.mark.parametrize(("newlines", "shard_size"), [("keep", 131_072), ("universal", 131_072), ("keep", 2_000)])
def test_packing_a_large_file_takes_little_memory(big_file: Path, newlines: str, shard_size: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, newlines, str(shard_size)],
        capture_output=True,
        cwd=big_file.parent,
        check=True,
        text=True,
        timeout=120,
    )
    (big_file.parent / "big.dprompt").unlink()
    source_bytes, peak_kib = map(int, done.stdout.split())
    assert source_bytes == big_file.stat().st_size
    assert peak_kib * 1024 < 150_000_000
