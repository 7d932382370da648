"""Origins as browsers serialise them (RFC 6454, section 6.2), of web pages and of apps with bundled pages.
Pure.

An app in a web view often has an origin with its own scheme: `capacitor://localhost`, `tauri://localhost`,
`chrome-extension://<id>`; Capacitor on Android uses `https://localhost`. These are unrelated to the server's
domain, so passkeys have their own list of origins.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from auth.platform.settings.passkey_domain import rp_id_problem
from auth.platform.settings.section import split_web_url, with_ascii_host

DEFAULT_PORTS = {"http": ":80", "https": ":443"}
# RFC 3986, sections 3.1 and 3.2.2, without parts that app origins never have: user, percent signs, empty host.
APP_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9_-][a-z0-9._-]*(:[0-9]{1,5})?/?", re.ASCII | re.IGNORECASE)
# Pages of these schemes have the origin `null`, or one that any page can have.
OPAQUE_SCHEMES = frozenset({"file", "data", "blob", "about", "javascript"})
# The facet ID of an Android app: SHA-256 of its certificate in base64url (FIDO AppID and Facets, section 3.1.3).
ANDROID_APP = re.compile(r"android:apk-key-hash:[A-Za-z0-9_-]{43}=?", re.ASCII)


def origin_of(url: str) -> str:
    """The origin of a web URL, in lower case and without the scheme's default port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.removesuffix(DEFAULT_PORTS[parts.scheme])}".lower()


def read_origin(value: str) -> str:
    """Parse a page or app origin as sent by browsers. Raises `ValueError` for anything else."""
    parts = split_web_url(value)
    if parts is not None and parts.path in {"", "/"} and "*" not in parts.netloc:
        return origin_of(with_ascii_host(value))
    scheme = value.partition(":")[0].lower()
    if scheme in DEFAULT_PORTS or scheme in OPAQUE_SCHEMES or APP_ORIGIN.fullmatch(value) is None:
        raise ValueError(f"{value!r} is not an origin such as https://example.org or capacitor://localhost")
    return value.removesuffix("/").lower()


def read_passkey_origin(value: str) -> str:
    """Parse an origin where passkeys may be used, of a web page or an Android app. Raises `ValueError`."""
    if ANDROID_APP.fullmatch(value):
        return value.removesuffix("=")
    origin = read_origin(value)
    if not is_web(origin):
        raise ValueError(f"{value!r} cannot use passkeys: only web pages and Android apps can")
    return origin


def is_web(origin: str) -> bool:
    """Whether the origin is a web page's rather than an app's."""
    return origin.partition(":")[0] in DEFAULT_PORTS


def passkey_origins(rp_id: str, *, own: Iterable[str], allowed: Iterable[str]) -> tuple[str, ...]:
    """The default origins for passkeys: our own pages, and the allowed ones under the passkey domain."""
    under = {origin for origin in allowed if is_web(origin) and rp_id_problem(rp_id, [origin]) is None}
    return tuple(sorted({*own} | under))
