"""A range of characters as parts that can look around themselves."""

import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
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

    def next_part(self, start: int, is_such: Callable[[int], int], most: int) -> int:
        """Where the next part begins of which something is so, from another on; not further than so many parts."""
        for _ in range(most):
            start = self.part_end(start, 1)
            if start >= self.stop or is_such(start):
                break
        return start


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


def walk_hits(
    source: Range, start: int, literals: tuple[Literal, ...], executor: Executor | None = None
) -> Iterator["PassPart"]:
    """The parts from an offset on that hold a part of an occurrence of some literals, in one pass; perhaps others."""
    touched = partial(_touched, literals)
    runs = source.characters.map_runs(touched, start, source.stop, holding=literals, executor=executor)
    yield from _Pass(source, runs)


class _PieceRun(NamedTuple):
    """Some pieces, consecutive or not, of a run that ends at an offset."""

    pieces: list[Piece]
    stop: int


def _touched(literals: tuple[Literal, ...], pieces: Iterator[Piece]) -> _PieceRun:
    """The pieces of a run that hold an occurrence, or a part of one."""
    kept: list[Piece] = []
    last: Piece | None = None
    longest = max(len(literal.text) for literal in literals)
    for piece in pieces:
        if piece.characters < longest:
            # One might lie across three.
            run = [*kept, *([last] if last and last not in kept[-1:] else []), piece, *pieces]
            return _PieceRun(run, run[-1].stop)
        seam = last and any(literal.crosses(last.data, piece.data) for literal in literals)
        if last and seam and (not kept or kept[-1] is not last):
            kept.append(last)
        if seam or any(literal.occurs_in(piece.data) for literal in literals):
            kept.append(piece)
        last = piece
    # Whether one goes on behind the run is seen later.
    if last and (not kept or kept[-1] is not last) and any(literal.may_begin_in(last.data) for literal in literals):
        kept.append(last)
    return _PieceRun(kept, last.stop if last else 0)


def walk(
    source: Range, start: int, stop: int | None = None, most: int = sys.maxsize, executor: Executor | None = None
) -> Iterator[NearPart]:
    """All parts from an offset on, in one pass; up to an offset where a part ends, or to the end of the range.

    Parts of more characters than ``most`` are given in several.
    """
    pieces = source.characters.pieces(start, source.stop if stop is None else stop, (), executor)
    for part in _Pass(source, (_PieceRun([piece], piece.stop) for piece in pieces)):
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

    def __init__(self, source: Range, runs: Iterator[_PieceRun]) -> None:
        self.source = source
        self.start = 0
        self.last: PassPart | None = None
        self._runs = runs
        self._run: deque[Piece] = deque()
        self._run_stop = 0
        self._next = ""
        self._next_run_stop = 0
        self._has_peeked = False

    def __iter__(self) -> Iterator["PassPart"]:
        try:
            while part := self.take():
                yield part
        finally:
            # A part knows its pass: with the text it would stay until the garbage collector comes.
            self.last = None

    def peek(self) -> str:
        """The next piece, if there is one in this run or the next: more are not waited for."""
        if not self._has_peeked:
            self._has_peeked = True
            if not self._run:
                self._begin(next(self._runs, None))
            if self._run:
                piece = self._run.popleft()
                self.start, self._next, self._next_run_stop = piece.start, decode(piece.data), self._run_stop
        return self._next

    def take(self) -> "PassPart | None":
        if not self.peek():
            run = next((run for run in self._runs if run.pieces), None)
            if run is None:
                return None
            self._begin(run)
            self._has_peeked = False
        text, last = self.peek(), self.last
        previous = last.text if last and last.stop == self.start else ""
        part = PassPart(self, self.start, text, previous, self._next_run_stop)
        self.last = part
        self._next = ""
        self._has_peeked = False
        return part

    def _begin(self, run: _PieceRun | None) -> None:
        if run:
            self._run.extend(run.pieces)
            self._run_stop = run.stop


class PassPart(NearPart):
    """A part on its way."""

    def __init__(self, pass_: _Pass, start: int, text: str, previous: str, run_stop: int) -> None:
        """Take what is known."""
        super().__init__(pass_.source, start, text)
        self._pass = pass_
        self._previous = previous
        self._run_stop = run_stop

    def may_go_on(self) -> bool:
        """Whether an occurrence of what is looked for may begin in it and end behind it."""
        return self.stop == self._run_stop or (self._pass.peek() != "" and self._pass.start == self.stop)

    def before(self) -> Iterator[str]:
        """As the base class says."""
        if self._previous:
            yield self._previous
        yield from _before(self._source, self.start - len(self._previous))

    def after(self) -> Iterator[str]:
        """As the base class says."""
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
