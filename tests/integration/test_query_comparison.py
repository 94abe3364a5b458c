"""What a comparison reads: quantities behind costs, and both periods at one moment."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ibis import ir

from kubetally.domain.booking import Booking
from kubetally.domain.compare import CompareQuestion
from kubetally.domain.component import Component
from kubetally.domain.quantity import quantity
from kubetally.domain.question.cost_question import CostQuestion
from kubetally.domain.question.group import PLAIN, parse_group
from kubetally.domain.question.v2 import parse_v2
from kubetally.domain.report import CostRow
from kubetally.domain.window import DAY, Window, parse_instant
from kubetally.query.costs import cost_rows
from kubetally.query.export import comparison_table
from kubetally.query.opening import open_duck
from kubetally.query.reader import LedgerReader
from kubetally.query.reports import LedgerReports
from tests.cluster_days import DAY as FIRST
from tests.cluster_days import cluster_day
from tests.errors import raises_code
from tests.integration.test_query_costs import ACCOUNTS, ledger, query
from tests.kept import CoverageInMemory
from tests.native import ONE, Home
from tests.unit.domain.clusters import MIDNIGHT, booked_days

Run = Callable[[ir.Table], pa.Table]
QUESTION = CompareQuestion(
    CostQuestion(Window(MIDNIGHT + DAY, MIDNIGHT + 2 * DAY), parse_group("namespace")),
    Window(MIDNIGHT, MIDNIGHT + DAY),
)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    engine = ibis.duckdb.connect(threads=1)
    yield engine.to_pyarrow
    engine.disconnect()


def quantities(rows: Sequence[CostRow], component: Component) -> list[tuple[Any, ...]]:
    """Key, kind and quantity of the rows that have the component."""
    return sorted(
        (str(row.key[:1]), str(row.kind), quantity(row.hours, component))
        for row in rows
        if row.component in (None, component)
    )


@settings(max_examples=25)
@given(days=booked_days(), component=st.sampled_from(Component))
def test_rows_of_a_component_have_its_quantity(run: Run, days: list[Booking], component: Component) -> None:
    rows = ibis.memtable(ledger(days))
    split, whole, filtered = (
        cost_rows(run, rows, query(group, filter=parse_v2(text), has_quantities=True), ACCOUNTS, "USD")
        for group, text in (
            ("namespace,component", ""),
            ("namespace", ""),
            ("namespace", f'component:"{component}"'),
        )
    )
    assert quantities(split, component) == quantities(whole, component) == quantities(filtered, component)


@settings(max_examples=25)
@given(days=booked_days())
def test_quantity_is_of_the_rows_that_pass(run: Run, days: list[Booking]) -> None:
    rows = ibis.memtable(ledger(days))
    condition = parse_v2('component:"cpu"|namespace:"shop"')
    mixed = cost_rows(run, rows, query("namespace", filter=condition, has_quantities=True), ACCOUNTS, "USD")
    whole = cost_rows(run, rows, query("namespace", has_quantities=True), ACCOUNTS, "USD")
    ram = {(row.key, row.kind): row.hours.ram_byte_hours for row in whole if row.key == ("shop",)}
    assert quantities(mixed, Component.CPU) == quantities(whole, Component.CPU)
    assert {
        (row.key, row.kind): row.hours.ram_byte_hours for row in mixed if row.hours.ram_byte_hours is not None
    } == ram


def test_columns_of_a_comparison_have_names_of_their_own(tmp_path: Path) -> None:
    with LedgerReader(Home(tmp_path), open_duck) as reader:
        for group in (*PLAIN, "cluster,kind", "label:app"):
            question = replace(QUESTION, costs=replace(QUESTION.costs, group=parse_group(group)))
            found = LedgerReports(reader).compare(question)
            table = comparison_table(found, [*found.lines, *found.rows])
            assert len(set(table.schema.names)) == len(table.schema.names)
            assert {"kind", *group.split(",")} <= set(table.schema.names)
            assert table.num_rows > 0
            assert set(table["currency"].to_pylist()) == {"USD"}


def test_file_of_a_comparison_says_what_is_covered(tmp_path: Path) -> None:
    with LedgerReader(Home(tmp_path), open_duck) as reader:
        found = LedgerReports(reader).compare(QUESTION)
        metadata = comparison_table(found, found.rows).schema.metadata
    question, now, before = (json.loads(metadata[name]) for name in (b"question", b"coverage", b"before"))
    window, period = QUESTION.costs.window, QUESTION.before
    assert Window(parse_instant(question["start"]), parse_instant(question["end"])) == window
    assert Window(parse_instant(question["before_start"]), parse_instant(question["before_end"])) == period
    assert (now["hours_covered"], before["hours_covered"]) == (0, 48)


class Replacing(CoverageInMemory):
    """Coverage whose first day is replaced while the second is read, so many times."""

    def __init__(self, readings: int) -> None:
        super().__init__()
        self.readings, self.replace = readings, lambda: None

    def days(self, first: date, **more: Any) -> Any:
        """The days as they are."""
        if self.readings and first == QUESTION.costs.window.start.date():
            self.readings -= 1
            self.replace()
        return super().days(first, **more)


def home_of(folder: Path, readings: int) -> Home:
    """A ledger whose first day is replaced while the second is read, so many times."""
    home = Home(folder)
    coverage = Replacing(0)
    home.coverage = coverage
    home.store(*home.days)
    generations = iter(range(1, 99))
    coverage.replace = lambda: home.store(cluster_day(ONE, next(generations)))
    coverage.readings = readings
    return home


def test_both_periods_are_of_one_moment(tmp_path: Path) -> None:
    home = home_of(tmp_path, readings=1)
    with LedgerReader(home, open_duck) as reader:
        found = LedgerReports(reader).compare(QUESTION)
    stored = home.coverage.days(FIRST, end=QUESTION.costs.window.start.date())
    assert found.total.before == sum(day.total for day in stored)


def test_ledger_that_never_rests_is_an_error(tmp_path: Path) -> None:
    home = home_of(tmp_path, readings=99)
    with LedgerReader(home, open_duck) as reader, raises_code("ledger_changes", match="retry"):
        LedgerReports(reader).compare(QUESTION)
