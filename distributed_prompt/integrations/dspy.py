"""DSPy: texts larger than memory as inputs of ``dspy.RLM`` with its ``LocalInterpreter``.

::

    import dspy
    from distributed_prompt.integrations.dspy import PromptInput

    dspy.configure(lm=dspy.LM("openai/gpt-5"), interpreter_factory=dspy.LocalInterpreter)
    dspy.RLM("context, question -> answer")(context=PromptInput("corpus.dprompt"), question="Which driver …?")

Only a notice goes to the interpreter's process, once; there it becomes the text.
"""

import os
from typing import Any, Self

from dspy import SandboxSerializable

from distributed_prompt.context import as_context
from distributed_prompt.integrations.set_up import set_up_code
from distributed_prompt.lazy_str import LazyStr
from distributed_prompt.prompt import DistributedPrompt, open  # noqa: A004  # dp.open


class PromptInput(SandboxSerializable):
    """A text as an input field of a signature. A context manager, at the end of which it is closed.

    Attributes:
        prompt: the text.

    Cost: as :func:`~distributed_prompt.context.as_context`; what is shown of it, its first shards.
    """

    def __init__(
        self, source: str | os.PathLike[str] | DistributedPrompt, *, exact: bool = False, documents: bool = False
    ) -> None:
        """Take a text as :func:`~distributed_prompt.context.as_context` does, whose arguments these are.

        The interpreter opens it by its address, so that has to mean the same there.
        """
        self._is_ours = not isinstance(source, DistributedPrompt)
        self.prompt = source if isinstance(source, DistributedPrompt) else open(source)
        try:
            self._context = as_context(self.prompt, exact=exact, documents=documents)
        except BaseException:
            self.close()
            raise
        self._is_list = documents

    def close(self) -> None:
        """Let go of the pack, unless it is that of a prompt that was given. The interpreter's process has its own."""
        if self._is_ours:
            self.prompt.close()

    def __enter__(self) -> Self:
        """Return the input itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def sandbox_setup(self) -> str:
        """What the model is told of: ``re`` that is exact on the text."""
        return "import distributed_prompt.re as re"

    def to_sandbox(self) -> bytes:
        """The notice; a short text itself."""
        text = self._context[0] if self._is_list else self._context
        return str.__str__(text).encode("utf-8", "surrogatepass")

    def sandbox_assignment(self, var_name: str, data_expr: str) -> str:
        """Code that makes the text of it.

        The interpreter's worker makes its builtins anew for each cell, and ends if a cell leaves a thread behind.
        """
        return set_up_code(var_name, data_expr, hooks="_dprompt_hooked", threads=False)

    def rlm_preview(self, max_chars: int = 500) -> str:
        """Its length, how it is to be used, and how it begins."""
        form = f"a sequence of {len(self.prompt.documents):,} documents" if self._is_list else "a str"
        lazy = ", read lazily: use slices, find, count, in, split, and re" if isinstance(self._context, LazyStr) else ""
        said = f"{form} of {len(self.prompt):,} characters{lazy}. It begins:\n"
        return said + str(self.prompt[: max(0, max_chars - len(said))])

    def __str__(self) -> str:
        """For histories and logs."""
        return self.rlm_preview()

    def __repr__(self) -> str:
        """As that of the prompt."""
        return f"PromptInput({self.prompt!r})"

    def __deepcopy__(self, memo: Any) -> "PromptInput":
        """The same: it cannot change."""
        return self
