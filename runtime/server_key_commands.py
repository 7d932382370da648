"""Operator commands for server keys, beside running nodes."""

import sys
from collections.abc import Sequence

from auth.core.clock import iso
from auth.core.errors import InvalidRequest
from auth.core.server_keys import ServerKey
from auth.platform.settings.settings import Settings


async def create(settings: Settings, name: str, scopes: Sequence[str], *, expires_in_days: int | None) -> int:
    """Create a key. Standard output is the key alone, which cannot be read again."""
    from runtime.command_node import command_node

    async with command_node(settings) as node:
        try:
            key, text = await node.operations.backends.keys.create_by_operator(
                name, scopes, expires_in_days=expires_in_days
            )
        except InvalidRequest as refusal:
            print("; ".join(error.message for error in refusal.errors), file=sys.stderr)
            return 1
    print(text)
    print(f"created {_line(key)}; the key is not shown again", file=sys.stderr)
    return 0


async def show(settings: Settings) -> int:
    """Print every key, newest first, without secrets."""
    from runtime.command_node import command_node

    async with command_node(settings) as node:
        keys = await node.operations.backends.keys.list_for_operator()
    for key in keys:
        times = {"expires": key.expires_at, "revoked": key.revoked_at, "last used": key.last_used_at}
        said = [f"{what} {iso(at)}" for what, at in times.items() if at is not None]
        print(", ".join([_line(key), f"created {iso(key.created_at)}", *said]))
    return 0


async def revoke(settings: Settings, key_id: str) -> int:
    """Revoke a key: running nodes refuse it from now on."""
    from runtime.command_node import command_node

    async with command_node(settings) as node:
        known = await node.operations.backends.keys.revoke_by_operator(key_id)
    if not known:
        print(f"there is no server key with the id {key_id}", file=sys.stderr)
        return 1
    print(f"revoked {key_id}")
    return 0


def _line(key: ServerKey) -> str:
    return f"{key.key_id} {key.name!r} ({', '.join(key.scopes)})"
