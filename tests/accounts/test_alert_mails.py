"""What mails about logins say, and what strangers cannot make them say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.session_world import make_session

from auth.locations import Locations
from auth.mail.message import Mail
from auth.mail.templates import MailTemplates, plain_name
from auth.models import Approval, Device

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
FIREFOX = Device("Kitchen", "Firefox", "Linux", "desktop")
APPROVAL = Approval("a", b"l", "u", 58, (17, 58, 93), FIREFOX, None, "8.8.8.8", NOW, NOW)
TO = "ada@example.org"


@pytest.fixture(scope="module")
def templates() -> MailTemplates:
    return MailTemplates(public_url="https://vigil.example", locations=Locations())


def new_login(templates: MailTemplates, *news: str, device: Device = FIREFOX) -> Mail:
    session = make_session(NOW, device=device, ip="8.8.8.8")
    return templates.new_login(TO, session=session, news=news, token="a-b_c", valid_for=timedelta(days=7))


def test_a_new_login_is_told_with_device_place_time_and_a_link_that_asks_first(templates: MailTemplates) -> None:
    mail = new_login(templates, "new_device")
    for text in (mail.text, mail.html):
        assert "https://vigil.example/?notme=a-b_c" in text
        assert "Firefox on Linux" in text
        assert "8.8.8.8 (US)" in text
        assert "21 November 2026, 09:30 UTC" in text
        assert "7 days" in text
        assert "/api/auth" not in text
    assert "on a device that" in mail.text
    assert "from a country that" in new_login(templates, "new_country").text


def test_a_denied_login_is_told_with_what_was_done(templates: MailTemplates) -> None:
    denied = templates.login_denied(TO, approval=APPROVAL, at=NOW, wrong_number=False)
    guessed = templates.login_denied(TO, approval=APPROVAL, at=NOW, wrong_number=True)
    assert "It was denied there" in denied.text
    assert "The wrong number was chosen there" in guessed.text
    for text in (denied.text, denied.html):
        assert "Firefox on Linux" in text
        assert "https://vigil.example/" in text
        assert "58" not in text


def test_turning_approvals_on_or_off_is_told(templates: MailTemplates) -> None:
    texts = {templates.approval_changed(TO, allowed=on, at=NOW, ip="8.8.8.8").text for on in (True, False)}
    assert len(texts) == 2


@pytest.mark.parametrize(
    "claim",
    ["Call 0800 now: http://evil.example/x", "<a href=//evil.example>", "Ada's iPhone\nBcc: x@y.example"],
)
def test_what_a_stranger_calls_a_device_is_no_link_and_no_name_of_it(templates: MailTemplates, claim: str) -> None:
    device = replace(FIREFOX, name=claim, browser=claim)
    mail = new_login(templates, "new_device", device=device)
    for text in (
        mail.text,
        mail.html,
        templates.login_denied(TO, approval=replace(APPROVAL, device=device), at=NOW, wrong_number=False).text,
    ):
        assert "evil.example" not in text
        assert "y.example" not in text
        assert claim not in text
    assert plain_name(Device("x", None, None, "other")) == "an unknown device"
