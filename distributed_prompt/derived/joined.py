"""Texts one after the other: ``+``, ``*``, ``join`` and what fills a text up to a width."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from itertools import accumulate
from typing import TypeVar

from distributed_prompt.caching import cached
from distributed_prompt.characters import Characters
from distributed_prompt.derived.base import Derived
from distributed_prompt.derived.walk import Range
from distributed_prompt.runs import Shifted
from distributed_prompt.text.literal import Literal
from distributed_prompt.text.pieces import Piece, encode, width

Result = TypeVar("Result")

_PART_CHARACTERS = 2**17


class Repeated(Derived):
    """A string, over and over again up to a length."""

    def __init__(self, base: Characters, text: str, length: int) -> None:
        """Take the string, which is not empty, and for whose sake it is repeated."""
        super().__init__(base.base if isinstance(base, Derived) else base)
        self._text = text
        self._length = length

    @property
    def recipe(self) -> tuple[object, ...]:
        """As the base class says."""
        return self.base, self._text, self._length

    @property
    def text(self) -> str:
        """What is repeated."""
        return self._text

    @property
    def length(self) -> int:
        """As the base class says."""
        return self._length

    def describe(self, start: int, length: int) -> str:
        """As the base class says."""
        del start, length
        return f"{self._text[:20]!r} repeated"

    def range_width(self, start: int, stop: int) -> int:
        """As the base class says."""
        first, length = start % len(self._text), stop - start
        wrapped = self._text[: max(0, first + length - len(self._text))]
        return width(encode(self._text[first : first + length] + wrapped))

    def near(self, offset: int) -> tuple[int, str]:
        """As the base class says."""
        self.check_open()
        if offset >= self._length:
            return self._length, ""
        start = offset - offset % _PART_CHARACTERS
        characters = min(_PART_CHARACTERS, self._length - start)
        first = start % len(self._text)
        text = self._text[first : first + characters]
        missing = characters - len(text)
        return start, text + (self._text * -(-missing // len(self._text)))[:missing]

    def pieces(
        self, start: int, stop: int, holding: Sequence[Literal] = (), executor: Executor | None = None
    ) -> Iterator[Piece]:
        """As the base class says."""
        del holding, executor
        while start < min(stop, self._length):
            first, text = self.near(start)
            text = text[start - first : stop - first]
            yield Piece(start, len(text), encode(text))
            start += len(text)


class Joined(Derived):
    """Ranges one after the other, and all of them again so many times. Their parts are its parts."""

    def __init__(self, ranges: tuple[Range, ...], times: int = 1, length: int | None = None) -> None:
        """Take the ranges, at least one, and how many characters all of it has, if that is known."""
        super().__init__(*(each.characters for each in ranges))
        self._ranges = ranges
        self._times = times
        self._known_length = length

    @property
    def recipe(self) -> tuple[object, ...]:
        """As the base class says."""
        return self._ranges, self._times

    @cached
    def _ends(self) -> list[int]:
        """Where each range ends."""
        return list(accumulate(r.characters.length_up_to(r.stop) - r.start for r in self._ranges))

    @property
    def length(self) -> int:
        """As the base class says."""
        if self._known_length is None:
            self._known_length = self._ends[-1] * self._times
        return self._known_length

    @property
    def ranges(self) -> tuple[Range, ...]:
        """What is joined, if it is so once."""
        return self._ranges if self._times == 1 else ()

    def check_open(self) -> None:
        """As the base class says: all of them."""
        for source in self._ranges:
            source.characters.check_open()

    def close(self) -> None:
        """As the base class says: of all of them."""
        for source in self._ranges:
            source.characters.close()

    def describe(self, start: int, length: int) -> str:
        """As the base class says."""
        del start, length
        return f"{len(self._ranges) * self._times:,} texts joined, one of {self.name}"

    def near(self, offset: int) -> tuple[int, str]:
        """As the base class says."""
        if offset >= self.length:
            return self.length, ""
        number = bisect_right(self._ends, offset % self._ends[-1])
        characters, start, stop = self._ranges[number]
        base = offset - offset % self._ends[-1] + self._begin(number)
        first, text = characters.near(offset - base + start)
        begin = max(first, start)
        return base + begin - start, text[begin - first : stop - first]

    def _begin(self, number: int) -> int:
        return self._ends[number - 1] if number else 0

    def _spans(self, start: int, stop: int, *, reverse: bool = False) -> Iterator[tuple[Range, int]]:
        """What lies within ``[start, stop)`` of each range, and what to add to its offsets."""
        cycle = self._ends[-1]
        if start >= min(stop, self.length):
            return
        stop = min(stop, self.length)
        rounds = range(start // cycle, (stop - 1) // cycle + 1)
        numbers = range(len(self._ranges))
        for round_ in reversed(rounds) if reverse else rounds:
            for number in reversed(numbers) if reverse else numbers:
                base = round_ * cycle + self._begin(number)
                low = max(start, base)
                high = min(stop, round_ * cycle + self._ends[number])
                if low < high:
                    characters, first, _ = self._ranges[number]
                    shift = base - first
                    yield Range(characters, low - shift, high - shift), shift

    def map_runs(
        self,
        function: Callable[[Iterator[Piece]], Result],
        start: int,
        stop: int,
        *,
        reverse: bool = False,
        holding: Sequence[Literal] = (),
        executor: Executor | None = None,
    ) -> Iterator[Result]:
        """As the base class says."""
        # An occurrence may lie across ranges that have not even a beginning of it in common.
        del holding
        for source, shift in self._spans(start, stop, reverse=reverse):
            shifted = Shifted(function, shift)
            yield from source.characters.map_runs(
                shifted, source.start, source.stop, reverse=reverse, executor=executor
            )

    def pieces(
        self, start: int, stop: int, holding: Sequence[Literal] = (), executor: Executor | None = None
    ) -> Iterator[Piece]:
        """As the base class says."""
        del holding, executor
        for run in self.map_runs(list, start, stop):
            yield from run

    def range_width(self, start: int, stop: int) -> int:
        """As the base class says: as the ranges know it."""
        stop = min(stop, start + 2 * self._ends[-1])
        widths = (r.characters.range_width(r.start, r.stop) for r, _ in self._spans(start, stop))
        return max(widths, default=0)


def flattened(ranges: list[Range]) -> tuple[Range, ...]:
    """The same characters in fewer ranges and levels, so that texts may grow in a loop."""
    flat: list[Range] = []
    for source in ranges:
        characters, start, stop = source
        parts: tuple[Range, ...] = (source,)
        if isinstance(characters, Joined) and not start and stop >= characters.length:
            parts = characters.ranges or parts
        # What was joined before is merged already.
        merged = _merged(flat[-1], parts[0]) if flat else None
        if merged:
            flat[-1] = merged
        flat += parts[1:] if merged else parts
    return tuple(flat)


def _merged(first: Range, second: Range) -> Range | None:
    """Two short strings as one."""
    texts = [part.characters.text for part in (first, second) if isinstance(part.characters, Repeated)]
    text = "".join(texts)
    length = first.stop - first.start + second.stop - second.start
    # Equal lengths: neither is repeated, or cut.
    if len(texts) == 1 or length != len(text) or length > _PART_CHARACTERS:
        return None
    return Range(Repeated(first.characters, text, length), 0, length)
