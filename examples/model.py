"""What the examples share: which model answers, and a transcript of what it does.

Without any preparation, a script plays the model, on this machine and without network. A real one answers instead where
the environment names it: ``DPROMPT_MODEL``, with ``OPENAI_API_KEY`` and ``OPENAI_BASE_URL`` as the client ``openai``
takes them.
"""

import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.scripted_model import Script, serving

try:
    from rlm import RLM
    from rlm.logger import RLMLogger
except ModuleNotFoundError as error:
    if error.name != "rlm":
        raise
    sys.exit("the examples need the package rlms: pip install -e '.[rlms]'")

# The examples take RLM from here, for theirs to be the line above if it is not installed.
__all__ = ["RLM", "Transcript", "measured", "model"]

_SHOWN_CHARACTERS = 1_000
# rlms asks each batch of prompts in an event loop of its own, in which connections kept from the last one fail.
_NOT_KEPT = {"default_headers": {"Connection": "close"}}


@contextmanager
def model(cells: Sequence[str], answer: Callable[[str], str] = str) -> Iterator[dict[str, Any]]:
    """Have a model ready while a block runs.

    Args:
        cells: what the scripted model writes into the REPL, turn by turn.
        answer: what it says to a prompt of ``llm_query``.

    Yields:
        The arguments of ``RLM`` that choose the model: ``backend`` and ``backend_kwargs``.
    """
    name = os.environ.get("DPROMPT_MODEL")
    if name:
        yield {"backend": "openai", "backend_kwargs": {"model_name": name, **_NOT_KEPT}}
        return
    with serving(Script(cells, answer=answer)) as client:
        yield {"backend": "openai", "backend_kwargs": {**client, **_NOT_KEPT}}


class Transcript(RLMLogger):  # type: ignore[misc]  # rlm has no types
    """A logger of ``RLM`` that prints each turn: the code that the model wrote, and what it printed."""

    turns = 0

    def log(self, iteration: Any) -> None:
        """Print a turn."""
        self.turns += 1
        # None if RLM has run out of turns, and asked for an answer at once.
        seconds = iteration.iteration_time or 0.0
        print(f"\nTurn {self.turns}, {seconds:.1f} s:")
        if not iteration.code_blocks:
            print(iteration.response)
        for block in iteration.code_blocks:
            print("> " + block.code.strip().replace("\n", "\n> "))
            if printed := (block.result.stdout + block.result.stderr).strip():
                print(printed[:_SHOWN_CHARACTERS] + ("\n[…]" if len(printed) > _SHOWN_CHARACTERS else ""))
            if calls := len(block.result.rlm_calls):
                print(f"(sub-models asked: {calls:,})")


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Print how long a block took, and the most memory that the process has had so far."""
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    print(f"\n{what}: {seconds:.1f} s; memory of this process at most {_peak_bytes() / 1e6:,.0f} MB")


def _peak_bytes() -> int:
    try:
        # Not what getrusage() says on Linux, which may be that of the process which started this one.
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        # In bytes on macOS.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(peak[1]) * 1024 if peak else 0
