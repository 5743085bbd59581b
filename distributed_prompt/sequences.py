"""Sequences whose items are made when they are asked for; they compare and print like lists."""

import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import index
from typing import Any, Self, SupportsIndex, TypeVar, overload

from distributed_prompt.errors import ArgumentError

Item_co = TypeVar("Item_co", covariant=True)
_SHOWN_ITEMS = 6
_SHOWN_CHARACTERS = 60
_TAKEN_ITEMS = 1000


class LazySequence(Sequence[Item_co]):
    """A read-only sequence. Slices are lazy too; ``list(x)`` makes an ordinary list.

    Equal to a list, or to another lazy sequence, of equal items in the same order.

    Cost: what the method that gives it says of an item and of ``len``; what looks at all items holds one at a time.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Number of items."""

    def length_up_to(self, bound: int) -> int:
        """The length if it is below the bound, else the bound; may be known where the length is not."""
        return min(len(self), bound)

    @property
    def is_counted(self) -> bool:
        """Whether it is known how many items there are."""
        return True

    @abstractmethod
    def item(self, number: int) -> Item_co:
        """The item of a number (from 0) that is in range."""

    def part(self, indices: range) -> "list[Item_co] | LazySequence[Item_co]":
        """The items at some indices, which are in range: lazily, unless they are few."""
        return _Slice(self, indices)

    @overload
    def __getitem__(self, key: SupportsIndex) -> Item_co: ...
    @overload
    def __getitem__(self, key: slice) -> "list[Item_co] | LazySequence[Item_co]": ...
    def __getitem__(self, key: SupportsIndex | slice) -> "Item_co | list[Item_co] | LazySequence[Item_co]":
        """One item, or a lazy slice."""
        if isinstance(key, slice):
            return self.part(range(*key.indices(self.length_up_to(slice_bound(key)))))
        if not hasattr(key, "__index__"):
            message = f"{type(self).__name__} indices must be integers or slices, not {type(key).__name__}"
            raise TypeError(message)
        number = index(key)
        if number < 0:
            number += len(self)
        if not 0 <= number < self.length_up_to(number + 1):
            message = f"{type(self).__name__} index out of range"
            raise IndexError(message)
        return self.item(number)

    def __iter__(self) -> Iterator[Item_co]:
        """All items in order."""
        return map(self.item, range(len(self)))

    def index(self, value: Any, start: SupportsIndex = 0, stop: SupportsIndex = sys.maxsize) -> int:
        """Return first index of value.

        Raises:
            ValueError: the value is not present.

        Cost: one pass over the items up to it.
        """
        first = 0
        items: Sequence[Item_co] = self
        if (index(start), index(stop)) != (0, sys.maxsize):
            bounds = slice(start, stop)
            first = bounds.indices(self.length_up_to(slice_bound(bounds)))[0]
            items = self[bounds]
        for number, item in enumerate(items, first):
            if item is value or item == value:
                return number
        message = f"{value!r} is not in {type(self).__name__}"
        raise ValueError(message)

    def __eq__(self, other: object) -> bool:
        """Whether the other list or lazy sequence has equal items."""
        if not isinstance(other, list | LazySequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list

    def __repr__(self) -> str:
        """The beginnings of the first items, and how many more there are."""
        items = [_shown(item) for item in islice(self, _SHOWN_ITEMS)]
        if self.length_up_to(_SHOWN_ITEMS + 1) > _SHOWN_ITEMS:
            items.append(f"… {len(self) - _SHOWN_ITEMS:,} more" if self.is_counted else "…")
        return f"[{', '.join(items)}]"

    def copy(self) -> Self:
        """The same: it cannot change."""
        return self

    def _refuse(self, *_: object, **__: object) -> Any:  # as any method
        message = (
            f"{type(self).__name__} is lazy and cannot be changed or added to; list(x) makes an ordinary list of it"
        )
        raise TypeError(message)

    append = extend = insert = pop = remove = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __add__ = __radd__ = __iadd__ = __mul__ = __rmul__ = __imul__ = _refuse


def slice_bound(key: slice) -> int:
    """What a length has to be known up to for the slice to be resolved: of no sequence more, of some less."""
    if key.step is None or index(key.step) > 0:
        bounds = [0 if key.start is None else index(key.start), -1 if key.stop is None else index(key.stop)]
        if min(bounds) >= 0:
            return bounds[1]
    return sys.maxsize


def _shown(item: object) -> str:
    if isinstance(item, str) and len(item) > _SHOWN_CHARACTERS:
        return f"{item[:_SHOWN_CHARACTERS]!r}…"
    return repr(item)


class _Slice(LazySequence[Item_co]):
    """Some items of another sequence."""

    def __init__(self, base: LazySequence[Item_co], indices: range) -> None:
        self._base = base
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def item(self, number: int) -> Item_co:
        return self._base.item(self._indices[number])

    def part(self, indices: range) -> "list[Item_co] | LazySequence[Item_co]":
        if not indices:
            return self._base.part(range(0))
        first, step = self._indices[indices[0]], self._indices.step * indices.step
        return self._base.part(range(first, first + step * len(indices), step))

    def __iter__(self) -> Iterator[Item_co]:
        for at in range(0, len(self._indices), _TAKEN_ITEMS):
            indices = self._indices[at : at + _TAKEN_ITEMS]
            part = self._base.part(indices)
            yield from part if isinstance(part, list) else map(self._base.item, indices)


class Chunks(LazySequence[Item_co]):
    """A text in chunks of one length that may overlap.

    Cost: no shard; an item, as the slice that it is.
    """

    def __init__(self, length: int, size: int, overlap: int, cut: Callable[[int, int], Item_co]) -> None:
        """Take the text's length and what gives ``[start, stop)`` of it.

        Raises:
            TypeError: a number is no integer.
            ArgumentError: the size is below 1, or the overlap is not below the size.
        """
        size, overlap = index(size), index(overlap)
        if size < 1:
            message = f"chunk size {size}: must be at least 1 character"
            raise ArgumentError(message)
        if not 0 <= overlap < size:
            message = f"overlap {overlap}: must be from 0 to {size - 1}, below the chunk size"
            raise ArgumentError(message)
        self._length = length
        self._size = size
        self._step = size - overlap
        self._cut = cut

    def __len__(self) -> int:
        """Number of chunks. The last one ends with the text, and none lies wholly in the one before."""
        if self._length <= self._size:
            return min(1, self._length)
        return 1 + -(-(self._length - self._size) // self._step)

    def item(self, number: int) -> Item_co:
        """The chunk of a number (from 0) that is in range."""
        start = number * self._step
        return self._cut(start, min(self._length, start + self._size))
