"""Folders that appear with everything in them or not at all."""

import fcntl
import os
import shutil
from pathlib import Path
from typing import Self

from distributed_prompt.backends.output import partial_name, refusals
from distributed_prompt.errors import OutputError, OutputExistsError

_INSIDE = ".dprompt.partial"


class OutputFolder:
    """A context in which ``partial`` is filled, to become ``path`` when ``publish`` is called.

    Nobody else's file is ever touched: the folder is new, or it is empty and what was written moves into it. The
    partial folder is locked, so a second writer is turned away, and what a killed one left is cleared by the next.

    Attributes:
        path: the final name, absolute; the folder that a symbolic link points to.
        partial: the folder that is filled.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the folder."""
        self._shown = os.fspath(path)
        self.path = Path(os.path.realpath(self._shown))
        self._exists = os.path.isdir(self.path)  # noqa: PTH112  # also of names that are too long
        self.partial = self.path / _INSIDE if self._exists else self.path.with_name(partial_name(self.path.name))
        self._lock = -1

    def __enter__(self) -> Self:
        """Check the name and take the lock.

        Raises:
            OutputExistsError: the folder has something in it, or a file has its name.
            OutputError: the system refused, or another process writes this folder.
        """
        with refusals(self._shown, self.path):
            left = [name for name in os.listdir(self.path) if name != _INSIDE] if self._exists else []  # noqa: PTH208
            if left or (self.path.exists() and not self._exists):
                what = f"has {left[0]!r} in it" if left else "is a file"
                message = f"{self._shown}: {what}; name a new folder"
                raise OutputExistsError(message)
            while not self._take():
                pass
        return self

    def _take(self) -> bool:
        """Make the partial folder and lock it; False if a killed writer's was in the way and is gone now."""
        try:
            self.partial.mkdir()
            new = True
        except FileExistsError:
            new = False
        lock = os.open(self.partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            message = f"{self._shown}: another process is writing it now"
            raise OutputError(message) from error
        if new:
            self._lock = lock
            return True
        shutil.rmtree(self.partial)
        os.close(lock)
        return False

    def publish(self) -> None:
        """Give what was written its final place.

        Raises:
            OutputError: the system refused.
        """
        with refusals(self._shown, self.path):
            if self._exists:
                for name in sorted(os.listdir(self.partial)):  # noqa: PTH208  # names alone
                    (self.partial / name).rename(self.path / name)
                self.partial.rmdir()
            else:
                self.partial.rename(self.path)

    def __exit__(self, *exception: object) -> None:
        """Remove what was not published, and let go of the lock."""
        if self._lock < 0:
            return
        try:
            if exception[0] is not None:
                shutil.rmtree(self.partial, ignore_errors=True)
        finally:
            os.close(self._lock)
            self._lock = -1
