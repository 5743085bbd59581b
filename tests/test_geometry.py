"""How a text is cut into shards, and what arguments mean as offsets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt.errors import ArgumentError
from distributed_prompt.geometry import (
    MAX_SHARD_SIZE,
    check_limit,
    check_shard_size,
    resolve,
    shard_characters,
    shard_count,
)
from tests.strategies import bounds, shard_sizes, texts


@given(st.data(), texts)
def test_shards_count_and_measure_what_slicing_cuts(data: st.DataObject, text: str) -> None:
    size = data.draw(shard_sizes(text))
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    assert shard_count(len(text), size) == len(parts)
    assert [shard_characters(shard, len(text), size) for shard in range(len(parts))] == [len(part) for part in parts]


@given(st.data(), texts)
def test_resolved_offsets_search_as_the_originals_do(data: st.DataObject, text: str) -> None:
    start, end = data.draw(bounds(text)), data.draw(bounds(text))
    first, last = resolve(start, 0, len(text)), resolve(end, len(text), len(text))
    assert first >= 0
    assert last >= 0
    for needle in ("", "a", "\n"):
        assert text.find(needle, first, last) == text.find(needle, start, end)
        assert text.count(needle, first, last) == text.count(needle, start, end)


@pytest.mark.parametrize(("offset", "expected"), [(-1, 2), (-3, 0), (-4, 0), (0, 0), (2, 2), (None, 7)])
def test_a_negative_offset_counts_from_the_end(offset: int | None, expected: int) -> None:
    assert resolve(offset, 7, 3) == expected


def test_an_offset_beyond_the_end_stays_beyond_it() -> None:
    assert resolve(4, 0, 3) == 4


@pytest.mark.parametrize("size", [1, 2, MAX_SHARD_SIZE])
def test_a_possible_shard_size_is_given_back(size: int) -> None:
    assert check_shard_size(size) == size


@pytest.mark.parametrize("size", [-1, 0, MAX_SHARD_SIZE + 1])
def test_an_impossible_shard_size_is_refused_by_name_value_and_range(size: int) -> None:
    with pytest.raises(ArgumentError, match=rf"^shard size {size}: must be from 1 to 16,777,216 characters$"):
        check_shard_size(size)


@pytest.mark.parametrize("limit", [0, 1, 2**70, True])
def test_a_possible_limit_is_given_back(limit: int) -> None:
    assert check_limit("limit", limit) == limit


def test_an_impossible_limit_is_refused_by_name_and_value() -> None:
    with pytest.raises(ArgumentError, match=r"^limit -1: must be 0 or more$"):
        check_limit("limit", -1)
    with pytest.raises(TypeError, match=r"^limit must be an integer, not float$"):
        check_limit("limit", 1.0)  # type: ignore[arg-type]
