"""The n-gram index: for every bucket of grams, which shards have it.

Rows of the ``ngrams`` table, keyed ``segment * 2**32 + number``, each sealed as those of the directory are, but bound
to the segment's digest as well: the index of another text is damage. A segment of fewer than ``LEAST_SHARDS`` shards
has none: all of them may have anything. Of ``n`` shards, in rows of ``ceil(n / 8)`` bytes, bit ``i`` of byte ``i //
8`` (the lowest first) stands for shard ``i``:

======== =================================================================================================
number   row
======== =================================================================================================
0        a zstd frame of a byte for each bucket and flag: in how many shards it is, roughly (:func:`rough`)
1 + g    a zstd frame of the ``GROUP`` bit rows of the buckets or flags ``g * GROUP`` and on
======== =================================================================================================

What buckets and flags are says :mod:`distributed_prompt.text.grams`. A shard's are those of its text and of the 256
bytes before it, so they change with nothing behind it: the rows of a whole segment stay as they are when a pack grows.
Shards of less than ``LEAST_SIZE`` characters are not indexed: the index would take as much as they do.

The rows of a segment lie behind its shards.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

from distributed_prompt.errors import CorruptPackError
from distributed_prompt.fork_gate import importing
from distributed_prompt.geometry import SEGMENT_SHARDS
from distributed_prompt.store import codec
from distributed_prompt.store.base import Store, StoreWriter, Table
from distributed_prompt.store.directory import Directory
from distributed_prompt.store.metadata import NGRAMS_FEATURE, Metadata
from distributed_prompt.text.grams import ENTRIES
from distributed_prompt.workers import map_ahead

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_SHARDS = 64
LEAST_SIZE = 2**15
GROUP = 64
GROUPS = ENTRIES // GROUP
_LEVEL = 1
_TASK_GROUPS = 32
_CACHED_GROUPS = 64  # of 32 KiB each
_CACHED_COUNTS = 32  # of 64 KiB each


def is_indexed(shard_size: int) -> bool:
    """Whether shards of this size are worth it."""
    return shard_size >= LEAST_SIZE


def rough(count: int) -> int:
    """A count in a byte: 4 bits that say how many bits it has, and the 4 bits behind the first of them."""
    bits = count.bit_length()
    return bits << 4 | (count << 4 >> (bits - 1) & 15 if bits else 0)


class OpenSegment:
    """What the shards of a segment have: at most 32 MB.

    Attributes:
        shards: how many there are.
    """

    def __init__(self) -> None:
        """No shard yet."""
        self.shards = 0
        self._matrix: Any = None

    def add(self, entries: "NDArray[np.uint8]") -> None:
        """Take what the next shard has, as :func:`~distributed_prompt.text.grams.entries` says it."""
        byte, bit = divmod(self.shards, 8)
        self._rows()[byte] |= entries << bit
        self.shards += 1

    def resume(self, groups: Iterator[bytes], shards: int) -> None:
        """Take what the first shards of a segment have from its groups in a pack."""
        with importing:
            import numpy as np  # noqa: PLC0415  # as in text/grams.py

        matrix, used = self._rows(), -(-shards // 8)
        for number, group in enumerate(groups):
            columns = np.frombuffer(group, np.uint8).reshape(GROUP, -1)[:, :used].T
            matrix[:used, number * GROUP : (number + 1) * GROUP] = columns
        if shards % 8:
            matrix[used - 1] &= (1 << shards % 8) - 1
        self.shards = shards

    def rows(self, made: Callable[[bytes], bytes]) -> Iterator[bytes]:
        """What is made of each of the rows, in order; worker threads do that."""
        counts = bytearray()
        rows: list[bytes] = []
        matrix = self._rows()[: -(-self.shards // 8)]
        firsts = range(0, GROUPS, _TASK_GROUPS)
        for part_counts, part_rows in map_ahead(partial(_group_rows, matrix, made), firsts):
            counts += part_counts
            rows += part_rows
        yield made(bytes(counts))
        yield from rows

    def _rows(self) -> Any:
        """For eight shards each, a byte for each bucket and flag."""
        if self._matrix is None:
            with importing:
                import numpy as np  # noqa: PLC0415  # as above

            self._matrix = np.zeros((SEGMENT_SHARDS // 8, ENTRIES), np.uint8)
        return self._matrix


def _group_rows(matrix: "NDArray[np.uint8]", made: Callable[[bytes], bytes], first: int) -> tuple[bytes, list[bytes]]:
    """Rough counts, and what is made of the bit rows, of some groups."""
    with importing:
        import numpy as np  # noqa: PLC0415  # as above

    last = min(first + _TASK_GROUPS, GROUPS)
    bits = np.ascontiguousarray(matrix[:, first * GROUP : last * GROUP].T)
    counts = np.zeros(len(bits), np.int64)
    ones = np.array([number.bit_count() for number in range(256)], np.uint8)
    for column in range(bits.shape[1]):
        counts += ones[bits[:, column]]
    return bytes(map(rough, counts.tolist())), [made(row.tobytes()) for row in bits.reshape(last - first, -1)]


class NgramsWriter:
    """Writes the rows of each segment when it is full."""

    def __init__(self, store: StoreWriter) -> None:
        """Begin with no shard."""
        self._store = store
        self._number = 0
        self._segment = OpenSegment()

    def add(self, entries: "NDArray[np.uint8]") -> None:
        """Take what the next shard has, as :func:`~distributed_prompt.text.grams.entries` says it."""
        self._segment.add(entries)

    def copy(self, rows: list[tuple[int, bytes]]) -> None:
        """Take the rows of the next segment, all of it, as they are stored."""
        for key, row in rows:
            self._store.put(Table.NGRAMS, key, row)
        self._number += 1

    def resume(self, groups: Iterator[bytes], shards: int) -> None:
        """Take what the first shards of the next segment have from its groups in a pack."""
        self._segment.resume(groups, shards)

    def finish(self, digest: bytes) -> None:
        """Write the rows of the open segment, which has this digest, and begin the next."""
        if self._segment.shards >= LEAST_SHARDS:
            for number, row in enumerate(self._segment.rows(partial(codec.compress, level=_LEVEL))):
                key = _key(self._number, number)
                self._store.put(Table.NGRAMS, key, codec.seal(key, row, digest))
        self._number += 1
        self._segment = OpenSegment()


class _Rows:
    """The rows of an index as they are read; apart, for a cache of what an object's own method gives keeps it alive."""

    def __init__(self, store: Store, metadata: Metadata, directory: Directory) -> None:
        self.store = store
        self._metadata = metadata
        self._directory = directory

    def shards(self, segment: int) -> int:
        return max(0, min(SEGMENT_SHARDS, self._metadata.shards - segment * SEGMENT_SHARDS))

    def counts(self, segment: int) -> bytes:
        return self._read(segment, 0, ENTRIES)

    def group(self, segment: int, group: int) -> bytes:
        return self._read(segment, 1 + group, GROUP * -(-self.shards(segment) // 8))

    def _read(self, segment: int, number: int, size: int) -> bytes:
        return self.store.twice(partial(self._read_once, segment, number, size))

    def _read_once(self, segment: int, number: int, size: int) -> bytes:
        row = self.store.get(Table.NGRAMS, _key(segment, number))
        if row is None:
            raise self.corrupt(segment, number, "missing")
        try:
            found = codec.decompress(self.unsealed(segment, number, row), size)
        except CorruptPackError as error:
            if str(error).startswith(self.store.name):
                raise
            raise self.corrupt(segment, number, str(error)) from error
        if len(found) != size:
            raise self.corrupt(segment, number, f"{len(found)} bytes, expected {size}")
        return found

    def unsealed(self, segment: int, number: int, row: bytes) -> bytes:
        try:
            return codec.unseal(_key(segment, number), row, self._directory.root()[segment].digest)
        except CorruptPackError as error:
            raise self.corrupt(segment, number, str(error)) from error

    def corrupt(self, segment: int, number: int, what: str) -> CorruptPackError:
        return CorruptPackError(f"{self.store.name}: n-gram index: row {number} of segment {segment}: {what}")


class Ngrams:
    """Reads single rows when they are asked for and keeps a few; safe to use from any thread.

    Attributes:
        exists: whether the pack has an index.
    """

    def __init__(self, store: Store, metadata: Metadata, directory: Directory) -> None:
        """Take the open store, its metadata and directory; nothing is read yet."""
        self.exists = NGRAMS_FEATURE in metadata.features
        self._store = store
        self._metadata = metadata
        self._rows = _Rows(store, metadata, directory)
        self._counts = lru_cache(_CACHED_COUNTS)(self._rows.counts)
        self._group = lru_cache(_CACHED_GROUPS)(self._rows.group)

    def shards(self, segment: int) -> int:
        """How many shards a segment has."""
        return self._rows.shards(segment)

    def covers(self, segment: int) -> bool:
        """Whether a segment has rows."""
        return self.exists and self.shards(segment) >= LEAST_SHARDS

    @property
    def is_far(self) -> bool:
        """Whether it pays to say what will be asked for."""
        return self._store.is_far

    def expect_counts(self, segments: Iterable[int]) -> None:
        """Take note that the counts of some segments are asked for soon."""
        self._store.expect(Table.NGRAMS, [_key(segment, 0) for segment in segments if self.covers(segment)])

    def expect_bitmaps(self, entries: Iterable[tuple[int, int]]) -> None:
        """Take note that the shards are asked for soon that have some buckets or flags, each after its segment."""
        keys = {_key(segment, 1 + entry // GROUP) for segment, entry in entries}
        self._store.expect(Table.NGRAMS, sorted(keys))

    def counts(self, segment: int) -> bytes:
        """For each bucket and flag, roughly how many shards have it.

        Raises:
            CorruptPackError: the row is missing or damaged.
        """
        return self._counts(segment)

    def bitmap(self, segment: int, entry: int) -> int:
        """The shards of a segment that have a bucket or flag, the lowest bit for the first of them.

        Raises:
            CorruptPackError: the row is missing or damaged.
        """
        group, number = divmod(entry, GROUP)
        width = -(-self.shards(segment) // 8)
        return int.from_bytes(self._group(segment, group)[number * width : (number + 1) * width], "little")

    def groups(self, segment: int) -> Iterator[bytes]:
        """The bit rows of a segment, ``GROUP`` together.

        Raises:
            CorruptPackError: a row is missing or damaged.
        """
        return (self._rows.group(segment, group) for group in range(GROUPS))

    def stored(self, segment: int) -> list[tuple[int, bytes]]:
        """All rows of a segment as they are stored, their checksums compared.

        Raises:
            CorruptPackError: a row is missing or damaged.
        """
        first = _key(segment, 0)
        rows = self._store.get_range(Table.NGRAMS, first, first + GROUPS + 1)
        if len(rows) != GROUPS + 1:
            raise self._rows.corrupt(segment, 0, f"{len(rows)} rows, expected {GROUPS + 1}")
        for key, row in rows:
            self._rows.unsealed(segment, key - first, row)
        return rows

    def keys(self) -> Iterator[range]:
        """The keys of all rows that there must be."""
        for segment in range(-(-self._metadata.shards // SEGMENT_SHARDS)):
            if self.covers(segment):
                yield range(_key(segment, 0), _key(segment, GROUPS + 1))

    def differences(self, segment: int, found: OpenSegment | None) -> Iterator[str]:
        """What is damaged, or not as the shards of a segment make it; only the former if these are not known."""
        if not self.covers(segment):
            return
        expected = found.rows(bytes) if found else repeat(b"", GROUPS + 1)
        for number, row in enumerate(expected):
            try:
                read = self._rows.group(segment, number - 1) if number else self._rows.counts(segment)
            except CorruptPackError as error:
                yield str(error)
            else:
                if found and read != row:
                    yield f"n-gram index: row {number} of segment {segment} is not what its shards make it"


def _key(segment: int, number: int) -> int:
    return segment << 32 | number
