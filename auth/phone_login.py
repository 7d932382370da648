"""Logging in with a code by SMS, to a number that its account has confirmed before.

Unknown numbers get the same answer after the same work, and no SMS (ASVS 5.0, 6.3.8). An SMS is a weak proof:
numbers are reassigned, ported by fraud, and read along (NIST SP 800-63B, 5.1.3.3; ASVS 5.0, 6.6.1). So it is a
first factor alone, after which `Admission` asks for a second one where that is set up.
"""

from auth.admission import Admission, LoggedIn, MfaPending, counted
from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import InvalidCode
from auth.metrics import Metrics
from auth.models import Client, TokenDelivery, User
from auth.phone_codes import CodeRequest, PhoneCodes
from auth.phone_numbers import PhoneNumber, PhoneRules
from auth.rate_limits import RateLimits
from auth.stores.challenges import ChallengePurpose
from auth.stores.users import Users

BY_SMS = ("sms",)  # RFC 8176


class PhoneLogin:
    """Logs users in by their phones."""

    def __init__(
        self,
        *,
        rules: PhoneRules,
        codes: PhoneCodes,
        users: Users,
        admission: Admission,
        limits: RateLimits,
        audit: AuditLog,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._rules = rules
        self._codes = codes
        self._users = users
        self._admission = admission
        self._limits = limits
        self._audit = audit
        self._metrics = metrics
        self._clock = clock

    async def ask(self, phone_number: str, *, client: Client) -> CodeRequest:
        """Send a code, if the number is somebody's; nothing tells the caller whether it is.

        Raises `InvalidRequest` for what is no number, `RateLimited` or `Unavailable`.
        """
        number = self._rules.require(phone_number)
        user = await self._users.by_phone(number.e164)
        request = await self._codes.send(
            number, ChallengePurpose.PHONE_LOGIN, user_id=user.user_id if user else None, client=client
        )
        await self._audit.record(
            "phone_code_asked",
            user_id=user.user_id if user else None,
            session_id=None,
            client=client,
            now=self._clock(),
        )
        return request

    async def login(
        self,
        phone_number: str,
        *,
        code: str,
        request_id: str | None,
        device_name: str | None,
        delivery: TokenDelivery,
        client: Client,
    ) -> LoggedIn | MfaPending:
        """Begin a session for whoever has the code, or ask for their second factor.

        Raises `InvalidRequest`, `InvalidCode`, `AccountLocked`, `EmailNotVerified`, `Conflict`,
        `SessionLimitReached`, `RateLimited` or `Unavailable`.
        """
        number = self._rules.require(phone_number)
        login = self._login(number, code, request_id, device_name, delivery, client)
        return await counted(self._metrics, login)

    async def _login(
        self,
        number: PhoneNumber,
        code: str,
        request_id: str | None,
        device_name: str | None,
        delivery: TokenDelivery,
        client: Client,
    ) -> LoggedIn | MfaPending:
        user = await self._prove(number, code, request_id, client)
        return await self._admission.admit(
            user, amr=BY_SMS, device_name=device_name, delivery=delivery, client=client
        )

    async def _prove(self, number: PhoneNumber, code: str, request_id: str | None, client: Client) -> User:
        await self._limits.hit("login_ip", client.ip)
        try:
            request = await self._codes.prove(
                number, ChallengePurpose.PHONE_LOGIN, code=code, request_id=request_id, client=client
            )
        except InvalidCode:
            await self._audit_failure(await self._users.by_phone(number.e164), client)
            raise
        user = await self._users.by_id(request.user_id) if request.user_id else None
        if user is None or user.phone_number != number.e164:
            # Taken off the account since the code was sent.
            await self._audit_failure(user, client)
            raise InvalidCode
        return user

    async def _audit_failure(self, user: User | None, client: Client) -> None:
        await self._audit.record(
            "login_failed",
            user_id=user.user_id if user else None,
            session_id=None,
            client=client,
            details={"reason": "wrong_sms"},
            now=self._clock(),
        )
