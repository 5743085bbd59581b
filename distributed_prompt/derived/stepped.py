"""Every so many characters of a text: slices with a step, a reversed text among them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor

from distributed_prompt.characters import Characters
from distributed_prompt.derived.base import Derived
from distributed_prompt.text.literal import Literal
from distributed_prompt.text.pieces import Piece, encode

_MOST_CHARACTERS = 2**16


class Stepped(Derived):
    """The characters at some offsets."""

    def __init__(self, base: Characters, offsets: range) -> None:
        """Take the offsets, all in range."""
        super().__init__(base)
        self._source = base
        self._offsets = offsets
        # Characters of the source that a part covers, or one of it.
        self._part_characters = max(1, min(_MOST_CHARACTERS, max(64, 4 * base.part_size)) // abs(offsets.step))

    @property
    def recipe(self) -> tuple[object, ...]:
        """As the base class says."""
        return self._source, self._offsets

    @property
    def length(self) -> int:
        """As the base class says."""
        return len(self._offsets)

    def describe(self, start: int, length: int) -> str:
        """As the base class says."""
        del start, length
        return f"step {self._offsets.step:,} of {self.name}"

    def near(self, offset: int) -> tuple[int, str]:
        """As the base class says."""
        if offset >= self.length:
            return self.length, ""
        kept = self._kept(offset)
        if kept is not None:
            return kept
        start = offset - offset % self._part_characters
        offsets = self._offsets[start : start + self._part_characters]
        return self._keep(start, "".join(self._gathered(offsets)))

    def _gathered(self, offsets: range) -> Iterator[str]:
        """The characters of a part, of one part of the base at a time."""
        while offsets:
            start, text = self._source.near(offsets[0])
            if offsets.step > 0:
                here = offsets[: len(range(offsets[0], start + len(text), offsets.step))]
            else:
                here = offsets[: len(range(offsets[0], start - 1, offsets.step))]
            first, last = here[0] - start, here[-1] - start
            yield text[min(first, last) : max(first, last) + 1][:: offsets.step]
            offsets = offsets[len(here) :]

    def pieces(
        self, start: int, stop: int, holding: Sequence[Literal] = (), executor: Executor | None = None
    ) -> Iterator[Piece]:
        """As the base class says."""
        del holding, executor
        while start < min(stop, self.length):
            first, text = self.near(start)
            text = text[start - first : stop - first]
            yield Piece(start, len(text), encode(text))
            start += len(text)
