"""Accounts and their days, from the database alone."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial

from kubetally.cache import Prepared, digest_of
from kubetally.domain.account import AccountPlace, ListedAccount
from kubetally.domain.account_report import AccountDay, AccountsReport, ClusterSummary, CoverageReport
from kubetally.domain.collection import NO_DATA, CoveredDay
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.coverage import AccountCoverage, DayKind
from kubetally.domain.issues import MISSING_DATA, Issue, IssueKind
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.window import Window, whole_hour
from kubetally.query.issues import issues_of_snapshot, unmeasured_components
from kubetally.query.known_days import WindowDays
from kubetally.query.reader import LedgerReader
from kubetally.query.snapshot import Snapshot


class AccountReports:
    """Prepares answers about accounts and their days. Threads may share it. All calls block. Raises StoreError."""

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader

    def clusters(self, question: CostQuestion) -> Prepared[AccountsReport]:
        """What is known of the accounts; of removed ones, those with days in the window."""
        snapshot = self._reader.known(question)
        places = {place.id: place for place in self._reader.stores.accounts.places()}
        digest = digest_of(self._reader.digest(snapshot, question.window), list(places.values()))
        return Prepared(digest, partial(self._accounts, snapshot, places, question))

    def coverage(self, question: CostQuestion) -> Prepared[CoverageReport]:
        """What is known of each day of each account."""
        snapshot = self._reader.known(question)
        return Prepared(self._reader.digest(snapshot, question.window), partial(self._days, snapshot, question))

    def _accounts(
        self, snapshot: Snapshot, places: Mapping[str, AccountPlace], question: CostQuestion
    ) -> AccountsReport:
        is_shown = _are_costs_shown(question)
        clusters = [
            self._summary(account, places.get(account.id), of_account, question.window, is_shown=is_shown)
            for account, of_account in _by_account(snapshot)
            if account.removed_at is None or of_account.days
        ]
        known = snapshot.known
        return AccountsReport(
            question,
            tuple(clusters),
            self._reader.coverage(snapshot, question.window),
            known.currencies,
            _total(known) if is_shown else None,
            (*issues_of_snapshot(snapshot, question.asked_filter), *_issues_of_scope(question)),
        )

    def _summary(
        self, account: ListedAccount, place: AccountPlace | None, known: WindowDays, window: Window, *, is_shown: bool
    ) -> ClusterSummary:
        snapshot = Snapshot({account.id: account}, known, tuple, None)
        failed = [day for day in known.days if day.last_error is not None and day.last_error[0] != NO_DATA]
        newest = max(failed, key=lambda day: (day.tried_at is not None, day.tried_at, day.day), default=None)
        return ClusterSummary(
            account=account,
            place=place,
            coverage=self._reader.coverage(snapshot, window),
            currencies=known.currencies,
            total=_total(known) if is_shown else None,
            assets_complete=bool(known.readable) and all(day.assets_complete for day in known.readable),
            not_measured=frozenset(unmeasured_components(known.facts, len(known.readable))),
            last_collected=known.latest,
            last_error=None if newest is None else newest.last_error,
            days_stored=sum(day.is_stored for day in known.days),
            days_failing=sum(not day.is_stored for day in failed),
        )

    def _days(self, snapshot: Snapshot, question: CostQuestion) -> CoverageReport:
        window = question.window
        first, end = window.start.date(), window.end.date()
        missing = self._reader.stores.coverage.issues(
            first, end=end, kinds=MISSING_DATA, account_ids=list(snapshot.accounts)
        )
        over = window.until(whole_hour(self._reader.clock.now()))
        hours = {} if over is None else {part.start.date(): part.hours for part in over.days()}
        is_shown = _are_costs_shown(question)
        days = [
            day._replace(are_costs_shown=is_shown)
            for account, known in _by_account(snapshot)
            for day in _days_of(account, known.days, hours, missing)
        ]
        issues = (*issues_of_snapshot(snapshot, question.asked_filter), *_issues_of_scope(question))
        return CoverageReport(question, days, self._reader.coverage(snapshot, window), issues)


def _are_costs_shown(question: CostQuestion) -> bool:
    """Whether who asks may see what whole accounts cost."""
    return question.scope is None or question.scope.is_of_accounts


def _issues_of_scope(question: CostQuestion) -> Iterator[Issue]:
    if not _are_costs_shown(question):
        message = "what whole clusters cost is not shown, as you may see a part of their rows: /api/v1/costs has those"
        yield Issue(IssueKind.COSTS_NOT_SHOWN, message)


def _by_account(snapshot: Snapshot) -> Iterator[tuple[ListedAccount, WindowDays]]:
    """The accounts by name, with what is known of each."""
    days, facts = defaultdict[str, list[CoveredDay]](list), defaultdict[str, list[FactSum]](list)
    for day in snapshot.days:
        days[day.account_id].append(day)
    for fact in snapshot.facts:
        facts[fact.account_id].append(fact)
    for account in sorted(snapshot.accounts.values(), key=lambda account: (account.name, account.id)):
        yield account, WindowDays(days[account.id], facts[account.id])


def _total(known: WindowDays) -> int | None:
    covered = any(day.hours_covered > 0 for day in known.readable)
    return sum(day.total for day in known.readable) if covered and len(known.currencies) == 1 else None


def _days_of(
    account: ListedAccount,
    known: Sequence[CoveredDay],
    hours: Mapping[date, float],
    missing: Mapping[str, Sequence[Issue]],
) -> Iterator[AccountDay]:
    """The days that have begun, known or not; of a removed account the known ones."""
    by_date = {day.day: day for day in known}
    kinds = AccountCoverage(account, (), None, missing)
    for its_date in sorted(by_date.keys() if account.removed_at is not None else {*hours, *by_date}):
        day = by_date.get(its_date)
        kind = DayKind.UNKNOWN if day is None else kinds.kind_of(day)
        yield AccountDay(account, its_date, kind, hours.get(its_date, 0.0), day)
