"""Which names are wanted, by patterns as the shell's."""

import re
from collections.abc import Iterable
from fnmatch import translate

from distributed_prompt.errors import ArgumentError


class Selection:
    """Which documents are wanted, by patterns as the shell's: ``*`` also stands for slashes.

    A pattern with a slash is compared with a document's whole name, and with those of the folders it is in; one
    without with each part of its name.
    """

    def __init__(self, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> None:
        """Take patterns of what alone is wanted (of everything, if there are none), and of what is not."""
        self._include = _Patterns(include, "include")
        self._exclude = _Patterns(exclude, "exclude")

    def takes(self, name: str) -> bool:
        """Whether a document of this name is wanted."""
        return (not self._include or self._include.match(name)) and not self._exclude.match(name)

    def enters(self, folder: str) -> bool:
        """Whether anything in a folder of this name can be wanted."""
        return not self._exclude.match(folder)


class _Patterns:
    """The patterns of one option, those with a slash apart."""

    def __init__(self, patterns: Iterable[str], option: str) -> None:
        if isinstance(patterns, str | bytes):
            message = f"{option} {patterns!r}: must be a list of patterns"
            raise ArgumentError(message)
        self._whole: list[re.Pattern[str]] = []
        self._parts: list[re.Pattern[str]] = []
        for pattern in patterns:
            plain = pattern.removeprefix("./").rstrip("/")
            if not plain or plain.startswith("/"):
                message = f"{option} {pattern!r}: matches no name; names begin with that of an input, without a slash"
                raise ArgumentError(message)
            (self._whole if "/" in plain else self._parts).append(re.compile(translate(plain)))

    def __bool__(self) -> bool:
        return bool(self._whole or self._parts)

    def match(self, name: str) -> bool:
        if not self:
            return False
        parts = name.split("/")
        folders = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)] if self._whole else []
        pairs = ((self._parts, parts), (self._whole, folders))
        return any(pattern.match(text) for patterns, texts in pairs for pattern in patterns for text in texts)
