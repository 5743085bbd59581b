"""One run of a recursive language model, in a process of its own; prints JSON.

    python -m bench.rlm_operation expected TEXT         what the cells print, run on an ordinary string without any RLM
    python -m bench.rlm_operation rlms PACK             the released rlms with a lazy context; an address will do
    python -m bench.rlm_operation rlms TEXT.txt         the same with an ordinary string
    python -m bench.rlm_operation dspy PACK             dspy.RLM with its LocalInterpreter

The model is scripted (tools/scripted_model.py), and writes the cells of bench/rlm_cells.py.
"""

import hashlib
import io
import json
import sys
import tempfile
import time
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from bench.rlm_cells import CELLS, CHILD, FINAL, RECURSIVE, SHOWN
from bench.watching import Watched
from tools.scripted_model import DspyScript, Script, serving

_ITERATIONS = 40


def said(question: str) -> str:
    """What a model answers to a question: enough to see that it was asked the same."""
    return f"{len(question)} characters, {hashlib.sha256(question.encode()).hexdigest()[:12]}"


def expected(path: Path) -> dict[str, Any]:
    """What each cell is to print."""
    context = read(path)
    namespace = {
        "context": context,
        "llm_query": said,
        "llm_query_batched": lambda prompts: [said(prompt) for prompt in prompts],
        "rlm_query": _child,
        "rlm_query_batched": lambda prompts: [_child(prompt) for prompt in prompts],
    }
    outputs = {}
    for name, cell in {**CELLS, **RECURSIVE}.items():
        output = io.StringIO()
        with redirect_stdout(output):
            exec(cell, namespace)  # noqa: S102  # our own cells
        outputs[name] = output.getvalue()
    answer = f"{len(context)} characters, {context.count('EXPORT_SYMBOL_GPL')} symbols"
    return {"outputs": outputs, "answer": answer}


def _child(context: str) -> str:
    namespace: dict[str, Any] = {"context": context, "answer": {}}
    exec(CHILD, namespace)  # noqa: S102  # as above
    content: str = namespace["answer"]["content"]
    return content


def read(path: Path) -> str:
    """A text as it is packed."""
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


def rlms(address: str) -> dict[str, Any]:
    """A completion with sub-calls and a log."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from rlm import RLM  # noqa: PLC0415  # only for those who have it
        from rlm.logger import RLMLogger  # noqa: PLC0415
    from distributed_prompt.integrations.rlms import as_context, repl_environment  # noqa: PLC0415

    cells = {**CELLS, **RECURSIVE, **SHOWN, "final": FINAL}
    is_lazy = not address.endswith(".txt")
    if not is_lazy:
        # It would send gigabytes to the model.
        cells["shown whole"] = cells["shown whole"].replace("print(llm_query", "# print(llm_query")
    script = Script(list(cells.values()), [CHILD], said)
    with tempfile.TemporaryDirectory() as folder, serving(script) as client:
        with Watched() as watched:
            start = time.perf_counter()
            logger = RLMLogger(log_dir=folder)
            environment = repl_environment() if is_lazy else {}
            rlm = RLM(
                backend="openai",
                backend_kwargs=client,
                max_depth=2,
                max_iterations=_ITERATIONS,
                logger=logger,
                **environment,
            )
            context: Any = as_context(address) if is_lazy else read(Path(address))
            answer = rlm.completion(context, root_prompt="How many symbols are exported?").response
            seconds = time.perf_counter() - start
        stats = context.stats if is_lazy else None
        logs = list(Path(folder).iterdir())
        log_bytes = sum(log.stat().st_size for log in logs)
        outputs = _outputs(logs[0], list(cells)) if is_lazy else {}
    return {
        "answer": answer,
        "seconds": seconds,
        "peak_bytes": watched.peak_bytes,
        "log_bytes": log_bytes,
        "outputs": outputs,
        "told": script.received[0][1]["content"],
        "sent_to_the_model": max(len(str(messages)) for messages in script.received),
        "received_bytes": stats.received_bytes if stats else 0,
        "requests": stats.requests if stats else 0,
    }


def _outputs(log: Path, names: list[str]) -> dict[str, str]:
    with log.open() as file:
        entries = [json.loads(line) for line in file]
    blocks = [block["result"] for entry in entries for block in entry.get("code_blocks", [])]
    return {name: block["stdout"] + block["stderr"] for name, block in zip(names, blocks, strict=True)}


def dspy(address: str) -> dict[str, Any]:
    """The same cells, but for the recursive calls, with DSPy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import dspy as module  # noqa: PLC0415  # only for those who have it

        from distributed_prompt.integrations.dspy import PromptInput  # noqa: PLC0415

    final = f"{FINAL.replace('print(SHOW_VARS())', 'answer = {}')}\nSUBMIT(answer=answer['content'])"
    cells = {**CELLS, "final": final}
    script = DspyScript(list(cells.values()), answer=said)
    interpreters: list[Watched] = []

    def interpreter() -> Any:
        made = module.LocalInterpreter()
        made.start()
        interpreters.append(Watched(made._process.pid).__enter__())  # noqa: SLF001  # no other way to its process
        return made

    with serving(script) as client:
        model = module.LM(f"openai/{client['model_name']}", api_base=client["base_url"], api_key="none", cache=False)
        module.configure(lm=model, interpreter_factory=interpreter)
        rlm = module.RLM("context, question -> answer", max_iters=_ITERATIONS)
        with Watched() as watched:
            start = time.perf_counter()
            prediction = rlm(context=PromptInput(address), question="How many symbols are exported?")
            seconds = time.perf_counter() - start
    for each in interpreters:
        each.__exit__(None, None, None)
    return {
        "answer": prediction.answer,
        "seconds": seconds,
        "peak_bytes": watched.peak_bytes,
        "interpreter_peak_bytes": max(each.peak_bytes for each in interpreters),
        "outputs": {name: step["output"] for name, step in zip(cells, prediction.trajectory, strict=True)},
        "sent_to_the_model": max(len(str(messages)) for messages in script.received),
    }


def main() -> None:
    """Run what the arguments name."""
    operation, address = sys.argv[1:]
    if operation == "expected":
        answer = expected(Path(address))
    else:
        answer = rlms(address) if operation == "rlms" else dspy(address)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
