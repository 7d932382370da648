"""How sessions begin: within their user's limit, and as their user is at that moment; raced on two nodes."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from support.session_world import Time, make_session, make_user, stand_in_services

from auth.core.clock import utc_now
from auth.core.errors import AccountLocked, Conflict, SessionLimitReached
from auth.core.models import SYSTEM, HeldRoles, RevocationReason, Session, User
from auth.sessions.endings import ending
from auth.sessions.session_start import LimitPolicy, NewSession, SessionStart
from auth.stores.mongo import Mongo
from auth.stores.sessions.places import SessionPlaces
from auth.stores.sessions.roles import SessionRoles
from auth.stores.sessions.store import SessionStore
from auth.stores.users.directory import Directory
from auth.stores.users.store import Users

KEPT = timedelta(days=90)
LOCKED = ending(utc_now(), RevocationReason.ADMIN, by=SYSTEM)


class Node:
    """The stores as one node has them, and its door."""

    def __init__(self, mongo: Mongo, *, limit: int, policy: LimitPolicy, time: Time) -> None:
        database = mongo.database
        self.time = time
        self.users = Users(database)
        self.sessions = SessionStore(database, revoked_kept=KEPT)
        self.places = SessionPlaces(database)
        self.roles = SessionRoles(database)
        self.directory = Directory(database)
        self.entry = SessionStart(
            stand_in_services(users=self.users, clock=time),
            sessions=self.sessions,
            places=self.places,
            roles=self.roles,
            limit=limit,
            policy=policy,
        )

    async def login(self, user: User, *, at: timedelta = timedelta()) -> NewSession:
        """What `Sessions.start` does: enter, and end what is surplus."""
        now = self.time.now + at
        entered = await self.entry.enter(
            make_session(now, user_id=user.user_id, roles=user.roles, roles_version=user.roles_version),
            credentials_version=user.credentials_version,
        )
        for session_id in entered.surplus:
            await self.end(session_id, user)
        return entered

    async def end(self, session_id: str, user: User) -> Session | None:
        return await self.sessions.revoke(
            session_id,
            user_id=user.user_id,
            reason=RevocationReason.REVOKED,
            by=SYSTEM,
            ip=None,
            now=self.time.now + timedelta(seconds=1),
        )

    async def live(self, user: User) -> list[str]:
        found = await self.places.live(user.user_id, now=self.time.now)
        return [login.session_id for login in found]


async def two_nodes(
    mongo: Mongo, *, limit: int = 0, policy: LimitPolicy = "end_oldest"
) -> tuple[Node, Node, User]:
    time = Time()
    first, second = (Node(mongo, limit=limit, policy=policy, time=time) for _ in range(2))
    user = make_user(time.now, roles=())
    await first.users.create(user)
    return first, second, user


async def change_password(node: Node, user: User) -> User:
    changed = await node.users.replace_password(
        user.user_id, after=user.credentials_version, new_hash="new", ends=None, now=node.time.now
    )
    assert changed is not None
    return changed


# The limit -------------------------------------------------------------------------------------------------


async def test_without_a_limit_there_is_none(mongo: Mongo) -> None:
    node, _, user = await two_nodes(mongo)
    for _ in range(12):
        assert (await node.login(user)).surplus == ()
    assert len(await node.live(user)) == 12


async def test_asvs_7_1_2_at_the_limit_the_oldest_ends(mongo: Mongo) -> None:
    node, _, user = await two_nodes(mongo, limit=3)
    begun = [(await node.login(user, at=timedelta(milliseconds=n))).session.session_id for n in range(5)]
    assert await node.live(user) == begun[:1:-1]


async def test_asvs_7_1_2_at_the_limit_a_new_one_is_refused_until_one_ends(mongo: Mongo) -> None:
    node, _, user = await two_nodes(mongo, limit=2, policy="refuse_new")
    first = (await node.login(user)).session.session_id
    await node.login(user)
    for _ in range(2):
        with pytest.raises(SessionLimitReached):
            await node.login(user)
    assert await node.end(first, user) is not None
    await node.login(user)
    with pytest.raises(SessionLimitReached):
        await node.login(user)
    assert len(await node.live(user)) == 2


async def test_asvs_7_1_2_twenty_logins_at_once_on_two_nodes_leave_no_more_than_the_limit(mongo: Mongo) -> None:
    """Whichever the policy; and one that refuses lets in exactly as many as there is room for."""
    first, second, user = await two_nodes(mongo, limit=4)
    await asyncio.gather(*((first, second)[n % 2].login(user, at=timedelta(milliseconds=n)) for n in range(20)))
    assert len(await first.live(user)) == 4

    first, second, user = await two_nodes(mongo, limit=4, policy="refuse_new")
    outcomes = await asyncio.gather(
        *((first, second)[n % 2].login(user) for n in range(20)), return_exceptions=True
    )
    let_in = [outcome for outcome in outcomes if isinstance(outcome, NewSession)]
    assert len(let_in) == len(await first.live(user)) == 4
    assert {type(outcome) for outcome in outcomes} == {NewSession, SessionLimitReached}


async def test_logins_and_logouts_at_once_never_pass_the_limit(mongo: Mongo) -> None:
    first, second, user = await two_nodes(mongo, limit=3, policy="refuse_new")
    most = 0

    async def come_and_go(node: Node) -> None:
        nonlocal most
        for _ in range(6):
            try:
                entered = await node.login(user)
            except SessionLimitReached:
                continue
            most = max(most, len(await node.live(user)))
            assert await node.end(entered.session.session_id, user) is not None

    await asyncio.gather(*(come_and_go((first, second)[n % 2]) for n in range(8)))
    assert 1 <= most <= 3
    assert await first.live(user) == []
    await first.login(user)


async def test_an_expired_session_makes_room_although_nobody_has_told_its_end(mongo: Mongo) -> None:
    node, _, user = await two_nodes(mongo, limit=1, policy="refuse_new")
    await node.login(user)
    node.time.go(days=7, seconds=10)
    assert len((await node.login(user)).session.session_id) == 32


async def test_sessions_from_before_there_was_a_limit_count(mongo: Mongo) -> None:
    free, _, user = await two_nodes(mongo)
    old = [(await free.login(user)).session.session_id for _ in range(2)]
    limited = Node(mongo, limit=3, policy="refuse_new", time=free.time)
    outcomes = await asyncio.gather(*(limited.login(user) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, NewSession) for outcome in outcomes) == 1
    lowered = Node(mongo, limit=1, policy="refuse_new", time=free.time)
    for session_id in old:
        await lowered.end(session_id, user)
        with pytest.raises(SessionLimitReached):
            await lowered.login(user)


async def test_one_users_sessions_leave_anothers_alone(mongo: Mongo) -> None:
    for policy in ("end_oldest", "refuse_new"):
        node, _, user = await two_nodes(mongo, limit=1, policy=policy)
        other = make_user(node.time.now, roles=())
        await node.users.create(other)
        await node.login(user)
        assert (await node.login(other)).surplus == ()
        assert len(await node.live(user)) == len(await node.live(other)) == 1


# As the user is --------------------------------------------------------------------------------------------


async def test_a_user_locked_after_the_proof_is_refused_and_nothing_is_left(mongo: Mongo) -> None:
    node, _, user = await two_nodes(mongo, limit=1, policy="refuse_new")
    await node.directory.lock(user.user_id, ends=LOCKED, now=utc_now())
    for _ in range(2):
        with pytest.raises(AccountLocked):
            await node.login(user)
    assert await node.sessions.claim_unpublished(before=node.time.now + KEPT, now=node.time.now) is None
    await node.directory.unlock(user.user_id)
    await node.login(user)  # no place was lost


async def test_asvs_7_4_2_a_login_racing_a_lock_is_refused_or_ended(mongo: Mongo) -> None:
    """Each of the two writes first and looks then: thirty times, whichever comes first."""
    outcomes = set()
    for turn in range(30):
        first, second, user = await two_nodes(mongo)

        async def lock(node: Node = second, user: User = user, turn: int = turn) -> None:
            # From before the login's first write to behind its last read.
            await asyncio.sleep(turn % 10 / 5000)
            await node.directory.lock(user.user_id, ends=LOCKED, now=node.time.now)
            await node.sessions.revoke_all(
                user.user_id,
                revocation_id=user.user_id,
                keep=None,
                reason=RevocationReason.ADMIN,
                by=SYSTEM,
                ip=None,
                now=node.time.now,
            )

        logins = [first.login(user) for _ in range(4)]
        *done, _ = await asyncio.gather(*logins, lock(), return_exceptions=True)
        outcomes |= {type(outcome) for outcome in done}
        assert await first.live(user) == []
    assert outcomes <= {NewSession, AccountLocked}


async def test_whoever_proved_credentials_of_before_is_refused_and_nothing_is_left(mongo: Mongo) -> None:
    node, _, user = await two_nodes(mongo, limit=1, policy="refuse_new")
    changed = await change_password(node, user)
    for _ in range(2):
        with pytest.raises(Conflict):
            await node.login(user)
    assert await node.live(user) == []
    await node.login(changed)  # no place was lost


async def test_asvs_7_4_3_a_login_racing_a_new_password_is_refused_or_ended(mongo: Mongo) -> None:
    """A thief's login that was proved by the old password is not there when the owner is done."""
    outcomes = set()
    for turn in range(30):
        first, second, user = await two_nodes(mongo)

        async def change(node: Node = second, user: User = user, turn: int = turn) -> None:
            await asyncio.sleep(turn % 10 / 5000)
            await change_password(node, user)
            await node.sessions.revoke_all(
                user.user_id,
                revocation_id=user.user_id,
                keep=None,
                reason=RevocationReason.PASSWORD_CHANGED,
                by=SYSTEM,
                ip=None,
                now=node.time.now,
            )

        *done, _ = await asyncio.gather(*(first.login(user) for _ in range(4)), change(), return_exceptions=True)
        outcomes |= {type(outcome) for outcome in done}
        assert await first.live(user) == []
    assert outcomes <= {NewSession, Conflict}


async def test_asvs_8_3_2_a_login_racing_a_change_of_roles_has_the_new_ones(mongo: Mongo) -> None:
    for turn in range(20):
        first, second, user = await two_nodes(mongo)
        user = await first.directory.set_roles(user.user_id, ["admin"], after=0, now=utc_now()) or user

        async def take_away(node: Node = second, user: User = user, turn: int = turn) -> None:
            await asyncio.sleep(turn % 10 / 5000)
            changed = await node.directory.set_roles(user.user_id, [], after=user.roles_version, now=utc_now())
            assert changed is not None
            await node.roles.set_for_user(user.user_id, changed.held_roles, now=node.time.now)

        *entered, _ = await asyncio.gather(first.login(user), first.login(user), take_away())
        for each in entered:
            stored = await first.sessions.get(each.session.session_id)
            assert stored is not None
            assert (stored.roles, stored.roles_version) == ((), 2)


async def test_an_earlier_change_of_roles_never_overwrites_a_later_one(mongo: Mongo) -> None:
    node, _, user = await two_nodes(mongo)
    session = (await node.login(user)).session
    for roles, version in ((("admin",), 1), ((), 3), (("moderator",), 2)):
        await node.roles.set_for_user(user.user_id, HeldRoles(roles, version), now=node.time.now)
        await node.roles.set_for_session(session.session_id, HeldRoles(roles, version), user_id=session.user_id)
    stored = await node.sessions.get(session.session_id)
    assert stored == replace(session, roles=(), roles_version=3)
    assert await node.roles.changed_among([session.session_id, "x"], user_ids=[session.user_id]) == {
        session.session_id: HeldRoles((), 3)
    }


async def test_a_change_is_marked_until_the_bus_has_it_and_a_later_one_still_then(mongo: Mongo) -> None:
    node, _, user = await two_nodes(mongo)
    session = (await node.login(user)).session
    await node.sessions.mark_published(session.session_id, ["created"], user_id=session.user_id)
    later = node.time.now + timedelta(minutes=1)
    for version in (1, 2):
        await node.roles.set_for_user(user.user_id, HeldRoles(("admin",), version), now=node.time.now)
    await node.roles.mark_published(user.user_id, 1)
    claimed = await node.sessions.claim_unpublished(before=later, now=node.time.now)
    assert claimed is not None
    assert claimed[1] == {"roles:2"}
    await node.roles.mark_published(user.user_id, 2)
    assert await node.sessions.claim_unpublished(before=later, now=node.time.now) is None
