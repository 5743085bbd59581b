"""Running totals over the parts of a text, taken no further than they are needed."""

import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from distributed_prompt.derived.walk import NearPart, Range, walk
from distributed_prompt.locks import Lock
from distributed_prompt.text.parts import Part

State = TypeVar("State")

# Parts that are looked over before a pass begins.
FIRST_HORIZON = 16
LAST_HORIZON = 2**12


class Entry(NamedTuple, Generic[State]):
    """What is known of a part.

    Attributes:
        start: offset of its first character.
        before: the total of all parts before it.
        state: what :attr:`Ledger.measure` wants to know about these.
    """

    start: int
    before: int
    state: State


class Ledger(Generic[State]):
    """What each part of a range amounts to: how many separators begin in it, or how long it becomes.

    Memory: 24 bytes a part, and the states where they differ. No lock is held while anything is decoded; threads
    that want to know the same at once may find it out twice.

    Attributes:
        measure: the amount of a part, and the state for the next one.
    """

    def __init__(
        self,
        source: Range,
        measure: Callable[[Part, State], tuple[int, State]],
        first: State,
        *,
        is_length: bool = False,
        unseen: Callable[[int], int] | None = None,
        most: int = sys.maxsize,
    ) -> None:
        """Nothing is known yet.

        Args:
            source: what is measured.
            measure: as the attribute.
            first: the state before the first part.
            is_length: whether amounts are lengths, about as long as the parts.
            unseen: of how many characters from an offset to the end of its part it is known without a look that they
                leave the state alone and amount to their number if that is a length, else to nothing; 0 if it is not.
            most: characters above which a part is taken as several.
        """
        self.measure = measure
        self._source = source
        self._is_length = is_length
        self._most = most
        self._unseen = unseen if source.characters.knows_parts else None
        self._horizon = FIRST_HORIZON
        self._starts = array("q")
        self._befores = array("q")
        self._states: list[State] = []
        # The first part that is not known, and how many are. One assignment makes a part known: whoever is interrupted
        # before it, or forked, leaves rows behind that the next one takes away.
        self._known = Entry(source.start, 0, first), 0
        self._is_whole = source.start >= source.stop
        self._lock = Lock()

    @property
    def _frontier(self) -> Entry[State]:
        return self._known[0]

    @property
    def is_whole(self) -> bool:
        """Whether all parts are known."""
        return self._is_whole

    def total_up_to(self, bound: int) -> int:
        """The total of all parts if it is below the bound, else the bound."""
        self._extend(lambda: self._frontier.before >= bound, bound)
        return min(self._frontier.before, bound)

    def find(self, number: int) -> Entry[State] | None:
        """The part in which the running total comes to exceed a number; None if it never does."""
        self._extend(lambda: self._frontier.before > number, number + 1)
        if self._frontier.before <= number:
            return None
        return self._entry(bisect_right(self._befores, number) - 1)

    def last_known(self, number: int) -> Entry[State]:
        """The part that :meth:`find` finds, if it is known; else the first one that is not."""
        while not self._is_whole and self._frontier.before <= number and self.skip():
            pass
        if self._frontier.before <= number:
            return self._frontier
        return self._entry(bisect_right(self._befores, number) - 1)

    def at(self, offset: int) -> Entry[State]:
        """The part that a character of the range is in."""
        self._extend(lambda: self._frontier.start > offset)
        return self._entry(bisect_right(self._starts, offset) - 1)

    def note(self, start: int, stop: int, amount: int, state: State) -> None:
        """A part, and the state for the next one, as somebody found them; for the first one not known yet."""
        with self._lock:
            frontier, count = self._known
            if start != frontier.start:
                return
            del self._states[count:], self._befores[count:], self._starts[count:]
            self._states.append(frontier.state)
            self._befores.append(frontier.before)
            self._starts.append(start)
            self._known = Entry(stop, frontier.before + amount, state), count + 1
            if stop >= self._source.stop:
                self._is_whole = True

    def end(self, stop: int) -> None:
        """There is no part behind this offset."""
        with self._lock:
            if stop == self._frontier.start:
                self._is_whole = True

    def _entry(self, index: int) -> Entry[State]:
        return Entry(self._starts[index], self._befores[index], self._states[index])

    def _extend(self, is_enough: Callable[[], bool], total: int = sys.maxsize) -> None:
        while not (self._is_whole or is_enough()):
            if not self.skip():
                self._pass(self._frontier, is_enough, total)

    def skip(self) -> bool:
        """Take the first part that is not known without a look, if that can be."""
        frontier = self._frontier
        characters = self._unseen_part(frontier.start)
        if characters:
            amount = characters if self._is_length else 0
            self.note(frontier.start, frontier.start + characters, amount, frontier.state)
        return characters > 0

    def _pass(self, frontier: Entry[State], is_enough: Callable[[], bool], total: int) -> None:
        stop, state = frontier.start, frontier.state
        # Not more is read ahead than will probably do.
        missing = total - frontier.before if self._is_length else sys.maxsize
        end = min(self._source.part_end(stop, missing), self._next_unseen(stop))
        part: NearPart
        for part in walk(self._source, stop, end, self._most):
            amount, state = self.measure(part, state)
            stop = part.stop
            self.note(part.start, stop, amount, state)
            if is_enough():
                return
        if stop == frontier.start or end >= self._source.stop:
            self.end(stop)

    def _next_unseen(self, offset: int) -> int:
        """Where the next part begins that need not be seen, so that nothing is decoded ahead of that in vain."""
        if self._unseen is None:
            return self._source.stop
        parts, self._horizon = self._horizon, min(2 * self._horizon, LAST_HORIZON)
        return self._source.next_part(offset, self._unseen, parts)

    def _unseen_part(self, offset: int) -> int:
        if self._unseen is None or offset >= self._source.stop:
            return 0
        return min(self._unseen(offset), self._source.stop - offset)
