"""Reads mails from a node's development outbox."""

import asyncio
import re

from support.clients import Api


async def mailed(api: Api, address: str, wanted: re.Pattern[str], *, seconds: float = 5) -> str:
    """Wait for a mail to `address` that matches `wanted`; return the first group from the newest one."""
    for _ in range(round(seconds / 0.05)):
        outbox = await api.call("GET", "/dev/outbox.json")
        for message in outbox.body["messages"]:
            found = wanted.search(message["text"])
            if message["to"] == address and found:
                return found[1]
        await asyncio.sleep(0.05)
    raise AssertionError(f"no mail to {address} with {wanted.pattern}")


async def was_mailed(api: Api, address: str, wanted: re.Pattern[str]) -> bool:
    """Whether a mail to `address` that matches `wanted` exists now."""
    outbox = await api.call("GET", "/dev/outbox.json")
    return any(message["to"] == address and wanted.search(message["text"]) for message in outbox.body["messages"])
