"""Request and response schemas of server keys, for administrators."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints

from auth.core.server_keys import MAX_DAYS, Scope, ServerKey
from auth.core.text import MAX_NAME
from auth.core.views import Input, Moment, Text, View

SCOPES = [scope.value for scope in Scope]


class ServerKeyRequest(Input):
    """A new server key."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "shop backend", "scopes": ["emit", "presence"]}]}
    )

    name: Annotated[Text, StringConstraints(min_length=1, max_length=MAX_NAME)]
    scopes: Annotated[
        list[Annotated[Text, Field(json_schema_extra={"enum": SCOPES})]],
        Field(min_length=1, max_length=len(SCOPES)),
    ]
    expires_in_days: Annotated[int, Field(ge=1, le=MAX_DAYS)] | None = Field(
        None, description="Until when the key is valid; null for no end."
    )


class ServerKeyView(View):
    """A server key, without its secret."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None = Field(description="Recorded at most once a minute.")

    @classmethod
    def of(cls, key: ServerKey) -> Self:
        return cls(
            id=key.key_id,
            name=key.name,
            scopes=key.scopes,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            last_used_at=key.last_used_at,
        )


class NewServerKeyAnswer(View):
    """A new server key; `key` is shown only this once."""

    server_key: ServerKeyView
    key: str = Field(description="`vsk_<id>_<secret>`, to be sent as `Authorization: Bearer`.")


class ServerKeysAnswer(View):
    """Every server key, newest first, revoked and expired ones too."""

    server_keys: tuple[ServerKeyView, ...]
