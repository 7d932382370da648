"""The page's messages are true for everything that the protocol's data may mean."""

from typing import Any

from support.page_modules import evaluate

CALL = """async (load, [file, name, calls]) => {
    const messages = await load(`ui/${file}.js`);
    return calls.map((given) => messages[name](...given));
}"""
TITLE = """async (load, ends) => {
    const { logoutTitle } = await load("ui/logout-messages.js");
    return ends.map((end) => logoutTitle(end, new Map(), "own"));
}"""
FOURTEEN_DAYS = {"lifetimes": {"accountDeletionMs": 14 * 86_400_000}}
NOTHING_KNOWN: dict[str, dict[str, int]] = {"lifetimes": {}}
BY_LINK = {"kind": "user", "sessionId": None}
BY_DEVICE = {"kind": "user", "sessionId": "other"}
BY_ITSELF = {"kind": "user", "sessionId": "own"}
BY_ADMIN = {"kind": "admin", "sessionId": "boss"}
BY_SERVER = {"kind": "system", "sessionId": None}


def messages(file: str, name: str, *calls: list[Any]) -> Any:
    return evaluate(CALL, [file, name, calls])


def end(reason: Any, by: Any) -> Any:
    return {"code": "session_revoked", "reason": reason, "by": by, "at": "2026-11-24T18:00:00.000Z"}


REASONS = (
    ("password_changed", BY_LINK, "with a mailed link"),
    ("password_changed", BY_DEVICE, "was changed"),
    ("revoked", BY_LINK, "link in our mail"),
    ("revoked", BY_DEVICE, "Another of your devices"),
    ("revoked", BY_SERVER, "more devices than allowed"),
    ("revoked_others", BY_DEVICE, "That device logged out all others."),
    ("admin", BY_ADMIN, "An administrator ended this session."),
    ("account_deleted", BY_ITSELF, "8 December 2026"),
    ("account_deleted", BY_ITSELF, "“Keep my account”"),
    ("account_deleted", BY_SERVER, "was deleted"),
)


def test_the_reason_of_an_end_names_who_or_what_can_have_done_it() -> None:
    calls = [[end(reason, by), FOURTEEN_DAYS] for reason, by, _ in REASONS]
    for (reason, by, words), said in zip(
        REASONS, messages("logout-messages", "logoutReason", *calls), strict=True
    ):
        assert words in said, (reason, by)


ACTS = (
    ("revoked_others", BY_DEVICE, "two_factor_enabled", "Two-step verification was turned on there"),
    ("admin", BY_ADMIN, "account_locked", "locked the account"),
    ("admin", BY_SERVER, "factors_removed", "two-step verification was removed"),
)


def test_what_was_done_to_the_account_stands_instead_of_the_reason() -> None:
    calls = [[end(reason, by) | {"act": act}, FOURTEEN_DAYS] for reason, by, act, _ in ACTS]
    for (*_, act, words), said in zip(ACTS, messages("logout-messages", "logoutReason", *calls), strict=True):
        assert words in said, act


def test_how_long_a_deletion_can_be_cancelled_is_not_guessed_before_the_server_has_told() -> None:
    (said,) = messages("logout-messages", "logoutReason", [end("account_deleted", BY_ITSELF), NOTHING_KNOWN])
    assert said.startswith("You can cancel the deletion")


def test_a_log_out_that_could_not_be_counted_is_not_told_as_one_of_no_connection() -> None:
    nobody = {"sockets": 0, "notified": 0, "acknowledged": 0, "closed": 0, "pending": 0}
    uncounted = {**nobody, "incomplete": True}
    offline, one, three = messages(
        "logout-messages", "deliverySentence", [nobody, 1], [uncounted, 1], [uncounted, 3]
    )
    assert "It was offline" in offline
    for said, who in ((one, "Logged out."), (three, "3 devices logged out.")):
        assert said.startswith(who)
        assert "could not be counted" in said


TITLES = (
    ("logout", BY_ITSELF, "You logged out in another tab"),
    ("logout_all", BY_ITSELF, "You ended all your sessions"),
    ("account_deleted", BY_ITSELF, "Your account will be deleted"),
    ("account_deleted", BY_DEVICE, "Your account will be deleted"),
    ("password_changed", BY_LINK, "You were logged out"),
    ("admin", BY_ADMIN, "You were logged out by an administrator"),
)


def test_the_title_of_an_end_blames_no_device_that_did_not_do_it() -> None:
    assert evaluate(TITLE, [end(reason, by) for reason, by, _ in TITLES]) == [title for *_, title in TITLES]


def test_a_device_is_told_by_what_was_seen_of_it_before_its_own_name() -> None:
    device = {"name": "Desk", "browser": "Firefox", "os": "Linux"}
    session = {"device": device, "ip": "193.0.6.139", "location": {"city": None, "country": "NL"}}
    nameless = {"device": {**device, "name": None}, "ip": "193.0.6.139", "location": None}
    calls = [[["new_device"], session], [["refresh_elsewhere"], nameless], [["new_device"], nameless]]
    assert messages("alert-messages", "alertSentence", *calls) == [
        "New device: Firefox on Linux, Netherlands, 193.0.6.139, calling itself “Desk”.",
        "One of your logins is also used from somewhere else: Firefox on Linux, 193.0.6.139.",
        "New device: Firefox on Linux, 193.0.6.139.",
    ]


def test_how_long_to_wait_is_said_in_words_for_people() -> None:
    waits = {5_000: "5 seconds", 300_000: "5 minutes", 86_000_000: "24 hours", None: "a moment"}
    refusals = [[{"code": "rate_limited", "message": "", "retryAfterMs": wait}] for wait in waits]
    said = messages("error-messages", "errorSentence", *refusals)
    assert said == [f"Too many attempts. Try again in {words}." for words in waits.values()]


def test_details_of_an_event_are_words_without_counters_and_ids() -> None:
    password_changed = {"generation": "4", "reason": "password_changed", "by": "user", "bySession": "0c1a"}
    asked = {"device": "Firefox on Linux", "askedFrom": "192.0.2.7"}
    cases: list[tuple[dict[str, str], str]] = [
        ({"amr": "pwd otp", "delivery": "cookie"}, "by password, authenticator app"),
        (password_changed, "reason: password changed · by the account’s owner"),
        ({"by": "admin"}, "by an administrator"),
        (asked, "device: Firefox on Linux · asked from: 192.0.2.7"),
        ({}, ""),
    ]
    said = messages("audit-event-text", "eventDetails", *([details] for details, _ in cases))
    assert said == [words for _, words in cases]
