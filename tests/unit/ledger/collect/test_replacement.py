"""What a later answer may take the place of."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.booking import Booking, ComponentBalance
from kubetally.domain.collection import CollectedDay, Collection, window_of
from kubetally.domain.completeness import Completeness
from kubetally.domain.component import NO_CLASSES, Component, Costs
from kubetally.domain.issues import MISSING_DATA, Issue, IssueKind
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.status import DayState
from kubetally.domain.window import Window
from kubetally.ledger.collect.replacement import KeepStored, decide_replacement, is_superseded, keep_newer

SUPERSEDED = "overtaken"

DAY = date(2026, 11, 20)
WHOLE = window_of(DAY)
NOT_AUDITED = Issue(IssueKind.NOT_AUDITED, "no assets")
NO_METRICS = Issue(IssueKind.SOURCE_FAILED, "no metrics", subject="infrastructure")


def day(
    cpu: int = 100, hours: int = 24, issues: tuple[Issue, ...] = (), *, is_running: bool = False, after: int = 1
) -> CollectedDay:
    """A day collected `after` hours after its end, of which `hours` are covered."""
    covered = (Window(WHOLE.start, WHOLE.start + timedelta(hours=hours)),) if hours else ()
    head = Booking(
        window=WHOLE,
        covered=covered,
        rows=(),
        bill=Costs(cpu=cpu),
        bill_network_classes=NO_CLASSES,
        not_measured=frozenset(),
        assets_complete=True,
        currency="USD",
        source="http://source",
        source_total=cpu,
        issues=issues,
    )
    balance = {Component.CPU: ComponentBalance(cpu, cpu, 0, 0, 0, 0)}
    at = WHOLE.end.replace(tzinfo=UTC) + timedelta(hours=after)
    found = Collection(
        "id", "account", DAY, at, SourceIdentity("http://source"), head, 1 if hours else 0, balance, is_running
    )
    return CollectedDay(found, (), ())


def test_first_answer_is_stored_and_an_empty_one_never() -> None:
    first = day()
    assert decide_replacement(first, None) == first
    empty = decide_replacement(day(cpu=0, hours=0), None)
    assert isinstance(empty, KeepStored)
    assert empty.code == "no_data"
    assert "stays" not in empty.why


@pytest.mark.parametrize(
    ("new", "code"),
    [
        (day(cpu=0, hours=0), "no_data"),
        (day(cpu=200, hours=23), "fewer_hours"),
        (day(issues=(NOT_AUDITED,)), "assets_failed"),
        (day(issues=(NO_METRICS,)), "metrics_failed"),
    ],
)
def test_poorer_answer_replaces_nothing(new: CollectedDay, code: str) -> None:
    verdict = decide_replacement(new, day().collection)
    assert isinstance(verdict, KeepStored)
    assert verdict.code == code
    assert "the stored day was kept" in verdict.why


@pytest.mark.parametrize("issue", [NOT_AUDITED, NO_METRICS])
def test_loss_that_the_stored_day_has_too_does_not_keep_it(issue: Issue) -> None:
    new = day(cpu=200, issues=(issue,))
    assert decide_replacement(new, day(issues=(issue,)).collection) == new


@pytest.mark.parametrize(("cpu", "is_told"), [(100, False), (90, False), (89, True), (0, True), (1000, False)])
def test_fall_by_more_than_a_tenth_is_reported(cpu: int, is_told: bool) -> None:
    verdict = decide_replacement(day(cpu=cpu), day(cpu=100).collection)
    assert isinstance(verdict, CollectedDay)
    told = [issue.kind for issue in verdict.collection.head.issues]
    assert told == ([IssueKind.TOTAL_FELL] if is_told else [])


def test_whole_day_replaces_the_running_day() -> None:
    running = day(cpu=1000, is_running=True).collection
    whole = day(issues=(NOT_AUDITED,))
    assert decide_replacement(whole, running) == whole


def test_day_settles_72_hours_after_its_end_unless_a_part_failed() -> None:
    states = [day(after=hours).collection.state for hours in (1, 71, 72, 1000)]
    assert states == [DayState.PROVISIONAL, DayState.PROVISIONAL, DayState.SETTLED, DayState.SETTLED]
    assert day(after=100, issues=(NO_METRICS,)).collection.state is DayState.PROVISIONAL
    running = replace(day(after=100).collection, collected_at=datetime(2026, 11, 20, 10, tzinfo=UTC))
    assert running.state is DayState.PROVISIONAL


@pytest.mark.parametrize("kind", sorted(MISSING_DATA))
def test_day_with_missing_data_never_settles(kind: IssueKind) -> None:
    assert day(after=1000, issues=(Issue(kind, "something is missing"),)).collection.state is DayState.PROVISIONAL


@pytest.mark.parametrize("hours", [1, 12, 23])
def test_day_that_lacks_hours_never_settles(hours: int) -> None:
    assert day(after=1000, hours=hours).collection.state is DayState.PROVISIONAL


def test_running_day_with_more_hours_is_kept() -> None:
    verdict = decide_replacement(day(hours=1), day(hours=23, is_running=True).collection)
    assert isinstance(verdict, KeepStored)
    assert verdict.code == "fewer_hours"


def test_fall_is_reported_until_the_total_recovers() -> None:
    fallen = decide_replacement(day(cpu=50), day(cpu=100).collection)
    assert isinstance(fallen, CollectedDay)
    for cpu, is_told in ((50, True), (49, True), (91, False)):
        again = decide_replacement(day(cpu=cpu), fallen.collection)
        assert isinstance(again, CollectedDay)
        assert [issue.facts for issue in again.collection.head.issues] == ([{"from": 100}] if is_told else [])


def test_newer_stored_day_supersedes_unless_it_is_from_the_future() -> None:
    earlier, later = day(after=1), day(after=2).collection
    afterwards, before = later.collected_at + timedelta(minutes=1), later.collected_at - timedelta(minutes=1)
    assert is_superseded(earlier, later, afterwards)
    late = keep_newer(later)
    assert late.code == SUPERSEDED
    assert "2026-11-21 02:00:00Z" in late.why
    assert not is_superseded(earlier, later, before), "the clock was set back"
    assert not is_superseded(day(after=2), later, afterwards)
    assert not is_superseded(day(after=3), later, afterwards)
    assert not is_superseded(earlier, None, afterwards)


FULL = Completeness(24, 96, 1344, 1080, 1344)


def of(figures: Completeness, *issues: Issue, is_running: bool = False) -> CollectedDay:
    """A day with these hours of nodes and containers."""
    made = day(issues=issues, is_running=is_running)
    return replace(made, collection=replace(made.collection, completeness=figures))


@pytest.mark.parametrize("name", ["node_hours", "container_hours", "request_hours", "usage_hours"])
@pytest.mark.parametrize("stored_while_running", [False, True])
def test_rejected_answer_reports_both_figures(name: str, stored_while_running: bool) -> None:
    poorer = replace(FULL, **{name: 0.0})
    verdict = decide_replacement(of(poorer), of(FULL, is_running=stored_while_running).collection)
    assert isinstance(verdict, KeepStored)
    assert verdict.code == "less_complete"
    assert f"0 {'node' if name == 'node_hours' else 'container'}-hours" in verdict.why
    assert f"{getattr(FULL, name)} are stored" in verdict.why
    assert isinstance(decide_replacement(of(FULL), of(poorer).collection), CollectedDay), (
        "the fuller one replaces at once"
    )


def test_day_of_an_earlier_version_is_compared_by_its_hours() -> None:
    unmeasured = day().collection
    assert unmeasured.completeness is None
    assert isinstance(decide_replacement(of(replace(FULL, container_hours=0)), unmeasured), CollectedDay)


def test_small_losses_do_not_add_up() -> None:
    stored = of(FULL)
    for _ in range(3):
        verdict = decide_replacement(of(replace(FULL, node_hours=95.7)), stored.collection)
        assert isinstance(verdict, CollectedDay)
        stored = verdict
    assert isinstance(decide_replacement(of(replace(FULL, node_hours=95.4)), stored.collection), KeepStored)


def test_rows_stored_twice_may_be_missing() -> None:
    twice = Issue(IssueKind.DUPLICATE_ROWS, "came twice", facts={"equal": 0, "unlike": 3})
    once = replace(FULL, container_hours=FULL.container_hours - 3 * 24)
    stored = of(FULL, twice).collection
    verdict = decide_replacement(of(once), stored)
    assert isinstance(verdict, CollectedDay)
    assert verdict.collection.completeness == once
    assert isinstance(decide_replacement(of(once, twice), stored), KeepStored), (
        "they came twice again, and less of them"
    )
    assert isinstance(decide_replacement(of(replace(once, container_hours=1000)), stored), KeepStored)


def test_forced_answer_replaces_a_fuller_day_and_is_reported() -> None:
    poorer = of(replace(FULL, node_hours=48))
    verdict = decide_replacement(poorer, of(FULL).collection, force=True)
    assert isinstance(verdict, CollectedDay)
    (issue,) = verdict.collection.head.issues
    assert issue.kind is IssueKind.REPLACED_BY_FORCE
    assert not issue.is_missing_data
    assert issue.facts == {"collection": "id", "replaced": "id", "at": "2026-11-21T01:00:00Z"}
    assert "48 node-hours where 96 are stored" in issue.message
    assert decide_replacement(of(FULL), of(FULL).collection, force=True) == of(FULL), "nothing was forced"
    assert isinstance(decide_replacement(day(hours=0), of(FULL).collection, force=True), KeepStored), (
        "no data replaces nothing"
    )


def test_same_answer_examined_closer_replaces_more_hours() -> None:
    stored = of(FULL).collection
    lacking = day(hours=21)
    closer = replace(lacking, collection=replace(lacking.collection, completeness=replace(FULL, hours_covered=21)))
    assert decide_replacement(closer, stored) == closer
    another = replace(closer, collection=replace(closer.collection, rows=2))
    assert isinstance(decide_replacement(another, stored), KeepStored)
    poorer = replace(FULL, hours_covered=21, usage_hours=0)
    assert isinstance(
        decide_replacement(replace(closer, collection=replace(closer.collection, completeness=poorer)), stored),
        KeepStored,
    )


def test_rows_without_evidence_are_kept_unless_more_is_stored() -> None:
    lossy = day(hours=12)
    head = replace(lossy.collection.head, covered=())
    lossy = replace(lossy, collection=replace(lossy.collection, head=head))
    assert decide_replacement(lossy, None) == lossy
    assert isinstance(decide_replacement(lossy, of(FULL).collection), KeepStored)


def test_node_stored_twice_may_be_missing() -> None:
    twice = Issue(IssueKind.MACHINE_TWICE, "listed twice", facts={"assets": ("node n1 (4.8)", "disk d1 (0.1)")})
    once = replace(FULL, node_hours=72)
    assert isinstance(decide_replacement(of(once, twice), of(FULL).collection), CollectedDay)
    assert isinstance(decide_replacement(of(once), of(FULL).collection), KeepStored)
    assert isinstance(decide_replacement(of(once, twice), of(FULL, twice).collection), KeepStored)


def test_machine_stored_twice_is_measured_once() -> None:
    nodes = [
        Asset(AssetType.NODE, name, frozenset({name}), WHOLE, Costs(cpu=5), provider_id="i-0123456789abcdef0", hours=24)
        for name in ("ip-10-0-0-1", "ip-10-0-0-1.ec2.internal")
    ]
    assert day().collection.measured([], nodes).node_hours == 24
