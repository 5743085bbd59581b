"""``lower``, ``replace``, ``split`` and their like: what makes another text, or texts, of all characters."""

import sys
from codecs import IncrementalEncoder, getincrementalencoder, lookup
from collections.abc import Iterable, Iterator, Mapping
from operator import index
from typing import Any, SupportsIndex, cast

from distributed_prompt.derived.joined import Repeated
from distributed_prompt.derived.transformed import Transformed
from distributed_prompt.errors import ArgumentError
from distributed_prompt.sequences import LazySequence
from distributed_prompt.strings.base import TextBase, View, plain
from distributed_prompt.strings.fields import Fields, FieldsFromEnd
from distributed_prompt.text import search
from distributed_prompt.text.case import CaseMapping
from distributed_prompt.text.pieces import decode
from distributed_prompt.text.splitting import Cutter, LineEnd, Separator, Whitespace
from distributed_prompt.text.substitution import Replacement, TabExpansion, Translation

# What they make of a text depends on all of it.
_WHOLE_ENCODINGS = frozenset({"utf-7", "punycode", "idna"})


class Transforms(TextBase[View]):
    """Results are strings and lists up to ``view_threshold`` characters, above it lazy texts and sequences."""

    __slots__ = ()

    def capitalize(self) -> str | View:
        """Return a capitalized version of the string.

        Cost: as :meth:`lower`.
        """
        return self._transformed(CaseMapping("capitalize"))

    def casefold(self) -> str | View:
        """Return a version of the string suitable for caseless comparisons.

        Cost: as :meth:`lower`.
        """
        return self._transformed(CaseMapping("casefold"))

    def lower(self) -> str | View:
        """Return a copy of the string converted to lowercase.

        Cost: up to ``view_threshold`` every shard, and the result. Above it no shard; what is then asked of the result
        decodes what it would of this text, and for ``len`` and far offsets, once, the shards before that are not ASCII.
        """
        return self._transformed(CaseMapping("lower"))

    def swapcase(self) -> str | View:
        """Convert uppercase characters to lowercase and lowercase characters to uppercase.

        Cost: as :meth:`lower`.
        """
        return self._transformed(CaseMapping("swapcase"))

    def title(self) -> str | View:
        """Return a version of the string where each word is titlecased.

        Cost: as :meth:`lower`.
        """
        return self._transformed(CaseMapping("title"))

    def upper(self) -> str | View:
        """Return a copy of the string converted to uppercase.

        Cost: as :meth:`lower`.
        """
        return self._transformed(CaseMapping("upper"))

    def expandtabs(self, tabsize: SupportsIndex = 8) -> str | View:
        """Return a copy where all tab characters are expanded using spaces.

        Cost: as :meth:`replace`.
        """
        "".expandtabs(tabsize)  # raises str's own errors
        return self._transformed(TabExpansion(index(tabsize)), tabsize)

    def replace(self, old: str, new: str, /, count: SupportsIndex = -1) -> str | View:
        """Return a copy with all occurrences of substring old replaced by new.

        Cost: up to ``view_threshold`` every shard, and the result. Above it no shard; what is then asked of the result
        decodes what it would of this text, and for ``len`` and far offsets, once, all shards before.
        """
        old, new = plain(old), plain(new)
        "".replace(old, new, count)  # raises str's own errors
        transform = Replacement(old, new, index(count))
        if not self._is_long() and self._grows_long(transform):
            return cast("View", self._made(Transformed(self._range(), transform)))
        return self._transformed(transform, old, new, count)

    def _grows_long(self, replacement: Replacement) -> bool:
        """Whether a text that is not long becomes so."""
        old, new, count = replacement.old, replacement.new, replacement.count
        growth = len(new) - len(old)
        if len(self) + (len(self) + 1) * growth <= self.view_threshold or not len(self):
            return False
        occurrences = self.count(old)
        return len(self) + growth * (min(occurrences, count) if count >= 0 else occurrences) > self.view_threshold

    def translate(self, table: Any, /) -> str | View:  # as str's
        """Replace each character in the string using the given translation table.

        Cost: as :meth:`replace`.
        """
        if self._is_long():
            plain(cast("str", self._cut(0, 1))).translate(table)  # raises str's own errors, if the table is none at all
        # What becomes of a dictionary later is nothing to this text; one that looks up in its own way is left alone.
        if (
            isinstance(table, dict)
            and type(table).__getitem__ is dict.__getitem__
            and not hasattr(table, "__missing__")
        ):
            table = {key: plain(value) for key, value in table.items()}
        return self._transformed(Translation(table), table)

    def center(self, width: SupportsIndex, fillchar: str = " ", /) -> str | View:
        """Return a centered string of length width.

        Cost: up to ``view_threshold`` every shard, and the result; above it no shard.
        """
        missing, fillchar = self._missing("center", width, fillchar)
        left = missing // 2 + (missing & index(width) & 1)
        return self._filled(left, missing - left, fillchar)

    def ljust(self, width: SupportsIndex, fillchar: str = " ", /) -> str | View:
        """Return a left-justified string of length width.

        Cost: as :meth:`center`.
        """
        return self._filled(0, *self._missing("ljust", width, fillchar))

    def rjust(self, width: SupportsIndex, fillchar: str = " ", /) -> str | View:
        """Return a right-justified string of length width.

        Cost: as :meth:`center`.
        """
        missing, fillchar = self._missing("rjust", width, fillchar)
        return self._filled(missing, 0, fillchar)

    def zfill(self, width: SupportsIndex, /) -> str | View:
        """Pad a numeric string with zeros on the left, to fill a field of the given width.

        Cost: as :meth:`center`; the first shard.
        """
        missing, _ = self._missing("zfill", width)
        if not missing or self._cut(0, min(1, len(self))) not in {"+", "-"}:
            return self._filled(missing, 0, "0")
        sign, rest = self._cut(0, 1), self._cut(1, len(self))
        return self._joined((sign, *self._filling(missing, "0"), rest), len(self) + missing)

    def _missing(self, method: str, width: SupportsIndex, *fillchar: str) -> tuple[int, str]:
        """How many characters are missing to a width, and which they are to be."""
        fill = [plain(character) for character in fillchar]
        call = getattr("", method)
        is_sound = hasattr(type(width), "__index__") and abs(index(width)) <= sys.maxsize
        call(0 if is_sound else width, *fill)  # raises str's own errors
        return max(0, index(width) - len(self)), fill[0] if fill else "0"

    def _filled(self, left: int, right: int, fillchar: str) -> str | View:
        if not left and not right:
            return self._cut(0, len(self))
        texts = (*self._filling(left, fillchar), self, *self._filling(right, fillchar))
        return self._joined(texts, left + len(self) + right)

    def _filling(self, characters: int, fillchar: str) -> tuple[TextBase[View], ...]:
        """A character so many times, as a text; none if that is none."""
        if not characters:
            return ()
        return (self._made(Repeated(self._range().characters, fillchar, characters), characters),)

    def join(self, iterable: Iterable[str], /) -> str | View:
        """Concatenate any number of strings.

        Cost: up to ``view_threshold`` the text and the result; above it no shard, and the strings.
        """
        try:
            items = list(iterable)
        except TypeError:
            "".join(iterable)  # raises str's own error, if that was it
            raise
        "".join([item if not isinstance(item, TextBase) else "" for item in items])  # as above
        texts = [text for item in items for text in (cast("str", self), item)][1:]
        return self._joined(texts, sum(map(len, texts)))

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> "list[str] | LazySequence[str | View]":
        """Return a list of the substrings in the string, using sep as the separator string.

        Cost: up to ``view_threshold`` every shard, and the result. Above it no shard; an item takes those before it,
        once, and then those it lies in, but with a newline as separator only the latter; iteration every shard once.
        """
        sep = plain(sep)
        "".split(sep, maxsplit)  # raises str's own errors
        if not self._is_long():
            return self._whole().split(sep, maxsplit)
        return Fields(self, _cutter(sep), index(maxsplit))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> "list[str] | LazySequence[str | View]":
        """Return a list of the substrings in the string, using sep as the separator string, from the end.

        Cost: as :meth:`split`, from the end if ``maxsplit`` is given.
        """
        sep = plain(sep)
        "".rsplit(sep, maxsplit)  # raises str's own errors
        if not self._is_long():
            return self._whole().rsplit(sep, maxsplit)
        if index(maxsplit) >= 0 or (sep is not None and search.overlaps_itself(sep)):
            return FieldsFromEnd(self, _cutter(sep), index(maxsplit))
        return Fields(self, _cutter(sep))

    def splitlines(self, keepends: bool = False) -> "list[str] | LazySequence[str | View]":  # noqa: FBT001, FBT002  # as str's
        """Return a list of the lines in the string, breaking at line boundaries.

        Cost: as :meth:`split` with another separator than a newline.
        """
        "".splitlines(keepends)  # raises str's own errors
        if not self._is_long():
            return self._whole().splitlines(keepends)
        return Fields(self, LineEnd(bool(keepends)))

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Encode the string using the codec registered for encoding.

        Raises:
            MaterialiseError: the text is longer than 2**24 characters; :meth:`encoded` has no limit.

        Cost: every shard once; the text and the result.
        """
        "".encode(encoding, errors)  # raises str's own errors
        self._check_real("encode (encoded() gives it in parts)", len(self))
        return self._whole().encode(encoding, errors)

    def encoded(self, encoding: str = "utf-8", errors: str = "strict") -> Iterator[bytes]:
        """What :meth:`encode` gives, in consecutive parts.

        Args:
            encoding: as in :meth:`encode`, but UTF-7, Punycode and IDNA, which encode texts as a whole.
            errors: as in :meth:`encode`.

        Raises:
            ArgumentError: one of these.

        Cost: every shard once, a few MB a core.
        """
        "".encode(encoding, errors)  # raises str's own errors
        if lookup(encoding).name in _WHOLE_ENCODINGS:
            message = f"encoding {encoding!r}: does not encode a text in parts; use encode()"
            raise ArgumentError(message)
        return self._encoded(getincrementalencoder(encoding)(errors))

    def _encoded(self, encoder: IncrementalEncoder) -> Iterator[bytes]:
        for piece in self._pieces():
            try:
                part = encoder.encode(decode(piece.data))
            except UnicodeEncodeError as error:
                error.add_note(f"positions are counted from offset {piece.start:,} of the text")
                raise
            if part:
                yield part
        if part := encoder.encode("", final=True):
            yield part

    def format(self, /, *args: object, **kwargs: object) -> str:
        """Return a formatted version of the string, using substitutions from args and kwargs.

        Raises:
            MaterialiseError: the text is longer than 2**24 characters.

        Cost: the text and the result, in memory.
        """
        self._check_real("format", len(self))
        return self._whole().format(*args, **kwargs)

    def format_map(self, mapping: Mapping[str, object], /) -> str:
        """Return a formatted version of the string, using substitutions from mapping.

        Raises:
            MaterialiseError: the text is longer than 2**24 characters.

        Cost: the text and the result, in memory.
        """
        self._check_real("format_map", len(self))
        return self._whole().format_map(mapping)

    @staticmethod
    def maketrans(*arguments: Any) -> dict[int, Any]:
        """Return a translation table usable for str.translate().

        Cost: the arguments, in memory.
        """
        if len(arguments) == 1 and isinstance(arguments[0], dict):
            return str.maketrans({plain(key): plain(value) for key, value in arguments[0].items()})
        return str.maketrans(*map(plain, arguments))


def _cutter(sep: str | None) -> Cutter:
    return Whitespace() if sep is None else Separator(sep)
