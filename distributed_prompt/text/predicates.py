"""``str`` questions about a whole text, such as ``isalpha`` and ``istitle``, asked of it piece by piece.

A piece is asked together with a character before it that makes the question independent of what the piece lacks.
"""

from collections.abc import Callable, Iterable

_CASED = {"islower": "a", "isupper": "A"}


def holds(name: str, texts: Iterable[str]) -> bool:
    """Whether ``str``'s method of this name holds for the texts joined. Stops at the piece that decides.

    Args:
        name: ``isalnum``, ``isalpha``, ``isascii``, ``isdecimal``, ``isdigit``, ``isidentifier``, ``islower``,
            ``isnumeric``, ``isprintable``, ``isspace``, ``istitle`` or ``isupper``.
        texts: consecutive pieces.
    """
    if name == "istitle":
        return _is_title(texts)
    if name in _CASED:
        return _is_of_case(name, _CASED[name], texts)
    ask: Callable[[str], bool] = getattr(str, name)
    empty = ask("")
    before = ""
    for text in texts:
        if not text:
            continue
        if not ask(before + text):
            return False
        empty = True
        # What may begin an identifier may go on with more than it may begin with.
        before = "a" if name == "isidentifier" else ""
    return empty


def _is_of_case(name: str, before: str, texts: Iterable[str]) -> bool:
    ask: Callable[[str], bool] = getattr(str, name)
    found = False
    for text in texts:
        if not ask(before + text):
            return False
        found = found or ask(text)
    return found


def _is_title(texts: Iterable[str]) -> bool:
    found = inside_word = False
    for text in texts:
        if not text:
            continue
        if not (("A" if inside_word else "A ") + text).istitle():
            return False
        found = found or any(map(_is_cased, text))
        inside_word = _is_cased(text[-1])
    return found


def _is_cased(character: str) -> bool:
    return character.isupper() or character.islower() or character.istitle()
