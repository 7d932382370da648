"""Partially constructed objects, for code that uses only some of their attributes."""

from typing import Any


def without_init(kind: type[Any], **members: Any) -> Any:
    """Create an object of `kind` with `members`, without calling `__init__`."""
    made: Any = object.__new__(kind)
    for name, value in members.items():
        setattr(made, name, value)
    return made
