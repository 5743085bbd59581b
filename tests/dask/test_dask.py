"""Packing and searching on the worker processes of a Dask cluster, workers that are killed included."""

import gc
import hashlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import distributed_prompt as dp
from distributed_prompt import mapping, regex_regions, shards
from distributed_prompt import re as prompt_re
from distributed_prompt.backends.s3_backend import S3Backend
from distributed_prompt.errors import DPromptError, OutputExistsError, PackNotFoundError
from distributed_prompt.manifest import MANIFEST_NAME, Manifest, parse_manifest
from tests.dask.conftest import WORKERS, Cluster
from tools.s3_server import Server

DOCUMENTS = 12
LINE = "document {:02d}, line {:05d} of \u65e5\u672c hay\n"
NEEDLE = "document {:02d}, line {:05d} of \u65e5\u672c needle\n"
LINES = 1_000
PART_BYTES = 90_000
PARTS = 6
SHARD_SIZE = 2**12
LONG_SECONDS = 60.0
IN_FLIGHT = 64
CHUNK = 2_500
PART_3 = "part-00003-"
SEARCHES: dict[str, Callable[..., object]] = {
    "find": lambda text, **options: text.find("document 09, line 00500", **options),
    "find nothing": lambda text, **options: text.find("nowhere", **options),
    "count": lambda text, **options: text.count("hay", **options),
    "count what overlaps itself": lambda text, **options: text.count("00", **options),
    "find_all": lambda text, **options: list(text.find_all("needle", **options)),
    "find_all in any case": lambda text, **options: list(text.find_all("NEEDLE", ignore_case=True, **options)),
    "find_many": lambda text, **options: text.find_many(["needle", "nowhere", "11, line 00999"], **options),
    "findall": lambda text, **options: prompt_re.findall(r"(\d+) of .. needle", text, **options),
    "finditer": lambda text, **options: [m.span() for m in prompt_re.finditer(r"\d\d+", text, **options)],
    "map shards": lambda text, **options: list(text.map(len, **options)),
    "map documents": lambda text, **options: list(text.map(_digest, over="documents", **options)),
    "map chunks": lambda text, **options: list(text.map(_digest, over=9_999, **options)),
}


# What the workers run.


def _digest(text: str) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def _is_first(marker: Path) -> bool:
    """Whether nobody has asked before, in any process."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


_originals: dict[str, Any] = {}


def _holder(place: str) -> tuple[Any, str]:
    module, _, path = place.partition(":")
    holder: Any = import_module(module)
    *owners, name = path.split(".")
    for owner in owners:
        holder = getattr(holder, owner)
    return holder, name


def _arm(place: str, instead: "Instead") -> None:
    """Put something into the place of a function of this worker's, until it is disarmed or dies."""
    holder, name = _holder(place)
    original = _originals.setdefault(place, getattr(holder, name))

    def armed(*args: Any, **options: Any) -> Any:
        return instead(original, *args, **options)

    setattr(holder, name, armed)


def _disarm(place: str) -> None:
    holder, name = _holder(place)
    if place in _originals:
        setattr(holder, name, _originals.pop(place))


class Instead:
    """Calls a function, and does harm, once for all workers or whenever it may."""

    def __init__(self, marker: Path, *, after: bool = False, calls: int = 1) -> None:
        self.marker = marker
        self.after = after
        self.calls = calls

    def __call__(self, original: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if not self.after:
            self.harm()
        result = original(*args, **options)
        if self.after:
            self.harm()
        return result

    def harm(self) -> None:
        """Kill this process if it is the first in which that many calls were made."""
        self.calls -= 1
        if self.calls <= 0 and _is_first(self.marker):
            os.kill(os.getpid(), signal.SIGKILL)


class RaisingFor(Instead):
    """Refuses to pack one part, and notes the process."""

    def __call__(self, original: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if any(PART_3 in str(getattr(each, "path", each)) for each in args):
            with self.marker.open("a") as file:
                file.write(f"{os.getpid()}\n")
            message = "no space on this worker"
            raise BlockingIOError(message)
        return original(*args, **options)


class OddError(Exception):
    """An exception of a caller's, with arguments of its own."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(number, why)
        self.number = number


def _odd(folder: Path, text: str) -> int:
    number = int(text[9:11])
    if number == 5:
        _called(folder)
        raise OddError(number, "odd document")
    return number


def _called(folder: Path) -> None:
    (folder / f"call-{time.monotonic_ns()}-{os.getpid()}").touch()


def _calls(folder: Path) -> int:
    return len(list(folder.glob("call-*")))


def _waiting(folder: Path, text: str) -> int:
    """The first call is quick, the others wait until a file is there."""
    _called(folder)
    end = time.monotonic() + LONG_SECONDS
    while not _is_beginning(text) and not (folder / "go").exists() and time.monotonic() < end:
        time.sleep(0.01)
    return len(text)


def _is_beginning(text: str) -> bool:
    return str(text[:24]).startswith("document 00, line 00000")


def _late_when_early(text: str) -> str:
    """The earlier a document, the longer it takes."""
    time.sleep((DOCUMENTS - int(text[9:11])) / 300)
    return _digest(text)


def _fat(text: str) -> bytes:
    return str(text[:9]).encode() * 10_000


def _dying_once(marker: Path, text: str) -> str:
    if int(text[9:11]) == 4 and _is_first(marker):
        os.kill(os.getpid(), signal.SIGKILL)
    return _digest(text)


def _deadly(text: str) -> None:
    if int(text[9:11]) == 4:
        os.kill(os.getpid(), signal.SIGKILL)


# What the tests look at.


class Corpus(NamedTuple):
    """A folder of documents, packed as one."""

    folder: Path
    pack: Path
    text: str


class Listed(NamedTuple):
    """What is at a place: the version of each file by name."""

    files: dict[str, object]

    @property
    def packs(self) -> dict[str, object]:
        """Those of packs alone."""
        return {name: version for name, version in self.files.items() if name.endswith(".dprompt")}


class Place(NamedTuple):
    """Where parts go: a folder, or a prefix on S3."""

    address: str
    s3_client: Any = None

    def listed(self) -> Listed:
        """All that is there, hidden files too."""
        if self.s3_client is None:
            folder = Path(self.address)
            found = folder.iterdir() if folder.is_dir() else ()
            return Listed({each.name: (each.stat().st_ino, each.stat().st_mtime_ns) for each in found})
        bucket, _, prefix = self.address.removeprefix("s3://").partition("/")
        answer = self.s3_client.list_objects_v2(Bucket=bucket, Prefix=prefix)
        found = answer.get("Contents", [])
        return Listed({each["Key"].removeprefix(prefix): (each["ETag"], each["LastModified"]) for each in found})

    def manifest(self) -> Manifest:
        """The one that is there."""
        if self.s3_client is None:
            return parse_manifest((Path(self.address) / MANIFEST_NAME).read_bytes(), "")
        bucket, _, prefix = self.address.removeprefix("s3://").partition("/")
        answer = self.s3_client.get_object(Bucket=bucket, Key=f"{prefix}{MANIFEST_NAME}")
        return parse_manifest(answer["Body"].read(), "")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    top = tmp_path_factory.mktemp("corpus")
    folder = top / "documents"
    folder.mkdir()
    for number in range(DOCUMENTS):
        lines = ((LINE if line % 97 else NEEDLE).format(number, line) for line in range(LINES))
        (folder / f"{number:02d}.txt").write_text("".join(lines), encoding="utf-8")
    dp.pack(folder, top / "one.dprompt", shard_size=SHARD_SIZE)
    with dp.open(top / "one.dprompt") as one:
        return Corpus(folder, top / "one.dprompt", str(one))


@pytest.fixture(scope="module")
def parts(corpus: Corpus) -> Path:
    """The corpus in packs, made here."""
    folder = corpus.pack.parent / "parts"
    dp.pack(corpus.folder, f"{folder}/", part_bytes=PART_BYTES, shard_size=SHARD_SIZE)
    return folder


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return Place(f"{tmp_path}/packs/")
    # Asked for only here: the others need no server.
    return Place(f"s3://{request.getfixturevalue('bucket')}/packs/", request.getfixturevalue("s3_client"))


@pytest.fixture(params=["one pack", "many packs"])
def prompt(request: pytest.FixtureRequest, corpus: Corpus, parts: Path) -> Iterator[dp.DistributedPrompt]:
    with dp.open(corpus.pack if request.param == "one pack" else parts) as opened:
        yield opened


@pytest.fixture
def many(parts: Path) -> Iterator[dp.DistributedPrompt]:
    with dp.open(parts) as opened:
        yield opened


@pytest.fixture
def _small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tasks of little text."""
    monkeypatch.setattr(mapping, "_TASK_CHARACTERS", 2**14)
    monkeypatch.setattr(shards, "_SENT_RUN_BYTES", 2**16)
    monkeypatch.setattr(shards, "_RUN_BYTES", 2**16)
    monkeypatch.setattr(regex_regions, "_REGION_CHARACTERS", 2**16)


@pytest.fixture
def armed(cluster: Cluster) -> Iterator[Callable[[str, Instead], None]]:
    """Arms all workers, and disarms them at the end, when there are two again."""
    places: list[str] = []

    def arm(place: str, instead: Instead) -> None:
        places.append(place)
        cluster.client.run(_arm, place, instead)

    yield arm
    whole(cluster)
    for place in places:
        cluster.client.run(_disarm, place)


def whole(cluster: Cluster) -> None:
    """Wait for killed workers' successors."""
    cluster.client.wait_for_workers(WORKERS, timeout=LONG_SECONDS)


def until(condition: Callable[[], bool]) -> bool:
    """Whether it has come true soon."""
    end = time.monotonic() + LONG_SECONDS
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def idle(cluster: Cluster) -> bool:
    """Whether nothing is to be done any more; of tasks that are done, tracebacks may keep futures."""
    gc.collect()
    return {task.state for task in cluster.scheduler.tasks.values()} <= {"memory", "erred"} and quiet(cluster)


def quiet(cluster: Cluster) -> bool:
    """Whether no worker is at a task."""
    return not any(cluster.client.run(_running).values())


def raised_by(function: Callable[[Any], object], argument: object) -> tuple[type[BaseException], tuple[Any, ...]]:
    """What a function raises, without the traceback, which holds futures."""
    try:
        function(argument)
    except Exception as error:  # noqa: BLE001  # told
        return type(error), error.args
    pytest.fail("nothing was raised")


def _running(dask_worker: Any) -> int:
    return len(dask_worker.state.executing) + len(dask_worker.state.long_running)


def _ready(dask_worker: Any) -> int:
    return len(dask_worker.state.ready)


def pack_on(cluster: Cluster, corpus: Corpus, place: Place, **options: Any) -> dp.PackInfo:
    return dp.pack(
        corpus.folder,
        place.address,
        part_bytes=PART_BYTES,
        shard_size=SHARD_SIZE,
        executor=cluster.client,
        **options,
    )


def check_whole(corpus: Corpus, place: Place) -> None:
    """What a manifest names is there, all of it and nothing else, and is the text."""
    manifest = place.manifest()
    named = [entry.address for entry in manifest.packs]
    assert len(named) == len(set(named)) == PARTS
    listed = place.listed()
    assert sorted(listed.packs) == sorted(named)
    others = {name for name in listed.files if name not in named}
    sidecars = {f"{name}.blocks.json" for name in named} if place.s3_client else set()
    assert others - sidecars == {MANIFEST_NAME}
    with dp.open(corpus.pack) as one, dp.open(place.address) as many:
        assert str(many) == corpus.text
        assert [*many.documents.records()] == [*one.documents.records()]
        assert sum(entry.length for entry in manifest.packs) == len(one)
        assert sum(entry.documents for entry in manifest.packs) == DOCUMENTS
        names = list(one.documents)
    edges = [name for entry in manifest.packs for name in (entry.first_document, entry.last_document)]
    assert edges == names  # there are two in each


# Packing.


def test_parts_packed_by_workers_are_the_text_of_one_pack(cluster: Cluster, corpus: Corpus, place: Place) -> None:
    progress: list[tuple[int, int | None]] = []
    info = pack_on(cluster, corpus, place, progress=lambda *done: progress.append(done))
    assert (info.packs, info.documents, info.length, info.exact) == (PARTS, DOCUMENTS, len(corpus.text), True)
    assert info.path == f"{place.address}{MANIFEST_NAME}"
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)
    assert progress[-1][0] == info.source_bytes == sum(each.stat().st_size for each in corpus.folder.iterdir())
    check_whole(corpus, place)


def test_workers_make_the_files_that_this_process_makes(
    cluster: Cluster, corpus: Corpus, parts: Path, tmp_path: Path
) -> None:
    pack_on(cluster, corpus, Place(f"{tmp_path}/packs/"))
    made = {each.name: each.read_bytes() for each in (tmp_path / "packs").iterdir()}
    assert made == {each.name: each.read_bytes() for each in parts.iterdir()}


def test_a_second_run_packs_nothing_again(cluster: Cluster, corpus: Corpus, place: Place) -> None:
    first = pack_on(cluster, corpus, place)
    listed = place.listed()
    with pytest.raises(OutputExistsError):
        pack_on(cluster, corpus, place)
    assert place.listed() == listed
    assert pack_on(cluster, corpus, place, overwrite=True) == first
    assert place.listed().packs == listed.packs
    check_whole(corpus, place)


def test_a_run_that_failed_goes_on_where_it_was(
    cluster: Cluster,
    corpus: Corpus,
    place: Place,
    armed: Callable[[str, Instead], None],
    tmp_path: Path,
) -> None:
    marker = tmp_path / "tries"
    target = "distributed_prompt.backends.output:OutputFile.publish"
    if place.s3_client:
        target = "distributed_prompt.backends.sync:push"
    armed(target, RaisingFor(marker))
    with pytest.raises(BlockingIOError, match="no space on this worker"):
        pack_on(cluster, corpus, place)
    assert until(lambda: quiet(cluster))
    first = place.listed()
    assert MANIFEST_NAME not in first.files
    assert PARTS // 2 <= len(first.packs) < PARTS
    assert not [name for name in first.files if name.endswith(".partial")]
    with pytest.raises(PackNotFoundError if place.s3_client else DPromptError):
        dp.open(place.address)
    cluster.client.run(_disarm, target)
    pack_on(cluster, corpus, place)
    second = place.listed().packs
    assert {name: second[name] for name in first.packs} == first.packs
    check_whole(corpus, place)


@pytest.mark.thorough
@pytest.mark.parametrize("after", [False, True], ids=["before the pack is there", "when the pack is there"])
def test_a_worker_killed_while_it_packs_is_replaced(
    cluster: Cluster,
    corpus: Corpus,
    place: Place,
    armed: Callable[[str, Instead], None],
    tmp_path: Path,
    *,
    after: bool,
) -> None:
    target = "distributed_prompt.backends.output:OutputFile.publish"
    if place.s3_client:
        target = "distributed_prompt.backends.sync:push"
    armed(target, Instead(tmp_path / "killed", after=after, calls=2))
    assert pack_on(cluster, corpus, place).packs == PARTS
    assert (tmp_path / "killed").exists()
    check_whole(corpus, place)


# Searching.


@pytest.fixture(params=["threads", "processes", "client", "client's executor"], scope="module")
def executor(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Any]:
    if request.param == "client":
        yield cluster.client
    elif request.param == "client's executor":
        yield cluster.client.get_executor()
    elif request.param == "threads":
        with ThreadPoolExecutor(WORKERS) as threads:
            yield threads
    else:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
            yield processes


@pytest.mark.thorough
@pytest.mark.usefixtures("_small_tasks")
def test_all_executors_give_the_same_answers(prompt: dp.DistributedPrompt, executor: Any) -> None:
    for name, search in SEARCHES.items():
        assert search(prompt, executor=executor) == search(prompt), name


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["count", "finditer"])
@pytest.mark.usefixtures("_small_tasks")
def test_a_worker_killed_while_it_searches_is_replaced(
    cluster: Cluster,
    many: dp.DistributedPrompt,
    armed: Callable[[str, Instead], None],
    tmp_path: Path,
    name: str,
) -> None:
    armed("distributed_prompt.store.pack:Pack.piece", Instead(tmp_path / "killed", calls=5))
    assert SEARCHES[name](many, executor=cluster.client) == SEARCHES[name](many)
    assert (tmp_path / "killed").exists()


@pytest.mark.usefixtures("_small_tasks")
def test_a_worker_killed_by_the_function_of_map_is_replaced(
    cluster: Cluster, many: dp.DistributedPrompt, tmp_path: Path
) -> None:
    function = partial(_dying_once, tmp_path / "killed")
    found = list(many.map(function, over="documents", executor=cluster.client))
    whole(cluster)
    assert (tmp_path / "killed").exists()
    assert found == list(many.map(_digest, over="documents"))


@pytest.mark.usefixtures("_small_tasks")
def test_a_function_that_kills_every_worker_is_an_error(
    cluster: Cluster, distributed: Any, many: dp.DistributedPrompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    results = many.map(_deadly, over="documents", executor=cluster.client)
    assert raised_by(list, results)[0] is distributed.KilledWorker
    del results
    whole(cluster)
    assert until(lambda: idle(cluster))


@pytest.mark.usefixtures("_small_tasks")
def test_results_come_in_the_order_of_the_text(cluster: Cluster, many: dp.DistributedPrompt) -> None:
    found = list(many.map(_late_when_early, over="documents", executor=cluster.client))
    assert found == list(many.map(_digest, over="documents"))


@pytest.mark.usefixtures("_small_tasks")
def test_what_has_not_begun_when_an_iterator_is_dropped_never_begins(
    cluster: Cluster, many: dp.DistributedPrompt, tmp_path: Path
) -> None:
    results = many.map(partial(_waiting, tmp_path), over=20_000, executor=cluster.client)
    assert next(results) == 20_000
    assert len(cluster.scheduler.tasks) > WORKERS + 1
    del results
    states = cluster.scheduler.tasks.values()
    assert until(lambda: {task.state for task in states} <= {"memory", "erred"})
    assert until(lambda: not any(cluster.client.run(_ready).values()))
    (tmp_path / "go").touch()
    assert until(lambda: idle(cluster))
    assert _calls(tmp_path) <= 1 + WORKERS


@pytest.mark.thorough
@pytest.mark.usefixtures("_small_tasks")
@pytest.mark.parametrize("search", ["find_all", "finditer"])
def test_a_search_that_is_closed_leaves_no_tasks(cluster: Cluster, many: dp.DistributedPrompt, search: str) -> None:
    before = set(cluster.client.futures)
    options: dict[str, Any] = {"executor": cluster.client}
    found: Any = (
        many.find_all("needle", **options) if search == "find_all" else prompt_re.finditer("ne+dle", many, **options)
    )
    next(found)
    del found
    assert until(lambda: idle(cluster))
    assert until(lambda: set(cluster.client.futures) <= before)


@pytest.mark.usefixtures("_small_tasks")
def test_a_find_that_ends_early_leaves_no_tasks(cluster: Cluster, many: dp.DistributedPrompt) -> None:
    assert many.find("needle", executor=cluster.client) == many.find("needle")
    assert until(lambda: idle(cluster))


@pytest.mark.usefixtures("_small_tasks")
def test_what_the_function_of_map_raises_reaches_the_caller(
    cluster: Cluster, many: dp.DistributedPrompt, tmp_path: Path
) -> None:
    results = many.map(partial(_odd, tmp_path), over="documents", executor=cluster.client)
    found: list[int] = []
    assert raised_by(found.extend, results) == (OddError, (5, "odd document"))
    del results
    assert until(lambda: idle(cluster))


@pytest.mark.usefixtures("_small_tasks")
def test_an_error_of_reading_there_is_ours(cluster: Cluster, corpus: Corpus, tmp_path: Path) -> None:
    copy = tmp_path / "copy.dprompt"
    copy.write_bytes(corpus.pack.read_bytes())
    with dp.open(copy) as prompt:
        copy.unlink()
        with pytest.raises(PackNotFoundError, match=r"copy\.dprompt"):
            prompt.count("hay", executor=cluster.client)


def ended(function: Callable[[], object]) -> BaseException | object:
    """What a function returns or raises; it must come to an end soon."""
    outcome: list[BaseException | object] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:  # noqa: BLE001  # handed on
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LONG_SECONDS)
    assert outcome, "it hangs"
    return outcome[0]


def test_a_closed_client_is_an_error(
    cluster: Cluster, distributed: Any, corpus: Corpus, many: dp.DistributedPrompt
) -> None:
    client = distributed.Client(cluster.scheduler.address, set_as_default=False)
    client.close()
    assert isinstance(ended(lambda: many.count("hay", executor=client)), Exception)
    assert isinstance(ended(lambda: list(many.map(len, executor=client))), Exception)
    packing = ended(lambda: dp.pack(corpus.folder, f"{corpus.pack.parent}/never/", executor=client))
    assert isinstance(packing, Exception)
    assert not (corpus.pack.parent / "never").exists()


@pytest.mark.usefixtures("_small_tasks")
def test_a_cluster_that_ends_meanwhile_is_an_error(
    distributed: Any, cluster: Cluster, many: dp.DistributedPrompt, tmp_path: Path
) -> None:
    assert cluster
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as local:
        client = distributed.Client(local, set_as_default=False)
        results = many.map(partial(_waiting, tmp_path), over=20_000, executor=client)
        assert next(results) == 20_000
        (tmp_path / "go").touch()
    outcome = ended(lambda: list(results))
    assert isinstance(outcome, CancelledError | Exception)
    client.close()


class _Watch:
    """Notes the most tasks that the scheduler has at any time."""

    name = "watch"

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.most = 0

    def transition(self, *_: Any, **__: Any) -> None:
        """A task has come or gone."""
        self.most = max(self.most, len(self.scheduler.tasks))

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *_, **__: None


@pytest.mark.thorough
@pytest.mark.usefixtures("_small_tasks")
def test_results_do_not_pile_up(cluster: Cluster, many: dp.DistributedPrompt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "_TASK_CHARACTERS", 1)
    watch = _Watch(cluster.scheduler)
    cluster.scheduler.plugins[watch.name] = watch
    most = count = 0
    try:
        for result in many.map(_fat, over=CHUNK, executor=cluster.client):
            count += 1
            most = max(most, len(cluster.client.futures))
            assert len(result) >= 90_000
    finally:
        del cluster.scheduler.plugins[watch.name]
    assert count == -(-len(many) // CHUNK) > 2 * IN_FLIGHT
    assert 1 < watch.most <= IN_FLIGHT
    assert most <= IN_FLIGHT
    assert until(lambda: idle(cluster))


class _Sent(Executor):
    """Sends what is to be called to itself, and keeps that."""

    def __init__(self) -> None:
        self.data: list[bytes] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.data.append(pickle.dumps((fn, args, kwargs)))
        there, those, options = pickle.loads(self.data[-1])  # noqa: S301  # ours
        future: Future[Any] = Future()
        future.set_result(there(*those, **options))
        return future


@pytest.mark.usefixtures("_small_tasks")
def test_no_credentials_are_sent(
    cluster: Cluster, corpus: Corpus, bucket: str, s3_server: Server, s3_client: Any
) -> None:
    assert cluster  # the environment is its
    address = f"s3://{bucket}/packs/"
    sent = _Sent()
    dp.pack(corpus.folder, address, part_bytes=PART_BYTES, shard_size=SHARD_SIZE, executor=sent)
    assert len(sent.data) == PARTS
    first = parse_manifest(s3_client.get_object(Bucket=bucket, Key=f"packs/{MANIFEST_NAME}")["Body"].read(), "")
    backend = S3Backend(bucket, key=f"packs/{first.packs[0].address}", client=s3_client)
    with dp.open(address) as far, dp.open([backend]) as by_client:
        for search in (SEARCHES[name] for name in ("count", "finditer", "map documents")):
            search(far, executor=sent)
            search(by_client, executor=sent)
    together = b"".join(sent.data)
    assert address.encode() in together
    for secret in (s3_server.secret_key, "Signature", "Credential"):
        assert secret.encode() not in together


@pytest.mark.thorough
@pytest.mark.usefixtures("_small_tasks")
def test_packs_on_s3_are_read_by_workers(cluster: Cluster, corpus: Corpus, bucket: str) -> None:
    address = f"s3://{bucket}/packs/"
    dp.pack(corpus.folder, address, part_bytes=PART_BYTES, shard_size=SHARD_SIZE)
    with dp.open(corpus.pack) as here, dp.open(address) as far:
        for name, search in SEARCHES.items():
            if name != "map shards":  # which are others
                assert search(far, executor=cluster.client) == search(here), name


def test_most_of_what_is_sent_is_the_task(parts: Path) -> None:
    sent = _Sent()
    with dp.open(parts) as prompt:
        assert prompt.count("hay", executor=sent) == prompt.count("hay")
        assert max(map(len, sent.data)) < 2_000
