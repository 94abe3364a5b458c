"""One cluster per account-day (B7)."""

from collections.abc import Iterable
from typing import NamedTuple

from kubetally.domain.allocation import Allocation
from kubetally.domain.asset import Asset
from kubetally.domain.errors import RequestError, SourceError
from kubetally.domain.words import name_some


class ClusterNotThere(SourceError):
    """The source has rows, and none of the cluster that was chosen."""

    code = "cluster_not_there"

    def __init__(self, url: str, *, cluster_id: str, there: Iterable[str]) -> None:
        names = name_some(sorted(there))
        super().__init__(f"{url} has no data of cluster {cluster_id!r}, only of {names}: correct --cluster-id")


class OneCluster(NamedTuple):
    """The rows and assets of one cluster. homeless: how many that cost name no cluster, and are left out."""

    rows: list[Allocation]
    assets: list[Asset] | None
    homeless: int = 0


def choose_cluster(
    rows: list[Allocation], assets: list[Asset] | None, cluster_id: str | None, *, source: str
) -> OneCluster:
    """The rows and assets of the chosen cluster, or of the only one if none was chosen.

    Raises: RequestError, if none was chosen and there are several; ClusterNotThere.
    """
    of_rows = {row.cluster_id for row in rows if row.cluster_id}
    # The assets of a cluster that ran nothing would be a bill without rows, on another cluster's account.
    there = of_rows | {asset.cluster_id for asset in assets or () if asset.cluster_id}
    if cluster_id is None:
        if len(there) > 1:
            names = name_some(sorted(there))
            raise RequestError(
                f"{source} returned several clusters: choose one of {names} with --cluster-id", code="several_clusters"
            )
        return OneCluster(rows, assets)
    if of_rows and cluster_id not in of_rows:
        raise ClusterNotThere(source, cluster_id=cluster_id, there=of_rows)
    # What names no cluster is of the only one; of several it can't be known which.
    mine = {cluster_id, None, ""} if len(there) <= 1 else {cluster_id}
    homeless = 0
    if len(there) > 1:
        homeless = sum(not item.cluster_id and any(item.costs) for item in (*rows, *(assets or ())))
    kept = None if assets is None else [asset for asset in assets if asset.cluster_id in mine]
    return OneCluster([row for row in rows if row.cluster_id in mine], kept, homeless)
