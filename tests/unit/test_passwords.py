"""Hashing off the event loop, and which passwords are refused."""

import asyncio
import time
import unicodedata
from collections.abc import AsyncIterator
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY
from hypothesis import given
from hypothesis import strategies as st

from auth.errors import InvalidRequest, Unavailable
from auth.passwords import MAX_CONTEXT_WORDS, Passwords, context_words

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
GOOD = "correct horse battery staple"


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    made = Passwords(workers=2, hasher=QUICK)
    yield made
    made.close()


class SlowHasher(PasswordHasher):
    """Counts its verifications and takes its time for each."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[str] = []

    def verify(self, hash: Any, password: Any) -> Any:  # noqa: A002 - argon2-cffi's name
        self.verified.append(hash)
        time.sleep(0.05)
        return super().verify(hash, password)


async def test_the_right_password_matches_and_no_other(passwords: Passwords) -> None:
    password_hash = await passwords.hash(GOOD)
    assert (await passwords.verify(password=GOOD, password_hash=password_hash)).matches
    for wrong in (GOOD + " ", GOOD.upper(), "", GOOD[:-1], "x" * 1000):
        assert not (await passwords.verify(password=wrong, password_hash=password_hash)).matches


async def test_hashes_have_the_parameters_of_rfc_9106() -> None:
    passwords = Passwords(workers=1)
    assert extract_parameters(await passwords.hash(GOOD)) == RFC_9106_LOW_MEMORY
    passwords.close()


async def test_a_hash_of_other_parameters_asks_for_a_new_one(passwords: Passwords) -> None:
    old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(GOOD)
    assert (await passwords.verify(password=GOOD, password_hash=old)).needs_rehash
    assert not (await passwords.verify(password="wrong", password_hash=old)).needs_rehash
    new = await passwords.hash(GOOD)
    assert not (await passwords.verify(password=GOOD, password_hash=new)).needs_rehash


@pytest.mark.parametrize("damaged", ["", "x", "$argon2id$", "$2b$12$abc", "$argon2id$v=19$m=1,t=1,p=1$YQ$YQ"])
async def test_a_damaged_hash_matches_nothing(passwords: Passwords, damaged: str) -> None:
    assert not (await passwords.verify(password=GOOD, password_hash=damaged)).matches


async def test_asvs_6_3_8_without_an_account_one_decoy_of_the_same_cost_is_verified() -> None:
    hasher = SlowHasher()
    passwords = Passwords(workers=1, hasher=hasher)
    assert not (await passwords.verify(password=GOOD, password_hash=None)).matches
    [decoy] = hasher.verified
    assert extract_parameters(decoy) == extract_parameters(await passwords.hash(GOOD))
    passwords.close()


async def test_the_event_loop_goes_on_while_a_password_is_hashed() -> None:
    passwords = Passwords(workers=1)
    hashing = asyncio.ensure_future(passwords.hash(GOOD))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 3
    passwords.close()


async def test_a_flood_is_refused_instead_of_queued() -> None:
    passwords = Passwords(workers=1, waiting=3, hasher=SlowHasher())
    tries = [passwords.verify(password=GOOD, password_hash=None) for _ in range(10)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, Unavailable) for result in results) == 6
    assert not (await passwords.verify(password=GOOD, password_hash=None)).matches
    passwords.close()


async def test_a_caller_that_left_gives_its_place_back() -> None:
    passwords = Passwords(workers=1, waiting=1, hasher=SlowHasher())
    running = asyncio.ensure_future(passwords.verify(password=GOOD, password_hash=None))
    await asyncio.sleep(0)
    left = asyncio.ensure_future(passwords.verify(password=GOOD, password_hash=None))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.sleep(0)
    assert not (await passwords.verify(password=GOOD, password_hash=None)).matches
    await running
    passwords.close()


async def test_after_closing_nothing_is_hashed(passwords: Passwords) -> None:
    passwords.close()
    with pytest.raises(Unavailable):
        await passwords.hash(GOOD)


async def reason(passwords: Passwords, password: str, *context: str) -> str | None:
    try:
        await passwords.check(password, context=context)
    except InvalidRequest as refused:
        [error] = refused.errors
        assert error.field == "password"
        return error.message
    return None


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "x8Kq!mzt",
        "pässwörter sind schön",
        "🐴🔋📎🎻🎲🌲🧭🪁",
        "x8Kq!mzt" + "é" * 112 + "v4#Jr9zL",
        "Tr0ub4dour&3",
    ],
)
async def test_a_good_password_of_any_characters_is_taken(passwords: Passwords, password: str) -> None:
    assert await reason(passwords, password) is None


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("", "at least 8"),
        ("x8Kq!mz", "at least 8"),
        ("a\u0308" * 7, "at least 8"),
        ("kq7-" * 32 + "x", "at most 128"),
        ("x8Kq!mzt" * 10_000, "at most 128"),
        ("x8Kq!mzt\ud800", "Unicode"),
        ("password", "common"),
        ("12345678", "common"),
        ("Passw0rd!", "common"),
        ("qwertyuiop", "common"),
        ("iloveyou", "common"),
        ("aaaaaaaa", "Repeats"),
        ("a" * 128, "Repeats"),
        ("abcabcabcabc", "Repeats"),
    ],
)
async def test_a_bad_password_is_refused_with_the_reason(passwords: Passwords, password: str, said: str) -> None:
    assert said in (await reason(passwords, password) or "")


@pytest.mark.parametrize("password", ["adalovelace", "lovelace1815", "LovelaceAda", "ada.lovelace@example.org"])
async def test_a_password_made_of_the_users_own_names_is_refused(passwords: Passwords, password: str) -> None:
    assert await reason(passwords, password, "ada.lovelace@example.org", "Ada Lovelace", "lovelace1815")


async def test_context_words_of_one_user_do_not_meet_another(passwords: Passwords) -> None:
    checks = [reason(passwords, "zyxgrumbler", *(["zyxgrumbler"] if n % 2 else [])) for n in range(40)]
    results = await asyncio.gather(*checks)
    assert [result is not None for result in results] == [bool(n % 2) for n in range(40)]


async def test_a_hostile_password_does_not_hold_a_thread_for_long(passwords: Passwords) -> None:
    hostile = "@${$5+<662{9(1311<(0<0{+78|4|{|!2+|2{8+3<55|1674++64|+|{[26(0(5|@58%831|"
    begun = time.perf_counter()
    await reason(passwords, hostile)
    assert time.perf_counter() - begun < 1


async def test_the_same_letters_composed_otherwise_are_the_same_password(passwords: Passwords) -> None:
    composed, decomposed = (unicodedata.normalize(form, "mañana für alle") for form in ("NFC", "NFD"))
    assert composed != decomposed
    password_hash = await passwords.hash(composed)
    assert (await passwords.verify(password=decomposed, password_hash=password_hash)).matches


async def test_look_alikes_are_not_the_same_password(passwords: Passwords) -> None:
    password_hash = await passwords.hash("ﬁsh and chips ²")
    assert not (await passwords.verify(password="fish and chips 2", password_hash=password_hash)).matches


async def test_no_text_breaks_a_login(passwords: Passwords) -> None:
    password_hash = await passwords.hash(GOOD)
    for odd in ("\ud800", "\x00" * 100, "a\x00b", "\U0010ffff", "é" * 60_000):
        assert not (await passwords.verify(password=odd, password_hash=password_hash)).matches


@given(st.lists(st.none() | st.text(max_size=300), max_size=8))
def test_context_words_are_few_and_short(context: list[str | None]) -> None:
    words = context_words(context)
    assert len(words) <= MAX_CONTEXT_WORDS
    assert all(len(word) <= 192 for word in words)
