"""The README's table of every method and operator: what it gives of a long text, and what that costs.

``python -m tools.method_table`` writes it into the README. What a method gives is found out by calling it on a text
that is too long for an ordinary string; its cost is the last line of its docstring.
"""

import inspect
import re
import sys
from pathlib import Path
from typing import Any

from distributed_prompt import DistributedPrompt
from distributed_prompt.errors import MaterialiseError
from distributed_prompt.images import MATERIALISE_LIMIT
from distributed_prompt.sequences import LazySequence

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- methods: make methods -->\n", "<!-- end of methods -->\n"
_LENGTH = MATERIALISE_LIMIT + 2**10
_OPERATORS = {
    "__add__": "p + q",
    "__contains__": "q in p",
    "__eq__": "p == q",
    "__format__": "format(p)",
    "__ge__": "p >= q",
    "__getitem__": "p[a:b:c]",
    "__gt__": "p > q",
    "__hash__": "hash(p)",
    "__iter__": "iter(p)",
    "__le__": "p <= q",
    "__len__": "len(p)",
    "__lt__": "p < q",
    "__mod__": "p % q",
    "__mul__": "p * n",
    "__repr__": "repr(p)",
    "__rmod__": "q % p",
    "__str__": "str(p)",
}
_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "__add__": ("x",),
    "__contains__": ("b",),
    "__eq__": ("b",),
    "__format__": ("",),
    "__ge__": ("b",),
    "__getitem__": (slice(None),),
    "__gt__": ("b",),
    "__le__": ("b",),
    "__lt__": ("b",),
    "__mod__": ((),),
    "__mul__": (2,),
    "__rmod__": ("%s",),
    "center": (2 * _LENGTH,),
    "chunks": (10,),
    "count": ("b",),
    "endswith": ("b",),
    "find": ("b",),
    "find_all": ("b",),
    "find_many": (["b", "c"],),
    "format_map": ({},),
    "index": ("a",),
    "join": (["x", "y"],),
    "line_at": (0,),
    "line_start": (0,),
    "ljust": (2 * _LENGTH,),
    "maketrans": ({},),
    "partition": ("b",),
    "removeprefix": ("b",),
    "removesuffix": ("b",),
    "replace": ("a", "b"),
    "rfind": ("b",),
    "rindex": ("a",),
    "rjust": (2 * _LENGTH,),
    "rpartition": ("b",),
    "startswith": ("b",),
    "translate": ({},),
    "zfill": (2 * _LENGTH,),
}
_ONLY_OURS = (
    "as_str",
    "chunks",
    "documents",
    "encoded",
    "find_all",
    "find_many",
    "line_at",
    "line_start",
    "lines",
    "view",
)
_KINDS = ((LazySequence, "lazy list"), (DistributedPrompt, "prompt"), (str, "`str`"))


def rows() -> list[str]:
    """The table's rows: methods by name, then operators, then what ``str`` has not; what is alike in one row."""
    inherited = {name for name in dir(object) if name not in _OPERATORS}
    of_str = [name for name in dir(str) if name not in {*inherited, "__getnewargs__"}]
    names = [name for name in of_str if not name.startswith("_")]
    operators = [name for name in (*of_str, "__iter__", "__len__", "__repr__") if name in _OPERATORS]
    prompt = DistributedPrompt.from_text("a" * _LENGTH)
    alike: dict[str, list[str]] = {}
    for name in (*names, *dict.fromkeys(operators), *_ONLY_OURS):
        alike.setdefault(_row(prompt, name), []).append(f"`{_OPERATORS.get(name, name)}`")
    return [f"| {', '.join(shown)} | {row}" for row, shown in alike.items()]


def _row(prompt: DistributedPrompt, name: str) -> str:
    kind, returns = _outcome(prompt, name)
    return f"{kind} | {returns} | {_cost(name)} |"


def _outcome(prompt: DistributedPrompt, name: str) -> tuple[str, str]:
    """Whether a method's result is real, lazy or mapped, and what it is."""
    images = prompt.stats.images
    member = getattr(prompt, name)
    try:
        result = member(*_ARGUMENTS.get(name, ())) if callable(member) else member
    except MaterialiseError:
        return "real, limited", f"`{_annotation(name)}`"
    if prompt.stats.images > images or (isinstance(result, str) and len(result) == _LENGTH):
        return "mapped", _shown(result)
    values = result if isinstance(result, tuple) else (result,)
    is_lazy = any(isinstance(value, DistributedPrompt | LazySequence) for value in values) or hasattr(
        result, "__next__"
    )
    return "lazy" if is_lazy else "real", _shown(result)


def _shown(result: object) -> str:
    if isinstance(result, tuple):
        return "three: `str` or prompt"
    for kind, shown in _KINDS:
        if isinstance(result, kind):
            return shown
    return f"`{type(result).__name__}`" if not hasattr(result, "__next__") else "iterator"


def _annotation(name: str) -> str:
    return str(inspect.signature(getattr(DistributedPrompt, name)).return_annotation.__name__)


def _cost(name: str) -> str:
    """The last line of the docstring, without its markup."""
    doc = inspect.getdoc(getattr(DistributedPrompt, name)) or ""
    _, _, cost = doc.partition("Cost: ")
    cost = " ".join(cost.split()) or "no shard."
    cost = re.sub(r":(?:meth|attr):`(\w+)`", r"`\1`", cost).replace("``", "`").replace("|", "\\|")
    return cost.rstrip(".")


def table() -> str:
    """The table as it is to be in the README."""
    head = "| | of a long text | returns | cost |\n|---|---|---|---|\n"
    return head + "\n".join(rows()) + "\n"


def main() -> int:
    """Write it there."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(before + BEGIN + table() + END + after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
