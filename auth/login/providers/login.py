"""Login with a provider, and creation of an account at the first such login.

Three threats determine the design.

*Account takeover by address*: someone who can make a provider assert an address would own the account with that
address. So an identity is only its issuer and subject. An existing account with the address is never linked
automatically, even if the provider asserts that the address is verified; its owner logs in and links the provider.
An account whose address was never verified has no owner yet: the user for whom the provider vouches gets it,
without the other data of its registration.

*Pre-hijacking* (Sudhodanan and Paverd, USENIX Security 2022): an attacker creates an account with a victim's
address through a provider that does not verify addresses, and waits for the victim to verify it. So such an
identity is bound to the link that is mailed for it, like a registration's password
(auth/accounts/registration.py). If the address is verified in any other way, the identity becomes invalid.

*Enumeration*: at such a provider, anyone can log in with any address. The answer and the number of writes are the
same whether or not an account has it. A later login with another address reveals nothing either: if the account
was never verified and the provider now asserts another address, the identity is removed and its owner continues as
a new user, as if an account had had the first address.
"""

import secrets
from dataclasses import replace

import structlog

from auth.accounts.registration import Registration
from auth.core.errors import AuthError, Conflict, EmailNotVerified
from auth.core.models import Client, TokenDelivery, User
from auth.core.text import EmailAddress, parse_email
from auth.login.admission import Admission, LoggedIn, MfaPending, count_outcome
from auth.login.providers.claims import Claims
from auth.services import Operation, Services
from auth.stores.identities import Identities, Identity, ProviderTaken
from auth.stores.users.store import EmailTaken

log = structlog.get_logger()

# The session's `amr`: a provider vouched for the user. The provider's own authentication methods are ignored, so a
# second factor that is set up here is always required (ASVS 5.0, 6.8.4).
AMR = ("provider",)


class ProviderLogin(Operation):
    """Logs in users with a provider's claims."""

    def __init__(
        self,
        services: Services,
        *,
        identities: Identities,
        registration: Registration,
        admission: Admission,
        require_verified_email: bool,
    ) -> None:
        super().__init__(services)
        self._identities = identities
        self._registration = registration
        self._admission = admission
        self._require_verified_email = require_verified_email

    @count_outcome
    async def log_in(
        self,
        provider_id: str,
        claims: Claims,
        *,
        delivery: TokenDelivery,
        client: Client,
        browser: str | None = None,
    ) -> LoggedIn | MfaPending:
        """Find or create the account of the claims, then start a session or request the second factor.

        `browser`: the secret of the browser, with which it can confirm an address in one click.

        Raises `Conflict` if another account has the address, `EmailNotVerified`, `AccountLocked`,
        `SessionLimitReached`, `RateLimited` or `Unavailable`.
        """
        user = await self._user(provider_id, claims, client, browser)
        return await self._admission.admit(user, amr=AMR, device_name=None, delivery=delivery, client=client)

    async def _user(self, provider_id: str, claims: Claims, client: Client, browser: str | None) -> User:
        known = await self._find_account(claims, client)
        if known is None:
            return await self._new_user(provider_id, claims, client, browser)
        identity, user = known
        if identity.registration_id is None or user.email_verified_at is not None:
            return user
        if claims.email_verified and _same_address(claims, user):
            return await self._confirm_by_provider(identity, user, claims, client)
        if self._needs_verification(user):
            # The same work as for an address that an account has (`_address_taken`), at every attempt.
            await self._limits.hit("register", client.ip)
            await self._registration.confirm_existing(user, identity.registration_id, client, browser=browser)
        return user

    async def _find_account(self, claims: Claims, client: Client) -> tuple[Identity, User] | None:
        """Return the identity and its account, or None if there is no valid one."""
        identity = await self._identities.find(claims.issuer, claims.subject)
        user = await self._users.by_id(identity.user_id) if identity else None
        if identity is None or user is None or not await self._is_valid(identity, user, claims, client):
            return None
        await self._identities.note_use(identity.identity_id, label=claims.label, now=self._clock())
        return identity, user

    def _needs_verification(self, user: User) -> bool:
        """Whether the address must be verified before the user may log in."""
        return self._require_verified_email and user.email_verified_at is None

    async def _is_valid(self, identity: Identity, user: User, claims: Claims, client: Client) -> bool:
        """Whether the identity is still valid for the account: see *pre-hijacking* and *enumeration* above."""
        if identity.registration_id is None:
            return True
        if user.email_verified_at is None:
            if not self._needs_verification(user) or _same_address(claims, user):
                return True
        elif await self._users.was_verified_by(user.user_id, identity.registration_id):
            await self._identities.confirm(identity.identity_id)
            return True
        await self._remove_identity(identity, client)
        return False

    async def _remove_identity(self, identity: Identity, client: Client) -> None:
        await self._identities.remove(identity.user_id, identity.identity_id)
        await self._audit.record(
            "identity_voided", user_id=identity.user_id, client=client, details={"provider": identity.provider_id}
        )

    async def _new_user(self, provider_id: str, claims: Claims, client: Client, browser: str | None) -> User:
        address = parse_email(claims.email) if claims.email is not None else None
        if address is None:
            raise EmailNotVerified("The provider did not give us a confirmed e-mail address for you.")
        await self._limits.hit("register", client.ip)
        other = await self._users.by_email(address.key)
        if other is not None:
            # The same user's other tab may have just created it.
            known = await self._find_account(claims, client)
            if known is not None and known[1].user_id == other.user_id:
                return known[1]
            if claims.email_verified and other.email_verified_at is None:
                return await self._take_over(provider_id, other, claims, client)
            raise await self._address_taken(other, claims, client)
        registration_id = None if claims.email_verified else secrets.token_hex(8)
        identity = await self._identities.claim(self._identity(provider_id, claims, registration_id))
        return await self._create(identity, address, claims, client, browser)

    async def _take_over(self, provider_id: str, other: User, claims: Claims, client: Client) -> User:
        """Give an account with an unverified address to the user whom the provider asserts to own the address.

        The identity is stored first, bound to its own registration like an unverified one. If interrupted, the
        next login continues, and an owner who verifies the address in another way invalidates the identity.
        """
        for each in await self._identities.of_user(other.user_id):
            # An identity of the same subject is from another tab, which may be verifying the address with it now.
            if (each.issuer, each.subject) != (claims.issuer, claims.subject):
                await self._remove_identity(each, client)
        wanted = replace(self._identity(provider_id, claims, secrets.token_hex(8)), user_id=other.user_id)
        try:
            identity = await self._identities.claim(wanted)
            if identity.user_id != other.user_id:
                # Claimed by a first login that was interrupted before it created its account.
                await self._identities.move(identity, wanted)
                identity = await self._identities.claim(wanted)
        except ProviderTaken:
            raise await self._address_taken(other, claims, client) from None
        if identity.user_id != other.user_id or identity.registration_id is None:
            raise await self._address_taken(other, claims, client)
        return await self._confirm_by_provider(identity, other, claims, client)

    async def _confirm_by_provider(self, identity: Identity, user: User, claims: Claims, client: Client) -> User:
        """Verify the address of an account for which the identity's provider vouches; discard its other data."""
        assert identity.registration_id is not None
        confirmed = await self._registration.confirm_by_provider(
            user, identity.registration_id, name=claims.name, provider_id=identity.provider_id, client=client
        )
        if confirmed is None:
            # Its owner has just verified it in another way: see *account takeover by address* above.
            raise await self._address_taken(user, claims, client)
        # A login with another provider may have removed the identity before this one verified the address.
        if not await self._identities.establish(identity):
            raise await self._address_taken(user, claims, client)
        return confirmed

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

    async def _create(
        self, identity: Identity, address: EmailAddress, claims: Claims, client: Client, browser: str | None
    ) -> User:
        """Create the account of an identity.

        The identity is stored first and contains the account's id, so that concurrent logins, and a login after an
        interrupted one, all create the same account once.
        """
        now = self._clock()
        registration_id = identity.registration_id
        if registration_id is None and not claims.email_verified:
            # Claimed by another visit, in which the provider asserted another address.
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
            known = await self._find_account(claims, client)
            if known is not None:
                return known[1]
            if await self._users.by_id(identity.user_id) is not None:
                # Another visit created it with another address, and the identity was removed because of that.
                return await self._new_user(identity.provider_id, claims, client, browser)
            # Someone has just registered the address.
            await self._identities.remove(identity.user_id, identity.identity_id)
            raise await self._address_taken(replace(user, user_id=""), claims, client) from None
        await self._audit.record(
            "registered", user_id=user.user_id, client=client, details={"provider": identity.provider_id}, now=now
        )
        if registration_id is not None:
            await self._registration.confirm_address(user, registration_id, client, browser=browser)
        return user

    async def _address_taken(self, other: User, claims: Claims, client: Client) -> AuthError:
        """Return the error for an address that an account already has.

        A verified owner of the address may learn of that account. Without verification, the answer is the same as
        for a new account, and only the mail differs.
        """
        await self._audit.record(
            "login_failed", user_id=other.user_id or None, client=client, details={"reason": "provider_not_linked"}
        )
        if claims.email_verified or not self._require_verified_email:
            return Conflict("An account with this e-mail address exists. Log in to it and link the provider.")
        await self._registration.reject_duplicate(other, client)
        return EmailNotVerified()


def _same_address(claims: Claims, user: User) -> bool:
    """Whether the provider still asserts the address that the account was created with."""
    address = parse_email(claims.email) if claims.email is not None else None
    return address is not None and address.key == user.email.casefold()
