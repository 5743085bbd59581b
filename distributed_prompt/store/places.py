"""Places of rows in a file: as the directory and the maps keep them, and which bytes they mean."""

import struct
from collections.abc import Iterable, Iterator, Sequence
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
_SOME_PAGES = 4


def create_places(places: list[Place]) -> bytes:
    """Places as a row keeps them."""
    columns = zip(*places, strict=True)
    deltas = [(b - a) % _U32_MODULUS for column in columns for a, b in pairwise((0, *column))]
    return codec.compress(struct.pack(f"<{len(deltas)}I", *deltas), _LEVEL)


def parse_places(row: bytes, most: int = SEGMENT_SHARDS) -> list[Place]:
    """The inverse of :func:`create_places`; no more than so many."""
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

    A row's overflow pages end where the next row's first page is; where that is far away, as many are taken as rows
    have on average.
    """
    spans = len(places) - 1
    first = next((place.overflow for place in places if place.overflow), 0)
    last = next((place.overflow for place in reversed(places) if place.overflow), 0)
    usual = max(1, last - first) // max(1, spans) + 1 if spans > 0 else _SOME_PAGES
    for number in numbers:
        place = places[number]
        for page in (place.parent, place.leaf):
            if page:
                yield _bytes(page, page + 1)
        if place.overflow:
            behind = places[number + 1] if number < spans else None
            next_pages = [page for page in (behind.leaf, behind.overflow) if page > place.overflow] if behind else []
            end = min(next_pages, default=place.overflow + 2 * usual)
            yield _bytes(place.overflow, end if end - place.overflow <= _far(usual) else place.overflow + 2 * usual)


def leaf_ranges(places: Iterable[Place]) -> Iterator[range]:
    """The bytes of the pages that some rows begin in."""
    return (_bytes(place.leaf, place.leaf + 1) for place in places if place.leaf)


def _far(usual: int) -> int:
    return 16 * usual


def _bytes(first: int, stop: int) -> range:
    return range((first - 1) * PAGE_BYTES, (stop - 1) * PAGE_BYTES)
