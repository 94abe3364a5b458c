"""Sources of a cluster, opened with settings."""

from contextlib import AbstractAsyncContextManager

from kubetally.ledger.ports.clusters import AnyCluster
from kubetally.settings import Settings
from kubetally.sources.opencost.source import CostModelSource
from kubetally.sources.opener import AnyPrometheus
from kubetally.wiring.sources import source_opener


def open_source(cluster: AnyCluster, settings: Settings) -> AbstractAsyncContextManager[CostModelSource]:
    return source_opener(settings).source(cluster)


def open_metrics(cluster: AnyCluster, settings: Settings) -> AbstractAsyncContextManager[AnyPrometheus | None]:
    return source_opener(settings).prometheus(cluster)
