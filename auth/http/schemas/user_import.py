"""The schema of a line of `server.py import` (docs/moving-in.md): the body of POST /users, and more."""

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from auth.backends.user_import import ImportedAccount
from auth.backends.users import NewUser
from auth.core.views import Input, Text, as_moment
from auth.http.schemas.server_api import CreateUserRequest

MAX_LISTED = 32

Listed = Annotated[Text, StringConstraints(min_length=1, max_length=64)]


class ImportedIdentity(Input):
    """An account at a configured provider. `subject`: the provider's id of the user."""

    provider: Listed
    subject: Annotated[Text, StringConstraints(min_length=1, max_length=255)]


class ImportLine(CreateUserRequest):
    """An account to import."""

    roles: Annotated[list[Listed], Field(max_length=MAX_LISTED)] = Field(default_factory=list)
    identities: Annotated[list[ImportedIdentity], Field(max_length=MAX_LISTED)] = Field(default_factory=list)
    created_at: Annotated[datetime, BeforeValidator(as_moment)] | None = None
    locked: bool = False

    @model_validator(mode="after")
    def _one_of_each_provider(self) -> "ImportLine":
        if len({each.provider for each in self.identities}) != len(self.identities):
            raise ValueError("identities must have one of each provider")
        return self

    @property
    def account(self) -> ImportedAccount:
        """The account."""
        user = NewUser(**{name: getattr(self, name) for name in CreateUserRequest.model_fields})
        return ImportedAccount(
            user=user,
            roles=self.roles,
            identities=[(each.provider, each.subject) for each in self.identities],
            created_at=self.created_at,
            locked=self.locked,
        )
