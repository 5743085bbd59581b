"""Text in, pack out: streaming, in bounded memory, on all cores, and never half-written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from distributed_prompt.backends.file_backend import PACK_NAME
from distributed_prompt.backends.output import OutputFile
from distributed_prompt.errors import ArgumentError, DPromptError, OutputError
from distributed_prompt.geometry import DEFAULT_SHARD_SIZE, check_shard_size
from distributed_prompt.sources import Decoding, FileSource, Shard, Source, SourceReader, TextSource
from distributed_prompt.store.base import StoreWriter
from distributed_prompt.store.codec import DEFAULT_LEVEL, LEVELS
from distributed_prompt.store.documents import Document
from distributed_prompt.store.pack_writer import EncodedShard, PackWriter, encode_shard
from distributed_prompt.store.sqlite_store import SqliteWriter
from distributed_prompt.workers import Progress, map_ahead

STORES = ("sqlite",)
_TASK_CHARACTERS = 2**20
_TASK_SHARDS = 2**12


@dataclass(frozen=True, slots=True, kw_only=True)
class PackInfo:
    """What was packed.

    Attributes:
        path: the pack.
        length: characters.
        shards: number of shards.
        shard_size: characters a shard.
        source_bytes: bytes that were read.
        pack_bytes: bytes of the pack.
        exact: whether ``unpack`` gives those bytes back.
        root_digest: names text, cut and compression.
    """

    path: str
    length: int
    shards: int
    shard_size: int
    source_bytes: int
    pack_bytes: int
    exact: bool
    root_digest: str


def pack(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    shard_size: int = DEFAULT_SHARD_SIZE,
    store: str = "sqlite",
    level: int = DEFAULT_LEVEL,
    encoding: str = "utf-8",
    errors: str = "strict",
    newlines: str = "keep",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PackInfo:
    r"""Pack one text file.

    The pack's text equals ``open(source, encoding="utf-8", newline="").read()``: nothing is translated
    unless asked for.

    Args:
        source: a file, ``-`` for standard input, or a folder as the first version of this project wrote it.
        output: the pack to make; appears whole or not at all.
        shard_size: characters a shard, 1 to 2**24.
        store: the engine: ``sqlite``.
        level: zstd's compression level, 1 to 22.
        encoding: the input's codec.
        errors: what to do with bytes that are no text: ``strict`` refuses the input; ``surrogateescape``
            keeps them; ``replace`` and ``ignore`` lose them.
        newlines: ``keep``, or ``universal`` to turn ``\r\n`` and ``\r`` into ``\n``, as ``open`` does.
        overwrite: replace an existing output.
        progress: called with bytes read so far and bytes in all, where known.

    Raises:
        PackNotFoundError: no such source.
        UndecodableError: bytes that are no text; the message has their offset.
        OutputExistsError: the output exists.
        OutputError: the output cannot be written.
        ArgumentError: a number or name is outside its range.

    Cost: every byte read once; a few MB a core at shards of up to 2**20 characters, and 53 bytes a shard.
    """
    decoding = Decoding(encoding=encoding, errors=errors, newlines=newlines)
    if level not in LEVELS:
        message = f"level {level}: must be from {LEVELS[0]} to {LEVELS[-1]}"
        raise ArgumentError(message)
    if store not in STORES:
        message = f"store {store!r}: must be one of {', '.join(STORES)}"
        raise ArgumentError(message)
    return _pack(
        FileSource(source),
        decoding,
        output,
        shard_size=shard_size,
        level=level,
        overwrite=overwrite,
        progress=progress,
    )


def ingest_file(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    shard_size: int = DEFAULT_SHARD_SIZE,
    *,
    progress: Progress | None = None,
) -> PackInfo:
    """Pack one UTF-8 file; an output that does not end in ``.dprompt`` is a folder that gets ``prompt.dprompt``.

    The folder is made if need be, and a pack that is there already is replaced.

    Cost: as :func:`pack`.
    """
    return _ingest(FileSource(path), Decoding(), output, shard_size, progress)


def ingest_string(text: str, output: str | os.PathLike[str], shard_size: int = DEFAULT_SHARD_SIZE) -> PackInfo:
    """Pack a string; the output is as in :func:`ingest_file`.

    Cost: as :func:`pack`.
    """
    return _ingest(TextSource(text), Decoding(errors="surrogatepass"), output, shard_size)


def _ingest(
    source: Source,
    decoding: Decoding,
    output: str | os.PathLike[str],
    shard_size: int,
    progress: Progress | None = None,
) -> PackInfo:
    return _pack(
        source,
        decoding,
        ingest_output(output),
        shard_size=shard_size,
        overwrite=True,
        make_folder=True,
        progress=progress,
    )


def ingest_output(output: str | os.PathLike[str]) -> Path:
    """The pack that ``ingest`` writes for an output.

    Raises:
        OutputError: the output is a file, but not a pack by its name.
    """
    place = Path(output)
    try:
        if place.suffix == ".dprompt" and not place.is_dir():
            return place
        if place.exists() and not place.is_dir():
            message = f"{output}: is a file; name a folder, or a file that ends in .dprompt"
            raise OutputError(message)
    except OSError as error:
        if isinstance(error, DPromptError):
            raise
        message = f"{output}: {error.strerror}"
        raise OutputError(message) from error
    return place / PACK_NAME


def _pack(
    source: Source,
    decoding: Decoding,
    output: str | os.PathLike[str],
    *,
    shard_size: int,
    overwrite: bool,
    make_folder: bool = False,
    level: int = DEFAULT_LEVEL,
    progress: Progress | None = None,
) -> PackInfo:
    reader = SourceReader(source, decoding, check_shard_size(shard_size))
    file = OutputFile(output, overwrite=overwrite, make_folder=make_folder)
    if source.reads(file.path):
        message = f"{os.fspath(output)}: is the input; name another output"
        raise ArgumentError(message)
    with file:
        with _writing(SqliteWriter(str(file.partial), os.fspath(output))) as store:
            writer = PackWriter(store, shard_size, level)
            for run in map_ahead(partial(_encode, level), _tasks(reader.shards(), shard_size)):
                for encoded in run:
                    writer.add(encoded)
                    file.wrote(len(encoded.blob))
                if progress:
                    progress(reader.source_bytes, source.size_bytes)
            document = Document(
                name=source.name,
                start=0,
                stop=writer.length,
                encoding=decoding.encoding,
                errors=decoding.errors,
                newlines=decoding.newlines,
                source_bytes=reader.source_bytes,
                sha256=reader.sha256,
                exact=reader.exact,
            )
            metadata = writer.finish([document])
        pack_bytes = file.partial.stat().st_size
        file.publish()
    return PackInfo(
        path=str(file.path),
        length=metadata.length,
        shards=metadata.shards,
        shard_size=metadata.shard_size,
        source_bytes=document.source_bytes,
        pack_bytes=pack_bytes,
        exact=document.exact,
        root_digest=metadata.root_digest,
    )


@contextmanager
def _writing(store: StoreWriter) -> Iterator[StoreWriter]:
    """Abort the store unless the block ends well."""
    try:
        yield store
    except BaseException:
        store.abort()
        raise


def _tasks(shards: Iterator[Shard], shard_size: int) -> Iterator[list[tuple[int, Shard]]]:
    """Numbered shards in runs that are worth a task each."""
    numbered = enumerate(shards)
    run_shards = max(1, min(_TASK_SHARDS, _TASK_CHARACTERS // shard_size))
    while run := list(islice(numbered, run_shards)):
        yield run


def _encode(level: int, run: list[tuple[int, Shard]]) -> list[EncodedShard]:
    return [encode_shard(number, shard.characters, shard.data, level) for number, shard in run]
