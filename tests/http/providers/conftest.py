"""A node with two real OpenID providers, for tests of provider login and linking."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.nodes import Installation, Node, ServiceUrls, drop
from support.provider_person import Person
from support.providers import OpenIdServer, openid_server


@pytest.fixture(scope="session")
def provider() -> Iterator[OpenIdServer]:
    with openid_server() as server:
        yield server


@pytest.fixture(scope="session")
def other_provider() -> Iterator[OpenIdServer]:
    with openid_server() as server:
        yield server


@pytest.fixture(scope="session")
def installed(services: ServiceUrls) -> Iterator[Installation]:
    own = Installation(services)
    yield own
    drop(services, own.name)


@pytest.fixture(scope="session")
def node(installed: Installation, provider: OpenIdServer, other_provider: OpenIdServer) -> Iterator[Node]:
    """A node with two providers, and a third that does not answer."""
    running = installed.start(
        **provider.settings("one", NAME="Provider One"),
        **other_provider.settings("two"),
        VIGIL_OIDC_DOWN_ISSUER="http://127.0.0.1:9",
        VIGIL_OIDC_DOWN_CLIENT_ID="vigil",
        VIGIL_OIDC_DOWN_CLIENT_SECRET="secret",
    )
    yield running
    assert running.stop() == 0


@pytest.fixture
async def person(browser: Any, http: Any, provider: OpenIdServer) -> Person:
    one = Person(browser, http, provider)
    await one.is_known()
    return one
