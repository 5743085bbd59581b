"""``distributed_prompt.re`` against the standard library's ``re`` on the equal string."""

import copy
import gc
import pickle
import re
import signal
import sys
import time
import unittest
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice, product
from typing import Any

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

import distributed_prompt.re as prompt_re
from distributed_prompt import DistributedPrompt, regex
from distributed_prompt.text import hits, windows
from distributed_prompt.text.reach import reach
from distributed_prompt.text.required import requirements
from tests.inside import Indexed
from tests.strategies import examples, outcome, shard_sizes

FUNCTIONS = ("search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn")
MANY = examples(500, at_soak=5)


def prompt_of(text: str, shard_size: int, *, lazy: bool = False, margins: tuple[int, int] = (0, 0)) -> Any:
    """A prompt of a text, or a view of it in a longer one; lazy, whatever is made of it is not a string."""
    whole = "a\n\u017f"[: margins[0]] + text + "a\nb"[: margins[1]]
    prompt = DistributedPrompt.from_text(whole, shard_size=shard_size)
    if lazy:
        prompt.view_threshold = 0
    return prompt.view(margins[0], margins[0] + len(text)) if any(margins) else prompt


def match_facts(match: Any) -> tuple[object, ...]:
    """All that a match says."""
    numbers = range(len(match.regs))
    names = match.re.groupindex
    return (
        "match",
        bool(match),
        match.regs,
        [match.span(number) for number in numbers],
        [match.start(number) for number in numbers],
        [match.end(number) for number in numbers],
        [match[number] for number in numbers],
        match.group(),
        match.group(0, *numbers),
        match.groups(),
        match.groups("-"),
        match.groupdict(),
        match.groupdict(""),
        [(match.span(name), match[name], match.group(name)) for name in names],
        match.lastindex,
        match.lastgroup,
        match.pos,
        match.endpos,
        str(match.string),
        match.re.pattern,
        match.re.flags,
        outcome(lambda: match.expand("<\\g<0>\\1>")),
    )


def facts(value: object) -> object:
    """What either library gives, in a form that can be compared."""
    if isinstance(value, re.Match | prompt_re.Match):
        return match_facts(value)
    if isinstance(value, DistributedPrompt):
        return str(value)
    if isinstance(value, list | tuple):
        return type(value)(facts(member) for member in value)
    if isinstance(value, Iterator):
        return [facts(member) for member in value]
    return value


def result_of(call: Callable[[], object]) -> object:
    """The facts of what a call gives, or of its error: its type, and the message of the pattern's own errors."""
    try:
        with warnings.catch_warnings():
            # Python 3.13 does not like a count without its name.
            warnings.simplefilter("ignore", DeprecationWarning)
            return facts(call())
    except re.error as error:
        return re.error, str(error), error.pos
    except Exception as error:  # noqa: BLE001  # whatever it is, it is compared
        return type(error)


def check_same(call: Callable[[Any, Any], object], text: str, sizes: tuple[int, ...] = (1, 3, 64)) -> None:
    """A call of a module and a text gives the same in both libraries."""
    expected = result_of(partial(call, re, text))
    for size, lazy in product(sizes, (False, True)):
        assert result_of(partial(call, prompt_re, prompt_of(text, size, lazy=lazy))) == expected, (size, lazy)


# (a) CPython's own calls


class Replay:
    """Stands in for ``re``: does the same with prompts, and gives the standard library's results.

    Attributes:
        calls: those made with prompts, by function.
        differences: what was not the same.
    """

    SIZES = (1, 3, 7, 64)
    MOST_SHARDS = 2_000

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.differences: list[object] = []
        for name in FUNCTIONS:
            setattr(self, name, partial(self.call, name))

    def __getattr__(self, name: str) -> Any:
        return getattr(re, name)

    def compile(self, pattern: Any, flags: int = 0) -> "ReplayPattern":
        return ReplayPattern(self, re.compile(own(pattern), flags))

    def call(self, name: str, pattern: Any, *arguments: Any, **keywords: Any) -> Any:
        """A function of the module."""
        given = own(pattern), *arguments
        return self.compare(name, getattr(re, name), getattr(prompt_re, name), given, keywords)

    def compare(self, name: str, one: Any, other: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """What one gives, the first time that it is called, with the warnings that the test may wait for."""
        try:
            return one(*arguments, **keywords)
        finally:
            self._compare(name, one, other, arguments, keywords)

    def _compare(self, name: str, one: Any, other: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        # After a pattern and what replaces.
        place = (2 if name.startswith("sub") else 1) - (0 if one.__module__ == "re" else 1)
        text = keywords.get("string", arguments[place] if place < len(arguments) else None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = result_of(partial(one, *arguments, **keywords))
            for size, lazy in product(self.SIZES, (False, True)):
                if not isinstance(text, str):
                    subject = text
                elif len(text) // size > self.MOST_SHARDS:
                    continue
                else:
                    subject = prompt_of(str(text), size, lazy=lazy)
                if "string" in keywords:
                    changed, options = arguments, keywords | {"string": subject}
                else:
                    changed, options = (*arguments[:place], subject, *arguments[place + 1 :]), keywords
                found = result_of(partial(other, *changed, **options))
                self.calls[name if isinstance(text, str) else "others"] += 1
                if found != expected and found == found:  # noqa: PLR0124
                    self.differences.append((name, arguments, keywords, size, lazy, found, expected))


class ReplayPattern:
    """A compiled pattern that does the same; the standard library's for whoever asks for its type."""

    def __init__(self, replay: Replay, pattern: "re.Pattern[Any]") -> None:
        self.own = pattern
        self.replay = replay

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return re.Pattern

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.own, name)
        return partial(self._call, name) if name in FUNCTIONS else found

    def _call(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        one, other = getattr(self.own, name), getattr(prompt_re.compile(self.own), name)
        return self.replay.compare(name, one, other, arguments, keywords)

    def __eq__(self, other: object) -> bool:
        return bool(self.own == own(other))

    def __hash__(self) -> int:
        return hash(self.own)

    def __repr__(self) -> str:
        return repr(self.own)

    def __reduce__(self) -> tuple[object, ...]:
        return own, (self.own,)

    def __copy__(self) -> "ReplayPattern":
        return self

    def __deepcopy__(self, memo: object) -> "ReplayPattern":
        return self


def own(pattern: Any) -> Any:
    """The standard library's pattern."""
    return pattern.own if type(pattern) is ReplayPattern else pattern


# They look at the identity of patterns, or at the file that a warning is about.
NOTICE_THE_STAND_IN = {
    "test_basic_re_sub",
    "test_compile",
    "test_misuse_flags",
    "test_possible_set_operations",
    "test_qualified_re_split",
    "test_qualified_re_sub",
    "test_re_groupref_exists_errors",
    "test_re_subn",
    "test_symbolic_groups_errors",
    "test_symbolic_refs_errors",
}


@pytest.mark.thorough
def test_the_calls_of_cpythons_own_tests_give_the_same_on_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    test_re = pytest.importorskip("test.test_re", reason="this Python came without its own tests")
    replay = Replay()
    monkeypatch.setattr(test_re, "re", replay)
    result = unittest.TestResult()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        unittest.defaultTestLoader.loadTestsFromTestCase(test_re.ReTests).run(result)
    assert not replay.differences, (len(replay.differences), replay.differences[:3])
    assert result.testsRun > 100
    assert {test.id().rpartition(".")[2] for test, _ in result.errors + result.failures} <= NOTICE_THE_STAND_IN
    assert sum(replay.calls.values()) > 8_000
    assert all(replay.calls[name] > 40 for name in FUNCTIONS)


@pytest.mark.thorough
def test_the_table_of_cpythons_own_tests_gives_the_same_on_prompts() -> None:
    table = pytest.importorskip("test.re_tests", reason="this Python came without its own tests").tests
    checked = 0
    for pattern, text, *_ in table:
        if isinstance(outcome(partial(re.compile, pattern)), tuple):
            assert outcome(partial(prompt_re.compile, pattern)) == outcome(partial(re.compile, pattern))
            continue
        for flags, size in product((0, re.IGNORECASE, re.MULTILINE | re.DOTALL), (1, 2, 7, 64)):
            if flags and re.compile(pattern).flags & re.LOCALE:
                continue
            prompt = prompt_of(text, size, lazy=True, margins=(size % 3, size % 2))
            for name in ("search", "match", "fullmatch", "findall", "finditer", "split"):
                expected = result_of(partial(getattr(re, name), pattern, text, flags=flags))
                assert result_of(partial(getattr(prompt_re, name), pattern, prompt, flags=flags)) == expected
            expected = result_of(partial(re.sub, pattern, r"<\g<0>>", text, flags=flags))
            assert result_of(partial(prompt_re.sub, pattern, r"<\g<0>>", prompt, flags=flags)) == expected
            checked += 1
    assert checked > 4_000


# (b) random patterns

ODD = "\u017f\u212a\u0130\u0131\u00b5\u03bc\u03c3\u03c2\u03a3\ufb05\ufb06\u0345\u03b9\u1fbe"
LETTERS = "abAb1_ \n\n-"
ALPHABETS = ("ab\n", "aB_1 \n", "sSkKiI" + ODD, "a\n\ud83d\ude00\U0001f600\udc80\u00e9", "a")
ESCAPES = (r"\w", r"\W", r"\s", r"\S", r"\d", r"\D", ".", ".")
ANCHORS = (r"\b", r"\B", "^", "$", r"\A", r"\Z")
RANGES = ("a-b", "A-Z", "a-z", "\u0130-\u0131", "\u03b0-\u03ca", "\u212a-\u212b", "\ud800-\udfff", r"\w", r"\s", r"\D")
BOUNDED = ("?", "{2}", "{1,2}", "{0,2}", "{,1}", "{3}", "{0}")
UNBOUNDED = ("*", "+", "{1,}", "{2,}")
SCOPES = ("i", "-i", "a", "s", "m", "s-i", "im", "ai", "-s", "u", "x", "-m")
FIXED = (
    "a",
    "b",
    "\n",
    "[ab]",
    "[^a]",
    ".",
    r"\b",
    "^",
    "$",
    r"\w",
    "(?=a)",
    "(?<=a)",
    "(?:a|b)",
    "a{2}",
    r"\A",
    "(?!b)",
)


class Grammar:
    """Draws one pattern. What it makes need not compile."""

    def __init__(self, draw: st.DrawFn, letters: str) -> None:
        self.draw = draw
        self.letters = letters
        self.groups = 0
        self.closed: list[int] = []

    def pick(self, *choices: Any) -> Any:
        return choices[self.draw(st.integers(0, len(choices) - 1))]

    def pattern(self) -> str:
        body = self.branches(3)
        return str(self.pick("", "", "", "(?i)", "(?m)", "(?s)", "(?x)", "(?a)", "(?im)", "(?is)", "(?ai)")) + body

    def branches(self, depth: int) -> str:
        return "|".join(self.sequence(depth) for _ in range(self.pick(1, 1, 1, 2, 2, 3)))

    def sequence(self, depth: int) -> str:
        return "".join(self.item(depth) for _ in range(self.pick(1, 2, 1, 3, 0)))

    def literal(self) -> str:
        return re.escape(str(self.pick(*self.letters)))

    def one(self) -> str:
        kind = self.pick("literal", "literal", "escape", "class", "range")
        if kind in ("literal", "escape"):
            return self.literal() if kind == "literal" else str(self.pick(*ESCAPES))
        inner = self.literal() if kind == "class" else self.pick(*RANGES)
        return f"[{self.pick('', '', '^')}{inner}{self.pick('', self.literal(), self.pick(*RANGES))}]"

    def item(self, depth: int) -> str:
        kind = self.pick("one", "one", "repeat", "repeat", "anchor", *(["deep"] * 4 if depth else []))
        if kind == "one":
            return self.one()
        if kind == "anchor":
            return str(self.pick(*ANCHORS))
        if kind == "repeat":
            return self.one() + self.quantifier()
        return self.deep(depth - 1)

    def quantifier(self) -> str:
        return str(self.pick(*BOUNDED, *UNBOUNDED, *UNBOUNDED)) + str(self.pick("", "", "?", "+"))

    def deep(self, depth: int) -> str:
        kind = self.pick("group", "group", "named", "plain", "ahead", "behind", "atomic", "scope", "reference", "if")
        quantifier = self.pick("", "", self.quantifier())
        if kind in ("group", "named"):
            self.groups += 1
            number = self.groups
            name = "" if kind == "group" else f"?P<g{number}>"
            found = f"({name}{self.branches(depth)}){quantifier}"
            self.closed.append(number)
            return found
        if kind == "ahead":
            return f"(?{self.pick('=', '!')}{self.branches(depth)}){self.pick('', '', '', '*', '?')}"
        if kind == "behind":
            return f"(?<{self.pick('=', '!')}{''.join(self.pick(*FIXED) for _ in range(self.pick(1, 2, 3)))})"
        if kind == "scope":
            return f"(?{self.pick(*SCOPES)}:{self.branches(depth)}){quantifier}"
        if kind in ("reference", "if") and self.closed:
            return f"{self.back(kind, depth)}{quantifier}"
        return f"(?{self.pick(':', '>')}{self.branches(depth)}){quantifier}"

    def back(self, kind: str, depth: int) -> str:
        """What depends on an earlier group."""
        number = self.pick(*self.closed)
        if kind == "reference":
            return f"(?:\\{number})"
        otherwise = self.pick("", f"|{self.sequence(depth)}")
        return f"(?({number}){self.sequence(depth)}{otherwise})"


def compiles(pattern: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return not isinstance(outcome(partial(re.compile, pattern)), tuple)


def texts_of(alphabet: str) -> st.SearchStrategy[str]:
    """Any text, and one in which a few characters go on for longer than what a pattern may look at besides."""
    runs = st.tuples(st.sampled_from(alphabet), st.sampled_from(alphabet), st.integers(1, 12), st.booleans())
    text = st.lists(runs.map(lambda run: (run[0] + run[1].swapcase() * run[3]) * run[2]), max_size=4).map("".join)
    return st.one_of(st.text(alphabet, max_size=24), text.map(lambda found: found[:60]))


@st.composite
def cases(draw: st.DrawFn) -> tuple["re.Pattern[str]", str, Any]:
    """A pattern, a text, and a prompt of it."""
    alphabet = draw(st.sampled_from(ALPHABETS))
    pattern = Grammar(draw, alphabet).pattern()
    assume(compiles(pattern))
    text = draw(texts_of(alphabet))
    margins = draw(st.sampled_from([(0, 0), (0, 0), (2, 1), (3, 0), (0, 2)]))
    prompt = prompt_of(text, draw(shard_sizes(text)), lazy=draw(st.booleans()), margins=margins)
    compiled = re.compile(pattern)
    event("in windows" if reach(compiled) else "in the whole")
    return compiled, text, prompt


class _TooSlow(BaseException):  # caught by nothing that catches errors
    """The standard library takes too long for a test."""


@contextmanager
def patience(seconds: float = 0.05) -> Iterator[None]:
    """Time of this process for what may take exponential time; the example does not count if it takes longer."""

    def give_up(_signal: int, _frame: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGVTALRM, give_up)
    # An exception in what the collector calls back would be lost.
    gc.disable()
    try:
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    except _TooSlow:
        assume(condition=False)
    finally:
        gc.enable()
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """A failure for what takes so much longer than it should that nobody can wait for it."""

    def give_up(_signal: int, _frame: object) -> None:
        pytest.fail(f"more than {seconds} seconds")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


Call = Callable[[Any, Any], object]


def check_call(call: Call, pattern: "re.Pattern[str]", text: str, prompt: Any) -> None:
    with patience():
        expected = result_of(partial(call, pattern, text))
        # A bug of CPython 3.11 that only what makes a match object notices.
        assume(result_of(partial(pattern.findall, text)) is not SystemError)
        assume(result_of(partial(pattern.finditer, text)) is not SystemError)
    with deadline(20):
        assert result_of(partial(call, prompt_re.compile(pattern), prompt)) == expected


def offsets(text: str) -> st.SearchStrategy[int]:
    near = st.integers(-2, len(text) + 3)
    return st.one_of(near, near, near, st.sampled_from([sys.maxsize, -sys.maxsize - 1]))


def templates(pattern: "re.Pattern[str]") -> st.SearchStrategy[str]:
    groups = [f"\\g<{number}>" for number in range(pattern.groups + 1)]
    names = [f"\\g<{name}>" for name in pattern.groupindex]
    short = [f"\\{number}" for number in range(1, pattern.groups + 1)]
    return st.lists(st.sampled_from([*groups, *names, *short, "x", "\\n", "\\\\", "\u20ac"]), max_size=3).map("".join)


@pytest.mark.thorough
@MANY
@given(case=cases())
def test_all_matches_of_any_pattern_are_the_same(case: tuple["re.Pattern[str]", str, Any]) -> None:
    pattern, text, prompt = case
    with pytest.MonkeyPatch.context() as patch:
        # Each hit on its own: in texts as short as these they are all dense.
        patch.setattr(hits, "_CHARACTERS_A_HIT", 0)
        check_call(lambda own, subject: own.finditer(subject), pattern, text, prompt)
    check_call(lambda own, subject: own.finditer(subject), pattern, text, prompt)
    check_call(lambda own, subject: own.findall(subject), pattern, text, prompt)
    for name in ("search", "match", "fullmatch"):
        check_call(lambda own, subject: getattr(own, name)(subject), pattern, text, prompt)  # noqa: B023


@pytest.mark.thorough
@MANY
@given(case=cases(), data=st.data())
def test_matches_between_any_bounds_are_the_same(case: tuple["re.Pattern[str]", str, Any], data: st.DataObject) -> None:
    pattern, text, prompt = case
    start, stop = data.draw(offsets(text)), data.draw(offsets(text))
    name = data.draw(st.sampled_from(["search", "match", "fullmatch", "finditer", "findall"]))
    check_call(lambda own, subject: getattr(own, name)(subject, start, stop), pattern, text, prompt)
    check_call(lambda own, subject: getattr(own, name)(subject, start), pattern, text, prompt)
    check_call(lambda own, subject: getattr(own, name)(string=subject, endpos=stop), pattern, text, prompt)


LOOKS = (
    *("", "$", "(?m:$)", r"\Z", "^", r"\b", r"\B", "a", "a*", "(?=a)", "(?!a)", "(?!$)", r"(?!\B)", "(?<=a)", "(?<!a)"),
    *("(?<=$)", "(?<=(?m:$))", "(?<!(?m:$))", r"(?<=\b)", r"(?<=\B)", r"(?<!\B)", "(?<=(?<=a)b)", "(?<=(?<!$)a)"),
)


@pytest.mark.parametrize("pattern", LOOKS)
def test_what_is_found_where_the_end_lies_before_the_beginning_is_the_same(pattern: str) -> None:
    for text in ("", "ab\na", "ba b\n\nab\n"):
        prompt = DistributedPrompt.from_text(text, shard_size=3)
        bounds = [-1, *range(len(text) + 2)]
        for start, stop in ((start, stop) for start in bounds for stop in bounds if stop < start):
            for name in ("match", "fullmatch", "search", "findall", "finditer"):
                expected = result_of(partial(getattr(re.compile(pattern), name), text, start, stop))
                found = result_of(partial(getattr(prompt_re.compile(pattern), name), prompt, start, stop))
                assert found == expected, (name, text, start, stop)


@pytest.mark.thorough
@MANY
@given(case=cases(), data=st.data())
def test_substitutions_and_splits_are_the_same(case: tuple["re.Pattern[str]", str, Any], data: st.DataObject) -> None:
    pattern, text, prompt = case
    template = data.draw(templates(pattern))
    count = data.draw(st.integers(0, 4))
    check_call(lambda own, subject: own.sub(template, subject), pattern, text, prompt)
    check_call(lambda own, subject: own.subn(template, subject, count), pattern, text, prompt)
    check_call(lambda own, subject: own.sub(lambda found: f"[{found[0]}{found.regs}]", subject, count=count), *case)
    check_call(lambda own, subject: list(own.split(subject)), pattern, text, prompt)
    check_call(lambda own, subject: own.split(subject)[-2:], pattern, text, prompt)
    check_call(lambda own, subject: own.split(subject)[len(own.split(subject)) // 2], pattern, text, prompt)
    check_call(lambda own, subject: list(own.split(subject, maxsplit=count)), pattern, text, prompt)


@contextmanager
def impatient(limit: int) -> Iterator[None]:
    """Context grows from a single character, and up to a few only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "_FIRST_GLANCE", 1)
        patch.setattr(regex, "_FIRST_WINDOW", 1)
        patch.setattr(regex, "CONTEXT_LIMIT", limit)
        patch.setattr(windows.Windows.__init__, "__defaults__", (limit,))
        patch.setattr(hits, "_FIRST_GLANCE", 1)
        patch.setattr(hits.HitWindows.__init__, "__defaults__", (limit,))
        yield


@pytest.mark.thorough
@MANY
@given(case=cases(), data=st.data(), limit=st.sampled_from([1, 4, 6, 16, 2**20]))
def test_no_limit_of_the_context_changes_results(
    case: tuple["re.Pattern[str]", str, Any], data: st.DataObject, limit: int
) -> None:
    pattern, text, prompt = case
    name = data.draw(st.sampled_from(["search", "match", "fullmatch", "finditer", "findall", "split"]))
    start = data.draw(st.integers(0, len(text))) if name != "split" else 0
    with impatient(limit):
        check_call(lambda own, subject: getattr(own, name)(subject, start), pattern, text, prompt)
        check_call(lambda own, subject: own.subn("<>", subject), pattern, text, prompt)


@pytest.mark.thorough
@MANY
@given(case=cases(), method=st.sampled_from(["lower", "upper", "casefold", "swapcase"]))
def test_lazy_texts_are_searched_as_the_texts_they_stand_for(
    case: tuple["re.Pattern[str]", str, Any], method: str
) -> None:
    pattern, text, prompt = case
    prompt.view_threshold = 0
    text, prompt = getattr(text, method)(), getattr(prompt, method)()
    check_call(lambda own, subject: own.finditer(subject), pattern, text, prompt)
    check_call(lambda own, subject: own.fullmatch(subject, 1), pattern, text, prompt)
    check_call(lambda own, subject: own.sub("\\g<0>-", subject), pattern, text, prompt)


RUNS = (
    *(
        "a",
        "(?i:a)",
        "(?i:k)",
        "(?i:s)",
        "[^b]",
        r"[^\W_]",
        r"(?a:\w)",
        "(?i:[^k])",
        "(?i:\u0131)",
        "(?ai:[a-z])",
        ".",
    ),
    *("(?i:\u03c3)", "(?i:\ufb05)", "(?i:\u00b5)", r"(?:a|b\n)", "(?:ab)", "(?:a(?=b))", "(?:a(?<=ba))", "(?:(?!b).)"),
)
ENDS = (
    *("c", "(?=c)", "(?!c)", "$", r"\b", "(?=.{3}c)", "(?=b{4}c)(?<=a.)", r"\Z", "bcd", "(?:bc|bcde)?", "(?=b*c)"),
    *(r"(?=(b*))\1c", "(?i:c)", "(?=bb(?=bb(?=bb)))", ".{4}$"),
)
CAPTURES = ("(a*)", "(a+b?)", "(ab|a)", "(?i:(a*))", "(?:(a)|b)*", "(?=(a*))", "((?:a|b)*?)", "(a{0,3})", "(?i:(a))")
USES = (
    *(r"\1", r"\1*", r"(?i:\1)", r"(?i:\1)c", r"(?=\1c)", "(?(1)c|d)", "(?(1)a*c|b*d)", r"x\1", r"\1{3}"),
    *(r"(?:\1b){2}", r"(?!\1)", r"(?<=\1)", r"(?<!c)\1$"),
)
LONG_RUNS = (
    *("aaaaaaaaaaaac", "aAAaaAAAAAAAAAAAAAAc", "kK" + "\u212a" * 6 + "kkc", "sS" + "\u017f" * 6 + "c"),
    *(
        "aaaabbbbcaaaaabbbbbbbbbbbbccaa\naa",
        "\u0131\u0131iI\u0130\u0131IIIIIIc",
        "\u03c3\u03c2\u03a3\u03c2\u03c2\u03c2\u03c2\u03a3c",
    ),
    *(
        "\ufb05" + "\ufb06" * 6 + "c",
        "\u00b5\u03bc\u039c\u03bc\u03bc\u039c\u03bcc",
        "aaaaaaAAAAAAAAAAxaaaaaaAAAAAAAAAAAaa",
    ),
    *("aabaabaabaabcaab\n", "a\nb\na\nb\nb\na\nb\nc\n\n", "abbbbcdeabbbbbbbbbabbbbabcdabcbcde"),
)


@pytest.mark.thorough
@pytest.mark.parametrize("quantifier", ["*", "+", "{2,}", "*?", "++", "{1,3}"])
def test_runs_that_end_far_behind_a_part_are_decided_there(quantifier: str) -> None:
    patterns = [run + quantifier + end for run, end in product(RUNS, ENDS)]
    check_long_runs(filter(compiles, patterns))


@pytest.mark.thorough
def test_references_to_runs_far_away_are_decided_there() -> None:
    check_long_runs(filter(compiles, map("".join, product(CAPTURES, USES))))


def check_long_runs(patterns: Iterator[str]) -> None:
    for pattern in patterns:
        compiled = re.compile(pattern)
        for number, text in enumerate(LONG_RUNS):
            expected = result_of(partial(compiled.findall, text))
            spans = [match.regs for match in compiled.finditer(text)]
            prompt = prompt_of(text, 1 if number % 2 else 5)
            with impatient(2**20 if number % 3 else 4):
                assert result_of(partial(prompt_re.findall, pattern, prompt)) == expected
                assert [match.regs for match in prompt_re.finditer(pattern, prompt)] == spans


# (c) memory, decoding and time

SENTENCE = "the quick brown fox jumps over the lazy dog 0123456789\n"
BIG = 2**24


@pytest.fixture(scope="module")
def big_text() -> str:
    return SENTENCE * (BIG // len(SENTENCE) + 2)


def test_a_match_that_is_found_early_decodes_little(big_text: str) -> None:
    prompt = DistributedPrompt.from_text(big_text)
    assert prompt_re.search(r"(\w+) dog", prompt)[1] == "lazy"
    assert prompt_re.match(r"(?:\w+ )+", prompt).end() == big_text.index("0")
    assert prompt_re.fullmatch(r"[a-z ]*", prompt) is None
    assert prompt.stats.decoded_shards <= 6
    assert prompt.stats.images == 0


def test_matches_are_found_as_they_are_taken(big_text: str) -> None:
    prompt = DistributedPrompt.from_text(big_text)
    found = prompt_re.finditer("fox", prompt)
    assert prompt.stats.decoded_shards <= 1
    assert [match.start() for match in islice(found, 3)] == [16, 16 + len(SENTENCE), 16 + 2 * len(SENTENCE)]
    assert prompt.stats.decoded_shards <= 4


WORDS = ("ab", "X", "bb", "Xa")
JOINTS = (".*", ".+?", "[^X]*", r"\w*", r"[\s\S]*?", ".{0,9}", r"(?s:.*)", r"\n?.*", "(?:.|b)*")


@given(
    lines=st.lists(st.sampled_from(["ab", "bb X", "Xab bb", "", "ab X bb ab", "axXbb" * 9]), max_size=40),
    words=st.lists(st.sampled_from([*WORDS, "(bb)", "(?:ab|X)", "(?i:xA)"]), min_size=2, max_size=4),
    joints=st.lists(st.sampled_from(JOINTS), min_size=3, max_size=3),
    shard_size=st.sampled_from([7, 40, 200]),
)
def test_matches_that_need_several_literals_are_the_same(
    lines: list[str], words: list[str], joints: list[str], shard_size: int
) -> None:
    text = "\n".join(lines)
    pattern = "".join(word + joint for word, joint in zip(words, ["", *joints][-len(words) :], strict=True))
    expected = [match.span() for match in re.finditer(pattern, text)]
    for prompt in (prompt_of(text, shard_size), prompt_of(text, shard_size, lazy=True)):
        assert [match.span() for match in prompt_re.finditer(pattern, prompt)] == expected


def test_what_a_match_needs_is_read_off_the_pattern() -> None:
    def needs(pattern: str) -> set[tuple[tuple[str, tuple[str, ...]], ...]]:
        return {
            tuple((literal.text, tuple(sorted(each.text for each in literal.companions))) for literal in literals)
            for literals in requirements(re.compile(pattern))
        }

    assert needs("error.*timeout") == {(("error", ("timeout",)),), (("timeout", ("error",)),)}
    assert needs("(err)(?:or)?.*(?:fatal|panic)") == {(("err", ()),), (("fatal", ("err",)), ("panic", ("err",)))}
    assert needs(r"error\s.*timeout") == {(("error", ()),), (("timeout", ()),)}
    assert needs("(?s)error.{0,9}timeout") == {(("error", ()),), (("timeout", ()),)}
    assert needs(r"time\Bout|(?=t)time$out") == {(("timeout", ()),)}


def test_of_what_a_match_needs_the_rarest_is_looked_for() -> None:
    text = "".join(f"common words in line {number}\n" for number in range(300_000)) + "common things are seldom\n"
    prompt = DistributedPrompt(Indexed(text, 2**15))
    assert [match.group() for match in prompt_re.finditer("common .*(seldom)", prompt)] == ["common things are seldom"]
    assert prompt.stats.decoded_shards <= 2
    assert prompt_re.search("common.*absent", prompt) is None
    assert prompt.stats.decoded_shards <= 2


def test_a_lazy_substitution_decodes_little_until_it_is_read(big_text: str) -> None:
    prompt = DistributedPrompt.from_text(big_text)
    found = prompt_re.sub(r"(\w+) dog", r"\1 cat", prompt)
    assert prompt.stats.decoded_shards <= 1
    assert found[:44] == "the quick brown fox jumps over the lazy cat "
    assert prompt.stats.decoded_shards <= 4


@pytest.mark.thorough
@pytest.mark.parametrize("pattern", ["fox", r"q\w+", r"(?m)^the .*$", r"(?<=lazy )dog", r"[0-9]+\s", "(?i)FOX|DOG"])
def test_all_matches_decode_no_shard_twice_and_make_no_image(pattern: str, big_text: str) -> None:
    prompt = DistributedPrompt.from_text(big_text)
    assert prompt_re.findall(pattern, prompt) == re.findall(pattern, big_text)
    assert prompt.stats.decoded_shards == -(-len(big_text) // 2**17)
    assert prompt.stats.images == 0


@pytest.mark.thorough
def test_what_a_function_puts_in_a_long_text_is_lazy_all_the_same(big_text: str) -> None:
    prompt = DistributedPrompt.from_text(big_text)
    numbers = iter(range(10**9))
    expected = re.sub("fox", lambda _: str(next(numbers)), big_text)
    numbers = iter(range(10**9))
    changed, count = prompt_re.subn("fox", lambda _: str(next(numbers)), prompt)
    assert isinstance(changed, DistributedPrompt)
    assert (count, len(changed)) == (big_text.count("fox"), len(expected))
    assert changed[-1000:] == expected[-1000:]
    assert changed == expected
    unchanged = prompt_re.sub("wolf", str.upper, prompt)
    assert isinstance(unchanged, DistributedPrompt)
    assert unchanged == big_text


def test_what_may_look_at_everything_uses_the_string_of_the_whole(big_text: str) -> None:
    prompt = DistributedPrompt.from_text(big_text)
    assert prompt_re.search("(?s)a.*b", prompt).span() == re.search("(?s)a.*b", big_text).span()  # type: ignore[union-attr]
    assert prompt.stats.images == 1


# What each takes is linear; what is not would take minutes.
LINEAR: dict[str, tuple[str, Callable[[Any, Any], object]]] = {
    "a run without end": ("x", lambda own, text: [len(found) for found in own.findall("[^,]+", text)]),
    "one long line": ("x", lambda own, text: [len(found) for found in own.findall(".+", text)]),
    "spaces only": (" ", lambda own, text: [len(found) for found in own.findall(r"\s+", text)]),
    "no spaces": ("x", lambda own, text: own.findall(r"\s+", text)),
    "a rare beginning": ("x", lambda own, text: own.search("a[^,]*z", text)),
    "a repeat of repeats": ("x", lambda own, text: [len(found) for found in own.findall("(?:x+)+", text)]),
    "a repeated pair": ("ab", lambda own, text: [found.end() for found in own.finditer("(?:ab)+", text)]),
    "a match of everything": ("x", lambda own, text: own.match(".*", text).end()),
    "a full match of everything": ("x", lambda own, text: own.fullmatch("[^,]*", text).end()),
    "a run replaced": ("x", lambda own, text: str(own.sub(r"\w+", "-", text))),
}


@pytest.mark.parametrize("what", LINEAR)
def test_what_is_linear_in_a_string_is_linear_in_a_prompt(what: str) -> None:
    unit, call = LINEAR[what]
    text = unit * (2**22 // len(unit))
    expected = call(re, text)
    prompt = DistributedPrompt.from_text(text, shard_size=2**14)
    prompt.view_threshold = 2**20
    begin = time.process_time()
    with deadline(4):
        assert call(prompt_re, prompt) == expected
    assert time.process_time() - begin < 4


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("(a+)+vwxyz", "a" * 30 + "vwxyz "),
        (r"(?m)^(\w+\s?)*:::::$", "hello world this is a line with words:::::\n"),
        (r"(?:<[^>]*>\s*)+END-OF", "<a> <b> <c> <d> <e> <f>  <g>   <h>  <i>END-OF"),
    ],
)
def test_what_a_cut_makes_of_a_text_behind_a_part_is_not_attempted(pattern: str, line: str) -> None:
    text = line * 300
    expected = re.findall(pattern, text)
    with deadline(4):
        assert prompt_re.findall(pattern, DistributedPrompt.from_text(text, shard_size=64)) == expected


@pytest.mark.parametrize("method", ["search", "match"])
def test_searching_a_lazy_text_of_unknown_length_decodes_only_what_it_reads(method: str, big_text: str) -> None:
    prompt = DistributedPrompt.from_text(big_text)
    lazy = prompt.replace("quick", "slow")
    assert getattr(prompt_re, method)("the slow", lazy).span() == (0, 8)
    assert prompt.stats.decoded_shards <= 4


# (d) arguments and errors

CALLS: dict[str, Callable[[Any, Any], object]] = {
    "bytes search": lambda own, text: own.search(b"a", text),
    "bytes match": lambda own, text: own.match(b"a", text),
    "bytes fullmatch": lambda own, text: own.fullmatch(b"a", text),
    "bytes finditer": lambda own, text: own.finditer(b"a", text) and None,
    "bytes findall": lambda own, text: own.findall(b"a", text),
    "bytes split": lambda own, text: own.split(b"a", text),
    "bytes sub": lambda own, text: own.sub(b"a", b"b", text),
    "bytes sub with a function": lambda own, text: own.sub(b"a", lambda _: b"", text),
    "bytes subn": lambda own, text: own.subn(b"a", "b", text),
    "bad pattern": lambda own, text: own.search("(", text),
    "bad lookbehind": lambda own, text: own.search("(?<=a*)", text),
    "no pattern": lambda own, text: own.search(None, text),
    "list as pattern": lambda own, text: own.search([1], text),
    "locale": lambda own, text: own.search("a", text, re.LOCALE),
    "flags twice": lambda own, text: own.search(own.compile("a"), text, re.IGNORECASE),
    "flags of text": lambda own, text: own.search("a", text, "x"),
    "flags by name": lambda own, text: own.search(pattern="A", string=text, flags=re.IGNORECASE),
    "float bound": lambda own, text: own.compile("a").search(text, 1.5),
    "no end": lambda own, text: own.compile("a").search(text, 0, None),
    "float bound of finditer": lambda own, text: own.compile("a").finditer(text, 1.5) and None,
    "bound of text": lambda own, text: own.compile("a").finditer(text, "1") and None,
    "names": lambda own, text: own.compile("a").search(string=text, pos=1, endpos=4),
    "bools": lambda own, text: own.compile("a").search(text, True, True),  # noqa: FBT003
    "count of text": lambda own, text: own.sub("a", "b", text, "x"),
    "negative count": lambda own, text: own.subn("a", lambda _: "b", text, -1),
    "negative maxsplit": lambda own, text: own.split("a", text, -1),
    "none from a function": lambda own, text: own.sub("a", lambda _: None, text),
    "number from a function": lambda own, text: own.sub("a", lambda _: 5, text),
    "bytes from a function": lambda own, text: own.sub("a", lambda _: b"x", text),
    "error from a function": lambda own, text: own.sub("a", lambda _: 1 // 0, text),
    "number as replacement": lambda own, text: own.sub("a", 5, text),
    "nothing as replacement": lambda own, text: own.sub("a", None, text),
    "list as replacement": lambda own, text: own.sub("z", [], text),
    "bytes as replacement": lambda own, text: own.sub("a", b"x", text),
    "bytes as replacement of nothing": lambda own, text: own.sub("z", b"x", text),
    "no such group": lambda own, text: own.search("a", text).group(3),
    "no such name": lambda own, text: own.search("a", text).start("x"),
    "no such item": lambda own, text: own.search("a", text)["x"],
    "attributes": lambda own, _: setattr(own.compile("a"), "flags", 5),
    "order of patterns": lambda own, _: own.compile("a") < own.compile("b"),
    "length of a match": lambda own, text: len(own.search("a", text)),
    "pickled match": lambda own, text: pickle.dumps(own.search("a", text)),
    "pattern of a match": lambda own, text: own.search("a", text).re == own.compile("a"),
    "copied match": lambda own, text: copy.deepcopy(own.search("a", text)).span(),
    "empty text": lambda own, text: own.search("a|$", text[:0]),
}
TEMPLATES = (
    "\\1",
    "\\g<x>",
    "\\",
    "\\g<",
    "\\q",
    "\\0",
    "\\x",
    "\\400",
    "\\g<0>",
    "\\g<1",
    "\\g<-1>",
    "\\n",
    "\\g<>",
    "a\\",
)


@pytest.mark.parametrize("what", CALLS)
def test_arguments_are_taken_and_refused_as_by_the_standard_library(what: str) -> None:
    check_same(CALLS[what], "aabca\n")


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_are_refused_as_by_the_standard_library(template: str) -> None:
    check_same(lambda own, text: own.sub("a", template, text), "aabca\n")
    check_same(lambda own, text: own.subn("z", template, text), "aabca\n")
    check_same(lambda own, text: own.search("a", text).expand(template), "aabca\n")


ANCHORED = (
    "^",
    "$",
    r"\Z",
    r"\A",
    r"\b",
    r"\B",
    "(?m)^",
    "(?m)$",
    "(?<=a)",
    "(?<!a)",
    "(?=b)",
    "a*",
    r"(?<=\Aa)",
    ".",
)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["search", "match", "fullmatch", "findall", "finditer"])
def test_anchors_know_all_bounds(name: str) -> None:
    text = "aab\na\n"
    for pattern, start, stop in product(ANCHORED, range(-1, 8), range(-1, 8)):
        if min(max(start, 0), len(text)) <= max(stop, 0):
            check_same(lambda own, text: getattr(own.compile(pattern), name)(text, start, stop), text, (1, 4))  # noqa: B023


def test_patterns_equal_and_copy_and_pickle_as_the_standard_librarys() -> None:
    pattern = prompt_re.compile("a(?P<x>b)", re.IGNORECASE)
    assert pattern == prompt_re.compile("a(?P<x>b)", re.IGNORECASE)
    assert hash(pattern) == hash(prompt_re.compile("a(?P<x>b)", re.IGNORECASE))
    assert pattern is prompt_re.compile("a(?P<x>b)", re.IGNORECASE)
    assert pattern != prompt_re.compile("a(?P<x>b)")
    assert prompt_re.compile("a") != prompt_re.compile(b"a")
    assert prompt_re.compile("a") != "a"
    assert copy.copy(pattern) is copy.deepcopy(pattern) is pattern
    assert pickle.loads(pickle.dumps(pattern)) == pattern  # noqa: S301
    assert (pattern.pattern, pattern.flags, pattern.groups) == ("a(?P<x>b)", re.IGNORECASE | re.UNICODE, 1)
    assert dict(pattern.groupindex) == {"x": 1}
    assert prompt_re.compile(pattern) == prompt_re.compile(re.compile("a(?P<x>b)", re.IGNORECASE)) == pattern


def test_a_prompt_may_be_the_pattern_the_template_and_the_text() -> None:
    text, pattern, template = (prompt_of(each, 2, lazy=True) for each in ("xaby", "(a)(?P<n>b)", r"\g<n>\1"))
    assert prompt_re.compile(pattern).pattern == "(a)(?P<n>b)"
    assert prompt_re.search(pattern, text).expand(template) == "ba"
    assert str(prompt_re.sub(pattern, template, text)) == "xbay"
    assert prompt_re.sub(pattern, template, "xaby") == "xbay"


def test_strings_and_bytes_go_to_the_standard_library() -> None:
    assert type(prompt_re.search("a", "a")) is re.Match
    assert prompt_re.findall(b"a", bytearray(b"aa")) == [b"a", b"a"]
    assert prompt_re.compile(b"a").split(memoryview(b"bab")) == [b"b", b"b"]
    assert prompt_re.split(",", "a,b", maxsplit=1) == ["a", "b"]
    for wrong in (5, None, ["a"]):
        assert result_of(partial(prompt_re.search, "a", wrong)) is TypeError


@pytest.mark.parametrize("name", ["sub", "subn"])
def test_a_negative_count_replaces_nothing(name: str) -> None:
    check_same(lambda own, text: getattr(own, name)("a", "b", text, -1), "aabca\n")


@pytest.mark.parametrize("value", [0, False, 0.0, b"", (), []])
def test_what_is_no_string_is_no_replacement_even_if_it_is_false(value: object) -> None:
    check_same(lambda own, text: own.sub("a", lambda _: value, text), "aabca\n")


def test_empty_bytes_are_no_replacement() -> None:
    nothing: Any = b""
    check_same(lambda own, text: own.sub("a", nothing, text), "aabca\n")


@pytest.mark.parametrize("huge", [2**70, -(2**70)])
def test_numbers_that_no_offset_can_be_are_refused(huge: int) -> None:
    check_same(lambda own, text: own.compile("a").search(text, huge), "aab")
    check_same(lambda own, text: own.compile("a").match(text, 0, huge), "aab")
    check_same(lambda own, text: own.compile("a").findall(text, 0, huge), "aab")
    check_same(lambda own, text: own.sub("a", "b", text, huge), "aab")
    check_same(lambda own, text: own.subn("a", "b", text, huge), "aab")
    check_same(lambda own, text: own.split("a", text, huge), "aab")


@pytest.mark.parametrize("name", ["match", "fullmatch"])
def test_bounds_that_cross_give_what_this_version_gives(name: str) -> None:
    for pattern, start, stop in product(("", "a*", "$", "^"), range(4), range(4)):
        check_same(lambda own, text: getattr(own.compile(pattern), name)(text, start, stop), "aab")  # noqa: B023


def test_a_compiled_pattern_warns_no_more() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pattern = prompt_re.compile("[[a]")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pattern.search("a")
        assert pattern.search(prompt_of("a", 1))


def test_patterns_and_matches_can_be_annotated() -> None:
    for own in (re, prompt_re):
        kinds: Any = own
        assert kinds.Pattern[str]
        assert kinds.Match[str]


def test_a_match_is_no_sequence_and_cannot_be_changed() -> None:
    check_same(lambda own, text: list(own.search("a", text)), "aab")
    check_same(lambda own, text: setattr(own.search("a", text), "pos", 5), "aab")


def test_a_prompt_can_be_escaped() -> None:
    check_same(lambda own, text: own.escape(text), "a.b*")


def test_the_module_is_no_package_and_names_itself_in_errors() -> None:
    assert not hasattr(prompt_re, "__path__")
    with pytest.raises(AttributeError, match=r"distributed_prompt\.re"):
        _ = prompt_re.no_such_name


@pytest.mark.parametrize("lazy", [False, True])
def test_a_function_is_called_for_matches_of_the_text_alone(lazy: bool) -> None:  # noqa: FBT001  # pytest passes it
    seen: list[tuple[str, tuple[int, int]]] = []

    def note(match: Any) -> str:
        seen.append((str(match.string), match.span()))
        return str(len(seen))

    assert str(prompt_re.sub("x*", note, prompt_of("abc xyz", 2, lazy=lazy))) == "1a2b3c4 56y7z8"
    assert seen == [("abc xyz", match.span()) for match in re.finditer("x*", "abc xyz")]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 49, 50, 51])
@pytest.mark.parametrize("template", ["<>", r"<\1>", ""])
def test_a_lazy_substitution_ends_after_so_many_matches(count: int, template: str) -> None:
    text = "ab " * 50
    prompt = prompt_of(text, 4)
    prompt.view_threshold = 0
    found = prompt_re.sub("(a)b", template, prompt, count=count)
    assert isinstance(found, DistributedPrompt)
    assert "".join(found) == re.sub("(a)b", template, text, count=count)


def test_a_lazy_split_at_matches_longer_than_any_first_glance() -> None:
    text = "x" + "a" * 5_000 + "by" + "a" * 3_000 + "z"
    prompt = prompt_of(text, 1_000)
    prompt.view_threshold = 0
    assert list(prompt_re.split("a+b", prompt)) == re.split("a+b", text)


@pytest.mark.parametrize(
    ("pattern", "flags"),
    [
        ("[ab] c  # d", re.VERBOSE),
        ("ab [c] | d # e", re.VERBOSE | re.IGNORECASE),
        ("bc", re.IGNORECASE),
        ("b.c", re.DOTALL),
        ("^c.", re.MULTILINE),
        (r"\w+c|\s", re.ASCII),
        (r"(?x: a b ) c", re.NOFLAG),
    ],
)
def test_flags_that_are_arguments_count(pattern: str, flags: int) -> None:
    text = "abc AC bC # d\nb\nc\u00e9c\u00a0ab c"
    for size in (1, 3, 50):
        assert prompt_re.findall(pattern, prompt_of(text, size), flags) == re.findall(pattern, text, flags) != []
        lazy = prompt_re.compile(pattern, flags).sub("<>", prompt_of(text, size, lazy=True))
        assert str(lazy) == re.sub(pattern, "<>", text, flags=flags)
