"""Sources, one after the other, as one text: cut into shards, with a document for each source."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from distributed_prompt.decoding import Decoder, Decoding, Proof
from distributed_prompt.errors import PackReadError, UndecodableError
from distributed_prompt.inputs import LeftOut
from distributed_prompt.sources import Source
from distributed_prompt.store.documents import Document
from distributed_prompt.text.pieces import Piece, encode

_HELD_BYTES = 2**22
_NAME = "{name}"


class Shard(NamedTuple):
    """The next shard's text: how many characters, and their UTF-8."""

    characters: int
    data: bytes


class Joiner:
    """Reads sources, cuts them into shards, sums their bytes, and proves whether they come back.

    Attributes:
        source_bytes: bytes of the documents so far.
        documents: how many of them there are.
        exact: whether the bytes of all of them come back.
        left_out: what was no text.
    """

    def __init__(
        self,
        decoding: Decoding,
        shard_size: int,
        taken: Callable[[Document], None],
        *,
        header: str | None = None,
        keep_undecodable: bool = False,
        goes_on: bool = False,
    ) -> None:
        """Take how to read; nothing is read yet.

        Args:
            decoding: how bytes become text.
            shard_size: characters a shard.
            taken: is given each document when its last character was read, before a shard that has any behind it.
            header: text before each document, on lines of its own; ``{name}`` stands for its name.
            keep_undecodable: keep bytes that are no text as lone surrogates.
            goes_on: whether the text goes on in another pack, with a header if there are any.
        """
        self._decoding = decoding
        self._taken = taken
        self._header = header
        self._goes_on = goes_on
        self._ways = [decoding]
        if keep_undecodable and decoding.errors == "strict":
            self._ways.append(replace(decoding, errors="surrogateescape"))
        self._cutter = _Sharder(shard_size)
        self._reading_now: _Reading | None = None
        self.source_bytes = self.documents = 0
        self.exact = True
        self.left_out: list[LeftOut] = []

    @property
    def read_bytes(self) -> int:
        """Bytes read so far, those of the document in hand included."""
        return self.source_bytes + (self._reading_now.source_bytes if self._reading_now else 0)

    def begin(self, piece: Piece, *, ends_line: bool) -> None:
        """Go on behind a text that ends with this piece, less than a shard, which may be empty."""
        self._cutter.begin(piece, ends_line=ends_line)

    def shards(self, sources: Iterable[Source]) -> Iterator[Shard]:
        """The text as shards, in order; all but the last have the full number of characters.

        Raises:
            UndecodableError: the bytes of a source that was named are no text; names file and byte offset.
            PackReadError: the system could not read.
        """
        for source in sources:
            reading = self._reading(source)
            if reading:
                if self._header is not None:
                    yield from self._add(self._header_of(source.name), None)
                yield from self._document(reading)
        if self._goes_on and self._header is not None and not self._cutter.ends_line:
            yield from self._add("\n", None)
        yield from self._cutter.finish()

    def _reading(self, source: Source) -> "_Reading | None":
        """How to read a source; None if it is left out. One that may be left out is decoded before it is taken."""
        ways = self._ways
        if source.size_bytes is None:
            # It can be read but once; and what is text at all is the same text in the last way.
            return _Reading(source, ways[-1])
        if len(ways) == 1 and not source.optional:
            return _Reading(source, ways[0])
        failure = ""
        for way in ways:
            reading = _Reading(source, way)
            try:
                return reading.checked()
            except UndecodableError:
                failure = failure or reading.failure
                if way is ways[-1] and not source.optional:
                    raise
        self.left_out.append(LeftOut(source.name, f"not {self._decoding.encoding}", failure))
        return None

    def _header_of(self, name: str) -> str:
        shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
        before = "" if self._cutter.ends_line else "\n"
        return before + (self._header or "").replace(_NAME, shown) + "\n"

    def _document(self, reading: "_Reading") -> Iterator[Shard]:
        proof = None if reading.decoding.is_exact else Proof(reading.decoding)
        start = self._cutter.length
        self._reading_now = reading
        for text in reading.texts():
            yield from self._add(text, proof)
        sha256 = reading.sha256
        exact = proof is None or not reading.source_bytes or proof.sha256() == sha256
        self._reading_now = None
        self.source_bytes += reading.source_bytes
        self.documents += 1
        self.exact = self.exact and exact
        decoding = reading.decoding
        self._taken(
            Document(
                name=reading.name,
                start=start,
                stop=self._cutter.length,
                encoding=decoding.encoding,
                errors=decoding.errors,
                newlines=decoding.newlines,
                source_bytes=reading.source_bytes,
                sha256=sha256,
                exact=exact,
            )
        )

    def _add(self, text: str | bytes, proof: Proof | None) -> Iterator[Shard]:
        for part, shard in self._cutter.cut(text):
            if proof:
                proof.add(part)
            if shard:
                if proof:
                    proof.end_shard()
                yield shard


class _Reading:
    """One reading of one source: its text, and the sum of its bytes.

    Attributes:
        name: the source's.
        decoding: how it is read.
        source_bytes: bytes read so far.
        failure: where and why its bytes are no text.
    """

    def __init__(self, source: Source, decoding: Decoding) -> None:
        self.name = source.name
        self.decoding = decoding
        self._source = source
        self._checked: list[str | bytes] | None = None
        self._expected: str | None = None
        self.failure = ""
        self._begin()

    def _begin(self) -> None:
        self._sha256 = hashlib.sha256()
        self.source_bytes = 0

    @property
    def sha256(self) -> str:
        """Hexadecimal, of all bytes read."""
        return self._sha256.hexdigest()

    def checked(self) -> "_Reading":
        """The same, once all of it was decoded: a small source is not read again.

        Raises:
            UndecodableError: it is no text.
        """
        held: list[str | bytes] | None = []
        for text in self._decoded():
            if self.source_bytes > _HELD_BYTES:
                held = None
            elif held is not None:
                held.append(text)
        if held is None:
            self._expected = self.sha256
            self._begin()
        self._checked = held
        return self

    def texts(self) -> Iterator[str | bytes]:
        """The text in order, as strings or in UTF-8.

        Raises:
            UndecodableError: the bytes are no text in this encoding; names file and byte offset.
            PackReadError: the system could not read, or the bytes are not those that were checked.
        """
        if self._checked is not None:
            yield from self._checked
            return
        yield from self._decoded()
        if self._expected not in {None, self.sha256}:
            message = f"{self._source.locate(0)}: the file has changed while it was read"
            raise PackReadError(message)

    def _decoded(self) -> Iterator[str | bytes]:
        decoder = Decoder(self.decoding)
        for data in self._source.portions():
            self._sha256.update(data)
            self.source_bytes += len(data)
            yield self._decode(decoder, data, final=False)
        yield self._decode(decoder, b"", final=True)

    def _decode(self, decoder: Decoder, data: bytes, *, final: bool) -> str | bytes:
        try:
            return decoder.decode(data, final=final)
        except UnicodeDecodeError as error:
            at = self.source_bytes - len(error.object) + error.start
            what = f"0x{error.object[error.start]:02x} is not {self.decoding.encoding} ({error.reason})"
            self.failure = f"byte {at}: {what}"
            advice = "dprompt pack takes another --encoding, and keeps such bytes with --errors surrogateescape"
            message = f"{self._source.locate(at)}: {what}; {advice}"
            raise UndecodableError(message) from error
        except UnicodeError as error:
            # What codecs say of a text as a whole, such as one without its byte order mark.
            self.failure = str(error)
            message = f"{self._source.locate(0)}: {error}; name the exact --encoding"
            raise UndecodableError(message) from error


class _Sharder:
    """Text of any lengths to shards of one.

    Attributes:
        length: offset of the next character.
        ends_line: whether a line begins there.
    """

    def __init__(self, shard_size: int) -> None:
        self._shard_size = self._room = shard_size
        self._parts: list[bytes] = []
        self.length = 0
        self.ends_line = True

    def begin(self, piece: Piece, *, ends_line: bool) -> None:
        self._room -= piece.characters
        self._parts = [piece.data] if piece.characters else []
        self.length = piece.start + piece.characters
        self.ends_line = ends_line

    def cut(self, text: str | bytes) -> Iterator[tuple[str | bytes, Shard | None]]:
        """The text in parts that end where shards do; with the part that fills a shard comes the shard."""
        at = 0
        while at < len(text):
            part = text[at : at + self._room]
            at += len(part)
            self._room -= len(part)
            self.length += len(part)
            self._parts.append(part if isinstance(part, bytes) else encode(part))
            self.ends_line = self._parts[-1].endswith(b"\n")
            yield part, None if self._room else next(self.finish())

    def finish(self) -> Iterator[Shard]:
        """What has not filled a shard, if there is any."""
        if self._parts:
            shard = Shard(self._shard_size - self._room, b"".join(self._parts))
            self._room, self._parts = self._shard_size, []
            yield shard
