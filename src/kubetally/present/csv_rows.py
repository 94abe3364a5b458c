"""Costs as CSV: a row for each namespace, workload or line, which add up to the cluster's total; six decimals."""

import csv
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from kubetally.domain.component import Component, Costs
from kubetally.domain.efficiency import Efficiency
from kubetally.domain.money import to_decimal
from kubetally.domain.question.cost_question import GROUPS, DetailLevel
from kubetally.domain.report import ClusterReport
from kubetally.domain.source_identity import SourceIdentity
from kubetally.domain.status import Status
from kubetally.domain.window import rfc3339
from kubetally.present.grid import escaped

if TYPE_CHECKING:
    from kubetally.domain.fleet import Failed

_COSTS = [f"{component}_cost" for component in Component]
_RATIOS = ["cpu_efficiency", "ram_efficiency", "total_efficiency"]
_COLUMNS = [
    "source", "account", "cloud_account_id", "cluster_id", "start", "end", "status", "assets_complete", "currency",
    "kind", "namespace", "controller_kind", "controller", "total_cost", *_COSTS, *_RATIOS,
    "hours_asked", "hours_covered", "currency_assumed",
]  # fmt: skip

Row = dict[str, object]


def write_csv(out: TextIO, answers: "list[ClusterReport | Failed]", by: DetailLevel) -> None:
    """Write all answers under one heading; a cluster without figures is a row with its status and empty cells.

    On a terminal, control characters are escaped (`\\u001b`); a file or pipe gets names unchanged.
    """
    shown = _on_one_line if out.isatty() else dict
    writer = csv.DictWriter(_Lines(out), _COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for answer in answers:
        if isinstance(answer, ClusterReport):
            writer.writerows(shown(row) for row in _rows(answer, by))
        else:
            writer.writerow(shown(_identity(answer.source) | {"status": Status.ERROR.value}))


class _Lines:
    """Ends rows with a line feed only. With that as `lineterminator`, csv would leave carriage returns unquoted."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, row: str) -> int:
        return self._out.write(row.removesuffix("\r\n") + "\n")


def _on_one_line(row: Row) -> Row:
    return {
        name: escaped(value).replace("\n", "\\n") if isinstance(value, str) else value for name, value in row.items()
    }


def _rows(costs: ClusterReport, by: DetailLevel) -> Iterator[Row]:
    about: Row = _identity(costs.source) | {
        "cluster_id": costs.source.cluster_id,
        "start": rfc3339(costs.window.start),
        "end": rfc3339(costs.window.end),
        "status": costs.status.value,
        "assets_complete": str(costs.assets_complete).lower(),
        "currency": costs.currency,
        "hours_asked": round(costs.coverage.hours_asked, 6),
        "hours_covered": round(costs.coverage.hours_covered, 6),
        "currency_assumed": str(costs.currency_assumed).lower(),
    }
    if costs.status is Status.NO_DATA:
        yield about
    elif by is DetailLevel.SUMMARY:
        yield about | {"kind": "total"} | _figures(costs, costs.bill, costs.efficiency)
    else:
        names = GROUPS[by]
        for row in (*costs.by(*names), *costs.lines):
            key = dict(zip(names, row.key, strict=False))  # a line has no key
            yield about | {"kind": str(row.kind)} | key | _figures(costs, row.costs, row.efficiency)


def _identity(source: SourceIdentity) -> Row:
    return {"source": source.url, "account": source.account_name, "cloud_account_id": source.account_id}


def _figures(costs: ClusterReport, amounts: Costs, ratios: Efficiency) -> Row:
    """The figures of a row; a component that is not measured is an empty cell."""
    figures: Row = {"total_cost": to_decimal(amounts.total)}
    for component, column in zip(Component, _COSTS, strict=True):
        figures[column] = None if component in costs.not_measured else to_decimal(amounts.of(component))
    rounded = [None if ratio is None else round(ratio, 6) for ratio in ratios]
    return figures | dict(zip(_RATIOS, rounded, strict=True))
