"""From the series that `queries` ask for to measured hours.

A price of an hour is the average of its samples; exporters of one job follow on one another or share the work, and
their samples count together; several jobs that show one thing are averaged, so that it counts once.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from kubetally.domain.component import NetworkClasses
from kubetally.domain.errors import SourceError
from kubetally.domain.infrastructure import BYTES_PER_GIB, MeasuredHour, NetworkBytes
from kubetally.domain.money import to_micros
from kubetally.domain.window import Window
from kubetally.sources.faults import printable
from kubetally.sources.prometheus.client import Series
from kubetally.sources.prometheus.queries import JOB_LABELS, SAMPLES, Is

Key = tuple[str, ...]


@dataclass(slots=True)
class _Price:
    """Of one job: the sum of samples, and how many they are."""

    sum: float = 0.0
    samples: float = 0.0


_ByJob = dict[Key, _Price]


def _no_prices() -> _ByJob:
    return defaultdict(_Price)


@dataclass(slots=True)
class Samples:
    """What the series say of one hour."""

    fee: _ByJob = field(default_factory=_no_prices)
    prices: dict[str, _ByJob] = field(default_factory=lambda: defaultdict(_no_prices))
    balancers: dict[Key, _ByJob] = field(default_factory=lambda: defaultdict(_no_prices))
    scrapes: dict[Key, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    sent: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    marks: set[Is] = field(default_factory=set)

    @property
    def is_doubled(self) -> bool:
        """Whether flows come from several exporters, so that `sent` is too much."""
        return Is.DOUBLED in self.marks

    @property
    def is_cut(self) -> bool:
        """Whether there is traffic, and no scrape of it where the hour begins or ends: what was sent then is lost."""
        return bool(self.sent) and not {Is.BEGINS, Is.ENDS} <= self.marks

    @property
    def unpriced(self) -> tuple[str, ...]:
        """The classes that have traffic and no price."""
        return tuple(name for name in NetworkBytes._fields if self.sent.get(name) and not self.prices.get(name))


class SeriesNotAsked(SourceError):
    """The server answered with series that no query of ours makes."""

    code = "series_not_asked"

    def __init__(self, url: str, labels: str) -> None:
        self.url, self.labels = url, printable(labels, 200)
        super().__init__(
            f"{url} answered with a series that was not asked for ({self.labels}): give the address of the query API "
            "itself, past a proxy that changes queries or answers"
        )


def see_that_all_were_asked(found: Iterable[Series], url: str) -> None:
    """Raises SeriesNotAsked."""
    for one in found:
        if one.labels.get("is", "").removesuffix(SAMPLES) not in Is.__members__.values():
            raise SeriesNotAsked(url, str(one.labels))


def best_labelled(found: Iterable[Series], account_labels: tuple[str, str]) -> list[Series]:
    """The series that are most surely the account's, hour by hour.

    A server may put its own labels on some metrics only, and only from some day on: what has no label of a cluster is
    taken where nothing of its kind has one, and so is what has none of a tenant.
    """
    ranked = [(_kind(one), _rank(one, account_labels), one) for one in found]
    highest: dict[tuple[Is, float], tuple[bool, bool]] = {}
    for kind, rank, one in ranked:
        for at, _ in one.points:
            highest[kind, at] = max(rank, highest.get((kind, at), rank))
    kept = (
        replace(one, points=[point for point in one.points if rank == highest[kind, point[0]]])
        for kind, rank, one in ranked
    )
    return [one for one in kept if one.points]


def samples_of(found: Iterable[Series]) -> defaultdict[int, Samples]:
    """What is known of each hour, by the second in which it ends; nothing of one that has no series."""
    hours: defaultdict[int, Samples] = defaultdict(Samples)
    for one in found:
        _enter(hours, one)
    return hours


def _kind(series: Series) -> Is:
    return Is(series.labels["is"].removesuffix(SAMPLES))


def _rank(series: Series, account_labels: tuple[str, str]) -> tuple[bool, bool]:
    tenant, cluster = (bool(series.labels.get(label)) for label in account_labels)
    return cluster, tenant


def _enter(hours: Mapping[int, Samples], series: Series) -> None:
    labels, kind = series.labels, _kind(series)
    job, instance = tuple(labels.get(label, "") for label in JOB_LABELS), labels.get("instance", "")
    counts = labels["is"].endswith(SAMPLES)
    balancer, to = _balancer_of(labels), class_of(labels)
    for at, value in series.points:
        hour = hours[round(at)]
        match kind:
            case Is.SCRAPES:
                hour.scrapes[job][instance] = value
            case Is.SENT:
                hour.sent[to] += value
            case Is.DOUBLED | Is.BEGINS | Is.ENDS:
                hour.marks.add(kind)
            case _:
                price = _prices_of(hour, kind, balancer)[job]
                if counts:
                    price.samples += value
                else:
                    price.sum += value


def _prices_of(hour: Samples, kind: Is, balancer: Key) -> _ByJob:
    if kind is Is.FEE:
        return hour.fee
    return hour.balancers[balancer] if kind is Is.BALANCER else hour.prices[kind]


def _balancer_of(labels: Mapping[str, str]) -> Key:
    namespace = labels.get("exported_namespace") or labels.get("namespace", "")
    return namespace, labels.get("service_name", ""), labels.get("ingress_ip", "")


def class_of(labels: Mapping[str, str]) -> str:
    """Where the bytes of a flow went; `free` inside a zone."""
    if labels.get("internet") == "true":
        return "internet"
    if (labels.get("same_zone") or labels.get("sameZone")) == "true":
        return "free"
    return "zone" if (labels.get("same_region") or labels.get("sameRegion")) == "true" else "region"


def measured_hour(span: Window, samples: Samples) -> MeasuredHour | None:
    """The hour in micros; None where nothing of it was measured."""
    if not (samples.fee or samples.balancers or samples.sent):
        return None
    return MeasuredHour(
        span,
        to_micros(_average(samples.fee)) if samples.fee else None,
        sum(_balancers(samples)) if samples.balancers else None,
        _network(samples),
        _bytes(samples),
    )


def _average(of_jobs: _ByJob) -> float:
    averages = [price.sum / price.samples for price in of_jobs.values() if price.samples]
    return sum(averages) / len(averages) if averages else 0.0


def _balancers(samples: Samples) -> Iterator[int]:
    """Micros of each balancer, for the part of the hour's scrapes that showed it, as the jobs see it that know it."""
    for of_jobs in samples.balancers.values():
        amounts = [_share(price, _scrapes(samples.scrapes[job])) for job, price in of_jobs.items() if price.samples]
        if amounts:
            yield to_micros(sum(amounts) / len(amounts))


def _scrapes(by_instance: Mapping[str, float]) -> float:
    """Of one job. Some drop the instance from some metrics, which are of the same scrapes as the others."""
    return max(by_instance.get("", 0.0), sum(count for instance, count in by_instance.items() if instance))


def _share(price: _Price, scrapes: float) -> float:
    return price.sum / price.samples * min(1.0, price.samples / scrapes if scrapes else 1.0)


def _bytes(samples: Samples) -> NetworkBytes | None:
    if not samples.sent:
        return None
    # Whole bytes: a server adds up in another order each time, which moves the last digits of a float.
    return NetworkBytes(*(float(round(samples.sent.get(name, 0.0))) for name in NetworkBytes._fields))


def _network(samples: Samples) -> NetworkClasses | None:
    """Micros of each class that has a price; None where there is traffic and none of it has one."""
    sent = _bytes(samples)
    if sent is None or (any(sent) and not any(samples.prices.get(name) for name in samples.sent)):
        return None
    prices = (_average(samples.prices.get(name, {})) for name in NetworkBytes._fields)
    amounts = zip(sent, prices, strict=True)
    return NetworkClasses(*(to_micros(amount / BYTES_PER_GIB * price) for amount, price in amounts))
