"""The sending half of the live side: publishes to other nodes and users' logs, and serves the operations.

Works without sockets, so a process that only runs background jobs publishes through it, too. After `start` it also
receives from the bus.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta

import structlog

from auth.crypto.root_secret import RootSecret
from auth.operations import LiveSide
from auth.platform.redis.link import RedisLink
from auth.services import Services
from auth.stores.stores import Stores
from realtime.application import Application
from realtime.broker.bus import Bus
from realtime.broker.chosen_states import ChosenStates
from realtime.broker.dead_node_cleanup import OrphanedSockets, RunHooks
from realtime.broker.deny_list import DenyList
from realtime.broker.leases import NodeLeases
from realtime.broker.listener import OnMessage, OnSubscribed
from realtime.broker.presence import Presence
from realtime.broker.presence_facts import PresenceFacts
from realtime.broker.redis_keys import ALL_SHARDS, Keys
from realtime.broker.room_log import RoomLog, RoomLogLimits
from realtime.broker.seal import Message, MessageSeal
from realtime.broker.user_log import UserLog
from realtime.broker.watchers import Watchers
from realtime.delivery.approvals import LiveApprovals
from realtime.delivery.direct import DirectMessages
from realtime.delivery.place_proofs import PlaceProofs
from realtime.delivery.publisher import LivePublisher
from realtime.delivery.relay import Relay
from realtime.delivery.revocation_acks import Counts
from realtime.delivery.session_hooks import SessionHooks

BUS_START_SECONDS = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OutboundOptions:
    """This node's id, the lifetime of its entries in Redis, and limits per user and room."""

    node_id: str
    log_life: timedelta
    deny_life: timedelta
    sockets_per_user: int
    room_log: RoomLogLimits


class Outbound:
    """The sending half of a node's live side."""

    def __init__(
        self,
        link: RedisLink,
        stores: Stores,
        services: Services,
        options: OutboundOptions,
        root: RootSecret,
        application: Application | None,
    ) -> None:
        keys, clock, seal = Keys(link.prefix), services.clock, MessageSeal(root, services.metrics)
        self._link = link
        self.room_members = stores.room_members
        self.node_id = node_id = options.node_id
        self.deny_list = DenyList(link, keys, life=options.deny_life)
        leases = NodeLeases(link, keys, node_id=node_id)
        orphans = OrphanedSockets(link, keys, leases, clock=clock)
        self._presence_facts = PresenceFacts(stores.device_presence, leases, node_id=node_id, clock=clock)
        self.log = UserLog(
            link,
            keys,
            self.deny_list,
            leases,
            node_id=node_id,
            seal=seal,
            log_life=options.log_life,
            most_sockets=options.sockets_per_user,
            check_soon=orphans.check_soon,
            note_device=self._presence_facts.note,
        )
        self.bus = Bus(link, keys, node_id=node_id, metrics=services.metrics, seal=seal)
        self.watchers = Watchers(link, keys, self.bus, node_id=node_id)
        self.chosen = ChosenStates(link, keys, seal, clock=clock)
        self.presence = Presence(
            link,
            keys,
            self.log,
            leases,
            orphans,
            self.chosen,
            node_id=node_id,
            on_peers=self.bus.note_peers,
            run_hooks=_hooks_for_dead_nodes(application),
            clock=clock,
        )
        self._hooks = SessionHooks(stores.session_hooks, application, clock=clock)
        self._counts = Counts()
        self.publisher = LivePublisher(
            self.log, stores, self.presence, self._counts, node_id=node_id, hook=self._hooks.run, clock=clock
        )
        self.approvals = LiveApprovals(self.log, self.bus)
        self.room_log = RoomLog(
            link, keys, leases, node_id=node_id, seal=seal, limits=options.room_log, clock=clock
        )
        self.place_proofs = PlaceProofs(root)
        self.direct = DirectMessages(
            self.log, self.deny_list, self.room_log, self.presence, leases, self.bus, self._counts, node_id=node_id
        )
        self._relay = Relay(
            stores.sessions, stores.session_marks, stores.room_members, self.publisher, self.deny_list, clock=clock
        )

    @property
    def live_side(self) -> LiveSide:
        """The interfaces that the operations use."""
        return LiveSide(
            publisher=self.publisher,
            presence=self.presence,
            revocations=self.deny_list,
            approvals=self.approvals,
            live_counter=self.presence,
            control=self.direct,
        )

    def start_publishing(self) -> None:
        """Publish to other nodes without receiving; replaces `start` in a process without sockets."""
        self.bus.note_peers(has_peers=True)

    async def start(
        self, on_message: OnMessage, resync: OnSubscribed, *, count_sockets: Callable[[], int]
    ) -> None:
        """Take the lease and start listening.

        `on_message` is awaited for each message for sockets; `resync` whenever messages may have been missed, with
        the shards they may have been about. `count_sockets` is the number of this node's sockets.
        """

        async def take(message: Message) -> None:
            if message.get("t") == "receipt":
                self._counts.receipt(message)
            elif message.get("t") in {"approval", "approval-number"}:
                self.approvals.take(message)
            else:
                await on_message(message)

        async def catch_up(shards: Collection[int]) -> None:
            await resync(shards)
            # Entries of the time without a subscription may be missing.
            self.deny_list.mark_in_doubt(shards)

        async def nodes_of(user_id: str, session_id: str) -> list[str]:
            return list(await self.presence.nodes_of(user_id, session_id=session_id))

        self.direct.start(on_message)
        self._presence_facts.start(nodes_of)
        await self.presence.start(lambda: resync(ALL_SHARDS), count_sockets)
        await self.bus.start(take, catch_up)
        # Subscribing puts the deny-list in doubt, and the relay restores it. In the other order the first
        # handshakes of a node that reports ready would be refused. Without Redis the node starts all the same.
        if not await self.bus.wait_until_receiving(BUS_START_SECONDS):
            log.warning("bus_not_subscribed_yet")
        await self._link.warn_of_eviction()
        await self._relay.start()
        await self._hooks.start()

    async def report(self, node_id: str, user_id: str, receipt: Message) -> None:
        """Send a receipt about a user's sockets to the node that counts them, which may be this one."""
        if node_id == self.node_id:
            self._counts.receipt(receipt)
        else:
            await self.bus.send(node_id, user_id, receipt)

    async def close(self) -> None:
        """Stop everything and return the lease."""
        await self._hooks.close()
        await self._relay.close()
        await self.publisher.close()
        await self.bus.close()
        await self.presence.close()
        await self._presence_facts.close()


def _hooks_for_dead_nodes(application: Application | None) -> RunHooks | None:
    if application is None or not application.disconnected_hooks:
        return None
    return application.run_disconnect_hooks_for_dead_node
