"""The key-value contract of a pack: a few tables of blobs by integer key, and one of named values.

An engine knows nothing about shards or text. It keeps what it is given under the key it is given,
and says so when the file under it is not whole.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple, Self, TypeVar

from distributed_prompt.errors import CorruptPackError

Result = TypeVar("Result")


class Table(StrEnum):
    """The tables of blobs; the metadata table is apart."""

    SHARDS = "shards"
    DIRECTORY = "directory"
    DOCUMENTS = "documents"
    NGRAMS = "ngrams"
    MAPS = "maps"


class Place(NamedTuple):
    """Where a row's blob lies in the file: page numbers from 1, 0 where there is none.

    Attributes:
        parent: the interior page above ``leaf``.
        leaf: the page that holds the row's key and the beginning of its blob.
        overflow: the first page of the rest of the blob.
    """

    parent: int
    leaf: int
    overflow: int


class Store(ABC):
    """Read access to one pack's tables. Safe to use from any thread.

    Attributes:
        name: what errors call the pack, usually its path.
        engine: ``"sqlite"``, ``"lmdb"`` or ``"memory"``.
        has_pages: whether its rows have places in a file.
        is_far: whether reading takes so long that it pays to say what will be asked for.
    """

    name: str
    engine: str
    has_pages: bool
    is_far = False

    @abstractmethod
    def metadata(self) -> dict[str, str]:
        """The whole metadata table."""

    @abstractmethod
    def get(self, table: Table, key: int) -> bytes | None:
        """The blob under ``key``, or None.

        Raises:
            CorruptPackError: the file's structure is damaged where this key should be.
            PackReadError: the system could not read the file.
        """

    @abstractmethod
    def get_range(self, table: Table, start: int, stop: int) -> list[tuple[int, bytes]]:
        """The rows with ``start <= key < stop`` that exist, in ascending order of keys."""

    def expect(self, table: Table, keys: Iterable[int]) -> None:  # noqa: B027  # may be ignored
        """Take note that some rows are asked for soon."""

    def expect_bytes(self, ranges: Iterable[range]) -> None:  # noqa: B027  # as above
        """Take note that some of the file's bytes are asked for soon."""

    def forget(self) -> bool:
        """Drop what was kept of the file; whether it is read anew then."""
        return False

    def twice(self, read: Callable[[], Result]) -> Result:
        """What ``read`` gives; where it finds damage that may have come about on the way here, what it gives then."""
        try:
            return read()
        except CorruptPackError:
            if not self.forget():
                raise
            return read()

    @abstractmethod
    def keys(self, table: Table) -> Iterator[int]:
        """All keys of a table in ascending order."""

    @abstractmethod
    def problems(self) -> Iterator[str]:
        """What the engine's own check of its structure finds; nothing when all is well."""

    @abstractmethod
    def size_bytes(self) -> int:
        """Bytes that the pack takes."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file. Closing twice is harmless; using a closed store raises ClosedError."""

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the store."""
        self.close()


class StoreWriter(ABC):
    """Write access to a pack that nobody reads yet. For one thread.

    Equal calls give an equal file: keys must come in ascending order within a table.
    """

    @abstractmethod
    def put(self, table: Table, key: int, value: bytes) -> None:
        """Add a row. Keys ascend."""

    @abstractmethod
    def put_metadata(self, values: Mapping[str, str]) -> None:
        """Write the metadata table, once."""

    @abstractmethod
    def places(self, table: Table) -> Iterator[tuple[int, Place]]:
        """The keys put into a table so far, and where their blobs lie; nothing where that has no meaning."""

    @abstractmethod
    def finish(self) -> None:
        """Write everything out and close. The file is whole after this."""

    @abstractmethod
    def abort(self) -> None:
        """Close without caring for what was written."""
