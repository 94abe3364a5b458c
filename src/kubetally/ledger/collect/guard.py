"""Whether what a source answers now may take the place of what is held: a pure decision."""

from dataclasses import dataclass, replace
from typing import TypeVar

from kubetally.domain.booking import Booking
from kubetally.domain.collection import NO_DATA, CollectedDay, Collection
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import to_shown
from kubetally.ledger.stored import PackedDay

D = TypeVar("D", CollectedDay, PackedDay)

FELL_BY = 0.1
"""A fall of a day's total by more than this part of it is told."""


_STAYS = "; what is held stays"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is held stays, because the new answer knows less; `code` and `why` say in what."""

    code: str
    why: str


def judged(new: D, held: Collection | None) -> D | Kept:
    """The day as it is to be committed, with an issue where its total fell; or why it is not."""
    found = new.collection
    if not found.head.covered:
        return Kept(NO_DATA, "the source holds no data of this day" + (_STAYS if held else ""))
    if held is None or (held.is_running and not found.is_running):
        return new
    return _less(found, held) or _told_if_fallen(new, held)


def _less(found: Collection, held: Collection) -> Kept | None:
    """In what the new answer knows less than what is held."""
    if found.hours_covered < held.hours_covered:
        hours = f"{found.hours_covered:g} h where {held.hours_covered:g} h are held"
        return Kept("fewer_hours", f"the source answered for {hours}{_STAYS}")
    if _lacks_assets(found) and not _lacks_assets(held):
        return Kept("assets_failed", f"the source gave no assets for this day{_STAYS}")
    if _lacks_metrics(found) and not _lacks_metrics(held):
        return Kept("metrics_failed", f"what measures beside the source gave nothing for this day{_STAYS}")
    return None


def _told_if_fallen(new: D, held: Collection) -> D:
    was, now = held.head.bill.total, new.collection.head.bill.total
    return _with_issue(new, was, now) if was > 0 and now < was * (1 - FELL_BY) else new


def _lacks_assets(collection: Collection) -> bool:
    return any(issue.kind is IssueKind.NOT_AUDITED for issue in collection.head.issues)


def _lacks_metrics(collection: Collection) -> bool:
    issues = collection.head.issues
    return any(issue.kind is IssueKind.SOURCE_FAILED and issue.subject == "infrastructure" for issue in issues)


def _with_issue(new: D, was: int, now: int) -> D:
    head: Booking = new.collection.head
    message = (
        f"collected again, this day costs {to_shown(now)} {head.currency} and no longer {to_shown(was)}: see whether "
        "the source has lost something"
    )
    issue = Issue(IssueKind.TOTAL_FELL, message, head.source, head.window)
    head = replace(head, issues=(*head.issues, issue))
    return replace(new, collection=replace(new.collection, head=head))
