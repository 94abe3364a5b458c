"""Whether a new answer replaces the stored day: a pure decision."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from kubetally.domain.asset import AssetType
from kubetally.domain.booking import Booking
from kubetally.domain.collection import NO_DATA, SUPERSEDED, CollectedDay, Collection, RejectReason
from kubetally.domain.completeness import NOTHING_TWICE, Completeness, Shortfall, find_shortfalls
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.money import to_shown
from kubetally.domain.window import rfc3339
from kubetally.ledger.ports.lake import PackedDay

D = TypeVar("D", CollectedDay, PackedDay)

MAX_FALL = 0.1
"""An issue reports that a day's total fell by more than this part of it."""

_KEPT = "; the stored day was kept"
_NOT_USED = "; it was not stored, because the rows that the lake lost held more"
_FORCE = "kubetally backfill --force"


@dataclass(frozen=True, slots=True)
class KeepStored:
    """The stored day stays, because the new answer holds less.

    reason: what it lacks. effect: what became of it, and hint what to do; as they follow `reason` in `why`.
    """

    code: str
    reason: str
    effect: str = ""
    hint: str = ""

    @property
    def why(self) -> str:
        """The whole message."""
        return f"{self.reason}{self.effect}{self.hint}"


def decide_replacement(new: D, stored: Collection | None, *, force: bool = False) -> D | KeepStored:
    """The day as it is to be committed, with an issue if its total fell; or why the stored one stays.

    A day that was stored while it ran is compared by its hours only. force: an answer that holds less replaces the
    stored day as well, and gets an issue; an answer without any data never does.
    """
    collection = new.collection
    if not collection.head.covered and not collection.rows:
        return KeepStored(NO_DATA, "the source has no data for this day", _KEPT if stored else "")
    if stored is None:
        return new
    loss = _find_loss(collection, stored)
    if loss is not None:
        return _forced(new, stored, loss) if force else loss
    new = _not_below(new, stored)
    return new if stored.is_running and not collection.is_running else _with_fall_issue(new, stored)


def of_lost_day(kept: KeepStored) -> KeepStored:
    """The same decision, if the lake lost the rows of the stored day."""
    return replace(kept, effect=_NOT_USED) if kept.effect else kept


def is_superseded(new: CollectedDay | PackedDay, stored: Collection | None, now: datetime) -> bool:
    """Whether the stored day was collected after this one: two processes may collect a day at the same time.

    A stored day from the future (the clock was set back since) supersedes nothing.
    """
    return stored is not None and new.collection.collected_at < stored.collected_at <= now


def keep_newer(stored: Collection) -> KeepStored:
    """Keep the stored day, which supersedes the new answer."""
    started = f"{stored.collected_at:%Y-%m-%d %H:%M:%S}Z"
    return KeepStored(SUPERSEDED, f"superseded by a newer collection, started at {started}")


def _find_loss(new: Collection, stored: Collection) -> KeepStored | None:
    """What the new answer lacks of the stored day (B11)."""
    if not stored.is_running or new.is_running:
        if not new.has_assets and stored.has_assets:
            return KeepStored(RejectReason.ASSETS_FAILED, "the source returned no assets for this day", _KEPT)
        if _lacks_metrics(new) and not _lacks_metrics(stored):
            return KeepStored(RejectReason.METRICS_FAILED, "Prometheus returned no data for this day", _KEPT)
    shortfalls = _shortfalls(new, stored)
    if not shortfalls:
        return None
    if [shortfall.name for shortfall in shortfalls] == ["hours_covered"] and _is_same_answer(new, stored):
        return None
    code = RejectReason.FEWER_HOURS if shortfalls[0].name == "hours_covered" else RejectReason.LESS_COMPLETE
    reason = f"the source returned less: {', '.join(map(str, shortfalls))}"
    return KeepStored(code, reason, _KEPT, f" (to replace it: {_FORCE})")


def _is_same_answer(new: Collection, stored: Collection) -> bool:
    """Whether the source returned the same figures again: an hour without evidence now had none then."""
    is_of_same_window = new.head.window == stored.head.window and new.is_running == stored.is_running
    return is_of_same_window and new.rows == stored.rows and new.balance == stored.balance


def _shortfalls(new: Collection, stored: Collection) -> list[Shortfall]:
    return find_shortfalls(_completeness(new), stored=_completeness(stored), counted_twice=_counted_twice(new, stored))


def _completeness(collection: Collection) -> Completeness:
    """Its completeness; only its hours covered if that was not measured."""
    return collection.completeness or Completeness(collection.hours_covered, None, 0.0, 0.0, 0.0)


def _counted_twice(new: Collection, stored: Collection) -> Completeness:
    """By how much the stored figures may be too high.

    Either its rows came twice and those of the new answer do not, or the source lists nodes twice, which was not
    noticed then.
    """
    rows = max(0, _duplicate_rows(stored) - _duplicate_rows(new)) * stored.hours_covered
    nodes = max(0, _duplicate_nodes(new) - _duplicate_nodes(stored)) * stored.hours_covered
    return Completeness(0.0, nodes, rows, rows, rows)


def _duplicate_rows(collection: Collection) -> int:
    """How many rows had the name of another row, and were counted."""
    counts = (issue.facts.get("unlike") for issue in collection.head.issues if issue.kind is IssueKind.DUPLICATE_ROWS)
    return sum(count for count in counts if isinstance(count, int))


def _duplicate_nodes(collection: Collection) -> int:
    """How many nodes were listed twice, and counted once."""
    facts = (issue.facts.get("assets") for issue in collection.head.issues if issue.kind is IssueKind.MACHINE_TWICE)
    names = (name for assets in facts if isinstance(assets, tuple) for name in assets)
    return sum(str(name).startswith(f"{AssetType.NODE.value} ") for name in names)


def _not_below(new: D, stored: Collection) -> D:
    """With the stored completeness where that is a little higher, so that small losses can't add up; not its hours."""
    mine = new.collection.completeness
    if mine is None or stored.completeness is None or _counted_twice(new.collection, stored) != NOTHING_TWICE:
        return new
    completeness = replace(mine.maximum(stored.completeness), hours_covered=mine.hours_covered)
    return replace(new, collection=replace(new.collection, completeness=completeness))


def _forced(new: D, stored: Collection, loss: KeepStored) -> D:
    head = new.collection.head
    message = f"`{_FORCE}` replaced a day that held more: {loss.reason}"
    facts = {"collection": new.collection.id, "replaced": stored.id, "at": rfc3339(new.collection.collected_at)}
    return _with_issue(new, Issue(IssueKind.REPLACED_BY_FORCE, message, head.source, head.window, facts=facts))


def _with_fall_issue(new: D, stored: Collection) -> D:
    """With an issue if the total fell by more than a tenth, now or when the stored day was collected."""
    was, now = _fell_from(stored), new.collection.head.bill.total
    if not (was > 0 and now < was * (1 - MAX_FALL)):
        return new
    head = new.collection.head
    message = (
        f"collected again, this day fell from {to_shown(was)} to {to_shown(now)} {head.currency}; check whether the "
        "source has lost data"
    )
    return _with_issue(new, Issue(IssueKind.TOTAL_FELL, message, head.source, head.window, facts={"from": was}))


def _fell_from(stored: Collection) -> int:
    """The total of the stored day in micros, or from which it fell when it was collected."""
    totals = (issue.facts.get("from") for issue in stored.head.issues if issue.kind is IssueKind.TOTAL_FELL)
    return max((total for total in totals if isinstance(total, int)), default=stored.head.bill.total)


def _lacks_metrics(collection: Collection) -> bool:
    issues = collection.head.issues
    return any(issue.kind is IssueKind.SOURCE_FAILED and issue.subject == "infrastructure" for issue in issues)


def _with_issue(new: D, issue: Issue) -> D:
    head: Booking = new.collection.head
    head = replace(head, issues=(*head.issues, issue))
    return replace(new, collection=replace(new.collection, head=head))
