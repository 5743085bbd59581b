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
    BATCH_DOCUMENTS,
    NUMBER_MASK,
    Batch,
    Bounds,
    Document,
    RowKind,
    batch_count,
    name_entry,
    name_row,
    name_rows,
    parse_batch,
    parse_names,
)

_CACHED_BATCHES = 16
_CACHED_NAME_ROWS = 16


class DocumentTable:
    """Reads batches when they are asked for and keeps a few; safe to use from any thread."""

    def __init__(self, store: Store, count: int) -> None:
        """Take the open store and how many documents its metadata promises; nothing is read yet."""
        self._store = store
        self._count = count
        self._batch = lru_cache(_CACHED_BATCHES)(partial(_get_batch, store, count))
        self._names = lru_cache(_CACHED_NAME_ROWS)(partial(_get_names, store))
        self._known_bounds: Bounds | None = None

    def __len__(self) -> int:
        """Number of documents."""
        return self._count

    def __iter__(self) -> Iterator[Document]:
        """All documents in order, a batch at a time."""
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[Batch]:
        """All batches in order.

        Raises:
            CorruptPackError: one is missing, damaged, or not what the metadata says.
        """
        for number in range(batch_count(self._count)):
            yield _get_batch(self._store, self._count, number)

    def row(self, number: int) -> bytes | None:
        """A batch as it is stored."""
        return self._store.get(Table.DOCUMENTS, RowKind.BATCHES.key(number))

    def document(self, number: int) -> Document:
        """The document of a number (from 0) that is in range."""
        batch, index = divmod(number, BATCH_DOCUMENTS)
        return self._batch(batch).document(index)

    def name(self, number: int) -> str:
        """The name of a document whose number (from 0) is in range."""
        batch, index = divmod(number, BATCH_DOCUMENTS)
        return self._batch(batch).names[index]

    def find(self, name: str, first: int = 0) -> int | None:
        """The number of the document of a name, or None; it is looked for from a number on."""
        number = self._find(name)
        return None if number is None or number < first else number

    def _find(self, name: str) -> int | None:
        if self._count <= BATCH_DOCUMENTS:
            names = self._batch(0).names if self._count else []
            return names.index(name) if name in names else None
        first = name_entry(name, 0)
        entries = self.names(name_row(first, name_rows(self._count)))
        for entry in entries[bisect_left(entries, first) :]:
            number = int(entry & NUMBER_MASK)
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
        """Where each batch lies in the prompt."""
        if self._known_bounds is None:
            self._known_bounds = _get_bounds(self._store, self._count, self._batch)
        return self._known_bounds

    def starting_before(self, offset: int) -> int:
        """How many documents start before an offset."""
        batch = bisect_left(self.bounds.starts, offset) - 1
        return batch * BATCH_DOCUMENTS + bisect_left(self._bounded(batch).starts, offset) if batch >= 0 else 0

    def ended_before(self, offset: int) -> int:
        """How many documents lie before an offset: all their characters do, and an empty one that begins there not."""
        batch = bisect_left(self.bounds.stops, offset)
        if batch == len(self.bounds.stops):
            return self._count
        found = self._bounded(batch)
        index = bisect_left(found.stops, offset)
        ends_here = found.stops[index] == offset and found.starts[index] < offset
        return batch * BATCH_DOCUMENTS + index + ends_here

    def at(self, offset: int) -> Document | None:
        """The document that the character at an offset belongs to."""
        batch = bisect_right(self.bounds.starts, offset) - 1
        if batch < 0 or offset >= self.bounds.stops[batch]:
            return None
        found = self._bounded(batch)
        index = bisect_right(found.starts, offset) - 1
        return found.document(index) if offset < found.stops[index] else None

    def _bounded(self, number: int) -> Batch:
        """A batch, which lies where the bounds say."""
        batch = self._batch(number)
        if (batch.starts[0], batch.stops[-1]) != (self.bounds.starts[number], self.bounds.stops[number]):
            message = f"{self._store.name}: documents: bounds: not those of batch {number}"
            raise CorruptPackError(message)
        return batch


@contextmanager
def _located(store: Store, what: str) -> Iterator[None]:
    try:
        yield
    except CorruptPackError as error:
        message = f"{store.name}: documents: {what}: {error}"
        raise CorruptPackError(message) from error


def _get_batch(store: Store, count: int, number: int) -> Batch:
    return store.twice(partial(_read_batch, store, count, number))


def _read_batch(store: Store, count: int, number: int) -> Batch:
    sealed = store.get(Table.DOCUMENTS, RowKind.BATCHES.key(number))
    with _located(store, f"batch {number}"):
        batch = parse_batch(number, sealed)
        expected = min(BATCH_DOCUMENTS, count - number * BATCH_DOCUMENTS)
        if len(batch) != expected:
            message = f"{len(batch)} documents, expected {expected}"
            raise CorruptPackError(message)
    return batch


def _get_names(store: Store, number: int) -> "array[int]":
    return store.twice(partial(_read_names, store, number))


def _read_names(store: Store, number: int) -> "array[int]":
    key = RowKind.NAMES.key(number)
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


def _get_bounds(store: Store, count: int, batch: Callable[[int], Batch]) -> Bounds:
    if count <= BATCH_DOCUMENTS:
        only = [batch(0)] if count else []
        return Bounds([each.starts[0] for each in only], [each.stops[-1] for each in only])
    return store.twice(partial(_read_bounds, store, count))


def _read_bounds(store: Store, count: int) -> Bounds:
    key = RowKind.BOUNDS.key(0)
    sealed = store.get(Table.DOCUMENTS, key)
    with _located(store, "bounds"):
        if sealed is None:
            message = "missing"
            raise CorruptPackError(message)
        row = codec.unseal(key, sealed)
        if len(row) != batch_count(count) * 16:
            message = f"{len(row)} bytes, expected 16 for each of {batch_count(count)} batches"
            raise CorruptPackError(message)
    return Bounds.parse(row)
