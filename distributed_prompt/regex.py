"""Compiled regular expressions for prompts: what ``re.Pattern`` is for strings."""

import re
import sys
from abc import ABC
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from functools import partial
from itertools import islice
from operator import index
from types import GenericAlias
from typing import Any, ClassVar, Self, SupportsIndex

from distributed_prompt.derived.base import OPEN_END
from distributed_prompt.derived.transformed import Transformed
from distributed_prompt.derived.walk import Range, walk, walk_hits
from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.regex_match import Match
from distributed_prompt.regex_planning import are_few, rarest, reads_far
from distributed_prompt.regex_regions import RegionSearch
from distributed_prompt.strings import plain
from distributed_prompt.strings.fields import Fields
from distributed_prompt.text.hits import HitWindows
from distributed_prompt.text.literal import Literal
from distributed_prompt.text.reach import Reach, reach
from distributed_prompt.text.regex_splitting import RegexSeparator
from distributed_prompt.text.regex_substitution import RegexSubstitution
from distributed_prompt.text.required import required, requirements
from distributed_prompt.text.splicing import Splice
from distributed_prompt.text.windows import CONTEXT_LIMIT, TooFarError, Windows

Repl = str | Callable[[Any], str]
_FIRST_WINDOW = 2**10


class Pattern(ABC):  # noqa: B024  # so that the standard library's can be taken for one
    """A compiled regular expression, for prompts and, through the standard library's own, for everything else.

    On a prompt, the results are those of the standard library on the equal string, found window by window where what an
    attempt can read is limited by the pattern (and for unbounded repeats by the text), and in ``as_str()`` where not.

    Attributes:
        compiled: the standard library's pattern.

    Cost: no shard, where a method does not say more.
    """

    __slots__ = ("compiled",)
    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    def __init__(self, compiled: "re.Pattern[Any]") -> None:
        """Take a pattern of the standard library."""
        self.compiled = compiled

    @property
    def pattern(self) -> Any:
        """The pattern string from which it was compiled."""
        return self.compiled.pattern

    @property
    def flags(self) -> int:
        """The regex matching flags."""
        return self.compiled.flags

    @property
    def groups(self) -> int:
        """The number of capturing groups in the pattern."""
        return self.compiled.groups

    @property
    def groupindex(self) -> Mapping[str, int]:
        """A dictionary mapping group names to group numbers."""
        return self.compiled.groupindex

    def __eq__(self, other: object, /) -> bool:
        """Whether the other is of the same pattern and flags."""
        return self.compiled == getattr(other, "compiled", other)

    def __hash__(self) -> int:
        """As that of the standard library's."""
        return hash(self.compiled)

    def __copy__(self) -> Self:
        """The same: it cannot change."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """The same: it cannot change."""
        return self

    def __reduce__(self) -> tuple[object, ...]:
        """The pattern and its flags."""
        return Pattern, (self.compiled,)

    def __repr__(self) -> str:
        """As that of ``re.Pattern``."""
        return f"distributed_prompt.{self.compiled!r}"

    def search(
        self,
        string: Any,
        pos: SupportsIndex = 0,
        endpos: SupportsIndex = sys.maxsize,
        *,
        executor: Executor | None = None,
    ) -> Any:
        """Scan through string looking for a match, and return a corresponding match object, or None.

        Cost: shards up to the match, once, a few MB a core; for a pattern without windows, ``as_str()``.
        """
        if not isinstance(string, DistributedPrompt):
            return self.compiled.search(string, index(pos), index(endpos))
        return next(self._matches(string, pos, endpos, executor), None)

    def match(self, string: Any, pos: SupportsIndex = 0, endpos: SupportsIndex = sys.maxsize) -> Any:
        """Matches zero or more characters at the beginning of the string.

        Cost: the shards that an attempt reads; for a pattern without windows, ``as_str()``.
        """
        return self._anchored("match", string, pos, endpos)

    def fullmatch(self, string: Any, pos: SupportsIndex = 0, endpos: SupportsIndex = sys.maxsize) -> Any:
        """Matches against all of the string.

        Cost: as :meth:`match`; as much as the match is long.
        """
        return self._anchored("fullmatch", string, pos, endpos)

    def finditer(
        self,
        string: Any,
        pos: SupportsIndex = 0,
        endpos: SupportsIndex = sys.maxsize,
        *,
        executor: Executor | None = None,
    ) -> Iterator[Any]:
        """Return an iterator over all non-overlapping matches for the RE pattern in string.

        Args:
            string: what to search.
            pos: where to begin.
            endpos: where the string is taken to end.
            executor: what decodes, and looks for literals, instead of this process's worker threads; as with
                :meth:`search` and :meth:`findall`.

        Cost: shards up to the last match taken, once, a few MB a core; for a pattern without windows, ``as_str()``.
        """
        if not isinstance(string, DistributedPrompt):
            return self.compiled.finditer(string, index(pos), index(endpos))
        return self._matches(string, pos, endpos, executor)

    def findall(
        self,
        string: Any,
        pos: SupportsIndex = 0,
        endpos: SupportsIndex = sys.maxsize,
        *,
        executor: Executor | None = None,
    ) -> list[Any]:
        """Return a list of all non-overlapping matches of pattern in string.

        Cost: every shard once, a few MB a core; the result. For a pattern without windows, ``as_str()``.
        """
        if not isinstance(string, DistributedPrompt):
            return self.compiled.findall(string, index(pos), index(endpos))
        matches = self._matches(string, pos, endpos, executor)
        if self.groups > 1:
            return [match.groups("") for match in matches]
        return [match.groups("")[0] if self.groups else match.group() for match in matches]

    def split(self, string: Any, maxsplit: SupportsIndex = 0) -> Any:
        """Split string by the occurrences of pattern.

        Cost: up to ``view_threshold``, or with groups, as :meth:`findall`; long fields are views. Above it no shard: a
        lazy sequence, as that of ``str.split``.
        """
        if not isinstance(string, DistributedPrompt):
            return self.compiled.split(string, index(maxsplit))
        self.compiled.split("", index(maxsplit))  # raises re's own errors
        limits = self._reach(for_all=True)
        if limits and not self.groups and index(maxsplit) >= 0 and string._is_long():
            return Fields(string, RegexSeparator(self.compiled, limits), index(maxsplit) or -1)
        fields: list[Any] = []
        start = 0
        for match in self._some(string, index(maxsplit)):
            fields += [string[start : match.start()], *match.groups()]
            start = match.end()
        return [*fields, string[start:]]

    def sub(self, repl: Repl, string: Any, count: SupportsIndex = 0) -> Any:
        """Return the string obtained by replacing the leftmost non-overlapping occurrences of pattern in string.

        Cost: up to ``view_threshold`` every shard, and the result. Above it no shard if what replaces is a string; what
        is then asked of the result decodes what it would of this text, and for ``len`` and far offsets, once, all
        before. A function is called for every match at once, and what it gives is kept, 16 bytes a match besides; so it
        is with a pattern that may look at everything.
        """
        return self._substituted(repl, string, index(count), is_counted=False)[0]

    def subn(self, repl: Repl, string: Any, count: SupportsIndex = 0) -> tuple[Any, int]:
        """Return the tuple (new_string, number_of_subs_made).

        Cost: as :meth:`findall`; the result as in :meth:`sub`.
        """
        return self._substituted(repl, string, index(count), is_counted=True)

    def _substituted(self, repl: Any, string: Any, count: int, *, is_counted: bool) -> tuple[Any, int]:
        repl = repl if callable(repl) else plain(repl)
        if not isinstance(string, DistributedPrompt):
            new = (lambda match: plain(repl(match))) if callable(repl) else repl
            found: tuple[Any, int] = self.compiled.subn(new, string, count)
            return found
        self.compiled.sub("", "", count)  # raises re's own errors
        if not callable(repl):
            self.compiled.sub(repl, "")  # as above
            # Bytes are wrong only where they replace something.
            repl = repl if isinstance(repl, str) else partial(_constant, repl)
        if count < 0:
            return string[:], 0
        limits = self._reach(for_all=True)
        if limits and not callable(repl) and string._is_long() and not reads_far(limits, string):
            matches = sum(1 for _ in self._some(string, count)) if is_counted else 0
            transform = RegexSubstitution(self.compiled, limits, repl, max(count, 0))
            return string._made(Transformed(string._range(), transform)), matches
        replaced = ((match.start(), match.end(), _replacement(repl, match)) for match in self._some(string, count))
        if string._is_long():
            splice = Splice(replaced)
            return string._made(Transformed(string._range(), splice)) if splice else string[:], len(splice)
        pieces: list[str] = []
        start = matches = 0
        for begin, end, new in replaced:
            pieces += [plain(string[start:begin]), new]
            start = end
            matches += 1
        return "".join([*pieces, plain(string[start:])]), matches

    def _some(self, string: DistributedPrompt, count: int) -> Iterator[Match]:
        """So many matches, or all for 0; none for fewer, as ``re`` has it."""
        matches = self._matches(string, 0, sys.maxsize)
        return islice(matches, count or None) if count >= 0 else iter(())

    def _reach(self, *, for_all: bool) -> Reach | None:
        """What attempts can read, all or one; None for no windows. For a pattern of bytes, ``re``'s own error."""
        if not isinstance(self.compiled.pattern, str):
            self.compiled.search("")  # raises it
        limits = reach(self.compiled)
        return None if limits and limits.is_nested and for_all else limits

    def _matches(
        self,
        string: DistributedPrompt,
        pos: SupportsIndex,
        endpos: SupportsIndex,
        executor: Executor | None = None,
    ) -> Iterator[Match]:
        limits = self._reach(for_all=True)
        first, last = self._bounds(string, pos, endpos)
        return (
            self._in_windows(string, limits, first, last, executor)
            if limits
            else self._in_whole(string, first, (first, last))
        )

    def _bounds(self, string: DistributedPrompt, pos: SupportsIndex, endpos: SupportsIndex) -> tuple[int, int]:
        """Offsets as ``re`` takes them: cut to the text, negative ones to its beginning; the end may be left open."""
        self.compiled.scanner("", index(pos), index(endpos))  # type: ignore[attr-defined]  # raises re's own errors
        is_open = index(endpos) == sys.maxsize and string._range().stop == OPEN_END
        first = string._length_up_to(max(index(pos), 0))
        return first, OPEN_END if is_open else string._length_up_to(max(index(endpos), 0))

    def _in_windows(
        self, string: DistributedPrompt, limits: Reach, first: int, last: int, executor: Executor | None
    ) -> Iterator[Match]:
        if first > last:
            return
        characters, base, _ = string._range()
        source = Range(characters, base, base + last)
        literals = rarest(source, first, requirements(self.compiled))
        if (
            executor is not None
            and first < min(last, string._length_up_to(first + 1))
            and not are_few(source, first, literals)
        ):
            yield from self._in_regions(string, limits, (first, last), executor)
            return
        if literals:
            hits = HitWindows(self.compiled, limits, literals, base + first)
            yield from self._around_hits(string, source, hits, last, executor)
            return
        windows = Windows(self.compiled, limits)
        part = None
        try:
            for part in walk(source, base + first, executor=executor):
                for found in windows.matches(part):
                    yield Match(self, string, found.match, part.start - base + found.shift, (first, last))
        except TooFarError:
            start = part.start - base if part else first
            yield from self._in_whole(string, start + windows.skip, (first, last))
            return
        if part is None:
            last = min(last, len(string))
            if first <= last:
                before = plain(string[max(0, last - limits.left) : last])
                for found in windows.at_end(before):
                    yield Match(self, string, found.match, last + found.shift, (first, last))

    def _in_regions(
        self, string: DistributedPrompt, limits: Reach, bounds: tuple[int, int], executor: Executor
    ) -> Iterator[Match]:
        start, done = bounds[0], 0
        try:
            for found in RegionSearch(self.compiled, limits, string, bounds[1]).all(start, executor):
                yield Match(self, string, found, 0, bounds)
                # What is found from there on begins with those matches that begin there, an empty one and another.
                begin = found.regs[0][0]
                start, done = begin, done + 1 if begin == start else 1
        except TooFarError:
            yield from islice(self._in_whole(string, start, bounds), done, None)

    def _around_hits(
        self, string: DistributedPrompt, source: Range, windows: HitWindows, last: int, executor: Executor | None
    ) -> Iterator[Match]:
        first = windows.next - source.start
        try:
            for part in walk_hits(source, windows.next, windows.literals, executor):
                for found in windows.matches(part, part.start, may_go_on=part.may_go_on()):
                    yield Match(self, string, found.match, part.start - source.start + found.shift, (first, last))
        except TooFarError:
            yield from self._in_whole(string, windows.next - source.start, (first, last))

    def _in_whole(self, string: DistributedPrompt, start: int, bounds: tuple[int, int]) -> Iterator[Match]:
        literals = required(self.compiled)
        if literals and not any(_occurs(string, literal, start, bounds[1]) for literal in literals):
            return
        text = string.as_str()
        for match in self.compiled.finditer(text, start, bounds[1]):
            yield Match(self, string, match, 0, bounds)

    def _anchored(self, method: str, string: Any, pos: SupportsIndex, endpos: SupportsIndex) -> Any:
        """A match that begins at ``pos`` and, if all is to match, ends at ``endpos``."""
        if not isinstance(string, DistributedPrompt):
            return getattr(self.compiled, method)(string, index(pos), index(endpos))
        limits = self._reach(for_all=False)
        first, last = self._bounds(string, pos, endpos)
        if method == "fullmatch":
            last = min(last, len(string))
        shift = max(0, first - limits.left) if limits else 0
        window = self._window(string, limits, first, last) if limits and first <= last else None
        if limits and first > last:
            # Versions differ in what they find there. Where a window begins behind the end, that moves to a place in it
            # that no attempt gets to; to the very beginning it does not, for then there is nothing to match in.
            shift = max(0, shift - 2)
            window, end = plain(string[shift : first + 1]), max(last - shift, min(last, 1))
        elif window is None:
            window, shift, end = string.as_str(), 0, last
        else:
            end = len(window)
            if method == "fullmatch" and end < last - shift:
                # All that an attempt can take lies in the window, and ends before the text does.
                return None
        match = getattr(self.compiled, method)(window, first - shift, end)
        return Match(self, string, match, shift, (first, last)) if match else None

    def _window(self, string: DistributedPrompt, limits: Reach, first: int, last: int) -> str | None:
        """All that an attempt at an offset can read; None if that goes on for too long."""
        size = max(_FIRST_WINDOW, limits.others + 4)
        while True:
            stop = min(first + size, last)
            text = plain(string[first:stop])
            needed = limits.context(text)
            if needed is not None or first + len(text) < stop or stop == last:
                return plain(string[max(0, first - limits.left) : first]) + text[:needed]
            if size >= CONTEXT_LIMIT:
                return None
            size *= 4


def _replacement(repl: Any, match: Match) -> str:
    new = plain(repl(match)) if callable(repl) else match.expand(repl)
    return "".join(["", "" if new is None else new])  # raises what re does of anything else


def _constant(value: object, _match: Match) -> Any:
    return value


Pattern.register(re.Pattern)


def _occurs(string: DistributedPrompt, literal: Literal, start: int, stop: int) -> bool:
    return next(string.find_all(literal.text, start, stop, ignore_case=literal.ignore_case), None) is not None
