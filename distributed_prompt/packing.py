"""Text in, pack out: streaming, in bounded memory, on all cores, and never half-written."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from distributed_prompt.backends.file_backend import PACK_NAME
from distributed_prompt.backends.output import OutputFile, local_name
from distributed_prompt.decoding import Decoding
from distributed_prompt.errors import ArgumentError, DPromptError, NoDocumentError, OutputError
from distributed_prompt.geometry import DEFAULT_SHARD_SIZE, check_shard_size, shard_count
from distributed_prompt.inputs import Inputs, LeftOut
from distributed_prompt.joining import Joiner, Shard
from distributed_prompt.parts import pack_parts
from distributed_prompt.selection import Selection
from distributed_prompt.sources import FileSource, TextSource
from distributed_prompt.store.base import StoreWriter
from distributed_prompt.store.codec import DEFAULT_LEVEL, LEVELS
from distributed_prompt.store.engines import ENGINES, check_engine, create_store
from distributed_prompt.store.metadata import Metadata
from distributed_prompt.store.pack_writer import EncodedShard, PackWriter, encode_shard
from distributed_prompt.text.grams import last_bytes
from distributed_prompt.workers import Progress, map_ahead

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

_TASK_CHARACTERS = 2**20
_TASK_SHARDS = 2**12


@dataclass(frozen=True, slots=True, kw_only=True)
class PackInfo:
    """What was packed.

    Attributes:
        path: the pack.
        length: its characters.
        shards: its number of shards.
        shard_size: characters a shard.
        documents: how many documents were taken.
        source_bytes: bytes of these.
        pack_bytes: bytes of the pack.
        exact: whether ``unpack`` gives those bytes back.
        left_out: what was found in folders and not taken, and why.
        root_digest: names text, cut and compression.
        packs: how many packs were made.
    """

    path: str
    length: int
    shards: int
    shard_size: int
    documents: int
    source_bytes: int
    pack_bytes: int
    exact: bool
    left_out: tuple[LeftOut, ...]
    root_digest: str
    packs: int = 1


def pack(  # noqa: PLR0913  # what a pack can be, and what many of them
    sources: Paths,
    output: str | os.PathLike[str],
    *,
    header: str | None = None,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    keep_undecodable: bool = False,
    shard_size: int = DEFAULT_SHARD_SIZE,
    store: str = ENGINES[0],
    level: int = DEFAULT_LEVEL,
    index: bool = True,
    encoding: str = "utf-8",
    errors: str = "strict",
    newlines: str = "keep",
    overwrite: bool = False,
    progress: Progress | None = None,
    part_bytes: int | None = None,
    executor: Executor | None = None,
) -> PackInfo:
    r"""Pack text files, and all text files in folders, as the documents of one prompt.

    The prompt is their texts one after the other, in the order of their names. The text of each equals
    ``open(file, encoding="utf-8", newline="").read()``: nothing is translated unless asked for. A file is called by
    its name, a file in a folder by its path from the folder's parent.

    In folders, files that are no text in the encoding, symbolic links and devices are left out, which the result
    lists. A file that is named itself is refused if it is no text.

    An output that ends with a slash gets many packs, each of whole documents, and a manifest, written last, by which
    :func:`distributed_prompt.open` opens them as one prompt. A second call finds the packs of one that was
    interrupted, and makes the others. With a header, each pack but the last one ends its last line.

    Args:
        sources: one path or several: files, folders, ``-`` for standard input, or a *shard folder* (``meta.json``,
            ``0000.txt`` and so on), which is one document.
        output: the pack to make; appears whole or not at all. For many packs a folder, or ``s3://bucket/prefix/``.
        header: text to put before each document, on lines of its own, ``{name}`` standing for its name. It belongs
            to no document.
        include: patterns as the shell's; only documents that match one are taken. One without a slash is compared
            with every part of a name, one with a slash with the whole name and those of the folders it lies in.
        exclude: patterns of documents that are not taken.
        keep_undecodable: take files that are no text as well, their bytes kept as with ``surrogateescape``.
        shard_size: characters a shard, 1 to 2**24.
        store: the engine: ``sqlite`` or ``lmdb``.
        level: zstd's compression level, 1 to 22.
        index: whether to make the n-gram index, by which searches skip what cannot match; shards of less than 2**15
            characters have none.
        encoding: that of the inputs: one of Python's standard encodings.
        errors: what to do with bytes that are no text: ``strict`` refuses or leaves out the file;
            ``surrogateescape`` keeps them; ``replace`` and ``ignore`` lose them.
        newlines: ``keep``, or ``universal`` to turn ``\r\n`` and ``\r`` into ``\n``, as ``open`` does.
        overwrite: replace an existing output.
        progress: called with bytes read so far and bytes in all, where known.
        part_bytes: for many packs, how many bytes of the inputs go into one, unless one document has more; 2**30.
        executor: for many packs, what makes them: any of ``concurrent.futures``, or a Dask client. Processes read the
            inputs by the same paths.

    Raises:
        PackNotFoundError: no such source.
        UndecodableError: bytes that are no text; the message has their offset.
        OutputExistsError: the output exists.
        OutputError: the output cannot be written.
        AddressError: the output is an address elsewhere.
        ArgumentError: a number or name is outside its range, two documents would have one name, or nothing is left.

    Cost: every byte read once (of files in folders that are larger than 4 MiB, twice); a few MB a core at shards of up
    to 2**20 characters, 32 MB for the n-gram index, some 80 bytes a shard, 8 a document (in parts some
    1,000 for each that is in one), and the names of one folder and of all that is left out.
    """
    decoding = Decoding(encoding=encoding, errors=errors, newlines=newlines)
    if level not in LEVELS:
        message = f"level {level!r}: must be from {LEVELS[0]} to {LEVELS[-1]}"
        raise ArgumentError(message)
    check_engine(store)
    check_shard_size(shard_size)
    inputs = Inputs(path_list(sources), Selection(include, exclude))
    form: dict[str, Any] = {
        "shard_size": shard_size,
        "store": store,
        "level": level,
        "index": index,
        "header": header,
        "keep_undecodable": keep_undecodable,
    }
    place = os.fspath(output)
    if not place.endswith("/"):
        if executor is not None or part_bytes is not None:
            message = f"output {place}: is one pack, which is not made in parts; end it with a slash for many"
            raise ArgumentError(message)
        return _pack(inputs, decoding, output, **form, overwrite=overwrite, progress=progress)
    parts = pack_parts(
        inputs,
        place,
        partial(_pack_part, decoding, form),
        form | asdict(decoding),
        part_bytes=part_bytes,
        executor=executor,
        overwrite=overwrite,
        progress=progress,
    )
    packs = parts.manifest.packs
    return PackInfo(
        path=parts.address,
        length=sum(each.length for each in packs),
        shards=sum(shard_count(each.length, each.shard_size) for each in packs),
        shard_size=shard_size,
        documents=sum(each.documents for each in packs),
        source_bytes=parts.source_bytes,
        pack_bytes=sum(each.pack_bytes for each in packs),
        exact=parts.exact,
        left_out=parts.left_out,
        root_digest=parts.manifest.digest,
        packs=len(packs),
    )


def _pack_part(decoding: Decoding, form: dict[str, Any], inputs: Inputs, output: str, goes_on: bool) -> None:  # noqa: FBT001  # sent
    _pack(inputs, decoding, output, **form, overwrite=True, make_folder=True, goes_on=goes_on)


def path_list(paths: Paths) -> list[str | os.PathLike[str]]:
    """One path or several as a list."""
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


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
    return _ingest(Inputs.of(FileSource(path)), Decoding(), output, shard_size, progress)


def ingest_string(text: str, output: str | os.PathLike[str], shard_size: int = DEFAULT_SHARD_SIZE) -> PackInfo:
    """Pack a string; the output is as in :func:`ingest_file`.

    Cost: as :func:`pack`.
    """
    return _ingest(Inputs.of(TextSource(text)), Decoding(errors="surrogatepass"), output, shard_size)


def _ingest(
    inputs: Inputs,
    decoding: Decoding,
    output: str | os.PathLike[str],
    shard_size: int,
    progress: Progress | None = None,
) -> PackInfo:
    return _pack(
        inputs,
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
        AddressError: it is an address elsewhere.
    """
    place = Path(local_name(output, "file"))
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
    inputs: Inputs,
    decoding: Decoding,
    output: str | os.PathLike[str],
    *,
    shard_size: int,
    overwrite: bool,
    make_folder: bool = False,
    store: str = ENGINES[0],
    level: int = DEFAULT_LEVEL,
    index: bool = True,
    header: str | None = None,
    keep_undecodable: bool = False,
    goes_on: bool = False,
    progress: Progress | None = None,
) -> PackInfo:
    check_shard_size(shard_size)
    if not isinstance(header, str | None):
        message = f"header must be a str, not {type(header).__name__}"  # type: ignore[unreachable]  # for all callers
        raise TypeError(message)
    if header is not None and not _is_encodable(header):
        message = f"header {header!r}: has lone surrogates, which no file of text can hold"
        raise ArgumentError(message)
    file = OutputFile(output, overwrite=overwrite, make_folder=make_folder)
    if inputs.reads(file.path):
        message = f"{os.fspath(output)}: is the input; name another output"
        raise ArgumentError(message)
    with file:
        with writing(create_store(store, str(file.partial), os.fspath(output))) as created:
            writer = PackWriter(created, shard_size, level, header, index=index)
            joiner = Joiner(
                decoding,
                shard_size,
                writer.documents.add,
                header=header,
                keep_undecodable=keep_undecodable,
                goes_on=goes_on,
            )
            write_inputs(inputs, joiner, writer, file, level, progress)
            metadata = writer.finish()
        return publish(file, metadata, joiner)


def write_inputs(
    inputs: Inputs,
    joiner: Joiner,
    writer: PackWriter,
    file: OutputFile,
    level: int,
    progress: Progress | None,
    before: bytes = b"",
) -> None:
    """Write all inputs behind what a pack has, the last bytes of which are ``before``.

    Raises:
        NoDocumentError: there are none.
    """
    shards = joiner.shards(inputs.sources(file.identities(), joiner.left_out.append))
    tasks = _tasks(shards, writer.shards, writer.shard_size)
    if writer.ngrams:
        tasks = _with_before(tasks, before)
    for run in map_ahead(partial(_encode, level), tasks):
        for encoded in run:
            writer.add(encoded)
            file.wrote(len(encoded.blob))
        if progress:
            progress(joiner.read_bytes, inputs.size_bytes)
    if not joiner.documents:
        left = (
            f"; {len(joiner.left_out)} were left out, the first for this: {joiner.left_out[0]}"
            if joiner.left_out
            else ""
        )
        message = f"no document found in the input{left}"
        raise NoDocumentError(message)


def publish(file: OutputFile, metadata: Metadata, joiner: Joiner) -> PackInfo:
    """Give a finished pack its name, and say what it is."""
    pack_bytes = file.partial.stat().st_size
    file.publish()
    return PackInfo(
        path=str(file.path),
        length=metadata.length,
        shards=metadata.shards,
        shard_size=metadata.shard_size,
        documents=joiner.documents,
        source_bytes=joiner.source_bytes,
        pack_bytes=pack_bytes,
        exact=joiner.exact,
        left_out=tuple(sorted(joiner.left_out)),
        root_digest=metadata.root_digest,
    )


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def writing(store: StoreWriter) -> Iterator[StoreWriter]:
    """Abort the store unless the body ends well."""
    try:
        yield store
    except BaseException:
        store.abort()
        raise


class _EncodeTask(NamedTuple):
    """A run of shards, the number of the first, and what lies before it if an index is made."""

    first: int
    shards: list[Shard]
    before: bytes | None = None


def _tasks(shards: Iterator[Shard], first: int, shard_size: int) -> Iterator[_EncodeTask]:
    """Shards in runs that are worth a task each."""
    run_shards = max(1, min(_TASK_SHARDS, _TASK_CHARACTERS // shard_size))
    while run := list(islice(shards, run_shards)):
        yield _EncodeTask(first, run)
        first += len(run)


def _with_before(tasks: Iterator[_EncodeTask], before: bytes) -> Iterator[_EncodeTask]:
    for task in tasks:
        yield task._replace(before=before)
        before = last_bytes(before, *(shard.data for shard in task.shards))


def _encode(level: int, task: _EncodeTask) -> list[EncodedShard]:
    encoded = []
    before = task.before
    for number, shard in enumerate(task.shards, task.first):
        encoded.append(encode_shard(number, shard.characters, shard.data, level, before))
        before = None if before is None else last_bytes(before, shard.data)
    return encoded
