"""The days of an answer that is joined from stored days and what sources were asked for."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from kubetally.domain.booking import Booking
from kubetally.domain.collection import NOT_REPLACED, CoveredDay, is_copy_used, window_of
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.component import Component
from kubetally.domain.errors import StoreError
from kubetally.domain.fleet import Failed
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.live_costs import LiveCosts, by_day
from kubetally.domain.money import CurrencyOrigin
from kubetally.domain.status import DayState
from kubetally.domain.window import Window, covered_hours, whole_hour
from kubetally.query.known_days import KnownDay

Key = tuple[str, date]
"""A cluster's day."""
LiveDays = Mapping[Key, Sequence[Booking]]
"""What was asked live, by cluster and day; a day whose ends are asked for apart has several bookings."""


@dataclass(slots=True)
class JoinedDays:
    """What a window is answered from.

    used:    the stored days that are. unused: those that are not.
    issues:  of stored days that could not be read.
    answers: of the sources, for what `used` lacks, by cluster.
    """

    used: Mapping[Key, CoveredDay] = field(default_factory=dict)
    unused: Sequence[CoveredDay] = ()
    issues: Sequence[Issue] = ()
    answers: Mapping[str, LiveCosts | Failed] = field(default_factory=dict)

    def windows(self) -> dict[str, list[Window]]:
        """The windows of the stored days, by cluster."""
        windows = defaultdict[str, list[Window]](list)
        for (id_, _), day in self.used.items():
            windows[id_].append(span_of(day))
        return windows

    def account_ids(self) -> set[str]:
        """The accounts that have stored days, used or not, or issues of these."""
        named = (issue.facts.get("accounts") for issue in self.issues)
        of_issues = (str(id_) for ids in named if isinstance(ids, list) for id_ in ids)
        return {*(id_ for id_, _ in self.used), *(day.account_id for day in self.unused), *of_issues}

    def live(self, ids: Iterable[str]) -> Iterator[tuple[str, LiveCosts]]:
        """The answers of these clusters."""
        for id_ in ids:
            answer = self.answers.get(id_)
            if isinstance(answer, LiveCosts):
                yield id_, answer

    def live_days(self, ids: Iterable[str]) -> LiveDays:
        """What was asked live of these clusters."""
        return {(id_, day): its for id_, live in self.live(ids) for day, its in by_day(live.bookings).items()}

    def join(self, live: LiveDays, days: Sequence[KnownDay]) -> list[KnownDay]:
        """The stored days that are used, and those that were asked live; a day that is both has the hours of both.

        Days that were stored since the sources were asked are left out.
        """
        stored = {key: (day, rows) for day, rows in days if (key := (day.account_id, day.day)) in self.used}
        labels = self._labels(day for day, _ in stored.values())
        by_key = {key: (_relabel(day, labels), rows) for key, (day, rows) in stored.items()}
        for key, bookings in live.items():
            day, rows = by_key.get(key, (CoveredDay(*key), None))
            by_key[key] = _with_live(day, bookings), rows
        return list(by_key.values())

    def _labels(self, stored: Iterable[CoveredDay]) -> dict[str, CoveredDay | Booking]:
        """Of each cluster what has the newest currency that its source does not state; a live answer if any."""
        newest: dict[str, CoveredDay | Booking] = {
            day.account_id: day for day in sorted(stored, key=lambda day: day.day) if _is_unstated(day)
        }
        for id_, live in self.live(self.answers):
            unstated = [booking for booking in live.bookings if _is_unstated(booking)]
            newest |= {id_: unstated[-1]} if unstated else {}
        return newest

    def issues_of(self, ids: Iterable[str], window: Window) -> Iterator[Issue]:
        """The issues of an answer about these clusters, each with the account it is of."""
        yield from self.issues
        for id_ in ids:
            answer = self.answers.get(id_)
            if isinstance(answer, Failed):
                about = {"accounts": [id_], "code": answer.error.code}
                yield Issue(IssueKind.SOURCE_FAILED, answer.message, answer.source.url, window, None, about)
            elif answer is not None:
                for issue in answer.issues:
                    if issue.kind is not IssueKind.NOT_MEASURED:  # facts count these
                        yield replace(issue, facts={**issue.facts, "accounts": [id_]})
        wanted = set(ids)
        for (id_, _), day in self.used.items():
            if id_ in wanted and day.last_error is not None and day.last_error[0] in NOT_REPLACED:
                yield _not_replaced_issue(day, *day.last_error)


def used_days(
    days: Iterable[KnownDay],
    window: Window,
    now: datetime,
    unreadable: Mapping[Key, StoreError],
    removed: Collection[str] = (),
) -> tuple[dict[Key, CoveredDay], list[CoveredDay]]:
    """The stored days that are used for a window, and the others.

    removed: accounts that have no source to ask instead.
    """
    used, unused = dict[Key, CoveredDay](), list[CoveredDay]()
    for day, _ in days:
        key = day.account_id, day.day
        is_current = (day.has_costs and _is_current(day, now)) or day.account_id in removed
        if is_current and key not in unreadable and window.contains(span_of(day)):
            used[key] = day
        elif day.is_stored:
            unused.append(day)
    return used, unused


def span_of(day: CoveredDay) -> Window:
    """The part of a UTC day that a stored day is of."""
    whole = window_of(day.day)
    if not day.is_running or day.collected_at is None:
        return whole
    return whole.until(whole_hour(day.collected_at)) or Window(whole.start, whole.start)


def unreadable_day(key: Key, error: StoreError, *, is_missing: bool) -> Issue:
    """A stored day that can't be read. is_missing: else its source was asked for it."""
    kind = IssueKind.SOURCE_FAILED if is_missing else IssueKind.SOURCE_WARNING
    consequence = "" if is_missing else ", so it was requested from the source"
    message = f"the stored day could not be read{consequence}: {error}"
    about = {"accounts": [key[0]], "code": error.code}
    return Issue(kind, message, None, window_of(key[1]), "history", about)


def cut_days(days: Iterable[KnownDay], window: Window) -> Iterator[Issue]:
    """Stored days of removed accounts that the window cuts: they are left out, because no source answers for parts."""
    for day, _ in days:
        if day.is_stored and not window.contains(span_of(day)):
            message = "only whole days of a removed account can be counted; begin and end the window at 00:00 UTC"
            about = {"accounts": [day.account_id]}
            yield Issue(IssueKind.NOT_HELD, message, None, window_of(day.day), "history", about)


def not_measured(bookings: Sequence[Booking]) -> frozenset[Component]:
    """The components that no part of a day measured."""
    return frozenset[Component].intersection(*(booking.not_measured for booking in bookings))


def live_facts(live: LiveDays, used: Mapping[Key, CoveredDay]) -> Iterator[FactSum]:
    """The components that no live part of a day measured, unless a part of the day is stored."""
    for (id_, day), bookings in live.items():
        if (id_, day) not in used:
            hours = covered_hours(span for booking in bookings for span in booking.covered)
            for component in sorted(not_measured(bookings)):
                yield FactSum(id_, component.value, 1, hours, day, day)


def facts_without(facts: Iterable[FactSum], others: Iterable[FactSum]) -> Iterator[FactSum]:
    """The facts, without the days of others, each of which is of one day."""
    days = defaultdict[tuple[str, str], list[date]](list)
    for other in others:
        days[other.account_id, other.what].append(other.first)
    for fact in facts:
        days_left = fact.days - sum(fact.first <= day <= fact.last for day in days[fact.account_id, fact.what])
        if days_left > 0:
            yield fact._replace(days=days_left)


def _is_current(day: CoveredDay, now: datetime) -> bool:
    """Whether a stored day is used instead of its source."""
    return not day.is_running or (day.collected_at is not None and is_copy_used(day.day, day.collected_at, now=now))


def _with_live(day: CoveredDay, bookings: Sequence[Booking]) -> CoveredDay:
    """A day with the hours and the costs that were asked live. day: without anything stored, or a copy of its hours."""
    is_complete = all(booking.assets_complete for booking in bookings)
    return day._replace(
        collection_id=day.collection_id or "live",
        state=DayState.PROVISIONAL,
        assets_complete=is_complete and (day.assets_complete or not day.is_stored),
        hours_covered=day.hours_covered + covered_hours(span for booking in bookings for span in booking.covered),
        total=day.total + sum(booking.bill.total for booking in bookings),
        currency=bookings[0].currency,
        currency_origin=bookings[0].currency_origin or CurrencyOrigin.STATED,
    )


def _is_unstated(day: CoveredDay | Booking) -> bool:
    """Whether its source states no currency."""
    return day.currency is not None and day.currency_origin not in (None, CurrencyOrigin.SOURCE)


def _relabel(day: CoveredDay, labels: Mapping[str, CoveredDay | Booking]) -> CoveredDay:
    """A stored day; where its source states no currency, with the newest one of its cluster. Amounts stay the same."""
    label = labels.get(day.account_id)
    if label is None or label.currency == day.currency or not _is_unstated(day):
        return day
    return day._replace(currency=label.currency, currency_origin=label.currency_origin)


def _not_replaced_issue(day: CoveredDay, code: str, message: str) -> Issue:
    about = {"accounts": [day.account_id], "code": code}
    return Issue(IssueKind.NOT_REPLACED, message, day.source, window_of(day.day), "history", about)
