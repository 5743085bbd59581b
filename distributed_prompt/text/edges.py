"""Where a text in pieces begins and ends without some characters at its edges: what ``strip`` finds."""

from collections.abc import Iterable

from distributed_prompt.text.pieces import Piece, decode


def first_kept(pieces: Iterable[Piece], characters: str | None) -> int | None:
    """The offset of the first character that ``str.lstrip`` keeps; None if it keeps none.

    Args:
        pieces: consecutive pieces in ascending order; no more are taken than are needed.
        characters: what is stripped; white space if None.
    """
    for piece in pieces:
        kept = len(decode(piece.data).lstrip(characters))
        if kept:
            return piece.start + piece.characters - kept
    return None


def last_kept(pieces: Iterable[Piece], characters: str | None) -> int | None:
    """The offset after the last character that ``str.rstrip`` keeps; None if it keeps none.

    Args:
        pieces: consecutive pieces in *descending* order; no more are taken than are needed.
        characters: what is stripped; white space if None.
    """
    for piece in pieces:
        kept = len(decode(piece.data).rstrip(characters))
        if kept:
            return piece.start + kept
    return None
