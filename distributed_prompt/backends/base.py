"""The contract of a place that a pack is read from."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from distributed_prompt.backends.traffic import Traffic
from distributed_prompt.store.pack import Pack


class Backend(ABC):
    """One opened pack. Pickles as what opens it again elsewhere: its address; its text only if it has none.

    Attributes:
        address: what opens it; empty if nothing does.
        pack: the open pack.

    Cost: opening it, as the subclasses say; nothing else reads anything.
    """

    address: str
    pack: Pack

    @property
    def traffic(self) -> Traffic:
        """What has been asked of a server."""
        return Traffic()

    @property
    def opener(self) -> str:
        """What ``dp.open`` makes the same pack of, in any process; empty if that takes more than an address."""
        return self.address

    @property
    def folder(self) -> Path:
        """Where files may be written if nowhere else."""
        return Path(self.pack.name).parent

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
