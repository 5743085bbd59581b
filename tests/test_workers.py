import gc
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

import distributed_prompt as dp
from distributed_prompt.workers import WORKERS, map_ahead
from tests.inside import shards_of

TEXT = "to be or not to be, that is the question\n" * 500


def test_results_come_in_the_order_of_the_tasks() -> None:
    def late(task: int) -> int:
        time.sleep(0.002 * (task % 3))
        return task * task

    assert list(map_ahead(late, range(50))) == [task * task for task in range(50)]


def test_tasks_are_taken_only_a_few_ahead_of_their_use() -> None:
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for task in range(1000):
            taken.append(task)
            yield task

    results = map_ahead(lambda task: task, tasks())
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(taken) <= 3 + 2 * WORKERS
    results.close()


class Threads:
    """Answers as a client of Dask does that has workers of so many threads, and counts."""

    def __init__(self, threads: list[int]) -> None:
        self.threads = threads
        self.submitted = 0

    def get_executor(self) -> None:
        """By this it is known."""

    def nthreads(self) -> dict[str, int]:
        return {f"worker {number}": threads for number, threads in enumerate(self.threads)}

    def submit(self, function: Callable[[bytes], Any], data: bytes, **options: Any) -> "Future[Any]":
        assert set(options) == {"key", "pure"}
        self.submitted += 1
        future: Future[Any] = Future()
        future.set_result(function(data))
        return future


@pytest.mark.parametrize(("threads", "ahead"), [([], 16), ([1, 1], 16), ([8, 8, 4], 40), ([1] * 100, 200)])
def test_as_many_tasks_are_under_way_as_the_workers_of_a_client_can_do_and_as_many_again(
    threads: list[int], ahead: int
) -> None:
    client: Any = Threads(threads)
    results = map_ahead(abs, range(1000), client)
    assert next(results) == 0
    assert client.submitted == ahead
    client.threads = [50]
    assert [next(results) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert client.submitted == ahead + 5  # asked only every few seconds
    assert list(results) == list(range(6, 1000))


def test_executors_with_many_workers_get_more_tasks() -> None:
    results, taken = {}, {}
    for workers in (1, 20):
        with ThreadPoolExecutor(workers) as pool:
            tasks = itertools.count()
            results[workers] = next(map_ahead(abs, tasks, pool))
            taken[workers] = next(tasks)
    assert results == {1: 0, 20: 0}
    assert taken == {1: 16, 20: 40}


def test_an_error_in_a_task_comes_out_where_its_result_would() -> None:
    def fails(task: int) -> int:
        if task == 3:
            raise ValueError(task)
        return task

    results = map_ahead(fails, range(10))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(results)


_INTERRUPTED_START = """
import threading
from distributed_prompt.workers import map_ahead

started = threading.Event.wait

def interrupted(event, timeout=None):
    started(event, timeout)
    threading.Event.wait = started
    raise KeyboardInterrupt

threading.Event.wait = interrupted
try:
    list(map_ahead(abs, range(10)))
except KeyboardInterrupt:
    if {again}:
        print(list(map_ahead(abs, range(-3, 0))))
"""


@pytest.mark.parametrize("again", [False, True])
def test_an_interrupt_while_a_worker_starts_leaves_none_that_never_ends(again: bool) -> None:  # noqa: FBT001
    command = [sys.executable, "-c", _INTERRUPTED_START.format(again=again)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (result.stdout, result.stderr, result.returncode) == ("[3, 2, 1]\n" if again else "", "", 0)


@pytest.mark.timeout(60)
def test_a_pass_that_the_garbage_collector_ends_on_a_worker_does_not_hang() -> None:
    prompt = dp.DistributedPrompt.from_text(TEXT, shard_size=10)
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(20):
            found = prompt.find_all("z")
            list_of_itself: list[object] = [found]
            list_of_itself.append(list_of_itself)
            for offset in prompt.find_all("be"):
                if offset > 100:
                    break
            del found, list_of_itself
        assert prompt.count("be") == TEXT.count("be")
    finally:
        gc.set_threshold(*threshold)


@pytest.mark.timeout(60)
def test_a_pass_that_ends_while_the_counters_are_read_does_not_hang() -> None:
    prompt = dp.DistributedPrompt.from_text(TEXT, shard_size=10)
    shards = shards_of(prompt)
    pieces = shards._read(range(3))
    next(pieces)

    def end() -> None:
        with shards._cache._lock:
            pieces.close()  # type: ignore[attr-defined]  # what the collector would do

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def test_a_search_at_the_exit_of_the_interpreter_works() -> None:
    script = """
import atexit, distributed_prompt as dp
prompt = dp.DistributedPrompt.from_text("to be or not to be " * 500, shard_size=10)
atexit.register(lambda: print(prompt.count("be")))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("1000\n", "", 0)
