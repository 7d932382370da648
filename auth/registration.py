"""Registering an account and proving that its address is one's own.

Two threats shape this file.

*Enumeration*: nobody learns by registering or by asking for a new link whether an address is known. Known or
not, the answer is the same and so is the work: one Argon2 hash, then as many reads and awaited writes. What
differs is the mail, which only the owner of the address sees.

*Pre-hijacking* (Sudhodanan and Paverd, USENIX Security 2022): someone registers a victim's address first,
with a password of their own, and waits for the victim to verify it. Hence a password is bound to the link
that was mailed for it: each registration of an unverified address mails a link of its own, changes nothing
of what is there, and the one whose link is followed is the one that counts. Its password comes into force,
the other links die, and sessions begun on the unverified account with another password end. The mail says
when and from where its registration was made. Once an address is verified, registering it changes nothing.
A link that is asked for again is for a registration made from the asker's own network, or for none: then it
brings no password at all, and the owner sets one by a reset (`registration_to_resend`).
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from auth.accounts import (
    EmailAddress,
    clean_name,
    clean_username,
    require_email,
    username_taken,
)
from auth.audit import AuditLog
from auth.clock import Clock, iso
from auth.errors import InvalidToken, Unavailable
from auth.mail.mailer import Mailer
from auth.models import SYSTEM, Client, RevocationReason, User
from auth.passwords import Passwords
from auth.rate_limits import RateLimits, network_of
from auth.session_endings import SessionEndings, ending
from auth.stores.one_time_tokens import OneTimeToken, OneTimeTokens, Purpose
from auth.stores.users import EmailTaken, UsernameTaken, Users, Verified

LINK_LIFE = timedelta(hours=24)
# A registration outlives its link, so that a new link can be mailed for it.
REGISTRATION_LIFE = timedelta(days=30)


class Registration:
    """Registers accounts and verifies their addresses."""

    def __init__(
        self,
        *,
        users: Users,
        tokens: OneTimeTokens,
        passwords: Passwords,
        mailer: Mailer,
        endings: SessionEndings,
        limits: RateLimits,
        audit: AuditLog,
        clock: Clock,
        require_verified_email: bool,
    ) -> None:
        self._users = users
        self._tokens = tokens
        self._passwords = passwords
        self._mailer = mailer
        self._endings = endings
        self._limits = limits
        self._audit = audit
        self._clock = clock
        self._require_verified_email = require_verified_email

    async def register(
        self,
        *,
        email: str,
        password: str,
        name: str | None = None,
        username: str | None = None,
        client: Client,
    ) -> None:
        """Register an address; what comes of it is in the mail.

        A username is checked against everybody's, whoever has the address, and is claimed when the address
        is verified (at once where unverified users may log in), so that nobody hoards names with addresses
        they do not own. Raises `InvalidRequest`, `RateLimited` or `Unavailable`.
        """
        await self._limits.hit("register", client.ip)
        address = require_email(email)
        name, username = clean_name(name), clean_username(username)
        await self._passwords.check(password, context=(address.address, name, username))
        if username is not None and await self._users.has_username(username):
            raise username_taken()
        password_hash = await self._passwords.hash(password)
        now = self._clock()
        registration = _registration(client, now) | {
            "passwordHash": password_hash,
            "name": name,
            "username": username,
        }
        user, known = await self._account(address, registration, now)
        await self._audit.record(
            "registered_again" if known else "registered",
            user_id=user.user_id,
            session_id=None,
            client=client,
            now=now,
        )
        if user.email_verified_at is None:
            await self._mail_link(user, registration, now)
        else:
            await self._tokens.pretend(now=now)
            await self._tell_of_another_try(user, client, now)

    async def verify_email(self, token: str, client: Client) -> User:
        """Verify the address that `token` was mailed to, and put its registration in force.

        Happens once. The same link followed again within its life, as mail scanners and impatient people
        do, answers with the user and changes nothing. Raises `InvalidToken` for any other token.
        """
        now = self._clock()
        found = await self._tokens.consume(token, Purpose.VERIFY_EMAIL, now=now)
        if found is None:
            raise InvalidToken("This link is not valid any more. Ask for a new one.")
        verified = await self._users.mark_verified(
            found.user_id,
            key=found.email_key,
            registration_id=found.data["registrationId"] or "",
            password_hash=found.data["passwordHash"],
            name=found.data["name"],
            username=found.data["username"],
            anew=bool(found.data["anew"]),
            ends=ending(now, RevocationReason.PASSWORD_CHANGED, by=SYSTEM),
            now=now,
        )
        if verified is None:
            raise InvalidToken("This link is not valid any more. Ask for a new one.")
        await self._settle(found, verified, client, now)
        return replace(verified.user, sessions_to_end=None)

    async def resend(self, email: str, client: Client) -> None:
        """Mail a new link, if the address waits for one; nothing tells the caller whether it does.

        Raises `InvalidRequest` for what is no address, `RateLimited` or `Unavailable`.
        """
        await self._limits.hit("register", client.ip)
        address = require_email(email)
        now = self._clock()
        user = await self._users.by_email(address.key)
        registrations = await self._tokens.of_user(user.user_id if user else "", Purpose.VERIFY_EMAIL)
        waits = user is not None and user.email_verified_at is None
        if not await self._limits.allows_mail("resend", address.key, is_sent=waits):
            return
        if user is None or not waits:
            # The token and the mail.
            await self._tokens.pretend(writes=2, now=now)
            return
        registration = registration_to_resend(registrations, ip=client.ip)
        if registration is None:
            registration = _registration(client, now) | {"anew": "yes"}
        await self._send_link(user, await self._issue(user, registration, now), registration)

    async def confirm_address(self, user: User, registration_id: str, client: Client) -> None:
        """Mail the link for an account that was made without a password, in another way than `register`.

        `registration_id` is what `Users.was_verified_by` will know the link by. Raises `Unavailable`.
        """
        now = self._clock()
        registration = _registration(client, now) | {"registrationId": registration_id, "name": user.name}
        await self._mail_link(user, registration, now)

    async def confirm_again(self, user: User, registration_id: str, client: Client) -> None:
        """As `confirm_address` for an account that is there, with the writes of making it but for the identity."""
        await self._tokens.pretend(writes=2, now=self._clock())
        await self.confirm_address(user, registration_id, client)

    async def refuse_another(self, user: User, client: Client) -> None:
        """Tell the owner of an account that somebody tried to make one of its address, without a password.

        Takes the writes that making it takes besides: the identity, the account, an audit event and the token.
        """
        now = self._clock()
        await self._tokens.pretend(writes=4, now=now)
        await self._tell_of_another_try(user, client, now)

    async def _account(
        self, address: EmailAddress, registration: Mapping[str, str | None], now: datetime
    ) -> tuple[User, bool]:
        """The account of the address, and whether it was there before."""
        known = await self._users.by_email(address.key)
        if known is None:
            user = User(
                user_id=secrets.token_hex(16),
                email=address.address,
                name=registration["name"],
                username=None if self._require_verified_email else registration["username"],
                roles=(),
                created_at=now,
                password_hash=registration["passwordHash"],
            )
            try:
                await self._users.create(user)
            except UsernameTaken:
                raise username_taken() from None
            except EmailTaken:
                known = await self._users.by_email(address.key)
            else:
                return user, False
        if known is None:
            raise Unavailable
        await self._users.note_registration(known.user_id, now=now)
        return known, True

    async def _settle(self, token: OneTimeToken, verified: Verified, client: Client, now: datetime) -> None:
        """What follows from a verification, finished by a second click where the first was cut off."""
        if verified.user.sessions_to_end is not None:
            await self._endings.carry_out(token.user_id, verified.user.sessions_to_end, client=client)
        if not verified.newly:
            return
        await self._tokens.discard(
            token.user_id,
            Purpose.VERIFY_EMAIL,
            keep_where={"registrationId": token.data["registrationId"]},
        )
        await self._audit.record("email_verified", user_id=token.user_id, session_id=None, client=client, now=now)

    async def _mail_link(self, user: User, registration: Mapping[str, str | None], now: datetime) -> None:
        """Keep the registration, and mail its link unless the address was mailed too often.

        Kept without a mail it is what a link that is asked for again is for: whoever uses up the mails of an
        address makes no registration of its owner's forgotten.
        """
        secret = await self._issue(user, registration, now)
        if await self._limits.allows_mail("registration", user.email.casefold()):
            await self._send_link(user, secret, registration)

    async def _tell_of_another_try(self, user: User, client: Client, now: datetime) -> None:
        if await self._limits.allows_mail("registration", user.email.casefold()):
            await self._mailer.already_registered(user, requested_at=now, ip=client.ip)

    async def _issue(self, user: User, registration: Mapping[str, str | None], now: datetime) -> str:
        return await self._tokens.issue(
            Purpose.VERIFY_EMAIL,
            user_id=user.user_id,
            email_key=user.email.casefold(),
            now=now,
            expires_at=now + LINK_LIFE,
            remove_at=now + REGISTRATION_LIFE,
            data=registration,
        )

    async def _send_link(self, user: User, secret: str, registration: Mapping[str, str | None]) -> None:
        await self._mailer.verify_address(
            user,
            token=secret,
            requested_at=datetime.fromisoformat(registration["madeAt"] or ""),
            ip=registration["ip"],
            valid_for=LINK_LIFE,
            anew=bool(registration["anew"]),
        )


def registration_to_resend(registrations: Sequence[OneTimeToken], *, ip: str) -> Mapping[str, str | None] | None:
    """Which registration a new link is for: the newest made from the asker's network, else none.

    Of registrations made elsewhere nobody can tell which is the owner's, and a stranger's would put the stranger's
    password in force; so then the link confirms the address and brings no password. Whoever shares the owner's
    network is not told apart from the owner; the mail says when and from where its registration was made. Pure.
    """
    for token in registrations:
        if network_of(token.data["ip"] or "") == network_of(ip):
            return token.data
    return None


def _registration(client: Client, now: datetime) -> dict[str, str | None]:
    """What a link puts in force, without a password. `anew`: and nothing of what the account was before stays."""
    return {
        "registrationId": secrets.token_hex(8),
        "passwordHash": None,
        "name": None,
        "username": None,
        "ip": client.ip,
        "madeAt": iso(now),
        "anew": None,
    }
