"""Ports for servers that are started by their number."""

import os
import random
import socket
from contextlib import suppress

# Below those that the kernel gives to outgoing connections, and those that the embedded services choose from. Each
# test process has its own, so that two do not choose one port at once.
FIRST, EACH = 10_000, 600
_taken: set[int] = set()


def free_port() -> int:
    """A port that nobody uses, and that is not handed out again by this process."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 16
    own = set(range(FIRST + worker * EACH, FIRST + (worker + 1) * EACH)) - _taken
    for port in random.sample(sorted(own), len(own)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _taken.add(port)
            return port
    raise AssertionError("no free port")


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses; see `free_port`."""
    return [free_port() for _ in range(count)]
