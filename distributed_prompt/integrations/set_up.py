"""Code that a REPL runs first."""

from distributed_prompt import notices

_IMPORTS = "import distributed_prompt.attaching as _dprompt_attaching, distributed_prompt.repl_hooks as _dprompt_hooks"
_HOOKED_NAMESPACE = "_dprompt_hooks.notices.adopt({key!r}); __builtins__ = _dprompt_hooks.hooked(__builtins__)"
_HOOKED_PROCESS = "{hooks} = _dprompt_hooks.Hooks({key!r})"
_NO_THREADS = "import distributed_prompt.workers as _dprompt_workers; _dprompt_workers.use_no_threads()"
_ATTACHED = "{target} = _dprompt_attaching.attach({source})"


def set_up_code(target: str, source: str, *, hooks: str = "", threads: bool = True) -> str:
    """The code that binds a text in the place of its notice, and hooks ``import`` and ``open``.

    Args:
        target: what to assign it to: a name, or ``a = b``.
        source: the expression that gives the notice.
        hooks: a name, for a process in which a namespace or its ``__builtins__`` do not outlive a cell: all of the
            process is hooked, and so is another one that unpickles the variable of this name.
        threads: whether threads of ours may outlive a cell.

    Cost: no shard.
    """
    lines = [_IMPORTS, *([] if threads else [_NO_THREADS]), _HOOKED_PROCESS if hooks else _HOOKED_NAMESPACE, _ATTACHED]
    return "".join(line.format(key=notices.key(), hooks=hooks, target=target, source=source) + "\n" for line in lines)
