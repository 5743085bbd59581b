"""Ranges of one object on a web server, all of the same version, or an error that says why not.

A server's answer is taken only if it is the range that was asked for, of the version that was opened first: status 206,
``Content-Range`` as expected and as many bytes as it says, not encoded, and the same ``ETag`` (or, if there is none,
``Last-Modified``). The request asks for that version (``If-Match``), too, but not every server cares.
"""

import os
import random
import re
import time
from collections.abc import Callable
from threading import Event
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from distributed_prompt.backends.traffic import Traffic
from distributed_prompt.errors import (
    AccessError,
    AddressError,
    ClosedError,
    DPromptError,
    NotAPackError,
    PackChangedError,
    PackNotFoundError,
    RemoteError,
)
from distributed_prompt.fork_gate import importing
from distributed_prompt.locks import Lock

CONNECTIONS = 32
_CONNECT_SECONDS = 10
_READ_SECONDS = 20
_PATIENCE_SECONDS = 60
_ATTEMPTS = 8
# Where a server does not do what is needed: something between may have put itself in its place for once.
_FEW_ATTEMPTS = 3
_PART_BYTES = 2**16
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5
_REDIRECTS = 5
_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_ERROR_BYTES = 4096
_PARTIAL, _WHOLE = 206, 200
_GONE = frozenset((404, 410))
_REFUSED = frozenset((401, 403))
_CHANGED, _UNSATISFIABLE = 412, 416
# Some of them come with status 400.
_REFUSALS = frozenset((b"ExpiredToken", b"InvalidToken", b"TokenRefreshRequired", b"RequestTimeTooSkewed"))
# The last one names how an object was uploaded, and is no compression.
_PLAIN_ENCODINGS = frozenset(("", "identity", "aws-chunked"))
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))


class _Answer(NamedTuple):
    """A range that was received."""

    start: int
    data: bytearray
    size_bytes: int
    version: str
    is_strong: bool


class _PassingError(Exception):
    """An answer that may be better next time; it says what it was."""

    def __init__(self, what: str, pause_seconds: float = 0, attempts: int = _ATTEMPTS) -> None:
        super().__init__(what)
        self.pause_seconds = pause_seconds
        self.attempts = attempts


class Ranges:
    """One version of an object. Safe to use from any thread, and in forked children.

    Attributes:
        name: what errors call it; never with a query, which may hold a signature.
        identity: what tells it from all others.
        size_bytes: its size.
        version: what the server calls it.
    """

    def __init__(
        self, name: str, url: Callable[[], str], renew: Callable[[], None] | None = None, identity: str | None = None
    ) -> None:
        """Name the object; nothing is asked of its server yet.

        Args:
            name: what errors call it.
            url: gives the address to ask, which may differ from time to time.
            renew: makes ``url`` give another one, for a server that refuses this one.
            identity: what tells the object from all others; the name, if that does.
        """
        self.name = name
        self.identity = name if identity is None else identity
        self.size_bytes = 0
        self.version = ""
        self._is_strong = False
        self._url = url
        self._renew = renew
        self._lock = Lock()
        self._requests = self._received_bytes = 0
        self._pools: tuple[int, Any] | None = None
        self._closed = Event()

    @property
    def traffic(self) -> Traffic:
        """What has been asked of the server so far."""
        with self._lock:
            return Traffic(self._requests, self._received_bytes)

    def pin_beginning(self, size: int) -> tuple[int, bytearray]:
        """The first bytes, as many as there are; the version is that of the first answer of all.

        Returns:
            Where they begin, and they.

        Raises:
            PackNotFoundError: there is no such object.
            AccessError: the server refuses.
            NotAPackError: the object is empty.
            PackChangedError: this is another version than that of the other first range.
            RemoteError: the server cannot be reached, fails again and again, or serves no ranges.
        """
        return self._pin(f"bytes=0-{size - 1}", lambda all_bytes: range(min(size, all_bytes)))

    def pin_end(self, size: int) -> tuple[int, bytearray]:
        """The last bytes; otherwise as :meth:`pin_beginning`."""
        return self._pin(f"bytes=-{size}", lambda all_bytes: range(max(0, all_bytes - size), all_bytes))

    def _pin(self, wanted: str, expected: Callable[[int], range]) -> tuple[int, bytearray]:
        answer = self._ask(wanted, expected)
        with self._lock:
            if not self.version:
                self.version, self.size_bytes, self._is_strong = answer.version, answer.size_bytes, answer.is_strong
        self._check_version(answer)
        return answer.start, answer.data

    def fetch(self, start: int, stop: int) -> bytearray:
        """Some bytes of the version that was pinned.

        Raises:
            PackChangedError: there is another version now.
            PackNotFoundError: there is no such object any more.
            AccessError: the server refuses.
            RemoteError: as :meth:`pin_beginning` says.
        """
        answer = self._ask(f"bytes={start}-{stop - 1}", lambda _: range(start, stop))
        self._check_version(answer)
        return answer.data

    def _check_version(self, answer: _Answer) -> None:
        if (answer.version, answer.size_bytes) != (self.version, self.size_bytes):
            self._fail_changed()

    def _fail_changed(self) -> NoReturn:
        message = f"{self.name}: another object lies here than the one that was opened; open it again"
        raise PackChangedError(message)

    def _ask(self, wanted: str, expected: Callable[[int], range]) -> _Answer:
        """Ask until there is an answer, or no patience any more.

        Args:
            wanted: the range, as the header has it.
            expected: which one that is, from the size of the object.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        pause = _FIRST_PAUSE_SECONDS
        renewed = False
        for attempt in range(1, _ATTEMPTS + 1):
            with self._lock:
                self._requests += 1
            try:
                return self._ask_once(wanted, expected, deadline)
            except AccessError:
                # A signature may have run out.
                if self._renew is None or renewed:
                    raise
                renewed = True
                self._renew()
            except _PassingError as error:
                wait = max(error.pause_seconds, pause * random.uniform(0.5, 1))  # noqa: S311  # no secret
                if attempt >= error.attempts or time.monotonic() + wait > deadline:
                    asked = f" (asked {attempt} times)" if attempt > 1 else ""
                    message = f"{self.name}: {self._server()} {error}{asked}"
                    raise RemoteError(message) from None
                if self._closed.wait(wait):
                    message = f"{self.name} is closed"
                    raise ClosedError(message) from None
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        message = f"{self.name}: {self._server()} refuses the request"
        raise AccessError(message)

    def _ask_once(self, wanted: str, expected: Callable[[int], range], deadline: float) -> _Answer:
        with importing:
            from urllib3.exceptions import HTTPError, LocationParseError  # noqa: PLC0415  # costs 60 ms

        headers = {"Range": wanted, "Accept-Encoding": "identity"}
        if self.version and self._is_strong:
            headers["If-Match"] = self.version
        try:
            response = self._pool().request("GET", self._url(), headers=headers, preload_content=False)
            try:
                return self._checked(response, wanted, expected, deadline)
            finally:
                # What is left unread would be the next answer's beginning.
                response.release_conn() if response.length_remaining == 0 else response.close()
        except DPromptError:
            raise
        except LocationParseError:
            message = f"{self.name}: not the address of a server"
            raise AddressError(message) from None
        except (HTTPError, OSError) as error:
            what = f"cannot be reached or breaks off ({type(error).__name__})"
            raise _PassingError(what) from None

    def _checked(self, response: Any, wanted: str, expected: Callable[[int], range], deadline: float) -> _Answer:
        history = response.retries.history if response.retries else ()
        if any(urlsplit(each.redirect_location or "").scheme == "http" for each in history) and self._is_secure():
            message = f"{self.name}: {self._server()} leads to an address without encryption"
            raise RemoteError(message)
        if response.status != _PARTIAL:
            self._fail(response, wanted)
        if response.headers.get("Content-Encoding", "").lower() not in _PLAIN_ENCODINGS:
            what = "compresses what it sends, so that no range of the pack can be asked of it"
            raise _PassingError(what, attempts=_FEW_ATTEMPTS)
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        first, last, size = map(int, found.groups()) if found else (0, -1, 0)
        etag, modified = response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")
        version = etag or modified
        if not version:
            what = "sends neither ETag nor Last-Modified, so a change could not be seen"
            raise _PassingError(what, attempts=_FEW_ATTEMPTS)
        if self.version and (version != self.version or (found and size != self.size_bytes)):
            self._fail_changed()
        if first > last or range(first, last + 1) != expected(size):
            what = "answers with another range than that which it was asked for"
            raise _PassingError(what)
        data = self._read(response, last + 1 - first, deadline)
        return _Answer(first, data, size, version, is_strong=bool(etag) and not etag.startswith("W/"))

    def _read(self, response: Any, length: int, deadline: float) -> bytearray:
        data = bytearray()
        while len(data) <= length and (part := response.read1(_PART_BYTES)):
            data += part
            with self._lock:
                self._received_bytes += len(part)
            if len(data) < length and time.monotonic() > deadline:
                what = "is too slow"
                raise _PassingError(what)
        if len(data) != length:
            what = "breaks off its answer"
            raise _PassingError(what)
        # Not as bytes: that would be a copy of up to 4 MiB.
        return data

    def _fail(self, response: Any, wanted: str) -> NoReturn:
        status = response.status
        if status == _WHOLE:
            # It would be the whole file, or a page that a network in between puts in its place.
            what = (
                f"serves no ranges (it answers {wanted} with all there is); pull or download the pack and open the file"
            )
            raise _PassingError(what, attempts=_FEW_ATTEMPTS)
        code = _CODE.search(response.read1(_ERROR_BYTES))
        told = f"{status} {code[1].decode()}" if code else str(status)
        if status in _PASSING or (code and code[1] == b"RequestTimeout"):
            what = f"fails ({told})"
            raise _PassingError(what, _pause(response.headers.get("Retry-After", "")))
        if status == _CHANGED or (status == _UNSATISFIABLE and self.version):
            self._fail_changed()
        if status == _UNSATISFIABLE:
            message = f"{self.name}: not a pack (it is empty); dprompt pack makes one from text"
            raise NotAPackError(message)
        if status in _GONE:
            what = "there is no such bucket" if code and code[1] == b"NoSuchBucket" else "no such object"
            message = f"{self.name}: {what}"
            raise PackNotFoundError(message)
        kind = AccessError if status in _REFUSED or (code and code[1] in _REFUSALS) else RemoteError
        message = f"{self.name}: {self._server()} refuses the request ({told})"
        raise kind(message)

    def _is_secure(self) -> bool:
        return urlsplit(self._url()).scheme == "https"

    def _server(self) -> str:
        return urlsplit(self._url()).netloc.rpartition("@")[2]

    def _pool(self) -> Any:
        process = os.getpid()
        with self._lock:
            # Two processes on one connection would read each other's answers.
            if self._pools is None or self._pools[0] != process:
                self._pools = process, _make_pool(self._url())
            return self._pools[1]

    def close(self) -> None:
        """Let go of the connections, and be patient no longer."""
        self._closed.set()
        with self._lock:
            pools, self._pools = self._pools, None
        if pools and pools[0] == os.getpid():
            pools[1].clear()


def _make_pool(url: str) -> Any:
    with importing:
        import urllib3  # noqa: PLC0415  # as above

    parts = urlsplit(url)
    settings: dict[str, Any] = {
        "maxsize": CONNECTIONS,
        "timeout": urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
        "retries": urllib3.Retry(None, connect=0, read=0, status=0, other=0, redirect=_REDIRECTS),
    }
    authorities = next(filter(None, map(os.environ.get, ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"))), None)
    if parts.scheme == "https" and authorities:
        settings["ca_certs"] = authorities
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.netloc):
        return urllib3.ProxyManager(proxy, **settings)
    return urllib3.PoolManager(**settings)


def _pause(retry_after: str) -> float:
    return min(float(retry_after), _LONGEST_PAUSE_SECONDS) if retry_after.isdecimal() else 0
