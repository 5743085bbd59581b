"""The walk over a prompt in passages of whole lines, past all in which no line can be selected.

Where a selected line has one of some literals, the walk goes from one occurrence to the next, in passages that grow as
long as there are more.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from distributed_prompt.errors import ArgumentError
from distributed_prompt.line_pattern import LinePattern
from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.re import compile as compile_for_prompts
from distributed_prompt.selection import Selection
from distributed_prompt.strings import plain
from distributed_prompt.workers import Progress

LINE_LIMIT = 2**20
"""Characters above which a line is never held whole, and shown only around its first match."""
# Of shards of the default size few enough to be sliced out of the cache.
_PASSAGE_CHARACTERS = 2**19
_FIRST_PASSAGE_CHARACTERS = 2**13
# Walking on is quicker than searching anew up to here.
_LAG_CHARACTERS = 2**22
# How much is searched for literals between two reports of progress.
_REPORT_CHARACTERS = 2**24
_CACHED_NAMES = 256


class Section(NamedTuple):
    """A document, or what lies between two.

    Attributes:
        name: the document's; empty for what is in none.
        start: offset of its first character.
        stop: offset after its last character.
    """

    name: str
    start: int
    stop: int


class LineStretch(NamedTuple):
    """Consecutive lines of a section, or one that is too long to be held: then there is no text."""

    section: Section
    start: int
    stop: int
    text: str | None


_Hits = Iterator[tuple[int, int, int, int]]
_OUTSIDE = -1


class LineWalk:
    """One pass over a prompt."""

    def __init__(
        self,
        prompt: DistributedPrompt,
        pattern: LinePattern,
        max_count: int | None,
        documents: Iterable[str],
        progress: Progress | None,
    ) -> None:
        """Walk nothing yet.

        Args:
            prompt: what to search.
            pattern: what a selected line matches.
            max_count: so many lines of each document, and of what is in none, at most.
            documents: patterns of names; what is not in such a document is left out.
            progress: called with characters done so far and in all.

        Raises:
            ArgumentError: a pattern of names is none.

        Cost: no shard.
        """
        self._prompt = prompt
        self._pattern = pattern
        self._max_count = sys.maxsize if max_count is None else max_count
        self._found = {_OUTSIDE: 0}
        self._skip = self._done = 0
        self._progress = progress
        globs = tuple(documents)
        self._takes = lru_cache(_CACHED_NAMES)(_selection(globs).takes) if globs else None

    def stretches(self) -> Iterator[tuple[LineStretch, _Hits]]:
        """What may have lines that are selected, and which, in offsets from its start. To be taken one by one."""
        for start, stop in self._ranges() if self._max_count else ():
            for stretch in self._stretches(start, stop):
                # Documents of several packs may have the same name, but none the same place.
                place = stretch.section.start if stretch.section.name else _OUTSIDE
                if place not in self._found:
                    self._found = {_OUTSIDE: self._found[_OUTSIDE], place: 0}
                left = self._max_count - self._found[place]
                if left:
                    yield stretch, self._counted(place, islice(self._hits(stretch), left))
                    if place != _OUTSIDE and self._found[place] == self._max_count:
                        self._skip = stretch.section.stop

    def _counted(self, place: int, hits: _Hits) -> _Hits:
        for hit in hits:
            self._found[place] += 1
            yield hit

    def _hits(self, stretch: LineStretch) -> _Hits:
        if stretch.text is not None:
            return self._pattern.hits(stretch.text)
        line = self._prompt.view(stretch.start, stretch.stop)
        match = compile_for_prompts(self._pattern.compiled).search(line)
        start = stretch.start
        return iter([(0, stretch.stop - start, start + match.start(), start + match.end())] if match else [])

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """What to walk: all, or with patterns of names the documents that they match, and little between these."""
        if self._takes is None:
            yield 0, len(self._prompt)
            return
        start = stop = 0
        records = self._prompt.documents.records()
        for number, name in enumerate(self._prompt.documents):
            if self._takes(name):
                record = records[number]
                if record.start > stop + _PASSAGE_CHARACTERS:
                    yield start, stop
                    start = record.start
                start, stop = start if stop else record.start, record.stop
        yield start, stop

    def _stretches(self, start: int, stop: int) -> Iterator[LineStretch]:
        passages = _Passages(self._prompt, self._pattern, stop, self._report)
        while (start := max(start, self._skip)) < stop and (start := passages.next(start)) < stop:
            text = passages.at(start)
            end = start + len(text)
            if not text:
                section = next(_sections(self._prompt, start, start + 1))
                last = min(section.stop, stop)
                newline = self._prompt.find("\n", start, last)
                if self._is_wanted(section):
                    yield LineStretch(section, start, newline if newline >= 0 else last, None)
                end = newline + 1 if newline >= 0 else last
            elif self._pattern.has_literal(text) and self._pattern.may_match(text):
                for section in _sections(self._prompt, start, end):
                    first, last = max(start, section.start), min(end, section.stop)
                    if self._is_wanted(section):
                        yield LineStretch(section, first, last, text[first - start : last - start])
            start = end
            self._report(start)

    def _report(self, done: int) -> None:
        # Literals are looked for ahead of the passages.
        self._done = max(self._done, done)
        if self._progress:
            self._progress(self._done, len(self._prompt))

    def _is_wanted(self, section: Section) -> bool:
        return self._takes is None or (section.name != "" and self._takes(section.name))


def _selection(globs: tuple[str, ...]) -> Selection:
    try:
        return Selection(globs)
    except ArgumentError as error:
        message = f"document{str(error).removeprefix('include')}"
        raise ArgumentError(message) from error


class _Passages:
    """Passages of whole lines up to an offset, where lines may be selected."""

    def __init__(
        self, prompt: DistributedPrompt, pattern: LinePattern, stop: int, report: Callable[[int], None]
    ) -> None:
        self._prompt = prompt
        self._pattern = pattern
        self._stop = stop
        self._report = report
        self._size = _PASSAGE_CHARACTERS
        self._is_dense = False
        self._offsets: Iterator[int] | None = None
        self._offset = 0

    def next(self, start: int) -> int:
        """Where to go on from an offset at which a line begins; the end if no line can be selected any more."""
        longest = self._pattern.longest_literal
        if not longest or self._is_dense:
            self._size = min(2 * self._size, _PASSAGE_CHARACTERS)
            return start
        self._size = _FIRST_PASSAGE_CHARACTERS
        if self._offsets is None or start > self._offset + _LAG_CHARACTERS:
            self._offsets = self._literals(start)
            self._offset = -longest
        # One that begins before may hide another that begins here, where documents meet within a line.
        while self._offset + longest <= start:
            self._offset = next(self._offsets, self._stop)
        if self._offset >= self._stop:
            return self._stop
        return self._prompt.rfind("\n", start, max(start, self._offset)) + 1 or start

    def _literals(self, start: int) -> Iterator[int]:
        """Where literals are; those where two ranges meet may come twice."""
        for at in range(start, self._stop, _REPORT_CHARACTERS):
            first, last = max(start, at - self._pattern.longest_literal), min(self._stop, at + _REPORT_CHARACTERS)
            yield from self._pattern.literals(self._prompt, first, last)
            self._report(last)

    def at(self, start: int) -> str:
        """Some whole lines from an offset on, which begins one; nothing if that one is longer than the limit."""
        size, end = self._size, 0
        while not end:
            text = plain(self._prompt[start : min(self._stop, start + size)])
            is_last = start + len(text) == self._stop and len(text) <= LINE_LIMIT
            end = len(text) if is_last else text.rfind("\n") + 1 or self._border(start, start + len(text))
            if not end and size > LINE_LIMIT:
                return ""
            size = min(8 * size, LINE_LIMIT + 1)
        text = text[:end]
        self._is_dense = self._pattern.has_literal(text)
        return text

    def _border(self, start: int, stop: int) -> int:
        """How far it is to the last border of a document inside a range; 0 if there is none."""
        records = self._prompt.view(start, stop).documents.records()
        borders = (records[-1].stop, records[-1].start) if records else ()
        return next((border for border in borders if 0 < border < stop - start), 0)


def _sections(prompt: DistributedPrompt, start: int, stop: int) -> Iterator[Section]:
    """The sections that have characters in a range, whole."""
    border = None
    for record in prompt.view(start, stop).documents.records():
        first, last = start + record.start, start + record.stop
        if (border or start) < first:
            yield Section("", _gap_start(prompt, start) if border is None else border, first)
        border = last
        if first < last:
            if first == start or last == stop:
                document = prompt.document_at(first)
                first, last = (document.start, document.stop) if document else (first, last)
            yield Section(record.name, first, last)
    if (start if border is None else border) < stop:
        behind = prompt.view(stop).documents.records()
        gap_stop = stop + behind[0].start if behind else len(prompt)
        yield Section("", _gap_start(prompt, start) if border is None else border, gap_stop)


def _gap_start(prompt: DistributedPrompt, offset: int) -> int:
    before = prompt.view(0, offset).documents.records()
    return before[-1].stop if before else 0
