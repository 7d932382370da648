"""The server API: what backends of applications call with a server key (protocol.md, section 8)."""

from aiohttp import web

from auth.backends.sessions import BackendSessions
from auth.backends.users import BackendUsers, NewUser
from auth.core.errors import Conflict, NotFound
from auth.core.server_keys import Scope
from auth.core.views import DeliveryView, SessionView
from auth.http.forms import is_form
from auth.http.json import json_response
from auth.http.routing import Call, endpoint
from auth.http.schemas.common import DeliveryAnswer, Nothing, RevokedAnswer
from auth.http.schemas.server_api import (
    CreateUserRequest,
    DisconnectRequest,
    EndSessionsRequest,
    FindUserQuery,
    IntrospectAnswer,
    IntrospectRequest,
    PresenceAnswer,
    PresenceQuery,
    ServerUserAnswer,
    ServerUsersAnswer,
    ServerUserView,
    UpdateUserRequest,
    UserSessionsAnswer,
    WatchRequest,
    oauth_introspection,
)
from auth.platform.settings.settings import Settings


class BackendSessionRoutes:
    """Tokens, sessions, presence and sockets."""

    tag = "Server API"

    def __init__(self, sessions: BackendSessions, settings: Settings) -> None:
        self._sessions = sessions
        self._settings = settings

    @endpoint("POST", "/introspect", summary="Check an access token", scopes=(Scope.REVOCATIONS,), oauth=True)
    async def introspect(self, call: Call, body: IntrospectRequest) -> IntrospectAnswer | web.Response:
        """Does not count against limits of the user or of the user's address. A form is answered by RFC 7662."""
        found = await self._sessions.introspect(body.token)
        if is_form(call.request):
            issuer, audience = self._settings.issuer, self._settings.tokens.audience
            return json_response(oauth_introspection(found, issuer=issuer, audience=audience))
        return IntrospectAnswer.of(found)

    @endpoint("GET", "/presence", summary="See who is online", scopes=(Scope.PRESENCE,))
    async def presence(self, _: Call, query: PresenceQuery) -> PresenceAnswer:
        return PresenceAnswer.of(await self._sessions.presence(query.ids))

    @endpoint(
        "POST", "/watches", summary="Let sockets see who is online", scopes=(Scope.PRESENCE,), errors=(NotFound,)
    )
    async def watch(self, call: Call, body: WatchRequest) -> DeliveryAnswer:
        """Lasts until the socket disconnects. `notified` counts the sockets that watch all of these users now."""
        return await self._watch(call, body, begin=True)

    @endpoint(
        "DELETE",
        "/watches",
        summary="Let sockets no longer see users",
        scopes=(Scope.PRESENCE,),
        errors=(NotFound,),
    )
    async def unwatch(self, call: Call, body: WatchRequest) -> DeliveryAnswer:
        return await self._watch(call, body, begin=False)

    async def _watch(self, call: Call, body: WatchRequest, *, begin: bool) -> DeliveryAnswer:
        call.about["to"] = str(body.target)
        delivery = await self._sessions.watch(body.target, body.user_ids, begin=begin)
        return DeliveryAnswer(delivery=DeliveryView.of(delivery))

    @endpoint(
        "GET",
        "/users/{userId}/sessions",
        summary="List the sessions of a user",
        scopes=(Scope.SESSIONS,),
        errors=(NotFound,),
    )
    async def user_sessions(self, call: Call, _: Nothing) -> UserSessionsAnswer:
        listed = await self._sessions.of_user(call.request.match_info["userId"])
        views = tuple(
            SessionView.of(session, current_session_id=None, online=session.session_id in listed.online)
            for session in listed.sessions
        )
        return UserSessionsAnswer(sessions=views, count=len(views), version=listed.version)

    @endpoint(
        "DELETE",
        "/users/{userId}/sessions",
        summary="End all sessions of a user (server key)",
        scopes=(Scope.SESSIONS,),
        body_optional=True,
        errors=(NotFound,),
    )
    async def end_user_sessions(self, call: Call, body: EndSessionsRequest) -> RevokedAnswer:
        user_id = call.request.match_info["userId"]
        return RevokedAnswer.of(await self._sessions.end_all(user_id, message=body.reason, client=call.client))

    @endpoint(
        "DELETE",
        "/users/{userId}/sessions/{sessionId}",
        summary="End one session of a user (server key)",
        scopes=(Scope.SESSIONS,),
        body_optional=True,
        errors=(NotFound,),
    )
    async def end_user_session(self, call: Call, body: EndSessionsRequest) -> DeliveryAnswer:
        path = call.request.match_info
        delivery = await self._sessions.end(
            path["userId"], path["sessionId"], message=body.reason, client=call.client
        )
        return DeliveryAnswer(delivery=DeliveryView.of(delivery))

    @endpoint(
        "POST",
        "/disconnect",
        summary="Close sockets without ending their sessions",
        scopes=(Scope.SESSIONS,),
        errors=(NotFound,),
    )
    async def disconnect(self, call: Call, body: DisconnectRequest) -> DeliveryAnswer:
        call.about["to"] = str(body.target)
        delivery = await self._sessions.disconnect(body.target, reason=body.reason, retryable=body.retryable)
        return DeliveryAnswer(delivery=DeliveryView.of(delivery))


class BackendUserRoutes:
    """Accounts."""

    tag = "Server API"

    def __init__(self, users: BackendUsers) -> None:
        self._users = users

    @endpoint(
        "POST",
        "/users",
        summary="Create an account",
        scopes=(Scope.USERS,),
        status=201,
        errors=(Conflict,),
    )
    async def create_user(self, call: Call, body: CreateUserRequest) -> ServerUserAnswer:
        """Sends no mail."""
        user = await self._users.create(NewUser(**body.model_dump()))
        call.about["userId"] = user.user_id
        return ServerUserAnswer(user=ServerUserView.seen(user))

    @endpoint("GET", "/users", summary="Look up an account by its address", scopes=(Scope.USERS,))
    async def users_by_email(self, call: Call, query: FindUserQuery) -> ServerUsersAnswer:
        user = await self._users.by_email(query.email)
        if user is None:
            return ServerUsersAnswer(users=())
        call.about["userId"] = user.user_id
        return ServerUsersAnswer(users=(ServerUserView.seen(user),))

    @endpoint("GET", "/users/{userId}", summary="Look up an account", scopes=(Scope.USERS,), errors=(NotFound,))
    async def user_by_id(self, call: Call, _: Nothing) -> ServerUserAnswer:
        user = await self._users.by_id(call.request.match_info["userId"])
        return ServerUserAnswer(user=ServerUserView.seen(user))

    @endpoint(
        "PATCH",
        "/users/{userId}",
        summary="Change an account's names and metadata",
        scopes=(Scope.USERS,),
        errors=(NotFound,),
    )
    async def update_user(self, call: Call, body: UpdateUserRequest) -> ServerUserAnswer:
        changes = body.model_dump(include=body.model_fields_set)
        user = await self._users.update(call.request.match_info["userId"], changes)
        return ServerUserAnswer(user=ServerUserView.seen(user))
