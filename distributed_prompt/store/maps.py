"""Where the rows of a pack lie in its file, for whoever reads that from afar.

Rows of the ``maps`` table, which only stores with pages have, keyed ``kind * 2**32 + segment``, sealed like those of
the directory. Each is ``u32`` bytes of a zstd frame, that frame of n times ``u64`` key, and then n places as in the
directory's column of that name.

========= ==== ====================================================
kind           rows
========= ==== ====================================================
directory 0    all of the directory (segment 0)
documents 1    all documents (segment 0)
ngrams    2    those of the n-gram index of one segment
========= ==== ====================================================

Where shards lie says the directory. The table is written last, so that a range from the end of the file has it. All
this is a hint: what is wrong or missing costs time, never truth.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from itertools import groupby
from sys import byteorder
from typing import NamedTuple
from weakref import proxy

from distributed_prompt.errors import CorruptPackError
from distributed_prompt.store import codec
from distributed_prompt.store.base import Place, Store, StoreWriter, Table
from distributed_prompt.store.places import byte_ranges, create_places, parse_places

_KINDS = {Table.DIRECTORY: 0, Table.DOCUMENTS: 1, Table.NGRAMS: 2}
_SEGMENT_BITS = 32
_LENGTH_BYTES = 4
_KEY_BYTES = 8
_LEVEL = 9
# Of 2**20 rows; those of the documents of ten billion characters are fewer.
_MAX_BYTES = 2**23
_CACHED_MAPS = 64


class _Map(NamedTuple):
    """Places by key."""

    numbers: dict[int, int]
    places: list[Place]


def write_maps(store: StoreWriter) -> None:
    """Write where all other rows lie, behind them."""
    for table, kind in _KINDS.items():
        for segment, group in groupby(store.places(table), partial(_segment, table)):
            found = list(group)
            keys = array("Q", [key for key, _ in found])
            if byteorder == "big":
                keys.byteswap()
            row = codec.compress(keys.tobytes(), _LEVEL)
            key = kind << _SEGMENT_BITS | segment
            places = create_places([place for _, place in found])
            store.put(Table.MAPS, key, codec.seal(key, len(row).to_bytes(_LENGTH_BYTES, "little") + row + places))


def _segment(table: Table, row: tuple[int, Place]) -> int:
    return row[0] >> _SEGMENT_BITS if table is Table.NGRAMS else 0


class Maps:
    """Says of some rows where they lie. Safe to use from any thread."""

    def __init__(self, store: Store) -> None:
        """Take the open store; nothing is read yet."""
        # The store has these, and is to go when nobody has it any more.
        self._map = lru_cache(_CACHED_MAPS)(partial(_read, proxy(store)))

    def ranges(self, table: Table, keys: Iterable[int]) -> list[range]:
        """The bytes of the file that some rows are in; of rows that are not mapped, none."""
        found: list[range] = []
        for key in keys:
            numbers, places = self._map(table, key >> _SEGMENT_BITS if table is Table.NGRAMS else 0)
            if key in numbers:
                found += byte_ranges(places, [numbers[key]])
        return found


def _read(store: Store, table: Table, segment: int) -> _Map:
    try:
        return _parse(store, _KINDS[table] << _SEGMENT_BITS | segment)
    except CorruptPackError:
        return _Map({}, [])


def map_problems(store: Store, has_segment: Callable[[int], bool]) -> Iterator[str]:
    """What is damaged in the maps, or belongs to nothing.

    Args:
        store: an open store.
        has_segment: whether a segment has an index.
    """
    for key in store.keys(Table.MAPS):
        kind, segment = divmod(key, 1 << _SEGMENT_BITS)
        is_expected = has_segment(segment) if kind == _KINDS[Table.NGRAMS] else kind in _KINDS.values() and not segment
        if not is_expected:
            yield f"{Table.MAPS}: row {key} belongs to nothing"
            continue
        try:
            _parse(store, key)
        except CorruptPackError as error:
            yield f"{Table.MAPS}: row {key}: {error}"


def _parse(store: Store, key: int) -> _Map:
    row = codec.unseal(key, store.get(Table.MAPS, key) or b"")
    split = _LENGTH_BYTES + int.from_bytes(row[:_LENGTH_BYTES], "little")
    found = codec.decompress(row[_LENGTH_BYTES:split], _MAX_BYTES)
    if len(found) % _KEY_BYTES:
        message = f"{len(found)} bytes are no number of keys"
        raise CorruptPackError(message)
    keys = array("Q", found)
    if byteorder == "big":
        keys.byteswap()
    places = parse_places(row[split:], len(keys))
    if len(places) != len(keys):
        message = f"{len(places)} places for {len(keys)} keys"
        raise CorruptPackError(message)
    return _Map({key: number for number, key in enumerate(keys)}, places)
