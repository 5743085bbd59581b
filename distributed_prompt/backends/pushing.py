"""One push: the object becomes what a file is, by sending only the blocks that it does not have."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from distributed_prompt.backends.blocks import (
    BlockFile,
    Plan,
    Sidecar,
    block_count,
    block_range,
    block_size,
    digits,
    joined_etag,
    new_hash,
    plan,
)
from distributed_prompt.backends.s3_client import ObjectState, bare_etag, etag_of
from distributed_prompt.backends.s3_errors import CREDENTIALS_HINT, UnsupportedError, UploadLostError, typed
from distributed_prompt.backends.sidecar import Remote, are_equal, check_is_pack, put_sidecar
from distributed_prompt.errors import (
    AccessError,
    DPromptError,
    NotAPackError,
    PackChangedError,
    PackNotFoundError,
    RemoteError,
)
from distributed_prompt.workers import Progress, map_ahead

_LEFT_OVER = timedelta(days=1)


class PushResult(NamedTuple):
    """What a push did.

    Attributes:
        status: "pushed", "up to date", or "would push" of a dry run.
        size_bytes: the pack's size.
        sent_bytes: bytes that went over the network.
        copied_bytes: bytes that the server had: in the old object, or from an interrupted push.
        blocks: the pack's number of blocks.
        sent_blocks: how many of them were sent.
    """

    status: str
    size_bytes: int
    sent_bytes: int
    copied_bytes: int
    blocks: int
    sent_blocks: int


class _UploadedPart(NamedTuple):
    """A block that the new object has."""

    block: int
    etag: str
    is_sent: bool


class Pushing:
    """One push: a file, an object as it was found, and what is known of the file's blocks."""

    def __init__(
        self,
        local: BlockFile,
        remote: Remote,
        pool: ThreadPoolExecutor,
        progress: Progress | None,
        *,
        force: bool = False,
    ) -> None:
        self._local = local
        self._place = remote.place
        self._remote = remote
        self._pool = pool
        self._progress = progress
        self._force = force
        self._old_etag = remote.state.etag if remote.state else ""
        self._size = local.size_bytes
        self._block_bytes = block_size(self._size)
        self._blocks = block_count(self._size, self._block_bytes)
        self._hashes: dict[int, str] = {}
        self._copies = frozenset[int]()
        self._buffers = threading.local()
        self._condition: dict[str, str] = {}
        if not force:
            self._condition = {"IfMatch": self._old_etag} if remote.state else {"IfNoneMatch": "*"}

    def run(self, *, dry_run: bool, abort_uploads: bool = False) -> PushResult:
        """Do it, or say what would be done. Raises as ``sync.push``."""
        _, state, sidecar = self._remote
        if are_equal(self._local, self._remote):
            if state and not sidecar and not dry_run:
                with suppress(AccessError):
                    put_sidecar(self._place, self._local.sidecar(state.etag, self._block_bytes))
            self._report(self._size)
            return PushResult("up to date", self._size, 0, 0, self._blocks, 0)
        if self._place.is_anonymous:
            message = f"{self._place.address}: pushing needs credentials; {CREDENTIALS_HINT}"
            raise AccessError(message)
        if state and not sidecar and not self._force:
            self._check_old(state)
        todo = self._plan()
        if dry_run:
            return self._result("would push", todo.move)
        etag, sent = self._put() if self._blocks == 1 else self._upload(abort_uploads=abort_uploads)
        hashes = tuple(self._hashes[block] for block in range(self._blocks))
        if etag:
            put_sidecar(self._place, Sidecar(etag, self._size, self._block_bytes, hashes))
        return self._result("pushed", sent)

    def _check_old(self, state: ObjectState) -> None:
        try:
            check_is_pack(self._place, state)
        except NotAPackError as error:
            message = f"{error}; overwrite it with --force (force=True)"
            raise NotAPackError(message) from error

    def _plan(self) -> Plan:
        """What to send, if there is a choice; else blocks are hashed when they are sent, so read once."""
        sidecar = self._remote.sidecar
        if sidecar is None or sidecar.block_bytes != self._block_bytes:
            return Plan(tuple(range(self._blocks)), ())
        todo = plan(self._local.sidecar("", self._block_bytes), sidecar)
        self._hashes.update(enumerate(self._local.hashes(self._block_bytes)))
        self._copies = frozenset(todo.keep)
        return todo

    def _result(self, status: str, sent: tuple[int, ...]) -> PushResult:
        sent_bytes = sum(self._range(block)[1] for block in sent)
        return PushResult(status, self._size, sent_bytes, self._size - sent_bytes, self._blocks, len(sent))

    def _report(self, done: int) -> None:
        if self._progress:
            self._progress(done, self._size)

    def _range(self, block: int) -> tuple[int, int]:
        return block_range(block, self._size, self._block_bytes)

    def _put(self) -> tuple[str, tuple[int, ...]]:
        """Send a pack of one block."""
        data = self._read(0)
        self._check()
        put = partial(self._call, "put_object", Body=data)
        etag = self._finish(put, hashlib.md5(data, usedforsecurity=False).hexdigest())
        self._report(self._size)
        return etag, (0,)

    def _upload(self, *, abort_uploads: bool) -> tuple[str, tuple[int, ...]]:
        """Send a pack in parts. What ends early is left for the next push to go on with, unless that cannot."""
        upload, found = self._resumed(abort_uploads=abort_uploads)
        if upload is None:
            upload = self._begin()
        try:
            parts = sorted((*found, *self._send_parts(upload, found)))
            known = [part for part in parts if part.is_sent or part in found]
            if self._force and len(known) < len(parts) and self._place.head() != self._remote.state:
                # Ceph copies whatever is there by now, so what was copied may be of two packs.
                self._copies = frozenset()
                parts = sorted((*known, *self._send_parts(upload, known)))
            unhashed = [block for block in range(self._blocks) if block not in self._hashes]
            self._hashes.update(zip(unhashed, self._local.hashes_of(unhashed, self._block_bytes), strict=True))
            self._check()
            etags = [part.etag for part in parts]
            listed = [{"PartNumber": part.block + 1, "ETag": part.etag} for part in parts]
            complete = partial(
                self._call, "complete_multipart_upload", UploadId=upload, MultipartUpload={"Parts": listed}
            )
            etag = self._finish(complete, joined_etag(etags))
        except UploadLostError:
            # Whoever else works on it may still complete it.
            raise
        except PackChangedError:
            self._abort(upload)
            raise
        return etag, tuple(part.block for part in parts if part.is_sent)

    def _begin(self) -> str:
        upload = self._call("create_multipart_upload").get("UploadId")
        if not upload:
            message = f"{self._place.address}: {self._place.server()} takes no uploads in parts"
            raise UnsupportedError(message)
        return str(upload)

    def _resumed(self, *, abort_uploads: bool) -> tuple[str | None, list[_UploadedPart]]:
        """The newest upload to this key that has nothing but blocks of this pack, and its parts; abort the old ones."""
        chosen: str | None = None
        parts: list[_UploadedPart] = []
        for found in self._uploads():
            upload = found["UploadId"]
            if chosen is None and (parts := self._parts(upload)):
                chosen = upload
            elif abort_uploads or found["Initiated"] < datetime.now(UTC) - _LEFT_OVER:
                self._abort(upload)
        return chosen, parts

    def _uploads(self) -> list[dict[str, Any]]:
        try:
            with typed(self._place):
                pages = self._place.client.get_paginator("list_multipart_uploads").paginate(
                    Bucket=self._place.bucket, Prefix=self._place.key
                )
                found = [upload for page in pages for upload in page.get("Uploads", ())]
        except (AccessError, RemoteError):
            # Not everybody who may upload may list, nor does every server.
            return []
        ours = (upload for upload in found if upload["Key"] == self._place.key)
        return sorted(ours, key=lambda upload: upload["Initiated"], reverse=True)

    def _parts(self, upload: str) -> list[_UploadedPart]:
        """An upload's parts if each is a block of this pack: one with others may be another writer's, at work on it."""
        try:
            with typed(self._place):
                pages = self._place.client.get_paginator("list_parts").paginate(
                    Bucket=self._place.bucket, Key=self._place.key, UploadId=upload
                )
                listed = [part for page in pages for part in page.get("Parts", ())]
        except (AccessError, RemoteError, PackChangedError, PackNotFoundError):
            return []
        blocks = [part["PartNumber"] - 1 for part in listed]
        if not all(0 <= block < self._blocks for block in blocks):
            return []
        if [part["Size"] for part in listed] != [self._range(block)[1] for block in blocks]:
            return []
        etags = [bare_etag(part["ETag"]) for part in listed]
        md5s = self._local.md5s(blocks, self._block_bytes)
        if not all(etag == md5 for etag, md5 in zip(etags, md5s, strict=True)):
            return []
        return [_UploadedPart(block, etag, is_sent=False) for block, etag in zip(blocks, etags, strict=True)]

    def _send_parts(self, upload: str, found: list[_UploadedPart]) -> Iterator[_UploadedPart]:
        done = sum(self._range(part.block)[1] for part in found)
        self._report(done)
        rest = sorted(frozenset(range(self._blocks)).difference(part.block for part in found))
        with closing(map_ahead(partial(self._part, upload), rest, self._pool)) as parts:
            for part in parts:
                done += self._range(part.block)[1]
                self._report(done)
                yield part

    def _part(self, upload: str, block: int) -> _UploadedPart:
        if block in self._copies:
            try:
                return _UploadedPart(block, self._copy(upload, block), is_sent=False)
            except (AccessError, PackNotFoundError, RemoteError):
                # Not every server copies parts: from here on, all is sent.
                self._copies = frozenset()
            except UploadLostError:
                raise
            except PackChangedError:
                if not self._force:
                    raise
                self._copies = frozenset()
        data = self._read(block)
        answer = self._call("upload_part", UploadId=upload, PartNumber=block + 1, Body=data)
        return _UploadedPart(block, etag_of(self._place, answer), is_sent=True)

    def _copy(self, upload: str, block: int) -> str:
        start, count = self._range(block)
        answer = self._call(
            "upload_part_copy",
            UploadId=upload,
            PartNumber=block + 1,
            CopySource={"Bucket": self._place.bucket, "Key": self._place.key},
            CopySourceRange=f"bytes={start}-{start + count - 1}",
            CopySourceIfMatch=f'"{self._old_etag}"',
        )
        return etag_of(self._place, answer.get("CopyPartResult", {}))

    def _buffer(self) -> bytearray:
        """This thread's own: blocks that come and go cost a third more memory, and the time to get it."""
        if not hasattr(self._buffers, "own"):
            self._buffers.own = bytearray(min(self._block_bytes, self._size))
        own: bytearray = self._buffers.own
        return own

    def _read(self, block: int) -> bytes | bytearray:
        """A block to be sent, which is the one that its hash was made of."""
        data = self._local.read_into(self._buffer(), block, self._block_bytes)
        state = new_hash()
        state.update(data)
        if self._hashes.setdefault(block, digits(state)) != digits(state):
            self._local.check()
            message = f"{self._local.path}: block {block} was changed meanwhile; push again"
            raise PackChangedError(message)
        return data

    def _check(self) -> None:
        """Before the object is replaced: is this still what was read, and that what will be replaced?

        Ceph ignores conditions on completing an upload, so asking at the last moment is all that there is there.
        """
        self._local.check()
        if not self._force and self._place.head() != self._remote.state:
            raise self._overtaken()

    def _overtaken(self) -> PackChangedError:
        return PackChangedError(
            f"{self._place.address}: another writer has changed it since this push began; nothing was replaced. "
            "Look at what it has now, and push again or overwrite it with --force (force=True)"
        )

    def _finish(self, call: Callable[..., Any], expected: str | None) -> str:
        """Make the object what was sent, on condition that it still is what it was; its ETag."""
        try:
            try:
                answer = call(**self._condition)
            except UnsupportedError:
                if not self._condition:
                    raise
                answer = call()
        except (RemoteError, UploadLostError):
            if not self._is_done(expected):
                raise
        except PackNotFoundError as error:
            if self._remote.state is None:
                # It is the bucket.
                raise
            raise self._overtaken() from error
        except PackChangedError as error:
            if not self._is_done(expected):
                raise self._overtaken() from error
        else:
            # Ceph leaves it out of this answer. Asking for it might bring that of the next writer already.
            return bare_etag(answer.get("ETag", "")) or expected or ""
        return expected or ""

    def _is_done(self, expected: str | None) -> bool:
        """Whether it is our own doing that stands in the way: a first attempt whose answer was lost."""
        state = self._place.head()
        return state is not None and state.etag == expected

    def _call(self, operation: str, **arguments: Any) -> Any:
        with typed(self._place):
            return getattr(self._place.client, operation)(Bucket=self._place.bucket, Key=self._place.key, **arguments)

    def _abort(self, upload: str) -> None:
        with suppress(DPromptError):
            self._call("abort_multipart_upload", UploadId=upload)
