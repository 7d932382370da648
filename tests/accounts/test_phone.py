"""Codes by SMS on real stores: guessed by none, used once, sent no more often than is paid for."""

import asyncio
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from auth.core.errors import AuthError, Conflict, InvalidCode, RateLimited, StepUpRequired
from auth.core.models import Principal, TokenDelivery, User
from auth.login.admission import LoggedIn
from auth.login.methods import LoginMethods, PasswordMethod
from auth.login.phones.codes import CodeRequest, PhoneCodes
from auth.login.phones.login import PhoneLogin
from auth.login.phones.manage import OwnPhone
from auth.login.phones.numbers import PhoneRules
from auth.notifications.sms import SmsDispatcher
from auth.stores.users.login_methods import AccountLoginMethods

NUMBER = "+31612345678"
NEXT = "+31612345679"


@dataclass
class Line:
    """A phone and the operations on it."""

    world: Any
    login: PhoneLogin
    own: OwnPhone

    async def texts(self, number: str = NUMBER) -> list[str]:
        return [each["text"] for each in await self.world.mails_to(number) if each["channel"] == "sms"]

    async def ask(
        self, number: str = NUMBER, ip: str = "192.0.2.10", device_cookie: str | None = None
    ) -> CodeRequest:
        self.world.pass_time(seconds=31)
        return await self.login.ask(number, device_cookie=device_cookie, client=self.world.client(ip))

    async def code(self, number: str = NUMBER) -> str:
        return (await self.texts(number))[0][:6]

    async def try_code(
        self,
        code: str,
        request_id: str | None = None,
        *,
        number: str = NUMBER,
        ip: str = "192.0.2.10",
        device_cookie: str | None = None,
    ) -> Any:
        return await self.login.login(
            number,
            code=code,
            request_id=request_id,
            device_name=None,
            delivery=TokenDelivery.BODY,
            device_cookie=device_cookie,
            client=self.world.client(ip),
        )

    async def begin_to_add(
        self, user: User, number: str = NUMBER, ip: str = "192.0.2.10"
    ) -> tuple[Principal, str]:
        self.world.pass_time(seconds=31)
        principal = await self.world.act_as(user)
        await self.own.ask(principal, number, client=self.world.client(ip))
        return principal, await self.code(number)

    async def confirm(self, principal: Principal, code: str, number: str = NUMBER) -> User:
        return await self.own.confirm(principal, number, code=code, request_id=None, client=self.world.client())

    async def owner(self, email: str = "ada@example.org", number: str = NUMBER) -> User:
        """Somebody with a confirmed number."""
        return await self.confirm(*await self.begin_to_add(await self.world.verified_user(email), number), number)


def line_of(world: Any) -> Line:
    sms = SmsDispatcher(jobs=world.jobs, service="Vigil", public_url="https://vigil.example")
    codes = PhoneCodes(
        world.services,
        challenges=world.challenges,
        tokens=world.tokens,
        sms=sms,
        key=secrets.token_bytes(32),
    )
    rules, login_methods = (
        PhoneRules(()),
        LoginMethods([PasswordMethod()], world.users, AccountLoginMethods(world.mongo.database)),
    )
    return Line(
        world,
        PhoneLogin(
            world.services, rules=rules, codes=codes, devices=world.known_devices, admission=world.admission
        ),
        OwnPhone(world.services, rules=rules, codes=codes, login_methods=login_methods, step_up=world.step_up),
    )


@pytest.fixture
def line(world: Any) -> Line:
    """Limits are wide; the tests about them set their own."""
    world.use_limits(
        limit_sms_number="100/hour", limit_sms_ip="100/hour", limit_sms_verify="100/hour",
        limit_second_factor="100/hour",
    )  # fmt: skip
    return line_of(world)


def another(code: str, by: int = 1) -> str:
    return f"{(int(code) + by) % 10**6:06}"


async def outcomes(*tries: Any) -> list[str]:
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert all(isinstance(each, AuthError | LoggedIn | User) for each in results), results
    return sorted(each.code if isinstance(each, AuthError) else "let in" for each in results)


async def test_asvs_6_6_2_a_code_is_good_for_its_own_request_alone(line: Line) -> None:
    await line.owner()
    first = await line.ask()
    old = await line.code()
    second = await line.ask()
    new = await line.code()
    for code, request_id in ((old, first.request_id), (new, first.request_id), (old, second.request_id)):
        with pytest.raises(InvalidCode):
            await line.try_code(code, request_id)
    assert isinstance(await line.try_code(new, second.request_id), LoggedIn)


async def test_asvs_6_6_2_a_code_to_add_a_number_logs_nobody_in(line: Line) -> None:
    user = await line.owner()
    _, code = await line.begin_to_add(user)
    with pytest.raises(InvalidCode):
        await line.try_code(code)


async def test_asvs_6_6_2_a_code_that_one_account_asked_for_adds_nothing_to_another(line: Line) -> None:
    ada = await line.world.verified_user("ada@example.org")
    eve = await line.world.verified_user("eve@example.org")
    _, code = await line.begin_to_add(ada)
    with pytest.raises(InvalidCode):
        await line.confirm(await line.world.act_as(eve), code)


async def test_asvs_6_6_3_of_forty_guesses_at_once_five_are_looked_at(line: Line) -> None:
    await line.owner()
    request = await line.ask()
    code = await line.code()
    guesses = [line.try_code(another(code, by), request.request_id) for by in range(1, 41)]
    assert await outcomes(*guesses) == ["invalid_code"] * 40
    with pytest.raises(InvalidCode):
        await line.try_code(code, request.request_id)


async def test_asvs_6_6_3_many_wrong_codes_over_many_requests_close_the_number_to_the_guesser(world: Any) -> None:
    world.use_limits(limit_sms_guesses="6/day", limit_sms_number="100/hour")
    line = line_of(world)
    await line.owner()
    for _ in range(2):
        await line.ask()
        for by in range(1, 4):
            with pytest.raises(InvalidCode):
                await line.try_code(another(await line.code(), by))
    request = await line.ask()
    with pytest.raises(RateLimited):
        await line.try_code(await line.code())
    # To nobody else: whoever has the request's id goes on by another network.
    assert isinstance(await line.try_code(await line.code(), request.request_id, ip="203.0.113.7"), LoggedIn)


async def test_asvs_6_6_3_a_stranger_at_work_all_day_leaves_the_owners_request_open(world: Any) -> None:
    """Wrong codes for requests of his own, and codes out of the blue, before and after the owner has asked."""
    world.use_limits(limit_sms_guesses="6/day", limit_sms_number="100/hour", limit_sms_ip="100/hour")
    line = line_of(world)
    await line.owner()

    async def work(address: str) -> None:
        for _ in range(3):
            request = await line.ask(ip=address)
            for request_id in (request.request_id, None, "another request"):
                with pytest.raises(AuthError):
                    await line.try_code("000000", request_id, ip=address)

    await work("203.0.113.9")
    mine = await line.ask()
    code = await line.code()
    for number in range(2):
        await work(f"203.0.113.{10 + number}")
    assert isinstance(await line.try_code(code, mine.request_id), LoggedIn)


async def test_asvs_6_6_3_nor_does_a_stranger_who_has_codes_sent_keep_them_from_a_device_that_was_here_before(
    world: Any,
) -> None:
    line = line_of(world)
    ada = await line.owner()
    cookie = world.known_devices.remember(None, ada.user_id)
    for number in range(4):
        await line.ask(ip=f"203.0.113.{number}")
    sent = len(await line.texts())
    await line.ask(ip="203.0.113.9")
    assert len(await line.texts()) == sent
    # Even beside the stranger, at one address, without saying which request is meant.
    await line.ask(device_cookie=cookie, ip="203.0.113.9")
    assert len(await line.texts()) == sent + 1
    with pytest.raises(InvalidCode):
        await line.try_code("000000", ip="203.0.113.9")
    assert isinstance(await line.try_code(await line.code(), device_cookie=cookie), LoggedIn)


async def test_a_code_that_was_not_sent_cannot_be_guessed(world: Any) -> None:
    """What bounds the guesses of whoever has many addresses: no more codes than the number is sent."""
    world.use_limits(limit_sms_number="2/hour")
    line = line_of(world)
    await line.owner()
    for number in range(4):
        await line.ask(ip=f"203.0.113.{number}")
    kept = await world.mongo.database["challenges"].find({"purpose": "phone_login"}).to_list(10)
    assert len(kept) == 4
    assert len([each for each in kept if each["data"]["code"]]) == len(await line.texts()) - 1 == 1


async def test_codes_that_nobody_asked_for_do_not_close_a_number_to_its_owner(world: Any) -> None:
    world.use_limits(limit_sms_guesses="3/day")
    line = line_of(world)
    await line.owner()
    for each in range(5):
        with pytest.raises(InvalidCode):
            await line.try_code("000000", ip=f"203.0.113.{each}")
    await line.ask()
    for each in range(5):
        with pytest.raises(InvalidCode):
            await line.try_code("000000", "another request", ip=f"203.0.113.{each}")
    assert isinstance(await line.try_code(await line.code()), LoggedIn)


async def test_asvs_6_5_1_of_right_codes_at_once_one_is_let_in(line: Line) -> None:
    await line.owner()
    request = await line.ask()
    code = await line.code()
    tries = [line.try_code(code, request.request_id) for _ in range(5)]
    assert await outcomes(*tries) == ["invalid_code"] * 4 + ["let in"]
    assert len(line.world.sessions.started) == 1


async def test_asvs_6_5_5_a_code_is_good_for_five_minutes(line: Line) -> None:
    await line.owner()
    await line.ask()
    line.world.pass_time(minutes=5)
    with pytest.raises(InvalidCode):
        await line.try_code(await line.code())


async def test_no_code_is_kept_as_it_is(line: Line) -> None:
    await line.owner()
    await line.ask()
    code = await line.code()
    kept = await line.world.mongo.database["challenges"].find({}).to_list(10)
    assert code not in str([each["data"] for each in kept])
    assert NUMBER not in str(kept)


async def test_one_number_added_to_two_accounts_at_once_is_one_accounts(line: Line) -> None:
    users = [await line.world.verified_user(f"{name}@example.org") for name in ("ada", "eve")]
    begun = [await line.begin_to_add(user) for user in users]
    assert await outcomes(*(line.confirm(*each) for each in begun)) == ["conflict", "let in"]
    assert (await line.world.users.by_phone(NUMBER)).user_id in {user.user_id for user in users}


async def test_requests_begun_at_once_send_one_code(line: Line) -> None:
    await line.owner()
    line.world.pass_time(seconds=31)
    before = len(await line.texts())
    asked = [line.login.ask(NUMBER, client=line.world.client()) for _ in range(10)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in results if not isinstance(each, CodeRequest)] == [RateLimited] * 9
    assert len(await line.texts()) == before + 1


async def test_asvs_6_3_8_known_and_unknown_numbers_cost_the_same_work(line: Line) -> None:
    await line.owner()
    costs = set()
    for number in (NUMBER, NEXT):
        before = await written(line.world)
        await line.ask(number)
        after = await written(line.world)
        costs.add(tuple(b - a for a, b in zip(before, after, strict=True)))
    assert costs == {(1, 1, 1)}
    assert await line.texts(NEXT) == []


async def written(world: Any) -> list[int]:
    """Requests, what is sent or pretended, and audit events."""
    database = world.mongo.database
    begun = await database["challenges"].count_documents({"purpose": "phone_login"})
    sent = [await database[name].count_documents({}) for name in ("mails", "one_time_tokens")]
    return [begun, sum(sent), await database["audit_events"].count_documents({})]


async def test_asvs_6_3_1_a_number_is_sent_no_more_than_is_allowed_and_nobody_is_told(world: Any) -> None:
    line = line_of(world)
    await line.owner()
    for each in range(5):
        await line.ask(ip=f"203.0.113.{each}")
    # One of the three was to add the number.
    assert len(await line.texts()) == 3
    assert world.metrics.rate_limited.labels("sms_number")._value.get() == 3
    told = [event for event in await world.audited(None) if event.kind == "sms_limited"]
    assert [event.details["limit"] for event in told] == ["sms_number"] * 3
    assert all(event.details["prefix"] == "+31612" for event in told)


async def test_requests_that_come_too_early_take_no_sms_from_those_that_do_not(world: Any) -> None:
    line = line_of(world)
    await line.owner()
    await line.ask()
    for _ in range(4):
        with pytest.raises(RateLimited):
            await line.login.ask(NUMBER, client=world.client())
    request = await line.ask()
    # One to add the number, two to log in: all that an hour allows.
    assert len(await line.texts()) == 3
    assert isinstance(await line.try_code(await line.code(), request.request_id), LoggedIn)


async def test_a_range_of_numbers_is_sent_no_more_than_is_allowed(world: Any) -> None:
    world.use_limits(limit_sms_prefix="2/hour")
    line = line_of(world)
    await line.owner()
    await line.owner("eve@example.org", NEXT)
    await line.ask(NEXT)
    assert len(await line.texts(NEXT)) == 1
    assert "sms_limited" in {event.kind for event in await world.audited(None)}


async def test_numbers_that_are_sent_nothing_leave_the_range_to_those_that_are(world: Any) -> None:
    world.use_limits(limit_sms_prefix="2/hour")
    line = line_of(world)
    await line.owner()
    for digit in range(5):
        await line.ask(f"+3161234500{digit}")
    await line.ask()
    assert len(await line.texts()) == 2


async def test_an_installation_sends_no_more_than_is_allowed_in_all_and_says_so_in_its_log(world: Any) -> None:
    world.use_limits(limit_sms_total="3/hour")
    line = line_of(world)
    await line.owner()
    await line.owner("eve@example.org", "+4915112345678")
    with capture_logs() as logged:
        await line.ask("+32470123456")  # known to nobody: nothing is sent
        await line.ask()
        assert logged == []
        request = await line.ask("+4915112345678")
    assert isinstance(request, CodeRequest)
    assert (len(await line.texts()), len(await line.texts("+4915112345678"))) == (2, 1)
    errors = [each["event"] for each in logged if each["log_level"] == "error"]
    assert errors == ["sms_total_reached"]
    assert world.metrics.rate_limited.labels("sms_total")._value.get() == 1
    assert [each.details["limit"] for each in await world.audited(None) if each.kind == "sms_limited"] == [
        "sms_total"
    ]


async def test_one_account_has_no_more_sms_sent_to_numbers_of_its_choice_than_is_allowed(world: Any) -> None:
    world.use_limits(limit_sms_account="2/day")
    line = line_of(world)
    ada = await world.verified_user("ada@example.org")
    for each in range(2):
        await line.begin_to_add(ada, f"+3161234560{each}", ip=f"203.0.113.{each}")
    with pytest.raises(RateLimited):
        await line.begin_to_add(ada, "+4915112345678", ip="203.0.113.9")
    assert await line.texts("+4915112345678") == []
    await line.begin_to_add(await world.verified_user("eve@example.org"), "+4915112345678")


async def test_asvs_6_3_1_one_address_asks_for_no_more_codes_than_is_allowed(world: Any) -> None:
    world.use_limits(limit_sms_ip="3/hour")
    line = line_of(world)
    for digit in range(3):
        await line.ask(f"+3161234500{digit}")
    with pytest.raises(RateLimited):
        await line.ask(NUMBER)


async def test_a_number_that_moved_to_another_account_leads_to_the_old_one_no_more(line: Line) -> None:
    ada = await line.owner()
    await line.ask()
    code = await line.code()
    await line.own.remove(await line.world.act_as(ada), client=line.world.client())
    with pytest.raises(InvalidCode):
        await line.try_code(code)
    eve = await line.owner("eve@example.org")
    assert eve.phone_number == NUMBER


async def test_the_last_way_in_stays(line: Line) -> None:
    ada = await line.owner()
    await line.world.mongo.database["users"].update_one({"_id": ada.user_id}, {"$set": {"passwordHash": None}})
    with pytest.raises(Conflict):
        await line.own.remove(await line.world.act_as(ada), client=line.world.client())
    assert (await line.world.users.by_phone(NUMBER)).user_id == ada.user_id


async def test_asvs_7_5_1_an_old_login_adds_and_removes_nothing(line: Line) -> None:
    ada = await line.owner()
    principal = await line.world.act_as(ada, logged_in_at=line.world.now - timedelta(hours=1))
    with pytest.raises(StepUpRequired):
        await line.own.ask(principal, NEXT, client=line.world.client())
    with pytest.raises(StepUpRequired):
        await line.own.remove(principal, client=line.world.client())
