"""The documents of a prompt as a mapping from names to texts."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Generic, TypeVar

from distributed_prompt.caching import cached
from distributed_prompt.characters import Characters
from distributed_prompt.collected_documents import CollectedDocuments
from distributed_prompt.sequences import LazySequence
from distributed_prompt.store.document_table import DocumentTable
from distributed_prompt.store.documents import Document

View = TypeVar("View")
Item_co = TypeVar("Item_co", covariant=True)
_SHOWN_NAMES = 4


class Documents(Mapping[str, str | View], Generic[View]):
    """The documents that lie in a range, in the order of the text; what lies outside of the range is cut off.

    A document's text is a string, or a view where it is long. ``values()`` and ``items()`` are lazy sequences.

    Packs that are one prompt together may each have a document of the same name: all are counted and iterated over, and
    a name gives the first.
    """

    def __init__(self, characters: Characters, start: int, stop: int, cut: Callable[[int, int], str | View]) -> None:
        """Take a range of the whole text.

        Args:
            characters: the whole text.
            start: offset of the range's first character.
            stop: offset after its last character.
            cut: gives ``[start, stop)`` as a text, in offsets from the range's start.
        """
        self._characters = characters
        self._start = start
        self._stop = stop
        self._cut = cut

    @property
    def _table(self) -> DocumentTable | CollectedDocuments:
        return self._characters.documents

    @cached
    def _numbers(self) -> range:
        """Those of the documents in the range."""
        table = self._table
        if not table:
            return range(0)
        if self._stop - self._start == self._characters.length:
            return range(len(table))
        if self._start == self._stop:
            return range(0)
        at_end = self._stop == self._characters.length
        return range(table.ended_before(self._start), len(table) if at_end else table.starting_before(self._stop))

    def _local(self, document: Document) -> Document:
        """The part of a document that is in the range, in offsets from the range's start."""
        start, stop = max(document.start, self._start), min(document.stop, self._stop)
        return replace(document, start=start - self._start, stop=stop - self._start)

    def __len__(self) -> int:
        """Number of documents.

        Cost: no shard; in a view, at most two batches of 256 documents.
        """
        return len(self._numbers)

    def __iter__(self) -> Iterator[str]:
        """The names in the order of the text.

        Cost: no shard; every batch of 256 documents once.
        """
        return (self._table.name(number) for number in self._numbers)

    def __contains__(self, name: object) -> bool:
        """Whether there is a document of this name.

        Cost: no shard; one batch of 256 documents, and one row of the index.
        """
        return isinstance(name, str) and self.record(name) is not None

    def __getitem__(self, name: str) -> str | View:
        """The text of a document.

        Raises:
            KeyError: there is none of this name.

        Cost: the shards that it lies in; as ``in``.
        """
        document = self.record(name) if isinstance(name, str) else None  # type: ignore[redundant-expr]  # for all callers
        if document is None:
            raise KeyError(name)
        return self._cut(document.start, document.stop)

    def record(self, name: str) -> Document | None:
        """Where a document is and how it came in, or None if there is none of this name.

        Cost: as ``in``.
        """
        number = self._table.find(name, self._numbers.start)
        return self._local(self._table.document(number)) if number is not None and number in self._numbers else None

    def at(self, offset: int) -> Document | None:
        """The document that a character of the range belongs to, or None.

        Cost: no shard; one batch of 256 documents.
        """
        document = self._table.at(self._start + offset) if 0 <= offset < self._stop - self._start else None
        return self._local(document) if document else None

    def records(self) -> LazySequence[Document]:
        """Where each document is and how it came in, as a lazy sequence.

        Cost: no shard; an item one batch of 256 documents.
        """
        return _Mapped(self._numbers, self._local_document)

    def values(self) -> LazySequence[str | View]:  # type: ignore[override]  # a sequence, which an ordinary mapping has not
        """The texts as a lazy sequence.

        Cost: no shard; each item those that it lies in.
        """
        return _Mapped(self._numbers, self._text)

    def items(self) -> LazySequence[tuple[str, str | View]]:  # type: ignore[override]  # as above
        """Names and texts as a lazy sequence of pairs.

        Cost: as :meth:`values`.
        """
        return _Mapped(self._numbers, self._pair)

    def _local_document(self, number: int) -> Document:
        return self._local(self._table.document(number))

    def _text(self, number: int) -> str | View:
        document = self._local_document(number)
        return self._cut(document.start, document.stop)

    def _pair(self, number: int) -> tuple[str, str | View]:
        return self._table.name(number), self._text(number)

    def __repr__(self) -> str:
        """The first names, and how many documents there are."""
        names = [f"{name!r:.80}" for name in islice(self, _SHOWN_NAMES)]
        more = ", …" if len(self) > len(names) else ""
        return f"Documents({len(self):,}: {', '.join(names)}{more})" if names else "Documents(0)"


class _Mapped(LazySequence[Item_co]):
    """What a function makes of each of some numbers."""

    def __init__(self, numbers: range, make: Callable[[int], Item_co]) -> None:
        self._numbers = numbers
        self._make = make

    def __len__(self) -> int:
        return len(self._numbers)

    def item(self, number: int) -> Item_co:
        return self._make(self._numbers[number])
