"""The answer of `get_cluster_costs` as plain JSON values: the body that the command line prints and the API sends.

Its keys are those of the existing API and more. Existing readers add up the seven cost keys without looking, so on a
body with figures they are numbers: one that nobody measured is 0 there and named in `not_measured`.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from kubetally.domain.allocation import Kind
from kubetally.domain.cluster_costs import (
    ClusterCosts,
    DetailLevel,
    Group,
    Line,
    NamespaceCosts,
    PodCosts,
    SourceIdentity,
    Status,
    WorkloadCosts,
)
from kubetally.domain.component import Component, Costs
from kubetally.domain.errors import KubetallyError
from kubetally.domain.issues import Issue
from kubetally.domain.money import to_number
from kubetally.domain.row import CAUSE_IN_WORDS
from kubetally.domain.savings import Savings
from kubetally.domain.series import LegacySums
from kubetally.domain.window import rfc3339, to_unix

Json = dict[str, Any]
G = TypeVar("G")
ALWAYS_NUMBERS = frozenset(
    {Component.CPU, Component.RAM, Component.PV, Component.MANAGEMENT, Component.LOAD_BALANCER, Component.NETWORK}
)


def answer(
    costs: ClusterCosts,
    detail_level: DetailLevel | None = None,
    cloud_account_id: str | None = None,
    account: str | None = None,
) -> Json:
    """The body for `costs`: numbers have at most six decimals, unknown is null.

    `summary` is the same at every detail level (that of `costs` if none is given); rows of each list add up to it, or
    to their parent, exactly. A list without rows is left out, as existing readers know it. `cloud_account_id` and
    `account` are id and name of the account that the costs are of, if none are given.
    """
    detail_level = detail_level or costs.detail_level
    no_data = costs.status is Status.NO_DATA
    unknown = frozenset(Component) if no_data else costs.not_measured
    lines = {line.kind: line for line in costs.lines()}
    classes = costs.network_classes
    body: Json = {
        "cloud_account_id": cloud_account_id or costs.source.account_id,
        "account": account or costs.source.account_name,
        "start_date": to_unix(costs.window.start),
        "end_date": to_unix(costs.window.end),
        **({} if costs.as_of is None else {"as_of": rfc3339(costs.as_of)}),
        "status": costs.status.value,
        "currency": costs.currency,
        "currency_assumed": costs.currency_assumed,
        "summary": _costs(costs.bill, unknown, null_all=no_data),
        **({} if costs.legacy is None else {"legacy": _legacy(costs, costs.legacy)}),
        "not_measured": sorted(f"{component}_cost" for component in unknown),
        "idle_cost": None if no_data else to_number(lines[Kind.IDLE].costs.total),
        "unallocated_cost": None if no_data else to_number(lines[Kind.UNMOUNTED].costs.total),
        "efficiency": _efficiency(costs),
        **_savings(costs.savings, costs.window.hours),
        "breakdown": {
            "management_cost": None if no_data else to_number(costs.bill.management),
            "load_balancer_cost": None if no_data else to_number(costs.bill.load_balancer),
            "network_internet_cost": None if no_data else to_number(classes.internet),
            "network_region_cost": None if no_data else to_number(classes.region),
            "network_zone_cost": None if no_data else to_number(classes.zone),
        },
        "assets_complete": costs.assets_complete,
        "coverage": {
            "hours_asked": round(costs.hours_asked, 6),
            "hours_covered": round(costs.hours_covered, 6),
            "state": costs.state.value if costs.hours_covered else None,
        },
        "source": source_body(costs.source),
        "errors": [issue_body(issue) for issue in costs.issues if issue.is_missing_data],
        "issues": [issue_body(issue) for issue in costs.issues if not issue.is_missing_data],
    }
    if detail_level is not DetailLevel.SUMMARY and not no_data:
        body["lines"] = [_line(line, unknown) for line in lines.values()]
        if namespaces := costs.namespaces():
            body["breakdown_by_namespace"] = [_namespace(group, unknown) for group in namespaces]
    if detail_level is DetailLevel.WORKLOAD and not no_data and (workloads := costs.workloads()):
        body["breakdown_by_workload"] = [_workload(group, unknown) for group in _emptied(workloads)]
    return body


def _emptied(groups: list[G]) -> Iterator[G]:
    """Each group in order, given back to memory before the next: all at once would hold every thread for a while."""
    groups.reverse()
    while groups:
        yield groups.pop()


def _legacy(costs: ClusterCosts, sums: LegacySums) -> Json:
    """The old sums, and the total that was shown with them: a price per GiB is no cost, so that none of it is one."""
    bill, total = costs.bill, sums.total
    parts = {f"{name}_cost": None if amount is None else to_number(amount) for name, amount in sums._asdict().items()}
    return {
        "total_cost": None
        if total is None or costs.status is Status.NO_DATA
        else to_number(bill.cpu + bill.ram + bill.pv + total),
        **parts,
        "is": "hourly samples of prices added up, both ends of the window counted; kept to compare with, not a cost",
    }


def failure(error: KubetallyError, source: SourceIdentity, keys: Iterable[str] = ()) -> Json:
    """The element that stands for a cluster that gave no answer; `keys` of other elements are null in it."""
    return dict.fromkeys(keys) | {
        "cloud_account_id": source.account_id,
        "account": source.account_name,
        "status": Status.ERROR.value,
        "source": source_body(source),
        "errors": [
            {
                "kind": "source_failed",
                "message": str(error),
                "start": None,
                "end": None,
                "subject": None,
                "code": error.code,
            }
        ],
    }


def _costs(costs: Costs, unknown: frozenset[Component], *, null_all: bool = False) -> Json:
    """`total_cost` and one key a component."""
    body: Json = {"total_cost": None if null_all else to_number(costs.total)}
    for component in Component:
        is_null = null_all or (component in unknown and component not in ALWAYS_NUMBERS)
        body[f"{component}_cost"] = None if is_null else to_number(costs.of(component))
    return body


def _efficiency(group: Group | ClusterCosts) -> Json:
    cpu, ram, total = (None if ratio is None else round(ratio, 6) for ratio in group.efficiency)
    return {"cpu_efficiency": cpu, "ram_efficiency": ram, "total_efficiency": total}


def _namespace(group: NamespaceCosts, unknown: frozenset[Component]) -> Json:
    return {"namespace": group.namespace, **_costs(group.costs, unknown), **_efficiency(group)}


def _workload(group: WorkloadCosts, unknown: frozenset[Component]) -> Json:
    return {
        "namespace": group.namespace,
        "controller_kind": group.controller_kind,
        "controller": group.controller,
        **_costs(group.costs, unknown),
        **_efficiency(group),
        "pods": [_pod(pod, unknown) for pod in group.pods],
    }


def _pod(group: PodCosts, unknown: frozenset[Component]) -> Json:
    return {
        "pod": group.pod,
        "nodes": list(group.nodes),
        "minutes": round(group.minutes, 6),
        **_costs(group.costs, unknown),
        **_efficiency(group),
    }


def _line(line: Line, unknown: frozenset[Component]) -> Json:
    body: Json = {"kind": line.kind.value, **_costs(line.costs, unknown)}
    if line.kind is Kind.DIFFERENCE:
        body["causes"] = [
            {"cause": cause.value, "message": CAUSE_IN_WORDS[cause], **_costs(costs, unknown)}
            for cause, costs in line.causes
        ]
    return body


def _savings(savings: Savings | None, hours: float) -> Json:
    per_month = savings.per_month if savings else None
    scaled = savings.scaled_to(Decimal(hours)) if savings else None
    body: Json = {
        "potential_savings": None if per_month is None else float(per_month),
        "potential_savings_period": "month",
        "potential_savings_in_window": None if scaled is None else float(scaled),
        "potential_savings_is": "an upper bound: categories overlap",
    }
    if savings is not None:
        body["savings_recommendations"] = {
            category.name: {
                "savings_per_month": None if category.per_month is None else float(category.per_month),
                "state": category.state,
                "counted": category.counted,
            }
            for category in savings.categories
        }
    return body


def head_body(costs: ClusterCosts) -> Json:
    """What the bodies of `verify` and `report` begin with: which cluster, from where, and how sure."""
    return {
        "cloud_account_id": costs.source.account_id,
        "account": costs.source.account_name,
        "source": source_body(costs.source),
        "status": costs.status.value,
        "not_measured": sorted(f"{component}_cost" for component in costs.not_measured),
        "errors": [issue_body(issue) for issue in costs.issues if issue.is_missing_data],
        "currency": costs.currency,
        "currency_assumed": costs.currency_assumed,
    }


def source_body(source: SourceIdentity) -> Mapping[str, str | None]:
    """Who answered; the url is masked."""
    return {
        "product": source.product,
        "version": source.version,
        "url": source.url,
        "cluster_id": source.cluster_id,
        "cluster_name": source.cluster_name,
    }


def issue_body(issue: Issue) -> Json:
    """An issue: what it is about, in words, and when."""
    body: Json = {"kind": issue.kind.value, "message": issue.message}
    if issue.window is not None:
        body |= {"start": rfc3339(issue.window.start), "end": rfc3339(issue.window.end)}
    if issue.subject is not None:
        body["subject"] = issue.subject
    if "code" in issue.facts:
        body["code"] = issue.facts["code"]
    return body
