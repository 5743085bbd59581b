"""The examples, run as a newcomer runs them, with small texts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.scripted_model import Script, serving

pytestmark = pytest.mark.thorough
ROOT = Path(__file__).parents[2]
SECONDS = re.compile(r"^(Packed|Answered): \d+\.\d s; memory of this process at most \d+ MB$", re.MULTILINE)


def run(name: str, *arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {key: value for key, value in os.environ.items() if key != "DPROMPT_MODEL"}
    return subprocess.run(
        [sys.executable, "-m", f"examples.{name}", *map(str, arguments)],
        cwd=ROOT,
        env=kept | environment,
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )


def printed(name: str, *arguments: str | Path, **environment: str) -> str:
    """What an example prints that ends well."""
    done = run(name, *arguments, **environment)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


@pytest.mark.usefixtures("rlms")
# As an ordinary string, and as a lazy one.
@pytest.mark.parametrize("size", [1_000, 9_000_000])
def test_the_needle_is_found(size: int) -> None:
    shown = printed("needle", "--size", str(size))
    assert f"{size:,} characters in " in shown
    assert ("LazyStr" in shown) == (size > 1_000)
    found = re.search(r"^\['The magic number of the old lighthouse is (\d{7})\.'\]$", shown, re.MULTILINE)
    assert found
    assert shown.endswith(f"The answer is '{found[1]}', which is right.\n")
    assert SECONDS.findall(shown) == ["Packed", "Answered"]


@pytest.mark.usefixtures("rlms")
@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("needle", ["--size", "999"], "--size: at least 1,000"),
        ("map_reduce", ["--messages", "0"], "--messages: at least 1"),
        ("source_tree", ["no/such"], "no/such: no such file"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(name: str, arguments: list[str], complaint: str) -> None:
    done = run(name, *arguments)
    assert done.returncode
    assert done.stderr.endswith(f"{complaint}\n")
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("rlms")
def test_citations_name_the_lines_of_a_source_tree(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "site-packages").mkdir()
    (tree / "deep" / "er" / "a.py").write_bytes(b"x = 1\r\ny = 2  # FIXME: is two\r\n")
    (tree / "deep" / "b.c").write_text("\n\n/* will be removed in 2.0 */ int i;\n// FIXME no newline", encoding="utf-8")
    (tree / "FIXME.md").write_text("Ünïcode. It Will be removed in\nWill Be Removed In May.", encoding="utf-8")
    (tree / "site-packages" / "c.py").write_text("FIXME not ours\n", encoding="utf-8")
    (tree / "d.bin").write_bytes(b"\xff\xfe FIXME no text\n")
    shown = printed("source_tree", tree)
    assert "3 files" in shown
    assert re.findall(r"^  (tree/.*)$", shown, re.MULTILINE) == [
        "tree/deep/b.c:4: FIXME no newline",
        "tree/deep/er/a.py:2: FIXME: is two",
        "tree/FIXME.md:2: Will Be Removed In May.",
        "tree/deep/b.c:3: will be removed in 2.0 */ int i;",
    ]
    assert shown.count("2 citations, 0 of them wrong") == 2


@pytest.mark.usefixtures("rlms")
def test_a_wrong_citation_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one\nFIXME two\n", encoding="utf-8")
    places = [f"{tmp_path.name}/{place}" for place in ("a.py:2: FIXME two", "a.py:1: FIXME two", "b.py:2: two")]
    cell = f'answer["content"] = {chr(10).join(places)!r}; answer["ready"] = True'
    with serving(Script([cell])) as client:
        done = run("source_tree", tmp_path, **named(client))
    assert done.returncode == 1
    assert re.findall("^WRONG: (.*)$", done.stdout, re.MULTILINE) == places[1:] * 2


@pytest.mark.usefixtures("rlms")
# As an ordinary string, and as a lazy one whose busiest day takes more than one batch of prompts.
@pytest.mark.parametrize(("messages", "least_asked"), [(3_000, 1), (800_000, 21)])
def test_the_topics_of_the_busiest_day_are_counted(messages: int, least_asked: int) -> None:
    shown = printed("map_reduce", "--messages", str(messages))
    assert ("LazyStr" in shown) == (messages > 3_000)
    assert f" chunks, {messages} messages\n" in shown
    asked = re.search(r"^\(sub-models asked: (\d+)\)$", shown, re.MULTILINE)
    assert asked
    assert int(asked[1]) >= least_asked
    assert re.search(
        r'^The answer is \{"date": "2026-03-\d\d", "counts": \{.*\}\}, which is right\.$', shown, re.MULTILINE
    )


def named(client: dict[str, str]) -> dict[str, str]:
    """The environment that has a server play the real model."""
    return {
        "DPROMPT_MODEL": client["model_name"],
        "OPENAI_BASE_URL": client["base_url"],
        "OPENAI_API_KEY": client["api_key"],
    }


@pytest.mark.usefixtures("rlms")
def test_a_model_that_the_environment_names_answers_instead() -> None:
    cell = 'answer["content"] = context.split("magic number of the old lighthouse is ")[1][:7]; answer["ready"] = True'
    script = Script([cell])
    with serving(script) as client:
        shown = printed("needle", "--size", "20_000", **named(client))
    assert f"> {cell}\n" in shown
    assert shown.endswith(", which is right.\n")
    assert len(script.received) == 1


@pytest.mark.usefixtures("rlms")
@pytest.mark.parametrize(("name", "arguments"), [("needle", ["--size", "2_000"]), ("map_reduce", ["--messages", "50"])])
def test_a_wrong_answer_is_noticed(name: str, arguments: list[str]) -> None:
    with serving(Script(['answer["content"] = "I do not know"; answer["ready"] = True'])) as client:
        done = run(name, *arguments, **named(client))
    assert done.returncode == 1
    assert "which is WRONG: it is " in done.stdout


@pytest.mark.usefixtures("rlms")
def test_a_model_that_never_answers_is_asked_at_last() -> None:
    with serving(Script(["print(1)"], answer=lambda _: "nothing")) as client:
        done = run("needle", "--size", "1_000", **named(client))
    assert done.returncode == 1
    assert "Turn 30, " in done.stdout
    assert "which is WRONG: it is " in done.stdout


@pytest.mark.parametrize("name", ["needle", "source_tree", "map_reduce"])
def test_without_rlms_one_line_says_what_to_install(name: str, tmp_path: Path) -> None:
    (tmp_path / "rlm.py").write_text("raise ModuleNotFoundError(\"No module named 'rlm'\", name='rlm')\n")
    done = run(name, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "the examples need the package rlms: pip install -e '.[rlms]'\n"
