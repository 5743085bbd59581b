"""What an address names: a path on this disk, an object on S3, a file on a web server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from distributed_prompt.backends.base import Backend
from distributed_prompt.backends.file_backend import FileBackend
from distributed_prompt.errors import AddressError
from distributed_prompt.fork_gate import importing

_SCHEME = "://"


def open_backend(address: str | os.PathLike[str]) -> Backend:
    """Open the pack at an address.

    Args:
        address: a path, ``s3://bucket/key``, ``https://host/path`` or ``http://host/path``.

    Raises:
        AddressError: another kind of address.
        DPromptError: what the backend says.
    """
    place = os.fspath(address)
    if not is_remote(place):
        return FileBackend(place)
    scheme = place.partition(_SCHEME)[0].lower()
    if scheme == "s3":
        # These need more to be imported than most programs want.
        with importing:
            from distributed_prompt.backends.s3_backend import S3Backend  # noqa: PLC0415
            from distributed_prompt.backends.s3_client import S3Object  # noqa: PLC0415

        found = S3Object.parse(place)
        return S3Backend(found.bucket, key=found.key)
    if scheme in {"http", "https"}:
        with importing:
            from distributed_prompt.backends.http_backend import HttpBackend  # noqa: PLC0415  # as above

        return HttpBackend(place)
    message = f"{scheme}://…: packs are read at paths, s3://bucket/key and https://host/path"
    raise AddressError(message)


def is_remote(address: object) -> bool:
    """Whether an address is not a path on this disk."""
    return isinstance(address, str) and _SCHEME in address


@contextmanager
def opened(pack: Backend | str | os.PathLike[str]) -> Iterator[Backend]:
    """A backend as it is, or one on an address that is closed at the end."""
    if isinstance(pack, Backend):
        yield pack
    else:
        with open_backend(pack) as backend:
            yield backend
