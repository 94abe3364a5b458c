"""Whether what a source answers now may take the place of what is held: a pure decision."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from kubetally.domain.asset import AssetType
from kubetally.domain.booking import Booking
from kubetally.domain.collection import NO_DATA, CollectedDay, Collection
from kubetally.domain.completeness import NOTHING_TWICE, Completeness, Shortfall, find_shortfalls
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import to_shown
from kubetally.domain.window import rfc3339
from kubetally.ledger.ports.lake import PackedDay

D = TypeVar("D", CollectedDay, PackedDay)

FELL_BY = 0.1
"""A fall of a day's total by more than this part of it is told."""

SUPERSEDED = "overtaken"
"""The code of an answer in whose place a later one is held, which is no failure."""

NOT_TRIED, NOT_BEGUN = "not_tried", "not_begun"
"""Codes of days that nobody was asked for."""

_KEPT = "; the stored day was kept"
_LOST = "; it is not used, as the stored day, whose rows the lake lost, held more"
_FORCE = "kubetally backfill --force"


class RejectReason(StrEnum):
    """Why an answer does not replace the stored day."""

    FEWER_HOURS = "fewer_hours"
    ASSETS_FAILED = "assets_failed"
    METRICS_FAILED = "metrics_failed"
    LESS_COMPLETE = "less_complete"


@dataclass(frozen=True, slots=True)
class KeepStored:
    """The stored day stays, because the new answer holds less; `code` and `why` say in what."""

    code: str
    why: str


def decide_replacement(new: D, held: Collection | None, *, force: bool = False) -> D | KeepStored:
    """The day as it is to be committed, with an issue where its total fell; or why the stored one stays.

    Of a day that was collected while it ran, hours alone are compared: it was not whole. With `force`, an answer that
    holds less replaces the stored day all the same, which an issue of it tells; one without any data never does.
    """
    found = new.collection
    if not found.head.covered and not found.rows:
        return KeepStored(NO_DATA, "the source has no data for this day" + (_KEPT if held else ""))
    if held is None:
        return new
    lower = _find_loss(found, held)
    if lower is not None:
        return _forced(new, held, lower) if force else lower
    new = _not_below(new, held)
    return new if held.is_running and not found.is_running else _told_if_fallen(new, held)


def of_lost_day(kept: KeepStored) -> KeepStored:
    """The same, where the stored day is only known to have held more, and can't be read any more."""
    return replace(kept, why=kept.why.replace(_KEPT, _LOST))


def is_superseded(new: CollectedDay | PackedDay, held: Collection | None, now: datetime) -> bool:
    """Whether the stored day was collected after this one: two processes may collect a day at the same time.

    A stored day from the future (the clock was set back since) supersedes nothing.
    """
    return held is not None and new.collection.collected_at < held.collected_at <= now


def keep_newer(held: Collection) -> KeepStored:
    """Keep the stored day, which supersedes the new answer."""
    return KeepStored(
        SUPERSEDED, f"superseded by a newer collection, started at {held.collected_at:%Y-%m-%d %H:%M:%S}Z"
    )


def _find_loss(found: Collection, held: Collection) -> KeepStored | None:
    """In what the new answer holds less than the stored day (B11)."""
    if not held.is_running or found.is_running:
        if not found.has_assets and held.has_assets:
            return KeepStored(RejectReason.ASSETS_FAILED, f"the source returned no assets for this day{_KEPT}")
        if _lacks_metrics(found) and not _lacks_metrics(held):
            return KeepStored(RejectReason.METRICS_FAILED, f"Prometheus returned no data for this day{_KEPT}")
    lower = _shortfalls(found, held)
    if not lower or ([figure.name for figure in lower] == ["hours_covered"] and _is_same_answer(found, held)):
        return None
    code = RejectReason.FEWER_HOURS if lower[0].name == "hours_covered" else RejectReason.LESS_COMPLETE
    return KeepStored(code, f"the source returned less: {', '.join(map(str, lower))}{_KEPT} (to replace it: {_FORCE})")


def _is_same_answer(found: Collection, held: Collection) -> bool:
    """Whether the source returned the same figures again: an hour that lacks evidence now lacked it then."""
    is_of_same_window = found.head.window == held.head.window and found.is_running == held.is_running
    return is_of_same_window and found.rows == held.rows and found.balance == held.balance


def _shortfalls(found: Collection, held: Collection) -> list[Shortfall]:
    mine, its = _completeness(found), _completeness(held)
    return find_shortfalls(mine, its, _counted_twice(found, held))


def _completeness(collection: Collection) -> Completeness:
    """What is known of it; nothing but the hours covered where it could not be measured."""
    return collection.completeness or Completeness(collection.hours_covered, None, 0.0, 0.0, 0.0)


def _counted_twice(found: Collection, held: Collection) -> Completeness:
    """By how much the stored figures may be too high.

    Either rows came twice then and do not now, or the source lists nodes twice, which was not seen then.
    """
    rows = max(0, _rows_twice(held) - _rows_twice(found)) * held.hours_covered
    nodes = max(0, _nodes_twice(found) - _nodes_twice(held)) * held.hours_covered
    return Completeness(0.0, nodes, rows, rows, rows)


def _rows_twice(collection: Collection) -> int:
    """How many rows came under the name of another, and count."""
    counts = (issue.facts.get("unlike") for issue in collection.head.issues if issue.kind is IssueKind.DUPLICATE_ROWS)
    return sum(count for count in counts if isinstance(count, int))


def _nodes_twice(collection: Collection) -> int:
    """How many nodes were listed twice, and count once."""
    facts = (issue.facts.get("assets") for issue in collection.head.issues if issue.kind is IssueKind.MACHINE_TWICE)
    names = (name for some in facts if isinstance(some, tuple) for name in some)
    return sum(str(name).startswith(f"{AssetType.NODE.value} ") for name in names)


def _not_below(new: D, held: Collection) -> D:
    """With the stored figures where they are a little higher: a day must not lose a bit with each answer."""
    mine = new.collection.completeness
    if mine is None or held.completeness is None or _counted_twice(new.collection, held) != NOTHING_TWICE:
        return new
    most = replace(mine.most(held.completeness), hours_covered=mine.hours_covered)  # that is judged anew each time
    return replace(new, collection=replace(new.collection, completeness=most))


def _forced(new: D, held: Collection, lower: KeepStored) -> D:
    head = new.collection.head
    message = f"`{_FORCE}` replaced a day that held more: {lower.why.partition(_KEPT)[0]}"
    facts = {"collection": new.collection.id, "replaced": held.id, "at": rfc3339(new.collection.collected_at)}
    return _with_issue(new, Issue(IssueKind.REPLACED_BY_FORCE, message, head.source, head.window, facts=facts))


def _told_if_fallen(new: D, held: Collection) -> D:
    """With an issue where the total is a tenth less than it was, also when that was told of the held day already."""
    was, now = _fell_from(held), new.collection.head.bill.total
    if not (was > 0 and now < was * (1 - FELL_BY)):
        return new
    head = new.collection.head
    message = (
        f"collected again, this day costs {to_shown(now)} {head.currency} and no longer {to_shown(was)}: see whether "
        "the source has lost something"
    )
    return _with_issue(new, Issue(IssueKind.TOTAL_FELL, message, head.source, head.window, facts={"from": was}))


def _fell_from(held: Collection) -> int:
    """Micros of the held day, or from which it fell when it was collected."""
    told = (issue.facts.get("from") for issue in held.head.issues if issue.kind is IssueKind.TOTAL_FELL)
    return max((was for was in told if isinstance(was, int)), default=held.head.bill.total)


def _lacks_metrics(collection: Collection) -> bool:
    issues = collection.head.issues
    return any(issue.kind is IssueKind.SOURCE_FAILED and issue.subject == "infrastructure" for issue in issues)


def _with_issue(new: D, issue: Issue) -> D:
    head: Booking = new.collection.head
    head = replace(head, issues=(*head.issues, issue))
    return replace(new, collection=replace(new.collection, head=head))
