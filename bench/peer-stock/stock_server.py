"""The stock peer: python-socketio's unmodified AsyncServer and AsyncRedisManager, on aiohttp and uvloop."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import socketio
import uvloop
from aiohttp import web
from prometheus_client import Counter, Gauge, Histogram
from redis.asyncio import Redis
from stock_accounts import Accounts
from stock_common import Config, Refused, iso, utc_now

LEAD_SECONDS, LEAD_SHARE, GRACE_SECONDS = 60.0, 0.2, 30.0
LEAVE_SECONDS = 2.0
LOG_LENGTH = 500

REQUESTS = Counter("requests", "HTTP answers", ["method", "route", "status"])
SECONDS = Histogram("request_seconds", "Time to an answer", ["route"])
SOCKETS = Gauge("sockets", "Live sockets")
EVENTS = Counter("socket_events", "Client events", ["event"])

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LiveSide:
    """The socket's handlers."""

    def __init__(self, config: Config, accounts: Accounts, redis: Any) -> None:
        self._config = config
        self._accounts = accounts
        self._redis = redis
        manager = socketio.AsyncRedisManager(config.redis_url, channel=f"{config.prefix}:socketio")
        self.sio = socketio.AsyncServer(async_mode="aiohttp", client_manager=manager, transports=["websocket"])
        self._timers: dict[str, list[asyncio.TimerHandle]] = {}
        self._expired: set[str] = set()
        self.sio.on("connect", self.connect)
        self.sio.on("disconnect", self.disconnect)
        for event, handler in (
            ("reauthenticate", self.reauthenticate),
            ("refresh", self.refresh),
            ("bench:join", self.join),
            ("bench:push", self.push),
        ):
            self.sio.on(event, self._answering(event, handler))

    async def connect(self, sid: str, _environ: dict[str, Any], auth: dict[str, Any] | None) -> None:
        """Authenticate and accept a socket."""
        try:
            claims = self._accounts.tokens.verify_access((auth or {}).get("token"))
            last_event_id = await self._join_presence(sid, claims)
            await self._accounts.confirm(claims)
        except Refused as refusal:
            raise socketio.exceptions.ConnectionRefusedError(
                refusal.code, {"code": refusal.code, "retryable": False}
            ) from None
        await self.sio.save_session(sid, claims)
        await self.sio.enter_room(sid, f"user:{claims['sub']}")
        await self.sio.enter_room(sid, f"session:{claims['sid']}")
        self._watch_expiry(sid, claims)
        SOCKETS.inc()
        self.sio.start_background_task(self._greet, sid, claims, last_event_id)

    async def disconnect(self, sid: str, _reason: str) -> None:
        """Remove a socket; its presence lasts two more seconds."""
        claims = await self.sio.get_session(sid)
        for timer in self._timers.pop(sid, []):
            timer.cancel()
        self._expired.discard(sid)
        SOCKETS.dec()
        self.sio.start_background_task(self._leave_presence, sid, claims)

    async def reauthenticate(self, sid: str, data: dict[str, Any]) -> dict[str, Any]:
        """Continue the socket with a new token."""
        before = await self.sio.get_session(sid)
        claims = await self._accounts.authenticate(data.get("token"))
        if (claims["sub"], claims["sid"]) != (before["sub"], before["sid"]):
            raise Refused("forbidden")
        return {"accessTokenExpiresAt": await self._renew(sid, claims)}

    async def refresh(self, sid: str, data: dict[str, Any]) -> dict[str, Any]:
        """Refresh the session, and continue the socket with the new token."""
        before = await self.sio.get_session(sid)
        if self._accounts.tokens.parse_refresh(data.get("refreshToken"))[0] != before["sid"]:
            raise Refused("forbidden")
        refreshed = await self._accounts.refresh(data.get("refreshToken"))
        await self._renew(sid, self._accounts.tokens.verify_access(refreshed["accessToken"]))
        return refreshed

    async def join(self, sid: str, data: dict[str, Any]) -> dict[str, Any]:
        """Join a room."""
        await self.sio.enter_room(sid, data["room"])
        return {}

    async def push(self, _sid: str, data: dict[str, Any]) -> dict[str, Any]:
        """Send to a room on all nodes."""
        await self.sio.emit("bench:message", data["data"], room=data["room"])
        return {}

    def _answering(
        self, event: str, handler: Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
    ) -> Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]:
        async def answer(sid: str, data: dict[str, Any]) -> dict[str, Any]:
            EVENTS.labels(event).inc()
            if sid in self._expired and event not in {"reauthenticate", "refresh"}:
                return {"ok": False, "code": "token_expired", "message": "The token has expired."}
            try:
                return {"ok": True} | await handler(sid, data)
            except Refused as refusal:
                return {"ok": False, "code": refusal.code, "message": refusal.code}

        return answer

    async def _join_presence(self, sid: str, claims: dict[str, Any]) -> int:
        """Register the socket and return the newest event id. Raises `Refused` if its session was revoked."""
        user_id, session_id = claims["sub"], claims["sid"]
        log, sockets = f"{self._config.prefix}:log:{user_id}", self._accounts.sockets_key(user_id)
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.exists(self._accounts.deny_key(session_id))
            pipeline.hvals(sockets)
            pipeline.hset(sockets, sid, session_id)
            pipeline.xrevrange(log, count=1)
            denied, online, _, newest = await pipeline.execute()
        if denied:
            await self._redis.hdel(sockets, sid)
            raise Refused("session_revoked")
        if session_id not in online:
            return await self._tell_status(claims, online=True, others=bool(online), sid=sid)
        return int(newest[0][0].partition("-")[0]) if newest else 0

    async def _leave_presence(self, sid: str, claims: dict[str, Any]) -> None:
        await asyncio.sleep(LEAVE_SECONDS)
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hdel(self._accounts.sockets_key(claims["sub"]), sid)
            pipeline.hvals(self._accounts.sockets_key(claims["sub"]))
            _, online = await pipeline.execute()
        if claims["sid"] not in online:
            await self._tell_status(claims, online=False, others=bool(online), sid=sid)

    async def _tell_status(self, claims: dict[str, Any], *, online: bool, others: bool, sid: str) -> int:
        status = {
            "sessionId": claims["sid"],
            "online": online,
            "sockets": int(online),
            "lastSeenAt": iso(utc_now()),
        }
        log = f"{self._config.prefix}:log:{claims['sub']}"
        entry = await self._redis.xadd(
            log, {"e": "device-status", "d": str(status)}, maxlen=LOG_LENGTH, approximate=True
        )
        event_id = int(entry.partition("-")[0])
        if others:
            room = f"user:{claims['sub']}"
            await self.sio.emit("device-status", status | {"eventId": event_id}, room=room, skip_sid=sid)
        return event_id

    async def _greet(self, sid: str, claims: dict[str, Any], last_event_id: int) -> None:
        ready = {
            "protocol": 1,
            "userId": claims["sub"],
            "sessionId": claims["sid"],
            "socketId": sid,
            "accessTokenExpiresAt": _expiry(claims),
            "graceMs": int(GRACE_SECONDS * 1000),
            "serverTime": iso(utc_now()),
            "lastEventId": last_event_id,
            "recovered": False,
        }
        await self.sio.emit("ready", ready, to=sid)

    async def _renew(self, sid: str, claims: dict[str, Any]) -> str:
        await self.sio.save_session(sid, claims)
        self._expired.discard(sid)
        self._watch_expiry(sid, claims)
        return _expiry(claims)

    def _watch_expiry(self, sid: str, claims: dict[str, Any]) -> None:
        for timer in self._timers.pop(sid, []):
            timer.cancel()
        left = claims["exp"] - time.time()
        lead = min(LEAD_SECONDS, (claims["exp"] - claims["iat"]) * LEAD_SHARE)
        loop = asyncio.get_running_loop()
        start = self.sio.start_background_task
        self._timers[sid] = [
            loop.call_later(max(left - lead, 0), lambda: start(self._warn, sid, claims)),
            loop.call_later(max(left, 0), lambda: start(self._expire, sid)),
            loop.call_later(max(left + GRACE_SECONDS, 0), lambda: start(self.sio.disconnect, sid)),
        ]

    async def _warn(self, sid: str, claims: dict[str, Any]) -> None:
        warning = {
            "expiresAt": _expiry(claims),
            "expiresInMs": int((claims["exp"] - time.time()) * 1000),
            "graceMs": int(GRACE_SECONDS * 1000),
        }
        await self.sio.emit("token-expiring", warning, to=sid)

    async def _expire(self, sid: str) -> None:
        self._expired.add(sid)
        ends = utc_now().timestamp() + GRACE_SECONDS
        await self.sio.emit("token-expired", {"graceEndsAt": ends}, to=sid)


def _expiry(claims: dict[str, Any]) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(claims["exp"]))


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count requests, and turn `Refused` into JSON."""
    if request.path.startswith("/socket.io"):
        return await handler(request)
    begun = time.perf_counter()
    try:
        response = await handler(request)
    except Refused as refusal:
        body = {"success": False, "code": refusal.code, "message": refusal.code}
        response = web.json_response(body, status=401)
    REQUESTS.labels(request.method, request.path, str(response.status)).inc()
    SECONDS.labels(request.path).observe(time.perf_counter() - begun)
    return response


def add_routes(app: web.Application, accounts: Accounts) -> None:
    """Add the HTTP routes."""

    async def principal(request: web.Request) -> dict[str, Any]:
        return await accounts.authenticate(request.headers.get("Authorization", "").removeprefix("Bearer "))

    async def me(request: web.Request) -> web.Response:
        return _answer({"user": await accounts.user(await principal(request))})

    async def sessions(request: web.Request) -> web.Response:
        return _answer(await accounts.sessions(await principal(request)))

    async def refresh(request: web.Request) -> web.Response:
        return _answer(await accounts.refresh((await request.json()).get("refreshToken")))

    app.router.add_get("/api/auth/me", me)
    app.router.add_get("/api/auth/sessions", sessions)
    app.router.add_post("/api/auth/refresh", refresh)


def _answer(data: dict[str, Any]) -> web.Response:
    return web.json_response({"success": True, "data": data})


async def serve() -> None:
    """Run until SIGTERM."""
    config = Config.read()
    database = config.open_database()
    await database["sessions"].create_index([("userId", 1), ("revokedAt", 1), ("lastSeenAt", -1)])
    redis: Any = Redis.from_url(config.redis_url, decode_responses=True)
    accounts = Accounts(config, database, redis)
    live = LiveSide(config, accounts, redis)
    app = web.Application(middlewares=[observe])
    live.sio.attach(app)
    add_routes(app, accounts)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", config.port, backlog=2048)
    await site.start()
    print(f"listening on http://127.0.0.1:{config.port}", flush=True)  # noqa: T201 - read by the bench
    await stop.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve())
