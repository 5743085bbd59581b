"""Make the golden packs of the tests again: only with a new format.

    python -m tools.regenerate_golden
    python -m tools.regenerate_golden --folder /tmp/golden   to look at them elsewhere

Every later version must read the packs that are there, so those of an old format are kept under another
name, never replaced by those of a new one. Beside each pack lies a .json file of what it must give,
worked out from the source's bytes and not from the pack, but for its raw metadata. Prints a line for each pack.
"""

import argparse
import base64
import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import distributed_prompt as dp

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
MAX_PACK_BYTES = 60_000
_TEXT_CHARACTERS = 1_000


class Golden(NamedTuple):
    """One golden pack: its source and how that is packed."""

    name: str
    source: bytes
    shard_size: int
    encoding: str = "utf-8"
    errors: str = "strict"
    newlines: str = "keep"


def goldens() -> Iterator[Golden]:
    """What is packed. To be added to, never to be changed."""
    ascii_lines = b"".join(b"%d: the quick brown fox jumps over the lazy dog\n" % n for n in range(2_000))
    yield Golden("ascii", ascii_lines, shard_size=4_096)
    mixed = "é 日本語\r\n\x00 e\u0301 \U0001f600\U0001f3fd \u2028\ufeff\x85\x0b\x1c\uffff\U0010ffff ß\r\n\n\r"
    yield Golden("mixed", (mixed * 20).encode(), shard_size=17)
    yield Golden(
        "surrogateescape",
        b"caf\xe9 \xff\xfe \xc3\xa9 \xed\xa0\x80 \xf0\x9f\x98 end\n" * 9,
        5,
        "utf-8",
        "surrogateescape",
    )
    yield Golden("latin-1", bytes(range(256)) * 4, shard_size=100, encoding="latin-1")
    yield Golden("utf-16", "héllo\r\n日本語 😀\n".encode("utf-16-le"), shard_size=4, encoding="utf-16-le")
    yield Golden("universal-newlines", b"one\r\ntwo\rthree\nfour\r\r\n", shard_size=4, newlines="universal")
    yield Golden("empty", b"", shard_size=131_072)
    yield Golden("one-character", "😀".encode(), shard_size=131_072)
    yield Golden("shard-size-1", "a\né\U0001f600 b\n\n\x00".encode() * 4, shard_size=1)
    many = "".join(f"{n} {chr(0x4E00 + n)}\n" for n in range(400))
    yield Golden("many-shards", many.encode(), shard_size=8)
    yield Golden("incompressible", base64.b85encode(_noise(30_000)), shard_size=10_000)


def _noise(size: int) -> bytes:
    """Bytes that no release of Python or zstd changes."""
    blocks = (hashlib.sha256(b"%d" % n).digest() for n in range(size // 32))
    return b"".join(blocks)


def expected(golden: Golden, metadata: dict[str, str]) -> dict[str, object]:
    """What a reader must find in the pack."""
    text = golden.source.decode(golden.encoding, golden.errors)
    if golden.newlines == "universal":
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    utf8 = text.encode("utf-8", "surrogatepass")
    facts: dict[str, object] = {
        "length": len(text),
        "shard_size": golden.shard_size,
        "lines": text.count("\n") + (not text.endswith("\n") and bool(text)),
        "text_sha256": hashlib.sha256(utf8).hexdigest(),
        "source_bytes": len(golden.source),
        "source_sha256": hashlib.sha256(golden.source).hexdigest(),
        "encoding": golden.encoding,
        "errors": golden.errors,
        "newlines": golden.newlines,
        "exact": golden.newlines == "keep",
        "root_digest": metadata["root_digest"],
        "metadata": metadata,
    }
    if len(text) <= _TEXT_CHARACTERS:
        facts["text"] = text
        facts["source_base64"] = base64.b64encode(golden.source).decode("ascii")
    return facts


def make(golden: Golden, folder: Path) -> Path:
    """Write one pack and its expectations.

    Returns:
        The pack.
    """
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / f"{golden.name}.txt"
        source.write_bytes(golden.source)
        pack = Path(
            dp.pack(
                source,
                folder / f"{golden.name}.dprompt",
                shard_size=golden.shard_size,
                encoding=golden.encoding,
                errors=golden.errors,
                newlines=golden.newlines,
                overwrite=True,
            ).path,
        )
    with closing(sqlite3.connect(f"{pack.as_uri()}?mode=ro", uri=True)) as connection:
        metadata = dict(connection.execute("SELECT name, value FROM metadata ORDER BY name").fetchall())
    facts = json.dumps(expected(golden, metadata), indent=2)
    pack.with_suffix(".json").write_text(f"{facts}\n", encoding="ascii")
    return pack


def main() -> None:
    """Make all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=GOLDEN, help="where to put them (default: tests/golden)")
    folder: Path = parser.parse_args().folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for golden in goldens():
        pack = make(golden, folder)
        size = pack.stat().st_size
        print(f"{pack.name}: {size:,} bytes")
        if size > MAX_PACK_BYTES:
            parser.exit(1, f"{pack.name}: {size:,} bytes, at most {MAX_PACK_BYTES:,} are allowed\n")


if __name__ == "__main__":
    main()
