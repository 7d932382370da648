"""Where an address is, as far as the databases say."""

import shutil
from pathlib import Path
from typing import Any

import maxminddb
import pytest
from maxminddb import InvalidDatabaseError

import auth.clients.locations
from auth.clients.locations import BUNDLED, Locations
from auth.core.models import Location
from auth.platform.settings.settings import SettingsError


@pytest.fixture(scope="module")
def locations() -> Locations:
    return Locations()


@pytest.mark.parametrize(
    ("ip", "country"),
    [
        ("8.8.8.8", "US"),
        ("133.11.0.1", "JP"),
        ("141.2.1.1", "DE"),
        ("2003::1", "DE"),
        ("::ffff:8.8.8.8", "US"),
    ],
)
def test_the_bundled_database_knows_countries(locations: Locations, ip: str, country: str) -> None:
    assert locations.locate(ip) == Location(None, country)


@pytest.mark.parametrize(
    "ip",
    ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.1.1", "fe80::1%eth0",
     "fd00::1", "100.64.0.1", "::ffff:10.0.0.1", "0.0.0.0", "255.255.255.255",
     "192.0.2.1", "", "nonsense", "1.2.3", "\ud800"],
)  # fmt: skip
def test_an_address_that_is_nowhere_has_no_location(locations: Locations, ip: str) -> None:
    assert locations.locate(ip) is None


class Records:
    """A database with these records, read by the real lookup."""

    def __init__(self, record: Any) -> None:
        self.record = record

    def get(self, _: str) -> Any:
        if isinstance(self.record, Exception):
            raise self.record
        return self.record

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("record", "location"),
    [
        ({"country": {"iso_code": "NL"}, "city": {"names": {"en": "Utrecht"}}}, Location("Utrecht", "NL")),
        ({"country_code": "NL", "city": "Utrecht"}, Location("Utrecht", "NL")),
        ({"country_code": "NL"}, Location(None, "NL")),
        ({"city": "Utrecht"}, Location("Utrecht", "US")),
        ({"country_code": "ZZ", "city": ""}, Location(None, "US")),
        ({"country_code": "nl", "city": 7, "country": "NL"}, Location(None, "US")),
        ({"city": {"names": {"de": "Köln"}}}, Location(None, "US")),
        ("text", Location(None, "US")),
        (None, Location(None, "US")),
        (InvalidDatabaseError("damaged"), Location(None, "US")),
        (ValueError("an IPv6 address in an IPv4 database"), Location(None, "US")),
    ],
)
def test_a_city_database_of_either_layout_adds_to_the_country(
    monkeypatch: pytest.MonkeyPatch, record: Any, location: Location
) -> None:
    city = Path("/city.mmdb")
    open_database = maxminddb.open_database
    with monkeypatch.context() as patch:
        patch.setattr(
            maxminddb,
            "open_database",
            lambda path: Records(record) if path == city else open_database(path),
        )
        locations = Locations(city_database=city)
    assert locations.locate("8.8.8.8") == location
    locations.close()


@pytest.mark.parametrize("setting", ["country_database", "city_database"])
def test_a_named_database_that_cannot_be_read_stops_the_start(tmp_path: Path, setting: str) -> None:
    broken = tmp_path / "broken.mmdb"
    broken.write_bytes(b"not a database")
    for path in (broken, tmp_path / "missing.mmdb", tmp_path):
        with pytest.raises(SettingsError, match=f"VIGIL_{setting.upper()} is wrong: {path}"):
            Locations(**{setting: path})


@pytest.mark.parametrize("content", [None, b"", b"not a database"])
def test_a_bundled_database_that_is_gone_costs_locations_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "country.mmdb"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(auth.clients.locations, "BUNDLED", path)
    assert Locations().locate("8.8.8.8") is None


def test_a_database_damaged_in_the_middle_costs_locations_only(tmp_path: Path) -> None:
    path = tmp_path / "damaged.mmdb"
    shutil.copy(BUNDLED, path)
    with path.open("r+b") as file:
        for offset in range(0, path.stat().st_size - 100_000, 4096):
            file.seek(offset)
            file.write(b"\xff" * 2048)
    locations = Locations(country_database=path)
    for first in range(1, 224):
        locations.locate(f"{first}.8.8.8")
    locations.close()
