"""The contract of a place that a pack is read from."""

from abc import ABC, abstractmethod
from typing import Self

from distributed_prompt.store.pack import Pack


class Backend(ABC):
    """One opened pack. Pickles as what opens it again elsewhere: its address, never its text.

    Attributes:
        pack: the open pack.
    """

    pack: Pack

    @abstractmethod
    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        """The class and the arguments that open the same pack."""

    def close(self) -> None:
        """Let go of the pack. Closing twice is harmless."""
        self.pack.close()

    def __enter__(self) -> Self:
        """Return the backend itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the backend."""
        self.close()
