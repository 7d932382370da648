"""Administration of server keys."""

from auth.backends.keys import ServerKeys
from auth.core.errors import NotFound, StepUpRequired
from auth.core.models import ADMIN
from auth.http.routing import Call, endpoint
from auth.http.schemas.common import Empty, Nothing
from auth.http.schemas.server_keys import NewServerKeyAnswer, ServerKeyRequest, ServerKeysAnswer, ServerKeyView


class ServerKeyRoutes:
    """Endpoints for administrators."""

    tag = "Administration"

    def __init__(self, server_keys: ServerKeys) -> None:
        self._server_keys = server_keys

    @endpoint("GET", "/admin/server-keys", summary="List the server keys", role=ADMIN)
    async def list_server_keys(self, call: Call, _: Nothing) -> ServerKeysAnswer:
        keys = await self._server_keys.list(call.principal, client=call.client)
        return ServerKeysAnswer(server_keys=tuple(map(ServerKeyView.of, keys)))

    @endpoint(
        "POST",
        "/admin/server-keys",
        summary="Create a server key",
        role=ADMIN,
        status=201,
        errors=(StepUpRequired,),
    )
    async def create_server_key(self, call: Call, body: ServerKeyRequest) -> NewServerKeyAnswer:
        key, text = await self._server_keys.create(
            call.principal, body.name, body.scopes, expires_in_days=body.expires_in_days, client=call.client
        )
        return NewServerKeyAnswer(server_key=ServerKeyView.of(key), key=text)

    @endpoint(
        "DELETE",
        "/admin/server-keys/{keyId}",
        summary="Revoke a server key",
        role=ADMIN,
        errors=(NotFound, StepUpRequired),
    )
    async def revoke_server_key(self, call: Call, _: Nothing) -> Empty:
        """Every request with the key that comes after the answer is refused, on every node."""
        await self._server_keys.revoke(call.principal, call.request.match_info["keyId"], client=call.client)
        return Empty()
