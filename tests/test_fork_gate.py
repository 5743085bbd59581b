"""What no fork interrupts."""

import ast
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import distributed_prompt
from distributed_prompt.fork_gate import ForkGate, importing

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
PACKAGE = Path(distributed_prompt.__file__).parent
SLOW = "import time\ntime.sleep(0.2)\nis_whole = True\n"


@pytest.mark.forks
def test_a_child_forked_in_the_middle_of_an_import_of_ours_can_import_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_to_import.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)

    def work() -> None:
        with importing:
            importlib.import_module("slow_to_import")

    thread = threading.Thread(target=work)
    thread.start()
    while "slow_to_import" not in sys.modules:
        time.sleep(0.001)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        os._exit(not importlib.import_module("slow_to_import").is_whole)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
    del sys.modules["slow_to_import"]


# The first to pack in this process imports what it takes, on its worker threads.
PACKS = """
import os, signal, sys, threading, time
import distributed_prompt as dp

pack = dp.pack
thread = threading.Thread(target=pack, args=("in", "parents"))
thread.start()
while "numpy" not in sys.modules:
    time.sleep(0.0005)
child = os.fork()
if child == 0:
    signal.alarm(20)
    pack("in", "childs")
    os._exit(0)
thread.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_child_forked_while_its_parent_packs_for_the_first_time_packs_as_well(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("some text\n" * 50_000)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PACKS]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "parents").read_bytes() == (tmp_path / "childs").read_bytes()


def late_imports(tree: ast.AST, where: str = "") -> Iterator[tuple[str, bool]]:
    """The functions with imports in them, and whether these are where no fork interrupts them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield from late_imports(node, node.name)
        elif isinstance(node, ast.With) and "importing" in map(ast.unparse, (each.context_expr for each in node.items)):
            yield where, True
        elif isinstance(node, ast.Import | ast.ImportFrom) and where:
            yield where, False
        else:
            yield from late_imports(node, where)


# What these import has been imported when they are called; and what a caller's own thread imports, who forks can know.
LEFT_OUT = {"_translated", "_is_unsigned"}


def test_no_import_at_first_use_is_interrupted_by_a_fork() -> None:
    found = [
        (path.relative_to(PACKAGE).as_posix(), name, is_guarded)
        for path in PACKAGE.rglob("*.py")
        for name, is_guarded in late_imports(ast.parse(path.read_text()))
    ]
    assert len(found) > 20
    assert {(path, name) for path, name, is_guarded in found if not is_guarded and name not in LEFT_OUT} == set()


@pytest.mark.forks
def test_a_fork_waits_until_nobody_is_inside_and_nobody_goes_in_meanwhile() -> None:
    gate, events = ForkGate(), list[str]()
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with gate:
            inside.set()
            leave.wait()
            events.append("left")

    def second() -> None:
        with gate:
            events.append("second")

    def fork() -> None:
        gate.shut()
        events.append("fork")
        time.sleep(0.05)
        events.append("forked")
        gate.open()

    threads = [threading.Thread(target=first)]
    threads[0].start()
    inside.wait()
    for target in (fork, second):
        threads.append(threading.Thread(target=target))
        threads[-1].start()
        time.sleep(0.05)
    leave.set()
    for thread in threads:
        thread.join()
    assert events == ["left", "fork", "forked", "second"]
