"""Decoded shards on demand: a cache with a byte budget for slices, decode-ahead for passes, and counters."""

import os
import sys
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Executor
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import TypeVar

from distributed_prompt.backends.base import Backend
from distributed_prompt.characters import Characters, Stats
from distributed_prompt.errors import ClosedError, PackChangedError
from distributed_prompt.geometry import SEGMENT_SHARDS, shard_count
from distributed_prompt.ngrams import Sieve
from distributed_prompt.runs import Call, Run, cut_runs, ends
from distributed_prompt.store.document_table import DocumentTable
from distributed_prompt.store.pack import Pack
from distributed_prompt.store.pack_writer import width
from distributed_prompt.text.lines import newline_position
from distributed_prompt.text.literal import Literal
from distributed_prompt.text.pieces import Piece, decode, encode
from distributed_prompt.workers import map_ahead

Result = TypeVar("Result")

DEFAULT_CACHE_BYTES = 32 * 2**20
_RUN_BYTES = 2**22
_NEAR_RUNS = 3
_NEAR_BYTES = 2**16
_KEPT_SIEVES = 64
_EXPECTED_RUNS = 4


class Shards(Characters):
    """The text of one pack by shard. Safe to use from any thread.

    Single shards are kept, least recently used ones dropped first, so that together they stay within
    the budget; one that exceeds it alone is kept alone. A pass over many shards leaves the cache be.

    Attributes:
        pack: the open pack.
        shard_size: characters a shard.
        cache_bytes: the budget.
        owned: whether a prompt of the whole text, rather than views alone, decides when to close.
    """

    knows_parts = True

    def __init__(self, backend: Backend, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        """Take an open backend; nothing is decoded yet."""
        self._backend = backend
        self.pack = backend.pack
        self.shard_size = self.part_size = self.pack.metadata.shard_size
        self._closed = False
        self.owned = False
        self.cache_bytes = cache_bytes
        self._texts: OrderedDict[int, tuple[str, int]] = OrderedDict()
        # Reentrant: the garbage collector may end an abandoned pass, which counts, while the lock is held.
        self._lock = RLock()
        _instances.add(self)
        self._hits = self._misses = self._decoded_shards = self._decoded_bytes = self._cached_bytes = 0
        self._images = 0
        self._sieve = lru_cache(_KEPT_SIEVES)(partial(_sieve, self.pack))

    @property
    def length(self) -> int:
        """Characters of the pack."""
        return self.pack.metadata.length

    @property
    def key(self) -> Hashable:
        """The root digest."""
        return self.pack.metadata.root_digest

    @property
    def name(self) -> str:
        """That of the pack."""
        return self.pack.name

    @property
    def address(self) -> str:
        """That of the backend."""
        return self._backend.opener

    @property
    def digests(self) -> tuple[str, ...]:
        """Those of text, cut and documents."""
        return self.pack.digests

    @property
    def folder(self) -> Path:
        """Where the pack is."""
        return self._backend.folder

    def describe(self, start: int, length: int) -> str:
        """How many shards a range covers, and their size."""
        first = start // self.shard_size
        shards = shard_count(start + length, self.shard_size) - first if length else 0
        return f"shards={shards:,}, shard_size={self.shard_size:,}"

    @property
    def stats(self) -> Stats:
        """The counters as they are now."""
        with self._lock:
            counts = (self._hits, self._misses, self._decoded_shards, self._decoded_bytes)
            return Stats(*counts, self._cached_bytes, self._images, *self._backend.traffic)

    def text(self, shard: int) -> str:
        """The text of one shard, from the cache or decoded into it."""
        with self._lock:
            kept = self._texts.get(shard)
            if kept is not None:
                self._hits += 1
                self._texts.move_to_end(shard)
                return kept[0]
            self._misses += 1
        data = self.pack.utf8(shard)
        text = decode(data)
        self._count(1, len(data))
        self._keep(shard, text)
        return text

    def keep(self, piece: Piece) -> None:
        """Put a whole decoded shard into the cache."""
        shard, inside = divmod(piece.start, self.shard_size)
        if not inside and piece.characters == self.pack.characters(shard):
            self._keep(shard, decode(piece.data))

    def _keep(self, shard: int, text: str) -> None:
        with self._lock:
            if self._closed or shard in self._texts:
                return
            # Noted, for a string grows when C code asks for its UTF-8. Counted first: an interrupt in between, or a
            # fork, leaves a count that is too high, and nothing without one.
            size = sys.getsizeof(text)
            self._cached_bytes += size
            self._texts[shard] = text, size
            while self._cached_bytes > self.cache_bytes and len(self._texts) > 1:
                _, (_, size) = self._texts.popitem(last=False)
                self._cached_bytes -= size

    def near(self, offset: int) -> tuple[int, str]:
        """The shard that a character is in, from the cache or decoded into it."""
        shard = offset // self.shard_size
        return shard * self.shard_size, self.text(shard)

    def part_end(self, offset: int) -> int:
        """As the base class says; nothing is decoded."""
        return min(offset - offset % self.shard_size + self.shard_size, self.length)

    def ascii_part(self, offset: int) -> int:
        """As the base class says; the directory knows."""
        shard, inside = divmod(offset, self.shard_size)
        segment, number = divmod(shard, SEGMENT_SHARDS)
        if self.pack.directory.sizes(segment).width[number]:
            return 0
        return self.pack.characters(shard) - inside

    def range_width(self, start: int, stop: int) -> int:
        """As the base class says; the directory tells it of shards wholly inside, those at the edges are decoded."""
        size = self.shard_size
        first, last = -(-start // size), stop // size
        if first > last:
            return width(encode(self.text(start // size)[start % size : stop % size]))
        edges = [(start // size, start % size, size)] if start % size else []
        edges += [(last, 0, stop % size)] if stop % size else []
        widest = max((width(encode(self.text(shard)[a:b])) for shard, a, b in edges), default=0)
        for segment in range(first // SEGMENT_SHARDS, -(-last // SEGMENT_SHARDS)):
            base = segment * SEGMENT_SHARDS
            widths = self.pack.directory.sizes(segment).width[max(0, first - base) : last - base]
            widest = max(widest, max(widths, default=0))
        return widest

    @property
    def newlines(self) -> int:
        """As the base class says; the metadata tells."""
        self.check_open()
        return self.pack.metadata.newlines

    @property
    def lines(self) -> int:
        """As the base class says; the metadata tells."""
        self.check_open()
        return self.pack.metadata.lines

    @property
    def documents(self) -> DocumentTable:
        """Those of the pack."""
        self.check_open()
        return self.pack.documents

    def newlines_before(self, offset: int) -> int:
        """Newlines among the characters before an offset. Decodes the shard that it lies in, if it lies inside one."""
        self.check_open()
        shard, inside = divmod(offset, self.shard_size)
        before = self.pack.directory.newlines_before(shard)
        return before + self.text(shard).count("\n", 0, inside) if inside else before

    def newline_offset(self, ordinal: int) -> int:
        """The offset of newline number ``ordinal`` (from 0), which must exist. Decodes its shard."""
        self.check_open()
        shard, inside = self.pack.directory.find_newline(ordinal)
        position = newline_position(self.text(shard), inside)
        if position < 0:
            raise self.pack.corrupt(shard, "has fewer newlines than the directory says")
        return shard * self.shard_size + position

    def map_runs(
        self,
        function: Callable[[Iterator[Piece]], Result],
        start: int,
        stop: int,
        *,
        reverse: bool = False,
        holding: Sequence[Literal] = (),
        executor: Executor | None = None,
    ) -> Iterator[Result]:
        """What ``function`` makes of each run of consecutive shards, in order.

        The first four shards are decoded as they are asked for, in runs of 1, 1 and 2, since most
        searches end there; then the worker threads decode and call ``function``, in runs that double up
        to 4 MiB; a text of up to 64 KiB is not worth that. A run's shards are decoded one at a time, as
        ``function`` takes them.

        Args:
            function: takes the run's pieces.
            start: offset of the first character.
            stop: offset after the last character.
            reverse: from the last shard to the first.
            holding: as the base class says; the n-gram index tells, if there is one.
            executor: as the base class says.
        """
        if start >= stop:
            return
        self.check_open()
        first, last = start // self.shard_size, (stop - 1) // self.shard_size
        sieve = self._sieve(tuple(holding))
        metadata = self.pack.metadata
        average_bytes = max(1, metadata.utf8_bytes // metadata.shards)
        largest = max(1, _RUN_BYTES // average_bytes)
        whole = range(last, first - 1, -1) if reverse else range(first, last + 1)
        runs = cut_runs(sieve.stretches(first, last, reverse=reverse) if sieve else iter([whole]), largest)
        if self.pack.store.is_far:
            runs = self._expected(runs)

        call = Call(self, function, start, stop, tuple(holding) if sieve else (), reverse=reverse)
        # Handing a little text to another thread costs more than its passing.
        near_runs = _NEAR_RUNS if (last - first) * average_bytes > _NEAR_BYTES else None
        if executor is None:
            yield from map(call, islice(runs, near_runs))
        results = map_ahead(call, runs, executor)
        try:
            for result in results:  # noqa: UP028  # "yield from" would close the results before the flag is set
                yield result
        finally:
            # Whoever stops here waits for a shard, not for a run.
            call.is_stopped = True
            results.close()

    def _expected(self, runs: Iterator[Run]) -> Iterator[Run]:
        """Runs, those behind them said to be read soon; the nearer ones are smaller."""
        coming: deque[Run] = deque()
        for run in runs:
            self.pack.directory.expect(*ends(run.shards))
            coming.append(run)
            if len(coming) > _EXPECTED_RUNS:
                yield coming.popleft()
        yield from coming

    def read_run(self, run: Run, literals: tuple[Literal, ...], first: int, *, reverse: bool) -> Iterator[Piece]:
        """The pieces of a run; of one that the index chose, also of the shard before it, where that matters.

        Args:
            run: some shards.
            literals: what the index was asked for; nothing if it was not.
            first: the first shard that may be read.
            reverse: whether the run goes from the last shard to the first.
        """
        pieces = self._read(run.shards)
        if literals and run.is_lowest and ends(run.shards)[0] > first:
            return self._with_one_before(pieces, literals, ends(run.shards)[0], reverse=reverse)
        return pieces

    def _read(self, run: range) -> Iterator[Piece]:
        blobs = self.pack.blobs(min(run[0], run[-1]), max(run[0], run[-1]))
        shards = data_bytes = 0
        try:
            for shard in run:
                piece = self.pack.piece(shard, blobs.pop(shard, None))
                shards += 1
                data_bytes += len(piece.data)
                yield piece
                del piece
        finally:
            self._count(shards, data_bytes)

    def _with_one_before(
        self, pieces: Iterator[Piece], literals: tuple[Literal, ...], lowest: int, *, reverse: bool
    ) -> Iterator[Piece]:
        """A stretch, and the shard before it, in which nothing ends, if an occurrence may begin there."""
        for piece in pieces:
            goes_on = piece.start == lowest * self.shard_size and any(
                literal.may_end_in(piece.data) for literal in literals
            )
            before = self._read(range(lowest - 1, lowest)) if goes_on else iter(())
            if reverse:
                yield piece
                yield from before
            else:
                yield from before
                yield piece

    def lacking(self, literals: Sequence[Literal]) -> Callable[[int], int] | None:
        """As the base class says; the n-gram index tells, if there is one."""
        sieve = self._sieve(tuple(literals))
        return partial(self._lacks, sieve) if sieve else None

    def parts_holding(self, start: int, stop: int, literals: Sequence[Literal]) -> int | None:
        """As the base class says; the n-gram index tells, if there is one, of the first segments."""
        sieve = self._sieve(tuple(literals))
        stop = min(stop, self.length)
        if sieve is None or start >= stop:
            return None
        return sieve.estimate(start // self.shard_size, (stop - 1) // self.shard_size)

    def _lacks(self, sieve: Sieve, offset: int) -> int:
        self.check_open()
        shard, inside = divmod(offset, self.shard_size)
        if sieve.holds(shard) or (shard + 1 < self.pack.metadata.shards and sieve.holds(shard + 1)):
            return 0
        return self.pack.characters(shard) - inside

    def count_image(self) -> None:
        """Take note of an image."""
        with self._lock:
            self._images += 1

    def close(self) -> None:
        """Drop the cache and let go of the pack."""
        with self._lock:
            self._closed = True
            self._texts.clear()
            self._cached_bytes = 0
        self._backend.close()

    def __reduce__(self) -> tuple[object, ...]:
        """What opens the same pack elsewhere: the backend's address and the digests, never the text."""
        return _reopen, (self._backend, self.pack.digests, self.cache_bytes)

    def renew_lock(self) -> None:
        """In a forked child: another thread may have held the lock at the moment of the fork."""
        self._lock = RLock()
        self._cached_bytes = sum(size for _, size in self._texts.values())

    def check_open(self) -> None:
        """For what may be answered from memory: reading a shard finds out by itself."""
        if self._closed:
            message = f"{self.pack.name} is closed"
            raise ClosedError(message)

    def _count(self, shards: int, data_bytes: int) -> None:
        with self._lock:
            self._decoded_shards += shards
            self._decoded_bytes += data_bytes


def _sieve(pack: Pack, literals: tuple[Literal, ...]) -> Sieve | None:
    """What tells which shards to look at; None if that is all of them."""
    if not (literals and pack.ngrams.exists and Sieve.can_tell(literals, pack.metadata.shard_size)):
        return None
    return Sieve(pack.ngrams, literals)


def _reopen(backend: Backend, digests: tuple[str, str], cache_bytes: int) -> Shards:
    """Unpickle."""
    for what, found, expected in zip(("root", "documents"), backend.pack.digests, digests, strict=True):
        if found != expected:
            name = backend.pack.name
            backend.close()
            message = f"{name}: {what} digest {found[:16]}…, expected {expected[:16]}…: another pack lies there now"
            raise PackChangedError(message)
    return Shards(backend, cache_bytes)


_instances: "weakref.WeakSet[Shards]" = weakref.WeakSet()


def _after_fork() -> None:
    for shards in _instances:
        shards.renew_lock()


os.register_at_fork(after_in_child=_after_fork)
