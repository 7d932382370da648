"""Files readable only by this process's user: secrets, and configuration that contains them."""

import os
from pathlib import Path
from typing import BinaryIO


def create_private(path: Path, text: str) -> None:
    """Create a file. Raises `FileExistsError`; of several concurrent calls, one succeeds."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, replacing an existing one."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    create_private(draft, text)
    draft.replace(path)


def open_private(path: Path) -> BinaryIO:
    """Open a new file for writing, in place of an existing one."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
