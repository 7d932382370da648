"""Renders mails as text and HTML, from templates that are loaded on first use.

A mail never contains text that someone else chose: no name, username, device name or other text that their browser
sends. Otherwise a registration could make this server deliver any text, including links, to any address.
"""

import contextlib
import secrets
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from auth.clients.devices import UNKNOWN_DEVICE, plain_name
from auth.clients.locations import Locations
from auth.core.mail import Mail
from auth.core.page_links import PageLinks
from auth.notifications.mail_contents import MailContent
from auth.notifications.undo_links import LINK_LIFE as UNDO_LIFE

FOLDER = Path(__file__).parent / "templates"
FACTOR_WORDS = {
    "totp": "the authenticator app and its recovery codes",
    "passkey": "passkeys",
    "phone": "a phone number",
    "identity": "a linked account",
}

# The origin that the current request's mails link to, if not the public URL's.
_ORIGIN: ContextVar[str | None] = ContextVar("mailed_origin", default=None)

# Compiles each template once per process.
_TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@contextlib.contextmanager
def linking_to(origin: str) -> Iterator[None]:
    """Let mails composed in this context link to `origin`, which must be one of our own: whoever opens the link
    sends its token there.
    """
    before = _ORIGIN.set(origin)
    try:
        yield
    finally:
        _ORIGIN.reset(before)


class MailTemplates:
    """Composes mails. The first mail of each kind takes some milliseconds longer, to compile its templates."""

    def __init__(
        self, *, public_url: str, locations: Locations, service: str = "Vigil", app_url: str | None = None
    ) -> None:
        self._page = PageLinks(public_url, app_url)
        self._service = service
        self._locations = locations

    def compose(self, to: str, content: MailContent, *, undo: str | None = None) -> Mail:
        """Compose the mail to `to`. `undo`: the token of the link that removes the added login method."""
        facts = dict(vars(content))
        if undo is not None:
            facts |= {"token": undo, "valid_for": UNDO_LIFE}
        page = replace(self._page, public_url=_ORIGIN.get() or self._page.public_url)
        values: dict[str, object] = {
            "link": page.mailed(),
            "subject": content.subject,
            "public_url": page.public_url,
            "service": self._service,
        }
        for name, fact in facts.items():
            values |= self._worded(content, page, name, fact)
        return Mail(
            message_id=secrets.token_hex(16),
            kind=content.kind,
            to=to,
            subject=f"{self._service}: {content.subject}",
            text=_TEMPLATES.get_template(f"{content.kind}.txt").render(values),
            html=_TEMPLATES.get_template(f"{content.kind}.html").render(values),
        )

    def _worded(self, content: MailContent, page: PageLinks, name: str, fact: Any) -> dict[str, object]:
        """Convert a field of a content to the template variables for it."""
        match name:
            case "token":
                return {"link": _link(content, page, fact)}
            case "valid_for":
                return {unit: round(fact / timedelta(**{unit: 1})) for unit in ("days", "hours", "minutes")}
            case "ip" | "other_ip":
                return {name.replace("ip", "origin"): self._origin(fact)}
            case "device" | "other_device":
                return {name: plain_name(fact) if fact else UNKNOWN_DEVICE}
            case "removed":
                return {name: [FACTOR_WORDS[kind] for kind in fact]}
            case "roles":
                return {name: ", ".join(fact)}
            case "number":
                return {"digits": fact[-2:]}
            case "added":
                return {}
        return {name: readable(fact) if isinstance(fact, datetime) else fact}

    def _origin(self, ip: str | None) -> str | None:
        """Format an IP address with its location: `203.0.113.7 (NL)`."""
        if not ip:
            return None
        location = self._locations.locate(ip)
        place = ", ".join(part for part in (location.city, location.country) if part) if location else ""
        return f"{ip} ({place})" if place else ip


def _link(content: MailContent, page: PageLinks, token: str) -> str:
    if content.own_page:
        return f"{page.public_url}/api/auth/{content.own_page}?token={quote(token, safe='')}"
    return page.mailed(**{content.query: token})


def readable(moment: datetime) -> str:
    """Format a time in UTC: `21 November 2026, 09:30 UTC`."""
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"
