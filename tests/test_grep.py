"""``dprompt grep`` against the standard library's ``re`` on every line of every document alone."""

import json
import os
import pty
import re
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt import grep, line_walk
from distributed_prompt.cli import main
from distributed_prompt.errors import ArgumentError
from distributed_prompt.grep import LinePattern, matches, matching_line_counts, matching_lines, with_context
from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.text import within_lines
from tests.strategies import examples
from tests.test_documents import Parts, modelled, prompt_of, small_batches

COMMAND = [sys.executable, "-m", "distributed_prompt"]
SHARD_SIZES = (1, 2, 3, 7, 64)


class Expected(NamedTuple):
    """A line of a part, and what the standard library finds in it."""

    name: str
    part: int
    number: int
    start: int
    text: str
    spans: list[tuple[int, int]]


def pieces_of(parts: Parts, tail: str) -> Iterator[tuple[str, int, str]]:
    """What stands outside documents, and the documents: name, offset and text of each that has any."""
    offset = 0
    for number, (before, content) in enumerate(parts):
        yield "", offset, before
        yield f"t/{number}", offset + len(before), content
        offset += len(before) + len(content)
    yield "", offset, tail


def lines_of(parts: Parts, tail: str, pattern: "re.Pattern[str]") -> Iterator[Expected]:
    """All lines, with what is found in each."""
    whole = modelled(parts)[0] + tail
    for part, (name, offset, text) in enumerate(pieces_of(parts, tail)):
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        start = offset
        for number, line in enumerate(lines, 1):
            spans = [(start + found.start(), start + found.end()) for found in pattern.finditer(line)]
            shown = number if name else whole.count("\n", 0, start) + 1
            yield Expected(name, part, shown, start, line, spans)
            start += len(line) + 1


def selected(prompt: DistributedPrompt, pattern: LinePattern, **options: object) -> list[tuple[object, ...]]:
    found = matching_lines(prompt, pattern, **options)  # type: ignore[arg-type]  # as given
    return [(line.section.name, line.number, line.start, line.stop, line.text, line.first) for line in found]


def as_selected(lines: Iterator[Expected]) -> list[tuple[object, ...]]:
    return [
        (line.name, line.number, line.start, line.start + len(line.text), line.text, line.spans[0])
        for line in lines
        if line.spans
    ]


contents = st.one_of(
    st.text("ab\n", max_size=12),
    st.text("ab \n\r\n", max_size=20),
    st.lists(
        st.sampled_from(
            ["a", "b", "ab", "aba", "\n", "\r\n", "\n\n", " ", "_", "é", "日本", "\U0001f600", "\udc80", "K"]
        ),
        max_size=14,
    ).map("".join),
)
parts_of_texts = st.lists(
    st.tuples(st.sampled_from(["", "", "", "==\n", "h", "a\n", "\n", "ab\nb"]), contents), min_size=0, max_size=5
)
ATOMS = [
    *"ab",
    "ab",
    "aba",
    "é",
    "日",
    "\U0001f600",
    ".",
    r"\n",
    r"\s",
    r"\S",
    r"\w",
    r"\W",
    r"\d",
    r"\D",
    "[^a]",
    "[^ab]",
    r"[^\s_]",
    r"[^\n]",
    r"[\s,a]",
    r"[\W_]",
    r"[\x00-\x20]",
    r"[\s\S]",
    "[ab]",
    "^",
    "$",
    r"\A",
    r"\Z",
    r"\b",
    r"\B",
    "(?=b)",
    "(?!b)",
    "(?<=a)",
    "(?<!a)",
    r"(?<!\s)",
    r"(?=\n)",
    r"(?!\n)",
    r"(?<=\n)",
    "(?!.)",
    r"(?!\B)",
    r"(?<!\B)",
    r"(?<![^a])",
    r"(a)\1",
    r"(a)?(?(1)b|\s)",
    "(?s:.)",
    "(?-i:A)",
    "(?i:B)",
    "(?-m:^)",
    "(?-m:$)",
    r"(?a:\w)",
    "",
]
atoms = st.sampled_from(ATOMS)


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map("|".join).map("(?:{})".format),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "*?", "+?", "*+", "++"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
        inner.map("({})".format),
        inner.map("(?>{})".format),
        st.tuples(atoms, st.sampled_from(["*", "+", "?", "*+"])).map("".join),
    )


def is_pattern(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(text)
    except (re.error, Warning):
        return False
    return True


patterns = (
    st.tuples(st.sampled_from(["", "", "", "(?m)", "(?s)", "(?i)", "(?a)"]), st.recursive(atoms, _larger, max_leaves=6))
    .map("".join)
    .filter(is_pattern)
)


# What is selected


@pytest.mark.thorough
@examples(600)
@given(
    parts_of_texts,
    st.sampled_from(["", "", "a", "tail\n"]),
    patterns,
    st.sampled_from(SHARD_SIZES),
    st.sampled_from([0, re.IGNORECASE]),
)
@example([("", "ab"), ("", "aba\n")], "", "aba", 1, 0)
@example([("", "a"), ("", "b")], "", r"\bb$", 2, 0)
@example([("", "\n\n"), ("", "x\n\n")], "", r"\B", 2, 0)
@example([("", "\n\n"), ("", "x\n\n")], "", r"(?!\B)", 2, 0)
@example([("", "a\n\n \n"), ("", "\n")], "", r"(?:(?<=\B)|^)$", 2, 0)
@example([("", "a\nb"), ("", "\nb\n")], "", r"a\s*b", 3, 0)
def test_lines_are_selected_as_if_each_were_searched_alone(
    parts: Parts, tail: str, pattern: str, shard_size: int, flags: int
) -> None:
    compiled = re.compile(pattern, flags)
    line_pattern = LinePattern(pattern, ignore_case=bool(flags))
    expected = list(lines_of(parts, tail, compiled))
    with prompt_of(parts, shard_size, tail) as prompt:
        assert selected(prompt, line_pattern) == as_selected(iter(expected))
        counts = Counter(line.name for line in expected if line.spans)
        assert dict(matching_line_counts(prompt, line_pattern)) == counts
        found = [
            [(match.start, match.stop) for match in matches(prompt, line_pattern, line)]
            for line in matching_lines(prompt, line_pattern)
        ]
        assert found == [line.spans for line in expected if line.spans]


@pytest.mark.thorough
def test_every_pair_of_what_patterns_are_made_of() -> None:
    parts = [("", "a\n"), ("==\n", "b\n\nab a\r\n_b"), ("", "aba"), ("ab", "ab\nb\n \n\n"), ("", ""), ("", "\n")]
    with prompt_of(parts, 7) as prompt:
        for first, second in product(ATOMS, [*ATOMS, "*", "+", "?"]):
            for flags in ("", "(?s)"):
                pattern = f"{flags}{first}{second}"
                if is_pattern(pattern):
                    expected = as_selected(lines_of(parts, "", re.compile(pattern)))
                    assert selected(prompt, LinePattern(pattern)) == expected, pattern


@given(
    parts_of_texts, st.text("ab\n.é ", max_size=3), st.sampled_from(SHARD_SIZES), st.sampled_from([0, re.IGNORECASE])
)
def test_fixed_strings_are_literals(parts: Parts, literal: str, shard_size: int, flags: int) -> None:
    compiled = re.compile(re.escape(literal), flags)
    with prompt_of(parts, shard_size) as prompt:
        pattern = LinePattern(literal, fixed=True, ignore_case=bool(flags))
        assert selected(prompt, pattern) == as_selected(lines_of(parts, "", compiled))


@examples(150)
@given(parts_of_texts, patterns, st.sampled_from(SHARD_SIZES), st.sampled_from([1, 3, 8]))
@example([("", "ab"), ("", "aba\n")], "aba", 1, 3)
def test_passages_of_any_size_and_long_lines_change_nothing(
    parts: Parts, pattern: str, shard_size: int, limit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch, small_batches():
        patch.setattr(grep, "LINE_LIMIT", limit)
        patch.setattr(line_walk, "LINE_LIMIT", limit)
        patch.setattr(line_walk, "_PASSAGE_CHARACTERS", min(2, limit))
        patch.setattr(line_walk, "_FIRST_PASSAGE_CHARACTERS", 1)
        patch.setattr(line_walk, "_LAG_CHARACTERS", 2)
        patch.setattr(line_walk, "_REPORT_CHARACTERS", 3)
        patch.setattr(grep, "_EXCERPT_CHARACTERS", 1)
        expected = as_selected(lines_of(parts, "", re.compile(pattern)))
        with prompt_of(parts, shard_size) as prompt:
            line_pattern = LinePattern(pattern)
            found = list(matching_lines(prompt, line_pattern))
            assert [(line.section.name, line.number, line.start, line.stop, line.first) for line in found] == [
                (name, number, start, stop, first) for name, number, start, stop, _, first in expected
            ]
            text = str(prompt)
            for line in found:
                assert line.text == text[line.text_start : line.text_start + len(line.text)]
                assert line.is_excerpt == (line.stop - line.start > len(line.text))
                assert len(line.text) <= limit


@given(parts_of_texts, patterns, st.integers(0, 3), st.sampled_from(SHARD_SIZES))
def test_no_more_lines_of_each_document_than_wanted(
    parts: Parts, pattern: str, max_count: int, shard_size: int
) -> None:
    expected, found = [], Counter[str]()
    for line in lines_of(parts, "", re.compile(pattern)):
        found[line.name] += bool(line.spans)
        if line.spans and found[line.name] <= max_count:
            expected.append(line)
    with prompt_of(parts, shard_size) as prompt:
        assert selected(prompt, LinePattern(pattern), max_count=max_count) == as_selected(iter(expected))


@given(parts_of_texts, patterns, st.sets(st.integers(0, 4)), st.sampled_from(SHARD_SIZES))
def test_only_documents_that_are_wanted(parts: Parts, pattern: str, wanted: set[int], shard_size: int) -> None:
    names = {f"t/{number}" for number in wanted}
    expected = [line for line in lines_of(parts, "", re.compile(pattern)) if line.name in names]
    with prompt_of(parts, shard_size) as prompt, pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_walk, "_PASSAGE_CHARACTERS", 3)
        globs = sorted(names) or ["none"]
        assert selected(prompt, LinePattern(pattern), documents=globs) == as_selected(iter(expected))


def context_model(lines: list[Expected], before: int, after: int) -> list[tuple[int, bool] | None]:
    """The start of each line shown and whether it is selected; None between groups."""
    shown: list[tuple[int, bool] | None] = []
    last: int | None = None
    for at, line in enumerate(lines):
        near = range(max(0, at - after), min(len(lines), at + before + 1))
        if any(lines[other].spans and lines[other].part == line.part for other in near):
            if last is not None and (last != at - 1 or lines[last].part != line.part):
                shown.append(None)
            shown.append((line.start, bool(line.spans)))
            last = at
    return shown


@examples(200)
@given(parts_of_texts, patterns, st.integers(0, 2), st.integers(0, 2), st.sampled_from(SHARD_SIZES))
@example([("a\nb\na", "a")], "[ab]$", 0, 2, 1)
@example([("c\na\nb\n", "")], "b", 2, 0, 1)
def test_context_stays_within_documents(parts: Parts, pattern: str, before: int, after: int, shard_size: int) -> None:
    lines = list(lines_of(parts, "", re.compile(pattern)))
    with prompt_of(parts, shard_size) as prompt, pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_walk, "_PASSAGE_CHARACTERS", 3)
        found = list(with_context(prompt, matching_lines(prompt, LinePattern(pattern)), before, after))
        assert [(line.start, bool(line.first)) if line else None for line in found] == context_model(
            lines, before, after
        )
        numbers = {line.start: (line.number, line.text) for line in lines}
        assert all(numbers[line.start] == (line.number, line.text) for line in found if line)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a(", "PATTERN: missing ), unterminated subpattern at position 1"),
        ("a{99999999999}", "PATTERN: the repetition number is too large"),
        ("(?P<a", "PATTERN: missing >, unterminated name at position 4"),
    ],
)
def test_what_is_no_pattern_is_an_error(pattern: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}"):
        LinePattern(pattern)


def test_patterns_that_nothing_is_known_of_are_searched_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(within_lines._INNER, "ASSERT")
    parts = [("", "ab\nb\nab"), ("", "ab\n")]
    with prompt_of(parts) as prompt:
        assert selected(prompt, LinePattern("[ab](?=b)")) == as_selected(lines_of(parts, "", re.compile("[ab](?=b)")))


@pytest.mark.parametrize("pattern", ["[ac](?!b)", "([ac](?!b))", "(?:x|[ac](?!b))+", "[ac]$", "(?:[ac](?=$))"])
def test_a_line_that_a_document_ends_in_is_searched_without_the_next_document(pattern: str) -> None:
    parts = [("", "xa"), ("", "bx\n")]
    with prompt_of(parts) as prompt:
        assert selected(prompt, LinePattern(pattern)) == as_selected(lines_of(parts, "", re.compile(pattern)))


def test_progress_ends_at_the_end() -> None:
    calls: list[tuple[int, int | None]] = []
    with prompt_of([("", "a\nb\n"), ("", "c")]) as prompt:
        for pattern in ("b", "x", "[^a]"):
            list(matching_lines(prompt, LinePattern(pattern), progress=lambda *call: calls.append(call)))
            assert calls[-1] == (5, 5)
            assert calls == sorted(calls)
            calls.clear()


def test_only_what_is_needed_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_walk, "_PASSAGE_CHARACTERS", 5_000)
    with prompt_of([("", "a\n" * 50_000), ("", "b\n" * 50_000), ("", "c\n" * 50_000)], 1000) as prompt:
        assert len(selected(prompt, LinePattern("[ac]"), max_count=1)) == 2
        assert prompt.stats.decoded_shards < 200
    with prompt_of([("", "a\n" * 500_000), ("", "b\n" * 500), ("", "c\n" * 500_000)], 1000) as prompt:
        assert len(selected(prompt, LinePattern("[abc]"), documents=["t/1"])) == 500
        assert prompt.stats.decoded_shards < 10


# The command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grep")
    (folder / "d").mkdir()
    (folder / "d" / "a.txt").write_bytes(b"one needle, two needles\nnothing\nx\ty\r\n\nNEEDLE")
    (folder / "d" / "b\x1b.md").write_bytes("日本 needle 😀\nthree\nfour\nfive\nneedle\n".encode())
    (folder / "d" / "c.txt").write_bytes(b"")
    dp.pack([folder / "d"], folder / "many.dprompt", shard_size=7)
    dp.pack([folder / "d" / "a.txt"], folder / "one.dprompt", shard_size=7)
    dp.pack([folder / "d"], folder / "headers.dprompt", shard_size=7, header="== {name}")
    (folder / "bytes").write_bytes(b"caf\xe9\x1b[31m\n")
    dp.pack([folder / "bytes"], folder / "bytes.dprompt", errors="surrogateescape")
    return folder


def call(folder: Path, *arguments: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(main, ["grep", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["needle", "one.dprompt"], "1:4:one needle, two needles\n"),
        (["needle", "one.dprompt", "-i"], "1:4:one needle, two needles\n5:38:NEEDLE\n"),
        (["-N", "needle", "one.dprompt"], "4:one needle, two needles\n"),
        (["-o", "needles?", "one.dprompt"], "1:4:needle\n1:16:needles\n"),
        (["-o", "-N", "z*", "one.dprompt"], ""),
        (["-c", "e", "one.dprompt"], "1\n"),
        (["-c", "", "one.dprompt"], "5\n"),
        (["-F", "e, t", "one.dprompt"], "1:9:one needle, two needles\n"),
        (["-m", "2", "^", "one.dprompt"], "1:0:one needle, two needles\n2:24:nothing\n"),
        (["^$", "one.dprompt"], "4:37:\n"),
        (["y", "one.dprompt"], "3:34:x\ty\r\n"),
        (["-A", "1", "needle", "one.dprompt"], "1:4:one needle, two needles\n2-24-nothing\n"),
        (["-B1", "-A0", "NEE", "one.dprompt"], "4-37-\n5:38:NEEDLE\n"),
        (["-C1", "-i", "needle", "one.dprompt"], "1:4:one needle, two needles\n2-24-nothing\n--\n4-37-\n5:38:NEEDLE\n"),
        (["-C1", "-B0", "nothing", "one.dprompt"], "2:24:nothing\n3-32-x\ty\r\n"),
        (
            ["needle", "many.dprompt"],
            "d/a.txt:1:4:one needle, two needles\nd/b\\x1b.md:1:47:日本 needle 😀\nd/b\\x1b.md:5:72:needle\n",
        ),
        (["-c", "needle", "many.dprompt"], "d/a.txt:1\nd/b\\x1b.md:2\n"),
        (["-c", "-m1", "needle", "many.dprompt"], "d/a.txt:1\nd/b\\x1b.md:1\n"),
        (["NEEDLE", "many.dprompt", "-A3"], "d/a.txt:5:38:NEEDLE\n"),
        (["needle", "many.dprompt", "--document", "*.md", "-m", "1"], "d/b\\x1b.md:1:47:日本 needle 😀\n"),
        (
            ["-C1", "[hf]our|^needle$", "many.dprompt"],
            "d/b\\x1b.md-2-56-three\nd/b\\x1b.md:3:62:four\nd/b\\x1b.md-4-67-five\nd/b\\x1b.md:5:72:needle\n",
        ),
        (["== d/[ac]|five", "headers.dprompt", "-N"], ":0:== d/a.txt\nd/b\\x1b.md:93:five\n:105:== d/c.txt\n"),
        (["-c", "==|five", "headers.dprompt"], "d/b\\x1b.md:1\n:3\n"),
        (["==|five", "headers.dprompt", "--document", "d"], "d/b\\x1b.md:4:93:five\n"),
    ],
)
def test_what_is_printed(folder: Path, arguments: list[str], shown: str) -> None:
    result = call(folder, *arguments)
    assert (result.stdout_bytes.decode(), result.stderr, result.exit_code) == (shown, "", 0)


def test_json_has_every_match_in_offsets_of_the_prompt(folder: Path) -> None:
    result = call(folder, "--json", "needles?", "many.dprompt")
    first, second, third = map(json.loads, result.stdout.splitlines())
    assert first == {
        "document": "d/a.txt",
        "line": 1,
        "offset": 0,
        "text": "one needle, two needles",
        "matches": [{"start": 4, "stop": 10, "text": "needle"}, {"start": 16, "stop": 23, "text": "needles"}],
    }
    assert second["document"] == third["document"] == "d/b\x1b.md"
    assert second["matches"] == [{"start": 47, "stop": 53, "text": "needle"}]
    assert (third["line"], third["offset"]) == (5, 72)
    result = call(folder, "--json", "caf", "bytes.dprompt")
    assert json.loads(result.stdout)["text"] == "caf\udce9\x1b[31m"


def test_color_is_that_of_ripgrep(folder: Path) -> None:
    result = call(folder, "--color", "always", "needle|^", "many.dprompt", "-m1", "--document", "*.md", "-A1")
    name, reset = "\x1b[35md/b\\x1b.md\x1b[0m", "\x1b[0m"
    assert result.stdout_bytes.decode().splitlines() == [
        f"{name}:\x1b[32m1{reset}:44:日本 \x1b[1m\x1b[31mneedle{reset} 😀",
        f"{name}-\x1b[32m2{reset}-56-three",
    ]
    assert "\x1b" not in call(folder, "needle", "many.dprompt", "-c").stdout
    assert call(folder, "needle", "many.dprompt", "-c", "--color=always").stdout.startswith("\x1b[35md/a.txt\x1b[0m:1")


def test_bytes_that_were_no_text_come_out_as_they_were(folder: Path) -> None:
    assert call(folder, "caf", "bytes.dprompt").stdout_bytes == b"1:0:caf\xe9\x1b[31m\n"
    assert call(folder, "-o", "f.", "bytes.dprompt").stdout_bytes == b"1:2:f\xe9\n"


def on_a_terminal(folder: Path, *arguments: str, **environment: str) -> bytes:
    """What a command prints on a terminal."""
    child, terminal = pty.openpty()
    with os.fdopen(child, "rb", buffering=0) as reading:
        process = subprocess.Popen(
            [*COMMAND, "grep", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            env={**os.environ, "TERM": "xterm", **environment},
        )
        os.close(terminal)
        shown = b""
        try:
            while data := reading.read(4096):
                shown += data
        except OSError:  # its end, on Linux
            pass
        assert process.wait(60) == 0
    return shown


def test_text_does_nothing_to_a_terminal(folder: Path) -> None:
    plain = on_a_terminal(folder, "caf|x", "bytes.dprompt", NO_COLOR="1")
    assert plain == b"1:0:caf\\udce9\\x1b[31m\r\n"
    colored = on_a_terminal(folder, "caf.", "bytes.dprompt", NO_COLOR="")
    assert colored == b"\x1b[32m1\x1b[0m:0:\x1b[1m\x1b[31mcaf\\udce9\x1b[0m\\x1b[31m\r\n"
    assert on_a_terminal(folder, "y", "one.dprompt", "--color", "never") == b"3:34:x\ty\\r\r\n"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["absent", "many.dprompt"], 1, ""),
        (["absent.*", "many.dprompt", "-o"], 1, ""),
        (["absent", "many.dprompt", "-c"], 1, ""),
        (["-m0", "e", "many.dprompt"], 1, ""),
        (["e", "many.dprompt", "--document", "*.rst"], 1, ""),
        (["a(", "many.dprompt"], 2, "PATTERN: missing ), unterminated subpattern at position 1"),
        (["e", "missing"], 2, "missing: no such file"),
        (["many.dprompt", "e"], 2, "e: no such file; the pattern comes first: dprompt grep PATTERN many.dprompt"),
        (["e", "bytes"], 2, "bytes: not a pack"),
        (["-m-1", "e", "many.dprompt"], 2, "--max-count -1: must not be negative"),
        (["-A-1", "e", "many.dprompt"], 2, "--after-context -1: must not be negative"),
        (["e", "many.dprompt", "--document", ""], 2, "document '': matches no name"),
    ],
)
def test_exit_codes_are_those_of_grep(folder: Path, arguments: list[str], exit_code: int, message: str) -> None:
    result = call(folder, *arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert result.stderr.replace(f"{folder}/", "").startswith(f"dprompt: {message}" if message else "")
    assert result.stderr.count("\n") == bool(message)


@pytest.mark.parametrize("options", [["-c"], ["-o"], ["-A1"], ["-B", "1"], ["--context", "1"]])
def test_json_is_of_matching_lines_alone(folder: Path, options: list[str]) -> None:
    result = call(folder, "--json", "e", "many.dprompt", *options)
    assert result.exit_code == 2
    assert result.stderr.endswith("--json excludes --count, --only-matching and context\n")


def test_a_count_of_nothing_in_one_document_is_0(folder: Path) -> None:
    result = call(folder, "-c", "absent", "one.dprompt")
    assert (result.stdout, result.exit_code) == ("0\n", 1)


def test_a_warning_of_a_pattern_is_not_printed(folder: Path) -> None:
    assert call(folder, "[[a]", "one.dprompt").stderr == ""


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("needle\n" * 200_000)
    dp.pack(tmp_path / "text", tmp_path / "pack")
    for options in ([], ["-o"], ["--json"], ["-C1"]):
        script = '"$0" -m distributed_prompt grep "$@" | head -n 1; echo "${PIPESTATUS[0]}"'
        command = ["bash", "-c", script, sys.executable, "needle", str(tmp_path / "pack"), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stderr == ""
        assert done.stdout.endswith("\n0\n")


def test_a_long_line_is_printed_around_its_match(tmp_path: Path) -> None:
    text = f"short\n{'a' * 1_200_000}needle{'b' * 1_200_000}needles\nshort needle\n"
    (tmp_path / "text").write_text(text)
    dp.pack(tmp_path / "text", tmp_path / "pack")
    around = f"…{'a' * 200}needle{'b' * 200}…"
    assert call(tmp_path, "needle", "pack").stdout == f"2:1200006:{around}\n3:2400026:short needle\n"
    assert call(tmp_path, "-o", "needles?", "pack").stdout == "2:1200006:needle\n2:2400012:needles\n3:2400026:needle\n"
    assert call(tmp_path, "-c", "needle", "pack").stdout == "2\n"
    assert call(tmp_path, "-C1", "^short$", "pack").stdout == f"1:0:short\n2-6-{'a' * 200}…\n"
    first, _ = map(json.loads, call(tmp_path, "--json", "needles?", "pack").stdout.splitlines())
    assert first["matches"] == [{"start": 1200006, "stop": 1200012, "text": "needle"}]
    assert (first["offset"], first["excerpt"], first["text"]) == (6, 1199806, around.strip("…"))
    marked = f"…{'a' * 200}\x1b[1m\x1b[31mneedle\x1b[0m{'b' * 200}…"
    assert call(tmp_path, "needle", "pack", "-m1", "--color=always", "-N").stdout == f"1200006:{marked}\n"
    first = json.loads(call(tmp_path, "--json", "-m1", "a.*", "pack").stdout)
    assert [(match["start"], match["stop"]) for match in first["matches"]] == [(6, len(text) - 14)]
    assert first["text"] == first["matches"][0]["text"] == text[6 : 6 + 2**20]
    assert call(tmp_path, "-o", "-m1", "a+", "pack").stdout == f"2:6:{'a' * 2**20}…\n"


def test_documents_of_one_name_are_counted_each_for_itself(tmp_path: Path) -> None:
    packs = []
    for folder, text in (("one", "x\n" * 20), ("two", "x\nx\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same").write_text(text)
        packs.append(tmp_path / f"{folder}.dprompt")
        dp.pack(tmp_path / folder / "same", packs[-1])
    with dp.open(packs) as prompt:
        pattern = LinePattern("x")
        assert list(matching_line_counts(prompt, pattern)) == [("same", 20), ("same", 2)]
        assert [line.start for line in matching_lines(prompt, pattern, max_count=1)] == [0, 40]
