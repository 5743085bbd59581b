"""Prompts for code that insists on a ``str``."""

import os
import re
from collections import deque
from typing import Self, cast
from weakref import WeakKeyDictionary, WeakValueDictionary

from distributed_prompt import notices
from distributed_prompt.caching import cached
from distributed_prompt.characters import Characters
from distributed_prompt.errors import AddressError, PackChangedError
from distributed_prompt.geometry import DEFAULT_SHARD_SIZE
from distributed_prompt.notices import Reference
from distributed_prompt.prompt import DistributedPrompt, open  # noqa: A004  # dp.open
from distributed_prompt.strings import plain

LAZY = "lazy"
SHOWN_FROM_START = 1000
SHOWN_FROM_END = 200

_PRECISION = re.compile(r"\.(\d+)s?\Z")
_NAME_BYTES = 8
_names: "WeakKeyDictionary[Characters, str]" = WeakKeyDictionary()
_characters: "WeakValueDictionary[str, Characters]" = WeakValueDictionary()
# Those of texts that were shown, for whom nothing but their notice may be left: of f"Summarise: {context.lower()}".
_shown: "deque[Characters]" = deque(maxlen=16)
_opened: "WeakValueDictionary[tuple[str, ...], Characters]" = WeakValueDictionary()


class LazyStr(DistributedPrompt, str):  # type: ignore[misc]  # noqa: SLOT000  # a prompt, whose results may be lazy
    """A prompt that is a real ``str`` as well: all that Python asks of it has the prompt's answers.

    Code in C that reads a string's buffer itself (``",".join([context])``, ``file.write(context)``, the standard
    library's ``re``) meets a *notice* there: a line that says what this is, and how to use it. ``str(context)`` and so
    ``print(context)`` show it with how the text begins and ends. A notice that comes back whole, from a file, a
    socket or a log, can be made the text again (:mod:`distributed_prompt.attaching`).

    Results are as a prompt's: strings up to ``view_threshold`` characters, and above it of this class.

    Example:
        >>> context = LazyStr(DistributedPrompt.from_text("to be or not to be"))
        >>> isinstance(context, str), context[3:8], "not" in context, len(context)
        (True, 'be or', True, 18)
    """

    def __new__(cls, prompt: DistributedPrompt, form: str = LAZY, *, owns: bool = False) -> Self:
        """The text of a prompt, in its shards and with its limits.

        Args:
            prompt: any.
            form: what the notice is to be made again.
            owns: whether closing this closes the pack; otherwise that stays the prompt's.

        Cost: no shard.
        """
        if not isinstance(prompt, DistributedPrompt):
            message = (  # type: ignore[unreachable]  # for untyped callers
                f"a LazyStr is made of a DistributedPrompt, not {type(prompt).__name__}"
            )
            raise TypeError(message)
        text = cls._saying("", prompt, form)
        text._owns = owns
        return text

    def __init__(self, prompt: DistributedPrompt, form: str = LAZY, *, owns: bool = False) -> None:
        """All is done.

        Cost: no shard.
        """

    @classmethod
    def from_text(cls, text: str, *, shard_size: int = DEFAULT_SHARD_SIZE) -> Self:
        """As that of a prompt.

        Cost: as there.
        """
        return cls(DistributedPrompt.from_text(text, shard_size=shard_size), owns=True)

    @classmethod
    def _saying(cls, excerpt: str, prompt: DistributedPrompt, form: str = LAZY) -> Self:
        characters, start, length = prompt._characters, prompt._start, prompt._known_length
        name = _names.setdefault(characters, os.urandom(_NAME_BYTES).hex())
        _characters[name] = characters
        limits = (prompt.view_threshold, prompt.image_limit)
        reference = Reference(characters.address, list(characters.digests), name, start, length, *limits, form)
        shown = f"{length:,}" if length >= 0 else "as yet uncounted"
        words = (
            f"[This stands for a text of {shown} characters, too long to be shown or copied whole. It is a str that is "
            "read lazily: use slices (context[a:b]), find, count, in, split, and re on the variable itself.]"
        )
        text = str.__new__(cls, notices.written(words + excerpt, reference))
        return text._bind(characters, start, length, *limits, owns=False)

    @classmethod
    def _of(cls, characters: Characters, start: int, length: int, *limits: int, owns: bool = False) -> Self:
        text = cls._saying("", DistributedPrompt._of(characters, start, length, *limits, owns=owns))
        text._owns = owns
        return text

    @classmethod
    def at(cls, reference: Reference) -> "LazyStr":
        """The text that a notice stands for, in the shards that this process has of it if there are any.

        Raises:
            AddressError: it was made of others, or opened in another way than by its address, and is gone.
            PackChangedError: another pack lies at the address now.
            DPromptError: as :func:`distributed_prompt.open`.

        Cost: no shard; for a notice of another process, the first time, as opening the pack.
        """
        characters = _characters.get(reference.name) or _opened.get((reference.address, *reference.digests))
        if characters is None:
            if not reference.address:
                message = "the text that this notice stands for exists no longer, or in another process only"
                raise AddressError(message)
            prompt = open(reference.address)
            characters = prompt._characters
            if list(characters.digests) != reference.digests:
                prompt.close()
                message = f"{reference.address}: another pack lies there than the one that the notice is of"
                raise PackChangedError(message)
            _opened[reference.address, *reference.digests] = characters
        return cls._of(characters, reference.start, reference.length, reference.view_threshold, reference.image_limit)

    def __str__(self) -> str:
        """The same text, with a notice that shows how it begins and ends.

        Cost: the first and the last shard; of a text made of others, what its length costs.
        """
        if len(self) <= SHOWN_FROM_START + SHOWN_FROM_END:
            return self._whole()
        first, last = self._text(0, SHOWN_FROM_START), self._text(len(self) - SHOWN_FROM_END, len(self))
        if not self._characters.address:
            _shown.append(self._characters)
        excerpt = _legible(f" It begins:\n{first}\n[...]\n{last}\n[end of the text] ")
        return self._saying(excerpt, self)

    def __ne__(self, other: object, /) -> bool:
        """Return self!=value.

        Cost: as ``==``.
        """
        is_equal = self.__eq__(other)
        return is_equal if is_equal is NotImplemented else not is_equal

    def __hash__(self) -> int:
        """Return hash(self): that of the equal ``str``, and the same after the pack is closed.

        The standard library's ``re`` keeps patterns that are strings as keys, and drops them when it likes.

        Cost: as that of a prompt, once.
        """
        return self._hash

    @cached
    def _hash(self) -> int:
        return super().__hash__()

    def __format__(self, format_spec: str, /) -> str:
        """Return a formatted version of the string as described by format_spec.

        Cost: as ``str(self)``; with a precision, that slice.
        """
        if len(self) <= SHOWN_FROM_START + SHOWN_FROM_END:
            return format(self._whole(), format_spec)
        if precision := _PRECISION.search(format_spec):
            return format(plain(self[: int(precision[1])]), format_spec)
        format("", format_spec)  # raises str's own errors
        return str(self)

    def __rmod__(self, value: object, /) -> str:
        """Return value%self, with the notice for this text.

        Cost: as ``str(self)``.
        """
        return plain(value) % str.__str__(cast("LazyStr", str(self))) if isinstance(value, str) else NotImplemented


def _legible(text: str) -> str:
    """What any file takes, and gives back as it is: no lone surrogates, and line ends that it does not change."""
    return text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
