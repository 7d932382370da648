"""Management of a user's phone number: add, remove.

A number is a login method, so both first call `StepUp.require`, and both are audited and reported to the user by
mail (ASVS 5.0, 6.3.7). A number belongs to one account at most. That it belongs to another account is disclosed
only after proof of possession of the phone, so that numbers cannot be probed.
"""

from collections.abc import Collection

from auth.core.errors import Conflict, SessionRevoked
from auth.core.models import Client, Principal, User
from auth.factors.step_up import StepUp
from auth.login.methods import PHONE, LoginMethods
from auth.login.phones.codes import CodeRequest, CodeRequester, PhoneCodes
from auth.login.phones.numbers import PhoneRules
from auth.notifications.mail_contents import PhoneAdded, PhoneRemoved
from auth.notifications.undo_links import AddedMethod
from auth.services import Operation, Services
from auth.stores.challenges import ChallengePurpose
from auth.stores.users.store import PhoneTaken


class PhoneMethod:
    """A confirmed number as a login method. Implements `auth.login.methods.LoginMethod`."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled

    async def usable_methods(self, user: User) -> Collection[str]:
        """Return the phone method if the user has a number and phone login is enabled."""
        return (PHONE,) if self._enabled and user.phone_number is not None else ()


class OwnPhone(Operation):
    """Operations on a user's own number."""

    def __init__(
        self,
        services: Services,
        *,
        rules: PhoneRules,
        codes: PhoneCodes,
        login_methods: LoginMethods,
        step_up: StepUp,
    ) -> None:
        super().__init__(services)
        self._rules = rules
        self._codes = codes
        self._login_methods = login_methods
        self._step_up = step_up

    async def ask(self, principal: Principal, phone_number: str, *, client: Client) -> CodeRequest:
        """Send a code to a number that the user wants to add.

        Raises `StepUpRequired`, `EmailNotVerified`, `InvalidRequest` for an invalid number, `RateLimited` or
        `Unavailable`.
        """
        user = await self._step_up.allow_addition(principal)
        number = self._rules.require(phone_number)
        return await self._codes.send(
            number,
            ChallengePurpose.PHONE_ADD,
            user_id=user.user_id,
            requester=CodeRequester.adding(user.user_id),
            client=client,
        )

    async def confirm(
        self, principal: Principal, phone_number: str, *, code: str, request_id: str | None, client: Client
    ) -> User:
        """Verify the code and add the number to the account, replacing an earlier one.

        Raises `StepUpRequired`, `EmailNotVerified`, `InvalidRequest`, `InvalidCode`, `Conflict` if the number
        belongs to another account, `RateLimited` or `Unavailable`.
        """
        user = await self._step_up.allow_addition(principal)
        number = self._rules.require(phone_number)
        await self._codes.prove(
            number,
            ChallengePurpose.PHONE_ADD,
            code=code,
            request_id=request_id,
            requester=CodeRequester.adding(user.user_id),
        )
        try:
            bound = await self._users.bind_phone(user.user_id, number.e164, now=self._clock())
        except PhoneTaken:
            raise Conflict("This number belongs to another account.") from None
        if bound is None:
            raise SessionRevoked
        added = AddedMethod("phone", number.e164)
        notice = PhoneAdded(at=self._clock(), ip=client.ip, added=added, number=number.e164)
        await self._record_and_tell(bound, notice, session_id=principal.session_id, client=client)
        return bound

    async def remove(self, principal: Principal, *, client: Client) -> User:
        """Remove the number from the account; no error if there is none.

        Also invalidates codes already sent to it. Raises `StepUpRequired`, `RateLimited`, or `Conflict` for the
        last login method.
        """
        user = await self._step_up.allow_change(principal)
        if user.phone_number is None:
            return user
        removed = await self.discard(user, user.phone_number)
        if removed is None:
            return await self._users.by_id(user.user_id) or user
        notice = PhoneRemoved(at=self._clock(), ip=client.ip, number=user.phone_number)
        await self._record_and_tell(removed, notice, session_id=principal.session_id, client=client)
        return removed

    async def discard(self, user: User, number: str) -> User | None:
        """Remove this number from a user's account without step-up or notification.

        Returns None if the account no longer has it. Raises `Conflict` for the last login method.
        """
        return await self._login_methods.remove_phone(user.user_id, number)
