"""Sources of clusters, with the settings."""

from contextlib import AbstractAsyncContextManager

from kubetally import __version__
from kubetally.ledger.ports.clusters import AnyCluster
from kubetally.settings import Settings
from kubetally.sources.kubernetes.discoveries import Discoveries
from kubetally.sources.opencost.source import CostModelSource
from kubetally.sources.opener import AnyPrometheus, SourceOpener, SourceOptions
from kubetally.sources.transport import Limits
from kubetally.tasks import Calculate, calculate_here
from kubetally.wiring.access import access_of, prometheus_access_of
from kubetally.wiring.environment import read_settings


def source_opener(
    settings: Settings, discoveries: Discoveries | None = None, calculate: Calculate = calculate_here
) -> SourceOpener:
    """What opens sources with these settings."""
    options = SourceOptions(
        lambda url, own: access_of(url, settings, own),
        lambda url, own: prometheus_access_of(url, settings, own),
        limits_of(settings),
        settings.parallel_questions,
        template=settings.source_template,
        namespace=settings.source_namespace,
        default_url=settings.kubecost_api_url,
        cluster_id=settings.cluster_id,
        currency=settings.currency,
        profile=settings.savings_profile,
        prometheus_url=settings.prometheus_url,
        prometheus_resolution=settings.prometheus_resolution,
        tenant_label=settings.tenant_label,
        replica_labels=settings.replica_labels,
        cluster_label=settings.cluster_label,
        answers=settings.keep_answers,
        version=__version__,
    )
    return SourceOpener(options, discoveries, calculate)


def open_source(cluster: AnyCluster, settings: Settings | None = None) -> AbstractAsyncContextManager[CostModelSource]:
    """The cluster's cost source. Raises RequestError, SourceError."""
    return source_opener(settings or read_settings()).source(cluster)


def open_metrics(cluster: AnyCluster, settings: Settings) -> AbstractAsyncContextManager[AnyPrometheus | None]:
    """The cluster's Prometheus, or None."""
    return source_opener(settings).prometheus(cluster)


def limits_of(settings: Settings) -> Limits:
    """How long and how much a source may answer."""
    return Limits(
        connect_seconds=settings.connect_seconds,
        read_seconds=settings.read_seconds,
        deadline_seconds=settings.deadline_seconds,
        max_bytes=settings.max_answer_mib * 1024 * 1024,
        attempts=settings.attempts,
        allow_link_local=settings.allow_link_local,
    )
