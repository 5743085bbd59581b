"""Packs that were made once and that every later version must read."""

import base64
import hashlib
import io
import json
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import distributed_prompt as dp
from distributed_prompt import sources
from distributed_prompt.backends.memory_backend import MemoryBackend
from distributed_prompt.errors import InexactError

GOLDEN = Path(__file__).parent / "golden"
PACKS = sorted(path.stem for path in GOLDEN.glob("*.dprompt"))
MIXED = ("é 日本語\r\n\x00 e\u0301 \U0001f600\U0001f3fd \u2028\ufeff ß\r\n\n\r" * 3_000).encode()
ASCII = b"0123456789abcdef\r\n" * 40_000
ESCAPED = b"caf\xe9 \xff\xfe \xc3\xa9 \xed\xa0\x80 \xf0\x9f\x98 end\n" * 3_000


@pytest.fixture(params=PACKS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def facts(name: str) -> dict[str, Any]:
    return dict(json.loads((GOLDEN / f"{name}.json").read_text(encoding="ascii")))


@pytest.fixture
def pack(name: str, tmp_path: Path) -> Path:
    """A copy: a test that damages a golden pack would not be noticed by the next."""
    return Path(shutil.copyfile(GOLDEN / f"{name}.dprompt", tmp_path / f"{name}.dprompt"))


def utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def raw(pack: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{pack}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def unpacked(pack: Path, *, lossy: bool = False) -> bytes:
    output = io.BytesIO()
    with dp.FileBackend(pack) as backend:
        written = dp.unpack(backend, output, lossy=lossy)
    assert written == len(output.getvalue())
    return output.getvalue()


def test_there_are_golden_packs_and_each_is_small_and_described() -> None:
    assert {"ascii", "mixed", "surrogateescape", "latin-1", "empty", "shard-size-1", "many-shards"} <= set(PACKS)
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == PACKS
    assert all((GOLDEN / f"{name}.dprompt").stat().st_size <= 60_000 for name in PACKS)


def test_a_golden_pack_has_the_text_that_was_packed(pack: Path, facts: dict[str, Any]) -> None:
    with dp.open(pack) as prompt:
        text = str(prompt)
        assert len(prompt) == len(text) == facts["length"]
        assert "".join(prompt) == text
        assert "".join(str(prompt[at : at + 7]) for at in range(0, len(prompt), 7)) == text
    assert sha256(utf8(text)) == facts["text_sha256"]
    if "text" in facts:
        assert text == facts["text"]


def test_a_golden_pack_has_the_lines_that_were_packed(pack: Path, facts: dict[str, Any]) -> None:
    with dp.open(pack) as prompt:
        *whole, rest = str(prompt).split("\n")
        lines = whole + [rest] * bool(rest)
        assert list(prompt.lines) == lines
        assert len(prompt.lines) == facts["lines"]
        assert [prompt.lines[at] for at in range(len(lines))] == lines


def test_a_golden_pack_is_sound(pack: Path) -> None:
    with dp.FileBackend(pack) as backend:
        assert list(dp.verify(backend)) == []
    assert raw(pack, "PRAGMA integrity_check") == [("ok",)]


def test_a_golden_pack_gives_its_source_back(pack: Path, facts: dict[str, Any]) -> None:
    if not facts["exact"]:
        with pytest.raises(InexactError):
            unpacked(pack)
        assert sha256(unpacked(pack, lossy=True)) == facts["text_sha256"]
        return
    source = unpacked(pack)
    assert (len(source), sha256(source)) == (facts["source_bytes"], facts["source_sha256"])
    if "source_base64" in facts:
        assert source == base64.b64decode(facts["source_base64"])


def test_a_golden_pack_says_of_itself_what_it_said_when_it_was_made(pack: Path, facts: dict[str, Any]) -> None:
    with dp.FileBackend(pack) as backend:
        metadata, documents = backend.pack.metadata, list(backend.pack.documents)
    rows = facts["metadata"]
    assert dict(raw(pack, "SELECT name, value FROM metadata")) == rows
    numbers = ("length", "shard_size", "shards", "utf8_bytes", "newlines", "lines", "width", "level", "documents")
    assert {name: str(getattr(metadata, name)) for name in numbers} == {name: rows[name] for name in numbers}
    assert (metadata.root_digest, metadata.shard_size) == (facts["root_digest"], facts["shard_size"])
    (document,) = documents
    assert (document.start, document.stop, document.source_bytes) == (0, facts["length"], facts["source_bytes"])
    assert (document.sha256, document.exact) == (facts["source_sha256"], facts["exact"])
    assert (document.encoding, document.errors) == (facts["encoding"], facts["errors"])


def test_the_root_digest_of_a_golden_pack_is_what_the_format_says(pack: Path, facts: dict[str, Any]) -> None:
    """Worked out from the rows alone; all golden packs are of one segment."""
    length, shard_size = facts["length"], facts["shard_size"]
    digests = b"".join(
        hashlib.sha256(struct.pack("<QI", shard, min(shard_size, length - shard * shard_size)) + blob).digest()
        for shard, blob in raw(pack, "SELECT key, value FROM shards ORDER BY key")
    )
    segment = hashlib.sha256(digests).digest() if length else b""
    assert hashlib.sha256(struct.pack("<QQ", length, shard_size) + segment).hexdigest() == facts["root_digest"]


@pytest.mark.parametrize("source", [b"", ASCII, MIXED])
@pytest.mark.parametrize("shard_size", [1_000, 131_072])
def test_packing_the_same_input_twice_gives_the_same_file(tmp_path: Path, source: bytes, shard_size: int) -> None:
    (tmp_path / "in.txt").write_bytes(source)
    first, second = (
        dp.pack(tmp_path / "in.txt", tmp_path / f"{n}.dprompt", shard_size=shard_size).path for n in range(2)
    )
    assert Path(first).read_bytes() == Path(second).read_bytes()


def test_another_process_makes_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(MIXED)
    here = dp.pack(tmp_path / "in.txt", tmp_path / "here.dprompt", shard_size=500).path
    code = "import sys, distributed_prompt as dp; dp.pack(sys.argv[1], sys.argv[2], shard_size=500)"
    arguments = [str(tmp_path / "in.txt"), str(tmp_path / "there.dprompt")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, timeout=60)
    assert Path(here).read_bytes() == (tmp_path / "there.dprompt").read_bytes()


def test_replacing_a_pack_gives_the_same_file_as_making_it(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(MIXED)
    (tmp_path / "other.txt").write_bytes(ASCII)
    fresh = dp.pack(tmp_path / "in.txt", tmp_path / "fresh.dprompt").path
    dp.pack(tmp_path / "other.txt", tmp_path / "pack.dprompt", shard_size=10)
    replaced = dp.pack(tmp_path / "in.txt", tmp_path / "pack.dprompt", overwrite=True).path
    assert Path(fresh).read_bytes() == Path(replaced).read_bytes()


class Pipe:
    """Standard input that gives what has arrived, as a pipe that is read unbuffered does."""

    def __init__(self, data: bytes, sizes: Iterator[int]) -> None:
        self._file = io.BytesIO(data)
        self._sizes = sizes

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, next(self._sizes)))


def cycle(*sizes: int) -> Iterator[int]:
    while True:
        yield from sizes


@pytest.mark.parametrize(
    ("source", "errors"),
    [
        pytest.param(ASCII, "strict", id="ascii"),
        pytest.param(MIXED, "strict", id="mixed"),
        pytest.param(ESCAPED, "surrogateescape", id="escaped"),
    ],
)
@pytest.mark.parametrize("sizes", [(1, 2, 3, 5, 4_000), (7,), (4_095, 4_097), (65_536,), (10**9,)])
def test_the_portions_in_which_the_input_arrives_make_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: bytes, errors: str, sizes: tuple[int, ...]
) -> None:
    (tmp_path / "in.txt").write_bytes(source)
    expected = dp.pack(tmp_path / "in.txt", tmp_path / "file.dprompt", shard_size=999, errors=errors)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Pipe(source, cycle(*sizes))))
    found = dp.pack("-", tmp_path / "stdin.dprompt", shard_size=999, errors=errors)
    assert found.root_digest == expected.root_digest
    assert (found.length, found.source_bytes, found.exact) == (expected.length, len(source), True)
    assert unpacked(tmp_path / "stdin.dprompt") == source
    assert raw(tmp_path / "stdin.dprompt", "SELECT * FROM shards") == raw(
        tmp_path / "file.dprompt", "SELECT * FROM shards"
    )


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_the_portions_in_which_a_file_is_read_make_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    (tmp_path / "in.txt").write_bytes(MIXED[:30_000])
    first = dp.pack(tmp_path / "in.txt", tmp_path / "first.dprompt", shard_size=100).path
    monkeypatch.setattr(sources, "_READ_BYTES", size)
    second = dp.pack(tmp_path / "in.txt", tmp_path / "second.dprompt", shard_size=100).path
    assert Path(first).read_bytes() == Path(second).read_bytes()


def test_texts_files_and_memory_make_the_same_root_digest(tmp_path: Path) -> None:
    text = MIXED.decode()
    (tmp_path / "in.txt").write_bytes(MIXED)
    infos = [
        dp.pack(tmp_path / "in.txt", tmp_path / "pack.dprompt", shard_size=700),
        dp.ingest_file(tmp_path / "in.txt", tmp_path / "ingested.dprompt", shard_size=700),
        dp.ingest_string(text, tmp_path / "string.dprompt", shard_size=700),
    ]
    memory = MemoryBackend(text, 700).pack.metadata.root_digest
    assert {info.root_digest for info in infos} == {memory}
    assert dp.ingest_string(text, tmp_path / "other.dprompt", shard_size=701).root_digest != memory
    assert dp.ingest_string(text[1:], tmp_path / "other.dprompt", shard_size=700).root_digest != memory
