"""The documents table: which range of the prompt came from which input, and how its bytes come back.

Row ``b`` holds the documents ``256 * b`` to ``256 * b + 255`` in order of their offsets: a zstd frame of a
JSON object with one list a field, sealed like the rows of the directory. Names are POSIX paths; bytes of
a name that are not UTF-8 stand as lone surrogates (``os.fsdecode``).
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields

from distributed_prompt.errors import CorruptPackError
from distributed_prompt.geometry import shard_count
from distributed_prompt.store import codec
from distributed_prompt.store.base import Store, StoreWriter, Table

BLOCK_DOCUMENTS = 256
_LEVEL = 9
_MAX_BLOCK_BYTES = 2**26


@dataclass(frozen=True, slots=True)
class Document:
    """One input file as a named range of the prompt.

    Attributes:
        name: POSIX path.
        start: offset of its first character.
        stop: offset after its last character.
        encoding: the codec its bytes were decoded with.
        errors: the error mode they were decoded with.
        newlines: ``keep``, or ``universal`` if they were translated.
        source_bytes: how many bytes it had.
        sha256: hexadecimal, of those bytes.
        exact: whether its text, encoded by an incremental encoder that is given the pack's shards one by one,
            is those bytes again; proved when it was packed.
    """

    name: str
    start: int
    stop: int
    encoding: str
    errors: str
    newlines: str
    source_bytes: int
    sha256: str
    exact: bool


def write_documents(store: StoreWriter, documents: list[Document]) -> str:
    """Write the whole table.

    Returns:
        The hexadecimal SHA-256 of its rows in order, which the metadata keeps.
    """
    sha256 = hashlib.sha256()
    for block, start in enumerate(range(0, len(documents), BLOCK_DOCUMENTS)):
        rows = [astuple(document) for document in documents[start : start + BLOCK_DOCUMENTS]]
        columns = dict(zip(_FIELDS, map(list, zip(*rows, strict=True)), strict=True))
        data = json.dumps(columns, separators=(",", ":")).encode("ascii")
        row = codec.seal(block, codec.compress(data, _LEVEL))
        sha256.update(row)
        store.put(Table.DOCUMENTS, block, row)
    return sha256.hexdigest()


def read_documents_digest(store: Store, count: int) -> str:
    """What :func:`write_documents` has returned, from the rows as they are."""
    sha256 = hashlib.sha256()
    for block in range(shard_count(count, BLOCK_DOCUMENTS)):
        sha256.update(store.get(Table.DOCUMENTS, block) or b"")
    return sha256.hexdigest()


def read_documents(store: Store, count: int) -> Iterator[Document]:
    """All documents in order, a block at a time.

    Args:
        store: the open pack.
        count: how many its metadata promises.

    Raises:
        CorruptPackError: a block is missing, damaged, or not what the metadata says.
    """
    for block, start in enumerate(range(0, count, BLOCK_DOCUMENTS)):
        expected = min(BLOCK_DOCUMENTS, count - start)
        sealed = store.get(Table.DOCUMENTS, block)
        try:
            documents = _parse(block, sealed)
            if len(documents) != expected:
                message = f"{len(documents)} documents, expected {expected}"
                raise CorruptPackError(message)  # noqa: TRY301  # one place adds where it was
        except (CorruptPackError, ValueError, TypeError, KeyError, RecursionError) as error:
            message = f"{store.name}: documents: block {block}: {error}"
            raise CorruptPackError(message) from error
        yield from documents


_FIELDS = tuple(field.name for field in fields(Document))


def _parse(block: int, sealed: bytes | None) -> list[Document]:
    if sealed is None:
        message = "missing"
        raise CorruptPackError(message)
    columns = json.loads(codec.decompress(codec.unseal(block, sealed), _MAX_BLOCK_BYTES))
    for field in fields(Document):
        wrong = [value for value in columns[field.name] if type(value) is not field.type]
        if wrong:
            message = f"{field.name} {wrong[0]!r} cannot be"
            raise CorruptPackError(message)
    return [Document(*row) for row in zip(*(columns[name] for name in _FIELDS), strict=True)]
