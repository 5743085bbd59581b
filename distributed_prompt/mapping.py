"""A function over the pieces of a text, here or in other processes, which cut them from the text themselves."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar

from distributed_prompt.errors import ArgumentError
from distributed_prompt.workers import map_ahead

Result = TypeVar("Result")
Span = tuple[int, int]
"""Offsets of the first character, and after the last one."""

SHARDS, DOCUMENTS = "shards", "documents"
_TASK_CHARACTERS = 2**20
_TASK_SPANS = 2**10
_KEPT_TEXTS = 8


class Sliced(Protocol):
    """A text; pickles as what opens it elsewhere."""

    def __getitem__(self, key: slice, /) -> Any: ...


def check_over(over: str | int) -> str | int:
    """What a function is to be called with.

    Raises:
        ArgumentError: neither ``shards``, ``documents`` nor a number of characters.
    """
    if over in {SHARDS, DOCUMENTS} or (isinstance(over, int) and over > 0):
        return over
    message = f"over={over!r}: must be {SHARDS!r}, {DOCUMENTS!r}, or the number of characters of a chunk"
    raise ArgumentError(message)


def map_spans(
    text: Sliced, function: Callable[[Any], Result], spans: Iterable[Span], executor: Executor | None
) -> Iterator[Result]:
    """What a function makes of each range, in order; short ranges are sent several at a time."""
    if executor is None:
        # Not on the worker threads: a function that searches waits for these.
        yield from (function(text[start:stop]) for start, stop in spans)
        return
    results = map_ahead(_Cutting(text, function), _batches(spans), executor)
    try:
        for batch in results:
            yield from batch
    finally:
        results.close()


def _batches(spans: Iterable[Span]) -> Iterator[list[Span]]:
    batch: list[Span] = []
    characters = 0
    for start, stop in spans:
        batch.append((start, stop))
        characters += stop - start
        if characters >= _TASK_CHARACTERS or len(batch) == _TASK_SPANS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


class _Cutting(Generic[Result]):
    """Calls a function with ranges of a text."""

    def __init__(self, text: Sliced, function: Callable[[Any], Result]) -> None:
        self._text = text
        self._function = function
        self._pickled = b""

    def __call__(self, spans: list[Span]) -> list[Result]:
        return [self._function(self._text[start:stop]) for start, stop in spans]

    def __reduce__(self) -> tuple[object, ...]:
        self._pickled = self._pickled or pickle.dumps(self._text)
        return _cutting_there, (self._pickled, self._function)


text_there = lru_cache(_KEPT_TEXTS)(pickle.loads)
"""A text that was sent; the same one if it was sent before."""


def _cutting_there(text: bytes, function: Callable[[Any], Result]) -> _Cutting[Result]:
    return _Cutting(text_there(text), function)
