"""The methods of ``str`` that a prompt answers through a few of its own: slices, passes, and its real string.

Docstrings begin with the standard library's own words. Every argument that may be a string may be a prompt as well.
"""

from distributed_prompt.strings.base import UNKNOWN, View, plain
from distributed_prompt.strings.edges import Edges
from distributed_prompt.strings.keywords import Keywords
from distributed_prompt.strings.operators import Operators
from distributed_prompt.strings.predicates import Predicates
from distributed_prompt.strings.searches import Searches
from distributed_prompt.strings.transforms import Transforms

__all__ = ["UNKNOWN", "StringMethods", "plain"]


class StringMethods(Edges[View], Keywords[View], Operators[View], Predicates[View], Searches[View], Transforms[View]):
    """What :class:`~distributed_prompt.strings.base.TextBase` needs gives all the rest of ``str``."""

    __slots__ = ()
