"""A node that is talked to at random, and its log."""

from collections.abc import Iterator

import pytest
from pymongo import MongoClient
from support.nodes import Installation, Node, ServiceUrls

PROBE = "tests/realtime/apps/probe.py:probe"


@pytest.fixture(scope="module")
def fuzzed(services: ServiceUrls) -> Iterator[Node]:
    """A node of its own; whatever was said to it, it stops as it should."""
    installation = Installation(services)
    node = installation.start(VIGIL_APPLICATION=PROBE)
    yield node
    assert node.stop() == 0
    with MongoClient(services.mongo, serverSelectionTimeoutMS=5000) as client:
        client.drop_database(installation.name)
