"""Pack in, the original bytes out, exactly."""

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

from distributed_prompt.backends.base import Backend
from distributed_prompt.backends.output import OutputFile
from distributed_prompt.errors import CorruptPackError, InexactError, OutputError
from distributed_prompt.shards import Shards
from distributed_prompt.sources import Decoding
from distributed_prompt.store.documents import Document
from distributed_prompt.text.pieces import decode

Progress = Callable[[int, int | None], None]


class Original:
    """The bytes that one exact document came from, made again from its text, and their digest."""

    def __init__(self, document: Document) -> None:
        """Begin before the first character."""
        decoding = Decoding(encoding=document.encoding, errors=document.errors)
        self._document = document
        self._stored_as_is = decoding.codec == "utf-8" and decoding.errors in {"strict", "surrogatepass"}
        self._encoder = decoding.encoder()
        self._sha256 = hashlib.sha256()

    def encode(self, data: bytes) -> bytes:
        """The original bytes of the next piece of UTF-8."""
        block = data if self._stored_as_is else self._encoder.encode(decode(data))
        self._sha256.update(block)
        return block

    def finish(self) -> bytes:
        """The bytes that come after the last character."""
        block = self._encoder.encode("", final=True)
        self._sha256.update(block)
        return block

    def problems(self) -> Iterator[str]:
        """Finish, and say whether the bytes are not those that were packed."""
        self.finish()
        found, expected = self._sha256.hexdigest(), self._document.sha256
        if found != expected:
            yield f"document {self._document.name}: SHA-256 {found}, expected {expected}"


def original_bytes(shards: Shards, *, lossy: bool = False) -> Iterator[bytes]:
    """The bytes that were packed, in order, their digest proved at the end.

    Args:
        shards: the open pack.
        lossy: give the text as UTF-8 where the original bytes are not to be had.

    Raises:
        InexactError: they are not to be had, and ``lossy`` was not asked for.
        CorruptPackError: a shard is damaged, or the bytes are not those that were packed.

    Cost: every shard decoded once; a few MB a core.
    """
    pack = shards.pack
    documents = list(pack.documents())
    data = (piece.data for piece in shards.pieces(0, pack.metadata.length))
    if not documents or (lossy and not documents[0].exact):
        yield from data
        return
    (document,) = documents
    if not document.exact:
        message = (
            f"{pack.name}: the bytes of {document.name} cannot be given back (packed as {document.encoding}, "
            f"errors={document.errors}, or with newlines translated); --lossy (lossy=True) gives the text as UTF-8"
        )
        raise InexactError(message)
    original = Original(document)
    yield from map(original.encode, data)
    yield original.finish()
    for problem in original.problems():
        message = f"{pack.name}: {problem}"
        raise CorruptPackError(message)


def unpack(
    backend: Backend,
    output: str | os.PathLike[str] | BinaryIO,
    *,
    lossy: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write the original bytes of a pack.

    Args:
        backend: the open pack.
        output: a path, which gets all bytes or nothing; or a binary file, which gets them as they come.
        lossy: give the text as UTF-8 where the original bytes are not to be had.
        overwrite: replace an existing output.
        progress: called with UTF-8 bytes done so far and in all.

    Returns:
        Bytes written.

    Raises:
        InexactError: the original bytes are not to be had, and ``lossy`` was not asked for.
        OutputExistsError: the output exists.
        OutputError: the output cannot be written.
        CorruptPackError: the pack is damaged; a path gets nothing.

    Cost: every shard decoded once; a few MB a core.
    """
    blocks = original_bytes(Shards(backend.pack), lossy=lossy)
    total = backend.pack.metadata.utf8_bytes
    if not isinstance(output, str | os.PathLike):
        return _write(output, blocks, total, progress)
    with OutputFile(output, overwrite=overwrite) as file:
        try:
            with file.partial.open("wb", buffering=0) as partial:
                written = _write(partial, blocks, total, progress)
        except OSError as error:
            if error.errno is None:
                raise
            message = f"{os.fspath(output)}: {error.strerror}"
            raise OutputError(message) from error
        file.publish()
    return written


def _write(file: BinaryIO, blocks: Iterator[bytes], total: int, progress: Progress | None) -> int:
    written = 0
    for block in blocks:
        view = memoryview(block)
        while view:
            view = view[file.write(view) :]
        written += len(block)
        if progress:
            progress(written, total)
    return written
