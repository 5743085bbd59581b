"""``find``, ``count`` and their like: the offsets of a substring."""

import operator
from collections.abc import Iterator
from concurrent.futures import Executor

from distributed_prompt import finding
from distributed_prompt.characters import Characters
from distributed_prompt.derived.base import OPEN_END
from distributed_prompt.errors import ArgumentError
from distributed_prompt.geometry import resolve
from distributed_prompt.strings.base import Index, TextBase, View, plain


class Searches(TextBase[View]):
    """What a search takes is checked by ``str`` itself and resolved as CPython does.

    Searches are what loops call, so they look at the range of characters without asking for it; a length below 0 is
    one that nobody has asked for yet.
    """

    __slots__ = ()
    _characters: Characters
    _start: int
    _known_length: int

    def __contains__(self, key: str, /) -> bool:
        """Return bool(key in self).

        Cost: as :meth:`find`.
        """
        if not isinstance(key, str | TextBase):
            operator.contains("", key)  # type: ignore[unreachable]  # raises str's own error
        return self.find(key) >= 0

    def find(self, sub: str, start: Index = None, end: Index = None, /, *, executor: Executor | None = None) -> int:
        """Return the lowest index in S where substring sub is found, such that sub is contained within S[start:end].

        Returns -1 on failure.

        Args:
            sub: as ``str`` takes it.
            start: as ``str`` takes it.
            end: as ``str`` takes it.
            executor: what searches instead of this process's worker threads: any of ``concurrent.futures``, or with its
                interface. Other processes open the pack themselves. Here it is with all searches.

        Cost: shards from ``start`` to the match, once, at most a few MB a core ahead of it.
        """
        return self._first("find", sub, start, end, executor)

    def index(self, sub: str, start: Index = None, end: Index = None, /, *, executor: Executor | None = None) -> int:
        """As :meth:`find`, but raises ValueError when the substring is not found.

        Cost: as :meth:`find`.
        """
        return _found(self._first("index", sub, start, end, executor))

    def rfind(self, sub: str, start: Index = None, end: Index = None, /, *, executor: Executor | None = None) -> int:
        """Return the highest index in S where substring sub is found, such that sub is contained within S[start:end].

        Returns -1 on failure.

        Cost: shards from ``end`` back to the match, once, at most a few MB a core ahead of it.
        """
        return self._last("rfind", sub, start, end, executor)

    def rindex(self, sub: str, start: Index = None, end: Index = None, /, *, executor: Executor | None = None) -> int:
        """As :meth:`rfind`, but raises ValueError when the substring is not found.

        Cost: as :meth:`rfind`.
        """
        return _found(self._last("rindex", sub, start, end, executor))

    def count(self, sub: str, start: Index = None, end: Index = None, /, *, executor: Executor | None = None) -> int:
        """Return the number of non-overlapping occurrences of substring sub in string S[start:end].

        Cost: the shards of the range, once, a few MB a core.
        """
        sub = plain(sub)
        first, last = self._bounds("count", sub, start, end)
        if not sub:
            return max(0, last - first + 1)
        return finding.count(self._characters, sub, self._start + first, self._start + last, executor)

    def find_all(
        self,
        sub: str,
        start: Index = None,
        end: Index = None,
        /,
        *,
        ignore_case: bool = False,
        executor: Executor | None = None,
    ) -> Iterator[int]:
        """The offsets of the non-overlapping occurrences that :meth:`count` counts, as they are found.

        Args:
            sub: not empty.
            start: as in :meth:`find`.
            end: as in :meth:`find`.
            ignore_case: compare as ``re.IGNORECASE`` does.
            executor: as in :meth:`find`.

        Cost: shards up to the last offset taken, once, a few MB a core.
        """
        sub = plain(sub)
        first, last = self._bounds("find", sub, start, end)
        if not sub:
            message = "find_all(): empty substring"
            raise ArgumentError(message)
        base = self._start
        find = finding.find_all_ignoring_case if ignore_case else finding.find_all
        found = find(self._characters, sub, base + first, base + last, executor)
        return (offset - base for offset in found) if base else found

    def _bounds(self, method: str, sub: str, start: Index, end: Index) -> tuple[int, int]:
        """The local range that a search looks at, which may be turned round; raises what ``str`` raises."""
        if not isinstance(sub, str):
            getattr("", method)(sub)  # type: ignore[unreachable]  # raises str's own error
        "".find(sub, start, end)
        self._characters.check_open()
        is_counted_from_start = all(bound is None or operator.index(bound) >= 0 for bound in (start, end))
        length = OPEN_END if self._known_length < 0 and sub and is_counted_from_start else len(self)
        first = resolve(start, 0, length)
        return first, min(resolve(end, length, length), length)

    def _first(self, method: str, sub: str, start: Index, end: Index, executor: Executor | None) -> int:
        sub = plain(sub)
        first, last = self._bounds(method, sub, start, end)
        if not sub:
            return first if first <= last else -1
        found = finding.find(self._characters, sub, self._start + first, self._start + last, executor)
        return found - self._start if found >= 0 else -1

    def _last(self, method: str, sub: str, start: Index, end: Index, executor: Executor | None) -> int:
        sub = plain(sub)
        len(self)
        first, last = self._bounds(method, sub, start, end)
        if not sub:
            return last if first <= last else -1
        found = finding.rfind(self._characters, sub, self._start + first, self._start + last, executor)
        return found - self._start if found >= 0 else -1


def _found(offset: int) -> int:
    if offset < 0:
        message = "substring not found"
        raise ValueError(message)
    return offset
