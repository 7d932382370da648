"""MongoDB over TLS, and by a name in the DNS (`mongodb+srv`), as in `VIGIL_MONGO_URL`."""

import asyncio
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import dns.asyncresolver
import dns.message
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest
from support.certificates import certificate
from support.ports import free_ports
from support.waiting import eventually

from auth.core.errors import Unavailable
from auth.stores.mongo import Mongo
from runtime.embedded.services import _MONGOD, _find


@pytest.fixture
def mongod_over_tls(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A mongod that takes only TLS: its port, and the certificate to trust."""
    binary = asyncio.run(_find(_MONGOD))
    (port,) = free_ports(1)
    own = certificate(tmp_path, "localhost")
    (tmp_path / "data").mkdir()
    options = {
        "--dbpath": tmp_path / "data",
        "--bind_ip": "127.0.0.1",
        "--port": port,
        "--tlsMode": "requireTLS",
        "--tlsCertificateKeyFile": own,
    }
    command = [str(binary), "--nounixsocket", *(str(part) for pair in options.items() for part in pair)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)

    async def listens() -> bool:
        return "Waiting for connections" in (tmp_path / "log").read_text()

    asyncio.run(eventually(listens, "mongod listens", timeout=30))
    yield port, own
    process.kill()
    process.wait()


async def cause(mongo: Mongo) -> str:
    """Why MongoDB does not answer; empty if it does."""
    try:
        await mongo.ping()
    except Unavailable as down:
        return str(down.__cause__)
    finally:
        await mongo.close()
    return ""


async def test_a_server_is_used_over_tls_only_if_its_certificate_is_trusted(
    mongod_over_tls: tuple[int, Path], tmp_path: Path
) -> None:
    port, own = mongod_over_tls
    url = f"mongodb://localhost:{port}/vigil?directConnection=true&tls=true&serverSelectionTimeoutMS=1000"
    assert await cause(Mongo(f"{url}&tlsCAFile={own}", None, "pymongo")) == ""
    other = certificate(tmp_path, "other")
    # Motor only: PyMongo's client leaks a socket if the handshake fails.
    assert "CERTIFICATE_VERIFY_FAILED" in await cause(Mongo(f"{url}&tlsCAFile={other}", None, "motor"))


class NameServer:
    """Answers the two questions about a `mongodb+srv` name."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                data, peer = self._socket.recvfrom(4096)
            except OSError:
                return
            answer = dns.message.make_response(question := dns.message.from_wire(data))
            name, kind = question.question[0].name, question.question[0].rdtype
            self.asked.append(f"{name} {dns.rdatatype.to_text(kind)}")
            if kind == dns.rdatatype.SRV:
                answer.answer.append(
                    dns.rrset.from_text(name, 60, "IN", "SRV", f"0 5 {self._port} db.vigil.test.")
                )
            else:
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", '"replicaSet=rs7"'))
            self._socket.sendto(answer.to_wire(), peer)

    def close(self) -> None:
        self._socket.close()


async def test_a_name_leads_to_its_servers_and_to_the_options_of_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    server = NameServer(27117)
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
    monkeypatch.setattr(dns.asyncresolver, "default_resolver", resolver)
    mongo = Mongo("mongodb+srv://cluster.vigil.test/?serverSelectionTimeoutMS=300", None, "pymongo")
    refused = await cause(mongo)
    server.close()
    assert "db.vigil.test:27117" in refused
    assert server.asked == ["_mongodb._tcp.cluster.vigil.test. SRV", "cluster.vigil.test. TXT"]
    assert mongo.database.name == "vigil"
    assert mongo.database.client.options.replica_set_name == "rs7"
    assert mongo.database.client.options.pool_options._ssl_context is not None
    assert mongo.database.write_concern.document == {"w": "majority"}
