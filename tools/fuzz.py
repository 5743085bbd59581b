"""Feed what reads foreign bytes with inputs that nearly make sense, each target in a process of its own.

python -m tools.fuzz regex --seconds 120 --seed 1
python -m tools.fuzz --replay tests/fuzz_corpus/regex-look-behind.json

A case is a JSON value, made from a seed by what knows the structure; running it raises if something is wrong, and a
process that dies, hangs or takes too much memory is a failure as well. What failed is saved to be replayed.
"""

import argparse
import json
import random
import re
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from unittest.mock import patch

import distributed_prompt as dp
from distributed_prompt import grep, notices, regex
from distributed_prompt import re as prompt_re
from distributed_prompt.backends import ranges
from distributed_prompt.backends.blocks import Sidecar, block_count, plan
from distributed_prompt.backends.pages import Pages
from distributed_prompt.errors import CorruptPackError, DPromptError
from distributed_prompt.line_pattern import LinePattern
from distributed_prompt.store import codec
from distributed_prompt.store.base import Place, Store, Table
from distributed_prompt.store.byte_source import ByteSource
from distributed_prompt.store.directory import create_sizes, parse_sizes
from distributed_prompt.store.documents import Batch, Document, create_batch, parse_batch
from distributed_prompt.store.lmdb_store import LmdbStore
from distributed_prompt.store.metadata import Metadata, create_metadata, parse_metadata
from distributed_prompt.store.pack import Pack
from distributed_prompt.store.places import create_places, parse_places
from distributed_prompt.store.sqlite_store import SqliteStore
from distributed_prompt.text import hits, windows

Case = Any
MEMORY_BYTES = 2**30
CASE_SECONDS = 15
# What the standard library may take for a pattern, so that all that is tried of it ends within the above.
PATIENCE_SECONDS = 0.3
NUMBERS = (0, 1, 2, 3, 7, 8, 100, 127, 128, 255, 256, 4095, 4096, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**32 - 1)
LARGE = (2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


class Target(NamedTuple):
    """What makes cases, and what runs them."""

    make: Callable[[random.Random], Case]
    run: Callable[[Case], None]


class WrongError(Exception):
    """Something did not fail, and gave what it should not."""


def expect(found: object, expected: object, what: str) -> None:
    """Fail unless two things are equal."""
    if found != expected:
        message = f"{what}: {found!r:.300}, expected {expected!r:.300}"
        raise WrongError(message)


# Bytes, changed


def mutated(chance: random.Random, data: bytes) -> bytes:
    """Some bytes with a few changes as they happen to formats: bits, numbers, pieces moved, doubled, cut out."""
    changed = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        at, size = chance.randrange(len(changed) + 1), chance.choice((1, 2, 4, 8, 30))
        match chance.randrange(6):
            case 0 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at : at + size] = (chance.choice(NUMBERS) % 256**size).to_bytes(
                    size, chance.choice(("little", "big"))
                )
            case 2:
                changed[at : at + size] = b""
            case 3:
                changed[at:at] = changed[at : at + size]
            case 4:
                changed[at:at] = chance.randbytes(size)
            case _:
                del changed[at:]
    return bytes(changed)


# The metadata table

METADATA = Metadata(
    features=("document-index", "documents", "ngrams"),
    length=1_000_001,
    shard_size=1_000,
    shards=1_001,
    utf8_bytes=1_500_000,
    newlines=400,
    lines=401,
    width=2,
    level=3,
    documents=300,
    documents_digest="0" * 64,
    root_digest="f" * 64,
    header="== {name}\n",
)


def make_metadata(chance: random.Random) -> Case:
    """The rows of a metadata table, some wrong, most often under a right checksum."""
    rows = create_metadata(METADATA)
    for name in chance.sample(sorted(rows), chance.randrange(5)):
        value = rows[name]
        others = [str(number) for number in (*NUMBERS, *LARGE)]
        odd = ["", " ", "-1", "+1", "1.0", "1e3", "٣", "0x10", "01", "9" * 5_000, "[" * 3_000, '{"a":1}', "null", "\0"]
        changes = [value + "0", value[:-1], value * 2, mutated(chance, value.encode()).decode("latin-1")]
        rows[name] = chance.choice([*others, *odd, *changes])
    if not chance.randrange(4):
        rows.pop(chance.choice(sorted(rows)), None)
    if not chance.randrange(4):
        rows[chance.choice(("", "extra", "\ud800", "length "))] = chance.choice(("", "\udfff", "x" * 100))
    return {"rows": rows, "sealed": chance.randrange(8) > 0}


def run_metadata(case: Case) -> None:
    """Either one of our errors, or metadata that make sense and make the same rows again."""
    rows = dict(case["rows"])
    if case["sealed"] and rows.get("format_version") == "1":
        with suppress(CorruptPackError):
            parse_metadata(rows, "pack")
        # What the error says is the checksum that there should be.
        try:
            parse_metadata(rows | {"checksum": "?"}, "pack")
        except CorruptPackError as error:
            rows["checksum"] = str(error).rpartition(" ")[2]
    try:
        found = parse_metadata(rows, "pack")
    except DPromptError as error:
        expect(str(error).startswith("pack: "), expected=True, what=f"place of {error!r:.100}")
        return
    shards = -(-found.length // found.shard_size)
    expect(found.shards, shards, "shards")
    expect(
        parse_metadata(create_metadata(found), "pack"), replace(found, features=tuple(sorted(found.features))), "again"
    )


# Pages of SQLite and of LMDB


class Bytes(ByteSource):
    """Bytes in memory as a source."""

    def __init__(self, data: bytes) -> None:
        """Take the bytes."""
        self.name = "pack"
        self.size_bytes = len(data)
        self._data = data

    def read(self, offset: int, size: int) -> bytes:
        """As the base class says."""
        return self._data[offset : offset + size]

    def check_open(self) -> None:
        """It always is."""

    def close(self) -> None:
        """Nothing to do."""


PAGE_BYTES = 4096
SAMPLE = "".join(f"{number}: the quick brown föx jumps\n" for number in range(3_000))


@lru_cache
def sample_pack(engine: str) -> bytes:
    """A sound pack of SAMPLE: with trees of more than a page, rows on their pages and rows on others."""
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "text.txt"), Path(folder, "text.dprompt")
        source.write_text(SAMPLE, encoding="utf-8", newline="")
        dp.pack(source, output, shard_size=500, store=engine)
        return output.read_bytes()


def make_pages(engine: str) -> Callable[[random.Random], Case]:
    """Makes changes to a pack's pages, those to numbers that lead somewhere more often than others."""

    def make(chance: random.Random) -> Case:
        pages = len(sample_pack(engine)) // PAGE_BYTES
        changes: list[list[int | str]] = []
        for _ in range(chance.choice((1, 1, 2, 3, 6))):
            page = chance.choice((0, 1, pages - 1, chance.randrange(pages), chance.randrange(pages)))
            place = page * PAGE_BYTES + chance.choice((chance.randrange(64), chance.randrange(PAGE_BYTES)))
            order = "big" if engine == "sqlite" else "little"
            match chance.randrange(5):
                case 0:
                    changes.append(["copy", page, chance.randrange(pages)])
                case 1:
                    number = chance.choice((page, page + 1, pages, chance.randrange(pages), *NUMBERS, *LARGE))
                    size = chance.choice((1, 2, 4, 8))
                    numbers = (number % 256**size).to_bytes(size, order)
                    changes.append(["set", place, numbers.hex()])
                case 2:
                    changes.append(["set", place, chance.randbytes(chance.choice((1, 2, 8, 40))).hex()])
                case 3:
                    changes.append(["flip", place, chance.randrange(8)])
                case _:
                    # The children and rows of a page, shuffled: all lead somewhere.
                    changes.append(["swap", place & ~1, page * PAGE_BYTES + 8 + 2 * chance.randrange(60)])
        return changes

    return make


def changed_pages(data: bytes, changes: Case) -> bytes:
    """A pack after such changes."""
    found = bytearray(data)
    for kind, place, value in changes:
        if kind == "copy":
            found[place * PAGE_BYTES : (place + 1) * PAGE_BYTES] = data[value * PAGE_BYTES : (value + 1) * PAGE_BYTES]
        elif kind == "set":
            found[place : place + len(value) // 2] = bytes.fromhex(value)
        elif kind == "flip":
            found[place] ^= 1 << value
        else:
            found[place : place + 2], found[value : value + 2] = found[value : value + 2], found[place : place + 2]
    return bytes(found[: len(data)])


def run_pages(engine: str, store_of: Callable[[ByteSource], Store]) -> Callable[[Case], None]:
    """Every way to read gives what was packed, or an error of ours."""

    def run(case: Case) -> None:
        data = changed_pages(sample_pack(engine), case)
        try:
            pack = Pack(store_of(Bytes(data)))
        except DPromptError as error:
            expect(str(error).startswith("pack: "), expected=True, what=f"place of {error!r:.100}")
            return
        with pack.store:
            for table in Table:
                with suppress(DPromptError):
                    list(pack.store.keys(table))
                with suppress(DPromptError):
                    pack.store.get_range(table, 0, 2**62)
            list(pack.store.problems())
            for shard in range(pack.metadata.shards):
                with suppress(DPromptError):
                    expect(pack.utf8(shard).decode(), SAMPLE[shard * 500 : (shard + 1) * 500], f"shard {shard}")
            with suppress(DPromptError):
                expect(pack.documents.find("text.txt"), 0, "document")

    return run


# Regular expressions

LITERALS = "aabbcAB \n\t.éß\u017f\u212a\u0130\u0131K_1"
CLASSES = (
    r"\w",
    r"\W",
    r"\d",
    r"\D",
    r"\s",
    r"\S",
    ".",
    "[ab]",
    "[^a]",
    "[^\\n]",
    "[a-c1]",
    r"[\wé]",
    r"[^\W_]",
    r"[\s\S]",
)
EDGES = ("^", "$", r"\A", r"\Z", r"\b", r"\B")
REPEATS = ("*", "+", "?", "{2}", "{1,3}", "{,2}", "{2,}", "{0}")
FLAGS = (0, 0, re.IGNORECASE, re.MULTILINE, re.DOTALL, re.ASCII, re.IGNORECASE | re.MULTILINE, re.VERBOSE)


class PatternMaker:
    """Writes patterns; unbounded repeats have no others inside, which would take exponential time in re as well."""

    def __init__(self, chance: random.Random) -> None:
        """Begin a pattern."""
        self._chance = chance
        self._groups = 0

    def choice(self, depth: int, *, repeated: bool = False, fixed: bool = False) -> str:
        """Alternatives."""
        count = 1 if fixed else self._chance.choice((1, 1, 1, 2, 3) if not repeated else (1, 1, 1, 1, 2))
        return "|".join(self.sequence(depth, repeated=repeated, fixed=fixed) for _ in range(count))

    def sequence(self, depth: int, *, repeated: bool, fixed: bool) -> str:
        """Some parts in a row."""
        count = self._chance.choice((0, 1, 1, 2, 2, 3, 4))
        return "".join(self.part(depth, repeated=repeated, fixed=fixed) for _ in range(count))

    def part(self, depth: int, *, repeated: bool, fixed: bool) -> str:
        """A part, and perhaps how often it comes."""
        chance = self._chance
        repeat = "" if fixed or chance.randrange(3) else chance.choice(REPEATS)
        unbounded = repeat in {"*", "+", "{2,}"}
        if repeat and repeated:
            repeat, unbounded = "?", False
        inner = self.atom(depth - 1, repeated=repeated or unbounded, fixed=fixed)
        if not repeat or inner in EDGES or not inner:
            return inner
        return inner + repeat + chance.choice(("", "", "", "?", "+"))

    def atom(self, depth: int, *, repeated: bool, fixed: bool) -> str:
        """A character, a class, an edge or a group."""
        chance = self._chance
        kinds = ["literal"] * 5 + ["class"] * 3 + ["edge"] + (["group"] * 9 + ["odd"] * 2) * (depth > 0)
        kind = chance.choice(kinds)
        if kind == "group":
            return self.group(depth, repeated=repeated, fixed=fixed)
        odd = ("(?#comment)", "(?:)", "(?!)", r"\n", r"\x61", r"\u00e9", "a{", "{1", "]", "a{,}")
        choices = {"literal": list(map(re.escape, LITERALS)), "class": CLASSES, "edge": EDGES, "odd": odd}
        return chance.choice(choices[kind])

    def group(self, depth: int, *, repeated: bool, fixed: bool) -> str:
        """Something in parentheses."""
        chance = self._chance
        kind = chance.choice(
            ("plain", "plain", "flags", "flags", "ahead", "ahead", "behind", "reference", "conditional")
        )
        if kind == "plain" or not (self._groups or kind in {"flags", "ahead", "behind"}):
            self._groups += 1
            name = chance.choice(("", "", f"?P<g{self._groups}>"))
            return f"({name}{self.choice(depth, repeated=repeated, fixed=fixed)})"
        if kind == "behind":
            return f"({chance.choice(('?<=', '?<!'))}{self.choice(depth, repeated=True, fixed=True)})"
        group = chance.randint(1, max(1, self._groups))
        if kind == "reference":
            return f"(?:\\{group})"
        if kind == "conditional":
            return f"(?({group}){self.sequence(depth, repeated=repeated, fixed=fixed)}|{chance.choice('aab')})"
        heads = ("?=", "?!") if kind == "ahead" else ("?:", "?>", "?i:", "?s:", "?m:", "?-i:", "?a:", "?is-m:", "?u:")
        return f"({chance.choice(heads)}{self.choice(depth, repeated=repeated, fixed=fixed)})"


def make_regex(chance: random.Random) -> Case:
    """A pattern, a text of much the same characters, and how to look."""
    pattern = PatternMaker(chance).choice(chance.choice((1, 2, 3)))
    if not chance.randrange(12):
        pattern = chance.choice(("(?i)", "(?s)", "(?m)", "(?x)", "(?a)")) + pattern
    if not chance.randrange(25):
        pattern = mutated(chance, pattern.encode()).decode("utf-8", "surrogateescape")
    alphabet = chance.choice((LITERALS, "ab", "ab\n", "aA\n ", LITERALS + "\ud800\U0001f600"))
    text = "".join(chance.choice(alphabet) for _ in range(chance.choice((0, 1, 3, 8, 16, 25))))
    first = chance.choice((0, 0, chance.randint(-2, len(text) + 1)))
    # Where the end is before the beginning re looks at what lies behind the end, and not every version.
    last = chance.randint(max(first, 0), len(text) + 2)
    return {
        "pattern": pattern,
        "flags": int(chance.choice(FLAGS)),
        "text": text,
        "shard_size": chance.choice((1, 2, 3, 5, 16)),
        "pos": first,
        "endpos": chance.choice((None, None, last)),
        "glance": chance.choice((1, 2, 5, 128)),
        "threshold": chance.choice((1, 4, 1_000)),
    }


@contextmanager
def glancing(characters: int) -> Iterator[None]:
    """Let windows begin small, so that texts of a few characters have several."""
    places: list[tuple[Any, str]] = [(windows, "_FIRST_GLANCE"), (hits, "_FIRST_GLANCE"), (regex, "_FIRST_WINDOW")]
    before = [getattr(*place) for place in places]
    a_hit = hits._CHARACTERS_A_HIT  # noqa: SLF001  # as small as the texts are
    try:
        for module, name in places:
            setattr(module, name, characters)
        hits._CHARACTERS_A_HIT = 2  # noqa: SLF001  # as above
        yield
    finally:
        hits._CHARACTERS_A_HIT = a_hit  # noqa: SLF001  # as above
        for (module, name), value in zip(places, before, strict=True):
            setattr(module, name, value)


def outcome(function: Callable[[], object]) -> object:
    """What a call gives, or the kind of error that it raises."""
    try:
        return function()
    except (re.error, ValueError, TypeError, IndexError, OverflowError, RecursionError) as error:
        return type(error).__name__


def described(match: Any) -> object:
    """What can be told of a match."""
    if match is None:
        return None
    spans = [match.span(group) for group in range(len(match.groups()) + 1)]
    return spans, [str(group) for group in match.groups("-")], match.lastindex, match.lastgroup


class _EndlessError(Exception):
    """The standard library itself goes back again and again, for hours if it is let."""


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Let `re` take so much of this process's time, which it looks for signals in, and no more."""

    def stop(_signal: int, _frame: object) -> None:
        raise _EndlessError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _answers(pattern: Any, text: Any, bounds: list[int]) -> dict[str, object]:
    """What all methods of a pattern give."""
    answers: dict[str, object] = {
        name: described(getattr(pattern, name)(text, *bounds)) for name in ("search", "match", "fullmatch")
    }
    answers["finditer"] = [described(match) for match in pattern.finditer(text, *bounds)]
    for name, rest in (("split", (0,)), ("split", (2,)), ("findall", ())):
        answers[f"{name} {rest}"] = [_plain(part) for part in getattr(pattern, name)(text, *rest)]
    for new in ("", "<>", r"[\g<0>]"):
        answers[f"sub {new}"] = str(pattern.sub(new, text))
    return answers


def run_regex(case: Case) -> None:
    """What the standard library finds in the text, a prompt finds, too, and in each of its lines grep."""
    text, bounds = case["text"], [case["pos"], sys.maxsize if case["endpos"] is None else case["endpos"]]
    with warnings.catch_warnings(), glancing(case["glance"]):
        warnings.simplefilter("ignore")
        try:
            plain = re.compile(case["pattern"], case["flags"])
        except Exception as error:  # noqa: BLE001  # that of ours must be the same
            kind = type(error).__name__
            expect(outcome(lambda: prompt_re.compile(case["pattern"], case["flags"])), kind, "error")
            return
        ours = prompt_re.compile(plain)
        prompt = dp.DistributedPrompt.from_text(text, shard_size=case["shard_size"])
        prompt.view_threshold = case["threshold"]
        try:
            with _limited(PATIENCE_SECONDS):
                expected = _answers(plain, text, bounds)
        except _EndlessError:
            return
        found = _answers(ours, prompt, bounds)
        for name, answer in expected.items():
            expect(found[name], answer, name)
        _check_lines(plain, prompt, text)


def _plain(part: Any) -> object:
    if isinstance(part, tuple):
        return tuple(map(str, part))
    return None if part is None else str(part)


def _check_lines(plain: "re.Pattern[str]", prompt: dp.DistributedPrompt, text: str) -> None:
    # Versions differ in whether "\\B" matches in an empty text, such as a line may be.
    if plain.flags & ~(re.IGNORECASE | re.UNICODE) or r"\B" in plain.pattern:
        return
    pattern = LinePattern(plain.pattern, ignore_case=bool(plain.flags & re.IGNORECASE))
    lines = text.split("\n")
    start, expected = 0, []
    for line in lines if lines[-1] else lines[:-1]:
        match = plain.search(line)
        if match:
            expected.append((start, start + len(line), start + match.start(), start + match.end()))
        start += len(line) + 1
    found = [(line.start, line.stop, *(line.first or ())) for line in grep.matching_lines(prompt, pattern)]
    expect(found, expected, "grep")


# A server

LIES = ("cut", "long", "shifted", "status", "size", "etag", "no etag", "gzip", "garbage", "no range", "drop", "weird")
OBJECT = random.Random(0).randbytes(1_000_000)  # noqa: S311  # the same every time


def make_ranges(chance: random.Random) -> Case:
    """What the server does at each request, and what is read."""
    lies = [chance.choice((*LIES, *[""] * 30)) for _ in range(40)]
    size = chance.choice((1, 4_095, 4_097, 70_000, 600_000, len(OBJECT)))
    reads = []
    for _ in range(chance.randrange(12)):
        kind = chance.choice(("read", "read", "prefetch", "forget"))
        reads.append([kind, chance.randrange(size + 5_000), chance.choice((0, 1, 100, 4_096, 50_000, 2**40))])
    return {"lies": lies, "size": size, "reads": reads, "budget": chance.choice((0, 50_000, 2**25))}


class Server(ThreadingHTTPServer):
    """Serves a part of OBJECT, and lies as a case says."""

    daemon_threads = True

    def __init__(self, case: Case) -> None:
        """Listen on a port of this machine."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.data = OBJECT[: case["size"]]
        self.lies = iter(case["lies"])
        self.count = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients leave at any time."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in the base class
        """Say nothing."""

    def do_GET(self) -> None:
        """Give a range, or something else."""
        server = self.server
        assert isinstance(server, Server)  # noqa: S101  # for mypy
        server.count += 1
        lie, data = next(server.lies, ""), server.data
        found = re.fullmatch(r"bytes=(\d*)-(\d+)", self.headers["Range"])
        assert found is not None  # noqa: S101  # as above
        first = int(found[1]) if found[1] else max(0, len(data) - int(found[2]))
        stop = min(int(found[2]) + 1, len(data)) if found[1] else len(data)
        body, size = data[first:stop], len(data)
        if lie == "drop":
            self.close_connection = True
            return
        shift, size = (lie == "shifted"), size + (lie == "size") * 10**17
        self.send_response(503 if lie == "status" else 206)
        headers = {"Content-Range": f"bytes {first + shift}-{stop - 1 + shift}/{size}", "ETag": '"1"'}
        headers |= {"etag": {"ETag": '"2"'}, "gzip": {"Content-Encoding": "gzip"}}.get(lie, {})
        headers |= {"weird": {"Content-Range": "bytes \u0663-\u0664/\u0665", "Retry-After": "9" * 400}}.get(lie, {})
        for name in {"no etag": ["ETag"], "no range": ["Content-Range"]}.get(lie, []):
            del headers[name]
        if lie == "garbage":
            # Nothing tells a page of other bytes; a pack's checksums do.
            body = bytes(len(body))
        sent = {"cut": body[: len(body) // 2], "long": body + b"more"}.get(lie, body)
        headers["Content-Length"] = str(len(body) if lie == "cut" else len(sent))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent)
        self.close_connection = lie in {"cut", "long"}


@contextmanager
def impatient() -> Iterator[None]:
    """Wait for milliseconds only."""
    names = {"_FIRST_PAUSE_SECONDS": 0.001, "_LONGEST_PAUSE_SECONDS": 0.002, "_READ_SECONDS": 2}
    before = {name: getattr(ranges, name) for name in names}
    try:
        for name, value in names.items():
            setattr(ranges, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(ranges, name, value)


def run_ranges(case: Case) -> None:
    """What is read is what the object has there, but where its server gives other bytes of that number."""
    server = Server(case)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    lies = "garbage" in case["lies"]
    size = case["size"]
    try:
        with impatient():
            place = f"http://127.0.0.1:{server.server_address[1]}/object"
            try:
                pages = Pages(ranges.Ranges("object", lambda: place), case["budget"])
            except DPromptError as error:
                expect(str(error).startswith("object"), expected=True, what=f"place of {error!r:.100}")
                return
            for kind, offset, count in case["reads"]:
                if kind == "forget":
                    pages.forget()
                elif kind == "prefetch":
                    pages.prefetch([range(offset, offset + min(count, size))])
                else:
                    with suppress(DPromptError):
                        found = pages.read(offset, count)
                        expected = OBJECT[offset : min(offset + count, size)]
                        expect(len(found), len(expected), f"bytes at {offset}")
                        if not lies:
                            expect(found, expected, f"read {offset}, {count}")
            pages.close()
        expect(server.count < 400, expected=True, what=f"{server.count} requests")  # noqa: PLR2004  # of 14 calls
    finally:
        server.shutdown()
        server.server_close()


# Sidecars


def make_sidecar(chance: random.Random) -> Case:
    """The bytes of two sidecars, in hexadecimal."""
    found = []
    for _ in range(2):
        size, block = chance.choice((1, 100, 101, 2**40)), chance.choice((1, 100, 2**40))
        count = min(block_count(size, block), 5)
        sidecar = Sidecar('"e"', size, block, tuple(f"{chance.randrange(3):032x}" for _ in range(count)))
        fields = json.loads(sidecar.encode())
        if chance.randrange(2):
            odd: tuple[Any, ...] = (
                None,
                True,
                -1,
                1.5,
                "",
                [],
                {},
                "x",
                10**400,
                1e308,
                [None],
                ["0" * 32] * 3,
                ["é" * 32],
                ["٣" * 32],
            )
            fields[chance.choice(sorted(fields))] = chance.choice((*odd, *NUMBERS, *LARGE))
        data = json.dumps(fields).encode()
        found.append((data if chance.randrange(2) else mutated(chance, data)).hex())
    return found


def run_sidecar(case: Case) -> None:
    """Either no sidecar, or one that makes sense; plans name every block once."""
    found = [Sidecar.parse(bytes.fromhex(data)) for data in case]
    for sidecar in filter(None, found):
        expect(len(sidecar.hashes), block_count(sidecar.size_bytes, sidecar.block_bytes), "blocks")
        with suppress(UnicodeEncodeError):
            expect(Sidecar.parse(sidecar.encode()), sidecar, "again")
        made = plan(sidecar, found[1])
        expect(sorted(made.move + made.keep), list(range(len(sidecar.hashes))), "plan")


# Notices


def make_notices(chance: random.Random) -> Case:
    """Words and places, and how the text with their notices is changed."""
    made = []
    for _ in range(chance.randint(1, 3)):
        words = chance.choice(("", "A text of 5 characters. ", "é\ud800\n", "<dprompt-text [1] ", "x" * 50))
        place = {
            name: chance.choice((-1, *NUMBERS, *LARGE) if kind is int else ("", "str", "]", "a/\udcff ]", "<>"))
            for name, kind in notices.Reference.__annotations__.items()
        }
        made.append([words, place])
    changes = [[chance.randrange(900), chance.randrange(3), chance.choice('[]<>0a"\\, \n')] for _ in range(3)]
    return {
        "notices": made,
        "changes": changes[: chance.randrange(4)],
        "between": chance.choice(("", "[", "<dprompt-text ")),
    }


def run_notices(case: Case) -> None:
    """What is found was written so, character by character; what was written and not changed is found."""
    # With one key a case gives the same every time.
    with patch.object(notices, "_keys", [bytes(notices.KEY_BYTES)]):
        _run_notices(case)


def _run_notices(case: Case) -> None:
    nothing = {name: kind() for name, kind in notices.Reference.__annotations__.items()}
    places = [(words, {name: place.get(name, nothing[name]) for name in nothing}) for words, place in case["notices"]]
    written = [notices.written(words, notices.Reference(**place)) for words, place in places]
    text = case["between"].join(written)
    for at, size, new in case["changes"]:
        place = at % (len(text) + 1)
        text = text[:place] + new + text[place + size :]
    found = list(notices.found_in(text))
    for one in found:
        expect(text[one.start : one.stop] in written, expected=True, what=f"notice {one}")
    if not case["changes"]:
        expect(len(found), len(written), "notices")


# The codec, and rows in it

DOCUMENTS = [
    Document(f"d{number}", number, number + 1, "utf-8", "strict", "keep", 1, "0" * 64, exact=True)
    for number in range(9)
]


def make_codec(chance: random.Random) -> Case:
    """A kind of row, its content changed before it is compressed and sealed, or its frame after."""
    kind = chance.choice(("frame", "batch", "places", "sizes"))
    fields = {name: [asdict(each)[name] for each in DOCUMENTS] for name in asdict(DOCUMENTS[0])}
    if chance.randrange(2):
        odd: tuple[Any, ...] = (None, -1, 10**30, 1.5, True, "", "\ud800", [], {}, "x" * 3_000, "\0\x1b[2J")
        fields[chance.choice(sorted(fields))][chance.randrange(9)] = chance.choice(odd)
    if not chance.randrange(4):
        columns: tuple[Any, ...] = ([], None, 5, "abc", {}, [1], {"0": 1})
        fields[chance.choice(sorted(fields))] = chance.choice(columns)
    content = {
        "frame": chance.choice((b"", b"text", bytes(100_000), chance.randbytes(50))),
        "batch": json.dumps(fields).encode(),
        "places": struct.pack("<9I", *(chance.choice(NUMBERS) for _ in range(9))),
        "sizes": create_sizes(parse_sizes(bytes(13 * chance.randrange(4)))),
    }[kind]
    content = content if chance.randrange(3) else mutated(chance, content)
    frame = content if kind == "sizes" else codec.compress(content, 3)
    frame = frame if chance.randrange(3) else mutated(chance, frame)
    frame = {0: frame * 2, 1: b"\x50\x2a\x4d\x18\4\0\0\0abcd" + frame}.get(chance.randrange(12), frame)
    return {"kind": kind, "frame": frame.hex(), "most": chance.choice((0, 3, 4, 100, 2**26))}


def run_codec(case: Case) -> None:
    """Never more bytes than allowed, never another error than that of a damaged pack."""
    frame, most = bytes.fromhex(case["frame"]), case["most"]
    with suppress(CorruptPackError):
        found = codec.decompress(frame, most)
        expect(len(found) <= most, expected=True, what=f"{len(found)} bytes of {most}")
    expect(codec.unseal(5, codec.seal(5, frame, b"bound"), b"bound"), frame, "seal")
    with suppress(CorruptPackError):
        codec.unseal(5, frame)
        message = "a row without a seal was taken for sealed"
        raise WrongError(message)
    with suppress(CorruptPackError):
        batch = parse_batch(0, codec.seal(0, frame))
        expect(isinstance(batch, Batch), expected=True, what="batch")
        documents = list(batch)
        expect(list(parse_batch(0, create_batch(0, documents))) if documents else [], documents, "again")
    with suppress(CorruptPackError):
        places = parse_places(frame)
        expect([Place(*(number % 2**32 for number in each)) for each in places], places, "places")
        expect(parse_places(create_places(places)) if places else [], places, "again")


TARGETS = {
    "metadata": Target(make_metadata, run_metadata),
    "sqlite": Target(make_pages("sqlite"), run_pages("sqlite", SqliteStore)),
    "lmdb": Target(make_pages("lmdb"), run_pages("lmdb", LmdbStore)),
    "regex": Target(make_regex, run_regex),
    "ranges": Target(make_ranges, run_ranges),
    "sidecar": Target(make_sidecar, run_sidecar),
    "notices": Target(make_notices, run_notices),
    "codec": Target(make_codec, run_codec),
}


# Processes


class Result(NamedTuple):
    """What a campaign came to: how many cases, and the files of those that failed."""

    cases: int
    failures: list[Path]


def work(target: str, seed: int, seconds: float, current: Path) -> int:
    """Run cases until the time is over or one fails; the number of the last. Each lies in a file before it is run."""
    import faulthandler  # noqa: PLC0415  # of this process alone

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    make, run = TARGETS[target]
    now = time.monotonic()
    number, end, armed = 0, now + seconds, 0.0
    with current.open("r+b", buffering=0) as file:
        while now < end:
            case = make(random.Random(f"{target} {seed} {number}"))  # noqa: S311  # to be made again
            saved = json.dumps({"target": target, "seed": seed, "number": number, "case": case})
            # One write: a process that dies leaves this case or the one before it whole.
            file.seek(0)
            file.write(f"{len(saved):9}{saved}".encode())
            if now > armed + 1:
                faulthandler.dump_traceback_later(CASE_SECONDS, exit=True)
                armed = now
            run(case)
            number += 1
            now = time.monotonic()
    faulthandler.cancel_dump_traceback_later()
    return number


def campaign(target: str, seed: int, seconds: float, folder: Path) -> Result:
    """Run cases in a process of their own, and another one behind each that fails."""
    end = time.monotonic() + seconds
    cases, failures = 0, {}
    while (left := end - time.monotonic()) > 0:
        with tempfile.TemporaryDirectory() as scratch:
            current = Path(scratch, "case.json")
            current.touch()
            command = [sys.executable, "-m", "tools.fuzz", target, "--seed", str(seed), "--seconds", str(left)]
            done = subprocess.run([*command, "--work", str(current)], check=False, capture_output=True, text=True)
            written = current.read_bytes()
            if not written:
                raise RuntimeError(done.stderr)
            case = json.loads(written[9 : 9 + int(written[:9])])
            cases += case["number"] + 1
            if done.returncode:
                case["error"] = done.stderr[-2_000:]
                # One for each line of ours that raised, or that hung.
                places = re.findall(r'File ".*?([^/"]+)", line (\d+)', done.stderr)
                kind = done.stderr.strip().rpartition("\n")[2][:40] if places else str(done.returncode)
                if (key := (*places[-2:], kind)) not in failures:
                    failures[key] = folder / f"{target}-{seed}-{case['number']}.json"
                    failures[key].write_text(json.dumps(case, indent=1) + "\n")
        seed += 1_000_003
    return Result(cases, list(failures.values()))


def replay(path: Path) -> None:
    """Run the case in a file; raises what it raises."""
    saved = json.loads(path.read_text())
    TARGETS[saved["target"]].run(saved["case"])


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", choices=TARGETS, help="what is attacked; everything, one after the other")
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, default=Path(), help="the folder for what failed")
    parser.add_argument("--replay", type=Path, help="a file that was saved")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.replay:
        replay(arguments.replay)
        return 0
    if arguments.work:
        work(arguments.target, arguments.seed, arguments.seconds, arguments.work)
        return 0
    failed = False
    for target in [arguments.target] if arguments.target else TARGETS:
        cases, failures = campaign(target, arguments.seed, arguments.seconds, arguments.save)
        print(f"{target}: {cases:,} cases, {len(failures)} kinds of failures", flush=True)
        for path in failures:
            print(f"  {path}: {json.loads(path.read_text())['error'].strip().rpartition(chr(10))[2][:300]}")
        failed = failed or bool(failures)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
