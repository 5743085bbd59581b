"""A range of characters as parts that can look around themselves."""

import sys
from collections.abc import Iterator
from typing import NamedTuple

from distributed_prompt.characters import Characters
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


def walk(source: Range, start: int, stop: int | None = None, most: int = sys.maxsize) -> Iterator[NearPart]:
    """All parts from an offset on, in one pass; up to an offset where a part ends, or to the end of the range.

    Parts of more characters than ``most`` are given in several.
    """
    pass_ = _Pass(source, source.characters.pieces(start, source.stop if stop is None else stop))
    while part := pass_.take():
        if len(part.text) <= most:
            yield part
        else:
            for first in range(0, len(part.text), most):
                yield NearPart(source, part.start + first, part.text[first : first + most])


class _Pass:
    """Pieces on their way, the next of which may be looked at, and the last of which is remembered."""

    def __init__(self, source: Range, pieces: Iterator[Piece]) -> None:
        self.source = source
        self._pieces = pieces
        self._next: str | None = None
        self.last: _PassPart | None = None

    def peek(self) -> str:
        if self._next is None:
            piece = next(self._pieces, None)
            self._next = decode(piece.data) if piece else ""
            self._start = piece.start if piece else 0
        return self._next

    def take(self) -> "_PassPart | None":
        text = self.peek()
        if not text:
            return None
        part = _PassPart(self, self._start, text, self.last.text if self.last else "")
        self.last = part
        self._next = None
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
        if self._pass.last is self and (text := self._pass.peek()):
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
