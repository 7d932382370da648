"""Login with an SMS code to a number that the account has confirmed.

Unknown numbers get the same answer after the same work, but no SMS (ASVS 5.0, 6.3.8). SMS is a weak factor:
numbers are reassigned, ported by fraudsters, and intercepted (NIST SP 800-63B, 5.1.3.3; ASVS 5.0, 6.6.1). So it
serves only as a first factor, after which `Admission` requires a second one if set up.
"""

from collections.abc import Awaitable

from auth.clients.known_devices import KnownDevices
from auth.core.errors import InvalidCode
from auth.core.models import Client, TokenDelivery, User
from auth.login.admission import Admission, LoggedIn, MfaPending, count_outcome
from auth.login.phones.codes import CodeRequest, CodeRequester, PhoneCodes
from auth.login.phones.numbers import PhoneNumber, PhoneRules
from auth.services import Operation, Services
from auth.stores.challenges import ChallengePurpose

AMR = ("sms",)  # RFC 8176


class PhoneLogin(Operation):
    """Logs in users with an SMS code."""

    def __init__(
        self,
        services: Services,
        *,
        rules: PhoneRules,
        codes: PhoneCodes,
        devices: KnownDevices,
        admission: Admission,
    ) -> None:
        super().__init__(services)
        self._rules = rules
        self._codes = codes
        self._devices = devices
        self._admission = admission

    async def ask(self, phone_number: str, *, device_cookie: str | None = None, client: Client) -> CodeRequest:
        """Send a code if the number belongs to an account, without revealing whether it does.

        `device_cookie`: identifies a device that has logged in before (auth/clients/known_devices.py).

        Raises `InvalidRequest` for an invalid number, `RateLimited` or `Unavailable`.
        """
        number = self._rules.require(phone_number)
        user = await self._users.by_phone(number.e164)
        request = await self._codes.send(
            number,
            ChallengePurpose.PHONE_LOGIN,
            user_id=user.user_id if user else None,
            requester=self._requester(user, device_cookie, client),
            client=client,
        )
        await self._audit.record("phone_code_asked", user_id=user.user_id if user else None, client=client)
        return request

    async def login(
        self,
        phone_number: str,
        *,
        code: str,
        request_id: str | None,
        device_name: str | None,
        delivery: TokenDelivery,
        device_cookie: str | None = None,
        client: Client,
    ) -> LoggedIn | MfaPending:
        """Verify the code, then start a session or request the second factor.

        Raises `InvalidRequest`, `InvalidCode`, `AccountLocked`, `EmailNotVerified`, `Conflict`,
        `SessionLimitReached`, `RateLimited` or `Unavailable`.
        """
        number = self._rules.require(phone_number)
        proved = self._prove(number, code, request_id, device_cookie, client)
        return await self._admit(proved, device_name, delivery, client)

    @count_outcome
    async def _admit(
        self, proved: Awaitable[User], device_name: str | None, delivery: TokenDelivery, client: Client
    ) -> LoggedIn | MfaPending:
        return await self._admission.admit(
            await proved, amr=AMR, device_name=device_name, delivery=delivery, client=client
        )

    def _requester(self, user: User | None, device_cookie: str | None, client: Client) -> CodeRequester:
        """Return the requester of a code for the number of `user`."""
        device = self._devices.device_of(device_cookie, user.user_id if user else "")
        return CodeRequester.logging_in(device, ip=client.ip)

    async def _prove(
        self, number: PhoneNumber, code: str, request_id: str | None, device_cookie: str | None, client: Client
    ) -> User:
        await self._limits.hit("login_ip", client.ip)
        owner = await self._users.by_phone(number.e164)
        try:
            request = await self._codes.prove(
                number,
                ChallengePurpose.PHONE_LOGIN,
                code=code,
                request_id=request_id,
                requester=self._requester(owner, device_cookie, client),
            )
        except InvalidCode:
            await self._audit_failure(owner, client)
            raise
        user = await self._users.by_id(request.user_id) if request.user_id else None
        if user is None or user.phone_number != number.e164:
            # Removed from the account since the code was sent.
            await self._audit_failure(user, client)
            raise InvalidCode
        return user

    async def _audit_failure(self, user: User | None, client: Client) -> None:
        await self._audit.record(
            "login_failed", user_id=user.user_id if user else None, client=client, details={"reason": "wrong_sms"}
        )
