r"""The shard directory: what is known of each shard, without touching its row.

Rows of the ``directory`` table, keyed ``column * 2**32 + segment``; all numbers little-endian. A *segment*
is 4,096 consecutive shards; ``n`` below is the number of shards in it, 4,096 in all but the last. Every
row is sealed: the XXH3-64 of the row, seeded with its key, follows it, big-endian.

========= ======= =============================================================================
column    number  row
========= ======= =============================================================================
digests   1       n times 32 bytes
sizes     2       n times ``u32`` UTF-8 bytes, n times ``u32`` blob bytes, n times ``u32``
                  newlines, n times ``u8`` width
checksums 3       n times ``u64``
places    4       only in stores that have pages: a zstd frame of n times ``u32`` parent, n times
                  ``u32`` leaf, n times ``u32`` overflow page, each as the difference to the
                  number before it (modulo 2\ :sup:`32`; to 0 for the first of a row)
root      5       one row, segment 0: for each segment ``<QQ32s``: UTF-8 bytes, newlines, segment digest
========= ======= =============================================================================

A slice reads one row of checksums; lines read sizes; only ``verify`` reads digests. They are written
behind the shards in this order, so that what a remote reader wants first lies last in the file.
Places are a hint for reading pages ahead: a wrong one costs time, never truth.

The segment digest is SHA-256 of the segment's digests in order. The *root digest* of a pack is
SHA-256 of ``<QQ`` length and shard size and then all segment digests: equal texts, cut and
compressed equally, have equal root digests whatever the engine.
"""

import hashlib
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import IntEnum
from functools import lru_cache, partial
from itertools import accumulate, islice, starmap
from typing import NamedTuple

from distributed_prompt.errors import CorruptPackError
from distributed_prompt.geometry import SEGMENT_SHARDS, shard_count
from distributed_prompt.store import codec
from distributed_prompt.store.base import Place, Store, StoreWriter, Table
from distributed_prompt.store.metadata import Metadata
from distributed_prompt.store.places import byte_ranges, create_places, leaf_ranges, parse_places

_CACHED_ROWS = 64
_CACHED_TUPLES = 8  # ten times as large as the rows they are made of
_U64 = struct.Struct("<Q")
_ROOT_ENTRY = struct.Struct("<QQ32s")
_ROOT_HEAD = struct.Struct("<QQ")
_SIZES_BYTES = 13


class Column(IntEnum):
    """The kinds of rows, in the order in which they lie in the file."""

    DIGESTS = 1
    SIZES = 2
    CHECKSUMS = 3
    PLACES = 4
    ROOT = 5

    def key(self, segment: int) -> int:
        """The key of this column's row for one segment."""
        return self << 32 | segment


class ShardRecord(NamedTuple):
    """What the directory keeps of one shard."""

    digest: bytes
    checksum: int
    utf8_bytes: int
    blob_bytes: int
    newlines: int
    width: int


class Sizes(NamedTuple):
    """The sizes of one segment's shards, a number for each."""

    utf8_bytes: tuple[int, ...]
    blob_bytes: tuple[int, ...]
    newlines: tuple[int, ...]
    width: tuple[int, ...]


class RootEntry(NamedTuple):
    """What the root keeps of one segment."""

    utf8_bytes: int
    newlines: int
    digest: bytes


_ENTRY_BYTES = {
    Column.DIGESTS: codec.DIGEST_BYTES,
    Column.SIZES: _SIZES_BYTES,
    Column.CHECKSUMS: _U64.size,
    Column.ROOT: _ROOT_ENTRY.size,
}


class DirectoryWriter:
    """Collects the records of shards in order and writes them all at the end.

    Memory: 53 bytes for each, behind the last whole segment some 300.
    """

    def __init__(self) -> None:
        """Start with no shard."""
        self._packed: dict[Column, list[bytes]] = {column: [] for column in Column}
        self._open: list[ShardRecord] = []
        self._digest = b""

    def add(self, record: ShardRecord) -> None:
        """Take the record of the next shard."""
        self._open.append(record)
        if len(self._open) == SEGMENT_SHARDS:
            self._pack()

    def segment_digest(self) -> bytes:
        """The digest of the shards of the open segment so far; of the last one, if none has come since."""
        return segment_digest(record.digest for record in self._open) if self._open else self._digest

    def _pack(self) -> None:
        records, self._open = self._open, []
        digests = b"".join(record.digest for record in records)
        sizes = Sizes(
            utf8_bytes=tuple(record.utf8_bytes for record in records),
            blob_bytes=tuple(record.blob_bytes for record in records),
            newlines=tuple(record.newlines for record in records),
            width=tuple(record.width for record in records),
        )
        self._packed[Column.DIGESTS].append(digests)
        self._packed[Column.SIZES].append(create_sizes(sizes))
        self._packed[Column.CHECKSUMS].append(b"".join(_U64.pack(record.checksum) for record in records))
        self._digest = _sha256(digests)
        entry = RootEntry(sum(sizes.utf8_bytes), sum(sizes.newlines), self._digest)
        self._packed[Column.ROOT].append(_ROOT_ENTRY.pack(*entry))

    def finish(self, store: StoreWriter, length: int, shard_size: int) -> str:
        """Write all rows behind the shards that ``store`` has by now.

        Returns:
            The root digest.
        """
        if self._open:
            self._pack()
        for column in (Column.DIGESTS, Column.SIZES, Column.CHECKSUMS):
            for segment, row in enumerate(self._packed[column]):
                _put(store, column, segment, row)
        places = (place for _, place in store.places(Table.SHARDS))
        for segment in range(len(self._packed[Column.ROOT])):
            if part := list(islice(places, SEGMENT_SHARDS)):
                _put(store, Column.PLACES, segment, create_places(part))
        root = b"".join(self._packed[Column.ROOT])
        _put(store, Column.ROOT, 0, root)
        return root_digest(length, shard_size, (entry.digest for entry in parse_root(root)))


class Directory:
    """Reads single rows when they are asked for and keeps a few; safe to use from any thread."""

    def __init__(self, store: Store, metadata: Metadata) -> None:
        """Take the open store and its metadata; nothing is read yet."""
        self._store = store
        self._shards = metadata.shards
        self._name = store.name
        self._has_pages = store.has_pages
        self._row = lru_cache(_CACHED_ROWS)(partial(_get, store, metadata.shards))
        self._sizes = lru_cache(_CACHED_TUPLES)(partial(_get_sizes, store, metadata.shards))
        self._newline_sums = lru_cache(_CACHED_TUPLES)(partial(_newline_sums, self._sizes))
        self._root_sums: list[int] | None = None

    def checksum(self, shard: int) -> int:
        """The fast sum that the shard's blob must have."""
        segment, index = divmod(shard, SEGMENT_SHARDS)
        number: int = _U64.unpack_from(self._row(Column.CHECKSUMS, segment), index * _U64.size)[0]
        return number

    def expect(self, first: int, last: int) -> None:
        """Take note that shards are asked for soon, so that where they lie and their checksums are."""
        if self._store.is_far:
            segments = range(first // SEGMENT_SHARDS, last // SEGMENT_SHARDS + 1)
            columns = (Column.CHECKSUMS, Column.PLACES)
            self._store.expect(Table.DIRECTORY, [column.key(each) for column in columns for each in segments])
            for segment in segments:
                base = segment * SEGMENT_SHARDS
                with suppress(CorruptPackError):
                    places = self.places(segment)
                    stop = min(last - base + 1, len(places))
                    found = list(byte_ranges(places, range(max(0, first - base), stop)))
                    # Where a range of rows ends is seen from the key of the next one.
                    found += leaf_ranges(places[stop : stop + 1])
                    self._store.expect_bytes(found)

    def record(self, shard: int) -> ShardRecord:
        """All that is kept of one shard."""
        segment, index = divmod(shard, SEGMENT_SHARDS)
        digest = self._row(Column.DIGESTS, segment)[index * codec.DIGEST_BYTES : (index + 1) * codec.DIGEST_BYTES]
        return ShardRecord(digest, self.checksum(shard), *(column[index] for column in self.sizes(segment)))

    def sizes(self, segment: int) -> Sizes:
        """The sizes of one segment's shards."""
        return self._sizes(segment)

    def root(self) -> list[RootEntry]:
        """What is known of whole segments."""
        return parse_root(self._row(Column.ROOT, 0))

    def places(self, segment: int) -> list[Place]:
        """Where one segment's blobs lie in the file; empty in a store without pages.

        Raises:
            CorruptPackError: there should be a row, but it is missing or damaged. The text is not: a
                reader that wants a hint does without.
        """
        if not self._has_pages:
            return []
        expected = min(SEGMENT_SHARDS, self._shards - segment * SEGMENT_SHARDS)
        try:
            places = parse_places(self._row(Column.PLACES, segment))
            what = f"{len(places)} for {expected} shards"
        except CorruptPackError as error:
            places, what = [], str(error).removeprefix(f"{self._name}: ")
        if len(places) != expected:
            message = f"{self._name}: directory: places of segment {segment}: {what}"
            raise CorruptPackError(message)
        return places

    def newlines_before(self, shard: int) -> int:
        """Newlines in all shards before this one; ``shard`` may be one past the last."""
        segment, index = divmod(shard, SEGMENT_SHARDS)
        before = self._newline_root()[segment]
        return before + self._newline_sums(segment)[index] if index else before

    def find_newline(self, ordinal: int) -> tuple[int, int]:
        """Where newline number ``ordinal`` (from 0) is, which must exist: its shard, and its number in there."""
        root = self._newline_root()
        segment = bisect_right(root, ordinal) - 1
        ordinal -= root[segment]
        sums = self._newline_sums(segment)
        index = bisect_right(sums, ordinal) - 1
        return segment * SEGMENT_SHARDS + index, ordinal - sums[index]

    def _newline_root(self) -> list[int]:
        if self._root_sums is None:
            self._root_sums = list(accumulate((entry.newlines for entry in self.root()), initial=0))
        return self._root_sums


def create_sizes(sizes: Sizes) -> bytes:
    """The row of sizes of one segment."""
    count = len(sizes.width)
    return struct.pack(f"<{3 * count}I{count}B", *sizes.utf8_bytes, *sizes.blob_bytes, *sizes.newlines, *sizes.width)


def parse_sizes(row: bytes) -> Sizes:
    """The inverse of :func:`create_sizes`."""
    count = len(row) // _SIZES_BYTES
    numbers = struct.unpack(f"<{3 * count}I{count}B", row)
    return Sizes(*(numbers[at * count : (at + 1) * count] for at in range(4)))


def parse_root(row: bytes) -> list[RootEntry]:
    """The root row as values."""
    return list(starmap(RootEntry, _ROOT_ENTRY.iter_unpack(row)))


def root_digest(length: int, shard_size: int, segments: Iterable[bytes]) -> str:
    """The hexadecimal digest that names a pack's text, cut and compression."""
    return _sha256(_ROOT_HEAD.pack(length, shard_size) + b"".join(segments)).hex()


def segment_digest(digests: Iterable[bytes]) -> bytes:
    """The digest of one segment from those of its shards."""
    return _sha256(b"".join(digests))


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _put(store: StoreWriter, column: Column, segment: int, row: bytes) -> None:
    key = column.key(segment)
    store.put(Table.DIRECTORY, key, codec.seal(key, row))


def _get(store: Store, shards: int, column: Column, segment: int) -> bytes:
    return store.twice(partial(_read, store, shards, column, segment))


def _read(store: Store, shards: int, column: Column, segment: int) -> bytes:
    """A row, unsealed, and of the length that it must have."""
    key = column.key(segment)
    where = f"{store.name}: directory: {column.name.lower()} of segment {segment}"
    row = store.get(Table.DIRECTORY, key)
    if row is None:
        message = f"{where}: missing"
        raise CorruptPackError(message)
    try:
        unsealed = codec.unseal(key, row)
    except CorruptPackError as error:
        message = f"{where}: {error}"
        raise CorruptPackError(message) from error
    if column in _ENTRY_BYTES:
        root = column is Column.ROOT
        count = shard_count(shards, SEGMENT_SHARDS) if root else min(SEGMENT_SHARDS, shards - segment * SEGMENT_SHARDS)
        if len(unsealed) != count * _ENTRY_BYTES[column]:
            message = f"{where}: {len(unsealed)} bytes, expected {count} times {_ENTRY_BYTES[column]}"
            raise CorruptPackError(message)
    return unsealed


def _get_sizes(store: Store, shards: int, segment: int) -> Sizes:
    return parse_sizes(_get(store, shards, Column.SIZES, segment))


def _newline_sums(sizes: Callable[[int], Sizes], segment: int) -> list[int]:
    return list(accumulate(sizes(segment).newlines, initial=0))
