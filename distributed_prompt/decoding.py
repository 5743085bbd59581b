"""Bytes to text, and the proof that they come back."""

import codecs
import hashlib
import io
from dataclasses import dataclass

from distributed_prompt.errors import ArgumentError
from distributed_prompt.text.pieces import decode

ERROR_MODES = ("strict", "surrogateescape", "surrogatepass", "replace", "ignore")
NEWLINE_MODES = ("keep", "universal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    r"""How bytes become text.

    Attributes:
        encoding: a codec of Python's; ``utf-8`` keeps a byte order mark as the character it is.
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
            "".encode(self.encoding)
            codecs.getincrementaldecoder(self.encoding)
        except (LookupError, ValueError) as error:
            message = f"encoding {self.encoding!r}: Python has no such text encoding"
            raise ArgumentError(message) from error
        for name, value, allowed in (
            ("errors", self.errors, ERROR_MODES),
            ("newlines", self.newlines, NEWLINE_MODES),
        ):
            if value not in allowed:
                message = f"{name} {value!r}: must be one of {', '.join(allowed)}"
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


class Decoder:
    """Blocks of bytes to text. What is ASCII in UTF-8 stays bytes: it is what will be stored."""

    def __init__(self, decoding: Decoding) -> None:
        """Begin before the first byte."""
        self._decoder = codecs.getincrementaldecoder(decoding.encoding)(decoding.errors)
        self._newlines = io.IncrementalNewlineDecoder(None, translate=True)
        self._translates = decoding.newlines == "universal"
        self._passes_ascii = decoding.codec == "utf-8" and not self._translates
        self._between_characters = True

    def decode(self, block: bytes, *, final: bool) -> str | bytes:
        """The text of the next block; of what is left over after the last.

        Raises:
            UnicodeError: it is none.
        """
        if self._passes_ascii and self._between_characters and block.isascii():
            return block
        text = self._decoder.decode(block, final)
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
