import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distributed_prompt.errors import AddressError, PackNotFoundError, PackReadError
from distributed_prompt.sources import FileSource, Source, TextSource, TreeSource, shard_files
from tests.byte_sources import READ_SIZES, Joined, write_shard_folder


def test_nothing_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(PackNotFoundError, match="no such file"):
        FileSource(tmp_path / "missing")


def test_a_name_too_long_for_the_system_is_an_error_of_ours() -> None:
    with pytest.raises((PackNotFoundError, PackReadError)):
        FileSource("x" * 300)


def test_a_file_of_which_the_size_is_known_says_so(tmp_path: Path) -> None:
    path = tmp_path / "five.txt"
    path.write_bytes(b"12345")
    source = FileSource(path)
    assert source.size_bytes == 5
    assert source.name == "five.txt"


def test_a_relative_input_is_named_by_its_last_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_bytes(b"a")
    monkeypatch.chdir(tmp_path / "deep")
    assert FileSource("../deep/a.txt").name == "a.txt"


def test_a_device_has_no_known_size_and_is_read_to_its_end() -> None:
    source = FileSource("/dev/null")
    assert source.size_bytes is None
    assert Joined([source]).pieces == []


def test_an_input_that_cannot_be_read_is_a_read_error() -> None:
    source = FileSource("/proc/self/mem")
    with pytest.raises(PackReadError, match=r"^/proc/self/mem: \S"):
        list(source.portions())


def test_more_than_ten_thousand_shards_are_named_with_five_digits(tmp_path: Path) -> None:
    folder = write_shard_folder(tmp_path / "many", [b"x"] * 10_001)
    assert [file.name for file in shard_files(folder, "many")][-2:] == ["9999.txt", "10000.txt"]


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = write_shard_folder(tmp_path / "shards", [b"a", b"b", b"c"])
    (folder / "0001.txt").unlink()
    with pytest.raises(PackReadError, match=r"0001\.txt is missing; meta\.json lists 3 shards"):
        FileSource(folder)


@pytest.mark.parametrize("meta", ["", "[]", "{}", '{"num_shards": null}', '{"num_shards": "many"}', "3"])
def test_an_index_that_cannot_be_read_is_a_read_error(tmp_path: Path, meta: str) -> None:
    folder = write_shard_folder(tmp_path / "shards", [b"a"])
    (folder / "meta.json").write_text(meta)
    with pytest.raises(PackReadError, match=r"meta\.json"):
        FileSource(folder)


@pytest.mark.parametrize("meta", ['{"num_shards": -1}', '{"num_shards": 0}', '{"num_shards": Infinity}'])
def test_an_index_with_a_number_that_cannot_be_is_a_read_error(tmp_path: Path, meta: str) -> None:
    folder = write_shard_folder(tmp_path / "shards", [b"a"])
    (folder / "meta.json").write_text(meta)
    with pytest.raises(PackReadError, match=r"meta\.json"):
        FileSource(folder)


def test_a_folder_of_another_kind_is_an_address_error(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match="is a folder"):
        FileSource(tmp_path)


def run_with_input(stdin: object, script: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", "-c", f'"$0" -c "$1" {stdin}', sys.executable, script]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, input="")


@pytest.mark.parametrize("redirection", ["<&-", "0>/dev/null"])
def test_standard_input_that_cannot_be_read_is_a_read_error(redirection: str) -> None:
    script = (
        "from distributed_prompt.sources import FileSource\n"
        "from distributed_prompt.errors import PackReadError\n"
        "try:\n    print(list(FileSource('-').portions()))\n"
        "except PackReadError:\n    print('PackReadError')\n"
    )
    done = run_with_input(redirection, script)
    assert (done.stdout, done.stderr) == ("PackReadError\n", "")


def test_standard_input_is_called_so_and_read_to_its_end() -> None:
    script = (
        "from distributed_prompt.sources import FileSource\n"
        "source = FileSource('-')\n"
        "data = b''.join(source.portions())\n"
        "print(source.name, source.size_bytes, data == bytes(range(256)) * 4096, source.locate(7))\n"
    )
    data = bytes(range(256)) * 4096
    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=True, timeout=60)
    assert done.stdout == b"stdin None True standard input: byte 7\n"


@pytest.mark.parametrize("read_bytes", READ_SIZES)
def test_a_place_in_a_shard_folder_is_that_in_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_bytes: int
) -> None:
    monkeypatch.setattr("distributed_prompt.sources._READ_BYTES", read_bytes)
    source = FileSource(write_shard_folder(tmp_path / "shards", [b"abc", b"", b"de"]))
    assert b"".join(source.portions()) == b"abcde"
    assert source.locate(0) == f"{tmp_path}/shards/0000.txt: byte 0"
    assert source.locate(2) == f"{tmp_path}/shards/0000.txt: byte 2"
    assert source.locate(4) == f"{tmp_path}/shards/0002.txt: byte 1"


def test_a_file_is_one_of_those_it_reads_under_any_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"a")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "hard").hardlink_to(tmp_path / "a")
    source = FileSource(tmp_path / "link")
    assert source.name == "link"
    for name, expected in (("a", True), ("link", True), ("hard", True), ("b", False), ("missing", False)):
        assert source.reads(tmp_path / name) == expected


@pytest.mark.parametrize("path", ["a\0b", "\0", "x/../missing", "/dev/null/x"])
def test_what_cannot_be_there_is_not_found(path: str) -> None:
    with pytest.raises(PackNotFoundError, match="no such file"):
        FileSource(path)


def test_a_pipe_with_a_name_has_no_known_size_and_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    source = FileSource(tmp_path / "pipe")
    assert source.size_bytes is None
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[b"through a pipe"])
    writer.start()
    assert b"".join(source.portions()) == b"through a pipe"
    writer.join()


def test_a_socket_is_a_read_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(PackReadError, match=r"^socket: "):
            list(FileSource("socket").portions())


def test_a_file_that_vanished_is_a_read_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    sources: list[Source] = [FileSource(tmp_path / "a"), TreeSource("a", str(tmp_path / "a"), 1)]
    (tmp_path / "a").unlink()
    for source in sources:
        with pytest.raises(PackReadError, match=f"^{tmp_path}/a: No such file") as raised:
            list(source.portions())
        # Only what was found in a folder can be left out.
        assert str(raised.value).endswith("; --exclude leaves it out") == source.optional


def test_a_link_that_took_the_place_of_a_file_in_a_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    source = TreeSource("tree/a", str(tmp_path / "a"), 6)
    (tmp_path / "a").symlink_to("secret")
    with pytest.raises(PackReadError, match=f"^{tmp_path}/a: "):
        list(source.portions())


def reading_of_a_pipe(source: TreeSource, pipe: Path) -> bytes:
    """What is read of it at once; whoever waits for a writer is given one that writes nothing."""
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: b"".join(source.portions()))
        try:
            return reading.result(timeout=10)
        finally:
            with suppress(OSError):  # Nobody waits.
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))


def test_a_pipe_that_took_the_place_of_a_file_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "a"
    source = TreeSource("tree/a", str(pipe), 6)
    os.mkfifo(pipe)
    with pytest.raises(PackReadError, match="is no file any more; --exclude leaves it out"):
        reading_of_a_pipe(source, pipe)


def test_nor_is_it_if_somebody_has_it_open_and_writes_nothing(tmp_path: Path) -> None:
    pipe = tmp_path / "a"
    source = TreeSource("tree/a", str(pipe), 6)
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    try:
        with pytest.raises(PackReadError, match="is no file any more"):
            reading_of_a_pipe(source, pipe)
    finally:
        os.close(writer)


def test_a_file_in_a_folder_knows_its_name_and_place(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    source = TreeSource("tree/a", str(tmp_path / "a"), 5)
    assert (source.name, source.size_bytes, source.optional) == ("tree/a", 5, True)
    assert b"".join(source.portions()) == b"".join(source.portions()) == b"12345"
    assert source.locate(3) == f"{tmp_path}/a: byte 3"
    assert not source.reads(tmp_path / "a")


@given(st.text(max_size=30), st.sampled_from(READ_SIZES))
def test_a_string_gives_its_utf_8_as_often_as_asked(text: str, read_characters: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distributed_prompt.sources._READ_BYTES", read_characters)
        source = TextSource(text)
        for _ in range(2):
            assert b"".join(source.portions()) == text.encode("utf-8", "surrogatepass")
