"""Account registration and address verification.

Two threats determine the design.

*Enumeration*: neither a registration nor a request for a new link reveals whether an address is known. The answer
and the work are the same: one Argon2 hash, then the same number of reads and awaited writes. Only the mail
differs, which the owner of the address alone sees.

*Pre-hijacking* (Sudhodanan and Paverd, USENIX Security 2022): an attacker registers a victim's address first, with
a password of their own, and waits for the victim to verify it. So a password is bound to the link mailed for it.
Each registration of an unverified address mails its own link and changes nothing else; the registration whose link
is followed takes effect. Its password is set, the other links become invalid, and sessions started on the
unverified account with another password end. The mail says when and from where the registration was made, and in a
browser other than the one that registered the link alone is not enough (registration_links.py). Registering a
verified address changes nothing. A link that is requested again is for a registration made from the requester's
own network. Without such a registration, it carries no password, and the owner sets one with a reset
(`registration_to_resend`).
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from auth.accounts.registration_links import LinkProof, LinkRequirement, browser_digest, link_requirement
from auth.core.clock import iso
from auth.core.errors import InvalidCredentials, InvalidToken, PasswordRequired, Unavailable
from auth.core.models import SYSTEM, Client, RevocationReason, User
from auth.core.text import (
    EmailAddress,
    clean_name,
    clean_username,
    require_email,
    username_taken,
)
from auth.crypto.passwords import Passwords
from auth.notifications.mail_contents import AlreadyRegistered, VerifyAddress
from auth.platform.rate_limits import network_of
from auth.services import Operation, Services
from auth.sessions.endings import SessionEndings, ending
from auth.stores.one_time_tokens import OneTimeToken, OneTimeTokens, Purpose
from auth.stores.users.store import EmailTaken, UsernameTaken, Verified

LINK_LIFE = timedelta(hours=24)
# A registration is kept longer than its link is valid, so that a new link can be mailed for it.
REGISTRATION_LIFE = timedelta(days=30)

# The data of a registration's token, which take effect when its link is followed.
Registered = Mapping[str, str | None]


class Registration(Operation):
    """Registers accounts and verifies their addresses."""

    def __init__(
        self,
        services: Services,
        *,
        tokens: OneTimeTokens,
        passwords: Passwords,
        endings: SessionEndings,
        require_verified_email: bool,
    ) -> None:
        super().__init__(services)
        self._tokens = tokens
        self._passwords = passwords
        self._endings = endings
        self._require_verified_email = require_verified_email

    async def register(
        self,
        *,
        email: str,
        password: str,
        name: str | None = None,
        username: str | None = None,
        client: Client,
        browser: str | None = None,
    ) -> None:
        """Register an address and mail a link, or a notice if the address is already verified.

        `browser`: the secret of the registering browser, with which it can confirm in one click.

        A username must be free, whether or not the address is known. It is claimed when the address is verified
        (immediately if unverified users may log in), so that nobody can reserve names with addresses they do not
        own. Raises `InvalidRequest`, `RateLimited` or `Unavailable`.
        """
        await self._limits.hit("register", client.ip)
        address = require_email(email)
        name, username = clean_name(name), clean_username(username)
        await self._passwords.check(password, context=(address.address, name, username), ip=client.ip)
        if username is not None and await self._users.has_username(username):
            raise username_taken()
        password_hash = await self._passwords.hash(password, ip=client.ip)
        now = self._clock()
        registration = _registration(client, now, browser) | {
            "passwordHash": password_hash,
            "name": name,
            "username": username,
        }
        user, known = await self._account(address, registration, now)
        await self._audit.record(
            "registered_again" if known else "registered", user_id=user.user_id, client=client, now=now
        )
        if user.email_verified_at is None:
            await self._mail_link(user, registration, now)
        else:
            await self._tokens.pretend(now=now)
            await self._report_repeated_registration(user, client, now)

    async def preview(self, token: str, *, browser: str) -> tuple[User, LinkRequirement]:
        """Return the user whose address a link confirms, and the proof required in this browser; changes nothing.

        Raises `InvalidToken` for a link that is no longer valid.
        """
        found = await self._tokens.find(token, Purpose.VERIFY_EMAIL, now=self._clock(), also_used=True)
        user = await self._users.by_id(found.user_id) if found else None
        if found is None or user is None or user.email.casefold() != found.email_key:
            raise _invalid_link()
        return user, link_requirement(found.data, browser)

    async def verify_email(self, token: str, client: Client, *, proof: LinkProof | None = None) -> User:
        """Verify the address that `token` was mailed to, and apply its registration.

        `proof`: the proof given in a browser; None for API clients, for which the link is enough. Takes effect
        once: following the same link again while it is valid returns the user and changes nothing. Raises
        `InvalidToken` for any other token, `PasswordRequired` without a required proof, `InvalidCredentials` for a
        password other than the registration's, `InvalidRequest` for an unacceptable new password, `RateLimited` or
        `Unavailable`.
        """
        in_force = None if proof is None else await self._verify_proof(token, proof, client)
        now = self._clock()
        found = await self._tokens.consume(token, Purpose.VERIFY_EMAIL, now=now)
        if found is None:
            raise _invalid_link()
        registration = in_force or found.data
        verified = await self._users.mark_verified(
            found.user_id,
            key=found.email_key,
            registration_id=registration["registrationId"] or "",
            password_hash=registration["passwordHash"],
            name=registration["name"],
            username=registration["username"],
            anew=bool(registration["anew"]),
            ends=ending(now, RevocationReason.PASSWORD_CHANGED, by=SYSTEM),
            now=now,
        )
        if verified is None:
            raise _invalid_link()
        return await self._complete_verification(verified, found.data["registrationId"], client, now)

    async def confirm_by_provider(
        self, user: User, registration_id: str, *, name: str | None, provider_id: str, client: Client
    ) -> User | None:
        """Verify the address of an account because a provider vouches for it, and discard its other data.

        A stranger's password, names, sessions and links are removed. Repeating it for the same `registration_id`
        changes nothing. Returns None if the address was verified in another way or no longer belongs to the
        account.
        """
        now = self._clock()
        verified = await self._users.mark_verified(
            user.user_id,
            key=user.email.casefold(),
            registration_id=registration_id,
            password_hash=None,
            name=name,
            username=None,
            anew=True,
            ends=ending(now, RevocationReason.PASSWORD_CHANGED, by=SYSTEM),
            now=now,
        )
        if verified is None:
            return None
        return await self._complete_verification(verified, registration_id, client, now, provider_id=provider_id)

    async def _verify_proof(self, token: str, proof: LinkProof, client: Client) -> Registered:
        """Check the proof and return the registration to apply. A refusal leaves the link valid."""
        found = await self._tokens.find(token, Purpose.VERIFY_EMAIL, now=self._clock(), also_used=True)
        if found is None:
            raise _invalid_link()
        if proof.new_password is not None:
            return await self._owner_registration(found, proof.new_password, client)
        wanted = link_requirement(found.data, proof.browser)
        password_hash = found.data["passwordHash"]
        if wanted is LinkRequirement.NOTHING:
            return found.data
        if proof.password is None or password_hash is None:
            raise PasswordRequired
        await self._limits.hit("register", client.ip)
        verification = await self._passwords.verify(
            password=proof.password, password_hash=password_hash, ip=client.ip
        )
        if not verification.matches:
            raise InvalidCredentials("This is not the password chosen at registration.")
        return found.data

    async def _owner_registration(self, found: OneTimeToken, new_password: str, client: Client) -> Registered:
        """Return a registration with the mailbox owner's new password and no other data of the original.

        It has its own id, so that a provider identity of the original registration is not accepted
        (auth/login/providers/login.py), and so that repeating it changes nothing.
        """
        await self._limits.hit("register", client.ip)
        await self._passwords.check(new_password, context=(found.email_key, None, None), ip=client.ip)
        return dict(found.data) | {
            "registrationId": f"{found.data['registrationId']}:owner",
            "passwordHash": await self._passwords.hash(new_password, ip=client.ip),
            "name": None,
            "username": None,
            "anew": "yes",
        }

    async def resend(self, email: str, client: Client) -> None:
        """Mail a new link if the address awaits verification, without revealing whether it does.

        Raises `InvalidRequest` for an invalid address, `RateLimited` or `Unavailable`.
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
            # As many writes as for the token and the mail.
            await self._tokens.pretend(writes=2, now=now)
            return
        registration = registration_to_resend(registrations, ip=client.ip)
        if registration is None:
            registration = _registration(client, now) | {"anew": "yes"}
        await self._send_link(user, await self._issue(user, registration, now), registration)

    async def confirm_address(
        self, user: User, registration_id: str, client: Client, *, browser: str | None = None
    ) -> None:
        """Mail the link for an account that was created without a password, other than by `register`.

        `registration_id` identifies the link to `Users.was_verified_by`. Raises `Unavailable`.
        """
        now = self._clock()
        registration = _registration(client, now, browser) | {
            "registrationId": registration_id,
            "name": user.name,
        }
        await self._mail_link(user, registration, now)

    async def confirm_existing(
        self, user: User, registration_id: str, client: Client, *, browser: str | None = None
    ) -> None:
        """Like `confirm_address` for an existing account, with the writes of a new one except the identity."""
        await self._tokens.pretend(writes=2, now=self._clock())
        await self.confirm_address(user, registration_id, client, browser=browser)

    async def reject_duplicate(self, user: User, client: Client) -> None:
        """Notify the owner of an account that someone tried to create one with its address, without a password.

        Performs as many further writes as creating it: the identity, the account, an audit event and the token.
        """
        now = self._clock()
        await self._tokens.pretend(writes=4, now=now)
        await self._report_repeated_registration(user, client, now)

    async def _account(
        self, address: EmailAddress, registration: Mapping[str, str | None], now: datetime
    ) -> tuple[User, bool]:
        """Return the account of the address, creating it if needed, and whether it existed before."""
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

    async def _complete_verification(
        self,
        verified: Verified,
        registration_id: str | None,
        client: Client,
        now: datetime,
        *,
        provider_id: str | None = None,
    ) -> User:
        """Do the follow-up of a verification, also for a repeated click after an interruption; return the user."""
        user = verified.user
        if user.sessions_to_end is not None:
            await self._endings.carry_out(user.user_id, user.sessions_to_end, client=client)
        if verified.newly:
            await self._tokens.discard(
                user.user_id, Purpose.VERIFY_EMAIL, keep_where={"registrationId": registration_id}
            )
            await self._audit.record(
                "email_verified",
                user_id=user.user_id,
                client=client,
                details={"provider": provider_id} if provider_id else {},
                now=now,
            )
        return replace(user, sessions_to_end=None)

    async def _mail_link(self, user: User, registration: Mapping[str, str | None], now: datetime) -> None:
        """Store the registration, and mail its link unless too many mails were sent to the address.

        It is stored even without a mail, so that a new link can be requested for it: an attacker who exhausts the
        mail limit of an address cannot discard its owner's registration.
        """
        secret = await self._issue(user, registration, now)
        if await self._limits.allows_mail("registration", user.email.casefold()):
            await self._send_link(user, secret, registration)

    async def _report_repeated_registration(self, user: User, client: Client, now: datetime) -> None:
        if await self._limits.allows_mail("registration", user.email.casefold()):
            await self._mailer.send(user, AlreadyRegistered(requested_at=now, ip=client.ip))

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
        content = VerifyAddress(
            token=secret,
            requested_at=datetime.fromisoformat(registration["madeAt"] or ""),
            ip=registration["ip"],
            valid_for=LINK_LIFE,
            anew=bool(registration["anew"]),
        )
        await self._mailer.send(user, content)


def registration_to_resend(registrations: Sequence[OneTimeToken], *, ip: str) -> Mapping[str, str | None] | None:
    """Return the registration that a new link is for: the newest from the requester's network, or None. Pure.

    A registration from elsewhere may be a stranger's, and its link would set the stranger's password. In that case
    the link verifies the address and sets no password. Someone in the owner's network cannot be distinguished from
    the owner, but the mail says when and from where the registration was made.
    """
    for token in registrations:
        if network_of(token.data["ip"] or "") == network_of(ip):
            return token.data
    return None


def _invalid_link() -> InvalidToken:
    return InvalidToken("This link is no longer valid. Request a new one.")


def _registration(client: Client, now: datetime, browser: str | None = None) -> dict[str, str | None]:
    """Return a registration without a password. `anew`: discard the account's earlier data when it is applied."""
    return {
        "registrationId": secrets.token_hex(8),
        "passwordHash": None,
        "name": None,
        "username": None,
        "ip": client.ip,
        "madeAt": iso(now),
        "anew": None,
        "browser": browser_digest(browser) if browser else None,
    }
