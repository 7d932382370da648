"""Response and request models, shared by HTTP responses and socket messages.

A view is built from a dataclass only by its `of` method, so that a new dataclass field (a token, a hash, an
internal field) never appears in a response by accident.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core import ErrorDetails

from auth.core.clock import iso
from auth.core.errors import FieldError, InvalidRequest
from auth.core.json_values import object_of
from auth.core.models import (
    Delivery,
    Device,
    IssuedTokens,
    Location,
    PendingEmail,
    Session,
    SessionAlert,
    User,
)

# ECMA-262 Number.MAX_SAFE_INTEGER: a browser's JSON.parse rounds larger numbers.
MAX_SAFE_INTEGER = 2**53 - 1

WHOLE_NUMBER = re.compile(r"-?\d{1,16}", re.ASCII)
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)

MAX_FIELD_ERRORS = 20
SCHEMA_REFERENCE = "#/components/schemas/{model}"

# Replacements for pydantic messages that mention Python.
MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "bool_type": "must be true or false",
    "invalid_key": "is not a known field",
}

Moment = Annotated[
    datetime,
    PlainSerializer(iso, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-21T09:30:00.000Z"]}),
]


def _whole(value: object) -> object:
    """A whole number from a client that has only floats: 58.0 is an integer in JSON Schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


ApprovalNumber = Annotated[int, Field(ge=0, le=99), BeforeValidator(_whole)]
Counter = Annotated[int, Field(ge=0, le=MAX_SAFE_INTEGER)]


def _not_null(schema: dict[str, Any]) -> None:
    kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
    schema.pop("default", None)
    if len(kinds) == 1:
        schema.update(kinds[0])
    elif kinds:
        schema["anyOf"] = kinds


def omittable(description: str | None = None) -> Any:
    """A field omitted when None: `refreshToken?` in the contract's notation."""
    return Field(
        default=None,
        exclude_if=lambda value: value is None,
        description=description,
        json_schema_extra=_not_null,
    )


def as_ms(seconds: float | None) -> int | None:
    """Seconds in milliseconds, for a field that may be omitted."""
    return None if seconds is None else round(seconds * 1000)


class View(BaseModel):
    """An object sent to clients: camelCase, times in ISO 8601 with milliseconds and `Z`."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        frozen=True,
        json_schema_serialization_defaults_required=True,
    )

    def to_wire(self) -> dict[str, Any]:
        """Convert to plain JSON values."""
        return self.model_dump(mode="json", by_alias=True)

    def to_json(self) -> bytes:
        """Serialise to JSON without an intermediate dictionary."""
        return self.__pydantic_serializer__.to_json(self, by_alias=True)


class Input(BaseModel):
    """An object sent by clients: unknown fields are rejected and types are not converted."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=False,
        extra="forbid",
        strict=True,
        frozen=True,
        hide_input_in_errors=True,
    )


class AsksApproval(Input):
    """What a new device can do while it waits for approval on another device."""

    can_renumber: bool = Field(
        False,
        description="The new device can show a second number: a wrong number then need not deny the login.",
    )


class Query(Input):
    """Parameters of a URL query. Text is converted to the types defined below only."""

    model_config = ConfigDict(strict=False)


def _digits(value: object) -> object:
    if not isinstance(value, str) or WHOLE_NUMBER.fullmatch(value) is None:
        raise ValueError("must be a whole number")
    return int(value)


def _true_or_false(value: object) -> object:
    if value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value == "true"


def as_moment(value: object) -> object:
    """Parse an RFC 3339 date and time. Dates without a time and numbers are rejected as ambiguous."""
    if not isinstance(value, str) or RFC_3339.fullmatch(value) is None:
        raise ValueError("must be a time such as 2026-11-21T09:30:00Z")
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time such as 2026-11-21T09:30:00Z") from None


QueryInt = Annotated[int, BeforeValidator(_digits)]
QueryBool = Annotated[bool, BeforeValidator(_true_or_false)]
QueryMoment = Annotated[datetime, BeforeValidator(as_moment)]


def _storable(value: object) -> object:
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("must not contain a NUL character")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("must not contain half of a surrogate pair") from None
    return value


# A string that every store and log accepts. The schema has to state it, too.
Text = Annotated[str, BeforeValidator(_storable), Field(json_schema_extra={"pattern": "^[^\\u0000]*$"})]
Credential = Annotated[Text, StringConstraints(min_length=1)]

InputModel = TypeVar("InputModel", bound=BaseModel)


class _PlainSchema(GenerateJsonSchema):
    """Generates pydantic's JSON Schema without a title on every field."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - never
        return False


def component_schemas(models: Iterable[tuple[type[BaseModel], JsonSchemaMode]]) -> dict[str, Any]:
    """The JSON Schemas of `models` and their components by name, for the OpenAPI and AsyncAPI documents."""
    _, definitions = models_json_schema(
        list(dict.fromkeys(models)), ref_template=SCHEMA_REFERENCE, schema_generator=_PlainSchema
    )
    schemas = dict(definitions["$defs"])
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            schema["properties"][name] = _without_default(field)
    return schemas


def _without_default(field: Mapping[str, Any]) -> dict[str, Any]:
    """Move the default into the description: client generators assume that a field with a `default` is always
    present.
    """
    plain = {name: value for name, value in field.items() if name != "default"}
    if field.get("default") is not None and "const" not in field:
        default = f"Default: `{json.dumps(field['default'])}`."
        plain["description"] = f"{field['description']} {default}" if "description" in field else default
    return plain


def schema_reference(model: type[BaseModel]) -> dict[str, str]:
    """A `$ref` to the schema of `model`, valid in both documents."""
    return {"$ref": SCHEMA_REFERENCE.format(model=model.__name__)}


def parse(model: type[InputModel], value: object) -> InputModel:
    """Validate `value` as a `model`.

    Raises `InvalidRequest` listing each invalid field without repeating the input.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidRequest(errors=field_errors(error)) from None


def field_errors(error: ValidationError) -> Sequence[FieldError]:
    """The invalid fields with human-readable messages."""
    details = error.errors(include_url=False, include_input=False)
    return [
        FieldError(
            field=".".join(str(part) for part in detail["loc"])[:100].encode(errors="replace").decode(),
            message=_sentence(detail),
        )
        for detail in details[:MAX_FIELD_ERRORS]
    ]


def _sentence(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in {"string_too_short", "too_short"}:
        return f"must have at least {context['min_length']} characters"
    if kind in {"string_too_long", "too_long"}:
        return f"must have at most {context['max_length']} characters"
    return MESSAGES.get(kind) or detail["msg"].removeprefix("Value error, ")


class DeviceView(View):
    """A label by which users recognise a login."""

    name: str = Field(description="Chosen by the device, or else the same as `detected`.")
    detected: str | None = omittable("The name made from the browser's headers; absent for logins before 0.3.")
    browser: str | None
    os: str | None
    kind: Literal["desktop", "phone", "tablet", "bot", "other"]

    @classmethod
    def of(cls, device: Device) -> Self:
        return cls(
            name=device.name, detected=device.detected, browser=device.browser, os=device.os, kind=device.kind
        )


class LocationView(View):
    """Where the IP address is registered."""

    city: str | None
    country: str | None = Field(description="ISO 3166-1 alpha-2")

    @classmethod
    def of(cls, location: Location) -> Self:
        return cls(city=location.city, country=location.country)


class AlertView(View):
    """An alert about a session that the user has not answered yet."""

    kind: str = Field(examples=["new_device", "new_country", "refresh_elsewhere"])
    at: Moment

    @classmethod
    def of(cls, alert: SessionAlert) -> Self:
        return cls(kind=alert.kind, at=alert.at)


class SessionView(View):
    """One login on one device. Never contains a token or hash."""

    session_id: str
    device: DeviceView
    user_agent: str
    ip: str
    location: LocationView | None
    logged_in_at: Moment
    last_seen_at: Moment
    expires_at: Moment
    is_current: bool
    online: bool
    amr: tuple[str, ...]
    alerts: tuple[AlertView, ...] = Field(description="Unanswered alerts about this session.")
    approved_by: str | None = omittable("The session that approved this login, if one did.")

    @classmethod
    def of(cls, session: Session, *, current_session_id: str | None, online: bool) -> Self:
        """`current_session_id` is the session of the caller."""
        return cls(
            session_id=session.session_id,
            device=DeviceView.of(session.device),
            user_agent=session.user_agent,
            ip=session.ip,
            location=LocationView.of(session.location) if session.location else None,
            logged_in_at=session.logged_in_at,
            last_seen_at=session.last_seen_at,
            expires_at=session.expires_at,
            is_current=session.session_id == current_session_id,
            online=online,
            amr=session.amr,
            alerts=tuple(map(AlertView.of, session.alerts)),
            approved_by=session.approved_by,
        )


class PendingEmailView(View):
    """A change of address that waits for the confirmation of both mailboxes."""

    email: str
    expires_at: Moment
    confirmed: Literal["old", "new"] | None = Field(description="The mailbox that has confirmed already.")


class UserView(View):
    """An account, as shown to its owner."""

    user_id: str
    email: str
    email_verified: bool
    phone_number: str | None = Field(description="In E.164; confirmed by a code.")
    name: str | None
    username: str | None
    roles: tuple[str, ...]
    created_at: Moment
    deletion_at: Moment | None = omittable("When the account will be erased, after DELETE /me.")
    metadata: dict[str, Any] | None = omittable("What the backend of an application has stored for the user.")
    pending_email: PendingEmailView | None = omittable("A change of address that waits; only in answers of /me.")

    @classmethod
    def of(cls, user: User, *, pending_email: PendingEmail | None = None) -> Self:
        return cls(
            user_id=user.user_id,
            email=user.email,
            email_verified=user.email_verified_at is not None,
            phone_number=user.phone_number,
            name=user.name,
            username=user.username,
            roles=user.roles,
            created_at=user.created_at,
            deletion_at=user.deletion_at,
            metadata=object_of(user.metadata),
            pending_email=PendingEmailView(
                email=pending_email.email,
                expires_at=pending_email.expires_at,
                confirmed=pending_email.confirmed,
            )
            if pending_email
            else None,
        )


class DeliveryView(View):
    """Delivery counts of a forced logout, over all nodes, within 1 s."""

    sockets: Counter = Field(description="Live sockets of the ended sessions.")
    notified: Counter = Field(description="Sockets that were sent `session-revoked`.")
    acknowledged: Counter = Field(description="Sockets that acknowledged it.")
    closed: Counter = Field(description="Sockets that are closed.")
    pending: Counter = Field(description="Sockets not known to be closed yet.")
    incomplete: Literal[True] | None = omittable(
        "Present if Redis was unavailable: affected sockets are not counted; they close within seconds."
    )

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        return cls(
            sockets=delivery.sockets,
            notified=delivery.notified,
            acknowledged=delivery.acknowledged,
            closed=delivery.closed,
            pending=delivery.pending,
            incomplete=delivery.incomplete or None,
        )


class TokensView(View):
    """A token pair; tokens sent in cookies are omitted."""

    access_token: str | None = omittable("Absent with delivery `cookies`.")
    access_token_expires_at: Moment
    refresh_token: str | None = omittable("Only with delivery `body`.")
    refresh_token_expires_at: Moment

    @classmethod
    def of(cls, tokens: IssuedTokens, *, access: bool = True, refresh: bool = True, **more: Any) -> Self:
        """`access` and `refresh` say which tokens may be in the body; `more` sets the fields of a subclass."""
        return cls(
            access_token=tokens.access_token if access else None,
            access_token_expires_at=tokens.access_token_expires_at,
            refresh_token=tokens.refresh_token if refresh else None,
            refresh_token_expires_at=tokens.refresh_token_expires_at,
            **more,
        )


class LoginView(TokensView):
    """A new session and its tokens, over HTTP and the socket."""

    user: UserView
    session: SessionView


class AssuredView(View):
    """The time until which the step-up is valid, over HTTP and the socket."""

    assured_until: Moment


class RefreshedView(TokensView):
    """The response to a refresh, over HTTP and the socket."""

    outcome: Literal["rotated", "replayed", "concurrent"]
