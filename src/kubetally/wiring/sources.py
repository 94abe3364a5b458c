"""Sources of clusters, opened with the settings."""

from kubetally import __version__
from kubetally.settings import Settings
from kubetally.sources.opener import SourceOpener, SourceOptions
from kubetally.sources.transport import Limits
from kubetally.tasks import Calculate, calculate_here
from kubetally.wiring.environment import access_settings


def source_opener(settings: Settings, calculate: Calculate = calculate_here) -> SourceOpener:
    """What opens sources with these settings."""
    options = SourceOptions(
        access_settings(settings),
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
    return SourceOpener(options, calculate=calculate)


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
