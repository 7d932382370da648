"""Proof once more on a live socket: the same step-up as over HTTP."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from auth.step_up import StepUp
from auth.views import View
from realtime import messages
from realtime.connections import Connection
from realtime.messages import ClientEvent

Serve = Callable[[Connection, Any], Awaitable[View]]


class FactorHandlers:
    """Serves `step-up`."""

    def __init__(self, step_up: StepUp) -> None:
        self._step_up = step_up
        self.served: Mapping[str, Serve] = {ClientEvent.STEP_UP: self._prove}

    async def _prove(self, connection: Connection, asked: messages.StepUp) -> View:
        until = await self._step_up.prove(connection.principal, asked.answer(), client=connection.client)
        return messages.StepUpDone(assured_until=until)
