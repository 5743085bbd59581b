"""Texts that are a ``str`` as well, against the equal ordinary ``str``; and what code in C makes of their buffer."""

import contextlib
import copy
import csv
import functools
import io
import itertools
import logging
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt import DistributedPrompt
from distributed_prompt import re as exact_re
from distributed_prompt.attaching import attach
from distributed_prompt.lazy_str import SHOWN_FROM_END, SHOWN_FROM_START, LazyStr
from distributed_prompt.sequences import LazySequence
from distributed_prompt.strings import plain
from tests.strategies import bounds, cased_texts, needles, outcome, shard_sizes, steps, texts

# What the code below may name.
NAMES: dict[str, Any] = {
    name: import_module(name)
    for name in (
        *["array", "ast", "base64", "binascii", "bisect", "codecs", "collections", "copy", "csv", "ctypes", "datetime"],
        *["decimal", "difflib", "email", "fnmatch", "fractions", "functools", "hashlib", "html", "io", "itertools"],
        *[
            "json",
            "locale",
            "marshal",
            "operator",
            "os",
            "pathlib",
            "pickle",
            "pprint",
            "random",
            "re",
            "shlex",
            "string",
        ],
        *["struct", "sys", "textwrap", "time", "tokenize", "unicodedata", "urllib.parse", "uuid", "zlib"],
    )
} | {
    "exact_re": exact_re,
    "urllib": import_module("urllib"),
    "plain": plain,
    "Counter": Counter,
    "SimpleNamespace": SimpleNamespace,
}
DEFAULT = None
SIZES = (1, 3, 7)
THRESHOLDS = (0, 5, DEFAULT)
SAMPLES = (
    "",
    "a",
    "abc",
    "Ab ab\tAB ",
    "  one,two,,three ",
    "\u00e9t\u00e9 \u00c9",
    "\u4e2d\u6587\uff0c\u5b57\u4e2d",
    "\U0001f469\u200d\U0001f680\U0001f389\u00e9",
    "e\u0301e\u0301\u0345 x",
    "a\r\nb\rc\n\n",
    "\r\n",
    "\ud83d\ude00\udc80x",
    "a\x00b\x00",
    "123",
    "-7",
    "\u01c6 \u00df \u0130 \u0391\u03a3",
    "50%% %s",
    "{} {{ {0}",
    "x" * 20,
)


@functools.lru_cache(1_000)
def lazy(text: str, size: int = 3, threshold: int | None = DEFAULT) -> LazyStr:
    prompt = DistributedPrompt.from_text(text, shard_size=size)
    if threshold is not None:
        prompt.view_threshold = threshold
    return LazyStr(prompt)


def seen(value: Any) -> Any:
    """A result with ordinary strings and lists in the place of lazy ones, however deep they are."""
    if isinstance(value, DistributedPrompt):
        return plain(value)
    if isinstance(value, LazySequence):
        return [seen(item) for item in value]
    if isinstance(value, list | tuple) and type(value) in {list, tuple}:
        return type(value)(map(seen, value))
    if type(value) is dict:
        return {seen(key): seen(item) for key, item in value.items()}
    return value


def kind_of(found: object) -> object:
    """A result, or of an error its type alone."""
    if isinstance(found, tuple) and found and isinstance(found[0], type):
        return found[0]
    return found


@functools.cache
def compiled(code: str) -> CodeType:
    return compile(code, "<test>", "eval")


def evaluated(code: str, **names: object) -> Any:
    return eval(compiled(code), {**NAMES, **names})  # noqa: S307  # code of this file


def same(code: str, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Check that code gives of some texts what it gives of ordinary strings, if only an error of the same type."""
    found = outcome(lambda: seen(evaluated(code, **ours)))
    expected = outcome(lambda: evaluated(code, **theirs))
    assert kind_of(found) == kind_of(expected), (code, ours, theirs)


NOT_OURS = {
    "__class__": "LazyStr is a type of its own",
    "__delattr__": "attributes of the object, not of the text",
    "__dir__": "as above",
    "__doc__": "that of the class",
    "__getattribute__": "attributes of the object, not of the text",
    "__getstate__": "not asked, for there is __reduce__",
    "__init__": "makes nothing, as that of str",
    "__init_subclass__": "of the class",
    "__new__": "takes a prompt",
    "__reduce__": "what opens the pack, not the text",
    "__reduce_ex__": "asks __reduce__",
    "__repr__": "short, for logs",
    "__setattr__": "attributes of the object, not of the text",
    "__sizeof__": "what the object itself takes",
    "__subclasshook__": "of the class",
    "maketrans": "a static method, which has no text",
}
# At least one call for every other name; of a text, its middle, and what is not in it.
CALLS: dict[str, list[str]] = {
    "__add__": ["t + m", "t + t", 't + ""'],
    "__contains__": ["m in t", "t in t", '"\\ufdd0" in t'],
    "__eq__": ["t == m", 't == t + ""', "t == 1"],
    "__format__": ["format(t)", 'f"{t:.2}"', 'f"{t:d}"'],
    "__ge__": ["t >= m", 't >= t + "a"', "t >= 1"],
    "__getitem__": ["t[0]", "t[1:-1]", "t[::-2]", 't["a"]'],
    "__getnewargs__": ["t.__getnewargs__()"],
    "__gt__": ["t > m", 't > t + "a"', "t > 1"],
    "__hash__": ["hash(t)"],
    "__iter__": ["list(iter(t))"],
    "__le__": ["t <= m", 't <= t + "a"', "t <= 1"],
    "__len__": ["len(t)"],
    "__lt__": ["t < m", 't < t + "a"', "t < 1"],
    "__mod__": ["t % ()", "t % m", "t % (m,)", 't % {"a": m}'],
    "__mul__": ["t * 3", "t * 0", "t * -1", 't * "a"'],
    "__ne__": ["t != m", 't != t + ""', "t != 1"],
    "__rmod__": ['"<%s>" % t', '"%-30s|" % t', '"%d" % t', '"%s%s" % t'],
    "__rmul__": ["3 * t", "0 * t", "1.5 * t"],
    "__str__": ["str(t)", '"".join(str(t))'],
    "capitalize": ["t.capitalize()"],
    "casefold": ["t.casefold()"],
    "center": ["t.center(30)", 't.center(31, "\\u4e2d")', 't.center(9, "ab")'],
    "count": ["t.count(m)", 't.count("")', 't.count("a", 1, -1)'],
    "encode": [
        "t.encode()",
        't.encode("utf-8", "surrogatepass")',
        't.encode("ascii", "xmlcharrefreplace")',
        't.encode("none")',
    ],
    "endswith": ["t.endswith(m)", 't.endswith(("\\ufdd0", t[-1:]))', 't.endswith("")'],
    "expandtabs": ["t.expandtabs()", "t.expandtabs(3)"],
    "find": ["t.find(m)", "t.find(m, 1)", 't.find("", 99)', "t.find(1)"],
    "format": ["t.format()", "t.format(m)"],
    "format_map": ["t.format_map({})", 't.format_map({"0": m})'],
    "index": ["t.index(m)", 't.index("\\ufdd0")'],
    "isalnum": ["t.isalnum()"],
    "isalpha": ["t.isalpha()"],
    "isascii": ["t.isascii()"],
    "isdecimal": ["t.isdecimal()"],
    "isdigit": ["t.isdigit()"],
    "isidentifier": ["t.isidentifier()"],
    "islower": ["t.islower()"],
    "isnumeric": ["t.isnumeric()"],
    "isprintable": ["t.isprintable()"],
    "isspace": ["t.isspace()"],
    "istitle": ["t.istitle()"],
    "isupper": ["t.isupper()"],
    "join": ['t.join(["1", "", m])', 't.join("abc")', "t.join([1])"],
    "ljust": ["t.ljust(30)", 't.ljust(9, "\\u4e2d")'],
    "lower": ["t.lower()"],
    "lstrip": ["t.lstrip()", 't.lstrip("ab\\x00e\\u0301")'],
    "partition": ["t.partition(m)", 't.partition("\\ufdd0")'],
    "removeprefix": ["t.removeprefix(t[:2])", 't.removeprefix("\\ufdd0")'],
    "removesuffix": ["t.removesuffix(t[-2:])", 't.removesuffix("\\ufdd0")'],
    "replace": ['t.replace(m, "\\U0001f389")', 't.replace("", "-", 3)'],
    "rfind": ["t.rfind(m)", 't.rfind("", 1, 2)'],
    "rindex": ["t.rindex(m)", 't.rindex("\\ufdd0")'],
    "rjust": ["t.rjust(30)", 't.rjust(9, "\\u4e2d")'],
    "rpartition": ["t.rpartition(m)", 't.rpartition("\\ufdd0")'],
    "rsplit": ["t.rsplit()", "t.rsplit(m)", 't.rsplit(",", 1)'],
    "rstrip": ["t.rstrip()", 't.rstrip("ab\\x00e\\u0301")'],
    "split": ["t.split()", "t.split(m)", 't.split(",", 1)', 't.split("")'],
    "splitlines": ["t.splitlines()", "t.splitlines(True)"],
    "startswith": [
        "t.startswith(m)",
        't.startswith(("\\ufdd0", t[:1]))',
        't[:0] == ""',
    ],
    "strip": ["t.strip()", 't.strip("ab\\x00e\\u0301")'],
    "swapcase": ["t.swapcase()"],
    "title": ["t.title()"],
    "translate": [
        't.translate({97: None, 98: "--", 0xE9: 101})',
        't.translate(str.maketrans("ab", "ba"))',
        "t.translate(1)",
    ],
    "upper": ["t.upper()"],
    "zfill": ["t.zfill(25)", "t.zfill(0)"],
}


def test_every_name_of_str_is_answered_for_the_text_or_left_to_str_for_a_reason() -> None:
    assert set(dir(str)) == set(CALLS) | (set(NOT_OURS) & set(dir(str)))
    assert not set(CALLS) & set(NOT_OURS)
    for name in CALLS:
        owner = next(kind for kind in LazyStr.__mro__ if name in vars(kind))
        assert owner not in {str, object}, name


@pytest.mark.parametrize("name", CALLS)
def test_a_method_gives_what_it_gives_of_the_equal_str(name: str) -> None:
    for text, size, threshold in itertools.product(SAMPLES, SIZES, THRESHOLDS):
        middle = text[len(text) // 3 : len(text) // 3 + 2]
        for code in CALLS[name]:
            same(code, {"t": lazy(text, size, threshold), "m": middle}, {"t": text, "m": middle})


def matched(subject: object) -> object:
    match subject:
        case "abc" | "":
            return "one of these"
        case str(text):
            return text
        case _:
            return None


def unpacked(text: Any) -> object:
    first, *rest = text
    return first, rest


def added_up(text: Any) -> object:
    total = "a"
    for _ in range(20):  # often enough to be made faster for what was added first
        total += "b"
    for _ in range(3):
        total += text
    return total


USES = (
    "(bool(t), not t)",
    "[list(t), tuple(t), sorted(t), [*t], sorted(set(t))]",
    '"".join(reversed(t))',
    "list(enumerate(t))",
    "list(zip(t, p, t[::-1], strict=True))",
    "list(map(ord, t))",
    "dict(Counter(t))",
    "unpacked(t)",
    "dict.fromkeys(t, 1)",
    "list(collections.deque(t, 3))",
    '"-".join(t)',
    'list(itertools.chain("a", t, "b"))',
    "[(key, len(list(group))) for key, group in itertools.groupby(t)]",
    "list(itertools.islice(t, 1, 5, 2))",
    "(any(t), all(t))",
    '(max(t, default=""), min(t, default=""))',
    '[max(t, "b"), max("b", t), min(t, "b"), min("b", t), max([t, p]), min([p, t])]',
    '[sorted([t, "b", p]), sorted(["b", t, "c", t]), sorted([t, t]), sorted({t, p})]',
    'sorted([1, 2], key=lambda n: t if n == 1 else "b")',
    '(t in [p], p in [t], t in ["\\ufdd0"], [p].index(t), [t].count(p), t in (1, p))',
    '(t in {p}, p in {t}, len({t, p}), len(frozenset([p, t])), t in {"\\ufdd0"})',
    "({p: 1}[t], {t: 1}[p], {p: 1}.get(t), len({t: 1, p: 2}), {t: 1} == {p: 1})",
    '["a" + t, t + "a", "" + t, t + "", t + t, p + t, t + p]',
    "added_up(t)",
    'functools.reduce(operator.add, ["a", t, "b", t])',
    "(p == t, t == p, p != t, t != p, p < t, t < p, p <= t, p > t, p >= t, t >= p)",
    "('a' == t, t == 'a', 'a' != t, 'a' < t, t < 'a', 'a' <= t, 'a' > t, t > 'a', 'a' >= t, t >= 'a', t <= 'a')",
    "(t == 1, 1 == t, t != 1, None != t, t == b'abc', b'abc' != t, t == [p], (t,) == p)",
    "t < 1",
    "b'' >= t",
    '["<%s>" % t, "%5s|%-9s" % (t, t), "%(a)s" % {"a": t}, "%s and %s" % (p, t)]',
    '"%d" % t',
    '"%s%s" % t',
    "[f'{t:30}', f'{t:>9}', f'{t:*^30.4}', format(t, '<1'), '{:-^25s}|{:3}'.format(t, t)]",
    "['{}'.format(t), f'{t}', f'{t!s}', f'{t!s:>40}', '{0:.1}|{0:.3}|{0:s}'.format(t), f'{t:*^9.2}', format(t, '.0')]",
    'f"{t:,}"',
    "'{a}{a}|{b}'.format(a=t, b=p)",
    '"{a}".format_map({"a": t})',
    "matched(t)",
    "(isinstance(t, str), issubclass(type(t), str), isinstance(t, bytes))",
    "hash(t) == hash(p)",
    "[copy.copy(t), copy.deepcopy(t), copy.deepcopy([t]), copy.copy({1: t})]",
    "[pickle.loads(pickle.dumps(t, protocol)) for protocol in range(6)]",
    "(operator.contains(t, p), operator.eq(p, t), operator.getitem(t, slice(1, 3)), operator.mul(t, 2))",
    "(operator.mod('%s', t), operator.length_hint(t), operator.countOf(t, 'a'), operator.contains([p], t))",
    'operator.indexOf(t, "a")',
    '(bisect.bisect(["a", "b", "c"], t), bisect.bisect_left(t, "b"))',
    "random.Random(3).choice(t)",
    'sum(t, "")',
    "[t * 2, 2 * t, t * True, t * 0, 0 * t]",
    "t * (2**63)",
    'difflib.SequenceMatcher(None, t, "abcab").ratio()',
    'urllib.parse.quote(t, errors="surrogatepass")',
    "html.escape(t)",
    "(u := t[1:]) + u",
    '[t and p, t or "nothing"]',
    "str(t) == p and str(str(t)) == p",
    "len({**{'k' + t: 1}, **{t + 'k': 2}})",
)


@pytest.mark.parametrize("code", USES)
def test_what_code_does_with_a_str_gives_what_it_gives_of_the_equal_str(code: str) -> None:
    for text, size, threshold in itertools.product(SAMPLES, SIZES, THRESHOLDS):
        same(code, {"t": lazy(text, size, threshold), "p": text}, {"t": text, "p": text})


OF_TWO = (
    "t + u",
    "u in t",
    "(t == u, t != u, u == t, u != t)",
    "(t < u, t <= u, t > u, t >= u, u < t, u >= t)",
    "t % u",
    "t % (u,)",
    '"%s|%s" % (t, u)',
    "(t.count(u), t.count(u, 1), t.count(u, -3, 9))",
    "(t.find(u), t.rfind(u), t.find(u, 2), t.rfind(u, 0, -1))",
    "t.index(u)",
    "t.rindex(u)",
    '(t.startswith(u), t.startswith((u, "\\ufdd0")), t.startswith(("\\ufdd0", u), 1))',
    '(t.endswith(u), t.endswith((u, "\\ufdd0")), t.endswith(("\\ufdd0", u), 0, -1))',
    "(t.removeprefix(u), t.removesuffix(u))",
    '(t.replace(u, "-"), t.replace("a", u), t.replace(u, u + u, 2))',
    "(t.split(u), t.split(u, 1))",
    "(t.rsplit(u), t.rsplit(u, 1))",
    "(t.partition(u), t.rpartition(u))",
    "(t.strip(u), t.lstrip(u), t.rstrip(u))",
    '(t.join([u, "a", u]), t.join([u]), t.join([]), t.join(u))',
    "(t.center(40, u), t.ljust(40, u), t.rjust(40, u))",
    't.translate({97: "x", 98: None}) + u',
    "t.format(u, a=u)",
    't.format_map({"a": u})',
    "sorted([t, u, t])",
    "len({t: 1, u: 2})",
    "t[u]",
)
FILLED = ("{}{a}", "{0:.2}{a:.1}", "%s", "%.1s%%", "{a!s:>9}")


@pytest.mark.parametrize("code", OF_TWO)
@given(data=st.data(), text=st.one_of(texts, cased_texts, st.sampled_from(FILLED)))
def test_two_texts_of_whichever_kind_give_what_two_strs_give(code: str, data: st.DataObject, text: str) -> None:
    other = data.draw(st.one_of(needles(text), texts))
    size, threshold = data.draw(shard_sizes(text)), data.draw(st.sampled_from(THRESHOLDS))
    mine, theirs = lazy(text, size, threshold), lazy(other, size, threshold)
    prompt, behind = DistributedPrompt.from_text(text, shard_size=size), DistributedPrompt.from_text(other)
    prompt.view_threshold = mine.view_threshold
    for first, second in ((mine, other), (mine, theirs), (mine, behind), (prompt, theirs)):
        same(code, {"t": first, "u": second}, {"t": text, "u": other})


REFLECTED = (
    "t + u",
    "(t == u, t != u, [t] == [u], (t,) != (u,), {t: u} == {u: t})",
    "(t < u, t <= u, t > u, t >= u, [t] < [u], (t, 1) <= (u, 0))",
    "t % u",
    "(t in [u], u in [t], u in {t: 1}, t in {u})",
    "(max(t, u), min(t, u), sorted([t, u]))",
)


@pytest.mark.parametrize("code", REFLECTED)
@given(data=st.data(), text=st.one_of(texts, st.sampled_from(["%s", "%5s%%", "%r", "%d"])))
def test_a_str_on_the_left_gives_what_two_strs_give(code: str, data: st.DataObject, text: str) -> None:
    other = data.draw(st.one_of(needles(text), texts))
    theirs = lazy(other, data.draw(shard_sizes(other)), data.draw(st.sampled_from(THRESHOLDS)))
    same(code, {"t": text, "u": theirs}, {"t": text, "u": other})


@given(data=st.data(), text=st.one_of(texts, cased_texts))
def test_slices_of_slices_are_strs_of_the_equal_text(data: st.DataObject, text: str) -> None:
    found: Any = lazy(text, data.draw(shard_sizes(text)), data.draw(st.sampled_from(THRESHOLDS)))
    threshold = found.view_threshold
    for _ in range(3):
        part = slice(data.draw(bounds(text)), data.draw(bounds(text)), data.draw(steps(text)))
        found, text = found[part], text[part]
        assert isinstance(found, str)
        assert isinstance(found, LazyStr) == (len(text) > threshold)
        assert plain(found) == text
        assert str(found) == text


@pytest.mark.parametrize(
    "code",
    [
        *[f"t.{name}()" for name in ("capitalize", "casefold", "lower", "swapcase", "title", "upper", "expandtabs")],
        *["t.strip()", "t.lstrip()", "t.rstrip('x')", "t.removeprefix('a')", "t.removesuffix('x')", "t[:]", "t[1:]"],
        *["t.replace('a', 'bbb')", "t.translate({97: '\u00e9'})", "t.zfill(99)", "t.center(99)", "t.ljust(0)"],
        *["t + 'tail'", "'head' + t", "3 * t", "t * 1", "t[::-1]", "t.join(['1', '2', '3'])", "t + t"],
        *["t.partition('\ufdd0')[0]", "t.rpartition('\ufdd0')[2]", "t.split('\ufdd0')[0]", "t.splitlines()[0]"],
        *["exact_re.sub('[ab]', 'cd', t)", "exact_re.sub('[ab]', lambda m: m[0] * 2, t)", "exact_re.split('x', t)[0]"],
    ],
)
def test_long_results_are_lazy_strs_and_short_ones_ordinary(code: str) -> None:
    text = "ab c\u00e9 " * 5
    long, short, expected = (evaluated(code, t=each) for each in (lazy(text, 7, 5), lazy(text, 7), text))
    assert type(long) is LazyStr
    assert type(short) is str
    assert plain(long) == short == expected


def test_a_prompt_makes_no_lazy_str_unless_one_is_in_front() -> None:
    prompt = DistributedPrompt.from_text("abc", shard_size=2)
    prompt.view_threshold = 0
    text = lazy("abc", 2, 0)
    assert type(prompt + text) is DistributedPrompt
    assert type(text + prompt) is LazyStr
    assert type(prompt.view()) is DistributedPrompt
    assert type(text.view(1)) is LazyStr


def test_items_of_lazy_sequences_are_strs() -> None:
    text = "one two\nthree four\n" * 3
    subject = lazy(text, 3, 4)
    for sequence, expected in (
        (subject.split("\n"), text.split("\n")),
        (subject.splitlines(), text.splitlines()),
        (subject.lines, text.splitlines()),
        (subject.chunks(6), [text[at : at + 6] for at in range(0, len(text), 6)]),
        (exact_re.split("\n", subject), text.split("\n")),
        (subject.rsplit(None, 2), text.rsplit(None, 2)),
    ):
        assert all(isinstance(item, str) for item in sequence)
        assert seen(sequence) == expected
        assert list(sequence) == expected


# All that the exact re has, of a lazy pattern, a lazy replacement, a lazy subject.
RE_CALLS = (
    "exact_re.search(p, t).span()",
    "exact_re.match(p, t).group()",
    "exact_re.fullmatch(p, t).group()",
    "exact_re.findall(p, t)",
    "[(m.start(), m[0], m.groups()) for m in exact_re.finditer(p, t)]",
    "exact_re.split(p, t)",
    "exact_re.split(p, t, 1)",
    "exact_re.sub(p, r, t)",
    "exact_re.sub(p, r, t, 1)",
    "exact_re.subn(p, r, t)",
    "exact_re.compile(p).findall(t)",
    "exact_re.compile(p, exact_re.IGNORECASE).sub(r, t)",
    "exact_re.compile(p).pattern == plain(p)",
    "[exact_re.escape(t), exact_re.findall(exact_re.escape(r), t)]",
    "exact_re.search(p, t).string == plain(t)",
    "exact_re.search(p, t).expand(r)",
    "[m.span() for m in exact_re.compile(p).finditer(t, 1, 9)]",
    "[t[m.start() : m.end()] for m in exact_re.finditer(p, t)]",
)
RE_PATTERNS = (
    "a",
    "[ab]+",
    r"(\w)(\W)?",
    r"\b",
    "",
    "^|$",
    "(?s)a.*?b",
    r"(\w+) \1",
    "\u00e9|\U0001f389",
    "(",
    "\r?\n",
)
RE_REPLACEMENTS = ("", "-", r"<\g<0>>", "\U0001f389", r"\7")


@pytest.mark.thorough
@pytest.mark.parametrize("code", RE_CALLS)
def test_the_exact_re_takes_lazy_strs_in_every_place(code: str) -> None:
    replacements = RE_REPLACEMENTS if "r, t" in code or "(r)" in code else ("-",)
    for pattern, replacement, text in itertools.product(RE_PATTERNS, replacements, SAMPLES):
        expected = {"p": pattern, "r": replacement, "t": text}
        threshold = THRESHOLDS[len(pattern) % 3]
        of_lazy = {"p": lazy(pattern, 2, threshold), "r": lazy(replacement, 1, threshold)}
        subject = {"t": lazy(text, SIZES[len(text) % 3], threshold)}
        for names in ({**of_lazy, **subject}, {**expected, **subject}, {**expected, **of_lazy}):
            same(code, names, expected)


def test_searches_of_many_take_lazy_strs() -> None:
    for size, threshold in itertools.product(SIZES, THRESHOLDS):
        text = lazy("a needle, a thread, a NEEDLE", size, threshold)
        wanted = [lazy("needle", 2, threshold), "thread", lazy("none", 1, threshold), lazy("", 1, threshold)]
        assert text.find_many(wanted) == {"needle": 2, "thread": 12, "none": -1, "": 0}
        assert list(text.find_all(lazy("a ", 1, threshold))) == [0, 10, 20]
        assert list(text.find_all(lazy("Needle", 1, threshold), ignore_case=True)) == [2, 22]


def test_a_lazy_str_can_be_packed_and_made_a_prompt_as_the_text(tmp_path: Path) -> None:
    for threshold in THRESHOLDS:
        text = lazy("one \u00e9 two\n" * 4, 3, threshold)
        dp.ingest_string(text, tmp_path / "a.dprompt", shard_size=5)
        with dp.open(tmp_path / "a.dprompt") as prompt:
            assert str(prompt) == "one \u00e9 two\n" * 4
        assert str(DistributedPrompt.from_text(text, shard_size=5)) == "one \u00e9 two\n" * 4
        (tmp_path / "a.dprompt").unlink()


def test_a_lazy_name_finds_its_document(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "docs" / name).write_text(f"text of {name}")
    dp.pack([tmp_path / "docs"], tmp_path / "docs.dprompt")
    with dp.open(tmp_path / "docs.dprompt") as prompt:
        documents = LazyStr(prompt).documents
        assert documents[lazy("docs/b.txt")] == "text of b.txt"
        assert lazy("docs/a.txt", 2, 0) in documents
        assert lazy("docs/c.txt") not in documents


def test_str_of_a_long_text_is_the_same_text_and_costs_its_edges() -> None:
    text = "".join(f"{number:05} " for number in range(20_000))
    prompt = DistributedPrompt.from_text(text, shard_size=100)
    shown: Any = str(LazyStr(prompt))
    assert type(shown) is LazyStr
    assert prompt.stats.decoded_shards <= SHOWN_FROM_START // 100 + SHOWN_FROM_END // 100 + 4
    assert len(shown) == len(text)
    assert shown == text
    assert shown[5:17] == text[5:17]
    words = str.__str__(shown)
    assert text[:SHOWN_FROM_START] in words
    assert text[-SHOWN_FROM_END:] in words
    assert len(words) < 2_000
    assert plain(attach(words)) == text


@pytest.mark.parametrize("length", [0, 1, SHOWN_FROM_START + SHOWN_FROM_END, SHOWN_FROM_START + SHOWN_FROM_END + 1])
def test_str_of_a_text_that_would_be_shown_whole_is_the_text(length: int) -> None:
    shown = str(lazy("x" * length, 50, 0))
    assert (type(shown) is str) == (length <= SHOWN_FROM_START + SHOWN_FROM_END)
    assert shown == "x" * length


def test_nothing_is_decoded_to_make_or_describe_one() -> None:
    prompt = DistributedPrompt.from_text("abc" * 1_000, shard_size=10)
    text = LazyStr(prompt)
    assert (len(text), bool(text), isinstance(text, str), "3,000" in repr(text)) == (3_000, True, True, True)
    assert str.__str__(text).startswith("[This stands for a text of 3,000 characters")
    assert len(repr(text)) < 100
    assert copy.deepcopy({"context": [text]})["context"][0] is text
    assert prompt.stats.decoded_shards == 0


def test_a_text_is_closed_with_its_prompt_not_by_itself() -> None:
    with DistributedPrompt.from_text("abc" * 10, shard_size=4) as prompt:
        with LazyStr(prompt) as text:
            assert text == "abc" * 10
        text.close()
        assert text[4:6] == "bc"
    with pytest.raises(ValueError, match="closed"):
        text.find("b")


# What expressions with a lazy text ``t`` become: what they become with an ordinary string in its place, here which one.
TEXT = "the text"
NOTICE = "the notice"
SHOWN = "the notice with the beginning and the end of the text"
ROWS = {
    # What asks the object.
    TEXT: r"""
        t + 'b'
        'a' + t
        t * 2
        t[5:9]
        t.find('zulu')
        'zulu' in t
        t in ['abc', t[:]]
        {t: 1}
        list(t)
        sorted(t)
        Counter(t)
        '-'.join(t)
        t.join(['a', 'b'])
        t.encode()
        bool(t), len(t)
        f'{t}'
        f'{t:.9}'
        '{:.9}'.format(t)
        format(t, '.9s')
        '%.9s' % (t,)
        exact_re.findall('z.l.', t)
        exact_re.sub('z.l.', '', t)
        re.escape(t)
        re.compile(t).pattern == t
        str.maketrans({'a': t})[97][:]
        pickle.loads(pickle.dumps(t))
        copy.deepcopy(t)
        dilled(t)
        html.escape(t)
        urllib.parse.quote(t)
        shlex.quote(t)
        textwrap.indent(t, '> ')
        textwrap.shorten(t, 50)
        string.capwords(t)
        difflib.SequenceMatcher(None, t, 'ab').ratio()
        list(difflib.ndiff(t.splitlines(), ['a']))
        list(csv.reader(t.splitlines()))
        collections.UserString(t).find('zulu')
        os.path.join('a', t)
        os.fspath(t)
        os.fsencode(t)
        environ(t)
        communicated(t)
        base64.b64decode(t)
        hashlib.sha256(t.encode()).hexdigest()
        random.Random(1).choice(t)
        functools.reduce(operator.add, ['a', t])
    """,
    # What reads the buffer, in C.
    NOTICE: r"""
        ''.join([t])
        ', '.join([t, 'a'])
        str.join(t, ['a', 'b'])
        operator.concat('a', t)
        'a'.__add__(t)
        str.lower(t)
        list(map(str.upper, [t]))
        str.encode(t)
        str.__len__(t)
        str.split(t)
        t in 'abc'
        t in words
        words.find(t)
        words.index(t)
        words.count(t)
        words.split(t)[1]
        words.partition(t)[2]
        words[1:].startswith(t)
        words[1:].startswith(('b', t))
        words[:-1].endswith(t)
        words[1:].removeprefix(t)
        words[:-1].removesuffix(t)
        words.replace(t, '')
        'abc'.replace('b', t)
        'abc'.strip(t)
        'abc'.center(9, t)
        'abc'.translate({98: t})
        str.maketrans('', '', t)
        str.maketrans(t, t)
        '%.9s' % t
        ord(t)
        bytes(t, 'utf8')
        bytearray(t, 'utf8')
        bytes.fromhex(t)
        codecs.encode(t, 'utf8')
        codecs.encode(t, 'rot13')
        re.findall('[a-z]+', t)
        re.search('z.l.', t)
        re.sub('[a-z]', '', t)
        re.sub('b', t, 'abc')
        re.split(' ', t)
        re.compile('z.l.').findall(t)
        io.StringIO(t).read()
        io.StringIO(t).readlines()
        written(t)
        path_written(t)
        json.dumps(t)
        json.dumps({'context': [t]})
        json.loads(t)
        compile(t, 'x', 'exec')
        eval(t)
        exec(t)
        ast.parse(t)
        ast.literal_eval(t)
        int(t)
        int(t, 36)
        float(t)
        complex(t)
        decimal.Decimal(t)
        fractions.Fraction(t)
        datetime.datetime.fromisoformat(t)
        time.strptime(t, '%Y')
        uuid.UUID(t)
        getattr(SimpleNamespace(), t, None)
        open(t)
        os.stat(t)
        echoed(t)
        csv_line(t)
        list(csv.reader([t]))
        sqlite_text(t)
        shlex.split(t)
        string.Template(t).safe_substitute()
        textwrap.dedent(t)
        fnmatch.fnmatch(t, '*zulu*')
        locale.strcoll(t, 'a')
        locale.strxfrm(t)
        unicodedata.normalize('NFC', t) is t
        unicodedata.normalize('NFKD', t) is t
        array.array('u', t)
        ctypes.create_unicode_buffer(t).value
        binascii.a2b_base64(t)
        email.message_from_string(t).get_payload()
        struct.pack('9s', t)
        t.encode(t)
    """,
    # What asks for ``str(t)`` and then reads the buffer of that.
    SHOWN: r"""
        printed(t)
        logged(t)
        f'a{t}b'
        f'{t!s}!'
        '{}!'.format(t)
        '%s!' % t
        '%s!' % (t,)
        '%.9s'.__mod__((t,))
    """,
    "TypeError": r"""
        hashlib.sha256(b'').update(t)
        base64.b64encode(t)
        io.BytesIO(t)
        b''.join([t])
        memoryview(t)
        zlib.compress(t)
        b'a' + t
        b'%s' % t
        bytes(t)
        t + 1
        t + b'a'
        sys.intern(t)
    """,
    "ValueError": "marshal.dumps(t)",
}


def dilled(value: object) -> object:
    dill = pytest.importorskip("dill")
    return dill.loads(dill.dumps(value))


def communicated(text: str) -> str:
    code = "import sys; sys.stdout.write(sys.stdin.read())"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, input=text, capture_output=True, check=True, encoding="utf-8").stdout


def echoed(text: str) -> str:
    command = [sys.executable, "-c", "import sys; print(sys.argv[1])", text]
    return subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout


def environ(text: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DPROMPT_TEST", text)
        return os.environ["DPROMPT_TEST"]


def csv_line(field: str) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerow([field, "a"])
    return stream.getvalue()


def written(text: str) -> str:
    stream = io.StringIO()
    stream.write(text)
    return stream.getvalue()


def path_written(text: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_text(text, "utf-8")
        return path.read_text("utf-8")


def printed(text: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        print(text)  # noqa: T201  # to see what is printed
    return stream.getvalue()


def logged(text: str) -> str:
    stream = io.StringIO()
    logging.StreamHandler(stream).emit(logging.makeLogRecord({"msg": "%s!", "args": (text,)}))
    return stream.getvalue()


def sqlite_text(text: str) -> object:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        return connection.execute("SELECT ?", (text,)).fetchone()[0]


NAMES |= {
    function.__name__: function
    for function in (
        csv_line,
        communicated,
        dilled,
        echoed,
        environ,
        logged,
        path_written,
        printed,
        sqlite_text,
        written,
    )
} | {"matched": matched, "unpacked": unpacked, "added_up": added_up}


@pytest.fixture(scope="module")
def operand() -> Iterator[LazyStr]:
    """A text that is not normalised, and in which words of the notice are not."""
    text = "".join(f"{number} zulu \u00e9e\u0301 caf\u00e9 \uff21, 'two'\n" for number in range(200))
    with DistributedPrompt.from_text(text, shard_size=1_000) as prompt:
        prompt.view_threshold = 1_000
        yield LazyStr(prompt)


@pytest.mark.parametrize(("code", "of"), [(code.strip(), of) for of in ROWS for code in ROWS[of].strip().splitlines()])
def test_code_that_reads_the_buffer_meets_the_notice_and_all_other_the_text(
    code: str, of: str, operand: LazyStr
) -> None:
    strings = {TEXT: plain(operand), NOTICE: str.__str__(operand), SHOWN: str.__str__(str(operand))}
    names = {"words": f"a{strings[NOTICE]}b"}
    found = kind_of(outcome(lambda: seen(evaluated(code, t=operand, **names))))
    if of in strings:
        expected = kind_of(outcome(lambda: evaluated(code, t=strings[of], **names)))
        assert (type(found), repr(found)) == (type(expected), repr(expected))
    else:
        assert isinstance(found, type)
        assert found.__name__ == of


def test_the_text_of_what_was_made_of_one_is_a_notice_too(operand: LazyStr) -> None:
    for code in ("textwrap.wrap(t)", "str.split(t.lower())", "re.findall('[a-z]+', t.replace('a', 'b'))"):
        assert "characters" in " ".join(evaluated(code, t=operand))


def test_the_hash_of_a_text_stays_when_its_pack_is_closed() -> None:
    text = LazyStr.from_text("a needle")
    names = {text: 1}
    text.close()
    del names[text]
    assert not names
