import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt.text.literal import Literal
from distributed_prompt.text.pieces import encode
from tests.strategies import cased_texts, needles, texts

ANY = texts | cased_texts


def positions(needle: str, text: str, *, ignore_case: bool) -> list[int]:
    pattern = re.compile(f"(?={re.escape(needle)})", re.IGNORECASE if ignore_case else 0)
    return [match.start() for match in pattern.finditer(text)]


@given(text=ANY, data=st.data(), ignore_case=st.booleans())
def test_a_literal_is_found_where_re_finds_it(text: str, data: st.DataObject, *, ignore_case: bool) -> None:
    needle = data.draw(needles(text).filter(bool))
    needle = needle.swapcase() if ignore_case else needle
    literal = Literal(needle, ignore_case=ignore_case)
    expected = positions(needle, text, ignore_case=ignore_case)
    assert literal.positions(text) == expected
    assert literal.occurs(text) == literal.occurs_in(encode(text)) == bool(expected)


@given(text=ANY, data=st.data(), times=st.sampled_from([1, 30]), ignore_case=st.booleans())
def test_no_occurrence_across_an_edge_is_overlooked(
    text: str, data: st.DataObject, times: int, *, ignore_case: bool
) -> None:
    text *= times
    needle = data.draw(needles(text).filter(bool))
    literal = Literal(needle, ignore_case=ignore_case)
    for start in positions(needle, text, ignore_case=ignore_case):
        for edge in range(start + 1, start + len(needle)):
            before, behind = encode(text[:edge]), encode(text[edge:])
            assert literal.crosses(before, behind)
            assert literal.may_begin_in(before)
            assert literal.may_end_in(behind)


@pytest.mark.parametrize(
    ("needle", "text"),
    [
        ("k", "\u212a"),
        ("s", "\u017f"),
        ("i", "\u0130\u0131"),
        ("\u00df", "ss"),
        ("\u00df", "\u1e9e"),
        ("\ufb05", "\ufb06"),
    ],
)
def test_characters_that_only_ignoring_case_makes_equal(needle: str, text: str) -> None:
    literal = Literal(needle, ignore_case=True)
    assert literal.positions(text) == positions(needle, text, ignore_case=True)
    assert literal.positions(text.swapcase()) == positions(needle, text.swapcase(), ignore_case=True)


@pytest.mark.parametrize("ignore_case", [False, True])
def test_long_literals_at_an_edge_are_no_work(ignore_case: bool) -> None:  # noqa: FBT001  # a parameter
    literal = Literal("ab" * 500_000, ignore_case=ignore_case)
    assert literal.may_end_in(b"abababab" * 10)
    assert literal.may_begin_in(b"x" * 10) == ignore_case


LINES = st.text("abX\n", max_size=60)


@given(text=LINES, word=st.sampled_from(["a", "ab", "XX"]), others=st.lists(st.sampled_from(["b", "aX", "B"])))
@pytest.mark.parametrize("ignore_case", [False, True])
def test_companions_must_be_in_the_line_where_that_is_whole(
    text: str, word: str, others: list[str], *, ignore_case: bool
) -> None:
    companions = tuple(Literal(other, ignore_case) for other in others)
    literal = Literal(word, ignore_case, companions)
    expected = []
    for at in positions(word, text, ignore_case=ignore_case):
        line = text[text.rfind("\n", 0, at) + 1 : (text.find("\n", at) + 1 or len(text) + 1) - 1]
        is_cut = "\n" not in text[:at] or "\n" not in text[at:]
        if is_cut or all(positions(other, line, ignore_case=ignore_case) for other in others):
            expected.append(at)
    assert literal.positions(text) == expected
    assert literal.occurs_in(encode(text)) == bool(expected)


def test_companions_that_are_no_ascii_are_found_in_any_case() -> None:
    literal = Literal("K", True, (Literal("\u00e9", True),))  # noqa: FBT003  # ignoring case
    for line, is_found in (("\u212a \u00c9", True), ("k e", False)):
        assert literal.occurs_in(encode(f"\n{line}\n")) == is_found


@given(text=LINES, word=st.sampled_from(["a", "ab", "XX"]), others=st.lists(st.tuples(needles("abX"), st.booleans())))
@pytest.mark.parametrize("ignore_case", [False, True])
def test_nothing_is_overlooked_where_case_matters_for_some_only(
    text: str, word: str, others: list[tuple[str, bool]], *, ignore_case: bool
) -> None:
    companions = tuple(Literal(other, ignored) for other, ignored in others if other)
    literal = Literal(word, ignore_case, companions)
    assert literal.occurs_in(encode(text)) >= bool(literal.positions(text))


@pytest.mark.parametrize("ignored", [(True, False), (False, True)])
def test_case_matters_for_the_literal_or_for_its_companion(ignored: tuple[bool, bool]) -> None:
    literal = Literal("error", ignored[0], (Literal("timeout", ignored[1]),))
    line = f"{'ERROR' if ignored[0] else 'error'} {'TIMEOUT' if ignored[1] else 'timeout'}"
    assert literal.positions(f"\n{line}\n") == [1]
    assert literal.occurs_in(encode(f"\n{line}\n"))


@given(data=ANY, needle=st.text("ab\u00e9", min_size=1, max_size=5))
def test_only_what_goes_on_may_begin_or_end_in_a_text(data: str, needle: str) -> None:
    literal = Literal(needle)
    inner = range(1, len(needle))
    assert literal.may_begin_in(encode(data)) == any(data.endswith(needle[:last]) for last in inner)
    assert literal.may_end_in(encode(data)) == any(data.startswith(needle[first:]) for first in inner)


def test_long_literals_neither_begin_nor_end_in_what_has_nothing_of_them() -> None:
    literal = Literal("ab" * 40)
    assert not literal.may_begin_in(b"xyz")
    assert not literal.may_end_in(b"xyz")


@pytest.mark.parametrize(("upper", "lower"), ["Aa", "\u00c9\u00e9", "\u1e00\u1e01", "\U00010400\U00010428"])
def test_a_whole_character_at_the_edge_of_a_text_counts(upper: str, lower: str) -> None:
    literal = Literal(f"x{lower}y", ignore_case=True)
    assert literal.may_end_in(encode(f"{upper}Y"))
    assert literal.may_begin_in(encode(f"X{upper}"))
    literal = Literal(f"x{lower}", ignore_case=True)
    assert literal.may_end_in(encode(upper))
    assert literal.crosses(b"X", encode(upper))
