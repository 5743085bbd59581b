"""Tables of SQLite, written in ascending order of keys: each page once, from the first to the last.

A row's overflow pages are followed by those of the next row, or by the leaf that their keys are in; all pages above the
leaves come when a table is sealed. So no page that was written changes when rows follow, and the pages that depend on
all rows lie together. SQLite itself would put these between the others, and change a few of them, anywhere in the file,
for every hundred rows more.

Layout: the "Database File Format" page of SQLite's documentation, sections 1.3 to 1.6 and 2.1.
"""

import struct
from array import array
from collections.abc import Callable, Iterator

from distributed_prompt.store.base import Place
from distributed_prompt.store.sqlite_header import PAGE_BYTES

_INDEX_LEAF, _INTERIOR, _LEAF = 10, 5, 13
_LEAF_HEAD = struct.Struct(">BHHHB")
_INTERIOR_HEAD = struct.Struct(">BHHHBI")
_U16, _U32 = struct.Struct(">H"), struct.Struct(">I")
_LINK_BYTES = 4
_CHAIN_BYTES = PAGE_BYTES - _LINK_BYTES
_LARGEST_LOCAL = PAGE_BYTES - 35
_SMALLEST_LOCAL = (PAGE_BYTES - 12) * 32 // 255 - 23
_LARGEST_INDEX_LOCAL = (PAGE_BYTES - 12) * 64 // 255 - 23
# SQLite locks this byte, so its page is left alone.
_LOCK_PAGE = 2**30 // PAGE_BYTES + 1
_NULL, _U32_TYPE, _BLOB, _TEXT = 0, 4, 12, 13

Append = Callable[[bytes], object]
SqlValue = bytes | str | int | None


class PageFile:
    """Pages, one after the other.

    Attributes:
        count: how many there are.
    """

    def __init__(self, append: Append) -> None:
        """Begin with none.

        Args:
            append: takes what comes next in the file.
        """
        self._append = append
        self.count = 0

    def next_number(self) -> int:
        """What number the next page has, from 1; one that must be left alone is passed over."""
        if self.count + 1 == _LOCK_PAGE:
            self._append(bytes(PAGE_BYTES))
            self.count += 1
        return self.count + 1

    def add(self, page: bytes) -> int:
        """Append a page.

        Returns:
            Its number.
        """
        number = self.next_number()
        self._append(page)
        self.count += 1
        return number

    def add_chain(self, data: bytes) -> int:
        """Append some bytes as overflow pages, each of which has the number of the next.

        Returns:
            The number of the first; 0 for no bytes.
        """
        if not data:
            return 0
        first = number = self.next_number()
        pages: list[bytes] = []
        for start in range(0, len(data), _CHAIN_BYTES):
            part = data[start : start + _CHAIN_BYTES]
            is_last = start + _CHAIN_BYTES >= len(data)
            following = number + 1 + (number + 1 == _LOCK_PAGE)
            pages += (_U32.pack(0 if is_last else following), part)
            if is_last:
                pages.append(bytes(_CHAIN_BYTES - len(part)))
            elif following != number + 1:
                pages.append(bytes(PAGE_BYTES))
            number = following
        chain = b"".join(pages)
        self._append(chain)
        self.count += len(chain) // PAGE_BYTES
        return first


class TableWriter:
    """One table of blobs by integer key, written row by row; the rows of others may come between."""

    def __init__(self, file: PageFile) -> None:
        """Begin an empty table."""
        self._file = file
        self._cells: list[bytes] = []
        self._room = PAGE_BYTES - _LEAF_HEAD.size
        self._keys = array("q")
        self._overflows = array("I")
        self._leaves = array("I")
        self._leaf_rows = array("Q")
        self._parents = array("I")
        self._root = 0

    def put(self, key: int, value: bytes) -> None:
        """Add a row; its key is larger than all before.

        Raises:
            ValueError: it is not, or the table is sealed.
        """
        if self._root or (self._keys and key <= self._keys[-1]):
            message = f"key {key}: rows come in ascending order, before a table is sealed"
            raise ValueError(message)
        head = record_head(None, value)
        size = len(head) + len(value)
        local = local_bytes(size, _LARGEST_LOCAL)
        kept = head + value[: local - len(head)] if local < size else head + value
        overflow = self._file.add_chain(value[local - len(head) :]) if local < size else 0
        cell = varint(size) + varint(key) + kept + (_U32.pack(overflow) if overflow else b"")
        if self._room < len(cell) + _U16.size:
            self._add_leaf()
        self._cells.append(cell)
        self._room -= len(cell) + _U16.size
        self._keys.append(key)
        self._overflows.append(overflow)

    def flush(self) -> None:
        """Have the leaf of the last rows right behind their other pages; more rows begin another one."""
        if self._cells:
            self._add_leaf()

    def _add_leaf(self) -> None:
        self._leaves.append(self._file.add(_page(_LEAF_HEAD, _LEAF, self._cells)))
        self._leaf_rows.append(len(self._keys))
        self._cells = []
        self._room = PAGE_BYTES - _LEAF_HEAD.size

    def seal(self) -> int:
        """Write the pages above the leaves; no row follows.

        Returns:
            The number of the root page.
        """
        if self._root:
            return self._root
        if self._cells or not self._leaves:
            self._add_leaf()
        last_keys = (self._keys[rows - 1] if rows else 0 for rows in self._leaf_rows)
        level = list(zip(self._leaves, last_keys, strict=True))
        while len(level) > 1:
            above: list[tuple[int, int]] = []
            for children in _interiors(level):
                number = self._add_interior(children)
                above.append((number, children[-1][1]))
                if len(self._parents) < len(self._leaves):
                    self._parents.extend([number] * len(children))
            level = above
        self._root = level[0][0]
        return self._root

    def _add_interior(self, children: list[tuple[int, int]]) -> int:
        """The last child has no cell: it is named in the page's head."""
        cells = [_U32.pack(number) + varint(key) for number, key in children[:-1]]
        return self._file.add(_page(_INTERIOR_HEAD, _INTERIOR, cells, children[-1][0]))

    def places(self) -> Iterator[tuple[int, Place]]:
        """The key of each row, and where it lies; seals the table."""
        self.seal()
        row = 0
        for number, leaf in enumerate(self._leaves):
            parent = self._parents[number] if self._parents else 0
            while row < self._leaf_rows[number]:
                yield self._keys[row], Place(parent, leaf, self._overflows[row])
                row += 1


def _interiors(level: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """The children of each page above a level: as many as it takes, and none alone."""
    children: list[tuple[int, int]] = []
    room = PAGE_BYTES - _INTERIOR_HEAD.size
    for at, child in enumerate(level):
        size = _U32.size + len(varint(child[1])) + _U16.size
        # One that is left over would need a page above it without a cell.
        is_full = room < size or (len(level) - at == 2 and room < 2 * size + _U16.size)  # noqa: PLR2004  # it and the next
        if is_full and len(children) > 1:
            yield children
            children, room = [], PAGE_BYTES - _INTERIOR_HEAD.size
        children.append(child)
        room -= size
    yield children


def index_leaf(file: PageFile, rows: list[tuple[str, str]]) -> bytes:
    """The only page of a table without row ids, from its rows in order of their keys.

    Raises:
        ValueError: they take more than a page.
    """
    cells = []
    for row in rows:
        payload = record(*row)
        local = local_bytes(len(payload), _LARGEST_INDEX_LOCAL)
        overflow = file.add_chain(payload[local:])
        cells.append(varint(len(payload)) + payload[:local] + (_U32.pack(overflow) if overflow else b""))
    return _page(_LEAF_HEAD, _INDEX_LEAF, cells)


def first_page(header: bytes, rows: list[tuple[SqlValue, ...]]) -> bytes:
    """The first page of a file: its header, and the table of all tables."""
    cells = []
    for number, row in enumerate(rows, 1):
        payload = record(*row)
        cells.append(varint(len(payload)) + varint(number) + payload)
    return _page(_LEAF_HEAD, _LEAF, cells, before=header)


def _page(head: struct.Struct, kind: int, cells: list[bytes], *more: int, before: bytes = b"") -> bytes:
    """A page of a b-tree: its head, where each cell is, and the cells from its end."""
    at = PAGE_BYTES
    pointers = bytearray()
    for cell in cells:
        at -= len(cell)
        pointers += _U16.pack(at)
    begin = before + head.pack(kind, 0, len(cells), at, 0, *more) + pointers
    if len(begin) > at:
        message = f"{len(cells)} cells take more than a page"
        raise ValueError(message)
    return begin + bytes(at - len(begin)) + b"".join(reversed(cells))


def local_bytes(size: int, largest: int) -> int:
    """How much of a record of some size is on the page of its key."""
    if size <= largest:
        return size
    local = _SMALLEST_LOCAL + (size - _SMALLEST_LOCAL) % _CHAIN_BYTES
    return local if local <= largest else _SMALLEST_LOCAL


def record(*values: SqlValue) -> bytes:
    """Some values as SQLite stores them."""
    bodies = (_body(value) for value in values)
    return record_head(*values) + b"".join(bodies)


def record_head(*values: SqlValue) -> bytes:
    """What stands before the values of a record: its own size, and the type and size of each."""
    types = b"".join(map(_type, values))
    return bytes((len(types) + 1,)) + types


def _type(value: SqlValue) -> bytes:
    match value:
        case None:
            return varint(_NULL)
        case int():
            return varint(_U32_TYPE)
        case bytes():
            return varint(_BLOB + 2 * len(value))
        case str():
            return varint(_TEXT + 2 * len(value.encode()))


def _body(value: SqlValue) -> bytes:
    match value:
        case None:
            return b""
        case int():
            return _U32.pack(value)
        case bytes():
            return value
        case str():
            return value.encode()


def varint(number: int) -> bytes:
    """A number from 0 to 2**63 - 1 in 1 to 9 bytes, seven bits in each but the ninth, which has eight."""
    if number < 0x80:  # noqa: PLR2004  # what seven bits hold
        return bytes((number,))
    if number >> 56:
        return bytes(number >> shift & 0x7F | 0x80 for shift in range(57, 7, -7)) + bytes((number & 0xFF,))
    parts = [number & 0x7F]
    while number := number >> 7:
        parts.append(number & 0x7F | 0x80)
    return bytes(reversed(parts))
