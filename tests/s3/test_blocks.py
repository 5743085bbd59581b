"""Blocks, sidecars and plans: no server is needed."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt.backends import blocks
from distributed_prompt.backends.blocks import (
    BlockFile,
    Sidecar,
    block_count,
    block_range,
    block_size,
    joined_etag,
    plan,
)
from distributed_prompt.errors import PackChangedError, PackReadError

HASHES = tuple(character * 32 for character in "0123456789abcdef")
GIB = 2**30


@pytest.mark.parametrize(
    ("size_bytes", "block_bytes"),
    [
        (1, 2**23),
        (9000 * 2**23, 2**23),
        (9000 * 2**23 + 1, 2**24),
        (100 * GIB, 2**24),
        (5 * 1024 * GIB, 2**30),
    ],
)
def test_block_size(size_bytes: int, block_bytes: int) -> None:
    assert block_size(size_bytes) == block_bytes
    assert block_count(size_bytes, block_bytes) <= 9000


@given(st.integers(1, 500), st.integers(1, 100))
def test_blocks_cover_the_file_once(size_bytes: int, block_bytes: int) -> None:
    ranges = [block_range(block, size_bytes, block_bytes) for block in range(block_count(size_bytes, block_bytes))]
    assert [offset for start, count in ranges for offset in range(start, start + count)] == list(range(size_bytes))
    assert all(count == block_bytes for _, count in ranges[:-1])


@given(st.lists(st.sampled_from(HASHES), min_size=1, max_size=8), st.integers(1, 9), st.text(max_size=9))
def test_manifest_comes_back(hashes: list[str], last_bytes: int, etag: str) -> None:
    sidecar = Sidecar(etag, 9 * (len(hashes) - 1) + last_bytes, 9, tuple(hashes))
    assert Sidecar.parse(sidecar.encode()) == sidecar


GOOD: dict[str, Any] = {"version": 1, "etag": "a", "size": 20, "block": 10, "hashes": [HASHES[0], HASHES[1]]}


def test_good_manifest() -> None:
    assert Sidecar.parse(json.dumps(GOOD).encode()) == Sidecar("a", 20, 10, HASHES[:2])


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"etag": 3},
        {"etag": None},
        {"size": "20"},
        {"size": 20.0},
        {"size": True},
        {"size": -20},
        {"size": 0},
        {"size": 21},
        {"size": 10},
        {"block": 0},
        {"block": -10},
        {"block": 10**400},
        {"hashes": None},
        {"hashes": "ab"},
        {"hashes": {}},
        {"hashes": []},
        {"hashes": [HASHES[0]]},
        {"hashes": [HASHES[0], 1]},
        {"hashes": [HASHES[0], HASHES[1].upper() + "A"]},
        {"hashes": [HASHES[0], "A" * 32]},
        {"hashes": [HASHES[0], "a" * 31]},
    ],
)
def test_no_manifest(change: dict[str, Any]) -> None:
    assert Sidecar.parse(json.dumps(GOOD | change).encode()) is None


@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b"\xff\xfe", b"{" * 100_000, b"[" * 100_000, b"<html>", b"1e999"]
)
def test_no_json(data: bytes) -> None:
    assert Sidecar.parse(data) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_a_manifest_or_none(data: bytes) -> None:
    assert Sidecar.parse(data) is None


@given(st.lists(st.sampled_from(HASHES[:3]), min_size=1, max_size=9), st.lists(st.sampled_from(HASHES[:3]), max_size=9))
def test_plan_keeps_what_is_equal(wanted: list[str], there: list[str]) -> None:
    todo = plan(Sidecar("", len(wanted), 1, tuple(wanted)), Sidecar("", len(there), 1, tuple(there)))
    assert sorted(todo.move + todo.keep) == list(range(len(wanted)))
    assert all(there[block] == wanted[block] for block in todo.keep)
    assert not any(there[block : block + 1] == [wanted[block]] for block in todo.move)


def test_plan_without_a_common_grid() -> None:
    wanted = Sidecar("", 20, 10, HASHES[:2])
    assert plan(wanted, None) == ((0, 1), ())
    assert plan(wanted, wanted._replace(block_bytes=11)) == ((0, 1), ())


def write(path: Path, data: bytes | bytearray) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("block_bytes", [1000, 2**18, 2**18 + 1, 700_000, 2**23])
def test_hashes(tmp_path: Path, block_bytes: int) -> None:
    data = os.urandom(700_000)
    cut = [data[start : start + block_bytes] for start in range(0, len(data), block_bytes)]
    with BlockFile(write(tmp_path / "file", data)) as file:
        assert file.hashes(block_bytes) == tuple(hashlib.sha256(block).hexdigest()[:32] for block in cut)
        buffer = bytearray(min(block_bytes, len(data)))
        assert [bytes(file.read_into(buffer, block, block_bytes)) for block in range(len(cut))] == cut
        md5s = list(file.md5s(range(len(cut)), block_bytes))
        assert md5s == [hashlib.md5(block).hexdigest() for block in cut]  # noqa: S324  # what servers say
        assert file.sidecar("e", block_bytes) == Sidecar("e", len(data), block_bytes, file.hashes(block_bytes))


def test_equal_files_differ_in_no_block_and_a_changed_byte_in_one(tmp_path: Path) -> None:
    data = bytearray(os.urandom(10_000))
    with BlockFile(write(tmp_path / "a", data)) as first:
        one = first.sidecar("", 1000)
    data[4321] ^= 1
    with BlockFile(write(tmp_path / "b", data)) as second:
        two = second.sidecar("", 1000)
    assert plan(one, one).move == ()
    assert plan(two, one).move == (4,)


def test_changed_file(tmp_path: Path) -> None:
    path = write(tmp_path / "file", b"x" * 100)
    with BlockFile(path) as file:
        file.check()
        os.utime(path, ns=(0, 0))
        with pytest.raises(PackChangedError, match="changed meanwhile"):
            file.check()


def test_replaced_file(tmp_path: Path) -> None:
    path = write(tmp_path / "file", b"x" * 100)
    with BlockFile(path) as file:
        write(tmp_path / "other", b"y" * 100).rename(path)
        with pytest.raises(PackChangedError):
            file.check()
        assert file.read_into(bytearray(100), 0, 100) == b"x" * 100
        path.unlink()
        with pytest.raises(PackChangedError):
            file.check()


def test_shortened_file(tmp_path: Path) -> None:
    path = write(tmp_path / "file", b"x" * 100)
    with BlockFile(path) as file:
        os.truncate(path, 55)
        assert file.read_into(bytearray(10), 0, 10) == b"x" * 10
        with pytest.raises(PackChangedError):
            file.read_into(bytearray(10), 5, 10)
        with pytest.raises(PackChangedError):
            file.read_at(55, 10)
        with pytest.raises(PackChangedError):
            file.hashes(10)


def test_unreadable_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PackReadError, match="nowhere"):
        BlockFile(tmp_path / "nowhere")

    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    with BlockFile(write(tmp_path / "file", b"x")) as file:
        monkeypatch.setattr(os, "pread", fail)
        monkeypatch.setattr(os, "preadv", fail)
        with pytest.raises(PackReadError, match="Input/output error"):
            file.read_into(bytearray(1), 0, 1)
        with pytest.raises(PackReadError, match="Input/output error"):
            file.read_at(0, 1)
        with pytest.raises(PackReadError, match="Input/output error"):
            file.hashes(1)


def test_memory_of_hashing_is_a_piece_for_each_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    preadv = os.preadv

    def noting(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        asked.append(len(buffers[0]))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", noting)
    with BlockFile(write(tmp_path / "file", bytes(3_000_000))) as file:
        file.hashes(2**20)
    assert max(asked) <= blocks._PIECE_BYTES


def test_joined_etag() -> None:
    md5 = hashlib.md5(b"x").hexdigest()  # noqa: S324  # what servers say
    joined = hashlib.md5(bytes.fromhex(md5 * 2)).hexdigest()  # noqa: S324  # as above
    assert joined_etag([md5, md5]) == f"{joined}-2"
    assert joined_etag([md5, "opaque"]) is None
    assert joined_etag([md5, "g" * 32]) is None
