"""Renaming of a device in the user's list of devices."""

from auth.clients.devices import Devices
from auth.core.errors import NotFound
from auth.core.events import PresenceReader, Publisher, SessionUpdated
from auth.core.models import Client, Principal, Session
from auth.services import Operation, Services
from auth.stores.sessions.device_names import SessionDeviceNames
from auth.stores.sessions.store import SessionStore


class DeviceRename(Operation):
    """Changes the name that was given to a device at login, or derived for it."""

    def __init__(
        self,
        services: Services,
        *,
        sessions: SessionStore,
        names: SessionDeviceNames,
        devices: Devices,
        presence: PresenceReader,
        publisher: Publisher,
    ) -> None:
        super().__init__(services)
        self._sessions = sessions
        self._names = names
        self._devices = devices
        self._presence = presence
        self._publisher = publisher

    async def rename(
        self, principal: Principal, session_id: str, *, name: str | None, client: Client
    ) -> tuple[Session, bool]:
        """Rename the device of a live session of the principal's user.

        Return the session, and whether it is online.

        `name` is cleaned as at login; without one, the device gets the name derived from its browser. Announces
        the change, unless it is none. Raises `NotFound` for any other session.
        """
        now = self._clock()
        session = await self._sessions.get(session_id, user_id=principal.user_id)
        if session is None:
            raise NotFound("There is no such session.")
        label = self._devices.name(name, session.device)
        renamed = await self._names.rename(session_id, user_id=principal.user_id, name=label, now=now)
        if renamed is None:
            raise NotFound("There is no such session.")
        if label != session.device.name:
            await self._audit.record(
                "device_renamed",
                user_id=principal.user_id,
                session_id=principal.session_id,
                client=client,
                details={"from": session.device.name, "to": label},
                now=now,
            )
            await self._publisher.publish([SessionUpdated(renamed)])
        online, _ = await self._presence.online(principal.user_id)
        return renamed, session_id in online
