"""Everything a pack promises, checked: what is wrong, and where."""

import os
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple, TypeVar

from distributed_prompt.backends.base import Backend
from distributed_prompt.backends.file_backend import opened
from distributed_prompt.errors import CorruptPackError
from distributed_prompt.geometry import SEGMENT_SHARDS, shard_count
from distributed_prompt.store.base import Table
from distributed_prompt.store.directory import Column, Directory, RootEntry, ShardRecord, root_digest, segment_digest
from distributed_prompt.store.documents import BLOCK_DOCUMENTS, Document, read_documents_digest
from distributed_prompt.store.metadata import DOCUMENTS_FEATURE
from distributed_prompt.store.pack import Pack
from distributed_prompt.store.pack_writer import describe_shard
from distributed_prompt.text.pieces import decode
from distributed_prompt.unpacking import Original
from distributed_prompt.workers import Progress, map_ahead

Value = TypeVar("Value")
_RUN_CHARACTERS = 2**21
_SEGMENT_MASK = 2**32 - 1


class _Found(NamedTuple):
    """What one shard's row turned out to hold; ``record`` is None where it cannot be decoded."""

    shard: int
    problems: list[str]
    record: ShardRecord | None
    data: bytes


def verify(pack: Backend | str | os.PathLike[str], progress: Progress | None = None) -> Iterator[str]:
    """Read all of a pack and compare it with all that it says about itself.

    Args:
        pack: a backend, or the path of a pack.
        progress: called with shards done so far and in all.

    Raises:
        PackReadError: the system could not read the pack, which says nothing about it.

    Yields:
        A line for each thing that is wrong, with its place. Nothing for a sound pack.

    Cost: every shard decoded once; a few MB a core.
    """
    with opened(pack) as backend:
        name = backend.pack.name
        for problem in _problems(backend.pack, progress):
            yield problem if problem.startswith(name) else f"{name}: {problem}"


def _problems(pack: Pack, progress: Progress | None) -> Iterator[str]:
    yield from _guarded(pack.store.problems())
    yield from _guarded(_unexpected_rows(pack))
    documents: list[Document] = []
    yield from _guarded(_collect(pack.documents(), documents))
    yield from _guarded(_documents_digest(pack))
    totals = _Totals(pack, documents)
    yield from _guarded(totals.begin())
    shards = range(pack.metadata.shards)
    step = max(1, _RUN_CHARACTERS // pack.metadata.shard_size)
    runs = (shards[at : at + step] for at in range(0, len(shards), step))
    for run in map_ahead(partial(_check_run, pack), runs):
        for found in run:
            yield from found.problems
            totals.add(found)
            if progress:
                progress(found.shard + 1, len(shards))
    yield from _guarded(totals.problems())


def _guarded(problems: Iterable[str]) -> Iterator[str]:
    """The problems; damage that a check cannot get past is one itself."""
    try:
        yield from problems
    except CorruptPackError as error:
        yield str(error)


def _collect(values: Iterable[Value], into: list[Value]) -> Iterator[str]:
    into.extend(values)
    yield from ()


def _unexpected_rows(pack: Pack) -> Iterator[str]:
    metadata = pack.metadata
    segments = shard_count(metadata.shards, SEGMENT_SHARDS)
    if pack.store.has_pages:
        for segment in range(segments):
            yield from _guarded(_places_problems(pack, segment))
    rows: dict[int, int] = {int(column): segments for column in Column} | {int(Column.ROOT): 1}
    for table, is_expected in (
        (Table.SHARDS, lambda key: 0 <= key < metadata.shards),
        (Table.DIRECTORY, lambda key: key & _SEGMENT_MASK < rows.get(key >> 32, 0)),
        (Table.DOCUMENTS, lambda key: 0 <= key < shard_count(metadata.documents, BLOCK_DOCUMENTS)),
        (Table.NGRAMS, lambda _: False),
    ):
        yield from (f"{table}: row {key} belongs to nothing" for key in pack.store.keys(table) if not is_expected(key))


def _documents_digest(pack: Pack) -> Iterator[str]:
    found, expected = read_documents_digest(pack.store, pack.metadata.documents), pack.metadata.documents_digest
    if found != expected:
        yield f"documents: digest {found}, expected {expected}"


def _places_problems(pack: Pack, segment: int) -> Iterator[str]:
    """Nothing, once the places could be read: they are hints, and only the file itself could contradict them."""
    pack.directory.places(segment)
    yield from ()


def _check_run(pack: Pack, shards: range) -> list[_Found]:
    return [_check_shard(pack, shard) for shard in shards]


def _check_shard(pack: Pack, shard: int) -> _Found:
    try:
        blob = pack.blob(shard) or b""
        data = pack.decompress(shard, blob or None)
        text = decode(data)
    except CorruptPackError as error:
        return _Found(shard, [str(error)], None, b"")
    except UnicodeDecodeError as error:
        return _Found(shard, [f"shard {shard}: {error}"], None, b"")
    if len(text) != pack.characters(shard):
        wrong = f"shard {shard}: {len(text)} characters, expected {pack.characters(shard)}"
        return _Found(shard, [wrong], None, b"")
    # Counted on the string, since the writer counts on its UTF-8.
    record = describe_shard(shard, len(text), data, blob)
    record = record._replace(newlines=text.count("\n"), width=_width(text))
    return _Found(shard, list(_guarded(_differences(pack.directory, shard, record))), record, data)


def _width(text: str) -> int:
    """Bytes that each character of a string takes: 0 for ASCII, 1, 2 or 4."""
    if text.isascii():
        return 0
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return 2 if len(text.encode("utf-16-le", "surrogatepass")) == 2 * len(text) else 4
    return 1


def _differences(directory: Directory, shard: int, found: ShardRecord) -> Iterator[str]:
    expected = directory.record(shard)
    for name, value, wanted in zip(ShardRecord._fields, found, expected, strict=True):
        if value != wanted:
            yield f"shard {shard}: {name} {_shown(value)}, expected {_shown(wanted)}"


class _Totals:
    """What the shards add up to, and whether the metadata, the root and the documents say so."""

    def __init__(self, pack: Pack, documents: list[Document]) -> None:
        self._pack = pack
        self._documents = documents
        self._records: list[ShardRecord] = []
        self._complete = True
        self._roots: list[RootEntry] = []
        self._largest_width = 0
        self._ends_line = True
        self._originals: list[Original] = []
        self._failures: list[str] = []

    def begin(self) -> Iterator[str]:
        """What is wrong with the documents before any text is read."""
        metadata = self._pack.metadata
        if (DOCUMENTS_FEATURE in metadata.features) != (metadata.documents > 0):
            yield f"metadata: features {metadata.features}, but documents {metadata.documents}"
        for document in self._documents:
            if not 0 <= document.start <= document.stop <= metadata.length:
                yield f"document {document.name}: start {document.start}, stop {document.stop} are not in the text"
        if len(self._documents) > 1:
            yield f"{len(self._documents)} documents: this version cannot check more than one"
        if len(self._documents) == 1:
            (document,) = self._documents
            if document.start != 0 or document.stop < metadata.length:
                yield f"document {document.name}: start {document.start}, stop {document.stop} are not all of the text"
            if document.exact:
                self._originals.append(Original(document))

    def add(self, found: _Found) -> None:
        """Take the next shard."""
        if found.record is None:
            self._complete = False
            return
        self._records.append(found.record)
        self._largest_width = max(self._largest_width, found.record.width)
        self._ends_line = found.data.endswith(b"\n")
        self._originals = [original for original in self._originals if self._encodes(original, found.data)]
        if found.shard % SEGMENT_SHARDS == SEGMENT_SHARDS - 1:
            self._close_segment()

    def _encodes(self, original: Original, data: bytes) -> bool:
        try:
            original.encode(data)
        except CorruptPackError as error:
            self._failures.append(str(error))
            return False
        return True

    def _close_segment(self) -> None:
        records, self._records = self._records, []
        digest = segment_digest(record.digest for record in records)
        self._roots.append(RootEntry(sum(r.utf8_bytes for r in records), sum(r.newlines for r in records), digest))

    def problems(self) -> Iterator[str]:
        """What is wrong with the whole, once every shard was added."""
        if not self._complete:
            # The shards' own problems say it all.
            return
        if self._records:
            self._close_segment()
        metadata, roots = self._pack.metadata, self._roots
        newlines = sum(entry.newlines for entry in roots)
        for name, found in (
            ("root_digest", root_digest(metadata.length, metadata.shard_size, (entry.digest for entry in roots))),
            ("utf8_bytes", sum(entry.utf8_bytes for entry in roots)),
            ("newlines", newlines),
            ("lines", newlines + (not self._ends_line)),
            ("width", self._largest_width),
        ):
            if found != getattr(metadata, name):
                yield f"metadata: {name} {getattr(metadata, name)}, but the shards make it {found}"
        for segment, (found_entry, entry) in enumerate(zip(roots, self._pack.directory.root(), strict=True)):
            if found_entry != entry:
                yield f"directory: root: segment {segment} is not what its shards make it"
        yield from self._failures
        for original in self._originals:
            original.finish()
            yield from original.problems()


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
