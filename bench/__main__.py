"""`python -m bench`: measures Vigil and its peers, prints the tables, writes the figures (README.md)."""

import argparse
import asyncio
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import uvloop

from bench import profiles
from bench.accounting import Cores, raise_open_files
from bench.catalogue import GROUPS, KEYS, SCENARIOS
from bench.client import LoadError
from bench.load import Group, Options, Round
from bench.measures import Measure, Results
from bench.peers import (
    HERE,
    ONLY_VIGIL,
    ROOT,
    Peer,
    Stand,
    install_node_peer,
    node_peer,
    python_peer,
    running_services,
    vigil_peer,
)
from bench.report import as_json, as_markdown

PEERS = ("vigil", "node", "stock")
# Open files besides sockets: databases, pipes and the server's own.
SPARE_FILES = 500
GROUP_SECONDS = 600.0
STOCK_SKIPS = (
    frozenset({"revocation_1", "revocation_2", "login", "login_rest", "login_queue"})
    | {"revocation_alone_1", "revocation_alone_2", "emit", "emit_durable", "emit_durable_load"}
    | ONLY_VIGIL
)
LIBRARIES = ("aiohttp", "python-socketio", "python-engineio", "uvloop", "pymongo", "redis", "pyjwt", "argon2-cffi")


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; medians are reported (3)")
    parser.add_argument("--sockets", type=int, default=5000, help="sockets in socket scenarios (5000)")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated: vigil,node,stock")
    parser.add_argument("--only", default=",".join(KEYS), help=f"comma-separated: {','.join(KEYS)}")
    parser.add_argument("--quick", action="store_true", help="one round, 500 sockets, a fifth of the requests")
    parser.add_argument("--storm-seconds", type=int, metavar="N", help="lifetime of the expiry storm's tokens")
    parser.add_argument("--profile", action="store_true", help="also profile Vigil in each scenario")
    parser.add_argument("--json", type=Path, default=ROOT / "artefacts/bench.json", help="output file")
    parser.add_argument(
        "--together",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="do not measure; print one table of earlier runs",
    )
    parsed = parser.parse_args(arguments)
    for name, known in (("peers", PEERS), ("only", KEYS)):
        chosen = getattr(parsed, name).split(",")
        if unknown := set(chosen) - set(known):
            parser.error(f"--{name}: unknown: {', '.join(sorted(unknown))}")
        setattr(parsed, name, chosen)
    if min(parsed.rounds, parsed.sockets) < 1 or parsed.sockets < 100:
        parser.error("at least one round and 100 sockets are required")
    return parsed


def options_of(arguments: argparse.Namespace) -> Options:
    """Return the options of a run."""
    if arguments.quick:
        arguments.rounds, arguments.sockets = 1, min(arguments.sockets, 500)
    return Options(
        rounds=arguments.rounds,
        sockets=arguments.sockets,
        scale=0.2 if arguments.quick else 1.0,
        profile=arguments.profile,
        storm_seconds=arguments.storm_seconds,
    )


def peer_named(name: str) -> Peer:
    """Return the peer of that name."""
    if name == "node":
        return node_peer()
    if name == "stock":
        return python_peer("stock", "stock python-socketio", HERE / "peer-stock", "stock", STOCK_SKIPS)
    return vigil_peer()


async def measure(peers: Sequence[Peer], wanted: frozenset[str], options: Options, results: Results) -> None:
    """Run every group on every peer in every round; add each measurement to `results` immediately."""
    cores = Cores.choose()
    os.sched_setaffinity(0, cores.load)
    with tempfile.TemporaryDirectory(prefix="vigil-bench-") as folder:
        place = Path(folder)
        async with running_services(place / "services", cores) as services:
            for number in range(options.rounds):
                # Rotate the order of peers from round to round.
                turn = number % len(peers)
                for group, keys in GROUPS:
                    for peer in (*peers[turn:], *peers[:turn]):
                        if keys & wanted - peer.skips:
                            profiled = place if options.profile and peer.samples else None
                            stand = Stand(peer, services, cores, profiled)
                            await _one(group, Round(stand, options, wanted, number, results))


async def _one(group: Group, turn: Round) -> None:
    begun = time.monotonic()
    try:
        async with asyncio.timeout(GROUP_SECONDS), turn.stand:
            await group(turn)
    except TimeoutError:
        raise LoadError(f"{turn.peer.name}: {group.__name__} took more than {GROUP_SECONDS:.0f} s") from None
    _note(f"round {turn.number + 1}: {turn.peer.name:6} {group.__name__:24} {time.monotonic() - begun:5.0f} s")


def machine(options: Options) -> dict[str, Any]:
    """Describe the machine and the options of the run."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "rounds": options.rounds,
        "sockets": options.sockets,
        "scale": options.scale,
    }


async def run(arguments: argparse.Namespace) -> int:
    """Measure and report; after a failure, report what was measured so far. Returns the exit status."""
    task = asyncio.current_task()
    assert task is not None
    # As for Ctrl-C: unwinds and stops all started processes.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    options, results, failed = options_of(arguments), Results(), False
    if raise_open_files() < options.sockets + SPARE_FILES:
        raise LoadError(f"too few open files are allowed for {options.sockets} sockets: raise `ulimit -Hn`")
    if "node" in arguments.peers:
        await install_node_peer(Cores.choose())
    peers = [peer_named(name) for name in arguments.peers]
    log_context = machine(options)
    try:
        await measure(peers, frozenset(arguments.only), options, results)
    except LoadError as error:
        _note(f"bench: {error}")
        failed = True
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_bytes(
        orjson.dumps(as_json(SCENARIOS, results.measures, log_context), option=orjson.OPT_INDENT_2)
    )
    titles = {peer.name: peer.title for peer in peers}
    sys.stdout.write(as_markdown(SCENARIOS, titles, results.measures) + "\n")
    if results.profiles:
        sys.stdout.write("\n" + profiles.as_markdown(results.profiles) + "\n")
    return 1 if failed else 0


def together(files: Sequence[Path], peers: Sequence[str]) -> int:
    """Print one table of several runs. Raises `LoadError` for a file that does not contain a run."""
    measures: list[Measure] = []
    for file in files:
        try:
            measures += [Measure(**each) for each in orjson.loads(file.read_bytes())["measures"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LoadError(f"{file} does not contain a run's figures: {error}") from None
    measured = {each.peer for each in measures}
    titles = {peer.name: peer.title for peer in map(peer_named, peers) if peer.name in measured}
    sys.stdout.write(as_markdown(SCENARIOS, titles, measures) + "\n")
    return 0


def _note(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main() -> int:
    """Run the command line. A missing prerequisite prints one line and returns status 2."""
    if not sys.platform.startswith("linux"):
        _note("bench: this needs Linux's process accounting")
        return 2
    arguments = read_arguments(sys.argv[1:])
    try:
        if arguments.together:
            return together(arguments.together, arguments.peers)
        return uvloop.run(run(arguments))
    except LoadError as error:
        _note(f"bench: {error}")
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
