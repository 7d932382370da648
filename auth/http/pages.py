"""Pages for people: the end of the verification link, the documentation, the development outbox.

Rendered on the server; the only script is our own, and a mail's HTML is shown in a frame without rights.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import jinja2
from aiohttp import web
from markupsafe import Markup, escape

from auth.errors import AuthError, InvalidToken, RateLimited, Unavailable
from auth.http.answers import json_response
from auth.http.context import CLIENT
from auth.http.schemas import MessageView
from auth.registration import Registration

TEMPLATES = Path(__file__).parent / "templates"
ASSETS = Path(__file__).parent / "assets"

NEWEST_MESSAGES = 50
LINK = re.compile(r"https?://[^\s<>\"']+")

# A previewed mail brings its own inline style; its frame may not run scripts, whatever this says.
OUTBOX_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Outbox(Protocol):
    """Where mail is kept."""

    async def newest(self, limit: int) -> Sequence[Mapping[str, Any]]:
        """The newest messages first, as the contract shows them."""


class Pages:
    """Renders our templates."""

    def __init__(self) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"prose": prose, "paragraphs": paragraphs}

    def response(self, template: str, *, status: int = 200, **values: Any) -> web.Response:
        """A page."""
        return page(self.render(template, **values), status=status)

    def render(self, template: str, **values: Any) -> str:
        """A page's HTML."""
        return self._templates.get_template(template).render(**values)


def prose(text: str) -> Markup:
    """One paragraph in which what stands in backticks is code."""
    plain, *rest = text.split("`")
    marked = Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 == 0 else escape(part)
        for index, part in enumerate(rest)
    )
    return escape(plain) + marked


def paragraphs(text: str) -> list[Markup]:
    """The paragraphs of a text."""
    return [prose(" ".join(part.split())) for part in text.split("\n\n")]


def page(html: str, *, status: int = 200) -> web.Response:
    """`html` as an answer."""
    return web.Response(text=html, status=status, content_type="text/html", charset="utf-8")


class VerificationPage:
    """Where the mailed link leads: it confirms the address and goes on to a page without the token.

    Mail scanners and browsers follow links before people do. HEAD has no route, and what says that
    it is prefetching changes nothing; a scanner that really asks confirms, and the person who follows the link
    after it sees the same success.
    """

    def __init__(self, registration: Registration, pages: Pages, *, has_demo: bool) -> None:
        self._registration = registration
        self._pages = pages
        self._has_demo = has_demo

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """Confirm, then show how it went."""
        if is_prefetch(request.headers):
            raise Unavailable(retry_after_seconds=1)
        code: str | None = None
        try:
            token = request.query.get("token", "")
            if not token or not token.isascii() or len(token) > 1024:
                raise InvalidToken
            await self._registration.verify_email(token, request[CLIENT])
        except (RateLimited, Unavailable):
            raise
        except AuthError as error:
            code = error.code
        return self._result(code)

    def _result(self, code: str | None) -> web.StreamResponse:
        if not self._has_demo:
            return self._pages.response("verified.html", status=400 if code else 200, code=code)
        query = {"verified": "0", "code": code} if code else {"verified": "1"}
        return web.Response(status=303, headers={"Location": "/?" + urlencode(query)})


class OutboxPages:
    """The development outbox: mail that would have been sent. Only where the setting says so."""

    def __init__(self, outbox: Outbox, pages: Pages) -> None:
        self._outbox = outbox
        self._pages = pages

    async def as_json(self, _request: web.Request) -> web.Response:
        """For programs and tests."""
        return json_response({"messages": [message.to_wire() for message in await self._messages()]})

    async def as_page(self, _request: web.Request) -> web.Response:
        """For people."""
        messages = [(message, links_of(message.text)) for message in await self._messages()]
        response = self._pages.response("outbox.html", messages=messages)
        response.headers["Content-Security-Policy"] = OUTBOX_CSP
        return response

    async def _messages(self) -> list[MessageView]:
        return [MessageView.model_validate(mail) for mail in await self._outbox.newest(NEWEST_MESSAGES)]


def is_prefetch(headers: Mapping[str, str]) -> bool:
    """Whether a browser asks before a person did."""
    purposes = (headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz"))
    return any("prefetch" in purpose.lower() or "preview" in purpose.lower() for purpose in purposes)


def links_of(text: str) -> list[str]:
    """The links in a mail's text that are to be followed: not the site's own name at its foot."""
    found = (link.rstrip(".,;:!?)") for link in LINK.findall(text))
    return [link for link in dict.fromkeys(found) if urlsplit(link).netloc and _leads_on(link)]


def _leads_on(link: str) -> bool:
    parts = urlsplit(link)
    return bool(parts.path.strip("/") or parts.query)
