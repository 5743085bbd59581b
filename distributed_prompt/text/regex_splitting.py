"""``re.split`` of a text in parts, by a pattern without groups."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from sys import maxsize

from distributed_prompt.text.parts import Part
from distributed_prompt.text.reach import Reach
from distributed_prompt.text.splitting import Cutter, Field, Spans
from distributed_prompt.text.windows import Windows


@dataclass(frozen=True)
class RegexSeparator(Cutter):
    """Every match separates.

    Attributes:
        pattern: what is matched.
        reach: what its attempts can read.
    """

    pattern: "re.Pattern[str]"
    reach: Reach

    def count(self, part: Part, skip: int) -> tuple[int, int]:
        """As the base class says."""
        windows = self._windows(skip)
        return sum(1 for _ in windows.matches(part)), windows.skip

    def spans(self, part: Part, skip: int) -> Spans:
        """As the base class says."""
        matches = self._windows(skip).matches(part)
        return Spans((found.match.start() + found.shift, found.match.end() + found.shift) for found in matches)

    def fields(self, parts: Iterable[Part], limit: int) -> Iterator[str | None]:
        """As the base class says."""
        windows = self._windows(0)
        field = Field(limit)
        for part in parts:
            text, at = part.text, windows.skip
            for found in windows.matches(part):
                field.add(text[at : found.match.start() + found.shift])
                yield field.take()
                at = found.match.end() + found.shift
            field.add(text[at:])
        yield field.take()

    def _windows(self, skip: int) -> Windows:
        windows = Windows(self.pattern, self.reach, limit=maxsize)
        windows.skip = skip
        return windows
