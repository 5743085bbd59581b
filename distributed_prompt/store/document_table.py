"""The documents of an open pack, by number, name and offset. Format: :mod:`distributed_prompt.store.documents`."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial

from distributed_prompt.errors import CorruptPackError
from distributed_prompt.store import codec
from distributed_prompt.store.base import Store, Table
from distributed_prompt.store.documents import (
    BLOCK_DOCUMENTS,
    HASH_BITS,
    Block,
    Bounds,
    Document,
    Part,
    block_count,
    name_entry,
    name_row,
    name_rows,
    parse_block,
    parse_names,
)

_CACHED_BLOCKS = 16
_CACHED_NAME_ROWS = 16
_NUMBER_MASK = 2**HASH_BITS - 1


class DocumentTable:
    """Reads blocks when they are asked for and keeps a few; safe to use from any thread."""

    def __init__(self, store: Store, count: int) -> None:
        """Take the open store and how many documents its metadata promises; nothing is read yet."""
        self._store = store
        self._count = count
        self._block = lru_cache(_CACHED_BLOCKS)(partial(_get_block, store, count))
        self._names = lru_cache(_CACHED_NAME_ROWS)(partial(_get_names, store))
        self._known_bounds: Bounds | None = None

    def __len__(self) -> int:
        """Number of documents."""
        return self._count

    def __iter__(self) -> Iterator[Document]:
        """All documents in order, a block at a time."""
        for block in self.blocks():
            yield from block

    def blocks(self) -> Iterator[Block]:
        """All blocks in order."""
        for number in range(block_count(self._count)):
            yield _get_block(self._store, self._count, number)

    def block(self, number: int) -> Block:
        """One block.

        Raises:
            CorruptPackError: it is missing, damaged, or not what the metadata says.
        """
        return self._block(number)

    def row(self, number: int) -> bytes | None:
        """A block as it is stored."""
        return self._store.get(Table.DOCUMENTS, Part.BLOCKS.key(number))

    def document(self, number: int) -> Document:
        """The document of a number (from 0) that is in range."""
        block, index = divmod(number, BLOCK_DOCUMENTS)
        return self._block(block).document(index)

    def name(self, number: int) -> str:
        """The name of a document whose number (from 0) is in range."""
        block, index = divmod(number, BLOCK_DOCUMENTS)
        return self._block(block).names[index]

    def find(self, name: str) -> int | None:
        """The number of the first document of a name, or None."""
        if self._count <= BLOCK_DOCUMENTS:
            names = self._block(0).names if self._count else []
            return names.index(name) if name in names else None
        first = name_entry(name, 0)
        entries = self.names(name_row(first, name_rows(self._count)))
        for entry in entries[bisect_left(entries, first) :]:
            number = int(entry & _NUMBER_MASK)
            if entry - number != first or number >= self._count:
                break
            if self.name(number) == name:
                return number
        return None

    def names(self, number: int) -> "array[int]":
        """The entries of one row of names; of a pack that has them."""
        return self._names(number)

    @property
    def bounds(self) -> Bounds:
        """Where each block lies in the prompt."""
        if self._known_bounds is None:
            self._known_bounds = _get_bounds(self._store, self._count, self._block)
        return self._known_bounds

    def starting_before(self, offset: int) -> int:
        """How many documents start before an offset."""
        block = bisect_left(self.bounds.starts, offset) - 1
        return block * BLOCK_DOCUMENTS + bisect_left(self._bounded(block).starts, offset) if block >= 0 else 0

    def ended_before(self, offset: int) -> int:
        """How many documents lie before an offset: all their characters do, and an empty one that begins there not."""
        block = bisect_left(self.bounds.stops, offset)
        if block == len(self.bounds.stops):
            return self._count
        found = self._bounded(block)
        index = bisect_left(found.stops, offset)
        ends_here = found.stops[index] == offset and found.starts[index] < offset
        return block * BLOCK_DOCUMENTS + index + ends_here

    def at(self, offset: int) -> Document | None:
        """The document that the character at an offset belongs to."""
        block = bisect_right(self.bounds.starts, offset) - 1
        if block < 0 or offset >= self.bounds.stops[block]:
            return None
        found = self._bounded(block)
        index = bisect_right(found.starts, offset) - 1
        return found.document(index) if offset < found.stops[index] else None

    def _bounded(self, number: int) -> Block:
        """A block, which lies where the bounds say."""
        block = self._block(number)
        if (block.starts[0], block.stops[-1]) != (self.bounds.starts[number], self.bounds.stops[number]):
            message = f"{self._store.name}: documents: bounds: not those of block {number}"
            raise CorruptPackError(message)
        return block


@contextmanager
def _located(store: Store, what: str) -> Iterator[None]:
    try:
        yield
    except CorruptPackError as error:
        message = f"{store.name}: documents: {what}: {error}"
        raise CorruptPackError(message) from error


def _get_block(store: Store, count: int, number: int) -> Block:
    return store.twice(partial(_read_block, store, count, number))


def _read_block(store: Store, count: int, number: int) -> Block:
    sealed = store.get(Table.DOCUMENTS, Part.BLOCKS.key(number))
    with _located(store, f"block {number}"):
        block = parse_block(number, sealed)
        expected = min(BLOCK_DOCUMENTS, count - number * BLOCK_DOCUMENTS)
        if len(block) != expected:
            message = f"{len(block)} documents, expected {expected}"
            raise CorruptPackError(message)
    return block


def _get_names(store: Store, number: int) -> "array[int]":
    return store.twice(partial(_read_names, store, number))


def _read_names(store: Store, number: int) -> "array[int]":
    key = Part.NAMES.key(number)
    sealed = store.get(Table.DOCUMENTS, key)
    with _located(store, f"names, row {number}"):
        if sealed is None:
            message = "missing"
            raise CorruptPackError(message)
        row = codec.unseal(key, sealed)
        if len(row) % 8:
            message = f"{len(row)} bytes are no number of entries"
            raise CorruptPackError(message)
    return parse_names(row)


def _get_bounds(store: Store, count: int, block: Callable[[int], Block]) -> Bounds:
    if count <= BLOCK_DOCUMENTS:
        only = [block(0)] if count else []
        return Bounds([each.starts[0] for each in only], [each.stops[-1] for each in only])
    return store.twice(partial(_read_bounds, store, count))


def _read_bounds(store: Store, count: int) -> Bounds:
    key = Part.BOUNDS.key(0)
    sealed = store.get(Table.DOCUMENTS, key)
    with _located(store, "bounds"):
        if sealed is None:
            message = "missing"
            raise CorruptPackError(message)
        row = codec.unseal(key, sealed)
        if len(row) != block_count(count) * 16:
            message = f"{len(row)} bytes, expected 16 for each of {block_count(count)} blocks"
            raise CorruptPackError(message)
    return Bounds.parse(row)
