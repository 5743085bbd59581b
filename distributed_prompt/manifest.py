"""What a collection is made of: its packs in order, each with what must be known of it before it is opened.

Version 1 is a file of JSON, an object with ``format`` (``dprompt-manifest``), ``version``, ``packs`` (a list of objects
with the fields of :class:`PackEntry`; those that are ``null`` may be missing) and ``checksum``: the hexadecimal SHA-256
of the packs as JSON in ASCII, keys sorted, without spaces. A reader refuses a newer version and ignores other names.
"""

import hashlib
import json
import posixpath
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any
from urllib.parse import unquote

from distributed_prompt.caching import cached
from distributed_prompt.errors import CorruptPackError, NotAPackError, UnsupportedPackError
from distributed_prompt.geometry import MAX_CHARACTER_BYTES, MAX_SHARD_SIZE

S3_SCHEME = "s3://"
MANIFEST_NAME = "manifest.json"
MANIFEST_ENDING = ".json"
EDGE = 64
"""Characters that an entry has of both ends of its text."""
_FORMAT = "dprompt-manifest"
_VERSION = 1
_WIDTHS = (0, 1, 2, 4)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class PackEntry:
    """One pack of a collection.

    Attributes:
        address: where it is; relative to the manifest's folder unless it is absolute.
        length: characters.
        shard_size: characters a shard.
        utf8_bytes: bytes of the text as UTF-8.
        newlines: number of newlines.
        width: bytes that a character takes in the widest shard: 0 for ASCII, 1, 2 or 4.
        documents: number of documents.
        pack_bytes: size of the pack.
        root_digest: names text, cut and compression.
        documents_digest: names the documents.
        head: the first 64 characters, if they are known.
        tail: the last 64 characters, likewise.
        first_document: the name of the first one, if the names are known to ascend.
        last_document: the name of the last one, likewise.
    """

    address: str
    length: int
    shard_size: int
    utf8_bytes: int
    newlines: int
    width: int
    documents: int
    pack_bytes: int
    root_digest: str
    documents_digest: str
    head: str | None = None
    tail: str | None = None
    first_document: str | None = None
    last_document: str | None = None

    @property
    def digests(self) -> tuple[str, str]:
        """What tells the pack from others at its address."""
        return self.root_digest, self.documents_digest

    def may_have(self, name: str) -> bool:
        """Whether a document of this name may be in it."""
        if self.first_document is None or self.last_document is None:
            return self.documents > 0
        return self.first_document <= name <= self.last_document


@dataclass(frozen=True)
class Manifest:
    """The packs of a collection in the order of their texts."""

    packs: tuple[PackEntry, ...]

    @cached
    def digest(self) -> str:
        """Hexadecimal; names texts and documents, wherever the packs are."""
        state = hashlib.sha256()
        for entry in self.packs:
            state.update("".join(entry.digests).encode())
        return state.hexdigest()

    def write(self) -> bytes:
        """The file: a line a pack."""
        packs = [_as_json(entry) for entry in self.packs]
        lines = ",\n".join(json.dumps(pack, sort_keys=True) for pack in packs)
        head = f'"format": "{_FORMAT}", "version": {_VERSION}, "checksum": "{_checksum(packs)}"'
        return f'{{{head}, "packs": [\n{lines}\n]}}\n'.encode("ascii")


def parse_manifest(data: bytes, name: str) -> Manifest:
    """The inverse of :meth:`Manifest.write`.

    Args:
        data: the file.
        name: what errors call it.

    Raises:
        NotAPackError: it is something else.
        UnsupportedPackError: a newer version.
        CorruptPackError: it is damaged.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        message = f"{name}: neither a pack nor a manifest of packs"
        raise NotAPackError(message)
    version = found.get("version")
    if type(version) is int and version > _VERSION:
        message = f"{name}: manifest of version {version}, this one reads up to {_VERSION}; a newer dprompt reads it"
        raise UnsupportedPackError(message)
    packs = found.get("packs")
    if type(version) is not int or version != _VERSION or not isinstance(packs, list):
        message = f"{name}: manifest: version or packs cannot be"
        raise CorruptPackError(message)
    if found.get("checksum") != _checksum(packs):
        message = f"{name}: manifest: its checksum is {_checksum(packs)}, not the one it states"
        raise CorruptPackError(message)
    entries = tuple(_parse_entry(pack, f"{name}: manifest: pack {number}") for number, pack in enumerate(packs))
    if sum(entry.length for entry in entries) > sys.maxsize:
        message = f"{name}: manifest: its packs together are longer than a text can be"
        raise CorruptPackError(message)
    return Manifest(entries)


def without_query(address: str) -> str:
    """An address as it may be shown: the query of a URL may be a signature. In an object's key it is as any other."""
    return address if address.startswith(S3_SCHEME) else address.partition("?")[0]


def placed(address: str, manifest: str, *, is_far: bool) -> str:
    """Where a pack is, by what a manifest calls it.

    Args:
        address: as the manifest has it.
        manifest: the address of the manifest.
        is_far: whether the manifest is on a server; it may then name only what lies beside or below it.

    Raises:
        CorruptPackError: it names something else.
    """
    if is_far:
        # The query may be a signature, and may have slashes.
        manifest = without_query(manifest)
    folder = manifest.rpartition("/")[0]
    if not is_far:
        return address if "://" in address else posixpath.join(folder, address)
    is_above = address.startswith("/") or ".." in unquote(address).split("/")
    if is_above or "://" in address or re.search(r"[?#\\]", address):
        message = f"{manifest}: names the pack {address[:200]!r}, which is not below its own folder"
        raise CorruptPackError(message)
    return f"{folder}/{address}"


def _as_json(entry: PackEntry) -> dict[str, Any]:
    return {name: value for name, value in asdict(entry).items() if value is not None}


def _checksum(packs: list[Any]) -> str:
    return hashlib.sha256(json.dumps(packs, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


_FIELDS = tuple(field.name for field in fields(PackEntry))
_DIGESTS = ("root_digest", "documents_digest")
_TEXTS = ("head", "tail", "first_document", "last_document")
_NUMBERS = ("length", "shard_size", "utf8_bytes", "newlines", "width", "documents", "pack_bytes")


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST


_CHECKS: tuple[tuple[str, Callable[[Any], bool]], ...] = (
    ("address", lambda value: isinstance(value, str) and value != ""),
    *((field, _is_number) for field in _NUMBERS),
    *((field, lambda value: isinstance(value, str) and _DIGEST.fullmatch(value) is not None) for field in _DIGESTS),
    *((field, lambda value: isinstance(value, str | None)) for field in _TEXTS),
)


def _parse_entry(pack: Any, name: str) -> PackEntry:
    values: dict[str, Any] = {field: pack.get(field) for field in _FIELDS} if isinstance(pack, dict) else {}
    wrong = next((field for field, is_right in _CHECKS if not is_right(values.get(field))), "")
    if not wrong:
        entry = PackEntry(**values)
        wrong = _misfit(entry)
        if not wrong:
            return entry
    message = f"{name}: {wrong} {str(values.get(wrong))[:80]} cannot be"
    raise CorruptPackError(message)


def _misfit(entry: PackEntry) -> str:
    """The field that cannot be as the others are; empty if there is none."""
    edge = min(EDGE, entry.length)
    if not 1 <= entry.shard_size <= MAX_SHARD_SIZE:
        return "shard_size"
    if entry.width not in _WIDTHS:
        return "width"
    if not entry.length <= entry.utf8_bytes <= MAX_CHARACTER_BYTES * entry.length:
        return "utf8_bytes"
    if entry.newlines > entry.length:
        return "newlines"
    if entry.head is not None and len(entry.head) != edge:
        return "head"
    return "tail" if entry.tail is not None and len(entry.tail) != edge else ""
