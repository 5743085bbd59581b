"""One measurement of real strings and of methods that make texts, in a process of its own; prints JSON.

    python -m bench.string_operation image PACK 4           the first quarter as a string
    python -m bench.string_operation write FOLDER 5000000   so many bytes written, for comparison
    python -m bench.string_operation both PACK TEXT 0       each operation on the mapped and on an ordinary string
    python -m bench.string_operation mapped PACK            the same on the mapped string alone; its peaks of memory
    python -m bench.string_operation ordinary TEXT
    python -m bench.string_operation lazy PACK METHOD       a method of the prompt
    python -m bench.string_operation eager TEXT METHOD      the same of the ordinary string

``DATA_LIMIT`` in the environment is set as ``ulimit -d``.
"""

import json
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import distributed_prompt as dp
from bench.watching import Watched
from distributed_prompt.errors import MaterialiseError
from distributed_prompt.images import image_folder

ABSENT = "no such text in any kernel"
PARTS = 20
PART_CHARACTERS = 1_000_000


def parts(text: str) -> Iterator[str]:
    """Slices spread over a text, one at a time."""
    step = len(text) // PARTS
    return (text[at : at + PART_CHARACTERS] for at in range(0, len(text) - PART_CHARACTERS, step))


class Operation(NamedTuple):
    """What is done with a string, and how often in one process.

    A string keeps its hash, so hashing is done once; a regular expression takes long enough to be done once.
    """

    call: Callable[[str], Any]
    rounds: int = 3


OPERATIONS = {
    "first pass: `x in s`, absent": Operation(lambda text: ABSENT in text, rounds=1),
    "`x in s`, absent": Operation(lambda text: ABSENT in text),
    '`s.count("static")`': Operation(lambda text: text.count("static")),
    "`s.find(x)`, absent": Operation(lambda text: text.find(ABSENT)),
    r'`re.findall(r"\bkmalloc_\w+", s)`': Operation(lambda text: re.findall(r"\bkmalloc_\w+", text), rounds=1),
    "`hash(s)`": Operation(hash, rounds=1),
    f"`json.dumps(s[a:b])`, {PARTS} of {PART_CHARACTERS:,}": Operation(
        lambda text: [hash(json.dumps(part)) for part in parts(text)]
    ),
    f"`s[a:b].split()`, {PARTS} of {PART_CHARACTERS:,}": Operation(
        lambda text: [hash(tuple(part.split())) for part in parts(text)]
    ),
}


# What makes a text or a list. On a prompt these are to be lazy, on a string they take its length in memory, or several
# times that. Results are short, and the same for both. A new row is a new line here.
METHODS: dict[str, Callable[[Any], Any]] = {
    "lower().find(absent)": lambda text: text.lower().find(ABSENT.lower()),
    'split("\\n")[n]': lambda text: text.split("\n")[len(text) // 100],
    'len(split("\\n"))': lambda text: len(text.split("\n")),
    'for line in split("\\n")': lambda text: sum(map(len, text.split("\n"))),
    "for line in splitlines()": lambda text: sum(map(len, text.splitlines())),
    "for word in split()": lambda text: sum(map(len, text.split())),
    'replace("static", "dynamic").count': lambda text: text.replace("static", "dynamic").count("dynamic"),
    "upper().count": lambda text: text.upper().count("STATIC"),
    "expandtabs().count": lambda text: text.expandtabs().count("        "),
    "title().count": lambda text: text.title().count("Static"),
    "encoded(), str's encode()": lambda text: sum(
        part.count(b"\xc3") for part in ([text.encode()] if isinstance(text, str) else text.encoded())
    ),
    '(p + "x")[-1000:]': lambda text: (text + "x")[-1000:],
    "p[::-1][:1000]": lambda text: text[::-1][:1000],
    'strip().split("\\n")[-1]': lambda text: text.strip().split("\n")[-1],
}


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call takes, and its result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def measured(call: Callable[[], Any]) -> dict[str, Any]:
    """Seconds, result and peak of private memory of a call."""
    with Watched() as watched:
        seconds, result = timed(call)
    return {"seconds": seconds, "result": result, "peak_bytes": watched.peak_bytes}


def read(path: str) -> str:
    """A file as an ordinary string."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return file.read()


def string_bytes(text: str) -> int:
    """What a long string's characters take: 1, 2 or 4 bytes each; the header and the zero behind them do not count."""
    return len(text) * (sys.getsizeof(text) // len(text))


def image(pack: str, share: str) -> dict[str, Any]:
    """A string of the first characters; the image has no name, so each process writes its own."""
    prompt = dp.open(pack)
    part = prompt.view(0, len(prompt) // int(share))
    held: list[str] = []
    found = measured(lambda: held.append(part.as_str()))
    return found | {"bytes": string_bytes(held[0]), "folder": str(image_folder(Path(pack).parent))}


def write(folder: str, size: str) -> dict[str, Any]:
    """Write a file without a name as an image is written, of bytes that are there already."""
    block = os.urandom(2**22)

    def call() -> None:
        left = int(size)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, left)
            while left:
                left -= os.pwrite(file.fileno(), block[:left], int(size) - left)

    return {"seconds": timed(call)[0]}


def both(pack: str, path: str, repeat: str) -> dict[str, Any]:
    """Each operation on both strings in turn: medians are taken by the caller, over pairs and processes.

    Which goes first changes from turn to turn and from one process to the next.
    """
    prompt = dp.open(pack)
    mapped, ordinary = prompt.as_str(), read(path)
    found = {}
    for name, operation in OPERATIONS.items():
        pairs = []
        for turn in range(operation.rounds):
            order = (mapped, ordinary) if (int(repeat) + turn) % 2 else (ordinary, mapped)
            results = [timed(partial(operation.call, text)) for text in order]
            if results[0][1] != results[1][1]:
                message = f"{name}: the strings differ"
                raise AssertionError(message)
            seconds = [result[0] for result in results]
            pairs.append(seconds if order[0] is mapped else seconds[::-1])
        found[name] = pairs
    if mapped != ordinary:
        message = "the strings differ"
        raise AssertionError(message)
    return found


def mapped(pack: str) -> dict[str, Any]:
    """Making the mapped string, and each operation once, with its peak."""
    prompt = dp.open(pack)
    held: list[str] = []
    found = {"as_str()": measured(lambda: held.append(prompt.as_str()))}
    for name, operation in OPERATIONS.items():
        found[name] = measured(partial(operation.call, held[0]))
    return found


def ordinary(path: str) -> dict[str, Any]:
    """Making the ordinary string, if there is memory for it."""
    try:
        return {"characters": len(read(path))}
    except MemoryError:
        return {"error": "MemoryError"}


def lazy(pack: str, name: str) -> dict[str, Any]:
    """A method of the prompt, from an open one to its result."""
    prompt = dp.open(pack)
    try:
        return measured(lambda: _plain(METHODS[name](prompt)))
    except MaterialiseError as error:
        return {"error": f"{type(error).__name__}"}


def eager(path: str, name: str) -> dict[str, Any]:
    """The same method of the ordinary string, which is there already."""
    # Should the system run out of memory, then this is what it takes.
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    text = read(path)
    try:
        return measured(partial(METHODS[name], text))
    except MemoryError:
        return {"error": "MemoryError"}


def _plain(value: object) -> object:
    return str(value) if isinstance(value, dp.DistributedPrompt) else value


MEASUREMENTS = {call.__name__: call for call in (image, write, both, mapped, ordinary, lazy, eager)}


def main() -> None:
    """Make the measurement that the command line names."""
    what, *arguments = sys.argv[1:]
    if limit := int(os.environ.get("DATA_LIMIT", "0")):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    print(json.dumps(MEASUREMENTS[what](*arguments)))


if __name__ == "__main__":
    main()
