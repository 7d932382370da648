"""How addresses, names and usernames are read."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.core.errors import InvalidRequest
from auth.core.text import clean_name, clean_username, email_key, parse_email, printable, require_email


@pytest.mark.parametrize(
    ("text", "address", "key"),
    [
        ("ada@example.org", "ada@example.org", "ada@example.org"),
        ("  Ada.Lovelace@EXAMPLE.Org\n", "Ada.Lovelace@example.org", "ada.lovelace@example.org"),
        ("a+tag@sub.example.co", "a+tag@sub.example.co", "a+tag@sub.example.co"),
        ("o'brien@example.ie", "o'brien@example.ie", "o'brien@example.ie"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("ada@straße.example", "ada@xn--strae-oqa.example", "ada@xn--strae-oqa.example"),
        ("x" * 64 + "@example.org", "x" * 64 + "@example.org", "x" * 64 + "@example.org"),
        ("\u200eada@example.org\u200f", "ada@example.org", "ada@example.org"),
        ("\u2068ada@example.org\u2069", "ada@example.org", "ada@example.org"),
        ("\ufeff\u00a0ada@\u200bexample.org\u3000", "ada@example.org", "ada@example.org"),
        ("ada\uff20example\uff0eorg", "ada@example.org", "ada@example.org"),
        ("\uff41\uff44\uff41@example.org", "ada@example.org", "ada@example.org"),
        ("ada@\u00ad\u2060example.org", "ada@example.org", "ada@example.org"),
        ("o\ufb03ce@example.org", "office@example.org", "office@example.org"),
        # A zero-width non-joiner is part of a Persian name: another domain without it.
        ("ada@\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example", *["ada@xn--mgba3gch31f060k.example"] * 2),
    ],
)
def test_an_address_is_kept_as_typed_and_known_by_its_key(text: str, address: str, key: str) -> None:
    parsed = require_email(text)
    assert (parsed.address, parsed.key) == (address, key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "ada",
        "ada@",
        "@example.org",
        "ada@localhost",
        "ada@example",
        "ada@.example.org",
        "ada@example..org",
        "ada@example.org.",
        "ada@-example.org",
        "ada@example.123",
        # Encoded words (RFC 2047): a line break, another address, a whole other list of them.
        "=?utf-8?q?a=0d=0ab?=@evil.example",
        "=?utf-8?q?ada=40example.org=2C?=@evil.example",
        "x=?us-ascii?b?YQ==?=@evil.example",
        "=?UTF-8?Q?unfinished@evil.example",
        "ada@[192.0.2.1]",
        "ada@192.0.2.1",
        '"ada lovelace"@example.org',
        "ada lovelace@example.org",
        ".ada@example.org",
        "ada.@example.org",
        "a..da@example.org",
        "аda@example.org",
        "ada@exa mple.org",
        "ada@example.org\r\nBcc: eve@example.org",
        "ada\n@example.org",
        "ada@example.org, eve@example.org",
        "<ada@example.org>",
        "x" * 65 + "@example.org",
        "ada@" + "x" * 64 + ".org",
        "ada@" + ".".join(["x" * 60] * 5) + ".org",
        "ada@\ud800.org",
        "ada@ex\u0000ample.org",
        "a" * 100_000 + "@example.org",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    assert email_key(text) is None
    with pytest.raises(InvalidRequest) as refused:
        require_email(text)
    assert [error.field for error in refused.value.errors] == ["email"]


@given(st.text(max_size=300))
def test_any_text_is_an_address_or_none_and_never_an_accident(text: str) -> None:
    parsed = parse_email(text)
    if parsed is not None:
        assert parsed.address.isascii()
        assert len(parsed.address) <= 254
        assert not set(parsed.address) & set(string.whitespace + ',;<>()[]"\\')


@given(st.from_regex(r"[a-zA-Z0-9.+-]{1,20}@[a-zA-Z0-9-]{1,20}\.[a-zA-Z]{2,5}", fullmatch=True))
def test_a_key_names_one_account_however_the_address_is_typed(text: str) -> None:
    key = email_key(text)
    if key is not None:
        assert email_key(text.upper()) == email_key(f" {text.lower()} ") == email_key(key) == key


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [("  Ada ", "Ada"), ("", None), ("   ", None), (None, None), ("李小龍", "李小龍"), ("x" * 100, "x" * 100)],
)
def test_a_name_is_kept_without_outer_space(name: str | None, cleaned: str | None) -> None:
    assert clean_name(name) == cleaned


@pytest.mark.parametrize(
    "name", ["\u200b", "\u3164", " \u2800 ", "\u00ad\u2060", "\ufe0f\u034f", "\u115f\u1160\uffa0"]
)
def test_a_name_that_nobody_sees_is_none(name: str) -> None:
    assert (clean_name(name), printable(name, 50)) == (None, "")


@pytest.mark.parametrize("name", ["ㅤAda", "👩‍👩‍👧‍👦", "نام‌خانوادگی", "क्षि", "✌️", ".", "\U0001fae8"])
def test_a_name_of_any_script_or_sign_is_seen(name: str) -> None:
    assert (clean_name(name), printable(name, 50)) == (name, name)


@pytest.mark.parametrize("name", ["x" * 101, "a\nb", "a\x00b", "a\u202eb", "a\u2066b", "\ud800", "a\u2028b"])
def test_a_name_that_could_deceive_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        clean_name(name)


@pytest.mark.parametrize(
    "pasted", [" ada99", "\u200eada99\u200f", "\ufeffada\u200b99\u00a0", "\uff41da\uff19\uff19"]
)
def test_what_was_pasted_along_with_a_username_is_no_part_of_it(pasted: str) -> None:
    assert clean_username(pasted) == "ada99"


@pytest.mark.parametrize("username", ["ada", "Ada.L-99_x", "a1b", "x" * 32])
def test_a_username_is_kept_as_typed(username: str) -> None:
    assert clean_username(username) == username


@pytest.mark.parametrize("username", ["ab", "x" * 33, ".ada", "ada.", "a b c", "ädä", "ada@x", "a/b", "ada\n1"])
def test_a_username_of_other_characters_is_refused(username: str) -> None:
    with pytest.raises(InvalidRequest):
        clean_username(username)


@given(st.text(max_size=200), st.integers(1, 50))
def test_printable_text_is_bounded_and_can_always_be_stored(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    shown.encode()
    assert "\n" not in shown
