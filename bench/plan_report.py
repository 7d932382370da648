"""Renders a capacity plan as Markdown, and inserts it into a document."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields

from bench.plan import Plan, Rates, mongo_writes
from bench.plan_figures import SCENARIOS, Assumptions, Costs, PlanError, Stores
from bench.storms import RETRIES, SAMPLE, Storm, expiry_storm, reconnect_storm


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: str = "") -> list[str]:
    """Render a Markdown table; columns are right-aligned, except the first and the one headed `words`."""
    lines = [head, ["---", *("---" if title == words else "---:" for title in head[1:])], *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines] + [""]


def short(value: float) -> str:
    """Format a number with three significant digits and k, M or G."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if value >= limit:
            return f"{value / {' G': 1e9, ' M': 1e6, ' k': 1e3}[unit]:.3g}{unit}"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"


def size(value: float) -> str:
    """Format bytes in binary units."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if value >= 1024**power:
            number = value / 1024**power
            return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.2g} {unit}"
    return f"{value:.0f} B"


def report(
    plans: Sequence[Plan], costs: Costs, stores: Stores, given: Assumptions, *, seed: int, sample: int = SAMPLE
) -> str:
    """Render the whole report. `sample`: clients to simulate at most, for each storm."""
    lines = ["### Nodes, shards, network", "", *topology(plans, given)]
    lines += ["### Load in steady state, each second", "", *steady(plans)]
    lines += ["### A zone is lost", "", *zone_losses(plans, given, seed, sample)]
    lines += ["### A crowd comes back, by how much too many it is", "", *crowds(seed, sample)]
    lines += ["### Tokens end together", "", *expiries(plans, given, seed, sample)]
    lines += ["### Measured costs of a node", "", *table(("figure", "value"), _costs(costs))]
    lines += ["### Measured costs of the stores", "", *figures(stores)]
    lines += ["### Assumptions", "", *figures(given)]
    return "\n".join(lines)


def _rows(plans: Sequence[Plan], rows: Sequence[tuple[str, Callable[[Plan], str]]]) -> list[str]:
    head = ["", *(f"{each.sockets:,} sockets" for each in plans)]
    return table(head, [[title, *(show(each) for each in plans)] for title, show in rows])


def topology(plans: Sequence[Plan], given: Assumptions) -> list[str]:
    """Render nodes, shards and network."""
    return _rows(
        plans,
        [
            ("users online", lambda p: short(p.users)),
            ("**nodes** (processes, a core each)", lambda p: f"**{p.nodes.number:,}**"),
            ("sockets of a node", lambda p: short(p.sockets / p.nodes.number)),
            ("cores that work without pause", lambda p: short(p.nodes.load.steady)),
            ("memory of all sockets, the kernel's too", lambda p: size(p.nodes.bytes)),
            (f"**Redis shards**, {given.redis_copies:.0f} copies each", lambda p: f"**{p.redis.shards:,}**"),
            ("Redis: cores that work without pause", lambda p: short(p.redis.load.steady)),
            ("Redis: memory", lambda p: size(p.redis.bytes)),
            ("Redis: of that, users' logs", lambda p: size(p.redis.log_bytes)),
            (f"**MongoDB shards**, {given.mongo_copies:.0f} members each", lambda p: f"**{p.mongo.shards:,}**"),
            ("MongoDB: cores that work without pause", lambda p: short(p.mongo.load.steady)),
            ("MongoDB: writes a second", lambda p: short(mongo_writes(p.rates))),
            ("MongoDB: documents and indexes", lambda p: size(p.mongo.bytes)),
            ("MongoDB: of that, to be in memory", lambda p: size(p.mongo.hot_bytes)),
            ("network: packets a second, both ways", lambda p: short(p.packets)),
            ("network: bits a second, both ways", lambda p: short(p.bits) + "bit"),
            ("network: bits a second of a node", lambda p: short(p.bits / p.nodes.number) + "bit"),
        ],
    )


def steady(plans: Sequence[Plan]) -> list[str]:
    """Render the rates in steady state."""

    def row(name: str) -> tuple[str, Callable[[Plan], str]]:
        return name, lambda each: short(getattr(each.rates, name))

    return _rows(plans, [row(each.name) for each in fields(Rates)])


def zone_losses(plans: Sequence[Plan], given: Assumptions, seed: int, sample: int) -> list[str]:
    """Render the effect of losing a zone, by retry strategy."""
    rows = []
    for each in plans:
        lost = round(each.sockets / given.zones)
        for retry in RETRIES:
            storm = reconnect_storm(lost, each.handshakes_per_second, retry, seed=seed, sample=sample)
            rows.append([f"{short(lost)}, {retry.name}", short(each.handshakes_per_second), *_cells(storm)])
    return table(("clients, retry", "handshakes/s served", *_HEAD, "all back"), rows)


def crowds(seed: int, sample: int) -> list[str]:
    """Render the effect of retry strategies under overloads, stated in seconds of work for the server."""
    crowd, rows = 100_000, []
    for seconds in (10, 60, 300):
        for retry in RETRIES:
            storm = reconnect_storm(crowd, crowd / seconds, retry, seed=seed, sample=sample)
            rows.append([f"{seconds} s of work, {retry.name}", *_cells(storm)])
    return table((f"{short(crowd)} clients, retry", *_HEAD, "all back"), rows)


def expiries(plans: Sequence[Plan], given: Assumptions, seed: int, sample: int) -> list[str]:
    """Render the expiry of tokens issued together, with and without jitter."""
    rows = []
    for each in plans:
        clients, capacity = round(each.sockets * given.together_share), each.renewals_per_second
        for title, jitter, over in (
            ("same second, no jitter", 0.0, 1.0),
            ("same second, jitter", given.jitter_share, 1.0),
            ("same minute, jitter", given.jitter_share, 60.0),
        ):
            storm = expiry_storm(
                clients,
                capacity,
                lead_s=given.lead_s,
                grace_s=given.grace_s,
                jitter_share=jitter,
                issued_over_s=over,
                seed=seed,
                sample=sample,
            )
            cells = [*_cells(storm), short(storm.late), short(storm.dropped)]
            rows.append([f"{short(clients)}, {title}", short(capacity), *cells])
    head = ("tokens, issued in the", "renewals/s served", *_HEAD, "all renewed", "in grace", "sockets lost")
    return table(head, rows)


_HEAD = ("peak/s", "attempts each", "p50 wait", "p99 wait")


def _cells(storm: Storm) -> list[str]:
    each = storm.attempts / max(storm.clients, 1)
    times = (storm.p50_wait_s, storm.p99_wait_s, storm.all_served_s)
    return [short(storm.peak_per_second), f"{each:.1f}", *(f"{seconds:.1f} s" for seconds in times)]


def figures(found: Assumptions | Stores) -> list[str]:
    """Render all figures with unit and source."""
    rows = (
        (f"`{each.name}`", f"{getattr(found, each.name):,g} {each.metadata['unit']}", each.metadata["source"])
        for each in fields(found)
    )
    return table(("figure", "value", "source"), rows, words="source")


def _costs(costs: Costs) -> Iterable[tuple[str, str]]:
    for each in fields(costs):
        unit = "B" if each.name.endswith("bytes") else "µs"
        yield f"`{each.name}` (line `{SCENARIOS[each.name]}`)", f"{getattr(costs, each.name):,.0f} {unit}"


PLACE = ("<!-- begin: python -m bench.capacity -->\n", "<!-- end -->")


def put_in(document: str, text: str) -> str:
    """Return `document` with the text between the plan's markers replaced. Raises `PlanError` without markers."""
    before, begin, rest = document.partition(PLACE[0])
    _, end, after = rest.partition(PLACE[1])
    if not end:
        raise PlanError(f"there is no place for the plan between {PLACE[0].strip()} and {PLACE[1]}")
    return f"{before}{begin}\n{text}\n{end}{after}"
