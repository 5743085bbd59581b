import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt.decoding import ERROR_MODES, NEWLINE_MODES, Decoding
from distributed_prompt.errors import ArgumentError, PackReadError, UndecodableError
from distributed_prompt.inputs import LeftOut
from distributed_prompt.joining import Joiner
from distributed_prompt.sources import FileSource, TextSource, TreeSource
from distributed_prompt.store.documents import Document
from distributed_prompt.text.pieces import Piece, decode, encode
from tests.byte_sources import READ_SIZES, Joined, Portions, write_shard_folder

UNICODE_CODECS = (
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
)
OTHER_CODECS = ("ascii", "latin-1", "cp1252", "cp437", "shift_jis", "euc_jp", "iso2022_jp", "big5", "hz", "koi8-r")
CODECS = UNICODE_CODECS + OTHER_CODECS
# For these, bytes.decode says where in the whole input the first error is.
PLAIN_CODECS = tuple(sorted({*CODECS} - {"utf-8-sig", "utf-16", "utf-32", "utf-7", "hz", "iso2022_jp"}))
SHARD_SIZES = (1, 2, 3, 7, 1_000)
LARGE_BYTES = 5_000_000
KEPT = Decoding(errors="surrogateescape")

texts = st.text(
    st.one_of(st.sampled_from("\r\n\r\nab\0é日😀\ufeff\u2028\x85~+"), st.characters(exclude_categories=["Cs"])),
    max_size=40,
)
sizes = st.sampled_from([1, 2, 3, 4, 7, 1000])
splits = st.lists(st.integers(0, 7), min_size=1, max_size=12)
headers = st.one_of(
    st.none(), st.sampled_from(["", "==== {name} ====", "{name}", "\n", "a\n{name}\nb", "{name}{name}{x}"])
)
names = st.text(st.sampled_from("ab/.\n\t\x1b\u202e\udc80é日😀{}\\ "), max_size=6)
contents = st.one_of(texts.map(str.encode), st.binary(max_size=6), st.sampled_from([b"", b"a", b"a\n", b"\n", b"\xff"]))


def opened(data: bytes, encoding: str, errors: str = "strict", newline: str | None = "") -> str:
    """What ``open`` with these arguments reads."""
    return io.TextIOWrapper(io.BytesIO(data), encoding=encoding, errors=errors, newline=newline).read()


def first_error(data: bytes, encoding: str) -> int | None:
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        return error.start
    return None


def cut(data: bytes, lengths: list[int], shard_size: int, decoding: Decoding) -> list[str]:
    return Joined([Portions(data, lengths)], decoding, shard_size).pieces


def read_file(path: Path, decoding: Decoding, read_bytes: int, shard_size: int = 5) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distributed_prompt.sources._READ_BYTES", read_bytes)
        return Joined([FileSource(path)], decoding, shard_size).text


def shown(name: str) -> str:
    """A name as a header shows it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)


def modelled(
    files: list[tuple[str, str, bytes]], header: str | None, text: str = ""
) -> tuple[str, list[tuple[str, int, int]]]:
    """The text that files with their texts make behind a text, and where each lies."""
    places = []
    for name, content, _ in files:
        if header is not None:
            # A line of its own, also behind a text that does not end with one.
            text += "\n" if text and not text.endswith("\n") else ""
            text += header.replace("{name}", shown(name)) + "\n"
        places.append((name, len(text), len(text) + len(content)))
        text += content
    return text, places


def located(documents: list[Document]) -> list[tuple[str, int, int]]:
    return [(document.name, document.start, document.stop) for document in documents]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "input.txt"


@given(texts, st.sampled_from(CODECS), splits, sizes)
@example("a\r\nb", "utf-8", [2], 2)
@example("\ufeffa", "utf-8", [1], 1)
def test_any_split_and_any_shard_size_give_what_open_reads(
    text: str, encoding: str, lengths: list[int], shard_size: int
) -> None:
    data = text.encode(encoding, "ignore")
    pieces = cut(data, lengths, shard_size, Decoding(encoding=encoding))
    assert "".join(pieces) == opened(data, encoding)


@given(texts, st.sampled_from(CODECS), splits, sizes)
@example("\r\n", "utf-8", [1], 1)
@example("a\r", "utf-8", [1], 1)
@example("\r\r\n\n\r", "utf-16", [1], 2)
def test_universal_newlines_are_those_of_open(text: str, encoding: str, lengths: list[int], shard_size: int) -> None:
    data = text.encode(encoding, "ignore")
    pieces = cut(data, lengths, shard_size, Decoding(encoding=encoding, newlines="universal"))
    assert "".join(pieces) == opened(data, encoding, newline=None)


@given(st.binary(max_size=30), st.sampled_from(PLAIN_CODECS), splits)
@example("日本語".encode()[:-1], "utf-8", [1])
@example(b"ab\xff", "utf-8", [3])
@example(b"a\xed\xa0\x80", "utf-8", [1])
@example("é日".encode("utf-16-le") + b"x", "utf-16-le", [1])
@example(b"a\x00\x00\xd8b\x00", "utf-16-le", [1])
def test_the_first_bad_byte_is_named_at_any_split(data: bytes, encoding: str, lengths: list[int]) -> None:
    start = first_error(data, encoding)
    if start is None:
        assert "".join(cut(data, lengths, 4, Decoding(encoding=encoding))) == data.decode(encoding)
        return
    with pytest.raises(UndecodableError) as raised:
        cut(data, lengths, 4, Decoding(encoding=encoding))
    assert str(raised.value).startswith(f"here: byte {start}: 0x{data[start]:02x} is not {encoding} (")


@given(
    st.lists(st.one_of(st.binary(max_size=6), texts.map(str.encode), st.just(b"\xed\xb2\x80")), max_size=5),
    st.sampled_from([codec for codec in CODECS if codec != "utf-7"]),
    st.sampled_from([mode for mode in ERROR_MODES if mode != "strict"]),
    st.sampled_from(["", None]),
    splits,
)
@example([b"\xe6\x97"], "utf-8", "surrogateescape", "", [1])
@example([b"\xe6\x97"], "utf-8", "replace", "", [1])
@example([b"a\xed\xa0\x80\r", b"\n"], "utf-8", "surrogatepass", None, [1])
def test_every_error_mode_gives_what_open_gives(
    parts: list[bytes], encoding: str, errors: str, newline: str | None, lengths: list[int]
) -> None:
    data = b"".join(parts)
    decoding = Decoding(encoding=encoding, errors=errors, newlines="keep" if newline == "" else "universal")
    try:
        expected = opened(data, encoding, errors, newline)
    except UnicodeError:  # UTF-16 without a mark is a bare one
        with pytest.raises(UndecodableError):
            cut(data, lengths, 3, decoding)
    else:
        assert "".join(cut(data, lengths, 3, decoding)) == expected


@given(st.text(max_size=30), splits, st.sampled_from(["utf-8", "utf-16-le", "utf-32-be"]))
def test_lone_surrogates_pass_where_asked_for(text: str, lengths: list[int], encoding: str) -> None:
    data = text.encode(encoding, "surrogatepass")
    decoding = Decoding(encoding=encoding, errors="surrogatepass")
    assert "".join(cut(data, lengths, 3, decoding)) == data.decode(encoding, "surrogatepass")


@given(texts, st.sampled_from(UNICODE_CODECS), splits)
def test_the_sum_of_the_bytes_is_that_of_the_file(text: str, encoding: str, lengths: list[int]) -> None:
    data = text.encode(encoding)
    joined = Joined([Portions(data, lengths)], Decoding(encoding=encoding), 3)
    (document,) = joined.documents
    assert document.sha256 == hashlib.sha256(data).hexdigest()
    assert document.source_bytes == joined.joiner.source_bytes == len(data)


@given(st.text(max_size=50), sizes)
def test_a_string_is_a_source_of_itself(text: str, shard_size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distributed_prompt.sources._READ_BYTES", 7)
        joined = Joined([TextSource(text)], Decoding(errors="surrogatepass"), shard_size)
    assert joined.pieces == [text[at : at + shard_size] for at in range(0, len(text), shard_size)]
    assert joined.joiner.exact


@pytest.mark.parametrize("read_bytes", READ_SIZES)
@pytest.mark.parametrize(
    ("encoding", "data", "offset"),
    [
        ("utf-8", b"abc\xffdef", 3),
        ("utf-8", b"\x80", 0),
        ("utf-8", "日本".encode() + b"\xe6\x97", 6),
        ("utf-8", b"a" * 100 + b"\xf0\x9f\x98", 100),
        ("utf-8", "日".encode() + b"ab\xc3(", 5),
        ("utf-8-sig", b"\xef\xbb\xbfabc\xff", 6),
        ("utf-8-sig", b"abc\xff", 3),
        ("utf-16", b"\xff\xfea\x00b", 4),
        ("utf-16", b"\xfe\xff\x00a\xdc\x00\x00b", 4),
        ("utf-32", b"\xff\xfe\x00\x00a\x00\x00\x00\xff\xff\xff\xff", 8),
        ("utf-32-be", b"\x00\x00\x00a\x00\x00", 4),
        ("ascii", b"abc\xe9", 3),
        ("cp1252", b"abc\x81", 3),
        ("shift_jis", "日本".encode("shift_jis") + b"\x93", 4),
        ("gb18030", "日本".encode("gb18030") + b"\xff", 4),
        ("gb18030", b"ab\x81\x30\x81", 2),
        ("utf-7", b"abc\xff", 3),
    ],
)
def test_a_bad_byte_in_a_file_is_named_by_its_offset(
    tmp_path: Path, encoding: str, data: bytes, offset: int, read_bytes: int
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(data)
    with pytest.raises(UndecodableError) as raised:
        read_file(path, Decoding(encoding=encoding), read_bytes)
    message = str(raised.value)
    assert message.startswith(f"{path}: byte {offset}: 0x{data[offset]:02x} is not {encoding} (")
    assert "--encoding" in message
    assert isinstance(raised.value, UnicodeError)


@pytest.mark.parametrize("read_bytes", READ_SIZES)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_mark_that_the_codec_asks_for_and_the_file_lacks_is_an_error(
    tmp_path: Path, encoding: str, read_bytes: int
) -> None:
    path = tmp_path / "bare.txt"
    path.write_bytes("text".encode(f"{encoding}-le"))
    with pytest.raises(UndecodableError, match=f"^{path}: byte 0: "):
        read_file(path, Decoding(encoding=encoding), read_bytes)


@pytest.mark.parametrize("read_bytes", READ_SIZES)
def test_a_bad_byte_in_a_shard_folder_is_named_by_its_file(tmp_path: Path, read_bytes: int) -> None:
    folder = write_shard_folder(tmp_path / "shards", [b"abc", b"de\xfff"])
    with pytest.raises(UndecodableError) as raised:
        read_file(folder, Decoding(), read_bytes)
    assert str(raised.value).startswith(f"{folder}/0001.txt: byte 2: 0xff is not utf-8")


@pytest.mark.parametrize("read_bytes", READ_SIZES)
def test_a_character_cut_off_at_the_end_of_a_shard_folder_is_named_by_its_file(tmp_path: Path, read_bytes: int) -> None:
    folder = write_shard_folder(tmp_path / "shards", [b"abc", b"d\xe6\x97", b""])
    with pytest.raises(UndecodableError) as raised:
        read_file(folder, Decoding(), read_bytes)
    assert str(raised.value).startswith(f"{folder}/0001.txt: byte 1: 0xe6 is not utf-8")


@given(st.binary(max_size=40), st.sampled_from(READ_SIZES), st.sampled_from(NEWLINE_MODES))
def test_a_file_reads_equally_whatever_the_read_size(
    scratch: Path, data: bytes, read_bytes: int, newlines: str
) -> None:
    scratch.write_bytes(data)
    decoding = Decoding(errors="surrogateescape", newlines=newlines)
    newline = "" if newlines == "keep" else None
    with scratch.open(encoding="utf-8", errors="surrogateescape", newline=newline) as file:
        assert read_file(scratch, decoding, read_bytes) == file.read()


@pytest.mark.parametrize("read_bytes", READ_SIZES)
@pytest.mark.parametrize("shard_size", [1, 2, 3, 1000])
@pytest.mark.parametrize("text", ["\r\n" * 5, "a\r\nb\rc\n\n\r", "\r", "x\r\n", "\0\r\n\0", "\ufeff\r\n\ufeff"])
def test_newlines_are_kept_on_every_border(tmp_path: Path, text: str, shard_size: int, read_bytes: int) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(text.encode())
    assert read_file(path, Decoding(), read_bytes, shard_size) == text
    universal = text.replace("\r\n", "\n").replace("\r", "\n")
    assert read_file(path, Decoding(newlines="universal"), read_bytes, shard_size) == universal


@pytest.mark.parametrize("read_bytes", READ_SIZES)
@pytest.mark.parametrize(
    ("encoding", "data", "text"),
    [
        ("utf-8", b"\xef\xbb\xbfa", "\ufeffa"),
        ("utf-8-sig", b"\xef\xbb\xbfa", "a"),
        ("utf-8-sig", b"\xef\xbb\xbf\xef\xbb\xbfa", "\ufeffa"),
        ("utf-8-sig", b"a\xef\xbb\xbf", "a\ufeff"),
        ("utf-8-sig", b"\xef\xbb\xbf", ""),
        ("utf-8-sig", b"a", "a"),
        ("utf-16", b"\xff\xfea\x00", "a"),
        ("utf-16", b"\xfe\xff\x00a", "a"),
        ("utf-16-le", b"\xff\xfea\x00", "\ufeffa"),
        ("utf-16-be", b"\xfe\xff\x00a", "\ufeffa"),
        ("utf-16", b"\xff\xfe", ""),
        ("utf-32", b"\xff\xfe\x00\x00a\x00\x00\x00", "a"),
        ("utf-32", b"\x00\x00\xfe\xff\x00\x00\x00a", "a"),
        ("utf-32-le", b"\xff\xfe\x00\x00", "\ufeff"),
    ],
)
def test_a_byte_order_mark_is_kept_or_removed_as_the_codec_says(
    tmp_path: Path, encoding: str, data: bytes, text: str, read_bytes: int
) -> None:
    path = tmp_path / "bom.txt"
    path.write_bytes(data)
    assert read_file(path, Decoding(encoding=encoding), read_bytes) == text


def test_a_cut_off_byte_order_mark_is_dropped_as_open_drops_it_and_the_loss_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "bom.txt"
    path.write_bytes(b"\xef\xbb")
    joined = Joined([FileSource(path)], Decoding(encoding="utf-8-sig"))
    assert joined.pieces == []
    assert opened(b"\xef\xbb", "utf-8-sig") == ""
    assert not joined.joiner.exact


def test_a_shard_folder_is_one_text_even_where_a_character_lies_across_two_files(tmp_path: Path) -> None:
    data = "a日\r\n😀z".encode()
    parts = [data[:2], data[2:5], b"", data[5:]]
    folder = write_shard_folder(tmp_path / "shards", parts)
    source = FileSource(folder)
    assert source.name == "shards"
    assert source.size_bytes == len(data)
    for read_bytes in READ_SIZES:
        assert read_file(folder, Decoding(), read_bytes) == data.decode()


# Several documents


@given(st.lists(st.tuples(names, texts.map(str.encode)), max_size=5), headers, st.sampled_from(SHARD_SIZES), splits)
@example([("a", b"no newline"), ("b", b"")], "{name}", 1, [1])
@example([("a", b""), ("b", b"")], None, 1, [1])
@example([("a", b"x"), ("b", b"y")], "", 1, [1])
def test_documents_lie_where_the_texts_put_after_each_other_have_them(
    files: list[tuple[str, bytes]], header: str | None, shard_size: int, lengths: list[int]
) -> None:
    joined = Joined([Portions(data, lengths, name=name) for name, data in files], None, shard_size, header=header)
    text, places = modelled([(name, data.decode(), data) for name, data in files], header)
    assert joined.text == text
    assert located(joined.documents) == places
    for document, (_, data) in zip(joined.documents, files, strict=True):
        assert text[document.start : document.stop] == data.decode()
        assert (document.source_bytes, document.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert (document.encoding, document.errors, document.newlines, document.exact) == (
            "utf-8",
            "strict",
            "keep",
            True,
        )
    assert (joined.joiner.documents, joined.joiner.source_bytes) == (len(files), sum(len(data) for _, data in files))
    assert joined.joiner.exact


@given(st.lists(st.tuples(names, texts), max_size=4), headers, st.sampled_from(SHARD_SIZES), texts)
@example([("a", "x")], "{name}", 1_000, "no newline")
@example([("a", "x")], "{name}", 1, "")
def test_a_text_that_is_there_already_is_gone_on_with(
    files: list[tuple[str, str]], header: str | None, shard_size: int, before: str
) -> None:
    rest = len(before) // shard_size * shard_size
    documents: list[Document] = []
    joiner = Joiner(Decoding(), shard_size, documents.append, header=header)
    piece = Piece(rest, len(before) - rest, encode(before[rest:]))
    joiner.begin(piece, ends_line=not before or before.endswith("\n"))
    shards = list(joiner.shards([Portions(content.encode(), name=name) for name, content in files]))
    text, places = modelled([(name, content, b"") for name, content in files], header, before)
    assert before[:rest] + "".join(decode(shard.data) for shard in shards) == text
    assert located(documents) == places
    assert [shard.characters for shard in shards] == [
        min(shard_size, len(text) - at) for at in range(rest, len(text), shard_size)
    ]


@given(
    st.lists(st.tuples(names, contents), max_size=4),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-7", "latin-1", "shift_jis", "iso2022_jp", "hz"]),
    st.sampled_from(ERROR_MODES),
    st.sampled_from(NEWLINE_MODES),
    st.sampled_from(SHARD_SIZES),
)
@example([("a", "日本語".encode("utf-7")), ("b", "日本語".encode("utf-7"))], "utf-7", "strict", "keep", 2)
@example([("a", b"\xff\xfe"), ("b", b"\xff\xfea\x00")], "utf-16", "strict", "keep", 1)
def test_exact_is_said_of_exactly_the_documents_that_an_encoder_gives_back_shard_by_shard(
    files: list[tuple[str, bytes]], encoding: str, errors: str, newlines: str, shard_size: int
) -> None:
    decoding = Decoding(encoding=encoding, errors=errors, newlines=newlines)
    joined = Joined([Portions(data, name=name, optional=True) for name, data in files], decoding, shard_size)
    left_out = [left.name for left in joined.joiner.left_out]
    assert len(left_out) + len(joined.documents) == len(files)
    remaining = list(files)
    for document in joined.documents:
        data = next(data for name, data in remaining if hashlib.sha256(data).hexdigest() == document.sha256)
        encoder = decoding.encoder()
        again = b""
        try:
            for at in range(0, len(joined.text), shard_size):
                part = joined.text[max(at, document.start) : min(at + shard_size, document.stop)]
                again += encoder.encode(part) if part else b""
            again += encoder.encode("", final=True) if data else b""
        except UnicodeError:
            assert not document.exact
        else:
            assert document.exact == (again == data)
    assert joined.joiner.exact == all(document.exact for document in joined.documents)


@pytest.mark.parametrize("shard_size", SHARD_SIZES)
def test_a_header_is_a_line_of_its_own_and_belongs_to_no_document(shard_size: int) -> None:
    files = [("a", b"no newline"), ("b", b"newline\n"), ("c", b""), ("d", b"\n"), ("e", b"x")]
    joined = Joined([Portions(data, name=name) for name, data in files], None, shard_size, header="== {name} ==")
    assert joined.text == "== a ==\nno newline\n== b ==\nnewline\n== c ==\n== d ==\n\n== e ==\nx"
    assert [joined.text[document.start : document.stop].encode() for document in joined.documents] == [
        data for _, data in files
    ]


def test_what_a_name_would_do_to_a_terminal_or_a_line_is_escaped_in_a_header_alone() -> None:
    name = "a\nb\r\x1b[31m\u2028\u202e\udcff日😀 \x7f\t"
    joined = Joined([Portions(b"x", name=name)], None, 7, header="<{name}>")
    assert joined.text == "<a\\nb\\r\\x1b[31m\\u2028\\u202e\\udcff日😀 \\x7f\\t>\nx"
    assert joined.documents[0].name == name


def test_only_the_name_is_put_into_a_header() -> None:
    joined = Joined([Portions(b"x", name="{header}{name}")], None, 7, header="{}{{name}}{0}{name!r}%s\\")
    assert joined.text == "{}{{header}{name}}{0}{name!r}%s\\\nx"


@pytest.mark.parametrize("header", ["\ud800", "== {name} \udcff", "\ud83d\ude00"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_header_with_lone_surrogates_is_refused(tmp_path: Path, header: str, *, overwrite: bool) -> None:
    (tmp_path / "a").write_bytes(b"text")
    if overwrite:
        (tmp_path / "out").write_bytes(b"mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ArgumentError, match=r"^header '.*': has lone surrogates, which no file of text can hold$"):
        dp.pack(tmp_path / "a", tmp_path / "out", header=header, overwrite=overwrite)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("shard_size", [1, 3, 100])
def test_a_document_is_told_before_a_shard_with_text_behind_it(shard_size: int) -> None:
    told: list[Document] = []
    joiner = Joiner(Decoding(), shard_size, told.append)
    length = 0
    files = [b"abc", b"", b"de", b"", b"", b"f" * 10, b""]
    ends = [3, 3, 5, 5, 5, 15, 15]
    for shard in joiner.shards([Portions(data, name=str(number)) for number, data in enumerate(files)]):
        length += shard.characters
        assert len(told) >= sum(end < length for end in ends)
    assert [document.stop for document in told] == ends


# What is no text


@pytest.mark.parametrize("size", [10, LARGE_BYTES])
@pytest.mark.parametrize("at", [0, 5, -1])
def test_a_file_in_a_folder_that_is_no_text_is_left_out_and_takes_no_header(size: int, at: int) -> None:
    data = bytearray(b"x" * size)
    data[at] = 0xFF
    bad = Portions(bytes(data), [2**18], name="bad", optional=True)
    files = [Portions(b"one", name="a"), bad, Portions(b"two", name="c")]
    joined = Joined(files, None, 1_000, header="{name}:")
    assert joined.text == "a:\none\nc:\ntwo"
    assert [document.name for document in joined.documents] == ["a", "c"]
    detail = f"byte {at % size}: 0xff is not utf-8 (invalid start byte)"
    assert joined.joiner.left_out == [LeftOut("bad", "not utf-8", detail)]
    assert (joined.joiner.source_bytes, joined.joiner.documents, joined.joiner.exact) == (6, 2, True)


@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize("size", [10, LARGE_BYTES])
def test_what_is_no_text_is_kept_exactly_where_asked_for_and_text_stays_what_it_is(
    size: int, *, optional: bool
) -> None:
    data = b"x" * (size - 1) + b"\xff"
    files = [Portions(b"one", [9], name="a", optional=optional), Portions(data, [2**18], name="b", optional=optional)]
    joined = Joined(files, None, 100_000, keep_undecodable=True)
    assert joined.text == "one" + data.decode("utf-8", "surrogateescape")
    assert [(document.errors, document.exact) for document in joined.documents] == [
        ("strict", True),
        ("surrogateescape", True),
    ]
    assert [document.source_bytes for document in joined.documents] == [3, size]
    assert joined.documents[1].sha256 == hashlib.sha256(data).hexdigest()
    assert (joined.joiner.left_out, joined.joiner.exact) == ([], True)


@pytest.mark.parametrize("size", [10, LARGE_BYTES])
def test_a_file_that_was_named_and_is_no_text_is_refused(size: int) -> None:
    data = b"x" * (size - 1) + b"\xff"
    with pytest.raises(UndecodableError, match=f"^here: byte {size - 1}: 0xff is not utf-8"):
        Joined([Portions(data, [2**18])], None, 1_000)


@pytest.mark.parametrize(("size", "readings"), [(0, 1), (2**22, 1), (2**22 + 1, 2)])
def test_a_large_file_in_a_folder_is_read_twice_and_a_small_one_once(size: int, readings: int) -> None:
    source = Portions(b"x" * size, [2**18], optional=True)
    assert Joined([source], None, 2**20).length == size
    assert source.readings == readings


@pytest.mark.parametrize("reported", [0, 1, 2**22, 2**40])
@pytest.mark.parametrize(("size", "readings"), [(5, 1), (2**22, 1), (2**22 + 1, 2)])
def test_what_is_held_depends_on_what_is_read_not_on_what_size_is_reported(
    size: int, readings: int, reported: int
) -> None:
    source = Portions(b"x" * size, [2**18], optional=True)
    source.size_bytes = reported
    joined = Joined([source], None, 2**20)
    assert (joined.length, source.readings) == (size, readings)
    assert joined.documents[0].source_bytes == size


def test_a_large_file_that_was_named_is_read_once() -> None:
    source = Portions(b"x" * LARGE_BYTES, [2**18])
    assert Joined([source], None, 2**20).length == LARGE_BYTES
    assert source.readings == 1


@pytest.mark.parametrize("data", [b"", b"text", b"caf\xe9"])
def test_what_can_be_read_but_once_is_read_once_and_kept_exactly(data: bytes) -> None:
    source = Portions(data, [2])
    source.size_bytes = None
    joined = Joined([source], None, 3, keep_undecodable=True)
    assert joined.text == data.decode("utf-8", "surrogateescape")
    assert source.readings == 1
    assert joined.documents[0].exact


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "ascii", "shift_jis"])
def test_what_is_left_out_says_of_which_encoding_it_is_not(encoding: str) -> None:
    joined = Joined([Portions(b"\xfe\x00\x81", name="bad", optional=True)], Decoding(encoding=encoding))
    (left,) = joined.joiner.left_out
    assert (left.name, left.reason) == ("bad", f"not {encoding}")
    assert left.detail
    assert "\n" not in left.detail


@pytest.mark.parametrize("errors", ["replace", "ignore", "surrogateescape"])
def test_nothing_is_left_out_where_another_mode_takes_everything(errors: str) -> None:
    joined = Joined([Portions(b"a\xffb", optional=True)], Decoding(errors=errors), keep_undecodable=True)
    assert joined.text == b"a\xffb".decode("utf-8", errors)
    assert joined.documents[0].errors == errors
    assert joined.joiner.left_out == []


@given(st.lists(st.tuples(names, contents), max_size=5), headers, st.sampled_from(SHARD_SIZES), st.booleans())
def test_of_any_files_the_texts_are_taken_and_the_others_left_out_or_kept(
    files: list[tuple[str, bytes]],
    header: str | None,
    shard_size: int,
    keep: bool,  # noqa: FBT001
) -> None:
    sources = [Portions(data, [3], name=name, optional=True) for name, data in files]
    joined = Joined(sources, None, shard_size, header=header, keep_undecodable=keep)
    taken = [(name, data) for name, data in files if keep or first_error(data, "utf-8") is None]
    text, places = modelled([(name, data.decode("utf-8", "surrogateescape"), data) for name, data in taken], header)
    assert joined.text == text
    assert located(joined.documents) == places
    assert all(document.exact for document in joined.documents)
    assert [left.name for left in joined.joiner.left_out] == [name for name, data in files if (name, data) not in taken]


# Files that change


class Changing(Portions):
    """Other bytes at the second reading."""

    def __init__(self, first: bytes, second: bytes) -> None:
        super().__init__(first, [2**18], name="changing", optional=True)
        self._second = second

    def portions(self) -> Iterator[bytes]:
        yield from super().portions()
        self._data = self._second


@pytest.mark.parametrize(
    "second", [b"y" * LARGE_BYTES, b"x" * (LARGE_BYTES - 1), b"x" * (LARGE_BYTES + 1), b"", b"x" * 99 + b"y"]
)
def test_a_large_file_that_changes_between_its_two_readings_is_an_error(second: bytes) -> None:
    with pytest.raises(PackReadError, match=r"^here: byte 0: the file has changed while it was read$"):
        Joined([Changing(b"x" * LARGE_BYTES, second)], None, 2**20)


def test_a_large_file_that_is_no_text_any_more_at_its_second_reading_is_an_error() -> None:
    with pytest.raises((PackReadError, UndecodableError)):
        Joined([Changing(b"x" * LARGE_BYTES, b"\xff" * LARGE_BYTES)], None, 2**20)


def test_a_small_file_is_what_it_was_at_its_only_reading() -> None:
    joined = Joined([Changing(b"first", b"second")], None, 3)
    assert joined.text == "first"
    assert joined.documents[0].sha256 == hashlib.sha256(b"first").hexdigest()


@pytest.mark.parametrize("now", [b"", b"ab", b"longer than it was", b"y" * 1_000_000])
def test_a_file_that_is_of_another_size_by_the_time_it_is_read_is_taken_as_it_is_then(
    tmp_path: Path, now: bytes
) -> None:
    (tmp_path / "file").write_bytes(b"at first")
    source = TreeSource("file", str(tmp_path / "file"), 8)
    (tmp_path / "file").write_bytes(now)
    joined = Joined([source], None, 1_000)
    assert joined.text == now.decode()
    assert joined.documents[0].source_bytes == joined.joiner.source_bytes == len(now)


def test_a_file_of_no_size_that_has_something_in_it_is_read_to_its_end() -> None:
    source = TreeSource("status", "/proc/self/status", 0)
    joined = Joined([source], None, 1_000)
    assert joined.text.startswith("Name:")
    assert joined.documents[0].source_bytes == len(joined.text.encode())
