"""What a command does not use it does not import: most of a start is Python reading libraries."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh Python has after `statement`."""
    names = subprocess.run(
        [sys.executable, "-c", f"{statement}; import sys; print(*sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=50,
    )  # fmt: skip
    return set(names.stdout.split())


@pytest.mark.parametrize(
    ("module", "unused"),
    [
        ("runtime.commands", {"aiohttp", "pymongo", "socketio", "argon2", "runtime.node"}),
        ("runtime.embedded.services", {"aiohttp", "socketio", "pydantic", "runtime.node"}),
        ("runtime.operator_commands", {"aiohttp", "socketio", "argon2", "runtime.node"}),
        ("runtime.serving", {"auth.platform.tracing", "motor", "opentelemetry.exporter", "segno", "zxcvbn"}),
    ],
)
def test_a_command_does_not_wait_for_what_it_does_not_use(module: str, unused: set[str]) -> None:
    assert loaded_by(f"import {module}") & unused == set()


@pytest.mark.parametrize(("driver", "is_loaded"), [("pymongo", False), ("motor", True)])
def test_motor_is_imported_where_it_is_chosen(driver: str, is_loaded: bool) -> None:
    opening = f"from auth.stores.mongo import Mongo; Mongo('mongodb://127.0.0.1:9', None, '{driver}')"
    assert ("motor" in loaded_by(opening)) is is_loaded
