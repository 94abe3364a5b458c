"""From the series that `queries` ask for to the samples of each hour.

A price of an hour is the average of its samples. Exporters of one job follow on one another or share the work, and
their samples count together. What accrues of them is decided in `domain.accrual`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kubetally.domain.accrual import HourSamples, PricedPart, average
from kubetally.domain.errors import SourceError
from kubetally.domain.infrastructure import NetworkBytes
from kubetally.domain.window import Window
from kubetally.sources.faults import printable
from kubetally.sources.prometheus.client import Series
from kubetally.sources.prometheus.queries import JOB_LABELS, OTHER_CLUSTER_LABELS, SAMPLES, Is

Key = tuple[str, ...]
UNKNOWN = "unknown"


@dataclass(slots=True)
class _Price:
    """Of one job: the sum of samples, None where one of them is no number, and how many they are."""

    sum: float | None = None
    samples: float = 0.0

    @property
    def average(self) -> float | None:
        """None where it is not known."""
        return self.sum / self.samples if self.sum is not None and self.samples else None


_ByJob = dict[Key, _Price]


def _no_prices() -> _ByJob:
    return defaultdict(_Price)


@dataclass(slots=True)
class Samples:
    """What the series say of one hour."""

    fee: _ByJob = field(default_factory=_no_prices)
    prices: dict[str, _ByJob] = field(default_factory=lambda: defaultdict(_no_prices))
    load_balancers: dict[Key, _ByJob] = field(default_factory=lambda: defaultdict(_no_prices))
    scrapes: dict[Key, dict[tuple[Key, str], float]] = field(default_factory=lambda: defaultdict(dict))
    sent: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    marks: set[Is] = field(default_factory=set)
    fullest_quarter: float | None = None

    @property
    def is_doubled(self) -> bool:
        """Whether flows come from several exporters, so that `sent` is too much."""
        return Is.DOUBLED in self.marks

    @property
    def is_cut(self) -> bool:
        """Whether there is traffic, and no scrape of it where the hour begins or ends: what was sent then is lost."""
        return bool(self.sent) and not {Is.BEGINS, Is.ENDS} <= self.marks

    @property
    def unpriced(self) -> Iterator[tuple[str, float]]:
        """The classes that have traffic and no price, with their bytes; `unknown` among them."""
        for name in (*NetworkBytes._fields, UNKNOWN):
            sent = self.sent.get(name)
            if sent and (name == UNKNOWN or _average(self.prices.get(name, {})) is None):
                yield name, sent

    @property
    def has_balancer_without_price(self) -> bool:
        """Whether a load balancer has a sample that is not a number."""
        return any(_average(of_jobs) is None for of_jobs in self.load_balancers.values())


def foreign_series(url: str, series: Series) -> SourceError:
    """The error for a series that no query of ours makes."""
    return SourceError(
        f"{url} returned a series that was not asked for ({printable(str(series.labels), 200)}): give the address of "
        "the query API itself, past a proxy that changes queries or answers",
        code="series_not_asked",
    )


def check_all_requested(found: Iterable[Series], url: str) -> None:
    """Raises SourceError for a series that no query of ours makes."""
    for series in found:
        if series.labels.get("is", "").removesuffix(SAMPLES) not in Is.__members__.values():
            raise foreign_series(url, series)


def best_labelled(found: Iterable[Series], account_labels: tuple[str, str]) -> list[Series]:
    """The series that are most surely the account's, hour by hour.

    A server may put its own labels on some metrics only, and only from some day on: what has no label of a cluster is
    taken where nothing of its kind has one, and so is what has none of a tenant.
    """
    ranked = [(_kind(series), _rank(series, account_labels), series) for series in found]
    highest: dict[tuple[Is, float], tuple[bool, bool]] = {}
    for kind, rank, series in ranked:
        for at, _ in series.points:
            highest[kind, at] = max(rank, highest.get((kind, at), rank))
    kept = (
        replace(series, points=[point for point in series.points if rank == highest[kind, point[0]]])
        for kind, rank, series in ranked
    )
    return [series for series in kept if series.points]


def clusters_by_other_labels(found: Iterable[Series], cluster_label: str) -> Iterator[tuple[str, set[str]]]:
    """Labels by which series without the cluster's own seem to be of several clusters in one hour, with their names."""
    unlabelled = [series for series in found if _kind(series) is Is.CLUSTERS and not series.labels.get(cluster_label)]
    for label in OTHER_CLUSTER_LABELS:
        of_hours: dict[float, set[str]] = defaultdict(set)
        for series in unlabelled:
            for at, _ in series.points:
                of_hours[at].add(series.labels.get(label, ""))
        names = set[str]().union(*(names - {""} for names in of_hours.values() if len(names - {""}) > 1))
        if names:
            yield label, names


def samples_of(found: Iterable[Series], replica_labels: Sequence[str]) -> defaultdict[int, Samples]:
    """What is known of each hour, by the second in which it ends; nothing of one that has no series."""
    hours: defaultdict[int, Samples] = defaultdict(Samples)
    for series in found:
        _enter(hours, series, replica_labels)
    return hours


def _kind(series: Series) -> Is:
    return Is(series.labels["is"].removesuffix(SAMPLES))


def _rank(series: Series, account_labels: tuple[str, str]) -> tuple[bool, bool]:
    tenant, cluster = (bool(series.labels.get(label)) for label in account_labels)
    return cluster, tenant


def _enter(hours: Mapping[int, Samples], series: Series, replica_labels: Sequence[str]) -> None:
    labels, kind = series.labels, _kind(series)
    job = tuple(labels.get(label, "") for label in (*JOB_LABELS, *replica_labels))
    counts = labels["is"].endswith(SAMPLES)
    balancer, to = _balancer_of(labels), class_of(labels)
    of_what = (kind, *(balancer if kind is Is.BALANCER else ())), labels.get("instance", "")
    for at, value in series.points:
        hour = hours[round(at)]
        match kind:
            case Is.SENT:
                hour.sent[to] += value
            case Is.DOUBLED | Is.BEGINS | Is.ENDS:
                hour.marks.add(kind)
            case Is.SPACING:
                hour.fullest_quarter = value
            case Is.CLUSTERS:
                pass
            case _:
                price = _prices_of(hour, kind, balancer)[job]
                if counts:
                    price.samples += value
                    hour.scrapes[job][of_what] = hour.scrapes[job].get(of_what, 0.0) + value
                else:
                    price.sum = value + (price.sum or 0.0)


def _prices_of(hour: Samples, kind: Is, balancer: Key) -> _ByJob:
    if kind is Is.FEE:
        return hour.fee
    return hour.load_balancers[balancer] if kind is Is.BALANCER else hour.prices[kind]


def _balancer_of(labels: Mapping[str, str]) -> Key:
    namespace = labels.get("exported_namespace") or labels.get("namespace", "")
    return namespace, labels.get("service_name", ""), labels.get("ingress_ip", "")


def class_of(labels: Mapping[str, str]) -> str:
    """Where the bytes of a flow went: `free` inside a zone, `unknown` where its labels do not say."""
    if labels.get("internet") == "true":
        return "internet"
    if (labels.get("same_zone") or labels.get("sameZone")) == "true":
        return "free"
    region = labels.get("same_region") or labels.get("sameRegion")
    return "zone" if region == "true" else "region" if region == "false" else UNKNOWN


def samples_of_hour(span: Window, samples: Samples) -> HourSamples:
    """The samples of an hour: prices by job, and the part of its scrapes in which a job saw a load balancer."""
    balancers = {
        (f"{namespace}/{service}", address): [
            PricedPart(price, min(1.0, of_job.samples / _scrapes(samples.scrapes[job])))
            for job, of_job in of_jobs.items()
            if (price := of_job.average) is not None
        ]
        for (namespace, service, address), of_jobs in samples.load_balancers.items()
    }
    return HourSamples(
        span,
        _prices(samples.fee),
        balancers,
        _bytes(samples),
        samples.sent.get(UNKNOWN, 0.0),
        {name: _prices(of_jobs) for name, of_jobs in samples.prices.items()},
    )


def _prices(of_jobs: _ByJob) -> list[float]:
    return [price for of_job in of_jobs.values() if (price := of_job.average) is not None]


def _average(of_jobs: _ByJob) -> float | None:
    return average(_prices(of_jobs))


def _scrapes(counts: Mapping[tuple[Key, str], float]) -> float:
    """How often a job was scraped: as often as what has most samples. Several series of one thing count together.

    Some drop the instance from some metrics, which are of the same scrapes as the others.
    """
    by_thing: dict[Key, dict[str, float]] = defaultdict(dict)
    for (thing, instance), count in counts.items():
        by_thing[thing][instance] = count
    return max(sum(of_thing.values()) for of_thing in by_thing.values())


def _bytes(samples: Samples) -> NetworkBytes | None:
    if not samples.sent:
        return None
    # Whole bytes: a server adds up in another order each time, which moves the last digits of a float.
    return NetworkBytes(*(float(round(samples.sent.get(name, 0.0))) for name in NetworkBytes._fields))
