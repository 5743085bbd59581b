"""What ``split``, ``rsplit`` and ``splitlines`` give of a long text: sequences whose items are cut when asked for."""

import sys
from collections.abc import Iterator
from itertools import islice
from typing import Generic, TypeVar, cast

from distributed_prompt.caching import cached
from distributed_prompt.derived.separators import Newlines, Separators, Tally
from distributed_prompt.derived.stepped import Stepped
from distributed_prompt.derived.walk import Range, walk
from distributed_prompt.sequences import LazySequence
from distributed_prompt.strings.base import TextBase, plain
from distributed_prompt.text.edges import first_kept, last_kept
from distributed_prompt.text.splitting import Cutter, LineEnd, Separator, Whitespace

View = TypeVar("View")
_FEW_ITEMS = 4


class Fields(LazySequence[str | View], Generic[View]):
    """What lies between the separators of a text, the first ``maxsplit`` of them if that is not negative.

    Nothing is looked at until it is asked for, and no more than that.

    Cost: an item one pass up to it, once, then the shards it lies in; ``len`` one pass over all, once; where the
    directory knows, neither. 24 bytes a part of the text.
    """

    def __init__(self, text: TextBase[View], cutter: Cutter, maxsplit: int = -1) -> None:
        """Take the text and what separates."""
        self._text = text
        self._cutter = cutter
        self._maxsplit = maxsplit if maxsplit >= 0 else sys.maxsize
        self._keeps_ends = isinstance(cutter, LineEnd) and cutter.keepends

    def __reduce__(self) -> tuple[object, ...]:
        """What makes the same again."""
        return Fields, (self._text, self._cutter, self._maxsplit)

    @cached
    def _start(self) -> int | None:
        """Where the first field begins; None if there is none."""
        if isinstance(self._cutter, Whitespace):
            return first_kept(self._text._pieces(), None)
        if isinstance(self._cutter, LineEnd) and not self._text._length_up_to(1):
            return None
        return 0

    @cached
    def _stop(self) -> int:
        """Where the last field ends if all separators separate."""
        if isinstance(self._cutter, Whitespace):
            return last_kept(self._text._pieces_from_end(), None) or 0
        return len(self._text)

    @cached
    def _range(self) -> Range:
        """What is split, in the whole text."""
        characters, start, stop = self._text._range()
        if isinstance(self._cutter, Whitespace):
            stop = start + self._stop
        return Range(characters, start + (self._start or 0), stop)

    @property
    def _origin(self) -> int:
        return self._text._range().start

    @cached
    def _separators(self) -> Separators:
        if self._cutter == Separator("\n") and self._range.characters.knows_parts:
            return Newlines(self._range)
        return Tally(self._range, self._cutter)

    @property
    def is_counted(self) -> bool:
        """Whether it is known how many items there are."""
        return self._separators.is_counted

    def length_up_to(self, bound: int) -> int:
        """The length if it is below the bound, else the bound."""
        if self._start is None:
            return 0
        total = self._separators.total_up_to(min(bound, self._maxsplit))
        if total >= bound:
            return bound
        if isinstance(self._cutter, LineEnd) and total and self._end_of(total - 1) == self._stop:
            return total
        return total + 1

    def __len__(self) -> int:
        """Number of items."""
        return self.length_up_to(sys.maxsize)

    def _end_of(self, separator: int) -> int:
        return self._separators.span(separator)[1] - self._origin

    def bounds(self, number: int) -> tuple[int, int]:
        """Where an item that exists begins and ends in the text."""
        start = self._end_of(number - 1) if number else self._start or 0
        if number == self._maxsplit:
            return start, len(self._text)
        if self._separators.total_up_to(number + 1) <= number:
            return start, self._stop
        return start, self._separators.span(number)[self._keeps_ends] - self._origin

    def item(self, number: int) -> str | View:
        """The item of a number (from 0) that is in range."""
        return self._text._cut(*self.bounds(number))

    def _split(self, text: str, separators: int) -> list[str]:
        """The fields of a part of the text, which begins and ends as some do; none if that takes more than the part."""
        if isinstance(self._cutter, Separator):
            return text.split(self._cutter.sep, separators)
        if isinstance(self._cutter, Whitespace):
            return text.split(None, separators)
        return text.splitlines(self._keeps_ends) if isinstance(self._cutter, LineEnd) else []

    def part(self, indices: range) -> "list[str | View] | LazySequence[str | View]":
        """Items at indices that are in range: a list if they span no more than ``view_threshold`` characters."""
        return _real(self, indices) or super().part(indices)

    def __iter__(self) -> Iterator[str | View]:
        """All items in one pass."""
        if self._start is None:
            return
        number = 0
        fields = self._cutter.fields(walk(self._range, self._range.start), self._text.view_threshold)
        for number, field in enumerate(islice(fields, self._maxsplit), 1):
            yield self.item(number - 1) if field is None else field
        if number == self._maxsplit and self.length_up_to(number + 1) > number:
            yield self.item(number)


class FieldsFromEnd(LazySequence[str | View], Generic[View]):
    """What separators leave that are looked for from the end: the fields of the text read backwards, turned round.

    Cost: as :class:`Fields`, from the end.
    """

    def __init__(self, text: TextBase[View], cutter: Cutter, maxsplit: int = -1) -> None:
        """Take the text and what separates."""
        self._text = text
        self._cutter = cutter
        self._maxsplit = maxsplit

    def __reduce__(self) -> tuple[object, ...]:
        """What makes the same again."""
        return FieldsFromEnd, (self._text, self._cutter, self._maxsplit)

    @cached
    def _mirrored(self) -> Fields[View]:
        characters, start, _ = self._text._range()
        stop = start + len(self._text)
        backwards = self._text._made(Stepped(characters, range(stop - 1, start - 1, -1)))
        cutter = Separator(self._cutter.sep[::-1]) if isinstance(self._cutter, Separator) else self._cutter
        return Fields(backwards, cutter, self._maxsplit)

    def __len__(self) -> int:
        """Number of items."""
        return len(self._mirrored)

    def bounds(self, number: int) -> tuple[int, int]:
        """Where an item that exists begins and ends in the text."""
        start, stop = self._mirrored.bounds(len(self) - 1 - number)
        return len(self._text) - stop, len(self._text) - start

    def item(self, number: int) -> str | View:
        """The item of a number (from 0) that is in range."""
        return self._text._cut(*self.bounds(number))

    def _split(self, text: str, separators: int) -> list[str]:
        return text.rsplit(self._cutter.sep if isinstance(self._cutter, Separator) else None, separators)

    def part(self, indices: range) -> "list[str | View] | LazySequence[str | View]":
        """As that of :class:`Fields`."""
        return _real(self, indices) or super().part(indices)


def _real(fields: "Fields[View] | FieldsFromEnd[View]", indices: range) -> "list[str | View] | None":
    """Some items as a list if they lie within ``view_threshold`` characters."""
    text = fields._text
    if not indices:
        return None
    first, last = sorted((indices[0], indices[-1]))
    start, stop = fields.bounds(first)[0], fields.bounds(last)[1]
    if stop - start > text.view_threshold:
        return None
    if abs(indices.step) == 1 and len(indices) > _FEW_ITEMS:
        items: list[str | View] = list(fields._split(plain(cast("str", text._cut(start, stop))), last - first))
        # Line ends leave nothing of an empty last line.
        if len(items) == len(indices):
            return items[:: indices.step]
    return [fields.item(number) for number in indices]
