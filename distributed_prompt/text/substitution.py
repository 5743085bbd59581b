"""``replace``, ``translate`` and ``expandtabs`` of a text in parts."""

from dataclasses import dataclass
from typing import Any

from distributed_prompt.text.literal import Literal
from distributed_prompt.text.parts import Part
from distributed_prompt.text.splitting import Separator
from distributed_prompt.text.transform import Transform


@dataclass(frozen=True)
class Replacement(Transform[tuple[int, int]]):
    """``str.replace``. The state: how many characters a match has taken from the next part, and how many are left.

    Attributes:
        old: what is replaced.
        new: what takes its place.
        count: how often; always if negative.
    """

    old: str
    new: str
    count: int = -1

    def __str__(self) -> str:
        """The method."""
        return "replace"

    @property
    def changed(self) -> tuple[Literal, ...]:
        """As the base class says: what is replaced."""
        return (Literal(self.old),) if self.old else ()

    @property
    def first(self) -> tuple[int, int]:
        """None taken, all left."""
        return 0, self.count

    @property
    def growth(self) -> int:
        """As the base class says."""
        return len(self.new) // max(1, len(self.old)) + 1

    def apply(self, part: Part, state: tuple[int, int]) -> tuple[str, tuple[int, int]]:
        """The part with all matches replaced that begin in it."""
        skip, left = state
        text = part.text
        if not self.old:
            return self._interleaved(part, left)
        if skip >= len(text):
            return "", (skip - len(text), left)
        if not left:
            return text[skip:], (0, 0)
        separator = Separator(self.old)
        crossing = separator.crossing(part, skip)
        body = text[skip:crossing]
        if left > 0:
            here = min(left, body.count(self.old))
            if here == left:
                return text[skip:].replace(self.old, self.new, left), (0, 0)
            left -= here
        body = body.replace(self.old, self.new)
        if crossing is None:
            return body, (0, left)
        return body + self.new, (crossing + len(self.old) - len(text), left - (left > 0))

    def _interleaved(self, part: Part, left: int) -> tuple[str, tuple[int, int]]:
        text = part.text
        if 0 <= left <= len(text):
            return text.replace("", self.new, left), (0, 0)
        at_end = not next(part.after(), "")
        mapped = text.replace("", self.new, len(text)) + (self.new if at_end else "")
        return mapped, (0, left - len(text) if left > 0 else left)


@dataclass(frozen=True, eq=False)
class Translation(Transform[None]):
    """``str.translate``. Equal only to itself: a table may be anything.

    Attributes:
        table: as ``str`` takes it.
    """

    table: Any

    @property
    def first(self) -> None:
        """None: every character is on its own."""

    def __str__(self) -> str:
        """The method."""
        return "translate"

    @property
    def growth(self) -> int:
        """As the base class says; of a dictionary."""
        values = self.table.values() if type(self.table) is dict else ()
        return max((len(value) for value in values if isinstance(value, str)), default=1)

    def apply(self, part: Part, state: None) -> tuple[str, None]:
        """The part, translated."""
        return part.text.translate(self.table), state


@dataclass(frozen=True)
class TabExpansion(Transform[int]):
    """``str.expandtabs``. The state: the column that the next part begins in.

    Attributes:
        tabsize: columns from one stop to the next; tabs are dropped if it is not positive.
    """

    tabsize: int

    @property
    def first(self) -> int:
        """The first column."""
        return 0

    def __str__(self) -> str:
        """The method."""
        return "expandtabs"

    @property
    def growth(self) -> int:
        """As the base class says."""
        return max(1, self.tabsize)

    def apply(self, part: Part, state: int) -> tuple[str, int]:
        """The part with its tabs expanded."""
        text = part.text
        if self.tabsize < 1:
            return text.expandtabs(self.tabsize), 0
        tab = text.find("\t")
        if tab < 0 or _line_start(text[:tab]):
            expanded = text.expandtabs(self.tabsize)
        else:
            # Behind its first tab a line goes on as one that begins there.
            spaces = " " * (self.tabsize - (state + tab) % self.tabsize)
            expanded = text[:tab] + spaces + text[tab + 1 :].expandtabs(self.tabsize)
        start = _line_start(expanded)
        return expanded, (len(expanded) - start if start else state + len(expanded)) % self.tabsize


def _line_start(text: str) -> int:
    return max(text.rfind("\n"), text.rfind("\r")) + 1
