"""A node that receives random input."""

from collections.abc import Iterator

import pytest
from support.nodes import Node, ServiceUrls, probed_node


@pytest.fixture(scope="module")
def fuzzed(services: ServiceUrls) -> Iterator[Node]:
    """A separate node. Afterwards asserts that it stops cleanly."""
    with probed_node(services) as node:
        yield node
