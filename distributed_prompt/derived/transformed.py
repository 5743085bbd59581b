"""A text under a transform: ``lower``, ``replace`` and their like."""

import sys
from collections.abc import Iterator

from distributed_prompt.derived.base import OPEN_END, Derived
from distributed_prompt.derived.ledger import Ledger
from distributed_prompt.derived.walk import NearPart, Range, part_at, walk
from distributed_prompt.text.parts import Part
from distributed_prompt.text.pieces import Piece, encode
from distributed_prompt.text.transform import AnyTransform

_MUCH = 16
_MOST_CHARACTERS = 2**21


class Transformed(Derived):
    """What a transform makes of a range. Its parts are those of the range."""

    def __init__(self, source: Range, transform: AnyTransform) -> None:
        """Nothing is made yet."""
        super().__init__(source.characters)
        self._source = source
        self._transform = transform
        keeps = transform.keeps_ascii
        # What grows a lot is made a little at a time.
        self._most = max(1, _MOST_CHARACTERS // transform.growth) if transform.growth > _MUCH else sys.maxsize
        self._ledger = Ledger(
            source, self._measure, transform.first, is_length=True, ascii_is_length=keeps, most=self._most
        )

    @property
    def recipe(self) -> tuple[object, ...]:
        """As the base class says."""
        return self._source, self._transform

    @property
    def length(self) -> int:
        """As the base class says: a pass, once, but for what is known to keep its length."""
        return self._ledger.total_up_to(OPEN_END)

    def length_up_to(self, bound: int) -> int:
        """As the base class says: a pass up to there, once."""
        return self._ledger.total_up_to(bound)

    def describe(self, start: int, length: int) -> str:
        """As the base class says."""
        del start, length
        return f"{self._transform} of {self._source.characters.name}"

    def near(self, offset: int) -> tuple[int, str]:
        """As the base class says."""
        kept = self._kept(offset)
        if kept is not None:
            return kept
        entry = self._ledger.find(offset)
        if entry is None:
            return self.length, ""
        text, _ = self._transform.apply(part_at(self._source, entry.start, self._most), entry.state)
        return self._keep(entry.before, text)

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """As the base class says."""
        entry = self._ledger.last_known(start)
        source, offset, state = entry.start, entry.before, entry.state
        while offset < stop:
            # Not more is read ahead than will do, if this text is about as long as the other.
            end = self._source.part_end(source, stop - offset)
            part: NearPart
            begin = source
            for part in walk(self._source, source, end, self._most):
                if offset >= stop:
                    return
                text, state = self._transform.apply(part, state)
                source = part.stop
                self._ledger.note(part.start, source, len(text), state)
                first, last = max(start - offset, 0), stop - offset
                here = text[first:last]
                if here:
                    yield Piece(offset + first, len(here), encode(here))
                offset += len(text)
            if source == begin or source >= self._source.stop:
                return

    def _measure(self, part: Part, state: object) -> tuple[int, object]:
        text, state = self._transform.apply(part, state)
        return len(text), state
