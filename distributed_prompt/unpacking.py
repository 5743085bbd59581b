"""Pack in, the original bytes out, exactly."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import BinaryIO, cast

from distributed_prompt.backends.addresses import opened
from distributed_prompt.backends.base import Backend
from distributed_prompt.backends.output import OutputFile, refusals
from distributed_prompt.backends.output_folder import OutputFolder
from distributed_prompt.errors import (
    ArgumentError,
    CorruptPackError,
    InexactError,
    OutputError,
)
from distributed_prompt.opening import Member, members, opened_member
from distributed_prompt.originals import DocumentPart, DocumentSplitter, Original
from distributed_prompt.shard_cache import ShardCache
from distributed_prompt.shards import Shards
from distributed_prompt.store.documents import Document
from distributed_prompt.store.pack import Pack
from distributed_prompt.text.pieces import Piece
from distributed_prompt.workers import Progress


def unpack(
    pack: Backend | str | os.PathLike[str],
    output: str | os.PathLike[str] | BinaryIO,
    *,
    lossy: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write the original bytes of a pack: of one document to a file, of several to a folder.

    Every document is written under its name below the folder, with the folders that takes. The folder must be new or
    empty; it appears with everything in it or not at all. Modes, times and links are not restored.

    Args:
        pack: a backend, or the address of a pack, or of a manifest, whose packs go into one folder.
        output: for one document that is the whole text, and was a file that was named, a path or a binary file, which
            gets the bytes as they come; a path that ends with a slash or is a folder is taken for a folder. For other
            packs, a folder.
        lossy: give the text as UTF-8 where the original bytes are not to be had.
        overwrite: replace an existing file. A folder with anything in it is never written to.
        progress: called with UTF-8 bytes done so far and in all.

    Returns:
        Bytes written.

    Raises:
        InexactError: the original bytes are not to be had, and ``lossy`` was not asked for.
        ArgumentError: the output is the pack itself, or a file, and there are several documents.
        OutputExistsError: the output exists.
        OutputError: the output cannot be written, or a document's name would lead out of the folder.
        AddressError: the output is an address elsewhere.
        CorruptPackError: the pack is damaged; a path gets nothing.

    Cost: every shard decoded once; a few MB a core.
    """
    if not isinstance(output, str | os.PathLike) and not hasattr(output, "write"):
        message = f"output must be a path or a binary file, not {type(output).__name__}"
        raise TypeError(message)
    packs = members(pack)
    if packs is not None:
        if not isinstance(output, str | os.PathLike):
            message = f"{os.fspath(cast('str', pack))}: many packs do not fit into a binary file; name a folder"
            raise ArgumentError(message)
        return _unpack_folder(packs, os.fspath(output), lossy=lossy, progress=progress)
    with opened(pack) as backend:
        documents = backend.pack.documents
        with _located(backend.pack.name):
            only = _only_document(backend.pack)
            if not isinstance(output, str | os.PathLike):
                return _write(output, _document_bytes(backend, only, "a binary file", lossy=lossy, progress=progress))
            shown = os.fspath(output)
            if len(documents) and (only is None or "/" in only.name or shown.endswith(os.sep) or _is_folder(shown)):
                return _unpack_folder([Member(backend)], shown, lossy=lossy, progress=progress)
            return _unpack_file(backend, only, shown, lossy=lossy, overwrite=overwrite, progress=progress)


def _is_folder(path: str) -> bool:
    # Path.is_dir raises for names that are too long.
    return os.path.isdir(path)  # noqa: PTH112


def _only_document(pack: Pack) -> Document | None:
    """The document that is the whole text, if there is one."""
    if len(pack.documents) != 1:
        return None
    document = pack.documents.document(0)
    return document if (document.start, document.stop) == (0, pack.metadata.length) else None


def _document_bytes(
    backend: Backend, only: Document | None, output: str, *, lossy: bool, progress: Progress | None
) -> Iterator[bytes]:
    """The bytes of a pack of one document, or the text of one without any."""
    if only is None and len(backend.pack.documents):
        message = (
            f"{backend.pack.name}: {len(backend.pack.documents):,} documents do not fit into {output}; name a folder"
        )
        raise ArgumentError(message)
    if only is None:
        return (piece.data for piece in _pieces(backend, progress))
    _check_exact(backend.pack, only, lossy=lossy)
    return _only_bytes(_parts(backend, progress))


def _only_bytes(parts: Iterator[DocumentPart]) -> Iterator[bytes]:
    yield from _original_bytes(next(parts), parts)
    for _ in parts:
        # There is none; what counts is that the text was taken to its end.
        pass


def _check_exact(pack: Pack, document: Document, *, lossy: bool) -> None:
    if not document.exact and not lossy:
        message = (
            f"{pack.name}: the bytes of {document.name} cannot be given back (packed as {document.encoding}, "
            f"errors={document.errors}, newlines={document.newlines}); --lossy (lossy=True) gives the text as UTF-8"
        )
        raise InexactError(message)


def _pieces(backend: Backend, progress: Progress | None) -> Iterator[Piece]:
    metadata = backend.pack.metadata
    done = 0
    for piece in Shards(backend, ShardCache()).pieces(0, metadata.length):
        yield piece
        done += len(piece.data)
        if progress:
            progress(done, metadata.utf8_bytes)


def _parts(backend: Backend, progress: Progress | None) -> Iterator[DocumentPart]:
    splitter = DocumentSplitter(backend.pack.documents)
    for piece in _pieces(backend, progress):
        yield from splitter.split(piece)
    yield from splitter.finish()


def _original_bytes(part: DocumentPart, others: Iterator[DocumentPart]) -> Iterator[bytes]:
    """The bytes of the document that begins with a part, proved at its end; as UTF-8 where it is inexact.

    Takes the document's other parts, and no more, from those that follow.
    """
    original = Original(part.document) if part.document.exact else None
    while True:
        yield original.encode(part.data) if original else part.data
        if part.ends:
            break
        part = next(others)
    if original:
        yield original.finish()
        for problem in original.problems():
            raise CorruptPackError(problem)


def _unpack_file(
    backend: Backend, only: Document | None, shown: str, *, lossy: bool, overwrite: bool, progress: Progress | None
) -> int:
    portions = _document_bytes(backend, only, "one file", lossy=lossy, progress=progress)
    file = OutputFile(shown, overwrite=overwrite)
    if file.path == Path(os.path.realpath(backend.pack.name)):
        message = f"{shown}: is the pack; name another output"
        raise ArgumentError(message)
    with file:
        with _writable(file.partial, shown, "wb") as partial:
            written = _write(partial, portions, file.wrote)
        file.publish()
    return written


def _unpack_folder(packs: list[Member], output: str, *, lossy: bool, progress: Progress | None) -> int:
    for member in packs:
        with opened_member(member) as backend, _located(backend.pack.name):
            for document in backend.pack.documents:
                check_name(document.name)
                _check_exact(backend.pack, document, lossy=lossy)
    written = done = 0
    with OutputFolder(output) as folder:
        for member in packs:
            with opened_member(member) as backend, _located(backend.pack.name):
                written += _fill(folder, backend, _behind(progress, done))
                done += backend.pack.metadata.utf8_bytes
        folder.publish()
    return written


def _behind(progress: Progress | None, done: int) -> Progress | None:
    """How far all packs are, told by one; how much there is of those that follow it does not know."""
    return progress if progress is None or not done else lambda more, _: progress(done + more, None)


def _fill(folder: OutputFolder, backend: Backend, progress: Progress | None) -> int:
    written, folder_of_last = 0, ""
    parts = _parts(backend, progress)
    for part in parts:
        # Read anew, perhaps from a server that says something else now.
        check_name(part.document.name)
        path = os.path.join(folder.partial, part.document.name)  # noqa: PTH118  # a million times
        shown = f"document {part.document.name!r:.200}"
        within = os.path.dirname(part.document.name)  # noqa: PTH120  # as above
        if within != folder_of_last:
            with refusals(shown, folder.path):
                folder.make(within)
            folder_of_last = within
        with _writable(path, shown, "xb") as file:
            written += _write(file, _original_bytes(part, parts))
    return written


def check_name(name: str) -> None:
    """Refuse a document's name that would lead out of the folder it is unpacked to, or is no file's.

    Raises:
        OutputError: it would.
    """
    parts = name.split("/")
    drive = PureWindowsPath(name).drive if os.name == "nt" else ""
    try:
        refused = b"\0" in os.fsencode(name) or drive or not {"", ".", ".."}.isdisjoint(parts)
    except UnicodeEncodeError:
        refused = True
    if refused:
        message = f"document {name!r:.200}: no file in the folder can have this name; nothing was written"
        raise OutputError(message)


@contextmanager
def _located(name: str) -> Iterator[None]:
    """Errors that do not say in which pack they arose say it now."""
    try:
        yield
    except CorruptPackError as error:
        if str(error).startswith(name):
            raise
        message = f"{name}: {error}"
        raise CorruptPackError(message) from error


@contextmanager
def _writable(path: str | Path, shown: str, mode: str) -> Iterator[BinaryIO]:
    """A file to be written; what the system refuses is said of the name that the caller knows."""
    with refusals(shown, Path(path)):
        try:
            opened = open(path, mode, buffering=0)  # noqa: PTH123, SIM115  # often
        except FileExistsError as error:
            message = f"{shown}: the folder has a file of this name from another document; unpack the packs one by one"
            raise OutputError(message) from error
        with opened as file:
            yield cast("BinaryIO", file)


def _write(file: BinaryIO, portions: Iterator[bytes], wrote: Callable[[int], None] = lambda _: None) -> int:
    written = 0
    for data in portions:
        view = memoryview(data)
        while view:
            done = file.write(view)
            if not isinstance(done, int):
                message = f"{file!r}: its write() does not say how many bytes it took"  # type: ignore[unreachable]
                raise OutputError(message)
            view = view[done:]
        written += len(data)
        wrote(len(data))
    return written
