"""What an answer from stored days lacks, why, and what to do."""

from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime
from math import fsum

from kubetally.domain.account import StoredDays
from kubetally.domain.collection import window_of
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.window import DAY, HOUR, Window, rfc3339
from kubetally.domain.words import days_words, hours_words, name_some, period_words

NO_ACCOUNTS = "there are no accounts: add one with `kubetally accounts add NAME --url URL`"
_NOTHING_YET = (
    "nothing is collected yet: `kubetally serve` stores the first days within minutes, `kubetally collect` at once"
)
_MAX_NAMES = 3
_HOURS_PER_DAY = DAY / HOUR


def no_stored_day(
    window: Window, account_ids: Collection[str], stored: StoredDays, as_of: datetime | None = None
) -> Issue:
    """The issue of an answer without any stored day.

    account_ids: of those that the answer is about; none if there is no account at all. stored: their days in whatever
    window, stored now.
    """
    about = {"accounts": sorted(account_ids)}
    if stored.first is None or stored.last is None:
        message = _NOTHING_YET if account_ids else NO_ACCOUNTS
        return Issue(IssueKind.NOTHING_COLLECTED, message, facts=about)
    message = no_day_words(window, stored.first, last=stored.last)
    if as_of is not None and window.overlap(_span(stored.first, stored.last)) is not None:
        message = f"no day of {period_words(window)} was stored at {rfc3339(as_of)}: use a later instant"
    days = len(account_ids) * len(window.dates())
    return Issue(IssueKind.WINDOW_WITHOUT_DATA, message, window=window, facts={**about, "days": days})


def no_day_words(window: Window, first: date, *, last: date) -> str:
    """That no day of a window is stored. first, last: of the stored days, which may have gaps between them."""
    stored = _span(first, last)
    what = "collect` collects what is due" if window.start >= stored.end else "backfill` collects past days"
    return f"{_stored_words(window, stored)}: `kubetally {what}"


def stored_outside(window: Window, stored: StoredDays) -> str:
    """Which days are stored instead of those of a window; empty if there are none, or some may be in the window."""
    if stored.first is None or stored.last is None:
        return ""
    span = _span(stored.first, stored.last)
    return _stored_words(window, span) if window.overlap(span) is None else ""


def _stored_words(window: Window, stored: Window) -> str:
    return f"no day of {period_words(window)} is stored; all stored days are within {period_words(stored)}"


def hours_without_data(
    lacking: Mapping[str, Mapping[date, float]], names: Mapping[str, str], as_of: datetime | None = None
) -> Iterator[Issue]:
    """The issue of an answer with stored days that lacks others, or hours of them; none if nothing is lacking.

    lacking: the hours without data of each day, by id of the account. names: of these accounts.
    """
    accounts = sorted(id_ for id_, days in lacking.items() if days)
    if not accounts:
        return
    hours = [its for id_ in accounts for its in lacking[id_].values()]
    whole_days = hours.count(_HOURS_PER_DAY)
    amounts = [days_words(whole_days)] if whole_days else []
    if rest := fsum(its for its in hours if its != _HOURS_PER_DAY):
        amounts.append(hours_words(rest))
    of_whom = name_some(sorted(names[id_] for id_ in accounts), _MAX_NAMES)
    verb = "had" if as_of else "has" if amounts in (["1 day"], ["1 hour"]) else "have"
    message = f"{' and '.join(amounts)} of {of_whom} {verb} no data" + _after_gap(as_of, has_days=whole_days > 0)
    window = _span(min(min(lacking[id_]) for id_ in accounts), max(max(lacking[id_]) for id_ in accounts))
    about = {"accounts": accounts, "days": len(hours)}
    yield Issue(IssueKind.WINDOW_WITHOUT_DATA, message, window=window, facts=about)


def _after_gap(as_of: datetime | None, *, has_days: bool) -> str:
    """When data is missing, if not now; and what to do."""
    if as_of is not None:
        return f" at {rfc3339(as_of)}"
    collects = ", `kubetally backfill` collects past days" if has_days else ""
    return f": `kubetally coverage` shows which{collects}"


def _span(first: date, last: date) -> Window:
    return Window(window_of(first).start, window_of(last).end)
