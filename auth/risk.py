"""What is odd about a login or a refresh. Pure rules over what is known; none of them keeps anybody out.

A label of a device is the peer's claim, and an address's place a register's: enough to tell the owner, who can
judge, and to leave a trace for those who look for attacks (ASVS 5.0, 6.3.5 and 16.3.3).
"""

import math
from collections.abc import Sequence
from datetime import timedelta

from auth.models import Device, Location, Session, Sighting, User

NEW_DEVICE = "new_device"
NEW_COUNTRY = "new_country"
IMPOSSIBLE_TRAVEL = "impossible_travel"
RAPID_REFRESH = "rapid_refresh"

# Until then an account without sessions is one that was just made, and its first login is no news.
SETTLED_AFTER = timedelta(days=1)
# Faster than an airliner; nearer than this is within what registers of addresses get wrong.
FASTEST_KM_H = 1000.0
NEAR_KM = 500.0
# Where only countries are known: nobody is through two airports, or over most borders, in less.
FASTEST_CHANGE_OF_COUNTRY = timedelta(hours=1)
EARTH_RADIUS_KM = 6371.0
# A client refreshes once in a token's life, and once more after a reload. This many in a minute is a program.
RAPID_REFRESHES = 20
RAPID_SECONDS = 60.0


def news_of(user: User, session: Session, earlier: Sequence[Sighting]) -> tuple[str, ...]:
    """What the user is to be told of a new session: kinds of `security-alert`.

    The first login of an account is no news. When none of an older account's sessions is kept any more, nobody
    can say that the device is known: that is news again.
    """
    if not earlier:
        begun = max(user.created_at, user.email_verified_at or user.created_at)
        return (NEW_DEVICE,) if session.logged_in_at - begun > SETTLED_AFTER else ()
    news = []
    if _kind_of(session.device) not in {_kind_of(each.device) for each in earlier}:
        news.append(NEW_DEVICE)
    country = session.location.country if session.location else None
    known = {each.location.country for each in earlier if each.location} - {None}
    # Without a country before this one, any would be new: the database may have come only now.
    if country is not None and known and country not in known:
        news.append(NEW_COUNTRY)
    return tuple(news)


def is_impossible(before: Sighting, after: Sighting) -> bool:
    """Whether one person can hardly have been at both places: by distance and speed, else by countries."""
    if before.location is None or after.location is None:
        return False
    time = abs(after.at - before.at)
    distance = distance_km(before.location, after.location)
    if distance is not None:
        return distance > NEAR_KM and distance > FASTEST_KM_H * (time / timedelta(hours=1))
    countries = {before.location.country, after.location.country}
    return None not in countries and len(countries) > 1 and time < FASTEST_CHANGE_OF_COUNTRY


def distance_km(one: Location, other: Location) -> float | None:
    """The distance over the globe (haversine); None where a coordinate is not known."""
    if one.latitude is None or one.longitude is None or other.latitude is None or other.longitude is None:
        return None
    a, b = math.radians(one.latitude), math.radians(other.latitude)
    across = math.radians(other.longitude - one.longitude)
    h = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(across / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(h)))


def _kind_of(device: Device) -> tuple[str | None, str | None, str]:
    """What of a device stays: not its name, which whoever logs in may choose."""
    return device.browser, device.os, device.kind
