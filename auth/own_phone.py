"""Adding a phone number to one's own account, and taking it off again.

A number is a way in, so both are sensitive: `StepUp.require` comes first, both are audited and told by mail
(ASVS 5.0, 6.3.7). A number belongs to one account at most. That it is another's is said only to who has just
proved to hold the phone; nobody can try numbers out.
"""

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import Conflict, SessionRevoked
from auth.models import Client, Principal, User
from auth.phone_codes import CodeRequest, PhoneCodes
from auth.phone_numbers import PhoneRules
from auth.rate_limits import RateLimits
from auth.step_up import StepUp
from auth.stores.challenges import ChallengePurpose
from auth.stores.users import PhoneTaken, Users
from auth.ways_in import WaysIn


class PhoneChange(StrEnum):
    """What was changed; also the kind of the audit event."""

    ADDED = "phone_added"
    REMOVED = "phone_removed"


class PhoneNotice(Protocol):
    """Tells a user by mail which number was added or taken off."""

    async def phone_changed(self, user: User, change: PhoneChange, *, number: str, ip: str, now: datetime) -> None:
        """Queue the mail; never waits for a mail server."""


class PhoneWay:
    """A confirmed number as a way in."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled

    async def is_open(self, user: User) -> bool:
        """Whether the user could log in by it."""
        return self._enabled and user.phone_number is not None


class OwnPhone:
    """Operations on a user's own number."""

    def __init__(
        self,
        *,
        rules: PhoneRules,
        codes: PhoneCodes,
        users: Users,
        ways_in: WaysIn,
        step_up: StepUp,
        notice: PhoneNotice,
        limits: RateLimits,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._rules = rules
        self._codes = codes
        self._users = users
        self._ways_in = ways_in
        self._step_up = step_up
        self._notice = notice
        self._limits = limits
        self._audit = audit
        self._clock = clock

    async def ask(self, principal: Principal, phone_number: str, *, client: Client) -> CodeRequest:
        """Send a code to a number that is to be the user's.

        Raises `StepUpRequired`, `EmailNotVerified`, `InvalidRequest` for what is no number, `RateLimited` or
        `Unavailable`.
        """
        user = await self._may_add(principal)
        number = self._rules.require(phone_number)
        return await self._codes.send(
            number, ChallengePurpose.PHONE_ADD, user_id=user.user_id, owner=user.user_id, client=client
        )

    async def confirm(
        self, principal: Principal, phone_number: str, *, code: str, request_id: str | None, client: Client
    ) -> User:
        """Bind the number to the account, in place of an earlier one, by the code that was sent to it.

        Raises `StepUpRequired`, `EmailNotVerified`, `InvalidRequest`, `InvalidCode`, `Conflict` when the number is
        another account's, `RateLimited` or `Unavailable`.
        """
        user = await self._may_add(principal)
        number = self._rules.require(phone_number)
        await self._codes.prove(
            number,
            ChallengePurpose.PHONE_ADD,
            code=code,
            request_id=request_id,
            owner=user.user_id,
            client=client,
        )
        try:
            bound = await self._users.bind_phone(user.user_id, number.e164, now=self._clock())
        except PhoneTaken:
            raise Conflict("This number belongs to another account.") from None
        if bound is None:
            raise SessionRevoked
        await self._tell(PhoneChange.ADDED, bound, number.e164, principal, client)
        return bound

    async def remove(self, principal: Principal, *, client: Client) -> User:
        """Take the number off the account; fine when there is none. Codes on their way are void with it.

        Raises `StepUpRequired`, `RateLimited`, or `Conflict` for the last way in. It is looked for when the number
        is gone, so that two ways taken off at once are not both.
        """
        user = await self._allowed(principal)
        if user.phone_number is None:
            return user
        removed = await self._users.remove_phone(user.user_id, user.phone_number)
        if removed is None:
            return await self._users.by_id(user.user_id) or user
        if not await self._ways_in.any_open(removed):
            await self._put_back(user, user.phone_number)
            raise Conflict("This is your only way in. Set a password first.")
        await self._tell(PhoneChange.REMOVED, removed, user.phone_number, principal, client)
        return removed

    async def _put_back(self, user: User, number: str) -> None:
        try:
            await self._users.bind_phone(user.user_id, number, now=user.phone_verified_at or self._clock())
        except PhoneTaken:
            # Whoever holds the phone added it elsewhere in this very moment: then it is theirs.
            return

    async def _allowed(self, principal: Principal) -> User:
        user = await self._step_up.require(principal)
        await self._limits.hit("second_factor", "changes", user.user_id)
        return user

    async def _may_add(self, principal: Principal) -> User:
        user = await self._step_up.require_verified(principal)
        await self._limits.hit("second_factor", "changes", user.user_id)
        return user

    async def _tell(
        self, change: PhoneChange, user: User, number: str, principal: Principal, client: Client
    ) -> None:
        now = self._clock()
        await self._audit.record(
            change.value, user_id=user.user_id, session_id=principal.session_id, client=client, now=now
        )
        await self._notice.phone_changed(user, change, number=number, ip=client.ip, now=now)
