"""What searching costs, with the n-gram index and without it, against `str`, `re`, ripgrep and zstd: prints tables.

    python -m bench.search --corpus linux --repeats 5
    python -m bench.search --only regexes
    python -m bench.search --quick              all of it on small texts, in a minute

Whatever is compared is asked in turn in one run, each first as often as the others; medians of times and of ratios.
Searches run in processes that have the prompt open, or the text in memory as a string: opening and reading are not
counted. ``N × faster`` is how many times longer the peer took. Peaks of private memory (RssAnon) are those of another
process, which opens the pack and does that alone. Rows and columns of ripgrep and zstd are left out where these are
missing, and those of `str` where there is no memory for it: it takes 4 bytes a character, and `lower()` more.
"""

import argparse
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from bench.run import ROOT
from tools.make_corpus import cjk, make

Answer = dict[str, Any]
Contender = Callable[[int], Answer]

WITH, WITHOUT, STR = "with", "without", "str"
# Searches that take a millisecond are asked for this many needles, one after the other, where others are asked once.
NEEDLES_A_REPEAT = 3
WATCHED = 20
QUICK_BLOCKS = 150
# A string's lower() holds three strings of four bytes a character for a while.
STRING_BYTES = 12
# No index tells of so short a literal.
WARMING = ("\0\0", "no such text in any kernel")
FAST_SECONDS = 0.1
_BLOCK = 2**20


class Corpus(NamedTuple):
    """What is worth searching for in a corpus, so often that an index is of no use."""

    frequent: tuple[str, ...] = ("the ", "static int")
    short: tuple[str, ...] = ("=>", "qux")
    alternation: str = "kmalloc|kzalloc|vmalloc"
    caseless: str = "kernel panic"
    error: str = "error.*timeout"


CORPORA = {"stdlib": Corpus(("the ", "self."), alternation="popitem|setdefault|bisect", caseless="keyboard interrupt")}


def child(*arguments: str | Path | int) -> Answer:
    """What a process of its own answers."""
    command = [sys.executable, "-m", "bench.search_operation", *map(str, arguments)]
    answer: Answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)
    return answer


class Server:
    """A process with a text, started when it is first asked something, and again should it have died."""

    def __init__(self, path: Path, what: str = "time") -> None:
        """Take the pack, or the file to read as a string."""
        self._command = [sys.executable, "-m", "bench.search_operation", "serve", what, str(path)]
        self._process: subprocess.Popen[str] | None = None

    def ask(self, operation: str, argument: str) -> Answer:
        """Seconds and result, and the number of decoded shards; an `error` if the process died of it."""
        process = self._process or self._start()
        stdin, stdout = _pipes(process)
        stdin.write(json.dumps([operation, argument]) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            # The system ran out of memory, most likely.
            self._process = None
            return {"error": f"ended with {process.wait()}"}
        answer: Answer = json.loads(line)
        return answer

    def warm(self) -> None:
        """Have the process search the text twice: once through all of it, once through the index if there is one."""
        for needle in WARMING:
            self.ask("count", needle)
            self.ask("finditer", needle)

    def _start(self) -> "subprocess.Popen[str]":
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        # It says something when the text is there.
        _pipes(self._process)[1].readline()
        return self._process

    def __enter__(self) -> Self:
        """Nothing is started yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process: it ends with its input."""
        if self._process:
            self._process.communicate()
            self._process = None


def _pipes(process: "subprocess.Popen[str]") -> tuple[Any, Any]:
    return process.stdin, process.stdout


def command(line: str) -> Answer:
    """Seconds that a shell command takes, and the number that it prints."""
    start = time.perf_counter()
    printed = subprocess.run(line, shell=True, check=False, capture_output=True).stdout  # noqa: S602  # pipelines
    return {"seconds": time.perf_counter() - start, "result": int(printed or 0)}


def in_turn(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[Answer]]:
    """The answers of all; each goes first as often as the others."""
    names = list(contenders)
    found: dict[str, list[Answer]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            found[name].append(contenders[name](number))
    return found


def seconds_of(answers: Iterable[Answer]) -> list[float]:
    """The times of those that there are."""
    return [answer["seconds"] for answer in answers if "seconds" in answer]


def time_cell(seconds: float) -> str:
    """A time in what it is read best in."""
    return f"{seconds * 1e3:.2f} ms" if seconds < FAST_SECONDS else f"{seconds:.2f} s"


def own_cell(answers: list[Answer]) -> str:
    """Our time: the median, and the mean where there are several."""
    seconds = seconds_of(answers)
    mean = f" (mean {time_cell(statistics.mean(seconds))})" if len(seconds) > 1 else ""
    return time_cell(statistics.median(seconds)) + mean


def peer_cell(ours: list[Answer], theirs: list[Answer] | None) -> str:
    """The peer's time, and how ours compares to it."""
    if not theirs:
        return ""
    if errors := [answer["error"] for answer in theirs if "error" in answer]:
        return str(errors[0])
    pairs = list(zip(seconds_of(ours), seconds_of(theirs), strict=True))
    ratio = statistics.median(first / second for first, second in pairs)
    compared = f"{1 / ratio:,.1f} × faster" if ratio < 1 else f"{ratio:.2f} × the time"
    return f"{time_cell(statistics.median(seconds_of(theirs)))}: {compared}"


def megabytes(answers: Iterable[Answer]) -> str:
    """The highest peak."""
    return f"{max(answer['peak_bytes'] for answer in answers) / 1e6:.0f} MB"


def head(*columns: str) -> None:
    """Print the head of a table."""
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")


def row(*cells: object) -> None:
    """Print a row."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def code(text: str) -> str:
    """A text as code, in a cell of a table."""
    shown = text.replace("|", "\\|").replace("\n", "↵")
    return f"`{shown}`"


def has(*programs: str) -> bool:
    """Whether there are such programs."""
    return all(map(shutil.which, programs))


def warm(path: Path) -> None:
    """Have a file in the page cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(_BLOCK):
            pass


class Files:
    """A text and what is made of it.

    Attributes:
        text: the text itself.
        store: the engine of the packs.
        packs: those with and without the index.
        compressed: the text as zstd's command compresses it.
    """

    def __init__(self, text: Path, store: str) -> None:
        """Only names: nothing is made yet."""
        self.text, self.store = text, store
        self.packs = {
            name: text.with_suffix(f".{kind}.{store}.dprompt") for name, kind in ((WITH, "indexed"), (WITHOUT, "plain"))
        }
        self.compressed = text.with_name(f"{text.name}.zst")

    def pack(self, name: str, what: str = "time") -> Answer:
        """Make a pack."""
        return child("pack", what, self.text, self.packs[name], self.store, "index" if name == WITH else "no-index")

    def compress(self) -> Answer:
        """Compress the text."""
        return command(f"zstd -3 -T2 -q -f {_quoted(self.text)} -o {_quoted(self.compressed)}")

    def prepare(self) -> None:
        """Make what is not there, or older than the text, and have it in the page cache."""
        for name, path in self.packs.items():
            if not self._is_fresh(path):
                self.pack(name)
        if has("zstd") and not self._is_fresh(self.compressed):
            self.compress()
        for path in (self.text, *self.packs.values(), *([self.compressed] if has("zstd") else [])):
            warm(path)

    def has_room(self) -> bool:
        """Whether there is memory for the text as a string."""
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
        return self.text.stat().st_size * STRING_BYTES < available

    def _is_fresh(self, path: Path) -> bool:
        return path.is_file() and path.stat().st_mtime > self.text.stat().st_mtime


def _quoted(*arguments: object) -> str:
    return shlex.join(map(str, arguments))


class Search(NamedTuple):
    """A row: an operation, what it is given in each round, and what ripgrep is told.

    Attributes:
        kind: what is searched for, in words.
        operation: one of those of ``bench.search_operation``.
        needles: literals or patterns, in turn.
        options: ripgrep's.
    """

    kind: str
    operation: str
    needles: list[str]
    options: str


class Arena:
    """All that searches one text: our prompts, the string, ripgrep.

    Attributes:
        files: the text and what is made of it.
        repeats: rounds a row.
        wrong: what had differing results.
    """

    def __init__(self, files: Files, repeats: int) -> None:
        """Name the processes; each starts when it is asked something."""
        self.files, self.repeats = files, repeats
        self.wrong: list[str] = []
        self._servers = {name: Server(path) for name, path in files.packs.items()}
        if files.has_room():
            self._servers[STR] = Server(files.text)

    def __enter__(self) -> Self:
        """Have all started."""
        for server in self._servers.values():
            server.warm()
        return self

    def __exit__(self, *exception: object) -> None:
        """End the processes."""
        for server in self._servers.values():
            server.__exit__(None, None, None)

    def search(self, search: Search) -> dict[str, list[Answer]]:
        """The answers of all; results of ours and of the string that differ are noted."""
        few = len(search.needles) == 1
        found = in_turn(self._contenders(search), self.repeats if few else self.repeats * NEEDLES_A_REPEAT)
        exact = [found[name] for name in self._servers]
        for number, answers in enumerate(zip(*exact, strict=True)):
            if len({answer["result"] for answer in answers if "result" in answer}) > 1:
                results = {name: found[name][number].get("result") for name in self._servers}
                self.wrong.append(f"{search.operation} {_nth(search.needles, number)!r}: {results}")
        return found

    def peak(self, name: str, search: Search) -> str:
        """The peak of a process that has a prompt and searches it once."""
        with Server(self.files.packs[name], "memory") as server:
            return megabytes([server.ask(search.operation, search.needles[0])])

    def _contenders(self, search: Search) -> dict[str, Contender]:
        contenders: dict[str, Contender] = {
            name: partial(self._ask, server, search) for name, server in self._servers.items()
        }
        if has("rg"):
            contenders["rg"] = partial(self._rg, search, "")
        if has("rg", "zstd"):
            contenders["zstd"] = partial(self._rg, search, f"zstd -dc {_quoted(self.files.compressed)} | ")
        return contenders

    def _ask(self, server: Server, search: Search, number: int) -> Answer:
        return server.ask(search.operation, _nth(search.needles, number))

    def _rg(self, search: Search, pipe: str, number: int) -> Answer:
        source = [] if pipe else [self.files.text]
        options = ["--no-config", *search.options.split(), "-e", _nth(search.needles, number), *source]
        return command(f"{pipe}{_quoted('rg', *options)}")


def _nth(needles: list[str], number: int) -> str:
    return needles[number % len(needles)]


def print_searches(arena: Arena, searches: Iterable[Search], names: tuple[str, str, str]) -> None:
    """Two rows for each search: with the index and without it."""
    head("searched for", "operation", "found", "index", "ours", *names, "peak RssAnon")
    for search in searches:
        found = arena.search(search)
        shown = code(search.needles[0]) if len(search.needles) == 1 else "such as " + code(search.needles[0])
        for name in (WITH, WITHOUT):
            row(
                f"{search.kind}: {shown}",
                code(search.operation),
                _results(found, search),
                name,
                own_cell(found[name]),
                *(peer_cell(found[name], found.get(peer)) for peer in (STR, "rg", "zstd")),
                arena.peak(name, search),
            )


def _results(found: dict[str, list[Answer]], search: Search) -> str:
    """What the first round found; ripgrep's own count of matches where that differs."""
    ours = found[WITH][0]["result"]
    theirs = found["rg"][0]["result"] if "rg" in found else ours
    is_same_unit = "--count-matches" in search.options
    return f"{ours:,}" + (f" (rg: {theirs:,})" if is_same_unit and theirs != ours else "")


def index_tables(files: Files, repeats: int) -> None:
    """What the index takes in a pack, and how long it takes to make."""
    contenders: dict[str, Contender] = {name: lambda _, name=name: files.pack(name) for name in files.packs}  # type: ignore[misc]
    if has("zstd"):
        contenders["zstd"] = lambda _: files.compress()
    found = in_turn(contenders, repeats)
    head("pack", "seconds", "against `zstd -3 -T2`", "peak RssAnon")
    for name in (WITHOUT, WITH):
        peak = megabytes([files.pack(name, "memory")])
        row(f"{name} index", own_cell(found[name]), peer_cell(found[name], found.get("zstd")), peak)
    row("`add_index`", *_adding(files, repeats))
    print_sizes([files])


def _adding(files: Files, repeats: int) -> tuple[str, str, str]:
    """Seconds, rate and peak of giving a pack an index."""
    plain, added = files.packs[WITHOUT], files.text.with_suffix(f".added.{files.store}.dprompt")
    answers = [child("add-index", "time", plain, added) for _ in range(repeats)]
    peak = megabytes([child("add-index", "memory", plain, added)])
    added.unlink()
    rate = files.text.stat().st_size / statistics.median(seconds_of(answers)) / 1e6
    return own_cell(answers), f"{rate:.0f} MB of text a second", peak


def print_sizes(several: Iterable[Files]) -> None:
    """What the index takes."""
    head("text", "bytes", "pack without index", "index", "of the pack without it", "of the text")
    for files in several:
        text = files.text.stat().st_size
        plain = files.packs[WITHOUT].stat().st_size
        index = files.packs[WITH].stat().st_size - plain
        row(files.text.name, f"{text:,}", f"{plain:,}", f"{index:,}", f"{index / plain:.1%}", f"{index / text:.2%}")


def shard_table(files: Files, drawn: Answer) -> list[str]:
    """How many shards queries decode; what was wrong."""
    print(f"\n{files.text.name}, {drawn['shards']:,} shards: `count` of each needle, asked once of an open prompt")
    head(
        "needles",
        "shards that hold it",
        "decoded: median",
        "mean",
        "largest",
        "time: median",
        "mean",
        "95th",
        "peak RssAnon",
    )
    wrong: list[str] = []
    for kind, needles in drawn["needles"].items():
        if needles and kind != "calls":
            # A prompt of its own for each kind: some needles are of two, and a prompt keeps what it knows of a needle.
            with Server(files.packs[WITH]) as server:
                server.warm()
                label = f"{len(needles)} {kind}" + (f", in at most {drawn['rare']} shards" if kind == "rare" else "")
                _shard_row(files, server, (label, drawn["shards"], needles))
                # The frequent ones take too long.
                wrong += _checked(server, [(needle, held) for needle, held in needles if held <= drawn["rare"]])
    return wrong


def _shard_row(files: Files, server: Server, what: tuple[str, int, list[tuple[str, int]]]) -> None:
    label, shards, needles = what
    answers = [server.ask("count", needle) for needle, _ in needles]
    decoded = [answer["decoded"] for answer in answers]
    seconds = sorted(seconds_of(answers))
    holding = [held for _, held in needles]
    with Server(files.packs[WITH], "memory") as watched:
        peak = megabytes(watched.ask("count", needle) for needle, _ in needles[:WATCHED])
    row(
        label,
        f"{statistics.median(holding):,.0f} (mean {statistics.mean(holding):,.1f})",
        *(
            f"{number:,.1f} ({number / shards:.2%})"
            for number in (statistics.median(decoded), statistics.mean(decoded))
        ),
        f"{max(decoded):,} ({max(decoded) / shards:.2%})",
        *map(time_cell, (statistics.median(seconds), statistics.mean(seconds), seconds[len(seconds) * 95 // 100])),
        peak,
    )


def _checked(server: Server, needles: list[tuple[str, int]]) -> Iterable[str]:
    """The needles that are found in other numbers of shards than truly hold them."""
    for needle, held in needles:
        if (found := len(server.ask("ends", needle)["result"])) != held:
            yield f"{needle!r} ends in {held} shards, found in {found}"


def literals(corpus: Corpus, drawn: Answer) -> list[Search]:
    """The searches for literals."""
    rare, absent = ([needle for needle, _ in drawn["needles"][kind]] for kind in ("rare", "absent"))
    lowered = [needle.lower() for needle in rare]
    # Each asked for once: what a prompt knows of a needle is kept.
    return [
        Search("rare", "find", rare[0::2], "-F -c"),
        Search("rare", "count", rare[1::2], "-F -c"),
        Search("absent", "find", absent[0::2], "-F -c"),
        Search("absent", "count", absent[1::2], "-F -c"),
        *(Search("frequent", "count", [needle], "-F -c") for needle in corpus.frequent),
        *(Search(f"{len(needle)} characters", "count", [needle], "-F -c") for needle in corpus.short),
        Search("rare", "find_all(ignore_case=True)", [rare[2]], "-F -c -i"),
        Search("some", "find_all(ignore_case=True)", [corpus.caseless], "-F -c -i"),
        Search("rare", "lower().find", [lowered[4]], "-F -c -i"),
        Search("absent", "lower().find", [absent[0].lower() + "zqx"], "-F -c -i"),
    ]


def patterns(corpus: Corpus, drawn: Answer) -> dict[str, list[str]]:
    """The regular expressions."""
    calls = [rf"{needle}\w*\(" for needle, held in drawn["needles"]["calls"] if 0 < held <= drawn["rare"]]
    absent = [rf"{needle}\w+\(" for needle, _ in drawn["needles"]["absent"]]
    return {
        "rare literal": calls,
        "absent literal": absent,
        "alternation": [corpus.alternation],
        "letters": [r"\b[A-Z]\w+ing\b"],
        "two literals": [corpus.error],
        "case ignored": [f"(?i){corpus.caseless}"],
        "literals behind": [r"\w+@\w+\.com"],
    }


def grep_table(files: Files, chosen: Iterable[str], repeats: int) -> list[str]:
    """The command as a whole process, printing lines with their numbers; what was wrong."""
    wrong = []
    head("pattern", "lines", "index", "`dprompt grep`", "`rg -n`", "`zstd -dc`, `rg -n`", "peak RssAnon")
    for pattern in chosen:
        found = in_turn(_greps(files, pattern), repeats)
        counts = {name: answers[0]["result"] for name, answers in found.items()}
        if len(set(counts.values())) > 1:
            wrong.append(f"lines of dprompt grep {pattern!r}: {counts}")
        for name in (WITH, WITHOUT):
            peers = (peer_cell(found[name], found.get(peer)) for peer in ("rg", "zstd"))
            peak = megabytes([child("grep", "memory", files.packs[name], pattern)])
            row(code(pattern), f"{counts[name]:,}", name, own_cell(found[name]), *peers, peak)
    return wrong


def _greps(files: Files, pattern: str) -> dict[str, Contender]:
    """The commands; their lines are counted, which makes them print all."""
    dprompt = [sys.executable, "-m", "distributed_prompt", "grep", "--", pattern]
    rg = _quoted("rg", "--no-config", "-n", "-e", pattern)
    lines = {name: _quoted(*dprompt, path) for name, path in files.packs.items()}
    if has("rg"):
        lines["rg"] = f"{rg} {_quoted(files.text)}"
    if has("rg", "zstd"):
        lines["zstd"] = f"zstd -dc {_quoted(files.compressed)} | {rg}"
    return {name: lambda _, line=line: command(f"{line} | wc -l") for name, line in lines.items()}  # type: ignore[misc]


def small_cjk() -> Path:
    """The first few of the blocks that the corpus of Chinese characters is made of."""
    path = make("stdlib").with_name("cjk-quick.txt")
    if not path.is_file():
        with path.open("wb") as file:
            file.writelines(block for _, block in zip(range(QUICK_BLOCKS), cjk(), strict=False))
    return path


class Bench:
    """The tables, in their order; all on one corpus, one of them on Chinese as well."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Make the corpus; the other one when it is needed."""
        self._options = options
        self._files = Files(make(options.corpus, options.copies), options.store)
        self._corpus = CORPORA.get(options.corpus, Corpus())
        self._drawn: Answer = {}
        self.wrong: list[str] = []

    def run(self, only: str | None) -> None:
        """Print the tables, or one."""
        text = self._files.text
        print(f"{text.name}: {text.stat().st_size:,} bytes; Python {platform.python_version()}, {os.cpu_count()} cores")
        tables = {
            "index": self._index,
            "shards": self._shards,
            "literals": self._literals,
            "regexes": self._regexes,
            "grep": self._grep,
        }
        if only not in {None, "index"}:
            self._prepare()
        for name in [only] if only else tables:
            tables[name]()
            if name == "index" and not only:
                self._prepare()

    def _prepare(self) -> None:
        self._files.prepare()
        self._drawn = child("needles", self._files.packs[WITHOUT], "words", self._options.needles)

    def _index(self) -> None:
        index_tables(self._files, self._options.repeats)

    def _shards(self) -> None:
        self.wrong += shard_table(self._files, self._drawn)
        chinese = Files(small_cjk() if self._options.quick else make("cjk"), self._options.store)
        chinese.prepare()
        drawn = child("needles", chinese.packs[WITHOUT], "characters", self._options.needles)
        self.wrong += shard_table(chinese, drawn)
        print_sizes([chinese])

    def _literals(self) -> None:
        self._searches(literals(self._corpus, self._drawn), "`str`", "-F -c")

    def _regexes(self) -> None:
        options = "--count-matches"
        chosen = patterns(self._corpus, self._drawn).items()
        searches = [Search(kind, "finditer", needles, options) for kind, needles in chosen if needles]
        self._searches(searches, "`re`", options)

    def _searches(self, searches: list[Search], peer: str, options: str) -> None:
        names = (f"{peer} in memory", f"`rg {options}`", f"`zstd -dc`, `rg {options}`")
        with Arena(self._files, self._options.repeats) as arena:
            print_searches(arena, searches, names)
            self.wrong += arena.wrong

    def _grep(self) -> None:
        chosen = patterns(self._corpus, self._drawn)
        names = ("rare literal", "alternation", "case ignored")
        lines = [chosen[name][0] for name in names if chosen[name]]
        self.wrong += grep_table(self._files, lines, self._options.repeats)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="linux", help="a corpus of tools/make_corpus.py")
    parser.add_argument("--copies", type=int, default=1, help="how many times the corpus follows itself")
    parser.add_argument("--store", default="sqlite", choices=("sqlite", "lmdb"), help="the engine of the packs")
    parser.add_argument("--repeats", type=int, default=3, help="rounds a row")
    parser.add_argument("--needles", type=int, default=200, help="needles of each kind")
    parser.add_argument("--only", choices=("index", "shards", "literals", "regexes", "grep"), help="one part only")
    parser.add_argument("--quick", action="store_true", help="small texts, few needles, one round")
    options = parser.parse_args()
    if options.quick:
        options.corpus, options.copies, options.repeats, options.needles = "stdlib", 1, 1, 40
    return options


def main() -> None:
    """Parse the command line, measure; fail if anything was wrong."""
    options = _options()
    bench = Bench(options)
    bench.run(options.only)
    if bench.wrong:
        sys.exit("search: WRONG results\n" + "\n".join(bench.wrong))


if __name__ == "__main__":
    main()
