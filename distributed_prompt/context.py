"""What a model's REPL has as its ``context``."""

import os
from typing import Any

from distributed_prompt.attaching import DOCUMENTS, EXACT
from distributed_prompt.errors import ArgumentError
from distributed_prompt.geometry import check_limit
from distributed_prompt.lazy_str import LAZY, LazyStr
from distributed_prompt.prompt import DistributedPrompt, open  # noqa: A004  # dp.open
from distributed_prompt.strings import plain


def as_context(
    source: str | os.PathLike[str] | DistributedPrompt,
    *,
    exact: bool = False,
    documents: bool = False,
    lazy: bool = False,
    view_threshold: int | None = None,
) -> Any:
    """What to hand to a recursive language model for a text.

    Args:
        source: an address as :func:`distributed_prompt.open` takes it, or an open prompt or view.
        exact: in the REPL, the context is the mapped string of ``as_str()`` instead: right even for code in C that
            reads it, at the price of an image on disk, and of a log with the whole text in it if there is a logger.
        documents: in the REPL, the context is the sequence of documents that the pack was made of.
        lazy: make a :class:`~distributed_prompt.lazy_str.LazyStr` even of a short text, for cells that use a prompt's
            other methods, such as ``context.document_at(offset)``.
        view_threshold: above how many characters results in the REPL are lazy, instead of the prompt's.

    Returns:
        A :class:`~distributed_prompt.lazy_str.LazyStr`, in a list for ``documents``; an ordinary string for a text
        that is not longer than ``view_threshold``, unless it is to be lazy.

    Raises:
        ArgumentError: both forms at once, or ``view_threshold`` below 0.
        DPromptError: as :func:`distributed_prompt.open`.

    Cost: as opening the pack; for a short text, its shards.
    """
    if exact and documents:
        message = "as_context(): exact or documents, not both"
        raise ArgumentError(message)
    if view_threshold is not None:
        view_threshold = check_limit("view_threshold", view_threshold)
    is_ours = not isinstance(source, DistributedPrompt)
    prompt = (open(source) if not isinstance(source, DistributedPrompt) else source).view()
    if view_threshold is not None:
        prompt.view_threshold = view_threshold
    if documents:
        return [LazyStr(prompt, DOCUMENTS, owns=is_ours)]
    if len(prompt) <= prompt.view_threshold and not lazy:
        return plain(prompt)
    return LazyStr(prompt, EXACT if exact else LAZY, owns=is_ours)
