"""How a text is cut into shards, and what arguments mean as offsets: pure arithmetic, no I/O.

Offsets and lengths are characters. Ranges are half-open: ``[start, stop)``.
"""

from operator import index
from typing import SupportsIndex

from distributed_prompt.errors import ArgumentError

DEFAULT_SHARD_SIZE = 131_072
MAX_SHARD_SIZE = 2**24
SEGMENT_SHARDS = 4_096
MAX_CHARACTER_BYTES = 4


def check_shard_size(shard_size: int) -> int:
    """Return ``shard_size`` if it is one.

    Raises:
        TypeError: it is no integer.
        ArgumentError: it is not between 1 and ``MAX_SHARD_SIZE`` characters.
    """
    shard_size = index(shard_size)
    if not 1 <= shard_size <= MAX_SHARD_SIZE:
        message = f"shard size {shard_size}: must be from 1 to {MAX_SHARD_SIZE:,} characters"
        raise ArgumentError(message)
    return shard_size


def check_limit(name: str, value: SupportsIndex) -> int:
    """Return a limit if it is one.

    Raises:
        TypeError: it is no integer.
        ArgumentError: it is negative.
    """
    try:
        limit = index(value)
    except TypeError:
        message = f"{name} must be an integer, not {type(value).__name__}"
        raise TypeError(message) from None
    if limit < 0:
        message = f"{name} {limit}: must be 0 or more"
        raise ArgumentError(message)
    return limit


def shard_count(length: int, shard_size: int) -> int:
    """Shards that a text of ``length`` characters fills; the empty text fills none."""
    return -(-length // shard_size)


def shard_characters(shard: int, length: int, shard_size: int) -> int:
    """Characters in one shard: ``shard_size``, fewer in the last one."""
    return min(shard_size, length - shard * shard_size)


def resolve(argument: SupportsIndex | None, default: int, length: int) -> int:
    """An optional, possibly negative argument as an offset: what ``str.find`` makes of its start and end.

    A negative index counts from the end and stops at 0. A large one is *not* cut to ``length``:
    ``"abc".find("", 4)`` is -1.
    """
    if argument is None:
        return default
    offset = index(argument)
    return max(0, offset + length) if offset < 0 else offset
