"""Administration over HTTP: who may, what is found, what is done, and that all of it is written down."""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from support.clients import PASSWORD, Api, Live, Login
from support.mailbox import mailed
from support.nodes import Node
from support.secured import secure

from auth.core.clock import iso, utc_now

NO_SESSION = "0" * 32
# Every act, and whether a moderator may.
ACTS: list[tuple[str, str, Any, bool]] = [
    ("GET", "/admin/users", None, True),
    ("GET", "/admin/users/{user}", None, True),
    ("DELETE", "/admin/users/{user}/sessions", None, True),
    ("DELETE", f"/admin/users/{{user}}/sessions/{NO_SESSION}", None, True),
    ("PUT", "/admin/users/{user}/roles", {"roles": []}, False),
    ("POST", "/admin/users/{user}/lock", {}, False),
    ("POST", "/admin/users/{user}/unlock", {}, False),
    ("DELETE", "/admin/users/{user}/factors", None, False),
    ("GET", "/admin/audit", None, False),
    ("GET", "/admin/overview", None, False),
]

LogIn = Callable[..., Awaitable[Login]]


@pytest.fixture
async def user(http: aiohttp.ClientSession, node: Node) -> Login:
    """Somebody without a role, just logged in."""
    api = Api(node.url, http)
    return await api.login(await api.register())


async def give(admin: Login, to: Login, *roles: str) -> None:
    answer = await admin.call("PUT", f"/admin/users/{to.user_id}/roles", {"roles": list(roles)})
    assert answer.status == 200, answer.body


async def trail(admin: Login, **filters: Any) -> list[dict[str, Any]]:
    """The newest events, read as an admin reads them."""
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    events: list[dict[str, Any]] = (await admin.call("GET", f"/admin/audit?{query}")).data["events"]
    return events


# Who may ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "body", "moderated"), ACTS)
async def test_asvs_8_2_1_each_act_is_for_those_who_have_its_role(
    admin: Login, user: Login, api: Api, method: str, path: str, body: Any, moderated: bool
) -> None:
    """And ASVS 16.3.2: who was refused, at what, is in the trail."""
    target = (await api.login(await api.register())).user_id
    path = path.format(user=target)
    refused = await user.call(method, path, body)
    assert (refused.status, refused.code) == (403, "forbidden")
    denied = (await trail(admin, userId=user.user_id, kind="access_denied"))[0]
    assert denied["sessionId"] == user.session_id
    assert denied["details"]["act"].startswith(f"{method} /admin/")
    await give(admin, user, "moderator")
    answer = await user.call(method, path, body)
    assert (answer.status == 403) is not moderated
    assert (await admin.call(method, path, body)).status in {200, 404}


async def test_asvs_8_3_2_a_role_holds_from_the_moment_it_is_given_until_it_is_taken(
    admin: Login, user: Login
) -> None:
    """With the same access token, which still says what was so when it was minted."""
    assert (await user.call("GET", "/admin/users")).code == "forbidden"
    await give(admin, user, "moderator")
    assert (await user.call("GET", "/admin/users")).status == 200
    await give(admin, user)
    assert (await user.call("GET", "/admin/users")).code == "forbidden"


async def test_a_token_minted_with_a_role_is_worth_nothing_without_it(admin: Login, user: Login) -> None:
    await give(admin, user, "admin")
    await user.refresh()
    assert (await user.call("GET", "/admin/audit")).status == 200
    await give(admin, user)
    assert (await user.call("GET", "/admin/audit")).code == "forbidden"
    await user.refresh()
    assert (await user.call("GET", "/me")).data["user"]["roles"] == []


async def test_the_cookies_of_an_admin_do_what_the_token_does(
    node: Node, http: aiohttp.ClientSession, administrator: str, user: Login
) -> None:
    for delivery in ("cookie", "cookies"):
        login = await Api(node.url, http).login(administrator, delivery=delivery)
        answer = await login.call("PUT", f"/admin/users/{user.user_id}/roles", {"roles": ["moderator"]})
        assert answer.data["user"]["roles"] == ["moderator"]


async def test_without_the_csrf_token_a_cookie_changes_nothing(
    node: Node, http: aiohttp.ClientSession, administrator: str, user: Login
) -> None:
    login = await Api(node.url, http).login(administrator, delivery="cookies")
    login.api.cookies.pop("csrf")
    answer = await login.call("POST", f"/admin/users/{user.user_id}/lock", {})
    assert answer.code in {"csrf_failed", "origin_not_allowed"}
    assert (await user.call("GET", "/me")).status == 200


# Finding ---------------------------------------------------------------------------------------------------


async def find(admin: Login, **query: Any) -> tuple[list[str], str | None]:
    parts = "&".join(f"{name}={value}" for name, value in query.items())
    data = (await admin.call("GET", f"/admin/users?{parts}")).data
    return [each["email"] for each in data["users"]], data["next"]


async def test_accounts_are_found_by_how_address_username_or_name_begins(admin: Login, api: Api) -> None:
    mark = secrets.token_hex(4)
    by_email = await api.register(f"Zoe.{mark}@example.org")
    by_name = await api.login(await api.register())
    await by_name.call("PATCH", "/me", {"name": f"zoe.{mark.upper()} É"})
    by_username = await api.login(await api.register())
    await by_username.call("PATCH", "/me", {"username": f"Zoe.{mark}"})
    everybody = {by_email, by_name.data["user"]["email"], by_username.data["user"]["email"]}
    found, following = await find(admin, query=f"zOe.{mark}")
    assert (set(found), following) == (everybody, None)
    assert (await find(admin, query=f"oe.{mark}"))[0] == []
    # A dot is a dot.
    assert (await find(admin, query=f"zoe_{mark}"))[0] == (await find(admin, query="zoe.*"))[0] == []


async def test_the_audit_trail_names_the_accounts_of_its_events(admin: Login, user: Login) -> None:
    await admin.call("GET", f"/admin/users/{user.user_id}")
    page = (await admin.call("GET", "/admin/audit?kind=admin_user_seen&limit=1")).data
    people = {person["userId"]: person for person in page["people"]}
    assert set(people) == {admin.user_id, user.user_id}
    assert people[user.user_id]["email"] == user.data["user"]["email"]
    assert people[user.user_id]["name"] == "Ada"


async def test_pages_show_everybody_once_the_newest_first(admin: Login, api: Api) -> None:
    mark = secrets.token_hex(4)
    # Not copied: copies may be of the same millisecond, and have no order then.
    made = [await api.register_by_mail(f"p{mark}-{n}@example.org") for n in range(5)]
    seen: list[str] = []
    following: str | None = None
    for size in (2, 2, 1):
        more = {"before": following} if following else {}
        found, following = await find(admin, query=f"p{mark}", limit=2, **more)
        assert len(found) == size
        seen += found
        if size == 2:
            # Somebody new does not shift the pages that follow.
            await api.register(f"p{mark}-new{len(seen)}@example.org")
    assert seen == made[::-1]
    assert following is None


async def test_accounts_are_filtered_by_role_and_by_lock(admin: Login, user: Login) -> None:
    email = user.data["user"]["email"]
    assert (await find(admin, query=email, role="moderator"))[0] == []
    assert (await find(admin, query=email, locked="false"))[0] == [email]
    await give(admin, user, "moderator")
    await admin.call("POST", f"/admin/users/{user.user_id}/lock", {})
    assert (await find(admin, query=email, role="moderator", locked="true"))[0] == [email]
    assert (await find(admin, query=email, locked="false"))[0] == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=201", "limit=x", "limit=1&limit=2", "limit=1.5", "locked=yes", "before=x", "before=%00",
        "before=MTIz", "unknown=1", f"query={'x' * 101}", "query=%00", "role=",
    ],
)  # fmt: skip
async def test_a_query_that_makes_no_sense_is_refused(admin: Login, query: str) -> None:
    answer = await admin.call("GET", f"/admin/users?{query}")
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert len(answer.body["errors"]) == 1


async def test_one_account_is_shown_with_its_sessions_and_factors(
    admin: Login, user: Login, connect: Callable[..., Awaitable[Live]], node: Node
) -> None:
    await connect(node, user.access_token)
    data = (await admin.call("GET", f"/admin/users/{user.user_id}")).data
    assert data["user"] == (await user.call("GET", "/me")).data["user"] | {
        "lockedAt": None,
        "deletionAt": None,
        "online": True,
    }
    (session,) = data["sessions"]
    assert (session["sessionId"], session["online"], session["isCurrent"]) == (user.session_id, True, False)
    assert data["factors"] == []
    assert (await admin.call("GET", "/admin/users/nobody")).code == "not_found"


# Roles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "roles", [["user"], ["Admin"], ["owner"], ["moderator", ""], "moderator", [1], [["admin"]], None, ["a"] * 33]
)
async def test_only_roles_that_there_are_can_be_given(admin: Login, user: Login, roles: Any) -> None:
    answer = await admin.call("PUT", f"/admin/users/{user.user_id}/roles", {"roles": roles})
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert (await user.call("GET", "/me")).data["user"]["roles"] == []


async def test_roles_are_told_by_mail_and_written_down_with_who_gave_them(admin: Login, user: Login) -> None:
    """ASVS 16.2.1: when, where, who and what."""
    await give(admin, user, "admin", "moderator", "admin")
    assert (await user.call("GET", "/me")).data["user"]["roles"] == ["moderator", "admin"]
    await give(admin, user)
    acts = (await trail(admin, userId=admin.user_id, kind="admin_roles_changed"))[:2]
    assert [act["details"] for act in acts] == [
        {"user": user.user_id, "from": "moderator admin", "to": ""},
        {"user": user.user_id, "from": "", "to": "moderator admin"},
    ]
    assert {(act["sessionId"], act["ip"]) for act in acts} == {(admin.session_id, "127.0.0.1")}
    told = await trail(admin, userId=user.user_id, kind="roles_changed")
    assert [event["details"]["roles"] for event in told] == ["", "moderator admin"]
    # A user reads their own trail: where an administrator sits is not theirs to know.
    assert all(event["ip"] is None and event["sessionId"] is None for event in told)
    outbox = (await admin.api.call("GET", "/dev/outbox.json")).body["messages"]
    mine = [mail["text"] for mail in outbox if mail["to"] == user.data["user"]["email"]]
    assert "You have no roles beyond" in mine[0]
    assert "moderator, admin" in mine[1]


# Locks -----------------------------------------------------------------------------------------------------


async def test_asvs_7_4_2_a_locked_account_has_no_session_left_and_gets_none(
    admin: Login, user: Login, connect: Callable[..., Awaitable[Live]], shared_nodes: tuple[Node, Node]
) -> None:
    """Its sockets on both nodes are told by whom, and gone; nothing it holds is good any more."""
    email = user.data["user"]["email"]
    other = await user.api.login(email)
    lives = [
        await connect(node, login.access_token) for node, login in zip(shared_nodes, (user, other), strict=True)
    ]
    answer = await admin.call("POST", f"/admin/users/{user.user_id}/lock", {"reason": "left the company"})
    assert answer.data["user"]["lockedAt"] is not None
    assert answer.data["revoked"] == 2
    assert answer.data["delivery"] == {"sockets": 2, "notified": 2, "acknowledged": 2, "closed": 2, "pending": 0}
    for live in lives:
        told = await live.wait("session-revoked")
        assert (told["reason"], told["by"], told["act"]) == ("admin", {"kind": "admin"}, "account_locked")
        await live.until_gone()
    assert (await user.call("GET", "/me")).code == "session_revoked"
    assert (await user.refresh()).code == "session_revoked"
    login = {"email": email, "password": PASSWORD}
    refused = await user.api.call("POST", "/login", login)
    assert (refused.status, refused.code) == (403, "account_locked")
    # Who does not know the password is not told that there is an account to be locked.
    assert (await user.api.call("POST", "/login", login | {"password": "guess"})).code == "invalid_credentials"
    act = (await trail(admin, userId=admin.user_id, kind="admin_account_locked"))[0]
    assert act["details"] == {"user": user.user_id, "reason": "left the company"}
    assert (await admin.call("POST", f"/admin/users/{user.user_id}/unlock", {})).data["user"]["lockedAt"] is None
    assert (await user.api.call("POST", "/login", login)).status == 200


async def test_locking_twice_is_locking_once(admin: Login, user: Login) -> None:
    first = (await admin.call("POST", f"/admin/users/{user.user_id}/lock")).data
    again = (await admin.call("POST", f"/admin/users/{user.user_id}/lock")).data
    assert again["user"]["lockedAt"] == first["user"]["lockedAt"]
    assert (first["revoked"], again["revoked"]) == (1, 0)


async def test_what_is_nobodys_cannot_be_locked(admin: Login) -> None:
    for act in ("lock", "unlock"):
        assert (await admin.call("POST", f"/admin/users/nobody/{act}", {})).code == "not_found"
    assert (await admin.call("PUT", "/admin/users/nobody/roles", {"roles": []})).code == "not_found"


# Sessions --------------------------------------------------------------------------------------------------


async def test_asvs_7_4_5_administrators_end_one_session_or_all_of_a_user(
    admin: Login, user: Login, connect: Callable[..., Awaitable[Live]], node: Node
) -> None:
    other = await user.api.login(user.data["user"]["email"])
    live = await connect(node, other.access_token)
    path = f"/admin/users/{user.user_id}/sessions"
    assert (await admin.call("DELETE", f"{path}/{admin.session_id}")).code == "not_found"
    ended = await admin.call("DELETE", f"{path}/{other.session_id}")
    assert ended.data["delivery"]["closed"] == 1
    assert (await live.wait("session-revoked"))["reason"] == "admin"
    assert (await admin.call("DELETE", f"{path}/{other.session_id}")).code == "not_found"
    assert (await user.call("GET", "/me")).status == 200
    assert (await admin.call("DELETE", path)).data["revoked"] == 1
    assert (await user.call("GET", "/me")).code == "session_revoked"
    kinds = [event["kind"] for event in await trail(admin, userId=admin.user_id)]
    assert {"admin_session_ended", "admin_sessions_ended"} <= set(kinds[:4])


async def test_a_moderator_ends_no_session_of_an_admin(admin: Login, user: Login) -> None:
    await give(admin, user, "moderator")
    path = f"/admin/users/{admin.user_id}/sessions"
    assert (await user.call("DELETE", path)).code == "forbidden"
    assert (await user.call("DELETE", f"{path}/{admin.session_id}")).code == "forbidden"
    assert (await admin.call("GET", "/me")).status == 200
    denied = await trail(admin, userId=user.user_id, kind="access_denied")
    assert [event["details"]["user"] for event in denied] == [admin.user_id] * 2


# The trail -------------------------------------------------------------------------------------------------


async def test_asvs_16_3_1_the_trail_tells_of_every_login_with_its_factors(admin: Login, user: Login) -> None:
    await user.api.call("POST", "/login", {"email": user.data["user"]["email"], "password": "wrong"})
    failed, login = [
        event for event in await trail(admin, userId=user.user_id) if event["kind"] in {"login", "login_failed"}
    ]
    assert (login["kind"], login["details"]["amr"], login["sessionId"]) == ("login", "pwd", user.session_id)
    assert (failed["kind"], failed["details"]["reason"]) == ("login_failed", "wrong_password")


async def test_asvs_16_2_5_no_secret_is_in_the_trail(admin: Login, user: Login) -> None:
    await user.refresh()
    await user.call("POST", "/step-up", {"method": "password", "password": "my own secret guess"})
    await user.call("POST", "/step-up", {"method": "password", "password": PASSWORD})
    shown = str(await trail(admin, userId=user.user_id))
    assert "step_up" in shown
    for secret in (PASSWORD, "my own secret guess", user.access_token, user.refresh_token):
        assert secret not in shown


async def test_events_are_found_by_kind_and_time_and_paged(admin: Login, user: Login) -> None:
    for _ in range(5):
        await user.call("GET", "/admin/overview")
    me = {"userId": user.user_id, "kind": "access_denied"}
    every = await trail(admin, **me)
    assert len(every) == 5
    seen: list[dict[str, Any]] = []
    more: dict[str, str] = {}
    while True:
        query = "&".join(f"{name}={value}" for name, value in (me | more | {"limit": "2"}).items())
        data = (await admin.call("GET", f"/admin/audit?{query}")).data
        seen += data["events"]
        if data["next"] is None:
            break
        more = {"before": data["next"]}
    assert seen == every
    assert len({event["id"] for event in seen}) == 5
    third = every[2]["at"]
    assert await trail(admin, **me, until=third) == [event for event in every if event["at"] < third]
    assert await trail(admin, **me, since=third) == [event for event in every if event["at"] >= third]
    assert await trail(admin, **me, since=iso(utc_now() + timedelta(hours=1))) == []


@pytest.mark.parametrize(
    "query", ["since=yesterday", "since=1700000000", "until=2026-11-21", "since=2026-13-01T00:00:00Z", "kind="]
)
async def test_a_time_that_is_none_is_refused(admin: Login, query: str) -> None:
    answer = await admin.call("GET", f"/admin/audit?{query}")
    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_who_reads_the_trail_stands_in_it(admin: Login, user: Login) -> None:
    await trail(admin, userId=user.user_id)
    read = (await trail(admin, userId=admin.user_id, kind="admin_audit_read"))[0]
    assert (read["details"], read["sessionId"]) == ({"user": user.user_id}, admin.session_id)


READS = {
    "/admin/users?query=Ada%20L&role=moderator&locked=false&limit=3": (
        "admin_users_searched",
        {"query": "Ada L", "role": "moderator", "locked": "False"},
    ),
    "/admin/users": ("admin_users_searched", {}),
    "/admin/users/{user}": ("admin_user_seen", {"user": "{user}"}),
    "/admin/audit?userId={user}&kind=login&since=2026-01-01T00:00:00Z": (
        "admin_audit_read",
        {"user": "{user}", "kind": "login", "since": "2026-01-01T00:00:00.000Z"},
    ),
    "/admin/overview": ("admin_overview_read", {}),
}


async def test_whatever_is_read_is_written_down_with_what_was_asked_for_and_from_which_session(
    admin: Login, user: Login
) -> None:
    about = user.user_id
    for path, (kind, details) in READS.items():
        assert (await admin.call("GET", path.format(user=about))).status == 200
        written = (await trail(admin, userId=admin.user_id, kind=kind))[0]
        expected = {name: value.format(user=about) for name, value in details.items()}
        assert (written["details"], written["sessionId"]) == (expected, admin.session_id), path


async def test_a_later_page_is_a_reading_of_its_own(admin: Login, user: Login) -> None:
    first = (await admin.call("GET", "/admin/users?limit=1")).data
    await admin.call("GET", f"/admin/users?limit=1&before={first['next']}")
    pages = await trail(admin, userId=admin.user_id, kind="admin_users_searched")
    assert [event["details"].get("before") for event in pages[:2]] == [first["next"], None]


async def test_a_moderators_reading_is_written_down_too(admin: Login, user: Login) -> None:
    await give(admin, user, "moderator")
    assert (await user.call("GET", f"/admin/users/{admin.user_id}")).status == 200
    [seen] = await trail(admin, userId=user.user_id, kind="admin_user_seen")
    assert (seen["details"], seen["sessionId"]) == ({"user": admin.user_id}, user.session_id)


async def test_a_users_own_log_shows_nothing_of_where_an_administrator_sits(
    admin: Login, user: Login, http: aiohttp.ClientSession
) -> None:
    desk = {
        "User-Agent": "Mozilla/5.0 (X11; Linux) AdminDesk/7.1",
        "Authorization": f"Bearer {admin.access_token}",
    }
    about, other = user.user_id, await user.api.login(user.data["user"]["email"])
    root = f"{admin.api.url}/api/auth/admin"
    for path in (f"/users/{about}", "/users?query=user", f"/audit?userId={about}"):
        async with http.get(root + path, headers=desk) as answer:
            assert answer.status == 200
    async with http.delete(f"{root}/users/{about}/sessions/{other.session_id}", headers=desk) as answer:
        assert answer.status == 200
    own = (await user.call("GET", "/me/security-log")).data["events"]
    kinds = {event["kind"] for event in own}
    assert "session_revoked" in kinds
    assert not [kind for kind in kinds if kind.startswith("admin_")]
    assert "AdminDesk" not in str(await trail(admin, userId=about))
    [ended] = [event for event in own if event["kind"] == "session_revoked"]
    assert (ended["ip"], ended["device"]) == (None, None)


# At a glance -----------------------------------------------------------------------------------------------


async def test_the_overview_counts_nodes_sockets_and_jobs(
    admin: Login, user: Login, connect: Callable[..., Awaitable[Live]], shared_nodes: tuple[Node, Node]
) -> None:
    before = (await admin.call("GET", "/admin/overview")).data
    assert (before["nodes"], before["jobsDashboardUrl"], before["roles"]) == (2, None, ["moderator", "admin"])
    for node in shared_nodes:
        await connect(node, user.access_token)
    after = (await admin.call("GET", "/admin/overview")).data
    assert after["sockets"] >= before["sockets"] + 2 - 1  # one of another test may have gone meanwhile
    assert after["queue"].keys() == {"queued", "active", "scheduled"}


async def test_two_administrators_at_once_leave_one_state(admin: Login, user: Login, api: Api) -> None:
    """Whoever changed something that the other had not seen is told so."""
    await give(admin, user)
    wanted = [["moderator"], ["admin"], ["moderator", "admin"], []]
    answers = await asyncio.gather(
        *(admin.call("PUT", f"/admin/users/{user.user_id}/roles", {"roles": roles}) for roles in wanted)
    )
    assert {answer.status for answer in answers} <= {200, 409}
    assert any(answer.status == 200 for answer in answers)
    given = [answer.data["user"]["roles"] for answer in answers if answer.status == 200]
    now = (await user.call("GET", "/me")).data["user"]["roles"]
    assert now in given
    await user.refresh()
    allowed = (await user.call("GET", "/admin/users")).status == 200
    assert allowed is bool(now)


# Lost factors ----------------------------------------------------------------------------------------------


async def test_an_admin_takes_the_factors_off_somebody_who_has_lost_them(
    admin: Login, http: aiohttp.ClientSession, node: Node
) -> None:
    account = await secure(Api(node.url, http))
    path = f"/admin/users/{account.login.user_id}"
    answer = await admin.call("DELETE", f"{path}/factors")
    assert (answer.data["removed"], answer.data["kept"], answer.data["revoked"]) == (["totp"], [], 1)
    assert (await account.login.call("GET", "/me")).code == "session_revoked"
    assert (await account.api.call("POST", "/login", {"email": account.email, "password": PASSWORD})).status == 200
    assert (await admin.call("GET", path)).data["factors"] == []
    told = await mailed(account.api, account.email, re.compile(r"(an administrator) removed"))
    assert told == "an administrator"
    (act,) = [
        event
        for event in await trail(admin, kind="admin_factors_removed")
        if event["details"]["user"] == account.login.user_id
    ]
    assert (act["sessionId"], act["details"]["removed"]) == (admin.session_id, "totp")
    (fact,) = await trail(admin, userId=account.login.user_id, kind="factors_removed")
    assert (fact["details"]["by"], fact["sessionId"], fact["ip"]) == ("admin", None, None)
    again = await admin.call("DELETE", f"{path}/factors")
    assert (again.status, again.data["removed"], again.data["revoked"]) == (200, [], 0)


async def test_nobody_s_factors_are_not_found(admin: Login) -> None:
    missing = await admin.call("DELETE", f"/admin/users/{'0' * 32}/factors")
    assert (missing.status, missing.code) == (404, "not_found")
