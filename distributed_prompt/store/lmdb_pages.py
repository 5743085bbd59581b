"""LMDB's pages, read: the b-trees of a file in the data format of LMDB 0.9 (64 bits, little-endian).

Every number that leads somewhere is checked before it is followed, so a damaged file costs an error, never the process.
Layout: ``struct MDB_page``, ``MDB_node``, ``MDB_db`` and ``MDB_meta`` in LMDB's source. A page begins with ``<QHH``
number, padding, flags; then ``<HH`` the bounds of its free space, or in an overflow page ``<I`` how many pages follow
each other. A node begins with ``<HHHH``: value size (low and high half; in a branch, page number), flags, key size.
"""

import struct
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import NamedTuple

from distributed_prompt.errors import CorruptPackError, UnsupportedPackError

MAGIC = 0xBEEFC0DE
_FORMAT = 1
_BRANCH, _LEAF, _OVERFLOW, _META = 1, 2, 4, 8
_BIG, _TREE = 1, 2
_HEADER = struct.Struct("<QHHHH")
_OVERFLOW_HEADER = struct.Struct("<QHHI")
_NODE = struct.Struct("<HHHH")
_TREE_RECORD = struct.Struct("<IHHQQQQQ")  # padding, flags, depth, branch, leaf, overflow pages, entries, root
_META_RECORD = struct.Struct("<16xII8x8x48s48sQQ")  # magic, format, free pages, main tree, last page, transaction
_U64 = struct.Struct("<Q")
_U32 = struct.Struct("<I")
_NO_PAGE = 2**64 - 1
_PAGE_BYTES = tuple(2**power for power in range(9, 17))
_MOST_LEVELS = 32
_MOST_KEY_BYTES = 511
_CACHED_PAGES = 64
# Where the magic lies in files of other kinds: LMDB 1.0, and 0.9 of 32 bits.
_OTHER_PLACES = (24, 12)

Read = Callable[[int, int], bytes]


def is_lmdb(head: bytes) -> bool:
    """Whether a file that begins with ``head`` (at least 28 bytes of it) is LMDB's, of whatever kind."""
    return any(MAGIC in (_magic(head, at), _magic(head, at, ">I")) for at in (_HEADER.size, *_OTHER_PLACES))


def _magic(head: bytes, at: int, form: str = "<I") -> int:
    return int(struct.unpack_from(form, head, at)[0]) if len(head) >= at + _U32.size else 0


class Tree(NamedTuple):
    """A b-tree: its root page, and how many levels it has; neither for one without rows."""

    root: int
    depth: int


class Meta(NamedTuple):
    """What a file's meta pages say.

    Attributes:
        page_bytes: size of a page.
        last_page: number of the last one.
        main: the tree of the named trees.
    """

    page_bytes: int
    last_page: int
    main: Tree


class _Page(NamedTuple):
    """A branch or a leaf, its bounds checked; ``places`` are where its nodes begin."""

    number: int
    data: bytes
    places: tuple[int, ...]


def read_meta(read: Read, size_bytes: int) -> Meta:
    """What the newer of a file's two meta pages says.

    Args:
        read: gives some bytes of the file, from an offset.
        size_bytes: size of the file.

    Raises:
        UnsupportedPackError: it is of LMDB 1.0, of 32 bits or of another byte order.
        CorruptPackError: it is damaged or not whole.
    """
    head = read(0, _META_RECORD.size + _HEADER.size)
    if len(head) < _META_RECORD.size + _HEADER.size:
        message = f"{len(head)} bytes: too short for a meta page"
        raise CorruptPackError(message)
    if _magic(head, _HEADER.size) != MAGIC:
        message = "LMDB's format of another version, word size or byte order; convert it where it was made"
        raise UnsupportedPackError(message)
    page_bytes = _U32.unpack_from(head, _HEADER.size + 24)[0]
    if page_bytes not in _PAGE_BYTES:
        message = f"page 0: pages of {page_bytes} bytes cannot be"
        raise CorruptPackError(message)
    metas = [_parse_meta(number, read(number * page_bytes, page_bytes), page_bytes) for number in (0, 1)]
    last_page, main = max(metas, key=lambda meta: meta[0])[1:]
    if size_bytes != (last_page + 1) * page_bytes:
        message = f"{size_bytes} bytes, its header says {(last_page + 1) * page_bytes}: truncated or damaged"
        raise CorruptPackError(message)
    return Meta(page_bytes, last_page, main)


def _parse_meta(number: int, page: bytes, page_bytes: int) -> tuple[int, int, Tree]:
    """Transaction, last page, and main tree."""
    if len(page) < page_bytes:
        message = f"page {number}: missing: truncated"
        raise CorruptPackError(message)
    found, _, flags, *_ = _HEADER.unpack_from(page)
    magic, version, free, main, last_page, transaction = _META_RECORD.unpack_from(page)
    if (found, flags, magic, _U32.unpack_from(free)[0]) != (number, _META, MAGIC, page_bytes):
        message = f"page {number}: is no meta page"
        raise CorruptPackError(message)
    if version != _FORMAT:
        message = f"LMDB's data format {version}; this version reads {_FORMAT}, that of LMDB 0.9"
        raise UnsupportedPackError(message)
    return transaction, last_page, _parse_tree(main, f"page {number}")


def _parse_tree(record: bytes, where: str) -> Tree:
    _, flags, depth, *_, root = _TREE_RECORD.unpack(record)
    if flags or depth > _MOST_LEVELS or (root == _NO_PAGE) != (depth == 0):
        message = f"{where}: a tree with flags {flags}, depth {depth}, root {root} cannot be"
        raise CorruptPackError(message)
    return Tree(root, depth)


class TreeReader:
    """The rows of a file's trees. Keeps the few branches and leaves that were used last; for any thread."""

    def __init__(self, read: Read, meta: Meta) -> None:
        """Take what gives some bytes of the file from an offset, and what the meta pages say."""
        self._read = read
        self._meta = meta
        self._page = lru_cache(_CACHED_PAGES)(partial(_parse_page, read, meta))

    def names(self) -> Iterator[bytes]:
        """What lies in the main tree, in order: names of trees, and in other files anything."""
        return self.keys(self._meta.main)

    def trees(self) -> Iterator[tuple[bytes, Tree]]:
        """The named trees in order of their names."""
        for page, place in self._nodes(self._meta.main, b"", None):
            key, flags, value = self._parts(page, place)
            if flags != _TREE or len(value) != _TREE_RECORD.size:
                message = f"page {page.number}: {key!r} is no tree"
                raise CorruptPackError(message)
            yield key, _parse_tree(value, f"page {page.number}: {key!r}")

    def get(self, tree: Tree, key: bytes) -> bytes | None:
        """The value under a key, or None."""
        if not tree.depth:
            return None
        number = tree.root
        for _ in range(tree.depth - 1):
            page = self._page(number, _BRANCH)
            number = _child(page.data, page.places[_branch(page, key)])
        page = self._page(number, _LEAF)
        index = bisect_left(page.places, key, key=partial(_key, page.data))
        if index == len(page.places) or _key(page.data, page.places[index]) != key:
            return None
        return self._value(page, page.places[index])

    def rows(
        self, tree: Tree, start: bytes, stop: bytes | None, most_bytes: int = sys.maxsize
    ) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values with ``start <= key``, and ``key < stop`` unless that is None, in order.

        Raises:
            CorruptPackError: besides, they are together more than the file, or than ``most_bytes``: rows may all lead
                to one value.
        """
        most_bytes = min(most_bytes, (self._meta.last_page + 1) * self._meta.page_bytes)
        for page, place in self._nodes(tree, start, stop):
            key = _key(page.data, place)
            most_bytes -= len(key) + _value_bytes(page.data, place)
            if most_bytes < 0:
                message = f"page {page.number}: rows of more bytes than a pack has"
                raise CorruptPackError(message)
            yield key, self._value(page, place)

    def keys(self, tree: Tree) -> Iterator[bytes]:
        """All keys in order."""
        for page, place in self._nodes(tree, b"", None):
            yield self._parts(page, place)[0]

    def _nodes(self, tree: Tree, start: bytes, stop: bytes | None) -> Iterator[tuple[_Page, int]]:
        """The nodes in leaves from a key on. That keys ascend also makes an end to pages that are reached twice."""
        before: bytes | None = None
        for page, place in self._below(tree.root, tree.depth, start, stop) if tree.depth else ():
            key = _key(page.data, place)
            if len(key) > _MOST_KEY_BYTES:
                message = f"page {page.number}: a key of {len(key)} bytes cannot be"
                raise CorruptPackError(message)
            if before is not None and key <= before:
                message = f"page {page.number}: keys do not ascend"
                raise CorruptPackError(message)
            before = key
            yield page, place

    def _below(
        self, number: int, depth: int, start: bytes, stop: bytes | None, low: bytes = b"", high: bytes | None = None
    ) -> Iterator[tuple[_Page, int]]:
        """The leaves' nodes under a page, from a key on. The depth makes an end to a circle of pages.

        Keys of branches lie between those of the branches above, so no two lead to the same page.
        """
        page = self._page(number, _LEAF if depth == 1 else _BRANCH)
        data, places = page.data, page.places
        key = partial(_key, data)
        if depth == 1:
            for place in places[bisect_left(places, start, key=key) :]:
                if stop is not None and key(place) >= stop:
                    return
                yield page, place
            return
        first = _branch(page, start)
        for index, place in enumerate(places[first:], first):
            begin = key(place) if index else low
            end = key(places[index + 1]) if index + 1 < len(places) else high
            if index and stop is not None and begin >= stop:
                return
            is_behind = end is not None and (end <= begin or (high is not None and end > high))
            if is_behind or (index and begin <= low):
                message = f"page {page.number}: keys do not ascend"
                raise CorruptPackError(message)
            yield from self._below(_child(data, place), depth - 1, start, stop, begin, end)

    def _parts(self, page: _Page, place: int) -> tuple[bytes, int, bytes]:
        """A node's key, flags, and what it holds in its page."""
        *_, flags, key_bytes = _NODE.unpack_from(page.data, place)
        begin = place + _NODE.size
        end = begin + key_bytes + (_U64.size if flags & _BIG else _value_bytes(page.data, place))
        if end > len(page.data):
            message = f"page {page.number}: a row ends behind it"
            raise CorruptPackError(message)
        return page.data[begin : begin + key_bytes], flags, page.data[begin + key_bytes : end]

    def _value(self, page: _Page, place: int) -> bytes:
        _, flags, held = self._parts(page, place)
        if flags == 0:
            return held
        if flags != _BIG:
            message = f"page {page.number}: a row with flags {flags} cannot be"
            raise CorruptPackError(message)
        return self._overflow(_U64.unpack(held)[0], _value_bytes(page.data, place))

    def _overflow(self, number: int, size: int) -> bytes:
        """A value that has pages of its own."""
        page_bytes, last_page, _ = self._meta
        if not 1 < number <= last_page or size > (last_page + 1 - number) * page_bytes:
            message = f"page {number}: a value of {size} bytes cannot lie there"
            raise CorruptPackError(message)
        place, head = number * page_bytes, _OVERFLOW_HEADER.size
        found, _, flags, pages = _OVERFLOW_HEADER.unpack(self._read(place, head).ljust(head, b"\0"))
        if (found, flags) != (number, _OVERFLOW) or pages * page_bytes < head + size:
            message = f"page {number}: holds no value of {size} bytes"
            raise CorruptPackError(message)
        data = self._read(place + head, size)
        if len(data) < size:
            message = f"page {number}: truncated"
            raise CorruptPackError(message)
        return data


def _parse_page(read: Read, meta: Meta, number: int, kind: int) -> _Page:
    page_bytes, last_page, _ = meta
    if not 1 < number <= last_page:
        message = f"page {number}: there are {last_page + 1}"
        raise CorruptPackError(message)
    data = read(number * page_bytes, page_bytes)
    if len(data) < page_bytes:
        message = f"page {number}: truncated"
        raise CorruptPackError(message)
    found, _, flags, lower, upper = _HEADER.unpack_from(data)
    if (found, flags) != (number, kind) or not _HEADER.size < lower <= upper <= page_bytes or lower % 2:
        message = f"page {number}: is no {'leaf' if kind == _LEAF else 'branch'} of a tree"
        raise CorruptPackError(message)
    places = struct.unpack_from(f"<{(lower - _HEADER.size) // 2}H", data, _HEADER.size)
    if min(places) < upper or max(places) > page_bytes - _NODE.size:
        message = f"page {number}: a row lies outside it"
        raise CorruptPackError(message)
    return _Page(number, data, places)


def _branch(page: _Page, key: bytes) -> int:
    """Which child of a branch a key is in. The first has no key of its own: it holds what lies before the second."""
    return bisect_right(page.places, key, lo=1, key=partial(_key, page.data)) - 1


def _child(data: bytes, place: int) -> int:
    low, high, highest, _ = _NODE.unpack_from(data, place)
    return int(low | high << 16 | highest << 32)


def _value_bytes(data: bytes, place: int) -> int:
    return int(_U32.unpack_from(data, place)[0])


def _key(data: bytes, place: int) -> bytes:
    begin = place + _NODE.size
    return data[begin : begin + (data[begin - 2] | data[begin - 1] << 8)]
