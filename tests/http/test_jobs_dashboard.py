"""The job queue's page: there when asked for, for this machine alone, and linked."""

import asyncio
import socket
from collections.abc import Callable

import aiohttp
from support.administration import first_administrator
from support.clients import Api
from support.nodes import Installation, Node
from support.ports import free_port


async def test_it_shows_the_queue_to_this_machine_and_to_nobody_elses_pages(
    installation: Installation, start_node: Callable[..., Node], http: aiohttp.ClientSession
) -> None:
    port = free_port()
    node = start_node(VIGIL_JOBS_DASHBOARD_PORT=str(port), VIGIL_RATE_LIMITS="on", VIGIL_LIMIT_ADMIN="2/minute")
    # A second node of the machine goes without, and serves all the same.
    other = start_node(VIGIL_JOBS_DASHBOARD_PORT=str(port))
    assert "jobs_dashboard_not_opened" in other.text()
    api = Api(node.url, http)
    admin = await api.login(await asyncio.to_thread(first_administrator, installation, node.url))
    url = (await admin.call("GET", "/admin/overview")).data["jobsDashboardUrl"]
    assert url == f"http://127.0.0.1:{port}/"
    async with http.get(url) as page:
        assert "SAQ" in await page.text()
    async with http.get(f"{url}api/queues") as answer:
        (queue,) = (await answer.json())["queues"]
        assert queue["name"] == f"{{{installation.name}:jobs}}"
        assert "@" not in await answer.text()  # no address of anybody
    for elsewhere in ({"Host": "evil.example"}, {"X-Forwarded-For": "203.0.113.7"}):
        async with http.get(url, headers=elsewhere) as refused:
            assert refused.status == 421
    retry = f"{url}api/queues/{queue['name']}/jobs/x/retry"
    for headers in ({"Origin": "https://evil.example"}, {}):
        async with http.post(retry, headers=headers) as forged:
            assert forged.status == 403
    async with http.post(retry, headers={"Origin": url.rstrip("/")}) as own:
        assert own.status == 200
    trail = [
        (event["kind"], event["userId"], event["details"]["path"])
        for event in (await admin.call("GET", "/admin/audit")).data["events"]
        if event["kind"].startswith("jobs_page")
    ]
    assert trail == [
        ("jobs_page_acted", None, f"/api/queues/{queue['name']}/jobs/x/retry"),
        ("jobs_page_opened", None, "/"),
    ]
    # What an administrator reads counts for their limit.
    assert (await admin.call("GET", "/admin/users")).code == "rate_limited"
    address = outward_address()
    assert address is None or not is_open(address, port)


def outward_address() -> str | None:
    """The address by which this machine speaks to others; none where it has no network. Nothing is sent."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def is_open(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((address, port)) == 0
