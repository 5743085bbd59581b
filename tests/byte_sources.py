"""Inputs that tests make up, and what is read of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from distributed_prompt.decoding import Decoding
from distributed_prompt.joining import Joiner
from distributed_prompt.sources import Source
from distributed_prompt.store.documents import Document
from distributed_prompt.text.pieces import decode

READ_SIZES = (1, 2, 3, 7, 2**18)


class Portions:
    """A source of bytes that come in portions of any sizes, empty ones included."""

    def __init__(
        self, data: bytes, lengths: Iterable[int] = (), *, name: str = "portions", optional: bool = False
    ) -> None:
        self.name = name
        self.shown = "here"
        self.size_bytes: int | None = len(data)
        self.optional = optional
        self.readings = 0
        self._data = data
        self._lengths = list(lengths)

    def portions(self) -> Iterator[bytes]:
        self.readings += 1
        at = 0
        while at < len(self._data):
            for length in [*self._lengths, 1]:
                yield self._data[at : at + length]
                at += length

    def locate(self, offset: int) -> str:
        return f"here: byte {offset}"

    def reads(self, path: Path) -> bool:
        return path.name == "here"


class Joined:
    """What a joiner made of sources: the shards' texts, their promised lengths compared, and the documents."""

    def __init__(
        self,
        sources: Iterable[Source],
        decoding: Decoding | None = None,
        shard_size: int = 5,
        *,
        header: str | None = None,
        keep_undecodable: bool = False,
    ) -> None:
        self.documents: list[Document] = []
        self.joiner = Joiner(
            decoding or Decoding(),
            shard_size,
            self.documents.append,
            header=header,
            keep_undecodable=keep_undecodable,
        )
        self.pieces: list[str] = []
        for shard in self.joiner.shards(sources):
            # A document is told before a shard that has any text behind it.
            assert all(document.start <= self.length + shard.characters for document in self.documents)
            self.pieces.append(decode(shard.data))
            assert len(self.pieces[-1]) == shard.characters
        assert all(self.pieces)
        assert all(len(piece) == shard_size for piece in self.pieces[:-1])
        assert not self.pieces or len(self.pieces[-1]) <= shard_size

    @property
    def length(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def write_shard_folder(folder: Path, parts: list[bytes]) -> Path:
    """A shard folder: its files, and how many there are."""
    folder.mkdir()
    (folder / "meta.json").write_text(f'{{"num_shards": {len(parts)}, "total_chars": 0}}')
    for number, part in enumerate(parts):
        (folder / f"{number:04d}.txt").write_bytes(part)
    return folder
