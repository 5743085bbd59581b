"""Tasks for an executor; those for Dask are sent as bytes, which its scheduler hands on without a look.

Dask's own executor for a client makes one task of two equal ones, waits for an answer when a task is cancelled, and its
scheduler makes objects of what is sent: which would open packs there.
"""

import pickle
import time
from collections.abc import Callable
from concurrent.futures import Executor
from importlib import import_module
from typing import Any, Generic, Protocol, TypeVar
from uuid import uuid4

Item_contra = TypeVar("Item_contra", contravariant=True)
Item = TypeVar("Item")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)

_LEAST_AHEAD = 16
_ASKED_EVERY_SECONDS = 5.0


class Submitted(Protocol[Result_co]):
    """A result to be."""

    def result(self) -> Result_co:
        """Wait for it."""

    def cancel(self) -> object:
        """Have it no more; waits for nothing."""


class Submit(Protocol):
    """What takes tasks."""

    @property
    def ahead(self) -> int:
        """How many tasks to have under way, so that nobody waits for one."""

    def __call__(self, function: Callable[[Item], Result], task: Item, /) -> Submitted[Result]:
        """Have a function called with a task."""


def submitter(executor: Executor) -> Submit:
    """What gives tasks to an executor of ``concurrent.futures``, to a Dask client, or to the executor of one."""
    if hasattr(executor, "get_executor"):
        return _Client(executor, {})
    if type(executor).__module__.partition(".")[0] == "distributed":
        made_of = vars(executor)
        options = {name: value for name, value in made_of["_kwargs"].items() if name not in {"pure", "retries"}}
        return _Client(made_of["_client"], options)
    return _Executor(executor)


class _Executor:
    """An executor of the standard library, or what behaves like one."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        # The standard library's say how many workers they have here alone.
        self.ahead = max(_LEAST_AHEAD, 2 * getattr(executor, "_max_workers", 1))

    def __call__(self, function: Callable[[Item], Result], task: Item, /) -> Submitted[Result]:
        return self._executor.submit(function, task)


class _Client:
    """A Dask client; lost workers' tasks are done by others."""

    def __init__(self, client: Any, options: dict[str, Any]) -> None:
        self._client = client
        self._options = options
        self._ahead = 0
        self._asked = -_ASKED_EVERY_SECONDS

    @property
    def ahead(self) -> int:
        """Two for each thread of the workers, which come and go."""
        if time.monotonic() - self._asked >= _ASKED_EVERY_SECONDS:
            self._ahead = max(_LEAST_AHEAD, 2 * sum(self._client.nthreads().values()))
            self._asked = time.monotonic()
        return self._ahead

    def __call__(self, function: Callable[[Item], Result], task: Item, /) -> "_Sent[Result]":
        # What pickles functions of a notebook as well.
        data = import_module("cloudpickle").dumps((function, task))
        key = f"dprompt-{uuid4().hex}"
        return _Sent(self._client.submit(_call, data, key=key, pure=False, **self._options))


class _Sent(Generic[Result]):
    def __init__(self, future: Any) -> None:
        self._future = future

    def result(self) -> Result:
        result: Result = self._future.result()
        return result

    def cancel(self) -> None:
        # Nobody wants it any more, so the scheduler forgets it. "cancel" would wait for its answer.
        self._future.release()


def _call(data: bytes) -> Any:
    function, task = pickle.loads(data)  # noqa: S301  # what this client's own process has sent
    return function(task)
