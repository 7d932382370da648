"""Every endpoint that the routes declare, without the operations behind them."""

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
from auth.http.routes.server_keys import ServerKeyRoutes
from auth.http.routes.server_messages import BackendMessageRoutes
from auth.http.routes.server_revocations import BackendRevocationRoutes
from auth.http.routes.server_rooms import BackendRoomRoutes
from auth.http.routes.sessions import SessionRoutes
from auth.http.routes.tokens import TokenRoutes
from auth.http.routing import endpoints_of

ROUTES = (
    AccountRoutes(*[None] * 2),  # type: ignore[arg-type]
    ExportAndDeletionRoutes(*[None] * 2),  # type: ignore[arg-type]
    CredentialRoutes(*[None] * 3),  # type: ignore[arg-type]
    TokenRoutes(*[None] * 3),  # type: ignore[arg-type]
    SecondFactorRoutes(*[None] * 3),  # type: ignore[arg-type]
    TwoFactorRoutes(None),  # type: ignore[arg-type]
    PasskeyRoutes(*[None] * 4),  # type: ignore[arg-type]
    ProviderRoutes(*[None] * 3, phone_login=True),  # type: ignore[arg-type]
    PhoneRoutes(*[None] * 3, enabled=True),  # type: ignore[arg-type]
    SessionRoutes(*[None] * 2),  # type: ignore[arg-type]
    ApprovalRoutes(None),  # type: ignore[arg-type]
    AlertRoutes(*[None] * 3),  # type: ignore[arg-type]
    AdminRoutes(*[None] * 5),  # type: ignore[arg-type]
    ServerKeyRoutes(None),  # type: ignore[arg-type]
    BackendSessionRoutes(*[None] * 2),  # type: ignore[arg-type]
    BackendUserRoutes(None),  # type: ignore[arg-type]
    BackendMessageRoutes(*[None] * 3),  # type: ignore[arg-type]
    BackendRoomRoutes(None),  # type: ignore[arg-type]
    BackendRevocationRoutes(None, None, None),  # type: ignore[arg-type]
    ConfigRoutes(None, phone_login=True),  # type: ignore[arg-type]
)
ENDPOINTS = [row for routes in ROUTES for row, _ in endpoints_of(routes)]
