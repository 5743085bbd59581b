"""A pack, read: metadata, directory, documents, and blobs that are checked before anyone sees them."""

from functools import partial

from distributed_prompt.errors import CorruptPackError
from distributed_prompt.geometry import MAX_CHARACTER_BYTES, SEGMENT_SHARDS, shard_characters
from distributed_prompt.store import codec
from distributed_prompt.store.base import Store, Table
from distributed_prompt.store.directory import Directory
from distributed_prompt.store.document_table import DocumentTable
from distributed_prompt.store.metadata import Metadata, parse_metadata
from distributed_prompt.store.ngrams import Ngrams
from distributed_prompt.text.pieces import Piece, decode


class Pack:
    """An open pack. Safe to use from any thread.

    Attributes:
        store: the engine.
        metadata: what opening has read; nothing else was.
        directory: what is known of each shard.
        documents: which range came from which input.
        ngrams: which shards can hold what.
    """

    def __init__(self, store: Store) -> None:
        """Read the metadata of an open store; close the store if it is not that of a pack."""
        self.store = store
        try:
            self.metadata: Metadata = parse_metadata(store.metadata(), store.name)
            self._check_size()
        except BaseException:
            store.close()
            raise
        # Which shards have been found to be the text that they should be; it takes longer where that is not ASCII.
        self._seen: dict[int, bytearray] = {}
        self.directory = Directory(store, self.metadata)
        self.documents = DocumentTable(store, self.metadata.documents)
        self.ngrams = Ngrams(store, self.metadata, self.directory)

    def _check_size(self) -> None:
        """No count is believed that the file has no room for: work goes by them, and memory."""
        size = self.store.size_bytes()
        if max(self.metadata.shards * codec.DIGEST_BYTES, self.metadata.documents) > size:
            message = (
                f"{self.name}: metadata: {self.metadata.shards} shards and {self.metadata.documents} documents "
                f"are more than {size} bytes can hold"
            )
            raise CorruptPackError(message)

    @property
    def name(self) -> str:
        """What errors call the pack."""
        return self.store.name

    @property
    def digests(self) -> tuple[str, str]:
        """What tells packs apart, whose text, cut or documents differ."""
        return self.metadata.root_digest, self.metadata.documents_digest

    def characters(self, shard: int) -> int:
        """Characters in one shard."""
        return shard_characters(shard, self.metadata.length, self.metadata.shard_size)

    def blob(self, shard: int) -> bytes | None:
        """The stored bytes of one shard, unchecked; None if the row is missing."""
        self.directory.expect(shard, shard)
        return self.store.twice(partial(self.store.get, Table.SHARDS, shard))

    def blobs(self, first: int, last: int) -> dict[int, bytes]:
        """The stored bytes of the shards ``first`` to ``last``, inclusive, unchecked, read at once."""
        self.directory.expect(first, last)
        return dict(self.store.twice(partial(self.store.get_range, Table.SHARDS, first, last + 1)))

    def checked(self, shard: int, blob: bytes | None) -> bytes:
        """A shard's blob, its checksum compared.

        Raises:
            CorruptPackError: the row is missing, or not what was packed.
        """
        try:
            return self._compared(shard, blob)
        except CorruptPackError:
            if not self.store.forget():
                raise
            return self._compared(shard, self.blob(shard))

    def _compared(self, shard: int, blob: bytes | None) -> bytes:
        if blob is None:
            raise self.corrupt(shard, "missing")
        characters = shard_characters(shard, self.metadata.length, self.metadata.shard_size)
        found, expected = codec.checksum(shard, characters, blob), self.directory.checksum(shard)
        if found != expected:
            raise self.corrupt(shard, f"checksum {found:016x}, expected {expected:016x}")
        return blob

    def decompress(self, shard: int, blob: bytes | None) -> bytes:
        """The UTF-8 in a shard's blob; raises as :meth:`checked`."""
        blob = self.checked(shard, blob)
        try:
            data = codec.decompress(blob, MAX_CHARACTER_BYTES * self.characters(shard))
        except CorruptPackError as error:
            raise self.corrupt(shard, str(error)) from error
        self._check_text(shard, data)
        return data

    def _check_text(self, shard: int, data: bytes) -> None:
        """All that decodes shards takes their length and form for granted, and a checksum may be a forger's."""
        characters = self.characters(shard)
        if len(data) == characters:
            if not data.isascii():
                raise self.corrupt(shard, f"{len(data)} bytes that are not {characters} characters")
            return
        segment, number = divmod(shard, SEGMENT_SHARDS)
        seen = self._seen.setdefault(segment, bytearray(SEGMENT_SHARDS))
        if not seen[number]:
            try:
                found = len(decode(data))
            except UnicodeDecodeError as error:
                raise self.corrupt(shard, str(error)) from error
            if found != characters:
                raise self.corrupt(shard, f"{found} characters, expected {characters}")
            seen[number] = True

    def piece(self, shard: int, blob: bytes | None) -> Piece:
        """The same with its place in the text; raises as :meth:`decompress`."""
        return Piece(shard * self.metadata.shard_size, self.characters(shard), self.decompress(shard, blob))

    def utf8(self, shard: int) -> bytes:
        """The UTF-8 of one shard; raises as :meth:`decompress`."""
        return self.decompress(shard, self.blob(shard))

    def corrupt(self, shard: int, what: str) -> CorruptPackError:
        """The error for a shard that is not what was packed."""
        return CorruptPackError(f"{self.name}: shard {shard}: {what}")

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()
