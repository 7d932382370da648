"""Parsing of list-valued header fields. Pure."""

from multidict import MultiMapping


def members(headers: MultiMapping[str], name: str) -> list[str]:
    """The non-empty members of a list field over all its lines, in order (RFC 9110, 5.3 and 5.6.1.2)."""
    parts = (part.strip(" \t") for line in headers.getall(name, ()) for part in line.split(","))
    return [part for part in parts if part]
