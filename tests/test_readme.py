import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from distributed_prompt.cli import main
from tools.method_table import BEGIN, END, table
from tools.s3_server import BUCKET, start_ministack

pytestmark = pytest.mark.thorough
README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTIONS = doctest.ELLIPSIS


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What `make s3-server` gives: a server with an empty bucket, and the environment that leads to it."""
    with start_ministack(tmp_path / "server") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        server.client().create_bucket(Bucket=BUCKET)
        yield BUCKET


@pytest.fixture
def clean_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where `dprompt` and `python3` are the ones under test, and nothing else lies."""
    commands = tmp_path / "commands"
    commands.mkdir()
    for name, target in (("dprompt", "-m distributed_prompt"), ("python3", "")):
        script = commands / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {target} "$@"\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "clean"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def expected_transcript(block: str) -> list[tuple[str, str]]:
    commands: list[tuple[str, str]] = []
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            commands.append((line[2:].strip(), ""))
        else:
            command, output = commands[-1]
            commands[-1] = command, output + line
    return commands


@pytest.mark.usefixtures("bucket")
def test_every_block_of_the_readme_does_what_it_shows(clean_folder: Path) -> None:
    checker, runner = doctest.OutputChecker(), doctest.DocTestRunner(optionflags=OPTIONS)
    parser = doctest.DocTestParser()
    names: dict[str, object] = {}
    kinds = []
    for number, (kind, block) in enumerate(BLOCK.findall(README.read_text(encoding="utf-8"))):
        kinds.append(kind)
        if kind == "python":
            test = parser.get_doctest(block, names, f"block {number}", str(README), 0)
            shown: list[str] = []
            assert runner.run(test, out=shown.append, clear_globs=False).failed == 0, "".join(shown)
            names = test.globs
            continue
        for command, expected in expected_transcript(block):
            done = subprocess.run(
                ["/bin/sh", "-c", command], cwd=clean_folder, text=True, capture_output=True, check=False, timeout=120
            )
            found = (done.stdout + done.stderr).rstrip("\n") + "\n"
            wanted = expected.replace("…", "...") or "\n"
            assert checker.check_output(wanted, found, OPTIONS), f"$ {command}\n{found}\n-- expected\n{expected}"
    assert {"console", "python"} == set(kinds)


def test_the_readme_lists_every_command() -> None:
    text = README.read_text(encoding="utf-8")
    assert [name for name in main.commands if f"| `{name} " not in text] == []


def test_the_table_of_methods_is_what_the_methods_do_and_say() -> None:
    _, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    shown, end, _ = rest.partition(END)
    assert end
    assert shown == table(), "make methods writes it anew"
