"""``startswith``, ``strip``, ``partition`` and their like: what looks at the edges, and gives ranges of the text."""

from operator import index
from typing import cast

from distributed_prompt.geometry import resolve
from distributed_prompt.strings.base import Index, TextBase, View, plain
from distributed_prompt.text.edges import first_kept, last_kept


class Edges(TextBase[View]):
    """Results are strings up to ``view_threshold`` characters and views above."""

    __slots__ = ()

    def startswith(self, prefix: str | tuple[str, ...], start: Index = None, end: Index = None, /) -> bool:
        """Return True if S starts with the specified prefix, False otherwise.

        Cost: the shards that the prefix covers.
        """
        return self._has_edge("startswith", prefix, start, end)

    def endswith(self, suffix: str | tuple[str, ...], start: Index = None, end: Index = None, /) -> bool:
        """Return True if S ends with the specified suffix, False otherwise.

        Cost: the shards that the suffix covers.
        """
        return self._has_edge("endswith", suffix, start, end)

    def _has_edge(self, method: str, edges: object, start: Index, end: Index) -> bool:
        strings = cast("tuple[str, ...]", tuple(map(plain, edges)) if isinstance(edges, tuple) else (plain(edges),))
        getattr("", method)(strings if isinstance(edges, tuple) else strings[0], start, end)  # raises str's own errors
        if method == "startswith" and all(bound is None or index(bound) >= 0 for bound in (start, end)):
            # No more of the length is asked for than matters.
            longest = max((len(edge) for edge in strings if hasattr(edge, "__len__")), default=0)
            length = self._length_up_to(resolve(start, 0, 0) + longest + 1)
        else:
            length = len(self)
        first = resolve(start, 0, length)
        last = min(resolve(end, length, length), length)
        for edge in strings:
            if not isinstance(edge, str):
                # Only now: str looks at the members of a tuple as it comes to them.
                getattr("", method)((edge,))  # type: ignore[unreachable]
            if len(edge) <= last - first:
                at = first if method == "startswith" else last - len(edge)
                if self._cut(at, at + len(edge)) == edge:
                    return True
        return False

    def strip(self, chars: str | None = None, /) -> str | View:
        """Return a copy of the string with leading and trailing whitespace removed; a view above the threshold.

        If chars is given and not None, remove characters in chars instead.

        Cost: the shards at either end that are stripped, and one more each; the result.
        """
        return self._stripped("strip", chars, left=True, right=True)

    def lstrip(self, chars: str | None = None, /) -> str | View:
        """Return a copy of the string with leading whitespace removed; a view above the threshold.

        If chars is given and not None, remove characters in chars instead.

        Cost: as :meth:`strip`.
        """
        return self._stripped("lstrip", chars, left=True, right=False)

    def rstrip(self, chars: str | None = None, /) -> str | View:
        """Return a copy of the string with trailing whitespace removed; a view above the threshold.

        If chars is given and not None, remove characters in chars instead.

        Cost: as :meth:`strip`.
        """
        return self._stripped("rstrip", chars, left=False, right=True)

    def _stripped(self, method: str, chars: str | None, *, left: bool, right: bool) -> str | View:
        chars = plain(chars)
        getattr("", method)(chars)  # raises str's own errors
        first = first_kept(self._pieces(), chars) if left else 0
        if first is None:
            return ""
        if not right:
            return self._tail(first)
        last = last_kept(self._pieces_from_end(), chars)
        return self._cut(first, last) if last is not None else ""

    def removeprefix(self, prefix: str, /) -> str | View:
        """Return a str with the given prefix string removed if present; a view above the threshold.

        Cost: the shards that the prefix covers; the result.
        """
        prefix = plain(prefix)
        "".removeprefix(prefix)  # raises str's own errors
        return self._tail(len(prefix) if self.startswith(prefix) else 0)

    def removesuffix(self, suffix: str, /) -> str | View:
        """Return a str with the given suffix string removed if present; a view above the threshold.

        Cost: the shards that the suffix covers; the result.
        """
        suffix = plain(suffix)
        "".removesuffix(suffix)  # raises str's own errors
        return self._cut(0, len(self) - (len(suffix) if self.endswith(suffix) else 0))

    def partition(self, sep: str, /) -> tuple[str | View, str, str | View]:
        """Partition the string into three parts using the given separator; views above the threshold.

        Cost: as :meth:`find`; the results.
        """
        sep = plain(sep)
        "".partition(sep)  # raises str's own errors
        at = self.find(sep)
        if at < 0:
            return self._cut(0, len(self)), "", ""
        return self._cut(0, at), sep, self._tail(at + len(sep))

    def rpartition(self, sep: str, /) -> tuple[str | View, str, str | View]:
        """Partition the string into three parts using the given separator, from the end; views above the threshold.

        Cost: as :meth:`rfind`; the results.
        """
        sep = plain(sep)
        "".rpartition(sep)  # raises str's own errors
        at = self.rfind(sep)
        if at < 0:
            return "", "", self._cut(0, len(self))
        return self._cut(0, at), sep, self._cut(at + len(sep), len(self))
