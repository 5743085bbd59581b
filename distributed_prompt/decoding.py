"""Bytes to text, and the proof that they come back."""

import codecs
import hashlib
import io
import re
from dataclasses import dataclass

from distributed_prompt.errors import ArgumentError
from distributed_prompt.text.pieces import decode

ERROR_MODES = ("strict", "surrogateescape", "surrogatepass", "replace", "ignore")
NEWLINE_MODES = ("keep", "universal")
# Python's standard encodings, by their codecs' own names. A pack says which codec makes its documents' bytes again: it
# can name none that others have registered, nor one that takes far longer than the text is long, as punycode does.
_STANDARD = re.compile(
    r"ascii|big5(hkscs)?|cp\d+|euc_(jis_2004|jisx0213|jp|kr)|gb(18030|2312|k)|hp-roman8|hz|iso2022_(jp\w*|kr)|iso8859-\d+"
    r"|johab|koi8-[rtu]|kz1048|mac-\w+|ptcp154|shift_jis(_2004|x0213)?|tis-620|utf-(7|8(-sig)?|(16|32)(-[bl]e)?)"
)
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    r"""How bytes become text.

    Attributes:
        encoding: one of Python's standard encodings, by any name; ``utf-8`` keeps a byte order mark as the character
            it is.
        errors: ``strict``, ``surrogateescape``, ``surrogatepass``, ``replace`` or ``ignore``.
        newlines: ``keep``, or ``universal`` to turn every ``\r\n`` and ``\r`` into ``\n``.
    """

    encoding: str = "utf-8"
    errors: str = "strict"
    newlines: str = "keep"

    def __post_init__(self) -> None:
        """Refuse what is no codec or mode.

        Raises:
            ArgumentError: naming the field.
        """
        try:
            is_standard = _STANDARD.fullmatch(self.codec) is not None
        except (LookupError, ValueError) as error:
            message = f"encoding {_shown(self.encoding)}: Python has no such text encoding"
            raise ArgumentError(message) from error
        if not is_standard:
            message = f"encoding {_shown(self.encoding)}: is none of Python's standard encodings of text"
            raise ArgumentError(message)
        for name, value, allowed in (
            ("errors", self.errors, ERROR_MODES),
            ("newlines", self.newlines, NEWLINE_MODES),
        ):
            if value not in allowed:
                message = f"{name} {_shown(value)}: must be one of {', '.join(allowed)}"
                raise ArgumentError(message)

    @property
    def codec(self) -> str:
        """The codec's own name, whatever alias was given."""
        return codecs.lookup(self.encoding).name

    @property
    def is_exact(self) -> bool:
        """Whether this gives every input's bytes back, without a proof for each: UTF-8 is one to one."""
        return self.codec == "utf-8" and self.errors == "strict" and self.newlines == "keep"

    def encoder(self) -> codecs.IncrementalEncoder:
        """What turns the text into its bytes again, if anything does."""
        errors = self.errors if self.errors.startswith("surrogate") else "strict"
        return codecs.getincrementalencoder(self.encoding)(errors)


def _shown(value: str) -> str:
    """A value that may be a forger's, in few characters."""
    return repr(value) if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]!r}…"


class Decoder:
    """Bytes to text, as they come. What is ASCII in UTF-8 stays bytes: it is what will be stored."""

    def __init__(self, decoding: Decoding) -> None:
        """Begin before the first byte."""
        self._decoder = codecs.getincrementaldecoder(decoding.encoding)(decoding.errors)
        self._newlines = io.IncrementalNewlineDecoder(None, translate=True)
        self._translates = decoding.newlines == "universal"
        self._passes_ascii = decoding.codec == "utf-8" and not self._translates
        self._between_characters = True

    def decode(self, data: bytes, *, final: bool) -> str | bytes:
        """The text of the next bytes; of what is left over after the last.

        Raises:
            UnicodeError: it is none.
        """
        if self._passes_ascii and self._between_characters and data.isascii():
            return data
        text = self._decoder.decode(data, final)
        self._between_characters = not self._decoder.getstate()[0]
        return self._newlines.decode(text, final) if self._translates else text


class Proof:
    """Encodes a document's text again, as unpacking will, and sums the bytes.

    Some codecs depend on where a text is cut, so it is cut as unpacking will cut it: where shards end.
    """

    def __init__(self, decoding: Decoding) -> None:
        """Begin before the first character."""
        self._encoder = decoding.encoder()
        self._sha256 = hashlib.sha256()
        self._possible = True
        self._parts: list[str] = []

    def add(self, part: str | bytes) -> None:
        """Take the next part of the text, as a string or in UTF-8."""
        self._parts.append(part if isinstance(part, str) else decode(part))

    def end_shard(self) -> None:
        """Encode what was added since the last shard's end."""
        text = "".join(self._parts)
        self._parts.clear()
        if self._possible and text:
            try:
                self._sha256.update(self._encoder.encode(text))
            except UnicodeError:
                self._possible = False

    def sha256(self) -> str:
        """Hexadecimal, of all bytes, once all was added; empty if there are none."""
        self.end_shard()
        self._sha256.update(self._encoder.encode("", final=True))
        return self._sha256.hexdigest() if self._possible else ""
