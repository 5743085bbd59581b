"""Locks that a forked child may take."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from distributed_prompt.locks import Lock

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
_PATIENCE_SECONDS = 10


@contextmanager
def held_by_another_thread(lock: Lock) -> Iterator[None]:
    """A thread has the lock meanwhile."""
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            inside.set()
            leave.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    try:
        yield
    finally:
        leave.set()
        thread.join()


def takes_it_in_a_child(lock: Lock) -> bool:
    child = os.fork()
    if not child:
        signal.alarm(_PATIENCE_SECONDS)
        with lock:
            os._exit(0)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("reentrant", [True, False])
def test_it_is_for_one_thread_at_a_time(*, reentrant: bool) -> None:
    lock = Lock(reentrant=reentrant)
    with held_by_another_thread(lock):
        assert not lock.acquire(blocking=False)
    assert lock.acquire(blocking=False)
    assert lock.acquire(blocking=False) is reentrant
    lock.release()
    if reentrant:
        lock.release()


@pytest.mark.forks
@pytest.mark.parametrize("reentrant", [True, False])
def test_a_child_has_it_open_whoever_held_it(*, reentrant: bool) -> None:
    lock = Lock(reentrant=reentrant)
    with held_by_another_thread(lock):
        assert takes_it_in_a_child(lock)
        assert not lock.acquire(blocking=False)


@pytest.mark.forks
def test_a_child_of_the_thread_that_holds_it_gives_it_back_once() -> None:
    lock = Lock()
    with lock:
        child = os.fork()
        if not child:
            lock.release()
            os._exit(0 if lock.acquire(blocking=False) else 1)
        assert os.waitpid(child, 0)[1] == 0
