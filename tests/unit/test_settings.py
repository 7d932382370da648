"""Settings: read once, validated, and the same in the code and in docs/settings.md."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.nodes import ROOT

from auth.platform.settings.application_url import ApplicationUrlSettings
from auth.platform.settings.facts import FactSettings
from auth.platform.settings.providers import ProviderSettings
from auth.platform.settings.section import Section
from auth.platform.settings.settings import (
    AccountSettings,
    AdministrationSettings,
    LimitSettings,
    LiveSettings,
    LogSettings,
    PhoneSettings,
    ServerSettings,
    Settings,
    SettingsError,
    StoreSettings,
    TokenSettings,
)

SECRET = "0123456789abcdef" * 2
GIVEN = {"VIGIL_MONGO_URL": "mongodb://db", "VIGIL_REDIS_URL": "redis://cache", "VIGIL_SECRET_KEY": SECRET}
WEBHOOK = {"VIGIL_SMS_WEBHOOK_URL": "https://sms.example.org/send", "VIGIL_SMS_WEBHOOK_SECRET": SECRET}
SECTIONS = (
    ServerSettings, StoreSettings, TokenSettings, LiveSettings, FactSettings, AccountSettings, ProviderSettings,
    AdministrationSettings, PhoneSettings, LimitSettings, LogSettings, ApplicationUrlSettings,
)  # fmt: skip
FIELDS = {f"VIGIL_{name.upper()}": field for section in SECTIONS for name, field in section.model_fields.items()}


def load(environ: Mapping[str, str] | None = None, **more: str) -> Settings:
    return Settings.load({**(environ or {}), **{f"VIGIL_{name}": value for name, value in more.items()}})


def wrong(environ: Mapping[str, str] | None = None, **more: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load(environ, **more)
    return str(refused.value)


# What they come to ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "origins"),
    [
        ("http://127.0.0.1:9000", {"http://127.0.0.1:9000", "http://localhost:9000"}),
        ("http://127.0.0.1.evil.example", {"http://127.0.0.1.evil.example"}),
        ("https://chat.example.org", {"https://chat.example.org"}),
    ],
)
def test_only_this_machine_itself_has_two_names(url: str, origins: set[str]) -> None:
    settings = load(PUBLIC_URL=url)
    assert settings.allowed_origins == origins
    assert {settings.second_origin} - {None} == {origin for origin in origins if "localhost" in origin}


def test_without_any_everything_is_embedded_and_local() -> None:
    settings = load()
    assert settings.embedded
    assert settings.dev_outbox
    assert settings.public_url == "http://127.0.0.1:8000"
    assert settings.allowed_origins == {"http://127.0.0.1:8000", "http://localhost:8000"}
    assert settings.webauthn_rp_id == "localhost"
    assert settings.issuer == "vigil"
    assert (settings.tokens.access_token_seconds, settings.tokens.refresh_token_seconds) == (900, 604_800)
    assert settings.tokens.session_max_seconds == 2_592_000
    assert (settings.live.expiry_lead_seconds, settings.live.expiry_grace_seconds) == (60, 30)
    assert (settings.tokens.reuse_leeway_seconds, settings.tokens.reuse_policy) == (10, "all")
    assert settings.limits.rate_limits
    assert settings.accounts.require_verified_email


def test_with_both_stores_given_nothing_is_for_development() -> None:
    settings = load(GIVEN)
    assert not settings.embedded
    assert not settings.dev_outbox


@pytest.mark.parametrize("one", ["VIGIL_MONGO_URL", "VIGIL_REDIS_URL"])
def test_with_one_of_them_the_other_is_embedded(one: str) -> None:
    assert load({one: GIVEN[one]}).embedded


@pytest.mark.parametrize(("one", "forgotten"), [("MONGO_URL", "REDIS_URL"), ("REDIS_URL", "MONGO_URL")])
@pytest.mark.parametrize("url", ["https://id.example.org", "http://192.0.2.1", "http://localhost.example.org"])
def test_a_public_server_whose_other_store_was_forgotten_does_not_start(
    one: str, forgotten: str, url: str
) -> None:
    given = {f"VIGIL_{one}": GIVEN[f"VIGIL_{one}"], "VIGIL_PUBLIC_URL": url, "VIGIL_WEBAUTHN_RP_ID": ""}
    assert wrong(given).startswith(f"VIGIL_{forgotten} is required: ")
    assert load(given, HALF_EMBEDDED="on").embedded
    assert load(given | {"VIGIL_PUBLIC_URL": "http://127.0.0.1:8000"}).embedded


def test_the_page_of_an_application_is_an_allowed_origin_and_takes_no_secret_in_the_clear() -> None:
    public = {"VIGIL_PUBLIC_URL": "https://example.org"}
    settings = load(public, APP_URL="https://App.example.org/account")
    assert settings.allowed_origins == {"https://example.org", "https://app.example.org"}
    assert load(APP_URL="http://localhost:5173", WEBAUTHN_RP_ID="localhost").server.app_url
    assert wrong(public, APP_URL="http://app.example.org").startswith("VIGIL_APP_URL is wrong: ")


@pytest.mark.parametrize("name", ["APP_URL", "PUBLIC_URL", "SMS_WEBHOOK_URL"])
@pytest.mark.parametrize("end", ["?a=b", "?", "#/account", "#"])
def test_a_url_with_a_query_or_a_fragment_is_refused_by_its_name(name: str, end: str) -> None:
    said = wrong(None, **{name: f"https://app.example.org/{end}"})
    assert said == f"VIGIL_{name} is wrong: must be a URL without a query or fragment, such as https://example.org"


@pytest.mark.parametrize(
    ("more", "sender"),
    [
        ({}, "Vigil <no-reply@localhost>"),
        ({"VIGIL_SERVICE_NAME": "Tea, Biscuits"}, '"Tea, Biscuits" <no-reply@localhost>'),
        ({"VIGIL_MAIL_FROM": "Chat <a@example.org>"}, "Chat <a@example.org>"),
    ],
)
def test_mails_are_sent_by_the_service_unless_told_otherwise(more: dict[str, str], sender: str) -> None:
    assert load(more).mail_from == sender


def test_a_public_server_has_no_outbox() -> None:
    public = {"VIGIL_PUBLIC_URL": "https://id.example.org"}
    assert not load(public).dev_outbox
    assert not load(public, DEV_OUTBOX="on").dev_outbox
    for url in ("http://localhost:3000", "http://127.0.0.1", "http://[::1]:8000", "http://auth.app.localhost"):
        assert load(PUBLIC_URL=url, DEV_OUTBOX="on").dev_outbox


def test_the_public_url_decides_origin_and_issuer() -> None:
    settings = load(PUBLIC_URL="https://Id.Example.org/")
    assert settings.public_url == settings.issuer == "https://Id.Example.org"
    assert settings.allowed_origins == {"https://id.example.org"}
    page = "https://a.id.example.org"
    other = load(PUBLIC_URL="https://id.example.org", ISSUER="https://issuer", ALLOWED_ORIGINS=page)
    assert (other.issuer, other.allowed_origins) == ("https://issuer", {"https://id.example.org", page})


@pytest.mark.parametrize(
    ("written", "origins"),
    [
        ("https://a.example", set()),
        (" https://A.example/ , http://b.a.example:8080,", {"http://b.a.example:8080"}),
        ("https://a.example:443,http://b.a.example:80", {"http://b.a.example"}),
        ("http://[::1]:8000", {"http://[::1]:8000"}),
        ("https://Bücher.example:8443/", {"https://xn--bcher-kva.example:8443"}),
        ("https://localhost", {"https://localhost"}),
        ("capacitor://localhost,ionic://localhost/", {"capacitor://localhost", "ionic://localhost"}),
        ("tauri://localhost", {"tauri://localhost"}),
        (f"chrome-extension://{'abcdefghijklmnop' * 2}", {f"chrome-extension://{'abcdefghijklmnop' * 2}"}),
        (
            "moz-extension://0B1F5A5e-9c1a-4b8e-8f1d-000000000000",
            {"moz-extension://0b1f5a5e-9c1a-4b8e-8f1d-000000000000"},
        ),
        ("my-app+test.1://a_host:8080", {"my-app+test.1://a_host:8080"}),
    ],
)
def test_origins_are_those_that_browsers_send_and_our_own(written: str, origins: set[str]) -> None:
    settings = load(PUBLIC_URL="https://a.example", ALLOWED_ORIGINS=written)
    assert settings.allowed_origins == origins | {"https://a.example"}


@pytest.mark.parametrize(
    "written",
    [
        "null", "*", "localhost", "https://", "https://a/b", "https://a?b", "https://u@a", "https://*.a.example",
        "file://", "file://localhost", "data:text/html,x", "blob://x", "javascript://x", "capacitor://",
        "capacitor:localhost", "capacitor://localhost/index.html", "capacitor://u@localhost", "1app://localhost",
        "capacitor://local host", "capacitor://localhost:port", "https://-ü.example",
        "android:apk-key-hash:" + "x" * 43,
    ],
)  # fmt: skip
def test_what_no_browser_sends_as_one_pages_origin_stops_the_start(written: str) -> None:
    assert wrong(ALLOWED_ORIGINS=written).startswith("VIGIL_ALLOWED_ORIGINS is wrong: ")


def test_an_internationalised_domain_is_used_in_the_form_that_browsers_send() -> None:
    settings = load(PUBLIC_URL="https://straße.example", APP_URL="https://bücher.example:8443/konto")
    assert settings.public_url == settings.issuer == "https://xn--strae-oqa.example"
    assert settings.server.app_url == "https://xn--bcher-kva.example:8443/konto"
    assert settings.allowed_origins == {"https://xn--strae-oqa.example", "https://xn--bcher-kva.example:8443"}


def test_an_ipv6_host_is_a_url_in_brackets() -> None:
    assert load(HOST="::1", PORT="80").public_url == "http://[::1]:80"


def test_an_empty_variable_is_not_set_but_for_the_application() -> None:
    settings = load(PORT="", SMTP_URL="", ALLOWED_ORIGINS="", APPLICATION="", SECRET_KEY="", JOBS="")
    assert settings == load(APPLICATION="")
    assert settings.server.application is None
    assert load().server.application == "client-demo/chat.py:chat"


APPLICATION_URL = {
    "VIGIL_APPLICATION_URL": "https://app.example.org/vigil",
    "VIGIL_APPLICATION_URL_SECRET": "whsec_" + "c2VjcmV0cyBvZiB0aGUgdGVzdHMtb25seSE=",
}


@pytest.mark.parametrize("end", ["\n", "\r\n", " "])
def test_blanks_around_a_value_are_ignored(end: str) -> None:
    """Files of secrets end with a line break, of which a provider makes `invalid_client`."""
    provider = {f"OIDC_STAFF_{name}": f"{end}{value}{end}" for name, value in (
        ("ISSUER", "https://idp.example"), ("CLIENT_ID", "chat"), ("CLIENT_SECRET", "client secret"),
    )}  # fmt: skip
    public = f"https://auth.example.org{end}"
    stores = {"MONGO_URL": f"mongodb://db/?replicaSet=rs{end}", "REDIS_URL": f"redis://cache{end}"}
    settings = load({**GIVEN, **WEBHOOK}, PUBLIC_URL=public, **provider, **stores)
    (staff,) = settings.providers
    assert (staff.issuer, staff.client_id) == ("https://idp.example", "chat")
    assert staff.client_secret.get_secret_value() == "client secret"
    assert settings.public_url == "https://auth.example.org"
    assert settings.stores.mongo_url is not None
    assert settings.stores.mongo_url.get_secret_value() == "mongodb://db/?replicaSet=rs"
    assert load(APPLICATION=end).application is None


def test_blanks_around_a_key_belong_to_it() -> None:
    settings = load({**GIVEN, **WEBHOOK, "VIGIL_SECRET_KEY": f"{SECRET}\n"}, SMS_WEBHOOK_SECRET=f"{SECRET}\n")
    for key in (settings.tokens.secret_key, settings.phone.sms_webhook_secret):
        assert key is not None
        assert key.get_secret_value() == f"{SECRET}\n"


def test_client_events_go_to_a_url_or_to_a_python_application_and_not_to_both() -> None:
    assert load().application == "client-demo/chat.py:chat"
    assert load(APPLICATION_URL).application is None
    assert load(APPLICATION_URL, APPLICATION="").application is None
    line = wrong(APPLICATION_URL, APPLICATION="my_chat.py:chat")
    assert line == "VIGIL_APPLICATION_URL and VIGIL_APPLICATION are both set: client events go to one of them"


def test_an_applications_url_needs_a_secret_and_can_have_two() -> None:
    assert wrong(APPLICATION_URL="https://app.example.org").startswith("VIGIL_APPLICATION_URL_SECRET is required")
    assert load(APPLICATION_URL, APPLICATION_URL_SECRET="one, two").application_url.secrets == ("one", "two")


@pytest.mark.parametrize(
    "url",
    [
        "http://app.example.org", "https://localhost:3000", "https://127.0.0.1", "https://[::1]/vigil",
        "https://10.1.2.3", "https://169.254.169.254", "https://[::ffff:10.0.0.1]", "https://a.localhost", "https://127.1",
        "https://\uff11\uff12\uff17.0.0.\uff11",
        "https://user@app.example.org", "https://app.example.org/?to=x", "ftp://app.example.org",
    ],
)  # fmt: skip
def test_an_applications_url_is_https_and_public(url: str) -> None:
    assert wrong(APPLICATION_URL, APPLICATION_URL=url).startswith("VIGIL_APPLICATION_URL is wrong: ")


@pytest.mark.parametrize("url", ["http://app:3000/vigil", "http://127.0.0.1:3000", "https://10.1.2.3"])
def test_an_applications_url_can_be_private_if_that_is_allowed(url: str) -> None:
    settings = load(APPLICATION_URL, APPLICATION_URL=url, APPLICATION_URL_PRIVATE="on")
    assert settings.application_url.application_url == url


@pytest.mark.parametrize(("written", "on"), [("on", True), ("ON", True), ("off", False), ("Off", False)])
def test_switches_are_on_or_off(written: str, on: bool) -> None:
    assert load(RATE_LIMITS=written).limits.rate_limits is on


def test_other_programs_variables_are_not_read() -> None:
    assert load({"PORT": "1", "vigil_port": "2", "VIGIL_UNKNOWN": "3"}) == load()


def test_sections_are_frozen() -> None:
    settings = load()
    with pytest.raises(ValidationError):
        settings.server.port = 1
    with pytest.raises(AttributeError):
        settings.server = settings.server


def test_secrets_do_not_show() -> None:
    settings = load(
        SECRET_KEY=SECRET,
        MONGO_URL="mongodb://u:sesame@db",
        REDIS_URL="redis://:sesame@cache",
        SMTP_URL="smtp://u:sesame@mail",
    )
    shown = repr(settings) + str(settings)
    assert SECRET not in shown
    assert "sesame" not in shown


# What passkeys belong to ----------------------------------------------------------------------------------


def test_passkeys_belong_to_the_public_urls_host_unless_a_parent_is_named() -> None:
    here = load(PUBLIC_URL="https://Id.example.org")
    assert here.webauthn_rp_id == "id.example.org"
    pages = "https://chat.example.org,https://example.org:8443"
    parent = load(PUBLIC_URL="https://id.example.org", WEBAUTHN_RP_ID="example.org", ALLOWED_ORIGINS=pages)
    assert parent.webauthn_rp_id == "example.org"
    assert load(PUBLIC_URL="https://intranet", WEBAUTHN_RP_ID="intranet").webauthn_rp_id == "intranet"


@pytest.mark.parametrize(
    ("rp_id", "url", "origins"),
    [
        ("example.org", "https://id.example.com", ""),
        ("example.org", "https://badexample.org", ""),
        ("id.example.org", "https://example.org", ""),
        ("org", "https://example.org", ""),
        ("192.0.2.1", "https://192.0.2.1", ""),
        ("example.org", "https://192.0.2.1", ""),
        ("localhost", "https://example.org", ""),
        ("", "https://id.example.org", "https://chat.example.org"),
        ("", "https://id.example.org", "https://example.org"),
        ("example.org", "https://id.example.org", "https://id.example.org,https://evil.example"),
        ("example.org", "https://id.example.com", "https://badexample.org"),
        ("", "http://127.0.0.1:8000", "https://chat.example.org"),
        ("", "http://127.0.0.1:8000", "http://192.0.2.1:8000"),
        ("", "http://192.0.2.1:8000", "https://example.org"),
    ],
)
def test_a_page_on_which_no_passkey_would_work_stops_the_start(rp_id: str, url: str, origins: str) -> None:
    message = wrong(PUBLIC_URL=url, WEBAUTHN_RP_ID=rp_id, WEBAUTHN_ORIGINS=origins)
    assert message.startswith(f"VIGIL_WEBAUTHN_{'ORIGINS' if origins else 'RP_ID'} is wrong: ")
    assert "\n" not in message


APK = "android:apk-key-hash:" + "aB-_" * 10 + "aB0"


@pytest.mark.parametrize(
    ("rp_id", "allowed", "given", "origins"),
    [
        ("", "", "", {"https://id.example.org"}),
        ("", "https://chat.example.org,https://a.id.example.org", "", {
            "https://id.example.org", "https://a.id.example.org"}),
        ("example.org", "https://chat.example.org,https://chat.site", "", {
            "https://id.example.org", "https://chat.example.org"}),
        ("", "capacitor://localhost,https://localhost,tauri://localhost", "", {"https://id.example.org"}),
        ("", "", f"https://id.example.org,{APK},{APK[:-1]}x=", {"https://id.example.org", APK, APK[:-1] + "x"}),
        ("app.site", "https://app.site", "https://app.site", {"https://app.site"}),
    ],
)  # fmt: skip
def test_passkeys_have_a_list_of_origins_of_their_own(
    rp_id: str, allowed: str, given: str, origins: set[str]
) -> None:
    settings = load(
        PUBLIC_URL="https://id.example.org", WEBAUTHN_RP_ID=rp_id, ALLOWED_ORIGINS=allowed, WEBAUTHN_ORIGINS=given
    )
    assert set(settings.webauthn_origins) == origins


@pytest.mark.parametrize("origin", ["capacitor://localhost", "null", "android:apk-key-hash:short"])
def test_what_can_have_no_passkeys_stops_the_start(origin: str) -> None:
    assert wrong(WEBAUTHN_ORIGINS=origin).startswith("VIGIL_WEBAUTHN_ORIGINS is wrong: ")


def test_a_server_that_is_reached_by_an_address_starts_without_passkeys() -> None:
    assert load(GIVEN, HOST="0.0.0.0", ALLOWED_ORIGINS="https://chat.example.org")
    assert load(PUBLIC_URL="http://192.0.2.1:8000")


def test_browsers_call_the_service_by_its_name_or_by_one_for_passkeys() -> None:
    assert load().webauthn_rp_name == "Vigil"
    assert load(SERVICE_NAME="Example Chat").webauthn_rp_name == "Example Chat"
    assert load(SERVICE_NAME="Chat", WEBAUTHN_RP_NAME="Example: Chat").webauthn_rp_name == "Example: Chat"
    assert wrong(WEBAUTHN_RP_NAME="a\tb").startswith("VIGIL_WEBAUTHN_RP_NAME ")


# What stops the start --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"), ("PORT", "65536"), ("PORT", "-1"), ("PORT", "80 80"),
        ("PUBLIC_URL", "example.org"), ("PUBLIC_URL", "ftp://example.org"), ("PUBLIC_URL", "https:example.org"),
        ("PUBLIC_URL", "http://"), ("PUBLIC_URL", "http://[x"), ("PUBLIC_URL", "http://h:port"),
        ("PUBLIC_URL", "http://h:99999"), ("PUBLIC_URL", "https://u:p@h"), ("PUBLIC_URL", "https://h/?q"),
        ("PUBLIC_URL", "https://h/#f"), ("PUBLIC_URL", "https://a b"), ("PUBLIC_URL", "https://h/auth"),
        ("ALLOWED_ORIGINS", "*"), ("ALLOWED_ORIGINS", "null"), ("ALLOWED_ORIGINS", "https://a.example/path"),
        ("ALLOWED_ORIGINS", "https://a.example https://b.example"), ("ALLOWED_ORIGINS", "https://[x"),
        ("ALLOWED_ORIGINS", "https://a.example,b.example"), ("ALLOWED_ORIGINS", "https://a.example?q"),
        ("TRUSTED_PROXIES", "proxy"), ("TRUSTED_PROXIES", "10.0.0.1/8"), ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("WORKER", "yes"), ("DEMO", "1"), ("DEMO", "true"),
        ("MONGO_URL", "db"), ("MONGO_URL", "http://db"), ("MONGO_URL", "mongodb://"),
        ("MONGO_DATABASE", "a b"), ("MONGO_DATABASE", "a.b"), ("MONGO_DATABASE", "a/b"), ("MONGO_DATABASE", "$a"),
        ("MONGO_DATABASE", "x" * 39), ("MONGO_DRIVER", "mongoengine"),
        ("REDIS_URL", "cache:6379"), ("REDIS_URL", "mongodb://db"), ("REDIS_URL", "redis://"),
        ("REDIS_URL", "redis://h:x"), ("REDIS_PREFIX", "a:b"), ("REDIS_PREFIX", "*"), ("REDIS_PREFIX", "x" * 40),
        ("SECRET_KEY", "too short"), ("SECRET_KEY", "x" * 31),
        ("ACCESS_TOKEN_SECONDS", "0"), ("ACCESS_TOKEN_SECONDS", "-5"), ("ACCESS_TOKEN_SECONDS", "15m"),
        ("ACCESS_TOKEN_SECONDS", "1.5"), ("ACCESS_TOKEN_SECONDS", "inf"), ("ACCESS_TOKEN_SECONDS", "nan"),
        ("REFRESH_TOKEN_SECONDS", "0"), ("SESSION_MAX_SECONDS", "9" * 12), ("REUSE_LEEWAY_SECONDS", "301"),
        ("REUSE_LEEWAY_SECONDS", "-1"), ("REUSE_POLICY", "none"), ("AUDIT_DAYS", "0"),
        ("EXPIRY_LEAD_SECONDS", "0"), ("EXPIRY_GRACE_SECONDS", "3601"), ("EXPIRY_GRACE_SECONDS", "-1"),
        ("REQUIRE_VERIFIED_EMAIL", "maybe"), ("JOBS", "no"), ("DEV_OUTBOX", "yes"),
        ("RATE_LIMITS", "0"), ("LIMIT_LOGIN", "five"), ("LIMIT_LOGIN", "5"), ("LIMIT_API", "5/fortnight"),
        ("LIMIT_SOCKET_EVENTS", "/minute"), ("LOG_LEVEL", "loud"), ("LOG_FORMAT", "xml"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line_that_names_the_variable(name: str, value: str) -> None:
    message = wrong({f"VIGIL_{name}": value})
    assert message.startswith(f"VIGIL_{name} ")
    assert "\n" not in message
    assert len(message) < 200


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (SECRET, "short", "must be at least 32 bytes long"),
        (SECRET, SECRET, "VIGIL_SECRET_KEY must be set, to another secret"),
        ("", SECRET, "VIGIL_SECRET_KEY must be set, to another secret"),
    ],
)
def test_a_second_secret_stands_beside_a_first_one(first: str, second: str, said: str) -> None:
    assert said in wrong(SECRET_KEY=first, SECOND_SECRET_KEY=second)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("readPreference=secondaryPreferred", "readPreference must be primary: a secondary may not know yet"),
        ("READPREFERENCE=nearest", "readPreference must be primary"),
        ("w=1", "w must be majority: a write that a majority does not have is lost"),
        ("w=0", "w must be majority"),
        ("journal=false", "journal must be true"),
        ("readConcernLevel=available", "readConcernLevel must be local or majority"),
        ("tls=true&tlsInsecure=true", "tlsInsecure must be false: anybody on the way"),
        ("tls=true&tlsAllowInvalidCertificates=true", "tlsAllowInvalidCertificates must be false"),
        ("tls=true&tlsAllowInvalidHostnames=true", "tlsAllowInvalidHostnames must be false"),
    ],
)
@pytest.mark.parametrize("scheme", ["mongodb", "mongodb+srv"])
def test_a_mongodb_url_that_would_break_a_promise_is_refused_with_the_reason(
    scheme: str, option: str, said: str
) -> None:
    refusal = wrong(GIVEN, MONGO_URL=f"{scheme}://ada:sesame@db.example.org/vigil?replicaSet=rs0&{option}")
    assert refusal.startswith(f"VIGIL_MONGO_URL is wrong: {said}")
    assert "sesame" not in refusal
    assert "\n" not in refusal


@pytest.mark.parametrize(
    "url",
    [
        "mongodb+srv://ada:sesame@cluster.example.org/vigil?retryWrites=true&w=majority",
        "mongodb://db1,db2,db3/vigil?replicaSet=rs0&tls=true&tlsCAFile=/etc/ca.pem&readPreference=primary&journal=true",
        "mongodb://db1/vigil?readConcernLevel=majority&timeoutMS=2000&maxPoolSize=10",
    ],
)
def test_a_mongodb_url_that_breaks_no_promise_is_accepted(url: str) -> None:
    given = load(GIVEN, MONGO_URL=url).stores.mongo_url
    assert given is not None
    assert given.get_secret_value() == url


@pytest.mark.parametrize("name", ["SECRET_KEY", "MONGO_URL", "REDIS_URL"])
def test_a_wrong_secret_is_not_repeated(name: str) -> None:
    assert "sesame" not in wrong({f"VIGIL_{name}": "sesame:sesame@h"})


def test_with_both_stores_given_the_secret_is_required() -> None:
    assert wrong({name: value for name, value in GIVEN.items() if "SECRET" not in name}).startswith(
        "VIGIL_SECRET_KEY "
    )


def test_a_secret_counts_bytes_and_not_letters() -> None:
    assert load(SECRET_KEY="é" * 16).tokens.secret_key is not None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_the_outbox_is_refused_where_others_could_read_it(host: str) -> None:
    assert wrong(GIVEN, DEV_OUTBOX="on", HOST=host).startswith("VIGIL_DEV_OUTBOX=on ")
    assert load(GIVEN, DEV_OUTBOX="on", HOST="127.0.0.1").dev_outbox
    assert not load(GIVEN, HOST=host).dev_outbox


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_the_outbox_of_embedded_mode_is_refused_there_too(host: str) -> None:
    assert wrong(HOST=host).startswith("VIGIL_DEV_OUTBOX=on ")
    assert not load(HOST=host, DEV_OUTBOX="off").dev_outbox


def test_with_a_mail_server_embedded_mode_sends_its_mail() -> None:
    assert not load(SMTP_URL="smtp://mail.example.org:587").dev_outbox
    assert load(SMTP_URL="smtp://mail.example.org:587", DEV_OUTBOX="on").dev_outbox


# What the page says ----------------------------------------------------------------------------------------

ROW = re.compile(r"^\| `(VIGIL_[A-Z_]+)` \| ([^|]*) \| ([^|]*) \| ([^|]*) ?\|$", re.MULTILINE)
PAGE = (Path(ROOT) / "docs/settings.md").read_text()
ROWS = {
    name: (default.strip(), meaning.strip(), example.strip())
    for name, default, meaning, example in ROW.findall(PAGE)
}


def shown(value: Any) -> str:
    """A default as the page writes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def test_the_page_has_every_setting_once_and_no_other() -> None:
    names = [name for name, *_ in ROW.findall(PAGE)]
    assert sorted(names) == sorted(FIELDS)
    mentioned = set(re.findall(r"VIGIL_[A-Z_]+", PAGE))
    # Of an OpenID provider, the operator chooses the middle of the names.
    assert mentioned - {"VIGIL_OIDC_"} <= FIELDS.keys()


@pytest.mark.parametrize("name", FIELDS)
def test_the_page_tells_the_default(name: str) -> None:
    default, meaning, _ = ROWS[name]
    field = FIELDS[name]
    if field.default in (None, ()):
        assert not default.startswith("`"), "it depends on something: said in words"
    else:
        assert default == f"`{shown(field.default)}`"
    assert len(meaning) > 15
    assert field.description


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in {"VIGIL_WORKER", "VIGIL_SECRET_KEY"}])
def test_the_example_is_one_that_works(name: str) -> None:
    example = ROWS[name][2]
    assert example.startswith("`")
    value = example.strip("`")
    assert value != shown(FIELDS[name].default) or name == "VIGIL_MONGO_DATABASE"
    # An address that others reach asks for a way to send mail: the outbox is for this machine only.
    beside = {"VIGIL_SMTP_URL": "smtp://mail.example.org:587"} if name == "VIGIL_HOST" else {}
    if name.endswith(("_CLIENT_ID", "_CLIENT_SECRET")):
        beside = {f"{name.partition('_CLIENT')[0]}_CLIENT_{half}": "other-half" for half in ("ID", "SECRET")}
    if name.startswith("VIGIL_SMS_WEBHOOK"):
        beside = WEBHOOK
    if name.startswith("VIGIL_APPLICATION_URL"):
        beside = APPLICATION_URL
    if name in {"VIGIL_APP_URL", "VIGIL_ALLOWED_ORIGINS", "VIGIL_WEBAUTHN_RP_ID"}:
        beside = {"VIGIL_PUBLIC_URL": "https://id.example.org", "VIGIL_WEBAUTHN_RP_ID": "example.org"}
    load({**beside, name: value}, SECRET_KEY=SECRET)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_settings_of_one_section_stand_together_in_the_code_s_order(section: type[Section]) -> None:
    parts = PAGE.split("\n## ")
    names = [f"VIGIL_{name.upper()}" for name in section.model_fields]
    (part,) = [part for part in parts if f"| `{names[0]}` | " in part and ROW.search(part)]
    assert sorted(name for name, *_ in ROW.findall(part)) == sorted(names)


@pytest.mark.parametrize(
    ("more", "on"),
    [
        ({}, False),
        (WEBHOOK, True),
        ({"VIGIL_DEV_OUTBOX": "on"}, True),
        (WEBHOOK | {"VIGIL_PHONE_LOGIN": "off"}, False),
    ],
)
def test_phones_log_in_where_something_takes_the_codes(more: dict[str, str], on: bool) -> None:
    assert Settings.load(GIVEN | more).phone_login is on


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"VIGIL_PHONE_LOGIN": "on"}, "VIGIL_SMS_WEBHOOK_URL"),
        (WEBHOOK | {"VIGIL_SMS_WEBHOOK_SECRET": ""}, "VIGIL_SMS_WEBHOOK_SECRET is required"),
        (WEBHOOK | {"VIGIL_SMS_WEBHOOK_URL": ""}, "VIGIL_SMS_WEBHOOK_URL is required"),
        (WEBHOOK | {"VIGIL_SMS_WEBHOOK_SECRET": "x" * 31}, "at least 32 bytes"),
        (WEBHOOK | {"VIGIL_SMS_WEBHOOK_URL": "http://sms.example.org/"}, "https://"),
        ({"VIGIL_PHONE_COUNTRIES": "NL,XX"}, "VIGIL_PHONE_COUNTRIES"),
    ],
)
def test_codes_that_would_go_nowhere_or_be_read_on_the_way_stop_the_start(
    more: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError, match=named):
        Settings.load(GIVEN | more)
