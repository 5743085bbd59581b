"""Text or pack in, an object on S3 out."""

import os
import tempfile
from pathlib import Path
from typing import Any

from distributed_prompt.backends.file_backend import FileBackend
from distributed_prompt.backends.s3_backend import pack_key
from distributed_prompt.backends.s3_client import S3Object
from distributed_prompt.backends.sync import PushResult, push
from distributed_prompt.errors import AddressError, ArgumentError, NotAPackError
from distributed_prompt.packing import pack


def ingest_to_s3(
    source: str | os.PathLike[str],
    bucket: str,
    prefix: str | None = None,
    key: str | None = None,
    endpoint_url: str | None = None,
    region_name: str | None = None,
    client: Any = None,
    **options: Any,
) -> PushResult:
    """Make an object of a pack, or of text that is packed first.

    Args:
        source: a pack, a folder that holds one named ``prompt.dprompt``, or text as :func:`distributed_prompt.pack`
            takes it.
        bucket: the bucket's name.
        prefix: the key is ``prefix/prompt.dprompt``.
        key: the key, instead of a prefix.
        endpoint_url: the server, if not where boto3 takes it from.
        region_name: the region, likewise.
        client: a boto3 client to use as it is.
        options: for packing text, as :func:`distributed_prompt.pack` takes them.

    Raises:
        ArgumentError: both a prefix and a key, or neither; or options for what is a pack already.
        DPromptError: as of ``pack`` and ``push``.

    Cost: as ``push``, which sends only what differs from the object that is there; for text, first as ``pack``, in a
    temporary folder that takes the size of the pack.
    """
    if (prefix is None) == (key is None):
        message = "give either the prefix or the key of the pack to be"
        raise ArgumentError(message)
    address = S3Object(bucket, key if key is not None else pack_key(prefix or "")).address
    server = {"endpoint_url": endpoint_url, "region_name": region_name, "client": client}
    found = _found_pack(source)
    if found is None:
        with tempfile.TemporaryDirectory(prefix="dprompt-") as folder:
            made = Path(folder) / "prompt.dprompt"
            pack(source, made, **options)
            return push(made, address, **server)
    if options:
        message = f"{next(iter(options))}: {source} is a pack already"
        raise ArgumentError(message)
    return push(found, address, **server)


def _found_pack(source: str | os.PathLike[str]) -> str | None:
    """The path of the pack that is there; None for text."""
    try:
        with FileBackend(source) as backend:
            return backend.address
    except (AddressError, NotAPackError):
        return None
