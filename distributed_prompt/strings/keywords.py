"""Many substrings at once."""

from collections.abc import Iterable
from concurrent.futures import Executor

from distributed_prompt import finding
from distributed_prompt.geometry import resolve
from distributed_prompt.strings.base import Index, TextBase, View, plain


class Keywords(TextBase[View]):
    """What takes one pass here is a loop of passes with ``find``."""

    __slots__ = ()

    def find_many(
        self, subs: Iterable[str], start: Index = None, end: Index = None, /, *, executor: Executor | None = None
    ) -> dict[str, int]:
        """What :meth:`find` gives for each of some substrings, in their order.

        Args:
            subs: the substrings; what occurs twice is looked for once.
            start: as in :meth:`find`.
            end: as in :meth:`find`.
            executor: as in :meth:`find`.

        Cost: shards from ``start`` to where the last of them is found, once, at most a few MB a core ahead of it.
        """
        needles = [plain(sub) for sub in subs]
        for needle in needles:
            "".find(needle, start, end)  # raises str's own errors
        characters, base, _ = self._range()
        length = len(self)
        first, last = resolve(start, 0, length), min(resolve(end, length, length), length)
        found = dict.fromkeys(needles, -1)
        if first > last:
            return found
        if "" in found:
            found[""] = first
        offsets = finding.find_many(characters, [sub for sub in found if sub], base + first, base + last, executor)
        return found | {sub: offset - base for sub, offset in offsets.items()}
