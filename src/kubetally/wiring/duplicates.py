"""Accounts that would count the costs of one cluster twice."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import httpx

from kubetally.domain.account import Account, AccountType
from kubetally.domain.errors import KubetallyError
from kubetally.ledger.ports.sources import About
from kubetally.settings import Settings
from kubetally.wiring.cluster import AccountCluster
from kubetally.wiring.sources import open_source

_MAX_ASKED = 20
_LIMIT_SECONDS = 2.0
_DEFAULT_IDS = frozenset({"default-cluster", "cluster-one"})  # of OpenCost and Kubecost where nobody stated one
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def same_clusters(
    account: Account, about: About | None, living: Sequence[Account], ids: Mapping[str, str]
) -> Iterator[str]:
    """A warning for each living account that seems to be of the same cluster as `account`.

    about: what the source of `account` tells. ids: the cluster ids that the sources of living accounts tell, by
    account id.
    """
    place, cluster_id = _place(account), account.cluster_id or (about.cluster_id if about else None)
    for other in living:
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


def told_ids(
    new: Sequence[Account], about: About | None, living: Sequence[Account], settings: Settings
) -> dict[str, str]:
    """The cluster ids of living accounts that state none, as their sources tell, by account id.

    Only asked where an id of `new` could be among them: at most 20 sources, for 2 seconds.
    """
    mine = {account.cluster_id or (about.cluster_id if about else None) for account in new} - {None, *_DEFAULT_IDS}
    known = {account.id for account in new}
    others = [
        account
        for account in living
        if account.id not in known
        and account.type is AccountType.KUBERNETES_CNR
        and account.kubecost_url
        and account.cluster_id is None
    ]
    return asyncio.run(_ask_ids(others[:_MAX_ASKED], living, settings)) if mine and others else {}


async def _ask_ids(accounts: Sequence[Account], living: Sequence[Account], settings: Settings) -> dict[str, str]:
    quick = replace(
        settings,
        connect_seconds=min(settings.connect_seconds, _LIMIT_SECONDS),
        read_seconds=min(settings.read_seconds, _LIMIT_SECONDS),
        deadline_seconds=min(settings.deadline_seconds, _LIMIT_SECONDS),
        attempts=1,
    )

    async def ask(account: Account) -> str | None:
        try:
            async with (
                asyncio.timeout(_LIMIT_SECONDS),
                open_source(AccountCluster(account, tuple(living)), quick) as source,
            ):
                info = await source.client.about("/clusterInfo")
        except (KubetallyError, TimeoutError):  # it is not the one that is added: `doctor` tells of it
            return None
        found = (info or {}).get("id")
        return found if isinstance(found, str) and found else None

    ids = await asyncio.gather(*(ask(account) for account in accounts))
    return {account.id: found for account, found in zip(accounts, ids, strict=True) if found}


def _default_cluster(account: Account, about: About | None) -> str | None:
    """The cluster that the source of `account` answers for where none is stated; None where that is not known."""
    if about is None:
        return None
    if len(about.cluster_ids) == 1:
        return about.cluster_ids[0]
    return about.cluster_id if account.cluster_id is None else None


def _place(account: Account) -> tuple[str, str] | None:
    """What two accounts of one source have alike: URL or context; None where neither is stated."""
    if account.kubecost_url is None:
        return None if account.context is None else ("context", account.context)
    url = httpx.URL(account.kubecost_url)
    host = "localhost" if url.host in _LOOPBACK else url.host
    path = url.path.rstrip("/").removesuffix("/model")
    return "url", f"{url.scheme}://{host}:{url.port or ''}{path}"
