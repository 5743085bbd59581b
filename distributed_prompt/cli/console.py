"""What the commands print, and how."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import groupby, islice
from operator import attrgetter
from typing import BinaryIO

import click
from tqdm import tqdm

from distributed_prompt.errors import OutputError
from distributed_prompt.packing import PackInfo
from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.text.pieces import encode_bytes

_EXCERPT_CHARACTERS = 40
_PRINT_CHARACTERS = 2**20
_SHOWN_LEFT_OUT = 10


@contextmanager
def progress(what: str, unit: str, *, scale: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A bar with rate and time left on a terminal, nothing elsewhere."""
    with tqdm(desc=what, unit=unit, unit_scale=scale, disable=None, leave=False) as bar:

        def update(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update


def report(info: PackInfo, *, appended: bool = False, verbose: bool = False) -> None:
    """Say what was packed, and what was not."""
    documents = f"{info.documents:,} documents, " if info.documents != 1 else ""
    packs = f", {info.packs:,} packs" if info.packs > 1 else ""
    became = "appended, the pack has" if appended else "became"
    click.echo(
        f"{printable(info.path)}: {number(info.length, 'character')} in {number(info.shards, 'shard')} "
        f"of {info.shard_size:,}{packs}; {documents}{info.source_bytes:,} bytes {became} {info.pack_bytes:,}",
    )
    if not info.exact:
        some = " of some documents" if info.documents > 1 else ""
        click.echo(f"dprompt: the original bytes{some} cannot be given back from this pack", err=True)
    for reason, group in groupby(sorted(info.left_out, key=attrgetter("reason", "name")), attrgetter("reason")):
        found = list(group)
        click.echo(f"dprompt: left out, {reason}: {len(found):,}", err=True)
        for left in found if verbose else islice(found, _SHOWN_LEFT_OUT):
            click.echo(f"  {printable(left.name)}{f' ({printable(left.detail)})' if left.detail else ''}", err=True)
        if len(found) > _SHOWN_LEFT_OUT and not verbose:
            click.echo(f"  … and {len(found) - _SHOWN_LEFT_OUT:,} more; --verbose names all of them", err=True)


def print_text(prompt: DistributedPrompt) -> None:
    """Write text as UTF-8; a lone surrogate that stands for a byte becomes that byte."""
    binary = output()
    for chunk in prompt.chunks(_PRINT_CHARACTERS):
        binary.write(encode_bytes(str(chunk)))


def excerpt(prompt: DistributedPrompt, offset: int, length: int) -> str:
    """The match with a little text on either side, on one line."""
    start, stop = max(0, offset - _EXCERPT_CHARACTERS), offset + min(length, _EXCERPT_CHARACTERS) + _EXCERPT_CHARACTERS
    return printable(str(prompt[start:stop]))


def printable(text: str) -> str:
    """Text that does nothing to a terminal and that it can show: all else escaped."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def number(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def output() -> BinaryIO:
    """Standard output, for bytes.

    Raises:
        OutputError: it is closed.
    """
    if sys.stdout is None:
        message = "standard output: is closed"
        raise OutputError(message)
    return sys.stdout.buffer


def drop_output() -> None:
    """Let what is still to be flushed to a broken standard output go nowhere, or the exit would fail again."""
    with suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
