"""Every operation of a prompt against the same operation of ``str``."""

import itertools
import operator
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt import DistributedPrompt
from tests.strategies import DENSE, bounds, cased_texts, full_texts, needles, outcome, shard_sizes, steps, texts

Make = Callable[[str, int], AbstractContextManager[DistributedPrompt]]
SEARCHES = ("find", "rfind", "index", "rindex", "count")


@pytest.fixture(scope="module", params=["memory", "pack", "view"])
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """What makes a prompt of a text and a shard size, one way after the other."""
    folder = tmp_path_factory.mktemp("packs")
    numbers = itertools.count()

    @contextmanager
    def made(text: str, shard_size: int) -> Iterator[DistributedPrompt]:
        # What lies around a view could go on where the text ends, and so tempt a search across its edges.
        around = text[-5:] + text[:5] + "a\n"
        if request.param == "memory":
            prompt = DistributedPrompt.from_text(text, shard_size=shard_size)
        elif request.param == "pack":
            path = folder / f"{next(numbers)}.dprompt"
            dp.ingest_string(text, path, shard_size=shard_size)
            prompt = dp.open(path)
        else:
            prompt = DistributedPrompt.from_text(around + text + around, shard_size=shard_size)
        with prompt:
            if request.param == "view":
                yield prompt.view(1, -1).view(len(around) - 1, 1 - len(around))
            else:
                yield prompt
        for pack in folder.iterdir():
            pack.unlink()

    return made


def draw_size(data: st.DataObject, text: str) -> int:
    return data.draw(shard_sizes(text), label="shard_size")


def lines_of(text: str) -> list[str]:
    parts = text.split("\n")
    return parts if parts[-1] else parts[:-1]


def chunks_of(text: str, size: int, overlap: int) -> list[str]:
    found = []
    for start in range(0, len(text), size - overlap):
        found.append(text[start : start + size])
        if start + size >= len(text):
            break
    return found


@given(st.data(), texts)
def test_a_prompt_is_as_long_true_equal_and_readable_as_its_text(make: Make, data: st.DataObject, text: str) -> None:
    with make(text, draw_size(data, text)) as prompt:
        assert len(prompt) == len(text)
        assert bool(prompt) == bool(text)
        assert str(prompt) == text
        assert type(str(prompt)) is str
        assert f"{prompt}" == text
        assert list(prompt) == list(text)
        assert list(reversed(prompt)) == list(reversed(text))
        assert hash(prompt) == hash(text)
        assert {text: "found"}[prompt] == "found"  # type: ignore[index]


@given(st.data(), full_texts)
def test_every_index_gives_the_character_or_the_error_of_str(make: Make, data: st.DataObject, text: str) -> None:
    with make(text, draw_size(data, text)) as prompt:
        for index in range(-len(text) - 2, len(text) + 2):
            assert outcome(lambda: prompt[index]) == outcome(lambda: text[index])  # noqa: B023  # called at once
        assert type(prompt[0]) is str


@given(st.data(), texts)
def test_slices_are_those_of_str(make: Make, data: st.DataObject, text: str) -> None:
    with make(text, draw_size(data, text)) as prompt:
        for _ in range(5):
            part = slice(data.draw(bounds(text)), data.draw(bounds(text)), data.draw(steps(text)))
            found = prompt[part]
            assert type(found) is str
            assert found == text[part]


@given(st.data(), texts, st.integers(0, 9))
def test_slices_above_the_view_threshold_are_views_of_equal_text(
    make: Make, data: st.DataObject, text: str, threshold: int
) -> None:
    with make(text, draw_size(data, text)) as prompt:
        prompt.view_threshold = threshold
        for _ in range(3):
            part = slice(data.draw(bounds(text)), data.draw(bounds(text)))
            found = prompt[part]
            assert str(found) == text[part]
            assert isinstance(found, DistributedPrompt) == (len(text[part]) > threshold)


@given(st.data(), texts)
def test_views_of_views_are_slices_of_slices(make: Make, data: st.DataObject, text: str) -> None:
    with make(text, draw_size(data, text)) as prompt:
        view, expected = prompt, text
        for _ in range(3):
            start, stop = data.draw(bounds(expected)), data.draw(bounds(expected))
            view, expected = view.view(start, stop), expected[start:stop]
            assert isinstance(view, DistributedPrompt)
            assert str(view) == expected
            assert len(view) == len(expected)
        needle = data.draw(needles(expected))
        assert view.find(needle) == expected.find(needle)
        assert view.count(needle) == expected.count(needle)
        assert list(view.lines) == lines_of(expected)


@given(st.data(), texts)
def test_searches_of_the_whole_text_are_those_of_str(make: Make, data: st.DataObject, text: str) -> None:
    needle = data.draw(needles(text), label="needle")
    with make(text, draw_size(data, text)) as prompt:
        for method in SEARCHES:
            search = operator.methodcaller(method, needle)
            assert outcome(lambda: search(prompt)) == outcome(lambda: search(text)), method  # noqa: B023  # called at once
        assert (needle in prompt) == (needle in text)


@given(st.data(), texts)
def test_searches_within_bounds_are_those_of_str(make: Make, data: st.DataObject, text: str) -> None:
    with make(text, draw_size(data, text)) as prompt:
        for _ in range(3):
            arguments = data.draw(needles(text)), data.draw(bounds(text)), data.draw(bounds(text))
            for method in SEARCHES:
                search = operator.methodcaller(method, *arguments)
                assert outcome(lambda: search(prompt)) == outcome(lambda: search(text)), method  # noqa: B023  # at once


@pytest.mark.parametrize("needle", ["", "a", "ab", "abc"])
def test_every_pair_of_bounds_of_a_short_text_is_searched_as_str_does(make: Make, needle: str) -> None:
    with make("abc", 2) as prompt:
        for start, end in itertools.product((None, *range(-5, 6)), repeat=2):
            for method in SEARCHES:
                search = operator.methodcaller(method, needle, start, end)
                assert outcome(lambda: search(prompt)) == outcome(lambda: search("abc"))  # noqa: B023  # called at once


@given(st.data(), texts)
def test_all_occurrences_are_those_of_a_regex_of_the_needle(make: Make, data: st.DataObject, text: str) -> None:
    needle = data.draw(needles(text).filter(bool), label="needle")
    start, end = data.draw(bounds(text), label="start"), data.draw(bounds(text), label="end")
    first = slice(start, end).indices(len(text))[0]
    with make(text, draw_size(data, text)) as prompt:
        expected = [first + match.start() for match in re.finditer(re.escape(needle), text[start:end])]
        assert list(prompt.find_all(needle, start, end)) == expected
        assert len(expected) == prompt.count(needle, start, end)


@given(st.data(), texts | cased_texts)
def test_all_occurrences_ignoring_case_are_those_of_an_ignorecase_regex(
    make: Make, data: st.DataObject, text: str
) -> None:
    needle = data.draw(needles(text).filter(bool), label="needle")
    start, end = data.draw(bounds(text), label="start"), data.draw(bounds(text), label="end")
    first = slice(start, end).indices(len(text))[0]
    with make(text, draw_size(data, text)) as prompt:
        for cased in {needle, needle.upper(), needle.lower()}:
            expected = [
                first + match.start() for match in re.finditer(re.escape(cased), text[start:end], re.IGNORECASE)
            ]
            assert list(prompt.find_all(cased, start, end, ignore_case=True)) == expected


@given(st.data(), texts, texts)
def test_prompts_and_strings_are_equal_as_their_texts_are(
    make: Make, data: st.DataObject, text: str, other: str
) -> None:
    changed = text[:-1] + "\U0010fffe" if text else "x"
    with make(text, draw_size(data, text)) as prompt:
        for candidate in (text, other, changed, text + "a", text[1:]):
            twin = DistributedPrompt.from_text(candidate, shard_size=draw_size(data, candidate))
            for peer in (candidate, twin):
                assert (prompt == peer) is (text == candidate)
                assert (peer == prompt) is (candidate == text)
                assert (prompt != peer) is (text != candidate)
                assert (peer != prompt) is (candidate != text)


@given(st.data(), texts)
def test_views_are_equal_as_their_texts_are(make: Make, data: st.DataObject, text: str) -> None:
    cuts = [(data.draw(bounds(text)), data.draw(bounds(text))) for _ in range(2)]
    with make(text, draw_size(data, text)) as prompt:
        (left, right), (one, other) = [prompt.view(*cut) for cut in cuts], [text[slice(*cut)] for cut in cuts]
        assert (left == right) is (one == other)
        assert (left != right) is (one != other)
        assert (hash(left) == hash(right)) is (hash(one) == hash(other))


@given(st.data(), texts)
def test_chunks_without_overlap_are_a_loop_of_slices(make: Make, data: st.DataObject, text: str) -> None:
    size = data.draw(st.integers(1, len(text) + 2), label="size")
    with make(text, draw_size(data, text)) as prompt:
        assert prompt.chunks(size) == [text[at : at + size] for at in range(0, len(text), size)]


@given(st.data(), texts, st.integers(0, 9))
def test_chunks_that_overlap_end_with_the_first_that_reaches_the_end(
    make: Make, data: st.DataObject, text: str, threshold: int
) -> None:
    size = data.draw(st.integers(1, len(text) + 2), label="size")
    overlap = data.draw(st.integers(0, size - 1), label="overlap")
    expected = chunks_of(text, size, overlap)
    with make(text, draw_size(data, text)) as prompt:
        prompt.view_threshold = threshold
        chunks = prompt.chunks(size, overlap)
        assert len(chunks) == len(expected)
        assert list(map(str, chunks)) == expected
        part = slice(data.draw(bounds(text)), data.draw(bounds(text)), data.draw(steps(text)))
        assert chunks[part] == expected[part]


@given(st.data(), texts)
def test_lines_are_what_lies_between_newlines(make: Make, data: st.DataObject, text: str) -> None:
    expected = lines_of(text)
    with make(text, draw_size(data, text)) as prompt:
        lines = prompt.lines
        assert len(lines) == len(expected)
        assert list(lines) == expected
        assert list(reversed(lines)) == expected[::-1]
        assert [lines[index] for index in range(-len(expected), len(expected))] == expected * 2
        assert lines == expected
        assert (lines == [*expected, ""]) is False
        for beyond in (len(expected), -len(expected) - 1):
            with pytest.raises(IndexError):
                lines[beyond]


@given(st.data(), st.text(DENSE, max_size=40), st.integers(0, 5))
def test_lines_above_the_view_threshold_are_views_of_equal_text(
    make: Make, data: st.DataObject, text: str, threshold: int
) -> None:
    expected = lines_of(text)
    with make(text, draw_size(data, text)) as prompt:
        prompt.view_threshold = threshold
        for found in (list(prompt.lines), [prompt.lines[index] for index in range(len(expected))]):
            assert found == expected
            assert [type(line) is str for line in found] == [len(line) <= threshold for line in expected]


@given(st.data(), st.text(DENSE, max_size=40) | texts)
def test_slices_of_lines_and_slices_of_these_are_those_of_a_list(make: Make, data: st.DataObject, text: str) -> None:
    expected = lines_of(text)
    with make(text, draw_size(data, text)) as prompt:
        lines = prompt.lines[:]
        for _ in range(3):
            near = st.none() | st.integers(-len(expected) - 2, len(expected) + 2)
            part = slice(data.draw(near), data.draw(near), data.draw(near.filter(lambda step: step != 0)))
            lines, expected = lines[part], expected[part]
            assert len(lines) == len(expected)
            assert list(lines) == expected
            assert [lines[index] for index in range(len(expected))] == expected


@given(st.data(), texts)
def test_the_line_at_an_offset_is_the_number_of_newlines_before_it(make: Make, data: st.DataObject, text: str) -> None:
    with make(text, draw_size(data, text)) as prompt:
        for offset in range(len(text) + 1):
            assert prompt.line_at(offset) == text.count("\n", 0, offset)
            if offset:
                assert prompt.line_at(-offset) == text.count("\n", 0, len(text) - offset)
        for beyond in (len(text) + 1, -len(text) - 1):
            with pytest.raises(IndexError, match=r"^string index out of range$"):
                prompt.line_at(beyond)


@given(st.data(), texts)
def test_lines_start_after_the_newline_before_and_beyond_the_last_at_the_end(
    make: Make, data: st.DataObject, text: str
) -> None:
    starts = [0, *(offset + 1 for offset, character in enumerate(text) if character == "\n")]
    with make(text, draw_size(data, text)) as prompt:
        assert [prompt.line_start(line) for line in range(len(starts))] == starts
        assert prompt.line_start(len(starts)) == prompt.line_start(len(starts) + 5) == len(text)


class _Index:
    """Something that has an ``__index__``, good or bad."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"index {self.value!r}"

    def __index__(self) -> int:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value  # type: ignore[return-value]  # wrong ones are what it is for


INDICES = ["x", 1.5, None, (1, 2), b"a", [], 6, -7, True, int, _Index(1), _Index(6), _Index(2**70)]
BROKEN_INDICES = [_Index("1"), _Index(1.5), _Index(AttributeError("not today"))]


@pytest.mark.parametrize("key", [*INDICES, *BROKEN_INDICES, 2**70, -(2**70)], ids=repr)
def test_a_wrong_index_raises_the_error_of_str(make: Make, key: int) -> None:
    text = "abc\nde"
    with make(text, 2) as prompt:
        assert outcome(lambda: prompt[key]) == outcome(lambda: text[key])


@pytest.mark.parametrize(
    "key",
    [slice(None, None, 0), slice(1.5, None), slice("a"), slice(None, None, "x"), slice(_Index("1"), None)],
    ids=repr,
)
def test_a_wrong_slice_raises_the_error_of_str(make: Make, key: "slice[int]") -> None:
    text = "abc\nde"
    with make(text, 2) as prompt:
        assert outcome(lambda: prompt[key]) == outcome(lambda: text[key])


@pytest.mark.parametrize("method", SEARCHES)
@pytest.mark.parametrize(
    "arguments",
    [(5,), (None,), (b"a",), (["a"],), ("a", 1.5), ("a", "b"), ("a", None, 1.5), ("a", _Index("1")), (5, 1, 2)],
    ids=repr,
)
def test_wrong_arguments_of_a_search_raise_the_error_of_str(
    make: Make, method: str, arguments: tuple[object, ...]
) -> None:
    text = "abc\nde"
    with make(text, 2) as prompt:
        search = operator.methodcaller(method, *arguments)
        assert outcome(lambda: search(prompt)) == outcome(lambda: search(text))


@pytest.mark.parametrize("key", [5, None, b"a", ["a"]], ids=repr)
def test_looking_for_what_is_no_string_raises_the_error_of_str(make: Make, key: str) -> None:
    text = "abc\nde"
    with make(text, 2) as prompt:
        assert outcome(lambda: key in prompt) == outcome(lambda: key in text)


@pytest.mark.parametrize("other", [5, None, b"abc\nde", ["abc\nde"], list("abc\nde")], ids=lambda o: type(o).__name__)
def test_a_prompt_equals_nothing_but_texts(make: Make, other: object) -> None:
    with make("abc\nde", 2) as prompt:
        assert prompt != other
        assert other != prompt
