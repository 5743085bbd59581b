"""Texts, cuts and arguments that texts cut in shards go wrong with."""

import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from string import ascii_lowercase

from hypothesis import settings
from hypothesis import strategies as st

from distributed_prompt.text.pieces import Piece, encode

CI_EXAMPLES = 25
SMALL_SHARD_SIZES = (1, 2, 3, 7)
DENSE = "ab\n"
CASED = (
    "kK\u212asS\u017fiI\u0130\u0131\u00df\u1e9e\u03c3\u03c2\u03a3\u01c4\u01c5\u01c6\ufb05\ufb06\u00b5\u03bc\u0345\u03b9"
)
WILD = (
    "a\n\r\x00 "  # one byte
    "\u00e9\u00df\u07ff"  # two
    "\u20ac\u0301\u200d\u2028\ufeff\uffff"  # three
    "\U0001f600\U0001f3fd\U0010ffff"  # four
    "\ud83d\ude00\ud800\udfff\udc80"  # lone surrogates, the first two of which look like a pair
)
WORDS = ("\r\n", "\ud83d\ude00", "\U0001f600", "e\u0301", "aba", "ab", "aa", "\n\n", "\x00", "\u00e9", "\udc80")

texts: st.SearchStrategy[str] = st.one_of(
    st.text(DENSE, max_size=60),
    st.text("a", max_size=30),
    st.text(WILD, max_size=40),
    st.lists(st.sampled_from(WORDS), max_size=20).map("".join),
    st.text(st.characters(exclude_categories=()), max_size=20),
)
cased_texts: st.SearchStrategy[str] = st.text(CASED, max_size=40)
full_texts: st.SearchStrategy[str] = texts.filter(bool)


def examples(count: int, *, at_soak: int = 1) -> settings:
    """So many examples where others have CI's 25; with fewer the same share, with many so many times theirs."""
    usual = settings().max_examples
    return settings(max_examples=max(count, at_soak * usual) if usual >= CI_EXAMPLES else count * usual // CI_EXAMPLES)


def shard_sizes(text: str) -> st.SearchStrategy[int]:
    """Small sizes, and those around the text's length."""
    around = {len(text) - 1, len(text), len(text) + 1, 2 * len(text)}
    return st.sampled_from(sorted({*SMALL_SHARD_SIZES, *(size for size in around if size >= 1)}))


def needles(text: str) -> st.SearchStrategy[str]:
    """What occurs in the text, what nearly does, and what does not; sometimes nothing at all."""
    inside = st.tuples(st.integers(0, len(text)), st.integers(0, 12)).map(lambda cut: text[cut[0] : cut[0] + cut[1]])
    return st.one_of(
        inside,
        inside,
        st.tuples(inside, st.sampled_from(["", "a", "\n", "\ud83d", "\U0001f600"])).map("".join),
        st.text(DENSE, max_size=4),
        st.text(WILD, max_size=3),
        st.sampled_from(["", text, text + "a", "a" + text]),
    )


def bounds(text: str) -> st.SearchStrategy[int | None]:
    """None, offsets around all of the text from both its ends, and huge ones."""
    near = st.integers(-len(text) - 3, len(text) + 3)
    return st.one_of(st.none(), near, near, st.sampled_from([sys.maxsize, -sys.maxsize - 1, 2**70, -(2**70)]))


def steps(text: str) -> st.SearchStrategy[int | None]:
    """None and all steps but 0."""
    return bounds(text).filter(lambda step: step != 0)


def cut_anywhere(text: str) -> st.SearchStrategy[list[Piece]]:
    """The text in consecutive pieces of any lengths, none of them empty."""
    places = st.sets(st.integers(1, len(text) - 1)) if len(text) > 1 else st.just(set[int]())
    return places.map(lambda chosen: cut_at(text, sorted(chosen)))


def cut_at(text: str, places: list[int]) -> list[Piece]:
    """The text in pieces that are cut at some offsets."""
    cuts = pairwise([0, *places, len(text)])
    return [Piece(start, stop - start, encode(text[start:stop])) for start, stop in cuts if start < stop]


def outcome(call: Callable[[], object]) -> object:
    """What a call gives: its result, or its exception's type and message."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001  # whatever it is, it is compared
        return type(error), str(error)


def _lyndon_words(letters: str, length: int) -> Iterator[str]:
    """Those whose length divides ``length``, in order; one after the other they are a de Bruijn sequence."""
    word = [-1]
    while word:
        word[-1] += 1
        if length % len(word) == 0:
            yield "".join(letters[at] for at in word)
        word = [word[at % len(word)] for at in range(length)]
        while word and word[-1] == len(letters) - 1:
            word.pop()


PATTERN_TEXT = "".join(_lyndon_words(ascii_lowercase, 3))
