"""Case mappings of texts in parts, where what lies around a character decides."""

from itertools import product

import pytest

from distributed_prompt import DistributedPrompt

pytestmark = pytest.mark.thorough


def mapped(text: str, shard_size: int, method: str) -> str:
    prompt = DistributedPrompt.from_text(text, shard_size=shard_size)
    prompt.view_threshold = 0
    return "".join(getattr(prompt, method)())


@pytest.mark.parametrize("method", ["lower", "title", "capitalize", "swapcase"])
def test_every_short_text_of_sigmas_and_what_decides_about_them_is_mapped_as_by_str(method: str) -> None:
    for length in range(1, 5):
        for letters in product("a\u03a3'1", repeat=length):
            text = "".join(letters)
            for shard_size in (1, 2):
                assert mapped(text, shard_size, method) == getattr(text, method)(), (text, shard_size)


@pytest.mark.parametrize("ignorable", [62, 63, 64, 65, 127, 128, 129, 200])
@pytest.mark.parametrize(("before", "behind"), list(product(("", "a", "1", "A1", "1A"), repeat=2)))
def test_a_sigma_is_decided_by_what_lies_far_away(ignorable: int, before: str, behind: str) -> None:
    for text in (
        before + "'" * ignorable + "\u03a3" + behind,
        before + "\u03a3" + "'" * ignorable + behind,
        before + "'" * ignorable + "\u03a3" + "'" * ignorable + behind,
    ):
        for method in ("lower", "title"):
            for shard_size in (1 + len(before) + ignorable // 2, len(before) + ignorable):
                assert mapped(text, shard_size, method) == getattr(text, method)(), (text, shard_size)
