"""What a login is called in the list of devices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.clients.devices import Devices
from auth.core.models import Client, ClientKind, Device

DEVICES = Devices()
CHROME = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 {}Safari/537.36{}"
HEADLESS = CHROME.replace("Chrome/", "HeadlessChrome/")
SAFARI = "Mozilla/5.0 ({}) AppleWebKit/605.1.15 (KHTML, like Gecko) {} Safari/604.1"


def read(user_agent: str, *, name: str | None = None, **hints: str) -> Device:
    sent = tuple(
        ("sec-ch-ua-" + key.replace("_", "-") if key != "ua" else "sec-ch-ua", hints[key]) for key in hints
    )
    return DEVICES.read(Client(ip="192.0.2.1", user_agent=user_agent, hints=sent), name=name)


@pytest.mark.parametrize(
    ("user_agent", "name", "kind"),
    [
        (CHROME.format("Linux; Android 10; K", "Mobile ", ""), "Chrome on Android", "phone"),
        (CHROME.format("Linux; Android 13; SM-X900", "", ""), "Chrome on Android", "tablet"),
        (CHROME.format("Windows NT 10.0; Win64; x64", "", ""), "Chrome on Windows", "desktop"),
        (CHROME.format("Windows NT 10.0; Win64; x64", "", " Edg/126.0.0.0"), "Edge on Windows", "desktop"),
        (CHROME.format("X11; Linux x86_64", "", ""), "Chrome on Linux", "desktop"),
        (CHROME.format("X11; CrOS x86_64 14541.0.0", "", ""), "Chrome on ChromeOS", "desktop"),
        (HEADLESS.format("X11; Linux x86_64", "", ""), "Chrome on Linux", "desktop"),
        (
            SAFARI.format("iPhone; CPU iPhone OS 17_5 like Mac OS X", "Version/17.5 Mobile/15E148"),
            "Safari on iPhone",
            "phone",
        ),
        (SAFARI.format("iPad; CPU OS 16_6 like Mac OS X", "Version/16.6 Mobile/15E1"), "Safari on iPad", "tablet"),
        (SAFARI.format("Macintosh; Intel Mac OS X 10_15_7", "Version/17.4"), "Safari on macOS", "desktop"),
        (
            SAFARI.format("iPhone; CPU iPhone OS 17_5 like Mac OS X", "CriOS/126.0.0.0 Mobile/15E148"),
            "Chrome on iPhone",
            "phone",
        ),
        ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:1) Gecko/2 Firefox/127.0", "Firefox on Ubuntu", "desktop"),
        ("Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0", "Firefox on Android", "phone"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot", "bot"),
        ("curl/8.5.0", "curl", "other"),
        ("", "Unknown device", "other"),
        ("\x00\ud800", "Unknown device", "other"),
        ("something nobody knows", "Unknown device", "other"),
    ],
)  # fmt: skip
def test_a_user_agent_is_named_as_its_user_would(user_agent: str, name: str, kind: str) -> None:
    device = read(user_agent)
    assert (device.name, device.kind) == (name, kind)


def test_client_hints_say_what_a_reduced_user_agent_hides() -> None:
    device = read(
        CHROME.format("Linux; Android 10; K", "Mobile ", ""),
        model='"Pixel 8"',
        platform='"Android"',
        mobile="?1",
        ua='"Brave";v="126", "Chromium";v="126", "Not)A;Brand";v="8"',
    )
    assert device == Device("Brave on Pixel 8", "Brave", "Android", "phone", "Brave on Pixel 8")


def test_the_name_given_at_login_stands_and_the_rest_is_still_read() -> None:
    device = read("curl/8.5.0", name="  Kitchen\n tablet\u202e ")
    assert device == Device("Kitchen tablet", "curl", None, "other", "curl")


@pytest.mark.parametrize("name", ["", "  ", "\x00\x01"])
def test_an_empty_name_is_none(name: str) -> None:
    assert read("curl/8.5.0", name=name).name == "curl"


@given(st.text(max_size=3000), st.text(max_size=300), st.none() | st.text(max_size=300))
def test_any_claim_gives_a_short_printable_device(user_agent: str, hint: str, name: str | None) -> None:
    device = read(user_agent, name=name, model=hint, platform=hint, ua=hint, mobile=hint)
    assert 0 < len(device.name) <= 2 * 40 + 4
    for part in (device.name, device.browser or "", device.os or ""):
        part.encode()
        assert "\n" not in part


def kind(user_agent: str, **hints: str) -> ClientKind | None:
    sent = tuple(("sec-ch-ua-" + key if key != "ua" else "sec-ch-ua", hints[key]) for key in hints)
    return DEVICES.kind(Client(ip="192.0.2.1", user_agent=user_agent, hints=sent))


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (CHROME.format("Windows NT 10.0; Win64; x64", "", ""), ClientKind("Chrome", "Windows")),
        (CHROME.format("Linux; Android 10; K", "Mobile ", ""), ClientKind("Chrome", "Android")),
        (SAFARI.format("Macintosh; Intel Mac OS X 10_15_7", "Version/17.4"), ClientKind("Safari", "macOS")),
        ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:1) Gecko/2 Firefox/127.0", ClientKind("Firefox", "Linux")),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:1) Gecko/2 Firefox/150.0", ClientKind("Firefox", "Linux")),
        ("ExampleChat/7.1 (build 12)", ClientKind("ExampleChat")),
        ("ExampleChat/8.0", ClientKind("ExampleChat")),
        ("curl/8.5.0", ClientKind("curl")),
        ("", None),
        ("\x00", None),
    ],
)
def test_the_kind_of_a_client_is_its_browser_and_system_and_no_version(
    user_agent: str, expected: ClientKind | None
) -> None:
    assert kind(user_agent) == expected


def test_the_kind_is_the_same_with_client_hints_and_without() -> None:
    """Browsers send none with the handshake of a WebSocket."""
    chromium = CHROME.format("Windows NT 10.0; Win64; x64", "", "")
    assert kind(chromium, ua='"Brave";v="126", "Chromium";v="126"', platform='"Windows"') == kind(chromium)


@given(st.text(max_size=600))
def test_any_user_agent_has_a_short_printable_kind_or_none(user_agent: str) -> None:
    found = kind(user_agent)
    if found is not None:
        assert len(found.browser) <= 40
        found.browser.encode()  # no store takes lone surrogates
