"""Pack a made-up ASCII text of any length with a needle at its end, without a file of the text itself.

    python -m tools.make_long                       5,000,000,000 characters
    python -m tools.make_long --characters 1000000
    python -m tools.make_long --print               the text itself, on standard output

The text is made by one process and packed by another that reads it through a pipe: no disk and no memory for it.
Nothing is made twice. Prints the path of the pack.
"""

import argparse
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.make_corpus import CORPORA

CHARACTERS = 5_000_000_000
NEEDLE = "the needle 7f3a lies at the very end"
ENDING = f"\n{NEEDLE}\n"
_BLOCK_LINES = 10_000
_PLACE = "########"  # where each line of the template has its block's number


def blocks(characters: int) -> Iterator[str]:
    """The text in order, about a million characters at a time: numbered lines of words, and the needle last.

    Raises:
        ValueError: there is no room for the needle.
    """
    left = characters - len(ENDING)
    if left < 0:
        message = f"{characters} characters: must be at least {len(ENDING)}"
        raise ValueError(message)
    template = _template()
    number = 0
    while left:
        # Replacing in one call: line by line, Python would take minutes for billions of characters.
        block = template.replace(_PLACE, f"{number:0{len(_PLACE)}d}")[:left]
        yield block
        left -= len(block)
        number += 1
    yield ENDING


def _template() -> str:
    chance = random.Random(7)  # noqa: S311  # to be the same every time, not to be secret
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(5_000)]
    lines = (" ".join(chance.choices(words, k=14)) for _ in range(_BLOCK_LINES))
    return "".join(f"{_PLACE}-{line:04d} {text}\n" for line, text in enumerate(lines))


def make(characters: int = CHARACTERS) -> Path:
    """The path of the pack, made if it is not there."""
    target = CORPORA / f"long-{characters}.dprompt"
    if target.is_file():
        return target
    CORPORA.mkdir(parents=True, exist_ok=True)
    text = [sys.executable, "-m", "tools.make_long", "--print", "--characters", str(characters)]
    pack = [sys.executable, "-m", "distributed_prompt", "pack", "-", "-o", str(target)]
    with subprocess.Popen(text, stdout=subprocess.PIPE) as maker:
        subprocess.run(pack, stdin=maker.stdout, stdout=sys.stderr, check=True)
    if maker.returncode:
        # What was packed ended early.
        target.unlink()
        raise subprocess.CalledProcessError(maker.returncode, text)
    return target


def main() -> None:
    """Parse the command line; make the pack and print its path, or print the text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--characters", type=int, default=CHARACTERS, help="length of the text")
    parser.add_argument("--print", action="store_true", help="print the text instead of packing it")
    arguments = parser.parse_args()
    if arguments.print:
        for block in blocks(arguments.characters):
            sys.stdout.buffer.write(block.encode("ascii"))
    else:
        print(make(arguments.characters))


if __name__ == "__main__":
    main()
