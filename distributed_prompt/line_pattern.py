"""The pattern that selects a line: made into one that finds in many lines at once what it finds in each alone.

That one cannot take a newline (:mod:`distributed_prompt.text.within_lines`), and nothing in it can tell a newline from
the text's edge.
"""

import re
import warnings
from collections.abc import Iterator

from distributed_prompt.errors import ArgumentError
from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.re import compile as compile_for_prompts
from distributed_prompt.text.required import required
from distributed_prompt.text.within_lines import within_lines


class LinePattern:
    """A pattern whose matches lie within lines.

    Attributes:
        compiled: what is searched for in each line.
        longest_literal: characters of the longest of the literals of which each selected line has one; 0 for none.

    Cost: no shard, but for :meth:`literals`; texts are searched once.
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
        # With these, the lines that hold one are found faster than a pattern is tried at each character.
        is_exact = not any(literal.ignore_case for literal in self._required)
        self._literals = tuple(literal.text for literal in self._required) if is_exact else ()
        self.longest_literal = max((len(literal.text) for literal in self._required), default=0)

    def literals(self, prompt: DistributedPrompt, start: int, stop: int) -> Iterator[int]:
        """Where in a range one of the literals is of which each selected line has one; may overlap others unseen.

        Cost: shards up to the last offset taken, once, a few MB a core.
        """
        if len(self._literals) == 1:
            return prompt.find_all(self._literals[0], start, stop)
        found = (
            f"(?i:{re.escape(each.text)})" if each.ignore_case else re.escape(each.text) for each in self._required
        )
        return (match.start() for match in compile_for_prompts("|".join(found)).finditer(prompt, start, stop))

    def has_literal(self, text: str) -> bool:
        """Whether one of the literals is in a text; if there are none, any text will do."""
        return not self._required or any(literal.occurs(text) for literal in self._required)

    def may_match(self, text: str) -> bool:
        """Whether any line of a text can be selected, of several documents even where they meet within a line."""
        if self._within_lines is None or self._literals or not self._is_local:
            return True
        return self._within_lines.search(text) is not None

    def hits(self, text: str) -> Iterator[tuple[int, int, int, int]]:
        """Each line of a text that is selected: its start and stop, and those of its first match."""
        if self._within_lines is None or self._literals:
            for start, stop in _lines_with(self._literals or ("",), text):
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
            # Behind the last newline there is no line.
            if start < length:
                yield start, stop, first, last
            start = stop + 1


def _lines_with(literals: tuple[str, ...], text: str) -> Iterator[tuple[int, int]]:
    """Start and stop of each line of a text that one of some literals begins in; every line has the empty one."""
    start, length = 0, len(text)
    next_of = dict.fromkeys(literals, -1)
    while start < length:
        for literal, position in next_of.items():
            if position < start:
                found = text.find(literal, start)
                next_of[literal] = found if found >= 0 else length
        position = min(next_of.values())
        if position == length:
            return
        start = text.rfind("\n", start, position) + 1 or start
        stop = text.find("\n", position)
        stop = stop if stop >= 0 else len(text)
        yield start, stop
        start = stop + 1
