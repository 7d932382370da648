"""Limits on password guesses, wherever a password is checked: at a login, a step-up, a password change.

There are two limits; neither reveals whether an account exists (ASVS 5.0, 6.3.8):

- `VIGIL_LIMIT_LOGIN`, by account and source address, so an attacker elsewhere cannot lock out the owner;
- `VIGIL_LIMIT_PASSWORD_GUESSES`, a daily limit by account over all addresses (NIST SP 800-63B-4, section 3.2.2:
  no more than 100). Reaching it is reported to the owner by mail, once.

Neither blocks a device that has logged in before (auth/clients/known_devices.py) or a live session: each of these
is counted separately. Other users can set a new password by mail, which resets the counts, or use another login
method.
"""

from dataclasses import dataclass

from auth.clients.known_devices import KnownDevices
from auth.core.models import Client, Principal, User
from auth.notifications.mail_contents import PasswordGuessed
from auth.platform.rate_limits import Counted
from auth.services import Operation, Services
from auth.stores.one_time_tokens import OneTimeTokens


@dataclass(frozen=True, slots=True)
class PasswordGuesser:
    """A password attempt: the account, the client, and the limits that a wrong password counts towards."""

    user: User | None
    client: Client
    is_known: bool
    # The limits, the narrower one first: an attempt that it refuses is not counted by the other.
    counted: tuple[Counted, ...]


class PasswordGuesses(Operation):
    """Counts and limits wrong passwords."""

    def __init__(self, services: Services, *, devices: KnownDevices, tokens: OneTimeTokens) -> None:
        super().__init__(services)
        self._devices = devices
        self._tokens = tokens

    def at_login(
        self, typed: str, user: User | None, *, device_cookie: str | None, client: Client
    ) -> PasswordGuesser:
        """An attempt to log in. `typed`: the address entered; `user`: its account, if there is one."""
        device = self._devices.device_of(device_cookie, user.user_id if user else "")
        account = _account(user) if user else (typed,)
        if device is None:
            return PasswordGuesser(user, client, is_known=False, counted=_limits((client.ip, *account), account))
        by_device = ("device", device, *account)
        return PasswordGuesser(user, client, is_known=True, counted=_limits(by_device, by_device))

    def in_session(self, user: User, principal: Principal, *, client: Client) -> PasswordGuesser:
        """An attempt in a session, by a user who enters the current password to change it."""
        by_session = ("session", principal.session_id, *_account(user))
        return PasswordGuesser(user, client, is_known=True, counted=_limits(by_session, by_session))

    def at_step_up(self, user: User, principal: Principal, *, client: Client) -> PasswordGuesser:
        """An attempt at a step-up; its short-term rate is limited by `VIGIL_LIMIT_SECOND_FACTOR` instead."""
        by_session = ("session", principal.session_id, *_account(user))
        return PasswordGuesser(user, client, is_known=True, counted=(("password_guesses", by_session),))

    async def check(self, guesser: PasswordGuesser) -> None:
        """Raise `RateLimited` if no more passwords are accepted."""
        await self._limits.check_all(*guesser.counted)

    async def wrong(self, guesser: PasswordGuesser) -> None:
        """Count a wrong password. Raises `RateLimited` if concurrent guesses have exceeded a limit."""
        hits = await self._limits.count_all(*guesser.counted)
        if "password_guesses" in hits.used_up:
            await self._tell(guesser)
        if hits.refusal is not None:
            raise hits.refusal

    async def right(self, guesser: PasswordGuesser) -> None:
        """Reset the short-term count after a right password, but not the daily one.

        Raises `RateLimited` if concurrent guesses have exceeded a limit, so that a guess beyond it reveals
        nothing.
        """
        await self._limits.check_all(*guesser.counted)
        for name, identity in guesser.counted:
            if name == "login":
                await self._limits.reset(name, *identity)

    async def _tell(self, guesser: PasswordGuesser) -> None:
        user, now = guesser.user, self._clock()
        if user is None or user.email_verified_at is None:
            # Take the same time as for an account that is notified, so that timing does not reveal the difference.
            await self._tokens.pretend(now=now)
            return
        notice = PasswordGuessed(at=now, ip=guesser.client.ip, is_known=guesser.is_known)
        await self._mailer.tell(user, notice)


def _limits(recent: tuple[str, ...], daily: tuple[str, ...]) -> tuple[Counted, ...]:
    return ("login", recent), ("password_guesses", daily)


def _account(user: User) -> tuple[str, str]:
    """The account with its current credentials version, so guesses at an old password do not block a new one."""
    return user.user_id, str(user.credentials_version)
