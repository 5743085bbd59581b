"""Texts as consecutive pieces of UTF-8."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distributed_prompt.text.pieces import Piece, decode, encode, encode_bytes, width
from tests.strategies import cut_anywhere, texts


@given(texts)
@example("\ud83d\ude00")
@example("\U0001f600")
@example("")
def test_decoding_gives_back_what_was_encoded(text: str) -> None:
    assert decode(encode(text)) == text


@given(texts, texts)
def test_pieces_can_be_joined_as_bytes_or_as_text(left: str, right: str) -> None:
    assert encode(left) + encode(right) == encode(left + right)


def test_two_surrogates_are_not_the_character_they_look_like() -> None:
    assert encode("\ud83d\ude00") == b"\xed\xa0\xbd\xed\xb8\x80" != encode("\U0001f600")


@given(texts)
def test_a_piece_knows_whether_it_is_ascii(text: str) -> None:
    assert Piece(0, len(text), encode(text)).ascii == text.isascii()


@given(texts)
@example("\u00ff")
@example("\u0100")
@example("\uffff")
@example("\U00010000")
@example("\udfff")
def test_the_width_is_that_of_the_widest_character(text: str) -> None:
    widest = max(map(ord, text), default=0)
    expected = 0 if widest < 0x80 else 1 if widest < 0x100 else 2 if widest < 0x10000 else 4
    assert width(encode(text)) == expected
    # Long texts are counted in another way.
    assert width(encode(text + "a" * 5_000)) == expected


@given(st.data(), texts, st.integers(0, 9))
def test_a_part_of_a_piece_is_the_slice_of_its_text(data: st.DataObject, text: str, origin: int) -> None:
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    part = Piece(origin, len(text), encode(text)).cut(origin + start, origin + stop)
    assert (part.start, part.characters, decode(part.data)) == (origin + start, stop - start, text[start:stop])


@given(st.data(), texts)
def test_cutting_all_pieces_at_both_ends_is_slicing_the_whole(data: st.DataObject, text: str) -> None:
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    pieces = [piece.cut(start, stop) for piece in data.draw(cut_anywhere(text))]
    assert decode(b"".join(piece.data for piece in pieces)) == text[start:stop]
    assert sum(piece.characters for piece in pieces) == stop - start


def test_a_piece_that_is_wanted_whole_is_not_copied() -> None:
    piece = Piece(5, 3, b"abc")
    assert piece.cut(0, 100) is piece


def test_surrogates_that_stand_for_bytes_are_these_and_others_stay_what_they_are() -> None:
    assert encode_bytes("a\udc80\udcff\ud800\udc7f\udfff\u00e9") == (
        b"a\x80\xff" + "\ud800\udc7f\udfff\u00e9".encode("utf-8", "surrogatepass")
    )
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", "distributed_prompt.bytes")
