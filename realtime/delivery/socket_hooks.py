"""The application's hooks for connected and disconnected sockets and changed roles, in order with their events."""

import asyncio

from auth.core.tasks import Background
from realtime.application import Application, HookKind
from realtime.hub import Connection


class SocketHooks:
    """Runs the socket hooks of `application`, if any; those that may outlive the socket run in `background`."""

    def __init__(self, application: Application | None, background: Background) -> None:
        self._application = application
        self._background = background

    def connected(self, connection: Connection) -> None:
        """Run the hooks for a socket after its `ready`, before any of its events is served."""
        if self._application is not None and self._application.connected_hooks:
            connection.enqueue(lambda: self._run_connect_hooks(connection))
        else:
            connection.has_run_connect_hooks = True

    def connected_again(self, connection: Connection) -> None:
        """Run the hooks again for a socket that other nodes had removed as disconnected."""
        if connection.has_run_connect_hooks and self._application is not None:
            connection.enqueue(lambda: self._run("connected", connection))

    def roles_changed(self, connection: Connection) -> None:
        """Run the hooks for changed roles, after the socket's queued events."""
        if self._application is None or not self._application.roles_hooks or not connection.has_run_connect_hooks:
            return
        if not connection.enqueue(lambda: self._run("roles", connection)):
            # The socket's queue is full: run the hooks out of order rather than not at all.
            self._background.spawn(self._run("roles", connection))

    def disconnected(self, connection: Connection) -> asyncio.Task[None] | None:
        """Run the hooks for a disconnected socket, after its running handler; None if there is nothing to run."""
        if connection.worker is None and not connection.has_run_connect_hooks:
            return None
        return self._background.spawn(self._run_disconnect_hooks(connection))

    async def _run_connect_hooks(self, connection: Connection) -> None:
        connection.has_run_connect_hooks = True
        await self._run("connected", connection)

    async def _run_disconnect_hooks(self, connection: Connection) -> None:
        if connection.worker is not None:
            await asyncio.wait({connection.worker})
        if connection.has_run_connect_hooks and self._application is not None:
            await self._application.run_disconnect_hooks(
                connection.socket_id, connection.principal, connection.client
            )

    async def _run(self, kind: HookKind, connection: Connection) -> None:
        if self._application is not None:
            await self._application.run_hooks(kind, connection.socket_id, connection.principal, connection.client)
