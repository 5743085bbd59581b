"""Places against the raw bytes of the file, read here by the documentation of its format."""

import random
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from distributed_prompt.errors import OutputError
from distributed_prompt.store import codec
from distributed_prompt.store.base import Place, Table
from distributed_prompt.store.pack import Pack
from distributed_prompt.store.pack_writer import EncodedShard, PackWriter, describe_shard, encode_shard
from distributed_prompt.store.sqlite_store import SqliteStore
from distributed_prompt.store.sqlite_writer import SqliteWriter

PAGE = 4_096
LEAF, INTERIOR = 13, 5
CHAIN = PAGE - 4
BOUNDARIES = (0, 1, 2, 50, 488, 489, 490, *range(4_045, 4_070), 4_091, 4_092, 4_093, 8_100, 8_182, 8_185, 12_276)


class Pages:
    """The pages of a file and one b-tree in it, walked without the code under test."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self.pages = [b"", *(data[at : at + PAGE] for at in range(0, len(data), PAGE))]
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            (self.root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name='shards'").fetchone()

    def children(self, number: int) -> list[int]:
        page = self.pages[number]
        assert page[0] == INTERIOR
        (cells,) = struct.unpack_from(">H", page, 3)
        pointers = struct.unpack_from(f">{cells}H", page, 12)
        return [*(struct.unpack_from(">I", page, cell)[0] for cell in pointers), *struct.unpack_from(">I", page, 8)]

    def leaf_keys(self, number: int) -> list[int]:
        page = self.pages[number]
        assert page[0] == LEAF
        (cells,) = struct.unpack_from(">H", page, 3)
        keys = []
        for cell in struct.unpack_from(f">{cells}H", page, 8):
            numbers = varints(page[cell : cell + 18])
            next(numbers)
            keys.append(next(numbers))
        return keys

    def chain(self, number: int) -> tuple[bytes, int]:
        """What lies on the pages of an overflow chain, and how many there are."""
        content, count = b"", 0
        while number:
            page = self.pages[number]
            content += page[4:]
            count += 1
            (number,) = struct.unpack_from(">I", page)
        return content, count

    def depth(self) -> int:
        number, levels = self.root, 1
        while self.pages[number][0] == INTERIOR:
            number, levels = self.children(number)[0], levels + 1
        return levels


def varints(data: bytes) -> Iterator[int]:
    number = 0
    for byte in data:
        number = number << 7 | byte & 127
        if byte < 128:
            yield number
            number = 0


def check(pages: Pages, key: int, blob: bytes, place: Place) -> None:
    """Follow a place through the file to its blob."""
    assert key in pages.leaf_keys(place.leaf)
    if place.parent:
        assert place.leaf in pages.children(place.parent)
    else:
        assert place.leaf == pages.root
    leaf = pages.pages[place.leaf]
    if not place.overflow:
        assert blob in leaf
        return
    content, count = pages.chain(place.overflow)
    rest_bytes = content.find(blob[-16:]) + 16
    local_bytes = len(blob) - rest_bytes
    assert 16 <= rest_bytes <= len(content)
    assert blob[local_bytes:] == content[:rest_bytes]
    assert count == -(-rest_bytes // CHAIN)
    assert blob[:local_bytes] + struct.pack(">I", place.overflow) in leaf


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311  # the same every time


def write(path: Path, blobs: dict[int, bytes], behind: int = 0) -> list[Place]:
    """A file with these shards, and some rows written behind them once their places are known."""
    writer = SqliteWriter(str(path), "pack")
    writer.put(Table.DOCUMENTS, 0, noise(10_000, seed=-1))
    for key, blob in blobs.items():
        writer.put(Table.SHARDS, key, blob)
    found = list(writer.places(Table.SHARDS))
    assert [key for key, _ in found] == list(blobs)
    places = [place for _, place in found]
    for key in range(behind):
        writer.put(Table.DIRECTORY, key, noise(key * 37 % 9_000, seed=-key))
    writer.put_metadata({"name": "value"})
    writer.finish()
    return places


def sizes_around_every_boundary() -> list[int]:
    return list(BOUNDARIES)


def one_mebibyte() -> list[int]:
    return [0, 2**20, 3, 2**20 - 1, 2**19, 4_061]


def very_different() -> list[int]:
    chance = random.Random(3)  # noqa: S311  # the same every time
    return [int(chance.choice([0, 5, 100, 4_000, 20_000, 200_000]) * chance.random()) for _ in range(400)]


def tiny() -> list[int]:
    return [n % 40 for n in range(5_000)]


def three_levels() -> list[int]:
    return [3_900 + n % 400 for n in range(1_200)]


SETS: dict[str, tuple[Callable[[], list[int]], int]] = {
    "none": (list, 1),
    "one-empty": (lambda: [0], 1),
    "one-large": (lambda: [100_000], 1),
    "boundaries": (sizes_around_every_boundary, 2),
    "one-mebibyte": (one_mebibyte, 1),
    "very-different": (very_different, 2),
    "tiny": (tiny, 2),
    "three-levels": (three_levels, 3),
}


@pytest.mark.parametrize("name", SETS)
def test_the_place_of_every_blob_is_where_its_bytes_are(tmp_path: Path, name: str) -> None:
    sizes, depth = SETS[name]
    blobs = {key: noise(size, seed=key) for key, size in enumerate(sizes())}
    places = write(tmp_path / "pack", blobs, behind=50)
    pages = Pages(tmp_path / "pack")
    assert len(places) == len(blobs)
    assert pages.depth() == depth
    for (key, blob), place in zip(blobs.items(), places, strict=True):
        check(pages, key, blob, place)


def test_a_tree_of_three_levels_has_more_than_one_parent(tmp_path: Path) -> None:
    places = write(tmp_path / "pack", {key: noise(size, seed=key) for key, size in enumerate(three_levels())})
    pages = Pages(tmp_path / "pack")
    parents = {place.parent for place in places}
    assert pages.depth() == 3
    assert parents == set(pages.children(pages.root))
    assert len(parents) > 1


def test_some_blobs_overflow_and_some_do_not(tmp_path: Path) -> None:
    places = write(tmp_path / "pack", {key: noise(size, seed=key) for key, size in enumerate(BOUNDARIES)})
    overflows = [bool(place.overflow) for place in places]
    assert overflows == sorted(overflows)
    first = overflows.index(True)  # a value
    # A cell keeps up to 4,061 bytes of record: two or three of header, then the blob.
    assert 4_050 < BOUNDARIES[first] <= 4_061


@pytest.mark.parametrize("start", [0, 127, 128, 16_383, 16_384, 2**31, 2**32, 2**56, 2**62])
def test_keys_of_any_size_have_places(tmp_path: Path, start: int) -> None:
    blobs = {start + key: noise(key * 900, seed=key) for key in range(12)}
    places = write(tmp_path / "pack", blobs)
    pages = Pages(tmp_path / "pack")
    for (key, blob), place in zip(blobs.items(), places, strict=True):
        # A 9-byte key is beyond what this file's own reader of varints reads.
        if start < 2**56:
            check(pages, key, blob, place)
        assert pages.pages[place.leaf][0] == LEAF
        assert not place.overflow or blob.endswith(pages.chain(place.overflow)[0].rstrip(b"\x00")[-16:])


def test_places_can_be_asked_for_more_than_once_but_no_row_may_follow(tmp_path: Path) -> None:
    writer = SqliteWriter(str(tmp_path / "pack"), "pack")
    writer.put(Table.SHARDS, 0, noise(10_000, seed=0))
    first = list(writer.places(Table.SHARDS))
    assert list(writer.places(Table.SHARDS)) == first
    with pytest.raises(OutputError, match="sealed"):
        writer.put(Table.SHARDS, 1, b"")
    writer.finish()
    check(Pages(tmp_path / "pack"), 0, noise(10_000, seed=0), first[0][1])


def test_the_directory_of_a_finished_pack_has_the_right_places(tmp_path: Path) -> None:
    chance = random.Random(5)  # noqa: S311  # the same every time
    writer = PackWriter(SqliteWriter(str(tmp_path / "pack"), "pack"), shard_size=4_000, level=3)
    count = 4_100
    for shard in range(count):
        # Mostly tiny blobs, some incompressible ones: two segments of the directory.
        size = 3_000 if shard % 50 == 0 else 1
        data = noise(size, seed=shard).hex().encode()[:4_000] if size > 1 else b"x" * chance.randrange(1, 4_000)
        data = data.ljust(4_000, b"y")
        writer.add(encode_shard(shard, 4_000, data, 3))
    writer.finish()
    pages = Pages(tmp_path / "pack")
    with SqliteStore(str(tmp_path / "pack")) as store:
        pack = Pack(store)
        places = [place for segment in (0, 1) for place in pack.directory.places(segment)]
        blobs = dict(store.get_range(Table.SHARDS, 0, count))
    assert len(places) == len(blobs) == count
    for shard, place in enumerate(places):
        check(pages, shard, blobs[shard], place)


def test_large_frames_of_a_finished_pack_have_the_right_places(tmp_path: Path) -> None:
    writer = PackWriter(SqliteWriter(str(tmp_path / "pack"), "pack"), shard_size=2**20, level=3)
    for shard in range(3):
        data = noise(2**19, seed=shard).hex().encode()
        blob = codec.compress(data, 3)
        writer.add(EncodedShard(len(data), blob, describe_shard(shard, len(data), data, blob), ends_line=False))
    writer.finish()
    pages = Pages(tmp_path / "pack")
    with SqliteStore(str(tmp_path / "pack")) as store:
        places = Pack(store).directory.places(0)
        assert len(places) == 3
        for shard, place in enumerate(places):
            check(pages, shard, store.get(Table.SHARDS, shard) or b"", place)
