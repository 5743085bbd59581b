"""Literal search over a text in pieces: ``find``, ``rfind``, ``count`` and all occurrences.

A match may lie across any number of borders. Instead of joining pieces, the last bytes that could
begin a match are carried along, and only the seam (carried bytes plus as many of the next piece as a
match can reach) is searched on its own. Every byte is searched once, the seams twice.
"""

import re
from collections.abc import Iterable, Iterator

from distributed_prompt.text.pieces import Piece, decode, encode

_BORDER_CHECK_LIMIT = 10_000


def occurrences(pieces: Iterable[Piece], needle: str) -> Iterator[int]:
    """Offsets of the non-overlapping occurrences, left to right: those that ``str.count`` counts.

    Args:
        pieces: consecutive pieces in ascending order.
        needle: not empty.
    """
    target = encode(needle)
    reach = len(target) - 1
    tail = b""
    for piece in pieces:
        data = piece.data
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


def find(pieces: Iterable[Piece], needle: str) -> int:
    """Offset of the first occurrence, or -1. Stops at the piece where a match ends."""
    return next(occurrences(pieces, needle), -1)


def rfind(pieces: Iterable[Piece], needle: str) -> int:
    """Offset of the last occurrence, or -1.

    Args:
        pieces: consecutive pieces in *descending* order.
        needle: not empty.
    """
    target = encode(needle)
    reach = len(target) - 1
    head = b""
    for piece in pieces:
        data = piece.data
        if head:
            start = max(0, len(data) - reach)
            position = (data[start:] + head).rfind(target)
            if position >= 0:
                return piece.start + _characters(data[: start + position])
        position = data.rfind(target)
        if position >= 0:
            return piece.start + (position if piece.ascii else _characters(data[:position]))
        head = (data[:reach] + head)[:reach]
    return -1


def count(pieces: Iterable[Piece], needle: str) -> int:
    """Number of non-overlapping occurrences, as ``str.count`` counts them.

    A needle that no end of itself begins cannot overlap itself, so pieces and seams are counted
    independently, in C; others are walked match by match.
    """
    target = encode(needle)
    if _overlaps_itself(target):
        return sum(1 for _ in occurrences(pieces, needle))
    reach = len(target) - 1
    total, tail = 0, b""
    for piece in pieces:
        if tail:
            total += (tail + piece.data[:reach]).count(target)
        total += piece.data.count(target)
        tail = _last(tail, piece.data, 0, reach)
    return total


def occurrences_ignoring_case(pieces: Iterable[Piece], needle: str) -> Iterator[int]:
    """Offsets of the non-overlapping occurrences under ``re.IGNORECASE``, left to right.

    That comparison maps characters one to one, so a match is as long as the needle.
    """
    pattern = re.compile(re.escape(needle), re.IGNORECASE)
    reach = len(needle) - 1
    tail = ""
    for piece in pieces:
        window = tail + decode(piece.data)
        origin = piece.start - len(tail)
        floor = 0
        for match in pattern.finditer(window):
            floor = match.end()
            yield origin + match.start()
        tail = window[max(floor, len(window) - reach) :]


def _characters(data: bytes) -> int:
    return len(decode(data))


def _last(tail: bytes, data: bytes, floor: int, reach: int) -> bytes:
    """The last ``reach`` bytes of ``tail + data``, without those of a match that ends at ``floor``."""
    if len(data) - floor >= reach:
        return data[len(data) - reach :]
    return ((b"" if floor else tail) + data[floor:])[-reach:]


def _overlaps_itself(target: bytes) -> bool:
    """Whether a proper end of ``target`` is also a beginning of it."""
    if len(target) > _BORDER_CHECK_LIMIT:
        return True
    return any(target.startswith(target[shift:]) for shift in range(1, len(target)))
