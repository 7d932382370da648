"""A new password ends the sessions of the old one, though whoever set it is cut off in between."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from support.nodes import ServiceUrls
from support.session_world import LAPTOP, PHONE, World, make_user, principal_of, stand_in_services

from auth.accounts.password_change import PasswordChange
from auth.accounts.password_reset import PasswordReset
from auth.audit import AuditLog
from auth.clients.known_devices import KnownDevices
from auth.core.errors import SessionRevoked, Unavailable
from auth.core.models import SYSTEM, RevocationReason, User
from auth.crypto.passwords import Passwords
from auth.factors.password_guesses import PasswordGuesses
from auth.factors.registry import SecondFactors
from auth.factors.step_up import StepUp
from auth.notifications.mail_contents import MailContent, PasswordChanged, ResetPassword
from auth.platform.rate_limits import RateLimits
from auth.platform.settings.settings import LimitSettings
from auth.services import Services
from auth.sessions.endings import CLAIM, SessionEndings, ending
from auth.sessions.types import StartedSession
from auth.stores.one_time_tokens import OneTimeTokens
from auth.stores.users.pending_revocations import SETTLED, PendingRevocationStore
from auth.stores.users.store import Users

OLD, NEW = "an old oak by the ford", "a new barn on the hill"
# The least that Argon2 takes: these tests are not about its strength.
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class CutOff:
    """Sessions that are out of reach from here on, as for a node that is killed."""

    async def end_matching(self, *_: Any, **__: Any) -> Any:
        raise Unavailable


@dataclass
class FakeMailer:
    """Takes the mails, and keeps the token of the last link."""

    token: str = ""
    changed: list[str] = field(default_factory=list)

    async def send(self, _: User, content: MailContent) -> None:
        assert isinstance(content, ResetPassword)
        self.token = content.token

    async def tell(self, user: User, content: MailContent) -> None:
        assert isinstance(content, PasswordChanged)
        self.changed.append(user.user_id)


@dataclass
class Account:
    """Ada with a password, on two devices; the operations on her password end sessions by `ender`."""

    world: World
    user: User
    users: Users
    laptop: StartedSession
    phone: StartedSession
    store: PendingRevocationStore
    endings: SessionEndings
    step_up: StepUp
    services: Services
    guesses: PasswordGuesses
    passwords: Passwords
    mailer: FakeMailer

    async def change(self, ender: Any, *, keep_sessions: bool = False) -> None:
        operation = PasswordChange(
            self.services,
            passwords=self.passwords,
            endings=self._endings(ender),
            step_up=self.step_up,
            guesses=self.guesses,
        )
        await operation.change(
            principal_of(self.laptop.session),
            current_password=OLD,
            password=NEW,
            keep_sessions=keep_sessions,
            client=LAPTOP,
        )

    async def reset(self, ender: Any) -> None:
        tokens = OneTimeTokens(self.world.mongo.database)
        operation = PasswordReset(
            self.services, tokens=tokens, passwords=self.passwords, endings=self._endings(ender)
        )
        await operation.ask(self.user.email, client=LAPTOP)
        await operation.reset(self.mailer.token, password=NEW, keep_sessions=False, client=LAPTOP)

    def _endings(self, ender: Any) -> SessionEndings:
        return SessionEndings(self.services, store=self.store, sessions=ender)

    async def is_live(self, started: StartedSession) -> bool:
        return (await self.world.stored(started.session)).is_live(self.world.time.now)

    async def finish(self) -> int:
        self.world.time.go(seconds=SETTLED.total_seconds())
        return await self.endings.finish_due()


@pytest.fixture
async def ada(world: World, services: ServiceUrls) -> AsyncIterator[Account]:
    users, passwords = Users(world.mongo.database), Passwords(workers=2, hasher=QUICK)
    limits = RateLimits(
        settings=LimitSettings(rate_limits=False),
        redis_url=services.redis,
        namespace=secrets.token_hex(4),
        metrics=world.metrics,
    )
    user = make_user(world.time.now)
    await users.create(user)
    changed = await users.replace_password(
        user.user_id, after=0, new_hash=await passwords.hash(OLD), ends=None, now=world.time.now
    )
    assert changed is not None
    mailer = FakeMailer()
    shared = stand_in_services(
        users=users,
        audit=AuditLog(store=world.audit_events, keep=timedelta(days=90), metrics=world.metrics, clock=world.time),
        limits=limits,
        mailer=mailer,
        metrics=world.metrics,
        clock=world.time,
    )
    guesses = PasswordGuesses(
        shared, devices=KnownDevices(b"", world.time), tokens=OneTimeTokens(world.mongo.database)
    )
    step_up = StepUp(
        shared, sessions=world.store, second_factors=SecondFactors([]), passwords=passwords, guesses=guesses
    )
    laptop, phone = await world.log_in(changed, LAPTOP), await world.log_in(changed, PHONE)
    world.time.go(seconds=1)
    store = PendingRevocationStore(world.mongo.database)
    endings = SessionEndings(shared, store=store, sessions=world.sessions)
    yield Account(
        world, changed, users, laptop, phone, store, endings, step_up, shared, guesses, passwords, mailer
    )
    await limits.close()
    passwords.close()


async def test_cut_off_after_a_change_the_other_sessions_end_all_the_same(ada: Account) -> None:
    await ada.change(CutOff())
    assert await ada.is_live(ada.phone)
    assert await ada.finish() == 1
    assert (await ada.is_live(ada.laptop), await ada.is_live(ada.phone)) == (True, False)
    ended = await ada.world.stored(ada.phone.session)
    assert (ended.revoked_reason, ended.revoked_by and ended.revoked_by.kind) == (
        RevocationReason.PASSWORD_CHANGED,
        "user",
    )
    with pytest.raises(SessionRevoked):
        await ada.world.sessions.refresh(ada.phone.tokens.refresh_token, client=PHONE)
    # The bus is told, so that live sockets are closed as by any other end.
    assert [fact.session.session_id for fact in ada.world.facts.ended] == [ada.phone.session.session_id]


async def test_cut_off_after_a_reset_every_session_ends_all_the_same(ada: Account) -> None:
    await ada.reset(CutOff())
    assert await ada.finish() == 1
    assert (await ada.is_live(ada.laptop), await ada.is_live(ada.phone)) == (False, False)


async def test_what_was_begun_with_the_new_password_goes_on(ada: Account) -> None:
    await ada.reset(CutOff())
    ada.world.time.go(seconds=1)
    tablet = await ada.world.log_in(ada.user)
    assert await ada.finish() == 1
    assert await ada.is_live(tablet)


async def test_a_change_that_was_finished_leaves_nothing_to_do(ada: Account) -> None:
    await ada.change(ada.world.sessions)
    assert not await ada.is_live(ada.phone)
    again = await ada.users.by_id(ada.user.user_id)
    assert again is not None
    assert again.sessions_to_end is None
    assert await ada.finish() == 0


async def test_sessions_that_are_to_stay_stay(ada: Account) -> None:
    await ada.change(CutOff(), keep_sessions=True)
    assert await ada.finish() == 0
    assert await ada.is_live(ada.phone)


async def test_until_it_is_finished_an_old_session_does_nothing_sensitive(ada: Account) -> None:
    """A thief in it does not use the seconds in which it is still there."""
    assert await ada.step_up.require(principal_of(ada.phone.session))
    await ada.change(CutOff())
    with pytest.raises(SessionRevoked):
        await ada.step_up.require(principal_of(ada.phone.session))
    assert await ada.step_up.require(principal_of(ada.laptop.session))


async def test_it_is_left_to_whoever_is_at_work_for_some_seconds(ada: Account) -> None:
    await ada.change(CutOff())
    ada.world.time.go(seconds=SETTLED.total_seconds() - 1)
    assert await ada.endings.finish_due() == 0


async def test_of_many_nodes_one_takes_it_and_another_where_that_one_dies_too(ada: Account) -> None:
    await ada.change(CutOff())
    now = ada.world.time.go(seconds=SETTLED.total_seconds())
    claims = await asyncio.gather(*(ada.store.claim(now=now, until=now + CLAIM) for _ in range(8)))
    assert sum(claim is not None for claim in claims) == 1
    assert await ada.endings.finish_due() == 0
    ada.world.time.go(seconds=CLAIM.total_seconds())
    assert await ada.endings.finish_due() == 1
    assert not await ada.is_live(ada.phone)


async def test_a_later_ending_is_not_taken_for_an_earlier_one(ada: Account) -> None:
    earlier = ending(ada.world.time.now, RevocationReason.PASSWORD_CHANGED, by=SYSTEM)
    await ada.change(CutOff())
    await ada.endings.give_up(ada.user.user_id, earlier)
    assert await ada.finish() == 1
