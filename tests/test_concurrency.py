"""Packs that are used from everywhere at once, shortly; ``python -m tools.stress`` does it for as long as one likes.

What other tests have is left out: packs that grow under readers in test_growing.py, single readers and spawned
processes in test_prompt_behaviour.py, mapped strings without forks in between in test_mapped.py.
"""

import sys
import tempfile
from pathlib import Path

import pytest

from distributed_prompt.store.engines import ENGINES
from tools import stress

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="counts what /proc shows"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),  # which is the point
]
each_engine = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests leave files for a while, too."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@each_engine
def test_readers_get_whole_versions_while_others_are_renamed_in(tmp_path: Path, engine: str) -> None:
    said = stress.readers_while_versions_are_renamed_in(tmp_path, engine, 1.0, threads=4)
    assert "answers" in said


@pytest.mark.parametrize(("engine", "kind"), [("sqlite", "make"), ("lmdb", "replace")])
def test_of_two_processes_that_pack_into_one_output_each_is_told_or_gets_in(
    tmp_path: Path, engine: str, kind: str
) -> None:
    stress.two_writers(tmp_path, engine, 1, kind)


@each_engine
def test_thirty_two_threads_get_what_str_gives(tmp_path: Path, engine: str) -> None:
    stress.threads_on_one_prompt(tmp_path, engine, 0.7)


@pytest.mark.forks
@each_engine
def test_children_forked_while_threads_open_read_and_close_do_the_same(tmp_path: Path, engine: str) -> None:
    stress.forks_in_the_middle(tmp_path, engine, 0.7, threads=3, cache_bytes=2**25)


@pytest.mark.forks
@each_engine
def test_forked_processes_read_what_they_are_sent(tmp_path: Path, engine: str) -> None:
    stress.many_processes(tmp_path, engine, "fork", processes=4)


@each_engine
def test_who_uses_a_prompt_that_is_closed_meanwhile_is_told_and_nothing_stays_open(tmp_path: Path, engine: str) -> None:
    stress.closed_under_its_users(tmp_path, engine, 6, threads=4)


@each_engine
def test_hundreds_of_opens_that_succeed_or_fail_leave_nothing_behind(tmp_path: Path, engine: str) -> None:
    stress.opens(tmp_path, engine, 300)


@pytest.mark.forks
def test_mapped_strings_are_as_others_on_threads_and_in_forked_children() -> None:
    stress.mapped_strings(1.0, length=6_000, threads=3)


def test_another_interpreter_that_opens_a_pack_is_told_that_it_gets_no_mapped_string(tmp_path: Path) -> None:
    stress.subinterpreters(tmp_path)
