"""Bringing the lake in line with the database."""

from functools import partial

import structlog

from kubetally.domain.errors import StoreError
from kubetally.domain.window import Clock
from kubetally.ledger.collect.writer import LakeWriter
from kubetally.ledger.reconcile import list_accounts, reconcile_days
from kubetally.wiring.clock import SystemClock
from kubetally.wiring.lake import has_lake, open_lake
from kubetally.wiring.ledger import Ledger

_log = structlog.get_logger(__name__)


def reconcile(ledger: Ledger, clock: Clock) -> None:
    """Relabel and delete what is noted, and write the table of accounts if it differs. Raises StoreError.

    What lake and database differ in is noted before: rows that the database lost sight of are not deleted.
    """
    writer_of(ledger, clock).recover()
    reconcile_days(ledger.days, partial(writer_of, ledger, clock))
    if list_accounts(ledger.accounts.listed, ledger.lake, ledger.leases):
        _log.debug("accounts_listed", lake=ledger.lake.url)


def follow(ledger: Ledger) -> list[str]:
    """Bring an existing lake in line after a change of accounts; what could not be done, as warnings."""
    warnings = []
    try:
        reconcile_days(ledger.days, partial(writer_of, ledger, SystemClock()))
    except StoreError as error:
        warnings.append(f"the rows in the lake were not changed yet: {error}. {_LATER}")
    if has_lake(ledger.settings):
        try:
            list_accounts(ledger.accounts.listed, open_lake(ledger.settings, quick=True), ledger.leases)
        except StoreError as error:
            warnings.append(f"the table `accounts` of the lake was not written: {error}. {_LATER}")
    return warnings


_LATER = "The next `kubetally collect`, `serve` or `maintain` does it"


def writer_of(ledger: Ledger, clock: Clock) -> LakeWriter:
    """Who writes to the ledger's lake."""
    return LakeWriter(ledger.lake, ledger.coverage, ledger.leases, clock, log_files=ledger.log_files)
