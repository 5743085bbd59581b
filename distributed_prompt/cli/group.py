"""The group of commands, and what their parameters have in common."""

import sys
from typing import NoReturn

import click

from distributed_prompt import __version__
from distributed_prompt.cli.console import drop_output, printable
from distributed_prompt.errors import DPromptError
from distributed_prompt.geometry import DEFAULT_SHARD_SIZE


class NumberParam(click.ParamType):  # type: ignore[type-arg]  # generic only in recent releases
    """A whole number; digits may be grouped with underscores."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse ``10_000_000`` as Python does."""
        try:
            return int(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a whole number", param, ctx)


class RangeParam(click.ParamType):  # type: ignore[type-arg]  # as above
    """Two numbers with a colon between; either may be left out."""

    name = "start:stop"

    def __init__(self, form: str) -> None:
        """Take what to say of a value that is none."""
        self.form = form

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> slice:
        """Parse ``A:B`` as Python does."""
        if isinstance(value, slice):
            return value
        parts = str(value).split(":")
        try:
            start, stop = (int(part) if part.strip() else None for part in parts)
        except ValueError:
            self.fail(f"{value!r} is not {self.form}", param, ctx)
        return slice(start, stop)


class Commands(click.Group):
    """The group of commands: prints errors of ours as one line, and survives a closed pipe."""

    def invoke(self, ctx: click.Context) -> None:
        """Run the command; exit with 1 on an error, or with 2 where the command says so."""
        try:
            super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read our output has had enough.
            drop_output()
        except DPromptError as error:
            _fail(ctx, str(error))
        except OSError as error:
            # Ours are named above: this one is about standard output.
            drop_output()
            _fail(ctx, f"standard output: {error.strerror or error}")


def _fail(ctx: click.Context, message: str) -> NoReturn:
    click.echo(f"dprompt: {printable(message)}", err=True)
    ctx.exit(2 if ctx.invoked_subcommand in {"find", "grep"} else 1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dprompt")
def main() -> None:
    """Texts too large for memory, in one file, used like a str.

    \b
    dprompt pack articles notes.md -o corpus.dprompt   make a pack
    dprompt ls corpus.dprompt                          list its documents
    dprompt find corpus.dprompt "needle"               search it
    dprompt grep "nee+dle" corpus.dprompt              print the lines that match
    dprompt cat corpus.dprompt 1000:2000               print a part of it
    dprompt append corpus.dprompt more.txt             let it grow
    dprompt unpack corpus.dprompt -o copy              get the very bytes back
    dprompt push corpus.dprompt s3://bucket/key        put it on S3, and read it there

    Offsets and lengths are characters, counted from 0; lines are counted from 1. PACK is a pack or a folder
    with a prompt.dprompt in it; to be read, s3://bucket/key or https://host/path as well. Exit status: 0 fine, 1 an
    error (find and grep: nothing found), 2 wrong usage (find and grep: an error).
    """  # noqa: D301  # click wants the backspace itself


PACK = click.argument("pack")
FORCE = click.option("--force", is_flag=True, help="Overwrite OUT if it exists.")
SHARD_SIZE = click.option(
    "--shard-size",
    "-s",
    type=NumberParam(),
    default=DEFAULT_SHARD_SIZE,
    show_default=True,
    help="Characters a shard, 1 to 16_777_216; digits may be grouped.",
)
