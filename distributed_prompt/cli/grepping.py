"""The command that prints the lines that match."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from distributed_prompt.cli.console import output, printable, progress
from distributed_prompt.cli.group import PACK, NumberParam, main
from distributed_prompt.errors import ArgumentError, PackNotFoundError
from distributed_prompt.grep import (
    Line,
    LinePattern,
    matches,
    matches_shown,
    matching_line_counts,
    matching_lines,
    with_context,
)
from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.prompt import open as dp_open
from distributed_prompt.text.pieces import encode_bytes
from distributed_prompt.workers import Progress

Shown = TypeVar("Shown")

_INTERRUPTED = 130
# A walk does not come back.
_CACHE_BYTES = 2**22
# Ripgrep's.
_DOCUMENT, _NUMBER, _MATCH, _PLAIN = "\x1b[35m", "\x1b[32m", "\x1b[1m\x1b[31m", "\x1b[0m"


class _Printer:
    """Prints lines as ripgrep does: the parts before the text with a colon, or a hyphen where the line only is near."""

    def __init__(self, prompt: DistributedPrompt, pattern: LinePattern, *, color: str, numbers: bool) -> None:
        self._prompt = prompt
        self._pattern = pattern
        self._binary = output()
        self._is_terminal = sys.stdout.isatty()
        is_usual = self._is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._is_colored = color == "always" or (color == "auto" and is_usual)
        self._names = len(prompt.documents) > 1
        self._numbers = numbers

    def flush(self) -> None:
        """Fail now rather than at the exit, where a closed pipe would be reported."""
        self._binary.flush()

    def line(self, line: Line | None) -> None:
        """Print a line, or what parts groups of lines."""
        if line is None:
            self._write("--")
            return
        mark = ":" if line.first else "-"
        text = self._colored(line) if line.first and self._is_colored else self._text(line.text)
        before = "…" if line.text_start > line.start else ""
        behind = "…" if line.text_start + len(line.text) < line.stop else ""
        self._write(f"{self._head(line, line.first[0] if line.first else line.start, mark)}{before}{text}{behind}")

    def matches(self, line: Line) -> None:
        """Print each match in a line on one of its own."""
        for match in matches(self._prompt, self._pattern, line):
            if match.start < match.stop:
                behind = "…" if len(match.text) < match.stop - match.start else ""
                self._write(f"{self._head(line, match.start, ':')}{self._match(match.text)}{behind}")

    def json(self, line: Line) -> None:
        """Print a line with its matches as JSON; of a long one an excerpt, so called, with those that begin in it."""
        found = [match._asdict() for match in matches_shown(self._prompt, self._pattern, line)]
        facts = {"document": line.section.name, "line": line.number, "offset": line.start, "text": line.text}
        excerpt = {"excerpt": line.text_start} if line.is_excerpt else {}
        self._write(json.dumps({**facts, "matches": found, **excerpt}))

    def count(self, name: str, count: int) -> None:
        """Print how many lines of a document match."""
        self._write(f"{self._name(name)}:{count}" if self._names else str(count))

    def _head(self, line: Line, offset: int, mark: str) -> str:
        name = f"{self._name(line.section.name)}{mark}" if self._names else ""
        number = f"{self._styled(str(line.number), _NUMBER)}{mark}" if self._numbers else ""
        return f"{name}{number}{offset}{mark}"

    def _name(self, name: str) -> str:
        return self._styled(printable(name), _DOCUMENT)

    def _colored(self, line: Line) -> str:
        pieces, at = [], 0
        for match in matches_shown(self._prompt, self._pattern, line):
            start, stop = match.start - line.text_start, match.stop - line.text_start
            pieces += [self._text(line.text[at:start]), self._match(line.text[start:stop])]
            at = stop
        return "".join([*pieces, self._text(line.text[at:])])

    def _match(self, text: str) -> str:
        return self._styled(self._text(text), _MATCH)

    def _styled(self, text: str, style: str) -> str:
        return f"{style}{text}{_PLAIN}" if self._is_colored and text else text

    def _text(self, text: str) -> str:
        # A tab only moves the cursor, and source text is full of them.
        return "\t".join(map(printable, text.split("\t"))) if self._is_terminal else text

    def _write(self, text: str) -> None:
        self._binary.write(encode_bytes(f"{text}\n"))
        if self._is_terminal:
            self._binary.flush()


@main.command()
@click.argument("pattern")
@PACK
@click.option("--fixed-strings", "-F", "fixed", is_flag=True, help="PATTERN is a literal, no regular expression.")
@click.option("--ignore-case", "-i", is_flag=True, help="Ignore case, as re.IGNORECASE does.")
@click.option("--count", "-c", "count_only", is_flag=True, help="Print only how many lines of each document match.")
@click.option("--only-matching", "-o", is_flag=True, help="Print each match on a line of its own, and nothing else.")
@click.option("--line-number/--no-line-number", "-n/-N", "numbers", default=True, help="Print line numbers, or not.")
@click.option("--max-count", "-m", type=NumberParam(), metavar="NUM", help="Stop after NUM lines of each document.")
@click.option("--after-context", "-A", type=NumberParam(), metavar="NUM", help="Print NUM lines behind each, too.")
@click.option("--before-context", "-B", type=NumberParam(), metavar="NUM", help="Print NUM lines before each, too.")
@click.option("--context", "-C", type=NumberParam(), metavar="NUM", help="Print NUM lines before and behind each, too.")
@click.option(
    "--document",
    "documents",
    multiple=True,
    metavar="GLOB",
    help="Search only documents that match, as --include of pack has it. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print an object of JSON for each line.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Color what is printed.")
def grep(
    pattern: str, pack: str, *, count_only: bool, only_matching: bool, as_json: bool, color: str, **options: Any
) -> None:
    """Print the lines of PACK in which the regular expression PATTERN finds something.

    \b
    dprompt grep "ERROR .*timeout" logs.dprompt
    dprompt grep -F -C 2 "needle" corpus.dprompt --document "*.md"

    Each line of each document counts on its own, as in grep. Printed are the document (if PACK has several), the line
    in it, the offset of the first match in PACK, and the text. PATTERN is one of Python's; put -- before one that
    begins with a hyphen. Exit status: 0 found, 1 not found, 2 error.
    """  # noqa: D301  # click wants the backspace itself
    before, after = _context(options)
    if as_json and (count_only or only_matching or before or after):
        message = "--json excludes --count, --only-matching and context"
        raise click.UsageError(message)
    compiled = LinePattern(pattern, fixed=options["fixed"], ignore_case=options["ignore_case"])
    context = click.get_current_context()
    found = False
    try:
        with _open(pack, pattern) as prompt, _progress() as update:
            wanted = {"max_count": options["max_count"], "documents": options["documents"], "progress": update}
            printer = _Printer(prompt, compiled, color=color, numbers=options["numbers"])
            if count_only:
                found = _print_counts(prompt, printer, matching_line_counts(prompt, compiled, **wanted))
            else:
                lines = matching_lines(prompt, compiled, **wanted)
                if as_json or only_matching:
                    found = _each(printer.json if as_json else printer.matches, lines)
                else:
                    near = with_context(prompt, lines, before, after) if before or after else lines
                    found = _each(printer.line, near)
            printer.flush()
    except KeyboardInterrupt:
        context.exit(_INTERRUPTED)
    context.exit(0 if found else 1)


def _context(options: dict[str, Any]) -> tuple[int, int]:
    """How many lines to print before and behind others."""
    for name in ("max_count", "after_context", "before_context", "context"):
        if options[name] is not None and options[name] < 0:
            message = f"--{name.replace('_', '-')} {options[name]}: must not be negative"
            raise ArgumentError(message)
    around = options["context"] or 0
    before, after = options["before_context"], options["after_context"]
    return around if before is None else before, around if after is None else after


def _each(show: Callable[[Shown], None], lines: Iterable[Shown]) -> bool:
    """Show all; whether there are any."""
    is_any = False
    for line in lines:
        is_any = True
        show(line)
    return is_any


def _print_counts(prompt: DistributedPrompt, printer: _Printer, counts: Iterator[tuple[str, int]]) -> bool:
    if len(prompt.documents) > 1:
        return _each(lambda count: printer.count(*count), counts)
    total = sum(count for _, count in counts)
    printer.count("", total)
    return total > 0


def _open(pack: str, pattern: str) -> DistributedPrompt:
    try:
        return dp_open(pack, cache_bytes=_CACHE_BYTES)
    except PackNotFoundError as error:
        if not os.path.exists(pattern):  # noqa: PTH110  # which no pattern makes fail
            raise
        message = f"{error}; the pattern comes first: dprompt grep PATTERN {pattern}"
        raise PackNotFoundError(message) from error


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """A bar, but not among the lines on a terminal."""
    if sys.stdout is not None and sys.stdout.isatty():
        yield None
        return
    with progress("grep", " characters", scale=True) as update:
        yield update
