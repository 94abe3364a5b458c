"""All stored days of an account at once: changing their currency, and deleting them.

The database is changed first, in a transaction that also records that the account's rows in the lake have to follow.
`ledger.accounts.reconcile` changes these at once, or after a kill when the next collector starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from kubetally.domain.errors import RequestError
from kubetally.domain.money import CurrencyOrigin


class CurrencyConflict(RequestError):
    """Stored days are in another currency, which their source stated."""

    code = "currency_is_told"

    def __init__(self, name: str, *, wanted: str, stored: str, days: Sequence[date]) -> None:
        self.name, self.wanted, self.stored, self.days = name, wanted, stored, tuple(days)
        span = f"{min(days)} to {max(days)}" if len(days) > 1 else str(days[0])
        many = "1 stored day is" if len(days) == 1 else f"{len(days)} stored days are"
        super().__init__(
            f"the currency of account {name!r} can't become {wanted}: {many} in {stored}, as the source states "
            f"({span}). Amounts are not converted, and nothing was changed. If the source was wrong, correct it, then "
            "collect these days again with `kubetally backfill`"
        )


def account_is_active(name: str) -> RequestError:
    """An account that was not removed can't be purged."""
    return RequestError(
        f"account {name!r} is in use: remove it first with `kubetally accounts remove {name}`", code="account_is_active"
    )


@dataclass(frozen=True, slots=True)
class Relabelled:
    """The days that got another currency, and which they had before."""

    days: tuple[date, ...]
    before: tuple[str, ...]


class AccountDays(Protocol):
    """All days of an account in the database. Raises StoreError."""

    def relabel(self, account_id: str, *, stated: str | None, currency: str, origin: CurrencyOrigin) -> Relabelled:
        """Set the currency that an account states, and relabel its days whose source states none with `currency`.

        Replaced collections are relabelled too, for `as_of`. Raises CurrencyConflict, AccountNotFound; nothing is
        changed then.
        """

    def purge(self, account_id: str) -> int:
        """Delete the days of a removed account; returns how many were stored. Raises RequestError."""

    def unreconciled(self) -> list[str]:
        """Accounts whose rows in the lake may differ from their collections."""

    def currencies(self, account_id: str) -> dict[str, str]:
        """The currency of each collection of an account and of its stored savings, by id."""

    def reconciled(self, account_id: str) -> None:
        """Note that the account's rows in the lake agree with its collections."""
