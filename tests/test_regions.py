"""Regular expressions region by region, offsets and functions over parts, on executors: as without them."""

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt import mapping, regex, regex_regions
from distributed_prompt import re as prompt_re
from distributed_prompt import runs as runs_module
from distributed_prompt import shards as shards_module
from distributed_prompt.errors import ArgumentError, ClosedError
from distributed_prompt.regex_regions import SentMatch, joined
from distributed_prompt.text import windows
from tests.strategies import examples, needles, outcome, texts
from tests.test_regex import cases, check_call, impatient, offsets, prompt_of


class Here(Executor):
    """Calls at once, and counts; what is given up is not called."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.calls += 1
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is passed on
            future.set_exception(error)
        return future


@pytest.fixture(autouse=True)
def tiny_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regex_regions, "_REGION_CHARACTERS", 3)
    monkeypatch.setattr(regex, "are_few", lambda *_: False)
    monkeypatch.setattr(runs_module, "_NEAR_BYTES", 0)
    monkeypatch.setattr(shards_module, "_RUN_BYTES", 50)
    monkeypatch.setattr(shards_module, "_SENT_RUN_BYTES", 50)
    monkeypatch.setattr(mapping, "_TASK_CHARACTERS", 20)


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as made:
        yield made


MANY = examples(100)


def with_executor(name: str, executor: Executor, *bounds: int) -> Callable[[Any, Any], object]:
    """A call of a pattern and a text; on a prompt, by an executor."""

    def call(own: Any, subject: Any) -> object:
        if isinstance(own, re.Pattern):
            return getattr(own, name)(subject, *bounds)
        return getattr(own, name)(subject, *bounds, executor=executor)

    return call


@MANY
@given(case=cases(), size=st.sampled_from([1, 2, 5, 17]))
def test_all_matches_found_in_regions_are_those_of_re(case: tuple["re.Pattern[str]", str, Any], size: int) -> None:
    pattern, text, prompt = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regex_regions, "_REGION_CHARACTERS", size)
        for name in ("finditer", "findall", "search"):
            check_call(with_executor(name, Here()), pattern, text, prompt)


@MANY
@given(case=cases(), data=st.data())
def test_matches_in_regions_between_any_bounds_are_those_of_re(
    case: tuple["re.Pattern[str]", str, Any], data: st.DataObject
) -> None:
    pattern, text, prompt = case
    pos, endpos = data.draw(offsets(text)), data.draw(offsets(text))
    check_call(with_executor("finditer", Here(), pos, endpos), pattern, text, prompt)
    check_call(with_executor("search", Here(), pos), pattern, text, prompt)


@MANY
@given(case=cases(), limit=st.sampled_from([1, 2, 5]))
def test_what_is_too_far_for_regions_is_found_all_the_same(
    case: tuple["re.Pattern[str]", str, Any], limit: int
) -> None:
    pattern, text, prompt = case
    with impatient(limit):
        check_call(with_executor("finditer", Here()), pattern, text, prompt)


PATTERNS = (
    "a*",
    "|a",
    "a|",
    "(?:|a+)",
    r"\b",
    "$",
    "^",
    r"\Z",
    "(?m)^.*$",
    "a.?",
    "aa",
    "a{2,5}",
    "(a)(b)?|(?P<last>b)",
    "(?<=a)a*",
    "(?=(a+))",
    r"(a)\1",
    "[^b]*",
    "(?s).{7}",
    "(?:a|b){0,3}?",
    "(?<!a)|a",
)


@pytest.mark.thorough
@pytest.mark.parametrize("pattern", PATTERNS)
def test_matches_that_reach_over_regions_are_joined(pattern: str, pool: Executor) -> None:
    for text in ("", "a", "b", "aab", "a" * 30, "ab" * 15, "aaab\nba" * 5, "b" * 29 + "a", "a\n\n" * 9):
        expected = [(m.regs, m.groups(), m.lastindex, m.lastgroup) for m in re.finditer(pattern, text)]
        for size in (1, 2, 7):
            for lazy in (False, True):
                prompt = prompt_of(text, size, lazy=lazy)
                for executor in (Here(), pool):
                    found = prompt_re.finditer(pattern, prompt, executor=executor)
                    assert [(m.regs, m.groups(), m.lastindex, m.lastgroup) for m in found] == expected, (text, size)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_lazy_texts_of_unknown_length_have_their_last_matches(pattern: str) -> None:
    for text in ("a", "axbx", "xxaaxxa", "aaab" * 5 + "x"):
        prompt = prompt_of(text + "xx", 2, lazy=True)
        real = text.replace("x", "")
        for pos in {0, len(real) // 2, len(real) - 1}:
            expected = [m.span() for m in re.compile(pattern).finditer(real, pos)]
            for executor in (None, Here()):
                found = prompt_re.compile(pattern).finditer(prompt.replace("x", ""), pos, executor=executor)
                assert [m.span() for m in found] == expected, (text, pos)


def test_the_empty_match_at_the_end_of_a_text_of_unknown_length_is_found() -> None:
    for text, pos in (("x", 0), ("axbx", 2), ("axbx", 7)):
        made = prompt_of(text, 2, lazy=True).replace("x", "")
        expected = [m.span() for m in re.compile("a*").finditer(text.replace("x", ""), pos)]
        assert [m.span() for m in prompt_re.compile("a*").finditer(made, pos)] == expected
        made = prompt_of(text, 2, lazy=True).replace("x", "")
        assert [m.span() for m in prompt_re.compile("a*").finditer(made, pos, executor=Here())] == expected


def test_what_follows_an_empty_match_is_found_once_where_the_rest_is_too_far() -> None:
    """An empty match and one that is not may begin at one place; whoever goes on there must not give either twice."""
    for pattern in ("(?:|a[^b]*b)", "(?:|a[^b]*b|c+)", "(?:|ac*b)", r"(?:|a\w*?b)(?=)"):
        for text in ("ab" * 9 + "a" + "c" * 60 + "b", "ccabab" + "a" + "c" * 40, "abcabc" * 3 + "a" + "-" * 90):
            expected = [m.span() for m in re.finditer(pattern, text)]
            for size in (1, 4, 50):
                prompt = prompt_of(text, size)
                with impatient(8):
                    assert [m.span() for m in prompt_re.finditer(pattern, prompt)] == expected, (pattern, text, size)
                    found = [m.span() for m in prompt_re.finditer(pattern, prompt, executor=Here())]
                assert found == expected, (pattern, text, size)


def test_regions_that_nobody_can_decide_are_refused() -> None:
    with pytest.raises(windows.TooFarError):
        list(joined([((0, 3), None)], lambda *_: iter(())))
    assert list(joined([], lambda *_: iter(()))) == []


def test_a_region_that_a_match_reaches_over_is_searched_from_its_end() -> None:
    def match(start: int, stop: int) -> SentMatch:
        return SentMatch(((start, stop),), ("",), None)

    asked: list[tuple[int, int, int]] = []

    def search(start: int, stop: int, end: int) -> Iterator[SentMatch]:
        asked.append((start, stop, end))
        return iter([match(5, 6), match(6, 8)] if start == 4 else [])

    regions = [((0, 4), [match(1, 5)]), ((4, 8), [match(4, 6), match(6, 8), match(7, 11)]), ((8, 10), [match(9, 10)])]
    found = [each.regs[0] for each in joined(regions, search)]
    assert found == [(1, 5), (5, 6), (6, 8), (7, 11)]
    assert asked == [(4, 8, 5), (8, 10, 11)]


@given(data=st.data())
def test_offsets_found_by_executors_are_those_of_str(data: st.DataObject) -> None:
    text = data.draw(texts)
    needle = data.draw(needles(text).filter(bool))
    prompt = prompt_of(text, data.draw(st.sampled_from([1, 2, 3, 7, 64])))
    a, b = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
    for flags in (0, re.IGNORECASE):
        expected = [m.start() for m in re.compile(re.escape(needle), flags).finditer(text, a, b)]
        found = list(prompt.find_all(needle, a, b, ignore_case=bool(flags), executor=Here()))
        assert found == expected
    for name in ("find", "rfind", "count"):
        assert getattr(prompt, name)(needle, a, b, executor=Here()) == getattr(text, name)(needle, a, b)
    many = [needle, text[1:4], "nowhere"]
    assert prompt.find_many(many, executor=Here()) == {each: text.find(each) for each in many}


@given(data=st.data())
def test_functions_are_called_with_every_part_in_order(data: st.DataObject) -> None:
    text = data.draw(texts)
    margins = data.draw(st.sampled_from([(0, 0), (2, 1)]))
    prompt = prompt_of(text, data.draw(st.sampled_from([1, 3, 7])), margins=margins)
    executor = data.draw(st.sampled_from([None, Here()]))
    size = data.draw(st.sampled_from([1, 2, 5, 100, 10**30]))
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    assert list(prompt.map(str, over=size, executor=executor)) == parts
    assert list(prompt.map(len, over=size, executor=executor)) == list(map(len, parts))
    assert "".join(prompt.map(str, executor=executor)) == text
    assert list(prompt.map(str, over="documents", executor=executor)) == []


@pytest.fixture
def documents(tmp_path: Any) -> Iterator[Any]:
    for number in range(9):
        (tmp_path / f"{number}.txt").write_text(f"document {number}\n" * number)
    dp.pack([tmp_path / f"{number}.txt" for number in range(9)], tmp_path / "a.dprompt", shard_size=20, header="{name}")
    dp.pack([tmp_path / f"{number}.txt" for number in range(9)], f"{tmp_path}/many/", part_bytes=40, header="{name}")
    with dp.open(tmp_path / "a.dprompt") as one, dp.open(tmp_path / "many") as many:
        yield one, many


def test_functions_over_documents_see_each_whole(documents: Any, pool: Executor) -> None:
    expected = [f"document {number}\n" * number for number in range(9)]
    for prompt in documents:
        for executor in (None, pool, Here()):
            assert list(prompt.map(str, over="documents", executor=executor)) == expected
            view = prompt.view(60, 140)
            assert list(view.map(str, over="documents", executor=executor)) == [str(t) for t in view.documents.values()]
        prompt.view_threshold = 30
        kinds = set(prompt.map(type, over="documents", executor=pool))
        assert kinds == {str, dp.DistributedPrompt}


@pytest.mark.parametrize("over", ["", "lines", "shard", 0, -1, 1.5, None])
def test_other_parts_are_refused_at_once(over: Any) -> None:
    with pytest.raises(ArgumentError, match="over="):
        prompt_of("text", 3).map(len, over=over)


def fail_at_seven(text: str) -> int:
    if "7" in text:
        message = f"seven in {text}"
        raise LookupError(message)
    return len(text)


def test_what_a_function_raises_reaches_the_caller(pool: Executor) -> None:
    text = "0123456789" * 3
    for executor in (None, pool, Here()):
        for over in ("shards", 2):
            results = prompt_of(text, 2).map(fail_at_seven, over=over, executor=executor)
            with pytest.raises(LookupError, match="seven in 67"):
                list(results)


def test_passes_that_are_given_up_leave_little_to_do(pool: Executor) -> None:
    called = threading.Semaphore(0)
    calls: list[int] = []

    def count(text: str) -> int:
        calls.append(len(text))
        called.release()
        return len(text)

    prompt = prompt_of("ab\n" * 50_000, 64)
    results = prompt.map(count, over=20, executor=pool)
    assert next(results) == 20
    del results
    matches = prompt_re.finditer("a", prompt, executor=pool)
    assert next(matches).span() == (0, 1)
    matches.close()  # type: ignore[attr-defined]  # a generator
    offsets_found = prompt.find_all("b", executor=pool)
    assert next(offsets_found) == 1
    del offsets_found
    called.acquire(timeout=5)
    pool.submit(int).result()
    assert len(calls) < 1000
    assert prompt.stats.decoded_shards < 2000
    assert prompt.find("nowhere", executor=pool) == -1


def test_executors_that_are_shut_down_say_so() -> None:
    gone = ThreadPoolExecutor(1)
    gone.shutdown()
    prompt = prompt_of("ab" * 100, 3)
    calls: tuple[Callable[[], object], ...] = (
        lambda: list(prompt.map(len, executor=gone)),
        lambda: prompt_re.findall("a", prompt, executor=gone),
        lambda: list(prompt.find_all("a", executor=gone)),
    )
    for call in calls:
        assert outcome(call) == (RuntimeError, "cannot schedule new futures after shutdown")


def test_closed_prompts_refuse_executors(pool: Executor) -> None:
    prompt = prompt_of("ab" * 100, 3)
    prompt.close()
    calls: tuple[Callable[[], object], ...] = (
        lambda: list(prompt.map(str, executor=pool)),
        lambda: prompt_re.findall("a", prompt, executor=pool),
        lambda: prompt.count("zz", executor=pool),
    )
    for call in calls:
        with pytest.raises(ClosedError):
            call()


def test_regions_are_sent_to_the_executor(pool: Executor) -> None:
    del pool
    executor = Here()
    assert len(prompt_re.findall("a|b", prompt_of("ab" * 50, 4), executor=executor)) == 100
    assert executor.calls >= 25
