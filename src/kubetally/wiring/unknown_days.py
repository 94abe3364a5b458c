"""Days that are in the lake and that the database does not know, such as one that was emptied or put back."""

from collections import defaultdict
from datetime import date

from kubetally.ledger.collect.match import unknown_days
from kubetally.ledger.ports.lake import Lake
from kubetally.ledger.stores import Ledger


def told_unknown_days(ledger: Ledger, lake: Lake) -> list[str]:
    """How many there are of each account, and what to do. Raises StoreError."""
    by_account: dict[str, list[date]] = defaultdict(list)
    for account_id, day in unknown_days(lake, ledger.coverage, ledger.days.unreconciled):
        by_account[account_id].append(day)
    names = {account.id: account.name for account in ledger.accounts.all()} if by_account else {}
    return [_told(account_id, names.get(account_id), days) for account_id, days in sorted(by_account.items())]


def _told(account_id: str, name: str | None, days: list[date]) -> str:
    some = str(days[0]) if len(days) == 1 else f"{len(days)} days from {days[0]} to {days[-1]}"
    what = f"the lake has {some} of {name or f'account {account_id}'}, which the database does not know"
    if name is not None:
        return f"{what}: `kubetally maintain` notes them again"
    return f"{what}: `kubetally accounts add NAME --id {account_id}`, then `kubetally maintain`, notes them again"
