"""Shards and documents from one pack to another, as they are stored: nothing is decoded."""

from collections.abc import Iterator

from distributed_prompt.store.documents import BLOCK_DOCUMENTS
from distributed_prompt.store.pack import Pack
from distributed_prompt.store.pack_writer import EncodedShard, PackWriter

_RUN_BYTES = 2**22


def copy_pack(pack: Pack, writer: PackWriter, shards: int, *, grows: bool = False) -> Iterator[int]:
    """Write the first shards of a pack, and all its documents, into a new one.

    The result is what packing would have written. Each blob's fast checksum is compared on the way.

    Args:
        pack: where they are.
        writer: where they go; nothing was written yet.
        shards: how many; the documents may lie behind them.
        grows: whether more documents will follow, with which the last ones then share a block.

    Raises:
        CorruptPackError: a shard or a document is not what was packed.

    Yields:
        Bytes copied, some at a time.
    """
    shard_size = pack.metadata.shard_size
    blocks = _documents(pack, writer, grows=grows)
    next_start = next(blocks, None)
    ends_line = pack.metadata.lines == pack.metadata.newlines
    run_shards = max(1, _RUN_BYTES * pack.metadata.shards // max(1, pack.store.size_bytes()))
    for first in range(0, shards, run_shards):
        last = min(first + run_shards, shards) - 1
        blobs = pack.blobs(first, last)
        copied = 0
        for shard in range(first, last + 1):
            while next_start is not None and next_start < (shard + 1) * shard_size:
                next_start = next(blocks, None)
            blob = pack.checked(shard, blobs.pop(shard, None))
            # Whether a line ends here matters for the last shard only.
            writer.add(EncodedShard(pack.characters(shard), blob, pack.directory.record(shard), ends_line))
            copied += len(blob)
        yield copied
    while next_start is not None:
        next_start = next(blocks, None)


def _documents(pack: Pack, writer: PackWriter, *, grows: bool) -> Iterator[int]:
    """The start of each block of documents; asking for the next one writes it."""
    for number, block in enumerate(pack.documents.blocks()):
        yield block.starts[0]
        if len(block) == BLOCK_DOCUMENTS or not grows:
            writer.documents.add_block(block, pack.documents.row(number) or b"")
        else:
            for document in block:
                writer.documents.add(document)
