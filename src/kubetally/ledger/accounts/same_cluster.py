"""Accounts that would count the costs or the metrics of one cluster twice."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from kubetally.domain.account import Account, AccountType, AnyAccount
from kubetally.ledger.accounts.probe import ask_cluster_ids
from kubetally.ledger.ports.account_sources import AccountSources
from kubetally.ledger.ports.accounts import Accounts
from kubetally.ledger.ports.clusters import AccountCluster
from kubetally.ledger.ports.sources import About
from kubetally.tasks import run

_MAX_SOURCES = 20
_DEFAULT_IDS = frozenset({"default-cluster", "cluster-one"})  # of OpenCost and Kubecost, unless configured
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def warn_of_same_cluster(
    account: Account, about: About | None, accounts: Sequence[AnyAccount], ids: Mapping[str, str]
) -> Iterator[str]:
    """A warning for each other account that seems to be of the same cluster as `account`.

    about: the description of the source of `account`. ids: the cluster ids that the sources of other accounts
    return, by account id.
    """
    place, cluster_id = _place(account), account.cluster_id or (about.cluster_id if about else None)
    for other in accounts:
        if other.id == account.id:
            continue
        if place is not None and _place(other) == place:
            theirs = other.cluster_id or _default_cluster(account, about)
            if other.cluster_id == account.cluster_id or (cluster_id is not None and theirs == cluster_id):
                yield f"account {other.name!r} has the same source and cluster: its costs count twice in a sum of both"
        elif cluster_id in {other.cluster_id, ids.get(other.id)} - {None, *_DEFAULT_IDS}:
            yield (
                f"account {other.name!r} has the same cluster id {cluster_id!r} at another place: if it is the "
                "same cluster, its costs count twice in a sum of both"
            )


def find_cluster_ids(
    sources: AccountSources,
    new: Sequence[Account],
    *,
    about: About | None,
    accounts: Accounts,
    existing: tuple[AnyAccount, ...],
) -> dict[str, str]:
    """The cluster ids of accounts that do not set one, as their sources return them, by account id.

    Requested only if an id of `new` could be among them: from at most 20 sources, for 2 seconds.
    """
    wanted = {account.cluster_id or (about.cluster_id if about else None) for account in new} - {None, *_DEFAULT_IDS}
    new_ids = {account.id for account in new}
    others = [
        account.id
        for account in existing
        if account.id not in new_ids
        and account.type is AccountType.KUBERNETES_CNR
        and account.kubecost_url
        and account.cluster_id is None
    ]
    if not (wanted and others):
        return {}
    clusters = [AccountCluster(account, existing) for account in accounts.find_all(others[:_MAX_SOURCES])]
    return run(ask_cluster_ids(sources, clusters))


def warn_of_shared_prometheus(
    account: Account, accounts: Iterable[AnyAccount], sources: AccountSources
) -> Iterator[str]:
    """Warnings about accounts that read the same Prometheus: metrics count twice, or can't be attributed."""
    key = sources.prometheus_key(account)
    sharing = [
        other
        for other in accounts
        if key is not None
        and other.id != account.id
        and other.type is AccountType.KUBERNETES_CNR
        and sources.prometheus_key(other) == key
    ]
    unselective = [other for other in (account, *sharing) if not (other.tenant or other.cluster_id)]
    if sharing and unselective:
        names = ", ".join(repr(other.name) for other in unselective)
        yield (
            f"{len(sharing) + 1} accounts share a Prometheus; the management fee of {names} is unknown until each has "
            "--tenant or --cluster-id"
        )
    for other in sharing:
        is_selective = account not in unselective and other not in unselective
        if is_selective and (account.tenant, account.cluster_id) == (other.tenant, other.cluster_id):
            yield (
                f"accounts {account.name!r} and {other.name!r} read the same metrics, of the same Prometheus, tenant "
                "and cluster id: what is only in metrics, such as the management fee, counts twice in a sum of both"
            )


def _default_cluster(account: Account, about: About | None) -> str | None:
    """The cluster that the source of `account` answers for if none is set; None if that is unknown."""
    if about is None:
        return None
    if len(about.cluster_ids) == 1:
        return about.cluster_ids[0]
    return about.cluster_id if account.cluster_id is None else None


def _place(account: AnyAccount) -> tuple[str, ...] | None:
    """Equal for accounts of one source: URL or context; None if neither is set."""
    if account.kubecost_url is None:
        return None if account.context is None else ("context", account.context)
    url = account.kubecost_url.parts
    host = "localhost" if url.hostname in _LOOPBACK else url.hostname or ""
    port = url.port or _DEFAULT_PORTS.get(url.scheme)
    return "url", url.scheme, host, str(port), url.path.rstrip("/").removesuffix("/model")
