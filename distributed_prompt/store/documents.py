"""The documents table: which range of the prompt came from which input, and how its bytes come back.

Rows are keyed ``kind * 2**32 + number`` and sealed like those of the directory; numbers are little-endian.

======= ======= =======================================================================================
kind    number  row
======= ======= =======================================================================================
batches 0       row ``b``: documents ``256 * b`` to ``256 * b + 255`` in order of their offsets, as a zstd
                frame of a JSON object with one list a field of :class:`Document`
names   1       where each name is: for each document ``<Q`` the 32 bits of its name's hash and then its
                number, ascending; ``2**bits`` rows of some 2,048 each, the row by the hash's first bits
bounds  2       one row: for each batch ``<QQ`` start of its first document, stop of its last
======= ======= =======================================================================================

A pack with no more documents than one batch holds has neither names nor bounds: the batch tells. Others have both, and
the feature ``document-index``. The hash of a name is the upper half of the XXH3-64 of its UTF-8.

Batches are written in groups of 16 as soon as a shard behind the last document of a group is written: appending
to a pack then leaves its full groups where they were, and what lists all names reads few ranges of the file.

Names are POSIX paths; bytes of a name that are not UTF-8 stand as lone surrogates (``os.fsdecode``).
"""

import hashlib
import json
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from enum import IntEnum
from operator import attrgetter
from typing import NamedTuple, Self

from distributed_prompt.errors import CorruptPackError
from distributed_prompt.fork_gate import importing
from distributed_prompt.geometry import shard_count
from distributed_prompt.store import codec
from distributed_prompt.store.base import StoreWriter, Table

BATCH_DOCUMENTS = 256
HASH_BITS = 32
NUMBER_MASK = 2**HASH_BITS - 1
_GROUP_BATCHES = 16
_ROW_NAMES = 2_048
_LEVEL = 9
_MAX_BATCH_BYTES = 2**23
_BOUNDS = struct.Struct("<QQ")


class RowKind(IntEnum):
    """The kinds of rows, in the order in which they lie in the file."""

    BATCHES = 0
    NAMES = 1
    BOUNDS = 2

    def key(self, number: int) -> int:
        """The key of this kind's row of a number."""
        return self << 32 | number


@dataclass(frozen=True, slots=True)
class Document:
    """One input file as a named range of the prompt.

    Attributes:
        name: POSIX path.
        start: offset of its first character.
        stop: offset after its last character.
        encoding: what its bytes were decoded with, one of Python's standard encodings.
        errors: the error mode they were decoded with.
        newlines: ``keep``, or ``universal`` if they were translated.
        source_bytes: how many bytes it had.
        sha256: hexadecimal, of those bytes.
        exact: whether its text, encoded by an incremental encoder that is given the pack's shards one by one,
            is those bytes again; proved when it was packed.
    """

    name: str
    start: int
    stop: int
    encoding: str
    errors: str
    newlines: str
    source_bytes: int
    sha256: str
    exact: bool


_FIELDS = tuple(field.name for field in fields(Document))
_values = attrgetter(*_FIELDS)  # dataclasses.astuple copies every value


class Batch:
    """Consecutive documents by column: one that is wanted is made when it is.

    Attributes:
        names: a name each.
        starts: the offset of the first character each.
        stops: the offset after the last character each.
    """

    def __init__(self, columns: list[list[object]]) -> None:
        """Take the columns, in the order of :class:`Document`'s fields."""
        self._columns = columns
        self.names: list[str] = columns[0]  # type: ignore[assignment]  # checked when they are parsed
        self.starts: list[int] = columns[1]  # type: ignore[assignment]
        self.stops: list[int] = columns[2]  # type: ignore[assignment]

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.names)

    def document(self, index: int) -> Document:
        """One of them."""
        return Document(*(column[index] for column in self._columns))  # type: ignore[arg-type]  # as above

    def __iter__(self) -> Iterator[Document]:
        """All of them, in order."""
        return map(self.document, range(len(self)))


def create_batch(number: int, documents: Iterable[Document]) -> bytes:
    """The row of a batch."""
    columns = dict(zip(_FIELDS, map(list, zip(*map(_values, documents), strict=True)), strict=True))
    data = json.dumps(columns, separators=(",", ":")).encode("ascii")
    return codec.seal(RowKind.BATCHES.key(number), codec.compress(data, _LEVEL))


def parse_batch(number: int, sealed: bytes | None) -> Batch:
    """The inverse of :func:`create_batch`.

    Raises:
        CorruptPackError: it is missing or damaged; the message lacks the place, callers add it.
    """
    if sealed is None:
        message = "missing"
        raise CorruptPackError(message)
    try:
        columns = json.loads(codec.decompress(codec.unseal(RowKind.BATCHES.key(number), sealed), _MAX_BATCH_BYTES))
        found = [columns[name] for name in _FIELDS]
        for field, column in zip(fields(Document), found, strict=True):
            wrong = [value for value in column if type(value) is not field.type]
            if wrong or type(column) is not list or len(column) != len(found[0]):
                message = f"{field.name} {str(wrong or column)[:80]} cannot be"
                raise CorruptPackError(message)
        edges = [edge for pair in zip(columns["start"], columns["stop"], strict=True) for edge in pair]
        if edges != sorted(edges) or edges[0] < 0:
            message = "documents overlap, or end before they begin"
            raise CorruptPackError(message)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        message = str(error) if isinstance(error, CorruptPackError) else f"is no batch ({error!r:.80})"
        raise CorruptPackError(message) from error
    return Batch(found)


class Bounds(NamedTuple):
    """Where each batch of documents lies in the prompt."""

    starts: list[int]
    stops: list[int]

    def create(self) -> bytes:
        """The row of bounds."""
        return b"".join(map(_BOUNDS.pack, self.starts, self.stops))

    @classmethod
    def parse(cls, row: bytes) -> Self:
        """The inverse of :meth:`create`; the row is a whole number of pairs."""
        numbers = struct.unpack(f"<{len(row) // 8}Q", row)
        return cls(list(numbers[::2]), list(numbers[1::2]))


def name_entry(name: str, number: int) -> int:
    """What the rows of names hold for a document; without its number, where its entries begin."""
    return codec.name_hash(name) << HASH_BITS | number


def name_rows(count: int) -> int:
    """How many rows the names of so many documents take: a power of two."""
    return 1 << ((count - 1) // _ROW_NAMES).bit_length()


def name_row(entry: int, rows: int) -> int:
    """The number of the row that an entry is in."""
    return (entry >> HASH_BITS) * rows >> HASH_BITS


def parse_names(row: bytes) -> "array[int]":
    """The entries of a row of names, which is a whole number of them."""
    return _little_endian(array("Q", row))


def create_names(entries: "array[int]") -> bytes:
    """The inverse of :func:`parse_names`."""
    return _little_endian(entries[:]).tobytes()


def _little_endian(numbers: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


class DocumentsWriter:
    """Writes the documents table of one pack, a group of batches at a time: 8 bytes held a document.

    Attributes:
        count: how many documents it has been given.
    """

    def __init__(self, store: StoreWriter) -> None:
        """Begin."""
        self._store = store
        self._open: list[Document] = []
        self._rows: list[bytes] = []
        self._written = 0
        self._bounds = Bounds([], [])
        self._entries = array("Q")
        self._sha256 = hashlib.sha256()

    @property
    def count(self) -> int:
        """How many documents it has been given."""
        return len(self._entries)

    def add(self, document: Document) -> None:
        """Take the next document."""
        self._entries.append(name_entry(document.name, self.count))
        self._open.append(document)
        if len(self._open) == BATCH_DOCUMENTS:
            self._close_batch()

    def add_batch(self, batch: Batch, row: bytes) -> None:
        """Take a batch that another pack has under the same number. All are full, but for the very last document's."""
        for name in batch.names:
            self._entries.append(name_entry(name, self.count))
        self._take(row, batch.starts[0], batch.stops[-1])

    def _close_batch(self) -> None:
        documents, self._open = self._open, []
        row = create_batch(len(self._bounds.starts), documents)
        self._take(row, documents[0].start, documents[-1].stop)

    def _take(self, row: bytes, start: int, stop: int) -> None:
        self._rows.append(row)
        self._sha256.update(row)
        self._bounds.starts.append(start)
        self._bounds.stops.append(stop)

    def flush(self, length: int) -> None:
        """Write the groups that lie before an offset: what is written so far.

        To be called after every shard, whatever was added: groups then lie at the same places in equal packs.
        """
        while len(self._rows) >= _GROUP_BATCHES and self._bounds.stops[self._written + _GROUP_BATCHES - 1] < length:
            self._write(_GROUP_BATCHES)

    def _write(self, count: int) -> None:
        for row in self._rows[:count]:
            self._store.put(Table.DOCUMENTS, RowKind.BATCHES.key(self._written), row)
            self._written += 1
        del self._rows[:count]

    def finish(self) -> str:
        """Write the rest.

        Returns:
            The hexadecimal SHA-256 of the batches' rows in order, which the metadata keeps.
        """
        if self._open:
            self._close_batch()
        self._write(len(self._rows))
        if self.count > BATCH_DOCUMENTS:
            rows = name_rows(self.count)
            for number, row in create_name_rows(self._entries, rows):
                self._put(RowKind.NAMES.key(number), row)
            self._put(RowKind.BOUNDS.key(0), self._bounds.create())
        return self._sha256.hexdigest()

    def _put(self, key: int, row: bytes) -> None:
        self._store.put(Table.DOCUMENTS, key, codec.seal(key, row))


def create_name_rows(entries: "array[int]", rows: int) -> Iterator[tuple[int, bytes]]:
    """The numbers and rows of names, in order. Sorts the entries in their place."""
    with importing:
        import numpy as np  # noqa: PLC0415  # costs 100 ms, and only packs of many documents need it

    np.frombuffer(entries, np.uint64).sort()
    start = 0
    for number in range(rows):
        stop = bisect_left(entries, ((number + 1) << 2 * HASH_BITS) // rows, start)
        yield number, create_names(entries[start:stop])
        start = stop


def batch_count(documents: int) -> int:
    """Batches that so many documents take."""
    return shard_count(documents, BATCH_DOCUMENTS)
