"""Manifests where packs are: on this disk, on S3, on web servers."""

import os
from collections.abc import Iterator
from fnmatch import translate
from glob import glob, has_magic
from pathlib import Path
from re import compile as compile_pattern

from distributed_prompt.backends.addresses import is_remote
from distributed_prompt.backends.file_backend import PACK_NAME
from distributed_prompt.backends.output import OutputFile, refusals
from distributed_prompt.backends.ranges import Ranges
from distributed_prompt.errors import (
    AddressError,
    CorruptPackError,
    OutputExistsError,
    PackNotFoundError,
    PackReadError,
)
from distributed_prompt.fork_gate import importing
from distributed_prompt.manifest import (
    MANIFEST_ENDING,
    MANIFEST_NAME,
    S3_SCHEME,
    Manifest,
    parse_manifest,
    without_query,
)

_FIRST_BYTES = 2**20
_NEXT_BYTES = 2**22
# Of some 100,000 packs.
_MOST_BYTES = 2**26


def manifest_at(address: str) -> str | None:
    """The address of the manifest that an address names, by itself or by its folder; None if it is one of a pack."""
    if is_remote(address):
        # In the key of an object it is a character as any other.
        path, mark, query = (address, "", "") if address.startswith(S3_SCHEME) else address.partition("?")
        if path.endswith("/") and not path.endswith("://"):
            return f"{path}{MANIFEST_NAME}{mark}{query}"
        return address if path.endswith(MANIFEST_ENDING) else None
    place = Path(os.path.abspath(address))  # noqa: PTH100  # Path.absolute keeps '..'
    try:
        if place.is_dir():
            inside = place / MANIFEST_NAME
            has_manifest, has_pack = inside.is_file(), (place / PACK_NAME).is_file()
        elif place.is_file():
            with place.open("rb") as file:
                return str(place) if file.read(1) == b"{" else None
        else:
            # Who opens a pipe waits for its writer.
            return None
    except (OSError, ValueError):
        # Whoever opens it as a pack says what is wrong.
        return None
    if has_manifest and has_pack:
        message = f"{address}: a folder with both {PACK_NAME} and {MANIFEST_NAME}; name one of them"
        raise AddressError(message)
    return str(inside) if has_manifest else None


def read_manifest(address: str) -> Manifest:
    """The manifest at an address, as :func:`manifest_at` gives it.

    Raises:
        DPromptError: as of opening a pack there.

    Cost: its bytes, some 700 a pack; from afar a request for the first 1,500 packs, and one for 6,000 more each.
    """
    name = without_query(address) if is_remote(address) else address
    if is_remote(address):
        return parse_manifest(_fetched(_ranges(address)), name)
    try:
        size = Path(address).stat().st_size
        _check_size(size, name)
        data = Path(address).read_bytes()
    except OSError as error:
        message = f"{address}: {error.strerror}"
        raise PackReadError(message) from error
    return parse_manifest(data, name)


def is_there(address: str) -> bool:
    """Whether anything is at a path or at ``s3://bucket/key``.

    Raises:
        AddressError: another kind of address.
        DPromptError: the server refuses or fails.
    """
    if not is_remote(address):
        return os.path.lexists(address)
    with importing:
        from distributed_prompt.backends.s3_client import S3Object  # noqa: PLC0415  # few programs need it

    return S3Object.parse(address).head() is not None


def write_manifest(manifest: Manifest, address: str, *, overwrite: bool = False) -> None:
    """Put a manifest at a path or at ``s3://bucket/key``; it appears whole or not at all.

    Raises:
        OutputExistsError: something is there, and ``overwrite`` is not set.
        OutputError: it cannot be written.
        DPromptError: the server refuses or fails.
    """
    data = manifest.write()
    if is_remote(address):
        with importing:
            from distributed_prompt.backends.s3_client import S3Object  # noqa: PLC0415  # few programs need it

        # Only just before, for packing may have taken hours since it was looked at last.
        if not overwrite and is_there(address):
            message = f"{address}: exists; choose another name, or overwrite it with --force (overwrite=True)"
            raise OutputExistsError(message)
        S3Object.parse(address).put(data)
        return
    with OutputFile(address, overwrite=overwrite, make_folder=True) as file:
        with refusals(address, file.path):
            file.partial.write_bytes(data)
        file.publish()


def matching(pattern: str) -> list[str]:
    """The addresses of packs that a pattern as the shell's stands for, ascending; any other stands for itself.

    On S3 a pattern has a star; web servers do not list what they have. Manifests are left out, unless the pattern ends
    as they do.

    Raises:
        PackNotFoundError: nothing matches.
    """
    if not _is_pattern(pattern):
        return [pattern]
    # Strings in, strings out.
    found = sorted(_listed(pattern) if is_remote(pattern) else glob(pattern, recursive=True))  # noqa: PTH207
    if not pattern.endswith(MANIFEST_ENDING):
        found = [address for address in found if not address.endswith(MANIFEST_ENDING)]
    if not found:
        message = f"{pattern}: {'' if is_remote(pattern) else 'no such file, and as a pattern it '}matches nothing"
        raise PackNotFoundError(message)
    return found


def _is_pattern(address: str) -> bool:
    if is_remote(address):
        # Anything else may be in the name of an object.
        return address.startswith(S3_SCHEME) and "*" in address
    return has_magic(address) and not os.path.exists(address)  # noqa: PTH110  # whatever the name


def _listed(pattern: str) -> Iterator[str]:
    with importing:
        from distributed_prompt.backends.s3_client import S3Object  # noqa: PLC0415  # as above

    place = S3Object.parse(pattern)
    beginning = place.key[: next(number for number, character in enumerate(place.key) if character in "*?[")]
    wanted = compile_pattern(translate(place.key))
    for key in place.listed(beginning):
        # As in paths, a star does not stand for a slash.
        if wanted.match(key) and key.count("/") == place.key.count("/"):
            yield f"{S3_SCHEME}{place.bucket}/{key}"


def _ranges(address: str) -> Ranges:
    if address.startswith(S3_SCHEME):
        with importing:
            from distributed_prompt.backends.s3_backend import signed_ranges  # noqa: PLC0415  # as above
            from distributed_prompt.backends.s3_client import S3Object  # noqa: PLC0415  # as above

        return signed_ranges(S3Object.parse(address))
    with importing:
        from distributed_prompt.backends.http_backend import url_ranges  # noqa: PLC0415  # as above

    return url_ranges(address)


def _fetched(ranges: Ranges) -> bytes:
    try:
        _, data = ranges.pin_beginning(_FIRST_BYTES)
        _check_size(ranges.size_bytes, ranges.name)
        while len(data) < ranges.size_bytes:
            data += ranges.fetch(len(data), min(ranges.size_bytes, len(data) + _NEXT_BYTES))
        return bytes(data)
    finally:
        ranges.close()


def _check_size(size: int, name: str) -> None:
    if size > _MOST_BYTES:
        message = f"{name}: {size:,} bytes are more than a manifest may have ({_MOST_BYTES:,})"
        raise CorruptPackError(message)
