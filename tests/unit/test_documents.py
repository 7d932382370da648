"""The OpenAPI and AsyncAPI documents are valid, complete, and say what the code does."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.nodes import ROOT
from support.route_table import ENDPOINTS

from auth.core.errors import AuthError
from auth.http.cookies import ACCESS_COOKIE
from auth.http.pages import api_reference, openapi
from realtime.application import Application
from realtime.protocol import asyncapi
from realtime.protocol.messages import CLIENT_EVENTS, SERVER_EVENTS
from runtime.application_loader import load_application

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(scope="module")
def http() -> dict[str, Any]:
    return openapi.build(ENDPOINTS)


@pytest.fixture(scope="module")
def live() -> dict[str, Any]:
    return asyncapi.build("https://auth.example.org")


def test_the_openapi_document_is_valid(http: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(http).validate()


def test_the_openapi_document_is_json_as_it_stands(http: dict[str, Any]) -> None:
    assert json.loads(json.dumps(http)) == http


def test_every_endpoint_of_the_contract_is_there(http: dict[str, Any]) -> None:
    there = {(method.upper(), path) for path, item in http["paths"].items() for method in item}
    api = "/api/auth"
    assert there >= {
        ("POST", f"{api}/register"),
        ("POST", f"{api}/verify-email"),
        ("GET", f"{api}/verify-email"),
        ("POST", f"{api}/resend-verification"),
        ("POST", f"{api}/login"),
        ("POST", f"{api}/refresh"),
        ("POST", f"{api}/refresh-token"),
        ("POST", f"{api}/logout"),
        ("POST", f"{api}/logout-all"),
        ("POST", f"{api}/sessions/revoke-others"),
        ("GET", f"{api}/sessions"),
        ("DELETE", f"{api}/sessions/{{sessionId}}"),
        ("GET", f"{api}/me"),
        ("PATCH", f"{api}/me"),
        ("POST", f"{api}/approvals"),
        ("POST", f"{api}/approvals/status"),
        ("GET", f"{api}/approvals"),
        ("PUT", f"{api}/approvals"),
        ("POST", f"{api}/alerts/not-me"),
        ("GET", f"{api}/admin/users"),
        ("GET", f"{api}/admin/users/{{userId}}"),
        ("PUT", f"{api}/admin/users/{{userId}}/roles"),
        ("POST", f"{api}/admin/users/{{userId}}/lock"),
        ("POST", f"{api}/admin/users/{{userId}}/unlock"),
        ("DELETE", f"{api}/admin/users/{{userId}}/sessions"),
        ("DELETE", f"{api}/admin/users/{{userId}}/sessions/{{sessionId}}"),
        ("GET", f"{api}/admin/audit"),
        ("GET", f"{api}/admin/overview"),
        ("POST", f"{api}/admin/server-keys"),
        ("POST", "/api/server/introspect"),
        ("GET", "/api/server/presence"),
        ("DELETE", "/api/server/users/{userId}/sessions/{sessionId}"),
        ("POST", "/api/server/disconnect"),
        ("POST", "/api/server/emit"),
        ("POST", "/api/server/batch"),
        ("POST", "/api/server/rooms/{room}/members"),
        ("DELETE", "/api/server/rooms/{room}/members"),
        ("GET", "/api/server/rooms/{room}/history"),
        ("PATCH", "/api/server/users/{userId}"),
        ("GET", "/.well-known/jwks.json"),
        ("GET", "/health/live"),
        ("GET", "/health/ready"),
        ("GET", "/metrics"),
    }


def test_operation_ids_are_unique(http: dict[str, Any]) -> None:
    ids = [operation["operationId"] for item in http["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))


def test_every_refusal_that_is_documented_exists(http: dict[str, Any]) -> None:
    known = {error.code: error.status for error in all_errors(AuthError)}
    for item in http["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                for code in response.get("content", {}).get("application/json", {}).get("examples", {}):
                    assert known[code] == int(status)


def test_every_example_fits_its_schema(http: dict[str, Any]) -> None:
    checked = 0
    for item in http["paths"].values():
        for operation in item.values():
            for response in operation["responses"].values():
                content = response.get("content", {}).get("application/json", {})
                for example in content.get("examples", {}).values():
                    schema = {**content["schema"], "components": http["components"]}
                    jsonschema.validate(example["value"], schema, cls=jsonschema.Draft202012Validator)
                    checked += 1
    assert checked > 100
    for schema in http["components"]["schemas"].values():
        for example in schema.get("examples", ()):
            jsonschema.validate(example, {**schema, "components": http["components"]})


def test_request_bodies_are_closed_and_answers_are_open(http: dict[str, Any]) -> None:
    schemas = http["components"]["schemas"]
    assert schemas["LoginRequest"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["LoginAnswer"]


def test_the_asyncapi_document_is_valid(live: dict[str, Any]) -> None:
    schema = json.loads((DATA / "asyncapi-3.0.0.json").read_text())
    jsonschema.Draft7Validator(schema).validate(live)


def test_the_asyncapi_document_is_json_as_it_stands(live: dict[str, Any]) -> None:
    assert json.loads(json.dumps(live)) == live


def test_every_reference_of_the_asyncapi_document_leads_somewhere(live: dict[str, Any]) -> None:
    for reference in references(live):
        target: Any = live
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def test_every_event_is_documented(live: dict[str, Any]) -> None:
    sent = {
        o["messages"][0]["$ref"].rpartition("/")[2] for o in live["operations"].values() if o["action"] == "send"
    }
    heard = {
        o["messages"][0]["$ref"].rpartition("/")[2]
        for o in live["operations"].values()
        if o["action"] == "receive"
    }
    assert sent == {*SERVER_EVENTS, "backend-event"}
    assert heard == set(CLIENT_EVENTS) | {"connect"}


def test_every_client_event_takes_an_ack(live: dict[str, Any]) -> None:
    for name, operation in live["operations"].items():
        if operation["action"] == "receive":
            # A handshake is answered by a greeting for those who are let in, or who wait, or by a refusal.
            assert len(operation["reply"]["messages"]) == (3 if name == "connect" else 2)


def test_a_login_s_answers_are_told_apart_by_one_field(http: dict[str, Any]) -> None:
    schemas = http["components"]["schemas"]
    for name, value in (("LoginAnswer", False), ("MfaAnswer", True)):
        assert schemas[name]["properties"]["mfaRequired"]["const"] is value
        assert "mfaRequired" in schemas[name]["required"]


def test_no_schema_has_a_default_by_which_generators_would_take_a_field_for_one_that_is_always_there(
    http: dict[str, Any], live: dict[str, Any]
) -> None:
    for document in (http, live):
        for schema in document["components"]["schemas"].values():
            assert not [name for name, field in schema.get("properties", {}).items() if "default" in field]
    request = http["components"]["schemas"]["LoginRequest"]
    assert sorted(request["required"]) == ["email", "password"]
    assert request["properties"]["delivery"]["description"].endswith('Default: `"body"`.')


def test_what_is_called_by_a_cookie_says_so(http: dict[str, Any]) -> None:
    schemes = set(http["components"]["securitySchemes"])
    for item in http["paths"].values():
        for operation in item.values():
            assert {name for way in operation["security"] for name in way} <= schemes
    refresh = http["paths"]["/api/auth/refresh"]["post"]["security"]
    cookies: list[Any] = [{"refreshCookie": [], "csrf": []}, {"refreshOnlyCookie": [], "csrf": []}]
    assert refresh == [{}, *cookies]
    logout = http["paths"]["/api/auth/logout"]["post"]["security"]
    assert logout == [{}, {"bearer": []}, *cookies, {"cookie": [], "csrf": []}]
    assert http["paths"]["/api/auth/login"]["post"]["security"] == []


def test_both_documents_have_the_version_of_the_server(http: dict[str, Any], live: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {http["info"]["version"], live["info"]["version"]} == {project["version"]}


def test_the_asyncapi_document_says_how_one_gets_in(live: dict[str, Any]) -> None:
    assert set(live["components"]["securitySchemes"]) == {"token", "cookie", "mfaToken"}
    assert live["components"]["securitySchemes"]["cookie"]["name"] == ACCESS_COOKIE
    assert len(live["servers"]["node"]["security"]) == 3


def test_the_events_of_an_application_are_documented_beside_ours() -> None:
    live = asyncapi.build("https://auth.example.org", load_application("client-demo/chat.py:chat", ROOT))
    schema = json.loads((DATA / "asyncapi-3.0.0.json").read_text())
    jsonschema.Draft7Validator(schema).validate(live)
    operations = {
        live["components"]["messages"][each["messages"][0]["$ref"].rpartition("/")[2]]["name"]: each["action"]
        for each in live["operations"].values()
    }
    own = {name: action for name, action in operations.items() if name.startswith("chat:")}
    received, sent = ("chat:join", "chat:watch", "chat:send"), ("chat:message", "chat:members")
    assert own == dict.fromkeys(received, "receive") | dict.fromkeys(sent, "send")
    events = api_reference.events_page(live)["sections"]
    (send,) = [event for event in events["Client to server"] if event["name"] == "chat:send"]
    assert send["text"] == "Send a message to the room."
    assert [reply["name"] for reply in send["replies"]] == ["ack: served", "ack: refused"]


def test_events_that_only_a_backend_knows_are_one_entry_in_each_direction(live: dict[str, Any]) -> None:
    class BehindUrl(Application):
        serves_any = True

    behind_url = asyncapi.build("https://auth.example.org", BehindUrl("url"))
    schema = json.loads((DATA / "asyncapi-3.0.0.json").read_text())
    jsonschema.Draft7Validator(schema).validate(behind_url)
    assert behind_url["components"]["messages"]["client-event"]["name"] == "<application>:<event>"
    events = api_reference.events_page(behind_url)["sections"]
    (served,) = [event for event in events["Client to server"] if event["id"] == "clientEvent"]
    assert [reply["name"] for reply in served["replies"]] == ["ack: served", "ack: refused"]
    assert "backendEvent" in {event["id"] for event in events["Server to client"]}
    # Any server can send a backend's events; only one with such an application serves them.
    assert {"backendEvent", "clientEvent"} & live["operations"].keys() == {"backendEvent"}


def test_the_documents_make_readable_pages(http: dict[str, Any], live: dict[str, Any]) -> None:
    api = api_reference.api_page(http)
    (login,) = [shown for shown in api["operations"]["Tokens"] if shown["id"] == "login"]
    assert ("delivery", "body · cookie · cookies", False) in [(r.name, r.kind, r.required) for r in login["body"]]
    names = [row.name for row in login["answers"][0]["fields"]]
    assert {"accessToken", "session.device.kind", "session.location.country"} <= set(names)
    events = api_reference.events_page(live)["sections"]
    assert {event["name"] for event in events["Server to client"]} == {*SERVER_EVENTS, asyncapi.ANY_EVENT}


def all_errors(error: type[AuthError]) -> list[type[AuthError]]:
    return [error, *(below for child in error.__subclasses__() for below in all_errors(child))]


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [reference for item in value.values() for reference in references(item)]
    return [reference for item in value for reference in references(item)] if isinstance(value, list) else []
