"""What a text is to have so that the methods of ``str`` can be added to it."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, Generic, SupportsIndex, TypeVar, cast, overload

from distributed_prompt.characters import Characters
from distributed_prompt.derived.joined import Joined, Repeated, flattened
from distributed_prompt.derived.transformed import Transformed
from distributed_prompt.derived.walk import Range
from distributed_prompt.errors import MaterialiseError
from distributed_prompt.images import MATERIALISE_LIMIT
from distributed_prompt.text.literal import Literal
from distributed_prompt.text.pieces import Piece
from distributed_prompt.text.transform import AnyTransform

View = TypeVar("View")
Value = TypeVar("Value")
Index = SupportsIndex | None
UNKNOWN = -1


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
    def _whole(self) -> str:
        """The whole text as one genuine string."""

    @abstractmethod
    def find(self, sub: str, start: Index = None, end: Index = None, /) -> int:
        """As ``str``'s."""

    @abstractmethod
    def rfind(self, sub: str, start: Index = None, end: Index = None, /) -> int:
        """As ``str``'s."""

    @abstractmethod
    def count(self, sub: str, start: Index = None, end: Index = None, /) -> int:
        """As ``str``'s."""

    @abstractmethod
    def _length_up_to(self, bound: int) -> int:
        """The length if it is below the bound, else the bound; may be known where the length is not."""

    @abstractmethod
    def _range(self) -> Range:
        """What the text is of some characters; the end may be left open."""

    @abstractmethod
    def _made(self, characters: Characters, length: int = UNKNOWN) -> "TextBase[View]":
        """All of some other characters as a text of the same kind, which is what a view is, and thresholds."""

    @abstractmethod
    def _cut(self, start: int, stop: int) -> str | View:
        """A range that is in range: a string, or a view above the threshold."""

    @abstractmethod
    def _tail(self, start: int) -> str | View:
        """All from an offset that is in range on: a string, or a view above the threshold."""

    @abstractmethod
    def _pieces(
        self,
        start: int = 0,
        stop: int | None = None,
        holding: Sequence[Literal] = (),
        executor: Executor | None = None,
    ) -> Iterator[Piece]:
        """The UTF-8 of a range that is in range, piece by piece."""

    @abstractmethod
    def _pieces_from_end(self) -> Iterator[Piece]:
        """The whole text, from the last piece to the first."""

    def _is_long(self) -> bool:
        """Whether the text is longer than ``view_threshold``."""
        return self._length_up_to(self.view_threshold + 1) > self.view_threshold

    def _transformed(self, transform: AnyTransform, *arguments: object) -> str | View:
        """The lazy result of a text that is long, else the string that ``str``'s method of the same name gives."""
        if self._is_long():
            return cast("View", self._made(Transformed(self._range(), transform)))
        return cast("str", getattr(self._whole(), str(transform))(*arguments))

    def _joined(self, texts: "Iterable[str | TextBase[View] | View]", length: int, times: int = 1) -> str | View:
        """Texts one after the other, and all that so many times; together they have ``length`` characters."""
        if length > sys.maxsize:
            message = "strings are too large to concat"
            raise OverflowError(message)
        if not length:
            return ""
        parts = [cast("str | TextBase[View]", text) for text in texts]
        parts = [part for part in parts if (part._length_up_to(1) if isinstance(part, TextBase) else part)]
        if length <= self.view_threshold:
            return "".join(map(plain, parts)) * times
        if len(parts) == times == 1 and isinstance(parts[0], TextBase):
            return parts[0]._cut(0, length)
        characters = self._range().characters
        ranges = [part._range() if isinstance(part, TextBase) else _held(characters, part) for part in parts]
        return cast("View", self._made(Joined(flattened(ranges), times, length), length))

    def _check_real(self, what: str, length: int) -> None:
        """For what has no lazy form.

        Raises:
            MaterialiseError: there would be too much of it.
        """
        if length > MATERIALISE_LIMIT:
            message = (
                f"{what}: {length:,} characters; one ordinary result may have {MATERIALISE_LIMIT:,}: take slices, "
                "iterate over chunks(), or use as_str()"
            )
            raise MaterialiseError(message)


def _held(characters: Characters, text: str) -> Range:
    return Range(Repeated(characters, text, len(text)), 0, len(text))


@overload
def plain(value: "str | TextBase[Any]") -> str: ...
@overload
def plain(value: Value) -> Value: ...
def plain(value: Any) -> Any:
    """The equal string of a prompt; anything else as it is."""
    return value._whole() if isinstance(value, TextBase) else value
