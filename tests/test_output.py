import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import distributed_prompt as dp
from distributed_prompt.backends.output import OutputFile
from distributed_prompt.backends.output_folder import OutputFolder
from distributed_prompt.backends.output_lock import OutputLock
from distributed_prompt.errors import AddressError, ArgumentError, OutputError, OutputExistsError

COMMAND = [sys.executable, "-m", "distributed_prompt"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, data: bytes, *, overwrite: bool, meanwhile: Callable[[], object] = bool) -> None:
    with OutputFile(path, overwrite=overwrite) as file:
        file.partial.write_bytes(data)
        meanwhile()
        file.publish()


def is_sound(pack: Path) -> bool:
    with dp.FileBackend(pack) as backend:
        return not list(dp.verify(backend))


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def run_script(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 MB that do not compress well."""
    path = tmp_path_factory.mktemp("big") / "big.txt"
    generator = random.Random(7)  # noqa: S311  # any bytes do
    with path.open("wb") as file:
        for _ in range(30):
            file.write(generator.randbytes(500_000).hex().encode())
    return path


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that any user can reach, unlike those of tmp_path."""
    folder = Path(tempfile.mkdtemp(prefix="dprompt-test-"))
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("overwrite", [True, False])
def test_the_output_appears_when_it_is_published(tmp_path: Path, *, overwrite: bool) -> None:
    with OutputFile(tmp_path / "out", overwrite=overwrite) as file:
        file.partial.write_bytes(b"new")
        assert names(tmp_path) == [".out.partial"]
        file.publish()
        assert (tmp_path / "out").read_bytes() == b"new"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_nothing_remains_without_publishing(tmp_path: Path, *, overwrite: bool) -> None:
    with OutputFile(tmp_path / "out", overwrite=overwrite) as file:
        file.partial.write_bytes(b"new")
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_remains_after_an_error(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(error):
        write(tmp_path / "out", b"new", overwrite=False, meanwhile=fail)
    assert names(tmp_path) == []


def test_what_is_replaced_stays_until_then(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    with OutputFile(tmp_path / "out", overwrite=True) as file:
        file.partial.write_bytes(b"new")
        assert (tmp_path / "out").read_bytes() == b"old"
    assert (tmp_path / "out").read_bytes() == b"old"
    write(tmp_path / "out", b"new", overwrite=True)
    assert (tmp_path / "out").read_bytes() == b"new"
    assert names(tmp_path) == ["out"]


def test_an_existing_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(OutputExistsError, match="exists"), OutputFile(tmp_path / "out", overwrite=False):
        pytest.fail("entered")
    assert names(tmp_path) == ["out"]
    assert isinstance(OutputExistsError(), FileExistsError)


def appear(path: Path) -> None:
    path.write_bytes(b"appeared")


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError):
        write(tmp_path / "out", b"new", overwrite=False, meanwhile=partial(appear, tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == b"appeared"
    assert names(tmp_path) == ["out"]


def test_a_file_that_appears_meanwhile_is_kept_where_links_are_not_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write(tmp_path / "other", b"new", overwrite=False)
    assert (tmp_path / "other").read_bytes() == b"new"
    with pytest.raises(OutputExistsError):
        write(tmp_path / "out", b"new", overwrite=False, meanwhile=partial(appear, tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == b"appeared"
    assert names(tmp_path) == ["other", "out"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_link_stays_and_its_file_is_written(tmp_path: Path, *, overwrite: bool) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    if overwrite:
        (tmp_path / "elsewhere").write_bytes(b"old")
    write(tmp_path / "out", b"new", overwrite=overwrite)
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "elsewhere").read_bytes() == b"new"
    assert names(tmp_path) == ["elsewhere", "out"]


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_what_a_killed_writer_left_is_cleared(tmp_path: Path, size: int, *, overwrite: bool) -> None:
    (tmp_path / ".out.partial").write_bytes(b"x" * size)
    write(tmp_path / "out", b"new", overwrite=overwrite)
    assert (tmp_path / "out").read_bytes() == b"new"
    assert names(tmp_path) == ["out"]


def test_a_second_name_of_the_final_file_is_cleared_without_damage(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"published")
    (tmp_path / ".out.partial").hardlink_to(tmp_path / "out")
    with OutputFile(tmp_path / "out", overwrite=True) as file:
        file.partial.write_bytes(b"new and longer")
        assert (tmp_path / "out").read_bytes() == b"published"
    assert (tmp_path / "out").read_bytes() == b"published"
    assert names(tmp_path) == ["out"]


def test_an_empty_second_name_of_the_final_file_is_cleared_without_damage(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    (tmp_path / ".out.partial").hardlink_to(tmp_path / "out")
    with OutputFile(tmp_path / "out", overwrite=True) as file:
        file.partial.write_bytes(b"new")
        assert (tmp_path / "out").read_bytes() == b""
    assert names(tmp_path) == ["out"]


def test_a_partial_name_that_is_a_link_to_a_file_does_no_harm_to_it(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / ".out.partial").symlink_to(tmp_path / "precious")
    write(tmp_path / "out", b"new", overwrite=False)
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert (tmp_path / "out").read_bytes() == b"new"
    assert not (tmp_path / "out").is_symlink()
    assert names(tmp_path) == ["out", "precious"]


def test_a_partial_name_that_is_a_link_to_nothing_is_no_output(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "out", b"new", overwrite=False)
    assert (tmp_path / "out").read_bytes() == b"new"
    assert not (tmp_path / "out").is_symlink()
    assert names(tmp_path) == ["out"]


def test_a_second_writer_is_turned_away(tmp_path: Path) -> None:
    with OutputFile(tmp_path / "out", overwrite=True) as first:
        first.partial.write_bytes(b"first")
        with pytest.raises(OutputError, match="another process is writing it"):
            write(tmp_path / "out", b"second", overwrite=True)
        assert first.partial.read_bytes() == b"first"
        first.publish()
    assert (tmp_path / "out").read_bytes() == b"first"
    write(tmp_path / "out", b"second", overwrite=True)
    assert (tmp_path / "out").read_bytes() == b"second"


def test_a_second_process_is_turned_away(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"text")
    with OutputFile(tmp_path / "out", overwrite=True) as first:
        first.partial.write_bytes(b"first")
        done = run("pack", "in", "-o", "out", "--force", cwd=tmp_path)
        first.publish()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "dprompt: out: another process is writing it now\n"
    assert (tmp_path / "out").read_bytes() == b"first"


def test_of_many_writers_each_publishes_whole_or_is_turned_away(tmp_path: Path) -> None:
    outcomes: list[str] = []

    def work(number: int) -> None:
        for _ in range(50):
            try:
                write(tmp_path / "out", bytes([number]) * 50_000, overwrite=True)
                outcomes.append("published")
            except OutputError:
                outcomes.append("turned away")
            seen = (tmp_path / "out").read_bytes() if (tmp_path / "out").exists() else b"x" * 50_000
            if len(seen) != 50_000 or len(set(seen)) != 1:
                outcomes.append("torn")

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 200
    assert set(outcomes) <= {"published", "turned away"}
    assert names(tmp_path) == ["out"]


def test_of_many_writers_that_do_not_overwrite_one_wins(tmp_path: Path) -> None:
    for turn in range(20):
        path, won = tmp_path / f"out{turn}", list[int]()
        barrier = threading.Barrier(4)

        def work(number: int, path: Path = path, won: list[int] = won, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            try:
                write(path, bytes([number]) * 1000, overwrite=False)
                won.append(number)
            except (OutputError, OutputExistsError):
                pass

        threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (winner,) = won
        assert path.read_bytes() == bytes([winner]) * 1000
    assert len(names(tmp_path)) == 20


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="is a folder"):
        write(tmp_path, b"", overwrite=True)


def test_the_folder_of_the_output_must_exist(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="missing/out: its folder does not exist"):
        write(tmp_path / "missing" / "out", b"", overwrite=True)


def test_a_long_name_is_allowed(tmp_path: Path) -> None:
    write(tmp_path / ("x" * 240), b"new", overwrite=False)
    assert names(tmp_path) == ["x" * 240]


def test_the_longest_name_that_the_system_allows_is_allowed(tmp_path: Path) -> None:
    write(tmp_path / ("x" * 255), b"new", overwrite=False)
    assert names(tmp_path) == ["x" * 255]


def test_a_name_too_long_for_the_system_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="File name too long"):
        write(tmp_path / ("x" * 256), b"new", overwrite=False)
    assert names(tmp_path) == []


def test_the_working_folder_may_change_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with OutputFile("out", overwrite=False) as file:
        file.partial.write_bytes(b"new")
        monkeypatch.chdir("/")
        file.publish()
    assert names(tmp_path) == ["out"]


def test_the_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        write(tmp_path / "out", b"new", overwrite=False)
    finally:
        os.umask(previous)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_goes_away_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError):
        write(
            tmp_path / "folder" / "out", b"new", overwrite=False, meanwhile=partial(shutil.rmtree, tmp_path / "folder")
        )
    assert names(tmp_path) == []


def test_no_descriptors_are_lost(tmp_path: Path) -> None:
    def count() -> int:
        return len(names(Path("/proc/self/fd")))

    before = count()
    for _ in range(5):
        write(tmp_path / "out", b"new", overwrite=True)
        with pytest.raises(OutputExistsError):
            write(tmp_path / "out", b"new", overwrite=False)
        with OutputFile(tmp_path / "out", overwrite=True), pytest.raises(OutputError):
            write(tmp_path / "out", b"new", overwrite=True)
    assert count() == before


KILLED = """
import os, signal, sys
import distributed_prompt as dp

def die(*arguments, **options):
    if sys.argv[2] == "after":
        real(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)

real = getattr(os, sys.argv[1])
setattr(os, sys.argv[1], die)
dp.pack("in", "out", overwrite=sys.argv[3] == "overwrite")
"""


@pytest.mark.thorough
@pytest.mark.parametrize("mode", ["overwrite", "keep"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", ["fsync", "link", "rename", "replace", "unlink"])
def test_a_writer_killed_while_publishing_leaves_the_old_or_the_new(
    tmp_path: Path, call: str, moment: str, mode: str
) -> None:
    (tmp_path / "in").write_bytes(b"new text")
    if mode == "overwrite":
        dp.ingest_string("old text", tmp_path / "old.dprompt")
        (tmp_path / "old.dprompt").rename(tmp_path / "out")
    done = run_script(KILLED, call, moment, mode, cwd=tmp_path)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    if (tmp_path / "out").exists():
        assert is_sound(tmp_path / "out")
        with dp.open(tmp_path / "out") as prompt:
            assert str(prompt) in ({"old text", "new text"} if mode == "overwrite" else {"new text"})
        published = (tmp_path / "out").read_bytes()
        with OutputFile(tmp_path / "out", overwrite=True) as file:
            file.partial.write_bytes(b"something else")
        assert (tmp_path / "out").read_bytes() == published
    else:
        assert mode == "keep"
    dp.pack(tmp_path / "in", tmp_path / "out", overwrite=True)
    assert names(tmp_path) == ["in", "out"]
    assert is_sound(tmp_path / "out")


# Its child ends with its input.
SURVIVED = """
import os, sys
from distributed_prompt.backends.output import OutputFile
from distributed_prompt.backends.output_folder import OutputFolder

with {output} as file:
    if os.fork() == 0:
        {child}
        print("lives", flush=True)
        sys.stdin.read()
        os._exit(0)
    sys.stdin.read()
"""
CHILDS_DEEDS = ("pass", "file.__exit__(None, None, None)", "file.__exit__(OSError, OSError(), None)")


@pytest.mark.parametrize("deed", CHILDS_DEEDS)
@pytest.mark.parametrize("output", ["OutputFile('out', overwrite=False)", "OutputFolder('out')"])
def test_the_child_of_a_killed_writer_does_not_hold_its_lock(tmp_path: Path, output: str, deed: str) -> None:
    kind = partial(OutputFile, overwrite=False) if "File" in output else OutputFolder
    script = SURVIVED.format(output=output, child=deed)
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"lives\n"
        with pytest.raises(OutputError, match="another process is writing it now"), kind(tmp_path / "out"):
            pass
        assert names(tmp_path) == [kind(tmp_path / "out").partial.name]
        process.kill()
        process.wait()
        with kind(tmp_path / "out") as file:
            if file.partial.is_file():
                file.partial.write_bytes(b"new")
            file.publish()
    assert names(tmp_path) == ["out"]


@pytest.mark.forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("kind", [partial(OutputFile, overwrite=False), OutputFolder], ids=["file", "folder"])
def test_a_child_forked_while_the_file_is_being_opened_does_not_hold_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Callable[[Path], OutputFile | OutputFolder]
) -> None:
    output, children, real = kind(tmp_path / "out"), list[int](), os.open
    reading, writing = os.pipe()

    def fork() -> None:
        child = os.fork()
        if child == 0:
            os.write(writing, b"x")
            time.sleep(60)
            os._exit(0)
        children.append(child)
        os.read(reading, 1)

    def opened(path: os.PathLike[str], *arguments: int) -> int:
        number = real(path, *arguments)
        if path == output.partial and not thread.ident:
            thread.start()
            thread.join(0.1)
        return number

    thread, other = threading.Thread(target=fork), OutputLock()
    monkeypatch.setattr(os, "open", opened)
    with output:
        thread.join()
        # As if this process were killed now.
        output._lock.leave()
        other.open(output.partial, os.O_RDONLY)
        try:
            other.take()
        finally:
            other.close()
            os.kill(children[0], signal.SIGKILL)
            os.waitpid(children[0], 0)
            os.close(reading)
            os.close(writing)


@pytest.mark.forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_no_child_has_a_lock_at_whatever_moment_it_is_forked(tmp_path: Path) -> None:
    """Nor does one that has not closed it yet turn its parent away."""
    ends, failures = threading.Event(), list[OutputError]()

    def work() -> None:
        while not ends.is_set():
            try:
                with OutputFile(tmp_path / "out", overwrite=True), OutputFolder(tmp_path / "tree"):
                    pass
            except OutputError as error:
                failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    children = []
    for _ in range(30):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        children.append(child)
    ends.set()
    thread.join()
    try:
        for output in (OutputFile(tmp_path / "out", overwrite=True), OutputFolder(tmp_path / "tree")):
            with output:
                pass
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    assert failures == []


@pytest.mark.thorough
@pytest.mark.parametrize("existing", [True, False])
def test_a_writer_killed_at_any_moment_leaves_the_old_or_the_new(
    big_file: Path, tmp_path: Path, *, existing: bool
) -> None:
    generator = random.Random(existing)  # noqa: S311  # any moments do
    (tmp_path / "small").write_bytes(b"old text")
    output, unfinished = tmp_path / "out.dprompt", tmp_path / ".out.dprompt.partial"
    sizes, began = {len("old text"), big_file.stat().st_size}, 0
    for turn in range(10):
        output.unlink(missing_ok=True)
        if existing:
            dp.pack(tmp_path / "small", output)
        options = ["--force"] if existing else []
        command = [*COMMAND, "pack", str(big_file), "-o", str(output), *options]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            if turn % 5:
                while not unfinished.exists() and process.poll() is None:
                    time.sleep(0.002)
                time.sleep(generator.uniform(0, 0.5))
            else:
                time.sleep(generator.uniform(0, 0.4))
            process.kill()
        began += unfinished.exists()
        if output.exists():
            with dp.open(output) as prompt:
                assert len(prompt) in (sizes if existing else sizes - {len("old text")})
            assert is_sound(output)
        else:
            assert not existing
        dp.pack(tmp_path / "small", output, overwrite=True)
        assert names(tmp_path) == ["out.dprompt", "small"]
        assert is_sound(output)
    assert began, "no moment was in the middle of writing"


def limited(*arguments: str, limit: int, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run dprompt where files can grow to ``limit`` bytes only."""

    def limit_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=limit_files,  # the child only makes two calls
    )


@pytest.mark.parametrize("limit", [0, 4096, 10_000, 1_000_000, 9_000_000])
def test_a_pack_that_finds_no_room_leaves_nothing_behind(big_file: Path, tmp_path: Path, limit: int) -> None:
    done = limited("pack", str(big_file), "-o", "out.dprompt", limit=limit, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("dprompt: ")
    assert "out.dprompt: " in done.stderr
    assert done.stderr.count("\n") == 1
    assert names(tmp_path) == []


def test_a_pack_that_finds_no_room_keeps_the_old_one(big_file: Path, tmp_path: Path) -> None:
    dp.ingest_string("old", tmp_path / "out.dprompt")
    before = (tmp_path / "out.dprompt").read_bytes()
    done = limited("pack", str(big_file), "-o", "out.dprompt", "--force", limit=500_000, cwd=tmp_path)
    assert done.returncode == 1
    assert names(tmp_path) == ["out.dprompt"]
    assert (tmp_path / "out.dprompt").read_bytes() == before


@pytest.mark.parametrize("limit", [0, 100, 1_000_000, 2_999_999])
def test_an_unpack_that_finds_no_room_leaves_nothing_behind(tmp_path: Path, limit: int) -> None:
    dp.ingest_string("a" * 3_000_000, tmp_path / "in.dprompt")
    done = limited("unpack", "in.dprompt", "-o", "copy.txt", limit=limit, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "dprompt: copy.txt: File too large\n"
    assert names(tmp_path) == ["in.dprompt"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or umount is None:
        pytest.skip("only root can mount a small disk")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mount: {done.stderr.strip()}")
    yield folder
    subprocess.run([umount, str(folder)], check=True)


def test_a_full_disk_is_a_clear_error_of_packing(big_file: Path, small_disk: Path) -> None:
    with pytest.raises(OutputError, match=r"out\.dprompt: .*(full|space)"):
        dp.pack(big_file, small_disk / "out.dprompt")
    assert names(small_disk) == []
    done = run("pack", str(big_file), "-o", "out.dprompt", cwd=small_disk)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert names(small_disk) == []


def test_a_full_disk_keeps_the_old_pack(big_file: Path, small_disk: Path) -> None:
    dp.ingest_string("old", small_disk / "out.dprompt")
    with pytest.raises(OutputError):
        dp.pack(big_file, small_disk / "out.dprompt", overwrite=True)
    assert names(small_disk) == ["out.dprompt"]
    with dp.open(small_disk / "out.dprompt") as prompt:
        assert str(prompt) == "old"


def test_a_full_disk_is_a_clear_error_of_unpacking(small_disk: Path) -> None:
    dp.ingest_string("a" * 5_000_000, small_disk / "in.dprompt")
    with dp.FileBackend(small_disk / "in.dprompt") as backend, pytest.raises(OutputError, match="No space left"):
        dp.unpack(backend, small_disk / "copy.txt")
    assert names(small_disk) == ["in.dprompt"]
    done = run("unpack", "in.dprompt", "-o", "copy.txt", cwd=small_disk)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "dprompt: copy.txt: No space left on device\n"
    assert names(small_disk) == ["in.dprompt"]


REFUSED = """
import os
import sys
import distributed_prompt as dp
import distributed_prompt.packing
if os.geteuid() == 0:  # permissions do not bind root
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
from distributed_prompt.errors import DPromptError
try:
    {action}
except DPromptError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(("name", "pack"), [("out.dprompt", "out.dprompt"), ("sub/", "sub/prompt.dprompt")])
def test_a_read_only_folder_is_a_clear_error(shared_folder: Path, name: str, pack: str) -> None:
    (shared_folder / "in").write_bytes(b"text")
    (shared_folder / "in").chmod(0o644)
    shared_folder.chmod(0o555)
    action = "dp.ingest_file('in', sys.argv[1])"
    done = run_script(REFUSED.format(action=action), name, cwd=shared_folder)
    assert done.stderr == ""
    assert done.stdout == f"OutputError {pack}: Permission denied\n"
    assert names(shared_folder) == ["in"]


@pytest.mark.parametrize("action", ["dp.pack('in', 'closed/out')", "dp.ingest_file('in', 'closed/out.dprompt')"])
def test_a_closed_folder_is_a_clear_error_of_writing(shared_folder: Path, action: str) -> None:
    (shared_folder / "in").write_bytes(b"text")
    (shared_folder / "in").chmod(0o644)
    (shared_folder / "closed").mkdir(mode=0o000)
    done = run_script(REFUSED.format(action=action), cwd=shared_folder)
    assert done.stderr == ""
    assert done.stdout.startswith("OutputError closed/out")


@pytest.mark.parametrize("action", ["dp.pack('closed/in', 'out')", "dp.FileBackend('closed/in')"])
def test_a_closed_folder_is_a_clear_error_of_reading(shared_folder: Path, action: str) -> None:
    (shared_folder / "closed").mkdir(mode=0o000)
    shared_folder.chmod(0o777)
    done = run_script(REFUSED.format(action=action), cwd=shared_folder)
    assert done.stderr == ""
    assert done.stdout.startswith("PackReadError ")
    assert "Permission denied" in done.stdout
    assert names(shared_folder) == ["closed"]


@pytest.mark.parametrize("action", ["dp.pack('in', 'out')", "dp.FileBackend('in')"])
def test_a_file_that_may_not_be_read_is_a_clear_error(shared_folder: Path, action: str) -> None:
    (shared_folder / "in").write_bytes(b"text")
    (shared_folder / "in").chmod(0o000)
    shared_folder.chmod(0o777)
    done = run_script(REFUSED.format(action=action), cwd=shared_folder)
    assert done.stderr == ""
    assert done.stdout.startswith("PackReadError ")
    assert done.stdout.endswith("in: Permission denied\n")
    assert names(shared_folder) == ["in"]


def test_a_write_that_failed_in_the_background_fails_the_publication(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("distributed_prompt.backends.output._sync", refuse)
    monkeypatch.setattr("distributed_prompt.backends.output.FLUSH_BYTES", 1)
    with OutputFile(tmp_path / "out", overwrite=False) as file:
        file.partial.write_bytes(b"new")
        file.wrote(3)
        with pytest.raises(OutputError, match="out: Input/output error"):
            file.publish()
    assert names(tmp_path) == []


def test_a_large_output_is_flushed_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr("distributed_prompt.backends.output._sync", flushed.append)
    monkeypatch.setattr("distributed_prompt.backends.output.FLUSH_BYTES", 10)
    with OutputFile(tmp_path / "out", overwrite=False) as file:
        file.partial.write_bytes(b"new")
        for _ in range(5):
            file.wrote(3)
        file.publish()
    assert len(flushed) == 1
    assert (tmp_path / "out").read_bytes() == b"new"


def test_what_replaces_a_private_file_is_as_private(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    (tmp_path / "out").chmod(0o600)
    write(tmp_path / "out", b"new", overwrite=True)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600


def test_a_name_with_a_nul_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no file can have this name"):
        OutputFile(f"{tmp_path}/a\0b", overwrite=False)


def test_a_file_system_without_locks_is_an_error_that_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OutputError, match="No locks available"):
        OutputFile(tmp_path / "new" / "out", overwrite=False, make_folder=True).__enter__()
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_read_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").write_bytes(b"old")
    real = os.open

    def refuse(path: object, *arguments: int) -> int:
        if path == tmp_path:
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        write(tmp_path / "out", b"new", overwrite=True)
    assert (tmp_path / "out").read_bytes() == b"old"


def test_left_overs_of_another_user_are_refused_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, folder = OutputFile(tmp_path / "out", overwrite=False), OutputFolder(tmp_path / "tree")
    file.partial.touch()
    folder.partial.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: file.partial.stat().st_uid + 1)
    for output in (file, folder):
        with pytest.raises(OutputError, match="is in the way, another user's; remove it"), output:
            pass
    assert names(tmp_path) == sorted([file.partial.name, folder.partial.name])


def test_whose_a_new_file_is_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    write(tmp_path / "out", b"data", overwrite=False)
    with OutputFolder(tmp_path / "tree") as folder:
        folder.publish()
    assert names(tmp_path) == ["out", "tree"]


@pytest.mark.parametrize(
    "write",
    [
        lambda text, _, there: dp.pack(text, there),
        lambda text, _, there: dp.ingest_file(text, there),
        lambda _, pack, there: dp.convert(pack, there, store="lmdb"),
        lambda _, pack, there: dp.unpack(pack, there),
    ],
)
def test_an_address_elsewhere_is_no_name_of_a_file_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, Path, str], object]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("text")
    dp.pack("a.txt", "a.dprompt")
    with pytest.raises(AddressError, match=r"s3://bucket/key: is not on this disk"):
        write(tmp_path / "a.txt", tmp_path / "a.dprompt", "s3://bucket/key")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dprompt", "a.txt"]
