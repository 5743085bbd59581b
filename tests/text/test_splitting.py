"""``replace`` and ``split`` of every short text in parts: what a border cuts is counted once."""

from itertools import product
from typing import Any

import pytest

from distributed_prompt import DistributedPrompt

pytestmark = pytest.mark.thorough
TEXTS = ["".join(letters) for length in range(1, 5) for letters in product("ab ", repeat=length)]


def lazy(text: str, shard_size: int) -> Any:
    prompt = DistributedPrompt.from_text(text, shard_size=shard_size)
    prompt.view_threshold = 0
    return prompt


@pytest.mark.parametrize("old", ["a", "aa", "ab", "aba", ""])
@pytest.mark.parametrize("count", [-1, 0, 1, 2, 3])
def test_so_many_occurrences_are_replaced_as_by_str(old: str, count: int) -> None:
    for text, shard_size in product(TEXTS, (2, 3)):
        for new in ("", "xaa"):
            assert "".join(lazy(text, shard_size).replace(old, new, count)) == text.replace(old, new, count)


@pytest.mark.parametrize("separator", [None, " ", "a", "aa", "aba"])
@pytest.mark.parametrize("most", [-1, 0, 1, 2])
def test_fields_are_counted_and_cut_as_by_str(separator: str | None, most: int) -> None:
    for text, shard_size in product(TEXTS, (1, 2)):
        expected = text.split(separator, most)
        fields = lazy(text, shard_size).split(separator, most)
        assert len(fields) == len(expected), (text, shard_size)
        assert [str(field) for field in fields] == expected, (text, shard_size)
        fields = lazy(text, shard_size).split(separator, most)
        assert ["".join(fields[number]) for number in reversed(range(len(fields)))] == expected[::-1], (
            text,
            shard_size,
        )
