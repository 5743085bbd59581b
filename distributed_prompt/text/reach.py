"""How far a match attempt of a regular expression can read, found from its parse tree.

An attempt that begins at an offset reads at most ``left`` characters before it. To the right it is only the unbounded
repeats (``.*``, ``[^,]+``) that can go on for ever, and only over characters that they match, the *endless* ones; all
other parts of the pattern take at most ``others`` characters together. So behind ``others + 1`` characters that are not
endless no attempt can go on, whatever follows. A pattern without unbounded repeats has no endless characters at all.

The tree is that of the standard library's own parser, so whatever it does not explain is not windowed.
"""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]  # private, but the same from 3.11 to 3.13
from typing import Any, NamedTuple

_LIMIT = 2**16
_TYPES = re.ASCII | re.LOCALE | re.UNICODE
# What ``$`` and ``\b`` look at behind the last character.
_EDGE = 2
_SINGLE = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})


@dataclass(frozen=True)
class Reach:
    """What a match attempt can read.

    Attributes:
        left: characters before its beginning.
        others: characters that are not endless ones, up to its end.
        endless: matches a run of characters that unbounded repeats can match; None if there are no such repeats.
        within: matches a run of characters that some part of the pattern can match, behind which no attempt goes on;
            None if it cannot be said.
        is_nested: whether unbounded repeats have others inside. Attempts may then take exponential time to fail; in a
            window, those would that begin in the context, where the text is cut, and that succeed in the whole text.
        pattern: whose attempts these are.
    """

    left: int
    others: int
    endless: "re.Pattern[str] | None"
    within: "re.Pattern[str] | None" = None
    is_nested: bool = False
    pattern: "re.Pattern[str] | None" = None

    def __reduce__(self) -> tuple[object, ...]:
        """The pattern: patterns that are made of parts of others cannot be pickled."""
        return reach, (self.pattern,)

    def context(self, text: str) -> int | None:
        """How many characters of what follows decide all attempts that begin before; None if the text is too short.

        Of a reversed text: how many characters before an offset are all that attempts can take that get that far.
        """
        end = 0
        if self.within:
            run = self.within.match(text)
            end = run.end() if run else 0
            if end + _EDGE <= len(text):
                return end + _EDGE
            end = 0
        if self.endless is None:
            end = self.others + 1
        else:
            for _ in range(self.others + 1):
                run = self.endless.match(text, end)
                end = (run.end() if run else end) + 1
                if end > len(text):
                    break
        return end + _EDGE if end + _EDGE <= len(text) else None


@lru_cache(512)
def reach(pattern: "re.Pattern[str]") -> Reach | None:
    """What attempts of a pattern can read; None if that may be anything."""
    tree = parsed(pattern)
    analysis = _Analysis()
    try:
        extent = analysis.sequence(tree, pattern.flags, endless=False)
        others = extent.others + analysis.ahead
        if max(others, extent.left) > _LIMIT:
            return None
        endless = analysis.runs(analysis.sets, pattern.flags)
        within = analysis.runs(analysis.items, pattern.flags) if analysis.is_within else None
        return Reach(extent.left + 1, others, endless, within, analysis.is_nested, pattern)
    except _UnlimitedError:
        return None


def parsed(pattern: "re.Pattern[str]") -> Any:
    """The parse tree of a pattern, which has been compiled before, and warned of then."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)


class _UnlimitedError(Exception):
    """An attempt may read anything."""


class _Extent(NamedTuple):
    """Characters that are not endless, those read before, and whether there are endless ones."""

    others: int = 0
    left: int = 0
    is_endless: bool = False


class _Analysis:
    """Collects endless characters on the way.

    Attributes:
        sets: the items of endless repeats, with the flags that hold for each.
        items: all items.
        is_within: whether nothing else is matched, whatever groups are referred to.
        is_nested: as of :class:`Reach`.
        ahead: characters that are not endless, of all look-aheads together: they read on from wherever an attempt is.
    """

    def __init__(self) -> None:
        self.ahead = 0
        self.is_nested = False
        self.is_within = True
        self.sets: list[tuple[int, Any]] = []
        self.items: list[tuple[int, Any]] = []
        self._groups: dict[int, _Extent] = {}

    @staticmethod
    def runs(items: list[tuple[int, Any]], flags: int) -> "re.Pattern[str] | None":
        """What matches a run of characters each of which is one of the items; None without any."""
        if not items:
            return None
        state = _parser.State()
        state.flags = flags & ~re.DEBUG
        branches = []
        for own_flags, node in items:
            item = _parser.SubPattern(state, [node])
            turned_on, turned_off = own_flags & ~flags, flags & ~own_flags
            scoped = (_constants.SUBPATTERN, (None, turned_on, turned_off, item))
            branches.append(_parser.SubPattern(state, [scoped]))
        choice = _parser.SubPattern(state, [(_constants.BRANCH, (None, branches))])
        repeat = (_constants.POSSESSIVE_REPEAT, (1, _constants.MAXREPEAT, choice))
        compiled: re.Pattern[str] = _compiler.compile(_parser.SubPattern(state, [repeat]), flags & ~re.DEBUG)
        return compiled

    def sequence(self, nodes: Any, flags: int, *, endless: bool) -> _Extent:
        extents = [self._node(operator, argument, flags, endless=endless) for operator, argument in nodes]
        return _Extent(
            sum(extent.others for extent in extents),
            max((extent.left for extent in extents), default=0),
            any(extent.is_endless for extent in extents),
        )

    def _node(self, operator: Any, argument: Any, flags: int, *, endless: bool) -> _Extent:
        name = str(operator)
        if name in _SINGLE:
            return self._single((operator, argument), flags, endless=endless)
        explain = _EXPLAINED.get(name)
        if explain is None:
            raise _UnlimitedError
        return explain(self, argument, flags, endless)

    def _single(self, node: tuple[Any, Any], flags: int, *, endless: bool) -> _Extent:
        entry = flags & (re.IGNORECASE | _TYPES | re.DOTALL), node
        if entry not in self.items:
            self.items.append(entry)
        if not endless:
            return _Extent(others=1)
        if str(node[0]) == "ANY" and flags & re.DOTALL:
            raise _UnlimitedError
        if entry not in self.sets:
            self.sets.append(entry)
        return _Extent(is_endless=True)

    def edge(self, _argument: Any, _flags: int, _endless: bool, /) -> _Extent:
        return _Extent(left=1)

    def branch(self, argument: Any, flags: int, endless: bool, /) -> _Extent:
        return _widest([self.sequence(branch, flags, endless=endless) for branch in argument[1]])

    def group(self, argument: Any, flags: int, endless: bool, /) -> _Extent:
        number, turned_on, turned_off, nodes = argument
        if turned_on & _TYPES:
            flags &= ~_TYPES
        extent = self.sequence(nodes, (flags | turned_on) & ~turned_off, endless=endless)
        if number:
            self._groups[number] = extent
        return extent

    def atomic(self, argument: Any, flags: int, endless: bool, /) -> _Extent:
        return self.sequence(argument, flags, endless=endless)

    def repeat(self, argument: Any, flags: int, endless: bool, /) -> _Extent:
        _, high, nodes = argument
        if high is _constants.MAXREPEAT and endless:
            self.is_nested = True
        if high is _constants.MAXREPEAT or endless:
            # What is repeated without end takes endless characters only.
            return self.sequence(nodes, flags, endless=True)
        extent = self.sequence(nodes, flags, endless=False)
        return extent._replace(others=extent.others * high)

    def reference(self, argument: Any, flags: int, endless: bool, /) -> _Extent:
        extent = self._groups.get(argument)
        if extent is None or endless or (extent.is_endless and flags & re.IGNORECASE):
            raise _UnlimitedError
        if flags & re.IGNORECASE:
            self.is_within = False
        return extent._replace(left=0)

    def conditional(self, argument: Any, flags: int, endless: bool, /) -> _Extent:
        branches = [branch for branch in argument[1:] if branch]
        return _widest([self.sequence(branch, flags, endless=endless) for branch in branches])

    def look_around(self, argument: Any, flags: int, _endless: bool, /) -> _Extent:
        direction, nodes = argument
        extent = self.sequence(nodes, flags, endless=False)
        if direction < 0:
            return _Extent(left=extent.left + extent.others)
        self.ahead += extent.others
        return _Extent(left=extent.left, is_endless=extent.is_endless)

    def failure(self, _argument: Any, _flags: int, _endless: bool, /) -> _Extent:
        return _Extent()


_EXPLAINED: dict[str, Callable[[_Analysis, Any, int, bool], _Extent]] = {
    "ASSERT": _Analysis.look_around,
    "ASSERT_NOT": _Analysis.look_around,
    "AT": _Analysis.edge,
    "ATOMIC_GROUP": _Analysis.atomic,
    "BRANCH": _Analysis.branch,
    "FAILURE": _Analysis.failure,
    "GROUPREF": _Analysis.reference,
    "GROUPREF_EXISTS": _Analysis.conditional,
    "MAX_REPEAT": _Analysis.repeat,
    "MIN_REPEAT": _Analysis.repeat,
    "POSSESSIVE_REPEAT": _Analysis.repeat,
    "SUBPATTERN": _Analysis.group,
}


def _widest(extents: list[_Extent]) -> _Extent:
    return _Extent(
        max((extent.others for extent in extents), default=0),
        max((extent.left for extent in extents), default=0),
        any(extent.is_endless for extent in extents),
    )
