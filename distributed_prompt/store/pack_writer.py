"""A pack, written: encoded shards in order, then directory, documents and metadata."""

from typing import TYPE_CHECKING, NamedTuple

from distributed_prompt.fork_gate import importing
from distributed_prompt.geometry import SEGMENT_SHARDS, check_shard_size
from distributed_prompt.store import codec
from distributed_prompt.store.base import StoreWriter, Table
from distributed_prompt.store.directory import DirectoryWriter, ShardRecord
from distributed_prompt.store.documents import BATCH_DOCUMENTS, DocumentsWriter
from distributed_prompt.store.maps import write_maps
from distributed_prompt.store.metadata import (
    DOCUMENTS_FEATURE,
    INDEX_FEATURE,
    NGRAMS_FEATURE,
    Metadata,
    create_metadata,
)
from distributed_prompt.store.ngrams import NgramsWriter, is_indexed
from distributed_prompt.text import grams
from distributed_prompt.text.pieces import encode, width

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LARGE_BYTES = 4096


class EncodedShard(NamedTuple):
    """A shard ready to be written."""

    characters: int
    blob: bytes
    record: ShardRecord
    ends_line: bool
    entries: "NDArray[np.uint8] | None" = None


def encode_shard(shard: int, characters: int, data: bytes, level: int, before: bytes | None = None) -> EncodedShard:
    """Compress and sum one shard: all the work that packing does on it, free of the GIL for the most part.

    Args:
        shard: its index.
        characters: how many characters it has.
        data: their UTF-8.
        level: compression level.
        before: the UTF-8 before it, for the n-gram index; None for no index.
    """
    blob = codec.compress(data, level)
    entries = None if before is None else grams.entries(data, before)
    return EncodedShard(characters, blob, describe_shard(shard, characters, data, blob), data.endswith(b"\n"), entries)


def describe_shard(shard: int, characters: int, data: bytes, blob: bytes) -> ShardRecord:
    """What the directory keeps of a shard, from its UTF-8 and its blob."""
    return ShardRecord(
        digest=codec.digest(shard, characters, blob),
        checksum=codec.checksum(shard, characters, blob),
        utf8_bytes=len(data),
        blob_bytes=len(blob),
        newlines=count_newlines(data),
        width=width(data),
    )


def count_newlines(data: bytes) -> int:
    """Newlines in UTF-8."""
    if len(data) < _LARGE_BYTES:
        return data.count(b"\n")
    with importing:
        import numpy as np  # noqa: PLC0415  # costs 100 ms, and only writers of large shards need it

    # Several times faster than bytes.count, and without the GIL.
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")))


class PackWriter:
    """Writes one pack into an empty store. For one thread; shards come in order.

    Documents come in order, too, and each before the first shard that begins behind it.

    Attributes:
        length: characters written so far.
        shards: shards written so far.
        shard_size: characters a shard.
        documents: what takes the documents.
        ngrams: what takes what is in the shards; None for no index.
    """

    def __init__(
        self, store: StoreWriter, shard_size: int, level: int, header: str | None = None, *, index: bool = False
    ) -> None:
        """Begin.

        Raises:
            ArgumentError: the shard size is not between 1 and 2**24 characters.
        """
        self._store = store
        self.shard_size = check_shard_size(shard_size)
        self._level = level
        self._header = header
        self._directory = DirectoryWriter()
        self.documents = DocumentsWriter(store)
        self.ngrams = NgramsWriter(store) if index and is_indexed(shard_size) else None
        self.length = self.shards = self._utf8_bytes = self._newlines = self._width = 0
        self._ends_line = True

    def add(self, encoded: EncodedShard) -> None:
        """Write the next shard."""
        record = encoded.record
        self._store.put(Table.SHARDS, self.shards, encoded.blob)
        self._directory.add(record)
        self.shards += 1
        self.length += encoded.characters
        self._utf8_bytes += record.utf8_bytes
        self._newlines += record.newlines
        self._width = max(self._width, record.width)
        self._ends_line = encoded.ends_line
        if self.ngrams and encoded.entries is not None:
            self.ngrams.add(encoded.entries)
            if not self.shards % SEGMENT_SHARDS:
                self.ngrams.finish(self._directory.segment_digest())
        self.documents.flush(self.length)

    def finish(self) -> Metadata:
        """Write what comes behind the shards, and close the store.

        Returns:
            The pack's metadata.
        """
        if self.ngrams:
            self.ngrams.finish(self._directory.segment_digest())
        documents_digest, count = self.documents.finish(), self.documents.count
        features = {
            DOCUMENTS_FEATURE: count > 0,
            INDEX_FEATURE: count > BATCH_DOCUMENTS,
            NGRAMS_FEATURE: self.ngrams is not None,
        }
        metadata = Metadata(
            features=tuple(sorted(feature for feature, used in features.items() if used)),
            length=self.length,
            shard_size=self.shard_size,
            shards=self.shards,
            utf8_bytes=self._utf8_bytes,
            newlines=self._newlines,
            lines=self._newlines + (not self._ends_line),
            width=self._width,
            level=self._level,
            documents=count,
            documents_digest=documents_digest,
            root_digest=self._directory.finish(self._store, self.length, self.shard_size),
            header=self._header,
        )
        self._store.put_metadata(create_metadata(metadata))
        write_maps(self._store)
        self._store.finish()
        return metadata


def write_text(store: StoreWriter, text: str, shard_size: int, level: int) -> Metadata:
    """Write a text that is in memory already, with no documents."""
    writer = PackWriter(store, shard_size, level)
    for shard, start in enumerate(range(0, len(text), shard_size)):
        part = text[start : start + shard_size]
        writer.add(encode_shard(shard, len(part), encode(part), level))
    return writer.finish()
