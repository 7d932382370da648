"""Hashing off the event loop, and which passwords are refused."""

import asyncio
import dataclasses
import threading
import time
import unicodedata
from collections.abc import AsyncIterator
from typing import Any

import bcrypt
import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY
from hypothesis import given
from hypothesis import strategies as st
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from auth.core.errors import InvalidRequest, RateLimited, Unavailable
from auth.crypto.passwords import MAX_CONTEXT_WORDS, MIN_CHARACTERS, UNCHANGED, Passwords, context_words, share_of
from auth.crypto.sodium_hasher import SodiumHasher

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


async def test_hashes_have_the_parameters_of_rfc_9106_in_one_lane() -> None:
    passwords = Passwords(workers=1)
    parameters = extract_parameters(await passwords.hash(GOOD))
    assert parameters == dataclasses.replace(RFC_9106_LOW_MEMORY, parallelism=1)
    passwords.close()


@pytest.mark.parametrize("password", [GOOD, "", "x" * 1000, "\0\0", "naïve 🐈"])
def test_libsodium_and_argon2_cffi_verify_each_others_hashes(password: str) -> None:
    sodium = SodiumHasher(time_cost=1, memory_kib=8)
    for made, read in ((sodium, QUICK), (QUICK, sodium)):
        hashed = made.hash(password)
        assert read.verify(hashed, password)
        with pytest.raises(VerifyMismatchError):
            read.verify(hashed, password + "x")
        assert not sodium.check_needs_rehash(sodium.hash(password))


# From the test program of the reference implementation (github.com/P-H-C/phc-winner-argon2, src/test.c).
REFERENCE_HASHES = (
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
    "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
    "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
)


@pytest.mark.parametrize("reference", REFERENCE_HASHES)
async def test_hashes_of_the_reference_implementation_match_and_are_replaced_at_the_next_login(
    reference: str,
) -> None:
    passwords = Passwords(workers=1)
    right = await passwords.verify(password="password", password_hash=reference)
    assert (right.matches, right.needs_rehash) == (True, True)
    assert not (await passwords.verify(password="differentpassword", password_hash=reference)).matches
    passwords.close()


async def test_a_hash_of_other_parameters_asks_for_a_new_one(passwords: Passwords) -> None:
    old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(GOOD)
    assert (await passwords.verify(password=GOOD, password_hash=old)).needs_rehash
    assert not (await passwords.verify(password="wrong", password_hash=old)).needs_rehash
    new = await passwords.hash(GOOD)
    assert not (await passwords.verify(password=GOOD, password_hash=new)).needs_rehash


@pytest.mark.parametrize("damaged", ["", "x", "$argon2id$", "$2b$12$abc", "$argon2id$v=19$m=1,t=1,p=1$YQ$YQ"])
async def test_a_damaged_hash_matches_nothing_and_costs_as_much_as_no_account(damaged: str) -> None:
    hasher = SlowHasher()
    passwords = Passwords(workers=1, hasher=hasher)
    assert not (await passwords.verify(password=GOOD, password_hash=damaged)).matches
    assert extract_parameters(hasher.verified[-1]) == extract_parameters(await passwords.hash(GOOD))
    passwords.close()


async def test_asvs_6_3_8_without_an_account_one_decoy_of_the_same_cost_is_verified() -> None:
    hasher = SlowHasher()
    passwords = Passwords(workers=1, hasher=hasher)
    assert not (await passwords.verify(password=GOOD, password_hash=None)).matches
    [decoy] = hasher.verified
    assert extract_parameters(decoy) == extract_parameters(await passwords.hash(GOOD))
    passwords.close()


async def test_asvs_6_3_8_once_a_hash_has_taken_longer_than_ours_every_refusal_is_to_take_as_long() -> None:
    passwords = Passwords(workers=1, hasher=QUICK)
    own = await passwords.hash(GOOD)
    slow = bcrypt.hashpw(GOOD.encode(), bcrypt.gensalt(10)).decode()
    assert not (await passwords.verify(password="wrong", password_hash=slow)).matches
    longest = passwords._slowest_seconds
    assert longest > 0
    for password_hash in (None, own):
        began = time.perf_counter()
        found = await passwords.verify(password="wrong", password_hash=password_hash)
        assert not found.matches
        assert time.perf_counter() - began + found.wait_seconds >= longest
    passwords.close()


async def test_hashes_of_our_own_delay_no_refusal(passwords: Passwords) -> None:
    await passwords.verify(password="wrong", password_hash=await passwords.hash(GOOD))
    await passwords.verify(password="wrong", password_hash=None)
    assert passwords._slowest_seconds == 0


@pytest.mark.parametrize("cost", [(8, 1, 1), (32, 2, 4), (64, 2, 1), (100, 1, 1), (64, 3, 1), (64, 4, 1)])
async def test_a_hash_cheaper_than_ours_costs_as_much_as_no_account(cost: tuple[int, int, int]) -> None:
    memory, passes, lanes = cost
    work: list[int] = []

    class Counting(PasswordHasher):
        def verify(self, hash: Any, password: Any) -> Any:  # noqa: A002 - argon2-cffi's name
            found = extract_parameters(hash)
            work.append(found.memory_cost * found.time_cost)
            return super().verify(hash, password)

    passwords = Passwords(workers=1, hasher=Counting(time_cost=3, memory_cost=64, parallelism=1))
    imported = PasswordHasher(time_cost=passes, memory_cost=memory, parallelism=lanes).hash(GOOD)
    for password in (GOOD, "wrong"):
        work.clear()
        found = await passwords.verify(password=password, password_hash=imported)
        assert found.matches is (password == GOOD)
        # To a pass over the least memory.
        assert 0 <= sum(work) - max(64 * 3, memory * passes) + 24 <= 48
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


class HeldHasher(PasswordHasher):
    """Verifies nothing before it is let; remembers in which order it did."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.let = threading.Event()
        self.order: list[bytes] = []

    def verify(self, hash: Any, password: Any) -> Any:  # noqa: A002 - argon2-cffi's name
        self.let.wait(30)
        self.order.append(password)
        return super().verify(hash, password)


async def test_a_flood_is_refused_instead_of_queued() -> None:
    hasher = HeldHasher()
    passwords = Passwords(workers=1, waiting=3, hasher=hasher)
    tries = [asyncio.ensure_future(passwords.verify(password=GOOD, password_hash=None)) for _ in range(10)]
    _, waiting = await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED)
    hasher.let.set()
    await asyncio.gather(*waiting)
    outcomes = [each.exception() for each in tries]
    assert [isinstance(each, RateLimited) for each in outcomes] == [False] * 4 + [True] * 6
    assert all(each.retry_after_seconds for each in outcomes if isinstance(each, RateLimited))
    assert not (await passwords.verify(password=GOOD, password_hash=None)).matches
    passwords.close()


async def test_a_flood_from_one_network_is_refused_there_and_delays_others_by_one_turn_each() -> None:
    hasher = HeldHasher()
    passwords = Passwords(workers=1, waiting=20, hasher=hasher)

    def ask(name: str, ip: str) -> "asyncio.Task[Any]":
        return asyncio.ensure_future(passwords.verify(password=name, password_hash=None, ip=ip))

    flood = [ask(f"flood {n}", f"2001:db8:0:{n:x}::1") for n in range(60)]
    await asyncio.sleep(0)
    others = [ask("ada", "198.51.100.7"), ask("bob", "2001:db8:1::1"), ask("carol", "203.0.113.5")]
    await asyncio.sleep(0)
    hasher.let.set()
    results = await asyncio.gather(*flood, *others, return_exceptions=True)
    # 21 have room, and three of the flood's gave theirs up.
    assert [isinstance(each, RateLimited) for each in results] == [False] * 18 + [True] * 42 + [False] * 3
    # One of the flood's was being hashed, and one had its turn.
    assert hasher.order[:5] == [b"flood 0", b"flood 1", b"ada", b"bob", b"carol"]
    passwords.close()


async def test_where_as_many_networks_wait_as_there_is_room_for_nobody_gives_way() -> None:
    hasher = HeldHasher()
    passwords = Passwords(workers=1, waiting=3, hasher=hasher)
    tries = [
        asyncio.ensure_future(passwords.verify(password=GOOD, password_hash=None, ip=f"192.0.{n}.1"))
        for n in range(6)
    ]
    await asyncio.sleep(0)
    hasher.let.set()
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert [isinstance(each, Unavailable) for each in results] == [False] * 4 + [True] * 2
    passwords.close()


@pytest.mark.parametrize(
    ("ip", "share"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::1", "::/48"),
        ("", ""),
    ],
)
def test_an_address_shares_the_pool_with_its_network(ip: str, share: str) -> None:
    assert share_of(ip) == share


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


async def test_callers_that_leave_again_and_again_leave_nothing_behind() -> None:
    hasher = HeldHasher()
    passwords = Passwords(workers=1, waiting=2, hasher=hasher)
    running = asyncio.ensure_future(passwords.verify(password=GOOD, password_hash=None))
    await asyncio.sleep(0)
    for _ in range(100):
        left = asyncio.ensure_future(passwords.verify(password=GOOD, password_hash=None))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
    assert (len(passwords._queue), passwords._scheduled) <= (0, 2)
    hasher.let.set()
    await running
    assert not (await passwords.verify(password=GOOD, password_hash=None)).matches
    passwords.close()


async def test_after_closing_nothing_is_hashed_and_nobody_waits() -> None:
    hasher = HeldHasher()
    passwords = Passwords(workers=1, hasher=hasher)
    tries = [asyncio.ensure_future(passwords.verify(password=GOOD, password_hash=None)) for _ in range(5)]
    await asyncio.sleep(0)
    passwords.close()
    with pytest.raises(Unavailable):
        await passwords.hash(GOOD)
    hasher.let.set()
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert any(isinstance(each, asyncio.CancelledError) for each in results)


async def test_a_new_password_differs_from_the_current_one(passwords: Passwords) -> None:
    current_hash = await passwords.hash(GOOD)
    with pytest.raises(InvalidRequest) as refused:
        await passwords.check(GOOD, current_hash=current_hash)
    assert [(error.field, error.message) for error in refused.value.errors] == [("password", UNCHANGED)]
    await passwords.check(f"{GOOD} again", current_hash=current_hash)


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
        "only lower case words here",
        "9274018365529103",
        "ПАРОЛЬ ДЛИННЫЙ",
        "   spaces   count   ",
    ],
)
async def test_asvs_6_2_5_a_good_password_of_any_characters_is_taken(passwords: Passwords, password: str) -> None:
    assert await reason(passwords, password) is None


async def test_asvs_6_2_4_none_of_the_three_thousand_most_used_is_taken(passwords: Passwords) -> None:
    """Those of the length that the policy asks for, in the order of their use."""
    most_used = [word for word in FREQUENCY_LISTS["passwords"] if len(word) >= MIN_CHARACTERS][:3000]
    assert len(most_used) == 3000
    assert [word for word in most_used if await reason(passwords, word) is None] == []


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("", "at least 8"),
        ("x8Kq!mz", "at least 8"),
        ("xq7!Zk9", "at least 8"),
        ("äöüäöüä", "at least 8"),
        ("a\u0308" * 7, "at least 8"),
        ("kq7-" * 32 + "x", "at most 128"),
        ("x8Kq!mzt" * 10_000, "at most 128"),
        ("x8Kq!mzt\ud800", "invalid character"),
        ("password", "Many people use this password"),
        ("12345678", "Many people use this password"),
        ("Passw0rd!", "similar to a commonly used password"),
        ("qwertyuiop", "Many people use this password"),
        ("iloveyou", "Many people use this password"),
        ("aaaaaaaa", "Repeats"),
        ("a" * 128, "Repeats"),
        ("abcabcabcabc", "Repeats"),
        ("vigil1234", "the name of this service"),
        ("x7!x7!x7!", "Repeats"),
    ],
)
async def test_asvs_6_2_1_and_6_2_4_a_bad_password_is_refused_with_the_reason(
    passwords: Passwords, password: str, said: str
) -> None:
    assert said in (await reason(passwords, password) or "")


@pytest.mark.parametrize("password", ["adalovelace", "lovelace1815", "LovelaceAda", "ada.lovelace@example.org"])
async def test_a_password_made_of_the_users_own_names_is_refused(passwords: Passwords, password: str) -> None:
    said = await reason(passwords, password, "ada.lovelace@example.org", "Ada Lovelace", "lovelace1815")
    assert said is not None
    assert said.startswith("Do not build your password from your name, your address")


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
