"""Push, pull and sync: a pack here and an object on S3 made equal by moving only the blocks that differ.

The object is one plain file that anybody can GET; the hashes of its blocks lie beside it (``blocks.py``). What both
sides have is copied on the server, part by part, or on this disk. Either side is replaced whole or not at all.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

from distributed_prompt.backends.blocks import BlockFile, block_size
from distributed_prompt.backends.file_backend import FileBackend, find_pack
from distributed_prompt.backends.pulling import Pulling, PullResult
from distributed_prompt.backends.pushing import Pushing, PushResult
from distributed_prompt.backends.s3_client import S3Object
from distributed_prompt.backends.sidecar import are_equal, look
from distributed_prompt.errors import ArgumentError, PackNotFoundError
from distributed_prompt.workers import Progress

__all__ = ["PREFERENCES", "PullResult", "PushResult", "pull", "push", "sync"]

PREFERENCES = ("local", "remote")

_THREADS = 8
_IN_FLIGHT_BYTES = 2**26


def push(
    path: str | os.PathLike[str],
    address: str,
    *,
    endpoint_url: str | None = None,
    region_name: str | None = None,
    client: Any = None,
    dry_run: bool = False,
    force: bool = False,
    abort_uploads: bool = False,
    progress: Progress | None = None,
) -> PushResult:
    """Make an object on S3 equal to a pack here.

    Readers of the object see the old pack or the new one. An interrupted push leaves the old one, and the next push of
    the same pack goes on where it was. Uploads to this key that somebody began more than a day ago are taken for left
    over and aborted.

    Args:
        path: the path of a pack, or of a folder with one.
        address: ``s3://bucket/key``.
        endpoint_url: the server, if not Amazon's or the one of the environment.
        region_name: the region, if not the one of boto3's configuration.
        client: a boto3 client to use instead of one made from these.
        dry_run: only say what would be sent.
        force: overwrite what another writer pushes at the same time, and what is no pack.
        abort_uploads: abort all other uploads to this key, even those of writers at work.
        progress: called with bytes done so far, and with the pack's size.

    Raises:
        PackNotFoundError: no such file, or no such bucket.
        NotAPackError: the file is no pack, or the object that would be overwritten is none.
        AddressError: the address is not one of S3.
        AccessError: the server refuses.
        RemoteError: the server cannot be reached or fails.
        PackChangedError: another writer pushed at the same time, or the file was written to; the object is left alone.

    Cost: two requests if nothing differs; else the differing blocks of 8 MiB, and a request for each of the others.
    Memory: 64 MiB in flight, or two blocks where these are larger.
    """
    place = S3Object.parse(address, endpoint_url=endpoint_url, region_name=region_name, client=client)
    with closing(place), _opened(path) as local, _threads(block_size(local.size_bytes)) as pool:
        todo = Pushing(local, look(place, pool), pool, progress, force=force)
        return todo.run(dry_run=dry_run, abort_uploads=abort_uploads)


def pull(
    address: str,
    path: str | os.PathLike[str],
    *,
    endpoint_url: str | None = None,
    region_name: str | None = None,
    client: Any = None,
    dry_run: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PullResult:
    """Make a file here equal to a pack on S3.

    The file appears when all of it is there, checked block by block if the object has hashes beside it, and is a pack.

    Args:
        address: ``s3://bucket/key``.
        path: the file to make.
        endpoint_url: as for :func:`push`.
        region_name: as there.
        client: as there.
        dry_run: only say what would be received.
        overwrite: replace an existing file that differs; blocks that it has are not received again.
        progress: called with bytes done so far, and with the pack's size.

    Raises:
        PackNotFoundError: no such object, or no such bucket.
        NotAPackError: the object is no pack.
        CorruptPackError: it is a damaged one, or not what its hashes say.
        AddressError: the address is not one of S3.
        AccessError: the server refuses.
        RemoteError: the server cannot be reached or fails.
        PackChangedError: the object, or the file here, was changed meanwhile.
        OutputExistsError: the file exists, differs, and ``overwrite`` is not set.
        OutputError: the file cannot be written.

    Cost: two or three requests, and the differing blocks of 8 MiB. Memory: a few MB.
    """
    place = S3Object.parse(address, endpoint_url=endpoint_url, region_name=region_name, client=client)
    with closing(place), _threads() as pool:
        return Pulling(look(place, pool), path, pool, progress).run(dry_run=dry_run, overwrite=overwrite)


def sync(
    path: str | os.PathLike[str],
    address: str,
    *,
    endpoint_url: str | None = None,
    region_name: str | None = None,
    client: Any = None,
    dry_run: bool = False,
    prefer: str | None = None,
    progress: Progress | None = None,
) -> PushResult | PullResult:
    """Push a pack that is not on S3, pull one that is not here, and do nothing if both are equal.

    If they differ, nothing tells which of them is the newer one: ``prefer`` has to.

    Args:
        path: the path of a pack, or where to put it.
        address: ``s3://bucket/key``.
        endpoint_url: as for :func:`push`.
        region_name: as there.
        client: as there.
        dry_run: only say what would be moved.
        prefer: which side is right if they differ, "local" or "remote".
        progress: called with bytes done so far, and with the pack's size.

    Raises:
        ArgumentError: they differ, and ``prefer`` is not given.
        DPromptError: as ``push`` and ``pull``.

    Cost: as ``push`` or ``pull``.
    """
    if prefer is not None and prefer not in PREFERENCES:
        message = f"prefer {prefer!r}: must be one of {', '.join(PREFERENCES)}"
        raise ArgumentError(message)
    place = S3Object.parse(address, endpoint_url=endpoint_url, region_name=region_name, client=client)
    with closing(place):
        try:
            here = find_pack(path)
        except PackNotFoundError as error:
            with _threads() as pool:
                remote = look(place, pool)
                if remote.state is None:
                    message = f"{error}, and {place.missing()}"
                    raise PackNotFoundError(message) from error
                return Pulling(remote, path, pool, progress).run(dry_run=dry_run, overwrite=False)
        with _opened(here) as local, _threads(block_size(local.size_bytes)) as pool:
            remote = look(place, pool)
            if remote.state is None or prefer == "local" or are_equal(local, remote):
                return Pushing(local, remote, pool, progress).run(dry_run=dry_run)
            if prefer == "remote":
                return Pulling(remote, here, pool, progress).run(dry_run=dry_run, overwrite=True)
    message = (
        f"{os.fspath(path)} and {place.address} differ; push or pull, or say which one is right: "
        "--prefer local or remote (prefer=)"
    )
    raise ArgumentError(message)


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[BlockFile]:
    """The file that will be sent, which is a pack."""
    with BlockFile(find_pack(path)) as local:
        with FileBackend(local.path):
            # Opened by its name, so it has to be the same file still.
            local.check()
        yield local


def _threads(block_bytes: int = 0) -> ThreadPoolExecutor:
    """Threads for requests, as many as may hold a block each."""
    threads = max(2, min(_THREADS, _IN_FLIGHT_BYTES // block_bytes)) if block_bytes else _THREADS
    return ThreadPoolExecutor(threads, thread_name_prefix="dprompt-s3")
