"""Redis over TLS: HAProxy terminates it in front of a real Valkey, which is packaged without TLS."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import redis.asyncio
from support.certificates import certificate
from support.clients import Api, Live
from support.nodes import Installation, ServiceUrls, drop, tracebacks
from support.ports import free_ports
from support.processes import program
from support.redis_forms import problem_of
from support.waiting import eventually

from auth.platform.redis.link import RedisLink

HAPROXY = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 300s
    timeout server 300s
frontend server_only
    bind 127.0.0.1:{port} ssl crt {own}
    default_backend valkey
frontend both
    bind 127.0.0.1:{mutual} ssl crt {own} ca-file {client} verify required
    default_backend valkey
backend valkey
    server valkey {valkey}
"""


@dataclass(frozen=True)
class SecuredRedis:
    """URLs without options: one that asks for no certificate of the client, and one that does."""

    url: str
    mutual_url: str
    folder: Path


@pytest.fixture(scope="module")
def secured(services: ServiceUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredRedis]:
    folder = tmp_path_factory.mktemp("tls")
    own, client, _ = [certificate(folder, name) for name in ("localhost", "client", "other")]
    port, mutual = free_ports(2)
    credentials, _, place = services.redis.partition("://")[2].rpartition("@")
    valkey, _, database = place.partition("/")
    names = {"port": port, "mutual": mutual, "own": own, "client": client, "valkey": valkey}
    (folder / "haproxy.cfg").write_text(HAPROXY.format(**names))
    process = subprocess.Popen([program("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")])

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", mutual)
        except OSError:
            return False
        writer.close()
        return True

    asyncio.run(eventually(listens, "HAProxy listens", timeout=30))
    first, second = [f"rediss://{credentials}@localhost:{each}/{database}" for each in (port, mutual)]
    yield SecuredRedis(first, second, folder)
    process.kill()
    process.wait()


async def test_a_node_uses_redis_over_tls_for_sockets_events_and_mail(
    secured: SecuredRedis,
    services: ServiceUrls,
    http: aiohttp.ClientSession,
    redis_client: redis.asyncio.Redis,
    connect: Callable[..., Awaitable[Live]],
) -> None:
    files = f"ssl_ca_certs={secured.folder}/localhost.pem&ssl_certfile={secured.folder}/client.pem"
    url = f"{secured.mutual_url}?{files}"
    installation = Installation(ServiceUrls(services.mongo, url))
    node = installation.start(VIGIL_RATE_LIMITS="on")
    api = Api(node.url, http)
    email = await api.register_by_mail()
    login = await api.login(email)
    live = await connect(node, login.access_token)
    await api.login(email)
    await live.wait("sessions-changed")

    async def kept() -> bool:
        keys = [key.decode() async for key in redis_client.scan_iter(match=f"*{installation.name}:*")]
        return all(any(f"{installation.name}:{part}" in key for key in keys) for part in ("jobs}", "limits:"))

    # By their own connections, which a busy machine may delay.
    await eventually(kept, "the job queue and the rate limits keep their keys in Redis", timeout=60)
    assert node.stop() == 0
    # uvloop logs a TLS connection that Vigil gives up, as it may on a busy machine.
    assert [line for line in tracebacks(node.log) if "Fatal error on SSL protocol" not in line] == []
    drop(services, installation.name)


async def test_what_is_wrong_with_a_certificate_is_said_in_one_line(secured: SecuredRedis) -> None:
    trusted = f"ssl_ca_certs={secured.folder}/localhost.pem"
    assert await problem_of(f"{secured.url}?{trusted}") is None
    refused = "the certificate of Redis is refused (ssl_ca_certs names the CA): "
    untrusted = await problem_of(f"{secured.url}?ssl_ca_certs={secured.folder}/other.pem")
    assert untrusted == refused + "self-signed certificate"
    elsewhere = await problem_of(f"{secured.url}?{trusted}".replace("localhost:", "127.0.0.1:"))
    assert elsewhere is not None
    assert elsewhere.startswith(refused + "IP address mismatch")
    asked = "Redis demands a client certificate that it trusts: ssl_certfile, ssl_keyfile"
    assert await problem_of(f"{secured.mutual_url}?{trusted}") == asked
    stranger = f"ssl_certfile={secured.folder}/other.pem"
    assert await problem_of(f"{secured.mutual_url}?{trusted}&{stranger}") == asked


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
def test_a_certificate_file_that_cannot_be_read_is_named(option: str) -> None:
    with pytest.raises(ValueError, match="has a certificate or key file that cannot be used"):
        RedisLink(f"rediss://localhost/0?{option}=/nowhere.pem", prefix="t")
