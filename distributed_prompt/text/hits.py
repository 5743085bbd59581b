"""Matches of a regular expression found around the literals without which it cannot match.

Every match takes an occurrence of one of some literals, a *hit*. So only attempts that can get to a hit are made: those
that begin in the few characters before it that an attempt may take, with as much behind it as such an attempt may read.
"""

import re
from collections.abc import Iterator

from distributed_prompt.text.literal import Literal
from distributed_prompt.text.parts import Part, beginning, ending
from distributed_prompt.text.pieces import encode
from distributed_prompt.text.reach import Reach
from distributed_prompt.text.windows import CONTEXT_LIMIT, ShiftedMatch, TooFarError

_FIRST_GLANCE = 128
# Where there are more, one search of the whole part is faster than one around each.
_CHARACTERS_A_HIT = 160


def hits_in(part: Part, literals: tuple[Literal, ...], *, may_go_on: bool) -> list[int]:
    """Where in a part occurrences of some literals begin.

    Args:
        part: a part.
        literals: what is looked for.
        may_go_on: whether one may end behind the part.
    """
    text = part.text
    longest = max(len(literal.text) for literal in literals)
    if may_go_on and longest > 1:
        tail = encode(text[1 - longest :])
        if any(literal.may_begin_in(tail) for literal in literals):
            text += beginning(part.after(), longest - 1)
    hits = {hit for literal in literals for hit in literal.positions(text)}
    return sorted(hit for hit in hits if hit < len(part.text))


class HitWindows:
    """One pass over the parts that have hits, or parts of hits.

    Attributes:
        next: offset before which no further match can begin.
        literals: what a match needs one of.
    """

    def __init__(
        self,
        pattern: "re.Pattern[str]",
        reach: Reach,
        literals: tuple[Literal, ...],
        first: int,
    ) -> None:
        """Take a pattern, what its attempts can read, what they need, and where the first may begin."""
        self.next = first
        self._pattern = pattern
        self._reach = reach
        self.literals = literals

    def matches(self, part: Part, start: int, *, may_go_on: bool) -> Iterator[ShiftedMatch]:
        """Those that have a hit which begins in a part. To be taken whole before the next part.

        Args:
            part: a part.
            start: its offset.
            may_go_on: whether a hit may begin in it and end behind it.

        Raises:
            TooFarError: how far an attempt reads cannot be decided.
        """
        hits = hits_in(part, self.literals, may_go_on=may_go_on)
        if hits and len(hits) * _CHARACTERS_A_HIT > len(part.text):
            yield from self._around(part, start, hits[0], hits[-1])
            return
        for hit in hits:
            if start + hit >= self.next:
                yield from self._around(part, start, hit, hit)

    def _around(self, part: Part, start: int, first: int, last: int) -> Iterator[ShiftedMatch]:
        """Matches that have a hit between two, both included."""
        begin = self._first_attempt(part, first, self.next - start)
        base = begin - self._reach.left
        window, origin = _between(part, base, self._last_read(part, last))
        scanner = self._pattern.scanner(window, begin - origin)  # type: ignore[attr-defined]  # in all versions
        while match := scanner.search():
            if match.start() + origin > last:
                break
            yield ShiftedMatch(match, origin)
            self.next = start + origin + match.end()
        self.next = max(self.next, start + last + 1)

    def _first_attempt(self, part: Part, hit: int, earliest: int) -> int:
        """Where the first attempt begins that can get to a hit."""
        wanted = max(_FIRST_GLANCE, self._reach.others + 4)
        while True:
            text, origin = _between(part, max(earliest, hit - wanted), hit)
            needed = self._reach.context(text[::-1])
            if needed is not None:
                return max(earliest, hit - needed)
            if len(text) < wanted:
                return origin
            if wanted >= CONTEXT_LIMIT:
                raise TooFarError
            wanted = min(4 * wanted, CONTEXT_LIMIT)

    def _last_read(self, part: Part, hit: int) -> int:
        """Up to where an attempt can read that begins at a hit or before it, and gets to it."""
        wanted = max(_FIRST_GLANCE, self._reach.others + 4)
        while True:
            text, _ = _between(part, hit, hit + wanted)
            needed = self._reach.context(text)
            if needed is not None:
                return hit + needed
            if len(text) < wanted:
                return hit + len(text)
            if wanted >= CONTEXT_LIMIT:
                raise TooFarError
            wanted = min(4 * wanted, CONTEXT_LIMIT)


def _between(part: Part, first: int, last: int) -> tuple[str, int]:
    """What there is between two offsets, counted from a part's beginning, and where that begins."""
    text = part.text
    if first >= 0 and last <= len(text):
        return text[first:last], first
    before = ending(part.before(), -first) if first < 0 else ""
    after = beginning(part.after(), last - len(text)) if last > len(text) else ""
    return before + text[max(first, 0) : max(last, 0)] + after, max(first, 0) - len(before)
