"""What users do, each operation made once: the composition root between the stores and the transports."""

from datetime import timedelta

from auth.account_deletion import AccountDeletion
from auth.account_locks import AccountLocks
from auth.administration import Administration
from auth.admission import Admission
from auth.alerts import Alerts, NotMe
from auth.approvals import ApprovalFactor, Approvals
from auth.audit import AuditLog
from auth.clock import utc_now
from auth.devices import Devices
from auth.email_change import EmailChange
from auth.entry import Entry
from auth.jobs import Jobs
from auth.keys import KeyRing
from auth.linked_identities import LinkedIdentities, ProviderWay
from auth.locations import Locations
from auth.login import Login
from auth.mail.mailer import Mailer
from auth.mail.templates import MailTemplates
from auth.mail.texter import Texter
from auth.metrics import Metrics
from auth.oauth.flows import ProviderFlows
from auth.oauth.provider import Web
from auth.oauth.providers import make_providers
from auth.own_data import OwnData
from auth.own_passkeys import OwnPasskeys
from auth.own_phone import PhoneWay
from auth.passkeys import PasskeyCeremonies, PasskeyFactor, PasskeyLogin, PasskeyWay
from auth.password_change import PasswordChange
from auth.password_reset import PasswordReset
from auth.passwords import Passwords
from auth.phones import Phones
from auth.profile import Profile
from auth.provider_login import ProviderLogin
from auth.rate_limits import RateLimits
from auth.recovery_codes import RecoveryCodeFactor
from auth.registration import Registration
from auth.relying_party import RelyingParty
from auth.roles import Roles
from auth.rotation import RotationPolicy
from auth.sealing import Seal
from auth.second_factors import SecondFactors
from auth.secrets import RootSecret
from auth.session_endings import SessionEndings
from auth.session_terms import SessionRules
from auth.sessions import Sessions
from auth.settings import Settings
from auth.step_up import StepUp
from auth.tokens import AccessTokens, RefreshTokens
from auth.totp import TotpFactor
from auth.two_factor import TwoFactor
from auth.ways_in import PasswordWay, WaysIn
from realtime.live import Live
from stores import Stores


class Operations:
    """Every operation, made in the order in which they need each other."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        *,
        root: RootSecret,
        keys: KeyRing,
        limits: RateLimits,
        jobs: Jobs,
        live: Live,
        web: Web,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._stores = stores
        self._limits = limits
        self._metrics = metrics
        accounts, tokens = settings.accounts, settings.tokens
        self._passwords = Passwords()
        self._devices = Devices()
        self._locations = Locations(
            country_database=accounts.country_database, city_database=accounts.city_database
        )
        self._audit = AuditLog(store=stores.audit_events, keep=timedelta(days=tokens.audit_days), metrics=metrics)
        self._mailer = Mailer(
            templates=MailTemplates(public_url=settings.public_url, locations=self._locations),
            jobs=jobs,
            users=stores.users,
            metrics=metrics,
        )
        self.sessions = self._make_sessions(root, keys, live)
        self.session_endings = SessionEndings(store=stores.session_endings, sessions=self.sessions, clock=utc_now)
        self._seal = Seal(root.derive("second factors"))
        self._totp = TotpFactor(stores.factor_secrets, self._seal, limits, utc_now)
        self._party = RelyingParty(
            rp_id=settings.webauthn_rp_id, name=settings.webauthn_rp_name, origins=sorted(settings.allowed_origins)
        )
        self._ceremonies = self._make_ceremonies()
        self._passkeys = PasskeyFactor(self._ceremonies, stores.passkeys)
        self._recovery_codes = RecoveryCodeFactor(
            stores.factor_secrets, self._mailer, utc_now, beside=(self._totp, self._passkeys)
        )
        self._second_factors = SecondFactors(
            [self._totp, self._passkeys, self._recovery_codes, self._make_approval_factor(live)]
        )
        self.admission = self._make_admission()
        self.step_up = self._make_step_up()
        self.two_factor = self._make_two_factor()
        self._ways_in = WaysIn(
            [
                PasswordWay(),
                PasskeyWay(stores.passkeys),
                ProviderWay(stores.identities, [provider.issuer for provider in settings.providers]),
                PhoneWay(enabled=settings.phone_login),
            ]
        )
        self.passkey_login = self._make_passkey_login()
        self.own_passkeys = self._make_own_passkeys()
        self.own_data = OwnData(
            events=stores.audit_events,
            parts=stores.account_parts,
            factors=self.two_factor,
            devices=self._devices,
            locations=self._locations,
            step_up=self.step_up,
            limits=limits,
            audit=self._audit,
            clock=utc_now,
        )
        self.account_deletion = AccountDeletion(
            users=stores.users,
            parts=stores.account_parts,
            sessions=self.sessions,
            endings=self.session_endings,
            administrators=stores.directory,
            step_up=self.step_up,
            notice=self._mailer,
            audit=self._audit,
            clock=utc_now,
        )
        self.registration = self._make_registration()
        self.login = self._make_login()
        self.password_change = self._make_password_change()
        self.password_reset = self._make_password_reset()
        self.email_change = self._make_email_change()
        self.approvals = self._make_approvals(live)
        self.not_me = NotMe(
            sessions=self.sessions, tokens=stores.one_time_tokens, audit=self._audit, clock=utc_now
        )
        self.provider_flows = self._make_provider_flows(web)
        self.provider_login = self._make_provider_login()
        self.linked_identities = self._make_linked_identities()
        self.phones = self._make_phones(root, jobs)
        self.profile = Profile(users=stores.users)
        self.roles = self._make_roles(live)
        self.account_locks = self._make_account_locks()
        self.administration = self._make_administration(live, jobs)

    def close(self) -> None:
        """Stop the threads that hash, and close the databases of places."""
        self._passwords.close()
        self._locations.close()

    def _make_sessions(self, root: RootSecret, keys: KeyRing, live: Live) -> Sessions:
        tokens = self._settings.tokens
        return Sessions(
            store=self._stores.sessions,
            entry=self._make_entry(),
            access_tokens=AccessTokens(
                keys,
                issuer=self._settings.issuer,
                audience=tokens.audience,
                lifetime=timedelta(seconds=tokens.access_token_seconds),
            ),
            refresh_tokens=RefreshTokens(root.derive("refresh tokens")),
            revocations=live.revocations,
            publisher=live.publisher,
            presence=live.presence,
            audit=self._audit,
            devices=self._devices,
            locations=self._locations,
            theft_notice=self._mailer,
            risks=Alerts(
                store=self._stores.sessions,
                tokens=self._stores.one_time_tokens,
                mailer=self._mailer,
                audit=self._audit,
                metrics=self._metrics,
            ),
            rules=_session_rules(self._settings),
            metrics=self._metrics,
            clock=utc_now,
        )

    def _make_approval_factor(self, live: Live) -> ApprovalFactor:
        return ApprovalFactor(
            store=self._stores.approvals, sessions=self._stores.sessions, presence=live.presence, clock=utc_now
        )

    def _make_approvals(self, live: Live) -> Approvals:
        return Approvals(
            store=self._stores.approvals,
            challenges=self._stores.challenges,
            users=self._stores.users,
            admission=self.admission,
            step_up=self.step_up,
            sessions=self.sessions,
            line=live.approvals,
            devices=self._devices,
            locations=self._locations,
            mailer=self._mailer,
            limits=self._limits,
            audit=self._audit,
            metrics=self._metrics,
            clock=utc_now,
        )

    def _make_email_change(self) -> EmailChange:
        return EmailChange(
            users=self._stores.users,
            tokens=self._stores.one_time_tokens,
            step_up=self.step_up,
            mailer=self._mailer,
            limits=self._limits,
            audit=self._audit,
            clock=utc_now,
        )

    def _make_entry(self) -> Entry:
        administration = self._settings.administration
        return Entry(
            users=self._stores.users,
            sessions=self._stores.sessions,
            places=self._stores.session_places,
            roles=self._stores.session_roles,
            limit=administration.session_limit,
            policy=administration.session_limit_policy,
            clock=utc_now,
        )

    def _make_roles(self, live: Live) -> Roles:
        return Roles(
            names=self._settings.administration.roles,
            users=self._stores.users,
            directory=self._stores.directory,
            session_roles=self._stores.session_roles,
            publisher=live.publisher,
            step_up=self.step_up,
            limits=self._limits,
            mailer=self._mailer,
            audit=self._audit,
            clock=utc_now,
        )

    def _make_account_locks(self) -> AccountLocks:
        return AccountLocks(
            directory=self._stores.directory,
            endings=self.session_endings,
            step_up=self.step_up,
            limits=self._limits,
            mailer=self._mailer,
            audit=self._audit,
            clock=utc_now,
        )

    def _make_administration(self, live: Live, jobs: Jobs) -> Administration:
        return Administration(
            users=self._stores.users,
            directory=self._stores.directory,
            sessions=self.sessions,
            presence=live.presence,
            second_factors=self._second_factors,
            events=self._stores.audit_events,
            census=live,
            queue=jobs,
            limits=self._limits,
            audit=self._audit,
            clock=utc_now,
        )

    def _make_admission(self) -> Admission:
        return Admission(
            users=self._stores.users,
            sessions=self.sessions,
            second_factors=self._second_factors,
            challenges=self._stores.challenges,
            notice=self._mailer,
            limits=self._limits,
            audit=self._audit,
            metrics=self._metrics,
            clock=utc_now,
            require_verified_email=self._settings.accounts.require_verified_email,
        )

    def _make_step_up(self) -> StepUp:
        return StepUp(
            users=self._stores.users,
            sessions=self._stores.sessions,
            second_factors=self._second_factors,
            passwords=self._passwords,
            limits=self._limits,
            audit=self._audit,
            clock=utc_now,
        )

    def _make_two_factor(self) -> TwoFactor:
        return TwoFactor(
            store=self._stores.factor_secrets,
            seal=self._seal,
            totp_factor=self._totp,
            code_factor=self._recovery_codes,
            second_factors=self._second_factors,
            passkeys=self._stores.passkeys,
            step_up=self.step_up,
            users=self._stores.users,
            endings=self.session_endings,
            assurances=self._stores.sessions,
            notice=self._mailer,
            limits=self._limits,
            audit=self._audit,
            clock=utc_now,
            service=self._settings.accounts.service_name,
        )

    def _make_ceremonies(self) -> PasskeyCeremonies:
        return PasskeyCeremonies(
            store=self._stores.passkeys,
            challenges=self._stores.challenges,
            party=self._party,
            users=self._stores.users,
            notice=self._mailer,
            limits=self._limits,
            audit=self._audit,
            clock=utc_now,
        )

    def _make_passkey_login(self) -> PasskeyLogin:
        return PasskeyLogin(
            ceremonies=self._ceremonies,
            factor=self._passkeys,
            party=self._party,
            admission=self.admission,
            users=self._stores.users,
            limits=self._limits,
            audit=self._audit,
            metrics=self._metrics,
            clock=utc_now,
        )

    def _make_own_passkeys(self) -> OwnPasskeys:
        return OwnPasskeys(
            ceremonies=self._ceremonies,
            store=self._stores.passkeys,
            party=self._party,
            users=self._stores.users,
            step_up=self.step_up,
            ways_in=self._ways_in,
            second_factors=self._second_factors,
            codes=self._stores.factor_secrets,
            notice=self._mailer,
            limits=self._limits,
            audit=self._audit,
            clock=utc_now,
        )

    def _make_registration(self) -> Registration:
        return Registration(
            users=self._stores.users,
            tokens=self._stores.one_time_tokens,
            passwords=self._passwords,
            mailer=self._mailer,
            endings=self.session_endings,
            limits=self._limits,
            audit=self._audit,
            clock=utc_now,
            require_verified_email=self._settings.accounts.require_verified_email,
        )

    def _make_password_change(self) -> PasswordChange:
        return PasswordChange(
            users=self._stores.users,
            passwords=self._passwords,
            endings=self.session_endings,
            step_up=self.step_up,
            notice=self._mailer,
            limits=self._limits,
            audit=self._audit,
            clock=utc_now,
        )

    def _make_password_reset(self) -> PasswordReset:
        return PasswordReset(
            users=self._stores.users,
            tokens=self._stores.one_time_tokens,
            passwords=self._passwords,
            endings=self.session_endings,
            mailer=self._mailer,
            limits=self._limits,
            audit=self._audit,
            clock=utc_now,
        )

    def _make_login(self) -> Login:
        return Login(
            users=self._stores.users,
            passwords=self._passwords,
            admission=self.admission,
            limits=self._limits,
            audit=self._audit,
            metrics=self._metrics,
            clock=utc_now,
        )

    def _make_provider_flows(self, web: Web) -> ProviderFlows:
        return ProviderFlows(
            make_providers(self._settings.providers, web=web, clock=utc_now),
            challenges=self._stores.challenges,
            redirect_base=f"{self._settings.public_url}/api/auth",
            limits=self._limits,
            audit=self._audit,
            clock=utc_now,
        )

    def _make_provider_login(self) -> ProviderLogin:
        return ProviderLogin(
            users=self._stores.users,
            identities=self._stores.identities,
            registration=self.registration,
            admission=self.admission,
            limits=self._limits,
            audit=self._audit,
            metrics=self._metrics,
            clock=utc_now,
            require_verified_email=self._settings.accounts.require_verified_email,
        )

    def _make_phones(self, root: RootSecret, jobs: Jobs) -> Phones:
        settings = self._settings
        return Phones(
            countries=settings.phone.phone_countries,
            users=self._stores.users,
            challenges=self._stores.challenges,
            tokens=self._stores.one_time_tokens,
            texter=Texter(jobs=jobs, service=settings.accounts.service_name, public_url=settings.public_url),
            notice=self._mailer,
            admission=self.admission,
            step_up=self.step_up,
            ways_in=self._ways_in,
            limits=self._limits,
            audit=self._audit,
            metrics=self._metrics,
            key=root.derive("codes by sms"),
            clock=utc_now,
        )

    def _make_linked_identities(self) -> LinkedIdentities:
        return LinkedIdentities(
            identities=self._stores.identities,
            users=self._stores.users,
            sessions=self._stores.sessions,
            flows=self.provider_flows,
            ways_in=self._ways_in,
            step_up=self.step_up,
            notice=self._mailer,
            limits=self._limits,
            audit=self._audit,
            clock=utc_now,
        )


def _session_rules(settings: Settings) -> SessionRules:
    tokens = settings.tokens
    return SessionRules(
        idle_life=timedelta(seconds=tokens.refresh_token_seconds),
        whole_life=timedelta(seconds=tokens.session_max_seconds),
        rotation=RotationPolicy(leeway=timedelta(seconds=tokens.reuse_leeway_seconds)),
        theft_ends_all=tokens.reuse_policy == "all",
    )
