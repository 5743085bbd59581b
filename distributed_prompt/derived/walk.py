"""A range of characters as parts that can look around themselves."""

import sys
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from distributed_prompt.characters import Characters
from distributed_prompt.text.literal import Literal
from distributed_prompt.text.parts import Part
from distributed_prompt.text.pieces import Piece, decode


class Range(NamedTuple):
    """Some of some characters.

    Attributes:
        characters: all of them.
        start: offset of the first one.
        stop: offset after the last one; may lie beyond the end.
    """

    characters: Characters
    start: int
    stop: int

    def part_end(self, start: int, characters: int) -> int:
        """Where the part ends that so many characters from the beginning of another reach into; the end at most."""
        stop = start + characters
        if stop >= self.stop or stop >= self.characters.length_up_to(stop + 1):
            return self.stop
        return min(self.characters.part_end(stop - 1), self.stop)


class NearPart(Part):
    """A part of a range; what is around it is decoded if it is asked for.

    Attributes:
        start: offset of its first character.
    """

    def __init__(self, source: Range, start: int, text: str) -> None:
        """Take what is known."""
        self._source = source
        self.start = start
        self.text = text

    @property
    def stop(self) -> int:
        """Offset after its last character."""
        return self.start + len(self.text)

    def before(self) -> Iterator[str]:
        """As the base class says."""
        return _before(self._source, self.start)

    def after(self) -> Iterator[str]:
        """As the base class says."""
        return _after(self._source, self.stop)


def part_at(source: Range, offset: int, most: int = sys.maxsize) -> NearPart:
    """The part that begins at an offset, or that of it which does; so many characters at most."""
    start, text = source.characters.near(offset)
    return NearPart(source, offset, text[offset - start : min(source.stop, offset + most) - start])


def walk_hits(source: Range, start: int, literals: tuple[Literal, ...]) -> Iterator[NearPart]:
    """The parts from an offset on which may hold an occurrence of some literals, or its beginning, in one pass."""
    runs = source.characters.map_runs(partial(_touched, literals), start, source.stop, holding=literals)
    pass_ = _Pass(source, runs)
    while part := pass_.take():
        yield part


def _touched(literals: tuple[Literal, ...], pieces: Iterator[Piece]) -> list[Piece]:
    return [piece for piece in pieces if any(literal.touches(piece.data) for literal in literals)]


def walk(source: Range, start: int, stop: int | None = None, most: int = sys.maxsize) -> Iterator[NearPart]:
    """All parts from an offset on, in one pass; up to an offset where a part ends, or to the end of the range.

    Parts of more characters than ``most`` are given in several.
    """
    pieces = source.characters.pieces(start, source.stop if stop is None else stop)
    pass_ = _Pass(source, ([piece] for piece in pieces))
    while part := pass_.take():
        if len(part.text) <= most:
            yield part
        else:
            for first in range(0, len(part.text), most):
                yield NearPart(source, part.start + first, part.text[first : first + most])


class _Pass:
    """Runs of pieces on their way, the next piece of which may be looked at, and the last of which is remembered.

    Attributes:
        source: the range that they are of.
        start: offset of the next piece that was looked at.
        last: the last one that was taken.
    """

    def __init__(self, source: Range, runs: Iterator[list[Piece]]) -> None:
        self.source = source
        self.start = 0
        self.last: _PassPart | None = None
        self._runs = runs
        self._run: deque[Piece] = deque()
        self._next = ""
        self._has_peeked = False

    def peek(self) -> str:
        """The next piece, if there is one in this run or the next: more are not waited for."""
        if not self._has_peeked:
            self._has_peeked = True
            if not self._run:
                self._run.extend(next(self._runs, ()))
            if self._run:
                piece = self._run.popleft()
                self.start, self._next = piece.start, decode(piece.data)
        return self._next

    def take(self) -> "_PassPart | None":
        if not self.peek():
            run = next(filter(None, self._runs), None)
            if run is None:
                return None
            self._run.extend(run)
            self._has_peeked = False
        text, last = self.peek(), self.last
        part = _PassPart(self, self.start, text, last.text if last and last.stop == self.start else "")
        self.last = part
        self._next = ""
        self._has_peeked = False
        return part


class _PassPart(NearPart):
    def __init__(self, pass_: _Pass, start: int, text: str, previous: str) -> None:
        super().__init__(pass_.source, start, text)
        self._pass = pass_
        self._previous = previous

    def before(self) -> Iterator[str]:
        if self._previous:
            yield self._previous
        yield from _before(self._source, self.start - len(self._previous))

    def after(self) -> Iterator[str]:
        start = self.stop
        # Nothing is there, too, where the pass was to end.
        if self._pass.last is self and (text := self._pass.peek()) and self._pass.start == start:
            yield text
            start += len(text)
        yield from _after(self._source, start)


def _before(source: Range, stop: int) -> Iterator[str]:
    while stop > source.start:
        start, text = source.characters.near(stop - 1)
        first = max(start, source.start)
        yield text[first - start : stop - start]
        stop = first


def _after(source: Range, start: int) -> Iterator[str]:
    while start < source.stop and (text := part_at(source, start).text):
        yield text
        start += len(text)
