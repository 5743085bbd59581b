"""How a regular expression is best searched for in a text, as far as the pattern, an index and a sample tell."""

from distributed_prompt.derived.walk import Range
from distributed_prompt.prompt import DistributedPrompt
from distributed_prompt.strings import plain
from distributed_prompt.text.literal import Literal
from distributed_prompt.text.reach import Reach

_SAMPLE_CHARACTERS = 2**14
_FEW_PARTS = 256


def reads_far(limits: Reach, string: DistributedPrompt) -> bool:
    """Whether attempts may read on and on, so that each part of the text would need much of what follows it."""
    if limits.endless is None:
        return False
    sample = plain(string[:_SAMPLE_CHARACTERS])
    is_far = len(sample) == _SAMPLE_CHARACTERS and limits.context(sample) is None
    return is_far or limits.endless.fullmatch("a\n") is not None


def are_few(source: Range, first: int, literals: tuple[Literal, ...]) -> bool:
    """Whether an index leaves so little to be matched that it is not worth sending."""
    if not literals:
        return False
    parts = source.characters.parts_holding(source.start + first, source.stop, literals)
    return parts is not None and parts <= _FEW_PARTS


def rarest(source: Range, first: int, sets: tuple[tuple[Literal, ...], ...]) -> tuple[Literal, ...]:
    """That of some sets of literals whose occurrences are in the fewest parts, as far as an index tells."""
    if len(sets) < 2:  # noqa: PLR2004  # nothing to choose from
        return sets[0] if sets else ()
    start = source.start + first
    parts = (source.characters.parts_holding(start, source.stop, literals) for literals in sets)
    known = [(count, literals) for count, literals in zip(parts, sets, strict=True) if count is not None]
    return min(known, key=lambda each: each[0], default=(0, sets[0]))[1]
