"""The AsyncAPI 3.0 document of the live socket, generated from the message models."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from auth.core.version import version
from auth.core.views import component_schemas, schema_reference
from realtime.application import Application
from realtime.protocol.messages import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    ConnectRefusal,
    Handshake,
    Refusal,
    ServerEvent,
)

# Stands for every event of an application behind a URL, and of backends that call the server API.
ANY_EVENT = "<application>:<event>"
CHANNEL = {"$ref": "#/channels/root"}

DESCRIPTION = """\
Socket.IO v5 (Engine.IO v4) on path `/socket.io`, namespace `/`.

A client connects with `auth: {token, lastEventId?}`, or with its access cookie from an allowed origin, and first
receives `ready`. It receives `token-expiring` before its token expires, obtains a new one and sends it with
`reauthenticate` on the same socket. With `auth: {mfaToken}` it first receives `mfa-required`, finishes its login
with `mfa-verify` and then receives `ready`. Until then only `mfa-verify`, `mfa-passkey-options` and
`approval-request` are served; the ack of every other event is `mfa_required`.

`eventId` increases per user: a client that reconnects with `lastEventId` receives the events it missed, in order.
Every client event gets an ack, `{"ok": true, …}` or `{"ok": false, "code": …, "message": …}`. The code is
`unknown_event` for an unknown event; `invalid_request` for a payload that is not an object, has an invalid field
or
is larger than 64 KiB; and `rate_limited` when too many events are sent.

Events of applications are named `<application>:<event>`; those that only a backend knows are here under that
name."""

SECURITY_SCHEMES: dict[str, Any] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The access token: `auth.token` of the connection, later `reauthenticate`.",
    },
    "cookie": {
        "type": "httpApiKey",
        "in": "cookie",
        "name": "__Host-vigil_access",
        "description": "The access token, with delivery `cookies`; accepted only from an allowed origin.",
    },
    "mfaToken": {
        "type": "apiKey",
        "in": "user",
        "description": "The token of a login that waits for its second factor: `auth.mfaToken` of the connection.",
    },
}

Model = tuple[type[BaseModel], JsonSchemaMode]


def build(public_url: str, application: Application | None = None) -> dict[str, Any]:
    """The document for a server at `public_url` that runs `application`."""
    parts = urlsplit(public_url)
    models: list[Model] = [
        (Handshake, "validation"),
        (ConnectRefusal, "serialization"),
        (Refusal, "serialization"),
        *((payload, "serialization") for payload in SERVER_EVENTS.values()),
    ]
    for payload, data in CLIENT_EVENTS.values():
        models += [(payload, "validation"), (data, "serialization")]
    messages = _messages() | _application_messages(application)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Vigil live socket",
            "version": version(),
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "node": {
                "host": parts.netloc,
                "pathname": "/socket.io",
                "protocol": "wss" if parts.scheme == "https" else "ws",
                "description": "Any node; all nodes share one event log per user.",
                "security": [{"$ref": f"#/components/securitySchemes/{scheme}"} for scheme in SECURITY_SCHEMES],
            }
        },
        "channels": {
            "root": {
                "address": "/",
                "title": "Namespace /",
                "messages": {key: {"$ref": f"#/components/messages/{key}"} for key in messages},
            }
        },
        "operations": _operations() | _application_operations(application),
        "components": {
            "messages": messages,
            "schemas": component_schemas(models),
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _messages() -> dict[str, Any]:
    messages = {
        "connect": _message("connect", Handshake, title="auth of the connection"),
        "connect_error": _message("connect_error", ConnectRefusal, title="data of connect_error"),
        "refusal": _message("refusal", Refusal, title="ack: refused"),
    }
    for event, payload in SERVER_EVENTS.items():
        messages[str(event)] = _message(event, payload, title=event)
    for event, (payload, data) in CLIENT_EVENTS.items():
        messages[str(event)] = _message(event, payload, title=event)
        messages[f"{event}.ack"] = _message(f"{event}.ack", data, title="ack: served", ok=True)
    return messages


def _message(name: str, payload: type[BaseModel], *, title: str, ok: bool = False) -> dict[str, Any]:
    reference = schema_reference(payload)
    served = {"type": "object", "required": ["ok"], "properties": {"ok": {"const": True}}}
    return {
        "name": str(name),
        "title": str(title),
        "summary": " ".join((payload.__doc__ or "").split()),
        "payload": {"allOf": [served, reference]} if ok else reference,
    }


def _operations() -> dict[str, Any]:
    operations: dict[str, Any] = {
        "connect": {
            "action": "receive",
            "channel": CHANNEL,
            "summary": "Connect, or be refused with `connect_error`.",
            "messages": [_pointer("connect")],
            "reply": {
                "channel": CHANNEL,
                "messages": [
                    _pointer(ServerEvent.READY),
                    _pointer(ServerEvent.MFA_REQUIRED),
                    _pointer("connect_error"),
                ],
            },
        }
    }
    for event, payload in SERVER_EVENTS.items():
        operations[_identifier(event)] = {
            "action": "send",
            "channel": CHANNEL,
            "summary": " ".join((payload.__doc__ or "").split()),
            "messages": [_pointer(event)],
        }
    for event, (payload, _) in CLIENT_EVENTS.items():
        operations[_identifier(event)] = {
            "action": "receive",
            "channel": CHANNEL,
            "summary": " ".join((payload.__doc__ or "").split()),
            "messages": [_pointer(event)],
            "reply": {"channel": CHANNEL, "messages": [_pointer(f"{event}.ack"), _pointer("refusal")]},
        }
    return operations


def _application_messages(application: Application | None) -> dict[str, Any]:
    """The messages of the application's own events; their payloads are objects of unspecified content."""
    messages: dict[str, Any] = {}
    for event in _application_events(application):
        messages[event.key] = {
            "name": event.name,
            "title": event.name,
            "summary": event.summary,
            "payload": {"type": "object"},
        }
        if event.is_served:
            messages[f"{event.key}.ack"] = {
                "name": f"{event.name}.ack",
                "title": "ack: served",
                "payload": {"type": "object", "required": ["ok"], "properties": {"ok": {"const": True}}},
            }
    return messages


def _application_operations(application: Application | None) -> dict[str, Any]:
    operations: dict[str, Any] = {}
    for event in _application_events(application):
        operation: dict[str, Any] = {
            "action": "receive" if event.is_served else "send",
            "channel": CHANNEL,
            "summary": event.summary,
            "messages": [_pointer(event.key)],
        }
        if event.is_served:
            operation["reply"] = {
                "channel": CHANNEL,
                "messages": [_pointer(f"{event.key}.ack"), _pointer("refusal")],
            }
        operations[_identifier(event.key.replace(".", "-"))] = operation
    return operations


class _ApplicationEvent(NamedTuple):
    """An event that the application serves or sends. `key`: its name in the document, without a colon."""

    name: str
    key: str
    summary: str
    is_served: bool


def _application_events(application: Application | None) -> Iterator[_ApplicationEvent]:
    sent = "An event that a backend sends (POST /api/server/emit); its documentation describes it."
    yield _ApplicationEvent(ANY_EVENT, "backend-event", sent, is_served=False)
    if application is None:
        return
    if application.serves_any:
        served = "An event that is posted to the application's backend; its documentation describes it."
        yield _ApplicationEvent(ANY_EVENT, "client-event", served, is_served=True)
    for name, registration in application.handlers.items():
        summary = " ".join((registration.handler.__doc__ or "").split())
        role_note = f"Only for the role `{registration.role}`." if registration.role else ""
        yield _event(name, " ".join(filter(None, (summary, role_note))), is_served=True)
    for event, summary in application.emits.items():
        yield _event(application.qualified(event), summary, is_served=False)


def _event(name: str, summary: str, *, is_served: bool) -> _ApplicationEvent:
    return _ApplicationEvent(name, name.replace(":", "."), summary, is_served)


def _pointer(message: str) -> dict[str, str]:
    return {"$ref": f"#/channels/root/messages/{message}"}


def _identifier(event: str) -> str:
    head, *rest = event.split("-")
    return head + "".join(part.capitalize() for part in rest)
