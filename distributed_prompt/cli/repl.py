"""The command that gives a pack to Python code, of a person or of a model."""

import code
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from distributed_prompt.backends.addresses import open_backend
from distributed_prompt.cells import OUTPUT_LIMIT, Cells
from distributed_prompt.cli.group import PACK, main
from distributed_prompt.errors import ArgumentError
from distributed_prompt.prompt import DistributedPrompt

_BANNER = "context: {length:,} characters of {name}; re is exact on it; cite(offset), grep(pattern), prompt for more."


@main.command()
@PACK
@click.option("-c", "source", metavar="CODE", help="Run CODE and exit.")
@click.option("--exact", is_flag=True, help="Make context one genuine string, mapped from an image on disk.")
@click.option("--documents", is_flag=True, help="Make context the sequence of documents.")
@click.option(
    "--output-limit",
    type=click.IntRange(min=0),
    default=OUTPUT_LIMIT,
    show_default=True,
    metavar="N",
    help="Print N characters of each cell's output at most; 0 for all.",
)
def repl(pack: str, source: str | None, output_limit: int, *, exact: bool, documents: bool) -> None:
    """Run Python with PACK's text as the string `context`.

    Without -c, what is on standard input is run as one cell; at a terminal, IPython is started, or plain Python.
    """
    if exact and documents:
        message = "--exact and --documents exclude each other"
        raise click.UsageError(message)
    with open_backend(pack) as backend:
        cells = Cells(DistributedPrompt(backend), exact=exact, documents=documents)
        if source is None and sys.stdin is None:
            message = "standard input: is closed; name the code with -c"
            raise ArgumentError(message)
        if source is None and sys.stdin.isatty():
            _interact(cells.namespace, _BANNER.format(length=backend.pack.metadata.length, name=pack))
            return
        if source is None:
            source = sys.stdin.read()
        if not cells.run(source, output=sys.stdout, errors=sys.stderr, limit=output_limit or None):
            raise click.exceptions.Exit(1)


def _interact(namespace: dict[str, Any], banner: str) -> None:
    if find_spec("IPython"):
        click.echo(banner)
        start: Any = import_module("IPython").start_ipython
        start(argv=["--no-banner"], user_ns=namespace)
        return
    if find_spec("readline"):
        import_module("readline")
    code.interact(banner, local=namespace, exitmsg="")
