import fcntl
import json
import os
import pty
import random
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import distributed_prompt as dp
from distributed_prompt.cli import main
from distributed_prompt.decoding import ERROR_MODES, NEWLINE_MODES
from distributed_prompt.store.engines import create_store
from distributed_prompt.store.pack_writer import write_text

COMMAND = [sys.executable, "-m", "distributed_prompt"]
TEXT = "first needle\nsecond\r\n日本 needle 😀\n\nNEEDLE at the end"
READING = ["--encoding", "--errors", "--exclude", "--include", "--keep-undecodable", "--newlines"]
HELP = {
    "pack": sorted(
        [
            *READING,
            "--force",
            "--header",
            "--help",
            "--index",
            "--level",
            "--output",
            "--part-bytes",
            "--shard-size",
            "--store",
            "--verbose",
        ]
    ),
    "append": sorted([*READING, "--help", "--verbose"]),
    "push": ["--abort-uploads", "--dry-run", "--endpoint-url", "--force", "--help", "--region"],
    "pull": ["--dry-run", "--endpoint-url", "--force", "--help", "--region"],
    "sync": ["--dry-run", "--endpoint-url", "--help", "--prefer", "--region"],
    "collect": ["--force", "--help", "--output"],
    "convert": ["--force", "--help", "--output", "--store"],
    "index": ["--force", "--help", "--output"],
    "ingest": ["--help", "--output", "--shard-size"],
    "info": ["--help", "--json"],
    "ls": ["--help", "--json", "--long"],
    "cat": ["--document", "--help", "--lines"],
    "repl": ["--documents", "--exact", "--help", "--output-limit"],
    "slice": ["--end", "--help", "--start"],
    "find": ["--count", "--help", "--ignore-case", "--max-count"],
    "grep": [
        "--after-context",
        "--before-context",
        "--color",
        "--context",
        "--count",
        "--document",
        "--fixed-strings",
        "--help",
        "--ignore-case",
        "--json",
        "--line-number",
        "--max-count",
        "--only-matching",
    ],
    "unpack": ["--force", "--help", "--lossy", "--output"],
    "verify": ["--help"],
}
INFO_KEYS = {
    "path",
    "store",
    "format_version",
    "features",
    "length",
    "lines",
    "documents",
    "shards",
    "shard_size",
    "utf8_bytes",
    "pack_bytes",
    "width",
    "level",
    "root_digest",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a text and its pack."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_bytes(TEXT.encode())
    dp.pack("a.txt", "a.dprompt", shard_size=7)
    return tmp_path


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 million characters with one needle in it."""
    path = tmp_path_factory.mktemp("big") / "mega_prompt.md"
    generator = random.Random(3)  # noqa: S311  # any text does
    lines = "".join(f"{number} 日本 the keyword {generator.getrandbits(64):x}\n" for number in range(30_000))
    text = (lines * (25_000_000 // len(lines) + 1))[:25_000_000]
    path.write_bytes((text[:20_000_000] + "needle" + text[20_000_006:]).encode())
    return path


@pytest.fixture(scope="module")
def big_pack(big_file: Path) -> Path:
    return Path(dp.pack(big_file, big_file.with_name("big.dprompt")).path)


def call(*arguments: str, data: bytes | None = None) -> Result:
    """Run in this process; an exception other than SystemExit fails the test."""
    result = CliRunner().invoke(main, arguments, input=data)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def run(*arguments: str | bytes, **options: str) -> subprocess.CompletedProcess[bytes]:
    """Run as a command."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env=os.environ | options,
    )


def shell(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script of bash in which $0 is the interpreter; returns the exit code of its last command."""
    command = ["bash", "-c", script, sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def error_line(result: Result, exit_code: int = 1) -> str:
    """The one line that an error of ours prints, without the command's name."""
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert result.stderr.startswith("dprompt: ")
    assert result.stderr.endswith("\n")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("dprompt: ").rstrip("\n")


def usage_line(result: Result) -> str:
    """The last line of an error of click's."""
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: ")
    assert "Traceback" not in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    return last


# Help


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_lists_every_command(flag: str) -> None:
    result = call(flag)
    assert result.exit_code == 0
    listed = re.findall(r"^  (\w+) ", result.stdout.partition("Commands:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(HELP)
    assert set(main.commands) == set(HELP)


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", HELP)
def test_the_help_of_a_command_lists_its_options(command: str, flag: str) -> None:
    result = call(command, flag)
    assert result.exit_code == 0
    listed = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", result.stdout, re.MULTILINE))
    assert sorted(listed) == HELP[command]


def test_the_help_names_the_choices_and_defaults() -> None:
    text = " ".join(call("pack", "--help").stdout.split())
    for words in (*ERROR_MODES, *NEWLINE_MODES, "131072", "[default: utf-8]", "[default: 3]", "[default: sqlite]"):
        assert words in text


def test_every_option_has_help() -> None:
    for command in main.commands.values():
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.to_info_dict()["help"]


def test_the_version_is_printed() -> None:
    result = call("--version")
    assert (result.exit_code, result.stdout) == (0, f"dprompt, version {dp.__version__}\n")


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["pack"], ["pack", "a"], ["cat"], ["find", "a"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert usage_line(call(*arguments))


def test_no_arguments_show_the_help() -> None:
    result = call()
    assert result.exit_code == 2
    assert "Commands:" in result.output


def test_the_installed_command_is_the_module() -> None:
    command = Path(sys.executable).parent / "dprompt"
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"dprompt, version {dp.__version__}\n"


# Errors that every command has


COMMANDS = [
    ["info", "PACK"],
    ["info", "PACK", "--json"],
    ["cat", "PACK"],
    ["cat", "PACK", "0:1"],
    ["slice", "PACK", "--end", "3"],
    ["find", "PACK", "needle"],
    ["find", "PACK", "needle", "-c"],
    ["unpack", "PACK", "-o", "copy"],
    ["unpack", "PACK", "-o", "-"],
    ["verify", "PACK"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("pack", "message"),
    [
        ("missing", "missing: no such file"),
        ("missing/a.dprompt", "missing/a.dprompt: no such file"),
        ("a.txt", "a.txt: not a pack"),
        ("empty", "empty: not a pack"),
        ("none", "none: a folder without prompt.dprompt"),
        ("other.sqlite", "other.sqlite: a SQLite file, but not a pack"),
        ("newer", "newer: format 2, this version reads up to 1"),
        ("short", "short: 4096 bytes, its header says "),
        ("first", "first: a folder of NNNN.txt shards, not a pack; make one with: dprompt pack first -o first.dprompt"),
        ("bad\n\x1b[31mname", "bad\\n\\x1b[31mname: no such file"),
        ("x" * 300, "x: "),
    ],
)
def test_what_is_no_pack_is_one_line_and_leaves_nothing_behind(
    folder: Path, arguments: list[str], pack: str, message: str
) -> None:
    (folder / "empty").touch()
    (folder / "none").mkdir()
    (folder / "first").mkdir()
    (folder / "first" / "meta.json").write_text('{"num_shards": 1}')
    (folder / "first" / "0000.txt").write_text("text")
    with closing(sqlite3.connect("other.sqlite")) as connection:
        connection.execute("CREATE TABLE t(x)")
    data = bytearray((folder / "a.dprompt").read_bytes())
    (folder / "short").write_bytes(data[:4096])
    data[60:64] = (2).to_bytes(4, "big")
    (folder / "newer").write_bytes(data)
    before = sorted(folder.iterdir())
    result = call(*[pack if argument == "PACK" else argument for argument in arguments])
    line = error_line(result, 2 if arguments[0] == "find" else 1)
    assert line.removeprefix(f"{folder}/").startswith(message) or message in line
    assert sorted(folder.iterdir()) == before


def test_a_damaged_pack_is_one_line(folder: Path) -> None:
    data = (folder / "a.dprompt").read_bytes()
    (folder / "a.dprompt").write_bytes(data.replace(b"root_digest", b"root_digesT"))
    for command in (["info", "a.dprompt"], ["cat", "a.dprompt"], ["verify", "a.dprompt"]):
        assert "metadata: checksum" in error_line(call(*command))


def test_a_folder_with_a_pack_is_a_pack(folder: Path) -> None:
    (folder / "shards").mkdir()
    shutil.copy("a.dprompt", "shards/prompt.dprompt")
    assert call("cat", "shards").stdout_bytes == TEXT.encode()
    assert call("cat", "./shards/", "0:5").stdout_bytes == b"first"


# pack and ingest


def test_pack_reports_what_it_made(folder: Path) -> None:
    result = call("pack", "a.txt", "-o", "b.dprompt", "-s", "1_0")
    size = (folder / "b.dprompt").stat().st_size
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{folder}/b.dprompt: {len(TEXT)} characters in 6 shards of 10; {len(TEXT.encode())} bytes became {size:,}\n"
    )


@pytest.mark.parametrize(
    ("options", "data", "text"),
    [
        (["--encoding", "latin-1"], b"caf\xe9", "café"),
        (["--errors", "surrogateescape"], b"caf\xe9", "caf\udce9"),
        (["--errors", "replace"], b"caf\xe9", "caf\ufffd"),
        (["--errors", "ignore"], b"caf\xe9", "caf"),
        (["--errors", "surrogatepass"], b"\xed\xa0\x80", "\ud800"),
        (["--newlines", "universal"], b"a\r\nb\rc", "a\nb\nc"),
        (["--newlines", "keep"], b"a\r\nb\rc", "a\r\nb\rc"),
        (["--store", "sqlite", "--level", "1_9"], b"abc", "abc"),
        (["--shard-size", "1"], b"abc", "abc"),
        (["-s", "16_777_216"], b"abc", "abc"),
    ],
)
def test_the_options_of_pack_do_what_they_say(folder: Path, options: list[str], data: bytes, text: str) -> None:
    (folder / "in").write_bytes(data)
    result = call("pack", "in", "--output", "out", *options)
    assert result.exit_code == 0
    with dp.open("out") as prompt:
        assert str(prompt) == text
    lost = {"replace", "ignore", "universal"} & set(options)
    assert result.stderr == ("dprompt: the original bytes cannot be given back from this pack\n" if lost else "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing", "-o", "b"], "missing: no such file"),
        (["a.txt", "-o", "a.dprompt"], "a.dprompt: exists; choose another name, or overwrite it with --force"),
        (["a.txt", "-o", "a.txt"], "a.txt: is the input"),
        (["a.txt", "-o", "a.txt", "--force"], "a.txt: is the input"),
        (["a.txt", "-o", "."], ".: is a folder"),
        (["a.txt", "-o", "missing/b"], "missing/b: its folder does not exist"),
        (["a.txt", "-o", "b", "--encoding", "klingon"], "encoding 'klingon': Python has no such text encoding"),
        (["a.txt", "-o", "b", "--encoding", "ascii"], "a.txt: byte 21: 0xe6 is not ascii"),
        (["a.txt", "-o", "b", "--encoding", "utf-16"], "a.txt: byte 0: "),
        (["a.txt", "-o", "b", "-s", "0"], "shard size 0: must be from 1 to 16,777,216"),
        (["a.txt", "-o", "b", "-s", "-3"], "shard size -3: "),
        (["a.txt", "-o", "b", "-s", "16777217"], "shard size 16777217: "),
        (["a.txt", "-o", "b", "--level", "0"], "level 0: must be from 1 to 22"),
        (["a.txt", "-o", "b", "--level", "23"], "level 23: "),
        ([".", "-o", "b", "--include", "*.md"], "no document found in the input"),
        (["a.txt", "-o", "x" * 300], "x"),
        (["x" * 300, "-o", "b"], "x"),
    ],
)
def test_what_pack_refuses_is_one_line_and_leaves_nothing_behind(
    folder: Path, arguments: list[str], message: str
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert error_line(call("pack", *arguments)).startswith(message)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-s", "many"], "'many' is not a whole number"),
        (["-s", "1.5"], "'1.5' is not a whole number"),
        (["-s", ""], "'' is not a whole number"),
        (["-s", "1__0"], "'1__0' is not a whole number"),
        (["--level", "high"], "'high' is not a whole number"),
        (["--errors", "panic"], "'panic' is not one of"),
        (["--newlines", "crlf"], "'crlf' is not one of"),
        (["--store", "oracle"], "'oracle'"),
        (["--nonsense"], "No such option"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_options_that_cannot_be_parsed_are_wrong_usage(options: list[str], message: str) -> None:
    assert message in usage_line(call("pack", "a.txt", "-o", "b", *options))
    assert not Path("b").exists()


def test_force_replaces_a_pack(folder: Path) -> None:
    (folder / "b.txt").write_text("new")
    assert call("pack", "b.txt", "-o", "a.dprompt", "--force").exit_code == 0
    assert call("cat", "a.dprompt").stdout == "new"


@pytest.mark.usefixtures("folder")
def test_standard_input_is_packed() -> None:
    assert call("pack", "-", "-o", "b.dprompt", data="日本\r\n".encode()).exit_code == 0
    assert call("cat", "b.dprompt").stdout_bytes == "日本\r\n".encode()


@pytest.mark.usefixtures("folder")
def test_a_pipe_is_packed() -> None:
    pack, cat = '"$0" -m distributed_prompt pack - -o b.dprompt', '"$0" -m distributed_prompt cat b.dprompt'
    done = shell(f"cat a.txt | {pack} && cmp <({cat}) a.txt")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("folder")
def test_a_pipe_with_a_name_is_packed() -> None:
    done = shell('"$0" -m distributed_prompt pack <(cat a.txt) -o b.dprompt')
    assert (done.returncode, done.stderr) == (0, "")
    assert call("cat", "b.dprompt").stdout_bytes == TEXT.encode()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("redirection", ["<&-", "0>/dev/null"])
def test_standard_input_that_cannot_be_read_is_one_line(redirection: str) -> None:
    done = shell(f'"$0" -m distributed_prompt pack - -o b.dprompt {redirection}')
    assert done.returncode == 1
    assert done.stderr.startswith("dprompt: ")
    assert done.stderr.count("\n") == 1
    assert not list(Path().glob("*b.dprompt*"))


def test_ingest_makes_a_folder_or_a_pack_and_replaces_it(folder: Path) -> None:
    for _ in range(2):
        assert call("ingest", "a.txt", "-o", "shards/").exit_code == 0
        assert call("ingest", "a.txt", "--output", "b.dprompt", "--shard-size", "1_000").exit_code == 0
    assert call("cat", "shards").stdout_bytes == call("cat", "b.dprompt").stdout_bytes == TEXT.encode()
    assert [path.name for path in (folder / "shards").iterdir()] == ["prompt.dprompt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing", "-o", "new"], "missing: no such file"),
        (["missing", "-o", "new.dprompt"], "missing: no such file"),
        (["a.txt", "-o", "a.txt"], "a.txt: "),
        (["a.txt", "-o", "a.txt/new"], "a.txt/new/prompt.dprompt: "),
        (["a.txt", "-o", "new", "-s", "0"], "shard size 0: "),
    ],
)
def test_what_ingest_refuses_is_one_line_and_leaves_nothing_behind(
    folder: Path, arguments: list[str], message: str
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert error_line(call("ingest", *arguments)).startswith(message)
    assert sorted(path.name for path in folder.iterdir()) == sorted(before)
    assert (folder / "a.txt").read_bytes() == before["a.txt"]


def test_the_advice_of_ingest_can_be_followed(folder: Path) -> None:
    (folder / "bad.txt").write_bytes(b"caf\xe9")
    line = error_line(call("ingest", "bad.txt", "-o", "new.dprompt"))
    assert line.startswith("bad.txt: byte 3: 0xe9 is not utf-8")
    for option in re.findall(r"--[a-z-]+", line):
        assert option in HELP["ingest"] or "dprompt pack" in line


# info


@pytest.mark.usefixtures("folder")
def test_info_as_json_has_every_fact() -> None:
    result = call("info", "a.dprompt", "--json")
    facts = json.loads(result.stdout)
    assert (result.exit_code, result.stderr, result.stdout.count("\n")) == (0, "", 1)
    assert set(facts) == INFO_KEYS
    assert facts["length"] == len(TEXT)
    assert facts["lines"] == len(TEXT.split("\n"))
    assert facts["utf8_bytes"] == len(TEXT.encode())
    assert facts["pack_bytes"] == Path("a.dprompt").stat().st_size
    assert facts["path"] == str(Path("a.dprompt").absolute())
    assert (facts["documents"], facts["shard_size"], facts["width"], facts["level"]) == (1, 7, 4, 3)


@pytest.mark.usefixtures("folder")
def test_info_is_one_fact_a_line() -> None:
    result = call("info", "a.dprompt")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [
        "Pack",
        "Characters",
        "Lines",
        "Documents",
        "Shards",
        "Text",
        "Size",
        "Root digest",
    ]
    assert f"{len(TEXT)} (beyond U+FFFF)" in result.stdout


@pytest.mark.parametrize(
    ("text", "widest"), [("", "ASCII"), ("a", "ASCII"), ("é", "up to U+00FF"), ("日", "up to U+FFFF"), ("😀", "beyond")]
)
@pytest.mark.usefixtures("folder")
def test_info_names_the_widest_character(text: str, widest: str) -> None:
    dp.ingest_string(text, "b.dprompt")
    assert f"{len(text)} ({widest}" in call("info", "b.dprompt").stdout


def test_info_of_a_name_with_controls_prints_none(folder: Path) -> None:
    shutil.copy("a.dprompt", folder / "a\n\x1b[31m.dprompt")
    result = run("info", "a\n\x1b[31m.dprompt")
    assert result.returncode == 0
    assert b"\x1b" not in result.stdout
    assert result.stdout.count(b"\n") == 8


# cat and slice


RANGES = [
    (":", slice(None)),
    ("0:5", slice(0, 5)),
    ("5:", slice(5, None)),
    (":5", slice(5)),
    ("-5:", slice(-5, None)),
    ("-500:", slice(-500, None)),
    (":-5", slice(-5)),
    ("-9:-3", slice(-9, -3)),
    ("3:2", slice(3, 2)),
    ("1_0:2_0", slice(10, 20)),
    ("0:1_000_000", slice(0, 10**6)),
    ("1000:2000", slice(1000, 2000)),
    ("99999999999999999999:", slice(10**20, None)),
    (" 1 : 2 ", slice(1, 2)),
]


@pytest.mark.parametrize(("span", "expected"), RANGES)
@pytest.mark.usefixtures("folder")
def test_cat_prints_what_a_slice_has(span: str, expected: slice) -> None:
    result = call("cat", "a.dprompt", span)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout_bytes == TEXT[expected].encode()


@pytest.mark.usefixtures("folder")
def test_cat_prints_everything() -> None:
    assert call("cat", "a.dprompt").stdout_bytes == TEXT.encode()


@pytest.mark.parametrize("span", ["5", "a:b", "1:2:3", "", "1:b", "1.5:2", "::", "-5", "0x1:2", "1-2"])
@pytest.mark.usefixtures("folder")
def test_cat_refuses_what_is_no_range(span: str) -> None:
    assert f"{span!r} is not START:STOP" in usage_line(call("cat", "a.dprompt", span))


@pytest.mark.parametrize(
    ("lines", "first", "last"),
    [("1:1", 1, 1), ("1:2", 1, 2), ("2:3", 2, 3), (":2", 1, 2), ("4:", 4, None), (":", 1, None), ("2:9_9", 2, None)],
)
@pytest.mark.usefixtures("folder")
def test_cat_prints_lines_counted_from_1_with_the_last_one(lines: str, first: int, last: int | None) -> None:
    result = call("cat", "a.dprompt", "--lines", lines)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout_bytes.decode() == "".join(re.findall(r"[^\n]*\n|[^\n]+$", TEXT)[first - 1 : last])


@pytest.mark.parametrize("lines", ["99:", "99:100", "6:7"])
@pytest.mark.usefixtures("folder")
def test_lines_beyond_the_last_are_none(lines: str) -> None:
    result = call("cat", "a.dprompt", "--lines", lines)
    assert result.stdout == ""
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("lines", ["0:3", "-1:", "3:1", "2:0", "-3:-1", "0:", "1:-1"])
@pytest.mark.usefixtures("folder")
def test_lines_that_cannot_be_are_refused(lines: str) -> None:
    assert "lines are counted from 1" in error_line(call("cat", "a.dprompt", "--lines", lines))


@pytest.mark.usefixtures("folder")
def test_the_second_line_is_not_before_the_first() -> None:
    assert "the second is not before the first" in error_line(call("cat", "a.dprompt", "--lines", "3:2"))


@pytest.mark.parametrize("lines", ["5", "a:b", "", "1:2:3"])
@pytest.mark.usefixtures("folder")
def test_lines_that_are_no_range_are_wrong_usage(lines: str) -> None:
    assert "is not A:B" in usage_line(call("cat", "a.dprompt", "--lines", lines))


@pytest.mark.usefixtures("folder")
def test_a_range_and_lines_together_are_refused() -> None:
    result = call("cat", "a.dprompt", "0:5", "--lines", "2:2")
    assert (result.exit_code != 0, result.stdout) == (True, "")


@pytest.mark.parametrize("arguments", [[], ["0:5"], ["--lines", ":"], ["--lines", "1:1"]])
@pytest.mark.usefixtures("folder")
def test_cat_of_an_empty_prompt_prints_nothing(arguments: list[str]) -> None:
    dp.ingest_string("", "b.dprompt")
    result = call("cat", "b.dprompt", *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_cat_prints_bytes_that_were_kept(folder: Path) -> None:
    data = bytes(range(256)) * 20_000
    (folder / "in").write_bytes(data)
    dp.pack("in", "b.dprompt", errors="surrogateescape", shard_size=1000)
    assert run("cat", "b.dprompt").stdout == data


@pytest.mark.usefixtures("folder")
def test_cat_prints_lone_surrogates() -> None:
    dp.ingest_string("a\ud800b", "b.dprompt")
    assert run("cat", "b.dprompt").stdout == b"a\xed\xa0\x80b"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--end", "5"], slice(0, 5)),
        (["--start", "3", "--end", "1_0"], slice(3, 10)),
        (["--start", "-5", "--end", "1_000"], slice(-5, 1000)),
        (["--start", "-5", "--end", "-2"], slice(-5, -2)),
        (["--start", "5", "--end", "3"], slice(5, 3)),
    ],
)
@pytest.mark.usefixtures("folder")
def test_slice_prints_what_a_slice_has(arguments: list[str], expected: slice) -> None:
    result = call("slice", "a.dprompt", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout_bytes == TEXT[expected].encode()


@pytest.mark.parametrize("arguments", [[], ["--start", "1"], ["--end", "x"], ["--start", "x", "--end", "1"]])
@pytest.mark.usefixtures("folder")
def test_slice_needs_whole_numbers(arguments: list[str]) -> None:
    assert usage_line(call("slice", "a.dprompt", *arguments))


# find


def hits(result: Result) -> list[tuple[int, int]]:
    """Offset and line of each match."""
    return [(int(line.split(":")[0]), int(line.split(":")[1])) for line in result.stdout.splitlines()]


@pytest.mark.usefixtures("folder")
def test_find_prints_offset_line_and_an_excerpt() -> None:
    result = call("find", "a.dprompt", "needle")
    assert (result.exit_code, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()
    assert first.startswith("6:1:first needle\\nsecond\\r\\n日本")
    assert second.startswith(f"{TEXT.rindex('needle')}:3:")
    assert "日本 needle 😀" in second


@pytest.mark.parametrize(
    ("options", "offsets"),
    [
        ([], [6, 24]),
        (["-i"], [6, 24, 34]),
        (["--ignore-case"], [6, 24, 34]),
        (["-m", "1"], [6]),
        (["--max-count", "1_0"], [6, 24]),
        (["-i", "-m", "2"], [6, 24]),
    ],
)
@pytest.mark.usefixtures("folder")
def test_the_options_of_find_do_what_they_say(options: list[str], offsets: list[int]) -> None:
    assert [match.start() for match in re.finditer("needle", TEXT)] == [6, 24]
    result = call("find", *options, "a.dprompt", "needle")
    assert (result.exit_code, result.stderr) == (0, "")
    assert hits(result) == [(offset, TEXT.count("\n", 0, offset) + 1) for offset in offsets]
    counted = call("find", "a.dprompt", "needle", "-c", *options)
    assert (counted.exit_code, counted.stdout, counted.stderr) == (0, f"{len(offsets)}\n", "")


@pytest.mark.parametrize("options", [[], ["-c"], ["-i"], ["-m", "3"], ["-c", "-i", "-m", "3"]])
@pytest.mark.usefixtures("folder")
def test_what_is_not_found_exits_with_1(options: list[str]) -> None:
    result = call("find", "a.dprompt", "nothing of this kind", *options)
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout == ("0\n" if "-c" in options else "")


@pytest.mark.parametrize("needle", ["first", "end", TEXT, TEXT[:30], TEXT[-30:], "f", "d", "日", "😀", "\r\n", "\n\n"])
@pytest.mark.usefixtures("folder")
def test_needles_at_the_borders_are_found(needle: str) -> None:
    expected = [match.start() for match in re.finditer(re.escape(needle), TEXT)]
    assert [offset for offset, _ in hits(call("find", "a.dprompt", needle))] == expected
    assert call("find", "a.dprompt", needle, "-c").stdout == f"{len(expected)}\n"


@pytest.mark.parametrize("text", ["needle", "\nneedle\n", "needleneedle", "x" * 6 + "needle", "needle" + "x" * 7])
@pytest.mark.usefixtures("folder")
def test_a_text_of_little_but_the_needle_is_searched(text: str) -> None:
    dp.ingest_string(text, "b.dprompt", 7)
    expected = [(match.start(), text.count("\n", 0, match.start()) + 1) for match in re.finditer("needle", text)]
    assert hits(call("find", "b.dprompt", "needle")) == expected


@pytest.mark.parametrize("needle", ["-x", "--count", "-c", "--", "-"])
@pytest.mark.usefixtures("folder")
def test_a_needle_may_begin_with_a_hyphen(needle: str) -> None:
    dp.ingest_string(f"a {needle} b", "b.dprompt")
    assert hits(call("find", "b.dprompt", "--", needle)) == [(2, 1)]
    assert hits(call("find", "--", "b.dprompt", needle))[0] == (2, 1)


@pytest.mark.parametrize("options", [[], ["-c"], ["-i"], ["-m", "2"]])
@pytest.mark.parametrize("pack", ["a.dprompt", "b.dprompt"])
@pytest.mark.usefixtures("folder")
def test_an_empty_needle_is_an_error_that_a_user_of_the_command_understands(pack: str, options: list[str]) -> None:
    dp.ingest_string("", "b.dprompt")
    line = error_line(call("find", pack, "", *options), 2)
    assert "empty" in line
    assert "()" not in line


@pytest.mark.parametrize("count", ["0", "-1"])
@pytest.mark.usefixtures("folder")
def test_find_prints_at_least_one_match(count: str) -> None:
    assert error_line(call("find", "a.dprompt", "needle", "-m", count), 2).startswith(f"--max-count {count}: ")


@pytest.mark.usefixtures("folder")
def test_a_number_of_matches_is_a_number() -> None:
    assert "'few' is not a whole number" in usage_line(call("find", "a.dprompt", "needle", "-m", "few"))


@pytest.mark.parametrize("options", [[], ["-i"]])
@pytest.mark.usefixtures("folder")
def test_excerpts_do_nothing_to_a_terminal(options: list[str]) -> None:
    controls = "\x1b[31m\x07\r\n\x85\u2028\u2029\u202e\u200b\x00\x7f\x9b\ud800\udc80\ufeff\t"
    dp.ingest_string(f"{controls}needle{controls}" * 3, "b.dprompt", 5)
    done = run("find", "b.dprompt", "needle", *options)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().split("\n")
    assert lines.pop() == ""
    assert len(lines) == 3
    assert all(line.isprintable() and "needle" in line for line in lines)


@pytest.mark.parametrize("text", ["x" * 10_000 + "needle" + "y" * 10_000, "needle" * 1000])
@pytest.mark.usefixtures("folder")
def test_excerpts_are_short(text: str) -> None:
    dp.ingest_string(text, "b.dprompt")
    for needle in ("needle", text[:20_000]):
        assert max(map(len, call("find", "b.dprompt", needle).stdout.splitlines())) < 200


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.usefixtures("folder")
def test_excerpts_are_printed_where_the_terminal_has_few_characters(encoding: str) -> None:
    done = run("find", "a.dprompt", "needle", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"6:1:first needle")
    assert done.stdout.count(b"\n") == 2


@pytest.mark.usefixtures("folder")
def test_a_needle_that_is_no_text_is_found_as_its_bytes() -> None:
    Path("in").write_bytes(b"caf\xe9 x")
    dp.pack("in", "b.dprompt", errors="surrogateescape")
    done = run("find", "b.dprompt", b"\xe9 x")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"3:1:")


# unpack and verify


@pytest.mark.usefixtures("folder")
def test_unpack_gives_the_bytes_back() -> None:
    result = call("unpack", "a.dprompt", "-o", "copy")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"copy: {len(TEXT.encode())} bytes\n"
    assert Path("copy").read_bytes() == TEXT.encode()


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (bytes(range(256)) * 9000, {"errors": "surrogateescape"}),
        ("日本\r\n".encode("utf-16") * 1, {"encoding": "utf-16"}),
        (bytes(range(256)), {"encoding": "latin-1"}),
        (b"", {}),
    ],
)
def test_unpack_to_standard_output_is_exact(folder: Path, data: bytes, options: dict[str, str]) -> None:
    (folder / "in").write_bytes(data)
    dp.pack("in", "b.dprompt", overwrite=False, progress=None, **options)  # type: ignore[arg-type]
    done = run("unpack", "b.dprompt", "-o", "-")
    assert (done.returncode, done.stdout) == (0, data)
    assert not (folder / "-").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "a.txt"], "a.txt: exists; choose another name, or overwrite it with --force"),
        (["-o", "."], ".: has 'a.dprompt' in it"),
        (["-o", "missing/copy"], "missing/copy: its folder does not exist"),
        (["-o", "a.dprompt", "--force"], "a.dprompt: is the pack"),
        (["-o", "x" * 300], "x"),
    ],
)
def test_what_unpack_refuses_is_one_line_and_leaves_nothing_behind(
    folder: Path, arguments: list[str], message: str
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert error_line(call("unpack", "a.dprompt", *arguments)).startswith(message)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.usefixtures("folder")
def test_unpack_replaces_with_force() -> None:
    assert call("unpack", "a.dprompt", "-o", "a.txt", "--force").exit_code == 0
    assert Path("a.txt").read_bytes() == TEXT.encode()


@pytest.mark.parametrize("output", ["copy", "-"])
@pytest.mark.usefixtures("folder")
def test_unpack_refuses_what_is_not_exact_unless_told(output: str) -> None:
    dp.pack("a.txt", "b.dprompt", newlines="universal")
    assert "--lossy" in error_line(call("unpack", "b.dprompt", "-o", output))
    assert not Path("copy").exists()
    result = call("unpack", "b.dprompt", "-o", output, "--lossy")
    written = result.stdout_bytes if output == "-" else Path("copy").read_bytes()
    assert (result.exit_code, written) == (0, TEXT.replace("\r\n", "\n").encode())


def test_unpack_to_a_name_with_controls_prints_one_line(folder: Path) -> None:
    done = run("unpack", "a.dprompt", "-o", "copy\nof\x1bit")
    assert done.returncode == 0
    assert done.stderr.count(b"\n") == 1
    assert (folder / "copy\nof\x1bit").read_bytes() == TEXT.encode()


@pytest.mark.usefixtures("folder")
def test_verify_says_that_a_pack_is_sound() -> None:
    result = call("verify", "a.dprompt")
    assert (result.exit_code, result.stderr) == (0, "")
    shards = -(-len(TEXT) // 7)
    assert result.stdout == f"{Path('a.dprompt').absolute()}: sound; {shards} shards checked\n"


@pytest.mark.usefixtures("folder")
def test_verify_lists_what_is_wrong_and_exits_with_1() -> None:
    path = Path("a.dprompt").absolute()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM shards WHERE key = 1")
    result = call("verify", "a.dprompt")
    assert result.exit_code == 1
    assert result.stdout == f"{path}: shard 1: missing\n"
    assert re.fullmatch(rf"dprompt: {re.escape(str(path))}: 1 problems? found\n", result.stderr)
    assert "1 problems" not in result.stderr


# Pipes, disks, terminals, signals


@pytest.mark.parametrize(
    "command",
    ["cat", "unpack -o -", "find keyword", "slice --end 25000000", "cat --lines 2:"],
)
def test_a_closed_pipe_ends_quietly(big_pack: Path, command: str) -> None:
    name, *options = command.split()
    script = f'"$0" -m distributed_prompt {name} "$1" {" ".join(options)} | head -1 >/dev/null'
    done = shell(script + '; exit "${PIPESTATUS[0]}"', big_pack)
    assert done.stderr == ""
    assert done.returncode in {0, 141}


@pytest.mark.parametrize("command", ["info", "info --json", "verify", "cat", "find keyword -m 1", "unpack -o -"])
def test_a_pipe_that_nobody_reads_ends_quietly(folder: Path, command: str) -> None:
    name, *options = command.split()
    dp.ingest_string("keyword", "k.dprompt")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*COMMAND, name, "k.dprompt", *options], stdout=writer, stderr=subprocess.PIPE, check=False, cwd=folder
        )
    finally:
        os.close(writer)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    "command", ["info", "info --json", "verify", "cat", "find needle", "find needle -c", "unpack -o -"]
)
@pytest.mark.usefixtures("folder")
def test_a_full_disk_behind_standard_output_is_one_line(command: str) -> None:
    name, *options = command.split()
    done = shell(f'"$0" -m distributed_prompt {name} a.dprompt {" ".join(options)} >/dev/full')
    assert done.returncode == (2 if name == "find" else 1)
    assert done.stderr.startswith("dprompt: ")
    assert "No space left" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["info", "verify", "cat", "find needle", "unpack -o -"])
@pytest.mark.usefixtures("folder")
def test_a_closed_standard_output_gives_no_traceback(command: str) -> None:
    name, *options = command.split()
    done = shell(f'"$0" -m distributed_prompt {name} a.dprompt {" ".join(options)} >&-')
    assert "Traceback" not in done.stderr


def test_no_bar_is_shown_where_there_is_no_terminal(big_file: Path, big_pack: Path, tmp_path: Path) -> None:
    output, copy = str(tmp_path / "b.dprompt"), str(tmp_path / "copy")
    assert run("pack", str(big_file), "-o", output).stderr == b""
    assert run("verify", str(big_pack)).stderr == b""
    assert run("unpack", str(big_pack), "-o", copy).stderr == f"{copy}: {big_file.stat().st_size:,} bytes\n".encode()


def on_terminal(*arguments: str) -> tuple[int, str]:
    """Run with standard error on a terminal: exit code, and what that got."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 100, 0, 0))
    shown = b""
    with subprocess.Popen(
        [*COMMAND, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs
    ) as process:
        os.close(theirs)
        while True:
            try:
                block = os.read(ours, 65536)
            except OSError:  # how Linux says that the terminal has been closed
                break
            if not block:
                break
            shown += block
    os.close(ours)
    return process.returncode, shown.decode()


def test_a_bar_is_shown_on_a_terminal_and_cleared(big_file: Path, big_pack: Path, tmp_path: Path) -> None:
    output, copy = str(tmp_path / "b.dprompt"), str(tmp_path / "copy")
    for name, arguments in (
        ("pack", [str(big_file), "-o", output, "--level", "9"]),
        ("ingest", [str(big_file), "-o", output]),
        ("unpack", [str(big_pack), "-o", copy]),
        ("verify", [str(big_pack)]),
    ):
        code, shown = on_terminal(name, *arguments)
        assert code == 0
        assert shown.startswith(f"\r{name}: ")
        assert "%|" in shown or name != "pack"
        after = re.split(r"\r +\r", shown)[-1]
        assert after == (f"{copy}: {big_file.stat().st_size:,} bytes\r\n" if name == "unpack" else "")


def test_an_error_on_a_terminal_is_a_line_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"a" * 100 + b"\xff")
    code, shown = on_terminal("pack", str(tmp_path / "bad.txt"), "-o", str(tmp_path / "b.dprompt"))
    assert code == 1
    lines = [line.rpartition("\r")[2] for line in shown.replace("\r\n", "\n").splitlines()]
    assert lines[-1].startswith(f"dprompt: {tmp_path}/bad.txt: byte 100: ")


def heed_interrupts() -> None:
    """In the child: what a shell starts in the background, these tests included, ignores them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("delay", [0, 0.05, 0.2, 0.5])
def test_an_interrupt_ends_a_pack_without_a_trace(big_file: Path, tmp_path: Path, delay: float) -> None:
    command = [*COMMAND, "pack", str(big_file), "-o", "b.dprompt", "--level", "19"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_interrupts
    ) as process:
        while not (tmp_path / ".b.dprompt.partial").exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        try:
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode in {1, 130}
    assert stdout == b""
    assert b"Traceback" not in stderr
    assert stderr.strip().count(b"\n") == 0
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_ends_the_wait_for_standard_input(tmp_path: Path) -> None:
    command = [*COMMAND, "pack", "-", "-o", "b.dprompt"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,
    ) as process:
        while not (tmp_path / ".b.dprompt.partial").exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        stderr = process.stderr.read() if process.stderr else b""
    assert process.returncode in {1, 130}
    assert b"Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


# The original project's quick start, word for word


def test_the_quick_start_of_the_original_project_works(
    big_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(big_file, "mega_prompt.md")
    text = big_file.read_text(encoding="utf-8")
    done = run("ingest", "mega_prompt.md", "--output", "./shards/", "--shard-size", "10_000_000")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"25,000,000 characters in 3 shards of 10,000,000" in done.stdout
    done = run("info", "./shards/")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"25,000,000" in done.stdout
    assert b"3, of 10,000,000 characters" in done.stdout

    from distributed_prompt import DistributedPrompt, FileBackend  # noqa: PLC0415  # word for word

    prompt = DistributedPrompt(FileBackend("./shards/"))
    assert prompt[10_000_000 : 10_000_000 + 1000] == text[10_000_000 : 10_000_000 + 1000]
    assert type(prompt[10_000_000 : 10_000_000 + 1000]) is str
    assert len(prompt) == 25_000_000
    assert "25" in repr(prompt)
    assert len(repr(prompt)) < 300
    assert "keyword" in prompt
    assert "no such keyword" not in prompt
    assert prompt.find("needle") == text.find("needle") == 20_000_000
    prompt.close()


# Many documents


FILES = {
    "t/a.md": b"first needle\nsecond\n",
    "t/b.txt": "日本 needle".encode(),
    "t/empty": b"",
    "t/sub/c.md": b"NEEDLE\nx\n\nneedle needle\n",
}
ESCAPES = "\x1b[31mred\n\x07"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a folder of files and a pack of it with headers."""
    monkeypatch.chdir(tmp_path)
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    dp.pack("t", "t.dprompt", header="== {name}", shard_size=7)
    return tmp_path


def tree_of(folder: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()
    }


def text_of(pack: str) -> str:
    with dp.open(pack) as prompt:
        return str(prompt)


def headed(files: dict[str, bytes], header: str = "== {name}") -> str:
    text = ""
    for name, data in files.items():
        text += "" if not text or text.endswith("\n") else "\n"
        text += header.replace("{name}", name) + "\n" + data.decode()
    return text


def listed(pack: str, *options: str) -> list[str]:
    result = call("ls", pack, *options)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_several_paths_are_packed_in_the_order_of_their_names(tree: Path) -> None:
    (tree / "z.txt").write_bytes(b"last")
    (tree / "b").write_bytes(b"begin\n")
    result = call("pack", "z.txt", "t", "b", "-o", "out")
    length = sum(len(data.decode()) for data in FILES.values()) + 10
    size = (tree / "out").stat().st_size
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{tree}/out: {length} characters in 1 shard of 131,072; 6 documents, "
        f"{sum(map(len, FILES.values())) + 10} bytes became {size:,}\n"
    )
    assert text_of("out") == "begin\n" + "".join(data.decode() for data in FILES.values()) + "last"
    assert listed("out") == ["b", *FILES, "z.txt"]


@pytest.mark.usefixtures("tree")
def test_standard_input_is_a_document_among_others() -> None:
    assert call("pack", "t", "-", "-o", "out", data=b"piped").exit_code == 0
    assert listed("out") == ["stdin", *FILES]
    assert call("cat", "out", "--document", "stdin").stdout == "piped"


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize("header", ["== {name}", "{name}", "", "a\nb {name} {x}"])
def test_a_header_is_put_before_each_document(header: str) -> None:
    assert call("pack", "t", "-o", "out", "--header", header).exit_code == 0
    assert text_of("out") == headed(FILES, header)


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--include", "*.md"], ["t/a.md", "t/sub/c.md"]),
        (["--include", "*.md", "--include", "*.txt"], ["t/a.md", "t/b.txt", "t/sub/c.md"]),
        (["--exclude", "sub"], ["t/a.md", "t/b.txt", "t/empty"]),
        (["--exclude", "*.md", "--exclude", "empty"], ["t/b.txt"]),
        (["--include", "t/sub"], ["t/sub/c.md"]),
        (["--include", "*.md", "--exclude", "t/sub/"], ["t/a.md"]),
    ],
)
def test_include_and_exclude_select_documents(options: list[str], names: list[str]) -> None:
    assert call("pack", "t", "-o", "out", *options).exit_code == 0
    assert listed("out") == names
    dp.ingest_string("before", "grown")
    assert call("append", "grown", "t", *options).exit_code == 0
    assert listed("grown") == ["string", *names]


def test_what_is_left_out_is_said_by_its_reason(tree: Path) -> None:
    (tree / "t" / "bad").write_bytes(b"caf\xe9")
    (tree / "t" / "link").symlink_to("a.md")
    os.mkfifo(tree / "t" / "pipe")
    result = call("pack", "t", "-o", "out")
    assert result.exit_code == 0
    assert result.stderr == (
        "dprompt: left out, device, pipe or socket: 1\n"
        "  t/pipe\n"
        "dprompt: left out, not utf-8: 1\n"
        "  t/bad (byte 3: 0xe9 is not utf-8 (unexpected end of data))\n"
        "dprompt: left out, symbolic link: 1\n"
        "  t/link\n"
    )
    assert listed("out") == [*FILES]


@pytest.mark.parametrize("verbose", [[], ["--verbose"], ["-v"]])
@pytest.mark.parametrize("count", [10, 11, 25])
def test_ten_of_what_is_left_out_are_named_and_all_with_verbose(tree: Path, count: int, verbose: list[str]) -> None:
    for number in range(count):
        (tree / "t" / f"bad{number:03}").write_bytes(b"\xff")
    result = call("pack", "t", "-o", "out", *verbose)
    lines = result.stderr.splitlines()
    assert lines[0] == f"dprompt: left out, not utf-8: {count}"
    shown = count if verbose else 10
    assert [line.split()[0] for line in lines[1 : shown + 1]] == [f"t/bad{number:03}" for number in range(shown)]
    rest = f"  … and {count - 10} more; --verbose names all of them"
    assert lines[shown + 1 :] == ([rest] if count > shown else [])


def test_what_is_no_text_is_kept_where_asked_for(tree: Path) -> None:
    (tree / "t" / "bad").write_bytes(b"caf\xe9")
    result = call("pack", "t", "-o", "out", "--keep-undecodable")
    assert (result.exit_code, result.stderr) == (0, "")
    assert listed("out") == sorted([*FILES, "t/bad"])
    assert run("cat", "out", "--document", "t/bad").stdout == b"caf\xe9"
    assert call("unpack", "out", "-o", "copy").exit_code == 0
    assert tree_of("copy") == {**FILES, "t/bad": b"caf\xe9"}


@pytest.mark.usefixtures("tree")
def test_ls_lists_names_and_long_where_each_begins() -> None:
    text = headed(FILES)
    assert listed("t.dprompt") == [*FILES]
    for option in ("-l", "--long"):
        rows = [line.split() for line in listed("t.dprompt", option)]
        assert [row[3] for row in rows] == [*FILES]
        for start, characters, size, name in rows:
            assert text[int(start) :][: int(characters)].encode() == FILES[name]
            assert int(size) == len(FILES[name])


@pytest.mark.usefixtures("tree")
def test_ls_as_json_is_an_object_a_line_with_every_fact() -> None:
    with dp.open("t.dprompt") as prompt:
        records = [json.loads(line) for line in listed("t.dprompt", "--json")]
        assert records == [
            {key: getattr(document, key) for key in record}
            for record, document in zip(records, prompt.documents.records(), strict=True)
        ]
    assert [set(record) for record in records] == [
        {"name", "start", "stop", "encoding", "errors", "newlines", "source_bytes", "sha256", "exact"}
    ] * len(FILES)


@pytest.mark.usefixtures("tree")
def test_ls_says_which_documents_do_not_come_back() -> None:
    Path("t/crlf").write_bytes(b"a\r\n")
    dp.pack("t", "out", newlines="universal")
    assert [line.split()[3] for line in listed("out", "-l") if line.endswith("  (inexact)")] == ["t/crlf"]


@pytest.mark.parametrize("options", [[], ["-l"], ["--json"]])
@pytest.mark.usefixtures("tree")
def test_ls_of_a_pack_without_documents_prints_nothing(options: list[str]) -> None:
    Path("none").touch()
    write_text(create_store("sqlite", str(Path("none").absolute()), "none"), "text", 7, 3)
    assert listed("none", *options) == []
    assert call("cat", "none").stdout == "text"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.usefixtures("tree")
def test_cat_prints_one_document(name: str) -> None:
    result = call("cat", "t.dprompt", "--document", name)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout_bytes == FILES[name]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("span", "expected"), RANGES)
@pytest.mark.usefixtures("tree")
def test_a_range_counts_from_the_beginning_of_the_document(name: str, span: str, expected: slice) -> None:
    result = call("cat", "t.dprompt", span, "--document", name)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout_bytes.decode() == FILES[name].decode()[expected]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("lines", "first", "last"), [("1:1", 1, 1), ("2:3", 2, 3), (":2", 1, 2), ("2:", 2, None), (":", 1, None)]
)
@pytest.mark.usefixtures("tree")
def test_lines_count_from_the_beginning_of_the_document(name: str, lines: str, first: int, last: int | None) -> None:
    result = call("cat", "t.dprompt", "--document", name, "--lines", lines)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout_bytes == b"".join(re.findall(rb"[^\n]*\n|[^\n]+$", FILES[name])[first - 1 : last])


@pytest.mark.parametrize("name", ["missing", "", "t", "t/", "t/A.md", "== t/a.md", ESCAPES])
@pytest.mark.usefixtures("tree")
def test_a_document_that_is_not_there_is_one_line(name: str) -> None:
    line = error_line(call("cat", "t.dprompt", "--document", name))
    assert line.startswith("document '")
    assert "dprompt ls" in line
    assert line.isprintable()


@pytest.mark.usefixtures("tree")
def test_find_names_documents_and_counts_their_lines() -> None:
    result = call("find", "t.dprompt", "needle", "-i")
    assert (result.exit_code, result.stderr) == (0, "")
    text = headed(FILES)
    offsets = [match.start() for match in re.finditer("needle", text, re.IGNORECASE)]
    rows = [line.split(":", 3) for line in result.stdout.splitlines()]
    assert [int(row[0]) for row in rows] == offsets
    assert [(row[1], row[2]) for row in rows] == [
        ("t/a.md", "1"),
        ("t/b.txt", "1"),
        ("t/sub/c.md", "1"),
        ("t/sub/c.md", "4"),
        ("t/sub/c.md", "4"),
    ]


@pytest.mark.usefixtures("tree")
def test_find_in_a_header_names_no_document() -> None:
    result = call("find", "t.dprompt", "== t/sub")
    offset = headed(FILES).index("== t/sub")
    assert result.stdout.startswith(f"{offset}::{headed(FILES).count(chr(10), 0, offset) + 1}:")


@pytest.mark.usefixtures("tree")
def test_find_counts_lines_of_documents_that_begin_within_one() -> None:
    for name, data in (("1", b"x\nx"), ("2", b"y needle\nneedle"), ("3", b"needle")):
        Path(f"t/{name}").write_bytes(data)
    dp.pack(["t/1", "t/2", "t/3"], "out")
    rows = [line.split(":")[:3] for line in call("find", "out", "needle").stdout.splitlines()]
    assert rows == [["5", "2", "1"], ["12", "2", "2"], ["18", "3", "1"]]


@pytest.mark.usefixtures("tree")
def test_find_in_a_single_document_names_none() -> None:
    dp.pack("t/a.md", "out")
    assert hits(call("find", "out", "needle")) == [(6, 1)]


@pytest.mark.parametrize("output", ["copy", "copy/", "empty"])
@pytest.mark.usefixtures("tree")
def test_unpack_gives_a_folder_back(output: str) -> None:
    Path("empty").mkdir()
    result = call("unpack", "t.dprompt", "-o", output)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{output}: {sum(map(len, FILES.values()))} bytes\n"
    assert tree_of(output) == FILES


@pytest.mark.parametrize("store", ["sqlite", "lmdb"])
@pytest.mark.usefixtures("tree")
def test_a_pack_is_converted_to_another_engine_and_back(store: str) -> None:
    with dp.FileBackend("t.dprompt") as backend:
        digest = backend.pack.metadata.root_digest
    for source, target, engine in (("t.dprompt", "other", store), ("other", "back", "sqlite")):
        result = call("convert", source, "-o", target, "--store", engine)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == f"{target}: {engine}, root digest {digest}\n"
        assert json.loads(call("info", target, "--json").stdout)["store"] == engine
        assert text_of(target) == headed(FILES)
        assert listed(target) == [*FILES]
        assert call("verify", target).exit_code == 0
    assert Path("back").read_bytes() == Path("t.dprompt").read_bytes()


@pytest.mark.parametrize("store", ["sqlite", "lmdb"])
def test_append_puts_documents_behind(tree: Path, store: str) -> None:
    dp.pack("t", "p", header="== {name}", shard_size=7, store=store)
    (tree / "u").mkdir()
    (tree / "u" / "x").write_bytes("後 needle".encode())
    (tree / "u" / "bad").write_bytes(b"\xff")
    (tree / "more").write_bytes(b"more\n")
    result = call("append", "p", "u", "more")
    assert result.exit_code == 0
    assert "2 documents" in result.stdout
    assert result.stderr.startswith("dprompt: left out, not utf-8: 1\n  u/bad (byte 0: ")
    expected = {**FILES, "more": b"more\n", "u/x": "後 needle".encode()}
    assert text_of("p") == headed(expected)
    assert listed("p") == [*expected]
    assert call("verify", "p").exit_code == 0
    assert call("unpack", "p", "-o", "copy").exit_code == 0
    assert tree_of("copy") == dict(sorted(expected.items()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pack", "t", "missing", "-o", "out"], "missing: no such file"),
        (["pack", "t", "t", "-o", "out"], "document 't/a.md': "),
        (["pack", "t/a.md", "t/sub/../a.md", "-o", "out"], "document 'a.md': "),
        (["pack", "-", "-", "-o", "out"], "standard input can be read but once"),
        (["pack", "t", "-o", "out", "--include", ""], "include '': matches no name; names begin with "),
        (["pack", "t", "-o", "out", "--exclude", "/"], "exclude '/': matches no name; names begin with "),
        (["pack", "t", "-o", "out", "--include", "/t/*"], "include '/t/*': matches no name; names begin with "),
        (["pack", "t", "-o", "out", "--header", "\udcff"], "header '\\udcff': has lone surrogates"),
        (["pack", "t/a.md", "t/sub", "t/sub/../a.md", "-o", "out"], "document 'a.md': both "),
        (["pack", "t", "-o", "out", "--include", "*.py"], "no document found in the input"),
        (
            ["pack", "t", "-o", "out", "--encoding", "utf-32", "--include", "*.md"],
            "no document found in the input; 2 were ",
        ),
        (["pack", "t", "-o", "t"], "t: is a folder"),
        (["pack", "t", "-o", "t.dprompt"], "t.dprompt: exists"),
        (["pack", "t", "-o", "t/a.md/out"], "t/a.md/out: "),
        (["append", "missing", "t"], "missing: no such file"),
        (["append", "t.dprompt", "missing"], "missing: no such file"),
        (["append", "t.dprompt", "t"], "t.dprompt: has a document 't/a.md' already"),
        (["append", "t.dprompt", "t.dprompt"], "t.dprompt: is the pack itself"),
        (["append", "t/a.md", "t"], "t/a.md: not a pack"),
        (["append", "t", "t"], "t: a folder without prompt.dprompt"),
        (["append", "t.dprompt", "t", "--encoding", "klingon"], "encoding 'klingon'"),
        (["append", "t.dprompt", "t", "--include", "*.py"], "no document found in the input"),
        (["convert", "missing", "-o", "out"], "missing: no such file"),
        (["convert", "t.dprompt", "-o", "t.dprompt"], "t.dprompt: "),
        (["convert", "t.dprompt", "-o", "t.dprompt", "--force"], "t.dprompt: is the pack itself"),
        (["convert", "t.dprompt", "-o", "t"], "t: is a folder"),
        (["convert", "t.dprompt", "-o", "missing/out"], "missing/out: its folder does not exist"),
        (["convert", "t/a.md", "-o", "out"], "t/a.md: not a pack"),
        (["unpack", "t.dprompt", "-o", "t"], "t: has "),
        (["unpack", "t.dprompt", "-o", "t/a.md"], "t/a.md: is a file"),
        (["unpack", "t.dprompt", "-o", "t/a.md", "--force"], "t/a.md: is a file"),
        (["unpack", "t.dprompt", "-o", "t.dprompt", "--force"], "t.dprompt: is a file"),
        (["unpack", "t.dprompt", "-o", "missing/copy"], "missing/copy: its folder does not exist"),
        (["unpack", "t.dprompt", "-o", "t/a.md/copy"], "t/a.md/copy: "),
        (["unpack", "t.dprompt", "-o", "x" * 300], "x"),
        (["unpack", "t.dprompt", "-o", "-"], "4 documents do not fit into "),
        (["ls", "missing"], "missing: no such file"),
        (["ls", "t/a.md"], "t/a.md: not a pack"),
        (["ls", "t"], "t: a folder without prompt.dprompt"),
    ],
)
def test_what_is_refused_of_many_documents_is_one_line_and_leaves_nothing_behind(
    tree: Path, arguments: list[str], message: str
) -> None:
    before = {str(path): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    line = error_line(call(*arguments)).replace(f"{tree}/", "")
    assert line.removeprefix("t.dprompt: " if message.startswith("4 ") else "").startswith(message)
    assert line.isprintable()
    assert {str(path): path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["pack", "t"],
        ["pack", "-o", "out"],
        ["append", "t.dprompt"],
        ["append"],
        ["append", "t.dprompt", "t", "--header", "x"],
        ["append", "t.dprompt", "t", "-s", "3"],
        ["convert", "t.dprompt"],
        ["convert", "t.dprompt", "-o", "out", "--store", "oracle"],
        ["ls"],
        ["ls", "t.dprompt", "more"],
        ["cat", "t.dprompt", "1:2", "--lines", "1:2", "--document", "t/a.md"],
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("tree")
def test_wrong_usage_of_commands_for_many_documents_exits_with_2(arguments: list[str]) -> None:
    assert usage_line(call(*arguments))
    assert not Path("out").exists()


def test_names_do_nothing_to_a_terminal(tree: Path) -> None:
    (tree / "t" / ESCAPES).write_bytes(b"needle\n")
    (tree / "t" / "bad\x1b[32m\n").write_bytes(b"\xff")
    (tree / "t" / os.fsdecode(b"caf\xe9\x1b")).write_bytes(b"needle\n")
    packed = run("pack", "t", "-o", "out", "--header", "{name}", "-v")
    outputs = [
        packed,
        run("ls", "out"),
        run("ls", "out", "-l"),
        run("ls", "out", "--json"),
        run("find", "out", "needle"),
        run("cat", "out", "--document", f"missing{ESCAPES}"),
        run("pack", "t", "t", "-o", "again", "--include", "*red*"),
        run("append", "out", "t", "--include", "*red*"),
        run("unpack", "out", "-o", f"copy{ESCAPES}"),
        run("convert", "out", "-o", f"new{ESCAPES}"),
    ]
    for number, done in enumerate(outputs):
        assert done.returncode == (1 if number in {5, 6, 7} else 0)
        assert b"Traceback" not in done.stderr
        assert all(line.isprintable() for line in (done.stdout + done.stderr).decode().split("\n"))
    assert packed.stderr.decode().splitlines()[1].startswith("  t/bad\\x1b[32m\\n (byte 0: ")
    assert outputs[1].stdout.decode().splitlines() == [
        "t/\\x1b[31mred\\n\\x07",
        *list(FILES)[:2],
        "t/caf\\udce9\\x1b",
        *list(FILES)[2:],
    ]
    # The text has the names escaped as well, and what is unpacked has its own names.
    assert "\x1b" not in text_of("out")
    assert tree_of(f"copy{ESCAPES}")[f"t/{ESCAPES}"] == b"needle\n"


def test_a_document_is_named_on_the_command_line_by_its_very_bytes(tree: Path) -> None:
    name = b"t/caf\xe9\n"
    Path(os.fsdecode(name)).write_bytes(b"found")
    assert run("pack", "t", "-o", "out").returncode == 0
    done = run("cat", "out", "--document", name)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"found", b"")
    assert tree.is_dir()


def test_a_bar_is_shown_for_a_folder_on_a_terminal_and_cleared(tree: Path) -> None:
    for arguments in (
        ["pack", "t", "-o", "b"],
        ["append", "b", "t.dprompt", "--keep-undecodable"],
        ["convert", "b", "-o", "c"],
    ):
        code, shown = on_terminal(*arguments)
        assert (code, "Traceback" in shown) == (0, False)
        assert re.split(r"\r +\r", shown)[-1] == ""
    assert tree.is_dir()


@pytest.mark.parametrize("command", ["ls", "ls -l", "ls --json"])
@pytest.mark.usefixtures("tree")
def test_ls_ends_quietly_on_a_closed_pipe_and_with_one_line_on_a_full_disk(command: str) -> None:
    name, *options = command.split()
    script = f'"$0" -m distributed_prompt {name} t.dprompt {" ".join(options)}'
    done = shell(script + " >/dev/full")
    assert (done.returncode, done.stderr) == (1, "dprompt: standard output: No space left on device\n")
    done = shell(script + ' | true; exit "${PIPESTATUS[0]}"')
    assert (done.stderr, done.returncode in {0, 141}) == ("", True)
    assert "Traceback" not in shell(script + " >&-").stderr
