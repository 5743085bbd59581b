"""A match of a regular expression in a prompt: what ``re.Match`` is in a string."""

import re
from abc import ABC
from types import GenericAlias
from typing import Any, ClassVar, Never, Self

from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.regex_regions import AnyMatch
from distributed_prompt.strings import plain
from distributed_prompt.text.regex_template import expanded, template_parts


class Match(ABC):  # noqa: B024  # so that the standard library's can be taken for one
    """A match in a prompt, as ``re.Match``, which also counts as one, is in a string; all offsets are the prompt's.

    It holds the texts of its groups, and not what was searched.

    Cost: no shard; for :attr:`endpos`, what the length of the prompt costs. The texts of the groups, in memory.
    """

    __slots__ = ("_bounds", "_groups", "_last", "_re", "_regs", "_shift", "_string")
    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)
    # It has items, but is no sequence.
    __iter__ = None

    def __init__(
        self, pattern: Any, prompt: DistributedPrompt, match: AnyMatch, shift: int, bounds: tuple[int, int]
    ) -> None:
        """Take a match in a part of the prompt, and what to add to its offsets."""
        self._re = pattern
        self._string = prompt
        self._bounds = bounds
        self._shift = shift
        self._regs = match.regs
        self._groups = (match.group(), *match.groups())
        self._last = match.lastindex

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

    def _number(self, group: Any) -> int:
        """The number of a group."""
        if isinstance(group, int):
            number = int(group)
        elif isinstance(group, str):
            number = self._re.groupindex.get(plain(group), -1)
        else:
            number = group.__index__() if hasattr(type(group), "__index__") else -1
        if not 0 <= number < len(self._regs):
            message = "no such group"
            raise IndexError(message)
        return number

    def _offset(self, offset: int) -> int:
        return offset + self._shift if offset >= 0 else offset

    def start(self, group: int | str = 0, /) -> int:
        """Return index of the start of the substring matched by group."""
        return self._offset(self._regs[self._number(group)][0])

    def end(self, group: int | str = 0, /) -> int:
        """Return index of the end of the substring matched by group."""
        return self._offset(self._regs[self._number(group)][1])

    def span(self, group: int | str = 0, /) -> tuple[int, int]:
        """For match object m, return the 2-tuple (m.start(group), m.end(group))."""
        start, end = self._regs[self._number(group)]
        return self._offset(start), self._offset(end)

    @property
    def regs(self) -> tuple[tuple[int, int], ...]:
        """The spans of all groups."""
        return tuple((self._offset(start), self._offset(end)) for start, end in self._regs)

    def group(self, *groups: int | str) -> Any:
        """Return subgroup(s) of the match by indices or names. For 0 returns the entire match."""
        found = tuple(self._groups[self._number(group)] for group in groups or (0,))
        return found if len(found) > 1 else found[0]

    def groups(self, default: Any = None) -> tuple[Any, ...]:
        """Return a tuple containing all the subgroups of the match, from 1."""
        return tuple(default if group is None else group for group in self._groups[1:])

    def groupdict(self, default: Any = None) -> dict[str, Any]:
        """Return a dictionary containing all the named subgroups of the match, keyed by the subgroup name."""
        found = {name: self._groups[number] for name, number in self._re.groupindex.items()}
        return {name: default if group is None else group for name, group in found.items()}

    def expand(self, template: str) -> str:
        """Return the string obtained by doing backslash substitution on the string template, as done by sub()."""
        return expanded(self, template_parts(self._re.compiled, plain(template)))

    @property
    def lastindex(self) -> int | None:
        """The number of the last matched group."""
        return self._last

    @property
    def lastgroup(self) -> str | None:
        """The name of the last matched group."""
        names = (name for name, number in self._re.groupindex.items() if number == self._last)
        return next(names, None)

    def __getitem__(self, group: int | str, /) -> Any:
        """Return m.group(group)."""
        return self._groups[self._number(group)]

    def __bool__(self) -> bool:
        """Always true."""
        return True

    def __copy__(self) -> Self:
        """The same: it cannot change."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """The same: it cannot change."""
        return self

    def __reduce__(self) -> Never:
        """Refuse, as ``re.Match`` does."""
        message = "cannot pickle 're.Match' object"
        raise TypeError(message)

    def __repr__(self) -> str:
        """As that of ``re.Match``."""
        return f"<distributed_prompt.re.Match object; span={self.span()!r}, match={self.group()[:50]!r}>"


Match.register(re.Match)
