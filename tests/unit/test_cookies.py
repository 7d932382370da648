"""Which cookies carry tokens, what a CSRF token is worth, and who may act by cookie."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.errors import CsrfFailed, OriginNotAllowed
from auth.http.cookies import (
    ACCESS_COOKIE,
    ALL_COOKIES,
    CSRF_COOKIE,
    REFRESH_COOKIE,
    REFRESH_ONLY_COOKIE,
    SetCookie,
    check_csrf,
    check_origin,
    cleared_cookies,
    csrf_token,
    token_cookies,
)
from auth.models import IssuedTokens, TokenDelivery

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
TOKENS = IssuedTokens("access", NOW + timedelta(minutes=15), "refresh", NOW + timedelta(days=7))
KEY = b"k" * 32
ALLOWED = frozenset({"https://app.example.org", "http://127.0.0.1:8000"})


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
    names = {cookie.name for cookie in token_cookies(TOKENS, delivery, csrf="csrf", now=NOW)}
    assert names == set(ALL_COOKIES)


def test_token_cookies_cannot_be_read_by_scripts_nor_set_by_sibling_hosts() -> None:
    for name in (ACCESS_COOKIE, REFRESH_COOKIE, REFRESH_ONLY_COOKIE):
        assert name.startswith("__Host-")
        attributes = SetCookie(name, "value", 9).header.split("; ")
        assert attributes == [
            f"{name}=value", "Max-Age=9", "Path=/", "Secure", "HttpOnly", "SameSite=Strict",
        ]  # fmt: skip


def test_only_the_csrf_cookie_can_be_read_by_scripts() -> None:
    assert "HttpOnly" not in SetCookie(CSRF_COOKIE, "value", 9).header
    assert "Secure; SameSite=Strict" in SetCookie(CSRF_COOKIE, "value", 9).header


def test_clearing_removes_every_cookie() -> None:
    assert {(cookie.name, cookie.value, cookie.max_age) for cookie in cleared_cookies()} == {
        (name, "", 0) for name in ALL_COOKIES
    }


def test_a_cookie_does_not_print_its_value() -> None:
    assert "secret" not in repr(SetCookie(ACCESS_COOKIE, "secret", 9))


def test_the_csrf_token_of_a_session_passes_for_that_session() -> None:
    check_csrf(key=KEY, session_id="one", presented=csrf_token(KEY, "one"))


@pytest.mark.parametrize(
    "presented",
    [None, "", "x", csrf_token(KEY, "two"), csrf_token(b"x" * 32, "one"), csrf_token(KEY, "one") + "x", "é\udc80"],
)
def test_any_other_csrf_token_fails(presented: str | None) -> None:
    with pytest.raises(CsrfFailed):
        check_csrf(key=KEY, session_id="one", presented=presented)


@given(st.text(max_size=60), st.text(min_size=1, max_size=40))
def test_no_text_is_a_csrf_token_by_chance(presented: str, session_id: str) -> None:
    with pytest.raises(CsrfFailed):
        check_csrf(key=KEY, session_id=session_id, presented=presented)


@pytest.mark.parametrize(
    ("origin", "fetch_site"),
    [
        ("https://app.example.org", None),
        ("HTTPS://APP.example.org", "same-site"),
        ("http://127.0.0.1:8000", "same-origin"),
        (None, "same-origin"),
        (None, "none"),
        (None, None),
    ],
)
def test_allowed_places_may_act_by_cookie(origin: str | None, fetch_site: str | None) -> None:
    check_origin(origin=origin, fetch_site=fetch_site, allowed=ALLOWED)


@pytest.mark.parametrize(
    ("origin", "fetch_site"),
    [
        ("https://evil.example", None),
        ("https://evil.example", "same-origin"),
        ("null", None),
        ("", None),
        ("https://app.example.org.evil.example", None),
        ("https://app.example.org:444", None),
        ("http://app.example.org", None),
        ("http://127.0.0.1:8001", None),
        (None, "cross-site"),
        (None, "same-site"),
        (None, "SAME-SITE"),
        (None, "nonsense"),
    ],
)
def test_other_places_may_not(origin: str | None, fetch_site: str | None) -> None:
    with pytest.raises(OriginNotAllowed):
        check_origin(origin=origin, fetch_site=fetch_site, allowed=ALLOWED)
