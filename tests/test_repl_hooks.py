"""What a REPL's own code gets of ``import re`` and ``open``, and that nobody else gets anything new."""

import builtins
import contextlib
import gc
import importlib
import io
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt import DistributedPrompt, notices
from distributed_prompt import re as exact_re
from distributed_prompt.lazy_str import LazyStr
from distributed_prompt.repl_hooks import TextReader, hooked
from distributed_prompt.strings import plain
from tests.strategies import outcome, texts

TEXT = "".join(f"{number:04} caf\u00e9 \U0001f389\r\n" for number in range(300)) + "the end"


def namespace() -> dict[str, Any]:
    """As a REPL has it: builtins of its own."""
    return {"__name__": "__main__", "__builtins__": hooked(dict(vars(builtins)))}


def ran(code: str, **names: object) -> dict[str, Any]:
    """The variables after some code in a hooked namespace."""
    variables = namespace() | names
    exec(code, variables)  # noqa: S102  # as REPLs do
    return variables


@pytest.fixture
def text() -> Iterator[LazyStr]:
    with DistributedPrompt.from_text(TEXT, shard_size=50) as prompt:
        prompt.view_threshold = 30
        yield LazyStr(prompt)


# import


@pytest.mark.parametrize(
    ("code", "name", "what"),
    [
        ("import re", "re", ""),
        ("import re as r", "r", ""),
        ("import json, re", "re", ""),
        ("import re, json as j", "re", ""),
        ("from re import findall", "findall", "findall"),
        ("from re import findall as f, IGNORECASE", "f", "findall"),
        ("from re import (\n    search,\n    sub as s,\n)", "s", "sub"),
        ("from re import *", "compile", "compile"),
        ("from re import *", "finditer", "finditer"),
        ("re = __import__('re', globals(), locals(), [], 0)", "re", ""),
        ("def f():\n    import re\n    return re\nre = f()", "re", ""),
        ("def f():\n    global re\n    import re\nf()", "re", ""),
        ("class A:\n    import re\nre = A.re", "re", ""),
        ("class A:\n    def f(self):\n        from re import split\n        return split\nre = A().f()", "re", "split"),
        ("exec('import re')", "re", ""),
        ("exec('import re', globals())", "re", ""),
        ("try:\n    import no_such_module\nexcept ImportError:\n    import re", "re", ""),
        ("if True:\n    import re", "re", ""),
        ("for _ in range(300):\n    import re", "re", ""),
        (
            "from threading import Thread\ndef f():\n global re\n import re\nt = Thread(target=f)\nt.start()\nt.join()",
            "re",
            "",
        ),
        ("import asyncio\nasync def f():\n    import re\n    return re\nre = asyncio.run(f())", "re", ""),
    ],
)
def test_every_way_to_import_re_in_a_repl_gives_the_exact_one(code: str, name: str, what: str) -> None:
    before = dict(sys.modules)
    found = ran(code)[name]
    assert found is (getattr(exact_re, what) if what else exact_re)
    assert sys.modules["re"] is re
    assert before["re"] is re


def test_a_function_keeps_the_exact_re_after_its_cell() -> None:
    variables = ran("def f(text):\n    import re\n    return re.findall('z', text)\n")
    prompt = DistributedPrompt.from_text("azbz", shard_size=1)
    assert variables["f"](prompt) == ["z", "z"]


@pytest.mark.parametrize(
    "code",
    [
        "import importlib\nre = importlib.import_module('re')",
        "import sys\nre = sys.modules['re']",
        "import json.scanner\nre = json.scanner.re",
        "import textwrap\nre = textwrap.re",
        "import string\nre = string._re",
        "re = __import__('re')",
    ],
)
def test_who_asks_for_the_module_of_the_process_gets_the_standard_library_s(code: str) -> None:
    assert ran(code)["re"] is re


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to import from, of which nothing stays imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_modules_that_a_repl_imports_get_the_standard_library_s(modules: Path) -> None:
    (modules / "plain_module.py").write_text(
        "import re\nfrom re import findall\nopened = open\ndef later():\n    import re\n    return re\n"
    )
    (modules / "package").mkdir()
    (modules / "package" / "__init__.py").write_text("from . import re as own\n")
    (modules / "package" / "re.py").write_text("import re as other\nname = 'own'\n")
    (modules / "package" / "inner.py").write_text("from .re import name\nfrom package import re as own\nimport re\n")
    variables = ran("import plain_module, package, package.inner\nfrom package import re as taken\nimport re\n")
    assert variables["plain_module"].re is re
    assert variables["plain_module"].findall is re.findall
    assert variables["plain_module"].later() is re
    assert variables["plain_module"].opened is open
    assert variables["package"].own.name == "own"
    assert variables["package"].own.other is re
    assert variables["package"].inner.re is re
    assert variables["package"].inner.own.name == "own"
    assert variables["package"].inner.name == "own"
    assert variables["taken"].name == "own"
    assert variables["re"] is exact_re


def test_a_module_that_is_imported_for_the_first_time_reloads_as_ever(modules: Path) -> None:
    (modules / "another_module.py").write_text("import re\n")
    variables = ran("import importlib, another_module\nimportlib.reload(another_module)\n")
    assert variables["another_module"].re is re


@pytest.mark.parametrize(
    "code",
    [
        "import no_such_module",
        "from re import no_such_name",
        "import os.no_such_module",
        "from os import no_such_name",
        "from . import re",
        "from .re import findall",
        "import re.no_such_module",
        "__import__('re', level=-1)",
        "__import__('')",
        "__import__(1)",
        "__import__()",
    ],
)
def test_a_wrong_import_is_the_error_that_it_was(code: str) -> None:
    def error_of(variables: dict[str, Any]) -> type[BaseException] | None:
        try:
            exec(code, variables)  # noqa: S102  # as REPLs do
        except Exception as error:  # noqa: BLE001  # whatever it is, it is compared
            return type(error)
        return None

    expected = error_of({"__name__": "__main__", "__builtins__": dict(vars(builtins))})
    assert expected is not None
    assert error_of(namespace()) is expected


def test_all_other_imports_are_as_ever() -> None:
    code = "import os.path as p, xml.dom, json\nfrom collections import abc, OrderedDict as o\nfrom math import *\n"
    ours, theirs = ran(code), {"__builtins__": dict(vars(builtins)), "__name__": "__main__"}
    exec(code, theirs)  # noqa: S102  # as REPLs do
    assert {name: value for name, value in ours.items() if name != "__builtins__"} == {
        name: value for name, value in theirs.items() if name != "__builtins__"
    }


def test_the_exact_re_stands_in_for_the_standard_library_s() -> None:
    variables = ran(
        """
import re
subject = "a1b22"
plain = [re.findall(r"\\d+", subject), re.sub("[ab]", "-", subject), re.split(r"\\d", subject), re.escape("a.b")]
data = re.findall(rb"\\d", b"a1")
flags = re.IGNORECASE | re.M, re.RegexFlag.DOTALL
match = re.match("a", subject)
kinds = isinstance(match, re.Match), isinstance(re.compile("a"), re.Pattern)
try:
    re.compile("(")
except re.error as problem:
    said = str(problem)
try:
    re.nothing
except AttributeError:
    missing = True
"""
    )
    assert variables["plain"] == [["1", "22"], "-1-22", ["a", "b", "", ""], "a\\.b"]
    assert variables["data"] == [b"1"]
    assert variables["flags"] == (re.IGNORECASE | re.MULTILINE, re.DOTALL)
    assert variables["kinds"] == (True, True)
    assert "unterminated" in variables["said"]
    assert variables["missing"]


def test_star_gives_all_that_the_standard_library_s_star_gives() -> None:
    variables = ran("from re import *")
    deprecated = {"template", "T", "TEMPLATE"}
    newer = {"PatternError"}
    assert set(re.__all__) - set(variables) <= deprecated | newer


# hooked


def test_the_builtins_of_the_process_stay_as_they_are() -> None:
    before = dict(vars(builtins))
    ran("import re\nopen")
    changed = hooked(builtins)
    assert vars(builtins) == before
    assert changed is not vars(builtins)
    assert changed["open"] is not open
    assert {name for name in before if changed[name] is not before[name]} == {"open", "__import__"}


def test_hooking_again_changes_nothing() -> None:
    names = dict(vars(builtins))
    once = hooked(names)
    assert once is names
    kept = dict(once)
    assert hooked(once) is once
    assert once == kept


def test_a_repl_s_own_open_and_import_are_asked() -> None:
    calls: list[str] = []

    def their_import(name: str, *arguments: Any, **options: Any) -> Any:
        calls.append(name)
        return __import__(name, *arguments, **options)

    def their_open(file: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(file)
        return open(file, *arguments, **options)  # noqa: PTH123  # what is tested

    names = hooked({"__import__": their_import, "open": their_open})
    variables: dict[str, Any] = {"__builtins__": names}
    exec("import json, re\nwith open('/dev/null') as f:\n    pass", variables)  # noqa: S102  # as REPLs do
    assert calls == ["json", "/dev/null"]
    assert variables["re"] is exact_re


def test_two_repls_have_builtins_of_their_own() -> None:
    first, second = namespace(), namespace()
    exec("__builtins__['open'] = None", first)  # noqa: S102  # as REPLs do
    exec("import re\nwith open('/dev/null') as f:\n    found = f.read()", second)  # noqa: S102  # as REPLs do
    assert second["found"] == ""
    assert callable(open)


def test_hooks_of_a_process_go_along_with_its_variables(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("words")
    dp.ingest_string("abc" * 50, tmp_path / "a.dprompt")
    with dp.open(tmp_path / "a.dprompt") as prompt:
        (tmp_path / "notice.txt").write_text(str.__str__(LazyStr(prompt)))
    module = tmp_path / "their_module.py"
    module.write_text("import re\n")
    start = f"""
import pickle, sys
sys.path.insert(0, {str(tmp_path)!r})
from distributed_prompt.repl_hooks import Hooks
hooks = Hooks({notices.key()!r})
assert repr(hooks) == "Hooks()"
with open({str(tmp_path / "state")!r}, "wb") as f:
    pickle.dump({{"hooks": hooks, "n": 1}}, f)
"""
    cell = f"""
import pickle, sys
sys.path.insert(0, {str(tmp_path)!r})
with open({str(tmp_path / "state")!r}, "rb") as f:
    state = pickle.load(f)
import re, their_module
print(re.__name__, their_module.re.__name__, sys.modules["re"].__name__, repr(state["hooks"]))
print(type(open({str(tmp_path / "notice.txt")!r}).read()).__name__, open({str(tmp_path / "plain.txt")!r}).read())
with open({str(tmp_path / "state")!r}, "wb") as f:
    pickle.dump(state, f)
"""
    for code in (start, cell, cell):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=Path(dp.__file__).parents[1],
        )
        assert done.stderr == ""
        if code is cell:
            assert done.stdout == "distributed_prompt.re re re Hooks()\nLazyStr words\n"
    assert importlib.import_module("re") is re


# open, for everything else

our_open: Callable[..., Any] = namespace()["__builtins__"]["open"]
CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "short": b"one\ntwo\nthree",
    "accents": "caf\u00e9 \U0001f389\n".encode(),
    "windows": b"one\r\ntwo\rthree\n\r\n",
    "mark": b"\xef\xbb\xbfone\n",
    "nul": b"\x00\x00\n\x00",
    "notice-like": b"[This stands for a text]<dprompt-text [0] " + b"0" * 32 + b">",
    "brackets": b"<dprompt-text [" * 100,
    "nested brackets": b"<dprompt-text " + b"[" * 4_000 + b"]" * 4_000 + b" " + b"0" * 32 + b">",
    "limit": b"x" * 2**16,
    "over the limit": b"y" * (2**16 + 1),
    "long": b"line\n" * 50_000,
}
READING: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    (("r",), {}),
    (("rt",), {}),
    (("tr",), {}),
    (("rb",), {}),
    (("br",), {}),
    (("rb", 0), {}),
    (("r", 1), {}),
    (("r", -1, "utf-8"), {}),
    (("r", 10, "utf-8", "strict", ""), {}),
    ((), {"encoding": "latin-1"}),
    ((), {"encoding": "utf-8-sig"}),
    ((), {"encoding": "ascii", "errors": "surrogateescape"}),
    ((), {"encoding": "utf-8", "newline": ""}),
    ((), {"encoding": "utf-8", "newline": "\n"}),
    ((), {"encoding": "utf-8", "newline": "\r"}),
    ((), {"encoding": "utf-8", "newline": "\r\n"}),
    ((), {"mode": "r", "encoding": "utf-8"}),
    (("r+",), {"encoding": "utf-8"}),
    (("rb+",), {}),
    (("r+b", 4_096), {}),
]


def told(stream: Any) -> list[Any]:
    """All that a file says of itself, and what is in it, read in several ways."""
    attributes = [
        getattr(stream, name, None)
        for name in ("name", "mode", "encoding", "errors", "newlines", "line_buffering", "closed")
    ]
    found = [type(stream), attributes, stream.tell(), stream.readable(), stream.writable(), stream.seekable()]
    found += [outcome(lambda: stream.read(3)), outcome(stream.readline), outcome(stream.tell)]
    stream.seek(0)
    found += [outcome(stream.readlines), outcome(stream.read)]
    stream.seek(0)
    found += [outcome(lambda: list(stream)), stream.isatty(), getattr(stream, "newlines", None)]
    stream.close()
    return [*found, stream.closed, outcome(stream.read)]


@pytest.mark.parametrize("content", CONTENTS)
def test_a_file_that_is_no_notice_is_the_ordinary_file(content: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(CONTENTS[content])
    for arguments, options in READING:
        assert told(our_open(path, *arguments, **options)) == told(open(path, *arguments, **options))  # noqa: PTH123, SIM115
    for name in (str(path), os.fsencode(path)):
        assert told(our_open(name)) == told(open(name))  # noqa: PTH123, SIM115  # what is tested
    assert told(our_open(file=path)) == told(open(file=path))  # noqa: PTH123, SIM115  # as above


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("missing",), {}),
        (("missing", "rb"), {}),
        (("missing", "r+"), {}),
        (("missing/a",), {}),
        ((".",), {}),
        ((".", "w"), {}),
        (("",), {}),
        (("a\x00b",), {}),
        (("x" * 300,), {}),
        ((None,), {}),
        ((1.5,), {}),
        ((-1,), {}),
        ((10**9,), {}),
        (("a.txt", ""), {}),
        (("a.txt", "rw"), {}),
        (("a.txt", "U"), {}),
        (("a.txt", "x"), {}),
        (("a.txt", "rbt"), {}),
        (("a.txt", 1), {}),
        (("a.txt", None), {}),
        (("a.txt", "r", 0), {}),
        (("a.txt", "r", "1"), {}),
        (("a.txt", "rb"), {"encoding": "utf-8"}),
        (("a.txt", "rb"), {"newline": ""}),
        (("a.txt",), {"encoding": "no-such-codec"}),
        (("a.txt",), {"encoding": 1}),
        (("a.txt",), {"newline": "x"}),
        (("a.txt",), {"closefd": False}),
        (("a.txt",), {"nothing": 1}),
        ((), {}),
        ((), {"mode": "r"}),
        (("a.txt", "r", -1, None, None, None, True, None, 1), {}),
    ],
)
def test_what_cannot_be_opened_is_the_error_of_open(
    arguments: tuple[Any, ...], options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("words")
    expected: Any = outcome(lambda: open(*arguments, **options))  # noqa: PTH123, SIM115  # what is tested
    found: Any = outcome(lambda: our_open(*arguments, **options))
    assert isinstance(expected, tuple)
    assert isinstance(found, tuple)
    assert found[0] is expected[0]
    if issubclass(expected[0], OSError):
        assert found == expected


def test_files_are_written_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with our_open(path, "w", encoding="utf-8", newline="") as stream:
        assert stream.write("caf\u00e9\r\n") == 6
        assert isinstance(stream, io.TextIOWrapper)
    with our_open(path, "a", encoding="utf-8", newline="\r\n") as stream:
        stream.writelines(["a\n", "b"])
    with our_open(path, "r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"c")
        stream.truncate()
    assert path.read_bytes() == "caf\u00e9\r\na\r\nc".encode()
    with pytest.raises(FileExistsError):
        our_open(path, "x")
    with our_open(tmp_path / "b", "x") as stream:
        assert stream.fileno() > 2
    with our_open(tmp_path / "b", "w+b", buffering=0) as stream:
        assert type(stream) is io.FileIO
    with our_open(path, "a+", encoding="utf-8") as stream:
        assert stream.read() == ""
        stream.seek(0)
        assert stream.readline() == "caf\u00e9\n"


def test_devices_and_pipes_are_not_looked_into() -> None:
    with our_open("/dev/null") as stream:
        assert (type(stream), stream.read()) == (io.TextIOWrapper, "")
    with our_open("/dev/zero", "rb") as stream:
        assert stream.read(3) == b"\x00\x00\x00"
    with our_open("/dev/zero", encoding="latin-1") as stream:
        assert stream.read(2) == "\x00\x00"
    with our_open("/proc/self/status") as stream:
        assert stream.readline().startswith("Name:")
    reading, writing = os.pipe()
    with our_open(reading) as output, our_open(writing, "w") as given:
        given.write("through a pipe\n")
        given.flush()
        assert output.readline() == "through a pipe\n"


def test_a_named_pipe_waits_for_who_writes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("words",))
    writer.start()
    with our_open(tmp_path / "pipe") as stream:
        assert stream.read() == "words"
    writer.join()


def test_descriptors_and_openers_are_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\n")
    descriptor = os.open(path, os.O_RDONLY)
    with our_open(descriptor, closefd=False) as stream:
        assert (stream.name, stream.readline()) == (descriptor, "one\n")
    os.lseek(descriptor, 0, os.SEEK_SET)
    with our_open(descriptor, "rb", closefd=False) as stream:
        assert stream.read() == b"one\ntwo\n"
    os.close(descriptor)
    asked = []

    def opener(name: str, flags: int) -> int:
        asked.append((name, flags & os.O_ACCMODE))
        return os.open(path, flags)

    with our_open("another name", opener=opener) as stream:
        assert stream.read() == "one\ntwo\n"
    assert asked == [("another name", os.O_RDONLY)]


def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("words")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root reads everything")
    with pytest.raises(PermissionError):
        our_open(path)
    path.chmod(stat.S_IRUSR)
    with pytest.raises(PermissionError):
        our_open(path, "r+")


def test_no_file_is_left_open(tmp_path: Path, text: LazyStr) -> None:
    (tmp_path / "words").write_text("words")
    (tmp_path / "notice").write_text(str.__str__(text))
    before = len(list(Path("/proc/self/fd").iterdir()))
    streams = [our_open(tmp_path / name) for name in ("words", "notice") for _ in range(5)]
    for stream in streams:
        stream.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# open, for a notice


@pytest.fixture
def path(tmp_path: Path, text: LazyStr) -> Path:
    (tmp_path / "context.txt").write_text(text, "utf-8")
    return tmp_path / "context.txt"


def test_a_file_with_a_notice_is_read_as_the_text(path: Path) -> None:
    variables = ran(
        f"with open({str(path)!r}) as f:\n    context_0 = f.read()\nimport re\nn = len(re.findall('0', context_0))"
    )
    found = variables["context_0"]
    assert type(found) is LazyStr
    assert plain(found) == TEXT
    assert variables["n"] == TEXT.count("0")
    assert variables["f"].closed


@pytest.mark.parametrize(
    ("arguments", "options"), [(("r",), {}), (("rt",), {}), (("r", -1, "utf-8"), {}), ((), {"encoding": "ascii"})]
)
def test_all_ways_to_read_text_give_it(path: Path, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    for name in (path, str(path), os.fsencode(path)):
        with our_open(name, *arguments, **options) as stream:
            assert isinstance(stream, TextReader)
            assert plain(stream.read()) == TEXT
            assert stream.read() == ""


def test_other_modes_see_the_file(path: Path, text: LazyStr) -> None:
    notice = str.__str__(text)
    for mode in ("rb", "rb+"):
        with our_open(path, mode) as stream:
            assert stream.read() == notice.encode()
    with our_open(path, "r+") as stream:
        assert stream.read() == notice
    with our_open(path, "a") as stream:
        stream.write(" more")
    assert path.read_text() == notice + " more"
    with our_open(path, "w") as stream:
        stream.write("less")
    assert our_open_text(path) == "less"


def our_open_text(path: Path) -> object:
    with our_open(path) as stream:
        return stream.read()


def test_what_a_repl_writes_it_reads_again(tmp_path: Path, text: LazyStr) -> None:
    variables = ran(
        f"""
with open({str(tmp_path / "part.txt")!r}, "w", encoding="utf-8") as f:
    f.write(context[10:900])
with open({str(tmp_path / "part.txt")!r}, encoding="utf-8") as f:
    again = f.read()
import json
with open({str(tmp_path / "state.json")!r}, "w") as f:
    json.dump({{"part": context[5:600]}}, f)
with open({str(tmp_path / "state.json")!r}) as f:
    loaded = f.read()
""",
        context=text,
    )
    assert plain(variables["again"]) == TEXT[10:900]
    assert isinstance(variables["loaded"], str)


def test_an_opener_of_a_notice_gives_the_text_and_a_descriptor_the_file(path: Path, text: LazyStr) -> None:
    with our_open("x", opener=lambda _name, flags: os.open(path, flags)) as stream:
        assert plain(stream.read()) == TEXT
    descriptor = os.open(path, os.O_RDONLY)
    os.lseek(descriptor, 5, os.SEEK_SET)
    with our_open(descriptor) as stream:
        assert stream.read() == str.__str__(text)[5:]


def test_only_the_repl_s_own_code_is_given_the_text(path: Path, text: LazyStr) -> None:
    notice = str.__str__(text)
    assert path.read_text() == notice
    with open(path) as stream:  # noqa: PTH123  # the ordinary one
        assert stream.read() == notice
    variables = ran("import io\nfound = path.read_text()\nwith io.open(path) as f:\n    again = f.read()\n", path=path)
    assert (variables["found"], variables["again"]) == (notice, notice)


def test_a_file_that_mentions_a_text_that_is_gone_is_read_as_it_is(tmp_path: Path) -> None:
    content = f"one line\n{str.__str__(LazyStr(DistributedPrompt.from_text('gone')))}\nanother\n"
    gc.collect()
    (tmp_path / "log").write_text(content)
    assert our_open_text(tmp_path / "log") == content


# TextReader


@given(data=st.data(), content=texts)
def test_a_text_is_read_as_a_text_file_is(data: st.DataObject, content: str) -> None:
    with DistributedPrompt.from_text(content, shard_size=3) as prompt:
        prompt.view_threshold = data.draw(st.sampled_from([0, 4, 100]))
        ours, theirs = TextReader(LazyStr(prompt)), io.StringIO(content, newline="\n")
        calls: list[Callable[[Any], Any]] = [
            lambda f: f.read(2),
            lambda f: f.read(0),
            lambda f: f.readline(),
            lambda f: f.readline(3),
            lambda f: f.readline(0),
            lambda f: f.readline(-1),
            lambda f: next(f, "none"),
            lambda f: list(f)[:2],
            lambda f: f.readlines(),
            lambda f: f.readlines(4),
            lambda f: f.read(),
            lambda f: f.read(-1),
            lambda f: f.read(None),
            lambda f: f.read(10**9),
            lambda f: [f.readable(), f.seekable(), f.closed, f.isatty()],
            lambda f: f.tell(),
            lambda f: f.seek(0),
            lambda f: f.seek(0, io.SEEK_CUR),
            lambda f: f.seek(0, io.SEEK_END),
            lambda f: f.seek(len(content) // 2),
        ]
        for call in data.draw(st.lists(st.sampled_from(calls), max_size=8)):
            found, expected = call(ours), call(theirs)
            found = [plain(item) for item in found] if isinstance(found, list) else plain(found)
            assert found == expected


def test_a_wrong_place_in_a_text_is_the_error_of_a_text_file(text: LazyStr) -> None:
    reader = TextReader(text)
    for wrong, error in (((-1,), ValueError), ((1, io.SEEK_CUR), OSError), ((-1, io.SEEK_END), OSError)):
        with pytest.raises(error):
            reader.seek(*wrong)
    assert (reader.tell(), reader.seek(5), reader.read(3)) == (0, 5, TEXT[5:8])


def test_the_whole_text_is_read_as_the_very_object(text: LazyStr) -> None:
    reader = TextReader(text)
    assert reader.read() is text
    assert (reader.read(), reader.readline(), list(reader), reader.readlines()) == ("", "", [], [])


def test_a_text_reader_is_a_context_manager_that_cannot_be_written_to(text: LazyStr) -> None:
    with TextReader(text) as reader:
        assert isinstance(reader, io.TextIOBase)
        for change in (lambda: reader.write("a"), lambda: reader.truncate(0), reader.detach, reader.fileno):
            with pytest.raises(io.UnsupportedOperation):
                change()
        assert (reader.isatty(), reader.closed) == (False, False)
    assert reader.closed
    with pytest.raises(ValueError, match="closed"), reader:
        pass
    reader.close()
    assert text[:4] == TEXT[:4]


def test_lines_are_read_one_at_a_time(text: LazyStr) -> None:
    reader = TextReader(text)
    decoded = text.stats.decoded_shards
    assert next(iter(reader)) == "0000 caf\u00e9 \U0001f389\r\n"
    assert reader.readline(4) == "0001"
    assert text.stats.decoded_shards - decoded <= 2
    assert [plain(line) for line in reader] == TEXT[len("0000 caf\u00e9 \U0001f389\r\n") + 4 :].splitlines(
        keepends=True
    )


def test_what_takes_a_text_file_takes_it(text: LazyStr) -> None:
    import csv  # noqa: PLC0415  # for this one

    with contextlib.closing(TextReader(text)) as reader:
        assert len(list(csv.reader(reader))) == 301
    numbered = dict(enumerate(TextReader(text)))
    assert plain(numbered[299]).startswith("0299")
