"""The shards of one pack, decoded on demand: from the cache for slices, ahead of their use for passes."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

from distributed_prompt.backends.base import Backend
from distributed_prompt.backends.traffic import Traffic
from distributed_prompt.characters import Characters, Stats
from distributed_prompt.errors import ClosedError, PackChangedError
from distributed_prompt.geometry import SEGMENT_SHARDS, shard_count
from distributed_prompt.ngrams import Sieve
from distributed_prompt.runs import Call, Interest, Run, Task, cut_runs, ends, map_tasks
from distributed_prompt.shard_cache import PACK_SHIFT, ShardCache
from distributed_prompt.store.document_table import DocumentTable
from distributed_prompt.store.pack import Pack
from distributed_prompt.text.lines import newline_position
from distributed_prompt.text.literal import Literal
from distributed_prompt.text.pieces import Piece, decode, encode, width

Result = TypeVar("Result")

_RUN_BYTES = 2**22
# What goes to another process is worth more: handing it over takes milliseconds.
_SENT_RUN_BYTES = 2**26
_KEPT_SIEVES = 64
_EXPECTED_RUNS = 4


class Shards(Characters):
    """The text of one pack by shard. Safe to use from any thread.

    Single shards are kept in the cache. A pass over many shards leaves it be.

    Attributes:
        pack: the open pack.
        shard_size: characters a shard.
        owned: whether a prompt of the whole text, rather than views alone, decides when to close.
    """

    knows_parts = True

    def __init__(self, backend: Backend, cache: ShardCache, number: int = 0) -> None:
        """Take an open backend, and where to keep shards; nothing is decoded yet.

        Args:
            backend: what has the pack.
            cache: may be shared with other packs.
            number: tells the pack from these.
        """
        self._backend = backend
        self.pack = backend.pack
        self.shard_size = self.part_size = self.pack.metadata.shard_size
        self._closed = False
        self.owned = False
        self._cache = cache
        self._first_key = number << PACK_SHIFT
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
        return replace(self._cache.stats, **self.traffic._asdict())

    @property
    def traffic(self) -> Traffic:
        """What has been asked of a server."""
        return self._backend.traffic

    def text(self, shard: int) -> str:
        """The text of one shard, from the cache or decoded into it."""
        text = self._cache.get(self._first_key + shard)
        if text is None:
            data = self.pack.utf8(shard)
            text = decode(data)
            self._cache.count(1, len(data))
            self._cache.keep(self._first_key + shard, text)
        return text

    def keep(self, piece: Piece) -> None:
        """Put a whole decoded shard into the cache."""
        shard, inside = divmod(piece.start, self.shard_size)
        if not inside and piece.characters == self.pack.characters(shard):
            self._cache.keep(self._first_key + shard, decode(piece.data))

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
        interest = Interest()
        run_bytes = run_size(function, executor)
        tasks = self.tasks(function, start, stop, interest, run_bytes, reverse=reverse, holding=holding)
        shards = (stop - 1) // self.shard_size - start // self.shard_size
        yield from map_tasks(tasks, interest, shards * self._average_bytes, run_bytes, executor)

    @property
    def _average_bytes(self) -> int:
        return max(1, self.pack.metadata.utf8_bytes // self.pack.metadata.shards)

    def tasks(
        self,
        function: Callable[[Iterator[Piece]], Result],
        start: int,
        stop: int,
        interest: Interest,
        run_bytes: int,
        *,
        reverse: bool = False,
        holding: Sequence[Literal] = (),
        done: int = 0,
    ) -> Iterator[Task[Result]]:
        """The runs of a range that is not empty, each with what makes something of it; as of :meth:`map_runs`.

        Args:
            function: as there.
            start: as there.
            stop: as there.
            interest: whether anybody still wants the results.
            run_bytes: the most text that a run may have, unless it is one shard.
            reverse: as there.
            holding: as there.
            done: how many shards went before, so that runs need not begin small.
        """
        self.check_open()
        first, last = start // self.shard_size, (stop - 1) // self.shard_size
        sieve = self._sieve(tuple(holding))
        largest = max(1, run_bytes // self._average_bytes)
        whole = range(last, first - 1, -1) if reverse else range(first, last + 1)
        stretches = sieve.stretches(first, last, reverse=reverse) if sieve else iter([whole])
        runs = cut_runs(stretches, largest, done)
        if self.pack.store.is_far:
            runs = self._expected(runs)
        call = Call(self, function, start, stop, tuple(holding) if sieve else (), interest, reverse=reverse)
        return (Task(call, run, len(run.shards) * self._average_bytes) for run in runs)

    def prepare(self, start: int, stop: int, holding: Sequence[Literal]) -> None:
        """Have what the index tells of a range that is not empty, before it is asked for."""
        sieve = self._sieve(tuple(holding))
        for _ in sieve.stretches(start // self.shard_size, (stop - 1) // self.shard_size) if sieve else ():
            pass

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
            self._cache.count(shards, data_bytes)

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
        self._cache.count_image()

    def close(self) -> None:
        """Drop the cache and let go of the pack."""
        self._closed = True
        self._cache.close()
        self._backend.close()

    def __reduce__(self) -> tuple[object, ...]:
        """What opens the same pack elsewhere: the backend's address and the digests, never the text."""
        return _reopen, (self._backend, self.pack.digests, self._cache.limit_bytes)

    def check_open(self) -> None:
        """For what may be answered from memory: reading a shard finds out by itself."""
        if self._closed:
            message = f"{self.pack.name} is closed"
            raise ClosedError(message)


def _sieve(pack: Pack, literals: tuple[Literal, ...]) -> Sieve | None:
    """What tells which shards to look at; None if that is all of them."""
    if not (literals and pack.ngrams.exists and Sieve.can_tell(literals, pack.metadata.shard_size)):
        return None
    return Sieve(pack.ngrams, literals)


def run_size(function: Callable[[Iterator[Piece]], object], executor: Executor | None) -> int:
    """Bytes of text that are worth a task; few where all of them come back."""
    return _RUN_BYTES if executor is None or function is list else _SENT_RUN_BYTES


def check_digests(backend: Backend, digests: tuple[str, ...]) -> None:
    """Close a backend whose pack is not the one that is wanted.

    Raises:
        PackChangedError: it is not.
    """
    for what, found, expected in zip(("root", "documents"), backend.pack.digests, digests, strict=True):
        if found != expected:
            name = backend.pack.name
            backend.close()
            message = f"{name}: {what} digest {found[:16]}…, expected {expected[:16]}…: another pack lies there now"
            raise PackChangedError(message)


def _reopen(backend: Backend, digests: tuple[str, ...], cache_bytes: int) -> Shards:
    """Unpickle."""
    check_digests(backend, digests)
    return Shards(backend, ShardCache(cache_bytes))
