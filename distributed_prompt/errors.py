"""Every exception of the package. Each also is the builtin that a caller of ``str`` or ``open`` would catch.

::

    DPromptError
    ├── ArgumentError        (ValueError)         an argument is outside its range
    │   └── NoDocumentError  (ValueError)         nothing of what was to be packed is text
    ├── AddressError         (ValueError)         no pack can be read at this address
    ├── PackNotFoundError    (FileNotFoundError)  nothing is at this address
    ├── OutputExistsError    (FileExistsError)    the output is there already
    ├── OutputError          (OSError)            the output cannot be written: disk full, read-only, busy
    ├── PackReadError        (OSError)            the system could not read the pack
    ├── RemoteError          (ConnectionError)    a server cannot be reached, or does not do what is needed
    ├── AccessError          (PermissionError)    a server refuses the request: credentials, or what they allow
    ├── NotAPackError        (ValueError)         a file, but not a pack
    ├── UnsupportedPackError (ValueError)         a pack of a newer format, or with unknown features
    ├── CorruptPackError     (ValueError)         a pack whose contents are not what was packed
    ├── PackChangedError     (RuntimeError)       another pack lies at the address now
    ├── ClosedError          (ValueError)         the prompt or the pack was closed
    ├── UndecodableError     (UnicodeError)       input bytes that are no text in the given encoding
    ├── InexactError         (ValueError)         the original bytes cannot be given back
    ├── MaterialiseError     (MemoryError)        a result too long to be one ordinary string
    └── DepthError           (RecursionError)     too many texts, each made of the one before it

Those that are an ``OSError`` have its ``errno``, where there is one; places are in their messages.
"""

from errno import EACCES, EEXIST, ENOENT


class DPromptError(Exception):
    """Base of every error that this package raises by itself."""


class ArgumentError(DPromptError, ValueError):
    """An argument is outside its range; the message names it, its value and the range."""


class _CausedError(OSError):
    """What the system refused, as the error says that this one was raised from."""

    @property
    def errno(self) -> int | None:  # type: ignore[override]  # of what Python's own class only writes itself
        """The system's number of it, or None."""
        return getattr(self.__cause__, "errno", None)


class NoDocumentError(ArgumentError):
    """Nothing of what was to be packed is text."""


class AddressError(DPromptError, ValueError):
    """No pack can be read, or written, at this address: a folder without one, or an unknown scheme."""


class PackNotFoundError(DPromptError, FileNotFoundError):
    """Nothing is at this address."""

    errno = ENOENT


class OutputExistsError(DPromptError, FileExistsError):
    """The output is there already, and overwriting was not asked for."""

    errno = EEXIST


class OutputError(DPromptError, _CausedError):
    """The output cannot be written; what was there before is untouched."""


class PackReadError(DPromptError, _CausedError):
    """The operating system could not read the pack."""


class RemoteError(DPromptError, _CausedError, ConnectionError):
    """A server cannot be reached, fails again and again, or does not do what is needed."""


class AccessError(DPromptError, PermissionError):
    """A server refuses the request: no credentials, wrong ones, or ones that do not allow it."""

    errno = EACCES


class NotAPackError(DPromptError, ValueError):
    """The file exists and can be read, but is not a pack."""


class UnsupportedPackError(DPromptError, ValueError):
    """The pack is of a newer format or has features this version does not know."""


class CorruptPackError(DPromptError, ValueError):
    """The pack's contents are not what was packed: truncated, damaged or tampered with."""


class PackChangedError(DPromptError, RuntimeError):
    """Another pack lies at the address than the one that was opened."""


class ClosedError(DPromptError, ValueError):
    """The prompt, or the pack behind it, was closed."""


class UndecodableError(DPromptError, UnicodeError):
    """Input bytes are no text in the given encoding; the message has file and byte offset."""


class InexactError(DPromptError, ValueError):
    """The original bytes cannot be given back from this text."""


class MaterialiseError(DPromptError, MemoryError):
    """A result is too long to be made one ordinary string; the message names what to use."""


class DepthError(DPromptError, RecursionError):
    """Too many lazy texts, each made of the one before it; the message says what to do."""
