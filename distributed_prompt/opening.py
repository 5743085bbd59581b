"""What an address opens: the shards of one pack, or a collection of many."""

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from distributed_prompt.backends.addresses import is_remote, open_backend, opened
from distributed_prompt.backends.base import Backend
from distributed_prompt.backends.manifests import manifest_at, matching, read_manifest
from distributed_prompt.characters import Characters
from distributed_prompt.collection import Collection, PackRef, of_manifest, places
from distributed_prompt.errors import ArgumentError
from distributed_prompt.manifest import EDGE, Manifest, PackEntry
from distributed_prompt.shard_cache import ShardCache
from distributed_prompt.shards import Shards, check_digests

Address = str | os.PathLike[str]
Addresses = Address | Iterable[Address | Backend]

_THREADS = 16
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class Member(NamedTuple):
    """A pack of a collection, and its entry if a manifest has one."""

    source: PackRef
    entry: PackEntry | None = None


def open_characters(address: Addresses, cache_bytes: int) -> Characters:
    """The text at an address, or at several, one after the other.

    Args:
        address: of a pack, of a manifest or of the folder it is in, or a pattern of several; or a list of such and of
            open backends.
        cache_bytes: memory that decoded shards may take.

    Raises:
        DPromptError: as :func:`distributed_prompt.open`.
    """
    if not isinstance(address, str | os.PathLike):
        return _collected(address, cache_bytes)
    place = os.fspath(address)
    if len(found := matching(place)) > 1 or found != [place]:
        return _collected(found, cache_bytes)
    manifest = manifest_at(place)
    if manifest is None:
        return Shards(open_backend(place), ShardCache(cache_bytes))
    return of_manifest(manifest, cache_bytes)


def members(address: object) -> list[Member] | None:
    """The packs of the manifest that an address names; None if it is no address of a manifest.

    Raises:
        DPromptError: the manifest cannot be read.
    """
    manifest = manifest_at(os.fspath(address)) if isinstance(address, str | os.PathLike) else None
    return None if manifest is None else _of_manifest(manifest)


@contextmanager
def opened_member(member: Member) -> Iterator[Backend]:
    """The pack of a member, opened for a while.

    Raises:
        PackChangedError: it is not the one that the manifest names.
        DPromptError: as :func:`distributed_prompt.open`.
    """
    with opened(member.source) as backend:
        if member.entry:
            check_digests(backend, member.entry.digests)
        yield backend


def _of_manifest(address: str) -> list[Member]:
    manifest = read_manifest(address)
    return [Member(place, entry) for place, entry in zip(places(manifest, address), manifest.packs, strict=True)]


def _collected(addresses: Iterable[Address | Backend], cache_bytes: int) -> Collection:
    if not isinstance(addresses, Iterable):
        message = (  # type: ignore[unreachable]  # for untyped callers
            f"an address is a path, a URL, or a list of such, not {type(addresses).__name__}"
        )
        raise TypeError(message)
    found: list[Member] = []
    for address in addresses:
        if isinstance(address, Backend):
            found.append(Member(address))
            continue
        for place in matching(os.fspath(address)):
            manifest = manifest_at(place)
            found += [Member(absolute(place))] if manifest is None else _of_manifest(manifest)
    if not found:
        message = "no pack: name at least one"
        raise ArgumentError(message)
    packs = entries_of([pack.source for pack in found if pack.entry is None])
    entries = iter(packs.packs)
    manifest_of_all = Manifest(tuple(pack.entry or next(entries) for pack in found))
    return Collection(manifest_of_all, [pack.source for pack in found], cache_bytes)


def absolute(place: str) -> str:
    """An address that means the same in any folder."""
    return place if is_remote(place) else str(Path(os.path.abspath(place)))  # noqa: PTH100  # as FileBackend has it


def entries_of(sources: Iterable[PackRef], *, edges: bool = False) -> Manifest:
    """A manifest of packs, each of which is opened, several at a time.

    Args:
        sources: addresses, or what has opened them.
        edges: whether to decode the first and the last shard of each: a search then rules most seams out by itself.

    Raises:
        DPromptError: one cannot be opened.
    """

    def entry(source: PackRef) -> PackEntry:
        if isinstance(source, Backend):
            return entry_of(source, edges=edges)
        with open_backend(source) as backend:
            return entry_of(backend, edges=edges)

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="dprompt-open") as pool:
        return Manifest(tuple(pool.map(entry, sources)))


def entry_of(backend: Backend, *, edges: bool) -> PackEntry:
    """What a manifest says of an open pack; the edges are decoded."""
    pack, metadata = backend.pack, backend.pack.metadata
    head = tail = None
    if edges:
        shards = Shards(backend, ShardCache())
        head = "".join(_text(shards, 0, min(EDGE, metadata.length)))
        tail = "".join(_text(shards, max(0, metadata.length - EDGE), metadata.length))
        if _PAIR.search(head) or _PAIR.search(tail):
            # JSON would make one character of two.
            head = tail = None
    return PackEntry(
        address=backend.address,
        length=metadata.length,
        shard_size=metadata.shard_size,
        utf8_bytes=metadata.utf8_bytes,
        newlines=metadata.newlines,
        width=metadata.width,
        documents=metadata.documents,
        pack_bytes=pack.store.size_bytes(),
        root_digest=metadata.root_digest,
        documents_digest=metadata.documents_digest,
        head=head,
        tail=tail,
    )


def _text(shards: Shards, start: int, stop: int) -> Iterator[str]:
    while start < stop:
        begin, text = shards.near(start)
        yield text[start - begin : stop - begin]
        start = begin + len(text)
