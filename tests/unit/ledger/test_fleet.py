"""What is seen of several clusters together."""

from dataclasses import replace

from kubetally.domain.allocation import Kind
from kubetally.domain.booking import Booking
from kubetally.domain.cluster_costs import ClusterCosts, SourceIdentity
from kubetally.domain.component import NO_CLASSES, ZERO
from kubetally.domain.issues import IssueKind
from kubetally.domain.row import Row
from kubetally.domain.window import Window, parse_instant
from kubetally.ledger.fleet import tell_same_clusters

DAY = Window(parse_instant("2026-11-20"), parse_instant("2026-11-21"))


def costs(url: str, cluster_id: str | None, node: str) -> ClusterCosts:
    booking = Booking(
        window=DAY,
        covered=(DAY,),
        rows=(Row(Kind.WORKLOAD, namespace="shop", pod="web", node=node),),
        bill=ZERO,
        bill_network_classes=NO_CLASSES,
        not_measured=frozenset(),
        audited=True,
        currency="USD",
        source=url,
        source_total=0,
        issues=(),
    )
    return ClusterCosts(DAY, 24, (booking,), "USD", SourceIdentity(url, cluster_id=cluster_id))


def test_a_cluster_behind_two_urls_is_told_on_both() -> None:
    one, other, third = tell_same_clusters(
        [costs("http://a", "prod", "n1"), costs("http://b", "prod", "n1"), costs("http://c", "test", "n1")]
    )
    assert [issue.kind for issue in one.issues] == [IssueKind.SAME_CLUSTER_TWICE]
    assert "http://b" in one.issues[0].message
    assert "http://a" in other.issues[0].message
    assert third.issues == ()


def test_an_id_alone_proves_nothing() -> None:
    default = [costs("http://a", "default-cluster", "n1"), costs("http://b", "default-cluster", "n2")]
    assert tell_same_clusters(default) == default
    nameless = [costs("http://a", None, "n1"), costs("http://b", None, "n1")]
    assert tell_same_clusters(nameless) == nameless


def test_figures_stay_as_they_are() -> None:
    twice = [costs("http://a", "prod", "n1"), costs("http://b", "prod", "n1")]
    assert [replace(told, issues=()) for told in tell_same_clusters(twice)] == twice
