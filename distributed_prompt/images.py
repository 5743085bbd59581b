"""A range of a prompt as one genuine ``str``: an ordinary one up to a limit, above it one over an *image*.

An image is a file that holds a text's characters as CPython keeps them in memory. It is written once, by all cores,
on a real disk, and has no name from the beginning: nobody else can find, change or shorten it, and it is gone with its
last user, however that ends. :mod:`distributed_prompt.mapped` makes a string of it.
"""

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Condition

from distributed_prompt import mapped
from distributed_prompt.characters import Characters
from distributed_prompt.errors import CorruptPackError, DPromptError, MaterialiseError
from distributed_prompt.fork_gate import importing
from distributed_prompt.locks import Lock
from distributed_prompt.string_layout import KINDS, Kind
from distributed_prompt.text.pieces import Piece, decode
from distributed_prompt.workers import Progress

MATERIALISE_LIMIT = 2**24
IMAGE_LIMIT_BYTES = 2**33
FOLDER_VARIABLE = "DPROMPT_IMAGE_DIR"
_MOUNTS = Path("/proc/self/mountinfo")
_IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs", "proc", "sysfs"})
_ESCAPE = re.compile(rb"\\([0-7]{3})")
_PATIENCE_SECONDS = 1.0
_LONG_TEXT = "take slices, iterate over chunks(), or use a view"


# One thread at a time makes an image, so that two that want the same string share it.
_making = Lock()


def as_str(
    characters: Characters, start: int, stop: int, *, limit_bytes: int | None = None, progress: Progress | None = None
) -> str:
    """The characters of a range as one object of exact type ``str``.

    Args:
        characters: the whole text.
        start: offset of the first character.
        stop: offset after the last character.
        limit_bytes: how large an image may be; as large as the disk has room for, if not given.
        progress: called with characters done so far and in all.

    Raises:
        MaterialiseError: there is no such string: no room, no such Python, or more than the limit.
    """
    length = stop - start
    if length <= MATERIALISE_LIMIT:
        return "".join([decode(piece.data) for piece in characters.pieces(start, stop)])
    characters.check_open()
    key = (characters.key, start, stop)
    with _making:
        found = mapped.find(key)
        if found is not None:
            return found
        reason = mapped.refusal()
        if reason:
            message = (
                f"{length:,} characters cannot become one string: {reason}; an ordinary one may have "
                f"{MATERIALISE_LIMIT:,}; {_LONG_TEXT}"
            )
            raise MaterialiseError(message)
        folder = image_folder(characters.folder)
        _check_size(length, folder, limit_bytes)
        kind = KINDS[characters.range_width(start, stop)]
        _check_size(length * kind.bytes, folder, limit_bytes)
        with _written(characters, start, stop, kind, folder, progress) as number:
            return mapped.map_image(number, length, kind.width, key)


def image_folder(beside: Path) -> Path:
    """Where images go: the first of some folders that lies on a disk and can be written to.

    Files of a file system in memory would take the very memory that they are to save.

    Args:
        beside: the last resort, where the pack is.

    Raises:
        MaterialiseError: there is none.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen)
    for folder in (*_temporary_folders(), beside):
        if folder.is_dir() and os.access(folder, os.W_OK) and not _is_in_memory(folder):
            return folder
    message = f"no folder on a disk for an image of the text; name one in {FOLDER_VARIABLE}"
    raise MaterialiseError(message)


def _temporary_folders() -> Iterator[Path]:
    with suppress(OSError):
        yield Path(tempfile.gettempdir())
    yield Path("/var/tmp")  # noqa: S108  # no name in it is used


def _is_in_memory(folder: Path) -> bool:
    """Whether the file system that a folder is on keeps its files in memory."""
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return False
    place = os.fsencode(folder.resolve()) + b"/"
    kinds = {}
    for line in lines:
        head, _, tail = line.partition(b" - ")
        point = _ESCAPE.sub(lambda found: bytes([int(found[1], 8)]), head.split()[4])
        kinds[point.rstrip(b"/") + b"/"] = tail.split()[0].decode("ascii", "replace")
    longest = max((point for point in kinds if place.startswith(point)), key=len, default=b"")
    return kinds.get(longest) in _IN_MEMORY


def _check_size(size_bytes: int, folder: Path, limit_bytes: int | None) -> None:
    try:
        status = os.statvfs(folder)
    except OSError as error:
        message = f"{folder}: {error.strerror}; {FOLDER_VARIABLE} names the folder for images"
        raise MaterialiseError(message) from error
    free = status.f_bavail * status.f_frsize
    if limit_bytes is not None and size_bytes > min(limit_bytes, free // 2):
        message = (
            f"an image of {size_bytes:,} bytes for one string: unless as_str() asks for it, it may have at most "
            f"{min(limit_bytes, free // 2):,} (image_limit, and half of what is free in {folder}); {_LONG_TEXT}"
        )
        raise MaterialiseError(message)
    if size_bytes > free:
        raise _no_room(size_bytes, folder)


def _no_room(size_bytes: int, folder: Path) -> MaterialiseError:
    status = os.statvfs(folder)
    return MaterialiseError(
        f"an image of {size_bytes:,} bytes for one string: {folder} has room for "
        f"{status.f_bavail * status.f_frsize:,}; {FOLDER_VARIABLE} names another folder",
    )


class _Image:
    """A file without a name. Workers write through numbers of their own, so that closing this one harms nobody."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._changed = Condition()
        self._borrowed = 0
        self.is_open = True

    @contextmanager
    def borrowed(self) -> Iterator[int]:
        with self._changed:
            if not self.is_open:
                message = "the image was given up"
                raise MaterialiseError(message)
            number = os.dup(self.number)
            self._borrowed += 1
        try:
            yield number
        finally:
            os.close(number)
            with self._changed:
                self._borrowed -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Give the number up and wait, for a while, for those who write: who then tries again finds the room free."""
        with self._changed:
            if self.is_open:
                self.is_open = False
                os.close(self.number)
            self._changed.wait_for(lambda: not self._borrowed, _PATIENCE_SECONDS)


@contextmanager
def _written(
    characters: Characters, start: int, stop: int, kind: Kind, folder: Path, progress: Progress | None
) -> Iterator[int]:
    """The number of a file without a name that holds the characters of a range."""
    size_bytes = (stop - start) * kind.bytes
    image = None
    try:
        image = _Image(_open_nameless(folder))
        # Found out before the work, and faster than a file with holes.
        os.posix_fallocate(image.number, 0, size_bytes)
        for done in characters.map_runs(partial(_write, image, start, kind), start, stop):
            if progress:
                progress(done - start, stop - start)
        characters.count_image()
        yield image.number
    except OSError as error:
        if isinstance(error, DPromptError):
            raise
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise _no_room(size_bytes, folder) from error
        message = f"{folder}: {error.strerror}; {FOLDER_VARIABLE} names the folder for images"
        raise MaterialiseError(message) from error
    finally:
        if image is not None:
            image.close()


def _open_nameless(folder: Path) -> int:
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}:
            raise
    # A file system that knows no files without names.
    descriptor, path = tempfile.mkstemp(prefix=".dprompt-", dir=folder)
    Path(path).unlink()
    return descriptor


def _write(image: _Image, start: int, kind: Kind, pieces: Iterator[Piece]) -> int:
    """Write the characters of a run; the offset after them."""
    stop = start
    with image.borrowed() as number:
        for piece in pieces:
            if not image.is_open:
                break
            data = memoryview(_encoded(piece, kind)).cast("B")
            place = (piece.start - start) * kind.bytes
            while data:
                done = os.pwrite(number, data, place)
                data, place = data[done:], place + done
            stop = piece.start + piece.characters
            del piece
    return stop


def _encoded(piece: Piece, kind: Kind) -> "bytes | memoryview":
    if kind.bytes == 1 and piece.ascii:
        return piece.data
    if kind.width == 0:
        message = "a character is not ASCII, as the directory says that all are"
        raise CorruptPackError(message)
    if piece.ascii:
        with importing:
            import numpy as np  # noqa: PLC0415  # costs 100 ms, and only images of wide characters need it

        # Several times faster than by way of a string, and without the GIL.
        return np.frombuffer(piece.data, np.uint8).astype(f"u{kind.bytes}").data
    try:
        return decode(piece.data).encode(kind.codec, "surrogatepass")
    except UnicodeEncodeError as error:
        message = f"a character is wider than the directory says: {error.reason}"
        raise CorruptPackError(message) from error
