"""``lower``, ``split``, ``format`` and their like: what makes new strings and lists, as ``str`` itself does."""

from collections.abc import Iterable, Mapping
from typing import Any, SupportsIndex, cast

from distributed_prompt.strings.base import TextBase, View, plain


class Transforms(TextBase[View]):
    """Made for texts of up to ``view_threshold`` characters, and refused above."""

    __slots__ = ()

    def capitalize(self) -> str:
        """Return a capitalized version of the string.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("str", self._real("capitalize"))

    def casefold(self) -> str:
        """Return a version of the string suitable for caseless comparisons.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("str", self._real("casefold"))

    def center(self, width: SupportsIndex, fillchar: str = " ", /) -> str:
        """Return a centered string of length width.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("str", self._real("center", width, fillchar))

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Encode the string using the codec registered for encoding.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("bytes", self._real("encode", encoding, errors))

    def expandtabs(self, tabsize: SupportsIndex = 8) -> str:
        """Return a copy where all tab characters are expanded using spaces.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("str", self._real("expandtabs", tabsize))

    def ljust(self, width: SupportsIndex, fillchar: str = " ", /) -> str:
        """Return a left-justified string of length width.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("str", self._real("ljust", width, fillchar))

    def lower(self) -> str:
        """Return a copy of the string converted to lowercase.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("str", self._real("lower"))

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> str:
        """Return a copy with all occurrences of substring old replaced by new.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("str", self._real("replace", old, new, count))

    def rjust(self, width: SupportsIndex, fillchar: str = " ", /) -> str:
        """Return a right-justified string of length width.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("str", self._real("rjust", width, fillchar))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        """Return a list of the substrings in the string, using sep as the separator string, from the end.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("list[str]", self._real("rsplit", sep, maxsplit))

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        """Return a list of the substrings in the string, using sep as the separator string.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("list[str]", self._real("split", sep, maxsplit))

    def splitlines(self, keepends: bool = False) -> list[str]:  # noqa: FBT001, FBT002  # as str's
        """Return a list of the lines in the string, breaking at line boundaries.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("list[str]", self._real("splitlines", keepends))

    def swapcase(self) -> str:
        """Convert uppercase characters to lowercase and lowercase characters to uppercase.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("str", self._real("swapcase"))

    def title(self) -> str:
        """Return a version of the string where each word is titlecased.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("str", self._real("title"))

    def translate(self, table: Any, /) -> str:  # as str's
        """Replace each character in the string using the given translation table.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("str", self._real("translate", table))

    def upper(self) -> str:
        """Return a copy of the string converted to uppercase.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("str", self._real("upper"))

    def zfill(self, width: SupportsIndex, /) -> str:
        """Pad a numeric string with zeros on the left, to fill a field of the given width.

        Cost: every shard once; the text and the result. Above ``view_threshold``: MaterialiseError.
        """
        return cast("str", self._real("zfill", width))

    def join(self, iterable: Iterable[str], /) -> str:
        """Concatenate any number of strings.

        Cost: the text and the result, in memory.
        """
        try:
            items = [plain(item) for item in iterable]
        except TypeError:
            "".join(iterable)  # raises str's own error, if that was it
            raise
        self._check_real("join", len(self))
        return str(self).join(items)

    def format(self, /, *args: object, **kwargs: object) -> str:
        """Return a formatted version of the string, using substitutions from args and kwargs.

        Cost: the text and the result, in memory.
        """
        self._check_real("format", len(self))
        return str(self).format(*args, **kwargs)

    def format_map(self, mapping: Mapping[str, object], /) -> str:
        """Return a formatted version of the string, using substitutions from mapping.

        Cost: the text and the result, in memory.
        """
        return cast("str", self._real("format_map", mapping))

    maketrans = staticmethod(str.maketrans)
