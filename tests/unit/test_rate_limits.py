"""The limits that a node keeps by itself. Pure: time is handed in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.platform.event_limits import EventWindow
from auth.platform.rate_limits import LocalWindows, Window, network_of, networks_of

MOMENTS = st.lists(st.floats(0, 1000, allow_nan=False), max_size=200).map(sorted)


def test_a_socket_may_send_so_many_events_and_then_waits_for_the_window_to_end() -> None:
    window = EventWindow(100, 60, now=0)
    assert [window.take(now=second / 10) for second in range(100)] == [None] * 100
    assert window.take(now=10) == 50
    assert window.take(now=59.5) == 0.5
    assert [window.take(now=60) for _ in range(100)] == [None] * 100
    assert window.take(now=70) == 50


def test_the_first_window_of_a_socket_begins_when_it_does() -> None:
    window = EventWindow(1, 60, now=0)
    assert window.take(now=30) is None
    assert window.take(now=40) == 20


def test_without_limits_a_socket_may_send_any_number() -> None:
    window = EventWindow(None, 60, now=0)
    assert {window.take(now=0) for _ in range(1000)} == {None}


@given(MOMENTS, st.integers(1, 20), st.integers(1, 60))
def test_no_window_ever_lets_more_through(moments: list[float], amount: int, seconds: int) -> None:
    window = EventWindow(amount, seconds, now=0)
    allowed = [moment for moment in moments if window.take(now=moment) is None]
    for start in allowed:
        within = [moment for moment in allowed if start <= moment < start + seconds]
        assert len(within) <= 2 * amount


@given(MOMENTS, st.integers(1, 60))
def test_a_local_window_counts_like_redis(moments: list[float], seconds: int) -> None:
    windows = LocalWindows(10)
    ends_at, count = 0.0, 0
    for moment in moments:
        if moment >= ends_at:
            ends_at, count = moment + seconds, 0
        count += 1
        assert windows.add("key", seconds, now=moment) == count
        assert windows.count("key", now=moment) == count
        assert windows.seconds_left("key", now=moment) == pytest.approx(ends_at - moment)
    assert windows.count("other", now=0) == 0
    assert windows.seconds_left("other", now=0) == 0


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 1000)), max_size=300), st.integers(1, 20))
def test_local_windows_never_grow_past_their_size(events: list[tuple[int, float]], size: int) -> None:
    windows = LocalWindows(size)
    for key, moment in events:
        windows.add(str(key), 60, now=moment)
        assert len(windows) <= size


def test_ended_windows_make_room_before_running_ones() -> None:
    windows = LocalWindows(2)
    windows.add("long", 100, now=0)
    windows.add("short", 10, now=0)
    windows.add("new", 100, now=20)
    assert windows.count("long", now=20) == 1


def test_a_window_that_begins_anew_is_as_young_as_a_new_one() -> None:
    windows = LocalWindows(2)
    windows.add("again", 10, now=0)
    windows.add("old", 100, now=0)
    windows.add("again", 100, now=20)
    windows.add("new", 100, now=20)
    assert [windows.count(key, now=20) for key in ("again", "old", "new")] == [1, 0, 1]


def test_what_one_limit_still_allows_counts_for_the_next_and_what_it_refuses_does_not() -> None:
    windows = LocalWindows(10)
    both = [Window("narrow", 1, 60), Window("wide", 5, 60)]
    assert windows.add_all(both, now=0) == [1, 1]
    assert windows.add_all(both, now=0) == [2]


@pytest.mark.parametrize(
    ("identity", "counted_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("ada@example.org", "ada@example.org"),
        ("", ""),
        ("192.0.2.256", "192.0.2.256"),
    ],
)
def test_an_ipv6_address_counts_as_its_network(identity: str, counted_as: str) -> None:
    assert network_of(identity) == counted_as


@pytest.mark.parametrize(
    ("address", "networks"),
    [
        ("2001:db8:1:23ff:4::5", ["2001:db8:1:23ff::/64", "2001:db8:1:2300::/56", "2001:db8:1::/48"]),
        ("::1", ["::/64", "::/56", "::/48"]),
        ("192.0.2.1", ["192.0.2.1"]),
        ("::ffff:192.0.2.1", ["192.0.2.1"]),
        ("ada", ["ada"]),
    ],
)
def test_an_ipv6_address_counts_for_all_that_one_customer_may_be_given(address: str, networks: list[str]) -> None:
    counted = networks_of(address)
    assert [network for network, _ in counted] == networks
    assert [times for _, times in counted] == [1, 4, 16][: len(networks)]
