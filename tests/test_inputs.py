import io
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import distributed_prompt as dp
from distributed_prompt.errors import ArgumentError, PackNotFoundError, PackReadError
from distributed_prompt.inputs import Inputs, LeftOut
from distributed_prompt.selection import Selection
from distributed_prompt.sources import TextSource
from tests.byte_sources import write_shard_folder
from tests.strategies import examples

AWKWARD = ("a", "a.b", "a-b", "a0", "a b", "ab", "A", "é", "日", "\U0001f600", "\uffff", "-", "~", ".a", "a\nb", "\\")
ANY_NAMES = st.binary(min_size=1, max_size=4).map(os.fsdecode)

parts = st.one_of(st.sampled_from(AWKWARD), ANY_NAMES).filter(
    lambda part: part not in {".", ".."} and not {"/", "\0"} & {*part}
)
names = st.lists(parts, min_size=1, max_size=4).map("/".join)


class Found:
    """What inputs gave."""

    def __init__(self, inputs: Inputs, omit: frozenset[tuple[int, int]] = frozenset()) -> None:
        self.left_out: list[LeftOut] = []
        self.sources = list(inputs.sources(omit, self.left_out.append))
        self.names = [source.name for source in self.sources]


def found(*paths: str | Path, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> Found:
    return Found(Inputs(paths, Selection(include, exclude)))


def made(folder: Path, *names: str) -> Path:
    """Files in a folder, each with its own name in it."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.fsencode(name))
    return folder


def consistent(names: set[str]) -> set[str]:
    """Those of the names that can be files together: none of them the folder of another."""
    folders = {"/".join(name.split("/")[:count]) for name in names for count in range(1, name.count("/") + 1)}
    return names - folders


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a folder of a few files."""
    monkeypatch.chdir(tmp_path)
    return made(tmp_path, "tree/a.md", "tree/b.txt", "tree/sub/a.md", "tree/sub/deep/c.py", "one.txt").resolve()


# Order and names


@examples(60)
@given(st.sets(names, max_size=12))
@example({"a", "a.b", "a-b", "a0", "b/x"})
@example({"a/b", "a.b", "a-b", "a0", "a/b0", "a/c/d", "a!"})
@example({"\U0001f600", "\uffff", "\udc80"})
def test_the_order_of_a_folder_is_that_of_whole_names(
    tmp_path_factory: pytest.TempPathFactory, files: set[str]
) -> None:
    files = consistent(files)
    tree = made(tmp_path_factory.mktemp("order") / "tree", *files)
    tree.mkdir(exist_ok=True)
    result = found(tree)
    assert result.names == sorted(f"tree/{name}" for name in files)
    assert result.left_out == []
    for source in result.sources:
        assert b"tree/" + b"".join(source.portions()) == os.fsencode(source.name)


@examples(40)
@given(st.lists(st.sets(names, max_size=5), min_size=2, max_size=3), st.sets(parts, max_size=3))
def test_several_arguments_are_merged_in_the_order_of_whole_names(
    tmp_path_factory: pytest.TempPathFactory, folders: list[set[str]], files: set[str]
) -> None:
    base = tmp_path_factory.mktemp("merge")
    expected: list[str] = []
    paths: list[Path] = []
    for folder, name in zip(folders, ("a", "a.b", "a0"), strict=False):
        inside = consistent(folder)
        paths.append(made(base / "folders" / name, *inside))
        paths[-1].mkdir(parents=True, exist_ok=True)
        expected += [f"{name}/{each}" for each in inside]
    made(base / "files", *files)
    arguments = [*reversed([base / "files" / name for name in files]), *paths]
    if any(name.startswith(f"{file}/") for file in files for name in expected):
        with pytest.raises(ArgumentError, match="cannot be unpacked beside"):
            found(*arguments)
    else:
        assert found(*arguments).names == sorted([*expected, *files])


def test_names_that_sort_around_the_slash_are_in_order(tmp_path: Path) -> None:
    tree = made(tmp_path / "t", "a/b", "a.b", "a-b", "a0", "a!", "a /b", "b", "a/c/d", "a/c.d", "a/c0")
    assert found(tree).names == [
        "t/a /b",
        "t/a!",
        "t/a-b",
        "t/a.b",
        "t/a/b",
        "t/a/c.d",
        "t/a/c/d",
        "t/a/c0",
        "t/a0",
        "t/b",
    ]


@pytest.mark.parametrize("argument", ["tree", "tree/", "./tree", "tree//", "tree/.", "tree/sub/..", "../{}/tree"])
def test_a_folder_has_its_name_however_it_is_written(tree: Path, argument: str) -> None:
    result = found(argument.format(tree.name))
    assert result.names == ["tree/a.md", "tree/b.txt", "tree/sub/a.md", "tree/sub/deep/c.py"]


def test_the_working_folder_and_its_parent_are_called_by_their_names(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree / "tree" / "sub")
    assert found(".").names == ["sub/a.md", "sub/deep/c.py"]
    assert found("..").names == ["tree/a.md", "tree/b.txt", "tree/sub/a.md", "tree/sub/deep/c.py"]


def test_a_folder_that_is_a_link_is_walked_under_the_name_of_the_link(tree: Path) -> None:
    (tree / "link").symlink_to("tree/sub")
    assert found("link").names == ["link/a.md", "link/deep/c.py"]


def test_the_root_has_no_name(monkeypatch: pytest.MonkeyPatch, tree: Path) -> None:
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scandir(tree if path == "/" else path))
    assert found("/").names == ["one.txt", "tree/a.md", "tree/b.txt", "tree/sub/a.md", "tree/sub/deep/c.py"]


def test_files_are_called_by_their_last_part_and_sorted(tree: Path) -> None:
    assert found(tree / "tree/sub/deep/c.py", "tree/b.txt", "one.txt").names == ["b.txt", "c.py", "one.txt"]


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    result = found(tmp_path / "empty")
    assert (result.names, result.left_out) == ([], [])


def test_a_folder_of_shards_is_one_document_as_an_argument_and_files_inside_a_folder(tmp_path: Path) -> None:
    write_shard_folder(tmp_path / "shards", [b"ab", b"c"])
    result = found(tmp_path / "shards")
    assert [b"".join(source.portions()) for source in result.sources] == [b"abc"]
    assert result.names == ["shards"]
    assert found(tmp_path).names == [f"{tmp_path.name}/shards/{name}" for name in ("0000.txt", "0001.txt", "meta.json")]


def test_standard_input_is_one_among_others(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped")))
    result = found("tree", "-", "one.txt")
    assert result.names == ["one.txt", "stdin", *found("tree").names]
    assert b"".join(result.sources[1].portions()) == b"piped"
    assert tree.is_dir()


# What cannot be


@pytest.mark.parametrize(
    "paths", [["missing"], ["one.txt", "missing"], ["missing", "tree"], ["one.txt/x"], ["tree/x/"]]
)
@pytest.mark.usefixtures("tree")
def test_an_argument_that_does_not_exist_is_not_found_at_once(paths: list[str]) -> None:
    with pytest.raises(PackNotFoundError, match=r"^\S+: no such file$"):
        Inputs(paths, Selection())


def test_there_must_be_an_argument() -> None:
    with pytest.raises(ArgumentError, match=r"^no input"):
        Inputs([], Selection())


def test_standard_input_is_not_read_twice() -> None:
    with pytest.raises(ArgumentError, match="but once"):
        Inputs(["-", "-"], Selection())


@pytest.mark.parametrize(
    ("paths", "name"),
    [
        (["one.txt", "one.txt"], "one.txt"),
        (["one.txt", "./one.txt"], "one.txt"),
        (["tree/a.md", "tree/sub/a.md"], "a.md"),
        (["tree", "tree/"], "tree/a.md"),
        (["tree", "copy/tree"], "tree/sub/a.md"),
        (["-", "stdin"], "stdin"),
    ],
)
def test_two_documents_of_one_name_are_refused(tree: Path, paths: list[str], name: str) -> None:
    made(tree, "copy/tree/sub/a.md", "stdin")
    with pytest.raises(ArgumentError, match=f"^document '{name}': ") as raised:
        found(*paths)
    assert re.fullmatch(
        rf"document '{name}': both (\S+) and (\S+) would be called so; name a folder that holds both",
        str(raised.value),
    )


def test_of_two_documents_of_one_name_both_places_are_told(tree: Path) -> None:
    made(tree, "copy/tree/sub/a.md")
    with pytest.raises(ArgumentError, match=f"both {tree}/tree/sub/a.md and {tree}/copy/tree/sub/a.md would"):
        found("tree", "copy/tree")
    with pytest.raises(ArgumentError, match=r"both tree/a\.md and \./tree/sub/a\.md would"):
        found("tree/a.md", "./tree/sub/a.md")


def test_two_documents_of_one_name_are_no_trouble_if_one_is_not_selected(tree: Path) -> None:
    made(tree, "copy/tree/sub/a.md")
    assert found("tree", "copy/tree", exclude=("a.md",)).names == ["tree/b.txt", "tree/sub/deep/c.py"]


def test_folders_in_each_other_are_different_documents(tree: Path) -> None:
    assert found("tree", "tree/sub").names == ["sub/a.md", "sub/deep/c.py", *found("tree").names]
    assert tree.is_dir()


# What is left out


def test_links_pipes_and_sockets_are_left_out_and_listed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "tree")
    Path("link").symlink_to("a.md")
    Path("loop").symlink_to("..")
    Path("sub/dangling").symlink_to("nowhere")
    Path("self").symlink_to("self")
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        result = found(".")
    assert result.names == ["tree/a.md", "tree/b.txt", "tree/sub/a.md", "tree/sub/deep/c.py"]
    assert result.left_out == [
        LeftOut("tree/link", "symbolic link"),
        LeftOut("tree/loop", "symbolic link"),
        LeftOut("tree/pipe", "device, pipe or socket"),
        LeftOut("tree/self", "symbolic link"),
        LeftOut("tree/socket", "device, pipe or socket"),
        LeftOut("tree/sub/dangling", "symbolic link"),
    ]


def test_what_is_not_wanted_is_not_listed_either(tree: Path) -> None:
    (tree / "tree" / "link.md").symlink_to("a.md")
    os.mkfifo(tree / "tree" / "pipe.txt")
    result = found("tree", include=("*.md",))
    assert result.left_out == [LeftOut("tree/link.md", "symbolic link")]
    assert found("tree", exclude=("link*", "pipe*")).left_out == []


def test_a_device_in_a_folder_is_left_out() -> None:
    result = found("/dev", include=("null",))
    assert (result.names, result.left_out) == ([], [LeftOut("dev/null", "device, pipe or socket")])


def test_what_is_being_written_is_passed_over_under_any_of_its_names(tree: Path) -> None:
    (tree / "tree" / "hard").hardlink_to(tree / "tree" / "b.txt")
    status = (tree / "tree" / "b.txt").stat()
    result = Found(Inputs(["tree"], Selection()), frozenset({(status.st_dev, status.st_ino)}))
    assert result.names == ["tree/a.md", "tree/sub/a.md", "tree/sub/deep/c.py"]
    assert result.left_out == []


@pytest.mark.parametrize("store", ["sqlite", "lmdb"])
def test_a_pack_in_the_folder_that_is_packed_holds_neither_itself_nor_what_it_replaces(tree: Path, store: str) -> None:
    names = ["tree/a.md", "tree/b.txt", "tree/sub/a.md", "tree/sub/deep/c.py"]
    for overwrite in (False, True):
        info = dp.pack("tree", "tree/out.dprompt", store=store, overwrite=overwrite, keep_undecodable=True)
        with dp.open("tree/out.dprompt") as prompt:
            assert list(prompt.documents) == names
        assert info.left_out == ()
    assert sorted(path.name for path in (tree / "tree").iterdir()) == ["a.md", "b.txt", "out.dprompt", "sub"]


@pytest.mark.parametrize("store", ["sqlite", "lmdb"])
def test_a_pack_that_grows_by_the_folder_it_is_in_does_not_take_itself_in(tree: Path, store: str) -> None:
    dp.pack("one.txt", "tree/out.dprompt", store=store)
    info = dp.append("tree/out.dprompt", "tree", keep_undecodable=True)
    assert (info.documents, info.left_out) == (4, ())
    with dp.open("tree/out.dprompt") as prompt:
        assert list(prompt.documents) == ["one.txt", "tree/a.md", "tree/b.txt", "tree/sub/a.md", "tree/sub/deep/c.py"]
    assert tree.is_dir()


# Include and exclude


def wanted(name: str, include: list[str], exclude: list[str]) -> bool:
    """As documented: a pattern with a slash fits whole names and folders, one without any part of a name."""

    def fits(pattern: str) -> bool:
        pattern = pattern.removeprefix("./").rstrip("/")
        pieces = name.split("/")
        folders = ["/".join(pieces[:count]) for count in range(1, len(pieces) + 1)]
        return any(fnmatchcase(text, pattern) for text in (folders if "/" in pattern else pieces))

    return (not include or any(map(fits, include))) and not any(map(fits, exclude))


patterns = st.lists(
    st.sampled_from(
        [
            *("*", "a", "a*", "*.md", "*/a", "t/a", "t/a/", "a/", "t/*", "*/*/*", "[ab]", "[!a]", "?", "*\n*", "t/a/b"),
            *("\\", "./a", "./t/a", "./t/a/", "./*", ".*", "./?/a"),
        ]
    ),
    max_size=2,
)


@given(st.lists(st.sampled_from(["a", "b", "a.md", "t", "a\nb", "\\"]), min_size=1, max_size=4), patterns, patterns)
def test_a_selection_takes_what_its_patterns_say(pieces: list[str], include: list[str], exclude: list[str]) -> None:
    name = "/".join(pieces)
    selection = Selection(include, exclude)
    assert selection.takes(name) == wanted(name, include, exclude)
    # Whatever is in a folder that is not entered would not have been taken.
    folders = ["/".join(pieces[:count]) for count in range(1, len(pieces))]
    if not all(map(selection.enters, folders)):
        assert not selection.takes(name)


@examples(40)
@given(st.sets(st.sampled_from(["a/b", "a/a.md", "b/a/b", "x.md", "b/c/d/e.md", "c"])), patterns, patterns)
def test_of_a_folder_what_is_selected_is_taken(
    tmp_path_factory: pytest.TempPathFactory, files: set[str], include: list[str], exclude: list[str]
) -> None:
    tree = made(tmp_path_factory.mktemp("select") / "t", *files)
    tree.mkdir(exist_ok=True)
    expected = sorted(name for name in (f"t/{each}" for each in files) if wanted(name, include, exclude))
    assert found(tree, include=tuple(include), exclude=tuple(exclude)).names == expected


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["*.md"], [], ["tree/a.md", "tree/sub/a.md"]),
        ([], ["sub"], ["tree/a.md", "tree/b.txt"]),
        ([], ["sub/"], ["tree/a.md", "tree/b.txt"]),
        ([], ["tree/sub"], ["tree/a.md", "tree/b.txt"]),
        (["tree/sub"], [], ["tree/sub/a.md", "tree/sub/deep/c.py"]),
        (["tree/sub"], ["*.md"], ["tree/sub/deep/c.py"]),
        (["sub"], [], ["tree/sub/a.md", "tree/sub/deep/c.py"]),
        (["tree/*.md"], [], ["tree/a.md", "tree/sub/a.md"]),
        (["*.MD"], [], []),
        (["b.txt", "*.py"], [], ["tree/b.txt", "tree/sub/deep/c.py"]),
        ([], ["*"], []),
        ([], ["tree"], []),
        (["sub/a.md"], [], []),
        (["./tree/sub"], [], ["tree/sub/a.md", "tree/sub/deep/c.py"]),
        (["./tree/sub/"], ["./*.md"], ["tree/sub/deep/c.py"]),
        (["./a.md"], [], ["tree/a.md", "tree/sub/a.md"]),
        ([], ["./tree"], []),
    ],
)
@pytest.mark.usefixtures("tree")
def test_patterns_select_documents(include: list[str], exclude: list[str], expected: list[str]) -> None:
    assert found("tree", include=tuple(include), exclude=tuple(exclude)).names == expected


def test_files_that_are_named_are_selected_as_well(tree: Path) -> None:
    assert found("tree/a.md", "tree/b.txt", "one.txt", exclude=("*.txt",)).names == ["a.md"]
    assert tree.is_dir()


def test_a_folder_that_is_excluded_is_not_even_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with unreadable(monkeypatch, "sub"):
        assert found("tree", exclude=("sub",)).names == ["tree/a.md", "tree/b.txt"]
        with pytest.raises(PackReadError):
            found("tree", include=("*.txt",))
    assert tree.is_dir()


@pytest.mark.parametrize("option", ["include", "exclude"])
@pytest.mark.parametrize("pattern", ["", "/", "//", "./", ".//", "/tree", "/*", "/tree/*.md", ".//a"])
def test_a_pattern_that_matches_no_name_is_refused(option: str, pattern: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        Selection(**{option: ["fine", pattern]})
    assert str(raised.value) == (
        f"{option} {pattern!r}: matches no name; names begin with that of an input, without a slash"
    )


@pytest.mark.parametrize("option", ["include", "exclude"])
@pytest.mark.parametrize("pattern", ["*.md", b"*.md"])
def test_a_single_pattern_that_is_no_list_is_refused(option: str, pattern: str) -> None:
    with pytest.raises(ArgumentError, match=rf"^{option} .* must be a list"):
        Selection(**{option: pattern})


# What the system refuses


@contextmanager
def unreadable(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[None]:
    """A folder that nobody may read, whoever runs the tests."""
    scandir = os.scandir

    def refusing(path: str) -> object:
        if os.path.basename(path) == name:  # noqa: PTH119
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refusing)
        yield


def test_a_folder_that_cannot_be_read_is_an_error_with_advice(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = f"^{tree}/tree/sub: Permission denied; --exclude leaves it out$"
    with unreadable(monkeypatch, "sub"), pytest.raises(PackReadError, match=message):
        found("tree")
    with unreadable(monkeypatch, "tree"), pytest.raises(PackReadError, match=f"^{tree}/tree: Permission denied"):
        found("tree")


def test_a_file_that_cannot_be_read_is_an_error(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system_open = os.open

    def refusing(path: str, flags: int, *mode: int, **options: int) -> int:
        if os.fspath(path).endswith("b.txt"):
            raise PermissionError(13, "Permission denied", path)
        return system_open(path, flags, *mode, **options)

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(PackReadError, match=f"^{tree}/tree/b.txt: Permission denied; --exclude leaves it out$"):
        dp.pack("tree", "out.dprompt")
    with pytest.raises(PackReadError, match=r"^tree/b\.txt: Permission denied$"):
        dp.pack("tree/b.txt", "out.dprompt")
    assert dp.pack("tree", "fine", exclude=["b.txt"]).documents == 3
    assert not list(tree.glob("*out*"))


def test_what_vanishes_while_a_folder_is_walked_is_an_error(tree: Path) -> None:
    sources = Inputs(["tree"], Selection()).sources(frozenset(), lambda _: None)
    assert next(sources).name == "tree/a.md"
    (tree / "tree" / "b.txt").unlink()
    with pytest.raises(PackReadError, match=f"^{tree}/tree/b.txt: No such file or directory; --exclude leaves it out$"):
        list(sources)


def test_a_pipe_that_took_the_place_of_a_file_meanwhile_keeps_nobody_waiting(tree: Path) -> None:
    script = """
import os, distributed_prompt as dp
from distributed_prompt.inputs import Inputs
walked = Inputs.sources
def swapping(self, *arguments):
    for source in walked(self, *arguments):
        if source.name == "tree/a.md":
            os.unlink("tree/a.md")
            os.mkfifo("tree/a.md")
        yield source
Inputs.sources = swapping
dp.pack("tree", "out")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "tree/a.md: is no file any more; --exclude leaves it out" in done.stderr
    assert (tree / "tree" / "a.md").is_fifo()
    assert not (tree / "out").exists()


def test_a_very_deep_folder_is_walked_or_is_an_error_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    depth = (4_000 - len(str(tmp_path)) - len("/tree/f")) // 2
    assert depth > 1_500
    folder = os.open(".", os.O_RDONLY)
    try:
        for name in ["tree", *["d"] * depth]:
            os.mkdir(name, dir_fd=folder)
            inner = os.open(name, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = inner
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
        assert found("tree").names == ["tree/" + "d/" * depth + "f"]
        for _ in range(100):
            os.mkdir("d", dir_fd=folder)
            inner = os.open("d", os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = inner
        with pytest.raises(PackReadError, match=r"/d/d: File name too long; --exclude leaves it out$"):
            found("tree")
    finally:
        os.close(folder)
        # Too deep for what pytest clears up with.
        subprocess.run(["/bin/rm", "-rf", tmp_path / "tree"], check=True)


def test_a_folder_of_many_files_is_walked(tmp_path: Path) -> None:
    names = [f"{number % 7}/{number}" for number in range(3_000)]
    assert found(made(tmp_path / "many", *names)).names == sorted(f"many/{name}" for name in names)


# Sizes and identities


def test_the_size_is_known_of_files_alone(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Inputs(["one.txt", "tree/a.md"], Selection()).size_bytes == len("one.txt") + len("tree/a.md")
    assert Inputs(["one.txt", "tree"], Selection()).size_bytes is None
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped")))
    assert Inputs(["one.txt", "-"], Selection()).size_bytes is None
    assert tree.is_dir()


def test_the_files_that_were_named_are_those_that_are_read(tree: Path) -> None:
    inputs = Inputs(["one.txt", "tree"], Selection())
    assert inputs.reads(tree / "one.txt")
    assert not inputs.reads(tree / "tree" / "a.md")
    assert not inputs.reads(tree / "missing")


def test_a_single_source_is_taken_as_it_is() -> None:
    result = Found(Inputs.of(TextSource("text")))
    assert result.names == ["string"]
    assert b"".join(result.sources[0].portions()) == b"text"


@pytest.mark.parametrize("between", [[], ["one.txt-"], ["one.txt.md", "one.txt!"]])
def test_a_document_called_as_a_folder_of_another_is_refused_since_no_folder_can_hold_both(
    tree: Path, between: list[str]
) -> None:
    made(tree, "two/one.txt/b", *between)
    what = f"{tree}/two/one.txt/b cannot be unpacked beside one.txt, called 'one.txt'; name a folder that holds both"
    with pytest.raises(ArgumentError) as raised:
        dp.pack(["one.txt", "two/one.txt", *between], "out.dprompt")
    assert str(raised.value) == f"document 'one.txt/b': {what}"
    assert not list(tree.glob("*out*"))


def test_a_document_called_as_the_folder_of_another_that_is_deeper_is_refused_as_well(tree: Path) -> None:
    made(tree, "1/x/a/b/c", "2/x/a", "2/x/a!", "2/x/a-b", "2/x/a.b/c", "2/x/a.b/d")
    what = f"{tree}/1/x/a/b/c cannot be unpacked beside {tree}/2/x/a, called 'x/a'; name a folder that holds both"
    with pytest.raises(ArgumentError) as raised:
        found("1/x", "2/x")
    assert str(raised.value) == f"document 'x/a/b/c': {what}"
    assert found("1/x", "2/x", exclude=("x/a/b",)).names == ["x/a", "x/a!", "x/a-b", "x/a.b/c", "x/a.b/d"]
