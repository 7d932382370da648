"""Rates in settings: of one limit, and of several events by their names."""

import limits

from auth.core.text import QUALIFIED_NAME

MAX_EVENT_RATES = 64


def check_rate(value: str) -> str:
    """A rate in the notation of the `limits` library. Raises `ValueError`."""
    try:
        (_,) = limits.parse_many(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a rate such as 5/5 minutes") from None
    return value


def read_event_rates(value: object) -> object:
    """`chat:typing=10/second,chat:move=300/minute`, in pairs. Raises `ValueError`."""
    if not isinstance(value, str):
        return value
    pairs = [each.strip().rpartition("=") for each in value.split(",") if each.strip()]
    names = [name.strip() for name, _, _ in pairs]
    if not all(QUALIFIED_NAME.fullmatch(name) for name in names):
        raise ValueError("must be events and rates such as chat:typing=10/second")
    if len(set(names)) != len(names) or len(names) > MAX_EVENT_RATES:
        raise ValueError(f"must name up to {MAX_EVENT_RATES} events, each once")
    return tuple((name, check_rate(rate.strip())) for name, (_, _, rate) in zip(names, pairs, strict=True))
