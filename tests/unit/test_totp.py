"""Codes of an authenticator app, by the vectors of their RFCs, and the window in which one is taken."""

import base64
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import hypothesis
import hypothesis.strategies as st
import pytest
from support.authenticator import code_at

from auth.factors.totp import new_secret, provisioning_uri, steps_of, time_step

# Both RFCs use this secret for SHA-1.
SECRET = base64.b32encode(b"12345678901234567890").decode()
RFC_6238_APPENDIX_B = [
    (59, "94287082"),
    (1111111109, "07081804"),
    (1111111111, "14050471"),
    (1234567890, "89005924"),
    (2000000000, "69279037"),
    (20000000000, "65353130"),
]
RFC_4226_APPENDIX_D = [
    "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489",
]  # fmt: skip
NOW = datetime(2026, 11, 21, 9, 30, 15, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def taken(code: str, now: datetime, secret: str = SECRET) -> list[int]:
    return list(steps_of(code, secret=secret, now=now))


@pytest.mark.parametrize(("seconds", "eight_digits"), RFC_6238_APPENDIX_B)
def test_the_vectors_of_rfc_6238(seconds: int, eight_digits: str) -> None:
    """Ours have six digits: those are the last six of eight (RFC 4226, section 5.3, step 3)."""
    assert taken(eight_digits[-6:], at(seconds)) == [seconds // 30]


@pytest.mark.parametrize(("count", "code"), list(enumerate(RFC_4226_APPENDIX_D))[1:])
def test_the_vectors_of_rfc_4226(count: int, code: str) -> None:
    assert taken(code, at(count * 30)) == [count]


def test_asvs_6_5_5_a_code_is_good_in_its_own_step_and_one_on_either_side() -> None:
    step = time_step(NOW)
    for away, good in ((-3, False), (-2, False), (-1, True), (0, True), (1, True), (2, False), (3, False)):
        assert (taken(code_at(SECRET, step + away), NOW) == [step + away]) is good


def test_a_step_ends_to_the_second() -> None:
    step = time_step(NOW)
    code = code_at(SECRET, step)
    begins = at(step * 30)
    assert not taken(code, begins - timedelta(seconds=30.001))
    assert taken(code, begins - timedelta(seconds=30))
    assert taken(code, begins + timedelta(seconds=59.999))
    assert not taken(code, begins + timedelta(seconds=60))


@pytest.mark.parametrize("typed", ["{} ", " {}", "\t{}\n", "123 456"])
def test_spaces_are_forgiven_as_apps_show_them(typed: str) -> None:
    code = code_at(SECRET, time_step(NOW))
    shown = f"{code[:3]} {code[3:]}" if "{}" not in typed else typed.format(code)
    assert taken(shown, NOW) == [time_step(NOW)]


@pytest.mark.parametrize(
    "code",
    [
        "",
        " ",
        "12345",
        "1234567",
        "abcdef",
        "-12345",
        "+12345",
        "1e5000",
        "١٢٣٤٥٦",
        "１２３４５６",
        "0" * 64,
        "\0" * 6,
    ],
)
def test_what_is_no_code_is_none(code: str) -> None:
    assert taken(code, NOW) == []


@hypothesis.given(st.text(max_size=64))
def test_nothing_that_is_typed_can_raise(code: str) -> None:
    taken(code, NOW)


@hypothesis.given(st.binary(min_size=20, max_size=20), st.integers(60, 2**35))
def test_an_app_of_other_make_shows_the_same_code(secret: bytes, seconds: int) -> None:
    text = base64.b32encode(secret).decode()
    step = seconds // 30
    assert step in taken(code_at(text, step), at(seconds), text)


def test_asvs_6_5_3_secrets_are_of_160_random_bits() -> None:
    """RFC 4226, section 4, R6: 128 bits at least, 160 recommended."""
    made = {new_secret() for _ in range(200)}
    assert len(made) == 200
    assert all(len(base64.b32decode(secret)) == 20 for secret in made)


def test_the_uri_says_whose_code_it_is() -> None:
    uri = urlsplit(provisioning_uri(SECRET, account="ada+x@example.org", service="Example Chat"))
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert unquote(uri.path) == "/Example Chat:ada+x@example.org"
    assert parse_qs(uri.query) == {"secret": [SECRET], "issuer": ["Example Chat"]}
    assert re.fullmatch(r"[!-~]+", uri.geturl())
