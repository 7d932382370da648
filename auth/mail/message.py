"""A composed message: a mail or an SMS."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Mail:
    """One message to one person. Its text carries a secret link or code, so it is in no log and no repr.

    An SMS has no HTML, and its subject is for the development outbox alone.
    """

    message_id: str
    kind: str
    to: str
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)
    channel: Literal["email", "sms"] = "email"
