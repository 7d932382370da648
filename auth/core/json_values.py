"""JSON values from clients: bounds of their nesting and size. Pure."""

import json
from typing import Any

# Deeper than any legitimate payload, and well below the depth at which a recursive reader overflows the stack.
MAX_DEPTH = 32


def is_deeper(value: object, levels: int = MAX_DEPTH) -> bool:
    """Whether objects and arrays are nested more than `levels` deep."""
    if not isinstance(value, dict | list):
        return False
    return not levels or any(
        is_deeper(item, levels - 1) for item in (value.values() if isinstance(value, dict) else value)
    )


def as_json(value: Any, *, sort_keys: bool = False) -> str:
    """The compact JSON of a value that was read from JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)


def object_of(stored: str | None) -> dict[str, Any] | None:
    """The object whose JSON was stored, if any."""
    return None if stored is None else json.loads(stored)
