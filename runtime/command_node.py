"""A node without an HTTP server, for commands that need its operations."""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from auth.platform.settings.settings import Settings
from runtime.application_loader import load_application
from runtime.node import ROOT, Node
from runtime.provision import root, services

if TYPE_CHECKING:
    from auth.platform.tracing import Tracing


@contextlib.asynccontextmanager
async def command_node(
    settings: Settings, application: str | None = None, tracing: "Tracing | None" = None
) -> AsyncIterator[Node]:
    """Create a node that accepts no connections, beside running ones. `application`: as in VIGIL_APPLICATION.

    Raises `DatabaseTooNew` or `Unavailable`.
    """
    async with services(settings, borrow=True) as (mongo_url, redis_url):
        node = Node(
            settings,
            mongo_url=mongo_url,
            redis_url=redis_url,
            root=root(settings),
            application=load_application(application, ROOT),
            tracing=tracing,
        )
        await node.stores.schema.check()
        yield node
        await node.close()
