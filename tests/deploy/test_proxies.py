"""deploy/nginx.conf and deploy/haproxy.cfg with other ports and certificates, in front of three nodes."""

import asyncio
import re
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from support.certificates import certificate
from support.clients import PASSWORD, Api, Live
from support.nodes import ROOT, Installation, Node, ServiceUrls, drop
from support.ports import free_ports
from support.processes import program
from support.waiting import eventually
from yarl import URL

Connect = Callable[..., Awaitable[Live]]
HOST = "auth.example.org"
# Around deploy/nginx.conf, as the nginx.conf of a distribution is around its conf.d; all files in our folder.
NGINX_MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/vigil.conf;
}}
"""


@dataclass(frozen=True)
class Proxy:
    url: str
    plain_url: str


def replaced(text: str, **texts: str) -> str:
    """The configuration with each text replaced, which must be in it."""
    for old, new in texts.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def installed(services: ServiceUrls) -> Iterator[Installation]:
    installation = Installation(services)
    yield installation
    drop(services, installation.name)


@pytest.fixture(scope="module")
def nodes(installed: Installation) -> Iterator[list[Node]]:
    with ThreadPoolExecutor(3) as starters:
        started = list(starters.map(lambda _: installed.start(VIGIL_TRUSTED_PROXIES="127.0.0.1"), range(3)))
    yield started
    assert [node.stop() for node in started] == [0, 0, 0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate of the example's host, as nginx and as HAProxy want it."""
    made = tmp_path_factory.mktemp("proxies")
    both = certificate(made, HOST).read_text()
    public, begin, private = both.partition("-----BEGIN PRIVATE KEY")
    (made / "auth.pem").write_text(public)
    (made / "auth.key").write_text(begin + private)
    (made / "both.pem").write_text(both)
    return made


def with_nodes(text: str, nodes: list[Node]) -> str:
    for number, node in enumerate(nodes):
        text = replaced(text, **{f"127.0.0.1:{8000 + number}": node.url.removeprefix("http://")})
    return text


def nginx(folder: Path, nodes: list[Node], tls: int, plain: int) -> list[str]:
    text = replaced(
        with_nodes((ROOT / "deploy/nginx.conf").read_text(), nodes),
        **{
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443 ssl": f"listen 127.0.0.1:{tls} ssl",
            "/etc/nginx/certs": str(folder),
        },
    )
    (folder / "vigil.conf").write_text(text)
    (folder / "nginx.conf").write_text(NGINX_MAIN.format(folder=folder))
    return [program("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def haproxy(folder: Path, nodes: list[Node], tls: int, plain: int) -> list[str]:
    text = replaced(
        with_nodes((ROOT / "deploy/haproxy.cfg").read_text(), nodes),
        **{
            "bind :443": f"bind 127.0.0.1:{tls}",
            "bind :80": f"bind 127.0.0.1:{plain}",
            "/etc/haproxy/certs/": str(folder / "both.pem"),
        },
    )
    (folder / "haproxy.cfg").write_text(text)
    return [program("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]


CHECKS = {"nginx": "-t", "haproxy": "-c"}


@pytest.fixture(scope="module", params=[nginx, haproxy], ids=["nginx", "haproxy"])
def proxy(request: pytest.FixtureRequest, folder: Path, nodes: list[Node]) -> Iterator[Proxy]:
    """Each proxy in turn, after its own check of the configuration."""
    tls, plain = free_ports(2)
    command = request.param(folder, nodes, tls, plain)
    checked = subprocess.run(
        [*command, CHECKS[request.param.__name__]], capture_output=True, text=True, timeout=30
    )
    assert checked.returncode == 0, checked.stderr
    warnings = [line for line in checked.stderr.splitlines() if "[warn]" in line or "[WARNING]" in line]
    # Debian 12 has an nginx that knows only this form, Debian 13 one that warns of it.
    assert [line for line in warnings if '"listen ... http2" directive is deprecated' not in line] == []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    yield Proxy(f"https://127.0.0.1:{tls}", f"http://127.0.0.1:{plain}")
    process.terminate()
    output, _ = process.communicate(timeout=10)
    assert "[alert]" not in output.lower(), output
    assert "[emerg]" not in output, output


@pytest.fixture
async def through(proxy: Proxy, http: aiohttp.ClientSession) -> Api:
    """The API through the proxy, which serves."""

    async def serves() -> bool:
        try:
            async with http.get(f"{proxy.url}/health/ready", ssl=untested()) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    await eventually(serves, "the proxy has found its nodes", timeout=30)
    return SecureApi(proxy.url, http)


def untested() -> ssl.SSLContext:
    """Of the certificate, only the proxy knows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class SecureApi(Api):
    """The API over TLS with a certificate that nobody has signed."""

    async def status(self, path: str, **headers: str) -> int:
        async with self.http.get(URL(self.url + path, encoded=True), headers=headers, ssl=untested()) as answer:
            return answer.status


@pytest.mark.parametrize("path", ["/metrics", "/%6detrics", "/metrics?x", "/metrics/"])
async def test_the_metrics_are_kept_from_the_outside(through: SecureApi, path: str) -> None:
    assert await through.status(path) in {403, 404}
    assert await through.status("/health/live") == 200


async def test_plain_http_is_sent_to_tls(proxy: Proxy, through: SecureApi, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{proxy.plain_url}/x", headers={"Host": HOST}, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, f"https://{HOST}/x")


async def test_headers_as_long_as_the_server_accepts_pass(through: SecureApi) -> None:
    assert await through.status("/health/live", Cookie="x=" + "y" * 30_000) == 200


async def test_a_login_shows_the_clients_address_and_its_socket_is_told_what_happens_on_another_node(
    proxy: Proxy, through: SecureApi, nodes: list[Node], http: aiohttp.ClientSession, folder: Path
) -> None:
    direct = Api(nodes[0].url, http)
    email = await direct.register()
    body = {"email": email, "password": PASSWORD, "delivery": "body"}
    url, headers = f"{proxy.url}/api/auth/login", {"X-Forwarded-For": "203.0.113.7"}
    async with http.post(url, json=body, headers=headers, ssl=untested()) as answer:
        login = (await answer.json())["data"]
    listed = await direct.call("GET", "/sessions", token=login["accessToken"])
    assert [each["ip"] for each in listed.data["sessions"]] == ["203.0.113.7"]

    socket_url = f"{proxy.url.replace('https', 'wss')}/socket.io/?EIO=4&transport=websocket"
    async with http.ws_connect(socket_url, ssl=untested()) as socket:
        assert (await socket.receive_str(timeout=30)).startswith("0{")
        await socket.send_str(f'40{{"token":"{login["accessToken"]}"}}')
        while not (await socket.receive_str(timeout=30)).startswith('42["ready"'):
            pass
        # From each node, so from at least two others than the one that has the socket.
        others = [await Api(node.url, http).login(email) for node in nodes]
        for other in others[1:]:
            assert (await others[0].call("DELETE", f"/sessions/{other.session_id}")).status == 200
        gone = await others[0].call("DELETE", f"/sessions/{login['session']['sessionId']}")
        assert gone.data["delivery"]["notified"] == 1
        # Its event carries an id, which asks for an answer.
        while not re.match(r'42\d+\["session-revoked"', heard := await socket.receive_str(timeout=30)):
            pass
        assert login["session"]["sessionId"] in heard


async def test_a_node_that_stops_is_left_alone(
    through: SecureApi, installed: Installation, nodes: list[Node]
) -> None:
    assert await asyncio.to_thread(nodes[2].stop) == 0
    port = nodes[2].url.rpartition(":")[2]

    async def steady() -> bool:
        return all([await through.status("/health/ready") == 200 for _ in range(10)])

    await eventually(steady, "only the others are asked", timeout=30)
    # At its address again, for the next proxy.
    nodes[2] = await asyncio.to_thread(lambda: installed.start(VIGIL_TRUSTED_PROXIES="127.0.0.1", VIGIL_PORT=port))
