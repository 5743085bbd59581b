"""A pack, read: metadata, directory, documents, and blobs that are checked before anyone sees them."""

from collections.abc import Iterator

from distributed_prompt.errors import CorruptPackError
from distributed_prompt.geometry import shard_characters
from distributed_prompt.store import codec
from distributed_prompt.store.base import Store, Table
from distributed_prompt.store.directory import Directory
from distributed_prompt.store.documents import Document, read_documents
from distributed_prompt.store.metadata import Metadata, parse_metadata

_MAX_CHARACTER_BYTES = 4


class Pack:
    """An open pack. Safe to use from any thread.

    Attributes:
        store: the engine.
        metadata: what opening has read; nothing else was.
        directory: what is known of each shard.
    """

    def __init__(self, store: Store) -> None:
        """Read the metadata of an open store; close the store if it is not that of a pack."""
        self.store = store
        try:
            self.metadata: Metadata = parse_metadata(store.metadata(), store.name)
        except BaseException:
            store.close()
            raise
        self.directory = Directory(store, self.metadata)

    @property
    def name(self) -> str:
        """What errors call the pack."""
        return self.store.name

    def characters(self, shard: int) -> int:
        """Characters in one shard."""
        return shard_characters(shard, self.metadata.length, self.metadata.shard_size)

    def blob(self, shard: int) -> bytes:
        """The blob of one shard, its checksum compared.

        Raises:
            CorruptPackError: the row is missing, or not what was packed.
        """
        return self._checked(shard, self.store.get(Table.SHARDS, shard))

    def utf8(self, shard: int) -> bytes:
        """The UTF-8 of one shard; raises as :meth:`blob`."""
        return self.decompress(shard, self.blob(shard))

    def utf8_range(self, first: int, last: int) -> list[bytes]:
        """The UTF-8 of the shards ``first`` to ``last``, inclusive, read at once; raises as :meth:`blob`."""
        rows = dict(self.store.get_range(Table.SHARDS, first, last + 1))
        return [self.decompress(shard, self._checked(shard, rows.get(shard))) for shard in range(first, last + 1)]

    def decompress(self, shard: int, blob: bytes) -> bytes:
        """The UTF-8 in a blob that was checked.

        Raises:
            CorruptPackError: it is no frame, or holds more than its shard can.
        """
        try:
            return codec.decompress(blob, _MAX_CHARACTER_BYTES * self.characters(shard))
        except CorruptPackError as error:
            raise self.corrupt(shard, str(error)) from error

    def corrupt(self, shard: int, what: str) -> CorruptPackError:
        """The error for a shard that is not what was packed."""
        return CorruptPackError(f"{self.name}: shard {shard}: {what}")

    def documents(self) -> Iterator[Document]:
        """All documents, in order."""
        return read_documents(self.store, self.metadata.documents)

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()

    def _checked(self, shard: int, blob: bytes | None) -> bytes:
        if blob is None:
            raise self.corrupt(shard, "missing")
        found, expected = codec.checksum(shard, self.characters(shard), blob), self.directory.checksum(shard)
        if found != expected:
            raise self.corrupt(shard, f"checksum {found:016x}, expected {expected:016x}")
        return blob
