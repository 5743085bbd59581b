"""The command that gives a pack to Python code, of a person or of a model."""

import code
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from distributed_prompt.cells import OUTPUT_LIMIT, Cells
from distributed_prompt.cli.console import drop_output
from distributed_prompt.cli.group import PACK, main
from distributed_prompt.errors import ArgumentError, OutputError
from distributed_prompt.prompt import open as dp_open

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
    with dp_open(pack) as prompt:
        cells = Cells(prompt, exact=exact, documents=documents)
        if sys.stdout is None:
            message = "standard output: is closed"
            raise OutputError(message)
        if source is None and sys.stdin is None:
            message = "standard input: is closed; name the code with -c"
            raise ArgumentError(message)
        if source is None and sys.stdin.isatty():
            _interact(cells.namespace, _BANNER.format(length=len(prompt), name=pack))
            return
        if source is None:
            source = _read()
        try:
            has_ended = cells.run(source, output=sys.stdout, errors=sys.stderr, limit=output_limit or None)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            drop_output()
            message = f"standard output: {error.strerror}"
            raise OutputError(message) from error
        if not has_ended:
            raise click.exceptions.Exit(1)


def _read() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        message = f"standard input: is no {error.encoding}: {error.reason}"
        raise ArgumentError(message) from error


def _interact(namespace: dict[str, Any], banner: str) -> None:
    if find_spec("IPython"):
        click.echo(banner)
        start: Any = import_module("IPython").start_ipython
        # It has an `open` of its own.
        start(argv=["--no-banner"], user_ns=namespace | {"open": namespace["__builtins__"]["open"]})
        return
    if find_spec("readline"):
        import_module("readline")
    code.interact(banner, local=namespace, exitmsg="")
