"""The answer about one cluster as a body: what the command line prints, the library returns and the API sends.

The body and the OpenAPI document are made from its type. It has the keys of the existing API and more. Existing clients
add up the seven cost keys without checking for null, so on a body with figures these are numbers: a component that is
not measured is 0 and named in `not_measured`.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, Self

from msgspec import UNSET, Struct, UnsetType, field, to_builtins
from msgspec.structs import fields

from kubetally.domain import issues as domain_issues
from kubetally.domain.allocation import Kind
from kubetally.domain.errors import KubetallyError
from kubetally.domain.grouping import group_by
from kubetally.domain.issues import IssueKind
from kubetally.domain.money import to_number
from kubetally.domain.question.cost_question import NAMESPACE, WORKLOAD, DetailLevel
from kubetally.domain.report import ClusterReport, CostRow
from kubetally.domain.savings import Savings
from kubetally.domain.series import LegacySums
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.status import Status
from kubetally.domain.window import rfc3339, to_unix
from kubetally.present.bodies import (
    Costs,
    Coverage,
    Efficiency,
    Issue,
    Line,
    Namespace,
    Source,
    Workload,
    cost_names,
    ratios,
)

Json = dict[str, Any]


class Breakdown(Struct, forbid_unknown_fields=True):
    """Infrastructure cost for existing clients; the network classes add up to the network cost."""

    management_cost: float | None
    load_balancer_cost: float | None
    network_internet_cost: float | None
    network_region_cost: float | None
    network_zone_cost: float | None


class Recommendation(Struct, forbid_unknown_fields=True):
    """What one kind of recommendation would save in a month of 730 hours."""

    savings_per_month: float | None
    state: str | None
    counted: bool


class Pagination(Struct, forbid_unknown_fields=True):
    """The requested page, if there was a limit or offset; `total_count` has the number of rows of each list."""

    limit: int | None
    offset: int
    total_count: dict[str, int]


class Legacy(Struct, forbid_unknown_fields=True):
    """Old sums of hourly samples of prices, which are not costs: for comparison. Null without samples."""

    total_cost: float | None
    management_cost: float | None
    load_balancer_cost: float | None
    network_internet_cost: float | None
    network_region_cost: float | None
    network_zone_cost: float | None
    is_: str = field(
        name="is",
        default="hourly samples of prices added up, both ends of the window counted; kept to compare with, not a cost",
    )


class ClusterCosts(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a cluster cost. `status`: ok, partial, no_data. `errors`: missing data. `issues`: warnings and notes."""

    cloud_account_id: str | None
    account: str | None
    start_date: int
    end_date: int
    as_of: str | UnsetType = UNSET
    status: str
    currency: str
    currency_assumed: bool
    summary: Costs
    legacy: Legacy | UnsetType = UNSET
    not_measured: list[str]
    idle_cost: float | None
    unallocated_cost: float | None
    efficiency: Efficiency
    potential_savings: float | None
    potential_savings_period: str = "month"
    potential_savings_in_window: float | None
    potential_savings_is: str = "an upper bound: categories overlap"
    savings_recommendations: dict[str, Recommendation] | UnsetType = UNSET
    breakdown: Breakdown
    assets_complete: bool
    coverage: Coverage
    source: Source
    errors: list[Issue]
    issues: list[Issue]
    lines: list[Line] | UnsetType = UNSET
    breakdown_by_namespace: list[Namespace] | UnsetType = UNSET
    breakdown_by_workload: list[Workload] | UnsetType = UNSET
    pagination: Pagination | UnsetType = UNSET


class Head(Struct, forbid_unknown_fields=True, kw_only=True):
    """The first keys of the bodies of `verify` and `report`: cluster, source, status, errors and currency."""

    cloud_account_id: str | None
    account: str | None
    source: Source
    status: str
    not_measured: list[str]
    errors: list[Issue]
    currency: str
    currency_assumed: bool

    @classmethod
    def of(cls, costs: ClusterReport, **figures: Any) -> Self:
        """The body of `costs` with these figures."""
        return cls(
            cloud_account_id=costs.source.account_id,
            account=costs.source.account_name,
            source=Source.of(costs.source),
            status=costs.status.value,
            not_measured=cost_names(costs.not_measured),
            errors=_errors(costs),
            currency=costs.currency,
            currency_assumed=costs.currency_assumed,
            **figures,
        )


class RowList(NamedTuple):
    """A list of a body: its name, its rows, and the function that makes the body of a row."""

    name: str
    rows: Sequence[CostRow]
    body_of: Callable[[CostRow], object]


def answer(
    costs: ClusterReport,
    detail_level: DetailLevel | None = None,
    *,
    cloud_account_id: str | None = None,
    account: str | None = None,
) -> Json:
    """The body for `costs` as plain values: numbers have at most six decimals, unknown is null.

    `summary` is the same at every detail level (by default that of the question); rows of each list add up to it,
    or to their parent, exactly. A list without rows is left out, as existing clients expect. `cloud_account_id` and
    `account`: id and name of the account, by default those of the report.
    """
    level = detail_level or costs.question.detail_level
    body = cluster_body(costs, level)
    body.cloud_account_id = cloud_account_id or body.cloud_account_id
    body.account = account or body.account
    for rows in row_lists(costs, level):
        if rows.rows:
            setattr(body, rows.name, list(map(rows.body_of, rows.rows)))
    plain: Json = to_builtins(body)
    return plain


def cluster_body(costs: ClusterReport, detail_level: DetailLevel) -> ClusterCosts:
    """The body without its long lists, which `row_lists` returns."""
    unknown = costs.unknown
    no_data = costs.status is Status.NO_DATA
    savings, classes = costs.savings, costs.network_classes
    per_month = savings.per_month if savings else None
    in_window = savings.scaled_to(Decimal(costs.window.hours)) if savings else None

    def known(micros: int) -> float | None:
        return None if no_data else to_number(micros)

    body = ClusterCosts(
        cloud_account_id=costs.source.account_id,
        account=costs.source.account_name,
        start_date=to_unix(costs.window.start),
        end_date=to_unix(costs.window.end),
        status=costs.status.value,
        currency=costs.currency,
        currency_assumed=costs.currency_assumed,
        summary=Costs.of(costs.bill, unknown),
        not_measured=cost_names(unknown),
        idle_cost=known(costs.line(Kind.IDLE).costs.total),
        unallocated_cost=known(costs.line(Kind.UNMOUNTED).costs.total),
        efficiency=Efficiency(*ratios(costs.efficiency)),
        potential_savings=None if per_month is None else float(per_month),
        potential_savings_in_window=None if in_window is None else float(in_window),
        breakdown=Breakdown(known(costs.bill.management), known(costs.bill.load_balancer), *map(known, classes)),
        assets_complete=costs.assets_complete,
        coverage=Coverage.of(costs.coverage),
        source=Source.of(costs.source),
        errors=_errors(costs),
        issues=[Issue.of(issue) for issue in costs.issues if not issue.is_missing_data],
    )
    if costs.question.as_of is not None:
        body.as_of = rfc3339(costs.question.as_of)
    if costs.legacy is not None:
        body.legacy = _legacy(costs, costs.legacy)
    if savings is not None:
        body.savings_recommendations = _recommendations(savings)
    if detail_level is not DetailLevel.SUMMARY and not no_data:
        body.lines = [Line.of_row(line, unknown) for line in costs.lines]
    return body


def row_lists(costs: ClusterReport, detail_level: DetailLevel) -> list[RowList]:
    """The long lists of a body; without data they have no rows."""
    unknown, lists = costs.unknown, list[RowList]()
    if detail_level is not DetailLevel.SUMMARY:
        lists.append(
            RowList("breakdown_by_namespace", costs.by(*NAMESPACE), lambda row: Namespace.of_row(row, unknown))
        )
    if detail_level is DetailLevel.WORKLOAD:
        pods = {pods[0].key[:-1]: pods for pods in group_by(lambda row: row.key[:-1], costs.by(*WORKLOAD, "pod"))}
        lists.append(
            RowList(
                "breakdown_by_workload", costs.by(*WORKLOAD), lambda row: Workload.of_row(row, pods[row.key], unknown)
            )
        )
    return lists


def failure(error: KubetallyError, source: SourceIdentity, keys: Iterable[str] = ()) -> Json:
    """The body of a cluster that failed; `keys` of the other bodies are null."""
    issue = Issue(IssueKind.SOURCE_FAILED.value, str(error), None, None, None, error.code)
    return dict.fromkeys(keys) | {
        "cloud_account_id": source.account_id,
        "account": source.account_name,
        "status": Status.ERROR.value,
        "source": to_builtins(Source.of(source)),
        "errors": [to_builtins(issue)],
    }


def keys_of(body: type[Struct]) -> list[str]:
    """The keys that every body of a type has."""
    return [key.encode_name for key in fields(body) if key.default is not UNSET]


def issue_body(issue: domain_issues.Issue) -> Json:
    """An issue as plain values."""
    body: Json = to_builtins(Issue.of(issue))
    return body


def _errors(costs: ClusterReport) -> list[Issue]:
    return [Issue.of(issue) for issue in costs.issues if issue.is_missing_data]


def _legacy(costs: ClusterReport, sums: LegacySums) -> Legacy:
    """The old sums, and the total that earlier versions showed with them."""
    bill, total = costs.bill, sums.total
    no_total = total is None or costs.status is Status.NO_DATA
    whole = None if no_total else to_number(bill.cpu + bill.ram + bill.pv + (total or 0))
    return Legacy(whole, *[None if amount is None else to_number(amount) for amount in sums])  # type: ignore[arg-type]


def _recommendations(savings: Savings) -> dict[str, Recommendation]:
    return {
        category.name: Recommendation(
            None if category.per_month is None else float(category.per_month), category.state, category.counted
        )
        for category in savings.categories
    }
