"""Locations: the country in which an address is registered, and the city if a city database is configured.

A country database is bundled (data/README.md). A configured database that cannot be read aborts the start. If
the bundled one cannot be read, or any is found to be damaged later, only locations are missing.
"""

import functools
import ipaddress
import re
from pathlib import Path
from typing import Any

import maxminddb
import structlog
from maxminddb import InvalidDatabaseError

from auth.core.models import Location
from auth.core.text import printable
from auth.platform.settings.settings import SettingsError

log = structlog.get_logger()

BUNDLED = Path(__file__).parent / "data" / "country.mmdb"
MAX_CITY = 80
_COUNTRY = re.compile(r"[A-Z]{2}")


class Locations:
    """Looks up addresses. Raises `SettingsError` if a configured database cannot be read."""

    def __init__(self, *, country_database: Path | None = None, city_database: Path | None = None) -> None:
        self._readers: list[maxminddb.Reader] = []
        self._damaged = False
        if city_database is not None:
            self._readers.append(_open(city_database, "VIGIL_CITY_DATABASE"))
        if country_database is not None:
            self._readers.append(_open(country_database, "VIGIL_COUNTRY_DATABASE"))
            return
        try:
            self._readers.append(_open(BUNDLED, "the bundled country database"))
        except SettingsError as error:
            log.warning("no_country_database", error=str(error))

    def locate(self, ip: str) -> Location | None:
        """The location; None if unknown, not a public address, or not an address."""
        address = _global_address(ip)
        if address is None:
            return None
        city = country = latitude = longitude = None
        for reader in self._readers:
            record = self._get(reader, address)
            country = country or _country(record)
            city = city or _city(record)
            if latitude is None or longitude is None:
                latitude, longitude = _coordinate(record, "latitude", 90), _coordinate(record, "longitude", 180)
        if latitude is None or longitude is None:
            latitude = longitude = None
        return Location(city, country, latitude, longitude) if city or country else None

    def close(self) -> None:
        """Close the databases."""
        for reader in self._readers:
            reader.close()
        self._readers.clear()

    def _get(self, reader: maxminddb.Reader, address: str) -> dict[str, Any]:
        try:
            record = reader.get(address)
        # ValueError: an IPv6 address in an IPv4 database. A damaged database can raise any of these.
        except (InvalidDatabaseError, ValueError, KeyError, IndexError, TypeError, OSError) as error:
            if not self._damaged and not isinstance(error, ValueError):
                log.exception("location_database_damaged")
                self._damaged = True
            return {}
        return record if isinstance(record, dict) else {}


def _open(path: Path, name: str) -> maxminddb.Reader:
    try:
        return maxminddb.open_database(path)
    except (OSError, InvalidDatabaseError, ValueError) as error:
        raise SettingsError(f"{name} is wrong: {path} is not a readable MaxMind database") from error


# Cached: called at every refresh, 5 µs each.
@functools.lru_cache(maxsize=4096)
def _global_address(ip: str) -> str | None:
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address) if address.is_global else None


def _country(record: dict[str, Any]) -> str | None:
    """The country of a record in MaxMind's layout (`country.iso_code`) or a flat one (`country_code`)."""
    nested = record.get("country")
    code = nested.get("iso_code") if isinstance(nested, dict) else record.get("country_code")
    if not isinstance(code, str) or _COUNTRY.fullmatch(code) is None or code == "ZZ":
        return None
    return code


def _coordinate(record: dict[str, Any], name: str, most: float) -> float | None:
    """A coordinate in MaxMind's layout (`location.latitude`), rounded to 0.1°, some 10 km, for privacy."""
    place = record.get("location")
    degrees = place.get(name) if isinstance(place, dict) else None
    if isinstance(degrees, bool) or not isinstance(degrees, int | float) or not -most <= degrees <= most:
        return None
    return round(float(degrees), 1)


def _city(record: dict[str, Any]) -> str | None:
    """The city of a record in MaxMind's layout (`city.names.en`) or a flat one (`city`)."""
    city = record.get("city")
    if isinstance(city, dict):
        names = city.get("names")
        city = names.get("en") if isinstance(names, dict) else None
    return (printable(city, MAX_CITY) or None) if isinstance(city, str) else None
