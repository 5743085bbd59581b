"""A text in parts with some of its ranges replaced, which are known."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable

from distributed_prompt.text.parts import Part
from distributed_prompt.text.transform import Transform


class Splice(Transform[int]):
    """Every range replaced by a text of its own. The state: the offset of the next part. Equal only to itself."""

    def __init__(self, replaced: Iterable[tuple[int, int, str]]) -> None:
        """Take where each range begins and ends, and what takes its place; in ascending order, none overlap."""
        self._starts = array("q")
        self._stops = array("q")
        self._texts: list[str] = []
        for start, stop, text in replaced:
            self._starts.append(start)
            self._stops.append(stop)
            self._texts.append(text)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._texts)

    def __str__(self) -> str:
        """The method that it is for."""
        return "sub"

    @property
    def first(self) -> int:
        """The first offset."""
        return 0

    def apply(self, part: Part, state: int) -> tuple[str, int]:
        """The part with all that replaces ranges which begin in it; at its end, too, if it is the last."""
        stop = state + len(part.text)
        number = bisect_left(self._starts, state)
        at = max(state, self._stops[number - 1]) if number else state
        pieces: list[str] = []
        while number < len(self._starts) and self._starts[number] <= stop:
            start = self._starts[number]
            if start == stop and next(part.after(), ""):
                break
            pieces += [part.text[at - state : start - state], self._texts[number]]
            at = self._stops[number]
            number += 1
        pieces.append(part.text[at - state :])
        return "".join(pieces), stop
