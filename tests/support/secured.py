"""Accounts with a second factor."""

from dataclasses import dataclass
from typing import Any

from support.authenticator import Authenticator
from support.clients import ORIGIN, PASSWORD, Api, Login


@dataclass
class Secured:
    """An account with an authenticator app, and the device that set it up."""

    api: Api
    email: str
    login: Login
    app: Authenticator
    recovery_codes: list[str]

    async def begin(self, *, delivery: str = "body", **more: Any) -> str:
        """Log in up to the second factor; return the `mfaToken`."""
        body = {"email": self.email, "password": PASSWORD, "delivery": delivery} | more
        answer = await self.api.call("POST", "/login", body, headers={"Origin": ORIGIN})
        return str(answer.data["mfaToken"])

    def recovery(self, number: int) -> dict[str, str]:
        """Return a second-factor answer with one of the recovery codes."""
        return {"method": "recovery_code", "code": self.recovery_codes[number]}

    async def sessions(self) -> list[str]:
        """Return the ids of the user's sessions, last seen first."""
        listed = (await self.login.call("GET", "/sessions")).data["sessions"]
        return [each["sessionId"] for each in listed]


async def secure(api: Api) -> Secured:
    """Create an account with an authenticator app."""
    email = await api.register()
    login = await api.login(email)
    app = Authenticator((await login.call("POST", "/2fa/setup", {})).data["secret"])
    enabled = await login.call("POST", "/2fa/enable", {"code": await app.code()})
    return Secured(api, email, login, app, enabled.data["recoveryCodes"])
