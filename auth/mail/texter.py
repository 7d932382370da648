"""What the server writes to phones: composed here, sent by the job queue like mail."""

import secrets
from datetime import timedelta
from urllib.parse import urlsplit

from auth.jobs import Jobs
from auth.mail.message import Mail
from auth.stores.challenges import ChallengePurpose

WORDING = {
    ChallengePurpose.PHONE_LOGIN: "is your code to log in to",
    ChallengePurpose.PHONE_ADD: "is your code to add this number to your account at",
}


class Texter:
    """Queues SMS. Each call returns once the SMS is safe in MongoDB."""

    def __init__(self, *, jobs: Jobs, service: str, public_url: str) -> None:
        self._jobs = jobs
        self._service = service
        self._host = urlsplit(public_url).hostname or ""

    async def send_code(
        self, user_id: str, to: str, *, code: str, purpose: ChallengePurpose, valid_for: timedelta
    ) -> None:
        """Text a code of this user's. It is given up when it is good for nothing any more."""
        sms = Mail(
            message_id=secrets.token_hex(16),
            kind=purpose.value,
            to=to,
            subject="Your code",
            text=self._compose(code, WORDING[purpose], round(valid_for / timedelta(minutes=1))),
            html="",
            channel="sms",
        )
        await self._jobs.enqueue_mail(sms, user_id=user_id, give_up_after=valid_for)

    def _compose(self, code: str, wording: str, minutes: int) -> str:
        # The last line binds the code to our site: browsers offer it nowhere else (WICG, origin-bound one-time
        # codes delivered via SMS).
        return (
            f"{code} {wording} {self._service}, for {minutes} minutes. Give it to nobody.\n\n@{self._host} #{code}"
        )
