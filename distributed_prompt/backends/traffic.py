"""What reading from a server costs."""

from typing import NamedTuple


class Traffic(NamedTuple):
    """What has been asked of a server.

    Attributes:
        requests: how many answers were waited for, those that failed included.
        received_bytes: bytes of what was asked for.
    """

    requests: int = 0
    received_bytes: int = 0

    def plus(self, *others: "Traffic") -> "Traffic":
        """All together."""
        every = (self, *others)
        return Traffic(sum(each.requests for each in every), sum(each.received_bytes for each in every))
