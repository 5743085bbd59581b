"""What prompts and views are ranges of: characters by offset, in a pack or made of others when they are asked for."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

from distributed_prompt.collected_documents import CollectedDocuments
from distributed_prompt.store.document_table import DocumentTable
from distributed_prompt.store.memory_store import MemoryStore
from distributed_prompt.text.literal import Literal
from distributed_prompt.text.pieces import Piece

Result = TypeVar("Result")

_NO_DOCUMENTS = DocumentTable(MemoryStore(), 0)


@dataclass(frozen=True, slots=True)
class Stats:
    """What reading has cost so far.

    Attributes:
        hits: shards asked for and found decoded in the cache.
        misses: shards asked for and not found there.
        decoded_shards: shards read, checked and decompressed, passes included.
        decoded_bytes: UTF-8 bytes of these.
        cached_bytes: memory that the cached shards take now.
        images: how often the text, or a range of it, was written as an image for a string.
        requests: what was asked of a server, if the pack is on one.
        received_bytes: bytes of the pack that came from there.
    """

    hits: int = 0
    misses: int = 0
    decoded_shards: int = 0
    decoded_bytes: int = 0
    cached_bytes: int = 0
    images: int = 0
    requests: int = 0
    received_bytes: int = 0


class Characters(ABC):
    """Consecutive characters in *parts*, which are what is decoded or made at a time. Safe to use from any thread.

    Attributes:
        owned: whether a prompt of the whole text, rather than views alone, decides when to close.
        part_size: about how many characters a part has.
        knows_parts: whether it is known without a look where each part ends, and something of what is in it.
    """

    owned: bool
    part_size: int
    knows_parts = False

    @property
    @abstractmethod
    def length(self) -> int:
        """How many characters there are."""

    def length_up_to(self, bound: int) -> int:
        """The length if it is below the bound, else the bound; may be known where the length is not."""
        return min(self.length, bound)

    @property
    @abstractmethod
    def key(self) -> Hashable:
        """Equal only for equal characters."""

    @property
    @abstractmethod
    def name(self) -> str:
        """For messages: where they come from."""

    @property
    def address(self) -> str:
        """What opens the pack, in any process; empty for what is in none, or if it takes more than an address."""
        return ""

    @property
    def digests(self) -> tuple[str, ...]:
        """What tells the pack from others at its address."""
        return ()

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where files may be written if nowhere else."""

    @abstractmethod
    def describe(self, start: int, length: int) -> str:
        """A few words about a range."""

    @abstractmethod
    def near(self, offset: int) -> tuple[int, str]:
        """The part that a character is in, with its offset; the end and no text for an offset beyond the end."""

    @abstractmethod
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
        """What ``function`` makes of each run of consecutive parts, in order; worker threads may call it.

        Args:
            function: takes the run's pieces, one for each part, the first and the last cut to the range.
            start: offset of the first character.
            stop: offset after the last character.
            reverse: from the last part to the first.
            holding: what is looked for, if that is all. Parts that hold nothing of an occurrence, neither of one that
                goes on behind the range, may be left out; no run goes on over such a gap.
            executor: what calls ``function`` instead of the worker threads, perhaps in other processes. What is made of
                others is made on this thread all the same.
        """

    def pieces(
        self, start: int, stop: int, holding: Sequence[Literal] = (), executor: Executor | None = None
    ) -> Iterator[Piece]:
        """The UTF-8 of a range, part by part, made ahead where that can be.

        Args:
            start: offset of the first character.
            stop: offset after the last character.
            holding: as in :meth:`map_runs`.
            executor: as in :meth:`map_runs`.
        """
        return chain.from_iterable(self.map_runs(list, start, stop, holding=holding, executor=executor))

    def keep(self, piece: Piece) -> None:  # noqa: B027  # may be ignored
        """Take note of a piece that will probably be asked for again."""

    def part_end(self, offset: int) -> int:
        """Where the part ends that a character is in; may make it."""
        start, text = self.near(offset)
        return start + len(text)

    def lacking(self, literals: Sequence[Literal]) -> Callable[[int], int] | None:
        """What tells without a look that no occurrence of some literals begins or ends in a part; None if nothing does.

        Returns:
            A function of an offset: how many characters from there to the end of the part, if that is so, else 0.
        """
        del literals
        return None

    def parts_holding(self, start: int, stop: int, literals: Sequence[Literal]) -> int | None:
        """About how many parts of a range may hold an occurrence of one of some literals; None if nothing tells."""
        del start, stop, literals
        return None

    def ascii_part(self, offset: int) -> int:
        """How many characters from here to the end of the part, if it is known without a look that all are ASCII."""
        del offset
        return 0

    @abstractmethod
    def range_width(self, start: int, stop: int) -> int:
        """Bytes that each character of a range takes in a string: 0 for ASCII, 1, 2 or 4."""

    @property
    @abstractmethod
    def newlines(self) -> int:
        """How many newlines there are."""

    @property
    def lines(self) -> int:
        """How many lines there are: an empty one behind the last newline is none."""
        length = self.length
        if not length:
            return 0
        start, text = self.near(length - 1)
        return self.newlines + (text[length - 1 - start] != "\n")

    @abstractmethod
    def newlines_before(self, offset: int) -> int:
        """Newlines among the characters before an offset."""

    @abstractmethod
    def newline_offset(self, ordinal: int) -> int:
        """The offset of newline number ``ordinal`` (from 0), which must exist."""

    @property
    def documents(self) -> DocumentTable | CollectedDocuments:
        """The documents of packs; what is made of others has none."""
        return _NO_DOCUMENTS

    @property
    @abstractmethod
    def stats(self) -> Stats:
        """What reading has cost."""

    @abstractmethod
    def count_image(self) -> None:
        """Take note of an image."""

    @abstractmethod
    def check_open(self) -> None:
        """For what may be answered from memory: making a part finds out by itself."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what they come from."""
