"""Packs on this disk."""

import os
import stat
from pathlib import Path
from typing import Self

from distributed_prompt.backends.base import Backend
from distributed_prompt.errors import AddressError, NotAPackError, PackNotFoundError, PackReadError
from distributed_prompt.store.engines import open_store
from distributed_prompt.store.pack import Pack

PACK_NAME = "prompt.dprompt"


class FileBackend(Backend):
    """A pack file, or a folder that holds one named ``prompt.dprompt``.

    The path is made absolute at once, so a later ``os.chdir`` does no harm. The engine is recognised by
    the file's first bytes, never by its name.

    Attributes:
        address: the absolute path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the pack.

        Raises:
            PackNotFoundError: nothing is there.
            AddressError: a folder without a pack.
            NotAPackError: a file that is no pack.
            UnsupportedPackError: a newer format.
            CorruptPackError: a damaged pack.
            PackReadError: the system could not read it.

        Cost: the metadata table, whatever the length.
        """
        self.address = str(find_pack(path))
        self.pack = Pack(open_store(self.address))

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        """The absolute path."""
        return type(self), (self.address,)


def find_pack(path: str | os.PathLike[str]) -> Path:
    """The absolute path of the pack at ``path``, which may be the folder that holds it."""
    if "://" in os.fspath(path):
        scheme, _, rest = os.fspath(path).partition("://")
        # Of other addresses than those on S3, anything may be secret.
        shown = f"s3://{rest}" if scheme == "s3" else f"{scheme}://…"
        hint = f"; fetch it first: dprompt pull {shown} corpus.dprompt" if scheme == "s3" else "; fetch it first"
        message = f"{shown}: is not on this disk{hint}"
        raise AddressError(message)
    if not os.fspath(path):
        message = "'': an empty address; name a pack, or . for the one in this folder"
        raise AddressError(message)
    place = Path(os.path.abspath(os.fspath(path)))  # noqa: PTH100  # Path.absolute keeps '..'
    try:
        mode = place.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        message = f"{path}: no such file"
        raise PackNotFoundError(message) from error
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise PackReadError(message) from error
    if stat.S_ISDIR(mode):
        inside = place / PACK_NAME
        if inside.is_file():
            return inside
        if is_shard_folder(place):
            message = (
                f"{path}: a folder of NNNN.txt shards, not a pack; make one with: "
                f"dprompt pack {path} -o {place.name or 'corpus'}.dprompt"
            )
            raise AddressError(message)
        message = f"{path}: a folder without {PACK_NAME}; name a pack, or make one with: dprompt pack FILE -o OUT"
        raise AddressError(message)
    if not stat.S_ISREG(mode):
        message = f"{path}: is a device; a pack is a file"
        raise NotAPackError(message)
    return place


def is_shard_folder(folder: Path) -> bool:
    """Whether a folder is a *shard folder*: ``0000.txt`` and so on, counted in ``meta.json``."""
    return (folder / "meta.json").is_file() and (folder / "0000.txt").is_file()
