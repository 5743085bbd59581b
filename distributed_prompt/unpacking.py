"""Pack in, the original bytes out, exactly."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from distributed_prompt.backends.base import Backend
from distributed_prompt.backends.file_backend import opened
from distributed_prompt.backends.output import OutputFile
from distributed_prompt.errors import (
    ArgumentError,
    CorruptPackError,
    DPromptError,
    InexactError,
    OutputError,
    UnsupportedPackError,
)
from distributed_prompt.shards import Shards
from distributed_prompt.sources import Decoding
from distributed_prompt.store.documents import Document
from distributed_prompt.store.pack import Pack
from distributed_prompt.text.pieces import Piece, decode
from distributed_prompt.workers import Progress


class Original:
    """The bytes that one exact document came from, made again from its text, and their digest."""

    def __init__(self, document: Document) -> None:
        """Begin before the first character.

        Raises:
            CorruptPackError: the document's encoding is none; the message lacks the pack, callers add it.
        """
        try:
            decoding = Decoding(encoding=document.encoding, errors=document.errors)
        except ArgumentError as error:
            message = f"document {document.name}: {error}"
            raise CorruptPackError(message) from error
        self._document = document
        self._stored_as_is = decoding.codec == "utf-8" and decoding.errors in {"strict", "surrogatepass"}
        self._encoder = decoding.encoder()
        self._sha256 = hashlib.sha256()
        self._bytes = 0

    def encode(self, data: bytes) -> bytes:
        """The original bytes of the next piece of UTF-8.

        Raises:
            CorruptPackError: the text is none in the document's encoding.
        """
        try:
            return self._summed(data if self._stored_as_is else self._encoder.encode(decode(data)))
        except UnicodeError as error:
            message = f"document {self._document.name}: {error}"
            raise CorruptPackError(message) from error

    def finish(self) -> bytes:
        """The bytes that come after the last character."""
        return self._summed(self._encoder.encode("", final=True) if self._document.source_bytes else b"")

    def problems(self) -> Iterator[str]:
        """What is wrong with all bytes together, once finished."""
        for name, found, expected in (
            ("SHA-256", self._sha256.hexdigest(), self._document.sha256),
            ("source_bytes", self._bytes, self._document.source_bytes),
        ):
            if found != expected:
                yield f"document {self._document.name}: {name} {found}, expected {expected}"

    def _summed(self, block: bytes) -> bytes:
        self._sha256.update(block)
        self._bytes += len(block)
        return block


def original_bytes(pack: Pack, pieces: Iterable[bytes], *, lossy: bool = False) -> Iterator[bytes]:
    """The bytes that were packed, in order, their digest proved at the end.

    Args:
        pack: the open pack.
        pieces: the UTF-8 of the whole text, in order.
        lossy: give the text as UTF-8 where the original bytes are not to be had.

    Raises:
        InexactError: they are not to be had, and ``lossy`` was not asked for.
        CorruptPackError: a shard is damaged, or the bytes are not those that were packed.
        UnsupportedPackError: the pack has several documents, or one that is a part of it.

    Cost: every shard decoded once; a few MB a core.
    """
    documents = list(pack.documents())
    if not documents:
        yield from pieces
        return
    document = documents[0]
    if len(documents) > 1 or (document.start, document.stop) != (0, pack.metadata.length):
        message = f"{pack.name}: {len(documents)} documents; this version unpacks one that is the whole text"
        raise UnsupportedPackError(message)
    if lossy and not document.exact:
        yield from pieces
        return
    if not document.exact:
        message = (
            f"{pack.name}: the bytes of {document.name} cannot be given back (packed as {document.encoding}, "
            f"errors={document.errors}, newlines={document.newlines}); --lossy (lossy=True) gives the text as UTF-8"
        )
        raise InexactError(message)
    original = Original(document)
    yield from map(original.encode, pieces)
    yield original.finish()
    for problem in original.problems():
        raise CorruptPackError(problem)


def unpack(
    pack: Backend | str | os.PathLike[str],
    output: str | os.PathLike[str] | BinaryIO,
    *,
    lossy: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write the original bytes of a pack.

    Args:
        pack: a backend, or the path of a pack.
        output: a path, which gets all bytes or nothing; or a binary file, which gets them as they come.
        lossy: give the text as UTF-8 where the original bytes are not to be had.
        overwrite: replace an existing output.
        progress: called with UTF-8 bytes done so far and in all.

    Returns:
        Bytes written.

    Raises:
        InexactError: the original bytes are not to be had, and ``lossy`` was not asked for.
        ArgumentError: the output is the pack itself.
        OutputExistsError: the output exists.
        OutputError: the output cannot be written.
        CorruptPackError: the pack is damaged; a path gets nothing.

    Cost: every shard decoded once; a few MB a core.
    """
    with opened(pack) as backend:
        name, metadata = backend.pack.name, backend.pack.metadata
        pieces = _reported(Shards(backend).pieces(0, metadata.length), metadata.utf8_bytes, progress)
        blocks = _located(original_bytes(backend.pack, pieces, lossy=lossy), name)
        if not isinstance(output, str | os.PathLike):
            return _write(output, blocks)
        shown = os.fspath(output)
        file = OutputFile(output, overwrite=overwrite)
        if file.path == Path(os.path.realpath(name)):
            message = f"{shown}: is the pack; name another output"
            raise ArgumentError(message)
        with file:
            with _writable(file.partial, shown) as partial:
                written = _write(partial, blocks, file.wrote)
            file.publish()
    return written


def _reported(pieces: Iterator[Piece], total: int, progress: Progress | None) -> Iterator[bytes]:
    done = 0
    for piece in pieces:
        yield piece.data
        done += len(piece.data)
        if progress:
            progress(done, total)


def _located(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """The blocks; errors that do not say in which pack they arose say it now."""
    try:
        yield from blocks
    except CorruptPackError as error:
        if str(error).startswith(name):
            raise
        message = f"{name}: {error}"
        raise CorruptPackError(message) from error


@contextmanager
def _writable(path: Path, shown: str) -> Iterator[BinaryIO]:
    """The file to be written; what the system refuses is said of the name that the caller gave."""
    try:
        with path.open("wb", buffering=0) as file:
            yield file
    except OSError as error:
        if isinstance(error, DPromptError):
            raise
        message = f"{shown}: {error.strerror}"
        raise OutputError(message) from error


def _write(file: BinaryIO, blocks: Iterator[bytes], wrote: Callable[[int], None] = lambda _: None) -> int:
    written = 0
    for block in blocks:
        view = memoryview(block)
        while view:
            done = file.write(view)
            if not isinstance(done, int):
                message = f"{file!r}: its write() does not say how many bytes it took"  # type: ignore[unreachable]
                raise OutputError(message)
            view = view[done:]
        written += len(block)
        wrote(len(block))
    return written
