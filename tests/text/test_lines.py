"""Lines of a text in pieces."""

from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt.text.lines import LongLine, lines, newline_position
from tests.strategies import DENSE, cut_anywhere, cut_at, texts

UNLIMITED = 10**9


def expected_lines(text: str, limit: int = UNLIMITED, origin: int = 0) -> list[str | LongLine]:
    found: list[str | LongLine] = []
    start = origin
    parts = text.split("\n")
    for part in parts if parts[-1] else parts[:-1]:
        found.append(part if len(part) <= limit else LongLine(start, start + len(part)))
        start += len(part) + 1
    return found


@given(st.data(), texts)
def test_lines_are_what_lies_between_newlines_wherever_the_text_is_cut(data: st.DataObject, text: str) -> None:
    assert list(lines(data.draw(cut_anywhere(text)), UNLIMITED)) == expected_lines(text)


@given(st.data(), st.text(DENSE, max_size=40), st.integers(0, 5), st.integers(0, 9))
def test_a_line_beyond_the_limit_is_its_place_counted_as_the_pieces_are(
    data: st.DataObject, text: str, limit: int, origin: int
) -> None:
    pieces = [piece._replace(start=piece.start + origin) for piece in data.draw(cut_anywhere(text))]
    assert list(lines(pieces, limit)) == expected_lines(text, limit, origin)


def test_a_carriage_return_belongs_to_its_line_even_when_cut_from_the_newline() -> None:
    assert list(lines(cut_at("a\r\nb\r", [2]), UNLIMITED)) == ["a\r", "b\r"]


def test_other_separators_of_splitlines_end_no_line() -> None:
    text = "a\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\rb"
    assert list(lines(cut_at(text, [3, 7]), UNLIMITED)) == [text]


def test_no_text_has_no_lines() -> None:
    assert list(lines([], UNLIMITED)) == []


@given(st.text(DENSE, min_size=1))
def test_newline_positions_are_where_the_newlines_are(text: str) -> None:
    places = [place for place, character in enumerate(text) if character == "\n"]
    assert [newline_position(text, ordinal) for ordinal in range(len(places))] == places
