"""Packs that grow, change their engine or get an index: a new file each time, the stored shards copied as they are."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from distributed_prompt.backends.addresses import opened
from distributed_prompt.backends.base import Backend
from distributed_prompt.backends.file_backend import FileBackend, find_pack
from distributed_prompt.backends.output import OutputFile
from distributed_prompt.decoding import Decoding
from distributed_prompt.errors import ArgumentError, CorruptPackError
from distributed_prompt.inputs import Inputs
from distributed_prompt.joining import Joiner
from distributed_prompt.packing import PackInfo, Paths, path_list, publish, write_inputs, writing
from distributed_prompt.selection import Selection
from distributed_prompt.store.documents import Document
from distributed_prompt.store.engines import ENGINES, check_engine, create_store
from distributed_prompt.store.metadata import Metadata
from distributed_prompt.store.ngrams import is_indexed
from distributed_prompt.store.pack import Pack
from distributed_prompt.store.pack_copy import bytes_before, copy_pack
from distributed_prompt.store.pack_writer import PackWriter
from distributed_prompt.text.pieces import Piece
from distributed_prompt.workers import Progress


def append(
    pack: str | os.PathLike[str],
    sources: Paths,
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    keep_undecodable: bool = False,
    encoding: str = "utf-8",
    errors: str = "strict",
    newlines: str = "keep",
    progress: Progress | None = None,
) -> PackInfo:
    """Put more documents behind those of a pack.

    A new file is written beside the old one and renamed over it: readers that have the pack open keep the old one,
    and a crash at any moment leaves one or the other. Shard size, level, engine and header are the pack's. The new file
    is the one that packing everything in this order would have made, and most of its pages are the old one's.

    Args:
        pack: the path of a pack.
        sources: as in :func:`~distributed_prompt.packing.pack`.
        include: as there.
        exclude: as there.
        keep_undecodable: as there.
        encoding: as there.
        errors: as there.
        newlines: as there.
        progress: called with bytes read so far and bytes in all, where known.

    Returns:
        What the pack is now, and how much was added to it.

    Raises:
        PackNotFoundError: no such pack, or no such source.
        UndecodableError: bytes that are no text; the message has their offset.
        OutputError: the new file cannot be written, or another process writes it now.
        ArgumentError: an argument is wrong, or the pack has a document of the same name.
        CorruptPackError: the pack is damaged; it stays as it is.

    Cost: every stored byte copied once, one shard decoded, every new byte read; memory as ``pack``, and the
    names of the pack's folders.
    """
    decoding = Decoding(encoding=encoding, errors=errors, newlines=newlines)
    inputs = Inputs(path_list(sources), Selection(include, exclude))
    path = find_pack(pack)
    if inputs.reads(path):
        message = f"{os.fspath(pack)}: is the pack itself; name other inputs"
        raise ArgumentError(message)
    # Locked before it is read: whoever appends at the same time is turned away, not forgotten.
    with OutputFile(path, overwrite=True) as file:
        with (
            FileBackend(path) as backend,
            writing(create_store(backend.pack.store.engine, str(file.partial), os.fspath(pack))) as store,
        ):
            old = backend.pack
            metadata = old.metadata
            writer = PackWriter(store, metadata.shard_size, metadata.level, metadata.header, index=old.ngrams.exists)
            whole = metadata.length // metadata.shard_size
            for count_bytes in copy_pack(old, writer, whole, grows=True):
                file.wrote(count_bytes)
            joiner = Joiner(
                decoding,
                metadata.shard_size,
                _checked(old, writer.documents.add),
                header=metadata.header,
                keep_undecodable=keep_undecodable,
            )
            rest = old.utf8(whole) if whole < metadata.shards else b""
            piece = Piece(writer.length, metadata.length - writer.length, rest)
            joiner.begin(piece, ends_line=metadata.lines == metadata.newlines)
            write_inputs(inputs, joiner, writer, file, metadata.level, progress, bytes_before(old, whole))
            metadata = writer.finish()
        return publish(file, metadata, joiner)


def _checked(pack: Pack, take: Callable[[Document], None]) -> Callable[[Document], None]:
    """What takes documents, and refuses one that could not be unpacked beside those of the pack."""
    folders = {folder for batch in pack.documents.batches() for name in batch.names for folder in _folders(name)}

    def check(document: Document) -> None:
        name = document.name
        files = [name, *(folder for folder in _folders(name) if folder not in folders)]
        taken = next((file for file in files if pack.documents.find(file) is not None), None)
        if taken is not None or name in folders:
            what = f"a document {taken!r}" if taken is not None else f"documents in a folder {name!r}"
            message = f"{pack.name}: has {what} already; name the input {document.name!r} otherwise"
            raise ArgumentError(message)
        take(document)

    return check


def _folders(name: str) -> Iterator[str]:
    """The folders that a document lies in, innermost first."""
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def convert(
    pack: Backend | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    store: str = ENGINES[0],
    overwrite: bool = False,
    progress: Progress | None = None,
) -> str:
    """Write a pack again with another engine: the same text, shards, documents and root digest.

    Args:
        pack: a backend, or the path of a pack.
        output: the pack to make; appears whole or not at all.
        store: its engine: ``sqlite`` or ``lmdb``.
        overwrite: replace an existing output.
        progress: called with bytes of shards copied so far, and with how many there are about.

    Returns:
        The root digest of both.

    Raises:
        OutputExistsError: the output exists.
        OutputError: the output cannot be written.
        AddressError: the output is an address elsewhere.
        ArgumentError: the output is the pack itself, or there is no such engine.
        CorruptPackError: the pack is damaged.

    Cost: every stored byte copied once, nothing decoded; a few MB.
    """
    check_engine(store)
    with opened(pack) as backend:
        old = backend.pack
        file = OutputFile(output, overwrite=overwrite)
        if str(file.path) == os.path.realpath(old.name):
            message = f"{os.fspath(output)}: is the pack itself; name another output"
            raise ArgumentError(message)
        with file:
            found = _copy(old, file, store, output, progress)
            if found != old.metadata:
                raise _wrong_metadata(old)
            file.publish()
    return found.root_digest


def add_index(
    pack: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> bool:
    """Give a pack an n-gram index, by which searches skip what cannot match.

    Args:
        pack: the path of a pack.
        output: the pack to make; None to rename it over the old one, which readers that have it open keep.
        overwrite: replace an existing output.
        progress: called with bytes of shards copied so far, and with how many there are about.

    Returns:
        Whether there is anything new: False if the pack has an index, and nothing was written for there is no output.

    Raises:
        PackNotFoundError: no such pack.
        OutputExistsError: the output exists.
        OutputError: the output cannot be written, or another process writes it now.
        AddressError: the output is an address elsewhere.
        ArgumentError: the shards are too small for an index.
        CorruptPackError: the pack is damaged; it stays as it is.

    Cost: every stored byte copied once, every shard decoded once; memory as ``pack``.
    """
    path = find_pack(pack)
    in_place = output is None or os.path.realpath(output) == os.path.realpath(path)
    with OutputFile(path if output is None else output, overwrite=overwrite or in_place) as file:
        with FileBackend(path) as backend:
            old = backend.pack
            if old.ngrams.exists and in_place:
                return False
            if not is_indexed(old.metadata.shard_size):
                message = (
                    f"{os.fspath(pack)}: shards of {old.metadata.shard_size:,} characters are too small for an index"
                )
                raise ArgumentError(message)
            found = _copy(old, file, old.store.engine, output or pack, progress, index=True)
            if replace(found, features=old.metadata.features) != old.metadata:
                raise _wrong_metadata(old)
        file.publish()
    return True


def _wrong_metadata(pack: Pack) -> CorruptPackError:
    return CorruptPackError(f"{pack.name}: its metadata are not what its rows make them; see dprompt verify")


def _copy(
    old: Pack,
    file: OutputFile,
    store: str,
    shown: str | os.PathLike[str],
    progress: Progress | None,
    *,
    index: bool = False,
) -> Metadata:
    """Write a pack again, as another engine has it, perhaps with an index."""
    was = old.metadata
    with writing(create_store(store, str(file.partial), os.fspath(shown))) as created:
        writer = PackWriter(created, was.shard_size, was.level, was.header, index=index or old.ngrams.exists)
        done = 0
        for count_bytes in copy_pack(old, writer, was.shards):
            file.wrote(count_bytes)
            done += count_bytes
            if progress:
                progress(done, old.store.size_bytes())
        return writer.finish()
