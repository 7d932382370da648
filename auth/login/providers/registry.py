"""Constructs the configured providers."""

from collections.abc import Sequence

from auth.core.clock import Clock
from auth.login.providers.github import GitHub
from auth.login.providers.openid import OpenIdProvider
from auth.login.providers.provider import Provider
from auth.platform.http_client import HttpClient
from auth.platform.settings.providers import ProviderConfig


def make_providers(configs: Sequence[ProviderConfig], *, web: HttpClient, clock: Clock) -> Sequence[Provider]:
    """Construct every provider; none is contacted before its first visit."""
    return [
        GitHub(config, web=web) if config.kind == "github" else OpenIdProvider(config, web=web, clock=clock)
        for config in configs
    ]
