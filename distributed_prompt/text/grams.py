"""What the search index knows of a text: the *grams* in it, four bytes each, by bucket.

Grams are those of the UTF-8 with ASCII letters lowered, so that one index serves searches that ignore case as well. A
hash puts them into ``BUCKETS`` buckets. Behind these are *flags*, for characters that stand for ASCII letters where
case is ignored although their bytes do not.
"""

import re
from typing import TYPE_CHECKING, Any

from distributed_prompt.fork_gate import importing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRAM_BYTES = 4
BUCKETS = 2**16
# How far before a text the grams may begin that count as its own: a literal of so many bytes that ends in it lies, for
# all that its grams tell, in it alone.
BEFORE_BYTES = 256

_MULTIPLIER = 0x9E3779B1  # 2**32 divided by the golden ratio
_U32 = 2**32 - 1
_ASCII = re.compile("[\0-\x7f]+")
FLAGS = {"\u0130": BUCKETS, "\u0131": BUCKETS + 1, "\u017f": BUCKETS + 2, "\u212a": BUCKETS + 3}
_STANDS_FOR = {"\u0130": "i", "\u0131": "i", "\u017f": "s", "\u212a": "k"}
ENTRIES = BUCKETS + 64
"""Buckets and flags, together; some are of no use yet."""


def bucket(gram: bytes) -> int:
    """The bucket of four bytes."""
    return (int.from_bytes(gram, "little") * _MULTIPLIER & _U32) >> 16


def literal_buckets(literal: bytes) -> list[int]:
    """The buckets that a text has which a literal ends in, none twice; of none if the literal is too short.

    Args:
        literal: UTF-8; what counts is its last ``BEFORE_BYTES`` bytes.
    """
    lowered = literal[-BEFORE_BYTES:].lower()
    grams = (lowered[at : at + GRAM_BYTES] for at in range(len(lowered) - GRAM_BYTES + 1))
    return list(dict.fromkeys(map(bucket, grams)))


def caseless_buckets(literal: str) -> list[int]:
    """The buckets that a text has which a literal ends in, in whatever case: those of its ASCII.

    They say so of texts without the characters of :func:`caseless_flags` only.
    """
    runs = _ASCII.findall(literal[-(BEFORE_BYTES // GRAM_BYTES) :])
    return list(dict.fromkeys(found for run in runs for found in literal_buckets(run.encode())))


def caseless_flags(literal: str) -> list[int]:
    """The flags of the characters that match one of a literal's where case is ignored, but are not ASCII as that is."""
    letters = set(literal.lower())
    return [FLAGS[character] for character, letter in _STANDS_FOR.items() if letter in letters]


def last_bytes(*texts: bytes) -> bytes:
    """What must be known of the texts before one for its entries; they are consecutive."""
    found = b""
    for text in reversed(texts):
        found = text[len(found) - BEFORE_BYTES :] + found
        if len(found) >= BEFORE_BYTES:
            break
    return found


def entries(data: bytes, before: bytes) -> "NDArray[np.uint8]":
    """Which buckets and flags a text has: ``ENTRIES`` numbers, 0 or 1.

    Args:
        data: its UTF-8.
        before: what lies before it; the last ``BEFORE_BYTES`` bytes count.
    """
    with importing:
        import numpy as np  # noqa: PLC0415  # costs 100 ms, and only those need it who make an index

    whole = before[-BEFORE_BYTES:] + data
    lowered = np.frombuffer(whole.lower(), np.uint8)
    found: Any = np.zeros(ENTRIES, np.uint8)
    # All at once, as indices: setting entries takes most of the time, and is quickest so.
    indices = np.empty(max(0, len(lowered) - GRAM_BYTES + 1), np.intp)
    done = 0
    for first in range(GRAM_BYTES):
        count = max(0, (len(lowered) - first) // GRAM_BYTES)
        grams = lowered[first : first + count * GRAM_BYTES].view("<u4") * np.uint32(_MULTIPLIER)
        np.right_shift(grams, np.uint32(16), out=indices[done : done + count], casting="unsafe")
        done += count
    found[indices] = 1
    if not whole.isascii():
        for character, flag in FLAGS.items():
            found[flag] = character.encode() in whole
    return found  # type: ignore[no-any-return]
