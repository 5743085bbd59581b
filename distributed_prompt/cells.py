"""A REPL as recursive language models have it: cells of Python over a context, with what they print cut to a limit."""

import builtins
import io
import linecache
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from itertools import count, islice
from types import CodeType
from typing import Any, TextIO

from distributed_prompt import re
from distributed_prompt.attaching import attach
from distributed_prompt.context import as_context
from distributed_prompt.grep import matching_lines
from distributed_prompt.lazy_str import LazyStr
from distributed_prompt.line_pattern import LinePattern
from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.repl_hooks import hooked
from distributed_prompt.strings import plain

OUTPUT_LIMIT = 20_000
_FOUND_LINES = 20
_PASSED_CHARACTERS = 2**20
# Of the process: tracebacks look lines up by the cell's name.
_cells = count(1)


class _StreamError(BaseException):
    """A stream takes no more: no error of the cell that wrote to it, so nothing that it could catch."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


class BoundedOutput(io.TextIOBase):
    """A stream that passes on the first characters written to it, and counts the rest.

    Cost: no shard; of a lazy text that is written, those of the characters that are passed on, 2**20 at a time.
    """

    def __init__(self, stream: TextIO, limit: int | None) -> None:
        """Pass on to a stream up to so many characters; None for all."""
        super().__init__()
        self._stream = stream
        self._left = sys.maxsize if limit is None else limit
        self.left_out = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str, /) -> int:
        """Pass on what there is room for; of a lazy text, unlike other streams, the characters."""
        length = len(text)
        taken = min(length, self._left)
        if isinstance(text, LazyStr):
            for chunk in text.view(0, taken).chunks(_PASSED_CHARACTERS):
                self._pass_on(plain(chunk))
        else:
            self._pass_on(text[:taken])
        self._left -= taken
        self.left_out += length - taken
        return length

    def _pass_on(self, text: str) -> None:
        try:
            self._stream.write(text)
        except OSError as error:
            raise _StreamError(error) from error

    def flush(self) -> None:
        """That of the stream."""
        try:
            self._stream.flush()
        except OSError as error:
            raise _StreamError(error) from error

    def close(self) -> None:
        """Leave the stream alone, which is not ours; the garbage collector closes, too."""

    def close_with_note(self) -> None:
        """Say how much was left out, if anything was."""
        if self.left_out:
            self._pass_on(f"... + [{self.left_out:,} characters more]\n")
            self.left_out = 0


class Cells:
    """A namespace that cells run in, one after the other.

    Attributes:
        namespace: its variables: ``context``, ``prompt`` (the same as a :class:`DistributedPrompt`), ``re`` (exact on
            both; so is what ``import re`` gives), and the helpers ``cite`` and ``grep``.
    """

    def __init__(self, prompt: DistributedPrompt, *, exact: bool = False, documents: bool = False) -> None:
        """Bind the context as :func:`~distributed_prompt.context.as_context` does.

        Cost: as there; for ``exact``, as :meth:`DistributedPrompt.as_str`.
        """
        self.namespace: dict[str, Any] = {
            "__name__": "__main__",
            "__builtins__": hooked(dict(vars(builtins))),
            "context": _arrived(as_context(prompt, exact=exact, documents=documents)),
            "prompt": prompt,
            "re": re,
            "cite": _citing(prompt),
            "grep": _finding(prompt),
        }

    def run(self, source: str, *, output: TextIO, errors: TextIO, limit: int | None = OUTPUT_LIMIT) -> bool:
        """Run a cell.

        Args:
            source: its code.
            output: where what it prints goes.
            errors: where a traceback goes, and what it writes to ``sys.stderr``.
            limit: characters that each of the two gets; None for all.

        Returns:
            Whether it ran to its end.

        Raises:
            SystemExit: as the cell raised it; so with KeyboardInterrupt.
            OSError: one of the streams takes no more.

        Cost: that of the cell; nothing that it prints is kept.
        """
        name = f"<cell {next(_cells)}>"
        linecache.cache[name] = (len(source), None, io.StringIO(source).readlines(), name)
        try:
            return self._run(source, name, BoundedOutput(output, limit), BoundedOutput(errors, limit))
        except _StreamError as stopped:
            raise stopped.error from None

    def _run(self, source: str, name: str, printed: BoundedOutput, complaints: BoundedOutput) -> bool:
        try:
            with redirect_stdout(printed), redirect_stderr(complaints):
                code: CodeType = compile(source, name, "exec", dont_inherit=True)
                exec(code, self.namespace)  # noqa: S102  # what a REPL is for
        except Exception as error:  # noqa: BLE001  # whatever the cell raises is shown
            complaints.write("".join(traceback.format_exception(_without_our_frames(error))))
            return False
        finally:
            printed.close_with_note()
            complaints.close_with_note()
        return True


def _arrived(context: Any) -> Any:
    """What a REPL binds for a context; where that is lazy, a notice has arrived."""
    if isinstance(context, list):
        return attach([str.__str__(item) for item in context])
    return attach(str.__str__(context)) if isinstance(context, LazyStr) else context


def _without_our_frames(error: Exception) -> Exception:
    """The error with the traceback of the cell alone."""
    return error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None)


def _citing(prompt: DistributedPrompt) -> Callable[[int], str]:
    def cite(offset: int) -> str:
        """Where an offset is: ``document:line``, the line counted from 1 in that document."""
        document = prompt.document_at(offset)
        line = prompt.line_at(offset)
        if document is None:
            return f"line {line + 1}"
        return f"{document.name}:{line - prompt.line_at(document.start) + 1}"

    return cite


def _finding(prompt: DistributedPrompt) -> Callable[..., list[str]]:
    def grep(pattern: str, limit: int = _FOUND_LINES, *, ignore_case: bool = False) -> list[str]:
        """The first lines that match a regular expression, as ``document:line: text``."""
        lines = matching_lines(prompt, LinePattern(pattern, ignore_case=ignore_case))
        return [f"{line.section.name}:{line.number}: {line.text}" for line in islice(lines, limit)]

    return grep
