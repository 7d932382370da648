"""Settings sections: declaration, reading from `VIGIL_…` variables, and one-line errors."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationError

from auth.core.errors import StartRefused
from auth.core.text import ascii_domain

PREFIX = "VIGIL_"

# Keys of HMACs, which other nodes and servers know: blanks around them count.
EXACT = frozenset({"secret_key", "second_secret_key", "sms_webhook_secret", "application_url_secret"})


class SettingsError(StartRefused, ValueError):
    """A setting is invalid; the message is one line for the operator."""


class Section(BaseModel):
    """The settings of one area. A field `x` is read from `VIGIL_X`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


SectionModel = TypeVar("SectionModel", bound=Section)


def read_section(section: type[SectionModel], environ: Mapping[str, str], *, prefix: str = PREFIX) -> SectionModel:
    """Read and validate a section. Raises `SettingsError` naming the first invalid variable.

    Ignores blanks and line breaks around values, except for keys: files of secrets often end with a line break.
    """
    values: dict[str, Any] = {}
    for field in section.model_fields:
        raw = environ.get(prefix + field.upper())
        if raw is None:
            continue
        if field not in EXACT:
            raw = raw.strip()
        if raw == "" and field != "application":
            continue
        values[field] = raw if raw != "" else None
    try:
        return section.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = prefix + str(first["loc"][0]).upper() if first["loc"] else section.__name__
        if first["type"] == "missing":
            raise SettingsError(f"{name} is required") from None
        raise SettingsError(f"{name} is wrong: {first['msg'].removeprefix('Value error, ')}") from None


def split_web_url(value: str) -> SplitResult | None:
    """The parts of an http or https URL with a host and without credentials, query, fragment or spaces; None
    for any other.
    """
    try:
        parts = urlsplit(value)
        odd = _has_query(value) or "@" in parts.netloc or any(part.isspace() for part in value)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if good and not odd else None


def with_ascii_host(url: str) -> str:
    """The URL with an internationalised domain in its ASCII form, in which browsers send it.

    Raises `ValueError` for an invalid one.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host.isascii():
        return url
    domain = ascii_domain(host)
    if domain is None:
        raise ValueError(f"{host!r} is not a valid domain")
    port = "" if parts.port is None else f":{parts.port}"
    return parts._replace(netloc=domain + port).geturl()


def _has_query(value: str) -> bool:
    """Whether `value` contains the start of a query or fragment, even an empty one."""
    return "?" in value or "#" in value


def service_url(*schemes: str) -> AfterValidator:
    """Validates a store's URL by its scheme. The value may contain a password, so messages never repeat it."""

    def check(value: SecretStr) -> SecretStr:
        scheme, separator, rest = value.get_secret_value().partition("://")
        if scheme not in schemes or not separator or not rest:
            raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value

    return AfterValidator(check)


def _web_url(value: str) -> str:
    if split_web_url(value) is None:
        without = "without a query or fragment, " if _has_query(value) else ""
        raise ValueError(f"must be a URL {without}such as https://example.org")
    return with_ascii_host(value)


def _host_url(value: str) -> str:
    if urlsplit(value).path not in {"", "/"}:
        raise ValueError("must have no path: the server needs a host of its own")
    return value


def _switch(value: object) -> object:
    words = {"on": True, "off": False}
    if isinstance(value, str):
        if value.lower() not in words:
            raise ValueError("must be on or off")
        return words[value.lower()]
    return value


WebUrl = Annotated[str, AfterValidator(_web_url)]
HostUrl = Annotated[WebUrl, AfterValidator(_host_url)]
Switch = Annotated[bool, BeforeValidator(_switch)]
