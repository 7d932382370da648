"""A composed message: a mail or an SMS."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Mail:
    """A message to one recipient. Its text contains a secret link or code and is excluded from logs and repr.

    An SMS has no HTML; its subject is shown only in the development outbox.
    """

    message_id: str
    kind: str
    to: str
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)
    channel: Literal["email", "sms"] = "email"
