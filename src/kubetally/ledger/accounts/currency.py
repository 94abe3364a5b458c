"""Changing the currency of an account and of its stored days."""

from contextlib import ExitStack

from kubetally.domain.account import Account
from kubetally.domain.money import CurrencyOrigin, currency_code
from kubetally.ledger.stores import Ledger


def change_currency(ledger: Ledger, account: Account, *, currency: str | None, default: str | None) -> str:
    """Set the currency of an account and relabel its days whose source states none; returns a summary.

    currency: None to clear it, so that `default`, else the organization's, is assumed.
    Raises: CurrencyConflict, AnotherWriter, StoreError; nothing is changed then.
    """
    label, origin = currency, CurrencyOrigin.STATED
    if label is None and default:
        label = currency_code(default)
    if label is None:
        label, origin = account.default_currency, CurrencyOrigin.ASSUMED
    with ExitStack() as stack:
        if ledger.coverage.stored_days([account.id]).count:
            stack.enter_context(ledger.writer().hold_lease())
        done = ledger.days.relabel(account.id, stated=currency, currency=label, origin=origin)
    assumed = " (assumed)" if origin is CurrencyOrigin.ASSUMED else ""
    if not done.days:
        return f"Currency of {account.name}: {label}{assumed}. No stored day had to be relabelled."
    span = f"{done.days[0]} to {done.days[-1]}" if len(done.days) > 1 else str(done.days[0])
    count = "1 stored day" if len(done.days) == 1 else f"{len(done.days)} stored days"
    return (
        f"Currency of {account.name}: {label}{assumed}. Relabelled {count} ({span}) from "
        f"{' and '.join(done.before)}; amounts are unchanged."
    )
