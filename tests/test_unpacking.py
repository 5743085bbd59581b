import fcntl
import hashlib
import io
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt.backends.memory_backend import MemoryBackend
from distributed_prompt.backends.output import partial_path
from distributed_prompt.backends.output_folder import OutputFolder
from distributed_prompt.errors import (
    ArgumentError,
    ClosedError,
    CorruptPackError,
    DPromptError,
    InexactError,
    OutputError,
    OutputExistsError,
)
from distributed_prompt.store.documents import Document
from distributed_prompt.store.engines import ENGINES, create_store
from distributed_prompt.store.pack_writer import PackWriter, encode_shard
from distributed_prompt.unpacking import check_name
from tests.strategies import examples

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


@pytest.mark.thorough
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


@examples(40)
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


def test_a_folder_with_something_in_it_is_no_output(tmp_path: Path) -> None:
    pack = packed(tmp_path, b"text")
    with dp.FileBackend(pack) as backend, pytest.raises(OutputExistsError, match=r"'[a-z.]+' in it; name a new folder"):
        dp.unpack(backend, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.dprompt"]


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
@pytest.mark.parametrize("output", ["a file", "a folder", "a binary file"])
def test_progress_of_a_single_document_counts_utf_8_up_to_the_total(tmp_path: Path, encoding: str, output: str) -> None:
    text = "é" * 1000 + "a" * 1000
    calls: list[tuple[int, int | None]] = []
    pack = packed(tmp_path, text.encode(encoding), encoding=encoding, shard_size=100)
    places: dict[str, str | io.BytesIO] = {
        "a file": f"{tmp_path}/copy",
        "a folder": f"{tmp_path}/copy/",
        "a binary file": io.BytesIO(),
    }
    dp.unpack(pack, places[output], progress=lambda *call: calls.append(call))
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


# Folders


PARTIAL = ".copy.unpacking"
"""What the folder 'copy' is called while it is written, beside it."""
SPECIAL_NAMES = (
    b"a",
    b"b",
    b".hidden",
    b"..x",
    b"...",
    b"a\nb",
    b"back\\slash",
    b"C:\\x",
    b"C:",
    b"\xff\xfe",
    b"caf\xe9",
    "日本".encode(),
    b" ",
    b"-",
    b"~",
    b"\x1b[31m",
    b"con",
    b"x" * 255,
)

part_names = st.one_of(
    st.sampled_from(SPECIAL_NAMES),
    st.binary(min_size=1, max_size=6).filter(lambda part: part not in {b".", b".."} and not {0, 47} & {*part}),
)
tree_names = st.lists(part_names, min_size=1, max_size=4).map(b"/".join)
file_contents = st.one_of(
    st.binary(max_size=40), st.sampled_from([b"", b"text\n", b"\xff", "日本\r\n".encode(), b"\xef\xbb\xbf"])
)


def without_clashes(files: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Those of the files that can be there together: none of them the folder of another."""
    folders = {b"/".join(name.split(b"/")[:count]) for name in files for count in range(1, name.count(b"/") + 1)}
    return {name: data for name, data in files.items() if name not in folders}


def write_tree(folder: Path, files: dict[bytes, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, data in files.items():
        path = os.path.join(os.fsencode(folder), name)  # noqa: PTH118
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        Path(os.fsdecode(path)).write_bytes(data)
    return folder


def read_tree(folder: Path) -> dict[bytes, bytes]:
    """All files below a folder by their names from there; nothing but files and folders may be there."""
    found = {}
    for path in folder.rglob("*"):
        assert not path.is_symlink()
        if not path.is_dir():
            found[os.fsencode(path.relative_to(folder))] = path.read_bytes()
    return found


def everything(folder: Path) -> dict[str, bytes | None]:
    """All that is below a folder, folders included."""
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in folder.rglob("*")}


def forged(path: Path, files: list[tuple[str, bytes]], *, store: str = "sqlite", exact: bool = True) -> Path:
    """A pack of documents of any names, as nobody would pack them."""
    path.touch()
    writer = PackWriter(create_store(store, str(path), str(path)), 100, 3)
    text = b"".join(data for _, data in files)
    length = 0
    for name, data in files:
        sha256 = hashlib.sha256(data).hexdigest()
        stop = length + len(data)
        writer.documents.add(Document(name, length, stop, "utf-8", "strict", "keep", len(data), sha256, exact=exact))
        length = stop
    for shard, at in enumerate(range(0, len(text), 100)):
        part = text[at : at + 100]
        writer.add(encode_shard(shard, len(part), part, 3))
    writer.finish()
    return path


@pytest.fixture
def jail(tmp_path: Path) -> Path:
    """An inner folder to unpack in, several levels deep, so that whatever leaves it is seen."""
    inner = tmp_path / "x" / "y" / "jail"
    inner.mkdir(parents=True)
    return inner


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A pack of two documents."""
    return forged(tmp_path / "two.dprompt", [("t/a", b"first"), ("t/sub/b", b"second")])


@examples(60)
@given(
    st.dictionaries(tree_names, file_contents, min_size=1, max_size=8).map(without_clashes),
    st.sampled_from(ENGINES),
    st.sampled_from([1, 3, 7, 1_000]),
    st.sampled_from([None, "== {name}", ""]),
    st.sampled_from(["new", "new with a slash", "empty"]),
)
@example({b"a": b"", b"b/c": b""}, "sqlite", 1, None, "empty")
@example({b"C:\\x": b"\xff", b"..x/...": b"a", b"a\nb/\xff": b""}, "lmdb", 1, "== {name}", "new")
def test_a_folder_comes_back_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory,
    files: dict[bytes, bytes],
    store: str,
    shard_size: int,
    header: str | None,
    output: str,
) -> None:
    base = tmp_path_factory.mktemp("tree")
    tree = write_tree(base / "tree", files)
    pack = base / "out.dprompt"
    info = dp.pack(tree, pack, keep_undecodable=True, store=store, shard_size=shard_size, header=header)
    assert (info.documents, info.exact) == (len(files), True)
    assert list(dp.verify(pack)) == []
    copy = base / "copy"
    if output == "empty":
        copy.mkdir()
    written = dp.unpack(pack, f"{copy}/" if output == "new with a slash" else copy)
    assert written == sum(map(len, files.values()))
    # A single document from a folder goes into a folder again, too.
    assert read_tree(copy) == {b"tree/" + name: data for name, data in files.items()}
    assert sorted(path.name for path in base.iterdir()) == ["copy", "out.dprompt", "tree"]


@examples(25)
@given(
    st.dictionaries(tree_names, st.text(max_size=20), min_size=1, max_size=5),
    st.sampled_from(["utf-16", "utf-8-sig", "utf-7", "gb18030", "utf-32-be"]),
    st.sampled_from([1, 3, 1_000]),
)
def test_a_folder_in_another_encoding_comes_back_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, texts: dict[bytes, str], encoding: str, shard_size: int
) -> None:
    files = without_clashes({name: text.encode(encoding, "ignore") for name, text in texts.items()})
    base = tmp_path_factory.mktemp("tree")
    tree = write_tree(base / "tree", files)
    info = dp.pack(tree, base / "out.dprompt", encoding=encoding, shard_size=shard_size, keep_undecodable=True)
    if info.exact:
        dp.unpack(base / "out.dprompt", f"{base}/copy/")
        assert read_tree(base / "copy") == {b"tree/" + name: data for name, data in files.items()}
    else:
        assert encoding == "utf-7"  # of which there is more than one way to write a text
        with pytest.raises(InexactError):
            dp.unpack(base / "out.dprompt", f"{base}/copy/")


def test_many_documents_come_back(tmp_path: Path) -> None:
    generator = random.Random(11)  # noqa: S311  # any bytes do
    files = {
        f"{number % 13}/{number}".encode(): generator.randbytes(generator.choice((0, 1, 50, 2_000)))
        for number in range(1_000)
    }
    tree = write_tree(tmp_path / "tree", files)
    dp.pack(tree, tmp_path / "out.dprompt", keep_undecodable=True, header="{name}", shard_size=1_000)
    dp.unpack(tmp_path / "out.dprompt", tmp_path / "copy")
    assert read_tree(tmp_path / "copy") == {b"tree/" + name: data for name, data in files.items()}


DEEP = "d/" * 1_500 + "f"


@pytest.fixture
def pit(tmp_path: Path) -> Iterator[Path]:
    """A folder that may become too deep for what pytest clears up with, which recurses."""
    folder = tmp_path / "pit"
    folder.mkdir()
    yield folder
    subprocess.run(["/bin/rm", "-rf", folder], check=True)


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("files", [[(DEEP, b"deep"), ("e", b"shallow")], [(DEEP, b"deep")]])
def test_a_very_deep_folder_comes_back(pit: Path, files: list[tuple[str, bytes]], *, existing: bool) -> None:
    pack = forged(pit / "deep.dprompt", files)
    if existing:
        (pit / "copy").mkdir()
    assert dp.unpack(pack, pit / "copy") == sum(len(data) for _, data in files)
    found = subprocess.run(
        ["/usr/bin/find", "copy", "-type", "f"], cwd=pit, capture_output=True, check=True, text=True
    ).stdout.split()
    assert sorted(found) == [f"copy/{name}" for name, _ in files]
    assert (pit / "copy" / DEEP).read_bytes() == b"deep"
    assert sorted(path.name for path in pit.iterdir()) == ["copy", "deep.dprompt"]


@pytest.mark.parametrize("existing", [False, True])
def test_a_failure_below_a_very_deep_folder_leaves_nothing_behind(pit: Path, *, existing: bool) -> None:
    pack = forged(pit / "deep.dprompt", [(DEEP, b"deep"), ("e", b"x" * 500)])
    damage(pack, 3)
    if existing:
        (pit / "copy").mkdir()
    before = everything(pit)
    with pytest.raises(CorruptPackError):
        dp.unpack(pack, pit / "copy")
    assert sorted(path.name for path in pit.iterdir()) == sorted(before)
    assert everything(pit) == before


def test_a_very_deep_folder_that_a_killed_run_left_is_cleared_by_the_next(pit: Path) -> None:
    pack = forged(pit / "deep.dprompt", [(DEEP, b"deep"), ("e", b"shallow")])
    with OutputFolder(pit / "copy") as left:
        # Neither published nor failed: it stays, unlocked.
        left.make(DEEP)
    assert sorted(path.name for path in pit.iterdir()) == [PARTIAL, "deep.dprompt"]
    assert dp.unpack(pack, pit / "copy") == 11
    assert sorted(path.name for path in pit.iterdir()) == ["copy", "deep.dprompt"]
    assert (pit / "copy" / DEEP).read_bytes() == b"deep"


def test_a_single_document_goes_to_a_file_or_into_a_folder(tmp_path: Path) -> None:
    pack = packed(tmp_path, b"text")
    (tmp_path / "empty").mkdir()
    for output in ("file", "folder/", "empty"):
        assert dp.unpack(pack, f"{tmp_path}/{output}") == 4
    assert (tmp_path / "file").read_bytes() == b"text"
    assert read_tree(tmp_path / "folder") == read_tree(tmp_path / "empty") == {b"in.txt": b"text"}


@pytest.mark.parametrize("output", ["copy", "copy/", "empty"])
def test_a_single_document_from_a_folder_goes_into_a_folder(tmp_path: Path, output: str) -> None:
    tree = write_tree(tmp_path / "t", {b"sub/a": b"text"})
    pack = dp.pack(tree, tmp_path / "t.dprompt").path
    (tmp_path / "empty").mkdir()
    assert dp.unpack(pack, f"{tmp_path}/{output}") == 4
    assert read_tree(tmp_path / output) == {b"t/sub/a": b"text"}


def test_a_single_document_from_a_folder_does_not_replace_a_file_but_goes_into_a_binary_one(tmp_path: Path) -> None:
    pack = dp.pack(write_tree(tmp_path / "t", {b"a": b"text"}), tmp_path / "t.dprompt").path
    (tmp_path / "copy").write_bytes(b"mine")
    before = everything(tmp_path)
    with pytest.raises(OutputExistsError, match=r": is a file; name a new folder$"):
        dp.unpack(pack, tmp_path / "copy", overwrite=True)
    assert everything(tmp_path) == before
    assert unpacked(Path(pack)) == b"text"


@pytest.mark.parametrize("output", ["copy", "copy/"])
def test_a_document_below_a_header_goes_into_a_folder(tmp_path: Path, output: str) -> None:
    pack = packed(tmp_path, b"text", header="== {name}")
    assert dp.unpack(pack, f"{tmp_path}/{output}") == 4
    assert read_tree(tmp_path / "copy") == {b"in.txt": b"text"}


def test_several_documents_do_not_go_into_a_binary_file(two: Path) -> None:
    output = io.BytesIO()
    with pytest.raises(ArgumentError, match="2 documents do not fit into a binary file; name a folder"):
        dp.unpack(two, output)
    assert output.getvalue() == b""


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o777, 0o2755, 0o1777])
def test_an_empty_folder_is_replaced_by_one_of_its_mode(two: Path, tmp_path: Path, mode: int) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    copy.chmod(mode)
    before = copy.stat()
    dp.unpack(two, copy)
    after = copy.stat()
    assert after.st_mode == before.st_mode
    assert after.st_ino != before.st_ino
    assert read_tree(copy) == {b"t/a": b"first", b"t/sub/b": b"second"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "two.dprompt"]


def test_while_it_is_written_an_empty_folder_stays_empty_and_the_partial_one_is_beside_it(
    two: Path, tmp_path: Path
) -> None:
    (tmp_path / "copy").mkdir()
    seen: list[list[str]] = []

    def progress(*_: object) -> None:
        assert not list((tmp_path / "copy").iterdir())
        seen.append(sorted(path.name for path in tmp_path.iterdir()))

    dp.unpack(two, tmp_path / "copy", progress=progress)
    assert seen == [[PARTIAL, "copy", "two.dprompt"]]


@pytest.mark.parametrize("output", [".", "", "./", "../here", "{}/here", "../link"])
def test_the_working_folder_is_no_output(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    monkeypatch.chdir(tmp_path / "here")
    before = everything(tmp_path)
    shown = output.format(tmp_path)
    with pytest.raises(ArgumentError) as raised:
        dp.unpack(two, shown)
    assert str(raised.value) == f"{shown}: is the working folder; name a new one in it"
    assert everything(tmp_path) == before
    dp.unpack(two, "new")
    assert read_tree(Path("new")) == {b"t/a": b"first", b"t/sub/b": b"second"}


@pytest.mark.parametrize("output", [".", "./"])
def test_a_single_document_does_not_take_the_place_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    pack = packed(tmp_path, b"text")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ArgumentError, match=r"^\./?: is the working folder; name a new one in it$"):
        dp.unpack(pack, output)
    assert everything(tmp_path / "here") == {}


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("length", [239, 240, 255])
def test_a_folder_may_have_any_name_that_the_system_allows(
    two: Path, tmp_path: Path, length: int, *, existing: bool
) -> None:
    copy = tmp_path / ("x" * length)
    if existing:
        copy.mkdir()
    dp.unpack(two, copy)
    assert read_tree(copy) == {b"t/a": b"first", b"t/sub/b": b"second"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["two.dprompt", copy.name]


def test_the_root_is_no_output(two: Path) -> None:
    with pytest.raises((ArgumentError, OutputExistsError)):
        dp.unpack(two, "/")


def test_a_link_to_a_folder_is_followed(two: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("new")
    dp.unpack(two, tmp_path / "link")
    dp.unpack(two, tmp_path / "dangling")
    assert (tmp_path / "link").is_symlink()
    assert read_tree(tmp_path / "real") == read_tree(tmp_path / "new") == {b"t/a": b"first", b"t/sub/b": b"second"}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("inside", ["a file", ".hidden", "t/a", "sub/"])
def test_a_folder_must_be_new_or_empty(two: Path, tmp_path: Path, inside: str, *, overwrite: bool) -> None:
    place = tmp_path / "copy" / inside
    if inside.endswith("/"):
        place.mkdir(parents=True)
    else:
        place.parent.mkdir(parents=True)
        place.write_bytes(b"mine")
    before = everything(tmp_path)
    with pytest.raises(
        OutputExistsError, match=rf"/copy: has '{inside.split('/', maxsplit=1)[0]}' in it; name a new folder$"
    ):
        dp.unpack(two, tmp_path / "copy", overwrite=overwrite)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("output", ["file", "two.dprompt"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_not_replaced_by_a_folder(two: Path, tmp_path: Path, output: str, *, overwrite: bool) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    before = everything(tmp_path)
    with pytest.raises(OutputExistsError, match=r": is a file; name a new folder$"):
        dp.unpack(two, tmp_path / output, overwrite=overwrite)
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "output", ["missing/copy", "missing/copy/", "two.dprompt/copy", "x" * 300, "x" * 300 + "/", "a\0b"]
)
def test_an_output_that_cannot_be_made_is_an_error_of_ours(two: Path, tmp_path: Path, output: str) -> None:
    before = everything(tmp_path)
    with pytest.raises((OutputError, ArgumentError)):
        dp.unpack(two, f"{tmp_path}/{output}")
    assert everything(tmp_path) == before


@pytest.mark.parametrize(("output", "kind"), [("a\0b", "file"), ("a\0b/", "folder"), ("\0", "file")])
def test_a_name_with_a_null_is_no_output(two: Path, tmp_path: Path, output: str, kind: str) -> None:
    pack = packed(tmp_path, b"text")
    before = everything(tmp_path)
    for each, what in ((pack, kind), (two, "folder")):
        with pytest.raises(ArgumentError, match=f": no {what} can have this name$") as raised:
            dp.unpack(each, f"{tmp_path}/{output}")
        assert str(raised.value).isprintable()
    assert everything(tmp_path) == before


def test_a_single_document_and_a_name_that_is_too_long_is_an_error_of_ours(tmp_path: Path) -> None:
    pack = packed(tmp_path, b"text")
    with pytest.raises(OutputError, match="too long"):
        dp.unpack(pack, tmp_path / ("x" * 300))


@pytest.mark.parametrize("existing", [False, True])
def test_a_damaged_shard_leaves_no_folder(tmp_path: Path, *, existing: bool) -> None:
    pack = forged(tmp_path / "bad.dprompt", [(f"t/{number}", b"x" * 99) for number in range(20)])
    damage(pack, 15)
    if existing:
        (tmp_path / "copy").mkdir()
    before = everything(tmp_path)
    with pytest.raises(CorruptPackError, match=f"^{pack}: shard 15: checksum"):
        dp.unpack(pack, tmp_path / "copy")
    assert everything(tmp_path) == before


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_midway_leaves_nothing(tmp_path: Path, failure: BaseException, *, existing: bool) -> None:
    pack = forged(tmp_path / "p.dprompt", [(f"t/{number}", b"x" * 99) for number in range(20)])
    if existing:
        (tmp_path / "copy").mkdir()
    before = everything(tmp_path)
    calls: list[int] = []

    def progress(done: int, _: int | None) -> None:
        calls.append(done)
        if len(calls) == 10:
            raise failure

    with pytest.raises(type(failure)):
        dp.unpack(pack, tmp_path / "copy", progress=progress)
    assert everything(tmp_path) == before
    assert dp.unpack(pack, tmp_path / "copy") == 20 * 99


def test_a_disk_that_is_full_is_an_error_of_ours_and_leaves_nothing(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("distributed_prompt.unpacking._write", full)
    with pytest.raises(OutputError, match="No space left on device"):
        dp.unpack(two, tmp_path / "copy")
    assert everything(tmp_path) == before


@pytest.mark.parametrize("existing", [False, True])
def test_what_a_killed_run_left_is_cleared_by_the_next(two: Path, tmp_path: Path, *, existing: bool) -> None:
    script = (
        "import os, signal, distributed_prompt as dp\n"
        "def progress(done, total): os.kill(os.getpid(), signal.SIGKILL)\n"
        "dp.unpack('two.dprompt', 'copy', progress=progress)\n"
    )
    if existing:
        (tmp_path / "copy").mkdir()
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    left = tmp_path / PARTIAL
    assert read_tree(left) == {b"t/a": b"first", b"t/sub/b": b"second"}
    (left / "more").mkdir()
    dp.unpack(two, tmp_path / "copy")
    assert read_tree(tmp_path / "copy") == {b"t/a": b"first", b"t/sub/b": b"second"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "two.dprompt"]


def test_what_a_killed_unpacking_left_is_not_in_the_way_of_the_pack(two: Path, tmp_path: Path) -> None:
    """The names suggest themselves: 'copy.dprompt' is unpacked to 'copy'."""
    pack = tmp_path / "copy.dprompt"
    two.rename(pack)
    (tmp_path / "more").write_bytes(b"more")
    with OutputFolder(tmp_path / "copy"):
        pass  # Neither published nor failed: the partial folder stays, unlocked.
    dp.append(pack, tmp_path / "more")
    assert dp.unpack(pack, tmp_path / "copy") == 15


def test_what_a_killed_packing_left_is_not_in_the_way_of_a_folder(two: Path, tmp_path: Path) -> None:
    partial_path(tmp_path / "copy.dprompt", "", "partial").write_bytes(b"half of a pack")
    assert dp.unpack(two, tmp_path / "copy") == 11


@pytest.mark.parametrize("existing", [False, True])
def test_a_second_writer_is_turned_away_and_does_the_first_no_harm(
    two: Path, tmp_path: Path, *, existing: bool
) -> None:
    copy = tmp_path / "copy"
    if existing:
        copy.mkdir()

    def progress(done: int, _: int | None) -> None:
        if done:
            with pytest.raises(OutputError, match="another process is writing it now"):
                dp.unpack(two, copy)
            turned_away.append(done)

    turned_away: list[int] = []
    dp.unpack(two, copy, progress=progress)
    assert turned_away == [11]
    assert read_tree(copy) == {b"t/a": b"first", b"t/sub/b": b"second"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "two.dprompt"]


def test_a_writer_that_lost_the_race_for_the_lock_does_the_other_no_harm(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has made its partial folder, not locked it yet; another takes that for a killed one's and makes its own."""
    flock, others = fcntl.flock, ExitStack()
    other = OutputFolder(tmp_path / "copy")

    def late(lock: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        others.enter_context(other)
        (other.partial / "theirs").write_bytes(b"theirs")
        flock(lock, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with others:
        with pytest.raises(OutputError, match="another process is writing it now"):
            dp.unpack(two, tmp_path / "copy")
        assert read_tree(other.partial) == {b"theirs": b"theirs"}
        other.publish()
    assert read_tree(tmp_path / "copy") == {b"theirs": b"theirs"}


def test_a_folder_that_appears_meanwhile_with_something_in_it_is_kept(two: Path, tmp_path: Path) -> None:
    def progress(*_: object) -> None:
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy" / "t").write_bytes(b"mine")

    with pytest.raises(OutputError):
        dp.unpack(two, tmp_path / "copy", progress=progress)
    assert everything(tmp_path / "copy") == {"t": b"mine"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "two.dprompt"]


@pytest.mark.parametrize("theirs", ["b", "z", ".hidden"])
def test_a_file_that_appears_meanwhile_in_an_empty_folder_is_kept_and_nothing_else_is_written(
    tmp_path: Path, theirs: str
) -> None:
    pack = forged(tmp_path / "p.dprompt", [("a", b"ours"), ("b", b"ours")])
    (tmp_path / "copy").mkdir()
    inode = (tmp_path / "copy").stat().st_ino

    def progress(*_: object) -> None:
        (tmp_path / "copy" / theirs).write_bytes(b"mine")

    with pytest.raises(OutputError, match=r"^[^:]+/copy: Directory not empty$"):
        dp.unpack(pack, tmp_path / "copy", progress=progress)
    assert everything(tmp_path / "copy") == {theirs: b"mine"}
    assert (tmp_path / "copy").stat().st_ino == inode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "p.dprompt"]


@pytest.mark.parametrize("partial", [PARTIAL, ".dprompt.partial", "copy"])
@pytest.mark.parametrize("names", [["{}", "-"], ["-", "{}/f"], ["{}/a", "{}/b"], ["{}"]])
@pytest.mark.parametrize("existing", [False, True])
def test_documents_called_as_the_partial_folder_come_back(
    tmp_path: Path, names: list[str], partial: str, *, existing: bool
) -> None:
    names = [name.format(partial) for name in names]
    files = [(name, name.encode()) for name in sorted(names)]
    pack = forged(tmp_path / "p.dprompt", files)
    copy = tmp_path / "copy"
    if existing:
        copy.mkdir()
    dp.unpack(pack, f"{copy}/")
    assert read_tree(copy) == {os.fsencode(name): data for name, data in files}


@pytest.mark.parametrize("existing", [False, True])
def test_a_link_in_the_place_of_the_partial_folder_is_not_followed(
    two: Path, tmp_path: Path, *, existing: bool
) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "keep").write_bytes(b"kept")
    copy = tmp_path / "copy"
    if existing:
        copy.mkdir()
    (tmp_path / PARTIAL).symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError):
        dp.unpack(two, copy)
    assert read_tree(tmp_path / "victim") == {b"keep": b"kept"}


@pytest.mark.parametrize("existing", [False, True])
def test_a_folder_that_cannot_be_given_its_name_leaves_nothing(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, existing: bool
) -> None:
    if existing:
        (tmp_path / "copy").mkdir()
    before = everything(tmp_path)
    renamed: list[str] = []

    def failing(source: Path, target: Path) -> None:
        renamed.extend((source.name, target.name))
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OutputError, match=r"^[^:]+/copy: Input/output error$"):
        dp.unpack(two, tmp_path / "copy")
    assert renamed == [PARTIAL, "copy"]
    assert everything(tmp_path) == before


# Names that nobody would pack


LONG = "/".join(["d" * 200] * 20)
MALICIOUS = [
    [".."],
    ["../x"],
    ["../../x"],
    ["a/../../x"],
    ["a/../x"],
    ["a/.."],
    ["/etc/x"],
    ["/"],
    ["//x"],
    [""],
    ["a//b"],
    ["a/"],
    ["."],
    ["./a"],
    ["a/."],
    ["a/./b"],
    ["a\0b"],
    ["\0"],
    ["a\ud800"],
    ["\udc7f"],
    [LONG + "/" + "x" * 80],
    ["x" * 4_096],
    ["c" * 300],
    ["a/" + "c" * 300 + "/b"],
    ["é" * 128],
    ["a", "a/b"],
    ["a/b", "a"],
    ["a/b/c", "a/b"],
    ["same", "same"],
    ["d/same", "other", "d/same"],
]


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("store", ENGINES)
@pytest.mark.parametrize("names", MALICIOUS, ids=lambda names: ascii(names)[:40])
def test_names_that_lead_out_or_are_none_are_refused_and_nothing_is_written_anywhere(
    jail: Path, tmp_path: Path, names: list[str], store: str, *, existing: bool
) -> None:
    files = [("fine", b"fine"), *((name, b"evil") for name in names), ("z", b"fine")]
    pack = forged(tmp_path / "evil.dprompt", files, store=store)
    if existing:
        (jail / "copy").mkdir()
    before = everything(tmp_path)
    with pytest.raises(OutputError, match="document ") as raised:
        dp.unpack(pack, jail / "copy")
    assert everything(tmp_path) == before
    assert len(str(raised.value)) < 400
    assert str(raised.value).isprintable()
    assert not Path("/etc/x").exists()


SINGLE = [names[0] for names in MALICIOUS if len(names) == 1]


@pytest.mark.parametrize("name", SINGLE, ids=lambda name: ascii(name)[:40])
@pytest.mark.parametrize("output", ["copy/", "empty"])
def test_a_single_document_of_such_a_name_is_refused_in_a_folder(
    jail: Path, tmp_path: Path, name: str, output: str
) -> None:
    pack = forged(tmp_path / "evil.dprompt", [(name, b"evil")])
    (jail / "empty").mkdir()
    before = everything(tmp_path)
    with pytest.raises(OutputError):
        dp.unpack(pack, f"{jail}/{output}")
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", SINGLE, ids=lambda name: ascii(name)[:40])
def test_a_single_document_goes_to_a_file_whatever_it_is_called_but_for_a_slash(
    jail: Path, tmp_path: Path, name: str
) -> None:
    pack = forged(tmp_path / "evil.dprompt", [(name, b"evil")])
    before = everything(tmp_path)
    if "/" in name:
        with pytest.raises(OutputError, match=r"^document "):
            dp.unpack(pack, jail / "file")
        assert everything(tmp_path) == before
    else:
        dp.unpack(pack, jail / "file")
        assert everything(tmp_path) == {**before, "x/y/jail/file": b"evil"}
    assert unpacked(pack) == b"evil"


@given(st.text(st.sampled_from("ab./\0\n\\:é\udc80\udcff\ud800\udfff"), max_size=8))
def test_a_name_is_refused_unless_it_leads_to_a_place_below_the_folder(name: str) -> None:
    try:
        data = os.fsencode(name)
    except UnicodeEncodeError:
        fine = False
    else:
        inside = os.path.normpath(b"/folder/" + data) == b"/folder/" + data != b"/folder/"
        fine = inside and b"\0" not in data and not data.startswith(b"/")
    if fine:
        check_name(name)
    else:
        with pytest.raises(OutputError, match="nothing was written"):
            check_name(name)


@examples(60)
@given(
    st.lists(
        st.lists(
            st.sampled_from(["a", "b", "..", ".", "", "c" * 256, "\0", "\udcff", "\ud800"]), min_size=1, max_size=4
        ).map("/".join),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_the_names_nothing_is_written_outside_and_all_or_nothing_inside(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    base = tmp_path_factory.mktemp("forged")
    inner = base / "x" / "y" / "jail"
    inner.mkdir(parents=True)
    files = [(name, f"{number}".encode()) for number, name in enumerate(names)]
    pack = forged(base / "evil.dprompt", files)
    before = everything(base)
    try:
        dp.unpack(pack, f"{inner}/copy/")
    except DPromptError:
        assert everything(base) == before
    else:
        assert read_tree(inner / "copy") == {os.fsencode(name): data for name, data in files}
        inside = {f"x/y/jail/copy{'/' if name else ''}{name}" for name in ["", *everything(inner / "copy")]}
        assert {*everything(base)} == {*before, *inside}


def test_documents_that_overlap_or_lie_behind_the_text_are_damage(tmp_path: Path) -> None:
    for number, places in enumerate([[(0, 3), (2, 5)], [(0, 3), (3, 9)], [(3, 5), (0, 3)], [(3, 2)], [(7, 7)]]):
        pack = tmp_path / f"{number}.dprompt"
        pack.touch()
        writer = PackWriter(create_store("sqlite", str(pack), str(pack)), 100, 3)
        for document, (start, stop) in enumerate(places):
            data = b"01234"[start:stop]
            sha256 = hashlib.sha256(data).hexdigest()
            writer.documents.add(
                Document(f"t/{document}", start, stop, "utf-8", "strict", "keep", len(data), sha256, exact=True)
            )
        writer.add(encode_shard(0, 5, b"01234", 3))
        writer.finish()
        before = everything(tmp_path)
        with pytest.raises(CorruptPackError, match=f"^{pack}: document"):
            dp.unpack(pack, tmp_path / "copy")
        assert everything(tmp_path) == before


def test_what_could_not_be_unpacked_beside_the_documents_of_a_pack_is_not_appended(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "other" / "in.txt", {b"sub/b": b"more"})
    pack = packed(tmp_path, b"text")
    before = pack.read_bytes()
    message = r"out\.dprompt: has a document 'in\.txt' already; name the input 'in\.txt/sub/b' otherwise$"
    with pytest.raises(ArgumentError, match=message):
        dp.append(pack, tree)
    assert pack.read_bytes() == before
    # And the other way round.
    dp.pack(tree, pack, overwrite=True)
    before = pack.read_bytes()
    message = r"out\.dprompt: has documents in a folder 'in\.txt' already; name the input 'in\.txt' otherwise$"
    with pytest.raises(ArgumentError, match=message):
        dp.append(pack, tmp_path / "in.txt")
    assert pack.read_bytes() == before
    dp.append(pack, write_tree(tmp_path / "more" / "in.txt", {b"sub/c": b"fine", b"sub-": b"fine"}))
    assert dp.unpack(pack, tmp_path / "copy") == 12


# Inexact documents


def test_one_inexact_document_is_enough_to_refuse_and_lossy_takes_the_text(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "t", {b"a": b"a\n", b"b": b"b\r\n", b"c/d": b"d\n"})
    dp.pack(tree, tmp_path / "t.dprompt", newlines="universal", shard_size=2)
    before = everything(tmp_path)
    with pytest.raises(InexactError, match=r"^\S+: the bytes of t/b cannot be given back .*--lossy"):
        dp.unpack(tmp_path / "t.dprompt", tmp_path / "copy")
    assert everything(tmp_path) == before
    assert dp.unpack(tmp_path / "t.dprompt", tmp_path / "copy", lossy=True) == 6
    assert read_tree(tmp_path / "copy") == {b"t/a": b"a\n", b"t/b": b"b\n", b"t/c/d": b"d\n"}


def test_lossy_gives_exact_documents_their_own_bytes_and_the_others_their_utf_8(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "t", {b"fine": "é日".encode("utf-16"), b"big": b"\xfe\xff\x00a"})
    dp.pack(tree, tmp_path / "t.dprompt", encoding="utf-16")
    dp.unpack(tmp_path / "t.dprompt", tmp_path / "copy", lossy=True)
    assert read_tree(tmp_path / "copy") == {b"t/fine": "é日".encode("utf-16"), b"t/big": b"a"}


def test_a_document_whose_bytes_are_not_those_that_were_packed_is_damage(tmp_path: Path) -> None:
    pack = tmp_path / "p.dprompt"
    pack.touch()
    writer = PackWriter(create_store("sqlite", str(pack), str(pack)), 100, 3)
    for name, sha256, size in (("t/a", hashlib.sha256(b"01").hexdigest(), 2), ("t/b", "ab" * 32, 3)):
        start, stop = (0, 2) if name == "t/a" else (2, 5)
        writer.documents.add(Document(name, start, stop, "utf-8", "strict", "keep", size, sha256, exact=True))
    writer.add(encode_shard(0, 5, b"01234", 3))
    writer.finish()
    with pytest.raises(CorruptPackError, match=f"^{pack}: document t/b: SHA-256 [0-9a-f]+, expected (ab)+$"):
        dp.unpack(pack, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["p.dprompt"]


def test_progress_of_a_folder_counts_utf_8_up_to_the_total(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "t", {f"{number}".encode(): "é日\n".encode() * number for number in range(50)})
    dp.pack(tree, tmp_path / "t.dprompt", header="{name}", shard_size=100)
    calls: list[tuple[int, int | None]] = []
    dp.unpack(tmp_path / "t.dprompt", tmp_path / "copy", progress=lambda *call: calls.append(call))
    with dp.FileBackend(tmp_path / "t.dprompt") as backend:
        total = backend.pack.metadata.utf8_bytes
    done = [number for number, _ in calls]
    assert done == sorted(done)
    assert (done[-1], {total for _, total in calls}) == (total, {total})


@pytest.mark.thorough
def test_an_interrupted_command_leaves_nothing(tmp_path: Path) -> None:
    files = [(f"t/{number % 50}/{number}", b"x" * 5_000) for number in range(3_000)]
    forged(tmp_path / "p.dprompt", files)
    with subprocess.Popen(
        [sys.executable, "-m", "distributed_prompt", "unpack", "p.dprompt", "-o", "copy"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while not (tmp_path / PARTIAL / "t" / "1").exists() and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode in {1, 130}
    assert b"Traceback" not in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["p.dprompt"]


def test_documents_of_one_name_in_several_packs_are_counted_and_not_unpacked_over_each_other(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / "notes.md").write_text(f"of {number}")
        dp.pack(tmp_path / "notes.md", tmp_path / f"{number}.dprompt")
    dp.collect([tmp_path / "0.dprompt", tmp_path / "1.dprompt"], tmp_path / "all.json")
    with dp.open(tmp_path / "all.json") as prompt:
        assert list(prompt.documents) == ["notes.md", "notes.md"]
        assert [*prompt.documents.values()] == ["of 0", "of 1"]
        assert prompt.documents["notes.md"] == "of 0"
    with pytest.raises(OutputError, match=r"notes\.md.*another document; unpack the packs one by one"):
        dp.unpack(tmp_path / "all.json", tmp_path / "out")
    assert not (tmp_path / "out").exists()
