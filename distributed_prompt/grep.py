"""Lines that match, as ``grep`` finds them: each line of each document counts on its own.

A line is selected iff ``re.search`` finds something in its text. It is not searched alone, though: the text is walked
in passages of whole lines (:mod:`distributed_prompt.line_walk`), and the pattern made into one that finds in many lines
at once exactly what it finds in each of them (:mod:`distributed_prompt.line_pattern`).
"""

from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from typing import NamedTuple

from distributed_prompt.line_pattern import LinePattern
from distributed_prompt.line_walk import LINE_LIMIT, LineWalk, Section
from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.re import compile as compile_for_prompts
from distributed_prompt.strings import plain
from distributed_prompt.workers import Progress

__all__ = [
    "Line",
    "LineMatch",
    "LinePattern",
    "matches",
    "matches_shown",
    "matching_line_counts",
    "matching_lines",
    "with_context",
]

_EXCERPT_CHARACTERS = 200


class LineMatch(NamedTuple):
    """Where the pattern matches; of more than ``LINE_LIMIT`` characters, the text is only the beginning."""

    start: int
    stop: int
    text: str


class Line(NamedTuple):
    """A line that is selected, or near one.

    Attributes:
        section: where it is in.
        number: from 1, in the document; of what is in none, in the prompt.
        start: offset of its first character.
        stop: offset after its last character, which is no newline.
        text: the line; if it is longer than ``LINE_LIMIT``, what is around its first match.
        text_start: the offset of this text.
        first: the bounds of the first match; None if the line is not selected.
    """

    section: Section
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
    for stretch, hits in LineWalk(prompt, pattern, max_count, documents, progress).stretches():
        text, base, section = stretch.text, stretch.start, stretch.section
        counted = number = 0
        for start, stop, first, last in hits:
            if not number:
                number = _number(prompt, section, base)
            if text is None:
                yield _line(prompt, section, number, (base, stretch.stop), (first, last))
                continue
            number += text.count("\n", counted, start)
            counted = start
            bounds = base + first, base + last
            yield Line(section, number, base + start, base + stop, text[start:stop], base + start, bounds)


def _number(prompt: DistributedPrompt, section: Section, offset: int) -> int:
    """The number of the line that begins at an offset of a section."""
    if not section.name:
        return prompt.line_at(offset) + 1
    return 1 if offset == section.start else prompt.line_at(offset) - prompt.line_at(section.start) + 1


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
    section: Section | None = None
    outside = found = 0
    for stretch, hits in LineWalk(prompt, pattern, max_count, documents, progress).stretches():
        count = sum(1 for _ in hits)
        if not stretch.section.name:
            outside += count
            continue
        if section and stretch.section.start != section.start:
            if found:
                yield section.name, found
            found = 0
        section = stretch.section
        found += count
    if section and found:
        yield section.name, found
    if outside:
        yield "", outside


def matches(prompt: DistributedPrompt, pattern: LinePattern, line: Line) -> Iterator[LineMatch]:
    """All matches in a line, in offsets of the prompt.

    Cost: no shard; of a line longer than ``LINE_LIMIT``, those that it lies in.
    """
    if not line.is_excerpt:
        for match in pattern.compiled.finditer(line.text):
            yield LineMatch(line.start + match.start(), line.start + match.end(), match.group())
        return
    for match in compile_for_prompts(pattern.compiled).finditer(prompt.view(line.start, line.stop)):
        start, stop = line.start + match.start(), line.start + match.end()
        yield LineMatch(start, stop, plain(prompt[start : min(stop, start + LINE_LIMIT)]))


def matches_shown(prompt: DistributedPrompt, pattern: LinePattern, line: Line) -> Iterator[LineMatch]:
    """The matches that begin in the text of a line.

    Cost: as :func:`matches`.
    """
    text_stop = line.text_start + len(line.text)
    return takewhile(lambda match: match.start < text_stop or match.stop == text_stop, matches(prompt, pattern, line))


def with_context(prompt: DistributedPrompt, lines: Iterable[Line], before: int, after: int) -> Iterator[Line | None]:
    """Lines with those around them, which are not selected, within their sections; None between what is not adjacent.

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
            between = line.number - last.number - 1 if last.section == line.section else after
            for last in islice(_lines_behind(prompt, last), min(after, between)):  # noqa: B020  # the last one
                yield last
        floor = last.stop + 1 if last and last.section == line.section else line.section.start
        found = list(islice(_lines_before(prompt, line, floor), before))
        if last and (last.section != line.section or last.stop + 1 < (found[-1] if found else line).start):
            yield None
        yield from reversed(found)
        yield line
        last = line
    if last:
        yield from islice(_lines_behind(prompt, last), after)


def _lines_behind(prompt: DistributedPrompt, line: Line) -> Iterator[Line]:
    while line.stop + 1 < line.section.stop:
        start = line.stop + 1
        stop = prompt.find("\n", start, line.section.stop)
        line = _line(prompt, line.section, line.number + 1, (start, stop if stop >= 0 else line.section.stop), None)
        yield line


def _lines_before(prompt: DistributedPrompt, line: Line, floor: int) -> Iterator[Line]:
    while line.start > floor:
        stop = line.start - 1
        start = prompt.rfind("\n", line.section.start, stop) + 1 or line.section.start
        line = _line(prompt, line.section, line.number - 1, (start, stop), None)
        yield line


def _line(
    prompt: DistributedPrompt, section: Section, number: int, bounds: tuple[int, int], first: tuple[int, int] | None
) -> Line:
    """A line that may be long."""
    start, stop = text_start, text_stop = bounds
    if stop - start > LINE_LIMIT:
        around = first or (start, start)
        text_start = max(start, around[0] - _EXCERPT_CHARACTERS)
        text_stop = min(stop, around[1] + _EXCERPT_CHARACTERS, text_start + LINE_LIMIT)
    return Line(section, number, start, stop, plain(prompt[text_start:text_stop]), text_start, first)
