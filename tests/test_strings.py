"""Every method and operator of ``str`` on prompts against ``str`` itself."""

import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt import DistributedPrompt
from tests.strategies import bounds, cased_texts, needles, outcome, shard_sizes, texts

PREDICATES = [name for name in dir(str) if name.startswith("is")]
PLAIN = ["capitalize", "casefold", "lower", "swapcase", "title", "upper", "splitlines", "expandtabs", "split", "rsplit"]
STRIPS = ["strip", "lstrip", "rstrip"]
any_texts = st.one_of(
    texts,
    cased_texts,
    st.text(" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u2028\u200bab", max_size=30),
    st.text("aA1\u01c5 \u00b2_\u216b\u0345\u03a3", max_size=12),
    st.lists(st.sampled_from(["Title ", "Case", "word", "UP", "1", "'", "\u01c5"]), max_size=6).map("".join),
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, DistributedPrompt]:
    """A text, and the prompt of it that gives views of anything longer than two characters."""
    text = draw(any_texts)
    prompt = DistributedPrompt.from_text(text, shard_size=draw(shard_sizes(text)))
    if draw(st.booleans()):
        before, behind = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
        whole = "x" * before + text + "y" * behind
        prompt = DistributedPrompt.from_text(whole, shard_size=draw(shard_sizes(whole))).view(
            before, before + len(text)
        )
    return text, prompt


def same(found: Callable[[], Any], expected: Callable[[], Any]) -> None:
    ours, theirs = outcome(found), outcome(expected)
    assert ours == theirs, (ours, theirs)
    if isinstance(theirs, str | bool | int | bytes):
        assert type(ours) is type(theirs)


@pytest.mark.parametrize("name", PREDICATES)
@given(pair=pairs())
def test_a_question_about_all_characters_is_answered_as_by_str(name: str, pair: tuple[str, DistributedPrompt]) -> None:
    text, prompt = pair
    assert getattr(prompt, name)() is getattr(text, name)()


@pytest.mark.parametrize("name", PLAIN)
@given(pair=pairs())
def test_a_method_without_arguments_gives_what_str_gives(name: str, pair: tuple[str, DistributedPrompt]) -> None:
    text, prompt = pair
    same(getattr(prompt, name), getattr(text, name))


@pytest.mark.parametrize("name", STRIPS)
@given(
    pair=pairs(), chars=st.one_of(st.none(), st.text("ab\n \u00e9", max_size=3)), threshold=st.sampled_from([0, 2**23])
)
def test_stripping_gives_what_str_gives(
    name: str, pair: tuple[str, DistributedPrompt], chars: str | None, threshold: int
) -> None:
    text, prompt = pair
    prompt.view_threshold = threshold
    expected = getattr(text, name)(chars)
    assert getattr(prompt, name)(chars) == expected
    if chars is not None:
        assert getattr(prompt, name)(DistributedPrompt.from_text(chars)) == expected


@given(data=st.data(), pair=pairs(), threshold=st.sampled_from([0, 2**23]))
def test_edges_and_partitions_are_those_of_str(
    data: st.DataObject, pair: tuple[str, DistributedPrompt], threshold: int
) -> None:
    text, prompt = pair
    prompt.view_threshold = threshold
    needle, other = data.draw(needles(text)), data.draw(needles(text))
    start, end = data.draw(bounds(text)), data.draw(bounds(text))
    for name in ("startswith", "endswith"):
        for edge in (needle, (other, needle), ()):
            expected = getattr(text, name)(edge, start, end)
            assert getattr(prompt, name)(edge, start, end) is expected
    packed = DistributedPrompt.from_text(needle, shard_size=2)
    assert prompt.startswith((packed, other)) is text.startswith((needle, other))  # type: ignore[arg-type]
    for name in ("partition", "rpartition", "removeprefix", "removesuffix"):
        for argument in (needle, packed):
            ours = outcome(lambda name=name, argument=argument: getattr(prompt, name)(argument))  # type: ignore[misc]
            theirs = outcome(lambda name=name: getattr(text, name)(needle))  # type: ignore[misc]
            assert ours == theirs


@given(data=st.data(), pair=pairs())
def test_methods_with_arguments_give_what_str_gives(data: st.DataObject, pair: tuple[str, DistributedPrompt]) -> None:
    text, prompt = pair
    needle, other = data.draw(needles(text)), data.draw(needles(text))
    count = data.draw(st.integers(-2, 4))
    packed = DistributedPrompt.from_text(needle, shard_size=1)
    for name, arguments in (
        ("replace", (needle, other, count)),
        ("split", (needle, count)),
        ("rsplit", (needle, count)),
        ("split", (None, count)),
        ("splitlines", (True,)),
        ("expandtabs", (count,)),
        ("center", (len(text) + count, "-")),
        ("ljust", (len(text) + count, "-")),
        ("rjust", (len(text) + count, "--")),
        ("zfill", (len(text) + count,)),
        ("encode", ("utf-8", "surrogatepass")),
        ("encode", ("utf-16",)),
        ("encode", ("ascii",)),
        ("translate", ({97: "xyz", 98: None},)),
        ("join", ([needle, other],)),
        ("__add__", (needle,)),
        ("__mul__", (count,)),
        ("count", (needle,)),
        ("index", (needle,)),
        ("__contains__", (needle,)),
        ("__getitem__", (slice(None, None, count or 1),)),
    ):
        mine = tuple(packed if argument is needle else argument for argument in arguments)
        for each in (arguments, mine):
            same(
                lambda name=name, each=each: getattr(prompt, name)(*each),  # type: ignore[misc]
                lambda name=name, arguments=arguments: getattr(text, name)(*arguments),  # type: ignore[misc]
            )
    same(lambda: prompt.join([packed, other]), lambda: text.join([needle, other]))  # type: ignore[list-item]
    same(lambda: needle + prompt, lambda: needle + text)
    same(lambda: 2 * prompt, lambda: 2 * text)


@given(pair=pairs(), other=any_texts)
def test_prompts_are_ordered_as_strings_are(pair: tuple[str, DistributedPrompt], other: str) -> None:
    text, prompt = pair
    for compare in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        assert compare(prompt, other) is compare(text, other)
        assert compare(other, prompt) is compare(other, text)
        assert compare(prompt, DistributedPrompt.from_text(other, shard_size=2)) is compare(text, other)
        assert compare(prompt, text) is compare(text, text)


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("%s and %d", lambda t: t % ("x", 3)),
        ("%(a)s", lambda t: t % {"a": 1}),
        ("%s", lambda t: t % t),
        ("%d", lambda t: t % "x"),
        ("abc", lambda t: "<%s>" % t),  # noqa: UP031  # the operator is what is tried
        ("abc", lambda t: f"{t:^9}{t!s}"),
        ("abc", lambda t: format(t, ">5")),
        ("{self} {0} {}", lambda t: t.format(1, self=2)),
        ("{self} {0}", lambda t: t.format(1, self=2)),
        ("{a.real}", lambda t: t.format_map({"a": 5})),
        ("abc", lambda t: t.maketrans("a", "b")),
        ("a b", lambda t: t.split(sep=" ", maxsplit=1)),
        ("a\tb", lambda t: t.expandtabs(tabsize=3)),
        ("é", lambda t: t.encode(encoding="latin-1", errors="strict")),
        ("a\nb", lambda t: t.splitlines(keepends=True)),
        ("abc", lambda t: t < 3),
        ("abc", lambda t: t.join(5)),
        ("abc", lambda t: t.join([1])),
        ("abc", lambda t: t.split("")),
        ("abc", lambda t: t.center(5, "ab")),
        ("abc", lambda t: t.startswith(3)),
        ("abc", lambda t: t.startswith(("x", 3))),
        ("abc", lambda t: t.strip(3)),
        ("abc", lambda t: t.partition("")),
        ("abc", lambda t: t.removeprefix(3)),
        ("abc", lambda t: t * "x"),
        ("abc", lambda t: t["a"]),
        ("abc", lambda t: 3 in t),
    ],
)
def test_a_call_gives_the_result_or_the_type_of_error_that_str_gives(text: str, call: Callable[[Any], Any]) -> None:
    ours, theirs = outcome(lambda: call(DistributedPrompt.from_text(text, shard_size=2))), outcome(lambda: call(text))
    if isinstance(theirs, tuple) and isinstance(theirs[0], type) and isinstance(ours, tuple):
        assert ours[0] is theirs[0]
    else:
        assert ours == theirs


def test_every_name_of_str_is_one_of_a_prompt() -> None:
    assert set(dir(str)) - set(dir(DistributedPrompt)) == set()


def test_a_wrong_argument_is_wrong_for_a_text_of_any_length() -> None:
    prompt = DistributedPrompt.from_text("a b c")
    prompt.view_threshold = 4
    with pytest.raises(ValueError, match="empty separator"):
        prompt.split("")
    with pytest.raises(LookupError):
        prompt.encode("no-such-codec")


def test_stripping_decodes_no_more_than_the_edges() -> None:
    prompt = DistributedPrompt.from_text(" " * 10 + "x" * 100_000 + "\n", shard_size=1_000)
    prompt.view_threshold = 10
    assert len(prompt.strip()) == 100_000
    assert prompt.stats.decoded_shards <= 4


@given(data=st.data(), pair=pairs(), lazy=st.booleans())
def test_many_substrings_are_found_as_by_a_loop(
    data: st.DataObject,
    pair: tuple[str, DistributedPrompt],
    lazy: bool,  # noqa: FBT001  # drawn
) -> None:
    text, prompt = pair
    subs = data.draw(st.lists(needles(text), max_size=5))
    start, stop = data.draw(bounds(text)), data.draw(bounds(text))
    if lazy:
        text = text.upper()
        prompt.view_threshold = 0
        prompt = DistributedPrompt.from_text(text) if not text else prompt.upper()  # type: ignore[assignment]
    found = prompt.find_many([*subs, *subs], start, stop)
    assert found == {sub: text.find(sub, start, stop) for sub in subs}
    assert list(found) == list(dict.fromkeys(subs))


def test_many_substrings_take_one_pass_that_ends_with_the_last_of_them() -> None:
    text = "".join(f"line {number:07}\n" for number in range(100_000))
    prompt = DistributedPrompt.from_text(text, shard_size=1300)
    assert prompt.find_many(["line 0000000", "line 0000050"]) == {"line 0000000": 0, "line 0000050": 650}
    assert prompt.stats.decoded_shards <= 2
    before = prompt.stats.decoded_shards
    assert prompt.find_many(["absent", "line 0099999", "0\nline 0050001"])["absent"] == -1
    assert prompt.stats.decoded_shards - before <= 1000


def test_a_substring_that_is_none_is_str_s_own_error() -> None:
    with pytest.raises(TypeError, match="must be str, not int"):
        DistributedPrompt.from_text("abc").find_many(["a", 3])  # type: ignore[list-item]
