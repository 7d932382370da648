"""The application's hooks for started and ended sessions: each is run until it has succeeded once.

The node that publishes the fact runs them first. A hook that fails is recorded on the session in MongoDB and
retried alone, by any node, after growing pauses; it is given up after about twenty hours.
"""

import asyncio
from datetime import timedelta
from typing import Literal

import structlog

from auth.core.clock import Clock
from auth.core.errors import Unavailable
from auth.core.events import SessionCreated, SessionEnded, SessionFact
from auth.core.models import Session
from auth.core.tasks import end
from auth.stores.sessions.hooks import SessionHookStore
from realtime.application import HOOK_SECONDS, Application, SessionHook, cancellation_as_error

ROUND_SECONDS = 1.0
# Sessions retried concurrently per round, so that a hanging hook does not delay the others.
BATCH = 20
# Time limit of a retried hook; no operation waits for it.
RETRY_HOOK_SECONDS = 10.0
# Longer than a round takes: when a claim runs out, the node that made it must have died.
CLAIM = timedelta(seconds=60)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=2), timedelta(hours=1)
MOST_TRIES = 30

log = structlog.get_logger()

Kind = Literal["started", "ended"]


class SessionHooks:
    """Runs the session hooks of `application`, if any, and retries failed ones."""

    def __init__(self, due: SessionHookStore, application: Application | None, *, clock: Clock) -> None:
        self._due = due
        self._application = application
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start retrying failed hooks, until `close`."""
        if self._hooks("started") or self._hooks("ended"):
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop; another node runs the hooks that are due."""
        await end(self._task)

    async def run(self, fact: SessionFact) -> None:
        """Run the hooks for a fact, at most 1 s each. Raises `Unavailable` if a failure could not be recorded."""
        kind: Kind | None = (
            "started" if isinstance(fact, SessionCreated) else "ended" if isinstance(fact, SessionEnded) else None
        )
        if kind is None:
            return
        hooks = self._hooks(kind)
        failed = [name for name in hooks if not await _succeeds(hooks[name], fact.session, HOOK_SECONDS)]
        if failed:
            await self._due.add(
                fact.session.session_id, failed, user_id=fact.session.user_id, at=self._clock() + FIRST_PAUSE
            )

    def _hooks(self, kind: Kind) -> dict[str, SessionHook]:
        if self._application is None:
            return {}
        hooks = self._application.started_hooks if kind == "started" else self._application.ended_hooks
        # Numbered, because two hooks may have the same name.
        return {f"{kind}:{number}:{getattr(hook, '__qualname__', '')}": hook for number, hook in enumerate(hooks)}

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            try:
                while await self._round() == BATCH:
                    pass
            except Unavailable:
                continue
            except Exception:  # failed hooks stay due
                log.exception("session_hooks_failed")

    async def _round(self) -> int:
        claimed: list[tuple[Session, frozenset[str], int]] = []
        while len(claimed) < BATCH:
            now = self._clock()
            one = await self._due.claim(now=now, until=now + CLAIM)
            if one is None:
                break
            claimed.append(one)
        await asyncio.gather(*(self._retry(*each) for each in claimed))
        return len(claimed)

    async def _retry(self, session: Session, due: frozenset[str], tries: int) -> None:
        hooks = self._hooks("started") | self._hooks("ended")
        done = []
        for name in sorted(due):
            # A hook that the application no longer has counts as done.
            if name not in hooks or await _succeeds(hooks[name], session, RETRY_HOOK_SECONDS):
                done.append(name)
            elif tries >= MOST_TRIES:
                log.error("application_hook_given_up", session_id=session.session_id, hook=name)
                done.append(name)
        await self._due.settle(
            session.session_id, done, user_id=session.user_id, again_at=self._clock() + pause_after(tries)
        )


def pause_after(tries: int) -> timedelta:
    """The pause after a hook failed in its `tries`-th retry."""
    return min(FIRST_PAUSE * (1 << min(tries, 16)), LONGEST_PAUSE)


async def _succeeds(hook: SessionHook, session: Session, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            with cancellation_as_error():
                await hook(session)
    except Exception:  # a bug in the application
        log.exception("application_hook_failed", session_id=session.session_id)
        return False
    return True
