"""Requests to the sources of an account that is added or changed."""

from asyncio import gather
from collections.abc import Sequence
from datetime import datetime

from kubetally.domain.errors import KubetallyError
from kubetally.domain.window import HOUR, Window, whole_hour
from kubetally.ledger.ports.account_sources import AccountSources
from kubetally.ledger.ports.clusters import AccountCluster
from kubetally.ledger.ports.sources import About

_ADDRESS_REFUSED, _SHARED_PROMETHEUS = "address_refused", "metrics_serve_one"


async def probe_sources(
    sources: AccountSources, cluster: AccountCluster, now: datetime
) -> tuple[About | None, list[str]]:
    """The description of its cost source, if any, and warnings about the source and its Prometheus.

    Raises: RequestError, SourceError with the code `address_refused`.
    """
    account = cluster.account
    for url in filter(None, (account.kubecost_url, account.prometheus_url)):
        await sources.check_address(url)
    about, warnings = None, list[str]()
    try:
        async with sources.open_source(cluster) as source:
            about = await source.introduce()
            if about.product is None:  # costs may fail for the same reason, which is worth a warning
                hour = whole_hour(now)
                await source.check_costs(Window(hour - HOUR, hour))
    except KubetallyError as error:  # may be repaired later; until then `costs` reports the same
        if error.code == _ADDRESS_REFUSED:
            raise
        warnings.append(str(error))
    if account.prometheus_url is not None:
        try:
            await sources.check_prometheus(cluster, now)
        except KubetallyError as error:
            if error.code != _SHARED_PROMETHEUS:  # `warn_of_shared_prometheus` names all of its accounts
                warnings.append(str(error))
    return about, warnings


async def ask_cluster_ids(sources: AccountSources, clusters: Sequence[AccountCluster]) -> dict[str, str]:
    """The ids of clusters, as their sources return them, by account id."""
    ids = await gather(*(sources.cluster_id(cluster) for cluster in clusters))
    return {cluster.account.id: id_ for cluster, id_ in zip(clusters, ids, strict=True) if id_}
