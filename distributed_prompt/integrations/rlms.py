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

from distributed_prompt import notices
from distributed_prompt.context import as_context

__all__ = ["as_context", "repl_environment"]

_SET_UP = """\
import distributed_prompt.attaching as _dprompt_attaching, distributed_prompt.repl_hooks as _dprompt_hooks
_dprompt_hooks.notices.trust({key!r})
__builtins__ = _dprompt_hooks.hooked(__builtins__)
context_0 = context = _dprompt_attaching.attach(context_0)
"""
# Each cell is a process of its own there.
_SET_UP_BY_CELL = "dprompt_hooks = _dprompt_hooks.Hooks({key!r})\n"
_BY_CELL = ("docker", "modal", "e2b", "daytona", "prime")


def repl_environment(environment: str = "local", **environment_kwargs: Any) -> dict[str, Any]:
    """The keyword arguments of ``RLM`` for which contexts are texts of :func:`as_context`.

    Args:
        environment: as ``RLM`` takes it. Outside of this machine, ``distributed_prompt`` is to be installed there, and
            the address of the pack to mean the same, as one on S3 does.
        environment_kwargs: as ``RLM`` takes them; ``setup_code`` runs after ours.

    Cost: no shard.
    """
    code = _SET_UP + (_SET_UP_BY_CELL if environment in _BY_CELL else "")
    setup_code = code.format(key=notices.key()) + environment_kwargs.pop("setup_code", "")
    return {"environment": environment, "environment_kwargs": {**environment_kwargs, "setup_code": setup_code}}
