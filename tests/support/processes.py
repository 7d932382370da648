"""What a process takes of its machine."""

import os

from support.nodes import Node


def resident_kib(node: Node) -> int:
    """The memory it holds."""
    with open(f"/proc/{node.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def open_files(node: Node) -> int:
    """How many files and sockets it has open."""
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))
