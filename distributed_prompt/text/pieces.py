"""A text as consecutive pieces of UTF-8: the input of every algorithm that passes over a whole text.

Searching UTF-8 is searching characters: no character's bytes occur inside another's, so a match
of whole characters always starts and ends between characters (lone surrogates included, which are
encoded as three bytes each).
"""

import codecs
from typing import NamedTuple

from distributed_prompt.fork_gate import importing

_LARGE_BYTES = 4096


def encode(text: str) -> bytes:
    """The UTF-8 of any ``str``; lone surrogates pass as three bytes each."""
    return text.encode("utf-8", "surrogatepass")


def decode(data: bytes) -> str:
    """The inverse of :func:`encode`."""
    return str(data, "utf-8", "surrogatepass")


def width(data: bytes) -> int:
    """Bytes that ``str`` takes for each character of this UTF-8: 0 for ASCII, 1, 2 or 4.

    The largest byte of UTF-8 is the first of its widest character.
    """
    if data.isascii():
        return 0
    if len(data) < _LARGE_BYTES:
        largest = max(data)
    else:
        with importing:
            import numpy as np  # noqa: PLC0415  # costs 100 ms, and short texts do without

        largest = int(np.frombuffer(data, np.uint8).max())
    if largest <= "\u00ff".encode()[0]:
        return 1
    return 2 if largest <= "\uffff".encode()[0] else 4


def encode_bytes(text: str) -> bytes:
    """As :func:`encode`, but a lone surrogate that stands for a byte (``surrogateescape``) is that byte."""
    return text.encode("utf-8", _BYTES)


def _encode_surrogates(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end]
    data = (c.encode("utf-8", "surrogateescape" if "\udc80" <= c <= "\udcff" else "surrogatepass") for c in part)
    return b"".join(data), error.end


_BYTES = "distributed_prompt.bytes"
codecs.register_error(_BYTES, _encode_surrogates)


class Piece(NamedTuple):
    """A run of a text.

    Attributes:
        start: offset of its first character.
        characters: how many characters it has.
        data: their UTF-8.
    """

    start: int
    characters: int
    data: bytes

    @property
    def stop(self) -> int:
        """Offset after its last character."""
        return self.start + self.characters

    @property
    def ascii(self) -> bool:
        """Whether every character takes one byte, so that byte offsets are character offsets."""
        return self.characters == len(self.data)

    def cut(self, start: int, stop: int) -> "Piece":
        """The part between two offsets, counted as ``self.start`` is."""
        first = min(max(0, start - self.start), self.characters)
        last = max(first, min(self.characters, stop - self.start))
        if first == 0 and last == self.characters:
            return self
        data = self.data[first:last] if self.ascii else encode(decode(self.data)[first:last])
        return Piece(self.start + first, last - first, data)
