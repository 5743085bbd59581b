"""What fuzzing has found, or is of interest, comes out right again; and each target runs."""

import json
import sys
from pathlib import Path

import pytest

from tools.fuzz import TARGETS, campaign, main, replay

CORPUS = Path(__file__).parent / "fuzz_corpus"


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.json")), ids=lambda path: path.stem)
def test_a_case_of_the_corpus_comes_out_right(path: Path) -> None:
    replay(path)


def test_the_corpus_is_small_and_has_cases_of_every_target() -> None:
    paths = sorted(CORPUS.glob("*.json"))
    assert sum(path.stat().st_size for path in paths) < 200_000
    assert {json.loads(path.read_text())["target"] for path in paths} == set(TARGETS)


@pytest.mark.thorough
@pytest.mark.parametrize("target", TARGETS)
def test_a_second_of_a_target_finds_nothing(target: str, tmp_path: Path) -> None:
    result = campaign(target, 20_240_229, 1, tmp_path)
    assert [path.read_text() for path in result.failures] == []
    assert result.cases


@pytest.mark.thorough
def test_without_a_target_all_are_attacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fuzz", "--seconds", "0.2", "--save", str(tmp_path)])
    assert main() == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == list(TARGETS)
