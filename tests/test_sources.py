import hashlib
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distributed_prompt.errors import AddressError, ArgumentError, PackNotFoundError, PackReadError, UndecodableError
from distributed_prompt.sources import (
    ERROR_MODES,
    NEWLINE_MODES,
    Decoding,
    FileSource,
    SourceReader,
    TextSource,
    shard_files,
)
from distributed_prompt.text.pieces import decode

READ_SIZES = (1, 2, 3, 7, 2**18)
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

texts = st.text(
    st.one_of(st.sampled_from("\r\n\r\nab\0é日😀\ufeff\u2028\x85~+"), st.characters(exclude_categories=["Cs"])),
    max_size=40,
)
sizes = st.sampled_from([1, 2, 3, 4, 7, 1000])
splits = st.lists(st.integers(0, 7), min_size=1, max_size=12)


class Blocks:
    """A source of bytes that come in blocks of any sizes, empty ones included."""

    def __init__(self, data: bytes, lengths: list[int]) -> None:
        self.name = "blocks"
        self.size_bytes: int | None = len(data)
        self._data = data
        self._lengths = lengths

    def blocks(self) -> Iterator[bytes]:
        at = 0
        while at < len(self._data):
            for length in [*self._lengths, 1]:
                yield self._data[at : at + length]
                at += length

    def locate(self, offset: int) -> str:
        return f"here: byte {offset}"

    def reads(self, path: Path) -> bool:
        return path.name == "here"


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
    """The shards' text, their promised lengths compared."""
    shards = list(SourceReader(Blocks(data, lengths), decoding, shard_size).shards())
    pieces = [decode(shard.data) for shard in shards]
    assert [shard.characters for shard in shards] == [len(piece) for piece in pieces]
    assert all(len(piece) == shard_size for piece in pieces[:-1])
    assert all(pieces)
    return pieces


def read_file(path: Path, decoding: Decoding, read_bytes: int, shard_size: int = 5) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distributed_prompt.sources._READ_BYTES", read_bytes)
        shards = SourceReader(FileSource(path), decoding, shard_size).shards()
        return "".join(decode(shard.data) for shard in shards)


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
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_mark_that_the_codec_asks_for_and_the_file_lacks_is_an_error(
    tmp_path: Path, encoding: str, read_bytes: int
) -> None:
    path = tmp_path / "bare.txt"
    path.write_bytes("text".encode(f"{encoding}-le"))
    with pytest.raises(UndecodableError, match=f"^{path}: byte 0: "):
        read_file(path, Decoding(encoding=encoding), read_bytes)


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
    reader = SourceReader(FileSource(path), Decoding(encoding="utf-8-sig"), 5)
    assert list(reader.shards()) == []
    assert opened(b"\xef\xbb", "utf-8-sig") == ""
    assert not reader.exact


@given(texts, st.sampled_from(UNICODE_CODECS), splits)
def test_the_sum_of_the_bytes_is_that_of_the_file(text: str, encoding: str, lengths: list[int]) -> None:
    data = text.encode(encoding)
    reader = SourceReader(Blocks(data, lengths), Decoding(encoding=encoding), 3)
    list(reader.shards())
    assert reader.sha256 == hashlib.sha256(data).hexdigest()
    assert reader.source_bytes == len(data)


@given(st.text(max_size=50), sizes)
def test_a_string_is_a_source_of_itself(text: str, shard_size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distributed_prompt.sources._READ_BYTES", 7)
        reader = SourceReader(TextSource(text), Decoding(errors="surrogatepass"), shard_size)
        pieces = [decode(shard.data) for shard in reader.shards()]
    assert pieces == [text[at : at + shard_size] for at in range(0, len(text), shard_size)]
    assert reader.exact


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoding", "no-such-codec"),
        ("encoding", ""),
        ("encoding", "rot13"),
        ("encoding", "hex"),
        ("encoding", "undefined"),
        ("encoding", "utf-8\0"),
        ("encoding", "\udc80"),
        ("errors", "xmlcharrefreplace"),
        ("errors", ""),
        ("newlines", "crlf"),
        ("newlines", ""),
    ],
)
def test_an_unknown_codec_or_mode_is_an_argument_error_that_names_it(name: str, value: str) -> None:
    with pytest.raises(ArgumentError, match=f"^{name} ") as raised:
        Decoding(**{name: value})
    assert repr(value) in str(raised.value)


@pytest.mark.parametrize("alias", ["UTF8", "utf_8", "U8", "Utf-8"])
def test_an_alias_of_utf_8_is_utf_8(alias: str) -> None:
    assert Decoding(encoding=alias).is_exact


def test_modes_are_what_the_command_line_offers() -> None:
    assert "strict" in ERROR_MODES
    assert "keep" in NEWLINE_MODES


def test_nothing_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(PackNotFoundError, match="no such file"):
        FileSource(tmp_path / "missing")


def test_a_name_too_long_for_the_system_is_an_error_of_ours() -> None:
    with pytest.raises((PackNotFoundError, PackReadError)):
        FileSource("x" * 300)


def test_a_file_of_which_the_size_is_known_says_so(tmp_path: Path) -> None:
    path = tmp_path / "five.txt"
    path.write_bytes(b"12345")
    source = FileSource(path)
    assert source.size_bytes == 5
    assert source.name == "five.txt"


def test_a_relative_input_is_named_by_its_last_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_bytes(b"a")
    monkeypatch.chdir(tmp_path / "deep")
    assert FileSource("../deep/a.txt").name == "a.txt"


def test_a_device_has_no_known_size_and_is_read_to_its_end() -> None:
    source = FileSource("/dev/null")
    assert source.size_bytes is None
    assert list(SourceReader(source, Decoding(), 5).shards()) == []


def test_an_input_that_cannot_be_read_is_a_read_error() -> None:
    source = FileSource("/proc/self/mem")
    with pytest.raises(PackReadError, match=r"^/proc/self/mem: \S"):
        list(source.blocks())


def write_shard_folder(folder: Path, parts: list[bytes]) -> Path:
    """A folder as the first version of this project wrote it."""
    folder.mkdir()
    (folder / "meta.json").write_text(f'{{"num_shards": {len(parts)}, "total_chars": 0}}')
    for number, part in enumerate(parts):
        (folder / f"{number:04d}.txt").write_bytes(part)
    return folder


def test_a_shard_folder_is_one_text_even_where_a_character_lies_across_two_files(tmp_path: Path) -> None:
    data = "a日\r\n😀z".encode()
    parts = [data[:2], data[2:5], b"", data[5:]]
    folder = write_shard_folder(tmp_path / "shards", parts)
    source = FileSource(folder)
    assert source.name == "shards"
    assert source.size_bytes == len(data)
    for read_bytes in READ_SIZES:
        assert read_file(folder, Decoding(), read_bytes) == data.decode()


def test_more_than_ten_thousand_shards_are_named_with_five_digits(tmp_path: Path) -> None:
    folder = write_shard_folder(tmp_path / "many", [b"x"] * 10_001)
    assert [file.name for file in shard_files(folder, "many")][-2:] == ["9999.txt", "10000.txt"]


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


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = write_shard_folder(tmp_path / "shards", [b"a", b"b", b"c"])
    (folder / "0001.txt").unlink()
    with pytest.raises(PackReadError, match=r"0001\.txt is missing; meta\.json lists 3 shards"):
        FileSource(folder)


@pytest.mark.parametrize("meta", ["", "[]", "{}", '{"num_shards": null}', '{"num_shards": "many"}', "3"])
def test_an_index_that_cannot_be_read_is_a_read_error(tmp_path: Path, meta: str) -> None:
    folder = write_shard_folder(tmp_path / "shards", [b"a"])
    (folder / "meta.json").write_text(meta)
    with pytest.raises(PackReadError, match=r"meta\.json"):
        FileSource(folder)


@pytest.mark.parametrize("meta", ['{"num_shards": -1}', '{"num_shards": 0}', '{"num_shards": Infinity}'])
def test_an_index_with_a_number_that_cannot_be_is_a_read_error(tmp_path: Path, meta: str) -> None:
    folder = write_shard_folder(tmp_path / "shards", [b"a"])
    (folder / "meta.json").write_text(meta)
    with pytest.raises(PackReadError, match=r"meta\.json"):
        FileSource(folder)


def test_a_folder_of_another_kind_is_an_address_error(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match="is a folder"):
        FileSource(tmp_path)


def run_with_input(stdin: object, script: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", "-c", f'"$0" -c "$1" {stdin}', sys.executable, script]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, input="")


@pytest.mark.parametrize("redirection", ["<&-", "0>/dev/null"])
def test_standard_input_that_cannot_be_read_is_a_read_error(redirection: str) -> None:
    script = (
        "from distributed_prompt.sources import FileSource\n"
        "from distributed_prompt.errors import PackReadError\n"
        "try:\n    print(list(FileSource('-').blocks()))\n"
        "except PackReadError:\n    print('PackReadError')\n"
    )
    done = run_with_input(redirection, script)
    assert (done.stdout, done.stderr) == ("PackReadError\n", "")
