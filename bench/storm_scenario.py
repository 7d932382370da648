"""The expiry storm: thousands of tokens that expire in the same second are renewed over their sockets."""

import asyncio
import base64
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import orjson

from bench.client import ANSWER_SECONDS, Ack, LoadError, Socket
from bench.load import Round, gather, measured, now
from bench.peers import Login
from bench.socket_scenarios import connect_all, let_in, warm_up

SCENARIOS = ("expiry_storm",)
EXPIRING = b'["token-expiring"'
REVOKED = b'["session-revoked"'
# The warning comes at most a fifth of a token's life ahead (docs/protocol.md, section 5).
LEAD_SHARE = 0.2
# All sockets must be connected before the first warning.
LEAST_LIFE_SECONDS = 20
SOCKETS_LET_IN_A_SECOND = 250
# Servers accept a token for some seconds after its expiry; sockets must still be open after that.
AFTERWARDS_SECONDS = 7.0
WARNED_SECONDS = 60.0
# Errors after which clients retry with the same token.
RETRYABLE = frozenset({"unavailable", "rate_limited"})
RENEWED = "renewed"


@dataclass
class Renewal:
    """One socket in the storm, with the times of its warning and its new token."""

    socket: Socket
    login: Login
    outcome: str = ""
    revoked: str = "not_revoked"
    seconds: float = 0.0
    repeated: int = 0
    warned: asyncio.Future[float] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def on_event(self, event: bytes) -> None:
        """Record the first warning, and the reason if the server revokes the session."""
        if event.startswith(EXPIRING) and not self.warned.done():
            self.warned.set_result(now())
        elif event.startswith(REVOKED):
            self.revoked = str(orjson.loads(event)[1].get("reason"))

    async def renew(self) -> None:
        """Refresh after the warning, retrying if the server is busy, and record the outcome."""
        try:
            warned_at = await asyncio.wait_for(self.warned, WARNED_SECONDS)
        except TimeoutError:
            self.outcome = "not_warned"
            return
        try:
            ack = await self._refresh()
        except TimeoutError:
            self.outcome = "no_answer"
        except LoadError:
            self.outcome = f"closed_{self.revoked}"
        else:
            self.outcome, self.seconds = ack.code or RENEWED, ack.at - warned_at

    async def _refresh(self) -> Ack:
        """Refresh until the answer is not retryable."""
        token = {"refreshToken": self.login.refresh_token}
        while (
            ack := await asyncio.wait_for(self.socket.emit("refresh", token), ANSWER_SECONDS)
        ).code in RETRYABLE:
            self.repeated += 1
            # Jitter, as in clients, so that clients refused together do not retry together.
            await asyncio.sleep(ack.retry_seconds * random.uniform(1, 2))  # noqa: S311 - not for security
        return ack


async def expiry_storm(turn: Round) -> None:
    """Measure warning, refresh and re-authentication of all sockets, and count those closed after the expiry."""
    stand, count = turn.stand, turn.options.sockets
    logins = await stand.seed(count + max(count // 5, 50), 1)
    server = await stand.start()
    await let_in(server, logins[-1])
    await warm_up(server, logins[count:], "refresh", lambda login: {"refreshToken": login.refresh_token})
    life = turn.options.storm_seconds or LEAST_LIFE_SECONDS + count // SOCKETS_LET_IN_A_SECOND
    tokens = await stand.mint(logins[:count], seconds=life)
    ends = [expiry_of(token) for token in tokens]
    connected = await connect_all(server, tokens)
    first_warning = min(ends) - LEAD_SHARE * life
    if time.time() >= first_warning:
        raise LoadError(f"{stand.peer.name} accepted {count} sockets too slowly for a storm of {life} s tokens")
    renewals = [Renewal(socket, login) for (socket, _), login in zip(connected, logins[:count], strict=True)]
    for renewal in renewals:
        renewal.socket.on_event = renewal.on_event
    await asyncio.sleep(max(first_warning - time.time() - 1, 0))
    used = await measured(stand, gather(renewal.renew() for renewal in renewals))
    await asyncio.sleep(max(max(ends) + AFTERWARDS_SECONDS - time.time(), 0))
    outcomes = Counter(renewal.outcome for renewal in renewals)
    waited = [renewal.seconds for renewal in renewals if renewal.outcome == RENEWED]
    if not waited:
        raise LoadError(f"{stand.peer.name}: no socket was renewed in the storm: {dict(outcomes)}")
    turn.record_cpu(
        "expiry_storm",
        used,
        waited,
        units=count,
        dropped=sum(renewal.socket.closed.done() for renewal in renewals),
        repeated=sum(renewal.repeated for renewal in renewals),
        refused=count - len(waited),
        seconds_apart=max(ends) - min(ends),
        token_seconds=life,
        **{f"refused_{code}": number for code, number in outcomes.items() if code != RENEWED},
    )
    for renewal in renewals:
        renewal.socket.hang_up()


def expiry_of(token: str) -> int:
    """Return the `exp` claim of an access token, without verifying it."""
    payload = token.split(".")[1]
    return int(orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
