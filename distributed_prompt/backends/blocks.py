"""A pack in blocks: which of them two packs have in common. Knows files, but no server.

Pages of a pack do not shift when it grows, so blocks on a fixed grid find what two packs share; all but the last are
of one size, which is what servers want of parts. ``key + ".blocks.json"``, the *sidecar*, holds the hashes beside an
object; it is valid for the object's ETag that it names, and whoever has none loses time, nothing else.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeGuard

from distributed_prompt.errors import PackChangedError, PackReadError
from distributed_prompt.workers import map_ahead

SIDECAR_SUFFIX = ".blocks.json"
SIDECAR_BYTES = 2**22

SMALLEST_BLOCK_BYTES = 2**23
_MOST_BLOCKS = 9000  # servers take 10,000 parts
_VERSION = 1
_HASH_BYTES = 16
_PIECE_BYTES = 2**18  # stays in the processor's cache
_MD5_DIGITS = 32


def block_size(size_bytes: int) -> int:
    """Bytes a block of a pack of this size."""
    block_bytes = SMALLEST_BLOCK_BYTES
    while size_bytes > block_bytes * _MOST_BLOCKS:
        block_bytes *= 2
    return block_bytes


def block_count(size_bytes: int, block_bytes: int) -> int:
    """The number of blocks; the last one may be shorter."""
    return -(-size_bytes // block_bytes)


def block_range(block: int, size_bytes: int, block_bytes: int) -> tuple[int, int]:
    """Where a block starts, and how long it is."""
    start = block * block_bytes
    return start, min(block_bytes, size_bytes - start)


def new_hash() -> "hashlib._Hash":
    """What blocks are hashed with. On processors with instructions for it, SHA-256 is twice as fast as BLAKE2b."""
    return hashlib.sha256(usedforsecurity=False)


def digits(state: "hashlib._Hash") -> str:
    """A block's hash as it is written: 128 bits."""
    return state.hexdigest()[: 2 * _HASH_BYTES]


class Sidecar(NamedTuple):
    """What the sidecar of an object says.

    Attributes:
        etag: the object that it is about.
        size_bytes: that object's size.
        block_bytes: bytes a block.
        hashes: one for each block.
    """

    etag: str
    size_bytes: int
    block_bytes: int
    hashes: tuple[str, ...]

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """What a sidecar's bytes say; None if they are none, or of a newer version."""
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict) or found.get("version") != _VERSION:
            return None
        etag, size_bytes, block_bytes = found.get("etag"), found.get("size"), found.get("block")
        hashes = found.get("hashes")
        if not isinstance(etag, str) or not isinstance(hashes, list) or not all(map(_is_hash, hashes)):
            return None
        if not _is_size(size_bytes) or not _is_size(block_bytes) or block_count(size_bytes, block_bytes) != len(hashes):
            return None
        return cls(etag, size_bytes, block_bytes, tuple(hashes))

    def encode(self) -> bytes:
        """The sidecar's bytes."""
        fields = {
            "version": _VERSION,
            "etag": self.etag,
            "size": self.size_bytes,
            "block": self.block_bytes,
            "hashes": self.hashes,
        }
        return json.dumps(fields, separators=(",", ":")).encode()


def _is_size(value: Any) -> TypeGuard[int]:
    return type(value) is int and value > 0


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 2 * _HASH_BYTES and not value.strip("0123456789abcdef")


class Plan(NamedTuple):
    """What becomes of the blocks of a pack.

    Attributes:
        move: the blocks that the other side does not have.
        keep: the blocks that it has at the same place.
    """

    move: tuple[int, ...]
    keep: tuple[int, ...]


def plan(wanted: Sidecar, there: Sidecar | None) -> Plan:
    """Which blocks of ``wanted`` must be moved to where ``there`` is."""
    blocks = range(len(wanted.hashes))
    if there is None or there.block_bytes != wanted.block_bytes:
        return Plan(tuple(blocks), ())
    found = there.hashes
    keep = tuple(block for block in blocks if block < len(found) and found[block] == wanted.hashes[block])
    return Plan(tuple(sorted(frozenset(blocks).difference(keep))), keep)


class BlockFile:
    """A local file, open for reading by blocks: the very file, whatever its name comes to mean.

    Attributes:
        path: its name when it was opened.
        size_bytes: its size then.
        descriptor: the system's number for it.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            PackReadError: the system could not.
        """
        self.path = path
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _unreadable(path, error) from error
        status = os.fstat(self.descriptor)
        self.size_bytes = status.st_size
        self._identity = _identity(status)
        self._hashes: dict[int, tuple[str, ...]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self.descriptor)

    def check(self) -> None:
        """Make sure that nobody has written to the file, or put another one in its place, since it was opened.

        Raises:
            PackChangedError: somebody has.
        """
        try:
            found = {_identity(os.fstat(self.descriptor)), _identity(self.path.stat())}
        except OSError as error:
            raise _changed(self.path) from error
        if found != {self._identity}:
            raise _changed(self.path)

    def read_into(self, buffer: bytearray, block: int, block_bytes: int) -> bytes | bytearray:
        """The bytes of a block: in the buffer if it is as long as that, else a copy.

        Raises:
            PackChangedError: the file is shorter than it was.
            PackReadError: the system could not read.
        """
        start, count = block_range(block, self.size_bytes, block_bytes)
        view = memoryview(buffer)[:count]
        read = 0
        while read < count:
            read += self._read(view[read:], start + read)
        return buffer if len(buffer) == count else bytes(view)

    def _read(self, view: memoryview, start: int) -> int:
        try:
            read = os.preadv(self.descriptor, [view], start)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if not read:
            raise _changed(self.path)
        return read

    def read_at(self, start: int, count: int) -> bytes:
        """Some bytes, at least one. Raises as ``read_into``."""
        try:
            data = os.pread(self.descriptor, count, start)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if not data:
            raise _changed(self.path)
        return data

    def hashes(self, block_bytes: int) -> tuple[str, ...]:
        """The hash of each block. Cost: the whole file, on all cores, the first time."""
        if block_bytes not in self._hashes:
            blocks = range(block_count(self.size_bytes, block_bytes))
            self._hashes[block_bytes] = tuple(self.hashes_of(blocks, block_bytes))
        return self._hashes[block_bytes]

    def hashes_of(self, blocks: Iterable[int], block_bytes: int) -> Iterable[str]:
        """The hashes of some blocks. Cost: these blocks, on all cores."""
        return map(digits, map_ahead(partial(self._digest, block_bytes=block_bytes, new=new_hash), blocks))

    def sidecar(self, etag: str, block_bytes: int) -> Sidecar:
        """What a sidecar would say of this file. Cost: as ``hashes``."""
        return Sidecar(etag, self.size_bytes, block_bytes, self.hashes(block_bytes))

    def md5s(self, blocks: Iterable[int], block_bytes: int) -> Iterable[str]:
        """The MD5 of some blocks, which is what a server says of a part. Cost: these blocks, on all cores."""
        md5_of = partial(self._digest, block_bytes=block_bytes, new=partial(hashlib.md5, usedforsecurity=False))
        return (state.hexdigest() for state in map_ahead(md5_of, blocks))

    def _digest(self, block: int, block_bytes: int, new: Callable[[], "hashlib._Hash"]) -> "hashlib._Hash":
        state = new()
        start, count = block_range(block, self.size_bytes, block_bytes)
        buffer = bytearray(min(_PIECE_BYTES, count))
        view = memoryview(buffer)
        stop = start + count
        while start < stop:
            read = self._read(view[: stop - start], start)
            state.update(view[:read])
            start += read
        return state


def joined_etag(parts: Sequence[str]) -> str | None:
    """The ETag that most servers give an object made of these parts; None if the parts' own ones are not MD5s."""
    if not all(len(part) == _MD5_DIGITS and not part.strip("0123456789abcdef") for part in parts):
        return None
    return f"{hashlib.md5(bytes.fromhex(''.join(parts)), usedforsecurity=False).hexdigest()}-{len(parts)}"


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _changed(path: Path) -> PackChangedError:
    return PackChangedError(f"{path}: was changed meanwhile; do it again")


def _unreadable(path: Path, error: OSError) -> PackReadError:
    return PackReadError(f"{path}: {error.strerror}")
