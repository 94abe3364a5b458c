"""How a figure came about, on a screen."""

from datetime import UTC, date, datetime

import pytest

from kubetally.domain.allocation import Kind
from kubetally.domain.component import NO_CLASSES, Costs
from kubetally.domain.efficiency import NO_HOURS, RatedHours
from kubetally.domain.explanation import Explanation, LedgerLine
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.steps import Step
from kubetally.domain.report import CostReport, StepSum, Sums
from kubetally.domain.row import Cause
from kubetally.domain.status import Coverage
from kubetally.domain.window import DAY, Window
from kubetally.present.explain import print_explanation

START = datetime(2026, 11, 20, tzinfo=UTC)
WORKLOAD = LedgerLine(
    date(2026, 11, 20), "1", "prod-eu-west-1", Kind.WORKLOAD, None, "kube-system", "deployment", "metrics-server",
    "metrics-server-6d94bc8694-x7k2p", "metrics-server", "ip-10-0-132-71.eu-west-1.compute.internal",
    Costs(cpu=1_250_000), NO_HOURS._replace(cpu_core_hours=1_920.0),
)  # fmt: skip
IDLE = LedgerLine(date(2026, 11, 20), "1", "prod-eu-west-1", Kind.IDLE, costs=Costs(cpu=2_500_000))
DIFFERENCE = LedgerLine(
    date(2026, 11, 20), "1", "prod-eu-west-1", Kind.DIFFERENCE, Cause.OVER_COMMIT, costs=Costs(cpu=-7_000_000)
)


def explanation(*lines: LedgerLine, days: int = 1) -> Explanation:
    window, bill = Window(START, START + days * DAY), Costs.sum(line.costs for line in lines)
    coverage = Coverage(24.0 * days, 24.0 * days)
    report = CostReport(
        question=CostQuestion(window, (), Step.DAY),
        currency="USD",
        currency_assumed=False,
        coverage=coverage,
        has_data=True,
        assets_complete=True,
        bill=bill,
        not_measured=frozenset(),
        rows=(),
        lines=(),
        workloads=Sums(bill, NO_CLASSES, NO_HOURS, RatedHours()),
        steps=tuple(StepSum(day, 0, Coverage(24, 24)) for day in window.days()),
    )
    return Explanation(report=report, lines=lines, count=len(lines), sources=())


def table(capsys: pytest.CaptureFixture[str], *lines: LedgerLine, days: int = 1) -> list[str]:
    print_explanation(explanation(*lines, days=days), ["prod-eu-west-1"])
    return capsys.readouterr().out.partition("the largest first\n")[2].partition("\n\n")[0].splitlines()


def test_rows_of_usual_names_fit_in_100_columns(capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = WORKLOAD._replace(account="prod-us-east-1", account_id="2")
    rows = table(capsys, WORKLOAD, elsewhere, IDLE, DIFFERENCE, days=2)
    assert max(map(len, rows)) <= 100
    words = " ".join(rows).replace(",", "").split()
    for name in ("prod-us-east-1", *WORKLOAD[5:11]):
        assert name in words


def test_nothing_is_headed_without_rules_and_sources(capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation(explanation(), ["prod-eu-west-1"], quiet=True)
    assert [line for line in capsys.readouterr().out.splitlines() if line][2:] == [
        "No row of the ledger costs anything in it."
    ]


def test_namespace_of_a_line_stands_behind_its_kind(capsys: pytest.CaptureFixture[str]) -> None:
    rows = table(capsys, IDLE._replace(kind=Kind.UNMOUNTED, namespace="shop-unmounted-pvcs"))
    assert rows[1].startswith("unmounted shop-unmounted-pvcs  ")


def test_names_of_a_row_are_on_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [" ".join(line.split()) for line in table(capsys, DIFFERENCE, IDLE, WORKLOAD)]
    assert rows == [
        "namespace pod core-hours cost",
        "difference - -7.00",
        "over_commit",
        "idle - 2.50",
        "kube-system metrics-server-6d94bc8694-x7k2p 1,920.000 1.25",
        "deployment metrics-server, container metrics-server on ip-10-0-132-71.eu-west-1.compute.internal",
        "total -3.25",
    ]
