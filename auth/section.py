"""A section of settings: how one is declared, read from `VIGIL_…` variables, and refused in one line."""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

PREFIX = "VIGIL_"


class SettingsError(ValueError):
    """A setting is wrong; the message is one line for the operator."""


class Section(BaseModel):
    """One concern's settings. A field `x` is read from `VIGIL_X`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


SectionModel = TypeVar("SectionModel", bound=Section)


def read_section(section: type[SectionModel], environ: Mapping[str, str], *, prefix: str = PREFIX) -> SectionModel:
    """Read and validate a section. Raises `SettingsError` that names the first wrong variable."""
    values: dict[str, Any] = {}
    for field in section.model_fields:
        raw = environ.get(prefix + field.upper())
        if raw is None:
            continue
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
    """The parts of an http or https URL that names a host and nothing odd; None for anything else."""
    try:
        parts = urlsplit(value)
        odd = parts.query or parts.fragment or "@" in parts.netloc or any(part.isspace() for part in value)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if good and not odd else None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _web_url(value: str) -> str:
    if split_web_url(value) is None:
        raise ValueError("must be a URL such as https://example.org")
    return value


WebUrl = Annotated[str, AfterValidator(_web_url)]
