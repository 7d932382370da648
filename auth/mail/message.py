"""A composed mail."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one person. Its text carries a secret link, so it is in no log and no repr."""

    message_id: str
    kind: str
    to: str
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)
