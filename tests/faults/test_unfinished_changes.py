"""A node dies between a change of an account and what it means for the sessions of the account."""

from collections.abc import AsyncIterator, Awaitable, Callable

import jwt
import pytest
from support.breakable import Stores
from support.clients import Api, Live
from support.nodes import Installation, Node

from auth.core.clock import utc_now
from auth.core.models import Actor, RevocationReason
from auth.sessions.endings import ending
from auth.stores.mongo import Mongo
from auth.stores.users.directory import Directory
from auth.stores.users.store import Users

On = Callable[[Node], Api]
Connect = Callable[..., Awaitable[Live]]
Pair = tuple[Node, Node]

# As the sweep finds it: five seconds, two between looks, and a machine that does other things besides.
FOUND_WITHIN = 20


@pytest.fixture
async def mongo(stores: Stores, own_installation: Installation) -> AsyncIterator[Mongo]:
    """The nodes' database, to write what a node wrote that died at once."""
    opened = Mongo(stores.mongo.url, own_installation.name, "pymongo")
    yield opened
    await opened.close()


async def test_asvs_7_4_3_after_a_new_password_the_other_nodes_end_them_sockets_included(
    mongo: Mongo, pair: Pair, on: On, connect: Connect
) -> None:
    email = await on(pair[0]).register()
    laptop, phone = await on(pair[0]).login(email), await on(pair[0]).login(email)
    kept, ended = await connect(pair[0], laptop.access_token), await connect(pair[1], phone.access_token)
    own, now = laptop.session_id, utc_now()
    ends = ending(now, RevocationReason.PASSWORD_CHANGED, by=Actor("user", own), keep=own)
    user_id = phone.data["user"]["userId"]
    changed = await Users(mongo.database).replace_password(user_id, after=0, new_hash="new", ends=ends, now=now)
    assert changed is not None
    told = await ended.wait("session-revoked", timeout=FOUND_WITHIN)
    assert (told["reason"], told["by"]) == ("password_changed", {"kind": "user", "sessionId": own})
    await ended.until_gone()
    assert (await phone.refresh()).code == "session_revoked"
    for node in pair:
        assert (await on(node).call("GET", "/me", token=phone.access_token)).code == "session_revoked"
    assert (await laptop.refresh()).status == 200
    assert not kept.gone.is_set()


async def test_asvs_7_4_5_after_a_lock_the_other_nodes_end_every_session(
    mongo: Mongo, pair: Pair, on: On, connect: Connect
) -> None:
    login = await on(pair[0]).login(await on(pair[0]).register())
    live = await connect(pair[1], login.access_token)
    now = utc_now()
    ends = ending(now, RevocationReason.ADMIN, by=Actor("admin", "elsewhere"))
    assert await Directory(mongo.database).lock(login.data["user"]["userId"], ends=ends, now=now) is not None
    told = await live.wait("session-revoked", timeout=FOUND_WITHIN)
    assert (told["reason"], told["by"]["kind"]) == ("admin", "admin")
    await live.until_gone()


async def test_asvs_8_3_2_after_a_change_of_roles_the_other_nodes_tell_sockets_and_tokens(
    mongo: Mongo, pair: Pair, on: On, connect: Connect
) -> None:
    login = await on(pair[0]).login(await on(pair[0]).register())
    live = await connect(pair[1], login.access_token)
    user_id = login.data["user"]["userId"]
    changed = await Directory(mongo.database).set_roles(user_id, ["moderator"], after=0, now=utc_now())
    assert changed is not None
    told = await live.wait("roles-changed", timeout=FOUND_WITHIN)
    assert told["roles"] == ["moderator"]
    refreshed = await login.refresh()
    said = jwt.decode(refreshed.data["accessToken"], options={"verify_signature": False})
    assert said["roles"] == ["moderator"]
