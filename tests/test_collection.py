"""Many packs as one text, against ``str`` and ``re`` on the texts one after the other."""

import os
import pickle
import random
import re
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt import attaching, lazy_str
from distributed_prompt import collection as collection_module
from distributed_prompt import re as prompt_re
from distributed_prompt import runs as runs_module
from distributed_prompt import shards as shards_module
from distributed_prompt.backends.addresses import open_backend
from distributed_prompt.backends.memory_backend import MemoryBackend
from distributed_prompt.collection import Collection
from distributed_prompt.errors import ArgumentError, ClosedError, PackChangedError, PackNotFoundError
from distributed_prompt.lazy_str import LazyStr
from distributed_prompt.manifest import Manifest
from distributed_prompt.opening import entry_of
from distributed_prompt.text.literal import Literal
from tests.inside import Indexed, set_segments
from tests.strategies import examples, outcome

SIZES = (1, 2, 3, 7, 64, 100)
LENGTHS = (0, 0, 1, 2, 3, 62, 63, 64, 65, 130, 500)
LETTERS = (
    "ab",
    "ab\n",
    "a\r\n",
    "abc- \t\x1c",
    "a\u00e9\u07ff",
    "ab\U0001f600",
    "a\ud83d\ude00\udc80\U0001f600",
    "aAkK\u212a",
    "sS\u017f\u00dfa",
    "iI\u0130\u0131\u0307",
    "\u03c3\u03a3\u03c2aA ",
)


# An example is some hundred calls.
FEW = examples(20)


class Case(NamedTuple):
    """Packs, and what to look for.

    Attributes:
        parts: the text, the shard size, and whether there is an index, of each.
        edges: whether the manifest has them.
        needle: not empty.
        dice: for bounds and the like.
    """

    parts: list[tuple[str, int, bool]]
    edges: bool
    needle: str
    dice: random.Random

    @property
    def text(self) -> str:
        return "".join(text for text, _, _ in self.parts)

    def prompt(self) -> Any:
        return collected(self.parts, edges=self.edges)


def collected(parts: list[tuple[str, int, bool]], *, edges: bool) -> Any:
    backends = [(Indexed if index else MemoryBackend)(text, size) for text, size, index in parts]
    return collection_of(backends, edges=edges)


def collection_of(backends: list[MemoryBackend], *, edges: bool) -> Any:
    entries = tuple(entry_of(backend, edges=edges) for backend in backends)
    characters = Collection(Manifest(entries), backends)
    return dp.DistributedPrompt._of(characters, 0, characters.length, 10, 2**40, owns=True)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    set_segments(monkeypatch, 16, 3)
    monkeypatch.setattr(runs_module, "_NEAR_BYTES", 0)
    monkeypatch.setattr(shards_module, "_RUN_BYTES", 100)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    dice = random.Random(draw(st.integers(0, 2**40)))  # noqa: S311  # no secret
    letters = draw(st.sampled_from(LETTERS))
    lengths = draw(st.lists(st.sampled_from(LENGTHS), min_size=1, max_size=5))
    word = "".join(dice.choices(letters, k=dice.choice([1, 2, 4, 5, 8, 30, 70, 140])))
    filler = dice.choice(["-", "a", letters])
    whole = "".join(dice.choices(filler, k=sum(lengths)))
    for _ in range(dice.randrange(4)):
        # Across a seam, if there is one.
        at = max(0, sum(lengths[: dice.randint(0, len(lengths))]) - dice.randint(0, len(word)))
        whole = (whole[:at] + word + whole[at + len(word) :])[: len(whole)]
    parts, start = [], 0
    for length in lengths:
        size = draw(st.sampled_from(SIZES if length < 150 else SIZES[3:]))
        parts.append((whole[start : start + length], size, draw(st.booleans())))
        start += length
    at = dice.randrange(len(whole)) if whole else 0
    found = whole[at : at + dice.choice([1, 2, 4, 6, 20, 90])] or "absent"
    needle = dice.choice([word, word, word[: len(word) // 2] or word, word.swapcase(), found, found.swapcase()])
    return Case(parts, draw(st.booleans()), needle or "x", dice)


def bounds(dice: random.Random, length: int) -> tuple[int | None, int | None]:
    first, last = (dice.choice([None, dice.randint(-length - 2, length + 2)]) for _ in range(2))
    return first, last


def assert_searches_agree(prompt: Any, text: str, needle: str, dice: random.Random) -> None:
    start, stop = bounds(dice, len(text))
    for method in ("find", "rfind", "count", "index", "rindex", "startswith", "endswith"):
        expected = outcome(lambda: getattr(text, method)(needle, start, stop))  # noqa: B023
        assert outcome(lambda: getattr(prompt, method)(needle, start, stop)) == expected, method  # noqa: B023
    assert (needle in prompt) == (needle in text)
    if isinstance(prompt, str):
        return
    first, last, _ = slice(start, stop).indices(len(text))
    for flags in (0, re.IGNORECASE):
        found = list(prompt.find_all(needle, start, stop, ignore_case=bool(flags)))
        assert found == [match.start() for match in re.compile(re.escape(needle), flags).finditer(text, first, last)]
    many = [needle, text[3:9], text[-6:], "nowhere"]
    assert prompt.find_many(many, start, stop) == {each: text.find(each, start, stop) for each in many}


@pytest.mark.thorough
@FEW
@given(cases())
def test_a_collection_is_searched_as_str_is(case: Case) -> None:
    text, prompt, dice = case.text, case.prompt(), case.dice
    (a, b), (c, d) = bounds(dice, len(text)), bounds(dice, len(text))
    other, same = dice.choice(
        [
            (prompt.view(a, b), text[a:b]),
            (prompt.view(a, b).view(c, d), text[a:b][c:d]),
            (prompt.lower(), text.lower()),
            (prompt.view(a, b) + prompt, text[a:b] + text),
            (prompt.casefold(), text.casefold()),
        ]
    )
    for made, real in ((prompt, text), (other, same)):
        assert_searches_agree(made, real, case.needle, dice)


@FEW
@given(cases(), st.sampled_from([-1, 0, 1, 2]), st.sampled_from(["", "x", "<>", "i\u0307"]))
def test_what_is_cut_and_replaced_of_a_collection_is_what_str_makes(case: Case, count: int, new: str) -> None:
    text, dice, needle = case.text, case.dice, case.needle
    a, b = bounds(dice, len(text))
    prompt, part = case.prompt().view(a, b), text[a:b]
    method, separator = dice.choice(["split", "rsplit"]), dice.choice([needle, needle, None])
    expected, fields = getattr(part, method)(separator, count), getattr(prompt, method)(separator, count)
    assert len(fields) == len(expected), (method, separator)
    assert [str(field) for field in fields] == expected
    keep = dice.choice([False, True])
    assert [str(line) for line in prompt.splitlines(keep)] == part.splitlines(keep)
    method = dice.choice(["partition", "rpartition"])
    assert tuple(map(str, getattr(prompt, method)(needle))) == getattr(part, method)(needle)
    method = dice.choice(["strip", "lstrip", "rstrip"])
    assert str(getattr(prompt, method)(needle)) == getattr(part, method)(needle)
    replaced, real = prompt.replace(needle, new, count), part.replace(needle, new, count)
    assert str(replaced) == real
    assert_searches_agree(replaced, real, needle, dice)
    method = dice.choice(["upper", "title", "swapcase", "capitalize", "expandtabs", "lower"])
    assert str(getattr(prompt, method)()) == getattr(part, method)(), method


@pytest.mark.thorough
@FEW
@given(cases())
def test_slices_steps_lines_and_the_whole_are_those_of_str(case: Case) -> None:
    text, prompt, dice = case.text, case.prompt(), case.dice
    assert len(prompt) == len(text)
    assert bool(prompt) == bool(text)
    for _ in range(3):
        (a, b), step = bounds(dice, len(text)), dice.choice([1, 1, 1, -1, 2, -3, 7, 1000])
        assert str(prompt[a:b:step]) == text[a:b:step]
        index = dice.randint(-len(text) - 1, len(text) + 1)
        assert outcome(lambda: prompt[index]) == outcome(lambda: text[index])  # noqa: B023
        view = prompt.view(a, b)
        assert len(view) == len(text[a:b])
        assert list(view.lines) == text[a:b].split("\n")[: None if text[a:b][-1:] not in {"", "\n"} else -1]
        assert str(view[::-1]) == text[a:b][::-1]
    assert "".join(prompt) == text
    assert [str(chunk) for chunk in prompt.chunks(5, 2)] == [
        str(c) for c in dp.DistributedPrompt.from_text(text).chunks(5, 2)
    ]
    for _ in range(5):
        offset = dice.randint(0, len(text))
        assert prompt.line_at(offset) == text.count("\n", 0, offset)
    assert str(prompt) == text == prompt.as_str()
    assert type(prompt.as_str()) is str
    assert prompt == text
    assert text == prompt
    assert hash(prompt) == hash(text)
    assert prompt != text + "x"
    assert prompt == dp.DistributedPrompt.from_text(text, shard_size=5)
    assert dp.DistributedPrompt.from_text(text, shard_size=5) == prompt
    assert prompt == case.prompt()
    if text:
        changed = text[:-1] + chr(ord(text[-1]) ^ 1)
        assert prompt != changed
        assert prompt != dp.DistributedPrompt.from_text(changed, shard_size=3)
    assert prompt.isascii() == text.isascii()
    for method in ("isspace", "isalnum", "istitle", "isprintable"):
        assert getattr(prompt, method)() == getattr(text, method)(), method
    assert (prompt < text + "a") == (text < text + "a")


@pytest.mark.thorough
@FEW
@given(cases())
def test_regular_expressions_find_the_same_in_a_collection(case: Case) -> None:
    text, prompt, dice = case.text, case.prompt(), case.dice
    literal = re.escape(case.needle)
    a, b = bounds(dice, len(text))
    patterns = (
        literal,
        rf"(?i){literal}",
        rf".?{literal}\b",
        rf"{literal}|\w+$",
        rf"(?m)^.*{literal}.*$",
        r"\r\n|[^\w]",
        rf"(?<=a){literal}*",
        "(a+)(b*)",
        r"\Z|a\n",
    )
    for pattern in (literal, dice.choice(patterns)):
        for made, real in (dice.choice([(prompt, text), (prompt.view(a, b), text[a:b])]),):
            found = [(match.span(), match.groups()) for match in prompt_re.finditer(pattern, made)]
            assert found == [(match.span(), match.groups()) for match in re.finditer(pattern, real)], pattern
            assert str(prompt_re.sub(pattern, "<>", made)) == re.sub(pattern, "<>", real)
            assert [None if f is None else str(f) for f in prompt_re.split(pattern, made)] == re.split(pattern, real)
            one, other = prompt_re.search(pattern, made), re.search(pattern, real)
            assert (one and one.span()) == (other and other.span())


@FEW
@given(cases())
def test_derived_texts_of_a_collection_say_where_nothing_is(case: Case) -> None:
    """An index may be asked of each part of what a text is made of: ``lacking``, which seams must be known to."""
    text, prompt, needle = case.text, case.prompt(), case.needle
    assert str(prompt.replace(needle, "").replace("a", "bb")) == text.replace(needle, "").replace("a", "bb")
    assert (prompt * 2).count(needle) == (text * 2).count(needle)
    assert (prompt + prompt[::-1]).find(needle[::-1]) == (text + text[::-1]).find(needle[::-1])
    lacks = prompt._characters.lacking([Literal(needle)])
    starts = [match.start() for match in re.finditer(f"(?={re.escape(needle)})", text)]
    for offset in range(0, len(text), 7):
        characters = lacks(offset)
        crossing = [at for at in starts if at < offset + characters and at + len(needle) > offset]
        assert not characters or not crossing, offset


# Files


TEXTS = ("", "alpha\nbeta\r", "\ngamma \u00e9\n" * 9, "", "delta \U0001f600 needle\n" * 7, "omega", "")


def pack_files(folder: Path, texts: tuple[str, ...] = TEXTS, sizes: tuple[int, ...] = SIZES) -> list[Path]:
    packs = []
    for number, text in enumerate(texts):
        file = folder / f"{number:02}.txt"
        file.write_bytes(text.encode("utf-8"))
        packs.append(folder / f"{number:02}.dprompt")
        dp.pack(file, packs[-1], shard_size=sizes[number % len(sizes)])
        file.unlink()
    return packs


@pytest.fixture
def packs(tmp_path: Path) -> list[Path]:
    return pack_files(tmp_path)


WHOLE = "".join(TEXTS)


def test_lists_patterns_folders_and_manifests_open_the_same_text(packs: list[Path], tmp_path: Path) -> None:
    dp.collect(packs, f"{tmp_path}/")
    dp.collect([*packs], tmp_path / "other.json")
    addresses: list[Any] = [
        packs,
        [str(pack) for pack in packs],
        iter(packs),
        [dp.FileBackend(pack) for pack in packs],
        f"{tmp_path}/*.dprompt",
        tmp_path / "??.dprompt",
        tmp_path,
        f"{tmp_path}/",
        tmp_path / "manifest.json",
        tmp_path / "other.json",
        [tmp_path],
        [f"{tmp_path}/0[0-3].dprompt", f"{tmp_path}/0[4-9].dprompt"],
        [packs[0], *packs[1:3], f"{tmp_path}/0[3-9].dprompt"],
    ]
    for address in addresses:
        with dp.open(address) as prompt:
            assert prompt == WHOLE
            assert str(prompt.view(3, -3)) == WHOLE[3:-3]
    with dp.open([tmp_path, packs[1], tmp_path / "other.json"]) as prompt:
        assert prompt == WHOLE + TEXTS[1] + WHOLE


@pytest.mark.parametrize("address", [[], (), iter(())])
def test_no_pack_is_refused(address: Any) -> None:
    with pytest.raises(ArgumentError, match="no pack"):
        dp.open(address)


def test_a_pattern_that_matches_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(PackNotFoundError, match="matches nothing"):
        dp.open(f"{tmp_path}/*.dprompt")


@pytest.mark.parametrize("name", ["*" * 300, "a*\0", "[", "*\ud800", "[!]*" * 100])
def test_odd_patterns_are_refused_as_what_they_are(name: str, tmp_path: Path) -> None:
    with pytest.raises(dp.DPromptError):
        dp.open(f"{tmp_path}/{name}")


def test_a_file_whose_name_is_a_pattern_is_itself(packs: list[Path], tmp_path: Path) -> None:
    odd = tmp_path / "[0]*.dprompt"
    shutil.copy(packs[1], odd)
    with dp.open(odd) as prompt:
        assert prompt == TEXTS[1]
    manifest = dp.collect([odd], tmp_path / "odd.json")
    assert [each.address for each in manifest.packs] == ["[0]*.dprompt"]
    with dp.open(tmp_path / "odd.json") as prompt:
        assert prompt == TEXTS[1]


def test_documents_are_those_of_all_packs(packs: list[Path], tmp_path: Path) -> None:
    dp.collect(packs, f"{tmp_path}/")
    names = [f"{number:02}.txt" for number in range(len(TEXTS))]
    for address in (packs, tmp_path):
        with dp.open(address) as prompt:
            documents = prompt.documents
            assert len(documents) == len(TEXTS)
            assert list(documents) == names
            assert [str(text) for text in documents.values()] == list(TEXTS)
            assert [(name, str(text)) for name, text in documents.items()] == list(zip(names, TEXTS, strict=True))
            assert {name: str(documents[name]) for name in names} == dict(zip(names, TEXTS, strict=True))
            assert "03.txt" in documents
            assert "nowhere" not in documents
            assert documents.get("") is None
            start = 0
            for record, text in zip(documents.records(), TEXTS, strict=True):
                assert (record.start, record.stop) == (start, start + len(text))
                start += len(text)
            for offset in range(len(WHOLE)):
                found = prompt.document_at(offset)
                assert found is not None
                assert found.start <= offset < found.stop
            assert prompt.document_at(len(WHOLE)) is None


def test_documents_of_a_view_are_those_that_lie_in_it(packs: list[Path]) -> None:
    records = []
    start = 0
    for number, text in enumerate(TEXTS):
        records.append((f"{number:02}.txt", start, start + len(text)))
        start += len(text)
    one = packs[0].with_name("one.dprompt")
    folder = packs[0].with_name("originals")
    folder.mkdir()
    for name, first, last in records:
        (folder / name).write_bytes(WHOLE[first:last].encode())
    dp.pack(sorted(folder.iterdir()), one, shard_size=7)
    with dp.open(packs) as prompt, dp.open(one) as same:
        assert prompt == same
        for a in range(0, len(WHOLE) + 1, 3):
            for b in (a, a + 1, a + 10, a + 13, a + 100, len(WHOLE)):
                assert list(prompt.view(a, b).documents) == list(same.view(a, b).documents), (a, b)
                assert [(each.start, each.stop) for each in prompt.view(a, b).documents.records()] == [
                    (each.start, each.stop) for each in same.view(a, b).documents.records()
                ]


def test_of_documents_of_one_name_the_first_is_found(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / "same.txt").write_text(f"text {number}")
        dp.pack(tmp_path / "same.txt", tmp_path / f"{number}.dprompt")
    with dp.open(f"{tmp_path}/*.dprompt") as prompt:
        assert list(prompt.documents) == ["same.txt", "same.txt"]
        assert prompt.documents["same.txt"] == "text 0"
        assert list(prompt.documents.values()) == ["text 0", "text 1"]


def test_of_documents_of_one_name_a_view_has_its_own(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / "same.txt").write_text(f"text {number}")
        dp.pack(tmp_path / "same.txt", tmp_path / f"{number}.dprompt")
    with dp.open(f"{tmp_path}/*.dprompt") as prompt:
        second = prompt.view(6).documents
        assert list(second) == ["same.txt"]
        assert "same.txt" in second
        assert second["same.txt"] == "text 1"


def test_prompts_views_and_lazy_texts_pickle_as_what_opens_them(packs: list[Path], tmp_path: Path) -> None:
    dp.collect(packs, f"{tmp_path}/")
    for address in (packs, tmp_path, [dp.FileBackend(pack) for pack in packs]):
        with dp.open(address) as prompt:
            prompt.view_threshold = 5
            for made in (prompt, prompt.view(3, 50), prompt.lower(), prompt.replace("needle", "x"), prompt[::-1]):
                data = pickle.dumps(made)
                assert b"omega" not in data
                again = pickle.loads(data)  # noqa: S301  # our own
                assert str(again) == str(made)
                assert again.count("needle") == made.count("needle")
                again._characters.close()
            assert prompt.find("omega") >= 0


def test_a_pickle_names_the_pack_that_has_changed(packs: list[Path]) -> None:
    with dp.open(packs) as prompt:
        data = pickle.dumps(prompt)
    packs[4].unlink()
    dp.ingest_string("another", packs[4])
    with pickle.loads(data) as prompt:  # noqa: S301  # our own
        assert prompt[:5] == "alpha"
        with pytest.raises(PackChangedError, match=r"04\.dprompt"):
            prompt.count("needle")


def test_notices_of_manifests_are_made_texts_again(packs: list[Path], tmp_path: Path) -> None:
    dp.collect(packs, f"{tmp_path}/")
    with dp.open(tmp_path) as prompt:
        notice = str.__str__(str.__add__("", LazyStr(prompt)))
    # Another process has no such characters.
    lazy_str._characters.clear()
    lazy_str._opened.clear()
    attached = attaching.attach(notice)
    assert isinstance(attached, LazyStr)
    assert attached == WHOLE
    again = attaching.attach(f"Summarise: {notice}")
    assert str(again[11:]) == WHOLE
    attached._characters.close()
    lazy_str._characters.clear()
    lazy_str._opened.clear()
    dp.collect(packs[:3], f"{tmp_path}/", overwrite=True)
    with pytest.raises(PackChangedError):
        attaching.attach(notice)


def test_notices_of_lists_are_made_texts_again_while_they_exist(packs: list[Path]) -> None:
    with dp.open(packs) as prompt:
        lazy = LazyStr(prompt)
        assert attaching.attach(str.__str__(str.__add__("", lazy))) == WHOLE
        assert lazy.find("omega") == WHOLE.find("omega")


@pytest.mark.forks
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_reads_on(packs: list[Path]) -> None:
    with dp.open(packs) as prompt:
        assert prompt[:3] == WHOLE[:3]
        child = os.fork()
        if not child:
            code = 1
            try:
                code = 0 if prompt == WHOLE and prompt.count("needle") == 7 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert prompt == WHOLE


def test_many_threads_read_one_collection(packs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_module, "OPEN_PACKS", 2)
    wrong: list[object] = []

    def work(seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311  # no secret
        for _ in range(12):
            a, b = bounds(dice, len(WHOLE))
            needle = dice.choice(["needle", "\n", "\r\n", "ome", "nowhere"])
            for made, real in (
                (lambda: str(prompt[a:b]), WHOLE[a:b]),  # noqa: B023
                (lambda: prompt.find(needle, a, b), WHOLE.find(needle, a, b)),  # noqa: B023
                (lambda: prompt.count(needle), WHOLE.count(needle)),  # noqa: B023
            ):
                found = outcome(made)
                wrong.extend([] if found == real else [(found, real)])

    with dp.open(packs) as prompt:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert prompt.stats.cached_bytes >= 0
    assert not wrong


USES: dict[str, Callable[[Any], object]] = {
    "index": lambda prompt: prompt[5],
    "find": lambda prompt: prompt.find("omega"),
    "rfind": lambda prompt: prompt.rfind("alpha"),
    "count": lambda prompt: prompt.count("needle"),
    "lines": lambda prompt: list(prompt.lines),
    "documents": lambda prompt: list(prompt.documents),
    "eq": lambda prompt: prompt == WHOLE,
    "str": str,
    "iter": "".join,
    "split": lambda prompt: prompt.split("\n"),
    "re": lambda prompt: prompt_re.findall("needle|omega", prompt),
    "line_at": lambda prompt: prompt.line_at(30),
    "map": lambda prompt: list(prompt.map(len)),
    "view": lambda prompt: str(prompt.view(3, 40)),
}


@pytest.mark.parametrize("name", USES)
def test_a_closed_collection_refuses_every_use(name: str, packs: list[Path]) -> None:
    prompt = dp.open(packs)
    assert prompt[:3] == WHOLE[:3]
    prompt.close()
    prompt.close()
    with pytest.raises(ClosedError):
        USES[name](prompt)


def test_closing_in_use_ends_passes_with_an_error(packs: list[Path]) -> None:
    prompt = dp.open(packs)
    found = prompt.find_all("e")
    assert next(found) == WHOLE.find("e")
    characters = iter(prompt)
    assert next(characters) == WHOLE[0]
    prompt.close()
    with pytest.raises(ClosedError):
        list(characters)
    with pytest.raises(ClosedError):
        list(found)


def test_what_is_opened_while_it_is_closed_is_closed_too(packs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    own = open_backend

    def close_meanwhile(address: str) -> Any:
        opened.append(own(address))
        prompt.close()
        return opened[-1]

    prompt = dp.open(packs)
    monkeypatch.setattr(collection_module, "open_backend", close_meanwhile)
    with pytest.raises(ClosedError):
        prompt.find("alpha")
    monkeypatch.undo()
    with pytest.raises(ClosedError):
        prompt.find("alpha")
    assert opened


def test_closing_a_view_closes_nothing(packs: list[Path]) -> None:
    with dp.open(packs) as prompt:
        with prompt.view(3, 60) as view:
            assert view.find("gamma") >= 0
        assert prompt == WHOLE


# What is decoded


@lru_cache
def rare_packs(odd: str) -> tuple[list[MemoryBackend], list[str]]:
    """Twelve packs of 40 shards, one of which has a word, and two another one where they meet."""
    dice = random.Random(7)  # noqa: S311  # no secret
    texts = ["".join(dice.choices("abcdefgh", k=4000)) for _ in range(12)]
    texts[7] = texts[7][:1234] + "needle" + texts[7][1240:]
    half = len(odd) // 2
    texts[2], texts[3] = texts[2][: 4000 - half] + odd[:half], odd[half:] + texts[3][half:]
    return [Indexed(text, 100) for text in texts], texts


def rare(*, edges: bool, odd: str = "") -> tuple[Any, list[str]]:
    backends, texts = rare_packs(odd)
    return collection_of(backends, edges=edges), texts


SEARCHES: dict[str, Callable[[Any], object]] = {
    "find": lambda text: text.find("needle"),
    "rfind": lambda text: text.rfind("needle"),
    "count": lambda text: text.count("needle"),
    "find_all": lambda text: list(text.find_all("needle")),
    "find_many": lambda text: text.find_many(["needle", "zzzzz"])["needle"],
    "in": lambda text: "needle" in text,
    "split": lambda text: len(text.split("needle")),
    "nothing": lambda text: text.count("nowhere"),
    "re": lambda text: [match.span() for match in prompt_re.finditer("needle.", text)],
    "lower": lambda text: text.lower().count("needle"),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_rare_literal_leaves_the_packs_undecoded_that_lack_it(name: str) -> None:
    prompt, texts = rare(edges=True)
    whole = "".join(texts)
    expected = {
        "find": whole.find("needle"),
        "rfind": whole.find("needle"),
        "find_many": whole.find("needle"),
        "find_all": [whole.find("needle")],
        "in": True,
        "split": 2,
        "nothing": 0,
        "re": [(whole.find("needle"), whole.find("needle") + 7)],
    }.get(name, 1)
    before = prompt.stats.decoded_shards
    assert SEARCHES[name](prompt) == expected
    # 480 in all; the first, its edge, and false alarms of the index.
    assert prompt.stats.decoded_shards - before <= 24


def test_seams_that_edges_rule_out_decode_nothing() -> None:
    prompt, _ = rare(edges=True)
    before = prompt.stats.decoded_shards
    assert prompt.count("zyxwvut") == 0
    assert prompt.stats.decoded_shards == before


def test_seams_of_unknown_edges_are_looked_at() -> None:
    prompt, _ = rare(edges=False, odd="xyzzyx")
    before = prompt.stats.decoded_shards
    assert prompt.count("xyzzyx") == 1
    decoded = prompt.stats.decoded_shards - before
    assert 22 <= decoded <= 30
    with_edges, _ = rare(edges=True, odd="xyzzyx")
    before = with_edges.stats.decoded_shards
    assert with_edges.count("xyzzyx") == 1
    assert with_edges.stats.decoded_shards - before <= 6


def test_passes_abandoned_early_decode_little() -> None:
    prompt, texts = rare(edges=True)
    found = prompt.find_all("a")
    assert next(found) == texts[0].find("a")
    found.close()
    assert next(iter(prompt)) == texts[0][0]
    assert prompt.stats.decoded_shards < 240


def test_one_budget_bounds_the_shards_of_all_packs(tmp_path: Path) -> None:
    texts = tuple(chr(97 + number) * 20_000 for number in range(12))
    packs = pack_files(tmp_path, texts, (2_000,))
    with dp.open(packs, cache_bytes=10_000) as prompt:
        for offset in range(0, 240_000, 1_000):
            assert prompt[offset] == chr(97 + offset // 20_000)
            assert prompt.stats.cached_bytes <= 10_000
        hits = prompt.stats.hits
        assert prompt[239_999] == "l"
        assert prompt.stats.hits == hits + 1


@pytest.fixture
def many_packs(tmp_path: Path) -> list[Path]:
    return pack_files(tmp_path, tuple(f"pack {number} \u00e9 needle\n" * 20 for number in range(12)), (64,))


def open_packs(folder: Path) -> set[str]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(str(descriptor.readlink()))
    return {path for path in found if path.startswith(f"{folder}/")}


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to see open files")


@needs_proc
def test_no_more_packs_are_open_than_may_be(
    many_packs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection_module, "OPEN_PACKS", 3)
    whole = "".join(f"pack {number} \u00e9 needle\n" * 20 for number in range(12))
    with dp.open(many_packs) as prompt:
        for _ in range(3):
            assert prompt == whole
            assert prompt.count("needle") == 240
            for offset in range(0, len(whole), 97):
                assert prompt[offset] == whole[offset]
            # A pack may have a connection for each thread that has read it.
            assert 1 <= len(open_packs(tmp_path)) <= 3
        assert len(prompt._characters._open) <= 3  # type: ignore[attr-defined]
    assert not open_packs(tmp_path)


@needs_proc
def test_lazy_texts_keep_no_packs_open(many_packs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_module, "OPEN_PACKS", 2)
    whole = "".join(f"pack {number} \u00e9 needle\n" * 20 for number in range(12))
    with dp.open(many_packs) as prompt:
        prompt.view_threshold = 10
        replaced = prompt.replace("pack 5", "long text").lower()
        assert replaced.count("long text") == 20
        assert str(replaced) == whole.replace("pack 5", "long text")
        fields = prompt.split("pack 7")
        assert len(fields) == 21
        assert len(open_packs(tmp_path)) <= 2


@needs_proc
def test_many_opens_leave_no_descriptors(packs: list[Path], tmp_path: Path) -> None:
    dp.collect(packs, f"{tmp_path}/")
    for address in (packs, tmp_path, f"{tmp_path}/*.dprompt"):
        for _ in range(5):
            with dp.open(address) as prompt:
                assert prompt.count("needle") == 7
    assert not open_packs(tmp_path)


def test_stats_count_what_all_packs_have_cost(packs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_module, "OPEN_PACKS", 2)
    with dp.open(packs) as prompt:
        assert prompt.stats.decoded_shards == 0
        assert "".join(prompt) == WHOLE
        shards = sum(-(-len(text) // SIZES[number % len(SIZES)]) for number, text in enumerate(TEXTS))
        assert prompt.stats.decoded_shards == shards
        assert prompt.stats.requests == 0
        assert "packs=5" in repr(prompt)


def test_maps_over_shards_and_documents_are_those_of_the_packs(packs: list[Path]) -> None:
    with dp.open(packs) as prompt:
        assert "".join(prompt.map(str)) == WHOLE
        assert list(prompt.map(str, over="documents")) == list(TEXTS)
        assert list(prompt.map(len, over=10)) == [len(WHOLE[at : at + 10]) for at in range(0, len(WHOLE), 10)]
