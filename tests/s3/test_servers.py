"""The S3 servers that tests run against, and the proxy before them."""

import gzip
import hashlib
import http.client
import itertools
import math
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path
from typing import Any

import botocore.exceptions  # type: ignore[import-untyped]
import pytest
import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError

from tests.s3.fault_proxy import KINDS, WRONG_ETAG, Fault, FaultProxy, Request, bytes_moved, operation, round_trips
from tests.s3.servers import REQUIRED, SERVERS, skip_without, start
from tools.s3_server import S3ServerError, Server, empty_folder, free_ports, start_ministack

CONTENT = random.Random(1).randbytes(3_000_000)  # noqa: S311  # chance, not secrets
MIB = 1 << 20
KEY = "folder/a key+with=all & ü"
pytestmark = pytest.mark.each_server


@pytest.fixture
def url(proxy: FaultProxy, proxy_client: Any, s3_client: Any, bucket: str) -> str:
    """Where anyone can get CONTENT, by way of the proxy."""
    s3_client.put_object(Bucket=bucket, Key=KEY, Body=CONTENT)
    url: str = proxy_client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": KEY})
    assert url.startswith(proxy.url)
    return url


@pytest.fixture
def http_client() -> Iterator[urllib3.PoolManager]:
    """A client that hides nothing."""
    with urllib3.PoolManager(retries=False, maxsize=8, timeout=10) as client:
        yield client


def get(client: urllib3.PoolManager, url: str, **headers: str) -> urllib3.BaseHTTPResponse:
    """The answer as it is: no redirect followed, nothing unpacked."""
    return client.request("GET", url, headers=headers, decode_content=False, redirect=False)


def eventually(condition: Callable[[], bool], seconds: float = 15) -> bool:
    """Whether it becomes true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def runs(pid: int) -> bool:
    """Whether the process lives; one that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def listens(port: int) -> bool:
    """Whether a connection can be made."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def addresses(pid: int) -> set[str]:
    """The addresses on which a process listens, as the kernel writes them."""
    links = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in links}


def test_what_is_put_comes_back_whole_and_in_ranges(s3_client: Any, bucket: str) -> None:
    etag = s3_client.put_object(Bucket=bucket, Key=KEY, Body=CONTENT)["ETag"]
    assert etag.strip('"') == hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    check_reading(s3_client, bucket, etag)


def test_what_is_put_through_the_proxy_comes_back_whole_and_in_ranges(
    proxy_client: Any, proxy: FaultProxy, bucket: str
) -> None:
    etag = proxy_client.put_object(Bucket=bucket, Key=KEY, Body=CONTENT)["ETag"]
    check_reading(proxy_client, bucket, etag)
    assert [request.operation for request in proxy.requests][:2] == ["PutObject", "HeadObject"]
    assert {request.operation for request in proxy.requests[2:]} == {"GetObject"}


def check_reading(client: Any, bucket: str, etag: str) -> None:
    """Everything that reading a pack needs of a server."""
    named = {"Bucket": bucket, "Key": KEY}
    assert client.head_object(**named)["ContentLength"] == len(CONTENT)
    assert client.get_object(**named)["Body"].read() == CONTENT
    answer = client.get_object(**named, Range="bytes=1000-1999", IfMatch=etag)
    assert answer["Body"].read() == CONTENT[1000:2000]
    assert answer["ContentRange"] == f"bytes 1000-1999/{len(CONTENT)}"
    assert answer["ETag"] == etag
    assert client.get_object(**named, Range="bytes=-100")["Body"].read() == CONTENT[-100:]
    assert status_of(lambda: client.get_object(**named, Range="bytes=9999999-")) == 416
    assert status_of(lambda: client.get_object(**named, Range="bytes=0-9", IfMatch=WRONG_ETAG)) == 412


def status_of(call: Callable[[], object]) -> int:
    """The status of the error that a call must end in."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call()
    status: int = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
    return status


def test_an_object_is_changed_by_copying_parts_of_itself(proxy_client: Any, proxy: FaultProxy, bucket: str) -> None:
    named = {"Bucket": bucket, "Key": KEY}
    content = CONTENT * 4
    upload(proxy_client, named, [content[: 6 * MIB], content[6 * MIB :]])
    proxy.reset()
    upload(proxy_client, named, [(0, 6 * MIB - 1), b"another end"])
    assert proxy_client.get_object(**named)["Body"].read() == content[: 6 * MIB] + b"another end"
    names = ["CreateMultipartUpload", "UploadPartCopy", "UploadPart", "CompleteMultipartUpload", "GetObject"]
    assert [request.operation for request in proxy.requests] == names
    assert bytes_moved(proxy.requests) < 7 * MIB


def upload(client: Any, named: dict[str, str], sources: list[bytes | tuple[int, int]]) -> None:
    """An upload of which each part comes from memory, or from a range of the object itself."""
    upload = {**named, "UploadId": client.create_multipart_upload(**named)["UploadId"]}
    etags = []
    for number, source in enumerate(sources, 1):
        if isinstance(source, bytes):
            etags.append(client.upload_part(**upload, PartNumber=number, Body=source)["ETag"])
        else:
            area = f"bytes={source[0]}-{source[1]}"
            copied = client.upload_part_copy(**upload, PartNumber=number, CopySource=named, CopySourceRange=area)
            etags.append(copied["CopyPartResult"]["ETag"])
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def test_only_ministack_lets_a_wrong_secret_in(
    s3_server: Server, proxy: FaultProxy, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_server, "secret_key", "wrong")
    client = s3_server.client(proxy.url, attempts=1)
    if s3_server.name == "ceph":
        assert status_of(lambda: client.put_object(Bucket=bucket, Key=KEY, Body=CONTENT)) == 403
    else:
        client.put_object(Bucket=bucket, Key=KEY, Body=CONTENT)
    client.close()


def test_a_server_listens_on_this_machine_only(s3_server: Server) -> None:
    pids = s3_server.pids()
    assert len(pids) == {"ceph": 3, "ministack": 1}[s3_server.name]
    assert set[str]().union(*map(addresses, pids)) == {"0100007F"}


def test_the_environment_is_all_that_boto3_needs(s3_server: Server, bucket: str) -> None:
    program = "import boto3; print(*(found['Name'] for found in boto3.client('s3').list_buckets()['Buckets']))"
    environment = {**os.environ, **s3_server.environment()}
    printed = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True).stdout
    assert bucket in printed.decode().split()


@pytest.mark.parametrize("name", SERVERS)
def test_a_stopped_server_leaves_nothing(name: str, tmp_path: Path) -> None:
    with start(name, tmp_path / "server") as server:
        pids = server.pids()
        assert all(map(runs, pids))
        assert listens(server.port)
    assert eventually(lambda: not any(map(runs, pids)))
    assert eventually(lambda: not listens(server.port))
    assert not server.folder.exists()
    server.stop()


@pytest.mark.thorough
@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("end", ["sys.exit()", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_server_ends_with_the_process_that_started_it(name: str, end: str, tmp_path: Path) -> None:
    folder = tmp_path / "server"
    program = f"""
import os, signal, sys
from pathlib import Path
from tests.s3.servers import start
server = start({name!r}, Path({str(folder)!r}))
print(server.port, *server.pids(), flush=True)
{end}
"""
    skip_without(name)
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False)
    assert done.returncode == (0 if "exit" in end else -signal.SIGKILL)
    port, *pids = map(int, done.stdout.split())
    assert eventually(lambda: not any(map(runs, pids)))
    assert eventually(lambda: not folder.exists())
    assert eventually(lambda: not listens(port))


def test_a_folder_with_anything_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(S3ServerError, match="is not empty"):
        empty_folder(tmp_path)
    assert (tmp_path / "precious").exists()


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ministack"
    program.write_text("#!/bin/sh\necho no luck today\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr("tools.s3_server.ministack_program", lambda: str(program))
    with pytest.raises(S3ServerError, match="no luck today"):
        start_ministack(tmp_path / "server")
    assert not (tmp_path / "server").exists()


def test_a_missing_server_skips_or_fails_as_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.s3.servers.available", list)
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install"):
        start("ceph", tmp_path)
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="pip install"):
        start("ministack", tmp_path)


def test_a_refusal_is_an_error_in_xml(url: str, proxy: FaultProxy, http_client: urllib3.PoolManager) -> None:
    proxy.script = ["503", "500", "429"]
    for status, code in ((503, b"SlowDown"), (500, b"InternalError"), (429, b"TooManyRequests")):
        answer = get(http_client, url)
        assert answer.status == status
        assert b"<Code>%b</Code>" % code in answer.data
    assert get(http_client, url).data == CONTENT
    assert [request.status for request in proxy.requests] == [503, 500, 429, 200]
    assert len({request.connection for request in proxy.requests}) == 1


def test_a_refused_upload_is_read_to_its_end(proxy: FaultProxy, proxy_client: Any, bucket: str) -> None:
    proxy.script = ["503"]
    assert status_of(lambda: proxy_client.put_object(Bucket=bucket, Key=KEY, Body=CONTENT)) == 503
    proxy_client.put_object(Bucket=bucket, Key=KEY, Body=CONTENT)
    assert [request.received_bytes for request in proxy.requests] == [len(CONTENT)] * 2


def test_boto3_tries_again_after_a_503(s3_server: Server, proxy: FaultProxy, bucket: str) -> None:
    proxy.script = ["503", "reset"]
    client = s3_server.client(proxy.url)
    client.put_object(Bucket=bucket, Key=KEY, Body=CONTENT)
    client.close()
    assert [request.fault for request in proxy.requests] == ["503", "reset", None]


def test_a_reset_comes_before_any_byte_and_before_the_server(
    proxy: FaultProxy, proxy_client: Any, s3_client: Any, bucket: str
) -> None:
    proxy.script = ["reset"]
    with pytest.raises(botocore.exceptions.HTTPClientError):
        proxy_client.put_object(Bucket=bucket, Key=KEY, Body=b"1")
    assert "Contents" not in s3_client.list_objects_v2(Bucket=bucket)


def test_a_lost_answer_comes_after_the_server_has_done_its_part(
    proxy: FaultProxy, proxy_client: Any, s3_client: Any, bucket: str
) -> None:
    proxy.script = ["lost_answer"]
    with pytest.raises(botocore.exceptions.HTTPClientError):
        proxy_client.put_object(Bucket=bucket, Key=KEY, Body=b"1")
    assert s3_client.get_object(Bucket=bucket, Key=KEY)["Body"].read() == b"1"


def test_a_reset_is_a_reset(url: str, proxy: FaultProxy) -> None:
    proxy.script = ["reset"]
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"))
    connection.request("GET", url.removeprefix(proxy.url))
    with pytest.raises(ConnectionResetError):
        connection.getresponse()
    connection.close()


def test_a_cut_answer_announces_more_than_it_brings(
    url: str, proxy: FaultProxy, http_client: urllib3.PoolManager
) -> None:
    proxy.script = ["cut"]
    answer = http_client.request("GET", url, preload_content=False)
    assert answer.headers["content-length"] == str(len(CONTENT))
    with pytest.raises(HTTPError, match="IncompleteRead"):
        answer.read()
    assert proxy.requests[0].sent_bytes == len(CONTENT) // 2
    assert get(http_client, url).data == CONTENT


def test_a_stalled_answer_goes_on_when_the_time_is_over(
    url: str, proxy: FaultProxy, http_client: urllib3.PoolManager
) -> None:
    proxy.script = ["stall", "stall"]
    proxy.stall_seconds = 0.4
    begin = time.monotonic()
    assert get(http_client, url).data == CONTENT
    assert 0.4 < time.monotonic() - begin < 3
    answer = http_client.request("GET", url, preload_content=False, timeout=0.1)
    assert len(answer.read(1000)) == 1000
    with pytest.raises(ReadTimeoutError):
        answer.read()


def test_an_etag_is_replaced_or_taken_away(url: str, proxy: FaultProxy, http_client: urllib3.PoolManager) -> None:
    proxy.script = ["wrong_etag", "no_etag"]
    assert get(http_client, url).headers["etag"] == WRONG_ETAG
    assert "etag" not in get(http_client, url).headers
    assert get(http_client, url).headers["etag"] not in {"", WRONG_ETAG}


def test_an_ignored_range_brings_the_whole(
    url: str, proxy: FaultProxy, http_client: urllib3.PoolManager, proxy_client: Any, bucket: str
) -> None:
    proxy.script = ["ignore_range"] * 2
    answer = get(http_client, url, Range="bytes=0-9")
    assert (answer.status, answer.data) == (200, CONTENT)
    signed = proxy_client.get_object(Bucket=bucket, Key=KEY, Range="bytes=0-9")
    assert signed["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert signed["Body"].read() == CONTENT
    assert [request.range for request in proxy.requests] == ["bytes=0-9"] * 2


def test_an_ignored_condition_changes_what_was_to_stay(
    url: str, proxy: FaultProxy, http_client: urllib3.PoolManager, proxy_client: Any, bucket: str
) -> None:
    named = {"Bucket": bucket, "Key": KEY, "IfMatch": WRONG_ETAG.strip('"')}
    assert status_of(lambda: proxy_client.put_object(**named, Body=b"2")) == 412
    proxy.script = ["ignore_if_match"] * 3
    assert get(http_client, url, **{"If-Match": WRONG_ETAG}).data == CONTENT
    assert proxy_client.get_object(**named)["Body"].read() == CONTENT
    proxy_client.put_object(**named, Body=b"2")
    assert get(http_client, url).data == b"2"


def test_a_wrong_content_range_is_a_byte_off(url: str, proxy: FaultProxy, http_client: urllib3.PoolManager) -> None:
    proxy.script = ["wrong_content_range"]
    answer = get(http_client, url, Range="bytes=10-19")
    assert answer.headers["content-range"] == f"bytes 11-20/{len(CONTENT)}"
    assert answer.data == CONTENT[10:20]


def test_a_compressed_answer_says_so(url: str, proxy: FaultProxy, http_client: urllib3.PoolManager) -> None:
    proxy.script = ["gzip"]
    answer = get(http_client, url, Range="bytes=10-19")
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(answer.data) == CONTENT[10:20]


def test_garbage_differs_in_one_bit(url: str, proxy: FaultProxy, http_client: urllib3.PoolManager) -> None:
    proxy.script = ["garbage"]
    content = get(http_client, url).data
    assert len(content) == len(CONTENT)
    assert [old ^ new for old, new in zip(CONTENT, content, strict=True) if old != new] == [1]


def test_a_captive_portal_answers_with_a_page(url: str, proxy: FaultProxy, http_client: urllib3.PoolManager) -> None:
    proxy.script = ["redirect_html"]
    answer = get(http_client, url, Range="bytes=10-19")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html")
    assert answer.data.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("fault", KINDS)
def test_each_fault_leaves_answers_without_a_body_as_valid_as_it_can(
    fault: Fault, url: str, proxy: FaultProxy, http_client: urllib3.PoolManager
) -> None:
    proxy.stall_seconds = 0
    proxy.script = [fault]
    try:
        assert http_client.request("HEAD", url).data == b""
    except HTTPError:
        assert fault in {"reset", "lost_answer"}
    assert get(http_client, url).data == CONTENT


def test_faults_by_chance_are_as_many_as_asked_for_and_repeat_with_their_seed(
    url: str, proxy: FaultProxy, http_client: urllib3.PoolManager
) -> None:
    proxy.faults = 0.5
    proxy.kinds = ("503", "no_etag")
    for _ in range(2):
        proxy.seed(7)
        for _ in range(60):
            get(http_client, url, Range="bytes=0-9")
    faults = [request.fault for request in proxy.requests]
    assert faults[:60] == faults[60:]
    assert 15 < sum(fault is not None for fault in faults[:60]) < 45
    assert set(faults) == {None, "503", "no_etag"}


def test_a_function_decides_by_the_request(url: str, proxy: FaultProxy, http_client: urllib3.PoolManager) -> None:
    proxy.script = lambda request: "503" if request.range == "bytes=5-9" else None
    statuses = [get(http_client, url, Range=f"bytes={start}-9").status for start in (4, 5, 6)]
    assert statuses == [206, 503, 206]


def test_latency_is_paid_once_by_requests_at_the_same_time(
    url: str, proxy: FaultProxy, http_client: urllib3.PoolManager
) -> None:
    proxy.latency_seconds = 0.5
    areas = [f"bytes={start}-{start + 9}" for start in range(0, 80, 10)]
    begin = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(lambda area: get(http_client, url, Range=area).data, areas))
    # One after the other they would take 8 times the latency, on the fastest machine.
    assert 0.5 < time.monotonic() - begin < 8 * 0.5
    assert b"".join(contents) == CONTENT[:80]
    assert round_trips(proxy.requests) == 1
    get(http_client, url)
    get(http_client, url)
    assert round_trips(proxy.requests) == 3


def test_requests_that_wait_for_no_other_are_one_round(
    url: str, proxy: FaultProxy, http_client: urllib3.PoolManager
) -> None:
    def late_by(seconds: float) -> bytes:
        time.sleep(seconds)
        return get(http_client, url, Range="bytes=0-9").data

    proxy.quiet_seconds = 0.5
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(late_by, (0, 0.1, 0.2, 0.3))) == [CONTENT[:10]] * 4
    assert len({request.round for request in proxy.requests}) == 1
    late_by(0)
    late_by(0)
    assert len({request.round for request in proxy.requests}) == 3


def test_requests_are_written_down(url: str, proxy: FaultProxy, http_client: urllib3.PoolManager) -> None:
    for _ in range(20):
        get(http_client, url, Range="bytes=0-99")
    assert len(proxy.requests) == 20
    for request in proxy.requests:
        assert (request.method, request.operation, request.status) == ("GET", "GetObject", 206)
        assert (request.range, request.sent_bytes, request.received_bytes) == ("bytes=0-99", 100, 0)
        assert request.started < request.ended < request.started + 5
        assert "?" not in request.path
    assert bytes_moved(proxy.requests) == 2000
    assert round_trips(proxy.requests) == 20
    assert len({request.connection for request in proxy.requests}) == 1
    proxy.reset()
    assert not proxy.requests


def test_a_body_without_a_length_arrives_whole(http_client: urllib3.PoolManager) -> None:
    with FaultProxy("http://127.0.0.1:1") as behind, FaultProxy(behind.url) as before:
        behind.script = ["redirect_html"]
        body = iter([b"a" * 10, b"b" * 300_000, b"c"])
        assert http_client.request("PUT", f"{before.url}/bucket/key", body=body, chunked=True).status == 200
        assert [proxy.requests[0].received_bytes for proxy in (before, behind)] == [300_011] * 2


def test_an_idle_connection_that_the_server_ended_is_made_anew(http_client: urllib3.PoolManager) -> None:
    with FaultProxy("http://127.0.0.1:1") as behind, FaultProxy(behind.url) as before:
        behind.script = lambda _: "redirect_html"
        for number in range(1, 4):
            assert http_client.request("GET", before.url).status == 200
            assert (before.requests[-1].connection, behind.requests[-1].connection) == (1, number)
            behind._server.end_connections()
            assert eventually(lambda: not behind._server.connections)


def test_without_a_server_behind_it_the_proxy_says_so(http_client: urllib3.PoolManager) -> None:
    with FaultProxy(f"http://127.0.0.1:{free_ports(1)[0]}") as proxy:
        answer = http_client.request("PUT", proxy.url, body=b"123")
    assert answer.status == 502
    assert b"refused" in answer.data


def test_a_closed_proxy_ends_what_is_under_way(s3_server: Server) -> None:
    threads = threading.active_count()
    proxy = FaultProxy(s3_server.endpoint_url)
    proxy.latency_seconds = 60
    with socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2]))) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert eventually(lambda: len(proxy.requests) == 1)
        begin = time.monotonic()
        proxy.close()
        assert time.monotonic() - begin < 5
    assert threading.active_count() <= threads
    assert not listens(int(proxy.url.rpartition(":")[2]))


def requests(*times: tuple[float, float]) -> list[Request]:
    """Requests of which only the times matter."""
    made = [Request("GET", "/", "", Message(), 1, started) for started, _ in times]
    for request, (_, ended) in zip(made, times, strict=True):
        request.ended = ended
    return made


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], 0),
        ([(0, 1)], 1),
        ([(0, 1), (0.5, 2)], 1),
        ([(0, 1), (1, 2), (2, 3)], 3),
        ([(0, 10), (0, 1), (1.5, 2), (2.5, 3), (11, 12)], 4),
        ([(2, 3), (0, 1), (0, math.inf)], 2),
    ],
)
def test_round_trips_are_the_longest_chain(times: list[tuple[float, float]], expected: int) -> None:
    assert round_trips(requests(*times)) == expected


def test_round_trips_agree_with_trying_all_chains() -> None:
    chance = random.Random(3)  # noqa: S311
    for _ in range(200):
        made = requests(*((start, start + chance.random() * 3) for start in (chance.random() * 9 for _ in range(7))))
        chains = (
            len(chain)
            for count in range(1, 8)
            for chain in itertools.combinations(sorted(made, key=lambda request: request.started), count)
            if all(second.started >= first.ended for first, second in itertools.pairwise(chain))
        )
        assert round_trips(made) == max(chains)


@pytest.mark.parametrize(
    ("method", "target", "name"),
    [
        ("GET", "/", "ListBuckets"),
        ("GET", "/b", "ListObjects"),
        ("GET", "/b?list-type=2&prefix=x", "ListObjectsV2"),
        ("POST", "/b?delete", "DeleteObjects"),
        ("HEAD", "/b/", "HeadBucket"),
        ("DELETE", "/b/k/l", "DeleteObject"),
        ("POST", "/b/k?uploads", "CreateMultipartUpload"),
        ("GET", "/b?uploads=", "ListMultipartUploads"),
        ("PUT", "/b/k?partNumber=1&uploadId=x", "UploadPart"),
        ("POST", "/b/k?uploadId=x", "CompleteMultipartUpload"),
        ("DELETE", "/b/k?uploadId=x", "AbortMultipartUpload"),
        ("POST", "/", "POST"),
    ],
)
def test_operations_have_the_names_that_s3_gives_them(method: str, target: str, name: str) -> None:
    path, _, query = target.partition("?")
    assert operation(method, path, query, copying=False) == name
