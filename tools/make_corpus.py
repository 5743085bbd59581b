"""Make or fetch a large text to try things on; nothing is made twice.

    python tools/make_corpus.py linux           1.3 GB: the text files of Debian's linux-source-6.1, joined
    python tools/make_corpus.py linux --copies 4
    python tools/make_corpus.py stdlib          the running Python's standard library, joined
    python tools/make_corpus.py cjk             1 GB of Chinese characters, in lines
    python tools/make_corpus.py one-line        1 GB without a single newline
    python tools/make_corpus.py linux-tree      the folder of linux-source-6.1 as it lies on disk
    python tools/make_corpus.py million         a folder of 1,000,000 files of 20 characters

Prints the path of the text or folder.
"""

import argparse
import random
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

CORPORA = Path(__file__).resolve().parent.parent / "build" / "corpora"
LINUX_PACKAGE = "linux-source-6.1"
LINUX_ARCHIVE = Path("usr/src") / f"{LINUX_PACKAGE}.tar.xz"
_BLOCK_BYTES = 2**24
SYNTHETIC_BYTES = 10**9


def linux() -> Iterator[bytes]:
    """The files of the Linux source that are UTF-8, in order of their names."""
    with tempfile.TemporaryDirectory() as scratch:
        archive = _linux_archive(Path(scratch))
        with tarfile.open(archive, "r|xz") as tar:
            texts = {
                member.name: data for member in tar if member.isfile() and (data := _text(tar, member)) is not None
            }
    return (texts[name] for name in sorted(texts))


def linux_ascii() -> Iterator[bytes]:
    """The same without all that is not ASCII: a quarter of the memory as a ``str``."""
    with make("linux").open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block.decode("ascii", "ignore").encode()


def _linux_archive(scratch: Path) -> Path:
    installed = Path("/") / LINUX_ARCHIVE
    if installed.is_file():
        return installed
    subprocess.run(["apt-get", "download", LINUX_PACKAGE], cwd=scratch, check=True, stdout=sys.stderr)  # noqa: S607
    package = next(scratch.glob("*.deb"))
    subprocess.run(["dpkg-deb", "-x", package.name, "."], cwd=scratch, check=True)  # noqa: S607
    return scratch / LINUX_ARCHIVE


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | None:
    file = tar.extractfile(member)
    data = file.read() if file else b""
    try:
        data.decode()
    except UnicodeDecodeError:
        return None
    return data


def stdlib() -> Iterator[bytes]:
    """The source files of the running Python's standard library that are UTF-8, in order of their names."""
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if "site-packages" not in path.parts:
            data = path.read_bytes()
            try:
                data.decode()
            except UnicodeDecodeError:
                continue
            yield data


def cjk() -> Iterator[bytes]:
    """Random runs from a vocabulary of Chinese words, so that it compresses about as text does."""
    return _synthetic([chr(code) for code in range(0x4E00, 0x9FA0)], "，。\n", "。\n")


def one_line() -> Iterator[bytes]:
    """Random words of ASCII letters between blanks, and never a newline."""
    return _synthetic(list("abcdefghijklmnopqrstuvwxyz"), " ", " ")


def _synthetic(letters: list[str], joints: str, end: str) -> Iterator[bytes]:
    chance = random.Random(6)  # noqa: S311  # to be the same every time, not to be secret
    words = ["".join(chance.choices(letters, k=chance.randint(1, 6))) for _ in range(20_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    made = 0
    while made < SYNTHETIC_BYTES:
        run = chance.choices(words, weights, k=20_000)
        data = "".join(word + chance.choice(joints) for word in run).encode() + end.encode()
        made += len(data)
        yield data


def linux_tree(folder: Path) -> None:
    """The Linux source, unpacked."""
    with tempfile.TemporaryDirectory() as scratch, tarfile.open(_linux_archive(Path(scratch)), "r|xz") as tar:
        tar.extractall(folder, filter="tar")


def million(folder: Path) -> None:
    """1,000 folders of 1,000 files of three words each."""
    chance = random.Random(3)  # noqa: S311  # as above
    words = ["".join(chance.choices("abcdefghijklmnop", k=6)) for _ in range(500)]
    for number in range(1000):
        (folder / f"{number:03d}").mkdir(parents=True)
        for article in range(1000):
            text = " ".join(chance.choices(words, k=3))[:19]
            (folder / f"{number:03d}" / f"article-{article:04d}.txt").write_text(f"{text:19}\n", encoding="ascii")


TREES = {"linux-tree": linux_tree, "million": million}


def make_tree(name: str) -> Path:
    """The path of a folder, made if it is not there."""
    target = CORPORA / name
    if not target.is_dir():
        partial = target.with_name(f"{name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        TREES[name](partial)
        partial.rename(target)
    return target


MAKERS = {"linux": linux, "linux-ascii": linux_ascii, "stdlib": stdlib, "cjk": cjk, "one-line": one_line}


def make(name: str, copies: int = 1) -> Path:
    """The path of a corpus, made if it is not there."""
    target = CORPORA / (f"{name}.txt" if copies == 1 else f"{name}-{copies}.txt")
    if target.is_file():
        return target
    CORPORA.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with partial.open("wb") as file:
        if copies == 1:
            file.writelines(MAKERS[name]())
        else:
            source = make(name)
            for _ in range(copies):
                with source.open("rb") as one:
                    while block := one.read(2**20):
                        file.write(block)
    return partial.replace(target)


def main() -> None:
    """Parse the command line, make the corpus, print its path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(MAKERS | TREES))
    parser.add_argument("--copies", type=int, default=1, help="how many times the text follows itself")
    arguments = parser.parse_args()
    print(make_tree(arguments.name) if arguments.name in TREES else make(arguments.name, arguments.copies))


if __name__ == "__main__":
    main()
