"""Settings of facts for backends: the stream of events, and webhooks."""

from typing import Annotated

from pydantic import Field

from auth.platform.settings.section import Section, Switch


class FactSettings(Section):
    """Facts for backends (protocol.md, section 8)."""

    events_days: Annotated[int, Field(ge=4, le=90)] = Field(
        7, description="Retention of facts: how far back the stream of events and the repeats of webhooks reach."
    )
    webhooks_private: Switch = Field(
        False, description="Let webhooks go to private addresses and by http: for one's own network."
    )
