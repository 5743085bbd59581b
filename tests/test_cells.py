"""Cells of Python over a text, and ``dprompt repl``, which runs them."""

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt import DistributedPrompt
from distributed_prompt import re as exact_re
from distributed_prompt.cells import OUTPUT_LIMIT, BoundedOutput, Cells
from distributed_prompt.cli import main
from distributed_prompt.lazy_str import LazyStr
from distributed_prompt.sequences import LazySequence
from distributed_prompt.strings import plain
from tests.strategies import texts

COMMAND = [sys.executable, "-m", "distributed_prompt", "repl"]
A = "first needle\nsecond\r\n\u65e5\u672c needle \U0001f600\n"
B = "caf\u00e9\n\nNEEDLE at the end"
TEXT = A + B


def renumbered(complaints: str) -> str:
    """A traceback with its cells numbered from 1, which a process numbers through."""
    numbers = sorted({int(number) for number in re.findall(r"<cell (\d+)>", complaints)})
    return re.sub(r"<cell (\d+)>", lambda found: f"<cell {numbers.index(int(found[1])) + 1}>", complaints)


class Session:
    """Cells and what they print."""

    def __init__(self, text: str | DistributedPrompt, *, threshold: int | None = None, **options: bool) -> None:
        self.prompt = DistributedPrompt.from_text(text, shard_size=7) if isinstance(text, str) else text
        if threshold is not None:
            self.prompt.view_threshold = threshold
        self.cells = Cells(self.prompt, **options)
        self.errors = ""

    def run(self, source: str, limit: int | None = OUTPUT_LIMIT) -> str:
        """What a cell prints, which runs to its end."""
        output, errors = io.StringIO(), io.StringIO()
        assert self.cells.run(source, output=output, errors=errors, limit=limit), errors.getvalue()
        self.errors = errors.getvalue()
        return output.getvalue()

    def fail(self, source: str, limit: int | None = OUTPUT_LIMIT) -> tuple[str, str]:
        """What a cell prints that does not run to its end, and what it complains of."""
        output, errors = io.StringIO(), io.StringIO()
        assert not self.cells.run(source, output=output, errors=errors, limit=limit)
        return output.getvalue(), renumbered(errors.getvalue())

    def __getitem__(self, name: str) -> Any:
        return self.cells.namespace[name]


# The namespace


def test_a_long_context_is_a_lazy_str_and_a_short_one_an_ordinary_one() -> None:
    long, short = Session(TEXT, threshold=5), Session(TEXT)
    assert type(long["context"]) is LazyStr
    assert plain(long["context"]) == TEXT
    assert type(short["context"]) is str
    assert short["context"] == TEXT
    assert long["prompt"] is long.prompt


def test_the_exact_context_is_one_string() -> None:
    for threshold in (5, None):
        session = Session(TEXT, threshold=threshold, exact=True)
        assert type(session["context"]) is str
        assert session["context"] == TEXT
        assert (
            session.run("import re as r\nprint(len(r.findall('needle', context)), ''.join([context]) == context)")
            == "2 True\n"
        )


def test_the_context_of_documents_is_their_sequence(tmp_path: Path) -> None:
    packed(tmp_path)
    for threshold in (5, None):
        with dp.open(tmp_path / "a.dprompt") as prompt:
            session = Session(prompt, threshold=threshold, documents=True)
            assert isinstance(session["context"], LazySequence)
            assert session.run("print(len(context), context[1][:4], [len(d) for d in context])") == (
                f"2 caf\u00e9 [{len(A)}, {len(B)}]\n"
            )
            assert all(isinstance(document, str) for document in session["context"])


def test_re_is_exact_and_imported_as_such() -> None:
    session = Session(TEXT * 5, threshold=5)
    assert session["re"] is exact_re
    assert session.run("print(len(re.findall('needle', context)))") == "10\n"
    assert session.run("import re\nprint(len(re.findall('needle', context)))") == "10\n"
    assert session.run("from re import finditer\nprint([m.start() for m in finditer('NEEDLE', context)][:2])") == (
        f"[{TEXT.index('NEEDLE')}, {TEXT.index('NEEDLE') + len(TEXT)}]\n"
    )
    assert sys.modules["re"] is re


def test_cells_go_on_where_the_last_one_stopped() -> None:
    session = Session(TEXT, threshold=5)
    session.run("total = 0\ndef add(n):\n    global total\n    total += n\n    return total\n")
    session.run("from math import pi\nclass A:\n    def f(self): return context.find('needle') + total\n")
    assert session.run("add(2); add(3)\nprint(total, A().f(), round(pi, 2))") == "5 11 3.14\n"
    session.fail("kept = 1\n1/0\nlost = 2")
    assert session.run("print(kept, 'lost' in globals(), total)") == "1 False 5\n"
    session.run("context = context[:5]\ndel add")
    assert session.run("print(context, 'add' in globals())") == "first False\n"


def test_two_sessions_share_nothing() -> None:
    first, second = Session("one"), Session("two")
    first.run("x = 1\nimport builtins as b\n__builtins__['print'] = None")
    assert second.run("print('x' in globals(), context)") == "False two\n"
    first.fail("print()")


def test_a_cell_is_the_main_module_to_itself() -> None:
    session = Session("text")
    assert session.run("if __name__ == '__main__':\n    print(__name__)") == "__main__\n"
    assert session.run("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nprint(P(1))") == "P(x=1)\n"
    assert (
        session.run("from __future__ import annotations\ndef f(x: nothing): ...\nprint(f.__annotations__)")
        == "{'x': 'nothing'}\n"
    )
    assert "NameError" in session.fail("def f(x: nothing): ...")[1]


@pytest.mark.parametrize(
    "source",
    ["", "\n", "   ", "# nothing", "\n\n\t\n", "pass", '"""words"""', "1 + 1", "...\r\n...\r\n"],
)
def test_a_cell_that_prints_nothing_prints_nothing(source: str) -> None:
    session = Session("text")
    assert session.run(source) == ""
    assert session.errors == ""


def test_cite_and_grep_tell_document_and_line(tmp_path: Path) -> None:
    packed(tmp_path)
    with dp.open(tmp_path / "a.dprompt") as prompt:
        session = Session(prompt, threshold=5)
        assert session.run("print(cite(0), cite(context.find('second')), cite(context.find('at the end')))") == (
            "docs/a.txt:1 docs/a.txt:2 docs/b.txt:3\n"
        )
        assert session.run("print(*grep('needle'), sep='\\n')") == (
            "docs/a.txt:1: first needle\ndocs/a.txt:3: \u65e5\u672c needle \U0001f600\n"
        )
        assert session.run(
            "print(len(grep('needle', ignore_case=True)), grep('needle', 1), grep('none'), grep('', limit=0))"
        ) == ("3 ['docs/a.txt:1: first needle'] [] []\n")
        assert "error" in session.fail("grep('(')")[1]
        assert "IndexError" in session.fail("cite(10**9)")[1]
    assert Session("a\nb").run("print(cite(2))") == "line 2\n"


# What is printed


@pytest.mark.parametrize("limit", [1, 5, 100, OUTPUT_LIMIT])
def test_the_output_is_cut_at_the_limit_and_not_before(limit: int) -> None:
    session = Session("text")
    for kind in ("x", "\u00e9", "\U0001f600"):
        for length in (0, 1, limit - 1, limit, limit + 1, limit + 1_234):
            expected = kind * min(length, limit)
            if length > limit:
                expected += f"... + [{length - limit:,} characters more]\n"
            assert session.run(f"print({kind!r} * {length}, end='')", limit) == expected
            assert session.run(f"import sys\nfor _ in range({length}): sys.stdout.write({kind!r})", limit) == expected


def test_the_limit_counts_all_that_a_cell_prints_and_begins_anew_with_the_next() -> None:
    session = Session("text")
    assert session.run("print('abc')\nprint('defgh')\nprint('ijk')", 8) == "abc\ndefg... + [6 characters more]\n"
    assert session.run("print('abc')", 8) == "abc\n"
    assert session.run("print('abcdefg')", 8) == "abcdefg\n"
    assert session.run("print('abcdefgh')", 8) == "abcdefgh... + [1 characters more]\n"


def test_no_limit_is_none() -> None:
    session = Session("text")
    assert session.run("print('x' * 100_000)", None) == "x" * 100_000 + "\n"
    assert session.run("print('x' * 100_000, file=__import__('sys').stderr)", None) == ""
    assert session.errors == "x" * 100_000 + "\n"


def test_what_is_written_to_standard_error_has_a_limit_of_its_own() -> None:
    session = Session("text")
    code = "import sys\nprint('a' * 9)\nprint('b' * 9, file=sys.stderr)\nsys.stderr.flush(); sys.stdout.flush()"
    assert session.run(code, 10) == "a" * 9 + "\n"
    assert session.errors == "b" * 9 + "\n"
    assert session.run(code, 9) == "a" * 9 + "... + [1 characters more]\n"
    assert session.errors == "b" * 9 + "... + [1 characters more]\n"
    printed, complaints = session.fail("print('a' * 20)\nraise ValueError('b' * 50_000)", 500)
    assert printed == "a" * 20 + "\n"
    assert re.fullmatch(r"Traceback [\s\S]*b\.\.\. \+ \[[\d,]+ characters more\]\n", complaints)
    # Renumbered, the cell's name may have become shorter.
    assert 490 < complaints.index("... + [") <= 500


def test_a_failing_cell_shows_what_was_printed_before() -> None:
    printed, complaints = Session("text").fail("print('a' * 30)\n1 / 0", 10)
    assert printed == "a" * 10 + "... + [21 characters more]\n"
    assert complaints.startswith("Tracebac")


@given(st.lists(texts, max_size=8), st.integers(0, 40))
def test_bounded_output_passes_on_the_first_characters_and_counts_the_rest(parts: list[str], limit: int) -> None:
    stream = io.StringIO(newline="")
    bounded = BoundedOutput(stream, limit)
    for part in parts:
        assert bounded.write(part) == len(part)
    written = "".join(parts)
    assert bounded.left_out == max(0, len(written) - limit)
    bounded.close_with_note()
    bounded.close_with_note()
    left = len(written) - limit
    assert stream.getvalue() == written[:limit] + (f"... + [{left:,} characters more]\n" if left > 0 else "")


def test_bounded_output_is_a_stream_of_text() -> None:
    bounded = BoundedOutput(io.StringIO(), 5)
    assert (bounded.writable(), bounded.readable(), bounded.isatty(), bounded.closed) == (True, False, False, False)
    bounded.writelines(["a", "bc", "defg"])
    assert bounded.left_out == 2
    with pytest.raises(io.UnsupportedOperation):
        bounded.read()
    with pytest.raises(TypeError):
        bounded.write(1)  # type: ignore[arg-type]  # what is tested


def test_a_lazy_text_is_printed_up_to_the_limit() -> None:
    text = "".join(f"{number:05} words\n" for number in range(20_000))
    prompt = DistributedPrompt.from_text(text, shard_size=1_000)
    session = Session(prompt, threshold=10_000)
    shown = session.run("print(context)", 3_000)
    assert shown == text[:3_000] + f"... + [{len(text) + 1 - 3_000:,} characters more]\n"
    assert prompt.stats.decoded_shards < 20
    assert session.run("print(context[5:30])") == text[5:30] + "\n"
    assert session.run("print(context[:9] + context[-9:])") == text[:9] + text[-9:] + "\n"
    assert "This stands for a text of 240,000 characters" in session.run("print(f'{context}!')")
    assert session.run("print(repr(context))").startswith("LazyStr(length=240,000")


def test_output_that_a_cell_takes_for_itself_is_its_own() -> None:
    session = Session("text")
    code = "import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()) as f:\n    print('hidden')\n"
    assert session.run(code + "print(len(f.getvalue()))") == "7\n"
    before = sys.stdout, sys.stderr
    session.run("import sys\nsys.stdout = sys.stderr = None")
    session.fail("sys.stdout = None\n1/0")
    session.run("import sys\nsys.stdout.close()")
    assert (sys.stdout, sys.stderr) == before
    assert session.run("print('here')") == "here\n"


# Errors


def lines_of(complaints: str) -> list[str]:
    return [line.strip() for line in complaints.splitlines() if line.strip().startswith("File ")]


def test_a_traceback_shows_the_lines_of_the_cell_alone() -> None:
    _, complaints = Session("text").fail("x = 1\n\ny = x / 0  # here\n")
    assert complaints.splitlines()[:3] == [
        "Traceback (most recent call last):",
        '  File "<cell 1>", line 3, in <module>',
        "    y = x / 0  # here",
    ]
    assert complaints.endswith("ZeroDivisionError: division by zero\n")
    assert "cells.py" not in complaints


def test_a_traceback_through_several_cells_shows_each_ones_lines() -> None:
    session = Session("text")
    session.run("def f(n):\n    # the first cell\n    return 1 / n\n")
    session.run("def g(n):\n    return f(n)  # the second cell\n")
    _, complaints = session.fail("\n\ng(0)  # the third cell")
    assert lines_of(complaints) == [
        'File "<cell 3>", line 3, in <module>',
        'File "<cell 2>", line 2, in g',
        'File "<cell 1>", line 3, in f',
    ]
    for line in ("g(0)  # the third cell", "return f(n)  # the second cell", "return 1 / n"):
        assert line in complaints


def test_a_traceback_shows_the_lines_of_its_own_session() -> None:
    first, second = Session("text"), Session("text")
    first.run("def f():\n    return 1 / 0\n")
    second.run("x = 1\ny = 'of another session'\n")
    _, complaints = first.fail("f()")
    assert "return 1 / 0" in complaints
    assert "another" not in complaints


@pytest.mark.parametrize(
    ("source", "last"),
    [
        ("x = (", "SyntaxError: '(' was never closed"),
        ("x = 1\n  y = 2", "IndentationError: unexpected indent"),
        ("if True:\n\tx\n        y", "TabError"),
        ("print 'a'", "SyntaxError"),
        ("return 1", "SyntaxError: 'return' outside function"),
        ("await f()", "SyntaxError: 'await' outside function"),
        ("x = '\n", "SyntaxError: unterminated string literal"),
        ("x = 1\x00", "null bytes"),
        ("'\ud800'", "UnicodeEncodeError"),
        ("# coding: no-such-codec\nx =", "SyntaxError"),
        ("(" * 500 + ")" * 500, "too many nested parentheses"),
        ("%magic", "SyntaxError"),
        ("```python\nx = 1\n```", "SyntaxError"),
    ],
)
def test_code_that_cannot_be_compiled_is_an_error_without_our_frames(source: str, last: str) -> None:
    session = Session("text")
    printed, complaints = session.fail(source)
    assert printed == ""
    assert last in complaints.splitlines()[-1]
    assert "cells.py" not in complaints
    assert session.run("print('still here')") == "still here\n"


@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError('words')",
        "raise Exception",
        "assert False, 'words'",
        "def f(): f()\nf()",
        "raise KeyError('a') from ValueError('b')",
        "try:\n    1/0\nexcept Exception:\n    {}['a']",
        "raise ExceptionGroup('several', [ValueError(1), TypeError(2)])",
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
        "class E(Exception):\n    def __init__(self): self.__traceback__ = None\nraise E",
        "raise MemoryError",
        "raise RecursionError",
        "raise StopIteration",
        "raise OSError(5, 'words')",
        "raise BrokenPipeError",
        "raise UnicodeDecodeError('utf-8', b'a', 0, 1, 'words')",
        "import distributed_prompt.errors as e\nraise e.ArgumentError('words')",
        "open('/no/such/file')",
        "context.no_such_method()",
        "context[10**9]",
        "context.split('')",
        "import no_such_module",
        "eval('1/0')",
        "exec('1/0')",
        "next(iter([]))",
        "raise 1",
        "raise SyntaxError('words')",
        "class E(Exception): pass\nE.__module__ = None\nraise E('\\ud800')",
        "e = ValueError('a')\ne.__cause__ = e\nraise e",
        "e = ValueError('a')\ne.add_note('a note')\nraise e",
        "import sys\nsys.setrecursionlimit(10**6) or 1/0",
    ],
)
def test_whatever_a_cell_raises_is_shown_and_the_next_one_runs(source: str) -> None:
    limit = sys.getrecursionlimit()
    session = Session("text", threshold=2)
    try:
        printed, complaints = session.fail(source)
    finally:
        sys.setrecursionlimit(limit)
    assert printed == ""
    assert "cells.py" not in complaints
    assert '"<cell 1>"' in complaints
    assert session.run("print('still here')") == "still here\n"


def test_an_exception_group_and_its_causes_show_no_frames_of_ours() -> None:
    source = """
def fails(n):
    raise ValueError(n)
errors = []
for n in range(2):
    try:
        fails(n)
    except ValueError as error:
        errors.append(error)
raise ExceptionGroup("several", errors)
"""
    _, complaints = Session("text").fail(source)
    assert complaints.count("raise ValueError(n)") == 2
    assert {line.partition(",")[0] for line in lines_of(complaints.replace("|", ""))} == {'File "<cell 1>"'}


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("import sys\nsys.exit(3)", SystemExit),
        ("raise SystemExit", SystemExit),
        ("exit()", SystemExit),
        ("raise KeyboardInterrupt", KeyboardInterrupt),
    ],
)
def test_what_ends_a_program_is_passed_on_after_what_was_printed(source: str, kind: type[BaseException]) -> None:
    if source == "exit()":
        source = "import sys, io\nsys.stdin = io.StringIO()\n" + source
    session = Session("text")
    output, errors = io.StringIO(), io.StringIO()
    before = sys.stdin, sys.stdout, sys.stderr
    try:
        with pytest.raises(kind):
            session.cells.run(f"print('abcdef')\n{source}", output=output, errors=errors, limit=3)
    finally:
        sys.stdin = before[0]
    assert output.getvalue() == "abc... + [4 characters more]\n"
    assert errors.getvalue() == ""
    assert (sys.stdout, sys.stderr) == before[1:]
    assert session.run("print('still here')") == "still here\n"


def test_a_cell_reads_what_is_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session("text")
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\ntwo\n"))
    assert (
        session.run("print(input('your turn: '))\nprint([line for line in __import__('sys').stdin])")
        == "your turn: one\n['two\\n']\n"
    )
    assert "EOFError" in session.fail("input()")[1]


# dprompt repl


def packed(folder: Path) -> Path:
    (folder / "docs").mkdir()
    (folder / "docs" / "a.txt").write_bytes(A.encode())
    (folder / "docs" / "b.txt").write_bytes(B.encode())
    dp.pack([folder / "docs"], folder / "a.dprompt", shard_size=7)
    return folder / "a.dprompt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repl")
    packed(folder)
    long = "".join(f"{number:07} words and more of them\n" for number in range(300_000))
    dp.ingest_string(long, folder / "long.dprompt")
    dp.ingest_string("a\ud800b \udcff", folder / "surrogates.dprompt")
    dp.ingest_string("", folder / "empty.dprompt")
    (folder / "text.txt").write_text("words")
    (folder / "none").mkdir()
    return folder


@pytest.fixture(autouse=True)
def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def call(*arguments: str, data: str | bytes | None = None) -> Result:
    """Run in this process; an exception other than SystemExit fails the test."""
    result = CliRunner().invoke(main, ["repl", *arguments], input=data)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def run(*arguments: str, data: bytes = b"", **options: str) -> subprocess.CompletedProcess[bytes]:
    """Run as a command."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, check=False, timeout=60, input=data, env=environment() | options
    )


def environment() -> dict[str, str]:
    root = str(Path(dp.__file__).parents[1])
    return os.environ | {"PYTHONPATH": root, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": ""}


def shell(script: str) -> subprocess.CompletedProcess[bytes]:
    """Run a script of bash in which $0 is the interpreter."""
    command = ["bash", "-c", script, sys.executable]
    return subprocess.run(command, capture_output=True, check=False, timeout=60, env=environment())


def told(result: Result) -> tuple[int, str, str]:
    return result.exit_code, result.stdout, result.stderr


def test_code_is_run_with_the_context() -> None:
    assert told(call("a.dprompt", "-c", "print(len(context), context.find('needle'))")) == (0, f"{len(TEXT)} 6\n", "")
    assert told(call("a.dprompt", "-c", "print(type(context).__name__)")) == (0, "str\n", "")
    assert told(call("long.dprompt", "-c", "print(type(context).__name__, len(context))")) == (
        0,
        "LazyStr 9300000\n",
        "",
    )
    assert told(call("empty.dprompt", "-c", "print(repr(context))")) == (0, "''\n", "")
    assert told(call("a.dprompt", "-c", "")) == (0, "", "")


@pytest.mark.parametrize(
    "data", ["print(context[:5])", "print(context[:5])\n", "import re\nprint(re.match('f.*?t', context)[0])\n\n"]
)
def test_a_script_on_standard_input_is_run_as_one_cell(data: str) -> None:
    assert told(call("a.dprompt", data=data)) == (0, "first\n", "")
    done = run("a.dprompt", data=data.encode())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"first\n", b"")


def test_no_script_at_all_is_none() -> None:
    for data in (b"", b"\n", b"# nothing\n"):
        done = run("a.dprompt", data=data)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_code_of_an_option_leaves_standard_input_to_the_code() -> None:
    code = "import sys\nprint(input() + sys.stdin.read())"
    assert run("a.dprompt", "-c", code, data=b"one\ntwo").stdout == b"onetwo\n"
    done = run("a.dprompt", "-c", "input()")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.endswith(b"EOFError: EOF when reading a line\n")
    done = run("a.dprompt", data=b"print('a')\ninput('your turn: ')\n")
    assert (done.returncode, done.stdout) == (1, b"a\nyour turn: ")
    assert b"EOFError" in done.stderr


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("pass", 0),
        ("1/0", 1),
        ("exec('x = (')", 1),
        ("import sys; sys.exit()", 0),
        ("import sys; sys.exit(0)", 0),
        ("import sys; sys.exit(3)", 3),
        ("import sys; sys.exit('a message')", 1),
        ("raise SystemExit(4)", 4),
        ("exit(5)", 5),
        ("quit()", 0),
        ("import os; os._exit(6)", 6),
        ("raise KeyboardInterrupt", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -15),
        ("raise OSError(28, 'words')", 1),
        ("import distributed_prompt.errors as e; raise e.ArgumentError('words')", 1),
    ],
)
def test_the_exit_status_tells_how_the_code_ended(code: str, status: int) -> None:
    done = run("a.dprompt", "-c", f"print('before', flush=True)\n{code}\n")
    assert done.returncode == status
    assert done.stdout == b"before\n"
    assert b"distributed_prompt/c" not in done.stderr
    if "message" in code:
        assert done.stderr == b"a message\n"
    assert bool(done.stderr) == (status == 1)


def test_warnings_and_logs_go_to_standard_error() -> None:
    done = run("a.dprompt", "-c", "import warnings\nwarnings.warn('look out')\nimport logging\nlogging.error('mind')")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode().splitlines() == [
        "<cell 1>:2: UserWarning: look out",
        "  warnings.warn('look out')",
        "ERROR:root:mind",
    ]


def test_an_interrupt_ends_the_code_without_a_traceback() -> None:
    process = subprocess.Popen(
        [*COMMAND, "a.dprompt", "-c", "print('ready', flush=True)\nimport time\nwhile True: time.sleep(0.01)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (1, b"")
    assert b"Traceback" not in errors


def test_an_error_of_the_code_is_its_traceback_alone() -> None:
    done = run("a.dprompt", data=b"x = 1\n\nprint(context[:5])\ncontext.index('nothing')\n")
    assert (done.returncode, done.stdout) == (1, b"first\n")
    lines = done.stderr.decode().splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1:3] == ['  File "<cell 1>", line 4, in <module>', "    context.index('nothing')"]
    assert lines[-1] == "ValueError: substring not found"
    assert told(call("a.dprompt", "-c", "x = (\n"))[:2] == (1, "")


@pytest.mark.parametrize("length", [1, 5, OUTPUT_LIMIT, OUTPUT_LIMIT + 1])
def test_the_output_limit_is_that_of_the_option(length: int) -> None:
    options = ("--output-limit", str(length))
    exact = call("a.dprompt", "-c", f"print('x' * {length}, end='')", *options)
    assert told(exact) == (0, "x" * length, "")
    more = call("a.dprompt", "-c", f"print('x' * {length})", *options)
    assert told(more) == (0, "x" * length + "... + [1 characters more]\n", "")


def test_the_output_limit_is_20_000_unless_it_is_given() -> None:
    assert call("a.dprompt", "-c", "print('x' * 30_000)").stdout == "x" * 20_000 + "... + [10,001 characters more]\n"
    assert call("a.dprompt", "-c", "print('x' * 30_000)", "--output-limit", "0").stdout == "x" * 30_000 + "\n"
    assert "x" * 20_000 + "... +" in call("a.dprompt", "-c", "import sys; sys.stderr.write('x' * 30_000)").stderr
    assert len(call("a.dprompt", "-c", "raise ValueError('x' * 30_000)").stderr) < 20_100


@pytest.mark.parametrize("limit", ["-1", "x", "1.5", ""])
def test_a_wrong_limit_is_wrong_usage(limit: str) -> None:
    result = call("a.dprompt", "-c", "", "--output-limit", limit)
    assert result.exit_code == 2
    assert "--output-limit" in result.stderr


def test_exact_and_documents_exclude_each_other() -> None:
    result = call("a.dprompt", "--exact", "--documents", "-c", "print(1)")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == "Error: --exact and --documents exclude each other"
    # Nothing is opened to find that out.
    assert call("missing", "--exact", "--documents", "-c", "").exit_code == 2


def test_the_context_is_what_the_options_say() -> None:
    code = "print(type(context).__name__, len(context), context[0][:5])"
    assert call("a.dprompt", "-c", code, "--exact").stdout == f"str {len(TEXT)} f\n"
    assert call("a.dprompt", "-c", "print(len(context), [d[:5] for d in context])", "--documents").stdout == (
        "2 ['first', 'caf\u00e9\\n']\n"
    )
    assert call("long.dprompt", "-c", code + "\nprint(''.join([context]).count('words'))", "--exact").stdout == (
        "str 9300000 0\n300000\n"
    )
    assert call("empty.dprompt", "-c", "print(repr(context))", "--exact").stdout == "''\n"


@pytest.mark.parametrize("option", [(), ("--exact",), ("--documents",)])
@pytest.mark.parametrize(
    ("pack", "message"),
    [
        ("missing", "missing: no such file"),
        ("missing/a.dprompt", "missing/a.dprompt: no such file"),
        ("text.txt", "text.txt: not a pack"),
        ("none", "none: a folder without prompt.dprompt"),
        ("docs", "docs: a folder without prompt.dprompt"),
        ("", ""),
        ("x" * 300, ""),
        ("nothing://a/b", "nothing://"),
        ("a\nb\x1b[31m", "a\\nb\\x1b[31m: no such file"),
    ],
)
def test_what_is_no_pack_is_one_line_and_status_1(
    pack: str, message: str, option: tuple[str, ...], folder: Path
) -> None:
    result = call(pack, *option, "-c", "print('never')")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("dprompt: ")
    assert result.stderr.count("\n") == 1
    assert result.stderr.endswith("\n")
    assert message in result.stderr.removeprefix(f"dprompt: {folder}/")


def test_a_damaged_pack_is_one_line_or_an_error_of_the_code(folder: Path, tmp_path: Path) -> None:
    data = (folder / "a.dprompt").read_bytes()
    (tmp_path / "bad").write_bytes(data.replace(b"root_digest", b"root_digesT"))
    (tmp_path / "short").write_bytes(data[:4096])
    for name in ("bad", "short"):
        result = call(str(tmp_path / name), "-c", "print('never')")
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
        assert "Traceback" not in result.stderr


def test_a_text_with_lone_surrogates_is_read_and_refused_only_by_the_output() -> None:
    assert call("surrogates.dprompt", "-c", "print(len(context), ascii(context))").stdout == "5 'a\\ud800b \\udcff'\n"
    done = run("surrogates.dprompt", "-c", "print('before')\nprint(context)\n")
    assert (done.returncode, done.stdout) == (1, b"before\n")
    assert b"UnicodeEncodeError" in done.stderr
    escaped = run("surrogates.dprompt", "-c", "print(context)", PYTHONIOENCODING="utf-8:backslashreplace")
    assert (escaped.returncode, escaped.stdout, escaped.stderr) == (0, b"a\\ud800b \\udcff\n", b"")
    complaint = run("surrogates.dprompt", "-c", "import sys\nsys.stderr.write(context)\nraise ValueError(context)")
    assert complaint.stderr.startswith(b"a\\ud800b \\udcffTraceback")
    assert complaint.stderr.endswith(b"ValueError: a\\ud800b \\udcff\n")


@pytest.mark.parametrize("reader", ["true", "head -c 1", "head -n 1", "cat"])
def test_output_that_nobody_reads_is_no_complaint(reader: str) -> None:
    code = "print('x' * 100)\nprint('y' * 100)"
    done = shell(f'"$0" -m distributed_prompt repl a.dprompt -c "{code}" | {reader}; exit ${{PIPESTATUS[0]}}')
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_is_one_line() -> None:
    done = shell('"$0" -m distributed_prompt repl a.dprompt -c "print(1)" > /dev/full')
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"dprompt: standard output: No space left on device\n"


def test_code_of_other_encodings_is_read_as_the_locale_says() -> None:
    assert (
        run("a.dprompt", data="print('caf\u00e9', context.count('\u65e5'))".encode()).stdout == "caf\u00e9 1\n".encode()
    )
    done = run("a.dprompt", "-c", "print('caf\u00e9')", PYTHONIOENCODING="ascii:backslashreplace")
    assert done.stdout == b"caf\\xe9\n"


def test_files_that_the_code_writes_it_reads(tmp_path: Path) -> None:
    code = f"""
with open({str(tmp_path / "part.txt")!r}, "w") as f:
    f.write(context)
with open({str(tmp_path / "part.txt")!r}) as f:
    again = f.read()
import os
print(len(again), again[-6:-1], os.path.getsize({str(tmp_path / "part.txt")!r}) < 1_000)
"""
    assert told(call("long.dprompt", "-c", code)) == (0, "9300000  them True\n", "")


def test_a_terminal_gets_an_interactive_python() -> None:
    parent, child = pty.openpty()
    start = (
        "import importlib.util as util\n"
        "util.find_spec = lambda name, old=util.find_spec: None if name == 'IPython' else old(name)\n"
        "from distributed_prompt.cli import main\n"
        "main(['repl', 'a.dprompt'])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", start],
        stdin=child,
        stdout=child,
        stderr=child,
        env=environment() | {"TERM": "dumb"},
        start_new_session=True,
    ) as process:
        os.close(child)
        shown = ""
        sent = iter([b"import re; print(len(re.findall('needle', context)), re.__name__)\n", b"1/0\n", b"\x04"])
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if not select.select([parent], [], [], 1)[0]:
                continue
            try:
                data = os.read(parent, 9_999)
            except OSError:
                break
            if not data:
                break
            shown += data.decode("utf-8", "replace")
            if shown.endswith(">>> "):
                os.write(parent, next(sent, b"\x04"))
        os.close(parent)
        assert process.wait(10) == 0
    assert f"context: {len(TEXT)} characters of a.dprompt; re is exact on it" in shown
    assert "2 distributed_prompt.re" in shown
    assert "ZeroDivisionError" in shown


@pytest.fixture(autouse=True)
def _standard_streams_stay() -> Iterator[None]:
    before = sys.stdin, sys.stdout, sys.stderr
    yield
    assert (sys.stdin, sys.stdout, sys.stderr) == before
