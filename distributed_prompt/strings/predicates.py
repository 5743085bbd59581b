"""``isalpha`` and its like: one pass, up to the piece that decides."""

from distributed_prompt.strings.base import TextBase, View
from distributed_prompt.text.pieces import decode
from distributed_prompt.text.predicates import holds


class Predicates(TextBase[View]):
    """What ``str`` tells of all characters."""

    __slots__ = ()

    def _holds(self, method: str) -> bool:
        return holds(method, (decode(piece.data) for piece in self._pieces()))

    def isalnum(self) -> bool:
        """Return True if the string is an alpha-numeric string, False otherwise.

        Cost: shards up to the one that decides, once, a few MB a core.
        """
        return self._holds("isalnum")

    def isalpha(self) -> bool:
        """Return True if the string is an alphabetic string, False otherwise.

        Cost: shards up to the one that decides, once, a few MB a core.
        """
        return self._holds("isalpha")

    def isascii(self) -> bool:
        """Return True if all characters in the string are ASCII, False otherwise.

        Cost: shards up to the one that decides, once, a few MB a core.
        """
        return self._holds("isascii")

    def isdecimal(self) -> bool:
        """Return True if the string is a decimal string, False otherwise.

        Cost: shards up to the one that decides, once, a few MB a core.
        """
        return self._holds("isdecimal")

    def isdigit(self) -> bool:
        """Return True if the string is a digit string, False otherwise.

        Cost: shards up to the one that decides, once, a few MB a core.
        """
        return self._holds("isdigit")

    def isidentifier(self) -> bool:
        """Return True if the string is a valid Python identifier, False otherwise.

        Cost: shards up to the one that decides, once, a few MB a core.
        """
        return self._holds("isidentifier")

    def islower(self) -> bool:
        """Return True if the string is a lowercase string, False otherwise.

        Cost: shards up to the one that decides, once, a few MB a core.
        """
        return self._holds("islower")

    def isnumeric(self) -> bool:
        """Return True if the string is a numeric string, False otherwise.

        Cost: shards up to the one that decides, once, a few MB a core.
        """
        return self._holds("isnumeric")

    def isprintable(self) -> bool:
        """Return True if all characters in the string are printable, False otherwise.

        Cost: shards up to the one that decides, once, a few MB a core.
        """
        return self._holds("isprintable")

    def isspace(self) -> bool:
        """Return True if the string is a whitespace string, False otherwise.

        Cost: shards up to the one that decides, once, a few MB a core.
        """
        return self._holds("isspace")

    def istitle(self) -> bool:
        """Return True if the string is a title-cased string, False otherwise.

        Cost: shards up to the one that decides, once, a few MB a core.
        """
        return self._holds("istitle")

    def isupper(self) -> bool:
        """Return True if the string is an uppercase string, False otherwise.

        Cost: shards up to the one that decides, once, a few MB a core.
        """
        return self._holds("isupper")
