"""One pull: a file becomes what the object is, by receiving only the blocks that it does not have."""

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from distributed_prompt.backends.blocks import (
    BlockFile,
    Plan,
    block_count,
    block_range,
    block_size,
    digits,
    new_hash,
    plan,
)
from distributed_prompt.backends.file_backend import FileBackend
from distributed_prompt.backends.output import OutputFile, refusals
from distributed_prompt.backends.s3_client import etag_of
from distributed_prompt.backends.s3_errors import UnsupportedError, typed
from distributed_prompt.backends.sidecar import Remote, are_equal, check_is_pack
from distributed_prompt.errors import CorruptPackError, DPromptError, PackChangedError, RemoteError
from distributed_prompt.workers import Progress, map_ahead

_PIECE_BYTES = 2**18
_ATTEMPTS = 5
_FIRST_WAIT_SECONDS = 0.2


class PullResult(NamedTuple):
    """What a pull did.

    Attributes:
        status: "pulled", "up to date", or "would pull" of a dry run.
        size_bytes: the pack's size.
        received_bytes: bytes that came over the network.
        copied_bytes: bytes that the local file had.
        blocks: the pack's number of blocks.
        received_blocks: how many of them were received.
    """

    status: str
    size_bytes: int
    received_bytes: int
    copied_bytes: int
    blocks: int
    received_blocks: int


class _BrokenOffError(RemoteError):
    """An answer ended early."""


class Pulling:
    """One pull: an object as it was found, and the file that becomes it."""

    def __init__(
        self,
        remote: Remote,
        path: str | os.PathLike[str],
        pool: ThreadPoolExecutor,
        progress: Progress | None,
    ) -> None:
        if remote.state is None:
            raise remote.place.missing()
        self._remote = remote
        self._place = remote.place
        self._state = remote.state
        self._sidecar = remote.sidecar
        self._path = path
        self._pool = pool
        self._progress = progress
        self._block_bytes = remote.sidecar.block_bytes if remote.sidecar else block_size(remote.state.size_bytes)
        self._blocks = block_count(remote.state.size_bytes, self._block_bytes)

    def run(self, *, dry_run: bool, overwrite: bool) -> PullResult:
        """Do it, or say what would be done. Raises as ``sync.pull``."""
        output = OutputFile(self._path, overwrite=overwrite)
        with ExitStack() as stack:
            local = stack.enter_context(BlockFile(output.path)) if output.path.is_file() else None
            if local and are_equal(local, self._remote):
                self._report(self._state.size_bytes)
                return PullResult("up to date", self._state.size_bytes, 0, 0, self._blocks, 0)
            if not self._sidecar:
                check_is_pack(self._place, self._state)
            todo = self._plan(local)
            if not dry_run:
                stack.enter_context(output)
                self._fill(output, local, todo)
                if local:
                    local.check()
                self._check_result(output.partial)
                output.publish()
        copied_bytes = sum(self._range(block)[1] for block in todo.keep)
        received_bytes = self._state.size_bytes - copied_bytes
        status = "would pull" if dry_run else "pulled"
        return PullResult(status, self._state.size_bytes, received_bytes, copied_bytes, self._blocks, len(todo.move))

    def _plan(self, local: BlockFile | None) -> Plan:
        if self._sidecar is None:
            return Plan(tuple(range(self._blocks)), ())
        return plan(self._sidecar, local.sidecar("", self._block_bytes) if local and local.size_bytes else None)

    def _report(self, done: int) -> None:
        if self._progress:
            self._progress(done, self._state.size_bytes)

    def _range(self, block: int) -> tuple[int, int]:
        return block_range(block, self._state.size_bytes, self._block_bytes)

    def _fill(self, output: OutputFile, local: BlockFile | None, todo: Plan) -> None:
        done = 0
        refused = partial(refusals, os.fspath(self._path), output.path)
        with refused():
            target = os.open(output.partial, os.O_RDWR | os.O_CLOEXEC)
        try:
            with refused():
                _reserve(target, self._state.size_bytes)
            for work, blocks in ((self._keep, todo.keep), (self._receive, todo.move)):
                task = partial(work, target, local)
                with refused(), closing(map_ahead(task, blocks, self._pool)) as counts:
                    for count in counts:
                        output.wrote(count)
                        done += count
                        self._report(done)
        finally:
            os.close(target)

    def _keep(self, target: int, local: BlockFile | None, block: int) -> int:
        start, count = self._range(block)
        if local:
            _copy(local, target, start, count)
        return count

    def _receive(self, target: int, local: BlockFile | None, block: int) -> int:
        del local
        wait = _FIRST_WAIT_SECONDS
        for attempt in range(_ATTEMPTS):
            try:
                return self._receive_once(target, block)
            except _BrokenOffError:
                # botocore tries again what it has no answer to, but not an answer that ends early.
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(wait)
                wait *= 2
        raise AssertionError  # the last attempt returns or raises

    def _receive_once(self, target: int, block: int) -> int:
        start, count = self._range(block)
        place = self._place
        with typed(place):
            answer = place.client.get_object(
                Bucket=place.bucket,
                Key=place.key,
                Range=f"bytes={start}-{start + count - 1}",
                IfMatch=f'"{self._state.etag}"',
            )
        with closing(answer["Body"]) as body:
            if etag_of(place, answer) != self._state.etag:
                message = f"{place.address}: another writer has changed it since this pull began; pull again"
                raise PackChangedError(message)
            there = f"bytes {start}-{start + count - 1}/{self._state.size_bytes}"
            if (answer.get("ContentRange"), answer.get("ContentLength")) != (there, count):
                message = f"{place.address}: {place.server()} does not answer with ranges of an object"
                raise UnsupportedError(message)
            state = new_hash()
            at = start
            while True:
                piece = self._piece(body)
                if not piece:
                    break
                state.update(piece)
                _write(target, piece, at)
                at += len(piece)
        if at != start + count:
            message = f"{place.address}: {place.server()} ends its answers early"
            raise _BrokenOffError(message)
        if self._sidecar and self._sidecar.hashes[block] != digits(state):
            message = f"{place.address}: block {block} of {self._block_bytes:,} bytes is not what its hash says"
            raise CorruptPackError(message)
        return count

    def _piece(self, body: Any) -> bytes:
        try:
            with typed(self._place):
                return bytes(body.read(_PIECE_BYTES))
        except RemoteError as error:
            raise _BrokenOffError(*error.args) from error

    def _check_result(self, partial_path: Path) -> None:
        try:
            FileBackend(partial_path).close()
        except DPromptError as error:
            # By the name of what was pulled, not of a file that will be gone.
            message = f"{self._place.address}: {str(error).removeprefix(f'{partial_path}: ')}"
            raise type(error)(message) from error


def _reserve(target: int, size_bytes: int) -> None:
    """Take the room at once: a full disk is to be noticed before hours of receiving."""
    os.ftruncate(target, size_bytes)
    if size_bytes and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(target, 0, size_bytes)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
                raise


def _copy(local: BlockFile, target: int, start: int, count: int) -> None:
    """A part of one file to the same place of another, by the system if it can: some file systems share it then."""
    stop = start + count
    with suppress(OSError, AttributeError):
        while start < stop and (moved := os.copy_file_range(local.descriptor, target, stop - start, start, start)):
            start += moved
    while start < stop:
        piece = local.read_at(start, min(_PIECE_BYTES, stop - start))
        _write(target, piece, start)
        start += len(piece)


def _write(target: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(target, view, at)
        view = view[written:]
        at += written
