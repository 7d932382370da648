"""Rules of `server.py doctor` that no test machine shows."""

from datetime import timedelta

import pytest

from auth.stores.diagnosis import MongoFacts
from runtime.doctor import _clock, _persistence, _replica_set, _version


@pytest.mark.parametrize(
    ("ahead", "took", "state"),
    [(0.2, 0.0, "ok"), (-0.9, 0.0, "ok"), (1.5, 0.0, "warn"), (-2.0, 0.1, "warn"), (2.2, 0.1, "fail"),
     (-300, 0.1, "fail"),
     # A slow answer proves nothing.
     (1.4, 0.8, "ok")],
)  # fmt: skip
def test_a_clock_that_is_off_by_more_than_a_node_tolerates_fails(ahead: float, took: float, state: str) -> None:
    assert _clock("clock", timedelta(seconds=ahead), timedelta(seconds=took)).state == state


@pytest.mark.parametrize(
    ("version", "state"), [("5.0.14", "fail"), ("6.0.5", "ok"), ("8.0.0-rc1", "ok"), ("10.1.0", "ok")]
)
def test_a_version_is_compared_by_its_numbers(version: str, state: str) -> None:
    assert _version("mongodb version", version, (6, 0)).state == state


@pytest.mark.parametrize(
    ("standalone", "sharded", "members", "state"),
    [(True, False, 0, "fail"), (False, False, 1, "warn"), (False, False, 3, "ok"), (False, True, 0, "ok")],
)
def test_a_single_server_fails(standalone: bool, sharded: bool, members: int, state: str) -> None:
    facts = MongoFacts("6.0.5", standalone, sharded, members, timedelta(0), timedelta(0))
    assert _replica_set(facts).state == state


def test_a_redis_that_cannot_write_to_its_disk_fails() -> None:
    assert _persistence("redis persistence", {"aof_enabled": "1", "aof_last_write_status": "err"}).state == "fail"
