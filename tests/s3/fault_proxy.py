"""An HTTP proxy that stands before a server, adds latency and faults on demand, and keeps a record of every request.

A client is simply given the proxy's URL as its endpoint. It signs the `Host` that it sends, which is the proxy's
address; the proxy hands on method, path, query and headers as they came, `Host` among them, so that the server computes
the same signature, and a URL presigned for the proxy's address is valid too. To the servers this `Host` is no stranger:
it differs from theirs in the port alone, which neither Ceph (`rgw dns name`) nor ministack looks at.

Two faults take away headers which a client may have signed, `Range` and `If-Match`. For these the proxy is given
`resign`, which signs the changed headers; where it has none, or a request is signed in its URL or not at all, the
header just goes.
"""

import contextlib
import gzip
import heapq
import http.client
import itertools
import math
import random
import re
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self, get_args
from urllib.parse import parse_qs, urlsplit

Fault = Literal[
    "503",  # SlowDown
    "500",
    "429",
    "reset",  # the connection, before any byte, and before the server hears of the request
    "lost_answer",  # the same, after the server has done what was asked
    "cut",  # half of the body, then the connection's end
    "stall",  # half of the body's first piece, then a pause of `stall_seconds`, then the rest
    "wrong_etag",
    "no_etag",
    "ignore_range",
    "ignore_if_match",
    "wrong_content_range",
    "gzip",  # compressed, and said to be
    "garbage",  # one bit of the body is another
    "redirect_html",  # a page, as from a captive portal
]
KINDS: tuple[Fault, ...] = get_args(Fault)
Headers = list[tuple[str, str]]
Resign = Callable[[str, str, Headers], Headers]

WRONG_ETAG = '"00000000000000000000000000000000"'
REFUSALS = {"503": "SlowDown", "500": "InternalError", "429": "TooManyRequests"}
PAGE = b"<!DOCTYPE html><html><body>Please accept our terms of use.</body></html>"
IGNORED: dict[str | None, str] = {"ignore_range": "range", "ignore_if_match": "if-match"}
# What belongs to a connection, not to a request. The proxy itself answers `Expect`.
OF_CONNECTIONS = {"connection", "keep-alive", "expect", "proxy-connection", "transfer-encoding"}
PIECE_BYTES = 1 << 18
UPSTREAM_SECONDS = 60.0


@dataclass(eq=False)
class Request:
    """What is known of one request; bytes are those of bodies, times those of `time.monotonic`."""

    method: str
    path: str
    query: str
    headers: "Message[str, str]"
    connection: int
    started: float
    ended: float = math.inf
    status: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    fault: Fault | None = None
    round: int = 0  # which release of `FaultProxy.quiet_seconds` let it go on
    operation: str = field(init=False)

    def __post_init__(self) -> None:
        self.operation = operation(self.method, self.path, self.query, copying="x-amz-copy-source" in self.headers)

    @property
    def range(self) -> str | None:
        """The header, as the client sent it."""
        return self.headers["range"]

    def finish(self) -> None:
        """Take the time, but only once: before the last bytes are sent, so that whoever has them finds it here."""
        self.ended = min(self.ended, time.monotonic())


def operation(method: str, path: str, query: str, *, copying: bool) -> str:
    """What S3 calls this request."""
    keys = parse_qs(query, keep_blank_values=True)
    if "uploads" in keys:
        return "CreateMultipartUpload" if method == "POST" else "ListMultipartUploads"
    if "uploadId" in keys:
        part = "UploadPartCopy" if copying else "UploadPart"
        names = {"PUT": part, "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload", "GET": "ListParts"}
    elif "/" in path.strip("/"):
        put = "CopyObject" if copying else "PutObject"
        names = {"PUT": put, "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
    elif path.strip("/"):
        listing = "ListObjectsV2" if "list-type" in keys else "ListObjects"
        names = {"PUT": "CreateBucket", "GET": listing, "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}
        names |= {"POST": "DeleteObjects"} if "delete" in keys else {}
    else:
        names = {"GET": "ListBuckets"}
    return names.get(method, method)


def bytes_moved(requests: Iterable[Request]) -> int:
    """The bytes of all bodies, in both directions."""
    return sum(request.sent_bytes + request.received_bytes for request in requests)


def round_trips(requests: Iterable[Request]) -> int:
    """The length of the longest chain of requests of which each started after the one before had ended."""
    longest = before = 0
    under_way: list[tuple[float, int]] = []  # when each ends, and the longest chain that ends with it
    for request in sorted(requests, key=lambda request: request.started):
        while under_way and under_way[0][0] <= request.started:
            before = max(before, heapq.heappop(under_way)[1])
        heapq.heappush(under_way, (request.ended, before + 1))
        longest = max(longest, before + 1)
    return longest


class FaultProxy:
    """A proxy before `upstream_url`, from the moment it is made until it is closed.

    Everything may be set at any time, and holds for the requests that come after.

    Attributes:
        url: Where the proxy listens.
        latency_seconds: How long each request waits before it is handed on: one more round trip.
        quiet_seconds: If not 0, requests are held until none has come for so long, and go on together: one round. Who
            waits for an answer before the next request takes one round for each, however slow the machine is.
        faults: How many of all requests get a fault, from 0 to 1.
        kinds: What these faults are; each is as likely as any other.
        stall_seconds: How long a stalled answer pauses.
        script: Decides instead of chance: the faults of the next requests in their order, `None` for none, or a
            function of the request.
    """

    def __init__(self, upstream_url: str, resign: Resign | None = None) -> None:
        upstream = urlsplit(upstream_url)
        assert upstream.scheme == "http"
        assert upstream.hostname is not None
        self.upstream = (upstream.hostname, upstream.port or 80)
        self.resign = resign
        self.latency_seconds = 0.0
        self.quiet_seconds = 0.0
        self.stall_seconds = 1.0
        self.faults = 0.0
        self.kinds: Sequence[Fault] = KINDS
        self.script: Sequence[Fault | None] | Callable[[Request], Fault | None] | None = None
        self._lock = threading.Lock()
        self._released = threading.Condition(self._lock)
        self._round = 0
        self._last_came = 0.0
        self._requests: list[Request] = []
        self._random = random.Random(0)  # noqa: S311  # chance, not secrets
        self._closing = threading.Event()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="fault proxy")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def requests(self) -> list[Request]:
        """All requests since the last reset, in the order in which they came."""
        with self._lock:
            return list(self._requests)

    def reset(self) -> None:
        """Forget the requests; what is set stays set."""
        with self._lock:
            self._requests = []

    def seed(self, seed: int) -> None:
        """Begin the random faults anew."""
        with self._lock:
            self._random.seed(seed)

    def close(self) -> None:
        """End all connections and pauses, and wait for their threads."""
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.end_connections()
        self._server.server_close()

    def note(self, request: Request) -> None:
        """Write a request down, and decide what will happen to it."""
        with self._lock:
            self._requests.append(request)
            self._last_came = time.monotonic()
            request.fault = self._decide(request)

    def _decide(self, request: Request) -> Fault | None:
        if callable(self.script):
            return self.script(request)
        if self.script is not None:
            fault, self.script = (self.script[0], self.script[1:]) if self.script else (None, self.script)
            return fault
        return self._random.choice(self.kinds) if self._random.random() < self.faults else None

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the proxy lives."""
        if seconds > 0:
            self._closing.wait(seconds)

    def hold(self, request: Request) -> None:
        """Wait until no request has come for `quiet_seconds`, and let all that wait go on together."""
        with self._lock:
            mine = self._round
            while self._round == mine and not self._closing.is_set():
                left = self._last_came + self.quiet_seconds - time.monotonic()
                if left <= 0:
                    self._round += 1
                    self._released.notify_all()
                else:
                    self._released.wait(left)
            request.round = self._round


class _Server(ThreadingHTTPServer):
    """Listens, and knows the connections that are open."""

    daemon_threads = False  # so that closing waits for them
    request_queue_size = 256

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.count = itertools.count(1)
        self.connections: dict[socket.socket, int] = {}
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self.lock:
            self.connections[connection] = next(self.count)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Close without the shutdown that comes first usually: it is an end in order, and no reset can follow it."""
        with self.lock:
            self.connections.pop(request, None)
        self.close_request(request)

    def end_connections(self) -> None:
        """Let the threads that read from a client read its end."""
        with self.lock:
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may leave at any time, which is nothing to report."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One client's connection, and one of its own to the server."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a head and a body are two packets, and the second would wait for 40 ms
    expecting = False

    def setup(self) -> None:
        super().setup()
        self.proxy = self.server.proxy
        self.number = self.server.connections[self.connection]
        self.upstream = http.client.HTTPConnection(*self.proxy.upstream, timeout=UPSTREAM_SECONDS)

    def finish(self) -> None:
        self.upstream.close()
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name in the base class
        """Stay quiet; there is `FaultProxy.requests`."""

    def handle_expect_100(self) -> bool:
        """Only who reads the body asks for it."""
        self.expecting = True
        return True

    def exchange(self) -> None:
        """Answer one request, whatever its method."""
        path, _, query = self.path.partition("?")
        request = Request(self.command, path, query, self.headers, self.number, time.monotonic())
        self.proxy.note(request)
        try:
            self.proxy.hold(request)
            self.proxy.pause(self.proxy.latency_seconds)
            self.answer(request)
        finally:
            request.finish()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = exchange  # noqa: N815  # names that the base class looks for

    def answer(self, request: Request) -> None:
        """Hand the request on, or do what its fault demands."""
        fault = request.fault
        if fault == "reset":
            self.abort()
        elif fault in REFUSALS:
            code = REFUSALS[fault]
            page = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code></Error>'.encode()
            self.discard(request)
            self.answer_alone(request, int(fault), "application/xml", page)
        elif fault == "redirect_html":
            self.discard(request)
            self.answer_alone(request, 200, "text/html", PAGE)
        else:
            self.hand_on(request)

    def abort(self) -> None:
        """End the connection with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def discard(self, request: Request) -> None:
        """Read the body, behind which the next request begins."""
        for piece in self.received():
            request.received_bytes += len(piece)

    def answer_alone(self, request: Request, status: int, kind: str, body: bytes) -> None:
        """Answer without the server."""
        request.status = status
        self.send_head(status, "", [("Content-Type", kind), ("Content-Length", str(len(body)))])
        self.send_body(request, [] if request.method == "HEAD" else [body], len(body))

    def hand_on(self, request: Request) -> None:
        """Ask the server, and answer what it answers."""
        try:
            response = self.ask(request)
        except (OSError, http.client.HTTPException) as error:
            self.upstream.close()
            self.close_connection = True
            self.answer_alone(request, 502, "text/plain", f"the server behind the proxy: {error!r}".encode())
            return
        request.status = response.status
        with response:
            if request.fault == "lost_answer":
                response.read()
                self.abort()
            else:
                self.relay(request, response)

    def ask(self, request: Request) -> http.client.HTTPResponse:
        """Send the request to the server, its body piece by piece."""
        if self.upstream.sock and select.select([self.upstream.sock], [], [], 0)[0]:
            self.upstream.close()  # nothing is due, so this is the end of an idle connection
        self.upstream.putrequest(request.method, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.upstream_headers(request):
            self.upstream.putheader(name, value)
        if self.chunked():
            self.upstream.putheader("Transfer-Encoding", "chunked")
        self.upstream.endheaders()
        for piece in self.framed(request):
            with contextlib.suppress(ConnectionError):  # it has answered already, such as that it takes no such body
                self.upstream.send(piece)
        return self.upstream.getresponse()

    def framed(self, request: Request) -> Iterator[bytes]:
        """The request's body as it goes to the server."""
        for piece in self.received():
            request.received_bytes += len(piece)
            yield b"%x\r\n%b\r\n" % (len(piece), piece) if self.chunked() else piece
        if self.chunked():
            yield b"0\r\n\r\n"

    def upstream_headers(self, request: Request) -> Headers:
        """The client's headers, without the one that the server is made to ignore."""
        headers = [(name, value) for name, value in self.headers.items() if name.lower() not in OF_CONNECTIONS]
        ignored = IGNORED.get(request.fault)
        if ignored is None or ignored not in self.headers:
            return headers
        headers = [(name, value) for name, value in headers if name.lower() != ignored]
        if self.proxy.resign and "authorization" in self.headers:
            return self.proxy.resign(request.method, self.path, headers)
        return headers

    def chunked(self) -> bool:
        """Whether the request's body comes in chunks, of no length known before."""
        return self.headers.get("transfer-encoding", "").lower() == "chunked"

    def received(self) -> Iterator[bytes]:
        """The request's body."""
        if self.expecting:
            self.expecting = False
            self.send_response_only(100)
            self.end_headers()
        if self.chunked():
            yield from self.received_chunks()
        left = int(self.headers.get("content-length", 0))
        while left:
            piece = self.rfile.read(min(left, PIECE_BYTES))
            if not piece:
                message = "the client left in the middle of its request"
                raise ConnectionError(message)
            left -= len(piece)
            yield piece

    def received_chunks(self) -> Iterator[bytes]:
        """The body of a request without a length."""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # headers behind the body, which nothing here sends

    def relay(self, request: Request, response: http.client.HTTPResponse) -> None:
        """Answer what the server answered, with the request's fault in it."""
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in OF_CONNECTIONS]
        headers = spoil_headers(request.fault, headers)
        pieces: Iterable[bytes] = iter(lambda: response.read(PIECE_BYTES), b"")
        length = response.length
        if length is None or (request.fault == "gzip" and length):
            body = response.read()
            if request.fault == "gzip":
                body = gzip.compress(body, 1)
                headers.append(("Content-Encoding", "gzip"))
            length = len(body)
            pieces = [body] if body else []
            headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
            headers.append(("Content-Length", str(length)))
        self.send_head(response.status, response.reason, headers)
        self.send_body(request, pieces, length)

    def send_head(self, status: int, reason: str, headers: Headers) -> None:
        """Send the head in one packet, without what the base class would add."""
        self.send_response_only(status, reason or None)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def send_body(self, request: Request, pieces: Iterable[bytes], length: int) -> None:
        """Send a body of this length, with the request's fault in it."""
        if request.fault == "cut" and length:
            self.close_connection = True
            length //= 2
            pieces = first_bytes(pieces, length)
        elif request.fault == "garbage":
            pieces = with_garbage(pieces)
        elif request.fault == "stall":
            pieces = self.stalling(pieces)
        for piece in pieces:
            request.sent_bytes += len(piece)
            if request.sent_bytes >= length:
                request.finish()
            self.wfile.write(piece)

    def stalling(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same bytes, with a pause in the first piece."""
        rest = iter(pieces)
        first = next(rest, b"")
        yield first[: len(first) // 2]
        self.proxy.pause(self.proxy.stall_seconds)
        yield first[len(first) // 2 :]
        yield from rest


def spoil_headers(fault: Fault | None, headers: Headers) -> Headers:
    """What becomes of an answer's headers."""
    if fault == "wrong_etag":
        return [(name, WRONG_ETAG if name.lower() == "etag" else value) for name, value in headers]
    if fault == "no_etag":
        return [(name, value) for name, value in headers if name.lower() != "etag"]
    if fault == "wrong_content_range":
        return [(name, shifted(value) if name.lower() == "content-range" else value) for name, value in headers]
    return headers


def shifted(content_range: str) -> str:
    """The range behind this one by a byte."""
    return re.sub(r"(\d+)-(\d+)/", lambda found: f"{int(found[1]) + 1}-{int(found[2]) + 1}/", content_range, count=1)


def first_bytes(pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
    """So many bytes and no more."""
    for piece in pieces:
        if count <= 0:
            return
        yield piece[:count]
        count -= len(piece)


def with_garbage(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same pieces, with a bit changed in the middle of the first."""
    rest = iter(pieces)
    first = bytearray(next(rest, b""))
    if first:
        first[len(first) // 2] ^= 1
    yield bytes(first)
    yield from rest
