"""The families of tests/unit/test_rotation.py once more, on the operations and a real MongoDB."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from support.nodes import ServiceUrls
from support.rotation_model import Answer, HonestClients, OwnerAndShadow, OwnerAndThief, Pair, Use
from support.session_world import LAPTOP, PHONE, World, make_user, make_world

from auth.core.errors import AuthError, SessionRevoked, TokenExpired
from auth.core.models import IssuedTokens
from auth.sessions.rotation import Verdict
from auth.stores.mongo import Mongo

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class StoredFamily:
    """A family as the server keeps it."""

    def __init__(self, run: Run, mongo: Mongo) -> None:
        self._run = run
        self._world: World = run(make_world(mongo))
        self._session_id = ""

    def now(self) -> datetime:
        return self._world.time.now

    def go(self, seconds: float) -> None:
        self._world.time.go(seconds=seconds)

    def begin(self) -> Pair:
        started = self._run(self._world.log_in(make_user(self.now())))
        self._session_id = started.session.session_id
        return Pair(0, started.tokens)

    async def _refresh(self, pair: Pair, *, elsewhere: bool = False) -> Answer:
        tokens: IssuedTokens = pair.tokens
        client = PHONE if elsewhere else LAPTOP
        try:
            refreshed = await self._world.sessions.refresh(tokens.refresh_token, client=client)
        except AuthError as refusal:
            return Verdict(refusal.code), None
        principal = await self._world.sessions.verify(refreshed.tokens.access_token)
        return refreshed.outcome, Pair(principal.generation, refreshed.tokens)

    async def _together(self, pair: Pair, count: int) -> Sequence[Answer]:
        return await asyncio.gather(*(self._refresh(pair) for _ in range(count)))

    def refresh(self, pair: Pair, *, elsewhere: bool = False) -> Answer:
        answer: Answer = self._run(self._refresh(pair, elsewhere=elsewhere))
        return answer

    def refresh_together(self, pair: Pair, count: int) -> Sequence[Answer]:
        answers: Sequence[Answer] = self._run(self._together(pair, count))
        return answers

    def use(self, pair: Pair) -> Use:
        try:
            self._run(self._world.sessions.authenticate(pair.tokens.access_token))
        except TokenExpired:
            return "stale"
        except SessionRevoked:
            return "refused"
        return "served"

    def revoke(self) -> None:
        session = self._run(self._world.store.get(self._session_id))
        self._run(self._world.sessions._log_out(session.session_id, session.user_id, LAPTOP))

    def generation(self) -> int:
        return int(self._run(self._world.store.get(self._session_id)).generation)

    def is_revoked(self) -> bool:
        return self._run(self._world.store.get(self._session_id)).revoked_at is not None

    def alarms(self) -> int:
        return len(self._world.facts.alerts)

    def close(self) -> None:
        pass


@pytest.fixture
def new_family(services: ServiceUrls, database_name: str) -> Iterator[Callable[[], StoredFamily]]:
    """Makes families on one database, whose client lives in a loop of its own."""
    with asyncio.Runner() as runner:
        mongo = Mongo(services.patient_mongo, database_name, "pymongo")
        runner.run(make_world(mongo))
        yield lambda: StoredFamily(runner.run, mongo)
        runner.run(mongo.close())


@pytest.mark.parametrize("clients", [HonestClients, OwnerAndThief, OwnerAndShadow])
def test_families_on_the_real_store(clients: type, new_family: Callable[[], StoredFamily]) -> None:
    """Real races: the tabs' requests run at once, and MongoDB decides which of them comes first."""

    class OnTheStore(clients):
        make_family = staticmethod(new_family)

    run_state_machine_as_test(
        OnTheStore,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
