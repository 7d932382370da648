"""The server's version, from pyproject.toml."""

import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def version() -> str:
    """The version string."""
    return str(tomllib.loads(PROJECT.read_text())["project"]["version"])
