"""The receiving half of the live side: delivers bus messages to this node's sockets, and detects missed ones."""

from collections.abc import Collection

import structlog

from auth.core.shards import shard_of
from auth.services import Services
from auth.stores.stores import Stores
from realtime.broker.seal import Message
from realtime.broker.user_log import read_frame_value
from realtime.delivery.catch_up import CatchUp
from realtime.delivery.direct_delivery import DirectDelivery
from realtime.delivery.outbound import Outbound
from realtime.delivery.presence_check import PresenceCheck
from realtime.delivery.push import Push
from realtime.delivery.resync import ResyncRequests
from realtime.delivery.revocation_acks import Endings
from realtime.delivery.room_catch_up import RoomCatchUp
from realtime.delivery.room_places import RoomPlaces
from realtime.delivery.socket_hooks import SocketHooks
from realtime.delivery.watchdog import Watchdog
from realtime.delivery.watches import Watches
from realtime.engine.emitter import Emitter
from realtime.hub import Connections
from realtime.protocol.messages import ServerEvent

log = structlog.get_logger()


class Inbound:
    """The receiving half of a node's live side. Also starts and closes `outbound`."""

    def __init__(self, outbound: Outbound, stores: Stores, services: Services, hooks: SocketHooks) -> None:
        metrics, clock = services.metrics, services.clock
        self._outbound = outbound
        self.connections = connections = Connections()
        self.emitter = emitter = Emitter()
        self._endings = Endings(
            emitter, node_id=outbound.node_id, send=outbound.report, metrics=metrics, clock=clock
        )
        self._room_catch_up = RoomCatchUp(outbound.room_log, outbound.place_proofs, emitter)
        self.places = places = RoomPlaces(self._room_catch_up, outbound.place_proofs, emitter)
        self.watches = Watches(
            connections, emitter, outbound.presence, outbound.chosen, outbound.watchers, clock=clock
        )
        self._direct = DirectDelivery(
            connections,
            emitter,
            places,
            self.watches,
            self._endings,
            node_id=outbound.node_id,
            report=outbound.report,
        )
        self.push = Push(emitter, places, self._endings, hooks, metrics=metrics, clock=clock)
        self._watchdog = Watchdog(
            stores,
            connections,
            self.push,
            self._endings,
            outbound.bus,
            asked=outbound.publisher.has_unpublished,
            clock=clock,
        )
        self._resync_requests = ResyncRequests(
            stores.sessions, connections, self.push, outbound.publisher, self._watchdog, clock=clock
        )
        self.catch_up = CatchUp(
            connections,
            outbound.log,
            self.push,
            self._endings,
            self._resync_requests,
            hooks,
            metrics=metrics,
            clock=clock,
        )
        self._presence_check = PresenceCheck(connections, outbound.log, self.catch_up, self._watchdog)

    async def start(self) -> None:
        """Take the lease, and start listening and the periodic checks."""
        await self._outbound.start(self._take, self._resync, count_sockets=lambda: len(self.connections))
        await self._watchdog.start()
        await self._presence_check.start()
        self.watches.start()

    async def finish_endings(self) -> None:
        """Wait until all sockets that are being ended are closed."""
        await self._endings.close()

    async def close(self) -> None:
        """Stop everything."""
        await self.watches.close()
        await self._room_catch_up.close()
        await self._presence_check.close()
        await self._watchdog.close()
        await self._resync_requests.close()
        await self._outbound.close()

    async def _take(self, message: Message) -> None:
        if message.get("t") == "room":
            self.emitter.room_event(message["packets"], message["room"])
        elif message.get("t") == "direct":
            await self._direct.take(message)
        elif message.get("t") == "presence":
            self.watches.changed(message["user"])
        elif message.get("t") == "own-presence":
            self.watches.own_changed(message["user"])
        elif message.get("t") == "typing":
            self.watches.take_typing(message)
        elif "r" in message:
            await self._direct.take_of_room(message)
        elif "t" not in message:
            frame = read_frame_value(message)
            await self.catch_up.take(frame)
            if frame.event == ServerEvent.DEVICE_STATUS:
                self.watches.changed(frame.user_id)

    async def _resync(self, shards: Collection[int]) -> None:
        """List every socket of the users of these shards again and let it catch up; then remove stale entries."""
        self.places.read_again(shards)
        self.watches.read_again(shards)
        connections = [each for each in self.connections if shard_of(each.user_id) in shards]
        await self.catch_up.every(connections)
        await self._outbound.presence.clear_gone(
            lambda socket_id: self.connections.get(socket_id) is not None, shards
        )
        if connections:
            log.info("node_resynced", sockets=len(connections))
            self._watchdog.ask()
            self._outbound.presence.check_later(lambda: (each.user_id for each in self.connections))
