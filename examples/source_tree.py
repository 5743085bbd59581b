"""A recursive language model answers questions about a source tree, and cites the line of each thing it says.

    python -m examples.source_tree                  Python's standard library
    python -m examples.source_tree ~/src/linux      any folder

Each citation is then looked up in the files on disk.
"""

import argparse
import re
import sys
import sysconfig
import tempfile
from pathlib import Path

import distributed_prompt as dp
from distributed_prompt.integrations.rlms import repl_environment
from distributed_prompt.lazy_str import LazyStr
from examples.model import RLM, Transcript, measured, model

NO_SOURCE = ("site-packages", "dist-packages", "__pycache__", "node_modules", ".git", ".venv")

# The questions, and a pattern that the scripted model looks for. A real one finds its own.
QUESTIONS = {
    "What does this code leave to be done, and mark FIXME?": r"\bFIXME\b.*",
    "What does this code say will be removed, and when?": r"(?i)\bwill be removed in .*",
}
HOW = """

The context is the files of a source tree, one after the other, each behind a header with its name. Beside what a str
has, it has context.document_at(offset), which is the file that a character belongs to, with its .name and .start, or
None in a header; and context.line_at(offset), the number of its line, from 0, in the whole context. Answer with a line
for each place: NAME:LINE: WORDS, with the line counted from 1 in its file, and the words as they stand there."""

# What the scripted model writes, a cell a turn. A real one writes its own.
CELLS = r"""
print(type(context), f"{len(context):,} characters")
print(f"{len(context.documents):,} files,", context.documents)
print(context[:300])
# ---
import re
found = {}
for match in re.finditer(r"PATTERN", context):
    file = context.document_at(match.start())
    if file is not None:
        line = context.line_at(match.start()) - context.line_at(file.start) + 1
        found[f"{file.name}:{line}"] = match.group().strip()
print(len(found), "places")
for place in list(found)[:3]:
    print(place, found[place])
# ---
answer["content"] = "\n".join(f"{place}: {words}" for place, words in found.items())
answer["ready"] = True
"""
CITATION = re.compile(r"(?m)^(.+?):(\d+): (.+)$")
SHOWN = 5


def ask(context: LazyStr, question: str, pattern: str) -> str:
    """The answer to a question."""
    cells = CELLS.replace("PATTERN", pattern).split("# ---\n")
    with model(cells) as chosen, measured("Answered"):
        rlm = RLM(**chosen, **repl_environment(), logger=Transcript())
        answer: str = rlm.completion(context, root_prompt=question + HOW).response
    return answer


def is_right(parent: Path, name: str, line: str, words: str) -> bool:
    """Whether a line of a file has some words."""
    try:
        lines = (parent / name).read_bytes().decode().split("\n")
    except (OSError, ValueError):
        return False
    return words in "".join(lines[int(line) - 1 : int(line)])


def main() -> None:
    """Pack a folder, ask, check what is cited."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=sysconfig.get_paths()["stdlib"])
    folder = parser.parse_args().folder.resolve()
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        with measured("Packed"):
            try:
                info = dp.pack(folder, Path(scratch) / "tree.dprompt", header="==== {name} ====", exclude=NO_SOURCE)
            except dp.DPromptError as error:
                sys.exit(f"{error}")
        print(f"{folder}: {info.documents:,} files, {info.length:,} characters in {info.pack_bytes:,} bytes")
        print(f"Left out, mostly for being no text: {len(info.left_out):,}")
        # As as_context() gives it, which would make an ordinary str of a small tree; that knows no documents.
        context = LazyStr(dp.open(info.path))
        for question, pattern in QUESTIONS.items():
            print(f"\n{question}")
            cited = CITATION.findall(ask(context, question, pattern))
            for name, line, words in cited[:SHOWN]:
                print(f"  {name}:{line}: {words}")
            if len(cited) > SHOWN:
                print("  …")
            wrong_here = [place for place in cited if not is_right(folder.parent, *place)]
            for name, line, words in wrong_here:
                print(f"WRONG: {name}:{line}: {words}")
            print(f"{len(cited):,} citations, {len(wrong_here)} of them wrong")
            wrong += len(wrong_here)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
