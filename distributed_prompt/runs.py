"""Runs: consecutive shards that are read together, and what is done with them, here or in another process."""

import pickle
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor
from functools import lru_cache
from itertools import islice, takewhile
from typing import Generic, NamedTuple, Protocol, TypeVar

from distributed_prompt.text.literal import Literal
from distributed_prompt.text.pieces import Piece
from distributed_prompt.workers import map_ahead

Result = TypeVar("Result")

_KEPT_PACKS = 8
_NEAR_RUNS = 3
_NEAR_BYTES = 2**16


class Run(NamedTuple):
    """Consecutive shards that are read together.

    Attributes:
        shards: which, from the first or from the last.
        is_lowest: whether nothing is read of what lies right before them.
    """

    shards: range
    is_lowest: bool


def ends(shards: range) -> tuple[int, int]:
    """The lowest and the highest of some shards, however many."""
    return min(shards[0], shards[-1]), max(shards[0], shards[-1])


def cut_runs(stretches: Iterator[range], largest: int, done: int = 0) -> Iterator[Run]:
    """Runs of 1, 1, 2, 4, 8 … shards, ``largest`` at most, of stretches that do not touch.

    Args:
        stretches: consecutive shards.
        largest: the most that a run may have.
        done: how many shards went before these.
    """
    size = min(largest, max(1, done))
    for stretch in stretches:
        at = 0
        lowest, _ = ends(stretch)
        while at < len(stretch):
            shards = stretch[at : at + size]
            yield Run(shards, ends(shards)[0] == lowest)
            at += len(shards)
            done += len(shards)
            size = min(largest, max(1, done))


class RunReader(Protocol):
    """What reads runs; pickles as an address.

    Attributes:
        shard_size: characters a shard.
    """

    shard_size: int

    def read_run(self, run: Run, literals: tuple[Literal, ...], first: int, *, reverse: bool) -> Iterator[Piece]:
        """The pieces of a run, and of the shard before it where an occurrence of a literal may begin there."""


class Interest:
    """Whether anybody still wants the results of a pass.

    Attributes:
        is_over: nobody does.
    """

    __slots__ = ("is_over",)

    def __init__(self) -> None:
        """Somebody does."""
        self.is_over = False


class Call(Generic[Result]):
    """What is done with a run, here or in another process, which opens the pack itself."""

    def __init__(
        self,
        shards: RunReader,
        function: Callable[[Iterator[Piece]], Result],
        start: int,
        stop: int,
        literals: tuple[Literal, ...],
        interest: Interest,
        *,
        reverse: bool,
    ) -> None:
        """Take what is read, and what is made of it; as of ``map_runs``."""
        self._interest = interest
        self._shards = shards
        self._function = function
        self._start = start
        self._stop = stop
        self._literals = literals
        self._reverse = reverse

    def __call__(self, run: Run) -> Result:
        """What is made of a run."""
        first, last = self._start // self._shards.shard_size, (self._stop - 1) // self._shards.shard_size
        read = self._shards.read_run(run, self._literals, first, reverse=self._reverse)
        pieces = takewhile(lambda _: not self._interest.is_over, read)
        lowest, highest = ends(run.shards)
        inside = first + 1 < lowest and highest < last
        return self._function(pieces if inside else (piece.cut(self._start, self._stop) for piece in pieces))

    def __reduce__(self) -> tuple[object, ...]:
        """The address of the pack, never the text; another process opens it once."""
        arguments = self._function, self._start, self._stop, self._literals, self._reverse
        return _call_there, (pickle.dumps(self._shards), *arguments)


class Shifted(Generic[Result]):
    """Calls a function with pieces whose offsets are counted from elsewhere."""

    def __init__(self, function: Callable[[Iterator[Piece]], Result], shift: int) -> None:
        """Take what is called, and what to add to offsets."""
        self._function = function
        self._shift = shift

    def __call__(self, pieces: Iterator[Piece]) -> Result:
        """What the function makes of the pieces."""
        return self._function(piece._replace(start=piece.start + self._shift) for piece in pieces)


class Task(NamedTuple, Generic[Result]):
    """A run, and what is done with it.

    Attributes:
        call: takes the run.
        run: some shards.
        text_bytes: about how much text these are.
    """

    call: Call[Result]
    run: Run
    text_bytes: int


def _do(task: Task[Result]) -> Result:
    return task.call(task.run)


def _do_all(tasks: list[Task[Result]]) -> list[Result]:
    return [task.call(task.run) for task in tasks]


def bundles(tasks: Iterator[Task[Result]], largest_bytes: int) -> Iterator[list[Task[Result]]]:
    """Tasks that are worth handing over together: an index leaves thousands of short runs between what it rules out.

    Args:
        tasks: in their order.
        largest_bytes: the most text that a bundle may have, unless it is one task; as runs, they begin small.
    """
    bundle: list[Task[Result]] = []
    held_bytes = done_bytes = 0
    for task in tasks:
        if bundle and held_bytes + task.text_bytes > min(largest_bytes, done_bytes):
            yield bundle
            done_bytes += held_bytes
            bundle, held_bytes = [], 0
        bundle.append(task)
        held_bytes += task.text_bytes
    if bundle:
        yield bundle


def map_tasks(
    tasks: Iterator[Task[Result]], interest: Interest, expected_bytes: int, run_bytes: int, executor: Executor | None
) -> Generator[Result]:
    """The results of tasks, in order: of the first few on this thread, then on the workers, or by an executor.

    Args:
        tasks: what is to be done.
        interest: what all of them look at; it is over when the results are closed.
        expected_bytes: about how much text they take.
        run_bytes: how much of that is handed to the executor at a time, at most.
        executor: does all of them instead.
    """
    if executor is None:
        # Handing a little text to another thread costs more than its passing.
        yield from map(_do, islice(tasks, _NEAR_RUNS if expected_bytes > _NEAR_BYTES else None))
    groups = bundles(tasks, run_bytes) if executor else ([task] for task in tasks)
    results = map_ahead(_do_all, groups, executor)
    try:
        for group in results:
            yield from group
    finally:
        # Whoever stops here waits for a shard, not for a run.
        interest.is_over = True
        results.close()


_shards_there = lru_cache(_KEPT_PACKS)(pickle.loads)


def _call_there(
    shards: bytes,
    function: Callable[[Iterator[Piece]], Result],
    start: int,
    stop: int,
    literals: tuple[Literal, ...],
    reverse: bool,  # noqa: FBT001  # unpickled
) -> Call[Result]:
    return Call(_shards_there(shards), function, start, stop, literals, Interest(), reverse=reverse)
