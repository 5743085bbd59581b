"""The n-gram index may only ever skip what cannot match: compared with ``str`` and with packs that have none."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt import re as prompt_re
from distributed_prompt.geometry import SEGMENT_SHARDS
from distributed_prompt.ngrams import Sieve
from distributed_prompt.store import ngrams as stored
from distributed_prompt.store.base import Table
from distributed_prompt.text import grams
from distributed_prompt.text.literal import Literal
from tests.inside import Indexed, set_segments, shards_of
from tests.strategies import examples

SIZES = (4, 5, 7, 16, 64)
WORDS = (
    *("kernel", "Kernel", "\u212aERNEL", "panic", "\u0130stanbul", "istanbul", "\u017ftop", "\u0131nt"),
    *("\u65e5\u672c\u8a9e", "aaaaa", "abab", "\n", " ", "\U0001f600x", "\u00e9t\u00e9s", "\ud800yz", "\0\0\0\0"),
)
SEEN = (
    *("kernel", "KERNEL", "nel pa", "panicpanic", "istanbul", "aaaa", "aaaaaa", "ababab", "stop", "\u65e5\u672c"),
    *(
        "\u8a9e\u65e5\u672c",
        "x\U0001f600",
        "t\u00e9s\u00e9",
        "absent",
        "\0\0\0\0\0",
        "yz\ud800",
        "int kernel",
        "\u0130stan",
    ),
)


texts = st.lists(st.sampled_from(WORDS), max_size=60).map("".join)


@pytest.fixture(autouse=True)
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Index even the smallest texts."""
    monkeypatch.setattr(stored, "LEAST_SHARDS", 1)
    monkeypatch.setattr(stored, "LEAST_SIZE", 1)


def indexed(text: str, shard_size: int) -> dp.DistributedPrompt:
    prompt = dp.DistributedPrompt(Indexed(text, shard_size))
    prompt.view_threshold = 10
    return prompt


@given(st.binary(max_size=40), st.binary(max_size=300))
def test_a_text_has_the_buckets_of_all_that_ends_in_it(data: bytes, before: bytes) -> None:
    entries = grams.entries(data, before)
    whole = before[-grams.BEFORE_BYTES :] + data
    assert {int(entry) for entry in entries.nonzero()[0] if entry < grams.BUCKETS} == {
        grams.bucket(whole[at : at + 4].lower()) for at in range(len(whole) - 3)
    }
    for length in range(4, min(len(whole), 260)):
        assert all(entries[bucket] for bucket in grams.literal_buckets(whole[-length:]))


@pytest.mark.parametrize("flags", [re.IGNORECASE, re.IGNORECASE | re.ASCII])
def test_the_flags_are_all_characters_that_match_ascii_in_another_case(flags: int) -> None:
    pattern = re.compile("[a-zA-Z0-9]", flags)
    beyond = [chr(code) for code in range(128, sys.maxunicode + 1)]
    assert {character for character in beyond if pattern.fullmatch(character)} <= grams.FLAGS.keys()
    lowered = {character for character in beyond if any(map(str.isascii, character.lower()))}
    assert lowered <= grams.FLAGS.keys()
    assert [character for character in beyond if len(character.lower()) != 1] == ["\u0130"]


@given(texts, st.sampled_from(SIZES), st.sampled_from(SEEN), st.booleans())
def test_no_shard_is_skipped_that_an_occurrence_ends_in(
    text: str,
    shard_size: int,
    needle: str,
    ignore_case: bool,  # noqa: FBT001  # hypothesis passes it by name
) -> None:
    literal = Literal(needle, ignore_case=ignore_case)
    pack = Indexed(text, shard_size).pack
    if not Sieve.can_tell([literal], shard_size):
        return
    sieve = Sieve(pack.ngrams, [literal])
    pattern = re.compile(f"(?={re.escape(needle)})", re.IGNORECASE if ignore_case else 0)
    for match in pattern.finditer(text):
        assert sieve.holds((match.start() + len(needle) - 1) // shard_size)


@given(texts, st.sampled_from(SIZES), st.sampled_from(SEEN), st.data())
def test_searches_find_what_str_finds(text: str, shard_size: int, needle: str, data: st.DataObject) -> None:
    prompt = indexed(text, shard_size)
    bounds = st.one_of(st.none(), st.integers(-len(text) - 2, len(text) + 2))
    start, stop = data.draw(bounds), data.draw(bounds)
    for method in ("find", "rfind", "count"):
        assert getattr(prompt, method)(needle, start, stop) == getattr(text, method)(needle, start, stop), method
    assert (needle in prompt) == (needle in text)
    first, last, _ = slice(start, stop).indices(len(text))
    for ignore_case in (False, True):
        pattern = re.compile(re.escape(needle), re.IGNORECASE if ignore_case else 0)
        found = list(prompt.find_all(needle, start, stop, ignore_case=ignore_case))
        assert found == [match.start() for match in pattern.finditer(text, first, last)]
    assert prompt.find_many(SEEN[:4]) == {word: text.find(word) for word in SEEN[:4]}


@given(texts, st.sampled_from(SIZES), st.sampled_from(SEEN), st.data())
def test_lazy_texts_are_those_that_str_makes(text: str, shard_size: int, needle: str, data: st.DataObject) -> None:
    prompt = indexed(text, shard_size)
    bounds = st.one_of(st.none(), st.integers(-len(text) - 2, len(text) + 2))
    start, stop = data.draw(bounds), data.draw(bounds)
    view, part = prompt.view(start, stop), text[start:stop]
    for lazy, real in (
        (view.lower(), part.lower()),
        (view.replace(needle, "<>"), part.replace(needle, "<>")),
        (view.replace(needle, "", 2), part.replace(needle, "", 2)),
        (view.lower().replace(needle, "much longer"), part.lower().replace(needle, "much longer")),
    ):
        for word in (needle, needle.lower(), "i\u0307stan"):
            assert lazy.find(word) == real.find(word)
            assert lazy.rfind(word) == real.rfind(word)
            assert lazy.count(word) == real.count(word)
        assert lazy[len(real) // 2 :] == real[len(real) // 2 :]
        assert len(lazy) == len(real)
        assert str(lazy) == real
    fields = view.split(needle)
    assert len(fields) == len(part.split(needle))
    assert fields[-1] == part.split(needle)[-1]
    assert list(fields) == part.split(needle)


PIECES = (
    *("kernel", "panic", "istanbul", "stop", "aaaa", "abab", "(?:kernel|panic)", "(?i:Stop|int)", "(istanbul)?", " "),
    *(r"\b", r"\w*", r"[^\n]*", ".*", ".{0,9}", r"\s+", "a+", "$", "^", r"\u65e5.", "(?=panic)", "(?<=nel)", "(?!k)"),
)


@pytest.mark.thorough
@examples(100, at_soak=4)
@given(
    texts,
    st.sampled_from((*SIZES, 300)),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join),
    st.sampled_from([0, re.IGNORECASE, re.MULTILINE, re.IGNORECASE | re.ASCII, re.DOTALL]),
    st.integers(0, 5),
)
def test_regular_expressions_match_what_they_match_in_str(
    text: str, shard_size: int, pattern: str, flags: int, start: int
) -> None:
    prompt = indexed(text, shard_size)
    compiled = re.compile(pattern, flags)

    def found(matches: Iterable[Any]) -> list[object]:
        return [(match.span(), match.groups(), match.lastindex) for match in matches]

    own = prompt_re.compile(pattern, flags)
    assert found(own.finditer(prompt, start)) == found(compiled.finditer(text, start))
    first, expected = own.search(prompt, start), compiled.search(text, start)
    assert found([first] if first else []) == found([expected] if expected else [])
    lowered = re.sub(pattern, "<>", text.lower(), flags=flags)
    assert prompt_re.sub(pattern, "<>", prompt.lower(), flags=flags) == lowered


def test_a_regular_expression_decodes_only_what_can_match() -> None:
    text = "".join(f"line {number:06d} of a text\n" for number in range(4000))
    prompt = indexed(text, 1000)
    shards = shards_of(prompt)
    for pattern, most in (
        ("l[a-z]+ 003210 .*", 3),
        ("nowhere|003210 of", 3),
        ("(?i)LINE 003210", 3),
        ("nowhere.*x", 0),
    ):
        before = shards.stats.decoded_shards
        assert [m.span() for m in prompt_re.finditer(pattern, prompt)] == [m.span() for m in re.finditer(pattern, text)]
        assert shards.stats.decoded_shards <= before + most, pattern


def test_what_is_not_there_is_not_looked_for() -> None:
    text = "".join(f"line {number:06d} of a text\n" for number in range(4000))
    prompt = indexed(text, 1000)
    shards = shards_of(prompt)
    assert prompt[0] == "l"
    before = shards.stats.decoded_shards
    absent = "nowhere to be found"
    assert (prompt.find(absent), prompt.count(absent), absent in prompt) == (-1, 0, False)
    assert list(prompt.find_all(absent.upper(), ignore_case=True)) == []
    assert len(prompt.split(absent)) == 1
    assert len(prompt.replace(absent, "x")) == len(text)
    assert shards.stats.decoded_shards == before
    assert prompt.find("line 003210 of") == text.find("line 003210 of")
    assert prompt.lower().find("line 003210 of") == text.find("line 003210 of")
    assert shards.stats.decoded_shards <= before + 4


def test_a_needle_that_lies_across_two_shards_costs_both_and_no_more() -> None:
    text = "a" * 995 + "needle" + "b" * 5000
    prompt = indexed("c" * 20_000 + text, 1000)
    shards = shards_of(prompt)
    assert prompt[0] == "c"
    before = shards.stats.decoded_shards
    assert prompt.count("needle") == 1
    assert shards.stats.decoded_shards == before + 2
    assert prompt.rfind("needle") == 20_995


def lines(count: int) -> str:
    letters = "K\u212a\u0130"
    return "".join(f"line {number:06d} of a text, {letters[number % 3]}\n" for number in range(count))


def assert_grown_as_packed(folder: Path, store: str, text: str, cut: int, segment: int) -> None:
    """A pack that grew has the rows of the index that packing everything at once makes."""
    (folder / "a").write_text(text[:cut])
    (folder / "b").write_text(text[cut:])
    whole, grown = folder / "whole.dprompt", folder / "grown.dprompt"
    dp.pack([folder / "a", folder / "b"], whole, shard_size=16, store=store)
    dp.pack(folder / "a", grown, shard_size=16, store=store)
    dp.append(grown, folder / "b")
    with dp.open(whole) as one, dp.open(grown) as other:
        rows = [list(shards_of(prompt).pack.store.get_range(Table.NGRAMS, 0, 2**60)) for prompt in (one, other)]
        assert rows[0] == rows[1]
        assert len(rows[0]) == (stored.GROUPS + 1) * -(-len(text) // (16 * segment))
    assert list(dp.verify(grown)) == []


@pytest.mark.thorough
def test_a_pack_that_grows_has_the_index_that_packing_everything_makes(tmp_path: Path) -> None:
    assert_grown_as_packed(tmp_path, "sqlite", lines(3_000), 65_530, SEGMENT_SHARDS)


@pytest.mark.thorough
@pytest.mark.parametrize("store", ["sqlite", "lmdb"])
@pytest.mark.parametrize("cut", [0, 3, 320, 1_018, 1_024, 1_028, 1_500])
def test_wherever_a_pack_grows_it_has_the_index_that_packing_everything_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, cut: int
) -> None:
    set_segments(monkeypatch, 64, 1)
    assert_grown_as_packed(tmp_path, store, lines(70), cut, 64)


@pytest.mark.thorough
@pytest.mark.parametrize("store", ["sqlite", "lmdb"])
def test_an_index_made_later_is_that_made_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    set_segments(monkeypatch, 64, 1)
    (tmp_path / "a").write_text(lines(300))
    one, other, converted = (tmp_path / name for name in ("one.dprompt", "other.dprompt", "converted.dprompt"))
    dp.pack(tmp_path / "a", one, shard_size=16, store=store)
    dp.pack(tmp_path / "a", other, shard_size=16, store=store, index=False)
    assert "ngrams" not in shards_of(dp.open(other)).pack.metadata.features
    assert dp.add_index(other, tmp_path / "third.dprompt")
    assert dp.add_index(other)
    assert not dp.add_index(other)
    dp.convert(other, converted, store="lmdb" if store == "sqlite" else "sqlite")
    dp.convert(converted, tmp_path / "back.dprompt", store=store)
    expected = one.read_bytes()
    for made in ("other.dprompt", "third.dprompt", "back.dprompt"):
        if store == "sqlite":
            assert (tmp_path / made).read_bytes() == expected
        assert list(dp.verify(tmp_path / made)) == []


def test_small_shards_and_few_shards_are_not_indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    (tmp_path / "a").write_text("some text\n" * 10_000)
    for shard_size, features in ((1000, "documents"), (2**15, "documents ngrams")):
        dp.pack(tmp_path / "a", tmp_path / "a.dprompt", shard_size=shard_size, overwrite=True)
        with dp.open(tmp_path / "a.dprompt") as prompt:
            pack = shards_of(prompt).pack
            assert pack.metadata.features == tuple(features.split())
            assert pack.store.get_range(Table.NGRAMS, 0, 2**60) == []
            assert prompt.count("text\nsome") == 9_999
            assert prompt.find("absent") == -1
    dp.pack(tmp_path / "a", tmp_path / "a.dprompt", shard_size=1000, overwrite=True)
    with pytest.raises(dp.DPromptError, match="too small for an index"):
        dp.add_index(tmp_path / "a.dprompt")


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["upper", "swapcase", "casefold", "title", "capitalize", "lower"])
@pytest.mark.parametrize("word", ["xyz stra\u00dfen", "wxy\ufb03xy", "xyz\u0149wxy", "abc\u212adef", "abc\u0130def"])
def test_what_a_case_mapping_makes_of_one_letter_is_found_in_what_it_makes(method: str, word: str) -> None:
    text = "aaaa bbbb cccc dddd " * 30
    text = text[:310] + word + text[310:]
    for needle in (getattr(word, method)()[-6:], getattr(word, method)()[2:8]):
        made = getattr(text, method)()
        assert getattr(indexed(text, 50), method)().find(needle) == made.find(needle)
        assert getattr(indexed(text, 50), method)().count(needle) == made.count(needle)
