"""Finding accounts by name or id."""

from kubetally.domain.account import Account, AccountType
from kubetally.ledger.ports.accounts import Accounts, NotACluster


def find_cluster(accounts: Accounts, name: str) -> Account:
    """The account of a cluster, by its name or id.

    Raises: AccountNotFound, AmbiguousAccount, NotACluster, StoreError.
    """
    account = accounts.find(name)
    if account.type is not AccountType.KUBERNETES_CNR:
        raise NotACluster(account.id, account.type)
    return account
