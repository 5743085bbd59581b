"""Literals without which a regular expression cannot match, found from its parse tree.

Every match has, within the characters that it takes, at least one literal of each of some sets. What is optional, and
what only looks around, requires nothing.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from distributed_prompt.text.literal import Literal
from distributed_prompt.text.reach import parsed, reach

_MOST_LITERALS = 16
_MOST_SETS = 8


def required(pattern: "re.Pattern[str]") -> tuple[Literal, ...]:
    """Literals of which each match has at least one, the best such set; none at all if there is no such."""
    return next(iter(requirements(pattern)), ())


@lru_cache(512)
def requirements(pattern: "re.Pattern[str]") -> tuple[tuple[Literal, ...], ...]:
    """Sets of literals of each of which every match has at least one, the best first.

    Where a match cannot go on over a newline, the literals know what else must be in their line.
    """
    sets = sorted(_of_sequence(parsed(pattern), pattern.flags), key=_worth, reverse=True)[:_MOST_SETS]
    single = [next(iter(literals)) for literals in sets if len(literals) == 1] if _is_within_line(pattern) else []
    return tuple(
        tuple(
            Literal(text, ignore_case, tuple(Literal(*other) for other in single if other != (text, ignore_case)))
            for text, ignore_case in sorted(literals)
        )
        for literals in sets
    )


def _is_within_line(pattern: "re.Pattern[str]") -> bool:
    """Whether nothing in a pattern matches a newline."""
    limits = reach(pattern)
    return limits is not None and limits.within is not None and limits.within.match("\n") is None


_Literals = frozenset[tuple[str, bool]]
_Sets = frozenset[_Literals]
_NOTHING: _Sets = frozenset()


def _of_sequence(nodes: Any, flags: int) -> _Sets:
    """What the nodes require, together: all of them are matched."""
    found: set[_Literals] = set()
    ignore_case = bool(flags & re.IGNORECASE)
    run = ""
    for operator, argument in [*nodes, ("END", None)]:
        name = str(operator)
        if name == "LITERAL":
            run += chr(argument)
            continue
        explain = _EXPLAINED.get(name)
        found |= explain(argument, flags) if explain else _NOTHING
        # What takes no characters does not part those on its sides.
        if run and name != "AT":
            found.add(frozenset({(run, ignore_case)}))
            run = ""
    return frozenset(found)


def _worth(literals: _Literals) -> tuple[int, int, list[tuple[str, bool]]]:
    """That whose shortest literal is the longest is the best; of such, the one with the fewest; of such, any."""
    return min(len(text) for text, _ in literals), -len(literals), sorted(literals)


def _of_branch(argument: Any, flags: int) -> _Sets:
    choices = [_of_sequence(branch, flags) for branch in argument[1]]
    if not all(choices):
        return _NOTHING
    union = frozenset[tuple[str, bool]]().union(*(max(choice, key=_worth) for choice in choices))
    return frozenset({union}) if len(union) <= _MOST_LITERALS else _NOTHING


def _of_group(argument: Any, flags: int) -> _Sets:
    _, turned_on, turned_off, nodes = argument
    return _of_sequence(nodes, (flags | turned_on) & ~turned_off)


def _of_repeat(argument: Any, flags: int) -> _Sets:
    low, _, nodes = argument
    return _of_sequence(nodes, flags) if low else _NOTHING


_EXPLAINED: dict[str, Callable[[Any, int], _Sets]] = {
    "ATOMIC_GROUP": _of_sequence,
    "BRANCH": _of_branch,
    "MAX_REPEAT": _of_repeat,
    "MIN_REPEAT": _of_repeat,
    "POSSESSIVE_REPEAT": _of_repeat,
    "SUBPATTERN": _of_group,
}
