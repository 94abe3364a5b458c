"""Maintaining the lake: compacting files, removing expired history, reading a share of the stored days."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from kubetally import logs
from kubetally.domain.collection import LAKE_VERSION
from kubetally.domain.damage import CheckedDays, FileDamage, LogDamaged
from kubetally.domain.errors import StoreError
from kubetally.domain.maintenance import EarlierDays, Maintained
from kubetally.domain.trusted_time import TrustedTime
from kubetally.domain.window import rfc3339
from kubetally.ledger.accounts.reconcile import reconcile
from kubetally.ledger.collect.damage import check_share
from kubetally.ledger.ports.lake import by_clock
from kubetally.ledger.ports.leases import MAINTAINER
from kubetally.ledger.stores import Ledger
from kubetally.ledger.writing.lease import hold_lease
from kubetally.ledger.writing.writer import LakeWriter

_MAINTAIN_EVERY, _TIDY_EVERY, _RETRY_AFTER = timedelta(days=1), timedelta(hours=1), timedelta(minutes=10)
_log = logs.get_logger(__name__)


class Upkeep:
    """Maintains the lake once a day and tidies it once an hour. It blocks.

    A call that raises StoreError or returns False is repeated after 10 minutes.
    """

    def __init__(self, *, maintain: Callable[[], object], tidy: Callable[[], object]) -> None:
        self._calls = ((_MAINTAIN_EVERY, maintain), (_TIDY_EVERY, tidy))
        self._done: dict[timedelta, datetime] = {}

    def run_due(self, now: datetime) -> None:
        """Make the calls that are due; failures are logged."""
        for every, call in self._calls:
            last = self._done.get(every)
            if last is not None and timedelta() <= now - last < every:  # below zero, the clock was set back
                continue
            is_done = run_or_log(call)
            self._done[every] = now if is_done else now - every + _RETRY_AFTER


def run_or_log(call: Callable[[], object], event: str = "not_maintained") -> bool:
    """Whether the call succeeded: it raised no StoreError, which is logged as `event`, and did not return False."""
    try:
        return call() is not False
    except StoreError as error:  # such as a backup in progress
        _log.warning(event, code=error.code, error=str(error))
        return False


def tidy(ledger: Ledger) -> None:
    """Remove copies of running days that are older than an hour; of a large fleet they are gigabytes a day.

    Raises: AnotherWriter, if another process needs the files to stay; LogDamaged, before anything is done; StoreError.
    """
    with hold_lease(ledger.leases, MAINTAINER, url=ledger.lake.url, wait_seconds=0):
        _check_log(ledger, ledger.writer(), only_running=True)
        _log.debug("tidied", vacuumed=ledger.lake.tidy(lengthen=_trusted_time(ledger).lengthen))


def maintain_and_check(
    ledger: Ledger, *, shorten: bool = False, trust_clock: bool = False
) -> tuple[Maintained, CheckedDays]:
    """As `maintain`, and read today's share of the stored days. Raises as `maintain`."""
    done = maintain(ledger, shorten=shorten, trust_clock=trust_clock)
    return done, check_share(ledger.coverage, ledger.lake, ledger.clock.now())


def maintain_daily(ledger: Ledger, should_continue: Callable[[], bool]) -> bool:
    """As `maintain_and_check`, but failures are logged, and the second part is done even if the first failed.

    Returns whether both succeeded.
    """
    is_maintained = run_or_log(partial(maintain, ledger))
    check = partial(check_share, ledger.coverage, ledger.lake, ledger.clock.now(), should_continue)
    return run_or_log(check, "stored_days_not_checked") and is_maintained


def maintain(ledger: Ledger, *, shorten: bool = False, trust_clock: bool = False) -> Maintained:
    """Compact files, remove what was replaced longer ago than the retention, and bring roll-ups up to date.

    Gaps of more than 30 hours in which nothing was collected do not count towards it, unless `trust_clock`: removal
    can't be undone, and the clock may be ahead. shorten: see `Lake.maintain`.

    Raises: AnotherWriter; LogDamaged, before anything is done; StoreError.
    """
    retention, writer = ledger.retention, ledger.writer()
    with hold_lease(ledger.leases, MAINTAINER, url=ledger.lake.url):
        _check_log(ledger, writer)  # before lake and database are matched, which forgets missing entries
        run_or_log(partial(reconcile, ledger), "not_reconciled")  # one damaged day must not stop maintenance
        with writer.hold_lease():
            writer.match()
            trusted = _trusted_time(ledger)
            lengthen = by_clock if trust_clock else trusted.lengthen
            done = ledger.lake.maintain(retention, shorten=shorten, lengthen=lengthen)
        run_or_log(partial(ledger.roll_up, ledger), "not_rolled_up")  # answers read rows until the next time
    kept = done.kept or retention
    longer = lengthen(kept)
    forgotten = 0 if longer is None else ledger.coverage.forget(ledger.clock.now() - longer)
    facts = {"compacted": done.compacted, "vacuumed": done.vacuumed, "checkpoint": done.checkpoint}
    _log.info("maintained", **facts, forgotten=forgotten)
    if done.held_back and (silence := trusted.silence(kept)) is not None:
        since, until = (rfc3339(at) for at in silence)
        _log.warning("history_kept_longer", files=done.held_back, none_collected_since=since, until=until)
        return replace(done, silence=silence, is_all_kept=longer is None)
    return done


def days_of_earlier_versions(ledger: Ledger) -> list[EarlierDays]:
    """The stored days that lack columns of this version of the lake, by account. Raises StoreError."""
    names = {place.id: place.name for place in ledger.accounts.places()}
    return [
        EarlierDays(names[account_id], days.count, days.first, days.last)
        for account_id, days in ledger.coverage.days_of_earlier_lakes(LAKE_VERSION).items()
        if account_id in names and days.first and days.last
    ]


def _trusted_time(ledger: Ledger) -> TrustedTime:
    return TrustedTime(ledger.clock.now(), ledger.coverage.collecting_times())


def _check_log(ledger: Ledger, writer: LakeWriter, *, only_running: bool = False) -> None:
    """Check that no damage of the log could reach a checkpoint or remove a file. Raises LogDamaged, StoreError.

    A log that lacks its newest entries may be of an older copy of the lake, which is then matched with the database.
    """

    def find() -> list[FileDamage]:
        noted = ledger.log_files.noted()
        missing = ledger.lake.lost_log_files(noted)
        return [file for file in ledger.lake.check_log(noted, only_running=only_running) if file not in missing]

    damage = find()
    if damage and ledger.lake.is_torn():
        with writer.hold_lease():  # sets aside what a power cut left unfinished
            pass
        damage = find()
    if damage:
        raise LogDamaged(ledger.lake.url, damage)
