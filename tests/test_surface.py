"""Everything public says what it costs."""

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import is_dataclass
from types import ModuleType
from typing import Any

import pytest

from tests.integrations.conftest import imported

PACKAGE = "distributed_prompt"
MODULES = [
    PACKAGE,
    *(
        f"{PACKAGE}.{name}"
        for name in (
            *("attaching", "cells", "context", "grep", "lazy_str", "line_pattern", "lines", "re", "repl_hooks"),
            "strings.fields",
        )
    ),
]
INTEGRATIONS = ["dspy", "rlms", "set_up"]
# What only says what an object is, or gives it up.
FREE = frozenset({"__copy__", "__deepcopy__", "__enter__", "__exit__", "__reduce__", "close"})


def public_names(module: ModuleType) -> list[str]:
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__)
    names: list[str] = list(getattr(module, "__all__", own))
    return [name for name in names if not name.startswith("_")]


def is_ours(value: object) -> bool:
    return str(getattr(value, "__module__", "")).startswith(PACKAGE)


def is_only_a_value(kind: type) -> bool:
    return is_dataclass(kind) or issubclass(kind, BaseException) or hasattr(kind, "_fields")


def members(kind: type) -> Iterator[tuple[str, type, Any]]:
    """The methods and properties of a class that are the package's own, with the class that defines each."""
    for name, what, owner, value in inspect.classify_class_attrs(kind):
        is_public = not name.startswith("_") or (name.startswith("__") and name.endswith("__"))
        if what != "data" and is_public and is_ours(owner) and name not in FREE:
            yield name, owner, value


def says_cost(value: object) -> bool:
    return "Cost:" in (inspect.getdoc(value) or "")


def silent(module: ModuleType) -> Iterator[str]:
    """What is public in a module and says nothing of its cost; what a class says goes for all of its methods."""
    for name in public_names(module):
        value = getattr(module, name)
        if not callable(value) or not is_ours(value):
            continue
        if not isinstance(value, type):
            if not says_cost(value):
                yield name
        elif not is_only_a_value(value):
            for member, owner, method in members(value):
                if not (says_cost(method) or says_cost(getattr(owner, member)) or "Cost:" in (owner.__doc__ or "")):
                    yield f"{owner.__qualname__}.{member}"


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_says_what_it_costs(name: str) -> None:
    assert sorted(set(silent(importlib.import_module(name)))) == []


@pytest.mark.parametrize("name", INTEGRATIONS)
def test_so_does_what_other_systems_use(name: str) -> None:
    assert list(silent(imported(f"{PACKAGE}.integrations.{name}"))) == []
