"""A manifest for packs that are there already."""

import os
from collections.abc import Iterable
from dataclasses import replace

from distributed_prompt.backends.addresses import is_remote
from distributed_prompt.backends.manifests import manifest_at, matching, write_manifest
from distributed_prompt.errors import ArgumentError
from distributed_prompt.manifest import MANIFEST_ENDING, MANIFEST_NAME, Manifest
from distributed_prompt.opening import absolute, entries_of


def collect(
    packs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> Manifest:
    """Write a manifest of packs, by which :func:`distributed_prompt.open` opens them as one prompt.

    Packs below the manifest's folder are named by where they are from there, so that all may be moved together; a
    manifest on a server can name no others.

    Args:
        packs: addresses of packs in the order of their texts, or patterns such as ``parts/*.dprompt``.
        output: the file to write, which ends in ``.json``, at a path or ``s3://bucket/key``; or a folder, ending in a
            slash, that gets ``manifest.json``.
        overwrite: replace an existing file.

    Returns:
        What was written.

    Raises:
        ArgumentError: no pack, or a manifest among them; or an output of another name.
        OutputExistsError: the output exists.
        OutputError: the output cannot be written.
        DPromptError: a pack cannot be opened.

    Cost: of each pack the metadata and two shards; sixteen packs at a time.
    """
    place = os.fspath(output)
    place = absolute(f"{place}{MANIFEST_NAME}" if place.endswith("/") else place)
    if not place.endswith(MANIFEST_ENDING):
        message = f"output {place}: the name of a manifest ends in {MANIFEST_ENDING}, that of a folder in a slash"
        raise ArgumentError(message)
    named = [packs] if isinstance(packs, str | os.PathLike) else list(packs)
    found = [absolute(address) for name in named for address in matching(os.fspath(name))]
    if not found:
        message = "no pack: name at least one"
        raise ArgumentError(message)
    for address in found:
        if manifest_at(address) is not None:
            message = f"{address}: is a manifest; name packs"
            raise ArgumentError(message)
    if place in found:
        message = f"output {place}: is one of the packs; name another"
        raise ArgumentError(message)
    folder = f"{place.rpartition('/')[0]}/"
    entries = entries_of(found, edges=True).packs
    manifest = Manifest(tuple(replace(each, address=_from(folder, each.address)) for each in entries))
    write_manifest(manifest, place, overwrite=overwrite)
    return manifest


def _from(folder: str, address: str) -> str:
    if address.startswith(folder):
        return address.removeprefix(folder)
    if is_remote(folder):
        message = f"{address}: is not below {folder}, which a manifest there may name alone; write it to another place"
        raise ArgumentError(message)
    return address
