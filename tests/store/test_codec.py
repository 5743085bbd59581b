import hashlib
import random
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt.errors import CorruptPackError
from distributed_prompt.store import codec

LIMIT = 2**26
BLOB = codec.compress(b"some text that is long enough to be compressed, compressed, compressed", 3)


@given(st.binary(max_size=2_000), st.sampled_from(codec.LEVELS))
def test_what_was_compressed_comes_back(data: bytes, level: int) -> None:
    blob = codec.compress(data, level)
    assert codec.decompress(blob, len(data)) == data
    assert codec.compress(data, level) == blob


@pytest.mark.parametrize("size", [0, 1, 2**17, 2**17 + 1, 5 * 2**20])
@pytest.mark.parametrize("seed", [None, 1])
def test_texts_of_all_sizes_come_back(size: int, seed: int | None) -> None:
    data = b"x" * size if seed is None else random.Random(seed).randbytes(size)  # noqa: S311  # the same every time
    assert codec.decompress(codec.compress(data, 3), size) == data


@pytest.mark.parametrize("data", [b"", b"x", b"x" * 100_000])
def test_a_blob_is_one_frame_that_any_zstd_reads_and_says_its_size(data: bytes) -> None:
    blob = codec.compress(data, 3)
    assert zstandard.ZstdDecompressor().decompress(blob) == data
    assert zstandard.frame_content_size(blob) == len(data)


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_nothing_larger_than_the_limit_is_decompressed(size: int) -> None:
    blob = codec.compress(bytes(size), 3)
    assert codec.decompress(blob, size) == bytes(size)
    with pytest.raises(CorruptPackError, match=f"claims {size} bytes, at most {size - 1}"):
        codec.decompress(blob, size - 1)


def test_a_frame_that_claims_a_terabyte_costs_nothing() -> None:
    bomb = b"\x28\xb5\x2f\xfd" + b"\xe0" + struct.pack("<Q", 2**40) + b"\x01\x00\x00"
    with pytest.raises(CorruptPackError):
        codec.decompress(bomb, LIMIT)


def test_a_frame_that_does_not_say_its_size_is_refused() -> None:
    blob = zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 100)
    with pytest.raises(CorruptPackError):
        codec.decompress(blob, LIMIT)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\x28",
        b"\x28\xb5\x2f\xfd",
        b"plain text",
        bytes(100),
        BLOB[:-1],
        BLOB[:5],
        BLOB + b"\x00",
        BLOB + BLOB,
        b"\x1f\x8b" + bytes(20),
    ],
)
def test_what_is_not_exactly_one_frame_is_refused(blob: bytes) -> None:
    with pytest.raises(CorruptPackError):
        codec.decompress(blob, LIMIT)


def test_a_skippable_frame_is_no_text() -> None:
    with pytest.raises(CorruptPackError):
        codec.decompress(b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"text", LIMIT)


@given(st.binary(max_size=300))
def test_any_bytes_are_decompressed_or_refused(data: bytes) -> None:
    for blob in (data, b"\x28\xb5\x2f\xfd" + data):
        with suppress(CorruptPackError):
            assert len(codec.decompress(blob, 1_000)) <= 1_000


def test_a_damaged_frame_is_text_of_the_claimed_size_or_refused() -> None:
    for position in range(8 * len(BLOB)):
        damaged = bytearray(BLOB)
        damaged[position // 8] ^= 1 << position % 8
        with suppress(CorruptPackError):
            assert len(codec.decompress(bytes(damaged), 4_096)) <= 4_096


def test_after_a_damaged_frame_the_next_is_read() -> None:
    with pytest.raises(CorruptPackError):
        codec.decompress(BLOB[:-3], LIMIT)
    assert codec.decompress(BLOB, LIMIT).startswith(b"some text")


def test_the_checksum_is_what_the_format_says() -> None:
    assert codec.checksum(0, 0, b"") == 0x2D06800538D394C2  # XXH3-64 of nothing, from its specification
    assert codec.checksum(3, 131_072, b"blob") == codec.checksum(0, 3 * 2**25 + 131_072, b"blob")


def test_the_digest_is_what_the_format_says() -> None:
    expected = hashlib.sha256(struct.pack("<QI", 17, 4_096) + b"blob").digest()
    assert codec.digest(17, 4_096, b"blob") == expected
    assert len(expected) == codec.DIGEST_BYTES


@given(st.integers(0, 2**39), st.integers(1, 2**24), st.binary(max_size=300), st.integers(0, 299 * 8))
def test_both_sums_see_another_shard_another_length_and_another_bit(
    shard: int, characters: int, blob: bytes, bit: int
) -> None:
    damaged = bytearray(blob + b"\x00")
    damaged[bit // 8 % len(damaged)] ^= 1 << bit % 8
    inputs = [
        (shard, characters, blob),
        (shard + 1, characters, blob),
        (shard, characters - 1, blob),
        (shard + 1, characters - 1, blob),
        (shard, characters, bytes(damaged)),
        (shard, characters, blob + b"\x00" * 2),
    ]
    assert len({codec.checksum(*each) for each in inputs}) == len(inputs)
    assert len({codec.digest(*each) for each in inputs}) == len(inputs)


@given(st.integers(0, 2**63 - 1), st.binary(max_size=300))
def test_a_sealed_row_is_opened_under_its_key_only(key: int, row: bytes) -> None:
    sealed = codec.seal(key, row)
    assert sealed[:-8] == row
    assert codec.unseal(key, sealed) == row
    for other in (key + 1, key ^ 1 << 32):
        with pytest.raises(CorruptPackError, match="checksum"):
            codec.unseal(other, sealed)


@pytest.mark.parametrize("row", [b"", b"x", b"a row of the directory" * 3])
def test_every_flipped_bit_of_a_sealed_row_is_found(row: bytes) -> None:
    sealed = codec.seal(5 << 32, row)
    for bit in range(8 * len(sealed)):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptPackError, match="checksum"):
            codec.unseal(5 << 32, bytes(damaged))


@pytest.mark.parametrize("cut", [slice(0), slice(1), slice(7), slice(8), slice(-1), slice(1, None)])
def test_a_sealed_row_that_was_cut_is_refused(cut: slice) -> None:
    with pytest.raises(CorruptPackError, match="checksum"):
        codec.unseal(1, codec.seal(1, b"a row of the directory")[cut])


def test_threads_compress_and_decompress_at_once() -> None:
    def round_trip(seed: int) -> bool:
        chance = random.Random(seed)  # noqa: S311  # the same every time
        data = bytes(chance.choices(b"abc\n", k=50_000))
        blob = codec.compress(data, 1 + seed % 5)
        return codec.decompress(blob, len(data)) == data

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(round_trip, range(64)))
