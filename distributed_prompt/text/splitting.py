r"""``split``, ``splitlines`` and their like of a text in parts: the fields, and where the separators lie between them.

A separator belongs to the part that it begins in; how many characters it takes from the next one is that part's *skip*.
"""

import re
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from distributed_prompt.text.literal import Literal
from distributed_prompt.text.parts import Part, beginning

_SPACE = re.compile(r"\s+")
_LINE_END = re.compile("\r\n|[\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")


class Cutter(ABC):
    """What separates fields. Hashable; equal ones cut alike."""

    @property
    def separator(self) -> tuple[Literal, ...]:
        """The separator, if that is one string."""
        return ()

    @abstractmethod
    def count(self, part: Part, skip: int) -> tuple[int, int]:
        """How many separators begin in a part, and the skip of the next."""

    @abstractmethod
    def spans(self, part: Part, skip: int) -> "Spans":
        """Where these begin and end, counted from the part's beginning."""

    @abstractmethod
    def fields(self, parts: Iterable[Part], limit: int) -> Iterator[str | None]:
        """All fields in one pass; None for one of more characters than the limit.

        An empty field behind a separator at the end is left out by :class:`LineEnd`, as ``str.splitlines`` does.
        """


class Spans:
    """Where some separators begin and end."""

    def __init__(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Take them."""
        self._bounds = array("q")
        for pair in pairs:
            self._bounds.extend(pair)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._bounds) // 2

    def __getitem__(self, number: int) -> tuple[int, int]:
        """Where one begins and ends."""
        return self._bounds[2 * number], self._bounds[2 * number + 1]


class Field:
    """The beginning of a field that goes on in the next part. What is longer than the limit is forgotten.

    Attributes:
        characters: how many it has.
    """

    def __init__(self, limit: int) -> None:
        """Nothing of it has come yet."""
        self._limit = limit
        self._parts: list[str] = []
        self.characters = 0

    def add(self, text: str) -> None:
        """Take the next characters."""
        self.characters += len(text)
        if self.characters > self._limit:
            self._parts.clear()
        else:
            self._parts.append(text)

    def take(self) -> str | None:
        """The whole field, None if it was too long; the next one begins."""
        text = "".join(self._parts) if self.characters <= self._limit else None
        self._parts.clear()
        self.characters = 0
        return text


def _limited(fields: list[str], limit: int) -> Iterable[str | None]:
    if not fields or max(map(len, fields)) <= limit:
        return fields
    return [field if len(field) <= limit else None for field in fields]


@dataclass(frozen=True)
class Separator(Cutter):
    """A string, as ``str.split(sep)`` takes it: found from the left, without overlaps.

    Attributes:
        sep: not empty.
    """

    sep: str

    @property
    def separator(self) -> tuple[Literal, ...]:
        """As the base class says."""
        return (Literal(self.sep),)

    def crossing(self, part: Part, skip: int) -> int | None:
        """Where a separator begins that ends in a later part; None if there is none."""
        reach = len(self.sep) - 1
        text = part.text
        if not reach or not self._may_begin(text[max(skip, len(text) - reach) :]):
            return None
        head = beginning(part.after(), reach)
        if self.sep not in text[max(skip, len(text) - reach) :] + head:
            return None
        # Unless it overlaps one that came before it.
        tail = text[skip:].split(self.sep)[-1][-reach:]
        position = (tail + head).find(self.sep)
        return len(text) - len(tail) + position if position >= 0 else None

    def _may_begin(self, tail: str) -> bool:
        """Whether a separator may begin in the last characters of a part, and go on."""
        start = tail.find(self.sep[0])
        while start >= 0:
            if self.sep.startswith(tail[start:]):
                return True
            start = tail.find(self.sep[0], start + 1)
        return False

    def count(self, part: Part, skip: int) -> tuple[int, int]:
        """As the base class says."""
        text = part.text
        if skip >= len(text):
            return 0, skip - len(text)
        crossing = self.crossing(part, skip)
        if crossing is None:
            return text.count(self.sep, skip), 0
        return text.count(self.sep, skip, crossing) + 1, crossing + len(self.sep) - len(text)

    def spans(self, part: Part, skip: int) -> Spans:
        """As the base class says."""
        starts = [match.start() for match in re.finditer(re.escape(self.sep), part.text[skip:])]
        crossing = self.crossing(part, skip) if skip < len(part.text) else None
        if crossing is not None:
            starts.append(crossing - skip)
        return Spans((skip + start, skip + start + len(self.sep)) for start in starts)

    def fields(self, parts: Iterable[Part], limit: int) -> Iterator[str | None]:
        """As the base class says."""
        field = Field(limit)
        skip = 0
        for part in parts:
            text = part.text
            if skip >= len(text):
                skip -= len(text)
                continue
            crossing = self.crossing(part, skip)
            whole = skip == 0 and crossing is None
            first, *others = (text if whole else text[skip:crossing]).split(self.sep)
            field.add(first)
            if others:
                yield field.take()
                last = others.pop()
                yield from _limited(others, limit)
                field.add(last)
            skip = 0
            if crossing is not None:
                yield field.take()
                skip = crossing + len(self.sep) - len(text)
        yield field.take()


@dataclass(frozen=True)
class Whitespace(Cutter):
    """Any white space, as ``str.split()`` takes it, of a text without any at its ends."""

    def count(self, part: Part, skip: int) -> tuple[int, int]:
        """As the base class says."""
        text = part.text[skip:]
        if not text:
            return 0, skip - len(part.text)
        words = len(text.split())
        at_end = text[-1].isspace()
        separators = words - 1 + text[0].isspace() + at_end if words else 1
        return separators, _leading_space(part.after()) if at_end else 0

    def spans(self, part: Part, skip: int) -> Spans:
        """As the base class says."""
        pairs = [match.span() for match in _SPACE.finditer(part.text, skip)]
        if pairs and pairs[-1][1] == len(part.text):
            pairs[-1] = pairs[-1][0], pairs[-1][1] + _leading_space(part.after())
        return Spans(pairs)

    def fields(self, parts: Iterable[Part], limit: int) -> Iterator[str | None]:
        """As the base class says."""
        field = Field(limit)
        for part in parts:
            words = part.text.split()
            if field.characters and (not words or part.text[0].isspace()):
                yield field.take()
            if not words:
                continue
            if field.characters:
                field.add(words[0])
                if len(words) == 1 and not part.text[-1].isspace():
                    continue
                yield field.take()
                del words[0]
            last = None if part.text[-1].isspace() else words.pop()
            yield from _limited(words, limit)
            if last:
                field.add(last)
        if field.characters:
            yield field.take()


def _leading_space(texts: Iterator[str]) -> int:
    """How many characters of white space texts begin with."""
    total = 0
    for text in texts:
        here = len(text) - len(text.lstrip())
        total += here
        if here < len(text):
            break
    return total


@dataclass(frozen=True)
class LineEnd(Cutter):
    r"""All that ends a line for ``str.splitlines``; ``\r\n`` is one.

    Attributes:
        keepends: whether a field has its separator.
    """

    keepends: bool = False

    def count(self, part: Part, skip: int) -> tuple[int, int]:
        """As the base class says."""
        text = part.text[skip:]
        if not text:
            return 0, skip - len(part.text)
        lines = len(text.splitlines())
        return lines if _ends_line(text) else lines - 1, _split_end(part)

    def spans(self, part: Part, skip: int) -> Spans:
        """As the base class says."""
        pairs = [match.span() for match in _LINE_END.finditer(part.text, skip)]
        if pairs and _split_end(part):
            pairs[-1] = pairs[-1][0], len(part.text) + 1
        return Spans(pairs)

    def fields(self, parts: Iterable[Part], limit: int) -> Iterator[str | None]:
        """As the base class says."""
        field = Field(limit)
        goes_on = False
        skip = 0
        for part in parts:
            text = part.text[skip:]
            skip = _split_end(part)
            if not text:
                continue
            first, *others = (text + "\n" if skip else text).splitlines(self.keepends)
            field.add(first)
            goes_on = not _ends_line(text)
            if others:
                yield field.take()
                last = others.pop()
                yield from _limited(others, limit)
                field.add(last)
            if not goes_on:
                yield field.take()
        if goes_on:
            yield field.take()


def _ends_line(text: str) -> bool:
    return _LINE_END.match(text, len(text) - 1) is not None


def _split_end(part: Part) -> int:
    r"""1 if a part ends between the characters of a ``\r\n``."""
    return int(part.text.endswith("\r") and next(part.after(), "").startswith("\n"))
