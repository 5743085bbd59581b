"""Literal search over characters: the near part from the cache, the rest on the worker threads.

Offsets are those of the whole text, and in range; needles are not empty.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from functools import partial
from itertools import chain

from distributed_prompt.characters import Characters
from distributed_prompt.derived.walk import Range, walk_hits
from distributed_prompt.text import search
from distributed_prompt.text.hits import hits_in
from distributed_prompt.text.literal import Literal
from distributed_prompt.text.pieces import Piece, encode


def find(characters: Characters, needle: str, start: int, stop: int, executor: Executor | None = None) -> int:
    """The first occurrence within ``[start, stop)``, or -1."""
    if stop - start < len(needle):
        return -1
    base, text = characters.near(start)
    position = text.find(needle, start - base, stop - base)
    border = base + len(text)
    if position >= 0 or border >= stop:
        return base + position if position >= 0 else -1
    near = _near(base, text, max(start, border - len(needle) + 1), border)
    far = characters.map_runs(
        partial(search.scan_first, needle), border, stop, holding=[Literal(needle)], executor=executor
    )
    return _kept(characters, search.join_first(chain([search.scan_first(needle, [near])], far), needle))


def find_many(
    characters: Characters, needles: list[str], start: int, stop: int, executor: Executor | None = None
) -> dict[str, int]:
    """The first occurrence of each needle that has one within ``[start, stop)``, in one pass."""
    joins = {needle: search.FirstJoin(needle) for needle in needles}
    found: dict[str, int] = {}
    holding = [Literal(needle) for needle in needles]
    runs = characters.map_runs(partial(_scan_open, joins), start, stop, holding=holding, executor=executor)
    for scans in runs if needles else ():
        for needle, scan in scans.items():
            hit = joins[needle].add(scan) if needle in joins else None
            if hit:
                found[needle] = hit.value
                del joins[needle]
        if not joins:
            break
    return found


def _scan_open(needles: dict[str, search.FirstJoin], pieces: Iterator[Piece]) -> dict[str, search.Scan]:
    """The first occurrence within a run of each needle that has not been found in the runs before."""
    run = list(pieces)
    return {needle: search.scan_first(needle, run) for needle in list(needles) if run}


def rfind(characters: Characters, needle: str, start: int, stop: int, executor: Executor | None = None) -> int:
    """The last occurrence within ``[start, stop)``, or -1."""
    if stop - start < len(needle):
        return -1
    base, text = characters.near(stop - 1)
    position = text.rfind(needle, max(0, start - base), stop - base)
    if position >= 0 or base <= start:
        return base + position if position >= 0 else -1
    near = _near(base, text, base, min(stop, base + len(needle) - 1))
    literal = Literal(needle)
    far = characters.map_runs(
        partial(search.scan_last, needle), start, base, reverse=True, holding=[literal], executor=executor
    )
    return _kept(characters, search.join_last(chain([search.scan_last(needle, [near])], far), needle))


def count(characters: Characters, needle: str, start: int, stop: int, executor: Executor | None = None) -> int:
    """The number of non-overlapping occurrences within ``[start, stop)``."""
    if stop - start < len(needle):
        return 0
    holding = [Literal(needle)]
    if search.overlaps_itself(needle):
        return sum(1 for _ in search.occurrences(characters.pieces(start, stop, holding, executor), needle))
    runs = characters.map_runs(partial(search.scan_count, needle), start, stop, holding=holding, executor=executor)
    return search.join_counts(runs, needle)


def find_all(characters: Characters, needle: str, start: int, stop: int, executor: Executor | None) -> Iterator[int]:
    """The non-overlapping occurrences within ``[start, stop)``, left to right."""
    holding = [Literal(needle)]
    if executor is None or search.overlaps_itself(needle):
        return search.occurrences(characters.pieces(start, stop, holding, executor), needle)
    runs = characters.map_runs(partial(search.scan_all, needle), start, stop, holding=holding, executor=executor)
    return search.join_all(runs, needle)


def find_all_ignoring_case(
    characters: Characters, needle: str, start: int, stop: int, executor: Executor | None = None
) -> Iterator[int]:
    """The non-overlapping occurrences within ``[start, stop)`` in any case, as ``re.IGNORECASE`` has it."""
    literals = (Literal(needle, ignore_case=True),)
    floor = start
    for part in walk_hits(Range(characters, start, stop), start, literals, executor):
        for hit in hits_in(part, literals, may_go_on=part.may_go_on()):
            if part.start + hit >= floor:
                yield part.start + hit
                # That comparison maps characters one to one, so an occurrence is as long as the needle.
                floor = part.start + hit + len(needle)


def _near(base: int, text: str, start: int, stop: int) -> Piece:
    """The part of the near shard that a match across its border can lie in."""
    return Piece(start, stop - start, encode(text[start - base : stop - base]))


def _kept(characters: Characters, scan: search.Scan) -> int:
    """The offset; the part it is in is kept, for the next search or slice often begins there."""
    if scan.piece is not None:
        characters.keep(scan.piece)
    return scan.value
