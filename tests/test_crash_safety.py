"""A short crash campaign; ``python -m tools.crash_campaign`` is the long one.

What other tests have is left out: kills of ``pack`` in test_output.py, of ``append`` in test_growing.py, of ``index``
in test_ngrams_attacks.py, of ``push`` in s3/test_sync.py.
"""

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import distributed_prompt as dp
from distributed_prompt.backends.output import OutputFile
from tools import crash_campaign
from tools.crash_campaign import Case, Disk, Event, Nursery, Row, Workshop, surviving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc, and loads a library before libc")

NAMES = (
    ("pack", "sqlite, over an old one"),
    ("pack", "lmdb, a new file"),
    ("append", "sqlite"),
    ("append", "lmdb"),
    ("index", "sqlite"),
    ("convert", "sqlite to lmdb"),
    ("convert", "lmdb to sqlite"),
    ("unpack", "a file"),
    ("unpack", "a folder"),
)
SYNCED = [name for name in NAMES if name != ("unpack", "a folder")]


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery")) as nursery:
        yield nursery


@pytest.fixture(scope="module")
def watching(nursery: Nursery) -> Nursery:
    if not nursery.shim:
        pytest.skip("needs a C compiler")
    return nursery


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> dict[tuple[str, str], tuple[Case, float]]:
    """What is crashed, and how long it takes."""
    workshop = Workshop(tmp_path_factory.mktemp("shop") / "shop", 300_000)
    found = [case for command in ("pack", "append", "index", "convert", "unpack") for case in workshop.cases(command)]
    wanted = [case for case in found if (case.command, case.variant) in NAMES]
    return {(case.command, case.variant): (case, case.learn(nursery, 1)) for case in wanted}


def assert_unharmed(row: Row) -> None:
    assert row.problems == []
    assert row.rounds
    assert row.half == 0
    assert row.clean == row.runs > 0


@pytest.mark.parametrize("name", [name for name in NAMES if name[0] in {"convert", "unpack"}])
def test_who_is_killed_at_any_moment_leaves_the_old_or_the_new_target(
    cases: dict[tuple[str, str], tuple[Case, float]], nursery: Nursery, name: tuple[str, str]
) -> None:
    case, seconds = cases[name]
    assert_unharmed(crash_campaign.killed(case, nursery, 3, random.randrange(10**6), seconds))  # noqa: S311  # other moments


@pytest.mark.parametrize("name", SYNCED)
def test_a_loss_of_power_at_any_moment_leaves_the_old_or_the_new_target(
    cases: dict[tuple[str, str], tuple[Case, float]], watching: Nursery, name: tuple[str, str]
) -> None:
    case, _ = cases[name]
    row = crash_campaign.without_power(case, watching, random.randrange(10**6), runs=1)  # noqa: S311  # other losses
    assert_unharmed(row)
    assert row.old
    assert row.new


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (("pack", "lmdb, a new file"), "ENOSPC from then on"),
        (("append", "sqlite"), "EIO once"),
        (("convert", "sqlite to lmdb"), "EIO once"),
        (("unpack", "a folder"), "EDQUOT from then on"),
    ],
)
def test_whichever_call_fails_the_error_is_one_line_and_the_old_target_stays(
    cases: dict[tuple[str, str], tuple[Case, float]], watching: Nursery, name: tuple[str, str], kind: str
) -> None:
    case, _ = cases[name]
    assert_unharmed(crash_campaign.refused_calls(case, watching, kind, most=6))


@pytest.mark.parametrize("name", [("append", "lmdb"), ("index", "sqlite"), ("unpack", "a folder")])
def test_what_is_read_only_stays_as_it_is(
    cases: dict[tuple[str, str], tuple[Case, float]], nursery: Nursery, name: tuple[str, str]
) -> None:
    case, _ = cases[name]
    rows = [row for row in crash_campaign.read_only(case, nursery) if not row.remark]
    if not rows:
        pytest.skip("only root can become nobody, and mount")
    for row in rows:
        assert_unharmed(row)


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_file_is_synced_before_it_gets_its_name_and_the_folder_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, overwrite: bool
) -> None:
    calls: list[str] = []
    fsync, link, rename = os.fsync, os.link, Path.replace

    def synced(number: int) -> None:
        calls.append(f"sync {Path(f'/proc/self/fd/{number}').readlink().name}")
        fsync(number)

    def linked(path: Path, other: Path) -> None:
        calls.append("name")
        link(path, other)

    def renamed(path: Path, other: Path) -> Path:
        calls.append("name")
        return rename(path, other)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    monkeypatch.setattr(Path, "replace", renamed)
    with OutputFile(tmp_path / "out", overwrite=overwrite) as file:
        file.partial.write_bytes(b"new")
        file.publish()
    assert calls == ["sync .out.partial", "name", f"sync {tmp_path.name}"]


def test_folders_that_are_made_for_a_file_are_synced_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    synced: list[Path] = []
    fsync = os.fsync

    def note(number: int) -> None:
        synced.append(Path(f"/proc/self/fd/{number}").readlink())
        fsync(number)

    monkeypatch.setattr(os, "fsync", note)
    pack = Path(dp.ingest_string("text", tmp_path / "there" / "a" / "b").path)
    assert synced[-3:] == [tmp_path / "there" / "a" / "b", tmp_path / "there" / "a", tmp_path / "there"]
    synced.clear()
    dp.ingest_string("text", tmp_path / "there" / "a" / "b")
    assert synced[-2:] == [pack.with_name(f".{pack.name}.partial"), pack.parent]


def test_the_campaign_finds_a_writer_that_renames_before_it_syncs(tmp_path: Path) -> None:
    events = [
        Event("create", -1, 0, b"", f"{tmp_path}/.out", ""),
        Event("write", -1, 0, b"new", f"{tmp_path}/.out", ""),
        Event("rename", 0, 0, b"", f"{tmp_path}/.out", f"{tmp_path}/out"),
    ]
    found = set()
    for policy in range(crash_campaign.STATES_A_MOMENT):
        disk = Disk(tmp_path)
        for event in surviving(events, policy, random.Random(policy)):  # noqa: S311  # no secret
            disk.apply(event)
        found.add(disk.contents(tmp_path / "out"))
    assert found >= {None, b"", b"new"}


def test_a_killed_writer_does_not_lock_the_output_for_good(tmp_path: Path, nursery: Nursery) -> None:
    (tmp_path / "in.txt").write_bytes(b"text " * 200_000)
    arguments = ["pack", str(tmp_path / "in.txt"), "-o", str(tmp_path / "out.dprompt"), "--force"]
    seconds = nursery.run(arguments).seconds
    for part in (0.3, 0.6, 0.9):
        nursery.run(arguments, kill_after=part * seconds)
        dp.pack(tmp_path / "in.txt", tmp_path / "out.dprompt", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.dprompt"]
