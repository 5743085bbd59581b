"""Crash every command that writes, in every way that a machine can, and look at what is left.

python -m tools.crash_campaign --rounds 200 --only append

After each crash the target is the old or the new one, byte for byte; the next run of the command succeeds and leaves
nothing else. The ways are: SIGKILL at any moment; power that goes away, with writes that were not synced lost in any
combination; calls that fail with EIO, ENOSPC or EDQUOT, the first, the second, and so on until the command succeeds;
limits of file size, a full disk, and folders and disks that are read-only.

What the system is asked for is seen and refused by a small library that is loaded before libc, so that the calls of
C code are among it; it takes a C compiler. A disk that is full or read-only takes root. What is not to be had is said.
Each round's moment depends on the seed, the case and the round's number alone.
"""

import argparse
import base64
import errno
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import distributed_prompt as dp
from distributed_prompt.backends.sync import push
from tools.s3_server import BUCKET, STARTERS, Server, available

COMMANDS = ("pack", "append", "index", "convert", "unpack", "pull", "push")
ENGINES = ("sqlite", "lmdb")
TEXT_BYTES = 3_000_000
BLOCKS_BYTES = 11_000_000  # a pack that has two blocks of 8 MiB
KEY = "folder/pack.dprompt"
NOBODY = 65534
STATES_A_MOMENT = 6
SHIM = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[4096];
static int diary = -1, fail_with;
static long fail_at, calls;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

void crash_begin(const char *folder, int number, long at, int with)
{
    diary = number, fail_at = at, fail_with = with;
    snprintf(root, sizeof root, "%s/", folder);
}

static int ours(const char *path) { return *root && !strncmp(path, root, strlen(root) - 1); }

static int path_of(int fd, char *path)
{
    char link[64];
    if (!*root) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = syscall(SYS_readlinkat, AT_FDCWD, link, path, 4095);
    path[size > 0 ? size : 0] = 0;
    return ours(path);
}

static long node_of(int fd) { struct stat s; return fstat(fd, &s) ? 0 : (long)s.st_ino; }

static void note(const char *kind, long node, long at, long size, const char *path, const char *other, const void *data)
{
    char line[9000];
    int saved = errno, length;
    if (diary < 0) return;
    length = snprintf(line, sizeof line, "%s\t%ld\t%ld\t%ld\t%s\t%s\n", kind, node, at, data ? size : 0, path, other);
    syscall(SYS_write, diary, line, length);
    for (long done = 0; data && done < size;) {
        long more = syscall(SYS_write, diary, (const char *)data + done, size - done);
        if (more <= 0) _exit(99);
        done += more;
    }
    errno = saved;
}

/* Whether this call is to fail. A full disk stays full, and refuses only what takes room. */
static int refused(const char *kind, const char *path, int takes_room)
{
    if (!fail_at || (fail_with != EIO && !takes_room)) return 0;
    note("called", 0, 0, 0, path, kind, 0);
    if (++calls != fail_at && !(fail_with != EIO && takes_room == 1 && calls > fail_at)) return 0;
    note("failed", 0, 0, 0, path, kind, 0);
    errno = fail_with;
    return 1;
}

#define BEGIN(kind, path, room, fails) \
    pthread_mutex_lock(&guard); \
    if (refused(kind, path, room)) { int e = errno; pthread_mutex_unlock(&guard); errno = e; return fails; }
#define END pthread_mutex_unlock(&guard)

static int opened(int folder, const char *path, int flags, int mode)
{
    struct stat s;
    int writes = flags & (O_CREAT | O_TRUNC) && (flags & O_TMPFILE) != O_TMPFILE;
    if (!writes || !ours(path)) return syscall(SYS_openat, folder, path, flags, mode);
    int missing = fstatat(folder, path, &s, AT_SYMLINK_NOFOLLOW);
    BEGIN("open", path, missing ? 1 : 2, -1)
    int fd = syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0 && missing) note("create", node_of(fd), 0, 0, path, "", 0);
    if (fd >= 0 && !missing && flags & O_TRUNC) note("truncate", node_of(fd), 0, 0, path, "", 0);
    END;
    return fd;
}
#define MODE int mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list l; va_start(l, flags); mode = va_arg(l, int); }
int open(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE return opened(folder, path, flags, mode); }

static ssize_t put(int fd, const struct iovec *parts, int count, off_t at)
{
    char path[4096];
    if (!path_of(fd, path))
        return at < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, at, 0);
    BEGIN("write", path, 1, -1)
    off_t place = at < 0 ? lseek(fd, 0, SEEK_CUR) : at;
    ssize_t done = at < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, at, 0);
    for (ssize_t rest = done; rest > 0; parts++) {
        long size = rest < (ssize_t)parts->iov_len ? rest : (long)parts->iov_len;
        if (size) note("write", node_of(fd), place, size, path, "", parts->iov_base);
        rest -= size, place += size;
    }
    END;
    return done;
}
#define ONE struct iovec part = {(void *)data, size};
ssize_t write(int fd, const void *data, size_t size) { ONE return put(fd, &part, 1, -1); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { ONE return put(fd, &part, 1, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) { ONE return put(fd, &part, 1, at); }
ssize_t writev(int fd, const struct iovec *parts, int count) { return put(fd, parts, count, -1); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return put(fd, parts, count, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) { return put(fd, parts, count, at); }

ssize_t copy_file_range(int from, off_t *at, int to, off_t *place, size_t size, unsigned flags)
{
    char path[4096], data[65536];
    if (!path_of(to, path)) return syscall(SYS_copy_file_range, from, at, to, place, size, flags);
    off_t start = place ? *place : lseek(to, 0, SEEK_CUR);
    BEGIN("copy", path, 1, -1)
    ssize_t done = syscall(SYS_copy_file_range, from, at, to, place, size, flags);
    for (ssize_t seen = 0; seen < done;) {
        ssize_t more = pread(to, data, done - seen < 65536 ? done - seen : 65536, start + seen);
        if (more <= 0) _exit(98);
        note("write", node_of(to), start + seen, more, path, "", data);
        seen += more;
    }
    END;
    return done;
}

static int cut(int fd, off_t size)
{
    char path[4096];
    if (!path_of(fd, path)) return syscall(SYS_ftruncate, fd, size);
    BEGIN("truncate", path, 2, -1)
    int done = syscall(SYS_ftruncate, fd, size);
    if (!done) note("truncate", node_of(fd), size, 0, path, "", 0);
    END;
    return done;
}
int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off_t size) { return cut(fd, size); }
static int cut_path(const char *path, off_t size)
{
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0) return -1;
    int done = cut(fd, size), saved = errno;
    close(fd), errno = saved;
    return done;
}
int truncate(const char *path, off_t size) { return cut_path(path, size); }
int truncate64(const char *path, off_t size) { return cut_path(path, size); }

static int reserve(int fd, off_t at, off_t size)
{
    char path[4096];
    if (!path_of(fd, path)) return syscall(SYS_fallocate, fd, 0, at, size) ? errno : 0;
    BEGIN("reserve", path, 1, errno)
    int done = syscall(SYS_fallocate, fd, 0, at, size) ? errno : 0;
    if (!done) note("extend", node_of(fd), at + size, 0, path, "", 0);
    END;
    return done;
}
int posix_fallocate(int fd, off_t at, off_t size) { return reserve(fd, at, size); }
int posix_fallocate64(int fd, off_t at, off_t size) { return reserve(fd, at, size); }

static int synced(int fd, long number)
{
    char path[4096];
    if (!path_of(fd, path)) return syscall(number, fd);
    BEGIN("sync", path, 2, -1)
    int done = syscall(number, fd);
    if (!done) note("sync", node_of(fd), 0, 0, path, "", 0);
    END;
    return done;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int rename(const char *path, const char *other)
{
    if (!ours(path)) return syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, other, 0);
    BEGIN("rename", path, 2, -1)
    int done = syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, other, 0);
    if (!done) note("rename", 0, 0, 0, path, other, 0);
    END;
    return done;
}
int link(const char *path, const char *other)
{
    if (!ours(path)) return syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, other, 0);
    BEGIN("link", path, 2, -1)
    int done = syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, other, 0);
    if (!done) note("link", 0, 0, 0, path, other, 0);
    END;
    return done;
}
static int removed(const char *path, int flags)
{
    if (!ours(path)) return syscall(SYS_unlinkat, AT_FDCWD, path, flags);
    BEGIN(flags ? "rmdir" : "unlink", path, 0, -1)
    int done = syscall(SYS_unlinkat, AT_FDCWD, path, flags);
    if (!done) note("unlink", 0, 0, 0, path, "", 0);
    END;
    return done;
}
int unlink(const char *path) { return removed(path, 0); }
int rmdir(const char *path) { return removed(path, AT_REMOVEDIR); }
int mkdir(const char *path, mode_t mode)
{
    if (!ours(path)) return syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    BEGIN("mkdir", path, 1, -1)
    int done = syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (!done) note("mkdir", 0, 0, 0, path, "", 0);
    END;
    return done;
}
"""

# Forks a child for each order, so that a round takes what the command takes, without its imports. It has one thread.
NURSERY = r"""
import ctypes, difflib, json, os, resource, signal, sys, time
import boto3, lmdb, numpy, lmdb.verify
import distributed_prompt.packing, distributed_prompt.unpacking, distributed_prompt.appending
from distributed_prompt import cli
from distributed_prompt.backends import output, pulling, pushing, sync

def run(order):
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (1, 2):
        os.dup2(os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), number)
    os.chdir("/")
    output.FLUSH_BYTES = order["flush_bytes"]
    if order["file_bytes"] is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_bytes"],) * 2)
    if order["user"]:
        os.setgroups([])
        os.setgid(order["user"])
        os.setuid(order["user"])
    if order["folder"]:
        diary = os.open(order["diary"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666) if order["diary"] else -1
        begin = ctypes.CDLL(None).crash_begin
        begin.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int]
        begin(os.fsencode(order["folder"]), diary, order["fail_at"], order["fail_with"])
    sys.argv = ["dprompt", *order["arguments"]]
    cli.main()

for line in sys.stdin:
    order = json.loads(line)
    begin = time.perf_counter()
    child = os.fork()
    if not child:
        code = 70
        try:
            run(order)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    if order["kill_after"] is not None:
        time.sleep(order["kill_after"])
        os.kill(child, signal.SIGKILL)  # nobody has waited for it, so the number is still its own
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([status, time.perf_counter() - begin]), flush=True)
"""

Tree = bytes | dict[str, bytes] | None


class Outcome(NamedTuple):
    """How a command ended.

    Attributes:
        status: its exit status; minus the signal that ended it.
        seconds: how long that took.
        output: what it said.
    """

    status: int
    seconds: float
    output: str


def compiled_shim(folder: Path) -> Path | None:
    """The library that sees all calls; None without a compiler, or where it does not load."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        return None
    source, library = folder / "shim.c", folder / "shim.so"
    source.write_text(SHIM)
    command = [compiler, "-O1", "-w", "-shared", "-fPIC", "-pthread", "-o", str(library), str(source)]
    return library if subprocess.run(command, check=False).returncode == 0 else None


class Nursery:
    """A process that has imported everything and makes a child for each command."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        """Start it.

        Args:
            folder: for what it needs itself.
            environment: what commands shall find in theirs.
        """
        self.shim = compiled_shim(folder)
        self._output, self._diary = folder / "output", folder / "diary"
        root = str(Path(__file__).resolve().parent.parent)
        variables = os.environ | (environment or {}) | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": root}
        if self.shim:
            variables["LD_PRELOAD"] = str(self.shim)
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", NURSERY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=variables,
            text=True,
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End the process."""
        self._process.communicate()

    def run(  # one for each way to harm it
        self,
        arguments: Sequence[str],
        *,
        kill_after: float | None = None,
        file_bytes: int | None = None,
        user: int = 0,
        watched: Path | None = None,
        fail_at: int = 0,
        fail_with: int = 0,
        flush_bytes: int = 2**24,
    ) -> Outcome:
        """Run ``dprompt`` with these arguments.

        Args:
            arguments: for the command line.
            kill_after: seconds until it is killed.
            file_bytes: how large files may become.
            user: whose permissions it has, if not those of this process.
            watched: the folder whose calls are seen and written down.
            fail_at: which of those calls fails, counted from 1.
            fail_with: the error.
            flush_bytes: how much is written before it is flushed in the background.
        """
        order = {
            "arguments": list(arguments),
            "kill_after": kill_after,
            "file_bytes": file_bytes,
            "user": user,
            "folder": str(watched or ""),
            "diary": str(self._diary),
            "fail_at": fail_at,
            "fail_with": fail_with,
            "flush_bytes": flush_bytes,
            "output": str(self._output),
        }
        stdin, stdout = self._pipes()
        self._output.write_bytes(b"")
        self._output.chmod(0o666)
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        status, seconds = json.loads(stdout.readline())
        return Outcome(status, seconds, self._output.read_text(errors="replace"))

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self._process.stdin  # noqa: S101  # for the type checker
        assert self._process.stdout  # noqa: S101  # as above
        return self._process.stdin, self._process.stdout

    def diary(self) -> "list[Event]":
        """What the last watched command asked the system for."""
        return list(_events(self._diary.read_bytes()))


class Event(NamedTuple):
    """A call that changed something.

    Attributes:
        kind: what it was.
        node: the file, by its inode.
        offset: where it was written, or the new size.
        data: what was written.
        path: the name.
        other: the new name; of a call that failed, which one it was.
    """

    kind: str
    node: int
    offset: int
    data: bytes
    path: str
    other: str


def _events(diary: bytes) -> Iterator[Event]:
    at = 0
    while at < len(diary):
        end = diary.index(b"\n", at)
        kind, node, offset, size, path, other = os.fsdecode(diary[at:end]).split("\t")
        at = end + 1 + int(size)
        yield Event(kind, int(node), int(offset), diary[end + 1 : at], path, other)


def tree(path: Path) -> Tree:
    """All that is at a path; None for nothing."""
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    return path.read_bytes() if path.exists() else None


@dataclass
class Case:
    """A command that makes a new target of an old one.

    Attributes:
        command: its name.
        variant: what tells it from others of the same command.
        arguments: for the command line; ``{target}`` stands for the target.
        old: what is there before; None for nothing.
        folder: where the target is, and nothing else.
        name: the target's.
        repeat: the arguments of a run after one that succeeded; None if there is no such run.
        is_synced: whether the new target is to survive a loss of power.
        new: what it makes of the old one.
        repeated: what the next run makes of the new one.
    """

    command: str
    variant: str
    arguments: list[str]
    old: Tree
    folder: Path
    name: str = "target"
    repeat: list[str] | None = field(default_factory=list)
    is_synced: bool = True
    new: Tree = None
    repeated: Tree = None

    @property
    def target(self) -> Path:
        """What the command writes."""
        return self.folder / self.name

    def line(self, arguments: Sequence[str]) -> list[str]:
        """Arguments with the target in them."""
        return [argument.format(target=self.target) for argument in arguments]

    def reset(self) -> None:
        """Let there be the old target and nothing else."""
        self.folder.mkdir(exist_ok=True)
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.put(self.old)

    def put(self, contents: Tree) -> None:
        """Let the target be a file with these contents."""
        if isinstance(contents, bytes):
            self.target.write_bytes(contents)

    def found(self) -> Tree:
        """What the target is now."""
        return tree(self.target)

    def left_over(self) -> list[str]:
        """What is there beside the target."""
        return sorted(path.name for path in self.folder.iterdir() if path != self.target)

    def state(self) -> str:
        """Whether the target is the old or the new one, or half of either."""
        found = self.found()
        return "old" if found == self.old else "new" if found == self.new else "half"

    def learn(self, nursery: Nursery, runs: int = 3) -> float:
        """Find out what the command makes and how long it takes."""
        seconds = []
        for _ in range(runs):
            self.reset()
            outcome = nursery.run(self.line(self.arguments))
            if outcome.status:
                message = f"{self.command} {self.variant} fails by itself: {outcome.output}"
                raise RuntimeError(message)
            seconds.append(outcome.seconds)
            self.new = self.found()
        if self.repeat is not None:
            nursery.run(self.line(self.repeat or self.arguments))
            self.repeated = self.found()
        return statistics.median(seconds)

    def next_run(self, nursery: Nursery) -> str:
        """What is wrong with the next run of the command, if anything is."""
        state = self.state()
        arguments, expected = self.arguments, self.new
        if state == "new":
            if self.repeat is None:
                return f"left {self.left_over()}" if self.left_over() else ""
            arguments, expected = self.repeat or self.arguments, self.repeated
        outcome = nursery.run(self.line(arguments))
        if outcome.status:
            return f"the next run ended with {outcome.status}: {outcome.output}"
        if self.found() != expected:
            return "the next run made something else"
        return f"the next run left {self.left_over()}" if self.left_over() else ""


@dataclass
class RemoteCase(Case):
    """A push: the target is an object.

    Attributes:
        client: of the server.
        files: the packs of the old and the new object.
    """

    client: Any = None
    files: tuple[Path, Path] = (Path(), Path())

    def reset(self) -> None:
        """As the base class says."""
        self.folder.mkdir(exist_ok=True)
        for upload in self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
            self.client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
        push(self.files[0], f"s3://{BUCKET}/{KEY}", client=self.client, force=True)

    def found(self) -> Tree:
        """As the base class says."""
        with closing(self.client.get_object(Bucket=BUCKET, Key=KEY)["Body"]) as body:
            return bytes(body.read())

    def left_over(self) -> list[str]:
        """Uploads and objects that are neither the pack nor its sidecar."""
        objects = [item["Key"] for item in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
        uploads = [item["UploadId"] for item in self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]
        return [*(key for key in objects if not key.startswith(KEY)), *uploads]


def noise(count: int, seed: int) -> bytes:
    """Text that hardly compresses, in lines."""
    digits = base64.b64encode(random.Random(seed).randbytes(count * 3 // 4))  # noqa: S311  # no secret
    return b"".join(digits[at : at + 99] + b"\n" for at in range(0, len(digits), 99))


class Workshop:
    """Inputs and packs that the cases begin with."""

    def __init__(self, folder: Path, text_bytes: int = TEXT_BYTES) -> None:
        """Take a folder for all of it."""
        self.folder = folder
        self.text_bytes = text_bytes
        (folder / "in").mkdir(parents=True)

    def text(self, name: str, count_bytes: int, seed: int) -> Path:
        """A file of noise."""
        path = self.folder / "in" / name
        if not path.exists():
            path.write_bytes(noise(count_bytes, seed))
        return path

    def pack(self, name: str, sources: Sequence[Path], **options: Any) -> Path:
        """A pack of some files."""
        path = self.folder / "in" / name
        if not path.exists():
            dp.pack(list(sources), path, shard_size=options.pop("shard_size", 2**16), **options)
        return path

    def cases(self, command: str, server: Server | None = None) -> Iterator[Case]:
        """The ways of one command."""
        size = self.text_bytes
        first, second = self.text("first.txt", size, 1), self.text("second.txt", size // 3, 2)
        more = self.text("more.txt", 1_000, 3)
        for engine in ENGINES:
            plain = self.pack(f"{engine}.dprompt", [first], store=engine)
            target = self.folder / f"{command}-{engine}"
            options = ["--store", engine, "-s", "65536"]
            if command == "pack":
                packing = ["pack", str(first), "-o", "{target}", *options]
                yield Case(
                    command, f"{engine}, over an old one", [*packing, "--force"], plain.read_bytes()[:50_000], target
                )
                yield Case(
                    command, f"{engine}, a new file", packing, None, self.folder / f"{target.name}-new",
                    repeat=[*packing, "--force"],
                )  # fmt: skip
            elif command == "append":
                yield Case(
                    command, engine, ["append", "{target}", str(second)], plain.read_bytes(), target,
                    repeat=["append", "{target}", str(more)],
                )  # fmt: skip
            elif command == "index":
                bare = self.pack(f"{engine}-bare.dprompt", [first], store=engine, index=False)
                yield Case(command, engine, ["index", "{target}"], bare.read_bytes(), target)
            elif command == "convert":
                other = ENGINES[1 - ENGINES.index(engine)]
                arguments = ["convert", str(plain), "-o", "{target}", "--store", other, "--force"]
                yield Case(command, f"{engine} to {other}", arguments, b"old" if engine == "lmdb" else None, target)
        if command == "unpack":
            yield from self._unpacking(first, second, more)
        elif server and command in {"pull", "push"}:
            yield self._moving(command, server)

    def _unpacking(self, first: Path, second: Path, more: Path) -> Iterator[Case]:
        only = self.pack("sqlite.dprompt", [first])
        arguments = ["unpack", str(only), "-o", "{target}"]
        yield Case("unpack", "a file", [*arguments, "--force"], b"old", self.folder / "unpack-file")
        parts = [self.text(f"part{number}.txt", self.text_bytes // 20, number) for number in range(10, 18)]
        several = self.pack("several.dprompt", [second, more, *parts])
        arguments = ["unpack", str(several), "-o", "{target}"]
        folder = self.folder / "unpack-folder"
        yield Case("unpack", "a folder", arguments, None, folder, repeat=None, is_synced=False)

    def _moving(self, command: str, server: Server) -> Case:
        base = self.pack("base.dprompt", [self.text("base.txt", BLOCKS_BYTES, 5)], shard_size=2**17)
        grown = self.folder / "in" / "grown.dprompt"
        if not grown.exists():
            shutil.copy(base, grown)
            dp.append(grown, self.text("more-blocks.txt", BLOCKS_BYTES // 4, 6))
        client = server.client()
        address = f"s3://{BUCKET}/{KEY}"
        old = base.read_bytes()
        folder = self.folder / command
        if command == "pull":
            place = f"s3://{BUCKET}/to-pull"
            push(grown, place, client=client, force=True)
            client.close()
            return Case(command, server.name, ["pull", place, "{target}", "--force"], old, folder)
        for found in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=found["Key"])
        arguments = ["push", str(grown), address, "--abort-uploads"]
        return RemoteCase(
            command, server.name, arguments, old, folder, is_synced=False, client=client, files=(base, grown)
        )


@dataclass
class Row:
    """A line of the table: what came of all rounds of one kind.

    Attributes:
        case: the command.
        kind: how it was crashed.
        rounds: how often.
        old: how often the old target was there afterwards.
        new: how often the new one.
        half: how often neither.
        clean: how often the next run succeeded and left nothing.
        runs: how often there was a next run.
        problems: what went wrong.
        remark: what the reader is to know.
    """

    case: Case
    kind: str
    rounds: int = 0
    old: int = 0
    new: int = 0
    half: int = 0
    clean: int = 0
    runs: int = 0
    problems: list[str] = field(default_factory=list)
    remark: str = ""

    def take(self, state: str) -> str:
        """Count a state."""
        self.rounds += 1
        setattr(self, state, getattr(self, state) + 1)
        return state

    def look(self, where: str) -> str:
        """Count what is there."""
        state = self.take(self.case.state())
        if state == "half":
            self.problems.append(f"{where}: neither the old nor the new one")
        return state

    def go_on(self, nursery: Nursery, where: str) -> None:
        """Run the command again."""
        self.runs += 1
        problem = self.case.next_run(nursery)
        if problem:
            self.problems.append(f"{where}: {problem}")
        else:
            self.clean += 1

    @property
    def line(self) -> str:
        """The row as text."""
        name = f"{self.case.command} ({self.case.variant})"
        numbers = "".join(f"{number:>7,}" for number in (self.rounds, self.old, self.new, self.half))
        return f"{name:<34}{self.kind:<24}{numbers}{f'{self.clean:,}/{self.runs:,}':>14}  {self.remark}"


HEAD = f"{'command':<34}{'kind':<24}{'rounds':>7}{'old':>7}{'new':>7}{'half':>7}{'next run clean':>14}"


def chance(*what: object) -> random.Random:
    """What decides one round."""
    return random.Random(" ".join(map(str, what)))  # noqa: S311  # no secret


def killed(case: Case, nursery: Nursery, rounds: int, seed: int, seconds: float = 0) -> Row:
    """SIGKILL at moments that are uniform over the time that the command takes.

    Args:
        case: the command.
        nursery: what runs it.
        rounds: how often.
        seed: decides the moments.
        seconds: how long the command takes; found out if it is not known.
    """
    row = Row(case, "kill -9")
    seconds = seconds or case.learn(nursery)
    begun = 0
    for number in range(rounds):
        case.reset()
        moment = chance(seed, case.command, case.variant, number).uniform(0, 1.1)
        outcome = nursery.run(case.line(case.arguments), kill_after=moment * seconds)
        where = f"round {number}, killed at {moment:.4f} of {seconds:.3f} s"
        state = row.look(where)
        if outcome.status == 0 and state != "new":
            row.problems.append(f"{where}: it said that it was done, and was not")
        begun += bool(case.left_over())
        row.go_on(nursery, where)
    row.remark = f"{seconds:.2f} s; {begun} left something unfinished"
    return row


_MORE_CALLS = 3
ERRORS = {"EIO once": errno.EIO, "ENOSPC from then on": errno.ENOSPC, "EDQUOT from then on": errno.EDQUOT}


def refused_calls(case: Case, nursery: Nursery, kind: str, most: int = 120) -> Row:
    """The first call fails, the second, and so on until none is left to fail.

    Args:
        case: the command.
        nursery: what runs it.
        kind: which of ``ERRORS``.
        most: how many calls are tried; of more, the first, the last, and some between.
    """
    row = Row(case, kind)
    passed = 0
    for at in _chosen_calls(case, nursery, ERRORS[kind], most):
        case.reset()
        outcome = nursery.run(
            case.line(case.arguments), watched=case.folder, fail_at=at, fail_with=ERRORS[kind], flush_bytes=2**18
        )
        failed = [event for event in nursery.diary() if event.kind == "failed"]
        if not failed:
            continue
        where = f"call {at} ({failed[0].other} {Path(failed[0].path).name})"
        state = row.look(where)
        passed += outcome.status == 0
        row.problems += [f"{where}: {problem}" for problem in _rude(outcome, state, case, failed)]
        row.go_on(nursery, where)
    row.remark = f"{passed} forgiven"
    return row


def _chosen_calls(case: Case, nursery: Nursery, error: int, most: int) -> list[int]:
    """Which calls are to fail: all, or some of the many in the middle.

    What is flushed in the background makes their number differ, so there are a few more than there were this time.
    """
    case.reset()
    nursery.run(case.line(case.arguments), watched=case.folder, fail_at=2**31, fail_with=error, flush_bytes=2**18)
    count = sum(event.kind == "called" for event in nursery.diary()) + _MORE_CALLS
    if count <= most:
        return list(range(1, count + 1))
    third = most // 3
    middle = chance(case.command, case.variant, error).sample(range(third + 1, count - third), third)
    return [*range(1, third + 1), *sorted(middle), *range(count - third, count + 1)]


def _rude(outcome: Outcome, state: str, case: Case, failed: Sequence[Event] = ()) -> Iterator[str]:
    """What a command that the system refuses something should not do."""
    if outcome.status == 0 and state != "new":
        yield "it said that it was done, and was not"
    if outcome.status not in {0, 1}:
        yield f"it ended with {outcome.status}: {outcome.output[-1500:]}"
    if outcome.status == 1 and (not outcome.output.startswith("dprompt: ") or outcome.output.count("\n") != 1):
        yield f"it said: {outcome.output[-1500:]}"
    if outcome.status == 1 and state == "new" and case.new != case.old:
        yield f"it said that it failed, but the new one is there: {outcome.output}"
    left = case.left_over()
    if left and not any(event.other in {"unlink", "rmdir"} for event in failed):
        yield f"it left {left}"


def limited(case: Case, nursery: Nursery, rounds: int, seed: int) -> Row:
    """Files may grow to some size only."""
    row = Row(case, "RLIMIT_FSIZE")
    sizes = [len(data) for data in ([case.new] if isinstance(case.new, bytes) else (case.new or {}).values())]
    for number in range(rounds):
        case.reset()
        limit = int(chance(seed, case.command, case.variant, "limit", number).uniform(0, 1.02) * max(sizes))
        outcome = nursery.run(case.line(case.arguments), file_bytes=limit)
        where = f"round {number}, files of {limit:,} bytes"
        state = row.look(where)
        row.problems += [f"{where}: {problem}" for problem in _rude(outcome, state, case)]
        row.go_on(nursery, where)
    return row


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[bool]:
    """Mount something there; False if that is refused."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    folder.mkdir(exist_ok=True)
    if os.geteuid() or mount is None or umount is None:
        yield False
        return
    done = subprocess.run([mount, *options, str(folder)], check=False, capture_output=True)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run([umount, str(folder)], check=True)


def on_a_full_disk(case: Case, nursery: Nursery, rounds: int, seed: int) -> Row:
    """A disk in memory, with room for the old target and a part of the new one."""
    place = case.folder.parent / "disk"
    there = replace(case, folder=place / "folder")
    row = Row(there, "full disk")
    pages = sum(len(data) for data in (case.new.values() if isinstance(case.new, dict) else [case.new or b""])) // 4096
    kept = len(case.old) // 4096 + 8 if isinstance(case.old, bytes) else 8
    with mounted(place, "-t", "tmpfs", "-o", "size=64m", "tmpfs") as is_mounted:
        if not is_mounted:
            row.remark = "skipped: mounting is refused"
            return row
        for number in range(rounds):
            room = int(chance(seed, case.command, case.variant, "disk", number).uniform(0, 1.1) * pages) + kept
            there.reset()
            _resize(place, room * 4096)
            outcome = nursery.run(there.line(there.arguments))
            where = f"round {number}, a disk of {room} pages"
            state = row.look(where)
            row.problems += [f"{where}: {problem}" for problem in _rude(outcome, state, there)]
            _resize(place, 64 << 20)
            row.go_on(nursery, where)
    return row


def _resize(place: Path, size_bytes: int) -> None:
    command = [shutil.which("mount") or "mount", "-o", f"remount,size={size_bytes}", str(place)]
    subprocess.run(command, check=True, capture_output=True)


def read_only(case: Case, nursery: Nursery) -> Iterator[Row]:
    """A folder and a disk that nobody may write to."""
    row = Row(case, "read-only folder")
    case.reset()
    if os.geteuid():
        row.remark = "skipped: not root, whose child can become nobody"
    else:
        with reachable(case.folder):
            case.folder.chmod(0o555)
            outcome = nursery.run(case.line(case.arguments), user=NOBODY)
            case.folder.chmod(0o755)
        _expect_refusal(row, outcome, nursery)
    yield row
    row = Row(case, "read-only disk")
    case.reset()
    refusal: Outcome | None = None
    with mounted(case.folder, "--bind", str(case.folder)) as is_mounted:
        command = [shutil.which("mount") or "mount", "-o", "remount,bind,ro", str(case.folder)]
        if is_mounted and subprocess.run(command, check=False, capture_output=True).returncode == 0:
            refusal = nursery.run(case.line(case.arguments))
    if refusal:
        _expect_refusal(row, refusal, nursery)
    else:
        row.remark = "skipped: mounting is refused"
    yield row


def _expect_refusal(row: Row, outcome: Outcome, nursery: Nursery) -> None:
    state = row.look(row.kind)
    row.problems += _rude(outcome, state, row.case)
    if outcome.status != 1 or state != "old":
        row.problems.append(f"{row.kind}: it ended with {outcome.status}, the target is {state}: {outcome.output}")
    row.go_on(nursery, row.kind)


@contextmanager
def reachable(folder: Path) -> Iterator[None]:
    """Let any user go through the folders above, for a while."""
    modes = [(above, above.stat().st_mode) for above in folder.parents if above.stat().st_uid == os.geteuid()]
    for above, mode in modes:
        above.chmod(mode | 0o055)
    try:
        yield
    finally:
        for above, mode in modes:
            above.chmod(mode)


class Disk:
    """A folder's files as they may be after a loss of power: names, and what the files have in them."""

    def __init__(self, folder: Path) -> None:
        """Take what is there now, all of which is safe."""
        self.names: dict[str, int] = {}
        self.nodes: dict[int, bytes | bytearray] = {}
        for path in folder.iterdir():
            self.names[str(path)] = node = path.stat().st_ino
            self.nodes[node] = path.read_bytes()

    def copy(self) -> "Disk":
        """Another one like it."""
        made = Disk.__new__(Disk)
        made.names, made.nodes = dict(self.names), dict(self.nodes)
        return made

    def apply(self, event: Event) -> None:
        """Do what was asked for, if it can still be done."""
        names = self.names
        if event.kind == "create":
            names[event.path] = event.node
            self.nodes.setdefault(event.node, b"")
        elif event.kind == "rename" and event.path in names:
            names[event.other] = names.pop(event.path)
        elif event.kind == "link" and event.path in names:
            names[event.other] = names[event.path]
        elif event.kind == "unlink":
            names.pop(event.path, None)
        elif event.kind in DATA:
            self._write(event)

    def _write(self, event: Event) -> None:
        data = self.nodes.get(event.node, b"")
        if not isinstance(data, bytearray):
            data = self.nodes[event.node] = bytearray(data)
        if event.kind == "truncate":
            del data[event.offset :]
        end = event.offset + len(event.data)
        data.extend(bytes(max(0, end - len(data))))
        data[event.offset : end] = event.data if event.kind == "write" else data[event.offset : end]

    def contents(self, path: Path) -> Tree:
        """What a file would have in it."""
        node = self.names.get(str(path))
        return None if node is None else bytes(self.nodes.get(node, b""))


DATA = frozenset({"write", "truncate", "extend"})
NAMES = frozenset({"create", "rename", "link", "unlink"})


def numbered_anew(events: Iterable[Event]) -> Iterator[Event]:
    """Files by numbers that are not used again, as inodes are."""
    current: dict[int, int] = {}
    for number, event in enumerate(events, 1):
        if event.kind == "create":
            current[event.node] = -number
        yield event._replace(node=current.get(event.node, event.node))


def safe(events: Sequence[Event]) -> set[int]:
    """Which of these no loss of power undoes: those whose file, or whose folder, was synced afterwards."""
    found: set[int] = set()
    files: set[int] = set()
    folders: set[str] = set()
    for number in reversed(range(len(events))):
        event = events[number]
        if event.kind == "sync":
            files.add(event.node)
            folders.add(event.path)
        elif (event.kind in DATA and event.node in files) or (
            event.kind in NAMES and os.path.dirname(event.other or event.path) in folders  # noqa: PTH120  # often
        ):
            found.add(number)
    return found


def surviving(events: Sequence[Event], policy: int, luck: random.Random) -> Iterator[Event]:
    """What is on the disk when the power goes away behind these.

    Names are changed in order, as journals do it: so behind the safe ones comes a number of others. Data is written in
    any order, and of a write any of its pages.

    Args:
        events: what was asked for.
        policy: 0 for nothing but what is safe, 1 for all, 2 for all names, 3 for all data, others for what luck will.
        luck: decides.
    """
    is_safe = safe(events)
    changes = [number for number, event in enumerate(events) if event.kind in NAMES]
    loose = [number for number in changes if number not in is_safe]
    some = loose[: {0: 0, 1: len(loose), 2: len(loose), 3: 0}.get(policy, luck.randint(0, len(loose)))]
    kept = is_safe.union(some)
    for number, event in enumerate(events):
        if event.kind in NAMES and number in kept:
            yield event
        elif event.kind in DATA:
            if number in is_safe or policy in {1, 3}:
                yield event
            elif policy > 3:  # noqa: PLR2004  # as the docstring has it
                yield from _torn(event, luck)


def _torn(event: Event, luck: random.Random) -> Iterator[Event]:
    if event.kind != "write":
        if luck.random() < 1 / 2:
            yield event
        return
    for at in range(0, len(event.data), 4096):
        if luck.random() < 1 / 2:
            yield event._replace(offset=event.offset + at, data=event.data[at : at + 4096])


def without_power(case: Case, nursery: Nursery, seed: int, runs: int = 20) -> Row:
    """The power goes away behind each call, and what was not synced is lost in several ways.

    Args:
        case: the command.
        nursery: what runs it.
        seed: decides what is lost.
        runs: how many of what is left are made files again, to run the command on.
    """
    row = Row(case, "power lost")
    if not case.is_synced:
        row.remark = "not promised: ARCHITECTURE.md says that it does not sync"
        return row
    case.reset()
    before = Disk(case.folder)
    outcome = nursery.run(case.line(case.arguments), watched=case.folder, flush_bytes=2**18)
    if outcome.status:
        row.problems.append(f"it ended with {outcome.status}: {outcome.output}")
    events = list(numbered_anew(nursery.diary()))
    luck = chance(seed, case.command, case.variant, "power")
    writes = [number for number, event in enumerate(events, 1) if event.kind == "write"]
    others = [number for number, event in enumerate(events, 1) if event.kind != "write"]
    moments = sorted({0, *others, *luck.sample(writes, min(len(writes), 40))})
    tries = [(moment, policy) for moment in moments for policy in range(STATES_A_MOMENT)]
    to_run = set(luck.sample(tries, min(runs, len(tries))))
    for moment, policy in tries:
        disk = before.copy()
        for event in surviving(events[:moment], policy, chance(seed, case.command, case.variant, moment, policy)):
            disk.apply(event)
        found = disk.contents(case.target)
        where = f"power lost behind call {moment} of {len(events)}, policy {policy}"
        state = row.take("old" if found == case.old else "new" if found == case.new else "half")
        if state == "half":
            row.problems.append(f"{where}: neither the old nor the new one, {_shown(found)}")
        if moment == len(events) and state != "new":
            row.problems.append(f"{where}: it said that it was done, and is {state} now")
        if (moment, policy) in to_run:
            _materialise(case, disk)
            row.go_on(nursery, where)
    row.remark = f"{len(events)} calls"
    return row


def _shown(found: Tree) -> str:
    return f"{len(found):,} bytes" if isinstance(found, bytes) else str(found)


def _materialise(case: Case, disk: Disk) -> None:
    """Make files of what is left."""
    case.reset()
    for path in case.folder.iterdir():
        path.unlink()
    made: dict[int, Path] = {}
    for name, node in disk.names.items():
        if node in made:
            Path(name).hardlink_to(made[node])
        else:
            Path(name).write_bytes(disk.nodes.get(node, b""))
        made[node] = Path(name)


def attacks(case: Case, nursery: Nursery, rounds: int, seed: int) -> Iterator[Callable[[], Iterable[Row]]]:
    """All that is done to one case, one after the other."""
    yield lambda: [killed(case, nursery, rounds, seed)]
    if isinstance(case, RemoteCase):
        return
    if nursery.shim:
        yield lambda: [without_power(case, nursery, seed)]
        for kind in ERRORS:
            yield lambda kind=kind: [refused_calls(case, nursery, kind)]  # type: ignore[misc]
    yield lambda: [limited(case, nursery, max(5, rounds // 5), seed)]
    yield lambda: [on_a_full_disk(case, nursery, max(5, rounds // 5), seed)]
    yield lambda: read_only(case, nursery)


def main() -> None:
    """Attack what the command line names; exit with 1 if anything came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="kills of each case")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", choices=COMMANDS, action="append")
    parser.add_argument("--server", choices=[name for name in ("ministack", "ceph") if name in available()])
    options = parser.parse_args()
    commands = options.only or COMMANDS
    print(f"--seed {options.seed}")
    problems = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dprompt-crash-")))
        server, environment = None, {}
        if {"pull", "push"}.intersection(commands) and available():
            server = stack.enter_context(STARTERS[options.server or available()[-1]](folder / "server"))
            with closing(server.client()) as client:
                client.create_bucket(Bucket=BUCKET)
            environment = server.environment()
        elif {"pull", "push"}.intersection(commands):
            print("pull and push are skipped: no S3 server is installed")
        nursery = stack.enter_context(Nursery(folder, environment))
        if not nursery.shim:
            print("no C compiler: calls are not watched, so none fails, and no power is lost")
        workshop = Workshop(folder / "shop")
        print(HEAD, flush=True)
        for command in commands:
            for case in workshop.cases(command, server):
                for attack in attacks(case, nursery, options.rounds, options.seed):
                    for row in attack():
                        print(row.line, flush=True)
                        for problem in row.problems[:10]:
                            print(f"    {problem.strip()}", flush=True)
                        problems += len(row.problems)
    print(f"{problems} problems with --seed {options.seed}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
