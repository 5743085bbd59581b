"""The documents of many packs as those of one text."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from distributed_prompt.manifest import Manifest
from distributed_prompt.store.document_table import DocumentTable
from distributed_prompt.store.documents import Document


class CollectedDocuments:
    """What :class:`DocumentTable` is for a pack, by number, name and offset."""

    def __init__(self, manifest: Manifest, starts: Sequence[int], table: Callable[[int], DocumentTable]) -> None:
        """Ask no pack yet.

        Args:
            manifest: the packs.
            starts: the offset of the first character of each.
            table: the documents of a pack.
        """
        self._manifest = manifest
        self._starts = starts
        self._table = table
        self._stops = list(accumulate(entry.documents for entry in manifest.packs))

    def __len__(self) -> int:
        """Number of documents."""
        return self._stops[-1] if self._stops else 0

    def __iter__(self) -> Iterator[Document]:
        """All documents in order."""
        for pack, start in enumerate(self._starts):
            for document in self._table(pack):
                yield _moved(document, start)

    def document(self, number: int) -> Document:
        """The document of a number (from 0) that is in range."""
        pack, index = self._place(number)
        return _moved(self._table(pack).document(index), self._starts[pack])

    def name(self, number: int) -> str:
        """The name of a document whose number (from 0) is in range."""
        pack, index = self._place(number)
        return self._table(pack).name(index)

    def find(self, name: str, first: int = 0) -> int | None:
        """The number of the first document of a name, from a number on; only packs are asked that may have it."""
        for pack, entry in enumerate(self._manifest.packs):
            if self._stops[pack] > first and entry.may_have(name):
                found = self._table(pack).find(name, first - self._first(pack))
                if found is not None:
                    return self._first(pack) + found
        return None

    def starting_before(self, offset: int) -> int:
        """How many documents start before an offset."""
        pack = bisect_right(self._starts, offset - 1) - 1
        if pack < 0:
            return 0
        return self._first(pack) + self._table(pack).starting_before(offset - self._starts[pack])

    def ended_before(self, offset: int) -> int:
        """How many documents lie before an offset: all their characters do, and an empty one that begins there not."""
        pack = bisect_right(self._starts, offset - 1) - 1
        if pack < 0:
            return 0
        return self._first(pack) + self._table(pack).ended_before(offset - self._starts[pack])

    def at(self, offset: int) -> Document | None:
        """The document that the character at an offset belongs to."""
        pack = bisect_right(self._starts, offset) - 1
        found = self._table(pack).at(offset - self._starts[pack]) if pack >= 0 else None
        return _moved(found, self._starts[pack]) if found else None

    def _first(self, pack: int) -> int:
        return self._stops[pack - 1] if pack else 0

    def _place(self, number: int) -> tuple[int, int]:
        pack = bisect_right(self._stops, number)
        return pack, number - self._first(pack)


def _moved(document: Document, by: int) -> Document:
    return replace(document, start=document.start + by, stop=document.stop + by) if by else document
