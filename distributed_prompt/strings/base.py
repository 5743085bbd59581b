"""What a text is to have so that the methods of ``str`` can be added to it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, SupportsIndex, TypeVar, cast

from distributed_prompt.errors import MaterialiseError
from distributed_prompt.text.pieces import Piece

View = TypeVar("View")
Value = TypeVar("Value")
Index = SupportsIndex | None


class TextBase(ABC, Generic[View]):
    """A text with slices, searches, passes, and a real string of the whole.

    Attributes:
        view_threshold: characters up to which results are ordinary strings and lists.
    """

    __slots__ = ()
    view_threshold: int

    @abstractmethod
    def __len__(self) -> int:
        """Number of characters."""

    @abstractmethod
    def __str__(self) -> str:
        """The whole text as one string."""

    @abstractmethod
    def find(self, sub: str, start: Index = None, end: Index = None, /) -> int:
        """As ``str``'s."""

    @abstractmethod
    def rfind(self, sub: str, start: Index = None, end: Index = None, /) -> int:
        """As ``str``'s."""

    @abstractmethod
    def _cut(self, start: int, stop: int) -> str | View:
        """A range that is in range: a string, or a view above the threshold."""

    @abstractmethod
    def _pieces(self, start: int = 0, stop: int | None = None) -> Iterator[Piece]:
        """The UTF-8 of a range that is in range, piece by piece."""

    @abstractmethod
    def _pieces_from_end(self) -> Iterator[Piece]:
        """The whole text, from the last piece to the first."""

    def _real(self, method: str, *arguments: object) -> Any:  # whatever str's gives
        """What ``str``'s own method gives for the whole text; wrong arguments are wrong for a text of any length.

        Raises:
            MaterialiseError: the text is longer than ``view_threshold``.
        """
        call = getattr(str, method)
        strings = [plain(argument) for argument in arguments]
        if len(self) > self.view_threshold:
            call("", *strings)
        self._check_real(method, len(self))
        return call(str(self), *strings)

    def _check_real(self, what: str, length: int) -> None:
        if length > self.view_threshold:
            message = (
                f"{what}: {length:,} characters; ordinary strings and lists are made of up to {self.view_threshold:,} "
                "(view_threshold): take slices, iterate over chunks(), or use as_str()"
            )
            raise MaterialiseError(message)


def plain(value: Value) -> Value:
    """The equal string of a prompt; anything else as it is, and taken for a string by the type checker."""
    return cast("Value", str(value)) if isinstance(value, TextBase) else value
