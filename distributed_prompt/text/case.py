"""``lower``, ``title`` and their like of a text in parts, exact where a mapping looks at what surrounds a character.

Two rules do. A capital sigma becomes a final one behind a cased letter and before none, whatever *case-ignorable*
characters lie between (Unicode, section 3.13, "Final_Sigma"); and a title begins where no cased letter is before. So a
part is mapped with a few characters before and behind it that tell the same as all that lies there.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from distributed_prompt.text.literal import Literal
from distributed_prompt.text.parts import Part
from distributed_prompt.text.transform import Transform

_GLANCE = 64


@dataclass(frozen=True)
class CaseMapping(Transform[None]):
    """One of ``str``'s methods that map case.

    Attributes:
        method: ``capitalize``, ``casefold``, ``lower``, ``swapcase``, ``title`` or ``upper``.
    """

    method: str

    @property
    def first(self) -> None:
        """None: all that matters is found by looking around."""

    @property
    def keeps_ascii(self) -> bool:
        """As the base class says: always."""
        return True

    @property
    def changed(self) -> tuple[Literal, ...]:
        """As the base class says: there is one character that ``lower`` makes longer."""
        return (Literal("\u0130"),) if self.method == "lower" else ()

    def origins(self, literals: Sequence[Literal]) -> tuple[Literal, ...]:
        """As the base class says: for ``lower``, the same in any case."""
        return tuple(Literal(literal.text, ignore_case=True) for literal in literals) if self.method == "lower" else ()

    def __str__(self) -> str:
        """The method."""
        return self.method

    def apply(self, part: Part, state: None) -> tuple[str, None]:
        """The part, mapped."""
        del state
        text, method = part.text, self.method
        if method == "capitalize" and next(part.before(), ""):
            method = "lower"
        call: Callable[[str], str] = getattr(str, method)
        has_sigma = method in {"lower", "swapcase", "title", "capitalize"} and "\u03a3" in text
        before = ""
        if has_sigma:
            before = _before(part.before())
        elif method == "title":
            before = next(part.before(), "")[-1:]
        after = _after(part.after()) if has_sigma else ""
        mapped = call(before + text + after)
        return mapped[len(call(before)) : len(mapped) - len(after)], None


def _before(texts: Iterator[str]) -> str:
    """Two characters that tell the same as all texts before; the nearest comes first. Nothing if there are none."""
    nearest = next(texts, "")
    if not nearest:
        return ""
    return ("A" if _is_cased_before(nearest[:-1], texts) else " ") + nearest[-1]


def _is_cased_before(nearest: str, others: Iterator[str]) -> bool:
    """Whether a cased letter is the last that is not case-ignorable."""
    while True:
        for tail in (nearest[-_GLANCE:], nearest):
            behind_letter, behind_none = (_ends_final(start + tail) for start in ("A", ""))
            if behind_letter == behind_none:
                return behind_letter
        nearest = next(others, "")
        if not nearest:
            return False


def _ends_final(text: str) -> bool:
    return (text + "\u03a3").lower().endswith("\u03c2")


def _after(texts: Iterator[str]) -> str:
    """A character that tells the same as all texts behind."""
    for text in texts:
        for head in (text[:_GLANCE], text):
            before_letter, before_none = (_begins_medial(head + end) for end in ("A", ""))
            if before_letter == before_none:
                return "A" if before_letter else " "
    return " "


def _begins_medial(text: str) -> bool:
    return ("A\u03a3" + text).lower()[1] == "\u03c3"
