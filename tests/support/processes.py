"""Resource use of a node's process, and programs for others."""

import os
import shutil

import pytest

from support.nodes import Node

# Debian installs proxies where PATH may not lead.
SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def resident_kib(node: Node) -> int:
    """Return the resident memory, in KiB."""
    with open(f"/proc/{node.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def open_files(node: Node) -> int:
    """Return the number of open files and sockets."""
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def program(name: str) -> str:
    """The program. Without it the test fails: what it shows is promised."""
    found = shutil.which(name, path=SYSTEM_PATH)
    if found is None:
        pytest.fail(f"{name} is needed for this test: apt-get install {name}", pytrace=False)
    return found
