"""Devices: a recognisable name, derived from the headers of a client.

"Chrome on Android", "Safari on iPhone", or the name given at login. Versions are left out: browsers freeze the
system's, and their own changes during a session. All of it is claimed by the client and proves nothing.
"""

import functools
import re
from typing import Literal

from ua_parser import BestAvailableResolver, Parser, Resolver, Result, load_lazy_builtins
from ua_parser.caching import CachingResolver, Lru

from auth.core.models import Client, ClientKind, Device
from auth.core.text import MAX_USER_AGENT, printable

Kind = Literal["desktop", "phone", "tablet", "bot", "other"]

MAX_NAME = 64
MAX_WORD = 40
CACHED_USER_AGENTS = 2000

DESKTOPS = frozenset({"Windows", "macOS", "ChromeOS", "Linux", "FreeBSD", "OpenBSD", "NetBSD", "Solaris"})
LINUXES = frozenset({"Ubuntu", "Debian", "Fedora", "Red Hat", "CentOS", "SUSE", "Gentoo", "Arch Linux", "Mint"})
SYSTEMS = DESKTOPS | LINUXES | {"iOS", "Android", "Windows Phone", "KaiOS", "Tizen"}
APPLE_MODELS = ("iPhone", "iPad", "iPod touch")
OS_NAMES = {"Mac OS X": "macOS", "Mac OS": "macOS", "Chrome OS": "ChromeOS", "Chromium OS": "ChromeOS"}
BROWSER_NAMES = {"Mobile Safari": "Safari", "IE Mobile": "Internet Explorer", "IE": "Internet Explorer"}
# Variants that ua-parser distinguishes but users do not: "Chrome Mobile iOS", "Firefox Mobile".
_VARIANT = re.compile(r"^Headless(?=Chrome)|( (Mobile|iOS|WebView|UI/WKWebView))+$")
# Chromium browsers identified only by `Sec-CH-UA`; their user agent says Chrome.
BRANDS = ("Brave", "Vivaldi", "Opera", "Microsoft Edge", "Samsung Internet", "YandexBrowser")
BROWSERS = frozenset(BRANDS) | {
    "Chrome", "Chromium", "Firefox", "Safari", "Edge", "Internet Explorer", "Yandex Browser", "DuckDuckGo",
    "UC Browser", "Opera GX", "Opera Mini", "Silk", "Amazon Silk", "Whale", "MiuiBrowser", "Huawei Browser",
}  # fmt: skip
_BRAND = re.compile(r'"([^"]{1,40})"\s*;\s*v=')
# Placeholders for an unknown model; "K" is the model in reduced Android user agents.
_NO_MODEL = re.compile(r"^(K|Generic.*|Smartphone|Tablet|Mac|Spider|Other|XXX.*)$", re.IGNORECASE)


UNKNOWN_DEVICE = "an unknown device"


@functools.cache
def _resolver() -> Resolver:
    return BestAvailableResolver(load_lazy_builtins())


class Devices:
    """Parses devices; the patterns are compiled once per process, by the first instance."""

    def __init__(self) -> None:
        self._parse = Parser(CachingResolver(_resolver(), Lru(CACHED_USER_AGENTS))).parse
        # Compile the patterns now; otherwise the first login would wait for it.
        self._parse("Mozilla/5.0")
        self._kind_by = functools.lru_cache(CACHED_USER_AGENTS)(self._kind_of)

    def read(self, client: Client, *, name: str | None = None) -> Device:
        """The device of a client, named `name` if given."""
        user_agent = printable(client.user_agent, MAX_USER_AGENT)
        hints = dict(client.hints)
        parsed = self._parse(user_agent)
        os = _os(parsed, hints)
        browser = _browser(parsed, hints)
        model = _model(parsed, hints)
        detected = _name(browser, model or os)
        return Device(
            name=printable(name or "", MAX_NAME) or detected,
            browser=browser,
            os=os,
            kind=_kind(parsed, os, user_agent, hints),
            detected=detected,
        )

    def name(self, given: str | None, device: Device) -> str:
        """The new name of a device: `given`, or without one the name that the server made."""
        return printable(given or "", MAX_NAME) or device.detected or _name(device.browser, device.os)

    def kind(self, client: Client) -> ClientKind | None:
        """The kind of client by its user agent alone; None without a user agent."""
        return self._kind_by(client.user_agent)

    def _kind_of(self, user_agent: str) -> ClientKind | None:
        user_agent = printable(user_agent, MAX_USER_AGENT)
        if not user_agent:
            return None
        parsed = self._parse(user_agent)
        os = _os(parsed, {})
        # An unknown client is named by its product token: "ExampleChat/7.1 (…)".
        product = re.split(r"[/ (]", user_agent, maxsplit=1)[0]
        return ClientKind(_browser(parsed, {}) or printable(product, MAX_WORD), "Linux" if os in LINUXES else os)


def plain_name(device: Device | ClientKind) -> str:
    """A device name for mails about a possible attacker: browser and system, if they are known names. Pure.

    The system of an iPhone or iPad is named as in the list of devices. Any other text is chosen by the client and
    could be a message or a phone number.
    """
    if isinstance(device, Device) and device.browser in BROWSERS:
        names = [f"{device.browser} on {model}" for model in APPLE_MODELS]
        if device.detected in names:
            return device.detected
    known = [device.browser if device.browser in BROWSERS else None, device.os if device.os in SYSTEMS else None]
    return " on ".join(word for word in known if word) or UNKNOWN_DEVICE


def _name(browser: str | None, place: str | None) -> str:
    if browser and place:
        return f"{browser} on {place}"
    return browser or place or "Unknown device"


def _browser(parsed: Result, hints: dict[str, str]) -> str | None:
    family = parsed.user_agent.family if parsed.user_agent else ""
    family = BROWSER_NAMES.get(family) or _VARIANT.sub("", family)
    if family in {"", "Other", "Chrome"}:
        brands = _BRAND.findall(hints.get("sec-ch-ua", "")[:400])
        family = next((brand for brand in BRANDS if brand in brands), family)
    family = family.removeprefix("Microsoft ") if family == "Microsoft Edge" else family
    return printable(family, MAX_WORD) or None if family != "Other" else None


def _os(parsed: Result, hints: dict[str, str]) -> str | None:
    family = parsed.os.family if parsed.os else ""
    if family in {"", "Other"}:
        family = _unquoted(hints.get("sec-ch-ua-platform", ""))
    family = OS_NAMES.get(family, family)
    return printable(family, MAX_WORD) or None if family != "Unknown" else None


def _model(parsed: Result, hints: dict[str, str]) -> str | None:
    hinted = _unquoted(hints.get("sec-ch-ua-model", ""))
    if hinted:
        return hinted
    model = parsed.device.model if parsed.device and parsed.device.model else ""
    brand = parsed.device.brand if parsed.device else ""
    # Only Apple's models are recognisable names; other user agents have part numbers such as "SM-X900".
    return model if brand == "Apple" and not _NO_MODEL.match(model) else None


def _kind(parsed: Result, os: str | None, user_agent: str, hints: dict[str, str]) -> Kind:
    device = parsed.device
    if device and device.family == "Spider":
        return "bot"
    factors = hints.get("sec-ch-ua-form-factors", "")
    mobile = hints.get("sec-ch-ua-mobile") == "?1" or "Mobile" in user_agent
    if "Tablet" in factors or (device and device.model and device.model.startswith("iPad")):
        return "tablet"
    if os in {"iOS", "Android", "Windows Phone", "KaiOS"}:
        return "phone" if mobile or os != "Android" else _android_without_mobile(user_agent)
    if os in DESKTOPS or os in LINUXES:
        return "desktop"
    return "phone" if hints.get("sec-ch-ua-mobile") == "?1" else "other"


def _android_without_mobile(user_agent: str) -> Kind:
    """The kind of an Android device without "Mobile" in its user agent: a tablet, unless it is a television."""
    return "other" if re.search(r"\bTV\b|AFT[A-Z]|BRAVIA|Chromecast", user_agent) else "tablet"


def _unquoted(hint: str) -> str:
    return printable(hint.strip().strip('"'), MAX_WORD)
