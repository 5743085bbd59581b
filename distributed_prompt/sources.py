"""Input files: where bytes come from."""

import errno
import json
import os
import stat
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

from distributed_prompt.backends.file_backend import is_shard_folder
from distributed_prompt.errors import AddressError, DPromptError, PackNotFoundError, PackReadError
from distributed_prompt.text.pieces import encode

STANDARD_INPUT = "-"
EXCLUDE_ADVICE = "; --exclude leaves it out"
_READ_BYTES = 2**18


class Source(Protocol):
    """Bytes to be packed.

    Attributes:
        name: how the document is called.
        shown: what errors call the source.
        size_bytes: bytes in all; None where that is not known beforehand, and they can be read but once.
        optional: whether it is left out, rather than refused, if it is no text.
    """

    name: str
    shown: str
    size_bytes: int | None
    optional: bool

    def portions(self) -> Iterator[bytes]:
        """The bytes in order, some at a time."""

    def locate(self, offset: int) -> str:
        """Where byte ``offset`` of all is, for a person."""

    def reads(self, path: Path) -> bool:
        """Whether ``path`` is one of the files that the bytes come from."""


class FileSource:
    """Files whose bytes follow each other as one text: usually one."""

    optional = False

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Find the input.

        Args:
            path: a file, ``-`` for standard input, or a folder of ``NNNN.txt`` shards with ``meta.json``.

        Raises:
            PackNotFoundError: nothing is there.
            AddressError: a folder of another kind.
            PackReadError: a shard of the folder is missing.
        """
        self.shown = os.fspath(path)
        self._starts: list[tuple[int, str]] = []
        self.name = "stdin"
        self.size_bytes: int | None = None
        if self.shown == STANDARD_INPUT:
            self._files: list[Path] = []
            return
        try:
            self._look(Path(os.path.abspath(self.shown)))  # noqa: PTH100  # also names '.'
        except OSError as error:
            if isinstance(error, DPromptError):
                raise
            message = f"{self.shown}: {error.strerror}"
            raise PackReadError(message) from error

    def _look(self, place: Path) -> None:
        try:
            place.stat()
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:
            message = f"{self.shown}: no such file"
            raise PackNotFoundError(message) from error
        self.name = place.name
        self._files = shard_files(place, self.shown) if place.is_dir() else [place]
        if all(file.is_file() for file in self._files):
            self.size_bytes = sum(file.stat().st_size for file in self._files)

    def reads(self, path: Path) -> bool:
        """See the contract."""
        try:
            return any(file.samefile(path) for file in self._files)
        except OSError:
            return False

    def versions(self) -> list[tuple[int, int]]:
        """Size and time of the last change of each file that the bytes come from.

        Raises:
            PackReadError: the system could not look.
        """
        return [_version(str(file), self.shown) for file in self._files]

    def portions(self) -> Iterator[bytes]:
        """See the contract.

        Raises:
            PackReadError: the system could not read.
        """
        if self.shown == STANDARD_INPUT:
            yield from self._standard_input()
            return
        total = 0
        for file in self._files:
            shown = self.shown if len(self._files) == 1 else str(file)
            self._starts.append((total, shown))
            for data in _portions(str(file), shown, os.O_RDONLY):
                total += len(data)
                yield data

    def _standard_input(self) -> Iterator[bytes]:
        self._starts = [(0, "standard input")]
        try:
            yield from iter(partial(sys.stdin.buffer.read, _READ_BYTES), b"")
        except (AttributeError, OSError) as error:
            message = f"standard input: cannot be read ({getattr(error, 'strerror', None) or 'it is closed'})"
            raise PackReadError(message) from error

    def locate(self, offset: int) -> str:
        """See the contract."""
        start, shown = [entry for entry in self._starts if entry[0] <= offset][-1]
        return f"{shown}: byte {offset - start}"


class TreeSource:
    """A file that was found in a folder. A symbolic link that has taken its place meanwhile is not followed."""

    optional = True

    def __init__(self, name: str, path: str, size_bytes: int) -> None:
        """Take where it is and how large."""
        self.name = name
        self.shown = path
        self.size_bytes: int | None = size_bytes

    def portions(self) -> Iterator[bytes]:
        """See the contract.

        Raises:
            PackReadError: the system could not read.
        """
        # Not to wait for a writer, should it be a pipe by now.
        return _portions(self.shown, self.shown, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, EXCLUDE_ADVICE)

    def locate(self, offset: int) -> str:
        """See the contract."""
        return f"{self.shown}: byte {offset}"

    def reads(self, path: Path) -> bool:  # noqa: ARG002  # the contract's
        """Never: whoever found it in the folder has left out what must not be read."""
        return False

    def versions(self) -> list[tuple[int, int]]:
        """Size and time of the last change of each file that the bytes come from.

        Raises:
            PackReadError: the system could not look.
        """
        return [_version(self.shown, self.shown, EXCLUDE_ADVICE)]


def _portions(path: str, shown: str, flags: int, advice: str = "") -> Iterator[bytes]:
    try:
        with open(path, "rb", buffering=0, opener=lambda name, _: os.open(name, flags)) as file:
            if flags & os.O_NONBLOCK and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "is no file any more")  # noqa: TRY301  # worded below
            while data := file.read(_READ_BYTES):
                yield data
    except OSError as error:
        message = f"{shown}: {error.strerror}{advice}"
        raise PackReadError(message) from error


def _version(path: str, shown: str, advice: str = "") -> tuple[int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116  # a string, of many
    except OSError as error:
        message = f"{shown}: {error.strerror}{advice}"
        raise PackReadError(message) from error
    return status.st_size, status.st_mtime_ns


class TextSource:
    """A string that is in memory already, as UTF-8 with lone surrogates as three bytes each."""

    optional = False

    def __init__(self, text: str) -> None:
        """Take the text."""
        self.name = self.shown = "string"
        self.size_bytes: int | None = None
        self._text = text

    def portions(self) -> Iterator[bytes]:
        """See the contract."""
        return (encode(self._text[at : at + _READ_BYTES]) for at in range(0, len(self._text), _READ_BYTES))

    def locate(self, offset: int) -> str:
        """See the contract."""
        return f"string: byte {offset}"

    def reads(self, path: Path) -> bool:  # noqa: ARG002  # the contract's
        """Never: it is in memory."""
        return False


def shard_files(folder: Path, shown: str) -> list[Path]:
    """The text files of a *shard folder*, in order: ``meta.json`` counts them, ``0000.txt`` is the first.

    Raises:
        AddressError: the folder is no such folder.
        PackReadError: it lacks one of its shards.
    """
    if not is_shard_folder(folder):
        message = f"{shown}: is a folder; name one file (dprompt pack takes folders)"
        raise AddressError(message)
    try:
        count = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["num_shards"]
        if type(count) is not int or count < 1:
            raise ValueError(count)  # noqa: TRY301  # one place says what is wrong with the file
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        message = f"{shown}: meta.json: cannot be read as the index of a shard folder ({error!r})"
        raise PackReadError(message) from error
    files = [folder / f"{shard:04d}.txt" for shard in range(count)]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        message = f"{shown}: {missing[0]} is missing; meta.json lists {count} shards"
        raise PackReadError(message)
    return files
