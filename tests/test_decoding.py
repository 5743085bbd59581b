import codecs
import hashlib
import io
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distributed_prompt.decoding import ERROR_MODES, NEWLINE_MODES, Decoder, Decoding, Proof
from distributed_prompt.errors import ArgumentError
from distributed_prompt.text.pieces import encode

CODECS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7", "gb18030", "latin-1", "shift_jis", "hz")

texts = st.text(
    st.one_of(st.sampled_from("\r\n\r\nab\0é日😀\ufeff~+"), st.characters(exclude_categories=["Cs"])), max_size=30
)
splits = st.lists(st.integers(0, 30), max_size=5)


def parts_of(data: bytes, places: list[int]) -> list[bytes]:
    cuts = [0, *sorted(places), len(data)]
    return [data[start:stop] for start, stop in pairwise(cuts)]


def decoded(parts: list[bytes], decoding: Decoding) -> str:
    decoder = Decoder(decoding)
    found = [decoder.decode(part, final=False) for part in parts] + [decoder.decode(b"", final=True)]
    return "".join(part if isinstance(part, str) else part.decode("ascii") for part in found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoding", "no-such-codec"),
        ("encoding", ""),
        ("encoding", "rot13"),
        ("encoding", "hex"),
        ("encoding", "undefined"),
        ("encoding", "punycode"),
        ("encoding", "idna"),
        ("encoding", "unicode_escape"),
        ("encoding", "raw-unicode-escape"),
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


ORDINARY = (
    *("cp1252", "windows-1251", "cp437", "iso-8859-15", "latin9", "us-ascii", "hp_roman8", "koi8_u", "kz1048"),
    *("macroman", "mac_latin2", "tis-620", "big5-hkscs", "euc_jp", "euc-kr", "gb2312", "GBK", "gb18030", "hz", "johab"),
    *("iso-2022-jp", "sjis", "shift_jis_2004", "utf-16le", "UTF-32-BE", "utf-8-sig"),
)


@pytest.mark.parametrize("name", ORDINARY)
def test_the_encodings_of_ordinary_files_are_known_by_any_name(name: str) -> None:
    assert Decoding(encoding=name).codec == codecs.lookup(name).name


def test_a_codec_that_somebody_has_registered_is_none_that_a_pack_can_name() -> None:
    def search(name: str) -> codecs.CodecInfo | None:
        latin = codecs.lookup("latin-1")
        return codecs.CodecInfo(latin.encode, latin.decode, name=name) if name == "our_own" else None

    codecs.register(search)
    try:
        with pytest.raises(ArgumentError, match=r"^encoding 'our_own': is none of Python's standard"):
            Decoding(encoding="our_own")
    finally:
        codecs.unregister(search)


def test_a_long_name_of_a_codec_or_mode_is_cut_in_the_message() -> None:
    for field in ("encoding", "errors", "newlines"):
        with pytest.raises(ArgumentError, match=f"^{field} ") as raised:
            Decoding(**{field: "x" * 10**6})
        assert len(str(raised.value)) < 250


@pytest.mark.parametrize("alias", ["UTF8", "utf_8", "U8", "Utf-8"])
def test_an_alias_of_utf_8_is_utf_8(alias: str) -> None:
    assert Decoding(encoding=alias).is_exact


def test_modes_are_what_the_command_line_offers() -> None:
    assert "strict" in ERROR_MODES
    assert "keep" in NEWLINE_MODES


@pytest.mark.parametrize(
    ("options", "exact"),
    [
        ({}, True),
        ({"encoding": "UTF8"}, True),
        ({"encoding": "utf-8-sig"}, False),
        ({"encoding": "latin-1"}, False),
        ({"errors": "surrogateescape"}, False),
        ({"errors": "replace"}, False),
        ({"newlines": "universal"}, False),
    ],
)
def test_only_plain_utf_8_needs_no_proof(options: dict[str, str], exact: bool) -> None:  # noqa: FBT001
    assert Decoding(**options).is_exact == exact


@pytest.mark.parametrize(
    ("alias", "codec"), [("U8", "utf-8"), ("latin1", "iso8859-1"), ("L1", "iso8859-1"), ("SJIS", "shift_jis")]
)
def test_a_codec_has_one_name_whatever_it_was_called(alias: str, codec: str) -> None:
    assert Decoding(encoding=alias).codec == codec


@given(texts, st.sampled_from(CODECS), st.sampled_from(NEWLINE_MODES), splits)
@example("\r\n", "utf-8", "universal", [1])
@example("é\r", "utf-8", "universal", [1, 2])
@example("aé", "utf-8", "keep", [2])
def test_bytes_cut_anywhere_are_what_open_reads(text: str, encoding: str, newlines: str, places: list[int]) -> None:
    data = text.encode(encoding, "ignore")
    newline = "" if newlines == "keep" else None
    expected = io.TextIOWrapper(io.BytesIO(data), encoding=encoding, newline=newline).read()
    assert decoded(parts_of(data, places), Decoding(encoding=encoding, newlines=newlines)) == expected


@given(st.binary(max_size=20), st.sampled_from(["surrogateescape", "replace", "ignore"]), splits)
@example(b"\xe6\x97a", "surrogateescape", [2])
@example(b"\xc3a", "replace", [1])
@example(b"\xf0\x9f\x98", "replace", [1, 2])
def test_any_bytes_cut_anywhere_are_decoded_as_at_once(data: bytes, errors: str, places: list[int]) -> None:
    assert decoded(parts_of(data, places), Decoding(errors=errors)) == data.decode("utf-8", errors)


def test_ascii_between_characters_stays_the_bytes_it_is() -> None:
    decoder = Decoder(Decoding())
    data = b"plain"
    assert decoder.decode(data, final=False) is data
    assert decoder.decode(b"\xe6\x97", final=False) == ""
    with pytest.raises(UnicodeDecodeError):
        decoder.decode(data, final=False)
    assert Decoder(Decoding(encoding="latin-1")).decode(data, final=False) == "plain"
    assert Decoder(Decoding(newlines="universal")).decode(data, final=False) == "plain"


@pytest.mark.parametrize("data", [b"\xe6\x97", b"abc\xf0\x9f", b"\xff"])
def test_a_character_that_is_cut_off_at_the_end_is_an_error(data: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        decoded([data], Decoding())


@given(texts, st.sampled_from(CODECS), splits, st.booleans())
@example(text="日本語", encoding="utf-7", places=[1], as_bytes=False)
@example(text="日本語", encoding="hz", places=[1], as_bytes=False)
@example(text="", encoding="utf-16", places=[], as_bytes=False)
def test_a_proof_sums_what_an_encoder_gives_of_each_shard(
    text: str,
    encoding: str,
    places: list[int],
    as_bytes: bool,  # noqa: FBT001
) -> None:
    text = text.encode(encoding, "ignore").decode(encoding)
    decoding = Decoding(encoding=encoding)
    proof, encoder, expected = Proof(decoding), codecs.getincrementalencoder(encoding)("strict"), b""
    cuts = [0, *(min(place, len(text)) for place in sorted(places)), len(text)]
    for start, stop in pairwise(cuts):
        part = text[start:stop]
        for character in part:
            proof.add(encode(character) if as_bytes else character)
        proof.end_shard()
        # Some encoders write a byte order mark for no text at all: none is given to them.
        expected += encoder.encode(part) if part else b""
    expected += encoder.encode("", final=True)
    assert proof.sha256() == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize("text", ["\u20ac", "a\udc80"])
def test_there_is_no_sum_of_what_cannot_be_encoded(text: str) -> None:
    proof = Proof(Decoding(encoding="latin-1"))
    proof.add("fine")
    proof.end_shard()
    proof.add(text)
    proof.end_shard()
    proof.add("fine")
    assert proof.sha256() == ""


@given(st.binary(max_size=20), st.sampled_from([mode for mode in ERROR_MODES if mode.startswith("surrogate")]))
def test_bytes_that_were_kept_are_given_back_and_no_others(data: bytes, errors: str) -> None:
    decoding = Decoding(errors=errors)
    try:
        text = decoded([data], decoding)
    except UnicodeDecodeError:
        assert errors == "surrogatepass"
        return
    assert decoding.encoder().encode(text, final=True) == data


@pytest.mark.parametrize("errors", ["strict", "replace", "ignore"])
def test_an_encoder_invents_nothing_in_the_place_of_what_was_lost(errors: str) -> None:
    with pytest.raises(UnicodeEncodeError):
        Decoding(encoding="ascii", errors=errors).encoder().encode("\ufffd")
