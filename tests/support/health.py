"""Readiness of nodes."""

import aiohttp

from support.clients import Answer, Api
from support.nodes import Node
from support.waiting import eventually


async def readiness(http: aiohttp.ClientSession, node: Node) -> Answer:
    return await Api(node.url, http).call("GET", "/health/ready")


async def both_ready(http: aiohttp.ClientSession, *nodes: Node) -> None:
    async def ready() -> bool:
        return all([(await readiness(http, node)).status == 200 for node in nodes])

    await eventually(ready, "every node is ready", timeout=20)
