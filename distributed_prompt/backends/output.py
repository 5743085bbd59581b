"""Files that appear whole or not at all: written beside their final name, synced, renamed."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Self

from distributed_prompt.backends.output_lock import OutputLock
from distributed_prompt.errors import AddressError, ArgumentError, DPromptError, OutputError, OutputExistsError

FLUSH_BYTES = 2**24
_LONGEST_NAME_BYTES = 240


@contextmanager
def refusals(shown: str, path: Path) -> Iterator[None]:
    """Say what the system refused in our own words.

    Args:
        shown: the output as the caller named it.
        path: what that is.

    Raises:
        OutputError: the system refused.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, DPromptError):
            raise
        missing = error.errno == errno.ENOENT and not path.parent.exists()
        message = f"{shown}: {'its folder does not exist' if missing else error.strerror}"
        raise OutputError(message) from error


def local_name(path: str | os.PathLike[str], kind: str) -> str:
    """The name of an output on this disk.

    Raises:
        ArgumentError: no file can have this name.
        AddressError: it is an address elsewhere.
    """
    name = os.fspath(path)
    if "\0" in name:
        message = f"{name!r}: no {kind} can have this name"
        raise ArgumentError(message)
    if "://" in name:
        message = f"{name}: is not on this disk; name a {kind} here (packs are sent to S3 by dprompt push)"
        raise AddressError(message)
    return name


class OutputFile:
    """A context in which ``partial`` is written, to become ``path`` when ``publish`` is called.

    The partial file is named after the final one and locked, so a second writer is turned away, and what
    a killed one left behind is cleared by the next. Without ``publish`` nothing remains.

    Attributes:
        path: the final name, absolute; the file that a symbolic link points to.
        partial: the name under which it is written.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool, make_folder: bool = False) -> None:
        """Name the output.

        Args:
            path: the final name.
            overwrite: whether a file of that name may be replaced.
            make_folder: whether to make its folder; otherwise that must exist.

        Raises:
            ArgumentError: no file can have this name.
            AddressError: it is an address elsewhere.
        """
        self._shown = local_name(path, "file")
        self.path = Path(os.path.realpath(self._shown))
        self.partial = partial_path(self.path, self._shown, "partial")
        self._overwrite = overwrite
        self._make_folder = make_folder
        self._made_folders: list[Path] = []
        self._lock = OutputLock()
        self._flusher: ThreadPoolExecutor | None = None
        self._flush: Future[None] | None = None
        self._unflushed_bytes = 0

    def __enter__(self) -> Self:
        """Check the name and take the lock.

        Raises:
            ArgumentError: the name is that of a folder or a device.
            OutputExistsError: the file is there and may not be replaced.
            OutputError: the folder cannot be written to, or another process writes this file.
        """
        try:
            with self._failures():
                mode = self._check()
                if self._make_folder:
                    self._make_folders()
                while not self._take():
                    pass
                if mode is not None:
                    # What replaces a private file is as private.
                    os.fchmod(self._lock.descriptor, stat.S_IMODE(mode))
        except BaseException:
            self.__exit__()
            raise
        return self

    def _failures(self) -> AbstractContextManager[None]:
        return refusals(self._shown, self.path)

    def _check(self) -> int | None:
        """The mode of the file that will be replaced, if there is one and it may be."""
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(mode):
            message = f"{self._shown}: is a {'folder' if stat.S_ISDIR(mode) else 'device'}; name a file"
            raise ArgumentError(message)
        if not self._overwrite:
            message = f"{self._shown}: exists; choose another name, or overwrite it with --force (overwrite=True)"
            raise OutputExistsError(message)
        return mode

    def _make_folders(self) -> None:
        missing = [folder for folder in (self.path.parent, *self.path.parent.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            self._made_folders.append(folder)

    def _take(self) -> bool:
        """Make the partial file anew and lock it; False if another writer's was in the way and is gone now."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        is_new = True
        try:
            try:
                self._lock.open(self.partial, flags | os.O_EXCL)
            except FileExistsError:
                is_new = False
                self._lock.open(self.partial, flags)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            self.partial.unlink()
            return False
        try:
            self._lock.take()
        except OSError as error:
            self._lock.close()
            if not isinstance(error, BlockingIOError):
                self.partial.unlink(missing_ok=True)
                raise
            message = f"{self._shown}: another process is writing it now"
            raise OutputError(message) from error
        left_over = os.fstat(self._lock.descriptor)
        # Of a new one a mounted disk may say anything.
        if not is_new and left_over.st_uid != os.geteuid():
            self._lock.close()
            message = f"{self._shown}: {self.partial.name} is in the way, another user's; remove it"
            raise OutputError(message)
        if self._is_current() and left_over.st_size == 0 and left_over.st_nlink == 1:
            return True
        # Never emptied in place: a writer killed while publishing leaves a second name of the final file.
        self._clear()
        return False

    def _is_current(self) -> bool:
        """Whether the locked file still has the partial name: its last writer may have renamed it."""
        try:
            found = self.partial.lstat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self._lock.descriptor)
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

    def identities(self) -> frozenset[tuple[int, int]]:
        """Device and inode of the partial file, and of the one that it will replace: neither is to be read."""
        found = [os.fstat(self._lock.descriptor)]
        with suppress(OSError):
            found.append(self.path.stat())
        return frozenset((status.st_dev, status.st_ino) for status in found)

    def wrote(self, count_bytes: int) -> None:
        """Take note of what was written; now and then let it go to the disk meanwhile, so ``publish`` waits less."""
        self._unflushed_bytes += count_bytes
        if self._unflushed_bytes >= FLUSH_BYTES and (self._flush is None or self._flush.done()):
            self._flushed()
            self._unflushed_bytes = 0
            self._flusher = self._flusher or ThreadPoolExecutor(1, thread_name_prefix="dprompt-flush")
            self._flush = self._flusher.submit(_sync, self._lock.descriptor)

    def _flushed(self) -> None:
        """Wait for the flush under way. The system reports a failed write once: to whoever asks first."""
        if self._flush is not None:
            with self._failures():
                self._flush.result()

    def publish(self) -> None:
        """Sync the partial file and give it its final name.

        Raises:
            OutputExistsError: a file of that name has appeared meanwhile and may not be replaced.
            OutputError: the system refused.
        """
        self._flushed()
        with self._failures():
            os.fsync(self._lock.descriptor)
            self._check()
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                if self._overwrite:
                    self.partial.replace(self.path)
                else:
                    self._link()
                made, self._made_folders = self._made_folders, []
                # From here on it is done: a folder that cannot be synced, as on some networks, changes nothing.
                with suppress(OSError):
                    os.fsync(folder)
                for each in reversed(made):
                    _sync_folder(each.parent)
            finally:
                os.close(folder)

    def _link(self) -> None:
        """Take the final name only if nobody has it: renaming would replace whatever came in between."""
        try:
            os.link(self.partial, self.path)
        except FileExistsError:
            self._check()
            raise
        except OSError:
            # A file system without hard links: the check just made has to do.
            self.partial.rename(self.path)

    def __exit__(self, *exception: object) -> None:
        """Remove the partial name if it is still there, and let go of the lock."""
        if self._flusher:
            self._flusher.shutdown()
        self._clear()
        for folder in reversed(self._made_folders):
            with suppress(OSError):
                folder.rmdir()

    def _clear(self) -> None:
        if self._lock.descriptor < 0:
            return
        try:
            # What cannot be removed now, the next writer removes.
            with suppress(OSError):
                if self._is_current():
                    self.partial.unlink()
        finally:
            self._lock.close()


def _sync_folder(path: Path) -> None:
    """Keep the names in a folder, if that can be done."""
    with suppress(OSError):
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


_sync = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter


def partial_path(path: Path, shown: str, suffix: str) -> Path:
    """What an output is called while it is written. Long names leave no room for more.

    Raises:
        ArgumentError: the path is the root folder.
    """
    if not path.name:
        message = f"{shown}: is a folder; name an output in it"
        raise ArgumentError(message)
    data = os.fsencode(path.name)
    short = path.name if len(data) <= _LONGEST_NAME_BYTES else hashlib.sha256(data).hexdigest()
    return path.with_name(f".{short}.{suffix}")
