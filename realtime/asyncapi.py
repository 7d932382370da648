"""The AsyncAPI 3.0 document of the live socket, made from the messages."""

from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from auth.views import component_schemas, schema_reference
from realtime.messages import (
    CLIENT_EVENTS,
    PROTOCOL_VERSION,
    SERVER_EVENTS,
    ConnectRefusal,
    Handshake,
    Refusal,
    ServerEvent,
)

CHANNEL = {"$ref": "#/channels/root"}

DESCRIPTION = """\
Socket.IO v5 (Engine.IO v4) on path `/socket.io`, namespace `/`.

A client connects with `auth: {token, lastEventId?}`, or with its access cookie from an allowed origin, and
first hears `ready`. Before its token expires it hears `token-expiring`, takes a new one and sends
`reauthenticate`, on the same socket. With `auth: {mfaToken}` it first hears `mfa-required`, and finishes its
login by `mfa-verify`, after which it hears `ready`; until then it is served that and `approval-request`, and
every other event acks `mfa_required`.

`eventId` grows per user: a client that connects again with `lastEventId` gets what it missed, in order. Every
event of a client takes an ack, `{"ok": true, …}` or `{"ok": false, "code": …, "message": …}`; an unknown event
acks `unknown_event`, a payload that is no object, has a wrong field or is over 64 KiB acks `invalid_request`,
more events than allowed ack `rate_limited`."""

Model = tuple[type[BaseModel], JsonSchemaMode]


def build(public_url: str) -> dict[str, Any]:
    """The whole document, for a server at `public_url`."""
    parts = urlsplit(public_url)
    models: list[Model] = [
        (Handshake, "validation"),
        (ConnectRefusal, "serialization"),
        (Refusal, "serialization"),
        *((payload, "serialization") for payload in SERVER_EVENTS.values()),
    ]
    for payload, data in CLIENT_EVENTS.values():
        models += [(payload, "validation"), (data, "serialization")]
    messages = _messages()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Vigil live socket",
            "version": f"{PROTOCOL_VERSION}.0.0",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "node": {
                "host": parts.netloc,
                "pathname": "/socket.io",
                "protocol": "wss" if parts.scheme == "https" else "ws",
                "description": "Any node: they share one event log per user.",
            }
        },
        "channels": {
            "root": {
                "address": "/",
                "title": "Namespace /",
                "messages": {key: {"$ref": f"#/components/messages/{key}"} for key in messages},
            }
        },
        "operations": _operations(),
        "components": {"messages": messages, "schemas": component_schemas(models)},
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


def _pointer(message: str) -> dict[str, str]:
    return {"$ref": f"#/channels/root/messages/{message}"}


def _identifier(event: str) -> str:
    head, *rest = event.split("-")
    return head + "".join(part.capitalize() for part in rest)
