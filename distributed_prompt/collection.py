"""Many packs as one text: each is opened when it is touched, and what is known of all of them asks none."""

import tempfile
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import TypeVar

from distributed_prompt.backends.addresses import is_remote, open_backend
from distributed_prompt.backends.base import Backend
from distributed_prompt.backends.fetchers import submit
from distributed_prompt.backends.manifests import read_manifest
from distributed_prompt.backends.traffic import Traffic
from distributed_prompt.caching import cached
from distributed_prompt.characters import Characters, Stats
from distributed_prompt.collected_documents import CollectedDocuments
from distributed_prompt.errors import ClosedError, CorruptPackError, DPromptError, PackChangedError
from distributed_prompt.locks import Lock
from distributed_prompt.manifest import Manifest, PackEntry, placed
from distributed_prompt.runs import Interest, Shifted, Task, map_tasks
from distributed_prompt.seams import Seams, Stretch
from distributed_prompt.shard_cache import DEFAULT_CACHE_BYTES, ShardCache
from distributed_prompt.shards import Shards, check_digests, run_size
from distributed_prompt.text.literal import Literal
from distributed_prompt.text.pieces import Piece

Result = TypeVar("Result")
PackRef = str | Backend
"""Where a pack is, or what has opened it."""

OPEN_PACKS = 64
_LOCKS = 16
_OPENED_AHEAD = 16
_SAMPLED_PACKS = 4
_CHECKED = ("length", "shard_size", "utf8_bytes", "newlines", "width", "documents")


class Collection(Characters):
    """The text of many packs, one after the other. Safe to use from any thread.

    Lengths, newlines and documents come from the manifest. Packs are opened as they are touched; of those, 64 stay
    open. All share one cache.

    Attributes:
        manifest: the packs.
        owned: whether a prompt of the whole text, rather than views alone, decides when to close.
    """

    knows_parts = True

    def __init__(
        self, manifest: Manifest, sources: Sequence[PackRef], cache_bytes: int = DEFAULT_CACHE_BYTES, address: str = ""
    ) -> None:
        """Open nothing yet.

        Args:
            manifest: the packs.
            sources: where each is; backends stay open for as long as this is.
            cache_bytes: memory that decoded shards may take, of all packs together.
            address: what opens the same collection; empty if nothing does.
        """
        self.manifest = manifest
        self.owned = False
        self._sources = tuple(sources)
        self._address = address
        self._cache = ShardCache(cache_bytes)
        self._stops = list(accumulate(entry.length for entry in manifest.packs))
        self._seams = Seams(manifest.packs, self._stops)
        self._newline_stops = list(accumulate(entry.newlines for entry in manifest.packs))
        self.part_size = max((entry.shard_size for entry in manifest.packs), default=1)
        self._is_closed = False
        # Those that are open, the longest open first.
        self._open: dict[int, Shards] = {}
        self._lock = Lock()
        self._opening = [Lock() for _ in range(_LOCKS)]
        self._past_traffic = Traffic()

    @property
    def length(self) -> int:
        """As the base class says; the manifest tells."""
        return self._stops[-1] if self._stops else 0

    @property
    def key(self) -> Hashable:
        """The root digests."""
        return tuple(entry.root_digest for entry in self.manifest.packs)

    @property
    def name(self) -> str:
        """The address, or what the first pack is called."""
        return self._address or f"{self._called(0)} and {len(self._sources) - 1:,} more"

    def _called(self, pack: int) -> str:
        source = self._sources[pack]
        return source.address if isinstance(source, Backend) else source

    @property
    def address(self) -> str:
        """As the base class says."""
        return self._address

    @property
    def digests(self) -> tuple[str, ...]:
        """That of the manifest."""
        return (self.manifest.digest,)

    @property
    def folder(self) -> Path:
        """Where the manifest is, or else the first pack; of what is on servers, that for temporary files."""
        place = self._address or self._called(0)
        return Path(tempfile.gettempdir()) if not place or is_remote(place) else Path(place).parent

    def describe(self, start: int, length: int) -> str:
        """How many packs a range covers."""
        last = self._pack_of(start + length - 1) if length else -1
        return f"packs={last + 1 - self._pack_of(start) if length else 0:,}"

    def _pack_of(self, offset: int) -> int:
        return bisect_right(self._stops, offset)

    def _start(self, pack: int) -> int:
        return self._stops[pack - 1] if pack else 0

    def shards(self, pack: int) -> Shards:
        """The shards of a pack, which is opened if it is not.

        Raises:
            PackChangedError: it is not the one that the manifest names.
            DPromptError: as :func:`distributed_prompt.open`.
        """
        return self._open.get(pack) or self._opened(pack)

    def _opened(self, pack: int) -> Shards:
        # Held while a server answers: whoever wants the same pack waits for it, and does not ask as well.
        with self._opening[pack % _LOCKS]:
            found = self._open.get(pack)
            if found:
                return found
            self.check_open()
            source = self._sources[pack]
            backend = source if isinstance(source, Backend) else open_backend(source)
            check_digests(backend, self.manifest.packs[pack].digests)
            _check_entry(backend, self.manifest.packs[pack])
            shards = Shards(backend, self._cache, pack)
            with self._lock:
                if self._is_closed:
                    # Meanwhile, and nobody else would.
                    shards.close()
                    self.check_open()
                self._open[pack] = shards
                named = [each for each in self._open if not isinstance(self._sources[each], Backend)]
                if len(named) > OPEN_PACKS:
                    # Nobody closes it: whoever is using it goes on, and the last one lets go of the file.
                    self._past_traffic = self._past_traffic.plus(self._open.pop(named[0]).traffic)
            return shards

    @property
    def stats(self) -> Stats:
        """As the base class says."""
        with self._lock:
            traffic = self._past_traffic.plus(*(shards.traffic for shards in self._open.values()))
        return replace(self._cache.stats, **traffic._asdict())

    def near(self, offset: int) -> tuple[int, str]:
        """As the base class says: of the pack that it is in."""
        pack = bisect_right(self._stops, offset)
        if pack == len(self._stops):
            return self.length, ""
        base = self._stops[pack - 1] if pack else 0
        start, text = (self._open.get(pack) or self._opened(pack)).near(offset - base)
        return base + start, text

    def keep(self, piece: Piece) -> None:
        """As the base class says."""
        pack = self._pack_of(piece.start)
        if pack in self._open:
            self.shards(pack).keep(piece._replace(start=piece.start - self._start(pack)))

    def part_end(self, offset: int) -> int:
        """As the base class says; the manifest tells."""
        if offset >= self.length:
            return self.length
        pack = self._pack_of(offset)
        inside, size = offset - self._start(pack), self.manifest.packs[pack].shard_size
        return min(offset - inside % size + size, self._stops[pack])

    def ascii_part(self, offset: int) -> int:
        """As the base class says; the manifest tells of packs that are ASCII, the directories of others."""
        if offset >= self.length:
            return 0
        pack = self._pack_of(offset)
        if not self.manifest.packs[pack].width:
            return self.part_end(offset) - offset
        return self.shards(pack).ascii_part(offset - self._start(pack))

    def range_width(self, start: int, stop: int) -> int:
        """As the base class says; the manifest tells of packs wholly inside."""
        widest = 0
        for pack, first, last, _ in self._seams.stretches(start, stop):
            entry = self.manifest.packs[pack]
            if entry.width > widest:
                is_whole = (first, last) == (0, entry.length)
                widest = max(widest, entry.width if is_whole else self.shards(pack).range_width(first, last))
        return widest

    @property
    def newlines(self) -> int:
        """As the base class says; the manifest tells."""
        self.check_open()
        return self._newline_stops[-1] if self._newline_stops else 0

    def newlines_before(self, offset: int) -> int:
        """As the base class says: of the pack that it is in."""
        self.check_open()
        pack = min(self._pack_of(offset), max(0, len(self._stops) - 1))
        before = self._newline_stops[pack - 1] if pack else 0
        inside = offset - self._start(pack)
        return before + (self.shards(pack).newlines_before(inside) if inside else 0)

    def newline_offset(self, ordinal: int) -> int:
        """As the base class says: of the pack that it is in."""
        self.check_open()
        pack = bisect_right(self._newline_stops, ordinal)
        before = self._newline_stops[pack - 1] if pack else 0
        return self._start(pack) + self.shards(pack).newline_offset(ordinal - before)

    @cached
    def _documents(self) -> CollectedDocuments:
        starts = [self._start(pack) for pack in range(len(self._stops))]
        return CollectedDocuments(self.manifest, starts, lambda pack: self.shards(pack).documents)

    @property
    def documents(self) -> CollectedDocuments:
        """Those of all packs."""
        self.check_open()
        return self._documents

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
        """As the base class says; runs are those of the packs, all of them in one row.

        An index knows nothing of what begins in one pack and ends in another. Where the edges of two packs do not rule
        that out, what is around their seam is not left out.
        """
        stop = min(stop, self.length)
        if start >= stop:
            return
        self.check_open()
        interest = Interest()
        literals = tuple(holding)
        run_bytes = run_size(function, executor)
        tasks = self._tasks(function, start, stop, interest, run_bytes, literals, reverse=reverse)
        entry = self.manifest.packs[self._pack_of(start)]
        expected_bytes = (stop - start) * entry.utf8_bytes // max(1, entry.length)
        yield from map_tasks(tasks, interest, expected_bytes, run_bytes, executor)

    def _tasks(
        self,
        function: Callable[[Iterator[Piece]], Result],
        start: int,
        stop: int,
        interest: Interest,
        run_bytes: int,
        literals: tuple[Literal, ...],
        *,
        reverse: bool,
    ) -> Iterator[Task[Result]]:
        done = 0
        for pack, first, last, holding in self._coming(start, stop, literals, reverse=reverse):
            shards = self.shards(pack)
            shifted = Shifted(function, self._start(pack))
            yield from shards.tasks(
                shifted, first, last, interest, run_bytes, reverse=reverse, holding=holding, done=done
            )
            done += last // shards.shard_size - first // shards.shard_size

    def _coming(self, start: int, stop: int, literals: tuple[Literal, ...], *, reverse: bool) -> Iterator[Stretch]:
        """Stretches; those that follow and are far away are opened meanwhile, and what an index tells is fetched."""
        stretches = self._seams.stretches(start, stop, literals, reverse=reverse)
        waiting: list[Stretch] = []
        ahead = 1
        for stretch in stretches:
            waiting.append(stretch)
            if stretch.pack not in self._open and is_remote(self._sources[stretch.pack]):
                submit(partial(self._prepare, stretch))
            if len(waiting) >= ahead:
                yield waiting.pop(0)
                # One that ends early has not asked for many in vain.
                ahead = min(2 * ahead, _OPENED_AHEAD)
        yield from waiting

    def _prepare(self, stretch: Stretch) -> None:
        try:
            self.shards(stretch.pack).prepare(stretch.start, stretch.stop, stretch.holding)
        except DPromptError:
            # Whoever comes to need it meets the same, and says so.
            return

    def lacking(self, literals: Sequence[Literal]) -> Callable[[int], int] | None:
        """As the base class says; indexes tell."""
        return partial(self._lacks, tuple(literals)) if literals else None

    def _lacks(self, literals: tuple[Literal, ...], offset: int) -> int:
        self.check_open()
        if offset >= self.length:
            return 0
        pack = self._pack_of(offset)
        # Asked for anew: what is kept of a pack keeps it open.
        lacks, base = self.shards(pack).lacking(literals), self._start(pack)
        characters = lacks(offset - base) if lacks else 0
        first, last = self._seams.between(pack, literals) if characters else (0, 0)
        return characters if first <= offset - base and offset - base + characters <= last else 0

    def parts_holding(self, start: int, stop: int, literals: Sequence[Literal]) -> int | None:
        """As the base class says; the indexes of the first few packs tell."""
        stretches = list(islice(self._seams.stretches(start, min(stop, self.length)), _SAMPLED_PACKS))
        counts = [self.shards(each.pack).parts_holding(each.start, each.stop, literals) for each in stretches]
        known = [count for count in counts if count is not None]
        return sum(known) if known and len(known) == len(counts) else None

    def count_image(self) -> None:
        """As the base class says."""
        self._cache.count_image()

    def check_open(self) -> None:
        """As the base class says."""
        if self._is_closed:
            message = f"{self.name} is closed"
            raise ClosedError(message)

    def close(self) -> None:
        """As the base class says: all packs."""
        with self._lock:
            self._is_closed = True
            opened = [*self._open.values()]
            self._open.clear()
        self._cache.close()
        for shards in opened:
            shards.close()
        for source in self._sources:
            if isinstance(source, Backend):
                source.close()

    def __reduce__(self) -> tuple[object, ...]:
        """What opens the same packs elsewhere, never their text: the manifest's address, if there is one."""
        cache_bytes = self._cache.limit_bytes
        if self._address:
            return of_manifest, (self._address, cache_bytes, self.manifest.digest)
        return type(self), (self.manifest, self._sources, cache_bytes)


def of_manifest(address: str, cache_bytes: int = DEFAULT_CACHE_BYTES, digest: str = "") -> Collection:
    """The packs of the manifest at an address.

    Args:
        address: of the manifest.
        cache_bytes: memory that decoded shards may take, of all packs together.
        digest: that of the manifest which is wanted; any, if it is empty.

    Raises:
        PackChangedError: it is another.
        DPromptError: it cannot be read.
    """
    manifest = read_manifest(address)
    if digest and manifest.digest != digest:
        message = f"{address}: digest {manifest.digest[:16]}…, expected {digest[:16]}…: another manifest lies there now"
        raise PackChangedError(message)
    return Collection(manifest, places(manifest, address), cache_bytes, address)


def places(manifest: Manifest, address: str) -> list[str]:
    """Where the packs of a manifest are.

    Raises:
        CorruptPackError: a manifest on a server names what is not below its own folder.
    """
    is_far = is_remote(address)
    return [placed(entry.address, address, is_far=is_far) for entry in manifest.packs]


def _check_entry(backend: Backend, entry: PackEntry) -> None:
    """Close, and refuse, a backend whose pack is not what the manifest says: offsets would lead nowhere."""
    for field in _CHECKED:
        found, expected = getattr(backend.pack.metadata, field), getattr(entry, field)
        if found != expected:
            backend.close()
            message = f"{backend.pack.name}: {field} {found}, but the manifest says {expected}"
            raise CorruptPackError(message)
