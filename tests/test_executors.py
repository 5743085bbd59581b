"""Searches on executors of others: the same answers, wherever the work is done."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt import re as prompt_re
from distributed_prompt.runs import Run, Task, bundles
from tests.inside import shards_of

HAY = "line {:06d} of \u65e5\u672c hay\n"
NEEDLE = "line {:06d} of \u65e5\u672c needle\n"
TEXT = "".join((HAY if number % 997 else NEEDLE).format(number) for number in range(120_000))
SEARCHES: dict[str, Callable[..., object]] = {
    "find": lambda text, **options: text.find("line 089000", **options),
    "find nothing": lambda text, **options: text.find("nowhere", **options),
    "index": lambda text, **options: text.index("line 050000", **options),
    "rfind": lambda text, **options: text.rfind("line 000002", **options),
    "rindex": lambda text, **options: text.rindex("line 000003", **options),
    "count": lambda text, **options: text.count("hay", **options),
    "count what overlaps itself": lambda text, **options: text.count("00", **options),
    "find_all": lambda text, **options: list(text.find_all("needle", **options)),
    "find_all in any case": lambda text, **options: list(text.find_all("NEEDLE", ignore_case=True, **options)),
    "find_many": lambda text, **options: text.find_many(["needle", "nowhere", "089999"], **options),
    "findall": lambda text, **options: prompt_re.findall(r"(\d+) of .. needle", text, **options),
    "findall without literals": lambda text, **options: len(prompt_re.findall(r"\d\d+", text, **options)),
    "finditer": lambda text, **options: [m.span() for m in prompt_re.finditer("needle|0890+", text, **options)],
    "search": lambda text, **options: prompt_re.search("line 07.*", text, **options).span(),
}


class Recorded(Executor):
    """Calls at once, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.calls += 1
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture(scope="module", params=["index", "no index"])
def prompt(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dp.DistributedPrompt]:
    folder = tmp_path_factory.mktemp("executors")
    (folder / "a.txt").write_text(TEXT, encoding="utf-8")
    dp.pack(folder / "a.txt", folder / "a.dprompt", shard_size=2**15, index=request.param == "index")
    with dp.open(folder / "a.dprompt") as opened:
        yield opened


@pytest.fixture(scope="module", params=["threads", "processes"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "threads":
        pool: Executor = ThreadPoolExecutor(2)
    else:
        pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
    with pool:
        yield pool


@pytest.mark.thorough
@pytest.mark.parametrize("name", SEARCHES)
def test_an_executor_gives_the_same_answers(prompt: dp.DistributedPrompt, executor: Executor, name: str) -> None:
    search = SEARCHES[name]
    assert search(prompt, executor=executor) == search(prompt)
    view = prompt.view(20, -1000)
    if "rfind" not in name:
        assert search(view, executor=executor) == search(view)


@pytest.mark.thorough
@pytest.mark.parametrize("name", SEARCHES)
def test_an_executor_does_the_work(prompt: dp.DistributedPrompt, name: str) -> None:
    recorded = Recorded()
    assert SEARCHES[name](prompt, executor=recorded) == SEARCHES[name](prompt)
    assert recorded.calls >= (name != "find nothing")


def test_what_an_index_leaves_between_holes_is_handed_over_in_few_tasks(tmp_path: Path) -> None:
    shard, shards = 2**15, 80
    text = "".join(("a" if number % 2 else "needle").ljust(shard, ".") for number in range(shards))
    (tmp_path / "a.txt").write_text(text)
    dp.pack(tmp_path / "a.txt", tmp_path / "a.dprompt", shard_size=shard)
    recorded = Recorded()
    with dp.open(tmp_path / "a.dprompt") as prompt:
        assert prompt.count("needle", executor=recorded) == shards // 2
        assert shards_of(prompt).stats.decoded_shards == shards // 2
        assert recorded.calls <= 8  # of 1, 1, 2, 4, 8, 16 … shards
        found = prompt.find_all("needle", executor=recorded)
        assert list(found) == list(range(0, len(text), 2 * shard))
        assert prompt.rfind("needle", executor=recorded) == len(text) - 2 * shard


@given(st.lists(st.integers(0, 99)), st.integers(1, 200))
def test_bundles_are_all_tasks_in_their_order_and_as_large_as_they_may_be(sizes: list[int], largest: int) -> None:
    call: Any = None
    tasks = [Task(call, Run(range(number, number + 1), is_lowest=True), size) for number, size in enumerate(sizes)]
    made = list(bundles(iter(tasks), largest))
    assert [task for bundle in made for task in bundle] == tasks
    done = 0
    for bundle, following in zip(made, [*made[1:], None], strict=False):
        held = sum(task.text_bytes for task in bundle)
        assert len(bundle) == 1 or held <= min(largest, done)
        assert following is None or held + following[0].text_bytes > min(largest, done)
        done += held


def test_lazy_texts_are_made_here_all_the_same(prompt: dp.DistributedPrompt) -> None:
    recorded = Recorded()
    view = prompt.view()
    view.view_threshold = 1000
    upper = view.upper()
    assert isinstance(upper, dp.DistributedPrompt)
    assert upper.count("NEEDLE", executor=recorded) == prompt.count("needle")


def test_another_process_opens_the_pack_once(prompt: dp.DistributedPrompt) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert prompt.count("hay", executor=pool) == TEXT.count("hay")
        opened = pool.submit(_open_packs, os.path.realpath(shards_of(prompt).pack.name)).result()
    assert 1 <= opened <= 2


def _open_packs(path: str) -> int:
    """How many descriptors this process has on a file."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("no /proc")
    links = [os.readlink(link) for link in folder.iterdir() if link.is_symlink()]  # noqa: PTH115  # as it is written
    return links.count(path)


def test_an_executor_that_has_ended_says_so(prompt: dp.DistributedPrompt) -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        prompt.count("hay", executor=pool)


def test_strings_and_bytes_need_no_executor() -> None:
    recorded = Recorded()
    assert prompt_re.findall("a", "banana", executor=recorded) == ["a", "a", "a"]
    assert prompt_re.compile(b"a").findall(b"banana", executor=recorded) == [b"a", b"a", b"a"]
    assert recorded.calls == 0
