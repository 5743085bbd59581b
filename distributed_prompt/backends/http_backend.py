"""Packs on any web server that serves ranges, read where they are touched."""

import os
import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from distributed_prompt.backends.far_backend import FarBackend
from distributed_prompt.backends.page_cache import DEFAULT_CACHE_DIR_BYTES
from distributed_prompt.backends.pages import DEFAULT_CACHE_BYTES
from distributed_prompt.backends.ranges import Ranges
from distributed_prompt.errors import AddressError

_SIGNING = re.compile(
    "x-amz-|x-goog-|expires|signature|key-pair-id|policy|awsaccesskeyid|googleaccessid", re.IGNORECASE
)


class HttpBackend(FarBackend):
    """A pack at a URL.

    Attributes:
        address: the URL, without its query.
    """

    def __init__(
        self,
        url: str,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        cache_dir: str | os.PathLike[str] | None = None,
        cache_dir_bytes: int = DEFAULT_CACHE_DIR_BYTES,
    ) -> None:
        """Open the pack.

        Args:
            url: where it is; messages show it without its query, which may hold a signature.
            cache_bytes: memory that pages of the pack may take.
            cache_dir: a folder that keeps pages on disk; processes may share it.
            cache_dir_bytes: about what the files in it may take together.

        Raises:
            AddressError: no URL of a file on a web server.
            PackNotFoundError: nothing is there.
            AccessError: the server refuses.
            RemoteError: the server cannot be reached, fails, or serves no ranges.
            NotAPackError: a file that is no pack.
            UnsupportedPackError: a newer format.
            CorruptPackError: a damaged pack.

        Cost: one round trip, whatever the length.
        """
        self.address = _shown(url)
        self._url = url
        self._arguments = (url, cache_bytes, cache_dir, cache_dir_bytes)
        self._open(url_ranges(url), cache_bytes, cache_dir, cache_dir_bytes)

    @property
    def opener(self) -> str:
        """The URL, unless it has a query, which may be a signature.

        Cost: no request.
        """
        return self.address if self.address == self._url else ""


def url_ranges(url: str) -> Ranges:
    """What reads a file at a URL.

    Raises:
        AddressError: it is none, or has a user name in it.
    """
    return Ranges(_shown(url), lambda: url, identity=_identity(url))


def _identity(url: str) -> str:
    """A URL without what signs it, and so changes from time to time."""
    parts = urlsplit(url)
    query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if not _SIGNING.match(pair[0])]
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(query), ""))


def _shown(url: str) -> str:
    """A URL without what may be secret.

    Raises:
        AddressError: it is none, or has a user name in it.
    """
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and parts.path
    except ValueError:
        parts, is_url = urlsplit(""), False
    if not is_url:
        # It may hold anything, a password included, so it is not shown.
        message = f"{url.partition(':')[0]}://…: not the URL of a file, such as https://example.org/corpus.dprompt"
        raise AddressError(message)
    if "@" in parts.netloc:
        message = (
            f"{parts.scheme}://…@{parts.netloc.rpartition('@')[2]}: a user name in a URL is not used; leave it out"
        )
        raise AddressError(message)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
