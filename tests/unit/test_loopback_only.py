"""What is for development is shown to programs on this machine, and to nobody behind a proxy or another name."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from auth.http.edge.loopback_only import is_local_request


def headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8000",
        "127.0.0.1:65535",
        "localhost",
        "LocalHost:8000",
        "[::1]",
        "[::1]:8000",
        "auth.app.localhost:80",
    ],
)
def test_this_machine_s_own_names_are_from_here(host: str) -> None:
    assert is_local_request(headers(("Host", host), ("User-Agent", "curl")))


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "evil.example:8000", "evillocalhost",
        "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1",
        "localhost@evil.example", "[::1", "[::ffff:192.0.2.1]", "0.0.0.0",
    ],
)  # fmt: skip
def test_another_name_is_not(host: str) -> None:
    assert not is_local_request(headers(("Host", host)))


def test_nor_is_a_request_without_a_name_or_with_two() -> None:
    assert not is_local_request(headers())
    assert not is_local_request(headers(("Host", "localhost"), ("Host", "evil.example")))


@pytest.mark.parametrize(
    "name",
    [
        "Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "x-forwarded", "X-Real-IP",
        "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Original-Forwarded-For", "CDN-Loop",
    ],
)  # fmt: skip
def test_what_a_proxy_passed_on_is_not_whatever_it_says(name: str) -> None:
    assert not is_local_request(headers(("Host", "127.0.0.1:8000"), (name, "")))
