"""The plan for many sockets: its rules, and what it says of bad input."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.capacity import SIZES, main
from bench.plan import Plan, mongo_cores, network, plan, rates, redis_cores
from bench.plan_figures import PEER, SCENARIOS, Assumptions, Costs, PlanError, Stores, assume, node_costs
from bench.plan_report import PLACE, report, short, size, table
from bench.storms import expiry_storm

COSTS = Costs(
    handshake_us=500,
    reauthenticate_us=60,
    refresh_us=300,
    renewal_us=400,
    login_us=90_000,
    request_us=250,
    push_us=12,
    socket_bytes=20_000,
)
GIVEN, STORES = Assumptions(), Stores()


def results(**changed: Any) -> dict[str, Any]:
    values = dict.fromkeys(SCENARIOS.values(), 100.0) | changed
    return {"scenarios": [{"key": key, "peers": {PEER: {"value": value}}} for key, value in values.items()]}


def planned(sockets: int, **assumptions: float) -> Plan:
    return plan(sockets, COSTS, STORES, replace(GIVEN, **assumptions))


def needs(found: Plan) -> tuple[float, ...]:
    sizes = (found.nodes.bytes, found.redis.bytes, found.mongo.bytes, found.packets, found.bits)
    return (found.nodes.number, found.redis.shards, found.mongo.shards, *sizes)


# The plan ---------------------------------------------------------------------------------------------------


def test_no_sockets_need_a_node_in_each_zone_and_one_shard_of_each_store() -> None:
    nothing = planned(0)
    assert (nothing.nodes.number, nothing.redis.shards, nothing.mongo.shards) == (3, 1, 1)
    assert nothing.nodes.load.steady == nothing.redis.load.steady == nothing.mongo.load.steady == 0
    assert nothing.packets == nothing.bits == nothing.redis.bytes == nothing.mongo.bytes == 0


@settings(max_examples=50)
@given(st.integers(0, 10**8), st.integers(0, 10**7))
def test_more_sockets_never_need_less(sockets: int, more: int) -> None:
    few, many = needs(planned(sockets)), needs(planned(sockets + more))
    assert all(less <= greater for less, greater in zip(few, many, strict=True))


@pytest.mark.parametrize("name", Costs.__slots__)
def test_a_dearer_node_never_needs_fewer_nodes(name: str) -> None:
    dearer = replace(COSTS, **{name: getattr(COSTS, name) * 100})
    assert plan(1_000_000, dearer, STORES, GIVEN).nodes.number >= planned(1_000_000).nodes.number


def test_nodes_that_are_left_hold_every_socket_when_a_zone_is_lost() -> None:
    for sockets in SIZES:
        left = planned(sockets).nodes.number * (GIVEN.zones - 1) / GIVEN.zones
        assert left * GIVEN.sockets_per_node >= sockets
        assert left * GIVEN.node_memory_gib * 2**30 * GIVEN.memory_share >= sockets * (
            COSTS.socket_bytes + GIVEN.kernel_bytes
        )


def test_every_part_keeps_to_its_utilisation() -> None:
    for sockets in SIZES:
        found = planned(sockets)
        assert found.nodes.load.steady <= found.nodes.number * GIVEN.node_utilisation
        assert found.redis.load.steady <= found.redis.shards * GIVEN.redis_utilisation
        assert found.mongo.load.steady <= found.mongo.shards * GIVEN.mongo_cores * GIVEN.mongo_utilisation


@pytest.mark.parametrize("sockets", SIZES)
def test_what_a_lost_zone_held_can_be_let_in_within_the_time_for_recovery(sockets: int) -> None:
    found = planned(sockets)
    assert found.handshakes_per_second * GIVEN.recovery_s >= sockets / GIVEN.zones * 0.999


@pytest.mark.parametrize("sockets", SIZES)
def test_tokens_that_end_together_are_renewed_before_they_end(sockets: int) -> None:
    found, clients = planned(sockets), round(sockets * GIVEN.together_share)
    assert found.renewals_per_second * GIVEN.lead_s >= clients * 0.999
    capacity, lead, grace = found.renewals_per_second * 1.05, GIVEN.lead_s, GIVEN.grace_s
    storm = expiry_storm(
        clients, capacity, lead_s=lead, grace_s=grace, jitter_share=GIVEN.jitter_share, issued_over_s=1, seed=1
    )
    assert storm.late < clients * 0.02


def test_a_session_is_refreshed_once_in_the_life_of_its_token_and_each_of_its_sockets_is_told() -> None:
    each = rates(1_100_000, GIVEN)
    assert each.refreshes == pytest.approx(1_000_000 / (900 - 60 + 7.5))
    assert each.reauthentications == pytest.approx(each.refreshes * GIVEN.sockets_per_session)
    assert each.handshakes == each.leaves


def test_shorter_tokens_cost_the_database_more() -> None:
    short_lived = rates(10**6, replace(GIVEN, token_life_s=300))
    assert mongo_cores(short_lived, STORES) > mongo_cores(rates(10**6, GIVEN), STORES)
    assert redis_cores(short_lived, STORES) > redis_cores(rates(10**6, GIVEN), STORES)


def test_logs_of_users_who_are_offline_count_as_long_as_they_live() -> None:
    assert planned(10**6, weekly_users_per_online_user=6).redis.log_bytes == pytest.approx(
        2 * planned(10**6, weekly_users_per_online_user=3).redis.log_bytes
    )


def test_a_ping_is_three_packets_and_a_push_is_two() -> None:
    nothing = replace(rates(0, GIVEN), pings=1.0)
    packets, bits = network(nothing, GIVEN)
    assert packets == 3
    assert bits == 8 * (3 + 7 + 2 * 22 + 3 * 52)
    assert network(replace(nothing, pings=0.0, pushes=1.0), GIVEN)[0] == 2


def test_nodes_that_poll_may_be_more_than_the_database_can_answer() -> None:
    with pytest.raises(PlanError, match=r"nodes that poll MongoDB use all of its 1 cores"):
        planned(10**9, mongo_cores=1)


# What comes in and goes out ---------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main([*arguments, "--sample", "100"])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(results(handshake=520.0, idle=19_300.0)))
    return path


def test_costs_are_read_from_the_benchmark() -> None:
    costs = node_costs(results(handshake=520.0, idle=19_300))
    assert (costs.handshake_us, costs.socket_bytes, costs.refresh_us) == (520, 19_300, 100)


def test_the_lines_it_reads_are_lines_of_the_benchmark() -> None:
    from bench.catalogue import KEYS  # what the benchmark needs beside it is only needed here

    assert set(SCENARIOS.values()) <= set(KEYS)


def test_the_command_prints_a_plan_for_each_size(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "--results", str(measured))
    assert (status, err) == (0, "")
    for text in ("100,000 sockets", "1,000,000 sockets", "100,000,000 sockets", "### A zone is lost", "520 µs"):
        assert text in out
    assert "nan" not in out
    assert "inf" not in out.lower().replace("information", "")


def test_the_same_command_prints_the_same(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("--results", str(measured), "--sockets", "4000")
    assert run(capsys, *command) == run(capsys, *command)


def test_sizes_and_assumptions_can_be_set(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(
        capsys, "--results", str(measured), "--sockets", "0", "5000", "--set", "zones=4", "--set", "user_bytes=999"
    )
    assert status == 0
    assert "| 0 sockets | 5,000 sockets |" in out
    assert "| **4** | **4** |" in out
    assert "999 B" in out


def test_every_figure_is_told_with_unit_and_source() -> None:
    text = report([planned(1000)], COSTS, STORES, GIVEN, seed=1, sample=100)
    for figures in (Assumptions, Stores, Costs):
        for name in figures.__slots__:
            assert f"`{name}`" in text


def test_other_measured_costs_of_the_stores_are_taken(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stores = tmp_path / "stores.json"
    stores.write_text(json.dumps({"stores": {"session_bytes": 4321}}))
    status, out, _ = run(capsys, "--results", str(measured), "--stores", str(stores), "--sockets", "9")
    assert status == 0
    assert "4,321 B" in out


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is not JSON"),
        ("[]", "is not an object"),
        ("{}", "have no line 'handshake'"),
        ('{"scenarios": 5}', "have no line 'handshake'"),
        ('{"scenarios": [5, {}]}', "have no line 'handshake'"),
        (json.dumps(results(idle=None)), "the line 'idle' must be a number"),
        (json.dumps(results(idle="much")), "the line 'idle' must be a number"),
        (json.dumps(results(idle=True)), "the line 'idle' must be a number"),
        (json.dumps(results(idle=-1)), "must be a number that is not negative"),
        (json.dumps(results(idle=float("nan"))), "must be a number that is not negative"),
        (json.dumps({"scenarios": [{"key": "handshake", "peers": {}}]}), "the line 'handshake' must be a number"),
        (b"\xff\xfe\x00", "is not JSON"),
    ],
)
def test_results_that_make_no_sense_end_it_with_one_line(
    content: str | bytes, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    status, out, err = run(capsys, "--results", str(path))
    assert (status, out) == (2, "")
    assert err.startswith("capacity: ")
    assert err.count("\n") == 1
    assert complaint in err


def test_results_that_are_missing_end_it_with_a_line_that_says_what_makes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(capsys, "--results", str(tmp_path / "none.json"))
    assert status == 2
    assert (
        err == f"capacity: cannot read {tmp_path}/none.json: no such file or directory; `make bench` writes it\n"
    )


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("zones", "'zones' is not NAME=NUMBER"),
        ("zones=many", "'zones=many' is not NAME=NUMBER"),
        ("no_such=1", "there is no figure 'no_such'"),
        ("zones=1", "zones must be a whole number, 2 or more"),
        ("zones=2.5", "zones must be a whole number, 2 or more"),
        ("token_life_s=0", "token_life_s must be greater than 0"),
        ("token_life_s=60", "lead_s must be less than token_life_s"),
        ("memory_share=1.5", "memory_share is a share, at most 1"),
        ("ping_us=-1", "ping_us must be a number that is not negative"),
        ("ping_us=nan", "ping_us must be a number that is not negative"),
        ("ping_us=inf", "ping_us must be a number that is not negative"),
    ],
)
def test_assumptions_that_make_no_sense_end_it_with_one_line(
    setting: str, complaint: str, measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "--results", str(measured), "--set", setting)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert complaint in err


@pytest.mark.parametrize("count", ["-1", "many", "1.5"])
def test_a_number_of_sockets_that_is_none_is_refused(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--sockets", count])
    assert ended.value.code == 2
    assert "--sockets" in capsys.readouterr().err


def test_utilisation_that_leaves_no_room_for_a_storm_is_no_plan() -> None:
    given, _ = assume(["storm_utilisation=0.5", "node_utilisation=0.9"], GIVEN, STORES)
    found = plan(10**6, COSTS, STORES, given)
    assert found.handshakes_per_second > 0, "nodes are added until there is room"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.022, "0.022"),
        (4.56, "4.6"),
        (328.4, "328"),
        (3277, "3,277"),
        (66_667, "66.7 k"),
        (2.5e9, "2.5 G"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**30 * 145, "145 GiB"), (2**41, "2 TiB")],
)
def test_sizes_are_in_binary_units(value: float, text: str) -> None:
    assert size(value) == text


def test_a_table_is_markdown() -> None:
    assert table(("a", "b"), [("x", "1")]) == ["| a | b |", "| --- | ---: |", "| x | 1 |", ""]
    assert table(("a", "b", "c"), [], words="c") == ["| a | b | c |", "| --- | ---: | --- |", ""]


def test_the_plan_takes_the_place_of_the_last_one_in_a_document(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "scaling.md"
    document.write_text(f"Before.\n{PLACE[0]}the last plan\n{PLACE[1]}\nAfter.\n")
    command = ("--results", str(measured), "--sockets", "4000", "--into", str(document))
    assert run(capsys, *command) == (0, "", "")
    once = document.read_text()
    assert once.startswith("Before.\n")
    assert once.endswith("\nAfter.\n")
    assert "4,000 sockets" in once
    assert "the last plan" not in once
    run(capsys, *command)
    assert document.read_text() == once


def test_a_document_without_a_place_for_the_plan_is_left_alone(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "scaling.md"
    document.write_text("Nothing.\n")
    status, _, err = run(capsys, "--results", str(measured), "--sockets", "9", "--into", str(document))
    assert status == 2
    assert "there is no place for the plan" in err
    assert document.read_text() == "Nothing.\n"
