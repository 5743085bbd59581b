"""The first hundred bytes of a pack in SQLite, looked at before SQLite sees the file, and which file it is."""

import os
import struct
from pathlib import Path
from typing import NamedTuple

from distributed_prompt.errors import (
    CorruptPackError,
    NotAPackError,
    PackChangedError,
    PackReadError,
    UnsupportedPackError,
)
from distributed_prompt.store.metadata import FORMAT_VERSION, newer_format

APPLICATION_ID = 0x64507270  # "dPrp"
PAGE_BYTES = 4096
_MAGIC = b"SQLite format 3\x00"
_HEADER = struct.Struct(">16xHBB8xI28xI4xI28x")  # page size, write and read version, pages, user version, application
_NOT_WAL = 1
HEAD_BYTES = _HEADER.size
# Of what a writer says that readers do not care about: how often the file was changed, and by which SQLite.
_CHANGES, _SQLITE_VERSION = 1, 3_040_000
_WHOLE_HEADER = struct.Struct(">16sHBBBBBB12I20x2I")


def is_sqlite(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is a SQLite database."""
    return head.startswith(_MAGIC)


def is_sqlite_pack(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is a SQLite database that calls itself a pack."""
    return is_sqlite(head) and len(head) >= HEAD_BYTES and _HEADER.unpack_from(head)[-1] == APPLICATION_ID


class Identity(NamedTuple):
    """What tells one file from another that took its path."""

    device: int
    inode: int
    size: int


def identify(path: str) -> Identity:
    """What lies at the path of an open pack now.

    Raises:
        PackChangedError: nothing that could be looked at.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        message = f"{path}: {error.strerror}; it was there when the prompt was opened"
        raise PackChangedError(message) from error
    return Identity(status.st_dev, status.st_ino, status.st_size)


def create_header(pages: int) -> bytes:
    """The first hundred bytes of a file of so many pages."""
    fractions = 64, 32, 32
    no_free_pages = 0, 0
    schema_version, schema_format, cache, largest_root, utf8, vacuum = 1, 4, 0, 0, 1, 0
    return _WHOLE_HEADER.pack(
        *(_MAGIC, PAGE_BYTES, _NOT_WAL, _NOT_WAL, 0, *fractions, _CHANGES, pages, *no_free_pages),
        *(schema_version, schema_format, cache, largest_root, utf8, FORMAT_VERSION, vacuum, APPLICATION_ID),
        *(_CHANGES, _SQLITE_VERSION),
    )


def check_file(path: str) -> Identity:
    """Refuse what is no whole SQLite pack of this format, before SQLite sees it.

    Returns:
        The identity of the very file that was looked at.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD_BYTES)
            status = os.fstat(file.fileno())
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise PackReadError(message) from error
    check_header(path, head, status.st_size)
    return Identity(status.st_dev, status.st_ino, status.st_size)


def check_header(path: str, head: bytes, size_bytes: int) -> None:
    """Refuse what is no whole SQLite pack of this format, from its first bytes and its size."""
    if not is_sqlite(head) or len(head) < _HEADER.size:
        message = f"{path}: not a pack (no SQLite file); dprompt pack makes one from text"
        raise NotAPackError(message)
    page_bytes, *journals, pages, version, application = _HEADER.unpack(head)
    if application != APPLICATION_ID:
        message = f"{path}: a SQLite file, but not a pack; dprompt pack makes one from text"
        raise NotAPackError(message)
    if version > FORMAT_VERSION:
        raise newer_format(path, version)
    if version < 1 or journals != [_NOT_WAL, _NOT_WAL]:
        message = f"{path}: format {version}, journal {journals} cannot be: something else has written to it"
        raise CorruptPackError(message)
    if size_bytes != pages * page_bytes:
        message = f"{path}: {size_bytes} bytes, its header says {pages * page_bytes}: truncated or damaged"
        raise CorruptPackError(message)
    if page_bytes != PAGE_BYTES:
        message = f"{path}: pages of {page_bytes} bytes; this version reads packs with pages of {PAGE_BYTES}"
        raise UnsupportedPackError(message)
