"""What mails about logins say, and what strangers cannot make them say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from auth.clients.devices import plain_name
from auth.clients.locations import Locations
from auth.core.mail import Mail
from auth.core.models import ClientKind, Device
from auth.notifications.mail_contents import ApprovalChanged, LoginDenied, NewLogin, RefreshElsewhere
from auth.notifications.mail_templates import MailTemplates

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
FIREFOX = Device("Kitchen", "Firefox", "Linux", "desktop")
TO = "ada@example.org"


@pytest.fixture(scope="module")
def templates() -> MailTemplates:
    return MailTemplates(public_url="https://vigil.example", locations=Locations())


def new_login(templates: MailTemplates, *news: str, device: Device = FIREFOX) -> Mail:
    login = NewLogin(device=device, ip="8.8.8.8", at=NOW, news=news, token="a-b_c", valid_for=timedelta(days=7))
    return templates.compose(TO, login)


def login_denied(templates: MailTemplates, *, device: Device = FIREFOX, wrong_number: bool = False) -> Mail:
    return templates.compose(TO, LoginDenied(at=NOW, ip="8.8.8.8", device=device, wrong_number=wrong_number))


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


def test_an_iphone_has_one_name_in_mails_and_in_the_list(templates: MailTemplates) -> None:
    iphone = Device("Safari on iPhone", "Safari", "iOS", "phone", "Safari on iPhone")
    mail = new_login(templates, "new_device", device=iphone)
    for text in (mail.text, mail.html):
        assert "Safari on iPhone" in text
        assert "iOS" not in text
    # A model that anybody can claim is not quoted.
    claimed = replace(iphone, detected="Safari on Call 0800", name="Safari on Call 0800")
    assert "Safari on iOS" in new_login(templates, "new_device", device=claimed).text


def test_a_denied_login_is_told_with_what_was_done(templates: MailTemplates) -> None:
    denied = login_denied(templates)
    guessed = login_denied(templates, wrong_number=True)
    assert "The request was denied there" in denied.text
    assert "The wrong number was chosen there" in guessed.text
    for text in (denied.text, denied.html):
        assert "Firefox on Linux" in text
        assert "https://vigil.example/" in text
        assert "58" not in text


def test_turning_approvals_on_or_off_is_told(templates: MailTemplates) -> None:
    notices = [ApprovalChanged(at=NOW, ip="8.8.8.8", allowed=allowed) for allowed in (True, False)]
    texts = {templates.compose(TO, notice).text for notice in notices}
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
        login_denied(templates, device=device).text,
    ):
        assert "evil.example" not in text
        assert "y.example" not in text
        assert claim not in text
    assert plain_name(Device("x", None, None, "other")) == "an unknown device"


def test_a_login_that_is_used_elsewhere_is_told_with_both_ends_and_a_link_that_asks_first(
    templates: MailTemplates,
) -> None:
    notice = RefreshElsewhere(
        at=NOW,
        device=ClientKind("Firefox", "Linux"),
        ip="145.97.0.1",
        logged_in_at=NOW,
        other_device=ClientKind("evil.example/<b>", "Windows"),
        other_ip="8.8.8.8",
        token="a-b_c",
        valid_for=timedelta(days=7),
    )
    mail = templates.compose(TO, notice)
    for text in (mail.text, mail.html):
        assert "https://vigil.example/?notme=a-b_c" in text
        assert "Firefox on Linux" in text
        assert "145.97.0.1 (NL)" in text
        assert "Windows" in text
        assert "evil" not in text
        assert "8.8.8.8 (US)" in text
        assert "Kitchen" not in text
