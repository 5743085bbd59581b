"""Manifests: what they say of packs, what they may not say, and the errors of those who believe them."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt.backends.manifests import manifest_at
from distributed_prompt.cli import main
from distributed_prompt.errors import (
    ArgumentError,
    CorruptPackError,
    NotAPackError,
    OutputError,
    OutputExistsError,
    PackChangedError,
    PackNotFoundError,
    UnsupportedPackError,
)
from distributed_prompt.manifest import EDGE, Manifest, PackEntry, parse_manifest, placed
from tests.strategies import WILD

TEXTS = ("alpha beta\n" * 9, "", "gamma \u00e9 needle\n" * 8, "\U0001f600 end")
WHOLE = "".join(TEXTS)
NUMBERS = ("length", "shard_size", "utf8_bytes", "newlines", "width", "documents", "pack_bytes")
TOLD = ("head", "tail", "first_document", "last_document")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("template")
    (place / "parts").mkdir()
    for number, text in enumerate(TEXTS):
        (place / f"{number}.txt").write_text(text, encoding="utf-8", newline="")
        dp.pack(place / f"{number}.txt", place / "parts" / f"{number}.dprompt", shard_size=(7, 64, 5, 3)[number])
    dp.collect(f"{place}/parts/*.dprompt", f"{place}/parts/")
    return place


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return tmp_path / "parts"


def checksum(packs: Any) -> str:
    dumped = json.dumps(packs, sort_keys=True, separators=(",", ":")).encode("ascii")
    return hashlib.sha256(dumped).hexdigest()


def sealed(packs: Any, /, **changes: Any) -> bytes:
    """A manifest of whatever packs, with the right checksum."""
    return json.dumps(
        {"format": "dprompt-manifest", "version": 1, "checksum": checksum(packs), "packs": packs} | changes
    ).encode("ascii")


def packs_of(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "manifest.json").read_bytes())["packs"]
    return found


def change(folder: Path, number: int, **values: Any) -> None:
    """Write the manifest again, its checksum right, another thing said of a pack."""
    packs = packs_of(folder)
    packs[number] |= values
    (folder / "manifest.json").write_bytes(sealed(packs))


# What no JSON keeps apart: two lone surrogates that look like a pair.
CHARACTERS = re.sub("[\ud800-\udbff]", "", WILD)
DIGEST = st.text("0123456789abcdef", min_size=64, max_size=64)


@st.composite
def entries(draw: st.DrawFn) -> PackEntry:
    length = draw(st.sampled_from([0, 1, 5, 63, 64, 65, 2**40]))
    edge = st.text(CHARACTERS, min_size=min(EDGE, length), max_size=min(EDGE, length))
    names = draw(st.none() | st.tuples(st.text(CHARACTERS), st.text(CHARACTERS)))
    return PackEntry(
        address=draw(st.text(CHARACTERS + "/.", min_size=1)),
        length=length,
        shard_size=draw(st.integers(1, 2**24)),
        utf8_bytes=draw(st.integers(length, 4 * length)),
        newlines=draw(st.integers(0, length)),
        width=draw(st.sampled_from([0, 1, 2, 4])),
        documents=draw(st.integers(0, 2**40)),
        pack_bytes=draw(st.integers(0, 2**40)),
        root_digest=draw(DIGEST),
        documents_digest=draw(DIGEST),
        head=draw(st.none() | edge),
        tail=draw(st.none() | edge),
        first_document=names and names[0],
        last_document=names and names[1],
    )


@given(st.lists(entries(), max_size=4))
def test_a_manifest_is_read_as_it_was_written(packs: list[PackEntry]) -> None:
    manifest = Manifest(tuple(packs))
    data = manifest.write()
    assert data.isascii()
    again = parse_manifest(data, "x.json")
    assert again == manifest
    assert again.write() == data
    assert again.digest == manifest.digest


def test_lone_surrogates_that_look_like_a_pair_stay_two_characters(tmp_path: Path) -> None:
    text = "\ud83d\ude00" * 40
    dp.ingest_string(text, tmp_path / "a.dprompt", 7)
    dp.ingest_string("\ude00" + text + "\ud83d", tmp_path / "b.dprompt", 7)
    dp.collect(f"{tmp_path}/*.dprompt", f"{tmp_path}/")
    with dp.open(tmp_path) as prompt:
        assert prompt == text + "\ude00" + text + "\ud83d"
        assert prompt.count("\ude00\ude00") == 1
    assert list(dp.verify(tmp_path)) == []


BAD_NUMBERS: tuple[object, ...] = (
    -1,
    True,
    False,
    None,
    1.0,
    0.5,
    "1",
    [],
    {},
    2**62,
    2**63,
    10**400,
    float("nan"),
    float("inf"),
)


@pytest.mark.parametrize("field", NUMBERS)
def test_numbers_that_cannot_be_are_refused(folder: Path, field: str) -> None:
    for value in BAD_NUMBERS:
        change(folder, 2, **{field: value})
        with pytest.raises(CorruptPackError, match=f"pack 2: {field}"):
            dp.open(folder)


@pytest.mark.parametrize("field", ["address", "root_digest", "documents_digest", *TOLD])
def test_texts_that_cannot_be_are_refused(folder: Path, field: str) -> None:
    more: list[object] = [] if field in TOLD else [None, ""]
    for value in (1, True, [], {}, ["a"], 1.5, *more):
        change(folder, 0, **{field: value})
        with pytest.raises(CorruptPackError, match=f"pack 0: {field}"):
            dp.open(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shard_size", 0),
        ("shard_size", 2**24 + 1),
        ("width", 3),
        ("width", 8),
        ("utf8_bytes", 98),
        ("utf8_bytes", 397),
        ("newlines", 100),
        ("head", "a" * 63),
        ("head", "a" * 65),
        ("tail", ""),
        ("tail", "a" * 65),
        ("root_digest", "0" * 63),
        ("documents_digest", "0" * 64 + "\n"),
    ],
)
def test_values_that_contradict_each_other_are_refused(folder: Path, field: str, value: object) -> None:
    change(folder, 0, **{field: value})
    with pytest.raises(CorruptPackError, match=f"pack 0: {field}"):
        dp.open(folder)


@pytest.mark.parametrize("pack", [None, 1, "a", [], {}, [[]], True])
def test_packs_that_are_no_objects_are_refused(folder: Path, pack: object) -> None:
    (folder / "manifest.json").write_bytes(sealed([*packs_of(folder), pack]))
    with pytest.raises(CorruptPackError, match="pack 4"):
        dp.open(folder)


@pytest.mark.parametrize("field", [*NUMBERS, "address", "root_digest", "documents_digest"])
def test_fields_that_lack_are_refused_and_others_ignored(folder: Path, field: str) -> None:
    packs = packs_of(folder)
    packs[0]["colour"] = {"of": ["later"]}
    (folder / "manifest.json").write_bytes(sealed(packs, comment="of later"))
    with dp.open(folder) as prompt:
        assert prompt == WHOLE
    del packs[1][field]
    (folder / "manifest.json").write_bytes(sealed(packs))
    with pytest.raises(CorruptPackError, match=f"pack 1: {field}"):
        dp.open(folder)


@pytest.mark.parametrize("packs", [None, 1, "packs", {}, {"0": {}}, True])
def test_packs_that_are_no_list_are_refused(folder: Path, packs: object) -> None:
    (folder / "manifest.json").write_bytes(sealed(packs))
    with pytest.raises(CorruptPackError, match="packs cannot be"):
        dp.open(folder)


@pytest.mark.parametrize("version", [0, -1, True, 1.0, 1.5, "1", None, [], float("nan")])
def test_versions_that_cannot_be_are_refused(folder: Path, version: object) -> None:
    (folder / "manifest.json").write_bytes(sealed(packs_of(folder), version=version))
    with pytest.raises((CorruptPackError, UnsupportedPackError)):
        dp.open(folder)


def test_a_newer_version_is_refused_whatever_it_looks_like(folder: Path) -> None:
    for changes in ({"version": 2}, {"version": 10**30, "packs": "elsewhere"}, {"version": 2, "checksum": None}):
        (folder / "manifest.json").write_bytes(sealed(packs_of(folder), **changes))
        with pytest.raises(UnsupportedPackError, match="newer"):
            dp.open(folder)


@pytest.mark.parametrize("wrong", [None, "", "0" * 64, 1, [], {}])
def test_a_wrong_checksum_is_refused(folder: Path, wrong: object) -> None:
    (folder / "manifest.json").write_bytes(sealed(packs_of(folder), checksum=wrong))
    with pytest.raises(CorruptPackError, match="checksum"):
        dp.open(folder)


def test_any_flipped_bit_changes_nothing_or_is_refused(folder: Path) -> None:
    place = folder / "manifest.json"
    data = place.read_bytes()
    own = parse_manifest(data, "x")
    for at in range(0, len(data), 7):
        for bit in (0, 3, 5, 7):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            try:
                found = parse_manifest(bytes(damaged), "x")
            except dp.DPromptError:
                continue
            assert found == own, (at, bit)


@pytest.mark.parametrize("opening", ["[", '{"packs":', '{"format": "dprompt-manifest", "version": 1, "packs": ['])
def test_json_of_any_depth_is_refused(folder: Path, opening: str) -> None:
    closing = {"[": "]", "{": "}"}
    for depth in (*range(900, 1000, 9), 3_000, 100_000):
        inner = "[" * depth + "]" * depth
        for text in (inner, opening + inner + closing[opening[0]], opening + "[" * depth):
            (folder / "manifest.json").write_text("{" + text if text[0] != "{" else text)
            with pytest.raises(dp.DPromptError):
                dp.open(folder)


def test_json_of_a_depth_that_can_be_read_but_not_written_is_refused(folder: Path) -> None:
    for depth in range(300, 1000, 3):
        inner = "[" * depth + "]" * depth
        text = f'{{"format": "dprompt-manifest", "version": 1, "checksum": "", "packs": [{inner}]}}'
        (folder / "manifest.json").write_text(text)
        with pytest.raises(dp.DPromptError):
            dp.open(folder)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"{}",
        b"{}{}",
        b'{"format": 1}',
        b'{"format": "dprompt-manifest"',
        b"{\xff}",
        b'{"a": ' + b"9" * 5000 + b"}",
        '{"format": "dprompt-manifest"}'.encode("utf-16"),
        b"",
        b"[]",
        b"null",
        b"{\0",
    ],
)
def test_other_json_and_none_is_no_manifest(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(data)
    with pytest.raises((NotAPackError, CorruptPackError)):
        dp.open(tmp_path / "manifest.json")


def test_a_manifest_of_any_size_is_not_read_into_memory(tmp_path: Path) -> None:
    place = tmp_path / "manifest.json"
    place.write_bytes(b"{")
    os.truncate(place, 2**40)
    with pytest.raises(CorruptPackError, match="bytes are more"):
        dp.open(tmp_path)


def test_a_manifest_of_no_packs_is_an_empty_text(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(sealed([]))
    with dp.open(tmp_path) as prompt:
        assert prompt == ""
        assert not prompt
        assert (len(prompt), list(prompt.lines), list(prompt.documents), prompt.find("a")) == (0, [], [], -1)
        assert (prompt.count(""), prompt.line_at(0), prompt.document_at(0), str(prompt)) == (1, 0, None, "")
        assert prompt.stats.decoded_shards == 0
        assert "length=0" in repr(prompt)
    assert list(dp.verify(tmp_path)) == []


def test_lengths_that_no_text_can_have_together_are_refused(folder: Path) -> None:
    packs = packs_of(folder)
    for pack in packs:
        pack |= {"length": 2**62 - 1, "utf8_bytes": 2**62 - 1, "head": None, "tail": None}
    (folder / "manifest.json").write_bytes(sealed(packs))
    with pytest.raises(CorruptPackError):
        dp.open(folder)


LIES: dict[str, dict[str, Any]] = {
    "longer": {"length": 120, "utf8_bytes": 120},
    "shorter": {"length": 64, "utf8_bytes": 64},
    "of other shards": {"shard_size": 8},
    "of larger shards": {"shard_size": 2**20},
    "wider": {"width": 4},
    "with fewer newlines": {"newlines": 2},
    "with more newlines": {"newlines": 50},
    "of more documents": {"documents": 5},
    "of no documents": {"documents": 0},
}
USES: dict[str, Callable[[Any], object]] = {
    "str": str,
    "slices": lambda prompt: [prompt[at : at + 9] for at in range(0, len(prompt), 3)],
    "steps": lambda prompt: str(prompt[::-2]),
    "find": lambda prompt: prompt.find("needle"),
    "rfind": lambda prompt: prompt.rfind("alpha"),
    "count": lambda prompt: prompt.count("\n"),
    "lines": lambda prompt: (list(prompt.lines), prompt.lines[len(prompt.lines) - 1]),
    "line_at": lambda prompt: [prompt.line_at(at) for at in range(len(prompt))],
    "documents": lambda prompt: (list(prompt.documents.items()), [prompt.document_at(a) for a in range(len(prompt))]),
    "view": lambda prompt: (list(prompt.view(3, -3).documents), prompt.view(90, 130).isascii()),
    "map": lambda prompt: list(prompt.map(str)),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("use", USES)
def test_what_a_manifest_says_wrong_of_a_pack_is_refused_when_that_is_read(folder: Path, lie: str, use: str) -> None:
    change(folder, 0, **LIES[lie], head=None, tail=None)
    with dp.open(folder) as prompt, pytest.raises((CorruptPackError, PackChangedError), match=r"0\.dprompt"):
        USES[use](prompt)


@pytest.mark.parametrize("lie", LIES)
def test_what_a_manifest_says_wrong_is_found_by_verify(folder: Path, lie: str) -> None:
    assert list(dp.verify(folder)) == []
    change(folder, 0, **LIES[lie], head=None, tail=None)
    (problem,) = dp.verify(folder)
    assert "0.dprompt" in problem


def test_edges_that_are_not_those_of_a_pack_are_found_by_verify(folder: Path) -> None:
    for field in ("head", "tail"):
        own = packs_of(folder)[0][field]
        change(folder, 0, **{field: "z" * 64})
        assert len(list(dp.verify(folder))) == 1
        change(folder, 0, **{field: own})
    assert list(dp.verify(folder)) == []


# Where packs are


@pytest.mark.parametrize(
    "address",
    [
        "/etc/passwd",
        "../other.dprompt",
        "a/../../b",
        "s3://bucket/key",
        "https://host/path",
        "file:///etc/passwd",
        "a?query",
        "a#b",
        "..\\a",
        "a/..",
        "..",
        "//host/path",
    ],
)
@pytest.mark.parametrize("manifest", ["s3://bucket/folder/manifest.json", "https://host/folder/manifest.json"])
def test_a_manifest_from_afar_names_nothing_outside_of_its_folder(address: str, manifest: str) -> None:
    with pytest.raises(CorruptPackError, match="below its own folder"):
        placed(address, manifest, is_far=True)


@pytest.mark.parametrize("address", ["%2e%2e/other", "%2E./other", "a/%2e%2e/%2e%2e/b", ".%2e/x"])
def test_a_manifest_from_the_web_names_no_folder_above_by_escapes(address: str) -> None:
    with pytest.raises(CorruptPackError, match="below its own folder"):
        placed(address, "https://host/folder/manifest.json", is_far=True)


def test_packs_lie_where_the_manifest_of_a_signed_address_does() -> None:
    manifest = "https://host/folder/manifest.json?X-Amz-Credential=AKIA/20260101/s3&X-Amz-Signature=abc"
    found = placed("part.dprompt", manifest, is_far=True)
    assert found.startswith("https://host/folder/part.dprompt")


def test_the_folder_of_a_signed_address_has_its_manifest_before_the_query() -> None:
    assert manifest_at("https://host/folder/?token=a/b") == "https://host/folder/manifest.json?token=a/b"


def test_errors_of_a_manifest_do_not_show_its_signature() -> None:
    with pytest.raises(CorruptPackError) as error:
        placed("../x", "https://host/folder/manifest.json?X-Amz-Signature=secret", is_far=True)
    assert "secret" not in str(error.value)


def test_a_manifest_here_names_packs_anywhere(folder: Path, tmp_path: Path) -> None:
    packs = sorted(folder.glob("*.dprompt"))
    manifest = dp.collect(packs, tmp_path / "elsewhere" / "all.json")
    assert [each.address for each in manifest.packs] == [str(pack) for pack in packs]
    with dp.open(tmp_path / "elsewhere" / "all.json") as prompt:
        assert prompt == WHOLE
    dp.collect(packs, tmp_path / "all.json")
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(moved)
    try:
        with dp.open(moved / "all.json") as prompt:
            assert prompt == WHOLE
    finally:
        moved.rename(tmp_path)


def test_packs_are_found_from_any_working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    addresses: tuple[Any, ...] = ("parts", "parts/", "parts/manifest.json", ["parts/0.dprompt"], "parts/*.dprompt")
    prompts = [dp.open(address) for address in addresses]
    monkeypatch.chdir("/")
    for prompt in prompts:
        assert prompt[:5] == "alpha"
        prompt.close()


@pytest.mark.parametrize("address", ["no\0thing", "\ud800", "x" * 300, "sub/manifest.json", ".", "gone.dprompt"])
def test_addresses_of_no_pack_are_refused_when_they_are_read(folder: Path, address: str) -> None:
    change(folder, 2, address=address)
    with dp.open(folder) as prompt:
        assert prompt[:5] == "alpha"
        with pytest.raises(dp.DPromptError):
            prompt.count("needle")


def test_a_manifest_that_names_itself_is_refused(folder: Path) -> None:
    change(folder, 0, address="manifest.json")
    with dp.open(folder) as prompt, pytest.raises(dp.DPromptError):
        prompt.find("a")


# Packs that are gone


def test_a_pack_that_is_missing_is_named(folder: Path) -> None:
    (folder / "2.dprompt").unlink()
    with dp.open(folder) as prompt:
        assert len(prompt) == len(WHOLE)
        assert prompt[:5] == "alpha"
        with pytest.raises(PackNotFoundError, match=r"2\.dprompt"):
            prompt.find("needle")
        assert prompt[-3:] == "end"
    (problem,) = dp.verify(folder)
    assert "2.dprompt" in problem


def test_a_pack_that_was_changed_is_named(folder: Path) -> None:
    shutil.copy(folder / "0.dprompt", folder / "2.dprompt")
    with dp.open(folder) as prompt:
        assert prompt[:5] == "alpha"
        with pytest.raises(PackChangedError, match=r"2\.dprompt.*another pack"):
            prompt.find("needle")
        with pytest.raises(PackChangedError, match=r"2\.dprompt"):
            prompt.find("needle")
    (problem,) = dp.verify(folder)
    assert "2.dprompt" in problem
    with pytest.raises(PackChangedError, match=r"2\.dprompt"):
        dp.unpack(folder, folder.parent / "out")
    assert not (folder.parent / "out").exists()


def test_a_pack_whose_documents_alone_changed_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "renamed.txt").write_text(TEXTS[0])
    dp.pack(tmp_path / "renamed.txt", folder / "0.dprompt", shard_size=7, overwrite=True)
    with dp.open(folder) as prompt, pytest.raises(PackChangedError, match=r"0\.dprompt.*documents digest"):
        prompt.find("alpha")


def test_a_pack_of_another_engine_has_another_place_but_the_same_digests(folder: Path) -> None:
    dp.convert(folder / "0.dprompt", folder / "new.dprompt", store="lmdb")
    (folder / "new.dprompt").replace(folder / "0.dprompt")
    with dp.open(folder) as prompt:
        assert prompt == WHOLE


# What collect writes


def test_collect_describes_each_pack(folder: Path) -> None:
    manifest = parse_manifest((folder / "manifest.json").read_bytes(), "x")
    assert [each.address for each in manifest.packs] == [f"{number}.dprompt" for number in range(4)]
    for entry, text in zip(manifest.packs, TEXTS, strict=True):
        assert (entry.length, entry.newlines, entry.documents) == (len(text), text.count("\n"), 1)
        assert entry.utf8_bytes == len(text.encode())
        assert (entry.head, entry.tail) == (text[:64], text[-64:])
        assert (entry.first_document, entry.last_document) == (None, None)
        assert entry.pack_bytes == (folder / entry.address).stat().st_size
    assert manifest == Manifest(tuple(replace(each) for each in manifest.packs))


def test_collect_writes_over_nothing(folder: Path) -> None:
    before = (folder / "manifest.json").read_bytes()
    for output in (f"{folder}/", folder / "manifest.json"):
        with pytest.raises(OutputExistsError, match="manifest"):
            dp.collect([folder / "0.dprompt"], output)
    assert (folder / "manifest.json").read_bytes() == before
    assert len(dp.collect([folder / "0.dprompt"], f"{folder}/", overwrite=True).packs) == 1
    with dp.open(folder) as prompt:
        assert prompt == TEXTS[0]


def test_collect_never_writes_over_a_pack_it_names(tmp_path: Path) -> None:
    dp.ingest_string("text", tmp_path / "a.dprompt")
    (tmp_path / "a.dprompt").rename(tmp_path / "a.json")
    with pytest.raises(dp.DPromptError):
        dp.collect([tmp_path / "a.json"], tmp_path / "a.json", overwrite=True)
    with dp.open(tmp_path / "a.json") as prompt:
        assert prompt == "text"


def test_collect_refuses_outputs_of_other_names_and_inputs_of_other_kinds(folder: Path, tmp_path: Path) -> None:
    pack = folder / "0.dprompt"
    for output in ("out.txt", "out", "out.json.gz", "", "."):
        with pytest.raises(ArgumentError, match=r"\.json"):
            dp.collect([pack], tmp_path / output if output else output)
    wrong: list[list[Path | str]] = [[], [folder], [folder / "manifest.json"], [pack, f"{folder}/"]]
    for packs in wrong:
        with pytest.raises(ArgumentError):
            dp.collect(packs, tmp_path / "x.json")
    with pytest.raises(PackNotFoundError):
        dp.collect(f"{tmp_path}/no*", tmp_path / "x.json")
    with pytest.raises(PackNotFoundError):
        dp.collect([tmp_path / "no.dprompt"], tmp_path / "x.json")
    with pytest.raises(NotAPackError):
        dp.collect([tmp_path / "0.txt"], tmp_path / "x.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        dp.collect([pack], tmp_path / "file" / "x.json")
    with pytest.raises(dp.DPromptError):
        dp.collect([pack], "https://host/x.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.txt", "1.txt", "2.txt", "3.txt", "file", "parts"]


def test_what_lies_in_the_folder_of_a_manifest_beside_it_is_not_read(folder: Path) -> None:
    dp.ingest_string("stray", folder / "stray.dprompt")
    with dp.open(folder) as prompt:
        assert prompt == WHOLE


# The command line


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def test_commands_that_read_take_a_manifest_or_its_folder(folder: Path, tmp_path: Path) -> None:
    for place in (folder, f"{folder}/", folder / "manifest.json"):
        assert str(len(WHOLE)) in run("info", place).output
        assert "sound" in run("verify", place).output
        assert str(WHOLE.find("needle")) in run("find", place, "needle").output
        assert run("grep", "need+le", place).output.count("needle") == 8
        assert run("cat", place).stdout == WHOLE
        assert run("cat", place, "95:105").stdout == WHOLE[95:105]
        for number in range(4):
            assert f"{number}.txt" in run("ls", place).output
        run("find", place, "nowhere", code=1)
        run("grep", "nowhere", place, code=1)
    run("unpack", folder, "-o", tmp_path / "out")
    for number, text in enumerate(TEXTS):
        assert (tmp_path / "out" / f"{number}.txt").read_bytes() == text.encode()


def test_collect_on_the_command_line(folder: Path, tmp_path: Path) -> None:
    result = run("collect", f"{folder}/*.dprompt", "-o", tmp_path / "all.json")
    assert "4 packs" in result.output
    with dp.open(tmp_path / "all.json") as prompt:
        assert prompt == WHOLE
    assert "exists" in run("collect", folder / "0.dprompt", "-o", tmp_path / "all.json", code=1).output
    assert "1 pack" in run("collect", folder / "0.dprompt", "-o", tmp_path / "all.json", "--force").output
    run("collect", folder / "gone.dprompt", "-o", tmp_path / "x.json", code=1)
    run("collect", f"{folder}/no*", "-o", tmp_path / "x.json", code=1)
    run("collect", folder, "-o", tmp_path / "x.json", code=1)
    run("collect", folder / "0.dprompt", "-o", tmp_path / "x", code=1)
    run("collect", "-o", tmp_path / "x.json", code=2)
    run("collect", folder / "0.dprompt", code=2)


COMMANDS: dict[str, Callable[[Path], tuple[object, ...]]] = {
    "info": lambda place: ("info", place),
    "verify": lambda place: ("verify", place),
    "find": lambda place: ("find", place, "needle"),
    "grep": lambda place: ("grep", "needle", place),
    "cat": lambda place: ("cat", place),
    "ls": lambda place: ("ls", place),
    "unpack": lambda place: ("unpack", place, "-o", place.parent / "out"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_say_in_a_line_what_is_wrong(folder: Path, name: str) -> None:
    code = 2 if name in {"find", "grep"} else 1
    (folder / "2.dprompt").unlink()
    if name != "info":
        assert "2.dprompt" in run(*COMMANDS[name](folder), code=code).output
    for data in (b"{", sealed([None]), sealed([], version=9), b"{}"):
        (folder / "manifest.json").write_bytes(data)
        assert "manifest" in run(*COMMANDS[name](folder), code=code).output


def test_commands_that_change_a_pack_refuse_a_manifest(folder: Path, tmp_path: Path) -> None:
    before = (folder / "manifest.json").read_bytes()
    (tmp_path / "new.txt").write_text("new")
    for place in (folder, folder / "manifest.json"):
        run("append", place, tmp_path / "new.txt", code=1)
        run("convert", place, "-o", tmp_path / "x.dprompt", "--store", "lmdb", code=1)
        run("index", place, code=1)
    run("unpack", folder, "-o", "-", code=1)
    run("pack", tmp_path / "new.txt", "-o", folder / "manifest.json", code=1)
    assert (folder / "manifest.json").read_bytes() == before
