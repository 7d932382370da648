"""Parsing of list-valued header fields. Pure."""

from collections.abc import Iterable

from multidict import MultiMapping


def members(headers: MultiMapping[str], name: str) -> list[str]:
    """The non-empty members of a list field over all its lines, in order (RFC 9110, 5.3 and 5.6.1.2)."""
    return members_of(headers.getall(name, ()))


def members_of(lines: Iterable[str]) -> list[str]:
    """See `members`: of lines that were read before."""
    parts = (part.strip(" \t") for line in lines for part in line.split(","))
    return [part for part in parts if part]
