"""The lines of a prompt as a lazy sequence."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from distributed_prompt.caching import cached
from distributed_prompt.characters import Characters
from distributed_prompt.errors import ArgumentError
from distributed_prompt.sequences import LazySequence
from distributed_prompt.text.lines import lines

View = TypeVar("View")


class Lines(LazySequence[str | View], Generic[View]):
    r"""What lies between the ``\n`` of a range; the directory says where each one is.

    Cost: ``len`` at most two shards, an item those it lies in and two more; iteration each once, a few MB a core.
    """

    def __init__(
        self,
        characters: Characters,
        start: int,
        stop: int,
        cut: Callable[[int, int], str | View],
        limit: int,
        origin: int | None = None,
    ) -> None:
        """Take a range of the whole text.

        Args:
            characters: the whole text.
            start: offset of the range's first character.
            stop: offset after its last character.
            cut: gives ``[start, stop)`` as an item, in offsets from ``origin``.
            limit: characters above which ``cut`` makes a line no string.
            origin: what ``cut`` counts from; the range's start if not given.
        """
        self._characters = characters
        self._start = start
        self._stop = stop
        self._cut = cut
        self._limit = limit
        self._origin = start if origin is None else origin

    @property
    def _is_whole(self) -> bool:
        """Whether these are all lines, which the metadata counts; not once the pack is closed."""
        self._characters.check_open()
        return self._stop - self._start == self._characters.length

    @cached
    def _before(self) -> int:
        return self._characters.newlines_before(self._start)

    @cached
    def _newlines(self) -> int:
        if self._is_whole:
            return self._characters.newlines
        return self._characters.newlines_before(self._stop) - self._before

    @cached
    def _length(self) -> int:
        if self._start == self._stop:
            return 0
        if self._is_whole:
            return self._characters.lines
        start, text = self._characters.near(self._stop - 1)
        return self._newlines + (text[self._stop - 1 - start] != "\n")

    def __len__(self) -> int:
        """Number of lines."""
        return self._length

    def _line_start(self, index: int) -> int:
        """The offset at which a line begins; that of the line after the last is the end."""
        if index == 0:
            return self._start
        if index > self._newlines:
            return self._stop
        return self._characters.newline_offset(self._before + index - 1) + 1

    def start(self, index: int) -> int:
        """Where a line begins, in offsets from the origin; where the range ends for any beyond the last.

        Raises:
            ArgumentError: the index is negative.
        """
        if index < 0:
            message = f"line {index}: must not be negative"
            raise ArgumentError(message)
        return self._line_start(index) - self._origin

    def item(self, number: int) -> str | View:
        """The line of a number (from 0) that is in range."""
        stop = self._stop if number == self._newlines else self._line_start(number + 1) - 1
        return self._cut(self._line_start(number) - self._origin, stop - self._origin)

    def part(self, indices: range) -> list[str | View] | LazySequence[str | View]:
        """Consecutive lines are the lines of a smaller range."""
        if indices.step != 1 or not indices:
            return super().part(indices)
        start, stop = self._line_start(indices.start), self._line_start(indices.stop)
        return Lines(self._characters, start, stop, self._cut, self._limit, self._origin)

    def __iter__(self) -> Iterator[str | View]:
        """All lines in one pass."""
        for line in lines(self._characters.pieces(self._start, self._stop), self._limit):
            yield line if isinstance(line, str) else self._cut(line.start - self._origin, line.stop - self._origin)
