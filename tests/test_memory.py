"""Memory while a text is read does not grow with the text: measured, at a size where it would show."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

import distributed_prompt as dp

TEXT_BYTES = 80_000_000
SHORTER_BYTES = 40_000_000
LIMIT_MB = 150
GROWTH_MB = 20  # half of what the longer text has more

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see its own memory")

MEASURE = """
import sys, threading, time
import distributed_prompt as dp
import distributed_prompt.unpacking, distributed_prompt.verification

def anonymous_kb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

def watch():
    while not done.wait(0.002):
        peaks.append(anonymous_kb())

peaks, done = [anonymous_kb()], threading.Event()
watcher = threading.Thread(target=watch)
prompt = dp.open(sys.argv[1])
length = len(prompt)
watcher.start()
end = time.monotonic() + 0.2  # some are too quick to be seen when done once
try:
    while True:
        {operation}
        if time.monotonic() > end:
            break
finally:
    peaks.append(anonymous_kb())
    done.set()
    watcher.join()
assert len(peaks) > 5, "not enough samples"
print(max(peaks))
"""

OPERATIONS = {
    "find": "assert prompt.find('not in hexadecimal') == -1",
    "rfind": "assert prompt.rfind('not in hexadecimal') == -1",
    "contains": "assert 'not in hexadecimal' not in prompt",
    "count": "assert prompt.count('0123') > 0",
    "count of what overlaps itself": "assert prompt.count('000') > 0",
    "find_all": "assert sum(1 for _ in prompt.find_all('012')) > 0",
    "find_all ignoring case": "assert sum(1 for _ in prompt.find_all('ABC', ignore_case=True)) > 0",
    "lines": "assert sum(len(line) + 1 for line in prompt.lines) == length",
    "chunks": "assert sum(map(len, prompt.chunks(100_000))) == length",
    "slices": "assert sum(len(prompt[at : at + 5_000_000]) for at in range(0, length, 5_000_000)) == length",
    "equality": "assert prompt == dp.open(sys.argv[1] + '.recut')",
    "verify": "assert list(dp.verify(sys.argv[1])) == []",
    "unpack": "assert dp.unpack(dp.FileBackend(sys.argv[1]), open('/dev/null', 'wb')) == length",
}


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A text of lines of hexadecimal digits, and its first half, by length; beside each the same, cut otherwise."""
    folder = tmp_path_factory.mktemp("memory")
    digits = random.Random(1)  # noqa: S311  # no secret
    found = {}
    with (folder / "text.txt").open("ab") as file:
        for size in (SHORTER_BYTES, TEXT_BYTES):
            while file.tell() < size:
                block = digits.randbytes(500_000).hex()
                file.write("".join(f"{block[at : at + 99]}\n" for at in range(0, len(block), 99)).encode())
            file.flush()
            found[size] = folder / f"{size}.dprompt"
            assert dp.pack(file.name, found[size]).length >= size
            dp.pack(file.name, f"{found[size]}.recut", shard_size=100_000)
    return found


def peak_mb(pack: Path, operation: str) -> float:
    command = [sys.executable, "-c", MEASURE.replace("{operation}", operation), str(pack)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return int(ran.stdout) / 1000


@pytest.mark.thorough
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_peak_memory_is_small_and_the_same_for_a_text_twice_as_long(packs: dict[int, Path], operation: str) -> None:
    short, long = (peak_mb(packs[size], operation) for size in (SHORTER_BYTES, TEXT_BYTES))
    assert long < LIMIT_MB
    assert long - short < GROWTH_MB
