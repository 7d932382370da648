"""Settings: frozen sections, read once from `VIGIL_…` environment variables and validated at start.

An invalid value aborts the start: `Settings.load` raises `SettingsError`, a one-line message naming the
variable. Each variable is documented at its field; docs/settings.md documents the same variables for operators.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formataddr
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import phonenumbers
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from auth.core.models import ADMIN, USER
from auth.core.page_links import PageLinks
from auth.platform.hosts import is_address, is_loopback, names_this_machine
from auth.platform.redis.address import read_address
from auth.platform.settings.application_url import ApplicationUrlSettings
from auth.platform.settings.facts import FactSettings
from auth.platform.settings.mongo_url import check_promises
from auth.platform.settings.origins import is_web, origin_of, passkey_origins, read_origin, read_passkey_origin
from auth.platform.settings.passkey_domain import rp_id_problem
from auth.platform.settings.providers import ProviderConfig, read_providers
from auth.platform.settings.rates import check_rate, read_event_rates
from auth.platform.settings.section import HostUrl, Section, Switch, WebUrl, read_section, service_url
from auth.platform.settings.section import SettingsError as SettingsError

MIN_SECRET_BYTES = 32
ROLE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
# Limited because every access token carries its user's roles.
MOST_ROLES = 32


def _comma_list(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _redis_url(value: SecretStr) -> SecretStr:
    read_address(value.get_secret_value())
    return value


def _role_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if any(ROLE_NAME.fullmatch(name) is None for name in names):
        raise ValueError("a role has up to 32 lower-case letters, digits, _ and -, and begins with a letter")
    if USER in names:
        raise ValueError(f"{USER} cannot be listed: every account has it")
    if ADMIN not in names:
        raise ValueError(f"{ADMIN} must be among the roles")
    if len(set(names)) != len(names) or len(names) > MOST_ROLES:
        raise ValueError(f"list each role once, at most {MOST_ROLES} of them")
    return names


def _country(value: str) -> str:
    if value.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"{value!r} is not a country code such as NL")
    return value.upper()


def _is_private(url: str) -> bool:
    """Whether posts to `url` cannot be read in transit: TLS, or a loopback address."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Origins = Annotated[tuple[Annotated[str, AfterValidator(read_origin)], ...], BeforeValidator(_comma_list)]
PasskeyOrigins = Annotated[
    tuple[Annotated[str, AfterValidator(read_passkey_origin)], ...], BeforeValidator(_comma_list)
]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_comma_list)]
Countries = Annotated[tuple[Annotated[str, AfterValidator(_country)], ...], BeforeValidator(_comma_list)]
MongoUrl = Annotated[SecretStr, service_url("mongodb", "mongodb+srv"), AfterValidator(check_promises)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
Rate = Annotated[str, AfterValidator(check_rate)]
EventRates = Annotated[tuple[tuple[str, str], ...], BeforeValidator(read_event_rates)]
RoleNames = Annotated[tuple[str, ...], BeforeValidator(_comma_list), AfterValidator(_role_names)]
Seconds = Annotated[int, Field(ge=1, le=10 * 365 * 86400)]


class ServerSettings(Section):
    """Network addresses, origins and trusted proxies."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    public_url: HostUrl | None = Field(
        None, description="URL used by browsers and in mails. Default: built from host and port."
    )
    app_url: WebUrl | None = Field(
        None, description="Page of the application, the target of mailed links and of providers. Default: ours."
    )
    allowed_origins: Origins = Field(
        (),
        description="Further origins, comma-separated, that may use cookies and sockets, beside the public URL.",
    )
    cookie_same_site: Literal["strict", "none"] = Field(
        "strict",
        description="SameSite attribute of cookies; `none` if pages are on a different site than the server.",
    )
    trusted_proxies: Networks = Field(
        (), description="Addresses or networks whose X-Forwarded-For is trusted. Default: none."
    )
    connections_per_address: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        1000, description="Maximum open connections of one address on one node; 0 for no limit."
    )
    application: str | None = Field(
        "client-demo/chat.py:chat",
        description="Application with socket events, `file.py:name` or `module:name`; empty for none.",
    )
    worker: Switch = Field(False, description="Set by `serve --workers` for the processes it starts.")
    demo: Switch = Field(True, description="Serve the demo page at `/`.")


class StoreSettings(Section):
    """Data stores. If a URL is missing, the server runs its own private MongoDB or Valkey."""

    mongo_url: MongoUrl | None = Field(None, description="MongoDB (a replica set). Default: embedded.")
    mongo_database: str | None = Field(
        None,
        min_length=1,
        max_length=38,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="Name of the database. Default: the one in the URL, or vigil.",
    )
    mongo_driver: Literal["motor", "pymongo"] = Field("pymongo", description="The MongoDB driver.")
    redis_url: RedisUrl | None = Field(None, description="Redis or Valkey. Default: embedded.")
    redis_prefix: str = Field(
        "vigil", pattern=r"^[A-Za-z0-9_.-]{1,32}$", description="Prefix of every key and channel in Redis."
    )
    half_embedded: Switch = Field(
        False,
        description="Run an embedded store although the other one has a URL and the server is public.",
    )
    data_dir: Path = Field(
        Path(".data"), description="Directory of the embedded services and the generated secret."
    )


class TokenSettings(Section):
    """Lifetimes and rules of tokens and sessions (sessions.md)."""

    secret_key: SecretStr | None = Field(
        None,
        description="Root secret, at least 32 bytes. Embedded mode generates one in the data directory.",
    )
    second_secret_key: SecretStr | None = Field(
        None, description="Another root secret that is accepted too, while the root secret is replaced."
    )
    issuer: str | None = Field(
        None, description="`iss` of access tokens. Default: the public URL if set, else vigil."
    )
    audience: str = Field("vigil", min_length=1, description="`aud` of access tokens.")
    access_token_seconds: Seconds = Field(900, description="Lifetime of an access token.")
    refresh_token_seconds: Seconds = Field(
        604_800, description="Idle lifetime of a session, extended by each refresh."
    )
    session_max_seconds: Seconds = Field(2_592_000, description="Maximum lifetime of a session.")
    reuse_leeway_seconds: Annotated[int, Field(ge=0, le=300)] = Field(
        10, description="How long reuse of a refresh token by racing tabs is tolerated."
    )
    reuse_policy: Literal["all", "family"] = Field(
        "all", description="Sessions ended by a stolen refresh token: all of the user's, or its own."
    )
    reuse_elsewhere: Literal["alert", "end"] = Field(
        "alert", description="Response to reuse from another device or country."
    )
    audit_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        90, description="Retention of revoked sessions and audit events."
    )


class LiveSettings(Section):
    """Timing and traffic limits of the live socket."""

    expiry_lead_seconds: Seconds = Field(60, description="Time before expiry at which `token-expiring` is sent.")
    expiry_grace_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        30, description="Time after expiry in which a socket may re-authenticate."
    )
    socket_frames_per_second: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        100, description="Frames of any kind that a connection may send per second."
    )
    socket_bytes_per_second: Annotated[int, Field(ge=1000, le=1_000_000_000)] = Field(
        400_000, description="Bytes that a connection may send per second."
    )
    socket_burst_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        20, description="Burst size of both limits, in seconds' worth of traffic."
    )
    sockets_per_user: Annotated[int, Field(ge=1, le=100_000)] = Field(
        500, description="Maximum open sockets of one user, over all nodes."
    )
    room_history_events: Annotated[int, Field(ge=1, le=10_000)] = Field(
        256, description="Maximum number of events in the history of a room."
    )
    room_history_seconds: Annotated[int, Field(ge=60, le=2_592_000)] = Field(
        86_400, description="Age at which an event leaves the history of a room."
    )


class AccountSettings(Section):
    """Accounts, passkeys, mail and location."""

    webauthn_rp_id: str | None = Field(
        None,
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        max_length=253,
        description="Domain of passkeys (RP ID). Default: the public URL's host.",
    )
    webauthn_origins: PasskeyOrigins = Field(
        (),
        description="Origins, comma-separated, where passkeys may be used. Default: those under their domain.",
    )
    webauthn_rp_name: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00-\x1f]+$",
        description="Service name that browsers show with a passkey. Default: the service's name.",
    )
    service_name: str = Field(
        "Vigil",
        min_length=1,
        max_length=64,
        pattern=r"^[^:\x00-\x1f]+$",
        description="Name of the service in mails, SMS and authenticator apps. No colon.",
    )
    require_verified_email: Switch = Field(True, description="Reject logins until the e-mail address is verified.")
    smtp_url: SecretStr | None = Field(
        None, description="smtp://user:password@host:port or smtps://…. Embedded mode: the outbox."
    )
    mail_from: str | None = Field(
        None, description="Sender of mails. Default: the service's name <no-reply@localhost>."
    )
    dev_outbox: Switch | None = Field(
        None,
        description="Keep mails and show them at /dev/outbox. On in embedded mode without VIGIL_SMTP_URL.",
    )
    country_database: Path | None = Field(
        None, description="MaxMind-format country database. Default: the bundled one."
    )
    city_database: Path | None = Field(
        None, description="MaxMind-format city database, to show the city of devices. Default: none."
    )
    jobs: Switch = Field(True, description="Run background jobs in this node; off if separate workers run them.")


class PhoneSettings(Section):
    """Codes by SMS (phone.md)."""

    phone_login: Switch | None = Field(
        None,
        description="Login by SMS code. Default: on if SMS can be delivered, by the webhook or to the outbox.",
    )
    phone_countries: Countries = Field(
        (), description="ISO 3166-1 codes, comma-separated, of countries with accepted numbers. Default: all."
    )
    sms_webhook_url: WebUrl | None = Field(None, description="URL to which SMS are posted.")
    sms_webhook_secret: SecretStr | None = Field(
        None, description="Key that signs the posts to the webhook; at least 32 bytes."
    )

    def check(self, *, outbox: bool) -> None:
        """Raise `SettingsError` if the webhook is incomplete or insecure, or if SMS cannot be delivered."""
        url, secret = self.sms_webhook_url, self.sms_webhook_secret
        if (url is None) != (secret is None):
            missing = "URL" if url is None else "SECRET"
            raise SettingsError(f"VIGIL_SMS_WEBHOOK_{missing} is required: the other half of the pair is set")
        if secret is not None and len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise SettingsError(f"VIGIL_SMS_WEBHOOK_SECRET must be at least {MIN_SECRET_BYTES} bytes long")
        if url is not None and not _is_private(url):
            raise SettingsError("VIGIL_SMS_WEBHOOK_URL is wrong: it must begin with https://")
        if self.phone_login and url is None and not outbox:
            raise SettingsError(
                "VIGIL_PHONE_LOGIN=on needs VIGIL_SMS_WEBHOOK_URL: there is no other way to send SMS"
            )


class AdministrationSettings(Section):
    """Roles, the session limit, and the job dashboard (administration.md)."""

    roles: RoleNames = Field(
        ("moderator", "admin"), description="Roles that can be granted, besides `user`, which every account has."
    )
    session_limit: Annotated[int, Field(ge=0, le=1000)] = Field(
        0, description="Maximum live sessions of one account; 0 for no limit."
    )
    session_limit_policy: Literal["end_oldest", "refuse_new"] = Field(
        "end_oldest", description="At the limit: end the oldest session, or refuse the login."
    )
    jobs_dashboard_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="Port of the job queue dashboard on 127.0.0.1; 0 for none."
    )


class LimitSettings(Section):
    """Rate limits, in the notation of the `limits` library: `5/5 minutes`."""

    rate_limits: Switch = Field(True, description="Enable all rate limits.")
    limit_login: Rate = Field("5/5 minutes", description="Failed logins per address and account.")
    limit_login_ip: Rate = Field("300/5 minutes", description="Login attempts per address, over all accounts.")
    limit_password_guesses: Rate = Field("100/day", description="Wrong passwords per account, or known device.")
    limit_second_factor: Rate = Field(
        "10/5 minutes", description="Wrong second factors and changes of factors, per account."
    )
    limit_totp_guesses: Rate = Field("100/day", description="Wrong authenticator app codes per account.")
    limit_approval: Rate = Field("3/10 minutes", description="Login approval requests per account.")
    limit_approval_ip: Rate = Field(
        "30/10 minutes", description="Login approval requests per address, over all accounts."
    )
    limit_approval_denied: Rate = Field(
        "1/hour", description="Denied logins per account, after which its devices are not asked."
    )
    limit_passkey_options: Rate = Field("120/minute", description="Passkey ceremonies started per address.")
    limit_register: Rate = Field("200/hour", description="Registrations and mail requests per address.")
    limit_mail: Rate = Field("5/hour", description="Mails of one kind to one account or address.")
    limit_sms_number: Rate = Field("3/hour", description="SMS codes per number.")
    limit_sms_ip: Rate = Field("10/hour", description="SMS codes per address.")
    limit_sms_prefix: Rate = Field(
        "100/hour", description="SMS per number range: a country code and the next three digits."
    )
    limit_sms_account: Rate = Field("10/day", description="SMS codes to add a number, per account.")
    limit_sms_total: Rate = Field("1000/hour", description="SMS of the whole installation.")
    limit_sms_verify: Rate = Field("15/10 minutes", description="Codes tried per number and client.")
    limit_sms_guesses: Rate = Field("100/day", description="Wrong codes per number and client.")
    limit_provider: Rate = Field("100/5 minutes", description="Provider logins started per address.")
    limit_export: Rate = Field("5/hour", description="Data exports per account.")
    limit_refresh: Rate = Field("300/minute", description="Refreshes per address.")
    limit_api: Rate = Field("1200/minute", description="All API requests per address.")
    limit_socket_connects: Rate = Field("300/minute", description="Socket handshakes per address.")
    limit_admin: Rate = Field("120/minute", description="Requests of one administrator or moderator.")
    limit_server: Rate = Field("60000/minute", description="Requests of one server key.")
    limit_socket_events: Rate = Field("100/minute", description="Events per socket.")
    event_limits: EventRates = Field((), description="Application events with a limit of their own per socket.")


class LogSettings(Section):
    """Log level and format."""

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum level logged.")
    log_format: Literal["json", "text"] = Field(
        "json", description="One JSON object per line, or human-readable text."
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections, with every default that depends on another setting resolved."""

    server: ServerSettings
    stores: StoreSettings
    tokens: TokenSettings
    live: LiveSettings
    accounts: AccountSettings
    phone: PhoneSettings
    providers: tuple[ProviderConfig, ...]
    administration: AdministrationSettings
    limits: LimitSettings
    log: LogSettings
    facts: FactSettings
    application_url: ApplicationUrlSettings

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Read and validate all sections.

        Raises `SettingsError` naming the first invalid variable.
        """
        sections = {
            "server": read_section(ServerSettings, environ),
            "stores": read_section(StoreSettings, environ),
            "tokens": read_section(TokenSettings, environ),
            "live": read_section(LiveSettings, environ),
            "accounts": read_section(AccountSettings, environ),
            "phone": read_section(PhoneSettings, environ),
            "providers": read_providers(environ),
            "limits": read_section(LimitSettings, environ),
            "log": read_section(LogSettings, environ),
            "administration": read_section(AdministrationSettings, environ),
            "facts": read_section(FactSettings, environ),
            "application_url": read_section(ApplicationUrlSettings, environ),
        }
        settings = cls(**sections)  # type: ignore[arg-type] # one reader makes them all
        settings._check()
        return settings

    @property
    def application(self) -> str | None:
        """The Python application; None if client events go to a URL."""
        return None if self.application_url.application_url else self.server.application

    @property
    def embedded(self) -> bool:
        """Whether the server has to run its own MongoDB or Redis."""
        return self.stores.mongo_url is None or self.stores.redis_url is None

    @property
    def public_url(self) -> str:
        """The public URL, without a trailing slash."""
        return (self.server.public_url or self.listening_url).rstrip("/")

    @property
    def listening_url(self) -> str:
        """The URL of this node, with the host as configured: `localhost` may resolve to either of two
        addresses.
        """
        host = f"[{self.server.host}]" if ":" in self.server.host else self.server.host
        return f"http://{host}:{self.server.port}"

    @property
    def page_links(self) -> PageLinks:
        """Links to the web page."""
        return PageLinks(self.public_url, self.server.app_url)

    @property
    def is_public(self) -> bool:
        """Whether a public URL is set that other machines can reach. Development features are then disabled."""
        given = self.server.public_url
        return given is not None and not names_this_machine(urlsplit(given).hostname or "")

    @property
    def issuer(self) -> str:
        """`iss` of access tokens: the same on every node, whatever port it listens on."""
        return self.tokens.issuer or (self.server.public_url or "vigil").rstrip("/")

    @property
    def own_origins(self) -> frozenset[str]:
        """The origin of the public URL. On a loopback address also the `localhost` origin, which passkeys need."""
        return frozenset({origin_of(self.public_url), self.second_origin or origin_of(self.public_url)})

    @property
    def allowed_origins(self) -> frozenset[str]:
        """Origins that may use cookies and open sockets, in lower case."""
        app = () if self.server.app_url is None else (origin_of(self.server.app_url),)
        return self.own_origins.union(self.server.allowed_origins, app)

    @property
    def second_origin(self) -> str | None:
        """The `localhost` equivalent of a public URL on 127.0.0.1, on which the page is served too; else None."""
        own = origin_of(self.public_url)
        return own.replace("127.0.0.1", "localhost", 1) if urlsplit(own).hostname == "127.0.0.1" else None

    @property
    def webauthn_origins(self) -> tuple[str, ...]:
        """Origins where passkeys may be used."""
        return self.accounts.webauthn_origins or passkey_origins(
            self.webauthn_rp_id, own=self.own_origins, allowed=self.allowed_origins
        )

    @property
    def webauthn_rp_id(self) -> str:
        """The domain of passkeys (RP ID). An RP ID cannot be an IP address, so a loopback address becomes
        `localhost`.
        """
        host = urlsplit(self.public_url).hostname or ""
        return self.accounts.webauthn_rp_id or ("localhost" if is_loopback(host) else host)

    @property
    def webauthn_rp_name(self) -> str:
        """The service name that browsers show with a passkey."""
        return self.accounts.webauthn_rp_name or self.accounts.service_name

    @property
    def mail_from(self) -> str:
        """The sender of mails, in header format."""
        return self.accounts.mail_from or formataddr((self.accounts.service_name, "no-reply@localhost"))

    @property
    def dev_outbox(self) -> bool:
        """Whether mail is kept and shown at `/dev/outbox`; by default in embedded mode without a mail server.

        Never on a public server, whatever the setting says: anyone who can read the outbox can verify any
        address.
        """
        if self.is_public:
            return False
        if self.accounts.dev_outbox is not None:
            return self.accounts.dev_outbox
        return self.embedded and self.accounts.smtp_url is None

    @property
    def phone_login(self) -> bool:
        """Whether login by SMS code is enabled; by default if SMS can be delivered."""
        if self.phone.phone_login is not None:
            return self.phone.phone_login
        return self.phone.sms_webhook_url is not None or self.dev_outbox

    def _check(self) -> None:
        secret = self.tokens.secret_key
        if secret is None and not self.embedded:
            raise SettingsError("VIGIL_SECRET_KEY is required when MongoDB and Redis are given")
        if secret is not None and len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise SettingsError(f"VIGIL_SECRET_KEY must be at least {MIN_SECRET_BYTES} bytes long")
        second = self.tokens.second_secret_key
        if second is not None and len(second.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise SettingsError(f"VIGIL_SECOND_SECRET_KEY must be at least {MIN_SECRET_BYTES} bytes long")
        if second is not None and (secret is None or second == secret):
            raise SettingsError(
                "VIGIL_SECOND_SECRET_KEY is wrong: VIGIL_SECRET_KEY must be set, to another secret"
            )
        self._check_development()
        if self.server.app_url is not None and not _is_private(self.server.app_url):
            # Mailed links carry secrets to it.
            raise SettingsError("VIGIL_APP_URL is wrong: it must begin with https://")
        self._check_rp_id()
        self.phone.check(outbox=self.dev_outbox)
        given = self.server.application if "application" in self.server.model_fields_set else None
        self.application_url.check(application=given)
        for provider in self.providers:
            provider.check_transport(public_url=self.public_url)

    def _check_development(self) -> None:
        """Raise `SettingsError` if features for a local machine are enabled on a server that others reach."""
        stores = self.stores
        missing = "VIGIL_REDIS_URL" if stores.redis_url is None else "VIGIL_MONGO_URL"
        half = (stores.mongo_url is None) != (stores.redis_url is None)
        if half and self.is_public and not stores.half_embedded:
            raise SettingsError(
                f"{missing} is required: the other store has a URL and VIGIL_PUBLIC_URL is not on this machine; "
                "set VIGIL_HALF_EMBEDDED=on to run a private, empty one anyway"
            )
        # In embedded mode it is on by default.
        if self.dev_outbox and not is_loopback(self.server.host):
            raise SettingsError(
                "VIGIL_DEV_OUTBOX=on is refused: VIGIL_HOST is not a loopback address; set VIGIL_SMTP_URL"
            )

    def _check_rp_id(self) -> None:
        host = urlsplit(self.public_url).hostname or ""
        given = self.accounts.webauthn_origins
        if self.accounts.webauthn_rp_id is None and not given and is_address(host) and not is_loopback(host):
            return  # Served on an IP address and no passkeys configured: passkeys are disabled.
        pages = [origin for origin in self.webauthn_origins if is_web(origin)]
        problem = rp_id_problem(self.webauthn_rp_id, pages)
        if problem is not None:
            name = "ORIGINS" if given else "RP_ID"
            raise SettingsError(f"VIGIL_WEBAUTHN_{name} is wrong: {problem}")
