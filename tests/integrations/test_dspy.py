"""The released package ``dspy``, unpatched: ``dspy.RLM`` and its ``LocalInterpreter`` with texts larger than memory.

What cells print is compared with what they print where the context is an ordinary string.
"""

import io
import json
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import distributed_prompt as dp
from distributed_prompt import DistributedPrompt, notices
from distributed_prompt.errors import ArgumentError, ClosedError
from tests.integrations.conftest import VIEW_THRESHOLD, Bucket, Corpus, imported, packed
from tools.scripted_model import Messages, serving

NOTICE = "[This stands for a text of "
LOG_CHARACTERS = 150_000

pytestmark = [
    # The package leaves sockets and pipes to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("_quick_servers", "_tidy"),
]


class Run(NamedTuple):
    """What came of a call.

    Attributes:
        prediction: what the package returns.
        received: all conversations that the model was sent.
        history: what the package keeps of them.
    """

    prediction: Any
    received: list[Messages]
    history: Any

    @property
    def printed(self) -> list[str]:
        """What each cell printed."""
        return [str(entry["output"]) for entry in self.prediction.trajectory]

    @property
    def sent(self) -> str:
        """All that the model was sent."""
        return "\n".join(str(message["content"]) for messages in self.received for message in messages)


class Cells:
    """A model that plays cells; to other questions it says how long they are."""

    def __init__(self, cells: Sequence[str]) -> None:
        self._cells = cells
        self.received: list[Messages] = []

    def __call__(self, messages: Messages) -> str:
        self.received.append(messages)
        asked = str(messages[-1]["content"])
        if "[[ ## repl_history ## ]]" not in asked:
            return f"{len(asked)} characters"
        cell = self._cells[min(asked.count("=== Step "), len(self._cells) - 1)]
        return f"[[ ## reasoning ## ]]\nLook.\n\n[[ ## code ## ]]\n```python\n{cell}\n```\n\n[[ ## completed ## ]]"


@contextmanager
def started(dspy: Any, cells: Sequence[str]) -> Iterator[tuple[Cells, Any]]:
    """A model that plays cells, in use."""
    model = Cells(cells)
    with serving(model) as client:
        lm = dspy.LM(f"openai/{client['model_name']}", api_base=client["base_url"], api_key="none", cache=False)
        with dspy.context(lm=lm, interpreter_factory=dspy.LocalInterpreter):
            yield model, lm


def run(dspy: Any, cells: Sequence[str], signature: Any = "context, question -> answer", **inputs: Any) -> Run:
    """Have a model run cells, the last of which submits."""
    with started(dspy, cells) as (model, lm):
        prediction = dspy.RLM(signature, max_iters=len(cells))(**({"question": "What is in there?"} | inputs))
        return Run(prediction, model.received, lm.history)


def as_printed(cells: Sequence[str], **names: Any) -> list[str]:
    """What cells print where all is as usual, as this package shows it."""
    found = []
    for cell in cells:
        with redirect_stdout(io.StringIO()) as output:
            exec(cell, names)  # noqa: S102  # ours
        found.append(output.getvalue().rstrip("\n"))
    return found


@pytest.fixture
def prompt_input(dspy: Any) -> Any:
    """The class: it is made only where the package is installed."""
    assert dspy
    return imported("distributed_prompt.integrations.dspy").PromptInput


LOOKS = {
    "length": "print(len(context), bool(context), isinstance(context, str))",
    "slices": "print(context[:200], context[-77:], context[150_000:150_300], context[5], context[10:4000:97])",
    "long slices": "part = context[1000:250_000]\nprint(len(part), part[500:600], part[-50:], len(part[1000:-1000]))",
    "one document": "print(context[:9], len(context.split('\\n')[3]))",
}
SEARCHES = {
    "find": (
        "print([context.find(word) for word in ('needle', 'needle 710', 'nowhere', '', '🎉')])\n"
        "print(context.find('needle', 100_000, 200_000), context.rfind('needle'), context.index('第五章'))"
    ),
    "in": "print('needle 710' in context, 'nowhere' in context, '\\n\\n' in context)",
    "count": "print(context.count('needle'), context.count('\\n'), context.count('nowhere'))",
    "split": (
        "lines = context.split('\\n')\nprint(len(lines), lines[7], lines[-2])\n"
        "print([line for line in lines if 'haystack' in line][:5])"
    ),
    "lower": "low = context.lower()\nprint(len(low), low[:200], low.find('kernel panic'), low.count('strasse'))",
    "re": (
        "import re\n"
        r"print(re.findall(r'needle (\d+)', context)[:50], len(re.findall(r'\bneedle\b', context)))"
        "\nprint([match.span() for match in re.finditer('key=.*7$', context, re.MULTILINE)][:9])\n"
        r"print(len(re.sub('key=.*', '', context)), re.split(r'\n## .*\n', context)[7][:40])"
    ),
    "re, imported before": "print(re.search('haystack', context).span(), re.__name__ != '')",
    "state": "print(len(lines), low[100:150])",
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(2) as pool:\n"
        "    print(list(pool.map(lambda at: context[at : at + 40_000].count('needle'), range(0, 300_000, 20_000))))"
    ),
}
SUBMIT = "SUBMIT(answer=str(len(context)))"


def test_cells_that_look_print_what_they_print_of_a_str(dspy: Any, prompt_input: Any, corpus: Corpus) -> None:
    cells = list(LOOKS.values())
    found = run(dspy, [*cells, SUBMIT], context=prompt_input(corpus.prompt()))
    assert found.printed[:-1] == as_printed(cells, context=corpus.text)
    assert found.prediction.answer == str(len(corpus.text))


def test_cells_that_search_print_what_they_print_of_a_str(dspy: Any, prompt_input: Any, corpus: Corpus) -> None:
    cells = list(SEARCHES.values())
    found = run(dspy, [*cells, SUBMIT], context=prompt_input(corpus.prompt()))
    assert found.printed[:-1] == as_printed(cells, context=corpus.text)
    assert found.prediction.answer == str(len(corpus.text))


def test_the_model_is_told_the_true_length_and_how_the_text_begins(
    dspy: Any, prompt_input: Any, corpus: Corpus
) -> None:
    found = run(dspy, [SUBMIT], context=prompt_input(corpus.prompt()))
    assert f"a str of {len(corpus.text):,} characters, read lazily" in found.sent
    assert corpus.text.split("\n")[0] in found.sent
    assert corpus.text[2000:2100] not in found.sent
    assert "import distributed_prompt.re as re" in found.sent


def test_re_is_exact_without_an_import(dspy: Any, prompt_input: Any, corpus: Corpus) -> None:
    cells = ["print(re.search('needle 20 ', context).span(), re.match('##', context).end())", SUBMIT]
    found = run(dspy, cells, context=prompt_input(corpus.prompt()))
    assert found.printed[:-1] == as_printed(cells[:-1], context=corpus.text, re=re)


def test_printing_the_text_shows_its_ends(dspy: Any, prompt_input: Any, corpus: Corpus) -> None:
    found = run(dspy, ["print(context)", "context", SUBMIT], context=prompt_input(corpus.prompt()))
    for shown in found.printed[:2]:
        assert shown.startswith(f"{NOTICE}{len(corpus.text):,} characters")
        assert len(shown) < 2_500
    assert corpus.text[:1000] in found.printed[0]
    assert corpus.text[-200:] in found.printed[0]


def test_questions_have_slices_and_of_the_whole_a_notice(dspy: Any, prompt_input: Any, corpus: Corpus) -> None:
    cells = [
        "print(llm_query(f'Summarise {context[1000:2000]}'))",
        "print(llm_query_batched([context[at : at + 500] for at in (5000, 6000)]))",
        "print(llm_query(f'Summarise {context}'), llm_query(context))",
        SUBMIT,
    ]
    found = run(dspy, cells, context=prompt_input(corpus.prompt()))
    asked = [messages[-1]["content"] for messages in found.received if len(messages) == 1]
    assert asked[0] == f"Summarise {corpus.text[1000:2000]}"
    assert set(asked[1:3]) == {corpus.text[5000:5500], corpus.text[6000:6500]}
    assert [question.partition("[")[0] for question in asked[3:]] == ["Summarise ", ""]
    assert all(NOTICE in question and len(question) < 2_500 for question in asked[3:])
    assert found.printed[1] == "['500 characters', '500 characters']"


def test_what_is_kept_and_sent_is_small(dspy: Any, prompt_input: Any, corpus: Corpus) -> None:
    cells = [*LOOKS.values(), "print(context)", "kept = context[10:]\nboth = kept + kept", "context[10:]", SUBMIT]
    found = run(dspy, cells, context=prompt_input(corpus.prompt()))
    assert len(found.history) == len(found.received) == len(cells)
    kept = repr(found.history) + repr(found.prediction.trajectory)
    assert len(kept) < LOG_CHARACTERS * 3
    for said in (kept, found.sent):
        assert corpus.text[20_000:20_200] not in said
        assert repr(corpus.text[20_000:20_200])[1:-1] not in said
        assert notices.key() not in said


def test_an_error_is_that_of_str_and_ends_nothing(dspy: Any, prompt_input: Any, corpus: Corpus) -> None:
    cells = ["context[10**9]", "import re\nre.search('(', context)", "print(len(context))", SUBMIT]
    found = run(dspy, cells, context=prompt_input(corpus.prompt()))
    assert "IndexError: string index out of range" in found.printed[0]
    assert "missing ), unterminated subpattern" in found.printed[1]
    assert found.printed[2] == str(len(corpus.text))


def test_a_field_may_be_declared_as_a_prompt(dspy: Any, prompt_input: Any, corpus: Corpus) -> None:
    class Ask(dspy.Signature):  # type: ignore[misc]
        """Answer the question about a text."""

        context: prompt_input = dspy.InputField(desc="all of the text")
        question: str = dspy.InputField()
        answer: int = dspy.OutputField()

    found = run(dspy, ["SUBMIT(answer=len(context))"], Ask, context=prompt_input(corpus.prompt()))
    assert found.prediction.answer == len(corpus.text)
    assert "all of the text" in found.sent


def test_two_texts_at_once(dspy: Any, prompt_input: Any, corpus: Corpus, documents: tuple[Corpus, list[str]]) -> None:
    cells = ["print(len(one), len(two), one[:50], two[-50:])", "SUBMIT(answer=str(one[:100] == two[:100]))"]
    found = run(
        dspy,
        cells,
        "one, two, question -> answer",
        one=prompt_input(corpus.prompt()),
        two=prompt_input(documents[0].prompt()),
    )
    assert found.printed[:1] == as_printed(cells[:1], one=corpus.text, two=documents[0].text)
    assert found.prediction.answer == "False"


def test_an_exact_text_is_right_for_code_in_c_as_well(dspy: Any, prompt_input: Any, corpus: Corpus) -> None:
    cells = [
        *LOOKS.values(),
        *SEARCHES.values(),
        "import importlib\nprint(len(importlib.import_module('re').findall('needle', context)))",
        "import json\nprint(type(context) is str, len(json.dumps(context)))",
    ]
    found = run(dspy, [*cells, SUBMIT], context=prompt_input(corpus.prompt(), exact=True))
    assert found.printed[:-1] == as_printed(cells, context=corpus.text)
    assert f"a str of {len(corpus.text):,} characters" in found.sent


def test_documents_are_a_list_for_the_model(dspy: Any, prompt_input: Any, documents: tuple[Corpus, list[str]]) -> None:
    corpus, texts = documents
    cells = [
        "print(len(context), [len(each) for each in context], context[2][:50], context[-1][-50:], context[1:3][0][:9])",
        "print([each[100:120] for each in context], context[1] in context, llm_query(context[1]))",
        "SUBMIT(answer=str(len(context)))",
    ]
    found = run(dspy, cells, context=prompt_input(corpus.prompt(), documents=True))
    printed = as_printed(cells[:-1], context=texts, llm_query=lambda prompt: f"{len(prompt)} characters")
    assert found.printed[:-1] == printed
    assert f"a sequence of {len(texts)} documents of {len(corpus.text):,} characters" in found.sent
    assert found.prediction.answer == str(len(texts))


def test_a_short_text_is_an_ordinary_string(dspy: Any, prompt_input: Any, tmp_path: Path) -> None:
    short = packed("a needle and no hay, caf\u00e9 \U0001f389", tmp_path / "short.dprompt")
    cells = ["import re\nprint(type(context) is str, context, re.findall('need', context))", SUBMIT]
    found = run(dspy, cells, context=prompt_input(short.pack))
    assert found.printed[0] == f"True {short.text} ['need']"
    assert "read lazily" not in found.sent
    assert f"a str of {len(short.text)} characters" in found.sent


def test_it_may_be_given_a_path_or_a_view(dspy: Any, prompt_input: Any, corpus: Corpus) -> None:
    cells = ["print(len(context), context[1000:1100])", SUBMIT]
    givens = [(str(corpus.pack), corpus.text), (corpus.pack, corpus.text), (corpus.prompt().view(5), corpus.text[5:])]
    for given, text in givens:
        found = run(dspy, cells, context=prompt_input(given))
        assert found.printed[:1] == as_printed(cells[:1], context=text)


def test_a_text_without_a_file_is_refused_with_its_reason(dspy: Any, prompt_input: Any, corpus: Corpus) -> None:
    error = imported("dspy.primitives.code_interpreter").CodeExecutionError
    with DistributedPrompt.from_text(corpus.text, shard_size=1000) as prompt:
        prompt.view_threshold = 1000
        with pytest.raises(error, match="exists no longer, or in another process"):
            run(dspy, [SUBMIT], context=prompt_input(prompt))


def test_a_text_on_a_server(dspy: Any, prompt_input: Any, bucket: Bucket, tmp_path: Path) -> None:
    digits = random.Random(1)  # noqa: S311  # no secret
    text = "".join(f"{number} needle {digits.randbytes(20).hex()}\n" for number in range(60_000))
    large = packed(text, tmp_path / "large.dprompt")  # more than is read at once
    cells = [
        "print(len(context), context.count('needle'), context.lower().find('59999 needle'))",
        "print(context[2_000_000:2_000_100], repr(context))",
        SUBMIT,
    ]
    with dp.open(bucket.push(large)) as prompt:
        prompt.view_threshold = VIEW_THRESHOLD
        found = run(dspy, cells, context=prompt_input(prompt))
    assert found.printed[:1] == as_printed(cells[:1], context=text)
    assert found.printed[1].startswith(text[2_000_000:2_000_100])
    for said in (found.sent, repr(found.history), repr(found.prediction.trajectory)):
        assert bucket.secret not in said
        assert "X-Amz-" not in said


def test_it_survives_copies_and_shows_itself_shortly(dspy: Any, prompt_input: Any, corpus: Corpus) -> None:
    value = prompt_input(corpus.prompt())
    example = dspy.Example(context=value, question="What?").with_inputs("context", "question")
    assert example.copy().context is value
    assert value.__deepcopy__({}) is value
    assert len(str(value)) <= 500
    assert len(value.rlm_preview(120)) <= 200
    assert len(repr(value)) < 300
    assert json.loads(json.dumps(value.to_sandbox().decode())).startswith(NOTICE)


def test_it_closes_what_it_opened_and_nothing_else(prompt_input: Any, corpus: Corpus) -> None:
    with prompt_input(corpus.pack) as value:
        opened = value.prompt
        assert opened[:9] == corpus.text[:9]
    with pytest.raises(ClosedError):
        opened.find("needle")
    value.close()
    prompt = corpus.prompt()
    prompt_input(prompt).close()
    assert prompt[:9] == corpus.text[:9]


def test_what_it_opened_in_vain_is_closed(prompt_input: Any, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[DistributedPrompt] = []

    def open_one(address: Path) -> DistributedPrompt:
        opened.append(dp.open(address))
        return opened[-1]

    monkeypatch.setattr(imported("distributed_prompt.integrations.dspy"), "open", open_one)
    with pytest.raises(ArgumentError, match="not both"):
        prompt_input(corpus.pack, exact=True, documents=True)
    with pytest.raises(ClosedError):
        opened[0].find("needle")
