"""The commands that make packs."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from distributed_prompt.appending import add_index
from distributed_prompt.appending import append as append_documents
from distributed_prompt.appending import convert as convert_pack
from distributed_prompt.cli.console import number, printable, progress, report
from distributed_prompt.cli.group import FORCE, PACK, SHARD_SIZE, NumberParam, main
from distributed_prompt.collecting import collect as collect_packs
from distributed_prompt.decoding import ERROR_MODES, NEWLINE_MODES
from distributed_prompt.packing import ingest_file
from distributed_prompt.packing import pack as pack_documents
from distributed_prompt.store.codec import DEFAULT_LEVEL
from distributed_prompt.store.engines import ENGINES

Command = TypeVar("Command", bound=Callable[..., object])

_PATHS = click.argument("paths", metavar="PATH...", nargs=-1, required=True)
_VERBOSE = click.option("--verbose", "-v", is_flag=True, help="Name everything that is left out.")
_STORE = click.option(
    "--store", type=click.Choice(ENGINES), default=ENGINES[0], show_default=True, help="Engine of OUT."
)
_READING = (
    click.option(
        "--include",
        multiple=True,
        metavar="GLOB",
        help="Take only documents that match, such as '*.md'; a GLOB with a slash means the whole name. Repeatable.",
    ),
    click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out documents and folders that match."),
    click.option("--keep-undecodable", is_flag=True, help="Take files that are no text as well, exactly."),
    click.option("--encoding", default="utf-8", show_default=True, help="Encoding of the files."),
    click.option(
        "--errors",
        type=click.Choice(ERROR_MODES),
        default=ERROR_MODES[0],
        show_default=True,
        help="Bytes that are no text: strict refuses the file, surrogateescape keeps, replace and ignore lose them.",
    ),
    click.option(
        "--newlines",
        type=click.Choice(NEWLINE_MODES),
        default=NEWLINE_MODES[0],
        show_default=True,
        help="Keep newlines as they are, or turn CRLF and CR into LF.",
    ),
)


def _reading(command: Command) -> Command:
    """Add the options that say how files are read."""
    for option in reversed(_READING):
        command = option(command)
    return command


@main.command()
@_PATHS
@click.option("--output", "-o", required=True, metavar="OUT", help="The pack to make.")
@click.option("--header", metavar="TEXT", help="Put TEXT before each document; '{name}' in it stands for its name.")
@_reading
@SHARD_SIZE
@_STORE
@click.option("--level", type=NumberParam(), default=DEFAULT_LEVEL, show_default=True, help="zstd level, 1 to 22.")
@click.option("--index/--no-index", default=True, help="Make the n-gram index, which makes searches fast.")
@click.option(
    "--part-bytes", type=NumberParam(), help="For many packs: bytes of the files that go into one.  [default: 2**30]"
)
@_VERBOSE
@FORCE
def pack(paths: tuple[str, ...], output: str, *, verbose: bool, force: bool, **options: Any) -> None:
    """Pack the text of each PATH into OUT.

    \b
    dprompt pack book.txt -o book.dprompt
    dprompt pack linux notes.md -o corpus.dprompt --header '==== {name} ===='
    dprompt pack . -o docs.dprompt --include '*.md' --exclude node_modules

    PATH is a text file, - for standard input, or a folder, in which every text file is a document. In folders,
    files that are no text, symbolic links and devices are left out, which is said at the end.

    OUT that ends with a slash, a folder or s3://bucket/prefix/, gets many packs and a manifest, which is opened as
    one; run again, an interrupted run goes on.
    """  # noqa: D301  # click wants the backspace itself
    with progress("pack", "B", scale=True) as update:
        info = pack_documents(paths, output, overwrite=force, progress=update, **options)
    report(info, verbose=verbose)


@main.command()
@click.argument("packs", metavar="PACK...", nargs=-1, required=True)
@click.option(
    "--output", "-o", required=True, metavar="OUT", help="The manifest to write: a name in .json, or a folder and /."
)
@FORCE
def collect(packs: tuple[str, ...], output: str, *, force: bool) -> None:
    """Write a manifest by which each PACK, in the order given, is a part of one text.

    \b
    dprompt collect 'parts/*.dprompt' -o parts/
    dprompt find parts/ needle

    PACK may be a pattern, on this disk or on S3. All commands that read take a manifest, or its folder, for a PACK.
    """  # noqa: D301  # as above
    manifest = collect_packs(packs, output, overwrite=force)
    length = sum(each.length for each in manifest.packs)
    click.echo(f"{printable(output)}: {length:,} characters in {number(len(manifest.packs), 'pack')}")


@main.command()
@PACK
@_PATHS
@_reading
@_VERBOSE
def append(pack: str, paths: tuple[str, ...], *, verbose: bool, **options: Any) -> None:
    """Put the text of each PATH behind that of PACK.

    A new file is made and renamed over PACK: whoever has it open goes on with the old one, and nothing is ever
    half-written. Shard size, engine, level and header are those of PACK.
    """
    with progress("append", "B", scale=True) as update:
        info = append_documents(pack, paths, progress=update, **options)
    report(info, appended=True, verbose=verbose)


@main.command()
@PACK
@click.option("--output", "-o", required=True, metavar="OUT", help="The pack to make.")
@_STORE
@FORCE
def convert(pack: str, output: str, store: str, *, force: bool) -> None:
    """Write PACK again as OUT, with another engine: the same text and root digest."""
    with progress("convert", "B", scale=True) as update:
        root_digest = convert_pack(pack, output, store=store, overwrite=force, progress=update)
    click.echo(f"{printable(output)}: {store}, root digest {root_digest}")


@main.command()
@PACK
@click.option("--output", "-o", metavar="OUT", help="The pack to make; without it, the new one replaces PACK.")
@FORCE
def index(pack: str, output: str | None, *, force: bool) -> None:
    """Give PACK the n-gram index that searches need to skip what cannot match.

    A new file is made and renamed over PACK, or called OUT; nothing is ever half-written.
    """
    with progress("index", "B", scale=True) as update:
        is_new = add_index(pack, output, overwrite=force, progress=update)
    click.echo(f"{printable(output or pack)}: {'indexed' if is_new else 'has an index already'}")


@main.command()
@click.argument("file")
@click.option("--output", "-o", required=True, metavar="OUT", help="A .dprompt file, or a folder for prompt.dprompt.")
@SHARD_SIZE
def ingest(file: str, output: str, shard_size: int) -> None:
    """Pack FILE into OUT or into OUT/prompt.dprompt, replacing what is there."""
    with progress("ingest", "B", scale=True) as update:
        info = ingest_file(file, output, shard_size, progress=update)
    report(info)
