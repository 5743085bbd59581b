"""Matches of a regular expression found region by region, perhaps in other processes, and made one row again.

A region is searched as if no match reached into it. Where one does, the search is done again from its end on until it
comes to a match that was found the other way as well: from there on both go the same way, for what a search finds next
depends on nothing but where the last match was.
"""

import pickle
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any, NamedTuple, Protocol

from distributed_prompt.derived.walk import Range, walk
from distributed_prompt.mapping import Span, text_there
from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.text.reach import Reach
from distributed_prompt.text.windows import TooFarError, Windows
from distributed_prompt.workers import map_ahead

_REGION_CHARACTERS = 2**22


class AnyMatch(Protocol):
    """What a match in a prompt is made of: a match of the standard library, or what was sent of one."""

    @property
    def regs(self) -> tuple[Span, ...]:
        """Where each group is, the whole match first."""

    @property
    def lastindex(self) -> int | None:
        """The number of the group that was closed last."""

    def group(self) -> Any:
        """The text."""

    def groups(self) -> tuple[Any, ...]:
        """Those of the groups."""


class SentMatch(NamedTuple):
    """What another process found, in the offsets of the whole text."""

    regs: tuple[Span, ...]
    texts: tuple[Any, ...]
    lastindex: int | None

    def group(self) -> Any:
        """As of ``re.Match``."""
        return self.texts[0]

    def groups(self) -> tuple[Any, ...]:
        """As of ``re.Match``."""
        return self.texts[1:]


class RegionSearch:
    """Finds the matches that begin in a region of a prompt, which pickles as what opens it elsewhere."""

    def __init__(self, pattern: "re.Pattern[str]", limits: Reach, string: DistributedPrompt, last: int) -> None:
        """Take the pattern and how far its attempts reach; and the prompt, and where it is to end."""
        self._pattern = pattern
        self._limits = limits
        self._string = string
        self._last = last
        self._pickled = b""

    def _source(self) -> Range:
        characters, base, _ = self._string._range()
        return Range(characters, base, base + self._last)

    def matches(self, start: int, stop: int, end: int) -> Iterator[SentMatch]:
        """Those that begin in a region, at the end of the last match or behind it.

        Raises:
            TooFarError: what begins in some part of it cannot be decided.
        """
        source = self._source()
        windows = Windows(self._pattern, self._limits)
        windows.skip = max(0, end - start)
        for part in walk(source, source.start + start, source.start + stop):
            for found in windows.matches(part):
                yield _sent(found.match, part.start - source.start + found.shift)

    def __call__(self, region: Span) -> list[SentMatch] | None:
        """All matches of a region by itself; None if they cannot be decided."""
        start, stop = region
        try:
            return list(self.matches(start, stop, start))
        except TooFarError:
            return None

    def all(self, first: int, executor: Executor) -> Iterator[SentMatch]:
        """All matches from an offset on.

        Raises:
            TooFarError: as above.
        """
        regions = self._regions(first)
        found = map_ahead(_Named(self), regions, executor)
        return joined(found, self.matches)

    def _regions(self, first: int) -> Iterator[Span]:
        """Consecutive ones that end where parts do."""
        source = self._source()
        length = source.characters.length_up_to(source.stop) - source.start
        start = first
        while start < length:
            stop = min(source.part_end(source.start + start, _REGION_CHARACTERS) - source.start, length)
            yield start, stop
            start = stop

    def __reduce__(self) -> tuple[object, ...]:
        """Pattern, and the prompt as what opens it."""
        self._pickled = self._pickled or pickle.dumps(self._string)
        return _search_there, (self._pattern, self._limits, self._pickled, self._last)


def _search_there(pattern: "re.Pattern[str]", limits: Reach, string: bytes, last: int) -> RegionSearch:
    return RegionSearch(pattern, limits, text_there(string), last)


class _Named:
    """Says of what is found in which region it was."""

    def __init__(self, search: RegionSearch) -> None:
        self._search = search

    def __call__(self, region: Span) -> tuple[Span, list[SentMatch] | None]:
        return region, self._search(region)


def _sent(match: AnyMatch, shift: int) -> SentMatch:
    """What to send of a match, and what to add to its offsets."""
    regs = tuple((start + shift, stop + shift) if start >= 0 else (start, stop) for start, stop in match.regs)
    return SentMatch(regs, (match.group(), *match.groups()), match.lastindex)


def joined(
    regions: Iterable[tuple[Span, list[SentMatch] | None]], search: Callable[[int, int, int], Iterator[SentMatch]]
) -> Iterator[SentMatch]:
    """All matches of consecutive regions, left to right.

    Args:
        regions: where each is, and what was found there.
        search: finds the matches that begin in a region, given its start and stop, and where the last match ended.

    Raises:
        TooFarError: the matches of a region are not known.
    """
    end = 0
    for (start, stop), found in regions:
        if found is None:
            raise TooFarError
        if end <= start:
            for match in found:
                yield match
                end = match.regs[0][1]
            continue
        known = {match.regs[0]: number for number, match in enumerate(found)}
        for match in search(start, stop, end):
            yield match
            end = match.regs[0][1]
            number = known.get(match.regs[0])
            if number is not None:
                for other in found[number + 1 :]:
                    yield other
                    end = other.regs[0][1]
                break
