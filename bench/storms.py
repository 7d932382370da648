"""Storms: what happens when everybody comes at once. Simulated; the same seed gives the same storm."""

import math
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from bench.plan_figures import PlanError


@dataclass(frozen=True, slots=True)
class Retry:
    """How a client waits before its attempts: `first_s` doubling up to `longest_s`, and where chance comes in.

    `spread` is the share that chance takes: of the doubled delay on both sides with `before_cap`, as in
    socket.io-client, whose cap then cuts the chance off; else off the capped delay, as in Vigil's client.
    """

    name: str
    first_s: float
    longest_s: float
    spread: float
    before_cap: bool = False

    def delay(self, attempt: int, random: Random) -> float:
        """Seconds before attempt number `attempt`, counted from 0."""
        delay = self.first_s * 2.0 ** min(attempt, 16)
        if self.before_cap:
            return min(delay * (1 + self.spread * random.uniform(-1, 1)), self.longest_s)
        return min(delay, self.longest_s) * (1 - self.spread * random.random())


WITHOUT_JITTER = Retry("without jitter", 1, 5, 0)
SOCKET_IO_CLIENT = Retry("socket.io-client's own", 1, 5, 0.5, before_cap=True)
VIGIL_CLIENT = Retry("Vigil's client", 0.5, 30, 0.5)
WIDE = Retry("all chance, 20 to 30 s", 20, 30, 1)
RETRIES = (WITHOUT_JITTER, SOCKET_IO_CLIENT, VIGIL_CLIENT, WIDE)

# How many clients a simulation has; they stand for all, and the capacity is scaled with them.
SAMPLE = 10_000
STEP_S = 0.1
# A server that closes what is not authenticated in time: who would wait longer in line is turned away.
PATIENCE_S = 5.0
LONGEST_STORM_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Storm:
    """How a storm went. `peak_per_second`: attempts in its busiest second.

    `late`: whose token ended before it was renewed; `dropped`: who was not renewed in the grace period either.
    """

    clients: int
    served: int
    attempts: int
    peak_per_second: float
    all_served_s: float
    p50_wait_s: float
    p99_wait_s: float
    late: int = 0
    dropped: int = 0


def reconnect_storm(
    clients: int,
    per_second: float,
    retry: Retry,
    *,
    seed: int,
    patience_s: float = PATIENCE_S,
    sample: int = SAMPLE,
) -> Storm:
    """All of `clients` lose their sockets in one moment, when waits begin; `per_second` handshakes are served."""
    simulated, capacity = _sampled(clients, per_second, sample)
    random = Random(seed)  # noqa: S311 - a simulation, to be repeated

    def delay(attempt: int) -> float:
        return retry.delay(attempt, random)

    firsts = [delay(0) for _ in range(simulated)]
    line = _stand_in_line(firsts, capacity, patience_s, delay, random)
    return _storm(clients, line, [0.0] * simulated)


def expiry_storm(
    clients: int,
    per_second: float,
    *,
    lead_s: float,
    grace_s: float,
    jitter_share: float,
    issued_over_s: float,
    seed: int,
    sample: int = SAMPLE,
) -> Storm:
    """Tokens of `clients`, issued within `issued_over_s`, end one life later; each is renewed when it is warned.

    A warning comes `lead_s` ahead, less a share of it drawn up to `jitter_share` (realtime/expiry.py). Waits begin
    at the warning.
    """
    simulated, capacity = _sampled(clients, per_second, sample)
    random = Random(seed)  # noqa: S311 - a simulation, to be repeated
    ends = [lead_s + issued_over_s * random.random() for _ in range(simulated)]
    warnings = [end - lead_s * (1 - jitter_share * random.random()) for end in ends]
    line = _stand_in_line(warnings, capacity, math.inf, lambda _: 0.0, random)
    return replace(
        _storm(clients, line, warnings),
        late=_after(line, ends, clients),
        dropped=_after(line, [end + grace_s for end in ends], clients),
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """When each client was served, how often they came, and most of them in one second."""

    served_at: Sequence[float]
    attempts: int
    peak: int


def _stand_in_line(
    starts: Sequence[float], per_second: float, patience_s: float, again: Callable[[int], float], random: Random
) -> _Line:
    """Clients come at `starts`, stand in one line and are served in its order; everybody is in the end.

    Who finds a line longer than `patience_s` is turned away after that long, and comes `again(attempt)` later.
    """
    coming: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for client, start in enumerate(starts):
        coming[int(start / STEP_S)].append((client, 0))
    line: deque[int] = deque()
    served_at = [0.0] * len(starts)
    by_second: dict[int, int] = defaultdict(int)
    step, credit, attempts = 0, 0.0, 0
    while coming or line:
        if not line:
            step, credit = max(step, min(coming)), 0.0
        arrivals = coming.pop(step, [])
        random.shuffle(arrivals)
        attempts += len(arrivals)
        by_second[int(step * STEP_S)] += len(arrivals)
        for client, attempt in arrivals:
            if len(line) < max(per_second * patience_s, 1):
                line.append(client)
            else:
                later = step * STEP_S + patience_s + again(attempt + 1)
                coming[max(int(later / STEP_S), step + 1)].append((client, attempt + 1))
        credit += per_second * STEP_S
        while line and credit >= 1:
            served_at[line.popleft()] = (step + 1) * STEP_S
            credit -= 1
        step += 1
    return _Line(served_at, attempts, max(by_second.values(), default=0))


def _storm(clients: int, line: _Line, begun: Sequence[float]) -> Storm:
    """What became of those simulated, for all whom they stand for."""
    scale = clients / max(len(line.served_at), 1)
    waits = sorted(max(at - begin, 0) for at, begin in zip(line.served_at, begun, strict=True)) or [0.0]
    return Storm(
        clients=clients,
        served=round(sum(at > 0 for at in line.served_at) * scale),
        attempts=round(line.attempts * scale),
        peak_per_second=line.peak * scale,
        all_served_s=max(line.served_at, default=0.0),
        p50_wait_s=waits[math.ceil(0.5 * len(waits)) - 1],
        p99_wait_s=waits[math.ceil(0.99 * len(waits)) - 1],
    )


def _after(line: _Line, ends: Sequence[float], clients: int) -> int:
    late = sum(at > end for at, end in zip(line.served_at, ends, strict=True))
    return round(late * clients / max(len(ends), 1))


def _sampled(clients: int, per_second: float, sample: int) -> tuple[int, float]:
    """How many clients are simulated, and the capacity that goes with them."""
    if clients and (per_second <= 0 or clients / per_second > LONGEST_STORM_S):
        raise PlanError(f"{per_second:.3g} a second are too few for {clients:,} clients to be served within a day")
    simulated = min(clients, sample)
    return simulated, per_second * simulated / clients if clients else 1.0
