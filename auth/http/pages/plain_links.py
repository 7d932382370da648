"""Plain pages for mailed links and ends of visits to a provider, used if there is no demo or application page.

As in mailed_links.py, opening the link shows a page, and its button performs the action. Opening it changes
nothing: before the form is submitted, a token is read only to name the login that the link of an alert is about.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from auth.accounts.email_change import EmailChange, Side
from auth.accounts.password_reset import PasswordReset
from auth.alerts.alerts import NotMe
from auth.clients.devices import plain_name
from auth.core.errors import AuthError, InvalidRequest, InvalidToken, NotFound, RateLimited
from auth.core.models import Client
from auth.http.context import CLIENT
from auth.http.edge.middleware import Handler
from auth.http.pages.mailed_links import form_page, one_token, read_form, result_page
from auth.http.pages.pages import Pages
from auth.http.pages.provider_ends import provider_end
from auth.http.routing import API
from auth.notifications.mail_templates import readable

CONFIRMED = {
    Side.BOTH: ("Your address is changed", "Your account now uses the new address. You can close this page."),
    Side.OLD: ("One of two links confirmed", "Now open the link in the e-mail to your new address."),
    Side.NEW: ("One of two links confirmed", "Now open the link in the e-mail to your old address."),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainLink:
    """One page: its texts, the path of its form, and the form's action.

    `act` takes token, form fields and client, and returns heading and text of the next page. `look` is the
    button's CSS class.
    """

    heading: str
    text: str
    button: str
    look: str
    form: str
    act: Callable[[str, dict[str, str], Client], Awaitable[tuple[str, str]]]
    wants_password: bool = False
    # What the link is about, as names and values. Changes nothing.
    facts: Callable[[str], Awaitable[tuple[tuple[str, str], ...]]] | None = None


class PlainLinks:
    """The plain pages, by the name of the query parameter that carries the token."""

    def __init__(self, reset: PasswordReset, email_change: EmailChange, not_me: NotMe, pages: Pages) -> None:
        self._reset = reset
        self._email_change = email_change
        self._not_me = not_me
        self._pages = pages
        self._links = {
            "reset": PlainLink(
                heading="Choose a new password",
                text="All devices are logged out of your account.",
                button="Change password",
                look="strong",
                form=f"{API}/password/reset/form",
                act=self._set_password,
                wants_password=True,
            ),
            "email": PlainLink(
                heading="Change your e-mail address",
                text="The change must be confirmed from both mailboxes, the old and the new one.",
                button="Yes, change the address",
                look="strong",
                form=f"{API}/email/confirm/form",
                act=self._confirm_address,
            ),
            "notme": PlainLink(
                heading="Was this you?",
                text="We notified you of a login to your account. If that was you, close this page. "
                "If it was not, end that login.",
                button="It was not me: end the login",
                look="danger",
                form=f"{API}/alerts/not-me/form",
                act=self._end_login,
                facts=self._login_facts,
            ),
        }

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show the page of a link, or the end of a visit to a provider. Raises `NotFound` for any other query."""
        name = next((name for name in self._links if name in request.query), None)
        if name is None:
            return self._provider_end(request)
        try:
            return await self._form(self._links[name], one_token(request.query.getall(name)))
        except InvalidToken:
            return self._stale()

    def _provider_end(self, request: web.Request) -> web.Response:
        end = provider_end(request.query)
        if end is None:
            raise NotFound
        return result_page(self._pages, "link_end.html", end.error, heading=end.heading, text=end.text)

    def forms(self) -> list[tuple[str, Handler]]:
        """Return the path and the handler of each form."""
        return [(link.form, self._submit(link)) for link in self._links.values()]

    def _submit(self, link: PlainLink) -> Handler:
        async def submit(request: web.Request) -> web.StreamResponse:
            form = await read_form(request)
            try:
                token = one_token([form.get("token", "")])
                try:
                    heading, text = await link.act(token, form, request[CLIENT])
                except (InvalidRequest, RateLimited) as error:
                    return await self._form(link, token, error)
            except InvalidToken:
                return self._stale()
            return self._pages.response("link_end.html", heading=heading, text=text)

        return submit

    async def _form(self, link: PlainLink, token: str, error: AuthError | None = None) -> web.Response:
        facts = await link.facts(token) if link.facts else ()
        return form_page(self._pages, "plain_link.html", error, link=link, token=token, facts=facts)

    def _stale(self) -> web.Response:
        heading, text = "This link is no longer valid", "Request a new one if you still need it."
        return self._pages.response("link_end.html", status=400, heading=heading, text=text)

    async def _set_password(self, token: str, form: dict[str, str], client: Client) -> tuple[str, str]:
        await self._reset.reset(token, password=form.get("password", ""), keep_sessions=False, client=client)
        return "Your password is changed", "All devices are logged out. Log in with the new password."

    async def _confirm_address(self, token: str, _form: dict[str, str], client: Client) -> tuple[str, str]:
        _, side = await self._email_change.confirm(token, client=client)
        return CONFIRMED[side]

    async def _login_facts(self, token: str) -> tuple[tuple[str, str], ...]:
        session = (await self._not_me.login_of(token)).session
        place = (
            ", ".join(part for part in (session.location.city, session.location.country) if part)
            if (session.location)
            else ""
        )
        return (
            ("Device", plain_name(session.device)),
            ("From", f"{session.ip} ({place})" if place else session.ip),
            ("Time", readable(session.logged_in_at)),
        )

    async def _end_login(self, token: str, _form: dict[str, str], client: Client) -> tuple[str, str]:
        revoked = await self._not_me.by_link(token, client=client)
        heading = "That device is logged out" if revoked.count else "That device is already logged out"
        return heading, "Now change your password on the login page: someone else may know it."
