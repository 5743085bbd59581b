"""``dprompt``: parses, calls, prints. No logic of its own, and the only importer of click and tqdm."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import BinaryIO, NoReturn

import click
from tqdm import tqdm

from distributed_prompt import __version__
from distributed_prompt.backends.file_backend import FileBackend
from distributed_prompt.errors import ArgumentError, CorruptPackError, DPromptError, OutputError
from distributed_prompt.geometry import DEFAULT_SHARD_SIZE
from distributed_prompt.packing import STORES, PackInfo, ingest_file
from distributed_prompt.packing import pack as pack_file
from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.sources import ERROR_MODES, NEWLINE_MODES, STANDARD_INPUT
from distributed_prompt.store.codec import DEFAULT_LEVEL
from distributed_prompt.store.metadata import FORMAT_VERSION
from distributed_prompt.text.pieces import encode_bytes
from distributed_prompt.unpacking import unpack as unpack_pack
from distributed_prompt.verification import verify as verify_pack

_EXCERPT_CHARACTERS = 40
_PRINT_CHARACTERS = 2**20


class Number(click.ParamType):  # type: ignore[type-arg]  # generic only in recent releases
    """A whole number; digits may be grouped with underscores."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse ``10_000_000`` as Python does."""
        try:
            return int(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a whole number", param, ctx)


class Range(click.ParamType):  # type: ignore[type-arg]  # as above
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
            _drop_output()
        except DPromptError as error:
            _fail(ctx, str(error))
        except OSError as error:
            # Ours are named above: this one is about standard output.
            _drop_output()
            _fail(ctx, f"standard output: {error.strerror or error}")


def _fail(ctx: click.Context, message: str) -> NoReturn:
    click.echo(f"dprompt: {_printable(message)}", err=True)
    ctx.exit(2 if ctx.invoked_subcommand == "find" else 1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dprompt")
def main() -> None:
    r"""Texts too large for memory, in one file, used like a str.

    \b
    dprompt pack corpus.txt -o corpus.dprompt   make a pack
    dprompt find corpus.dprompt "needle"        search it
    dprompt cat corpus.dprompt 1000:2000        print a part of it
    dprompt unpack corpus.dprompt -o copy.txt   get the very bytes back

    Offsets and lengths are characters, counted from 0; lines are counted from 1. PACK is a pack or a folder
    with a prompt.dprompt in it. Exit status: 0 fine, 1 an error (find: nothing found), 2 wrong usage
    (find: an error).
    """


_PACK = click.argument("pack")
_FORCE = click.option("--force", is_flag=True, help="Overwrite OUT if it exists.")
_SHARD_SIZE = click.option(
    "--shard-size",
    "-s",
    type=Number(),
    default=DEFAULT_SHARD_SIZE,
    show_default=True,
    help="Characters a shard, 1 to 16_777_216; digits may be grouped.",
)


@main.command()
@click.argument("file")
@click.option("--output", "-o", required=True, metavar="OUT", help="The pack to make.")
@_SHARD_SIZE
@click.option("--store", type=click.Choice(STORES), default=STORES[0], show_default=True, help="Engine of the pack.")
@click.option("--level", type=Number(), default=DEFAULT_LEVEL, show_default=True, help="zstd level, 1 to 22.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of FILE.")
@click.option(
    "--errors",
    type=click.Choice(ERROR_MODES),
    default=ERROR_MODES[0],
    show_default=True,
    help="Bytes that are no text: strict refuses FILE, surrogateescape keeps them, replace and ignore lose them.",
)
@click.option(
    "--newlines",
    type=click.Choice(NEWLINE_MODES),
    default=NEWLINE_MODES[0],
    show_default=True,
    help="Keep newlines as they are, or turn CRLF and CR into LF.",
)
@_FORCE
def pack(  # one parameter an option
    file: str,
    output: str,
    shard_size: int,
    store: str,
    level: int,
    encoding: str,
    errors: str,
    newlines: str,
    *,
    force: bool,
) -> None:
    """Pack FILE into OUT.

    FILE is a text file, - for standard input, or a folder of NNNN.txt shards with meta.json.
    """
    with _progress("pack", "B", scale=True) as progress:
        info = pack_file(
            file,
            output,
            shard_size=shard_size,
            store=store,
            level=level,
            encoding=encoding,
            errors=errors,
            newlines=newlines,
            overwrite=force,
            progress=progress,
        )
    _report(info)


@main.command()
@click.argument("file")
@click.option("--output", "-o", required=True, metavar="OUT", help="A .dprompt file, or a folder for prompt.dprompt.")
@_SHARD_SIZE
def ingest(file: str, output: str, shard_size: int) -> None:
    """Pack FILE into OUT or into OUT/prompt.dprompt, replacing what is there."""
    with _progress("ingest", "B", scale=True) as progress:
        info = ingest_file(file, output, shard_size, progress=progress)
    _report(info)


@main.command()
@_PACK
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(pack: str, *, as_json: bool) -> None:
    """Show what PACK holds; reads only its metadata."""
    with FileBackend(pack) as backend:
        store, metadata = backend.pack.store, backend.pack.metadata
        size = store.size_bytes()
        facts = {
            "path": backend.address,
            "store": store.engine,
            "format_version": FORMAT_VERSION,
            "features": list(metadata.features),
            "length": metadata.length,
            "lines": metadata.lines,
            "documents": metadata.documents,
            "shards": metadata.shards,
            "shard_size": metadata.shard_size,
            "utf8_bytes": metadata.utf8_bytes,
            "pack_bytes": size,
            "width": metadata.width,
            "level": metadata.level,
            "root_digest": metadata.root_digest,
        }
    if as_json:
        click.echo(json.dumps(facts))
        return
    widest = {0: "ASCII", 1: "up to U+00FF", 2: "up to U+FFFF", 4: "beyond U+FFFF"}[metadata.width]
    for name, value in (
        ("Pack", f"{_printable(backend.address)} ({store.engine}, format {FORMAT_VERSION})"),
        ("Characters", f"{metadata.length:,} ({widest})"),
        ("Lines", f"{metadata.lines:,}"),
        ("Documents", f"{metadata.documents:,}"),
        ("Shards", f"{metadata.shards:,}, of {metadata.shard_size:,} characters"),
        ("Text", f"{metadata.utf8_bytes:,} bytes of UTF-8"),
        ("Size", f"{size:,} bytes, zstd level {metadata.level}"),
        ("Root digest", metadata.root_digest),
    ):
        click.echo(f"{name + ':':<13}{value}")


@main.command(context_settings={"ignore_unknown_options": True})
@_PACK
@click.argument("span", metavar="[START:STOP]", type=Range("START:STOP, such as 0:1000, -500: or :"), required=False)
@click.option(
    "--lines",
    "line_range",
    metavar="A:B",
    type=Range("A:B, such as 1:10 or 100:"),
    help="Lines A to B, counted from 1, B included.",
)
def cat(pack: str, span: slice | None, line_range: slice | None) -> None:
    r"""Print all of PACK, or its characters START to STOP as in a slice, or some lines.

    \b
    dprompt cat corpus.dprompt 1000:2000
    dprompt cat corpus.dprompt -500:
    dprompt cat corpus.dprompt --lines 1:10
    """
    if span is not None and line_range is not None:
        message = "START:STOP and --lines exclude each other"
        raise click.UsageError(message)
    with _open(pack) as prompt:
        part = _line_span(prompt, line_range) if line_range else span or slice(None)
        _print_text(prompt.view(part.start, part.stop))


@main.command("slice")
@_PACK
@click.option("--start", type=Number(), default=0, help="Offset of the first character.")
@click.option("--end", type=Number(), required=True, help="Offset after the last character.")
def slice_(pack: str, start: int, end: int) -> None:
    """Print the characters START to END of PACK."""
    with _open(pack) as prompt:
        _print_text(prompt.view(start, end))


@main.command()
@_PACK
@click.argument("needle")
@click.option("--count", "-c", "count_only", is_flag=True, help="Print only the number of matches.")
@click.option("--ignore-case", "-i", is_flag=True, help="Ignore case, as re.IGNORECASE does.")
@click.option("--max-count", "-m", type=Number(), help="Stop after this many matches.")
def find(pack: str, needle: str, *, count_only: bool, ignore_case: bool, max_count: int | None) -> None:
    """Find the text NEEDLE in PACK, literally: prints offset, line and an excerpt of each match.

    Put -- before a NEEDLE that begins with a hyphen. Exit status: 0 found, 1 not found, 2 error.
    """
    if not needle:
        message = "NEEDLE is empty"
        raise ArgumentError(message)
    if max_count is not None and max_count < 1:
        message = f"--max-count {max_count}: must be at least 1"
        raise ArgumentError(message)
    found = 0
    with _open(pack) as prompt:
        if count_only and not ignore_case and max_count is None:
            found = prompt.count(needle)
        else:
            offsets = prompt.find_all(needle, ignore_case=ignore_case)
            for offset in islice(offsets, max_count):
                found += 1
                if not count_only:
                    click.echo(f"{offset}:{prompt.line_at(offset) + 1}:{_excerpt(prompt, offset, len(needle))}")
    if count_only:
        click.echo(found)
    click.get_current_context().exit(0 if found else 1)


@main.command()
@_PACK
@click.option("--output", "-o", required=True, metavar="OUT", help="The file to write, or - for standard output.")
@click.option("--lossy", is_flag=True, help="Write UTF-8 where the original bytes cannot be given back.")
@_FORCE
def unpack(pack: str, output: str, *, lossy: bool, force: bool) -> None:
    """Write the bytes that were packed into PACK to OUT, exactly."""
    to_stdout = output == STANDARD_INPUT
    target = _output() if to_stdout else output
    with FileBackend(pack) as backend, _progress("unpack", "B", scale=True) as progress:
        written = unpack_pack(backend, target, lossy=lossy, overwrite=force, progress=progress)
    click.echo(f"{'standard output' if to_stdout else _printable(output)}: {written:,} bytes", err=True)


@main.command()
@_PACK
def verify(pack: str) -> None:
    """Check every checksum, digest and count of PACK; says what is wrong, and where."""
    with FileBackend(pack) as backend, _progress("verify", " shards", scale=False) as progress:
        problems = 0
        for problem in verify_pack(backend, progress):
            problems += 1
            tqdm.write(_printable(problem), file=sys.stdout)
        name, shards = backend.address, backend.pack.metadata.shards
    if problems:
        message = f"{name}: {_number(problems, 'problem')} found"
        raise CorruptPackError(message)
    click.echo(f"{_printable(name)}: sound; {_number(shards, 'shard')} checked")


def _open(pack: str) -> DistributedPrompt:
    return DistributedPrompt(FileBackend(pack))


@contextmanager
def _progress(what: str, unit: str, *, scale: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A bar with rate and time left on a terminal, nothing elsewhere."""
    with tqdm(desc=what, unit=unit, unit_scale=scale, disable=None, leave=False) as bar:

        def update(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update


def _report(info: PackInfo) -> None:
    click.echo(
        f"{_printable(info.path)}: {_number(info.length, 'character')} in {_number(info.shards, 'shard')} "
        f"of {info.shard_size:,}; {info.source_bytes:,} bytes became {info.pack_bytes:,}",
    )
    if not info.exact:
        click.echo("dprompt: the original bytes cannot be given back from this pack", err=True)


def _line_span(prompt: DistributedPrompt, lines: slice) -> slice:
    """The characters of lines A to B, counted from 1, both included, with their terminators."""
    first = 1 if lines.start is None else lines.start
    last = len(prompt.lines) if lines.stop is None else lines.stop
    if first < 1 or (lines.stop is not None and last < first):
        message = f"--lines {first}:{last}: lines are counted from 1, and the second is not before the first"
        raise ArgumentError(message)
    last = max(first - 1, last)
    return slice(prompt.line_start(first - 1), prompt.line_start(last))


def _print_text(prompt: DistributedPrompt) -> None:
    """Write text as UTF-8; a lone surrogate that stands for a byte becomes that byte."""
    output = _output()
    for chunk in prompt.chunks(_PRINT_CHARACTERS):
        output.write(encode_bytes(str(chunk)))


def _excerpt(prompt: DistributedPrompt, offset: int, length: int) -> str:
    """The match with a little text on either side, on one line."""
    start, stop = max(0, offset - _EXCERPT_CHARACTERS), offset + min(length, _EXCERPT_CHARACTERS) + _EXCERPT_CHARACTERS
    return _printable(str(prompt[start:stop]))


def _printable(text: str) -> str:
    """Text that does nothing to a terminal and that it can show: all else escaped."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _output() -> BinaryIO:
    """Standard output, for bytes.

    Raises:
        OutputError: it is closed.
    """
    if sys.stdout is None:
        message = "standard output: is closed"
        raise OutputError(message)
    return sys.stdout.buffer


def _drop_output() -> None:
    """Let what is still to be flushed to a broken standard output go nowhere, or the exit would fail again."""
    with suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
