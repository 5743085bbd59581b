"""Where the rows of a SQLite table lie in the file, read off its pages.

Only the b-tree of a table with integer keys is walked, interior and leaf pages alone: the blobs' own pages
are not read. Layout: the "Database File Format" page of SQLite's documentation, sections 1.3 to 1.6.
"""

import struct
from collections.abc import Callable, Iterator

from distributed_prompt.store.base import Place

_INTERIOR, _LEAF = 5, 13
_HEADER_BYTES = 100
_VARINT_BYTES = 9


def table_places(read_page: Callable[[int], bytes], usable_bytes: int, root: int) -> Iterator[tuple[int, Place]]:
    """The keys of all rows in ascending order, with their places.

    Args:
        read_page: gives a page by its number, from 1.
        usable_bytes: page size less the reserved bytes at a page's end.
        root: number of the table's root page.
    """
    return _walk(read_page, usable_bytes, root, 0)


def _walk(
    read_page: Callable[[int], bytes], usable_bytes: int, number: int, parent: int
) -> Iterator[tuple[int, Place]]:
    page = read_page(number)
    head = _HEADER_BYTES if number == 1 else 0
    kind = page[head]
    (cells,) = struct.unpack_from(">H", page, head + 3)
    if kind == _INTERIOR:
        for (cell,) in struct.iter_unpack(">H", page[head + 12 : head + 12 + 2 * cells]):
            yield from _walk(read_page, usable_bytes, _u32(page, cell), number)
        yield from _walk(read_page, usable_bytes, _u32(page, head + 8), number)
    elif kind == _LEAF:
        for (cell,) in struct.iter_unpack(">H", page[head + 8 : head + 8 + 2 * cells]):
            payload, at = _varint(page, cell)
            key, at = _varint(page, at)
            yield key, Place(parent, number, _overflow(page, payload, at, usable_bytes))


def _overflow(page: bytes, payload: int, at: int, usable_bytes: int) -> int:
    largest = usable_bytes - 35
    if payload <= largest:
        return 0
    smallest = (usable_bytes - 12) * 32 // 255 - 23
    local = smallest + (payload - smallest) % (usable_bytes - 4)
    return _u32(page, at + (local if local <= largest else smallest))


def _u32(page: bytes, at: int) -> int:
    number: int = struct.unpack_from(">I", page, at)[0]
    return number


def _varint(page: bytes, at: int) -> tuple[int, int]:
    number = 0
    for step in range(_VARINT_BYTES - 1):
        byte = page[at + step]
        number = number << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004  # the bit that says another byte follows
            return number, at + step + 1
    return number << 8 | page[at + _VARINT_BYTES - 1], at + _VARINT_BYTES
