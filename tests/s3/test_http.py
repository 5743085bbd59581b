"""Packs on a web server that does what it should not: a server of our own, which each test tells how to answer."""

import itertools
import pickle
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from click.testing import CliRunner

import distributed_prompt as dp
from distributed_prompt.backends import fetchers, ranges
from distributed_prompt.backends.http_backend import HttpBackend
from distributed_prompt.backends.ranges import Ranges
from distributed_prompt.cli import main
from distributed_prompt.errors import (
    AccessError,
    AddressError,
    CorruptPackError,
    DPromptError,
    NotAPackError,
    PackChangedError,
    PackNotFoundError,
    RemoteError,
)
from distributed_prompt.prompt import DistributedPrompt

SECRET = "do-not-tell"  # noqa: S105  # what must not be seen
ETAG = '"version 1"'
MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"
PATIENCE_SECONDS = 0.6
READ_SECONDS = 0.25
LONGEST_SECONDS = 6.0  # for a machine that is busy
PLACES = (0, 700_000, 1_400_000)
Headers = Sequence[tuple[str, str]]
Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as the server is told to."""

    server: "WebServer"
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a head and a body are two packets, and the second would wait for 40 ms

    def do_GET(self) -> None:  # a name that the base class looks for
        self.server.note(self)
        with suppress(OSError):
            self.server.answer(self)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name in the base class
        pass

    def head(self, status: int, headers: Headers) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def send(self, status: int, headers: Headers = (), body: bytes = b"") -> None:
        self.head(status, [*headers, ("Content-Length", str(len(body)))])
        self.wfile.write(body)

    def send_chunks(self, status: int, headers: Headers, body: bytes) -> None:
        self.head(status, [*headers, ("Transfer-Encoding", "chunked")])
        for at in range(0, len(body), 1_000):
            piece = body[at : at + 1_000]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def wanted(self, size: int) -> range:
        """The range that is asked for, of so many bytes."""
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers["Range"])
        assert found is not None
        if found[1]:
            return range(int(found[1]), min(int(found[2]) + 1, size))
        return range(max(0, size - int(found[2])), size)


class WebServer(ThreadingHTTPServer):
    """A server on this machine; ``answer`` may be set at any time."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Answer = lambda handler: handler.send(404)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def note(self, handler: Handler) -> None:
        with self._lock:
            self.asked.append((handler.path, dict(handler.headers)))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may leave at any time."""

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self._thread.join()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self.server_close()

    def __enter__(self) -> Self:
        return self


class Sample(NamedTuple):
    """A pack, and its text."""

    data: bytes
    text: str


def ranged(data: bytes, *headers: tuple[str, str], etag: str | None = ETAG, chunked: bool = False) -> Answer:
    """What a good server does."""

    def answer(handler: Handler) -> None:
        wanted = handler.wanted(len(data))
        found = [("Content-Range", f"bytes {wanted.start}-{wanted.stop - 1}/{len(data)}"), *headers]
        if etag is not None:
            found.append(("ETag", etag))
        send = handler.send_chunks if chunked else handler.send
        send(206, found, data[wanted.start : wanted.stop])

    return answer


def refusing(status: int, *headers: tuple[str, str], body: bytes = b"", chunked: bool = False) -> Answer:
    def answer(handler: Handler) -> None:
        send = handler.send_chunks if chunked else handler.send
        send(status, headers, body)

    return answer


def after(first: int, good: Answer, bad: Answer) -> Answer:
    """Well for the first requests, then otherwise."""
    counter = itertools.count()
    return lambda handler: good(handler) if next(counter) < first else bad(handler)


def at_first(bad: Answer, good: Answer) -> Answer:
    """Badly for each range once, then well."""
    seen: set[str] = set()

    def answer(handler: Handler) -> None:
        wanted = handler.headers["Range"]
        is_new = wanted not in seen
        seen.add(wanted)
        bad(handler) if is_new else good(handler)

    return answer


def only(number: int, bad: Answer, good: Answer) -> Answer:
    """Well for all requests but one."""
    turn = itertools.count()
    return lambda handler: bad(handler) if next(turn) == number else good(handler)


def raw(*parts: bytes, pause_seconds: float = 0.0) -> Answer:
    """Bytes that need not be HTTP, with a pause before each but the first, and the connection's end."""

    def answer(handler: Handler) -> None:
        for number, part in enumerate(parts):
            time.sleep(pause_seconds if number else 0)
            handler.wfile.write(part)
            handler.wfile.flush()
        handler.close_connection = True

    return answer


def make(folder: Path, seed: int, characters: int = 4_000_000) -> Sample:
    digits = random.Random(seed).randbytes(characters // 2).hex()  # noqa: S311  # no secret
    text = "".join(f"{digits[at : at + 99]}\n" for at in range(0, len(digits), 99))
    (folder / "text").write_text(text)
    dp.pack(folder / "text", folder / "pack", shard_size=2**13, overwrite=True)
    return Sample((folder / "pack").read_bytes(), text)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make(tmp_path_factory.mktemp("http"), 1)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make(tmp_path_factory.mktemp("http"), 2)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ranges, "_PATIENCE_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(ranges, "_READ_SECONDS", READ_SECONDS)
    monkeypatch.setattr(ranges, "_FIRST_PAUSE_SECONDS", 0.02)


def url(server: WebServer, query: str = "") -> str:
    return f"{server.url}/corpus.dprompt{query}"


def check(sample: Sample, address: str) -> DistributedPrompt:
    """Read here and there; gives the prompt, closed."""
    with dp.open(address) as prompt:
        assert len(prompt) == len(sample.text)
        for place in PLACES:
            assert prompt[place : place + 50] == sample.text[place : place + 50]
        assert prompt.count("abc") == sample.text.count("abc")
    return prompt


def error_of(address: str, kind: type[DPromptError]) -> str:
    """What opening says, which must be of this kind, in time, one line, and about the address."""
    begun = time.monotonic()
    with pytest.raises(DPromptError) as caught:
        dp.open(address).close()
    assert time.monotonic() - begun < LONGEST_SECONDS
    assert type(caught.value) is kind, caught.value
    message = str(caught.value)
    assert "\n" not in message
    assert SECRET not in f"{message} {caught.value!r} {''.join(traceback.format_exception(caught.value))}"
    return message


GOOD: dict[str, Callable[[bytes], Answer]] = {
    "plain": ranged,
    "in chunks": lambda data: ranged(data, chunked=True),
    "a weak ETag": lambda data: ranged(data, etag='W/"1"'),
    "an ETag without quotes": lambda data: ranged(data, etag="1"),
    "an ETag that is not ASCII": lambda data: ranged(data, etag='"\xe9"'),
    "Last-Modified alone": lambda data: ranged(data, ("Last-Modified", MODIFIED), etag=None),
    "encoded as identity": lambda data: ranged(data, ("Content-Encoding", "Identity")),
    "encoded as nothing": lambda data: ranged(data, ("Content-Encoding", "")),
    "uploaded in chunks": lambda data: ranged(data, ("Content-Encoding", "aws-chunked")),
    "one connection a request": lambda data: ranged(data, ("Connection", "close")),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_server_that_sends_ranges_is_read(server: WebServer, sample: Sample, name: str) -> None:
    server.answer = GOOD[name](sample.data)
    prompt = check(sample, url(server))
    assert prompt.stats.requests == len(server.asked)


def test_a_small_pack_is_read_where_ranges_are_longer_than_it(server: WebServer, tmp_path: Path) -> None:
    small = make(tmp_path, 3, 2_000)
    server.answer = ranged(small.data)
    with dp.open(url(server)) as prompt:
        assert str(prompt) == small.text
        assert prompt.stats.requests == 2
        assert prompt.stats.received_bytes == 2 * len(small.data)


def test_only_a_strong_etag_is_asked_for(server: WebServer, sample: Sample) -> None:
    for etag, expected in ((ETAG, {ETAG}), ('W/"1"', set())):
        server.asked.clear()
        server.answer = ranged(sample.data, etag=etag)
        check(sample, url(server))
        assert {headers["If-Match"] for _, headers in server.asked[2:] if "If-Match" in headers} == expected
        assert all(headers["Accept-Encoding"] == "identity" for _, headers in server.asked)


def test_the_query_goes_to_the_server_and_nowhere_else(server: WebServer, sample: Sample) -> None:
    server.answer = ranged(sample.data)
    with dp.open(url(server, f"?key={SECRET}")) as prompt:
        assert prompt[700_000:700_050] == sample.text[700_000:700_050]
        assert SECRET not in repr(prompt)
        assert {path for path, _ in server.asked} == {f"/corpus.dprompt?key={SECRET}"}
        copy = pickle.loads(pickle.dumps(prompt))  # noqa: S301  # ours
        assert copy == prompt
        copy.close()


REDIRECTS = (301, 302, 303, 307, 308)


@pytest.mark.parametrize("status", REDIRECTS)
def test_redirects_are_followed(server: WebServer, sample: Sample, status: int) -> None:
    good = ranged(sample.data)
    elsewhere = refusing(status, ("Location", "/elsewhere"))
    server.answer = lambda handler: good(handler) if handler.path == "/elsewhere" else elsewhere(handler)
    check(sample, url(server, f"?key={SECRET}"))
    assert {path for path, _ in server.asked} == {f"/corpus.dprompt?key={SECRET}", "/elsewhere"}


def test_redirects_to_another_server_are_followed(server: WebServer, sample: Sample) -> None:
    with WebServer() as second:
        second.answer = ranged(sample.data)
        server.answer = refusing(302, ("Location", f"{second.url}/elsewhere"))
        check(sample, url(server))


def test_redirects_without_end_are_an_error(server: WebServer) -> None:
    server.answer = refusing(302, ("Location", f"/again?{SECRET}"))
    assert server.url.removeprefix("http://") in error_of(url(server), RemoteError)


def test_a_redirect_without_an_address_is_an_error(server: WebServer) -> None:
    server.answer = refusing(302)
    error_of(url(server), RemoteError)


STATUSES: dict[int, type[DPromptError]] = {
    400: RemoteError,
    401: AccessError,
    403: AccessError,
    404: PackNotFoundError,
    405: RemoteError,
    410: PackNotFoundError,
    416: NotAPackError,
    451: RemoteError,
    501: RemoteError,
    201: RemoteError,
    204: RemoteError,
    304: RemoteError,
}


@pytest.mark.parametrize("status", STATUSES)
def test_a_refusal_is_told_at_once(server: WebServer, status: int) -> None:
    server.answer = refusing(status, body=b"" if status in {204, 304} else f"<p>{SECRET}</p>".encode())
    message = error_of(url(server, f"?{SECRET}"), STATUSES[status])
    assert message.startswith(f"{url(server)}: ")
    assert len(server.asked) <= 2


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_passing_failure_passes(server: WebServer, sample: Sample, status: int) -> None:
    bad = refusing(status, ("Retry-After", "0"), body=b"later" * 2_000)
    server.answer = at_first(bad, ranged(sample.data))
    check(sample, url(server))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_failure_that_stays_is_an_error(server: WebServer, status: int) -> None:
    server.answer = refusing(status, ("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"), body=SECRET.encode())
    message = error_of(url(server), RemoteError)
    assert str(status) in message
    assert 2 < len(server.asked) <= 16


def test_the_code_of_a_failure_is_told(server: WebServer) -> None:
    server.answer = refusing(503, body=f"<Error><Code>SlowDown</Code><Secret>{SECRET}</Secret></Error>".encode())
    assert "503 SlowDown" in error_of(url(server), RemoteError)
    server.answer = refusing(403, body=f"<Error><Code>Slow {SECRET}</Code></Error>".encode())
    assert error_of(url(server), AccessError).endswith("(403)")
    server.answer = refusing(400, body=b"<Error><Code>ExpiredToken</Code></Error>")
    error_of(url(server), AccessError)


@pytest.mark.parametrize("chunked", [False, True])
def test_long_bodies_of_failures_do_not_become_answers(server: WebServer, sample: Sample, *, chunked: bool) -> None:
    bad = refusing(503, body=sample.data[:200_000], chunked=chunked)
    server.answer = at_first(bad, ranged(sample.data))
    check(sample, url(server))


def shifted(data: bytes, by: int) -> Answer:
    """Says another range than it sends."""

    def answer(handler: Handler) -> None:
        wanted = handler.wanted(len(data))
        told = f"bytes {wanted.start + by}-{wanted.stop - 1 + by}/{len(data)}"
        handler.send(206, [("Content-Range", told), ("ETag", ETAG)], data[wanted.start : wanted.stop])

    return answer


def with_range(told: str, body: bytes = b"0123456789") -> Answer:
    return lambda handler: handler.send(206, [("Content-Range", told), ("ETag", ETAG)], body)


WRONG: dict[str, Callable[[bytes], Answer]] = {
    "a range behind": lambda data: shifted(data, 1),
    "a range before": lambda data: shifted(data, -1),
    "no range": lambda _: lambda handler: handler.send(206, [("ETag", ETAG)], b"0123456789"),
    "a range of unknown size": lambda _: with_range("bytes 0-9/*"),
    "a range backwards": lambda data: with_range(f"bytes 9-0/{len(data)}"),
    "a range of many digits": lambda _: with_range(f"bytes 0-{'9' * 5_000}/{'9' * 5_001}"),
    "a range in other digits": lambda _: with_range("bytes 0-\u0669/10".encode().decode("latin-1")),
    "another unit": lambda _: with_range("lines 0-9/10"),
    "a range beyond the end": lambda data: with_range(f"bytes {len(data)}-{len(data) + 9}/{len(data)}"),
    "several ranges": lambda _: (
        lambda handler: handler.send(
            206, [("Content-Type", "multipart/byteranges; boundary=x"), ("ETag", ETAG)], b"--x\r\n\r\n--x--"
        )
    ),
    "all there is": lambda data: refusing(200, ("ETag", ETAG), body=data),
    "a page": lambda _: refusing(200, body=b"<html>accept our terms</html>"),
    "compressed": lambda data: ranged(data, ("Content-Encoding", "gzip")),
    "compressed by something new": lambda data: ranged(data, ("Content-Encoding", "zstd, br")),
    "less than it says": lambda data: raw(
        f"HTTP/1.1 206 P\r\nETag: {ETAG}\r\nContent-Range: bytes 0-65535/{len(data)}\r\n"
        "Content-Length: 65536\r\n\r\n".encode(),
        data[:1_000],
    ),
    "less than it says in chunks": lambda data: raw(
        f"HTTP/1.1 206 P\r\nETag: {ETAG}\r\nContent-Range: bytes 0-65535/{len(data)}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n10000\r\n".encode(),
        data[:1_000],
    ),
    "more than it says": lambda data: with_range(f"bytes 0-65535/{len(data)}", data[:70_000]),
    "no HTTP": lambda _: raw(b"220 mail.example.org ready\r\n"),
    "nothing": lambda _: raw(),
    "half a head": lambda _: raw(b"HTTP/1.1 206 Partial\r\nETag: "),
    "headers without end": lambda _: raw(b"HTTP/1.1 206 P\r\n", *[b"X-A: " + b"y" * 60_000 + b"\r\n"] * 200),
    "a reset": lambda _: (
        lambda handler: handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ),
    "silence": lambda _: lambda _: time.sleep(1.0),
    "a slow head": lambda _: raw(*(bytes([byte]) for byte in b"HTTP/1.1 206 Partial Content\r\n"), pause_seconds=0.1),
    "a slow body": lambda data: raw(
        f"HTTP/1.1 206 P\r\nETag: {ETAG}\r\nContent-Range: bytes 0-65535/{len(data)}\r\n"
        "Content-Length: 65536\r\n\r\n".encode(),
        *[b"x"] * 150,
        pause_seconds=0.1,
    ),
    "a slow failure": lambda _: raw(
        b"HTTP/1.1 503 Slow\r\nContent-Length: 4000\r\n\r\n", *[b"x"] * 150, pause_seconds=0.1
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", WRONG)
def test_an_answer_that_is_wrong_for_ever_is_an_error_in_time(server: WebServer, sample: Sample, name: str) -> None:
    server.answer = WRONG[name](sample.data)
    assert error_of(url(server, f"?{SECRET}"), RemoteError).startswith(f"{url(server)}: ")


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_that_is_wrong_later_is_an_error_in_time(server: WebServer, sample: Sample, name: str) -> None:
    server.answer = after(2, ranged(sample.data), WRONG[name](sample.data))
    with dp.open(url(server, f"?{SECRET}")) as prompt:
        begun = time.monotonic()
        with pytest.raises((RemoteError, PackChangedError)) as caught:
            prompt[700_000:700_050]
        assert time.monotonic() - begun < LONGEST_SECONDS
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        server.answer = ranged(sample.data)
        assert prompt[700_000:700_050] == sample.text[700_000:700_050]


SLOW = ("silence", "a slow head", "a slow body", "a slow failure")


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in WRONG if name not in SLOW])
def test_an_answer_that_is_wrong_once_is_asked_for_again(server: WebServer, sample: Sample, name: str) -> None:
    for at in range(3):
        server.answer = only(at, WRONG[name](sample.data), ranged(sample.data))
        check(sample, url(server))


def test_a_version_is_needed(server: WebServer, sample: Sample) -> None:
    server.answer = ranged(sample.data, etag=None)
    assert "neither ETag nor Last-Modified" in error_of(url(server), RemoteError)
    assert len(server.asked) <= 6


@pytest.mark.parametrize("etag", [ETAG, 'W/"1"', None])
def test_another_version_is_told_from_the_first(
    server: WebServer, sample: Sample, other: Sample, etag: str | None
) -> None:
    server.answer = ranged(sample.data, ("Last-Modified", MODIFIED), etag=etag)
    with dp.open(url(server)) as prompt:
        seen = prompt[:50]
        server.answer = ranged(
            other.data, ("Last-Modified", MODIFIED.replace("28", "29")), etag=etag and f'{etag[:-1]}b"'
        )
        for place in PLACES[1:]:
            with pytest.raises(PackChangedError, match="open it again"):
                prompt[place : place + 50]
        assert prompt[:50] == seen
    check(other, url(server))


def test_another_size_is_another_version(server: WebServer, sample: Sample) -> None:
    server.answer = after(2, ranged(sample.data), ranged(sample.data + b"more"))
    with dp.open(url(server)) as prompt, pytest.raises(PackChangedError):
        prompt[700_000:700_050]


def test_a_server_that_forgets_the_version_does_not_mix(server: WebServer, sample: Sample, other: Sample) -> None:
    server.answer = after(2, ranged(sample.data), ranged(other.data))
    with dp.open(url(server)) as prompt:
        # The same ETag for other bytes is a lie that only the checksums can find.
        for place in PLACES[1:]:
            with pytest.raises((CorruptPackError, PackChangedError)):
                prompt[place : place + 50]


def test_a_server_of_two_versions_is_not_opened(server: WebServer, sample: Sample, other: Sample) -> None:
    server.answer = after(1, ranged(sample.data), ranged(other.data, etag='"2"'))
    error_of(url(server), PackChangedError)


NO_PACKS: dict[str, tuple[Callable[[bytes], bytes], type[DPromptError]]] = {
    "text": (lambda _: b"Once upon a time there was a text.\n" * 100, NotAPackError),
    "a page": (lambda _: b"<!DOCTYPE html><html></html>", NotAPackError),
    "one byte": (lambda _: b"S", NotAPackError),
    "zeros": (lambda data: bytes(len(data)), NotAPackError),
    "the beginning of a pack": (lambda data: data[:50_000], CorruptPackError),
    "a pack without its end": (lambda data: data[:-4_096], CorruptPackError),
    "a pack without a byte": (lambda data: data[:-1], CorruptPackError),
    "a header alone": (lambda data: data[:100], CorruptPackError),
}


@pytest.mark.parametrize("name", NO_PACKS)
def test_what_is_no_pack_is_told(server: WebServer, sample: Sample, name: str) -> None:
    change, kind = NO_PACKS[name]
    data = change(sample.data)
    server.answer = ranged(data)
    assert error_of(url(server, f"?{SECRET}"), kind).startswith(f"{url(server)}: ")


ADDRESSES = (
    f"http://user:{SECRET}@:80/x?sig={SECRET}",
    f"https://h:99999/x?X-Amz-Signature={SECRET}",
    f"https://u:{SECRET}@h/x",
    f"ftp://u:{SECRET}@h/x",
    f"http:///x?sig={SECRET}",
    f"https://[::1/x?sig={SECRET}",
    f"http://h\n/x?{SECRET}",
    f"http://{'a' * 70}/x?{SECRET}",
    f"https://h?{SECRET}",
    f"s3://u:{SECRET}@b/k",
    "s3://",
    "s3:///key",
    "s3://bucket",
    "://",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_is_no_address_is_told_without_what_is_secret(address: str) -> None:
    error_of(address, AddressError)


def test_where_nobody_listens_is_told(server: WebServer) -> None:
    address = url(server, f"?{SECRET}")
    with server:
        pass
    assert "cannot be reached" in error_of(address, RemoteError)


SLICE = slice(1_000, 1_012)
COMMANDS = (["info"], ["info", "--json"], ["ls"], ["ls", "-l"], ["cat"], ["find"], ["grep"], ["verify"], ["unpack"])


def arguments(command: list[str], address: str, needle: str) -> list[str]:
    more = {"find": [address, needle], "grep": [needle, address], "unpack": [address, "-o", "-"]}
    return [*command, *more.get(command[0], [address])]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_never_print_a_query(server: WebServer, sample: Sample, command: list[str]) -> None:
    server.answer = ranged(sample.data)
    result = CliRunner().invoke(main, arguments(command, url(server, f"?{SECRET}"), sample.text[SLICE]))
    assert (result.exit_code, SECRET in result.output) == (0, False)
    server.answer = refusing(403)
    result = CliRunner().invoke(main, arguments(command, url(server, f"?{SECRET}"), sample.text[SLICE]))
    assert result.exit_code == (2 if command[0] in {"find", "grep"} else 1)
    assert result.output.startswith(f"dprompt: {url(server)}: ")
    assert result.output.count("\n") == 1
    assert SECRET not in result.output


def test_verify_of_a_damaged_pack_prints_no_query(server: WebServer, sample: Sample) -> None:
    middle = len(sample.data) // 2
    damaged = sample.data[:middle] + bytes(100) + sample.data[middle + 100 :]
    server.answer = ranged(damaged)
    result = CliRunner().invoke(main, ["verify", url(server, f"?{SECRET}")])
    assert result.exit_code == 1
    assert "problem" in result.output
    assert SECRET not in result.output


def test_a_refused_signature_is_renewed_once(server: WebServer, sample: Sample) -> None:
    signatures = iter(["old", "new", "newer"])
    current = [next(signatures)]
    expired = refusing(403, body=b"<Error><Code>AccessDenied</Code></Error>")
    good = ranged(sample.data)
    server.answer = lambda handler: expired(handler) if handler.path.endswith("old") else good(handler)
    found = Ranges("name", lambda: url(server, f"?{current[0]}"), lambda: current.__setitem__(0, next(signatures)))
    start, data = found.pin_beginning(100)
    assert (start, bytes(data)) == (0, sample.data[:100])
    assert [path[-3:] for path, _ in server.asked] == ["old", "new"]
    server.answer = expired
    with pytest.raises(AccessError):
        found.fetch(0, 100)
    assert len(server.asked) == 4
    found.close()


def test_an_expired_token_is_renewed(server: WebServer, sample: Sample) -> None:
    renewed: list[bool] = []
    expired, good = refusing(400, body=b"<Error><Code>ExpiredToken</Code></Error>"), ranged(sample.data)
    server.answer = lambda handler: good(handler) if renewed else expired(handler)
    found = Ranges("name", lambda: url(server), lambda: renewed.append(True))
    start, data = found.pin_end(100)
    assert (start, bytes(data)) == (len(sample.data) - 100, sample.data[-100:])
    assert renewed == [True]
    found.close()


def test_closing_ends_the_patience_of_others(
    server: WebServer, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "_PATIENCE_SECONDS", 60)
    monkeypatch.setattr(ranges, "_FIRST_PAUSE_SECONDS", 5)
    server.answer = after(2, ranged(sample.data), refusing(503))
    prompt = dp.open(url(server))
    ended: list[DPromptError] = []

    def read() -> None:
        try:
            prompt[700_000:700_050]
        except DPromptError as error:
            ended.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    time.sleep(0.3)
    begun = time.monotonic()
    prompt.close()
    for reader in readers:
        reader.join(LONGEST_SECONDS)
    assert not any(reader.is_alive() for reader in readers)
    assert time.monotonic() - begun < 2.5
    assert len(ended) == 3


def test_dropped_prompts_leave_no_connections(server: WebServer, sample: Sample) -> None:
    server.answer = ranged(sample.data)
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("needs /proc to see its own sockets")
    before = len(list(descriptors.iterdir()))
    for _ in range(12):
        assert dp.open(url(server))[700_000:700_050] == sample.text[700_000:700_050]
    time.sleep(0.1)
    assert len(list(descriptors.iterdir())) <= before + 12  # this server's side of some connections, too
    assert threading.active_count() < 60


def test_an_interrupt_of_one_thread_is_none_of_another(server: WebServer, sample: Sample) -> None:
    program = """
import os, signal, sys, threading, time
import distributed_prompt as dp
prompt = dp.open(sys.argv[1])
found = []
def read():
    time.sleep(0.5)
    try:
        found.append(prompt[700_000:700_010])
    except BaseException as error:
        found.append(repr(error))
other = threading.Thread(target=read)
other.start()
threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    prompt[700_000:700_010]
    print("not interrupted")
except KeyboardInterrupt:
    print("interrupted")
other.join()
print(*found)
"""
    good = ranged(sample.data)

    def slow(handler: Handler) -> None:
        time.sleep(2)
        good(handler)

    server.answer = after(2, good, slow)
    ran = subprocess.run(
        [sys.executable, "-c", program, url(server)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout.splitlines() == ["interrupted", sample.text[700_000:700_010]], ran.stderr


def test_no_fetch_is_lost_when_idle_threads_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetchers._Fetchers._work, "__defaults__", (0.0004,))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    chance = random.Random(1)  # noqa: S311  # no secret
    end = time.monotonic() + 3
    submitted = fetchers._Fetchers()
    try:
        while time.monotonic() < end:
            done = threading.Event()
            submitted.submit(done.set)
            assert done.wait(5), "nobody does what was submitted"
            time.sleep(0.0004 + chance.random() * 2e-4)
    finally:
        sys.setswitchinterval(interval)


def test_fetches_are_done_by_few_threads_which_go_when_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetchers._Fetchers._work, "__defaults__", (0.1,))
    submitted = fetchers._Fetchers()
    done: list[int] = []
    names: set[str] = set()

    def task(number: int) -> None:
        time.sleep(0.001)
        names.add(f"{threading.get_ident()}")
        done.append(number)

    for number in range(300):
        submitted.submit(partial(task, number))
    end = time.monotonic() + 10
    while len(done) < 300 and time.monotonic() < end:
        time.sleep(0.01)
    assert sorted(done) == list(range(300))
    assert len(names) <= fetchers.THREADS
    while submitted._threads and time.monotonic() < end:
        time.sleep(0.01)
    assert submitted._threads == 0


@pytest.mark.parametrize("kind", [HttpBackend, dp.HttpBackend])
def test_a_backend_is_what_it_is_opened_with(server: WebServer, sample: Sample, kind: type[HttpBackend]) -> None:
    server.answer = ranged(sample.data)
    with DistributedPrompt(kind(url(server, f"?{SECRET}"), cache_bytes=2**16)) as prompt:
        for place in range(0, len(sample.text), 50_000):
            assert prompt[place : place + 50] == sample.text[place : place + 50]
