"""Where CPython keeps what in a string's header: found by experiment, not taken from a table of versions."""

import ctypes
import sys
from functools import cache
from typing import NamedTuple

WORD = ctypes.sizeof(ctypes.c_void_p)
_PROBE = 1234  # characters of a template: a number that no other field holds
_NO_HASH = -1


class Kind(NamedTuple):
    """How a string keeps its characters.

    Attributes:
        width: as the metadata have it: 0 for ASCII, 1, 2 or 4.
        bytes: what each character takes.
        codec: what writes them so; pairs of lone surrogates stay two characters.
        sample: a character that needs this kind.
    """

    width: int
    bytes: int
    codec: str
    sample: str


_ORDER = "le" if sys.byteorder == "little" else "be"
KINDS = {
    0: Kind(0, 1, "ascii", "a"),
    1: Kind(1, 1, "latin-1", "\u00e9"),
    2: Kind(2, 2, f"utf-16-{_ORDER}", "\u0100"),
    4: Kind(4, 4, f"utf-32-{_ORDER}", "\U00010000"),
}


class Template(NamedTuple):
    """The header of an ordinary string of one kind.

    Attributes:
        header: its bytes.
        data_words: where it holds the address of its characters again.
        length_words: where it holds its length, again or only there.
    """

    header: bytes
    data_words: tuple[int, ...]
    length_words: tuple[int, ...]


class Layout(NamedTuple):
    """Where the fields of a header are."""

    templates: dict[int, Template]
    hash: int
    state: int
    utf8: int


class UnknownLayoutError(Exception):
    """A header is not as expected; says what."""


@cache
def find_layout() -> Layout:
    """Find out where the fields are.

    Raises:
        UnknownLayoutError: they are not where they were in any known version.
    """
    templates = {width: _template(kind) for width, kind in KINDS.items()}
    first = object.__basicsize__
    hashed = KINDS[0].sample * (_PROBE + 1)
    expected = hash(hashed)
    hash_word, state_word = first + WORD, first + 2 * WORD
    for width, template in templates.items():
        if first not in template.length_words:
            message = f"length of kind {width}"
            raise UnknownLayoutError(message)
        if _signed(template.header, hash_word) != _NO_HASH:
            message = f"hash of kind {width}"
            raise UnknownLayoutError(message)
    if ctypes.c_ssize_t.from_address(id(hashed) + hash_word).value != expected:
        message = "hash"
        raise UnknownLayoutError(message)
    return Layout(templates, hash_word, state_word, _utf8_word(templates[2], state_word))


def _template(kind: Kind) -> Template:
    text = kind.sample * _PROBE
    size = sys.getsizeof(text) - (_PROBE + 1) * kind.bytes
    header = ctypes.string_at(id(text), size)
    if ctypes.string_at(id(text) + size, 3 * kind.bytes) != text[:3].encode(kind.codec):
        message = f"characters of kind {kind.width}"
        raise UnknownLayoutError(message)
    words = {place: _signed(header, place) for place in range(object.__basicsize__, size, WORD)}
    return Template(
        header,
        tuple(place for place, value in words.items() if value == id(text) + size),
        tuple(place for place, value in words.items() if value == _PROBE),
    )


def _utf8_word(template: Template, state: int) -> int:
    text = KINDS[2].sample * (_PROBE + 1)
    pointer = ctypes.pythonapi.PyUnicode_AsUTF8
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object]
    found = pointer(text)
    words = range(state + WORD, len(template.header), WORD)
    places = [place for place in words if ctypes.c_void_p.from_address(id(text) + place).value == found]
    if len(places) != 1:
        message = "UTF-8"
        raise UnknownLayoutError(message)
    return places[0]


def _signed(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + WORD], sys.byteorder, signed=True)
