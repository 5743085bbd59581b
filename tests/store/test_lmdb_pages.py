"""LMDB's pages, read by our own reader: LMDB itself says what is right, and what lies is refused."""

import itertools
import random
import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import lmdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distributed_prompt.errors import CorruptPackError, UnsupportedPackError
from distributed_prompt.store.lmdb_pages import Meta, Tree, TreeReader, is_lmdb, read_meta
from tests.strategies import examples

PAGE = 4_096
BRANCH, LEAF, OVERFLOW, META = 1, 2, 4, 8
BIG, TREE = 1, 2
MAGIC = b"\xde\xc0\xef\xbe"
NAME = b"table"
# A row fits into a leaf up to half of what a page holds; what is larger has pages of its own.
SIZES = (0, 1, 2, 1_999, 2_000, *range(2_020, 2_050), 2_100, 4_063, 4_064, 4_080, 4_081, 4_096, 4_097, 8_176, 8_177)
Rows = Mapping[bytes, bytes]


def environment(path: Path, *, trees: int = 3, version: int = 0) -> lmdb.Environment:
    """A file as LMDB itself sees it."""
    return lmdb.open(
        str(path), subdir=False, lock=False, sync=False, max_dbs=trees, map_size=2**28, lib_version=version
    )


def size_of(opened_file: lmdb.Environment) -> int:
    return int(opened_file.info()["last_pgno"] + 1) * PAGE


def build(rows: Rows, *, commits: int = 1) -> bytes:
    """A file that LMDB made of rows, in one named tree."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        with environment(path) as written:
            database = written.open_db(NAME)
            items = list(rows.items())
            step = -(-len(items) // commits) or 1
            for at in range(0, len(items), step):
                with written.begin(write=True) as transaction:
                    for key, value in items[at : at + step]:
                        transaction.put(key, value, db=database)
            size = size_of(written)
        return path.read_bytes()[:size]


class File:
    """Bytes that are read by position, each read noted."""

    def __init__(self, data: bytes, size: int | None = None) -> None:
        self.data = data
        self.size = len(data) if size is None else size
        self.asked: list[tuple[int, int]] = []

    def read(self, offset: int, size: int) -> bytes:
        assert offset >= 0
        assert size >= 0
        self.asked.append((offset, size))
        return self.data[offset : offset + size]

    def pages(self) -> tuple[TreeReader, dict[bytes, Tree]]:
        pages = TreeReader(self.read, read_meta(self.read, self.size))
        return pages, dict(pages.trees())


def opened(data: bytes) -> tuple[TreeReader, Tree]:
    pages, trees = File(data).pages()
    return pages, trees[NAME]


def number_key(number: int) -> bytes:
    return number.to_bytes(8, "big")


@cache
def deep(depth: int) -> tuple[bytes, Rows]:
    """A tree of so many levels, of small rows."""
    count, size, repeats = {1: (20, 40, 1), 2: (1_000, 40, 1), 3: (900, 1_500, 12), 5: (900, 1_500, 50)}[depth]
    rows = {number_key(2 * n) * repeats: random.Random(n).randbytes(size) for n in range(count)}  # noqa: S311
    return build(rows), rows


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_trees_of_every_depth_are_read_as_lmdb_wrote_them(depth: int) -> None:
    data, rows = deep(depth)
    pages, tree = opened(data)
    assert tree.depth == depth
    assert dict(pages.rows(tree, b"", None)) == rows
    assert list(pages.keys(tree)) == list(rows)
    assert {key: pages.get(tree, key) for key in rows} == rows


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_keys_that_are_not_there_are_none(depth: int) -> None:
    data, rows = deep(depth)
    pages, tree = opened(data)
    for key in rows:
        for missing in (key[:-1], key + b"\x00", key[:-1] + bytes([key[-1] | 1])):
            assert pages.get(tree, missing) is None
    assert pages.get(tree, b"") is None
    assert pages.get(tree, b"\xff" * 511) is None


@pytest.mark.thorough
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_ranges_are_slices_of_the_sorted_rows(depth: int) -> None:
    data, rows = deep(depth)
    pages, tree = opened(data)
    keys = sorted(rows)
    chance = random.Random(depth)  # noqa: S311  # the same every time
    edges = [b"", b"\xff", *chance.sample(keys, 12), *(key + b"\x00" for key in chance.sample(keys, 6))]
    for start, stop in itertools.product(edges, [*edges, None]):
        found = [key for key, _ in pages.rows(tree, start, stop)]
        assert found == [key for key in keys if start <= key and (stop is None or key < stop)]


any_key = st.one_of(
    st.binary(min_size=1, max_size=12),
    st.integers(0, 400).map(number_key),
    st.sampled_from([b"k" * 511, b"k" * 510, b"\x00", b"\xff" * 8]),
    st.binary(min_size=200, max_size=300),
)
any_value = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(SIZES).map(lambda size: random.Random(size).randbytes(size)),  # noqa: S311  # any bytes
)


@given(
    rows=st.dictionaries(any_key, any_value, max_size=60),
    commits=st.integers(1, 3),
    start=any_key | st.just(b""),
    stop=any_key | st.none(),
)
@example(rows={}, commits=1, start=b"", stop=None)
@examples(60)
def test_any_rows_are_read_as_lmdb_wrote_them(rows: Rows, commits: int, start: bytes, stop: bytes | None) -> None:
    pages, tree = opened(build(rows, commits=commits))
    expected = sorted(rows.items())
    assert list(pages.rows(tree, b"", None)) == expected
    assert list(pages.keys(tree)) == [key for key, _ in expected]
    found = list(pages.rows(tree, start, stop))
    assert found == [(key, value) for key, value in expected if start <= key and (stop is None or key < stop)]
    assert pages.get(tree, start) == rows.get(start)
    for key in (*rows, b"missing"):
        assert pages.get(tree, key) == rows.get(key)


@pytest.mark.parametrize("size", [*SIZES, 65_535, 65_536, 65_537, 2**20, 3 * 2**20 + 1])
def test_a_value_of_any_size_is_read_as_lmdb_wrote_it(size: int) -> None:
    rows = {number_key(0): b"before", number_key(1): random.Random(size).randbytes(size), number_key(2): b"behind"}  # noqa: S311
    pages, tree = opened(build(rows))
    assert pages.get(tree, number_key(1)) == rows[number_key(1)]
    assert dict(pages.rows(tree, b"", None)) == rows


def test_rows_that_lmdb_changed_and_deleted_are_read_as_it_left_them(tmp_path: Path) -> None:
    chance = random.Random(3)  # noqa: S311  # the same every time
    path, model = tmp_path / "file", dict[bytes, bytes]()
    for _ in range(12):
        with environment(path) as changed:
            database = changed.open_db(NAME)
            with changed.begin(write=True) as transaction:
                for _ in range(150):
                    key = number_key(chance.randrange(300))
                    if chance.random() < 0.45:
                        transaction.delete(key, db=database)
                        model.pop(key, None)
                    else:
                        model[key] = chance.randbytes(chance.choice([3, 300, 3_000, 9_000]))
                        transaction.put(key, model[key], db=database)
            size = size_of(changed)
        with path.open("r+b") as file:
            file.truncate(size)
        pages, tree = opened(path.read_bytes())
        assert list(pages.rows(tree, b"", None)) == sorted(model.items())


def test_many_trees_are_found_by_their_names(tmp_path: Path) -> None:
    names = [f"tree {number:03}".encode() for number in range(120)]
    with environment(tmp_path / "file", trees=200) as written:
        for name in names:
            written.open_db(name)
        with written.begin(write=True) as transaction:
            transaction.put(b"key", b"value", db=written.open_db(names[60], txn=transaction))
        size = size_of(written)
    pages, trees = File((tmp_path / "file").read_bytes()[:size]).pages()
    assert list(trees) == names
    assert [name for name, tree in trees.items() if pages.get(tree, b"key") == b"value"] == [names[60]]


def test_a_row_costs_a_page_a_level_and_a_second_one_comes_from_memory() -> None:
    data, rows = deep(2)
    file = File(data)
    pages, trees = file.pages()
    file.asked.clear()
    keys = list(rows)
    assert pages.get(trees[NAME], keys[500]) == rows[keys[500]]
    assert [size for _, size in file.asked] == [PAGE, PAGE]
    assert pages.get(trees[NAME], keys[500]) == rows[keys[500]]
    assert pages.get(trees[NAME], keys[501]) == rows[keys[501]]
    assert len(file.asked) == 2
    assert pages.get(trees[NAME], keys[0]) == rows[keys[0]]
    assert [size for _, size in file.asked] == [PAGE] * 3


def test_a_large_value_costs_one_read_of_its_size() -> None:
    value = random.Random(1).randbytes(300_000)  # noqa: S311  # any bytes
    file = File(build({b"key": value}))
    pages, trees = file.pages()
    assert pages.get(trees[NAME], b"key") == value
    file.asked.clear()
    assert pages.get(trees[NAME], b"key") == value
    assert sum(size for _, size in file.asked) <= len(value) + 16 + PAGE
    assert len(file.asked) <= 2


def test_a_range_reads_each_page_once_and_those_beside_it_not() -> None:
    data, rows = deep(2)
    file = File(data)
    pages, trees = file.pages()
    file.asked.clear()
    keys = list(rows)
    assert len(list(pages.rows(trees[NAME], keys[300], keys[500]))) == 200
    assert len(file.asked) == len(set(file.asked))
    assert 1 + 200 * 56 // PAGE <= len(file.asked) <= 3 + 200 * 70 // PAGE * 2


def test_memory_holds_few_pages() -> None:
    file = File(deep(3)[0])
    pages, trees = file.pages()
    list(pages.rows(trees[NAME], b"", None))
    file.asked.clear()
    list(pages.rows(trees[NAME], b"", None))
    assert len(file.asked) > 100


def test_keys_read_no_values_of_their_own_pages() -> None:
    rows = {number_key(number): bytes(9_000) for number in range(30)}
    file = File(build(rows))
    pages, trees = file.pages()
    file.asked.clear()
    assert list(pages.keys(trees[NAME])) == list(rows)
    assert {size for _, size in file.asked} == {PAGE}


def pack_page(number: int, kind: int, nodes: list[bytes], /, **lies: int) -> bytes:
    """A page as LMDB lays it out: pointers from the front, nodes from the back."""
    upper, pointers, body = PAGE, b"", b""
    for node in nodes:
        body = node + bytes(len(node) % 2) + body
        upper = PAGE - len(body)
        pointers += struct.pack("<H", upper)
    fields = {"number": number, "flags": kind, "lower": 16 + len(pointers), "upper": upper} | lies
    head = struct.pack("<QHHHH", fields["number"], 0, fields["flags"], fields["lower"], fields["upper"])
    return head + pointers + bytes(upper - 16 - len(pointers)) + body


def row(key: bytes, value: bytes, *, flags: int = 0, size: int | None = None) -> bytes:
    size = len(value) if size is None else size
    return struct.pack("<HHHH", size & 0xFFFF, size >> 16, flags, len(key)) + key + value


def child(number: int, key: bytes = b"") -> bytes:
    return struct.pack("<HHHH", number & 0xFFFF, number >> 16 & 0xFFFF, number >> 32, len(key)) + key


def large(key: bytes, number: int, size: int) -> bytes:
    return row(key, struct.pack("<Q", number), flags=BIG, size=size)


def overflow(number: int, value: bytes, *, flags: int = OVERFLOW, pages: int | None = None) -> bytes:
    count = -(-(16 + len(value)) // PAGE)
    head = struct.pack("<QHHI", number, 0, flags, count if pages is None else pages)
    return (head + value).ljust(count * PAGE, b"\x00")


def forged(*pages: bytes) -> TreeReader:
    """Pages from number 2 on, under a layout that says so."""
    data = bytes(2 * PAGE) + b"".join(pages)
    return TreeReader(File(data).read, Meta(PAGE, len(data) // PAGE - 1, Tree(2, 1)))


def everything(pages: TreeReader, tree: Tree) -> Iterator[Callable[[], object]]:
    yield lambda: list(pages.rows(tree, b"", None))
    yield lambda: list(pages.keys(tree))
    yield lambda: pages.get(tree, b"b")


GOOD = [row(b"a", b"1"), row(b"b", b"2")]


def test_a_page_made_here_is_one_that_is_read() -> None:
    pages = forged(
        pack_page(2, BRANCH, [child(3), child(4, b"b")]),
        pack_page(3, LEAF, [row(b"a", b"1")]),
        pack_page(4, LEAF, [large(b"b", 5, 5_000)]),
        overflow(5, b"v" * 5_000),
    )
    assert list(pages.rows(Tree(2, 2), b"", None)) == [(b"a", b"1"), (b"b", b"v" * 5_000)]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(pack_page(2, LEAF, GOOD, number=3), id="another-number"),
        pytest.param(pack_page(2, LEAF, GOOD, number=2 | 1 << 63), id="a-huge-number"),
        pytest.param(pack_page(2, BRANCH, GOOD), id="branch-for-leaf"),
        pytest.param(pack_page(2, OVERFLOW, GOOD), id="overflow-for-leaf"),
        pytest.param(pack_page(2, META, GOOD), id="meta-for-leaf"),
        pytest.param(pack_page(2, LEAF | BRANCH, GOOD), id="both"),
        pytest.param(pack_page(2, LEAF | 0x10, GOOD), id="dirty"),
        pytest.param(pack_page(2, LEAF | 0x20, GOOD), id="leaf2"),
        pytest.param(pack_page(2, LEAF | 0x40, GOOD), id="sub-page"),
        pytest.param(pack_page(2, 0, GOOD), id="no-kind"),
        pytest.param(pack_page(2, LEAF, []), id="no-rows"),
        pytest.param(pack_page(2, LEAF, GOOD, lower=0), id="lower-0"),
        pytest.param(pack_page(2, LEAF, GOOD, lower=15), id="lower-in-the-header"),
        pytest.param(pack_page(2, LEAF, GOOD, lower=19), id="lower-odd"),
        pytest.param(pack_page(2, LEAF, GOOD, lower=65_534), id="lower-behind"),
        pytest.param(pack_page(2, LEAF, GOOD, lower=PAGE, upper=PAGE), id="all-pointers"),
        pytest.param(pack_page(2, LEAF, GOOD, lower=22), id="a-pointer-too-many"),
        pytest.param(pack_page(2, LEAF, GOOD, upper=0), id="upper-0"),
        pytest.param(pack_page(2, LEAF, GOOD, upper=18), id="upper-below-lower"),
        pytest.param(pack_page(2, LEAF, GOOD, upper=PAGE), id="upper-behind-rows"),
        pytest.param(pack_page(2, LEAF, GOOD, upper=65_535), id="upper-behind"),
        pytest.param(bytes(PAGE), id="zeros"),
        pytest.param(b"\xff" * PAGE, id="ones"),
        pytest.param(pack_page(2, LEAF, GOOD)[:-1], id="cut-short"),
    ],
)
def test_a_page_that_is_no_leaf_is_refused(page: bytes) -> None:
    for use in everything(
        forged(page, bytes(PAGE))
        if len(page) == PAGE
        else TreeReader(File(bytes(2 * PAGE) + page).read, Meta(PAGE, 2, Tree(2, 1))),
        Tree(2, 1),
    ):
        with pytest.raises(CorruptPackError, match="page 2"):
            use()


@pytest.mark.parametrize("place", [0, 15, 16, 4_000, 4_089, 4_095, 4_096, 65_535])
def test_a_row_that_lies_outside_its_page_is_refused(place: int) -> None:
    page = bytearray(pack_page(2, LEAF, GOOD))
    struct.pack_into("<H", page, 18, place)
    for use in everything(forged(bytes(page)), Tree(2, 1)):
        with pytest.raises(CorruptPackError, match="page 2"):
            use()


@pytest.mark.parametrize(
    "node",
    [
        pytest.param(row(b"b", b"2", size=3), id="value-behind-the-page"),
        pytest.param(row(b"b", b"2", size=2**32 - 1), id="huge-value"),
        pytest.param(struct.pack("<HHHH", 1, 0, 0, 65_535) + b"b2", id="huge-key"),
        pytest.param(row(b"b", b"2", flags=TREE), id="a-tree"),
        pytest.param(row(b"b", b"2", flags=4), id="duplicates"),
        pytest.param(row(b"b", bytes(8), flags=BIG | TREE), id="large-and-a-tree"),
        pytest.param(row(b"b", b"2", flags=0x8000), id="unknown-flag"),
        pytest.param(row(b"b", b"\x03\x00\x00\x00", flags=BIG, size=1), id="page-number-cut-short"),
    ],
)
def test_a_row_that_lies_about_itself_is_refused(node: bytes) -> None:
    pages = forged(pack_page(2, LEAF, [node]), overflow(3, b"v"))
    with pytest.raises(CorruptPackError, match="page 2"):
        list(pages.rows(Tree(2, 1), b"", None))
    for key in (b"b", b"b2"):
        try:
            assert pages.get(Tree(2, 1), key) is None
        except CorruptPackError as error:
            assert "page 2" in str(error)  # noqa: PT017  # either is right


@pytest.mark.parametrize("number", [0, 1, 6, 7, 2**32, 2**47, 2**48 - 1])
def test_a_child_that_is_no_page_of_the_file_is_refused(number: int) -> None:
    pages = forged(
        pack_page(2, BRANCH, [child(3), child(number, b"b"), child(4, b"c")]),
        pack_page(3, LEAF, [row(b"a", b"1")]),
        pack_page(4, LEAF, [row(b"c", b"3")]),
        bytes(2 * PAGE),
    )
    for use in everything(pages, Tree(2, 2)):
        with pytest.raises(CorruptPackError, match=f"page {number}:"):
            use()
    assert pages.get(Tree(2, 2), b"a") == b"1"


@pytest.mark.parametrize("root", [0, 1, 3, 2**32, 2**63, 2**64 - 1])
@pytest.mark.parametrize("depth", [1, 2, 32])
def test_a_root_that_is_no_page_of_the_file_is_refused(root: int, depth: int) -> None:
    for use in everything(forged(pack_page(2, LEAF, GOOD)), Tree(root, depth)):
        with pytest.raises(CorruptPackError, match=f"page {root}:"):
            use()


@pytest.mark.timeout(10)
@pytest.mark.parametrize("depth", [2, 3, 32])
@pytest.mark.parametrize("circle", [1, 2, 3])
def test_pages_in_a_circle_are_refused(depth: int, circle: int) -> None:
    numbers = range(2, 2 + circle)
    chain = [child(2 + (number - 1) % circle) + child(0)[:0] for number in numbers]
    pages = forged(
        *(
            pack_page(number, BRANCH, [node, *(child(number, number_key(key)) for key in range(150))])
            for number, node in zip(numbers, chain, strict=True)
        )
    )
    for use in everything(pages, Tree(2, depth)):
        with pytest.raises(CorruptPackError, match="page"):
            use()


@pytest.mark.timeout(2)
@pytest.mark.parametrize("use", [0, 1])
def test_pages_that_lead_twice_to_the_next_are_refused_in_time(use: int) -> None:
    """No circle, and a billion ways to the leaf."""
    levels = 30
    branches = [
        pack_page(number, BRANCH, [child(number + 1), child(number + 1, b"b")]) for number in range(2, 2 + levels)
    ]
    pages = forged(*branches, pack_page(2 + levels, LEAF, [row(b"a", b"1")]))
    with pytest.raises(CorruptPackError, match="page"):
        list(everything(pages, Tree(2, levels + 1)))[use]()


def test_rows_never_come_out_of_order_nor_twice() -> None:
    """A binary search among such rows finds some and not others."""
    for rows in ([b"b", b"a"], [b"a", b"a"], [b"a", b"c", b"b"]):
        pages = forged(pack_page(2, LEAF, [row(key, b"") for key in rows]))
        with pytest.raises(CorruptPackError, match="page 2"):
            list(pages.rows(Tree(2, 1), b"", None))
        with pytest.raises(CorruptPackError, match="page 2"):
            list(pages.keys(Tree(2, 1)))


@pytest.mark.parametrize("key", [b"a", b"b", b"c", b"d"])
@pytest.mark.parametrize("separator", [b"\x00", b"b", b"bb", b"c", b"cc", b"d", b"e"])
def test_a_row_and_a_range_of_one_row_agree_whatever_a_branch_says(separator: bytes, key: bytes) -> None:
    """Else verify, which reads rows, says that all is well, and a search, which reads ranges, that one is missing."""
    pages = forged(
        pack_page(2, BRANCH, [child(3), child(4, separator)]),
        pack_page(3, LEAF, [row(b"a", b"1"), row(b"b", b"2")]),
        pack_page(4, LEAF, [row(b"c", b"3"), row(b"d", b"4")]),
    )

    def answer(call: Callable[[], object]) -> object:
        try:
            return call()
        except CorruptPackError:
            return CorruptPackError

    one = answer(lambda: pages.get(Tree(2, 2), key))
    many = answer(lambda: dict(pages.rows(Tree(2, 2), key, key + b"\x00")).get(key))
    assert one == many


@pytest.mark.parametrize(
    ("number", "size"),
    [(0, 10), (1, 10), (2, 10), (4, 10), (5, 10), (6, 10), (2**64 - 1, 10), (2**63, 10), (3, 8_177), (3, 2**32 - 1)],
)
def test_a_large_value_that_cannot_be_where_it_is_said_to_be_is_refused(number: int, size: int) -> None:
    pages = forged(pack_page(2, LEAF, [large(b"b", number, size)]), overflow(3, b"v" * 5_000), bytes(PAGE))
    for use in (lambda: list(pages.rows(Tree(2, 1), b"", None)), lambda: pages.get(Tree(2, 1), b"b")):
        with pytest.raises(CorruptPackError, match=f"page {number}:|more bytes than a pack has"):
            use()


def test_rows_that_share_a_value_are_refused_before_they_are_more_than_the_file() -> None:
    value = random.Random(1).randbytes(60_000)  # noqa: S311  # any bytes
    nodes = [large(number_key(number), 3, len(value)) for number in range(100)]
    pages = forged(pack_page(2, LEAF, nodes), overflow(3, value))
    assert pages.get(Tree(2, 1), number_key(99)) == value
    assert list(pages.keys(Tree(2, 1))) == [number_key(number) for number in range(100)]
    rows = pages.rows(Tree(2, 1), b"", None)
    assert next(rows) == (number_key(0), value)
    with pytest.raises(CorruptPackError, match="page 2: rows of more bytes than a pack has"):
        next(rows)
    with pytest.raises(CorruptPackError, match="page 2: rows of more bytes than a pack has"):
        next(pages.rows(Tree(2, 1), b"", None, len(value)))
    assert next(pages.rows(Tree(2, 1), b"", None, len(value) + 8)) == (number_key(0), value)


def test_keys_that_share_bytes_are_refused() -> None:
    """Nodes every eight bytes, each with all that follows as its key: a page could hold megabytes of keys."""
    key_bytes = 2_000
    nodes = b"".join(struct.pack("<HHHH", 0, 0, 0, key_bytes - 8 * number) for number in range(100))
    body = (nodes + bytes(key_bytes)).rjust(PAGE)
    places = range(body.index(nodes), body.index(nodes) + len(nodes), 8)
    head = struct.pack("<QHHHH", 2, 0, LEAF, 16 + 2 * len(places), places[0])
    order = sorted(places, key=lambda place: body[place + 8 :])
    pages = forged(head + struct.pack(f"<{len(order)}H", *order) + body[16 + 2 * len(order) :])
    with pytest.raises(CorruptPackError, match=r"page 2: a key of \d+ bytes cannot be"):
        list(pages.keys(Tree(2, 1)))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(overflow(4, b"v" * 5_000), id="another-number"),
        pytest.param(overflow(3, b"v" * 5_000, flags=LEAF), id="a-leaf"),
        pytest.param(overflow(3, b"v" * 5_000, flags=OVERFLOW | 0x10), id="dirty"),
        pytest.param(overflow(3, b"v" * 5_000, flags=0), id="no-kind"),
        pytest.param(overflow(3, b"v" * 5_000, pages=0), id="no-pages"),
        pytest.param(overflow(3, b"v" * 5_000, pages=1), id="too-few-pages"),
        pytest.param(overflow(3, b"v" * 5_000)[:-PAGE], id="cut-at-a-page"),
    ],
)
def test_overflow_pages_that_lie_are_refused(page: bytes) -> None:
    pages = forged(pack_page(2, LEAF, [large(b"b", 3, 5_000)]), page)
    with pytest.raises(CorruptPackError, match="page 3"):
        pages.get(Tree(2, 1), b"b")


def test_a_size_that_lies_is_found_out_before_memory_is_taken_for_it() -> None:
    """In a file of gigabytes a damaged size may be one of gigabytes; its overflow page says how large it can be."""
    file = File(bytes(2 * PAGE) + pack_page(2, LEAF, [large(b"b", 3, 2**31)]) + overflow(3, b"v" * 5_000))
    pages = TreeReader(file.read, Meta(PAGE, 2**24, Tree(2, 1)))
    with pytest.raises(CorruptPackError, match="page 3"):
        pages.get(Tree(2, 1), b"b")
    assert max(size for _, size in file.asked) <= 3 * PAGE


def test_a_file_that_ends_while_it_is_read_is_an_error_of_ours() -> None:
    for depth in (1, 2, 3):
        data, rows = deep(depth)
        file = File(data)
        pages, trees = file.pages()
        file.data = data[: 2 * PAGE + 100]
        for key in rows:
            with pytest.raises(CorruptPackError, match="truncated"):
                pages.get(trees[NAME], key)


META_FIELDS = {"number": ("<Q", 0), "flags": ("<H", 10), "magic": ("<I", 16), "version": ("<I", 20)}
META_FIELDS |= {"page_bytes": ("<I", 40), "main_flags": ("<H", 92), "main_depth": ("<H", 94)}
META_FIELDS |= {"main_root": ("<Q", 128), "last_page": ("<Q", 136), "transaction": ("<Q", 144)}


def with_meta(data: bytes, meta: int, **fields: int) -> bytes:
    changed = bytearray(data)
    for name, value in fields.items():
        form, at = META_FIELDS[name]
        struct.pack_into(form, changed, meta * PAGE + at, value)
    return bytes(changed)


def newer(data: bytes) -> int:
    return max((0, 1), key=lambda page: struct.unpack_from("<Q", data, page * PAGE + 144))


def layout(data: bytes) -> Meta:
    return read_meta(File(data).read, len(data))


def test_the_layout_is_what_lmdb_says(tmp_path: Path) -> None:
    for commits in (1, 2, 3):
        data = build({number_key(number): bytes(900) for number in range(9)}, commits=commits)
        (tmp_path / "file").write_bytes(data)
        with environment(tmp_path / "file") as read:
            found = layout(data)
            assert found.last_page == read.info()["last_pgno"]
            assert found.page_bytes == read.stat()["psize"]
            assert found.main.depth == read.stat()["depth"]


def test_the_newer_meta_page_counts() -> None:
    data = deep(1)[0]
    for meta in (0, 1):
        both = with_meta(data, 1 - meta, main_root=7, main_depth=7, last_page=len(data) // PAGE - 1, transaction=50)
        both = with_meta(both, meta, main_root=5, main_depth=1, last_page=len(data) // PAGE - 1, transaction=51)
        assert layout(both).main == Tree(5, 1)


@pytest.mark.parametrize("meta", [0, 1])
@pytest.mark.parametrize(
    "fields",
    [
        {"number": 2},
        {"number": 2**63},
        {"flags": 0},
        {"flags": LEAF},
        {"flags": META | LEAF},
        {"page_bytes": 0},
        {"page_bytes": 1},
        {"page_bytes": 256},
        {"page_bytes": 4_097},
        {"page_bytes": 8_192},
        {"page_bytes": 512},
        {"page_bytes": 2**17},
        {"page_bytes": 2**31},
        {"page_bytes": 2**32 - 1},
    ],
)
def test_a_meta_page_that_cannot_be_is_refused(meta: int, fields: dict[str, int]) -> None:
    with pytest.raises(CorruptPackError, match=r"page [01]"):
        layout(with_meta(deep(1)[0], meta, **fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"main_flags": 4},
        {"main_flags": 0xFFFF},
        {"main_depth": 0},
        {"main_depth": 33},
        {"main_depth": 65_535},
        {"main_root": 2**64 - 1},
        {"last_page": 0},
        {"last_page": 1},
        {"last_page": 2**32},
        {"last_page": 2**64 - 1},
    ],
)
def test_a_newer_meta_page_that_lies_is_refused(fields: dict[str, int]) -> None:
    data = deep(1)[0]
    with pytest.raises(CorruptPackError):
        layout(with_meta(data, newer(data), **fields))


@pytest.mark.parametrize("version", [0, 2, 3, 999, 2**32 - 1])
@pytest.mark.parametrize("meta", [0, 1])
def test_another_data_format_is_refused_by_its_number(meta: int, version: int) -> None:
    with pytest.raises(UnsupportedPackError, match=f"data format {version};"):
        layout(with_meta(deep(1)[0], meta, version=version))


def test_a_truncated_file_is_refused() -> None:
    data = deep(1)[0]
    sizes = [
        *range(200),
        *range(PAGE - 2, PAGE + 170),
        *range(2 * PAGE - 2, 2 * PAGE + 2),
        len(data) - PAGE,
        len(data) - 1,
    ]
    for size in sizes:
        with pytest.raises(CorruptPackError):
            layout(data[:size])
    with pytest.raises(CorruptPackError, match="truncated"):
        layout(data + b"\x00")


def test_a_file_of_lmdb_1_0_is_known_and_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with environment(path, version=1) as written, written.begin(write=True) as transaction:
        transaction.put(b"key", b"value")
    data = path.read_bytes()
    assert data[24:28] == MAGIC
    assert is_lmdb(data[:100])
    assert is_lmdb(data[:28])
    with pytest.raises(UnsupportedPackError, match="LMDB"):
        layout(data)


@pytest.mark.parametrize("at", [12, 16, 24])
@pytest.mark.parametrize("big_endian", [False, True])
def test_other_word_sizes_and_byte_orders_are_known_and_refused(at: int, big_endian: bool) -> None:  # noqa: FBT001
    if (at, big_endian) == (16, False):
        assert is_lmdb(bytes(16) + MAGIC + bytes(8))
        return
    data = bytearray(3 * PAGE)
    data[at : at + 4] = MAGIC[::-1] if big_endian else MAGIC
    assert is_lmdb(bytes(data[:100]))
    with pytest.raises(UnsupportedPackError, match="LMDB"):
        layout(bytes(data))


@pytest.mark.parametrize(
    "head",
    [b"", MAGIC, bytes(12) + MAGIC[:3], bytes(13) + MAGIC, bytes(17) + MAGIC, b"SQLite format 3\x00" + bytes(84)],
)
def test_what_has_no_magic_is_not_lmdb(head: bytes) -> None:
    assert not is_lmdb(head)


@pytest.mark.thorough
@given(
    depth=st.sampled_from([1, 2, 3, 5]),
    places=st.lists(st.tuples(st.integers(0, 2**30), st.integers(0, 255)), min_size=1, max_size=4),
    in_tree=st.booleans(),
)
@examples(300)
def test_damage_gives_rows_or_errors_of_ours(depth: int, places: list[tuple[int, int]], in_tree: bool) -> None:  # noqa: FBT001
    """A value may be wrong, the rest of a pack has checksums; keys and kinds of errors never."""
    data, rows = deep(depth)
    damaged = bytearray(data)
    heads = structure(depth)
    for place, value in places:
        damaged[heads[place % len(heads)] if in_tree else place % len(data)] = value
    outcomes: Counter[str] = Counter()

    def attempt(use: Callable[[], object]) -> None:
        try:
            use()
        except (CorruptPackError, UnsupportedPackError):
            outcomes["error"] += 1
        else:
            outcomes["value"] += 1

    def read() -> None:
        pages, trees = File(bytes(damaged)).pages()
        for tree in trees.values():
            attempt(lambda tree=tree: list(pages.rows(tree, b"", None)))  # type: ignore[misc]
            attempt(lambda tree=tree: list(pages.keys(tree)))  # type: ignore[misc]
            for key in list(rows)[::40]:
                attempt(lambda tree=tree, key=key: pages.get(tree, key))  # type: ignore[misc]
                attempt(lambda tree=tree, key=key: list(pages.rows(tree, key, key + b"\xff")))  # type: ignore[misc]

    attempt(read)
    assert outcomes


@cache
def structure(depth: int) -> list[int]:
    """Offsets of meta records, page headers and row pointers."""
    data, _ = deep(depth)
    found = [page * PAGE + at for page in (0, 1) for at in range(152)]
    for start in range(2 * PAGE, len(data), PAGE):
        kind, lower = struct.unpack_from("<HH", data, start + 10)
        found += range(start, start + (lower if kind in {BRANCH, LEAF} else 16))
        if kind in {BRANCH, LEAF}:
            for place in struct.unpack_from(f"<{(lower - 16) // 2}H", data, start + 16):
                found += range(start + place, start + place + 8)
    return found
