"""What the minutes and hours of a stored day prove of what its source had lost."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kubetally.domain.allocation import Kind
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.booking import Booking
from kubetally.domain.completeness import measure_completeness
from kubetally.domain.component import NO_CLASSES, Costs
from kubetally.domain.efficiency import Hours
from kubetally.domain.evidence.stored import Examined, StoredFacts, examine_stored, facts_of
from kubetally.domain.issues import IssueKind
from kubetally.domain.row import Row
from kubetally.domain.window import DAY, Window

START = datetime(2026, 11, 21, tzinfo=UTC)
WHOLE = Window(START, START + DAY)
HEAD = Booking(
    *(WHOLE, (WHOLE,), (), Costs(), NO_CLASSES, frozenset(), True, "USD", "http://source", 0, ()),
)


def pod(node: str = "n1", hours: float = 24, *, name: str = "web", usage: float = 1, request: float = 1) -> Row:
    return Row(
        Kind.WORKLOAD,
        namespace="shop",
        controller_kind="daemonset",
        pod=name,
        node=node,
        containers=1,
        minutes=hours * 60,
        hours=Hours(cpu_core_request_hours=request, cpu_core_usage_hours=usage),
        costs=Costs(cpu=1000),
    )


def node(name: str = "n1", hours: float = 24, cost: int = 1000) -> Asset:
    return Asset(AssetType.NODE, name, frozenset({name}), WHOLE, Costs(cpu=cost), hours=hours)


def day(rows: list[Row], assets: list[Asset]) -> StoredFacts:
    return facts_of(HEAD, rows, assets, measure_completeness(24, rows, assets, has_assets=True))


FULL = day([pod("n1"), pod("n2")], [node("n1"), node("n2")])


def found(examined: Examined) -> dict[str, float | None]:
    """What is missing, by the subject of its issue, and the hours covered."""
    return {issue.subject or "": examined.hours_covered for issue in examined.issues}


def test_a_whole_day_lacks_nothing() -> None:
    assert examine_stored(FULL, before=FULL, after=FULL) == examine_stored(FULL) == Examined()


@pytest.mark.parametrize("hours", [0, 12, 22])
def test_hours_lacking_between_whole_days_are_missing(hours: float) -> None:
    lossy = day([pod("n1", hours), pod("n2", hours)], [node("n1", hours), node("n2", hours)])
    assert found(examine_stored(lossy, before=FULL, after=FULL)) == {"samples": hours}


def test_a_day_of_few_hours_proves_nothing_by_itself() -> None:
    first = day([pod("n1", 12)], [node("n1", 12)])
    assert (
        examine_stored(first)
        == examine_stored(first, before=None, after=FULL)
        == examine_stored(first, before=FULL, after=None)
        == Examined()
    )


def test_a_cluster_that_is_stopped_every_night_lacks_nothing() -> None:
    short = day([pod("n1", 12)], [node("n1", 12)])
    assert examine_stored(short, before=short, after=short) == Examined()


def test_pods_that_outlive_their_nodes_prove_unpriced_hours() -> None:
    lossy = day([pod("n1"), pod("n2")], [node("n1", 12), node("n2", 12)])
    assert found(examine_stored(lossy)) == {"nodes": 12}
    unpriced = day([pod("n1"), pod("n2")], [node("n1", 24, cost=0), node("n2", 24, cost=0)])
    assert found(examine_stored(unpriced)) == {"nodes": 0}


def test_nodes_that_never_cost_anything_lack_no_price() -> None:
    free = [pod()._replace(costs=Costs())]
    assert examine_stored(day(free, [node(cost=0)])) == Examined()


def test_node_outlived_by_its_pods_is_named_and_takes_no_hours() -> None:
    lossy = day([pod("n1"), pod("n2"), pod("n2", 24, name="other")], [node("n1"), node("n2", 6)])
    examined = examine_stored(lossy, before=FULL, after=FULL)
    assert found(examined) == {"nodes": None}
    (issue,) = examined.issues
    assert (issue.kind, issue.facts) == (IssueKind.NODE_INCOMPLETE, {"nodes": ("n2",)})


def test_a_spot_node_that_left_lacks_nothing() -> None:
    left = day([pod("n1"), pod("n2", 6), pod("n2", 5, name="other")], [node("n1"), node("n2", 6)])
    assert examine_stored(left, before=FULL, after=FULL) == Examined()


def test_pods_that_end_on_nodes_that_stay_prove_lost_samples() -> None:
    half = day([pod("n1", 12), pod("n2", 12)], [node("n1"), node("n2")])
    assert found(examine_stored(half, before=FULL, after=FULL)) == {"pods": 12}
    assert found(examine_stored(half)) == {"pods": 12}


def test_a_restart_of_all_pods_lacks_nothing() -> None:
    rows = [pod(name, 12, name=f"{name}-{part}") for name in ("n1", "n2") for part in (1, 2)]
    restarted = day(rows, [node("n1"), node("n2")])
    assert examine_stored(restarted, before=FULL, after=FULL) == examine_stored(restarted) == Examined()


def test_a_namespace_that_was_emptied_lacks_nothing() -> None:
    rows = [pod("n1"), pod("n2"), *(pod("n1", 24, name=f"app-{number}") for number in range(20))]
    before = day(rows, [node("n1"), node("n2")])
    assert examine_stored(FULL, before=before, after=FULL) == Examined()


def test_usage_of_no_container_is_missing() -> None:
    lossy = day([pod("n1", usage=0), pod("n2", usage=0)], [node("n1"), node("n2")])
    assert found(examine_stored(lossy)) == {"usage": None}


def test_only_requests_that_break_off_are_missing() -> None:
    lossy = day([pod("n1", request=0), pod("n2", request=0)], [node("n1"), node("n2")])
    assert found(examine_stored(lossy, before=FULL, after=FULL)) == {"requests": None}
    assert examine_stored(lossy, before=lossy, after=lossy) == examine_stored(lossy) == Examined()
    assert examine_stored(lossy, before=FULL, after=lossy) == Examined(), "somebody took them away"


def test_issue_is_added_once_and_cuts_hours_covered() -> None:
    lossy = day([pod("n1", 12), pod("n2", 12)], [node("n1", 12), node("n2", 12)])
    examined = examine_stored(lossy, before=FULL, after=FULL)
    head = examined.applied_to(HEAD)
    assert head.covered == (Window(START, START + timedelta(hours=12)),)
    assert examined.applied_to(head) == head
    assert Examined().applied_to(HEAD) == HEAD
    assert replace(examined, hours_covered=0).applied_to(HEAD).covered == ()
