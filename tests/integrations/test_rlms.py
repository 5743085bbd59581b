"""The released package ``rlms``, unpatched, with texts larger than memory as contexts, and a model that plays scripts.

What cells print is compared with what they print where the context is an ordinary string.
"""

import gc
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

import distributed_prompt as dp
from distributed_prompt import DistributedPrompt, notices
from distributed_prompt.attaching import attach
from distributed_prompt.errors import AddressError, ArgumentError
from distributed_prompt.integrations.rlms import as_context, repl_environment
from tests.integrations.conftest import VIEW_THRESHOLD, Bucket, Corpus, imported, packed
from tools.scripted_model import Messages, Script, serving

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = {
    "local": {},
    "ipython": {"environment": "ipython", "kernel_mode": "in_process"},
    "ipython process": {"environment": "ipython", "kernel_mode": "subprocess"},
}
FINISH = 'answer["content"] = "done"\nanswer["ready"] = True'
NOTICE = "[This stands for a text of "
NOTICE_CHARACTERS = 2_500
LOG_CHARACTERS = 150_000
MEMORY_CHARACTERS = 60_000_000
MEMORY_MB = 120

pytestmark = [
    # The package leaves the sockets of its servers and clients to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("_quick_servers", "_tidy"),
]


class Run(NamedTuple):
    """What came of a completion.

    Attributes:
        answer: what the package returns.
        results: what each cell came to, as it is logged.
        received: all conversations that the model was sent.
    """

    answer: Any
    results: list[dict[str, Any]]
    received: list[Messages]

    @property
    def printed(self) -> list[str]:
        """What each cell printed, none of which failed."""
        assert [result["stderr"] for result in self.results] == [""] * len(self.results)
        return [str(result["stdout"]) for result in self.results]

    @property
    def told(self) -> list[tuple[str, int]]:
        """What models were told of their contexts, in the order in which they began."""
        said = [messages[1]["content"] for messages in self.received if len(messages) == 3]
        found = [re.search(r"Your context is a (\w+) of (\d+) total characters", content) for content in said]
        return [(match[1], int(match[2])) for match in found if match]

    @property
    def questions(self) -> list[str]:
        """What models without a REPL were asked."""
        return [messages[-1]["content"] for messages in self.received if messages[0]["role"] != "system"]

    def sent(self, text: str) -> bool:
        """Whether any message has a text in it."""
        return any(text in message["content"] for messages in self.received for message in messages)


@contextmanager
def started(rlms: Any, script: Script, environment: str = "local", **arguments: Any) -> Iterator[Any]:
    """A recursive language model whose contexts are ours."""
    with serving(script) as client:
        options = dict(ENVIRONMENTS[environment])
        if options:
            imported("IPython")
            imported("ipykernel")
        defaults: dict[str, Any] = {"max_depth": 2, "max_iterations": 40, "logger": rlms.logger.RLMLogger()}
        with rlms.RLM(
            backend="openai",
            backend_kwargs=client,
            **repl_environment(options.pop("environment", "local"), **options),
            **(defaults | arguments),
        ) as rlm:
            yield rlm


def complete(
    rlms: Any, context: Any, cells: Sequence[str], children: Sequence[str] = (), environment: str = "local", **more: Any
) -> Run:
    """Have a model run cells on a context."""
    script = Script([*cells, FINISH], children)
    with started(rlms, script, environment, **more) as rlm:
        answer = rlm.completion(context, root_prompt="What is in there?")
        return Run(answer, results(rlm)[: len(cells)], script.received)


def results(rlm: Any) -> list[dict[str, Any]]:
    """What the cells of the last completion came to."""
    return [
        block["result"] for iteration in rlm.logger.get_trajectory()["iterations"] for block in iteration["code_blocks"]
    ]


def as_printed(cells: Sequence[str], **names: Any) -> list[str]:
    """What cells print where all is as usual."""
    found = []
    for cell in cells:
        with redirect_stdout(io.StringIO()) as output:
            exec(cell, names)  # noqa: S102  # ours
        found.append(output.getvalue())
    return found


def context_of(corpus: Corpus, **options: Any) -> Any:
    return as_context(corpus.pack, view_threshold=VIEW_THRESHOLD, **options)


CELLS = {
    "length": "print(len(context), bool(context), isinstance(context, str), len(context_0), context == context_0)",
    "slices": (
        "print(context[:200], context[-77:], context[150_000:150_300], context[5], context[-1])\n"
        "print(context[10:4000:97], context[290:200] == '', context[10**9:] == '', context[300:100:-7])"
    ),
    "long slices": (
        "part = context[1000:250_000]\n"
        "print(len(part), part[500:600], part.find('needle'), part[-50:], part[1000:-1000][:80])\n"
        "print(len(context[::2]), context[::2][70_000:70_050])"
    ),
    "find": (
        "print([context.find(word) for word in ('needle', 'needle 710', 'nowhere', '', '🎉')])\n"
        "print(context.find('needle', 100_000, 200_000), context.rfind('needle'), context.index('第五章'))"
    ),
    "find in a loop": (
        "at, found = context.find('needle 1'), []\n"
        "while at >= 0:\n"
        "    found.append((at, context[max(0, at - 20) : at + 30]))\n"
        "    at = context.find('needle 1', at + 1)\n"
        "print(len(found), found[:5], found[-1])"
    ),
    "in": "print('needle 710' in context, 'nowhere' in context, '' in context, '\\n\\n' in context, '🎉' in context)",
    "count": "print(context.count('needle'), context.count('\\n'), context.count('nowhere'), context.count('İ'))",
    "startswith": "print(context.startswith(('a', '##')), context.endswith('\\n'), context.startswith('nowhere'))",
    "split": (
        "lines = context.split('\\n')\n"
        "print(len(lines), lines[7], lines[-2], lines[-1] == '', lines[100:103], lines.index('## Section 90'))\n"
        "print([line for line in lines if 'haystack' in line][:5], '\\n'.join(lines[1000:1005]))"
    ),
    "split, enumerated": (
        "for number, line in enumerate(context.split('\\n')):\n"
        "    if line.startswith('## Section 9'):\n"
        "        print(number, line)"
    ),
    "words": "words = context.split()\nprint(len(words), words[1000], words[-1], words[5:8])",
    "sections": (
        "parts = context.split('\\n## ')\nprint(len(parts), [part[:12] for part in parts[1:5]], sum(map(len, parts)))"
    ),
    "lower": (
        "low = context.lower()\n"
        "print(len(low), low[:200], low.find('kernel panic'), low.count('strasse'), 'οδυσσευς' in low, low[-40:])"
    ),
    "lines": (
        "lines = context.splitlines()\n"
        "print(len(lines), lines[2], lines[-1], max(lines, key=len)[:90], sum(len(line) for line in lines))"
    ),
    "other methods": (
        "print(len(context.strip()), context.replace('needle', 'pin').count('pin'), context.upper()[:90])\n"
        "head, separator, tail = context.partition('needle 710')\n"
        "print(len(head), separator, len(tail), tail[:40], len(context.rpartition('needle')[0]))"
    ),
    "joined": (
        "more = context + '\\nWho?'\nprint(len(more), more[-30:], ('A: ' + more).find('Who'), more[:40] in context)"
    ),
    "chunks": (
        "chunks = [context[at : at + 25_000] for at in range(0, len(context), 25_000)]\n"
        "print(len(chunks), [chunk.count('needle') for chunk in chunks], ''.join(chunks[-1:])[-30:])"
    ),
    "formats": "print(f'{len(context):,} {context[:20]!r} {context:.30}', '%.25s' % context[:100], str(context)[:90])",
    "re.findall": (
        "import re\n"
        r"print(re.findall(r'needle (\d+)', context)[:50], len(re.findall(r'\bneedle\b', context)))"
        "\nprint(re.findall('KERNEL panic', context, re.IGNORECASE)[:4], re.findall('nowhere', context))"
    ),
    "re.finditer": (
        "import re\n"
        "found = re.finditer(r'key=(?P<key>[0-9a-f]+)7$', context, re.MULTILINE)\n"
        "print([(m.span(), m.group(0), m['key'], m.groupdict(), context[m.start() - 5 : m.end()]) for m in found][:20])"
    ),
    "re.search": (
        "import re\n"
        "match = re.search('needle 80 .*?needle 110', context, re.DOTALL)\n"
        "print(match.span(), len(match.group()), match.group()[-30:], re.search('nowhere', context))\n"
        "print(re.match('## Section', context).end(), re.fullmatch('.', context))"
    ),
    "re.sub": (
        "import re\n"
        "short, many = re.subn('key=[0-9a-f]+', lambda match: match.group()[:5], context)\n"
        r"print(len(short), many, short[:300], len(re.sub(r'\s+', ' ', context)), re.sub('x', 'y', 'axb'))"
    ),
    "re.split": (
        "import re\n"
        r"parts = re.split(r'\n## (Section \d+)\n', context)"
        "\nprint(len(parts), parts[1::2][:4], [len(part) for part in parts][:9], parts[-1][-20:])"
    ),
    "re.compile": (
        "from re import compile as pattern_of, MULTILINE\n"
        "def lookup(pattern):\n"
        "    import re as regex\n"
        "    return regex.compile(pattern).search(context).start()\n"
        "heads = pattern_of('^## (.+)$', MULTILINE)\n"
        "print(heads.findall(context)[:9], heads.search(context, 1000).start(), lookup('needle [89]'))"
    ),
    "re of a slice": "import re\nprint(re.findall('key=(.*)', context[-900:]), re.sub('[^a-z]', '', context[:300]))",
    "re.error": "import re\ntry:\n    re.search('(', context)\nexcept re.error as error:\n    print(error)",
    "json": (
        "import json\n"
        "start = context.find('{')\n"
        "print(json.loads(context[start : context.find('}', start) + 1]))\n"
        "found = [json.loads(line) for line in context.split('\\n') if line.startswith('{')]\n"
        "print(len(found), found[3], json.dumps(found[-1]), max(found, key=lambda each: each['needle']))"
    ),
    "io.StringIO": "import io\nprint(io.StringIO(context[1000:9000]).readlines()[3:6])",
    "Counter": (
        "from collections import Counter\n"
        "heads = (line[:3] for line in context.split('\\n'))\n"
        "print(Counter(context[:5000]).most_common(4), Counter(heads).most_common(3))"
    ),
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def look(at):\n"
        "    import re\n"
        "    part = context[at : at + 40_000]\n"
        "    return part.count('needle'), part[:10], len(re.findall('needle 1', part)), context.find('needle', at)\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    print(list(pool.map(look, range(0, 300_000, 20_000))))"
    ),
    "what another cell made": "print(at, len(lines), low[100:150], many, lookup('needle'), len(found))",
}
OTHER_CELLS = {
    "shown": "print(context)",
    "asked of a slice": "print(llm_query(f'Summarise {context[1000:2000]}'))",
    "asked of the whole": "print(llm_query(f'Summarise {context}'), llm_query(context))",
    "asked in batches": "print(llm_query_batched([context[at : at + 500] for at in (5000, 6000, 7000)]))",
    "failed": "context.index('nowhere')",
    "failed otherwise": "context[10**9]",
    "after that": "print(len(context), context.count('needle'), type(context).__name__, 'context' in SHOW_VARS())",
}


@pytest.fixture(scope="module")
def sessions(rlms: Any, corpus: Corpus) -> Callable[[str], Run]:
    """All of the cells, one after the other, once in each environment, in whatever order its tests come."""
    cells = [*CELLS.values(), *OTHER_CELLS.values()]
    return cache(lambda environment: complete(rlms, context_of(corpus), cells, environment=environment))


@pytest.fixture(params=ENVIRONMENTS)
def session(request: pytest.FixtureRequest, sessions: Callable[[str], Run]) -> Run:
    """All of the cells in one environment."""
    return sessions(request.param)


def result_of(session: Run, name: str) -> dict[str, Any]:
    return session.results[[*CELLS, *OTHER_CELLS].index(name)]


@pytest.fixture(scope="module")
def expected(corpus: Corpus) -> dict[str, str]:
    printed = as_printed(list(CELLS.values()), context=corpus.text, context_0=corpus.text)
    return dict(zip(CELLS, printed, strict=True))


@pytest.mark.thorough
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_prints_what_it_prints_of_a_str(session: Run, expected: dict[str, str], name: str) -> None:
    result = result_of(session, name)
    assert result["stderr"] == ""
    assert result["stdout"] == expected[name]


def test_the_model_is_told_the_true_length(session: Run, corpus: Corpus) -> None:
    assert session.told == [("str", len(corpus.text))]


def test_the_text_is_sent_nowhere(session: Run, corpus: Corpus) -> None:
    assert session.sent(corpus.text[:50])
    assert not session.sent(corpus.text[20_000:21_000])


def test_printing_the_text_shows_its_ends(session: Run, corpus: Corpus) -> None:
    shown = str(result_of(session, "shown")["stdout"])
    assert shown.startswith(f"{NOTICE}{len(corpus.text):,} characters")
    assert corpus.text[:1000] in shown
    assert corpus.text[-200:] in shown
    assert len(shown) < NOTICE_CHARACTERS


def test_a_question_about_a_slice_has_the_slice(session: Run, corpus: Corpus) -> None:
    question = f"Summarise {corpus.text[1000:2000]}"
    assert result_of(session, "asked of a slice")["stdout"] == f"{len(question)} characters\n"
    assert question in session.questions
    assert {corpus.text[at : at + 500] for at in (5000, 6000, 7000)} < set(session.questions)


def test_a_question_about_the_whole_has_a_notice(session: Run, corpus: Corpus) -> None:
    asked = [question for question in session.questions if NOTICE in question]
    assert [question.partition("[")[0] for question in asked] == ["Summarise ", ""]
    assert all(len(question) < NOTICE_CHARACTERS for question in asked)
    assert corpus.text[:1000] in asked[0]


def test_an_error_is_that_of_str_and_ends_nothing(session: Run, corpus: Corpus) -> None:
    assert "ValueError: substring not found" in result_of(session, "failed")["stderr"]
    assert "IndexError: string index out of range" in result_of(session, "failed otherwise")["stderr"]
    after = result_of(session, "after that")
    assert after["stdout"] == f"{len(corpus.text)} {corpus.text.count('needle')} LazyStr True\n"


@pytest.mark.parametrize("environment", ["local", "ipython"])
def test_an_overwritten_context_is_back_in_the_next_cell(rlms: Any, corpus: Corpus, environment: str) -> None:
    cells = ["context = context[:10]\nprint(len(context))", "import re\nprint(len(re.findall('needle', context)))"]
    run = complete(rlms, context_of(corpus), cells, environment=environment)
    assert run.printed == ["10\n", f"{corpus.text.count('needle')}\n"]


def test_an_answer_may_be_a_part_of_the_text(rlms: Any, corpus: Corpus) -> None:
    cell = 'answer["content"] = context[1000:250_000]\nanswer["ready"] = True'
    answer = complete(rlms, context_of(corpus), [cell]).answer
    assert answer.response == corpus.text[1000:250_000]
    assert len(json.dumps(answer.to_dict())) < LOG_CHARACTERS


def test_a_notice_that_a_cell_writes_to_a_file_is_read_back_as_the_text(rlms: Any, corpus: Corpus) -> None:
    cells = [
        "with open('a.txt', 'w') as file:\n    file.write(context[100:-100])",
        "with open('a.txt') as file:\n    again = file.read()\nprint(len(again), again.count('needle'), again[:40])",
        "with open('a.txt') as file:\n    print(file.readline(), len(file.readlines()), file.read() == '')",
        "with open('b.txt', 'w') as file:\n    file.write('of their own')\nprint(open('b.txt').read())",
        "print(open('a.txt', 'rb').read(20), [line for line in open('a.txt') if 'haystack' in line][:3])",
    ]
    text = corpus.text[100:-100]
    lines = io.StringIO(text).readlines()
    hay = [line for line in lines if "haystack" in line][:3]
    assert complete(rlms, context_of(corpus), cells).printed == [
        "",
        f"{len(text)} {text.count('needle')} {text[:40]}\n",
        f"{lines[0]} {len(lines) - 1} True\n",
        "of their own\n",
        f"{NOTICE[:20].encode()!r} {hay}\n",
    ]


CHILD = (
    "import re\n"
    "needles = re.findall('(?i)needle', context)\n"
    "seen = [len(context), context[:40], context[-40:], len(needles), context.count('needle')]\n"
    "seen.append(context.find('haystack'))\n"
    "answer['content'] = repr(seen)\n"
    "answer['ready'] = True"
)
PROMPTS = {
    "the text": "context",
    "a short slice": "context[1000:2000]",
    "a long slice": "context[1000:200_000]",
    "a line": "context.split('\\n')[20]",
    "a question": "f'Question: {context} Answer: '",
    "a question about two slices": "f'{context[:50_000]} or {context[60_000:]} or {context[:10]}'",
    "in lower case": "context.lower()",
    "replaced": "context.replace('needle', 'Needle')",
    "by a regular expression": "re.sub('key=.*', '', context)",
    "joined": "'Question: ' + context + ' Answer:'",
    "printed": "str(context)",
    "formatted": "'Question: {} Answer: {}'.format(context, 1)",
    "formatted by %": "'Question: %s' % context",
    "formatted by % with more": "'Question %d: %s' % (1, context)",
    "joined in C": "'\\n'.join(['Question:', context, 'Answer:'])",
}


def as_child(prompt: str) -> str:
    """What a child answers that is given an ordinary string."""
    answer: dict[str, Any] = {}
    as_printed([CHILD], context=prompt, answer=answer)
    return str(answer["content"])


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_a_child_has_what_it_is_given(rlms: Any, corpus: Corpus, prompt: str) -> None:
    cell = f"import re\nprint(rlm_query({prompt}))"
    run = complete(rlms, context_of(corpus), [cell], [CHILD])
    assert run.printed == as_printed([cell], context=corpus.text, rlm_query=as_child)
    assert not run.sent(corpus.text[20_000:21_000])


@pytest.mark.parametrize("prompt", ["the text", "a short slice", "a long slice", "in lower case", "joined"])
def test_a_child_is_told_the_true_length(rlms: Any, corpus: Corpus, prompt: str) -> None:
    run = complete(rlms, context_of(corpus), [f"rlm_query({PROMPTS[prompt]})"], [CHILD])
    assert run.told[1:] == [("str", len(eval(PROMPTS[prompt], {"context": corpus.text})))]  # noqa: S307  # ours


def test_a_child_has_a_text_of_which_only_a_question_is_left(rlms: Any, corpus: Corpus) -> None:
    cell = "import gc\nquestion = f'Question: {context.lower()}'\ngc.collect()\nprint(rlm_query(question))"
    run = complete(rlms, context_of(corpus), [cell], [CHILD])
    assert run.printed == as_printed([cell], context=corpus.text, rlm_query=as_child)


@pytest.mark.thorough
def test_a_notice_never_stands_for_another_text(corpus: Corpus) -> None:
    context = context_of(corpus)
    questions: dict[str, str] = {}
    for number in range(300):
        text = context + f" {number}"
        question = f"Question: {text}"
        (found,) = notices.found_in(question)
        if found.reference.name in questions:
            with pytest.raises(AddressError):
                attach(questions[found.reference.name])
        questions[found.reference.name] = question
        if not number % 10:
            gc.collect()


def test_a_child_has_a_question_about_a_text_with_line_ends_of_windows(rlms: Any, tmp_path: Path) -> None:
    windows = packed("".join(f"line {number}\r\n" for number in range(20_000)), tmp_path / "windows.dprompt")
    child = "answer['content'] = str(len(context))\nanswer['ready'] = True"
    run = complete(rlms, context_of(windows), ["print(rlm_query(f'Question: {context}'))"], [child])
    assert run.printed == [f"{len(windows.text) + len('Question: ')}\n"]


def test_children_in_batches_have_what_they_are_given(rlms: Any, corpus: Corpus) -> None:
    cell = (
        "questions = [context[at : at + 60_000] for at in range(0, 250_000, 50_000)]\n"
        "answers = rlm_query_batched([context, *questions, f'Question: {context}', context[:100]])\n"
        "print('\\n'.join(answers))"
    )
    # Two cells at once would change the process's folder and standard output under each other.
    run = complete(rlms, context_of(corpus), [cell], [CHILD], max_concurrent_subcalls=1)

    def batched(prompts: list[str]) -> list[str]:
        return [as_child(prompt) for prompt in prompts]

    assert run.printed == as_printed([cell], context=corpus.text, rlm_query_batched=batched)
    assert not run.sent(corpus.text[20_000:21_000])


def test_children_of_children_have_what_they_are_given(rlms: Any, corpus: Corpus) -> None:
    child = (
        "import re\n"
        "seen = [len(context), context[:20], len(re.findall('needle', context))]\n"
        "if len(context) > 200_000:\n"
        "    seen += [rlm_query(context[150_000:]), rlm_query(f'And: {context[200_000:]}'), rlm_query(context[:50])]\n"
        "answer['content'] = repr(seen)\n"
        "answer['ready'] = True"
    )
    cell = "print(rlm_query(context[1000:]))"

    def asked(prompt: str) -> str:
        answer: dict[str, Any] = {}
        as_printed([child], context=prompt, answer=answer, rlm_query=asked)
        return str(answer["content"])

    run = complete(rlms, context_of(corpus), [cell], [child], max_depth=3)
    assert run.printed == as_printed([cell], context=corpus.text, rlm_query=asked)
    length = len(corpus.text)
    assert [told for _, told in run.told][:3] == [length, length - 1000, length - 151_000]
    assert not run.sent(corpus.text[20_000:21_000])


def test_below_the_last_child_a_question_has_a_notice(rlms: Any, corpus: Corpus) -> None:
    child = "answer['content'] = rlm_query(context) + rlm_query(context[:70])\nanswer['ready'] = True"
    run = complete(rlms, context_of(corpus), ["print(rlm_query(context))"], [child])
    assert [question[:70] for question in run.questions] == [run.questions[0][:70], corpus.text[:70]]
    assert run.questions[0].startswith(NOTICE)
    assert len(run.questions[0]) < NOTICE_CHARACTERS
    assert run.printed == [f"{len(run.questions[0])} characters70 characters\n"]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "environment",
    [
        "ipython",
        "ipython process",
    ],
)
def test_a_child_in_ipython_has_what_it_is_given(rlms: Any, corpus: Corpus, environment: str) -> None:
    names = ["the text", "a short slice", "a long slice", "a question"]
    cell = "\n".join(f"print(rlm_query({PROMPTS[name]}))" for name in names)
    run = complete(rlms, context_of(corpus), [cell], [CHILD], environment=environment)
    assert run.printed == as_printed([cell], context=corpus.text, rlm_query=as_child)


def test_logs_are_small_and_have_not_the_text(rlms: Any, corpus: Corpus, tmp_path: Path) -> None:
    names = ["slices", "long slices", "find", "lower", "other methods", "re.findall", "re.finditer", "re.sub"]
    cells = [
        *(CELLS[name] for name in names),
        OTHER_CELLS["shown"],
        OTHER_CELLS["asked of the whole"],
        "print(rlm_query(context), rlm_query(f'Question: {context}'), rlm_query_batched([context[50:]]))",
        "parts = [context[:100_000], {'rest': context[100_000:]}]",
    ]
    logger = rlms.logger.RLMLogger(log_dir=str(tmp_path))
    complete(rlms, context_of(corpus), cells, [CHILD], logger=logger)
    lines = [line for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    assert len(lines) == len(cells) + 2
    assert max(map(len, lines)) < LOG_CHARACTERS
    for line in lines:
        assert json.dumps(corpus.text[20_000:20_100])[1:-1] not in line


def test_what_is_logged_of_variables_is_small(rlms: Any, corpus: Corpus) -> None:
    cells = [
        "low = context.lower()\nlines = context.split('\\n')\npart = context[10:]\nboth = context + context",
        "pass",
    ]
    logged = json.dumps(complete(rlms, context_of(corpus), cells).results[-1]["locals"])
    assert {"context", "context_0", "low", "lines", "part", "both"} < json.loads(logged).keys()
    assert len(logged) < 5_000


def test_what_is_printed_for_the_user_is_small(rlms: Any, corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    complete(rlms, context_of(corpus), ["print(context)\nprint(rlm_query(context))"], [CHILD], verbose=True)
    shown = capsys.readouterr().out
    assert "What is in there?" not in shown or len(shown) < 30_000
    assert 0 < len(shown) < 30_000


SECOND = "if 'context_1' in SHOW_VARS():\n    {cell}\nelse:\n    print(len(context))\n" + FINISH
LATER: dict[str, tuple[Callable[[Any], Any], Callable[[str], Any], str]] = {
    "str": (lambda lazy: lazy[1000:], lambda text: text[1000:], ""),
    "question": (lambda lazy: f"Question: {lazy}", lambda text: f"Question: {text}", ""),
    "short": (lambda _: "short", lambda _: "short", ""),
}


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ("local", "str"),
        ("local", "question"),
        ("local", "short"),
        ("ipython", "str"),
        ("ipython process", "str"),
    ],
)
def test_the_context_of_a_later_completion_is_lazy_too(rlms: Any, corpus: Corpus, environment: str, kind: str) -> None:
    make, expected, item = LATER[kind]
    seen = f"print(len(context_1{item}), context_1{item}[-20:], context_1{item}.count('needle'), len(context))"
    context = context_of(corpus)
    with started(rlms, Script([SECOND.format(cell=seen)]), environment, persistent=True) as rlm:
        rlm.completion(context, root_prompt="What is in there?")
        assert results(rlm)[0]["stdout"] == f"{len(corpus.text)}\n"
        rlm.completion(make(context), root_prompt="And in there?")
        found = results(rlm)[0]
        printed = as_printed([seen], context=corpus.text, context_1=expected(corpus.text))
        assert (found["stderr"], [found["stdout"]]) == ("", printed)


def test_documents_are_a_list_for_the_model(rlms: Any, documents: tuple[Corpus, list[str]]) -> None:
    corpus, texts = documents
    cells = [
        "print(len(context), [len(each) for each in context], context[2][:50], context[-1][-50:], context[1:3][0][:9])",
        "print([number for number, each in enumerate(context) if 'needle 500' in each], context[0].count('needle'))",
        "import re\nprint([len(re.findall('key=.*7$', each, re.MULTILINE)) for each in context])",
        "print(rlm_query(context[2]), rlm_query(context[1]))\nprint(llm_query(context[1]))",
        "print(*rlm_query_batched([each for each in context]))",
    ]
    run = complete(rlms, context_of(corpus, documents=True), cells, [CHILD], max_concurrent_subcalls=1)
    assert run.printed == as_printed(
        cells,
        context=texts,
        rlm_query=as_child,
        rlm_query_batched=lambda prompts: [as_child(prompt) for prompt in prompts],
        llm_query=lambda prompt: f"{len(prompt)} characters",
    )
    assert run.told[0] == ("list", sum(map(len, texts)))
    assert not run.sent(texts[0][20_000:21_000])


@pytest.mark.parametrize("environment", ["local", "ipython"])
def test_a_list_of_texts(rlms: Any, corpus: Corpus, documents: tuple[Corpus, list[str]], environment: str) -> None:
    other = documents[0]
    cell = "print(type(context).__name__, [len(each) for each in context], [each.count('needle') for each in context])"
    contexts = [context_of(corpus), "a short one", context_of(other)]
    texts = [corpus.text, "a short one", other.text]
    run = complete(rlms, contexts, [cell], environment=environment)
    assert run.printed == as_printed([cell], context=texts)
    assert run.told == [("list", sum(map(len, texts)))]


@pytest.mark.parametrize("environment", ["local", "ipython"])
def test_a_dictionary_of_texts(rlms: Any, corpus: Corpus, environment: str) -> None:
    cell = "print(sorted(context), len(context['text']), context['text'].find('needle'), context['more'], context['n'])"
    texts = {"text": corpus.text, "more": ["a short one"], "n": 3}
    run = complete(rlms, texts | {"text": context_of(corpus)}, [cell], environment=environment)
    assert run.printed == as_printed([cell], context=texts)
    assert run.told == [("dict", len(corpus.text) + len('["a short one"]') + len("3"))]


def test_a_list_of_messages(rlms: Any, corpus: Corpus) -> None:
    cell = (
        "print([each['role'] for each in context], len(context[1]['content']), context[1]['content'].count('needle'))"
    )
    texts = [{"role": "system", "content": "Read."}, {"role": "user", "content": corpus.text}]
    run = complete(rlms, [texts[0], {"role": "user", "content": context_of(corpus)}], [cell])
    assert run.printed == as_printed([cell], context=texts)
    assert run.told == [("list", len("Read.") + len(corpus.text))]


def test_an_exact_context_is_right_for_code_in_c_as_well(rlms: Any, corpus: Corpus) -> None:
    cells = [
        *CELLS.values(),
        "import importlib\nprint(type(context) is str, len(importlib.import_module('re').findall('needle', context)))",
        "import io, json\nprint(len(json.dumps(context)), len(io.StringIO(context).readlines()))",
        "print(len(','.join([context, context])))",
    ]
    run = complete(rlms, context_of(corpus, exact=True), cells)
    assert run.printed == as_printed(cells, context=corpus.text, context_0=corpus.text)
    assert run.told == [("str", len(corpus.text))]


def test_a_short_text_is_an_ordinary_string(rlms: Any, tmp_path: Path) -> None:
    short = packed("a needle and no hay", tmp_path / "short.dprompt")
    run = complete(rlms, context_of(short), ["import re\nprint(type(context) is str, re.findall('need', context))"])
    assert run.printed == ["True ['need']\n"]
    assert run.told == [("str", len(short.text))]


def test_a_text_without_a_file_is_lazy_in_this_process(rlms: Any, corpus: Corpus) -> None:
    with DistributedPrompt.from_text(corpus.text, shard_size=1000) as prompt:
        cell = "import re\nprint(len(context), type(context).__name__, len(re.findall('needle', context)))"
        run = complete(rlms, as_context(prompt, view_threshold=VIEW_THRESHOLD), [cell])
        assert run.printed == [f"{len(corpus.text)} LazyStr {corpus.text.count('needle')}\n"]


def test_the_end_of_a_completion_closes_nothing_of_ours(rlms: Any, corpus: Corpus) -> None:
    prompt = corpus.prompt()
    context = as_context(prompt)
    cells = ["print(context.count('needle'))", "print(rlm_query(context[10:]))"]
    first = complete(rlms, context, cells, [CHILD]).printed
    assert prompt.find("needle 710") == corpus.text.find("needle 710")
    assert context[100_000:100_100] == corpus.text[100_000:100_100]
    assert complete(rlms, context, cells, [CHILD]).printed == first
    prompt.close()
    failed = complete(rlms, context, cells[:1]).results[0]
    assert "ClosedError" in failed["stderr"]


def test_completions_leave_no_packs_open(rlms: Any, corpus: Corpus) -> None:
    def opened() -> int:
        gc.collect()
        links = []
        for link in Path("/proc/self/fd").iterdir():
            with suppress(OSError):  # of a socket that is closed meanwhile
                links.append(link.readlink())
        return links.count(corpus.pack)

    before = opened()
    for _ in range(3):
        complete(rlms, context_of(corpus), ["print(context.count('needle'), rlm_query(context[10:]))"], [CHILD])
    assert opened() == before


def test_one_model_completes_one_text_after_the_other(
    rlms: Any, corpus: Corpus, documents: tuple[Corpus, list[str]]
) -> None:
    other = documents[0]
    cell = "import re\nseen = [len(context), len(re.findall('needle', context))]\n"
    cell += "answer['content'] = repr(seen)\nanswer['ready'] = True"
    with started(rlms, Script([cell])) as rlm:
        for each in (corpus, other, corpus):
            answer = rlm.completion(context_of(each), root_prompt="How many?").response
            assert answer == repr([len(each.text), each.text.count("needle")])


def test_two_models_at_once_have_a_text_each(
    rlms: Any, corpus: Corpus, documents: tuple[Corpus, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Their cells put another standard output, and another folder, in the place of each other's.
    monkeypatch.chdir(Path.cwd())
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    look = "import re\nfound = {name} + [len(context), len(re.findall('needle', context)), context.lower()[-9:]]"
    cells = [look.format(name="[]"), *[look.format(name="found")] * 5]
    cells.append("answer['content'] = repr(found)\nanswer['ready'] = True")
    answers: dict[int, str] = {}

    def run(number: int, model: Any, each: Corpus) -> None:
        answers[number] = str(model.completion(context_of(each), root_prompt="How many?").response)

    # The environment of a persistent one keeps its folder: it would be gone while the other's cell is in it.
    with (
        started(rlms, Script(cells), persistent=True) as one,
        started(rlms, Script(cells), persistent=True) as two,
    ):
        works = [(0, one, corpus), (1, two, documents[0])]
        threads = [threading.Thread(target=run, args=work) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number, _, each in works:
        seen = [len(each.text), each.text.count("needle"), each.text.lower()[-9:]]
        assert answers[number] == repr(seen * 6)


def test_set_up_code_of_the_user_runs_after_ours(rlms: Any, corpus: Corpus) -> None:
    arguments = repl_environment(setup_code="import re\nhits = len(re.findall('needle', context))")
    with serving(Script(["print(hits)", FINISH])) as client:
        logger = rlms.logger.RLMLogger()
        rlm = rlms.RLM(backend="openai", backend_kwargs=client, logger=logger, **arguments)
        rlm.completion(context_of(corpus), root_prompt="How many?")
        assert results(rlm)[0]["stdout"] == f"{corpus.text.count('needle')}\n"


def test_no_cell_sees_hooks_that_another_program_of_this_process_would_notice(rlms: Any, corpus: Corpus) -> None:
    before = (open, __import__("re"), dict(vars(__import__("builtins"))))
    complete(rlms, context_of(corpus), ["import re\nprint(re.search('needle', context))"])
    assert before == (open, __import__("re"), dict(vars(__import__("builtins"))))
    assert re is sys.modules["re"]


def test_credentials_are_nowhere_to_be_read(rlms: Any, corpus: Corpus, bucket: Bucket, tmp_path: Path) -> None:
    address = bucket.push(corpus)
    cells = [
        "print(context, repr(context), context.count('needle'))",
        "print(rlm_query(context), rlm_query(f'Question: {context}'), llm_query(context))",
    ]
    folder = tmp_path / "log"
    with dp.open(address) as prompt:
        context = as_context(prompt, view_threshold=VIEW_THRESHOLD)
        run = complete(rlms, context, cells, [CHILD], logger=rlms.logger.RLMLogger(log_dir=str(folder)))
    assert f"{corpus.text.count('needle')}\n" in run.printed[0]
    logged = "".join(path.read_text() for path in folder.iterdir())
    assert address in logged
    for said in (logged, json.dumps(run.received), run.printed[0]):
        assert bucket.secret not in said
        assert "X-Amz-" not in said


def test_the_key_to_notices_is_shown_to_no_model(rlms: Any, corpus: Corpus) -> None:
    cells = ["print(context, SHOW_VARS())", "print(rlm_query(context), llm_query(context))"]
    run = complete(rlms, context_of(corpus), cells, [CHILD])
    assert notices.key() not in json.dumps(run.received)


Start = Callable[..., Any]


@pytest.fixture
def docker_cells(rlms: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts environments for docker, but for the container: each cell is a process of its own, on this machine.

    They have what processes print that run a cell, and may have the package not as a container has it, but in a folder
    of sources: such modules are pickled with all that is in them.
    """
    assert rlms
    docker, types = imported("rlm.environments.docker_repl"), imported("rlm.core.types")
    imported("requests")
    imported("dill")
    monkeypatch.setenv("RLM_DOCKER_WORKSPACE_DIR", str(tmp_path))
    packages = tmp_path / "site-packages"
    packages.mkdir()
    (packages / dp.__name__).symlink_to(ROOT / dp.__name__)

    base: Any = docker.DockerREPL

    class Cells(base):  # type: ignore[misc]
        """Runs the cells where the container would."""

        printed: ClassVar[list[str]] = []
        path = str(packages)

        def setup(self) -> None:
            """There is no container."""

        def execute_code(self, code: str) -> Any:
            """Run a cell, as a container of this package would."""
            here = code.replace("/workspace", self.temp_dir)
            script = Path(self.temp_dir, "cell.py")
            script.write_text(docker._build_exec_script(here, 0).replace("/workspace", self.temp_dir))
            ran = subprocess.run(
                [sys.executable, script],
                check=True,
                capture_output=True,
                text=True,
                timeout=60,
                env=os.environ | {"PYTHONPATH": self.path},
            )
            self.printed.append(ran.stdout)
            found = json.loads(ran.stdout)
            return types.REPLResult(found["stdout"], found["stderr"] + ran.stderr, found["locals"])

    def begin(context: Any, *, is_installed: bool = True) -> Any:
        Cells.path = str(packages if is_installed else ROOT)
        environment = Cells(context_payload=context, **repl_environment("docker")["environment_kwargs"])
        environments.append(environment)
        return environment

    environments: list[Any] = []
    yield begin
    for environment in environments:
        environment.cleanup()


def run_in(environment: Any, cells: Sequence[str]) -> list[str]:
    """What cells print, none of which fails."""
    ran = [environment.execute_code(cell) for cell in cells]
    assert [result.stderr for result in ran] == [""] * len(ran)
    return [result.stdout for result in ran]


@pytest.mark.thorough
def test_processes_one_a_cell_keep_texts_lazy(docker_cells: Start, corpus: Corpus) -> None:
    cells = [CELLS[name] for name in ("length", "lower", "re.findall", "re.compile", "split", "joined")]
    cells += [
        "print(low[:50], low.find('kernel panic'), len(lines), lines[7], len(more), heads.findall(context)[:3])",
        "import re\nprint(len(context), re.sub('x', 'y', 'axb'), len(re.findall('needle', low)), more[-4:])",
    ]
    environment = docker_cells(context_of(corpus))
    assert run_in(environment, cells) == as_printed(cells, context=corpus.text, context_0=corpus.text)
    assert run_in(environment, ["context = 'overwritten'", "print(type(context).__name__)"]) == ["", "LazyStr\n"]
    assert max(map(len, environment.printed)) < 5_000
    assert sum(path.stat().st_size for path in Path(environment.temp_dir).iterdir()) < 50_000


def test_processes_one_a_cell_keep_what_re_makes(docker_cells: Start, corpus: Corpus) -> None:
    cells = [
        "import re\nshort = re.sub('key=.*', '', context)\nparts = re.split('\\n## ', context)",
        "print(len(context), len(short), len(parts))",
    ]
    assert run_in(docker_cells(context_of(corpus)), cells) == as_printed(cells, context=corpus.text)


def test_processes_one_a_cell_import_re_where_the_package_is_not_installed(docker_cells: Start, corpus: Corpus) -> None:
    cells = ["import re\nprint(len(re.findall('needle', context)))", "print(len(re.findall('haystack', context)))"]
    environment = docker_cells(context_of(corpus), is_installed=False)
    assert run_in(environment, cells) == as_printed(cells, context=corpus.text)


def test_processes_one_a_cell_have_documents_and_later_contexts(
    docker_cells: Start, corpus: Corpus, documents: tuple[Corpus, list[str]]
) -> None:
    several, texts = documents
    environment = docker_cells(context_of(several, documents=True))
    environment.add_context(context_of(corpus))
    cell = "print([len(each) for each in context], context[1], len(context_1), context_1.count('needle'))"
    assert run_in(environment, [cell]) == as_printed([cell], context=texts, context_1=corpus.text)


@pytest.mark.parametrize("environment", ["modal", "e2b", "daytona", "prime", "somewhere"])
def test_environments_that_write_the_context_into_a_cell_are_refused(environment: str) -> None:
    with pytest.raises(ArgumentError, match=f"environment '{environment}'.*docker"):
        repl_environment(environment)


@pytest.fixture(scope="session")
def long_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    block = "".join(
        f"{number:06d} {number * 2654435761 % 2**32:08x} some words of a line\n" for number in range(12_000)
    )
    with (folder / "text.txt").open("w", encoding="ascii") as file:
        for number in range(MEMORY_CHARACTERS // len(block) + 1):
            file.write(f"## Block {number}\n{block}")
    assert dp.pack(folder / "text.txt", folder / "long.dprompt").length >= MEMORY_CHARACTERS
    (folder / "text.txt").unlink()
    return folder / "long.dprompt"


LONG = """
import json, sys, warnings
warnings.simplefilter("ignore")
from bench.watching import Watched
from rlm import RLM
from rlm.logger import RLMLogger
from distributed_prompt.attaching import attach
from distributed_prompt.errors import AddressError
from distributed_prompt.integrations.rlms import as_context, repl_environment
pack, log_dir, client = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
with Watched() as before:
    rlm = RLM(
        backend="openai",
        backend_kwargs=client,
        max_depth=2,
        logger=RLMLogger(log_dir=log_dir),
        **repl_environment(),
    )
with Watched() as watched:
    answer = rlm.completion(as_context(pack), root_prompt="What is in there?").response
print(json.dumps([answer, before.peak_bytes / 1e6, watched.peak_bytes / 1e6]))
"""


@pytest.mark.thorough
@pytest.mark.usefixtures("rlms")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see memory")
def test_a_completion_over_a_long_text_takes_little_memory(long_pack: Path, tmp_path: Path) -> None:
    cells = [
        "found = [len(context), context.count('## Block'), context.find('nowhere')]\nprint(context)",
        "import re\nfound += [len(re.findall('^## Block .*$', context, re.MULTILINE)), len(context.split('\\n'))]",
        "low = context.lower()\nfound += [low.find('## block 100'), len(context + low), len(context[5_000_000:])]",
        "print(llm_query(f'Summarise {context}'))\nfound += [rlm_query(context), rlm_query(f'Question: {low}')]",
        "answer['content'] = repr(found)\nanswer['ready'] = True",
    ]
    child = "answer['content'] = f\"{len(context)} {context.count('some words')}\"\nanswer['ready'] = True"
    with serving(Script(cells, [child])) as client:
        command = [sys.executable, "-c", LONG, str(long_pack), str(tmp_path), json.dumps(client)]
        ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100, cwd=ROOT)
    answer, before_mb, peak_mb = json.loads(ran.stdout)
    with dp.open(long_pack) as prompt:
        length, blocks, lines = len(prompt), prompt.count("## Block"), len(prompt.lines)
        at, words = prompt.find("## Block 100"), prompt.count("some words")
    found: list[Any] = [length, blocks, -1, blocks, lines + 1, at, 2 * length, length - 5_000_000]
    found += [f"{length} {words}", f"{length + len('Question: ')} {words}"]
    assert answer == repr(found)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < LOG_CHARACTERS
    assert peak_mb < MEMORY_MB, f"{before_mb} before"
