"""Which cookies carry tokens, and how they are read."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from auth.clients.known_devices import KNOWN_DAYS
from auth.core.models import IssuedTokens, TokenDelivery
from auth.http.cookies import (
    ACCESS_COOKIE,
    ALL_COOKIES,
    CSRF_COOKIE,
    DEVICE_COOKIE,
    REFRESH_COOKIE,
    REFRESH_ONLY_COOKIE,
    VISIT_COOKIE,
    SetCookie,
    cleared_cookies,
    device_cookie,
    registration_cookie,
    sent_cookie,
    sent_values,
    token_cookies,
)
from realtime.gateway.handshake import OpeningRequest

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
TOKENS = IssuedTokens("access", NOW + timedelta(minutes=15), "refresh", NOW + timedelta(days=7))


def live(delivery: TokenDelivery) -> dict[str, SetCookie]:
    cookies = token_cookies(TOKENS, delivery, csrf="csrf", now=NOW)
    return {cookie.name: cookie for cookie in cookies if cookie.max_age}


def test_body_delivery_sets_no_cookie() -> None:
    assert token_cookies(TOKENS, TokenDelivery.BODY, csrf="csrf", now=NOW) == ()


def test_cookie_delivery_carries_only_the_refresh_token() -> None:
    assert {name: cookie.value for name, cookie in live(TokenDelivery.COOKIE).items()} == {
        REFRESH_ONLY_COOKIE: "refresh",
        CSRF_COOKIE: "csrf",
    }


def test_cookies_delivery_carries_both_tokens() -> None:
    assert {name: cookie.value for name, cookie in live(TokenDelivery.COOKIES).items()} == {
        ACCESS_COOKIE: "access",
        REFRESH_COOKIE: "refresh",
        CSRF_COOKIE: "csrf",
    }


def test_cookies_live_as_long_as_their_tokens() -> None:
    ages = {name: cookie.max_age for name, cookie in live(TokenDelivery.COOKIES).items()}
    assert ages == {ACCESS_COOKIE: 900, REFRESH_COOKIE: 604800, CSRF_COOKIE: 604800}


@pytest.mark.parametrize("delivery", [TokenDelivery.COOKIE, TokenDelivery.COOKIES])
def test_one_form_removes_the_other(delivery: TokenDelivery) -> None:
    cookies = token_cookies(TOKENS, delivery, csrf="csrf", now=NOW)
    assert {cookie.name for cookie in cookies} == set(ALL_COOKIES)
    removed = {(cookie.value, cookie.max_age) for cookie in cookies if cookie.name not in live(delivery)}
    assert removed == {("", 0)}


def test_the_cookie_of_a_token_that_has_expired_is_removed() -> None:
    later = NOW + timedelta(minutes=16)
    cookies = token_cookies(TOKENS, TokenDelivery.COOKIES, csrf="csrf", now=later)
    assert {cookie.name: cookie.max_age for cookie in cookies}[ACCESS_COOKIE] == 0


def test_token_cookies_cannot_be_read_by_scripts_nor_set_by_sibling_hosts() -> None:
    for name in (ACCESS_COOKIE, REFRESH_COOKIE, REFRESH_ONLY_COOKIE):
        assert name.startswith("__Host-")
        attributes = SetCookie(name, "value", 9).header().split("; ")
        assert attributes == [
            f"{name}=value", "Max-Age=9", "Path=/", "Secure", "HttpOnly", "SameSite=Strict",
        ]  # fmt: skip


def test_only_the_csrf_cookie_can_be_read_by_scripts() -> None:
    assert "HttpOnly" not in SetCookie(CSRF_COOKIE, "value", 9).header()
    assert "Secure; SameSite=Strict" in SetCookie(CSRF_COOKIE, "value", 9).header()


@pytest.mark.parametrize("name", ALL_COOKIES)
def test_cookies_for_pages_of_another_site_are_kept_apart_for_each_site_they_were_set_under(name: str) -> None:
    assert SetCookie(name, "value", 9).header(cross_site=True).endswith("; SameSite=None; Partitioned")
    assert "; Secure" in SetCookie(name, "value", 9).header(cross_site=True)
    assert SetCookie(name, "", 0).header(cross_site=True).startswith(f"{name}=; Max-Age=0; ")


def test_the_cookie_of_a_visit_to_a_provider_stays_lax() -> None:
    visit = SetCookie(VISIT_COOKIE, "value", 9, same_site="Lax")
    assert visit.header(cross_site=True) == visit.header()


def test_cookies_that_must_outlive_a_visit_to_a_mailbox_are_lax() -> None:
    registering = registration_cookie("secret", timedelta(hours=24))
    assert registering.header() == (
        "__Host-vigil_registration=secret; Max-Age=86400; Path=/; Secure; HttpOnly; SameSite=Lax"
    )
    device = device_cookie("value")
    assert (device.name, device.value, device.same_site) == (DEVICE_COOKIE, "value", "Lax")
    assert device.max_age == KNOWN_DAYS * 24 * 60 * 60


def test_clearing_removes_every_cookie() -> None:
    assert {(cookie.name, cookie.value, cookie.max_age) for cookie in cleared_cookies()} == {
        (name, "", 0) for name in ALL_COOKIES
    }


def test_a_cookie_does_not_print_its_value() -> None:
    assert "secret" not in repr(SetCookie(ACCESS_COOKIE, "secret", 9))


# Reading the Cookie header.

PLANTED = f"{ACCESS_COOKIE}=planted"
# What else Python's `str.strip` and `str.split` take for blanks, and what a sibling host's cookie may hold.
BLANKS = "\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000\ufeff\u200b\udc85"


def read(*lines: str) -> str | None:
    return sent_cookie(CIMultiDict([("Cookie", line) for line in lines]), ACCESS_COOKIE)


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ((f"{ACCESS_COOKIE}=own",), "own"),
        ((f"theme=x; {ACCESS_COOKIE}=own; csrf=y",), "own"),
        ((f"theme=x;{ACCESS_COOKIE}=own",), "own"),
        (("theme=x", f"{ACCESS_COOKIE}=own"), "own"),
        ((f" \t{ACCESS_COOKIE}\t = own \t",), "own"),
        ((f"{ACCESS_COOKIE}=own; {ACCESS_COOKIE.upper()}=planted",), "own"),
        ((f"{ACCESS_COOKIE}=a=b==",), "a=b=="),
        ((f'{ACCESS_COOKIE}="own"',), '"own"'),
        ((f"{ACCESS_COOKIE}=one two",), "one two"),
        ((f"{ACCESS_COOKIE}=\u00a0own\u2000",), "\u00a0own\u2000"),
        ((f'"a; {ACCESS_COOKIE}=own; b"',), "own"),
    ],
)
def test_our_cookie_is_read_as_the_browser_wrote_it(lines: tuple[str, ...], value: str) -> None:
    assert read(*lines) == value


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("",),
        (f"theme=x {PLANTED}",),
        (f"theme=x,{PLANTED}",),
        (f"theme=x\t{PLANTED}",),
        (f'theme="x {PLANTED}"',),
        (f"theme {PLANTED}",),
        (f"=x; ={PLANTED}",),
        (f"{ACCESS_COOKIE.lower()}=planted",),
        (f"{ACCESS_COOKIE.upper()}=planted",),
        (f'"{ACCESS_COOKIE}"=planted',),
        (f"$Path=/ {PLANTED}",),
        (ACCESS_COOKIE,),
        (f"{ACCESS_COOKIE}=",),
        *((f"{blank}{PLANTED}",) for blank in BLANKS),
        *((f"{ACCESS_COOKIE}{blank}=planted",) for blank in BLANKS),
        *((f"theme=x{blank}{PLANTED}",) for blank in BLANKS),
    ],
)
def test_asvs_3_3_3_what_a_sibling_host_can_set_is_not_taken_for_ours(lines: tuple[str, ...]) -> None:
    assert read(*lines) is None


@pytest.mark.parametrize(
    "lines",
    [
        (f"{ACCESS_COOKIE}=own; {PLANTED}",),
        (f"{PLANTED}; {ACCESS_COOKIE}=own",),
        (f"{ACCESS_COOKIE}=own", PLANTED),
        (f"{ACCESS_COOKIE}=own; {ACCESS_COOKIE}=own",),
        (f"{ACCESS_COOKIE}=own; {ACCESS_COOKIE}=",),
    ],
)
def test_of_a_cookie_that_comes_twice_neither_is_believed(lines: tuple[str, ...]) -> None:
    assert read(*lines) is None


def test_a_handshake_is_read_by_the_same_rules() -> None:
    def handshake(cookie: str) -> OpeningRequest:
        request: Any = SimpleNamespace(headers=CIMultiDict(Cookie=cookie), remote="192.0.2.1")
        return OpeningRequest.of(request, ())

    assert handshake(f"theme=x; {ACCESS_COOKIE}=own").access_cookie == "own"
    assert handshake(f"theme=x {PLANTED}").access_cookie is None
    assert handshake(f"{ACCESS_COOKIE}=own; {PLANTED}").access_cookie is None


def test_a_cookie_that_comes_twice_is_there_to_be_removed() -> None:
    headers = CIMultiDict([("Cookie", f"{ACCESS_COOKIE}=own"), ("Cookie", PLANTED)])
    assert sent_values(headers, ACCESS_COOKIE) == ["own", "planted"]


@given(st.text(st.characters(exclude_characters=";")).filter(lambda text: text.strip(" \t")), st.text())
def test_no_cookie_of_another_name_is_ours_whatever_is_in_it(name: str, value: str) -> None:
    """What a sibling sets is one pair: browsers cut a cookie off at its first `;`."""
    pair = f"{name}={value}".partition(";")[0]
    if pair.partition("=")[0].strip(" \t") != ACCESS_COOKIE:
        assert read(f"{ACCESS_COOKIE}=own; {pair}") == "own"
        assert read(pair) is None
