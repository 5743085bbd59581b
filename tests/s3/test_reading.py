"""Packs on real S3 servers, read through a proxy that counts, delays and spoils."""

import contextlib
import functools
import gc
import itertools
import json
import logging
import multiprocessing
import os
import pickle
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

import distributed_prompt as dp
from distributed_prompt import re as prompt_re
from distributed_prompt.backends import ranges
from distributed_prompt.backends.http_backend import HttpBackend
from distributed_prompt.backends.s3_backend import S3Backend
from distributed_prompt.cli import main
from distributed_prompt.errors import (
    AccessError,
    ArgumentError,
    ClosedError,
    CorruptPackError,
    DPromptError,
    NotAPackError,
    OutputExistsError,
    PackChangedError,
    PackNotFoundError,
    RemoteError,
)
from distributed_prompt.grep import matching_lines
from distributed_prompt.line_pattern import LinePattern
from distributed_prompt.prompt import DistributedPrompt
from tests.s3.fault_proxy import KINDS, Fault, FaultProxy, Request, bytes_moved
from tests.s3.servers import make_bucket, remove_objects
from tools.s3_server import Server

PAGE = 4_096
OPENING_BYTES = 2**16 + 2**19
QUIET_SECONDS = 0.05
LONGEST_SECONDS = 8.0  # for a machine that is busy
MEMORY_CHARACTERS = 240_000_000
MEMORY_MB = 150
PREFIX = "packs"


class Sample(NamedTuple):
    """A pack on this disk, and its text."""

    path: Path
    text: str


class Remote(NamedTuple):
    """Packs that lie on a server, and what stands before it."""

    bucket: str
    samples: dict[str, Sample]
    proxy: FaultProxy

    def key(self, name: str) -> str:
        return f"{PREFIX}/{name}"

    def address(self, name: str) -> str:
        return f"s3://{self.bucket}/{self.key(name)}"

    def text(self, name: str) -> str:
        return self.samples[name].text

    def open(self, name: str, **options: Any) -> DistributedPrompt:
        return DistributedPrompt(S3Backend(self.bucket, key=self.key(name), **options))

    @contextlib.contextmanager
    def watched(self, most_round_trips: int, quiet_seconds: float = QUIET_SECONDS) -> Iterator[list[Request]]:
        """The requests of what is done here, which may take no more round trips than these."""
        self.proxy.reset()
        self.proxy.quiet_seconds = quiet_seconds
        found: list[Request] = []
        yield found
        self.proxy.quiet_seconds = 0
        found += settled(self.proxy)
        rounds = {request.round for request in found}
        assert len(rounds) <= most_round_trips, [(request.round, request.range) for request in found]


def settled(proxy: FaultProxy) -> list[Request]:
    """All requests, once none is under way."""
    end = time.monotonic() + 10
    while any(request.ended == float("inf") for request in proxy.requests) and time.monotonic() < end:
        time.sleep(0.01)
    return proxy.requests


def digits(characters: int, seed: int, line: int = 99) -> str:
    """Lines of hexadecimal digits, which compress to half of them."""
    found = random.Random(seed).randbytes(characters // 2 + 1).hex()[:characters]  # noqa: S311  # no secret
    return "".join(f"{found[at : at + line]}\n" for at in range(0, len(found), line))[:characters]


def mixed(characters: int, seed: int) -> str:
    """Words in several scripts, a few of them rare."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    words = ["needle", "hay", "Straße", "日本語", "😀", "\r\n", "\n", "\x00", "été", f"{seed:05}", "the"]
    parts: list[str] = []
    length = 0
    while length < characters:
        parts.append(chance.choice(words) + chance.choice([" ", "", "\n"]) + f"{chance.randrange(10**6):x}")
        length += len(parts[-1])
    return "".join(parts)[:characters]


def pack(folder: Path, text: str, *, documents: int = 1, **options: Any) -> Sample:
    """A pack of the text, cut into some documents of equal length."""
    source = folder / "source"
    source.mkdir(parents=True)
    step = -(-len(text) // documents) or 1
    for number in range(documents):
        part = text[number * step : (number + 1) * step]
        (source / f"{number:05}.txt").write_bytes(part.encode())
    dp.pack(sorted(source.iterdir()), folder / "pack", **options)
    return Sample(folder / "pack", text)


MIXED = mixed(200_000, 1)
MAKERS: dict[str, Callable[[Path], Sample]] = {
    "small shards": lambda folder: pack(folder, MIXED, documents=7, shard_size=2**10),
    "large shards": lambda folder: pack(folder, MIXED, documents=7, shard_size=2**15),
    "no index": lambda folder: pack(folder, MIXED, documents=7, shard_size=2**15, index=False),
    "lmdb": lambda folder: pack(folder, MIXED, documents=7, shard_size=2**13, store="lmdb"),
    "empty": lambda folder: pack(folder, ""),
    "empty lmdb": lambda folder: pack(folder, "", store="lmdb"),
    "one character": lambda folder: pack(folder, "😀"),
    "one shard": lambda folder: pack(folder, "to be or not to be\n" * 20),
    "many documents": lambda folder: pack(folder, digits(900_000, 2), documents=10_000, shard_size=2**13),
    "segments": lambda folder: pack(folder, digits(17_000_000, 3), shard_size=2**12),
    "indexed": lambda folder: pack(folder, digits(6_000_000, 4), shard_size=2**15),
    "long lmdb": lambda folder: pack(folder, digits(6_000_000, 4), shard_size=2**15, store="lmdb"),
    "uneven": lambda folder: pack(
        folder,
        "".join(digits(2**17, number) if number % 40 == 39 else "a" * 2**17 for number in range(120)),
        shard_size=2**17,
    ),
    "other": lambda folder: pack(folder, digits(6_000_000, 5), shard_size=2**15),
}
TINY = ("empty", "empty lmdb", "one character", "one shard")
LMDB_ROUND_TRIPS = 2  # more: nothing tells where its pages lie
LONG = ("segments", "indexed", "long lmdb", "uneven")


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sample]:
    folder = tmp_path_factory.mktemp("reading")
    return {name: make(folder / name.replace(" ", "-")) for name, make in MAKERS.items()}


@pytest.fixture(scope="module")
def stored(s3_server: Server, samples: dict[str, Sample]) -> Iterator[str]:
    """The name of a bucket with all packs, which nobody changes."""
    with closing(s3_server.client()) as client:
        bucket = make_bucket(client)
        for name, sample in samples.items():
            client.put_object(Bucket=bucket, Key=f"{PREFIX}/{name}", Body=sample.path.read_bytes())
        yield bucket
        remove_objects(client, bucket)


@pytest.fixture(autouse=True)
def environment(
    s3_server: Server, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> pytest.MonkeyPatch:
    """Credentials and server in the environment, and nowhere else."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in (s3_server.environment() | {"AWS_ENDPOINT_URL": proxy.url}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


@pytest.fixture
def remote(stored: str, samples: dict[str, Sample], proxy: FaultProxy) -> Remote:
    return Remote(stored, samples, proxy)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "_PATIENCE_SECONDS", 2)
    monkeypatch.setattr(ranges, "_FIRST_PAUSE_SECONDS", 0.02)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patient, but without pauses."""
    monkeypatch.setattr(ranges, "_PATIENCE_SECONDS", 10)
    monkeypatch.setattr(ranges, "_READ_SECONDS", 0.5)
    monkeypatch.setattr(ranges, "_FIRST_PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(ranges, "_LONGEST_PAUSE_SECONDS", 0.05)


class Place(NamedTuple):
    """An object that a test may replace."""

    client: Any
    bucket: str
    key: str = "folder/corpus.dprompt"

    @property
    def address(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def put(self, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.key, Body=data)


@pytest.fixture
def place(s3_client: Any, bucket: str) -> Place:
    return Place(s3_client, bucket)


# What is read, against the same on this disk.


def operations(prompt: DistributedPrompt) -> dict[str, object]:
    """What every kind of reading finds; of long texts, what is quick there."""
    length = len(prompt)
    chance = random.Random(9)  # noqa: S311  # no secret
    offsets = [chance.randrange(length + 1) for _ in range(12)] if length else [0]
    found = {
        "slices": [str(prompt[at : at + 700]) for at in offsets],
        "ends": (str(prompt[:5]), str(prompt[-5:]), str(prompt[length:])),
        "count": prompt.count("00000"),
        "line": str(prompt.lines[len(prompt.lines) // 2]) if length else "",
        "line_at": [prompt.line_at(at) for at in offsets if at < length],
        "document_at": [(place := prompt.document_at(at)) and place.start for at in offsets if at < length],
    }
    return found if length > 2**20 else found | more_operations(prompt, offsets)


def more_operations(prompt: DistributedPrompt, offsets: list[int]) -> dict[str, object]:
    return {
        "steps": str(prompt[:: max(1, len(prompt) // 50)]),
        "find": [prompt.find(needle, at) for needle in ("needle", "日本", "nowhere") for at in offsets[:4]],
        "rfind": [prompt.rfind(needle, 0, at) for needle in ("hay", "😀", "nowhere") for at in offsets[:4]],
        "counts": [prompt.count(needle) for needle in ("needle", "e", "\r\n", "aa", "nowhere at all")],
        "in": ["needle" in prompt, "nowhere" in prompt, "" in prompt],
        "split": [len(list(prompt.split("needle"))), [str(part) for part in prompt.split("日本語", 3)]],
        "lines": [len(prompt.lines), [str(line) for line in itertools.islice(prompt.lines, 20)]],
        "documents": [record.name[-9:] for record in prompt.documents.records()],
        "findall": prompt_re.findall(r"needle (\w+)", prompt)[:50],
        "search": (found := prompt_re.search(r"[0-9a-f]{4}\nStraße", prompt)) and found.span(),
        "grep": [line.number for line in itertools.islice(matching_lines(prompt, LinePattern("n.edle 1")), 20)],
    }


@functools.cache
def near(path: Path) -> dict[str, object]:
    with dp.open(path) as prompt:
        return operations(prompt)


@pytest.mark.parametrize("name", MAKERS)
def test_reading_from_afar_finds_what_reading_here_does(remote: Remote, name: str) -> None:
    with remote.open(name) as prompt:
        assert operations(prompt) == near(remote.samples[name].path)
        if len(prompt) < 2**20:
            assert str(prompt) == remote.text(name)
            assert prompt == remote.text(name)


@pytest.mark.parametrize("name", ["small shards", "lmdb", "one shard"])
def test_what_is_read_does_not_hang_on_the_cache_s_size(remote: Remote, name: str) -> None:
    for cache_bytes in (0, 50_000):
        with remote.open(name, cache_bytes=cache_bytes) as prompt:
            assert operations(prompt) == near(remote.samples[name].path)


@pytest.mark.parametrize("name", ["small shards", "lmdb", *TINY])
def test_a_pack_is_verified_and_unpacked_from_afar(remote: Remote, name: str, tmp_path: Path) -> None:
    address = remote.address(name)
    assert list(dp.verify(address)) == []
    with S3Backend(remote.bucket, key=remote.key(name)) as backend:
        dp.unpack(backend, tmp_path / "out" / "" if name not in TINY else tmp_path / "out")
    source = remote.samples[name].path.parent / "source"
    written = [tmp_path / "out"] if (tmp_path / "out").is_file() else list((tmp_path / "out").rglob("*.txt"))
    assert sorted(file.read_bytes() for file in written) == sorted(file.read_bytes() for file in source.iterdir())


def test_all_ways_of_opening_find_the_same(remote: Remote, s3_server: Server, proxy_client: Any) -> None:
    key = remote.key("large shards")
    url = proxy_client.generate_presigned_url("get_object", Params={"Bucket": remote.bucket, "Key": key})
    by_url = HttpBackend(url)
    here: dict[str, Any] = {"endpoint_url": remote.proxy.url, "region_name": s3_server.region}
    backends = [
        S3Backend(remote.bucket, key=key, **here),
        by_url,
        S3Backend(remote.bucket, key=key, client=proxy_client),
    ]
    prompts = [dp.open(remote.address("large shards")), *map(DistributedPrompt, backends)]
    for prompt in prompts:
        with prompt:
            assert prompt[1_000:1_100] == MIXED[1_000:1_100]
            assert prompt.count("needle") == MIXED.count("needle")


def test_a_manifest_on_a_server_is_replaced_only_if_asked_for(place: Place, samples: dict[str, Sample]) -> None:
    place.put(samples["one shard"].path.read_bytes())
    manifest = f"s3://{place.bucket}/folder/all.json"
    dp.collect([place.address] * 2, manifest)
    with pytest.raises(OutputExistsError, match=rf"{manifest}: exists; .* --force"):
        dp.collect([place.address], manifest)
    with dp.open(manifest) as prompt:
        assert prompt == samples["one shard"].text * 2
    dp.collect([place.address], manifest, overwrite=True)
    with dp.open(manifest) as prompt:
        assert prompt == samples["one shard"].text


def test_a_prefix_names_the_pack_below_it(place: Place, samples: dict[str, Sample]) -> None:
    data = samples["one shard"].path.read_bytes()
    for key, prefix in (
        ("corpus-v1/prompt.dprompt", "corpus-v1"),
        ("a/b/prompt.dprompt", "a/b/"),
        ("prompt.dprompt", ""),
    ):
        place._replace(key=key).put(data)
        with S3Backend(place.bucket, prefix) as backend:
            assert backend.address == f"s3://{place.bucket}/{key}"
    with pytest.raises(ArgumentError):
        S3Backend(place.bucket)
    with pytest.raises(ArgumentError):
        S3Backend(place.bucket, "a", "b")


KEYS = ("a", "a b+c=d&e", "ü/日本/😀", "a//b", "100%/?x#y", "~'()*!", "a.dprompt/", "%2e%2e/b")


@pytest.mark.parametrize("key", KEYS[:6])
def test_keys_of_any_letters_are_read(place: Place, samples: dict[str, Sample], key: str) -> None:
    mine = place._replace(key=key)
    mine.put(samples["one shard"].path.read_bytes())
    with dp.open(mine.address) as prompt:
        assert prompt == samples["one shard"].text


# What it costs.


@pytest.mark.parametrize("name", MAKERS)
def test_opening_with_length_and_repr_takes_one_round_trip(remote: Remote, name: str) -> None:
    is_far = name == "long lmdb"
    with remote.watched(1 + is_far * LMDB_ROUND_TRIPS) as requests:
        prompt = remote.open(name)
        assert len(prompt) == len(remote.text(name))
        assert "DistributedPrompt" in repr(prompt)
    assert len(requests) <= 2 + is_far * LMDB_ROUND_TRIPS
    assert bytes_moved(requests) <= OPENING_BYTES + is_far * 8 * PAGE
    prompt.close()


def test_the_first_read_of_a_pack_in_the_first_range_asks_nothing(remote: Remote) -> None:
    for name in TINY:
        with remote.open(name) as prompt, remote.watched(0):
            assert str(prompt) == remote.text(name)
            prompt.count("e")
            list(prompt.lines)


def offsets_in(name: str, text: str) -> list[int]:
    shard = {"segments": 2**12, "uneven": 2**17}.get(name, 2**15)
    middle = len(text) // shard // 2
    uneven = [79 * shard + 100, 119 * shard + shard // 2] if name == "uneven" else []
    return [middle * shard + 7, middle * shard - 500, len(text) // 3, len(text) - 1_000, *uneven]


@pytest.mark.parametrize("name", LONG)
def test_a_cold_slice_takes_two_round_trips(remote: Remote, name: str) -> None:
    text = remote.text(name)
    for at in offsets_in(name, text):
        most = 2 + (name == "long lmdb") * LMDB_ROUND_TRIPS
        with remote.open(name) as prompt, remote.watched(most):
            assert prompt[at : at + 1_000] == text[at : at + 1_000]


@pytest.mark.parametrize("name", ["segments", "indexed"])
def test_a_slice_moves_no_more_than_four_times_its_blobs_and_a_page(remote: Remote, name: str) -> None:
    text = remote.text(name)
    with remote.open(name) as prompt:
        for at in offsets_in(name, text):
            shard_size = 2**12 if name == "segments" else 2**15
            shards = range(at // shard_size, (at + 999) // shard_size + 1)
            with remote.watched(2 + (name == "long lmdb") * LMDB_ROUND_TRIPS) as requests:
                assert prompt[at : at + 1_000] == text[at : at + 1_000]
            assert bytes_moved(requests) <= len(shards) * (4 * shard_size // 2 * 1.1 + PAGE)


def twelve(prompt: DistributedPrompt, text: str, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # no secret
    offsets = [chance.randrange(len(text) - 1_000) for _ in range(12)]
    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(lambda at: prompt[at : at + 1_000], offsets))
    assert found == [text[at : at + 1_000] for at in offsets]


@pytest.mark.parametrize("name", ["segments", "indexed", "long lmdb"])
def test_twelve_slices_from_threads_take_four_round_trips(remote: Remote, name: str) -> None:
    with remote.open(name) as prompt, remote.watched(4, quiet_seconds=0.3):  # twelve threads start, on a busy machine
        twelve(prompt, remote.text(name), 1)


@pytest.mark.parametrize("name", ["segments", "indexed", "many documents", "long lmdb"])
def test_a_line_takes_three_round_trips(remote: Remote, name: str) -> None:
    lines = remote.text(name).split("\n")
    for number in (0, len(lines) // 3, len(lines) - 2):
        with remote.open(name) as prompt, remote.watched(3):
            assert prompt.lines[number] == lines[number]


def test_a_document_takes_three_round_trips(remote: Remote) -> None:
    text = remote.text("many documents")
    for at in (0, 400_001, len(text) - 1):
        with remote.open("many documents") as prompt, remote.watched(3):
            found = prompt.document_at(at)
            assert found is not None
            assert found.start <= at < found.stop
        with remote.open("many documents") as prompt, remote.watched(4):
            assert prompt.documents[found.name] == text[found.start : found.stop]


LITERALS = {"rare": slice(4_000_000, 4_000_024), "at the end": slice(-30, -6)}


@pytest.mark.parametrize("place_of", LITERALS)
def test_a_rare_literal_is_found_in_few_round_trips(remote: Remote, place_of: str) -> None:
    text = remote.text("indexed")
    needle = text[LITERALS[place_of]].replace("\n", "")
    for name in ("indexed", "long lmdb"):
        with remote.open(name) as prompt, remote.watched(5 if name == "indexed" else 12) as requests:
            assert prompt.find(needle) == text.find(needle)
        assert len(requests) <= 20


@pytest.mark.parametrize("name", ["indexed", "long lmdb"])
def test_an_absent_literal_is_missed_in_few_round_trips(remote: Remote, name: str) -> None:
    for search in (DistributedPrompt.find, DistributedPrompt.count, DistributedPrompt.rfind):
        with remote.open(name) as prompt, remote.watched(4) as requests:
            assert search(prompt, "nowhere to be found") <= 0
        assert len(requests) <= 20


@pytest.mark.parametrize(("name", "most"), [("segments", 12), ("indexed", 12)])
def test_a_scan_reads_every_byte_once_and_ahead(remote: Remote, name: str, most: int) -> None:
    with remote.open(name) as prompt, remote.watched(most) as requests:
        assert prompt.count("abc") == remote.text(name).count("abc")
        assert disjoint(requests)
    assert bytes_moved(requests) <= remote.samples[name].path.stat().st_size


@pytest.mark.parametrize("name", ["indexed", "long lmdb"])
def test_verifying_reads_far_ahead(remote: Remote, name: str) -> None:
    with remote.watched(60) as requests:
        assert list(dp.verify(remote.address(name))) == []
    assert bytes_moved(requests) <= 2.2 * remote.samples[name].path.stat().st_size + OPENING_BYTES


def disjoint(requests: list[Request]) -> bool:
    """Whether no byte was asked for twice."""
    spans = sorted(tuple(map(int, re.findall(r"\d+", request.range or ""))) for request in requests)
    return all(before[1] < after[0] for before, after in itertools.pairwise(spans))


@pytest.mark.parametrize("name", ["segments", "indexed", "long lmdb"])
def test_nothing_is_fetched_twice(remote: Remote, name: str) -> None:
    with remote.open(name) as prompt:
        remote.proxy.reset()
        for seed in range(4):
            twelve(prompt, remote.text(name), seed)
        prompt.count("abcd")
        twelve(prompt, remote.text(name), 99)
        requests = settled(remote.proxy)
        assert disjoint(requests)
        before = len(requests)
        for seed in range(4):
            twelve(prompt, remote.text(name), seed)
        assert len(remote.proxy.requests) == before


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["segments"])
def test_threads_that_want_the_same_shard_fetch_it_once(remote: Remote, name: str) -> None:
    text, at = remote.text(name), 5_000_000
    counts = []
    for threads in (1, 16):
        barrier = threading.Barrier(threads)

        def read(prompt: DistributedPrompt, barrier: threading.Barrier = barrier) -> str:
            barrier.wait()
            return str(prompt[at : at + 100])

        with (
            remote.open(name) as prompt,
            remote.watched(2 + (name == "long lmdb") * LMDB_ROUND_TRIPS) as requests,
            ThreadPoolExecutor(threads) as pool,
        ):
            assert set(pool.map(read, [prompt] * threads)) == {text[at : at + 100]}
        assert disjoint(requests)
        counts.append(len(requests))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("name", ["segments", "lmdb", "one shard"])
def test_stats_are_what_the_proxy_saw(remote: Remote, name: str) -> None:
    remote.proxy.reset()
    with remote.open(name) as prompt:
        for work in (lambda: None, lambda: prompt[:100], lambda: prompt.count("abc"), lambda: prompt.lines[2]):
            work()
            requests = settled(remote.proxy)
            assert (prompt.stats.requests, prompt.stats.received_bytes) == (len(requests), bytes_moved(requests))


# The object is replaced.


@pytest.mark.parametrize("fault", [None, "ignore_if_match"])
@pytest.mark.parametrize("names", [("indexed", "other"), ("long lmdb", "other"), ("indexed", "indexed, upper case")])
def test_a_replaced_object_is_an_error_and_reopening_gives_the_new_one(
    place: Place, samples: dict[str, Sample], proxy: FaultProxy, fault: Fault | None, names: tuple[str, str]
) -> None:
    old = samples[names[0]]
    new = samples.get(names[1]) or upper(old)
    place.put(old.path.read_bytes())
    proxy.script = lambda _: fault
    with dp.open(place.address) as prompt:
        seen = prompt[3_000_000:3_000_100]
        place.put(new.path.read_bytes())
        assert prompt[3_000_000:3_000_100] == seen == old.text[3_000_000:3_000_100]
        for read in (
            lambda: prompt[2_000_000:2_000_100],
            lambda: prompt.count("abc"),
            lambda: prompt.find("abcdefabc"),
            lambda: prompt.lines[20_000],
            lambda: list(prompt.chunks(10_000)),
        ):
            with pytest.raises(PackChangedError, match="open it again"):
                read()
        assert len(prompt) == len(old.text)
        with dp.open(place.address) as again:
            assert again[2_000_000:2_000_100] == new.text[2_000_000:2_000_100]
        place.client.delete_object(Bucket=place.bucket, Key=place.key)
        with pytest.raises(PackNotFoundError):
            prompt[2_000_000:2_000_100]
        place.put(old.path.read_bytes())
        assert prompt[2_000_000:2_000_100] == old.text[2_000_000:2_000_100]


@functools.cache
def upper(sample: Sample) -> Sample:
    """A pack of the same size, or nearly so."""
    return pack(sample.path.parent / "upper", sample.text.upper(), shard_size=2**15)


def test_another_etag_is_an_error(remote: Remote) -> None:
    with remote.open("indexed") as prompt:
        remote.proxy.script = lambda _: "wrong_etag"
        with pytest.raises(PackChangedError):
            prompt[3_000_000:3_000_100]
        remote.proxy.script = None
        assert prompt[3_000_000:3_000_100] == remote.text("indexed")[3_000_000:3_000_100]


def test_an_object_that_is_replaced_while_it_is_opened_is_one_of_both_or_an_error(
    place: Place, samples: dict[str, Sample], proxy: FaultProxy
) -> None:
    old, new = samples["indexed"], samples["other"]
    new_data = new.path.read_bytes()
    for number in range(2):
        place.put(old.path.read_bytes())
        counter = itertools.count()

        def replace(request: Request, number: int = number, counter: "itertools.count[int]" = counter) -> None:
            del request
            if next(counter) == number:
                place.put(new_data)

        proxy.script = replace
        try:
            with dp.open(place.address) as prompt:
                text = new.text if prompt[:50] == new.text[:50] else old.text
                assert prompt[-50:] == text[-50:]
        except PackChangedError:
            pass
        proxy.script = None


@pytest.mark.thorough
def test_readers_never_mix_versions_while_a_writer_replaces(place: Place, samples: dict[str, Sample]) -> None:
    both = [samples["indexed"], samples["other"]]
    datas = [sample.path.read_bytes() for sample in both]
    place.put(datas[0])
    begun = time.monotonic()
    outcomes: Counter[str] = Counter()

    def has_ended() -> bool:
        # Some reader has to meet a change, however slow the machine is.
        return time.monotonic() > begun + (3 if outcomes["changed"] and outcomes["right"] > 20 else 30)

    def read(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311  # no secret
        while not has_ended():
            try:
                with dp.open(place.address) as prompt:
                    for _ in range(6):
                        at = chance.randrange(5_900_000)
                        found = prompt[at : at + 200]
                        versions = [sample for sample in both if sample.text[at : at + 200] == found]
                        first = [sample for sample in both if sample.text[:50] == prompt[:50]]
                        outcomes["right" if versions == first else "wrong"] += 1
            except PackChangedError:
                outcomes["changed"] += 1

    with ThreadPoolExecutor(8) as threads:
        readers = [threads.submit(read, seed) for seed in range(8)]
        for number in itertools.count(1):
            if has_ended():
                break
            place.put(datas[number % 2])
            time.sleep(0.05)
        for reader in readers:
            reader.result()
    assert outcomes["wrong"] == 0
    assert outcomes["right"] > 20
    assert outcomes["changed"] > 0


# Faults.

HELPED: tuple[Fault, ...] = (
    "503",
    "500",
    "429",
    "reset",
    "lost_answer",
    "cut",
    "stall",
    "ignore_range",
    "wrong_content_range",
    "gzip",
    "redirect_html",
    "ignore_if_match",
)
VERSIONS: tuple[Fault, ...] = ("wrong_etag", "no_etag")


@pytest.mark.parametrize("kind", HELPED)
def test_a_single_fault_is_not_noticed(remote: Remote, quick: None, kind: Fault) -> None:
    del quick
    text = remote.text("indexed")
    for at in (0, 2, 3):
        remote.proxy.script = [*[None] * at, kind]
        with remote.open("indexed") as prompt:
            assert prompt[3_000_000:3_000_100] == text[3_000_000:3_000_100]
            assert prompt[1_000_000:1_000_100] == text[1_000_000:1_000_100]


@pytest.mark.parametrize("kind", VERSIONS)
def test_a_version_that_is_wrong_for_once_is_an_error_or_not_noticed(remote: Remote, kind: Fault) -> None:
    text = remote.text("indexed")
    for at in range(4):
        remote.proxy.script = [*[None] * at, kind]
        try:
            prompt = remote.open("indexed")
        except (PackChangedError, RemoteError):
            assert at < 2
            continue
        with prompt:
            with contextlib.suppress(PackChangedError, RemoteError):
                assert prompt[3_000_000:3_000_100] == text[3_000_000:3_000_100]
            assert prompt[3_000_000:3_000_100] == text[3_000_000:3_000_100]


ENDLESS: dict[Fault, tuple[type[DPromptError], ...]] = {
    **dict.fromkeys(HELPED, (RemoteError,)),
    "ignore_if_match": (),
    "wrong_etag": (PackChangedError,),
    "no_etag": (PackChangedError,),
    "garbage": (CorruptPackError, NotAPackError),
}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_that_stays_is_an_error_in_time(remote: Remote, kind: Fault, request: pytest.FixtureRequest) -> None:
    text = remote.text("indexed")
    remote.proxy.stall_seconds = 2
    messages: list[str] = []
    with remote.open("indexed") as prompt:
        request.getfixturevalue("impatient")
        remote.proxy.script = lambda _: kind
        begun = time.monotonic()
        try:
            assert prompt[3_000_000:3_000_100] == text[3_000_000:3_000_100]
            # What stalls may come in time, all the same.
            assert kind in {"ignore_if_match", "garbage", "stall"}
        except ENDLESS[kind] as error:
            messages.append(str(error))
        assert time.monotonic() - begun < LONGEST_SECONDS
        begun = time.monotonic()
        try:
            remote.open("indexed").close()
            assert kind in {"ignore_if_match", "garbage", "wrong_etag", "no_etag"}
        except ENDLESS[kind] as error:
            messages.append(str(error))
        assert time.monotonic() - begun < LONGEST_SECONDS
        remote.proxy.script = None
        assert prompt[3_000_000:3_000_100] == text[3_000_000:3_000_100]
    assert all(message.startswith(f"{remote.address('indexed')}: ") for message in messages)


@pytest.mark.parametrize("name", ["indexed", "long lmdb"])
def test_garbage_is_an_error_for_once_and_never_text(remote: Remote, name: str, tmp_path: Path) -> None:
    text = remote.text(name)
    for folder in (None, tmp_path / "pages"):
        spoiled = itertools.chain([None, None], itertools.repeat("garbage", 40), itertools.repeat(None))
        remote.proxy.script = lambda _, spoiled=spoiled: next(spoiled)
        with remote.open(name, cache_dir=folder) as prompt:
            for at in range(100, 6_000_000, 200_000):
                with contextlib.suppress(CorruptPackError):
                    assert prompt[at : at + 100] == text[at : at + 100]
            remote.proxy.script = None
            for at in range(100, 6_000_000, 200_000):
                assert prompt[at : at + 100] == text[at : at + 100]
        with remote.open(name, cache_dir=folder) as prompt:
            assert prompt.count("0123") == text.count("0123")


@pytest.mark.thorough
def test_two_thousand_reads_under_faults_give_no_wrong_answer(remote: Remote, quick: None) -> None:
    del quick
    text = remote.text("segments")
    outcomes: Counter[str] = Counter()
    remote.proxy.seed(1)
    remote.proxy.stall_seconds = 0.7
    prompt = remote.open("segments", cache_bytes=2**18)
    remote.proxy.faults = 0.05

    def read(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311  # no secret
        for _ in range(250):
            at = chance.randrange(len(text) - 300)
            choice = chance.random()
            try:
                if choice < 0.9:
                    right = prompt[at : at + 300] == text[at : at + 300]
                elif choice < 0.95:
                    where = max(0, at - 10_000), at + 10_000
                    right = prompt.find(text[at : at + 20], *where) == text.find(text[at : at + 20], *where)
                else:
                    right = prompt.count("0123", at, at + 20_000) == text.count("0123", at, at + 20_000)
                outcomes["right" if right else "wrong"] += 1
            except DPromptError as error:
                outcomes[type(error).__name__] += 1

    readers = [threading.Thread(target=read, args=(seed,), daemon=True) for seed in range(8)]
    for reader in readers:
        reader.start()
    end = time.monotonic() + 120
    for reader in readers:
        reader.join(max(0.0, end - time.monotonic()))
    assert not any(reader.is_alive() for reader in readers), outcomes
    prompt.close()
    assert outcomes["wrong"] == 0
    assert outcomes.total() == 2_000
    assert set(outcomes) <= {"right", "PackChangedError", "CorruptPackError"}, outcomes
    assert outcomes["right"] > 1_700


# What is not there, not allowed, or no pack.

FOREIGN = "foreign"


def foreign(tmp_path: Path, sample: Sample) -> dict[str, tuple[bytes, type[DPromptError]]]:
    with closing(sqlite3.connect(tmp_path / "foreign.db")) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS metadata(name TEXT, value TEXT)")
    data = sample.path.read_bytes()
    return {
        "text": (b"Once upon a time there was a text.\n" * 1_000, NotAPackError),
        "nothing": (b"", NotAPackError),
        "a page": (b"<!DOCTYPE html><html></html>", NotAPackError),
        "another database": ((tmp_path / "foreign.db").read_bytes(), NotAPackError),
        "half a pack": (data[: len(data) // 2], CorruptPackError),
        "a header": (data[:100], CorruptPackError),
        "a pack without its last byte": (data[:-1], CorruptPackError),
    }


def secrets_of(server: Server) -> list[str]:
    return [server.secret_key, "X-Amz-", "Signature=", "Credential="]


def check_error(error: DPromptError, address: str, server: Server) -> None:
    """One clear line with the address, and nothing that is secret."""
    message = str(error)
    assert message.startswith(f"{address}: ")
    assert "\n" not in message
    told = f"{message} {error!r} {''.join(traceback.format_exception(error))}"
    assert not [secret for secret in secrets_of(server) if secret in told]


def test_what_is_no_pack_is_told(place: Place, samples: dict[str, Sample], tmp_path: Path, s3_server: Server) -> None:
    for name in ("indexed", "long lmdb"):
        for data, kind in foreign(tmp_path, samples[name]).values():
            place.put(data)
            with pytest.raises(DPromptError) as caught:
                dp.open(place.address)
            assert type(caught.value) is kind, (data[:30], caught.value)
            check_error(caught.value, place.address, s3_server)


def test_a_wrong_key_and_a_wrong_bucket_are_told(remote: Remote, s3_server: Server) -> None:
    for address in (f"s3://{remote.bucket}/nowhere", "s3://no-such-bucket-anywhere/key"):
        remote.proxy.reset()
        with pytest.raises(PackNotFoundError) as caught:
            dp.open(address)
        check_error(caught.value, address, s3_server)
        assert len(settled(remote.proxy)) <= 2


def test_a_wrong_secret_is_told(remote: Remote, s3_server: Server, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-of-mine")
    # ministack checks signatures in URLs.
    with pytest.raises(AccessError) as caught:
        dp.open(remote.address("indexed"))
    check_error(caught.value, remote.address("indexed"), s3_server)
    assert "wrong-secret-of-mine" not in str(caught.value)


def test_missing_credentials_are_told(remote: Remote, s3_server: Server, environment: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.delenv(name)
    if s3_server.name != "ceph":
        pytest.skip("ministack lets anyone read")
    with pytest.raises(AccessError) as caught:
        dp.open(remote.address("indexed"))
    check_error(caught.value, remote.address("indexed"), s3_server)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_not_there_is_told(remote: Remote, s3_server: Server, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(RemoteError) as caught:
        dp.open(remote.address("indexed"))
    check_error(caught.value, remote.address("indexed"), s3_server)


@pytest.mark.usefixtures("quick")
def test_nothing_secret_is_logged_or_pickled(
    remote: Remote, s3_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    remote.proxy.kinds = ("503", "cut", "garbage")
    remote.proxy.faults = 0.2
    with caplog.at_level(logging.DEBUG), remote.open("indexed") as prompt:
        for at in range(0, 6_000_000, 300_000):
            with contextlib.suppress(DPromptError):
                prompt[at : at + 10]
        data = pickle.dumps(prompt)
    ours = " ".join(record.getMessage() for record in caplog.records if record.name.startswith("distributed_prompt"))
    secret = [s3_server.secret_key, s3_server.access_key, "Signature"]
    assert not [each for each in secret if each in ours or each.encode() in data or each in repr(prompt)]


COMMANDS: dict[str, list[str]] = {
    "info": ["info", "ADDRESS"],
    "info as JSON": ["info", "ADDRESS", "--json"],
    "ls": ["ls", "ADDRESS", "--long"],
    "cat": ["cat", "ADDRESS", "1000:2000"],
    "slice": ["slice", "ADDRESS", "--start", "5", "--end", "500"],
    "find": ["find", "ADDRESS", "needle", "-m", "5"],
    "grep": ["grep", "needle 1", "ADDRESS"],
    "verify": ["verify", "ADDRESS"],
    "unpack": ["unpack", "ADDRESS", "-o", "OUT"],
}


def run(command: str, address: str, out: Path) -> tuple[int, str]:
    """The exit code and all that was printed, the address as it would be of a file."""
    arguments = [{"ADDRESS": address, "OUT": str(out)}.get(word, word) for word in COMMANDS[command]]
    result = CliRunner().invoke(main, arguments)
    assert "Traceback" not in result.output
    return result.exit_code, result.output.replace(address, "ADDRESS").replace(str(out), "OUT")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_take_an_address(remote: Remote, command: str, tmp_path: Path) -> None:
    for name in ("large shards", "lmdb"):
        far = run(command, remote.address(name), tmp_path / f"far {name}")
        local = run(command, str(remote.samples[name].path), tmp_path / f"near {name}")
        assert far == local
        assert far[0] == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_tell_what_is_wrong_in_a_line(
    remote: Remote, place: Place, s3_server: Server, command: str, tmp_path: Path
) -> None:
    place.put(b"no pack")
    for address in (f"s3://{remote.bucket}/nowhere", "s3://no-such-bucket-anywhere/key", place.address, "s3://"):
        code, printed = run(command, address, tmp_path / "out")
        assert code == (2 if command in {"find", "grep"} else 1)
        assert printed.startswith("dprompt: ")
        assert printed.count("\n") == 1
        assert not [secret for secret in secrets_of(s3_server) if secret in printed]


def test_a_command_that_finds_nothing_says_so_by_its_status(remote: Remote, tmp_path: Path) -> None:
    del tmp_path
    address = remote.address("large shards")
    for arguments in (["find", address, "nowhere"], ["grep", "nowhere", address]):
        assert CliRunner().invoke(main, arguments).exit_code == 1


def test_info_names_the_address(remote: Remote) -> None:
    result = CliRunner().invoke(main, ["info", "--json", remote.address("large shards")])
    facts = json.loads(result.output)
    assert facts["path"] == remote.address("large shards")
    assert facts["length"] == len(MIXED)


# Processes, threads, and the end.


def count_there(data: bytes) -> tuple[int, str]:
    with pickle.loads(data) as prompt:  # noqa: S301  # ours
        return prompt.count("needle"), str(prompt[1_000:1_050])


def test_a_prompt_is_pickled_as_its_address(remote: Remote) -> None:
    with remote.open("large shards") as prompt, prompt.view(100, 200_000) as view:
        data = pickle.dumps([prompt, view])
        assert len(data) < 2_000
        copy, part = pickle.loads(data)  # noqa: S301  # ours
        assert (copy, part) == (prompt, view)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
            found = processes.submit(count_there, pickle.dumps(prompt)).result(60)
        assert found == (MIXED.count("needle"), MIXED[1_000:1_050])
        copy.close()


def test_a_pickle_carries_the_client_s_server(
    remote: Remote, s3_server: Server, environment: pytest.MonkeyPatch
) -> None:
    with closing(s3_server.client(remote.proxy.url)) as client:
        backend = S3Backend(remote.bucket, key=remote.key("large shards"), client=client)
        with DistributedPrompt(backend) as prompt:
            data = pickle.dumps(prompt)
    environment.delenv("AWS_ENDPOINT_URL")
    environment.delenv("AWS_DEFAULT_REGION")
    assert s3_server.secret_key.encode() not in data
    with pickle.loads(data) as copy:  # noqa: S301  # ours
        assert copy == MIXED


def test_a_pickle_of_a_replaced_object_is_an_error(place: Place, samples: dict[str, Sample]) -> None:
    place.put(samples["large shards"].path.read_bytes())
    with dp.open(place.address) as prompt:
        data = pickle.dumps(prompt)
    place.put(samples["other"].path.read_bytes())
    with pytest.raises(PackChangedError):
        pickle.loads(data)  # noqa: S301  # ours


def test_an_executor_of_processes_reads_from_afar(remote: Remote) -> None:
    text = remote.text("indexed")
    with (
        remote.open("indexed") as prompt,
        ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes,
    ):
        remote.proxy.reset()
        assert prompt.count("0123", executor=processes) == text.count("0123")
        # Each process opens the pack once, and both together read it once.
        size = remote.samples["indexed"].path.stat().st_size
        assert bytes_moved(settled(remote.proxy)) <= size * 1.3 + 2 * OPENING_BYTES


FORKED = """
import os, sys
import distributed_prompt as dp
prompt = dp.open(sys.argv[1])
with open(sys.argv[2], encoding="utf-8", newline="") as file:
    text = file.read()
offsets = range(100_000, 5_900_000, 250_000)
assert all(prompt[at : at + 50] == text[at : at + 50] for at in offsets[:4])
children = []
for number in range(3):
    child = os.fork()
    if not child:
        right = all(prompt[at : at + 50] == text[at : at + 50] for at in offsets)
        right = right and prompt.count("0123") == text.count("0123")
        sys.stdout.flush()
        os._exit(0 if right else 1)
    children.append(child)
assert all(prompt[at : at + 50] == text[at : at + 50] for at in offsets)
assert prompt.count("0123") == text.count("0123")
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""
STRICT = [sys.executable, "-X", "dev", "-W", "error", "-c"]


@pytest.mark.parametrize("name", ["indexed", "long lmdb"])
def test_child_and_parent_go_on_reading_after_a_fork(remote: Remote, name: str) -> None:
    source = remote.samples[name].path.parent / "source" / "00000.txt"
    command = [*STRICT, FORKED, remote.address(name), str(source)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert (ran.stdout, ran.stderr) == ("[0, 0, 0]\n", "")


ENDINGS = {
    "closed": "with dp.open(sys.argv[1]) as prompt: prompt[3_000_000:3_000_100]; prompt.count('0123')",
    "left open": "prompt = dp.open(sys.argv[1]); prompt[3_000_000:3_000_100]; prompt.count('0123')",
    "dropped": "dp.open(sys.argv[1]).count('0123'); import gc; gc.collect()",
    "in the middle of a pass": "prompt = dp.open(sys.argv[1]); lines = iter(prompt.lines); next(lines)",
    "an error": "prompt = dp.open(sys.argv[1])\ntry: prompt.lines[10**9]\nexcept IndexError: pass",
    "at exit": "import atexit; prompt = dp.open(sys.argv[1]); atexit.register(lambda: prompt.count('0123'))",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_left_at_the_interpreter_s_end(remote: Remote, ending: str) -> None:
    program = f"import sys, distributed_prompt as dp\n{ENDINGS[ending]}\nprint('done')"
    command = [*STRICT, program, remote.address("indexed")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")


INTERRUPTED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import sys
import distributed_prompt as dp
try:
    print("begun", flush=True)
    prompt = dp.open(sys.argv[1])
    print("opened", flush=True)
    {operation}
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("operation", ["opening", "prompt[3_000_000:3_000_100]", "prompt.count('0123')"])
def test_an_interrupt_ends_a_stalled_read_at_once(remote: Remote, operation: str) -> None:
    well = 0 if operation == "opening" else 2
    counter = itertools.count()
    remote.proxy.stall_seconds = 30
    remote.proxy.script = lambda _: "stall" if next(counter) >= well else None
    program = INTERRUPTED.format(operation="pass" if operation == "opening" else operation)
    child = subprocess.Popen(
        [sys.executable, "-c", program, remote.address("indexed")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 30
    while len(remote.proxy.requests) <= well and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    begun = time.monotonic()
    out, errors = child.communicate(timeout=60)
    assert time.monotonic() - begun < 5
    assert out.endswith("interrupted\n")
    assert errors == ""


def test_a_closed_prompt_reads_nothing(remote: Remote) -> None:
    prompt = remote.open("indexed")
    view = prompt.view(5, 100_000)
    prompt[:10]
    prompt.close()
    prompt.close()
    for read in (
        lambda: prompt[:10],
        lambda: prompt[3_000_000:3_000_010],
        lambda: prompt.count("0123"),
        lambda: prompt.lines[5],
        lambda: view[:10],
        lambda: prompt.document_at(5),
    ):
        with pytest.raises(ClosedError):
            read()


@pytest.mark.parametrize("name", ["indexed", "long lmdb"])
def test_closing_releases_who_waits_for_pages(remote: Remote, name: str) -> None:
    remote.proxy.stall_seconds = 3
    prompt = remote.open(name)
    remote.proxy.script = lambda _: "stall"
    outcomes: Counter[str] = Counter()

    def read() -> None:
        try:
            prompt[3_000_000:3_000_100]
            outcomes["read"] += 1
        except DPromptError as error:
            outcomes[type(error).__name__] += 1

    readers = [threading.Thread(target=read) for _ in range(6)]
    for reader in readers:
        reader.start()
    time.sleep(0.5)
    prompt.close()
    for reader in readers:
        reader.join(LONGEST_SECONDS)
    assert not any(reader.is_alive() for reader in readers)
    assert outcomes.total() == 6
    assert set(outcomes) <= {"read", "ClosedError"}


def descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_prompts_leave_nothing_behind(remote: Remote) -> None:
    with remote.open("indexed") as prompt:
        prompt.count("0123")
    gc.collect()
    threads, files = threading.active_count(), descriptors()
    for number in range(8):
        prompt = remote.open("indexed")
        twelve(prompt, remote.text("indexed"), number)
        if number % 2:
            prompt.close()
    del prompt
    gc.collect()
    # The proxy, which is in this process, has a thread and two sockets for each connection that is open.
    end = time.monotonic() + 5
    while descriptors() > files + 8 and time.monotonic() < end:
        time.sleep(0.05)
    assert descriptors() <= files + 8
    assert threading.active_count() <= threads + 32


SCAN = """
import sys, threading
import distributed_prompt as dp

def anonymous_kb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

def watch():
    while not done.wait(0.005):
        peaks.append(anonymous_kb())

peaks, done = [], threading.Event()
watcher = threading.Thread(target=watch)
prompt = dp.open(sys.argv[1])
watcher.start()
try:
    assert prompt.count("not in hexadecimal") == 0
    for at in range(0, len(prompt), 4_000_000):
        assert len(prompt[at : at + 100_000]) == min(100_000, len(prompt) - at)
finally:
    done.set()
    watcher.join()
print(max(peaks) // 1000, prompt.stats.received_bytes, prompt.stats.requests)
"""


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see its own memory")
def test_a_scan_of_a_long_pack_takes_little_memory(place: Place, tmp_path: Path, s3_server: Server) -> None:
    sample = pack(tmp_path / "long", digits(MEMORY_CHARACTERS, 6), index=False, level=1)
    with sample.path.open("rb") as file:
        place.put(file.read())
    environment = {**os.environ, "AWS_ENDPOINT_URL": s3_server.endpoint_url}
    ran = subprocess.run(
        [sys.executable, "-c", SCAN, place.address],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    peak_mb, received_bytes, _ = map(int, ran.stdout.split())
    assert peak_mb < MEMORY_MB
    assert received_bytes < 1.3 * sample.path.stat().st_size
