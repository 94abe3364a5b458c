"""A day against the days around it: nodes in between, and shares that break off (B10 c and d)."""

from dataclasses import replace

import pytest

from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.completeness import Completeness
from kubetally.domain.component import Costs
from kubetally.domain.evidence.days_around import DayFacts, compare_days, facts_of, new_issues
from kubetally.domain.issues import IssueKind
from kubetally.domain.window import DAY, HOUR, Window
from tests.unit.domain.clusters import MIDNIGHT, TODAY

WHOLE = Completeness(24, 48, 100, 80, 100)


def facts(day: int = 0, completeness: Completeness = WHOLE, **hours: float) -> DayFacts:
    window = Window(MIDNIGHT + day * DAY, MIDNIGHT + (day + 1) * DAY)
    return DayFacts(window, "http://source", completeness, hours or {"n1": 24, "n2": 24})


def kinds(before: DayFacts | None, day: DayFacts, after: DayFacts | None) -> list[IssueKind]:
    return [issue.kind for issue in compare_days(before=before, day=day, after=after)]


def test_days_alike_lack_nothing() -> None:
    assert kinds(facts(-1), facts(), facts(1)) == []


@pytest.mark.parametrize("listed", [{"n1": 24.0, "n2": 12.0}, {"n1": 24.0}])
def test_node_there_before_and_after_was_there_in_between(listed: dict[str, float]) -> None:
    (issue,) = compare_days(before=facts(-1), day=facts(**listed), after=facts(1))
    assert (issue.kind, issue.facts["nodes"]) == (IssueKind.NODE_INCOMPLETE, ("n2",))


def test_reworded_issue_of_stored_day_is_not_added_again() -> None:
    (issue,) = compare_days(before=facts(-1), day=facts(n1=24), after=facts(1))
    assert new_issues([issue], [replace(issue, message="in the words of an earlier version")]) == []
    assert new_issues([issue], [replace(issue, facts={"nodes": ("n9",)})]) == [issue]
    assert new_issues([issue], [replace(issue, window=facts(-1).window)]) == [issue]


def test_node_that_comes_or_goes_is_no_loss() -> None:
    assert kinds(facts(-1), facts(n1=24, n2=12), facts(1, n1=24)) == []
    assert kinds(facts(-1, n1=24), facts(n1=24, n2=12), facts(1)) == []
    assert kinds(facts(-1, n1=24, n2=20), facts(n1=24, n2=12), facts(1)) == []


def test_only_whole_days_right_around_are_compared() -> None:
    lacking = facts(n1=24)
    assert kinds(None, lacking, facts(1)) == []
    assert kinds(facts(-2), lacking, facts(1)) == []
    half = replace(facts(-1), window=Window(MIDNIGHT - DAY, MIDNIGHT - 12 * HOUR))
    assert kinds(half, lacking, facts(1)) == []
    assert kinds(facts(-1), replace(lacking, window=Window(TODAY.start, TODAY.end - HOUR)), facts(1)) == []


@pytest.mark.parametrize("beside", [(facts(-1), None), (None, facts(1)), (facts(-1), facts(1))])
def test_usage_that_breaks_off_is_missing(beside: tuple[DayFacts | None, DayFacts | None]) -> None:
    half_of_the_kubelets = facts(completeness=replace(WHOLE, usage_hours=50))
    assert kinds(beside[0], half_of_the_kubelets, beside[1]) == [IssueKind.USAGE_MISSING]
    without_requests = facts(completeness=replace(WHOLE, request_hours=0))
    assert kinds(beside[0], without_requests, beside[1]) == [IssueKind.REQUESTS_MISSING]


def test_namespace_emptied_on_purpose_is_no_loss() -> None:
    """Most containers are gone; of those that stay, as many have usage and requests as before, or about."""
    smaller = facts(completeness=Completeness(24, 48, 20, 12, 20))
    assert kinds(facts(-1), smaller, facts(1)) == []
    # What is gone are all containers with a request.
    without_requests = facts(completeness=Completeness(24, 48, 20, 0, 20))
    assert kinds(facts(-1), without_requests, facts(1)) == []


def test_cluster_in_which_nobody_requests_anything_is_no_loss() -> None:
    few = replace(WHOLE, request_hours=10)
    assert kinds(facts(-1, few), facts(completeness=replace(few, request_hours=0)), facts(1, few)) == []


def test_machines_of_one_name_add_up() -> None:
    def machine(hours: float, cost: int = 1) -> Asset:
        return Asset(AssetType.NODE, "n1", frozenset({"n1"}), TODAY, Costs(cpu=cost), hours=hours)

    found = facts_of(TODAY, "http://source", WHOLE, [machine(10), machine(14), machine(24, cost=0)])
    assert (found.node_hours, found.whole_nodes) == ({"n1": 24}, {"n1"})
