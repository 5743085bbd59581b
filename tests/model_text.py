"""A text of any length that is known without being held: parts made one at a time, each of which str itself can ask.

It has what real prompts have: JSON and headings at the beginning, numbered lines, emoji, Chinese, line ends of Windows,
characters whose lower case is longer, whitespace at both ends, one line of nine million characters, and needles.
"""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate

PART_CHARACTERS = 1_000_000
LONG_LINE_CHARACTERS = 9_000_000  # more than a prompt's view_threshold
QUERY = '{"query": "Who grew up in \\u0130zmir?", "ids": [1, 2, 3], "title": "Caf\u00e9 \U0001f389"}'
HEAD = f"\n  {QUERY}\nTitle: a podcast\n\nTranscript: so it begins.\n"
TAIL = (
    "\u7b2c\u4e94\u7ae0 Somebody Grew Up in \u0130zmir, long before Artificial General Intelligence \U0001f916.\r\n"
    "key-8: after some pages\nof text, the special magic number is 4711 and no other.\n"
    "The end \U0001f50d.\n \n"
)
LONG_LINE = f"{'one line, very long, ' * (LONG_LINE_CHARACTERS // 21):-<{LONG_LINE_CHARACTERS - 1}}\n"
_NUMBER = "@@@@@"
# Once in each part, on lines of their own.
_SPECIAL = (
    f"### Section {_NUMBER}",
    "",
    f"static int entry_{_NUMBER}(void)\t{{ return 0; }}",
    f"\u7b2c{_NUMBER}\u7ae0\uff1a\u4ece\u524d\u6709\u5ea7\u5c71\uff0c\u5c71\u91cc\u6709\u5ea7\u5e99\u3002",
    f"\U0001f389 Caf\u00e9 {_NUMBER} na\u00efve \U0001f469\u200d\U0001f680",
    f"\u0130stanbul, \u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3 and STRASSE {_NUMBER}",
    "a line that ends as on Windows\r",
    "two lines for splitlines:\u2028one for split",
)


def _template() -> str:
    chance = random.Random(9)  # noqa: S311  # to be the same every time, not to be secret
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyzABCDE", k=chance.randint(2, 9))) for _ in range(2_000)]
    words += ["static", "Title:", "key-7", "don't"]
    lines = [f"{_NUMBER}-{line:04d} {' '.join(chance.choices(words, k=18))}" for line in range(9_000)]
    for number, line in enumerate(_SPECIAL):
        lines.insert(500 * (number + 1), line)
    joined = "\n".join(lines)
    assert len(joined) >= PART_CHARACTERS, "too few lines"
    return joined[: PART_CHARACTERS - 1] + "\n"


class ModelText:
    """The text, asked as str is, a part at a time."""

    def __init__(self, characters: int) -> None:
        """Take how long it is to be, about."""
        self._template = _template()
        full = (characters - len(HEAD) - len(LONG_LINE) - len(TAIL)) // PART_CHARACTERS
        self._long = 1 + full // 2
        self._sizes = [len(HEAD), *[PART_CHARACTERS] * (full + 1), len(TAIL)]
        self._sizes[self._long] = len(LONG_LINE)
        self._starts = list(accumulate(self._sizes, initial=0))
        self.length = self._starts[-1]

    def part(self, number: int) -> str:
        r"""A part. No ``\n`` but its last character ends it, so lines lie in one part each."""
        if number == self._long:
            return LONG_LINE
        last = len(self._sizes) - 1
        if number in {0, last}:
            return TAIL if number else HEAD
        block = number - 1 - (number > self._long)
        return self._template.replace(_NUMBER, f"{block:0{len(_NUMBER)}d}")

    def parts(self) -> Iterator[str]:
        """The text in order."""
        return map(self.part, range(len(self._sizes)))

    def sum(self, measure: Callable[[str], int]) -> int:
        """What is measured in each part, in all."""
        return sum(map(measure, self.parts()))

    def count(self, needle: str) -> int:
        r"""How often there is what has no ``\n`` but its last character."""
        return self.sum(lambda part: part.count(needle))

    def find(self, needle: str, change: Callable[[str], str] = str) -> int:
        r"""Where a needle that has no ``\n`` is, in the text that a change of each part gives."""
        before = 0
        for part in map(change, self.parts()):
            if (at := part.find(needle)) >= 0:
                return before + at
            before += len(part)
        return -1

    def slice(self, start: int, stop: int) -> str:
        """A range that begins in range."""
        stop = min(stop, self.length)
        first, last = bisect_right(self._starts, start) - 1, bisect_left(self._starts, stop)
        found = "".join(map(self.part, range(first, last)))
        return found[start - self._starts[first] :][: stop - start]

    def end(self, size: int) -> str:
        """The last characters."""
        return self.slice(self.length - size, self.length)

    def lines(self) -> Iterator[str]:
        r"""What ``split("\n")`` gives, but for the empty string behind the last ``\n``."""
        for part in self.parts():
            yield from part[:-1].split("\n")
