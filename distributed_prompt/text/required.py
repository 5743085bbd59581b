"""Literals without which a regular expression cannot match, found from its parse tree.

Every match has, within the characters that it takes, at least one literal of the set. What is optional, and what only
looks around, requires nothing.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from distributed_prompt.text.literal import Literal
from distributed_prompt.text.reach import parsed

_MOST_LITERALS = 16


@lru_cache(512)
def required(pattern: "re.Pattern[str]") -> tuple[Literal, ...]:
    """Literals of which each match has at least one; none at all if there are no such."""
    tree = parsed(pattern)
    literals = _of_sequence(tree, pattern.flags)
    return tuple(Literal(text, ignore_case=ignore_case) for text, ignore_case in sorted(literals))


_Literals = frozenset[tuple[str, bool]]
_NOTHING: _Literals = frozenset()


def _of_sequence(nodes: Any, flags: int) -> _Literals:
    """The best of what the nodes require: all of them are matched."""
    best = _NOTHING
    ignore_case = bool(flags & re.IGNORECASE)
    run = ""
    for operator, argument in nodes:
        name = str(operator)
        if name == "LITERAL":
            run += chr(argument)
            continue
        explain = _EXPLAINED.get(name)
        found = explain(argument, flags) if explain else _NOTHING
        best = _better(best, frozenset({(run, ignore_case)}) if run else _NOTHING, found)
        # What takes no characters does not part those on its sides.
        run = run if name == "AT" else ""
    return _better(best, frozenset({(run, ignore_case)}) if run else _NOTHING)


def _better(*choices: _Literals) -> _Literals:
    """The choice whose shortest literal is the longest; of such, the one with the fewest."""
    return max(choices, key=lambda choice: (min((len(text) for text, _ in choice), default=0), -len(choice)))


def _of_branch(argument: Any, flags: int) -> _Literals:
    choices = [_of_sequence(branch, flags) for branch in argument[1]]
    union = frozenset().union(*choices)
    return union if all(choices) and len(union) <= _MOST_LITERALS else _NOTHING


def _of_group(argument: Any, flags: int) -> _Literals:
    _, turned_on, turned_off, nodes = argument
    return _of_sequence(nodes, (flags | turned_on) & ~turned_off)


def _of_repeat(argument: Any, flags: int) -> _Literals:
    low, _, nodes = argument
    return _of_sequence(nodes, flags) if low else _NOTHING


_EXPLAINED: dict[str, Callable[[Any, int], _Literals]] = {
    "ATOMIC_GROUP": _of_sequence,
    "BRANCH": _of_branch,
    "MAX_REPEAT": _of_repeat,
    "MIN_REPEAT": _of_repeat,
    "POSSESSIVE_REPEAT": _of_repeat,
    "SUBPATTERN": _of_group,
}
