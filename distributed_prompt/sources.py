"""Input files as consecutive shards of UTF-8: reading, decoding, and the proof that the bytes come back."""

import codecs
import hashlib
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from distributed_prompt.backends.file_backend import is_shard_folder
from distributed_prompt.errors import (
    AddressError,
    ArgumentError,
    DPromptError,
    PackNotFoundError,
    PackReadError,
    UndecodableError,
)
from distributed_prompt.text.pieces import decode, encode

STANDARD_INPUT = "-"
ERROR_MODES = ("strict", "surrogateescape", "surrogatepass", "replace", "ignore")
NEWLINE_MODES = ("keep", "universal")
_READ_BYTES = 2**18


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


class Shard(NamedTuple):
    """The next shard's text: how many characters, and their UTF-8."""

    characters: int
    data: bytes


class Source(Protocol):
    """Bytes to be packed.

    Attributes:
        name: how the document is called.
        size_bytes: bytes in all; None where that is not known beforehand.
    """

    name: str
    size_bytes: int | None

    def blocks(self) -> Iterator[bytes]:
        """The bytes in order, some at a time."""

    def locate(self, offset: int) -> str:
        """Where byte ``offset`` of all is, for a person."""

    def reads(self, path: Path) -> bool:
        """Whether ``path`` is one of the files that the bytes come from."""


class FileSource:
    """Files whose bytes follow each other as one text: usually one."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Find the input.

        Args:
            path: a file, ``-`` for standard input, or a folder of ``NNNN.txt`` shards with ``meta.json``.

        Raises:
            PackNotFoundError: nothing is there.
            AddressError: a folder of another kind.
            PackReadError: a shard of the folder is missing.
        """
        self._shown = os.fspath(path)
        self._starts: list[tuple[int, str]] = []
        self.name = "stdin"
        self.size_bytes: int | None = None
        if self._shown == STANDARD_INPUT:
            self._files: list[Path] = []
            return
        try:
            self._look(Path(os.path.abspath(self._shown)))  # noqa: PTH100  # also names '.'
        except OSError as error:
            if isinstance(error, DPromptError):
                raise
            message = f"{self._shown}: {error.strerror}"
            raise PackReadError(message) from error

    def _look(self, place: Path) -> None:
        try:
            place.stat()
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:
            message = f"{self._shown}: no such file"
            raise PackNotFoundError(message) from error
        self.name = place.name
        self._files = shard_files(place, self._shown) if place.is_dir() else [place]
        if all(file.is_file() for file in self._files):
            self.size_bytes = sum(file.stat().st_size for file in self._files)

    def reads(self, path: Path) -> bool:
        """See the contract."""
        try:
            return any(file.samefile(path) for file in self._files)
        except OSError:
            return False

    def blocks(self) -> Iterator[bytes]:
        """See the contract.

        Raises:
            PackReadError: the system could not read.
        """
        if self._shown == STANDARD_INPUT:
            yield from self._standard_input()
            return
        total = 0
        for file in self._files:
            shown = self._shown if len(self._files) == 1 else str(file)
            self._starts.append((total, shown))
            try:
                with file.open("rb", buffering=0) as opened:
                    while block := opened.read(_READ_BYTES):
                        total += len(block)
                        yield block
            except OSError as error:
                message = f"{shown}: {error.strerror}"
                raise PackReadError(message) from error

    def _standard_input(self) -> Iterator[bytes]:
        self._starts = [(0, "standard input")]
        try:
            yield from iter(partial(sys.stdin.buffer.read, _READ_BYTES), b"")
        except (AttributeError, OSError) as error:
            message = f"standard input: cannot be read ({getattr(error, 'strerror', None) or 'it is closed'})"
            raise PackReadError(message) from error

    def locate(self, offset: int) -> str:
        """See the contract."""
        start, shown = [entry for entry in self._starts if entry[0] <= offset][-1]
        return f"{shown}: byte {offset - start}"


class TextSource:
    """A string that is in memory already, as UTF-8 with lone surrogates as three bytes each."""

    def __init__(self, text: str) -> None:
        """Take the text."""
        self.name = "string"
        self.size_bytes: int | None = None
        self._text = text

    def blocks(self) -> Iterator[bytes]:
        """See the contract."""
        return (encode(self._text[at : at + _READ_BYTES]) for at in range(0, len(self._text), _READ_BYTES))

    def locate(self, offset: int) -> str:
        """See the contract."""
        return f"string: byte {offset}"

    def reads(self, path: Path) -> bool:  # noqa: ARG002  # the contract's
        """Never: it is in memory."""
        return False


def shard_files(folder: Path, shown: str) -> list[Path]:
    """The text files of a folder as the first version of this project wrote it, in order.

    Raises:
        AddressError: the folder is no such folder.
        PackReadError: it lacks one of its shards.
    """
    if not is_shard_folder(folder):
        message = f"{shown}: is a folder; name a text file, or a folder of NNNN.txt shards with meta.json"
        raise AddressError(message)
    try:
        count = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["num_shards"]
        if type(count) is not int or count < 1:
            raise ValueError(count)  # noqa: TRY301  # one place says what is wrong with the file
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        message = f"{shown}: meta.json: cannot be read as the index of a shard folder ({error!r})"
        raise PackReadError(message) from error
    files = [folder / f"{shard:04d}.txt" for shard in range(count)]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        message = f"{shown}: {missing[0]} is missing; meta.json lists {count} shards"
        raise PackReadError(message)
    return files


class SourceReader:
    """Reads a source once: cuts it into shards, sums its bytes, and proves whether they come back."""

    def __init__(self, source: Source, decoding: Decoding, shard_size: int) -> None:
        """Take what to read and how; nothing is read yet."""
        self._source = source
        self._decoding = decoding
        self._shard_size = shard_size
        self._sha256 = hashlib.sha256()
        self._proof = None if decoding.is_exact else _Proof(decoding)
        self.source_bytes = 0

    def shards(self) -> Iterator[Shard]:
        """The text as shards, in order; all but the last have the full number of characters.

        Raises:
            UndecodableError: the bytes are no text in this encoding; names file and byte offset.
            PackReadError: the system could not read.
        """
        for shard in self._cut():
            if self._proof:
                self._proof.add(shard)
            yield shard

    def _cut(self) -> Iterator[Shard]:
        cutter = _Cutter(self._shard_size)
        decoder = _Decoder(self._decoding)
        for block in self._source.blocks():
            self._sha256.update(block)
            self.source_bytes += len(block)
            yield from cutter.add(self._decode(decoder, block, final=False))
        yield from cutter.add(self._decode(decoder, b"", final=True))
        yield from cutter.finish()

    def _decode(self, decoder: "_Decoder", block: bytes, *, final: bool) -> str | bytes:
        try:
            return decoder.decode(block, final=final)
        except UnicodeDecodeError as error:
            at = self.source_bytes - len(error.object) + error.start
            what = f"0x{error.object[error.start]:02x} is not {self._decoding.encoding} ({error.reason})"
            advice = "dprompt pack takes another --encoding, and keeps such bytes with --errors surrogateescape"
            message = f"{self._source.locate(at)}: {what}; {advice}"
            raise UndecodableError(message) from error
        except UnicodeError as error:
            # What codecs say of a text as a whole, such as one without its byte order mark.
            message = f"{self._source.locate(0)}: {error}; name the exact --encoding"
            raise UndecodableError(message) from error

    @property
    def sha256(self) -> str:
        """Hexadecimal, of all bytes read."""
        return self._sha256.hexdigest()

    @property
    def exact(self) -> bool:
        """Whether encoding the text gives the very bytes again. To be asked when all was read."""
        return self._proof is None or not self.source_bytes or self._proof.sha256() == self.sha256


class _Decoder:
    """Blocks of bytes to text. What is ASCII in UTF-8 stays bytes: it is what will be stored."""

    def __init__(self, decoding: Decoding) -> None:
        self._decoder = codecs.getincrementaldecoder(decoding.encoding)(decoding.errors)
        self._newlines = io.IncrementalNewlineDecoder(None, translate=True)
        self._translates = decoding.newlines == "universal"
        self._passes_ascii = decoding.codec == "utf-8" and not self._translates
        self._between_characters = True

    def decode(self, block: bytes, *, final: bool) -> str | bytes:
        if self._passes_ascii and self._between_characters and block.isascii():
            return block
        text = self._decoder.decode(block, final)
        self._between_characters = not self._decoder.getstate()[0]
        return self._newlines.decode(text, final) if self._translates else text


class _Proof:
    """Encodes the text again, as unpacking will, and sums the bytes."""

    def __init__(self, decoding: Decoding) -> None:
        self._encoder = decoding.encoder()
        self._sha256 = hashlib.sha256()
        self._possible = True

    def add(self, shard: Shard) -> None:
        """Encode a shard; some codecs depend on where a text is cut, so it must be cut as unpacking will."""
        if self._possible:
            try:
                self._sha256.update(self._encoder.encode(decode(shard.data)))
            except UnicodeError:
                self._possible = False

    def sha256(self) -> str:
        self._sha256.update(self._encoder.encode("", final=True))
        return self._sha256.hexdigest() if self._possible else ""


class _Cutter:
    """Text of any lengths to shards of one."""

    def __init__(self, shard_size: int) -> None:
        self._shard_size = self._room = shard_size
        self._parts: list[bytes] = []

    def add(self, text: str | bytes) -> Iterator[Shard]:
        at = 0
        while at < len(text):
            part = text[at : at + self._room]
            at += len(part)
            self._room -= len(part)
            self._parts.append(part if isinstance(part, bytes) else encode(part))
            if not self._room:
                yield from self.finish()

    def finish(self) -> Iterator[Shard]:
        if self._parts:
            yield Shard(self._shard_size - self._room, b"".join(self._parts))
        self._room, self._parts = self._shard_size, []
