"""A genuine ``str`` whose characters lie in a file mapping instead of the process's own memory.

CPython keeps a string in one piece: an object header, and right behind it the characters at one, two or four bytes
each (PEP 393). Here the header is the end of a private page, and the pages behind it are a read-only mapping of an
*image*: a file that holds just those characters. The result is of exact type ``str``, and C code reads it as any other.

::

    [ private page … header ][ pages of the image … ][ a page of zeros ]

The header is copied from an ordinary string of the same kind, with the fields changed that
:mod:`distributed_prompt.string_layout` finds, and the result is tried out. What is not understood is refused.

CPython must never free such a string, for it did not allocate it. So this module holds one reference of its own as
long as the string is mapped, and unmaps it when that is the last one: after a garbage collection, or when the next is
mapped.
"""

import ctypes
import gc
import mmap
import os
import sys
import sysconfig
from collections.abc import Callable, Hashable
from functools import cache
from typing import NamedTuple, cast

from distributed_prompt.errors import MaterialiseError
from distributed_prompt.locks import Lock
from distributed_prompt.string_layout import KINDS, WORD, Kind, Layout, Template, UnknownLayoutError, find_layout

SWITCH = "DPROMPT_MAPPED"
_PAGE = mmap.PAGESIZE
_READ, _WRITE = mmap.PROT_READ, mmap.PROT_WRITE
_ANONYMOUS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_FIXED, _NO_RESERVE = 0x10, 0x4000  # Linux
_FAILED = ctypes.c_void_p(-1).value
_COUNT_MASK = 2**32 - 1  # 3.12 keeps the count in the lower half


class _Mapping(NamedTuple):
    base: int
    total: int
    width: int
    key: Hashable


# Not reentrant: a collection may begin wherever something is allocated, and is then to leave everything as it is.
_guard = Lock(reentrant=False)
_mappings: dict[int, _Mapping] = {}
_by_key: dict[Hashable, int] = {}


def refusal() -> str | None:
    """Why no string can be mapped in this process; None if one can.

    Cost: at the first call, a millisecond for trying it out.
    """
    if os.environ.get(SWITCH) == "0":
        return f"it is switched off by {SWITCH}=0"
    if not _in_main_interpreter():
        return "it works in the main interpreter only"
    return _refusal_for_good()


@cache
def _refusal_for_good() -> str | None:
    if sys.implementation.name != "cpython" or sys.platform != "linux":
        return f"it works with CPython on Linux, not with {sys.implementation.name} on {sys.platform}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "it does not work with a free-threaded Python"
    try:
        _try_out()
    except UnknownLayoutError as error:
        return f"this Python keeps its strings in a way that is not known ({error})"
    except OSError as error:
        return f"the system does not map it ({error.strerror})"
    return None


def _in_main_interpreter() -> bool:
    if sys.implementation.name != "cpython":
        return True
    states = (ctypes.pythonapi.PyInterpreterState_Get, ctypes.pythonapi.PyInterpreterState_Main)
    for state in states:
        state.restype, state.argtypes = ctypes.c_void_p, []
    return bool(states[0]() == states[1]())


def find(key: Hashable) -> str | None:
    """The string that was mapped under a key, while anybody holds it."""
    with _guard:
        address = _by_key.get(key)
        if address is None or _references(address) == 1:
            return None
        return _object(address)


def map_image(descriptor: int, length: int, width: int, key: Hashable = None) -> str:
    """The characters in a file as a string.

    Args:
        descriptor: the file, which may be closed afterwards, and which nobody changes or cuts short any more.
        length: characters.
        width: which kind, as the metadata have it: that of the widest character.
        key: under which :func:`find` finds it.

    Raises:
        MaterialiseError: this process cannot have such a string, or not of this size.

    Cost: no memory but the header's page; what is read of it is the system's page cache.
    """
    reason = refusal()
    if reason:
        message = f"{length:,} characters cannot become one string: {reason}"
        raise MaterialiseError(message)
    sweep()
    try:
        return _map(find_layout(), descriptor, length, KINDS[width], key)
    except OSError as error:
        message = (
            f"{length:,} characters cannot become one string: the system gives no address space for them "
            f"({error.strerror}); see ulimit -v"
        )
        raise MaterialiseError(message) from error


def sweep() -> None:
    """Unmap what nobody holds any more."""
    with _guard:
        _sweep()


def _sweep() -> None:
    for address in [address for address in _mappings if _references(address) == 1]:
        if not _is_interned(address):
            _unmap(address)


def _unmap(address: int) -> None:
    mapping = _mappings.pop(address)
    if _by_key.get(mapping.key) == address:
        del _by_key[mapping.key]
    _free_utf8(address, mapping.width)
    _munmap(mapping.base, mapping.total)


def _map(layout: Layout, descriptor: int, length: int, kind: Kind, key: Hashable) -> str:
    body = -(-length * kind.bytes // _PAGE) * _PAGE
    total = _PAGE + body + _PAGE
    base = _mmap(None, total, 0, _ANONYMOUS | _NO_RESERVE, -1, 0)
    try:
        _mmap(base, _PAGE, _READ | _WRITE, _ANONYMOUS | _FIXED, -1, 0)
        _mmap(base + _PAGE, body, _READ, mmap.MAP_SHARED | _FIXED, descriptor, 0)
        _mmap(base + _PAGE + body, _PAGE, _READ, _ANONYMOUS | _FIXED, -1, 0)
        address = _write_header(layout.templates[kind.width], base + _PAGE, length)
    except BaseException:
        _munmap(base, total)
        raise
    with _guard:
        _mappings[address] = _Mapping(base, total, kind.width, key)
        if key is not None:
            _by_key[key] = address
        return _object(address)


def _write_header(template: Template, data: int, length: int) -> int:
    """The header, so that it ends where the characters begin; its address."""
    header = bytearray(template.header)
    for words, value in ((template.data_words, data), (template.length_words, length), ((0,), 1)):
        for place in words:
            header[place : place + WORD] = value.to_bytes(WORD, sys.byteorder)
    address = data - len(header)
    ctypes.memmove(address, bytes(header), len(header))
    return address


@cache
def _try_out() -> None:
    """Map a small string of each kind and look at it as CPython's own checks do.

    Raises:
        UnknownLayoutError: it is no string like others.
    """
    layout = find_layout()
    for kind in KINDS.values():
        for length in (_PAGE // kind.bytes, _PAGE // kind.bytes + 3):
            expected = (kind.sample + "b" * (length - 2)) + kind.sample
            descriptor = os.memfd_create("dprompt", os.MFD_CLOEXEC)
            try:
                os.write(descriptor, expected.encode(kind.codec))
                found = _map(layout, descriptor, length, kind, None)
            finally:
                os.close(descriptor)
            if not _is_consistent(found) or not _behaves(found, expected):
                message = f"kind {kind.width} does not work"
                raise UnknownLayoutError(message)
            address = id(found)
            del found
            if _references(address) != 1:
                message = "references"
                raise UnknownLayoutError(message)
            _unmap(address)
    gc.callbacks.append(_after_collection)


def _behaves(found: str, expected: str) -> bool:
    return (
        type(found) is str
        and found == expected
        and hash(found) == hash(expected)
        and found.find("b") == 1
        and found[1:5] == "bbbb"
        and f"{found}" is found
        and found.encode("utf-8") == expected.encode("utf-8")
    )


def _is_consistent(text: str) -> bool:
    """CPython's own check of a string, where this build has it."""
    check: Callable[..., int] | None = getattr(ctypes.pythonapi, "_PyUnicode_CheckConsistency", None)
    if check is None:
        return True
    check.argtypes = [ctypes.py_object, ctypes.c_int]  # type: ignore[attr-defined]
    return bool(check(text, 1))


def _after_collection(phase: str, _: object) -> None:
    if phase == "stop" and _mappings and _guard.acquire(blocking=False):
        try:
            _sweep()
        finally:
            _guard.release()


def _object(address: int) -> str:
    return cast("str", ctypes.cast(address, ctypes.py_object).value)


def _references(address: int) -> int:
    return ctypes.c_ssize_t.from_address(address).value & _COUNT_MASK


def _state(header: bytes) -> bytes:
    place = find_layout().state
    return header[place : place + 4]


def _is_interned(address: int) -> bool:
    """Whether the state is no longer a fresh string's: only interning changes it, whose references do not count."""
    template = find_layout().templates[_mappings[address].width]
    return ctypes.string_at(address + find_layout().state, 4) != _state(template.header)


def _free_utf8(address: int, width: int) -> None:
    """Free what CPython has kept of a string's UTF-8; that of ASCII is the string itself."""
    if width == 0:
        return
    slot = ctypes.c_void_p.from_address(address + find_layout().utf8)
    if slot.value:
        free = ctypes.pythonapi.PyMem_Free if sys.version_info >= (3, 13) else ctypes.pythonapi.PyObject_Free
        free(ctypes.c_void_p(slot.value))
        slot.value = None


def _mmap(address: int | None, size: int, protection: int, flags: int, descriptor: int, offset: int) -> int:
    found = _libc().mmap(address, size, protection, flags, descriptor, offset)
    if found == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(found)


def _munmap(address: int, size: int) -> None:
    _libc().munmap(address, size)


@cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_ssize_t,
    ]
    library.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return library
