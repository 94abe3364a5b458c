"""Whether what a source answers now may take the place of what is held: a pure decision."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from kubetally.domain.booking import Booking
from kubetally.domain.collection import NO_DATA, CollectedDay, Collection
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import to_shown
from kubetally.ledger.stored import PackedDay

D = TypeVar("D", CollectedDay, PackedDay)

FELL_BY = 0.1
"""A fall of a day's total by more than this part of it is told."""

OVERTAKEN = "overtaken"
"""The code of an answer in whose place a later one is held, which is no failure."""

_STAYS = "; what is held stays"


class Refusal(StrEnum):
    """Why an answer does not take the place of what is held."""

    FEWER_HOURS = "fewer_hours"
    ASSETS_FAILED = "assets_failed"
    METRICS_FAILED = "metrics_failed"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is held stays, because the new answer knows less; `code` and `why` say in what."""

    code: str
    why: str


def judged(new: D, held: Collection | None) -> D | Kept:
    """The day as it is to be committed, with an issue where its total fell; or why it is not.

    Of a day that was collected while it ran, the hours alone are compared: it was not whole.
    """
    found = new.collection
    if not found.head.covered:
        return Kept(NO_DATA, "the source holds no data of this day" + (_STAYS if held else ""))
    if held is None:
        return new
    if held.is_running and not found.is_running:
        return _fewer_hours(found, held) or new
    return _fewer_hours(found, held) or _less(found, held) or _told_if_fallen(new, held)


def overtaken(new: CollectedDay | PackedDay, held: Collection | None, now: datetime) -> Kept | None:
    """Why an answer is not looked at any further: a later one is held, as two may ask for the same day at once.

    What was collected in times to come, by a clock that was set back since, is not later.
    """
    if held is None or not new.collection.collected_at < held.collected_at <= now:
        return None
    return Kept(OVERTAKEN, f"an answer that was asked for later, at {held.collected_at:%Y-%m-%d %H:%M:%S}Z, is held")


def _fewer_hours(found: Collection, held: Collection) -> Kept | None:
    if found.hours_covered >= held.hours_covered:
        return None
    hours = f"{found.hours_covered:g} h where {held.hours_covered:g} h are held"
    return Kept(Refusal.FEWER_HOURS, f"the source answered for {hours}{_STAYS}")


def _less(found: Collection, held: Collection) -> Kept | None:
    """In what the new answer knows less than what is held, beside hours."""
    if _lacks_assets(found) and not _lacks_assets(held):
        return Kept(Refusal.ASSETS_FAILED, f"the source gave no assets for this day{_STAYS}")
    if _lacks_metrics(found) and not _lacks_metrics(held):
        return Kept(Refusal.METRICS_FAILED, f"what measures beside the source gave nothing for this day{_STAYS}")
    return None


def _told_if_fallen(new: D, held: Collection) -> D:
    """With an issue where the total is a tenth less than it was, also when that was told of the held day already."""
    was, now = _fell_from(held), new.collection.head.bill.total
    return _with_issue(new, was, now) if was > 0 and now < was * (1 - FELL_BY) else new


def _fell_from(held: Collection) -> int:
    """Micros of the held day, or from which it fell when it was collected."""
    told = (issue.facts.get("from") for issue in held.head.issues if issue.kind is IssueKind.TOTAL_FELL)
    return max((was for was in told if isinstance(was, int)), default=held.head.bill.total)


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
    issue = Issue(IssueKind.TOTAL_FELL, message, head.source, head.window, facts={"from": was})
    head = replace(head, issues=(*head.issues, issue))
    return replace(new, collection=replace(new.collection, head=head))
