"""What a CSRF token is worth, and which origins may act by cookie."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.core.errors import CsrfFailed, OriginNotAllowed
from auth.http.origin_check import check_csrf, check_origin, csrf_token

KEY = b"k" * 32
ALLOWED = frozenset({"https://app.example.org", "http://127.0.0.1:8000"})


def test_the_csrf_token_of_a_session_passes_for_that_session() -> None:
    check_csrf(keys=[KEY], session_id="one", presented=csrf_token(KEY, "one"))


@pytest.mark.parametrize(
    "presented",
    [None, "", "x", csrf_token(KEY, "two"), csrf_token(b"x" * 32, "one"), csrf_token(KEY, "one") + "x", "é\udc80"],
)
def test_any_other_csrf_token_fails(presented: str | None) -> None:
    with pytest.raises(CsrfFailed):
        check_csrf(keys=[KEY], session_id="one", presented=presented)


@given(st.text(max_size=60), st.text(min_size=1, max_size=40))
def test_no_text_is_a_csrf_token_by_chance(presented: str, session_id: str) -> None:
    with pytest.raises(CsrfFailed):
        check_csrf(keys=[KEY], session_id=session_id, presented=presented)


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
