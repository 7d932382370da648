"""Settings: frozen sections read once from `VIGIL_…` environment variables and validated at start.

A wrong value stops the start: `Settings.load` raises `SettingsError`, whose text is one line that names the
variable. Each variable is documented where its field is declared; docs/settings.md is the same list for
readers.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import limits
import phonenumbers
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from auth.models import ADMIN, USER
from auth.oauth.settings import ProviderConfig, read_providers
from auth.passkey_domain import is_address, trouble_with
from auth.section import Section, WebUrl, read_section, split_web_url
from auth.section import SettingsError as SettingsError
from auth.section import is_loopback as is_loopback

MIN_SECRET_BYTES = 32
ROLE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
# Every access token carries its user's roles.
MOST_ROLES = 32


def _comma_list(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _switch(value: object) -> object:
    words = {"on": True, "off": False}
    if isinstance(value, str):
        if value.lower() not in words:
            raise ValueError("must be on or off")
        return words[value.lower()]
    return value


def _origin(value: str) -> str:
    parts = split_web_url(value)
    if parts is None or parts.path not in {"", "/"}:
        raise ValueError(f"{value!r} is not an origin such as https://example.org")
    return _origin_of(value)


def _service_url(*schemes: str) -> AfterValidator:
    """Accepts a store's URL. The value may hold a password: no message repeats it."""

    def check(value: SecretStr) -> SecretStr:
        scheme, separator, rest = value.get_secret_value().partition("://")
        if scheme not in schemes or not separator or not rest:
            raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value

    return AfterValidator(check)


def _has_good_port(value: SecretStr) -> SecretStr:
    try:
        _ = urlsplit(value.get_secret_value()).port
    except ValueError:
        raise ValueError("has a wrong port") from None
    return value


def _rate(value: str) -> str:
    try:
        (_,) = limits.parse_many(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a rate such as 5/5 minutes") from None
    return value


def _role_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if any(ROLE_NAME.fullmatch(name) is None for name in names):
        raise ValueError("a role is up to 32 small letters, digits, _ and -, and begins with a letter")
    if USER in names:
        raise ValueError(f"{USER} is not given: everybody has it")
    if ADMIN not in names:
        raise ValueError(f"{ADMIN} must be among the roles")
    if len(set(names)) != len(names) or len(names) > MOST_ROLES:
        raise ValueError(f"name each role once, and at most {MOST_ROLES}")
    return names


def _country(value: str) -> str:
    if value.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"{value!r} is not a country's code such as NL")
    return value.upper()


def _is_private(url: str) -> bool:
    """Whether nobody between can read what is posted to `url`: TLS, or this very machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Switch = Annotated[bool, BeforeValidator(_switch)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_comma_list)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_comma_list)]
Countries = Annotated[tuple[Annotated[str, AfterValidator(_country)], ...], BeforeValidator(_comma_list)]
MongoUrl = Annotated[SecretStr, _service_url("mongodb", "mongodb+srv")]
RedisUrl = Annotated[SecretStr, _service_url("redis", "rediss", "unix"), AfterValidator(_has_good_port)]
Rate = Annotated[str, AfterValidator(_rate)]
RoleNames = Annotated[tuple[str, ...], BeforeValidator(_comma_list), AfterValidator(_role_names)]
Seconds = Annotated[int, Field(ge=1, le=10 * 365 * 86400)]


class ServerSettings(Section):
    """Where the server listens and whom it trusts on the way in."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    public_url: WebUrl | None = Field(
        None, description="URL that people and mails use. Default: from host and port."
    )
    allowed_origins: Origins = Field(
        (),
        description="Origins, comma-separated, that may use cookies and sockets. Default: the public URL's.",
    )
    trusted_proxies: Networks = Field(
        (), description="Addresses or networks whose X-Forwarded-For is believed. Default: none."
    )
    application: str | None = Field(
        "client-demo/chat.py:chat",
        description="The application's socket events, `file.py:name` or `module:name`; empty for none.",
    )
    worker: Switch = Field(False, description="Set by `serve --workers` for the processes it starts.")
    demo: Switch = Field(True, description="Serve the demo page at `/`.")


class StoreSettings(Section):
    """Where data lives. Without both URLs the server runs its own private MongoDB and Valkey."""

    mongo_url: MongoUrl | None = Field(None, description="MongoDB (a replica set). Default: embedded.")
    mongo_database: str | None = Field(
        None,
        min_length=1,
        max_length=38,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="Name of the database. Default: the one in the URL, or vigil.",
    )
    mongo_driver: Literal["motor", "pymongo"] = Field("motor", description="Which driver talks to MongoDB.")
    redis_url: RedisUrl | None = Field(None, description="Redis or Valkey. Default: embedded.")
    redis_prefix: str = Field(
        "vigil", pattern=r"^[A-Za-z0-9_.-]{1,32}$", description="Prefix of every key and channel in Redis."
    )
    data_dir: Path = Field(Path(".data"), description="Where embedded services and the made secret live.")


class TokenSettings(Section):
    """Lifetimes and rules of tokens and sessions (sessions.md)."""

    secret_key: SecretStr | None = Field(
        None,
        description="Root secret, 32 bytes or more. Embedded mode makes one and keeps it in the data dir.",
    )
    issuer: str | None = Field(
        None, description="`iss` of access tokens. Default: the public URL if given, else vigil."
    )
    audience: str = Field("vigil", min_length=1, description="`aud` of access tokens.")
    access_token_seconds: Seconds = Field(900, description="Life of an access token.")
    refresh_token_seconds: Seconds = Field(604_800, description="Idle life of a session: sliding.")
    session_max_seconds: Seconds = Field(2_592_000, description="Life of a session in all.")
    reuse_leeway_seconds: Annotated[int, Field(ge=0, le=300)] = Field(
        10, description="How long two tabs racing with one refresh token are forgiven."
    )
    reuse_policy: Literal["all", "family"] = Field(
        "all", description="What a stolen refresh token ends: all sessions of the user, or its own."
    )
    audit_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        90, description="How long revoked sessions and audit events are kept."
    )


class LiveSettings(Section):
    """The live socket's timing."""

    expiry_lead_seconds: Seconds = Field(60, description="How long before expiry `token-expiring` is sent.")
    expiry_grace_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        30, description="How long a socket outlives its token to re-authenticate."
    )


class AccountSettings(Section):
    """Accounts, mail and location."""

    webauthn_rp_id: str | None = Field(
        None,
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        max_length=253,
        description="Domain that passkeys belong to. Default: the public URL's host.",
    )
    webauthn_rp_name: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00-\x1f]+$",
        description="What browsers call the service beside a passkey. Default: the service's name.",
    )
    service_name: str = Field(
        "Vigil",
        min_length=1,
        max_length=64,
        pattern=r"^[^:\x00-\x1f]+$",
        description="What authenticator apps show beside the code. No colon.",
    )
    require_verified_email: Switch = Field(True, description="Refuse a login until the address is verified.")
    smtp_url: SecretStr | None = Field(
        None, description="smtp://user:password@host:port or smtps://…. Embedded mode: the outbox."
    )
    mail_from: str = Field("Vigil <no-reply@localhost>", description="Sender of mails.")
    dev_outbox: Switch | None = Field(
        None,
        description="Keep mail and serve it at /dev/outbox. On in embedded mode without VIGIL_SMTP_URL.",
    )
    country_database: Path | None = Field(
        None, description="MaxMind-format country database. Default: the one that comes with Vigil."
    )
    city_database: Path | None = Field(
        None, description="MaxMind-format city database; gives devices a city as well. Default: none."
    )
    jobs: Switch = Field(True, description="Run background jobs in this node; off where workers run them.")


class PhoneSettings(Section):
    """Codes by SMS (phone.md)."""

    phone_login: Switch | None = Field(
        None, description="Login by a code over SMS. On where something takes them: a webhook, or the outbox."
    )
    phone_countries: Countries = Field(
        (), description="ISO 3166-1 codes, comma-separated, of countries whose numbers are taken. Default: all."
    )
    sms_webhook_url: WebUrl | None = Field(None, description="Where SMS are posted to.")
    sms_webhook_secret: SecretStr | None = Field(None, description="Signs what is posted; 32 bytes or more.")

    def check(self, *, outbox: bool) -> None:
        """Raise `SettingsError` for a webhook that is not whole or not safe, and for SMS that go nowhere."""
        url, secret = self.sms_webhook_url, self.sms_webhook_secret
        if (url is None) != (secret is None):
            missing = "URL" if url is None else "SECRET"
            raise SettingsError(f"VIGIL_SMS_WEBHOOK_{missing} is required: the other half of it is set")
        if secret is not None and len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise SettingsError(f"VIGIL_SMS_WEBHOOK_SECRET must be at least {MIN_SECRET_BYTES} bytes long")
        if url is not None and not _is_private(url):
            raise SettingsError("VIGIL_SMS_WEBHOOK_URL is wrong: it must begin with https://")
        if self.phone_login and url is None and not outbox:
            raise SettingsError("VIGIL_PHONE_LOGIN=on needs VIGIL_SMS_WEBHOOK_URL: nothing else takes SMS")


class AdministrationSettings(Section):
    """Roles, the limit on sessions, and the page of the job queue (administration.md)."""

    roles: RoleNames = Field(
        ("moderator", "admin"), description="Roles that can be given, besides `user`, which everybody has."
    )
    session_limit: Annotated[int, Field(ge=0, le=1000)] = Field(
        0, description="How many sessions of one account may live at one time; 0 for any number."
    )
    session_limit_policy: Literal["end_oldest", "refuse_new"] = Field(
        "end_oldest", description="What happens at the limit: the oldest session ends, or a login is refused."
    )
    jobs_dashboard_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="Port of the job queue's page on 127.0.0.1; 0 for none."
    )


class LimitSettings(Section):
    """Rate limits, written as `limits` does: `5/5 minutes`."""

    rate_limits: Switch = Field(True, description="All of them, on or off.")
    limit_login: Rate = Field("5/5 minutes", description="Failed logins per address and account.")
    limit_login_ip: Rate = Field("300/5 minutes", description="Login attempts per address over all accounts.")
    limit_second_factor: Rate = Field(
        "10/5 minutes", description="Second factors: wrong answers, and changes, per account."
    )
    limit_totp_guesses: Rate = Field("100/day", description="Wrong codes of an authenticator app, per account.")
    limit_approval: Rate = Field("3/10 minutes", description="Logins that devices of one account are asked about.")
    limit_approval_ip: Rate = Field("30/10 minutes", description="The same per address, over all accounts.")
    limit_approval_denied: Rate = Field(
        "1/hour", description="Logins denied per account, after which its devices are not asked any more."
    )
    limit_passkey_options: Rate = Field("120/minute", description="Passkey ceremonies begun per address.")
    limit_register: Rate = Field("200/hour", description="Registrations and mail requests per address.")
    limit_mail: Rate = Field("5/hour", description="Mails of one kind to one account or address.")
    limit_sms_number: Rate = Field("3/hour", description="Codes by SMS per number.")
    limit_sms_ip: Rate = Field("10/hour", description="Codes by SMS per address.")
    limit_sms_prefix: Rate = Field(
        "100/hour", description="SMS per range of numbers: a country's code and the next three digits."
    )
    limit_sms_account: Rate = Field("10/day", description="Codes by SMS to add a number, per account.")
    limit_sms_total: Rate = Field("1000/hour", description="SMS of this installation, over all numbers.")
    limit_sms_verify: Rate = Field("15/10 minutes", description="Codes tried per number and address.")
    limit_sms_guesses: Rate = Field("100/day", description="Wrong codes per number.")
    limit_provider: Rate = Field("100/5 minutes", description="Ways to a provider begun per address.")
    limit_export: Rate = Field("5/hour", description="Exports of all data, per account.")
    limit_refresh: Rate = Field("300/minute", description="Refreshes per address.")
    limit_api: Rate = Field("1200/minute", description="All API requests per address.")
    limit_socket_connects: Rate = Field("300/minute", description="Socket handshakes per address.")
    limit_admin: Rate = Field("120/minute", description="Acts of one administrator or moderator.")
    limit_socket_events: Rate = Field("100/minute", description="Events per socket.")


class LogSettings(Section):
    """What the log looks like."""

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    log_format: Literal["json", "text"] = Field("json", description="One JSON object a line, or for people.")


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections, resolved: every default that depends on another setting is filled in."""

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

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Read and validate every section.

        Raises `SettingsError` naming the first wrong variable.
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
        }
        settings = cls(**sections)  # type: ignore[arg-type] # one reader makes them all
        settings._check()
        return settings

    @property
    def embedded(self) -> bool:
        """Whether the server must run a MongoDB or a Redis of its own."""
        return self.stores.mongo_url is None or self.stores.redis_url is None

    @property
    def public_url(self) -> str:
        """The URL people use, without a slash at its end."""
        server = self.server
        host = f"[{server.host}]" if ":" in server.host else server.host
        return (server.public_url or f"http://{host}:{server.port}").rstrip("/")

    @property
    def issuer(self) -> str:
        """`iss` of access tokens: the same on every node, whatever port each listens on."""
        return self.tokens.issuer or (self.server.public_url or "vigil").rstrip("/")

    @property
    def allowed_origins(self) -> frozenset[str]:
        """Origins that may use cookies and open sockets, in lower case.

        On this machine alone the page has two names, and passkeys work under one of them.
        """
        own = [_origin_of(self.public_url)]
        if self._localhost is not None:
            own.append(self._localhost)
        return frozenset(self.server.allowed_origins or own)

    @property
    def second_origin(self) -> str | None:
        """The other origin that the page of this machine alone is served on, where it may be used."""
        return self._localhost if self._localhost in self.allowed_origins else None

    @property
    def _localhost(self) -> str | None:
        own = _origin_of(self.public_url)
        return own.replace("127.0.0.1", "localhost", 1) if urlsplit(own).hostname == "127.0.0.1" else None

    @property
    def webauthn_rp_id(self) -> str:
        """The domain that passkeys belong to; they know no addresses, so on this machine alone it is localhost."""
        host = urlsplit(self.public_url).hostname or ""
        return self.accounts.webauthn_rp_id or ("localhost" if is_loopback(host) else host)

    @property
    def webauthn_rp_name(self) -> str:
        """What browsers call the service beside a passkey."""
        return self.accounts.webauthn_rp_name or self.accounts.service_name

    @property
    def dev_outbox(self) -> bool:
        """Whether mail is kept and served on `/dev/outbox`: by default, where nothing else takes it."""
        if self.accounts.dev_outbox is not None:
            return self.accounts.dev_outbox
        return self.embedded and self.accounts.smtp_url is None

    @property
    def phone_login(self) -> bool:
        """Whether people can log in by a code over SMS: by default, where something takes them."""
        if self.phone.phone_login is not None:
            return self.phone.phone_login
        return self.phone.sms_webhook_url is not None or self.dev_outbox

    def _check(self) -> None:
        secret = self.tokens.secret_key
        if secret is None and not self.embedded:
            raise SettingsError("VIGIL_SECRET_KEY is required when MongoDB and Redis are given")
        if secret is not None and len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise SettingsError(f"VIGIL_SECRET_KEY must be at least {MIN_SECRET_BYTES} bytes long")
        if self.dev_outbox and not is_loopback(self.server.host):
            # Whoever reads the outbox verifies any address. In embedded mode it is on without being asked for.
            raise SettingsError(
                "VIGIL_DEV_OUTBOX=on is refused: VIGIL_HOST is not a loopback address; give VIGIL_SMTP_URL"
            )
        self._check_rp_id()
        self.phone.check(outbox=self.dev_outbox)
        for provider in self.providers:
            provider.check_transport(public_url=self.public_url)

    def _check_rp_id(self) -> None:
        host = urlsplit(self.public_url).hostname or ""
        if self.accounts.webauthn_rp_id is None and is_address(host) and not is_loopback(host):
            return  # Reached by an address alone: there are no passkeys, and none were asked for.
        trouble = trouble_with(self.webauthn_rp_id, (self.public_url, *sorted(self.allowed_origins)))
        if trouble is not None:
            raise SettingsError(f"VIGIL_WEBAUTHN_RP_ID is wrong: {trouble}")


def _origin_of(url: str) -> str:
    """The origin as browsers write it: in lower case, without the scheme's own port (RFC 6454, section 6.2)."""
    parts = urlsplit(url)
    own_port = {"http": ":80", "https": ":443"}[parts.scheme]
    return f"{parts.scheme}://{parts.netloc.removesuffix(own_port)}".lower()
