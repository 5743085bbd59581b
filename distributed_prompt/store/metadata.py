r"""The metadata table: what a pack says about itself, and all that opening one reads.

Format 1. The table holds text by name; numbers are decimal. Names a reader does not know are
covered by the checksum and otherwise ignored; whatever must not be ignored is a *feature*.

================ ============================================================================
format_version   ``1``
features         words in ascending order; a reader refuses a pack with one it does not know
length           characters
shard_size       characters a shard, 1 to 2**24
shards           number of shards, ``ceil(length / shard_size)``
utf8_bytes       bytes of the text as UTF-8
newlines         number of U+000A
lines            number of lines: newlines, and one more if text follows the last of them
width            bytes a character takes in the widest shard: 0 ASCII, 1 to U+00FF, 2 to U+FFFF, 4
codec            ``zstd``
level            compression level
documents        number of documents
documents_digest hexadecimal SHA-256 of the rows of the documents table in order
header           only where documents have one: the text before each, as JSON; ``{name}`` stands for its name
root_digest      hexadecimal, see :mod:`distributed_prompt.store.directory`
checksum         hexadecimal SHA-256 of all other rows, names ascending, each the lengths in bytes of name and
                 value as ``<QQ`` and then both as UTF-8
================ ============================================================================

In SQLite the table is ``metadata(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID``.
"""

import hashlib
import json
import re
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields

from distributed_prompt.errors import CorruptPackError, UnsupportedPackError
from distributed_prompt.geometry import MAX_CHARACTER_BYTES, MAX_SHARD_SIZE, shard_count
from distributed_prompt.store.codec import LEVELS
from distributed_prompt.text.pieces import encode

FORMAT_VERSION = 1
DOCUMENTS_FEATURE = "documents"
INDEX_FEATURE = "document-index"
NGRAMS_FEATURE = "ngrams"
KNOWN_FEATURES = frozenset({DOCUMENTS_FEATURE, INDEX_FEATURE, NGRAMS_FEATURE})
WIDTHS = (0, 1, 2, 4)
# A header may be long. Newer versions may have more rows than this one.
MOST_ROWS = 64
MOST_BYTES = 2**26
_CODEC = "zstd"
_DIGESTS = ("documents_digest", "root_digest")
_LENGTHS = struct.Struct("<QQ")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_WORDS = re.compile(r"([a-z0-9-]+( [a-z0-9-]+)*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The metadata table as values; the module's docstring explains each."""

    features: tuple[str, ...]
    length: int
    shard_size: int
    shards: int
    utf8_bytes: int
    newlines: int
    lines: int
    width: int
    level: int
    documents: int
    documents_digest: str
    root_digest: str
    header: str | None = None


_NUMBERS = tuple(field.name for field in fields(Metadata) if field.type is int)


def create_metadata(metadata: Metadata) -> dict[str, str]:
    """The rows of the metadata table."""
    rows = {name: str(getattr(metadata, name)) for name in _NUMBERS} | {
        "format_version": str(FORMAT_VERSION),
        "features": " ".join(sorted(metadata.features)),
        "codec": _CODEC,
        "documents_digest": metadata.documents_digest,
        "root_digest": metadata.root_digest,
    }
    if metadata.header is not None:
        rows["header"] = json.dumps(metadata.header)
    return rows | {"checksum": _checksum(rows)}


def parse_metadata(rows: Mapping[str, str], name: str) -> Metadata:
    """The rows of a metadata table as values.

    Args:
        rows: the table.
        name: what errors call the pack.

    Raises:
        UnsupportedPackError: a newer format or an unknown feature or codec.
        CorruptPackError: anything else is not as written.
    """
    version = rows.get("format_version", "")
    if _NUMBER.fullmatch(version) and int(version) > FORMAT_VERSION:
        raise newer_format(name, int(version))
    if version != str(FORMAT_VERSION):
        message = f"{name}: metadata: format_version {version[:80]!r} cannot be"
        raise CorruptPackError(message)
    expected = _checksum(rows)
    if rows.get("checksum") != expected:
        message = f"{name}: metadata: checksum {rows.get('checksum')}, expected {expected}"
        raise CorruptPackError(message)
    features = parse_features(rows, name)
    if rows.get("codec") != _CODEC:
        raise _unknown(name, "codec", rows.get("codec"))
    patterns = dict.fromkeys(_NUMBERS, _NUMBER) | dict.fromkeys(_DIGESTS, _DIGEST)
    patterns["features"] = _WORDS
    for field, pattern in patterns.items():
        if not pattern.fullmatch(rows.get(field, "(missing)")):
            message = f"{name}: metadata: {field} {rows.get(field, '(missing)')[:80]} cannot be"
            raise CorruptPackError(message)
    numbers = {field: int(rows[field]) for field in _NUMBERS}
    metadata = Metadata(
        features=features,
        documents_digest=rows["documents_digest"],
        root_digest=rows["root_digest"],
        header=_parse_header(rows.get("header"), name),
        **numbers,
    )
    _check(metadata, name)
    return metadata


def parse_features(rows: Mapping[str, str], name: str) -> tuple[str, ...]:
    """The features of a metadata table.

    Raises:
        UnsupportedPackError: one is unknown.
    """
    features = tuple(str(rows.get("features", "")).split())
    unknown = sorted(set(features) - KNOWN_FEATURES)
    if unknown:
        raise _unknown(name, "feature", unknown[0])
    return features


def _parse_header(value: str | None, name: str) -> str | None:
    try:
        header = None if value is None else json.loads(value)
    except (ValueError, RecursionError):
        header = 0
    if isinstance(header, str | None):
        return header
    message = f"{name}: metadata: header {str(value)[:80]} cannot be"
    raise CorruptPackError(message)


def _unknown(name: str, what: str, value: str | None) -> UnsupportedPackError:
    message = f"{name}: this pack uses {what} {value!r}, which this version does not know; a newer dprompt reads it"
    return UnsupportedPackError(message)


def newer_format(name: str, version: int) -> UnsupportedPackError:
    """The error for a pack of a later format than this one."""
    return UnsupportedPackError(
        f"{name}: format {version}, this version reads up to {FORMAT_VERSION}; a newer dprompt reads it",
    )


def _check(metadata: Metadata, name: str) -> None:
    wrong = [field for field in _NUMBERS if getattr(metadata, field) > sys.maxsize]
    if not 1 <= metadata.shard_size <= MAX_SHARD_SIZE:
        wrong.append("shard_size")
    elif metadata.shards != shard_count(metadata.length, metadata.shard_size):
        wrong.append("shards")
    if metadata.level not in LEVELS:
        wrong.append("level")
    if metadata.width not in WIDTHS:
        wrong.append("width")
    if wrong := wrong or _wrong_counts(metadata):
        message = f"{name}: metadata: {wrong[0]} {getattr(metadata, wrong[0])} cannot be"
        raise CorruptPackError(message)


def _wrong_counts(metadata: Metadata) -> list[str]:
    """Which counts no text of this length can have: work and memory go by them before any text is read."""
    length, newlines = metadata.length, metadata.newlines
    # A last line without a newline has another character.
    most_lines = newlines + (newlines < length)
    are_right = {
        "utf8_bytes": length <= metadata.utf8_bytes <= MAX_CHARACTER_BYTES * length,
        "newlines": newlines <= length,
        "lines": max(newlines, length > 0) <= metadata.lines <= most_lines,
    }
    return [name for name, is_right in are_right.items() if not is_right]


def _checksum(rows: Mapping[str, str]) -> str:
    state = hashlib.sha256()
    for name in sorted(rows):
        if name != "checksum":
            key, value = encode(name), encode(rows[name])
            state.update(_LENGTHS.pack(len(key), len(value)) + key + value)
    return state.hexdigest()
