"""Collecting what is due, round after round until nothing is."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import date
from functools import partial

from kubetally import logs
from kubetally.domain.collection import NO_DATA, NOT_BEGUN, NOT_TRIED, SUPERSEDED
from kubetally.domain.collection_report import Outcome, Report
from kubetally.domain.errors import RequestError, StoreError
from kubetally.domain.money import to_number
from kubetally.ledger.collect.collector import Collector, Watch
from kubetally.ledger.collect.examine import compare_collected_days, examine_stored_days
from kubetally.ledger.collect.maintenance import run_or_log, tidy
from kubetally.ledger.collect.savings import SavingsCollector
from kubetally.ledger.collect.schedule import Due, Reason
from kubetally.ledger.ports.leases import COLLECTOR
from kubetally.ledger.stores import Ledger
from kubetally.ledger.writing.lease import AnotherWriter, hold_lease

Planned = Callable[[int], None]
EXPECTED_CODES = frozenset({NO_DATA, NOT_TRIED, NOT_BEGUN, SUPERSEDED})
"""Codes of days that were not collected, and did not fail either."""
_log = logs.get_logger(__name__)


class AnotherCollector(StoreError):
    """Another process collects what is due."""

    code = "another_collector"
    retryable = True

    def __init__(self, holder: str) -> None:
        self.holder = holder
        super().__init__(
            f"{holder} already collects, as `kubetally serve` does; see `kubetally coverage`, or collect certain days "
            "with `kubetally backfill`"
        )


async def collect_due(
    ledger: Ledger,
    collector: Collector,
    savings: SavingsCollector,
    names: Sequence[str],
    *,
    watch: Watch,
    planned: Planned,
) -> Report:
    """Collect the days that are due now, of all clusters or those named, and then savings.

    planned: called before each round with the number of its days. watch: called with each outcome.
    Raises: RequestError, AccountNotFound, AnotherCollector, AnotherWriter, StoreError.
    """
    if not names and not ledger.accounts.places():
        raise RequestError(
            f"no accounts in {ledger.database}; add one with `kubetally accounts add NAME --url URL`, or set "
            "KUBETALLY_DATABASE_URL to the database that has them",
            code="no_accounts",
        )
    lease = await asyncio.to_thread(_hold_collector_lease, ledger)
    try:
        await examine_once(ledger, lambda: True)
        report = await _collect_rounds(ledger, collector, names, watch, planned)
        await collect_savings(savings, names)
        return report
    finally:
        await asyncio.to_thread(lease.close)


async def backfill_days(
    ledger: Ledger,
    collector: Collector,
    _: SavingsCollector,
    names: Sequence[str],
    *,
    first: date,
    end: date,
    missing_only: bool,
    force: bool,
    watch: Watch,
    planned: Planned,
) -> Report:
    """See `Collector.backfill`; the days are compared with those around them afterwards."""
    report = await collector.backfill(
        names, first, end=end, missing_only=missing_only, force=force, watch=watch, planned=planned
    )
    await compare_days(ledger)
    return report


async def collect_days(ledger: Ledger, collector: Collector, _: SavingsCollector, *, days: Sequence[date]) -> Report:
    """Collect these days of every cluster, due or not; they are compared with the days around them afterwards."""
    dues = [Due(Reason.MISSING, day, place.id) for day in days for place in ledger.accounts.places()]
    report = await collector.collect(dues)
    await compare_days(ledger)
    return report


async def _collect_rounds(
    ledger: Ledger, collector: Collector, names: Sequence[str], watch: Watch, planned: Planned
) -> Report:
    total = Report(accounts=len(ledger.accounts.places()))
    while dues := await collector.due(names):
        planned(len(dues))
        report = await collector.collect(dues, watch)
        total.planned += report.planned
        total.outcomes += report.outcomes
        if not report.outcomes:
            break
    empty = {outcome.account_id for outcome in total.outcomes if outcome.code == NO_DATA}
    total.first_days = await collector.first_days(empty)
    if total.collected:
        await compare_days(ledger)
        await asyncio.to_thread(run_or_log, partial(tidy, ledger))
    return total


async def collect_savings(
    savings: SavingsCollector, names: Sequence[str] = (), should_continue: Callable[[], bool] = lambda: True
) -> None:
    """Collect the savings that are due; failures are logged, and due again later."""
    try:
        for day in await savings.collect(names, should_continue):
            facts = {"account": day.account_id, "day": str(day.day), "state": str(day.state), "rows": day.rows}
            if day.code is None:
                _log.debug("savings_collected", **facts)
            else:
                _log.warning("savings_not_collected", **facts, code=day.code, error=day.why)
    except StoreError as error:
        _log.warning("savings_not_stored", code=error.code, error=str(error))


async def examine_once(ledger: Ledger, should_continue: Callable[[], bool]) -> None:
    """Examine the days that an earlier version stored, if that was not done yet; failures are logged."""
    is_wanted = True
    examine = partial(examine_stored_days, ledger.coverage, ledger.lake, lambda: is_wanted and should_continue())
    try:
        await asyncio.to_thread(run_or_log, examine, "stored_days_not_examined")
    finally:
        is_wanted = False  # else the thread would outlive the caller


async def compare_days(ledger: Ledger) -> None:
    """Compare the days just collected with the days around them; failures are logged."""
    compare = partial(compare_collected_days, ledger.coverage, ledger.lake)
    await asyncio.to_thread(run_or_log, compare, "collected_days_not_compared")


def log_outcome(outcome: Outcome) -> None:
    """Log whether a day was collected."""
    facts = {"account": outcome.account_id, "name": outcome.account, "day": str(outcome.day)}
    if outcome.is_collected:
        _log.info("day_collected", **facts, rows=outcome.rows, total_cost=to_number(outcome.total))
    elif outcome.code in EXPECTED_CODES:
        _log.debug("day_not_collected", **facts, code=outcome.code)
    else:
        _log.warning("day_not_collected", **facts, code=outcome.code, error=outcome.why)


def _hold_collector_lease(ledger: Ledger) -> ExitStack:
    """The lease of the collecting process, until it is closed. Raises AnotherCollector, StoreError."""
    stack = ExitStack()
    try:
        stack.enter_context(hold_lease(ledger.leases, COLLECTOR, url=ledger.lake.url, wait_seconds=0))
    except AnotherWriter as error:
        raise AnotherCollector(error.holder) from error
    return stack
