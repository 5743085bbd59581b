"""Packs in this process's memory: what ``from_text`` makes."""

from typing import Self

from distributed_prompt.backends.base import Backend
from distributed_prompt.store.codec import DEFAULT_LEVEL
from distributed_prompt.store.memory_store import MemoryStore
from distributed_prompt.store.pack import Pack
from distributed_prompt.store.pack_writer import write_text
from distributed_prompt.text.pieces import decode


class MemoryBackend(Backend):
    """A text packed into memory: a fraction of its size, and no file. Pickles as the text."""

    def __init__(self, text: str, shard_size: int) -> None:
        """Pack ``text``."""
        store = MemoryStore()
        write_text(store, text, shard_size, DEFAULT_LEVEL)
        self.pack = Pack(store)
        self.address = ""

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        """The text and its shard size."""
        metadata = self.pack.metadata
        text = "".join(decode(self.pack.utf8(shard)) for shard in range(metadata.shards))
        return type(self), (text, metadata.shard_size)
