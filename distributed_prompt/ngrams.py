"""Which shards a search must look at: what the n-gram index of a pack says of some literals."""

from collections.abc import Iterable, Iterator

from distributed_prompt.geometry import SEGMENT_SHARDS
from distributed_prompt.store.ngrams import Ngrams
from distributed_prompt.text.literal import Literal

# Reading a row takes a quarter of the time that decoding a shard does.
_FEW_ROWS = 5
_MANY_ROWS = 16
_FEW_SHARDS = 4
# Where rows take a round trip, which one of several shards takes as well.
_FEW_FAR_ROWS = 3
_MANY_FAR_ROWS = 9
_SAMPLE_SEGMENTS = 4
# Of so many segments what tells is fetched at once, where that takes long.
_TOGETHER = 32


class Sieve:
    """The shards that an occurrence of one of some literals may end in. Safe to use from any thread."""

    def __init__(self, ngrams: Ngrams, literals: Iterable[Literal]) -> None:
        """Take the index, and what is looked for; nothing is read yet."""
        self._ngrams = ngrams
        self._literals = tuple(literals)
        self._masks: dict[int, int] = {}

    @staticmethod
    def can_tell(literals: Iterable[Literal], shard_size: int) -> bool:
        """Whether each literal is long enough for the index, and so short that no more than two shards hold it."""
        return all(literal.buckets and len(literal.data) <= shard_size for literal in literals)

    def mask(self, segment: int) -> int:
        """The shards of a segment in which an occurrence may end, the lowest bit for the first of them.

        Raises:
            CorruptPackError: the index is damaged.
        """
        mask = self._masks.get(segment)
        if mask is None:
            mask = 0
            for literal in self._literals:
                mask |= self._of_literal(literal, segment)
            self._masks[segment] = mask
        return mask

    def holds(self, shard: int) -> bool:
        """Whether an occurrence may end in a shard."""
        segment, number = divmod(shard, SEGMENT_SHARDS)
        return bool(self.mask(segment) >> number & 1)

    def estimate(self, first: int, last: int) -> int:
        """In how many shards between two an occurrence may end, of the first segments, which stand for the others."""
        segments = range(first // SEGMENT_SHARDS, last // SEGMENT_SHARDS + 1)[:_SAMPLE_SEGMENTS]
        self._expect(segments)
        return sum(self.mask(segment).bit_count() for segment in segments)

    def stretches(self, first: int, last: int, *, reverse: bool = False) -> Iterator[range]:
        """The shards between two, both included, in which an occurrence may end, or begin that ends right behind.

        Yields:
            As many consecutive ones as there are; in descending order in reverse.
        """
        open_stretch: range | None = None
        for stretch in self._reverse_runs(first, last) if reverse else self._runs(first, last):
            if open_stretch is None:
                open_stretch = stretch
            elif open_stretch.stop == stretch.start:
                open_stretch = range(open_stretch.start, stretch.stop, open_stretch.step)
            else:
                yield open_stretch
                open_stretch = stretch
        if open_stretch is not None:
            yield open_stretch

    def _runs(self, first: int, last: int) -> Iterator[range]:
        for base, mask in self._cut_masks(first, last):
            rest, at = mask, base
            while rest:
                gap = (rest & -rest).bit_length() - 1
                rest >>= gap
                ones = (~rest & (rest + 1)).bit_length() - 1
                yield range(at + gap, at + gap + ones)
                rest >>= ones
                at += gap + ones

    def _reverse_runs(self, first: int, last: int) -> Iterator[range]:
        for base, mask in self._cut_masks(first, last, reverse=True):
            rest = mask
            while rest:
                top = rest.bit_length()
                low = (rest ^ (1 << top) - 1).bit_length()
                yield range(base + top - 1, base + low - 1, -1)
                rest &= (1 << low) - 1

    def _cut_masks(self, first: int, last: int, *, reverse: bool = False) -> Iterator[tuple[int, int]]:
        """The first shard and the mask of each segment, without what is outside of the range."""
        segments = range(first // SEGMENT_SHARDS, last // SEGMENT_SHARDS + 1)
        segments = segments[::-1] if reverse else segments
        for number, segment in enumerate(segments):
            if not number % _TOGETHER:
                self._expect(segments[number : number + _TOGETHER])
            base = segment * SEGMENT_SHARDS
            mask = self.mask(segment)
            if base + SEGMENT_SHARDS > last:
                mask &= (2 << last - base) - 1
                if self._ends_behind(last):
                    mask |= 1 << last - base
            yield base, mask & -(1 << max(0, first - base))

    def _expect(self, segments: range) -> None:
        """Have what tells of some segments fetched all at once."""
        if not self._ngrams.is_far:
            return
        missing = [segment for segment in segments if segment not in self._masks and self._ngrams.covers(segment)]
        if len(missing) * len(self._literals) > 1:
            self._ngrams.expect_counts(missing)
        wanted = [(segment, literal) for segment in missing for literal in self._literals]
        self._ngrams.expect_bitmaps(
            [(segment, entry) for segment, literal in wanted for entry in self._first_entries(literal, segment)]
        )
        more = [(segment, literal) for segment, literal in wanted if self._leaves_many(literal, segment)]
        self._ngrams.expect_bitmaps(
            [
                (segment, bucket)
                for segment, literal in more
                for bucket in self._sorted_buckets(literal, segment)[_FEW_FAR_ROWS:_MANY_FAR_ROWS]
            ]
        )

    def _ends_behind(self, shard: int) -> bool:
        segment, number = divmod(shard + 1, SEGMENT_SHARDS)
        return number < self._ngrams.shards(segment) and self.holds(shard + 1)

    def _sorted_buckets(self, literal: Literal, segment: int) -> list[int]:
        """The buckets of a literal, those that the fewest shards have first."""
        return sorted(literal.buckets, key=self._ngrams.counts(segment).__getitem__)

    def _first_entries(self, literal: Literal, segment: int) -> list[int]:
        counts, buckets = self._ngrams.counts(segment), self._sorted_buckets(literal, segment)
        return [*(buckets[:_FEW_FAR_ROWS] if counts[buckets[0]] else []), *(f for f in literal.flags if counts[f])]

    def _leaves_many(self, literal: Literal, segment: int) -> bool:
        """Whether the first few rows leave so many shards that it pays to look at more rows."""
        mask = (1 << self._ngrams.shards(segment)) - 1
        for bucket in self._sorted_buckets(literal, segment)[:_FEW_FAR_ROWS]:
            mask &= self._ngrams.bitmap(segment, bucket) if mask else 0
        return mask.bit_count() >= _FEW_SHARDS

    def _of_literal(self, literal: Literal, segment: int) -> int:
        ngrams = self._ngrams
        mask = (1 << ngrams.shards(segment)) - 1
        if not ngrams.covers(segment):
            return mask
        counts, buckets = ngrams.counts(segment), self._sorted_buckets(literal, segment)
        few, many = (_FEW_FAR_ROWS, _MANY_FAR_ROWS) if ngrams.is_far else (_FEW_ROWS, _MANY_ROWS)
        if counts[buckets[0]]:
            for number, bucket in enumerate(buckets[:many]):
                if not mask or (number >= few and mask.bit_count() < _FEW_SHARDS):
                    break
                mask &= ngrams.bitmap(segment, bucket)
        else:
            mask = 0
        for flag in literal.flags:
            if counts[flag]:
                mask |= ngrams.bitmap(segment, flag)
        return mask
