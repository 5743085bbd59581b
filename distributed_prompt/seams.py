"""Where packs that follow each other meet: what lies across two of them no index knows."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from distributed_prompt.manifest import EDGE, PackEntry
from distributed_prompt.text.literal import Literal
from distributed_prompt.text.pieces import encode


class Stretch(NamedTuple):
    """A range of one pack, in its own offsets, and what is looked for there; everything, if nothing."""

    pack: int
    start: int
    stop: int
    holding: Sequence[Literal]


class Seams:
    """The seams of some packs, of whose edges the manifest tells."""

    def __init__(self, packs: Sequence[PackEntry], stops: Sequence[int]) -> None:
        """Take the packs, and the offset after the last character of each."""
        self._packs = packs
        self._stops = stops

    def stretches(
        self, start: int, stop: int, literals: tuple[Literal, ...] = (), *, reverse: bool = False
    ) -> Iterator[Stretch]:
        """What lies in a range of each pack, cut where everything must be seen for the sake of a seam."""
        if start >= stop:
            return
        packs = range(bisect_right(self._stops, start), bisect_right(self._stops, stop - 1) + 1)
        for pack in reversed(packs) if reverse else packs:
            base = self._stops[pack - 1] if pack else 0
            low, high = max(start - base, 0), min(stop, self._stops[pack]) - base
            borders = self.between(pack, literals) if literals else (0, high)
            cuts = [low, *(border for border in borders if low < border < high), high]
            ranges = list(pairwise(cuts))
            for first, last in reversed(ranges) if reverse else ranges:
                inside = borders[0] <= first and last <= borders[1]
                if first < last:
                    yield Stretch(pack, first, last, literals if inside else ())

    def between(self, pack: int, literals: tuple[Literal, ...]) -> tuple[int, int]:
        """What of a pack is not near a seam that an occurrence may lie across: all else must be seen."""
        entry = self._packs[pack]
        reach = max(len(literal.text) for literal in literals)
        size = entry.shard_size
        first, last = 0, entry.length
        if self._may_cross(pack, literals):
            first = -(-reach // size) * size
        if self._may_cross(pack + 1, literals):
            last = max(0, entry.length - reach) // size * size
        return (first, last) if first < last else (entry.length, entry.length)

    def _may_cross(self, pack: int, literals: tuple[Literal, ...]) -> bool:
        """Whether an occurrence may begin before a pack and end in it, or behind it."""
        packs = self._packs
        if not 0 < pack < len(packs):
            return False
        tail, head = packs[pack - 1].tail, packs[pack].head
        if tail is None or head is None or min(len(tail), len(head)) < EDGE:
            return True
        before, behind = encode(tail), encode(head)
        return any(literal.may_begin_in(before) and literal.may_end_in(behind) for literal in literals)
