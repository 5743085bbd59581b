"""Decoded shards that are kept, of one pack or of several that share a budget, and what reading them has cost."""

import os
import sys
import weakref
from collections import OrderedDict
from threading import RLock

from distributed_prompt.characters import Stats
from distributed_prompt.geometry import check_limit

DEFAULT_CACHE_BYTES = 32 * 2**20
PACK_SHIFT = 48
"""Shards are kept under the number of their pack, shifted by so many bits, plus their own."""


class ShardCache:
    """Texts of shards, least recently used ones dropped first, so that together they stay within the budget.

    One that exceeds it alone is kept alone. Safe to use from any thread, and in forked children.

    Attributes:
        limit_bytes: the budget.
    """

    def __init__(self, limit_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        """Nothing is kept yet.

        Raises:
            ArgumentError: the budget is negative.
        """
        self.limit_bytes = check_limit("cache_bytes", limit_bytes)
        self._is_closed = False
        self._texts: OrderedDict[int, tuple[str, int]] = OrderedDict()
        # Reentrant: the garbage collector may end an abandoned pass, which counts, while the lock is held.
        self._lock = RLock()
        self._hits = self._misses = self._decoded_shards = self._decoded_bytes = self._cached_bytes = 0
        self._images = 0
        _instances.add(self)

    @property
    def stats(self) -> Stats:
        """The counters as they are now; nothing of servers."""
        with self._lock:
            counts = (self._hits, self._misses, self._decoded_shards, self._decoded_bytes)
            return Stats(*counts, self._cached_bytes, self._images)

    def get(self, key: int) -> str | None:
        """The text of a shard, if it is kept."""
        with self._lock:
            kept = self._texts.get(key)
            if kept is None:
                self._misses += 1
                return None
            self._hits += 1
            self._texts.move_to_end(key)
            return kept[0]

    def keep(self, key: int, text: str) -> None:
        """Keep the text of a shard, until others take its room."""
        with self._lock:
            if self._is_closed or key in self._texts:
                return
            # Noted, for a string grows when C code asks for its UTF-8. Counted first: an interrupt in between, or a
            # fork, leaves a count that is too high, and nothing without one.
            size = sys.getsizeof(text)
            self._cached_bytes += size
            self._texts[key] = text, size
            while self._cached_bytes > self.limit_bytes and len(self._texts) > 1:
                _, (_, size) = self._texts.popitem(last=False)
                self._cached_bytes -= size

    def count(self, shards: int, data_bytes: int) -> None:
        """Take note of shards that were decoded, and of the bytes that came out."""
        with self._lock:
            self._decoded_shards += shards
            self._decoded_bytes += data_bytes

    def count_image(self) -> None:
        """Take note of an image."""
        with self._lock:
            self._images += 1

    def close(self) -> None:
        """Drop everything, and keep nothing any more."""
        with self._lock:
            self._is_closed = True
            self._texts.clear()
            self._cached_bytes = 0

    def renew_lock(self) -> None:
        """In a forked child: another thread may have held the lock at the moment of the fork."""
        self._lock = RLock()
        self._cached_bytes = sum(size for _, size in self._texts.values())


_instances: "weakref.WeakSet[ShardCache]" = weakref.WeakSet()


def _after_fork() -> None:
    for cache in _instances:
        cache.renew_lock()


os.register_at_fork(after_in_child=_after_fork)
