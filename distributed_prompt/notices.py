"""Notices: short strings that stand for long texts where only real strings can go, and that code of others copies.

A notice says to who reads it what it is, and ends with a *reference* to the text and a seal. Only a sealed one is taken
for more than words, so nobody who writes a text can have a pack of his choice opened.
"""

import hmac
import json
import os
import re
from hashlib import sha256
from typing import NamedTuple

KEY_BYTES = 16
_SEAL_DIGITS = 32
_ENDING = re.compile(rf"<dprompt-text (\[[^\n<>]{{1,8192}}\]) ([0-9a-f]{{{_SEAL_DIGITS}}})>")
MOST_WORDS = 2**13

_keys = [os.urandom(KEY_BYTES)]


class Reference(NamedTuple):
    """Which text a notice stands for.

    Attributes:
        address: of the pack; empty for what no other process can open by it.
        digests: of the pack; another one may lie at the address by then.
        name: of the characters, by which the process that wrote the notice knows them.
        start: offset of the first one.
        length: how many, or below 0 if nobody has asked yet.
        view_threshold: as the prompt's.
        image_limit: as the prompt's.
        form: what it is to be bound as; whoever makes something of the notice knows the names.
    """

    address: str
    digests: list[str]
    name: str
    start: int
    length: int
    view_threshold: int
    image_limit: int
    form: str


class Notice(NamedTuple):
    """A notice in a string: its range, and what it stands for."""

    start: int
    stop: int
    reference: Reference


def key() -> str:
    """What another process needs to believe this one's notices."""
    return _keys[0].hex()


def adopt(key: str) -> None:
    """Seal with the key of another process from now on, so that each believes the other's notices."""
    own = bytes.fromhex(key)
    _keys[:] = [own, *(other for other in _keys if other != own)]


def written(words: str, reference: Reference) -> str:
    """A notice."""
    # Nothing in it may look like an ending.
    where = json.dumps([len(words), *reference]).replace("<", "\\u003c").replace(">", "\\u003e")
    return f"{words}<dprompt-text {where} {_seal(_keys[0], words + where)}>"


def found_in(text: str) -> list[Notice]:
    """The notices in a string.

    Cost: one pass.
    """
    endings = list(_ENDING.finditer(text))
    notices: list[Notice] = []
    # From the end, since the words of a notice may hold others.
    for ending in reversed(endings):
        if not notices or ending.end() <= notices[-1].start:
            found = _read(text, ending)
            notices += [found] if found else []
    return notices[::-1]


def _read(text: str, ending: "re.Match[str]") -> Notice | None:
    try:
        characters, *reference = json.loads(ending[1])
    except (ValueError, RecursionError):
        return None
    if type(characters) is not int or not 0 <= characters <= min(MOST_WORDS, ending.start()):
        return None
    start = ending.start() - characters
    sealed = text[start : ending.start()] + ending[1]
    if not any(hmac.compare_digest(_seal(key, sealed), ending[2]) for key in _keys):
        return None
    return Notice(start, ending.end(), Reference(*reference))


def _seal(key: bytes, sealed: str) -> str:
    return hmac.new(key, sealed.encode("utf-8", "surrogatepass"), sha256).hexdigest()[:_SEAL_DIGITS]
