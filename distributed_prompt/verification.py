"""Everything a pack promises, checked: what is wrong, and where."""

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from distributed_prompt.backends.addresses import opened
from distributed_prompt.backends.base import Backend
from distributed_prompt.errors import CorruptPackError, NotAPackError, PackChangedError, PackNotFoundError
from distributed_prompt.geometry import SEGMENT_SHARDS, shard_count
from distributed_prompt.opening import entry_of, members, opened_member
from distributed_prompt.originals import DocumentPart, DocumentSplitter, Original
from distributed_prompt.store.base import Table
from distributed_prompt.store.directory import Column, Directory, RootEntry, ShardRecord, root_digest, segment_digest
from distributed_prompt.store.documents import (
    BATCH_DOCUMENTS,
    HASH_BITS,
    NUMBER_MASK,
    Bounds,
    RowKind,
    batch_count,
    create_name_rows,
    create_names,
    name_entry,
    name_rows,
)
from distributed_prompt.store.maps import map_problems
from distributed_prompt.store.metadata import DOCUMENTS_FEATURE, INDEX_FEATURE
from distributed_prompt.store.ngrams import OpenSegment
from distributed_prompt.store.pack import Pack
from distributed_prompt.store.pack_copy import bytes_before
from distributed_prompt.store.pack_writer import describe_shard
from distributed_prompt.text import grams
from distributed_prompt.text.pieces import Piece, decode
from distributed_prompt.workers import Progress, map_ahead

_RUN_CHARACTERS = 2**21


class _CheckedShard(NamedTuple):
    """What one shard's row turned out to hold; ``record`` is None where it cannot be decoded."""

    shard: int
    problems: list[str]
    record: ShardRecord | None
    data: bytes
    entries: Any = None


def verify(pack: Backend | str | os.PathLike[str], progress: Progress | None = None) -> Iterator[str]:
    """Read all of a pack and compare it with all that it says about itself, while what this gives is iterated over.

    Args:
        pack: a backend, or the address of a pack, or of a manifest, whose packs are all read.
        progress: called with shards done so far and in all.

    Raises:
        PackReadError: the system could not read the pack, which says nothing about it.
        DPromptError: as :func:`distributed_prompt.open` of the address, a pack that is too damaged to be opened among
            them; of the packs of a manifest each such one is a line.

    Yields:
        A line for each thing that is wrong, with its place. Nothing for a sound pack.

    Cost: every shard decoded once; a few MB a core, and 32 MB for an n-gram index.
    """
    packs = members(pack)
    if packs is None:
        with opened(pack) as backend:
            yield from _named_problems(backend, progress)
        return
    shards = [shard_count(each.entry.length, each.entry.shard_size) if each.entry else 0 for each in packs]
    for number, member in enumerate(packs):
        try:
            with opened_member(member) as backend:
                yield from _named_problems(backend, _shifted(progress, sum(shards[:number]), sum(shards)))
                if member.entry and member.entry != replace(
                    entry_of(backend, edges=member.entry.head is not None),
                    address=member.entry.address,
                    first_document=member.entry.first_document,
                    last_document=member.entry.last_document,
                ):
                    yield f"{backend.pack.name}: is not what the manifest says of it"
        except (CorruptPackError, NotAPackError, PackChangedError, PackNotFoundError) as error:
            yield str(error)


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    return progress and (lambda shards, _: progress(done + shards, total))


def _named_problems(backend: Backend, progress: Progress | None) -> Iterator[str]:
    name = backend.pack.name
    for problem in _problems(backend.pack, progress):
        yield problem if problem.startswith(name) else f"{name}: {problem}"


def _problems(pack: Pack, progress: Progress | None) -> Iterator[str]:
    yield from _guarded(pack.store.problems())
    yield from _guarded(_unexpected_rows(pack))
    documents = _DocumentCheck(pack)
    yield from _guarded(documents.begin())
    totals = _TotalsCheck(pack)
    ngrams = _IndexCheck(pack)
    shards = range(pack.metadata.shards)
    step = max(1, _RUN_CHARACTERS // pack.metadata.shard_size)
    runs = (shards[at : at + step] for at in range(0, len(shards), step))
    for run in map_ahead(partial(_check_run, pack), runs):
        for found in run:
            yield from found.problems
            totals.add(found)
            yield from ngrams.add(found)
            yield from _guarded(documents.add(found))
            if progress:
                progress(found.shard + 1, len(shards))
    yield from ngrams.finish()
    yield from _guarded(totals.problems())
    yield from _guarded(documents.finish())


def _guarded(problems: Iterable[str]) -> Iterator[str]:
    """The problems; damage that a check cannot get past is one itself."""
    try:
        yield from problems
    except CorruptPackError as error:
        yield str(error)


def _unexpected_rows(pack: Pack) -> Iterator[str]:
    metadata = pack.metadata
    segments = shard_count(metadata.shards, SEGMENT_SHARDS)
    if pack.store.has_pages:
        for segment in range(segments):
            yield from _guarded(_places_problems(pack, segment))
    rows: dict[int, int] = {int(column): segments for column in Column} | {int(Column.ROOT): 1}
    kinds = {int(RowKind.BATCHES): batch_count(metadata.documents)}
    if INDEX_FEATURE in metadata.features:
        kinds |= {int(RowKind.NAMES): name_rows(metadata.documents), int(RowKind.BOUNDS): 1}
    yield from map_problems(pack.store, pack.ngrams.covers)
    ngrams = list(pack.ngrams.keys())
    for table, is_expected in (
        (Table.SHARDS, lambda key: 0 <= key < metadata.shards),
        (Table.DIRECTORY, lambda key: key & NUMBER_MASK < rows.get(key >> 32, 0)),
        (Table.DOCUMENTS, lambda key: 0 <= key & NUMBER_MASK < kinds.get(key >> 32, 0)),
        (Table.NGRAMS, lambda key: any(key in keys for keys in ngrams)),
    ):
        yield from (f"{table}: row {key} belongs to nothing" for key in pack.store.keys(table) if not is_expected(key))


def _places_problems(pack: Pack, segment: int) -> Iterator[str]:
    """Nothing, once the places could be read: they are hints, and only the file itself could contradict them."""
    pack.directory.places(segment)
    yield from ()


def _check_run(pack: Pack, shards: range) -> list[_CheckedShard]:
    found = [_check_shard(pack, shard) for shard in shards]
    if not pack.ngrams.exists:
        return found
    before: bytes | None
    try:
        before = bytes_before(pack, shards.start)
    except CorruptPackError:
        # Said where that shard is checked.
        before = None
    for number, one in enumerate(found):
        if one.record is None:
            before = None
        elif before is None:
            before = one.data if len(one.data) >= grams.BEFORE_BYTES else None
        else:
            found[number] = one._replace(entries=grams.entries(one.data, before))
            before = grams.last_bytes(before, one.data)
    return found


def _check_shard(pack: Pack, shard: int) -> _CheckedShard:
    try:
        blob = pack.blob(shard) or b""
        data = pack.decompress(shard, blob or None)
        text = decode(data)
    except CorruptPackError as error:
        return _CheckedShard(shard, [str(error)], None, b"")
    except UnicodeDecodeError as error:
        return _CheckedShard(shard, [f"shard {shard}: {error}"], None, b"")
    if len(text) != pack.characters(shard):
        wrong = f"shard {shard}: {len(text)} characters, expected {pack.characters(shard)}"
        return _CheckedShard(shard, [wrong], None, b"")
    # Counted on the string, since the writer counts on its UTF-8.
    record = describe_shard(shard, len(text), data, blob)
    record = record._replace(newlines=text.count("\n"), width=_width(text))
    return _CheckedShard(shard, list(_guarded(_differences(pack.directory, shard, record))), record, data)


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


class _TotalsCheck:
    """What the shards add up to, and whether the metadata and the root say so."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._records: list[ShardRecord] = []
        self._complete = True
        self._roots: list[RootEntry] = []
        self._largest_width = 0
        self._ends_line = True

    def add(self, found: _CheckedShard) -> None:
        """Take the next shard."""
        if found.record is None:
            self._complete = False
            return
        self._records.append(found.record)
        self._largest_width = max(self._largest_width, found.record.width)
        self._ends_line = found.data.endswith(b"\n")
        if found.shard % SEGMENT_SHARDS == SEGMENT_SHARDS - 1:
            self._close_segment()

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


class _IndexCheck:
    """The n-gram index, compared with one made anew."""

    def __init__(self, pack: Pack) -> None:
        self._ngrams = pack.ngrams
        self._number = 0
        self._segment = OpenSegment()
        self._is_complete = True

    def add(self, found: _CheckedShard) -> Iterator[str]:
        """What is wrong with the segment that the next shard ends."""
        if not self._ngrams.exists:
            return
        if found.entries is None:
            self._is_complete = False
        else:
            self._segment.add(found.entries)
        if found.shard % SEGMENT_SHARDS == SEGMENT_SHARDS - 1:
            yield from self.finish()

    def finish(self) -> Iterator[str]:
        """What is wrong with the open segment."""
        yield from self._ngrams.differences(self._number, self._segment if self._is_complete else None)
        self._number += 1
        self._segment = OpenSegment()
        self._is_complete = True


class _DocumentCheck:
    """The documents, their index, and the bytes they came from."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._splitter: DocumentSplitter | None = None
        self._original: Original | None = None
        self._begun = False

    def begin(self) -> Iterator[str]:
        """What is wrong before any text is read."""
        metadata, table = self._pack.metadata, self._pack.documents
        for feature, used in (
            (DOCUMENTS_FEATURE, metadata.documents > 0),
            (INDEX_FEATURE, metadata.documents > BATCH_DOCUMENTS),
        ):
            if (feature in metadata.features) != used:
                yield f"metadata: features {metadata.features}, but documents {metadata.documents}"
                return
        sha256, bounds, entries = hashlib.sha256(), Bounds([], []), array("Q")
        for number, batch in enumerate(table.batches()):
            sha256.update(table.row(number) or b"")
            bounds.starts.append(batch.starts[0])
            bounds.stops.append(batch.stops[-1])
            first = len(entries)
            entries.extend(name_entry(name, first + index) for index, name in enumerate(batch.names))
        if sha256.hexdigest() != metadata.documents_digest:
            yield f"documents: digest {sha256.hexdigest()}, expected {metadata.documents_digest}"
        if bounds != table.bounds:
            yield "documents: bounds are not what the documents make them"
        yield from self._name_problems(entries)
        self._splitter = DocumentSplitter(table)

    def _name_problems(self, entries: "array[int]") -> Iterator[str]:
        table = self._pack.documents
        if len(table) <= BATCH_DOCUMENTS:
            entries = array("Q", sorted(entries))
        else:
            rows = dict(create_name_rows(entries, name_rows(len(entries))))
            for number in range(name_rows(len(table))):
                if create_names(table.names(number)) != rows.get(number, b""):
                    yield f"documents: names, row {number}: not what the documents make it"
        for first, second in pairwise(entries):
            if first >> HASH_BITS == second >> HASH_BITS:
                name, other = (table.document(entry & NUMBER_MASK).name for entry in (first, second))
                if name == other:
                    yield f"documents: two are called {name!r}"

    def add(self, found: _CheckedShard) -> Iterator[str]:
        """What is wrong with the documents that end in the next shard."""
        if self._splitter is None:
            return
        if found.record is None:
            # Its own problem is known; what it was a part of cannot be told.
            self._splitter = None
            return
        shard_size, pack = self._pack.metadata.shard_size, self._pack
        piece = Piece(found.shard * shard_size, pack.characters(found.shard), found.data)
        yield from self._check(self._splitter.split(piece))

    def _check(self, parts: Iterable[DocumentPart]) -> Iterator[str]:
        try:
            for part in parts:
                yield from self._check_part(part)
        except CorruptPackError:
            self._splitter = None
            raise

    def _check_part(self, part: DocumentPart) -> Iterator[str]:
        if not self._begun:
            self._original = Original(part.document) if part.document.exact else None
        self._begun = not part.ends
        if not self._original:
            return
        try:
            self._original.encode(part.data)
            if part.ends:
                self._original.finish()
                yield from self._original.problems()
        except CorruptPackError as error:
            self._original = None
            yield str(error)

    def finish(self) -> Iterator[str]:
        """What is wrong with documents behind the last character, once every shard was added."""
        if self._splitter is not None:
            yield from self._check(self._splitter.finish())


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
