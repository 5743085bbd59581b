"""A text under a transform: ``lower``, ``replace`` and their like."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor

from distributed_prompt.derived.base import OPEN_END, Derived
from distributed_prompt.derived.ledger import FIRST_HORIZON, LAST_HORIZON, Ledger
from distributed_prompt.derived.walk import NearPart, Range, part_at, walk
from distributed_prompt.text.literal import Literal
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
        # What grows a lot is made a little at a time.
        self._most = max(1, _MOST_CHARACTERS // transform.growth) if transform.growth > _MUCH else sys.maxsize
        self._lacking = source.characters.lacking(transform.changed)
        can_tell = transform.keeps_ascii or self._lacking
        unseen = self._unseen if can_tell and self._most == sys.maxsize else None
        self._ledger = Ledger(source, self._measure, transform.first, is_length=True, unseen=unseen, most=self._most)

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

    def pieces(
        self, start: int, stop: int, holding: Sequence[Literal] = (), executor: Executor | None = None
    ) -> Iterator[Piece]:
        """As the base class says; nothing is made where the text holds nothing that could become what is looked for."""
        del executor
        entry = self._ledger.last_known(start)
        source, offset, state = entry.start, entry.before, entry.state
        lacking = self._source.characters.lacking(self._transform.origins(holding))
        horizon = FIRST_HORIZON
        while offset < stop:
            kept = self._kept_length(source) if lacking and lacking(source) else 0
            if kept:
                self._ledger.note(source, source + kept, kept, state)
                source, offset = source + kept, offset + kept
                continue
            # Not more is read ahead than will do, if this text is about as long as the other.
            end = self._source.part_end(source, stop - offset)
            if lacking:
                end = min(end, self._source.next_part(source, lacking, horizon))
                horizon = min(2 * horizon, LAST_HORIZON)
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

    def _kept_length(self, start: int) -> int:
        """How many characters there are from here to the end of the part, if it is known that they stay as many."""
        return min(self._unseen(start), max(0, self._source.stop - start))

    def _unseen(self, offset: int) -> int:
        ascii_part = self._source.characters.ascii_part(offset) if self._transform.keeps_ascii else 0
        return ascii_part or (self._lacking(offset) if self._lacking else 0)

    def _measure(self, part: Part, state: object) -> tuple[int, object]:
        text, state = self._transform.apply(part, state)
        return len(text), state
