"""The bytes that documents came from, made again from a prompt's text."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from distributed_prompt.decoding import Decoding
from distributed_prompt.errors import ArgumentError, CorruptPackError
from distributed_prompt.store.documents import Document
from distributed_prompt.text.pieces import Piece, decode, encode


class Original:
    """The bytes that one exact document came from, made again from its text, and their digest."""

    def __init__(self, document: Document) -> None:
        """Begin before the first character.

        Raises:
            CorruptPackError: the document's encoding is none; the message lacks the pack, callers add it.
        """
        try:
            decoding = Decoding(encoding=document.encoding, errors=document.errors)
        except ArgumentError as error:
            message = f"document {document.name}: {error}"
            raise CorruptPackError(message) from error
        self._document = document
        self._stored_as_is = decoding.codec == "utf-8" and decoding.errors in {"strict", "surrogatepass"}
        self._encoder = decoding.encoder()
        self._sha256 = hashlib.sha256()
        self._bytes = 0

    def encode(self, data: bytes) -> bytes:
        """The original bytes of the next piece of UTF-8.

        Raises:
            CorruptPackError: the text is none in the document's encoding.
        """
        if not data:
            # Some encoders write a byte order mark even then.
            return b""
        try:
            return self._summed(data if self._stored_as_is else self._encoder.encode(decode(data)))
        except UnicodeError as error:
            message = f"document {self._document.name}: {error}"
            raise CorruptPackError(message) from error

    def finish(self) -> bytes:
        """The bytes that come after the last character."""
        return self._summed(self._encoder.encode("", final=True) if self._document.source_bytes else b"")

    def problems(self) -> Iterator[str]:
        """What is wrong with all bytes together, once finished."""
        for name, found, expected in (
            ("SHA-256", self._sha256.hexdigest(), self._document.sha256),
            ("source_bytes", self._bytes, self._document.source_bytes),
        ):
            if found != expected:
                yield f"document {self._document.name}: {name} {found}, expected {expected}"

    def _summed(self, data: bytes) -> bytes:
        self._sha256.update(data)
        self._bytes += len(data)
        return data


class DocumentPart(NamedTuple):
    """What lies of one document in one piece of the text.

    Attributes:
        document: whose it is.
        data: UTF-8; empty in an empty document.
        ends: whether this is its last part. Every document has one.
    """

    document: Document
    data: bytes
    ends: bool


class DocumentSplitter:
    """Cuts a prompt's text, as it comes in pieces, where its documents begin and end."""

    def __init__(self, documents: Iterable[Document]) -> None:
        """Take the documents in order."""
        self._documents = iter(documents)
        self._stop = self._length = 0
        self._document = self._next()

    def _next(self) -> Document | None:
        document = next(self._documents, None)
        if document is not None:
            if not self._stop <= document.start <= document.stop:
                message = f"document {document.name}: start {document.start}, stop {document.stop} cannot be here"
                raise CorruptPackError(message)
            self._stop = document.stop
        return document

    def split(self, piece: Piece) -> Iterator[DocumentPart]:
        """The parts of documents in the next piece; what belongs to none is passed over.

        Raises:
            CorruptPackError: documents overlap; the message lacks the pack, callers add it.
        """
        stop = self._length = piece.start + piece.characters
        text: str | bytes | None = piece.data if piece.ascii else None
        while (document := self._document) is not None and document.start < stop:
            first, last = max(document.start - piece.start, 0), min(document.stop, stop) - piece.start
            if last - first == piece.characters:
                data = piece.data
            else:
                # Decoded once for all documents in it.
                text = decode(piece.data) if text is None else text
                part = text[first:last]
                data = part if isinstance(part, bytes) else encode(part)
            ends = document.stop <= stop
            yield DocumentPart(document, data, ends)
            if not ends:
                return
            self._document = self._next()

    def finish(self) -> Iterator[DocumentPart]:
        """The empty documents at the end of the text, which was split to there.

        Raises:
            CorruptPackError: a document lies behind it; the message lacks the pack, callers add it.
        """
        while (document := self._document) is not None:
            if document.start != document.stop or document.stop > self._length:
                message = f"document {document.name}: start {document.start}, stop {document.stop} are not in the text"
                raise CorruptPackError(message)
            yield DocumentPart(document, b"", ends=True)
            self._document = self._next()
