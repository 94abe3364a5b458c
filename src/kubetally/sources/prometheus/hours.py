"""From the series of `queries` to the samples of each hour.

The price of an hour is the average of its samples. Exporters of one job replace each other or share the work, so their
samples count together. `domain.accrual` decides what accrues.
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
    """Samples of one job. sum: None if one of them is not a number."""

    sum: float | None = None
    samples: float = 0.0

    @property
    def average(self) -> float | None:
        """None if unknown."""
        return self.sum / self.samples if self.sum is not None and self.samples else None


_ByJob = dict[Key, _Price]


def _no_prices() -> _ByJob:
    return defaultdict(_Price)


@dataclass(slots=True)
class Samples:
    """The samples of one hour."""

    fee: _ByJob = field(default_factory=_no_prices)
    prices: dict[str, _ByJob] = field(default_factory=lambda: defaultdict(_no_prices))
    load_balancers: dict[Key, _ByJob] = field(default_factory=lambda: defaultdict(_no_prices))
    scrapes: dict[Key, dict[tuple[Key, str], float]] = field(default_factory=lambda: defaultdict(dict))
    sent: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    marks: set[Is] = field(default_factory=set)
    fullest_quarter: float | None = None

    @property
    def is_doubled(self) -> bool:
        """Whether several exporters export a flow, so that `sent` is too much."""
        return Is.DOUBLED in self.marks

    @property
    def is_cut(self) -> bool:
        """Whether traffic at the start or end of the hour was not scraped, and is lost."""
        return bool(self.sent) and not {Is.BEGINS, Is.ENDS} <= self.marks

    @property
    def unpriced(self) -> Iterator[tuple[str, float]]:
        """The classes with traffic and no price, with their bytes; `unknown` is one."""
        for name in (*NetworkBytes._fields, UNKNOWN):
            sent = self.sent.get(name)
            if sent and (name == UNKNOWN or _average(self.prices.get(name, {})) is None):
                yield name, sent

    @property
    def has_unpriced_load_balancer(self) -> bool:
        """Whether a load balancer has a sample that is not a number."""
        return any(_average(by_job) is None for by_job in self.load_balancers.values())


def foreign_series(url: str, series: Series) -> SourceError:
    """The error for a series that was not queried."""
    return SourceError(
        f"{url} returned a series that was not queried ({printable(str(series.labels), 200)}): give the address of "
        "the query API itself, past a proxy that changes queries or answers",
        code="series_not_asked",
    )


def check_all_requested(several: Iterable[Series], url: str) -> None:
    """Raises SourceError for a series that was not queried."""
    for series in several:
        if series.labels.get("is", "").removesuffix(SAMPLES) not in Is.__members__.values():
            raise foreign_series(url, series)


def best_labelled(several: Iterable[Series], account_labels: tuple[str, str]) -> list[Series]:
    """The series that are most likely the account's, hour by hour.

    A server may label some metrics only, and only from some day on: a series without the label of the cluster, or of
    the tenant, counts if none of its kind has it.
    """
    ranked = [(_kind(series), _rank(series, account_labels), series) for series in several]
    highest: dict[tuple[Is, float], tuple[bool, bool]] = {}
    for kind, rank, series in ranked:
        for at, _ in series.points:
            highest[kind, at] = max(rank, highest.get((kind, at), rank))
    kept = (
        replace(series, points=[point for point in series.points if rank == highest[kind, point[0]]])
        for kind, rank, series in ranked
    )
    return [series for series in kept if series.points]


def clusters_by_other_labels(several: Iterable[Series], cluster_label: str) -> Iterator[tuple[str, set[str]]]:
    """Labels that name several clusters in one hour, with the names, of series without `cluster_label`."""
    unlabelled = [series for series in several if _kind(series) is Is.CLUSTERS and not series.labels.get(cluster_label)]
    for label in OTHER_CLUSTER_LABELS:
        by_hour: dict[float, set[str]] = defaultdict(set)
        for series in unlabelled:
            if name := series.labels.get(label):
                for at, _ in series.points:
                    by_hour[at].add(name)
        if names := set[str]().union(*(names for names in by_hour.values() if len(names) > 1)):
            yield label, names


def samples_by_hour(several: Iterable[Series], replica_labels: Sequence[str]) -> defaultdict[int, Samples]:
    """The samples of each hour, by the Unix second at which it ends."""
    hours: defaultdict[int, Samples] = defaultdict(Samples)
    for series in several:
        _add(hours, series, replica_labels)
    return hours


def _kind(series: Series) -> Is:
    return Is(series.labels["is"].removesuffix(SAMPLES))


def _rank(series: Series, account_labels: tuple[str, str]) -> tuple[bool, bool]:
    tenant, cluster = (bool(series.labels.get(label)) for label in account_labels)
    return cluster, tenant


def _add(hours: Mapping[int, Samples], series: Series, replica_labels: Sequence[str]) -> None:
    labels, kind = series.labels, _kind(series)
    job = tuple(labels.get(label, "") for label in (*JOB_LABELS, *replica_labels))
    counts = labels["is"].endswith(SAMPLES)
    balancer, traffic_class = _balancer_of(labels), _class_of(labels)
    subject = (kind, *(balancer if kind is Is.BALANCER else ())), labels.get("instance", "")
    for at, value in series.points:
        hour = hours[round(at)]
        match kind:
            case Is.SENT:
                hour.sent[traffic_class] += value
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
                    hour.scrapes[job][subject] = hour.scrapes[job].get(subject, 0.0) + value
                else:
                    price.sum = value + (price.sum or 0.0)


def _prices_of(hour: Samples, kind: Is, balancer: Key) -> _ByJob:
    if kind is Is.FEE:
        return hour.fee
    return hour.load_balancers[balancer] if kind is Is.BALANCER else hour.prices[kind]


def _balancer_of(labels: Mapping[str, str]) -> Key:
    namespace = labels.get("exported_namespace") or labels.get("namespace", "")
    return namespace, labels.get("service_name", ""), labels.get("ingress_ip", "")


def _class_of(labels: Mapping[str, str]) -> str:
    """Where the bytes of a flow went: `free` within a zone, `unknown` without labels."""
    if labels.get("internet") == "true":
        return "internet"
    if (labels.get("same_zone") or labels.get("sameZone")) == "true":
        return "free"
    region = labels.get("same_region") or labels.get("sameRegion")
    return "zone" if region == "true" else "region" if region == "false" else UNKNOWN


def samples_of_hour(span: Window, samples: Samples) -> HourSamples:
    """The samples of an hour: prices by job, and for each load balancer the part of a job's scrapes that has it."""
    balancers = {
        (f"{namespace}/{service}", address): [
            PricedPart(price, min(1.0, of_job.samples / _scrapes(samples.scrapes[job])))
            for job, of_job in by_job.items()
            if (price := of_job.average) is not None
        ]
        for (namespace, service, address), by_job in samples.load_balancers.items()
    }
    return HourSamples(
        span,
        _prices(samples.fee),
        balancers,
        _bytes(samples),
        samples.sent.get(UNKNOWN, 0.0),
        {name: _prices(by_job) for name, by_job in samples.prices.items()},
    )


def _prices(by_job: _ByJob) -> list[float]:
    return [price for of_job in by_job.values() if (price := of_job.average) is not None]


def _average(by_job: _ByJob) -> float | None:
    return average(_prices(by_job))


def _scrapes(counts: Mapping[tuple[Key, str], float]) -> float:
    """How often a job was scraped: the most samples of one subject, of all instances together.

    Some jobs drop the instance from some metrics, which are of the same scrapes as the others.
    """
    by_subject: dict[Key, float] = defaultdict(float)
    for (subject, _), count in counts.items():
        by_subject[subject] += count
    return max(by_subject.values())


def _bytes(samples: Samples) -> NetworkBytes | None:
    if not samples.sent:
        return None
    # Whole bytes: a server adds up in varying order, which changes the last digits of a float.
    return NetworkBytes(*(float(round(samples.sent.get(name, 0.0))) for name in NetworkBytes._fields))
