"""What is behind a prompt, for tests that look inside."""

import sys

import pytest

from distributed_prompt import DistributedPrompt
from distributed_prompt.backends.memory_backend import MemoryBackend
from distributed_prompt.shards import Shards
from distributed_prompt.store import ngrams
from distributed_prompt.store.memory_store import MemoryStore
from distributed_prompt.store.pack import Pack
from distributed_prompt.store.pack_writer import PackWriter, encode_shard
from distributed_prompt.text import grams
from distributed_prompt.text.pieces import encode


def shards_of(prompt: DistributedPrompt) -> Shards:
    """The shards of a prompt of a pack."""
    shards = prompt._characters
    assert isinstance(shards, Shards)
    return shards


class Indexed(MemoryBackend):
    """A pack in memory that has an index."""

    def __init__(self, text: str, shard_size: int) -> None:
        super().__init__(text, shard_size)
        store = MemoryStore()
        writer = PackWriter(store, shard_size, 3, index=True)
        before = b""
        for shard, start in enumerate(range(0, len(text), shard_size)):
            part = text[start : start + shard_size]
            writer.add(encode_shard(shard, len(part), encode(part), 3, before))
            before = grams.last_bytes(before, encode(part))
        writer.finish()
        self.pack = Pack(store)


def set_segments(monkeypatch: pytest.MonkeyPatch, shards: int, least: int) -> None:
    """Make segments of so few shards that small texts have several, and index a text of so few shards."""
    for name, module in list(sys.modules.items()):
        if name.startswith("distributed_prompt") and hasattr(module, "SEGMENT_SHARDS"):
            monkeypatch.setattr(module, "SEGMENT_SHARDS", shards)
    monkeypatch.setattr(ngrams, "LEAST_SHARDS", least)
    monkeypatch.setattr(ngrams, "LEAST_SIZE", 1)
