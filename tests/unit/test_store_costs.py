"""What was measured of the stores is what a plan takes; a run with too little to measure is refused."""

from collections import defaultdict
from dataclasses import fields

import pytest

from bench.plan_figures import Stores, store_costs
from bench.store_costs import SOURCES, figures, main


def measured() -> dict[str, float]:
    costs = {source: {"redis_cpu_us": 50.04, "mongo_cpu_us": 400.06} for source in SOURCES.values()}
    keys = defaultdict(lambda: 90.0, sockets_key=300.0, node_member=100.0, log_key_full=256 * 302.0)
    documents = {name: {"document": 437, "indexes": 250.12} for name in ("users", "sessions", "audit_events")}
    return figures(costs, keys, documents)


def test_every_figure_of_a_plan_is_measured_and_no_other() -> None:
    assert measured().keys() == {each.name for each in fields(Stores)}


def test_a_plan_takes_what_was_measured() -> None:
    stores = store_costs({"stores": measured()}, Stores())
    assert (stores.redis_handshake_us, stores.mongo_refresh_us, stores.user_index_bytes) == (50.0, 400.1, 250.1)


def test_a_socket_is_its_share_of_a_users_hash_and_its_place_in_the_nodes_set() -> None:
    assert measured()["redis_socket_bytes"] == 300 / 2 + 100


def test_an_event_is_its_share_of_a_full_log() -> None:
    assert measured()["redis_event_bytes"] == 302


@pytest.mark.parametrize("option", ["--sessions=15", "--sessions=many", "--copies=0"])
def test_a_run_with_too_little_to_measure_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([option])
    assert ended.value.code == 2
    assert option.partition("=")[0] in capsys.readouterr().err
