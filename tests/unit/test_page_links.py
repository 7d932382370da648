"""Where links for people lead: our own page, or an application's."""

import pytest

from auth.core.page_links import PageLinks


def test_our_own_page_is_mailed_whole_and_redirected_to_by_its_path() -> None:
    links = PageLinks("https://auth.example")
    assert links.mailed() == "https://auth.example/"
    assert links.mailed(reset="a-b_c") == "https://auth.example/?reset=a-b_c"
    assert links.at() == "/"
    assert links.at({"login": "conflict"}) == "/?login=conflict"
    assert links.elsewhere("/rooms?x=1#y") == "/rooms?x=1#y"


@pytest.mark.parametrize(
    ("app", "page"),
    [
        ("https://app.example", "https://app.example/"),
        ("https://app.example/", "https://app.example/"),
        ("https://app.example:8443/account", "https://app.example:8443/account"),
    ],
)
def test_an_application_s_page_is_named_whole_everywhere(app: str, page: str) -> None:
    links = PageLinks("https://auth.example", app)
    assert links.mailed(email="t") == f"{page}?email=t"
    assert links.at() == page
    assert links.at({"linked": "0", "code": "conflict"}) == f"{page}?linked=0&code=conflict"
    assert links.elsewhere("/rooms?x=1") == page.removesuffix("/account").rstrip("/") + "/rooms?x=1"
