"""Input schemas of authentication proofs; the same fields on HTTP and on the socket."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from auth.core.models import FactorAnswer
from auth.core.views import Input, Text

# Longer than any valid code or password; longer inputs are rejected unchecked.
MAX_CODE = 64
MAX_PASSWORD = 1024

# A code as typed; spaces and dashes are ignored.
Code = Annotated[Text, StringConstraints(min_length=1, max_length=MAX_CODE)]
Password = Annotated[Text, StringConstraints(min_length=1, max_length=MAX_PASSWORD)]


class FactorProof(Input):
    """A second factor: `code` for `totp` and `recovery_code`, `credential` for `passkey`."""

    method: Literal["totp", "recovery_code", "passkey", "approval"] = "totp"
    code: Code | None = None
    credential: dict[str, Any] | None = Field(None, description="A `PublicKeyCredential` as JSON.")

    def answer(self) -> FactorAnswer:
        """Convert to a `FactorAnswer`."""
        return FactorAnswer(self.method, code=self.code, credential=self.credential)


class StepUpProof(Input):
    """A step-up proof in a session; `password` is accepted only if no second factor is set up."""

    method: Literal["password", "totp", "recovery_code", "passkey"]
    code: Code | None = None
    password: Password | None = None
    credential: dict[str, Any] | None = Field(None, description="A `PublicKeyCredential` as JSON.")

    def answer(self) -> FactorAnswer:
        """Convert to a `FactorAnswer`."""
        return FactorAnswer(self.method, code=self.code, password=self.password, credential=self.credential)
