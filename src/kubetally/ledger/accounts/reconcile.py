"""Updating the lake to the database: rows of relabelled and purged accounts, and the table of accounts."""

from collections.abc import Callable, Sequence

from kubetally import logs
from kubetally.domain.account import ListedAccount
from kubetally.domain.errors import StoreError
from kubetally.ledger.ports.account_days import AccountDays
from kubetally.ledger.ports.lake import Lake
from kubetally.ledger.ports.leases import ACCOUNT_LIST, Leases
from kubetally.ledger.stores import Ledger
from kubetally.ledger.writing.lease import hold_lease
from kubetally.ledger.writing.writer import LakeWriter

_LATER = "The next `kubetally collect`, `serve` or `maintain` will retry"
_log = logs.get_logger(__name__)
_LIST_WAIT_SECONDS = 20.0


def reconcile_days(days: AccountDays, new_writer: Callable[[], LakeWriter]) -> None:
    """Update the rows of accounts that were relabelled or purged; opens the lake only if there are any.

    Raises: AnotherWriter, StoreError; the next call does the rest.
    """
    for account_id in days.unreconciled():
        writer = new_writer()
        writer.recover()  # else rows that the database does not know would be deleted
        with writer.hold_lease() as leased:
            leased.reconcile(account_id, days.currencies(account_id))
            days.reconciled(account_id)


def list_accounts(listed: Callable[[], Sequence[ListedAccount]], lake: Lake, leases: Leases) -> bool:
    """Write the lake's table of accounts if it differs from the database; returns whether it did.

    The accounts are read under the lease, so that an older list never replaces a newer one.
    Raises: AnotherWriter, StoreError.
    """
    with hold_lease(leases, ACCOUNT_LIST, url=lake.url, wait_seconds=_LIST_WAIT_SECONDS):
        return lake.list_accounts(listed())


def reconcile(ledger: Ledger) -> None:
    """Relabel and delete the rows of changed accounts, and write the table of accounts if it differs.

    Lake and database are matched before, so that rows which the database does not know are not deleted.
    Raises: StoreError.
    """
    ledger.writer().recover()
    reconcile_days(ledger.days, ledger.writer)
    if list_accounts(ledger.accounts.listed, ledger.lake, ledger.leases):
        _log.debug("accounts_listed", lake=ledger.lake.url)


def reconcile_after_change(ledger: Ledger) -> list[str]:
    """Update an existing lake after a change of accounts. Returns warnings about what failed."""
    warnings = []
    try:
        reconcile_days(ledger.days, ledger.writer)
    except StoreError as error:
        warnings.append(f"the rows in the lake were not updated: {error}. {_LATER}")
    if ledger.has_lake:
        try:
            list_accounts(ledger.accounts.listed, ledger.lake_place.open(quick=True), ledger.leases)
        except StoreError as error:
            warnings.append(f"the table `accounts` of the lake was not written: {error}. {_LATER}")
    return warnings
