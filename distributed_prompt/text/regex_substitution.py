"""``re.sub`` of a text in parts, with a template."""

import re
from dataclasses import dataclass
from sys import maxsize

from distributed_prompt.text.parts import Part
from distributed_prompt.text.reach import Reach
from distributed_prompt.text.regex_template import expanded, template_parts
from distributed_prompt.text.transform import Transform
from distributed_prompt.text.windows import Windows


@dataclass(frozen=True)
class RegexSubstitution(Transform[tuple[int, int]]):
    """Every match replaced. The state: how many characters a match has taken from the next part, and how many are left.

    Attributes:
        pattern: what is replaced.
        reach: what its attempts can read.
        template: what takes its place.
        count: how often; always if 0.
    """

    pattern: "re.Pattern[str]"
    reach: Reach
    template: str
    count: int = 0

    def __str__(self) -> str:
        """The method."""
        return "sub"

    @property
    def first(self) -> tuple[int, int]:
        """None taken, all left."""
        return 0, self.count or maxsize

    @property
    def growth(self) -> int:
        """As the base class says; roughly, for a template may repeat groups."""
        return len(self.template)

    def apply(self, part: Part, state: tuple[int, int]) -> tuple[str, tuple[int, int]]:
        """The part with all matches replaced that begin in it."""
        at, left = state
        text = part.text
        pieces = []
        parts = template_parts(self.pattern, self.template)
        windows = Windows(self.pattern, self.reach, limit=maxsize)
        windows.skip = at
        for found in windows.matches(part) if left else ():
            start, end = found.match.start() + found.shift, found.match.end() + found.shift
            pieces += [text[at:start], expanded(found.match, parts)]
            at = end
            left -= 1
            if not left:
                break
        pieces.append(text[at:])
        return "".join(pieces), (max(0, at - len(text)), left)
