"""What the live socket accepts and says."""

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.core.errors import InvalidRequest, RateLimited, TokenExpired
from auth.core.models import Delivery, Device, IssuedTokens, Location, Session, TokenDelivery, User
from auth.core.views import (
    MAX_SAFE_INTEGER,
    DeliveryView,
    RefreshedView,
    SessionView,
    UserView,
    parse,
)
from realtime.protocol.messages import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    ClientEvent,
    ConnectRefusal,
    Handshake,
    Refresh,
    ServerEvent,
    refused,
    served,
)

NOW = datetime(2026, 11, 21, 9, 30, 0, 7000, tzinfo=UTC)
SESSION = Session(
    session_id="s1",
    user_id="u1",
    nonce_hash=b"hash-of-nonce",
    generation=3,
    confirmed=True,
    delivery=TokenDelivery.BODY,
    roles=("admin",),
    amr=("pwd",),
    device=Device("Firefox on Linux", "Firefox", "Linux", "desktop"),
    user_agent="Mozilla/5.0",
    ip="203.0.113.7",
    location=Location(None, "NL"),
    logged_in_at=NOW,
    last_seen_at=NOW,
    rotated_at=NOW,
    expires_at=NOW,
    ends_at=NOW,
)


def test_every_event_has_its_models() -> None:
    assert set(SERVER_EVENTS) == set(ServerEvent)
    assert set(CLIENT_EVENTS) == set(ClientEvent)


def test_a_session_is_shown_as_the_contract_says() -> None:
    assert SessionView.of(SESSION, current_session_id="s1", online=True).to_wire() == {
        "sessionId": "s1",
        "device": {"name": "Firefox on Linux", "browser": "Firefox", "os": "Linux", "kind": "desktop"},
        "userAgent": "Mozilla/5.0",
        "ip": "203.0.113.7",
        "location": {"city": None, "country": "NL"},
        "loggedInAt": "2026-11-21T09:30:00.007Z",
        "lastSeenAt": "2026-11-21T09:30:00.007Z",
        "expiresAt": "2026-11-21T09:30:00.007Z",
        "isCurrent": True,
        "online": True,
        "amr": ["pwd"],
        "alerts": [],
    }


def test_a_session_of_another_device_is_not_current() -> None:
    assert not SessionView.of(SESSION, current_session_id="s2", online=False).is_current
    assert not SessionView.of(SESSION, current_session_id=None, online=False).is_current


def test_a_user_is_shown_without_the_password_hash() -> None:
    user = User("u1", "ada@example.org", "Ada", None, (), NOW, None, "$argon2id$v=19$secret")
    shown = UserView.of(user).to_wire()
    assert shown == {
        "userId": "u1",
        "email": "ada@example.org",
        "emailVerified": False,
        "phoneNumber": None,
        "name": "Ada",
        "username": None,
        "roles": [],
        "createdAt": "2026-11-21T09:30:00.007Z",
    }


def test_a_delivery_is_shown_whole() -> None:
    shown = DeliveryView.of(Delivery(5, 4, 3, 2, 1)).to_wire()
    assert shown == {"sockets": 5, "notified": 4, "acknowledged": 3, "closed": 2, "pending": 1}


@pytest.mark.parametrize(
    ("access", "refresh", "present"),
    [(True, True, {"accessToken", "refreshToken"}), (True, False, {"accessToken"}), (False, False, set())],
)
def test_a_token_that_travels_in_a_cookie_is_left_out(access: bool, refresh: bool, present: set[str]) -> None:
    tokens = IssuedTokens("access", NOW, "refresh", NOW)
    shown = RefreshedView.of(tokens, access=access, refresh=refresh, outcome="rotated").to_wire()
    assert set(shown) == {"accessTokenExpiresAt", "refreshTokenExpiresAt", "outcome"} | present


@pytest.mark.parametrize("last_event_id", [None, 0, 5, MAX_SAFE_INTEGER])
def test_a_handshake_may_name_the_last_event(last_event_id: int | None) -> None:
    handshake = parse(Handshake, {"token": "t", "lastEventId": last_event_id})
    assert handshake.last_event_id == last_event_id


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("1795953600000", 1795953600000), ("0", 0), ("007", 7), ("5.0", 5), ("5.000", 5), (5.0, 5), (0.0, 0),
        (float(MAX_SAFE_INTEGER), MAX_SAFE_INTEGER), (str(MAX_SAFE_INTEGER), MAX_SAFE_INTEGER),
    ],
)  # fmt: skip
def test_it_may_name_it_as_clients_do_that_have_only_texts_or_no_whole_numbers(sent: Any, read: int) -> None:
    cursor = parse(Handshake, {"token": "t", "lastEventId": sent}).last_event_id
    assert (cursor, type(cursor)) == (read, int)


def test_an_empty_text_names_no_event() -> None:
    assert parse(Handshake, {"token": "t", "lastEventId": ""}) == Handshake(token="t")


def test_a_handshake_does_not_look_at_what_client_libraries_add() -> None:
    more = {"pid": "sOme-id", "offset": "17-0", "extra": {"deep": [1]}, "__proto__": {"admin": True}, "Token": "x"}
    assert parse(Handshake, {"token": "t", **more}) == Handshake(token="t")


def test_a_handshake_may_leave_everything_to_the_cookie() -> None:
    assert parse(Handshake, {}) == Handshake()


@pytest.mark.parametrize("last_event_id", [
    -1, "-1", " 5", "5 ", "+5", "0x5", "5e0", "1.5", "5.", "\u0665", "5\n", "9" * 17, -1.0,
    str(2**53), 1.5, 1e300, float("inf"), float("nan"), True, [], {}, ["5"], MAX_SAFE_INTEGER + 1, 2**70,
])  # fmt: skip
def test_any_other_last_event_is_refused(last_event_id: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(Handshake, {"token": "t", "lastEventId": last_event_id})
    assert [error.field for error in caught.value.errors] == ["lastEventId"]


@pytest.mark.parametrize(
    ("payload", "fields"),
    [
        ({}, ["refreshToken"]),
        ({"refreshToken": ""}, ["refreshToken"]),
        ({"refreshToken": 5}, ["refreshToken"]),
        ({"refreshToken": None}, ["refreshToken"]),
        ({"refreshToken": ["a"]}, ["refreshToken"]),
        ({"refreshToken": "a\0b"}, ["refreshToken"]),
        ({"refreshToken": "\ud800"}, ["refreshToken"]),
        ({"refresh_token": "a"}, ["refreshToken", "refresh_token"]),
        ({"refreshToken": "a", "more": 1}, ["more"]),
        ("rt1.abc", [""]),
        (None, [""]),
        ([], [""]),
        (5, [""]),
    ],
)
def test_a_wrong_payload_is_refused_by_field(payload: Any, fields: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(Refresh, payload)
    assert [error.field for error in caught.value.errors] == fields


def test_a_refusal_repeats_nothing_of_what_was_sent() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(Refresh, {"refreshToken": {"password": "hunter2"}, "x" * 5000: "hunter2"})
    assert "hunter2" not in str(caught.value.errors)
    assert all(len(error.field) <= 100 for error in caught.value.errors)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(sorted(CLIENT_EVENTS)), json_values)
def test_no_payload_does_anything_but_pass_or_be_refused(event: str, payload: Any) -> None:
    with contextlib.suppress(InvalidRequest):
        parse(CLIENT_EVENTS[event][0], payload)


def test_acks_say_whether_the_event_was_served() -> None:
    assert served(DeliveryView.of(Delivery()))["ok"] is True
    assert refused(TokenExpired()) == {
        "ok": False,
        "code": "token_expired",
        "message": "The access token has expired.",
    }
    assert refused(RateLimited(retry_after_seconds=1.5))["retryAfterMs"] == 1500


def test_a_refused_connection_says_whether_to_try_again() -> None:
    assert ConnectRefusal.of(RateLimited(retry_after_seconds=2)).to_wire() == {
        "code": "rate_limited",
        "retryable": True,
        "retryAfterMs": 2000,
    }
    assert ConnectRefusal.of(TokenExpired()).to_wire() == {"code": "token_expired", "retryable": False}
