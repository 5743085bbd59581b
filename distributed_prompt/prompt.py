"""The surface: a text of any length that code uses as if it were a ``str``."""

import logging
import operator
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, Self, SupportsIndex, TypeVar, overload

from distributed_prompt.backends.base import Backend
from distributed_prompt.backends.memory_backend import MemoryBackend
from distributed_prompt.characters import Characters, Stats
from distributed_prompt.derived.base import OPEN_END
from distributed_prompt.derived.stepped import Stepped
from distributed_prompt.derived.walk import Range
from distributed_prompt.documents import Documents
from distributed_prompt.errors import PackChangedError
from distributed_prompt.geometry import DEFAULT_SHARD_SIZE, check_limit, check_shard_size
from distributed_prompt.images import IMAGE_LIMIT_BYTES, MATERIALISE_LIMIT, as_str
from distributed_prompt.lines import Lines
from distributed_prompt.mapping import DOCUMENTS, SHARDS, check_over, map_spans
from distributed_prompt.opening import Addresses, open_characters
from distributed_prompt.sequences import Chunks, slice_bound
from distributed_prompt.shard_cache import DEFAULT_CACHE_BYTES, ShardCache
from distributed_prompt.shards import Shards
from distributed_prompt.store.documents import Document
from distributed_prompt.strings import UNKNOWN, StringMethods, plain
from distributed_prompt.text.literal import Literal
from distributed_prompt.text.pieces import Piece, decode
from distributed_prompt.workers import Progress

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

VIEW_THRESHOLD = 2**23
_NEAR_PARTS = 8


class DistributedPrompt(StringMethods["DistributedPrompt"]):
    """An immutable text that lies in shards and is decoded where it is touched.

    Indexing, slicing, searching and comparing answer as ``str`` does, in characters. A slice longer than
    ``view_threshold`` characters is a *view*: a prompt again, which shares the shards. It is not a ``str``:
    C code that insists on one raises TypeError instead of reading an empty buffer.

    Thread safety: any number of threads may use a prompt and its views; a forked child may too.

    Example:
        >>> prompt = DistributedPrompt.from_text("to be or not to be", shard_size=4)
        >>> len(prompt), prompt[3:8], prompt.find("be", 4), prompt.count("to")
        (18, 'be or', 16, 2)
    """

    # No slots: with them no subclass could be a str as well.
    _characters: Characters
    _start: int
    _known_length: int

    def __init__(self, backend: Backend, *, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        """Use the pack that a backend has opened.

        Args:
            backend: for example ``FileBackend("corpus.dprompt")``.
            cache_bytes: memory that decoded shards may take; at least one is always kept.

        Cost: no shard; nothing is read that the backend has not read.
        """
        if not isinstance(backend, Backend):
            message = (  # type: ignore[unreachable]  # for untyped callers
                f"a prompt is made of a Backend, not {type(backend).__name__}; dp.open(path) opens a file"
            )
            raise TypeError(message)
        length = backend.pack.metadata.length
        self._bind(Shards(backend, ShardCache(cache_bytes)), 0, length, VIEW_THRESHOLD, IMAGE_LIMIT_BYTES, owns=True)

    def _bind(
        self, characters: Characters, start: int, length: int, view_threshold: int, image_limit: int, *, owns: bool
    ) -> Self:
        self._characters = characters
        self._start = start
        self._known_length = length
        self._owns = owns
        self._view_threshold = view_threshold
        self._image_limit = image_limit
        if owns:
            characters.owned = True
        return self

    @classmethod
    def _of(cls, characters: Characters, start: int, length: int, *limits: int, owns: bool = False) -> Self:
        """A range of some characters, of a length that may be UNKNOWN; the limits are as :meth:`_bind` takes them."""
        return object.__new__(cls)._bind(characters, start, length, *limits, owns=owns)

    @property
    def view_threshold(self) -> int:
        """Slices above this many characters are views; settable.

        Raises:
            ArgumentError: set below 0.

        Cost: no shard.
        """
        return self._view_threshold

    @view_threshold.setter
    def view_threshold(self, characters: int) -> None:
        self._view_threshold = check_limit("view_threshold", characters)

    @property
    def image_limit(self) -> int:
        """Bytes that an image may have which nobody asked for by :meth:`as_str`; settable.

        Raises:
            ArgumentError: set below 0.

        Cost: no shard.
        """
        return self._image_limit

    @image_limit.setter
    def image_limit(self, size: int) -> None:
        self._image_limit = check_limit("image_limit", size)

    @property
    def _length(self) -> int:
        if self._known_length < 0:
            self._known_length = self._characters.length - self._start
        return self._known_length

    def _length_up_to(self, bound: int) -> int:
        """The length if it is below the bound, else the bound; may be known where the length is not."""
        if self._known_length >= 0:
            return min(self._known_length, bound)
        return self._characters.length_up_to(self._start + bound) - self._start

    def _range(self) -> Range:
        """Which characters these are; the end is left open while it is not known."""
        stop = OPEN_END if self._known_length < 0 else self._start + self._known_length
        return Range(self._characters, self._start, stop)

    def _made(self, characters: Characters, length: int = UNKNOWN) -> "DistributedPrompt":
        """All of some other characters as a prompt of the same thresholds."""
        return self._of(characters, 0, length, self.view_threshold, self.image_limit)

    @classmethod
    def from_text(cls, text: str, *, shard_size: int = DEFAULT_SHARD_SIZE) -> Self:
        """A prompt of a string, without a file.

        Args:
            text: any string, lone surrogates included.
            shard_size: characters a shard, 1 to 2**24.

        Cost: every shard encoded once; holds the text compressed.
        """
        if not isinstance(text, str):
            message = f"from_text() argument must be str, not {type(text).__name__}"  # type: ignore[unreachable]
            raise TypeError(message)
        return cls(MemoryBackend(plain(text), check_shard_size(shard_size)))

    def close(self) -> None:
        """Let go of the pack. Using the prompt or a view of it raises ClosedError from now on.

        Closing a view does nothing: the prompt it belongs to is what holds the pack. Only a view that was
        unpickled without its prompt holds the pack itself.
        """
        if self._owns or not self._characters.owned:
            self._characters.close()

    def __enter__(self) -> Self:
        """Return the prompt itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the prompt."""
        self.close()

    @property
    def stats(self) -> Stats:
        """What reading has cost since the prompt was opened, views included.

        Cost: no shard.
        """
        return self._characters.stats

    def __len__(self) -> int:
        """Return len(self).

        Cost: no shard.
        """
        return self._length

    def __bool__(self) -> bool:
        """Whether there is any character.

        Cost: no shard.
        """
        return self._length_up_to(1) > 0

    def __repr__(self) -> str:
        """One short line.

        Cost: no shard.
        """
        length = f"{self._known_length:,}" if self._known_length >= 0 else "?"
        return f"{type(self).__name__}(length={length}, {self._characters.describe(self._start, self._known_length)})"

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> str: ...
    @overload
    def __getitem__(self, key: slice, /) -> "str | DistributedPrompt": ...
    def __getitem__(self, key: SupportsIndex | slice, /) -> "str | DistributedPrompt":
        """Return self[key].

        A slice is a ``str`` up to ``view_threshold`` characters and a view above it.

        Raises:
            IndexError: as ``str``.

        Cost: the shards that the range covers; with a step, those that hold its characters, one at a time.
        """
        if isinstance(key, slice):
            return self._slice(key)
        if not hasattr(type(key), "__index__"):
            return ""[plain(key)]  # raises str's own error
        index = operator.index(key)
        start = index + self._length if index < 0 else index
        if not 0 <= start < self._length_up_to(start + 1):
            return ""[key]  # as above
        return self._text(start, start + 1)

    def _slice(self, key: slice) -> "str | DistributedPrompt":
        length = self._known_length
        if length < 0:
            if key.stop is None and key.step in {None, 1} and operator.index(key.start or 0) >= 0:
                return self._tail(self._length_up_to(operator.index(key.start or 0)))
            length = self._length_up_to(slice_bound(key))
        start, stop, step = key.indices(length)
        if step != 1:
            return self._stepped(range(start, stop, step))
        if stop - start > self.view_threshold:
            return self._view(start, stop)
        return self._text(start, stop)

    def view(self, start: SupportsIndex | None = None, stop: SupportsIndex | None = None, /) -> "DistributedPrompt":
        """The range ``[start, stop)`` as a prompt that shares the shards, whatever its length.

        Cost: no shard.
        """
        key = slice(start, stop)
        first, last, _ = key.indices(self._length_up_to(slice_bound(key)))
        return self._view(first, max(first, last))

    def __iter__(self) -> Iterator[str]:
        """Implement iter(self): the characters.

        Cost: every shard once, a few MB a core.
        """
        for piece in self._pieces():
            yield from decode(piece.data)

    def as_str(self, progress: Progress | None = None) -> str:
        """The whole text as an object of exact type ``str``, for everything that is written in C.

        Up to 2**24 characters it is an ordinary string. Above, the characters are written to a file without a name
        and mapped: the string takes a page of memory, all the rest is the system's page cache. It lives as long as
        anybody holds it, whatever becomes of the prompt, and is the same object for as long.

        Args:
            progress: called with characters done so far and in all while the file is written.

        Raises:
            MaterialiseError: this Python or system cannot have such a string, or the disk has no room for it:
                1, 2 or 4 bytes a character, as the widest one needs. ``DPROMPT_IMAGE_DIR`` names another folder;
                ``DPROMPT_MAPPED=0`` switches mapped strings off.

        Cost: every shard once at the first call, a few MB a core; the disk space of the text as ``str`` keeps it.
        """
        return as_str(self._characters, self._start, self._start + self._length, progress=progress)

    def __str__(self) -> str:
        """The whole text: as :meth:`as_str`, but above ``image_limit`` bytes, or half of the free disk, refused.

        Raises:
            MaterialiseError: as there, or for that limit.

        Cost: as :meth:`as_str`.
        """
        return self._whole()

    def _whole(self) -> str:
        if self._length > MATERIALISE_LIMIT and not self._characters.stats.images:
            _log.warning("%r becomes one string; take slices where that is not wanted", self)
        limit = self.image_limit
        return as_str(self._characters, self._start, self._start + self._length, limit_bytes=limit)

    def __format__(self, format_spec: str, /) -> str:
        """Return a formatted version of the string as described by format_spec.

        Cost: as :meth:`as_str`; the result.
        """
        return format(self._whole(), format_spec)

    def __eq__(self, other: object, /) -> bool:
        """Return self==value, for a ``str`` or a prompt.

        Cost: nothing if the lengths differ or both are the same range of equal packs; else shards up to the
        first difference, once.
        """
        if not isinstance(other, str | DistributedPrompt):
            return NotImplemented
        self._characters.check_open()
        if len(self) != len(other):
            return False
        if not isinstance(other, DistributedPrompt):
            return all(decode(p.data) == other[p.start : p.start + p.characters] for p in self._pieces())
        if self._start == other._start and self._characters.key == other._characters.key:
            return True
        return all(decode(p.data) == other.view(p.start, p.start + p.characters)._whole() for p in self._pieces())

    def __hash__(self) -> int:
        """Return hash(self): that of the equal ``str``.

        Raises:
            MaterialiseError: as ``str(self)``.

        Cost: as :meth:`as_str`.
        """
        return hash(self._whole())

    def chunks(self, size: int, overlap: int = 0) -> "Chunks[str | DistributedPrompt]":
        """The text in consecutive chunks, as a lazy sequence; none lies wholly within the one before it.

        Args:
            size: characters a chunk; the last may be shorter.
            overlap: how many characters each chunk repeats from the end of the one before.

        Cost: no shard; each chunk as the slice it is.
        """
        return Chunks(self._length, size, overlap, self._cut)

    def map(
        self,
        function: Callable[[Any], Result],
        over: str | int = SHARDS,
        *,
        executor: Executor | None = None,
    ) -> Iterator[Result]:
        """What a function makes of each part of the text, in order, as they are asked for.

        Args:
            function: is called with a part: a string, or a view above ``view_threshold`` characters. For other
                processes it has to pickle, as what it returns has to.
            over: what the parts are: ``shards``, ``documents``, or chunks of a number of characters. Shards are cut
                where that is cheapest.
            executor: calls the function instead of this thread: any of ``concurrent.futures``, or a Dask client.
                Processes open the text themselves, and are sent offsets.

        Raises:
            ArgumentError: another kind of parts.

        Cost: each shard once, or twice where parts end inside; the results of some dozen tasks of about 2**20
            characters with an executor, of one part without.
        """
        spans = self._spans(check_over(over))
        return map_spans(self, function, spans, executor)

    def _spans(self, over: str | int) -> Iterator[tuple[int, int]]:
        if over == DOCUMENTS:
            return ((each.start, each.stop) for each in self.documents.records())
        if over == SHARDS:
            return self._part_spans()
        size = operator.index(over)  # type: ignore[arg-type]  # a number by now
        return ((start, min(start + size, self._length)) for start in range(0, self._length, size))

    def _part_spans(self) -> Iterator[tuple[int, int]]:
        source = self._range()
        start, length = 0, self._length
        while start < length:
            stop = min(source.characters.part_end(self._start + start) - self._start, length)
            yield start, stop
            start = stop

    @property
    def lines(self) -> "Lines[DistributedPrompt]":
        r"""The lines as a lazy sequence: what lies between ``\n``, without an empty last one.

        ``\r`` is kept. A line longer than ``view_threshold`` is a view.

        Cost: no shard; ``len`` at most two, an item those it lies in and two more; iteration each once.
        """
        return Lines(self._characters, self._start, self._start + self._length, self._cut, self.view_threshold)

    def line_at(self, offset: SupportsIndex, /) -> int:
        """The number (from 0) of the line that the character at ``offset`` belongs to; its end belongs to it.

        Args:
            offset: as an index; ``len(self)`` is allowed.

        Raises:
            IndexError: there is no such character.

        Cost: one shard, and one more in a view.
        """
        index = self._offset(offset)
        before = self._characters.newlines_before(self._start) if self._start else 0
        return self._characters.newlines_before(self._start + index) - before

    def line_start(self, line: SupportsIndex, /) -> int:
        """The offset at which a line (from 0) begins; the length for the one after the last, and any beyond.

        Cost: as one item of :attr:`lines`.
        """
        return self.lines.start(operator.index(line))

    @property
    def documents(self) -> "Documents[DistributedPrompt]":
        """The documents that the text was packed from, as a mapping from name to text, in the order of the text.

        In a view, those that lie in it at least in part, and of them that part. A document longer than
        ``view_threshold`` is a view. A text made of others (``prompt.lower()``) has none.

        Cost: no shard; each use as it says.
        """
        return Documents(self._characters, self._start, self._start + self._length, self._cut)

    def document_at(self, offset: SupportsIndex, /) -> Document | None:
        """The document that the character at ``offset`` belongs to; None for a header, and at the very end.

        In a view, ``start`` and ``stop`` of the document are those of its part in the view.

        Args:
            offset: as an index; ``len(self)`` is allowed.

        Raises:
            IndexError: there is no such character.

        Cost: no shard; one batch of 256 documents.
        """
        return self.documents.at(self._offset(offset))

    def __copy__(self) -> Self:
        """The same, limits included: its text cannot change. ``view()`` has limits of its own."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """The same, limits included: its text cannot change. ``view()`` has limits of its own."""
        return self

    def __reduce__(self) -> tuple[object, ...]:
        """What opens the same pack elsewhere, never the text."""
        place = (self._start, self._known_length, self.view_threshold, self.image_limit, self._owns)
        return _reopen, (type(self), self._characters, *place)

    def _offset(self, offset: SupportsIndex) -> int:
        """An offset as an index, the length allowed."""
        index = operator.index(offset)
        if index < 0:
            index += self._length
        if not 0 <= index <= self._length:
            message = "string index out of range"
            raise IndexError(message)
        return index

    def _view(self, start: int, stop: int) -> "DistributedPrompt":
        """A view in local offsets that are in range. Flat: a view of a view is one of the prompt."""
        return self._of(self._characters, self._start + start, stop - start, self.view_threshold, self.image_limit)

    def _text(self, start: int, stop: int) -> str:
        """The characters of a local range that is in range, as an ordinary string."""
        if start >= stop:
            return ""
        first, last = self._start + start, self._start + stop
        size = self._characters.part_size
        if first % size + stop - start > _NEAR_PARTS * size:
            return "".join([decode(piece.data) for piece in self._pieces(start, stop)])
        begin, text = self._characters.near(first)
        if last <= begin + len(text):
            return text[first - begin : last - begin]
        parts = [text[first - begin :]]
        while (first := begin + len(text)) < last:
            begin, text = self._characters.near(first)
            if not text:
                message = f"{self._characters.name}: there is no character {first:,} any more"
                raise PackChangedError(message)
            parts.append(text[: last - first])
        return "".join(parts)

    def _stepped(self, offsets: range) -> "str | DistributedPrompt":
        """The characters at some offsets."""
        first, count = self._start + offsets.start, len(offsets)
        # A range backwards may stop at -1.
        characters = Stepped(self._characters, range(first, first + count * offsets.step, offsets.step))
        if count > self.view_threshold:
            return self._made(characters, count)
        return "".join([decode(piece.data) for piece in characters.pieces(0, count)])

    def _cut(self, start: int, stop: int) -> "str | DistributedPrompt":
        return self._text(start, stop) if stop - start <= self.view_threshold else self._view(start, stop)

    def _tail(self, start: int) -> "str | DistributedPrompt":
        """All from a local offset on that is in range; a view whose length nobody has asked for yet stays without."""
        if self._known_length >= 0:
            return self._cut(start, self._known_length)
        length = self._length_up_to(start + self.view_threshold + 1)
        if length - start <= self.view_threshold:
            return self._text(start, length)
        return self._view(start, start + UNKNOWN)

    def _pieces_from_end(self) -> Iterator[Piece]:
        """The UTF-8 of the whole text, from the last piece to the first, in local offsets."""
        base = self._start
        for run in self._characters.map_runs(list, base, base + self._length, reverse=True):
            for piece in run:
                yield piece._replace(start=piece.start - base)

    def _pieces(
        self,
        start: int = 0,
        stop: int | None = None,
        holding: Sequence[Literal] = (),
        executor: Executor | None = None,
    ) -> Iterator[Piece]:
        """The UTF-8 of a local range, piece by piece, in local offsets."""
        base = self._start
        end = self._range().stop if stop is None else base + stop
        for piece in self._characters.pieces(base + start, end, holding, executor):
            yield piece._replace(start=piece.start - base) if base else piece


def open(address: Addresses, *, cache_bytes: int = DEFAULT_CACHE_BYTES) -> DistributedPrompt:  # noqa: A001
    """Open a pack as a prompt, or several packs as one.

    Args:
        address: a pack, or a folder that holds one named ``prompt.dprompt``; ``s3://bucket/key``, with credentials,
            region and endpoint from where boto3 takes them; ``https://host/path``. For many packs a manifest, as
            :func:`distributed_prompt.pack` and :func:`distributed_prompt.collect` write it, or the folder that it is
            in (``s3://bucket/corpus/``); a pattern, such as ``parts/*.dprompt``, in the order of their names; or a
            list of addresses and open backends.
        cache_bytes: memory that decoded shards may take, of all packs together.

    Raises:
        ArgumentError: a list without a pack, or ``cache_bytes`` below 0.
        PackNotFoundError: nothing is there.
        AddressError: a folder without a pack, or another kind of address.
        NotAPackError: a file that is no pack.
        UnsupportedPackError: a newer format.
        CorruptPackError: a damaged pack.
        AccessError: a server refuses.
        RemoteError: a server cannot be reached, or fails.

    Cost: the metadata table, whatever the length; elsewhere one round trip. Of many packs the manifest, if they have
        one, however many they are; otherwise the metadata of each, several at a time.
    """
    characters = open_characters(address, check_limit("cache_bytes", cache_bytes))
    return DistributedPrompt._of(characters, 0, characters.length, VIEW_THRESHOLD, IMAGE_LIMIT_BYTES, owns=True)


def _reopen(kind: type[DistributedPrompt], characters: Characters, *place: int) -> DistributedPrompt:
    """Unpickle a prompt or a view, from its start, length, two limits, and whether it owns the characters."""
    *where, owns = place
    return kind._of(characters, *where, owns=bool(owns))  # its own class
