"""Dashboard and alert rules ask only for what a running node shows; the dashboard has every metric of ours."""

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import promql_parser
import pytest
import yaml
from support.clients import Api, Live
from support.nodes import ROOT, Node

Connect = Callable[..., Awaitable[Live]]
MONITORING = ROOT / "deploy/monitoring"
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
GROUPS = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]

SELECTOR = re.compile(r"\b((?:vigil|process)_\w+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\bby \(([^)]*)\)")
# Added by Prometheus when it scrapes.
OF_PROMETHEUS = {"job", "instance"}


def queries() -> Iterator[tuple[str, str]]:
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


async def samples(node: Node, http: aiohttp.ClientSession) -> dict[str, list[dict[str, str]]]:
    """The labels of the samples that a node shows, by name."""
    found: dict[str, list[dict[str, str]]] = {}
    async with http.get(f"{node.url}/metrics") as answer:
        for line in (await answer.text()).splitlines():
            if not line.startswith("#"):
                name, _, labels = line.rpartition(" ")[0].partition("{")
                found.setdefault(name, []).append({label: value for label, _, value in MATCHER.findall(labels)})
    return found


@pytest.fixture
async def used_node(node: Node, http: aiohttp.ClientSession, connect: Connect) -> Node:
    """A node on which each metric has been counted at least once: of some, the labels are known only then."""
    api = Api(node.url, http)
    login = await api.login(await api.register())
    live = await connect(node, login.access_token)
    await live.ask("sessions-list")
    other = await api.login(await api.register())
    assert (await other.call("POST", "/sessions/revoke-others")).status == 200
    assert (await login.call("DELETE", f"/sessions/{login.session_id}")).status == 200
    await live.until_gone()
    return node


async def test_every_query_asks_for_metrics_and_labels_that_a_running_node_shows(
    used_node: Node, http: aiohttp.ClientSession
) -> None:
    found = await samples(used_node, http)
    asked = 0
    for title, query in queries():
        grouped = {label.strip() for labels in GROUPING.findall(query) for label in labels.split(",")}
        selectors = [(name, matchers) for name, matchers in SELECTOR.findall(query) if name != "up"]
        for name, matchers in selectors:
            asked += 1
            assert name in found, f"{title}: no metric {name}"
            known = {label for each in found[name] for label in each} | OF_PROMETHEUS
            assert grouped <= known, f"{title}: {name} has no label {grouped - known}"
            for label, operator, value in MATCHER.findall(matchers):
                assert label in known, f"{title}: {name} has no label {label}"
                if operator == "=" and label not in OF_PROMETHEUS:
                    assert value in {each.get(label) for each in found[name]}, f"{title}: {name}, {label}={value}"
    assert asked > 30


async def test_every_metric_of_ours_is_on_the_dashboard(used_node: Node, http: aiohttp.ClientSession) -> None:
    shown = {re.sub(r"_(count|sum|bucket|created)$", "", name) for name in await samples(used_node, http)}
    asked = " ".join(query for _, query in queries())
    missing = {name for name in shown if name.startswith("vigil_") and name not in asked}
    assert missing == set()


@pytest.mark.parametrize("query", [query for _, query in queries()])
def test_every_query_is_promql(query: str) -> None:
    # Grafana replaces its variable by a duration.
    promql_parser.parse(query.replace("$__rate_interval", "1m"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_it_means_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "warning"}
    assert rule["annotations"].keys() == {"summary", "action"}
