"""SMS to users: composed here and sent by the job queue, like mail."""

import secrets
from datetime import timedelta
from urllib.parse import urlsplit

from auth.core.mail import Mail
from auth.notifications.job_queue import Jobs
from auth.stores.challenges import ChallengePurpose

WORDING = {
    ChallengePurpose.PHONE_LOGIN: "is your code to log in to",
    ChallengePurpose.PHONE_ADD: "is your code to add this number to your account at",
}


class SmsDispatcher:
    """Queues SMS. Each call returns once the SMS is stored in MongoDB."""

    def __init__(self, *, jobs: Jobs, service: str, public_url: str) -> None:
        self._jobs = jobs
        self._service = service
        self._host = urlsplit(public_url).hostname or ""

    async def send_code(
        self, user_id: str, to: str, *, code: str, purpose: ChallengePurpose, valid_for: timedelta
    ) -> None:
        """Send the user a code by SMS; stop trying once the code has expired."""
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
        # The last line binds the code to this origin: browsers offer it on no other (WICG, origin-bound one-time
        # codes delivered via SMS).
        text = f"{code} {wording} {self._service}, valid for {minutes} minutes. Don't share this code."
        return f"{text}\n\n@{self._host} #{code}"
