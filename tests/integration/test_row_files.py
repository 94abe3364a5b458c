"""Exports of all stored rows, which are read file by file, have the rows that an engine finds."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubetally.domain.errors import StoreError
from kubetally.domain.question.cost_question import CostQuestion, ExportFormat
from kubetally.domain.question.partial import EVERY_ROW
from kubetally.domain.question.v2 import parse_v2
from kubetally.domain.window import DAY, Window
from kubetally.ledger.ports.lake import LocalScans, Scan
from kubetally.query.duck import DuckEngine
from kubetally.query.reader import LedgerReader
from kubetally.query.reports import LedgerReports
from kubetally.query.rollup_choice import by_rows
from kubetally.query.row_files import read_rows
from tests.cluster_days import DAY as FIRST
from tests.cluster_days import cluster_day
from tests.integration.test_rollups import ONE, ONE_DAY, TWO, WINDOW, Home, engine, home

__all__ = ["engine", "home"]
ALL = CostQuestion(WINDOW, ())
AS_FILTER = replace(ALL, filter=parse_v2('kind:"workload"|kind!:"workload"'))


def export(reader: LedgerReader, question: CostQuestion) -> pa.Table:
    content = b"".join(LedgerReports(reader).export(question, (), None, ExportFormat.PARQUET))
    key = [("collection_id", "ascending"), ("ordinal", "ascending")]
    return pq.read_table(pa.BufferReader(content)).sort_by(key)


def by_engine(home: Home, question: CostQuestion) -> pa.Table:
    return export(LedgerReader(home, lambda: DuckEngine(threads=1)), question)


def without_engine(home: Home) -> LedgerReader:
    """A reader whose engine must not be opened."""

    def fail() -> Any:
        raise AssertionError("an engine was opened")

    return LedgerReader(home, fail)


def test_all_rows_are_those_that_pass_every_filter(home: Home) -> None:
    home.store(*(cluster_day(id_, day=FIRST + n * ONE_DAY) for id_ in (ONE, TWO) for n in range(2)))
    at = home.clock.now()
    home.store(cluster_day(ONE, 1), cluster_day(TWO, day=FIRST + 2 * ONE_DAY, is_running=True))
    home.roll_up()
    for window in (WINDOW, Window(WINDOW.start + DAY, WINDOW.start + 2 * DAY)):
        for as_of in (None, at):
            by_files = export(without_engine(home), replace(ALL, window=window, as_of=as_of))
            assert by_files.num_rows or as_of
            assert by_files == by_engine(home, replace(AS_FILTER, window=window, as_of=as_of)), (window, as_of)


def test_rows_of_other_accounts_in_the_same_file_are_left_out(home: Home) -> None:
    home.store(cluster_day(ONE), cluster_day(TWO))
    home.accounts.accounts.pop()
    rows = export(without_engine(home), ALL)
    assert set(rows["account_id"].to_pylist()) == {ONE}
    assert rows == by_engine(home, AS_FILTER)


def test_copies_of_some_files_are_released_before_the_next(home: Home) -> None:
    home.store(*(cluster_day(ONE, day=FIRST + n * ONE_DAY) for n in range(10)))
    question = by_rows(replace(ALL, window=Window(WINDOW.start, WINDOW.start + 10 * DAY)))
    reader, done = without_engine(home), list[str | int]()

    def copy(scans: Sequence[Scan]) -> LocalScans:
        done.append(sum(len(scan.paths) for scan in scans))
        return LocalScans(scans, lambda: done.append("released"))

    rows = [*read_rows(replace(reader.snapshot(question), copy=copy))]
    assert len({day for batch in rows for day in batch["day"].to_pylist()}) == 10
    assert done == [8, "released", 2, "released"]


def test_file_that_can_not_be_read_is_named(home: Home) -> None:
    home.store(cluster_day(ONE))
    reader = without_engine(home)
    assert export(reader, ALL).num_rows
    (file,) = Path(home.lake.url, "allocations").rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(StoreError, match=rf"{file.name} could not be read .* maintain --check") as caught:
        export(reader, ALL)
    assert caught.value.code == "query_failed"


def test_all_rows_is_a_question_without_filter() -> None:
    assert ALL.filter == EVERY_ROW != AS_FILTER.filter
