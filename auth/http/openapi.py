"""The OpenAPI 3.1 document, made from the route table and the schemas. Nothing is said here twice."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from auth.errors import (
    AccountLocked,
    AuthError,
    Conflict,
    CsrfFailed,
    EmailNotVerified,
    Forbidden,
    InvalidJson,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    NotFound,
    OriginNotAllowed,
    PayloadTooLarge,
    ProviderDenied,
    ProviderFailed,
    RateLimited,
    RefreshReused,
    SessionExpired,
    SessionLimitReached,
    SessionRevoked,
    TokenExpired,
    Unavailable,
    UnsupportedMediaType,
)
from auth.http.cookies import ACCESS_COOKIE, CSRF_HEADER
from auth.http.routing import API, Endpoint
from auth.http.schemas import Nothing, Problem
from auth.views import component_schemas, schema_reference

CONTRACT_VERSION = "1.0.0"
EXAMPLE_REQUEST_ID = "5f2c8c1b7c8e4d0a9b3e6f11"

ANYWHERE: tuple[type[AuthError], ...] = (RateLimited, AuthError, Unavailable)
WITH_BODY: tuple[type[AuthError], ...] = (InvalidJson, InvalidRequest, PayloadTooLarge, UnsupportedMediaType)
WITH_PRINCIPAL: tuple[type[AuthError], ...] = (
    MissingToken, InvalidToken, TokenExpired, SessionRevoked, SessionExpired, RefreshReused, OriginNotAllowed,
)  # fmt: skip

# By which a visit to a provider can end; a redirect tells them, so no status has them.
VISIT_REFUSALS: tuple[type[AuthError], ...] = (
    ProviderDenied, ProviderFailed, InvalidToken, Conflict, EmailNotVerified, AccountLocked, SessionLimitReached,
    SessionRevoked, RateLimited, Unavailable,
)  # fmt: skip

TAGS = (
    "Account",
    "Tokens",
    "Second factor",
    "Passkeys",
    "Approval",
    "Providers",
    "Phone",
    "Sessions",
    "Administration",
    "Service",
)

STATUS_WORDS = {
    400: "The request is not valid", 401: "Not authenticated", 403: "Not allowed", 404: "Nothing here",
    409: "In use already",
    502: "A provider's fault",
    413: "Too large", 415: "Not JSON", 429: "Too many requests", 500: "Our fault", 503: "Briefly unavailable",
}  # fmt: skip

DESCRIPTION = """\
Accounts, logins, tokens and devices of a real-time service.

Success is `{"success": true, "data": …}`; failure is `{"success": false, "code": …, "message": …,
"requestId": …}`, where `code` is stable and for programs. 429 and 503 carry `Retry-After`; 503 never means
that you are logged out. The live socket is described by the AsyncAPI document at `/asyncapi.json`."""


def build(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(Problem, "serialization")]
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in endpoints:
        models += [(answer, "serialization") for answer in (row.answer, *row.or_answer)]
        if row.takes_body and row.body is not Nothing:
            models.append((row.body, "validation"))
        for path in row.paths:
            paths[path][row.method.lower()] = _operation(row, alias=path != row.paths[0])
    for path, item in OUTSIDE.items():
        paths[path].update(item)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Vigil HTTP API",
            "version": CONTRACT_VERSION,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in TAGS],
        "paths": dict(paths),
        "components": {
            "schemas": component_schemas(models),
            "headers": HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _operation(row: Endpoint, *, alias: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _camel(row.name) + ("Alias" if alias else ""),
        "summary": row.summary,
        "tags": [row.tag],
        "security": _security(row),
        "responses": {str(row.status): _success(row), **_failures(row)},
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", row.path)
    ]
    if row.query is not None:
        properties = component_schemas([(row.query, "validation")])[row.query.__name__]["properties"]
        parameters += [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in properties.items()
        ]
    if parameters:
        operation["parameters"] = parameters
    if row.takes_body and row.body is not Nothing:
        operation["requestBody"] = {
            "required": not row.body_optional,
            "content": {"application/json": {"schema": schema_reference(row.body)}},
        }
    return operation


def _security(row: Endpoint) -> list[dict[str, list[str]]]:
    if row.public:
        return []
    by_cookie: dict[str, list[str]] = {"cookie": []}
    if row.method != "GET":
        by_cookie["csrf"] = []
    return [{"bearer": []}, by_cookie]


def _success(row: Endpoint) -> dict[str, Any]:
    properties: dict[str, Any] = {"success": {"const": True}, "data": _data(row)}
    if row.message is not None:
        properties["message"] = {"type": "string", "examples": [row.message]}
    return {
        "description": (row.answer.__doc__ or row.summary).strip(),
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
        "content": {
            "application/json": {
                "schema": {"type": "object", "required": list(properties), "properties": properties}
            }
        },
    }


def _data(row: Endpoint) -> dict[str, Any]:
    if not row.or_answer:
        return dict(schema_reference(row.answer))
    # Not `oneOf`: one answer may have all that another has, and more.
    return {"anyOf": [schema_reference(answer) for answer in (row.answer, *row.or_answer)]}


def _failures(row: Endpoint) -> dict[str, Any]:
    errors = [*row.errors, *ANYWHERE]
    if row.takes_body:
        errors += WITH_BODY
    if row.query is not None:
        errors.append(InvalidRequest)
    if row.role is not None:
        errors.append(Forbidden)
    if not row.public:
        errors += WITH_PRINCIPAL
        if row.method != "GET":
            errors.append(CsrfFailed)
    by_status: dict[int, dict[str, type[AuthError]]] = defaultdict(dict)
    for error in errors:
        by_status[error.status][error.code] = error
    return {str(status): _failure(status, by_status[status]) for status in sorted(by_status)}


def _failure(status: int, errors: Mapping[str, type[AuthError]]) -> dict[str, Any]:
    headers = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if status in {429, 503}:
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    if status == 401:
        headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WwwAuthenticate"}
    return {
        "description": f"{STATUS_WORDS[status]}: " + ", ".join(f"`{code}`" for code in errors) + ".",
        "headers": headers,
        "content": {
            "application/json": {
                "schema": {
                    "allOf": [schema_reference(Problem), {"properties": {"code": {"enum": list(errors)}}}],
                },
                "examples": {code: {"value": _example(error)} for code, error in errors.items()},
            }
        },
    }


def _example(error: type[AuthError]) -> dict[str, Any]:
    return {
        "success": False,
        "code": error.code,
        "message": error.default_message,
        "requestId": EXAMPLE_REQUEST_ID,
    }


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


HEADERS: dict[str, Any] = {
    "RequestId": {
        "description": "The request's id, as in the server's log.",
        "schema": {"type": "string"},
    },
    "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    "WwwAuthenticate": {"description": "RFC 6750.", "schema": {"type": "string"}},
}

SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": ACCESS_COOKIE,
        "description": "Delivery `cookies`. With a good refresh cookie beside it, an expired one is renewed "
        "on the way.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": CSRF_HEADER,
        "description": "The value of the readable `csrf` cookie, on every unsafe method that acts by cookie.",
    },
}


def _outside(operation_id: str, summary: str, responses: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "get": {
            "operationId": operation_id,
            "summary": summary,
            "tags": ["Service"],
            "security": [],
            "responses": dict(responses),
            **more,
        }
    }


def _json(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": dict(schema)}}}


_KEY_SET = {
    "type": "object",
    "required": ["keys"],
    "properties": {
        "keys": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["kty", "crv", "use", "alg", "kid", "x"],
                "properties": {
                    "kty": {"const": "OKP"},
                    "crv": {"const": "Ed25519"},
                    "use": {"const": "sig"},
                    "alg": {"const": "EdDSA"},
                    "kid": {"type": "string"},
                    "x": {"type": "string"},
                },
            },
        }
    },
}
_CHECKS = {
    "type": "object",
    "required": ["success", "data"],
    "properties": {
        "success": {"const": True},
        "data": {
            "type": "object",
            "required": ["checks"],
            "properties": {"checks": {"type": "object", "additionalProperties": {"type": "boolean"}}},
        },
    },
}
_ALIVE = {
    "type": "object",
    "required": ["success", "data"],
    "properties": {"success": {"const": True}, "data": {"type": "object"}},
}


def _visit(
    operation_id: str, summary: str, ends: str, more: Mapping[str, Any], query: Mapping[str, Any]
) -> dict[str, Any]:
    """One end of a browser's visit to a provider."""
    operation = _outside(
        operation_id,
        summary,
        {
            "303": {"description": ends, "headers": {"Location": {"schema": {"type": "string"}}}},
            **more,
            "404": _failure(404, {NotFound.code: NotFound}),
            "429": _failure(429, {RateLimited.code: RateLimited}),
        },
        parameters=[
            {"name": "provider", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
            *({"name": name, "in": "query", "schema": schema} for name, schema in query.items()),
        ],
    )
    operation["get"]["tags"] = ["Providers"]
    return operation


# What is no JSON endpoint of ours with the common envelope, or stands outside /api/auth.
OUTSIDE: dict[str, dict[str, Any]] = {
    f"{API}/verify-email": _outside(
        "followVerificationLink",
        "The mailed link; ends on a page",
        {
            "303": {
                "description": "To `/?verified=1`, or to `/?verified=0&code=…`.",
                "headers": {"Location": {"schema": {"type": "string"}}},
            },
            "429": _failure(429, {RateLimited.code: RateLimited}),
            "503": _failure(503, {Unavailable.code: Unavailable}),
        },
        parameters=[{"name": "token", "in": "query", "required": True, "schema": {"type": "string"}}],
    ),
    f"{API}/oauth/{{provider}}/start": _visit(
        "startProviderVisit",
        "Go to a provider to log in by it",
        "To the provider, with the cookie of this visit; to `/?login=CODE` for a refusal.",
        {
            "400": _failure(400, {InvalidRequest.code: InvalidRequest}),
            "503": _failure(503, {Unavailable.code: Unavailable}),
        },
        {"delivery": {"enum": ["cookie", "cookies"], "default": "cookies"}, "returnTo": {"type": "string"}},
    ),
    f"{API}/oauth/{{provider}}/callback": _visit(
        "finishProviderVisit",
        "Where the provider sends the browser back to",
        "To `returnTo` or `/` with cookies, to `/#mfa=…&methods=…&expiresAt=…`, or `/?login=CODE` for a refusal: "
        + ", ".join(f"`{error.code}`" for error in VISIT_REFUSALS)
        + ". A link ends at `returnTo`, or at `/?linked=0&code=CODE`.",
        {},
        {name: {"type": "string"} for name in ("state", "code", "iss", "error")},
    ),
    "/.well-known/jwks.json": _outside(
        "jwks",
        "Public keys of access tokens (RFC 7517)",
        {"200": _json("The current key, the next one, and those still in use.", _KEY_SET)},
    ),
    "/health/live": _outside("live", "Is the process alive", {"200": _json("It is.", _ALIVE)}),
    "/health/ready": _outside(
        "ready",
        "May it take traffic",
        {"200": _json("Every check passed.", _CHECKS), "503": _failure(503, {Unavailable.code: Unavailable})},
    ),
    "/metrics": _outside(
        "metrics",
        "Prometheus metrics",
        {
            "200": {
                "description": "Text exposition format.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        },
    ),
}
