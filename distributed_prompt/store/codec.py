"""Shard text to blob and back, and the checksums of both directions. The only importer of zstandard and xxhash.

A blob is one zstd frame, with its content size, of the shard's UTF-8 (lone surrogates as three bytes).

Two sums are kept of each blob, both over (shard index, characters, blob), so that swapped, missing or
shortened rows are found as surely as flipped bits:

- the *checksum*: XXH3-64 of the blob, seeded with ``shard index * 2**25 + characters``; taken at every read;
- the *digest*: SHA-256 of ``<QI`` shard index and characters, then the blob; taken by ``verify``, and what
  the root digest is made of.
"""

import hashlib
import struct
import threading

import xxhash
import zstandard

from distributed_prompt.errors import CorruptPackError

DEFAULT_LEVEL = 3
LEVELS = range(1, 23)
DIGEST_BYTES = 32
_SHARD_HEAD = struct.Struct("<QI")
_CHARACTER_BITS = 25


class _Contexts(threading.local):
    """Zstandard contexts: costly to make, and never to be shared between threads."""

    def __init__(self) -> None:
        self.compressors: dict[int, zstandard.ZstdCompressor] = {}
        self.decompressor = zstandard.ZstdDecompressor()


_contexts = _Contexts()


def compress(data: bytes, level: int) -> bytes:
    """One zstd frame of ``data``. Releases the GIL."""
    compressor = _contexts.compressors.get(level)
    if compressor is None:
        compressor = _contexts.compressors[level] = zstandard.ZstdCompressor(level=level)
    return compressor.compress(data)


def decompress(blob: bytes, max_bytes: int) -> bytes:
    """The content of one zstd frame. Releases the GIL.

    Args:
        blob: exactly one frame.
        max_bytes: content size above which nothing is allocated.

    Raises:
        CorruptPackError: it is no frame, or a larger one; the message lacks the place, callers add it.
    """
    try:
        size = zstandard.frame_content_size(blob)
        if not 0 <= size <= max_bytes:
            message = f"its frame claims {size} bytes, at most {max_bytes} are possible"
            raise CorruptPackError(message)
        return _contexts.decompressor.decompress(blob, allow_extra_data=False)
    except zstandard.ZstdError as error:
        message = f"it is no zstd frame ({error})"
        raise CorruptPackError(message) from error


def checksum(shard: int, characters: int, blob: bytes) -> int:
    """The fast sum of a blob: 64 bits."""
    return xxhash.xxh3_64_intdigest(blob, shard << _CHARACTER_BITS | characters)


def digest(shard: int, characters: int, blob: bytes) -> bytes:
    """The strong sum of a blob: ``DIGEST_BYTES`` bytes."""
    state = hashlib.sha256(_SHARD_HEAD.pack(shard, characters))
    state.update(blob)
    return state.digest()


def name_hash(name: str) -> int:
    """32 bits of a document's name: the upper half of the XXH3-64 of its UTF-8."""
    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass")) >> 32


def seal(key: int, row: bytes, bound: bytes = b"") -> bytes:
    """A row with its checksum behind it: the XXH3-64 of the row and of what it is bound to, seeded with its key."""
    return row + _sum(key, row, bound)


def _sum(key: int, row: bytes, bound: bytes) -> bytes:
    state = xxhash.xxh3_64(row, key)
    state.update(bound)
    return state.digest()


def unseal(key: int, sealed: bytes, bound: bytes = b"") -> bytes:
    """The row that was sealed under ``key``, bound to the same.

    Raises:
        CorruptPackError: its checksum does not fit; the message lacks the place, callers add it.
    """
    row, found = sealed[:-8], sealed[-8:]
    expected = _sum(key, row, bound)
    if found != expected:
        message = f"checksum {found.hex()}, expected {expected.hex()}"
        raise CorruptPackError(message)
    return row
