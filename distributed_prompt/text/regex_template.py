"""Templates of ``re.sub`` and ``re.Match.expand``: read once for all matches, by ``re`` itself."""

import re
from functools import lru_cache
from itertools import count, islice
from typing import Any

_CACHED_TEMPLATES = 512
# Above what an escape in a template can stand for.
_FIRST_MARK = 0x100


@lru_cache(_CACHED_TEMPLATES)
def template_parts(pattern: "re.Pattern[str]", template: str) -> tuple[str | int, ...]:
    """What takes the place of a match: literal texts, and numbers of groups.

    Args:
        pattern: whose groups the template names.
        template: as ``re.sub`` takes it.

    Raises:
        re.error: the template is wrong, or the pattern has no such group.

    Cost: the template, once for a pattern.
    """
    # A match whose every group is another character shows where they go.
    taken = set(template)
    marks = list(islice((chr(code) for code in count(_FIRST_MARK) if chr(code) not in taken), pattern.groups + 1))
    names = {number: f"?P<{name}>" for name, number in pattern.groupindex.items()}
    groups = "".join(f"({names.get(number, '')}.)" for number in range(1, len(marks)))
    match = re.match(f".(?={groups})", "".join(marks), re.DOTALL)
    parts: list[str | int] = []
    start = 0
    shown = match.expand(template) if match else ""
    numbers = {mark: number for number, mark in enumerate(marks)}
    for at, character in enumerate(shown):
        if character in numbers:
            parts += [shown[start:at], numbers[character]]
            start = at + 1
    return tuple(part for part in (*parts, shown[start:]) if part != "")


def expanded(match: Any, parts: tuple[str | int, ...]) -> str:
    """What takes the place of one match, in a string or a prompt.

    Args:
        match: anything that gives the text of a group, or None, for its number.
        parts: of the template.
    """
    return "".join([part if isinstance(part, str) else match[part] or "" for part in parts])
