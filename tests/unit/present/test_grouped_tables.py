"""Tables of a group: what is printed adds up, whatever the rows are."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubetally.domain.allocation import Kind
from kubetally.domain.compare import CompareQuestion, Comparison, compare
from kubetally.domain.compared_periods import PeriodCosts
from kubetally.domain.component import NO_CLASSES, Component, Costs
from kubetally.domain.efficiency import NO_HOURS, RatedHours
from kubetally.domain.issues import Issue, IssueKind
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.group import parse_group
from kubetally.domain.question.steps import Step, steps_of
from kubetally.domain.report import CostReport, CostRow, StepSum, Sums
from kubetally.domain.status import Coverage, DayState
from kubetally.domain.window import DAY, Window
from kubetally.present.grouped_tables import print_comparison, print_grouped
from kubetally.present.text import money

START = datetime(2026, 11, 20, tzinfo=UTC)
WINDOW = Window(START, START + 2 * DAY)
AMOUNTS = st.integers(-20_000, 2_000_000)
ROWS = st.lists(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS), min_size=1, max_size=6)
settings.register_profile("printed", suppress_health_check=[HealthCheck.function_scoped_fixture])


def row(number: int, amounts: tuple[int, ...], kind: Kind = Kind.WORKLOAD, start: datetime | None = None) -> CostRow:
    key = (f"team-{number}",) if kind is Kind.WORKLOAD else (None,)
    return CostRow(Costs(*amounts), NO_CLASSES, NO_HOURS, RatedHours(), kind=kind, key=key, start=start)


def report(
    rows: list[CostRow], lines: list[CostRow], *, window: Window = WINDOW, step: Step | None = None, hours: float = 48
) -> CostReport:
    both = [*rows, *lines]
    steps = [
        StepSum(part, sum(one.costs.total for one in both if one.start == part.start), Coverage(24, 24))
        for part in (steps_of(window, step) if step else ())
    ]
    return CostReport(
        question=CostQuestion(window, parse_group("label:team"), step),
        currency="USD",
        currency_assumed=False,
        coverage=Coverage(48, hours, DayState.SETTLED),
        has_data=hours > 0,
        assets_complete=True,
        bill=Costs.sum(one.costs for one in both),
        not_measured=frozenset({Component.MANAGEMENT}),
        rows=tuple(rows),
        lines=tuple(lines),
        workloads=Sums(Costs.sum(one.costs for one in rows), NO_CLASSES, NO_HOURS, RatedHours()),
        steps=tuple(steps),
    )


def shown(*micros: int) -> list[Decimal]:
    """Amounts as they are printed."""
    return [Decimal(money(amount)) for amount in micros]


def figures(out: str, heading: str) -> tuple[list[list[Decimal]], list[Decimal]]:
    """The amounts of the rows of a table, and those of its last total."""
    below = out.partition(heading)[2].partition("\n\n")[0].splitlines()[1:]
    table = [line for line in below if not line.startswith("  ")]
    amounts = [[Decimal(cell) for cell in line.split() if "." in cell] for line in table]
    return [its for its in amounts[:-1] if its], amounts[-1]


@given(rows=ROWS, lines=ROWS)
@settings(settings.get_profile("printed"), max_examples=50)
def test_totals_are_true_and_rows_add_up_as_printed(
    capsys: pytest.CaptureFixture[str], rows: list[tuple[int, ...]], lines: list[tuple[int, ...]]
) -> None:
    kinds = [Kind.IDLE, Kind.UNMOUNTED, Kind.OVERHEAD, Kind.DIFFERENCE] * 2
    made = [row(number, amounts) for number, amounts in enumerate(rows)]
    costs = report(made, [row(0, its, kind) for its, kind in zip(lines, kinds, strict=False)])
    print_grouped(costs, None, {"a": "a"})
    printed, total = figures(capsys.readouterr().out, "label:team  ")
    exact = [amount for amount, column in zip(costs.bill, zip(*rows, *lines, strict=True), strict=False) if any(column)]
    assert total == shown(costs.bill.total, *exact)
    counted = shown(*(its.costs.total for its in (*costs.rows, *costs.lines)))
    assert sorted(its[0] for its in printed if its[0]) == sorted(filter(None, counted))
    assert all(any(its) for its in printed)
    assert all(its[0] == sum(its[1:]) for its in printed if len(its) > 1)


def test_rows_of_nothing_as_printed_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(0, (7_000_000,)), row(1, (0,)), row(2, (5, -5)), row(3, (0,))]
    print_grouped(report(rows, [row(0, (0,), Kind.DIFFERENCE)]), None, {"a": "a"}, quiet=True)
    below = [line for line in capsys.readouterr().out.splitlines()[3:] if line]
    assert [line.split()[0] for line in below if "everywhere" not in line] == ["team-0", "total", "left"]
    print_grouped(report(rows, []), 1, {"a": "a"}, quiet=True)
    out = capsys.readouterr().out
    assert "(3 more)     0.00" in out
    assert "left out" not in out


def test_left_out_rows_are_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(0, (7_000_000,)), row(1, (0,))]
    print_grouped(report(rows, []), None, {"a": "a"}, quiet=True)
    assert "  left out: 1 row of 0.00; --format json and csv have all rows\n" in capsys.readouterr().out
    print_grouped(report(rows[:1], []), None, {"a": "a"}, quiet=True)
    assert "left out" not in capsys.readouterr().out


def test_columns_without_a_cost_are_named_below(capsys: pytest.CaptureFixture[str]) -> None:
    """Not those that nobody measured, which a note names; nor any without rows."""
    print_grouped(report([row(0, (7_000_000, 0, 1))], []), None, {"a": "a"}, quiet=True)
    heading, *_, words = capsys.readouterr().out.rstrip("\n").splitlines()[2:]
    assert heading.split() == ["label:team", "total", "CPU", "GPU", "CPU", "eff.", "RAM", "eff."]
    assert words == "  RAM, volumes, node disks, load balancers, network, shared, external: 0 everywhere"
    print_grouped(report([row(0, (0,))], []), None, {"a": "a"}, quiet=True)
    assert "everywhere" not in capsys.readouterr().out


def test_reasons_that_nothing_changed_by_are_named_below(capsys: pytest.CaptureFixture[str]) -> None:
    was, now = report([row(0, (7_000_000,))], []), report([row(0, (7_000_000,)), row(1, (1_000_000,))], [])
    print_comparison(comparison(was, now), None, {"a": "a"}, quiet=True)
    out = capsys.readouterr().out
    assert out.splitlines()[3].split() == ["label:team", "before", "now", "change", "new"]
    assert "  usage, price, gone: 0 everywhere\n" in out


def test_words_of_the_question_are_below_the_heading(capsys: pytest.CaptureFixture[str]) -> None:
    words = ('filter namespace:"shop"', "idle weighted")
    made = report([row(0, (7_000_000,))], [])
    print_grouped(made, None, {"a": "a"}, words)
    print_comparison(comparison(made, made), None, {"a": "a"}, words)
    assert capsys.readouterr().out.count('1 cluster by label:team\nfilter namespace:"shop"; idle weighted\n') == 2
    print_grouped(made, None, {"a": "a"})
    assert capsys.readouterr().out.startswith("1 cluster by label:team\n20-21 Nov 2026")


def test_each_step_has_a_total_and_all_steps_the_sum(capsys: pytest.CaptureFixture[str]) -> None:
    starts = [START, START + DAY]
    rows = [row(number, (1_004_000 + number,), start=start) for start in starts for number in range(3)]
    print_grouped(report(rows, [row(0, (6_000,), Kind.IDLE, START)], step=Step.DAY), 1, {"a": "prod"})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 cluster by label:team"
    assert [line.split() for line in lines[2:9]] == [
        ["from", "label:team", "total", "CPU", "CPU", "eff.", "RAM", "eff."],
        ["2026-11-20", "team-2", "1.00", "1.00", "-", "-"],
        ["2026-11-20", "(2", "more)", "2.01", "2.01", "-", "-"],
        ["2026-11-20", "idle", "0.01", "0.01", "-", "-"],
        ["2026-11-20", "total", "3.02", "3.02", "-", "-"],
        ["2026-11-21", "team-2", "1.00", "1.00", "-", "-"],
        ["2026-11-21", "(2", "more)", "2.01", "2.01", "-", "-"],
    ]


def test_total_of_a_step_has_the_efficiency_of_its_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """Also of rows that cost nothing and of those in the last one; a step without data has none."""
    rated = [(1.0, 4.0), (3.0, 4.0), (2.0, 4.0)]
    rows = [
        replace(row(number, (amount,), start=START), rated=RatedHours(request, used, request, used / 2))
        for number, (amount, (used, request)) in enumerate(zip((9_000_000, 8_000_000, 0), rated, strict=True))
    ]
    made = report(rows, [row(0, (1_000_000,), Kind.IDLE, START)], step=Step.DAY)
    made = replace(made, steps=(made.steps[0], replace(made.steps[1], total=None)))
    print_grouped(made, 1, {"a": "a"})
    totals = [line.split() for line in capsys.readouterr().out.splitlines() if " total " in line][:3]
    assert totals[1] == ["2026-11-20", "total", "18.00", "18.00", "50", "%", "25", "%"]
    assert totals[2] == ["2026-11-21", "total", "-"]


def test_total_of_steps_is_that_of_the_undivided_window(capsys: pytest.CaptureFixture[str]) -> None:
    days = [START, START + DAY]
    halves = [row(0, (5_000, 5_000, 4_000), start=start) for start in days]  # 1.4 cents a day, 2.8 in all
    print_grouped(report(halves, [], step=Step.DAY), None, {"a": "a"})
    *_, total_of_steps = figures(capsys.readouterr().out, "label:team  ")
    print_grouped(report([row(0, (10_000, 10_000, 8_000))], []), None, {"a": "a"})
    *_, total = figures(capsys.readouterr().out, "label:team  ")
    assert total_of_steps == total


def test_notes_name_the_clusters_that_they_are_about(capsys: pytest.CaptureFixture[str]) -> None:
    issues = tuple(
        Issue(kind, message, None, WINDOW, None, {"accounts": accounts})
        for kind, message, accounts in (
            (IssueKind.SOURCE_FAILED, "it is away", ["1"]),
            (IssueKind.NOT_MEASURED, "no fee", ["1", "2"]),
        )
    )
    made = report([row(0, (7_000_000,))], [], hours=24)
    print_grouped(CostReport(**{**_fields(made), "issues": issues}), None, {"1": "prod", "2": "test"}, quiet=True)
    out = capsys.readouterr().out
    assert "missing: it is away [prod] (20-21 Nov 2026 UTC)\n" in out
    assert "note: no fee\n" in out
    assert "24 of 48 h, partial" in out
    assert "rounded" not in out


def _fields(made: CostReport) -> dict[str, object]:
    return {name: getattr(made, name) for name in made.__dataclass_fields__}


def comparison(before: CostReport, now: CostReport, covered: Sequence[str] = ("1", "2")) -> Comparison:
    """covered: the accounts with data in the period before."""
    question = CompareQuestion(now.question, before.question.window)
    hours = dict.fromkeys(("1", "2"), 48.0)
    return compare(question, PeriodCosts(before, dict.fromkeys(covered, 48.0)), PeriodCosts(now, hours))


@given(before=ROWS, now=ROWS)
@settings(settings.get_profile("printed"), max_examples=50)
def test_reasons_of_a_change_add_up_as_printed(
    capsys: pytest.CaptureFixture[str], before: list[tuple[int, ...]], now: list[tuple[int, ...]]
) -> None:
    was, then = ([row(number, amounts) for number, amounts in enumerate(many)] for many in (before, now))
    period = Window(START - 2 * DAY, START)
    changed = comparison(report(was, [], window=period), report(then, []))
    print_comparison(changed, None, {"a": "a"})
    printed, total = figures(capsys.readouterr().out, "label:team  ")
    exact, changes = changed.total, [its.counted for its in changed.rows]
    assert exact.change is not None
    reasons = [amount for amount, its in zip(exact.change, zip(*changes, strict=True), strict=True) if any(its)]
    assert total == shown(exact.before or 0, exact.now or 0, exact.change.total, *reasons)
    assert all(change == sum(reasons) for _, _, change, *reasons in printed)


def test_period_without_data_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = report([], [], window=Window(START - 2 * DAY, START), hours=0)
    print_comparison(comparison(nothing, report([row(0, (7_000_000,))], [])), None, {"a": "a"})
    out = capsys.readouterr().out
    assert "before: 18-19 Nov 2026 (2 days, UTC), 0 of 48 h, no data" in out
    assert out.splitlines()[4].split() == ["team-0", "-", "7.00", *["-"] * 5]


def test_comparison_counts_rows_that_cost_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(0, (7_000_000,)), row(1, (0,))]
    made = report(rows, [])
    print_comparison(comparison(made, made), None, {"a": "a"}, quiet=True)
    below = [line for line in capsys.readouterr().out.splitlines()[4:] if line]
    assert [line.split()[0] for line in below] == ["team-0", "total", "usage,", "left"]
    nothing = report([], [], window=Window(START - 2 * DAY, START), hours=0)
    print_comparison(comparison(nothing, made), None, {"a": "a"}, quiet=True)
    out = capsys.readouterr().out
    assert "team-1  " in out, "what it cost before is unknown"
    assert "left out" not in out


def test_account_without_data_before_is_a_dash_beside_others(capsys: pytest.CaptureFixture[str]) -> None:
    was, one, two = (
        replace(row(number, (amount,)), account_id=account)
        for number, amount, account in ((0, 5_000_000, "1"), (0, 6_000_000, "1"), (1, 7_000_000, "2"))
    )
    before = report([was], [], window=Window(START - 2 * DAY, START))
    print_comparison(comparison(before, report([one, two], []), covered=["1"]), None, {"1": "prod", "2": "test"})
    out = capsys.readouterr().out
    table = [line.split() for line in out.splitlines()[4:8]]
    assert table[:2] == [
        ["team-0", "5.00", "6.00", "1.00", "1.00", "0.00"],
        ["team-1", "-", "7.00", *"---"],
    ]
    assert ["total", "5.00", "13.00", "8.00", "1.00", "7.00"] in table
    assert "  usage, gone: 0 everywhere\n" in out
    assert "missing: the period before has no covered hour of 1 account" in out
    assert "[test] (18-19 Nov 2026 UTC)" in out
