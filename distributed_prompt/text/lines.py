r"""Lines of a text in pieces: what lies between ``\n``. ``\r`` is an ordinary character here."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from distributed_prompt.text.pieces import Piece, decode

_STEP = 2048


class LongLine(NamedTuple):
    """Where a line lies that is longer than the caller's limit."""

    start: int
    stop: int


def newline_position(text: str, ordinal: int) -> int:
    """Position of newline number ``ordinal`` (from 0); -1 if there are not so many."""
    start = 0
    while (here := text.count("\n", start, start + _STEP)) <= ordinal:
        if start > len(text):
            return -1
        ordinal -= here
        start += _STEP
    position = text.find("\n", start)
    for _ in range(ordinal):
        position = text.find("\n", position + 1)
    return position


def lines(pieces: Iterable[Piece], limit: int) -> Iterator[str | LongLine]:
    """All lines in one pass. An empty line after a final newline is none.

    Args:
        pieces: consecutive pieces in ascending order.
        limit: characters up to which a line is given as text.
    """
    start = stop = None
    held: list[str] | None = []
    for piece in pieces:
        if start is None:
            start = piece.start
        stop = piece.start + piece.characters
        first, *others = decode(piece.data).split("\n")
        if held is not None:
            held.append(first)
        if others:
            rest = others.pop()
            yield _line(held, start, piece.start + len(first), limit)
            if piece.characters <= limit:
                yield from others
            else:
                yield from _cut(others, piece.start + len(first) + 1, limit)
            start, held = stop - len(rest), [rest]
        if stop - start > limit:
            held = None
    if start is not None and stop is not None and stop > start:
        yield _line(held, start, stop, limit)


def _line(held: list[str] | None, start: int, stop: int, limit: int) -> str | LongLine:
    return LongLine(start, stop) if held is None or stop - start > limit else "".join(held)


def _cut(parts: list[str], start: int, limit: int) -> Iterator[str | LongLine]:
    for part in parts:
        stop = start + len(part)
        yield part if len(part) <= limit else LongLine(start, stop)
        start = stop + 1
