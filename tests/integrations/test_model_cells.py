"""What language models write prints over a lazy context what it prints over a ``str``, but for what is listed here.

The listed differences are the price of laziness: somebody asks for the type, or C code reads the string itself. They
are asserted like all the rest, so that none goes or comes unnoticed.
"""

import io
import re
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import pytest

from distributed_prompt import DistributedPrompt
from distributed_prompt.cells import OUTPUT_LIMIT, BoundedOutput, Cells
from distributed_prompt.lazy_str import LazyStr
from tests.integrations.model_cells import CELLS, LONG_LINE_CHARACTERS, llm_query, llm_query_batched, text

pytestmark = pytest.mark.thorough
SHARD_SIZE = 1_000
VIEW_THRESHOLD = 20_000


class Difference(NamedTuple):
    """How what a cell prints differs from what it prints over a ``str``.

    Attributes:
        plain: a pattern of what is printed over a ``str``.
        instead: a pattern of what is printed in its place; all the rest is the same.
        why: what makes it so.
    """

    plain: str
    instead: str
    why: str

    def describes(self, plain: str, other: str) -> bool:
        """Whether it is what differs."""
        kept = map(re.escape, re.split(self.plain, plain, flags=re.DOTALL))
        return plain != other and bool(re.fullmatch(self.instead.join(kept), other, re.DOTALL))


ASKED = "a type's own name is shown"
READ_IN_C = "code in C reads the string itself, and finds the notice"
LAZY_LIST = "a lazy sequence cannot be changed or added to"
LAZY_LINE = "a line longer than view_threshold is lazy, and read by code in C"
OUR_RE = "patterns and their matches are the package's own"
REFUSED = r"TypeError: Fields is lazy and cannot be changed or added to; list\(x\) makes an ordinary list of it"
ANSWER = r"answer \w{8} to"

PATTERN = Difference(r"re\.compile", r"distributed_prompt\.re\.compile", OUR_RE)
MEANT = {
    "type, length and beginning": Difference(r"class 'str'", r"class 'distributed_prompt\.lazy_str\.LazyStr'", ASKED),
    "type and length in a line": Difference(r"type: str", r"type: LazyStr", ASKED),
    "is it JSON, and why not": Difference(r"column 1 \(char 0\)", r"column 2 \(char 1\)", READ_IN_C),
    "a method of dict": Difference(r"'str'", r"'LazyStr'", ASKED),
    "repr of it": Difference(r"'Title.+", r"LazyStr\(length=[^\n]+\)\n", "it is one short line, however long the text"),
    "size in memory": Difference(r"True", r"False", "the object does not hold the text"),
    "print a pattern": PATTERN,
    "print a match": Difference(r"<re\.Match", r"<distributed_prompt\.re\.Match", OUR_RE),
    "what lines are": Difference(r"'list'> True", r"'distributed_prompt\.strings\.fields\.Fields'> False", ASKED),
    "print lines": Difference(r"(?<='', )'### .+", r"… [\d,]+ more\]\n", "only the first lines are shown"),
    "lines joined again": Difference(r"True", r"False", LAZY_LINE),
    "functions over lines": Difference(r"^\d+", r"\d+", LAZY_LINE),
    "append to lines": Difference(r"\d+", REFUSED, LAZY_LIST),
    "sort lines": Difference(r"sorted", REFUSED, LAZY_LIST),
    "lines and a list": Difference(r"\d+", REFUSED, LAZY_LIST),
    "lines in JSON": Difference(r"\d+", r"TypeError: Object of type Fields is not JSON serializable", "it is no list"),
    "a line beyond the end": Difference(r"list index", r"Fields index", ASKED),
    "JSON from an offset of everything": Difference(r"\(\{.+\)", r"JSONDecodeError", READ_IN_C),
    "a buffer of everything": Difference(r"\d+", r"\d{3}", READ_IN_C),
    "everything wrapped": Difference(r"(?<=\n).+", r".+\n", f"textwrap has a re of its own, and {READ_IN_C}"),
    "normalised": Difference(r"\d+\n$", r"\d+\n", READ_IN_C),
    "templates of everything": Difference(r"\d+", r"1\d{3}", READ_IN_C),
    "everything written and read as a path": Difference(r"\d+ Title.+", r"\d{3} \[This stands for a t\n", READ_IN_C),
    "everything for a sub-call": Difference(rf"{ANSWER} \d+", rf"{ANSWER} 1\d{{3}}", READ_IN_C),
    "context itself for a sub-call": Difference(rf"{ANSWER} \d+", rf"{ANSWER} \d{{3}}", READ_IN_C),
    "sub-calls over large chunks": Difference(rf"{ANSWER} \d+", rf"{ANSWER} 1\d{{3}}", READ_IN_C),
    "joined": Difference(r"\d+", r"\d{3}", READ_IN_C),
    "joined slices": Difference(r"60005", r"\d{3}", READ_IN_C),
    "a wrong operand": Difference(
        r'can only concatenate str \(not "int"\) to str',
        r"unsupported operand type\(s\) for \+: 'LazyStr' and 'int'",
        ASKED,
    ),
    "an item set": Difference(r"'str'", r"'LazyStr'", ASKED),
}
# What nobody meant, until somebody mends it.
LINE_ENDS = {
    "everything written, read as text": Difference(
        r"\d+ False", r"\d+ True", "a file that holds a notice gives the text as it is, whatever its line ends"
    ),
}
LAZY = MEANT | LINE_ENDS
EXACT = {"print a pattern": PATTERN}

HELPERS = {"llm_query": llm_query, "llm_query_batched": llm_query_batched}
Run = Callable[[str], str]


def over_str() -> Run:
    """An ordinary REPL, whose output is cut as that of the package's."""
    namespace: dict[str, Any] = {"__name__": "__main__", "context": text(), "re": re} | HELPERS

    def run(source: str) -> str:
        output, error = io.StringIO(), ""
        bounded = BoundedOutput(output, OUTPUT_LIMIT)
        try:
            with redirect_stdout(bounded):
                exec(compile(source, "<cell>", "exec", dont_inherit=True), namespace)  # noqa: S102  # a REPL
        except Exception as raised:  # noqa: BLE001  # whatever the cell raises
            error = traceback.format_exception_only(raised)[-1]
        bounded.close_with_note()
        return output.getvalue() + error

    return run


def cells_of_text(*, exact: bool = False) -> Cells:
    """The REPL of the package, as lazy as it can be with such a short text."""
    prompt = DistributedPrompt.from_text(text(), shard_size=SHARD_SIZE)
    prompt.view_threshold = VIEW_THRESHOLD
    cells = Cells(prompt, exact=exact)
    assert type(cells.namespace["context"]) is (str if exact else LazyStr)
    cells.namespace.update(HELPERS)
    return cells


def over_context(*, exact: bool) -> Run:
    cells = cells_of_text(exact=exact)

    def run(source: str) -> str:
        output, errors = io.StringIO(), io.StringIO()
        cells.run(source, output=output, errors=errors)
        return output.getvalue() + "".join(errors.getvalue().splitlines(keepends=True)[-1:])

    return run


def printed(run: Run) -> dict[str, str]:
    """What each cell prints, and the last line of what it raises, all in one namespace."""
    return {name: run(source) for name, source in CELLS}


@pytest.fixture(scope="module")
def plain() -> dict[str, str]:
    return printed(over_str())


@pytest.mark.parametrize(
    ("exact", "differences"), [pytest.param(False, LAZY, id="lazy"), pytest.param(True, EXACT, id="exact")]
)
def test_cells_print_what_they_print_over_a_str_but_for_what_is_listed(
    plain: dict[str, str], differences: dict[str, Difference], *, exact: bool
) -> None:
    found = printed(over_context(exact=exact))

    def is_promised(name: str) -> bool:
        listed = differences.get(name)
        return listed.describes(plain[name], found[name]) if listed else plain[name] == found[name]

    wrong = [name for name in plain if not is_promised(name)]
    assert differences.keys() <= plain.keys()
    assert not wrong, "\n".join(f"{name}\n-- str:\n{plain[name]}\n-- here:\n{found[name]}" for name in wrong)


def test_the_cells_are_many_and_each_says_something_of_its_own(plain: dict[str, str]) -> None:
    assert len(plain) == len(CELLS) >= 150
    assert all(plain.values())
    assert len(set(plain.values())) > 0.9 * len(CELLS)


def test_the_text_and_one_of_its_lines_are_long_enough_to_be_lazy() -> None:
    assert 280_000 < len(text()) < 320_000
    assert VIEW_THRESHOLD < LONG_LINE_CHARACTERS <= max(map(len, text().split("\n")))


def test_everything_is_printed_where_there_is_no_limit() -> None:
    output = io.StringIO()
    cells_of_text().run("print(context)", output=output, errors=output, limit=None)
    assert output.getvalue() == text() + "\n"
