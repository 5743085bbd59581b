"""One S3 object: its address, and a client for it.

The only importer of boto3, and only where a client is made: that import takes longer than most reads. Of botocore,
which that brings along, s3_errors.py knows what it raises.
"""

import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from distributed_prompt.backends.s3_errors import UnsupportedError, typed
from distributed_prompt.errors import AddressError, ArgumentError, PackNotFoundError
from distributed_prompt.fork_gate import importing
from distributed_prompt.locks import Lock
from distributed_prompt.manifest import S3_SCHEME

CONNECTIONS = 32

_ATTEMPTS = 5
_CONNECT_SECONDS = 10
_READ_SECONDS = 60
_KEY_BYTES = 1024
_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_AMAZON = re.compile(r"\.amazonaws\.com(\.cn)?$")


class ObjectState(NamedTuple):
    """What an object is at the moment.

    Attributes:
        size_bytes: its size.
        etag: names its contents; without quotes, as some servers want it back.
    """

    size_bytes: int
    etag: str


class S3Object:
    """Where an object is, and who asks for it. Pickles as that, without client or credentials.

    Attributes:
        bucket: the bucket's name.
        key: the object's name in it.
        endpoint_url: the server, if not Amazon's or the one that the environment names.
        region_name: the region, if not the one of boto3's configuration.
    """

    __slots__ = ("_source", "bucket", "endpoint_url", "key", "region_name")

    def __init__(
        self,
        bucket: str,
        key: str,
        *,
        endpoint_url: str | None = None,
        region_name: str | None = None,
        client: Any = None,
    ) -> None:
        """Name the object.

        Args:
            bucket: the bucket's name.
            key: the object's name in it.
            endpoint_url: the server, as boto3 takes it.
            region_name: the region, as boto3 takes it.
            client: a boto3 client to use as it is, instead of one made at first use.

        Raises:
            AddressError: no object can have this name.
            ArgumentError: ``endpoint_url`` is not the URL of a server.
        """
        self.bucket = _check_bucket(bucket)
        self.key = _check_key(bucket, key)
        self.endpoint_url = None if endpoint_url is None else _check_endpoint(endpoint_url)
        self.region_name = region_name
        self._source = _ClientSource(self.endpoint_url, region_name, client)

    @classmethod
    def parse(
        cls, address: str, *, endpoint_url: str | None = None, region_name: str | None = None, client: Any = None
    ) -> Self:
        """The object at ``s3://bucket/key``.

        Raises:
            AddressError: the address is not of this form; the message names what is wrong with it.
            ArgumentError: ``endpoint_url`` is not the URL of a server.
        """
        if not isinstance(address, str):
            message = f"an address on S3 is a str, not {type(address).__name__}"  # type: ignore[unreachable]
            raise TypeError(message)
        if not address.startswith(S3_SCHEME):
            # Of other addresses, anything may be secret.
            shown = f"{address.partition('://')[0]}://…" if "://" in address else repr(address)
            message = f"{shown}: an address on S3 is {S3_SCHEME}bucket/key"
            raise AddressError(message)
        bucket, _, key = address.removeprefix(S3_SCHEME).partition("/")
        return cls(bucket, key, endpoint_url=endpoint_url, region_name=region_name, client=client)

    @property
    def address(self) -> str:
        """``s3://bucket/key``."""
        return f"{S3_SCHEME}{self.bucket}/{self.key}"

    @property
    def client(self) -> Any:
        """The boto3 client: made at first use, shared by all threads, anew in a forked child.

        Raises:
            AccessError: the configuration of credentials cannot be read.
        """
        with typed(self):
            return self._source.get()

    @property
    def is_anonymous(self) -> bool:
        """Whether no credentials were found, so that requests go unsigned: enough for public buckets."""
        return _is_unsigned(self.client)

    def sibling(self, suffix: str) -> "S3Object":
        """The object whose key goes on with ``suffix``, by the same client."""
        other = S3Object(self.bucket, self.key + suffix, endpoint_url=self.endpoint_url, region_name=self.region_name)
        other._source = self._source
        return other

    def presigned(self, expires_seconds: int) -> str:
        """A URL that GETs the object without further credentials; plain where there are none.

        Args:
            expires_seconds: how long it is good for, at most; credentials of shorter life end it sooner.
        """
        client = self.client
        with typed(self):
            url: str = client.generate_presigned_url(
                "get_object", Params={"Bucket": self.bucket, "Key": self.key}, ExpiresIn=expires_seconds
            )
        return url

    def head(self) -> ObjectState | None:
        """Size and ETag, or None if there is no such object (servers do not say if it is the bucket that is missing).

        Raises:
            AccessError: the server refuses.
            RemoteError: the server cannot be reached or fails.

        Cost: one request.
        """
        client = self.client
        try:
            with typed(self):
                answer = client.head_object(Bucket=self.bucket, Key=self.key)
        except PackNotFoundError:
            return None
        return ObjectState(answer.get("ContentLength", 0), etag_of(self, answer))

    def missing(self) -> PackNotFoundError:
        """What to raise after ``head`` has found nothing: names the bucket if that is what is missing."""
        client = self.client
        try:
            with typed(self):
                client.get_object(Bucket=self.bucket, Key=self.key, Range="bytes=0-0")["Body"].close()
        except PackNotFoundError as error:
            return error
        return PackNotFoundError(f"{self.address}: no such object a moment ago; try again")

    def put(self, data: bytes) -> None:
        """Make the object one of some bytes, few enough for one request.

        Raises:
            PackNotFoundError: there is no such bucket.
            AccessError: the server refuses.
            RemoteError: the server cannot be reached or fails.

        Cost: one request.
        """
        client = self.client
        with typed(self):
            client.put_object(Bucket=self.bucket, Key=self.key, Body=data)

    def listed(self, beginning: str) -> Iterator[str]:
        """The keys in the bucket that begin in this way, ascending.

        Raises:
            PackNotFoundError: there is no such bucket.
            AccessError: the server refuses.
            RemoteError: the server cannot be reached or fails.

        Cost: a request for each 1,000.
        """
        client = self.client
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=beginning)
        with typed(self):
            for page in pages:
                for found in page.get("Contents", ()):
                    yield found["Key"]

    def close(self) -> None:
        """Close the connections, unless the client is the caller's. The next request opens them again."""
        self._source.close()

    def server(self) -> str:
        """The server's name and port, for errors."""
        url = urlsplit(self._source.endpoint())
        return url.netloc.rpartition("@")[2] or "S3"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, S3Object) and self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash((self.bucket, self.key, self.endpoint_url, self.region_name))

    def __repr__(self) -> str:
        at = f", endpoint_url={self.endpoint_url!r}" if self.endpoint_url else ""
        return f"S3Object({self.bucket!r}, {self.key!r}{at})"

    def __reduce__(self) -> tuple[object, ...]:
        """Bucket, key, endpoint and region; the other side finds credentials of its own."""
        return _restore, (self.bucket, self.key, self.endpoint_url, self.region_name)


def _restore(bucket: str, key: str, endpoint_url: str | None, region_name: str | None) -> S3Object:
    return S3Object(bucket, key, endpoint_url=endpoint_url, region_name=region_name)


class _ClientSource:
    """A client to be, shared by an object and its siblings."""

    def __init__(self, endpoint_url: str | None, region_name: str | None, client: Any) -> None:
        self._endpoint_url = endpoint_url
        self._region_name = region_name
        self._client = client
        # A client given to us cannot be made again, so a forked child has to do with it.
        self._process: int | None = None
        self._lock = Lock()

    def get(self) -> Any:
        with self._lock:
            if self._client is None or self._process not in {None, os.getpid()}:
                # Two processes on one connection would read each other's answers.
                self._client, self._process = _make_client(self._endpoint_url, self._region_name), os.getpid()
            return self._client

    def close(self) -> None:
        with self._lock:
            if self._client is not None and self._process == os.getpid():
                self._client.close()
                self._client = None

    def endpoint(self) -> str:
        if self._client is not None:
            return str(self._client.meta.endpoint_url)
        return self._endpoint_url or environment_endpoint() or ""


def environment_endpoint() -> str | None:
    """The server that the environment names, if it does."""
    found = next(filter(None, map(os.environ.get, _ENDPOINT_VARIABLES)), None)
    return None if found is None else _check_endpoint(found)


def _make_client(endpoint_url: str | None, region_name: str | None) -> Any:
    # A session of our own: the default one is not safe to make clients with on several threads.
    with importing:
        import boto3.session  # type: ignore[import-untyped]  # noqa: PLC0415  # 200 to 600 ms
        import botocore.session  # type: ignore[import-untyped]  # noqa: PLC0415  # as above
        from botocore import UNSIGNED  # noqa: PLC0415  # as above
        from botocore.config import Config  # type: ignore[import-untyped]  # noqa: PLC0415  # as above

    core = botocore.session.Session()
    _share_loader(core)
    session = boto3.session.Session(botocore_session=core)
    signature = UNSIGNED if session.get_credentials() is None else "s3v4"

    def make(*, is_custom: bool) -> Any:
        # Servers other than Amazon's often know neither the newer checksums nor bucket names as host names.
        checksums = {f"{side}_checksum_{what}": "when_required" for side, what in _CHECKSUMS} if is_custom else {}
        config = Config(
            signature_version=signature,
            max_pool_connections=CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            tcp_keepalive=True,
            s3={"addressing_style": "path" if is_custom else "auto"},
            **checksums,
        )
        return session.client("s3", endpoint_url=endpoint_url, region_name=region_name, config=config)

    is_custom = endpoint_url is not None or environment_endpoint() is not None
    client = make(is_custom=is_custom)
    if not is_custom and not _AMAZON.search(urlsplit(client.meta.endpoint_url).hostname or ""):
        # The endpoint is one of a profile.
        client = make(is_custom=True)
    return client


def _share_loader(session: Any) -> None:
    """Let a session read the descriptions of Amazon's services from where an earlier one keeps them.

    They are all that takes time in making a client: 120 ms, and 8 without.
    """
    data_path = session.get_config_variable("data_path")
    loader = _loaders.setdefault(data_path, session.get_component("data_loader"))
    loader.search_paths[:] = dict.fromkeys(loader.search_paths)  # boto3 adds its own with every session
    session.register_component("data_loader", loader)


_loaders: dict[str | None, Any] = {}
_CHECKSUMS = (("request", "calculation"), ("response", "validation"))


def _is_unsigned(client: Any) -> bool:
    from botocore import UNSIGNED  # noqa: PLC0415  # there is a client, so it has been imported

    return client.meta.config.signature_version is UNSIGNED


def etag_of(place: S3Object, answer: dict[str, Any]) -> str:
    """The ETag in an answer, bare.

    Raises:
        UnsupportedError: there is none.
    """
    etag = bare_etag(answer.get("ETag", ""))
    if not etag:
        message = f"{place.address}: {place.server()} does not say which object it has (no ETag)"
        raise UnsupportedError(message)
    return etag


def bare_etag(etag: str) -> str:
    """An ETag without quotes: Ceph compares it with its own letter by letter when it is to write."""
    return etag.removeprefix("W/").strip('"')


def _check_bucket(bucket: str) -> str:
    if not bucket:
        message = f"{S3_SCHEME}: no bucket; an address on S3 is {S3_SCHEME}bucket/key"
        raise AddressError(message)
    if not _BUCKET.fullmatch(bucket):
        # It may hold anything, credentials included, so it is not shown.
        message = f"{S3_SCHEME}…: a bucket's name has letters, digits, dots and hyphens only"
        raise AddressError(message)
    return bucket


def _check_key(bucket: str, key: str) -> str:
    shown = f"{S3_SCHEME}{bucket}/{key}"
    if not key:
        message = f"{S3_SCHEME}{bucket}: no key; an address on S3 is {S3_SCHEME}bucket/key"
    elif key.endswith("/"):
        message = f"{shown}: ends with a slash; name an object, not a folder"
    elif {".", ".."} & set(key.split("/")):
        message = f"{shown}: has a part that is '.' or '..', which servers read in different ways"
    elif _UNFIT.search(key):
        message = f"{shown!r}: has control characters or surrogates in it"
    elif len(key.encode()) > _KEY_BYTES:
        message = f"{shown[:40]}…: a key has at most {_KEY_BYTES:,} bytes"
    else:
        return key
    raise AddressError(message)


def _check_endpoint(endpoint_url: str) -> str:
    try:
        url = urlsplit(endpoint_url)
        is_server = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        url, is_server = urlsplit(""), False
    if url.username or url.password or url.query or "@" in url.netloc:
        message = "endpoint_url: has more in it than a server; credentials go into the environment"
        raise ArgumentError(message)
    if not is_server:
        message = f"endpoint_url {endpoint_url!r}: must be the URL of a server, such as https://s3.example.org"
        raise ArgumentError(message)
    return endpoint_url
