"""Packs on S3, read where they are touched."""

import os
import time
from importlib import import_module
from typing import Any

from distributed_prompt.backends.far_backend import FarBackend
from distributed_prompt.backends.file_backend import PACK_NAME
from distributed_prompt.backends.page_cache import DEFAULT_CACHE_DIR_BYTES
from distributed_prompt.backends.pages import DEFAULT_CACHE_BYTES
from distributed_prompt.backends.ranges import Ranges
from distributed_prompt.backends.s3_client import S3Object, environment_endpoint
from distributed_prompt.errors import ArgumentError
from distributed_prompt.locks import Lock

_SIGNED_SECONDS = 3600
_RENEWED_SECONDS = 600


class S3Backend(FarBackend):
    """A pack that is one object in a bucket.

    Attributes:
        address: ``s3://bucket/key``.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str | None = None,
        key: str | None = None,
        endpoint_url: str | None = None,
        region_name: str | None = None,
        client: Any = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        cache_dir: str | os.PathLike[str] | None = None,
        cache_dir_bytes: int = DEFAULT_CACHE_DIR_BYTES,
    ) -> None:
        """Open the pack. What is not given comes from where boto3 takes it: credentials, region, endpoint.

        Args:
            bucket: the bucket's name.
            prefix: the key is ``prefix/prompt.dprompt``.
            key: the key, instead of a prefix.
            endpoint_url: the server.
            region_name: the region.
            client: a boto3 client to sign with.
            cache_bytes: memory that pages of the pack may take.
            cache_dir: a folder that keeps pages on disk; processes may share it.
            cache_dir_bytes: about what the files in it may take together.

        Raises:
            ArgumentError: both a prefix and a key, or neither.
            PackNotFoundError: no such object or bucket.
            AccessError: the server refuses.
            RemoteError: the server cannot be reached, or fails.
            NotAPackError: an object that is no pack.
            UnsupportedPackError: a newer format.
            CorruptPackError: a damaged pack.

        Cost: one round trip, whatever the length.
        """
        if (prefix is None) == (key is None):
            message = "give either the prefix or the key of a pack"
            raise ArgumentError(message)
        where = key if key is not None else pack_key(prefix or "")
        found = S3Object(bucket, where, endpoint_url=endpoint_url, region_name=region_name, client=client)
        # Another process has no client of ours, and perhaps another environment.
        meta = client.meta if client else None
        endpoint = endpoint_url or (meta.endpoint_url if meta else environment_endpoint())
        region = region_name or (meta.region_name if meta else None)
        caches = cache_bytes, cache_dir, cache_dir_bytes
        self._arguments = (bucket, None, where, endpoint, region, None, *caches)
        self.address = found.address
        self._is_default = endpoint_url is region_name is client is None
        self._open(signed_ranges(found), cache_bytes, cache_dir, cache_dir_bytes)

    @property
    def opener(self) -> str:
        """The address, unless the server or its credentials were given besides.

        Cost: no request.
        """
        return self.address if self._is_default else ""


def __getattr__(name: str) -> object:
    """Give ``ingest_to_s3`` to who looks for it here; it stands on what stands on this module."""
    if name == "ingest_to_s3":
        return import_module("distributed_prompt.publishing").ingest_to_s3
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def signed_ranges(place: S3Object) -> Ranges:
    """What reads an object by URLs that are signed."""
    signed = _SignedUrl(place)
    return Ranges(place.address, signed.get, signed.renew)


class _SignedUrl:
    """A URL for GET requests, signed anew from time to time."""

    def __init__(self, place: S3Object) -> None:
        self._place = place
        self._lock = Lock()
        self._url = ""
        self._good_until = 0.0

    def get(self) -> str:
        with self._lock:
            if time.monotonic() > self._good_until:
                self._url = self._place.presigned(_SIGNED_SECONDS)
                self._good_until = time.monotonic() + _RENEWED_SECONDS
            return self._url

    def renew(self) -> None:
        with self._lock:
            self._good_until = 0.0


def pack_key(prefix: str) -> str:
    """The key of the pack under a prefix."""
    return f"{prefix.rstrip('/')}/{PACK_NAME}" if prefix.rstrip("/") else PACK_NAME
