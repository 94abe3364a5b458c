"""Accounts and their days as bodies of the native API."""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from kubetally.domain import account_report
from kubetally.domain.money import CurrencyOrigin, to_number
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.window import rfc3339
from kubetally.present.bodies import Coverage, cost_names
from kubetally.present.cost_report import LedgerIssue, Shown, issue_bodies, question_fields


class WindowQuestion(Struct, forbid_unknown_fields=True):
    """The question as understood, with its defaults; `filter` is a tree, with positions in its text."""

    start: str
    end: str
    step: str | None
    filter: dict[str, Any] | None
    limit: int

    @classmethod
    def of(cls, question: CostQuestion, limit: int) -> "WindowQuestion":
        """The body of a question with pages of so many rows."""
        return cls(**question_fields(cls, question), limit=limit)


class LastError(Struct, forbid_unknown_fields=True):
    """Why the last attempt failed."""

    code: str
    message: str


class ClusterSource(Struct, forbid_unknown_fields=True):
    """Where a cluster is read, without credentials; both null where its source is discovered."""

    url: str | None
    context: str | None
    prometheus_url: str | None


class DaysProgress(Struct, forbid_unknown_fields=True):
    """Days of the window."""

    stored: int
    failing: int


class Cluster(Struct, forbid_unknown_fields=True):
    """An account. Its costs are null where no hour is covered, or where its days have several currencies.

    `last_collected`, `last_error`: of the window.
    """

    cloud_account_id: str
    name: str
    organization: str
    removed_at: str | None
    source: ClusterSource | None
    currency: str | None
    total_cost: float | None
    coverage: Coverage
    assets_complete: bool
    not_measured: list[str]
    last_collected: str | None
    last_error: LastError | None
    days: DaysProgress


class Clusters(Struct, forbid_unknown_fields=True):
    """The accounts by name. `currencies`: of all of them; with several there is no total."""

    question: WindowQuestion
    currency: str | None
    currencies: list[str]
    total_cost: float | None
    clusters: list[Cluster]
    count: int
    next: str | None
    coverage: Coverage
    issues: list[LedgerIssue]


class AccountDay(Struct, forbid_unknown_fields=True):
    """A day of an account. `kind`: what is known of it, as the calendar of `kubetally coverage` says.

    `rows` and `total_cost` are null for who may see a part of them only.
    """

    cloud_account_id: str
    cluster: str
    day: str
    kind: Literal[
        "settled", "provisional", "running", "partial", "failed", "damaged", "assets_damaged", "nothing", "unknown"
    ]
    state: Literal["provisional", "settled"] | None
    hours_asked: float
    hours_covered: float
    assets_complete: bool
    source: str | None
    rows: int | None
    total_cost: float | None
    currency: str | None
    currency_assumed: bool | None
    collected_at: str | None
    attempts: int
    tried_at: str | None
    last_error: LastError | None


class AccountDays(Struct, forbid_unknown_fields=True):
    """The days that have begun, by account and day."""

    question: WindowQuestion
    days: list[AccountDay]
    count: int
    next: str | None
    coverage: Coverage
    issues: list[LedgerIssue]


def clusters_body(report: account_report.AccountsReport, shown: Shown[account_report.ClusterSummary]) -> Clusters:
    """The body of accounts."""
    return Clusters(
        question=WindowQuestion.of(report.question, shown.limit),
        currency=_only(report.currencies),
        currencies=list(report.currencies),
        total_cost=None if report.total is None else to_number(report.total),
        clusters=[_cluster(cluster) for cluster in shown.rows],
        count=shown.rows_in_all,
        next=shown.next,
        coverage=Coverage.of(report.coverage),
        issues=issue_bodies(report.issues),
    )


def _cluster(cluster: account_report.ClusterSummary) -> Cluster:
    account, place = cluster.account, cluster.place
    source = None
    if place is not None:
        url, prometheus = (None if at is None else str(at) for at in (place.kubecost_url, place.prometheus_url))
        source = ClusterSource(url, place.context, prometheus)
    return Cluster(
        cloud_account_id=account.id,
        name=account.name,
        organization=account.organization,
        removed_at=None if account.removed_at is None else rfc3339(account.removed_at),
        source=source,
        currency=_only(cluster.currencies),
        total_cost=None if cluster.total is None else to_number(cluster.total),
        coverage=Coverage.of(cluster.coverage),
        assets_complete=cluster.assets_complete,
        not_measured=cost_names(cluster.not_measured),
        last_collected=None if cluster.last_collected is None else rfc3339(cluster.last_collected),
        last_error=None if cluster.last_error is None else LastError(*cluster.last_error),
        days=DaysProgress(cluster.days_stored, cluster.days_failing),
    )


def coverage_body(report: account_report.CoverageReport, shown: Shown[account_report.AccountDay]) -> AccountDays:
    """The body of days."""
    return AccountDays(
        question=WindowQuestion.of(report.question, shown.limit),
        days=[_day(day) for day in shown.rows],
        count=shown.rows_in_all,
        next=shown.next,
        coverage=Coverage.of(report.coverage),
        issues=issue_bodies(report.issues),
    )


def _day(day: account_report.AccountDay) -> AccountDay:
    known = day.known or account_report.NOTHING_KNOWN
    return AccountDay(
        cloud_account_id=day.account.id,
        cluster=day.account.name,
        day=day.day.isoformat(),
        kind=day.kind.value,
        state=None if known.state is None else known.state.value,
        hours_asked=day.hours_asked,
        hours_covered=known.hours_covered,
        assets_complete=known.assets_complete,
        source=known.source,
        rows=known.rows if day.are_costs_shown else None,
        total_cost=to_number(known.total) if known.has_costs and day.are_costs_shown else None,
        currency=known.currency,
        currency_assumed=known.currency_origin is CurrencyOrigin.ASSUMED if known.is_stored else None,
        collected_at=None if known.collected_at is None else rfc3339(known.collected_at),
        attempts=known.attempts,
        tried_at=None if known.tried_at is None else rfc3339(known.tried_at),
        last_error=None if known.last_error is None else LastError(*known.last_error),
    )


def _only(currencies: Sequence[str]) -> str | None:
    return currencies[0] if len(currencies) == 1 else None
