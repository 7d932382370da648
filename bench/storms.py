"""Simulations of many clients reconnecting or renewing at once. The same seed gives the same result."""

import math
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from bench.plan_figures import PlanError


@dataclass(frozen=True, slots=True)
class Retry:
    """A client's backoff: `first_s`, doubling up to `longest_s`, with jitter.

    `spread`: share of the delay that is random. With `before_cap`, it is added on both sides before the cap, as in
    socket.io-client, so that capped delays lose their jitter; otherwise it is subtracted after the cap, as in
    Vigil's client.
    """

    name: str
    first_s: float
    longest_s: float
    spread: float
    before_cap: bool = False

    def delay(self, attempt: int, random: Random) -> float:
        """Return the seconds before an attempt, counted from 0."""
        delay = self.first_s * 2.0 ** min(attempt, 16)
        if self.before_cap:
            return min(delay * (1 + self.spread * random.uniform(-1, 1)), self.longest_s)
        return min(delay, self.longest_s) * (1 - self.spread * random.random())


WITHOUT_JITTER = Retry("without jitter", 1, 5, 0)
SOCKET_IO_CLIENT = Retry("socket.io-client's own", 1, 5, 0.5, before_cap=True)
VIGIL_CLIENT = Retry("Vigil's client", 1.75, 30, 6 / 7)
WIDE = Retry("all chance, 20 to 30 s", 20, 30, 1)
RETRIES = (WITHOUT_JITTER, SOCKET_IO_CLIENT, VIGIL_CLIENT, WIDE)

# Number of simulated clients; they represent all clients, and the capacity is scaled accordingly.
SAMPLE = 10_000
STEP_S = 0.1
# The server closes sockets that do not authenticate in time: clients that would queue for longer are refused.
PATIENCE_S = 5.0
LONGEST_STORM_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Storm:
    """Result of a storm. `peak_per_second`: attempts in the busiest second.

    `late`: clients renewed after their token expired. `dropped`: clients not renewed within the grace period.
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
    """Simulate `clients` that lose their sockets at once; `per_second` handshakes are served. Waits start then."""
    simulated, capacity = _sampled(clients, per_second, sample)
    random = Random(seed)  # noqa: S311 - a simulation, to be repeated

    def delay(attempt: int) -> float:
        return retry.delay(attempt, random)

    firsts = [delay(0) for _ in range(simulated)]
    queue = _simulate_queue(firsts, capacity, patience_s, delay, random)
    return _storm(clients, queue, [0.0] * simulated)


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
    """Simulate `clients` whose tokens, issued within `issued_over_s`, expire together; each renews when warned.

    The warning comes `lead_s` before expiry, reduced by a random share up to `jitter_share`
    (realtime/gateway/expiry.py). Waits start at the warning.
    """
    simulated, capacity = _sampled(clients, per_second, sample)
    random = Random(seed)  # noqa: S311 - a simulation, to be repeated
    ends = [lead_s + issued_over_s * random.random() for _ in range(simulated)]
    warnings = [end - lead_s * (1 - jitter_share * random.random()) for end in ends]
    queue = _simulate_queue(warnings, capacity, math.inf, lambda _: 0.0, random)
    return replace(
        _storm(clients, queue, warnings),
        late=_after(queue, ends, clients),
        dropped=_after(queue, [end + grace_s for end in ends], clients),
    )


@dataclass(frozen=True, slots=True)
class _Queue:
    """Result of a simulation: time of service of each client, attempts, and maximum attempts in one second."""

    served_at: Sequence[float]
    attempts: int
    peak: int


def _simulate_queue(
    starts: Sequence[float], per_second: float, patience_s: float, delay: Callable[[int], float], random: Random
) -> _Queue:
    """Simulate clients that arrive at `starts` and are served in order from one queue, until all are served.

    A client that finds a queue longer than `patience_s` is refused after that time, and retries `delay(attempt)`
    later.
    """
    coming: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for client, start in enumerate(starts):
        coming[int(start / STEP_S)].append((client, 0))
    queue: deque[int] = deque()
    served_at = [0.0] * len(starts)
    by_second: dict[int, int] = defaultdict(int)
    step, credit, attempts = 0, 0.0, 0
    while coming or queue:
        if not queue:
            step, credit = max(step, min(coming)), 0.0
        arrivals = coming.pop(step, [])
        random.shuffle(arrivals)
        attempts += len(arrivals)
        by_second[int(step * STEP_S)] += len(arrivals)
        for client, attempt in arrivals:
            if len(queue) < max(per_second * patience_s, 1):
                queue.append(client)
            else:
                later = step * STEP_S + patience_s + delay(attempt + 1)
                coming[max(int(later / STEP_S), step + 1)].append((client, attempt + 1))
        credit += per_second * STEP_S
        while queue and credit >= 1:
            served_at[queue.popleft()] = (step + 1) * STEP_S
            credit -= 1
        step += 1
    return _Queue(served_at, attempts, max(by_second.values(), default=0))


def _storm(clients: int, queue: _Queue, begun: Sequence[float]) -> Storm:
    """Scale the result of the simulated clients to all clients."""
    scale = clients / max(len(queue.served_at), 1)
    waits = sorted(max(at - begin, 0) for at, begin in zip(queue.served_at, begun, strict=True)) or [0.0]
    return Storm(
        clients=clients,
        served=round(sum(at > 0 for at in queue.served_at) * scale),
        attempts=round(queue.attempts * scale),
        peak_per_second=queue.peak * scale,
        all_served_s=max(queue.served_at, default=0.0),
        p50_wait_s=waits[math.ceil(0.5 * len(waits)) - 1],
        p99_wait_s=waits[math.ceil(0.99 * len(waits)) - 1],
    )


def _after(queue: _Queue, ends: Sequence[float], clients: int) -> int:
    late = sum(at > end for at, end in zip(queue.served_at, ends, strict=True))
    return round(late * clients / max(len(ends), 1))


def _sampled(clients: int, per_second: float, sample: int) -> tuple[int, float]:
    """Return the number of simulated clients and the scaled capacity."""
    if clients and (per_second <= 0 or clients / per_second > LONGEST_STORM_S):
        raise PlanError(f"{per_second:.3g} per second are too few to serve {clients:,} clients within a day")
    simulated = min(clients, sample)
    return simulated, per_second * simulated / clients if clients else 1.0
