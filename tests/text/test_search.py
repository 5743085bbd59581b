"""Literal search over a text in pieces, and over runs of pieces that were searched apart."""

import re
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt.text import search
from distributed_prompt.text.pieces import Piece
from tests.strategies import cut_anywhere, cut_at, full_texts, needles, texts


def stdlib_offsets(needle: str, text: str, flags: int = 0) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(needle), text, flags)]


def draw_needle(data: st.DataObject, text: str) -> str:
    return data.draw(needles(text).filter(bool), label="needle")


def find(pieces: Iterable[Piece], needle: str) -> int:
    return search.join_first((search.scan_first(needle, [piece]) for piece in pieces), needle).value


def rfind(pieces: Iterable[Piece], needle: str) -> int:
    """The pieces come in descending order."""
    return search.join_last((search.scan_last(needle, [piece]) for piece in pieces), needle).value


def count(pieces: Iterable[Piece], needle: str) -> int:
    if search.overlaps_itself(needle):
        return sum(1 for _ in search.occurrences(pieces, needle))
    return search.join_counts((search.scan_count(needle, [piece]) for piece in pieces), needle)


def draw_runs(data: st.DataObject, text: str) -> list[list[Piece]]:
    pieces = data.draw(cut_anywhere(text), label="pieces")
    cuts = data.draw(st.sets(st.integers(1, max(1, len(pieces) - 1))), label="cuts")
    ends = [0, *sorted(cuts), len(pieces)]
    runs = [pieces[start:stop] for start, stop in pairwise(ends)]
    return [run for run in runs if run]


@given(st.data(), texts)
def test_the_first_occurrence_is_that_of_str_find(data: st.DataObject, text: str) -> None:
    needle = draw_needle(data, text)
    assert find(data.draw(cut_anywhere(text)), needle) == text.find(needle)


@given(st.data(), texts)
def test_the_last_occurrence_is_that_of_str_rfind(data: st.DataObject, text: str) -> None:
    needle = draw_needle(data, text)
    assert rfind(reversed(data.draw(cut_anywhere(text))), needle) == text.rfind(needle)


@given(st.data(), texts)
def test_occurrences_are_counted_as_str_counts_them(data: st.DataObject, text: str) -> None:
    needle = draw_needle(data, text)
    assert count(data.draw(cut_anywhere(text)), needle) == text.count(needle)


@given(st.data(), texts)
def test_all_occurrences_are_those_of_a_regex_of_the_needle(data: st.DataObject, text: str) -> None:
    needle = draw_needle(data, text)
    assert list(search.occurrences(data.draw(cut_anywhere(text)), needle)) == stdlib_offsets(needle, text)


@given(st.data(), full_texts)
def test_runs_searched_apart_give_the_first_occurrence(data: st.DataObject, text: str) -> None:
    needle = draw_needle(data, text)
    scans = (search.scan_first(needle, run) for run in draw_runs(data, text))
    assert search.join_first(scans, needle).value == text.find(needle)


@given(st.data(), full_texts)
def test_runs_searched_apart_give_the_last_occurrence(data: st.DataObject, text: str) -> None:
    needle = draw_needle(data, text)
    scans = (search.scan_last(needle, reversed(run)) for run in reversed(draw_runs(data, text)))
    assert search.join_last(scans, needle).value == text.rfind(needle)


@given(st.data(), full_texts)
def test_runs_counted_apart_give_the_count_of_needles_that_cannot_overlap(data: st.DataObject, text: str) -> None:
    needle = data.draw(needles(text).filter(lambda needle: bool(needle) and not search.overlaps_itself(needle)))
    scans = (search.scan_count(needle, run) for run in draw_runs(data, text))
    assert search.join_counts(scans, needle) == text.count(needle)


@given(full_texts)
def test_a_needle_overlaps_itself_when_two_copies_can_share_characters(needle: str) -> None:
    shared = any(needle[shift:] == needle[: len(needle) - shift] for shift in range(1, len(needle)))
    assert search.overlaps_itself(needle) or not shared


@pytest.mark.parametrize(("needle", "overlaps"), [("a", False), ("ab", False), ("aa", True), ("aba", True)])
def test_short_needles_are_told_apart_by_their_overlap(needle: str, overlaps: bool) -> None:  # noqa: FBT001  # a table
    assert search.overlaps_itself(needle) is overlaps


def test_find_takes_no_piece_after_the_one_the_match_ends_in() -> None:
    pieces = iter(cut_at("abcdef", [1, 2, 3, 4, 5]))
    assert find(pieces, "bc") == 1
    assert next(pieces).start == 3


def test_rfind_takes_no_piece_before_the_one_the_match_begins_in() -> None:
    pieces = iter(cut_at("abcdef", [1, 2, 3, 4, 5])[::-1])
    assert rfind(pieces, "de") == 3
    assert next(pieces).start == 2


@pytest.mark.parametrize("text", ["ab ab ab", "\u00e9 ab \u00e9ab ab"])
def test_several_occurrences_in_one_piece(text: str) -> None:
    assert list(search.occurrences(cut_at(text, []), "ab")) == stdlib_offsets("ab", text)


def test_occurrences_are_given_before_later_pieces_are_taken() -> None:
    pieces = iter(cut_at("xaxa", [2]))
    assert next(search.occurrences(pieces, "a")) == 1
    assert next(pieces).start == 2


def test_half_of_a_pair_of_surrogates_is_found_in_the_pair_but_not_in_the_character() -> None:
    assert find(cut_at("a\ud83d\ude00", [2]), "\ude00") == 2
    assert find(cut_at("a\U0001f600", [1]), "\ude00") == -1


def test_a_needle_longer_than_many_pieces_is_found_across_all_of_them() -> None:
    text = "ab" * 500 + "c"
    pieces = cut_at(text, list(range(1, len(text))))
    assert find(pieces, text[7:]) == 7
    assert rfind(pieces[::-1], text[8:]) == 8
    assert count(pieces, text) == 1


def test_a_very_long_needle_is_counted() -> None:
    needle = "a" * 10_001 + "b"
    assert count(cut_at(needle * 3, [5, 10_000, 10_002, 20_005]), needle) == 3
