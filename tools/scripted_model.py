"""A server with OpenAI's interface for chat that says what it is told to: for tests, examples and measurements.

    python -m tools.scripted_model CELLS.py       cells, with a line of `# ---` between two, one a turn

A conversation that begins with a system prompt is taken for that of a recursive language model, and is answered with
the next of its cells; anything else for a question, which a function answers.
"""

import argparse
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Messages = list[dict[str, str]]
MODEL = "scripted"
_SEPARATOR = "\n# ---\n"
_WORD_CHARACTERS = 4
_POLL_SECONDS = 0.02
_TURN = re.compile(r"\[\[ ## iteration ## \]\]\s*(\d+)/")


class Script:
    """What a model says.

    Attributes:
        received: all conversations it was sent, in the order in which they came.
    """

    def __init__(
        self,
        cells: Sequence[str],
        child_cells: Sequence[str] = (),
        answer: Callable[[str], str] = lambda question: f"{len(question)} characters",
    ) -> None:
        """Take the code of each turn.

        Args:
            cells: of a model that is asked something ("Answer the following").
            child_cells: of one that is not, as those that models start themselves.
            answer: of a model that is sent a question without a REPL.
        """
        self._cells = cells
        self._child_cells = child_cells
        self._answer = answer
        self.received: list[Messages] = []

    def __call__(self, messages: Messages) -> str:
        """The answer to a conversation."""
        self.received.append(messages)
        if messages[0]["role"] != "system":
            return self._answer(messages[-1]["content"])
        cells = self._cells if "Answer the following" in messages[1]["content"] else self._child_cells
        turn = sum(message["role"] == "assistant" for message in messages)
        return f"```repl\n{cells[min(turn, len(cells) - 1)].strip()}\n```"


class DspyScript(Script):
    """What a model says to ``dspy.RLM``: the same cells, in the form that DSPy asks for."""

    def __call__(self, messages: Messages) -> str:
        """The answer to a conversation."""
        self.received.append(messages)
        turns = _TURN.findall(messages[-1]["content"])
        if not turns:
            return self._answer(messages[-1]["content"])
        cell = self._cells[min(int(turns[-1]), len(self._cells)) - 1].strip()
        return f"[[ ## reasoning ## ]]\nNext.\n\n[[ ## code ## ]]\n```python\n{cell}\n```\n\n[[ ## completed ## ]]"


class _Handler(BaseHTTPRequestHandler):
    """One request of the interface."""

    protocol_version = "HTTP/1.1"
    say: Callable[[Messages], str]

    def do_POST(self) -> None:  # as http.server has it
        """Answer a conversation."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = type(self).say(request["messages"])
        asked = sum(len(str(message["content"])) for message in request["messages"])
        usage = {"prompt_tokens": asked // _WORD_CHARACTERS, "completion_tokens": len(said) // _WORD_CHARACTERS}
        message = {"role": "assistant", "content": said}
        answer: dict[str, Any] = {
            "id": "scripted",
            "object": "chat.completion",
            "created": 0,
            "model": request.get("model", MODEL),
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage | {"total_tokens": sum(usage.values())},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class _Server(ThreadingHTTPServer):
    """A server that batches of questions find open."""

    daemon_threads = True
    request_queue_size = 128


@contextmanager
def serving(say: Callable[[Messages], str]) -> Iterator[dict[str, str]]:
    """Serve on a free port of this machine.

    Yields:
        The arguments of a client: ``base_url``, ``api_key``, ``model_name``.
    """
    handler = type("Handler", (_Handler,), {"say": staticmethod(say)})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/v1"
            yield {"base_url": url, "api_key": "none", "model_name": MODEL}
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    """Serve the cells of a file until stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", type=Path)
    cells = parser.parse_args().cells.read_text().split(_SEPARATOR)
    with serving(Script(cells)) as client:
        print(f"serving on {client['base_url']}, model {MODEL}; end it with Ctrl-C")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
