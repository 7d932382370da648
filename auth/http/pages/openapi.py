"""Builds the OpenAPI 3.1 document from the route table and the schemas."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from auth.core.errors import (
    AccountLocked,
    AuthError,
    Conflict,
    CsrfFailed,
    EmailNotVerified,
    Forbidden,
    InternalError,
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
from auth.core.version import version
from auth.core.views import component_schemas, schema_reference
from auth.http.cookies import ACCESS_COOKIE, REFRESH_COOKIE, REFRESH_ONLY_COOKIE
from auth.http.origin_check import CSRF_HEADER
from auth.http.pages.openapi_mailed_links import link_pages
from auth.http.routing import API, Endpoint
from auth.http.schemas.client_events import ClientEventAnswer, ClientEventRefused, PostedEvent
from auth.http.schemas.common import Nothing, Problem

EXAMPLE_REQUEST_ID = "5f2c8c1b7c8e4d0a9b3e6f11"

ANYWHERE: tuple[type[AuthError], ...] = (RateLimited, InternalError, Unavailable)
WITH_BODY: tuple[type[AuthError], ...] = (InvalidJson, InvalidRequest, PayloadTooLarge, UnsupportedMediaType)
WITH_PRINCIPAL: tuple[type[AuthError], ...] = (
    MissingToken, InvalidToken, TokenExpired, SessionRevoked, SessionExpired, RefreshReused, OriginNotAllowed,
)  # fmt: skip
WITH_KEY: tuple[type[AuthError], ...] = (MissingToken, InvalidToken, TokenExpired, Forbidden)

# Error codes of a failed login at a provider. They are sent in a redirect, not with an HTTP status.
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
    "Server API",
    "Service",
)

STATUS_WORDS = {
    400: "Invalid request", 401: "Not authenticated", 403: "Not allowed", 404: "Not found",
    409: "Conflict",
    502: "Provider error",
    413: "Too large", 415: "Not JSON", 429: "Too many requests", 500: "Server error",
    503: "Temporarily unavailable",
}  # fmt: skip

DESCRIPTION = """\
Accounts, logins, tokens and devices of a real-time service.

Success is `{"success": true, "data": …}`; failure is `{"success": false, "code": …, "message": …,
"requestId": …}`, where `code` is stable and machine-readable. 429 and 503 carry `Retry-After`; 503 never means
that you are logged out. Endpoints under `/api/server` are for the backends of applications, with a server key. The
live socket is described by the AsyncAPI document at `/asyncapi.json`."""


def build(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Build the document."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (Problem, "serialization"),
        (PostedEvent, "serialization"),
        (ClientEventAnswer, "validation"),
        (ClientEventRefused, "validation"),
    ]
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in endpoints:
        models += [(answer, "serialization") for answer in row.answers]
        if row.takes_body and row.takes is not Nothing:
            models.append((row.takes, "validation"))
        for path in row.paths:
            paths[path][row.method.lower()] = _operation(row, alias=path != row.paths[0])
    for path, item in OUTSIDE.items():
        paths[path].update(item)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Vigil HTTP API",
            "version": version(),
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in TAGS],
        "paths": dict(paths),
        "webhooks": {"clientEvent": {"post": CLIENT_EVENT}},
        "components": {
            "schemas": component_schemas(models),
            "headers": HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _json_of(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": schema_reference(model)}}


# What Vigil posts to VIGIL_APPLICATION_URL.
CLIENT_EVENT: dict[str, Any] = {
    "operationId": "clientEvent",
    "summary": "An event of a client, posted to the application's URL",
    "tags": ["Server API"],
    "security": [],
    "parameters": [
        {"name": name, "in": "header", "required": True, "description": words, "schema": {"type": "string"}}
        for name, words in {
            "webhook-id": "The event's id.",
            "webhook-timestamp": "When it was posted, in seconds since 1970.",
            "webhook-signature": "`v1,…`, one for each secret (Standard Webhooks).",
        }.items()
    ],
    "requestBody": {"required": True, "content": _json_of(PostedEvent)},
    "responses": {
        "2XX": {"description": "The event is served.", "content": _json_of(ClientEventAnswer)},
        "4XX": {"description": "The event is refused.", "content": _json_of(ClientEventRefused)},
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
    if row.takes_query:
        query = component_schemas([(row.takes, "validation")])[row.takes.__name__]
        parameters += [
            {"name": name, "in": "query", "required": name in query.get("required", ()), "schema": schema}
            for name, schema in query["properties"].items()
        ]
    if parameters:
        operation["parameters"] = parameters
    if row.takes_body and row.takes is not Nothing:
        operation["requestBody"] = {
            "required": not row.body_optional,
            "content": {"application/json": {"schema": schema_reference(row.takes)}},
        }
    return operation


def _security(row: Endpoint) -> list[dict[str, list[str]]]:
    if row.public:
        # `()` becomes `{}`: no security scheme is required, since the token can be in the body.
        ways = ((), *row.credentials) if row.credentials else ()
        return [{scheme: [] for scheme in way} for way in ways]
    if row.scopes:
        return [{"serverKey": []}]
    by_cookie: dict[str, list[str]] = {"cookie": []}
    if row.method != "GET":
        by_cookie["csrf"] = []
    return [{"bearer": []}, by_cookie]


def _success(row: Endpoint) -> dict[str, Any]:
    properties: dict[str, Any] = {"success": {"const": True}, "data": _data(row)}
    if row.message is not None:
        properties["message"] = {"type": "string", "examples": [row.message]}
    content: dict[str, Any] = {
        "application/json": {"schema": {"type": "object", "required": list(properties), "properties": properties}}
    }
    if row.streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return {
        "description": (row.answers[0].__doc__ or row.summary).strip(),
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
        "content": content,
    }


def _data(row: Endpoint) -> dict[str, Any]:
    references: list[Any] = [schema_reference(answer) for answer in row.answers]
    # Not `oneOf`: one response's fields may be a superset of another's.
    return references[0] if len(references) == 1 else {"anyOf": references}


def _failures(row: Endpoint) -> dict[str, Any]:
    errors = [*row.errors, *ANYWHERE]
    if row.takes_body:
        errors += WITH_BODY
    if row.takes_query:
        errors.append(InvalidRequest)
    if row.role is not None:
        errors.append(Forbidden)
    if row.scopes:
        errors += WITH_KEY
    elif not row.public:
        errors += WITH_PRINCIPAL
        if row.method != "GET":
            errors.append(CsrfFailed)
    by_status: dict[int, dict[str, type[AuthError]]] = defaultdict(dict)
    for error in errors:
        by_status[error.status][error.code] = error
    return {str(status): _failure(status, by_status[status]) for status in sorted(by_status)}


def _failure(status: int, errors: Mapping[str, type[AuthError]]) -> dict[str, Any]:
    headers = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if status in {429, 500, 503}:
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
        "description": "The request id, as in the server's log.",
        "schema": {"type": "string"},
    },
    "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    "WwwAuthenticate": {"description": "RFC 6750.", "schema": {"type": "string"}},
}

SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "serverKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "The key of an application's backend, `vsk_…`; each endpoint needs one of its scopes.",
    },
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": ACCESS_COOKIE,
        "description": "The access token of delivery `cookies`. If it has expired, a valid refresh cookie "
        "sent with it renews it in the same request.",
    },
    "refreshCookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": REFRESH_COOKIE,
        "description": "The refresh token of delivery `cookies`.",
    },
    "refreshOnlyCookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": REFRESH_ONLY_COOKIE,
        "description": "The refresh token of delivery `cookie`.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": CSRF_HEADER,
        "description": "The value of the readable `csrf` cookie; required for unsafe methods "
        "authenticated by cookie.",
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
    """Describe the start or the callback of a login at a provider."""
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


# Paths that are not JSON endpoints with the common envelope, or are outside /api/auth.
OUTSIDE: dict[str, dict[str, Any]] = {
    **link_pages(_outside, _failure),
    f"{API}/oauth/{{provider}}/start": _visit(
        "startProviderVisit",
        "Start a login at a provider",
        "Redirects to the provider and sets the visit cookie; on an error, redirects to `/?login=CODE`.",
        {
            "400": _failure(400, {InvalidRequest.code: InvalidRequest}),
            "503": _failure(503, {Unavailable.code: Unavailable}),
        },
        {"delivery": {"enum": ["cookie", "cookies"], "default": "cookies"}, "returnTo": {"type": "string"}},
    ),
    f"{API}/oauth/{{provider}}/callback": _visit(
        "finishProviderVisit",
        "The provider's redirect back",
        "Redirects to `returnTo` or `/` with cookies; to `/#mfa=…&methods=…&expiresAt=…` if a second factor is "
        "needed; or to `/?login=CODE` on an error: "
        + ", ".join(f"`{error.code}`" for error in VISIT_REFUSALS)
        + ". After linking, redirects to `returnTo`, or to `/?linked=0&code=CODE` on an error.",
        {},
        {name: {"type": "string"} for name in ("state", "code", "iss", "error")},
    ),
    "/.well-known/jwks.json": _outside(
        "jwks",
        "Public keys of access tokens (RFC 7517)",
        {"200": _json("The current key, the next key, and previous keys still in use.", _KEY_SET)},
    ),
    "/health/live": _outside("live", "Liveness check", {"200": _json("The process is alive.", _ALIVE)}),
    "/health/ready": _outside(
        "ready",
        "Readiness check",
        {"200": _json("All checks passed.", _CHECKS), "503": _failure(503, {Unavailable.code: Unavailable})},
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
