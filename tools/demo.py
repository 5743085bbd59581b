"""The main job, shown: pack the running Python's standard library, look into it, get every byte back."""

import filecmp
import shlex
import subprocess
import sys

from tools.make_corpus import CORPORA, make

DPROMPT = [sys.executable, "-m", "distributed_prompt"]


def dprompt(*arguments: str) -> None:
    """Run one command, and show it."""
    print(f"\n$ dprompt {shlex.join(arguments)}", flush=True)
    subprocess.run([*DPROMPT, *arguments], check=True, cwd=CORPORA)


def main() -> None:
    """Pack, info, find, slice, verify, unpack, compare."""
    text = make("stdlib").name
    print(f"In {CORPORA}:")
    dprompt("pack", text, "-o", "stdlib.dprompt", "--force")
    dprompt("info", "stdlib.dprompt")
    dprompt("find", "stdlib.dprompt", "import this", "-m", "3")
    dprompt("cat", "stdlib.dprompt", "--lines", "1:5")
    dprompt("slice", "stdlib.dprompt", "--start", "1_000_000", "--end", "1_000_200")
    dprompt("verify", "stdlib.dprompt")
    dprompt("unpack", "stdlib.dprompt", "-o", "copy.txt", "--force")
    same = filecmp.cmp(CORPORA / text, CORPORA / "copy.txt", shallow=False)
    print(f"\ncopy.txt and {text} are {'identical' if same else 'DIFFERENT'}", flush=True)
    (CORPORA / "copy.txt").unlink()
    sys.exit(not same)


if __name__ == "__main__":
    main()
