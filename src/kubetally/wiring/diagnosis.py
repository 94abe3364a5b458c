"""Diagnosing clusters, with the settings."""

from kubetally.domain.window import Window
from kubetally.ledger.diagnose.cluster import ClusterSources, Diagnosis, diagnose_cluster
from kubetally.settings import Settings
from kubetally.sources.kubernetes.discoveries import Discoveries
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.cluster import AccountCluster, AnyCluster, place_of
from kubetally.wiring.sources import open_metrics, open_source


async def diagnose(cluster: AnyCluster, window: Window, settings: Settings) -> Diagnosis:
    """See `diagnose_cluster`."""
    discoveries = Discoveries()
    account = cluster.account if isinstance(cluster, AccountCluster) else None
    sources = ClusterSources(
        place_of(cluster),
        open_source(cluster, settings, discoveries),
        open_metrics(cluster, settings, discoveries),
        account_id=account.id if account else None,
        account_name=account.name if account else None,
    )
    return await diagnose_cluster(sources, window, SystemClock().now())
