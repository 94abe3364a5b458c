"""Why an answer from stored days has no day, and what to do."""

from collections.abc import Collection
from datetime import date, datetime

from kubetally.domain.account import StoredDays
from kubetally.domain.collection import window_of
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.window import Window, rfc3339
from kubetally.domain.words import period_words

NO_ACCOUNTS = "there are no accounts: add one with `kubetally accounts add NAME --url URL`"
_NOTHING_YET = (
    "nothing is collected yet: `kubetally serve` stores the first days within minutes, `kubetally collect` at once"
)


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
    return (
        f"no day of {period_words(window)} is stored; all stored days are within {period_words(stored)}: "
        f"`kubetally {what}"
    )


def _span(first: date, last: date) -> Window:
    return Window(window_of(first).start, window_of(last).end)
