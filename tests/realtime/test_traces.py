"""A node with a receiver of OpenTelemetry sends it traces of requests, events, jobs and store calls."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.clients import PASSWORD, Api, Live, Refused
from support.nodes import Installation, Node
from support.waiting import eventually

from auth.platform.settings.settings import SettingsError
from runtime.provision import tracing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


@dataclass
class Collector:
    """Receives OTLP over HTTP, as a collector does."""

    url: str = ""
    # Of each span, by its id: name, trace, parent and attributes.
    spans: dict[str, tuple[str, str, str, dict[str, Any]]] = field(default_factory=dict)
    resources: list[dict[str, str]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        asked = ExportTraceServiceRequest.FromString(await request.read())
        for group in asked.resource_spans:
            self.resources.append({each.key: each.value.string_value for each in group.resource.attributes})
            for span in (span for scope in group.scope_spans for span in scope.spans):
                values = {each.key: each.value for each in span.attributes}
                place = span.trace_id.hex(), span.parent_span_id.hex()
                self.spans[span.span_id.hex()] = (span.name, *place, values)
        return web.Response(body=b"", content_type="application/x-protobuf")

    async def until_sent(self, *names: str, trace: str = TRACE) -> dict[str, set[str]]:
        """Wait until the trace has spans of all `names`; return the names of the parents of all its names."""

        async def found() -> dict[str, set[str]] | None:
            parents: dict[str, set[str]] = {}
            for name, each, parent, _ in self.spans.values():
                if each == trace:
                    above = "the caller" if parent == CALLER else self.spans.get(parent, ("?",))[0]
                    parents.setdefault(name, set()).add(above)
            return parents if parents.keys() >= {*names} and {"?"} not in parents.values() else None

        return await eventually(found, f"spans {names} in {self.spans.values()}", timeout=30)


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    async with TestServer(app) as server:
        collector.url = str(server.make_url("/"))
        yield collector


async def test_a_login_its_mail_and_a_socket_event_are_one_trace_of_the_caller(
    installation: Installation, http: aiohttp.ClientSession, connect: Callable[..., Awaitable[Live]]
) -> None:
    async with collecting() as collector:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        node = installation.start(**environ)
        api = Api(node.url, http)
        email = await api.register()
        login = await api.call("POST", "/login", {"email": email, "password": PASSWORD}, headers=HEADERS)
        live = await connect(node, login.data["accessToken"], headers=HEADERS)
        await live.ask("sessions-list")
        with pytest.raises(Refused):
            await connect(node, "no token", headers=HEADERS)
        await api.call("POST", "/password/forgot", {"email": email}, headers=HEADERS)

        parents = await collector.until_sent(
            "POST /api/auth/login", "socket connect", "socket sessions-list", "send_mail", "find sessions"
        )
        assert parents["POST /api/auth/login"] == parents["socket connect"] == {"the caller"}
        assert parents["socket sessions-list"] == {"the caller"}
        assert parents["send_mail"] == {"POST /api/auth/password/forgot"}
        assert parents["insert sessions"] == {"POST /api/auth/login"}
        assert "socket sessions-list" in parents["find sessions"]
        assert {"POST /api/auth/login", "socket connect"} <= parents["EVALSHA"]
        (request_line,) = await node.logged('"request"', "/api/auth/login", TRACE)
        assert '"span_id"' in request_line
        seen = [
            values["vigil.outcome"].string_value
            for *_, values in collector.spans.values()
            if "vigil.outcome" in values
        ]
        assert sorted(seen) == ["invalid_token", "ok"]
        assert collector.resources[0]["service.name"] == "vigil"
        assert_nothing_secret(collector, email, login.data["accessToken"], login.data["refreshToken"])
        await assert_ends_at_once(node)


def assert_nothing_secret(collector: Collector, *secrets: str) -> None:
    sent = str(collector.spans)
    assert [each for each in (*secrets, PASSWORD) if each in sent] == []


async def assert_ends_at_once(node: Node) -> None:
    assert node.stop() == 0
    assert "Traceback" not in node.text()


async def test_a_receiver_that_is_down_delays_nothing(
    installation: Installation, http: aiohttp.ClientSession
) -> None:
    node = installation.start(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_BSP_SCHEDULE_DELAY="100")
    await Api(node.url, http).login(await Api(node.url, http).register())
    await node.logged("opentelemetry")
    await assert_ends_at_once(node)


def test_without_a_receiver_there_are_no_traces() -> None:
    assert tracing({}) is None
    assert tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}) is None


def test_a_protocol_that_is_not_served_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_PROTOCOL is wrong: only http/protobuf"):
        tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
