"""Literal search over a text in pieces: ``find``, ``rfind``, ``count`` and all occurrences.

A match may lie across any number of borders. Instead of joining pieces, the last bytes that could
begin a match are carried along, and only the seam (carried bytes plus as many of the next piece as a
match can reach) is searched on its own. Every byte is searched once, the seams twice.

The same trick joins whole *runs* of pieces that were searched apart, on different threads: a
:class:`Scan` is what a run's search leaves behind, and the ``join_…`` functions make one answer of them.

A piece is forgotten (``del``) before the next one is asked for: that one then takes its place in memory, while
it is still in the processor's cache.
"""

from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from distributed_prompt.text.pieces import Piece, decode, encode

_BORDER_CHECK_LIMIT = 10_000


class Scan(NamedTuple):
    """What the search of one run of pieces found.

    Attributes:
        start: offset of the run's first character.
        stop: offset after its last one.
        head: its first bytes, as many as a match that begins before it can reach.
        tail: its last bytes, as many as a match that ends after it can begin with.
        value: the offset found, -1 for none; or the count.
        piece: the piece in which the offset was found.
    """

    start: int
    stop: int
    head: bytes
    tail: bytes
    value: int
    piece: Piece | None = None


def scan_first(needle: str, pieces: Iterable[Piece]) -> Scan:
    """The first occurrence within a run of consecutive pieces, at least one."""
    reach = len(encode(needle)) - 1
    edges = _RunEdges(reach)
    value = next(occurrences(edges.ascending(_grown(pieces, reach)), needle), -1)
    return Scan(edges.start, edges.stop, edges.head, edges.tail, value, edges.piece if value >= 0 else None)


def join_first(scans: Iterable[Scan], needle: str) -> Scan:
    """The first occurrence over consecutive runs; stops at the run where a match ends."""
    first = FirstJoin(needle)
    return next(filter(None, map(first.add, scans)), _NOTHING)


class FirstJoin:
    """The first occurrence over consecutive runs, which come one by one."""

    def __init__(self, needle: str) -> None:
        """No run has come yet."""
        self._target = encode(needle)
        self._tail = b""
        self._stop = 0

    def add(self, scan: Scan) -> Scan | None:
        """The occurrence, if one begins before the end of this run."""
        tail = self._tail if scan.start == self._stop else b""
        self._stop = scan.stop
        seam = tail + scan.head
        position = seam.find(self._target) if tail else -1
        if position >= 0:
            return scan._replace(value=scan.start - _characters(seam[position : len(tail)]))
        if scan.value >= 0:
            return scan
        self._tail = _last(tail, scan.tail, 0, len(self._target) - 1)
        return None


def scan_last(needle: str, pieces: Iterable[Piece]) -> Scan:
    """The last occurrence within a run of consecutive pieces in descending order, at least one."""
    target = encode(needle)
    reach = len(target) - 1
    edges = _RunEdges(reach)
    head = b""
    value = -1
    for piece in edges.descending(_grown(pieces, reach)):
        data = piece.data
        near = max(0, len(data) - reach)
        position = (data[near:] + head).rfind(target) if head else -1
        if position < 0:
            near, position = 0, data.rfind(target)
        if position >= 0:
            value = piece.start + _characters(data[: near + position])
            break
        head = (data[:reach] + head)[:reach]
        del piece, data
    return Scan(edges.start, edges.stop, edges.head, edges.tail, value, edges.piece if value >= 0 else None)


def join_last(scans: Iterable[Scan], needle: str) -> Scan:
    """The last occurrence over runs in descending order; stops at the run where a match begins."""
    target = encode(needle)
    reach = len(target) - 1
    head, border = b"", 0
    for scan in scans:
        if scan.stop != border:
            head = b""
        position = (scan.tail + head).rfind(target) if head else -1
        if position >= 0:
            return scan._replace(value=border - _characters(scan.tail[position:]))
        if scan.value >= 0:
            return scan
        head, border = (scan.head + head)[:reach], scan.start
    return _NOTHING


def scan_count(needle: str, pieces: Iterable[Piece]) -> Scan:
    """The number of occurrences within a run; for needles that cannot overlap themselves."""
    target = encode(needle)
    reach = len(target) - 1
    edges = _RunEdges(reach)
    total, tail = 0, b""
    for piece in edges.ascending(_grown(pieces, reach)):
        if tail:
            total += (tail + piece.data[:reach]).count(target)
        total += piece.data.count(target)
        tail = _last(tail, piece.data, 0, reach)
        del piece
    return Scan(edges.start, edges.stop, edges.head, edges.tail, total)


def join_counts(scans: Iterable[Scan], needle: str) -> int:
    """The number of occurrences over consecutive runs; for needles that cannot overlap themselves."""
    target = encode(needle)
    total, tail, stop = 0, b"", 0
    for scan in scans:
        if scan.start != stop:
            tail = b""
        total += scan.value + ((tail + scan.head).count(target) if tail else 0)
        tail = _last(tail, scan.tail, 0, len(target) - 1)
        stop = scan.stop
    return total


class Located(NamedTuple):
    """All occurrences within one run of pieces; the other attributes are as of :class:`Scan`.

    Attributes:
        offsets: of the occurrences, ascending.
    """

    start: int
    stop: int
    head: bytes
    tail: bytes
    offsets: "array[int]"


def scan_all(needle: str, pieces: Iterable[Piece]) -> Located:
    """The occurrences within a run; for needles that cannot overlap themselves."""
    edges = _RunEdges(len(encode(needle)) - 1)
    offsets = array("q", occurrences(edges.ascending(pieces), needle))
    return Located(edges.start, edges.stop, edges.head, edges.tail, offsets)


def join_all(runs: Iterable[Located], needle: str) -> Iterator[int]:
    """The occurrences over consecutive runs; for needles that cannot overlap themselves."""
    target = encode(needle)
    tail, stop = b"", 0
    for run in runs:
        if run.start != stop:
            tail = b""
        seam = tail + run.head
        position = seam.find(target) if tail else -1
        if position >= 0:
            yield run.start - _characters(seam[position : len(tail)])
        yield from run.offsets
        tail = _last(tail, run.tail, 0, len(target) - 1)
        stop = run.stop


def overlaps_itself(needle: str) -> bool:
    """Whether a proper end of the needle is also a beginning of it. True, too, where finding out takes long.

    Occurrences of other needles never overlap, so any parts of a text may be counted apart.
    """
    target = encode(needle)
    if len(target) > _BORDER_CHECK_LIMIT:
        return True
    return any(target.startswith(target[shift:]) for shift in range(1, len(target)))


def occurrences(pieces: Iterable[Piece], needle: str) -> Iterator[int]:
    """Offsets of the non-overlapping occurrences, left to right: those that ``str.count`` counts.

    Args:
        pieces: pieces in ascending order; what lies between them holds no occurrence.
        needle: not empty.
    """
    target = encode(needle)
    reach = len(target) - 1
    tail, stop = b"", 0
    for piece in _grown(pieces, reach):
        data = piece.data
        if piece.start != stop:
            tail = b""
        stop = piece.stop
        floor = 0
        if tail:
            # At most one: all matches that cross the same border overlap each other.
            seam = tail + data[:reach]
            position = seam.find(target)
            if position >= 0:
                yield piece.start - _characters(seam[position : len(tail)])
                floor = position + len(target) - len(tail)
        cursor, offset = 0, piece.start
        position = data.find(target, floor)
        while position >= 0:
            offset += position - cursor if piece.ascii else _characters(data[cursor:position])
            cursor = position
            yield offset
            floor = position + len(target)
            position = data.find(target, floor)
        tail = _last(tail, data, floor, reach)
        del piece, data


def _grown(pieces: Iterable[Piece], reach: int) -> Iterator[Piece]:
    """The pieces, in whichever order they come, joined until they are as long as what is carried from one to the next.

    Otherwise a needle much longer than a piece would cost its own length for each of them.
    """
    held: list[Piece] = []
    held_bytes = 0
    for piece in pieces:
        if held and piece.start != held[-1].stop and piece.stop != held[-1].start:
            yield _joined(held)
            held, held_bytes = [], 0
        if not held and len(piece.data) >= reach:
            yield piece
        else:
            held.append(piece)
            held_bytes += len(piece.data)
            if held_bytes >= reach:
                yield _joined(held)
                held, held_bytes = [], 0
        del piece
    if held:
        yield _joined(held)


def _joined(pieces: list[Piece]) -> Piece:
    ordered = sorted(pieces)
    characters = sum(piece.characters for piece in ordered)
    return Piece(ordered[0].start, characters, b"".join([piece.data for piece in ordered]))


_NOTHING = Scan(0, 0, b"", b"", -1)


class _RunEdges:
    """Looks on while a run is searched, and keeps its first and last bytes."""

    def __init__(self, reach: int) -> None:
        self.start = self.stop = -1
        self.head = self.tail = b""
        self.piece: Piece | None = None
        self._reach = reach

    def ascending(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        for piece in pieces:
            if self.start < 0:
                self.start = piece.start
            self.stop = piece.stop
            self.piece = piece
            if len(self.head) < self._reach:
                self.head = (self.head + piece.data[: self._reach])[: self._reach]
            self.tail = _last(self.tail, piece.data, 0, self._reach)
            yield piece
            del piece
            self.piece = None

    def descending(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        for piece in pieces:
            self.piece = piece
            if self.stop < 0:
                self.stop = piece.stop
            self.start = piece.start
            if len(self.tail) < self._reach:
                self.tail = _last(b"", piece.data[-self._reach :] + self.tail, 0, self._reach)
            self.head = (piece.data[: self._reach] + self.head)[: self._reach]
            yield piece
            del piece
            self.piece = None


def _characters(data: bytes) -> int:
    return len(data) if data.isascii() else len(decode(data))


def _last(tail: bytes, data: bytes, floor: int, reach: int) -> bytes:
    """The last ``reach`` bytes of ``tail + data``, without those of a match that ends at ``floor``."""
    if len(data) - floor >= reach:
        return data[len(data) - reach :]
    return ((b"" if floor else tail) + data[floor:])[-reach:]
