"""Places of rows in a file: as the directory and the maps keep them, and which bytes they mean."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise, starmap

from distributed_prompt.errors import CorruptPackError
from distributed_prompt.geometry import SEGMENT_SHARDS
from distributed_prompt.store import codec
from distributed_prompt.store.base import Place
from distributed_prompt.store.sqlite_header import PAGE_BYTES

_LEVEL = 9
_PLACE_BYTES = 12
_U32_MODULUS = 2**32
# How many pages a row is taken to have if nothing tells.
_SOME_PAGES = 8
_CACHED_ROWS = 4
# More are not believed; what is missing then is read when it is needed.
_MOST_PAGES = 2**12


def create_places(places: list[Place]) -> bytes:
    """Places as a row keeps them."""
    columns = zip(*places, strict=True)
    deltas = [(b - a) % _U32_MODULUS for column in columns for a, b in pairwise((0, *column))]
    return codec.compress(struct.pack(f"<{len(deltas)}I", *deltas), _LEVEL)


@lru_cache(_CACHED_ROWS)
def parse_places(row: bytes, most: int = SEGMENT_SHARDS) -> list[Place]:
    """The inverse of :func:`create_places`; no more than so many. Not to be changed: slices in a loop ask anew."""
    data = codec.decompress(row, _PLACE_BYTES * most)
    count, rest = divmod(len(data), _PLACE_BYTES)
    if rest:
        message = f"places take {_PLACE_BYTES} bytes each, {len(data)} are no number of them"
        raise CorruptPackError(message)
    deltas = struct.unpack(f"<{3 * count}I", data)
    columns = (accumulate(deltas[at * count : (at + 1) * count]) for at in range(3))
    return list(starmap(Place, zip(*([n % _U32_MODULUS for n in column] for column in columns), strict=True)))


def byte_ranges(places: Sequence[Place], numbers: Iterable[int]) -> Iterator[range]:
    """The bytes that some rows are in, from the places of all rows around them.

    A row's overflow pages end where the next row's begin, or the leaf.
    """
    for number in numbers:
        place = places[number]
        yield from (_bytes(page, page + 1) for page in (place.parent, place.leaf) if page)
        if place.overflow:
            behind = places[number + 1 : number + 2]
            ends = (place.leaf, *(page for other in behind for page in (other.leaf, other.overflow)))
            end = min((page for page in ends if page > place.overflow), default=place.overflow + _SOME_PAGES)
            yield _bytes(place.overflow, min(end, place.overflow + _MOST_PAGES))


def leaf_ranges(places: Iterable[Place]) -> Iterator[range]:
    """The bytes of the pages that some rows begin in."""
    return (_bytes(place.leaf, place.leaf + 1) for place in places if place.leaf)


def _bytes(first: int, stop: int) -> range:
    return range((first - 1) * PAGE_BYTES, (stop - 1) * PAGE_BYTES)
