"""Texts and sequences that are made when they are asked for, against what ``str`` makes at once."""

import pickle
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt import DistributedPrompt
from distributed_prompt.errors import ArgumentError
from distributed_prompt.sequences import LazySequence
from tests.strategies import CASED, bounds, cased_texts, needles, shard_sizes, texts

MAPPINGS = ["capitalize", "casefold", "lower", "swapcase", "title", "upper"]
SPACED = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u2028\u200bab"
# Cased, case-ignorable, both, neither; sigmas; and what grows.
SIGMA = "A\u03a3\u03a3'.\u0345\u02b0 \u0301\u0149\u00df\u0130b"
any_texts = st.one_of(texts, cased_texts, st.text(SPACED, max_size=30), st.text(SIGMA, max_size=30))
Pair = tuple[str, DistributedPrompt]


@st.composite
def pairs(draw: st.DrawFn, source: st.SearchStrategy[str] = any_texts, *, min_length: int = 1) -> Pair:
    """A text, and a prompt or view of it that makes lazy texts of all but the empty one."""
    text = draw(source.filter(lambda found: len(found) >= min_length))
    before, behind = draw(st.sampled_from([(0, 0), (0, 0), (1, 2), (3, 0)]))
    whole = "\u03a3ab"[:before] + text + "a\u03a3"[:behind]
    prompt = DistributedPrompt.from_text(whole, shard_size=draw(shard_sizes(whole)))
    prompt.view_threshold = 0
    return text, prompt.view(before, before + len(text))


def check_text(data: st.DataObject, found: object, expected: str) -> None:
    """Everything that a prompt answers about a lazy text, in an order of its own, each of a fresh one or the same."""
    assert isinstance(found, DistributedPrompt | str)
    if isinstance(found, str):
        assert found == expected
        return
    needle = data.draw(needles(expected))
    start, stop = data.draw(bounds(expected)), data.draw(bounds(expected))
    index = data.draw(st.integers(0, max(0, len(expected) - 1)))
    step = data.draw(st.sampled_from([1, 1, 2, -1, -3]))
    questions: list[Callable[[Any], Any]] = [
        len,
        bool,
        lambda text: str(text[start:stop:step]),
        lambda text: text.find(needle, start, stop),
        lambda text: text.rfind(needle, start, stop),
        lambda text: text.count(needle, start, stop),
        "".join,
        lambda text: str(text) + str(hash(text)),
        lambda text: [str(line) for line in text.split("\n")],
        lambda text: text == expected,
        lambda text: text.isascii(),
        lambda text: str(text[index]) if index < len(expected) else None,
        lambda text: text.encode("utf-8", "surrogatepass"),
        lambda text: text < needle,
    ]
    for question in data.draw(st.permutations(questions)):
        fresh = data.draw(st.booleans())
        assert question(pickle.loads(pickle.dumps(found)) if fresh else found) == question(expected)  # noqa: S301
    assert [str(line) for line in found.lines] == expected.split("\n")[: None if expected[-1:] != "\n" else -1][
        : None if expected else 0
    ]


def check_list(data: st.DataObject, found: object, expected: list[str]) -> None:
    """Everything that a list answers."""
    assert isinstance(found, LazySequence)
    index = data.draw(st.integers(-len(expected) - 1, len(expected)))
    start, stop = data.draw(bounds(str(expected))), data.draw(bounds(str(expected)))
    step = data.draw(st.sampled_from([None, 1, 2, -1, -3]))

    def item(items: Sequence[Any]) -> str:
        try:
            return str(items[index])
        except IndexError:
            return "IndexError"

    questions: list[Callable[[Any], Any]] = [
        len,
        item,
        lambda items: list(map(str, items)),
        lambda items: [str(item) for item in items[start:stop:step]],
        lambda items: [str(item) for item in reversed(items)],
        lambda items: bool(items == expected),
        lambda items: expected[0] in items if expected else None,
    ]
    for question in data.draw(st.permutations(questions)):
        fresh = data.draw(st.booleans())
        assert question(pickle.loads(pickle.dumps(found)) if fresh else found) == question(expected)  # noqa: S301


@pytest.mark.thorough
@pytest.mark.parametrize("name", MAPPINGS)
@given(data=st.data(), pair=pairs())
def test_case_is_mapped_as_by_str(name: str, data: st.DataObject, pair: Pair) -> None:
    text, prompt = pair
    check_text(data, getattr(prompt, name)(), getattr(text, name)())


@given(data=st.data(), pair=pairs())
def test_replacing_gives_what_str_gives(data: st.DataObject, pair: Pair) -> None:
    text, prompt = pair
    old, new = data.draw(needles(text)), data.draw(needles(text))
    count = data.draw(st.sampled_from([-1, 0, 1, 2, 5]))
    check_text(data, prompt.replace(old, new, count), text.replace(old, new, count))


@given(
    data=st.data(), pair=pairs(st.text("a\t\n\r\u00e9", max_size=30)), size=st.sampled_from([8, 0, -1, 1, 2, 3, 100])
)
def test_tabs_are_expanded_as_by_str(data: st.DataObject, pair: Pair, size: int) -> None:
    text, prompt = pair
    check_text(data, prompt.expandtabs(size), text.expandtabs(size))


@given(
    data=st.data(),
    pair=pairs(),
    table=st.dictionaries(st.sampled_from(SIGMA + SPACED), st.one_of(st.none(), st.text(max_size=3), st.just("x"))),
)
def test_translating_gives_what_str_gives(data: st.DataObject, pair: Pair, table: dict[str, str | None]) -> None:
    text, prompt = pair
    codes = str.maketrans(cast("Any", table))
    check_text(data, prompt.translate(codes), text.translate(codes))


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["ljust", "rjust", "center", "zfill"])
@given(data=st.data(), pair=pairs(st.one_of(any_texts, st.text("+-0a", max_size=5))), width=st.integers(-1, 40))
def test_filling_up_gives_what_str_gives(name: str, data: st.DataObject, pair: Pair, width: int) -> None:
    text, prompt = pair
    check_text(data, getattr(prompt, name)(width), getattr(text, name)(width))
    if name != "zfill":
        check_text(data, getattr(prompt, name)(width, "\u20ac"), getattr(text, name)(width, "\u20ac"))


@given(data=st.data(), pair=pairs(), other=pairs(), times=st.integers(-1, 4))
def test_texts_are_joined_as_by_str(data: st.DataObject, pair: Pair, other: Pair, times: int) -> None:
    (text, prompt), (behind, second) = pair, other
    check_text(data, prompt + behind, text + behind)
    check_text(data, behind + prompt, behind + text)
    check_text(data, prompt + second, text + behind)
    check_text(data, prompt * times, text * times)
    check_text(data, prompt.join([behind, cast("str", second), text]), text.join([behind, behind, text]))


@given(data=st.data(), pair=pairs(), step=st.sampled_from([2, 3, -1, -2, 50]))
def test_slices_with_a_step_are_those_of_str(data: st.DataObject, pair: Pair, step: int) -> None:
    text, prompt = pair
    start, stop = data.draw(bounds(text)), data.draw(bounds(text))
    check_text(data, prompt[start:stop:step], text[start:stop:step])


@given(data=st.data(), pair=pairs())
def test_lazy_texts_are_made_of_lazy_texts(data: st.DataObject, pair: Pair) -> None:
    text, prompt = pair
    steps: list[Callable[[Any], Any]] = [
        lambda t: t.lower(),
        lambda t: t.upper(),
        lambda t: t.title(),
        lambda t: t.replace("a", "bb"),
        lambda t: t.replace("\n", ""),
        lambda t: t + "x",
        lambda t: t[::-1],
        lambda t: t.expandtabs(3),
        lambda t: t * 2,
        lambda t: t[1:],
        lambda t: t.strip(),
        lambda t: t.translate({97: None}),
    ]
    found: Any = prompt
    for step in data.draw(st.lists(st.sampled_from(steps), min_size=2, max_size=4)):
        found, text = step(found), step(text)
    check_text(data, found, text)


@given(data=st.data(), pair=pairs(), maxsplit=st.sampled_from([-1, 0, 1, 2, 7]))
def test_splitting_gives_what_str_gives(data: st.DataObject, pair: Pair, maxsplit: int) -> None:
    text, prompt = pair
    sep = data.draw(st.one_of(st.none(), st.just("\n"), needles(text).filter(bool)))
    check_list(data, prompt.split(sep, maxsplit), text.split(sep, maxsplit))
    check_list(data, prompt.rsplit(sep, maxsplit), text.rsplit(sep, maxsplit))


@given(data=st.data(), pair=pairs(st.one_of(any_texts, st.text("\r\n\x85a", max_size=20))), keepends=st.booleans())
def test_lines_are_split_as_by_str(data: st.DataObject, pair: Pair, keepends: bool) -> None:  # noqa: FBT001  # as str's
    text, prompt = pair
    check_list(data, prompt.splitlines(keepends), text.splitlines(keepends))
    check_list(data, prompt.lower().splitlines(keepends), text.lower().splitlines(keepends))


ends = st.one_of(st.none(), st.integers(-70, 70))
SPLITS: dict[str, Callable[[Any], Any]] = {
    "split(sep)": lambda text: text.split("a"),
    "split(longer sep)": lambda text: text.split("aa"),
    "split(newline)": lambda text: text.split("\n"),
    "split()": lambda text: text.split(),
    "split(sep, 3)": lambda text: text.split("a", 3),
    "rsplit(sep, 3)": lambda text: text.rsplit("a", 3),
    "rsplit(longer sep)": lambda text: text.rsplit("aa"),
    "rsplit(None, 3)": lambda text: text.rsplit(None, 3),
    "splitlines()": lambda text: text.splitlines(),
    "splitlines(True)": lambda text: text.splitlines(keepends=True),
}


@pytest.mark.parametrize("name", SPLITS)
@given(
    text=st.text("a\n\r \x85é", max_size=60),
    shard_size=st.sampled_from([1, 2, 3, 7, 60]),
    threshold=st.integers(0, 40),
    first=st.tuples(ends, ends, st.sampled_from([None, 2, -1, -3])),
    second=st.tuples(ends, ends, st.sampled_from([None, 2, -1])),
)
def test_slices_of_slices_of_fields_are_those_of_a_list(
    name: str, text: str, shard_size: int, threshold: int, first: tuple[Any, ...], second: tuple[Any, ...]
) -> None:
    prompt = DistributedPrompt.from_text(text, shard_size=shard_size)
    prompt.view_threshold = threshold
    expected, found = SPLITS[name](text), SPLITS[name](prompt)
    for part in (slice(*first), slice(*second)):
        expected, found = expected[part], found[part]
        assert [str(field) for field in found] == expected
        assert len(found) == len(expected)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-16", "utf-32-le", "utf-8-sig", "latin-1", "unicode_escape", "cp1252"]
)
@given(pair=pairs())
def test_encoded_parts_are_those_of_the_encoded_text(encoding: str, pair: Pair) -> None:
    text, prompt = pair
    assert b"".join(prompt.encoded(encoding, "backslashreplace")) == text.encode(encoding, "backslashreplace")


@pytest.mark.parametrize("encoding", ["utf-7", "punycode", "idna"])
def test_what_encodes_whole_texts_is_refused_in_parts(encoding: str) -> None:
    with pytest.raises(ArgumentError, match="does not encode a text in parts"):
        DistributedPrompt.from_text("abc").encoded(encoding)


def test_what_cannot_be_encoded_says_where_it_is() -> None:
    prompt = DistributedPrompt.from_text("abcdef\u20ac", shard_size=3)
    with pytest.raises(UnicodeEncodeError, match="position 0") as caught:
        list(prompt.encoded("ascii"))
    assert caught.value.__notes__ == ["positions are counted from offset 6 of the text"]


def test_a_lazy_sequence_says_how_to_be_changed() -> None:
    prompt = DistributedPrompt.from_text("a b c")
    prompt.view_threshold = 1
    fields: Any = prompt.split()
    for change in (
        lambda: fields.append("x"),
        lambda: fields.__setitem__(0, "x"),
        lambda: fields + ["x"],  # noqa: RUF005  # it itself
        fields.sort,
    ):
        with pytest.raises(TypeError, match=r"list\(x\)"):
            change()
    assert [*fields, "x"] == ["a", "b", "c", "x"]


def long_prompt(characters: int = 400_000, shard_size: int = 1000) -> DistributedPrompt:
    """Lines of ten characters; in every tenth shard one that is not ASCII."""
    lines = "".join(f"Line{number:05}" + ("\n" if number % 1000 else "\u00c9") for number in range(characters // 10))
    prompt = DistributedPrompt.from_text(lines, shard_size=shard_size)
    prompt.view_threshold = 10_000
    return prompt


def decoded_by(prompt: DistributedPrompt, call: Callable[[], object]) -> int:
    before = prompt.stats.decoded_shards
    call()
    return prompt.stats.decoded_shards - before


def test_a_search_in_a_mapped_text_decodes_what_a_search_without_regard_to_case_must() -> None:
    prompt = long_prompt()
    for name in ("line00050", "line00250", "line20000"):
        lower: Any = prompt.lower()
        plain = long_prompt()
        must = decoded_by(plain, partial(plain.find, name.capitalize()))
        # What is decoded ahead differs from run to run, once the worker threads are at it.
        assert decoded_by(prompt, partial(lower.find, name)) <= (must + 2 if must < 8 else 401)
        assert lower.find(name) == plain.find(name.capitalize())


def test_the_length_of_a_mapped_text_costs_the_shards_that_are_not_ascii() -> None:
    prompt = long_prompt()
    lower: Any = prompt.lower()
    assert decoded_by(prompt, lambda: len(lower)) <= 40 * 5
    assert len(lower) == len(prompt)
    assert decoded_by(prompt, lambda: lower[200_000:200_010]) <= 2


def test_fields_cost_what_lies_before_them_once() -> None:
    prompt = long_prompt()
    by_newline: Any = prompt.split("\n")
    assert decoded_by(prompt, lambda: by_newline[20_000]) <= 2
    assert decoded_by(prompt, lambda: len(by_newline)) == 0
    by_word: Any = prompt.split("Line")
    assert decoded_by(prompt, lambda: by_word[0]) <= 4
    assert decoded_by(prompt, lambda: by_word[30_000]) <= 401
    assert decoded_by(prompt, lambda: by_word[30_001:30_010][3]) <= 2
    assert decoded_by(prompt, lambda: len(by_word)) <= 401
    assert decoded_by(prompt, lambda: repr(prompt.split("Line"))) <= 12
    assert repr(prompt.split("Line")).endswith("…]")


def test_a_lazy_text_shows_one_short_line_without_looking() -> None:
    prompt = long_prompt()
    assert decoded_by(prompt, lambda: repr(prompt.replace("a", "b"))) == 0
    for text in (prompt.lower(), prompt.replace("a", "b") + "x", prompt[::-1], prompt * 3, prompt.ljust(10**9)):
        shown = repr(text)
        assert shown.startswith("DistributedPrompt(length=")
        assert len(shown) < 120


def test_cased_characters_are_there() -> None:
    assert {"\u03a3", "\u0130", "\u00df"} <= set(CASED + SIGMA)


def test_a_text_that_grows_in_a_loop_is_not_looked_over_each_time() -> None:
    prompt = DistributedPrompt.from_text("abc\n" * 100, shard_size=7)
    prompt.view_threshold = 10
    grown: Any = prompt.view(0, 50)
    for start in range(100):
        grown += prompt.view(start, start + 20)
        assert "_ends" not in vars(grown._characters)
    assert len(grown) == 50 + 100 * 20
    assert grown == str(prompt)[:50] + "".join(str(prompt)[start : start + 20] for start in range(100))
