"""Making the lake agree with the database: the rows of relabelled and purged accounts, and the list of accounts."""

from collections.abc import Callable, Sequence

from kubetally.domain.account import ListedAccount
from kubetally.ledger.account_days import AccountDays
from kubetally.ledger.alone import alone
from kubetally.ledger.collect.writer import LakeWriter
from kubetally.ledger.stored import ACCOUNT_LIST, Lake, Leases

_PATIENCE_SECONDS = 20.0


def reconcile_days(days: AccountDays, new_writer: Callable[[], LakeWriter]) -> None:
    """Bring the rows of accounts in line whose days were relabelled or purged; nothing is opened where none were.

    Raises: AnotherWriter, LeaseLost, StoreError; what was done stays, and the next call does the rest.
    """
    for account_id in days.unreconciled():
        writer = new_writer()
        writer.recover()  # else rows of days that the database lost sight of would be deleted
        with writer.alone() as leased:
            leased.reconcile(account_id, days.currencies(account_id))
            days.reconciled(account_id)


def list_accounts(listed: Callable[[], Sequence[ListedAccount]], lake: Lake, leases: Leases) -> bool:
    """Write the lake's table of accounts where it differs from the database; whether it did.

    One does it at a time, and reads the accounts only then, so that an older list never replaces a newer one.
    Raises: AnotherWriter, StoreError.
    """
    with alone(leases, ACCOUNT_LIST, lake.url, patience_seconds=_PATIENCE_SECONDS):
        return lake.list_accounts(listed())
