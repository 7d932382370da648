"""Resource use of a node's process, and ports for others."""

import os
import socket

from support.nodes import Node


def resident_kib(node: Node) -> int:
    """Return the resident memory, in KiB."""
    with open(f"/proc/{node.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def open_files(node: Node) -> int:
    """Return the number of open files and sockets."""
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses now."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
