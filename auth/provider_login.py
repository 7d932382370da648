"""Logging in by a provider, and the account that the first such login makes.

Three threats shape this file.

*Taking over by address*: whoever can make a provider say an address would own the account of that address here.
Hence an identity is its issuer and subject and nothing else; an account that has the address already is never
joined, not even on a provider's word that the address is confirmed. Its owner logs in and links the provider.

*Pre-hijacking* (Sudhodanan and Paverd, USENIX Security 2022): somebody makes an account by a provider that does
not check addresses, with a victim's, and waits for the victim to confirm it. Hence such an identity is bound to
the link that is mailed for it, as a registration's password is (auth/registration.py): when the address is
confirmed in any other way, the identity is worth nothing any more.

*Enumeration*: at such a provider anybody can log in with somebody's address, and is answered the same, with as
many writes, whether or not an account has it. Nor does a later login with another address tell: an identity whose
account was never confirmed is dropped when its provider says another address, and its owner goes on as new, as
where an account had the first address.
"""

import secrets
from dataclasses import replace

import structlog

from auth.accounts import EmailAddress, parse_email
from auth.admission import Admission, LoggedIn, MfaPending, counted
from auth.audit import AuditLog
from auth.clock import Clock
from auth.errors import AuthError, Conflict, EmailNotVerified
from auth.metrics import Metrics
from auth.models import Client, TokenDelivery, User
from auth.oauth.claims import Claims
from auth.rate_limits import RateLimits
from auth.registration import Registration
from auth.stores.identities import Identities, Identity
from auth.stores.users import EmailTaken, Users

log = structlog.get_logger()

# What the session's `amr` says: somebody else vouched. How they were convinced is not asked, so that a second
# factor that is set up here is asked for whatever the provider says of its own (ASVS 5.0, 6.8.4).
AMR = ("provider",)


class ProviderLogin:
    """Logs users in by what a provider says of them."""

    def __init__(
        self,
        *,
        users: Users,
        identities: Identities,
        registration: Registration,
        admission: Admission,
        limits: RateLimits,
        audit: AuditLog,
        metrics: Metrics,
        clock: Clock,
        require_verified_email: bool,
    ) -> None:
        self._users = users
        self._identities = identities
        self._registration = registration
        self._admission = admission
        self._limits = limits
        self._audit = audit
        self._metrics = metrics
        self._clock = clock
        self._require_verified_email = require_verified_email

    async def log_in(
        self, provider_id: str, claims: Claims, *, delivery: TokenDelivery, client: Client
    ) -> LoggedIn | MfaPending:
        """Begin a session for whoever the provider says it is, or ask for their second factor.

        Raises `Conflict` when another account has the address, `EmailNotVerified`, `AccountLocked`,
        `SessionLimitReached`, `RateLimited` or `Unavailable`.
        """
        return await counted(self._metrics, self._log_in(provider_id, claims, delivery, client))

    async def _log_in(
        self, provider_id: str, claims: Claims, delivery: TokenDelivery, client: Client
    ) -> LoggedIn | MfaPending:
        user = await self._user(provider_id, claims, client)
        return await self._admission.admit(user, amr=AMR, device_name=None, delivery=delivery, client=client)

    async def _user(self, provider_id: str, claims: Claims, client: Client) -> User:
        known = await self._known(claims, client)
        if known is None:
            return await self._new_user(provider_id, claims, client)
        identity, user = known
        if identity.registration_id is not None and self._is_refused(user):
            # As where an account has the address (`_taken`), however often it is tried.
            await self._limits.hit("register", client.ip)
            await self._registration.confirm_again(user, identity.registration_id, client)
        return user

    async def _known(self, claims: Claims, client: Client) -> tuple[Identity, User] | None:
        """The identity and whom it stands for, if it stands for somebody."""
        identity = await self._identities.find(claims.issuer, claims.subject)
        user = await self._users.by_id(identity.user_id) if identity else None
        if identity is None or user is None or not await self._is_honoured(identity, user, claims, client):
            return None
        await self._identities.note_use(identity.identity_id, label=claims.label, now=self._clock())
        return identity, user

    def _is_refused(self, user: User) -> bool:
        """Whether nobody is let in before the address is confirmed."""
        return self._require_verified_email and user.email_verified_at is None

    async def _is_honoured(self, identity: Identity, user: User, claims: Claims, client: Client) -> bool:
        """Whether the identity still stands for the account: see *pre-hijacking* and *enumeration* above."""
        if identity.registration_id is None:
            return True
        if user.email_verified_at is None:
            if not self._is_refused(user) or _same_address(claims, user):
                return True
        elif await self._users.was_verified_by(user.user_id, identity.registration_id):
            await self._identities.confirm(identity.identity_id)
            return True
        await self._identities.remove(user.user_id, identity.identity_id)
        await self._audit.record(
            "identity_voided",
            user_id=user.user_id,
            session_id=None,
            client=client,
            details={"provider": identity.provider_id},
            now=self._clock(),
        )
        return False

    async def _new_user(self, provider_id: str, claims: Claims, client: Client) -> User:
        address = parse_email(claims.email) if claims.email is not None else None
        if address is None:
            raise EmailNotVerified("The provider told us no confirmed e-mail address of yours.")
        await self._limits.hit("register", client.ip)
        other = await self._users.by_email(address.key)
        if other is not None:
            # By the same person's other tab, in between?
            known = await self._known(claims, client)
            if known is None or known[1].user_id != other.user_id:
                raise await self._taken(other, claims, client)
            return known[1]
        registration_id = None if claims.email_verified else secrets.token_hex(8)
        identity = await self._identities.claim(self._identity(provider_id, claims, registration_id))
        return await self._create(identity, address, claims, client)

    def _identity(self, provider_id: str, claims: Claims, registration_id: str | None) -> Identity:
        now = self._clock()
        return Identity(
            identity_id=secrets.token_hex(16),
            issuer=claims.issuer,
            subject=claims.subject,
            user_id=secrets.token_hex(16),
            provider_id=provider_id,
            label=claims.label,
            linked_at=now,
            last_used_at=now,
            registration_id=registration_id,
        )

    async def _create(self, identity: Identity, address: EmailAddress, claims: Claims, client: Client) -> User:
        """Make the account of an identity.

        The identity comes first and names the account: of many logins at once, and after one that was cut off in
        between, all make the same account, once.
        """
        now = self._clock()
        registration_id = identity.registration_id
        if registration_id is None and not claims.email_verified:
            # Claimed by another visit, to which the provider said another address.
            registration_id = await self._identities.bind(identity, secrets.token_hex(8))
        user = User(
            user_id=identity.user_id,
            email=address.address,
            name=claims.name,
            username=None,
            roles=(),
            created_at=now,
            email_verified_at=now if registration_id is None else None,
        )
        try:
            await self._users.create(user)
        except EmailTaken:
            known = await self._known(claims, client)
            if known is not None:
                return known[1]
            if await self._users.by_id(identity.user_id) is not None:
                # Another visit made it of another address, and the identity was dropped for that.
                return await self._new_user(identity.provider_id, claims, client)
            # Somebody registered the address in this very moment.
            await self._identities.remove(identity.user_id, identity.identity_id)
            raise await self._taken(replace(user, user_id=""), claims, client) from None
        await self._audit.record(
            "registered",
            user_id=user.user_id,
            session_id=None,
            client=client,
            details={"provider": identity.provider_id},
            now=now,
        )
        if registration_id is not None:
            await self._registration.confirm_address(user, registration_id, client)
        return user

    async def _taken(self, other: User, claims: Claims, client: Client) -> AuthError:
        """The refusal for an address that an account has.

        Whoever owns the address may learn of that account; whoever only says so is answered as for a new one, and
        what differs is in the mail.
        """
        await self._audit.record(
            "login_failed",
            user_id=other.user_id or None,
            session_id=None,
            client=client,
            details={"reason": "provider_not_linked"},
            now=self._clock(),
        )
        if claims.email_verified or not self._require_verified_email:
            return Conflict("An account has this e-mail address. Log in to it and link the provider there.")
        await self._registration.refuse_another(other, client)
        return EmailNotVerified()


def _same_address(claims: Claims, user: User) -> bool:
    """Whether the provider still says the address that the account was made with."""
    address = parse_email(claims.email) if claims.email is not None else None
    return address is not None and address.key == user.email.casefold()
