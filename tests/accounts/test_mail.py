"""What mails say, and how they reach a mail server."""

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from auth.locations import Locations
from auth.mail.message import Mail
from auth.mail.senders import (
    MailNotSent,
    MailRefused,
    NoSender,
    OutboxSender,
    SmtpSender,
    compose,
    make_sender,
    parse_mail_from,
)
from auth.mail.templates import MailTemplates
from auth.models import Device, Session, TokenDelivery
from auth.settings import SettingsError
from auth.two_factor import FactorChange

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
FROM = "Vigil <no-reply@vigil.example>"
MAIL = Mail(
    "0123abcd", "verify_address", "ada@example.org", "Confirm: ünïcode", "Text ünïcode\n", "<p>ünïcode</p>\n"
)


@pytest.fixture(scope="module")
def templates() -> MailTemplates:
    return MailTemplates(public_url="https://vigil.example", locations=Locations())


def stolen_session(device: str) -> Session:
    return Session(
        "s", "u", b"", 0, False, TokenDelivery.BODY, (), (), Device(device), "", "8.8.8.8", None,
        NOW, NOW, NOW, NOW, NOW,
    )  # fmt: skip


def every_mail(templates: MailTemplates) -> list[Mail]:
    return [
        *(
            templates.verify_address(
                "ada@example.org", token="a-b_c", requested_at=NOW, ip=ip, valid_for=timedelta(hours=24), anew=anew
            )
            for ip, anew in (("8.8.8.8", False), (None, False), ("8.8.8.8", True))
        ),
        templates.already_registered("ada@example.org", requested_at=NOW, ip="127.0.0.1"),
        templates.refresh_reused("ada@example.org", session=stolen_session("Chrome on Android"), at=NOW),
        *(
            templates.second_factor_changed("ada@example.org", change, at=NOW, ip="8.8.8.8")
            for change in FactorChange
        ),
        templates.second_factor_failed("ada@example.org", at=NOW, ip="8.8.8.8"),
        *(
            templates.roles_changed("ada@example.org", roles=roles, at=NOW)
            for roles in ((), ("moderator", "admin"))
        ),
        templates.account_locked("ada@example.org", at=NOW),
        templates.account_unlocked("ada@example.org", at=NOW),
        *(templates.recovery_code_used("ada@example.org", left=left, at=NOW) for left in (9, 1, 0)),
    ]


class Links(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.buttons: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "a" and dict(attrs).get("class") == "button":
            self.buttons.append(dict(attrs).get("href") or "")


def test_every_mail_has_text_and_html_with_one_button_and_nothing_from_elsewhere(templates: MailTemplates) -> None:
    for mail in every_mail(templates):
        found = Links(mail.html)
        assert len(found.buttons) == 1
        assert found.buttons[0] in mail.text
        assert not found.tags & {"img", "script", "link", "iframe", "form"}
        assert "prefers-color-scheme: dark" in mail.html
        assert mail.subject in mail.html
        assert "{{" not in mail.text + mail.html
        assert "None" not in mail.text + mail.html


def test_the_link_verifies_at_the_public_url(templates: MailTemplates) -> None:
    mail = every_mail(templates)[0]
    assert "https://vigil.example/api/auth/verify-email?token=a-b_c" in mail.text
    assert "24 hours" in mail.text


def test_a_device_name_cannot_become_markup(templates: MailTemplates) -> None:
    mail = templates.refresh_reused("ada@example.org", session=stolen_session("<script>x</script>&"), at=NOW)
    assert "<script>" not in mail.html
    assert "&lt;script&gt;" in mail.html


def test_a_mail_keeps_its_secret_out_of_logs() -> None:
    assert "ünïcode\n" not in repr(MAIL)


@pytest.mark.parametrize("to", ["ada@example.org\r\nBcc: eve@example.org", "ada@example.org\nX: y"])
def test_a_header_cannot_be_injected(to: str) -> None:
    injected = Mail("1", "k", to, "s", "t", "h")
    with pytest.raises(ValueError):
        compose(injected, sender=parse_mail_from(FROM), sent_at="now")
    with pytest.raises(ValueError):
        compose(Mail("1", "k", "a@b.c", to, "t", "h"), sender=parse_mail_from(FROM), sent_at="now")


@pytest.mark.parametrize("text", ["", "nobody", "@", "a@", "x\n <a@b.c>", "Name <a@b.c>\r\nBcc: d@e.f"])
def test_a_wrong_sender_stops_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="VIGIL_MAIL_FROM"):
        parse_mail_from(text)


@pytest.mark.parametrize(
    "url", ["", "mail.example.org", "http://x", "smtp://", "smtp://x:99999", "smtp://x:port", "smtp://x?tls=no"]
)
def test_a_wrong_smtp_url_stops_the_start(url: str) -> None:
    with pytest.raises(SettingsError, match="VIGIL_SMTP_URL"):
        sender(url)


async def test_without_a_mail_server_mail_stays_in_the_outbox_or_is_refused() -> None:
    settings: dict[str, Any] = {"smtp_url": None, "mail_from": FROM, "clock": lambda: NOW}
    kept = make_sender(outbox=True, **settings)
    assert isinstance(kept, OutboxSender)
    await kept.send(MAIL)
    refusing = make_sender(outbox=False, **settings)
    assert isinstance(refusing, NoSender)
    with pytest.raises(MailRefused, match="VIGIL_SMTP_URL"):
        await refusing.send(MAIL)
    assert isinstance(make_sender(outbox=True, **settings | {"smtp_url": "smtp://localhost"}), SmtpSender)


class Mailbox:
    """A mail server's mind: what it got, and what it answers."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.answers = {"RCPT": "250 OK", "DATA": "250 OK"}

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.answers["RCPT"].startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.answers["RCPT"]

    async def handle_DATA(self, _: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.answers["DATA"].startswith("250"):
            self.got.append((envelope, session))
        return self.answers["DATA"]


def authenticate(*args: Any) -> AuthResult:
    data = args[-1]
    right = (data.login, data.password) == (b"vigil", b"p@ss/word")
    return AuthResult(success=right, handled=False, auth_data=data if right else None)


@pytest.fixture
async def mailbox() -> AsyncIterator[tuple[Mailbox, int]]:
    box = Mailbox()
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(box, authenticator=authenticate, auth_require_tls=False), "127.0.0.1", 0
    )
    yield box, server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


def sender(url: str) -> SmtpSender:
    return SmtpSender(url=url, mail_from=FROM, clock=lambda: NOW)


@pytest.mark.parametrize("credentials", ["", "vigil:p%40ss%2Fword@"])
async def test_a_mail_arrives_whole(mailbox: tuple[Mailbox, int], credentials: str) -> None:
    box, port = mailbox
    await sender(f"smtp://{credentials}127.0.0.1:{port}").send(MAIL)
    [(envelope, session)] = box.got
    assert bool(credentials) == bool(session.auth_data)
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@vigil.example", ["ada@example.org"])
    message = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert message["From"] == FROM
    assert message["To"] == "ada@example.org"
    assert message["Subject"] == "Confirm: ünïcode"
    assert message["Message-ID"] == "<0123abcd@vigil.example>"
    assert message["Date"] == "Sat, 21 Nov 2026 09:30:00 +0000"
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert text.get_content().strip() == "Text ünïcode"
    assert html is not None
    assert html.get_content().strip() == "<p>ünïcode</p>"
    assert envelope.content.isascii()


@pytest.mark.parametrize(
    ("step", "answer", "error"),
    [
        ("RCPT", "550 No such user ada@example.org", MailRefused),
        ("RCPT", "451 Greylisted", MailNotSent),
        ("DATA", "554 Looks like spam", MailRefused),
        ("DATA", "452 Disk full", MailNotSent),
    ],
)
async def test_a_refusal_is_final_or_not_as_the_server_says(
    mailbox: tuple[Mailbox, int], step: str, answer: str, error: type[Exception]
) -> None:
    box, port = mailbox
    box.answers[step] = answer
    with pytest.raises(error) as refused:
        await sender(f"smtp://127.0.0.1:{port}").send(MAIL)
    assert "ada@example.org" not in str(refused.value)


async def test_a_wrong_password_or_a_server_that_is_down_is_tried_again_later(
    mailbox: tuple[Mailbox, int],
) -> None:
    for url in (f"smtp://vigil:wrong@127.0.0.1:{mailbox[1]}", "smtp://127.0.0.1:1", "smtps://127.0.0.1:1"):
        with pytest.raises(MailNotSent):
            await sender(url).send(MAIL)


async def test_no_password_goes_to_another_machine_in_the_clear(mailbox: tuple[Mailbox, int]) -> None:
    """The server offers no STARTTLS; a name that is not loopback's must then get no password."""
    box, port = mailbox
    careful = sender(f"smtp://vigil:p%40ss%2Fword@127.0.0.1:{port}")
    careful._start_tls = sender(f"smtp://vigil:secret@mail.example.org:{port}")._start_tls
    with pytest.raises(MailNotSent):
        await careful.send(MAIL)
    assert box.got == []
