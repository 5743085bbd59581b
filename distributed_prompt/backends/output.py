"""Files that appear whole or not at all: written beside their final name, synced, renamed."""

import fcntl
import os
from pathlib import Path
from typing import Self

from distributed_prompt.errors import ArgumentError, OutputError, OutputExistsError


class OutputFile:
    """A context in which ``partial`` is written, to become ``path`` when ``publish`` is called.

    The partial file is named after the final one and locked, so a second writer is turned away, and what
    a killed one left behind is cleared by the next. Without ``publish`` nothing remains.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool) -> None:
        """Name the output.

        Args:
            path: the final name, in a folder that exists.
            overwrite: whether a file of that name may be replaced.
        """
        self.path = Path(os.path.abspath(os.fspath(path)))  # noqa: PTH100  # Path.absolute keeps '..'
        self.partial = self.path.with_name(f".{self.path.name}.partial")
        self._shown = os.fspath(path)
        self._overwrite = overwrite
        self._lock = -1

    def __enter__(self) -> Self:
        """Check the name and take the lock.

        Raises:
            ArgumentError: the name is a folder's.
            OutputExistsError: the file is there and may not be replaced.
            OutputError: the folder cannot be written to, or another process writes this file.
        """
        if self.path.is_dir():
            message = f"{self._shown}: is a folder; name a file"
            raise ArgumentError(message)
        self._refuse_existing()
        while not self._take():
            pass
        return self

    def _take(self) -> bool:
        """Make the partial file anew and lock it; False if another writer's was in the way and is gone now."""
        try:
            self._lock = os.open(self.partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            missing = not self.path.parent.exists()
            message = f"{self._shown}: {'its folder does not exist' if missing else error.strerror}"
            raise OutputError(message) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            message = f"{self._shown}: another process is writing it now"
            raise OutputError(message) from error
        left_over = os.fstat(self._lock)
        if self._is_current() and left_over.st_size == 0 and left_over.st_nlink == 1:
            return True
        # Never emptied in place: a writer killed while publishing leaves a second name of the final file.
        self._clear()
        return False

    def _is_current(self) -> bool:
        """Whether the locked file still has the partial name: its last writer may have renamed it."""
        try:
            found = self.partial.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self._lock)
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

    def _refuse_existing(self) -> None:
        if not self._overwrite and self.path.exists():
            message = f"{self._shown}: exists; choose another name, or overwrite it with --force (overwrite=True)"
            raise OutputExistsError(message)

    def publish(self) -> None:
        """Sync the partial file and give it its final name.

        Raises:
            OutputExistsError: a file of that name has appeared meanwhile and may not be replaced.
            OutputError: the system refused.
        """
        try:
            os.fsync(self._lock)
            if self._overwrite:
                self.partial.replace(self.path)
            else:
                self._link()
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            if isinstance(error, OutputExistsError):
                raise
            message = f"{self._shown}: {error.strerror}"
            raise OutputError(message) from error

    def _link(self) -> None:
        try:
            os.link(self.partial, self.path)
        except FileExistsError:
            self._refuse_existing()
            raise
        except OSError:
            self._refuse_existing()
            self.partial.rename(self.path)

    def __exit__(self, *exception: object) -> None:
        """Remove the partial name if it is still there, and let go of the lock."""
        self._clear()

    def _clear(self) -> None:
        if self._is_current():
            self.partial.unlink()
        os.close(self._lock)
