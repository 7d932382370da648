"""Links to the web page, in mails and redirects: Vigil's own page or the application's. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit


@dataclass(frozen=True, slots=True)
class PageLinks:
    """Builds page URLs. `app_url` is the application's page (`VIGIL_APP_URL`); if None, Vigil's own page is
    used.
    """

    public_url: str
    app_url: str | None = None

    def mailed(self, **query: str) -> str:
        """The absolute page URL with `query`."""
        return with_query(self._page(self.public_url), query)

    def at(self, query: Mapping[str, str] | None = None) -> str:
        """The page URL for a redirect, with `query`. Vigil's own page is relative, since it may be served under
        two origins.
        """
        return with_query(self._page(""), query or {})

    def elsewhere(self, path: str) -> str:
        """The URL of another path on the page's site, for a redirect."""
        if self.app_url is None:
            return path
        parts = urlsplit(self.app_url)
        return f"{parts.scheme}://{parts.netloc}{path}"

    def _page(self, own: str) -> str:
        if self.app_url is None:
            return f"{own}/"
        return self.app_url if urlsplit(self.app_url).path else f"{self.app_url}/"


def with_query(page: str, query: Mapping[str, str]) -> str:
    """`page` with `query` appended."""
    return f"{page}?{urlencode(query, quote_via=quote)}" if query else page
