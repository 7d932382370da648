"""Pages of mailed links. Opening a link only shows a page; the page's button performs the action.

Mail scanners, previews and prefetching browsers open links before people do, so GET changes nothing and HEAD has
no route. The button submits a form, which works without scripts. The form's token authorises the action; pages of
other sites do not know it and may not submit the form.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from auth.accounts.registration import Registration
from auth.accounts.registration_links import LinkProof
from auth.alerts.factor_removal import FactorRemoval
from auth.core.errors import AuthError, Conflict, InvalidToken
from auth.core.page_links import PageLinks
from auth.http.context import CLIENT
from auth.http.cookies import REGISTRATION_COOKIE, sent_cookie
from auth.http.forms import form_fields
from auth.http.origin_check import check_own_page
from auth.http.pages.pages import Pages

MAX_TOKEN_LENGTH = 1024

# Heading and text of the final page.
CONFIRMED = ("Your address is confirmed", "You can close this page and log in.")
NOT_CONFIRMED = ("This link is no longer valid", "Request a new one where you registered.")

ADDED_TEXTS = {
    "totp": "An authenticator app was set up for your account. Its codes are now required to log in.",
    "passkey": "A passkey was added to your account. Anyone who has it can log in.",
    "phone": "A phone number was added to your account. Anyone who has that phone can log in.",
    "identity": "Another login method was added to your account.",
}


class VerificationPage:
    """The page of a registration link. Its button confirms the address and redirects, dropping the token."""

    def __init__(self, registration: Registration, pages: Pages, links: PageLinks, *, has_page: bool) -> None:
        self._registration = registration
        self._pages = pages
        self._links = links
        self._has_page = has_page

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show the address to confirm and the input required in this browser."""
        try:
            token = one_token(request.query.getall("token", []))
            return await self._form(request, token)
        except InvalidToken as error:
            return self._end(error.code)

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Confirm the address and show the result."""
        form = await read_form(request)
        proof = LinkProof(browser_of(request), password=form.get("password"), new_password=form.get("newPassword"))
        try:
            token = one_token([form.get("token", "")])
            try:
                await self._registration.verify_email(token, request[CLIENT], proof=proof)
            except InvalidToken:
                raise
            except AuthError as error:
                return await self._form(request, token, error, is_new="newPassword" in form)
        except InvalidToken as error:
            return self._end(error.code)
        return self._end(None)

    async def _form(
        self, request: web.Request, token: str, error: AuthError | None = None, *, is_new: bool = False
    ) -> web.StreamResponse:
        """Show the page with its forms. `is_new`: the error concerns the new password."""
        user, wanted = await self._registration.preview(token, browser=browser_of(request))
        if user.email_verified_at is not None:
            return self._end(None)  # already confirmed, possibly in another browser
        response = form_page(
            self._pages,
            "confirm_address.html",
            error,
            token=token,
            email=user.email,
            wanted=wanted.value,
            is_new=is_new,
        )
        response.headers["Content-Security-Policy"] = form_csp(self._links)
        return response

    def _end(self, code: str | None) -> web.StreamResponse:
        if not self._has_page:
            heading, text = NOT_CONFIRMED if code else CONFIRMED
            return self._pages.response("link_end.html", status=400 if code else 200, heading=heading, text=text)
        query = {"verified": "0", "code": code} if code else {"verified": "1"}
        return web.Response(status=303, headers={"Location": self._links.at(query)})


class UndoPage:
    """The page of a link in a mail about an added login method or factor. Its button removes it.

    `home`: the login page, if there is one.
    """

    def __init__(self, removal: FactorRemoval, pages: Pages, *, home: str | None) -> None:
        self._removal = removal
        self._pages = pages
        self._home = home

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show what the link would remove."""
        try:
            return await self._form(one_token(request.query.getall("token", [])))
        except InvalidToken:
            return self._pages.response("undone.html", status=400, removal=None, home=self._home)

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Remove it and show the result."""
        form = await read_form(request)
        try:
            token = one_token([form.get("token", "")])
            try:
                removal = await self._removal.undo(token, client=request[CLIENT])
            except Conflict as error:
                return await self._form(token, error)
        except InvalidToken:
            return self._pages.response("undone.html", status=400, removal=None, home=self._home)
        return self._pages.response("undone.html", removal=removal, home=self._home)

    async def _form(self, token: str, error: AuthError | None = None) -> web.Response:
        added = await self._removal.preview(token)
        return form_page(self._pages, "undo.html", error, token=token, what=ADDED_TEXTS[added.kind])


def form_page(pages: Pages, template: str, error: AuthError | None, **values: Any) -> web.Response:
    """Render the page of a link, with the error of the previous submission."""
    fields = getattr(error, "errors", ())
    problem = fields[0].message if fields else error.message if error else ""
    return result_page(pages, template, error, problem=problem, **values)


def result_page(pages: Pages, template: str, error: AuthError | None, **values: Any) -> web.Response:
    """Render a page with the status and `Retry-After` of an error, if any."""
    response = pages.response(template, status=error.status if error else 200, **values)
    if error is not None and error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_seconds)))
    return response


def form_csp(links: PageLinks) -> str:
    """Return the CSP of a page whose form may redirect to the application: Chromium applies it to redirects."""
    parts = urlsplit(links.app_url or "")
    ends = f" {parts.scheme}://{parts.netloc}" if parts.netloc else ""
    return (
        f"default-src 'none'; style-src 'self'; img-src data:; form-action 'self'{ends}; base-uri 'none'; "
        "frame-ancestors 'none'"
    )


def browser_of(request: web.Request) -> str:
    """Return the registering browser's secret; empty for other browsers."""
    return sent_cookie(request.headers, REGISTRATION_COOKIE) or ""


def one_token(values: Sequence[str]) -> str:
    """Return the single token of a link. Raises `InvalidToken` if it is missing, repeated or malformed."""
    if len(values) != 1 or not values[0].isascii() or not 0 < len(values[0]) <= MAX_TOKEN_LENGTH:
        raise InvalidToken
    return values[0]


async def read_form(request: web.Request) -> dict[str, str]:
    """Parse a submitted form; blank fields are left out.

    Returns no fields for repeated or too many fields, which our forms never send. Raises `OriginNotAllowed` for a
    form of another site, `UnsupportedMediaType` or `PayloadTooLarge`.
    """
    check_own_page(request)
    return await form_fields(request) or {}
