"""Use packs from everywhere at once, and count what stays behind.

python -m tools.stress --minutes 10

Readers while new versions are renamed in, two writers of one file, threads, processes that are forked in the middle of
passes, prompts that are closed under their users, tens of thousands of opens, and strings over mappings, each in turn
and again until the time is over. Says what was done, and exits with 1 at the first wrong answer.
"""

import argparse
import faulthandler
import gc
import io
import json
import multiprocessing
import os
import pickle
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import distributed_prompt as dp
from distributed_prompt import mapped
from distributed_prompt import re as prompt_re
from distributed_prompt.errors import ClosedError, DPromptError, PackChangedError
from distributed_prompt.string_layout import KINDS

ENGINES = ("sqlite", "lmdb")
THREADS = 32
PROCESSES = 8
OPENS = 10_000
CHILD_SECONDS = 20
SHARD_SIZE = 1_000
ROOT = Path(__file__).resolve().parent.parent
FILLERS = {
    0: "the quick brown fox\n",
    1: "d\u00e9j\u00e0 vu\n",
    2: "\u20ac 5, Stra\u00dfe\n",
    4: "a\U0001f600 b\u0301\n",
}


class Wrong(Exception):  # noqa: N818  # it is an answer
    """An answer that is not the right one."""


def check(found: object, expected: object, what: str) -> None:
    """Compare an answer.

    Raises:
        Wrong: it is another one.
    """
    if found != expected:
        message = f"{what}: {found!r:.200}, expected {expected!r:.200}"
        raise Wrong(message)


def words(count: int, seed: int) -> str:
    """Text in lines, with characters of every width."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    return "".join(chance.choices("abcdefgh   \n\n\u00e9\u20ac\U0001f600", k=count))


class Kept(NamedTuple):
    """What a process holds that it should let go."""

    descriptors: int
    threads: int
    mappings: int
    temporary: int

    @classmethod
    def now(cls) -> "Kept":
        """Count it."""
        gc.collect()
        mapped.sweep()
        return cls(
            len(os.listdir("/proc/self/fd")),  # noqa: PTH208  # names alone
            threading.active_count(),
            len(mapped._mappings),  # noqa: SLF001  # nobody else knows
            sum(1 for path in Path(tempfile.gettempdir()).glob(".dprompt-*")),
        )


def anonymous_kb() -> int:
    """Memory of this process that is no file's."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def mapping_lines() -> int:
    """How many mappings the process has."""
    return Path("/proc/self/maps").read_text(encoding="utf-8").count("\n")


def nothing_grows(use: Callable[[int], object], first: int, count: int, what: str) -> None:
    """Do something some times, and then many more, which must leave nothing behind.

    Args:
        use: what is done, with a number.
        first: how often at first, until everything has its size.
        count: how often then.
        what: for the error.
    """
    for number in range(first):
        use(number)
    before = Kept.now(), anonymous_kb(), mapping_lines()
    for number in range(first, first + count):
        use(number)
    after = Kept.now(), anonymous_kb(), mapping_lines()
    # Of what others left, some may end meanwhile.
    fewest = Kept(*map(min, before[0], after[0]))
    check(after[0], fewest, f"{what}: what is kept after {count:,} more")
    if after[1] - before[1] > 8_000 + count // 5 or after[2] - before[2] > 20:  # noqa: PLR2004  # the allocator's
        message = f"{what}: {before[1:]} before, {after[1:]} after {count:,} more (kB, mappings)"
        raise Wrong(message)


def at_once(count: int, work: Callable[[int], object]) -> None:
    """Do something on many threads that begin together.

    Raises:
        Exception: the first of theirs.
    """
    barrier = threading.Barrier(count)

    def begin(number: int) -> None:
        barrier.wait()
        work(number)

    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(begin, number) for number in range(count)]:
            future.result()


@contextmanager
def busy_threads(count: int, work: Callable[[int], object], stop: threading.Event) -> Iterator[None]:
    """Threads that work until the block ends."""
    workers = [threading.Thread(target=work, args=[number]) for number in range(count)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def compare(prompt: dp.DistributedPrompt, text: str, chance: random.Random) -> None:
    """Ask a prompt what a string knows."""
    at = chance.randrange(len(text))
    stop = at + chance.choice((1, 80, 900, 5_000))
    needle = text[at : at + chance.choice((2, 5, 40))]
    pattern = re.escape(needle[:3]) + r"\S+"
    asked = chance.randrange(6)
    if asked == 0:
        check(str(prompt[at:stop]), text[at:stop], f"[{at}:{stop}]")
    elif asked == 1:
        check(prompt.find(needle, at // 2), text.find(needle, at // 2), f"find {needle!r}")
    elif asked == 2:  # noqa: PLR2004  # the third
        check(prompt.rfind(needle, 0, stop), text.rfind(needle, 0, stop), f"rfind {needle!r}")
    elif asked == 3:  # noqa: PLR2004  # the fourth
        check(prompt.count(needle), text.count(needle), f"count {needle!r}")
    elif asked == 4:  # noqa: PLR2004  # the fifth
        found, expected = prompt_re.search(pattern, prompt), re.search(pattern, text)
        check(found and found.span(), expected and expected.span(), f"search {pattern!r}")
    else:
        line = text.count("\n", 0, at)
        check(prompt.line_at(at), line, f"line_at {at}")


def versions(folder: Path, engine: str, count: int) -> tuple[list[bytes], list[str]]:
    """Packs of texts that differ everywhere, of one length and of others."""
    packs, texts = [], []
    for number in range(count):
        text = words(60_000 + number % 3 * 7_000, number)
        source, made = folder / f"{number}.txt", folder / f"{number}.dprompt"
        source.write_text(text, encoding="utf-8", newline="")
        dp.pack(source, made, store=engine, shard_size=SHARD_SIZE, overwrite=True)
        packs.append(made.read_bytes())
        texts.append(text)
    return packs, texts


def readers_while_versions_are_renamed_in(folder: Path, engine: str, seconds: float, threads: int = 8) -> str:
    """Each answer is of one version, whole, or says that the pack was changed."""
    packs, texts = versions(folder, engine, 4)
    pack, beside = folder / "pack.dprompt", folder / "beside"
    pack.write_bytes(packs[0])
    lengths = {text[:200]: text for text in texts}
    done, end = Counter[str](), time.monotonic() + seconds

    def read(number: int) -> None:
        chance = random.Random(number)  # noqa: S311  # no secret
        while time.monotonic() < end:
            try:
                with dp.open(pack) as prompt:
                    copied = pickle.dumps(prompt)
                    text = lengths.get(str(prompt[:200]))
                    check(text is not None, True, "the beginning is of some version")  # noqa: FBT003  # a value
                    for _ in range(4):
                        compare(prompt, text or "", chance)
                        done["answers"] += 1
                    with pickle.loads(copied) as other:  # noqa: S301  # our own
                        check(str(other), text, "the copy")
            except PackChangedError:
                done["changed"] += 1

    def rename(number: int) -> None:
        del number
        version = 0
        while time.monotonic() < end:
            version += 1
            beside.write_bytes(packs[version % len(packs)])
            beside.replace(pack)
            done["versions"] += 1
            time.sleep(0.002)

    at_once(threads + 1, lambda number: rename(number) if number == threads else read(number))
    return ", ".join(f"{count:,} {what}" for what, count in sorted(done.items()))


_WRITERS = """
import sys, distributed_prompt as dp
from distributed_prompt.errors import OutputError, OutputExistsError
kind, pack, source, store = sys.argv[1:5]
print("ready", flush=True)
sys.stdin.readline()
try:
    if kind == "append":
        dp.append(pack, source)
    else:
        dp.pack(source, pack, overwrite=kind == "replace", store=store, shard_size=1000)
except (OutputError, OutputExistsError) as error:
    print("told", type(error).__name__)
else:
    print("done")
"""


def two_writers(folder: Path, engine: str, rounds: int, kind: str) -> str:
    """Of two processes that write one pack, each is told or gets in; the pack is one of those that can be.

    Args:
        folder: for the packs.
        engine: theirs.
        rounds: how often.
        kind: "append", "replace" or "make".
    """
    sources = [folder / "one.txt", folder / "two.txt"]
    for number, source in enumerate(sources):
        source.write_text(words(400_000, number + 20), encoding="utf-8", newline="")
    base, pack = folder / "base.dprompt", folder / "written.dprompt"
    (folder / "base.txt").write_text("the first\n")
    dp.pack(folder / "base.txt", base, store=engine, shard_size=SHARD_SIZE, overwrite=True)
    outcomes: Counter[str] = Counter()
    allowed: dict[bytes, str] = {}
    for order in ([0], [1], [0, 1], [1, 0]):
        pack.write_bytes(base.read_bytes())
        for number in order:
            if kind == "append":
                dp.append(pack, sources[number])
            else:
                dp.pack(sources[number], pack, overwrite=True, store=engine, shard_size=SHARD_SIZE)
        allowed[pack.read_bytes()] = "+".join(map(str, order))
    for _ in range(rounds):
        pack.unlink(missing_ok=True)
        if kind != "make":
            pack.write_bytes(base.read_bytes())
        said = _write_at_once([kind, str(pack)], sources, engine)
        check({word.split()[0] for word in said} <= {"done", "told"}, True, f"what writers say, {said}")  # noqa: FBT003
        order_of = allowed.get(pack.read_bytes())
        check(order_of is not None, True, f"{kind}: the pack is one that can be, {said}")  # noqa: FBT003  # a value
        check([*dp.verify(pack)], [], "verify")
        if kind == "append":
            check(len((order_of or "").split("+")), said.count("done"), f"those who got in, {said}")
        check(sorted(path.name for path in folder.glob(".*")), [], "what is left")
        outcomes[" and ".join(sorted(word.split()[0] for word in said))] += 1
    return f"{kind}: {dict(outcomes)}"


def _write_at_once(arguments: list[str], sources: list[Path], engine: str) -> list[str]:
    """What writers say that begin at the same moment."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITERS, *arguments, str(source), engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        for source in sources
    ]
    for child in children:
        check(child.stdout and child.stdout.readline(), "ready\n", "a writer")
    for child in children:
        if child.stdin:
            child.stdin.write("\n")
            child.stdin.flush()
    return [child.communicate()[0].strip() for child in children]


def threads_on_one_prompt(folder: Path, engine: str, seconds: float, threads: int = THREADS) -> str:
    """Threads that ask one prompt, with a cache that holds next to nothing, get what str gives."""
    text = words(400_000, 31)
    source, pack = folder / "in.txt", folder / "threads.dprompt"
    source.write_text(text, encoding="utf-8", newline="")
    dp.pack(source, pack, store=engine, shard_size=SHARD_SIZE, overwrite=True)
    end, done = time.monotonic() + seconds, Counter[int]()
    with dp.open(pack, cache_bytes=20_000) as prompt:

        def work(number: int) -> None:
            chance = random.Random(number)  # noqa: S311  # no secret
            while time.monotonic() < end:
                compare(prompt, text, chance)
                done[number] += 1

        at_once(threads, work)
    return f"{sum(done.values()):,} answers on {threads} threads"


def passes_in_child(what: Callable[[], object], seconds: int = CHILD_SECONDS) -> None:
    """Do something in a forked child.

    Raises:
        Wrong: it fails there, or does not end.
    """
    child = os.fork()
    if child == 0:
        # Says where it hangs, and ends it by a signal should it not even get there.
        faulthandler.dump_traceback_later(seconds, file=sys.__stderr__ or 2)
        signal.alarm(seconds + 2)
        code = 1
        try:
            what()
            code = 0
        except BaseException:  # noqa: BLE001  # the child's last words
            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    hint = " (it hangs)" if status == -signal.SIGALRM else ""
    check(status, 0, f"a forked child's exit status{hint}")


def forks_in_the_middle(
    folder: Path, engine: str, seconds: float, threads: int = 4, forkers: int = 1, cache_bytes: int = 20_000
) -> str:
    """Children are forked while threads read, open and close; each reads, opens, goes on with passes and closes.

    Args:
        folder: for the pack.
        engine: its own.
        seconds: how long.
        threads: how many read.
        forkers: how many threads fork.
        cache_bytes: of the prompt; few, so that shards come and go.
    """
    text = words(300_000, 41)
    source, pack = folder / "in.txt", folder / "forks.dprompt"
    source.write_text(text, encoding="utf-8", newline="")
    dp.pack(source, pack, store=engine, shard_size=SHARD_SIZE, overwrite=True)
    stop, errors, count = threading.Event(), list[BaseException](), Counter[int]()
    prompt = dp.open(pack, cache_bytes=cache_bytes)

    def busy(number: int) -> None:
        chance = random.Random(number)  # noqa: S311  # no secret
        try:
            while not stop.is_set():
                compare(prompt, text, chance)
                with dp.open(pack) as other:
                    compare(other, text, chance)
        except BaseException as error:  # noqa: BLE001  # for the main thread
            errors.append(error)

    def in_child(begun: Iterator[str], head: str) -> None:
        chance = random.Random(os.getpid())  # noqa: S311  # no secret
        check(head + "".join(begun), text, "a pass that the parent began")
        for _ in range(6):
            compare(prompt, text, chance)
        with dp.open(pack) as other:
            compare(other, text, chance)
        at_once(4, lambda number: compare(prompt, text, random.Random(number)))  # noqa: S311  # no secret
        prompt.close()

    def fork(number: int) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not errors:
            begun = iter(prompt)
            head = "".join(next(begun) for _ in range(2_500))
            passes_in_child(partial(in_child, begun, head))
            count[number] += 1

    with busy_threads(threads, busy, stop):
        at_once(forkers, fork)
    prompt.close()
    if errors:
        raise errors[0]
    return f"{sum(count.values()):,} forks by {forkers} threads"


def forks_while_others_search(folder: Path, seconds: float) -> str:
    """A child that is forked while threads look in the index for words that are nowhere looks for one itself."""
    source, pack = folder / "in.txt", folder / "index.dprompt"
    source.write_text(words(2_000_000, 45), encoding="utf-8", newline="")
    dp.pack(source, pack, overwrite=True)
    stop, count = threading.Event(), 0
    interval = sys.getswitchinterval()
    with dp.open(pack) as prompt:

        def search(number: int) -> None:
            chance = random.Random(number)  # noqa: S311  # no secret
            while not stop.is_set():
                check(prompt.find("".join(chance.choices("klmnopq", k=200))), -1, "a word that is nowhere")

        sys.setswitchinterval(1e-5)  # threads are interrupted anywhere
        try:
            with busy_threads(2, search, stop):
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    passes_in_child(lambda: check(prompt.find("yyyyyy"), -1, "in a child"), 10)
                    count += 1
        finally:
            sys.setswitchinterval(interval)
    return f"{count:,} forks"


class TimeLimit(Exception):  # noqa: N818  # as KeyboardInterrupt
    """What a signal's handler raises."""


def interrupted(folder: Path, engine: str, seconds: float) -> str:
    """A signal whose handler raises, as Ctrl-C and time limits do, harms nothing but the call that it interrupts."""
    child = multiprocessing.get_context("fork").Process(target=_interrupted, args=(folder, engine, seconds))
    child.start()
    child.join(seconds + CHILD_SECONDS)
    is_hanging = child.is_alive()
    if is_hanging:
        child.kill()
        child.join()
    check((is_hanging, child.exitcode), (False, 0), "whether a process that was interrupted hangs, and its status")
    return "fine"


def _interrupted(folder: Path, engine: str, seconds: float) -> None:
    # So little text that no worker takes part: CPython itself may leave a future's lock taken when it is interrupted.
    text = words(30_000, 47)
    source, pack = folder / "in.txt", folder / "interrupted.dprompt"
    source.write_text(text, encoding="utf-8", newline="")
    dp.pack(source, pack, store=engine, shard_size=50, overwrite=True)
    expected = text.replace("a", "bbb")
    chance = random.Random(47)  # noqa: S311  # no secret
    counts: Counter[str] = Counter()

    def stop(*_: object) -> None:
        raise TimeLimit

    before = signal.signal(signal.SIGALRM, stop)
    try:
        with dp.open(pack, cache_bytes=20_000) as prompt:
            prompt.view_threshold = 100
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                lazy = prompt.replace("a", "bbb")
                with suppress(TimeLimit):
                    signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0005, 0.02))
                    counts["lengths taken"] += len(lazy) == len(expected)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                signal.setitimer(signal.ITIMER_REAL, 0)
                counts["turns"] += 1
                at = chance.randrange(len(expected))
                check(len(lazy), len(expected), "the length of a lazy text that was interrupted")
                check(str(lazy[at : at + 60]), expected[at : at + 60], f"[{at}:{at + 60}] of it")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    print(f"{counts['turns']:,} turns, {counts['turns'] - counts['lengths taken']:,} of them interrupted", flush=True)


def read_elsewhere(prompt: dp.DistributedPrompt, text: str, seed: int) -> int:
    """What a process of a pool does."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    for _ in range(30):
        compare(prompt, text, chance)
    return 30


def many_processes(folder: Path, engine: str, method: str, processes: int = PROCESSES) -> str:
    """Processes that are sent a prompt, and a view, read what str has."""
    text = words(200_000, 51)
    source, pack = folder / "in.txt", folder / "processes.dprompt"
    source.write_text(text, encoding="utf-8", newline="")
    dp.pack(source, pack, store=engine, shard_size=SHARD_SIZE, overwrite=True)
    with dp.open(pack) as prompt, multiprocessing.get_context(method).Pool(processes) as pool:
        view = prompt.view(5_000, 150_000)
        tasks = [(prompt, text, seed) if seed % 2 else (view, text[5_000:150_000], seed) for seed in range(24)]
        answers = sum(pool.starmap(read_elsewhere, tasks, chunksize=1))
    return f"{answers} answers of {processes} processes ({method})"


def closed_under_its_users(folder: Path, engine: str, rounds: int, threads: int = 6) -> str:
    """Who uses a prompt while it is closed gets the right answer or a ClosedError, and no descriptor stays."""
    text = words(150_000, 61)
    source, pack = folder / "in.txt", folder / "closing.dprompt"
    source.write_text(text, encoding="utf-8", newline="")
    dp.pack(source, pack, store=engine, shard_size=SHARD_SIZE, overwrite=True)
    refused: Counter[str] = Counter()

    def round_of(number: int) -> None:
        prompt = dp.open(pack)

        def work(thread: int) -> None:
            if thread == threads:
                time.sleep(random.Random(number).uniform(0, 0.02))  # noqa: S311  # no secret
                prompt.close()
                return
            chance = random.Random(number * threads + thread)  # noqa: S311  # no secret
            try:
                for _ in range(1_000):
                    compare(prompt, text, chance)
            except ClosedError:
                refused["ClosedError"] += 1

        at_once(threads + 1, work)

    nothing_grows(round_of, 5, rounds, "closing under users")
    return f"{rounds} rounds, {refused['ClosedError']} times ClosedError"


def opens(folder: Path, engine: str, count: int) -> str:
    """Opening, reading and closing or dropping leaves nothing, nor does opening what is no pack."""
    text = words(30_000, 71)
    source, pack = folder / "in.txt", folder / "opens.dprompt"
    source.write_text(text, encoding="utf-8", newline="")
    dp.pack(source, pack, store=engine, shard_size=SHARD_SIZE, overwrite=True)
    data = pack.read_bytes()
    bad = {
        "short": data[:-4096],
        "empty": b"",
        "text": b"no pack " * 1_000,
        "head": data[:100],
        "middle": data[: len(data) // 8192 * 4096] + bytes(len(data) - len(data) // 8192 * 4096),
        "zeros": data[:4096] + bytes(len(data) - 4096),
    }
    for name, contents in bad.items():
        (folder / f"bad-{name}").write_bytes(contents)
    failures: Counter[str] = Counter()

    def use(number: int) -> None:
        prompt = dp.open(pack)
        at = number * 37 % len(text)
        check(prompt[at], text[at], "a character")
        if number % 3 == 0:
            check(prompt.find(text[at : at + 9]) >= 0, True, "find")  # noqa: FBT003  # a value
        if number % 2:
            prompt.close()

    def fail(number: int) -> None:
        name = list(bad)[number % len(bad)] if number % 7 else "missing"
        try:
            prompt = dp.open(folder / f"bad-{name}")
            with prompt:
                str(prompt)
        except DPromptError as error:
            failures[type(error).__name__] += 1

    nothing_grows(use, 300, count, "opening")
    nothing_grows(fail, 100, count // 2, "failing to open")
    return f"{count:,} opens; {count // 2:,} that fail: {dict(failures)}"


def text_of(width: int, length: int) -> str:
    """A text of one kind, made anew each time."""
    filler = FILLERS[width]
    return (filler * (length // len(filler) + 1))[: length - 1] + KINDS[width].sample


def map_text(text: str, width: int) -> str:
    """The same as a string over a mapping."""
    descriptor = os.memfd_create("stress", os.MFD_CLOEXEC)
    try:
        data = memoryview(text.encode(KINDS[width].codec, "surrogatepass"))
        while data:
            data = data[os.write(descriptor, data) :]
        return mapped.map_image(descriptor, len(text), width)
    finally:
        os.close(descriptor)


def _in_sqlite(text: str) -> object:
    with closing(sqlite3.connect(":memory:")) as connection:
        return connection.execute("SELECT ?, length(?)", (text, text)).fetchone()


OPERATIONS: dict[str, Callable[[str], object]] = {
    "hash": hash,
    "len": len,
    "slice": lambda t: [t[5:-5], t[::-7], t[-1], t[:]],
    "find": lambda t: [t.find(t[-5:]), t.find("nowhere"), t.rfind(t[:5])],
    "count": lambda t: [t.count("\n"), t.count(t[-1])],
    "split": lambda t: t.split("\n")[:50],
    "splitlines": lambda t: t.splitlines()[-50:],
    "replace": lambda t: hash(t.replace("\n", "\r\n")),
    "lower": lambda t: [hash(t.lower()), hash(t.upper())],
    "encode": lambda t: [hash(t.encode()), hash(t.encode("utf-16"))],
    "json": lambda t: json.loads(json.dumps(t)) == t,
    "re": lambda t: [m.span() for m in list(re.finditer(r"[^\W\d]+\n", t))[:50]],
    "re.sub": lambda t: hash(re.sub(r"\s", "_", t)),
    "join": lambda t: hash(",".join(iter([t, t]))),
    "format": lambda t: [f"{t}" == t, hash(f"{t!r}")],
    "+": lambda t: [hash(t + "\U0001f600"), hash("a" + t)],
    "dict key": lambda t: {t: 1}[t[:1] + t[1:]],
    "compare": lambda t: [t < t + "a", t == t[:1] + t[1:], t != t[:-1] + "?"],
    "strip": lambda t: hash(t.strip(t[-1])),
    "translate": lambda t: hash(t.translate({10: None, ord(t[0]): "\u20ac"})),
    "pickle": lambda t: pickle.loads(pickle.dumps(t)) == t,  # noqa: S301  # our own
    "StringIO": lambda t: io.StringIO(t).readlines()[:20],
    "sqlite3": _in_sqlite,
    "iterate": max,
}


def mapped_strings(seconds: float, length: int = 30_000, threads: int = 4) -> str:
    """Every operation on strings of every kind, on threads, with collections, interning and forks in between."""
    texts = {width: text_of(width, length) for width in KINDS}
    expected = {(name, width): use(texts[width]) for name, use in OPERATIONS.items() for width in KINDS}
    done: Counter[str] = Counter()
    end = time.monotonic() + seconds
    shared = {width: map_text(texts[width], width) for width in KINDS}

    def work(number: int) -> None:
        chance = random.Random(number)  # noqa: S311  # no secret
        while time.monotonic() < end:
            width = chance.choice(list(KINDS))
            name = chance.choice(list(OPERATIONS))
            own = map_text(texts[width], width)
            check(OPERATIONS[name](own), expected[name, width], f"{name} of kind {width}")
            check(OPERATIONS[name](shared[width]), expected[name, width], f"{name} of a shared string, kind {width}")
            if chance.random() < 0.05:  # noqa: PLR2004  # now and then
                gc.collect()
            del own
            done["operations"] += 2

    def in_child() -> None:
        for width in KINDS:
            check(shared[width], texts[width], "in a child")
            check(map_text(texts[width], width), texts[width], "made in a child")
        gc.collect()

    def fork(number: int) -> None:
        del number
        while time.monotonic() < end:
            passes_in_child(in_child)
            done["forks"] += 1
            time.sleep(0.05)

    at_once(threads + 1, lambda number: fork(number) if number == threads else work(number))
    for width, text in shared.items():
        check(text, texts[width], "at the end")
    shared.clear()
    nothing_grows(lambda number: _map_and_use(texts, number), 100, 1_000, "mapping")
    return ", ".join(f"{count:,} {what}" for what, count in sorted(done.items())) + ", 1,000 maps without growth"


def _map_and_use(texts: dict[int, str], number: int) -> None:
    width = list(KINDS)[number % 4]
    found = map_text(texts[width], width)
    check(found[-9:], texts[width][-9:], "the end")
    if number % 5 == 0:
        check(pickle.loads(pickle.dumps(found)), texts[width], "pickled")  # noqa: S301  # our own


_INTERNING = """
import gc, sys
from distributed_prompt import mapped
from distributed_prompt import re as prompt_re
from tools.stress import KINDS, map_text, text_of
for turn in range(60):
    for width in KINDS:
        text = text_of(width, 5000 + turn)
        found = sys.intern(map_text(text, width))
        again = sys.intern(text_of(width, 5000 + turn))
        assert again is found and again == text and hash(again) == hash(text)
        vars(type("C", (), {}))
        setattr(type("C", (), {})(), found, 1)
        del found, again
        if turn % 5 == 0:
            gc.collect()
        assert sys.intern(text_of(width, 5000 + turn)) == text
print("fine")
"""


def interned() -> str:
    """Interning keeps a mapped string for good; what is interned afterwards is that one."""
    done = subprocess.run(
        [sys.executable, "-c", _INTERNING],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    check((done.returncode, done.stdout, done.stderr), (0, "fine\n", ""), "interning")
    return "240 strings interned"


def large_prompts(folder: Path, rounds: int) -> str:
    """as_str() of texts of 2**24 characters and more, by threads at once and in forked children."""
    length = 2**24 + 1_000
    for width in KINDS:
        text = text_of(width, length)
        source, pack = folder / "large.txt", folder / f"large-{width}.dprompt"
        source.write_text(text, encoding="utf-8", newline="")
        dp.pack(source, pack, overwrite=True, level=1)
        with dp.open(pack) as prompt:
            for _ in range(rounds):
                _ask_at_once(prompt, text)
                gc.collect()
    return f"4 kinds of {length:,} characters, {rounds} times"


def _ask_at_once(prompt: dp.DistributedPrompt, text: str) -> None:
    found: list[str] = []
    at_once(3, lambda _: found.append(prompt.as_str()))
    check({id(each) for each in found}, {id(found[0])}, "one string for all")
    check(found[0] == text, True, "it is the text")  # noqa: FBT003  # a value
    passes_in_child(lambda: check(prompt.as_str() == text, True, "in a child"))  # noqa: FBT003  # a value


_SUBINTERPRETER = """
import sys
try:
    import _interpreters as interpreters
    run, made = interpreters.exec, interpreters.create(sys.argv[1] if sys.argv[1] == "legacy" else "isolated")
except ImportError:
    import _xxsubinterpreters as interpreters
    run, made = interpreters.run_string, interpreters.create(isolated=sys.argv[1] != "legacy")
code = '''if True:
    import sys
    sys.path.insert(0, %r)
    try:
        import distributed_prompt as dp
        with dp.open(%r) as prompt:
            try:
                prompt.as_str()
            except dp.DPromptError as error:
                print("refused:", error)
            else:
                print("made")
    except ImportError as error:
        print("import refused:", error)
    sys.stdout.flush()
''' % (sys.argv[2], sys.argv[3])
try:
    failure = run(made, code)
    if failure:
        print("failed:", failure)
except Exception as error:
    print("failed:", error)
interpreters.destroy(made)
"""


def subinterpreters(folder: Path) -> str:
    """Another interpreter in the process says that it cannot have such a string, and crashes nothing."""
    source, pack = folder / "sub.txt", folder / "sub.dprompt"
    source.write_bytes(b"line\n" * (2**24 // 5 + 10))
    dp.pack(source, pack, overwrite=True, level=1)
    said = []
    # Python 3.12 aborts by itself when an extension module has refused an isolated one.
    kinds = ("legacy",) if sys.version_info[:2] == (3, 12) else ("legacy", "isolated")
    for kind in kinds:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _SUBINTERPRETER, kind, str(ROOT), str(pack)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        check(done.returncode, 0, f"a {kind} sub-interpreter: {done.stderr[-500:]}{done.stdout}")
        said.append(f"{kind}: {done.stdout.strip()[-150:]}")
        refused = "main interpreter only" in done.stdout or "import refused" in done.stdout
        check(refused, True, f"a {kind} sub-interpreter says {done.stdout!r}")  # noqa: FBT003  # a value
    return "; ".join(said)


def tasks(folder: Path, seconds: float) -> Iterator[tuple[str, Callable[[], str]]]:
    """What there is to do, each for about so many seconds."""
    for engine in ENGINES:
        place = folder / engine
        place.mkdir(exist_ok=True)
        yield f"readers, {engine}", partial(readers_while_versions_are_renamed_in, place, engine, seconds)
        for kind in ("append", "replace", "make"):
            writers = place / kind
            writers.mkdir(exist_ok=True)
            yield f"writers, {engine}", partial(two_writers, writers, engine, max(3, int(seconds / 2)), kind)
        yield f"threads, {engine}", partial(threads_on_one_prompt, place, engine, seconds)
        for forkers in (1, 4):
            yield f"forks, {engine}", partial(forks_in_the_middle, place, engine, seconds, forkers=forkers)
        yield f"time limits, {engine}", partial(interrupted, place, engine, 3 * seconds)
        for method in ("spawn", "fork"):
            yield f"processes, {engine}", partial(many_processes, place, engine, method)
        yield f"closing, {engine}", partial(closed_under_its_users, place, engine, int(10 * seconds))
        yield f"opens, {engine}", partial(opens, place, engine, OPENS)
    yield "forks, searches", partial(forks_while_others_search, folder, seconds)
    yield "mapped strings", partial(mapped_strings, seconds)
    yield "interning", interned
    yield "large prompts", partial(large_prompts, folder, 2)
    yield "sub-interpreters", partial(subinterpreters, folder)


def main() -> None:
    """Do everything, again and again, for as long as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--only", help="what the name of a task has to have in it", default="")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
    end = time.monotonic() + 60 * options.minutes
    seconds = max(2.0, options.minutes)
    print(f"Python {sys.version.split()[0]}")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="dprompt-stress-") as folder:
        while True:
            for name, task in tasks(Path(folder), seconds):
                if options.only not in name:
                    continue
                begin = time.monotonic()
                try:
                    said = task()
                except Exception:  # noqa: BLE001  # the others are to be heard as well
                    failed += 1
                    said = f"FAILED\n{traceback.format_exc()}"
                print(f"{name:<20} {time.monotonic() - begin:6.1f} s  {said}", flush=True)
            if time.monotonic() > end:
                break
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
