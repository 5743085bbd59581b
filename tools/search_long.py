"""Billions of characters as one genuine string, in a process that may have 300 MB of data.

    python -m tools.search_long --characters 5000000000

A child process under that limit (``ulimit -d``) opens the pack of tools/make_long.py and looks for the needle at its
end: with the prompt's own methods, and with str's and re's on ``as_str()``, whose image takes as many bytes of disk as
the text has characters. Every character is compared with what was packed. Exits 1 where anything is wrong.
"""

import argparse
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import distributed_prompt as dp
from bench.watching import Watched
from tools.make_long import CHARACTERS, ENDING, NEEDLE, blocks, make

DATA_LIMIT = 300_000_000


class Checks:
    """Calls, how long each took, and whether it gave what it should; prints a line for each."""

    def __init__(self) -> None:
        """Nothing has failed."""
        self.failed = 0

    def __call__(self, what: str, call: Callable[[], object], expected: object) -> None:
        """Make one call."""
        start = time.perf_counter()
        found = call()
        seconds = time.perf_counter() - start
        wrong = "" if found == expected and type(found) is type(expected) else f"  WRONG: {found!r}, not {expected!r}"
        self.failed += bool(wrong)
        print(f"{what:42} {seconds:9.3f} s{wrong}", flush=True)


def is_as_made(text: str, characters: int) -> bool:
    """Whether a text is the one that was packed, from the first character to the last."""
    at = 0
    for block in blocks(characters):
        if not text.startswith(block, at):
            return False
        at += len(block)
    return at == len(text)


def refused(call: Callable[[], object]) -> bool:
    """Whether there is no memory for it."""
    try:
        call()
    except MemoryError:
        return True
    return False


def check(pack: Path, characters: int) -> int:
    """The number of things that are wrong."""
    place = characters - len(ENDING) + ENDING.index(NEEDLE)
    checks = Checks()
    checks("more memory than the limit is refused", lambda: refused(lambda: bytearray(DATA_LIMIT)), expected=True)
    with dp.open(pack) as prompt:
        with Watched() as watched:
            checks("len(prompt)", lambda: len(prompt), characters)
            checks("prompt.find(needle)", lambda: prompt.find(NEEDLE), place)
            checks("prompt.rfind(needle)", lambda: prompt.rfind(NEEDLE), place)
        lazy_bytes = watched.peak_bytes
        with Watched() as watched:
            check_string(prompt, characters, checks)
    print(f"peak RssAnon: {lazy_bytes / 1e6:.0f} MB for the prompt, {watched.peak_bytes / 1e6:.0f} MB with the string")
    return checks.failed


def check_string(prompt: dp.DistributedPrompt, characters: int, checks: Checks) -> None:
    """The same of the whole text as one string."""
    place = characters - len(ENDING) + ENDING.index(NEEDLE)
    # Held here from the beginning: what nobody holds is written anew.
    texts: list[str] = []
    checks("prompt.as_str(), the image written", lambda: texts.append(prompt.as_str()), None)
    text = texts[0]
    checks("type(text)", lambda: type(text), str)
    checks("len(text)", lambda: len(text), characters)
    checks("needle in text", lambda: NEEDLE in text, expected=True)
    checks("absent in text", lambda: "no such needle" in text, expected=False)
    checks("text.find(needle)", lambda: text.find(NEEDLE), place)
    checks("text.count(needle)", lambda: text.count(NEEDLE), 1)
    checks("re.search(needle, text)", lambda: _start(re.search(r"needle [0-9a-f]{4} lies", text)), place + 4)
    checks("text[-len(ending):]", lambda: text[-len(ENDING) :], ENDING)
    checks("the text as it was made", lambda: is_as_made(text, characters), expected=True)
    checks("hash(text) == hash(prompt)", lambda: hash(text) == hash(prompt), expected=True)
    checks("hash(part) == hash(part made)", lambda: hash(text[-len(NEEDLE) - 1 : -1]), hash(NEEDLE))
    checks("prompt.as_str() is text", lambda: prompt.as_str() is text, expected=True)


def _start(match: re.Match[str] | None) -> int:
    return match.start() if match else -1


def main() -> None:
    """Make the pack, check it in a child under the limit, and say how that ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--characters", type=int, default=CHARACTERS, help="length of the text")
    parser.add_argument("--limited", action="store_true", help="be the child")
    arguments = parser.parse_args()
    pack = make(arguments.characters)
    if arguments.limited:
        resource.setrlimit(resource.RLIMIT_DATA, (DATA_LIMIT, DATA_LIMIT))
        sys.exit(min(1, check(pack, arguments.characters)))
    print(f"{pack.name}: {arguments.characters:,} characters, {DATA_LIMIT:,} bytes of data allowed\n", flush=True)
    command = [sys.executable, "-m", "tools.search_long", "--limited", "--characters", str(arguments.characters)]
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(f"search_long: FAILED, {'see above' if code == 1 else f'the child ended with {code}'}")
    print("search_long: all is as it should be")


if __name__ == "__main__":
    main()
