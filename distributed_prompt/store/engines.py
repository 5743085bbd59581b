"""The engines by name and by magic: the one place that knows them all."""

from collections.abc import Callable
from pathlib import Path

from distributed_prompt.errors import ArgumentError, DPromptError, NotAPackError, PackReadError
from distributed_prompt.fork_gate import importing
from distributed_prompt.store.base import Store, StoreWriter
from distributed_prompt.store.byte_source import ByteSource
from distributed_prompt.store.lmdb_pages import is_lmdb
from distributed_prompt.store.lmdb_store import LmdbStore
from distributed_prompt.store.sqlite_header import HEAD_BYTES, is_sqlite, is_sqlite_pack
from distributed_prompt.store.sqlite_store import SqliteStore
from distributed_prompt.store.sqlite_writer import SqliteWriter


def open_store(path: str) -> Store:
    """The pack file at an absolute path; its engine is recognised by the first bytes, never by the name.

    Raises:
        NotAPackError: no engine's file, or no pack.
        UnsupportedPackError: a newer format.
        CorruptPackError: a damaged pack.
        PackReadError: the system could not read it.
    """
    while True:
        before = _identity(path)
        try:
            return _open_store(path)
        except DPromptError:
            # Another pack, perhaps of another engine, was renamed over it meanwhile: that one is to be opened.
            if before is None or _identity(path) in {before, None}:
                raise


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _open_store(path: str) -> Store:
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise PackReadError(message) from error
    return _engine(head, path)(path)


def open_source(source: ByteSource) -> Store:
    """The pack in some bytes, which it closes; raises as :func:`open_store`, and what the source raises."""
    try:
        return _engine(source.read(0, HEAD_BYTES), source.name)(source)
    except BaseException:
        source.close()
        raise


def may_be_pack(head: bytes) -> bool:
    """Whether a file that begins with ``head`` may be a pack: LMDB's do not say at once what they hold."""
    return is_lmdb(head) or is_sqlite_pack(head)


def _engine(head: bytes, name: str) -> type[SqliteStore] | type[LmdbStore]:
    if is_sqlite(head):
        return SqliteStore
    if is_lmdb(head):
        return LmdbStore
    message = f"{name}: not a pack; dprompt pack makes one from text"
    raise NotAPackError(message)


def create_store(engine: str, path: str, name: str) -> StoreWriter:
    """Begin a pack in an empty file.

    Args:
        engine: one of ``ENGINES``.
        path: the file.
        name: what errors call it.

    Raises:
        OutputError: the file cannot be written.
    """
    return _WRITERS[check_engine(engine)](path, name)


def check_engine(engine: str) -> str:
    """Return the name of an engine if it is one.

    Raises:
        ArgumentError: it is not.
    """
    if engine not in ENGINES:
        message = f"store {engine!r}: must be one of {', '.join(ENGINES)}"
        raise ArgumentError(message)
    return engine


def _create_lmdb(path: str, name: str) -> StoreWriter:
    # Readers never need lmdb itself.
    with importing:
        from distributed_prompt.store.lmdb_writer import LmdbWriter  # noqa: PLC0415

    return LmdbWriter(path, name)


_WRITERS: dict[str, Callable[[str, str], StoreWriter]] = {"sqlite": SqliteWriter, "lmdb": _create_lmdb}
ENGINES = tuple(_WRITERS)
