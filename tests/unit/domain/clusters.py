"""Small clusters as text and as hypothesis strategies, and ledgers as text to hold against them.

A cluster is one line a resource; a key with a colon names what a cost arose on:

    node n1           cpu 8 ram 2
    disk d1           1.20 volume:pvc-1
    local n1-root     0.30
    balancer shop/web 0.60
    network net       0.10
    fee fee           2.40
    hour 3            fee 0.10 lb 0.05 internet 0.02
    pod shop/web-1 @n1  cpu 3 ram 1 pv:pvc-1 1.20 lb:shop/web 0.60 net 0.05 deploy:web
    idle @n1          cpu 5 ram 1
    unmounted         lb 0.60 services:web,web
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from hypothesis import strategies as st

from kubetally.domain.allocation import Allocation, Kind, LoadBalancerCost, VolumeCost
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.booked_report import report_bookings
from kubetally.domain.booking import Booking, book
from kubetally.domain.component import Component, Costs, NetworkClasses
from kubetally.domain.efficiency import Hours
from kubetally.domain.infrastructure import Infrastructure, MeasuredHour, NetworkBytes, clock_hours
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import to_decimal, to_micros
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.reading import Reading
from kubetally.domain.report import ClusterReport
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.status import DayState
from kubetally.domain.window import DAY, HOUR, Window

T = TypeVar("T")
MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)
TODAY = Window(MIDNIGHT, MIDNIGHT + DAY)
SOURCE = "http://opencost.test"
OPENCOST = SourceIdentity(SOURCE, "OpenCost", "1.118.0")
METRICS = "http://prometheus.test"

_KINDS = {"pod": Kind.WORKLOAD, "idle": Kind.IDLE, "unmounted": Kind.UNMOUNTED, "overhead": Kind.OVERHEAD}
_ASSETS = {
    "node": (AssetType.NODE, None),
    "disk": (AssetType.DISK, Component.PV),
    "local": (AssetType.DISK, Component.NODE_DISK),
    "balancer": (AssetType.LOAD_BALANCER, Component.LOAD_BALANCER),
    "network": (AssetType.NETWORK, Component.NETWORK),
    "fee": (AssetType.MANAGEMENT, Component.MANAGEMENT),
}
_SHORT = {"lb": Component.LOAD_BALANCER, "net": Component.NETWORK}
_CLASSES = ("internet", "region", "zone")


# ------------------------------------------------------------------------------------------------ clusters as text


def reading(text: str, *, without_assets: bool = False) -> Reading:
    """What a source would answer of the cluster in `text` for a whole day; `without_assets`: it gave no such answer."""
    lines = [line.split() for line in text.strip().splitlines() if line.strip()]
    assets = [_asset(words) for words in lines if words[0] in _ASSETS]
    return Reading(
        window=TODAY,
        allocations=[_allocation(words) for words in lines if words[0] in _KINDS],
        assets=None if without_assets else assets,
        covered=(TODAY,),
        currency="USD",
        source=SOURCE,
        infrastructure=measured(text),
        figure_rounding=5,
    )


def measured(text: str) -> Infrastructure | None:
    """What a Prometheus measured: a line an hour of the day; None where no line tells any."""
    hours = [hour for hour in (line.split() for line in text.strip().splitlines()) if hour and hour[0] == "hour"]
    return Infrastructure(TODAY, tuple(_measured_hour(words) for words in hours), METRICS) if hours else None


def _measured_hour(words: Sequence[str]) -> MeasuredHour:
    told = {key: micros(figure) for key, figure in zip(words[2::2], words[3::2], strict=True)}
    classes = {name: told[name] for name in _CLASSES if name in told}
    start = MIDNIGHT + int(words[1]) * HOUR
    return MeasuredHour(
        Window(start, start + HOUR),
        told.get("fee"),
        told.get("lb"),
        NetworkClasses(**classes) if classes else None,
        NetworkBytes() if classes else None,
    )


def booked(text: str, *, without_assets: bool = False) -> Booking:
    """The cluster in `text`, booked."""
    return book(reading(text, without_assets=without_assets))


def ledger(booking: Booking) -> list[str]:
    """A booking as lines: its bill, one line for each kind of row and cause, and whether it is assets_complete."""
    lines = [f"bill {_figures(booking.bill)}"]
    for kind in Kind:
        for cause in dict.fromkeys(row.cause for row in booking.rows if row.kind is kind):
            costs = Costs.sum(row.costs for row in booking.rows if row.kind is kind and row.cause is cause)
            lines.append(f"{kind}{f' {cause}' if cause else ''} {_figures(costs)}")
    return [line.strip() for line in [*lines, "assets_complete" if booking.assets_complete else "assets_incomplete"]]


def written(text: str) -> list[str]:
    """A ledger as a test writes it, to be held against `ledger`."""
    return [" ".join(line.split()) for line in text.strip().splitlines() if line.strip()]


def kinds_of(issues: Iterable[Issue]) -> set[IssueKind]:
    """Which kinds of issue there are."""
    return {issue.kind for issue in issues}


def each_once(rows: Iterable[Allocation]) -> list[Allocation]:
    """The rows without those that are equal to an earlier one."""
    kept: list[Allocation] = []
    for row in rows:
        if row not in kept:
            kept.append(row)
    return kept


def cluster_costs(
    *bookings: Booking,
    issues: Sequence[Issue] = (),
    window: Window | None = None,
    source: SourceIdentity = OPENCOST,
    currency: str = "USD",
) -> ClusterReport:
    """The answer made of `bookings`."""
    spans = [booking.window for booking in bookings] or [TODAY]
    over = window or Window(min(span.start for span in spans), max(span.end for span in spans))
    return report_bookings(
        CostQuestion(over),
        bookings,
        hours_asked=over.hours,
        state=DayState.PROVISIONAL,
        currency=currency,
        source=source,
        issues=issues,
    )


def micros(amount: str | float) -> int:
    """Micros of an amount as a person writes it."""
    return to_micros(Decimal(str(amount)))


def _figures(costs: Costs) -> str:
    short = {component: name for name, component in _SHORT.items()}
    named = [(component, costs.of(component)) for component in Component]
    return " ".join(
        f"{short.get(component, component)} {to_decimal(amount).normalize():f}" for component, amount in named if amount
    )


def _pairs(words: Sequence[str]) -> Iterable[tuple[str, str, str]]:
    """Key, what stands after its colon, and the figure: `pv:d1 1.20` is ("pv", "d1", "1.20"), `hour:3` has none."""
    rest = iter(words)
    for word in rest:
        key, _, name = word.partition(":")
        yield key, name, "" if key in {"services", "hour", "deploy", "volume", "container"} else next(rest)


def _on_resource(row: Allocation, component: Component, name: str, amount: int) -> Allocation:
    if component is Component.PV:
        return row._replace(volumes=(*row.volumes, VolumeCost(name, amount)))
    return row._replace(load_balancers=(*row.load_balancers, LoadBalancerCost(name, amount)))


def _allocation(words: Sequence[str]) -> Allocation:
    kind, rest = _KINDS[words[0]], list(words[1:])
    row = Allocation(kind, TODAY, minutes=1440.0)
    if kind is Kind.WORKLOAD:
        namespace, _, pod = rest.pop(0).partition("/")
        row = row._replace(namespace=namespace, pod=pod, container="main")
    if rest and rest[0].startswith("@"):
        row = row._replace(node=rest.pop(0)[1:])
    costs: dict[Component, int] = {}
    hours: dict[str, float] = {}
    classes: dict[str, int] = {}
    for key, name, figure in _pairs(rest):
        if key == "hour":
            start = MIDNIGHT + int(name) * HOUR
            row = row._replace(step=Window(start, start + HOUR), minutes=60.0)
        elif key == "services":
            row = row._replace(services=tuple(name.split(",")))
        elif key == "deploy":
            row = row._replace(controller_kind="deployment", controller=name)
        elif key == "container":
            row = row._replace(container=name)
        elif key in Hours._fields:
            hours[key] = float(figure)
        elif key in _CLASSES:
            classes[key] = micros(figure)
        else:
            component = _SHORT.get(key) or Component(key)
            costs[component] = costs.get(component, 0) + micros(figure)
            if name:
                row = _on_resource(row, component, name, micros(figure))
    total = Costs.from_mapping(costs)
    return row._replace(costs=total, hours=Hours(**hours), network_classes=NetworkClasses(**classes), total=sum(total))


def _asset(words: Sequence[str]) -> Asset:
    kind, component = _ASSETS[words[0]]
    name, rest = words[1], words[2:]
    if component is None:
        costs = Costs.from_mapping({Component(key): micros(figure) for key, _, figure in _pairs(rest)})
        return Asset(kind, name, frozenset({name}), TODAY, costs)
    names = frozenset({name, *(volume for key, volume, _ in _pairs(rest[1:]) if key == "volume")})
    return Asset(kind, name, names, TODAY, Costs.from_mapping({component: micros(rest[0])}))


# ---------------------------------------------------------------------------------------------- clusters at random

instants = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - as hypothesis wants it
lengths = st.one_of(
    st.timedeltas(0 * DAY, 5 * DAY),
    st.integers(0, 5 * 24).map(lambda hours: hours * HOUR),
    st.integers(0, 5 * 24 * 60).map(lambda minutes: minutes * HOUR / 60),
)
starts = st.one_of(instants, instants.map(lambda at: at.replace(minute=0, second=0, microsecond=0)))
windows = st.builds(lambda start, length: Window(start, start + length), starts, lengths)

steps = st.sampled_from(
    [TODAY, *(Window(MIDNIGHT + hour * HOUR, MIDNIGHT + (hour + 1) * HOUR) for hour in (0, 1, 2, 23))]
)


class Bytes:
    """Figures and names made of random bytes: a row takes one draw of Hypothesis, not forty. Zeros make nothing."""

    SIZE = 192

    def __init__(self, data: bytes) -> None:
        self._numbers = int.from_bytes(data, "little")

    def below(self, limit: int) -> int:
        """A number from 0 up to the limit, which is left out."""
        self._numbers, number = divmod(self._numbers, limit)
        return number

    def any_of(self, several: Sequence[T]) -> T:
        return several[self.below(len(several))]

    def amount(self, least: int, most: int) -> int:
        """Micros: often 0, sometimes a few, also below zero where `least` is."""
        match self.below(4):
            case 0:
                return 0
            case 1:
                return max(least, self.below(7) - 3)
        return least + self.below(most - least + 1)

    def quantity(self) -> float:
        """A figure that is no cost: often 0, or with a long fraction."""
        kind = self.below(4)
        return 0.0 if kind == 0 else self.below(2**30) / (1.0, 3.0, 2.0**20)[kind - 1]

    def measured(self) -> float | None:
        return None if self.below(3) == 2 else self.quantity()

    def some(self, most: int, make: Callable[[], T]) -> tuple[T, ...]:
        return tuple(make() for _ in range(self.below(most + 1)))


_SERVICES, _VOLUMES = ("web", "api", "unlisted"), ("pvc-1", "pvc-2", "pvc-unlisted")
_KINDS_OF_ROWS = (Kind.WORKLOAD, Kind.WORKLOAD, Kind.WORKLOAD, Kind.IDLE, Kind.UNMOUNTED, Kind.OVERHEAD)
random_bytes = st.binary(min_size=Bytes.SIZE, max_size=Bytes.SIZE).map(Bytes)


def _hours_of_row(data: Bytes) -> Hours:
    return Hours(
        *(
            data.measured() if name.endswith(("request_hours", "usage_hours")) else data.quantity()
            for name in Hours._fields
        )
    )


hours_of_rows = random_bytes.map(_hours_of_row)


@st.composite
def allocations(draw: st.DrawFn, step: st.SearchStrategy[Window] = steps) -> Allocation:
    """One row of any kind, with pieces that need not fit its costs."""
    data, when = draw(random_bytes), draw(step)
    kind = data.any_of(_KINDS_OF_ROWS)
    is_workload = kind is Kind.WORKLOAD

    def amount() -> int:
        return data.amount(-2_000_000, 20_000_000)

    costs = Costs(cpu=amount(), ram=amount(), gpu=amount(), pv=amount(), load_balancer=amount(), network=amount())
    costs = costs._replace(shared=amount(), external=amount())
    names = Allocation(kind, when, node=data.any_of(("n1", "n2", "fargate-1", None)))
    if is_workload:
        names = names._replace(
            namespace=data.any_of(("shop", "batch", None)),
            controller_kind=data.any_of(("deployment", "statefulset", None)),
            controller=data.any_of(("web", "api", None)),
            pod=data.any_of(("web-1", "web-2", "api-1", None)),
            container=data.any_of(("main", "proxy")),
        )
    return names._replace(
        services=data.some(3, lambda: data.any_of(_SERVICES)),
        minutes=when.hours * 60 * data.below(1441) / 1440,
        hours=_hours_of_row(data),
        costs=costs,
        network_classes=NetworkClasses(amount(), amount(), amount()),
        volumes=data.some(2, lambda: VolumeCost(data.any_of(_VOLUMES), amount(), data.quantity())),
        load_balancers=data.some(
            2,
            lambda: LoadBalancerCost(
                f"shop/{data.any_of(_SERVICES)}", amount(), data.quantity(), data.any_of((None, True, False))
            ),
        ),
        total=costs.total,
    )


_OF_A_CLUSTER = (
    (AssetType.NODE, "n1", ()),
    (AssetType.NODE, "n2", ()),
    (AssetType.DISK, "disk-1", ("pvc-1",)),
    (AssetType.DISK, "pvc-2", ()),
    (AssetType.DISK, "n1-root", ()),
    (AssetType.LOAD_BALANCER, "shop/web", ()),
    (AssetType.LOAD_BALANCER, "batch/web", ()),
    (AssetType.LOAD_BALANCER, "shop/api", ()),
    (AssetType.NETWORK, "net", ()),
    (AssetType.MANAGEMENT, "fee", ()),
)


def _costs_of_asset(kind: AssetType, name: str, data: Bytes) -> Costs:
    def amount() -> int:
        return data.amount(-1_000_000 if data.below(4) == 3 else 0, 30_000_000)

    match kind:
        case AssetType.NODE:
            return Costs(cpu=amount(), ram=amount(), gpu=amount())
        case AssetType.DISK:
            return Costs(node_disk=amount()) if name == "n1-root" else Costs(pv=amount())
        case AssetType.LOAD_BALANCER:
            return Costs(load_balancer=amount())
        case AssetType.NETWORK:
            return Costs(network=amount())
    return Costs(management=amount())


def _assets_of(data: Bytes) -> list[Asset]:
    return [
        Asset(kind, name, frozenset({name, *also}), TODAY, _costs_of_asset(kind, name, data), hours=24.0)
        for kind, name, also in _OF_A_CLUSTER
        if data.below(2)
    ]


def assets() -> st.SearchStrategy[list[Asset]]:
    """Any of a small cluster's assets, some of them missing."""
    return random_bytes.map(_assets_of)


def _infrastructure_of(data: Bytes) -> Infrastructure:
    def measured_amount() -> int | None:
        return None if data.below(3) == 0 else data.amount(0, 5_000_000)

    hours = []
    for hour in clock_hours(TODAY):
        if data.below(4):
            continue
        sent = classes = None
        if data.below(3):
            sent = NetworkBytes(data.quantity(), data.quantity(), data.quantity())
            classes = NetworkClasses(*(data.amount(0, 30_000_000) for _ in range(3)))
        hours.append(MeasuredHour(hour, measured_amount(), measured_amount(), classes, sent))
    return Infrastructure(TODAY, tuple(hours), METRICS)


def infrastructures() -> st.SearchStrategy[Infrastructure]:
    """What a Prometheus may have measured of the day: any of its hours, any part of each."""
    return random_bytes.map(_infrastructure_of)


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    """Any answer of a source for a day."""
    rows = draw(st.lists(allocations(), max_size=8))
    return Reading(
        window=TODAY,
        allocations=rows,
        assets=draw(st.one_of(st.none(), assets(), assets())),
        covered=(TODAY,) if rows else (),
        currency="USD",
        source=SOURCE,
        infrastructure=draw(st.one_of(st.none(), infrastructures())),
        figure_rounding=5,
    )


@st.composite
def booked_days(draw: st.DrawFn) -> list[Booking]:
    """One to three days of a cluster, each booked for itself."""
    days = []
    for number, reading in enumerate(draw(st.lists(readings(), min_size=1, max_size=3))):
        window = Window(TODAY.start + number * DAY, TODAY.end + number * DAY)
        days.append(replace(book(reading), window=window, covered=(window,)))
    return days


def answers() -> st.SearchStrategy[ClusterReport]:
    """A cluster's costs over one to three days."""
    return booked_days().map(lambda days: cluster_costs(*days))
