"""An object on a web server as a source of bytes: read by page, each page once, many at a time.

What was read stays in memory, up to a budget, and with a folder for it on disk. Ranges that are known to be asked for
soon are fetched ahead on threads of their own.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from itertools import count
from typing import NamedTuple, TypeVar

from distributed_prompt.backends.fetchers import submit
from distributed_prompt.backends.page_cache import PageCache
from distributed_prompt.backends.ranges import Ranges
from distributed_prompt.backends.traffic import Traffic
from distributed_prompt.errors import ClosedError
from distributed_prompt.locks import Lock
from distributed_prompt.store.byte_source import ByteSource

Result = TypeVar("Result")

PAGE_BYTES = 2**12
DEFAULT_CACHE_BYTES = 2**25
_FIRST_BYTES = 2**16
_LAST_BYTES = 2**19
_LONGEST_BYTES = 2**22
# Two ranges with no more between them are asked for as one.
_GAP_PAGES = 4
# Of pages that nobody has told of, so many are fetched at once, first and at most.
_FIRST_STRIDE_PAGES = 4
_MOST_STRIDE_PAGES = 128
_NEAR_PAGES = 192


class _PageSpan(NamedTuple):
    """Consecutive pages.

    Attributes:
        first: the number of the first, from 0.
        data: all of them.
    """

    first: int
    data: bytes | bytearray

    def pages(self) -> range:
        """Their numbers."""
        return range(self.first, self.first + -(-len(self.data) // PAGE_BYTES))

    def part(self, offset: int, size: int) -> bytes:
        """Some bytes by their place in the object; fewer where the pages end."""
        start = offset - self.first * PAGE_BYTES
        return bytes(memoryview(self.data)[start : start + size])


class _InterruptedError(Exception):
    """Whoever was to fetch a page was interrupted."""


class Pages(ByteSource):
    """One version of an object, read by page. Safe to use from any thread, and in forked children.

    Attributes:
        name: what errors call it.
        size_bytes: its size.
    """

    def __init__(self, ranges: Ranges, cache_bytes: int = DEFAULT_CACHE_BYTES, cache: PageCache | None = None) -> None:
        """Fetch the beginning and the end, at the same time: all that opening a pack needs.

        Args:
            ranges: the object.
            cache_bytes: memory that pages may take.
            cache: keeps pages on disk.

        Raises:
            PackNotFoundError: there is no such object.
            AccessError: the server refuses.
            NotAPackError: the object is empty.
            RemoteError: the server cannot be reached, fails again and again, or serves no ranges.

        Cost: one round trip.
        """
        self.name = ranges.name
        self._ranges = ranges
        self._cache = cache
        self._cache_bytes = cache_bytes
        # Kept as they came, many pages together: single ones, made on many threads, would leave memory full of holes.
        self._stretches: OrderedDict[int, _PageSpan] = OrderedDict()
        self._pages: dict[int, int] = {}
        self._numbers = count()
        self._pending: dict[int, Future[bytes]] = {}
        self._process = os.getpid()
        self._held_bytes = 0
        self._last_missed = range(0)
        self._stride = _FIRST_STRIDE_PAGES
        self._lock = Lock()
        self._closed = False
        try:
            end: Future[tuple[int, bytearray]] = Future()
            submit(partial(_complete, end, partial(ranges.pin_end, _LAST_BYTES)))
            first = ranges.pin_beginning(_FIRST_BYTES)
            last = end.result()
        except BaseException:
            self.close()
            raise
        self.size_bytes = ranges.size_bytes
        if cache:
            cache.bind(f"{ranges.identity}\0{ranges.size_bytes}", ranges.version)
        for start, data in (first, last):
            # A page that is only in part there is left out.
            skipped = -start % PAGE_BYTES
            stop = len(data) if start + len(data) == self.size_bytes else len(data) - (start + len(data)) % PAGE_BYTES
            self._keep((start + skipped) // PAGE_BYTES, data[skipped:stop])

    @property
    def traffic(self) -> Traffic:
        """What has been asked of the server so far."""
        return self._ranges.traffic

    def read(self, offset: int, size: int) -> bytes:
        """As the base class says."""
        first = offset // PAGE_BYTES
        with self._lock:
            stretch = self._stretch_of(first)
        if stretch:
            found = stretch.part(offset, size)
            if len(found) == size:
                return found
        stop = min(offset + size, self.size_bytes)
        if offset >= stop:
            return b""
        data = b"".join(self._get(first, (stop - 1) // PAGE_BYTES + 1, self._read_on(first, stop)))
        inside = offset - first * PAGE_BYTES
        return data[inside : inside + stop - offset]

    def _stretch_of(self, page: int) -> "_PageSpan | None":
        """What a page came with, if it is there; the lock is held."""
        number = self._pages.get(page)
        if number is None:
            return None
        self._stretches.move_to_end(number)
        return self._stretches[number]

    def prefetch(self, ranges: Iterable[range]) -> None:
        """Begin to fetch what is missing of some ranges."""
        for stretch in _merged((_pages_of(each, self.size_bytes) for each in ranges if each), _GAP_PAGES):
            self._begin(stretch)

    def _read_on(self, first: int, stop: int) -> range:
        """Which pages to fetch when one is missing that nobody has told of: more, if they follow each other.

        SQLite checks its structure from the last row to the first, and from each leaf to its rows' other pages.
        """
        needed = range(first, -(-stop // PAGE_BYTES))
        end = -(-self.size_bytes // PAGE_BYTES)
        with self._lock:
            if first in self._pages or first in self._pending:
                return needed
            last = self._last_missed
            is_near = last.start - _NEAR_PAGES <= first <= last.stop + _NEAR_PAGES
            self._stride = min(2 * self._stride, _MOST_STRIDE_PAGES) if is_near else _FIRST_STRIDE_PAGES
            if is_near and first < last.start:
                wanted = range(max(0, min(first, needed.stop - self._stride)), needed.stop)
            else:
                wanted = range(first, min(max(first + self._stride, needed.stop), end))
            self._last_missed = wanted
        return wanted

    def _get(self, first: int, stop: int, wanted: range) -> Iterator[bytes]:
        """Some consecutive pages; those around them that are wanted, too, are fetched with them."""
        known: dict[int, bytes] = {}
        futures = self._begin(wanted, known)
        for number in range(first, stop):
            yield known[number] if number in known else self._awaited(number, futures[number])

    def _awaited(self, number: int, future: Future[bytes]) -> bytes:
        try:
            return future.result()
        except _InterruptedError:
            return b"".join(self._get(number, number + 1, range(number, number + 1)))

    def _begin(self, wanted: range, known: dict[int, bytes] | None = None) -> dict[int, Future[bytes]]:
        """Begin to fetch what is missing of some pages; what is not is noted in ``known``.

        Returns:
            What will be each page that is not known.
        """
        self.check_open()
        futures: dict[int, Future[bytes]] = {}
        missing: list[int] = []
        with self._lock:
            if self._process != os.getpid():
                # Nobody will fetch in a forked child what its parent waits for.
                self._process = os.getpid()
                self._pending.clear()
            for number in wanted:
                there = self._stretch_of(number)
                if there:
                    if known is not None:
                        known[number] = there.part(number * PAGE_BYTES, PAGE_BYTES)
                elif number in self._pending:
                    futures[number] = self._pending[number]
                else:
                    missing.append(number)
                    futures[number] = self._pending[number] = Future()
        stretches = [cut for stretch in _merged(range(n, n + 1) for n in missing) for cut in _cut(stretch)]
        # The last one is fetched by whoever waits for it.
        here = stretches.pop() if known is not None and stretches else None
        try:
            while stretches:
                submit(partial(self._fetch, stretches[-1]))
                stretches.pop()
        except BaseException as error:
            for stretch in [*stretches, *([here] if here else [])]:
                self._fail(stretch, error)
            raise
        if here is not None:
            self._fetch(here)
        return futures

    def _fetch(self, stretch: range) -> None:
        """Fetch some consecutive pages, and tell who waits for them."""
        try:
            self.check_open()
            data: bytes | bytearray | None = self._from_disk(stretch)
            if data is None:
                stop = min(stretch.stop * PAGE_BYTES, self.size_bytes)
                data = self._ranges.fetch(stretch.start * PAGE_BYTES, stop)
                if self._cache:
                    self._cache.put(stretch.start, data)
        except BaseException as error:
            self._fail(stretch, error)
            if not isinstance(error, Exception):
                raise
            return
        self._keep(stretch.start, data)

    def _fail(self, stretch: range, error: BaseException) -> None:
        """Tell who waits for some pages that they do not come; whoever asks next tries again."""
        if not isinstance(error, Exception):
            # An interrupt is for one thread alone.
            error = _InterruptedError()
        with self._lock:
            futures = [self._pending.pop(number, None) for number in stretch]
        for future in filter(None, futures):
            with suppress(InvalidStateError):
                future.set_exception(error)

    def _from_disk(self, stretch: range) -> bytes | None:
        pages = [self._cache.get(number) for number in stretch] if self._cache else [None]
        found = [page for page in pages if page is not None]
        return b"".join(found) if len(found) == len(pages) else None

    def _keep(self, first: int, data: bytes | bytearray) -> None:
        """Put pages into memory, and tell who waits for them."""
        stretch = _PageSpan(first, data)
        told: list[tuple[Future[bytes], int]] = []
        with self._lock:
            key = next(self._numbers)
            self._stretches[key] = stretch
            self._held_bytes += len(data)
            for number in stretch.pages():
                self._pages[number] = key
                future = self._pending.pop(number, None)
                if future:
                    told.append((future, number))
            while self._held_bytes > self._cache_bytes and len(self._stretches) > 1:
                self._drop_oldest()
        for future, number in told:
            with suppress(InvalidStateError):
                future.set_result(stretch.part(number * PAGE_BYTES, PAGE_BYTES))

    def _drop_oldest(self) -> None:
        key, stretch = self._stretches.popitem(last=False)
        self._held_bytes -= len(stretch.data)
        for number in stretch.pages():
            if self._pages.get(number) == key:
                del self._pages[number]

    def forget(self) -> bool:
        """As the base class says; the disk's pages, too."""
        with self._lock:
            self._pages.clear()
            self._stretches.clear()
            self._held_bytes = 0
        if self._cache:
            self._cache.clear()
        return True

    def check_open(self) -> None:
        """As the base class says."""
        if self._closed:
            message = f"{self.name} is closed"
            raise ClosedError(message)

    def close(self) -> None:
        """As the base class says."""
        self._closed = True
        with self._lock:
            self._pages.clear()
            self._stretches.clear()
            self._held_bytes = 0
            pending, self._pending = list(self._pending.values()), {}
        for future in pending:
            with suppress(InvalidStateError):
                future.set_exception(ClosedError(f"{self.name} is closed"))
        self._ranges.close()


def _pages_of(bytes_range: range, size_bytes: int) -> range:
    stop = min(bytes_range.stop, size_bytes)
    return range(bytes_range.start // PAGE_BYTES, -(-stop // PAGE_BYTES))


def _merged(stretches: Iterable[range], gap: int = 0) -> Iterator[range]:
    """Ranges in ascending order, those that touch, or have no more between them than this, as one."""
    last: range | None = None
    for stretch in sorted((each for each in stretches if each), key=lambda each: each.start):
        if last and stretch.start <= last.stop + gap:
            last = range(last.start, max(last.stop, stretch.stop))
        else:
            if last:
                yield last
            last = stretch
    if last:
        yield last


def _cut(stretch: range) -> Iterator[range]:
    """A range in parts that are not too long."""
    step = _LONGEST_BYTES // PAGE_BYTES
    for first in range(stretch.start, stretch.stop, step):
        yield range(first, min(first + step, stretch.stop))


def _complete(future: Future[Result], function: Callable[[], Result]) -> None:
    """Have a future tell what became of a call."""
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001  # whoever waits for it is told
        future.set_exception(error)
