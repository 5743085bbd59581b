import io
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt.backends.memory_backend import MemoryBackend
from distributed_prompt.errors import (
    ArgumentError,
    ClosedError,
    CorruptPackError,
    InexactError,
    OutputError,
    OutputExistsError,
)

TEXT = "日本語 first\r\nsecond é\rthird 😀 line\0\n\ufeff" * 200
EXACT = [
    ("utf-8", "strict", TEXT.encode()),
    ("utf-8", "strict", b"\xef\xbb\xbf" + TEXT.encode()),
    ("utf-8-sig", "strict", b"\xef\xbb\xbf" + TEXT.encode()),
    ("utf-8-sig", "strict", b"\xef\xbb\xbf"),
    ("utf-8", "surrogateescape", bytes(range(256)) * 9),
    ("utf-8", "surrogateescape", b"ab\xe6\x97"),
    ("utf-8", "surrogatepass", b"a\xed\xa0\x80b\xed\xb2\x80"),
    ("utf-16", "strict", TEXT.encode("utf-16")),
    ("utf-16-le", "strict", TEXT.encode("utf-16-le")),
    ("utf-16-be", "strict", b"\xfe\xff" + TEXT.encode("utf-16-be")),
    ("utf-16-le", "surrogatepass", b"\x00\xd8a\x00"),
    ("utf-32", "strict", TEXT.encode("utf-32")),
    ("utf-32-be", "strict", TEXT.encode("utf-32-be")),
    ("latin-1", "strict", bytes(range(256)) * 9),
    ("cp1252", "strict", b"\x80\x93caf\xe9\r\n" * 9),
    ("gb18030", "strict", TEXT.encode("gb18030")),
    ("shift_jis", "strict", ("日本語\r\n" * 99).encode("shift_jis")),
    ("euc_jp", "strict", ("日本語\r\n" * 99).encode("euc_jp")),
    ("iso2022_jp", "strict", ("日本語abc\r\n" * 99).encode("iso2022_jp")),
    ("hz", "strict", ("中文abc\r\n" * 99).encode("hz")),
    ("ascii", "surrogateescape", bytes(range(256))),
    ("utf-8", "strict", b""),
    ("latin-1", "strict", b""),
    ("utf-8", "strict", b"\0"),
]
INEXACT = [
    ("utf-8", "replace", "keep", b"a\xff\r\n", "a\ufffd\r\n"),
    ("utf-8", "ignore", "keep", b"a\xffb", "ab"),
    ("utf-8", "strict", "universal", b"a\r\nb\r", "a\nb\n"),
    ("utf-16", "strict", "keep", b"\xfe\xff\x00a", "a"),
    ("utf-8-sig", "strict", "keep", "é".encode(), "é"),
    ("cp932", "strict", "keep", b"\xfa\x54", "\uffe2"),
]


def packed(folder: Path, data: bytes, **options: object) -> Path:
    (folder / "in.txt").write_bytes(data)
    return Path(dp.pack(folder / "in.txt", folder / "out.dprompt", **options).path)  # type: ignore[arg-type]


def unpacked(pack: Path, *, lossy: bool = False) -> bytes:
    output = io.BytesIO()
    with dp.FileBackend(pack) as backend:
        count = dp.unpack(backend, output, lossy=lossy)
    assert count == len(output.getvalue())
    return output.getvalue()


def damage(pack: Path, shard: int) -> None:
    with closing(sqlite3.connect(pack)) as connection, connection:
        (blob,) = connection.execute("SELECT value FROM shards WHERE key = ?", (shard,)).fetchone()
        changed = bytes([*blob[:-1], blob[-1] ^ 1])
        connection.execute("UPDATE shards SET value = ? WHERE key = ?", (changed, shard))


@pytest.mark.parametrize("shard_size", [1, 7, 131_072])
@pytest.mark.parametrize(("encoding", "errors", "data"), EXACT)
def test_every_byte_comes_back(tmp_path: Path, encoding: str, errors: str, data: bytes, shard_size: int) -> None:
    pack = packed(tmp_path, data, encoding=encoding, errors=errors, shard_size=shard_size)
    assert unpacked(pack) == data
    assert unpacked(pack, lossy=True) == data
    with dp.FileBackend(pack) as backend:
        assert dp.unpack(backend, tmp_path / "copy") == len(data)
    assert (tmp_path / "copy").read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "in.txt", "out.dprompt"]


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([1, 2, 3, 100]))
@example(b"\xed\xb2\x80\xed\xa0\x80\x80", 1)
def test_any_bytes_come_back_when_kept(tmp_path_factory: pytest.TempPathFactory, data: bytes, shard_size: int) -> None:
    pack = tmp_path_factory.getbasetemp() / "any.dprompt"
    (tmp_path_factory.getbasetemp() / "any.txt").write_bytes(data)
    source = tmp_path_factory.getbasetemp() / "any.txt"
    info = dp.pack(source, pack, errors="surrogateescape", shard_size=shard_size, overwrite=True)
    assert info.exact
    assert unpacked(pack) == data


@pytest.mark.parametrize(("encoding", "errors", "newlines", "data", "text"), INEXACT)
def test_what_is_not_exact_is_refused_unless_loss_is_allowed(
    tmp_path: Path, encoding: str, errors: str, newlines: str, data: bytes, text: str
) -> None:
    pack = packed(tmp_path, data, encoding=encoding, errors=errors, newlines=newlines, shard_size=2)
    with dp.FileBackend(pack) as backend:
        with pytest.raises(InexactError, match=r"^\S+: the bytes of in\.txt cannot be given back .*--lossy"):
            dp.unpack(backend, tmp_path / "copy")
        assert not (tmp_path / "copy").exists()
        output = io.BytesIO()
        with pytest.raises(InexactError):
            dp.unpack(backend, output)
        assert output.getvalue() == b""
        assert dp.unpack(backend, tmp_path / "copy", lossy=True) == len(text.encode())
    assert (tmp_path / "copy").read_bytes() == text.encode()
    assert unpacked(pack, lossy=True) == text.encode()


@pytest.mark.parametrize("shard", [0, 3, 9])
@pytest.mark.parametrize("existing", [None, b"kept"])
def test_a_damaged_shard_leaves_no_output(tmp_path: Path, shard: int, existing: bytes | None) -> None:
    pack = packed(tmp_path, b"0123456789" * 10, shard_size=10)
    damage(pack, shard)
    copy = tmp_path / "copy"
    if existing:
        copy.write_bytes(existing)
    with (
        dp.FileBackend(pack) as backend,
        pytest.raises(CorruptPackError, match=f"^{pack}: shard {shard}: checksum [0-9a-f]+, expected [0-9a-f]+$"),
    ):
        dp.unpack(backend, copy, overwrite=True)
    assert copy.exists() == bool(existing)
    if existing:
        assert copy.read_bytes() == existing
    assert not list(tmp_path.glob(".*"))


def test_a_damaged_shard_ends_what_a_binary_file_gets(tmp_path: Path) -> None:
    pack = packed(tmp_path, b"0123456789" * 10, shard_size=10)
    damage(pack, 9)
    output = io.BytesIO()
    with dp.FileBackend(pack) as backend, pytest.raises(CorruptPackError):
        dp.unpack(backend, output)
    assert (b"0123456789" * 10).startswith(output.getvalue())
    assert len(output.getvalue()) <= 90


def test_an_existing_output_is_kept_unless_it_may_be_replaced(tmp_path: Path) -> None:
    pack = packed(tmp_path, b"text")
    copy = tmp_path / "copy"
    copy.write_bytes(b"old and longer")
    with dp.FileBackend(pack) as backend:
        with pytest.raises(OutputExistsError):
            dp.unpack(backend, copy)
        assert copy.read_bytes() == b"old and longer"
        assert dp.unpack(backend, copy, overwrite=True) == 4
    assert copy.read_bytes() == b"text"


def test_the_pack_is_not_replaced_by_its_own_text(tmp_path: Path) -> None:
    pack = packed(tmp_path, b"text")
    before = pack.read_bytes()
    with dp.FileBackend(pack) as backend, pytest.raises(ArgumentError, match="is the pack"):
        dp.unpack(backend, pack, overwrite=True)
    assert pack.read_bytes() == before


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    with dp.FileBackend(packed(tmp_path, b"text")) as backend, pytest.raises(ArgumentError, match="is a folder"):
        dp.unpack(backend, tmp_path)


def test_the_folder_of_the_output_must_exist(tmp_path: Path) -> None:
    with dp.FileBackend(packed(tmp_path, b"text")) as backend, pytest.raises(OutputError, match="does not exist"):
        dp.unpack(backend, tmp_path / "missing" / "copy")


def test_a_closed_pack_is_not_unpacked(tmp_path: Path) -> None:
    backend = dp.FileBackend(packed(tmp_path, b"text"))
    backend.close()
    with pytest.raises(ClosedError):
        dp.unpack(backend, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_prompt_in_memory_is_unpacked_as_utf_8(tmp_path: Path) -> None:
    assert dp.unpack(MemoryBackend(TEXT, 10), tmp_path / "copy") == len(TEXT.encode())
    assert (tmp_path / "copy").read_bytes() == TEXT.encode()


def test_a_binary_file_that_takes_a_little_at_a_time_gets_everything(tmp_path: Path) -> None:
    class Reluctant(io.BytesIO):
        def write(self, data: object) -> int:
            return super().write(bytes(data)[:3])  # type: ignore[call-overload]

    output = Reluctant()
    with dp.FileBackend(packed(tmp_path, b"0123456789" * 10, shard_size=7)) as backend:
        assert dp.unpack(backend, output) == 100
    assert output.getvalue() == b"0123456789" * 10


def test_an_error_of_a_binary_file_is_its_own(tmp_path: Path) -> None:
    pack = packed(tmp_path, b"0123456789" * 1_000)
    with dp.FileBackend(pack) as backend, Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError):  # noqa: PT011
        dp.unpack(backend, full)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16", "utf-16-le", "utf-32"])
def test_progress_counts_utf_8_up_to_the_total(tmp_path: Path, encoding: str) -> None:
    text = "é" * 1000 + "a" * 1000
    calls: list[tuple[int, int | None]] = []
    pack = packed(tmp_path, text.encode(encoding), encoding=encoding, shard_size=100)
    with dp.FileBackend(pack) as backend:
        dp.unpack(backend, tmp_path / "copy", progress=lambda *call: calls.append(call))
    done = [number for number, _ in calls]
    assert done == sorted(done)
    assert done[-1] == len(text.encode())
    assert {total for _, total in calls} == {len(text.encode())}


def test_standard_output_gets_every_byte(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5_000
    packed(tmp_path, data, errors="surrogateescape", shard_size=1_000)
    script = "import sys, distributed_prompt as dp\ndp.unpack(dp.FileBackend('out.dprompt'), sys.stdout.buffer)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, check=True, timeout=60)
    assert done.stdout == data


MEASURE = """
import distributed_prompt as dp

def anonymous_kib():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))

peak = 0
def progress(done, total):
    global peak
    peak = max(peak, anonymous_kib())

print(dp.unpack(dp.FileBackend("out.dprompt"), "copy", progress=progress), max(peak, anonymous_kib()))
"""


def test_unpacking_a_large_pack_takes_little_memory(tmp_path: Path) -> None:
    block = "".join(f"{number:08d} the quick brown 日本\r\n" for number in range(25_000)).encode()
    with (tmp_path / "in.txt").open("wb") as file:
        while file.tell() < 150_000_000:
            file.write(block)
    dp.pack(tmp_path / "in.txt", tmp_path / "out.dprompt")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], cwd=tmp_path, capture_output=True, check=True, text=True, timeout=120
    )
    count, peak_kib = map(int, done.stdout.split())
    assert count == (tmp_path / "in.txt").stat().st_size
    assert peak_kib * 1024 < 150_000_000


def test_a_path_is_as_good_as_a_backend(tmp_path: Path) -> None:
    pack = packed(tmp_path, b"text\n")
    assert dp.unpack(pack, tmp_path / "copy") == 5
    assert (tmp_path / "copy").read_bytes() == b"text\n"
    assert list(dp.verify(str(pack))) == []


def test_a_file_that_does_not_say_what_it_took_is_refused(tmp_path: Path) -> None:
    class Mute:
        def write(self, data: bytes) -> None:
            assert data

    with pytest.raises(OutputError, match="does not say how many bytes"):
        dp.unpack(packed(tmp_path, b"text\n"), Mute())  # type: ignore[arg-type]
