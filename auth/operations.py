"""Constructs every operation once and holds them in one frozen object, which both transports use.

In the order of their dependencies. `auth` never imports `realtime`: what operations need of it is in `LiveSide`.
"""

from dataclasses import dataclass
from datetime import timedelta

from auth.accounts.deletion import AccountDeletion
from auth.accounts.email_change import EmailChange
from auth.accounts.export import DataExport
from auth.accounts.password_change import PasswordChange
from auth.accounts.password_reset import PasswordReset
from auth.accounts.profile import Profile
from auth.accounts.registration import Registration
from auth.admin.account_locks import AccountLocks
from auth.admin.people import Administration, LiveCounter
from auth.admin.roles import Roles
from auth.alerts.alerts import Alerts, Dismissals, NotMe
from auth.alerts.approvals import ApprovalFactor, ApprovalLine, Approvals
from auth.alerts.factor_removal import FactorRemoval
from auth.audit import AuditLog
from auth.backends.backends import Backends, FactParts
from auth.backends.live import LiveControl
from auth.clients.devices import Devices
from auth.clients.known_devices import KnownDevices
from auth.clients.locations import Locations
from auth.core.clock import Clock
from auth.core.events import PresenceReader, Publisher
from auth.crypto.passwords import Passwords
from auth.crypto.root_secret import RootSecret
from auth.crypto.sealing import Seal
from auth.crypto.signing_keys import KeyRing
from auth.crypto.tokens import AccessTokens, RefreshTokens
from auth.factors.manage import TwoFactor
from auth.factors.password_guesses import PasswordGuesses
from auth.factors.recovery_codes import RecoveryCodeFactor
from auth.factors.registry import SecondFactors
from auth.factors.step_up import StepUp
from auth.factors.totp import TotpFactor, factor_seal
from auth.login.admission import Admission
from auth.login.methods import LoginMethods, PasswordMethod
from auth.login.passkeys.login import PasskeyCeremonies, PasskeyFactor, PasskeyLogin, PasskeyMethod
from auth.login.passkeys.manage import OwnPasskeys
from auth.login.passkeys.relying_party import RelyingParty
from auth.login.password import Login
from auth.login.phones.codes import PhoneCodes
from auth.login.phones.login import PhoneLogin
from auth.login.phones.manage import OwnPhone, PhoneMethod
from auth.login.phones.numbers import PhoneRules
from auth.login.providers.links import LinkedIdentities, ProviderMethod
from auth.login.providers.login import ProviderLogin
from auth.login.providers.registry import make_providers
from auth.login.providers.visits import ProviderFlows
from auth.notifications.job_queue import Jobs
from auth.notifications.mail_templates import MailTemplates
from auth.notifications.mailer import Mailer
from auth.notifications.sms import SmsDispatcher
from auth.notifications.undo_links import UndoLinks
from auth.platform.http_client import HttpClient
from auth.platform.metrics import Metrics
from auth.platform.rate_limits import RateLimits
from auth.platform.settings.settings import Settings
from auth.services import Services
from auth.sessions.device_rename import DeviceRename
from auth.sessions.endings import SessionEndings
from auth.sessions.mass_revocation import MassRevocation
from auth.sessions.session_start import SessionStart
from auth.sessions.sessions import Sessions
from auth.sessions.types import RevocationList, session_rules
from auth.stores.stores import Stores


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSide:
    """What operations need of `realtime`."""

    publisher: Publisher
    presence: PresenceReader
    revocations: RevocationList
    approvals: ApprovalLine
    live_counter: LiveCounter
    control: LiveControl


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The dependencies of operations other than the services, constructed by the composition root."""

    settings: Settings
    stores: Stores
    root: RootSecret
    keys: KeyRing
    jobs: Jobs
    live: LiveSide
    web: HttpClient
    facts: FactParts
    passwords: Passwords
    devices: Devices
    locations: Locations


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Every operation."""

    # Sessions
    sessions: Sessions
    device_rename: DeviceRename
    session_endings: SessionEndings
    mass_revocation: MassRevocation
    # Second factors
    step_up: StepUp
    two_factor: TwoFactor
    factor_removal: FactorRemoval
    # Accounts
    registration: Registration
    profile: Profile
    password_change: PasswordChange
    password_reset: PasswordReset
    email_change: EmailChange
    data_export: DataExport
    account_deletion: AccountDeletion
    # Login methods
    known_devices: KnownDevices
    admission: Admission
    login: Login
    passkey_login: PasskeyLogin
    own_passkeys: OwnPasskeys
    phone_login: PhoneLogin
    own_phone: OwnPhone
    provider_flows: ProviderFlows
    provider_login: ProviderLogin
    linked_identities: LinkedIdentities
    # Alerts and approvals on other devices
    approvals: Approvals
    not_me: NotMe
    dismissals: Dismissals
    # Administration, and applications' backends
    administration: Administration
    roles: Roles
    account_locks: AccountLocks
    backends: Backends


def make_services(
    settings: Settings,
    stores: Stores,
    *,
    limits: RateLimits,
    jobs: Jobs,
    locations: Locations,
    metrics: Metrics,
    clock: Clock,
) -> Services:
    """Construct the services that operations share."""
    keep = timedelta(days=settings.tokens.audit_days)
    return Services(
        users=stores.users,
        audit=AuditLog(store=stores.audit_events, keep=keep, metrics=metrics, clock=clock),
        limits=limits,
        mailer=Mailer(
            templates=MailTemplates(
                public_url=settings.public_url,
                app_url=settings.server.app_url,
                service=settings.accounts.service_name,
                locations=locations,
            ),
            jobs=jobs,
            users=stores.users,
            undo=UndoLinks(stores.one_time_tokens),
            metrics=metrics,
        ),
        metrics=metrics,
        clock=clock,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Factors:
    seal: Seal
    totp: TotpFactor
    recovery_codes: RecoveryCodeFactor
    party: RelyingParty
    ceremonies: PasskeyCeremonies
    passkeys: PasskeyFactor
    every: SecondFactors


def make_operations(services: Services, parts: Parts) -> Operations:
    """Construct every operation, in the order of their dependencies."""
    settings, stores, live, clock = parts.settings, parts.stores, parts.live, services.clock
    tokens, verified = stores.one_time_tokens, settings.accounts.require_verified_email

    sessions = _make_sessions(services, parts)
    endings = SessionEndings(services, store=stores.session_endings, sessions=sessions)

    factors = _make_factors(services, parts)
    known_devices = KnownDevices.under(parts.root, clock)
    guesses = PasswordGuesses(services, devices=known_devices, tokens=tokens)
    step_up = StepUp(
        services,
        sessions=stores.sessions,
        second_factors=factors.every,
        passwords=parts.passwords,
        guesses=guesses,
    )
    two_factor = TwoFactor(
        services,
        store=stores.factor_secrets,
        seal=factors.seal,
        totp_factor=factors.totp,
        code_factor=factors.recovery_codes,
        second_factors=factors.every,
        passkeys=stores.passkeys,
        step_up=step_up,
        endings=endings,
        assurances=stores.sessions,
        service=settings.accounts.service_name,
    )

    registration = Registration(
        services, tokens=tokens, passwords=parts.passwords, endings=endings, require_verified_email=verified
    )

    admission = Admission(
        services,
        sessions=sessions,
        second_factors=factors.every,
        challenges=stores.challenges,
        require_verified_email=verified,
    )
    methods = _make_login_methods(settings, stores)
    own_passkeys = OwnPasskeys(
        services,
        ceremonies=factors.ceremonies,
        store=stores.passkeys,
        party=factors.party,
        step_up=step_up,
        login_methods=methods,
        second_factors=factors.every,
        codes=stores.factor_secrets,
    )
    phone_rules = PhoneRules(settings.phone.phone_countries)
    phone_codes = _make_phone_codes(services, parts)
    own_phone = OwnPhone(services, rules=phone_rules, codes=phone_codes, login_methods=methods, step_up=step_up)
    provider_flows = ProviderFlows(
        services,
        make_providers(settings.providers, web=parts.web, clock=clock),
        challenges=stores.challenges,
        redirect_base=f"{settings.public_url}/api/auth",
    )
    linked_identities = LinkedIdentities(
        services,
        identities=stores.identities,
        sessions=stores.sessions,
        flows=provider_flows,
        login_methods=methods,
        step_up=step_up,
    )

    return Operations(
        sessions=sessions,
        device_rename=_make_device_rename(services, parts),
        session_endings=endings,
        mass_revocation=MassRevocation(services, accounts=stores.sessions, sessions=sessions, keys=parts.keys),
        step_up=step_up,
        two_factor=two_factor,
        factor_removal=FactorRemoval(
            services,
            tokens=tokens,
            two_factor=two_factor,
            passkeys=own_passkeys,
            phone=own_phone,
            identities=linked_identities,
            endings=endings,
            step_up=step_up,
        ),
        registration=registration,
        profile=Profile(users=stores.users, clock=clock),
        password_change=PasswordChange(
            services, passwords=parts.passwords, endings=endings, step_up=step_up, guesses=guesses
        ),
        password_reset=PasswordReset(services, tokens=tokens, passwords=parts.passwords, endings=endings),
        email_change=EmailChange(services, changes=stores.email_changes, tokens=tokens, step_up=step_up),
        data_export=DataExport(
            services,
            events=stores.audit_events,
            parts=stores.account_parts,
            factors=two_factor,
            devices=parts.devices,
            locations=parts.locations,
            step_up=step_up,
        ),
        account_deletion=AccountDeletion(
            services,
            parts=stores.account_parts,
            sessions=sessions,
            endings=endings,
            administrators=stores.directory,
            step_up=step_up,
            presence=parts.live.presence,
        ),
        known_devices=known_devices,
        admission=admission,
        login=Login(services, passwords=parts.passwords, guesses=guesses, admission=admission),
        passkey_login=PasskeyLogin(
            services,
            ceremonies=factors.ceremonies,
            factor=factors.passkeys,
            party=factors.party,
            admission=admission,
        ),
        own_passkeys=own_passkeys,
        phone_login=PhoneLogin(
            services, rules=phone_rules, codes=phone_codes, devices=known_devices, admission=admission
        ),
        own_phone=own_phone,
        provider_flows=provider_flows,
        provider_login=ProviderLogin(
            services,
            identities=stores.identities,
            registration=registration,
            admission=admission,
            require_verified_email=verified,
        ),
        linked_identities=linked_identities,
        approvals=Approvals(
            services,
            store=stores.approvals,
            challenges=stores.challenges,
            admission=admission,
            step_up=step_up,
            sessions=sessions,
            line=live.approvals,
            devices=parts.devices,
            locations=parts.locations,
        ),
        not_me=NotMe(services, sessions=sessions, store=stores.sessions, tokens=tokens),
        dismissals=Dismissals(services, alerts=stores.session_alerts, publisher=live.publisher),
        administration=Administration(
            services,
            directory=stores.directory,
            sessions=sessions,
            presence=live.presence,
            second_factors=factors.every,
            events=stores.audit_events,
            live_counter=live.live_counter,
            queue=parts.jobs,
        ),
        roles=Roles(
            services,
            names=settings.administration.roles,
            directory=stores.directory,
            session_roles=stores.session_roles,
            publisher=live.publisher,
            step_up=step_up,
        ),
        account_locks=AccountLocks(services, directory=stores.directory, endings=endings, step_up=step_up),
        backends=Backends.create(
            services, stores, sessions=sessions, step_up=step_up, live=live, facts=parts.facts
        ),
    )


def _make_sessions(services: Services, parts: Parts) -> Sessions:
    settings, stores, live = parts.settings, parts.stores, parts.live
    tokens, administration = settings.tokens, settings.administration
    return Sessions(
        services,
        store=stores.sessions,
        session_start=SessionStart(
            services,
            sessions=stores.sessions,
            places=stores.session_places,
            roles=stores.session_roles,
            limit=administration.session_limit,
            policy=administration.session_limit_policy,
        ),
        access_tokens=AccessTokens(
            parts.keys,
            issuer=settings.issuer,
            audience=tokens.audience,
            lifetime=timedelta(seconds=tokens.access_token_seconds),
        ),
        refresh_tokens=RefreshTokens.under(parts.root, names_user=stores.schema.tokens_name_users),
        revocations=live.revocations,
        publisher=live.publisher,
        presence=live.presence,
        devices=parts.devices,
        locations=parts.locations,
        risks=Alerts(services, store=stores.sessions, alerts=stores.session_alerts, tokens=stores.one_time_tokens),
        rules=session_rules(tokens),
    )


def _make_device_rename(services: Services, parts: Parts) -> DeviceRename:
    return DeviceRename(
        services,
        sessions=parts.stores.sessions,
        names=parts.stores.session_device_names,
        devices=parts.devices,
        presence=parts.live.presence,
        publisher=parts.live.publisher,
    )


def _make_factors(services: Services, parts: Parts) -> _Factors:
    settings, stores = parts.settings, parts.stores
    seal = factor_seal(parts.root)
    totp = TotpFactor(services, store=stores.factor_secrets, seal=seal)
    party = RelyingParty(
        rp_id=settings.webauthn_rp_id, name=settings.webauthn_rp_name, origins=settings.webauthn_origins
    )
    ceremonies = PasskeyCeremonies(services, store=stores.passkeys, challenges=stores.challenges, party=party)
    passkeys = PasskeyFactor(ceremonies, stores.passkeys)
    recovery_codes = RecoveryCodeFactor(services, store=stores.factor_secrets, beside=(totp, passkeys))
    approval = ApprovalFactor(
        store=stores.approvals, sessions=stores.sessions, presence=parts.live.presence, clock=services.clock
    )
    return _Factors(
        seal=seal,
        totp=totp,
        recovery_codes=recovery_codes,
        party=party,
        ceremonies=ceremonies,
        passkeys=passkeys,
        every=SecondFactors([totp, passkeys, recovery_codes, approval]),
    )


def _make_login_methods(settings: Settings, stores: Stores) -> LoginMethods:
    return LoginMethods(
        [
            PasswordMethod(),
            PasskeyMethod(stores.passkeys),
            ProviderMethod(stores.identities, [provider.issuer for provider in settings.providers]),
            PhoneMethod(enabled=settings.phone_login),
        ],
        stores.users,
        stores.account_login_methods,
    )


def _make_phone_codes(services: Services, parts: Parts) -> PhoneCodes:
    settings, stores = parts.settings, parts.stores
    sms = SmsDispatcher(jobs=parts.jobs, service=settings.accounts.service_name, public_url=settings.public_url)
    return PhoneCodes(
        services,
        challenges=stores.challenges,
        tokens=stores.one_time_tokens,
        sms=sms,
        key=parts.root.derive("codes by sms"),
    )
