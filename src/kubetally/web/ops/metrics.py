"""Metrics of the service for Prometheus. No label names an account or a caller."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kubetally.ledger.costs.progress import ClustersProgress
from kubetally.ledger.costs.service import CostService
from kubetally.ledger.diagnose.storage import StorageHealth, StorageProblemKind

MEDIA_TYPE: Final = "text/plain; version=0.0.4"
_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0)
_AGES = (1.0, 60.0, 180.0, 300.0, 600.0, 900.0)


class HttpMetrics:
    """Counts requests and what the cache did for them; what concerns sources is read from the service."""

    def __init__(self, service: CostService, version: str) -> None:
        self._registry = CollectorRegistry()
        self._requests: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._count = Counter(
            "kubetally_http_requests", "Requests answered.", ("path", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "kubetally_http_request_seconds",
            "How long answers took.",
            ("path",),
            registry=self._registry,
            buckets=_SECONDS,
        )
        questions = Counter(
            "kubetally_cache_questions", "Questions to the cache of costs.", ("result",), registry=self._registry
        )
        self._hits, self._misses = questions.labels("hit"), questions.labels("miss")
        self._ages = Histogram(
            "kubetally_cache_age_seconds", "Age of cached answers given.", registry=self._registry, buckets=_AGES
        )
        Gauge("kubetally_build_info", "The version.", ("version",), registry=self._registry).labels(version).set(1)
        self._registry.register(_OfService(service))

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request; `path` is one of our own, never what a caller made up."""
        found = self._requests.get((path, status))
        if found is None:
            found = self._requests[path, status] = self._count.labels(path, str(status)), self._seconds.labels(path)
        found[0].inc()
        found[1].observe(seconds)

    def cached(self, *, is_hit: bool, age_seconds: float) -> None:
        """Count what the cache did for a question."""
        if is_hit:
            self._hits.inc()
            self._ages.observe(age_seconds)
        else:
            self._misses.inc()

    def exposition(self, collecting: ClustersProgress | None = None, storage: StorageHealth | None = None) -> bytes:
        """All figures, as Prometheus reads them; those of collecting and of the stores where they are known."""
        momentary = CollectorRegistry()
        if collecting is not None:
            momentary.register(_OfCollecting(collecting))
        if storage is not None:
            momentary.register(_OfStorage(storage))
        return generate_latest(self._registry) + generate_latest(momentary)


class _OfService(Collector):
    def __init__(self, service: CostService) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        tally, labels = self._service.tally, ("question", "outcome")
        asked = CounterMetricFamily("kubetally_source_questions", "Questions to sources, by outcome.", labels=labels)
        seconds = CounterMetricFamily("kubetally_source_seconds", "How long they took altogether.", labels=labels)
        for key, number in list(tally.questions.items()):
            asked.add_metric(key, number)
            seconds.add_metric(key, tally.seconds[key])
        yield asked
        yield seconds
        yield GaugeMetricFamily("kubetally_cache_answers", "Answers remembered.", self._service.cached_answers)
        yield GaugeMetricFamily("kubetally_source_flights", "Answers under way.", self._service.loading_answers)


class _OfCollecting(Collector):
    def __init__(self, collecting: ClustersProgress) -> None:
        self._collecting = collecting

    def collect(self) -> Iterable[Metric]:
        clusters, progress = self._collecting.clusters, self._collecting.progress
        yield GaugeMetricFamily("kubetally_clusters", "Clusters to be collected.", clusters)
        behind = clusters - progress.accounts_held
        yield GaugeMetricFamily("kubetally_clusters_behind", "Clusters whose yesterday (UTC) is not stored.", behind)
        yield GaugeMetricFamily("kubetally_days_held", "Days of clusters in the lake.", progress.days_held)
        yield GaugeMetricFamily(
            "kubetally_days_failing", "Missing days whose last attempt failed.", progress.days_failing
        )
        yield GaugeMetricFamily(
            "kubetally_collecting_age_seconds",
            "Age of these metrics: half a minute at most, unless the database does not answer.",
            self._collecting.age_seconds,
        )
        if progress.last_collected is not None:
            yield GaugeMetricFamily(
                "kubetally_last_collected_timestamp_seconds",
                "When the latest stored collection began.",
                progress.last_collected.timestamp(),
            )


class _OfStorage(Collector):
    def __init__(self, storage: StorageHealth) -> None:
        self._storage = storage

    def collect(self) -> Iterable[Metric]:
        kinds = {problem.kind for problem in self._storage.problems}
        problems = GaugeMetricFamily(
            "kubetally_storage_problem", "1 while database, lake or a disk has this problem.", labels=("problem",)
        )
        for kind in StorageProblemKind:
            problems.add_metric((kind.value,), float(kind in kinds))
        yield problems
        yield GaugeMetricFamily("kubetally_days_damaged", "Stored days that can't be read.", self._storage.days_damaged)
        free = GaugeMetricFamily("kubetally_disk_free_bytes", "Free on the disk of a store.", labels=("store",))
        total = GaugeMetricFamily("kubetally_disk_size_bytes", "Size of the disk of a store.", labels=("store",))
        for store, space in self._storage.disks.items():
            free.add_metric((store,), space.free)
            total.add_metric((store,), space.total)
        yield free
        yield total
