"""The cookie that tells a device that has logged in before. Pure."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.clients.known_devices import KNOWN_DAYS, MAX_ACCOUNTS, KnownDevices
from auth.core.clock import utc_now

NOW = utc_now()
DEVICES = KnownDevices(b"k" * 32, lambda: NOW)
ADA, BOB = "0123456789abcdef", "fedcba9876543210"


def test_a_device_is_known_to_those_who_logged_in_on_it_and_to_nobody_else() -> None:
    cookie = DEVICES.remember(None, ADA)
    assert DEVICES.device_of(cookie, ADA)
    assert DEVICES.device_of(cookie, BOB) is None
    assert DEVICES.device_of(None, ADA) is None


def test_two_devices_of_one_account_are_told_apart() -> None:
    one, other = DEVICES.remember(None, ADA), DEVICES.remember(None, ADA)
    assert DEVICES.device_of(one, ADA) != DEVICES.device_of(other, ADA)


def test_another_login_keeps_the_device_and_who_is_known_on_it() -> None:
    cookie = DEVICES.remember(None, ADA)
    both = DEVICES.remember(cookie, BOB)
    again = DEVICES.remember(both, ADA)
    assert {DEVICES.device_of(each, ADA) for each in (cookie, both, again)} == {DEVICES.device_of(again, BOB)}
    assert len(again) == len(both)


def test_of_many_accounts_those_that_logged_in_last_are_known() -> None:
    cookie, users = None, [f"user {number}" for number in range(MAX_ACCOUNTS + 3)]
    for user in users:
        cookie = DEVICES.remember(cookie, user)
    assert [user for user in users if DEVICES.device_of(cookie, user)] == users[3:]
    assert len(cookie or "") < 256


def test_a_device_that_was_away_for_a_year_is_a_stranger() -> None:
    cookie = DEVICES.remember(None, ADA)

    def known_after(days: int) -> bool:
        return KnownDevices(b"k" * 32, lambda: NOW + timedelta(days=days)).device_of(cookie, ADA) is not None

    assert known_after(KNOWN_DAYS)
    assert not known_after(KNOWN_DAYS + 1)


def test_it_says_nothing_of_whose_it_is() -> None:
    cookie = DEVICES.remember(None, ADA)
    raw = urlsafe_b64decode(cookie[4:] + "=" * (-len(cookie[4:]) % 4))
    assert ADA.encode() not in raw
    assert bytes.fromhex(ADA) not in raw


def test_with_another_key_nobody_is_known() -> None:
    assert KnownDevices(b"x" * 32, lambda: NOW).device_of(DEVICES.remember(None, ADA), ADA) is None


def test_every_changed_bit_makes_a_stranger_of_it() -> None:
    cookie = DEVICES.remember(None, ADA)
    raw = urlsafe_b64decode(cookie[4:] + "=" * (-len(cookie[4:]) % 4))
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        forged = cookie[:4] + urlsafe_b64encode(changed).rstrip(b"=").decode()
        assert DEVICES.device_of(forged, ADA) is None


@pytest.mark.parametrize(
    "cookie",
    ["", "kd1.", "kd1." + "A" * 48, "kd1." + "A" * 50, "kd1." + "A" * 500, "x" * 90, "kd1.\u2000" + "A" * 60],
)
def test_what_is_no_cookie_is_a_stranger_and_is_replaced(cookie: str) -> None:
    assert DEVICES.device_of(cookie, ADA) is None
    assert DEVICES.device_of(DEVICES.remember(cookie, ADA), ADA)


@given(st.text(max_size=300), st.text(max_size=40))
def test_no_text_breaks_it(cookie: str, user_id: str) -> None:
    user_id = user_id.encode("utf-8", "replace").decode()
    assert DEVICES.device_of(cookie, user_id) is None
    assert DEVICES.device_of(DEVICES.remember(cookie, user_id), user_id)
