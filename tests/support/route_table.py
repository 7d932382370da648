"""Every endpoint that the routes declare, without the operations behind them."""

from auth.http.account_routes import AccountRoutes
from auth.http.admin_routes import AdminRoutes
from auth.http.alert_routes import AlertRoutes
from auth.http.approval_routes import ApprovalRoutes
from auth.http.credential_routes import CredentialRoutes
from auth.http.own_data_routes import OwnDataRoutes
from auth.http.passkey_routes import PasskeyRoutes
from auth.http.phone_routes import PhoneRoutes
from auth.http.provider_routes import ProviderRoutes
from auth.http.routing import endpoints_of
from auth.http.second_factor_routes import SecondFactorRoutes
from auth.http.session_routes import SessionRoutes
from auth.http.token_routes import TokenRoutes
from auth.http.two_factor_routes import TwoFactorRoutes

ROUTES = (
    AccountRoutes(*[None] * 2),  # type: ignore[arg-type]
    OwnDataRoutes(*[None] * 2),  # type: ignore[arg-type]
    CredentialRoutes(*[None] * 3),  # type: ignore[arg-type]
    TokenRoutes(*[None] * 3),  # type: ignore[arg-type]
    SecondFactorRoutes(*[None] * 3),  # type: ignore[arg-type]
    TwoFactorRoutes(None),  # type: ignore[arg-type]
    PasskeyRoutes(*[None] * 4),  # type: ignore[arg-type]
    ProviderRoutes(*[None] * 3, phone_login=True),  # type: ignore[arg-type]
    PhoneRoutes(*[None] * 3, enabled=True),  # type: ignore[arg-type]
    SessionRoutes(None),  # type: ignore[arg-type]
    ApprovalRoutes(None),  # type: ignore[arg-type]
    AlertRoutes(None),  # type: ignore[arg-type]
    AdminRoutes(*[None] * 4),  # type: ignore[arg-type]
)
ENDPOINTS = [row for routes in ROUTES for row, _ in endpoints_of(routes)]
