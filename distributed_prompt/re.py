"""Regular expressions on prompts: the functions of the standard library's ``re``, with its results on the equal string.

::

    import distributed_prompt.re as re

    re.findall(r"ERROR .*timeout", prompt)

Ordinary strings and bytes are handed to the standard library, so this can stand in for ``re`` everywhere.
"""

import re as _re
from collections.abc import Iterator
from concurrent.futures import Executor
from functools import lru_cache
from re import (
    ASCII,
    DEBUG,
    DOTALL,
    IGNORECASE,
    LOCALE,
    MULTILINE,
    NOFLAG,
    UNICODE,
    VERBOSE,
    A,
    I,
    L,
    M,
    RegexFlag,
    S,
    U,
    X,
    error,
)
from typing import Any

from distributed_prompt.regex import Pattern, Repl
from distributed_prompt.regex_match import Match
from distributed_prompt.strings import plain

__all__ = [
    "ASCII",
    "DEBUG",
    "DOTALL",
    "IGNORECASE",
    "LOCALE",
    "MULTILINE",
    "NOFLAG",
    "UNICODE",
    "VERBOSE",
    "A",
    "I",
    "L",
    "M",
    "Match",
    "Pattern",
    "RegexFlag",
    "S",
    "U",
    "X",
    "compile",
    "error",
    "escape",
    "findall",
    "finditer",
    "fullmatch",
    "match",
    "purge",
    "search",
    "split",
    "sub",
    "subn",
]


def compile(pattern: Any, flags: int = 0) -> Pattern:  # noqa: A001  # as in re
    """Compile a regular expression pattern, returning a Pattern object.

    Args:
        pattern: a string, a prompt, bytes, or a compiled pattern of either library.
        flags: as in ``re``.

    Cost: no shard.
    """
    pattern = getattr(pattern, "compiled", pattern)  # of a pattern of ours
    return _compiled(_re.compile(plain(pattern), flags))


@lru_cache(512)
def _compiled(pattern: "_re.Pattern[Any]") -> Pattern:
    return Pattern(pattern)


def escape(pattern: Any) -> Any:
    """Escape special characters in a string.

    Cost: the text, in memory.
    """
    return _re.escape(plain(pattern))


def search(pattern: Any, string: Any, flags: int = 0, *, executor: Executor | None = None) -> Any:
    """Scan through string looking for a match to the pattern, returning a Match object, or None if no match was found.

    Cost: as :meth:`Pattern.search`.
    """
    return compile(pattern, flags).search(string, executor=executor)


def match(pattern: Any, string: Any, flags: int = 0) -> Any:
    """Try to apply the pattern at the start of the string, returning a Match object, or None if no match was found.

    Cost: as :meth:`Pattern.match`.
    """
    return compile(pattern, flags).match(string)


def fullmatch(pattern: Any, string: Any, flags: int = 0) -> Any:
    """Try to apply the pattern to all of the string, returning a Match object, or None if no match was found.

    Cost: as :meth:`Pattern.fullmatch`.
    """
    return compile(pattern, flags).fullmatch(string)


def finditer(pattern: Any, string: Any, flags: int = 0, *, executor: Executor | None = None) -> Iterator[Any]:
    """Return an iterator over all non-overlapping matches in the string.

    Cost: as :meth:`Pattern.finditer`.
    """
    return compile(pattern, flags).finditer(string, executor=executor)


def findall(pattern: Any, string: Any, flags: int = 0, *, executor: Executor | None = None) -> list[Any]:
    """Return a list of all non-overlapping matches in the string.

    Cost: as :meth:`Pattern.findall`.
    """
    return compile(pattern, flags).findall(string, executor=executor)


def split(pattern: Any, string: Any, maxsplit: int = 0, flags: int = 0) -> Any:
    """Split the source string by the occurrences of the pattern, returning a list containing the resulting substrings.

    Cost: as :meth:`Pattern.split`.
    """
    return compile(pattern, flags).split(string, maxsplit)


def sub(pattern: Any, repl: Repl, string: Any, count: int = 0, flags: int = 0) -> Any:
    """Return the string obtained by replacing the leftmost non-overlapping occurrences of the pattern by repl.

    Cost: as :meth:`Pattern.sub`.
    """
    return compile(pattern, flags).sub(repl, string, count)


def subn(pattern: Any, repl: Repl, string: Any, count: int = 0, flags: int = 0) -> tuple[Any, int]:
    """Return a 2-tuple containing (new_string, number).

    Cost: as :meth:`Pattern.subn`.
    """
    return compile(pattern, flags).subn(repl, string, count)


def purge() -> None:
    """Clear the regular expression caches.

    Cost: no shard.
    """
    _re.purge()
    _compiled.cache_clear()


def __getattr__(name: str) -> Any:
    """Whatever else the standard library's module has."""
    if not name.startswith("__") and hasattr(_re, name):
        return getattr(_re, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
