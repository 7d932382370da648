"""The official library of Standard Webhooks accepts requests that Vigil signs, and refuses changed ones."""

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from auth.core.clock import utc_now
from auth.crypto.webhook_signatures import WebhookSecret, WebhookSecretWrong, sign, signed_headers

BODY = '{"event":"chat:send","data":{"text":"Grüße"}}'.encode()


def signed(*secrets: WebhookSecret) -> dict[str, str]:
    return dict(signed_headers(secrets, message_id="msg_1", now=utc_now(), body=BODY))


def test_the_official_library_accepts_a_signed_request() -> None:
    secret = WebhookSecret.generate()
    assert Webhook(secret.text).verify(BODY, signed(secret)) == {"event": "chat:send", "data": {"text": "Grüße"}}


def test_with_two_secrets_receivers_with_either_accept() -> None:
    old, new = WebhookSecret.generate(), WebhookSecret.generate()
    headers = signed(new, old)
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        Webhook(secret.text).verify(BODY, headers)


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_the_official_library_refuses_a_request_with_a_changed_header(header: str) -> None:
    secret = WebhookSecret.generate()
    other = {"webhook-id": "msg_2", "webhook-timestamp": str(int(utc_now().timestamp()) - 60)}
    headers = signed(secret) | {header: other.get(header, signed(WebhookSecret.generate())["webhook-signature"])}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret.text).verify(BODY, headers)


def test_the_official_library_refuses_a_changed_body() -> None:
    secret = WebhookSecret.generate()
    with pytest.raises(WebhookVerificationError):
        Webhook(secret.text).verify(BODY + b" ", signed(secret))


def test_the_signature_is_that_of_the_specification() -> None:
    # The example of the specification's reference implementations.
    secret = WebhookSecret.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signature = sign([secret], message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_is_read_as_it_is_written_with_or_without_padding() -> None:
    secret = WebhookSecret.generate()
    assert WebhookSecret.parse(secret.text) == WebhookSecret.parse(secret.text.rstrip("=")) == secret


def test_a_secret_does_not_show_itself() -> None:
    secret = WebhookSecret.generate()
    assert secret.text.removeprefix("whsec_")[:8] not in repr(secret)
    assert str(secret.key) not in repr(secret)


@pytest.mark.parametrize(
    "text",
    ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not*base64*at*all", "whsec_c2hvcnQ=", "whsec_é"],
)
def test_what_is_no_secret_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(WebhookSecretWrong) as refused:
        WebhookSecret.parse(text)
    assert text in {"", "whsec_"} or text not in str(refused.value)


def test_a_secret_that_is_too_long_is_refused() -> None:
    with pytest.raises(WebhookSecretWrong, match="24 to 64 bytes"):
        WebhookSecret.parse("whsec_" + "QUFB" * 40)
