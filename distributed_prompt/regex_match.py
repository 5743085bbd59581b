"""A match of a regular expression in a prompt: what ``re.Match`` is in a string."""

import re
from abc import ABC
from types import GenericAlias
from typing import Any, ClassVar, Self

from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.strings import plain


class Match(ABC):  # noqa: B024  # so that the standard library's can be taken for one
    """A match in a prompt, as ``re.Match``, which also counts as one, is in a string; all offsets are the prompt's."""

    __slots__ = ("_bounds", "_match", "_re", "_shift", "_string")
    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)
    # It has items, but is no sequence.
    __iter__ = None

    def __init__(
        self, pattern: Any, prompt: DistributedPrompt, match: "re.Match[str]", shift: int, bounds: tuple[int, int]
    ) -> None:
        """Take a match in a part of the prompt, and what to add to its offsets."""
        self._re = pattern
        self._string = prompt
        self._bounds = bounds
        self._match = match
        self._shift = shift

    @property
    def re(self) -> Any:
        """The pattern."""
        return self._re

    @property
    def string(self) -> DistributedPrompt:
        """The prompt."""
        return self._string

    @property
    def pos(self) -> int:
        """Where the search began."""
        return self._bounds[0]

    @property
    def endpos(self) -> int:
        """Where it was to end."""
        return min(self._bounds[1], len(self._string))

    def _offset(self, offset: int) -> int:
        return offset + self._shift if offset >= 0 else offset

    def start(self, group: int | str = 0, /) -> int:
        """Return index of the start of the substring matched by group."""
        return self._offset(self._match.start(group))

    def end(self, group: int | str = 0, /) -> int:
        """Return index of the end of the substring matched by group."""
        return self._offset(self._match.end(group))

    def span(self, group: int | str = 0, /) -> tuple[int, int]:
        """For match object m, return the 2-tuple (m.start(group), m.end(group))."""
        start, end = self._match.span(group)
        return self._offset(start), self._offset(end)

    @property
    def regs(self) -> tuple[tuple[int, int], ...]:
        """The spans of all groups."""
        return tuple((self._offset(start), self._offset(end)) for start, end in self._match.regs)

    def group(self, *groups: int | str) -> Any:
        """Return subgroup(s) of the match by indices or names. For 0 returns the entire match."""
        return self._match.group(*groups)

    def groups(self, default: Any = None) -> tuple[Any, ...]:
        """Return a tuple containing all the subgroups of the match, from 1."""
        return self._match.groups(default)

    def groupdict(self, default: Any = None) -> dict[str, Any]:
        """Return a dictionary containing all the named subgroups of the match, keyed by the subgroup name."""
        return self._match.groupdict(default)

    def expand(self, template: str) -> str:
        """Return the string obtained by doing backslash substitution on the string template, as done by sub()."""
        return self._match.expand(plain(template))

    @property
    def lastindex(self) -> int | None:
        """The number of the last matched group."""
        return self._match.lastindex

    @property
    def lastgroup(self) -> str | None:
        """The name of the last matched group."""
        return self._match.lastgroup

    def __getitem__(self, group: int | str, /) -> Any:
        """Return m.group(group)."""
        return self._match[group]

    def __bool__(self) -> bool:
        """Always true."""
        return True

    def __copy__(self) -> Self:
        """The same: it cannot change."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """The same: it cannot change."""
        return self

    def __repr__(self) -> str:
        """As that of ``re.Match``."""
        return f"<distributed_prompt.re.Match object; span={self.span()!r}, match={self.group()[:50]!r}>"


Match.register(re.Match)
