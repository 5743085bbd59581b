"""Strings over a file mapping: like any other, as long as anybody holds them, and gone afterwards."""

import copy
import gc
import io
import json
import os
import pickle
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distributed_prompt import mapped
from distributed_prompt.errors import MaterialiseError
from distributed_prompt.string_layout import KINDS
from tests.strategies import outcome

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="strings are mapped on Linux only")

PAGE = 4096
FILLERS = {
    0: "the quick brown fox\n",
    1: "d\u00e9j\u00e0 vu\n",
    2: "\u20ac 5, Stra\u00dfe\n",
    4: "a\U0001f600 b\u0301\n",
}
EXTRA = (-1, 0, 1, 2, 3)
CASES = [(width, PAGE // kind.bytes + extra) for width, kind in KINDS.items() for extra in EXTRA]
CASE_NAMES = [f"kind {width}, {length} characters" for width, length in CASES]


def text_of(width: int, length: int) -> str:
    """A text of one kind, made anew each time."""
    filler = FILLERS[width]
    return (filler * (length // len(filler) + 1))[: length - 1] + KINDS[width].sample


def map_text(text: str, width: int, key: str | None = None) -> str:
    descriptor = os.memfd_create("test", os.MFD_CLOEXEC)
    try:
        data = memoryview(text.encode(KINDS[width].codec, "surrogatepass"))
        while data:
            data = data[os.write(descriptor, data) :]
        return mapped.map_image(descriptor, len(text), width, key)
    finally:
        os.close(descriptor)


def live() -> int:
    """Mapped strings that somebody holds."""
    mapped.sweep()
    if mapped._mappings:
        gc.collect()
        mapped.sweep()
    return len(mapped._mappings)


def mapping_lines() -> int:
    return len(Path("/proc/self/maps").read_text(encoding="utf-8").splitlines())


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def base_of(text: str) -> int:
    return mapped._mappings[id(text)].base


def is_mapped_at(base: int) -> bool:
    """Whether the image is there. Lines of anonymous pages merge with their neighbours', those of files do not."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return any(line.startswith(f"{base + PAGE:08x}-") and "/memfd:test" in line for line in lines)


def check_consistency(text: str) -> None:
    """CPython's own check, which aborts the process if it fails."""
    assert mapped._is_consistent(text)


@pytest.fixture(autouse=True)
def nothing_stays_mapped() -> Iterator[None]:
    mapped.sweep()
    before = len(mapped._mappings)
    yield
    assert live() == before


@pytest.fixture(params=CASES, ids=CASE_NAMES)
def pair(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """The mapped string and an ordinary one that equals it."""
    width, length = request.param
    text = text_of(width, length)
    both = [map_text(text, width), text]
    yield both
    both.clear()


class Sub(str):
    __slots__ = ()


def printed(text: str) -> str:
    file = io.StringIO()
    print(text, file=file)
    return file.getvalue()


def in_sqlite(text: str) -> object:
    with closing(sqlite3.connect(":memory:")) as connection:
        return connection.execute("SELECT ?, length(?)", (text, text)).fetchone()


OPERATIONS: dict[str, Callable[[str], object]] = {
    "type": type,
    "len": len,
    "hash": hash,
    "repr": repr,
    "in": lambda t: ("fox" in t, t[-3:] in t, "nowhere" in t),
    "find": lambda t: [t.find(s) for s in ("x", t[-2:], t[-1], "nowhere", "\x00", "")],
    "rfind": lambda t: [t.rfind(s) for s in (t[:5], "\n", "nowhere", "\x00", "")],
    "count": lambda t: [t.count(s) for s in ("\n", t[-1], t[:3], "", "\x00")],
    "indices": lambda t: [t[at] for at in (0, 1, -1, -2, len(t) // 2)],
    "index beyond": lambda t: outcome(lambda: t[len(t)]),
    "slices": lambda t: [t[:10], t[-10:], t[5:-5], t[:0], t[len(t) :], t[:]],
    "steps": lambda t: [t[::2], t[::-1], t[7:90:-3], t[::1000]],
    "iteration": list,
    "reversed": lambda t: list(reversed(t)),
    "split": lambda t: [t.split(), t.split("\n"), t.rsplit(" ", 3), t.split("nowhere")],
    "splitlines": lambda t: t.splitlines(keepends=True),
    "replace without effect": lambda t: t.replace("nowhere", "x"),
    "replace": lambda t: [t.replace("\n", "\r\n"), t.replace(t[-1], ""), t.replace("b", "\U0001f600")],
    "lower": lambda t: [t.lower(), t.upper(), t.title(), t.casefold(), t.swapcase(), t.capitalize()],
    "encode": lambda t: [t.encode(), t.encode("utf-16"), t.encode("utf-32"), t.encode("ascii", "replace")],
    "json.dumps": lambda t: [json.dumps(t), json.dumps({t: t}, ensure_ascii=False), json.loads(json.dumps(t))],
    "json.loads": lambda t: outcome(lambda: json.loads(t)),
    "re.findall": lambda t: re.findall(r"\w+", t),
    "re.search": lambda t: [m and m.span() for m in (re.search(r".\Z", t), re.search("nowhere", t))],
    "re.sub": lambda t: [re.sub(r"\s", "_", t), re.sub("nowhere", "", t)],
    "re.split": lambda t: re.split(r"(\s)", t),
    "re.Match.string": lambda t: re.compile(".").search(t).string,  # type: ignore[union-attr]
    "join": lambda t: [",".join(iter([t, t])), "".join(iter([t])), t.join("ab")],
    "f-string": lambda t: [f"{t}", f"{t}!", f"{t!r}", f"{t:>9999}", f"{t:.5}"],
    "format": lambda t: ["{}".format(t), "{:*^9999}".format(t), format(t, "")],  # noqa: UP032  # on purpose
    "%": lambda t: ["%s" % t, "%.7s|%r" % (t, t)],  # noqa: UP031  # on purpose
    "+": lambda t: [t + "", t + "a", "\U0001f600" + t, t + t],
    "*": lambda t: [t * 0, t * 1, t * 3],
    "dict key": lambda t: {t: 1}[t[:1] + t[1:]],
    "found as a dict key": lambda t: {t[:1] + t[1:]: 1}[t],
    "set": lambda t: len({t, t[:1] + t[1:], "a"}),
    "order": lambda t: [t < t + "a", t > t[:-1], t <= t[:1] + t[1:], sorted([t, "a", "\U0010ffff"])],
    "startswith": lambda t: [t.startswith(t[:9]), t.endswith(t[-9:]), t.startswith(("z", "t")), t.endswith(t)],
    "partition": lambda t: [t.partition("\n"), t.rpartition("\n"), t.partition("nowhere")],
    "strip": lambda t: [t.strip(), t.strip(t[-1]), t.rstrip("\n"), t.removeprefix(t[:2]), t.removesuffix("?")],
    "predicates": lambda t: [t.isascii(), t.isalpha(), t.isprintable(), t.isspace(), t.isidentifier(), t.isupper()],
    "translate": lambda t: t.translate({ord(t[0]): "\u20ac", ord("\n"): None}),
    "expandtabs": lambda t: [t.expandtabs(), t.zfill(9999), t.ljust(9999, "."), t.center(3)],
    "pickle": lambda t: [pickle.loads(pickle.dumps(t, protocol)) for protocol in range(6)],  # noqa: S301  # ours
    "copy": lambda t: [copy.copy(t), copy.deepcopy(t), copy.deepcopy([t]), str(t)],
    "io.StringIO": lambda t: [io.StringIO(t).read(), io.StringIO(t).readlines()],
    "print": printed,
    "sqlite3": in_sqlite,
    "float": lambda t: outcome(lambda: float(t)),
    "int": lambda t: outcome(lambda: int(t)),
    "subclass": Sub,
    "max": lambda t: [max(t), min(t), ord(t[-1])],
    "ast": lambda t: outcome(lambda: compile(t, "x", "eval")),
    "bytes": lambda t: bytes(t, "utf-8", "surrogatepass"),
    "sys.getsizeof": lambda t: sys.getsizeof(t[:1] + t[1:]) - sys.getsizeof(t),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_gives_what_it_gives_for_an_ordinary_string(name: str, pair: list[str]) -> None:
    found, expected = pair
    assert type(found) is str
    assert OPERATIONS[name](found) == OPERATIONS[name](expected)
    assert found == expected
    check_consistency(found)


def test_it_is_equal_either_way_and_unequal_to_what_differs_at_its_end(pair: list[str]) -> None:
    found, expected = pair
    assert found == expected == found  # both ways
    assert not found != expected  # noqa: SIM202  # on purpose
    assert found != expected[:-1] + "?"
    assert found != expected + "\x00"
    assert hash(found) == hash(expected) == hash(found)


@pytest.mark.parametrize("width", KINDS)
def test_a_number_is_parsed(width: int) -> None:
    digits = {0: "7", 1: "7\u00a0", 2: "\u0667", 4: "\U0001d7ce"}[width]
    text = (digits if len(digits) == 1 else "7") * 3000 + (digits[1:] * 10)
    found = map_text(text, width)
    assert found.strip().isdecimal()
    assert float(found[:300] + found[3000:]) == float(text[:300] + text[3000:])
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        assert int(found) == int(text)
    finally:
        sys.set_int_max_str_digits(limit)


@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=50), st.integers(1, 3))
@example("\ud83d\ude00", 1)
@example("\x00", 1)
@example("\u00ff", 2)
def test_any_text_is_itself(text: str, times: int) -> None:
    text = text * times
    highest = ord(max(text))
    width = next(width for width, limit in ((0, 2**7), (1, 2**8), (2, 2**16), (4, 2**21)) if highest < limit)
    found = map_text(text, width)
    assert found == text
    assert list(found) == list(text)
    assert hash(found) == hash(text)
    assert sys.getsizeof(found) == sys.getsizeof("".join(list(text))) or len(text) == 1
    check_consistency(found)


def test_appending_to_it_leaves_it_as_it_is(pair: list[str]) -> None:
    found, expected = pair
    address, base = id(found), base_of(found)
    pair.clear()
    found += "a"
    assert found == expected + "a"
    assert id(found) != address
    assert address in mapped._mappings
    assert mapped._object(address) == expected
    assert is_mapped_at(base)
    mapped.sweep()
    assert address not in mapped._mappings
    assert not is_mapped_at(base)


def test_nothing_is_kept_when_nobody_holds_it(pair: list[str]) -> None:
    address, base = id(pair[0]), base_of(pair[0])
    assert is_mapped_at(base)
    mapped.sweep()
    gc.collect()
    assert address in mapped._mappings
    pair.clear()
    gc.collect()
    assert address not in mapped._mappings
    assert not is_mapped_at(base)


def test_the_next_mapping_unmaps_what_nobody_holds() -> None:
    found = map_text("a" * 5000, 0)
    base = base_of(found)
    gc.disable()
    try:
        del found
        following = map_text("b" * 50_000, 0)
        assert not is_mapped_at(base) or base_of(following) == base
        assert len(mapped._mappings) == 1
    finally:
        gc.enable()


def test_a_key_finds_the_same_object_while_it_is_held() -> None:
    found = map_text("a" * 5000, 0, "one")
    other = map_text("b" * 5000, 0, "other")
    assert mapped.find("one") is found
    assert mapped.find("other") is other
    assert mapped.find("none") is None
    del found
    assert mapped.find("one") is None
    mapped.sweep()
    assert mapped.find("one") is None
    assert mapped.find("other") is other
    again = map_text("c" * 5000, 0, "one")
    assert mapped.find("one") is again


def test_a_key_used_again_finds_the_last() -> None:
    first = map_text("a" * 5000, 0, "key")
    second = map_text("b" * 5000, 0, "key")
    assert mapped.find("key") is second
    del first
    mapped.sweep()
    assert mapped.find("key") is second


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_utf8_that_is_cached_is_freed(width: int) -> None:
    text = text_of(width, 300_000)

    def use() -> None:
        found = map_text(text, width)
        size = sys.getsizeof(found)
        in_sqlite(found)
        pickle.dumps(found)
        assert sys.getsizeof(found) > size, "nothing is cached, so nothing is tested"
        check_consistency(found)
        del found
        mapped.sweep()

    use()
    before = anonymous_kb()
    for _ in range(100):
        use()
    assert anonymous_kb() - before < 10_000


def anonymous_kb() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))


def test_a_thousand_strings_leave_nothing_behind() -> None:
    def use(count: int) -> None:
        for number in range(count):
            width = list(KINDS)[number % 4]
            found = map_text(texts[width], width, f"key {number}")
            assert found.endswith(KINDS[width].sample)
            del found

    texts = {width: text_of(width, 20_000) for width in KINDS}
    use(100)
    live()
    before = anonymous_kb(), mapping_lines(), descriptors(), len(mapped._by_key)
    use(1000)
    live()
    after = anonymous_kb(), mapping_lines(), descriptors(), len(mapped._by_key)
    assert after[0] - before[0] < 4_000
    assert after[1] - before[1] < 20
    assert after[2:] == before[2:]


class Node:
    """Something with attributes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.me: Node | None = None


def raised(text: str) -> BaseException:
    def fail(kept: str) -> None:
        raise ValueError(len(kept))

    try:
        fail(text)
    except ValueError as error:
        return error
    raise AssertionError


HOLDERS: dict[str, Callable[[str], object]] = {
    "a list": lambda t: [t],
    "a tuple": lambda t: (1, (t,)),
    "a dict's value": lambda t: {1: t},
    "a dict's key": lambda t: {t: 1},
    "a set": lambda t: {t},
    "an attribute": Node,
    "a closure": lambda t: lambda: t,
    "a generator": lambda t: iter([t]),
    "an iterator of it": iter,
    "a match": lambda t: re.compile(".").search(t),
    "a traceback": raised,
    "an exception": ValueError,
    "a default": lambda t: lambda x=t: x,
}


@pytest.mark.parametrize("name", HOLDERS)
def test_it_lives_as_long_as_what_holds_it(name: str) -> None:
    found = map_text(text_of(2, 5000), 2)
    address, base = id(found), base_of(found)
    holder = HOLDERS[name](found)
    del found
    for _ in range(3):
        gc.collect()
        mapped.sweep()
    assert address in mapped._mappings
    assert mapped._object(address) == text_of(2, 5000)
    assert holder is not None
    del holder
    gc.collect()
    assert address not in mapped._mappings
    assert not is_mapped_at(base)


def test_a_cycle_holds_it_until_it_is_collected() -> None:
    node: Node | None = Node(map_text("a" * 5000, 0))
    assert node
    node.me = node
    address = id(node.text)
    gc.disable()
    try:
        del node
        mapped.sweep()
        assert address in mapped._mappings
    finally:
        gc.enable()
    gc.collect()
    assert address not in mapped._mappings


def test_threads_map_use_and_drop_strings_at_once() -> None:
    errors: list[BaseException] = []
    shared = map_text(text_of(4, 30_000), 4)
    expected = text_of(4, 30_000)

    def work(width: int, name: str) -> None:
        try:
            text = text_of(width, 6_000)
            for number in range(60):
                found = map_text(text, width, f"{name} {number}")
                assert found == text
                assert mapped.find(f"{name} {number}") is found
                assert found.encode() == text.encode()
                assert shared.count("a") == expected.count("a")
                del found
                if number % 10 == 0:
                    gc.collect()
        except BaseException as error:  # noqa: BLE001  # for the main thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(width, f"{width} {name}")) for width in KINDS for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert shared == expected


def test_what_is_switched_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPROMPT_MAPPED", "0")
    with pytest.raises(MaterialiseError, match=r"5,000 characters .*DPROMPT_MAPPED=0"):
        map_text("a" * 5000, 0)
    assert mapped.refusal() == "it is switched off by DPROMPT_MAPPED=0"
    monkeypatch.setenv("DPROMPT_MAPPED", "1")
    assert mapped.refusal() is None


def test_a_descriptor_that_cannot_be_mapped_leaves_no_mapping(tmp_path: Path) -> None:
    before = mapping_lines()
    for _ in range(20):
        descriptor = os.open(tmp_path, os.O_RDONLY)
        try:
            with pytest.raises(MaterialiseError):
                mapped.map_image(descriptor, 5000, 0)
        finally:
            os.close(descriptor)
    assert mapping_lines() < before + 10


PRELUDE = """
import gc, os, pickle, sqlite3, sys, threading, time
from distributed_prompt import mapped
from distributed_prompt.string_layout import KINDS
FILLERS = {0: "the quick fox ", 1: "d\\u00e9j\\u00e0 ", 2: "\\u20ac \\u0100", 4: "a\\U0001f600"}
def text_of(width, length=9000):
    return (FILLERS[width] * length)[:length - 1] + KINDS[width].sample
def map_text(width, key=None, length=9000):
    fd = os.memfd_create("x")
    data = memoryview(text_of(width, length).encode(KINDS[width].codec))
    while data:
        data = data[os.write(fd, data):]
    try:
        return mapped.map_image(fd, length, width, key)
    finally:
        os.close(fd)
def check(x, width, length=9000):
    assert type(x) is str
    expected = text_of(width, length)
    assert x == expected and hash(x) == hash(expected) and x.encode() == expected.encode()
    assert mapped._is_consistent(x)
"""

SCRIPTS = {
    "a forked child uses and drops it": """
xs = {w: map_text(w, f"key {w}") for w in KINDS}
for w, x in xs.items():
    pickle.dumps(x)
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        try:
            for w, x in xs.items():
                check(x, w)
                assert mapped.find(f"key {w}") is x
            y = map_text(2)
            check(y, 2)
            del x, y
            xs.clear()
            gc.collect()
            assert not mapped._mappings, mapped._mappings
            assert mapped.find("key 0") is None
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
for w, x in xs.items():
    check(x, w)
""",
    "a forked child that ends as programs do": """
x = map_text(4)
pid = os.fork()
if pid:
    assert os.waitpid(pid, 0)[1] == 0
check(x, 4)
""",
    "the interpreter exits while it is held": """
xs = [map_text(w) for w in KINDS]
for x in xs:
    pickle.dumps(x), hash(x)
sys.modules["kept"] = xs
sys.kept = xs
""",
    "the interpreter exits while a cycle holds it": """
class C: pass
c = C(); c.c = c; c.x = map_text(2); pickle.dumps(c.x)
gc.disable()
del c
""",
    "the interpreter exits while a daemon thread runs over it": """
x = map_text(2, None, 3_000_000)
def run():
    while True:
        assert x.count("\\u20ac") and x.encode() and x.find("nowhere") == -1
for _ in range(3):
    threading.Thread(target=run, daemon=True).start()
time.sleep(0.2)
""",
    "the interpreter exits after it was interned": """
xs = [sys.intern(map_text(w)) for w in KINDS]
for w, x in enumerate(xs):
    pickle.dumps(x)
del x
for y in xs[:2]:
    pass
xs = xs[:2]
""",
    "interned strings stay": """
for w in KINDS:
    x = map_text(w)
    assert sys.intern(x) is x
    address = id(x)
    del x
    for _ in range(3):
        gc.collect()
        mapped.sweep()
    assert address in mapped._mappings
    y = sys.intern(text_of(w))
    check(y, w)
    assert id(y) == address
    del y
    gc.collect()
    z = sys.intern(text_of(w))
    check(z, w)
""",
    "attribute names and keyword arguments": """
class C: pass
c = C()
x = map_text(0)
setattr(c, x, 1)
assert getattr(c, text_of(0)) == 1 and vars(c)[text_of(0)] == 1
def f(**k): return k
assert f(**{map_text(1): 2}) == {text_of(1): 2}
del x, c
gc.collect()
c = C()
setattr(c, text_of(0), 3)
assert getattr(c, text_of(0)) == 3
""",
    "UTF-8 is cached and freed": """
for _ in range(50):
    for w in KINDS:
        x = map_text(w)
        pickle.dumps(x)
        sqlite3.connect(":memory:").execute("SELECT ?", (x,)).fetchone()
        check(x, w)
        del x
    gc.collect()
assert not mapped._mappings
""",
    "a collection may begin anywhere in find, sweep and map": """
import itertools
thresholds = itertools.cycle(range(1, 12))
for n in range(1500):
    gc.disable()
    a, b = map_text(0, n), map_text(2, (n,))
    if n % 3 == 0:
        del b
    del a
    gc.set_threshold(next(thresholds))
    gc.enable()
    found = mapped.find(n)
    assert found is None
    found = mapped.find((n,))
    assert (found is None) == (n % 3 == 0)
    del found
    mapped.sweep()
    b = None
""",
}

OPTIONS = {
    "plain": (),
    "-X dev": ("-X", "dev", "-W", "ignore"),
    "-X tracemalloc": ("-X", "tracemalloc=5"),
    "-I": ("-I",),
}
RUNS = [
    *((name, option) for name in SCRIPTS for option in ("plain", "-X dev")),
    ("UTF-8 is cached and freed", "-X tracemalloc"),
    ("the interpreter exits while it is held", "-X tracemalloc"),
    ("a forked child uses and drops it", "-I"),
    ("the interpreter exits while it is held", "-I"),
]


def run_script(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    # The checkout is not always installed; -I reads no PYTHONPATH.
    root = str(Path(mapped.__file__).parent.parent)
    script = f"import sys\nsys.path.insert(0, {root!r})\n{script}"
    return subprocess.run(
        [sys.executable, *options, "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "option"), RUNS)
def test_in_a_process_of_its_own(name: str, option: str) -> None:
    done = run_script(PRELUDE + SCRIPTS[name], *OPTIONS[option])
    assert (done.returncode, done.stderr) == (0, "")


MULTIPROCESSING = """
import multiprocessing, sys
from distributed_prompt import mapped
from distributed_prompt.string_layout import KINDS
from tests.test_mapped import map_text, text_of

def child(text, width):
    assert text == text_of(width, 9000)
    return text

if __name__ == "__main__":
    texts = [(map_text(text_of(w, 9000), w), w) for w in KINDS]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        for (text, _), found in zip(texts, pool.starmap(child, texts)):
            assert found == text
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_it_is_passed_to_other_processes(method: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(MULTIPROCESSING, encoding="utf-8")
    root = str(Path(mapped.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), method],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")


FORK_MEANWHILE = """
import signal
inside, leave = threading.Event(), threading.Event()
def hold():
    with mapped._guard:
        inside.set()
        leave.wait()
x = map_text(0, "key")
thread = threading.Thread(target=hold)
thread.start()
inside.wait()
pid = os.fork()
if pid == 0:
    signal.alarm(4)
    gc.collect()
    ok = mapped.find("key") is x
    check(map_text(4), 4)
    os._exit(0 if ok else 1)
status = os.waitpid(pid, 0)[1]
leave.set()
thread.join()
assert status == 0, status
"""


def test_a_child_forked_while_another_thread_is_at_it_goes_on() -> None:
    done = run_script(PRELUDE + FORK_MEANWHILE, "-W", "ignore")
    assert (done.returncode, done.stderr) == (0, "")


SUBINTERPRETER = """
import os, sys
try:
    import _interpreters as interpreters
    run, other = interpreters.exec, interpreters.create("legacy")
except ImportError:
    import _xxsubinterpreters as interpreters
    run, other = interpreters.run_string, interpreters.create(isolated=False)
if {first!r} == "main":
    from distributed_prompt import mapped
    assert mapped.refusal() is None
run(other, '''if True:
    import sys
    sys.path.insert(0, {root!r})
    import os
    from distributed_prompt import mapped
    fd = os.memfd_create("x")
    os.write(fd, b"a" * 5000)
    try:
        try:
            text = mapped.map_image(fd, 5000, 0)
        except mapped.MaterialiseError as error:
            print(error, flush=True)
        else:
            print("mapped", len(text), flush=True)
    except BaseException as error:
        print("failed", repr(error), flush=True)
''')
interpreters.destroy(other)
"""


@pytest.mark.parametrize("first", ["nobody", "main"])
def test_another_interpreter_is_refused(first: str) -> None:
    root = str(Path(mapped.__file__).parent.parent)
    done = run_script(SUBINTERPRETER.format(root=root, first=first), "-W", "ignore")
    assert (done.returncode, done.stderr) == (0, "")
    assert "main interpreter only" in done.stdout


TOO_LITTLE_ADDRESS_SPACE = """
import resource
fd = os.memfd_create("x")
length = 2**30
os.truncate(fd, length)
small = map_text(2)
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
lines = len(open("/proc/self/maps").readlines())
for _ in range(10):
    try:
        mapped.map_image(fd, length, 0, "key")
    except mapped.MaterialiseError as error:
        assert "address space" in str(error) and "ulimit -v" in str(error), error
    else:
        raise AssertionError
assert mapped.find("key") is None
assert len(open("/proc/self/maps").readlines()) <= lines + 5
check(small, 2)
check(map_text(4), 4)
"""


def test_too_little_address_space_is_an_error() -> None:
    done = run_script(PRELUDE + TOO_LITTLE_ADDRESS_SPACE)
    assert (done.returncode, done.stderr) == (0, "")
