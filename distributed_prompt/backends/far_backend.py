"""What packs that lie on servers have in common, whatever the server."""

import os
import tempfile
from pathlib import Path
from typing import Any, Self

from distributed_prompt.backends.base import Backend
from distributed_prompt.backends.page_cache import PageCache
from distributed_prompt.backends.pages import PAGE_BYTES, Pages
from distributed_prompt.backends.ranges import Ranges
from distributed_prompt.backends.traffic import Traffic
from distributed_prompt.store.engines import open_source
from distributed_prompt.store.pack import Pack


class FarBackend(Backend):
    """A pack that is read by page.

    Cost: opening it, as the subclasses say; nothing else asks anything of the server.
    """

    _pages: Pages
    _arguments: tuple[Any, ...]

    def _open(
        self, ranges: Ranges, cache_bytes: int, cache_dir: str | os.PathLike[str] | None, cache_dir_bytes: int
    ) -> None:
        """Open the pack in an object; the caches are as the subclasses say."""
        cache = None if cache_dir is None else PageCache(cache_dir, cache_dir_bytes, PAGE_BYTES)
        self._pages = Pages(ranges, cache_bytes, cache)
        self.pack = Pack(open_source(self._pages))

    @property
    def traffic(self) -> Traffic:
        """As the base class says."""
        return self._pages.traffic

    @property
    def folder(self) -> Path:
        """That for temporary files."""
        return Path(tempfile.gettempdir())

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        """What opens the same pack elsewhere, never credentials of ours but those that an address holds itself."""
        return type(self), self._arguments
