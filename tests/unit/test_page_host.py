"""The page is opened on the origin that cookies and sockets belong to."""

import pytest

from auth.http.app import is_alias


@pytest.mark.parametrize(
    ("host", "public_host", "alias"),
    [
        ("localhost:8000", "127.0.0.1:8000", True),
        ("127.0.0.1:8000", "localhost:8000", True),
        ("127.0.0.1:8000", "127.0.0.1:8000", False),
        ("localhost:9000", "127.0.0.1:8000", False),  # a forwarded port: we do not know where it leads back to
        ("evil.example:8000", "127.0.0.1:8000", False),
        ("localhost:8000", "auth.example.org", False),
    ],
)
def test_only_this_machines_other_name_is_an_alias(host: str, public_host: str, alias: bool) -> None:
    assert is_alias(host, public_host) is alias


async def test_the_page_asked_for_as_localhost_is_sent_to_the_public_url(node, http) -> None:
    port = node.url.rpartition(":")[2]
    async with http.get(
        node.url + "/?verified=1", headers={"Host": "localhost:8000"}, allow_redirects=False
    ) as answer:
        assert answer.status == 307
        assert answer.headers["Location"] == "http://127.0.0.1:8000/?verified=1"
    async with http.get(node.url + "/", headers={"Host": f"127.0.0.1:{port}"}) as answer:
        assert answer.status == 200
