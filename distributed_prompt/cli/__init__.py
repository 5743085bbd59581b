"""``dprompt``: parses, calls, prints. No logic of its own, and the only importer of click and tqdm."""

from distributed_prompt.cli import checking, grepping, reading, repl, syncing, writing
from distributed_prompt.cli.group import main

__all__ = ["checking", "grepping", "main", "reading", "repl", "syncing", "writing"]
