"""Regular expressions made into such as cannot take a newline, from their parse trees.

To such a pattern a newline is what the edge of a text is, if ``^`` and ``$`` match there too: so it finds in many lines
at once what the one it was made of finds in each of them.
"""

import re
import sys
from collections.abc import Callable, Iterable
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]  # private, but the same from 3.11 to 3.13
from typing import Any

from distributed_prompt.text.reach import parsed

_NEWLINE = ord("\n")
_Node = tuple[Any, Any]
_EDGES = {
    _constants.AT_BEGINNING_STRING: _constants.AT_BEGINNING,
    _constants.AT_END_STRING: _constants.AT_END,
}
# Versions differ in whether this matches in an empty text, and so in an empty line.
_MATCHES_NOTHING = re.search(r"\B", "") is not None
_EMPTY_LINE = [(_constants.AT, _constants.AT_BEGINNING), (_constants.AT, _constants.AT_END)]
_OPPOSITES = {
    _constants.CATEGORY_SPACE: _constants.CATEGORY_NOT_SPACE,
    _constants.CATEGORY_NOT_DIGIT: _constants.CATEGORY_DIGIT,
    _constants.CATEGORY_NOT_WORD: _constants.CATEGORY_WORD,
}
_SETS = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})
_LOCAL = frozenset({*_SETS, "BRANCH", "SUBPATTERN", "MAX_REPEAT", "MIN_REPEAT"})
_INNER: dict[str, Callable[[Any], Iterable[Any]]] = {
    "ASSERT": lambda argument: argument[1:],
    "ASSERT_NOT": lambda argument: argument[1:],
    "ATOMIC_GROUP": lambda argument: [argument],
    "BRANCH": lambda argument: argument[1],
    "GROUPREF_EXISTS": lambda argument: filter(None, argument[1:]),
    "MAX_REPEAT": lambda argument: argument[2:],
    "MIN_REPEAT": lambda argument: argument[2:],
    "POSSESSIVE_REPEAT": lambda argument: argument[2:],
    "SUBPATTERN": lambda argument: argument[3:],
}


def within_lines(pattern: "re.Pattern[str]") -> "tuple[re.Pattern[str] | None, bool]":
    """A pattern that finds in each line of a text what the given one finds in that line alone.

    Returns:
        The pattern, None if the given one has what is not known; and whether all that it has takes characters: what
        such a pattern finds in a text it finds in each longer one as well.
    """
    tree = parsed(pattern)
    try:
        names = _keep_within_lines(tree)
    except _UnknownNodeError:
        return None, False
    flags = pattern.flags & ~(re.DOTALL | re.DEBUG) | re.MULTILINE
    tree.state.flags = flags
    return _compiler.compile(tree, flags), names <= _LOCAL


class _UnknownNodeError(Exception):
    """There is something in a pattern that is not known."""


def _keep_within_lines(nodes: Any) -> set[str]:
    """Change a parse tree in place; the names of what it has."""
    names = set()
    kept: list[_Node] = []
    for operator, argument in nodes.data:
        name = str(operator)
        names.add(name)
        if name in _SETS:
            kept += _without_newline(nodes.state, operator, argument)
        elif name == "AT":
            kept.append((operator, _EDGES.get(argument, argument)))
            if argument is _constants.AT_NON_BOUNDARY and not _MATCHES_NOTHING:
                kept.append((_constants.ASSERT_NOT, (1, _parser.SubPattern(nodes.state, [*_EMPTY_LINE]))))
        elif name in _INNER:
            for inner in _INNER[name](argument):
                names |= _keep_within_lines(inner)
            kept.append((operator, _with_own_flags(argument) if name == "SUBPATTERN" else argument))
        elif name in {"FAILURE", "GROUPREF"}:
            kept.append((operator, argument))
        else:
            raise _UnknownNodeError
    nodes.data[:] = kept
    return names


def _with_own_flags(argument: Any) -> Any:
    """A group whose flags leave alone what newlines mean."""
    group, turned_on, turned_off, nodes = argument
    return group, turned_on & ~re.DOTALL, turned_off & ~re.MULTILINE, nodes


def _without_newline(state: Any, operator: Any, argument: Any) -> list[_Node]:
    """What takes one character, but no newline."""
    negation, newline = (_constants.NEGATE, None), (_constants.LITERAL, _NEWLINE)
    name = str(operator)
    if name == "NOT_LITERAL":
        return [(_constants.IN, [negation, (_constants.LITERAL, argument), newline])]
    if name == "LITERAL" and argument == _NEWLINE:
        return [(_constants.IN, [negation, (_constants.RANGE, (0, sys.maxunicode))])]
    if name == "IN" and argument[0] == negation:
        return [(operator, [*argument, newline])]
    if name != "IN" or not any(_takes_newline(*item) for item in argument):
        return [(operator, argument)]
    kind, category = argument[0]
    if len(argument) == 1 and category in _OPPOSITES:
        return [(operator, [negation, (kind, _OPPOSITES[category]), newline])]
    return [(_constants.ASSERT_NOT, (1, _parser.SubPattern(state, [newline]))), (operator, argument)]


def _takes_newline(kind: Any, argument: Any) -> bool:
    """Whether an item of a set is one of those that match a newline."""
    if kind is _constants.RANGE:
        return bool(argument[0] <= _NEWLINE <= argument[1])
    return argument == _NEWLINE if kind is _constants.LITERAL else argument in _OPPOSITES
