"""The providers that the settings name, each of its kind."""

from collections.abc import Sequence

from auth.clock import Clock
from auth.oauth.github import GitHub
from auth.oauth.openid import OpenIdProvider
from auth.oauth.provider import Provider, Web
from auth.oauth.settings import ProviderConfig


def make_providers(configs: Sequence[ProviderConfig], *, web: Web, clock: Clock) -> Sequence[Provider]:
    """Every provider. Nothing is asked of any before somebody goes there."""
    return [
        GitHub(config, web=web) if config.kind == "github" else OpenIdProvider(config, web=web, clock=clock)
        for config in configs
    ]
