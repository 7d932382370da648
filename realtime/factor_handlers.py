"""Factors on the socket: proof once more on a live one, and what a passkey's ceremony begins with."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from auth.passkeys import PasskeyLogin
from auth.step_up import StepUp
from auth.views import View
from realtime import messages
from realtime.connections import Connection
from realtime.messages import ClientEvent
from realtime.waiting import Serve as ServeWaiting
from realtime.waiting import WaitingSocket

Serve = Callable[[Connection, Any], Awaitable[View]]


class FactorHandlers:
    """Serves `step-up` and `step-up-passkey-options` of live sockets, `mfa-passkey-options` of those that wait."""

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
