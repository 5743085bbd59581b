"""What a prompt does that no ``str`` does: costs, closing, pickling, forking, threads."""

import collections.abc
import copy
import errno
import gc
import os
import pickle
import random
import re
import signal
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import distributed_prompt as dp
from distributed_prompt import DistributedPrompt
from distributed_prompt.errors import (
    AddressError,
    ArgumentError,
    ClosedError,
    DPromptError,
    MaterialiseError,
    OutputError,
    PackChangedError,
)
from distributed_prompt.images import MATERIALISE_LIMIT
from distributed_prompt.prompt import VIEW_THRESHOLD
from tests.inside import shards_of

SHARD_SIZE = 100
CHILD_SECONDS = 10
Operation = Callable[[DistributedPrompt], object]


@pytest.fixture
def pack(tmp_path: Path, pattern_text: str) -> Path:
    """The pattern as 176 shards."""
    path = tmp_path / "pattern.dprompt"
    dp.ingest_string(pattern_text, path, shard_size=SHARD_SIZE)
    return path


@pytest.fixture
def prompt(pack: Path) -> Iterator[DistributedPrompt]:
    """The pack of the pattern, opened and untouched."""
    with dp.open(pack) as prompt:
        yield prompt


@pytest.fixture
def lined(tmp_path: Path) -> Iterator[tuple[DistributedPrompt, str]]:
    """Forty lines of 25 characters, four to a shard, and a piece of one."""
    text = "".join(f"line {number:019d}\n" for number in range(40)) + "the rest"
    dp.ingest_string(text, tmp_path / "lined.dprompt", shard_size=SHARD_SIZE)
    with dp.open(tmp_path / "lined.dprompt") as prompt:
        yield prompt, text


def decoded_by(prompt: DistributedPrompt, operation: Callable[[], object]) -> int:
    before = prompt.stats.decoded_shards
    operation()
    return prompt.stats.decoded_shards - before


def pickled(value: object) -> object:
    return pickle.loads(pickle.dumps(value))  # noqa: S301  # our own


def reopened(prompt: DistributedPrompt) -> DistributedPrompt:
    again = pickled(prompt)
    assert isinstance(again, DistributedPrompt)
    return again


# repr


def test_a_prompt_shows_its_length_shards_and_shard_size(prompt: DistributedPrompt) -> None:
    assert repr(prompt) == "DistributedPrompt(length=17,576, shards=176, shard_size=100)"


def test_an_empty_prompt_has_no_shards() -> None:
    assert repr(DistributedPrompt.from_text("")) == "DistributedPrompt(length=0, shards=0, shard_size=131,072)"


@pytest.mark.parametrize(
    ("start", "stop", "shards"), [(0, 0, 0), (50, 50, 0), (99, 100, 1), (99, 101, 2), (100, 200, 1), (150, 350, 3)]
)
def test_a_view_shows_the_shards_it_touches(prompt: DistributedPrompt, start: int, stop: int, shards: int) -> None:
    expected = f"DistributedPrompt(length={stop - start}, shards={shards}, shard_size=100)"
    assert repr(prompt.view(start, stop)) == expected


def test_showing_lines_and_chunks_takes_one_line_whatever_their_number(prompt: DistributedPrompt) -> None:
    assert repr(prompt.chunks(3)).startswith("['aaa', 'baa', ")
    assert repr(prompt.chunks(3)).endswith(", … 5,853 more]")


# views


def test_a_slice_is_a_string_up_to_the_threshold_and_a_view_above_it(
    prompt: DistributedPrompt, pattern_text: str
) -> None:
    prompt.view_threshold = 500
    assert type(prompt[100:600]) is str
    view = prompt[100:601]
    assert isinstance(view, DistributedPrompt)
    assert view == pattern_text[100:601]


def test_the_default_threshold_is_eight_million_characters() -> None:
    text = "ab" * (VIEW_THRESHOLD // 2) + "c"
    prompt = DistributedPrompt.from_text(text)
    assert VIEW_THRESHOLD == prompt.view_threshold == 2**23
    assert type(prompt[1:]) is str
    assert isinstance(prompt[:], DistributedPrompt)
    assert prompt[:] == text


def test_a_view_keeps_the_threshold_of_its_prompt(prompt: DistributedPrompt) -> None:
    prompt.view_threshold = 10
    assert isinstance(prompt.view(5, 50)[1:12], DistributedPrompt)
    assert type(prompt.view(5, 50)[1:11]) is str


def test_a_long_slice_with_a_step_is_a_prompt_too(prompt: DistributedPrompt, pattern_text: str) -> None:
    assert type(prompt[::2]) is str
    prompt.view_threshold = 10
    backwards = prompt[::-1]
    assert type(backwards) is DistributedPrompt
    assert backwards == pattern_text[::-1]
    assert backwards[5:9] == pattern_text[::-1][5:9]
    assert type(prompt[:20:2]) is str


def test_views_share_the_cache_and_the_counters_of_their_prompt(prompt: DistributedPrompt) -> None:
    view = prompt.view(100, 300).view(10, 20)
    assert decoded_by(prompt, lambda: view[0]) == 1
    assert decoded_by(view, lambda: prompt[150]) == 0
    assert view.stats == prompt.stats


def test_a_view_of_a_view_does_not_keep_the_one_between(prompt: DistributedPrompt) -> None:
    between = prompt.view(100, 300)
    view = between.view(10, 20)
    alive = weakref.ref(between)
    del between
    gc.collect()
    assert alive() is None
    assert len(view) == 10


def test_a_view_outlives_the_name_of_its_prompt(pack: Path, pattern_text: str) -> None:
    view = dp.open(pack).view(250, 450)
    gc.collect()
    assert view == pattern_text[250:450]


# what is no str


def test_a_prompt_is_neither_a_str_nor_a_registered_sequence(prompt: DistributedPrompt) -> None:
    assert not issubclass(type(prompt), str)
    assert not issubclass(type(prompt), collections.abc.Sequence)


def test_a_prompt_matches_no_sequence_pattern(prompt: DistributedPrompt) -> None:
    value: object = prompt
    match value:
        case [*_]:
            matched = True
        case _:
            matched = False
    assert not matched


def test_c_code_that_insists_on_a_str_refuses_a_prompt(prompt: DistributedPrompt) -> None:
    value: str = prompt  # type: ignore[assignment]  # as an untyped caller would
    values = [value, "text"]
    with pytest.raises(TypeError):
        ",".join(values)
    with pytest.raises(TypeError):
        _ = value in "text"
    with pytest.raises(TypeError):
        re.search("a", value)


def test_a_prompt_is_made_of_a_backend_and_says_so(pack: Path) -> None:
    with pytest.raises(TypeError, match=r"^a prompt is made of a Backend, not str; dp\.open\(path\) opens a file$"):
        DistributedPrompt(str(pack))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [b"abc", None, 5, ["a"]])
def test_only_strings_become_prompts(text: str) -> None:
    with pytest.raises(TypeError, match=rf"^from_text\(\) argument must be str, not {type(text).__name__}$"):
        DistributedPrompt.from_text(text)


# limits


def test_a_text_too_long_for_one_string_says_what_to_use_instead() -> None:
    prompt = DistributedPrompt.from_text("a" * (MATERIALISE_LIMIT + 1))
    prompt.image_limit = 2**23
    for operation in (str, hash, format):
        with pytest.raises(MaterialiseError, match=r"at most 8,388,608 \(image_limit.*chunks\(\)"):
            operation(prompt)
    for method in (prompt.encode, prompt.format):
        with pytest.raises(MaterialiseError, match=rf"^{method.__name__}\b.*: 16,777,217 characters; .*chunks\(\)"):
            method()
    assert str(prompt.view(1)) == "a" * MATERIALISE_LIMIT
    assert prompt[::2] == "a" * (MATERIALISE_LIMIT // 2 + 1)


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (-1, 0), (3, 3), (3, 4), (3, -1)])
def test_chunks_that_would_not_advance_are_refused(prompt: DistributedPrompt, size: int, overlap: int) -> None:
    with pytest.raises(ArgumentError):
        prompt.chunks(size, overlap)


def test_finding_all_of_nothing_is_refused_at_once(prompt: DistributedPrompt) -> None:
    with pytest.raises(ArgumentError, match=r"^find_all\(\): empty substring$"):
        prompt.find_all("")


@pytest.mark.parametrize("offset", [1.5, "x", None])
def test_a_line_is_asked_for_by_an_integer_or_it_is_a_type_error(prompt: DistributedPrompt, offset: int) -> None:
    with pytest.raises(TypeError):
        prompt.line_at(offset)
    with pytest.raises(TypeError):
        prompt.line_start(offset)
    with pytest.raises(TypeError):
        prompt.lines[offset]


# closing

READING: dict[str, Operation] = {
    "index": lambda prompt: prompt[5],
    "slice": lambda prompt: prompt[3:50],
    "slice over many shards": lambda prompt: prompt[3:5000],
    "slice with a step": lambda prompt: prompt[::50],
    "str": str,
    "hash": hash,
    "iteration": list,
    "find": lambda prompt: prompt.find("zzz"),
    "rfind": lambda prompt: prompt.rfind("aaa"),
    "count": lambda prompt: prompt.count("a"),
    "contains": lambda prompt: "aaa" in prompt,
    "find_all": lambda prompt: list(prompt.find_all("aaa")),
    "find_all ignoring case": lambda prompt: list(prompt.find_all("AAA", ignore_case=True)),
    "equality": lambda prompt: prompt == "a" * len(prompt),
    "chunks": lambda prompt: list(prompt.chunks(10)),
    "lines": lambda prompt: list(prompt.lines),
    "number of lines": lambda prompt: len(prompt.lines),
    "a line": lambda prompt: prompt.lines[0],
    "line_at": lambda prompt: prompt.line_at(150),
    "line_at a border": lambda prompt: prompt.line_at(200),
    "line_start": lambda prompt: prompt.line_start(1),
}


@pytest.mark.parametrize("operation", READING.values(), ids=READING)
@pytest.mark.parametrize("what", ["prompt", "view", "from_text"])
def test_reading_after_close_raises_even_what_was_cached(
    pack: Path, pattern_text: str, what: str, operation: Operation
) -> None:
    owner = dp.open(pack) if what != "from_text" else DistributedPrompt.from_text(pattern_text, shard_size=SHARD_SIZE)
    prompt = owner.view(0, len(owner) - 1) if what == "view" else owner
    operation(prompt)
    owner.close()
    with pytest.raises(ClosedError, match=r" is closed$"):
        operation(prompt)


def test_a_closed_prompt_still_tells_its_length_and_cost(prompt: DistributedPrompt) -> None:
    _ = prompt[5]
    prompt.close()
    assert len(prompt) == 17_576
    assert repr(prompt).startswith("DistributedPrompt(length=17,576")
    assert prompt.stats.decoded_shards == 1
    assert prompt.stats.cached_bytes == 0


def test_closing_twice_is_harmless(prompt: DistributedPrompt) -> None:
    prompt.close()
    prompt.close()


def test_closing_a_view_closes_nothing(prompt: DistributedPrompt, pattern_text: str) -> None:
    with prompt.view(5, 50) as view:
        view.close()
        assert view == pattern_text[5:50]
    assert prompt[700:710] == pattern_text[700:710]


def test_a_context_gives_the_prompt_and_closes_it(pack: Path) -> None:
    with dp.open(pack) as prompt:
        assert prompt[0] == "a"
    with pytest.raises(ClosedError):
        _ = prompt[0]


def test_an_iteration_that_was_begun_ends_with_an_error_when_the_prompt_closes(prompt: DistributedPrompt) -> None:
    characters = iter(prompt)
    next(characters)
    prompt.close()
    with pytest.raises(ClosedError):
        list(characters)


def test_a_shard_that_is_being_decoded_when_the_prompt_closes_is_not_kept(
    prompt: DistributedPrompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = shards_of(prompt).pack.store
    read = store.get

    def close_after(*arguments: object) -> object:
        blob = read(*arguments)  # type: ignore[arg-type]
        prompt.close()
        return blob

    prompt[250]  # the directory is known from here on
    monkeypatch.setattr(store, "get", close_after)
    prompt[150]
    with pytest.raises(ClosedError):
        prompt[150]


def test_closing_lets_go_of_the_file(pack: Path) -> None:
    def descriptors() -> int:
        return sum(link.resolve() == pack for link in folder.iterdir())

    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("needs /proc to see open files")
    prompt = dp.open(pack)
    prompt.count("a")
    assert descriptors() > 0
    prompt.close()
    assert descriptors() == 0


# pickling and copying


def test_an_opened_prompt_pickles_as_its_address_without_its_text(prompt: DistributedPrompt, pattern_text: str) -> None:
    data = pickle.dumps(prompt)
    assert len(data) < 500
    with reopened(prompt) as again:
        assert again == pattern_text
        assert repr(again) == repr(prompt)


def test_a_view_pickles_as_its_range(prompt: DistributedPrompt, pattern_text: str) -> None:
    view = prompt.view(100, 900).view(50, -50)
    assert len(pickle.dumps(view)) < 500
    again = reopened(view)
    assert again == view == pattern_text[150:850]
    assert again.find("zaz") == pattern_text[150:850].find("zaz")


def test_a_view_that_was_pickled_alone_can_be_closed(prompt: DistributedPrompt) -> None:
    again = reopened(prompt.view(5, 50))
    again.close()
    with pytest.raises(ClosedError):
        again[0]


def test_closing_a_view_that_was_pickled_beside_its_prompt_closes_no_prompt(
    prompt: DistributedPrompt, pattern_text: str
) -> None:
    again, view = pickle.loads(pickle.dumps([prompt, prompt.view(5, 50)]))  # noqa: S301  # our own
    view.close()
    with again:
        assert again == pattern_text


def test_pickling_keeps_threshold_and_budget(pack: Path) -> None:
    with dp.open(pack, cache_bytes=300) as prompt:
        prompt.view_threshold = 7
        with reopened(prompt) as again:
            assert again.view_threshold == 7
            assert str(again[:]) == str(prompt)
            assert again.stats.cached_bytes <= 300


def test_a_prompt_made_of_a_string_pickles_with_its_text() -> None:
    text = "ab\ud83d\ude00\U0001f600\n" * 20
    prompt = DistributedPrompt.from_text(text, shard_size=7)
    assert reopened(prompt) == text
    assert repr(reopened(prompt)) == repr(prompt)
    assert reopened(prompt.view(3, 60)) == text[3:60]


def test_what_was_unpickled_can_be_pickled(prompt: DistributedPrompt, pattern_text: str) -> None:
    assert reopened(reopened(prompt.view(3, 60))) == pattern_text[3:60]


def test_a_pack_that_is_gone_is_not_found(prompt: DistributedPrompt, pack: Path) -> None:
    data = pickle.dumps(prompt)
    pack.unlink()
    with pytest.raises(FileNotFoundError, match=str(pack)) as raised:
        pickle.loads(data)  # noqa: S301  # our own
    assert isinstance(raised.value, DPromptError)


@pytest.mark.parametrize("other", ["another text", None])
def test_another_pack_at_the_address_is_noticed(pack: Path, pattern_text: str, other: str | None) -> None:
    with dp.open(pack) as prompt:
        data = pickle.dumps([prompt, prompt.view(3, 60)])
    if other is None:
        dp.ingest_string(pattern_text, pack, shard_size=SHARD_SIZE + 1)
    else:
        dp.ingest_string(other, pack, shard_size=SHARD_SIZE)
    with pytest.raises(PackChangedError, match=f"{pack}.*another pack"):
        pickle.loads(data)  # noqa: S301  # our own


def test_an_equal_pack_at_the_address_is_as_good(pack: Path, pattern_text: str) -> None:
    with dp.open(pack) as prompt:
        data = pickle.dumps(prompt)
    dp.ingest_string(pattern_text, pack, shard_size=SHARD_SIZE)
    assert pickle.loads(data) == pattern_text  # noqa: S301  # our own


def test_lazy_sequences_pickle_as_what_makes_them(lined: tuple[DistributedPrompt, str]) -> None:
    prompt, text = lined
    assert pickled(prompt.chunks(30, 10)) == list(prompt.chunks(30, 10))
    assert pickled(prompt.lines) == text.split("\n")
    assert pickled(prompt.lines[3:9]) == text.split("\n")[3:9]
    assert pickled(prompt.lines[::3]) == text.split("\n")[::3]


def test_copies_are_the_prompt_itself(prompt: DistributedPrompt) -> None:
    for value in (prompt, prompt.view(3, 60)):
        assert copy.copy(value) is value
        assert copy.deepcopy(value) is value
        assert copy.deepcopy({"key": [value]})["key"][0] is value


def test_a_relative_path_stays_true_after_chdir(
    pack: Path, tmp_path: Path, pattern_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with dp.open(pack.name) as prompt:
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert prompt[500:600] == pattern_text[500:600]
        assert prompt.count("a") == pattern_text.count("a")
        with reopened(prompt) as again:
            assert again == pattern_text


# processes


@contextmanager
def busy(prompt: DistributedPrompt, threads: int) -> Iterator[None]:
    """Threads that read all over the prompt meanwhile."""
    stop = threading.Event()

    def work(seed: int) -> None:
        chooser = random.Random(seed)  # noqa: S311  # no secret
        while not stop.is_set():
            at = chooser.randrange(len(prompt))
            _ = prompt[at : at + 150]
            prompt.find("zzz", at, at + 2000)

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, seed) for seed in range(threads)]
        try:
            yield
        finally:
            stop.set()
        for future in futures:
            future.result()


def passes_in_child(check: Callable[[], bool]) -> bool:
    """Whether a forked child finds it so, within a few seconds."""
    child = os.fork()
    if child == 0:
        signal.alarm(CHILD_SECONDS)
        code = 1
        try:
            code = 0 if check() else 2
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


forks = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")  # which is the point


def reads_all(prompt: DistributedPrompt, text: str) -> bool:
    return (
        all(prompt[at : at + 130] == text[at : at + 130] for at in range(0, len(text), 977))
        and prompt.count("a") == text.count("a")
        and prompt.find("yzz") == text.find("yzz")
        and "".join(prompt) == text
        and len(prompt.lines) == 1
    )


@forks
@pytest.mark.forks
@pytest.mark.parametrize("what", ["opened", "from_text"])
def test_a_forked_child_reads_while_threads_of_the_parent_are_busy(
    prompt: DistributedPrompt, pattern_text: str, what: str
) -> None:
    if what == "from_text":
        prompt = DistributedPrompt.from_text(pattern_text, shard_size=SHARD_SIZE)
    assert prompt.count("a") == pattern_text.count("a")
    with busy(prompt, 4):
        for _ in range(4):
            assert passes_in_child(lambda: reads_all(prompt, pattern_text))
    assert reads_all(prompt, pattern_text)


@forks
@pytest.mark.forks
def test_a_forked_child_goes_on_with_an_iteration_that_its_parent_began(
    prompt: DistributedPrompt, pattern_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "distributed_prompt.shards._RUN_BYTES", 1
    )  # a task a shard: the parent's workers have some left
    characters = iter(prompt)
    head = "".join(next(characters) for _ in range(1000))
    assert passes_in_child(lambda: head + "".join(characters) == pattern_text)
    assert head + "".join(characters) == pattern_text


@forks
@pytest.mark.forks
def test_a_forked_child_can_close_without_harm_to_its_parent(prompt: DistributedPrompt, pattern_text: str) -> None:
    def close() -> bool:
        prompt.close()
        return True

    assert passes_in_child(close)
    assert reads_all(prompt, pattern_text)


def test_spawned_processes_read_what_they_are_sent(prompt: DistributedPrompt, pattern_text: str) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(str, prompt).result(60) == pattern_text
        assert pool.submit(str, prompt.view(150, 450)).result(60) == pattern_text[150:450]
        back = pool.submit(copy.copy, prompt).result(60)
    with back:
        assert back == pattern_text


# threads


@pytest.mark.parametrize("cache_bytes", [1000, 2**20])
def test_threads_that_read_at_once_get_what_str_gives(pack: Path, pattern_text: str, cache_bytes: int) -> None:
    def work(seed: int) -> None:
        chooser = random.Random(seed)  # noqa: S311  # no secret
        barrier.wait()
        for _ in range(150):
            at = chooser.randrange(len(pattern_text))
            stop = at + chooser.choice([1, 90, 350, 1500])
            assert prompt[at:stop] == pattern_text[at:stop]
            needle = pattern_text[at : at + 3]
            assert prompt.find(needle, at - 300) == pattern_text.find(needle, at - 300)
            assert prompt.rfind(needle, 0, at + 300) == pattern_text.rfind(needle, 0, at + 300)
        assert prompt.count("ab") == pattern_text.count("ab")

    barrier = threading.Barrier(8)
    with dp.open(pack, cache_bytes=cache_bytes) as prompt, ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, seed) for seed in range(8)]:
            future.result()
        stats = prompt.stats
    assert stats.cached_bytes <= cache_bytes
    assert stats.hits > 0


# another file at the path


@pytest.fixture
def replaced(prompt: DistributedPrompt, pack: Path, tmp_path: Path) -> DistributedPrompt:
    """A prompt, one shard of which is cached, whose pack was renamed over."""
    assert prompt[0] == "a"
    dp.ingest_string("Z" * len(prompt), tmp_path / "new.dprompt", shard_size=SHARD_SIZE)
    (tmp_path / "new.dprompt").replace(pack)
    return prompt


def test_an_open_prompt_keeps_the_old_text_when_another_pack_is_renamed_over(
    replaced: DistributedPrompt, pack: Path, pattern_text: str
) -> None:
    for start in (0, 50, 9_000, 17_500):
        assert replaced[start : start + 120] == pattern_text[start : start + 120]
    assert replaced.find("abz") == pattern_text.find("abz")
    with dp.open(pack) as new:
        assert new == "Z" * len(pattern_text)


def test_an_open_prompt_never_mixes_old_and_new_text_in_a_pass(replaced: DistributedPrompt, pattern_text: str) -> None:
    for _ in range(5):
        assert str(replaced) == pattern_text
        assert replaced.count("Z") == 0
        assert replaced == pattern_text


def test_an_open_prompt_keeps_the_old_text_in_many_threads(replaced: DistributedPrompt, pattern_text: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(replaced.__getitem__, range(0, 17_576, 50))) == list(pattern_text[::50])
            assert all(pool.map(lambda _: replaced.count("aaa") == 1, range(8)))


# what reading costs


def test_opening_and_asking_for_facts_decodes_nothing(prompt: DistributedPrompt) -> None:
    len(prompt)
    repr(prompt)
    bool(prompt)
    view = prompt.view(5, 5000)
    repr(view)
    len(view)
    pickle.dumps(view)
    prompt.view_threshold = 1000
    repr(prompt[5:5000])
    len(prompt.chunks(10, 3))
    _ = prompt[5:5]
    prompt.find("")
    prompt.count("")
    assert prompt.line_at(0) == prompt.line_start(0) == 0
    assert prompt.stats == type(prompt.stats)()


def test_equality_of_different_lengths_decodes_nothing(prompt: DistributedPrompt, pattern_text: str) -> None:
    shorter = DistributedPrompt.from_text(pattern_text[1:], shard_size=SHARD_SIZE)
    assert prompt != pattern_text[1:]
    assert prompt != shorter
    assert prompt != prompt.view(1)
    assert prompt.stats.decoded_shards == shorter.stats.decoded_shards == 0


def test_equality_of_the_same_range_of_equal_packs_decodes_nothing(
    prompt: DistributedPrompt, pattern_text: str
) -> None:
    twin = DistributedPrompt.from_text(pattern_text, shard_size=SHARD_SIZE)
    assert prompt == twin
    assert prompt.view(5, 5000) == twin.view(5, 5000)
    assert prompt.stats.decoded_shards == twin.stats.decoded_shards == 0


def test_equality_stops_at_the_first_difference(prompt: DistributedPrompt, pattern_text: str) -> None:
    assert decoded_by(prompt, lambda: prompt == "b" + pattern_text[1:]) == 1


@pytest.mark.parametrize(
    ("start", "stop", "shards"), [(0, 1, 1), (0, 100, 1), (99, 101, 2), (100, 200, 1), (50, 750, 8), (50, 851, 9)]
)
def test_a_slice_decodes_the_shards_it_covers(prompt: DistributedPrompt, start: int, stop: int, shards: int) -> None:
    assert decoded_by(prompt, lambda: prompt[start:stop]) == shards


def test_a_slice_decodes_nothing_the_second_time(prompt: DistributedPrompt) -> None:
    assert decoded_by(prompt, lambda: prompt[150:350]) == 3
    assert decoded_by(prompt, lambda: prompt[120:390]) == 0
    stats = prompt.stats
    assert (stats.hits, stats.misses, stats.decoded_shards, stats.decoded_bytes) == (3, 3, 3, 300)


@pytest.mark.parametrize("name", ["find", "index", "rfind", "rindex"])
def test_what_was_found_is_read_without_decoding_it_again(
    prompt: DistributedPrompt, pattern_text: str, name: str
) -> None:
    needle = pattern_text[450:460]
    assert decoded_by(prompt, lambda: getattr(prompt, name)(needle)) >= 1
    assert decoded_by(prompt, lambda: prompt[440:470]) == 0


def test_a_slice_with_a_step_decodes_the_shards_that_hold_its_characters(prompt: DistributedPrompt) -> None:
    assert decoded_by(prompt, lambda: prompt[50:1000:300]) == 4
    assert decoded_by(prompt, lambda: prompt[1550:50:-500]) == 3


def test_the_last_shard_counts_the_characters_it_has(prompt: DistributedPrompt) -> None:
    assert decoded_by(prompt, lambda: prompt[-1]) == 1
    assert prompt.stats.decoded_bytes == 76


def test_decoded_bytes_are_those_of_utf8() -> None:
    prompt = DistributedPrompt.from_text("a\u00e9\u20ac\U0001f600\ud83d", shard_size=5)
    _ = prompt[0]
    assert prompt.stats.decoded_bytes == 1 + 2 + 3 + 4 + 3


@pytest.mark.parametrize(("shard", "decoded"), [(0, 1), (1, 2), (2, 3), (3, 5), (4, 5)])
def test_a_search_decodes_up_to_its_match_and_at_first_hardly_any_further(
    prompt: DistributedPrompt, pattern_text: str, shard: int, decoded: int
) -> None:
    needle = pattern_text[shard * SHARD_SIZE + 40 :][:3]
    assert decoded_by(prompt, lambda: prompt.find(needle)) <= decoded
    assert decoded_by(prompt, lambda: prompt.find(needle, shard * SHARD_SIZE)) == 0


@pytest.mark.parametrize(("shard", "decoded"), [(0, 1), (1, 2), (2, 3), (3, 5), (4, 5)])
def test_a_search_from_the_end_decodes_down_to_its_match_and_at_first_hardly_any_further(
    pattern_text: str, shard: int, decoded: int
) -> None:
    text = pattern_text[:1000]
    prompt = DistributedPrompt.from_text(text, shard_size=SHARD_SIZE)
    at = (9 - shard) * SHARD_SIZE + 40
    needle = text[at : at + 3]
    assert decoded_by(prompt, lambda: prompt.rfind(needle)) <= decoded
    assert decoded_by(prompt, lambda: prompt.rfind(needle, 0, (10 - shard) * SHARD_SIZE)) == 0


def test_a_search_within_one_shard_decodes_it_only(prompt: DistributedPrompt) -> None:
    assert decoded_by(prompt, lambda: prompt.find("zzz", 1000, 1100)) == 1
    assert decoded_by(prompt, lambda: prompt.rfind("aaa", 1000, 1100)) == 0
    assert decoded_by(prompt, lambda: prompt.count("aaa", 1300, 1400)) == 1


@pytest.mark.parametrize("method", ["find", "rfind", "count"])
def test_a_search_of_everything_decodes_each_shard_once(prompt: DistributedPrompt, method: str) -> None:
    assert decoded_by(prompt, lambda: getattr(prompt, method)("!!!")) == 176


def test_a_needle_longer_than_the_range_decodes_nothing(prompt: DistributedPrompt, pattern_text: str) -> None:
    assert prompt.find(pattern_text, 1) == prompt.rfind(pattern_text, 1) == -1
    assert prompt.count(pattern_text, 1) == 0
    assert prompt.stats.decoded_shards == 0


@pytest.mark.parametrize(
    "operation",
    [
        iter,
        str,
        lambda prompt: iter(prompt.lines),
        lambda prompt: prompt.chunks(3000),
        lambda prompt: prompt == "a" * 17_576,
    ],
    ids=["iteration", "str", "lines", "chunks", "equality"],
)
def test_no_pass_over_everything_decodes_a_shard_twice_or_fills_the_cache(
    prompt: DistributedPrompt, operation: Operation
) -> None:
    result = operation(prompt)
    if isinstance(result, Iterable):
        deque(result, maxlen=0)
    assert prompt.stats.decoded_shards <= 176
    assert prompt.stats.cached_bytes == 0


def test_a_line_decodes_its_shards_and_at_most_two_more(lined: tuple[DistributedPrompt, str]) -> None:
    prompt, text = lined
    assert prompt.lines[21] == text.split("\n")[21]  # within shard 5
    assert prompt.stats.decoded_shards == 1
    assert decoded_by(prompt, lambda: prompt.lines[22]) == 0
    assert decoded_by(prompt, lambda: prompt.lines[32]) == 2  # shard 8, begins where shard 7 ends
    assert decoded_by(prompt, lambda: len(prompt.lines)) == 0


def test_the_number_of_lines_decodes_nothing(lined: tuple[DistributedPrompt, str]) -> None:
    prompt, _ = lined
    assert decoded_by(prompt, lambda: len(prompt.lines)) == 0


def test_the_number_of_lines_of_a_view_decodes_its_two_ends(lined: tuple[DistributedPrompt, str]) -> None:
    prompt, text = lined
    view = prompt.view(130, 770)
    assert decoded_by(prompt, lambda: len(view.lines)) == 2
    assert len(view.lines) == len(text[130:770].split("\n"))


def test_the_line_at_an_offset_decodes_the_shard_it_lies_in(lined: tuple[DistributedPrompt, str]) -> None:
    prompt, _ = lined
    assert decoded_by(prompt, lambda: prompt.line_at(530)) == 1
    assert decoded_by(prompt, lambda: prompt.line_at(600)) == 0
    assert decoded_by(prompt, lambda: prompt.view(130, 990).line_at(600)) == 2


# the cache


@pytest.mark.parametrize("filler", ["a", "\u20ac", "\U0001f600"])
def test_the_cache_stays_within_its_budget(tmp_path: Path, filler: str) -> None:
    text = filler * 20_000
    dp.ingest_string(text, tmp_path / "text.dprompt", shard_size=SHARD_SIZE)
    budget = 3 * sys.getsizeof(filler * SHARD_SIZE) + 10
    with dp.open(tmp_path / "text.dprompt", cache_bytes=budget) as prompt:
        for at in range(0, 20_000, 70):
            _ = prompt[at]
            assert 0 < prompt.stats.cached_bytes <= budget
        assert prompt.stats.cached_bytes == 3 * sys.getsizeof(filler * SHARD_SIZE)


def test_the_least_recently_used_shard_is_dropped_first(pack: Path) -> None:
    with dp.open(pack, cache_bytes=2 * sys.getsizeof("a" * SHARD_SIZE)) as prompt:
        for at in (50, 150, 50, 250):
            _ = prompt[at]
        assert decoded_by(prompt, lambda: prompt[50]) == 0
        assert decoded_by(prompt, lambda: prompt[150]) == 1


@pytest.mark.parametrize("cache_bytes", [0, 1])
def test_a_shard_above_the_budget_is_kept_alone(pack: Path, cache_bytes: int) -> None:
    with dp.open(pack, cache_bytes=cache_bytes) as prompt:
        assert decoded_by(prompt, lambda: (prompt[1], prompt[2])) == 1
        assert decoded_by(prompt, lambda: (prompt[101], prompt[102])) == 1
        assert prompt.stats.cached_bytes == sys.getsizeof("a" * SHARD_SIZE)


def test_a_search_that_was_left_early_decodes_no_further(pack: Path) -> None:
    with dp.open(pack) as prompt:
        found = prompt.find_all("z")
        for _ in range(20):
            next(found)
        found.close()  # type: ignore[attr-defined]  # a generator
        time.sleep(0.2)  # what had begun ends after the shard in hand
        decoded = prompt.stats.decoded_shards
        time.sleep(0.1)
        assert prompt.stats.decoded_shards == decoded < len(prompt) // SHARD_SIZE


@pytest.mark.parametrize(("limit", "error"), [(-1, ValueError), (1.5, TypeError), ("9", TypeError), (None, TypeError)])
def test_a_limit_that_is_none_is_refused_and_changes_nothing(pack: Path, limit: Any, error: type[Exception]) -> None:
    descriptors = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(error, match="cache_bytes"):
        dp.open(pack, cache_bytes=limit)
    assert len([*Path("/proc/self/fd").iterdir()]) <= descriptors  # what others left may go meanwhile
    with dp.open(pack) as prompt:
        for name in ("view_threshold", "image_limit"):
            before = getattr(prompt, name)
            with pytest.raises(error, match=name):
                setattr(prompt, name, limit)
            assert getattr(prompt, name) == before


@pytest.mark.parametrize("address", [5, None, 1.5, object()])
def test_what_can_be_no_address_is_a_type_error_that_names_it(address: Any) -> None:
    with pytest.raises(TypeError, match=f"not {type(address).__name__}"):
        dp.open(address)


def test_errors_of_the_system_have_its_numbers(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        dp.open(tmp_path / "missing.dprompt")
    assert missing.value.errno == errno.ENOENT
    (tmp_path / "text").write_text("words")
    dp.pack(tmp_path / "text", tmp_path / "a.dprompt")
    with pytest.raises(FileExistsError) as existing:
        dp.pack(tmp_path / "text", tmp_path / "a.dprompt")
    assert existing.value.errno == errno.EEXIST
    with pytest.raises(OutputError) as refused:
        dp.pack(tmp_path / "text", tmp_path / "no folder" / "a.dprompt")
    assert refused.value.errno == errno.ENOENT
    assert OutputError("of nothing").errno is None
    assert pickle.loads(pickle.dumps(missing.value)).errno == errno.ENOENT  # noqa: S301


WRONG: Any = bytes  # not an object of it


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda *_: dp.open(""), AddressError, "'': an empty address"),
        (lambda *_: dp.open("s3://"), AddressError, "^s3://: no bucket"),
        (lambda pack, new: dp.pack(pack, new, level=WRONG), ArgumentError, "level <class 'bytes'>: must be from 1"),
        (lambda pack, new: dp.pack(pack, new, header=WRONG), TypeError, "header must be a str, not type"),
        (lambda pack, _: dp.unpack(pack, WRONG), TypeError, "output must be a path or a binary file, not type"),
        (lambda pack, _: dp.push(pack, WRONG), TypeError, "an address on S3 is a str, not type"),
    ],
)
def test_arguments_of_other_kinds_are_refused_by_name(
    pack: Path, tmp_path: Path, call: Callable[[Any, Any], object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        call(pack, tmp_path / "new")
    assert not (tmp_path / "new").exists()
