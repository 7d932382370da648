"""Which providers the settings name, and what stops the start."""

import pytest

from auth.platform.settings.providers import ProviderConfig
from auth.platform.settings.settings import Settings, SettingsError

SECRET = "sesame-sesame-sesame"
GOOGLE = {"VIGIL_GOOGLE_CLIENT_ID": "g", "VIGIL_GOOGLE_CLIENT_SECRET": SECRET}
GITHUB = {"VIGIL_GITHUB_CLIENT_ID": "h", "VIGIL_GITHUB_CLIENT_SECRET": SECRET}
STAFF = {
    "VIGIL_OIDC_STAFF_ISSUER": "https://login.example.org/realms/staff",
    "VIGIL_OIDC_STAFF_CLIENT_ID": "vigil",
    "VIGIL_OIDC_STAFF_CLIENT_SECRET": SECRET,
}


def providers(*parts: dict[str, str], **more: str) -> dict[str, ProviderConfig]:
    environ = {name: value for part in (*parts, more) for name, value in part.items()}
    return {each.provider_id: each for each in Settings.load(environ).providers}


def wrong(*parts: dict[str, str], **more: str) -> str:
    with pytest.raises(SettingsError) as refused:
        providers(*parts, **more)
    message = str(refused.value)
    assert "\n" not in message
    assert "sesame" not in message
    return message


def test_without_settings_there_are_none() -> None:
    assert providers() == {}
    assert providers(VIGIL_GOOGLE_CLIENT_ID="", VIGIL_OIDC_STAFF_ISSUER="") == {}


def test_google_is_an_openid_provider_whose_issuer_is_known() -> None:
    google = providers(GOOGLE)["google"]
    assert (google.kind, google.name, google.issuer) == ("openid", "Google", "https://accounts.google.com")


def test_github_can_be_a_company_s_own() -> None:
    github = providers(GITHUB)["github"]
    assert (github.kind, github.issuer, github.api_url) == (
        "github",
        "https://github.com",
        "https://api.github.com",
    )
    own = providers(
        GITHUB,
        VIGIL_GITHUB_URL="https://github.example.org/",
        VIGIL_GITHUB_API_URL="https://github.example.org/api/v3/",
    )["github"]
    assert (own.issuer, own.api_url) == ("https://github.example.org", "https://github.example.org/api/v3")


def test_an_openid_provider_has_an_id_of_the_operator_s_choice() -> None:
    found = providers(STAFF, GOOGLE, GITHUB)
    assert list(found) == ["google", "github", "staff"]
    assert (found["staff"].name, found["staff"].issuer) == ("Staff", STAFF["VIGIL_OIDC_STAFF_ISSUER"])
    assert providers(STAFF, VIGIL_OIDC_STAFF_NAME="Staff login")["staff"].name == "Staff login"


def test_an_issuer_is_kept_to_the_letter() -> None:
    assert (
        providers(STAFF, VIGIL_OIDC_STAFF_ISSUER="https://X.auth0.com/")["staff"].issuer == "https://X.auth0.com/"
    )


@pytest.mark.parametrize("given", [GOOGLE, GITHUB, STAFF])
def test_half_a_provider_stops_the_start(given: dict[str, str]) -> None:
    for missing in given:
        rest = {name: value for name, value in given.items() if name != missing}
        assert wrong(rest).startswith(f"{missing} is required")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VIGIL_OIDC_STAFF_ISSUER", "login.example.org"),
        ("VIGIL_OIDC_STAFF_ISSUER", "https://user:sesame@login.example.org"),
        ("VIGIL_OIDC_STAFF_ISSUER", "https://login.example.org/?realm=staff"),
        ("VIGIL_OIDC_STAFF_CLIENT_ID", "a b"),
        ("VIGIL_OIDC_STAFF_CLIENT_ID", "x" * 513),
        ("VIGIL_OIDC_STAFF_NAME", "x" * 65),
        ("VIGIL_OIDC_STAFF_NAME", "a\nb"),
        ("VIGIL_OIDC_STAFF_ISUER", "https://login.example.org"),
        ("VIGIL_OIDC_STAFF", "https://login.example.org"),
        ("VIGIL_OIDC_MY_STAFF_ISSUER", "https://login.example.org"),
        ("VIGIL_OIDC__ISSUER", "https://login.example.org"),
        ("VIGIL_OIDC_PROVIDERS", "staff"),
        ("VIGIL_OIDC_GOOGLE_ISSUER", "https://login.example.org"),
        ("VIGIL_OIDC_staff_ISSUER", "https://login.example.org"),
        (f"VIGIL_OIDC_{'X' * 17}_ISSUER", "https://login.example.org"),
        ("VIGIL_GITHUB_URL", "github.com"),
        ("VIGIL_GITHUB_API_URL", "https://"),
    ],
)
def test_a_wrong_value_or_name_is_one_line_that_names_the_variable(name: str, value: str) -> None:
    assert wrong(STAFF, {name: value}).startswith(f"{name} is wrong: ")


@pytest.mark.parametrize(
    "public_url", ["https://id.example.org", "http://192.0.2.1:8000", "http://id.example.org"]
)
def test_plain_http_is_for_one_machine_alone(public_url: str) -> None:
    plain = {"VIGIL_OIDC_STAFF_ISSUER": "http://127.0.0.1:9000"}
    assert wrong(STAFF, plain, VIGIL_PUBLIC_URL=public_url).startswith("VIGIL_OIDC_STAFF_ISSUER is wrong: ")
    assert providers(STAFF, plain, VIGIL_PUBLIC_URL="http://127.0.0.1:8000")
    elsewhere = {"VIGIL_OIDC_STAFF_ISSUER": "http://login.example.org"}
    assert wrong(STAFF, elsewhere).startswith("VIGIL_OIDC_STAFF_ISSUER is wrong: ")
    assert wrong(GITHUB, VIGIL_GITHUB_API_URL="http://api.example.org").startswith(
        "VIGIL_GITHUB_API_URL is wrong: "
    )


def test_asvs_6_8_1_no_two_providers_share_an_issuer() -> None:
    for issuer in ("https://accounts.google.com", "https://accounts.google.com/", "https://Accounts.Google.com"):
        assert wrong(GOOGLE, STAFF, VIGIL_OIDC_STAFF_ISSUER=issuer).startswith(
            "VIGIL_OIDC_STAFF_ISSUER is wrong: "
        )


def test_there_can_be_sixteen() -> None:
    many = {
        name.replace("STAFF", f"STAFF{number}"): value.replace("staff", f"staff{number}")
        for number in range(17)
        for name, value in STAFF.items()
    }
    assert "16 providers" in wrong(many)


def test_secrets_do_not_show() -> None:
    shown = repr(Settings.load({**GOOGLE, **GITHUB, **STAFF}))
    assert "sesame" not in shown
    assert "Staff" in shown
