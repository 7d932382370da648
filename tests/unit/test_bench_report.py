"""The bench's table: ratios to the Node peer, targets met and missed, and what a missing peer leaves out."""

import pytest

from bench.catalogue import GROUPS, KEYS, SCENARIOS
from bench.measures import Measure, Scenario, summarise
from bench.report import as_json, as_markdown, judge

ME = Scenario("me", "GET /me", "request")
IDLE = Scenario("idle", "idle socket", "socket", figure="bytes", target=1.0)
REST = Scenario("login_rest", "all but argon2", "of a login", figure="share", target=10)
ALONE = Scenario("revocation_alone_1", "alone", "revocation", figure="p99", target=20.0)
WHOLE = Scenario("login", "login", "request", target=None)
PEERS = {"vigil": "Vigil", "node": "Node"}


def of(scenario: Scenario, peer: str, *values: float, **details: float) -> list[Measure]:
    return [
        Measure(scenario.key, peer, number, value, 10, p50=1.25, p99=20, busy=0.5, details=details)
        for number, value in enumerate(values)
    ]


@pytest.mark.parametrize(("own", "met"), [(100, True), (200, True), (201, False)])
def test_a_cost_is_judged_by_its_ratio_to_the_node_peer(own: float, met: bool) -> None:
    verdict = judge(ME, summarise(of(ME, "vigil", own) + of(ME, "node", 400)))
    assert verdict.ratio == pytest.approx(own / 400)
    assert verdict.met is met


def test_memory_may_be_as_much_as_the_node_peers() -> None:
    measures = of(IDLE, "vigil", 16_000) + of(IDLE, "node", 16_000)
    assert judge(IDLE, summarise(measures)).met is True


@pytest.mark.parametrize(("own", "met"), [(9.9, True), (10.1, False)])
def test_a_share_is_judged_by_itself(own: float, met: bool) -> None:
    assert judge(REST, summarise(of(REST, "vigil", own))).met is met


def test_a_latency_is_judged_in_milliseconds_whatever_the_node_peer_takes() -> None:
    measures = of(ALONE, "vigil", 19.5) + of(ALONE, "node", 10)
    assert judge(ALONE, summarise(measures)).met is True
    assert "| 19.5 ms | 10.0 ms | 1.95 | ≤ 20 ms | met |" in as_markdown([ALONE], PEERS, measures)


def test_without_the_node_peer_there_is_no_verdict() -> None:
    verdict = judge(ME, summarise(of(ME, "vigil", 1)))
    assert (verdict.ratio, verdict.met) == (None, None)


def test_a_line_without_a_target_is_only_told() -> None:
    verdict = judge(WHOLE, summarise(of(WHOLE, "vigil", 1) + of(WHOLE, "node", 2)))
    assert (verdict.ratio, verdict.met) == (0.5, None)


def test_the_table_shows_raw_figures_ratio_target_and_verdict() -> None:
    table = as_markdown([ME], PEERS, of(ME, "vigil", 90, 100, 120) + of(ME, "node", 400))
    assert "| GET /me | 100 µs (90.0–120) | 400 µs | 0.25 | ≤ 0.5 | met |" in table


def test_a_missed_target_stands_out() -> None:
    assert "| 0.75 | ≤ 0.5 | **missed** |" in as_markdown([ME], PEERS, of(ME, "vigil", 300) + of(ME, "node", 400))


def test_the_second_table_tells_how_long_it_took_and_how_busy_the_server_was() -> None:
    assert "| GET /me | 1.2 / 20.0, 50% | – |" in as_markdown([ME], PEERS, of(ME, "vigil", 1))


def test_the_third_table_tells_what_was_noticed_besides() -> None:
    measures = of(IDLE, "vigil", 1, uss=0.5) + of(IDLE, "node", 1)
    assert "| idle socket: uss | 0.5 | – |" in as_markdown([IDLE], PEERS, measures)


def test_lines_that_nobody_measured_are_left_out() -> None:
    assert "idle" not in as_markdown([ME, IDLE], PEERS, of(ME, "vigil", 1))


def test_with_nothing_measured_it_says_so() -> None:
    assert as_markdown(SCENARIOS, PEERS, []) == "Nothing was measured."


def test_a_peer_that_takes_no_part_in_a_scenario_has_a_dash() -> None:
    peers = PEERS | {"stock": "stock"}
    table = as_markdown([ME], peers, of(ME, "vigil", 100) + of(ME, "node", 400))
    assert "| GET /me | 100 µs | 400 µs | – | 0.25 | – | ≤ 0.5 | met |" in table


def test_the_json_has_the_machine_every_round_the_medians_and_the_verdicts() -> None:
    written = as_json([ME], of(ME, "vigil", 1, 3) + of(ME, "node", 4), {"cores": 2})
    assert written["machine"] == {"cores": 2}
    assert len(written["measures"]) == 3
    (line,) = written["scenarios"]
    assert (line["key"], line["ratio"], line["met"]) == ("me", 0.5, True)
    assert line["peers"]["vigil"]["value"] == 2


def test_every_scenario_is_measured_by_exactly_one_group() -> None:
    measured = sorted(key for _, keys in GROUPS for key in keys)
    assert measured == sorted(KEYS)
