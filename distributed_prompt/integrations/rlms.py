"""Recursive language models: texts larger than memory as the context of ``rlm.RLM`` (the package ``rlms``).

::

    from rlm import RLM
    from distributed_prompt.integrations.rlms import as_context, repl_environment

    rlm = RLM(backend="openai", backend_kwargs={"model_name": "gpt-5"}, **repl_environment())
    rlm.completion(as_context("corpus.dprompt"), root_prompt="Which driver …?")

What is handed over is a short notice, which is a real ``str`` of the text's length; a few lines of set-up code make it
the text again in the REPL, and in those of recursive calls.
"""

from typing import Any

from distributed_prompt.context import as_context
from distributed_prompt.errors import ArgumentError
from distributed_prompt.integrations.set_up import set_up_code

__all__ = ["as_context", "repl_environment"]

_ENVIRONMENTS = ("local", "ipython", "docker")
# IPython puts one of its own into the namespace.
_OPEN = "open = __builtins__['open']\n"


def repl_environment(environment: str = "local", **environment_kwargs: Any) -> dict[str, Any]:
    """The keyword arguments of ``RLM`` for which contexts are texts of :func:`as_context`.

    Args:
        environment: ``"local"``, ``"ipython"`` or ``"docker"``. In a container, ``distributed_prompt`` is to be
            installed, and the address of the pack to mean the same, as one on S3 does.
        environment_kwargs: as ``RLM`` takes them; ``setup_code`` runs after ours.

    Raises:
        ArgumentError: another environment: those write the context into their code as a literal.

    Cost: no shard.
    """
    if environment not in _ENVIRONMENTS:
        message = f"environment {environment!r}: lazy contexts work in {', '.join(_ENVIRONMENTS)}"
        raise ArgumentError(message)
    # Each cell is a process of its own in a container.
    code = set_up_code("context_0 = context", "context_0", hooks="dprompt_hooks" if environment == "docker" else "")
    code += _OPEN if environment == "ipython" else ""
    setup_code = code + (environment_kwargs.pop("setup_code", None) or "")
    return {"environment": environment, "environment_kwargs": {**environment_kwargs, "setup_code": setup_code}}
