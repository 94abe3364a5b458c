"""`kubetally collect` and `kubetally backfill`: collecting days into the lake."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli import exits
from kubetally.cli.options import OnlyAccountNames, Strict, date_of
from kubetally.cli.progress import growing_progress
from kubetally.cli.start import start as start_up
from kubetally.domain.errors import RequestError
from kubetally.domain.window import InvalidWindow

if TYPE_CHECKING:
    from kubetally.domain.collection_report import Outcome, Report
    from kubetally.settings import Settings

Forever = Annotated[bool, typer.Option("--forever", help="Keep collecting until stopped.")]
From = Annotated[str, typer.Option("--from", metavar="DATE", help="First day in UTC, such as 2026-11-20.")]
To = Annotated[str, typer.Option("--to", metavar="DATE", help="Day after the last one.")]
Missing = Annotated[bool, typer.Option("--missing", help="Collect only days that are not stored yet.")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace stored days even if the source now returns less; see `coverage`.")
]
WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True, help="Stop when standard input ends.")]


def collect(
    accounts: OnlyAccountNames = None, forever: Forever = False, strict: Strict = False, with_parent: WithParent = False
) -> None:
    """Collect every day that is due.

    These are missing days, as far back as the source has data, days that may
    have been corrected since, and the current day.

    \b
    Examples:
      kubetally collect
      kubetally collect --forever
    """
    from kubetally.ledger.collect.rounds import AnotherCollector, collect_due
    from kubetally.present.collected import print_collected
    from kubetally.wiring.collect import collect_forever, collect_until_stopped

    if forever:
        if accounts:
            raise RequestError("--forever collects all accounts; do not name any", code="names_forever")
        if with_parent:
            _stop_with_parent()
        collect_forever(start_up(default_level="info", is_service=True, quiet=with_parent))  # the parent warns
        return
    try:
        with _progress() as (settings, planned, watch):
            work = partial(collect_due, names=accounts or (), watch=watch, planned=planned)
            report = collect_until_stopped(settings, work)
    except AnotherCollector as another:
        print(f"Nothing collected: {another}")
        return
    if not report.planned:
        print("Nothing to collect: every missing day was tried recently or is unavailable. See `kubetally coverage`.")
    else:
        print_collected(report)
    if (report.failed and not report.collected) or (strict and not _is_complete(settings, report)):
        raise typer.Exit(exits.NO_SOURCE)


def _is_complete(settings: "Settings", report: "Report") -> bool:
    """Whether every collected day has all of its hours, and no day failed; prints which have not."""
    from kubetally.ledger.collect.incomplete import find_incomplete_days
    from kubetally.present.collected import incomplete_words
    from kubetally.wiring.ledger import open_ledger

    with open_ledger(settings) as ledger:
        incomplete = find_incomplete_days(ledger, report)
    if incomplete:
        exits.complain(f"{incomplete_words(incomplete)}, and --strict requires complete days")
    return not (incomplete or report.failed_days)


def backfill(
    accounts: Annotated[list[str], typer.Argument(metavar="ACCOUNT", help="Names or ids of accounts.")],
    first: From,
    end: To,
    missing: Missing = False,
    force: Force = False,
) -> None:
    """Collect days again, to pick up corrections.

    A stored day is replaced only by an answer that is at least as complete.

    \b
    Examples:
      kubetally backfill prod --from 2026-11-01 --to 2026-11-08
      kubetally backfill prod staging --from 2026-11-01 --to 2026-11-08 --missing
    """
    from kubetally.ledger.collect.rounds import backfill_days
    from kubetally.present.collected import print_collected
    from kubetally.wiring.collect import collect_until_stopped

    first_day, end_day = date_of("--from", first), date_of("--to", end)
    if end_day <= first_day:
        raise InvalidWindow(f"{first},{end}", "contains no day; --to is the day after the last one")
    today = datetime.now(UTC).date()
    if first_day > today:
        raise InvalidWindow(f"{first},{end}", f"is in the future (today is {today})")
    if end_day > today + timedelta(days=1):
        print(f"Days after {today} are ignored: they are in the future", file=sys.stderr)
    with _progress() as (settings, planned, watch):
        work = partial(
            backfill_days,
            names=accounts,
            first=first_day,
            end=end_day,
            missing_only=missing,
            force=force,
            watch=watch,
            planned=planned,
        )
        report = collect_until_stopped(settings, work)
    if not report.planned:
        print("Nothing to collect: all of these days are stored")
    else:
        print_collected(report)
    if report.planned and not report.collected:
        raise typer.Exit(exits.NO_SOURCE)


def _stop_with_parent() -> None:
    """Stop when the parent is gone, which closes standard input."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):  # not the buffered reader, whose lock would be held at exit
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


@contextmanager
def _progress() -> "Iterator[tuple[Settings, Callable[[int], None], Callable[[Outcome], None]]]":
    """Settings, and two callbacks: the number of days planned, and each outcome.

    Shows a bar on a terminal, and writes log lines elsewhere. A signal ends the program after the commit in progress.
    """
    from kubetally.domain.words import days_words
    from kubetally.ledger.collect.rounds import log_outcome
    from kubetally.ledger.collect.stopping import Stopped

    collected = 0

    def counting(show: "Callable[[Outcome], None]") -> "Callable[[Outcome], None]":
        def count_and_show(outcome: "Outcome") -> None:
            nonlocal collected
            collected += outcome.is_collected
            show(outcome)

        return count_and_show

    try:
        if sys.stderr.isatty():
            with growing_progress("Collecting days") as (planned, advance):
                yield start_up(), planned, counting(lambda _: advance())
        else:
            yield start_up(default_level="info"), lambda _: None, counting(log_outcome)
    except Stopped:
        exits.complain(f"stopped: {days_words(collected)} collected, the others are still due")
        raise typer.Exit(exits.INTERRUPTED) from None
