"""Renders HTML pages, and serves the development outbox.

Pages are rendered on the server; the only script is our own, and a mail's HTML is shown in a sandboxed frame.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import jinja2
from aiohttp import web
from markupsafe import Markup, escape
from multidict import MultiMapping

from auth.crypto.passwords import MAX_CHARACTERS, MIN_CHARACTERS
from auth.http.json import json_response
from auth.http.schemas.common import MessageView
from auth.platform.header_lists import members

TEMPLATES = Path(__file__).parent / "templates"
ASSETS = Path(__file__).parent / "assets"

NEWEST_MESSAGES = 50
LINK = re.compile(r"https?://[^\s<>\"']+")

# Previewed mails need their inline styles. Their sandboxed frame may not run scripts, regardless of this policy.
OUTBOX_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Outbox(Protocol):
    """Stored messages of the development outbox."""

    async def newest(self, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return the newest messages, newest first, in the format of docs/protocol.md."""


class Pages:
    """Renders the templates."""

    def __init__(self, *, service: str) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"prose": prose, "paragraphs": paragraphs}
        self._templates.globals |= {
            "service": service,
            "new_password_length": Markup('minlength="{}" maxlength="{}"').format(MIN_CHARACTERS, MAX_CHARACTERS),
        }

    def response(self, template: str, *, status: int = 200, **values: Any) -> web.Response:
        """Render a page as a response."""
        return page(self.render(template, **values), status=status)

    def render(self, template: str, **values: Any) -> str:
        """Render a page's HTML."""
        return self._templates.get_template(template).render(**values)


def prose(text: str) -> Markup:
    """Escape one paragraph and mark up text in backticks as code."""
    plain, *rest = text.split("`")
    marked = Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 == 0 else escape(part)
        for index, part in enumerate(rest)
    )
    return escape(plain) + marked


def paragraphs(text: str) -> list[Markup]:
    """Split a text at blank lines into paragraphs of markup."""
    return [prose(" ".join(part.split())) for part in text.split("\n\n")]


def page(html: str, *, status: int = 200) -> web.Response:
    """Build a response with `html`."""
    return web.Response(text=html, status=status, content_type="text/html", charset="utf-8")


class OutboxPages:
    """The development outbox: messages that would have been sent. Served only if enabled in the settings."""

    def __init__(self, outbox: Outbox, pages: Pages) -> None:
        self._outbox = outbox
        self._pages = pages

    async def as_json(self, _request: web.Request) -> web.Response:
        """Respond with the messages as JSON."""
        return json_response({"messages": [message.to_wire() for message in await self._messages()]})

    async def as_page(self, _request: web.Request) -> web.Response:
        """Respond with the messages as an HTML page."""
        messages = [(message, links_of(message.text)) for message in await self._messages()]
        response = self._pages.response("outbox.html", messages=messages)
        response.headers["Content-Security-Policy"] = OUTBOX_CSP
        return response

    async def _messages(self) -> list[MessageView]:
        return [MessageView.model_validate(mail) for mail in await self._outbox.newest(NEWEST_MESSAGES)]


def is_prefetch(headers: MultiMapping[str]) -> bool:
    """Whether the request is a browser's prefetch or preview."""
    purposes = (purpose for name in ("Sec-Purpose", "Purpose", "X-Moz") for purpose in members(headers, name))
    return any("prefetch" in purpose.lower() or "preview" in purpose.lower() for purpose in purposes)


def links_of(text: str) -> list[str]:
    """Return the distinct action links in a mail's text, without the site's home URL in the footer."""
    found = (link.rstrip(".,;:!?)") for link in LINK.findall(text))
    return [link for link in dict.fromkeys(found) if urlsplit(link).netloc and _has_path_or_query(link)]


def _has_path_or_query(link: str) -> bool:
    parts = urlsplit(link)
    return bool(parts.path.strip("/") or parts.query)
