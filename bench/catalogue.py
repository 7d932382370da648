"""All scenarios, and the groups that measure them."""

from bench.backend_scenarios import SCENARIOS as BACKEND
from bench.backend_scenarios import emits
from bench.flood_scenario import fifty_flooders, one_flooder
from bench.http_scenarios import SCENARIOS as HTTP
from bench.http_scenarios import requests
from bench.latency_scenarios import (
    login_queue,
    push_to_another_node,
    revocation_alone_on_one_node,
    revocation_alone_on_two_nodes,
)
from bench.load import Group
from bench.measures import Scenario
from bench.revocation_scenario import revocation_on_one_node, revocation_on_two_nodes
from bench.socket_scenarios import SCENARIOS as SOCKETS
from bench.socket_scenarios import sockets
from bench.storm_scenario import SCENARIOS as STORM
from bench.storm_scenario import expiry_storm
from bench.webhook_scenarios import OF_NODE, OF_WORKER, webhook_beside_requests, webhook_of_worker

SCENARIOS = (
    Scenario("handshake", "authenticated handshake", "handshake"),
    Scenario("idle", "idle socket", "socket", figure="bytes", target=1.0),
    Scenario("push_1", "push to one user, 1 socket", "push"),
    Scenario("push_3", "push to one user, 3 sockets", "push"),
    Scenario("push_room", "push to a room of everybody", "socket"),
    Scenario("reauthenticate", "re-authentication, token of the session's refresh", "token"),
    Scenario("reauthenticate_unseen", "re-authentication, token minted elsewhere", "token"),
    Scenario("expiry_storm", "expiry storm: warn, refresh, re-authenticate", "socket"),
    Scenario("revocation_1", "revocation to close, one node", "revocation"),
    Scenario("revocation_2", "revocation to close, two nodes", "revocation"),
    Scenario("revocation_alone_1", "p99: revocation to close, alone, one node", "revocation", "p99", 20.0),
    Scenario("revocation_alone_2", "p99: revocation to close, alone, two nodes", "revocation", "p99", 20.0),
    Scenario("push_alone_2", "p99: push to a user on another node, alone", "push", "p99", 10.0),
    Scenario("login_queue", "p99: GET /me while 1,000 logins queue", "request", "p99", 50.0),
    Scenario("flood_1", "another's ack beside 1 flooding peer", "ack", target=None),
    Scenario("flood_50", "another's ack beside 50 flooding peers", "ack", target=None),
    Scenario("emit", "emit to one user from a backend", "event"),
    Scenario("emit_durable", "durable emit to one user from a backend", "event", target=None),
    Scenario("emit_durable_load", "p99: 1,000 durable emits a second from a backend", "event", "p99", 50.0),
    Scenario("webhook_request", "added by a webhook to DELETE /sessions", "of a request", "share", 5.0),
    Scenario("webhook_relay", "relay of a fact, in a worker", "fact", target=None),
    Scenario("webhook_beside", "DELETE /sessions, relay and webhook on its node", "request", target=None),
    Scenario("handshake_beside", "authenticated handshake, relay on its node", "handshake", target=None),
    Scenario("me", "GET /me, token seen before", "request"),
    Scenario("me_fresh", "GET /me, token never seen", "request"),
    Scenario("refresh", "POST /refresh", "request"),
    Scenario("sessions", "GET /sessions, 5 devices", "request"),
    Scenario("login", "POST /login, whole", "request", target=None),
    Scenario("login_rest", "POST /login, all but argon2", "of a login", figure="share", target=10.0),
)
GROUPS: tuple[tuple[Group, frozenset[str]], ...] = (
    (sockets, frozenset(SOCKETS)),
    (expiry_storm, frozenset(STORM)),
    (revocation_on_one_node, frozenset({"revocation_1"})),
    (revocation_on_two_nodes, frozenset({"revocation_2"})),
    (revocation_alone_on_one_node, frozenset({"revocation_alone_1"})),
    (revocation_alone_on_two_nodes, frozenset({"revocation_alone_2"})),
    (push_to_another_node, frozenset({"push_alone_2"})),
    (login_queue, frozenset({"login_queue"})),
    (one_flooder, frozenset({"flood_1"})),
    (fifty_flooders, frozenset({"flood_50"})),
    (emits, frozenset(BACKEND)),
    (webhook_of_worker, frozenset(OF_WORKER)),
    (webhook_beside_requests, frozenset(OF_NODE)),
    (requests, frozenset(HTTP)),
)
KEYS = tuple(scenario.key for scenario in SCENARIOS)
