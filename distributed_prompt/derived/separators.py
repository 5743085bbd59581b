"""Where the separators are that a text is split by, by number."""

from abc import ABC, abstractmethod

from distributed_prompt.derived.ledger import Ledger
from distributed_prompt.derived.walk import Range, part_at
from distributed_prompt.text.splitting import Cutter, Spans


class Separators(ABC):
    """The separators of a range, from left to right."""

    @property
    @abstractmethod
    def is_counted(self) -> bool:
        """Whether it is known how many there are."""

    @abstractmethod
    def total_up_to(self, bound: int) -> int:
        """How many there are if these are fewer than the bound, else the bound."""

    @abstractmethod
    def span(self, ordinal: int) -> tuple[int, int]:
        """Where one begins and ends that must exist: offsets in the whole text."""


class Tally(Separators):
    """Found by looking, no further than is needed, and counted by part; where in a part is found out again."""

    def __init__(self, source: Range, cutter: Cutter) -> None:
        """Nothing is known yet."""
        self._source = source
        self._cutter = cutter
        self._ledger = Ledger(source, cutter.count, 0, unseen=source.characters.lacking(cutter.separator))
        self._last: tuple[int, Spans] | None = None

    @property
    def is_counted(self) -> bool:
        """As the base class says."""
        return self._ledger.is_whole

    def total_up_to(self, bound: int) -> int:
        """As the base class says: a pass up to there, once."""
        return self._ledger.total_up_to(bound)

    def span(self, ordinal: int) -> tuple[int, int]:
        """As the base class says: a pass up to there, once, and its part."""
        entry = self._ledger.find(ordinal)
        if entry is None:
            message = f"separator {ordinal:,}"
            raise IndexError(message)
        begin, end = self._spans(entry.start, entry.state)[ordinal - entry.before]
        return entry.start + begin, entry.start + end

    def before(self, offset: int) -> int:
        """How many begin before an offset of the range: a pass up to there, once, and its part."""
        if offset <= self._source.start:
            return 0
        entry = self._ledger.at(offset - 1)
        spans = self._spans(entry.start, entry.state)
        low, high = 0, len(spans)
        while low < high:
            middle = (low + high) // 2
            if entry.start + spans[middle][0] < offset:
                low = middle + 1
            else:
                high = middle
        return entry.before + low

    def _spans(self, start: int, skip: int) -> Spans:
        last = self._last
        if last is not None and last[0] == start:
            return last[1]
        spans = self._cutter.spans(part_at(self._source, start), skip)
        self._last = start, spans
        return spans


class Newlines(Separators):
    """As a pack's directory knows them: one shard for each that is asked for."""

    def __init__(self, source: Range) -> None:
        """Take a range that ends within the text."""
        self._characters, start, stop = source
        self._first = self._characters.newlines_before(start) if start else 0
        if stop == self._characters.length:
            self._total = self._characters.newlines - self._first
        else:
            self._total = self._characters.newlines_before(stop) - self._first

    @property
    def is_counted(self) -> bool:
        """As the base class says."""
        return True

    def total_up_to(self, bound: int) -> int:
        """As the base class says."""
        return min(self._total, bound)

    def span(self, ordinal: int) -> tuple[int, int]:
        """As the base class says."""
        offset = self._characters.newline_offset(self._first + ordinal)
        return offset, offset + 1
