"""The server against its own OpenAPI document: whatever the document allows or forbids, both keep to it.

Schemathesis makes the cases and judges the answers; each operation is a test of its own.
"""

import asyncio
from typing import Any

import aiohttp
import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from support.backends import create_key
from support.clients import Api
from support.nodes import Installation, Node

from auth.core.server_keys import Scope
from auth.http.json import MAX_BODY_BYTES
from auth.http.pages import openapi
from auth.http.routes.accounts import AccountRoutes
from auth.http.routes.admin import AdminRoutes
from auth.http.routes.alerts import AlertRoutes
from auth.http.routes.approvals import ApprovalRoutes
from auth.http.routes.config import ConfigRoutes
from auth.http.routes.export_and_deletion import ExportAndDeletionRoutes
from auth.http.routes.factors import TwoFactorRoutes
from auth.http.routes.passkeys import PasskeyRoutes
from auth.http.routes.passwords_and_email import CredentialRoutes
from auth.http.routes.phones import PhoneRoutes
from auth.http.routes.providers import ProviderRoutes
from auth.http.routes.second_step import SecondFactorRoutes
from auth.http.routes.server_api import BackendSessionRoutes, BackendUserRoutes
from auth.http.routes.server_events import BackendEventRoutes
from auth.http.routes.server_keys import ServerKeyRoutes
from auth.http.routes.server_messages import BackendMessageRoutes
from auth.http.routes.server_revocations import BackendRevocationRoutes
from auth.http.routes.server_rooms import BackendRoomRoutes
from auth.http.routes.sessions import SessionRoutes
from auth.http.routes.tokens import TokenRoutes
from auth.http.routes.webhooks import WebhookRoutes
from auth.http.routing import SERVER_API, endpoints_of

load_all_checks()

ABSENT: Any = None
# In the order in which auth/http/app.py adds them.
ROUTES = (
    AccountRoutes(ABSENT, ABSENT),
    ExportAndDeletionRoutes(ABSENT, ABSENT),
    CredentialRoutes(ABSENT, ABSENT, ABSENT),
    TokenRoutes(ABSENT, ABSENT, ABSENT),
    SecondFactorRoutes(ABSENT, ABSENT, ABSENT),
    TwoFactorRoutes(ABSENT),
    PasskeyRoutes(ABSENT, ABSENT, ABSENT, ABSENT),
    ProviderRoutes(ABSENT, ABSENT, ABSENT, phone_login=True),
    PhoneRoutes(ABSENT, ABSENT, ABSENT, enabled=True),
    SessionRoutes(ABSENT, ABSENT),
    ApprovalRoutes(ABSENT),
    AlertRoutes(ABSENT, ABSENT, ABSENT),
    AdminRoutes(ABSENT, ABSENT, ABSENT, ABSENT, ABSENT),
    ServerKeyRoutes(ABSENT),
    BackendSessionRoutes(ABSENT, ABSENT),
    BackendUserRoutes(ABSENT),
    BackendMessageRoutes(ABSENT, ABSENT, ABSENT),
    BackendRoomRoutes(ABSENT),
    BackendEventRoutes(ABSENT, ABSENT, ABSENT),
    WebhookRoutes(ABSENT),
    BackendRevocationRoutes(ABSENT, ABSENT, ABSENT),
    ConfigRoutes(ABSENT, phone_login=True),
)
DOCUMENT = openapi.build([row for routes in ROUTES for row, _ in endpoints_of(routes)])
OPERATIONS = [(method, path, item[method]) for path, item in DOCUMENT["paths"].items() for method in item]

# A mailed link and its button answer every token with a page, and who comes back from a provider ends on one.
PAGES = {
    ("get", "/api/auth/verify-email"),
    ("post", "/api/auth/verify-email/form"),
    ("get", "/api/auth/factors/undo"),
    ("post", "/api/auth/factors/undo/form"),
    ("post", "/api/auth/password/reset/form"),
    ("post", "/api/auth/email/confirm/form"),
    ("post", "/api/auth/alerts/not-me/form"),
    ("get", "/api/auth/oauth/{provider}/callback"),
}
CASES = [(method, path, GenerationMode.POSITIVE) for method, path, _ in OPERATIONS] + [
    (method, path, GenerationMode.NEGATIVE)
    for method, path, operation in OPERATIONS
    if ("requestBody" in operation or "parameters" in operation) and (method, path) not in PAGES
]

# What no schema can say: which passwords are too common, what an address or a
# phone number is, and that a name is printable.
RULES_BEYOND_THE_SCHEMA = {
    "/api/auth/register",
    "/api/auth/resend-verification",
    "/api/auth/me",
    "/api/auth/login",
    "/api/auth/password/forgot",
    "/api/auth/password/reset",
    "/api/auth/password/change",
    "/api/auth/email/change",
    "/api/auth/phone/send-otp",
    "/api/auth/webauthn/login/verify",
    "/api/auth/webauthn/register/verify",
    "/api/auth/webauthn/passkeys/{passkeyId}",
    "/api/auth/phone/verify-otp",
    "/api/auth/verify-email",
    "/api/auth/verify-email/form",
    # Which form the code of a method has.
    "/api/auth/2fa/verify",
    "/api/auth/step-up",
    # Which addresses can be posted to.
    "/api/auth/admin/webhooks",
    # Which links were mailed.
    "/api/auth/factors/undo",
    "/api/auth/factors/undo/form",
    "/api/auth/password/reset/form",
    "/api/auth/email/confirm/form",
    "/api/auth/alerts/not-me/form",
    # Which cursors were handed out, and which roles there are.
    "/api/auth/me/security-log",
    "/api/auth/admin/users",
    "/api/auth/admin/audit",
    "/api/auth/admin/users/{userId}/roles",
    # That a key is named by something printable, that a target is one, and which hashes are accepted.
    "/api/auth/admin/server-keys",
    "/api/server/disconnect",
    "/api/server/emit",
    "/api/server/rooms/{room}/history",
    "/api/server/rooms/{room}/members",
    "/api/server/users",
    "/api/server/users/{userId}",
    "/api/server/watches",
}

ADMIN = "/api/auth/admin/"

# A password is hashed for each of these, as slowly as it should be.
SLOW = {"/api/auth/register", "/api/auth/login", "/api/auth/step-up", "/api/auth/password/change"}


@pytest.fixture(scope="module")
def served(node: Node) -> Any:
    return schemathesis.openapi.from_url(f"{node.url}/openapi.json")


@pytest.fixture(scope="module")
def server_key(shared_installation: Installation, node: Node) -> str:
    """A key with every scope."""
    return create_key(shared_installation, *Scope)


@pytest.fixture
def token(node: Node, path: str, request: pytest.FixtureRequest) -> str:
    """The access token of a new session of a new account; under /admin, of an admin's. For a backend, its key."""
    if path.startswith(SERVER_API):
        return str(request.getfixturevalue("server_key"))
    email = request.getfixturevalue("administrator") if path.startswith(ADMIN) else None

    async def log_in() -> str:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            api = Api(node.url, http)
            return (await api.login(email or await api.register())).access_token

    return asyncio.run(log_in())


def test_the_document_served_is_the_one_tested(served: Any) -> None:
    assert served.raw_schema == DOCUMENT


@pytest.mark.parametrize(("method", "path", "mode"), CASES)
def test_the_server_keeps_to_its_document(
    served: Any, token: str, method: str, path: str, mode: GenerationMode
) -> None:
    operation = served[path][method]
    excluded = [CHECKS.get_one("positive_data_acceptance")] if path in RULES_BEYOND_THE_SCHEMA else []

    @hypothesis.settings(
        max_examples=2 if path in SLOW else 4,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        # A parameter of no values is not written in the URL, so that what is sent would be right.
        hypothesis.assume([] not in (case.query or {}).values())
        headers = {"Authorization": f"Bearer {token}"} if operation.definition.raw["security"] else None
        response = case.call(headers=headers, timeout=30)
        unfit = list(excluded)
        if response.status_code == 413:
            # A refusal, too, which the check of wrong data does not know; and a right one only for such a body.
            assert len(response.request.body) > MAX_BODY_BYTES
            unfit.append(CHECKS.get_one("negative_data_rejection"))
        sent = {"timeout": 30, **({"headers": headers} if headers else {})}
        case.validate_response(response, headers=headers, excluded_checks=unfit, transport_kwargs=sent)

    check()
