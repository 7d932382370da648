"""The route table of the JSON API: each endpoint declares its request and response types.

An endpoint requires a principal unless it is declared `public`, or a server key if it declares `scopes`. The
declaration drives validation, the response and the OpenAPI document.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Protocol, TypeVar, get_args, get_type_hints

from aiohttp import web

from auth.admin.roles import Roles
from auth.backends.keys import ServerKeys
from auth.core.errors import AuthError
from auth.core.models import Client, Principal
from auth.core.server_keys import WRITING_SCOPES, Scope, ServerKey
from auth.core.views import Input, Query, View, parse
from auth.http.context import CLIENT, PRINCIPAL, SERVER_KEY
from auth.http.edge.runner import ON_DISCONNECT
from auth.http.forms import is_form
from auth.http.identity import HttpIdentity
from auth.http.json import read_json, success
from auth.http.oauth import oauth_failure, read_oauth_form, server_key_of
from auth.http.schemas.common import Nothing
from auth.platform.logs import extend_log_context

API = "/api/auth"
SERVER_API = "/api/server"

# A stream is sent by its route.
Answered = View | web.StreamResponse
Route = TypeVar("Route", bound=Callable[..., Awaitable[Answered]])


@dataclass(frozen=True, slots=True)
class Call:
    """A request as seen by a route."""

    request: web.Request
    client: Client
    # What the audit trail says about the use of a server key: whom it concerned.
    about: dict[str, str] = field(default_factory=dict)

    @property
    def principal(self) -> Principal:
        """The authenticated principal; only set for endpoints that are not public."""
        return self.request[PRINCIPAL]

    @property
    def server_key(self) -> ServerKey:
        """The key of the backend that calls; only set for endpoints with `scopes`."""
        return self.request[SERVER_KEY]

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` if the client disconnects before the response is sent."""
        self.request[ON_DISCONNECT] = callback


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the route table; as a decorator, it declares a method of a routes class as an endpoint.

    Request and response types are read from the method's annotations: `takes` is the body, or a `Query` for query
    parameters. `role`: the account must have this role at the time of the request, else `forbidden`.
    `credentials`: for a public endpoint, the security schemes it accepts; schemes in one tuple are required
    together. `max_age_seconds`: how long any cache may keep the response, if it is the same for every caller.
    `scopes`: the endpoint is for server keys that have one of these, under `/api/server`. `oauth`: the body can
    also be a form, as clients of OAuth send it (auth/http/oauth.py). `streams`: it can answer with a stream of
    events, which the client asks for by its `Accept` header.
    """

    method: str
    path: str
    _: KW_ONLY
    summary: str
    tag: str = ""
    body_optional: bool = False
    status: int = 200
    message: str | None = None
    public: bool = False
    role: str | None = None
    aliases: tuple[str, ...] = ()
    errors: tuple[type[AuthError], ...] = ()
    credentials: tuple[tuple[str, ...], ...] = ()
    max_age_seconds: int | None = None
    scopes: tuple[Scope, ...] = ()
    oauth: bool = False
    name: str = ""
    takes: type[Input] = Nothing
    answers: tuple[type[View], ...] = ()
    streams: bool = False

    def __call__(self, route: Route) -> Route:
        """Register the method as this endpoint."""
        kinds = get_type_hints(route)
        answer = kinds.pop("return")
        *_, takes = kinds.values()
        kinds_of_answer = get_args(answer) or (answer,)
        row = replace(
            self,
            name=getattr(route, "__name__", ""),
            takes=takes,
            answers=tuple(kind for kind in kinds_of_answer if issubclass(kind, View)),
            streams=web.StreamResponse in kinds_of_answer,
        )
        setattr(route, "endpoint", row)  # noqa: B010 - a function has no such attribute for mypy
        return route

    @property
    def takes_body(self) -> bool:
        """Whether the endpoint reads a body."""
        return self.method != "GET" and (self.method != "DELETE" or self.takes is not Nothing)

    @property
    def takes_query(self) -> bool:
        """Whether the endpoint accepts query parameters."""
        return issubclass(self.takes, Query)

    @property
    def paths(self) -> tuple[str, ...]:
        """Full paths: the path and its aliases."""
        base = SERVER_API if self.scopes else API
        return tuple(base + path for path in (self.path, *self.aliases))


endpoint = Endpoint


class Routes(Protocol):
    """A group of endpoints; `tag` is its heading in the documentation."""

    tag: str


def endpoints_of(routes: Routes) -> Iterator[tuple[Endpoint, Callable[[Call, Any], Awaitable[Answered]]]]:
    """Yield every endpoint of a routes object in source order, with the class's `tag` as the default tag."""
    for name, member in vars(type(routes)).items():
        row = getattr(member, "endpoint", None)
        if isinstance(row, Endpoint):
            yield replace(row, tag=row.tag or routes.tag), getattr(routes, name)


def handler_of(
    row: Endpoint, route: Callable[[Call, Any], Awaitable[Answered]], identity: HttpIdentity, roles: Roles
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Build the aiohttp handler of an endpoint: authenticate, check the role, parse, call the route, respond."""

    async def handle(request: web.Request) -> web.StreamResponse:
        call = Call(request, request[CLIENT])
        if not row.public:
            principal = await identity.principal(request, call.client)
            extend_log_context(user_id=principal.user_id, session_id=principal.session_id)
            if row.role is not None:
                principal = await roles.require(
                    principal, row.role, act=f"{row.method} {row.path}", client=call.client
                )
            request[PRINCIPAL] = principal
        return await _serve(row, route, call)

    return handle


def server_handler_of(
    row: Endpoint, route: Callable[[Call, Any], Awaitable[Answered]], keys: ServerKeys
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Build the handler of an endpoint for server keys. A use of a writing scope is recorded, even if refused."""
    is_recorded = not WRITING_SCOPES.isdisjoint(row.scopes)

    async def serve(request: web.Request) -> web.StreamResponse:
        call = Call(request, request[CLIENT], dict(request.match_info))
        key = request[SERVER_KEY] = await keys.authenticate(server_key_of(request), row.scopes, client=call.client)
        extend_log_context(server_key=key.key_id)
        outcome = "internal_error"
        try:
            response = await _serve(row, route, call)
            outcome = "ok"
        except AuthError as refusal:
            outcome = refusal.code
            raise
        finally:
            if is_recorded:
                act = f"{row.method} {row.path}"
                await keys.record_use(key, act, outcome=outcome, about=call.about, client=call.client)
        return response

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await serve(request)
        except AuthError as refusal:
            if row.oauth and is_form(request):
                return oauth_failure(refusal, request)
            raise

    return handle


async def _serve(
    row: Endpoint, route: Callable[[Call, Any], Awaitable[Answered]], call: Call
) -> web.StreamResponse:
    """Parse the input, call the route, and build the response."""
    if row.takes_query:
        raw: object = _query_of(call.request)
    elif row.oauth and is_form(call.request):
        raw = await read_oauth_form(call.request, row.takes)
    else:
        optional = row.body_optional or row.takes is Nothing
        raw = await read_json(call.request, optional=optional) if row.takes_body else {}
    data = await route(call, parse(row.takes, raw))
    if isinstance(data, web.StreamResponse):
        return data
    response = success(data, status=row.status, message=row.message)
    if row.max_age_seconds is not None:
        response.headers["Cache-Control"] = f"public, max-age={row.max_age_seconds}"
    return response


def _query_of(request: web.Request) -> dict[str, Any]:
    """Return the query parameters. A repeated parameter becomes a list, which no schema accepts."""
    values: dict[str, Any] = {}
    for name, value in request.query.items():
        values[name] = [values[name], value] if name in values else value
    return values
