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
    """Counts requests and cache hits; figures of sources are read from the service."""

    def __init__(self, service: CostService, version: str) -> None:
        self._registry = CollectorRegistry()
        self._requests: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._count = Counter(
            "kubetally_http_requests", "Requests, by path and status.", ("path", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "kubetally_http_request_seconds",
            "Duration of requests.",
            ("path",),
            registry=self._registry,
            buckets=_SECONDS,
        )
        questions = Counter(
            "kubetally_cache_questions", "Requests to the cost cache, by result.", ("result",), registry=self._registry
        )
        self._hits, self._misses = questions.labels("hit"), questions.labels("miss")
        self._ages = Histogram(
            "kubetally_cache_age_seconds", "Age of cached answers when served.", registry=self._registry, buckets=_AGES
        )
        build = Gauge("kubetally_build_info", "Version of the service.", ("version",), registry=self._registry)
        build.labels(version).set(1)
        self._registry.register(_SourceCollector(service))

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request. path: of a route, never a client's own text."""
        metrics = self._requests.get((path, status))
        if metrics is None:
            metrics = self._requests[path, status] = self._count.labels(path, str(status)), self._seconds.labels(path)
        metrics[0].inc()
        metrics[1].observe(seconds)

    def count_cache(self, *, is_hit: bool, age_seconds: float) -> None:
        """Count a hit or miss of the cache. age_seconds: of the cached answer."""
        if is_hit:
            self._hits.inc()
            self._ages.observe(age_seconds)
        else:
            self._misses.inc()

    def exposition(self, collecting: ClustersProgress | None = None, storage: StorageHealth | None = None) -> bytes:
        """All metrics in the text format of Prometheus; those of collecting and of the stores if they are known."""
        current = CollectorRegistry()
        if collecting is not None:
            current.register(_CollectingCollector(collecting))
        if storage is not None:
            current.register(_StorageCollector(storage))
        return generate_latest(self._registry) + generate_latest(current)


class _SourceCollector(Collector):
    def __init__(self, service: CostService) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        tally, labels = self._service.tally, ("question", "outcome")
        requests = CounterMetricFamily("kubetally_source_questions", "Requests to sources, by outcome.", labels=labels)
        seconds = CounterMetricFamily(
            "kubetally_source_seconds", "Total duration of requests to sources.", labels=labels
        )
        for key, number in list(tally.questions.items()):
            requests.add_metric(key, number)
            seconds.add_metric(key, tally.seconds[key])
        yield requests
        yield seconds
        yield GaugeMetricFamily("kubetally_cache_answers", "Cached answers.", self._service.cached_answers)
        yield GaugeMetricFamily(
            "kubetally_source_flights", "Answers being read from sources.", self._service.loading_answers
        )


class _CollectingCollector(Collector):
    def __init__(self, collecting: ClustersProgress) -> None:
        self._collecting = collecting

    def collect(self) -> Iterable[Metric]:
        clusters, progress = self._collecting.clusters, self._collecting.progress
        yield GaugeMetricFamily("kubetally_clusters", "Clusters to collect.", clusters)
        behind = clusters - progress.accounts_held
        yield GaugeMetricFamily("kubetally_clusters_behind", "Clusters whose yesterday (UTC) is not stored.", behind)
        yield GaugeMetricFamily("kubetally_days_held", "Stored days of clusters.", progress.days_held)
        yield GaugeMetricFamily(
            "kubetally_days_failing", "Missing days whose last attempt failed.", progress.days_failing
        )
        yield GaugeMetricFamily(
            "kubetally_collecting_age_seconds",
            "Age of the metrics of collecting; above 30 the database does not answer.",
            self._collecting.age_seconds,
        )
        if progress.last_collected is not None:
            yield GaugeMetricFamily(
                "kubetally_last_collected_timestamp_seconds",
                "Start of the latest stored collection.",
                progress.last_collected.timestamp(),
            )


class _StorageCollector(Collector):
    def __init__(self, storage: StorageHealth) -> None:
        self._storage = storage

    def collect(self) -> Iterable[Metric]:
        kinds = {problem.kind for problem in self._storage.problems}
        problems = GaugeMetricFamily(
            "kubetally_storage_problem",
            "1 while database, lake or a disk has this problem.",
            labels=("problem",),
        )
        for kind in StorageProblemKind:
            problems.add_metric((kind.value,), float(kind in kinds))
        yield problems
        yield GaugeMetricFamily("kubetally_days_damaged", "Stored days that can't be read.", self._storage.days_damaged)
        free = GaugeMetricFamily("kubetally_disk_free_bytes", "Free space on the disk of a store.", labels=("store",))
        total = GaugeMetricFamily("kubetally_disk_size_bytes", "Size of the disk of a store.", labels=("store",))
        for store, space in self._storage.disks.items():
            free.add_metric((store,), space.free)
            total.add_metric((store,), space.total)
        yield free
        yield total
