"""The last step of an SMS: a signed webhook, behind which the operator puts whichever carrier they use.

The signature is over the time and the very bytes that are sent, so that what the receiver takes was written by
this server and is not an old request once more (docs/phone.md says how to verify it). A request that may have
been taken is repeated with the same `messageId`.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Protocol

import orjson

from auth.clock import Clock, iso
from auth.errors import Unavailable
from auth.mail.message import Mail
from auth.mail.senders import MailNotSent, MailRefused, MailSender, NoSender, OutboxSender

VERSION = "v1"
# RFC 9110, 15.5.9, and RFC 6585, section 4: the two refusals that mean "later".
LATER = frozenset({408, 429})


class WebhookReply(Protocol):
    """What the receiver answered."""

    @property
    def status(self) -> int:
        """The HTTP status."""


class Poster(Protocol):
    """Posts to other servers: within seconds, and wherever they point, nowhere else."""

    async def post_json(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> WebhookReply:
        """POST. Raises `Unavailable` when no answer comes."""


class SmsWebhook:
    """Hands SMS to a webhook."""

    def __init__(self, *, url: str, secret: bytes, web: Poster, clock: Clock) -> None:
        self._url = url
        self._secret = secret
        self._web = web
        self._clock = clock

    async def send(self, mail: Mail) -> None:
        """Send one SMS. Raises `MailRefused` or `MailNotSent`."""
        now = self._clock()
        body = orjson.dumps({"to": mail.to, "text": mail.text, "messageId": mail.message_id, "sentAt": iso(now)})
        timestamp = str(int(now.timestamp()))
        headers = {
            "X-Vigil-Timestamp": timestamp,
            "X-Vigil-Signature": signature(self._secret, timestamp=timestamp, body=body),
        }
        try:
            status = (await self._web.post_json(self._url, body=body, headers=headers)).status
        except Unavailable:
            raise MailNotSent("the webhook did not answer") from None
        if 200 <= status < 300:
            return
        # A redirect is the operator's mistake, and followed it would tell the code to whoever it names.
        refused = 300 <= status < 500 and status not in LATER
        raise (MailRefused if refused else MailNotSent)(f"the webhook answered {status}")


class ByChannel:
    """Gives each message to the sender of its channel."""

    def __init__(self, *, email: MailSender, sms: MailSender) -> None:
        self._email = email
        self._sms = sms

    async def send(self, mail: Mail) -> None:
        """Send one message. Raises `MailRefused` or `MailNotSent`."""
        await (self._sms if mail.channel == "sms" else self._email).send(mail)


def signature(secret: bytes, *, timestamp: str, body: bytes) -> str:
    """What `X-Vigil-Signature` is: HMAC-SHA256 (RFC 2104) over the time, a dot and the body."""
    return f"{VERSION}={hmac.new(secret, timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def make_sms_sender(
    *, url: str | None, secret: bytes | None, outbox: bool, web: Poster, clock: Clock
) -> MailSender:
    """The sender that the settings ask for."""
    if url is not None and secret is not None:
        return SmsWebhook(url=url, secret=secret, web=web, clock=clock)
    return OutboxSender() if outbox else NoSender()
