"""The commands that give the original bytes back, and that check packs."""

import os
import sys

import click
from tqdm import tqdm

from distributed_prompt.backends.addresses import is_remote
from distributed_prompt.cli.console import number, output, printable, progress
from distributed_prompt.cli.group import FORCE, PACK, main
from distributed_prompt.errors import CorruptPackError
from distributed_prompt.manifest import without_query
from distributed_prompt.sources import STANDARD_INPUT
from distributed_prompt.unpacking import unpack as unpack_pack
from distributed_prompt.verification import verify as verify_pack


@main.command()
@PACK
@click.option(
    "--output", "-o", "out", required=True, metavar="OUT", help="The file or folder to write, or - for standard output."
)
@click.option("--lossy", is_flag=True, help="Write UTF-8 where the original bytes cannot be given back.")
@FORCE
def unpack(pack: str, out: str, *, lossy: bool, force: bool) -> None:
    """Write the bytes that were packed into PACK to OUT, exactly.

    Of one document OUT is a file, or a folder if it is one or ends with a slash; of several a new or empty folder,
    which gets a file for each.
    """
    to_stdout = out == STANDARD_INPUT
    target = output() if to_stdout else out
    with progress("unpack", "B", scale=True) as update:
        written = unpack_pack(pack, target, lossy=lossy, overwrite=force, progress=update)
    click.echo(f"{'standard output' if to_stdout else printable(out)}: {written:,} bytes", err=True)


@main.command()
@PACK
def verify(pack: str) -> None:
    """Check every checksum, digest and count of PACK; says what is wrong, and where."""
    shards = problems = 0
    with progress("verify", " shards", scale=False) as update:

        def note(done: int, total: int | None) -> None:
            nonlocal shards
            shards = done
            update(done, total)

        for problem in verify_pack(pack, note):
            problems += 1
            tqdm.write(printable(problem), file=sys.stdout)
    name = without_query(pack) if is_remote(pack) else os.path.abspath(pack)  # noqa: PTH100  # as packs are called
    if problems:
        message = f"{name}: {number(problems, 'problem')} found"
        raise CorruptPackError(message)
    click.echo(f"{printable(name)}: sound; {number(shards, 'shard')} checked")
