"""Packing into many packs: documents are dealt out in their order, the packs are made apart, the manifest comes last.

Each pack is called after what it is made of, so a second run finds those of the first that are done, and goes on.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from distributed_prompt.backends.addresses import is_remote, open_backend
from distributed_prompt.backends.manifests import is_there, write_manifest
from distributed_prompt.errors import ArgumentError, NoDocumentError, OutputExistsError, PackNotFoundError
from distributed_prompt.fork_gate import importing
from distributed_prompt.inputs import Inputs, LeftOut
from distributed_prompt.manifest import MANIFEST_NAME, Manifest, PackEntry
from distributed_prompt.opening import entry_of
from distributed_prompt.sources import FileSource, Source, TreeSource
from distributed_prompt.workers import Progress, map_ahead

DEFAULT_PART_BYTES = 2**30
_FORMAT = 1
_NAME_DIGITS = 12
_PART_NAME = re.compile(r"part-\d{5}-[0-9a-f]{12}\.dprompt")

Files = FileSource | TreeSource
Packer = Callable[[Inputs, str, bool], object]
"""Packs some inputs into a file; is told whether text follows in another pack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What became of all parts.

    Attributes:
        address: of the manifest.
        manifest: what it says.
        source_bytes: bytes of all documents.
        exact: whether all of them come back.
        left_out: what was not taken, and why.
    """

    address: str
    manifest: Manifest
    source_bytes: int
    exact: bool
    left_out: tuple[LeftOut, ...]


class _PartTask(NamedTuple):
    """A part to be.

    Attributes:
        sources: its documents, those that turn out to be no text included.
        address: where its pack goes.
        is_last: whether no part follows.
    """

    sources: list[Files]
    address: str
    is_last: bool


class _Made(NamedTuple):
    """A part that is there.

    Attributes:
        entry: for the manifest; None if none of the sources was text.
        source_bytes: bytes of its documents.
        exact: whether they come back.
        left_out: names of those that were no text.
        read_bytes: bytes of all sources, for who watches.
    """

    entry: PackEntry | None
    source_bytes: int
    exact: bool
    left_out: list[str]
    read_bytes: int


def pack_parts(
    inputs: Inputs,
    folder: str,
    packer: Packer,
    options: dict[str, Any],
    *,
    part_bytes: int | None,
    executor: Executor | None,
    overwrite: bool,
    progress: Progress | None,
) -> Parts:
    """Pack inputs into packs of about so many bytes of text each, and write their manifest.

    Args:
        inputs: files that all who pack can read; no standard input.
        folder: a folder, or ``s3://bucket/prefix/``.
        packer: packs a part; pickles, if the executor needs that.
        options: what the packs are besides their text, for their names.
        part_bytes: bytes of the inputs that a part has at most, unless it is one document.
        executor: what packs parts; without one they are packed one after the other.
        overwrite: whether a manifest that is there may be replaced.
        progress: called with bytes packed so far, and with those in all if they are known.

    Raises:
        OutputExistsError: there is a manifest.
        NoDocumentError: none of the inputs is text.
        DPromptError: as of packing, and pushing.
    """
    part_bytes = DEFAULT_PART_BYTES if part_bytes is None else part_bytes
    if part_bytes < 1:
        message = f"part_bytes {part_bytes}: must be at least 1"
        raise ArgumentError(message)
    place = folder if is_remote(folder) else os.path.abspath(folder)  # noqa: PTH100  # as all paths here
    address = f"{place.rstrip('/')}/{MANIFEST_NAME}"
    if not overwrite and is_there(address):
        message = f"{address}: exists; choose another folder, or overwrite it with --force (overwrite=True)"
        raise OutputExistsError(message)
    left_out: list[LeftOut] = []
    sources = (each for each in inputs.sources((), left_out.append) if not _is_made(each, place))
    tasks = _tasks(sources, address.removesuffix(MANIFEST_NAME), part_bytes, options)
    making = _Making(packer, str(options.get("encoding", "")))
    made: list[_Made] = []
    done = 0
    for part in map_ahead(making, tasks, executor) if executor else map(making, tasks):
        made.append(part)
        left_out += [LeftOut(name, f"not {making.encoding}") for name in part.left_out]
        done += part.read_bytes
        if progress:
            progress(done, inputs.size_bytes)
    manifest = Manifest(tuple(part.entry for part in made if part.entry))
    if not manifest.packs:
        message = f"no document found in the input{f'; {len(left_out)} were left out' if left_out else ''}"
        raise NoDocumentError(message)
    write_manifest(manifest, address, overwrite=overwrite)
    return Parts(
        address=address,
        manifest=manifest,
        source_bytes=sum(part.source_bytes for part in made),
        exact=all(part.exact for part in made),
        left_out=tuple(sorted(left_out)),
    )


def _is_made(source: Source, folder: str) -> bool:
    """Whether a file was found in a folder that is one of ours: what is being made is not read."""
    place, _, name = source.shown.rpartition("/")
    is_such = isinstance(source, TreeSource) and (name == MANIFEST_NAME or _PART_NAME.search(name))
    return bool(is_such) and os.path.realpath(place) == os.path.realpath(folder)


def _tasks(sources: Iterator[Source], folder: str, part_bytes: int, options: dict[str, Any]) -> Iterator[_PartTask]:
    """The parts; one is held until it is known whether another follows."""
    held: list[Files] = []
    number = 0
    for batch in _batches(sources, part_bytes):
        if held:
            yield _task(held, number, folder, options, is_last=False)
            number += 1
        held = batch
    if held:
        yield _task(held, number, folder, options, is_last=True)


def _batches(sources: Iterator[Source], part_bytes: int) -> Iterator[list[Files]]:
    batch: list[Files] = []
    held_bytes = 0
    for source in sources:
        if source.size_bytes is None or not isinstance(source, FileSource | TreeSource):
            message = f"{source.shown}: can be read but once, so it cannot be packed in parts; name a file"
            raise ArgumentError(message)
        if batch and held_bytes + source.size_bytes > part_bytes:
            yield batch
            batch, held_bytes = [], 0
        batch.append(source)
        held_bytes += source.size_bytes
    if batch:
        yield batch


def _task(sources: list[Files], number: int, folder: str, options: dict[str, Any], *, is_last: bool) -> _PartTask:
    state = hashlib.sha256(json.dumps([_FORMAT, sorted(options.items()), is_last], default=str).encode())
    for source in sources:
        state.update(json.dumps([source.name, source.versions()]).encode())
    return _PartTask(sources, f"{folder}part-{number:05}-{state.hexdigest()[:_NAME_DIGITS]}.dprompt", is_last)


class _Making:
    """Makes a part that is not there yet, and says what is in it."""

    def __init__(self, packer: Packer, encoding: str) -> None:
        self.packer = packer
        self.encoding = encoding

    def __call__(self, task: _PartTask) -> _Made:
        read_bytes = sum(source.size_bytes or 0 for source in task.sources)
        try:
            return self._described(task, read_bytes)
        except PackNotFoundError:
            pass
        try:
            self._pack(task)
        except NoDocumentError:
            return _Made(None, 0, exact=True, left_out=[source.name for source in task.sources], read_bytes=read_bytes)
        return self._described(task, read_bytes)

    def _pack(self, task: _PartTask) -> None:
        inputs = Inputs.of(*task.sources)
        if not is_remote(task.address):
            self.packer(inputs, task.address, not task.is_last)
            return
        with importing:
            from distributed_prompt.backends.sync import push  # noqa: PLC0415  # boto3, which few programs need

        with tempfile.TemporaryDirectory(prefix="dprompt-") as folder:
            made = Path(folder) / "part.dprompt"
            self.packer(inputs, str(made), not task.is_last)
            # Whoever else pushes to this name pushes the same bytes.
            push(made, task.address, force=True)

    def _described(self, task: _PartTask, read_bytes: int) -> _Made:
        with open_backend(task.address) as backend:
            documents = list(backend.pack.documents)
            entry = replace(
                entry_of(backend, edges=True),
                address=task.address.rpartition("/")[2],
                first_document=documents[0].name,
                last_document=documents[-1].name,
            )
        taken = {document.name for document in documents}
        return _Made(
            entry,
            sum(document.source_bytes for document in documents),
            all(document.exact for document in documents),
            [source.name for source in task.sources if source.name not in taken],
            read_bytes,
        )
