"""The route table of the JSON API: what each endpoint takes and gives is declared beside it, once.

Safe by default: an endpoint needs a principal unless it is declared `public`. The same declaration
validates the request, shapes the answer and makes the OpenAPI document.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web

from auth.errors import AuthError
from auth.http.answers import success
from auth.http.body import read_json
from auth.http.context import CLIENT, PRINCIPAL
from auth.http.identity import Identity
from auth.http.runner import ON_GONE
from auth.http.schemas import Nothing
from auth.logs import also_about
from auth.models import Client, Principal
from auth.roles import Roles
from auth.views import Input, Query, View, parse

API = "/api/auth"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the route table."""

    method: str
    path: str
    summary: str
    answer: type[View]
    tag: str
    or_answer: tuple[type[View], ...] = ()
    body: type[Input] = Nothing
    body_optional: bool = False
    query: type[Query] | None = None
    status: int = 200
    message: str | None = None
    public: bool = False
    role: str | None = None
    aliases: tuple[str, ...] = ()
    errors: tuple[type[AuthError], ...] = ()
    name: str = field(default="")

    @property
    def takes_body(self) -> bool:
        """Whether a body is read at all."""
        return self.method not in {"GET", "DELETE"}

    @property
    def paths(self) -> tuple[str, ...]:
        """The path and its aliases, whole."""
        return tuple(API + path for path in (self.path, *self.aliases))


@dataclass(frozen=True, slots=True)
class Call:
    """A request as a route sees it."""

    request: web.Request
    client: Client

    @property
    def principal(self) -> Principal:
        """Who the request acts as; only for endpoints that are not public."""
        return self.request[PRINCIPAL]

    def on_leave(self, act: Callable[[], None]) -> None:
        """Call `act` when the caller hangs up before it was answered."""
        self.request[ON_GONE] = act


Body = TypeVar("Body", bound=Input)
Route = Callable[[Any, Call, Body], Awaitable[View]]


def endpoint(
    method: str,
    path: str,
    *,
    summary: str,
    answer: type[View],
    tag: str,
    or_answer: type[View] | tuple[type[View], ...] = (),
    body: type[Body] = Nothing,  # type: ignore[assignment] # the default is the type variable's narrowest use
    body_optional: bool = False,
    query: type[Query] | None = None,
    status: int = 200,
    message: str | None = None,
    public: bool = False,
    role: str | None = None,
    aliases: tuple[str, ...] = (),
    errors: tuple[type[AuthError], ...] = (),
) -> Callable[[Route[Body]], Route[Body]]:
    """Declare a method of a routes class as an endpoint.

    `role`: only for principals whose account has it at that moment, others get `forbidden`; `or_answer`: another
    answer it may give; `query`: what may stand behind the `?`, which the method then gets in place of a body.
    """

    def declare(route: Route[Body]) -> Route[Body]:
        row = Endpoint(
            method=method,
            path=path,
            summary=summary,
            answer=answer,
            tag=tag,
            or_answer=or_answer if isinstance(or_answer, tuple) else (or_answer,),
            body=body,
            body_optional=body_optional or body is Nothing,
            query=query,
            status=status,
            message=message,
            public=public,
            role=role,
            aliases=aliases,
            errors=errors,
            name=getattr(route, "__name__", path),
        )
        setattr(route, "endpoint", row)  # noqa: B010 - a function has no such attribute for mypy
        return route

    return declare


def endpoints_of(routes: object) -> Iterator[tuple[Endpoint, Callable[[Call, Any], Awaitable[View]]]]:
    """Every endpoint of a routes object, in the order of its source."""
    for name, member in vars(type(routes)).items():
        row = getattr(member, "endpoint", None)
        if isinstance(row, Endpoint):
            yield row, getattr(routes, name)


def handler_of(
    row: Endpoint, route: Callable[[Call, Any], Awaitable[View]], identity: Identity, roles: Roles
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The endpoint as aiohttp calls it: authenticate, ask for the role, parse, call, answer."""

    async def handle(request: web.Request) -> web.Response:
        call = Call(request, request[CLIENT])
        if not row.public:
            principal = await identity.principal(request, call.client)
            also_about(user_id=principal.user_id, session_id=principal.session_id)
            if row.role is not None:
                principal = await roles.require(
                    principal, row.role, act=f"{row.method} {row.path}", client=call.client
                )
            request[PRINCIPAL] = principal
        if row.query is not None:
            data = await route(call, parse(row.query, _query_of(request)))
        else:
            raw = await read_json(request, optional=row.body_optional) if row.takes_body else {}
            data = await route(call, parse(row.body, raw))
        return success(data, status=row.status, message=row.message)

    return handle


def _query_of(request: web.Request) -> dict[str, Any]:
    """What stands behind the `?`; something that stands there twice is a list, which nothing takes."""
    values: dict[str, Any] = {}
    for name, value in request.query.items():
        values[name] = [values[name], value] if name in values else value
    return values
