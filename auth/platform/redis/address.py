"""The URL of Redis: one server, a master that sentinels know, or a cluster.

    redis://[user:password@]host:port/database        also rediss:// (TLS) and unix://
    redis+sentinel://[user:password@]host,host,…/name/database
    redis+cluster://[user:password@]host,host,…

redis-py reads credentials, database and options, so that they work as for a redis-py client. Credentials are those
of the servers; those of sentinels are the options `sentinel_username` and `sentinel_password`. TLS is for both.
"""

from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from redis.asyncio.connection import ConnectionPool, SSLConnection
from redis.exceptions import RedisError

Endpoint = tuple[str, int]
Kind = Literal["server", "sentinel", "cluster"]

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
SENTINEL_PORT, SERVER_PORT = 26379, 6379


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is. `endpoints`: the sentinels, or some nodes of the cluster; empty for one server.

    `pool` makes connections to the one server; `service` is the name by which the sentinels know the master.
    """

    kind: Kind
    pool: ConnectionPool = field(repr=False, compare=False)
    endpoints: tuple[Endpoint, ...] = ()
    service: str = ""
    _sentinel_login: tuple[str | None, str | None] = field(default=(None, None), repr=False)

    @property
    def database(self) -> int:
        """The database number."""
        return int(self.pool.connection_kwargs.get("db") or 0)

    @property
    def place(self) -> str:
        """Host and port of the one server."""
        return "{host}:{port}".format_map(self.pool.connection_kwargs)

    def at(self, endpoint: Endpoint) -> "RedisAddress":
        """One server, reached with the same credentials and options."""
        return RedisAddress("server", self._pool_at(endpoint, {}))

    def sentinel(self, endpoint: Endpoint) -> ConnectionPool:
        """Makes connections to a sentinel."""
        username, password = self._sentinel_login
        return self._pool_at(endpoint, {"username": username, "password": password, "db": 0})

    def _pool_at(self, endpoint: Endpoint, options: dict[str, Any]) -> ConnectionPool:
        host, port = endpoint
        kept = self.pool.connection_kwargs | options | {"host": host, "port": port}
        return ConnectionPool(connection_class=self.pool.connection_class, **kept)


def read_address(url: str) -> RedisAddress:
    """Read the URL of Redis. Raises `ValueError` with a reason that does not repeat the URL."""
    scheme, separator, rest = url.partition("://")
    if scheme not in SCHEMES or not separator or not rest:
        raise ValueError(f"must begin with {', '.join(f'{each}://' for each in SCHEMES)}")
    base, _, kind = scheme.partition("+")
    if not kind:
        return RedisAddress("server", _pool(url))
    before, _, query = rest.partition("?")
    credentials, at, places = before.rpartition("@")
    hosts, _, path = places.partition("/")
    endpoints = _endpoints(hosts, SENTINEL_PORT if kind == "sentinel" else SERVER_PORT)
    options = {name: values[-1] for name, values in parse_qs(query).items()}
    sentinel_login = options.pop("sentinel_username", None), options.pop("sentinel_password", None)
    service, _, database = path.partition("/")
    if kind == "cluster":
        database, service = path, ""
        if database not in {"", "0"}:
            raise ValueError("a cluster has only database 0: remove the path")
    elif not service:
        raise ValueError("must name the master after the sentinels: redis+sentinel://host,host/NAME/0")
    if not (database or "0").isdecimal():
        raise ValueError("has an invalid database number")
    pool = _pool(f"{base}://{credentials}{at}{hosts.partition(',')[0]}/{database or 0}?{urlencode(options)}")
    named: Kind = "sentinel" if kind == "sentinel" else "cluster"
    return RedisAddress(named, pool, endpoints, unquote(service), sentinel_login)


def _endpoints(hosts: str, default_port: int) -> tuple[Endpoint, ...]:
    found: list[Endpoint] = []
    for each in hosts.split(","):
        try:
            parts = urlsplit(f"redis://{each.strip()}")
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("has an invalid port") from None
        if not host:
            raise ValueError("must list hosts, separated by commas")
        found.append((host, port or default_port))
    return tuple(found)


def _pool(url: str) -> ConnectionPool:
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise ValueError("has an invalid port") from None
    try:
        pool = ConnectionPool.from_url(url)
        connection = pool.make_connection()  # type: ignore[no-untyped-call] # redis-py's own gap
    except (TypeError, ValueError, RedisError):
        raise ValueError("has an option that is not known or has a wrong value") from None
    if isinstance(connection, SSLConnection):
        try:
            connection.ssl_context.get()
        except OSError:
            raise ValueError("has a certificate or key file that cannot be used") from None
    return pool
