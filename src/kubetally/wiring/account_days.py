"""Removing accounts, deleting their days, and giving their days another currency."""

from contextlib import ExitStack
from dataclasses import dataclass

from kubetally.domain.account import Account
from kubetally.domain.errors import NotFound, RequestError
from kubetally.domain.money import CurrencyOrigin, currency_code
from kubetally.ledger.collect.reconcile import reconcile_after_change
from kubetally.ledger.ports.account_days import AccountIsActive, StoredDays
from kubetally.ledger.stores import Ledger
from kubetally.settings import Settings
from kubetally.wiring.ledger import open_ledger


class NoRemovedAccount(NotFound):
    """No removed account has this name or id."""

    code = "no_removed_account"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no removed account {name!r}: `kubetally accounts list --removed` shows them")


class SeveralRemovedAccounts(RequestError):
    """Several accounts of this name were removed, or one is in use again."""

    code = "several_removed_accounts"

    def __init__(self, name: str, ids: list[str]) -> None:
        self.name, self.ids = name, tuple(ids)
        super().__init__(
            f"the name {name!r} is not of one account alone: give the id of a removed one, {', '.join(ids)}"
        )


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """An account, in use or removed, and its stored days."""

    account: Account
    stored: StoredDays


def removed_accounts(settings: Settings) -> list[KnownAccount]:
    """All removed accounts. Raises StoreError."""
    with open_ledger(settings) as ledger:
        return [KnownAccount(account, ledger.days.stored(account.id)) for account in ledger.accounts.removed()]


def to_be_removed(name_or_id: str, settings: Settings) -> KnownAccount:
    """The account in use of this name or id. Raises AccountNotFound, AmbiguousAccount, StoreError."""
    with open_ledger(settings) as ledger:
        account = ledger.accounts.find(name_or_id)
        return KnownAccount(account, ledger.days.stored(account.id))


def remove_account(account_id: str, settings: Settings) -> list[str]:
    """Remove an account and its credentials; returns warnings. Raises AccountNotFound, StoreError."""
    with open_ledger(settings) as ledger:
        ledger.accounts.remove(account_id)
        return reconcile_after_change(ledger)


def to_be_purged(name_or_id: str, settings: Settings) -> KnownAccount:
    """The removed account of this name or id.

    Raises: AccountIsActive, NoRemovedAccount, SeveralRemovedAccounts, StoreError.
    """
    with open_ledger(settings) as ledger:
        removed = ledger.accounts.removed(name_or_id)
        active = [account for account in ledger.accounts.all() if name_or_id in {account.id, account.name}]
        if active and not removed:
            raise AccountIsActive(active[0].name)
        if not removed:
            raise NoRemovedAccount(name_or_id)
        if len(removed) > 1 or active:
            raise SeveralRemovedAccounts(name_or_id, [account.id for account in removed])
        return KnownAccount(removed[0], ledger.days.stored(removed[0].id))


def purge_account(account_id: str, settings: Settings) -> tuple[int, list[str]]:
    """Delete the days of a removed account; returns how many were stored, and warnings.

    Raises: AccountIsActive, AnotherWriter, StoreError.
    """
    with open_ledger(settings) as ledger:
        with ledger.writer().hold_lease():
            days = ledger.days.purge(account_id)
        return days, reconcile_after_change(ledger)


def change_currency(ledger: Ledger, account: Account, stated: str | None, settings: Settings) -> str:
    """State the currency of an account and relabel its days whose source states none; says what was done.

    stated: None to state none from now on, so that the default is assumed.
    Raises: CurrencyIsTold, AnotherWriter, StoreError; nothing is changed then.
    """
    currency, origin = stated, CurrencyOrigin.STATED
    if currency is None and settings.currency:
        currency = currency_code(settings.currency)
    if currency is None:
        currency, origin = ledger.accounts.organization().currency, CurrencyOrigin.ASSUMED
    with ExitStack() as stack:
        if ledger.days.stored(account.id).count:
            stack.enter_context(ledger.writer().hold_lease())
        done = ledger.days.relabel(account.id, stated, currency, origin)
    assumed = " (assumed)" if origin is CurrencyOrigin.ASSUMED else ""
    if not done.days:
        return f"Currency of {account.name}: {currency}{assumed}. No stored day had to be relabelled."
    span = f"{done.days[0]} to {done.days[-1]}" if len(done.days) > 1 else str(done.days[0])
    many = "1 stored day" if len(done.days) == 1 else f"{len(done.days)} stored days"
    return (
        f"Currency of {account.name}: {currency}{assumed}. Relabelled {many} ({span}) from "
        f"{' and '.join(done.before)}; amounts are unchanged."
    )
