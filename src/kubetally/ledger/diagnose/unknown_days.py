"""Days that are in the lake and that the database does not know, for example after it was emptied or restored."""

from collections import defaultdict
from datetime import date

from kubetally.ledger.ports.lake import Lake
from kubetally.ledger.stores import Ledger
from kubetally.ledger.writing.match import unknown_days


def describe_unknown_days(ledger: Ledger, lake: Lake) -> list[str]:
    """How many days there are of each account, and what to do. Raises StoreError."""
    by_account: dict[str, list[date]] = defaultdict(list)
    for account_id, day in unknown_days(lake, ledger.coverage, ledger.days.unreconciled):
        by_account[account_id].append(day)
    if not by_account:
        return []
    names = {place.id: place.name for place in ledger.accounts.places()}
    return [_words(account_id, names.get(account_id), days) for account_id, days in sorted(by_account.items())]


def _words(account_id: str, name: str | None, days: list[date]) -> str:
    span = str(days[0]) if len(days) == 1 else f"{len(days)} days from {days[0]} to {days[-1]}"
    problem = f"the lake has {span} of {name or f'account {account_id}'}, which the database does not know"
    if name is not None:
        return f"{problem}: `kubetally maintain` adds them again"
    return f"{problem}: `kubetally accounts add NAME --id {account_id}`, then `kubetally maintain`, adds them again"
