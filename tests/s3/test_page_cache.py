"""Pages kept on disk: private, bounded, shared, and never believed without their checksums."""

import gc
import os
import pickle
import random
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt.backends import ranges
from distributed_prompt.backends.http_backend import HttpBackend
from distributed_prompt.backends.page_cache import PageCache
from distributed_prompt.errors import CorruptPackError, OutputError, PackChangedError
from distributed_prompt.prompt import DistributedPrompt
from tests.s3.test_http import MODIFIED, Answer, Handler, Sample, WebServer, make, ranged
from tests.strategies import examples

PAGE = 4_096
BUDGET = 2**22
PLACES = range(500_000, 2_500_000, 150_000)
AS_ROOT = os.geteuid() == 0

READ = """
import sys
from distributed_prompt.backends.http_backend import HttpBackend
from distributed_prompt.prompt import DistributedPrompt
with DistributedPrompt(HttpBackend(sys.argv[1], cache_dir=sys.argv[2])) as prompt:
    found = [prompt[at : at + 50] for at in range(500_000, 2_500_000, 150_000)]
    print(prompt.stats.requests)
    print("".join(found).replace("\\n", "|"))
"""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make(tmp_path_factory.mktemp("cache"), 1)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make(tmp_path_factory.mktemp("cache"), 2)


@pytest.fixture
def server(sample: Sample) -> Iterator[WebServer]:
    with WebServer() as server:
        server.answer = ranged(sample.data)
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pages"


def bound(folder: Path, name: str = "name", version: str = "version", budget_bytes: int = BUDGET) -> PageCache:
    cache = PageCache(folder, budget_bytes, PAGE)
    cache.bind(name, version)
    return cache


def pages(count: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(count * PAGE)  # noqa: S311  # no secret


def taken_bytes(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.iterdir())


def opened(server: WebServer, folder: Path, path: str = "/corpus.dprompt") -> DistributedPrompt:
    return DistributedPrompt(HttpBackend(f"{server.url}{path}", cache_dir=folder))


def read(prompt: DistributedPrompt, sample: Sample) -> int:
    """Read here and there; gives the requests that were needed."""
    with prompt:
        for at in PLACES:
            assert prompt[at : at + 50] == sample.text[at : at + 50]
        return prompt.stats.requests


def files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"*{suffix}"))


def test_pages_come_back_whoever_asks(folder: Path) -> None:
    data = pages(3)
    bound(folder).put(7, data)
    cache = bound(folder)
    assert [cache.get(number) for number in range(6, 11)] == [
        None,
        *(data[at : at + PAGE] for at in range(0, len(data), PAGE)),
        None,
    ]


def test_the_last_page_may_be_short(folder: Path) -> None:
    bound(folder).put(2, pages(1) + b"the end")
    assert bound(folder).get(3) is None or bound(folder).get(3) == b"the end"
    assert bound(folder).get(2) == pages(1)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), max_size=20))
@examples(40)
def test_what_is_there_is_what_was_put(tmp_path_factory: pytest.TempPathFactory, puts: list[tuple[int, int]]) -> None:
    cache = bound(tmp_path_factory.mktemp("pages"))
    expected: dict[int, bytes] = {}
    for seed, (first, count) in enumerate(puts):
        data = pages(count, seed)
        cache.put(first, data)
        expected |= {first + number: data[number * PAGE : (number + 1) * PAGE] for number in range(count)}
    assert {number: page for number in range(40) if (page := cache.get(number)) is not None} == expected


@pytest.mark.parametrize("place", [("name", "other"), ("other", "version"), ("nam", "e\0version")])
def test_another_version_has_pages_of_its_own(folder: Path, place: tuple[str, str]) -> None:
    bound(folder).put(0, pages(1))
    assert bound(folder, *place).get(0) is None


def test_nothing_is_kept_before_it_is_said_of_what(folder: Path) -> None:
    cache = PageCache(folder, BUDGET, PAGE)
    cache.put(0, pages(1))
    assert cache.get(0) is None


def test_folder_and_files_are_private(folder: Path) -> None:
    before = os.umask(0)
    try:
        bound(folder).put(0, pages(1))
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_names_of_files_tell_nothing(folder: Path) -> None:
    bound(folder, "s3://secret-bucket/secret-key", '"secret"').put(0, pages(1))
    assert all("secret" not in file.name for file in folder.iterdir())


def test_files_are_not_written_through_links(folder: Path, tmp_path: Path) -> None:
    bound(folder).put(0, pages(1))
    precious = tmp_path / "precious"
    precious.write_text("precious")
    for file in list(folder.iterdir()):
        file.unlink()
        file.symlink_to(precious)
    cache = bound(folder)
    cache.put(0, pages(1))
    assert precious.read_text() == "precious"
    assert cache.get(0) is None


def test_the_budget_is_kept_by_one_version(folder: Path) -> None:
    budget_bytes = 2**20
    cache = bound(folder, budget_bytes=budget_bytes)
    for first in range(0, 3_000, 16):
        cache.put(first, pages(16, first))
        assert taken_bytes(folder) <= 1.3 * budget_bytes
    assert cache.get(2_991) == pages(16, 2_976)[15 * PAGE :]


def test_the_budget_is_kept_by_many_versions_and_the_oldest_go(folder: Path) -> None:
    budget_bytes = 2**20
    for version in range(20):
        cache = bound(folder, version=str(version), budget_bytes=budget_bytes)
        cache.put(0, pages(32, version))
        for suffix in (".sums", ".pages"):
            for file in files(folder, suffix):
                with suppress(OSError):
                    # So that the order does not hang on the clock's resolution.
                    status = file.stat()
                    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns - 10**9))
    bound(folder, version="last", budget_bytes=budget_bytes)
    assert taken_bytes(folder) <= 1.3 * budget_bytes
    assert bound(folder, version="19", budget_bytes=budget_bytes).get(0) == pages(32, 19)[:PAGE]
    assert bound(folder, version="0", budget_bytes=budget_bytes).get(0) is None


def test_what_is_left_of_a_version_is_removed_too(folder: Path) -> None:
    bound(folder, version="old").put(0, pages(200))
    for file in files(folder, ".sums"):
        file.unlink()  # as a process does that ends in the middle of its removal
    bound(folder, version="new", budget_bytes=2**18).put(0, pages(20))
    bound(folder, version="newer", budget_bytes=2**18).put(0, pages(20))
    assert taken_bytes(folder) <= 1.3 * 2**18


def test_a_budget_smaller_than_a_page_does_no_harm(folder: Path) -> None:
    cache = bound(folder, budget_bytes=1)
    for first in range(0, 100, 10):
        cache.put(first, pages(10, first))
        assert cache.get(first) in {None, pages(10, first)[:PAGE]}
    assert taken_bytes(folder) <= 20 * PAGE


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def replace_by_device(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "nothing left": lambda file: file.write_bytes(b""),
    "cut short": lambda file: os.truncate(file, file.stat().st_size // 2),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "noise": lambda file: file.write_bytes(pages(file.stat().st_size // PAGE + 1, 9)[: file.stat().st_size]),
    "a bit in each page": lambda file: file.write_bytes(
        bytes(byte ^ (not at % 101) for at, byte in enumerate(file.read_bytes()))
    ),
    "moved by a page": lambda file: file.write_bytes(file.read_bytes()[8 if file.suffix == ".sums" else PAGE :]),
    "a folder": replace_by_folder,
    "gone": Path.unlink,
    "a device": replace_by_device,
}


@pytest.mark.parametrize("suffix", [".pages", ".sums"])
@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_files_are_no_pages(folder: Path, suffix: str, name: str) -> None:
    data = pages(40)
    bound(folder).put(3, data)
    for file in files(folder, suffix):
        DAMAGES[name](file)
    cache = bound(folder)
    for number in range(50):
        right = data[(number - 3) * PAGE : (number - 2) * PAGE] if 3 <= number < 43 else None
        assert cache.get(number) in {None, right}
    cache.put(3, data)
    assert cache.get(5) in {None, data[2 * PAGE : 3 * PAGE]}


@pytest.mark.parametrize("suffix", [".pages", ".sums"])
@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_files_are_fetched_again(
    server: WebServer, sample: Sample, folder: Path, suffix: str, name: str
) -> None:
    first = read(opened(server, folder), sample)
    assert read(opened(server, folder), sample) == 2 < first
    for file in files(folder, suffix):
        DAMAGES[name](file)
    read(opened(server, folder), sample)
    if name not in {"a folder", "a device"}:
        assert read(opened(server, folder), sample) == 2


def test_files_that_are_damaged_under_a_reader_do_no_harm(server: WebServer, sample: Sample, folder: Path) -> None:
    read(opened(server, folder), sample)
    with opened(server, folder) as prompt:
        for number, at in enumerate(PLACES):
            for file in files(folder, ".sums" if number % 2 else ".pages"):
                os.truncate(file, 100_000)
            assert prompt[at : at + 50] == sample.text[at : at + 50]


def test_a_second_process_asks_for_beginning_and_end_alone(server: WebServer, sample: Sample, folder: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", READ, f"{server.url}/corpus.dprompt", str(folder)]
    expected = "".join(sample.text[at : at + 50] for at in PLACES).replace("\n", "|")
    counts = []
    for _ in range(2):
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        requests, found = ran.stdout.splitlines()
        assert (found, ran.stderr) == (expected, "")
        counts.append(int(requests))
    assert counts[0] > counts[1] == 2


def test_two_processes_share_the_folder_at_once(server: WebServer, sample: Sample, folder: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", READ, f"{server.url}/corpus.dprompt", str(folder)]
    expected = "".join(sample.text[at : at + 50] for at in PLACES).replace("\n", "|")
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for child in children:
        out, errors = child.communicate(timeout=60)
        assert (out.splitlines()[1:], errors) == ([expected], "")
    assert read(opened(server, folder), sample) == 2


def test_threads_that_share_a_small_folder_read_right(
    server: WebServer, sample: Sample, other: Sample, folder: Path
) -> None:
    both = {"/a": (sample, ranged(sample.data)), "/b": (other, ranged(other.data))}
    server.answer = lambda handler: both[handler.path][1](handler)
    errors: list[BaseException] = []

    def work(path: str) -> None:
        try:
            for _ in range(3):
                backend = HttpBackend(f"{server.url}{path}", cache_dir=folder, cache_dir_bytes=2**17, cache_bytes=2**16)
                read(DistributedPrompt(backend), both[path][0])
        except BaseException as error:  # noqa: BLE001  # told below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(path,)) for path in ("/a", "/b", "/a")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []


def test_another_version_of_the_object_gets_no_old_pages(
    server: WebServer, sample: Sample, other: Sample, folder: Path
) -> None:
    read(opened(server, folder), sample)
    server.answer = ranged(other.data, etag='"version 2"')
    assert read(opened(server, folder), other) > 2
    assert read(opened(server, folder), other) == 2
    server.answer = ranged(sample.data)
    assert read(opened(server, folder), sample) == 2


def test_a_change_under_a_reader_is_seen_in_spite_of_the_cache(
    server: WebServer, sample: Sample, other: Sample, folder: Path
) -> None:
    with opened(server, folder) as prompt:
        server.answer = ranged(other.data, etag='"version 2"')
        with pytest.raises(PackChangedError):
            prompt[700_000:700_050]
        server.answer = ranged(sample.data)
        assert prompt[700_000:700_050] == sample.text[700_000:700_050]
    read(opened(server, folder), sample)


def test_urls_that_differ_in_their_query_share_nothing(
    server: WebServer, sample: Sample, other: Sample, folder: Path
) -> None:
    modified = ("Last-Modified", MODIFIED)
    both = {
        "/get?file=a": (sample, ranged(sample.data, modified, etag=None)),
        "/get?file=b": (other, ranged(other.data, modified, etag=None)),
    }
    server.answer = lambda handler: both[handler.path][1](handler)
    for path, (found, _) in both.items():
        assert read(opened(server, folder, path), found) > 2
    for path, (found, _) in both.items():
        assert read(opened(server, folder, path), found) == 2


def spoiling(sample: Sample, first: int) -> Answer:
    """One bit of each answer after the first ones is another."""
    good = ranged(sample.data)
    damaged = bytes(byte ^ (not at % 3_001) for at, byte in enumerate(sample.data))
    bad = ranged(damaged)
    asked: list[bool] = []

    def answer(handler: Handler) -> None:
        asked.append(True)
        (good if len(asked) <= first else bad)(handler)

    return answer


def test_what_the_network_spoiled_does_not_stay(server: WebServer, sample: Sample, folder: Path) -> None:
    server.answer = spoiling(sample, 2)
    with opened(server, folder) as prompt:
        for at in PLACES:
            with pytest.raises(CorruptPackError):
                prompt[at : at + 50]
        server.answer = ranged(sample.data)
        for at in PLACES:
            assert prompt[at : at + 50] == sample.text[at : at + 50]
    read(opened(server, folder), sample)


def test_what_the_network_spoiled_does_not_stay_for_the_next_process(
    server: WebServer, sample: Sample, folder: Path
) -> None:
    server.answer = spoiling(sample, 2)
    with opened(server, folder) as prompt, pytest.raises(CorruptPackError):
        prompt[700_000:700_050]
    server.answer = ranged(sample.data)
    read(opened(server, folder), sample)


@pytest.mark.parametrize("kind", ["a file", "below a file", "below a link that leads nowhere"])
def test_a_folder_that_cannot_be_made_is_an_error(server: WebServer, tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "at all")
    places = {"a file": "file", "below a file": "file/pages", "below a link that leads nowhere": "link"}
    place = tmp_path / places[kind]
    with pytest.raises(OutputError, match="pages cannot be kept here") as caught:
        opened(server, place)
    assert str(caught.value).startswith(f"{place}: ")
    assert not server.asked


@pytest.mark.skipif(AS_ROOT, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_keeps_nothing(server: WebServer, sample: Sample, folder: Path) -> None:
    folder.mkdir(mode=0o500)
    read(opened(server, folder), sample)
    assert list(folder.iterdir()) == []


FULL = """
import resource, signal, sys
from distributed_prompt.backends.http_backend import HttpBackend
from distributed_prompt.prompt import DistributedPrompt
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
with DistributedPrompt(HttpBackend(sys.argv[1], cache_dir=sys.argv[2])) as prompt:
    found = [prompt[at : at + 50] for at in range(500_000, 2_500_000, 150_000)]
sys.stdout.write("".join(found))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="files cannot be limited")
def test_a_full_disk_does_not_break_reading(server: WebServer, sample: Sample, folder: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", FULL, f"{server.url}/corpus.dprompt", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (ran.stdout, ran.stderr) == ("".join(sample.text[at : at + 50] for at in PLACES), "")
    read(opened(server, folder), sample)


def test_errors_of_the_disk_do_not_break_reading(
    server: WebServer, sample: Sample, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pwrite", fail)
    read(opened(server, folder), sample)
    monkeypatch.undo()
    read(opened(server, folder), sample)
    monkeypatch.setattr(os, "pread", fail)
    read(opened(server, folder), sample)


def test_a_folder_that_is_removed_under_a_reader_does_not_break_it(
    server: WebServer, sample: Sample, folder: Path
) -> None:
    with opened(server, folder) as prompt:
        for number, at in enumerate(PLACES):
            if number == 3:
                for file in folder.iterdir():
                    file.unlink()
                folder.rmdir()
            assert prompt[at : at + 50] == sample.text[at : at + 50]


def test_closed_prompts_hold_no_files(server: WebServer, sample: Sample, folder: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to see its own files")
    for _ in range(5):
        read(opened(server, folder), sample)

    def held() -> list[Path]:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return [target for target in (link.readlink() for link in links) if target.is_relative_to(folder)]

    gc.collect()
    assert held() == []


def test_a_home_in_the_folder_s_name_is_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    PageCache("~/pages", BUDGET, PAGE)
    assert (tmp_path / "pages").is_dir()


def test_a_pickled_prompt_uses_the_same_folder(server: WebServer, sample: Sample, folder: Path) -> None:
    with opened(server, folder) as prompt:
        data = pickle.dumps(prompt)
        for at in PLACES:
            assert prompt[at : at + 50] == sample.text[at : at + 50]
    assert read(pickle.loads(data), sample) == 2  # noqa: S301  # ours


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "_PATIENCE_SECONDS", 5)
