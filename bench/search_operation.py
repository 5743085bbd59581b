"""What `bench.search` measures, in processes of their own; prints JSON.

    python -m bench.search_operation pack time TEXT PACK sqlite no-index
    python -m bench.search_operation add-index memory PACK OUT
    python -m bench.search_operation needles PACK words 200     what to search for, and in how many shards it is
    python -m bench.search_operation serve time PACK            searches the prompt as standard input says
    python -m bench.search_operation serve time TEXT.txt        the same on the text as an ordinary string
    python -m bench.search_operation grep memory PACK PATTERN   `dprompt grep`, printing to nowhere

``memory`` instead of ``time`` adds the peak of private memory; the process that watches costs some time.
"""

import json
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import distributed_prompt as dp
from bench.string_operation import measured, read, timed
from distributed_prompt.geometry import DEFAULT_SHARD_SIZE as SHARD

Text = str | dp.DistributedPrompt
SEED = 12
_TRIES = 20
_AROUND = 2_000
_TAIL = 255
_GRAM = 4
_HASHES = 2**16
_RARE = 3
_RARE_OF_SHARDS = 10_000
_LONG_WORD = r"\W([A-Za-z_]\w{7,23})"


def _ignoring_case(text: Text, needle: str) -> int:
    """The count of a literal where case is ignored: a string has no such method, so there it is what `re` finds."""
    if isinstance(text, str):
        return _finditer(text, f"(?i){re.escape(needle)}")
    return sum(1 for _ in text.find_all(needle, ignore_case=True))


def _finditer(text: Text, pattern: str) -> int:
    """The count of matches, one by one."""
    found: Iterable[Any] = re.finditer(pattern, text) if isinstance(text, str) else dp.re.finditer(pattern, text)
    return sum(1 for _ in found)


def _ends(text: Text, needle: str) -> list[int]:
    """The shards that occurrences of a literal end in."""
    if isinstance(text, str):
        message = "only prompts are asked this"
        raise TypeError(message)
    return sorted({(offset + len(needle) - 1) // SHARD for offset in text.find_all(needle)})


OPERATIONS: dict[str, Callable[[Text, str], Any]] = {
    "find": lambda text, needle: text.find(needle),
    "count": lambda text, needle: text.count(needle),
    "lower().find": lambda text, needle: text.lower().find(needle),
    "find_all(ignore_case=True)": _ignoring_case,
    "finditer": _finditer,
    "ends": _ends,
}


def serve(what: str, path: str) -> Iterator[dict[str, Any]]:
    """Open or read a text once, and answer with what each line of standard input asks of it."""
    is_text = path.endswith(".txt")
    if is_text:
        # Should the system run out of memory, then this is what it takes.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    text: Text = read(path) if is_text else dp.open(path)
    yield {"length": len(text)}
    for line in sys.stdin:
        operation, argument = json.loads(line)
        before = _decoded(text)
        found = _run(what, partial(OPERATIONS[operation], text, argument))
        yield found | {"decoded": _decoded(text) - before}


def _decoded(text: Text) -> int:
    return 0 if isinstance(text, str) else text.stats.decoded_shards


def _run(what: str, call: Callable[[], Any]) -> dict[str, Any]:
    if what == "memory":
        return measured(call)
    seconds, result = timed(call)
    return {"seconds": seconds, "result": result}


def pack(what: str, text: str, output: str, store: str, index: str) -> dict[str, Any]:
    """Pack a text, with or without the index."""
    is_indexed = index == "index"
    return _run(what, lambda: dp.pack(text, output, store=store, index=is_indexed, overwrite=True).shards)


def add_index(what: str, source: str, output: str) -> dict[str, Any]:
    """Make the index of a pack that has none, in a new one."""
    return _run(what, partial(dp.add_index, source, output, overwrite=True))


def grep(what: str, source: str, pattern: str) -> dict[str, Any]:
    """Run the command in this process, its imports not counted."""
    from distributed_prompt.cli import main as command  # noqa: PLC0415  # click is not needed otherwise

    with Path("/dev/null").open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        return _run(what, lambda: command(["grep", "--", pattern, source], standalone_mode=False))


class Needles:
    """What to search for: drawn at random places, the same ones every time."""

    def __init__(self, path: str, number: int) -> None:
        """Open the pack."""
        self._prompt = dp.open(path)
        self._chance = random.Random(SEED)  # noqa: S311  # to be the same every time, not to be secret
        self._number = number

    def words(self) -> dict[str, Any]:
        """Words, phrases, and what is made of the halves of words and so looks like one; calls make rare patterns."""
        drawn = {
            "words": self._draw(lambda: self._matching(rf"{_LONG_WORD}\b"), 3 * self._number),
            "phrases": self._draw(partial(self._slice, 24, 24), self._number),
            "calls": self._draw(lambda: self._matching(rf"{_LONG_WORD}\("), self._number),
        }
        return self._counted(drawn)

    def characters(self) -> dict[str, Any]:
        """Slices of 4 to 10 characters, and halves of them."""
        return self._counted({"4 to 10 characters": self._draw(partial(self._slice, 4, 10), 3 * self._number)})

    def _draw(self, one: Callable[[], str], number: int) -> list[str]:
        """So many different ones, or fewer where there are not enough."""
        drawn = (one() for _ in range(_TRIES * number))
        return list(islice(dict.fromkeys(filter(None, drawn)), number))

    def _matching(self, pattern: str) -> str:
        at = self._chance.randrange(len(self._prompt))
        match = re.search(pattern, str(self._prompt[at : at + _AROUND]), re.ASCII)
        return match[1] if match else ""

    def _slice(self, least: int, most: int) -> str:
        size = self._chance.randint(least, most)
        at = self._chance.randrange(max(1, len(self._prompt) - size))
        return str(self._prompt[at : at + size])

    def _counted(self, drawn: dict[str, list[str]]) -> dict[str, Any]:
        """Each with the number of shards that truly hold it; those in few of them apart, and some that are in none."""
        first = next(iter(drawn))
        shards = -(-len(self._prompt) // SHARD)
        rare = max(_RARE, -(-shards * _RARE // _RARE_OF_SHARDS))
        kinds = {**drawn, "absent": self._halves(drawn[first])}
        every = list(dict.fromkeys(needle for needles in kinds.values() for needle in needles))
        truth = dict(zip(every, holding_shards(self._prompt, every), strict=True))
        counted = {kind: [(needle, truth[needle]) for needle in needles] for kind, needles in kinds.items()}
        counted["rare"] = [pair for pair in counted[first] if 0 < pair[1] <= rare][: self._number]
        counted[first] = counted[first][: self._number]
        counted["absent"] = [pair for pair in counted["absent"] if not pair[1]][: self._number // 4]
        return {"needles": counted, "shards": shards, "rare": rare}

    def _halves(self, needles: list[str]) -> list[str]:
        others = self._chance.sample(needles, len(needles))
        made = (one[: len(one) // 2] + other[len(other) // 2 :] for one, other in zip(needles, others, strict=True))
        return list(islice(made, self._number))


def holding_shards(prompt: dp.DistributedPrompt, needles: list[str]) -> list[int]:
    """In how many shards an occurrence of each needle ends.

    Found without the index and without the project's search: in the UTF-8 of each shard and of what is before it, for
    each needle whose grams are there.
    """
    # Not above: what searches is to take no more memory than it would elsewhere.
    import numpy as np  # noqa: PLC0415

    encoded = [needle.encode() for needle in needles]
    longest = max(len(data) for data in encoded)
    if longest > _TAIL:
        message = "needles are short"
        raise ValueError(message)
    grams = [_hashes(data) for data in encoded]
    # All rows as long as the longest, with what is in them anyway.
    table = np.stack([np.resize(row, max(map(len, grams))) for row in grams])
    found = [0] * len(needles)
    tail = b""
    for start in range(0, len(prompt), SHARD):
        data = tail + str(prompt[start : start + SHARD]).encode()
        present = np.zeros(_HASHES, bool)
        present[_hashes(data)] = True
        for number in np.flatnonzero(present[table].all(axis=1)).tolist():
            needle = encoded[number]
            found[number] += data.find(needle, max(0, len(tail) - len(needle) + 1)) >= 0
        tail = data[-_TAIL:]
    return found


def _hashes(data: bytes) -> Any:
    """The hashes of all four bytes in a row."""
    import numpy as np  # noqa: PLC0415  # as above

    words = [
        np.frombuffer(data, np.uint32, count=(len(data) - offset) // _GRAM, offset=offset)
        for offset in range(min(_GRAM, len(data) - _GRAM + 1))
    ]
    # 2**32 divided by the golden ratio spreads them over the upper bits.
    return np.concatenate(words) * np.uint32(0x9E3779B1) >> np.uint32(16)


def needles(path: str, kind: str, number: str) -> dict[str, Any]:
    """What to search for in a text of words, or in one without blanks, and in how many shards it is."""
    drawn = Needles(path, int(number))
    return drawn.words() if kind == "words" else drawn.characters()


MEASUREMENTS: dict[str, Callable[..., dict[str, Any]]] = {
    "pack": pack,
    "add-index": add_index,
    "grep": grep,
    "needles": needles,
}


def main() -> None:
    """Do what the command line names."""
    name, *arguments = sys.argv[1:]
    answers = serve(*arguments) if name == "serve" else [MEASUREMENTS[name](*arguments)]
    for answer in answers:
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
