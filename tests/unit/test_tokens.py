"""Access and refresh tokens: what we mint we know again, and nothing else."""

import asyncio
import base64
import json
import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.forgeries import FORGERIES, Genuine, genuine_of
from support.keys import ROOT_SECRET, held_ring, random_session_id
from support.session_world import make_session

from auth.core.errors import InvalidToken, TokenExpired
from auth.crypto.root_secret import RootSecret
from auth.crypto.signing_keys import KeyRing
from auth.crypto.tokens import (
    MAX_GENERATION,
    REFRESH_LAYOUT,
    AccessTokens,
    RefreshToken,
    RefreshTokens,
    _tag,
    hash_nonce,
)

NOW = datetime(2026, 11, 21, 9, 30, 0, 250_000, tzinfo=UTC)
ISSUER = "https://id.example.org"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
REFRESH_KEY = RootSecret(ROOT_SECRET).derive("refresh tokens")
REFRESH = RefreshTokens(REFRESH_KEY)
USER = "ffeeddccbbaa99887766554433221100"
TOKEN = RefreshToken("00112233445566778899aabbccddeeff", 41, bytes(range(16)))

refresh_tokens = st.builds(
    RefreshToken,
    st.binary(min_size=16, max_size=16).map(bytes.hex),
    st.integers(0, MAX_GENERATION - 1),
    st.binary(min_size=16, max_size=16),
)


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return run(held_ring(lambda: NOW))


def access_tokens(ring: KeyRing, *, lifetime: timedelta = timedelta(minutes=15)) -> AccessTokens:
    return AccessTokens(ring, issuer=ISSUER, audience="vigil", lifetime=lifetime)


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.removeprefix("rt1.") + "=")


def text(raw: bytes) -> str:
    return "rt1." + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


# Refresh tokens ------------------------------------------------------------------------------------------


@given(refresh_tokens)
def test_a_refresh_token_is_known_again(token: RefreshToken) -> None:
    assert REFRESH.parse(REFRESH.mint(token)) == token


@given(refresh_tokens)
def test_the_successor_is_derived_and_always_the_same(token: RefreshToken) -> None:
    """So it can be handed out again without being stored."""
    first, again = token.successor(USER), REFRESH.parse(REFRESH.mint(token)).successor(USER)
    assert REFRESH.mint(first) == REFRESH.mint(again)
    assert (first.session_id, first.generation, first.nonce) == (
        token.session_id,
        token.generation + 1,
        token.nonce,
    )
    assert REFRESH.mint(first) != REFRESH.mint(token)


def test_a_refresh_token_has_the_form_of_the_contract() -> None:
    minted = REFRESH.mint(TOKEN)
    assert minted.startswith("rt1.")
    assert set(minted.removeprefix("rt1.")) <= set(ALPHABET)
    assert len(raw(minted)) == 16 + 4 + 16 + 32
    session_id, generation, nonce = struct.unpack(">16sI16s", raw(minted)[:36])
    assert (session_id.hex(), generation, nonce) == (TOKEN.session_id, 41, TOKEN.nonce)


def test_every_flipped_bit_is_noticed() -> None:
    minted = raw(REFRESH.mint(TOKEN))
    for bit in range(len(minted) * 8):
        flipped = bytearray(minted)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidToken):
            REFRESH.parse(text(bytes(flipped)))


def test_every_other_character_at_every_place_is_noticed() -> None:
    """Also in the last one, whose spare bits base64 ignores: one token, one spelling."""
    minted = REFRESH.mint(TOKEN)
    for place in range(len(minted)):
        for character in (*ALPHABET, "=", "+", "/", ".", " ", "\n", "\0", "é", "２"):
            if character != minted[place]:
                with pytest.raises(InvalidToken):
                    REFRESH.parse(minted[:place] + character + minted[place + 1 :])


def test_every_truncation_and_extension_is_noticed() -> None:
    minted = REFRESH.mint(TOKEN)
    for length in range(len(minted)):
        for cut in (minted[:length], minted[len(minted) - length :]):
            with pytest.raises(InvalidToken):
                REFRESH.parse(cut)
    for more in ("A", "=", "==", " ", "\n", "\0", ".", "A" * 1_000_000):
        for longer in (minted + more, more + minted, minted[:50] + more + minted[50:]):
            with pytest.raises(InvalidToken):
                REFRESH.parse(longer)


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(lambda token: token.upper(), id="upper case"),
        pytest.param(lambda token: token.lower(), id="lower case"),
        pytest.param(lambda token: token.swapcase(), id="swapped case"),
        pytest.param(lambda token: token.replace("rt1.", "rt2."), id="another version"),
        pytest.param(lambda token: token.replace("rt1.", "RT1."), id="prefix in capitals"),
        pytest.param(lambda token: token.replace("rt1.", "rt1"), id="no dot"),
        pytest.param(lambda token: token.replace("rt1.", ""), id="no prefix"),
        pytest.param(lambda token: token.replace("rt1.", "rt1․"), id="a dot that only looks like one"),
        pytest.param(lambda token: "rt1.rt1." + token[8:], id="prefix twice"),
        pytest.param(lambda token: "rt1." + raw(token).hex(), id="hexadecimal"),
        pytest.param(lambda token: "rt1." + base64.b64encode(raw(token)).decode(), id="padded"),
        pytest.param(lambda token: "", id="nothing"),
        pytest.param(lambda token: "rt1.", id="only the prefix"),
        pytest.param(lambda token: "rt1." + "A" * 91, id="all zero"),
        pytest.param(lambda token: "rt1." + "_" * 91, id="all ones"),
    ],
)
def test_no_other_spelling_is_taken(spelling: Any) -> None:
    # Letters of both cases are in it, so that a change of case is a change.
    minted = REFRESH.mint(TOKEN)
    assert spelling(minted) != minted
    with pytest.raises(InvalidToken):
        REFRESH.parse(spelling(minted))


@given(st.text(max_size=120))
def test_nothing_that_is_typed_at_random_is_taken(typed: str) -> None:
    for attempt in (typed, "rt1." + typed):
        with pytest.raises(InvalidToken):
            REFRESH.parse(attempt)


def test_a_token_under_another_secret_is_refused() -> None:
    """A database in a thief's hands gives session ids and generations; the tag it does not give."""
    for secret in (b"another root secret, 32 bytes long", b""):
        for purpose in ("refresh tokens", "signing keys", "csrf"):
            if (secret, purpose) == (ROOT_SECRET, "refresh tokens"):
                continue
            other = RefreshTokens(RootSecret(secret).derive(purpose))
            with pytest.raises(InvalidToken):
                REFRESH.parse(other.mint(TOKEN))


def test_keys_of_different_purposes_differ() -> None:
    root = RootSecret(ROOT_SECRET)
    keys = {root.derive(purpose) for purpose in ("refresh tokens", "signing keys", "csrf", "")}
    assert len(keys) == 4
    assert all(len(key) == 32 for key in keys)
    assert root.derive("csrf") == RootSecret(ROOT_SECRET).derive("csrf")


def test_what_is_kept_of_the_nonce_is_no_nonce() -> None:
    """SHA-256 of it: a token made with the kept hash in the nonce's place contradicts the database."""
    kept = TOKEN.nonce_hash
    assert kept == hash_nonce(TOKEN.nonce)
    assert len(kept) == 32
    assert TOKEN.nonce not in kept
    assert hash_nonce(kept[:16]) != kept
    assert TOKEN.successor(USER).nonce_hash == kept


@pytest.mark.parametrize("user_id", [USER, "0" * 32, "f" * 32])
def test_a_token_that_names_its_user_is_read_back_and_each_changed_bit_is_refused(user_id: str) -> None:
    token = replace(TOKEN, user_id=user_id)
    minted = REFRESH.mint(token)
    assert minted.startswith("rt1.")
    assert REFRESH.parse(minted) == token
    raw_token = base64.urlsafe_b64decode(minted[4:])
    for bit in range(len(raw_token) * 8):
        changed = bytearray(raw_token)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidToken):
            REFRESH.parse(text(bytes(changed)))


def test_neither_form_passes_for_the_other() -> None:
    plain, named = REFRESH.mint(TOKEN), REFRESH.mint(replace(TOKEN, user_id=USER))
    for forged in (
        text(raw(plain) + bytes(16)),
        text(raw(plain)[:-32] + bytes(16) + raw(plain)[-32:]),
        named[:95],
    ):
        with pytest.raises(InvalidToken):
            REFRESH.parse(forged)


def test_until_every_node_accepts_them_no_token_names_its_user() -> None:
    earlier = RefreshTokens(REFRESH_KEY, names_user=lambda: False)
    named = replace(TOKEN, user_id=USER)
    assert earlier.mint(named) == REFRESH.mint(TOKEN)
    assert earlier.parse(REFRESH.mint(named)) == named
    # Nor does one of an account whose id has another form.
    assert REFRESH.mint(replace(TOKEN, user_id="ada")) == REFRESH.mint(TOKEN)


def test_the_last_generation_has_no_successor_and_is_refused() -> None:
    """After four thousand million refreshes the counter ends instead of turning over."""
    body = REFRESH_LAYOUT.pack(bytes(16), MAX_GENERATION, bytes(16))
    with pytest.raises(InvalidToken):
        REFRESH.parse(text(body + _tag(REFRESH_KEY, body)))
    last = REFRESH.parse(REFRESH.mint(replace(TOKEN, generation=MAX_GENERATION - 1)))
    assert REFRESH.mint(last.successor(USER))


def test_neither_kind_of_token_shows_its_secret_when_printed(ring: KeyRing) -> None:
    assert TOKEN.nonce.hex() not in repr(TOKEN)
    assert str(TOKEN.nonce)[2:-1] not in repr(TOKEN)
    assert ROOT_SECRET.decode() not in repr(RootSecret(ROOT_SECRET))
    assert ring.current.private.private_bytes_raw().hex() not in repr(ring.current)


# Access tokens -------------------------------------------------------------------------------------------


def decoded(segment: str) -> dict[str, object]:
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


def test_an_access_token_says_who_acts(ring: KeyRing) -> None:
    session = make_session(NOW, generation=3, roles=("user", "admin"), amr=("pwd", "otp"))
    token, expires_at = access_tokens(ring).mint(session, now=NOW)
    principal = run(access_tokens(ring).verify(token, now=NOW))
    assert principal.user_id == session.user_id
    assert principal.session_id == session.session_id
    assert principal.generation == 3
    assert principal.roles == ("user", "admin")
    assert principal.amr == ("pwd", "otp")
    assert principal.auth_time == NOW.replace(microsecond=0)
    assert principal.issued_at == NOW.replace(microsecond=0)
    assert principal.expires_at == expires_at == NOW.replace(microsecond=0) + timedelta(minutes=15)


def test_header_and_claims_are_exactly_those_of_the_contract(ring: KeyRing) -> None:
    session = make_session(NOW)
    token, _ = access_tokens(ring).mint(session, now=NOW)
    header, claims = map(decoded, token.split(".")[:2])
    assert header == {"alg": "EdDSA", "kid": ring.current.key_id, "typ": "at+jwt"}
    assert {name: type(value) for name, value in claims.items()} == {
        "iss": str,
        "aud": str,
        "sub": str,
        "sid": str,
        "gen": int,
        "roles": list,
        "amr": list,
        "auth_time": int,
        "iat": int,
        "exp": int,
        "jti": str,
    }
    assert (claims["iss"], claims["aud"]) == (ISSUER, "vigil")
    assert (claims["sub"], claims["sid"]) == (session.user_id, session.session_id)


def test_no_two_access_tokens_have_one_id(ring: KeyRing) -> None:
    tokens, session = access_tokens(ring), make_session(NOW)
    ids = {decoded(tokens.mint(session, now=NOW)[0].split(".")[1])["jti"] for _ in range(100)}
    assert len(ids) == 100


def test_five_seconds_of_leeway_and_not_a_millisecond_more(ring: KeyRing) -> None:
    tokens = access_tokens(ring)
    token, expires_at = tokens.mint(make_session(NOW), now=NOW)
    for late in (timedelta(0), timedelta(seconds=4.999)):
        assert run(tokens.verify(token, now=expires_at + late))
    for late in (timedelta(seconds=5), timedelta(seconds=6), timedelta(days=9999)):
        with pytest.raises(TokenExpired):
            run(tokens.verify(token, now=expires_at + late))


def test_a_token_from_a_clock_ahead_of_ours_is_taken_within_the_leeway(ring: KeyRing) -> None:
    tokens = access_tokens(ring)
    token, _ = tokens.mint(make_session(NOW), now=NOW)
    issued = NOW.replace(microsecond=0)
    assert run(tokens.verify(token, now=issued - timedelta(seconds=5)))
    with pytest.raises(InvalidToken):
        run(tokens.verify(token, now=issued - timedelta(seconds=5.001)))


@given(
    session_left=st.integers(1, 3_600_000).map(lambda ms: timedelta(milliseconds=ms)),
    life=st.integers(1, 7200).map(lambda s: timedelta(seconds=s)),
    began=st.integers(0, 999).map(lambda ms: timedelta(milliseconds=ms)),
)
def test_an_access_token_never_outlives_its_session(
    ring: KeyRing, session_left: timedelta, life: timedelta, began: timedelta
) -> None:
    now = NOW.replace(microsecond=0) + began
    session = make_session(now, expires_at=now + session_left)
    token, expires_at = access_tokens(ring, lifetime=life).mint(session, now=now)
    assert expires_at <= session.expires_at
    assert expires_at <= now + life
    assert decoded(token.split(".")[1])["exp"] == expires_at.timestamp()


@pytest.mark.parametrize(("issuer", "audience"), [("https://evil.example", "vigil"), (ISSUER, "other")])
def test_a_token_of_another_issuer_or_for_another_audience_is_refused(
    ring: KeyRing, issuer: str, audience: str
) -> None:
    token, _ = AccessTokens(ring, issuer=issuer, audience=audience, lifetime=timedelta(hours=1)).mint(
        make_session(NOW), now=NOW
    )
    with pytest.raises(InvalidToken):
        run(access_tokens(ring).verify(token, now=NOW))


class HeldJwks(jwt.PyJWKClient):
    """PyJWT's client for another server's keys, given the document instead of an address."""

    def __init__(self, document: dict[str, object]) -> None:
        super().__init__("https://id.example.org/.well-known/jwks.json")
        self._document = document

    def fetch_data(self) -> object:
        return json.loads(json.dumps(self._document))


def test_another_service_verifies_with_nothing_but_the_jwks(ring: KeyRing) -> None:
    """As the readme tells it to: PyJWT, the JWKS, and the three expectations."""
    session = make_session(NOW)
    token, _ = access_tokens(ring).mint(session, now=NOW)
    key = HeldJwks(ring.jwks()).get_signing_key_from_jwt(token)
    expected: dict[str, Any] = {
        "audience": "vigil",
        "issuer": ISSUER,
        "options": {"verify_exp": False, "verify_iat": False},
    }
    claims = jwt.decode(token, key.key, algorithms=["EdDSA"], **expected)
    assert claims["sub"] == session.user_id
    for wrong in ({"audience": "other"}, {"issuer": "https://evil.example"}):
        with pytest.raises(jwt.InvalidTokenError):
            jwt.decode(token, key.key, algorithms=["EdDSA"], **{**expected, **wrong})


def test_the_jwks_holds_public_ed25519_signing_keys_and_nothing_else(ring: KeyRing) -> None:
    for jwk in ring.jwks()["keys"]:
        assert set(jwk) == {"kty", "crv", "use", "alg", "kid", "x"}
        assert (jwk["kty"], jwk["crv"], jwk["use"], jwk["alg"]) == ("OKP", "Ed25519", "sig", "EdDSA")
        assert len(base64.urlsafe_b64decode(jwk["x"] + "=")) == 32
    assert len(ring.jwks()["keys"]) == 2


@given(st.binary(max_size=600), st.integers(0, 511))
def test_a_key_knows_what_it_has_signed_and_notices_every_flipped_bit(message: bytes, bit: int) -> None:
    """Signed by one library, verified by another."""
    key = run(held_ring(lambda: NOW)).current
    signature = key.private.sign(message)
    assert key.has_signed(message, signature)
    flipped = bytearray(signature)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not key.has_signed(message, bytes(flipped))
    assert not key.has_signed(message + b"\0", signature)


def test_no_border_between_signature_and_message_but_one_is_seen(ring: KeyRing) -> None:
    """The verifier takes both in one piece: a byte from one must not be good as a byte of the other."""
    message = b"header.claims"
    whole = ring.current.private.sign(message) + message
    for border in (0, 1, 32, 63, 65, 76, len(whole)):
        assert not ring.current.has_signed(whole[border:], whole[:border])
    assert ring.current.has_signed(whole[64:], whole[:64])


# Remembered ----------------------------------------------------------------------------------------------


def test_what_a_node_has_signed_it_knows_and_another_finds_the_same(ring: KeyRing) -> None:
    signing, other = access_tokens(ring), access_tokens(ring)
    token, _ = signing.mint(make_session(NOW), now=NOW)
    known = run(signing.verify(token, now=NOW))
    assert [run(other.verify(token, now=NOW)) for _ in range(3)] == [known] * 3


def test_a_remembered_token_expires_all_the_same(ring: KeyRing) -> None:
    tokens = access_tokens(ring)
    token, expires_at = tokens.mint(make_session(NOW), now=NOW)
    first = run(tokens.verify(token, now=NOW))
    assert run(tokens.verify(token, now=expires_at + timedelta(seconds=4.999))) == first
    with pytest.raises(TokenExpired):
        run(tokens.verify(token, now=expires_at + timedelta(seconds=5)))
    with pytest.raises(InvalidToken):
        run(tokens.verify(token, now=NOW - timedelta(seconds=10)))


def test_a_remembered_token_falls_with_its_key() -> None:
    async def fall() -> None:
        ring = await held_ring(lambda: NOW)
        tokens = access_tokens(ring)
        token, _ = tokens.mint(make_session(NOW), now=NOW)
        assert await tokens.verify(token, now=NOW)
        store: Any = ring._store
        store.keys = [key for key in store.keys if key.key_id != ring.current.key_id]
        await ring.reload()
        for _ in range(2):
            with pytest.raises(InvalidToken):
                await tokens.verify(token, now=NOW)

    run(fall())


def test_one_remembered_token_vouches_for_no_other(ring: KeyRing) -> None:
    tokens = access_tokens(ring)
    token, _ = tokens.mint(make_session(NOW), now=NOW)
    run(tokens.verify(token, now=NOW))
    for other in (token[:-1], token + "A", token.swapcase(), " " + token, token + "\udc80", ""):
        with pytest.raises(InvalidToken):
            run(tokens.verify(other, now=NOW))


def test_what_is_refused_is_not_remembered(ring: KeyRing) -> None:
    tokens = access_tokens(ring)
    token, _ = AccessTokens(ring, issuer=ISSUER, audience="other", lifetime=timedelta(hours=1)).mint(
        make_session(NOW), now=NOW
    )
    for _ in range(2):
        with pytest.raises(InvalidToken):
            run(tokens.verify(token, now=NOW))


# Forgeries -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def genuine(ring: KeyRing) -> Genuine:
    token, _ = access_tokens(ring).mint(make_session(NOW, session_id=random_session_id()), now=NOW)
    return genuine_of(token, ring)


def test_the_forger_works_well(ring: KeyRing, genuine: Genuine) -> None:
    """What every forgery is an alteration of is accepted, as minted and as the forger signs it."""
    tokens = access_tokens(ring)
    principal = run(tokens.verify(genuine.token, now=NOW))
    again = genuine.signed()
    assert again.count(".") == 2
    assert run(tokens.verify(again, now=NOW)) == principal


def test_asvs_9_1_1_and_9_1_2_and_9_2_2_no_forgery_is_accepted(ring: KeyRing, genuine: Genuine) -> None:
    tokens = access_tokens(ring)
    for forgery in FORGERIES:
        token = forgery.make(genuine)
        assert token != genuine.token, forgery.name
        for _ in range(2):
            try:
                run(tokens.verify(token, now=NOW))
            except InvalidToken:
                continue
            pytest.fail(f"accepted: {forgery.name}")


@given(data=st.data())
def test_no_altered_character_goes_unnoticed(data: st.DataObject, ring: KeyRing, genuine: Genuine) -> None:
    """One token, one spelling, in all three segments."""
    place = data.draw(st.integers(0, len(genuine.token) - 1))
    character = data.draw(st.sampled_from(ALPHABET + "=+/ \n.") | st.characters())
    altered = genuine.token[:place] + character + genuine.token[place + 1 :]
    if altered != genuine.token:
        with pytest.raises(InvalidToken):
            run(access_tokens(ring).verify(altered, now=NOW))


@given(typed=st.text() | st.text(alphabet=ALPHABET + ".", max_size=400))
def test_nothing_typed_at_random_is_an_access_token(ring: KeyRing, typed: str) -> None:
    with pytest.raises(InvalidToken):
        run(access_tokens(ring).verify(typed, now=NOW))
