"""Pages of remote objects on this disk: shared by processes, private to the user, bounded.

For each version of an object there are two files: one with the pages where they are in the object, full of holes, and
one with a checksum for each, over the page, its number and the version. A page without its checksum is fetched again,
so neither a kill nor a damaged disk does harm. When there is more than the budget, the versions go that were opened
or added to longest ago; a version that exceeds it alone begins anew.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from distributed_prompt.errors import CorruptPackError, OutputError
from distributed_prompt.store import codec
from distributed_prompt.store.open_file import Descriptor

DEFAULT_CACHE_DIR_BYTES = 2**30
_SHARE = 8
_SUM_BYTES = 8
_NO_SUM = bytes(_SUM_BYTES)
_PAGES, _SUMS = ".pages", ".sums"
_BLOCK_BYTES = 512  # of ``st_blocks``


class PageCache:
    """The pages of one version of an object. Safe to use from any thread and process."""

    def __init__(self, folder: str | os.PathLike[str], budget_bytes: int, page_bytes: int) -> None:
        """Take the folder, which is made if it is not there.

        Args:
            folder: holds nothing else.
            budget_bytes: what all files in it may take together, about.
            page_bytes: bytes of each page but the last.

        Raises:
            OutputError: the folder cannot be made.
        """
        self._folder = Path(folder).expanduser().absolute()
        self._budget_bytes = budget_bytes
        self._page_bytes = page_bytes
        self._written_bytes = 0
        self._bound = b""
        self._files: tuple[Descriptor, Descriptor] | None = None
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            message = f"{folder}: {error.strerror}: pages cannot be kept here"
            raise OutputError(message) from error

    def bind(self, name: str, version: str) -> None:
        """Say of which version of which object the pages are; before all else."""
        self._bound = hashlib.sha256(f"{name}\0{version}".encode("utf-8", "surrogatepass")).digest()
        self._open()
        self._trim()

    def get(self, number: int) -> bytes | None:
        """A page, if it is there."""
        files = self._files
        if not files:
            return None
        pages, sums = files
        try:
            found = os.pread(sums.number, _SUM_BYTES, number * _SUM_BYTES)
            if len(found) != _SUM_BYTES or found == _NO_SUM:
                return None
            page = os.pread(pages.number, self._page_bytes, number * self._page_bytes)
            return codec.unseal(number, page + found, self._bound)
        except (OSError, CorruptPackError):
            return None

    def put(self, first: int, data: bytes | bytearray) -> None:
        """Keep consecutive pages; without a word if that cannot be done: the cache is no more than that."""
        files = self._files
        if not files:
            return
        pages, sums = files
        size = self._page_bytes
        parts = (bytes(data[start : start + size]) for start in range(0, len(data), size))
        found = b"".join(codec.seal(first + at, part, self._bound)[-_SUM_BYTES:] for at, part in enumerate(parts))
        try:
            os.pwrite(pages.number, data, first * size)
            os.pwrite(sums.number, found, first * _SUM_BYTES)
        except OSError:
            # The disk is full, or worse. Half a page has no checksum that fits.
            self._files = None
            return
        self._written_bytes += len(data)
        if self._written_bytes > self._budget_bytes // _SHARE:
            self._trim()

    def clear(self) -> None:
        """Drop the pages of this version."""
        for suffix in (_SUMS, _PAGES):
            with suppress(OSError):
                self._path(suffix).unlink()
        self._open()

    def _path(self, suffix: str) -> Path:
        return self._folder / (self._bound.hex()[:32] + suffix)

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._files = None
        with suppress(OSError):
            pages, sums = (Descriptor(os.open(self._path(suffix), flags, 0o600)) for suffix in (_PAGES, _SUMS))
            os.utime(self._path(_SUMS))
            self._files = pages, sums

    def _trim(self) -> None:
        """Remove what was used longest ago, until the rest takes no more than the budget."""
        self._written_bytes = 0
        found: list[tuple[float, str, int]] = []
        with suppress(OSError):
            for entry in os.scandir(self._folder):
                if entry.name.endswith(_PAGES):
                    stem = entry.path.removesuffix(_PAGES)
                    with suppress(OSError):
                        found.append((_used_at(stem), stem, entry.stat().st_blocks * _BLOCK_BYTES))
        total = sum(size for _, _, size in found)
        for _, stem, size in sorted(found):
            if total <= self._budget_bytes:
                break
            for suffix in (_SUMS, _PAGES):
                with suppress(OSError):
                    Path(stem + suffix).unlink()
            total -= size
            if stem == os.fspath(self._path("")):
                self._open()


def _used_at(stem: str) -> float:
    """When a version was opened or added to last; long ago for what is left of one."""
    try:
        return Path(stem + _SUMS).stat().st_mtime
    except OSError:
        return 0
