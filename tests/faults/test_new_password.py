"""A node dies between a new password and the end of the sessions that the old one began."""

from collections.abc import Awaitable, Callable

from support.breakable import Stores
from support.clients import Api, Live
from support.nodes import Installation, Node

from auth.clock import utc_now
from auth.models import Actor, RevocationReason
from auth.session_endings import ending
from auth.stores.mongo import Mongo
from auth.stores.users import Users

On = Callable[[Node], Api]
Connect = Callable[..., Awaitable[Live]]


async def test_asvs_7_4_3_the_other_nodes_end_them_sockets_included(
    stores: Stores, pair: tuple[Node, Node], own_installation: Installation, on: On, connect: Connect
) -> None:
    email = await on(pair[0]).register()
    laptop, phone = await on(pair[0]).login(email), await on(pair[0]).login(email)
    kept, ended = await connect(pair[0], laptop.access_token), await connect(pair[1], phone.access_token)
    mongo = Mongo(stores.mongo.url, own_installation.name, "pymongo")
    users = Users(mongo.database)
    user = await users.by_id(phone.data["user"]["userId"])
    assert user is not None
    now = utc_now()
    changed = await users.replace_password(
        user.user_id,
        after=user.credentials_version,
        new_hash="set by a node that died at once",
        ends=ending(
            now,
            RevocationReason.PASSWORD_CHANGED,
            by=Actor("user", laptop.session_id),
            keep=laptop.session_id,
        ),
        now=now,
    )
    await mongo.close()
    assert changed is not None
    told = await ended.wait("session-revoked", timeout=15)
    assert (told["reason"], told["by"]["kind"]) == ("password_changed", "user")
    await ended.until_gone()
    assert (await phone.refresh()).code == "session_revoked"
    for node in pair:
        assert (await on(node).call("GET", "/me", token=phone.access_token)).code == "session_revoked"
    assert (await laptop.refresh()).status == 200
    assert not kept.gone.is_set()
