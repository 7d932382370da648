"""What the answer to a revocation or to a message of a backend says while nodes have not reported."""

from typing import Any

import pytest

from auth.core.models import Delivery
from realtime.delivery.revocation_acks import Counts, Receipt


@pytest.mark.parametrize("of", [{"is_direct": True}, {}])
def test_a_node_that_is_late_makes_the_answer_to_a_backend_incomplete(of: dict[str, Any]) -> None:
    counts = Counts()
    count = counts.begin("notified", **of)
    count.expected = {"here": 1, "there": 2}
    counts.receipt(Receipt(count.request, "here", sockets=1, notified=1).message())
    assert count.delivery() == Delivery(sockets=3, notified=1, pending=2, incomplete="is_direct" in of)
    counts.receipt(Receipt(count.request, "there", sockets=2, notified=2).message())
    assert count.delivery() == Delivery(sockets=3, notified=3)
