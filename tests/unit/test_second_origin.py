"""Under which name of this machine an answer of a provider is taken."""

import pytest
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Request

from auth.http.second_origin import SecondOrigin

HERE = SecondOrigin("http://localhost:8000")
NOWHERE = SecondOrigin(None)


def answer(host: str, state: str = "proof.localhost") -> Request:
    path = f"/api/auth/oauth/one/callback?code=a%2Bb&state={state}"
    return make_mocked_request("GET", path, headers={"Host": host})


def test_an_answer_to_a_visit_of_the_second_name_is_passed_on_whole() -> None:
    way = HERE.redirect_url(answer("127.0.0.1:8000"))
    assert way == "http://localhost:8000/api/auth/oauth/one/callback?code=a%2Bb&state=proof.localhost"


@pytest.mark.parametrize("host", ["localhost:8000", "LOCALHOST:8000"])
def test_there_it_is_taken_and_not_passed_on_again(host: str) -> None:
    assert HERE.is_requested(answer(host))
    assert HERE.redirect_url(answer(host)) is None


def test_an_answer_to_a_visit_of_the_first_name_stays() -> None:
    assert HERE.redirect_url(answer("127.0.0.1:8000", "proof")) is None


@pytest.mark.parametrize("host", ["vigil.example", "localhost:8000"])
def test_a_server_with_a_name_of_its_own_passes_nothing_on_whatever_a_state_says(host: str) -> None:
    assert not NOWHERE.is_requested(answer(host))
    assert NOWHERE.redirect_url(answer(host)) is None


def test_neither_the_host_nor_the_state_can_name_another_place() -> None:
    way = HERE.redirect_url(answer("evil.example", "//evil.example/.localhost"))
    assert way is not None
    assert way.startswith("http://localhost:8000/api/auth/oauth/one/callback?")
