"""Attacks on lazy texts and sequences: what they answer, cost and hold on to where it is easiest to get wrong."""

import copy
import gc
import os
import pickle
import signal
import sqlite3
import sys
import threading
import time
import tracemalloc
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt import DistributedPrompt
from distributed_prompt import re as prompt_re
from distributed_prompt.derived.base import MOST_LEVELS
from distributed_prompt.errors import ClosedError, CorruptPackError, DepthError, MaterialiseError
from distributed_prompt.images import MATERIALISE_LIMIT
from distributed_prompt.sequences import LazySequence
from tests.strategies import SMALL_SHARD_SIZES, bounds, examples, needles, shard_sizes

# Case-ignorable ones, cased ones that are so too, what grows, every kind of white space, halves of pairs.
pytestmark = pytest.mark.thorough
LETTERS = (
    "aAb\u03a3'.\u0345\u02b0\u0301\u0149\u00df\u0130\u01c5\ufb03\u1f88"
    " \t\n\r\x0b\x1c\x1f\x85\xa0\u2028\u200b\ud83d\ude00"
)
attacked = st.one_of(
    st.text(LETTERS, min_size=1, max_size=30),
    st.text("a", min_size=1, max_size=20),
    st.text("\r\na", min_size=1, max_size=20),
    st.text("a\u03a3.'", min_size=1, max_size=40),
)


def lazy(text: str, shard_size: int = 7, threshold: int = 0) -> DistributedPrompt:
    prompt = DistributedPrompt.from_text(text, shard_size=shard_size)
    prompt.view_threshold = threshold
    return prompt


def plain(found: object) -> object:
    """What a result says, whether it is lazy or not."""
    if isinstance(found, DistributedPrompt):
        return str(found)
    if isinstance(found, list | LazySequence):
        return [plain(item) for item in found]
    if isinstance(found, tuple):
        return tuple(plain(item) for item in found)
    return found


def outcome(call: Callable[[Any], object], on: object) -> object:
    try:
        return plain(call(on))
    except Exception as error:  # noqa: BLE001  # whatever it is, it is compared
        return type(error)


def touched(prompt: DistributedPrompt, call: Callable[[], object]) -> int:
    """How many shards a call asks for, from the cache or not."""
    before = prompt.stats
    call()
    after = prompt.stats
    return after.hits + after.decoded_shards - before.hits - before.decoded_shards


class Rotated:
    """A table that is no mapping: deletes, grows, leaves alone and replaces by number."""

    def __getitem__(self, code: int) -> str | int | None:
        if code % 5 == 0:
            raise LookupError
        return [None, "xy", 65, "\r\n"][code % 4]


@st.composite
def operations(draw: st.DrawFn, text: str) -> Callable[[Any], Any]:
    """One that makes a text of a text."""
    old, new = draw(needles(text)), draw(needles(text))
    start, stop = draw(bounds(text)), draw(bounds(text))
    count, width = draw(st.sampled_from([-1, -1, 0, 1, 2, 7])), draw(st.integers(-1, 40))
    step = draw(st.sampled_from([None, 1, 2, -1, -3, 50]))
    name = draw(st.sampled_from(["lower", "upper", "casefold", "swapcase", "title", "capitalize", "strip"]))
    table: Any = draw(st.sampled_from([Rotated(), {97: "bb", 98: None}, str.maketrans("ab", "ba", "\n"), "ba" * 60]))
    choices: list[Callable[[Any], Any]] = [
        lambda x: getattr(x, name)(),
        lambda x: getattr(x, name)(),
        lambda x: x.replace(old, new, count),
        lambda x: x.replace(old, x[:3]),
        lambda x: x.expandtabs(count),
        lambda x: x.translate(table),
        lambda x: x.zfill(width),
        lambda x: x.center(width, "\u20ac"),
        lambda x: x.rjust(width) + new,
        lambda x: old + x * 2,
        lambda x: x[start:stop:step],
        lambda x: x[start:stop:step],
        lambda x: x.join([old, x[:2], new]),
        lambda x: x.partition(old or "a")[2],
        lambda x: x.removeprefix(old),
        lambda x: x.view(1, None) if isinstance(x, DistributedPrompt) else x[1:],
    ]
    chosen: Callable[[Any], Any] = draw(st.sampled_from(choices))
    return chosen


@st.composite
def text_questions(draw: st.DrawFn, text: str) -> Callable[[Any], object]:
    needle, other = draw(needles(text)), draw(needles(text))
    start, stop = draw(bounds(text)), draw(bounds(text))
    index = draw(st.integers(-len(text) - 1, len(text)))
    choices: list[Callable[[Any], object]] = [
        len,
        str,
        hash,
        list,
        lambda x: list(reversed(x)),
        lambda x: x[index],
        lambda x: x[start:stop],
        lambda x: x.find(needle, start, stop),
        lambda x: x.rfind(needle, start, stop),
        lambda x: x.index(needle, start, stop),
        lambda x: x.count(needle, start, stop),
        lambda x: x.startswith((needle, other), start, stop),
        lambda x: x.endswith(needle, start, stop),
        lambda x: x.partition(needle),
        lambda x: x.rpartition(needle),
        lambda x: (x == text, x == text + "a", x != text, x < needle, needle <= x),
        lambda x: (x.istitle(), x.islower(), x.isupper(), x.isspace(), x.isascii()),
    ]
    chosen: Callable[[Any], Any] = draw(st.sampled_from(choices))
    return chosen


@st.composite
def sequences(draw: st.DrawFn, text: str) -> Callable[[Any], Any]:
    sep = draw(st.one_of(st.none(), st.just("\n"), needles(text).filter(bool)))
    maxsplit, keepends = draw(st.sampled_from([-1, -1, 0, 1, 2, 5])), draw(st.booleans())
    choices: list[Callable[[Any], Any]] = [
        lambda x: x.split(sep, maxsplit),
        lambda x: x.rsplit(sep=sep, maxsplit=maxsplit),
        lambda x: x.splitlines(keepends=keepends),
    ]
    chosen: Callable[[Any], Any] = draw(st.sampled_from(choices))
    return chosen


@st.composite
def list_questions(draw: st.DrawFn, items: list[str]) -> Callable[[Any], object]:
    index, number = draw(st.integers(-len(items) - 1, len(items))), draw(st.integers(0, 3))
    start, stop = draw(bounds("".join(items))), draw(bounds("".join(items)))
    step = draw(st.sampled_from([None, 1, 2, -1, -3]))
    item = draw(st.sampled_from(items or [""]))
    choices: list[Callable[[Any], object]] = [
        len,
        bool,
        list,
        copy.copy,
        copy.deepcopy,
        lambda x: x[index],
        lambda x: x[start:stop:step],
        lambda x: x[start:stop:step][::-2],
        lambda x: list(reversed(x)),
        lambda x: (x == items, items == x, x != items, x == [*items, "a"]),
        lambda x: (item in x, x.index(item), x.count(item)),
        lambda x: x.index(item, start or 0, sys.maxsize if stop is None else stop),
        lambda x: x.index("no item"),
        lambda x: sorted(map(str, x)),
        lambda x: [*islice(enumerate(x), number)],
        lambda x: [*zip(x, x, range(number), strict=False)],
        lambda x: "|".join(map(str, x[start:stop])),
        lambda x: pickle.loads(pickle.dumps(x)),  # noqa: S301
    ]
    chosen: Callable[[Any], Any] = draw(st.sampled_from(choices))
    return chosen


@given(data=st.data(), text=attacked, threshold=st.sampled_from([0, 0, 1, 5]))
@examples(100, at_soak=4)
def test_any_chain_of_operations_gives_what_str_gives(data: st.DataObject, text: str, threshold: int) -> None:
    before, behind = data.draw(st.sampled_from([("", ""), ("\u03a3", "\u03a3"), ("a\r", "\nb"), (" ", " ")]))
    whole = before + text + behind
    prompt = lazy(whole, data.draw(shard_sizes(whole)), threshold)
    found: Any = prompt.view(len(before), len(before) + len(text))
    for _ in range(data.draw(st.integers(0, 3))):
        operation = data.draw(operations(text))
        found, text = operation(found), operation(text)
        if data.draw(st.booleans()):
            question = data.draw(text_questions(text))
            assert outcome(question, found) == outcome(question, text)
        if data.draw(st.booleans()):
            found = pickle.loads(pickle.dumps(found))  # noqa: S301
    make = data.draw(sequences(text))
    fields, items = make(found), make(text)
    for _ in range(data.draw(st.integers(1, 3))):
        question = data.draw(text_questions(text))
        assert outcome(question, found) == outcome(question, text)
        asked = data.draw(list_questions(items))
        assert outcome(asked, fields) == outcome(asked, items)


@pytest.mark.parametrize("shard_size", [*SMALL_SHARD_SIZES, 380, 381, 382])
@pytest.mark.parametrize("letter", ["a", "\u01c5", " ", "\u0345", ""])
def test_a_sigma_looks_past_any_number_of_shards(shard_size: int, letter: str) -> None:
    for text in (letter + "'." * 190 + "\u03a3", letter + "\u03a3" + "\u0301" * 380 + letter, "\u03a3'\u03a3" * 130):
        prompt = lazy(text, shard_size)
        for name in ("lower", "swapcase", "title", "capitalize"):
            found: Any = getattr(prompt, name)()
            expected = getattr(text, name)()
            assert str(found[-3:]) == expected[-3:]
            assert str(found) == expected


@pytest.mark.parametrize("shard_size", SMALL_SHARD_SIZES)
def test_separators_that_overlap_themselves_are_found_as_by_str(shard_size: int) -> None:
    for text in ("aaaa", "aaaaaaa", "abababa" * 3, "aabaabaa" * 3, "\r\n\r\n\r\r\n\n"):
        prompt = lazy(text, shard_size)
        for sep in ("aa", "aba", "aaa", "aabaa", "\r\r", "\r\n"):
            for maxsplit in (-1, 0, 1, 2):
                assert plain(prompt.split(sep, maxsplit)) == text.split(sep, maxsplit)
                assert plain(prompt.rsplit(sep, maxsplit)) == text.rsplit(sep, maxsplit)
            assert str(prompt.replace(sep, "<" + sep + ">", 2)) == text.replace(sep, "<" + sep + ">", 2)
            assert list(cast("Any", prompt.lower()).find_all(sep))[:1] == [text.find(sep)][: sep in text]


def test_items_are_those_of_a_list_for_all_that_takes_sequences() -> None:
    text = "c b\na "
    prompt = lazy(text, 2, threshold=3)
    fields: Any = prompt.split(" ")
    assert ",".join(fields[0:2]) == "c,b\na"
    assert sorted(fields) == sorted(text.split(" "))
    assert dict(enumerate(fields)) == dict(enumerate(text.split(" ")))
    assert list(zip(fields, reversed(fields), strict=True)) == [("c", ""), ("b\na", "b\na"), ("", "c")]
    first, *others = fields
    assert (first, others) == ("c", ["b\na", ""])
    match fields:
        case [_, _, _]:
            pass
        case _:
            pytest.fail("no sequence to match")


def test_iterators_that_are_left_go_on_where_they_were_and_disturb_no_other() -> None:
    text = "aB\u00e9 \n" * 200
    prompt = lazy(text, 7)
    found: Any = prompt.swapcase()
    expected = text.swapcase()
    makes: list[Callable[[Any], Iterator[Any]]] = [
        iter,
        lambda x: iter(x.split(" ")),
        lambda x: iter(x.splitlines(keepends=True)),
        lambda x: reversed(x.split()),
    ]
    for make in makes:
        one, other = make(found), make(found)
        seen = [str(next(one)) for _ in range(30)]
        assert str(found[::-1]) == expected[::-1]
        for _ in range(30):
            seen.append(str(next(one)))
            assert str(next(other)) == seen[len(seen) - 31]
        assert seen + [str(item) for item in one] == list(make(expected))


def test_abandoned_iterators_may_end_on_any_thread_at_any_time() -> None:
    prompt = lazy("aB\u00e9 \n" * 20_000, 100)
    found: Any = prompt.swapcase()

    def work(_: int) -> int:
        for _ in range(10):
            kept: list[Any] = [iter(found), iter(found.split(" ")), iter(found[::-1]), iter((found + "x").lines)]
            for iterator in kept:
                next(iterator)
            kept.append(kept)
            del kept
            gc.collect(0)
        return cast("int", found.find("\n", 50_000))

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(work, range(4))) == {50_004}


@contextmanager
def hasty_switches() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


MAKES: list[Callable[[Any], Any]] = [
    lambda x: x.lower(),
    lambda x: x.replace("a", "bb"),
    lambda x: x.title()[::-1],
    lambda x: (x.lower() + x).replace("b", "") * 2,
    lambda x: x.expandtabs(3).swapcase(),
]


@pytest.mark.parametrize("make", MAKES)
def test_threads_that_share_one_lazy_object_get_the_answers_of_one(make: Callable[[Any], Any]) -> None:
    base = "".join(Random(5).choices("a\u03a3 b\n\r'\u00df\u00e9A.x\t", k=3000))  # noqa: S311
    text = make(base)
    found = make(lazy(base))
    splits: list[Callable[[Any], Any]] = [
        lambda x: x.split("b"),
        lambda x: x.split(),
        lambda x: x.splitlines(),
        lambda x: x.rsplit("x", 50),
    ]
    shared = [(split(found), split(text)) for split in splits]

    def work(seed: int) -> None:
        random = Random(seed)  # noqa: S311
        for _ in range(12):
            at = random.randrange(len(text))
            assert str(found[at : at + 20]) == text[at : at + 20]
            assert found.find(text[at : at + 6], at) == at
            fields, items = random.choice(shared)
            number = random.randrange(len(items))
            assert str(fields[number]) == items[number]
            assert len(fields) == len(items)
        assert str(found) == text

    with hasty_switches(), ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


class Gate:
    """A table for ``translate`` that stops whoever uses it, from the so-manieth character on, until it is opened."""

    def __init__(self, free: int) -> None:
        self._left = free
        self.reached, self.opened = threading.Event(), threading.Event()

    def __getitem__(self, code: int) -> int:
        self._left -= 1
        if self._left < 0:
            self.reached.set()
            self.opened.wait(30)
        return code


SPACES = " " * 300 + "a b c\u00e9\n" * 20 + " " * 300
FIRST_STEPS: dict[str, Callable[[Any], object]] = {
    "the first word": lambda x: str(x.split()[0]),
    "the number of words": lambda x: len(x.split()),
    "words from the end": lambda x: len(x.rsplit(None, 2)),
    "fields from the end": lambda x: len(x.rsplit("a", 2)),
    "lines": lambda x: len(x.splitlines()),
    "lines by newline": lambda x: len(x.split("\n")),
}


@contextmanager
def somebody_inside(step: Callable[[Any], object]) -> Iterator[None]:
    """While a thread is in the middle of the step, on a text of its own."""
    gate = Gate(free=50)
    text = lazy(SPACES).translate(gate)
    thread = threading.Thread(target=step, args=(text,), daemon=True)
    thread.start()
    assert gate.reached.wait(10)
    try:
        yield
    finally:
        gate.opened.set()
        thread.join(10)


@pytest.mark.parametrize("name", FIRST_STEPS)
def test_nobody_waits_for_what_somebody_finds_out_about_another_text(name: str) -> None:
    step = FIRST_STEPS[name]
    answers: list[object] = []
    prompt = lazy(SPACES).lower()
    with somebody_inside(step):
        thread = threading.Thread(target=lambda: answers.append(step(prompt)), daemon=True)
        thread.start()
        thread.join(2)
        assert answers == [step(SPACES)]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.forks
@pytest.mark.parametrize("name", FIRST_STEPS)
def test_a_child_that_is_forked_while_a_thread_finds_something_out_does_not_wait_for_it(name: str) -> None:
    step = FIRST_STEPS[name]
    prompt = lazy(SPACES).lower()
    with somebody_inside(step):
        child = os.fork()
        if child == 0:
            signal.alarm(2)
            code = 1
            try:
                code = 0 if step(prompt) == step(SPACES) else 2
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0


CLOSED: dict[str, Callable[[Any], object]] = {
    "a slice": lambda x: str(x[0:2]),
    "the last character": lambda x: x[-1],
    "a search": lambda x: x.find("l"),
    "the string": str,
    "the characters": list,
    "the hash": hash,
    "a comparison": lambda x: x < "a",
    "a count": lambda x: x.count("l"),
    "the first field": lambda x: str(x.split("o")[0]),
    "a transformed slice": lambda x: str(x.upper()[0:2]),
}
LAZY_KINDS: dict[str, Callable[[Any], Any]] = {
    "lower": lambda x: x.lower(),
    "replace": lambda x: x.replace("l", "LL"),
    "a step": lambda x: x[::-1],
    "repeated": lambda x: x * 3,
    "joined": lambda x: x + "hello",
    "filled": lambda x: x.ljust(30),
}


@pytest.mark.parametrize("kind", LAZY_KINDS)
@pytest.mark.parametrize("name", CLOSED)
def test_what_is_made_of_a_closed_prompt_says_so_even_if_it_was_used_before(kind: str, name: str) -> None:
    prompt = lazy("Hello World", 3)
    found = LAZY_KINDS[kind](prompt)
    for used in CLOSED.values():
        used(found)
    prompt.close()
    with pytest.raises(ClosedError):
        CLOSED[name](found)


def test_an_unpickled_sum_closes_all_that_it_was_made_of(tmp_path: Path) -> None:
    prompts = []
    for name in ("one", "other"):
        (tmp_path / name).write_text(name * 10)
        dp.pack(tmp_path / name, tmp_path / f"{name}.dprompt", shard_size=4)
        prompts.append(dp.open(tmp_path / f"{name}.dprompt"))
        prompts[-1].view_threshold = 0
    found: Any = pickle.loads(pickle.dumps(prompts[0] + cast("str", prompts[1])))  # noqa: S301
    found.close()
    with pytest.raises(ClosedError):
        str(found[-5:])


DAMAGED_TEXT = "".join(f"Word \u03a3 of TEN {number}\n" for number in range(1000))


def damaged(folder: Path, shard: int) -> DistributedPrompt:
    """A prompt of words one of whose shards is damaged in the file."""
    (folder / "text").write_text(DAMAGED_TEXT, newline="")
    path = folder / "pack"
    dp.pack(folder / "text", path, shard_size=500)
    with closing(sqlite3.connect(path)) as connection:
        blob = connection.execute("SELECT * FROM shards LIMIT 1 OFFSET ?", (shard,)).fetchone()[1]
    # Free parts of the file's pages may hold a copy.
    path.write_bytes(path.read_bytes().replace(blob, blob[:25] + bytes([blob[25] ^ 1]) + blob[26:]))
    prompt = dp.open(path)
    prompt.view_threshold = 0
    return prompt


def test_a_damaged_shard_is_an_error_each_time_and_what_lies_before_it_is_not(tmp_path: Path) -> None:
    text = DAMAGED_TEXT
    prompt = damaged(tmp_path, 20)
    words: Any = prompt.split()
    found: Any = prompt.swapcase()
    for _ in range(3):
        for ask in (
            lambda: str(found),
            lambda: len(found),
            lambda: found.find("nowhere"),
            lambda: str(found[-1:]),
            lambda: str(found[10_000:10_010]),
            lambda: list(words),
            lambda: len(words),
            lambda: words[-1],
            lambda: str(prompt[::-1]),
            lambda: prompt.lower() < prompt.lower() + "x",
        ):
            with pytest.raises(CorruptPackError):
                ask()
        assert str(found[:3_000]) == text.swapcase()[:3_000]
        assert [str(word) for word in words[:900]] == text.split()[:900]
        assert str(words[3]) == "TEN"


def test_a_slice_of_sound_shards_is_made_although_a_later_one_is_damaged(tmp_path: Path) -> None:
    prompt = damaged(tmp_path, 20)
    assert str(prompt[:9_000]) == DAMAGED_TEXT[:9_000]
    assert str(cast("Any", prompt.swapcase())[:9_000]) == DAMAGED_TEXT.swapcase()[:9_000]


@pytest.mark.parametrize("fill", ["", "\u00e9", "\u20ac", "\U0001f600"])
def test_a_long_lazy_text_becomes_a_string_of_the_right_width(fill: str) -> None:
    text = "b" * (MATERIALISE_LIMIT + 9)
    expected = text.replace("b", "c") + fill
    prompt: Any = DistributedPrompt.from_text(text)
    found = str(prompt.replace("b", "c") + fill)
    assert type(found) is str
    assert found == expected
    assert hash(found) == hash(expected)
    assert sys.getsizeof(found) == sys.getsizeof(expected)
    narrow = str((prompt + "\U0001f600").replace("\U0001f600", fill))
    assert sys.getsizeof(narrow) == sys.getsizeof(expected)
    assert narrow == text + fill


@pytest.mark.timeout(2)
@pytest.mark.parametrize(
    "call",
    [
        lambda p: str(p.ljust(10**14)),
        lambda p: hash(p * 10**13),
        lambda p: (p * 10**13).as_str(),
        lambda p: f"{p.rjust(10**14)}",
    ],
)
def test_a_text_that_no_disk_has_room_for_is_refused_at_once(call: Callable[[Any], object]) -> None:
    with pytest.raises(MaterialiseError):
        call(lazy("abc", 2))


HUGE: dict[str, tuple[Callable[[Any], object], object]] = {
    "the end of a filled text": (lambda p: str(p.ljust(10**15)[-5:]), " " * 5),
    "the middle of a centred text": (lambda p: str(p.center(10**15 + 1, ".")[5 * 10**14 - 2 :][:5]), ".abc."),
    "a repeated text": (lambda p: str((p * 10**12)[-4:]), "cabc"),
    "its reverse": (lambda p: str((p * 10**12)[::-1][:4]), "cbac"),
    "wide steps": (lambda p: str((p * 10**12)[:: 10**12]), "abc"),
    "a search": (lambda p: (p * 10**12).lower().find("cab"), 2),
    "a search from the end": (lambda p: (p * 10**12).rfind("cab"), 3 * 10**12 - 4),
    "a far search": (lambda p: p.rjust(10**15).find("a", 10**15 - 9), 10**15 - 3),
    "the first word": (lambda p: str(p.ljust(10**15).lower()[:5]), "abc  "),
    "equal texts": (lambda p: p.ljust(10**15) == p.ljust(10**15), True),
    "texts of other lengths": (lambda p: p.ljust(10**15) == p.ljust(10**15 + 1), False),
    "the longest text": (lambda p: len(p.ljust(sys.maxsize)), sys.maxsize),
    "its end": (lambda p: str(p.rjust(sys.maxsize)[-4:]), " abc"),
    "a search beyond 2**62": (lambda p: p.ljust(sys.maxsize).find(" ", 2**62 + 5), 2**62 + 5),
}


@pytest.mark.timeout(2)
@pytest.mark.parametrize("name", HUGE)
def test_huge_widths_and_counts_cost_nothing(name: str) -> None:
    call, expected = HUGE[name]
    assert call(lazy("abc", 2)) == expected


@pytest.mark.parametrize(
    "call",
    [
        lambda p: p.ljust(sys.maxsize) + "a",
        lambda p: "a" + p.ljust(sys.maxsize),
        lambda p: p.ljust(sys.maxsize) + p,
        lambda p: p.join([p.ljust(sys.maxsize), "a"]),
        lambda p: p * sys.maxsize,
        lambda p: p.ljust(2**70),
        lambda p: p.ljust(-(2**70)),
        lambda p: p.zfill(-(2**70)),
        lambda p: p.center(-(2**70)),
    ],
)
def test_what_no_string_can_be_is_an_overflow(call: Callable[[Any], object]) -> None:
    with pytest.raises(OverflowError):
        call(lazy("abc", 2))


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_a_table_may_be_changed_once_it_has_been_given(kind: type[dict[int, str]]) -> None:
    table = kind({97: "x"})
    found: Any = lazy("abca", 2).translate(table)
    table[97] = "y"
    assert str(found) == "abca".translate({97: "x"})


def test_a_table_that_makes_up_what_is_missing_is_asked() -> None:
    table: Any = defaultdict(lambda: "-", {97: "x"})
    assert str(lazy("abca", 2).translate(table)) == "x--x"


@pytest.mark.parametrize("call", [lambda t: t + "x", lambda t: "x" + t, lambda t: t[1:-1]])
def test_texts_may_be_made_of_each_other_as_often_as_one_likes(call: Callable[[Any], Any]) -> None:
    text = "abc" * 1000
    found: Any = lazy(text, 1000, threshold=10)
    for _ in range(1200):
        found, text = call(found), call(text)
    assert len(found) == len(text)
    assert str(found) == text


def test_a_title_is_made_in_one_pass_whatever_is_in_it() -> None:
    text = "a" + "." * 40_000
    prompt = lazy(text, 100)
    found: Any = prompt.title()
    assert touched(prompt, lambda: str(found)) <= 10 * 400
    assert str(found) == text.title()


COSTS: dict[str, tuple[Callable[[Any], object], int]] = {
    "nothing at all": (lambda p: p * 0, 0),
    "a negative number of times": (lambda p: p * -1, 0),
    "what a lazy text starts with": (lambda p: p.replace("L", "l").startswith("line"), 5),
    "the first character of a wide step": (lambda p: str(p[::50][0]), 5),
    "the first character from the end": (lambda p: str(p[::-1][0]), 150),
    "a slice of a replaced text": (lambda p: str(p.replace("L", "l")[:9]), 5),
    "a lazy text of a lazy text": (lambda p: p.lower().upper(), 0),
    "a sum": (lambda p: p + p, 0),
    "the first word": (lambda p: p.split()[0], 10),
    "the last field": (lambda p: p.rsplit("L", 1)[-1], 150),
    "all chunks of a lazy text, each of some shards": (
        lambda p: [len(chunk) for chunk in p.replace("L", "l").chunks(9_000)],
        3_000,
    ),
    "the first difference": (lambda p: p.lower() == p.upper(), 10),
    "the order of two": (lambda p: p.replace("L", "l") < p.lower().replace("i", "j"), 10),
}


@pytest.mark.parametrize("name", COSTS)
def test_no_more_shards_are_decoded_than_are_needed(name: str) -> None:
    call, most = COSTS[name]
    prompt = lazy("".join(f"Line{number:05}\n" for number in range(100_000)), 1000, threshold=10_000)
    call(prompt)
    assert prompt.stats.decoded_shards <= most


def peak_bytes(call: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: p.replace("a", "x" * 2_000),
        lambda p: p.replace("", "x" * 2_000),
        lambda p: p.translate({97: "x" * 2_000}),
        lambda p: p.replace("a", "\t").expandtabs(2_000),
    ],
)
def test_a_text_that_grows_a_lot_is_made_a_little_at_a_time(make: Callable[[Any], Any]) -> None:
    prompt = DistributedPrompt.from_text("a" * 2**17)
    prompt.view_threshold = 1000
    assert peak_bytes(lambda: str(make(prompt)[:10])) < 64 * 2**20


def test_no_time_grows_with_the_square_of_the_number_of_items() -> None:
    def seconds(lines: int) -> float:
        prompt = lazy("aa \u00e9b\n" * lines, 100)
        begin = time.process_time()
        fields: Sequence[Any] = cast("Any", prompt.lower().split())
        assert sum(1 for _ in reversed(fields)) == sum(1 for _ in fields) == 2 * lines
        assert sum(1 for _ in cast("Any", prompt.rsplit("b", lines))) == lines + 1
        assert prompt.lower().count("\u00e9") == lines
        return time.process_time() - begin

    few = seconds(1_000)
    assert seconds(8_000) < 8 * 4 * few + 1


def test_lazy_texts_have_no_documents_and_all_the_rest() -> None:
    text = "Ab\u00e9\n" * 50
    found: Any = lazy(text, 7).lower()
    assert dict(found.documents) == {}
    assert found.document_at(3) is None
    assert [str(chunk) for chunk in found.chunks(9, overlap=2)][1] == text.lower()[7:16]
    assert [found.line_at(at) for at in range(9)] == [text[:at].count("\n") for at in range(9)]
    assert list(found.find_all("\u00c9", ignore_case=True)) == list(range(2, 200, 4))
    assert [str(line) for line in found.lines[-2:]] == ["ab\u00e9", "ab\u00e9"]
    with pytest.raises(IndexError):
        found.line_at(10**9)


@pytest.mark.parametrize(
    ("operation", "levels"),
    [
        (lambda t: t.replace("zz", ""), 1),
        (lambda t: t[::-1], 1),
        (lambda t: t.translate({97: 98}), 1),
        (lambda t: prompt_re.sub("zz+", "y", t), 1),
        (lambda t: t.swapcase() + "x", 2),
    ],
)
def test_texts_made_of_each_other_too_often_are_refused_with_advice_before_python_gives_up(
    operation: Callable[[Any], Any], levels: int
) -> None:
    text: Any = "abc def\t" * 50
    prompt: Any = lazy(text, 100)
    for _ in range(MOST_LEVELS // levels):
        text, prompt = operation(text), operation(prompt)
    assert (len(prompt), prompt[-1], prompt.find("c", 300)) == (len(text), text[-1], text.find("c", 300))
    assert (prompt[20:35], prompt.count("e"), prompt == text) == (text[20:35], text.count("e"), True)
    assert len(prompt.split()) == len(text.split())
    with pytest.raises(DepthError, match="pack that"):
        operation(prompt)
