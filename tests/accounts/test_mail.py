"""What mails say, and how they reach a mail server."""

import asyncio
import email
import email.policy
import re
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from support.certificates import certificate

from auth.clients.locations import Locations
from auth.core.mail import Mail
from auth.core.models import ClientKind, Device
from auth.notifications import mail_contents
from auth.notifications.mail_contents import MailContent, all_mail_contents
from auth.notifications.mail_templates import MailTemplates
from auth.notifications.smtp import (
    MailNotSent,
    MailRefused,
    NoSender,
    OutboxSender,
    SmtpSender,
    compose,
    make_sender,
    parse_mail_from,
)
from auth.notifications.undo_links import AddedMethod
from auth.platform.settings.settings import SettingsError

PAGE = Path(__file__).resolve().parents[2] / "client-demo" / "app.css"
NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
FROM = "Vigil <no-reply@vigil.example>"
OWN_URL = "https://auth.vigil.example"
MAIL = Mail(
    "0123abcd", "verify_address", "ada@example.org", "Confirm: ünïcode", "Text ünïcode\n", "<p>ünïcode</p>\n"
)


@pytest.fixture(scope="module")
def templates() -> MailTemplates:
    return MailTemplates(public_url="https://vigil.example", locations=Locations())


def every_content() -> list[MailContent]:
    act: Any = {"at": NOW, "ip": "8.8.8.8"}
    link: Any = {"token": "a-b_c", "requested_at": NOW, "valid_for": timedelta(minutes=15)}
    login: Any = {"device": Device("Phone", "Chrome", "Android"), "logged_in_at": NOW}
    not_me: Any = {"token": "a-b_c", "valid_for": timedelta(days=7)}
    elsewhere: Any = act | login | not_me | {"other_ip": "127.0.0.1"}
    verify = link | {"valid_for": timedelta(hours=24)}
    return [
        *(
            mail_contents.VerifyAddress(**verify, ip=ip, anew=anew)
            for ip, anew in (("8.8.8.8", False), (None, False), ("8.8.8.8", True))
        ),
        mail_contents.AlreadyRegistered(requested_at=NOW, ip="127.0.0.1"),
        mail_contents.ResetPassword(**link, ip="8.8.8.8"),
        mail_contents.ConfirmNewAddress(**link),
        mail_contents.ConfirmOldAddress(**link, ip="8.8.8.8"),
        mail_contents.EmailChanged(**act),
        mail_contents.PasswordChanged(**act),
        mail_contents.DeletionAsked(**act, deletion_at=NOW),
        mail_contents.DeletionTakenBack(**act),
        mail_contents.TokenReused(**act, **login),
        *(mail_contents.RefreshElsewhere(**elsewhere, other_device=kind) for kind in (ClientKind("curl"), None)),
        *(
            mail_contents.NewLogin(**act, **not_me, device=login["device"], news=news)
            for news in (("new_device",), ("new_country",))
        ),
        *(mail_contents.LoginDenied(**act, device=login["device"], wrong_number=wrong) for wrong in (True, False)),
        *(mail_contents.ApprovalChanged(**act, allowed=allowed) for allowed in (True, False)),
        mail_contents.TotpDisabled(**act),
        mail_contents.RecoveryCodesMade(**act),
        *every_content_with_undo_link(),
        mail_contents.IdentityUnlinked(**act, provider="One"),
        mail_contents.PasskeyRemoved(**act),
        mail_contents.PasskeyCopied(at=NOW, ip=""),
        mail_contents.PhoneRemoved(**act, number="+31612345678"),
        *(
            mail_contents.FactorsRemoved(at=NOW, removed=("totp", "passkey"), by=by)
            for by in ("link", "admin", "system")
        ),
        mail_contents.SecondFactorFailed(**act),
        *(mail_contents.PasswordGuessed(**act, is_known=is_known) for is_known in (True, False)),
        *(mail_contents.RolesWereChanged(at=NOW, roles=roles) for roles in ((), ("moderator", "admin"))),
        mail_contents.AccountWasLocked(at=NOW),
        mail_contents.AccountWasUnlocked(at=NOW),
        *(mail_contents.RecoveryCodeUsed(at=NOW, left=left) for left in (9, 1, 0)),
    ]


def every_content_with_undo_link() -> list[MailContent]:
    act: Any = {"added": AddedMethod("kind", "which"), "at": NOW, "ip": "8.8.8.8"}
    return [
        mail_contents.TotpEnabled(**act),
        mail_contents.PasskeyAdded(**act),
        mail_contents.PhoneAdded(**act, number="+31612345678"),
        mail_contents.IdentityLinked(**act, provider="One"),
    ]


def composed(templates: MailTemplates, content: MailContent) -> Mail:
    undo = "a-b_c" if isinstance(content, mail_contents.AdditionNotice) else None
    return templates.compose("ada@example.org", content, undo=undo)


def every_mail(templates: MailTemplates) -> list[Mail]:
    return [composed(templates, content) for content in every_content()]


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
        assert mail.subject.removeprefix("Vigil: ") in mail.html
        assert "{{" not in mail.text + mail.html
        assert "None" not in mail.text + mail.html


def page_colours() -> list[dict[str, str]]:
    """The colours of the demo page by name, light and dark."""
    schemes = PAGE.read_text().split("@media (prefers-color-scheme: dark)")[:2]
    return [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", scheme)) for scheme in schemes]


def test_mails_look_like_the_page_light_and_dark(templates: MailTemplates) -> None:
    light, dark = page_colours()
    for mail in every_mail(templates):
        head, _, body = mail.html.partition("</style>")
        assert 'name="color-scheme" content="light dark"' in head
        allowed = {light[name] for name in ("page", "surface", "line", "ink", "ink-muted", "accent")} | {"#ffffff"}
        assert set(re.findall(r"#[0-9a-f]{6}\b", body)) == allowed
        names = ("page", "surface", "line", "ink", "ink-muted", "accent", "on-accent")
        assert set(re.findall(r"#[0-9a-f]{6}\b", head)) == {dark[name] for name in names}
        # Every element with a colour of its own has a class that the dark scheme changes, except the mark.
        for style in re.findall(
            r'<(?:p|table|h1|div|body|td)\b([^>]*style="[^"]*color:#16191d[^"]*"[^>]*)>', body
        ):
            assert re.search(r'class="(text|title)"', style), style


def test_mails_begin_with_the_mark_and_the_name_of_the_service() -> None:
    harbour = MailTemplates(public_url="https://vigil.example", service="Harbour", locations=Locations())
    for mail in every_mail(harbour):
        assert mail.html.startswith("<!doctype html>")
        body = mail.html.partition("<body")[2]
        mark, name, subject = (body.index(part) for part in ("#0f766e;border-radius:9px", ">Harbour<", "<h1"))
        assert mark < name < subject
        assert mail.text.endswith("-- \nSent by Harbour, https://vigil.example\n")


def test_every_mail_that_can_be_written_is_checked_here() -> None:
    assert {type(content) for content in every_content()} == set(all_mail_contents())


def test_a_mail_content_keeps_its_secret_out_of_logs() -> None:
    assert not [content for content in every_content() if "a-b_c" in repr(content)]


def test_the_link_verifies_at_the_public_url(templates: MailTemplates) -> None:
    mail = every_mail(templates)[0]
    assert "https://vigil.example/api/auth/verify-email?token=a-b_c" in mail.text
    assert "24 hours" in mail.text


def test_mails_name_the_service_and_lead_to_the_application_s_page() -> None:
    app = MailTemplates(
        public_url="https://auth.example",
        app_url="https://app.example/account",
        service="Tea & <b>Biscuits",
        locations=Locations(),
    )
    for mail in every_mail(app):
        assert mail.subject.startswith("Tea & <b>Biscuits: ")
        assert "Sent by Tea & <b>Biscuits, https://auth.example" in mail.text
        assert "Sent by Tea &amp; &lt;b&gt;Biscuits, " in mail.html
        (button,) = Links(mail.html).buttons
        # Two pages are ours: those of the verification, and of what was added.
        ours = [f"https://auth.example/api/auth/{path}?" for path in ("verify-email", "factors/undo")]
        assert button.startswith(("https://app.example/account", *ours))
    (reset,) = [mail for mail in every_mail(app) if mail.kind == "reset_password"]
    assert "https://app.example/account?reset=a-b_c\n" in reset.text
    assert "15 minutes" in reset.text


@pytest.mark.parametrize(
    ("browser", "said"),
    [("Chrome", "Chrome"), ("Call 0900 1234", "an unknown device"), (None, "an unknown device")],
)
def test_no_mail_about_somebody_s_login_says_what_they_called_their_device(
    templates: MailTemplates, browser: str | None, said: str
) -> None:
    """Whoever it was chose it: a sentence, a link, a number to call."""
    lies = "Call 0900 1234 or go to evil example"
    device = Device(lies, browser=browser, os=lies)
    act: Any = {"at": NOW, "ip": "8.8.8.8", "device": device}
    mails = [
        composed(templates, content)
        for content in (
            mail_contents.TokenReused(**act, logged_in_at=NOW),
            mail_contents.NewLogin(**act, news=(), token="t", valid_for=timedelta(days=7)),
            mail_contents.LoginDenied(**act, wrong_number=False),
        )
    ]
    for mail in mails:
        for text in (mail.text, mail.html):
            assert said in text
            assert not any(word in text for word in ("0900", "evil", "Call"))


def test_each_mail_of_what_was_added_has_a_link_that_takes_it_off(templates: MailTemplates) -> None:
    for mail in (composed(templates, content) for content in every_content_with_undo_link()):
        assert "https://vigil.example/api/auth/factors/undo?token=a-b_c" in mail.text
        assert Links(mail.html).buttons == ["https://vigil.example/api/auth/factors/undo?token=a-b_c"]
        assert "7 days" in mail.text


def test_a_mail_keeps_its_secret_out_of_logs() -> None:
    assert "ünïcode\n" not in repr(MAIL)


@pytest.mark.parametrize("to", ["ada@example.org\r\nBcc: eve@example.org", "ada@example.org\nX: y"])
def test_a_header_cannot_be_injected(to: str) -> None:
    injected = Mail("1", "k", to, "s", "t", "h")
    with pytest.raises(MailRefused):
        compose(injected, sender=parse_mail_from(FROM), sent_at="now")
    with pytest.raises(MailRefused):
        compose(Mail("1", "k", "a@b.c", to, "t", "h"), sender=parse_mail_from(FROM), sent_at="now")


@pytest.mark.parametrize(
    "to",
    [
        "=?utf-8?q?a=0d=0ab?=@evil.example",
        "=?utf-8?q?ada=40example.org=2C?=@evil.example",
        "=?utf-8?b?YWRh?=@evil.example",
        "ada@example.org, eve@example.org",
        "Ada <ada@example.org>",
        "\ud800@example.org",
        "",
    ],
)
def test_a_mail_goes_to_the_address_it_was_written_to_or_is_refused(to: str) -> None:
    with pytest.raises(MailRefused):
        compose(Mail("1", "k", to, "s", "t", "h"), sender=parse_mail_from(FROM), sent_at="now")


def test_a_sender_in_an_internationalised_domain_is_written_in_its_ascii_form() -> None:
    sender = parse_mail_from("Söhne <no-reply@bücher.example>")
    assert sender.addr_spec == "no-reply@xn--bcher-kva.example"
    raw = compose(Mail("1", "k", "ada@example.org", "s", "t", "h"), sender=sender, sent_at="now")
    assert raw.startswith(b"From: =?utf-8?q?S=C3=B6hne?= <no-reply@xn--bcher-kva.example>\r\n")


@pytest.mark.parametrize(
    "text", ["", "nobody", "@", "a@", "x\n <a@b.c>", "Name <a@b.c>\r\nBcc: d@e.f", "ö@b.example", "a@-ö.example"]
)
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
    settings: dict[str, Any] = {"smtp_url": None, "public_url": OWN_URL, "mail_from": FROM, "clock": lambda: NOW}
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


def sender(url: str, *, public_url: str = OWN_URL, mail_from: str = FROM) -> SmtpSender:
    return SmtpSender(url=url, public_url=public_url, mail_from=mail_from, clock=lambda: NOW)


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
    ("public_url", "name"),
    [
        (OWN_URL, "auth.vigil.example"),
        ("https://auth.vigil.example:8443", "auth.vigil.example"),
        ("http://localhost:8080", "vigil.example"),
        ("http://chat.localhost:8080", "vigil.example"),
        ("http://192.0.2.1", "vigil.example"),
        ("http://[2001:db8::1]", "vigil.example"),
        ("http://my_container", "vigil.example"),
    ],
)
async def test_a_mail_server_is_told_a_domain_of_the_server_s_and_not_a_container_s_name(
    mailbox: tuple[Mailbox, int], public_url: str, name: str
) -> None:
    box, port = mailbox
    await sender(f"smtp://127.0.0.1:{port}", public_url=public_url).send(MAIL)
    [(_, session)] = box.got
    assert session.host_name == name


async def test_a_server_without_a_domain_tells_the_machine_s_name(mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    alone = sender(
        f"smtp://127.0.0.1:{port}", public_url="http://localhost:8080", mail_from="Vigil <no-reply@localhost>"
    )
    await alone.send(MAIL)
    [(_, session)] = box.got
    assert session.host_name == socket.getfqdn()


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


@pytest.fixture
async def with_own_certificate(tmp_path: Path) -> AsyncIterator[tuple[Mailbox, int]]:
    """As a package of a mail server installs it: STARTTLS with a certificate for the machine, signed by itself."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate(tmp_path, "debian"))
    box = Mailbox()
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(box, authenticator=authenticate, tls_context=context), "127.0.0.1", 0
    )
    yield box, server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("credentials", ["", "vigil:p%40ss%2Fword@"])
async def test_a_mail_server_on_this_machine_needs_no_certificate_for_a_name(
    with_own_certificate: tuple[Mailbox, int], credentials: str
) -> None:
    box, port = with_own_certificate
    await sender(f"smtp://{credentials}127.0.0.1:{port}").send(MAIL)
    [(_, session)] = box.got
    assert session.ssl is not None
    assert bool(credentials) == bool(session.auth_data)


async def test_the_certificate_of_another_machine_must_be_valid(
    with_own_certificate: tuple[Mailbox, int],
) -> None:
    box, port = with_own_certificate
    careful = sender(f"smtp://127.0.0.1:{port}")
    careful._is_local = sender("smtp://mail.example.org")._is_local
    with pytest.raises(MailNotSent):
        await careful.send(MAIL)
    assert box.got == []


async def test_no_password_goes_to_another_machine_in_the_clear(mailbox: tuple[Mailbox, int]) -> None:
    """The server offers no STARTTLS; a name that is not loopback's must then get no password."""
    box, port = mailbox
    careful = sender(f"smtp://vigil:p%40ss%2Fword@127.0.0.1:{port}")
    careful._start_tls = sender(f"smtp://vigil:secret@mail.example.org:{port}")._start_tls
    with pytest.raises(MailNotSent):
        await careful.send(MAIL)
    assert box.got == []
