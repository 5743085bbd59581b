"""A part of a text together with what lies around it, for algorithms that have to look past its edges now and then."""

from abc import ABC, abstractmethod
from collections.abc import Iterator


class Part(ABC):
    """Some consecutive characters.

    Attributes:
        text: they themselves; never empty.
    """

    text: str

    @abstractmethod
    def before(self) -> Iterator[str]:
        """The texts before it, the nearest first, each when it is asked for; none is empty."""

    @abstractmethod
    def after(self) -> Iterator[str]:
        """The texts behind it, the nearest first, each when it is asked for; none is empty."""


def beginning(texts: Iterator[str], characters: int) -> str:
    """The first characters of consecutive texts; no more texts are taken than it needs."""
    found: list[str] = []
    while characters > 0 and (text := next(texts, "")):
        found.append(text[:characters])
        characters -= len(found[-1])
    return "".join(found)


def ending(texts: Iterator[str], characters: int) -> str:
    """The last characters of texts of which the nearest comes first; no more texts are taken than it needs."""
    found: list[str] = []
    while characters > 0 and (text := next(texts, "")):
        found.append(text[-characters:])
        characters -= len(found[-1])
    return "".join(reversed(found))
