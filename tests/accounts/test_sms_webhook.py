"""SMS through the webhook, to a real receiver that does what docs/phone.md tells it to."""

from collections.abc import AsyncIterator

import pytest
from support.sms_receiver import SECRET, Receiver, receiving

from auth.core.clock import utc_now
from auth.core.mail import Mail
from auth.notifications.sms_webhook import ChannelSender, SmsWebhook
from auth.notifications.smtp import MailNotSent, MailRefused
from auth.platform.http_client import HttpClient

SMS = Mail("9f86d081", "phone_login", "+31612345678", "Your code", "123456 is your code", "", channel="sms")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


@pytest.fixture
async def webs() -> AsyncIterator[HttpClient]:
    web_client = HttpClient()
    yield web_client
    await web_client.close()


def webhook(receiver: Receiver, webs: HttpClient, secret: bytes = SECRET) -> SmsWebhook:
    return SmsWebhook(url=receiver.url, secret=secret, web=webs, clock=utc_now)


async def test_the_receiver_can_tell_that_it_is_ours(receiver: Receiver, webs: HttpClient) -> None:
    sms = webhook(receiver, webs)
    await ChannelSender(email=sms, sms=sms).send(SMS)
    (taken,) = receiver.taken
    assert taken.pop("sentAt").endswith("Z")
    assert taken == {"to": SMS.to, "text": SMS.text, "messageId": SMS.message_id}


async def test_another_secret_is_found_out(receiver: Receiver, webs: HttpClient) -> None:
    with pytest.raises(MailRefused):
        await webhook(receiver, webs, b"another secret, as long as the first").send(SMS)
    assert (receiver.forged, receiver.taken) == (1, [])


@pytest.mark.parametrize(
    ("status", "raised"),
    [(400, MailRefused), (404, MailRefused), (302, MailRefused), (307, MailRefused), (408, MailNotSent),
     (429, MailNotSent), (500, MailNotSent), (503, MailNotSent)],
)  # fmt: skip
async def test_refusals_are_final_and_failures_are_not(
    receiver: Receiver, webs: HttpClient, status: int, raised: type[Exception]
) -> None:
    receiver.status = status
    with pytest.raises(raised) as refused:
        await webhook(receiver, webs).send(SMS)
    assert receiver.asked == 1, "no redirect is followed"
    assert SMS.to not in str(refused.value)
    assert "123456" not in str(refused.value)


async def test_what_is_repeated_has_the_same_id(receiver: Receiver, webs: HttpClient) -> None:
    receiver.status = 503
    for _ in range(2):
        with pytest.raises(MailNotSent):
            await webhook(receiver, webs).send(SMS)
    assert {each["messageId"] for each in receiver.taken} == {SMS.message_id}


async def test_nobody_there_is_no_refusal(webs: HttpClient) -> None:
    nobody = SmsWebhook(url="http://127.0.0.1:9/", secret=SECRET, web=webs, clock=utc_now)
    with pytest.raises(MailNotSent):
        await nobody.send(SMS)
