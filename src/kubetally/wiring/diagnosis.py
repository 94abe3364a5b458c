"""Diagnosing clusters, with the settings."""

from kubetally.domain.window import Window
from kubetally.ledger.diagnose.cluster import ClusterSources, Diagnosis, diagnose_cluster
from kubetally.ledger.ports.clusters import AccountCluster, AnyCluster
from kubetally.settings import Settings
from kubetally.sources.opener import place_of
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.sources import source_opener


async def diagnose(cluster: AnyCluster, window: Window, settings: Settings) -> Diagnosis:
    """See `diagnose_cluster`."""
    opener = source_opener(settings)
    account = cluster.account if isinstance(cluster, AccountCluster) else None
    sources = ClusterSources(
        place_of(cluster),
        opener.source(cluster),
        opener.prometheus(cluster),
        account_id=account.id if account else None,
        account_name=account.name if account else None,
    )
    return await diagnose_cluster(sources, window, SystemClock().now())
