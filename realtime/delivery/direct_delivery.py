"""The receiving side of direct.py: serves a backend's message to the sockets of this node, and reports."""

from collections.abc import Awaitable, Callable, Sequence

from realtime.broker.seal import Message
from realtime.delivery.revocation_acks import Endings, Receipt
from realtime.engine.emitter import Emitter
from realtime.hub import Connection, Connections, SocketState
from realtime.protocol.messages import Closing

# Sends a receipt to a node; the second argument selects the channel.
Report = Callable[[str, str, Message], Awaitable[None]]


class DirectDelivery:
    """Takes messages of `DirectMessages` of any node."""

    def __init__(
        self, connections: Connections, emitter: Emitter, endings: Endings, *, node_id: str, report: Report
    ) -> None:
        self._connections = connections
        self._emitter = emitter
        self._endings = endings
        self._node_id = node_id
        self._report = report

    async def take(self, message: Message) -> None:
        """Serve a message to the sockets it is for, and report to the node that counts."""
        receipt = Receipt(request=message["request"], node=self._node_id)

        async def report() -> None:
            await self._report(message["node"], message["name"], receipt.message())

        closing = Closing(reason=message["reason"], retryable=message["retryable"])
        for connection in self._sockets(message):
            self._endings.disconnect(connection, closing, receipt, report)
        await report()

    def _sockets(self, message: Message) -> Sequence[Connection]:
        """The live sockets of this node that a message is for."""
        name = message["name"]
        match message["kind"]:
            case "user":
                found: Sequence[Connection | None] = self._connections.of_user(name)
            case "session":
                found = self._connections.of_session(name)
            case "socket":
                found = (self._connections.get(name),)
            case _:
                found = [self._connections.get(each) for each in self._emitter.members(name)]
        unserved = {SocketState.CONNECTING, SocketState.CLOSING}
        return [each for each in found if each is not None and each.state not in unserved]
