"""CPython's own tests of strings, those that its ``UserString`` must pass, on prompts of several shard sizes.

They are imported from the running interpreter; where it came without its tests, there is nothing to run.
"""

import os
import unittest
from itertools import product

import pytest

from distributed_prompt import DistributedPrompt
from distributed_prompt.backends.memory_backend import MemoryBackend
from distributed_prompt.prompt import VIEW_THRESHOLD

string_tests = pytest.importorskip("test.string_tests", reason="this Python came without its own tests")
pytestmark = pytest.mark.thorough
BASES: tuple[type, ...] = (
    (string_tests.StringLikeTest,)
    if hasattr(string_tests, "StringLikeTest")  # 3.13
    else (string_tests.CommonTest, string_tests.MixinStrUnicodeUserStringTest)
)


def prompts(size: int, view_threshold: int = VIEW_THRESHOLD) -> type[DistributedPrompt]:
    """Prompts of one shard size, made as strings are: what the tests take for their kind of string."""

    class Prompt(DistributedPrompt):
        def __init__(self, text: object = "") -> None:
            super().__init__(MemoryBackend(str(text), size))
            self.view_threshold = view_threshold

    return Prompt


# Minutes at a few characters a shard, so only in `make soak` there.
SLOW = ("test_count", "test_find", "test_find_periodic_pattern", "test_find_with_memory", "test_rfind")
# Nine million characters, several times: hours at a few characters a shard.
SLOWEST = ("test_adaptive_find",)
# Cuts a slice of a prompt, which is an ordinary string, whose own `find` takes no prompt.
NEVER = ("test_find_many_lengths",)

FULL = 64
soak = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
for each, threshold in product((1, 2, 3, FULL) if soak else (1, 3, FULL), (VIEW_THRESHOLD, 0)):
    # With a threshold of 0 whatever is not empty comes out lazy.
    name = f"Test{'' if threshold else 'Lazy'}ShardsOf{each}"
    left_out = NEVER + (() if soak or (each == FULL and threshold) else SLOW) + (() if each == FULL else SLOWEST)
    # Subjects, arguments and members of lists alike are prompts.
    kind = prompts(each, threshold)
    globals()[name] = type(name, (*BASES, unittest.TestCase), {"type2test": kind} | dict.fromkeys(left_out))
