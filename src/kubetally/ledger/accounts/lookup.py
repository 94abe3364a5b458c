"""Finding accounts by name or id."""

from collections.abc import Sequence

from kubetally.domain.account import Account, AccountType
from kubetally.domain.source_url import SourceUrl
from kubetally.ledger.accounts.snapshot import read_places
from kubetally.ledger.ports.accounts import Accounts, NotACluster
from kubetally.ledger.ports.clusters import AccountCluster


def find_cluster(accounts: Accounts, name: str) -> Account:
    """The account of a cluster, by its name or id.

    Raises: AccountNotFound, AmbiguousAccount, NotACluster, StoreError.
    """
    account = accounts.find(name)
    if account.type is not AccountType.KUBERNETES_CNR:
        raise NotACluster(account.id, account.type)
    return account


def list_clusters(
    accounts: Accounts, names: Sequence[str], prometheus_url: SourceUrl | None = None
) -> list[AccountCluster]:
    """The accounts of these names or ids as clusters, each once; without names, all that are Kubernetes clusters.

    prometheus_url: of accounts that have none.
    Raises: AccountNotFound, AmbiguousAccount, NotACluster, StoreError.
    """
    places = read_places(accounts, [prometheus_url])
    chosen = (
        [find_cluster(accounts, name) for name in names]
        if names
        else accounts.find_all([place.id for place in places if place.type is AccountType.KUBERNETES_CNR])
    )
    by_id = {account.id: account for account in chosen}
    return [AccountCluster(account, places) for account in by_id.values()]
