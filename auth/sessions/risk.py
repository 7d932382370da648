"""Detects unusual logins and refreshes. Pure rules; none of them blocks a login.

A device label is claimed by the client, and the location of an address comes from a database. That suffices to
notify the owner, who can judge, and to leave a record for the detection of attacks (ASVS 5.0, 6.3.5 and 16.3.3).
"""

import math
from collections.abc import Sequence
from datetime import timedelta

from auth.core.models import ClientKind, Device, Location, Session, Sighting, User

NEW_DEVICE = "new_device"
NEW_COUNTRY = "new_country"
IMPOSSIBLE_TRAVEL = "impossible_travel"
RAPID_REFRESH = "rapid_refresh"
REFRESH_ELSEWHERE = "refresh_elsewhere"
RISKS = (NEW_DEVICE, NEW_COUNTRY, IMPOSSIBLE_TRAVEL, RAPID_REFRESH, REFRESH_ELSEWHERE)

# The alerts about a login; the others are about the use of a session.
LOGIN_ALERTS = (NEW_DEVICE, NEW_COUNTRY)

# Before that, an account without sessions is new, and its first login is not reported.
SETTLED_AFTER = timedelta(days=1)
# Faster than an airliner. Distances below NEAR_KM are within the error of location databases.
FASTEST_KM_H = 1000.0
NEAR_KM = 500.0
# If only countries are known: the least time for a journey through two airports or across most borders.
FASTEST_CHANGE_OF_COUNTRY = timedelta(hours=1)
EARTH_RADIUS_KM = 6371.0
# A client refreshes once per token lifetime, and again after a page reload. This many in a minute is a program.
RAPID_REFRESHES = 20
RAPID_SECONDS = 60.0


def news_of(user: User, session: Session, earlier: Sequence[Sighting]) -> tuple[str, ...]:
    """Return the kinds of `security-alert` to raise for a new session.

    The first login of an account raises none. If no earlier session of an older account is stored any more, the
    device counts as new.
    """
    if not earlier:
        begun = max(user.created_at, user.email_verified_at or user.created_at)
        return (NEW_DEVICE,) if session.logged_in_at - begun > SETTLED_AFTER else ()
    news = []
    if _kind_of(session.device) not in {_kind_of(each.device) for each in earlier}:
        news.append(NEW_DEVICE)
    country = session.location.country if session.location else None
    known = {each.location.country for each in earlier if each.location} - {None}
    # Without an earlier country, any would be new: the location database may have been added only now.
    if country is not None and known and country not in known:
        news.append(NEW_COUNTRY)
    return tuple(news)


def is_impossible(before: Sighting, after: Sighting) -> bool:
    """Whether one person cannot have been at both places: by distance and speed, otherwise by country."""
    if before.location is None or after.location is None:
        return False
    time = abs(after.at - before.at)
    distance = distance_km(before.location, after.location)
    if distance is not None:
        return distance > NEAR_KM and distance > FASTEST_KM_H * (time / timedelta(hours=1))
    countries = {before.location.country, after.location.country}
    return None not in countries and len(countries) > 1 and time < FASTEST_CHANGE_OF_COUNTRY


def distance_km(one: Location, other: Location) -> float | None:
    """Return the great-circle distance (haversine); None if a coordinate is unknown."""
    if one.latitude is None or one.longitude is None or other.latitude is None or other.longitude is None:
        return None
    a, b = math.radians(one.latitude), math.radians(other.latitude)
    across = math.radians(other.longitude - one.longitude)
    h = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(across / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(h)))


def is_other_kind(one: ClientKind | None, other: ClientKind | None) -> bool:
    """Whether two clients differ in browser or system.

    An unidentified client differs from none: applications send a user agent with some requests and not with
    others, and an attacker can copy the owner's anyway.
    """
    return one is not None and other is not None and one != other


def is_elsewhere(session: Session, kind: ClientKind | None, location: Location | None) -> bool:
    """Whether a token is presented by a different client than the last rotation, or from a different country.

    Countries are compared if both are known. IP addresses are not compared: they change while travelling.
    """
    countries = {session.location.country if session.location else None, location.country if location else None}
    return is_other_kind(session.rotated_by, kind) or (None not in countries and len(countries) > 1)


def pair_of(session: Session, kind: ClientKind | None, location: Location | None) -> str:
    """Return a key for the client that rotated last and the one presenting a token, independent of their order."""
    return " ~ ".join(sorted((_named(session.rotated_by, session.location), _named(kind, location))))


def _named(kind: ClientKind | None, location: Location | None) -> str:
    browser, os = (kind.browser, kind.os or "") if kind else ("", "")
    return "|".join((browser, os, (location.country if location else None) or ""))


def _kind_of(device: Device) -> tuple[str | None, str | None, str]:
    """The stable properties of a device; not its name, which the person logging in may choose."""
    return device.browser, device.os, device.kind
