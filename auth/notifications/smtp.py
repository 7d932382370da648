"""Mail senders: SMTP, and the outbox of a development server."""

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from auth.core.clock import Clock
from auth.core.mail import Mail
from auth.core.text import ascii_domain
from auth.platform.hosts import is_loopback, names_this_machine
from auth.platform.settings.settings import SettingsError

SMTP_SECONDS = 20


class MailRefused(Exception):
    """Permanent failure: the mail server will never accept this mail."""


class MailNotSent(Exception):
    """Temporary failure: the mail may be accepted later."""


class MailSender(Protocol):
    """Sends mails."""

    async def send(self, mail: Mail) -> None:
        """Send one mail. Raises `MailRefused` or `MailNotSent`."""


class OutboxSender:
    """Leaves mails in the outbox, which the development page shows."""

    async def send(self, mail: Mail) -> None:
        """Do nothing: the mail stays in the outbox."""


class NoSender:
    """Refuses every mail; used when neither a mail server nor an outbox is configured."""

    async def send(self, mail: Mail) -> None:
        """Raise `MailRefused`."""
        raise MailRefused(f"no mail server for {mail.kind}: set VIGIL_SMTP_URL")


class SmtpSender:
    """Sends mails through a mail server.

    `smtps://` uses TLS from the start. `smtp://` uses STARTTLS if the server offers it, and requires it before
    sending a password to another machine. The certificate of another machine must be valid; the one that a mail
    server is installed with on this machine is for no name. Raises `SettingsError` for an invalid URL or sender.
    """

    def __init__(self, *, url: str, public_url: str, mail_from: str, clock: Clock) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parse_qs(parts.query):
            raise SettingsError("VIGIL_SMTP_URL is wrong: write smtp://user:password@host:port or smtps://…")
        self._host = parts.hostname
        self._use_tls = parts.scheme == "smtps"
        self._username = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        try:
            self._port = parts.port or (465 if self._use_tls else 587)
        except ValueError:
            raise SettingsError("VIGIL_SMTP_URL is wrong: its port is not a number up to 65535") from None
        self._is_local = is_loopback(self._host)
        must_encrypt = self._username is not None and not self._use_tls and not self._is_local
        self._start_tls = True if must_encrypt else None
        self._from = parse_mail_from(mail_from)
        self._own_name = _own_name(public_url, self._from)
        self._clock = clock

    async def send(self, mail: Mail) -> None:
        """Send one mail. Raises `MailRefused` or `MailNotSent`."""
        message = compose(mail, sender=self._from, sent_at=format_datetime(self._clock()))
        try:
            await aiosmtplib.send(
                message,
                sender=self._from.addr_spec,
                recipients=[mail.to],
                hostname=self._host,
                port=self._port,
                local_hostname=self._own_name,
                username=self._username,
                password=self._password,
                use_tls=self._use_tls,
                start_tls=None if self._use_tls else self._start_tls,
                validate_certs=not self._is_local,
                timeout=SMTP_SECONDS,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refusal.code for refusal in error.recipients]
            raise (MailRefused if all(code >= 500 for code in codes) else MailNotSent)(
                f"recipient refused: {codes}"
            ) from None
        except aiosmtplib.SMTPDataError as error:
            raise (MailRefused if error.code >= 500 else MailNotSent)(f"mail refused: {error.code}") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            # The server's message may contain the recipient's address: keep only the type of the error.
            raise MailNotSent(type(error).__name__) from None


def compose(mail: Mail, *, sender: Address, sent_at: str) -> bytes:
    """Return the mail's bytes. Raises `MailRefused`, and nothing else, if it cannot be composed.

    Guarantee: `To` is exactly `mail.to`, whatever encoded words (RFC 2047) or line breaks a header contains.
    """
    try:
        message = _message(mail, sender=sender, sent_at=sent_at)
        raw = message.as_bytes()
        read_back = [address.addr_spec for address in message["To"].addresses]
    except Exception as error:  # noqa: BLE001 - the library may raise anything, and would again on a retry
        raise MailRefused(f"it cannot be composed: {type(error).__name__}") from None
    if read_back != [mail.to]:
        raise MailRefused("its recipient would differ from the address it was written to")
    return raw


def _message(mail: Mail, *, sender: Address, sent_at: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Date"] = sent_at
    # The same at every attempt, so that a mail sent twice after a lost answer can be recognised as a duplicate.
    message["Message-ID"] = f"<{mail.message_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    return message


def parse_mail_from(text: str) -> Address:
    """Parse the sender address `VIGIL_MAIL_FROM`. Raises `SettingsError`."""
    name, address = parseaddr(text)
    user, _, domain = address.rpartition("@")
    if not domain.isascii():
        domain = ascii_domain(domain) or ""
    # A local part that is not ASCII needs SMTPUTF8, which few mail servers of recipients have.
    if not user or not user.isascii() or not domain or "\n" in text or "\r" in text:
        raise SettingsError("VIGIL_MAIL_FROM is wrong: write Name <address@example.org>")
    try:
        return Address(display_name=name, username=user, domain=domain)
    except (ValueError, IndexError):
        raise SettingsError("VIGIL_MAIL_FROM is wrong: write Name <address@example.org>") from None


def _own_name(public_url: str, sender: Address) -> str | None:
    """Return the name for EHLO: the server's public one, or the sender's domain. None: the machine's.

    The machine's comes last, because a container's is no domain, for which mail servers refuse the mail (504).
    """
    host = urlsplit(public_url).hostname or ""
    public = None if names_this_machine(host) else ascii_domain(host)
    return public or ascii_domain(sender.domain)


def make_sender(
    *, smtp_url: str | None, outbox: bool, public_url: str, mail_from: str, clock: Clock
) -> MailSender:
    """Return the sender that the settings select. Raises `SettingsError`."""
    if smtp_url is not None:
        return SmtpSender(url=smtp_url, public_url=public_url, mail_from=mail_from, clock=clock)
    return OutboxSender() if outbox else NoSender()
