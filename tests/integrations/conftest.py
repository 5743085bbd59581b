"""What the tests with other people's packages share.

These are imported when a test asks for them, so that the others here run without; they are missed loudly where they
must not be missing.
"""

import gc
import json
import os
import random
import socketserver
import warnings
from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import distributed_prompt as dp
from tests.s3.servers import make_bucket, start
from tools.s3_server import available

REQUIRED = "DPROMPT_REQUIRE_INTEGRATIONS"  # set to 1 where the packages are known to be installed, as in CI
INSTALLATION = "uv sync --group integrations"
SHARD_SIZE = 1000
VIEW_THRESHOLD = 20_000
CHARACTERS = 300_000
_ASCII_WORDS = ["static", "int", "needle", "panic", "kernel", "Kernel", "Panic", "STRASSE", "don't"]
_WORDS = [*_ASCII_WORDS, "straße", "ΟΔΥΣΣΕΥΣ", "İzmir", "🎉", "第五章", "naïve"]


class Corpus(NamedTuple):
    """A pack, and what is in it."""

    pack: Path
    text: str

    def prompt(self) -> dp.DistributedPrompt:
        """The pack, opened so that its results are lazy soon."""
        prompt = dp.open(self.pack)
        prompt.view_threshold = VIEW_THRESHOLD
        return prompt


def imported(name: str) -> Any:
    """A module, or a skipped test; a failed one where the environment requires it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(name)
    except ModuleNotFoundError as missing:
        reason = f"{missing.name} is not installed: {INSTALLATION}"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason} ({REQUIRED}=1)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def rlms() -> Any:
    """The package of recursive language models, with all that is used of it."""
    imported("rlm.logger")
    return imported("rlm")


@pytest.fixture(scope="session")
def dspy() -> Any:
    """The package, with our integration of it."""
    package = imported("dspy")
    imported("distributed_prompt.integrations.dspy")
    return package


@pytest.fixture(scope="module")
def _tidy() -> Iterator[None]:
    """Sockets that the packages leave to the garbage collector outlive no module: other tests would fail for them."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def _quick_servers() -> Iterator[None]:
    """The package's servers and ours end at once, where the standard library's look every half a second if they are to.

    Each model that a test starts, and each child of it, would cost that.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socketserver.BaseServer.serve_forever, "__defaults__", (0.01,))
        yield


def generated(seed: int, characters: int) -> str:
    """Lines as models meet them: headings, JSON, words of several scripts, keys, numbered needles, empty ones."""
    chance = random.Random(seed)  # noqa: S311  # to be the same every time, not to be secret
    lines: list[str] = []
    length = 0
    while length < characters:
        number = len(lines)
        line = f"{number:05d} {' '.join(chance.choices(_WORDS, k=9))} key={chance.getrandbits(32):08x}"
        if not number % 9:
            line = f"## Section {number}"
        elif not number % 14:
            line = json.dumps({"id": number, "needle": chance.random(), "words": chance.choices(_WORDS, k=3)})
        elif not number % 10:
            line = f"\tneedle {number} in a haystack, key={chance.getrandbits(24):06x}  "
        elif not number % 25:
            line = ""
        lines.append(line)
        length += len(line) + 1
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """One text."""
    return packed(generated(1, CHARACTERS), tmp_path_factory.mktemp("corpus") / "corpus.dprompt")


def packed(text: str, path: Path) -> Corpus:
    """A text, packed."""
    assert dp.ingest_string(text, path, shard_size=SHARD_SIZE).length == len(text)
    return Corpus(path, text)


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, list[str]]:
    """A text of documents, some of which are long, and these."""
    folder = tmp_path_factory.mktemp("documents")
    texts = [generated(number, characters) for number, characters in enumerate([50_000, 300, 70_000, 9_000, 25_000])]
    paths = [folder / f"{number}.txt" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    assert dp.pack(paths, folder / "documents.dprompt", shard_size=SHARD_SIZE).documents == len(texts)
    return Corpus(folder / "documents.dprompt", "".join(texts)), texts


class Bucket(NamedTuple):
    """A bucket on a server, and what nobody may see."""

    address: str
    secret: str

    def push(self, corpus: Corpus) -> str:
        """The address of a pack that is on the server now."""
        address = f"{self.address}/{corpus.pack.name}"
        dp.push(corpus.pack, address)
        return address


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """On a server of which the environment tells."""
    names = available()
    if not names:
        pytest.skip("no S3 server is installed")
    with start(next(iter(names)), tmp_path / "server") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        with closing(server.client()) as client:
            yield Bucket(f"s3://{make_bucket(client)}", server.secret_key)
