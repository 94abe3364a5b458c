"""Which stored days, savings and files of the lake are damaged or missing."""

from kubetally.domain.damage import CheckedDays, DamageReport, LakeCheck
from kubetally.domain.errors import StoreError
from kubetally.ledger.collect.damage import check_days, note_damage
from kubetally.ledger.diagnose.unknown_days import describe_unknown_days
from kubetally.ledger.ports.lake import Lake
from kubetally.ledger.stores import Ledger


def check_damage(ledger: Ledger) -> DamageReport:
    """Read all stored data, and note in coverage which days are damaged, and which no longer are.

    What a power cut left unfinished in the lake is reported, not recovered.
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
