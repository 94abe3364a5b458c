"""What is wrong with the days of an answer, counted over accounts: one issue of each kind."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import chain

from kubetally.domain.collection import CoveredDay, window_of
from kubetally.domain.collection_facts import FactSum
from kubetally.domain.component import Component
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.question.filter import Filter
from kubetally.domain.window import Window, hull, joined_spans, known_spans
from kubetally.domain.words import component_word, days_words, not_checked_words
from kubetally.query.no_match import issues_of_no_account
from kubetally.query.snapshot import Snapshot


def issues_of_snapshot(snapshot: Snapshot, condition: Filter) -> tuple[Issue, ...]:
    """What is wrong with the days of an answer. condition: its filter, which may leave no account."""
    of_facts = issues_of_facts(snapshot.facts, len(snapshot.readable))
    no_account = issues_of_no_account(snapshot, condition)
    return (*no_account, *snapshot.issues, *of_facts, *issues_of_failures(snapshot.days))


def unmeasured_components(facts: Sequence[FactSum], readable: int) -> Iterator[Component]:
    """The components that none of the readable days measured."""
    days = defaultdict[str, int](int)
    for fact in facts:
        days[fact.what] += fact.days
    return (component for component in Component if readable and days[component.value] >= readable)


def issues_of_facts(facts: Sequence[FactSum], readable: int) -> Iterator[Issue]:
    """One issue for each kind and each component that was not measured on some day, with accounts and days."""
    by_what = defaultdict[str, list[FactSum]](list)
    for fact in facts:
        by_what[fact.what].append(fact)
    names_components = any(not fact.is_issue for fact in facts)
    for what, same in by_what.items():
        if what == IssueKind.NOT_MEASURED and names_components:
            continue  # it adds nothing to the components that were not measured
        days = sum(fact.days for fact in same)
        span = _span(min(fact.first for fact in same), max(fact.last for fact in same))
        about = {"accounts": sorted({fact.account_id for fact in same}), "days": days}
        if same[0].is_issue:
            kind = IssueKind(what)
            is_not_checked = kind is IssueKind.HOURS_NOT_CHECKED
            words = not_checked_words(days) if is_not_checked else f"{kind.replace('_', ' ')} on {days_words(days)}"
            yield Issue(kind, words, None, span, None, about)
        else:
            message = f"{component_word(Component(what))} was not measured on {days} of {days_words(readable)}"
            yield Issue(IssueKind.NOT_MEASURED, message, None, span, what, about)


def issues_of_failures(days: Sequence[CoveredDay]) -> Iterator[Issue]:
    """One issue for each code of days that are not in the answer because they failed or are damaged."""
    return issues_of_errors(day for day in days if day.is_failed)


def issues_of_errors(days: Iterable[CoveredDay]) -> Iterator[Issue]:
    """One issue for each code of the last attempts of these days."""
    failed = defaultdict[tuple[str, str], list[CoveredDay]](list)
    for day in days:
        if day.last_error is not None:
            failed[day.last_error].append(day)
    for (code, why), its in failed.items():
        about = {"accounts": sorted({day.account_id for day in its}), "days": len(its), "code": code}
        span = _span(min(day.day for day in its), max(day.day for day in its))
        yield Issue(
            IssueKind.SOURCE_FAILED, f"{days_words(len(its))} could not be collected: {why}", None, span, None, about
        )


def merged_over_accounts(issues: Iterable[Issue]) -> list[Issue]:
    """Issues that say the same as one, with all accounts and the number of their days; missing data first.

    What says that data is missing stays apart where there is data in between.
    """
    same = defaultdict[tuple[IssueKind, str, str | None], list[Issue]](list)
    for issue in issues:
        same[issue.kind, issue.message, issue.subject].append(issue)
    parts = (_touching(its) if its[0].is_missing_data else [its] for its in same.values())
    merged = []
    for its in chain.from_iterable(parts):
        windows = known_spans(*(issue.window for issue in its))
        accounts = sorted({str(id_) for issue in its for id_ in _accounts_of(issue)})
        days = sum(sum(1 for _ in window.days()) for window in windows)
        merged.append(replace(its[0], window=hull(windows), facts={**its[0].facts, "accounts": accounts, "days": days}))
    return sorted(merged, key=lambda issue: not issue.is_missing_data)


def _touching(issues: Sequence[Issue]) -> Iterator[list[Issue]]:
    """The issues whose windows overlap or touch together, by time; those without window first."""
    if without := [issue for issue in issues if issue.window is None]:
        yield without
    for span in joined_spans(known_spans(*(issue.window for issue in issues))):
        yield [issue for issue in issues if issue.window is not None and span.contains(issue.window)]


def _accounts_of(issue: Issue) -> Iterable[object]:
    accounts = issue.facts.get("accounts", ())
    return accounts if isinstance(accounts, list) else ()


def _span(first: date, last: date) -> Window:
    return Window(window_of(first).start, window_of(last).end)
