import dataclasses
import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import distributed_prompt as dp
from distributed_prompt.backends.memory_backend import MemoryBackend
from distributed_prompt.errors import CorruptPackError, DPromptError
from distributed_prompt.store import codec
from distributed_prompt.store.metadata import Metadata, create_metadata

TEXT = "日本語 first\r\nsecond é\nthird 😀 line\n" * 5 + "no newline at the end"
SHARD_SIZE = 16


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    (tmp_path / "in.txt").write_bytes(TEXT.encode())
    return Path(dp.pack(tmp_path / "in.txt", tmp_path / "out.dprompt", shard_size=SHARD_SIZE).path)


def problems(pack: Path) -> list[str]:
    with dp.FileBackend(pack) as backend:
        return list(dp.verify(backend))


def unpacked(pack: Path) -> bytes:
    output = io.BytesIO()
    with dp.FileBackend(pack) as backend:
        dp.unpack(backend, output)
    return output.getvalue()


def metadata_of(pack: Path) -> Metadata:
    with dp.FileBackend(pack) as backend:
        return backend.pack.metadata


def execute(pack: Path, sql: str, *rows: tuple[object, ...]) -> None:
    with closing(sqlite3.connect(pack)) as connection, connection:
        connection.executemany(sql, rows or [()])


def lie(pack: Path, **changes: object) -> None:
    """Rewrite the metadata, with a checksum that is right."""
    rows = create_metadata(dataclasses.replace(metadata_of(pack), **changes))  # type: ignore[arg-type]
    execute(pack, "REPLACE INTO metadata VALUES(?, ?)", *rows.items())


def lie_of_document(pack: Path, **changes: object) -> None:
    """Rewrite the one document, with a checksum that is right."""
    with closing(sqlite3.connect(pack)) as connection:
        (sealed,) = connection.execute("SELECT value FROM documents").fetchone()
    columns = json.loads(codec.decompress(codec.unseal(0, sealed), 2**20))
    columns |= {name: [value] for name, value in changes.items()}
    row = codec.seal(0, codec.compress(json.dumps(columns).encode(), 9))
    execute(pack, "UPDATE documents SET value = ?", (row,))


@pytest.mark.parametrize("shard_size", [1, 2, 16, 10_000])
@pytest.mark.parametrize("text", ["", "a", "\n", "a\n", "\n\n", "é", TEXT, "\0", "\ufeff", "\r\n" * 99])
def test_a_sound_pack_has_no_problems(tmp_path: Path, text: str, shard_size: int) -> None:
    pack = Path(dp.ingest_string(text, tmp_path / "out.dprompt", shard_size).path)
    assert problems(pack) == []


@pytest.mark.parametrize(
    ("encoding", "errors"),
    [("utf-8", "surrogateescape"), ("latin-1", "strict"), ("utf-16", "strict"), ("shift_jis", "replace")],
)
def test_a_sound_pack_of_another_encoding_has_no_problems(tmp_path: Path, encoding: str, errors: str) -> None:
    (tmp_path / "in").write_bytes(b"\xff\xfea\x00\xe9\x00")
    dp.pack(tmp_path / "in", tmp_path / "out.dprompt", encoding=encoding, errors=errors, shard_size=1)
    assert problems(tmp_path / "out.dprompt") == []


def test_a_prompt_without_documents_has_no_problems() -> None:
    assert list(dp.verify(MemoryBackend(TEXT, 5))) == []


def test_progress_counts_the_shards(pack: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    with dp.FileBackend(pack) as backend:
        assert list(dp.verify(backend, lambda *call: calls.append(call))) == []
        shards = backend.pack.metadata.shards
    assert calls == [(done, shards) for done in range(1, shards + 1)]


LIES: list[tuple[str, Callable[[Metadata], dict[str, object]]]] = [
    ("utf8_bytes", lambda told: {"utf8_bytes": told.utf8_bytes + 1}),
    ("newlines", lambda told: {"newlines": told.newlines + 1}),
    ("lines", lambda told: {"lines": told.lines - 1}),
    ("width", lambda _: {"width": 0}),
    ("width", lambda _: {"width": 2}),
    ("root_digest", lambda _: {"root_digest": "0" * 64}),
]


@pytest.mark.parametrize(("name", "change"), LIES)
def test_a_count_that_lies_is_reported_by_its_name(
    pack: Path, name: str, change: Callable[[Metadata], dict[str, object]]
) -> None:
    changes = change(metadata_of(pack))
    lie(pack, **changes)
    (problem,) = problems(pack)
    assert problem.startswith(f"{pack}: metadata: {name} {changes[name]}, but the shards make it ")


def test_two_lies_are_two_problems(pack: Path) -> None:
    lie(pack, newlines=metadata_of(pack).newlines + 1, width=0)
    assert [problem.removeprefix(f"{pack}: metadata: ").split()[0] for problem in problems(pack)] == [
        "newlines",
        "width",
    ]


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_length_that_lies_is_reported_with_the_shard(pack: Path, difference: int) -> None:
    length = len(TEXT) + difference
    assert -(-length // SHARD_SIZE) == metadata_of(pack).shards
    lie(pack, length=length)
    found = problems(pack)
    assert any(f"{pack}: shard {metadata_of(pack).shards - 1}: " in problem for problem in found)


@pytest.mark.parametrize("shards", [1, 5])
def test_a_shard_count_that_is_too_small_is_reported_with_the_rows_that_are_left_over(pack: Path, shards: int) -> None:
    before = metadata_of(pack).shards
    length = shards * SHARD_SIZE
    lie(pack, shards=shards, length=length, utf8_bytes=length, newlines=0, lines=1)
    found = problems(pack)
    for row in range(shards, before):
        assert f"{pack}: shards: row {row} belongs to nothing" in found


def test_a_shard_count_that_is_too_large_is_reported_with_the_rows_that_are_missing(pack: Path) -> None:
    before = metadata_of(pack).shards
    lie(pack, shards=before + 2, length=(before + 2) * SHARD_SIZE)
    assert any("directory" in problem or f"shard {before}" in problem for problem in problems(pack))


def test_a_shard_size_that_lies_is_reported(pack: Path) -> None:
    lie(pack, shard_size=SHARD_SIZE + 1, shards=-(-len(TEXT) // (SHARD_SIZE + 1)))
    assert any("shard 0: " in problem or "shards: row " in problem for problem in problems(pack))


@pytest.mark.parametrize("count", [0, 2, 256, 257])
def test_a_number_of_documents_that_lies_is_reported(pack: Path, count: int) -> None:
    lie(pack, documents=count)
    found = problems(pack)
    assert found
    assert any("documents" in problem for problem in found)
    assert all(problem.startswith(f"{pack}: ") for problem in found)


def test_features_that_hide_the_documents_are_reported(pack: Path) -> None:
    lie(pack, features=())
    assert any("features" in problem or "documents" in problem for problem in problems(pack))


@pytest.mark.parametrize(
    "changes",
    [{"shards": 1}, {"length": -1}, {"shard_size": 0}, {"shard_size": 2**24 + 1}, {"width": 3}, {"newlines": -1}],
)
def test_metadata_that_cannot_be_is_refused_when_opening(pack: Path, changes: dict[str, object]) -> None:
    lie(pack, **changes)
    with pytest.raises(CorruptPackError, match=f"^{pack}: metadata: {next(iter(changes))} .* cannot be"):
        dp.FileBackend(pack)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"start": 1}, "SHA-256"),
        ({"stop": 3}, "SHA-256"),
        ({"stop": 10**9}, "stop"),
        ({"source_bytes": 3}, "source_bytes"),
        ({"encoding": "no-such-codec"}, "no-such-codec"),
        ({"encoding": "ascii"}, "ascii"),
        ({"encoding": "utf-16"}, "SHA-256"),
        ({"errors": "no-such-mode"}, "no-such-mode"),
        ({"encoding": 5}, "encoding"),
        ({"exact": "yes", "sha256": None}, "document"),
    ],
)
def test_a_document_that_lies_is_reported(pack: Path, changes: dict[str, object], word: str) -> None:
    lie_of_document(pack, **changes)
    found = problems(pack)
    assert any(word in problem and "document" in problem for problem in found), found
    assert all(problem.startswith(f"{pack}: ") for problem in found)


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "0" * 64},
        {"encoding": "no-such-codec"},
        {"encoding": "ascii"},
        {"encoding": "utf-16"},
        {"errors": "no-such-mode"},
    ],
)
def test_a_document_that_lies_is_not_unpacked(pack: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    lie_of_document(pack, **changes)
    before = sorted(tmp_path.iterdir())
    with dp.FileBackend(pack) as backend, pytest.raises(CorruptPackError, match=f"^{pack}: "):
        dp.unpack(backend, tmp_path / "copy")
    assert sorted(tmp_path.iterdir()) == before


def test_a_second_document_that_was_slipped_in_is_not_unpacked_silently(pack: Path, tmp_path: Path) -> None:
    with dp.FileBackend(pack) as backend:
        (document,) = backend.pack.documents
    lie_of_document(pack)
    columns = {name: [value, value] for name, value in dataclasses.asdict(document).items()}
    row = codec.seal(0, codec.compress(json.dumps(columns).encode(), 9))
    execute(pack, "UPDATE documents SET value = ?", (row,))
    lie(pack, documents=2)
    with dp.FileBackend(pack) as backend, pytest.raises(DPromptError):
        dp.unpack(backend, tmp_path / "copy")


def test_a_changed_blob_is_reported_with_its_shard(pack: Path) -> None:
    execute(pack, "UPDATE shards SET value = ? WHERE key = 3", (codec.compress(b"x" * SHARD_SIZE, 3),))
    (problem,) = problems(pack)
    assert problem.startswith(f"{pack}: shard 3: checksum ")
    assert " expected " in problem


def test_two_swapped_shards_are_both_reported(pack: Path) -> None:
    execute(pack, "UPDATE shards SET key = -1 WHERE key = 2")
    execute(pack, "UPDATE shards SET key = 2 WHERE key = 5")
    execute(pack, "UPDATE shards SET key = 5 WHERE key = -1")
    assert [problem.split("checksum")[0] for problem in problems(pack)] == [f"{pack}: shard 2: ", f"{pack}: shard 5: "]


def test_a_missing_shard_is_reported_and_the_others_are_still_checked(pack: Path) -> None:
    execute(pack, "DELETE FROM shards WHERE key = 2")
    execute(pack, "UPDATE shards SET value = x'00' WHERE key = 4")
    found = problems(pack)
    assert found[0] == f"{pack}: shard 2: missing"
    assert found[1].startswith(f"{pack}: shard 4: checksum ")


@pytest.mark.parametrize("table", ["shards", "directory", "documents"])
def test_a_row_that_belongs_to_nothing_is_reported(pack: Path, table: str) -> None:
    execute(pack, f"INSERT INTO {table} VALUES(?, x'00')", (10**15,))  # names from above
    assert problems(pack) == [f"{pack}: {table}: row {10**15} belongs to nothing"]


@pytest.mark.parametrize("table", ["directory", "documents"])
def test_a_damaged_row_is_reported_with_its_table(pack: Path, table: str) -> None:
    execute(pack, f"UPDATE {table} SET value = x'00'")  # noqa: S608  # names from above
    found = problems(pack)
    assert found
    assert all(problem.startswith(f"{pack}: ") for problem in found)
    assert any(table in problem for problem in found)


@pytest.mark.parametrize("position", range(4096, 45_056, 1019))
def test_a_changed_byte_is_reported_unless_it_holds_nothing(pack: Path, position: int) -> None:
    data = bytearray(pack.read_bytes())
    data[position % len(data)] ^= 0x55
    pack.write_bytes(data)
    try:
        found = problems(pack)
    except DPromptError as error:
        found = [str(error)]
    assert all(str(pack) in problem for problem in found)
    if not found:
        # Only bytes that hold nothing may differ unnoticed: the text is the same.
        with dp.open(pack) as prompt:
            assert str(prompt) == TEXT
        assert unpacked(pack) == TEXT.encode()
