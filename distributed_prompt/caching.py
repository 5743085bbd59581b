"""What is found out once for an object, without a lock.

``functools.cached_property`` of Python 3.11 holds one lock for all objects of a class while it computes: one text would
wait for the pass over another, and a forked child for ever.
"""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

Value_co = TypeVar("Value_co", covariant=True)


class cached(Generic[Value_co]):  # noqa: N801  # used as a decorator
    """A property that is computed at first use; twice, perhaps, if threads use it at once."""

    def __init__(self, function: Callable[[Any], Value_co]) -> None:
        """Take what computes it."""
        self._function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        """Remember the name under which an object keeps it."""
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Value_co: ...
    def __get__(self, instance: object | None, owner: type) -> "Self | Value_co":
        """Compute it, and put it where it is found first from now on."""
        if instance is None:
            return self
        value = self._function(instance)
        return vars(instance).setdefault(self._name, value)  # type: ignore[no-any-return]  # the value
