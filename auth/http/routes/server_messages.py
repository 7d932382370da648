"""The server API: messages, and batches of commands."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from auth.backends.keys import ServerKeys
from auth.backends.messages import BackendMessages, Emit, Emitted
from auth.backends.sessions import BackendSessions
from auth.core.errors import AuthError, Conflict, Forbidden, InternalError, NotFound
from auth.core.server_keys import Scope
from auth.core.views import parse
from auth.http.routing import Call, endpoint
from auth.http.schemas.server_api import DisconnectRequest
from auth.http.schemas.server_messages import (
    BatchAnswer,
    BatchRequest,
    Command,
    CommandAnswer,
    EmitAnswer,
    EmitRequest,
)

log = structlog.get_logger()

Finish = Callable[[], Awaitable[Emitted]]


class BackendMessageRoutes:
    """Events to users, sessions, rooms and sockets."""

    tag = "Server API"

    def __init__(self, messages: BackendMessages, sessions: BackendSessions, keys: ServerKeys) -> None:
        self._messages = messages
        self._sessions = sessions
        self._keys = keys

    @endpoint("POST", "/emit", summary="Send an event", scopes=(Scope.EMIT,), errors=(NotFound, Conflict))
    async def emit(self, call: Call, body: EmitRequest) -> EmitAnswer:
        asked = body.asked
        call.about.update(_about_emit(asked))
        return EmitAnswer.of(await self._messages.emit(call.server_key, asked))

    @endpoint("POST", "/batch", summary="Send several commands", scopes=(Scope.EMIT, Scope.SESSIONS))
    async def batch(self, call: Call, body: BatchRequest) -> BatchAnswer:
        """Commands take effect in order, and are answered together. A refused one does not stop the others."""
        call.about["commands"] = str(len(body.commands))
        begun = [await self._begin(call, raw) for raw in body.commands]
        return BatchAnswer(results=tuple(await asyncio.gather(*(finish() for finish in begun))))

    async def _begin(self, call: Call, raw: Mapping[str, Any]) -> Callable[[], Awaitable[CommandAnswer]]:
        """Let a command take effect; return what waits for its answer and records it. Neither raises."""
        name, about = "unknown", dict[str, str]()

        async def refuse(error: Exception) -> CommandAnswer:
            refusal = error if isinstance(error, AuthError) else InternalError()
            if refusal is not error:
                log.error("command_failed", exc_info=error)
            await record(refusal.code)
            return CommandAnswer.refused(refusal)

        async def record(outcome: str) -> None:
            act = f"POST /batch {name}"
            await self._keys.record_use(call.server_key, act, outcome=outcome, about=about, client=call.client)

        try:
            command = parse(Command, raw)
            name = "emit" if command.emit is not None else "disconnect"
            finish = await self._begin_parsed(call, command, about)
        except Exception as error:  # noqa: BLE001 - answered in its place
            failed = error
            return lambda: refuse(failed)

        async def answer() -> CommandAnswer:
            try:
                emitted = await finish()
            except Exception as error:  # noqa: BLE001 - answered in its place
                return await refuse(error)
            await record("ok")
            return CommandAnswer(success=True, data=EmitAnswer.of(emitted))

        return answer

    async def _begin_parsed(self, call: Call, command: Command, about: dict[str, str]) -> Finish:
        key = call.server_key
        if command.emit is not None:
            _require_scope(call, Scope.EMIT)
            asked = parse(EmitRequest, command.emit).asked
            about.update(_about_emit(asked))
            return await self._messages.begin(key, asked)
        _require_scope(call, Scope.SESSIONS)
        body = parse(DisconnectRequest, command.disconnect)
        about["to"] = str(body.target)
        sent = await self._sessions.begin_disconnect(body.target, reason=body.reason, retryable=body.retryable)

        async def finish() -> Emitted:
            return Emitted(await sent.delivery())

        return finish


def _about_emit(asked: Emit) -> dict[str, str]:
    return {"to": str(asked.target), "event": asked.message.event}


def _require_scope(call: Call, scope: Scope) -> None:
    if not call.server_key.has_any([scope]):
        raise Forbidden(f"This server key does not have the scope {scope}.")
