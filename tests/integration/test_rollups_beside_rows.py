"""Sums of months, sums of days and rows beside each other, and questions that none of the sums answer."""

from datetime import UTC, date, datetime
from itertools import product

import msgspec
import pytest

from kubetally.domain.access import OPERATOR
from kubetally.domain.compare import CompareQuestion
from kubetally.domain.issues import IssueKind
from kubetally.domain.question.cost_question import CostQuestion, Idle
from kubetally.domain.question.group import parse_group
from kubetally.domain.question.steps import Step
from kubetally.domain.question.v2 import parse_v2
from kubetally.domain.window import DAY, Window
from kubetally.ledger.ports.rollups import Grain
from kubetally.query.answers import LedgerAnswers
from kubetally.query.duck import DuckEngine
from kubetally.query.reader import LedgerReader
from kubetally.query.reports import LedgerReports
from tests.cluster_days import DAY as FIRST
from tests.cluster_days import cluster_day
from tests.integration.test_rollups import ONE, ONE_DAY, TWO, WINDOW, Home, engine, home

__all__ = ["engine", "home"]


def at(month: int, day: int) -> datetime:
    return datetime(2026, month, day, tzinfo=UTC)


def test_months_days_and_rows_together_give_the_figures_of_rows(home: Home) -> None:
    october = date(2026, 10, 30)
    days = (october, october + ONE_DAY, FIRST, FIRST + ONE_DAY)
    home.store(*(cluster_day(id_, day=day) for id_ in (ONE, TWO) for day in days))
    home.roll_up()
    home.store(cluster_day(ONE, 5, day=FIRST + 2 * ONE_DAY))
    windows = [Window(at(10, 31), at(11, 24)), Window(at(10, 1), at(11, 21)), Window(at(10, 31), at(11, 22))]
    seen = set()
    for window, group, text, step, idle in product(
        windows, ("", "namespace"), ("", 'cluster:"prod"'), (None, Step.MONTH), (Idle.SEPARATE, Idle.WEIGHTED)
    ):
        question = CostQuestion(window, parse_group(group), step, parse_v2(text), idle)
        seen.add(tuple(roll_up.grain for roll_up in home.readers[0].snapshot(question).roll_ups))
        with_, without = home.answers(question)
        assert with_ == without, question
    assert {(Grain.MONTH, Grain.ACCOUNT), (Grain.MONTH, Grain.NAMESPACE)} <= seen


def test_day_that_is_replaced_meanwhile_is_answered_as_it_was(home: Home) -> None:
    home.store(*(cluster_day(id_, day=FIRST + n * ONE_DAY) for id_ in (ONE, TWO) for n in range(2)))
    home.roll_up()
    answers = LedgerAnswers(home.readers[0])
    question = CostQuestion(WINDOW)
    before = [ask(OPERATOR, question).compute() for ask in (answers.labels, answers.balance, answers.costs)]
    prepared = [ask(OPERATOR, question) for ask in (answers.labels, answers.balance, answers.costs)]
    home.store(cluster_day(ONE, 1, day=FIRST))
    assert prepared[0].compute() == before[0]
    assert prepared[2].compute() == before[2]
    with pytest.raises(Exception, match="retry in a few seconds") as refused:
        prepared[1].compute()
    assert getattr(refused.value, "retryable", False)


def test_engine_without_roll_ups_plans_rows_at_once(home: Home) -> None:
    class RowsOnly(DuckEngine):
        reads_roll_ups = False

    home.store(*(cluster_day(id_, day=FIRST + n * ONE_DAY) for id_ in (ONE, TWO) for n in range(2)))
    home.roll_up()
    with LedgerReader(home, lambda: RowsOnly(threads=1)) as reader:
        question = CostQuestion(WINDOW, parse_group("cluster"))
        snapshot, before = reader.snapshot(question), LedgerReports(reader).costs(question)
        home.store(cluster_day(ONE, 1, day=FIRST))
        assert LedgerReports(reader).costs_of(snapshot, question) == before


def test_hours_of_the_total_are_the_same_however_rows_are_grouped(home: Home) -> None:
    home.store(cluster_day(ONE), cluster_day(TWO))
    home.roll_up()
    totals = {
        msgspec.json.encode({name: total[name] for name in total if name.endswith(("hours", "efficiency", "waste"))})
        for group in ("", "cluster", "namespace", "controller", "node", "pod", "container")
        for body in home.answers(CostQuestion(WINDOW, parse_group(group)))
        for total in [msgspec.json.decode(body)["total"]]
    }
    assert len(totals) == 1


def test_efficiency_is_weighed_without_idle(home: Home) -> None:
    home.store(cluster_day(ONE), cluster_day(TWO))
    home.roll_up()
    workloads = CostQuestion(WINDOW, parse_group("cluster"), filter=parse_v2('kind:"workload"'))
    expected = {tuple(row["key"].values()): row for row in msgspec.json.decode(home.answers(workloads)[1])["rows"]}
    for idle in (Idle.SEPARATE, Idle.WEIGHTED, Idle.NONE):
        for body in home.answers(CostQuestion(WINDOW, parse_group("cluster"), idle=idle)):
            for row in msgspec.json.decode(body)["rows"]:
                of_workloads = expected[tuple(row["key"].values())]
                assert row["total_efficiency"] == of_workloads["total_efficiency"] is not None


@pytest.mark.parametrize(("days_before", "count"), [(3, 1), (0, 1)])
def test_comparison_says_that_nothing_matches(home: Home, days_before: int, count: int) -> None:
    """Whether the period before has data or not."""
    home.store(*(cluster_day(id_, day=FIRST + n * ONE_DAY) for id_ in (ONE, TWO) for n in range(2)))
    before = Window(WINDOW.start - days_before * DAY, WINDOW.end - days_before * DAY)
    costs = CostQuestion(WINDOW, parse_group("namespace"), filter=parse_v2('namespace:"tyop"'))
    comparison = LedgerReports(home.readers[0]).compare(CompareQuestion(costs, before))
    assert [issue.kind for issue in comparison.issues].count(IssueKind.NO_MATCH) == count
