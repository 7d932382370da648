"""A process with one socket for each access token that it reads from standard input, then for faults of a client.

The first line names the node and the tokens, in JSON. The process answers with a line once all sockets are
`ready`, and after each command: `join` the chat, `reset` the connections (TCP RST), or `dawdle`: read a few
kilobytes a second. It ends with its standard input.
"""

import asyncio
import json
import os
import socket
import sys

from auth.platform.slow_readers import drop
from bench.client import Socket, connect

# Slower than the chat talks.
READ_BYTES, READ_SECONDS = 4096, 1.0


async def main() -> None:
    """Connect, and obey."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    node = json.loads(await lines.readline())
    sockets = [(await connect(node["host"], node["port"], token))[0] for token in node["tokens"]]
    dawdling: list[asyncio.Task[None]] = []
    answer("ready")
    while command := (await lines.readline()).decode().strip():
        match command:
            case "join":
                await asyncio.gather(*(each.ask("chat:join", {}) for each in sockets))
            case "reset":
                for each in sockets:
                    drop(each.transport)
            case "dawdle":
                dawdling += [asyncio.create_task(dawdle(each)) for each in sockets]
        answer(command)
    for task in dawdling:
        task.cancel()


def answer(line: str) -> None:
    """Tell the parent process."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def dawdle(one: Socket) -> None:
    """Read slower than anything is sent, and answer no ping, until the connection ends."""
    one.transport.pause_reading()
    with socket.socket(fileno=os.dup(one.transport.get_extra_info("socket").fileno())) as connection:
        while True:
            await asyncio.sleep(READ_SECONDS)
            try:
                if not connection.recv(READ_BYTES):
                    return
            except BlockingIOError:
                continue
            except OSError:
                return


if __name__ == "__main__":
    asyncio.run(main())
