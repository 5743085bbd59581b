"""Shards, documents and index from one pack to another, as they are stored: nothing is decoded but for a new index."""

from collections.abc import Iterator
from functools import partial

from distributed_prompt.geometry import SEGMENT_SHARDS
from distributed_prompt.store.documents import BATCH_DOCUMENTS
from distributed_prompt.store.ngrams import NgramsWriter
from distributed_prompt.store.pack import Pack
from distributed_prompt.store.pack_writer import EncodedShard, PackWriter
from distributed_prompt.text import grams
from distributed_prompt.workers import map_ahead

_RUN_BYTES = 2**22
_INDEXED_RUN_SHARDS = 16


def copy_pack(pack: Pack, writer: PackWriter, shards: int, *, grows: bool = False) -> Iterator[int]:
    """Write the first shards of a pack, and all its documents, into a new one.

    The result is what packing would have written. Each blob's fast checksum is compared on the way. If the new pack is
    to have an index and the old one has none, it is made.

    Args:
        pack: where they are.
        writer: where they go; nothing was written yet.
        shards: how many; the documents may lie behind them.
        grows: whether more documents will follow, with which the last ones then share a batch.

    Raises:
        CorruptPackError: a shard or a document is not what was packed.

    Yields:
        Bytes copied, some at a time.
    """
    shard_size = pack.metadata.shard_size
    batches = _documents(pack, writer, grows=grows)
    next_start = next(batches, None)
    index = writer.ngrams
    makes_index = index is not None and not pack.ngrams.exists
    run_shards = max(1, _RUN_BYTES * pack.metadata.shards // max(1, pack.store.size_bytes()))
    if makes_index:
        # What the index needs of a shard may be more than its blob.
        run_shards = min(run_shards, _INDEXED_RUN_SHARDS)
    runs = (range(first, min(first + run_shards, shards)) for first in range(0, shards, run_shards))
    for run in map_ahead(partial(_stored, pack, makes_index), runs):
        copied = 0
        for encoded in run:
            while next_start is not None and next_start < (writer.shards + 1) * shard_size:
                next_start = next(batches, None)
            writer.add(encoded)
            copied += len(encoded.blob)
            segment, inside = divmod(writer.shards, SEGMENT_SHARDS)
            if index and not makes_index and not inside:
                index.copy(pack.ngrams.stored(segment - 1))
        yield copied
    while next_start is not None:
        next_start = next(batches, None)
    if index and not makes_index:
        _copy_last_segment(pack, index, shards, grows=grows)


def _stored(pack: Pack, makes_index: bool, run: range) -> list[EncodedShard]:  # noqa: FBT001  # for partial
    """Shards as they are stored, with what an index needs if one is made."""
    blobs = pack.blobs(run.start, run.stop - 1)
    # Whether a line ends here matters for the last shard only.
    ends_line = pack.metadata.lines == pack.metadata.newlines
    found = []
    before = bytes_before(pack, run.start) if makes_index else b""
    for shard in run:
        blob = pack.checked(shard, blobs.pop(shard, None))
        entries = None
        if makes_index:
            data = pack.decompress(shard, blob)
            entries, before = grams.entries(data, before), grams.last_bytes(before, data)
        found.append(EncodedShard(pack.characters(shard), blob, pack.directory.record(shard), ends_line, entries))
    return found


def _copy_last_segment(pack: Pack, index: NgramsWriter, shards: int, *, grows: bool) -> None:
    """The index of the shards behind the last whole segment; others may follow."""
    segment, inside = divmod(shards, SEGMENT_SHARDS)
    if not inside:
        return
    if not pack.ngrams.covers(segment):
        before = bytes_before(pack, shards - inside)
        for shard in range(shards - inside, shards):
            data = pack.utf8(shard)
            index.add(grams.entries(data, before))
            before = grams.last_bytes(before, data)
    elif grows:
        index.resume(pack.ngrams.groups(segment), inside)
    else:
        index.copy(pack.ngrams.stored(segment))


def bytes_before(pack: Pack, shard: int) -> bytes:
    """The last bytes before a shard."""
    found = b""
    while shard and len(found) < grams.BEFORE_BYTES:
        shard -= 1
        found = grams.last_bytes(pack.utf8(shard), found)
    return found


def _documents(pack: Pack, writer: PackWriter, *, grows: bool) -> Iterator[int]:
    """The start of each batch of documents; asking for the next one writes it."""
    for number, batch in enumerate(pack.documents.batches()):
        yield batch.starts[0]
        if len(batch) == BATCH_DOCUMENTS or not grows:
            writer.documents.add_batch(batch, pack.documents.row(number) or b"")
        else:
            for document in batch:
                writer.documents.add(document)
