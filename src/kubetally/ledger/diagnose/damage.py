"""What of the stored days, their savings and the lake's files is damaged or missing."""

from collections.abc import Sequence
from dataclasses import dataclass

from kubetally.domain.errors import StoreError
from kubetally.domain.savings import SavingsDay
from kubetally.ledger.collect.damage import CheckedDays, check_days, note_damage
from kubetally.ledger.diagnose.unknown_days import describe_unknown_days
from kubetally.ledger.ports.damage import DayDamaged, LakeCheck
from kubetally.ledger.ports.lake import Lake
from kubetally.ledger.stores import Ledger


@dataclass(frozen=True, slots=True)
class DamageReport:
    """What a check of the stores found.

    names: of accounts, by id. unreadable: why the tables can't be opened at all. unknown: days of the lake that the
    database does not know, and what to do. savings: those that are damaged, and how.
    """

    files: LakeCheck
    days: CheckedDays
    names: dict[str, str]
    unreadable: StoreError | None = None
    unknown: Sequence[str] = ()
    savings: Sequence[tuple[SavingsDay, DayDamaged]] = ()

    @property
    def is_well(self) -> bool:
        """Whether nothing is damaged, set aside or missing, and the database knows all days of the lake."""
        return not (self.is_damaged or self.unknown)

    @property
    def is_damaged(self) -> bool:
        """Whether something is damaged, set aside or missing."""
        return bool(self.files.damage or self.unreadable or self.days.damaged or self.days.missing or self.savings)

    def name(self, account_id: str) -> str:
        """The name of an account; its id, if it is not known."""
        return self.names.get(account_id, account_id)


def check_damage(ledger: Ledger) -> DamageReport:
    """Read all that is stored, and note in coverage which days are damaged, and which are no longer.

    The lake is read as it is: what a power cut left unfinished is reported, not recovered.
    Raises: StoreError, of a database or lake that can't be reached.
    """
    return check_damage_of(ledger, ledger.lake_place.open())


def check_damage_of(ledger: Ledger, lake: Lake) -> DamageReport:
    """`check_damage` of an open lake."""
    names = {account.id: account.name for account in ledger.accounts.listed()}
    if not ledger.has_lake and ledger.coverage.last_version() is None:
        return DamageReport(LakeCheck(), CheckedDays(), names)
    files = lake.check(ledger.log_files.noted())
    try:
        lake.make()
    except StoreError as error:
        if error.retryable:
            raise
        return DamageReport(files, CheckedDays(), names, error)
    days = check_days(ledger.coverage, lake)
    note_damage(ledger.coverage, (day.pair for day in days.damaged if day.noticed_at is None), ledger.clock.now())
    ledger.coverage.clear_damage(days.well_again)
    unknown = describe_unknown_days(ledger, lake)
    return DamageReport(files, days, names, unknown=unknown, savings=lake.damaged_savings(ledger.savings.stored()))
