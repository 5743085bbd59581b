"""Which characters of which shards a range covers."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt.errors import ArgumentError
from distributed_prompt.geometry import (
    MAX_SHARD_SIZE,
    Span,
    check_shard_size,
    resolve,
    shard_characters,
    shard_count,
    spans,
)
from tests.strategies import bounds, shard_sizes, texts

ranges = st.tuples(st.integers(0, 60), st.integers(0, 60))
sizes = st.integers(1, 70)


@given(st.data(), texts)
def test_shards_count_and_measure_what_slicing_cuts(data: st.DataObject, text: str) -> None:
    size = data.draw(shard_sizes(text))
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    assert shard_count(len(text), size) == len(parts)
    assert [shard_characters(shard, len(text), size) for shard in range(len(parts))] == [len(part) for part in parts]


@given(ranges, sizes)
def test_spans_cover_each_offset_once_and_in_order(ends: tuple[int, int], size: int) -> None:
    found = list(spans(*ends, size))
    offsets = [span.shard * size + place for span in found for place in range(span.start, span.stop)]
    assert offsets == list(range(*ends))


@given(ranges, sizes)
def test_spans_are_not_empty_and_each_lies_in_one_shard(ends: tuple[int, int], size: int) -> None:
    found = list(spans(*ends, size))
    assert all(0 <= span.start < span.stop <= size for span in found)
    assert all(before.shard + 1 == after.shard for before, after in pairwise(found))


def test_a_range_that_ends_at_a_border_does_not_touch_the_next_shard() -> None:
    assert list(spans(4, 8, 4)) == [Span(1, 0, 4)]


def test_an_empty_or_turned_range_has_no_spans() -> None:
    assert list(spans(4, 4, 4)) == list(spans(5, 4, 4)) == []


@given(st.data(), texts)
def test_resolved_offsets_search_as_the_originals_do(data: st.DataObject, text: str) -> None:
    start, end = data.draw(bounds(text)), data.draw(bounds(text))
    first, last = resolve(start, 0, len(text)), resolve(end, len(text), len(text))
    assert first >= 0
    assert last >= 0
    for needle in ("", "a", "\n"):
        assert text.find(needle, first, last) == text.find(needle, start, end)
        assert text.count(needle, first, last) == text.count(needle, start, end)


def test_an_offset_beyond_the_end_stays_beyond_it() -> None:
    assert resolve(4, 0, 3) == 4


@pytest.mark.parametrize("size", [1, 2, MAX_SHARD_SIZE])
def test_a_possible_shard_size_is_given_back(size: int) -> None:
    assert check_shard_size(size) == size


@pytest.mark.parametrize("size", [-1, 0, MAX_SHARD_SIZE + 1])
def test_an_impossible_shard_size_is_refused_by_name_value_and_range(size: int) -> None:
    with pytest.raises(ArgumentError, match=rf"^shard size {size}: must be from 1 to 16,777,216 characters$"):
        check_shard_size(size)
