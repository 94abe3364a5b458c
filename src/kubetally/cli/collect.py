"""`kubetally collect` and `kubetally backfill`: collecting days into the lake."""

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
from kubetally.cli.options import Strict, UnreadableTime
from kubetally.cli.start import start as start_up
from kubetally.domain.collection import DAMAGE_CODES, NO_DATA
from kubetally.domain.coverage import DayKind
from kubetally.domain.errors import RequestError
from kubetally.domain.window import InvalidWindow
from kubetally.ledger.collect.replacement import NOT_BEGUN, SUPERSEDED
from kubetally.present.days import day_spans, days_words, without_day

if TYPE_CHECKING:
    from kubetally.domain.coverage import AccountCoverage
    from kubetally.ledger.collect.committer import Outcome
    from kubetally.ledger.collect.report import Report
    from kubetally.settings import Settings

Names = Annotated[list[str] | None, typer.Argument(metavar="ACCOUNT", help="Names or ids of accounts; default: all.")]
Forever = Annotated[bool, typer.Option("--forever", help="Keep collecting until stopped.")]
From = Annotated[str, typer.Option("--from", metavar="DATE", help="First day in UTC, such as 2026-11-20.")]
To = Annotated[str, typer.Option("--to", metavar="DATE", help="Day after the last one.")]
Missing = Annotated[bool, typer.Option("--missing", help="Collect only days that are not stored yet.")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace stored days even if the source now returns less; see `coverage`.")
]
_MAX_NAMED = 5
_EXPECTED_CODES = frozenset({NO_DATA, SUPERSEDED, NOT_BEGUN})


WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True, help="Stop when standard input ends.")]


def collect(
    accounts: Names = None, forever: Forever = False, strict: Strict = False, with_parent: WithParent = False
) -> None:
    """Collect every day that is due.

    Due are missing days, as far back as the source holds data, days that may
    have been corrected since, and the current day.

    \b
    Examples:
      kubetally collect
      kubetally collect --forever
    """
    from kubetally.ledger.collect.rounds import AnotherCollector
    from kubetally.wiring.collect import collect_forever, collect_once

    if forever:
        if accounts:
            raise RequestError("--forever collects all accounts; do not name any", code="names_forever")
        if with_parent:
            _stop_with_parent()
        collect_forever(start_up(default_level="info", is_service=True, quiet=with_parent))  # the parent warns
        return
    try:
        with _progress() as (settings, planned, watch):
            report = collect_once(settings, accounts or (), watch=watch, planned=planned)
    except AnotherCollector as another:
        print(f"Nothing collected: {another}")
        return
    if not report.planned:
        print("Nothing to collect: every missing day was tried recently or is unavailable. See `kubetally coverage`.")
    else:
        _print_report(report)
    if (report.failed and not report.collected) or (strict and not _is_complete(settings, report)):
        raise typer.Exit(exits.NO_SOURCE)


def _is_complete(settings: "Settings", report: "Report") -> bool:
    """Whether every collected day has all of its hours, and no day failed; prints which have not."""
    from kubetally.domain.window import DAY, Window
    from kubetally.ledger.accounts.coverage import find_coverage
    from kubetally.wiring.ledger import open_ledger

    partial: list[str] = []
    if report.collected:
        days = [
            datetime(day.year, day.month, day.day, tzinfo=UTC) for day in {outcome.day for outcome in report.collected}
        ]
        accounts = sorted({outcome.account_id for outcome in report.collected})
        window = Window(min(days), max(days) + DAY)
        with open_ledger(settings) as ledger:
            partial = collected_in_part(report, find_coverage(ledger, accounts, window))
    if partial:
        more = len(partial) - _MAX_NAMED
        names = ", ".join(partial[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
        exits.complain(f"{days_words(len(partial))} are incomplete ({names}), and --strict requires complete days")
    return not partial and not _failed_days(report)


def collected_in_part(report: "Report", covered: "Iterable[AccountCoverage]") -> list[str]:
    """The account and day of collected days that lack hours which are over."""
    collected = {(outcome.account_id, outcome.day) for outcome in report.collected}
    return [
        f"{account.account.name} {known.day}"
        for account in covered
        for known in account.days
        if (account.account.id, known.day) in collected and account.kind_of(known) is DayKind.PARTIAL
    ]


def _failed_days(report: "Report") -> set[tuple[str, date]]:
    """The days that could not be read, although the source may have data."""
    return {(outcome.account_id, outcome.day) for outcome in report.failed if outcome.code not in _EXPECTED_CODES}


def backfill(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Name or id of the account.")],
    first: From,
    end: To,
    missing: Missing = False,
    force: Force = False,
) -> None:
    """Collect days again, to pick up corrections.

    A stored day is replaced only by an answer that is at least as complete.

    \b
    Example:
      kubetally backfill prod --from 2026-11-01 --to 2026-11-08
    """
    from kubetally.wiring.collect import backfill as fill

    days = a_date("--from", first), a_date("--to", end)
    if days[1] <= days[0]:
        raise InvalidWindow(f"{first},{end}", "contains no day; --to is the day after the last one")
    today = datetime.now(UTC).date()
    if days[0] > today:
        raise InvalidWindow(f"{first},{end}", f"is in the future (today is {today})")
    if days[1] > today + timedelta(days=1):
        print(f"Days after {today} are ignored: they are in the future", file=sys.stderr)
    with _progress() as (settings, planned, watch):
        report = fill(settings, account, *days, missing_only=missing, force=force, watch=watch, planned=planned)
    if not report.planned:
        print("Nothing to collect: all of these days are stored")
    else:
        _print_report(report)
    if report.planned and not report.collected:
        raise typer.Exit(exits.NO_SOURCE)


def _stop_with_parent() -> None:
    """Stop when the parent is gone, which closes standard input."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):  # not the buffered reader, whose lock would be held at exit
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def a_date(option: str, text: str) -> date:
    """The date of an option. Raises UnreadableTime."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise UnreadableTime(option, text, "is no date; write it as 2026-11-20") from None


@contextmanager
def _progress() -> "Iterator[tuple[Settings, Callable[[int], None], Callable[[Outcome], None]]]":
    """Settings, and two callbacks: the number of days planned, and each outcome.

    Shows a bar on a terminal, and writes log lines elsewhere. A signal ends the program after the commit in progress.
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
        exits.complain(f"stopped: {days_words(written)} collected, the others are still due")
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


def _print_report(report: "Report") -> None:
    """Print how many days were collected, and which were not, by reason."""
    rows = sum(outcome.rows for outcome in report.collected)
    days = days_words(len(report.collected))
    collected = f"Collected {days}, {rows} rows" if report.collected else "Nothing was collected"
    failed = _failed_days(report)
    failures = f"; {days_words(len(failed))} failed: see `kubetally coverage`" if failed else ""
    print(f"{collected}{failures}", flush=True)
    for (account, why), days_of in _by_reason(report).items():
        print(f"{account}: {day_spans(days_of)}: {why}", file=sys.stderr)


def _by_reason(report: "Report") -> dict[tuple[str, str], list[date]]:
    """The days that were not collected, by account and reason.

    For an account without any stored day, the reason is the same for all days: the source has no data.
    """
    reasons: dict[tuple[str, str], list[date]] = defaultdict(list)
    for outcome in report.failed:
        why = outcome.why or outcome.code or ""
        if outcome.code not in DAMAGE_CODES:  # these name the day in files and commands
            why = without_day(why, outcome.day)
        has_none = report.first_days is not None and outcome.account_id not in report.first_days
        if outcome.code == NO_DATA and has_none:
            why = "the source has no data"
        reasons[outcome.account, why].append(outcome.day)
    return reasons
