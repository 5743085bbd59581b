"""CPython's own tests of strings, those that its ``UserString`` must pass, on prompts of several shard sizes.

They are imported from the running interpreter; where it came without its tests, there is nothing to run.
"""

import os
import unittest

import pytest

from distributed_prompt import DistributedPrompt
from distributed_prompt.backends.memory_backend import MemoryBackend

string_tests = pytest.importorskip("test.string_tests", reason="this Python came without its own tests")
BASES: tuple[type, ...] = (
    (string_tests.StringLikeTest,)
    if hasattr(string_tests, "StringLikeTest")  # 3.13
    else (string_tests.CommonTest, string_tests.MixinStrUnicodeUserStringTest)
)


def prompts(size: int) -> type[DistributedPrompt]:
    """Prompts of one shard size, made as strings are: what the tests take for their kind of string."""

    class Prompt(DistributedPrompt):
        def __init__(self, text: object = "") -> None:
            super().__init__(MemoryBackend(str(text), size))

    return Prompt


# Minutes at one and two characters a shard, so only in `make soak` there.
SLOW = ("test_count", "test_find", "test_find_periodic_pattern", "test_rfind")

for each in (1, 2, 3, 64):
    name = f"TestShardsOf{each}"
    left_out = SLOW if each < 3 and os.environ.get("HYPOTHESIS_PROFILE") != "soak" else ()
    # Subjects, arguments and members of lists alike are prompts.
    globals()[name] = type(name, (*BASES, unittest.TestCase), {"type2test": prompts(each)} | dict.fromkeys(left_out))
