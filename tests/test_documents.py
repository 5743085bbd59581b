import pickle
import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt.backends.base import Backend
from distributed_prompt.errors import ClosedError
from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.store.documents import Document
from distributed_prompt.store.memory_store import MemoryStore
from distributed_prompt.store.pack import Pack
from distributed_prompt.store.pack_writer import PackWriter, encode_shard
from distributed_prompt.text.pieces import encode

SHARD_SIZES = (1, 2, 3, 7, 1_000)
Parts = list[tuple[str, str]]
"""What stands before each document and belongs to none, and its text."""

parts = st.lists(
    st.tuples(st.sampled_from(["", "", "h", "==\n"]), st.sampled_from(["", "", "a", "é\n", "日本", "x\ny\U0001f600z"])),
    max_size=9,
)


class Packed(Backend):
    """Documents in memory."""

    def __init__(self, parts: Parts, tail: str, shard_size: int) -> None:
        text, documents = modelled(parts)
        text += tail
        store = MemoryStore("documents")
        writer = PackWriter(store, shard_size, 3)
        waiting = list(documents)
        for shard, at in enumerate(range(0, len(text), shard_size)):
            part = text[at : at + shard_size]
            while waiting and waiting[0].stop < at + len(part):
                writer.documents.add(waiting.pop(0))
            writer.add(encode_shard(shard, len(part), encode(part), 3))
        for document in waiting:
            writer.documents.add(document)
        writer.finish()
        self._arguments = parts, tail, shard_size
        self.pack = Pack(store)

    def __reduce__(self) -> tuple[type["Packed"], tuple[Parts, str, int]]:
        return type(self), self._arguments


def modelled(parts: Parts) -> tuple[str, list[Document]]:
    text, documents = "", []
    for number, (before, content) in enumerate(parts):
        start = len(text) + len(before)
        text += before + content
        documents.append(
            Document(f"t/{number}", start, len(text), "utf-8", "strict", "keep", len(encode(content)), "", exact=True)
        )
    return text, documents


def prompt_of(parts: Parts, shard_size: int = 3, tail: str = "") -> DistributedPrompt:
    return DistributedPrompt(Packed(parts, tail, shard_size))


def clipped(documents: list[Document], start: int, stop: int, length: int) -> dict[str, tuple[int, int]]:
    """The documents of a view in its own offsets: those of which some character lies, or that begin, in it.

    A view up to the end of the text has the empty documents at its end, too.
    """
    if (start, stop) == (0, length):
        return {document.name: (document.start, document.stop) for document in documents}
    return {
        document.name: (max(document.start, start) - start, min(document.stop, stop) - start)
        for document in documents
        if (document.start < stop or stop == length) and start < stop
        if document.stop > start or document.start >= start
    }


@contextmanager
def small_batches() -> Iterator[None]:
    """Batches of 3 documents: a few documents then have many."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("documents", "document_table", "pack_writer", "metadata"):
            patch.setattr(f"distributed_prompt.store.{module}.BATCH_DOCUMENTS", 3, raising=False)
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of 700 documents, every tenth of them empty, with headers."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "c").mkdir()
    for number in range(700):
        (folder / "c" / f"{number:03d}.txt").write_text("" if number % 10 == 0 else f"text of {number}\n" * 5)
    dp.pack(folder / "c", folder / "c.dprompt", header="== {name}", shard_size=500)
    return folder / "c.dprompt"


def files_of(corpus: Path) -> dict[str, str]:
    return {f"c/{path.name}": path.read_text() for path in sorted(corpus.with_name("c").iterdir())}


# As a mapping


@given(parts, st.sampled_from(SHARD_SIZES), st.sampled_from(["", "tail"]))
@example([("", ""), ("", "")], 1, "")
def test_documents_are_a_mapping_from_names_to_texts_in_their_order(parts: Parts, shard_size: int, tail: str) -> None:
    model = {f"t/{number}": content for number, (_, content) in enumerate(parts)}
    with prompt_of(parts, shard_size, tail) as prompt:
        documents = prompt.documents
        assert isinstance(documents, Mapping)
        assert len(documents) == len(model)
        assert bool(documents) == bool(model)
        assert list(documents) == list(documents.keys()) == list(model)
        assert list(documents.values()) == list(model.values())
        assert list(documents.items()) == list(model.items())
        assert dict(documents) == model
        assert documents == model
        assert documents != {**model, "another": ""}
        for name, content in model.items():
            assert documents[name] == documents.get(name) == content
            assert name in documents
        assert documents.get("t/99") is None
        assert documents.get("t/99", 3) == 3
        assert "t/99" not in documents
        with pytest.raises(KeyError, match=r"^'t/99'$"):
            documents["t/99"]


@given(parts, st.sampled_from(SHARD_SIZES))
def test_records_say_where_each_document_is(parts: Parts, shard_size: int) -> None:
    text, expected = modelled(parts)
    with prompt_of(parts, shard_size) as prompt:
        assert list(prompt.documents.records()) == expected
        for document in expected:
            assert prompt.documents.record(document.name) == document
            assert prompt[document.start : document.stop] == text[document.start : document.stop]
        assert prompt.documents.record("t/99") is None


@given(parts, st.sampled_from(SHARD_SIZES), st.data())
@example([("", ""), ("h", "ab"), ("", ""), ("", "c"), ("", "")], 2, None)
def test_in_a_view_are_the_documents_that_lie_in_it_clipped(
    parts: Parts, shard_size: int, data: st.DataObject | None
) -> None:
    text, documents = modelled(parts)
    cuts = [(start, stop) for start in range(len(text) + 1) for stop in range(start, len(text) + 1)]
    chosen = data.draw(st.lists(st.sampled_from(cuts), min_size=1, max_size=8)) if data else cuts
    with small_batches(), prompt_of(parts, shard_size) as prompt:
        for start, stop in chosen:
            view = prompt.view(start, stop)
            expected = clipped(documents, start, stop, len(text))
            found = {record.name: (record.start, record.stop) for record in view.documents.records()}
            assert found == expected
            assert list(found) == list(expected)
            texts = {name: text[start + first : start + last] for name, (first, last) in expected.items()}
            assert dict(view.documents.items()) == texts
            assert len(view.documents) == len(expected)
            for document in documents:
                assert (document.name in view.documents) == (document.name in expected)
                assert view.documents.get(document.name) == texts.get(document.name)
                record = view.documents.record(document.name)
                assert (record and (record.start, record.stop)) == expected.get(document.name)
            for offset in range(stop - start + 1):
                at = view.document_at(offset)
                here = [name for name, (first, last) in expected.items() if first <= offset < last]
                assert ([at.name] if at else []) == here
                assert at is None or (at.start, at.stop) == expected[at.name]


def test_no_document_is_before_a_view() -> None:
    with prompt_of([("", "abc"), ("", "def")]) as prompt:
        found = [prompt.view(4).documents.at(offset) for offset in (-4, -1, 0, 1, 2)]
        assert [bool(document) for document in found] == [False, False, True, True, False]


def test_a_view_up_to_the_end_has_the_empty_documents_there() -> None:
    with small_batches(), prompt_of([("", ""), ("", "abc"), *[("", "")] * 7]) as prompt:
        empty = [f"t/{number}" for number in range(2, 9)]
        for view in (prompt.view(1, 3), prompt.view(0, 3).view(2, 3)):
            assert list(view.documents) == ["t/1", *empty]
            assert [view.documents[name] for name in empty] == [""] * 7
            assert "t/8" in view.documents
            assert "t/0" not in view.documents
            assert {(record.start, record.stop) for record in view.documents.records()[1:]} == {(len(view),) * 2}
        for view in (prompt.view(0, 2), prompt.view(1, 2), prompt.view(1, 3).view(0, 1)):
            assert "t/8" not in view.documents
        assert list(prompt.view(3, 3).documents) == []


def test_a_view_of_a_view_counts_from_its_own_beginning() -> None:
    with prompt_of([("", "0123456789"), ("", "abcdefghij")]) as prompt:
        view = prompt.view(5, 18).view(2, 9)
        assert str(view) == "789abcd"
        assert dict(view.documents) == {"t/0": "789", "t/1": "abcd"}
        assert [(record.start, record.stop) for record in view.documents.records()] == [(0, 3), (3, 7)]


@given(parts, st.sampled_from(SHARD_SIZES))
def test_each_character_belongs_to_its_document_or_to_none(parts: Parts, shard_size: int) -> None:
    text, documents = modelled(parts)
    with small_batches(), prompt_of(parts, shard_size, "tail") as prompt:
        for offset in range(-len(text) - 4, len(text) + 5):
            here = offset % (len(text) + 4) if offset < 0 else offset
            expected = [document for document in documents if document.start <= here < document.stop]
            assert prompt.document_at(offset) == (expected[0] if expected else None)


@pytest.mark.parametrize("offset", [11, -11, 2**70, -(2**70)])
def test_there_is_no_document_where_there_is_no_character(offset: int) -> None:
    with prompt_of([("", "0123456789")]) as prompt:
        assert prompt.document_at(10) is None
        with pytest.raises(IndexError):
            prompt.document_at(offset)


@pytest.mark.parametrize("offset", [1.0, "1", None])
def test_an_offset_is_an_integer(offset: object) -> None:
    with prompt_of([("", "0123456789")]) as prompt, pytest.raises(TypeError):
        prompt.document_at(offset)  # type: ignore[arg-type]  # the point


@pytest.mark.parametrize("key", [0, None, b"t/0", ("t/0",), 1.5, [], {}])
def test_only_strings_are_names(key: object) -> None:
    with prompt_of([("", "a")]) as prompt:
        assert key not in prompt.documents
        with pytest.raises(KeyError):
            prompt.documents[key]  # type: ignore[index]  # the point
        assert prompt.documents.get(key) is None  # type: ignore[call-overload]  # as above


def test_values_and_items_are_lazy_sequences() -> None:
    contents = [f"text {number}" for number in range(600)]
    with prompt_of([("h", content) for content in contents], 100) as prompt:
        values, items = prompt.documents.values(), prompt.documents.items()
        assert prompt.stats.decoded_shards == 0
        assert len(values) == len(items) == 600
        assert (values[0], values[-1], values[300]) == ("text 0", "text 599", "text 300")
        assert items[-2] == ("t/598", "text 598")
        assert list(values[10:590:97]) == contents[10:590:97]
        assert values == contents
        assert list(reversed(values[:3])) == contents[2::-1]
        assert "text 599" in values
        for sequence in (values, items):
            with pytest.raises(IndexError):
                sequence[600]
        assert len(repr(values)) < 1_000


def test_names_and_records_cost_no_shard() -> None:
    with prompt_of([("h", "abc")] * 600, 5) as prompt:
        assert list(prompt.documents) == [f"t/{number}" for number in range(600)]
        assert len(list(prompt.documents.records())) == 600
        assert "t/599" in prompt.documents
        assert prompt.document_at(1_001) is not None
        assert prompt.view(3, 1_000).documents.record("t/7") is not None
        assert prompt.stats.decoded_shards == 0
        assert prompt.documents["t/300"] == "abc"
        assert prompt.stats.decoded_shards in {1, 2}


def test_a_long_document_is_a_view() -> None:
    with prompt_of([("", "short"), ("==", "0123456789" * 10)], 7) as prompt:
        prompt.view_threshold = 10
        short, long = prompt.documents.values()
        assert (short, type(short)) == ("short", str)
        assert isinstance(long, DistributedPrompt)
        assert long == "0123456789" * 10
        assert dict(long.documents) == {"t/1": "0123456789" * 10}
        assert long.document_at(3) == replace(prompt.documents.records()[1], start=0, stop=100)
        assert prompt.documents == {"t/0": "short", "t/1": "0123456789" * 10}


# Real packs


def test_a_pack_of_files_is_a_mapping_of_their_texts(corpus: Path) -> None:
    files = files_of(corpus)
    with dp.open(corpus) as prompt:
        assert dict(prompt.documents) == files
        text = str(prompt)
        assert text == "".join(f"== {name}\n{content}" for name, content in files.items())
        generator = random.Random(5)  # noqa: S311  # any offsets do
        for offset in [generator.randrange(len(text)) for _ in range(300)]:
            document = prompt.document_at(offset)
            line = text[text.rindex("\n", 0, offset) + 1 if "\n" in text[:offset] else 0 :].partition("\n")[0]
            assert (document is None) == line.startswith("== ")
            assert document is None or text[document.start : document.stop] == files[document.name]


def test_from_text_has_no_documents() -> None:
    for text in ("", "text"):
        with DistributedPrompt.from_text(text, shard_size=2) as prompt:
            assert len(prompt.documents) == 0
            assert not prompt.documents
            assert list(prompt.documents) == list(prompt.documents.values()) == list(prompt.documents.items()) == []
            assert prompt.documents == {}
            assert repr(prompt.documents) == "Documents(0)"
            assert prompt.document_at(len(text)) is None
            assert prompt.document_at(0) is None
            assert "string" not in prompt.documents
            assert len(prompt.view(1, 2).documents) == 0


def test_a_single_file_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    dp.pack(tmp_path / "a.txt", tmp_path / "a.dprompt")
    with dp.open(tmp_path / "a.dprompt") as prompt:
        assert dict(prompt.documents) == {"a.txt": "text"}
        assert dict(prompt.view(1, 3).documents) == {"a.txt": "ex"}


# Showing, pickling, closing, threads


@pytest.mark.parametrize("count", [0, 1, 4, 5, 2_000])
def test_the_repr_is_short_and_says_how_many_there_are(count: int) -> None:
    with prompt_of([("", "x" * 100)] * count, 1_000) as prompt:
        shown = repr(prompt.documents)
        assert shown.startswith(f"Documents({count:,}")
        assert ("…" in shown) == (count > 4)
        assert "x" not in shown
        assert prompt.stats.decoded_shards == 0


def test_the_repr_of_long_names_is_short_and_does_nothing_to_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    for number in range(9):
        (tmp_path / "t" / ("\x1b[31m\n" * 25 + str(number))).write_text("text")
    dp.pack(tmp_path / "t", tmp_path / "t.dprompt")
    with dp.open(tmp_path / "t.dprompt") as prompt:
        assert len(repr(prompt.documents)) < 500
        assert repr(prompt.documents).isprintable()


def test_documents_are_pickled_with_what_opens_their_pack(corpus: Path) -> None:
    files = files_of(corpus)
    with dp.open(corpus) as prompt:
        for copy in (pickle.loads(pickle.dumps(prompt)).documents, pickle.loads(pickle.dumps(prompt.documents))):  # noqa: S301
            assert dict(copy) == files
        part = prompt.view(500, 2_000).documents
        names = list(part)
        data = pickle.dumps(part)
        assert len(data) < 2_000
        assert list(pickle.loads(data)) == names  # noqa: S301  # ours
        assert pickle.loads(pickle.dumps(prompt.documents.values()))[1] == files["c/001.txt"]  # noqa: S301  # ours


def test_a_closed_prompt_has_no_documents_to_look_at(corpus: Path) -> None:
    prompt = dp.open(corpus)
    view = prompt.view(3, 1_000)
    before = prompt.documents
    assert len(before) == 700
    prompt.close()
    for documents in (prompt.documents, view.documents, before):
        for use in (
            lambda documents=documents: list(documents),
            lambda documents=documents: documents["c/001.txt"],
            lambda documents=documents: "c/001.txt" in documents,
            lambda documents=documents: documents.record("c/001.txt"),
            lambda documents=documents: documents.at(3),
            lambda documents=documents: list(documents.values()),
        ):
            with pytest.raises(ClosedError):
                use()
    with pytest.raises(ClosedError):
        prompt.document_at(0)
    with pytest.raises(ClosedError):
        len(prompt.documents)


def test_many_threads_use_the_same_documents(corpus: Path) -> None:
    files = files_of(corpus)
    names = list(files)
    generator = random.Random(7)  # noqa: S311  # any names do
    with dp.open(corpus) as prompt:
        documents = prompt.documents

        def look(name: str) -> bool:
            record = documents.record(name)
            assert record is not None
            at = prompt.document_at(record.start)
            return (
                documents[name] == files[name]
                and (at == record or not files[name])
                and len(documents) == len(files)
                and documents.items()[names.index(name)] == (name, files[name])
            )

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(look, generator.choices(names, k=1_500)))
