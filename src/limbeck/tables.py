"""Literal tables name -> "module:attribute", and the one way to look a name up in them."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from limbeck.errors import unknown_name


def look_up(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """The object that a table names, imported on use.

    >>> look_up("number", "pi", {"pi": "math:pi"})
    3.141592653589793
    """
    if name not in table:
        raise unknown_name(kind, name, table)
    module, attribute = table[name].split(":")
    return getattr(import_module(module), attribute)
