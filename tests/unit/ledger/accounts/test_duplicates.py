"""What is seen of several clusters together."""

from dataclasses import replace

from kubetally.domain.allocation import Kind
from kubetally.domain.booking import Booking
from kubetally.domain.component import NO_CLASSES, ZERO, Costs
from kubetally.domain.efficiency import Hours
from kubetally.domain.errors import SourceError
from kubetally.domain.fleet import Failed, fleet_sums
from kubetally.domain.issues import IssueKind
from kubetally.domain.live_costs import LiveCosts
from kubetally.domain.report import ClusterReport
from kubetally.domain.row import Row
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.window import Window, parse_instant
from kubetally.ledger.accounts.duplicates import flag_duplicate_clusters, flag_duplicates_of_live
from kubetally.ledger.costs.join import UNSTATED
from tests.unit.domain.clusters import cluster_costs

DAY = Window(parse_instant("2026-11-20"), parse_instant("2026-11-21"))


def booking(url: str, node: str) -> Booking:
    return Booking(
        window=DAY,
        covered=(DAY,),
        rows=(Row(Kind.WORKLOAD, namespace="shop", pod="web", node=node),),
        bill=ZERO,
        bill_network_classes=NO_CLASSES,
        not_measured=frozenset(),
        assets_complete=True,
        currency="USD",
        source=url,
        source_total=0,
        issues=(),
    )


def costs(url: str, cluster_id: str | None, node: str) -> ClusterReport:
    return cluster_costs(booking(url, node), source=SourceIdentity(url, cluster_id=cluster_id))


def test_a_cluster_behind_two_urls_is_told_on_both() -> None:
    one, other, third = flag_duplicate_clusters(
        [costs("http://a", "prod", "n1"), costs("http://b", "prod", "n1"), costs("http://c", "test", "n1")]
    )
    assert [issue.kind for issue in one.issues] == [IssueKind.SAME_CLUSTER_TWICE]
    assert "http://b" in one.issues[0].message
    assert "http://a" in other.issues[0].message
    assert third.issues == ()


def test_an_id_alone_proves_nothing() -> None:
    default = [costs("http://a", "default-cluster", "n1"), costs("http://b", "default-cluster", "n2")]
    assert flag_duplicate_clusters(default) == default
    nameless = [costs("http://a", None, "n1"), costs("http://b", None, "n1")]
    assert flag_duplicate_clusters(nameless) == nameless


def test_figures_stay_as_they_are() -> None:
    twice = [costs("http://a", "prod", "n1"), costs("http://b", "prod", "n1")]
    assert [replace(told, issues=()) for told in flag_duplicate_clusters(twice)] == twice


def used(name: str, requested: float | None, usage: float, cost: int, currency: str = "USD") -> ClusterReport:
    """A cluster with one pod, whose CPU costs so many micros, and as much idle again."""
    hours = Hours(cpu_core_request_hours=requested, cpu_core_usage_hours=usage)
    rows = (
        Row(Kind.WORKLOAD, namespace="shop", pod="web", node="n1", costs=Costs(cpu=cost), hours=hours),
        Row(Kind.IDLE, costs=Costs(cpu=cost)),
        Row(Kind.DIFFERENCE, costs=Costs(cpu=-1)),
    )
    bill = Costs(cpu=2 * cost - 1)
    day = replace(booking(name, "n1"), rows=rows, bill=bill, source_total=cost, currency=currency)
    return cluster_costs(day, source=SourceIdentity(name), currency=currency)


def test_fleet_sum_adds_costs_and_takes_efficiency_of_summed_hours() -> None:
    [fleet] = fleet_sums([used("http://a", 10, 9, 1_000_000), used("http://b", 90, 9, 3_000_000)])
    assert (fleet.currency, fleet.total, fleet.source_total) == ("USD", 7_999_998, 4_000_000)
    assert (fleet.idle, fleet.difference) == (4_000_000, -2)
    assert fleet.efficiency == (0.18, None, 0.18), "18 of 100 core-hours, not the average of 90 and 10 %"
    assert (fleet.hours_asked, fleet.hours_covered, fleet.incomplete) == (48, 48, ())


def test_fleet_sum_leaves_out_requests_that_nobody_measured() -> None:
    [fleet] = fleet_sums([used("http://a", None, 9, 1_000_000), used("http://b", 90, 9, 3_000_000)])
    assert fleet.efficiency.cpu == 0.1
    [fleet] = fleet_sums([used("http://a", None, 9, 1_000_000)])
    assert fleet.efficiency == (None, None, None)


def test_fleet_sum_names_missing_hours_and_splits_currencies() -> None:
    whole, euro = used("http://a", 10, 9, 1_000_000), used("http://b", 10, 9, 1_000_000, "EUR")
    half = replace(whole, source=SourceIdentity("http://half"), coverage=replace(whole.coverage, hours_asked=48))
    empty = cluster_costs(window=DAY, source=SourceIdentity("http://empty"))
    dollars, euros = fleet_sums([whole, euro, half, empty])
    assert (dollars.currency, euros.currency, euros.incomplete) == ("USD", "EUR", ())
    assert dollars.total == 2 * whole.bill.total
    assert [(of.source.url, hours) for of, hours in dollars.incomplete] == [("http://half", 24), ("http://empty", 24)]
    assert (dollars.hours_covered, dollars.hours_asked) == (48, 96)
    assert fleet_sums([empty]) == []


def test_what_sources_were_asked_for_is_compared_too() -> None:
    live = [
        LiveCosts(SourceIdentity(url, cluster_id="prod"), UNSTATED, (booking(url, "n1"),), ())
        for url in ("http://a", "http://b")
    ]
    failed = Failed(SourceIdentity("http://c"), SourceError("away"))
    one, same, other = flag_duplicates_of_live([live[0], failed, live[1]], DAY)
    assert same is failed
    assert [issue.kind for flagged in (one, other) if isinstance(flagged, LiveCosts) for issue in flagged.issues] == [
        IssueKind.SAME_CLUSTER_TWICE,
        IssueKind.SAME_CLUSTER_TWICE,
    ]
    assert flag_duplicates_of_live([live[0], failed], DAY) == [live[0], failed]
