"""Notices: who may have a text attached by them, where they still mean it, and that nothing else is taken for one."""

import base64
import copy
import gc
import hmac
import json
import os
import pickle
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt import DistributedPrompt, notices
from distributed_prompt.attaching import DOCUMENTS, EXACT, attach
from distributed_prompt.context import as_context
from distributed_prompt.errors import AddressError, PackChangedError, PackNotFoundError
from distributed_prompt.lazy_str import LazyStr
from distributed_prompt.notices import Reference
from distributed_prompt.sequences import LazySequence
from distributed_prompt.strings import plain
from tests.strategies import texts

TEXT = "".join(f"{number:04} caf\u00e9 \U0001f389\n" for number in range(400))
OPENING = "<dprompt-text "
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
SEAL = "0" * 32
FIELDS = ["words", *Reference._fields]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of two documents."""
    folder = tmp_path_factory.mktemp("packs")
    (folder / "docs").mkdir()
    (folder / "docs" / "a.txt").write_text(TEXT[:2_000], "utf-8", newline="")
    (folder / "docs" / "b.txt").write_text(TEXT[2_000:], "utf-8", newline="")
    dp.pack([folder / "docs"], folder / "a.dprompt", shard_size=50)
    return folder / "a.dprompt"


@pytest.fixture(scope="module")
def lasting(pack: Path) -> Iterator[LazyStr]:
    """A text for many examples."""
    with dp.open(pack) as prompt:
        yield LazyStr(prompt)


@pytest.fixture
def text(pack: Path) -> Iterator[LazyStr]:
    """A text of the pack whose results are lazy above 20 characters."""
    with dp.open(pack) as prompt:
        prompt.view_threshold = 20
        yield LazyStr(prompt)


def written(text: object) -> str:
    """What code in C sees."""
    assert isinstance(text, LazyStr)
    return str.__str__(text)


def parts_of(notice: str) -> tuple[str, list[Any], str]:
    """Its words, its place with the length of the words in front, and its seal."""
    words, _, ending = notice.rpartition(OPENING)
    where, _, seal = ending[:-1].rpartition(" ")
    return words, json.loads(where), seal


def sealed(words: str, where: str, key: bytes | None = None) -> str:
    """What is sealed with a key, or with that of this process."""
    seal = hmac.new(bytes.fromhex(notices.key()) if key is None else key, (words + where).encode(), sha256).hexdigest()
    return f"{words}{OPENING}{where} {seal[:32]}>"


def attached_by_another(code: str, *, key: str | None, data: str = "", cwd: Path | None = None) -> str:
    """What a process prints that adopts a key, and has what is on its standard input as ``got``."""
    trusting = f"notices.adopt({key!r})" if key is not None else ""
    start = (
        "import sys\nfrom distributed_prompt import notices\nfrom distributed_prompt.attaching import attach\n"
        f"{trusting}\ngot = sys.stdin.read()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", start + code],
        input=data,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
        timeout=60,
        cwd=cwd,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:surrogatepass", "PYTHONPATH": str(Path(dp.__file__).parents[1])},
    ).stdout


# Forging


def changed(field: str, value: object) -> Callable[[str], str]:
    def change(notice: str) -> str:
        words, where, seal = parts_of(notice)
        where[FIELDS.index(field)] = value
        return f"{words}{OPENING}{json.dumps(where)} {seal}>"

    return change


def with_where(where: str) -> Callable[[str], str]:
    return lambda notice: f"{parts_of(notice)[0]}{OPENING}{where} {parts_of(notice)[2]}>"


def with_words(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda notice: change(parts_of(notice)[0]) + notice[len(parts_of(notice)[0]) :]


FORGERIES: dict[str, Callable[[str], str]] = {
    "no seal": lambda n: n[:-34] + ">",
    "a short seal": lambda n: n[:-2] + ">",
    "a long seal": lambda n: n[:-1] + "0>",
    "another seal": lambda n: n[:-33] + SEAL + ">",
    "a digit of the seal": lambda n: n[:-2] + ("0" if n[-2] != "0" else "1") + ">",
    "the seal in capitals": lambda n: n[:-33] + n[-33:].upper() if n[-33:].upper() != n[-33:] else n[:-1],
    "the seal in other digits": lambda n: n[:-33] + "\u0660" * 32 + ">",
    "of another key": lambda n: sealed(parts_of(n)[0], json.dumps(parts_of(n)[1]), os.urandom(16)),
    "of an empty key": lambda n: sealed(parts_of(n)[0], json.dumps(parts_of(n)[1]), b""),
    "of the key in digits": lambda n: sealed(parts_of(n)[0], json.dumps(parts_of(n)[1]), notices.key().encode()),
    "of the words alone": lambda n: n[:-33] + sealed(parts_of(n)[0], "", None)[-33:],
    "of the place alone": lambda n: n[:-33] + sealed("", json.dumps(parts_of(n)[1]), None)[-33:],
    "another address": changed("address", "/etc/passwd"),
    "an address of a server": changed("address", "https://example.com/a.dprompt"),
    "no address": changed("address", ""),
    "other digests": changed("digests", ["0" * 64]),
    "another name": changed("name", "0" * 16),
    "another start": changed("start", 1),
    "a start below 0": changed("start", -1),
    "another length": changed("length", 5),
    "an unknown length": changed("length", -1),
    "another threshold": changed("view_threshold", 2**40),
    "another limit": changed("image_limit", 2**60),
    "another form": changed("form", EXACT),
    "no words": lambda n: n[len(parts_of(n)[0]) :],
    "no words, and none claimed": lambda n: changed("words", 0)(n)[len(parts_of(n)[0]) :],
    "other words": with_words(lambda words: words.replace("str", "str!")),
    "other words of this length": with_words(lambda words: "x" * len(words)),
    "fewer words": with_words(lambda words: words[1:]),
    "words in lower case": with_words(str.lower),
    "a space behind the words": with_words(lambda words: words + " "),
    "a space in the place": lambda n: n.replace(", ", ",  ", 1) if ", " in n[-99:] else n[1:],
    "compact JSON": lambda n: with_where(json.dumps(parts_of(n)[1], separators=(",", ":")))(n),
    "a newline in the place": lambda n: with_where(json.dumps(parts_of(n)[1]).replace(", ", ",\n"))(n),
    "a letter in another way": lambda n: with_where(json.dumps(parts_of(n)[1]).replace("a", "\\u0061", 1))(n),
    "more words claimed": changed("words", 10**6),
    "words claimed below 0": changed("words", -1),
    "very many claimed": changed("words", 10**400),
    "very many claimed below 0": changed("words", -(10**400)),
    "more digits than Python reads": with_where("[" + "9" * 5_000 + ', "", "", 0, 0, 0, 0, 0, ""]'),
    "no number of words": changed("words", "12"),
    "a fraction of words": changed("words", 12.0),
    "NaN": changed("words", float("nan")),
    "infinity": changed("words", float("inf")),
    "null": changed("words", None),
    "true": changed("words", True),  # noqa: FBT003  # a JSON value
    "a list of words": changed("words", [12]),
    "digits of another script": with_where('[\u0661\u0662, "", "", 0, 0, 0, 0, 0, ""]'),
    "an empty list": with_where("[]"),
    "a list of one": with_where("[0]"),
    "an object in a list": with_where('[{"a": 1}]'),
    "two lists": with_where("[1], [2]"),
    "a list that does not end": with_where("[1, 2"),
    "no JSON": with_where("[abc]"),
    "a null character": with_where("[0, \x00]"),
    "lists in lists": with_where("[" * 50 + "]" * 50),
    "very many lists in lists": with_where("[" * 4_500 + "]" * 4_500),
    "an object": with_where('{"a": 1}'),
    "a number": with_where("12"),
    "cut in front": lambda n: n[1:],
    "cut at the end": lambda n: n[:-1],
    "cut in the middle": lambda n: n[: len(n) // 2] + n[len(n) // 2 + 1 :],
    "in other brackets": lambda n: n.replace(OPENING, "(dprompt-text "),
    "as HTML": lambda n: n.replace("<", "&lt;").replace(">", "&gt;"),
    "turned round": lambda n: n[::-1],
    "in capitals": str.upper,
    "a character between": lambda n: n.replace(OPENING, "\u200b" + OPENING),
    "with ends of lines of Windows": lambda n: n.replace("] ", "]\r\n"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_notice_that_was_changed_in_any_way_is_left_alone(name: str, text: LazyStr) -> None:
    for genuine in (written(text), written(str(text)), written(text[30:500]), written(text.lower())):
        forged = FORGERIES[name](genuine)
        if forged == genuine:
            # What was made has neither an address nor a known length to lose.
            assert (name, parts_of(genuine)[1][1]) in {("no address", ""), ("an unknown length", "")}
            continue
        assert not list(notices.found_in(forged))
        assert attach(forged) is forged
        assert attach([forged, {"a": forged}]) == [forged, {"a": forged}]
        among = f"see {forged} and {forged}"
        assert attach(among) is among


def test_the_words_of_one_notice_are_not_those_of_another(text: LazyStr) -> None:
    first, second = written(text[:300]), written(text[100:350])
    mixed = parts_of(first)[0] + second[len(parts_of(second)[0]) :]
    assert parts_of(first)[0] != parts_of(second)[0]
    assert attach(mixed) is mixed


@given(data=st.data())
def test_no_single_change_of_a_notice_leaves_one(lasting: LazyStr, data: st.DataObject) -> None:
    genuine = written(data.draw(st.sampled_from([lasting, str(lasting), lasting.view(5, 400)])))
    at = data.draw(st.one_of(st.integers(1, len(genuine) - 2), st.integers(len(genuine) - 150, len(genuine) - 2)))
    taken = data.draw(st.sampled_from([0, 1, 1, 2]))
    put = data.draw(st.sampled_from(["", "0", "9", "a", " ", "[", "]", '"', "\n", "\\", "\u0660", "\ud800"]))
    changed = genuine[:at] + put + genuine[at + taken :]
    if genuine not in changed:
        assert attach(changed) is changed


@given(
    st.lists(
        st.sampled_from(
            [
                *["<dprompt-text ", "<dprompt-text [", "[", "]", " ", ">", "<", "\n", '"', ",", "0", "12", "-1", "a"],
                *[
                    "0" * 32,
                    "f" * 32,
                    "] " + "0" * 32 + ">",
                    "[12, ",
                    '""',
                    "null",
                    "NaN",
                    "1e999",
                    "{}",
                    "\ud800",
                    "\x00",
                ],
                "[This stands for a text of 5 characters, too long to be shown or copied whole. ",
            ]
        ),
        max_size=40,
    ).map("".join)
)
def test_no_words_are_taken_for_a_notice(words: str) -> None:
    assert attach(words) is words
    assert not list(notices.found_in(words))


@given(texts)
def test_no_text_is_taken_for_a_notice(words: str) -> None:
    assert attach(words) is words


@pytest.mark.thorough
@pytest.mark.parametrize(
    "part",
    [
        "<dprompt-text",
        "<dprompt-text ",
        "<",
        "[This stands for a text of 5 characters",
        "x",
        f"<dprompt-text [0] {SEAL}>",
        f"<dprompt-text [-5] {SEAL}>",
        f'<dprompt-text [5, "", "", 0, 0, 0, 0, 0, ""] {SEAL}>',
        f"<dprompt-text [not JSON] {SEAL}>",
        f"<dprompt-text \n[] {SEAL}>",
        f"<dprompt-text [] {SEAL[1:]}>",
        f"<dprompt-text [99999999] {SEAL}>",
        f"<dprompt-text [1000] {SEAL}>",
        "<dprompt-text [",
        "<dprompt-text [1, ",
        "[",
        f"] {SEAL}>",
        f"<dprompt-text {'[' * 4_000}{']' * 4_000} {SEAL}>",
        f"[] {SEAL}>",
    ],
)
def test_five_megabytes_of_what_looks_like_notices_are_read_in_a_moment(part: str) -> None:
    words = part * (5_000_000 // len(part))
    started = time.process_time()
    assert attach(words) is words
    # Half a second or less; a minute and more if any of it were quadratic.
    assert time.process_time() - started < 4


# What is attached


def test_a_notice_is_made_the_text_again(text: LazyStr) -> None:
    for notice in (written(text), written(str(text))):
        found = attach(notice)
        assert type(found) is LazyStr
        assert len(found) == len(TEXT)
        assert plain(found) == TEXT
        assert (found.view_threshold, found.image_limit) == (text.view_threshold, text.image_limit)


def test_the_text_of_a_notice_reads_the_shards_that_are_there(text: LazyStr) -> None:
    assert text[100:110] == TEXT[100:110]
    decoded = text.stats.decoded_shards
    assert attach(written(text))[100:110] == TEXT[100:110]
    assert text.stats.decoded_shards == decoded


@pytest.mark.parametrize("form", ["{}", "a{}", "{}b", "a {} b", "\n{}\n", "[{}", "{}>", "\ud800{}"])
def test_a_notice_in_other_words_is_replaced_where_it_is(text: LazyStr, form: str) -> None:
    found = attach(form.replace("{}", written(text)))
    assert type(found) is LazyStr
    assert plain(found) == form.replace("{}", TEXT)


@pytest.mark.parametrize("words", ["<dprompt-text [", "<dprompt-text [...] and ", f"<dprompt-text [1] {SEAL}> and "])
def test_words_in_front_do_not_hide_a_notice(text: LazyStr, words: str) -> None:
    for notice in (written(text), written(str(text))):
        assert plain(attach(words + notice)) == words + TEXT
        assert plain(attach(words + notice + words + notice)) == words + TEXT + words + TEXT


@pytest.mark.parametrize("between", ["", " ", "\n\n", "and then "])
def test_several_notices_are_replaced_each_where_it_is(text: LazyStr, between: str) -> None:
    pieces = [text, text[10:90], "in between", text.upper(), text[10:90], str(text)]
    notice = between.join(str.__str__(piece) for piece in pieces)
    found = attach(f"Q: {notice}?")
    assert type(found) is LazyStr
    assert plain(found) == f"Q: {between.join(map(plain, pieces))}?"


def test_short_texts_in_other_words_become_an_ordinary_str(pack: Path) -> None:
    with dp.open(pack) as prompt:
        text = LazyStr(prompt.view(0, 10))
        found = attach(f"see {written(text)}")
    assert type(found) is str
    assert found == f"see {TEXT[:10]}"


def test_whatever_was_made_of_texts_is_attached_as_long_as_it_is_held(text: LazyStr) -> None:
    part: Any = text[100:900]
    made: list[Any] = [
        text.lower(),
        text[100:900],
        text.view(3, 5),
        part.view(5, 700)[3:-3],
        text[::-1],
        text[::-1][5:-5].title(),
        text + text,
        "a" + text,
        text * 3,
        text.replace("caf\u00e9", "tea house"),
        text.replace("0", "")[7:1_000].upper()[::3],
        dp.re.sub("[0-9]+", "#", text),
        text.split("caf\u00e9")[3:][0:] and text.lines[5:9],
        text.join(["1", "2"]),
        text.view(9, 9),
    ]
    for each in made:
        if isinstance(each, LazyStr):
            found = attach(str.__str__(each))
            assert type(found) is LazyStr
            assert plain(found) == plain(each)


def test_a_text_that_is_gone_is_an_error_that_says_so() -> None:
    def gone() -> str:
        prompt = DistributedPrompt.from_text("abc" * 100)
        return str.__str__(LazyStr(prompt))

    notice = gone()
    gc.collect()
    for value in (notice, f"see {notice}", [notice], {"a": [notice]}):
        with pytest.raises(AddressError, match="exists no longer"):
            attach(value)


def test_a_text_that_is_gone_is_never_another_one() -> None:
    base: Any = LazyStr(DistributedPrompt.from_text("the old text " * 3))
    base.view_threshold = 0
    notice = written(base.lower())
    gone = [written(LazyStr(DistributedPrompt.from_text("the old text")))]
    gc.collect()
    held = []
    for number in range(200):
        # Where the old ones were in memory are new ones now.
        held += [base.replace("e", str(number)), LazyStr(DistributedPrompt.from_text(f"new {number}"))]
        for old in (notice, *gone):
            with pytest.raises(AddressError):
                attach(old)
        if number % 3:
            held.clear()


def test_a_pack_is_opened_again_when_nobody_has_it_open(pack: Path) -> None:
    with dp.open(pack) as prompt:
        notices_of = [str.__str__(LazyStr(prompt)), str.__str__(LazyStr(prompt.view(10, 600)))]
    del prompt
    gc.collect()
    found = [attach(notice) for notice in notices_of]
    assert [plain(each) for each in found] == [TEXT, TEXT[10:600]]
    assert found[0]._characters is found[1]._characters


def test_another_pack_at_the_address_is_not_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.dprompt"
    dp.ingest_string("0123456789" * 100, path, shard_size=50)
    with dp.open(path) as prompt:
        sent = [written(LazyStr(prompt)), written(LazyStr(prompt.view(500, 900)))]
    del prompt
    gc.collect()
    path.unlink()
    dp.ingest_string("another, much shorter text", path, shard_size=50)
    for notice in sent:
        with pytest.raises(PackChangedError):
            attach(notice)


def test_a_pack_that_is_there_no_longer_is_the_error_of_open(pack: Path, tmp_path: Path) -> None:
    copied = tmp_path / "b.dprompt"
    copied.write_bytes(pack.read_bytes())
    with dp.open(copied) as prompt:
        notice = str.__str__(LazyStr(prompt))
    del prompt
    gc.collect()
    copied.unlink()
    with pytest.raises(PackNotFoundError):
        attach(notice)


@pytest.mark.parametrize(
    "value",
    [
        *[None, 1, 2.5, True, b"bytes", (), {1, 2}, object, [], {}, [[]], [{}], {"a": []}, "", "words"],
        ["a", "b", {"c": ["d"]}],
        {"a": {"b": {"c": "d"}}, 1: 2, None: [None]},
    ],
    ids=repr,
)
def test_what_has_no_notice_in_it_is_given_back_itself(value: object) -> None:
    assert attach(value) is value


def test_lists_and_dictionaries_are_attached_however_deep(text: LazyStr) -> None:
    notice = written(text)
    value = {"context": [notice, {"inner": [1, f"see {notice}", None]}, ["words"]], "other": "words", 3: (notice,)}
    before = copy.deepcopy(value)
    found = attach(value)
    assert value == before
    assert plain(found["context"][0]) == TEXT
    assert plain(found["context"][1]["inner"][1]) == f"see {TEXT}"
    assert found["context"][1]["inner"][::2] == [1, None]
    assert found["context"][2] == ["words"]
    assert found["other"] == "words"
    assert found[3] == (notice,)
    assert attach(found) is found


def test_lazy_texts_are_given_back_themselves(text: LazyStr) -> None:
    for value in (text, [text], {"a": text}, [text, "words"], str(text)):
        assert attach(value) is value


def test_the_forms_are_bound_as_they_say(pack: Path) -> None:
    with dp.open(pack) as prompt:
        exact, documents = str.__str__(LazyStr(prompt, EXACT)), str.__str__(LazyStr(prompt, DOCUMENTS))
        assert type(attach(exact)) is str
        assert attach(exact) == TEXT
        assert attach([exact]) == [TEXT]
        for value in (documents, [documents]):
            assert isinstance(attach(value), LazySequence)
            assert list(attach(value)) == [TEXT[:2_000], TEXT[2_000:]]
        assert [list(item) for item in attach({"a": documents, "b": [documents]}).values()] == [
            [TEXT[:2_000], TEXT[2_000:]]
        ] * 2
        several = attach([documents, "words"])
        assert (type(several), several[1]) == (list, "words")
        assert plain(attach(f"see {documents}")) == f"see {TEXT}"
        assert plain(attach(f"see {exact}")) == f"see {TEXT}"


@pytest.mark.parametrize(
    ("options", "kind"), [({}, LazyStr), ({"exact": True}, str), ({"documents": True}, LazySequence)]
)
def test_a_context_arrives_as_what_was_asked_for(pack: Path, options: dict[str, bool], kind: type) -> None:
    found: Any = attach(json.loads(json.dumps(as_context(pack, view_threshold=50, **options))))
    assert issubclass(type(found), kind)
    assert plain(found) == TEXT if not options.get("documents") else len(found) == 2
    assert (type(found) is str) == (kind is str)


def test_a_short_context_is_the_text_and_attached_as_itself(pack: Path) -> None:
    context = as_context(pack)
    assert type(context) is str
    assert context == TEXT
    assert attach(context) is context


def through_a_file(notice: str) -> str:
    """As a text file gives it back, with its line ends made those of this system."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.txt"
        path.write_text(notice, "utf-8")
        return path.read_text("utf-8")


@pytest.mark.parametrize(
    "transport",
    [
        lambda n: json.loads(json.dumps(n)),
        lambda n: json.loads(json.dumps(n, ensure_ascii=False)),
        lambda n: n.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass"),
        lambda n: n.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass"),
        lambda n: base64.b64decode(base64.b64encode(n.encode("utf-8", "surrogatepass"))).decode(
            "utf-8", "surrogatepass"
        ),
        lambda n: pickle.loads(pickle.dumps(n)),  # noqa: S301  # ours
        lambda n: "".join(list(n)),
        lambda n: eval(repr(n)),  # noqa: S307  # ours
        lambda n: n.replace("no such words", ""),
        through_a_file,
    ],
)
def test_a_notice_survives_what_keeps_its_characters(transport: Callable[[str], str]) -> None:
    start = "\ud800 \U0001f389 \r\n \x00 \\ \" ' \u2028 <dprompt-text [1] " + SEAL + "> ]"
    text = start + TEXT
    with DistributedPrompt.from_text(text, shard_size=100) as prompt:
        for lazy in (LazyStr(prompt), str(LazyStr(prompt))):
            found = attach(transport(str.__str__(lazy)))
            assert type(found) is LazyStr
            assert plain(found) == text


@pytest.mark.parametrize(
    "name",
    [
        "a b.dprompt",
        'a"]>.dprompt',
        "\u00e9\U0001f389.dprompt",
        "a\n[1] b.dprompt",
        "\udcff.dprompt",
        "%s{0}\\.dprompt",
    ],
)
def test_a_pack_of_any_name_is_found_again(name: str, pack: Path, tmp_path: Path) -> None:
    copied = tmp_path / name
    copied.write_bytes(pack.read_bytes())
    with dp.open(copied) as prompt:
        notice = str.__str__(LazyStr(prompt))
        assert plain(attach(notice)) == TEXT
    del prompt
    gc.collect()
    assert plain(attach(f"see {notice}")) == f"see {TEXT}"


def test_a_text_with_notices_in_it_stays_as_it_is() -> None:
    inner = DistributedPrompt.from_text("the other text", shard_size=5)
    content = f"log: {LazyStr(inner)!s} and {str.__str__(LazyStr(inner))} and <dprompt-text [3] {SEAL}> " * 3
    with DistributedPrompt.from_text(content, shard_size=70) as prompt:
        prompt.view_threshold = 50
        text = LazyStr(prompt)
        assert plain(text) == content
        assert plain(attach(str.__str__(text))) == content
        assert plain(text[10:700].lower()) == content[10:700].lower()
        assert plain(attach(str.__str__(text[5:900]))) == content[5:900]
        assert text.count("the other text") == content.count("the other text")


def test_a_notice_that_shows_notices_is_the_outer_text_alone() -> None:
    inner = LazyStr(DistributedPrompt.from_text("the inner text"))
    shown = [f"log: {written(inner)} and on ", f"{written(inner)}{written(inner)}", f"<dprompt-text [1] {SEAL}>"]
    for start in shown:
        content = start + "x" * 3_000 + written(inner)
        prompt = DistributedPrompt.from_text(content, shard_size=500)
        prompt.view_threshold = 50
        outer: Any = str(LazyStr(prompt))
        assert plain(attach(written(outer))) == content
        assert plain(attach(f"a {written(inner)} b {written(outer)} c {written(inner)}")) == (
            f"a the inner text b {content} c the inner text"
        )
        again = DistributedPrompt.from_text(written(outer) + "y" * 3_000, shard_size=500)
        again.view_threshold = 50
        twice: Any = str(LazyStr(again))
        assert plain(attach(written(twice))) == written(outer) + "y" * 3_000


@pytest.mark.parametrize("length", [-1, 0, 1, 1_234_567])
def test_a_notice_says_how_long_the_text_is(length: int) -> None:
    prompt = DistributedPrompt.from_text("x" * max(length, 9))
    prompt.view_threshold = 0
    text: Any = prompt.replace("xx", "yyy") if length < 0 else prompt.view(0, length)
    notice = str.__str__(LazyStr(text))
    assert notice.startswith(
        f"[This stands for a text of {f'{length:,}' if length >= 0 else 'as yet uncounted'} characters"
    )
    assert "\n" not in notice
    found = attach(notice)
    assert len(found) == (12 if length < 0 else length) + (length < 0)


def test_a_notice_shows_nothing_of_the_key(text: LazyStr) -> None:
    key = notices.key()
    assert len(bytes.fromhex(key)) == notices.KEY_BYTES
    for shown in (written(text), written(str(text)), repr(text), pickle.dumps(text).hex()):
        assert key not in shown
        assert key.encode().hex() not in shown


# Keys


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The keys that are believed in this test only."""
    trusted = list(notices._keys)
    monkeypatch.setattr(notices, "_keys", trusted)
    return trusted


def test_a_notice_of_another_key_is_believed_once_the_key_is_adopted(keys: list[bytes], text: LazyStr) -> None:
    other = os.urandom(16)
    words, where, _ = parts_of(written(text))
    notice = sealed(words, json.dumps(where), other)
    assert attach(notice) is notice
    notices.adopt(other.hex())
    assert plain(attach(notice)) == TEXT
    assert plain(attach(written(text))) == TEXT
    assert keys[0].hex() == notices.key()


def test_a_key_is_kept_once_and_what_is_none_is_refused(keys: list[bytes]) -> None:
    for _ in range(3):
        notices.adopt(notices.key())
        notices.adopt("00" * 16)
    assert len(keys) == len(set(keys))
    for wrong in ("no key", "0", "\u0660\u0660"):
        with pytest.raises(ValueError, match="hex"):
            notices.adopt(wrong)


def test_other_processes_have_other_keys() -> None:
    keys = {attached_by_another("print(notices.key())", key=None) for _ in range(2)}
    assert len(keys | {notices.key()}) == 3


# Other processes


def test_another_process_that_trusts_the_key_opens_the_pack(text: LazyStr, tmp_path: Path) -> None:
    code = """
found = attach(got)
print(type(found).__name__, len(found), found.view_threshold, repr(found[5:20]), found.count("caf\\xe9"))
"""
    expected = f"LazyStr {len(TEXT)} 20 {TEXT[5:20]!r} 400\n"
    for notice in (written(text), written(str(text))):
        assert attached_by_another(code, key=notices.key(), data=notice, cwd=tmp_path) == expected
    part = written(text[100:900][7:])
    shown = attached_by_another("print(repr(attach(got)[:15]), len(attach(got)))", key=notices.key(), data=part)
    assert shown == f"{TEXT[107:122]!r} 793\n"


def test_another_process_takes_several_notices_in_one_value(text: LazyStr) -> None:
    data = json.dumps({"context": [f"a {text[:300]} b {text[300:600]} c", "words"]})
    code = """
import json
from distributed_prompt.strings import plain
found = attach(json.loads(got))["context"]
print(plain(found[0]) + found[1], end="")
"""
    expected = f"a {TEXT[:300]} b {TEXT[300:600]} cwords"
    assert attached_by_another(code, key=notices.key(), data=data) == expected


def test_another_process_that_does_not_trust_the_key_leaves_the_words(text: LazyStr) -> None:
    code = "print(attach(got) is got, len(list(notices.found_in(got))))"
    assert attached_by_another(code, key=None, data=written(text)) == "True 0\n"
    assert attached_by_another(code, key="00" * 16, data=f"see {written(text)}") == "True 0\n"


@pytest.mark.parametrize("make", [lambda t: t.lower(), lambda t: t + "a", lambda t: t[::-1]])
def test_what_no_other_process_can_open_is_an_error_there(text: LazyStr, make: Callable[[Any], Any]) -> None:
    code = """
from distributed_prompt.errors import AddressError
try:
    attach(got)
except AddressError as error:
    print(error)
"""
    made = make(text)
    shown = attached_by_another(code, key=notices.key(), data=written(made))
    assert shown == "the text that this notice stands for exists no longer, or in another process only\n"


def test_a_relative_address_means_the_same_in_another_folder(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pack.parent)
    with dp.open(pack.name) as prompt:
        notice = str.__str__(LazyStr(prompt))
    shown = attached_by_another("print(len(attach(got)))", key=notices.key(), data=notice, cwd=tmp_path)
    assert shown == f"{len(TEXT)}\n"


def test_a_notice_comes_back_from_another_process_that_is_trusted(keys: list[bytes], pack: Path) -> None:
    code = f"""
import distributed_prompt as dp
from distributed_prompt.lazy_str import LazyStr
prompt = dp.open({str(pack)!r})
print(notices.key())
print(str.__str__(LazyStr(prompt.view(50, 950))), end="")
"""
    key, _, notice = attached_by_another(code, key=None).partition("\n")
    assert attach(notice) is notice
    notices.adopt(key)
    assert plain(attach(f"<{notice}>")) == f"<{TEXT[50:950]}>"
    assert len(keys) == 2


def test_two_processes_with_one_key_believe_each_other(pack: Path) -> None:
    code = f"""
import distributed_prompt as dp
from distributed_prompt.lazy_str import LazyStr
with dp.open({str(pack)!r}) as prompt:
    print("see", str(LazyStr(prompt)), str.__str__(LazyStr(prompt.view(9, 99))), end="")
"""
    sent = attached_by_another(code, key=notices.key())
    assert plain(attach(sent)) == f"see {TEXT} {TEXT[9:99]}"


@forks
@pytest.mark.forks
def test_texts_that_processes_make_behind_a_fork_are_not_mixed_up(pack: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.dprompt"
    dp.ingest_string(TEXT[::-1], other)

    def made(path: Path) -> list[LazyStr]:
        prompt = dp.open(path)
        prompt.view_threshold = 0
        text: Any = LazyStr(prompt)
        return [text, text.lower(), LazyStr(DistributedPrompt.from_text(str(path)))]

    reading, writing = os.pipe()
    child = os.fork()
    texts_here = made(other if child else pack)
    if not child:
        try:
            os.write(writing, json.dumps([written(each) for each in texts_here]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as stream:  # noqa: PTH123  # a descriptor
        sent = json.loads(stream.read())
    assert os.waitpid(child, 0)[1] == 0
    assert plain(attach(sent[0])) == TEXT
    for notice in sent[1:]:
        with pytest.raises(AddressError):
            attach(notice)


@forks
@pytest.mark.forks
def test_a_child_attaches_what_its_parent_has_and_hands_back_packs(pack: Path) -> None:
    memory = DistributedPrompt.from_text(TEXT.upper(), shard_size=50)
    prompt = dp.open(pack)
    prompt.view_threshold = 10
    held = [LazyStr(memory), LazyStr(prompt), LazyStr(prompt).lower()]
    sent = [str.__str__(each) for each in held]
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            found = [plain(attach(notice)) for notice in sent]
            assert found == [TEXT.upper(), TEXT, TEXT.lower()]
            os.write(writing, str.__str__(LazyStr(prompt.view(7, 777))).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as stream:  # noqa: PTH123  # a descriptor
        notice = stream.read().decode()
    assert os.waitpid(child, 0)[1] == 0
    assert plain(attach(notice)) == TEXT[7:777]
    prompt.close()


def test_threads_attach_at_once(pack: Path) -> None:
    with dp.open(pack) as prompt:
        notice = str.__str__(LazyStr(prompt))
    del prompt
    gc.collect()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda at: attach(notice)[at : at + 9], range(200)))
    assert found == [TEXT[at : at + 9] for at in range(200)]


# Copies


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_is_pickled_is_a_lazy_str_of_the_pack_again(text: LazyStr, protocol: int) -> None:
    data = pickle.dumps({"context": text, "part": text[10:900], "made": text.lower()}, protocol)
    assert len(data) < 4_000
    found = pickle.loads(data)  # noqa: S301  # ours
    assert {type(each) for each in found.values()} == {LazyStr}
    assert [plain(each) for each in found.values()] == [TEXT, TEXT[10:900], TEXT.lower()]
    assert found["context"].view_threshold == 20
    assert plain(attach(str.__str__(found["part"]))) == TEXT[10:900]


def test_what_is_pickled_is_a_lazy_str_in_another_process(text: LazyStr) -> None:
    data = base64.b64encode(pickle.dumps([text, text[30:600]])).decode()
    code = """
import base64, pickle
found = pickle.loads(base64.b64decode(got))
print([type(each).__name__ for each in found], [len(each) for each in found], found[1][:9])
"""
    assert (
        attached_by_another(code, key=None, data=data) == f"['LazyStr', 'LazyStr'] [{len(TEXT)}, 570] {TEXT[30:39]}\n"
    )


def test_python_s_own_pickle_and_dill_keep_the_kind(text: LazyStr) -> None:
    slow = pickle._loads(pickle._dumps([text]))  # type: ignore[attr-defined]  # written in Python
    assert type(slow[0]) is LazyStr
    assert plain(slow[0]) == TEXT
    dill = pytest.importorskip("dill")
    for options in ({}, {"recurse": True}, {"byref": True}):
        found = dill.loads(dill.dumps({"context": text}, **options))["context"]
        assert type(found) is LazyStr
        assert plain(found) == TEXT


def test_copies_are_the_same_object(text: LazyStr) -> None:
    assert copy.copy(text) is text
    assert copy.deepcopy(text) is text
    assert copy.deepcopy({"a": [text]})["a"][0] is text


def test_values_of_random_shape_are_attached_wherever_a_notice_is(text: LazyStr) -> None:
    chance = random.Random(5)  # noqa: S311  # to be the same every time
    notice = written(text[:60])

    def made(depth: int) -> tuple[Any, Any]:
        kind = chance.choice(["notice", "words", "number", "list", "dict"] if depth else ["notice", "words"])
        if kind == "list":
            pairs = [made(depth - 1) for _ in range(chance.randrange(4))]
            return [given for given, _ in pairs], [expected for _, expected in pairs]
        if kind == "dict":
            items = {str(key): made(depth - 1) for key in range(chance.randrange(4))}
            return {key: each[0] for key, each in items.items()}, {key: each[1] for key, each in items.items()}
        simple = {"notice": (f"<{notice}>", f"<{TEXT[:60]}>"), "words": ("words", "words"), "number": (1, 1)}
        return simple[kind]

    for _ in range(200):
        given, expected = made(4)
        assert attach(given) == expected
