"""What a visit to a provider is made of: proofs, URLs, paths; and what is believed of a provider's documents."""

import asyncio
import hashlib
from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.providers import query_of

from auth.core.errors import ProviderFailed, Unavailable
from auth.login.providers.authorization_request import (
    authorization_url,
    is_state_of,
    local_path,
    proofs_of,
    under_second_name,
)
from auth.login.providers.document_cache import CachedDocument
from auth.login.providers.exchange import basic
from auth.login.providers.github import primary_address
from auth.login.providers.openid import metadata_of

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
ISSUER = "https://one.example"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": "https://tokens.example/token",
    "jwks_uri": "https://keys.example/jwks",
    "userinfo_endpoint": f"{ISSUER}/me",
    "id_token_signing_alg_values_supported": ["RS256", "HS256", "none", "ES512", "EdDSA"],
    "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
    "authorization_response_iss_parameter_supported": True,
}


class TestProofs:
    """State, nonce and verifier."""

    def test_asvs_10_1_2_each_is_of_256_bits_and_tells_nothing_of_the_others(self) -> None:
        proofs = proofs_of("secret")
        said = {proofs.state, proofs.nonce, proofs.code_verifier, proofs.code_challenge}
        assert len(said) == 4
        assert {len(each) for each in said} == {43}
        assert proofs == proofs_of("secret")
        assert proofs.state not in repr(proofs)

    def test_another_visit_has_others(self) -> None:
        one, two = proofs_of("secret"), proofs_of("another")
        assert not {one.state, one.nonce, one.code_verifier} & {two.state, two.nonce, two.code_verifier}

    def test_the_challenge_is_the_verifier_s_hash(self) -> None:
        """RFC 7636, section 4.2."""
        proofs = proofs_of("secret")
        digest = hashlib.sha256(proofs.code_verifier.encode("ascii")).digest()
        assert proofs.code_challenge == urlsafe_b64encode(digest).decode().rstrip("=")

    def test_a_state_is_of_its_own_visit_alone(self) -> None:
        state = proofs_of("secret").state
        assert is_state_of("secret", state)
        for secret, forged in (
            ("another", state),
            ("", state),
            ("secret", ""),
            ("secret", state[:-1]),
            ("secret", "\ud800"),
        ):
            assert not is_state_of(secret, forged)

    def test_a_state_says_in_the_open_that_its_visit_was_begun_under_the_second_name(self) -> None:
        proofs = proofs_of("secret")
        marked = under_second_name(proofs)
        assert marked == replace(proofs, state=f"{proofs.state}.localhost")
        assert is_state_of("secret", marked.state)
        assert not is_state_of("another", marked.state)
        assert not is_state_of("secret", f"{marked.state}.localhost")

    def test_the_url_keeps_what_the_endpoint_asks_for_itself(self) -> None:
        asked = {"client_id": "a&b", "redirect_uri": "https://v.example/cb", "scope": "openid"}
        url = authorization_url(
            f"{ISSUER}/authorize?tenant=7", proofs=proofs_of("secret"), more={"nonce": "n"}, **asked
        )
        query = query_of(url)
        assert query["tenant"] == "7"
        assert {name: query[name] for name in asked} == asked
        assert query["code_challenge_method"] == "S256"


@pytest.mark.parametrize(
    "path",
    [
        "/", "/room", "/room?id=7&x=%2F", "/a/b#c", "/#x", "/?next=//evil.example", "/a//b", "/apis/x",
        "/a#%61/../x", "/?next=/../api/x", "/.well-known/x", "/a/..b", "/a/b..", "/...", "/a.b/c", "/x/api/y",
        "/api", "/?a#b?c",
    ],
)  # fmt: skip
def test_a_path_of_this_site_is_one(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "text",
    [
        "", "room", "//evil.example", "///evil.example", "/\\evil.example", "\\/evil.example", "https://evil.example",
        "https:evil.example", "javascript:alert(1)", "/\t/evil.example", "/\n/evil.example", " /room", "/room\n",
        "/room\r\nSet-Cookie: a=b", "/ä", "/\x00", "/a b", "/a\\b", "/<script>", '/"', "/" + "x" * 512, "/\ud800",
        "/api/auth/logout", "/API/x", "/%zz\\", ".", "?x", "#x", "@evil.example", "/\u2028", "/%61pi/x",
        "/./api/x", "/x/../api/x", "/x/..", "/x/.?a", "/..#a", "/.", "/../x", "/%2e/api/x", "/x/%2E%2E/api/x",
        "/caf%C3%A9",
    ],
)  # fmt: skip
def test_what_could_lead_elsewhere_is_no_path(text: str) -> None:
    assert local_path(text) is None


class TestDiscovery:
    """OpenID Connect Discovery 1.0, section 3."""

    def test_what_matters_is_read(self) -> None:
        found = metadata_of(DOCUMENT, issuer=ISSUER)
        assert found.token_endpoint == "https://tokens.example/token"
        assert found.algorithms == {"RS256", "EdDSA"}
        assert found.names_issuer
        assert found.secret_in_header

    def test_what_is_left_out_has_its_default(self) -> None:
        needed = {"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"}
        found = metadata_of({name: DOCUMENT[name] for name in needed}, issuer=ISSUER)
        assert (found.algorithms, found.secret_in_header, found.names_issuer) == ({"RS256"}, True, False)
        assert found.userinfo_endpoint is None

    def test_a_secret_in_the_form_is_for_those_that_take_no_other(self) -> None:
        methods = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
        assert not metadata_of({**DOCUMENT, **methods}, issuer=ISSUER).secret_in_header

    @pytest.mark.parametrize("issuer", ["https://two.example", ISSUER + "/", ISSUER.upper(), "", None, [ISSUER]])
    def test_asvs_10_5_3_a_document_of_another_issuer_is_refused(self, issuer: Any) -> None:
        with pytest.raises(ProviderFailed):
            metadata_of({**DOCUMENT, "issuer": issuer}, issuer=ISSUER)

    @pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"])
    @pytest.mark.parametrize(
        "url",
        [
            "http://one.example/x", "http://127.0.0.1/x", "ftp://one.example", "//one.example", "/x", "", 5, ["x"],
            "https://user:secret@one.example", "https://one.example/#x", "https://", "javascript:x", "https://ö.example",
        ],
    )  # fmt: skip
    def test_an_endpoint_that_is_no_https_url_is_refused(self, name: str, url: Any) -> None:
        with pytest.raises(ProviderFailed):
            metadata_of({**DOCUMENT, name: url}, issuer=ISSUER)

    def test_in_development_a_provider_on_this_machine_may_be_plain(self) -> None:
        local = "http://127.0.0.1:9000"
        document = {
            name: value.replace(ISSUER, local) if isinstance(value, str) else value
            for name, value in DOCUMENT.items()
        }
        assert metadata_of(document, issuer=local).authorization_endpoint == f"{local}/authorize"
        with pytest.raises(ProviderFailed):
            metadata_of({**document, "token_endpoint": "http://one.example/token"}, issuer=local)


class Source:
    """A document that changes, and may be away."""

    def __init__(self) -> None:
        self.now = NOW
        self.asked = 0
        self.away = False
        self.slow = False
        self.kept = CachedDocument(self.load, lambda: self.now)

    async def load(self) -> int:
        self.asked += 1
        if self.slow:
            await asyncio.sleep(0.01)
        if self.away:
            raise Unavailable
        return self.asked

    def pass_time(self, **parts: float) -> None:
        self.now += timedelta(**parts)


class TestKept:
    """A provider's documents, kept."""

    async def test_it_is_asked_for_once_in_an_hour(self) -> None:
        source = Source()
        assert [await source.kept.get() for _ in range(3)] == [1, 1, 1]
        source.pass_time(minutes=59)
        assert await source.kept.get() == 1
        source.pass_time(minutes=1)
        assert await source.kept.get() == 2

    async def test_however_many_wait_it_is_asked_for_once(self) -> None:
        source = Source()
        source.slow = True
        assert set(await asyncio.gather(*(source.kept.get() for _ in range(50)))) == {1}
        source.pass_time(minutes=2)
        assert set(await asyncio.gather(*(source.kept.renewed() for _ in range(50)))) == {2}

    async def test_a_renewal_is_granted_once_a_minute(self) -> None:
        """A forger can name unknown keys as fast as they like."""
        source = Source()
        await source.kept.get()
        for _ in range(100):
            await source.kept.renewed()
        assert source.asked == 1
        source.pass_time(minutes=1)
        for _ in range(100):
            await source.kept.renewed()
        assert source.asked == 2

    async def test_while_it_is_away_the_old_one_serves_for_a_day(self) -> None:
        source = Source()
        await source.kept.get()
        source.away = True
        source.pass_time(hours=23)
        assert await source.kept.get() == 1
        source.pass_time(hours=1)
        with pytest.raises(Unavailable):
            await source.kept.get()

    async def test_after_a_failure_those_who_wait_are_told_at_once(self) -> None:
        source = Source()
        source.away = source.slow = True
        results = await asyncio.gather(*(source.kept.get() for _ in range(50)), return_exceptions=True)
        assert {type(result) for result in results} == {Unavailable}
        assert source.asked == 1
        source.away = False
        source.pass_time(seconds=5)
        assert await source.kept.get() == 2


@pytest.mark.parametrize(
    "addresses", [None, {}, "x", [], [None], [[]], [{}], [{"primary": True}], [{"verified": True}]]
)
def test_an_odd_list_of_addresses_has_no_primary_one(addresses: Any) -> None:
    assert primary_address(addresses) == {}


def test_the_client_s_name_and_secret_are_encoded_before_they_are_joined() -> None:
    """RFC 6749, section 2.3.1."""
    assert basic("a:b", "c d%") == "Basic YSUzQWI6YytkJTI1"
