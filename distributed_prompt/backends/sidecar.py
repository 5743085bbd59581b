"""An object on S3 as it is found, and its *sidecar*: the hashes of its blocks, beside it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import NamedTuple

from distributed_prompt.backends.blocks import (
    SIDECAR_BYTES,
    SIDECAR_SUFFIX,
    BlockFile,
    Sidecar,
    block_count,
    block_size,
    joined_etag,
)
from distributed_prompt.backends.s3_client import ObjectState, S3Object
from distributed_prompt.backends.s3_errors import typed
from distributed_prompt.errors import AccessError, NotAPackError, PackNotFoundError
from distributed_prompt.store.engines import may_be_pack
from distributed_prompt.store.sqlite_header import HEAD_BYTES


class Remote(NamedTuple):
    """The object as it was found.

    Attributes:
        place: where it is, and who asks for it.
        state: what it was; None if there was none.
        sidecar: its hashes, if it has any that are its own.
    """

    place: S3Object
    state: ObjectState | None
    sidecar: Sidecar | None


def look(place: S3Object, pool: ThreadPoolExecutor) -> Remote:
    """Ask for the object and for its hashes at the same time."""
    asked = pool.submit(_sidecar, place)
    state = place.head()
    sidecar = asked.result()
    if state is None or sidecar is None or (sidecar.etag, sidecar.size_bytes) != (state.etag, state.size_bytes):
        return Remote(place, state, None)
    return Remote(place, state, sidecar)


def _sidecar(place: S3Object) -> Sidecar | None:
    side = place.sibling(SIDECAR_SUFFIX)
    try:
        with typed(side), closing(side.client.get_object(Bucket=side.bucket, Key=side.key)["Body"]) as body:
            return Sidecar.parse(body.read(SIDECAR_BYTES))
    except (PackNotFoundError, AccessError):
        # A server that lets nobody list a bucket forbids what is not there.
        return None


def put_sidecar(place: S3Object, sidecar: Sidecar) -> None:
    """Lay hashes beside an object. Those that come too late name another ETag, so nobody heeds them."""
    side = place.sibling(SIDECAR_SUFFIX)
    with typed(side):
        side.client.put_object(Bucket=side.bucket, Key=side.key, Body=sidecar.encode(), ContentType="application/json")


def are_equal(local: BlockFile, remote: Remote) -> bool:
    """Whether the object is known to be what the file is; without hashes, its ETag may tell."""
    _, state, sidecar = remote
    if state is None or state.size_bytes != local.size_bytes:
        return False
    if sidecar:
        return sidecar.hashes == local.hashes(sidecar.block_bytes)
    block_bytes = block_size(local.size_bytes)
    blocks = block_count(local.size_bytes, block_bytes)
    if state.etag.partition("-")[2] != (str(blocks) if blocks > 1 else ""):
        return False
    md5s = list(local.md5s(range(blocks), block_bytes))
    return state.etag == (joined_etag(md5s) if blocks > 1 else md5s[0])


def check_is_pack(place: S3Object, state: ObjectState) -> None:
    """Look at an object's first bytes before it is overwritten, or received in full."""
    head = b""
    if state.size_bytes:  # of nothing, there are no ranges
        with typed(place):
            answer = place.client.get_object(Bucket=place.bucket, Key=place.key, Range=f"bytes=0-{HEAD_BYTES - 1}")
            with closing(answer["Body"]) as body:
                head = body.read(HEAD_BYTES)
    if not may_be_pack(head):
        message = f"{place.address}: not a pack"
        raise NotAPackError(message)
