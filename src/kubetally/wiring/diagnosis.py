"""Diagnosing clusters, with the settings."""

import asyncio
from collections.abc import Sequence

from kubetally.domain.finding import Diagnosis
from kubetally.domain.window import Window
from kubetally.ledger.diagnose.cluster import ClusterSources, diagnose_cluster, with_storage
from kubetally.ledger.ports.clusters import AccountCluster, AnyCluster
from kubetally.settings import Settings
from kubetally.sources.opener import SourceOpener
from kubetally.tasks import run
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.sources import source_opener
from kubetally.wiring.storage import check_storage


def diagnose(clusters: Sequence[AnyCluster], window: Window, settings: Settings) -> list[Diagnosis]:
    """See `diagnose_cluster`; all at once. With accounts among them also the problems of the stores."""
    diagnoses = run(_diagnose(clusters, window, source_opener(settings)))
    if any(diagnosis.account_id for diagnosis in diagnoses):
        return with_storage(diagnoses, check_storage(settings).problems)
    return diagnoses


async def _diagnose(clusters: Sequence[AnyCluster], window: Window, opener: SourceOpener) -> list[Diagnosis]:
    now = SystemClock().now()
    return await asyncio.gather(*(diagnose_cluster(_sources_of(cluster, opener), window, now) for cluster in clusters))


def _sources_of(cluster: AnyCluster, opener: SourceOpener) -> ClusterSources:
    account = cluster.account if isinstance(cluster, AccountCluster) else None
    return ClusterSources(
        cluster.place,
        opener.source(cluster),
        opener.prometheus(cluster),
        account_id=account.id if account else None,
        account_name=account.name if account else None,
    )
