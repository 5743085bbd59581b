"""What makes a REPL at home with lazy texts: its own ``import re``, and ``open`` that knows notices.

Both are put into the ``__builtins__`` of that REPL's namespace, so no other code of the process sees them; where the
process is the REPL's alone (:class:`Hooks`), into those of all its code.
"""

import builtins
import io
import os
import stat
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any

from distributed_prompt import notices, re
from distributed_prompt.attaching import attach
from distributed_prompt.errors import DPromptError

_MARK = "__dprompt_hooks__"
_LONGEST_NOTICE_BYTES = 2**16


def hooked(names: Any) -> Any:
    """The builtins of a REPL with the hooks in them.

    Args:
        names: the value of ``__builtins__`` there: a dictionary, which is changed, or the module, which is not.

    Returns:
        The dictionary to be ``__builtins__``.

    Cost: no shard.
    """
    mapping: MutableMapping[str, Any] = dict(vars(names)) if isinstance(names, ModuleType) else names
    if _MARK not in mapping:
        mapping.update(
            {
                _MARK: True,
                "__import__": partial(_import, mapping["__import__"]),
                "open": partial(_open, mapping["open"]),
            }
        )
    return mapping


class Hooks:
    """For REPLs whose every cell is a new process that unpickles its variables: among these, it brings the hooks along.

    There the builtins themselves are changed, for nothing else goes from one cell to the next.

    Cost: no shard.
    """

    def __init__(self, key: str) -> None:
        """Believe the notices of the process with a key, and hook this one."""
        self._key = key
        notices.adopt(key)
        hooked(vars(builtins))

    def __reduce__(self) -> tuple[object, ...]:
        """The key."""
        return Hooks, (self._key,)

    def __repr__(self) -> str:
        """Nothing of the key."""
        return "Hooks()"


def _import(
    original: Any,
    name: str,
    globals: Any = None,  # noqa: A002  # as __import__ has it
    locals: Any = None,  # noqa: A002  # as above
    fromlist: Any = (),
    level: int = 0,
) -> Any:
    """``__import__``, which gives the exact ``re`` to the REPL's own code."""
    if name == "re" and not level and globals is not None and globals.get("__spec__") is None:
        return re
    return original(name, globals, locals, fromlist, level)


def _open(original: Any, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
    """``open``, which gives the texts in a short file with notices; where they are gone, the file as it is."""
    stream = original(file, mode, *arguments, **options)
    if mode in {"r", "rt", "tr"} and not isinstance(file, int) and _is_short(stream):
        try:
            content = stream.read()
        except UnicodeDecodeError:
            content = ""
        stream.seek(0)
        with suppress(DPromptError):
            text = attach(content)
            if text is not content and isinstance(text, str):
                stream.close()
                return TextReader(text)
    return stream


def _is_short(stream: Any) -> bool:
    status = os.fstat(stream.fileno())
    return stat.S_ISREG(status.st_mode) and 0 < status.st_size <= _LONGEST_NOTICE_BYTES


class TextReader(io.TextIOBase):
    """A text as a file that is read: what it gives is lazy where it is long.

    Cost: no shard but for what is read, as the slice that it is; for a line, as ``find`` up to its end, too.
    """

    def __init__(self, text: str) -> None:
        """At the beginning."""
        super().__init__()
        self._text = text
        self._offset = 0

    def _check_open(self) -> None:
        if self.closed:
            message = "I/O operation on closed file."
            raise ValueError(message)

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int | None = -1, /) -> str:
        """So many characters, or all that are left."""
        self._check_open()
        start = self._offset
        left = len(self._text) - start
        self._offset += left if size is None or size < 0 else min(size, left)
        return self._text if not start and self._offset == len(self._text) else self._text[start : self._offset]

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The offset in characters."""
        self._check_open()
        return self._offset

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to an offset in characters; from elsewhere than the beginning only by 0, as with all text files."""
        self._check_open()
        if whence != io.SEEK_SET and offset:
            message = "can't do nonzero cur-relative or end-relative seeks"
            raise io.UnsupportedOperation(message)
        if offset < 0:
            message = f"negative seek position {offset}"
            raise ValueError(message)
        at = {io.SEEK_SET: offset, io.SEEK_CUR: self._offset, io.SEEK_END: len(self._text)}[whence]
        self._offset = min(at, len(self._text))
        return self._offset

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]  # positional, as io has it
        """The next line with its end; at most so many characters of it."""
        self._check_open()
        at = self._text.find("\n", self._offset)
        stop = len(self._text) if at < 0 else at + 1
        return self.read(stop - self._offset if size < 0 else min(size, stop - self._offset))

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # lines
        """The lines that are left."""
        return iter(self.readline, "")
