"""Settings of an application whose backend gets client events by HTTP (protocol.md, section 8)."""

from pydantic import Field, SecretStr

from auth.platform.hosts import public_url_problem
from auth.platform.settings.section import Section, SettingsError, Switch, WebUrl


class ApplicationUrlSettings(Section):
    """The URL to which client events are posted, instead of an application in Python."""

    application_url: WebUrl | None = Field(
        None, description="URL to which client events are posted, instead of to VIGIL_APPLICATION."
    )
    application_url_secret: SecretStr | None = Field(
        None, description="`whsec_…` that signs the posts; two, comma-separated, while one replaces the other."
    )
    application_url_private: Switch = Field(
        False, description="Let the URL be on a private address, and begin with http://."
    )
    application_url_connect: Switch = Field(True, description="Post `connect` after a socket has connected.")
    application_url_disconnect: Switch = Field(
        True, description="Post `disconnect` after a socket has disconnected."
    )
    application_url_roles: Switch = Field(True, description="Post `roles` after a user's roles have changed.")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets, of which each signs."""
        text = self.application_url_secret.get_secret_value() if self.application_url_secret else ""
        return tuple(part.strip() for part in text.split(","))

    def check(self, *, application: str | None) -> None:
        """Raise `SettingsError` if the URL cannot be used, or both it and a Python application are given."""
        if self.application_url is None:
            return
        if application:
            raise SettingsError(
                "VIGIL_APPLICATION_URL and VIGIL_APPLICATION are both set: client events go to one of them"
            )
        if self.application_url_secret is None:
            raise SettingsError("VIGIL_APPLICATION_URL_SECRET is required: it signs the posts to the URL")
        if self.application_url_private:
            return
        problem = public_url_problem(self.application_url, switch="VIGIL_APPLICATION_URL_PRIVATE")
        if problem is not None:
            raise SettingsError(f"VIGIL_APPLICATION_URL is wrong: {problem}")
