"""What assets cost as a body of the native API."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from kubetally.domain import asset_report
from kubetally.domain.asset_report import ATTRIBUTES, IDENTITY
from kubetally.domain.component import Component
from kubetally.domain.money import to_number
from kubetally.domain.question.facts import filter_tree, window_facts
from kubetally.present.bodies import Costs, Coverage, cost_names
from kubetally.present.cost_report import LedgerIssue, Shown, issue_bodies


class AssetQuestion(Struct, forbid_unknown_fields=True):
    """The question as understood, with its defaults; `filter` is a tree, with positions in its text."""

    start: str
    end: str
    group: list[str]
    filter: dict[str, Any] | None
    limit: int


@dataclass
class AssetTotal(Costs):
    """All assets together."""


@dataclass
class AssetHours:
    """How long assets existed, and what they offered meanwhile; null where unknown."""

    hours: float | None
    cpu_core_hours: float | None
    ram_byte_hours: float | None
    gpu_hours: float | None
    byte_hours: float | None
    byte_hours_used: float | None


@dataclass
class _AssetKey:
    key: dict[str, str | None]
    cloud_account_id: str | None
    attributes: dict[str, str | None]


@dataclass
class AssetRow(AssetHours, Costs, _AssetKey):
    """An asset over its days, or a group of assets."""

    outside_cost: float | None
    adjustment: float
    discount: float | None
    share: float | None
    asset_days: int


class Assets(Struct, forbid_unknown_fields=True):
    """The rows, highest cost first."""

    question: AssetQuestion
    currency: str | None
    total: AssetTotal
    rows: list[AssetRow]
    count: int
    next: str | None
    coverage: Coverage
    assets_complete: bool
    not_measured: list[str]
    issues: list[LedgerIssue]


def assets_body(report: asset_report.AssetReport, shown: Shown[asset_report.AssetRow]) -> Assets:
    """The body of assets."""
    question = report.question
    is_known = report.coverage.hours_covered > 0
    total = (report.bill.total, *_measured(report.bill, report)) if is_known else (None,) * (1 + len(report.bill))
    return Assets(
        question=AssetQuestion(
            **window_facts(question.window),
            group=list(question.group),
            filter=filter_tree(question.asked_filter),
            limit=shown.limit,
        ),
        currency=report.currency,
        total=AssetTotal(*map(_number, total)),
        rows=[_row(row, report) for row in shown.rows],
        count=shown.rows_in_all,
        next=shown.next,
        coverage=Coverage.of(report.coverage),
        assets_complete=report.assets_complete,
        not_measured=cost_names(report.not_measured),
        issues=issue_bodies(report.issues),
    )


def _measured(costs: Sequence[int | None], report: asset_report.AssetReport) -> list[int | None]:
    """The costs of the components; None for what no day measured."""
    parts = zip(Component, costs, strict=True)
    return [None if component in report.not_measured else amount for component, amount in parts]


def _number(micros: int | None) -> float | None:
    return None if micros is None else to_number(micros)


def _row(row: asset_report.AssetRow, report: asset_report.AssetReport) -> AssetRow:
    names = report.question.group or IDENTITY
    return AssetRow(  # type: ignore[call-arg, misc]
        dict(zip(names, row.key, strict=True)),
        row.account_id,
        dict(zip(ATTRIBUTES, row.attributes, strict=True)) if row.attributes else {},
        to_number(row.total),
        *map(_number, _measured(row.costs, report)),  # type: ignore[arg-type]
        *row.hours,
        outside_cost=_number(row.outside),
        adjustment=to_number(row.adjustment),
        discount=row.discount,
        share=round(row.total / report.bill.total, 6) if report.bill.total else None,
        asset_days=row.days,
    )
