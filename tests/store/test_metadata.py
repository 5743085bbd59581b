import dataclasses
import hashlib
import json
import re
import struct
import sys
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt.errors import CorruptPackError, UnsupportedPackError
from distributed_prompt.geometry import MAX_SHARD_SIZE, shard_count
from distributed_prompt.store.metadata import Metadata, create_metadata, parse_metadata

NAME = "/some/where.dprompt"
METADATA = Metadata(
    features=("documents",),
    length=1_000_003,
    shard_size=4_096,
    shards=245,
    utf8_bytes=1_200_000,
    newlines=20_000,
    lines=20_001,
    width=2,
    level=3,
    documents=1,
    documents_digest="cd" * 32,
    root_digest="5a" * 32,
)
ROWS = create_metadata(METADATA)
NUMBERS = ["length", "shard_size", "shards", "utf8_bytes", "newlines", "lines", "width", "level", "documents"]


def checksum(rows: Mapping[str, str]) -> str:
    """As the format's documentation says."""
    data = b"".join(
        struct.pack("<QQ", len(name.encode()), len(rows[name].encode())) + f"{name}{rows[name]}".encode()
        for name in sorted(rows)
        if name != "checksum"
    )
    return hashlib.sha256(data).hexdigest()


def changed(**changes: str | None) -> dict[str, str]:
    """The rows with some changed or (None) removed, and a checksum that is right."""
    rows = {name: value for name, value in (ROWS | changes).items() if value is not None}
    return rows | {"checksum": checksum(rows)}


@st.composite
def all_metadata(draw: st.DrawFn) -> Metadata:
    length, shard_size = draw(st.integers(0, 10**12)), draw(st.integers(1, MAX_SHARD_SIZE))
    newlines = draw(st.integers(0, length))
    return Metadata(
        features=draw(st.sampled_from([(), ("documents",)])),
        length=length,
        shard_size=shard_size,
        shards=shard_count(length, shard_size),
        utf8_bytes=draw(st.integers(length, 4 * length)),
        newlines=newlines,
        lines=max(newlines, length > 0) + draw(st.integers(0, 1 if 0 < newlines < length else 0)),
        width=draw(st.sampled_from([0, 1, 2, 4])),
        level=draw(st.integers(1, 22)),
        documents=draw(st.integers(0, 10**6)),
        documents_digest=draw(st.binary(min_size=32, max_size=32)).hex(),
        root_digest=draw(st.binary(min_size=32, max_size=32)).hex(),
        header=draw(st.none() | st.text(max_size=20)),
    )


@given(all_metadata())
def test_metadata_comes_back_from_its_rows(metadata: Metadata) -> None:
    rows = create_metadata(metadata)
    assert all(isinstance(value, str) for value in rows.values())
    assert parse_metadata(rows, NAME) == metadata
    assert parse_metadata(dict(reversed(rows.items())), NAME) == metadata


def test_the_rows_are_what_the_format_says() -> None:
    assert {
        "format_version": "1",
        "features": "documents",
        "length": "1000003",
        "shard_size": "4096",
        "shards": "245",
        "utf8_bytes": "1200000",
        "newlines": "20000",
        "lines": "20001",
        "width": "2",
        "codec": "zstd",
        "level": "3",
        "documents": "1",
        "documents_digest": "cd" * 32,
        "root_digest": "5a" * 32,
        "checksum": checksum(ROWS),
    } == ROWS


def test_features_are_in_ascending_order() -> None:
    rows = create_metadata(dataclasses.replace(METADATA, features=("zebra", "documents", "ant")))
    assert rows["features"] == "ant documents zebra"


@pytest.mark.parametrize("name", [*ROWS, "unknown"])
def test_a_row_that_was_changed_by_damage_is_found_by_the_checksum(name: str) -> None:
    damaged = ROWS | {name: ROWS.get(name, "") + "0"}
    if name == "format_version":
        damaged[name] = "0"
    with pytest.raises(CorruptPackError, match=f"{re.escape(NAME)}: metadata: (checksum|format_version)"):
        parse_metadata(damaged, NAME)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_that_was_lost_is_found_by_the_checksum(name: str) -> None:
    rows = {other: value for other, value in ROWS.items() if other != name}
    with pytest.raises(CorruptPackError, match=f"{re.escape(NAME)}: metadata: (checksum|format_version)"):
        parse_metadata(rows, NAME)


def test_every_flipped_bit_is_found() -> None:
    for name, value in ROWS.items():
        for bit in range(8 * len(value)):
            letters = list(value)
            letters[bit // 8] = chr(ord(letters[bit // 8]) ^ 1 << bit % 8)
            with pytest.raises((CorruptPackError, UnsupportedPackError), match=re.escape(NAME)):
                parse_metadata(ROWS | {name: "".join(letters)}, NAME)


def test_an_empty_table_is_damage() -> None:
    with pytest.raises(CorruptPackError, match=re.escape(NAME)):
        parse_metadata({}, NAME)


def test_two_rows_whose_values_were_swapped_are_found() -> None:
    swapped = ROWS | {"newlines": ROWS["lines"], "lines": ROWS["newlines"]}
    with pytest.raises(CorruptPackError, match="checksum"):
        parse_metadata(swapped, NAME)


@pytest.mark.parametrize("extra", [{"colour": "blue"}, {"": ""}, {"a\nb": "c=d\n"}, {"größe": "😀"}])
def test_rows_of_unknown_names_are_ignored(extra: dict[str, str]) -> None:
    assert parse_metadata(changed(**extra), NAME) == METADATA


@pytest.mark.parametrize("version", ["2", "10", "999999999999"])
def test_a_newer_format_is_refused_by_its_number_before_anything_else(version: str) -> None:
    for rows in (changed(format_version=version), {"format_version": version}, ROWS | {"format_version": version}):
        with pytest.raises(UnsupportedPackError, match=rf"{re.escape(NAME)}: format {version}.* newer dprompt"):
            parse_metadata(rows, NAME)


@pytest.mark.parametrize("features", ["frobnication", "documents frobnication", "frobnication zebra", "Documents"])
def test_an_unknown_feature_is_refused_by_its_name(features: str) -> None:
    unknown = next(word for word in features.split() if word != "documents")
    with pytest.raises(UnsupportedPackError, match=rf"{re.escape(NAME)}: .* uses feature '{unknown}'.* newer dprompt"):
        parse_metadata(changed(features=features), NAME)


@pytest.mark.parametrize("codec", ["lz4", "", "ZSTD", None])
def test_another_codec_is_refused(codec: str | None) -> None:
    with pytest.raises(UnsupportedPackError, match=rf"{re.escape(NAME)}: this pack uses codec {codec!r}, which"):
        parse_metadata(changed(codec=codec), NAME)


def test_a_pack_without_features_is_read() -> None:
    assert parse_metadata(changed(features=""), NAME) == dataclasses.replace(METADATA, features=())


@pytest.mark.parametrize(
    "value", [None, "", "x", "-1", "1.5", "0x10", "1e3", pytest.param("9" * 5_000, id="5000-digits")]
)
@pytest.mark.parametrize("field", NUMBERS)
def test_a_number_that_is_none_is_damage(field: str, value: str | None) -> None:
    shown = "(missing)" if value is None else value[:80]
    with pytest.raises(CorruptPackError, match=f"{re.escape(NAME)}: metadata: {field} {re.escape(shown)} cannot be"):
        parse_metadata(changed(**{field: value}), NAME)


@pytest.mark.parametrize("version", [None, "", "0", "-1", "x", "1.0", pytest.param("9" * 5_000, id="5000-digits")])
def test_a_format_version_that_is_none_is_refused(version: str | None) -> None:
    with pytest.raises((CorruptPackError, UnsupportedPackError), match=re.escape(NAME)):
        parse_metadata(changed(format_version=version), NAME)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shard_size", "0"),
        ("shard_size", str(MAX_SHARD_SIZE + 1)),
        ("shard_size", "4000"),
        ("shards", "244"),
        ("shards", "246"),
        ("shards", "0"),
        ("length", "0"),
        ("length", str(245 * 4_096 + 1)),
        ("width", "3"),
        ("width", "5"),
        ("width", "8"),
        ("utf8_bytes", "0"),
        ("utf8_bytes", "1000002"),
        ("utf8_bytes", "4000013"),
        ("newlines", "1000004"),
        ("newlines", str(2**63 - 1)),
        ("lines", "19999"),
        ("lines", "20002"),
        ("lines", str(2**63 - 1)),
        ("root_digest", None),
        ("root_digest", ""),
        ("root_digest", "z" * 64),
        ("root_digest", "5a" * 31),
        ("features", None),
        ("level", "0"),
        ("level", "23"),
        ("header", ""),
        ("header", "words"),
        ("header", "0"),
        ("header", "1"),
        ("header", '["words"]'),
        ("header", "[" * 100_000),
    ],
)
def test_a_value_that_cannot_be_is_damage(field: str, value: str | None) -> None:
    about = r"(shards|lines)" if field in {"shard_size", "length"} else field
    with pytest.raises(CorruptPackError, match=f"^{re.escape(NAME)}: metadata: ({field}|{about}) .* cannot be$"):
        parse_metadata(changed(**{field: value}), NAME)


@pytest.mark.parametrize(
    ("length", "newlines", "lines", "is_right"),
    [
        (0, 0, 0, True),
        (0, 0, 1, False),
        (1, 0, 0, False),
        (1, 0, 1, True),
        (1, 1, 1, True),
        (1, 1, 2, False),
        (3, 2, 2, True),
        (3, 2, 3, True),
        (3, 2, 1, False),
        (3, 2, 4, False),
    ],
)
def test_lines_are_as_many_as_a_text_can_have(length: int, newlines: int, lines: int, *, is_right: bool) -> None:
    counts = {"length": length, "newlines": newlines, "lines": lines, "utf8_bytes": length, "shards": int(length > 0)}
    rows = changed(**{name: str(count) for name, count in counts.items()})
    if is_right:
        assert parse_metadata(rows, NAME).lines == lines
    else:
        with pytest.raises(CorruptPackError, match=f"{re.escape(NAME)}: metadata: lines {lines} cannot be"):
            parse_metadata(rows, NAME)


@pytest.mark.parametrize("length", [2**63, 10**30, pytest.param(10**4_000, id="4000-digits")])
def test_a_length_that_no_text_can_have_is_damage(length: int) -> None:
    shards = shard_count(length, METADATA.shard_size)
    with pytest.raises(CorruptPackError, match=re.escape(NAME)):
        parse_metadata(changed(length=str(length), shards=str(shards)), NAME)


@given(st.dictionaries(st.sampled_from([*ROWS, "other"]), st.text(max_size=12)))
def test_any_text_is_read_or_refused_with_the_packs_name(changes: dict[str, str]) -> None:
    rows = ROWS | changes
    for candidate in (rows, rows | {"checksum": checksum_of_any(rows)}):
        try:
            parse_metadata(candidate, NAME)
        except (CorruptPackError, UnsupportedPackError) as error:
            assert str(error).startswith(f"{NAME}: ")  # noqa: PT017  # more than a match


def checksum_of_any(rows: Mapping[str, str]) -> str:
    try:
        return checksum(rows)
    except UnicodeEncodeError:
        return ""


def test_the_largest_values_are_read() -> None:
    counts = {"length": sys.maxsize, "shard_size": MAX_SHARD_SIZE, "newlines": 0, "lines": 1}
    counts |= {"utf8_bytes": sys.maxsize, "shards": shard_count(sys.maxsize, MAX_SHARD_SIZE), "documents": sys.maxsize}
    found = parse_metadata(changed(**{name: str(count) for name, count in counts.items()}), NAME)
    assert {name: getattr(found, name) for name in counts} == counts


@pytest.mark.parametrize("header", ["", "## {name}\n", "größe 😀", "\ud800", "null"])
def test_a_header_is_a_row_only_if_there_is_one(header: str) -> None:
    rows = create_metadata(dataclasses.replace(METADATA, header=header))
    assert json.loads(rows["header"]) == header
    assert parse_metadata(rows, NAME).header == header
    assert "header" not in ROWS
