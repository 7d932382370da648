"""Socket events of second factors: step-up on live sockets, and passkey options."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from auth.core.views import View
from auth.factors.step_up import StepUp
from auth.login.passkeys.login import PasskeyLogin
from realtime.gateway.waiting_logins import Serve as ServeWaiting
from realtime.gateway.waiting_logins import WaitingSocket
from realtime.hub import Connection
from realtime.protocol import messages
from realtime.protocol.messages import ClientEvent

Serve = Callable[[Connection, Any], Awaitable[View]]


class FactorHandlers:
    """Serves `step-up` and `step-up-passkey-options` on live sockets, `mfa-passkey-options` on waiting ones."""

    def __init__(self, step_up: StepUp, passkeys: PasskeyLogin) -> None:
        self._step_up = step_up
        self._passkeys = passkeys
        self.served: Mapping[str, Serve] = {
            ClientEvent.STEP_UP: self._prove,
            ClientEvent.STEP_UP_PASSKEY_OPTIONS: self._step_up_options,
        }
        self.served_waiting: Mapping[str, ServeWaiting] = {ClientEvent.MFA_PASSKEY_OPTIONS: self._login_options}

    async def _prove(self, connection: Connection, asked: messages.StepUp) -> View:
        until = await self._step_up.prove(connection.principal, asked.answer(), client=connection.client)
        return messages.StepUpDone(assured_until=until)

    async def _step_up_options(self, connection: Connection, _: messages.PasskeyOptions) -> View:
        options = await self._passkeys.options_for_step_up(connection.principal, client=connection.client)
        return messages.PasskeyOptionsDone(options=options)

    async def _login_options(self, waiting: WaitingSocket, _: messages.PasskeyOptions) -> View:
        options = await self._passkeys.options_for_login(waiting.mfa_token, client=waiting.client)
        return messages.PasskeyOptionsDone(options=options)
