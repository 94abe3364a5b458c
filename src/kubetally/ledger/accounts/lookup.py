"""Finding accounts by name or id."""

from collections.abc import Sequence

from kubetally.domain.account import Account, AccountType
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


def list_clusters(accounts: Accounts, names: Sequence[str]) -> list[AccountCluster]:
    """The accounts of these names or ids as clusters, each once; without names, all that are Kubernetes clusters.

    Raises: AccountNotFound, AmbiguousAccount, NotACluster, StoreError.
    """
    existing = tuple(accounts.all())
    chosen = [find_cluster(accounts, name) for name in names] or [
        account for account in existing if account.type is AccountType.KUBERNETES_CNR
    ]
    currency = accounts.organization().currency
    by_id = {account.id: account for account in chosen}
    return [AccountCluster(account, existing, currency) for account in by_id.values()]
