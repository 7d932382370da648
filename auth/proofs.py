"""What somebody sends as proof of who they are: the same fields on HTTP and on the socket."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from auth.models import FactorAnswer
from auth.views import Input, Text

# No NUL, as in every text of ours; a schema has to say so.
_TYPED = Field(json_schema_extra={"pattern": "^[^\\u0000]+$"})

# A code as it was typed: spaces and dashes are forgiven.
Code = Annotated[Text, StringConstraints(min_length=1, max_length=64), _TYPED]
Password = Annotated[Text, StringConstraints(min_length=1, max_length=1024), _TYPED]


class FactorProof(Input):
    """A second factor: `code` for `totp` and `recovery_code`, `credential` for `passkey`."""

    method: Literal["totp", "recovery_code", "passkey", "approval"] = "totp"
    code: Code | None = None
    credential: dict[str, Any] | None = Field(None, description="A `PublicKeyCredential` as JSON.")

    def answer(self) -> FactorAnswer:
        """What was brought."""
        return FactorAnswer(self.method, code=self.code, credential=self.credential)


class StepUpProof(Input):
    """A proof on a session: `password` where no second factor is set up."""

    method: Literal["password", "totp", "recovery_code", "passkey"]
    code: Code | None = None
    password: Password | None = None
    credential: dict[str, Any] | None = Field(None, description="A `PublicKeyCredential` as JSON.")

    def answer(self) -> FactorAnswer:
        """What was brought."""
        return FactorAnswer(self.method, code=self.code, password=self.password, credential=self.credential)
