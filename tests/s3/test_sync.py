"""Push, pull and sync against real servers, with real blocks of 8 MiB."""

import base64
import errno
import json
import os
import pickle
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from click.testing import CliRunner

import distributed_prompt as dp
from distributed_prompt.backends import blocks, pulling, pushing
from distributed_prompt.backends.blocks import SIDECAR_SUFFIX, Sidecar, block_count
from distributed_prompt.backends.s3_client import ObjectState, S3Object
from distributed_prompt.backends.s3_errors import typed
from distributed_prompt.backends.sync import PullResult, PushResult, pull, push, sync
from distributed_prompt.cli import syncing as _commands  # noqa: F401  # which registers them
from distributed_prompt.cli.group import main
from distributed_prompt.errors import (
    AccessError,
    AddressError,
    ArgumentError,
    CorruptPackError,
    DPromptError,
    NotAPackError,
    OutputError,
    OutputExistsError,
    PackChangedError,
    PackNotFoundError,
    RemoteError,
)
from tests.s3.fault_proxy import Fault, FaultProxy, Request
from tools.s3_server import Server

BLOCK_BYTES = 2**23
KEY = "folder/pack one.dprompt"
each_server = pytest.mark.each_server


class Packs(NamedTuple):
    """Three packs: one, the same with more text behind it, and another."""

    old: Path
    new: Path
    other: Path


def make_pack(path: Path, count_bytes: int, seed: int) -> Path:
    """A pack of text that does not compress to less than these bytes."""
    text = path.with_suffix(".txt")
    text.write_bytes(base64.b64encode(random.Random(seed).randbytes(count_bytes)))  # noqa: S311  # filler
    dp.pack([text], path)
    return path


@pytest.fixture(scope="session")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Packs:
    folder = tmp_path_factory.mktemp("packs")
    old, other = make_pack(folder / "old", 38_000_000, 1), make_pack(folder / "other", 20_000_000, 2)
    new = folder / "new"
    shutil.copy(old, new)
    more = folder / "old2.txt"
    more.write_bytes(base64.b64encode(random.Random(3).randbytes(380_000)))  # noqa: S311  # filler
    dp.append(new, [more])
    return Packs(old, new, other)


@pytest.fixture
def address(bucket: str) -> str:
    return f"s3://{bucket}/{KEY}"


@pytest.fixture
def mine(packs: Packs, tmp_path: Path) -> Path:
    """A pack that the test may do anything with."""
    path = tmp_path / "mine.dprompt"
    shutil.copy(packs.old, path)
    return path


@pytest.fixture
def only_ceph(s3_server: Server) -> None:
    if s3_server.name != "ceph":
        pytest.skip("ministack checks no signatures")


@pytest.fixture
def environment(s3_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Credentials and server in the environment, and nowhere else."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def contents(client: Any, bucket: str, key: str = KEY) -> bytes:
    with closing(client.get_object(Bucket=bucket, Key=key)["Body"]) as body:
        return bytes(body.read())


def sidecar_of(client: Any, bucket: str) -> Sidecar | None:
    return Sidecar.parse(contents(client, bucket, KEY + SIDECAR_SUFFIX))


def uploads(client: Any, bucket: str) -> list[str]:
    return [found["UploadId"] for found in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())]


def operations(proxy: FaultProxy) -> Counter[str]:
    return Counter(request.operation for request in proxy.requests)


def fail_from(operation: str, nth: int, fault: Fault) -> Callable[[Request], Fault | None]:
    """A script: the nth request of this kind gets the fault, and all after it."""
    seen = Counter[str]()

    def script(request: Request) -> Fault | None:
        seen[request.operation] += 1
        return fault if request.operation == operation and seen[operation] >= nth else None

    return script


def before_first(operation: str, act: Callable[[], object]) -> Callable[[Request], Fault | None]:
    """A script: something is done before the server gets the first request of this kind."""
    todo = [act]

    def script(request: Request) -> Fault | None:
        if request.operation == operation and todo:
            todo.pop()()
        return None

    return script


# Pushing


@each_server
def test_first_push(packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str) -> None:
    done: list[tuple[int, int | None]] = []
    size = packs.old.stat().st_size
    found = push(packs.old, f"s3://{bucket}/{KEY}", client=proxy_client, progress=lambda *at: done.append(at))
    count = block_count(size, BLOCK_BYTES)
    assert found == PushResult("pushed", size, size, 0, count, count)
    assert contents(s3_client, bucket) == packs.old.read_bytes()
    assert done[-1] == (size, size)
    assert done == sorted(done)
    assert operations(proxy)["UploadPart"] == count
    assert proxy.requests[-1].operation == "PutObject"
    assert uploads(s3_client, bucket) == []
    sidecar = sidecar_of(s3_client, bucket)
    assert sidecar
    assert sidecar.etag == s3_client.head_object(Bucket=bucket, Key=KEY)["ETag"].strip('"')


@each_server
def test_nothing_to_push(packs: Packs, proxy_client: Any, proxy: FaultProxy, address: str) -> None:
    push(packs.old, address, client=proxy_client)
    proxy.reset()
    done: list[tuple[int, int | None]] = []
    found = push(packs.old, address, client=proxy_client, progress=lambda *at: done.append(at))
    size = packs.old.stat().st_size
    assert found == PushResult("up to date", size, 0, 0, block_count(size, BLOCK_BYTES), 0)
    assert operations(proxy) == {"HeadObject": 1, "GetObject": 1}
    assert done == [(size, size)]


@each_server
def test_push_what_was_appended(
    packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str, address: str
) -> None:
    push(packs.old, address, client=proxy_client)
    proxy.reset()
    found = push(packs.new, address, client=proxy_client)
    assert found.status == "pushed"
    assert found.sent_bytes + found.copied_bytes == found.size_bytes == packs.new.stat().st_size
    assert 0 < found.sent_blocks <= 3 < found.blocks
    assert operations(proxy)["UploadPartCopy"] == found.blocks - found.sent_blocks
    assert sum(request.received_bytes for request in proxy.requests) < found.sent_bytes + 20_000
    assert contents(s3_client, bucket) == packs.new.read_bytes()
    assert push(packs.new, address, client=proxy_client).status == "up to date"
    # And back to a shorter one.
    assert push(packs.old, address, client=proxy_client).sent_blocks <= 3
    assert contents(s3_client, bucket) == packs.old.read_bytes()


@pytest.mark.parametrize("count", [1, 2, 4])
def test_size_that_is_a_multiple_of_the_block(
    packs: Packs, s3_client: Any, bucket: str, address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int
) -> None:
    size = packs.old.stat().st_size
    assert size % count == 0
    monkeypatch.setattr(blocks, "SMALLEST_BLOCK_BYTES", size // count)
    found = push(packs.old, address, client=s3_client)
    assert found == PushResult("pushed", size, size, 0, count, count)
    assert push(packs.old, address, client=s3_client).status == "up to date"
    assert pull(address, tmp_path / "back", client=s3_client).received_blocks == count
    assert (tmp_path / "back").read_bytes() == packs.old.read_bytes() == contents(s3_client, bucket)


def test_one_byte_more_than_a_multiple_of_the_block(
    packs: Packs, s3_client: Any, bucket: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = packs.old.stat().st_size
    monkeypatch.setattr(blocks, "SMALLEST_BLOCK_BYTES", size - 1)
    assert push(packs.old, address, client=s3_client).blocks == 2
    assert contents(s3_client, bucket) == packs.old.read_bytes()


@each_server
def test_small_pack(tmp_path: Path, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str) -> None:
    address = f"s3://{bucket}/{KEY}"
    small = make_pack(tmp_path / "small", 1000, 4)
    for seed in (5, 6):
        found = push(small, address, client=proxy_client)
        assert (found.status, found.sent_bytes, found.blocks) == ("pushed", small.stat().st_size, 1)
        assert contents(s3_client, bucket) == small.read_bytes()
        assert push(small, address, client=proxy_client).status == "up to date"
        small.unlink()
        make_pack(small, 1000, seed)
    assert operations(proxy)["CreateMultipartUpload"] == 0
    assert pull(address, tmp_path / "back", client=proxy_client).received_blocks == 1


@pytest.mark.parametrize("engine", ["sqlite", "lmdb"])
def test_engines_and_folders(tmp_path: Path, s3_client: Any, address: str, engine: str) -> None:
    (tmp_path / "text").write_text("some text\n" * 1000)
    (tmp_path / "folder").mkdir()
    dp.pack([tmp_path / "text"], tmp_path / "folder" / "prompt.dprompt", store=engine)
    push(tmp_path / "folder", address, client=s3_client)
    pull(address, tmp_path / "back", client=s3_client)
    assert dp.open(tmp_path / "back").count("text") == 1000
    assert sync(tmp_path / "folder", address, client=s3_client).status == "up to date"


def test_dry_run(packs: Packs, proxy_client: Any, proxy: FaultProxy, address: str, tmp_path: Path) -> None:
    found = push(packs.old, address, client=proxy_client, dry_run=True)
    assert (found.status, found.sent_bytes) == ("would push", packs.old.stat().st_size)
    push(packs.old, address, client=proxy_client)
    proxy.reset()
    planned = push(packs.new, address, client=proxy_client, dry_run=True)
    there = pull(address, tmp_path / "back", client=proxy_client, dry_run=True)
    assert {request.method for request in proxy.requests} == {"GET", "HEAD"}
    assert list(tmp_path.iterdir()) == []
    assert (there.status, there.received_bytes) == ("would pull", packs.old.stat().st_size)
    done = push(packs.new, address, client=proxy_client)
    assert planned._replace(status="pushed") == done


def test_no_pack_is_pushed_that_is_none(tmp_path: Path, proxy_client: Any, proxy: FaultProxy, address: str) -> None:
    (tmp_path / "text").write_text("text")
    with pytest.raises(NotAPackError, match="text"):
        push(tmp_path / "text", address, client=proxy_client)
    with pytest.raises(PackNotFoundError, match="nowhere"):
        push(tmp_path / "nowhere", address, client=proxy_client)
    assert proxy.requests == []


def test_what_is_no_pack_is_overwritten_only_by_force(packs: Packs, s3_client: Any, bucket: str, address: str) -> None:
    sqlite = sqlite3.connect(":memory:")
    with closing(sqlite):
        sqlite.execute("CREATE TABLE people(name)")
        database = sqlite.serialize()
    for there in (b"", b"precious", database):
        s3_client.put_object(Bucket=bucket, Key=KEY, Body=there)
        with pytest.raises(NotAPackError, match="--force"):
            push(packs.other, address, client=s3_client)
        assert contents(s3_client, bucket) == there
    push(packs.other, address, client=s3_client, force=True)
    assert contents(s3_client, bucket) == packs.other.read_bytes()


# Hashes beside the object


def spoiled(sidecar: Sidecar, how: str) -> bytes:
    """What may lie there instead of the right sidecar."""
    changed = {
        "etag": sidecar._replace(etag="0" * 32),
        "block": sidecar._replace(
            block_bytes=sidecar.size_bytes, hashes=sidecar.hashes[:1], size_bytes=sidecar.size_bytes
        ),
        "size": sidecar._replace(size_bytes=sidecar.size_bytes - 1),
    }
    if how in changed:
        return changed[how].encode()
    return {"garbage": b"\x00\xff", "empty": b"", "version": sidecar.encode().replace(b":1,", b":9,", 1)}[how]


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["missing", "garbage", "empty", "version", "etag", "block", "size"])
def test_without_the_right_hashes_all_is_moved(
    packs: Packs, s3_client: Any, bucket: str, address: str, tmp_path: Path, how: str
) -> None:
    push(packs.old, address, client=s3_client)
    right = sidecar_of(s3_client, bucket)
    assert right
    if how == "missing":
        s3_client.delete_object(Bucket=bucket, Key=KEY + SIDECAR_SUFFIX)
    else:
        s3_client.put_object(Bucket=bucket, Key=KEY + SIDECAR_SUFFIX, Body=spoiled(right, how))
    if how != "block":
        found = pull(address, tmp_path / "back", client=s3_client)
        assert found.received_bytes == found.size_bytes
        assert (tmp_path / "back").read_bytes() == packs.old.read_bytes()
    pushed = push(packs.new, address, client=s3_client)
    assert pushed.sent_bytes == pushed.size_bytes
    assert contents(s3_client, bucket) == packs.new.read_bytes()
    assert push(packs.new, address, client=s3_client).status == "up to date"


def test_equal_without_hashes(packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str) -> None:
    # As boto3 uploads, and as a push is left that was killed before its last request.
    address = f"s3://{bucket}/{KEY}"
    s3_client.upload_file(str(packs.old), bucket, KEY)
    assert push(packs.old, address, client=proxy_client).status == "up to date"
    assert operations(proxy)["CreateMultipartUpload"] == 0
    sidecar = sidecar_of(s3_client, bucket)
    assert sidecar
    assert len(sidecar.hashes) == block_count(packs.old.stat().st_size, BLOCK_BYTES)
    assert push(packs.new, address, client=proxy_client).copied_bytes > 0
    assert contents(s3_client, bucket) == packs.new.read_bytes()


@each_server
def test_parts_that_the_server_does_not_copy(
    packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str
) -> None:
    address = f"s3://{bucket}/{KEY}"
    push(packs.old, address, client=proxy_client)
    for fault in ("500", "redirect_html"):
        proxy.script = fail_from("UploadPartCopy", 2, fault)
        found = push(packs.new, address, client=proxy_client)
        assert found.copied_bytes < 2 * BLOCK_BYTES
        assert contents(s3_client, bucket) == packs.new.read_bytes()
        proxy.script = None
        push(packs.old, address, client=proxy_client)


# Two writers


@pytest.mark.thorough
@each_server
@pytest.mark.parametrize("there_is_one", [False, True])
@pytest.mark.parametrize("moment", ["CreateMultipartUpload", "UploadPart"])
def test_another_writer_wins(
    packs: Packs,
    proxy_client: Any,
    proxy: FaultProxy,
    s3_client: Any,
    bucket: str,
    *,
    there_is_one: bool,
    moment: str,
) -> None:
    address = f"s3://{bucket}/{KEY}"
    if there_is_one:
        push(packs.old, address, client=s3_client)
    proxy.script = before_first(moment, lambda: push(packs.other, address, client=s3_client))
    with pytest.raises(PackChangedError, match="another writer") as caught:
        push(packs.new, address, client=proxy_client)
    assert address in str(caught.value)
    assert contents(s3_client, bucket) == packs.other.read_bytes()
    assert uploads(s3_client, bucket) == []
    assert push(packs.other, address, client=s3_client).status == "up to date"
    proxy.script = before_first(moment, lambda: push(packs.old, address, client=s3_client))
    assert push(packs.new, address, client=proxy_client, force=True).status == "pushed"
    assert contents(s3_client, bucket) == packs.new.read_bytes()


@pytest.mark.parametrize("moment", ["CreateMultipartUpload", "UploadPartCopy", "UploadPart"])
def test_force_copies_from_no_other_object(
    packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str, moment: str
) -> None:
    address = f"s3://{bucket}/{KEY}"
    push(packs.old, address, client=s3_client)
    # Ceph copies whatever is there.
    proxy.script = before_first(moment, lambda: push(packs.other, address, client=s3_client))
    assert push(packs.new, address, client=proxy_client, force=True).status == "pushed"
    assert contents(s3_client, bucket) == packs.new.read_bytes()
    assert push(packs.new, address, client=s3_client).status == "up to date"


@each_server
@pytest.mark.parametrize("there_is_one", [False, True])
def test_another_writer_wins_at_the_last_moment(
    packs: Packs,
    proxy_client: Any,
    proxy: FaultProxy,
    s3_server: Server,
    s3_client: Any,
    bucket: str,
    *,
    there_is_one: bool,
) -> None:
    if s3_server.name == "ceph":
        pytest.skip("Ceph ignores conditions on completing an upload")
    address = f"s3://{bucket}/{KEY}"
    if there_is_one:
        push(packs.old, address, client=s3_client)
    proxy.script = before_first("CompleteMultipartUpload", lambda: push(packs.other, address, client=s3_client))
    with pytest.raises(PackChangedError, match="another writer"):
        push(packs.new, address, client=proxy_client)
    assert contents(s3_client, bucket) == packs.other.read_bytes()
    assert uploads(s3_client, bucket) == []


@each_server
@pytest.mark.parametrize("there_is_one", [False, True])
def test_another_writer_of_small_packs(
    tmp_path: Path, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str, *, there_is_one: bool
) -> None:
    address = f"s3://{bucket}/{KEY}"
    first, second, third = (make_pack(tmp_path / f"p{seed}", 1000, seed) for seed in range(3))
    if there_is_one:
        push(first, address, client=s3_client)
    # Both servers heed the condition here, so it may be as late as that.
    proxy.script = before_first("PutObject", lambda: push(second, address, client=s3_client))
    with pytest.raises(PackChangedError, match="another writer"):
        push(third, address, client=proxy_client)
    assert contents(s3_client, bucket) == second.read_bytes()
    s3_client.delete_object(Bucket=bucket, Key=KEY)
    proxy.script = before_first("PutObject", lambda: push(second, address, client=s3_client))
    with pytest.raises(PackChangedError, match="another writer"):
        push(third, address, client=proxy_client)


def test_object_that_is_deleted_meanwhile(
    packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str
) -> None:
    address = f"s3://{bucket}/{KEY}"
    push(packs.old, address, client=s3_client)
    proxy.script = before_first("UploadPart", lambda: s3_client.delete_object(Bucket=bucket, Key=KEY))
    with pytest.raises(PackChangedError, match="another writer"):
        push(packs.new, address, client=proxy_client)


@each_server
def test_writers_all_at_once(packs: Packs, s3_server: Server, s3_client: Any, bucket: str) -> None:
    address = f"s3://{bucket}/{KEY}"
    start = threading.Barrier(4)

    def write(pack: Path) -> str:
        with closing(s3_server.client()) as client:
            start.wait()
            try:
                return push(pack, address, client=client).status
            except PackChangedError:
                return "lost"

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(write, (packs.old, packs.new, packs.other, packs.old)))
    wrote = [pack for pack in packs if pack.read_bytes() == contents(s3_client, bucket)]
    assert len(wrote) == 1
    assert "pushed" in found
    assert push(wrote[0], address, client=s3_client).status in {"up to date", "pushed"}
    assert contents(s3_client, bucket) == wrote[0].read_bytes()


def test_answer_to_the_last_request_is_lost(
    packs: Packs, s3_server: Server, proxy: FaultProxy, s3_client: Any, bucket: str, tmp_path: Path
) -> None:
    address = f"s3://{bucket}/{KEY}"
    small = make_pack(tmp_path / "small", 1000, 4)
    with closing(s3_server.client(proxy.url, attempts=3)) as client:
        for pack, last in ((packs.old, "CompleteMultipartUpload"), (small, "PutObject"), (packs.new, "PutObject")):
            faults: list[Fault | None] = ["lost_answer"]

            def script(request: Request, last: str = last, faults: list[Fault | None] = faults) -> Fault | None:
                return faults.pop() if request.operation == last and faults else None

            proxy.script = script
            assert push(pack, address, client=client).status == "pushed"
            assert contents(s3_client, bucket) == pack.read_bytes()
            assert push(pack, address, client=s3_client).status == "up to date"


# Interrupted pushes


@each_server
def test_going_on(packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str) -> None:
    address = f"s3://{bucket}/{KEY}"
    push(packs.other, address, client=s3_client)
    proxy.script = fail_from("UploadPart", 4, "reset")
    with pytest.raises(RemoteError) as caught:
        push(packs.old, address, client=proxy_client)
    assert address in str(caught.value)
    assert contents(s3_client, bucket) == packs.other.read_bytes()
    assert len(uploads(s3_client, bucket)) == 1
    proxy.script = None
    proxy.reset()
    done: list[int] = []
    found = push(packs.old, address, client=proxy_client, progress=lambda at, _: done.append(at))
    assert found.copied_bytes > 2 * BLOCK_BYTES
    assert operations(proxy)["UploadPart"] == found.sent_blocks == found.blocks - 3
    assert operations(proxy)["CreateMultipartUpload"] == 0
    assert (done[0], done[-1]) == (found.copied_bytes, found.size_bytes)
    assert contents(s3_client, bucket) == packs.old.read_bytes()
    assert uploads(s3_client, bucket) == []
    sidecar = sidecar_of(s3_client, bucket)
    with blocks.BlockFile(packs.old) as file:
        assert sidecar
        assert sidecar.hashes == file.hashes(BLOCK_BYTES)


@each_server
def test_going_on_with_copied_parts(
    packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str
) -> None:
    address = f"s3://{bucket}/{KEY}"
    push(packs.old, address, client=s3_client)
    proxy.script = fail_from("UploadPart", 1, "500")
    with pytest.raises(RemoteError):
        push(packs.new, address, client=proxy_client)
    proxy.script = None
    proxy.reset()
    push(packs.new, address, client=proxy_client)
    assert operations(proxy)["UploadPartCopy"] == 0
    assert contents(s3_client, bucket) == packs.new.read_bytes()


def test_uploads_of_other_packs_are_left_alone(packs: Packs, s3_client: Any, bucket: str, address: str) -> None:
    upload = s3_client.create_multipart_upload(Bucket=bucket, Key=KEY)["UploadId"]
    empty = s3_client.create_multipart_upload(Bucket=bucket, Key=KEY)["UploadId"]
    near = s3_client.create_multipart_upload(Bucket=bucket, Key=f"{KEY}.2")["UploadId"]
    data = packs.other.read_bytes()[:BLOCK_BYTES]
    s3_client.upload_part(Bucket=bucket, Key=KEY, UploadId=upload, PartNumber=1, Body=data)
    found = push(packs.old, address, client=s3_client)
    assert found.copied_bytes == 0
    assert sorted(uploads(s3_client, bucket)) == sorted((upload, empty, near))
    push(packs.new, address, client=s3_client, abort_uploads=True)
    assert uploads(s3_client, bucket) == [near]


def test_left_over_uploads_are_aborted(
    packs: Packs, s3_client: Any, bucket: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_client.create_multipart_upload(Bucket=bucket, Key=KEY)
    monkeypatch.setattr(pushing, "_LEFT_OVER", timedelta(seconds=-5))
    push(packs.old, address, client=s3_client)
    assert uploads(s3_client, bucket) == []


@pytest.mark.parametrize("fault", ["500", "redirect_html"])
def test_uploads_that_cannot_be_listed(
    packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str, fault: Fault
) -> None:
    proxy.script = fail_from("ListMultipartUploads", 1, fault)
    assert push(packs.old, f"s3://{bucket}/{KEY}", client=proxy_client).status == "pushed"
    assert contents(s3_client, bucket) == packs.old.read_bytes()


@each_server
@pytest.mark.parametrize("moment", ["UploadPart", "CompleteMultipartUpload"])
def test_upload_that_another_writer_ends(
    packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str, moment: str
) -> None:
    def end() -> None:
        for upload in uploads(s3_client, bucket):
            s3_client.abort_multipart_upload(Bucket=bucket, Key=KEY, UploadId=upload)

    proxy.script = before_first(moment, end)
    # Ceph knows no better answer to the last request than 500.
    with pytest.raises((PackChangedError, RemoteError), match=r"same upload|500 InternalError"):
        push(packs.old, f"s3://{bucket}/{KEY}", client=proxy_client)
    assert push(packs.old, f"s3://{bucket}/{KEY}", client=s3_client).status == "pushed"


def test_upload_that_another_writer_puts_parts_into(
    packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str
) -> None:
    def put() -> None:
        (upload,) = uploads(s3_client, bucket)
        data = packs.other.read_bytes()[:BLOCK_BYTES]
        s3_client.upload_part(Bucket=bucket, Key=KEY, UploadId=upload, PartNumber=2, Body=data)

    proxy.script = before_first("CompleteMultipartUpload", put)
    with pytest.raises(PackChangedError, match="same upload"):
        push(packs.old, f"s3://{bucket}/{KEY}", client=proxy_client)
    proxy.script = None
    assert push(packs.old, f"s3://{bucket}/{KEY}", client=proxy_client).copied_bytes == 0
    assert contents(s3_client, bucket) == packs.old.read_bytes()


@pytest.mark.parametrize("number", [2, 99])
def test_parts_that_are_no_blocks_of_ours(packs: Packs, s3_client: Any, bucket: str, number: int) -> None:
    upload = s3_client.create_multipart_upload(Bucket=bucket, Key=KEY)["UploadId"]
    s3_client.upload_part(Bucket=bucket, Key=KEY, UploadId=upload, PartNumber=number, Body=b"short")
    assert push(packs.old, f"s3://{bucket}/{KEY}", client=s3_client).copied_bytes == 0
    assert uploads(s3_client, bucket) == [upload]


def test_parts_that_cannot_be_listed(
    packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str
) -> None:
    s3_client.create_multipart_upload(Bucket=bucket, Key=KEY)
    proxy.script = fail_from("ListParts", 1, "500")
    assert push(packs.old, f"s3://{bucket}/{KEY}", client=proxy_client).copied_bytes == 0


class LackingClient:
    """A client of a server that knows no conditions on what replaces an object."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.client, name)
        if name not in {"complete_multipart_upload", "put_object"}:
            return call

        def lacking(**arguments: Any) -> Any:
            if {"IfMatch", "IfNoneMatch"} & set(arguments):
                answer = {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}}
                raise ClientError(answer, name)
            return call(**arguments)

        return lacking


@each_server
def test_server_without_conditions(packs: Packs, s3_client: Any, bucket: str, address: str, tmp_path: Path) -> None:
    for pack in (packs.old, packs.new, make_pack(tmp_path / "small", 1000, 4)):
        assert push(pack, address, client=LackingClient(s3_client)).status == "pushed"
        assert contents(s3_client, bucket) == pack.read_bytes()


PUSH = "import sys; from distributed_prompt.backends.sync import push; print(push(*sys.argv[1:]).status)"


@pytest.mark.thorough
@each_server
def test_killed_at_any_moment(
    packs: Packs, s3_client: Any, bucket: str, address: str, environment: pytest.MonkeyPatch
) -> None:
    del environment
    chance = random.Random(7)  # noqa: S311  # no secrets
    push(packs.other, address, client=s3_client)
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", PUSH, packs.old, address], check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - start
    pushes = 0
    before, after = packs.old, packs.other
    for _ in range(10):
        child = subprocess.Popen([sys.executable, "-c", PUSH, after, address], stdout=subprocess.DEVNULL)
        with suppress(subprocess.TimeoutExpired):
            child.wait(chance.uniform(0.3, 1.0) * seconds)
        child.kill()
        pushes += child.wait() == 0
        found = contents(s3_client, bucket)
        assert found in {before.read_bytes(), after.read_bytes()}
        assert push(after, address, client=s3_client).status in {"pushed", "up to date"}
        assert contents(s3_client, bucket) == after.read_bytes()
        assert push(after, address, client=s3_client).status == "up to date"
        before, after = after, before
    assert pushes < 10


def test_interrupted_by_ctrl_c(packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str) -> None:
    address = f"s3://{bucket}/{KEY}"

    def interrupt(done: int, total: int | None) -> None:
        if done and total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push(packs.old, address, client=proxy_client, progress=interrupt)
    assert operations(proxy)["CompleteMultipartUpload"] == 0
    assert push(packs.old, address, client=proxy_client).copied_bytes >= BLOCK_BYTES
    assert contents(s3_client, bucket) == packs.old.read_bytes()


# Files that change


@pytest.mark.parametrize("how", ["written to", "shortened", "replaced", "removed"])
def test_file_that_changes_during_the_push(
    mine: Path, packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str, how: str
) -> None:
    def write() -> None:
        with mine.open("r+b") as file:
            file.seek(-10, os.SEEK_END)
            file.write(b"x" * 10)

    def replace() -> None:
        shutil.copy(packs.new, mine.with_suffix(".other"))
        mine.with_suffix(".other").rename(mine)

    change = {
        "written to": write,
        "shortened": lambda: os.truncate(mine, 100),
        "replaced": replace,
        "removed": mine.unlink,
    }[how]
    proxy.script = before_first("CreateMultipartUpload", change)
    with pytest.raises(PackChangedError, match=mine.name):
        push(mine, f"s3://{bucket}/{KEY}", client=proxy_client)
    assert "Contents" not in s3_client.list_objects_v2(Bucket=bucket)
    assert uploads(s3_client, bucket) == []


def test_block_that_changes_after_it_was_hashed(
    mine: Path, packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, bucket: str
) -> None:
    address = f"s3://{bucket}/{KEY}"
    push(packs.other, address, client=s3_client)
    status = mine.stat()

    def change() -> None:
        with mine.open("r+b") as file:
            file.seek(BLOCK_BYTES + 10)
            file.write(b"x" * 10)
        os.utime(mine, ns=(status.st_atime_ns, status.st_mtime_ns))

    proxy.script = before_first("CreateMultipartUpload", change)
    with pytest.raises(PackChangedError, match="block 1"):
        push(mine, address, client=proxy_client)
    assert contents(s3_client, bucket) == packs.other.read_bytes()


# Pulling


@each_server
def test_pull(packs: Packs, proxy_client: Any, proxy: FaultProxy, address: str, tmp_path: Path) -> None:
    push(packs.old, address, client=proxy_client)
    here, size = tmp_path / "here", packs.old.stat().st_size
    count = block_count(size, BLOCK_BYTES)
    proxy.reset()
    done: list[tuple[int, int | None]] = []
    found = pull(address, here, client=proxy_client, progress=lambda *at: done.append(at))
    assert found == PullResult("pulled", size, size, 0, count, count)
    assert operations(proxy) == {"HeadObject": 1, "GetObject": 1 + count}
    assert done[-1] == (size, size)
    assert done == sorted(done)
    assert here.read_bytes() == packs.old.read_bytes()
    assert list(tmp_path.iterdir()) == [here]
    proxy.reset()
    assert pull(address, here, client=proxy_client) == PullResult("up to date", size, 0, 0, count, 0)
    assert len(proxy.requests) == 2


@each_server
def test_pull_what_differs(packs: Packs, proxy_client: Any, proxy: FaultProxy, address: str, mine: Path) -> None:
    push(packs.new, address, client=proxy_client)
    with pytest.raises(OutputExistsError):
        pull(address, mine, client=proxy_client)
    assert mine.read_bytes() == packs.old.read_bytes()
    proxy.reset()
    found = pull(address, mine, client=proxy_client, overwrite=True)
    assert found.received_bytes + found.copied_bytes == found.size_bytes
    assert 0 < found.received_blocks <= 3 < found.blocks
    assert sum(request.sent_bytes for request in proxy.requests) < found.received_bytes + 20_000
    assert mine.read_bytes() == packs.new.read_bytes()


def test_pull_where_the_system_does_not_copy(
    packs: Packs, s3_client: Any, address: str, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", fail)
    push(packs.new, address, client=s3_client)
    assert pull(address, mine, client=s3_client, overwrite=True).copied_bytes > 0
    assert mine.read_bytes() == packs.new.read_bytes()


def test_pull_over_what_is_no_pack(packs: Packs, s3_client: Any, address: str, tmp_path: Path) -> None:
    push(packs.old, address, client=s3_client)
    for there in (b"", b"text", packs.new.read_bytes() * 2):
        (tmp_path / "here").write_bytes(there)
        pull(address, tmp_path / "here", client=s3_client, overwrite=True)
        assert (tmp_path / "here").read_bytes() == packs.old.read_bytes()
    with pytest.raises(ArgumentError, match="folder"):
        pull(address, tmp_path, client=s3_client)


def test_pull_what_is_no_pack(packs: Packs, s3_client: Any, bucket: str, address: str, tmp_path: Path) -> None:
    good = packs.other.read_bytes()
    for there, error in ((b"", NotAPackError), (b"text", NotAPackError), (good[:-4096], CorruptPackError)):
        s3_client.put_object(Bucket=bucket, Key=KEY, Body=there)
        with pytest.raises(error) as caught:
            pull(address, tmp_path / "here", client=s3_client)
        assert str(caught.value).startswith(address)
        assert str(tmp_path) not in str(caught.value)
        assert list(tmp_path.iterdir()) == []


def test_pull_what_is_not_what_its_hashes_say(
    packs: Packs, s3_client: Any, bucket: str, address: str, tmp_path: Path
) -> None:
    push(packs.old, address, client=s3_client)
    right = sidecar_of(s3_client, bucket)
    assert right
    wrong = right._replace(hashes=(*right.hashes[:2], "0" * 32, *right.hashes[3:]))
    s3_client.put_object(Bucket=bucket, Key=KEY + SIDECAR_SUFFIX, Body=wrong.encode())
    with pytest.raises(CorruptPackError, match="block 2"):
        pull(address, tmp_path / "here", client=s3_client)
    assert list(tmp_path.iterdir()) == []


@each_server
@pytest.mark.parametrize("fault", [None, "ignore_if_match"])
def test_object_that_changes_during_the_pull(
    packs: Packs, proxy_client: Any, proxy: FaultProxy, s3_client: Any, address: str, mine: Path, fault: Fault | None
) -> None:
    push(packs.new, address, client=s3_client)
    todo = [packs.other]

    def script(request: Request) -> Fault | None:
        if request.range and todo:
            push(todo.pop(), address, client=s3_client)
        return fault if request.range else None

    proxy.script = script
    with pytest.raises(PackChangedError, match="another writer"):
        pull(address, mine, client=proxy_client, overwrite=True)
    assert mine.read_bytes() == packs.old.read_bytes()
    assert list(mine.parent.iterdir()) == [mine]


@pytest.mark.parametrize("fault", ["cut", "reset", "garbage", "ignore_range", "wrong_content_range", "gzip", "no_etag"])
def test_answers_with_faults(
    packs: Packs, s3_server: Server, proxy: FaultProxy, s3_client: Any, address: str, tmp_path: Path, fault: Fault
) -> None:
    push(packs.old, address, client=s3_client)
    seen = Counter[str | None]()

    def once(request: Request) -> Fault | None:
        seen[request.range] += 1
        return fault if request.range and seen[request.range] == 1 else None

    proxy.script = once
    with closing(s3_server.client(proxy.url, attempts=3)) as client:
        if fault in {"cut", "reset"}:
            pull(address, tmp_path / "here", client=client)
            assert (tmp_path / "here").read_bytes() == packs.old.read_bytes()
            return
        with pytest.raises((RemoteError, CorruptPackError)) as caught:
            pull(address, tmp_path / "here", client=client)
    assert address in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_answers_that_always_end_early(
    packs: Packs,
    proxy_client: Any,
    proxy: FaultProxy,
    s3_client: Any,
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    push(packs.old, address, client=s3_client)
    monkeypatch.setattr(pulling, "_FIRST_WAIT_SECONDS", 0.01)
    proxy.script = lambda request: "cut" if request.range else None
    with pytest.raises(RemoteError):
        pull(address, tmp_path / "here", client=proxy_client)
    assert list(tmp_path.iterdir()) == []


def test_pull_through_faults(
    packs: Packs, s3_server: Server, proxy: FaultProxy, s3_client: Any, address: str, tmp_path: Path
) -> None:
    push(packs.old, address, client=s3_client)
    proxy.faults, proxy.kinds = 0.2, ("cut", "reset", "503", "500")
    with closing(s3_server.client(proxy.url, attempts=10)) as client:
        pull(address, tmp_path / "here", client=client)
        assert (tmp_path / "here").read_bytes() == packs.old.read_bytes()
        push(packs.new, address, client=client)
    proxy.faults = 0
    assert pull(address, tmp_path / "here", client=s3_client, overwrite=True).status == "pulled"
    assert (tmp_path / "here").read_bytes() == packs.new.read_bytes()


@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite"])
def test_full_disk(
    packs: Packs, s3_client: Any, address: str, mine: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    push(packs.new, address, client=s3_client)
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OutputError, match="No space left"):
        pull(address, mine, client=s3_client, overwrite=True)
    assert mine.read_bytes() == packs.old.read_bytes()
    assert list(mine.parent.iterdir()) == [mine]


def test_file_system_that_reserves_nothing(
    packs: Packs, s3_client: Any, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    push(packs.old, address, client=s3_client)
    monkeypatch.setattr(os, "posix_fallocate", fail)
    pull(address, tmp_path / "here", client=s3_client)
    assert (tmp_path / "here").read_bytes() == packs.old.read_bytes()


def test_folder_that_does_not_exist(packs: Packs, s3_client: Any, address: str, tmp_path: Path) -> None:
    push(packs.other, address, client=s3_client)
    with pytest.raises(OutputError, match="folder does not exist"):
        pull(address, tmp_path / "nowhere" / "here", client=s3_client)


# Both


@each_server
def test_sync(packs: Packs, s3_client: Any, bucket: str, address: str, mine: Path) -> None:
    assert sync(mine, address, client=s3_client, dry_run=True).status == "would push"
    assert sync(mine, address, client=s3_client).status == "pushed"
    assert sync(mine, address, client=s3_client).status == "up to date"
    mine.unlink()
    assert sync(mine, address, client=s3_client).status == "pulled"
    push(packs.new, address, client=s3_client)
    with pytest.raises(ArgumentError, match=r"differ.*--prefer"):
        sync(mine, address, client=s3_client)
    assert mine.read_bytes() == packs.old.read_bytes()
    assert contents(s3_client, bucket) == packs.new.read_bytes()
    found = sync(mine, address, client=s3_client, prefer="remote")
    assert isinstance(found, PullResult)
    assert found.copied_bytes > 0
    assert mine.read_bytes() == packs.new.read_bytes()
    shutil.copy(packs.old, mine)
    assert isinstance(sync(mine, address, client=s3_client, prefer="local"), PushResult)
    assert contents(s3_client, bucket) == packs.old.read_bytes()


def test_sync_of_nothing(s3_client: Any, bucket: str, address: str, tmp_path: Path) -> None:
    with pytest.raises(PackNotFoundError, match=r"no such file.*no such object"):
        sync(tmp_path / "here", address, client=s3_client)
    with pytest.raises(PackNotFoundError, match="no bucket"):
        sync(tmp_path / "here", f"s3://{bucket}-not/key", client=s3_client)
    with pytest.raises(ArgumentError, match="prefer"):
        sync(tmp_path / "here", address, client=s3_client, prefer="mine")


# What servers refuse


def check_silence(error: BaseException, server: Server) -> None:
    """No credential, signature or query is in an error, or in what Python prints of it."""
    shown = "".join(traceback.format_exception(error))
    assert "\n" not in str(error)
    for secret in (server.secret_key, "X-Amz", "Signature=", "wrong-secret", "uploadId"):
        assert secret not in str(error)
        assert secret not in shown


@each_server
def test_nothing_there(packs: Packs, s3_client: Any, bucket: str, tmp_path: Path, s3_server: Server) -> None:
    for address, message in (
        (f"s3://{bucket}/nothing", "no such object"),
        (f"s3://{bucket}-not/{KEY}", f"no bucket {bucket}-not"),
    ):
        with pytest.raises(PackNotFoundError, match=message) as caught:
            pull(address, tmp_path / "here", client=s3_client)
        check_silence(caught.value, s3_server)
    for pack in (packs.old, make_pack(tmp_path / "small", 1000, 4)):
        with pytest.raises(PackNotFoundError, match=f"no bucket {bucket}-not") as caught:
            push(pack, f"s3://{bucket}-not/{KEY}", client=s3_client)
        check_silence(caught.value, s3_server)


@each_server
@pytest.mark.usefixtures("only_ceph")
def test_wrong_secret(
    packs: Packs, address: str, s3_server: Server, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    for call in (lambda: push(packs.old, address), lambda: pull(address, tmp_path / "here")):
        with pytest.raises(AccessError, match="refuses") as caught:
            call()
        check_silence(caught.value, s3_server)


def test_no_credentials(
    packs: Packs,
    address: str,
    s3_client: Any,
    bucket: str,
    s3_server: Server,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    push(packs.other, address, client=s3_client)
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessError, match="AWS_PROFILE") as caught:
        pull(address, tmp_path / "here")
    check_silence(caught.value, s3_server)
    environment.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(AccessError, match="AWS_ACCESS_KEY_ID"):
        push(packs.old, address)
    if s3_server.name == "ceph":
        with pytest.raises(AccessError, match="no credentials were found"):
            pull(address, tmp_path / "here")
        for key in (KEY, KEY + SIDECAR_SUFFIX):
            s3_client.put_object_acl(Bucket=bucket, Key=key, ACL="public-read")
    pull(address, tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == packs.other.read_bytes()
    assert push(packs.other, address).status == "up to date"


def test_environment(packs: Packs, address: str, environment: pytest.MonkeyPatch, s3_server: Server) -> None:
    assert push(packs.other, address).status == "pushed"
    environment.delenv("AWS_ENDPOINT_URL")
    environment.delenv("AWS_DEFAULT_REGION")
    found = push(packs.other, address, endpoint_url=s3_server.endpoint_url, region_name=s3_server.region)
    assert found.status == "up to date"
    Path(os.environ["AWS_CONFIG_FILE"]).write_text(f"[default]\nendpoint_url = {s3_server.endpoint_url}\n")
    assert push(packs.other, address).status == "up to date"


def test_no_server(packs: Packs, environment: pytest.MonkeyPatch, s3_server: Server, tmp_path: Path) -> None:
    environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    environment.setattr("distributed_prompt.backends.s3_client._ATTEMPTS", 1)
    for call in (lambda: push(packs.old, "s3://bucket/key"), lambda: pull("s3://bucket/key", tmp_path / "here")):
        with pytest.raises(RemoteError, match=r"s3://bucket/key: 127\.0\.0\.1:9 cannot be used") as caught:
            call()
        check_silence(caught.value, s3_server)


@pytest.mark.thorough
@pytest.mark.parametrize("operation", ["HeadObject", "GetObject", "CreateMultipartUpload", "UploadPart", "PutObject"])
@pytest.mark.parametrize("fault", ["503", "reset", "redirect_html", "no_etag"])
def test_failing_server(
    packs: Packs,
    proxy_client: Any,
    proxy: FaultProxy,
    s3_client: Any,
    bucket: str,
    s3_server: Server,
    operation: str,
    fault: Fault,
) -> None:
    address = f"s3://{bucket}/{KEY}"
    push(packs.other, address, client=s3_client)
    proxy.script = fail_from(operation, 1, fault)
    error: DPromptError | None = None
    try:
        push(packs.old, address, client=proxy_client)
    except DPromptError as caught:
        error = caught
    assert isinstance(error, (RemoteError, PackChangedError, NotAPackError, type(None)))
    if error:
        check_silence(error, s3_server)
    found = contents(s3_client, bucket)
    assert found in {packs.other.read_bytes(), packs.old.read_bytes()}
    proxy.script = None
    assert push(packs.old, address, client=proxy_client).status in {"pushed", "up to date"}
    assert contents(s3_client, bucket) == packs.old.read_bytes()


# Addresses


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("corpus.dprompt", "s3://bucket/key"),
        ("https://host/bucket/key", "s3://bucket/key"),
        ("s3://", "no bucket"),
        ("s3:///key", "no bucket"),
        ("s3://bucket", "no key"),
        ("s3://bucket/", "no key"),
        ("s3://bucket/folder/", "slash"),
        ("s3://bucket/a/../b", r"'\.\.'"),
        ("s3://bucket/./b", r"'\.'"),
        ("s3://bucket/a\nb", "control"),
        ("s3://bucket/\udcff", "surrogates"),
        ("s3://bucket/" + "x" * 1025, "1,024 bytes"),
        ("s3://key:secret@bucket/key", "letters, digits"),
        ("s3://buc ket/key", "letters, digits"),
    ],
)
def test_addresses_that_are_none(packs: Packs, address: str, message: str) -> None:
    for call in (S3Object.parse, lambda place: push(packs.old, place), lambda place: pull(place, packs.old)):
        with pytest.raises(AddressError, match=message) as caught:
            call(address)
        assert "secret" not in str(caught.value)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "url", ["http://user:secret@host", "ftp://host", "host:80", "http://", "http://h:0", "http://[h", "http://h?secret"]
)
def test_endpoints_that_are_none(url: str) -> None:
    with pytest.raises(ArgumentError, match="endpoint_url") as caught:
        S3Object("bucket", "key", endpoint_url=url)
    assert "secret" not in str(caught.value)


def test_object(bucket: str, s3_client: Any, s3_server: Server, environment: pytest.MonkeyPatch) -> None:
    del environment
    place = S3Object.parse(f"s3://{bucket}/a/é?x#y %20", endpoint_url=s3_server.endpoint_url, region_name="us-east-1")
    with closing(place):
        assert place.address == f"s3://{bucket}/a/é?x#y %20"
        assert place.head() is None
        assert str(place.missing()) == f"{place.address}: no such object"
        s3_client.put_object(Bucket=bucket, Key=place.key, Body=b"abc")
        state = place.head()
        assert state == ObjectState(3, "900150983cd24fb0d6963f7d28e17f72")
        assert place.sibling(".x").key == "a/é?x#y %20.x"
        assert place.sibling(".x").client is place.client
        restored = pickle.loads(pickle.dumps(place))  # noqa: S301  # our own
        assert restored == place
        assert hash(restored) == hash(place)
        assert restored.endpoint_url == s3_server.endpoint_url
        assert restored.region_name == "us-east-1"
        for secret in (s3_server.access_key, s3_server.secret_key):
            assert secret.encode() not in pickle.dumps(place)
            assert secret not in repr(place)
        assert not place.is_anonymous
        assert place.presigned(60).startswith(f"{s3_server.endpoint_url}/{bucket}/a/")


def test_client_is_made_once_and_by_each_process(s3_server: Server, environment: pytest.MonkeyPatch) -> None:
    del environment
    place = S3Object("bucket", "key", endpoint_url=s3_server.endpoint_url)
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: id(place.client), range(8)))
    assert len(found) == 1
    first = place.client
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, b"y" if place.client is not first else b"n")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"y"
    os.close(reader)
    os.close(writer)
    place.close()
    place.close()


def test_errors_of_others_pass(s3_client: Any) -> None:
    place = S3Object("bucket", "key", client=s3_client)
    with pytest.raises(KeyError), typed(place):
        raise KeyError
    with pytest.raises(OutputError), typed(place):
        raise OutputError
    with pytest.raises(AddressError), typed(place):
        s3_client.head_object(Bucket="a b", Key="key")


def test_commands(
    packs: Packs, address: str, environment: pytest.MonkeyPatch, tmp_path: Path, s3_server: Server
) -> None:
    del environment
    run = CliRunner()
    here, size = tmp_path / "here", packs.old.stat().st_size

    def told(*arguments: object) -> str:
        result = run.invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    count = block_count(size, BLOCK_BYTES)
    assert told("push", packs.old, address, "--dry-run") == (
        f"{address}: {size:,} of {size:,} bytes to be sent, 0 of {count} blocks to be copied\n"
    )
    all_of_it = f"{size:,} of {size:,} bytes"
    assert told("push", packs.old, address) == f"{address}: {all_of_it} sent, 0 of {count} blocks copied\n"
    assert told("sync", packs.old, address) == f"{address}: up to date, {size:,} bytes\n"
    at = ("--endpoint-url", s3_server.endpoint_url, "--region", "us-east-1")
    assert told("pull", address, here, *at) == f"{here}: {all_of_it} received, 0 of {count} blocks copied\n"
    told("push", packs.new, address, "--force", "--abort-uploads")
    assert "received" in told("pull", address, here, "--force")
    assert here.read_bytes() == packs.new.read_bytes()
    told("sync", packs.old, address, "--prefer", "local")
    result = run.invoke(main, ["sync", str(here), address])
    assert result.exit_code == 1
    assert "--prefer" in result.output


def test_sidecar_is_readable_json(packs: Packs, s3_client: Any, bucket: str, address: str) -> None:
    push(packs.other, address, client=s3_client)
    found = json.loads(contents(s3_client, bucket, KEY + SIDECAR_SUFFIX))
    assert found["version"] == 1
    assert found["size"] == packs.other.stat().st_size
    assert found["block"] == BLOCK_BYTES


def test_no_client_without_s3() -> None:
    script = "import sys, distributed_prompt.cli.syncing as _; print([n for n in sys.modules if n.startswith('boto')])"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"
