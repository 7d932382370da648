"""What the page says of the protocol's data is true for all that the data may mean."""

import pytest

ASK = """async ([name, given]) => {
    const words = await import("/demo/ui/words.js");
    return words[name](...given);
}"""
BY_LINK = {"kind": "user", "sessionId": None}
BY_DEVICE = {"kind": "user", "sessionId": "other"}
BY_ITSELF = {"kind": "user", "sessionId": "own"}
BY_ADMIN = {"kind": "admin", "sessionId": "boss"}
BY_SERVER = {"kind": "system", "sessionId": None}


@pytest.fixture
async def word(device, page_node):
    page = (await device("Reader")).page
    await page.goto(f"{page_node.url}/docs/api")

    async def ask(name: str, *given):
        return await page.evaluate(ASK, [name, list(given)])

    return ask


def end(reason, by):
    return {"code": "session_revoked", "reason": reason, "by": by, "at": "2026-11-24T18:00:00.000Z"}


@pytest.mark.parametrize(
    ("reason", "by", "said"),
    [
        ("password_changed", BY_LINK, "by a mailed link"),
        ("password_changed", BY_DEVICE, "was changed"),
        ("revoked", BY_LINK, "link in our mail"),
        ("revoked", BY_DEVICE, "on another of your devices"),
        ("revoked", BY_SERVER, "more devices than are allowed"),
        ("revoked_others", BY_DEVICE, "or two-step login was turned on"),
        ("admin", BY_ADMIN, "or locked the account"),
        ("account_deleted", BY_ITSELF, "8 December 2026"),
        ("account_deleted", BY_ITSELF, "“Keep my account”"),
        ("account_deleted", BY_SERVER, "was deleted"),
    ],
)
async def test_the_reason_of_an_end_names_who_or_what_can_have_done_it(word, reason, by, said) -> None:
    assert said in await word("endReason", end(reason, by))


@pytest.mark.parametrize(
    ("reason", "by", "title"),
    [
        ("logout", BY_ITSELF, "You logged out in another tab"),
        ("logout_all", BY_ITSELF, "You ended all your sessions"),
        ("account_deleted", BY_ITSELF, "Your account is to be deleted"),
        ("account_deleted", BY_DEVICE, "Your account is to be deleted"),
        ("password_changed", BY_LINK, "You were logged out"),
        ("admin", BY_ADMIN, "You were logged out by an administrator"),
    ],
)
async def test_the_title_of_an_end_blames_no_device_that_did_not_do_it(
    device, page_node, reason, by, title
) -> None:
    page = (await device("Reader")).page
    await page.goto(f"{page_node.url}/docs/api")
    said = await page.evaluate(
        """async (end) => (await import("/demo/ui/words.js")).endTitle(end, new Map(), "own")""", end(reason, by)
    )
    assert said == title


async def test_a_device_is_told_by_what_was_seen_of_it_before_its_own_name(word) -> None:
    device = {"name": "Desk", "browser": "Firefox", "os": "Linux"}
    session = {"device": device, "ip": "193.0.6.139", "location": {"city": None, "country": "NL"}}
    seen = "Firefox on Linux, Netherlands, 193.0.6.139, calling itself “Desk”"
    assert await word("alertSentence", ["new_device"], session) == f"New device: {seen}."
    nameless = {"device": {**device, "name": None}, "ip": "193.0.6.139", "location": None}
    assert await word("alertSentence", ["new_device"], nameless) == "New device: Firefox on Linux, 193.0.6.139."
