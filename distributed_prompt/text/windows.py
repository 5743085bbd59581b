"""Matches of a regular expression in a text in parts, exactly those of the standard library in the whole text.

A part is matched together with as much before and behind it as any attempt that begins in it can read; a match that
begins later is found with a later part. A fixed overlap would not do: how much is read depends on the pattern, and for
unbounded repeats on the text.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from distributed_prompt.text.parts import Part, beginning, ending
from distributed_prompt.text.reach import Reach
from distributed_prompt.text.required import required

_FIRST_GLANCE = 256
# Characters behind a part that are looked at before giving up.
CONTEXT_LIMIT = 2**20


class ShiftedMatch(NamedTuple):
    """A match, and what to add to its offsets to count from the part's beginning."""

    match: "re.Match[str]"
    shift: int


class TooFarError(Exception):
    """What a match attempt may read goes on for more characters than the limit."""


class Windows:
    """One pass over parts.

    Attributes:
        skip: characters of the next part that a match has taken already.
    """

    def __init__(self, pattern: "re.Pattern[str]", reach: Reach, limit: int = CONTEXT_LIMIT) -> None:
        """Take a pattern and what its attempts can read."""
        self.skip = 0
        self._pattern = pattern
        self._reach = reach
        self._limit = limit
        self._required = required(pattern)

    def matches(self, part: Part) -> Iterator[ShiftedMatch]:
        """Those that begin in a part; at its end, too, if it is the last. To be taken whole before the next part.

        Raises:
            TooFarError: the attempts that begin in it cannot be decided.
        """
        text = part.text
        if self.skip > len(text) or (self.skip == len(text) and next(part.after(), "")):
            self.skip -= len(text)
            return
        context, is_last = self._context(part)
        if self._required and not any(literal.occurs(text + context) for literal in self._required):
            self.skip = 0
            return
        yield from self._matches(ending(part.before(), self._reach.left), text, context, is_last=is_last)

    def at_end(self, before: str) -> Iterator[ShiftedMatch]:
        """The empty match at the end of a text, if there is one, for a search that begins there."""
        return self._matches(before, "", "", is_last=True)

    def _matches(self, before: str, text: str, context: str, *, is_last: bool) -> Iterator[ShiftedMatch]:
        base = len(before)
        stop = base + len(text)
        end = base + self.skip
        scanner = self._pattern.scanner(before + text + context, end)  # type: ignore[attr-defined]  # in all versions
        while match := scanner.search():
            start = match.start()
            if start > stop or (start == stop and not is_last):
                break
            end = match.end()
            yield ShiftedMatch(match, -base)
        self.skip = max(0, end - stop)

    def _context(self, part: Part) -> tuple[str, bool]:
        """What follows a part as far as it can matter, and whether the text ends there."""
        wanted = max(_FIRST_GLANCE, self._reach.others + 4)
        while True:
            text = beginning(part.after(), wanted)
            needed = self._reach.context(text)
            if needed is not None:
                return text[:needed], False
            if len(text) < wanted:
                return text, not text
            if wanted >= self._limit:
                raise TooFarError
            wanted = min(4 * wanted, self._limit)
