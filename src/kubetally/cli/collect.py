"""`kubetally collect` and `kubetally backfill`: putting days into the ledger."""

import os
import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from kubetally.cli import exits
from kubetally.cli.days import day_spans, days_in_words, without_day
from kubetally.cli.options import Strict, UnreadableTime
from kubetally.cli.start import start as start_up
from kubetally.domain.collection import DAMAGE_CODES, NO_DATA
from kubetally.domain.errors import RequestError
from kubetally.domain.window import InvalidWindow
from kubetally.ledger.collect.replacement import NOT_BEGUN, SUPERSEDED

if TYPE_CHECKING:
    from kubetally.ledger.accounts.coverage import AccountCoverage
    from kubetally.ledger.collect.committer import Outcome
    from kubetally.ledger.collect.report import Report
    from kubetally.settings import Settings

Names = Annotated[list[str] | None, typer.Argument(metavar="ACCOUNT", help="Names or ids; without any, all.")]
Forever = Annotated[bool, typer.Option("--forever", help="Go on collecting what becomes due, until stopped.")]
From = Annotated[str, typer.Option("--from", metavar="DATE", help="First day, as 2026-11-20, in UTC.")]
To = Annotated[str, typer.Option("--to", metavar="DATE", help="Day after the last one.")]
Missing = Annotated[bool, typer.Option("--missing", help="Leave out the days that are held.")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace stored days also where the source now returns less; see `coverage`.")
]
_NAMED_AT_MOST = 5
_NO_FAILURES = frozenset({NO_DATA, SUPERSEDED, NOT_BEGUN})


class NamesForever(RequestError):
    """What goes on for ever is for all clusters."""

    code = "names_forever"

    def __init__(self) -> None:
        super().__init__("--forever collects all clusters: give no account beside it")


WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True, help="Stop when standard input ends.")]


def collect(
    accounts: Names = None, forever: Forever = False, strict: Strict = False, with_parent: WithParent = False
) -> None:
    """Collect the days that are due, and keep them.

    Due are missing days, as far back as a source holds them, days that may have
    been corrected since, and the running one.

    \b
    Examples:
      kubetally collect
      kubetally collect --forever
    """
    from kubetally.ledger.collect.rounds import AnotherCollector
    from kubetally.wiring.collect import collect_forever, collect_once

    if forever:
        if accounts:
            raise NamesForever
        if with_parent:
            _stop_with_parent()
        collect_forever(
            start_up(default_level="info", is_service=True, quiet=with_parent)
        )  # the parent told what it has to
        return
    try:
        with _told() as (settings, planned, watch):
            report = collect_once(settings, accounts or (), watch=watch, planned=planned)
    except AnotherCollector as another:
        print(f"Nothing to do: {another}")
        return
    if not report.planned:
        print("Nothing to collect: every missing day was tried recently or is unavailable. See `kubetally coverage`.")
    else:
        _tell(report)
    if (report.failed and not report.collected) or (strict and not _is_complete(settings, report)):
        raise typer.Exit(exits.NO_SOURCE)


def _is_complete(settings: "Settings", report: "Report") -> bool:
    """Whether every day that was asked for is stored now with all of its hours; what is not is told."""
    from kubetally.domain.window import DAY, Window
    from kubetally.ledger.accounts.coverage import find_coverage
    from kubetally.wiring.ledger import open_ledger

    partial: list[str] = []
    if report.collected:
        days = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in {one.day for one in report.collected}]
        accounts, window = sorted({one.account_id for one in report.collected}), Window(min(days), max(days) + DAY)
        with open_ledger(settings) as ledger:
            partial = collected_in_part(report, find_coverage(ledger, accounts, window))
    if partial:
        more = len(partial) - _NAMED_AT_MOST
        names = ", ".join(partial[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
        exits.complain(f"{days_in_words(len(partial))} collected in part ({names}); --strict asks for complete ones")
    return not partial and not _could_not_be_had(report)


def collected_in_part(report: "Report", covered: "Iterable[AccountCoverage]") -> list[str]:
    """Account and day of what was collected now and lacks hours that are over."""
    from kubetally.cli.coverage import sort_of

    collected = {(one.account_id, one.day) for one in report.collected}
    return [
        f"{account.account.name} {known.day}"
        for account in covered
        for known in account.days
        if (account.account.id, known.day) in collected and sort_of(known, account.missing) == "partial"
    ]


def _could_not_be_had(report: "Report") -> set[tuple[str, date]]:
    """The days that a source did not give though it may hold them."""
    return {(one.account_id, one.day) for one in report.failed if one.code not in _NO_FAILURES}


def backfill(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Name or id of the account.")],
    first: From,
    end: To,
    missing: Missing = False,
    force: Force = False,
) -> None:
    """Ask for days again, so that corrections come in.

    A stored day is replaced only by an answer that is at least as complete.

    \b
    Example:
      kubetally backfill prod --from 2026-11-01 --to 2026-11-08
    """
    from kubetally.wiring.collect import backfill as fill

    days = a_date("--from", first), a_date("--to", end)
    if days[1] <= days[0]:
        raise InvalidWindow(f"{first},{end}", "has no day in it: --to is the day after the last one")
    today = datetime.now(UTC).date()
    if days[0] > today:
        raise InvalidWindow(f"{first},{end}", f"is yet to come: today is {today}")
    if days[1] > today + timedelta(days=1):
        print(f"Days after {today} are left out: they are yet to come", file=sys.stderr)
    with _told() as (settings, planned, watch):
        report = fill(settings, account, *days, missing_only=missing, force=force, watch=watch, planned=planned)
    if not report.planned:
        print("Nothing was collected: all of these days are held")
    else:
        _tell(report)
    if report.planned and not report.collected:
        raise typer.Exit(exits.NO_SOURCE)


def _stop_with_parent() -> None:
    """Stop when whoever started us is gone, and with it the other end of standard input."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):  # not of the buffer, whose lock would be held when we end
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def a_date(option: str, text: str) -> date:
    """A day that an option gives. Raises UnreadableTime."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise UnreadableTime(option, text, "is no day: write it as 2026-11-20") from None


@contextmanager
def _told() -> "Iterator[tuple[Settings, Callable[[int], None], Callable[[Outcome], None]]]":
    """Settings, and what is called with how many more days are planned, and with each that has ended.

    On a terminal it is a bar, elsewhere lines of the log. What is told to stop exits when what it writes is written.
    """
    from kubetally.ledger.collect.stopping import Stopped

    written = 0

    def counted(watch: "Callable[[Outcome], None]", outcome: "Outcome") -> None:
        nonlocal written
        written += outcome.is_collected
        watch(outcome)

    try:
        with _bar() if sys.stderr.isatty() else _log() as (settings, planned, watch):
            yield settings, planned, partial(counted, watch)
    except Stopped:
        exits.complain(f"stopped: what was written stays ({days_in_words(written)}), the rest is still due")
        raise typer.Exit(exits.INTERRUPTED) from None


@contextmanager
def _log() -> "Iterator[tuple[Settings, Callable[[int], None], Callable[[Outcome], None]]]":
    from kubetally.ledger.collect.rounds import log_outcome

    yield start_up(default_level="info"), lambda count: None, log_outcome


@contextmanager
def _bar() -> "Iterator[tuple[Settings, Callable[[int], None], Callable[[Outcome], None]]]":
    from rich.console import Console  # heavy: see the package
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Collecting days"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task, total = bar.add_task("", total=0), 0

        def planned(count: int) -> None:
            nonlocal total
            total += count
            bar.update(task, total=total)

        yield start_up(), planned, lambda outcome: bar.advance(task)


def _tell(report: "Report") -> None:
    """What came of it: the days that are held now, and for each reason why others are not."""
    rows = sum(one.rows for one in report.collected)
    days = days_in_words(len(report.collected))
    what = f"Collected {days}, {rows} rows" if report.collected else "Nothing was collected"
    failed = _could_not_be_had(report)
    told = f"{what}; {days_in_words(len(failed))} could not be had: see `kubetally coverage`" if failed else what
    print(told, flush=True)
    for (account, why), days_of in _by_reason(report).items():
        print(f"{account}: {day_spans(days_of)}: {why}", file=sys.stderr)


def _by_reason(report: "Report") -> dict[tuple[str, str], list[date]]:
    """The days that are not stored, or stay as they were, by account and reason.

    Of an account that has no stored day, days were only asked for to find any: that there are no data is one reason.
    """
    reasons: dict[tuple[str, str], list[date]] = defaultdict(list)
    for outcome in report.failed:
        why = outcome.why or outcome.code or ""
        if outcome.code not in DAMAGE_CODES:  # whose day is in names of files and in commands
            why = without_day(why, outcome.day)
        has_none = report.first_days is not None and outcome.account_id not in report.first_days
        if outcome.code == NO_DATA and has_none:
            why = "the source has no data"
        reasons[outcome.account, why].append(outcome.day)
    return reasons
