"""A recursive language model finds one sentence in a text of a gigabyte.

    python -m examples.needle                       1,000,000,000 characters
    python -m examples.needle --size 10_000_000     a quick try

The text is never held: it is made line by line while it is packed, and the model's REPL reads what it asks for.
"""

import argparse
import os
import random
import re
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

import distributed_prompt as dp
from distributed_prompt.integrations.rlms import as_context, repl_environment
from examples.model import RLM, Transcript, measured, model

WHO = ("A carpenter", "The lighthouse keeper", "My aunt", "Nobody", "The old captain", "A child", "The baker", "She")
DID = ("counted", "painted", "hid", "sold", "borrowed", "forgot", "described", "dreamt of")
WHAT = ("a magic lantern", "seven numbered boxes", "the map", "an umbrella", "two keys", "a clock", "old coins")
WHERE = ("by the harbour", "in the old lighthouse", "at noon", "on a Monday", "in the attic", "at sea", "again")
SMALLEST = 1_000
HAY = [" ".join(words) + ".\n" for words in product(WHO, DID, WHAT, WHERE)]
NEEDLE = "The magic number of the old lighthouse is {}.\n"
QUESTION = "What is the magic number of the old lighthouse? Answer with the number alone."

# What the scripted model writes, a cell a turn. A real one writes its own.
CELLS = [
    """
print(type(context), f"{len(context):,} characters")
print(context[:300])
""",
    r"""
import re
print(context.count("magic"), "times magic")
sentences = re.findall(r".*\bmagic number\b.*", context)
print(sentences)
""",
    r"""
number = llm_query("What is the magic number? Answer with the number alone.\n\n" + "\n".join(sentences))
print(number)
""",
    """
answer["content"] = number
answer["ready"] = True
""",
]


def read(prompt: str) -> str:
    """What the scripted model says to what it is sent by ``llm_query``."""
    found = re.search(r"magic number of .* is (\d+)", prompt)
    return found[1] if found else "There is none."


def haystack(size: int, needle: str) -> Iterator[str]:
    """Lines of so many characters in all, always the same ones, with a needle after some three fifths of them."""
    chance = random.Random(size)  # noqa: S311  # to be the same every time, not to be secret
    left, before = size, size * 3 // 5
    while left > 0:
        block = "".join(chance.choices(HAY, k=5_000))
        if 0 <= before < len(block):
            line = block.index("\n", before) + 1
            block = block[:line] + needle + block[line:]
        yield block[:left]
        before -= len(block)
        left -= len(block)


def pack(text: Iterable[str], folder: Path) -> Path:
    """Pack a text while it is made: one thread writes it into a pipe, which is packed like any other file."""
    pipe = folder / "haystack.txt"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("w", encoding="utf-8") as file:
            file.writelines(text)

    threading.Thread(target=write, daemon=True).start()
    info = dp.pack(pipe, folder / "haystack.dprompt")
    print(f"{info.path}: {info.length:,} characters in {info.pack_bytes:,} bytes")
    return Path(info.path)


def main() -> None:
    """Hide, pack, ask, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1_000_000_000, help="characters")
    size = parser.parse_args().size
    if size < SMALLEST:
        parser.error(f"--size: at least {SMALLEST:,}")
    number = str(random.Random(size).randrange(10**6, 10**7))  # noqa: S311  # as above
    with tempfile.TemporaryDirectory() as folder:
        with measured("Packed"):
            context = as_context(pack(haystack(size, NEEDLE.format(number)), Path(folder)))
        print(f"\n{QUESTION}")
        with model(CELLS, read) as chosen, measured("Answered"):
            rlm = RLM(**chosen, **repl_environment(), logger=Transcript())
            answer = rlm.completion(context, root_prompt=QUESTION).response
    right = number in answer
    print(f"The answer is {answer!r}, which is {'right' if right else f'WRONG: it is {number}'}.")
    sys.exit(not right)


if __name__ == "__main__":
    main()
