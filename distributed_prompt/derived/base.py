"""What all texts have in common that are made of others."""

import sys
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from distributed_prompt.caching import cached
from distributed_prompt.characters import Characters, Stats
from distributed_prompt.derived.separators import Tally
from distributed_prompt.derived.walk import Range
from distributed_prompt.errors import DepthError
from distributed_prompt.locks import Lock
from distributed_prompt.text.literal import Literal
from distributed_prompt.text.pieces import Piece, encode, width
from distributed_prompt.text.splitting import Separator

Result = TypeVar("Result")

OPEN_END = sys.maxsize
# Each takes some six frames of Python's thousand.
MOST_LEVELS = 100
_KEPT_PARTS = 4


class Derived(Characters):
    """Characters that are made of others. Pickles as its recipe.

    Attributes:
        base: those at the bottom, which decide what is open, and count what is read.
        depth: how many of such texts lie on top of each other, this one counted.
    """

    base: Characters
    depth: int

    def __init__(self, base: Characters, *others: Characters) -> None:
        """Nothing is made yet.

        Args:
            base: what it is made of.
            others: more of that.

        Raises:
            DepthError: that is made of others which are made of others, and so on, too often.
        """
        self.depth = 1 + max([each.depth for each in (base, *others) if isinstance(each, Derived)], default=0)
        if self.depth > MOST_LEVELS:
            message = (
                f"more than {MOST_LEVELS} operations on a long text, each on what the one before it made: write what "
                "they make to a file, pack that, and go on with its prompt; or replace many words with one re.sub"
            )
            raise DepthError(message)
        self.base = base.base if isinstance(base, Derived) else base
        self.part_size = base.part_size
        self._parts: OrderedDict[int, tuple[int, str]] = OrderedDict()
        self._lock = Lock()

    @property
    @abstractmethod
    def recipe(self) -> tuple[object, ...]:
        """The arguments that make an equal one."""

    def __reduce__(self) -> tuple[object, ...]:
        """The recipe, never the text."""
        return type(self), self.recipe

    @property
    def key(self) -> Hashable:
        """As the base class says."""
        return type(self).__name__, _key(self.recipe)

    @property
    def owned(self) -> bool:  # type: ignore[override]  # read only
        """Whether a prompt decides when to close what this is made of."""
        return self.base.owned

    @property
    def name(self) -> str:
        """As the base class says."""
        return self.base.name

    @property
    def folder(self) -> Path:
        """As the base class says."""
        return self.base.folder

    @property
    def stats(self) -> Stats:
        """As the base class says."""
        return self.base.stats

    def count_image(self) -> None:
        """As the base class says."""
        self.base.count_image()

    def check_open(self) -> None:
        """As the base class says."""
        self.base.check_open()

    def close(self) -> None:
        """As the base class says."""
        self.base.close()

    def map_runs(
        self,
        function: Callable[[Iterator[Piece]], Result],
        start: int,
        stop: int,
        *,
        reverse: bool = False,
        holding: Sequence[Literal] = (),
        executor: Executor | None = None,
    ) -> Iterator[Result]:
        """As the base class says; each part is a run, made on this thread of what others decode ahead."""
        del executor
        pieces = self._backwards(start, stop) if reverse else self.pieces(start, stop, holding)
        for piece in pieces:
            yield function(iter((piece,)))

    @abstractmethod
    def pieces(
        self, start: int, stop: int, holding: Sequence[Literal] = (), executor: Executor | None = None
    ) -> Iterator[Piece]:
        """As the base class says."""

    def _backwards(self, start: int, stop: int) -> Iterator[Piece]:
        while stop > start:
            first, text = self.near(stop - 1)
            begin = max(first, start)
            text = text[begin - first : stop - first]
            yield Piece(begin, len(text), encode(text))
            stop = begin

    def range_width(self, start: int, stop: int) -> int:
        """As the base class says: a pass."""
        return max((width(piece.data) for piece in self.pieces(start, stop)), default=0)

    @cached
    def _newline_tally(self) -> Tally:
        return Tally(Range(self, 0, OPEN_END), Separator("\n"))

    @property
    def newlines(self) -> int:
        """As the base class says: one pass."""
        return self._newline_tally.total_up_to(OPEN_END)

    def newlines_before(self, offset: int) -> int:
        """As the base class says: a pass up to there, once."""
        return self._newline_tally.before(offset)

    def newline_offset(self, ordinal: int) -> int:
        """As the base class says: a pass up to there, once."""
        return self._newline_tally.span(ordinal)[0]

    def _kept(self, offset: int) -> tuple[int, str] | None:
        """A part that was made lately."""
        self.check_open()
        with self._lock:
            for start, text in self._parts.values():
                if start <= offset < start + len(text):
                    self._parts.move_to_end(start)
                    return start, text
        return None

    def _keep(self, start: int, text: str) -> tuple[int, str]:
        with self._lock:
            self._parts[start] = start, text
            while len(self._parts) > _KEPT_PARTS:
                self._parts.popitem(last=False)
        return start, text


def _key(value: object) -> Hashable:
    if isinstance(value, Characters):
        return value.key
    if isinstance(value, tuple):
        return tuple(map(_key, value))
    return value
