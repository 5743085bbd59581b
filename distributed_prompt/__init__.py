"""Texts too large for memory, used as if they were ``str``.

::

    import distributed_prompt as dp

    dp.pack(["articles/", "notes.md"], "corpus.dprompt")
    prompt = dp.open("corpus.dprompt")
    prompt[1_000_000:1_000_100], prompt.find("needle"), len(prompt)
"""

from importlib import import_module
from typing import TYPE_CHECKING

from distributed_prompt.backends.file_backend import FileBackend
from distributed_prompt.errors import DPromptError
from distributed_prompt.fork_gate import importing
from distributed_prompt.prompt import DistributedPrompt, open  # noqa: A004  # dp.open, as gzip.open

if TYPE_CHECKING:
    from distributed_prompt import re
    from distributed_prompt.appending import add_index, append, convert
    from distributed_prompt.backends.http_backend import HttpBackend
    from distributed_prompt.backends.s3_backend import S3Backend
    from distributed_prompt.backends.sync import pull, push, sync
    from distributed_prompt.collecting import collect
    from distributed_prompt.packing import PackInfo, ingest_file, ingest_string, pack
    from distributed_prompt.unpacking import unpack
    from distributed_prompt.verification import verify

    __version__: str

__all__ = [
    "DPromptError",
    "DistributedPrompt",
    "FileBackend",
    "HttpBackend",
    "PackInfo",
    "S3Backend",
    "add_index",
    "append",
    "collect",
    "convert",
    "ingest_file",
    "ingest_string",
    "open",
    "pack",
    "pull",
    "push",
    "re",
    "sync",
    "unpack",
    "verify",
]

_HOMES = {
    "HttpBackend": "backends.http_backend",
    "PackInfo": "packing",
    "S3Backend": "backends.s3_backend",
    "add_index": "appending",
    "append": "appending",
    "collect": "collecting",
    "convert": "appending",
    "ingest_file": "packing",
    "ingest_string": "packing",
    "pack": "packing",
    "pull": "backends.sync",
    "push": "backends.sync",
    "sync": "backends.sync",
    "unpack": "unpacking",
    "verify": "verification",
}


def __getattr__(name: str) -> object:
    """Import what writes packs when it is first used: most programs only read."""
    if name in _HOMES or name == "re":
        with importing:
            module = import_module(f"distributed_prompt.{_HOMES.get(name, name)}")
        return module if name == "re" else getattr(module, name)
    if name == "__version__":
        return import_module("importlib.metadata").version("distributed-prompt")
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
