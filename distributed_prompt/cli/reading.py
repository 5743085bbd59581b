"""The commands that look into packs."""

import json
from dataclasses import asdict
from itertools import islice

import click

from distributed_prompt.backends.addresses import is_remote, open_backend
from distributed_prompt.backends.manifests import manifest_at, read_manifest
from distributed_prompt.cli.console import excerpt, print_text, printable
from distributed_prompt.cli.group import PACK, NumberParam, RangeParam, main
from distributed_prompt.errors import ArgumentError
from distributed_prompt.manifest import without_query
from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.prompt import open as dp_open
from distributed_prompt.store.metadata import FORMAT_VERSION

_ENGINES = {"sqlite": "sqlite", "lmdb": "lmdb of 64 bits, little-endian: not for all machines"}


@main.command()
@PACK
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(pack: str, *, as_json: bool) -> None:
    """Show what PACK holds; reads only its metadata."""
    manifest = manifest_at(pack)
    if manifest is not None:
        _collection_info(manifest, as_json=as_json)
        return
    with open_backend(pack) as backend:
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
        (
            "Pack",
            f"{printable(backend.address)} ({_ENGINES[store.engine]}, format {FORMAT_VERSION})",
        ),
        ("Characters", f"{metadata.length:,} ({widest})"),
        ("Lines", f"{metadata.lines:,}"),
        ("Documents", f"{metadata.documents:,}"),
        ("Shards", f"{metadata.shards:,}, of {metadata.shard_size:,} characters"),
        ("Text", f"{metadata.utf8_bytes:,} bytes of UTF-8"),
        ("Size", f"{size:,} bytes, zstd level {metadata.level}"),
        ("Root digest", metadata.root_digest),
    ):
        click.echo(f"{name + ':':<13}{value}")


def _collection_info(address: str, *, as_json: bool) -> None:
    manifest = read_manifest(address)
    sums = {
        field: sum(getattr(entry, field) for entry in manifest.packs)
        for field in ("length", "documents", "utf8_bytes", "pack_bytes")
    }
    shown = without_query(address) if is_remote(address) else address
    if as_json:
        click.echo(json.dumps({"path": shown, "packs": len(manifest.packs), **sums, "digest": manifest.digest}))
        return
    for name, value in (
        ("Manifest", printable(shown)),
        ("Packs", f"{len(manifest.packs):,}"),
        ("Characters", f"{sums['length']:,}"),
        ("Documents", f"{sums['documents']:,}"),
        ("Text", f"{sums['utf8_bytes']:,} bytes of UTF-8"),
        ("Size", f"{sums['pack_bytes']:,} bytes"),
        ("Digest", manifest.digest),
    ):
        click.echo(f"{name + ':':<13}{value}")


@main.command(context_settings={"ignore_unknown_options": True})
@PACK
@click.argument(
    "span", metavar="[START:STOP]", type=RangeParam("START:STOP, such as 0:1000, -500: or :"), required=False
)
@click.option("--document", metavar="NAME", help="Only this document; START:STOP and lines count from its beginning.")
@click.option(
    "--lines",
    "line_range",
    metavar="A:B",
    type=RangeParam("A:B, such as 1:10 or 100:"),
    help="Lines A to B, counted from 1, B included.",
)
def cat(pack: str, span: slice | None, document: str | None, line_range: slice | None) -> None:
    """Print all of PACK, or its characters START to STOP as in a slice, or some lines.

    \b
    dprompt cat corpus.dprompt 1000:2000
    dprompt cat corpus.dprompt -500:
    dprompt cat corpus.dprompt --document linux/Makefile --lines 1:10
    """  # noqa: D301  # click wants the backspace itself
    if span is not None and line_range is not None:
        message = "START:STOP and --lines exclude each other"
        raise click.UsageError(message)
    with _open(pack) as opened:
        prompt = _document(opened, document) if document is not None else opened
        part = _line_span(prompt, line_range) if line_range else span or slice(None)
        print_text(prompt.view(part.start, part.stop))


@main.command("slice")
@PACK
@click.option("--start", type=NumberParam(), default=0, help="Offset of the first character.")
@click.option("--end", type=NumberParam(), required=True, help="Offset after the last character.")
def slice_(pack: str, start: int, end: int) -> None:
    """Print the characters START to END of PACK."""
    with _open(pack) as prompt:
        print_text(prompt.view(start, end))


@main.command()
@PACK
@click.argument("needle")
@click.option("--count", "-c", "count_only", is_flag=True, help="Print only the number of matches.")
@click.option("--ignore-case", "-i", is_flag=True, help="Ignore case, as re.IGNORECASE does.")
@click.option("--max-count", "-m", type=NumberParam(), help="Stop after this many matches.")
def find(pack: str, needle: str, *, count_only: bool, ignore_case: bool, max_count: int | None) -> None:
    """Find the text NEEDLE in PACK, literally: prints offset, line and an excerpt of each match.

    In a PACK of several documents also the document's name, and the line is that in the document.

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
                    click.echo(f"{offset}:{_place(prompt, offset)}:{excerpt(prompt, offset, len(needle))}")
    if count_only:
        click.echo(found)
    click.get_current_context().exit(0 if found else 1)


@main.command()
@PACK
@click.option("--long", "-l", is_flag=True, help="Also print where each begins, and its characters and bytes.")
@click.option("--json", "as_json", is_flag=True, help="Print an object of JSON a line.")
def ls(pack: str, *, long: bool, as_json: bool) -> None:
    """List the documents of PACK in their order."""
    with _open(pack) as prompt:
        for document in prompt.documents.records():
            if as_json:
                click.echo(json.dumps(asdict(document)))
            elif long:
                numbers = f"{document.start:>13,} {document.stop - document.start:>12,} {document.source_bytes:>12,}"
                inexact = "" if document.exact else "  (inexact)"
                click.echo(f"{numbers}  {printable(document.name)}{inexact}")
            else:
                click.echo(printable(document.name))


def _open(pack: str) -> DistributedPrompt:
    return dp_open(pack)


def _document(prompt: DistributedPrompt, name: str) -> DistributedPrompt:
    record = prompt.documents.record(name)
    if record is None:
        message = f"document {name!r}: the pack has none of this name; dprompt ls lists them"
        raise ArgumentError(message)
    return prompt.view(record.start, record.stop)


def _place(prompt: DistributedPrompt, offset: int) -> str:
    """The line of an offset, counted from 1; among several documents, of the document, and its name before it."""
    line = prompt.line_at(offset) + 1
    if len(prompt.documents) <= 1:
        return str(line)
    document = prompt.document_at(offset)
    return f"{printable(document.name)}:{line - prompt.line_at(document.start)}" if document else f":{line}"


def _line_span(prompt: DistributedPrompt, lines: slice) -> slice:
    """The characters of lines A to B, counted from 1, both included, with their terminators."""
    first = 1 if lines.start is None else lines.start
    last = len(prompt.lines) if lines.stop is None else lines.stop
    if first < 1 or (lines.stop is not None and last < first):
        message = f"--lines {first}:{last}: lines are counted from 1, and the second is not before the first"
        raise ArgumentError(message)
    last = max(first - 1, last)
    return slice(prompt.line_start(first - 1), prompt.line_start(last))
