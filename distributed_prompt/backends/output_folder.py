"""Folders that appear with everything in them or not at all."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Self

from distributed_prompt.backends.output import local_name, partial_path, refusals
from distributed_prompt.backends.output_lock import OutputLock
from distributed_prompt.errors import ArgumentError, OutputError, OutputExistsError


class OutputFolder:
    """A context in which ``partial`` is filled, to become ``path`` when ``publish`` is called.

    Nobody else's file is ever touched: the folder is new, or takes the place of an empty one. The partial folder is
    locked, so a second writer is turned away, and what a killed one left behind is cleared by the next.

    Attributes:
        path: the final name, absolute; the folder that a symbolic link points to.
        partial: the folder that is filled.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the folder.

        Raises:
            ArgumentError: no folder can have this name.
            AddressError: it is an address elsewhere.
        """
        self._shown = local_name(path, "folder")
        self.path = Path(os.path.realpath(self._shown))
        self.partial = partial_path(self.path, self._shown, "unpacking")
        self._lock = OutputLock()

    def __enter__(self) -> Self:
        """Check the name and take the lock.

        Raises:
            ArgumentError: it is that of the working folder, which would be gone under its user.
            OutputExistsError: the folder has something in it, or a file has its name.
            OutputError: the system refused, or another process writes this folder.
        """
        try:
            with refusals(self._shown, self.path):
                mode = self._check()
                while not self._take():
                    pass
                if mode is not None:
                    self.partial.chmod(mode)
        except BaseException as error:
            self.__exit__(error)
            raise
        return self

    def _check(self) -> int | None:
        """The mode of the empty folder whose place is taken, if there is one."""
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError:
            return None
        found = os.listdir(self.path) if stat.S_ISDIR(mode) else None  # noqa: PTH208  # names alone
        if found is None or found:
            message = f"{self._shown}: {f'has {found[0]!r} in it' if found else 'is a file'}; name a new folder"
            raise OutputExistsError(message)
        if self.path.samefile(os.curdir):
            message = f"{self._shown}: is the working folder; name a new one in it"
            raise ArgumentError(message)
        return stat.S_IMODE(mode)

    def _take(self) -> bool:
        """Make the partial folder and lock it; False if another writer's was in the way and is gone now."""
        try:
            self.partial.mkdir()
            is_new = True
        except FileExistsError:
            is_new = False
        lock = OutputLock()
        lock.open(self.partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        # Of a new one a mounted disk may say anything.
        if not is_new and os.fstat(lock.descriptor).st_uid != os.geteuid():
            lock.close()
            message = f"{self._shown}: {self.partial.name} is in the way, another user's; remove it"
            raise OutputError(message)
        try:
            lock.take()
        except OSError as error:
            lock.close()
            if not isinstance(error, BlockingIOError):
                _remove(self.partial)
                raise
            message = f"{self._shown}: another process is writing it now"
            raise OutputError(message) from error
        if self._is_current(lock) and not os.listdir(self.partial):  # noqa: PTH208  # names alone
            self._lock = lock
            return True
        with suppress(FileNotFoundError):
            if self._is_current(lock):
                _remove(self.partial)
        lock.close()
        return False

    def _is_current(self, lock: OutputLock) -> bool:
        """Whether the locked folder still has the partial name: another writer may have removed it."""
        try:
            return os.path.samestat(os.fstat(lock.descriptor), self.partial.lstat())
        except FileNotFoundError:
            return False

    def make(self, folder: str) -> None:
        """Make a folder within the partial one, and those it is in; those that are there already stay."""
        path = str(self.partial)
        for part in folder.split("/"):
            path = f"{path}/{part}"
            with suppress(FileExistsError):
                os.mkdir(path)  # noqa: PTH102  # often

    def publish(self) -> None:
        """Give what was written its final place.

        Raises:
            OutputError: the system refused; for one, since something was put into the folder meanwhile.
        """
        with refusals(self._shown, self.path):
            self.partial.rename(self.path)

    def __exit__(self, *exception: object) -> None:
        """Remove what was not published, and let go of the lock."""
        if self._lock.descriptor < 0:
            return
        try:
            if exception[0] is not None:
                with suppress(OSError):
                    _remove(self.partial)
        finally:
            self._lock.close()


def _remove(folder: Path) -> None:
    """Remove a folder and all in it, however deep: shutil.rmtree recurses."""
    pending, folders = [str(folder)], []
    while pending:
        path = pending.pop()
        folders.append(path)
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    os.unlink(entry.path)  # noqa: PTH108  # often
    for path in reversed(folders):
        os.rmdir(path)  # noqa: PTH106  # as above
