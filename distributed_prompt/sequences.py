"""Sequences whose items are made when they are asked for; they compare and print like lists."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import index
from typing import SupportsIndex, TypeVar, overload

from distributed_prompt.errors import ArgumentError

Item_co = TypeVar("Item_co", covariant=True)
_SHOWN_ITEMS = 6
_SHOWN_CHARACTERS = 60


class LazySequence(Sequence[Item_co]):
    """A read-only sequence. Slices are lazy too; ``list(x)`` makes an ordinary list.

    Equal to a list, or to another lazy sequence, of equal items in the same order.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Number of items."""

    @abstractmethod
    def item(self, number: int) -> Item_co:
        """The item of a number (from 0) that is in range."""

    def part(self, indices: range) -> "LazySequence[Item_co]":
        """The items at some indices, which are in range, lazily."""
        return _Slice(self, indices)

    @overload
    def __getitem__(self, key: SupportsIndex) -> Item_co: ...
    @overload
    def __getitem__(self, key: slice) -> "LazySequence[Item_co]": ...
    def __getitem__(self, key: SupportsIndex | slice) -> "Item_co | LazySequence[Item_co]":
        """One item, or a lazy slice."""
        if isinstance(key, slice):
            return self.part(range(*key.indices(len(self))))
        if not hasattr(key, "__index__"):
            message = f"{type(self).__name__} indices must be integers or slices, not {type(key).__name__}"
            raise TypeError(message)
        try:
            return self.item(range(len(self))[key])
        except IndexError:
            message = f"{type(self).__name__} index out of range"
            raise IndexError(message) from None

    def __iter__(self) -> Iterator[Item_co]:
        """All items in order."""
        return map(self.item, range(len(self)))

    def __eq__(self, other: object) -> bool:
        """Whether the other list or lazy sequence has equal items."""
        if not isinstance(other, list | LazySequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list

    def __repr__(self) -> str:
        """The beginnings of the first items, and how many more there are."""
        items = [_shown(item) for item in islice(self, _SHOWN_ITEMS)]
        more = len(self) - len(items)
        return f"[{', '.join(items)}{f', … {more:,} more' if more else ''}]"


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


class Chunks(LazySequence[Item_co]):
    """A text in chunks of one length that may overlap."""

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
