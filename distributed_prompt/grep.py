"""Lines that match, as ``grep`` finds them: each line of each document counts on its own.

A line is selected iff ``re.search`` finds something in its text. It is not searched alone, though: the pattern is made
into one that cannot take a newline (:mod:`distributed_prompt.text.within_lines`), which finds in many lines at once
exactly what it finds in each of them, since nothing in it can tell a newline from the text's edge. So the text is
walked in blocks of whole lines. Where a selected line has one of some literals, the walk goes from one occurrence to
the next, in blocks that grow as long as there are more.
"""

import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice, takewhile
from typing import NamedTuple

from distributed_prompt.errors import ArgumentError
from distributed_prompt.inputs import Selection
from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.re import compile as compile_for_prompts
from distributed_prompt.text.required import required
from distributed_prompt.text.within_lines import within_lines
from distributed_prompt.workers import Progress

LINE_LIMIT = 2**20
"""Characters above which a line is never held whole, and shown only around its first match."""
# Of shards of the default size few enough to be sliced out of the cache.
_BLOCK_CHARACTERS = 2**19
_FIRST_BLOCK_CHARACTERS = 2**13
# Walking on is quicker than searching anew up to here.
_LAG_CHARACTERS = 2**22
# How much is searched for literals between two reports of progress.
_REPORT_CHARACTERS = 2**24
_CACHED_NAMES = 256
_EXCERPT_CHARACTERS = 200


class Part(NamedTuple):
    """A document, or what lies between two.

    Attributes:
        name: the document's; empty for what is in none.
        start: offset of its first character.
        stop: offset after its last character.
    """

    name: str
    start: int
    stop: int


class Match(NamedTuple):
    """Where the pattern matches; of more than ``LINE_LIMIT`` characters, the text is only the beginning."""

    start: int
    stop: int
    text: str


class Line(NamedTuple):
    """A line that is selected, or near one.

    Attributes:
        part: where it is in.
        number: from 1, in the document; of what is in none, in the prompt.
        start: offset of its first character.
        stop: offset after its last character, which is no newline.
        text: the line; if it is longer than ``LINE_LIMIT``, what is around its first match.
        text_start: the offset of this text.
        first: the bounds of the first match; None if the line is not selected.
    """

    part: Part
    number: int
    start: int
    stop: int
    text: str
    text_start: int
    first: tuple[int, int] | None

    @property
    def is_excerpt(self) -> bool:
        """Whether the text is only a part of the line."""
        return len(self.text) < self.stop - self.start


class LinePattern:
    """A pattern whose matches lie within lines.

    Attributes:
        compiled: what is searched for in each line.
        longest_literal: characters of the longest of the literals of which each selected line has one; 0 for none.
    """

    def __init__(self, pattern: str, *, fixed: bool = False, ignore_case: bool = False) -> None:
        """Compile a pattern.

        Args:
            pattern: a regular expression, as ``re`` has it.
            fixed: the pattern is a literal.
            ignore_case: as ``re.IGNORECASE`` does.

        Raises:
            ArgumentError: it is no regular expression.

        Cost: no shard.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.compiled = re.compile(re.escape(pattern) if fixed else pattern, re.IGNORECASE * ignore_case)
        except re.error as error:
            place = "" if error.pos is None else f" at position {error.pos}"
            message = f"PATTERN: {error.msg}{place}"
            raise ArgumentError(message) from error
        except (OverflowError, RecursionError) as error:
            message = f"PATTERN: {error}"
            raise ArgumentError(message) from error
        self._within_lines, self._is_local = within_lines(self.compiled)
        self._required = required(self.compiled)
        only = self._required[0] if len(self._required) == 1 else None
        self._literal = only.text if only and not only.ignore_case else ""
        self.longest_literal = max((len(literal.text) for literal in self._required), default=0)
        self._selects_empty = self.compiled.search("") is not None

    def literals(self, prompt: DistributedPrompt, start: int, stop: int) -> Iterator[int]:
        """Where in a range one of the literals is of which each selected line has one; may overlap others unseen."""
        if self._literal:
            return prompt.find_all(self._literal, start, stop)
        found = (
            f"(?i:{re.escape(each.text)})" if each.ignore_case else re.escape(each.text) for each in self._required
        )
        return (match.start() for match in compile_for_prompts("|".join(found)).finditer(prompt, start, stop))

    def has_literal(self, text: str) -> bool:
        """Whether one of the literals is in a text; if there are none, any text will do."""
        return not self._required or any(literal.occurs(text) for literal in self._required)

    def may_match(self, text: str) -> bool:
        """Whether any line of a text can be selected, of several documents even where they meet within a line."""
        return self._within_lines is None or not self._is_local or self._within_lines.search(text) is not None

    def hits(self, text: str) -> Iterator[tuple[int, int, int, int]]:
        """Each line of a text that is selected: its start and stop, and those of its first match."""
        if self._within_lines is None or self._literal:
            for start, stop in _lines_with(self._literal, text):
                match = self.compiled.search(text[start:stop])
                if match:
                    yield start, stop, start + match.start(), start + match.end()
            return
        start, length, search = 0, len(text), self._within_lines.search
        while start < length and (match := search(text, start)):
            first, last = match.span()
            start = text.rfind("\n", start, first) + 1 or start
            stop = text.find("\n", last)
            stop = stop if stop >= 0 else length
            # Behind the last newline there is no line. And versions differ in whether "\B" matches in an empty text.
            if start < length and (start < stop or self._selects_empty):
                yield start, stop, first, last
            start = stop + 1


def _lines_with(literal: str, text: str) -> Iterator[tuple[int, int]]:
    """Start and stop of each line of a text that a literal begins in; every line has the empty one."""
    start = 0
    while start < len(text) and (position := text.find(literal, start)) >= 0:
        start = text.rfind("\n", start, position) + 1 or start
        stop = text.find("\n", position)
        stop = stop if stop >= 0 else len(text)
        yield start, stop
        start = stop + 1


def matching_lines(
    prompt: DistributedPrompt,
    pattern: LinePattern,
    *,
    max_count: int | None = None,
    documents: Iterable[str] = (),
    progress: Progress | None = None,
) -> Iterator[Line]:
    """The lines that are selected, in the order of the text.

    Args:
        prompt: what to search.
        pattern: what a selected line matches.
        max_count: so many lines of each document, and of what is in none, at most.
        documents: patterns of names as of ``pack --include``; what is not in such a document is left out.
        progress: called with characters done so far and in all.

    Cost: every shard once; with ``max_count`` and ``documents``, those that are needed, nearly.
    """
    for stretch, hits in _Search(prompt, pattern, max_count, documents, progress).stretches():
        text, base, part = stretch.text, stretch.start, stretch.part
        counted = number = 0
        for start, stop, first, last in hits:
            if not number:
                number = _number(prompt, part, base)
            if text is None:
                yield _line(prompt, part, number, (base, stretch.stop), (first, last))
                continue
            number += text.count("\n", counted, start)
            counted = start
            bounds = base + first, base + last
            yield Line(part, number, base + start, base + stop, text[start:stop], base + start, bounds)


def _number(prompt: DistributedPrompt, part: Part, offset: int) -> int:
    """The number of the line that begins at an offset of a part."""
    if not part.name:
        return prompt.line_at(offset) + 1
    return 1 if offset == part.start else prompt.line_at(offset) - prompt.line_at(part.start) + 1


def matching_line_counts(
    prompt: DistributedPrompt,
    pattern: LinePattern,
    *,
    max_count: int | None = None,
    documents: Iterable[str] = (),
    progress: Progress | None = None,
) -> Iterator[tuple[str, int]]:
    """The name of each document that has lines that are selected, with their number; last, what is in none.

    Args:
        prompt: as for :func:`matching_lines`, as all others.
        pattern: as there.
        max_count: as there.
        documents: as there.
        progress: as there.

    Cost: as :func:`matching_lines`.
    """
    outside, name, found = 0, "", 0
    for stretch, hits in _Search(prompt, pattern, max_count, documents, progress).stretches():
        count = sum(1 for _ in hits)
        if not stretch.part.name:
            outside += count
            continue
        if stretch.part.name != name:
            if found:
                yield name, found
            name, found = stretch.part.name, 0
        found += count
    yield from ((name, count) for name, count in ((name, found), ("", outside)) if count)


def matches(prompt: DistributedPrompt, pattern: LinePattern, line: Line) -> Iterator[Match]:
    """All matches in a line, in offsets of the prompt.

    Cost: no shard; of a line longer than ``LINE_LIMIT``, those that it lies in.
    """
    if not line.is_excerpt:
        for match in pattern.compiled.finditer(line.text):
            yield Match(line.start + match.start(), line.start + match.end(), match.group())
        return
    for match in compile_for_prompts(pattern.compiled).finditer(prompt.view(line.start, line.stop)):
        start, stop = line.start + match.start(), line.start + match.end()
        yield Match(start, stop, str(prompt[start : min(stop, start + LINE_LIMIT)]))


def matches_shown(prompt: DistributedPrompt, pattern: LinePattern, line: Line) -> Iterator[Match]:
    """The matches that begin in the text of a line.

    Cost: as :func:`matches`.
    """
    text_stop = line.text_start + len(line.text)
    return takewhile(lambda match: match.start < text_stop or match.stop == text_stop, matches(prompt, pattern, line))


def with_context(prompt: DistributedPrompt, lines: Iterable[Line], before: int, after: int) -> Iterator[Line | None]:
    """Lines with those around them, which are not selected, within their parts; None between what is not adjacent.

    Args:
        prompt: what the lines are of.
        lines: those that are selected, in their order.
        before: how many to show before each.
        after: how many to show behind each.

    Cost: no shard but those that what is around lies in.
    """
    last: Line | None = None
    for line in lines:
        if last:
            between = line.number - last.number - 1 if last.part == line.part else after
            for last in islice(_lines_behind(prompt, last), min(after, between)):  # noqa: B020  # the last one
                yield last
        floor = last.stop + 1 if last and last.part == line.part else line.part.start
        found = list(islice(_lines_before(prompt, line, floor), before))
        if last and (last.part != line.part or last.stop + 1 < (found[-1] if found else line).start):
            yield None
        yield from reversed(found)
        yield line
        last = line
    if last:
        yield from islice(_lines_behind(prompt, last), after)


def _lines_behind(prompt: DistributedPrompt, line: Line) -> Iterator[Line]:
    while line.stop + 1 < line.part.stop:
        start = line.stop + 1
        stop = prompt.find("\n", start, line.part.stop)
        line = _line(prompt, line.part, line.number + 1, (start, stop if stop >= 0 else line.part.stop), None)
        yield line


def _lines_before(prompt: DistributedPrompt, line: Line, floor: int) -> Iterator[Line]:
    while line.start > floor:
        stop = line.start - 1
        start = prompt.rfind("\n", line.part.start, stop) + 1 or line.part.start
        line = _line(prompt, line.part, line.number - 1, (start, stop), None)
        yield line


def _line(
    prompt: DistributedPrompt, part: Part, number: int, bounds: tuple[int, int], first: tuple[int, int] | None
) -> Line:
    """A line that may be long."""
    start, stop = text_start, text_stop = bounds
    if stop - start > LINE_LIMIT:
        around = first or (start, start)
        text_start = max(start, around[0] - _EXCERPT_CHARACTERS)
        text_stop = min(stop, around[1] + _EXCERPT_CHARACTERS, text_start + LINE_LIMIT)
    return Line(part, number, start, stop, str(prompt[text_start:text_stop]), text_start, first)


class _Stretch(NamedTuple):
    """Consecutive lines of a part, or one that is too long to be held: then there is no text."""

    part: Part
    start: int
    stop: int
    text: str | None


_Hits = Iterator[tuple[int, int, int, int]]


class _Search:
    """One pass over a prompt."""

    def __init__(
        self,
        prompt: DistributedPrompt,
        pattern: LinePattern,
        max_count: int | None,
        documents: Iterable[str],
        progress: Progress | None,
    ) -> None:
        self._prompt = prompt
        self._pattern = pattern
        self._max_count = sys.maxsize if max_count is None else max_count
        self._found = {"": 0}
        self._skip = self._done = 0
        self._progress = progress
        globs = tuple(documents)
        self._takes = lru_cache(_CACHED_NAMES)(_selection(globs).takes) if globs else None

    def stretches(self) -> Iterator[tuple[_Stretch, _Hits]]:
        """What may have lines that are selected, and which, in offsets from its start. To be taken one by one."""
        for start, stop in self._ranges() if self._max_count else ():
            for stretch in self._stretches(start, stop):
                name = stretch.part.name
                if name not in self._found:
                    self._found = {"": self._found[""], name: 0}
                left = self._max_count - self._found[name]
                if left:
                    yield stretch, self._counted(stretch, islice(self._hits(stretch), left))
                    if name and self._found[name] == self._max_count:
                        self._skip = stretch.part.stop

    def _counted(self, stretch: _Stretch, hits: _Hits) -> _Hits:
        for hit in hits:
            self._found[stretch.part.name] += 1
            yield hit

    def _hits(self, stretch: _Stretch) -> _Hits:
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
                if record.start > stop + _BLOCK_CHARACTERS:
                    yield start, stop
                    start = record.start
                start, stop = start if stop else record.start, record.stop
        yield start, stop

    def _stretches(self, start: int, stop: int) -> Iterator[_Stretch]:
        walk = _Walk(self._prompt, self._pattern, stop, self._report)
        while (start := max(start, self._skip)) < stop and (start := walk.next(start)) < stop:
            text = walk.block(start)
            end = start + len(text)
            if not text:
                part = next(_parts(self._prompt, start, start + 1))
                last = min(part.stop, stop)
                newline = self._prompt.find("\n", start, last)
                if self._is_wanted(part):
                    yield _Stretch(part, start, newline if newline >= 0 else last, None)
                end = newline + 1 if newline >= 0 else last
            elif self._pattern.has_literal(text) and self._pattern.may_match(text):
                for part in _parts(self._prompt, start, end):
                    first, last = max(start, part.start), min(end, part.stop)
                    if self._is_wanted(part):
                        yield _Stretch(part, first, last, text[first - start : last - start])
            start = end
            self._report(start)

    def _report(self, done: int) -> None:
        # Literals are looked for ahead of the blocks.
        self._done = max(self._done, done)
        if self._progress:
            self._progress(self._done, len(self._prompt))

    def _is_wanted(self, part: Part) -> bool:
        return self._takes is None or (part.name != "" and self._takes(part.name))


def _selection(globs: tuple[str, ...]) -> Selection:
    try:
        return Selection(globs)
    except ArgumentError as error:
        message = f"document{str(error).removeprefix('include')}"
        raise ArgumentError(message) from error


class _Walk:
    """Blocks of whole lines up to an offset, where lines may be selected."""

    def __init__(
        self, prompt: DistributedPrompt, pattern: LinePattern, stop: int, report: Callable[[int], None]
    ) -> None:
        self._prompt = prompt
        self._pattern = pattern
        self._stop = stop
        self._report = report
        self._size = _BLOCK_CHARACTERS
        self._is_dense = False
        self._offsets: Iterator[int] | None = None
        self._offset = 0

    def next(self, start: int) -> int:
        """Where to go on from an offset at which a line begins; the end if no line can be selected any more."""
        longest = self._pattern.longest_literal
        if not longest or self._is_dense:
            self._size = min(2 * self._size, _BLOCK_CHARACTERS)
            return start
        self._size = _FIRST_BLOCK_CHARACTERS
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

    def block(self, start: int) -> str:
        """Some whole lines from an offset on, which begins one; nothing if that one is longer than the limit."""
        size, end = self._size, 0
        while not end:
            text = str(self._prompt[start : min(self._stop, start + size)])
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


def _parts(prompt: DistributedPrompt, start: int, stop: int) -> Iterator[Part]:
    """The parts that have characters in a range, whole."""
    border = None
    for record in prompt.view(start, stop).documents.records():
        first, last = start + record.start, start + record.stop
        if (border or start) < first:
            yield Part("", _gap_start(prompt, start) if border is None else border, first)
        border = last
        if first < last:
            if first == start or last == stop:
                document = prompt.document_at(first)
                first, last = (document.start, document.stop) if document else (first, last)
            yield Part(record.name, first, last)
    if (start if border is None else border) < stop:
        behind = prompt.view(stop).documents.records()
        gap_stop = stop + behind[0].start if behind else len(prompt)
        yield Part("", _gap_start(prompt, start) if border is None else border, gap_stop)


def _gap_start(prompt: DistributedPrompt, offset: int) -> int:
    before = prompt.view(0, offset).documents.records()
    return before[-1].stop if before else 0
