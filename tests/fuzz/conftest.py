"""A node that is talked to at random, and its log."""

from collections.abc import Iterator

import pytest
from support.nodes import Node, ServiceUrls, probed_node


@pytest.fixture(scope="module")
def fuzzed(services: ServiceUrls) -> Iterator[Node]:
    """A node of its own; whatever was said to it, it stops as it should."""
    with probed_node(services) as node:
        yield node
