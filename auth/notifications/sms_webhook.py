"""Sends SMS through a signed webhook, behind which the operator connects a carrier.

The signature covers the time and the exact bytes of the body, so the receiver can tell that this server wrote the
request and that it is not a replay (docs/phone.md says how to verify it). A request whose outcome is unknown is
repeated with the same `messageId`.
"""

import hashlib
import hmac

import orjson

from auth.core.clock import Clock, iso
from auth.core.errors import Unavailable
from auth.core.mail import Mail
from auth.notifications.smtp import MailNotSent, MailRefused, MailSender, NoSender, OutboxSender
from auth.platform.http_client import HttpClient

VERSION = "v1"
# RFC 9110, section 15.5.9, and RFC 6585, section 4: the 4xx statuses that may be retried.
LATER = frozenset({408, 429})


class SmsWebhook:
    """Posts SMS to a webhook."""

    def __init__(self, *, url: str, secret: bytes, web: HttpClient, clock: Clock) -> None:
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
        # A redirect is a configuration error; following it would disclose the code to its target.
        refused = 300 <= status < 500 and status not in LATER
        raise (MailRefused if refused else MailNotSent)(f"the webhook answered {status}")


class ChannelSender:
    """Dispatches each message to the sender of its channel."""

    def __init__(self, *, email: MailSender, sms: MailSender) -> None:
        self._email = email
        self._sms = sms

    async def send(self, mail: Mail) -> None:
        """Send one message. Raises `MailRefused` or `MailNotSent`."""
        await (self._sms if mail.channel == "sms" else self._email).send(mail)


def signature(secret: bytes, *, timestamp: str, body: bytes) -> str:
    """Return the value of `X-Vigil-Signature`: HMAC-SHA256 (RFC 2104) over the time, a dot and the body."""
    return f"{VERSION}={hmac.new(secret, timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def make_sms_sender(
    *, url: str | None, secret: bytes | None, outbox: bool, web: HttpClient, clock: Clock
) -> MailSender:
    """Return the sender that the settings select."""
    if url is not None and secret is not None:
        return SmsWebhook(url=url, secret=secret, web=web, clock=clock)
    return OutboxSender() if outbox else NoSender()
