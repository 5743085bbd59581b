r"""Lines of a text in pieces: what lies between ``\n``. ``\r`` is an ordinary character here."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from distributed_prompt.text.pieces import Piece, decode


class Line(NamedTuple):
    """One line without its terminator; ``text`` is None where it is longer than the caller's limit."""

    start: int
    stop: int
    text: str | None


def newline_position(text: str, ordinal: int) -> int:
    """Position of newline number ``ordinal`` (from 0), which must exist."""
    return len(text) - len(text.split("\n", ordinal + 1)[-1]) - 1


def lines(pieces: Iterable[Piece], limit: int) -> Iterator[Line]:
    """All lines in one pass. An empty line after a final newline is none.

    Args:
        pieces: consecutive pieces in ascending order.
        limit: characters up to which a line's text is given.
    """
    start = offset = None
    held: list[str] | None = []
    for piece in pieces:
        cursor = piece.start
        if start is None:
            start = cursor
        offset = cursor + piece.characters
        *whole, rest = decode(piece.data).split("\n")
        for part in whole:
            stop = cursor + len(part)
            yield _line(start, stop, held, part, limit)
            start = cursor = stop + 1
            held = []
        if held is not None and offset - start <= limit:
            held.append(rest)
        else:
            held = None
    if start is not None and offset is not None and offset > start:
        yield _line(start, offset, held, "", limit)


def _line(start: int, stop: int, held: list[str] | None, part: str, limit: int) -> Line:
    if held is None or stop - start > limit:
        return Line(start, stop, None)
    return Line(start, stop, "".join([*held, part]) if held else part)
