"""SMS from a running server to a real receiver: sent by the node itself, or by a worker beside it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from support.clients import Answer, Api, Login
from support.commands import Running
from support.nodes import Installation
from support.sms_receiver import SECRET, Receiver, receiving
from support.waiting import eventually

# A job that failed waits for two seconds and more, and a queue that forgot it for the sweep.
RETRY_SECONDS = 40


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


@pytest.fixture(params=["node", "worker"])
def sent_by(request: pytest.FixtureRequest, installation: Installation, start_node: Any) -> Iterator[Any]:
    """Starts a node that sends SMS itself, or one with a worker beside it. Gives the node's API and all logs."""
    workers: list[Running] = []

    def start(http: Any, **settings: str) -> tuple[Api, Callable[[], str]]:
        if request.param == "node":
            node = start_node(**settings)
            return Api(node.url, http), node.text
        node = start_node(VIGIL_JOBS="off", **settings)
        workers.append(Running("worker", environ=installation.environ(**settings)))
        workers[0].line("working")
        return Api(node.url, http), lambda: "\n".join([node.text(), *workers[0].lines])

    yield start
    assert [worker.stop() for worker in workers] == [0] * len(workers)


def webhook(receiver: Receiver, secret: bytes = SECRET) -> dict[str, str]:
    return {"VIGIL_SMS_WEBHOOK_URL": receiver.url, "VIGIL_SMS_WEBHOOK_SECRET": secret.decode()}


def new_number() -> str:
    return f"+316{secrets.randbelow(9_000_000) + 10_000_000}"


async def ask_to_add(api: Api, number: str) -> tuple[Login, Answer]:
    login = await api.login(await api.register())
    asked = await login.call("POST", "/phone/send-otp", {"phoneNumber": number})
    assert asked.status == 202, asked.body
    return login, asked


async def until_asked(receiver: Receiver, times: int) -> None:
    async def asked() -> bool:
        return receiver.asked >= times

    await eventually(asked, f"the receiver is asked {times} times", timeout=RETRY_SECONDS)


async def test_a_code_reaches_the_receiver_signed_and_adds_the_number(
    sent_by: Any, receiver: Receiver, http: Any
) -> None:
    api, _ = await asyncio.to_thread(sent_by, http, **webhook(receiver))
    number = new_number()
    login, asked = await ask_to_add(api, number)
    await until_asked(receiver, 1)
    assert (receiver.forged, receiver.content_types) == (0, {"application/json"})
    (sms,) = receiver.taken
    assert sms.keys() == {"to", "text", "messageId", "sentAt"}
    assert sms["to"] == number
    code = sms["text"][:6]
    assert sms["text"].startswith(f"{code} is your code to add this number to your account at Vigil")
    assert sms["text"].endswith(f"@127.0.0.1 #{code}")
    body = {"phoneNumber": number, "otp": code, "requestId": asked.data["requestId"]}
    assert (await login.call("POST", "/phone/verify-otp", body)).data["user"]["phoneNumber"] == number


async def test_asvs_16_5_2_a_receiver_that_failed_gets_the_same_message_again_until_it_takes_it(
    sent_by: Any, receiver: Receiver, http: Any
) -> None:
    api, logs = await asyncio.to_thread(sent_by, http, **webhook(receiver))
    receiver.first = [503, 429]
    login, asked = await ask_to_add(api, number := new_number())
    await until_asked(receiver, 3)
    assert len({(sms["messageId"], sms["text"]) for sms in receiver.taken}) == 1
    assert receiver.forged == 0, "each time is signed for itself"
    code = receiver.taken[-1]["text"][:6]
    body = {"phoneNumber": number, "otp": code, "requestId": asked.data["requestId"]}
    assert (await login.call("POST", "/phone/verify-otp", body)).status == 200
    await asyncio.sleep(3)
    assert receiver.asked == 3, "what was taken is not sent again"
    assert "the webhook answered 503" in logs()
    for secret in (code, number, SECRET.decode()):
        assert secret not in logs()


async def test_a_receiver_that_finds_the_signature_wrong_is_not_asked_again(
    sent_by: Any, receiver: Receiver, http: Any
) -> None:
    api, logs = await asyncio.to_thread(
        sent_by, http, **webhook(receiver, b"another secret, as long as the first")
    )
    await ask_to_add(api, new_number())
    await until_asked(receiver, 1)

    async def given_up() -> bool:
        return "mail_refused" in logs()

    await eventually(given_up, "the refusal is logged", timeout=30)
    await asyncio.sleep(3)
    assert (receiver.asked, receiver.forged, receiver.taken) == (1, 1, [])


async def test_where_nobody_runs_jobs_the_code_waits_for_the_worker(
    installation: Installation, start_node: Any, receiver: Receiver, http: Any
) -> None:
    settings = webhook(receiver)
    node = await asyncio.to_thread(lambda: start_node(VIGIL_JOBS="off", **settings))
    number = new_number()
    await ask_to_add(Api(node.url, http), number)
    await asyncio.sleep(1)
    assert receiver.asked == 0
    worker = Running("worker", environ=installation.environ(**settings))
    try:
        await until_asked(receiver, 1)
    finally:
        assert await asyncio.to_thread(worker.stop) == 0
    assert [sms["to"] for sms in receiver.taken] == [number]
