"""``+``, ``*``, ``%`` and the order of texts."""

import operator
import sys
from collections.abc import Callable
from typing import Any, SupportsIndex, cast

from distributed_prompt.derived.joined import Repeated
from distributed_prompt.strings.base import TextBase, View, plain
from distributed_prompt.text.pieces import decode

_SHORT = 2**16


class Operators(TextBase[View]):
    """Texts that are made are strings up to ``view_threshold``; comparing is one pass, up to the first difference."""

    __slots__ = ()

    def __add__(self, value: object, /) -> str | View:
        """Return self+value.

        Cost: up to ``view_threshold`` both texts and the result, in memory; above it no shard.
        """
        if not isinstance(value, str | TextBase):
            return NotImplemented
        return self._joined((self, value), len(self) + len(value))

    def __radd__(self, value: object, /) -> str | View:
        """Return value+self.

        Cost: as ``+``.
        """
        if not isinstance(value, str):
            return NotImplemented
        return self._joined((value, self), len(value) + len(self))

    def __mul__(self, value: SupportsIndex, /) -> str | View:
        """Return self*value.

        Cost: as ``+``.
        """
        "" * value  # raises str's own errors
        times = max(0, operator.index(value))
        length = len(self) * times
        if length > sys.maxsize:
            "xx" * sys.maxsize  # as above
        if self.view_threshold < length and len(self) <= _SHORT:
            return cast("View", self._made(Repeated(self._range().characters, self._whole(), length), length))
        return self._joined((self,), length, times)

    __rmul__ = __mul__

    def __mod__(self, value: object, /) -> str:
        """Return self%value.

        Cost: the text and the result, in memory.
        """
        self._check_real("%", len(self))
        return self._whole() % (tuple(map(plain, value)) if isinstance(value, tuple) else plain(value))

    def __rmod__(self, value: object, /) -> str:
        """Return value%self.

        Cost: as ``str(self)``; the result.
        """
        return plain(value) % self._whole() if isinstance(value, str) else NotImplemented

    def __lt__(self, value: object, /) -> bool:
        """Return self<value.

        Cost: shards up to the first difference, once.
        """
        return self._compared(value, operator.lt)

    def __le__(self, value: object, /) -> bool:
        """Return self<=value.

        Cost: as ``<``.
        """
        return self._compared(value, operator.le)

    def __gt__(self, value: object, /) -> bool:
        """Return self>value.

        Cost: as ``<``.
        """
        return self._compared(value, operator.gt)

    def __ge__(self, value: object, /) -> bool:
        """Return self>=value.

        Cost: as ``<``.
        """
        return self._compared(value, operator.ge)

    def _compared(self, value: object, compare: Callable[[Any, Any], bool]) -> bool:
        if not isinstance(value, str | TextBase):
            return NotImplemented  # type: ignore[no-any-return]  # as operators do
        for piece in self._pieces():
            mine = decode(piece.data)
            theirs = plain(value[piece.start : piece.start + piece.characters])  # type: ignore[index]  # as all texts
            if mine != theirs:
                return bool(compare(mine, theirs))
        return bool(compare(len(self), len(value)))

    def __getnewargs__(self) -> tuple[str]:
        """The equal string, as ``str`` has it.

        Cost: as ``str(self)``.
        """
        return (self._whole(),)
