"""What counts as odd, without a store: every rule of auth/sessions/risk.py."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.session_world import make_session, make_user

from auth.core.models import ClientKind, Device, Location, Sighting
from auth.sessions.risk import SETTLED_AFTER, distance_km, is_elsewhere, is_impossible, news_of, pair_of

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
CHROME = Device("Chrome on Windows", "Chrome", "Windows", "desktop")
FIREFOX = Device("Firefox on Linux", "Firefox", "Linux", "desktop")
UTRECHT = Location("Utrecht", "NL", 52.1, 5.1)
AMSTERDAM = Location("Amsterdam", "NL", 52.4, 4.9)
LIMA = Location("Lima", "PE", -12.0, -77.0)
ADA = make_user(NOW)


def seen(device: Device = CHROME, location: Location | None = None, *, minutes_ago: float = 0) -> Sighting:
    return Sighting(device, location, NOW - timedelta(minutes=minutes_ago))


def news(device: Device, location: Location | None, *earlier: Sighting) -> tuple[str, ...]:
    return news_of(ADA, make_session(NOW, device=device, location=location), earlier)


def test_the_first_login_of_an_account_is_no_news() -> None:
    assert news(CHROME, UTRECHT) == ()


def test_asvs_6_3_5_a_login_after_a_long_absence_is_news_when_no_session_is_kept() -> None:
    """ASVS 5.0, 6.3.5 names an attempt after a long period of inactivity."""
    old = make_user(NOW - timedelta(days=40))
    assert news_of(old, make_session(NOW), ()) == ("new_device",)


@pytest.mark.parametrize(
    ("device", "location", "expected"),
    [
        (CHROME, Location(None, "NL"), ()),
        (FIREFOX, Location(None, "NL"), ("new_device",)),
        (CHROME, Location(None, "PE"), ("new_country",)),
        (FIREFOX, Location(None, "PE"), ("new_device", "new_country")),
        (CHROME, None, ()),
        (CHROME, Location("Lima", None), ()),
    ],
)
def test_asvs_6_3_5_an_unknown_device_or_country_is_news(
    device: Device, location: Location | None, expected: tuple[str, ...]
) -> None:
    """ASVS 5.0, 6.3.5: attempts from an unusual location or client are told."""
    assert news(device, location, seen(CHROME, Location(None, "NL"))) == expected


@pytest.mark.parametrize(("over", "expected"), [(timedelta(0), ()), (timedelta(seconds=1), ("new_device",))])
def test_an_account_is_settled_some_time_after_its_address_was_verified(
    over: timedelta, expected: tuple[str, ...]
) -> None:
    user = replace(make_user(NOW - timedelta(days=40)), email_verified_at=NOW - SETTLED_AFTER - over)
    assert news_of(user, make_session(NOW), ()) == expected


def test_a_place_without_both_coordinates_is_at_no_distance() -> None:
    nowhere = [replace(UTRECHT, latitude=None), replace(UTRECHT, longitude=None)]
    assert [distance_km(*pair) for place in nowhere for pair in ((place, LIMA), (LIMA, place))] == [None] * 4


def test_the_name_that_a_device_gives_itself_makes_it_neither_known_nor_new() -> None:
    renamed = Device(CHROME.name, "Firefox", "Linux", "desktop")
    assert news(renamed, None, seen(CHROME)) == ("new_device",)
    assert news(Device("Kitchen", "Chrome", "Windows", "desktop"), None, seen(CHROME)) == ()


def test_where_no_country_was_known_before_none_is_new() -> None:
    assert news(CHROME, Location(None, "NL"), seen(CHROME, None), seen(CHROME, Location("x", None))) == ()


@pytest.mark.parametrize(
    ("before", "after", "minutes", "expected"),
    [
        (UTRECHT, LIMA, 60, True),
        (UTRECHT, LIMA, 60 * 10, True),
        (UTRECHT, LIMA, 60 * 11, False),
        (UTRECHT, AMSTERDAM, 0, False),
        (Location(None, "NL"), Location(None, "PE"), 59, True),
        (Location(None, "NL"), Location(None, "PE"), 60, False),
        (Location(None, "NL"), LIMA, 5, True),
        (Location(None, "NL"), Location(None, "NL"), 0, False),
        (Location("Utrecht", None), Location(None, "PE"), 0, False),
        (None, LIMA, 0, False),
        (UTRECHT, None, 0, False),
    ],
)
def test_travel_is_impossible_when_it_was_too_far_for_the_time(
    before: Location | None, after: Location | None, minutes: float, expected: bool
) -> None:
    assert is_impossible(seen(location=before, minutes_ago=minutes), seen(location=after)) is expected


def test_distances_are_those_of_a_globe() -> None:
    assert distance_km(UTRECHT, LIMA) == pytest.approx(10_490, rel=0.01)
    assert distance_km(Location(None, "FJ", 0, 179.9), Location(None, "FJ", 0, -179.9)) == pytest.approx(22, abs=1)
    assert distance_km(UTRECHT, Location(None, "NL")) is None


latitudes, longitudes = st.floats(-90, 90), st.floats(-180, 180)


@given(latitudes, longitudes, latitudes, longitudes)
def test_no_two_places_are_further_apart_than_half_the_globe(a: float, b: float, c: float, d: float) -> None:
    distance = distance_km(Location(None, None, a, b), Location(None, None, c, d))
    assert distance is not None
    assert 0 <= distance <= math.pi * 6371 + 1


WINDOWS, LINUX = ClientKind("Chrome", "Windows"), ClientKind("Firefox", "Linux")
DUTCH, PERUVIAN = Location(None, "NL"), Location("Lima", "PE")


@pytest.mark.parametrize(
    ("rotated", "presented", "elsewhere"),
    [
        ((WINDOWS, DUTCH), (WINDOWS, DUTCH), False),
        ((WINDOWS, DUTCH), (WINDOWS, UTRECHT), False),
        ((WINDOWS, DUTCH), (LINUX, DUTCH), True),
        ((WINDOWS, DUTCH), (ClientKind("Chrome", "Linux"), DUTCH), True),
        ((WINDOWS, DUTCH), (ClientKind("Edge", "Windows"), DUTCH), True),
        ((WINDOWS, DUTCH), (WINDOWS, PERUVIAN), True),
        ((WINDOWS, None), (WINDOWS, PERUVIAN), False),
        ((WINDOWS, Location("x", None)), (WINDOWS, PERUVIAN), False),
        ((WINDOWS, DUTCH), (None, DUTCH), False),
        ((None, DUTCH), (WINDOWS, DUTCH), False),
        ((None, DUTCH), (None, PERUVIAN), True),
    ],
)
def test_elsewhere_is_another_browser_or_system_or_country_as_far_as_they_are_known(
    rotated: tuple[ClientKind | None, Location | None],
    presented: tuple[ClientKind | None, Location | None],
    elsewhere: bool,
) -> None:
    session = make_session(NOW, rotated_by=rotated[0], location=rotated[1])
    assert is_elsewhere(session, *presented) is elsewhere
    other = make_session(NOW, rotated_by=presented[0], location=presented[1])
    assert is_elsewhere(other, *rotated) is elsewhere
    assert pair_of(session, *presented) == pair_of(other, *rotated), "one pair, whichever of them rotated"


def test_pairs_that_differ_have_names_that_differ() -> None:
    session = make_session(NOW, rotated_by=WINDOWS, location=DUTCH)
    others = [(LINUX, DUTCH), (LINUX, None), (None, DUTCH), (WINDOWS, PERUVIAN)]
    assert len({pair_of(session, *each) for each in others}) == 4
