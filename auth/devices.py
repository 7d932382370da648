"""Devices: a name that a person recognises, read off what a client says of itself.

"Chrome on Android", "Safari on iPhone", or what the user called it at login. Versions are left out: browsers
freeze the system's, and their own change under a session's feet. All of this is a claim and proves nothing.
"""

import re
from typing import Literal

from ua_parser import BestAvailableResolver, Parser, Result, load_lazy_builtins
from ua_parser.caching import CachingResolver, Lru

from auth.accounts import printable
from auth.models import Client, Device

Kind = Literal["desktop", "phone", "tablet", "bot", "other"]

MAX_USER_AGENT = 512
MAX_NAME = 64
MAX_WORD = 40
CACHED_USER_AGENTS = 2000

DESKTOPS = frozenset({"Windows", "macOS", "ChromeOS", "Linux", "FreeBSD", "OpenBSD", "NetBSD", "Solaris"})
LINUXES = frozenset({"Ubuntu", "Debian", "Fedora", "Red Hat", "CentOS", "SUSE", "Gentoo", "Arch Linux", "Mint"})
OS_NAMES = {"Mac OS X": "macOS", "Mac OS": "macOS", "Chrome OS": "ChromeOS", "Chromium OS": "ChromeOS"}
BROWSER_NAMES = {"Mobile Safari": "Safari", "IE Mobile": "Internet Explorer", "IE": "Internet Explorer"}
# ua-parser tells variants apart that are one browser to its user: "Chrome Mobile iOS", "Firefox Mobile".
_VARIANT = re.compile(r"^Headless(?=Chrome)|( (Mobile|iOS|WebView|UI/WKWebView))+$")
# Brands of `Sec-CH-UA` that a Chromium calls itself while its user agent says Chrome.
BRANDS = ("Brave", "Vivaldi", "Opera", "Microsoft Edge", "Samsung Internet", "YandexBrowser")
_BRAND = re.compile(r'"([^"]{1,40})"\s*;\s*v=')
# Placeholders for a device that did not say what it is; "K" is what a reduced Android user agent says.
_NO_MODEL = re.compile(r"^(K|Generic.*|Smartphone|Tablet|Mac|Spider|Other|XXX.*)$", re.IGNORECASE)


class Devices:
    """Reads devices; its patterns are compiled once, when it is made."""

    def __init__(self) -> None:
        resolver = BestAvailableResolver(load_lazy_builtins())
        self._parse = Parser(CachingResolver(resolver, Lru(CACHED_USER_AGENTS))).parse
        # The patterns are compiled at their first use: not in somebody's login.
        self._parse("Mozilla/5.0")

    def read(self, client: Client, *, name: str | None = None) -> Device:
        """The device, named `name` if the user gave one."""
        user_agent = printable(client.user_agent, MAX_USER_AGENT)
        hints = dict(client.hints)
        parsed = self._parse(user_agent)
        os = _os(parsed, hints)
        browser = _browser(parsed, hints)
        model = _model(parsed, hints)
        given = printable(name or "", MAX_NAME)
        return Device(
            name=given or _name(browser, model or os),
            browser=browser,
            os=os,
            kind=_kind(parsed, os, user_agent, hints),
        )


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
    # Only Apple's models are names people know; other user agents carry part numbers such as "SM-X900".
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
        return "phone" if mobile or os != "Android" else _still(user_agent)
    if os in DESKTOPS or os in LINUXES:
        return "desktop"
    return "phone" if hints.get("sec-ch-ua-mobile") == "?1" else "other"


def _still(user_agent: str) -> Kind:
    """What an Android is that does not say "Mobile": a tablet, unless it is a television."""
    return "other" if re.search(r"\bTV\b|AFT[A-Z]|BRAVIA|Chromecast", user_agent) else "tablet"


def _unquoted(hint: str) -> str:
    return printable(hint.strip().strip('"'), MAX_WORD)
