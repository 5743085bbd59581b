"""What makes one text of another, a part at a time."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from distributed_prompt.text.literal import Literal
from distributed_prompt.text.parts import Part

State = TypeVar("State")


class Transform(ABC, Generic[State]):
    """Makes of each part of a text its share of the result.

    Hashable; equal transforms make the same of the same text.
    """

    @property
    @abstractmethod
    def first(self) -> State:
        """The state before the first part."""

    @property
    def keeps_ascii(self) -> bool:
        """Whether an ASCII part becomes as many ASCII characters, and leaves the state alone."""
        return False

    @property
    def changed(self) -> tuple[Literal, ...]:
        """Literals; a part in which no occurrence of one begins or ends keeps its length and leaves the state alone.

        None if that cannot be said.
        """
        return ()

    def origins(self, literals: Sequence[Literal]) -> tuple[Literal, ...]:
        """What the text must hold for the result to hold one of some literals; nothing if that cannot be said."""
        del literals
        return ()

    @property
    def growth(self) -> int:
        """How many times as long a text may become, where that is known and much."""
        return 1

    @abstractmethod
    def apply(self, part: Part, state: State) -> tuple[str, State]:
        """A part's share of the result, and the state before the next part."""


AnyTransform = Transform[Any]
