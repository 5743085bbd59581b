"""The fault campaign itself: short ones, and that it sees what it is there to see."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import fault_campaign
from tools.fault_campaign import ENGINES, FAILURES, KINDS, Campaign, Sound, kind_of, main, make_sounds

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc"),
]

SEED = 1
# Those that are built and read quickly, and have rows of all kinds.
VARIANTS = tuple(v for v in fault_campaign.VARIANTS if v.name in {"bare-7", "many-64", "indexed-64"})
TRIALS = len(KINDS)


@pytest.fixture(autouse=True, scope="module")
def few_variants() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fault_campaign, "VARIANTS", VARIANTS)
        yield


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Sound]:
    return make_sounds(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def campaign(sounds: list[Sound], tmp_path: Path) -> Iterator[Campaign]:
    found = Campaign(tmp_path, sounds)
    yield found
    found.close()


def trial_of(name: str, engine: str = "sqlite") -> int:
    return next(trial for trial in range(TRIALS) if kind_of(engine, trial).name == name)


def sabotaged(sounds: list[Sound], folder: Path, setup: str, kinds: tuple[str, ...], turns: int = 3) -> set[str]:
    """The failures that are seen in a package that was changed."""
    campaign = Campaign(folder, sounds, setup=setup)
    try:
        for kind in kinds:
            for turn in range(turns):
                campaign.trial(turn, "sqlite", trial_of(kind))
        return {failure.outcome for failure in campaign.failures}
    finally:
        campaign.close()


@pytest.mark.timeout(60)
def test_a_short_campaign_of_what_chance_damages_is_clean(campaign: Campaign) -> None:
    campaign.check_sound()
    campaign.run(SEED, TRIALS, forged=False)
    assert campaign.failures == []
    chances = {(engine, k.name) for k in KINDS for engine in ENGINES if not k.forged and k.engine in {None, engine}}
    assert set(campaign.counts) == chances
    totals = sum(campaign.counts.values(), start=type(next(iter(campaign.counts.values())))())
    assert totals["typed error"] > TRIALS


def test_a_trial_can_be_done_again(campaign: Campaign, tmp_path: Path) -> None:
    for kind in ("30 bits anywhere", "rows swapped", "metadata changed", "tables changed", "forged: names, bounds"):
        for engine in ENGINES:
            first = campaign.trial(SEED, engine, trial_of(kind, engine))
            data = (tmp_path / f"copy.{engine}").read_bytes()
            assert campaign.trial(SEED, engine, trial_of(kind, engine)) == first
            assert (tmp_path / f"copy.{engine}").read_bytes() == data


def test_every_kind_of_damage_has_its_turn() -> None:
    for engine in ENGINES:
        expected = {kind.name for kind in KINDS if kind.engine in {None, engine}}
        assert {kind_of(engine, trial).name for trial in range(TRIALS)} == expected


def test_a_reader_that_ignores_checksums_of_shards_is_caught(sounds: list[Sound], tmp_path: Path) -> None:
    setup = "from distributed_prompt.store.pack import Pack\nPack._compared = lambda pack, shard, blob: blob"
    assert sabotaged(sounds, tmp_path, setup, ("rows swapped", "rows duplicated", "bits: shards rows")) >= {"wrong"}


def test_a_reader_that_ignores_checksums_of_rows_is_caught(sounds: list[Sound], tmp_path: Path) -> None:
    setup = "from distributed_prompt.store import codec\ncodec.unseal = lambda key, row, bound=b'': row[:-8]"
    assert sabotaged(sounds, tmp_path, setup, ("bits: documents rows",), 10)


def test_a_verify_that_finds_nothing_is_caught(sounds: list[Sound], tmp_path: Path) -> None:
    setup = "import distributed_prompt as dp\ndp.verify = lambda pack: iter(())"
    assert sabotaged(sounds, tmp_path, setup, ("bits: shards rows", "rows missing")) == {"wrong"}


@pytest.mark.parametrize(
    ("statement", "outcome"),
    [
        ("raise KeyError(1)", "untyped"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crash"),
        ("os._exit(0)", "crash"),
        ("time.sleep(60)", "hang"),
        ("bytearray(2**30)", "memory"),
        ("raise MemoryError", "memory"),
        ("kept = kept or b'x' * (fault_campaign.MEMORY_BYTES + 2**25)", "memory"),
    ],
)
def test_what_is_worse_than_an_error_is_caught(
    sounds: list[Sound], tmp_path: Path, statement: str, outcome: str
) -> None:
    setup = (
        "import os, signal, time\nfrom distributed_prompt.prompt import DistributedPrompt\n"
        "from tools import fault_campaign\nkept = b''\n"
        f"def count(*_):\n    global kept\n    {statement}\n    return 0\nDistributedPrompt.count = count"
    )
    campaign = Campaign(tmp_path, sounds, 1.0 if outcome == "hang" else 10.0, setup)
    try:
        (found,) = campaign.trial(SEED, "sqlite", trial_of("bits: documents rows"))
    finally:
        campaign.close()
    assert found[1].outcome == outcome
    (failure,) = campaign.failures
    worst = {operation.partition(" ")[0] for found, operation, _ in failure.findings if found == outcome}
    assert worst == {"all" if "kept" in statement else "count"}
    assert failure.replay == f"{SEED}:sqlite:{trial_of('bits: documents rows')}"


def test_the_command_prints_a_table_and_says_how_it_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fault_campaign", "--trials", "2", "--engine", "lmdb"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "| lmdb | 1 bit anywhere | 1 |" in out
    assert "| lmdb | **all** | 2 |" in out


def test_the_command_replays_one_trial_and_fails_if_that_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["fault_campaign", "--replay", f"{SEED}:sqlite:0"])
    monkeypatch.setattr(fault_campaign, "FAILURES", FAILURES | {"right", "typed error"})
    monkeypatch.setattr("tempfile.mkdtemp", lambda **_: str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert f"The last copy is in {tmp_path}." in capsys.readouterr().out


@pytest.mark.timeout(120)
def test_a_short_campaign_of_forged_packs_is_clean(sounds: list[Sound], tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, sounds, 5.0)
    try:
        campaign.run(SEED, TRIALS, forged=True)
    finally:
        campaign.close()
    assert campaign.failures == []
