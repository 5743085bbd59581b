"""A prompt, or a part of it, as one genuine string: equal to the text it was made of, and nothing left behind."""

import errno
import gc
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt import images, mapped
from distributed_prompt.errors import ClosedError, CorruptPackError, MaterialiseError
from distributed_prompt.string_layout import Kind
from distributed_prompt.text.pieces import Piece
from tests.inside import shards_of
from tests.strategies import bounds, outcome, shard_sizes, texts

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="strings are mapped on Linux only")

TEXT = "abc d\u00e9f \u20ac\n" * 500
EMOJI = "a" * 4000 + "\U0001f600" + "b" * 4000 + "\u00e9" + "c" * 4000 + "\u20ac" + "d" * 4000
PAIR = "\ud83d\ude00"  # two lone surrogates that look like one character
# The fixture sets what stays the same for all examples.
lenient = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def set_limit(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr("distributed_prompt.images.MATERIALISE_LIMIT", limit)
    monkeypatch.setattr("distributed_prompt.prompt.MATERIALISE_LIMIT", limit)


@pytest.fixture(autouse=True)
def mapped_from_the_first_character(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    gc.collect()
    mapped.refusal()
    before = descriptors()
    set_limit(monkeypatch, 0)
    yield
    gc.collect()
    assert descriptors() == before, "a descriptor leaked"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Where images go."""
    path = tmp_path / "images"
    path.mkdir()
    monkeypatch.setenv("DPROMPT_IMAGE_DIR", str(path))
    yield path
    assert list(path.iterdir()) == []


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["/usr/bin/mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(path)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    monkeypatch.setenv("DPROMPT_IMAGE_DIR", str(path))
    yield path
    left = list(path.iterdir())
    gc.collect()
    mapped.sweep()
    subprocess.run(["/usr/bin/umount", str(path)], check=True)
    assert left == []


def descriptors() -> set[str]:
    """What files are open; sockets and the like do not matter."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue
        if "(deleted)" in target or "memfd" in target:
            found.add(f"{link.name} {target}")
    return found


def prompt_of(text: str, shard_size: int = 100) -> dp.DistributedPrompt:
    return dp.DistributedPrompt.from_text(text, shard_size=shard_size)


def ordinary(text: str) -> str:
    """The same text as a string of its own, of the kind that its characters need."""
    return text[:1] + text[1:]


def is_mapped(text: str) -> bool:
    return id(text) in mapped._mappings


def check(found: str, text: str) -> None:
    assert type(found) is str
    assert found == text
    assert text == found
    assert hash(found) == hash(text)
    assert list(found) == list(text)
    assert sys.getsizeof(found) == sys.getsizeof(ordinary(text)) or len(text) < 2
    assert found.isascii() == text.isascii()
    assert mapped._is_consistent(found)


@given(st.data(), st.sampled_from([0, 2]))
@lenient
def test_any_range_of_any_text_equals_the_plain_string(data: st.DataObject, limit: int) -> None:
    text = data.draw(texts)
    start, stop = data.draw(bounds(text)), data.draw(bounds(text))
    prompt = prompt_of(text, data.draw(shard_sizes(text)))
    with pytest.MonkeyPatch.context() as patch:
        set_limit(patch, limit)
        for view, expected in ((prompt, text), (prompt.view(start, stop), text[start:stop])):
            found = view.as_str()
            check(found, expected)
            assert is_mapped(found) == (len(expected) > limit)
            assert view.as_str() is found or len(expected) <= limit


@given(st.data())
@example(None)
@lenient
def test_it_converts_as_a_string_does(data: st.DataObject | None) -> None:
    text = data.draw(texts) if data else PAIR + "\x00"
    prompt = prompt_of(text, data.draw(shard_sizes(text)) if data else 1)
    check(str(prompt), text)
    assert hash(prompt) == hash(text)
    assert f"{prompt}" == text
    assert f"{prompt}!" == text + "!"
    assert "%s" % prompt == text  # noqa: UP031  # on purpose
    for spec in ("", "s", "100", ">100", "*^90s", ".3", "<.2s", "=>60", "=60", "d", "\u20ac<9"):
        assert outcome(partial(format, prompt, spec)) == outcome(partial(format, text, spec))


@pytest.mark.parametrize(
    "text", [PAIR, "\x00", PAIR * 50, "\x00" * 99, "a" + PAIR, "\U0001f600" + PAIR, "\ude00\ud83d"]
)
@pytest.mark.parametrize("shard_size", [1, 2, 3, 100])
def test_lone_surrogates_and_nul_stay_what_they_are(text: str, shard_size: int) -> None:
    found = prompt_of(text, shard_size).as_str()
    check(found, text)
    assert len(found) == len(text)


@pytest.mark.parametrize("shard_size", [7, 1000, 4000, 4001, 100_000])
@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 4000), (0, 4001), (4000, 4001), (4001, 8001), (4001, 8002), (8002, 12_002), (8001, 12_003), (4001, 12_003),
     (12_003, 16_003), (0, 16_003), (3999, 4000), (1, 3999), (4001, 4002), (8003, 8004)],
)  # fmt: skip
def test_a_view_is_of_the_narrowest_kind(shard_size: int, start: int, stop: int) -> None:
    prompt = prompt_of(EMOJI, shard_size)
    check(prompt.view(start, stop).as_str(), ordinary(EMOJI[start:stop]))
    check(prompt.view(1).view(start, stop).as_str(), ordinary(EMOJI[1:][start:stop]))


def test_it_is_the_same_object_while_it_is_held_and_another_afterwards() -> None:
    prompt = prompt_of(TEXT)
    found = prompt.as_str()
    assert prompt.as_str() is found
    assert str(prompt) is found
    assert f"{prompt}" is found
    assert prompt.view().as_str() is found
    assert prompt.view(1).as_str() is not found
    assert prompt.stats.images == 2
    del found
    again = prompt.as_str()
    assert prompt.stats.images == 3
    assert again == TEXT


def test_an_equal_pack_shares_it_and_one_that_differs_does_not() -> None:
    found = prompt_of(TEXT).as_str()
    assert prompt_of(TEXT).as_str() is found
    assert prompt_of(TEXT[:-1] + "?").as_str() == TEXT[:-1] + "?"
    assert prompt_of(TEXT, 99).as_str() == TEXT


def test_views_of_views_are_the_ranges_they_say() -> None:
    prompt = prompt_of(TEXT, 7)
    view, expected = prompt.view(), TEXT
    for start, stop in ((3, -5), (10, 5000), (1, 2000), (0, 100), (99, 100), (0, 0)):
        view, expected = view.view(start, stop), expected[start:stop]
        check(view.as_str(), expected)


def test_the_string_outlives_its_prompt(tmp_path: Path) -> None:
    dp.ingest_string(TEXT, tmp_path / "a.dprompt", shard_size=100)
    with dp.open(tmp_path / "a.dprompt") as prompt:
        found = prompt.as_str()
    (tmp_path / "a.dprompt").unlink()
    check(found, TEXT)


@pytest.mark.parametrize("store", ["sqlite", "lmdb"])
@pytest.mark.parametrize("text", [TEXT, EMOJI, "a" * 9999])
def test_it_works_from_files(store: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode())
    dp.pack(tmp_path / "a.txt", tmp_path / "a.dprompt", shard_size=100, store=store)
    with dp.open(tmp_path / "a.dprompt") as prompt:
        check(prompt.as_str(), text)
        check(prompt.view(101, -99).as_str(), ordinary(text[101:-99]))


@pytest.mark.parametrize("shard_size", [1, 7, 100, 10_000])
def test_progress_ascends_to_the_total(shard_size: int) -> None:
    view = prompt_of(TEXT, shard_size).view(5, -5)
    calls: list[tuple[int, int | None]] = []
    found = view.as_str(lambda done, total: calls.append((done, total)))
    assert calls[-1] == (len(view), len(view))
    assert {total for _, total in calls} == {len(view)}
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert found == TEXT[5:-5]


def test_threads_that_ask_at_once_share_one_image() -> None:
    prompt = prompt_of(EMOJI * 5, 1000)
    barrier, found = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait()
        found.append(prompt.as_str())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({id(text) for text in found}) == 1
    assert found[0] == EMOJI * 5
    assert prompt.stats.images == 1


def test_an_implicit_conversion_above_the_limit_is_refused() -> None:
    prompt = prompt_of(TEXT)
    size = 2 * len(TEXT)
    prompt.image_limit = size - 1
    for convert in (str, hash, "{}".format, "{:>5}".format, lambda p: "%s" % p):  # noqa: UP031  # on purpose
        with pytest.raises(MaterialiseError, match=rf"{size:,} bytes.* as_str\(\).*{size - 1:,}.*image_limit.*slices"):
            convert(prompt)
    assert prompt.stats.images == 0
    found = prompt.as_str()
    assert found == TEXT
    assert str(prompt) is found
    del found
    prompt.image_limit = size
    assert str(prompt) == TEXT


def test_ordinary_strings_are_not_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    set_limit(monkeypatch, len(TEXT))
    prompt = prompt_of(TEXT)
    prompt.image_limit = 0
    assert str(prompt) == TEXT
    assert not is_mapped(str(prompt))
    set_limit(monkeypatch, len(TEXT) - 1)
    with pytest.raises(MaterialiseError):
        str(prompt)


def test_the_limit_is_kept_by_views_and_pickles() -> None:
    prompt = prompt_of(TEXT)
    prompt.image_limit, prompt.view_threshold = 7, 9
    for other in (prompt.view(1), pickle.loads(pickle.dumps(prompt))):  # noqa: S301  # ours
        assert (other.view_threshold, other.image_limit) == (9, 7)


def test_without_mapped_strings_only_ordinary_ones_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPROMPT_MAPPED", "0")
    prompt = prompt_of(TEXT)
    with pytest.raises(MaterialiseError, match=r"DPROMPT_MAPPED=0.*slices"):
        prompt.as_str()
    assert prompt.stats.images == 0
    set_limit(monkeypatch, len(TEXT))
    assert prompt.as_str() == TEXT


def test_a_disk_without_room_is_told_beforehand(small_disk: Path) -> None:
    prompt = prompt_of("a" * 100_000, 1000)
    with pytest.raises(MaterialiseError, match=r"100,000 bytes .*has room for .*DPROMPT_IMAGE_DIR") as caught:
        prompt.as_str()
    assert str(small_disk) in str(caught.value)
    assert prompt.stats.images == 0
    with pytest.raises(MaterialiseError, match="half of what is free"):
        str(prompt.view(0, 40_000))
    check(prompt.view(0, 20_000).as_str(), "a" * 20_000)


def test_a_disk_that_fills_up_while_it_is_written(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.posix_fallocate", lambda *_: None)
    monkeypatch.setattr(images, "_check_size", lambda *_: None)
    prompt = prompt_of("a" * 300_000, 1000)
    for _ in range(3):
        with pytest.raises(MaterialiseError, match=r"300,000 bytes .*DPROMPT_IMAGE_DIR") as caught:
            prompt.as_str()
        assert str(small_disk) in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError)
        del caught
    check(prompt.view(0, 20_000).as_str(), "a" * 20_000)


@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_is_filled_between_the_check_and_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_check_size", lambda *_: None)
    with pytest.raises(MaterialiseError, match="has room for"):
        prompt_of("a" * 100_000, 1000).as_str()


def test_a_write_may_be_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite
    monkeypatch.setattr("os.pwrite", lambda file, data, place: whole(file, data[:13], place))
    check(prompt_of(EMOJI[:5000], 700).as_str(), EMOJI[:5000])


def test_a_folder_that_is_missing_or_no_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for path in (tmp_path / "missing", tmp_path / "file"):
        monkeypatch.setenv("DPROMPT_IMAGE_DIR", str(path))
        with pytest.raises(MaterialiseError, match=f"{path}: .*DPROMPT_IMAGE_DIR"):
            prompt_of(TEXT).as_str()
    assert (tmp_path / "file").read_text(encoding="utf-8") == "x"


def test_a_folder_that_cannot_be_written_to_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setenv("DPROMPT_IMAGE_DIR", str(tmp_path))
    monkeypatch.setattr(images, "_open_nameless", refuse)  # root may write anywhere
    with pytest.raises(MaterialiseError, match=f"{tmp_path}: Permission denied; DPROMPT_IMAGE_DIR"):
        prompt_of(TEXT).as_str()


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL])
def test_a_file_system_without_nameless_files_will_do(
    number: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refuse(path: str, flags: int, *rest: int, **options: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(number, os.strerror(number))
        return opened(path, flags, *rest, **options)

    monkeypatch.setattr("os.open", refuse)
    check(prompt_of(TEXT).as_str(), TEXT)
    assert list(folder.iterdir()) == []


def mounts(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "mountinfo"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
    return path


ROOT = "1 0 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw"


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs /dev/shm")  # noqa: S108  # that it is
def test_folders_in_memory_are_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")  # noqa: S108  # as above
    assert images.image_folder(tmp_path) != Path("/dev/shm")  # noqa: S108  # as above
    assert images._is_in_memory(Path("/dev/shm"))  # noqa: S108  # as above
    check(prompt_of(TEXT).as_str(), TEXT)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert images.image_folder(Path("/")) == tmp_path


def test_no_folder_on_a_disk_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = ROOT.replace("ext4", "tmpfs")
    monkeypatch.setattr(images, "_MOUNTS", mounts(tmp_path, root))
    with pytest.raises(MaterialiseError, match=r"no folder on a disk .*DPROMPT_IMAGE_DIR"):
        prompt_of(TEXT).as_str()
    monkeypatch.setenv("DPROMPT_IMAGE_DIR", str(tmp_path))
    check(prompt_of(TEXT).as_str(), TEXT)


def test_no_folder_for_temporary_files_at_all_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    assert images.image_folder(tmp_path) in {tmp_path, Path("/var/tmp")}  # noqa: S108  # that it is


@pytest.mark.parametrize("name", ["plain", "with space", "\u00e9t\u00e9 \u20ac", "back\\slash", "\udcff"])
def test_mount_points_of_any_name_are_understood(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    inside = tmp_path / name / "inside"
    inside.mkdir(parents=True)
    point = str(tmp_path / name).replace("\\", "\\134").replace(" ", "\\040")
    monkeypatch.setattr(images, "_MOUNTS", mounts(tmp_path, ROOT, f"2 1 0:1 / {point} rw - tmpfs tmpfs rw"))
    assert images._is_in_memory(inside)
    assert not images._is_in_memory(tmp_path)


def test_without_proc_any_folder_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(images, "_MOUNTS", tmp_path / "missing")
    assert not images._is_in_memory(tmp_path)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("shard", [0, 3, 40, 99])
def test_a_damaged_shard_is_an_error_and_nothing_is_left(shard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = prompt_of("abcdefghij" * 1000, 100)
    pack = shards_of(prompt).pack
    sound = type(pack).piece

    def damaged(self: object, number: int, blob: object) -> Piece:
        if number == shard:
            raise pack.corrupt(number, "damaged")
        return sound(self, number, blob)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(type(pack), "piece", damaged)
        for _ in range(3):
            with pytest.raises(CorruptPackError, match=f"shard {shard}"):
                prompt.as_str()
    check(prompt.as_str(), "abcdefghij" * 1000)


def test_a_damaged_file_is_an_error(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.dprompt"
    dp.ingest_string(TEXT + "needle in it", path, shard_size=3000)
    data = bytearray(path.read_bytes())
    with dp.open(path) as prompt:
        blob = bytes(shards_of(prompt).pack.blobs(1, 1)[1])
        at = data.index(blob[:16]) + 12
    data[at] ^= 1
    path.write_bytes(data)
    with dp.open(path) as prompt, pytest.raises(CorruptPackError):
        prompt.as_str()
    assert list(folder.iterdir()) == []


def test_a_closed_prompt_says_so() -> None:
    prompt = prompt_of(TEXT)
    view = prompt.view(1)
    found = prompt.as_str()
    prompt.close()
    for closed in (prompt, view):
        for convert in (dp.DistributedPrompt.as_str, str, hash, "{}".format):
            with pytest.raises(ClosedError):
                convert(closed)
    assert found == TEXT


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_of_the_progress_passes_through(error: type[BaseException]) -> None:
    prompt = prompt_of(TEXT)

    def fail(*_: object) -> None:
        raise error

    with pytest.raises(error):
        prompt.as_str(fail)
    check(prompt.as_str(), TEXT)


def test_nothing_is_written_any_more_when_it_has_failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    prompt = prompt_of("abcdefghij" * 50_000, 1000)
    waiting, leave, through = threading.Event(), threading.Event(), threading.Event()
    encoded, written = images._encoded, images._write

    def slow(piece: Piece, kind: Kind) -> bytes | memoryview:
        if piece.start >= 8000:
            waiting.set()
            leave.wait(20)
        return encoded(piece, kind)

    def write(*arguments: object) -> int:
        try:
            return written(*arguments)  # type: ignore[arg-type]
        finally:
            if leave.is_set():
                through.set()

    def fail(*_: object) -> None:
        if waiting.wait(0.2):
            # Whoever fails may as well wait for what is under way.
            threading.Timer(0.5, leave.set).start()
            raise KeyboardInterrupt

    monkeypatch.setattr(images, "_encoded", slow)
    monkeypatch.setattr(images, "_write", write)
    with pytest.raises(KeyboardInterrupt):
        prompt.as_str(fail)
    files = [(tmp_path / f"another {number}").open("w+b") for number in range(5)]
    assert leave.wait(20)
    through.wait(2)
    sizes = [os.fstat(file.fileno()).st_size for file in files]
    for file in files:
        file.close()
    assert sizes == [0] * 5, "written to a file of somebody else's that has got the same descriptor"


def test_progress_may_ask_for_another_string() -> None:
    prompt = prompt_of(TEXT)
    found = prompt.as_str(lambda done, _: check(prompt.view(0, done).as_str(), TEXT[:done]))
    assert found == TEXT


def run_script(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(dp.__file__).parent.parent)
    script = f"import sys\nsys.path.insert(0, {root!r})\n{script}"
    command = [sys.executable, "-W", "ignore", "-c", script, *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)


FORK = """
import os, signal, threading
import distributed_prompt as dp, distributed_prompt.images as images
images.MATERIALISE_LIMIT = 0
prompt = dp.DistributedPrompt.from_text("abc" * 5000, shard_size=100)
inside, leave = threading.Event(), threading.Event()
def progress(*_):
    inside.set()
    leave.wait()
thread = threading.Thread(target=prompt.as_str, args=(progress,))
thread.start()
inside.wait()
pid = os.fork()
if pid == 0:
    signal.alarm(5)
    ok = prompt.as_str() == "abc" * 5000 and prompt.view(1).as_str() == ("abc" * 5000)[1:]
    os._exit(0 if ok else 1)
status = os.waitpid(pid, 0)[1]
leave.set()
thread.join()
assert status == 0, status
"""


def test_a_child_forked_while_a_thread_makes_an_image_makes_its_own() -> None:
    done = run_script(FORK)
    assert (done.returncode, done.stderr) == (0, "")


MEMORY = """
import threading, time
import distributed_prompt as dp

def anonymous_kb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

def watch():
    while not done.wait(0.002):
        peaks.append(anonymous_kb())

peaks, done = [], threading.Event()
watcher = threading.Thread(target=watch)
prompt = dp.open(sys.argv[1])
watcher.start()
text = prompt.as_str()
assert len(text) == len(prompt) > 2**24
assert text.find("nowhere in it") == -1 and hash(text) and text.count("\\n") > 1000
assert text[-1] == sys.argv[2], text[-1]
done.set()
watcher.join()
assert len(peaks) > 5
print(max(peaks), prompt.stats.images)
"""


@pytest.mark.thorough
@pytest.mark.parametrize("last", ["a", "\U0001f600"])
def test_memory_does_not_grow_with_the_text(last: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    with path.open("w", encoding="utf-8") as file:
        for number in range(100):
            file.write("".join(f"{number} {line} some words of a line\n" for line in range(36_000))[:1_000_000])
        file.write(last)
    dp.ingest_file(path, tmp_path / "a.dprompt")
    done = run_script(MEMORY, str(tmp_path / "a.dprompt"), last)
    assert (done.returncode, done.stderr) == (0, "")
    peak, made = done.stdout.split()
    assert made == "1"
    assert int(peak) < 60_000
