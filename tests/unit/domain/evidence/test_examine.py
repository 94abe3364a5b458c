"""Hours covered are hours with evidence (B10): losses are seen, and what is no loss is none."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kubetally.domain.allocation import Allocation, Kind
from kubetally.domain.asset import Asset, AssetType
from kubetally.domain.booking import book
from kubetally.domain.component import Costs
from kubetally.domain.efficiency import Hours
from kubetally.domain.evidence.examine import examine, is_in_doubt
from kubetally.domain.evidence.hours import SeenHour, has_gaps, seen_hours
from kubetally.domain.evidence.sighting import Around, sighting_of
from kubetally.domain.infrastructure import Infrastructure
from kubetally.domain.issues import Issue, IssueKind, any_missing
from kubetally.domain.metrics import Family
from kubetally.domain.reading import Reading
from kubetally.domain.window import DAY, HOUR, Window, covered_hours
from tests.unit.domain.clusters import MIDNIGHT, TODAY

MINUTE = timedelta(minutes=1)


def at(hours: float, day: int = 0) -> Window:
    """From midnight to then."""
    return span(0, hours, day)


def span(start: float, end: float, day: int = 0) -> Window:
    return Window(MIDNIGHT + day * DAY + start * HOUR, MIDNIGHT + day * DAY + end * HOUR)


def node(name: str, life: Window | None, *, cost: int = 2_400_000, cores: float | None = 4) -> Asset:
    return Asset(AssetType.NODE, name, frozenset({name}), TODAY, Costs(cpu=cost), life=life, cpu_cores=cores)


def pod(
    name: str,
    life: Window | None,
    on: str | None = "n1",
    kind: str | None = "daemonset",
    hours: Hours | None = None,
    cost: int = 100_000,
) -> Allocation:
    return Allocation(
        Kind.WORKLOAD, TODAY, "shop", kind, "web", name, on, "main",
        minutes=0 if life is None else life.hours * 60,
        hours=Hours(24, 24, 12, 24, 24, 12) if hours is None else hours,
        costs=Costs(cpu=cost), total=cost, life=life,
    )  # fmt: skip


def volume(life: Window) -> Asset:
    return Asset(AssetType.DISK, "pvc", frozenset({"pvc"}), TODAY, Costs(pv=1000), life=life)


def day_of(assets: Iterable[Asset] | None, rows: Iterable[Allocation], day: int = 0) -> Reading:
    window = Window(MIDNIGHT + day * DAY, MIDNIGHT + (day + 1) * DAY)
    return Reading(window, list(rows), None if assets is None else list(assets), (window,), "USD", "http://source")


def gaps_of(reading: Reading) -> list[tuple[str, float, float]]:
    """What is missing by `subject`, from hour to hour of the day."""
    return [
        (issue.subject or "", *((moment - MIDNIGHT) / HOUR for moment in (issue.window.start, issue.window.end)))
        for issue in reading.issues
        if issue.window is not None and issue.is_missing_data
    ]


def kinds(issues: Sequence[Issue]) -> set[IssueKind]:
    return {issue.kind for issue in issues}


def test_whole_day_is_covered_whole() -> None:
    reading = day_of([node("n1", at(24))], [pod("a", at(24)), pod("job", span(3, 4), kind="job")])
    assert examine(reading) == reading


@pytest.mark.parametrize(
    ("nodes", "pods", "subject", "start", "end"),
    [
        (at(12), at(12), "samples", 12, 24),
        (span(3, 24), span(3, 24), "samples", 0, 3),
        (at(12), at(24), "nodes", 12, 24),
        (at(24), at(12), "pods", 12, 24),
        (at(24), at(2.5 / 60), "pods", 2.5 / 60, 24),
    ],
)
def test_end_without_samples_is_missing(nodes: Window, pods: Window, subject: str, start: float, end: float) -> None:
    examined = examine(day_of([node("n1", nodes)], [pod("a", pods)]))
    assert gaps_of(examined) == [(subject, pytest.approx(start), pytest.approx(end))]
    assert covered_hours(examined.covered) == pytest.approx(24 - (end - start))
    assert kinds(examined.issues) == {IssueKind.SAMPLES_MISSING}


def test_each_end_has_its_own_cause() -> None:
    examined = examine(day_of([node("n1", span(2, 20))], [pod("a", span(2, 22))]))
    assert gaps_of(examined) == [("samples", 0, 2), ("nodes", 20, 22), ("samples", 22, 24)]


def test_quarter_of_an_hour_is_no_loss() -> None:
    late = Window(MIDNIGHT + 5 * MINUTE, MIDNIGHT + DAY - 10 * MINUTE)
    assert examine(day_of([node("n1", late)], [pod("a", late)])).issues == ()
    later = Window(late.start + MINUTE, late.end)
    assert len(examine(day_of([node("n1", later)], [pod("a", later)])).issues) == 2


def test_costs_and_rows_stay_where_hours_are_missing() -> None:
    reading = day_of([node("n1", at(12))], [pod("a", at(12))])
    examined = examine(reading)
    assert (examined.allocations, examined.assets) == (reading.allocations, reading.assets)
    assert book(examined).covered == (at(12),)


def test_rows_of_unmounted_volumes_are_no_evidence() -> None:
    unmounted = pod("shop-unmounted-pvcs", at(24), on=None, kind=None)
    examined = examine(day_of([node("n1", at(12))], [pod("a", at(12)), unmounted]))
    assert gaps_of(examined) == [("samples", 12, 24)]


def test_answer_without_spans_is_left_as_it_is() -> None:
    for rows, assets in (
        ([pod("a", None)], [node("n1", at(12))]),
        ([pod("a", at(12))], [node("n1", None)]),
        ([], [node("n1", at(12))]),
    ):
        reading = day_of(assets, rows)
        assert (examine(reading), is_in_doubt(reading)) == (reading, False)


def test_without_assets_only_pods_are_evidence() -> None:
    assert examine(day_of(None, [pod("a", at(24))])).issues == ()
    assert gaps_of(examine(day_of(None, [pod("a", at(12))]))) == [("samples", 12, 24)]


# Clusters without nodes


def test_all_fargate_is_no_loss() -> None:
    reading = day_of([], [pod("a", at(24), "fargate-1", "deployment"), pod("b", at(3), "fargate-2", "job")])
    assert (examine(reading).issues, is_in_doubt(reading)) == ((), False)


def test_many_pods_on_nodes_without_assets_need_days_alike() -> None:
    rows = [pod("a", at(24)), pod("b", at(24))]
    reading = day_of([volume(at(24))], rows)
    assert is_in_doubt(reading)
    assert gaps_of(examine(reading)) == [("nodes", 0, 24)]
    alike = sighting_of(day_of([], rows, -1))
    assert examine(reading, Around(alike)).issues == ()
    unlike = sighting_of(day_of([node("n1", at(24, -1))], rows, -1))
    assert gaps_of(examine(reading, Around(unlike))) == [("nodes", 0, 24)]


# Scaled to zero at night, first and last day


def night(machines: str, day: int = 0, start: float = 6, end: float = 20) -> Reading:
    """A day with nodes from six to eight in the evening; machines of their own each day."""
    life = span(start, end, day)
    return day_of([node(machines, life)], [pod("a", life, machines)], day)


def around(before: Reading | None, after: Reading | None) -> Around:
    return Around(before and sighting_of(before), after and sighting_of(after))


def test_night_without_nodes_is_no_loss_if_machines_are_new() -> None:
    monday, tuesday, wednesday = night("m1", -1), night("m2"), night("m3", 1)
    assert is_in_doubt(tuesday)
    assert examine(tuesday, around(monday, wednesday)) == tuesday
    assert gaps_of(examine(tuesday)) == [("samples", 0, 6), ("samples", 20, 24)]


def test_night_without_nodes_is_no_loss_if_every_night_is_alike() -> None:
    assert examine(night("m"), around(night("m", -1, end=20.4), night("m", 1))) == night("m")


def test_samples_lost_at_night_are_missing_where_machines_stay() -> None:
    tuesday = day_of([node("m", at(20))], [pod("a", at(20), "m")])
    whole = [day_of([node("m", at(24, day))], [pod("a", at(24, day), "m")], day) for day in (-1, 1)]
    assert gaps_of(examine(tuesday, around(*whole))) == [("samples", 20, 24)]


def test_volumes_seen_at_night_show_that_samples_were_taken() -> None:
    life = span(6, 20)
    reading = day_of([node("m", life), volume(at(24))], [pod("a", life, "m")])
    assert (examine(reading).issues, is_in_doubt(reading)) == ((), False)


def test_disk_inside_a_node_shows_nothing() -> None:
    local = Asset(AssetType.DISK, "m", frozenset({"m"}), TODAY, Costs(node_disk=1000), life=TODAY)
    assert gaps_of(examine(day_of([node("m", at(20)), local], [pod("a", at(20), "m")]))) == [("samples", 20, 24)]


@pytest.mark.parametrize("first", [True, False])
def test_first_and_last_day_have_hours_without_an_issue(first: bool) -> None:
    life = span(9, 24) if first else at(9)
    reading = day_of([node("m", life)], [pod("a", life, "m")])
    nothing = day_of([], [], -1 if first else 1)
    examined = examine(reading, around(nothing, None) if first else around(None, nothing))
    assert kinds(examined.issues) == {IssueKind.WINDOW_WITHOUT_DATA}
    assert covered_hours(examined.covered) == life.hours
    assert "lost" not in examined.issues[0].message


def test_same_hours_lost_twice_are_missing_where_machines_stay() -> None:
    """Two outages at about the same hour are no nights without nodes: the machines are the same, and a day is whole."""
    lost = day_of([node("m", at(21))], [pod("a", at(21), "m")])
    before = day_of([node("m", at(20, -1))], [pod("a", at(20, -1), "m")], -1)
    after = day_of([node("m", at(24, 1))], [pod("a", at(24, 1), "m")], 1)
    assert gaps_of(examine(lost, around(before, after))) == [("samples", 21, 24)]
    assert gaps_of(examine(lost, around(before, None))) == [("samples", 21, 24)]


# Single nodes


def test_node_listed_for_half_of_its_pods_lives_is_incomplete() -> None:
    rows = [pod("a", at(24)), pod("b", at(24), "n2"), pod("c", at(24), "n2", "deployment")]
    examined = examine(day_of([node("n1", at(24)), node("n2", at(12))], rows))
    (issue,) = examined.issues
    assert (issue.kind, issue.window, issue.facts["nodes"]) == (IssueKind.NODE_INCOMPLETE, span(12, 24), ("n2",))
    assert any_missing(examined.issues)
    assert covered_hours(examined.covered) == 24  # of the cluster as a whole


def test_spot_node_that_leaves_is_no_loss() -> None:
    rows = [
        pod("a", at(24)),
        pod("proxy-1", span(3, 9), "spot"),
        pod("old", span(3, 9.2), "spot", "deployment"),
        pod("moved-0", at(24), "spot", "statefulset"),  # one row for its lives on two nodes
        pod("by-hand", at(24), "spot", None),
        pod("stuck", span(3, 11), "spot", "deployment"),
    ]
    assert examine(day_of([node("n1", at(24)), node("spot", span(3, 9))], rows)).issues == ()


def test_node_without_price_or_capacity_is_incomplete() -> None:
    rows = [pod("a", at(24)), pod("b", at(24), "n2")]
    for free in (node("n2", at(24), cost=0), node("n2", at(24), cores=0)):
        examined = examine(day_of([node("n1", at(24)), free], rows))
        assert [issue.facts["nodes"] for issue in examined.issues] == [("n2",)]


def test_node_without_a_price_of_cpu_is_incomplete() -> None:
    half = node("n2", at(24))._replace(costs=Costs(ram=500_000))
    (issue,) = examine(day_of([node("n1", at(24)), half], [pod("a", at(24)), pod("b", at(24), "n2")])).issues
    assert (issue.kind, issue.facts["nodes"]) == (IssueKind.NODE_INCOMPLETE, ("n2",))


def test_cluster_that_is_free_is_no_loss() -> None:
    assert examine(day_of([node("n1", at(24), cost=0)], [pod("a", at(24), cost=0)])).issues == ()


def test_unlisted_node_is_a_machine_if_a_daemonset_ran_on_it() -> None:
    rows = [pod("a", at(24)), pod("b", at(24), "n2"), pod("c", at(24), "n2", "deployment")]
    (issue,) = examine(day_of([node("n1", at(24))], rows)).issues
    assert (issue.kind, issue.facts["nodes"]) == (IssueKind.NODE_INCOMPLETE, ("n2",))
    serverless = [pod("a", at(24)), pod("b", at(24), "fargate-1", "deployment")]
    assert examine(day_of([node("n1", at(24))], serverless)).issues == ()


def test_machines_under_other_names_are_no_loss() -> None:
    rows = [pod("a", at(24), "10.0.0.1:9100"), pod("b", at(24), "10.0.0.2:9100")]
    assert examine(day_of([node("n1", at(24)), node("n2", at(24))], rows)).issues == ()


# Usage and requests


def test_missing_usage_is_unknown_with_an_issue() -> None:
    rows = [pod("a", at(24), hours=Hours(24, 24, 0, 24, 24, 0))]
    examined = examine(day_of([node("n1", at(24))], rows))
    assert gaps_of(examined) == [("usage", 0, 24)]
    assert examined.allocations[0].hours.cpu_core_usage_hours is None
    assert covered_hours(examined.covered) == 24


def test_some_containers_without_usage_are_no_loss() -> None:
    rows = [pod("a", at(24)), pod("windows", at(24), hours=Hours(24, 24, 0, 24, 24, 0))]
    assert examine(day_of([node("n1", at(24))], rows)).issues == ()


def test_cluster_without_requests_says_so_and_is_whole() -> None:
    examined = examine(day_of([node("n1", at(24))], [pod("a", at(24), hours=Hours(24, 0, 12, 24, 0, 12))]))
    assert kinds(examined.issues) == {IssueKind.NO_REQUESTS}
    assert not any_missing(examined.issues)
    assert examined.allocations[0].hours.cpu_core_request_hours is None


# A Prometheus beside it


def measured(**present: Sequence[Window]) -> Infrastructure:
    families = {Family[name.upper()]: tuple(spans) for name, spans in present.items()}
    return Infrastructure(TODAY, (), "http://prometheus", present=families)


def test_families_without_samples_decide() -> None:
    reading = day_of([node("n1", at(24))], [pod("a", at(24))])

    def gaps(**present: Sequence[Window]) -> list[tuple[str, float, float]]:
        return gaps_of(examine(replace(reading, infrastructure=measured(**present))))

    gap = (at(9), span(12, 24))
    assert gaps(cost_model=[TODAY], kube_state=[TODAY], cadvisor=[TODAY]) == []
    assert gaps() == []  # a server that holds none of them says nothing
    assert gaps(cost_model=gap, kube_state=[TODAY], cadvisor=[TODAY]) == [("nodes", 9, 12)]
    assert gaps(cost_model=[TODAY], kube_state=gap, cadvisor=[TODAY]) == [("pods", 9, 12)]
    assert gaps(cost_model=[TODAY], kube_state=[TODAY], cadvisor=gap) == [("usage", 9, 12)]
    assert gaps(cost_model=gap, kube_state=gap, cadvisor=gap) == [("samples", 9, 12)]


def test_night_without_nodes_is_no_gap_of_prometheus_either() -> None:
    life = span(6, 20)
    reading = day_of([node("m", life), volume(at(24))], [pod("a", life, "m")])
    beside = measured(cost_model=[life], kube_state=[life], cadvisor=[life])
    assert examine(replace(reading, infrastructure=beside)).issues == ()


# By the hour


def hour(
    number: int, pods: Window | None, node_cost: int = 100, *, usage: bool = True, requests: bool = True
) -> SeenHour:
    return SeenHour(span(number, number + 1), pods, node_cost, 40, usage, requests)


def by_hour(change: Callable[[int], SeenHour | None]) -> list[SeenHour]:
    return [change(number) or hour(number, span(number, number + 1)) for number in range(24)]


def test_gap_within_a_day_shows_by_the_hour() -> None:
    reading = day_of([node("n1", at(24))], [pod("a", at(24))])
    gap = {9: hour(9, span(9, 9.1)), 10: hour(10, None, 0), 11: hour(11, None, 1)}
    hours = by_hour(gap.get)
    assert has_gaps(reading, hours)
    assert gaps_of(examine(reading, hours=hours)) == [("samples", pytest.approx(9.1), 12)]
    assert not has_gaps(reading, by_hour(lambda _: None))


def test_gap_across_the_full_hour_is_one_gap() -> None:
    reading = day_of([node("n1", at(24))], [pod("a", at(24))])
    gap = {9: hour(9, span(9, 9.8)), 10: hour(10, span(10.2, 11))}
    assert gaps_of(examine(reading, hours=by_hour(gap.get))) == [("pods", pytest.approx(9.8), pytest.approx(10.2))]
    late = by_hour(lambda n: hour(n, span(n + 0.1, n + 1)))  # each hour begins a sample late
    assert not has_gaps(reading, late)


def test_empty_answer_by_the_hour_says_nothing() -> None:
    assert seen_hours([], TODAY) == []


def test_few_hours_with_requests_are_no_loss() -> None:
    """Only a nightly job requests anything, or nobody does while there are pods."""
    reading = day_of([node("n1", at(24))], [pod("a", at(24))])
    for with_requests in (1, 0):
        hours = by_hour(lambda n, few=with_requests: hour(n, span(n, n + 1), requests=n < few))  # type: ignore[misc]
        assert not has_gaps(reading, hours)


@pytest.mark.parametrize(
    ("lost", "subject"),
    [
        (lambda n: hour(n, None), "pods"),
        (lambda n: hour(n, span(n, n + 1), -40), "nodes"),
        (lambda n: hour(n, span(n, n + 1), usage=False), "usage"),
        (lambda n: hour(n, span(n, n + 1), requests=False), "requests"),
    ],
)
def test_exporter_lost_for_some_hours_is_named(lost: Callable[[int], SeenHour], subject: str) -> None:
    reading = day_of([node("n1", at(24))], [pod("a", at(24))])
    hours = by_hour(lambda n: lost(n) if 9 <= n < 12 else None)
    assert gaps_of(examine(reading, hours=hours)) == [(subject, 9, 12)]


def test_hours_without_nodes_by_the_day_are_no_gap() -> None:
    """All machines left at nine, and others came at twelve."""
    reading = day_of(
        [node("m1", at(9)), node("m2", span(12, 24))], [pod("a", at(9), "m1"), pod("b", span(12, 24), "m2")]
    )
    hours = by_hour(lambda n: hour(n, None, 0) if 9 <= n < 12 else None)
    assert examine(reading, hours=hours).issues == ()


# Any loss of a made-up cluster

STEP = 5 * MINUTE
LOSSES = ("all", "cost_model", "kube_state", "cadvisor")


@dataclass(frozen=True)
class Machine:
    """A node that lives from one of the day's samples to another, with a DaemonSet's pod and some of a Deployment."""

    name: str
    first: int
    last: int
    pods: int
    cost_of_a_step: int = 12_000


@st.composite
def machines(draw: st.DrawFn) -> list[Machine]:
    """Nodes of which some come and go, and one stays."""
    count = draw(st.integers(1, 4))
    lives = [(0, 288), *(sorted(draw(st.tuples(st.integers(0, 280), st.integers(8, 288)))) for _ in range(count - 1))]
    return [
        Machine(f"n{number}", first, last, draw(st.integers(1, 3)))
        for number, (first, last) in enumerate(lives)
        if last - first >= 6
    ]


def instant(sample: int) -> Window:
    """The moment of a sample, as a span of no length."""
    return Window(MIDNIGHT + sample * STEP, MIDNIGHT + sample * STEP)


def answered(cluster: Sequence[Machine], lost: str, gone: range, window: Window = TODAY) -> tuple[Reading, int]:
    """What a source answers of a window once samples of a family are gone, and what the nodes truly cost in it."""
    since, until = (round((moment - MIDNIGHT) / STEP) for moment in (window.start, window.end))

    def seen(machine: Machine, family: str) -> list[int]:
        alive = range(max(machine.first, since), min(machine.last, until) + 1)
        return [sample for sample in alive if not (lost in ("all", family) and sample in gone)]

    assets, rows, truth = [], [], 0
    for machine in cluster:
        truth += max(0, min(machine.last, until) - max(machine.first, since)) * machine.cost_of_a_step
        if len(prices := seen(machine, "cost_model")) > 1:
            life = Window(instant(prices[0]).start, instant(prices[-1]).end)
            cost = (prices[-1] - prices[0]) * machine.cost_of_a_step
            assets.append(node(machine.name, life, cost=cost)._replace(window=window))
        running, used = seen(machine, "kube_state"), seen(machine, "cadvisor")
        if len(running) > 1:
            life = Window(instant(running[0]).start, instant(running[-1]).end)
            usage = life.hours * len(used) / max(1, until - since)
            hours = Hours(life.hours, life.hours, usage, life.hours, life.hours, usage)
            names = [("daemonset", f"proxy-{machine.name}")]
            names += [("deployment", f"web-{machine.name}-{number}") for number in range(machine.pods)]
            cost = (running[-1] - running[0]) * machine.cost_of_a_step // (2 * len(names))
            rows += [pod(name, life, machine.name, kind, hours, cost)._replace(step=window) for kind, name in names]
    idle = sum(asset.costs.cpu for asset in assets) - sum(row.costs.cpu for row in rows)
    if assets or rows:
        rows.append(Allocation(Kind.IDLE, window, costs=Costs(cpu=idle), total=idle))
    return Reading(window, rows, assets, (window,) if rows else (), "USD", "http://source"), truth


def answered_by_hour(cluster: Sequence[Machine], lost: str, gone: range) -> list[SeenHour]:
    rows: list[Allocation] = []
    for number in range(24):
        rows += answered(cluster, lost, gone, span(number, number + 1))[0].allocations
    return seen_hours(rows, TODAY)


def is_believed(reading: Reading) -> bool:
    """Whether the day counts as whole: it would settle."""
    return covered_hours(reading.covered) == 24 and not any_missing(reading.issues)


@given(machines())
def test_cluster_without_a_loss_is_believed(cluster: list[Machine]) -> None:
    reading, _ = answered(cluster, "all", range(0))
    assert is_believed(examine(reading, hours=answered_by_hour(cluster, "all", range(0))))


@given(machines(), st.sampled_from(LOSSES), st.integers(0, 288), st.integers(4, 288))
def test_loss_at_an_end_of_the_day_is_never_believed(
    cluster: list[Machine], lost: str, at_end: int, steps: int
) -> None:
    """More than fifteen minutes at its beginning or end, of everything or of one exporter."""
    assume(lost != "cadvisor" or steps >= 24)  # only whole hours without usage show
    gone = range(steps) if at_end % 2 else range(289 - steps, 289)
    reading, _ = answered(cluster, lost, gone)
    assert not is_believed(examine(reading, hours=answered_by_hour(cluster, lost, gone)))


@given(machines(), st.sampled_from(LOSSES), st.integers(0, 275), st.integers(14, 288))
def test_loss_within_a_day_is_never_believed(cluster: list[Machine], lost: str, first: int, steps: int) -> None:
    """More than an hour."""
    gone = range(first, min(289, first + steps))
    assume(lost != "cadvisor" or len(gone) >= 24)
    assume(len(gone) >= 14)
    if lost == "cost_model":  # whole hours without a price show
        assume(len(gone) >= 24)
    reading, _ = answered(cluster, lost, gone)
    hours = answered_by_hour(cluster, lost, gone)
    assume(hours)  # where no hour has two samples nothing is answered by the hour, which proves nothing
    assert not is_believed(examine(reading, hours=hours))


@given(machines(), st.data())
def test_bill_of_a_believed_day_is_right_within_two_percent(cluster: list[Machine], data: st.DataObject) -> None:
    """Whatever node is lost for whatever time: by its price, or with all samples of it."""
    machine = data.draw(st.sampled_from(cluster))
    first = data.draw(st.integers(0, 287))
    gone = range(first, data.draw(st.integers(first + 1, 289)))
    others = [other for other in cluster if other is not machine]
    reading, truth = answered(others, "all", range(0))
    lone, its_truth = answered([machine], "cost_model", gone)
    rows = [row for row in (*reading.allocations, *lone.allocations) if row.kind is Kind.WORKLOAD]
    assets = [*(reading.assets or ()), *(lone.assets or ())]
    together = replace(lone, allocations=rows, assets=assets, covered=(TODAY,))
    examined = examine(together)
    bill = sum(asset.costs.cpu for asset in assets)
    if is_believed(examined):
        assert bill >= Fraction(98, 100) * (truth + its_truth) - 3 * machine.cost_of_a_step
