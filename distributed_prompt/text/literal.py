"""A literal that is looked for, and what texts must have in which it occurs."""

import re
from dataclasses import dataclass
from functools import lru_cache

from distributed_prompt.caching import cached
from distributed_prompt.geometry import MAX_CHARACTER_BYTES
from distributed_prompt.text import grams
from distributed_prompt.text.pieces import decode, encode

# Of longer literals no more is compared at the edge of a text than this, for all their beginnings or ends would take
# time and memory by the square of their length.
_EDGE = 64
_ODD_BYTES = tuple(encode(odd) for odd in grams.FLAGS)


@dataclass(frozen=True)
class Literal:
    """Some consecutive characters, as they are or in any case as ``re.IGNORECASE`` has it.

    Attributes:
        text: not empty.
        ignore_case: whether case is ignored.
        companions: what else must be in the line for an occurrence to count. Only :meth:`positions` and
            :meth:`occurs_in` look for them, in lines that they have whole.
    """

    text: str
    ignore_case: bool = False
    companions: "tuple[Literal, ...]" = ()

    @cached
    def data(self) -> bytes:
        """The UTF-8."""
        return encode(self.text)

    @cached
    def buckets(self) -> list[int]:
        """Buckets of the search index that every text has which an occurrence ends in; of none if it is too short."""
        if self.ignore_case:
            return grams.caseless_buckets(self.text)
        return [grams.FLAGS[self.text]] if self.text in grams.FLAGS else grams.literal_buckets(self.data)

    @cached
    def flags(self) -> list[int]:
        """Flags of the search index; texts that have one may hold an occurrence whatever their buckets are."""
        return grams.caseless_flags(self.text) if self.ignore_case else []

    def _is_plain(self, text: str) -> bool:
        """Whether case matters for ASCII letters only, and ``lower`` keeps all offsets.

        Four other characters match ASCII letters in another case: the Kelvin sign, the long s, two kinds of i.
        """
        return self.text.isascii() and (text.isascii() or not any(odd in text for odd in grams.FLAGS))

    def occurs(self, text: str) -> bool:
        """Whether it is somewhere in a text."""
        if not self.ignore_case:
            return self.text in text
        if self._is_plain(text):
            return self.text.lower() in text.lower()
        return _caseless(self.text).search(text) is not None

    def positions(self, text: str) -> list[int]:
        """Where it begins in a text, overlapping occurrences included."""
        found = self._positions(text)
        return self._accompanied(text, found) if self.companions else found

    def _positions(self, text: str) -> list[int]:
        if self.ignore_case and not self._is_plain(text):
            return [match.start() for match in _caseless_anywhere(self.text).finditer(text)]
        needle, text = (self.text.lower(), text.lower()) if self.ignore_case else (self.text, text)
        found = []
        at = text.find(needle)
        while at >= 0:
            found.append(at)
            at = text.find(needle, at + 1)
        return found

    def _accompanied(self, text: str, positions: list[int]) -> list[int]:
        """Those whose line has all companions, as far as it is in the text."""
        kept: list[int] = []
        start, stop, is_kept = 0, -1, False
        for at in positions:
            if at >= stop:
                start, stop = text.rfind("\n", 0, at) + 1, text.find("\n", at)
                is_kept = not start or stop < 0 or all(other.occurs(text[start:stop]) for other in self.companions)
                stop = stop if stop >= 0 else len(text)
            if is_kept:
                kept.append(at)
        return kept

    def occurs_in(self, data: bytes) -> bool:
        """Whether it is somewhere in UTF-8."""
        if self.companions:
            return self._occurs_accompanied(data)
        if not self.ignore_case:
            return self.data in data
        if self.text.isascii() and _is_plain(data):
            return self.data.lower() in data.lower()
        return self.occurs(decode(data))

    def _occurs_accompanied(self, data: bytes) -> bool:
        needle, companions = self.data, [other.data for other in self.companions]
        lowered = data
        if self.ignore_case or any(other.ignore_case for other in self.companions):
            if not all(each.text.isascii() for each in (self, *self.companions)) or not _is_plain(data):
                return bool(self.positions(decode(data)))
            # Of what matters, more is found so, and nothing less.
            needle, companions, lowered = needle.lower(), [other.lower() for other in companions], data.lower()
        at = lowered.find(needle)
        while at >= 0:
            start, stop = lowered.rfind(b"\n", 0, at) + 1, lowered.find(b"\n", at)
            if not start or stop < 0 or all(other in lowered[start:stop] for other in companions):
                return True
            at = lowered.find(needle, stop)
        return False

    def crosses(self, before: bytes, data: bytes) -> bool:
        """Whether an occurrence begins in some UTF-8 and ends in what follows that."""
        reach = MAX_CHARACTER_BYTES * (len(self.text) - 1) if self.ignore_case else len(self.data) - 1
        if not reach:
            return False
        tail, head = before[-reach:], data[:reach]
        if not self.ignore_case:
            return self.data in tail + head
        text = decode(_whole_from(tail) + _whole(head))
        return self.occurs(text)

    def may_begin_in(self, data: bytes) -> bool:
        """Whether UTF-8 may end with the beginning of an occurrence that goes on behind it."""
        needle = self.data
        if self.ignore_case:
            if len(self.text) > _EDGE:
                return True
            tail = decode(_whole_from(data[-MAX_CHARACTER_BYTES * len(self.text) :]))
            return _caseless_beginning(self.text).search(tail) is not None
        return (len(needle) > _EDGE and data[-_EDGE:] in needle) or any(
            data.endswith(needle[:last]) for last in range(1, min(_EDGE, len(needle)))
        )

    def may_end_in(self, data: bytes) -> bool:
        """Whether UTF-8 may begin with the end of an occurrence that begins before it."""
        needle = self.data
        if self.ignore_case:
            if len(self.text) > _EDGE:
                return True
            head = data[: MAX_CHARACTER_BYTES * len(self.text)]
            return _caseless_end(self.text).match(decode(_whole(head))) is not None
        return (len(needle) > _EDGE and data[:_EDGE] in needle) or any(
            data.startswith(needle[first:]) for first in range(max(1, len(needle) - _EDGE + 1), len(needle))
        )


def _is_plain(data: bytes) -> bool:
    """Whether no character in UTF-8 but an ASCII letter matches one in another case."""
    return data.isascii() or not any(odd in data for odd in _ODD_BYTES)


@lru_cache(256)
def _caseless(text: str) -> "re.Pattern[str]":
    return re.compile(re.escape(text), re.IGNORECASE)


@lru_cache(256)
def _caseless_end(text: str) -> "re.Pattern[str]":
    """What matches any proper end of a text."""
    return re.compile("|".join(re.escape(text[first:]) for first in range(1, len(text))) or "(?!)", re.IGNORECASE)


@lru_cache(256)
def _caseless_beginning(text: str) -> "re.Pattern[str]":
    """What finds any proper beginning of a text at the end of another."""
    choices = "|".join(re.escape(text[:last]) for last in range(len(text) - 1, 0, -1))
    return re.compile(rf"(?:{choices or '(?!)'})\Z", re.IGNORECASE)


@lru_cache(256)
def _caseless_anywhere(text: str) -> "re.Pattern[str]":
    return re.compile(f"(?={re.escape(text)})", re.IGNORECASE)


def _whole_from(data: bytes) -> bytes:
    """UTF-8 without the end of a character at its beginning."""
    first = 0
    while first < len(data) and data[first] & 0xC0 == 0x80:  # noqa: PLR2004  # a byte that begins no character
        first += 1
    return data[first:]


def _whole(data: bytes) -> bytes:
    """UTF-8 without the beginning of a character at its end."""
    last = len(data) - 1
    while last >= 0 and data[last] & 0xC0 == 0x80:  # noqa: PLR2004  # a byte that begins no character
        last -= 1
    if last < 0 or data[last] < 0x80:  # noqa: PLR2004  # ASCII
        return data
    needed = 2 if data[last] < 0xE0 else 3 if data[last] < 0xF0 else 4  # noqa: PLR2004  # how UTF-8 says it
    return data if len(data) - last == needed else data[:last]
