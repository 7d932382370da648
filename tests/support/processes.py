"""Resource use of a node's process."""

import os

from support.nodes import Node


def resident_kib(node: Node) -> int:
    """Return the resident memory, in KiB."""
    with open(f"/proc/{node.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def open_files(node: Node) -> int:
    """Return the number of open files and sockets."""
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))
