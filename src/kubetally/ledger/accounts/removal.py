"""Removing accounts and deleting their days."""

from kubetally.domain.account import AccountWithDays
from kubetally.domain.errors import NotFound, RequestError
from kubetally.ledger.accounts.reconcile import reconcile_after_change
from kubetally.ledger.ports.account_days import account_is_active
from kubetally.ledger.ports.accounts import AccountNotFound, AmbiguousAccount
from kubetally.ledger.stores import Ledger


def list_removed(ledger: Ledger) -> list[AccountWithDays]:
    """All removed accounts. Raises StoreError."""
    return [
        AccountWithDays(account, ledger.coverage.stored_days([account.id])) for account in ledger.accounts.removed()
    ]


def find_account(ledger: Ledger, name_or_id: str) -> AccountWithDays:
    """The account of this name or id. Raises AccountNotFound, AmbiguousAccount, StoreError."""
    account = ledger.accounts.find(name_or_id)
    return AccountWithDays(account, ledger.coverage.stored_days([account.id]))


def remove_account(ledger: Ledger, account_id: str) -> list[str]:
    """Remove an account and its credentials; returns warnings. Raises AccountNotFound, StoreError."""
    ledger.accounts.remove(account_id)
    return reconcile_after_change(ledger)


def find_removed(ledger: Ledger, name_or_id: str) -> AccountWithDays:
    """The removed account of this name or id.

    Raises: NotFound, RequestError with the codes `no_removed_account`, `several_removed_accounts`, `account_is_active`;
    StoreError.
    """
    removed = ledger.accounts.removed(name_or_id)
    active = _find_active(ledger, name_or_id)
    if active is not None and not removed:
        raise account_is_active(active)
    if not removed:
        raise NotFound(
            f"no removed account {name_or_id!r}: `kubetally accounts list --removed` lists them",
            code="no_removed_account",
        )
    if len(removed) > 1 or active is not None:
        ids = ", ".join(account.id for account in removed)
        raise RequestError(
            f"several accounts have the name {name_or_id!r}: give the id of a removed one, {ids}",
            code="several_removed_accounts",
        )
    return AccountWithDays(removed[0], ledger.coverage.stored_days([removed[0].id]))


def purge_account(ledger: Ledger, account_id: str) -> tuple[int, list[str]]:
    """Delete the days of a removed account; returns how many were stored, and warnings.

    Raises: RequestError, AnotherWriter, StoreError.
    """
    with ledger.writer().hold_lease():
        days = ledger.days.purge(account_id)
    return days, reconcile_after_change(ledger)


def _find_active(ledger: Ledger, name_or_id: str) -> str | None:
    """The name of an account that is not removed, if any has this name or id."""
    try:
        return ledger.accounts.find(name_or_id).name
    except AccountNotFound:
        return None
    except AmbiguousAccount:
        return name_or_id
