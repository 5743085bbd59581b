"""The inputs that a pack is made of: arguments to sources, folders walked, in the order of their names."""

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, Self

from distributed_prompt.backends.file_backend import is_shard_folder
from distributed_prompt.errors import ArgumentError, PackReadError
from distributed_prompt.selection import Selection
from distributed_prompt.sources import EXCLUDE_ADVICE, STANDARD_INPUT, FileSource, Source, TreeSource

FileIdentity = tuple[int, int]
"""Device and inode."""


class LeftOut(NamedTuple):
    """What was found in a folder and not packed.

    Attributes:
        name: what its document would be called.
        reason: ``symbolic link``, ``device, pipe or socket``, ``not utf-8`` or of another encoding.
        detail: where and why, if there is more to say.
    """

    name: str
    reason: str
    detail: str = ""


class Inputs:
    """What the arguments of ``pack`` name.

    A file is one document, called by its name. Of a folder every file in it and below is one, called by its path from
    the folder's parent; symbolic links are not followed there.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]], selection: Selection) -> None:
        """Look at what the arguments name; nothing is read yet.

        Raises:
            ArgumentError: there is none, or standard input is named twice.
            PackNotFoundError: nothing is there.
            PackReadError: the system could not look.
        """
        self._selection = selection
        self._folders: list[str] = []
        self._files: list[Source] = []
        shown = [os.fspath(path) for path in paths]
        if not shown:
            message = "no input: name files or folders"
            raise ArgumentError(message)
        if shown.count(STANDARD_INPUT) > 1:
            message = "standard input can be read but once"
            raise ArgumentError(message)
        for path in shown:
            if path != STANDARD_INPUT and os.path.isdir(path) and not is_shard_folder(Path(path)):  # noqa: PTH112
                self._folders.append(os.path.abspath(path))  # noqa: PTH100  # also names '.'
            else:
                self._files.append(FileSource(path))

    @classmethod
    def of(cls, *sources: Source) -> Self:
        """Some sources, whatever their kinds."""
        inputs = object.__new__(cls)
        inputs._selection, inputs._folders, inputs._files = Selection(), [], [*sources]  # its own
        return inputs

    @property
    def size_bytes(self) -> int | None:
        """Bytes in all; None where that is not known beforehand."""
        sizes = [source.size_bytes for source in self._files]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) and not self._folders else None

    def reads(self, path: Path) -> bool:
        """Whether a file is one of those that were named."""
        return any(source.reads(path) for source in self._files)

    def sources(self, omit: Collection[FileIdentity], leave_out: Callable[[LeftOut], None]) -> Iterator[Source]:
        """All sources, ascending by name; folders are walked meanwhile.

        Args:
            omit: files that must not be read: what is being written.
            leave_out: is told what is left out.

        Raises:
            ArgumentError: two documents would have one name, or one the name of a folder of the other.
            PackReadError: the system could not read a folder.
        """
        files = sorted((file for file in self._files if self._selection.takes(file.name)), key=attrgetter("name"))
        walks = (self._walk(folder, omit, leave_out) for folder in self._folders)
        above: list[Source] = []
        for source in merge(files, *walks, key=attrgetter("name")):
            # Those that may still turn out to be called as a folder of what follows.
            while above and not source.name < f"{above[-1].name}0":
                above.pop()
            for other in above:
                if source.name == other.name:
                    what = f"both {other.shown} and {source.shown} would be called so"
                elif source.name.startswith(f"{other.name}/"):
                    what = f"{source.shown} cannot be unpacked beside {other.shown}, called {other.name!r}"
                else:
                    continue
                message = f"document {source.name!r}: {what}; name a folder that holds both"
                raise ArgumentError(message)
            above.append(source)
            yield source

    def _walk(
        self, folder: str, omit: Collection[FileIdentity], leave_out: Callable[[LeftOut], None]
    ) -> Iterator[Source]:
        """The files below a folder, ascending by name: no more is held than the entries of the folders they are in."""
        name = os.path.basename(folder)  # noqa: PTH119  # of the root: ''
        if name and not self._selection.enters(name):
            return
        pending = [_entries(folder, name)]
        while pending:
            found = next(pending[-1], None)
            if found is None:
                pending.pop()
                continue
            name, entry = found
            if entry.is_dir(follow_symlinks=False):
                if self._selection.enters(name):
                    pending.append(_entries(entry.path, name))
            elif self._selection.takes(name):
                status = _status(entry)
                if stat.S_ISLNK(status.st_mode):
                    leave_out(LeftOut(name, "symbolic link"))
                elif not stat.S_ISREG(status.st_mode):
                    leave_out(LeftOut(name, "device, pipe or socket"))
                elif (status.st_dev, status.st_ino) not in omit:
                    yield TreeSource(name, entry.path, status.st_size)


def _entries(folder: str, name: str) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """What is in a folder, in the order of whole names, in which a folder's name goes on with a slash."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(
                entries, key=lambda entry: f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
            )
    except OSError as error:
        raise _unreadable(folder, error) from error
    prefix = f"{name}/" if name else ""
    return ((f"{prefix}{entry.name}", entry) for entry in found)


def _status(entry: "os.DirEntry[str]") -> os.stat_result:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError as error:
        raise _unreadable(entry.path, error) from error


def _unreadable(path: str, error: OSError) -> PackReadError:
    return PackReadError(f"{path}: {error.strerror}{EXCLUDE_ADVICE}")
